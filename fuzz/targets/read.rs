//! Open, verify and read all of a heap of which some words were overwritten.

#![no_main]

use coheap_fuzz::base::{NAME, options};
use coheap_fuzz::exercise::{Tally, read_all};
use coheap_fuzz::{Input, base};
use coheap_heap::Heap;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let base = base();
    let image = &base.images[(input.byte() & 1) as usize];
    let mut bytes = image.bytes.clone();
    for (at, value) in input.damage(image) {
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    base.place(&bytes);
    let mut tally = Tally::default();
    tally.count(Heap::list(Some(&base.dir)));
    if let Some(heap) = tally.count(Heap::open(NAME, &options(&base.dir))) {
        let _ = (heap.verify(), heap.stats(), heap.participants(), heap.deaths().look());
        read_all(&heap, &mut Vec::new(), &mut tally);
    }
    base.clear();
});
