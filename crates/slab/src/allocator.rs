//! [`Allocator`]: one participant's caches over the slabs.
//!
//! For each size class it owns up to four bitmap words. To allocate is to take a bit of a local mask; to free is
//! one CAS on word 0 and, in a word of one's own, setting the bit of the mask again; elsewhere one atomic that
//! clears the allocation bit. A refill looks at the own words first (others may have freed there), then at the
//! slab used last, the class's hint and the summary; then it takes a free slab.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release, SeqCst};

use coheap_segment::primitive::{AtomicU64, spin_loop};
use coheap_segment::word::{FREE, LAST_VERSION, NOBODY, Word1};
use coheap_segment::{Code, Error, Off, ParticipantRecord, Result, SLAB, Segment, Word};

use crate::bitmap::{self, BitmapWord, Slab, is_tenanted};
use crate::classes::{CLASS_COUNT, CLASSES, LARGEST_RESERVED, RUN_HEAD, class_of};
use crate::directory::{Directory, HINT_RESERVE, SlabWord, State, need};
use crate::runs;

/// A fresh block: allocated, its word 0 without an owner, its type still 0, referred to by nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Offset of word 0; a multiple of 16.
    pub at: Off,
    /// Usable bytes, word 0 and word 1 included; at least what was asked for.
    pub size: u64,
}

/// Bitmap words of one class that a participant owns at a time.
const OWNED: usize = 4;

/// A bitmap word that this participant owns.
#[derive(Clone, Copy)]
struct Owned {
    /// Null: none.
    word: *const BitmapWord,
    /// The address of the first block that the word stands for.
    blocks: *mut u8,
    /// The offset of that block.
    at: Off,
    /// Bits that are set in the bitmap and stand for blocks which nobody has: ours to hand out.
    mask: u64,
    /// The bits that stand for blocks.
    valid: u64,
}

const NONE: Owned = Owned { word: std::ptr::null(), blocks: std::ptr::null_mut(), at: 0, mask: 0, valid: 0 };

/// The words of one class; `owned[0]` is the one in use.
#[derive(Clone, Copy)]
struct Cache {
    owned: [Owned; OWNED],
    /// The slab that the last word came from.
    slab: usize,
}

/// One participant's way to blocks. At most one exists for a participant at a time.
///
/// Dropping it gives back what it has cached.
pub struct Allocator {
    segment: Arc<Segment>,
    me: u16,
    caches: Box<[Cache; CLASS_COUNT]>,
    /// The directory's words, for the paths that take nanoseconds.
    directory: *const AtomicU64,
    /// Number of words there.
    slabs: u64,
    first_slab: u64,
    record: *const ParticipantRecord,
    _not_sync: PhantomData<*mut ()>,
}

// SAFETY: the pointers go into the segment, which `segment` keeps mapped; none is tied to a thread.
unsafe impl Send for Allocator {}

impl Allocator {
    /// The allocator of a participant that has been claimed by the caller and has none yet.
    pub fn new(segment: Arc<Segment>, participant: u16) -> Allocator {
        let plan = *segment.plan();
        let directory =
            segment.word(plan.directory).expect("the tables are allocated first") as *const AtomicU64;
        let record = segment.participant(participant) as *const ParticipantRecord;
        Allocator {
            me: participant,
            caches: Box::new([Cache { owned: [NONE; OWNED], slab: 0 }; CLASS_COUNT]),
            directory,
            slabs: plan.max_size / SLAB,
            first_slab: plan.data / SLAB,
            record,
            segment,
            _not_sync: PhantomData,
        }
    }

    /// The segment.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    #[inline]
    fn record(&self) -> &ParticipantRecord {
        // SAFETY: a row of the participant table of the segment that we keep mapped; all atomics.
        unsafe { &*self.record }
    }

    /// The directory's word of a slab, which must be in range.
    #[inline]
    fn slab_word(&self, index: u64) -> SlabWord {
        debug_assert!(index < self.slabs);
        // SAFETY: inside the directory, which is allocated with the tables; the segment stays mapped; an atomic.
        let word = unsafe { &*self.directory.add(index as usize) };
        // SeqCst: Acquire for the publication of the slab (it is formatted); and in `clear_bit` the look at the full
        // hint comes after the bit was cleared, see `Directory::settle_full`.
        SlabWord(word.load(SeqCst))
    }

    /// Only the participant itself writes its counters: load and store do.
    #[inline]
    fn count(&self, bytes: u64, objects: u64) {
        let r = self.record();
        r.used.store(r.used.load(Relaxed).wrapping_add(bytes), Relaxed);
        r.objects.store(r.objects.load(Relaxed).wrapping_add(objects), Relaxed);
    }

    /// A block of at least `bytes` bytes, words 0 and 1 included. Its word 0 has a new version and no owner, its
    /// word 1 type 0 and the next birth count; the rest is what the last tenant left, or zero. Never blocks; may
    /// grow the segment. `ERR_COHEAP_OUT_OF_MEMORY` if there is no room.
    #[inline]
    pub fn alloc(&mut self, bytes: u64) -> Result<Block> {
        let Some(class) = class_of(bytes) else { return self.alloc_run(bytes) };
        let mut owned = &mut self.caches[class as usize].owned[0];
        if owned.mask == 0 {
            self.refill(class)?;
            owned = &mut self.caches[class as usize].owned[0];
        }
        let bit = owned.mask.trailing_zeros() as u64;
        owned.mask &= owned.mask - 1;
        let inside = bit * CLASSES[class as usize].size as u64;
        let at = owned.at + inside;
        // SAFETY: `mask` has only bits of blocks of this word; `refill` has checked that their slab is allocated.
        let head = unsafe { owned.blocks.add(inside as usize).cast::<AtomicU64>() };
        // SAFETY: words 0 and 1 of that block: aligned to 16, atomics.
        let (word0, word1) = unsafe { (&*head, &*head.add(1)) };
        self.give_life(class, word0, word1)?;
        let size = CLASSES[class as usize].size as u64;
        self.count(size, 1);
        Ok(Block { at, size })
    }

    /// Makes a block whose allocation bit is ours somebody's.
    #[inline]
    fn give_life(&self, class: u8, word0: &AtomicU64, word1: &AtomicU64) -> Result<()> {
        let old = Word(word0.load(Relaxed));
        let version = old.version().max(self.segment.clock()) + 1;
        if is_tenanted(old) || version > LAST_VERSION {
            return Err(Error::corrupt("a free block with a living version word", self.me as u64));
        }
        let birth = Word1(word1.load(Relaxed)).birth().wrapping_add(1);
        word1.store(Word1::new(0, 0, class, birth, 0).0, Relaxed);
        // Nobody CASes a word 0 that is FREE, and the bit is ours: a store will do. Release pairs with the Acquire
        // of walkers: who sees the block alive sees its type 0.
        word0.store(Word::new(NOBODY, 0, version, false).0, Release);
        Ok(())
    }

    #[cold]
    fn alloc_run(&mut self, bytes: u64) -> Result<Block> {
        let segment = self.segment.clone();
        let intent = &self.record().alloc_intent;
        // any odd number: claiming slabs; who they belong to stands in their words
        intent.store(1, Relaxed);
        let run = runs::alloc(&Directory::of(&segment)?, self.me, bytes);
        intent.store(0, Release);
        let (at, size) = run?;
        self.count(size, 1);
        Ok(Block { at, size })
    }

    /// As [`Allocator::alloc`], but taken from the reserve when the heap is full: for handles, logs and
    /// deliveries, without which a full heap could not even be emptied. The reserve serves requests of up to
    /// [`LARGEST_RESERVED`] bytes.
    pub fn alloc_reserved(&mut self, bytes: u64) -> Result<Block> {
        match self.alloc(bytes) {
            Err(e) if e.code == Code::OutOfMemory && bytes <= LARGEST_RESERVED => {
                self.take_reserve().ok_or(e)
            }
            other => other,
        }
    }

    #[cold]
    fn take_reserve(&mut self) -> Option<Block> {
        let segment = self.segment.clone();
        let directory = Directory::of(&segment).ok()?;
        let index = segment.header().slab_hints[HINT_RESERVE].load(Relaxed);
        let index = usize::try_from(index).ok().filter(|&i| i >= directory.first && i < directory.len())?;
        let seen = directory.get(index);
        let class = seen.small().filter(|_| seen.is(State::Reserve))?;
        let slab = Slab::new(&segment, index, class).ok()?;
        // one block at a time: nobody may sit on the reserve
        // others own a word of it for a few instructions only, unless they are paused there
        let own = |_| {
            spin_loop();
            slab.own(self.me as u32, 1, 1, &self.record().alloc_intent)
        };
        let (word, bit) = (0..1000).find_map(own)?;
        let block = (word << class.shift) + bit.trailing_zeros();
        bitmap::give_back(slab.word(word), 0, class.valid(word), 1);
        self.give_life(seen.class(), slab.head(block, 0), slab.head(block, 1)).ok()?;
        let size = class.size as u64;
        self.count(size, 1);
        Some(Block { at: slab.start + class.offset(block) as u64, size })
    }

    /// Puts a word with free bits into `owned[0]` of the class.
    #[cold]
    #[inline(never)]
    fn refill(&mut self, class: u8) -> Result<()> {
        let cache = &mut self.caches[class as usize];
        for i in 0..OWNED {
            let owned = &mut cache.owned[i];
            if owned.mask == 0 && !owned.word.is_null() {
                // SAFETY: a bitmap word of a slab that was found to be allocated; the segment stays mapped.
                owned.mask = bitmap::take(unsafe { &*owned.word }, owned.valid, 64);
                fetch(&self.segment, class, owned);
            }
            if owned.mask != 0 {
                cache.owned.swap(0, i);
                return Ok(());
            }
        }
        let segment = self.segment.clone();
        let directory = Directory::of(&segment)?;
        let (index, owned) = self.find_word(&directory, class)?;
        let cache = &mut self.caches[class as usize];
        cache.slab = index;
        // the one that was in use longest ago goes
        cache.owned.rotate_right(1);
        let old = std::mem::replace(&mut cache.owned[0], owned);
        give_up(&directory, old);
        Ok(())
    }

    /// Finds a slab of the class with room, or makes one, and owns a word of it.
    fn find_word(&self, directory: &Directory<'_>, class: u8) -> Result<(usize, Owned)> {
        let segment = directory.segment;
        let hint = &segment.header().slab_hints[class as usize];
        let wanted = |w: SlabWord| w.is(State::Slab) && w.class() == class && !w.is_full();
        let own = |index: usize| {
            let slab = Slab::new(segment, index, &CLASSES[class as usize]).ok()?;
            let need = need(segment, slab.class);
            let found = slab.own(self.me as u32, 64, need, &self.record().alloc_intent);
            if found.is_none() {
                directory.settle_full(index, &slab);
            }
            let (word, mask) = found?;
            let first = word << slab.class.shift;
            let owned = Owned {
                word: slab.word(word),
                blocks: slab.address(first),
                at: slab.start + slab.class.offset(first) as u64,
                mask,
                valid: slab.class.valid(word),
            };
            Some((index, owned))
        };
        let mut near = directory.first;
        for index in [self.caches[class as usize].slab, hint.load(Relaxed) as usize] {
            if index >= directory.first && index < directory.len() {
                near = index;
                if wanted(directory.get(index))
                    && let Some(found) = own(index)
                {
                    return Ok(found);
                }
            }
        }
        if let Some(found) = directory.search(class as u32, near, wanted, own) {
            hint.store(found.0 as u64, Relaxed);
            return Ok(found);
        }
        match directory.claim_one(self.me) {
            Ok(index) => {
                let slab = Slab::new(segment, index, &CLASSES[class as usize])?;
                if directory.get(index).generation() > 1 {
                    slab.format();
                }
                // our word first, while the slab is only ours
                let found = own(index);
                directory.publish(index, State::Slab, class, 0);
                directory.mark(index, class as u32);
                hint.store(index as u64, Relaxed);
                found.ok_or(Error::corrupt("a new slab that is not empty", slab.start))
            }
            // a hint may have died with its setter: look at every slab before giving up
            Err(full) => {
                directory.tighten();
                (directory.first..directory.len())
                    .find_map(|i| {
                        let word = directory.get(i);
                        (word.is(State::Slab) && word.class() == class).then(|| own(i)).flatten()
                    })
                    .ok_or(full)
            }
        }
    }

    /// Frees a block that the caller has unlinked: nobody else can reach it any more. One CAS on word 0; whoever
    /// wins it clears the allocation bit. `Ok(false)`: it is free already, or somebody has reserved or is
    /// changing it, and nothing has changed. `ERR_COHEAP_CORRUPT`: no block starts there.
    #[inline]
    pub fn free(&mut self, at: Off) -> Result<bool> {
        self.free_if(at, |_| true)
    }

    /// As [`Allocator::free`], only if version and C of word 0 are still those of `seen`.
    #[inline]
    pub fn free_seen(&mut self, at: Off, seen: Word) -> Result<bool> {
        self.free_if(at, |now| now.seen() == seen.seen())
    }

    #[inline]
    fn free_if(&mut self, at: Off, still: impl Fn(Word) -> bool) -> Result<bool> {
        let index = at / SLAB;
        if index < self.first_slab || index >= self.slabs {
            return Err(Error::corrupt("no block starts here", at));
        }
        let word = self.slab_word(index);
        let Some(class) = word.small() else { return self.free_run(at, still) };
        let Some(block) = class.index((at % SLAB) as u32) else {
            return Err(Error::corrupt("no block starts here", at));
        };
        let slab = Slab::new(&self.segment, index as usize, class)?;
        if !self.win(at, slab.head(block, 0), still) {
            return Ok(false);
        }
        let size = class.size as u64;
        let bit = 1 << (block & ((1 << class.shift) - 1));
        let bits: *const BitmapWord = slab.word(block >> class.shift);
        // In a word of our own the bit stays set, and the block is ours to hand out. If we die the sweeper finds it:
        // its bit is set and its word 0 FREE.
        for owned in &mut self.caches[word.class() as usize].owned {
            if std::ptr::eq(owned.word, bits) {
                owned.mask |= bit;
                self.record().free_intent.store(0, Release);
                self.count(size.wrapping_neg(), u64::MAX);
                return Ok(true);
            }
        }
        self.clear_bit(&slab, block);
        self.record().free_intent.store(0, Release);
        self.count(size.wrapping_neg(), u64::MAX);
        Ok(true)
    }

    /// Writes the intent, then the CAS that frees: true for the one winner, who has to clear the intent too.
    #[inline]
    fn win(&self, at: Off, word0: &AtomicU64, still: impl Fn(Word) -> bool) -> bool {
        let intent = &self.record().free_intent;
        let mut seen = Word(word0.load(Relaxed));
        // The waiters bit alone may change under us, and seldom; a word that never stands still is not freed.
        for _ in 0..64 {
            if !is_tenanted(seen) || seen.owner() != NOBODY || seen.changing() || !still(seen) {
                break;
            }
            // Release: the bit of what we freed last was cleared before (pairs with `recover::unused`)
            intent.store(at, Release);
            let free = Word::new(FREE, 0, seen.version() + 1, false);
            // AcqRel: Release puts the intent, and all that we did with the block, before its death (pairs with the
            // next tenant's Acquire by way of the bitmap word); Acquire: the last release of the word comes before.
            match word0.compare_exchange(seen.0, free.0, AcqRel, Relaxed) {
                Ok(_) => {
                    if seen.waiters() {
                        self.segment.waiters_ring(at);
                    }
                    return true;
                }
                Err(now) => seen = Word(now),
            }
        }
        intent.store(0, Relaxed);
        false
    }

    /// Clears the allocation bit of a block whose death we have won, in a word that is not ours.
    fn clear_bit(&self, slab: &Slab<'_>, block: u32) {
        let class = slab.class;
        let index = (slab.start / SLAB) as usize;
        let (word, bit) = (slab.word(block >> class.shift), 1 << (block & ((1 << class.shift) - 1)));
        let valid = class.valid(block >> class.shift);
        // SeqCst: Release for the next tenant; and the owner is looked at after the bit is cleared, as the owner
        // looks at the bits after it has gone (`give_back`): one of the two notes the room.
        let before = word.bits.fetch_and(!bit, SeqCst);
        if word.owner.load(SeqCst) == 0
            && bitmap::has_room(before & !bit, valid, need(&self.segment, class))
            && self.slab_word(index as u64).is_full()
            && let Ok(directory) = Directory::of(&self.segment)
        {
            directory.unfull(index);
        }
    }

    #[cold]
    fn free_run(&mut self, at: Off, still: impl Fn(Word) -> bool) -> Result<bool> {
        let segment = self.segment.clone();
        let directory = Directory::of(&segment)?;
        let index = (at / SLAB) as usize;
        let word = directory.get(index);
        if at % SLAB != RUN_HEAD {
            return Err(Error::corrupt("no block starts here", at));
        }
        if !runs::is_run(&directory, index, word) {
            // a run that was freed is no run any more
            return match word.state() {
                Some(State::Free | State::Claimed | State::Releasing) => Ok(false),
                _ => Err(Error::corrupt("no block starts here", at)),
            };
        }
        if !self.win(at, segment.word(at)?, still) {
            return Ok(false);
        }
        self.count(runs::size_of_run(word.argument() as u64).wrapping_neg(), u64::MAX);
        let released = runs::release(&directory, index);
        self.record().free_intent.store(0, Release);
        released.map(|_| true)
    }
}

/// Fetches the heads of the next blocks ahead: those that came free here were last in the caches of whoever has freed them.
fn fetch(segment: &Segment, class: u8, owned: &Owned) {
    /// As many misses as a processor has under way at a time, or twice that.
    const AHEAD: usize = 32;
    let size = CLASSES[class as usize].size as u64;
    let mut mask = owned.mask;
    for _ in 0..AHEAD.min(mask.count_ones() as usize) {
        segment.prefetch(owned.at + mask.trailing_zeros() as u64 * size);
        mask &= mask - 1;
    }
}

/// Gives a word of ours up, with what is unused of it.
fn give_up(directory: &Directory<'_>, owned: Owned) {
    if !owned.word.is_null() {
        // SAFETY: a bitmap word of a slab that was found to be allocated; the segment stays mapped.
        let word = unsafe { &*owned.word };
        let index = (owned.at / SLAB) as usize;
        let need = directory.get(index).small().map_or(1, |class| need(directory.segment, class));
        if bitmap::give_back(word, owned.mask, owned.valid, need) {
            directory.unfull(index);
        }
    }
}

impl Drop for Allocator {
    fn drop(&mut self) {
        if let Ok(directory) = Directory::of(&self.segment) {
            for cache in self.caches.iter() {
                cache.owned.iter().for_each(|&owned| give_up(&directory, owned));
            }
        }
    }
}
