//! Presence: which processes use a segment, and what the first to come and the last to go have to do.
//!
//! A process is present while it holds the kernel lock of its row of the process table: the kernel releases it
//! when the process ends, however it ends. The lock is the truth; the row's words only say who it was. It is
//! held from `create` or `open` until the last participant of this process has left. Coming and going happen
//! inside the segment's gate, so that nobody enters a heap whose last user is just removing it.
//!
//! A process that ends without leaving (`process.exit()`, a signal) just disappears. If it was the last, the heap
//! is stale: nobody can open it, and whoever creates one of the same name removes it. [`leave_process`] in an
//! exit hook spares that.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use crate::layout::*;
use crate::os::{Os, System};
use crate::{Code, Error, Result, Segment};

/// A process as others name it: its row, and the low 24 bits of the row's generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub row: u8,
    pub generation: u32,
}

impl Member {
    /// As one word that is never 0.
    pub(crate) fn to_bits(self) -> u64 {
        1 << 63 | (self.generation as u64) << 8 | self.row as u64
    }
    pub(crate) fn from_bits(bits: u64) -> Option<Member> {
        (bits != 0).then_some(Member { row: bits as u8, generation: (bits >> 8) as u32 & 0xff_ffff })
    }
}

/// Why this process is present.
#[derive(Default)]
pub(crate) struct Presence {
    /// Threads that have joined and not yet left.
    joined: u32,
    /// Creations and openings that no `join` has followed yet.
    opened: u32,
    /// A creator is at work.
    creating: bool,
}

/// Segments by the system's identity of their objects.
pub(crate) type OpenSegments = Vec<((u64, u64), Weak<Segment>)>;

/// The segments of this process, so that one heap is mapped once.
static OPEN: Mutex<OpenSegments> = Mutex::new(Vec::new());

/// The lock of the table of this process's segments, held while one is created, opened or removed.
pub(crate) fn open_segments() -> MutexGuard<'static, OpenSegments> {
    // a panic in a creator's `init` leaves the table whole
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Someone besides `object`'s own lock uses the segment: a process that holds the lock of its row and is not
/// about to end. The caller holds the gate, so nobody is between taking a lock and saying so in the table.
pub(crate) fn is_in_use(object: &System) -> Result<bool> {
    if !object.any_row_is_locked() {
        return Ok(false);
    }
    let rows = process_table(object)?;
    Ok((0..=u8::MAX).any(|row| rows[row as usize].0 == PROCESS_HERE && object.row_is_locked(row)))
}

/// State and pid of every row of the process table, read without a mapping.
pub(crate) fn process_table(object: &System) -> Result<Vec<(u32, u32)>> {
    const ROW: usize = size_of::<ProcessRecord>();
    let mut bytes = vec![0; MAX_PROCESSES * ROW];
    object.read(size_of::<Header>() as u64, &mut bytes)?;
    let word = |at: usize| bytes[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
    Ok((0..MAX_PROCESSES)
        .map(|row| {
            let at = row * ROW;
            (
                word(at + std::mem::offset_of!(ProcessRecord, state)),
                word(at + std::mem::offset_of!(ProcessRecord, pid)),
            )
        })
        .collect())
}

impl Segment {
    fn presence(&self) -> MutexGuard<'_, Presence> {
        // every change of it is a single addition
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This process, if it is present.
    pub(crate) fn own_member(&self) -> Option<Member> {
        Member::from_bits(self.member.load(Ordering::Relaxed))
    }
    pub(crate) fn is_own(&self, member: Member) -> bool {
        self.own_member() == Some(member)
    }

    /// The kernel says that the process which had this row in this generation lives.
    pub(crate) fn member_is_alive(&self, member: Member) -> bool {
        if self.is_own(member) {
            return true;
        }
        // Acquire pairs with the release in `appear`.
        let state = self.process(member.row as usize).state.load(Ordering::Acquire);
        (state >> 32) as u32 & 0xff_ffff == member.generation
            && state as u32 != PROCESS_FREE
            && self.object.row_is_locked(member.row)
    }

    /// Takes a row. The caller holds the gate.
    pub(crate) fn appear(&self) -> Result<Member> {
        for row in 0..=u8::MAX {
            if self.is_named_segment() && !self.object.lock_row(row)? {
                continue;
            }
            // the lock is ours: nobody else alive writes this row
            let record = self.process(row as usize);
            let generation = (record.state.load(Ordering::Relaxed) >> 32) as u32;
            let generation = generation.wrapping_add(1);
            record.pid.store(std::process::id() as u64, Ordering::Relaxed);
            record.started.store(System::process_start(), Ordering::Relaxed);
            // Release pairs with `member_is_alive`: who sees the new generation looks at a lock that is held.
            record.state.store((generation as u64) << 32 | PROCESS_HERE as u64, Ordering::Release);
            let member = Member { row, generation: generation & 0xff_ffff };
            self.member.store(member.to_bits(), Ordering::Relaxed);
            return Ok(member);
        }
        Err(Error::about(
            Code::TooManyParticipants,
            "as many processes as the process table has rows have the heap open",
            MAX_PROCESSES as u64,
        ))
    }

    /// Gives the row back and, if nobody else is there, removes a heap that is not persistent.
    fn disappear(&self) {
        let Some(member) = self.own_member() else { return };
        let gate = self.is_named_segment().then(|| self.object.gate());
        let record = self.process(member.row as usize);
        let generation = record.state.load(Ordering::Relaxed) >> 32;
        // Release: all that we did comes before.
        record.state.store(generation << 32 | PROCESS_FREE as u64, Ordering::Release);
        self.member.store(0, Ordering::Relaxed);
        if let Some(Ok(gate)) = &gate {
            self.remove_if_last(gate);
        }
        self.object.unlock_row(member.row);
    }

    /// Removes a heap that is not persistent if nobody else uses it. If that fails the heap is stale, and goes
    /// when its name is next wanted.
    fn remove_if_last(&self, _gate: &<System as Os>::Gate) {
        if self.is_persistent() || !matches!(is_in_use(&self.object), Ok(false)) {
            return;
        }
        // Relaxed: read and written inside the gate only.
        self.header().flags.fetch_or(FLAG_GONE, Ordering::Relaxed);
        if let Ok(true) = self.object.is_named() {
            let _ = self.object.unlink();
        }
    }

    /// One more reason to be present.
    fn add(&self, reason: impl FnOnce(&mut Presence)) -> Result<Member> {
        let mut presence = self.presence();
        let member = match self.own_member() {
            Some(member) => member,
            None => {
                let _gate = if self.is_named_segment() { Some(self.object.gate()?) } else { None };
                self.can_be_entered()?;
                self.appear()?
            }
        };
        reason(&mut presence);
        Ok(member)
    }

    /// For who is not present and holds the gate: `ERR_COHEAP_NOT_FOUND` if the heap has gone. Its last user may have removed
    /// it; or all have died, and whoever makes a heap of this name removes it, or has done so already.
    fn can_be_entered(&self) -> Result<()> {
        // Relaxed: read and written inside the gate only.
        if self.header().flags.load(Ordering::Relaxed) & FLAG_GONE != 0 {
            return Err(Error::new(Code::NotFound, "the heap went with its last user"));
        }
        let waits_for_users = || Ok(self.is_persistent() && self.object.is_named()?);
        if self.is_named_segment() && !is_in_use(&self.object)? && !waits_for_users()? {
            return Err(Error::new(Code::NotFound, "all processes that used the heap are dead"));
        }
        Ok(())
    }

    fn take_away(&self, reason: impl FnOnce(&mut Presence)) {
        let mut presence = self.presence();
        reason(&mut presence);
        if presence.joined == 0 && presence.opened == 0 && !presence.creating {
            self.disappear();
        }
    }

    /// An opening, to be followed by a `join` or a [`Segment::decline`].
    pub(crate) fn add_opening(&self) -> Result<()> {
        self.add(|presence| presence.opened += 1).map(drop)
    }

    /// The creator is present, whoever joins and leaves while it is at work.
    pub(crate) fn begin_creation(&self) -> Result<()> {
        self.appear()?;
        self.presence().creating = true;
        Ok(())
    }

    /// The creation has become an opening.
    pub(crate) fn end_creation(&self) {
        let mut presence = self.presence();
        presence.creating = false;
        presence.opened += 1;
    }

    /// A thread joins; it uses up an opening if there is one.
    pub(crate) fn enter(&self) -> Result<Member> {
        self.add(|presence| {
            presence.joined += 1;
            presence.opened = presence.opened.saturating_sub(1);
        })
    }

    /// A thread leaves.
    pub(crate) fn leave(&self) {
        self.take_away(|presence| presence.joined = presence.joined.saturating_sub(1));
    }

    /// Says that a `create` or `open` will not be followed by a [`Segment::join`] (because the thread is a
    /// participant already, say): the process does not stay present for it.
    pub fn decline(&self) {
        self.take_away(|presence| presence.opened = presence.opened.saturating_sub(1));
    }

    /// No participant and no promise of one is left: at the latest when the mapping goes.
    pub(crate) fn leave_for_good(&self) {
        self.take_away(|presence| *presence = Presence::default());
    }

    /// A creation has failed: nobody else has seen the segment, and its creator removes it.
    pub(crate) fn forget(&self) {
        *self.presence() = Presence::default();
        self.member.store(0, Ordering::Relaxed);
    }

    /// The process is about to end: it no longer counts as a user, but its rows stay locked until it has ended.
    fn exit(&self) {
        let _presence = self.presence();
        let (Some(member), Ok(gate)) = (self.own_member(), self.object.gate()) else { return };
        let record = self.process(member.row as usize);
        let generation = record.state.load(Ordering::Relaxed) >> 32;
        record.state.store(generation << 32 | PROCESS_EXITING as u64, Ordering::Release);
        self.remove_if_last(&gate);
    }
}

/// For an exit hook: this process is about to end without leaving its heaps thread by thread. Those whose last
/// user it is are removed (unless persistent). Its threads may go on until the process has really ended; what
/// they leave undone is recovered by others as after any death. Waits only for a creation or opening that another
/// thread is in the middle of.
pub fn leave_process() {
    let segments: Vec<_> = open_segments().iter().filter_map(|(_, segment)| segment.upgrade()).collect();
    for segment in segments {
        segment.exit();
    }
}
