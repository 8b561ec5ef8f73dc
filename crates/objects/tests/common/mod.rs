//! What the tests of the containers share.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeSet;

use coheap_objects::Cell;
use coheap_segment::{Off, Segment};
use coheap_txn::scratch::ScratchMem;
use coheap_txn::{Block, Guard, Mem, Res};

/// splitmix64: the seed that a failing test prints makes it fail again.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A seed of this run, printed.
pub fn seed() -> u64 {
    let seed = match std::env::var("COHEAP_TEST_SEED") {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_nanos() as u64,
    };
    println!("COHEAP_TEST_SEED={seed}");
    seed
}

/// Counts what one operation touches: version words and stores of blocks that are not fresh.
pub struct Watch<'a> {
    pub inner: &'a mut ScratchMem,
    pub guards: BTreeSet<Off>,
    pub stores: usize,
    fresh: Vec<(Off, u64)>,
}

impl<'a> Watch<'a> {
    pub fn new(inner: &'a mut ScratchMem) -> Self {
        Watch { inner, guards: BTreeSet::new(), stores: 0, fresh: Vec::new() }
    }
    fn is_fresh(&self, at: Off) -> bool {
        self.fresh.iter().any(|(start, size)| (*start..start + size).contains(&at))
    }
    fn touch(&mut self, guard: Guard, at: Off) {
        if !self.is_fresh(at) {
            self.guards.insert(guard.0);
        }
    }
}

impl Mem for Watch<'_> {
    fn segment(&self) -> &Segment {
        self.inner.segment()
    }
    fn load64(&mut self, guard: Guard, at: Off) -> Res<u64> {
        self.touch(guard, at);
        self.inner.load64(guard, at)
    }
    fn store64(&mut self, guard: Guard, at: Off, value: u64) -> Res<()> {
        self.touch(guard, at);
        self.stores += !self.is_fresh(at) as usize;
        self.inner.store64(guard, at, value)
    }
    fn observe(&mut self, guard: Guard) -> Res<()> {
        self.touch(guard, guard.0);
        self.inner.observe(guard)
    }
    fn reserve(&mut self, guard: Guard) -> Res<()> {
        self.touch(guard, guard.0);
        self.inner.reserve(guard)
    }
    fn version(&mut self, guard: Guard) -> Res<u64> {
        self.inner.version(guard)
    }
    fn alloc(&mut self, bytes: u64) -> Res<Block> {
        let block = self.inner.alloc(bytes)?;
        self.fresh.push((block.at, block.size));
        Ok(block)
    }
    fn init64(&mut self, at: Off, value: u64) {
        assert!(self.is_fresh(at), "init64 outside of a fresh block: {at:#x}");
        self.inner.init64(at, value);
    }
    fn finish(&mut self, at: Off, kind: u8, flags: u8, low: u32) {
        self.inner.finish(at, kind, flags, low);
    }
    fn publish(&mut self, at: Off) {
        self.inner.publish(at);
    }
    fn free(&mut self, at: Off) {
        self.inner.free(at);
    }
}

/// A number.
pub fn n(x: f64) -> Cell {
    Cell::number(x)
}
