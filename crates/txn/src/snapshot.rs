//! *Snapshot*: one validated read under one guard. A sequence lock's reader (Boehm, "Can seqlocks get along with
//! programming language memory models?", 2012), whose sequence number is the version word.
//!
//! What it reads may be garbage until [`SnapshotMem::check`] says that version and C have not moved.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use coheap_segment::primitive::{AtomicU64, fence};
use coheap_segment::{Code, Error, Off, Segment, Status, Word};

use crate::contend::{Holder, Verdict, judge};
use crate::mem::{Block, Fault, Guard, Mem, Res};
use crate::slot::copy_out;

/// See the module.
pub struct SnapshotMem {
    segment: &'static Segment,
    guard: Off,
    word: Option<&'static AtomicU64>,
    seen: Word,
    /// The owner of a word with C = 1 that had not decided when the read began.
    undecided: Option<Holder>,
}

impl SnapshotMem {
    #[inline(always)]
    pub(crate) fn new(segment: &'static Segment) -> SnapshotMem {
        SnapshotMem { segment, guard: 0, word: None, seen: Word(0), undecided: None }
    }

    /// The guard that the attempt has met, 0 if none.
    pub(crate) fn guard(&self) -> Off {
        self.guard
    }

    /// True if all that was read belongs together.
    #[inline(always)]
    pub(crate) fn check(&self) -> bool {
        let Some(word) = self.word else { return true };
        // Pairs with the Release fence between C = 1 and the stores: if we have read one of these stores, the load
        // below sees C = 1 or what followed it.
        fence(Acquire);
        if let Some(holder) = &self.undecided {
            // Status first, then the word: at this load the owner had stored nothing, and it has had the word since
            // before the first load, for {owner, tag, C 1, version} never recurs. What was read is the old value.
            return !holder.has_drawn()
                && holder.stands()
                && Word(word.load(Relaxed)).without_waiters() == self.seen.without_waiters();
        }
        Word(word.load(Relaxed)).seen() == self.seen.seen()
    }

    #[inline(always)]
    fn enter(&mut self, guard: Guard) -> Res<()> {
        if self.guard == guard.0 {
            return Ok(());
        }
        self.enter_first(guard)
    }

    #[inline]
    fn enter_first(&mut self, guard: Guard) -> Res<()> {
        if self.guard != 0 {
            return Err(Fault::Escalate);
        }
        let word = self.segment.word(guard.0)?;
        // Acquire pairs with the Release that gave the word this version: the data is at least that new.
        let seen = Word(word.load(Acquire));
        self.guard = guard.0;
        self.seen = seen;
        if seen.changing() || seen.is_free() {
            self.enter_changing(guard, word, seen)?;
        }
        self.word = Some(word);
        Ok(())
    }

    #[cold]
    fn enter_changing(&mut self, guard: Guard, word: &AtomicU64, seen: Word) -> Res<()> {
        match judge(self.segment, guard.0, word, seen)? {
            Verdict::Undecided(holder)
                if holder.status.status() == Some(Status::Preparing) && !holder.has_drawn() =>
            {
                self.undecided = Some(holder);
                Ok(())
            }
            Verdict::Free => Err(Fault::Error(Error::at(Code::Destroyed, "the object is gone", guard.0))),
            // the caller looks at the word as a contender and repeats the attempt
            _ => Err(Fault::Again),
        }
    }
}

#[cold]
fn writes() -> Fault {
    Fault::Error(Error::new(Code::InvalidArgument, "a read that writes"))
}

impl Mem for SnapshotMem {
    fn segment(&self) -> &Segment {
        self.segment
    }
    #[inline(always)]
    fn load64(&mut self, guard: Guard, at: Off) -> Res<u64> {
        self.enter(guard)?;
        // Relaxed: ordered before the check by its fence, after the guard's Acquire load.
        Ok(self.segment.word(at)?.load(Relaxed))
    }
    fn store64(&mut self, _: Guard, _: Off, _: u64) -> Res<()> {
        Err(writes())
    }
    #[inline]
    fn observe(&mut self, guard: Guard) -> Res<()> {
        self.enter(guard)
    }
    fn reserve(&mut self, _: Guard) -> Res<()> {
        Err(writes())
    }
    #[inline]
    fn version(&mut self, guard: Guard) -> Res<u64> {
        self.enter(guard)?;
        Ok(self.seen.version())
    }
    fn alloc(&mut self, _: u64) -> Res<Block> {
        Err(writes())
    }
    fn init64(&mut self, at: Off, _: u64) {
        debug_assert!(false, "a read that writes {at:#x}");
    }
    fn finish(&mut self, at: Off, _: u8, _: u8, _: u32) {
        debug_assert!(false, "a read that writes {at:#x}");
    }
    fn publish(&mut self, at: Off) {
        debug_assert!(false, "a read that writes {at:#x}");
    }
    fn free(&mut self, at: Off) {
        debug_assert!(false, "a read that frees {at:#x}");
    }

    fn load_bytes(&mut self, guard: Guard, at: Off, out: &mut [u8]) -> Res<()> {
        self.enter(guard)?;
        Ok(copy_out(self.segment, at, out)?)
    }
}
