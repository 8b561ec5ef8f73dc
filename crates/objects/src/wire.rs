//! The wire format: how values pass between TypeScript and native code, and what packed values hold.
//!
//! Little-endian, byte-packed: a tag, then its payload. The table stands in `docs/layout.md`; the tags are the
//! constants below. [`Reader`] checks every length against what is left, so a malformed or hostile wire is
//! `ERR_COHEAP_INVALID_ARGUMENT` and never more. Nothing here touches shared memory.

use coheap_segment::{Code, Error};
use coheap_txn::{Fault, Res};

use crate::cell::Cell;
use crate::key::Key;
use crate::mapkey::{MapKey, Text};
use crate::string::Str;

/// Tags.
pub mod tag {
    #![expect(missing_docs, reason = "named after what follows; see Item")]
    pub const UNDEFINED: u8 = 0;
    pub const NULL: u8 = 1;
    pub const FALSE: u8 = 2;
    pub const TRUE: u8 = 3;
    pub const HOLE: u8 = 4;
    pub const F64: u8 = 5;
    pub const I32: u8 = 6;
    pub const LATIN1: u8 = 7;
    pub const UTF16: u8 = 8;
    pub const BIGINT: u8 = 9;
    pub const SYMBOL: u8 = 10;
    pub const OBJECT: u8 = 11;
    pub const ARRAY: u8 = 12;
    pub const MAP: u8 = 13;
    pub const SET: u8 = 14;
    pub const BUFFER: u8 = 15;
    pub const VIEW: u8 = 16;
    pub const BACK: u8 = 17;
    pub const LIVE: u8 = 18;
    pub const SHAPED: u8 = 19;
    pub const PACKED: u8 = 20;
}

/// Flag of an object: its prototype is null.
pub const NULL_PROTOTYPE: u8 = 1;
/// Flag of an object: it is an instance of a class, whose name follows.
pub const INSTANCE: u8 = 2;

/// The head of one value; members follow it in the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Item<'a> {
    /// 0 to 6: a number or an immediate (4 is [`Cell::HOLE`]).
    Cell(Cell),
    /// 7, 8: u32 characters, then these.
    Text(Text<'a>),
    /// 9: u8 negative, u32 limbs, limbs.
    BigInt(bool, &'a [u8]),
    /// 10: the key of `Symbol.for` as 7 or 8.
    Symbol(Text<'a>),
    /// 11: u32 id, u8 flags, the class's name (7, 8) if they say so, u32 count, then count × (property key, value).
    Object {
        /// Number among the containers of this value.
        id: u32,
        /// Its prototype is null.
        null_prototype: bool,
        /// The name of the class that it is an instance of.
        class: Option<Text<'a>>,
        /// Properties.
        count: u32,
    },
    /// 12: u32 id, u32 length, u32 elements, then the elements, u32 extra, extra × (property key, value).
    Array {
        /// As in an object.
        id: u32,
        /// `length`.
        length: u32,
        /// Values that follow, a dense prefix.
        elements: u32,
    },
    /// 13: u32 id, u32 count, then count × (key, value).
    Map {
        /// As in an object.
        id: u32,
        /// Entries.
        count: u32,
    },
    /// 14: u32 id, u32 count, then the keys.
    Set {
        /// As in an object.
        id: u32,
        /// Keys.
        count: u32,
    },
    /// 15: u32 id, u64 length, bytes.
    Buffer {
        /// As in an object.
        id: u32,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// 16: u32 id, u8 kind, u64 byte offset, u64 length, then its buffer (15, 17 or 18).
    View {
        /// As in an object.
        id: u32,
        /// See [`crate::view::ViewKind`].
        kind: u8,
        /// Where it starts in its buffer.
        byte_offset: u64,
        /// In elements.
        length: u64,
    },
    /// 17: u32 id of an earlier container of the same value.
    Back(u32),
    /// 18: u32 handle of a live object; inside packed content the index of a reference.
    Live(u32),
    /// 19: u32 id, u32 shape, u32 count, then count values: an object whose keys both sides know.
    Shaped {
        /// As in an object.
        id: u32,
        /// The shape's id.
        shape: u32,
        /// Values.
        count: u32,
    },
    /// 20: u8 what, u32 count, then count values (11 to 19), u32 bytes, content.
    Packed {
        /// See [`crate::packed::Packed`].
        what: u8,
        /// Live members.
        count: u32,
    },
}

/// Reads a wire.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The error of a wire that is none.
pub fn malformed(what: &'static str, at: usize) -> Fault {
    Fault::Error(Error::about(Code::InvalidArgument, what, at as u64))
}

impl<'a> Reader<'a> {
    /// From the first byte on.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }
    /// Bytes not yet read.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }
    /// Bytes read.
    pub fn position(&self) -> usize {
        self.at
    }
    /// Goes back to an earlier [`Reader::position`].
    pub fn rewind(&mut self, position: usize) {
        self.at = position.min(self.at);
    }
    /// The next `n` bytes.
    #[inline]
    pub fn take(&mut self, n: u64) -> Res<&'a [u8]> {
        if n > self.left() as u64 {
            return Err(malformed("a wire that ends too early", self.at));
        }
        let bytes = &self.bytes[self.at..self.at + n as usize];
        self.at += n as usize;
        Ok(bytes)
    }
    #[inline]
    fn array<const N: usize>(&mut self) -> Res<[u8; N]> {
        match self.bytes[self.at..].first_chunk() {
            Some(&array) => {
                self.at += N;
                Ok(array)
            }
            None => Err(malformed("a wire that ends too early", self.at)),
        }
    }
    /// A byte.
    pub fn u8(&mut self) -> Res<u8> {
        Ok(self.array::<1>()?[0])
    }
    /// Four bytes.
    pub fn u32(&mut self) -> Res<u32> {
        self.array().map(u32::from_le_bytes)
    }
    /// Eight bytes.
    pub fn u64(&mut self) -> Res<u64> {
        self.array().map(u64::from_le_bytes)
    }
    /// A count of things that each take at least one byte: no more than can follow.
    fn count(&mut self) -> Res<u32> {
        let at = self.at;
        let count = self.u32()?;
        if count as usize > self.left() {
            return Err(malformed("a count beyond the wire", at));
        }
        Ok(count)
    }
    fn text(&mut self, tag: u8) -> Res<Text<'a>> {
        let n = self.u32()? as u64;
        match tag {
            tag::LATIN1 => Ok(Text::latin1(self.take(n)?)),
            tag::UTF16 => Ok(Text::utf16(self.take(n * 2)?)),
            _ => Err(malformed("a text of another tag", self.at)),
        }
    }
    /// The next value, if it is an integer of 32 bits.
    #[inline]
    pub fn integer(&mut self) -> Option<Cell> {
        let &[tag, a, b, c, d] = self.bytes.get(self.at..self.at + 5)? else { return None };
        (tag == tag::I32).then(|| {
            self.at += 5;
            Cell::number(f64::from(i32::from_le_bytes([a, b, c, d])))
        })
    }
    /// The head of the next value.
    #[inline]
    pub fn item(&mut self) -> Res<Item<'a>> {
        let at = self.at;
        let tag = self.u8()?;
        Ok(match tag {
            tag::UNDEFINED => Item::Cell(Cell::UNDEFINED),
            tag::NULL => Item::Cell(Cell::NULL),
            tag::FALSE => Item::Cell(Cell::FALSE),
            tag::TRUE => Item::Cell(Cell::TRUE),
            tag::HOLE => Item::Cell(Cell::HOLE),
            tag::F64 => Item::Cell(Cell::number(f64::from_le_bytes(self.array()?))),
            tag::I32 => Item::Cell(Cell::number(i32::from_le_bytes(self.array()?) as f64)),
            tag::LATIN1 | tag::UTF16 => Item::Text(self.text(tag)?),
            tag::BIGINT => {
                let negative = self.u8()? != 0;
                let limbs = self.u32()? as u64;
                Item::BigInt(negative, self.take(limbs * 8)?)
            }
            tag::SYMBOL => {
                let tag = self.u8()?;
                Item::Symbol(self.text(tag)?)
            }
            tag::OBJECT => {
                let (id, flags) = (self.u32()?, self.u8()?);
                let class = match flags & INSTANCE {
                    0 => None,
                    _ => {
                        let tag = self.u8()?;
                        Some(self.text(tag)?)
                    }
                };
                Item::Object { id, null_prototype: flags & NULL_PROTOTYPE != 0, class, count: self.count()? }
            }
            tag::ARRAY => Item::Array { id: self.u32()?, length: self.u32()?, elements: self.count()? },
            tag::MAP => Item::Map { id: self.u32()?, count: self.count()? },
            tag::SET => Item::Set { id: self.u32()?, count: self.count()? },
            tag::BUFFER => {
                let (id, len) = (self.u32()?, self.u64()?);
                Item::Buffer { id, bytes: self.take(len)? }
            }
            tag::VIEW => Item::View {
                id: self.u32()?,
                kind: self.u8()?,
                byte_offset: self.u64()?,
                length: self.u64()?,
            },
            tag::BACK => Item::Back(self.u32()?),
            tag::LIVE => Item::Live(self.u32()?),
            tag::SHAPED => Item::Shaped { id: self.u32()?, shape: self.u32()?, count: self.count()? },
            tag::PACKED => Item::Packed { what: self.u8()?, count: self.count()? },
            _ => return Err(malformed("a wire tag that does not exist", at)),
        })
    }
    /// A property key: a string or a registered symbol.
    pub fn property_key(&mut self) -> Res<Key> {
        let at = self.at;
        match self.item()? {
            Item::Text(text) => Ok(Key::string(Str::from(&text))),
            Item::Symbol(text) => Ok(Key::symbol(Str::from(&text))),
            _ => Err(malformed("a property key that is none", at)),
        }
    }
    /// How many pairs follow, each of a key and a value.
    pub fn pairs(&mut self) -> Res<u32> {
        self.count()
    }
}

impl<'a> Item<'a> {
    /// The key that finds this value in a map; `None` for what depends on more than the head: live objects and
    /// back references (their cells are the key) and new containers.
    pub fn map_key(&self) -> Option<MapKey<'a>> {
        match self {
            Item::Cell(cell) => Some(cell.as_number().map_or_else(|| MapKey::Bits(cell.0), MapKey::number)),
            Item::Text(text) => Some(MapKey::Text(text.clone())),
            Item::Symbol(text) => Some(MapKey::Symbol(text.clone())),
            Item::BigInt(negative, limbs) => Some(MapKey::bigint(*negative, *limbs)),
            Item::Packed { .. } => Some(MapKey::Unique),
            _ => None,
        }
    }
}

/// Appends to a wire.
pub struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    /// A byte.
    pub fn u8(&mut self, x: u8) {
        self.0.push(x);
    }
    /// Four bytes.
    pub fn u32(&mut self, x: u32) {
        self.0.extend_from_slice(&x.to_le_bytes());
    }
    /// Eight bytes.
    pub fn u64(&mut self, x: u64) {
        self.0.extend_from_slice(&x.to_le_bytes());
    }
    /// A number: 6 if it is an integer of 32 bits (and not -0), else 5.
    #[inline]
    pub fn number(&mut self, x: f64) {
        let int = x as i32;
        if (int as f64).to_bits() == x.to_bits() {
            let mut bytes = [tag::I32; 5];
            bytes[1..].copy_from_slice(&int.to_le_bytes());
            self.0.extend_from_slice(&bytes);
        } else {
            let mut bytes = [tag::F64; 9];
            bytes[1..].copy_from_slice(&x.to_le_bytes());
            self.0.extend_from_slice(&bytes);
        }
    }
    /// A number or an immediate; false for any other cell.
    #[inline]
    pub fn immediate(&mut self, cell: Cell) -> bool {
        if let Some(x) = cell.as_number() {
            self.number(x);
            return true;
        }
        let tag = match cell {
            Cell::UNDEFINED => tag::UNDEFINED,
            Cell::NULL => tag::NULL,
            Cell::FALSE => tag::FALSE,
            Cell::TRUE => tag::TRUE,
            Cell::HOLE => tag::HOLE,
            _ => return false,
        };
        self.u8(tag);
        true
    }
    /// 7 or 8.
    pub fn text(&mut self, text: &Str) {
        match text {
            Str::Latin1(chars) => {
                self.u8(tag::LATIN1);
                self.u32(chars.len() as u32);
                self.0.extend_from_slice(chars);
            }
            Str::Utf16(units) => {
                self.u8(tag::UTF16);
                self.u32(units.len() as u32);
                self.0.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
            }
        }
    }
    /// 10.
    pub fn symbol(&mut self, key: &Str) {
        self.u8(tag::SYMBOL);
        self.text(key);
    }
    /// 9.
    pub fn bigint(&mut self, negative: bool, limbs: &[u64]) {
        self.u8(tag::BIGINT);
        self.u8(negative as u8);
        self.u32(limbs.len() as u32);
        self.0.extend(limbs.iter().flat_map(|limb| limb.to_le_bytes()));
    }
    /// A property key: 7, 8 or 10.
    pub fn property_key(&mut self, key: &Key) {
        if key.is_symbol() { self.symbol(key.text()) } else { self.text(key.text()) }
    }
    /// 18.
    pub fn live(&mut self, handle: u32) {
        self.u8(tag::LIVE);
        self.u32(handle);
    }
    /// 17.
    pub fn back(&mut self, id: u32) {
        self.u8(tag::BACK);
        self.u32(id);
    }
}
