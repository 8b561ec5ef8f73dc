//! [`Text`]: a JavaScript string on its way into the heap, in buffers that are kept from call to call.
//!
//! Node-API does not say whether a string is one byte wide, so it is fetched as UTF-16 and narrowed: two vector
//! passes, a few nanoseconds for a key.

use coheap_heap::objects::cell::Cell;
use coheap_heap::objects::key::Key;
use coheap_heap::objects::mapkey;
use coheap_heap::objects::string::{self, Str};
use coheap_heap::txn::{Mem, Res};

use crate::js::{Js, Value};

/// See the module.
#[derive(Default)]
pub struct Text {
    units: Vec<u16>,
    /// The same characters in one byte each, unless `wide`.
    narrow: Vec<u8>,
    wide: bool,
}

impl Text {
    /// Fetches a string; false if `v` is none.
    #[inline]
    pub fn fetch(&mut self, js: Js, v: Value) -> bool {
        if !js.utf16_into(v, &mut self.units) {
            return false;
        }
        self.wide = self.units.iter().fold(0, |all, &unit| all | unit) > 255;
        self.narrow.clear();
        if !self.wide {
            self.narrow.extend(self.units.iter().map(|&unit| unit as u8));
        }
        true
    }

    /// As a key of a map.
    #[inline]
    pub fn as_map_key(&self) -> mapkey::Text<'_> {
        if self.wide {
            mapkey::Text::Utf16(self.wide_bytes().into())
        } else {
            mapkey::Text::Latin1((&self.narrow[..]).into())
        }
    }

    /// As a property key.
    pub fn to_key(&self, symbol: bool) -> Key {
        let text = if self.wide { Str::Utf16(self.units.clone()) } else { Str::Latin1(self.narrow.clone()) };
        if symbol { Key::symbol(text) } else { Key::string(text) }
    }

    /// As a value: builds its cell.
    #[inline]
    pub fn build<M: Mem + ?Sized>(&self, m: &mut M) -> Res<Cell> {
        if self.wide { string::build_utf16(m, &self.units) } else { string::build_latin1(m, &self.narrow) }
    }

    fn wide_bytes(&self) -> &[u8] {
        const { assert!(cfg!(target_endian = "little")) };
        // SAFETY: any bytes are bytes; the length is that of the units.
        unsafe { std::slice::from_raw_parts(self.units.as_ptr().cast(), self.units.len() * 2) }
    }
}
