//! The handle table of a participant: the objects that it may touch at any time, hence must not be collected.
//! Hazard pointers (Michael, 2004) that live as long as their wrappers.
//!
//! ```text
//! chunk   word 0, word 1 {type HANDLES, low half = entries} · word 2: the next chunk, or 0 · entries: offset, or 0
//! ```
//!
//! An entry is a hint to the collector until it has been validated: *publish, full fence, then validate what the
//! reference was read from*. If the parent is unchanged after the fence, the object was reachable when the entry was
//! there for all to see, and whoever looks for roots later finds it.
//!
//! The owner keeps a copy of its own, so a corrupt table misleads the collector but not the owner.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use coheap_segment::primitive::AtomicU64;
use coheap_segment::word::Word1;
use coheap_segment::{Code, Error, Off, Result, Segment};
use coheap_slab::Allocator;

use crate::barrier;

/// Type of a chunk, in its word 1.
pub const KIND_HANDLES: u8 = 41;
/// The first chunk is small: many participants never hold more.
const FIRST_BYTES: u64 = 512;
const CHUNK_BYTES: u64 = 4080;
const FIRST: usize = (FIRST_BYTES as usize - 24) / 8;
const PER_CHUNK: usize = (CHUNK_BYTES as usize - 24) / 8;
/// 32 M handles: a bound for walks over a corrupt chain.
const MAX_CHUNKS: usize = 1 << 16;

#[derive(Default)]
pub(crate) struct Handles {
    chunks: Vec<Off>,
    /// Offset of handle i; 0: free.
    objects: Vec<Off>,
    free: Vec<u32>,
}

fn entries(chunk: usize) -> usize {
    if chunk == 0 { FIRST } else { PER_CHUNK }
}

impl Handles {
    /// Empties and takes over the table that the row's last tenant left.
    pub(crate) fn adopt(segment: &Segment, head: &AtomicU64) -> Handles {
        let mut handles = Handles::default();
        let mut at = head.load(Acquire);
        while at != 0 && handles.chunks.len() < MAX_CHUNKS {
            let n = entries(handles.chunks.len());
            let kind = segment.word(at.wrapping_add(8)).map(|w| Word1(w.load(Acquire)));
            let fits = segment.holds(at, 24 + n as u64 * 8);
            if !kind.is_ok_and(|w| w.kind() == KIND_HANDLES && w.low() as usize == n) || !fits {
                break;
            }
            for i in 0..n as u64 {
                if let Ok(entry) = segment.word(at + 24 + i * 8) {
                    entry.store(0, Relaxed);
                }
            }
            handles.chunks.push(at);
            at = segment.word(at + 16).map_or(0, |next| next.load(Acquire));
        }
        // what is no chain is nobody's
        match handles.chunks.last() {
            None => head.store(0, Relaxed),
            Some(&last) => {
                if let Ok(next) = segment.word(last + 16) {
                    next.store(0, Relaxed);
                }
            }
        }
        handles
    }

    fn entry<'a>(&self, segment: &'a Segment, index: u32) -> Result<&'a AtomicU64> {
        let i = index as usize;
        let (chunk, i) =
            if i < FIRST { (0, i) } else { ((i - FIRST) / PER_CHUNK + 1, (i - FIRST) % PER_CHUNK) };
        segment.word(self.chunks[chunk] + 24 + i as u64 * 8)
    }

    #[cold]
    fn grow(&mut self, alloc: &mut Allocator, head: &AtomicU64) -> Result<()> {
        let n = entries(self.chunks.len());
        if self.chunks.len() >= MAX_CHUNKS {
            return Err(Error::new(Code::OutOfMemory, "a thread's handle table is full"));
        }
        let block = alloc.alloc_reserved(24 + n as u64 * 8)?;
        let segment = alloc.segment();
        for i in 2..3 + n as u64 {
            segment.word(block.at + i * 8)?.store(0, Relaxed);
        }
        let word1 = segment.word(block.at + 8)?;
        word1.store(Word1(word1.load(Relaxed)).live(KIND_HANDLES, 0, n as u32).0, Relaxed);
        let link = match self.chunks.last() {
            None => head,
            Some(&last) => segment.word(last + 16)?,
        };
        // Release pairs with the Acquire of who walks the chain.
        link.store(block.at, Release);
        self.chunks.push(block.at);
        Ok(())
    }

    /// How many handles can be published before the table has to grow.
    fn room(&self) -> usize {
        let entries = self.chunks.len().saturating_sub(1) * PER_CHUNK + FIRST.min(self.chunks.len() * FIRST);
        entries - self.objects.len() + self.free.len()
    }

    /// Makes room for `n` handles.
    pub(crate) fn reserve(&mut self, alloc: &mut Allocator, head: &AtomicU64, n: usize) -> Result<()> {
        while self.room() < n {
            self.grow(alloc, head)?;
        }
        Ok(())
    }

    /// Publishes a handle and fences; to be followed by the validation of what the offset was read from. `None`: the
    /// table has to grow first.
    #[inline]
    pub(crate) fn publish(&mut self, segment: &Segment, object: Off) -> Result<Option<u32>> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.room() == 0 => return Ok(None),
            None => {
                self.objects.push(0);
                self.objects.len() as u32 - 1
            }
        };
        self.objects[index as usize] = object;
        // A swap, not a store: the full fence between the publication and the loads of the validation.
        self.entry(segment, index)?.swap(object, SeqCst);
        barrier::fence_after_rmw();
        Ok(Some(index))
    }

    /// Takes a handle back; one that is free already: nothing happens.
    #[inline]
    pub(crate) fn withdraw(&mut self, segment: &Segment, index: u32) {
        if let Some(object) = self.objects.get_mut(index as usize)
            && *object != 0
        {
            *object = 0;
            self.free.push(index);
            if let Ok(entry) = self.entry(segment, index) {
                // Release: our last use of the object comes before.
                entry.store(0, Release);
            }
        }
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<Off> {
        self.objects.get(index as usize).copied().filter(|&at| at != 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.len() - self.free.len()
    }

    /// Drops all handles and gives the table back.
    pub(crate) fn clear(&mut self, alloc: &mut Allocator, head: &AtomicU64) {
        head.store(0, Release);
        for at in self.chunks.drain(..) {
            let _ = alloc.free(at);
        }
        self.objects.clear();
        self.free.clear();
    }
}
