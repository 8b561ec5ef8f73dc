//! Threads as participants over one anonymous segment, and objects of a few cells.
#![allow(dead_code, reason = "each test program uses a part")]

use std::sync::Arc;
use std::thread;

use coheap_segment::{Off, Segment};
use coheap_txn::{Ctx, Guard, Mem, Res};

pub fn heap() -> Arc<Segment> {
    let segment = Segment::anonymous(64 << 20, 16).unwrap();
    coheap_slab::init(&segment).unwrap();
    segment
}

pub fn join(segment: &Arc<Segment>) -> Ctx {
    Ctx::new(segment.join(0).unwrap(), 10).unwrap()
}

pub fn join_patient(segment: &Arc<Segment>, patience: u64) -> Ctx {
    Ctx::new(segment.join(0).unwrap(), patience).unwrap()
}

/// An object of `cells` cells that hold `value`.
pub fn object(ctx: &mut Ctx, cells: u64, value: u64) -> Off {
    ctx.write(|m| make(m, cells, value)).unwrap()
}

pub fn make(m: &mut dyn Mem, cells: u64, value: u64) -> Res<Off> {
    let block = m.alloc(16 + cells * 8)?;
    for i in 0..cells {
        m.init64(block.at + 16 + i * 8, value);
    }
    m.finish(block.at, 8, 0, cells as u32);
    Ok(block.at)
}

pub fn cell(object: Off, i: u64) -> Off {
    object + 16 + i * 8
}

pub fn get(ctx: &mut Ctx, object: Off) -> Res<u64> {
    ctx.read(|m| m.load64(Guard(object), cell(object, 0)))
}

pub fn set(ctx: &mut Ctx, object: Off, value: u64) -> Res<()> {
    ctx.write(|m| m.store64(Guard(object), cell(object, 0), value))
}

pub fn add(ctx: &mut Ctx, object: Off, n: u64) -> Res<()> {
    ctx.write(|m| {
        let old = m.load64(Guard(object), cell(object, 0))?;
        m.store64(Guard(object), cell(object, 0), old.wrapping_add(n))
    })
}

/// Runs `n` participants and waits for all.
pub fn threads(segment: &Arc<Segment>, n: usize, f: impl Fn(usize, &mut Ctx) + Sync) {
    thread::scope(|s| {
        for i in 0..n {
            let f = &f;
            s.spawn(move || f(i, &mut join(segment)));
        }
    });
}

/// A small pseudo-random sequence.
pub struct Dice(pub u64);
impl Dice {
    pub fn roll(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}
