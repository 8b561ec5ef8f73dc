//! What makes a death final: the roles of those who repair after the dead, and the end of a participant's row.
//!
//! **Roles.** One process at a time repairs one thing (a dead owner's slot, a dead participant's row). It says so in a
//! word, by a compare-exchange from 0 or from a process that is dead; a paused one is waited for. The word names the
//! *process*, {1, generation, row} of the process table: a thread cannot disappear from the middle of a repair
//! without its process, and a process that has just opened the heap can repair before it has a participant's row. A
//! generation never comes back, so neither does the word of a dead process: who loads a dead one, is stopped, and goes on
//! when somebody else has had the role meanwhile, loses its compare-exchange.
//!
//! **A verdict that stays true.** "Is its owner dead?" is asked with the role in hand. A row of the dead is freed by who
//! has the role of its burier only, so the answer cannot become false under us. (A slot's: see `txn::recover`.)
//!
//! **The log of burials.** A row is given to the next thread at once, so that a participant has died, not left, must
//! be remembered elsewhere: in the header, the last [`BURIALS`] of them. Whoever buries appends
//!
//! ```text
//! 63    56 55    46 45             22 21          0
//! | n 8    | id 10 | generation 24   | pid 22       |
//! ```
//!
//! as burial n: first the word by a compare-exchange from burial n - 64, then the count from n to n + 1, which anyone may do
//! who finds the word there. Killed before the row is free, the burial is repeated, and so is its entry: readers
//! skip what they have seen.

use std::sync::atomic::Ordering;

use crate::Segment;
use crate::layout::{BURIALS, LANE_WATCH, MAX_PROCESSES, PROCESS_FREE, ProcessRecord, SlotRecord};
use crate::participant::{RowState, RowUse};
use crate::presence::Member;
use crate::primitive::AtomicU64;
use crate::word::{Status, StatusWord};

/// The right to repair something, until it is dropped.
pub struct Role<'s> {
    word: &'s AtomicU64,
}

impl Drop for Role<'_> {
    fn drop(&mut self) {
        // Release: all repairs come before. Nobody takes the role from a living process.
        self.word.store(0, Ordering::Release);
    }
}

/// A dead participant, and the right to bury it.
pub struct Burial<'s> {
    segment: &'s Segment,
    id: u16,
    state: RowState,
    /// Dropped last: the row is free by then, or still the dead one's.
    _role: Role<'s>,
}

/// A participant that has died and was buried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Death {
    /// Its id.
    pub id: u16,
    /// Which tenant of the row it was.
    pub generation: u32,
    /// Its process, in that process's own pid namespace.
    pub pid: u32,
}

const PID_BITS: u32 = 22;
const GENERATION_BITS: u32 = 24;

impl Death {
    fn to_word(self, n: u64) -> u64 {
        (n & 0xff) << 56
            | (self.id as u64 & 0x3ff) << (PID_BITS + GENERATION_BITS)
            | (self.generation as u64 & 0xff_ffff) << PID_BITS
            | self.pid as u64 & 0x3f_ffff
    }
    /// `None`: it is not burial n.
    fn from_word(word: u64, n: u64) -> Option<Death> {
        let id = (word >> (PID_BITS + GENERATION_BITS)) as u16 & 0x3ff;
        (word >> 56 == n & 0xff && id != 0).then_some(Death {
            id,
            generation: (word >> PID_BITS) as u32 & 0xff_ffff,
            pid: word as u32 & 0x3f_ffff,
        })
    }
}

impl Segment {
    /// Takes the role of who repairs what `word` is about. `None`: somebody alive has it (another thread of this process,
    /// say), or this process is not present. A system call, if somebody has it. Does not block.
    pub fn take_role<'s>(&self, word: &'s AtomicU64) -> Option<Role<'s>> {
        let me = self.own_member()?.to_bits();
        let now = word.load(Ordering::Relaxed);
        if now != 0 && Member::from_bits(now).is_some_and(|member| self.member_is_alive(member)) {
            return None;
        }
        // AcqRel: Acquire pairs with the Release of a predecessor, or of one that died: we see how far it came.
        word.compare_exchange(now, me, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        Some(Role { word })
    }

    /// Every participant that is dead and not yet buried. One system call for each process that has participants.
    pub fn dead_participants(&self) -> Vec<u16> {
        let mut known: Vec<(Member, bool)> = Vec::new();
        let mut dead = Vec::new();
        for id in 1..=self.plan().max_participants as u16 {
            let state = RowState::of(self.participant(id));
            let is_dead = match state.used() {
                RowUse::Free => false,
                RowUse::Abandoned => true,
                RowUse::Claimed | RowUse::Leaving => {
                    let member = state.member();
                    match known.iter().find(|(other, _)| *other == member) {
                        Some((_, dead)) => *dead,
                        None => {
                            let dead = !self.member_is_alive(member);
                            known.push((member, dead));
                            dead
                        }
                    }
                }
            };
            if is_dead {
                dead.push(id);
            }
        }
        dead
    }

    /// Begins to bury a dead participant. `None`: it is not dead, or somebody else is at it. Does not block.
    pub fn begin_burial(&self, id: u16) -> Option<Burial<'_>> {
        let row = self.participant(id);
        let _role = self.take_role(&row.burier)?;
        // With the role in hand: nobody but us frees the row of a dead one.
        let state = RowState::of(row);
        let dead = state.used() != RowUse::Free && self.is_dead(state);
        dead.then_some(Burial { segment: self, id, state, _role })
    }

    /// Burials so far: where a reader of [`Segment::deaths`] begins.
    pub fn burials(&self) -> u64 {
        self.header().buried.load(Ordering::Acquire)
    }

    /// The burials from `seen` on, as far as they are remembered, and the new `seen`. One that had to be repeated comes
    /// twice.
    pub fn deaths(&self, seen: u64) -> (Vec<Death>, u64) {
        // Acquire pairs with the CAS that counted: the words before are there.
        let now = self.burials();
        let first = seen.max(now.saturating_sub(BURIALS as u64));
        let found = (first..now)
            .filter_map(|n| {
                Death::from_word(self.header().burials[n as usize % BURIALS].load(Ordering::Acquire), n)
            })
            .collect();
        (found, now)
    }

    fn note_death(&self, death: Death) {
        let header = self.header();
        // others move the count on, so this ends; a bound for a corrupt one
        for _ in 0..1 << 20 {
            let n = header.buried.load(Ordering::Acquire);
            let word = &header.burials[n as usize % BURIALS];
            let seen = word.load(Ordering::Acquire);
            let count = || {
                // AcqRel: Release hands on the word that was found or stored.
                let _ = header.buried.compare_exchange(n, n + 1, Ordering::AcqRel, Ordering::Relaxed);
            };
            if Death::from_word(seen, n).is_some() {
                count();
            } else if word
                .compare_exchange(seen, death.to_word(n), Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                return count();
            }
        }
    }

    /// Frees the rows of processes that are gone. Nobody may be declared dead by that who was not before, so it
    /// needs no gate: a row that is just being taken has its lock, or a generation of its own.
    pub fn free_dead_processes(&self) {
        let own = self.own_member();
        for row in 0..MAX_PROCESSES {
            let record: &ProcessRecord = self.process(row);
            // Acquire pairs with the release in `appear`.
            let state = record.state.load(Ordering::Acquire);
            let member = Member { row: row as u8, generation: (state >> 32) as u32 & 0xff_ffff };
            if state as u32 == PROCESS_FREE || own == Some(member) || self.member_is_alive(member) {
                continue;
            }
            let free = state >> 32 << 32 | PROCESS_FREE as u64;
            // Release: nothing of ours depends on it. Lost: somebody has taken the row.
            let _ = record.state.compare_exchange(state, free, Ordering::Release, Ordering::Relaxed);
        }
    }

    /// Wakes those who watch for deaths: somebody has come, or has been buried.
    pub(crate) fn ring_watchers(&self) {
        for id in 1..=self.plan().max_participants as u16 {
            if RowState::of(self.participant(id)).used() == RowUse::Claimed {
                self.ring(id, LANE_WATCH);
            }
        }
    }
}

impl Burial<'_> {
    /// The dead one.
    pub fn participant(&self) -> u16 {
        self.id
    }

    /// Its slots.
    pub fn slots(&self) -> Vec<u16> {
        self.owned().map(|(slot, _)| slot).collect()
    }

    fn owned(&self) -> impl Iterator<Item = (u16, &SlotRecord)> {
        let owner = self.state.owner(self.id);
        (1..=self.segment.plan().slots as u16)
            .filter_map(|slot| Some((slot, self.segment.slot(slot)?)))
            // Acquire pairs with `claim_slot`
            .filter(move |(_, record)| record.claimed.load(Ordering::Acquire) == owner)
    }

    /// The last step: gives its slots and its row to whoever comes next, its counters to those of the gone, and notes the
    /// death. `None`, and nothing has happened, if one of its slots is not at rest: IDLE, and building nothing.
    pub fn finish(self) -> Option<Death> {
        let segment = self.segment;
        let at_rest = self.owned().all(|(_, record)| {
            let status = StatusWord(record.status.load(Ordering::Acquire));
            status.status() == Some(Status::Idle) && record.building.load(Ordering::Acquire) % 2 == 0
        });
        if !at_rest {
            return None;
        }
        let owner = self.state.owner(self.id);
        for (_, record) in self.owned() {
            // what it was about to settle for others it will not settle, and what it had built it will not link
            record.giving_back.store(0, Ordering::Relaxed);
            record.fresh_len.store(0, Ordering::Relaxed);
            // Release pairs with `claim_slot`.
            let _ = record.claimed.compare_exchange(owner, 0, Ordering::Release, Ordering::Relaxed);
        }
        let pid = segment.participant(self.id).pid.load(Ordering::Relaxed) as u32;
        let death = Death { id: self.id, generation: self.state.generation(), pid };
        segment.note_death(death);
        segment.give_back_row(self.id, self.state);
        segment.ring_watchers();
        Some(death)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_had_by_one_and_taken_from_the_dead() {
        let sut = Segment::anonymous(1 << 20, 3).unwrap();
        let _me = sut.join(0).unwrap();
        let word = AtomicU64::new(0);
        let role = sut.take_role(&word).unwrap();
        assert!(sut.take_role(&word).is_none());
        drop(role);
        assert_eq!(word.load(Ordering::Relaxed), 0);
        word.store(Member { row: 9, generation: 5 }.to_bits(), Ordering::Relaxed);
        assert!(sut.take_role(&word).is_some(), "there is no such process");
    }

    #[test]
    fn the_dead_are_remembered_in_order_and_the_oldest_forgotten() {
        let sut = Segment::anonymous(1 << 20, 3).unwrap();
        let _me = sut.join(0).unwrap();
        let start = sut.burials();
        for n in 0..300 {
            let other = sut.join(n).unwrap();
            let id = other.id();
            other.abandon();
            let death = sut.begin_burial(id).unwrap().finish().unwrap();
            let (deaths, _) = sut.deaths(start + n);
            assert_eq!(deaths, [death]);
            assert_eq!((death.id, death.pid), (id, std::process::id() & 0x3f_ffff));
        }
        let (deaths, now) = sut.deaths(start);
        assert_eq!((deaths.len(), now), (BURIALS, start + 300));
        assert!(deaths.windows(2).all(|two| two[0].generation + 1 == two[1].generation));
        assert_eq!(sut.deaths(now).0, []);
    }

    #[test]
    fn an_entry_whose_author_died_before_it_counted_is_counted_by_the_next() {
        let sut = Segment::anonymous(1 << 20, 3).unwrap();
        let first = Death { id: 1, generation: 7, pid: 4 };
        sut.header().burials[0].store(first.to_word(0), Ordering::Relaxed);
        assert_eq!(sut.deaths(0).0, []);
        let second = Death { id: 2, generation: 8, pid: 5 };
        sut.note_death(second);
        assert_eq!(sut.deaths(0), (vec![first, second], 2));
    }

    #[test]
    fn the_row_of_a_process_that_is_gone_is_freed_and_our_own_is_not() {
        let sut = Segment::anonymous(1 << 20, 3).unwrap();
        let me = sut.join(0).unwrap();
        let here = |row: usize| sut.process(row).state.load(Ordering::Relaxed) as u32;
        // an anonymous segment has no locks that anyone could hold
        sut.process(3).state.store(5 << 32 | crate::PROCESS_HERE as u64, Ordering::Relaxed);
        sut.free_dead_processes();
        assert_eq!((here(0), here(3)), (crate::PROCESS_HERE, PROCESS_FREE));
        assert_eq!(sut.process(3).state.load(Ordering::Relaxed) >> 32, 5);
        drop(me);
    }
}
