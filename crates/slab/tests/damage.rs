//! Participants that die, and segments that hold garbage.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use coheap_segment::{Code, SLAB, Segment, Word};
use coheap_slab::*;

fn heap(bytes: u64) -> Arc<Segment> {
    let segment = Segment::anonymous(bytes, 8).unwrap();
    init(&segment).unwrap();
    segment
}

fn findings(segment: &Segment) -> Vec<&'static str> {
    let mut all = Vec::new();
    verify(segment, |_, what| all.push(what));
    all
}

#[test]
fn words_that_a_dead_participant_owned_are_free_for_others_after_recovery() {
    let segment = heap(4 << 20);
    let mut dead = Allocator::new(segment.clone(), 1);
    let kept: Vec<u64> = [16, 500, 8000].iter().map(|&n| dead.alloc(n).unwrap().at).collect();
    let late = dead.alloc(500).unwrap().at;
    dead.free(late).unwrap();
    std::mem::forget(dead);
    assert!(findings(&segment).contains(&"a bitmap word owned by nobody who lives"));
    recover(&segment, 1).unwrap();
    recover(&segment, 1).unwrap();
    assert_eq!(findings(&segment), [""; 0]);
    assert!(kept.iter().all(|&at| locate(&segment, at).unwrap().allocated), "what it had linked stays");
    let mut unswept = Vec::new();
    for_each_unswept(&segment, |at, _| unswept.push(at));
    assert_eq!(unswept, [], "what it had freed or cached is free");
    assert!(!locate(&segment, late).unwrap().allocated);
    let mut sut = Allocator::new(segment.clone(), 1);
    for at in kept {
        assert!(sut.free(at).unwrap());
        sut.alloc(500).unwrap();
    }
}

#[test]
fn a_block_that_somebody_is_just_freeing_in_a_word_of_the_dead_is_left_to_him() {
    let segment = heap(4 << 20);
    let mut dead = Allocator::new(segment.clone(), 1);
    let (at, other) = (dead.alloc(500).unwrap().at, dead.alloc(500).unwrap().at);
    std::mem::forget(dead);
    // participant 2 has won the block and not yet cleared its bit
    let version = Word(segment.word(at).unwrap().load(Relaxed)).version();
    segment.participant(2).free_intent.store(at, Relaxed);
    segment.word(at).unwrap().store(Word::new(1023, 0, version + 1, false).0, Relaxed);
    recover(&segment, 1).unwrap();
    let mut unswept = Vec::new();
    for_each_unswept(&segment, |at, _| unswept.push(at));
    assert_eq!(unswept, [at], "its bit is not touched");
    assert!(locate(&segment, other).unwrap().allocated, "nor is that of a living block");
}

#[test]
fn a_run_whose_freer_died_after_the_cas_is_given_back() {
    let segment = heap(4 << 20);
    let mut sut = Allocator::new(segment.clone(), 1);
    let before = free_slab_bytes(&segment);
    let run = sut.alloc(300_000).unwrap().at;
    // what the instructions of `free` up to the CAS leave behind
    let version = Word(segment.word(run).unwrap().load(Relaxed)).version();
    segment.participant(1).free_intent.store(run, Relaxed);
    segment.word(run).unwrap().store(Word::new(1023, 0, version + 1, false).0, Relaxed);
    recover(&segment, 1).unwrap();
    assert_eq!(findings(&segment), [""; 0]);
    assert_eq!(free_slab_bytes(&segment), before);
    assert_eq!(sut.alloc(300_000).unwrap().at, run);
}

/// The words of the directory, for damage.
fn directory(segment: &Segment) -> impl Iterator<Item = u64> {
    let plan = *segment.plan();
    (plan.data / SLAB..plan.max_size / SLAB).map(move |i| plan.directory + i * 8)
}

#[test]
fn a_run_whose_freer_or_builder_died_between_two_slabs_is_finished() {
    let segment = heap(4 << 20);
    let mut sut = Allocator::new(segment.clone(), 1);
    let free = free_slab_bytes(&segment);
    let run = sut.alloc(300_000).unwrap().at;
    let at = |i: u64| segment.word(segment.plan().directory + (run / SLAB + i) * 8).unwrap();
    let word = |i: u64| at(i).load(Relaxed);
    let (generation, state) = (!0xffff_ffffu64, |s: State| (s as u64) << 28);

    // a builder that died after the first slab: the rest is still claimed by participant 1
    let tails: Vec<u64> = (0..5).map(word).collect();
    (2..5).for_each(|i| at(i).store(word(i) & generation | state(State::Claimed) | 1, Relaxed));
    recover(&segment, 1).unwrap();
    assert_eq!((0..5).map(word).collect::<Vec<_>>(), tails);

    // a builder that died before the first slab was published
    (0..5).for_each(|i| at(i).store(word(i) & generation | state(State::Claimed) | 1, Relaxed));
    recover(&segment, 2).unwrap();
    assert_eq!(free_slab_bytes(&segment), free - 5 * SLAB, "claimed by one who lives");
    recover(&segment, 1).unwrap();
    assert_eq!(free_slab_bytes(&segment), free);

    // a freer that died in the middle, and somebody else's run already in the slabs that were given back
    assert_eq!(sut.alloc(300_000).unwrap().at, run);
    at(0).store(word(0) & generation | state(State::Releasing) | 5, Relaxed);
    (3..5).for_each(|i| at(i).store(word(i) & generation, Relaxed));
    let other = sut.alloc(100_000).unwrap().at;
    recover(&segment, 3).unwrap();
    assert_eq!(findings(&segment), [""; 0]);
    assert!(locate(&segment, other).unwrap().allocated);
    assert_eq!(free_slab_bytes(&segment), free - 2 * SLAB);
}

#[test]
fn verify_names_what_is_wrong() {
    let segment = heap(4 << 20);
    let mut sut = Allocator::new(segment.clone(), 1);
    let small = sut.alloc(64).unwrap().at;
    let run = sut.alloc(200_000).unwrap().at;
    drop(sut);
    assert_eq!(findings(&segment), [""; 0]);
    let breaks = |at: u64, bits: u64, what: &str| {
        let word = segment.word(at).unwrap();
        let old = word.fetch_xor(bits, Relaxed);
        let found = findings(&segment);
        assert!(found.contains(&what), "{found:?}");
        word.store(old, Relaxed);
        assert_eq!(findings(&segment), [""; 0]);
    };
    let entry = |at: u64| segment.plan().directory + at / SLAB * 8;
    breaks(small / SLAB * SLAB, 1, "a living block without its allocation bit");
    breaks(small / SLAB * SLAB + 8, 3, "a bitmap word owned by nobody who lives");
    breaks(small, 1 << 63, "a block reserved by a slot that is not there");
    breaks(small, 1 << 48, "a version far above the clock");
    breaks(small + 8, 1 << 48, "a block whose class is not its slab's");
    breaks(entry(small), 15 << 28, "a slab of no known kind");
    breaks(entry(small), 63 << 21, "a slab of no known class");
    breaks(entry(run), 1 << 20, "a run of impossible length");
    breaks(entry(run) + 8, 2, "a slab of a run that is not there");
    breaks(entry(run) + 8, 5 << 28, "a run with a slab of another kind inside");
    breaks(entry(run), 6 << 28, "a run that nobody went on giving back");
}

#[test]
fn garbage_in_directory_and_metadata_is_an_error_and_nothing_worse() {
    let mut x = 1u64;
    let mut random = move || {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        x ^ x >> 29
    };
    let mut errors = 0;
    for round in 0..60 {
        let segment = heap(4 << 20);
        let mut sut = Allocator::new(segment.clone(), 1);
        let mut mine: Vec<u64> = (0..300)
            .map(|i| sut.alloc(if i % 50 == 0 { 90_000 } else { 16 + i * 11 % 9000 }).unwrap().at)
            .collect();
        let plan = *segment.plan();
        for at in directory(&segment).collect::<Vec<_>>() {
            if random() % 4 == 0 {
                segment.word(at).unwrap().fetch_xor(1 << (random() % 64), Relaxed);
            }
        }
        for _ in 0..200 {
            let slab = plan.data + random() % ((plan.max_size - plan.data) / SLAB) * SLAB;
            let within = if round % 2 == 0 { 2048 } else { SLAB };
            let at = slab + ((random() % within) & !7);
            segment.word(at).unwrap().store(random() << (random() % 64), Relaxed);
        }
        (0..64).for_each(|i| {
            if random() % 2 == 0 {
                segment.header().slab_hints[i].store(random() >> (random() % 64), Relaxed)
            }
        });
        catch_unwind(AssertUnwindSafe(|| {
            findings(&segment);
            for_each_block(&segment, |_, _| ());
            for_each_unswept(&segment, |_, _| ());
            for i in 0..500u64 {
                match sut.alloc(if i % 30 == 0 { 100_000 } else { 16 + random() % 9000 }) {
                    Ok(block) => {
                        assert!(segment.holds(block.at, block.size));
                        mine.push(block.at)
                    }
                    Err(e) => {
                        assert!(matches!(e.code, Code::Corrupt | Code::OutOfMemory));
                        errors += 1;
                    }
                }
                let at = mine[random() as usize % mine.len()];
                locate(&segment, at);
                let _ = sut.free(at);
                let _ = sut.alloc_reserved(100);
            }
            let _ = recover(&segment, 1);
            drop(sut);
        }))
        .expect("no panic");
    }
    assert!(errors > 0);
}
