//! Participants and slots: who uses the heap, and how their rows are claimed, given back, and taken from the
//! dead.
//!
//! A row's state is one word, so that a claim is one CAS and at no instant of it a kill can leave a row whose
//! claimant is unknown:
//!
//! ```text
//! 63           40 39                16 15          8 7      0
//! | generation 24 | process generation | process row | state |
//! ```
//!
//! A participant lives while its process does, of which the kernel keeps account (`presence`). A slot names
//! its owner as {generation of the participant's row, participant}, so a slot that was left behind by an
//! earlier tenant of the row is known to have lost its owner.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::layout::ParticipantRecord;
use crate::presence::Member;
use crate::primitive::fence;
use crate::word::{Status, StatusWord};
use crate::{Code, Error, Result, Segment};

/// What a participant's row is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RowUse {
    Free = 0,
    Claimed = 1,
    /// Being given back, by its participant or by who buries it.
    Leaving = 2,
    /// Its thread is gone and has left work undone.
    Abandoned = 3,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowState(u64);

impl RowState {
    pub(crate) const fn new(generation: u32, member: Member, used: RowUse) -> RowState {
        RowState(
            (generation as u64) << 40
                | (member.generation as u64 & 0xff_ffff) << 16
                | (member.row as u64) << 8
                | used as u64,
        )
    }
    const fn free(generation: u32) -> RowState {
        RowState((generation as u64) << 40)
    }
    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> 40) as u32
    }
    pub(crate) const fn member(self) -> Member {
        Member { row: (self.0 >> 8) as u8, generation: (self.0 >> 16) as u32 & 0xff_ffff }
    }
    pub(crate) const fn used(self) -> RowUse {
        match self.0 as u8 {
            0 => RowUse::Free,
            1 => RowUse::Claimed,
            2 => RowUse::Leaving,
            // a state that does not exist is as good as abandoned: the row is looked after and freed
            _ => RowUse::Abandoned,
        }
    }
    /// How a slot names the participant `id` of this generation as its owner.
    pub(crate) const fn owner(self, id: u16) -> u64 {
        (self.generation() as u64) << 32 | id as u64
    }
    pub(crate) fn of(row: &ParticipantRecord) -> RowState {
        // Acquire pairs with the release of whoever gave the row this state: its fields are from then or later.
        RowState(row.state.load(Ordering::Acquire))
    }
}

/// What is known about a participant, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipantInfo {
    /// Its id.
    pub id: u16,
    /// Which tenant of that id it is.
    pub generation: u32,
    /// Its process, in that process's own pid namespace.
    pub pid: u32,
    /// Its thread, as it named itself when joining.
    pub thread: u64,
    /// When it joined, in milliseconds since 1970.
    pub since: u64,
    /// The kernel says that its process lives.
    pub alive: bool,
    /// It is of this process.
    pub own: bool,
}

/// One thread's membership. Dropping it leaves the heap: the rows go back, and the last to leave removes a
/// heap that is not persistent.
pub struct Participant {
    segment: Arc<Segment>,
    id: u16,
    slot: u16,
    state: RowState,
}

impl Participant {
    /// The participant's id, from 1.
    #[inline]
    pub fn id(&self) -> u16 {
        self.id
    }
    /// The slot of its callbacks and single operations.
    #[inline]
    pub fn slot(&self) -> u16 {
        self.slot
    }
    /// The heap.
    #[inline]
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }
    /// Leaves as a killed thread would: the rows stay claimed and count as a dead one's, to be recovered and
    /// buried. For a thread that has ended in the middle of its work, and for tests of recovery.
    pub fn abandon(self) {
        let row = self.segment.participant(self.id);
        // Release pairs with `RowState::of`: who finds it dead sees all that it did. The rest is left to the
        // drop, which sees that the row is no longer its own.
        row.state.store(
            RowState::new(self.state.generation(), self.state.member(), RowUse::Abandoned).0,
            Ordering::Release,
        );
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        let row = self.segment.participant(self.id);
        let leaving = RowState::new(self.state.generation(), self.state.member(), RowUse::Leaving);
        // AcqRel: as in `RowState::of`. Not ours any more when abandoned.
        if row.state.compare_exchange(self.state.0, leaving.0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            if self.segment.give_back_slots(self.state.owner(self.id)) {
                self.segment.give_back_row(self.id, leaving);
            } else {
                // a slot is in the middle of something: that is recovery's business
                let left = RowState::new(self.state.generation(), self.state.member(), RowUse::Abandoned);
                row.state.store(left.0, Ordering::Release);
            }
        }
        self.segment.leave();
    }
}

impl Segment {
    /// Joins the heap as one more thread. `thread` is a number for people. `ERR_COHEAP_TOO_MANY_PARTICIPANTS`
    /// when all rows are taken, those of the dead that nobody has buried too. Never blocks for long.
    pub fn join(self: &Arc<Self>, thread: u64) -> Result<Participant> {
        let member = self.enter()?;
        self.claim_row(member, thread).inspect_err(|_| self.leave())
    }

    fn claim_row(self: &Arc<Self>, member: Member, thread: u64) -> Result<Participant> {
        let Some((id, state)) = self.try_claim_row(member) else {
            return Err(Error::about(
                Code::TooManyParticipants,
                "as many threads as the heap's maxParticipants have joined it",
                self.plan().max_participants as u64,
            ));
        };
        let row = self.participant(id);
        row.process.store(member.row as u64, Ordering::Relaxed);
        row.pid.store(std::process::id() as u64, Ordering::Relaxed);
        row.thread.store(thread, Ordering::Relaxed);
        row.since.store(since_1970(), Ordering::Relaxed);
        for bell in &row.bells {
            bell.sleepers.store(0, Ordering::Relaxed);
        }
        self.waiters_forget(id);
        match self.claim_slot(id) {
            Ok(slot) => {
                row.slot.store(slot as u64, Ordering::Relaxed);
                self.ring_watchers();
                Ok(Participant { segment: self.clone(), id, slot, state })
            }
            Err(error) => {
                self.give_back_row(id, state);
                Err(error)
            }
        }
    }

    fn try_claim_row(&self, member: Member) -> Option<(u16, RowState)> {
        (1..=self.plan().max_participants as u16).find_map(|id| {
            let row = self.participant(id);
            let seen = RowState::of(row);
            if seen.used() != RowUse::Free {
                return None;
            }
            let mine = RowState::new(seen.generation().wrapping_add(1) & 0xff_ffff, member, RowUse::Claimed);
            // AcqRel: what the last tenant stored comes before what we store; Acquire on failure as in `of`.
            row.state.compare_exchange(seen.0, mine.0, Ordering::AcqRel, Ordering::Acquire).ok()?;
            Some((id, mine))
        })
    }

    /// Claims a free slot for `participant`, a live one of this process. Its sequence number goes on from where
    /// its last owner left it. `ERR_COHEAP_TOO_MANY_PARTICIPANTS` when none is free. Never blocks.
    pub fn claim_slot(&self, participant: u16) -> Result<u16> {
        let mine = RowState::of(self.participant(participant)).owner(participant);
        let slots = self.plan().slots as u16;
        // the first is where this row's own slot usually is; then those beyond the participants' own
        let start = participant.min(slots);
        for slot in (start..=slots).chain(1..start) {
            let Some(record) = self.slot(slot) else { continue };
            // AcqRel pairs with the release in `release_slot`: the last owner's last status is seen.
            if record.claimed.load(Ordering::Relaxed) == 0
                && record.claimed.compare_exchange(0, mine, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            {
                return Ok(slot);
            }
        }
        Err(Error::about(Code::TooManyParticipants, "all transaction slots are in use", slots as u64))
    }

    /// Gives a slot back. Its status is IDLE: nothing of its last attempt is left to do.
    pub fn release_slot(&self, slot: u16) {
        if let Some(record) = self.slot(slot) {
            // Release pairs with `claim_slot`.
            record.claimed.store(0, Ordering::Release);
        }
    }

    /// The participant that owns a slot, live or dead; `None` for a free slot or one out of range.
    pub fn slot_participant(&self, slot: u16) -> Option<u16> {
        let claimed = self.slot(slot)?.claimed.load(Ordering::Acquire);
        let p = claimed as u32;
        (p >= 1 && p <= self.plan().max_participants).then_some(p as u16)
    }

    /// True if the slot's owner is gone and has not given the slot back: its process is dead (the kernel says
    /// so), or its thread has ended in the middle of its work. A system call unless the owner is of this process.
    pub fn slot_owner_is_dead(&self, slot: u16) -> bool {
        let Some(record) = self.slot(slot) else { return false };
        // Acquire pairs with `claim_slot`.
        let claimed = record.claimed.load(Ordering::Acquire);
        // All loads are acquires, so the last one comes last: a slot that changed hands meanwhile says nothing about
        // its new owner.
        claimed != 0 && self.claimant_is_dead(claimed) && record.claimed.load(Ordering::Acquire) == claimed
    }

    /// True if whoever claimed a slot by this word ([`crate::SlotRecord::claimed`]) is gone, and if nobody could have
    /// done so. Unlike a slot's number the word never names a later one. May be a system call.
    pub fn claimant_is_dead(&self, claimed: u64) -> bool {
        let p = claimed as u32;
        if p == 0 || p > self.plan().max_participants {
            return true;
        }
        let state = RowState::of(self.participant(p as u16));
        state.generation() != (claimed >> 32) as u32 || self.is_dead(state)
    }

    /// True if a participant's row is taken by one that is gone and not yet buried. May be a system call.
    pub fn participant_is_dead(&self, id: u16) -> bool {
        let row = self.participant(id);
        let state = RowState::of(row);
        // The fence orders the look at its process before the second look at the row.
        let dead = state.used() != RowUse::Free && self.is_dead(state);
        fence(Ordering::Acquire);
        dead && row.state.load(Ordering::Acquire) == state.0
    }

    pub(crate) fn is_dead(&self, state: RowState) -> bool {
        match state.used() {
            RowUse::Free => true,
            RowUse::Abandoned => true,
            RowUse::Claimed | RowUse::Leaving => !self.member_is_alive(state.member()),
        }
    }

    /// Everyone whose row is taken, the dead who are not yet buried too.
    pub fn participants(&self) -> Vec<ParticipantInfo> {
        let mut found = Vec::new();
        for id in 1..=self.plan().max_participants as u16 {
            let row = self.participant(id);
            let state = RowState::of(row);
            if state.used() == RowUse::Free {
                continue;
            }
            let info = ParticipantInfo {
                id,
                generation: state.generation(),
                pid: row.pid.load(Ordering::Relaxed) as u32,
                thread: row.thread.load(Ordering::Relaxed),
                since: row.since.load(Ordering::Relaxed),
                alive: !self.is_dead(state),
                own: self.is_own(state.member()),
            };
            if row.state.load(Ordering::Acquire) == state.0 {
                found.push(info);
            }
        }
        found
    }

    /// Frees the slots of an owner if all of them are idle.
    fn give_back_slots(&self, owner: u64) -> bool {
        let mine = || {
            (1..=self.plan().slots as u16)
                .filter_map(|slot| self.slot(slot))
                .filter(move |record| record.claimed.load(Ordering::Acquire) == owner)
        };
        let idle = mine().all(|record| {
            let status = StatusWord(record.status.load(Ordering::Acquire));
            status.status() == Some(Status::Idle) && record.building.load(Ordering::Acquire) % 2 == 0
        });
        if idle {
            for record in mine() {
                // Release pairs with `claim_slot`.
                let _ = record.claimed.compare_exchange(owner, 0, Ordering::Release, Ordering::Relaxed);
            }
        }
        idle
    }

    /// Frees a row that only we may touch, moving its counters to those of the gone.
    pub(crate) fn give_back_row(&self, id: u16, state: RowState) {
        let (row, header) = (self.participant(id), self.header());
        for (mine, gone) in [
            (&row.used, &header.used_by_gone),
            (&row.objects, &header.objects_by_gone),
            (&row.commits, &header.commits_by_gone),
            (&row.aborts, &header.aborts_by_gone),
        ] {
            // Relaxed: counters for people; a kill in between loses a count.
            gone.fetch_add(mine.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        }
        self.waiters_forget(id);
        for bell in &row.bells {
            bell.sleepers.store(0, Ordering::Relaxed);
        }
        // Release pairs with the claim in `try_claim_row`.
        row.state.store(RowState::free(state.generation()).0, Ordering::Release);
    }
}

pub(crate) fn since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn participants_get_different_rows_and_slots_and_give_them_back() {
        let sut = Segment::anonymous(1 << 20, 3).unwrap();
        let all: Vec<_> = (0..3).map(|n| sut.join(n).unwrap()).collect();
        assert_eq!(all.iter().map(|p| (p.id(), p.slot())).collect::<Vec<_>>(), [(1, 1), (2, 2), (3, 3)]);
        assert_eq!(sut.join(9).err().unwrap().code, Code::TooManyParticipants);
        drop(all);
        assert_eq!(sut.join(0).unwrap().id(), 1);
    }

    #[test]
    fn an_explicit_transaction_gets_a_slot_of_its_own() {
        let sut = Segment::anonymous(1 << 20, 1).unwrap();
        let me = sut.join(0).unwrap();
        let more = sut.claim_slot(me.id()).unwrap();
        assert_ne!(more, me.slot());
        assert_eq!(sut.slot_participant(more), Some(me.id()));
        assert_eq!(sut.claim_slot(me.id()).err().unwrap().code, Code::TooManyParticipants);
        sut.release_slot(more);
        assert_eq!(sut.claim_slot(me.id()).unwrap(), more);
    }

    #[test]
    fn a_live_owner_is_not_dead_and_an_abandoned_one_is() {
        let sut = Segment::anonymous(1 << 20, 2).unwrap();
        let (a, b) = (sut.join(0).unwrap(), sut.join(1).unwrap());
        let (id, slot) = (a.id(), a.slot());
        assert!(!sut.slot_owner_is_dead(slot) && !sut.participant_is_dead(id));
        sut.slot(slot).unwrap().status.store(StatusWord::new(Status::Active, 7).0, Ordering::SeqCst);
        a.abandon();
        assert!(sut.slot_owner_is_dead(slot) && sut.participant_is_dead(id));
        let burial = sut.begin_burial(id).unwrap();
        assert_eq!(burial.slots(), [slot]);
        assert!(burial.finish().is_none(), "its slot is in the middle of a transaction");
        assert!(sut.slot_owner_is_dead(slot));
        sut.slot(slot).unwrap().status.store(StatusWord::new(Status::Idle, 8).0, Ordering::SeqCst);
        assert_eq!(sut.dead_participants(), [id]);
        assert!(sut.begin_burial(id).unwrap().finish().is_some());
        assert!(!sut.slot_owner_is_dead(slot) && !sut.participant_is_dead(id));
        assert!(sut.begin_burial(id).is_none());
        assert_eq!(sut.join(2).unwrap().id(), id);
        drop(b);
    }

    #[test]
    fn the_counters_of_the_dead_are_those_of_the_gone() {
        let sut = Segment::anonymous(1 << 20, 2).unwrap();
        let a = sut.join(0).unwrap();
        let _b = sut.join(1).unwrap();
        sut.participant(a.id()).commits.store(5, Ordering::Relaxed);
        let id = a.id();
        a.abandon();
        assert!(sut.begin_burial(id).unwrap().finish().is_some());
        assert_eq!(sut.join(2).unwrap().id(), id);
        assert_eq!(sut.header().commits_by_gone.load(Ordering::Relaxed), 5);
    }
}
