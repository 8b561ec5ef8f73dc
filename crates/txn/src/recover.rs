//! Finishing or undoing what a dead owner left behind, from its slot record alone. Every step is idempotent, so a
//! recoverer that dies is replaced by another; a paused one is waited for.
//!
//! | status of the dead | what is done |
//! | --- | --- |
//! | ACTIVE, PREPARING | → ABORTED, owner fields off the listed words |
//! | ABORTED | owner fields off the listed words |
//! | COMMITTED | groups of the redo log (or the intent line) whose words it still owns are stored, words released |
//! | DIRECT | the word of the intent line gets a new version and no owner |
//!
//! Recovery frees no bodies: they, and the dead one's fresh blocks, are garbage for the collector.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::fence;

use coheap_segment::word::NOBODY;
use coheap_segment::{Error, Off, Result, Segment, SlotRecord, Status, StatusWord, Word};

use crate::barrier;
use crate::contend::{Holder, release};
use crate::core::{Core, record};
use crate::ctx::Ctx;
use crate::direct::MAX_STORES;
use crate::log::walk;

/// True if the holder's intent line or lock list names the word at `at`.
pub(crate) fn names(segment: &Segment, holder: &Holder, at: Off) -> bool {
    let r = holder.record;
    if r.intent[0].load(Acquire) == at {
        return true;
    }
    let mut found = false;
    let walked = walk(segment, &r.locks, &r.locks_more, r.locks_len.load(Acquire), |guard| {
        found = guard == at;
        Ok(!found)
    });
    walked.is_ok() && found
}

/// Recovers slot `dead`, whose owner the system has declared dead. `Ok(false)`: somebody else is at it, or it is not
/// dead. Does not block. `ERR_COHEAP_CORRUPT` if its log makes no sense.
pub(crate) fn recover(core: &mut Core, dead: u16) -> Result<bool> {
    let segment = core.segment();
    let r = record(segment, dead)?;
    let me = core.participant.slot() as u64;
    let now = r.recoverer.load(Acquire);
    if now != 0 && (now > u16::MAX as u64 || !segment.slot_owner_is_dead(now as u16)) {
        return Ok(false);
    }
    // AcqRel: Acquire pairs with the Release of a predecessor that died: we see how far it came.
    if r.recoverer.compare_exchange(now, me, AcqRel, Relaxed).is_err() {
        return Ok(false);
    }
    // a slot that was recovered and given out again meanwhile has a living owner
    let done = if segment.slot_owner_is_dead(dead) { finish(segment, dead, r) } else { Ok(()) };
    // Release: all repairs come before.
    r.recoverer.store(0, Release);
    done.map(|()| true)
}

impl Ctx {
    /// Finishes or undoes what the dead owner of a slot has left, as whoever meets one of its words does. `Ok(false)`: it
    /// is not dead, or somebody else is at it. Does not block.
    pub fn recover(&mut self, slot: u16) -> Result<bool> {
        recover(&mut self.core, slot)
    }
}

fn finish(segment: &Segment, dead: u16, r: &SlotRecord) -> Result<()> {
    let mut status = StatusWord(r.status.load(Acquire));
    while let Some(Status::Active | Status::Preparing) = status.status() {
        let aborted = StatusWord::new(Status::Aborted, status.seq());
        // AcqRel: others may wound it at the same time.
        match r.status.compare_exchange(status.0, aborted.0, AcqRel, Acquire) {
            Ok(_) => status = aborted,
            Err(other) => status = StatusWord(other),
        }
    }
    match status.status() {
        None => return Err(Error::corrupt("a slot's status", dead as u64)),
        Some(Status::Committed) => redo(segment, dead, status.tag(), r)?,
        Some(Status::Direct) => {
            let at = r.intent[0].load(Acquire);
            if at != 0 {
                release(segment, at, segment.word(at)?, dead, status.tag());
            }
        }
        Some(_) => {}
    }
    if status.status() != Some(Status::Idle) {
        walk(segment, &r.locks, &r.locks_more, r.locks_len.load(Acquire), |guard| {
            release(segment, guard, segment.word(guard)?, dead, status.tag());
            Ok(true)
        })?;
    }
    let building = r.building.load(Acquire);
    if building & 1 != 0 {
        r.building.store(building + 1, Release);
    }
    r.fresh_len.store(0, Relaxed);
    if status.status() != Some(Status::Idle) {
        // Release: the words are free before the attempt has ended.
        r.status.store(StatusWord::new(Status::Idle, status.seq() + 1).0, Release);
    }
    Ok(())
}

/// Is the word still the dead one's, with C?
fn owned(segment: &Segment, guard: Off, dead: u16, tag: u8) -> Result<Option<&AtomicU64>> {
    let word = segment.word(guard)?;
    let seen = Word(word.load(Acquire));
    Ok((seen.owner() == dead && seen.tag() == tag && seen.changing()).then_some(word))
}

fn store(segment: &Segment, at: Off, value: u64) -> Result<()> {
    let cell = segment.word(at)?;
    barrier::stored(at, value);
    cell.store(value, Relaxed);
    Ok(())
}

fn let_go(segment: &Segment, guard: Off, word: &AtomicU64, wv: u64) {
    let waiters = Word(word.load(Relaxed)).waiters();
    // Release: with the version come the stores. Under C = 1 nobody but the one recoverer changes the word.
    word.store(Word::new(NOBODY, 0, wv, false).0, Release);
    if waiters {
        segment.waiters_ring(guard);
    }
}

/// Applies the decided commit of a dead owner: all groups that are still owned, then their words.
fn redo(segment: &Segment, dead: u16, tag: u8, r: &SlotRecord) -> Result<()> {
    barrier::fence_after_rmw();
    // C was set by the dead: our stores stay behind our look at it (pairs with the Acquire fence of readers).
    fence(Release);
    let guard = r.intent[0].load(Acquire);
    if guard != 0 {
        let Some(word) = owned(segment, guard, dead, tag)? else { return Ok(()) };
        let head = r.intent[1].load(Relaxed);
        let n = (head >> 56) as usize;
        if n > MAX_STORES {
            return Err(Error::corrupt("an intent line", dead as u64));
        }
        for i in 0..n {
            store(segment, r.intent[2 + 2 * i].load(Relaxed), r.intent[3 + 2 * i].load(Relaxed))?;
        }
        let_go(segment, guard, word, head & ((1 << 48) - 1));
        return Ok(());
    }
    let wv = r.wv.load(Relaxed);
    let len = r.redo_len.load(Acquire);
    // {guard, n, n × (offset, value)}: a small machine over the words of the log, run twice
    for applying in [true, false] {
        let mut state = Group::Guard;
        walk(segment, &r.redo, &r.redo_more, len, |value| {
            state = match state {
                Group::Guard => Group::Count(owned(segment, value, dead, tag)?.is_some(), value),
                Group::Count(ours, guard) => {
                    if ours && !applying {
                        let_go(segment, guard, segment.word(guard)?, wv);
                    }
                    if value == 0 { Group::Guard } else { Group::At(ours, value) }
                }
                Group::At(ours, left) => Group::Value(ours, left, value),
                Group::Value(ours, left, at) => {
                    if ours && applying {
                        store(segment, at, value)?;
                    }
                    if left == 1 { Group::Guard } else { Group::At(ours, left - 1) }
                }
            };
            Ok(true)
        })?;
    }
    Ok(())
}

/// What the next word of a redo log is.
#[derive(Clone, Copy)]
enum Group {
    Guard,
    /// Whether the group's word is still owned; its guard.
    Count(bool, Off),
    /// Still owned; pairs left.
    At(bool, u64),
    /// Still owned; pairs left; the offset to store at.
    Value(bool, u64, Off),
}
