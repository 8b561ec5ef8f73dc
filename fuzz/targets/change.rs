//! Use a heap in every way while words of it are overwritten.

#![no_main]

use std::sync::atomic::Ordering::Relaxed;

use coheap_fuzz::base::{NAME, options};
use coheap_fuzz::damage::Dice;
use coheap_fuzz::exercise::{Tally, exercise};
use coheap_fuzz::{Input, base};
use coheap_heap::{Heap, open};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let base = base();
    let image = &base.images[(input.byte() & 1) as usize];
    let mut dice = Dice::new(input.number(2));
    base.place(&image.bytes);
    let mut tally = Tally::default();
    let heap = Heap::open(NAME, &options(&base.dir)).expect("it is not damaged yet");
    // a second participant that was said to be in the middle of a commit would rightly be waited for
    let second = input.byte() & 1 != 0;
    let mut ctx = if second { open::join(&heap.segment(), &options(&base.dir)).ok() } else { None };
    for (at, value) in input.damage(image) {
        if second && (image.parts.slots..image.parts.directory).contains(&at) {
            continue;
        }
        if let Ok(word) = heap.segment().word(at as u64) {
            word.store(value, Relaxed);
        }
    }
    exercise(&heap, ctx.as_mut().map(|ctx| (ctx, image)), &mut dice, &mut tally);
    drop((ctx, heap));
    base.clear();
});
