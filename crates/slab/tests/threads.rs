//! Several participants at once: nobody ever has a block that another one has.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::thread;

use coheap_segment::Segment;
use coheap_slab::*;

fn heap(bytes: u64) -> Arc<Segment> {
    let segment = Segment::anonymous(bytes, 8).unwrap();
    init(&segment).unwrap();
    segment
}

/// Writes a stamp into the first and the last words of a block that is ours.
fn stamp(segment: &Segment, block: Block, stamp: u64) {
    for at in [block.at + 16, (block.at + block.size / 2) & !7, block.at + block.size - 8] {
        if at >= block.at + 16 && at + 8 <= block.at + block.size {
            segment.word(at).unwrap().store(stamp, Relaxed);
        }
    }
}

fn check(segment: &Segment, block: Block, stamp: u64) {
    for at in [block.at + 16, (block.at + block.size / 2) & !7, block.at + block.size - 8] {
        if at >= block.at + 16 && at + 8 <= block.at + block.size {
            assert_eq!(segment.word(at).unwrap().load(Relaxed), stamp, "{block:?} has two tenants");
        }
    }
}

fn is_empty_and_whole(segment: &Segment) {
    verify(segment, |at, what| panic!("{what} at {at:#x}"));
    for_each_block(segment, |at, _| panic!("{at:#x} is still there"));
    for_each_unswept(segment, |at, _| panic!("{at:#x} was lost"));
    assert_eq!((used(segment), objects(segment)), (0, 0));
}

#[test]
fn what_one_allocates_another_frees() {
    let segment = heap(16 << 20);
    let (send, receive) = mpsc::sync_channel::<(Block, u64)>(1000);
    let producer = {
        let segment = segment.clone();
        thread::spawn(move || {
            let mut sut = Allocator::new(segment.clone(), 1);
            for i in 0..100_000u64 {
                let block = sut.alloc(16 + i * 37 % 3000).unwrap();
                stamp(&segment, block, i);
                send.send((block, i)).unwrap();
            }
        })
    };
    let mut sut = Allocator::new(segment.clone(), 2);
    for (block, i) in receive {
        check(&segment, block, i);
        assert!(sut.free(block.at).unwrap());
    }
    producer.join().unwrap();
    drop(sut);
    is_empty_and_whole(&segment);
}

#[test]
fn four_participants_exchange_blocks_of_all_sizes_in_a_small_heap() {
    // room for a quarter more than what is alive at a time: words, slabs and runs are fought for
    let segment = heap(24 << 20);
    let places: Arc<Vec<AtomicU64>> = Arc::new((0..512).map(|_| AtomicU64::new(0)).collect());
    let threads: Vec<_> = (1..=4u16)
        .map(|me| {
            let (segment, places) = (segment.clone(), places.clone());
            thread::spawn(move || {
                let mut sut = Allocator::new(segment.clone(), me);
                let mut x = me as u64;
                let mut full = 0;
                for _ in 0..20_000 {
                    x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    let bytes = match x >> 60 {
                        0 => 40_000 + (x >> 20) % 400_000,
                        1..=3 => (x >> 20) % 30_000,
                        _ => (x >> 20) % 300,
                    };
                    let mine = match sut.alloc(bytes) {
                        Ok(block) => {
                            stamp(&segment, block, block.at ^ 0x5555);
                            block.at
                        }
                        Err(_) => {
                            full += 1;
                            0
                        }
                    };
                    let old = places[(x >> 40) as usize % places.len()]
                        .swap(mine, std::sync::atomic::Ordering::AcqRel);
                    if old != 0 {
                        let place = locate(&segment, old).unwrap();
                        assert!(place.allocated);
                        check(&segment, Block { at: old, size: place.size }, old ^ 0x5555);
                        assert!(sut.free(old).unwrap());
                    }
                }
                full
            })
        })
        .collect();
    let full: u32 = threads.into_iter().map(|t| t.join().unwrap()).sum();
    assert!(full < 20_000, "room comes back: {full} of 80,000");
    let mut sut = Allocator::new(segment.clone(), 1);
    for place in places.iter().map(|p| p.load(Relaxed)).filter(|&at| at != 0) {
        assert!(sut.free(place).unwrap());
    }
    drop(sut);
    is_empty_and_whole(&segment);
}

#[test]
fn of_many_who_free_the_same_block_one_wins() {
    let segment = heap(32 << 20);
    let mut owner = Allocator::new(segment.clone(), 1);
    let all: Vec<u64> = (0..20_000)
        .map(|i| owner.alloc(if i % 500 == 0 { 70_000 } else { 16 + i % 100 }).unwrap().at)
        .collect();
    let all = Arc::new(all);
    let threads: Vec<_> = (2..=4u16)
        .map(|me| {
            let (segment, all) = (segment.clone(), all.clone());
            thread::spawn(move || {
                let mut sut = Allocator::new(segment, me);
                all.iter().filter(|&&at| sut.free(at).unwrap()).count()
            })
        })
        .collect();
    let won: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
    assert_eq!(won, all.len());
    drop(owner);
    is_empty_and_whole(&segment);
}

#[test]
fn all_that_was_freed_by_others_can_be_allocated_again() {
    let segment = heap(8 << 20);
    let mut counts = Vec::new();
    for round in 0..3u16 {
        let mut sut = Allocator::new(segment.clone(), 1 + round);
        let mut all = Vec::new();
        while let Ok(block) = sut.alloc(100) {
            all.push(block.at);
        }
        counts.push(all.len());
        let mut other = Allocator::new(segment.clone(), 5 + round);
        all.iter().for_each(|&at| assert!(other.free(at).unwrap()));
    }
    assert!(counts.iter().all(|&n| n == counts[0]), "{counts:?}");
    is_empty_and_whole(&segment);
}

/// Four participants each hold at most `at_once` blocks of a size in a heap of 2 MiB, `rounds` times.
fn fight(bytes: u64, at_once: usize, rounds: u64) {
    let segment = heap(2 << 20);
    let free = free_slab_bytes(&segment);
    let threads: Vec<_> = (1..=4u16)
        .map(|me| {
            let segment = segment.clone();
            thread::spawn(move || {
                for _ in 0..rounds {
                    // a new allocator each time: it has to win its words anew
                    let mut sut = Allocator::new(segment.clone(), me);
                    let blocks: Vec<Block> = (0..at_once).map_while(|_| sut.alloc(bytes).ok()).collect();
                    blocks.iter().for_each(|&b| stamp(&segment, b, b.at ^ me as u64));
                    blocks.iter().for_each(|&b| check(&segment, b, b.at ^ me as u64));
                    blocks.iter().for_each(|b| assert!(sut.free(b.at).unwrap()));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    is_empty_and_whole(&segment);
    if bytes > LARGEST_SMALL {
        assert_eq!(free_slab_bytes(&segment), free, "every slab of every conflict was given back");
    }
}

#[test]
fn words_that_are_fought_for_give_each_block_to_one() {
    fight(30_000, 5, 20_000);
    fight(16, 1, 20_000);
}

#[test]
fn runs_that_meet_in_the_middle_give_way_and_leave_nothing_claimed() {
    fight(300_000, 2, 20_000);
}
