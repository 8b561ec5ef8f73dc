//! A walk over a whole heap that looks for what cannot be.

use std::sync::atomic::Ordering::Relaxed;

use coheap_objects::refs::{self, Reference};
use coheap_segment::word::Word1;
use coheap_segment::{Off, Segment};

/// Something that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where.
    pub at: Off,
    /// What, in a few words.
    pub what: &'static str,
}

/// More is not told: a broken heap is full of them.
const MOST: usize = 1000;

/// Looks at every slab and every block: the allocator's own structures, that each block's type fits its content, and
/// that each reference leads to a block that is allocated and of the type that the reference says. Exact while nobody
/// writes; in a heap that is in use, blocks that come and go meanwhile may be reported. Never fails, whatever the
/// segment holds. Takes about as long as reading the heap once.
pub fn verify(segment: &Segment) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut add = |at, what| {
        if found.len() < MOST {
            found.push(Violation { at, what });
        }
    };
    coheap_slab::verify(segment, &mut add);
    coheap_slab::for_each_block(segment, |at, _| {
        let told = refs::for_each_ref(segment, at, &mut |reference| {
            if let Some(what) = wrong(segment, reference) {
                add(at, what);
            }
        });
        if let Err(error) = told {
            add(at, error.what);
        }
    });
    match crate::open::root_cell(segment) {
        Ok(root) => {
            if let Some(what) = wrong(segment, Reference::Cell(root)) {
                add(0, what);
            }
        }
        Err(error) => add(0, error.what),
    }
    found
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
