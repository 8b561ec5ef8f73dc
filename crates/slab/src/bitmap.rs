//! The metadata at the start of a slab: for every group of up to 64 blocks an allocation bitmap word, the owner
//! half-word beside it, and two mark words for the collector.
//!
//! ```text
//! slab       | bitmap word 0 | bitmap word 1 | … | up to 64 | block 0 | block 1 | … | rest |
//! bitmap word  0x00 allocation bits 64    0x08 owner 32, unused 32
//!              0x10 {cycle 32, marks 32} of blocks 0–31    0x18 the same of blocks 32–63
//! run        | bitmap word (only its first mark is used) | up to 64 | the block, to the end of the last slab |
//! ```
//!
//! *Owned bitmap words* are what mimalloc's thread-local pages are for one process, without pointers and fit for
//! sudden death: the owner takes all free bits at once and hands the blocks out without atomics; meanwhile
//! others may only clear bits. Owner and bits are never in one CAS, so a death between the two leaves a word
//! whose bits say "taken" though nobody has the blocks: garbage that the sweeper finds by word 0.

use std::sync::atomic::Ordering::{AcqRel, Relaxed, SeqCst};

use coheap_segment::primitive::{AtomicU32, AtomicU64};
use coheap_segment::{Off, Result, SLAB, Segment, Word};

use crate::classes::{Class, WORD_BYTES};

/// One bitmap word and what belongs to it.
#[repr(C)]
pub struct BitmapWord {
    /// A set bit: the block is handed out, or lies in the owner's cache.
    pub bits: AtomicU64,
    /// The owner half-word: the participant that takes bits of this word, 0 nobody.
    pub owner: AtomicU32,
    _spare: AtomicU32,
    /// The collector's: {cycle 32, marks 32} for blocks 0 to 31 and 32 to 63 of this word.
    pub marks: [AtomicU64; 2],
}
const _: () = assert!(size_of::<BitmapWord>() == WORD_BYTES as usize);

/// A slab whose whole extent has been found to lie in the allocated part of the segment, read as one of `class`.
#[derive(Clone, Copy)]
pub(crate) struct Slab<'a> {
    segment: &'a Segment,
    pub start: Off,
    base: *mut u8,
    pub class: &'static Class,
}

impl<'a> Slab<'a> {
    /// `ERR_COHEAP_CORRUPT` if the slab is not allocated.
    #[inline]
    pub fn new(segment: &'a Segment, index: usize, class: &'static Class) -> Result<Slab<'a>> {
        let start = index as u64 * SLAB;
        Ok(Slab { segment, start, base: segment.bytes(start, SLAB)?, class })
    }

    /// Bitmap word `index`.
    #[inline]
    pub fn word(&self, index: u32) -> &'a BitmapWord {
        debug_assert!(index < self.class.words);
        let _: &Segment = self.segment;
        // SAFETY: `base` is the start of 64 KiB inside of the mapping, which never shrinks while `segment` is
        // borrowed; the word lies in it (words × 32 ≤ first < 64 KiB), is aligned, and is made of atomics, so
        // another process may write it at any time.
        unsafe { &*self.base.add(index as usize * size_of::<BitmapWord>()).cast::<BitmapWord>() }
    }

    /// Word `n` (0 or 1) of block `index`.
    #[inline]
    pub fn head(&self, index: u32, n: usize) -> &'a AtomicU64 {
        debug_assert!(index < self.class.count && n < 2);
        // SAFETY: as in `word`; the block lies in the slab and has at least 16 bytes.
        unsafe { &*self.base.add(self.class.offset(index) as usize + n * 8).cast::<AtomicU64>() }
    }

    /// The address of block `index`, for a cache.
    pub fn address(&self, index: u32) -> *mut u8 {
        // SAFETY: as in `head`.
        unsafe { self.base.add(self.class.offset(index) as usize) }
    }

    /// Makes a slab of unknown contents an empty one of its class: metadata and the first two words of every
    /// block become zero, as in memory that was never used. The caller has claimed it.
    pub fn format(&self) {
        for i in 0..self.class.words {
            let w = self.word(i);
            w.bits.store(0, Relaxed);
            w.owner.store(0, Relaxed);
            w._spare.store(0, Relaxed);
            w.marks[0].store(0, Relaxed);
            w.marks[1].store(0, Relaxed);
        }
        for i in 0..self.class.count {
            self.head(i, 0).store(0, Relaxed);
            self.head(i, 1).store(0, Relaxed);
        }
    }

    /// True if a bitmap word is unowned and has room.
    pub fn has_room(&self, need: u32) -> bool {
        // SeqCst: the second look after the full hint has been set, see `Directory::settle_full`
        (0..self.class.words).any(|i| {
            let w = self.word(i);
            has_room(w.bits.load(SeqCst), self.class.valid(i), need) && w.owner.load(SeqCst) == 0
        })
    }

    /// Makes `me` the owner of the first word that is unowned and has room, and takes at most `limit` of its
    /// free bits: (word, taken). `intent` is told the offset of the word before it is owned, 0 afterwards.
    pub fn own(&self, me: u32, limit: u32, need: u32, intent: &AtomicU64) -> Option<(u32, u64)> {
        for i in 0..self.class.words {
            let w = self.word(i);
            let valid = self.class.valid(i);
            if w.owner.load(Relaxed) != 0 || !has_room(w.bits.load(Relaxed), valid, need) {
                continue;
            }
            intent.store(self.start + i as u64 * WORD_BYTES as u64, Relaxed);
            // AcqRel: Release puts the intent before the ownership for whoever reads the half-word; Acquire pairs
            // with the Release of the last owner's `give_back`.
            let owned = w.owner.compare_exchange(0, me, AcqRel, Relaxed).is_ok();
            let taken = if owned { take(w, valid, limit) } else { 0 };
            if owned && taken == 0 {
                give_back(w, 0, valid, need);
            }
            intent.store(0, Relaxed);
            if taken != 0 {
                return Some((i, taken));
            }
        }
        None
    }
}

/// Sets up to `limit` free bits of a word that the caller owns and returns them.
#[inline]
pub(crate) fn take(w: &BitmapWord, valid: u64, limit: u32) -> u64 {
    let mut free = !w.bits.load(Relaxed) & valid;
    while free.count_ones() > limit {
        free &= free - 1;
    }
    if free == 0 {
        return 0;
    }
    // Only the owner sets bits, so all of `free` are still clear. Acquire pairs with the Release of the freer's
    // `fetch_and`: its FREE word 0 is seen by the next tenant.
    let before = w.bits.fetch_or(free, AcqRel);
    free & !before
}

/// Ends the ownership of a word, clearing the bits of `unused` blocks: true if it has room now.
pub(crate) fn give_back(w: &BitmapWord, unused: u64, valid: u64, need: u32) -> bool {
    if unused != 0 {
        w.bits.fetch_and(!unused, AcqRel);
    }
    // SeqCst, here and in the load: a freer clears its bit, then looks at the owner; we clear the owner, then look
    // at the bits. One of the two sees that the slab has room again.
    w.owner.store(0, SeqCst);
    has_room(w.bits.load(SeqCst), valid, need)
}

/// True if at least `need` blocks of a word are free, or all of them.
#[inline]
pub(crate) fn has_room(bits: u64, valid: u64, need: u32) -> bool {
    (!bits & valid).count_ones() >= need.min(valid.count_ones())
}

/// True if word 0 is that of a block which somebody has: neither free nor never used.
#[inline]
pub(crate) fn is_tenanted(word: Word) -> bool {
    !word.is_free() && word.version() != 0
}
