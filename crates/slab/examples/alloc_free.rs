//! Nanoseconds of allocation and free, alone and in typical patterns: `cargo run --release --example alloc_free`.

use std::hint::black_box;
use std::time::Instant;

use coheap_segment::Segment;
use coheap_slab::{Allocator, init};

fn measure(name: &str, rounds: u64, mut f: impl FnMut(u64)) {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        (0..rounds).for_each(&mut f);
        best = best.min(start.elapsed().as_nanos() as f64 / rounds as f64);
    }
    println!("{name:<60} {best:8.1} ns");
}

fn main() -> Result<(), coheap_segment::Error> {
    let segment = Segment::anonymous(512 << 20, 8)?;
    init(&segment)?;
    let mut sut = Allocator::new(segment.clone(), 1);

    for bytes in [32, 64, 200, 1000] {
        measure(&format!("alloc + free, {bytes} bytes, same block"), 5_000_000, |_| {
            let b = sut.alloc(black_box(bytes)).expect("room");
            sut.free(b.at).expect("a block");
        });
    }
    for live in [100, 10_000, 1_000_000] {
        let mut blocks: Vec<u64> = (0..live).map(|_| sut.alloc(64).expect("room").at).collect();
        measure(&format!("overwrite in order, {live} live blocks of 64 bytes"), 2_000_000, |i| {
            let slot = &mut blocks[(i % live) as usize];
            let new = sut.alloc(64).expect("room").at;
            sut.free(std::mem::replace(slot, new)).expect("a block");
        });
        let mut x = 1u64;
        measure(&format!("overwrite at random, {live} live blocks of 64 bytes"), 2_000_000, |_| {
            x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let slot = &mut blocks[((x >> 33) % live) as usize];
            let new = sut.alloc(64).expect("room").at;
            sut.free(std::mem::replace(slot, new)).expect("a block");
        });
        for at in blocks {
            sut.free(at)?;
        }
    }
    measure("alloc + free, 100 kB (run)", 200_000, |_| {
        let b = sut.alloc(black_box(100_000)).expect("room");
        sut.free(b.at).expect("a block");
    });
    measure("alloc + free, 10 MB (run)", 20_000, |_| {
        let b = sut.alloc(black_box(10_000_000)).expect("room");
        sut.free(b.at).expect("a block");
    });
    Ok(())
}
