//! What an owned place means, and settling it in its owner's stead.
//!
//! A PUTTING or TAKEN word names its owner's slot and the tag of its attempt; the slot's status says the rest. An
//! owner settles all its places before it leaves the attempt, so a status of another attempt means: look again.
//!
//! | status of that attempt | PUTTING | TAKEN |
//! | --- | --- | --- |
//! | ACTIVE, PREPARING, DIRECT | not there yet | gone unless it comes back |
//! | COMMITTED | → FULL | → consumed |
//! | ABORTED, or another attempt | → consumed (a tombstone) | → FULL |
//!
//! Anybody may do what the table says, by a CAS from the very word that was judged.
//!
//! **The wrapped tag.** Tags have four bits. A CAS from PUTTING is safe at any later time, for a place is put to
//! once in a lap. But TAKEN by {owner, tag} can come again: given back, and taken again by the same owner sixteen
//! attempts later. Somebody who judged the first TAKEN, was stopped, and now CASes, would undo the second: a message
//! delivered twice, or lost. Therefore who settles a TAKEN of somebody else first announces {owner, tag} in its own
//! slot, and judges after that (Michael's hazard pointers, turned round); a message given back marks the tag in
//! its owner's slot; and before an owner takes under a marked tag it looks for announcements of it
//! ([`tag_is_safe`]): found, it uses its next tag. Announcements and looks are SeqCst: a helper whose announcement
//! was not seen judges after the owner's new attempt began, and judges that one.

use std::sync::atomic::Ordering;

use coheap_segment::primitive::{AtomicU64, fence};
use coheap_segment::{Segment, Status, StatusWord};

use crate::word::{Owner, SlotWord, State};

/// What an attempt that owns a place is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A transaction that can still commit, or abort by anyone's hand.
    Undecided,
    /// A single operation on its way: only its owner ends it, or its death.
    Direct,
    /// It takes effect.
    Committed,
    /// Aborted, or another attempt.
    Over,
}

/// What the slot's status says of the attempt with this tag.
pub(crate) fn judge(seg: &Segment, owner: Owner) -> Verdict {
    let Some(slot) = seg.slot(owner.slot) else { return Verdict::Over };
    // SeqCst: after the load of the place, and after our announcement where there is one. Acquire pairs with the
    // owner's status stores: a COMMITTED seen here comes after all its claims.
    let status = StatusWord(slot.status.load(Ordering::SeqCst));
    if status.tag() != owner.tag {
        return Verdict::Over;
    }
    match status.status() {
        Some(Status::Active | Status::Preparing) => Verdict::Undecided,
        Some(Status::Direct) => Verdict::Direct,
        Some(Status::Committed) => Verdict::Committed,
        Some(Status::Idle | Status::Aborted) | None => Verdict::Over,
    }
}

/// How an owned place stands after [`settle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// The place is no longer what it was: look again.
    Changed,
    /// A message has come back, or has come: look again, and wake takers.
    Appeared,
    /// Consumed, or a tombstone: look again, and wake putters.
    Gone,
    /// It stands as it was: its owner is neither decided nor over.
    Stands(Verdict),
}

/// Does to the place whose word is `seen` what the table says. `me` is a slot of this thread.
pub(crate) fn settle(seg: &Segment, me: u16, place: &AtomicU64, seen: SlotWord) -> Settled {
    let owner = seen.owner();
    match seen.state() {
        State::Putting => match judge(seg, owner) {
            Verdict::Committed => swap(place, seen, seen.settled(), Settled::Appeared),
            Verdict::Over => swap(place, seen, seen.consumed(), Settled::Gone),
            stands => Settled::Stands(stands),
        },
        State::Taken => match judge(seg, owner) {
            Verdict::Committed | Verdict::Over => {
                let _announced = Announcement::of(seg, me, owner);
                if place.load(Ordering::SeqCst) != seen.0 {
                    return Settled::Changed;
                }
                match judge(seg, owner) {
                    Verdict::Committed => swap(place, seen, seen.consumed(), Settled::Gone),
                    Verdict::Over => give_back(seg, place, seen),
                    stands => Settled::Stands(stands),
                }
            }
            stands => Settled::Stands(stands),
        },
        _ => Settled::Changed,
    }
}

/// Aborts the attempt, if it is undecided: always safe. True if it is over now.
pub(crate) fn abort(seg: &Segment, owner: Owner) -> bool {
    let Some(slot) = seg.slot(owner.slot) else { return true };
    let status = StatusWord(slot.status.load(Ordering::SeqCst));
    if status.tag() != owner.tag {
        return true;
    }
    match status.status() {
        Some(Status::Active | Status::Preparing) => {
            let aborted = StatusWord::new(Status::Aborted, status.seq());
            // SeqCst: a decision, like the owner's own. The whole sequence number is in the expected value, so only
            // this attempt can be meant; failing, it has gone on, and its status says where.
            slot.status.compare_exchange(status.0, aborted.0, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        }
        Some(Status::Direct | Status::Committed) => false,
        Some(Status::Idle | Status::Aborted) | None => true,
    }
}

/// Ends the attempt that owns the place, if that is possible without its owner: an undecided one by aborting it
/// (always safe), a single operation if its owner is dead. Then settles the place. A system call, for a single
/// operation of another process.
pub(crate) fn overrule(seg: &Segment, me: u16, place: &AtomicU64, seen: SlotWord) -> Settled {
    let owner = seen.owner();
    let Some(slot) = seg.slot(owner.slot) else { return settle(seg, me, place, seen) };
    let status = StatusWord(slot.status.load(Ordering::SeqCst));
    if status.tag() == owner.tag {
        match status.status() {
            Some(Status::Active | Status::Preparing) => {
                abort(seg, owner);
            }
            Some(Status::Direct) => {
                // announced: the slot may be recovered and given to somebody else while we are stopped here
                let _announced = Announcement::of(seg, me, owner);
                let same = || {
                    place.load(Ordering::SeqCst) == seen.0 && slot.status.load(Ordering::SeqCst) == status.0
                };
                if same() && seg.slot_owner_is_dead(owner.slot) && same() {
                    return match seen.state() {
                        State::Putting => swap(place, seen, seen.consumed(), Settled::Gone),
                        State::Taken => give_back(seg, place, seen),
                        _ => Settled::Changed,
                    };
                }
                return Settled::Stands(Verdict::Direct);
            }
            _ => {}
        }
    }
    settle(seg, me, place, seen)
}

/// As [`settle`], of an owner that is dead and that the caller alone repairs: a single operation of it has come to nothing.
pub(crate) fn settle_of_dead(seg: &Segment, me: u16, place: &AtomicU64, seen: SlotWord) -> Settled {
    match settle(seg, me, place, seen) {
        Settled::Stands(Verdict::Direct) => match seen.state() {
            State::Putting => swap(place, seen, seen.consumed(), Settled::Gone),
            _ => {
                let _announced = Announcement::of(seg, me, seen.owner());
                give_back(seg, place, seen)
            }
        },
        settled => settled,
    }
}

fn swap(place: &AtomicU64, from: SlotWord, to: SlotWord, done: Settled) -> Settled {
    // SeqCst: Release hands on what the putter wrote (we acquired it), and the total order lets a sleeper's last look
    // and our look for sleepers see one another.
    match place.compare_exchange(from.0, to.0, Ordering::SeqCst, Ordering::SeqCst) {
        Ok(_) => done,
        Err(_) => Settled::Changed,
    }
}

/// TAKEN → FULL in its place. The caller owns the attempt, or has announced it.
pub(crate) fn give_back(seg: &Segment, place: &AtomicU64, seen: SlotWord) -> Settled {
    let owner = seen.owner();
    if let Some(slot) = seg.slot(owner.slot) {
        // SeqCst, before the CAS: the mark is there before the word can come again
        slot.given_back.fetch_or(1 << owner.tag, Ordering::SeqCst);
    }
    swap(place, seen, seen.settled(), Settled::Appeared)
}

/// "I am about to settle what this attempt has taken."
struct Announcement<'s> {
    word: Option<&'s AtomicU64>,
}

const ANNOUNCED: u64 = 1 << 14;

impl<'s> Announcement<'s> {
    fn of(seg: &'s Segment, me: u16, owner: Owner) -> Announcement<'s> {
        let word = seg.slot(me).map(|slot| &slot.giving_back);
        if let Some(word) = word {
            // SeqCst pairs with the looks of `tag_is_safe`: it sees this, or we judge its new attempt.
            word.store(ANNOUNCED | (owner.tag as u64) << 10 | owner.slot as u64, Ordering::SeqCst);
        }
        Announcement { word }
    }
}

impl Drop for Announcement<'_> {
    fn drop(&mut self) {
        if let Some(word) = self.word {
            // Release: our CAS comes before the end of the announcement.
            word.store(0, Ordering::Release);
        }
    }
}

/// True if `owner`, whose attempt has begun, may take under its tag. Almost always one load of its own slot; after
/// a message was given back, one look over all slots.
#[inline]
pub(crate) fn tag_is_safe(seg: &Segment, owner: Owner) -> bool {
    match seg.slot(owner.slot) {
        // Acquire pairs with the marks of `give_back`; this attempt's own predecessor has seen them all
        Some(slot) => {
            slot.given_back.load(Ordering::Acquire) & 1 << owner.tag == 0 || nobody_announced(seg, owner)
        }
        None => true,
    }
}

#[cold]
fn nobody_announced(seg: &Segment, owner: Owner) -> bool {
    // SeqCst fence: the status that began this attempt is visible before we look.
    fence(Ordering::SeqCst);
    let announced = ANNOUNCED | (owner.tag as u64) << 10 | owner.slot as u64;
    for id in 1..=seg.plan().slots as u16 {
        if seg.slot(id).is_some_and(|slot| slot.giving_back.load(Ordering::SeqCst) == announced) {
            return false;
        }
    }
    if let Some(slot) = seg.slot(owner.slot) {
        slot.given_back.fetch_and(!(1 << owner.tag), Ordering::SeqCst);
    }
    true
}
