//! One allocator at work: what a block is, when it comes back, what is refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use coheap_segment::word::Word1;
use coheap_segment::{Code, SLAB, Segment, Word};
use coheap_slab::*;

fn heap(bytes: u64) -> (Arc<Segment>, Allocator) {
    let segment = Segment::anonymous(bytes, 8).unwrap();
    init(&segment).unwrap();
    let sut = Allocator::new(segment.clone(), 1);
    (segment, sut)
}

fn word0(segment: &Segment, at: u64) -> Word {
    Word(segment.word(at).unwrap().load(Relaxed))
}

fn word1(segment: &Segment, at: u64) -> Word1 {
    Word1(segment.word(at + 8).unwrap().load(Relaxed))
}

fn blocks(segment: &Segment) -> BTreeMap<u64, u64> {
    let mut all = BTreeMap::new();
    for_each_block(segment, |at, size| assert_eq!(all.insert(at, size), None));
    all
}

fn no_violation(segment: &Segment) {
    verify(segment, |at, what| panic!("{what} at {at:#x}"));
}

/// Allocates blocks of this size until the heap is full.
fn fill(sut: &mut Allocator, bytes: u64) -> Vec<u64> {
    let mut all = Vec::new();
    loop {
        match sut.alloc(bytes) {
            Ok(block) => all.push(block.at),
            Err(e) => {
                assert_eq!(e.code, Code::OutOfMemory);
                return all;
            }
        }
    }
}

#[test]
fn a_fresh_block_has_a_new_version_no_owner_and_type_0() {
    let (segment, mut sut) = heap(4 << 20);
    segment.header().clock.store(1000, Relaxed);
    for bytes in [0, 16, 100, 8 << 10, 32 << 10, 100_000] {
        let block = sut.alloc(bytes).unwrap();
        assert_eq!(word0(&segment, block.at), Word::new(0, 0, 1001, false));
        assert_eq!((word1(&segment, block.at).kind(), word1(&segment, block.at).low()), (0, 0));
        assert!(block.size >= bytes && block.at.is_multiple_of(16));
        let place = locate(&segment, block.at).unwrap();
        assert_eq!((place.start, place.size, place.allocated), (block.at, block.size, true));
        assert_eq!(word1(&segment, block.at).class(), place.class);
    }
}

#[test]
fn a_never_used_block_is_zero_behind_its_head() {
    let (segment, mut sut) = heap(4 << 20);
    for _ in 0..100 {
        let block = sut.alloc(1000).unwrap();
        (2..block.size / 8)
            .for_each(|i| assert_eq!(segment.word(block.at + i * 8).unwrap().load(Relaxed), 0));
    }
}

#[test]
fn the_next_tenant_goes_on_counting_version_and_birth() {
    let (segment, mut sut) = heap(4 << 20);
    let first = sut.alloc(64).unwrap();
    let (version, birth) = (word0(&segment, first.at).version(), word1(&segment, first.at).birth());
    segment.word(first.at + 8).unwrap().store(word1(&segment, first.at).live(7, 3, 99).0, Relaxed);
    assert!(sut.free(first.at).unwrap());
    assert!(word0(&segment, first.at).is_free());
    let second = sut.alloc(64).unwrap();
    assert_eq!(second.at, first.at, "the freed block is the next one to be handed out");
    assert_eq!(word0(&segment, second.at).version(), version + 2);
    assert_eq!(word1(&segment, second.at), Word1::new(0, 0, class_of(64).unwrap(), birth + 1, 0));
}

#[test]
fn no_version_of_a_run_comes_back_though_its_slabs_were_something_else() {
    let (segment, mut sut) = heap(4 << 20);
    let run = sut.alloc(200_000).unwrap();
    let birth = word1(&segment, run.at).birth();
    segment.word(run.at).unwrap().store(Word::new(0, 0, 5_000, false).0, Relaxed);
    assert!(sut.free(run.at).unwrap());
    let small = sut.alloc(16).unwrap();
    assert!(small.at / SLAB == run.at / SLAB, "a used slab comes before a new one");
    assert!(word0(&segment, small.at).version() > 5_000);
    let again = sut.alloc(200_000).unwrap();
    assert!(word0(&segment, again.at).version() > 5_000);
    assert!(again.at != run.at || word1(&segment, again.at).birth() != birth);
}

#[test]
fn freeing_twice_frees_once() {
    let (segment, mut sut) = heap(4 << 20);
    for bytes in [16, 8000, 200_000] {
        let block = sut.alloc(bytes).unwrap();
        assert!(sut.free(block.at).unwrap());
        assert!(!sut.free(block.at).unwrap());
        assert!(!locate(&segment, block.at).is_some_and(|p| p.allocated));
    }
    assert_eq!(used(&segment), 0);
}

#[test]
fn a_reserved_or_changing_block_is_not_freed() {
    let (segment, mut sut) = heap(4 << 20);
    for bytes in [16, 200_000] {
        let block = sut.alloc(bytes).unwrap();
        let seen = word0(&segment, block.at);
        for held in
            [Word::new(5, 3, seen.version(), false), Word::new(5, 3, seen.version(), true), Word(seen.0 | 1)]
        {
            segment.word(block.at).unwrap().store(held.0, Relaxed);
            assert!(!sut.free(block.at).unwrap());
            assert_eq!(word0(&segment, block.at), held);
        }
        segment.word(block.at).unwrap().store(seen.with_waiters(true).0, Relaxed);
        assert!(sut.free(block.at).unwrap(), "who waits for it hinders nobody");
    }
    assert_eq!(segment.participant(1).free_intent.load(Relaxed), 0);
}

#[test]
fn free_seen_frees_only_the_tenant_that_was_seen() {
    let (segment, mut sut) = heap(4 << 20);
    let block = sut.alloc(64).unwrap();
    let seen = word0(&segment, block.at);
    sut.free(block.at).unwrap();
    assert_eq!(sut.alloc(64).unwrap().at, block.at);
    assert!(!sut.free_seen(block.at, seen).unwrap());
    let now = word0(&segment, block.at);
    assert!(sut.free_seen(block.at, now.with_waiters(true)).unwrap());
}

#[test]
fn blocks_of_all_sizes_never_overlap() {
    let (segment, mut sut) = heap(64 << 20);
    let mut mine = BTreeMap::new();
    for bytes in (0..40_000).step_by(37).chain([65_000, 65_472, 65_473, 131_008, 131_009, 1 << 20]) {
        let block = sut.alloc(bytes).unwrap();
        assert!(block.size >= bytes);
        mine.insert(block.at, block.size);
    }
    let mut end = 0;
    for (&at, &size) in &mine {
        assert!(at >= end, "{at:#x} begins before {end:#x}");
        end = at + size;
    }
    assert_eq!(blocks(&segment), mine, "every block is enumerated, and nothing else");
    assert_eq!(used(&segment), mine.values().sum());
    assert_eq!(objects(&segment), mine.len() as u64);
    mine.keys().for_each(|&at| assert!(sut.free(at).unwrap()));
    assert!(blocks(&segment).is_empty());
    assert_eq!((used(&segment), objects(&segment)), (0, 0));
}

#[test]
fn an_offset_that_is_no_block_start_is_not_located_and_not_freed() {
    let (segment, mut sut) = heap(8 << 20);
    let mut starts: BTreeMap<u64, u64> = BTreeMap::new();
    for bytes in [16, 48, 1000, 8000, 20_000, 100_000, 300_000] {
        let block = sut.alloc(bytes).unwrap();
        starts.insert(block.at, block.size);
    }
    for (&start, &size) in &starts {
        for at in start + 1..start + size.min(2000) {
            let place = locate(&segment, at);
            assert!(place.is_none_or(|p| p.start == at && !p.allocated) || starts.contains_key(&at));
            if place.is_none() {
                assert_eq!(sut.free(at).unwrap_err().code, Code::Corrupt);
            } else if !starts.contains_key(&at) {
                assert!(!sut.free(at).unwrap());
            }
        }
    }
    for at in [0, 8, 4096, SLAB, segment.plan().data - 16, 8 << 20, 1 << 40, u64::MAX, u64::MAX - 15] {
        assert_eq!(locate(&segment, at), None, "{at:#x}");
        assert_eq!(sut.free(at).unwrap_err().code, Code::Corrupt);
    }
    assert_eq!(blocks(&segment), starts);
}

#[test]
fn overwrites_end_with_the_used_bytes_and_the_slabs_that_they_began_with() {
    let (segment, mut sut) = heap(64 << 20);
    let rounds = if cfg!(debug_assertions) { 300_000 } else { 10_000_000 };
    let mut live = vec![(0, 0); 300];
    let mut x = 1u64;
    let (mut used_before, mut free_before) = (0, 0);
    let size_of = |i: usize| if i.is_multiple_of(50) { 70_000 } else { 16 + i as u64 * 7 };
    for round in 0..rounds {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let i = if round < live.len() { round } else { (x >> 33) as usize % live.len() };
        let new = sut.alloc(size_of(i)).unwrap();
        let (old, _) = std::mem::replace(&mut live[i], (new.at, new.size));
        assert!(old == 0 || sut.free(old).unwrap());
        if round == 3_000 {
            (used_before, free_before) = (used(&segment), free_slab_bytes(&segment));
        }
    }
    assert_eq!(used(&segment), used_before);
    assert!(free_slab_bytes(&segment) + (1 << 20) >= free_before, "no more slabs than a few");
    assert_eq!(blocks(&segment), live.into_iter().collect());
}

#[test]
fn a_full_heap_says_so_and_has_room_again_after_freeing() {
    for bytes in [16, 64, 1000, 8 << 10, 32 << 10, 60_000, 200_000] {
        let (segment, mut sut) = heap(4 << 20);
        let all = fill(&mut sut, bytes);
        let used_full = used(&segment);
        assert!(used_full > 2 << 20, "{bytes}: {used_full}");
        for round in 0..3 {
            let every = [1, 2, 13][round];
            all.iter().step_by(every).for_each(|&at| assert!(sut.free(at).unwrap()));
            assert_eq!(fill(&mut sut, bytes).len(), all.len().div_ceil(every), "{bytes}");
            assert_eq!(used(&segment), used_full);
        }
        drop(sut);
        no_violation(&segment);
    }
}

#[test]
fn neighbouring_free_slabs_are_room_for_a_longer_run() {
    let (segment, mut sut) = heap(8 << 20);
    let short = fill(&mut sut, 150_000);
    assert_eq!(sut.alloc(1 << 20).unwrap_err().code, Code::OutOfMemory);
    short.iter().skip(3).take(6).for_each(|&at| assert!(sut.free(at).unwrap()));
    let long = sut.alloc(1 << 20).unwrap();
    assert_eq!(long.at, short[3]);
    assert!(sut.free(long.at).unwrap());
    let again: Vec<u64> = fill(&mut sut, 150_000);
    assert_eq!(again, short[3..9], "and it splits again");
    drop(sut);
    no_violation(&segment);
    assert_eq!(blocks(&segment).len(), short.len());
}

#[test]
fn a_run_may_take_the_whole_heap_but_the_reserve() {
    let (segment, mut sut) = heap(16 << 20);
    let rest = (16 << 20) - segment.plan().data - SLAB;
    for _ in 0..3 {
        assert_eq!(sut.alloc(rest).unwrap_err().code, Code::OutOfMemory);
        let block = sut.alloc(rest - RUN_HEAD).unwrap();
        assert_eq!(block.size, rest - RUN_HEAD);
        assert_eq!(sut.alloc(16).unwrap_err().code, Code::OutOfMemory);
        assert!(sut.free(block.at).unwrap());
    }
    for bytes in [u64::MAX, u64::MAX - 63, 1 << 40] {
        assert_eq!(sut.alloc(bytes).unwrap_err().code, Code::OutOfMemory);
    }
}

#[test]
fn the_reserve_serves_a_full_heap_and_is_the_same_again_afterwards() {
    let (segment, mut sut) = heap(4 << 20);
    let all = fill(&mut sut, 64);
    for _ in 0..2 {
        let mut reserved = Vec::new();
        while let Ok(block) = sut.alloc_reserved(4000) {
            assert!(block.size >= 4000);
            reserved.push(block.at);
        }
        assert_eq!(reserved.len() as u32, CLASSES[class_of(4000).unwrap() as usize].count);
        assert_eq!(sut.alloc(4000).unwrap_err().code, Code::OutOfMemory, "for nobody else");
        assert_eq!(sut.alloc_reserved(LARGEST_RESERVED + 1).unwrap_err().code, Code::OutOfMemory);
        reserved.iter().for_each(|&at| assert!(sut.free(at).unwrap()));
    }
    assert_eq!(blocks(&segment).len(), all.len());
    drop(sut);
    no_violation(&segment);
}

#[test]
fn what_a_dropped_allocator_had_cached_is_there_for_the_next() {
    let (segment, mut sut) = heap(4 << 20);
    for bytes in [16, 100, 1000, 8000] {
        let a = sut.alloc(bytes).unwrap().at;
        let b = sut.alloc(bytes).unwrap().at;
        assert!(sut.free(a).unwrap() && a != b);
    }
    drop(sut);
    no_violation(&segment);
    for_each_unswept(&segment, |at, _| panic!("{at:#x} was not given back"));
    let mut next = Allocator::new(segment.clone(), 2);
    let before = free_slab_bytes(&segment);
    for bytes in [16, 100, 1000, 8000] {
        next.alloc(bytes).unwrap();
    }
    assert_eq!(free_slab_bytes(&segment), before, "no new slab was needed");
}

#[test]
fn a_mark_word_has_a_bit_for_every_block() {
    let (segment, mut sut) = heap(8 << 20);
    let mut bits = std::collections::HashSet::new();
    for bytes in [16, 16, 1000, 30_000, 100_000].into_iter().cycle().take(200) {
        let block = sut.alloc(bytes).unwrap();
        let (word, bit) = mark_word(&segment, block.at).unwrap();
        assert!(bit < 32 && bits.insert((word as *const _ as usize, bit)));
        assert_eq!(mark_word(&segment, block.at + 8).map(|_| ()), None);
    }
}
