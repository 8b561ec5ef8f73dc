//! Threads of one heap under a model checker: see `bin/loom` and `bin/shuttle`. What both need.
//!
//! The heap is the real one over an anonymous segment; the checker stands behind `coheap_segment::primitive`. Without
//! one of the features there is nothing to run here.

use std::sync::Arc;

use coheap_segment::{Off, Segment};
use coheap_txn::{Ctx, Guard, Mem, Res};

pub mod history;
#[cfg(any(feature = "loom", feature = "shuttle"))]
pub mod mutants;
pub mod report;

/// A small fresh heap for a few participants. All of it is set up before the threads are.
pub fn heap(participants: u32) -> Arc<Segment> {
    let segment = Segment::anonymous(2 << 20, participants).expect("an anonymous segment");
    coheap_slab::init(&segment).expect("room for the reserve");
    segment
}

/// One more participant, with a patience of 10 ms.
pub fn join(segment: &Arc<Segment>) -> Ctx {
    Ctx::new(segment.join(0).expect("a free row"), 10).expect("an idle slot")
}

/// A new object of `n` cells that hold `value`.
pub fn object(ctx: &mut Ctx, n: u64, value: u64) -> Off {
    ctx.write(|m| {
        let block = m.alloc(16 + n * 8)?;
        for i in 0..n {
            m.init64(cell(block.at, i), value);
        }
        m.finish(block.at, 8, 0, n as u32);
        Ok(block.at)
    })
    .expect("room for an object")
}

/// Where cell `i` of an object is.
pub fn cell(object: Off, i: u64) -> Off {
    object + 16 + i * 8
}

/// Loads the first cell of an object.
pub fn load<M: Mem + ?Sized>(m: &mut M, object: Off) -> Res<u64> {
    m.load64(Guard(object), cell(object, 0))
}

/// Stores the first cell of an object.
pub fn store<M: Mem + ?Sized>(m: &mut M, object: Off, value: u64) -> Res<()> {
    m.store64(Guard(object), cell(object, 0), value)
}

/// Reads the first cell of an object.
pub fn get(ctx: &mut Ctx, object: Off) -> u64 {
    ctx.read(|m| load(m, object)).expect("a read")
}

/// Adds to the first cell of an object, as one single operation.
pub fn add(ctx: &mut Ctx, object: Off, n: u64) {
    let added = ctx.write(|m| {
        let old = load(m, object)?;
        store(m, object, old + n)
    });
    added.expect("an addition");
}
