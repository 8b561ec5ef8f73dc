//! Owned bitmap words: who owns a word takes its bits, everyone clears them; and the hint that a slab is full.

use std::sync::{Arc, OnceLock};

use coheap_interleavings::heap;
use coheap_interleavings::mutants::plant;
use coheap_segment::primitive::model::Change::{SeeAgain, Skip, Weaken};
use coheap_segment::{Off, Participant, SLAB, Segment};
use coheap_slab::{Allocator, Block};

use crate::explore::{Structure, thread, together};

const ALLOCATOR: &str = "crates/slab/src/allocator.rs";
const BITMAP: &str = "crates/slab/src/bitmap.rs";

pub const ALL: &[Structure] = &[
    Structure {
        name: "bitmap words: a block is freed beside one that allocates",
        run: free_beside_alloc,
        bounds: (2, 3, 2),
        mutants: &[
            plant(BITMAP, "w.bits.fetch_or(free, AcqRel)", Weaken),
            plant(ALLOCATOR, "word.bits.fetch_and(!bit, SeqCst)", Weaken),
        ],
    },
    Structure {
        name: "bitmap words: two own and take",
        run: two_take,
        bounds: (2, 3, 2),
        mutants: &[plant(BITMAP, "w.bits.fetch_or(free, AcqRel)", Skip)],
    },
    Structure {
        name: "bitmap words: the owner of a full one goes while a block of it is freed",
        run: give_up_beside_free,
        bounds: (2, 3, 2),
        mutants: &[
            plant(ALLOCATOR, "if word.owner.load(SeqCst) == 0", Weaken),
            plant(BITMAP, "has_room(w.bits.load(SeqCst), valid, need)\n}", Weaken),
        ],
    },
    Structure {
        name: "bitmap words: a slab is found full while a block of it is freed",
        run: settle_beside_free,
        bounds: (2, 3, 2),
        mutants: &[
            plant(BITMAP, "has_room(w.bits.load(SeqCst), self.class.valid(i), need)", Weaken),
            plant(BITMAP, "has_room(w.bits.load(SeqCst), self.class.valid(i), need)", SeeAgain),
        ],
    },
];

/// A size of which a slab has few blocks.
const LARGE: u64 = 8 << 10;

/// How many.
fn per_slab() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let segment = heap(1);
        let (_participant, mut allocator) = member(&segment);
        let slab = alloc(&mut allocator).at / SLAB;
        1 + (1..64).take_while(|_| alloc(&mut allocator).at / SLAB == slab).count()
    })
}

fn member(segment: &Arc<Segment>) -> (Participant, Allocator) {
    let participant = segment.join(0).expect("a free row");
    let allocator = Allocator::new(segment.clone(), participant.id());
    (participant, allocator)
}

fn alloc(allocator: &mut Allocator) -> Block {
    // a block whose word 0 still shows its last tenant is reported as corrupt
    allocator.alloc(LARGE).expect("a block")
}

/// All blocks of a slab that nobody owns a word of.
fn full_slab(segment: &Arc<Segment>) -> Vec<Off> {
    let (_participant, mut allocator) = member(segment);
    let blocks: Vec<Off> = (0..per_slab()).map(|_| alloc(&mut allocator).at).collect();
    assert!(blocks.iter().all(|at| at / SLAB == blocks[0] / SLAB));
    blocks
}

fn free_beside_alloc() {
    let segment = heap(3);
    let (_keep_a, mut a) = member(&segment);
    let (_keep_b, mut b) = member(&segment);
    let blocks = full_slab(&segment);
    let first = blocks[0];
    let mut others = together(
        &segment,
        vec![
            thread(move || {
                assert_eq!(a.free(first), Ok(true));
                0
            }),
            thread(move || alloc(&mut b).at),
        ],
    );
    let taken = others.pop().expect("two");
    assert!(!blocks[1..].contains(&taken), "a block is handed out twice");
    assert_sound(&segment);
}

fn two_take() {
    let segment = heap(3);
    let (_keep_a, mut a) = member(&segment);
    let (_keep_b, mut b) = member(&segment);
    // a slab with room, nobody's
    for at in full_slab(&segment) {
        assert_eq!(a.free(at), Ok(true));
    }
    let blocks = together(&segment, vec![thread(move || alloc(&mut a).at), thread(move || alloc(&mut b).at)]);
    assert_ne!(blocks[0], blocks[1], "a block is handed out twice");
    assert_sound(&segment);
}

fn give_up_beside_free() {
    let segment = heap(4);
    let (_keep_a, mut a) = member(&segment);
    let (_keep_b, mut owner) = member(&segment);
    let blocks: Vec<Off> = (0..per_slab()).map(|_| alloc(&mut owner).at).collect();
    let (_keep_c, mut c) = member(&segment);
    // finds no room there, and notes it
    let elsewhere = alloc(&mut c).at;
    assert_ne!(elsewhere / SLAB, blocks[0] / SLAB);
    for _ in 1..per_slab() {
        alloc(&mut c);
    }
    let first = blocks[0];
    let mut owner = Some(owner);
    together(
        &segment,
        vec![
            thread(move || {
                assert_eq!(a.free(first), Ok(true));
            }),
            thread(move || {
                drop(owner.take());
            }),
        ],
    );
    assert_eq!(alloc(&mut c).at, first, "room that nobody has noted");
    assert_sound(&segment);
}

fn settle_beside_free() {
    let segment = heap(4);
    let (_keep_a, mut a) = member(&segment);
    let (_keep_b, mut b) = member(&segment);
    let (_keep_c, mut c) = member(&segment);
    let first = full_slab(&segment)[0];
    let taken = together(
        &segment,
        vec![
            thread(move || {
                assert_eq!(a.free(first), Ok(true));
                0
            }),
            thread(move || alloc(&mut b).at),
        ],
    )[1];
    // a new slab is taken only when there is no room in those that are there
    let found = taken == first
        || (0..per_slab())
            .map(|_| alloc(&mut c).at)
            .take_while(|at| at / SLAB <= taken / SLAB)
            .any(|at| at == first);
    assert!(found, "room that nobody has noted");
    assert_sound(&segment);
}

fn assert_sound(segment: &Segment) {
    coheap_slab::verify(segment, |at, what| panic!("{what} at {at:#x}"));
}
