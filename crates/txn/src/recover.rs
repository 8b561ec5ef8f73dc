//! Finishing or undoing what a dead owner left behind, from its slot record alone, and burying a dead participant.
//! Every step is idempotent, so a recoverer that dies is replaced by another; a paused one is waited for. Nothing of it
//! needs a participant of one's own: who opens a heap in which all are dead repairs it before it joins.
//!
//! | status of the dead | what is done |
//! | --- | --- |
//! | ACTIVE, PREPARING | → ABORTED; claims of other floors are undone; owner fields off the listed words |
//! | ABORTED | claims undone, owner fields off the listed words |
//! | COMMITTED | groups of the redo log (or the intent line) whose words it still owns are stored; claims take effect; words released |
//! | DIRECT | claims undone; the word of the intent line gets a new version and no owner |
//!
//! Then the slot is IDLE, under the next number. The other floors come before that, for afterwards nobody can tell what was
//! decided ([`on_recovery`]).
//!
//! *A verdict that stays true.* The role alone does not keep a slot from being given to a living owner: one that is at rest
//! (IDLE, building nothing) is given away by whoever buries the participant. So the state is looked at before the
//! question whether its owner is dead, and again after it. Sequence numbers never come back: the same state twice, not at
//! rest, means that the slot was never at rest in between, so its owner is the one that was asked about; and it stays
//! not at rest until who has the role says otherwise.
//!
//! Recovery frees no bodies: they, and the dead one's fresh blocks, are garbage for the collector.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::{Arc, OnceLock};

use coheap_segment::primitive::{AtomicU64, fence};
use coheap_segment::word::NOBODY;
use coheap_segment::{Death, Error, Off, Result, Segment, SlotRecord, Status, StatusWord, Word};

use crate::barrier;
use crate::contend::{Holder, Verdict, judge, release, strip};
use crate::core::Core;
use crate::ctx::Ctx;
use crate::direct::MAX_STORES;
use crate::handles::Handles;
use crate::log::walk;
use crate::mem::Guard;
use crate::party::Hand;

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

/// What another floor does for a dead slot: settles all that the slot's attempt claimed there, by the slot's status.
/// ABORTED, DIRECT: as if it had never been; COMMITTED: as decided. May be called again after a death in the middle.
pub type Settle = fn(&Arc<Segment>, slot: u16) -> Result<()>;

static SETTLE: OnceLock<Settle> = OnceLock::new();

/// Registers the floor above that makes claims of its own ([`crate::Party`], [`crate::Hand`]), for this whole process. To be
/// done before anything is recovered: with the claims of a floor that nobody speaks for, a decided message would be lost.
/// The first registration counts.
pub fn on_recovery(settle: Settle) {
    let _ = SETTLE.set(settle);
}

/// Finishes or undoes what the dead owner of a slot has left. `Ok(true)`: the slot is at rest now, or was. `Ok(false)`: its
/// owner lives, or somebody else is at it. `ERR_COHEAP_CORRUPT` if its log makes no sense: then the slot stays as
/// it is. Does not block.
pub fn recover(segment: &Arc<Segment>, slot: u16) -> Result<bool> {
    let Some(r) = segment.slot(slot) else {
        return Err(Error::corrupt("a slot that does not exist", slot as u64));
    };
    // Acquire pairs with the Release of every change of either.
    let state = || (StatusWord(r.status.load(Acquire)), r.building.load(Acquire));
    let at_rest =
        |(status, building): (StatusWord, u64)| status.status() == Some(Status::Idle) && building % 2 == 0;
    if at_rest(state()) {
        return Ok(true);
    }
    let Some(_role) = segment.take_role(&r.recoverer) else { return Ok(false) };
    loop {
        let before = state();
        if at_rest(before) {
            return Ok(true);
        }
        if !segment.slot_owner_is_dead(slot) {
            return Ok(false);
        }
        // others abort an undecided attempt at any time; nothing else of it can change any more, so this ends
        if state() == before {
            return finish(segment, slot, r).map(|()| true);
        }
    }
}

/// Buries a dead participant: its slots are recovered, its bitmap words and claims in the allocator given up, its handles
/// dropped, its slots and its row free for the next. `None`: it is not dead, or somebody else is at it, or at one of its
/// slots. `ERR_COHEAP_CORRUPT` as [`recover`], or the allocator's directory makes no sense; the row is then not given
/// away. Looks at the whole heap's metadata. Does not block.
pub fn bury(segment: &Arc<Segment>, participant: u16) -> Result<Option<Death>> {
    let Some(burial) = segment.begin_burial(participant) else { return Ok(None) };
    for slot in burial.slots() {
        if !recover(segment, slot)? {
            return Ok(None);
        }
    }
    coheap_slab::recover(segment, participant)?;
    // last: until here what its unfinished work referred to was rooted
    drop(Handles::adopt(segment, &segment.participant(participant).handles));
    Ok(burial.finish())
}

/// Buries all the dead of a heap, and frees the rows of processes that are gone. A system call for each other process that
/// has participants. Goes on after an error, and returns the first.
pub fn sweep(segment: &Arc<Segment>) -> Result<()> {
    let mut result = Ok(());
    for id in segment.dead_participants() {
        result = result.and(bury(segment, id).map(drop));
    }
    segment.free_dead_processes();
    result
}

impl Ctx {
    /// [`recover`] of one slot of this heap.
    pub fn recover(&mut self, slot: u16) -> Result<bool> {
        recover(self.core.shared(), slot)
    }
}

impl Hand<'_> {
    /// Takes the owner off a version word if it has lost the word or is dead, for who waits for the word. Does not block; a
    /// system call, unless the owner is of this process.
    pub fn free_word(&mut self, guard: Guard) -> Result<()> {
        free_word(self.core, guard.0)
    }
}

/// See [`Hand::free_word`].
pub(crate) fn free_word(core: &Core, at: Off) -> Result<()> {
    let segment = core.segment();
    let word = segment.word(at)?;
    // Acquire: the first half of the verdict, see `judge`.
    let seen = Word(word.load(Acquire));
    match judge(segment, at, word, seen)? {
        Verdict::Moved | Verdict::Free => {}
        Verdict::Takeable => {
            strip(segment, at, word, seen);
        }
        Verdict::Undecided(holder) | Verdict::Deciding(holder) => {
            if segment.slot_owner_is_dead(holder.slot) {
                recover(core.shared(), holder.slot)?;
            }
        }
    }
    Ok(())
}

/// Brings the slot to rest: for who has the role of its recoverer, or is its owner.
pub(crate) fn finish(segment: &Arc<Segment>, dead: u16, r: &SlotRecord) -> Result<()> {
    let mut status = StatusWord(r.status.load(Acquire));
    while let Some(Status::Active | Status::Preparing) = status.status() {
        let aborted = StatusWord::new(Status::Aborted, status.seq());
        // AcqRel: others may wound it at the same time.
        match r.status.compare_exchange(status.0, aborted.0, AcqRel, Acquire) {
            Ok(_) => status = aborted,
            Err(other) => status = StatusWord(other),
        }
    }
    let tag = status.tag();
    let line = r.intent[0].load(Acquire);
    // C was set by the dead: our stores stay behind our look at its status (pairs with the Acquire fence of readers).
    barrier::fence_after_rmw();
    fence(Release);
    match status.status() {
        None => return Err(Error::corrupt("a slot's status", dead as u64)),
        Some(Status::Idle) => {}
        Some(Status::Committed) if line != 0 => redo_line(segment, line, dead, tag, r)?,
        Some(Status::Direct) if line != 0 => release(segment, line, segment.word(line)?, dead, tag),
        Some(now) => {
            if now == Status::Committed {
                redo_groups(segment, dead, tag, r, Phase::Store)?;
            }
            // An error is a corrupt channel: whoever uses it next meets it. It must not hold up everything else.
            let _ = SETTLE.get().map(|settle| settle(segment, dead));
            if now == Status::Committed {
                redo_groups(segment, dead, tag, r, Phase::Release)?;
            }
            // Owner fields off the listed words, which have been reserved but not written, or not yet.
            walk(segment, &r.locks, &r.locks_more, r.locks_len.load(Acquire), |guard| {
                release(segment, guard, segment.word(guard)?, dead, tag);
                Ok(true)
            })?;
        }
    }
    r.fresh_len.store(0, Relaxed);
    // an announcement made in its stead, or its own last one: there is nothing left to settle
    r.giving_back.store(0, Relaxed);
    if status.status() != Some(Status::Idle) {
        // Release: the words are free before the attempt has ended.
        r.status.store(StatusWord::new(Status::Idle, status.seq() + 1).0, Release);
    }
    let building = r.building.load(Relaxed);
    if building & 1 != 0 {
        // Last: with both the slot is at rest.
        r.building.store(building.wrapping_add(1), Release);
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

/// Which half of applying a log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// All groups whose words are still owned.
    Store,
    /// Then those words.
    Release,
}

/// Redoes the decided single operation of a dead owner, if its word is still owned.
fn redo_line(segment: &Segment, guard: Off, dead: u16, tag: u8, r: &SlotRecord) -> Result<()> {
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
    Ok(())
}

/// One half of applying the decided commit of a dead owner, for all groups that are still owned.
fn redo_groups(segment: &Segment, dead: u16, tag: u8, r: &SlotRecord, phase: Phase) -> Result<()> {
    let wv = r.wv.load(Relaxed);
    // {guard, n, n × (offset, value)}: a small machine over the words of the log
    let mut state = Group::Guard;
    walk(segment, &r.redo, &r.redo_more, r.redo_len.load(Acquire), |value| {
        state = match state {
            Group::Guard => Group::Count(owned(segment, value, dead, tag)?.is_some(), value),
            Group::Count(ours, guard) => {
                if ours && phase == Phase::Release {
                    let_go(segment, guard, segment.word(guard)?, wv);
                }
                if value == 0 { Group::Guard } else { Group::At(ours, value) }
            }
            Group::At(ours, left) => Group::Value(ours, left, value),
            Group::Value(ours, left, at) => {
                if ours && phase == Phase::Store {
                    store(segment, at, value)?;
                }
                if left == 1 { Group::Guard } else { Group::At(ours, left - 1) }
            }
        };
        Ok(true)
    })
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
