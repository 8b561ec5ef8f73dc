//! [`KeyIn`]: the key of a map call, as it crossed.

use coheap_heap::objects::cell::{Cell, Tag};
use coheap_heap::objects::graph;
use coheap_heap::objects::mapkey::MapKey;
use coheap_heap::objects::wire::{Item, Reader};
use coheap_heap::txn::{Fault, Mem, Res};

use crate::convert::Input;
use crate::live::Live;
use crate::text::Text;

/// A key to look for, and how its cell is made if it has to be inserted.
pub struct KeyIn<'a> {
    /// What finds it.
    pub key: MapKey<'a>,
    source: Source<'a>,
}

enum Source<'a> {
    /// Its cell: a number, an immediate, a live object, or a new value that was built (and is in no map).
    Cell(Cell),
    Text(&'a Text),
    /// The wire of a scalar.
    Wire(&'a [u8]),
}

impl<'a> KeyIn<'a> {
    /// The key of a call that may insert it. A staged key stands first in `wire`; what follows it is given back.
    #[inline]
    pub fn of(
        input: Input,
        text: &'a Text,
        wire: &'a [u8],
        live: &mut Live,
    ) -> Result<(KeyIn<'a>, &'a [u8]), Fault> {
        match (input, input.as_map_key(text)) {
            (Input::Text, Some(key)) => Ok((KeyIn { key, source: Source::Text(text) }, wire)),
            (_, Some(MapKey::Bits(bits))) => {
                Ok((KeyIn { key: MapKey::Bits(bits), source: Source::Cell(Cell(bits)) }, wire))
            }
            _ => KeyIn::staged(wire, live),
        }
    }

    /// The key of a call that only looks: nothing is built.
    #[inline]
    pub fn find(input: Input, text: &'a Text, wire: &'a [u8], live: &Live) -> Result<MapKey<'a>, Fault> {
        match input.as_map_key(text) {
            Some(key) => Ok(key),
            None => graph::map_key(wire, &mut |handle| live.pins.cell(handle)),
        }
    }

    fn staged(wire: &'a [u8], live: &mut Live) -> Result<(KeyIn<'a>, &'a [u8]), Fault> {
        let mut reader = Reader::new(wire);
        let item = reader.item()?;
        if let Item::Live(handle) = item {
            let cell = live.pins.cell(handle)?;
            let key = KeyIn { key: MapKey::Bits(cell.0), source: Source::Cell(cell) };
            return Ok((key, &wire[reader.position()..]));
        }
        if let Some(key) = item.map_key().filter(|key| *key != MapKey::Unique) {
            let (own, rest) = wire.split_at(reader.position());
            let source = match key {
                MapKey::Bits(bits) => Source::Cell(Cell(bits)),
                _ => Source::Wire(own),
            };
            return Ok((KeyIn { key, source }, rest));
        }
        // a container or a by-value object: a new one, hence in no map
        let mut reader = Reader::new(wire);
        let cell = live.build(|m, resolve| graph::build_next(m, &mut reader, resolve))?;
        let key = if cell.tag() == Some(Tag::Packed) { MapKey::Unique } else { MapKey::Bits(cell.0) };
        Ok((KeyIn { key, source: Source::Cell(cell) }, &wire[reader.position()..]))
    }

    /// The cell of a key that is not there yet.
    pub fn build<M: Mem + ?Sized>(&self, m: &mut M) -> Res<Cell> {
        match self.source {
            Source::Cell(cell) => Ok(cell),
            Source::Text(text) => text.build(m),
            Source::Wire(wire) => {
                graph::build(m, wire, &mut |_| Err(crate::convert::bad_wire("a scalar key")))
            }
        }
    }
}
