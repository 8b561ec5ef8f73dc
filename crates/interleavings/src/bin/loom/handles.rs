//! Publication of a handle against who takes the object out and frees it when nobody has a handle on it. (There is no
//! collector yet: its look at the tables is made here, as the design has it, behind a fence.)

use std::sync::atomic::Ordering::{Acquire, SeqCst};

use coheap_interleavings::mutants::plant;
use coheap_interleavings::{heap, join, load, object, store};
use coheap_segment::primitive::fence;
use coheap_segment::primitive::model::Change::{SeeAgain, Skip, Weaken};
use coheap_segment::{Off, Segment, Word};
use coheap_txn::{Mem, Op, Res};

use crate::explore::{Structure, thread, together};

const BARRIER: &str = "crates/txn/src/barrier.rs";
const HANDLES: &str = "crates/txn/src/handles.rs";
const SNAPSHOT: &str = "crates/txn/src/snapshot.rs";

pub const ALL: &[Structure] = &[Structure {
    name: "handles: one is published while the object is taken out and swept",
    run: publish_beside_sweep,
    bounds: (2, 3, 2),
    mutants: &[
        plant(BARRIER, "} else {\n        fence(Ordering::SeqCst)", Weaken),
        plant(HANDLES, "self.entry(segment, index)?.swap(object, SeqCst)", Skip),
        plant(SNAPSHOT, "Word(word.load(Relaxed)).seen() == self.seen.seen()", SeeAgain),
    ],
}];

/// Reads the reference that a parent holds.
struct Child(Off);

impl Op for Child {
    type Out = (u64, Off);
    fn run<M: Mem>(&mut self, m: &mut M) -> Res<(u64, Off)> {
        let at = load(m, self.0)?;
        Ok((at, at))
    }
}

/// True if an entry of the participant's first chunk of handles names the object.
fn is_handled(segment: &Segment, participant: u16, object: Off) -> bool {
    let chunk = segment.participant(participant).handles.load(Acquire);
    // the reader of this test has never more than two
    (0..2).any(|i| segment.word(chunk + 24 + i * 8).expect("an entry").load(Acquire) == object)
}

fn publish_beside_sweep() {
    let segment = heap(3);
    let (mut a, mut b) = (join(&segment), join(&segment));
    a.reserve_handles(1).expect("room for handles");
    let child = object(&mut b, 1, 0);
    let parent = object(&mut b, 1, child);
    let (reader, heap) = (a.participant(), segment.clone());
    let results = together(
        &segment,
        vec![
            thread(move || {
                let found = a.read_handle(&mut Child(parent), |_| None).expect("a read");
                found.handle.is_some()
            }),
            thread(move || {
                b.write(|m| store(m, parent, 0)).expect("a write");
                fence(SeqCst);
                let sweep = !is_handled(&heap, reader, child);
                if sweep {
                    assert_eq!(b.allocator().free(child), Ok(true));
                }
                sweep
            }),
        ],
    );
    let word = Word(segment.word(child).expect("an object").load(SeqCst));
    assert_eq!(word.is_free(), results[1]);
    assert!(!(results[0] && results[1]), "an object is freed that somebody has a handle on");
}
