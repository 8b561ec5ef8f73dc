//! [`SlotState`]: a participant's own view of one of its slots: sequence number, `building`, fresh blocks, and where
//! the slot's overflow chains are.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use coheap_segment::primitive::AtomicU64;
use coheap_segment::word::Word1;
use coheap_segment::{Error, Off, Result, Segment, SlotRecord, Status, StatusWord};
use coheap_slab::Block;

use crate::core::{Core, record};
use crate::direct::MAX_STORES;
use crate::fresh::Fresh;
use crate::log::Chain;

pub(crate) struct SlotState {
    pub(crate) id: u16,
    pub(crate) record: &'static SlotRecord,
    /// Of the present attempt, or of the next one while the slot is idle.
    pub(crate) seq: u64,
    building: u64,
    pub(crate) fresh: Fresh,
    /// How many of `fresh` stand in the shared list.
    listed: usize,
    fresh_chain: Chain,
    pub(crate) locks_chain: Chain,
    pub(crate) redo_chain: Chain,
    /// The stores that a direct operation holds back: offset, value, cell.
    pub(crate) held: [(Off, u64, WordRef); MAX_STORES],
    /// Bodies to free when the attempt takes effect.
    pub(crate) frees: Vec<Off>,
}

impl SlotState {
    /// Takes over a slot that has just been claimed: it is idle, its numbers go on.
    pub(crate) fn new(core: &Core, id: u16) -> Result<SlotState> {
        let segment = core.segment();
        let record = record(segment, id)?;
        // Acquire pairs with the last owner's Release of IDLE.
        let status = StatusWord(record.status.load(Acquire));
        if status.status() != Some(Status::Idle) {
            return Err(Error::corrupt("a free slot that is not idle", id as u64));
        }
        record.fresh_len.store(0, Relaxed);
        record.locks_len.store(0, Relaxed);
        record.redo_len.store(0, Relaxed);
        record.intent[0].store(0, Relaxed);
        Ok(SlotState {
            id,
            record,
            seq: status.seq(),
            building: record.building.load(Relaxed) & !1,
            fresh: Fresh::default(),
            listed: 0,
            fresh_chain: Chain::adopt(segment, &record.fresh),
            locks_chain: Chain::adopt(segment, &record.locks_more),
            redo_chain: Chain::adopt(segment, &record.redo_more),
            held: [(0, 0, &record.status); MAX_STORES],
            frees: Vec::new(),
        })
    }

    #[inline(always)]
    pub(crate) fn tag(&self) -> u8 {
        (self.seq & 15) as u8
    }

    #[inline(always)]
    pub(crate) fn status(&self, status: Status) -> u64 {
        StatusWord::new(status, self.seq).0
    }

    /// The end of an attempt that holds nothing any more.
    #[inline(always)]
    pub(crate) fn go_idle(&mut self) {
        self.seq += 1;
        // Release: whatever the attempt stored or released comes before; pairs with the Acquire of `judge`.
        self.record.status.store(self.status(Status::Idle), Release);
    }

    /// From here to [`SlotState::built`] there may be blocks that nothing refers to.
    #[inline(always)]
    pub(crate) fn build(&mut self) {
        if self.building & 1 == 0 {
            self.building = self.building.wrapping_add(1);
            // Release and before the allocation: who finds `building` even knows that there is no such block. (The
            // collector's phase is read after it, with a fence: `barrier`.)
            self.record.building.store(self.building, Release);
        }
    }

    /// Allocates a fresh block. `building` is odd from the first one on, until [`SlotState::built`].
    #[inline]
    pub(crate) fn alloc(&mut self, core: &mut Core, bytes: u64) -> Result<Block> {
        self.build();
        let block = core.alloc.alloc(bytes)?;
        self.fresh.push(block);
        Ok(block)
    }

    /// The fresh blocks are linked, listed or given back: the end of an operation.
    #[inline(always)]
    pub(crate) fn built(&mut self) {
        if self.building & 1 != 0 {
            self.building = self.building.wrapping_add(1);
            // Release: links and lists come before.
            self.record.building.store(self.building, Release);
        }
    }

    /// Writes the fresh blocks that are not there yet to the shared list, so that they may outlive the operation.
    pub(crate) fn list_fresh(&mut self, core: &mut Core) -> Result<()> {
        let len = self.fresh.len();
        if self.listed == len {
            return Ok(());
        }
        self.fresh_chain.reserve(&mut core.alloc, &self.record.fresh, 0, len)?;
        for i in self.listed..len {
            self.fresh_chain.word(core.segment(), &[], i)?.store(self.fresh.get(i).at, Relaxed);
        }
        self.listed = len;
        // Release: the words that it covers come before.
        self.record.fresh_len.store(len as u64, Release);
        Ok(())
    }

    fn unlist(&mut self, len: usize) {
        if self.listed > len {
            self.listed = len;
            self.record.fresh_len.store(len as u64, Release);
        }
    }

    /// The fresh block that starts at `at` has become somebody else's.
    pub(crate) fn forget_fresh(&mut self, core: &Core, at: Off) {
        if let Some(i) = self.fresh.find(at)
            && self.fresh.get(i).at == at
        {
            self.fresh.forget(i);
            if i < self.listed
                && let Ok(word) = self.fresh_chain.word(core.segment(), &[], i)
            {
                word.store(0, Relaxed);
            }
        }
    }

    /// Gives back the fresh blocks from position `base` on.
    pub(crate) fn drop_fresh(&mut self, core: &mut Core, base: usize) {
        if self.fresh.len() <= base {
            return;
        }
        self.build();
        self.unlist(base);
        while let Some(block) = self.fresh.pop_above(base) {
            if block.at != 0 {
                // nobody else knows it: whatever is wrong with its word 0 is left to the sweeper
                let _ = core.alloc.free(block.at);
            }
        }
    }

    /// The fresh blocks are part of the heap now.
    #[inline]
    pub(crate) fn keep_fresh(&mut self) {
        if !self.fresh.is_empty() {
            self.unlist(0);
            self.fresh.clear();
        }
    }

    /// Frees what the attempt has replaced. It has taken effect, and the status still says so (DIRECT or COMMITTED).
    #[inline]
    pub(crate) fn free_replaced(&mut self, core: &mut Core) {
        while let Some(at) = self.frees.pop() {
            // a block that is not there, or free already, can only be a container's word gone bad
            let _ = core.alloc.free(at);
        }
    }

    /// Frees the blocks of this attempt that it has replaced again itself: nobody else has ever seen them.
    pub(crate) fn free_own_replaced(&mut self, core: &mut Core, from: usize) {
        let mut kept = from;
        for i in from..self.frees.len() {
            let at = self.frees[i];
            match self.fresh.find(at) {
                Some(p) if self.fresh.get(p).at == at => {
                    self.forget_fresh(core, at);
                    let _ = core.alloc.free(at);
                }
                _ => {
                    self.frees[kept] = at;
                    kept += 1;
                }
            }
        }
        self.frees.truncate(kept);
    }

    /// Keeps the fresh list of a long transaction short. Nobody remembers a position in it. True: the list has to be
    /// written again.
    pub(crate) fn compact_fresh(&mut self) -> bool {
        self.build();
        let shorter = self.fresh.compact();
        if shorter {
            // `building` is odd, so the list may be out of date until it is written again
            self.unlist(0);
        }
        shorter
    }

    /// Brings a fresh block to life.
    #[inline]
    pub(crate) fn finish(&self, core: &Core, at: Off, kind: u8, flags: u8, low: u32) {
        if let Ok(word) = core.segment().word(at + 8) {
            // Release: its contents come before its type, for walkers that look at types.
            word.store(Word1(word.load(Relaxed)).live(kind, flags, low).0, Release);
        }
    }

    /// Gives the slot's chains back to the allocator; the slot is idle.
    pub(crate) fn free_chains(&mut self, core: &mut Core) {
        self.locks_chain.free(&mut core.alloc, &self.record.locks_more);
        self.redo_chain.free(&mut core.alloc, &self.record.redo_more);
        self.fresh_chain.free(&mut core.alloc, &self.record.fresh);
    }
}

/// Stores a word of a fresh block.
#[inline]
pub(crate) fn init64(core: &Core, at: Off, value: u64) {
    match core.segment().word(at) {
        // Relaxed: the block is linked, under a Release, after it has been written
        Ok(word) => word.store(value, Relaxed),
        Err(_) => debug_assert!(false, "a fresh word outside of the heap: {at:#x}"),
    }
}

/// Copies bytes out of shared memory, word by word: any of them may be written meanwhile. `at` may be odd.
/// `ERR_COHEAP_CORRUPT` outside of the heap.
pub fn copy_out(segment: &Segment, at: Off, out: &mut [u8]) -> Result<()> {
    let start = at & !7;
    let skip = (at - start) as usize;
    let end = start + (skip + out.len()).next_multiple_of(8) as u64;
    let words: *const AtomicU64 = segment.bytes(start, end - start)?.cast();
    // SAFETY: the whole range was checked to be allocated, the mapping is aligned to pages and `start` to 8, and an
    // atomic may be written by another process at any time. `i` stays below the number of words in the range.
    let load = |i: usize| unsafe { &*words.add(i) }.load(Relaxed).to_le_bytes();
    let first = if skip == 0 { 0 } else { (8 - skip).min(out.len()) };
    let (head, rest) = out.split_at_mut(first);
    if !head.is_empty() {
        head.copy_from_slice(&load(0)[skip..skip + head.len()]);
    }
    let mut i = usize::from(skip != 0);
    let mut whole = rest.chunks_exact_mut(8);
    for eight in &mut whole {
        eight.copy_from_slice(&load(i));
        i += 1;
    }
    let tail = whole.into_remainder();
    if !tail.is_empty() {
        tail.copy_from_slice(&load(i)[..tail.len()]);
    }
    Ok(())
}

/// Lays the value of the word at `place` over the copy `out` of the bytes at `at`.
pub(crate) fn overlay(at: Off, out: &mut [u8], place: Off, value: u64) {
    for (i, byte) in value.to_le_bytes().into_iter().enumerate() {
        if let Some(offset) = (place + i as u64).checked_sub(at)
            && let Some(out) = out.get_mut(offset as usize)
        {
            *out = byte;
        }
    }
}

/// Copies bytes into a fresh block, from a word boundary on; the last word is filled with zeros.
pub(crate) fn copy_in(segment: &Segment, at: Off, bytes: &[u8]) {
    let words = match segment.bytes(at, bytes.len().next_multiple_of(8) as u64) {
        Ok(words) if at.is_multiple_of(8) => words.cast_const().cast::<AtomicU64>(),
        _ => return debug_assert!(false, "fresh bytes outside of the heap: {at:#x}"),
    };
    // SAFETY: as in `copy_out`.
    let store = |i: usize, word| unsafe { &*words.add(i) }.store(u64::from_le_bytes(word), Relaxed);
    let (whole, tail) = bytes.as_chunks::<8>();
    for (i, &eight) in whole.iter().enumerate() {
        store(i, eight);
    }
    if !tail.is_empty() {
        let mut word = [0; 8];
        word[..tail.len()].copy_from_slice(tail);
        store(whole.len(), word);
    }
}

/// A word of the segment, for as long as we are in it.
pub(crate) type WordRef = &'static AtomicU64;
