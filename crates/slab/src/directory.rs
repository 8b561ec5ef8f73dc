//! The directory: one word a slab, and its summary. It says what stands in every 64 KiB of the heap, so that any
//! offset can be judged, and where there may be room.
//!
//! ```text
//! slab word  63        32  31   30     28  27    26     21 20                 0
//!           | generation | 0 | state 3  | full | class 6  | argument 21        |
//! ```
//!
//! The generation grows whenever a slab is claimed, so no slab word ever recurs and a CAS of it is never fooled.
//! 0: never used, its memory is zero.
//!
//! *Summary.* One word for 64 slabs, one word for 64 of those; bit *c*: there may be a slab of class *c* with
//! room below; bit 63: there may be a used slab that is free again. A search for room reads a few hundred words
//! at most, however large the heap. Bits are hints: whoever makes room sets them after the room can be seen; a
//! searcher that finds none clears the bit, then looks again (both SeqCst, so one of the two sees the other).
//!
//! *Enough room.* A bitmap word with less than an eighth of its blocks free is not room: overwriting blocks at random
//! would otherwise cost a search and half a dozen CASes for every single block. Once the heap has been full
//! (`HINT_TIGHT`), one free block is room.
//!
//! A hint that dies with its setter is mended by the exhaustive search before a heap is declared full.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};

use coheap_segment::primitive::AtomicU64;
use coheap_segment::{Plan, Result, SLAB, Segment};

use crate::bitmap::Slab;
use crate::classes::{CLASS_COUNT, CLASSES, Class};

/// The summary's bit for slabs that are free again.
pub(crate) const FREE_BIT: u32 = 63;
/// `slab_hints`: not 0 from the first time on that the heap was full. In a cache line without other hints.
pub(crate) const HINT_TIGHT: usize = 48;
/// `slab_hints`: the first slab that was never used, nor any behind it.
pub(crate) const HINT_FRONTIER: usize = 60;
/// `slab_hints`: where the next search for a run starts.
pub(crate) const HINT_RUN: usize = 61;
/// `slab_hints`: the slab that is the reserve.
pub(crate) const HINT_RESERVE: usize = 62;
const _: () = assert!(CLASS_COUNT <= HINT_TIGHT);

/// What a slab is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Free. Two neighbours that are free are room for a run.
    Free = 0,
    /// Between two states; the argument is the participant that works on it.
    Claimed = 1,
    /// Blocks of one class.
    Slab = 2,
    /// The first slab of a run; the argument is the number of its slabs.
    Run = 3,
    /// A further slab of a run; the argument is the distance back to the first.
    Tail = 4,
    /// The first slab of a run whose slabs are being given back; argument as `Run`.
    Releasing = 5,
    /// Blocks of one class, for `alloc_reserved` only.
    Reserve = 6,
}

/// A word of the directory, see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct SlabWord(pub u64);

impl SlabWord {
    const FULL: u64 = 1 << 27;

    /// The same slab in another state.
    pub(crate) const fn to(self, state: State, class: u8, argument: u32) -> SlabWord {
        let generation = self.0 & !0xffff_ffff;
        SlabWord(
            generation | (state as u64) << 28 | ((class & 63) as u64) << 21 | (argument & 0x1f_ffff) as u64,
        )
    }
    /// Claimed by a participant, with the next generation.
    const fn claimed(self, participant: u16) -> SlabWord {
        // 0 and 1 say that the memory is still zero: they do not come again
        let next = match self.generation().wrapping_add(1) {
            0 => 2,
            n => n,
        };
        SlabWord((next as u64) << 32).to(State::Claimed, 0, participant as u32)
    }
    const fn with_full(self, on: bool) -> SlabWord {
        if on { SlabWord(self.0 | Self::FULL) } else { SlabWord(self.0 & !Self::FULL) }
    }
    /// Grows at each claim; 0: never used.
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
    /// `None`: bits that mean nothing (a corrupt segment).
    pub const fn state(self) -> Option<State> {
        Some(match self.0 >> 28 & 15 {
            0 => State::Free,
            1 => State::Claimed,
            2 => State::Slab,
            3 => State::Run,
            4 => State::Tail,
            5 => State::Releasing,
            6 => State::Reserve,
            _ => return None,
        })
    }
    /// Hint: no bitmap word of it is unowned and has room.
    pub const fn is_full(self) -> bool {
        self.0 & Self::FULL != 0
    }
    /// The class of a `Slab` or `Reserve`.
    pub const fn class(self) -> u8 {
        (self.0 >> 21 & 63) as u8
    }
    /// Length, distance or participant.
    pub const fn argument(self) -> u32 {
        (self.0 & 0x1f_ffff) as u32
    }
    /// The class of a slab of small blocks, if that is what it is.
    #[inline]
    pub(crate) fn small(self) -> Option<&'static Class> {
        match self.state() {
            Some(State::Slab | State::Reserve) => CLASSES.get(self.class() as usize),
            _ => None,
        }
    }
    pub(crate) fn is(self, state: State) -> bool {
        self.state() == Some(state)
    }
}

/// The directory of a segment.
#[derive(Clone, Copy)]
pub(crate) struct Directory<'a> {
    pub segment: &'a Segment,
    words: &'a [AtomicU64],
    groups: &'a [AtomicU64],
    supers: &'a [AtomicU64],
    /// The first slab of the data area.
    pub first: usize,
}

impl<'a> Directory<'a> {
    pub fn of(segment: &'a Segment) -> Result<Directory<'a>> {
        let plan = segment.plan();
        let slabs = (plan.max_size / SLAB) as usize;
        let bytes = Plan::directory_bytes(plan.max_size);
        let base = segment.bytes(plan.directory, bytes)?.cast::<AtomicU64>();
        // SAFETY: `bytes` has checked that the whole region is allocated; it is aligned (every table before it is
        // a multiple of 8 long) and made of atomics only, which another process may write at any time.
        let all = unsafe { std::slice::from_raw_parts(base, bytes as usize / 8) };
        let (words, summary) = all.split_at(slabs);
        let (groups, supers) = summary.split_at(slabs.div_ceil(64));
        Ok(Directory { segment, words, groups, supers, first: (plan.data / SLAB) as usize })
    }

    /// The number of slabs, those of the tables included.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// The word of slab `index`, which must be in range.
    #[inline]
    pub fn get(&self, index: usize) -> SlabWord {
        // Acquire pairs with the Release of whoever gave the slab this state: its metadata is formatted.
        SlabWord(self.words[index].load(Acquire))
    }

    /// CAS of the word of slab `index`.
    pub fn swap(&self, index: usize, from: SlabWord, to: SlabWord) -> bool {
        // AcqRel: Release publishes what was written for the new state (to the Acquire in `get`); Acquire pairs with
        // the Release of the last user, who is done with the memory.
        self.words[index].compare_exchange(from.0, to.0, AcqRel, Acquire).is_ok()
    }

    /// The first slab that was never used, nor any behind it: a hint, bounded, and moved on if whoever claimed
    /// the slab there has not done so.
    pub fn frontier(&self) -> usize {
        let hint = self.segment.header().slab_hints[HINT_FRONTIER].load(Relaxed);
        let hint = usize::try_from(hint).unwrap_or(usize::MAX).clamp(self.first, self.len());
        let frontier = (hint..self.len()).find(|&i| self.get(i).is(State::Free)).unwrap_or(self.len());
        if frontier != hint {
            self.move_frontier(frontier);
        }
        frontier
    }

    pub fn move_frontier(&self, to: usize) {
        self.segment.header().slab_hints[HINT_FRONTIER].fetch_max(to as u64, Relaxed);
    }

    /// FREE → CLAIMED by a participant.
    pub fn claim(&self, index: usize, participant: u16) -> bool {
        let seen = self.get(index);
        index >= self.first
            && seen.is(State::Free)
            && self.segment.holds(index as u64 * SLAB, SLAB)
            && self.swap(index, seen, seen.claimed(participant))
    }

    /// CLAIMED (by the caller) → another state.
    pub fn publish(&self, index: usize, state: State, class: u8, argument: u32) {
        let seen = self.get(index);
        debug_assert!(seen.is(State::Claimed));
        self.swap(index, seen, seen.to(state, class, argument));
        if state == State::Free {
            self.mark(index, FREE_BIT);
        }
    }

    /// Claims one free slab: a used one if there is, else a new one, growing the segment.
    pub fn claim_one(&self, participant: u16) -> Result<usize> {
        if let Some(index) = self.search(
            FREE_BIT,
            0,
            |w| w.is(State::Free) && w.generation() != 0,
            |i| self.claim(i, participant).then_some(i),
        ) {
            return Ok(index);
        }
        let mut index = self.frontier();
        let full = loop {
            if index >= self.len() {
                break self.segment.full();
            }
            if let Err(e) = self.segment.grow_to((index as u64 + 1) * SLAB) {
                break e;
            }
            let claimed = self.claim(index, participant);
            self.move_frontier(index + 1);
            if claimed {
                return Ok(index);
            }
            index += 1;
        };
        // a hint may have died with its setter
        (self.first..self.len()).find(|&i| self.claim(i, participant)).ok_or(full)
    }

    /// Notes that there may be room for `bit` in slab `index`. The room must be visible already.
    pub fn mark(&self, index: usize, bit: u32) {
        // SeqCst: see the module
        for word in [&self.groups[index / 64], &self.supers[index / 4096]] {
            if word.load(SeqCst) >> bit & 1 == 0 {
                word.fetch_or(1 << bit, SeqCst);
            }
        }
    }

    /// True if the group of 64 slabs may have a free one that was used before.
    pub fn group_may_be_free(&self, group: usize) -> bool {
        self.groups[group].load(Relaxed) >> FREE_BIT & 1 != 0
    }

    /// Looks for room by the summary, starting near slab `near`. `wanted` judges a slab word, `take` tries.
    pub fn search<T>(
        &self,
        bit: u32,
        near: usize,
        wanted: impl Fn(SlabWord) -> bool,
        mut take: impl FnMut(usize) -> Option<T>,
    ) -> Option<T> {
        let start = (near / 4096).min(self.supers.len() - 1);
        for k in 0..self.supers.len() {
            let s = (start + k) % self.supers.len();
            if self.supers[s].load(SeqCst) >> bit & 1 == 0 {
                continue;
            }
            let groups = s * 64..(s * 64 + 64).min(self.groups.len());
            for g in groups.clone() {
                if self.groups[g].load(SeqCst) >> bit & 1 == 0 {
                    continue;
                }
                let slabs = (g * 64).max(self.first)..(g * 64 + 64).min(self.len());
                for i in slabs.clone() {
                    if wanted(self.get(i))
                        && let Some(found) = take(i)
                    {
                        return Some(found);
                    }
                }
                self.groups[g].fetch_and(!(1 << bit), SeqCst);
                if let Some(i) = slabs.clone().find(|&i| wanted(SlabWord(self.words[i].load(SeqCst)))) {
                    self.mark(i, bit);
                }
            }
            if groups.clone().all(|g| self.groups[g].load(SeqCst) >> bit & 1 == 0) {
                self.supers[s].fetch_and(!(1 << bit), SeqCst);
                if groups.clone().any(|g| self.groups[g].load(SeqCst) >> bit & 1 != 0) {
                    self.supers[s].fetch_or(1 << bit, SeqCst);
                }
            }
        }
        None
    }

    /// Notes that the heap is full: from now on every free block counts as room. Looks at the whole heap's
    /// metadata the first time.
    pub fn tighten(&self) {
        if self.segment.header().slab_hints[HINT_TIGHT].swap(1, Relaxed) != 0 {
            return;
        }
        for index in self.first..self.len() {
            let word = self.get(index);
            if word.is_full()
                && let Some(class) = word.small()
                && let Ok(slab) = Slab::new(self.segment, index, class)
                && slab.has_room(1)
            {
                self.unfull(index);
            }
        }
    }

    /// Called by a searcher that found no room in a slab: sets its full hint, unless there is room after all.
    pub fn settle_full(&self, index: usize, slab: &Slab<'_>) {
        let seen = self.get(index);
        if seen.is(State::Slab) && !seen.is_full() {
            // SeqCst, here, in `has_room` and in `unfull`: whoever makes room clears a bit (or an owner), then looks
            // at this hint; we set the hint, then look at bits and owners
            let set =
                self.words[index].compare_exchange(seen.0, seen.with_full(true).0, SeqCst, Relaxed).is_ok();
            if set && slab.has_room(need(self.segment, slab.class)) {
                self.unfull(index);
            }
        }
    }

    /// Called after a slab has got room: clears its full hint if it is set.
    #[inline]
    pub fn unfull(&self, index: usize) {
        let mut seen = SlabWord(self.words[index].load(SeqCst));
        // bounded: the hint and the state change seldom, and a missed hint is mended by an exhaustive search
        for _ in 0..64 {
            if !seen.is(State::Slab) || !seen.is_full() {
                return;
            }
            match self.words[index].compare_exchange(seen.0, seen.with_full(false).0, SeqCst, SeqCst) {
                Ok(_) => return self.mark(index, seen.class() as u32),
                Err(now) => seen = SlabWord(now),
            }
        }
    }
}

/// How many free blocks of a bitmap word of this class are room.
#[inline]
pub(crate) fn need(segment: &Segment, class: &Class) -> u32 {
    if segment.header().slab_hints[HINT_TIGHT].load(Relaxed) != 0 {
        1
    } else {
        ((1 << class.shift) / 8).max(1)
    }
}

/// Formats the directory of a fresh segment: all slabs of the data area free, the first one the reserve. Grows
/// the segment by the reserve. Called once, before anybody else can open the segment; a second call changes
/// nothing. `ERR_COHEAP_OUT_OF_MEMORY` if there is no room for the reserve.
pub fn init(segment: &Segment) -> Result<()> {
    let directory = Directory::of(segment)?;
    let hints = &segment.header().slab_hints;
    if hints[HINT_FRONTIER].load(Relaxed) != 0 {
        return Ok(());
    }
    let reserve = directory.first;
    let full = segment.full();
    if reserve >= directory.len() {
        return Err(full);
    }
    segment.grow_to((reserve as u64 + 1) * SLAB)?;
    if !directory.claim(reserve, 0) {
        return Err(full);
    }
    directory.publish(reserve, State::Reserve, crate::classes::RESERVE_CLASS, 0);
    hints[HINT_RESERVE].store(reserve as u64, Relaxed);
    hints[HINT_RUN].store(reserve as u64 + 1, Relaxed);
    hints[HINT_FRONTIER].store(reserve as u64 + 1, Relaxed);
    Ok(())
}
