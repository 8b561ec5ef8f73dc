//! What travels: a block as it is, anything else in an envelope.
//!
//! The word of a place holds the offset of a block. For a live object that is the object, for a by-value block (a long
//! string, a frozen object) that block, to which the place is the one that refers. A number that is an integer of 32 bits
//! stands in the place itself. Another cell that is complete in itself stands in an *envelope*, a block of kind
//! ENVELOPE whose word 2 is the cell. Its taker frees the by-value block or the envelope.

use std::sync::atomic::Ordering;

use coheap_objects::{Cell, Tag, kind};
use coheap_segment::word::Word1;
use coheap_segment::{Code, Error, Off, Result, Segment};
use coheap_txn::{Block, Fault, Guard, Mem, Res, copy_out};

use crate::word::Payload;

/// Bytes of an envelope.
pub(crate) const ENVELOPE_BYTES: u64 = 24;
/// Where its cell stands.
pub(crate) const ENVELOPE_CELL: u64 = 16;

/// A message as it is found in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub cell: Cell,
    /// What its taker frees: the by-value block or the envelope; 0 for an identity and for what stands in the place.
    pub freed: Off,
}

/// True for a cell that refers to a block: that block is the message.
#[inline]
pub(crate) fn is_block(cell: Cell) -> bool {
    cell.is_identity() || cell.is_by_value_block()
}

/// What a cell is to a place without an envelope; `None`: it needs one.
#[inline]
pub(crate) fn bare(cell: Cell) -> Option<Payload> {
    if is_block(cell) {
        return Some(Payload::block(cell.offset()));
    }
    // a cell that is no number is a NaN here, and gives another cell
    let n = f64::from_bits(cell.0) as i32;
    (f64::from(n).to_bits() == cell.0).then(|| Payload::integer(n))
}

impl Message {
    /// What a place holds. The words of a block may be garbage, unless the place is the caller's; then garbage is
    /// `ERR_COHEAP_CORRUPT`.
    #[inline]
    pub fn read(seg: &Segment, payload: Payload) -> Result<Message> {
        if let Some(n) = payload.as_integer() {
            return Ok(Message { cell: Cell::number(f64::from(n)), freed: 0 });
        }
        let block = payload.offset();
        // Relaxed: the load of the place's word was an Acquire, and pairs with the Release that published the block.
        let kind = Word1(seg.word(block + 8)?.load(Ordering::Relaxed)).kind();
        if kind == kind::ENVELOPE {
            let cell = Cell(seg.word(block + ENVELOPE_CELL)?.load(Ordering::Relaxed));
            if is_block(cell) {
                return Err(Error::corrupt("an envelope around a block", block));
            }
            return Ok(Message { cell, freed: block });
        }
        let tag = match kind {
            kind::STRING => Tag::String,
            kind::BIGINT => Tag::BigInt,
            kind::PACKED => Tag::Packed,
            kind::SYMBOL => Tag::Symbol,
            kind::RECORD => Tag::Record,
            kind::ARRAY => Tag::Array,
            kind::MAP => Tag::Map,
            kind::SET => Tag::Set,
            kind::BUFFER => Tag::Buffer,
            kind::VIEW => Tag::View,
            _ => return Err(Error::corrupt("a message that is none", block)),
        };
        let cell = Cell::reference(tag, block);
        Ok(Message { cell, freed: if cell.is_identity() { 0 } else { block } })
    }
}

/// The door to a message that the caller has taken: nobody else writes it, so a load is a load. (In a transaction,
/// and for a peek, the loads may give garbage, and the caller of the loader finds out afterwards.) Nothing can be
/// written through it.
pub struct Content<'s> {
    seg: &'s Segment,
}

impl<'s> Content<'s> {
    pub(crate) fn new(seg: &'s Segment) -> Content<'s> {
        Content { seg }
    }
}

const READ_ONLY: Fault = Fault::Error(Error::new(Code::InvalidArgument, "a message is only read"));

impl Mem for Content<'_> {
    fn segment(&self) -> &Segment {
        self.seg
    }
    fn load64(&mut self, _: Guard, at: Off) -> Res<u64> {
        Ok(self.seg.word(at)?.load(Ordering::Relaxed))
    }
    fn store64(&mut self, _: Guard, _: Off, _: u64) -> Res<()> {
        Err(READ_ONLY)
    }
    fn observe(&mut self, _: Guard) -> Res<()> {
        Ok(())
    }
    fn reserve(&mut self, _: Guard) -> Res<()> {
        Err(READ_ONLY)
    }
    fn version(&mut self, guard: Guard) -> Res<u64> {
        Ok(coheap_segment::Word(self.seg.word(guard.0)?.load(Ordering::Relaxed)).version())
    }
    fn alloc(&mut self, _: u64) -> Res<Block> {
        Err(READ_ONLY)
    }
    fn load_bytes(&mut self, _: Guard, at: Off, out: &mut [u8]) -> Res<()> {
        Ok(copy_out(self.seg, at, out)?)
    }
    fn init64(&mut self, _: Off, _: u64) {}
    fn finish(&mut self, _: Off, _: u8, _: u8, _: u32) {}
    fn publish(&mut self, _: Off) {}
    fn free(&mut self, _: Off) {}
}
