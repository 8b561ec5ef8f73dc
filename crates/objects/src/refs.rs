//! Every reference that a block holds, found from its type: the door for the collector and for `verify()`.
//!
//! The words are read as they are, relaxed and without a guard: who walks a heap that runs relies on the barrier
//! in `Mem`, not on a consistent view of one block, and takes each reference for a hint until it has found an
//! allocated block of that type there. Each count and offset is bounded by the segment.

use std::sync::atomic::Ordering::Relaxed;

use coheap_segment::word::Word1;
use coheap_segment::{Error, Off, Result, Segment};

use crate::cell::{Cell, kind};
use crate::shape::{self, ShapeWord};
use crate::stripes::PENDING;
use crate::{array, dict, keys, map, map_body, record};

/// One reference of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A value: a live object, or a block that this cell alone refers to.
    Cell(Cell),
    /// A body, stripes, a table: a block that belongs to this one.
    Block(Off),
}

impl Reference {
    /// The block that is referred to.
    pub fn offset(self) -> Off {
        match self {
            Reference::Cell(cell) => cell.offset(),
            Reference::Block(at) => at,
        }
    }
}

/// What a block of this type is, in words.
pub fn describe(kind: u8) -> &'static str {
    match kind {
        0 => "nothing live",
        kind::STRING => "string",
        kind::BIGINT => "bigint",
        kind::PACKED => "by-value object",
        kind::SYMBOL => "registered symbol",
        kind::RECORD => "object",
        kind::ARRAY => "array",
        kind::MAP => "map",
        kind::SET => "set",
        kind::BUFFER => "buffer",
        kind::VIEW => "view",
        kind::RECORD_BODY => "slots of an object",
        kind::DICT_BODY => "dictionary",
        kind::ARRAY_BODY => "elements of an array",
        kind::SPARSE_BODY => "elements of a sparse array",
        kind::MAP_BODY => "entries of a map or set",
        kind::STRIPES => "version words of a large map",
        kind::BYTES => "bytes of a buffer",
        kind::SHAPE => "shape",
        kind::KEY => "key of a shape",
        kind::TABLE => "table",
        kind::LOG => "log of a transaction",
        kind::HANDLES => "handles of a participant",
        kind::CHANNEL => "channel",
        kind::RING => "ring of a channel",
        kind::STACK => "stack of a channel",
        kind::DELIVERIES => "deliveries",
        kind::ENVELOPE => "message",
        _ => "unknown",
    }
}

/// One block, its words read as they are.
struct Words<'a> {
    segment: &'a Segment,
    at: Off,
    low: u32,
}

impl Words<'_> {
    /// The word at this distance from the block's start.
    fn word(&self, distance: u64) -> Result<u64> {
        Ok(self.segment.word(self.at.wrapping_add(distance))?.load(Relaxed))
    }
    /// A count of things of so many bytes, no more than the heap could hold.
    fn count(&self, n: u64, bytes: u64) -> Result<u64> {
        if n > self.segment.committed() / bytes {
            return Err(Error::corrupt("more than the heap can hold", self.at));
        }
        Ok(n)
    }
    /// `n` cells from this distance on.
    fn cells(&self, distance: u64, n: u64, f: &mut dyn FnMut(Reference)) -> Result<()> {
        for i in 0..self.count(n, 8)? {
            let cell = Cell(self.word(distance + i * 8)?);
            if cell.is_identity() || cell.is_by_value_block() {
                f(Reference::Cell(cell));
            }
        }
        Ok(())
    }
    /// `n` offsets of blocks from this distance on, 0 none.
    fn blocks(&self, distance: u64, n: u64, f: &mut dyn FnMut(Reference)) -> Result<()> {
        for i in 0..self.count(n, 8)? {
            let at = self.word(distance + i * 8)?;
            if at != 0 {
                f(Reference::Block(at));
            }
        }
        Ok(())
    }
}

/// Calls `f` with every reference of the block at `at`. Blocks that belong to a channel, a participant or a slot
/// (types from 40 on, but for messages) are their owners' business: nothing is told of them.
pub fn for_each_ref(segment: &Segment, at: Off, f: &mut dyn FnMut(Reference)) -> Result<()> {
    let head = Word1(segment.word(at.wrapping_add(8))?.load(Relaxed));
    let block = Words { segment, at, low: head.low() };
    match head.kind() {
        kind::PACKED => block.cells(24, block.word(16)? >> 8 & 0xffff_ffff, f),
        kind::MAP | kind::SET => {
            block.blocks(map::BODY, 1, f)?;
            match block.word(map::STRIPES)? & !PENDING {
                0 => {}
                at => f(Reference::Block(at)),
            }
            Ok(())
        }
        kind::MAP_BODY => map_body(&block, f),
        kind::BUFFER => block.blocks(24, 1, f),
        kind::VIEW | kind::ENVELOPE => block.cells(16, 1, f),
        kind::RECORD => {
            let word = ShapeWord(block.low);
            if word.is_destroyed() {
                return Ok(()); // its cells keep their last bits
            }
            if !word.is_dictionary() {
                // a dictionary's inline slots keep their last bits, which mean nothing
                block.cells(record::SLOTS, word.inline() as u64, f)?;
            }
            block.blocks(record::BODY, 1, f)
        }
        kind::RECORD_BODY => block.cells(record::BODY_SLOTS, block.low as u64, f),
        kind::DICT_BODY | kind::SPARSE_BODY => dictionary(&block, f),
        kind::ARRAY => {
            block.blocks(array::BODY, 1, f)?;
            block.blocks(array::NAMED, 1, f)
        }
        // cells that are no elements hold no references
        kind::ARRAY_BODY => block.cells(array::ELEMENTS, block.low as u64, f),
        kind::SHAPE => {
            block.blocks(shape::KEY, 1, f)?;
            match block.word(shape::CLASS)? as u32 {
                0 => {}
                class => f(Reference::Block(shape::class_block(class))),
            }
            block.blocks(shape::NEXT, 1, f)
        }
        kind::KEY => block.blocks(keys::NEXT, 1, f),
        kind::TABLE => match block.low {
            shape::TABLE_OF_SHAPES => {
                block.blocks(shape::PAGES, shape::PAGE_COUNT, f)?;
                block.blocks(shape::HEADS, shape::CHAINS, f)
            }
            shape::PAGE_OF_SHAPES => block.blocks(shape::ENTRIES, shape::PAGE_ENTRIES, f),
            keys::TABLE_OF_KEYS => block.blocks(keys::HEADS, keys::CHAINS, f),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn map_body(block: &Words<'_>, f: &mut dyn FnMut(Reference)) -> Result<()> {
    let Some(shape) = map_body::Shape::of(block.word(16)?) else {
        return Err(Error::corrupt("a map's body that is none", block.at));
    };
    for i in 0..block.count(shape.capacity, shape.stride())? {
        // an entry's first two words are numbers, whatever cells their bits may look like
        block.cells(shape.entries() + i * shape.stride() + 16, shape.width as u64 - 2, f)?;
    }
    Ok(())
}

fn dictionary(block: &Words<'_>, f: &mut dyn FnMut(Reference)) -> Result<()> {
    if block.low > 28 {
        return Err(Error::corrupt("a table that is none", block.at));
    }
    let entries = dict::BUCKETS + (4 << block.low);
    let used = block.word(dict::COUNTS)? & 0xffff_ffff;
    for i in 0..used.min(1 << block.low) {
        block.cells(entries + i * dict::ENTRY, 2, f)?;
    }
    Ok(())
}
