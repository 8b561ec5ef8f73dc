//! A walk over a whole heap that looks for what cannot be.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use coheap_objects::refs::{self, Reference};
use coheap_segment::word::Word1;
use coheap_segment::{Off, Result, Segment};

/// Something that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Violation {
    /// Where.
    pub at: Off,
    /// What, in a few words.
    pub what: &'static str,
}

/// More is not told: a broken heap is full of them.
const MOST: usize = 1000;

/// Looks at the allocator's own structures, and at every block that can be reached from the root, the tables of shapes
/// and keys, or a channel: that its type fits its content, and that each reference leads to a block that is allocated and
/// of the type that the reference says. What nothing refers to any more, garbage of the dead above all, may refer to
/// blocks that are gone. Exact while nobody writes. In a heap that is in use, blocks come and go between two looks: a reference
/// that seems wrong is told only if it still stands where it was found, and leads to nothing, each of 8 times; anything else
/// only if it was wrong in each of 8 looks. Never fails, whatever the
/// segment holds. Takes about as long as reading the heap once, if it is sound and at rest.
pub fn verify(segment: &Arc<Segment>) -> Vec<Violation> {
    lasting(|| look(segment))
}

/// What each of several looks has found; as many looks as it takes until nothing is left, at most [`LOOKS`].
fn lasting(mut look: impl FnMut() -> Vec<Violation>) -> Vec<Violation> {
    let mut found = look();
    for _ in 1..LOOKS {
        if found.is_empty() {
            break;
        }
        let again: HashSet<Violation> = look().into_iter().collect();
        found.retain(|violation| again.contains(violation));
    }
    found
}

/// Looks at a thing that is wrong before it is told. What a running program changes would have to be caught in the
/// act, at the same place, in each of them.
const LOOKS: usize = 8;

fn look(segment: &Arc<Segment>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut add = |at, what| {
        if found.len() < MOST {
            found.push(Violation { at, what });
        }
    };
    coheap_slab::verify(segment, &mut add);
    // {where it was found, what it refers to}
    let mut waiting: Vec<(Off, Reference)> = Vec::new();
    if let Err(error) = each_ref(segment, ROOTS, &mut |reference| waiting.push((ROOTS, reference))) {
        add(error.offset(), error.what);
    }
    let (mut seen, mut suspects) = (HashSet::new(), Vec::new());
    while let Some((from, reference)) = waiting.pop() {
        if wrong(segment, reference).is_some() {
            if suspects.len() < MOST {
                suspects.push((from, reference));
            }
            continue;
        }
        let at = reference.offset();
        if seen.insert(at) {
            let told = each_ref(segment, at, &mut |reference| waiting.push((at, reference)));
            if let Err(error) = told {
                add(at, error.what);
            }
        }
    }
    for (from, reference) in convicted(segment, suspects) {
        if let Some(what) = wrong(segment, reference) {
            add(from, what);
        }
    }
    found
}

/// Stands for what a heap begins with: its root, the tables of shapes and keys, the messages in its channels.
const ROOTS: Off = 0;

/// Calls `f` with what a block, or the beginning, refers to.
fn each_ref(segment: &Arc<Segment>, from: Off, f: &mut dyn FnMut(Reference)) -> Result<()> {
    if from != ROOTS {
        return refs::for_each_ref(segment, from, f);
    }
    let header = segment.header();
    for table in [&header.shapes, &header.keys] {
        match table.load(Relaxed) {
            0 => {}
            at => f(Reference::Block(at)),
        }
    }
    // a list of channels that is a circle tells its messages again and again
    let mut messages = HashSet::new();
    let told = coheap_queue::for_each_message(segment, &mut |message| {
        if messages.insert(message.offset()) {
            f(message);
        }
    });
    f(Reference::Cell(crate::open::root_cell(segment)?));
    told
}

/// Those of the references that still stand where they were found, and lead to the same nothing, each time that one
/// looks. In a heap that is in use the others have been overwritten since they were read.
fn convicted(segment: &Arc<Segment>, mut suspects: Vec<(Off, Reference)>) -> Vec<(Off, Reference)> {
    for _ in 0..LOOKS {
        if suspects.is_empty() {
            break;
        }
        std::thread::yield_now();
        let mut present: HashMap<Off, HashSet<Reference>> = HashMap::new();
        suspects.retain(|(from, reference)| {
            let there = present.entry(*from).or_insert_with(|| {
                let mut there = HashSet::new();
                // what cannot be read to its end was told already
                let _ = each_ref(segment, *from, &mut |reference| {
                    there.insert(reference);
                });
                there
            });
            there.contains(reference) && wrong(segment, *reference).is_some()
        });
    }
    suspects
}

fn wrong(segment: &Segment, reference: Reference) -> Option<&'static str> {
    let at = reference.offset();
    if !coheap_slab::locate(segment, at).is_some_and(|place| place.allocated) {
        return Some("a reference to no block");
    }
    let Reference::Cell(cell) = reference else { return None };
    // Relaxed: compared only
    let kind = segment.word(at + 8).map_or(0, |word| Word1(word.load(Relaxed)).kind());
    (cell.tag().map(|tag| tag as u8) != Some(kind)).then_some("a reference to a block of another type")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Data, Heap, Options};

    /// A live heap of which a part is wrong in some of the looks, as in one that is being changed.
    #[test]
    fn only_what_is_wrong_in_every_look_is_told() {
        let name = format!("verify-{}", std::process::id());
        let options = Options { size: 1, max_size: 8 << 20, max_participants: 4, ..Options::default() };
        let heap = Heap::create(&name, &options).unwrap();
        for key in ["first", "second"] {
            heap.root().set(key, Data::object([("text", Data::from("a text of some length"))])).unwrap();
        }
        let segment = heap.segment();
        let members = |at| {
            let mut found = Vec::new();
            let mut add = |reference| {
                if let Reference::Cell(cell) = reference {
                    found.push(cell.offset());
                }
            };
            refs::for_each_ref(&segment, at, &mut add).unwrap();
            found
        };
        // word 1 of the blocks of two texts in two objects, which says of what type they are
        let objects = members(crate::open::root_cell(&segment).unwrap().offset());
        let places: Vec<Off> = objects.iter().map(|&at| members(at)[0] + 8).collect();
        let words = [places[0], places[1]].map(|at| segment.word(at).unwrap());
        let sound = words.map(|word| word.load(Relaxed));
        // in look `n` the texts of `wrong(n)` are no texts; gives the number of looks and what is told in the end
        let run = |wrong: &dyn Fn(usize) -> [bool; 2]| {
            let mut looks = 0;
            let told = lasting(|| {
                looks += 1;
                for (i, is_wrong) in wrong(looks).into_iter().enumerate() {
                    words[i].store(if is_wrong { u64::MAX } else { sound[i] }, Relaxed);
                }
                let found = look(&segment);
                assert_eq!(found.is_empty(), wrong(looks) == [false; 2], "{found:?}");
                // others write meanwhile
                heap.root().set("count", looks as f64).unwrap();
                found
            });
            (looks, told.len())
        };
        assert_eq!(run(&|_| [false, false]), (1, 0));
        for last in 1..LOOKS {
            assert_eq!(run(&|n| [n <= last, false]), (last + 1, 0));
        }
        assert_eq!(run(&|n| [n % 2 == 1, n % 2 == 0]), (2, 0), "another each time");
        let (looks, lasting) = run(&|_| [true, false]);
        let (more_looks, more) = run(&|n| [true, n > 1]);
        assert!(looks == LOOKS && more_looks == LOOKS && lasting > 0);
        assert_eq!(more, lasting, "what came later is not told");
        let (_, both) = run(&|_| [true, true]);
        assert!(both > lasting);
        assert_eq!(run(&|_| [false, false]), (1, 0));
        assert_eq!(verify(&segment), []);
    }
}
