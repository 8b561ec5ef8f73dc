//! A `Mem` for many threads and for garbage: no protocol, no checks of its own, blocks are never used again.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};

use coheap_segment::word::Word1;
use coheap_segment::{Code, Error, Off, Segment, Word};
use coheap_txn::{Block, Guard, Mem, Res};

#[derive(Clone)]
pub struct SharedMem {
    pub segment: Arc<Segment>,
    pub next: Arc<AtomicU64>,
    /// What this one published.
    pub published: Vec<Off>,
    /// What this one gave back.
    pub freed: Vec<Off>,
}

impl SharedMem {
    pub fn new(size: u64) -> SharedMem {
        let segment = Segment::anonymous(size, 8).expect("an anonymous segment");
        let next = Arc::new(AtomicU64::new(segment.plan().data));
        SharedMem { segment, next, published: Vec::new(), freed: Vec::new() }
    }
}

impl Mem for SharedMem {
    fn segment(&self) -> &Segment {
        &self.segment
    }
    fn load64(&mut self, _: Guard, at: Off) -> Res<u64> {
        Ok(self.segment.word(at)?.load(Relaxed))
    }
    fn store64(&mut self, _: Guard, at: Off, value: u64) -> Res<()> {
        self.segment.word(at)?.store(value, Relaxed);
        Ok(())
    }
    fn observe(&mut self, _: Guard) -> Res<()> {
        Ok(())
    }
    fn reserve(&mut self, _: Guard) -> Res<()> {
        Ok(())
    }
    fn version(&mut self, _: Guard) -> Res<u64> {
        Ok(0)
    }
    fn alloc(&mut self, bytes: u64) -> Res<Block> {
        let size = bytes.max(16).next_multiple_of(16);
        let at = self.next.fetch_add(size, Relaxed);
        if size > self.segment.committed() || at + size > self.segment.committed() {
            return Err(Error::new(Code::OutOfMemory, "the segment is full").into());
        }
        self.init64(at, Word::new(0, 0, 1, false).0);
        self.init64(at + 8, Word1::new(0, 0, 0, 1, 0).0);
        Ok(Block { at, size })
    }
    fn init64(&mut self, at: Off, value: u64) {
        self.segment.word(at).expect("in bounds").store(value, Relaxed);
    }
    fn finish(&mut self, at: Off, kind: u8, flags: u8, low: u32) {
        let word = self.segment.word(at + 8).expect("in bounds");
        // Release: as the real ones, the type comes last
        word.store(Word1(word.load(Relaxed)).live(kind, flags, low).0, Release);
    }
    fn publish(&mut self, at: Off) {
        self.published.push(at);
    }
    fn free(&mut self, at: Off) {
        self.freed.push(at);
    }
}
