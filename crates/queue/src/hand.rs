//! [`Hand`]: what the rings need of the thread that works on them: its slot's status, and blocks.

use std::sync::atomic::Ordering;

use coheap_objects::{Cell, kind};
use coheap_segment::word::Word1;
use coheap_segment::{Off, Result, Segment};

use crate::layout::{RingRecord, ring_bytes};
use crate::message::{ENVELOPE_BYTES, ENVELOPE_CELL, Message, bare};
use crate::rings::Supply;
use crate::word::{Owner, Payload, SlotWord};

/// A thread that works on rings. One single operation at a time.
pub(crate) trait Hand {
    fn segment(&self) -> &Segment;
    /// The thread's own slot.
    fn slot(&self) -> u16;
    /// Begins a single operation: status DIRECT(seq); gives seq's tag. Visible to others before any later CAS.
    fn begin(&mut self) -> u8;
    /// DIRECT → COMMITTED: what the operation owns takes effect, all of it.
    fn decide(&mut self);
    /// Status IDLE(seq + 1).
    fn end(&mut self);
    /// A fresh block, of which the first two words are set. Until [`Hand::built`] or [`Hand::end`] the slot says that
    /// there may be one that nothing refers to.
    fn alloc(&mut self, bytes: u64) -> Result<Off>;
    /// What was allocated is linked or given back.
    fn built(&mut self);
    /// Frees a block that nobody else can reach.
    fn free(&mut self, at: Off) -> Result<()>;
}

impl Hand for coheap_txn::Hand<'_> {
    #[inline]
    fn segment(&self) -> &Segment {
        coheap_txn::Hand::segment(self)
    }
    #[inline]
    fn slot(&self) -> u16 {
        coheap_txn::Hand::slot(self)
    }
    #[inline]
    fn begin(&mut self) -> u8 {
        coheap_txn::Hand::begin(self)
    }
    #[inline]
    fn decide(&mut self) {
        coheap_txn::Hand::decide(self);
    }
    #[inline]
    fn end(&mut self) {
        coheap_txn::Hand::end(self);
    }
    #[inline]
    fn alloc(&mut self, bytes: u64) -> Result<Off> {
        Ok(coheap_txn::Hand::alloc(self, bytes)?.at)
    }
    #[inline]
    fn built(&mut self) {
        coheap_txn::Hand::built(self);
    }
    #[inline]
    fn free(&mut self, at: Off) -> Result<()> {
        // already free: a message that was freed behind its channel's back, which is nobody's gain to report
        coheap_txn::Hand::free(self, at).map(|_| ())
    }
}

/// Brings a fresh block to life.
pub(crate) fn finish(seg: &Segment, at: Off, kind: u8, flags: u8, low: u32) -> Result<()> {
    let word1 = seg.word(at + 8)?;
    // Release: what the block holds comes before its type.
    word1.store(Word1(word1.load(Ordering::Relaxed)).live(kind, flags, low).0, Ordering::Release);
    Ok(())
}

/// What a place is to hold: the cell as it is, or a fresh envelope.
#[inline]
pub(crate) fn wrap(hand: &mut impl Hand, cell: Cell) -> Result<Payload> {
    if let Some(payload) = bare(cell) {
        return Ok(payload);
    }
    let at = hand.alloc(ENVELOPE_BYTES)?;
    // Relaxed: the CAS of the place publishes it.
    hand.segment().word(at + ENVELOPE_CELL)?.store(cell.0, Ordering::Relaxed);
    finish(hand.segment(), at, kind::ENVELOPE, 0, 0)?;
    Ok(Payload::block(at))
}

/// What was to be put has not gone in: an envelope that was made for it is freed, a block of the caller's is not.
pub(crate) fn unwrap(hand: &mut impl Hand, cell: Cell, payload: Payload) -> Result<()> {
    if payload == Payload::NONE || bare(cell).is_some() { Ok(()) } else { hand.free(payload.offset()) }
}

/// A fresh ring.
pub(crate) fn ring(hand: &mut impl Hand, places: u64) -> Result<Off> {
    let at = hand.alloc(ring_bytes(places))?;
    for i in 2..size_of::<RingRecord>() as u64 / 8 {
        hand.segment().word(at + i * 8)?.store(0, Ordering::Relaxed);
    }
    finish(hand.segment(), at, kind::RING, 0, places as u32)?;
    Ok(at)
}

/// Frees what the taker of a message frees.
#[inline]
pub(crate) fn free_message(hand: &mut impl Hand, message: &Message) -> Result<()> {
    if message.freed == 0 { Ok(()) } else { hand.free(message.freed) }
}

/// A putter of one cell.
pub(crate) struct Putter<'h, H: Hand> {
    pub hand: &'h mut H,
    pub places: u64,
    pub cell: Cell,
    /// PUTTING by this owner; `None`: FULL at once.
    pub owner: Option<Owner>,
    /// What the place is to hold; none: not yet made.
    pub payload: Payload,
}

impl<H: Hand> Putter<'_, H> {
    /// The message has not gone in.
    pub fn discard(&mut self) -> Result<()> {
        unwrap(self.hand, self.cell, std::mem::replace(&mut self.payload, Payload::NONE))
    }
}

impl<H: Hand> Supply for Putter<'_, H> {
    fn ring(&mut self) -> Result<Off> {
        ring(self.hand, self.places)
    }
    #[inline]
    fn word(&mut self, lap: u64) -> Result<SlotWord> {
        if self.payload == Payload::NONE {
            self.payload = wrap(self.hand, self.cell)?;
        }
        Ok(match self.owner {
            None => SlotWord::full(lap, self.payload),
            Some(owner) => SlotWord::putting(lap, owner, self.payload),
        })
    }
}
