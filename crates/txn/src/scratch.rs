//! [`ScratchMem`]: a [`Mem`] for the unit tests of the floors above. One thread, no protocol, a bump allocator;
//! it checks the rules that the real ones rely on (guards of fresh blocks, no use of what was freed).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use coheap_segment::word::Word1;
use coheap_segment::{Code, Error, Off, Segment, Word};

use crate::mem::{Block, Fault, Guard, Mem, Res};

/// See the module.
pub struct ScratchMem {
    segment: Arc<Segment>,
    next: Off,
    /// Blocks that were freed: any later access is a bug of the container.
    pub freed: HashSet<Off>,
    /// How many blocks are live.
    pub live: HashSet<Off>,
}

impl ScratchMem {
    /// Over an anonymous segment of its own.
    pub fn new(max_size: u64) -> ScratchMem {
        let segment = Segment::anonymous(max_size, 8).expect("an anonymous segment");
        let next = segment.plan().data;
        ScratchMem { segment, next, freed: HashSet::new(), live: HashSet::new() }
    }
}

impl Mem for ScratchMem {
    fn segment(&self) -> &Segment {
        &self.segment
    }
    fn load64(&mut self, guard: Guard, at: Off) -> Res<u64> {
        assert!(!self.freed.contains(&guard.0), "read under a freed guard {:#x}", guard.0);
        Ok(self.segment.word(at)?.load(Relaxed))
    }
    fn store64(&mut self, guard: Guard, at: Off, value: u64) -> Res<()> {
        self.reserve(guard)?;
        self.segment.word(at)?.store(value, Relaxed);
        Ok(())
    }
    fn observe(&mut self, _: Guard) -> Res<()> {
        Ok(())
    }
    fn reserve(&mut self, guard: Guard) -> Res<()> {
        assert!(!self.freed.contains(&guard.0), "write under a freed guard {:#x}", guard.0);
        let word = self.segment.word(guard.0)?;
        let seen = Word(word.load(Relaxed));
        word.store(Word::new(0, 0, seen.version() + 1, false).0, Relaxed);
        Ok(())
    }
    fn version(&mut self, guard: Guard) -> Res<u64> {
        Ok(Word(self.segment.word(guard.0)?.load(Relaxed)).version())
    }
    fn alloc(&mut self, bytes: u64) -> Res<Block> {
        let size = bytes.max(16).next_multiple_of(16);
        if self.next + size > self.segment.committed() {
            return Err(Fault::Error(Error::new(Code::OutOfMemory, "the scratch segment is full")));
        }
        let at = self.next;
        self.next += size;
        self.live.insert(at);
        self.segment.word(at)?.store(Word::new(0, 0, 1, false).0, Relaxed);
        self.segment.word(at + 8)?.store(Word1::new(0, 0, 0, 1, 0).0, Relaxed);
        for i in 2..size / 8 {
            self.segment.word(at + i * 8)?.store(0xdead_beef_dead_beef, Relaxed);
        }
        Ok(Block { at, size })
    }
    fn init64(&mut self, at: Off, value: u64) {
        self.segment.word(at).expect("in bounds").store(value, Relaxed);
    }
    fn finish(&mut self, at: Off, kind: u8, flags: u8, low: u32) {
        let word = self.segment.word(at + 8).expect("in bounds");
        word.store(Word1(word.load(Relaxed)).live(kind, flags, low).0, Relaxed);
    }
    fn publish(&mut self, at: Off) {
        assert!(self.live.contains(&at), "published, but not allocated: {at:#x}");
    }
    fn free(&mut self, at: Off) {
        assert!(self.live.remove(&at), "freed twice, or never allocated: {at:#x}");
        self.freed.insert(at);
    }
}
