//! A map or set made in one go: its entries are gathered in this process, then written as one fresh body.

use std::collections::HashSet;

use coheap_segment::Off;
use coheap_txn::{Mem, Res};

use crate::cell::{Cell, Tag};
use crate::map;
use crate::map_body::{Body, Item};
use crate::mapkey::MapKey;
use crate::stripes::{self, STRIPED_ABOVE};

/// Gathers entries.
pub(crate) struct MapBuilder<'k> {
    tag: Tag,
    items: Vec<Item>,
    keys: HashSet<MapKey<'k>>,
}

impl<'k> MapBuilder<'k> {
    /// For `Tag::Map` or `Tag::Set`, with room for about so many.
    pub fn new(tag: Tag, room: usize) -> MapBuilder<'k> {
        let room = room.min(1 << 16);
        MapBuilder { tag, items: Vec::with_capacity(room), keys: HashSet::with_capacity(room) }
    }

    /// Appends an entry; false if the key is there already, and then nothing is appended.
    pub fn push<M: Mem + ?Sized>(&mut self, m: &M, key: MapKey<'k>, cell: Cell, value: Cell) -> bool {
        let hash = key.hash(m, cell.0);
        // -0 becomes 0
        let cell = if let MapKey::Bits(bits) = key { Cell(bits) } else { cell };
        if key != MapKey::Unique && !self.keys.insert(key) {
            return false;
        }
        self.items.push(Item { number: self.items.len() as u64 + 1, hash, key: cell, value });
        true
    }

    /// Writes the body and the identity block at `at`, fresh and of [`map::IDENTITY_BYTES`].
    pub fn finish<M: Mem + ?Sized>(self, m: &mut M, at: Off) -> Res<()> {
        let len = self.items.len() as u64;
        if len == 0 {
            map::init(m, at, self.tag, 0, 0, 0);
            return Ok(());
        }
        let capacity = len.next_power_of_two().max(4);
        let body = Body::write(m, self.tag == Tag::Map, capacity, &self.items, len + 1)?;
        // nobody has seen this map: its stripes are in use from the start
        let stripes = if len > STRIPED_ABOVE { stripes::create(m)? } else { 0 };
        map::init(m, at, self.tag, len, body.at, stripes);
        Ok(())
    }
}
