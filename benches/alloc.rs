//! Allocation and freeing, beside the system's allocator.

mod common;

use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;

use coheap_slab::Allocator;
use common::Random;
use criterion::{BenchmarkId, Criterion, Throughput};

/// Blocks that live at a time where blocks are replaced at random.
const LIVE: usize = 1000;

fn alone(c: &mut Criterion) {
    let mut group = c.benchmark_group("alloc+free");
    let segment = common::heap();
    let mut sut = Allocator::new(segment.clone(), 1);
    for size in [32, 64, 256, 4000] {
        group.bench_function(BenchmarkId::new("coheap", size), |b| {
            b.iter(|| {
                let block = sut.alloc(black_box(size)).unwrap();
                sut.free(block.at).unwrap()
            })
        });
        group.bench_function(BenchmarkId::new("malloc", size), |b| {
            let layout = Layout::from_size_align(size as usize, 16).unwrap();
            b.iter(|| {
                // SAFETY: the layout's size is not 0, and the block is freed once, with the layout of its making.
                unsafe { dealloc(black_box(alloc(black_box(layout))), layout) }
            })
        });
    }
}

fn at_random(c: &mut Criterion) {
    let mut group = c.benchmark_group("replace one of 1000");
    group.throughput(Throughput::Elements(1));
    let segment = common::heap();
    let mut sut = Allocator::new(segment.clone(), 1);
    let sizes = [32, 48, 64, 96, 160];
    group.bench_function("coheap", |b| {
        let mut random = Random::new(1);
        let mut live: Vec<u64> = (0..LIVE).map(|i| sut.alloc(sizes[i % 5]).unwrap().at).collect();
        b.iter(|| {
            let i = random.below(LIVE as u64) as usize;
            sut.free(live[i]).unwrap();
            live[i] = sut.alloc(sizes[random.below(5) as usize]).unwrap().at;
        });
        live.into_iter().for_each(|at| assert!(sut.free(at).unwrap()));
    });
    group.bench_function("malloc", |b| {
        let mut random = Random::new(1);
        let mut live: Vec<Vec<u8>> = (0..LIVE).map(|i| Vec::with_capacity(sizes[i % 5] as usize)).collect();
        b.iter(|| {
            let i = random.below(LIVE as u64) as usize;
            live[i] = Vec::new();
            live[i] = Vec::with_capacity(sizes[random.below(5) as usize] as usize);
            black_box(&live[i]);
        });
    });
}

fn main() {
    let mut c = common::criterion();
    alone(&mut c);
    at_random(&mut c);
    c.final_summary();
}
