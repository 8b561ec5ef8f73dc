//! What every mode shares: the segment, this participant's allocator, its patience, its counters, the clock.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::Duration;

use coheap_segment::word::{LAST_VERSION, LAST_WRITE};
use coheap_segment::{Error, Off, Participant, ParticipantRecord, Result, Segment, SlotRecord};
use coheap_slab::Allocator;

use crate::barrier;
use crate::mem::{Fault, Res};

/// Single operations only read the clock, so a word may be far ahead of it, but never this far.
const FAR_AHEAD: u64 = 1 << 46;

/// What a participant has done since it joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Transactions that took effect, internal ones too.
    pub commits: u64,
    /// Attempts that did not.
    pub aborts: u64,
    /// Operations that needed a transaction of their own.
    pub escalations: u64,
    /// Holders of a word that were aborted by this participant.
    pub wounds: u64,
    /// Times that it slept for a word.
    pub waits: u64,
    /// Snapshots moved forward because something newer was met.
    pub extensions: u64,
}

pub(crate) struct Core {
    segment: Arc<Segment>,
    // before `participant`: it gives blocks back while the rows are still ours
    pub(crate) alloc: Allocator,
    pub(crate) participant: Participant,
    pub(crate) patience: Duration,
    pub(crate) stats: Stats,
}

impl Core {
    pub(crate) fn new(participant: Participant, patience_ms: u64) -> Core {
        let segment = participant.segment().clone();
        let alloc = Allocator::new(segment.clone(), participant.id());
        Core {
            segment,
            alloc,
            participant,
            patience: Duration::from_millis(patience_ms),
            stats: Stats::default(),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// The segment, for as long as this participant is in it.
    #[inline(always)]
    pub(crate) fn segment(&self) -> &'static Segment {
        // SAFETY: `self.segment` keeps it alive and is never replaced. The lifetime is a lie that stays inside
        // this crate: what it is handed to (attempts, transactions) belongs to the `Ctx` that owns this `Core`
        // and lends it out only with the lifetime of that `Ctx`.
        unsafe { &*Arc::as_ptr(&self.segment) }
    }

    #[inline]
    pub(crate) fn me(&self) -> u16 {
        self.participant.id()
    }

    fn row(&self) -> &'static ParticipantRecord {
        self.segment().participant(self.me())
    }

    pub(crate) fn count_commit(&mut self) {
        self.stats.commits += 1;
        // only we write it
        self.row().commits.store(self.stats.commits, Relaxed);
    }

    pub(crate) fn count_abort(&mut self) {
        self.stats.aborts += 1;
        self.row().aborts.store(self.stats.aborts, Relaxed);
    }
}

/// A slot that is ours, or whose id came out of shared memory and was in range.
pub(crate) fn record(segment: &'static Segment, slot: u16) -> Result<&'static SlotRecord> {
    segment.slot(slot).ok_or(Error::corrupt("a slot that does not exist", slot as u64))
}

/// The version of a word that had version `old` until now, where the writer only reads the clock. The C of the
/// word has been set before, with a full fence after it: a reader whose snapshot is `clock` or later and that saw
/// C clear is not possible.
#[inline(always)]
pub(crate) fn next_version(segment: &Segment, old: u64) -> u64 {
    segment.clock().max(old) + 1
}

/// `ERR_COHEAP_OUT_OF_MEMORY` for a word of this version if there are no versions left for its next. To be called before C
/// is set: who clears C gives the word another version.
#[inline(always)]
pub(crate) fn check_version(segment: &Segment, version: u64) -> Res<()> {
    if next_version(segment, version) >= LAST_WRITE {
        return Err(Fault::Error(Error::used_up()));
    }
    Ok(())
}

/// Advances the clock to a version that was met (CAS-max) and gives the clock. `ERR_COHEAP_CORRUPT` for a version
/// that cannot have been written.
pub(crate) fn advance_clock(segment: &Segment, met: u64, guard: Off) -> Result<u64> {
    let clock = &segment.header().clock;
    if met > clock.load(Acquire).saturating_add(FAR_AHEAD) || met >= LAST_VERSION {
        return Err(Error::corrupt("a version far ahead of the clock", guard));
    }
    // AcqRel: Release publishes that somebody has a snapshot this late (pairs with `next_version`); Acquire pairs
    // with the fetch-add of commits: their C is seen by the validation that follows.
    let now = clock.fetch_max(met, AcqRel).max(met);
    // A single operation sets C, fences, looks at the clock; we advance the clock, fence, look at C: one of the two sees
    // the other. (With load-exclusive and store-exclusive a later load can overtake the store of the RMW.)
    barrier::fence_after_rmw();
    Ok(now)
}
