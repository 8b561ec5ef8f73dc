//! [`MapKey`]: what a map or set is asked for, compared by SameValueZero.
//!
//! Numbers, `undefined`, `null`, booleans and identities are equal when their cells are (after -0 became 0; there
//! is only one NaN). Strings, bigints and registered symbols are equal by content. By-value objects (a `Date`)
//! are fresh copies at each read, so they equal nothing.
//!
//! Contents are hashed as strings are, with the heap's random seed; cells by a folded multiplication (both halves
//! of a 128-bit product, xored, as wyhash does). 32 bits are kept. Equal strings have one form in a heap (see
//! [`crate::string`]); a UTF-16 key that would fit Latin-1 becomes Latin-1 here as it does there.

use std::borrow::Cow;

use coheap_segment::word::Word1;
use coheap_segment::{Code, Error, Off};
use coheap_txn::{Fault, Guard, Mem, Res};

use crate::bigint::{self, BigInt};
use crate::cell::{Cell, Tag, kind};
use crate::string::{self, CHARACTERS, Str};

/// The characters of a key: the narrowest spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Text<'a> {
    /// One byte a character.
    Latin1(Cow<'a, [u8]>),
    /// Two bytes a unit, little-endian; at least one unit is above 255. Lone surrogates are kept.
    Utf16(Cow<'a, [u8]>),
}

impl<'a> Text<'a> {
    /// From Latin-1 characters.
    pub fn latin1(bytes: impl Into<Cow<'a, [u8]>>) -> Text<'a> {
        Text::Latin1(bytes.into())
    }
    /// From UTF-16, two bytes a unit, little-endian; an odd last byte is ignored.
    pub fn utf16(bytes: impl Into<Cow<'a, [u8]>>) -> Text<'a> {
        let bytes = bytes.into();
        if bytes.chunks_exact(2).all(|unit| unit[1] == 0) {
            Text::Latin1(bytes.chunks_exact(2).map(|unit| unit[0]).collect())
        } else {
            Text::Utf16(bytes)
        }
    }
    /// The bytes as they lie in a string block, and whether they are UTF-16.
    pub fn bytes(&self) -> (&[u8], bool) {
        match self {
            Text::Latin1(b) => (b, false),
            Text::Utf16(b) => (b, true),
        }
    }
    fn into_owned(self) -> Text<'static> {
        match self {
            Text::Latin1(b) => Text::Latin1(b.into_owned().into()),
            Text::Utf16(b) => Text::Utf16(b.into_owned().into()),
        }
    }
}

impl From<&Text<'_>> for Str {
    fn from(text: &Text<'_>) -> Str {
        match text {
            Text::Latin1(b) => Str::Latin1(b.to_vec()),
            Text::Utf16(b) => {
                Str::Utf16(b.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect())
            }
        }
    }
}

impl From<Str> for Text<'_> {
    fn from(s: Str) -> Self {
        match s {
            Str::Latin1(chars) => Text::Latin1(chars.into()),
            Str::Utf16(units) => {
                Text::Utf16(units.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<u8>>().into())
            }
        }
    }
}

/// A key to look for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MapKey<'a> {
    /// Equal to a cell with the same bits: numbers, immediates, identities.
    Bits(u64),
    /// A string.
    Text(Text<'a>),
    /// `Symbol.for` of this key.
    Symbol(Text<'a>),
    /// A bigint: sign and magnitude, little-endian, whole limbs, without leading zero limbs.
    BigInt(bool, Cow<'a, [u8]>),
    /// A by-value object: equals nothing.
    Unique,
}

impl<'a> MapKey<'a> {
    /// A number: -0 is 0, every NaN is the same.
    pub fn number(x: f64) -> MapKey<'static> {
        MapKey::Bits(Cell::number(if x == 0.0 { 0.0 } else { x }).0)
    }

    /// A bigint from its limbs' bytes, least first.
    pub fn bigint(negative: bool, limbs: impl Into<Cow<'a, [u8]>>) -> MapKey<'a> {
        let mut limbs = limbs.into();
        let len = limbs.chunks(8).rposition(|limb| limb.iter().any(|&b| b != 0)).map_or(0, |i| (i + 1) * 8);
        if len < limbs.len() {
            limbs = limbs[..len].to_vec().into();
        }
        MapKey::BigInt(negative && len > 0, limbs)
    }

    /// The key that equals this stored value, its content loaded under `guard`.
    pub fn load<M: Mem + ?Sized>(m: &mut M, guard: Guard, cell: Cell) -> Res<MapKey<'static>> {
        let Some(tag) = cell.tag() else {
            return match cell.as_number() {
                Some(x) => Ok(MapKey::number(x)),
                None => Err(Error::corrupt("a cell of no kind", cell.0).into()),
            };
        };
        Ok(match tag {
            Tag::InlineString | Tag::String => MapKey::Text(string::load(m, guard, cell)?.into()),
            Tag::Symbol => MapKey::Symbol(string::load(m, guard, cell)?.into()),
            Tag::BigInt => {
                let x = bigint::load(m, guard, cell)?;
                let bytes: Vec<u8> = x.limbs().iter().flat_map(|limb| limb.to_le_bytes()).collect();
                MapKey::bigint(x.is_negative(), bytes)
            }
            Tag::Packed => MapKey::Unique,
            _ => MapKey::Bits(cell.0),
        })
    }

    /// The same key without a borrow.
    pub fn into_owned(self) -> MapKey<'static> {
        match self {
            MapKey::Bits(b) => MapKey::Bits(b),
            MapKey::Text(t) => MapKey::Text(t.into_owned()),
            MapKey::Symbol(t) => MapKey::Symbol(t.into_owned()),
            MapKey::BigInt(s, b) => MapKey::BigInt(s, b.into_owned().into()),
            MapKey::Unique => MapKey::Unique,
        }
    }

    /// The hash under this heap's seed. `salt` spreads the keys that equal nothing.
    pub fn hash<M: Mem + ?Sized>(&self, m: &M, salt: u64) -> u32 {
        let seed = string::seed(m);
        let h = match self {
            MapKey::Bits(b) => fold(b ^ seed, 0x9e37_79b9_7f4a_7c15),
            MapKey::Text(t) => string::hash_bytes(seed, t.bytes().0),
            MapKey::Symbol(t) => !string::hash_bytes(seed, t.bytes().0),
            MapKey::BigInt(negative, limbs) => {
                string::hash_bytes(seed, limbs) ^ 0xd6e8_feb8_6659_fd93 << *negative as u32
            }
            MapKey::Unique => fold(salt ^ seed, 0xd6e8_feb8_6659_fd93),
        };
        (h ^ h >> 32) as u32
    }

    /// A fresh cell of this key, for an entry. A key that equals nothing has no content here: its cell is made
    /// elsewhere, and asking for it is an error.
    pub fn build<M: Mem + ?Sized>(&self, m: &mut M) -> Res<Cell> {
        match self {
            MapKey::Bits(b) => Ok(Cell(*b)),
            MapKey::Text(Text::Latin1(chars)) => string::build_latin1(m, chars),
            MapKey::Text(Text::Utf16(units)) => string::build_utf16_le(m, units),
            MapKey::Symbol(text) => string::build_symbol(m, &Str::from(text)),
            MapKey::BigInt(negative, limbs) => {
                let limbs: Vec<u64> = limbs
                    .chunks_exact(8)
                    .map(|limb| u64::from_le_bytes(limb.try_into().expect("eight bytes")))
                    .collect();
                bigint::build(m, &BigInt::new(*negative, limbs))
            }
            MapKey::Unique => {
                Err(Fault::Error(Error::new(Code::InvalidArgument, "a by-value key without its content")))
            }
        }
    }

    /// True if the key cell `cell` of an entry, guarded by `guard`, is this key.
    pub fn matches<M: Mem + ?Sized>(&self, m: &mut M, guard: Guard, cell: Cell) -> Res<bool> {
        match self {
            MapKey::Bits(b) => Ok(cell.0 == *b),
            MapKey::Unique => Ok(false),
            MapKey::Text(t) => match cell.tag() {
                Some(Tag::InlineString) => {
                    let (chars, n) = cell.inline_chars();
                    Ok(t.bytes() == (&chars[..n], false))
                }
                Some(Tag::String) => text_equals(m, guard, cell.offset(), kind::STRING, t),
                _ => Ok(false),
            },
            MapKey::Symbol(t) => match cell.tag() {
                Some(Tag::Symbol) => text_equals(m, guard, cell.offset(), kind::SYMBOL, t),
                _ => Ok(false),
            },
            MapKey::BigInt(negative, limbs) => {
                if cell.tag() != Some(Tag::BigInt) {
                    return Ok(false);
                }
                let head = head(m, guard, cell.offset(), kind::BIGINT)?;
                if head.low() as usize != limbs.len() / 8 || (head.flags() & 1 != 0) != *negative {
                    return Ok(false);
                }
                content_equals(m, guard, cell.offset() + bigint::LIMBS, limbs)
            }
        }
    }
}

/// Word 1 of the block at `at`, which must be of this kind.
#[inline]
fn head<M: Mem + ?Sized>(m: &mut M, guard: Guard, at: Off, want: u8) -> Res<Word1> {
    let head = Word1(m.load64(guard, at + 8)?);
    if head.kind() == want {
        Ok(head)
    } else {
        Err(Fault::Error(Error::corrupt("a by-value block of another kind", at)))
    }
}

#[inline]
fn text_equals<M: Mem + ?Sized>(m: &mut M, guard: Guard, at: Off, kind: u8, text: &Text<'_>) -> Res<bool> {
    let head = head(m, guard, at, kind)?;
    let (bytes, wide) = text.bytes();
    let units = if wide { bytes.len() / 2 } else { bytes.len() };
    if head.low() as usize != units || (head.flags() & string::UTF16 != 0) != wide {
        return Ok(false);
    }
    content_equals(m, guard, at + CHARACTERS, bytes)
}

/// Whole words are compared, with as many bytes of the last as there are.
#[inline]
fn content_equals<M: Mem + ?Sized>(m: &mut M, guard: Guard, at: Off, bytes: &[u8]) -> Res<bool> {
    let mut words = bytes.chunks_exact(8);
    let mut at = at;
    for part in &mut words {
        let part: [u8; 8] = part.try_into().expect("eight bytes");
        if m.load64(guard, at)? != u64::from_le_bytes(part) {
            return Ok(false);
        }
        at += 8;
    }
    let rest = words.remainder();
    if rest.is_empty() {
        return Ok(true);
    }
    let wanted = rest.iter().rev().fold(0, |word, &byte| word << 8 | byte as u64);
    Ok((m.load64(guard, at)? ^ wanted) << (64 - rest.len() * 8) == 0)
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let p = a as u128 * b as u128;
    p as u64 ^ (p >> 64) as u64
}
