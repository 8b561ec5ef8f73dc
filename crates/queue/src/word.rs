//! [`SlotWord`]: one place of a ring, the word whose CAS publishes, takes and gives back a message.
//!
//! ```text
//!  63     48 47      46       45  42 41     32 31              0
//! | lap 16 | inline | putting | tag 4 | owner 10 |   content 32   |
//!
//!  EMPTY    lap  0  0   0      0        nobody has put here in this lap
//!  PUTTING  lap  1  tag owner  content  part of a commit that is not yet known to be decided
//!  FULL     lap  0  0   0      content  a message
//!  TAKEN    lap  0  tag owner  content  somebody is taking it; comes back if its taker fails
//!  SEAL     lap  1  0   0      0        the channel is closed: nothing follows
//! ```
//!
//! The content of a message ([`Payload`]) is a block, offset / 16, or with the bit `inline` a number that is an integer
//! of 32 bits: it needs no block at all.
//!
//! `lap` is the low part of the sequence number of the ring that the place is part of. A place that has been
//! consumed, or left by an aborted put (a tombstone), is EMPTY of the *next* lap, and stays so until its ring is
//! used again: within a lap a place goes EMPTY → PUTTING → FULL ⇄ TAKEN → consumed, and only FULL ⇄ TAKEN recurs
//! (see `judge` for what that asks of who gives back).

use coheap_segment::Off;

const LAP_BITS: u32 = 16;
const LAP_SHIFT: u32 = 64 - LAP_BITS;
const INLINE: u64 = 1 << 47;
const PUTTING: u64 = 1 << 46;
const OWNERSHIP: u64 = ((1 << 14) - 1) << 32;

/// A place's word. A plain value; the rings load and CAS its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct SlotWord(pub u64);

/// The bits of a word that are its message.
const PAYLOAD: u64 = INLINE | 0xffff_ffff;

/// What a message is to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payload(u64);

impl Payload {
    /// No message.
    pub const NONE: Payload = Payload(0);

    /// An identity, a by-value block, or an envelope.
    pub const fn block(at: Off) -> Payload {
        Payload(at >> 4)
    }
    /// A number that stands in the place itself.
    pub const fn integer(n: i32) -> Payload {
        Payload(INLINE | n as u32 as u64)
    }
    /// The number, if it is one.
    pub const fn as_integer(self) -> Option<i32> {
        if self.0 & INLINE != 0 { Some(self.0 as u32 as i32) } else { None }
    }
    /// The offset of the block; 0 if there is none.
    pub const fn offset(self) -> Off {
        if self.0 & INLINE != 0 { 0 } else { self.0 << 4 }
    }
}

/// What a place's word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    Putting,
    Full,
    Taken,
    Seal,
    /// Bits that nobody writes.
    Garbage,
}

/// The lap of a ring's sequence number.
pub(crate) const fn lap_of(seq: u64) -> u64 {
    seq & ((1 << LAP_BITS) - 1)
}

impl SlotWord {
    pub const fn empty(lap: u64) -> SlotWord {
        SlotWord(lap << LAP_SHIFT)
    }
    pub const fn full(lap: u64, message: Payload) -> SlotWord {
        SlotWord(lap << LAP_SHIFT | message.0)
    }
    pub const fn seal(lap: u64) -> SlotWord {
        SlotWord(lap << LAP_SHIFT | PUTTING)
    }
    pub const fn putting(lap: u64, owner: Owner, message: Payload) -> SlotWord {
        SlotWord(lap << LAP_SHIFT | PUTTING | owner.bits() | message.0)
    }
    /// The FULL word, taken by `owner`.
    pub const fn taken(self, owner: Owner) -> SlotWord {
        SlotWord(self.0 | owner.bits())
    }
    /// The message that a PUTTING or TAKEN word is about, there for anybody.
    pub const fn settled(self) -> SlotWord {
        SlotWord(self.0 & !(OWNERSHIP | PUTTING))
    }
    /// The place behind which nothing is left of this lap.
    pub const fn consumed(self) -> SlotWord {
        SlotWord::empty(lap_of(self.lap() + 1))
    }
    pub const fn lap(self) -> u64 {
        self.0 >> LAP_SHIFT
    }
    pub const fn owner(self) -> Owner {
        Owner { slot: (self.0 >> 32 & 1023) as u16, tag: (self.0 >> 42 & 15) as u8 }
    }
    /// The message.
    pub const fn payload(self) -> Payload {
        Payload(self.0 & PAYLOAD)
    }
    pub const fn state(self) -> State {
        let putting = self.0 & PUTTING != 0;
        let owned = self.0 & OWNERSHIP != 0;
        let message = self.0 & PAYLOAD != 0;
        match (putting, owned, message) {
            (false, false, false) => State::Empty,
            (true, true, true) => State::Putting,
            (false, false, true) => State::Full,
            (false, true, true) => State::Taken,
            (true, false, false) => State::Seal,
            _ => State::Garbage,
        }
    }
}

/// Who puts or takes: a slot, and the low bits of its attempt's sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub slot: u16,
    pub tag: u8,
}

impl Owner {
    const fn bits(self) -> u64 {
        ((self.tag & 15) as u64) << 42 | ((self.slot & 1023) as u64) << 32
    }
}

/// A reference to a ring that says which ring of the sequence is meant: `sequence number 32 | block/16 32`. A ring
/// is used again and again; a stale reference is told by its number. In a ring's `next` the number is the ring's
/// own, so that its "nothing yet" differs from use to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Link(pub u64);

impl Link {
    pub const fn new(seq: u64, block: Off) -> Link {
        Link(seq << 32 | block >> 4)
    }
    /// No ring follows the one with this number yet.
    pub const fn none(seq: u64) -> Link {
        Link::new(seq, 0)
    }
    /// No ring will ever follow the one with this number: the channel is closed. (Offset 16 is in the header.)
    pub const fn seal(seq: u64) -> Link {
        Link::new(seq, 16)
    }
    pub const fn is_of(self, seq: u64) -> bool {
        self.0 >> 32 == seq & 0xffff_ffff
    }
    pub const fn block(self) -> Off {
        (self.0 & 0xffff_ffff) << 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_keeps_its_fields_apart() {
        let owner = Owner { slot: 1022, tag: 15 };
        let top = (64 << 30) - 16;
        let w = SlotWord::putting(lap_of(u64::MAX), owner, Payload::block(top));
        assert_eq!(w.0, !(1 << 32 | INLINE), "slot 1022 is 1023 without its lowest bit");
        assert_eq!((w.lap(), w.owner(), w.state()), (0xffff, owner, State::Putting));
        assert_eq!((w.payload().offset(), w.payload().as_integer()), (top, None));
        assert_eq!(w.settled(), SlotWord::full(0xffff, Payload::block(top)));
        assert_eq!(w.consumed(), SlotWord::empty(0));
        let full = SlotWord::full(5, Payload::block(0x40));
        assert_eq!((full.state(), full.taken(owner).state()), (State::Full, State::Taken));
        assert_eq!(full.taken(owner).settled(), full);
        assert_eq!(full.taken(owner).owner(), owner);
        assert_eq!((SlotWord::empty(9).state(), SlotWord::seal(9).state()), (State::Empty, State::Seal));
        assert_eq!(SlotWord(1 << 46 | 7).state(), State::Garbage);
    }

    #[test]
    fn an_integer_stands_in_its_place() {
        let owner = Owner { slot: 3, tag: 9 };
        for n in [0, 1, -1, i32::MIN, i32::MAX] {
            let full = SlotWord::full(lap_of(u64::MAX), Payload::integer(n));
            let taken = full.taken(owner);
            let putting = SlotWord::putting(full.lap(), owner, Payload::integer(n));
            assert_eq!(
                (full.state(), taken.state(), putting.state()),
                (State::Full, State::Taken, State::Putting)
            );
            assert_eq!((taken.settled(), putting.settled()), (full, full));
            assert_eq!((taken.lap(), taken.owner()), (0xffff, owner));
            assert_eq!((taken.payload().as_integer(), taken.payload().offset()), (Some(n), 0));
            assert_eq!(taken.consumed(), SlotWord::empty(0));
        }
    }

    #[test]
    fn a_link_tells_one_use_of_a_ring_from_another() {
        let link = Link::new(1 << 40 | 7, 0x1230);
        assert!(link.is_of(7) && !link.is_of(8));
        assert_eq!(link.block(), 0x1230);
        assert_ne!(Link::none(7), Link::none(8));
        assert_ne!(Link::none(7), Link::seal(7));
    }
}
