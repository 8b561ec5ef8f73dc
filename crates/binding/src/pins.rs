//! [`Pins`]: giving handles to what an operation reads, while it reads it.
//!
//! *Publish, fence, then validate*: a reference that was read out of an object is entered in the participant's
//! handle table inside the operation, before the operation's own check of the version word. If that check fails,
//! the operation runs again and the handle is withdrawn first. So a handle that TypeScript gets always names an
//! object that was reachable when the collector could already see the handle (a hazard pointer).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use coheap_heap::objects::cell::{Cell, Tag, kind};
use coheap_heap::segment::word::{Word, Word1};
use coheap_heap::segment::{Code, Error, Off, Segment};
use coheap_heap::txn::{Ctx, Fault, HandleTable, Res};

use crate::convert::Found;
use crate::wrappers::{Entry, Wrappers};

/// See the module. Its table is the wrapper table: an object that already has a handle needs no other.
pub struct Pins {
    segment: Arc<Segment>,
    /// The participant's table in shared memory.
    pub handles: HandleTable,
    /// Which objects have handles here.
    pub wrappers: Wrappers,
    /// The handles that the present operation has published.
    fresh: Vec<u32>,
    /// What the present operation has found, if it is more than a cell.
    pub found: Option<Found>,
    /// All handles that were asked for, while [`Pins::track`] runs.
    tracked: Option<Vec<u32>>,
}

/// Ends an operation that needs more handles than the table has room for: make room, and run it again.
pub const NO_ROOM: Fault = Fault::Error(Error::new(Code::OutOfMemory, "the handle table is full"));

/// Word 1 of an object as it stands, not as an operation or transaction sees it: only kind and birth count, which
/// never change while the block has its tenant.
#[inline]
pub fn word1(segment: &Segment, at: Off) -> Result<Word1, Error> {
    // Relaxed: compared with what a handle remembers; that the object is still there is proved by the guard that
    // the operation validates.
    Ok(Word1(segment.word(at + 8)?.load(Ordering::Relaxed)))
}

impl Pins {
    /// With an empty table. Handle 0 is spent: no object has it.
    pub fn new(ctx: &mut Ctx) -> Result<Pins, Error> {
        ctx.reserve_handles(1)?;
        let pins = Pins {
            segment: ctx.segment().clone(),
            handles: ctx.handle_table(),
            wrappers: Wrappers::default(),
            fresh: Vec::new(),
            found: None,
            tracked: None,
        };
        pins.handles.publish(coheap_heap::open::root(&pins.segment)?)?;
        Ok(pins)
    }

    /// To be called at the start of each attempt of an operation that may call [`Pins::pin`].
    #[inline(always)]
    pub fn start(&mut self) {
        self.wrappers.next_answer();
        if !self.fresh.is_empty() {
            self.withdraw_fresh();
        }
    }

    #[cold]
    fn withdraw_fresh(&mut self) {
        for handle in std::mem::take(&mut self.fresh) {
            self.wrappers.remove(handle);
            self.handles.withdraw(handle);
        }
    }

    /// True if the operation has published handles.
    #[inline]
    pub fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// The operation has been validated: what it published stays.
    #[inline]
    pub fn keep(&mut self) {
        self.fresh.clear();
    }

    /// The handle of the object that an identity cell refers to, published now if it has none.
    #[inline]
    pub fn pin(&mut self, cell: Cell) -> Res<u32> {
        let at = cell.offset();
        let seen = word1(&self.segment, at)?;
        let handle = match self.wrappers.find(at, seen.birth()) {
            Some(handle) => handle,
            None => self.publish(at, seen.birth(), cell)?,
        };
        if let Some(tracked) = &mut self.tracked {
            tracked.push(handle);
        }
        Ok(handle)
    }

    /// Runs `f` and gives the handles that it has asked for.
    pub fn track<T>(&mut self, f: impl FnOnce(&mut Pins) -> T) -> (T, Vec<u32>) {
        self.tracked = Some(Vec::new());
        let result = f(self);
        (result, self.tracked.take().unwrap_or_default())
    }

    /// Withdraws what was published for anything but these handles.
    pub fn keep_only<'a>(&mut self, wanted: impl Iterator<Item = &'a u32>) {
        if self.fresh.is_empty() {
            return;
        }
        let wanted: HashSet<u32> = wanted.copied().collect();
        for handle in std::mem::take(&mut self.fresh) {
            if wanted.contains(&handle) {
                self.fresh.push(handle);
            } else {
                self.wrappers.remove(handle);
                self.handles.withdraw(handle);
            }
        }
    }

    fn publish(&mut self, at: Off, birth: u16, cell: Cell) -> Res<u32> {
        let kind = cell.tag().map_or(0, |tag| tag as u8);
        let handle = self.handles.publish(at)?.ok_or(NO_ROOM)?;
        self.wrappers.insert(handle, at, birth, kind);
        self.fresh.push(handle);
        Ok(handle)
    }

    /// The entry of a handle, whose object is still there. Looked up before each attempt: an object that goes
    /// meanwhile changes its guard, and the next attempt comes by here again.
    #[inline(always)]
    pub fn object(&self, handle: u32) -> Res<Entry> {
        let Some(&entry) = self.wrappers.get(handle) else {
            return Err(Error::about(Code::InvalidArgument, "no such handle", handle as u64).into());
        };
        let word0 = Word(self.segment.word(entry.at)?.load(Ordering::Relaxed));
        let word1 = word1(&self.segment, entry.at)?;
        if word1.birth() == entry.birth && word1.kind() == entry.kind && !word0.is_free() {
            return Ok(entry);
        }
        Err(Error::at(Code::Destroyed, "the object has been destroyed", entry.at).into())
    }

    /// As [`Pins::object`], and it is of this kind: a call on something else is a mistake of the caller.
    #[inline(always)]
    pub fn object_of(&self, handle: u32, wanted: u8) -> Res<Off> {
        let entry = self.object(handle)?;
        if entry.kind != wanted {
            return Err(Error::about(
                Code::InvalidArgument,
                "a handle of another kind of object",
                handle as u64,
            )
            .into());
        }
        Ok(entry.at)
    }

    /// The cell of a handle: what a live object is in a wire.
    pub fn cell(&self, handle: u32) -> Res<Cell> {
        let entry = self.object(handle)?;
        let tag = match entry.kind {
            kind::RECORD => Tag::Record,
            kind::ARRAY => Tag::Array,
            kind::MAP => Tag::Map,
            kind::SET => Tag::Set,
            kind::BUFFER => Tag::Buffer,
            _ => Tag::View,
        };
        Ok(Cell::reference(tag, entry.at))
    }

    /// A map or a set.
    #[inline]
    pub fn map_or_set(&self, handle: u32) -> Res<Off> {
        let entry = self.object(handle)?;
        if !matches!(entry.kind, kind::MAP | kind::SET) {
            return Err(
                Error::about(Code::InvalidArgument, "a handle that is no map or set", handle as u64).into()
            );
        }
        Ok(entry.at)
    }
}
