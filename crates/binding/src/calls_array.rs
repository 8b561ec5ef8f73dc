//! Calls on arrays.

use std::ffi::CStr;

use coheap_heap::objects::cell::{Cell, kind};
use coheap_heap::objects::wire::Writer;
use coheap_heap::objects::{array, graph, value};
use coheap_heap::segment::{Code, Error};
use coheap_heap::txn::{Fault, Guard, Mem, Res};

use crate::convert::{self, Input, deliver, deliver_by_state};
use crate::js::{Js, Value};
use crate::live::{Call, Live};
use crate::pins::Pins;
use crate::port::{Callback, Outcome, Parts, Port, Status, at};
use crate::text::Text;

/// See `js/port.ts`.
pub const CALLS: &[(&CStr, Callback)] = crate::calls![
    c"length" => length,
    c"at" => at,
    c"put" => put,
    c"putNumber" => put_number,
    c"hasIndex" => has_index,
    c"deleteIndex" => delete_index,
    c"setLength" => set_length,
    c"push" => push,
    c"pushMany" => push_many,
    c"unshiftMany" => unshift_many,
    c"pop" => pop,
    c"shift" => shift,
    c"splice" => splice,
    c"range" => range,
    c"indices" => indices,
    c"permute" => permute,
    c"replace" => replace,
];

fn length(port: &mut Port, js: Js, [h]: [Value; 1]) -> Outcome {
    let h = port.u32(js, h)?;
    let len = port.live()?.look(|m, pins, _| array::len(m, pins.object_of(h, kind::ARRAY)?))?;
    Ok(js.number(len as f64))
}

struct At {
    h: u32,
    /// Negative: from the end.
    index: f64,
}

impl Call for At {
    type Out = Cell;
    #[inline(always)]
    fn run<M: Mem>(&mut self, m: &mut M, pins: &mut Pins, out: &mut Vec<u8>) -> Res<Cell> {
        let at = pins.object_of(self.h, kind::ARRAY)?;
        let index = if self.index < 0.0 { self.index + array::len(m, at)? as f64 } else { self.index };
        let whole = index as u32;
        if whole as f64 != index {
            return Ok(Cell::ABSENT);
        }
        match array::get(m, at, whole)? {
            Some(cell) => convert::load(m, Guard(at), cell, pins, out),
            None => Ok(Cell::ABSENT),
        }
    }
}

fn at(port: &mut Port, js: Js, []: [Value; 0]) -> Outcome {
    let (h, index) = (port.state.told_word(at::HANDLE), port.state.told_number(at::VALUE));
    let found = port.live()?.read(At { h, index })?;
    deliver_by_state(port, js, found)
}

/// What the call with one value does with it.
#[derive(Clone, Copy)]
enum Place {
    At(u32),
    End,
}

struct Put<'a> {
    h: u32,
    place: Place,
    value: Input,
    text: &'a Text,
}

impl Call for Put<'_> {
    type Out = u32;
    #[inline(always)]
    fn run<M: Mem>(&mut self, m: &mut M, pins: &mut Pins, _: &mut Vec<u8>) -> Res<u32> {
        let at = pins.object_of(self.h, kind::ARRAY)?;
        let cell = self.value.build(m, self.text)?;
        match self.place {
            Place::At(index) => array::set(m, at, index, cell).map(|()| index),
            Place::End => array::push(m, at, &[cell]),
        }
    }
}

#[inline(always)]
fn put_value(port: &mut Port, js: Js, place: Place, value: Value) -> Result<u32, Fault> {
    let (h, wire) = (port.state.told_word(at::HANDLE), port.state.told_word(at::WIRE));
    let Parts { live, staging, text, .. } = port.parts()?;
    let input = Input::of(js, value, text)?;
    let value = live.take_in_bytes(input, staging, wire)?;
    live.write(Put { h, place, value, text })
}

fn put(port: &mut Port, js: Js, [value]: [Value; 1]) -> Outcome {
    let index = port.state.told_word(at::SLOT);
    put_value(port, js, Place::At(index), value)?;
    Ok(Value::NOTHING)
}

fn put_number(port: &mut Port, _: Js, []: [Value; 0]) -> Outcome {
    let (h, index) = (port.state.told_word(at::HANDLE), port.state.told_word(at::SLOT));
    let value = Input::Cell(Cell::number(port.state.told_number(at::VALUE)));
    let Parts { live, text, .. } = port.parts()?;
    live.write(Put { h, place: Place::At(index), value, text })?;
    Ok(Value::NOTHING)
}

fn push(port: &mut Port, js: Js, [value]: [Value; 1]) -> Outcome {
    let len = put_value(port, js, Place::End, value)?;
    Ok(js.number(len as f64))
}

fn has_index(port: &mut Port, js: Js, [h, index]: [Value; 2]) -> Outcome {
    let (h, index) = (port.u32(js, h)?, port.u32(js, index)?);
    let there = port
        .live()?
        .look(|m, pins, _| Ok(array::get(m, pins.object_of(h, kind::ARRAY)?, index)?.is_some()))?;
    Ok(js.boolean(there))
}

fn delete_index(port: &mut Port, js: Js, [h, index]: [Value; 2]) -> Outcome {
    let (h, index) = (port.u32(js, h)?, port.u32(js, index)?);
    let there = port.live()?.change(|m, pins, _| array::delete(m, pins.object_of(h, kind::ARRAY)?, index))?;
    Ok(js.boolean(there))
}

fn set_length(port: &mut Port, js: Js, [h, length]: [Value; 2]) -> Outcome {
    let (h, length) = (port.u32(js, h)?, port.u32(js, length)?);
    port.live()?.change(|m, pins, _| array::set_len(m, pins.object_of(h, kind::ARRAY)?, length))?;
    Ok(Value::NOTHING)
}

/// Builds the values of a wire that holds a count and so many, pending.
fn staged_values(port: &mut Port, wire: u32) -> Result<(&mut Live, Vec<Cell>), Fault> {
    let Parts { live, staging, .. } = port.parts()?;
    let wire = staging.read(wire as usize)?;
    let cells = live.build(|m, resolve| graph::build_all(m, wire, resolve))?;
    Ok((live, cells))
}

fn push_many(port: &mut Port, js: Js, [h, wire]: [Value; 2]) -> Outcome {
    let (h, wire) = (port.u32(js, h)?, port.u32(js, wire)?);
    let (live, cells) = staged_values(port, wire)?;
    let len = live.change(|m, pins, _| array::push(m, pins.object_of(h, kind::ARRAY)?, &cells))?;
    Ok(js.number(len as f64))
}

fn unshift_many(port: &mut Port, js: Js, [h, wire]: [Value; 2]) -> Outcome {
    let (h, wire) = (port.u32(js, h)?, port.u32(js, wire)?);
    let (live, cells) = staged_values(port, wire)?;
    let len = live.change(|m, pins, _| array::unshift(m, pins.object_of(h, kind::ARRAY)?, &cells))?;
    Ok(js.number(len as f64))
}

/// `pop` and `shift`: a hole that is taken off is `undefined`.
struct TakeOff {
    h: u32,
    first: bool,
}

impl Call for TakeOff {
    type Out = Cell;
    fn run<M: Mem>(&mut self, m: &mut M, pins: &mut Pins, out: &mut Vec<u8>) -> Res<Cell> {
        let at = pins.object_of(self.h, kind::ARRAY)?;
        let cell = if self.first { array::shift(m, at)? } else { array::pop(m, at)? };
        let Some(cell) = cell else { return Ok(Cell::ABSENT) };
        if cell == Cell::HOLE {
            return Ok(Cell::UNDEFINED);
        }
        let found = convert::load(m, Guard(at), cell, pins, out)?;
        value::free(m, Guard(at), cell)?;
        Ok(found)
    }
}

fn pop(port: &mut Port, js: Js, [h]: [Value; 1]) -> Outcome {
    let h = port.u32(js, h)?;
    let found = port.live()?.write(TakeOff { h, first: false })?;
    deliver(port, js, found)
}

fn shift(port: &mut Port, js: Js, [h]: [Value; 1]) -> Outcome {
    let h = port.u32(js, h)?;
    let found = port.live()?.write(TakeOff { h, first: true })?;
    deliver(port, js, found)
}

fn splice(port: &mut Port, js: Js, [h, start, delete, wire]: [Value; 4]) -> Outcome {
    let (h, wire) = (port.u32(js, h)?, port.u32(js, wire)?);
    let clamped = |v| js.as_f64(v).map_or(0, |x| x as u32); // saturates
    let (start, delete) = (clamped(start), clamped(delete));
    let (live, cells) = staged_values(port, wire)?;
    live.change(|m, pins, out| {
        let at = pins.object_of(h, kind::ARRAY)?;
        let start = start.min(array::len(m, at)?);
        let removed = array::splice(m, at, start, delete, &cells)?;
        write_all(m, at, &removed, pins, out)?;
        removed.iter().try_for_each(|&cell| value::free(m, Guard(at), cell))
    })?;
    port.deliver_out(js)
}

/// u32 count, values, holes as holes.
fn write_all<M: Mem + ?Sized>(
    m: &mut M,
    at: u64,
    cells: &[Cell],
    pins: &mut Pins,
    out: &mut Vec<u8>,
) -> Res<()> {
    out.clear();
    Writer(out).u32(cells.len() as u32);
    cells.iter().try_for_each(|&cell| convert::write(m, Guard(at), cell, pins, out))
}

fn range(port: &mut Port, js: Js, [h, start, count]: [Value; 3]) -> Outcome {
    let (h, start, count) = (port.u32(js, h)?, port.u32(js, start)?, port.u32(js, count)?);
    let version = port.live()?.look(|m, pins, out| {
        let at = pins.object_of(h, kind::ARRAY)?;
        let cells = array::read_range(m, at, start, count)?;
        write_all(m, at, &cells, pins, out)?;
        m.version(Guard(at))
    })?;
    port.state.number(6, version as f64);
    port.deliver_out(js)
}

fn indices(port: &mut Port, js: Js, [h]: [Value; 1]) -> Outcome {
    let h = port.u32(js, h)?;
    port.live()?.look(|m, pins, out| {
        let present = array::present(m, pins.object_of(h, kind::ARRAY)?)?;
        out.clear();
        Writer(out).u32(present.len() as u32);
        present.iter().for_each(|&(index, _)| out.extend_from_slice(&(index as f64).to_le_bytes()));
        Ok(())
    })?;
    port.deliver_out(js)
}

/// The version that a call expects; -1: any.
fn expected(js: Js, v: Value) -> Option<u64> {
    js.as_f64(v).filter(|&x| x >= 0.0).map(|x| x as u64)
}

fn as_expected<M: Mem + ?Sized>(m: &mut M, at: u64, expected: Option<u64>) -> Res<bool> {
    match expected {
        Some(version) => Ok(m.version(Guard(at))? == version),
        None => Ok(true),
    }
}

/// OK, or STALE: what was built for it is given back.
fn done_or_stale(port: &mut Port, done: Result<(), Fault>) -> Outcome {
    match done {
        Err(Fault::Error(STALE)) => {
            port.state.status(Status::Stale);
            Ok(Value::NOTHING)
        }
        done => done.map(|()| Value::NOTHING),
    }
}

/// Undoes an operation that expected another version.
const STALE: Error = Error::new(Code::Exists, "another version");

fn permute(port: &mut Port, js: Js, [h, version, count]: [Value; 3]) -> Outcome {
    let (h, count, version) = (port.u32(js, h)?, port.u32(js, count)?, expected(js, version));
    let Parts { live, staging, .. } = port.parts()?;
    let bytes = staging.read(count as usize * 4)?;
    let order: Vec<u32> =
        bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let done = live.change(|m, pins, _| {
        let at = pins.object_of(h, kind::ARRAY)?;
        if !as_expected(m, at, version)? {
            return Err(STALE.into());
        }
        let mut old: Vec<(u32, Option<Cell>)> =
            array::present(m, at)?.into_iter().map(|(index, cell)| (index, Some(cell))).collect();
        let mut moved = Vec::new();
        for (to, &from) in order.iter().enumerate() {
            if let Ok(i) = old.binary_search_by_key(&from, |&(index, _)| index) {
                let twice = Error::about(Code::InvalidArgument, "an index that comes twice", from as u64);
                moved.push((to as u32, old[i].1.take().ok_or(twice)?));
            }
        }
        for cell in old.iter().filter_map(|&(_, cell)| cell) {
            value::free(m, Guard(at), cell)?;
        }
        array::replace_present(m, at, order.len() as u32, &moved)
    });
    done_or_stale(port, done)
}

fn replace(port: &mut Port, js: Js, [h, version, wire]: [Value; 3]) -> Outcome {
    let (h, wire, version) = (port.u32(js, h)?, port.u32(js, wire)?, expected(js, version));
    let (live, cells) = staged_values(port, wire)?;
    let done = live.change(|m, pins, _| {
        let at = pins.object_of(h, kind::ARRAY)?;
        if !as_expected(m, at, version)? {
            return Err(STALE.into());
        }
        for (_, cell) in array::present(m, at)? {
            value::free(m, Guard(at), cell)?;
        }
        array::replace_all(m, at, &cells)
    });
    done_or_stale(port, done)
}
