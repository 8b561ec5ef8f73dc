//! The shared records of a channel, byte by byte. `docs/layout.md` draws what stands here.
//!
//! ```text
//! header.channels ─→ TABLE: BUCKETS × first channel ─→ CHANNEL ─→ next channel of the bucket …
//! CHANNEL ─ head_ring ─→ RING (seq s) ─ next ─→ RING (s + 1) ─ … ─→ RING ←─ tail_ring
//!         ├ rings ─→ every ring that the channel has ever made, by `made_before`
//!         └ spare ─→ the rings at rest, by `rests_before`
//! ```
//!
//! Rings, records and the table are CASed without a version in the expected value, so they are never freed: they
//! belong to their channel, and the channel to its heap, for ever.

use std::sync::atomic::Ordering::Relaxed;

use coheap_objects::kind;
use coheap_segment::primitive::AtomicU64;
use coheap_segment::word::Word1;
use coheap_segment::{Error, Off, Result, Segment};

use crate::hand::Hand;
use crate::rings::Rings;
use crate::word::Link;

/// Channels by hash of their name.
pub(crate) const BUCKETS: u64 = 512;
/// The longest name, in bytes of UTF-8.
pub const LONGEST_NAME: usize = 255;
/// Places of a ring of an unbounded channel, and the most that any ring has.
pub(crate) const RING_PLACES: u64 = 512;
/// The fewest places of a ring.
pub(crate) const FEWEST_PLACES: u64 = 128;
/// The capacity of a channel that has none.
pub(crate) const UNBOUNDED: u64 = u64::MAX;

/// Flag of the channel's word 1: last in, first out.
pub(crate) const LIFO: u8 = 1;

/// A channel: a block of kind CHANNEL.
#[repr(C)]
pub(crate) struct ChannelRecord {
    // 0x000
    /// The version word. FIFO: taken by commits that put or take, in step 5. LIFO: guards the stack.
    pub word0: AtomicU64,
    /// Kind, flags ([`LIFO`]); low half: places of a ring.
    pub word1: AtomicU64,
    // 0x010: never changed
    /// The most messages, or [`UNBOUNDED`].
    pub capacity: AtomicU64,
    /// The next channel of the bucket.
    pub next: AtomicU64,
    /// Hash of the name.
    pub hash: AtomicU64,
    /// Length of the name in bytes.
    pub name_len: AtomicU64,
    // 0x030
    /// All rings, the youngest first, linked by `made_before`. Only grows.
    pub rings: AtomicU64,
    /// The rings at rest: `pushes 32 | block/16 32`, linked by `rests_before`.
    pub spare: AtomicU64,
    // 0x040: LIFO, guarded by the version word
    /// The stack's body, 0 before the first put.
    pub stack: AtomicU64,
    /// Messages on the stack.
    pub depth: AtomicU64,
    /// 1: closed.
    pub stack_closed: AtomicU64,
    // 0x058: deliveries (reserved)
    /// The returned ring: what deliveries gave back, looked at before the rings.
    pub returned: AtomicU64,
    _pad0: [AtomicU64; 4],
    // 0x080: what putters write
    /// The first position that nobody has claimed; may lag by those being claimed. Only grows.
    pub tail: AtomicU64,
    /// The ring that holds `tail`, or the one before it: [`crate::word::Link`].
    pub tail_ring: AtomicU64,
    /// Not 0: takers may be asleep. Set by them, cleared by who rings them.
    pub takers_wait: AtomicU64,
    _pad1: [AtomicU64; 29],
    // 0x180: what takers write
    /// The first position that is not consumed; may lag. Only grows.
    pub head: AtomicU64,
    /// The ring that holds `head`, or the one before it: [`crate::word::Link`].
    pub head_ring: AtomicU64,
    /// Places before this position may be consumed though the head is before them. Only grows.
    pub holes: AtomicU64,
    /// Not 0: putters may be asleep. Set by them, cleared by who rings them.
    pub putters_wait: AtomicU64,
    /// 1: the tail is sealed (a hint for takers: others may wait for the end).
    pub sealed: AtomicU64,
    _pad2: [AtomicU64; 11],
    // 0x200
    /// UTF-8, zero-filled.
    pub name: [AtomicU64; 32],
}
const _: () = assert!(size_of::<ChannelRecord>() == 0x300);
const _: () = assert!(std::mem::offset_of!(ChannelRecord, tail) == 0x080);
const _: () = assert!(std::mem::offset_of!(ChannelRecord, head) == 0x180);
const _: () = assert!(std::mem::offset_of!(ChannelRecord, name) == 0x200);

/// Where the words of a channel stand that are used by offset: through `Mem`, or as keys of the waiter table.
pub(crate) mod at {
    use super::ChannelRecord;
    use std::mem::offset_of;

    pub const STACK: u64 = offset_of!(ChannelRecord, stack) as u64;
    pub const DEPTH: u64 = offset_of!(ChannelRecord, depth) as u64;
    pub const STACK_CLOSED: u64 = offset_of!(ChannelRecord, stack_closed) as u64;
    pub const TAKERS_WAIT: u64 = offset_of!(ChannelRecord, takers_wait) as u64;
    pub const PUTTERS_WAIT: u64 = offset_of!(ChannelRecord, putters_wait) as u64;
}

/// A ring: a block of kind RING. Its places follow.
#[repr(C)]
pub(crate) struct RingRecord {
    /// The version word; unused.
    pub word0: AtomicU64,
    /// Kind; low half: places.
    pub word1: AtomicU64,
    /// The ring that follows in the channel's sequence: [`crate::word::Link`].
    pub next: AtomicU64,
    /// The ring that the channel made before this one, 0: none.
    pub made_before: AtomicU64,
    /// Below this one among the rings at rest, 0: none.
    pub rests_before: AtomicU64,
    _pad: [AtomicU64; 3],
}
const _: () = assert!(size_of::<RingRecord>() == 64);

/// Bytes of a ring.
pub(crate) const fn ring_bytes(places: u64) -> u64 {
    size_of::<RingRecord>() as u64 + places * 8
}

/// The words at `at`, checked to lie in the heap.
pub(crate) fn words(seg: &Segment, at: Off, n: u64) -> Result<&[AtomicU64]> {
    if at & 7 != 0 || n > 1 << 32 {
        return Err(Error::corrupt("a misplaced table", at));
    }
    let base = seg.bytes(at, n * 8)?;
    // SAFETY: aligned (the mapping is, and `at`) and inside the allocated part of the mapping, which outlives the
    // borrow of the segment and never shrinks. They are atomics: other processes may write them at any time.
    Ok(unsafe { std::slice::from_raw_parts(base.cast::<AtomicU64>(), n as usize) })
}

impl ChannelRecord {
    /// The record at `at`, checked to lie in the heap.
    pub fn at(seg: &Segment, at: Off) -> Result<&ChannelRecord> {
        let words = words(seg, at, size_of::<ChannelRecord>() as u64 / 8)?;
        // SAFETY: `words` is exactly as long and as aligned as the record, which is nothing but atomics.
        Ok(unsafe { &*words.as_ptr().cast::<ChannelRecord>() })
    }
}

impl ChannelRecord {
    /// Places of a ring, whatever the record says a number that rings can have.
    pub fn places(&self) -> u64 {
        let places = Word1(self.word1.load(Relaxed)).low() as u64;
        places.clamp(FEWEST_PLACES, RING_PLACES).next_power_of_two()
    }
}

/// A ring with its places, borrowed from the segment.
#[derive(Clone, Copy)]
pub(crate) struct Ring<'s> {
    pub at: Off,
    pub record: &'s RingRecord,
    pub places: &'s [AtomicU64],
}

impl<'s> Ring<'s> {
    /// The ring of `places` places at `at`, checked to lie in the heap.
    pub fn at(seg: &'s Segment, at: Off, places: u64) -> Result<Ring<'s>> {
        const HEAD: usize = size_of::<RingRecord>() / 8;
        if at == 0 {
            return Err(Error::corrupt("a channel without a ring", at));
        }
        let words = words(seg, at, HEAD as u64 + places)?;
        // SAFETY: `words` is longer than the record and as aligned, and the record is nothing but atomics.
        let record = unsafe { &*words.as_ptr().cast::<RingRecord>() };
        Ok(Ring { at, record, places: &words[HEAD..] })
    }
}

/// Places of a ring of a channel of this capacity.
pub(crate) fn places_for(capacity: u64) -> u64 {
    capacity
        .saturating_add(1)
        .checked_next_power_of_two()
        .unwrap_or(RING_PLACES)
        .clamp(FEWEST_PLACES, RING_PLACES)
}

/// A fresh channel that nobody knows yet.
pub(crate) fn format_channel(
    hand: &mut impl Hand,
    capacity: u64,
    places: u64,
    lifo: bool,
    name: &[u8],
) -> Result<Off> {
    debug_assert!(name.len() <= LONGEST_NAME);
    let at = hand.alloc(size_of::<ChannelRecord>() as u64)?;
    for i in 2..size_of::<ChannelRecord>() as u64 / 8 {
        hand.segment().word(at + i * 8)?.store(0, Relaxed);
    }
    let ring = if lifo {
        0
    } else {
        match crate::hand::ring(hand, places) {
            Ok(ring) => ring,
            Err(error) => {
                hand.free(at)?;
                return Err(error);
            }
        }
    };
    let seg = hand.segment();
    let channel = ChannelRecord::at(seg, at)?;
    channel.capacity.store(capacity, Relaxed);
    channel.hash.store(hash(name), Relaxed);
    channel.name_len.store(name.len() as u64, Relaxed);
    for (word, part) in channel.name.iter().zip(name.chunks(8)) {
        let mut bytes = [0; 8];
        bytes[..part.len()].copy_from_slice(part);
        word.store(u64::from_le_bytes(bytes), Relaxed);
    }
    if !lifo {
        let ring = Ring::at(seg, ring, places)?;
        let rings = Rings::new(seg, channel, places, hand.slot());
        rings.format(&ring, 0);
        rings.remember(&ring);
        channel.head_ring.store(Link::new(0, ring.at).0, Relaxed);
        channel.tail_ring.store(Link::new(0, ring.at).0, Relaxed);
    }
    crate::hand::finish(seg, at, kind::CHANNEL, if lifo { LIFO } else { 0 }, places as u32)?;
    Ok(at)
}

/// Frees a fresh channel that nobody knows yet.
pub(crate) fn free_channel(hand: &mut impl Hand, at: Off) -> Result<()> {
    let ring = ChannelRecord::at(hand.segment(), at)?.rings.load(Relaxed);
    if ring != 0 {
        hand.free(ring)?;
    }
    hand.free(at)
}

/// FNV-1a: spreads names over the buckets; nothing depends on it but speed.
pub(crate) fn hash(name: &[u8]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ b as u64).wrapping_mul(0x100_0000_01b3))
}
