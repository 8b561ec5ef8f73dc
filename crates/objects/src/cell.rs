//! The cell: 8 bytes that hold any value.
//!
//! Every number is its own double, NaN canonical (`0x7ff8_0000_0000_0000`). Bits whose top 13 are all ones are
//! tagged:
//!
//! ```text
//! 63          51 50  47 46                                              0
//! | 1111111111111 | tag | payload 47                                    |
//!   tag 0   undefined 0 · null 1 · false 2 · true 3 · hole 4 · absent 5
//!   tag 1   a Latin-1 string of up to 5 characters: length in bits 42–40, characters from bit 0 up
//!   tag 2–5 by-value blocks (one referring cell each): string, bigint, packed, registered symbol
//!   tag 8…  identities: record, array, map, set, buffer, view; the payload is the offset
//! ```

use coheap_segment::Off;

/// The value of a cell.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Cell(pub u64);

const TAGGED: u64 = 0xfff8_0000_0000_0000;
const PAYLOAD: u64 = (1 << 47) - 1;
/// The one NaN.
pub const CANONICAL_NAN: u64 = 0x7ff8_0000_0000_0000;

/// The tag of a cell that is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "drawn in the module's head")]
#[repr(u8)]
pub enum Tag {
    Special = 0,
    InlineString = 1,
    String = 2,
    BigInt = 3,
    Packed = 4,
    Symbol = 5,
    Record = 8,
    Array = 9,
    Map = 10,
    Set = 11,
    Buffer = 12,
    View = 13,
}

/// Types of blocks, in word 1. Identities and by-value blocks have the number of their cell's tag or more.
pub mod kind {
    #![expect(missing_docs, reason = "named after what they hold; drawn in docs/layout.md")]
    pub const STRING: u8 = 2; // flag 1: UTF-16; low: length in characters; word 2: hash; then characters
    pub const BIGINT: u8 = 3; // flag 1: negative; low: number of 64-bit limbs; then limbs, least first
    pub const PACKED: u8 = 4; // flags 0; low: bytes of wire; word 2: what 8 | number of references 32; references (cells), wire bytes
    pub const SYMBOL: u8 = 5; // as STRING: the key of Symbol.for
    pub const RECORD: u8 = 8;
    pub const ARRAY: u8 = 9;
    pub const MAP: u8 = 10;
    pub const SET: u8 = 11;
    pub const BUFFER: u8 = 12;
    pub const VIEW: u8 = 13;
    pub const RECORD_BODY: u8 = 20;
    pub const DICT_BODY: u8 = 21;
    pub const ARRAY_BODY: u8 = 22;
    pub const SPARSE_BODY: u8 = 23;
    pub const MAP_BODY: u8 = 24;
    pub const MAP_ENTRIES: u8 = 25;
    pub const STRIPES: u8 = 26;
    pub const BYTES: u8 = 27;
    pub const SHAPE: u8 = 32;
    pub const KEY: u8 = 33;
    pub const TABLE: u8 = 34; // shape table, key table: plain words
    pub const LOG: u8 = 40;
    pub const HANDLES: u8 = 41;
    pub const CHANNEL: u8 = 48;
    pub const RING: u8 = 49;
    pub const STACK: u8 = 50;
    pub const DELIVERIES: u8 = 51;
    pub const ENVELOPE: u8 = 52; // a message that is no block: word 2 is its cell
}

impl Cell {
    /// `undefined`.
    pub const UNDEFINED: Cell = Cell(TAGGED);
    /// `null`.
    pub const NULL: Cell = Cell(TAGGED | 1);
    /// `false`.
    pub const FALSE: Cell = Cell(TAGGED | 2);
    /// `true`.
    pub const TRUE: Cell = Cell(TAGGED | 3);
    /// A hole of an array.
    pub const HOLE: Cell = Cell(TAGGED | 4);
    /// A slot without a property (never set, or deleted).
    pub const ABSENT: Cell = Cell(TAGGED | 5);

    /// A number; any NaN becomes the canonical one.
    #[inline]
    pub fn number(x: f64) -> Cell {
        if x.is_nan() { Cell(CANONICAL_NAN) } else { Cell(x.to_bits()) }
    }
    /// A boolean.
    pub const fn bool(b: bool) -> Cell {
        if b { Cell::TRUE } else { Cell::FALSE }
    }
    /// A reference to a block.
    pub const fn reference(tag: Tag, at: Off) -> Cell {
        Cell(TAGGED | (tag as u64) << 47 | at & PAYLOAD)
    }
    /// A Latin-1 string of up to 5 characters.
    pub fn inline_string(latin1: &[u8]) -> Option<Cell> {
        if latin1.len() > 5 {
            return None;
        }
        let chars = latin1.iter().rev().fold(0u64, |a, &c| a << 8 | c as u64);
        Some(Cell(TAGGED | (Tag::InlineString as u64) << 47 | (latin1.len() as u64) << 40 | chars))
    }
    /// The characters of an inline string.
    pub fn inline_chars(self) -> ([u8; 5], usize) {
        let b = self.0.to_le_bytes();
        ([b[0], b[1], b[2], b[3], b[4]], ((self.0 >> 40 & 7) as usize).min(5))
    }
    /// True for a number.
    #[inline]
    pub const fn is_number(self) -> bool {
        self.0 & TAGGED != TAGGED
    }
    /// The number, if it is one.
    #[inline]
    pub fn as_number(self) -> Option<f64> {
        self.is_number().then(|| f64::from_bits(self.0))
    }
    /// The tag; `None` for a number and for tags that do not exist (a corrupt segment).
    pub const fn tag(self) -> Option<Tag> {
        if self.is_number() {
            return None;
        }
        Some(match self.0 >> 47 & 15 {
            0 => Tag::Special,
            1 => Tag::InlineString,
            2 => Tag::String,
            3 => Tag::BigInt,
            4 => Tag::Packed,
            5 => Tag::Symbol,
            8 => Tag::Record,
            9 => Tag::Array,
            10 => Tag::Map,
            11 => Tag::Set,
            12 => Tag::Buffer,
            13 => Tag::View,
            _ => return None,
        })
    }
    /// The payload: an offset, for references.
    pub const fn offset(self) -> Off {
        self.0 & PAYLOAD
    }
    /// True if it refers to a block that it alone refers to.
    pub const fn is_by_value_block(self) -> bool {
        !self.is_number() && matches!(self.0 >> 47 & 15, 2..=5)
    }
    /// A reference to a live object of this kind of block; `None` if it is no identity.
    pub const fn of_object(kind: u8, at: Off) -> Option<Cell> {
        let cell = Cell(TAGGED | (kind as u64 & 15) << 47 | at & PAYLOAD);
        if kind < 16 && cell.is_identity() { Some(cell) } else { None }
    }
    /// True if it refers to a live object.
    pub const fn is_identity(self) -> bool {
        !self.is_number() && matches!(self.0 >> 47 & 15, 8..=13)
    }
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.as_number() {
            Some(x) => write!(f, "Cell({x})"),
            None => write!(f, "Cell({:?} {:#x})", self.tag(), self.offset()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_themselves_and_everything_else_is_not_a_number() {
        for x in [0.0, -0.0, 1.5, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Cell::number(x).as_number().map(f64::to_bits), Some(x.to_bits()));
        }
        assert_eq!(Cell::number(f64::from_bits(u64::MAX)).0, CANONICAL_NAN);
        for c in [Cell::UNDEFINED, Cell::NULL, Cell::HOLE, Cell::ABSENT, Cell::reference(Tag::View, 1 << 36)]
        {
            assert!(f64::from_bits(c.0).is_nan() && !c.is_number());
        }
        assert_eq!(Cell::reference(Tag::Map, 0x123450).offset(), 0x123450);
    }

    #[test]
    fn short_strings_live_in_the_cell() {
        let c = Cell::inline_string(b"ab\xe9").unwrap();
        let (chars, n) = c.inline_chars();
        assert_eq!(&chars[..n], b"ab\xe9");
        assert_eq!(c.tag(), Some(Tag::InlineString));
        assert_eq!(Cell::inline_string(b"123456"), None);
    }
}
