//! Property keys: strings and registered symbols.
//!
//! A key that is the canonical decimal of an integer from 0 to 2³² − 2 is an *array index*: own keys are listed
//! with these first, ascending, then the other strings in order of insertion, then the symbols.

use coheap_segment::Error;
use coheap_txn::{Guard, Mem, Res};

use crate::cell::{Cell, Tag};
use crate::string::{self, Str};

/// A property key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    text: Str,
    symbol: bool,
}

/// What sets the hash of `Symbol.for('a')` apart from that of `'a'`.
const SYMBOL_MIX: u64 = 0x9e37_79b9_7f4a_7c15;

impl Key {
    /// A string key.
    pub fn string(text: impl Into<Str>) -> Key {
        Key { text: text.into(), symbol: false }
    }
    /// `Symbol.for(text)`.
    pub fn symbol(text: impl Into<Str>) -> Key {
        Key { text: text.into(), symbol: true }
    }
    /// The string key of an array index.
    pub fn index(i: u32) -> Key {
        Key::string(i.to_string().as_str())
    }
    /// The string, or the symbol's key.
    pub fn text(&self) -> &Str {
        &self.text
    }
    /// True for a registered symbol.
    pub fn is_symbol(&self) -> bool {
        self.symbol
    }
    /// The hash under a heap's seed.
    pub fn hash(&self, seed: u64) -> u64 {
        self.hash_from(self.text.hash(seed))
    }
    /// The hash, from that of the text.
    pub(crate) fn hash_from(&self, text: u64) -> u64 {
        text ^ if self.symbol { SYMBOL_MIX } else { 0 }
    }
    /// The array index that the key is: `"0"` to `"4294967294"`, canonical.
    pub fn as_index(&self) -> Option<u32> {
        let Str::Latin1(chars) = &self.text else { return None };
        if self.symbol || chars.is_empty() || chars.len() > 10 || chars[0] == b'0' && chars.len() > 1 {
            return None;
        }
        let mut n = 0u64;
        for &c in chars {
            if !c.is_ascii_digit() {
                return None;
            }
            n = n * 10 + (c - b'0') as u64;
        }
        (n < u32::MAX as u64).then_some(n as u32)
    }
    /// Where the key stands among own keys: array indices ascending, strings, symbols; a stable sort by it keeps
    /// the order of insertion otherwise.
    pub fn rank(&self) -> (u8, u32) {
        match (self.symbol, self.as_index()) {
            (true, _) => (2, 0),
            (false, Some(i)) => (0, i),
            (false, None) => (1, 0),
        }
    }
    /// Builds the cell of the key: a string or a symbol of its own.
    pub fn build<M: Mem + ?Sized>(&self, m: &mut M) -> Res<Cell> {
        if self.symbol { string::build_symbol(m, &self.text) } else { string::build(m, &self.text) }
    }
    /// Loads a key from its cell.
    pub fn load<M: Mem + ?Sized>(m: &mut M, guard: Guard, cell: Cell) -> Res<Key> {
        match cell.tag() {
            Some(Tag::InlineString | Tag::String) => Ok(Key::string(string::load(m, guard, cell)?)),
            Some(Tag::Symbol) => Ok(Key::symbol(string::load(m, guard, cell)?)),
            _ => Err(Error::corrupt("a cell that is no key", cell.0).into()),
        }
    }
    /// True if `cell` is this key, whose text has the hash `text_hash`.
    pub(crate) fn is<M: Mem + ?Sized>(
        &self,
        m: &mut M,
        guard: Guard,
        cell: Cell,
        text_hash: u64,
    ) -> Res<bool> {
        if (cell.tag() == Some(Tag::Symbol)) != self.symbol {
            return Ok(false);
        }
        string::is(m, guard, cell, &self.text, text_hash)
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.symbol { write!(f, "Symbol.for({})", self.text) } else { self.text.fmt(f) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coheap_txn::scratch::ScratchMem;

    #[test]
    fn array_indices_are_canonical_decimals_below_the_largest_length() {
        for (text, index) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("4294967294", Some(4294967294)),
            ("4294967295", None),
            ("99999999999", None),
            ("01", None),
            ("", None),
            ("-0", None),
            ("1.5", None),
            ("1e3", None),
            (" 1", None),
        ] {
            assert_eq!(Key::string(text).as_index(), index, "{text:?}");
        }
        assert_eq!(Key::symbol("1").as_index(), None);
        assert_eq!(Key::index(12), Key::string("12"));
    }

    #[test]
    fn own_keys_are_listed_as_the_language_says() {
        let mut keys = [
            Key::symbol("s"),
            Key::string("b"),
            Key::string("10"),
            Key::string("a"),
            Key::string("9"),
            Key::string("4294967295"),
        ];
        keys.sort_by_key(Key::rank);
        let listed: Vec<String> = keys.iter().map(Key::to_string).collect();
        assert_eq!(listed, ["9", "10", "b", "a", "4294967295", "Symbol.for(s)"]);
    }

    #[test]
    fn keys_come_back_from_their_cells() {
        let mut m = ScratchMem::new(1 << 20);
        let seed = string::seed(&m);
        for key in
            [Key::string("a"), Key::symbol("a"), Key::string("long enough for a block"), Key::symbol("☃")]
        {
            let cell = key.build(&mut m).unwrap();
            let guard = Guard(cell.offset());
            assert_eq!(Key::load(&mut m, guard, cell).unwrap(), key);
            assert!(key.is(&mut m, guard, cell, key.text().hash(seed)).unwrap());
            let twin = Key { symbol: !key.symbol, ..key.clone() };
            assert!(!twin.is(&mut m, guard, cell, key.text().hash(seed)).unwrap());
            assert_ne!(key.hash(seed), twin.hash(seed));
        }
    }
}
