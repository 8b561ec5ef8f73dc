//! What a heap tells about itself.

use std::sync::atomic::Ordering::Relaxed;

use coheap_segment::{ParticipantInfo, Segment};

/// Counts of a whole heap, summed over its participants and those who have left. A snapshot of counters that go on:
/// they need not fit one another to the last unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes that the heap can grow to.
    pub capacity: u64,
    /// Bytes that it takes now.
    pub committed: u64,
    /// Bytes of live blocks.
    pub used: u64,
    /// Bytes that are left.
    pub free: u64,
    /// Live blocks.
    pub objects: u64,
    /// Threads that use it.
    pub participants: u64,
    /// Transactions that took effect.
    pub commits: u64,
    /// Attempts that did not.
    pub aborts: u64,
}

/// See [`Stats`].
pub fn stats(segment: &Segment) -> Stats {
    let (plan, header) = (segment.plan(), segment.header());
    let mut commits = header.commits_by_gone.load(Relaxed);
    let mut aborts = header.aborts_by_gone.load(Relaxed);
    for id in 1..=plan.max_participants as u16 {
        let row = segment.participant(id);
        commits = commits.wrapping_add(row.commits.load(Relaxed));
        aborts = aborts.wrapping_add(row.aborts.load(Relaxed));
    }
    let not_negative = |x: u64| (x as i64).max(0) as u64;
    // a participant may have freed more than it handed out: counters wrap, their sum does not
    let used = not_negative(coheap_slab::used(segment));
    Stats {
        capacity: plan.max_size,
        committed: segment.refresh_committed(),
        used,
        free: plan.max_size.saturating_sub(plan.data).saturating_sub(used),
        objects: not_negative(coheap_slab::objects(segment)),
        participants: participants(segment).iter().filter(|p| p.alive).count() as u64,
        commits,
        aborts,
    }
}

/// Everyone who has joined, the dead that are not yet buried too.
pub fn participants(segment: &Segment) -> Vec<ParticipantInfo> {
    segment.participants()
}
