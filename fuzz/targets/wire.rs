//! Build a value from any bytes. What can be built can be read, and its wire builds a value whose wire is the same.

#![no_main]

use std::cell::RefCell;

use coheap_fuzz::folder;
use coheap_heap::objects::key::Key;
use coheap_heap::objects::{Cell, graph, record};
use coheap_heap::segment::{Code, Off};
use coheap_heap::txn::{Ctx, Fault, Guard, Res};
use coheap_heap::{Heap, Options, open};
use libfuzzer_sys::fuzz_target;

struct Place {
    _heap: Heap,
    ctx: Ctx,
    root: Off,
}

thread_local! {
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

fn place() -> Place {
    let options = Options { dir: Some(folder()), max_size: 64 << 20, ..Options::default() };
    let heap = Heap::create("wire", &options).expect("a heap");
    let segment = heap.segment();
    let ctx = open::join(&segment, &options).expect("a participant");
    Place { root: open::root(&segment).expect("a root"), ctx, _heap: heap }
}

/// Stores the value of a wire and reads it back.
fn through(place: &mut Place, wire: &[u8]) -> Res<Vec<u8>> {
    let Place { ctx, root, .. } = place;
    let (root, key) = (*root, Key::string("value"));
    let cell = ctx.build(|m| graph::build(m, wire, &mut |_| Err(Fault::Aborted)));
    let stored = cell.and_then(|cell| ctx.write(|m| record::set(m, root, &key, cell)));
    ctx.discard();
    stored?;
    let mut out = Vec::new();
    ctx.read(|m| {
        out.clear();
        let cell = record::get(m, root, &key)?.unwrap_or(Cell::UNDEFINED);
        graph::export_deep(m, Guard(root), cell, &mut out)
    })?;
    Ok(out)
}

fuzz_target!(|data: &[u8]| {
    PLACE.with_borrow_mut(|kept| {
        let place = kept.get_or_insert_with(place);
        let _ = graph::map_key(data, &mut |_| Err(Fault::Aborted));
        let done = through(place, data).and_then(|once| Ok((through(place, &once)?, once)));
        match done {
            Ok((twice, once)) => assert_eq!(once, twice),
            Err(Fault::Error(error)) => {
                assert_ne!(error.code, Code::Corrupt, "{error:?}");
                // there is no end of garbage
                if error.code == Code::OutOfMemory {
                    *kept = None;
                }
            }
            Err(_) => {}
        }
    });
});
