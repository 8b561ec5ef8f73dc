//! Word 0 of every block, and the status word of a slot: the two words that the whole protocol turns on.
//!
//! ```text
//! word 0     63      54 53  50 49      48                     1   0
//!           | owner 10 | tag 4 | waiters | version 48          | C |
//! status     63    60 59                                          0
//!           | state 4 | sequence number 60                        |
//! ```

/// No owner: nobody has reserved the word.
pub const NOBODY: u16 = 0;
/// The owner field of a block that is free.
pub const FREE: u16 = 1023;
/// Slots are numbered from 1 to this.
pub const MAX_SLOTS: u16 = 1022;

/// No word has this version or a later one: of the 48 bits the last is never needed, so that versions can be added to.
pub const LAST_VERSION: u64 = 1 << 47;
/// Writes are refused from this version on. What is under way then, roll-backs, and the blocks of those who only read may
/// still take some of the million that are left.
pub const LAST_WRITE: u64 = LAST_VERSION - (1 << 20);
/// A heap whose clock says more is renumbered when it is next opened by one process alone.
pub const RENUMBERED_ABOVE: u64 = 1 << 46;
/// What the clock of a new heap says, and of one that has been renumbered.
pub const FIRST_VERSION: u64 = 1;

const WAITERS: u64 = 1 << 49;
const VERSION_MASK: u64 = (1 << 48) - 1;

/// The version word. A plain value; the protocol loads and CASes its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Word(pub u64);

impl Word {
    /// A word from its fields.
    pub const fn new(owner: u16, tag: u8, version: u64, changing: bool) -> Word {
        Word(
            (owner as u64) << 54
                | ((tag & 15) as u64) << 50
                | (version & VERSION_MASK) << 1
                | changing as u64,
        )
    }
    /// The slot that has reserved it, [`NOBODY`] or [`FREE`].
    pub const fn owner(self) -> u16 {
        (self.0 >> 54) as u16
    }
    /// The low four bits of the sequence number of the owner's attempt.
    pub const fn tag(self) -> u8 {
        (self.0 >> 50 & 15) as u8
    }
    /// Somebody sleeps until this word is released.
    pub const fn waiters(self) -> bool {
        self.0 & WAITERS != 0
    }
    /// The version: grows at every change, for ever, across tenants of the block.
    pub const fn version(self) -> u64 {
        self.0 >> 1 & VERSION_MASK
    }
    /// C: what the word guards is being changed right now.
    pub const fn changing(self) -> bool {
        self.0 & 1 != 0
    }
    /// The block is free.
    pub const fn is_free(self) -> bool {
        self.owner() == FREE
    }
    /// The word with the waiters bit set or cleared.
    pub const fn with_waiters(self, on: bool) -> Word {
        if on { Word(self.0 | WAITERS) } else { Word(self.0 & !WAITERS) }
    }
    /// Version and C alone: what a reader compares.
    pub const fn seen(self) -> u64 {
        self.0 & (VERSION_MASK << 1 | 1)
    }
    /// All but the waiters bit: what an owner compares.
    pub const fn without_waiters(self) -> u64 {
        self.0 & !WAITERS
    }
}

/// What a slot is doing. `IDLE → ACTIVE → PREPARING → COMMITTED → IDLE(seq+1)`, or
/// `IDLE → DIRECT [→ COMMITTED] → IDLE(seq+1)`; anyone entitled may CAS ACTIVE or PREPARING to ABORTED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named in docs/layout.md, table of section 5 of the design")]
#[repr(u8)]
pub enum Status {
    Idle = 0,
    Active = 1,
    Preparing = 2,
    Committed = 3,
    Aborted = 4,
    Direct = 5,
}

/// The status word of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct StatusWord(pub u64);

impl StatusWord {
    /// A status word from its fields.
    pub const fn new(status: Status, seq: u64) -> StatusWord {
        StatusWord((status as u64) << 60 | seq & ((1 << 60) - 1))
    }
    /// The state; `None` if the bits are none of them (a corrupt segment).
    pub const fn status(self) -> Option<Status> {
        Some(match self.0 >> 60 {
            0 => Status::Idle,
            1 => Status::Active,
            2 => Status::Preparing,
            3 => Status::Committed,
            4 => Status::Aborted,
            5 => Status::Direct,
            _ => return None,
        })
    }
    /// The sequence number of the attempt; never reset.
    pub const fn seq(self) -> u64 {
        self.0 & ((1 << 60) - 1)
    }
    /// The tag that this attempt writes into the words that it reserves.
    pub const fn tag(self) -> u8 {
        (self.0 & 15) as u8
    }
}

/// Word 1 of every block.
///
/// ```text
///  63   58 57   54 53        48 47      32 31                0
/// | type 6 | flags | size class | birth 16 | shape or length  |
/// ```
///
/// `type` 0 means "not live" and is written last. `birth` counts the tenants of the block and is never reset.
/// The low half is what JavaScript compares with the shape that it knows, so everything that must send it to
/// native code (destroyed, dictionary) is in there too: see `objects::shape`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Word1(pub u64);

impl Word1 {
    /// A word from its fields.
    pub const fn new(kind: u8, flags: u8, class: u8, birth: u16, low: u32) -> Word1 {
        Word1(
            ((kind & 63) as u64) << 58
                | ((flags & 15) as u64) << 54
                | ((class & 63) as u64) << 48
                | (birth as u64) << 32
                | low as u64,
        )
    }
    /// What the block holds; 0: nothing live.
    pub const fn kind(self) -> u8 {
        (self.0 >> 58) as u8
    }
    /// Four flags whose meaning belongs to the type.
    pub const fn flags(self) -> u8 {
        (self.0 >> 54 & 15) as u8
    }
    /// The size class; 63: a run.
    pub const fn class(self) -> u8 {
        (self.0 >> 48 & 63) as u8
    }
    /// Counts the tenants of the block; never reset.
    pub const fn birth(self) -> u16 {
        (self.0 >> 32) as u16
    }
    /// Shape id or length.
    pub const fn low(self) -> u32 {
        self.0 as u32
    }
    /// The same birth count and class with a new type, flags and low half: how a block is brought to life.
    pub const fn live(self, kind: u8, flags: u8, low: u32) -> Word1 {
        Word1::new(kind, flags, self.class(), self.birth(), low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_keeps_its_fields_apart() {
        let w = Word::new(1022, 15, VERSION_MASK, true).with_waiters(true);
        assert_eq!(
            (w.owner(), w.tag(), w.version(), w.changing(), w.waiters()),
            (1022, 15, VERSION_MASK, true, true)
        );
        let w = Word::new(0, 0, 7, false);
        assert_eq!((w.owner(), w.tag(), w.version(), w.changing(), w.waiters()), (0, 0, 7, false, false));
        assert_eq!(w.0 as u32, 14, "JavaScript compares the low half: version's low 31 bits and C");
    }

    #[test]
    fn word1_keeps_its_fields_apart() {
        let w = Word1::new(63, 15, 63, 0xffff, u32::MAX);
        assert_eq!(w.0, u64::MAX);
        assert_eq!(w.live(5, 1, 9), Word1::new(5, 1, 63, 0xffff, 9));
    }
}
