//! Strings: immutable, Latin-1 or UTF-16, their hash kept beside them.
//!
//! ```text
//! cell    tag 1: up to 5 Latin-1 characters in place
//!         tag 2: a block STRING
//! block   +0   word 0
//!         +8   word 1: type STRING, flag 1 UTF-16, low half: length in characters
//!         +16  hash
//!         +24  characters, the last word filled with zeros
//! ```
//!
//! Equal content has one representation: in the cell if it fits, Latin-1 if all characters are below 256, UTF-16
//! otherwise (lone surrogates kept). So two strings are equal exactly if their form, length and characters are.
//!
//! The hash is rapidhash V3, whose values are fixed for all platforms and releases, with seed and secrets from the
//! header's random `hash_seed`.

use std::cell::Cell as StdCell;

use coheap_segment::word::Word1;
use coheap_segment::{Code, Error, Off};
use coheap_txn::{Fault, Guard, Mem, Res};
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

use crate::cell::{Cell, Tag, kind};

/// The longest string, in characters: V8's limit.
pub const MAX_LENGTH: usize = (1 << 29) - 24;
/// Where the hash stands in a block.
pub const HASH: u64 = 16;
/// Where the characters begin in a block.
pub const CHARACTERS: u64 = 24;
/// Flag of word 1: the characters have two bytes.
pub const UTF16: u8 = 1;

/// The content of a string, in its one canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Str {
    /// All characters are below 256: a byte each.
    Latin1(Vec<u8>),
    /// At least one character is not. Surrogates may be alone.
    Utf16(Vec<u16>),
}

impl Str {
    /// From characters below 256.
    pub fn from_latin1(chars: impl Into<Vec<u8>>) -> Str {
        Str::Latin1(chars.into())
    }

    /// From UTF-16; becomes Latin-1 if it can.
    pub fn from_utf16(units: impl Into<Vec<u16>> + AsRef<[u16]>) -> Str {
        match narrow(units.as_ref()) {
            Some(chars) => Str::Latin1(chars),
            None => Str::Utf16(units.into()),
        }
    }

    /// Length in characters (UTF-16 units).
    pub fn len(&self) -> usize {
        match self {
            Str::Latin1(c) => c.len(),
            Str::Utf16(c) => c.len(),
        }
    }

    /// True for the empty string.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The characters as UTF-16.
    pub fn to_utf16(&self) -> Vec<u16> {
        match self {
            Str::Latin1(c) => c.iter().map(|&c| c as u16).collect(),
            Str::Utf16(c) => c.clone(),
        }
    }

    /// The hash under a heap's seed.
    pub fn hash(&self, seed: u64) -> u64 {
        match self {
            Str::Latin1(c) => hash_bytes(seed, c),
            Str::Utf16(c) => {
                let bytes: Vec<u8> = c.iter().flat_map(|u| u.to_le_bytes()).collect();
                hash_bytes(seed, &bytes)
            }
        }
    }

    /// Bytes of the characters, as they stand in a block.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Str::Latin1(c) => c.clone(),
            Str::Utf16(c) => c.iter().flat_map(|u| u.to_le_bytes()).collect(),
        }
    }

    /// Flags of word 1.
    pub(crate) fn flags(&self) -> u8 {
        match self {
            Str::Latin1(_) => 0,
            Str::Utf16(_) => UTF16,
        }
    }

    /// From what stands in a block.
    pub(crate) fn from_bytes(flags: u8, bytes: Vec<u8>) -> Str {
        if flags & UTF16 == 0 {
            return Str::Latin1(bytes);
        }
        let units: Vec<u16> = bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
        // canonical if the segment is sound; garbage must not make a second form of the same content
        Str::from_utf16(units)
    }
}

impl From<&str> for Str {
    fn from(s: &str) -> Str {
        if s.is_ascii() {
            return Str::Latin1(s.as_bytes().to_vec());
        }
        Str::from_utf16(s.encode_utf16().collect::<Vec<u16>>())
    }
}

impl std::fmt::Display for Str {
    /// Lone surrogates become U+FFFD.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Str::Latin1(c) => c.iter().try_for_each(|&c| write!(f, "{}", c as char)),
            Str::Utf16(c) => f.write_str(&String::from_utf16_lossy(c)),
        }
    }
}

/// The Latin-1 characters of UTF-16 units that are all below 256.
fn narrow(units: &[u16]) -> Option<Vec<u8>> {
    // most strings that are not Latin-1 say so early
    units.iter().all(|&u| u < 256).then(|| units.iter().map(|&u| u as u8).collect())
}

/// Hash of the bytes of a string's characters under a heap's seed.
pub fn hash_bytes(seed: u64, bytes: &[u8]) -> u64 {
    thread_local! {
        static SECRETS: StdCell<(u64, RapidSecrets)> = const { StdCell::new((0, RapidSecrets::seed(0))) };
    }
    SECRETS.with(|cached| {
        let (of, mut secrets) = cached.get();
        if of != seed {
            secrets = RapidSecrets::seed(seed);
            cached.set((seed, secrets));
        }
        rapidhash_v3_seeded(bytes, &secrets)
    })
}

/// The seed of this heap's string hashes.
pub fn seed<M: Mem + ?Sized>(m: &M) -> u64 {
    // Relaxed: written once, before the segment's magic is published
    m.segment().header().hash_seed.load(std::sync::atomic::Ordering::Relaxed)
}

/// Builds a string from Latin-1 characters.
pub fn build_latin1<M: Mem + ?Sized>(m: &mut M, chars: &[u8]) -> Res<Cell> {
    match Cell::inline_string(chars) {
        Some(cell) => Ok(cell),
        None => build_block(m, kind::STRING, 0, chars.len(), chars),
    }
}

/// Builds a string from UTF-16 units; the result is Latin-1 if they all fit.
pub fn build_utf16<M: Mem + ?Sized>(m: &mut M, units: &[u16]) -> Res<Cell> {
    match narrow(units) {
        Some(chars) => build_latin1(m, &chars),
        None => {
            let bytes: Vec<u8> = units.iter().flat_map(|u| u.to_le_bytes()).collect();
            build_block(m, kind::STRING, UTF16, units.len(), &bytes)
        }
    }
}

/// Builds a string from UTF-16 units as little-endian bytes, two each; an odd last byte is left out.
pub fn build_utf16_le<M: Mem + ?Sized>(m: &mut M, bytes: &[u8]) -> Res<Cell> {
    if bytes.chunks_exact(2).all(|b| b[1] == 0) {
        let chars: Vec<u8> = bytes.chunks_exact(2).map(|b| b[0]).collect();
        return build_latin1(m, &chars);
    }
    build_block(m, kind::STRING, UTF16, bytes.len() / 2, &bytes[..bytes.len() & !1])
}

/// Builds a string.
pub fn build<M: Mem + ?Sized>(m: &mut M, s: &Str) -> Res<Cell> {
    match s {
        Str::Latin1(c) => build_latin1(m, c),
        Str::Utf16(c) => build_utf16(m, c),
    }
}

/// Builds the cell of a registered symbol: always a block, whatever the length of its key.
pub fn build_symbol<M: Mem + ?Sized>(m: &mut M, key: &Str) -> Res<Cell> {
    build_block(m, kind::SYMBOL, key.flags(), key.len(), &key.bytes())
}

fn build_block<M: Mem + ?Sized>(m: &mut M, kind: u8, flags: u8, len: usize, bytes: &[u8]) -> Res<Cell> {
    if len > MAX_LENGTH {
        let e = Error::about(Code::InvalidArgument, "a string longer than V8's limit", len as u64);
        return Err(Fault::Error(e));
    }
    let block = m.alloc(CHARACTERS + bytes.len() as u64)?;
    m.init64(block.at + HASH, hash_bytes(seed(m), bytes));
    m.init_bytes(block.at + CHARACTERS, bytes);
    m.finish(block.at, kind, flags, len as u32);
    let tag = if kind == kind::SYMBOL { Tag::Symbol } else { Tag::String };
    Ok(Cell::reference(tag, block.at))
}

/// Word 1 of a string or symbol block and the bytes of its characters, checked.
pub(crate) fn head<M: Mem + ?Sized>(m: &mut M, guard: Guard, cell: Cell) -> Res<(Word1, u64)> {
    let at = cell.offset();
    let word1 = Word1(m.load64(guard, at + 8)?);
    let expected = if cell.tag() == Some(Tag::Symbol) { kind::SYMBOL } else { kind::STRING };
    if word1.kind() != expected || word1.low() as usize > MAX_LENGTH {
        return Err(Error::corrupt("a string that is none", at).into());
    }
    let bytes = (word1.low() as u64) << (word1.flags() & UTF16);
    if !m.segment().holds(at, CHARACTERS + bytes) {
        return Err(Error::corrupt("a string longer than the heap", at).into());
    }
    Ok((word1, bytes))
}

/// Loads the content of a string cell (inline or block) or the key of a symbol cell, guarded by `guard`.
pub fn load<M: Mem + ?Sized>(m: &mut M, guard: Guard, cell: Cell) -> Res<Str> {
    match cell.tag() {
        Some(Tag::InlineString) => {
            let (chars, n) = cell.inline_chars();
            Ok(Str::Latin1(chars[..n].to_vec()))
        }
        Some(Tag::String | Tag::Symbol) => {
            let (word1, len) = head(m, guard, cell)?;
            let mut bytes = vec![0; len as usize];
            m.load_bytes(guard, cell.offset() + CHARACTERS, &mut bytes)?;
            Ok(Str::from_bytes(word1.flags(), bytes))
        }
        _ => Err(Error::corrupt("a cell that is not a string", cell.0).into()),
    }
}

/// The hash of a string or symbol cell: that of [`Str::hash`] of its content.
pub fn hash<M: Mem + ?Sized>(m: &mut M, guard: Guard, cell: Cell) -> Res<u64> {
    match cell.tag() {
        Some(Tag::InlineString) => {
            let (chars, n) = cell.inline_chars();
            Ok(hash_bytes(seed(m), &chars[..n]))
        }
        Some(Tag::String | Tag::Symbol) => m.load64(guard, cell.offset() + HASH),
        _ => Err(Error::corrupt("a cell that is not a string", cell.0).into()),
    }
}

/// True if a string cell, or the key of a symbol cell, has this content (whose hash is given).
pub fn is<M: Mem + ?Sized>(m: &mut M, guard: Guard, cell: Cell, s: &Str, hash: u64) -> Res<bool> {
    match cell.tag() {
        Some(Tag::InlineString) => {
            let (chars, n) = cell.inline_chars();
            Ok(matches!(s, Str::Latin1(c) if c[..] == chars[..n]))
        }
        Some(Tag::String | Tag::Symbol) => {
            if m.load64(guard, cell.offset() + HASH)? != hash {
                return Ok(false);
            }
            let (word1, _) = head(m, guard, cell)?;
            if word1.low() as usize != s.len() || word1.flags() & UTF16 != s.flags() {
                return Ok(false);
            }
            same_characters(m, guard, cell.offset() + CHARACTERS, s)
        }
        _ => Ok(false),
    }
}

/// Compares the characters of a block with those of a string of the same form and length, word by word.
fn same_characters<M: Mem + ?Sized>(m: &mut M, guard: Guard, at: Off, s: &Str) -> Res<bool> {
    let word_of = |part: &[u8]| part.iter().rev().fold(0u64, |word, &c| word << 8 | c as u64);
    match s {
        Str::Latin1(chars) => {
            for (i, part) in chars.chunks(8).enumerate() {
                let expected = match part.try_into() {
                    Ok(whole) => u64::from_le_bytes(whole),
                    Err(_) => word_of(part),
                };
                if m.load64(guard, at + i as u64 * 8)? != expected {
                    return Ok(false);
                }
            }
        }
        Str::Utf16(units) => {
            for (i, part) in units.chunks(4).enumerate() {
                let expected = part.iter().rev().fold(0u64, |word, &u| word << 16 | u as u64);
                if m.load64(guard, at + i as u64 * 8)? != expected {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use coheap_txn::scratch::ScratchMem;

    fn sut() -> ScratchMem {
        ScratchMem::new(4 << 20)
    }

    #[test]
    fn every_string_comes_back_as_it_was_with_lone_surrogates() {
        let mut m = sut();
        let cases: Vec<Str> = vec![
            "".into(),
            "a".into(),
            "12345".into(),
            "123456".into(),
            "grüße".into(),
            "日本".into(),
            Str::from_latin1(vec![0xff; 1000]),
            Str::from_utf16(vec![0xd800]),
            Str::from_utf16(vec![0xdc00, 0x61, 0xd83d]),
            Str::from_utf16((0..3000).collect::<Vec<u16>>()),
        ];
        for s in cases {
            let cell = build(&mut m, &s).unwrap();
            let guard = Guard(cell.offset());
            assert_eq!(load(&mut m, guard, cell).unwrap(), s);
            let h = s.hash(seed(&m));
            assert_eq!(hash(&mut m, guard, cell).unwrap(), h);
            assert!(is(&mut m, guard, cell, &s, h).unwrap());
            let other = Str::from("another one");
            let h = other.hash(seed(&m));
            assert!(!is(&mut m, guard, cell, &other, h).unwrap());
        }
    }

    #[test]
    fn equal_content_has_one_form() {
        let mut m = sut();
        let wide: Vec<u16> = "abc".encode_utf16().collect();
        assert_eq!(build_utf16(&mut m, &wide).unwrap(), build_latin1(&mut m, b"abc").unwrap());
        assert_eq!(Str::from_utf16(wide), Str::from("abc"));
        let a = build_utf16(&mut m, &"longer than five é".encode_utf16().collect::<Vec<_>>()).unwrap();
        let word1 = Word1(m.load64(Guard(a.offset()), a.offset() + 8).unwrap());
        assert_eq!(word1.flags(), 0, "Latin-1, for it fits");
        assert_eq!(build_utf16_le(&mut m, b"h\0i\0").unwrap(), Cell::inline_string(b"hi").unwrap());
        let snowmen = build_utf16_le(&mut m, &[0x03, 0x26, 0x03, 0x26]).unwrap();
        assert_eq!(load(&mut m, Guard(snowmen.offset()), snowmen).unwrap(), "☃☃".into());
    }

    #[test]
    fn the_hash_is_the_same_in_every_build() {
        // a persistent heap is read by later builds: this value must never change
        assert_eq!(hash_bytes(0x9e37_79b9_7f4a_7c15, b"coheap"), 2639208865585222364);
        assert_ne!(hash_bytes(1, b"coheap"), hash_bytes(2, b"coheap"));
    }

    #[test]
    fn a_length_that_cannot_be_is_corrupt() {
        let mut m = sut();
        let cell = build(&mut m, &"a string of some length".into()).unwrap();
        m.finish(cell.offset(), kind::STRING, 0, u32::MAX);
        assert!(load(&mut m, Guard(cell.offset()), cell).is_err());
        m.finish(cell.offset(), kind::STRING, 0, 1 << 28);
        assert!(load(&mut m, Guard(cell.offset()), cell).is_err());
        assert!(load(&mut m, Guard(cell.offset()), Cell::reference(Tag::String, 1 << 40)).is_err());
        assert!(load(&mut m, Guard(cell.offset()), Cell::NULL).is_err());
    }
}
