//! Calls that make, copy and name whole values, and byte buffers.

use std::ffi::CStr;

use coheap_heap::objects::cell::{Cell, Tag, kind};
use coheap_heap::objects::view::{self, ViewKind};
use coheap_heap::objects::{buffer, destroy, graph, record, value};
use coheap_heap::open;
use coheap_heap::segment::word::Word1;
use coheap_heap::segment::{Code, Error, Off};
use coheap_heap::slab;
use coheap_heap::txn::{Fault, Guard, Res};

use crate::convert::{self, deliver};
use crate::js::{Js, Value};
use crate::live::{self, Live};
use crate::port::{Callback, Outcome, Parts, Port};

/// See `js/port.ts`.
pub const CALLS: &[(&CStr, Callback)] = crate::calls![
    c"root" => root,
    c"wrapperOf" => wrapper_of,
    c"share" => share,
    c"snapshot" => snapshot,
    c"snapshotAll" => snapshot_all,
    c"alloc" => alloc,
    c"arrayBuffer" => array_buffer,
    c"destroy" => destroy_object,
    c"refOf" => ref_of,
    c"deref" => deref,
];

fn root(port: &mut Port, js: Js, []: [Value; 0]) -> Outcome {
    let live = port.live()?;
    let root = open::root_cell(live.segment())?;
    let found = live.look(|m, pins, _| convert::load_object(m, root, pins))?;
    deliver(port, js, found)
}

fn wrapper_of(port: &mut Port, js: Js, [h]: [Value; 1]) -> Outcome {
    let h = port.u32(js, h)?;
    let live = port.live()?;
    if let Some(wrapper) = live.pins.wrappers.wrapper(js, h) {
        return Ok(wrapper);
    }
    let found = live.look_aside(|m, pins, _| {
        let cell = pins.cell(h)?;
        convert::load_object(m, cell, pins)
    })?;
    deliver(port, js, found)
}

/// Gives a value that was built, and linked nowhere, to JavaScript: live objects stay, for they have handles; of what is
/// by value the content crosses and the block is freed.
fn deliver_built(port: &mut Port, js: Js, cell: Cell) -> Outcome {
    let live = port.live()?;
    let found = live.look(|m, pins, out| convert::load(m, Guard(cell.offset()), cell, pins, out));
    if found.is_ok() && cell.is_identity() {
        live.ctx.adopt();
    } else if found.is_ok() && cell.tag() == Some(Tag::Packed) {
        live.change_aside(|m, _, _| value::free(m, Guard(cell.offset()), cell))?;
    } else {
        live.ctx.discard();
    }
    deliver(port, js, found?)
}

fn share(port: &mut Port, js: Js, [wire]: [Value; 1]) -> Outcome {
    let wire = port.u32(js, wire)?;
    let Parts { live, staging, .. } = port.parts()?;
    let wire = staging.read(wire as usize)?;
    let cell = live.build(|m, resolve| graph::build(m, wire, resolve))?;
    deliver_built(port, js, cell)
}

fn snapshot(port: &mut Port, js: Js, [h]: [Value; 1]) -> Outcome {
    let h = port.u32(js, h)?;
    port.live()?.look(|m, pins, out| {
        let cell = pins.cell(h)?;
        out.clear();
        graph::export_deep(m, Guard(cell.offset()), cell, out)
    })?;
    port.state.number(4, 0.0);
    port.deliver_out(js)
}

fn snapshot_all(port: &mut Port, js: Js, [count]: [Value; 1]) -> Outcome {
    let count = port.u32(js, count)? as usize;
    let Parts { live, staging, .. } = port.parts()?;
    let handles = staging.read(count * 4)?;
    live.look(|m, pins, out| {
        let cells: Result<Vec<Cell>, _> = handles
            .chunks_exact(4)
            .map(|b| pins.cell(u32::from_le_bytes([b[0], b[1], b[2], b[3]])))
            .collect();
        out.clear();
        graph::export_deep_all(m, &cells?, out)
    })?;
    port.deliver_out(js)
}

fn alloc(port: &mut Port, js: Js, [kind, length]: [Value; 2]) -> Outcome {
    let (kind, length) = (port.u32(js, kind)?, port.u64(js, length)?);
    let kind = u8::try_from(kind).ok().and_then(ViewKind::from_u8).ok_or(Error::about(
        Code::InvalidArgument,
        "no such kind of view",
        kind as u64,
    ))?;
    let bytes = length.checked_mul(kind.element()).ok_or(Error::about(
        Code::OutOfMemory,
        "a buffer larger than the heap",
        length,
    ))?;
    let view = port.live()?.build(|m, _| {
        let buffer = buffer::create(m, bytes)?;
        view::create(m, kind, buffer, 0, length)
    })?;
    deliver_built(port, js, Cell::reference(Tag::View, view))
}

fn destroy_object(port: &mut Port, js: Js, [h]: [Value; 1]) -> Outcome {
    let h = port.u32(js, h)?;
    let live = port.live()?;
    let root = open::root(live.segment())?;
    live.change(|m, pins, _| {
        let cell = pins.cell(h)?;
        if cell.offset() == root {
            return Err(Error::new(Code::InvalidArgument, "the root of a heap cannot be destroyed").into());
        }
        destroy::destroy(m, cell.tag().unwrap_or(Tag::Record), cell.offset())
    })?;
    Ok(Value::NOTHING)
}

/// `nums[3]`: the offset; `state[1]`: the birth count.
fn ref_of(port: &mut Port, js: Js, [h]: [Value; 1]) -> Outcome {
    let h = port.u32(js, h)?;
    let entry = port.live()?.look(|m, pins, _| {
        let entry = pins.object(h)?;
        refuse_destroyed(Word1(m.load64(Guard(entry.at), entry.at + 8)?), entry.at)?;
        Ok(entry)
    })?;
    port.state.word(1, entry.birth as u32);
    port.state.number(3, entry.at as f64);
    Ok(Value::NOTHING)
}

fn refuse_destroyed(word1: Word1, at: Off) -> Res<()> {
    if destroy::is_destroyed(word1) { Err(gone(at)) } else { Ok(()) }
}

fn gone(at: Off) -> Fault {
    Error::at(Code::Destroyed, "the object has been destroyed", at).into()
}

/// An offset and a birth count that came from anywhere. The handle is published within an operation that changes the
/// object's version: a sweeper that has seen the object without the handle then fails to free it.
fn deref(port: &mut Port, js: Js, [at, birth]: [Value; 2]) -> Outcome {
    let (at, birth) = (port.u64(js, at)?, port.u32(js, birth)?);
    let live = port.live()?;
    let found = live.change(|m, pins, _| {
        if !slab::locate(m.segment(), at).is_some_and(|place| place.start == at && place.allocated) {
            return Err(gone(at));
        }
        m.reserve(Guard(at))?;
        let word1 = Word1(m.load64(Guard(at), at + 8)?);
        let owned = word1.kind() == kind::RECORD && word1.flags() & record::OWNED != 0;
        let named = word1.birth() as u32 == birth && !owned;
        let Some(cell) = Cell::of_object(word1.kind(), at).filter(|_| named) else {
            return Err(gone(at));
        };
        refuse_destroyed(word1, at)?;
        convert::load_object(m, cell, pins)
    })?;
    deliver(port, js, found)
}

/// The buffer's wrapper is its ArrayBuffer, so its handle pins it as long as that lives.
fn array_buffer(port: &mut Port, js: Js, [h]: [Value; 1]) -> Outcome {
    let h = port.u32(js, h)?;
    let live = port.live()?;
    if let Some(alive) = live.pins.wrappers.wrapper(js, h) {
        return Ok(alive);
    }
    let buffer = live.look_aside(|m, pins, _| buffer::info(m, pins.object_of(h, kind::BUFFER)?))?;
    let made = map_bytes(live, js, buffer)?;
    live.adopt(js, h, made)?;
    if live.ctx.in_transaction() {
        live.tentative.push(h);
    }
    Ok(made)
}

fn map_bytes(live: &Live, js: Js, buffer: buffer::Info) -> Result<Value, Error> {
    if buffer.len == 0 {
        let (empty, _) = js.array_buffer(0).ok_or(Error::new(Code::Closed, "the thread is ending"))?;
        return Ok(empty);
    }
    let segment = live.segment().clone();
    let bytes = segment.bytes(buffer.data, buffer.len)?;
    // SAFETY: the bytes are mapped as long as the segment. They are raw memory that any process may write at any
    // time, as a SharedArrayBuffer's; the handle, which lives as long as the ArrayBuffer, keeps the block.
    unsafe { live::external(js, bytes, buffer.len as usize, segment) }
}
