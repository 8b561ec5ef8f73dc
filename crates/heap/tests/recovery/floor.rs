//! What is left in memory that nothing refers to.

use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;

use coheap_heap::objects::kind;
use coheap_heap::objects::refs::{self, Reference};
use coheap_heap::segment::Segment;
use coheap_heap::segment::word::Word1;
use coheap_heap::{Heap, open, queue, slab};

/// Blocks and bytes of values that can be reached from nowhere: garbage for a collector. For a heap at rest.
pub fn garbage(heap: &Heap) -> (u64, u64) {
    let segment = heap.segment();
    let header = segment.header();
    let mut waiting = vec![Reference::Cell(open::root_cell(&segment).unwrap())];
    let tables = [&header.shapes, &header.keys].map(|table| table.load(Relaxed));
    waiting.extend(tables.into_iter().filter(|&at| at != 0).map(Reference::Block));
    queue::for_each_message(&segment, &mut |message| waiting.push(message)).unwrap();
    // the channels themselves are not looked at
    let mut reached = HashSet::from([header.channels.load(Relaxed)]);
    while let Some(reference) = waiting.pop() {
        if reached.insert(reference.offset()) {
            refs::for_each_ref(&segment, reference.offset(), &mut |more| waiting.push(more)).unwrap();
        }
    }
    let (mut blocks, mut bytes) = (0, 0);
    slab::for_each_block(&segment, |at, size| {
        if is_value(&segment, at) && !reached.contains(&at) {
            blocks += 1;
            bytes += size;
        }
    });
    (blocks, bytes)
}

/// Not a channel's own structure, or a participant's.
fn is_value(segment: &Segment, at: u64) -> bool {
    let kind = Word1(segment.word(at + 8).unwrap().load(Relaxed)).kind();
    kind < kind::LOG || kind == kind::STACK || kind == kind::ENVELOPE
}
