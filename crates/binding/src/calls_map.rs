//! Calls on maps and sets.

use std::ffi::CStr;

use coheap_heap::objects::cell::{Cell, kind};
use coheap_heap::objects::graph;
use coheap_heap::objects::mapkey::MapKey;
use coheap_heap::objects::wire::Writer;
use coheap_heap::objects::{map, map_iter};
use coheap_heap::segment::{Code, Error};
use coheap_heap::txn::{Fault, Mem, Res};

use crate::convert::{self, Input, bad_wire, deliver, deliver_by_state};
use crate::js::{Js, Value};
use crate::keys::KeyIn;
use crate::live::{Call, Live};
use crate::pins::Pins;
use crate::port::{Callback, Outcome, Parts, Port, State, at};
use crate::staging::Staging;
use crate::text::Text;

/// See `js/port.ts`.
pub const CALLS: &[(&CStr, Callback)] = crate::calls![
    c"size" => size,
    c"mapGet" => get,
    c"mapHas" => has,
    c"mapSet" => set,
    c"mapGetOrInsert" => get_or_insert,
    c"mapDelete" => delete,
    c"mapClear" => clear,
    c"setAdd" => add,
    c"mapEntries" => entries,
];

fn size(port: &mut Port, js: Js, [h]: [Value; 1]) -> Outcome {
    let h = port.u32(js, h)?;
    let size = port.live()?.look(|m, pins, _| map::size(m, pins.map_or_set(h)?))?;
    Ok(js.number(size as f64))
}

/// The wire of a call that has a key; empty for one that has none staged.
#[inline(always)]
fn wire_of(js: Js, staging: &Staging, bytes: Value) -> Result<&[u8], Error> {
    match js.as_u32(bytes) {
        Some(bytes) if bytes > 0 => staging.read(bytes as usize),
        _ => Ok(&[]),
    }
}

struct Get<'a> {
    h: u32,
    key: &'a MapKey<'a>,
}

/// As [`Get`], and where the entry stands.
struct GetPlace<'a> {
    h: u32,
    key: &'a MapKey<'a>,
    place: &'a mut Option<map::Place>,
}

impl Call for GetPlace<'_> {
    type Out = Cell;
    fn run<M: Mem>(&mut self, m: &mut M, pins: &mut Pins, out: &mut Vec<u8>) -> Res<Cell> {
        let map = pins.object_of(self.h, kind::MAP)?;
        match map::get_place(m, map, self.key)? {
            Some((cell, guard, place)) => {
                *self.place = place;
                convert::load(m, guard, cell, pins, out)
            }
            None => {
                *self.place = None;
                Ok(Cell::ABSENT)
            }
        }
    }
}

impl Call for Get<'_> {
    type Out = Cell;
    #[inline(always)]
    fn run<M: Mem>(&mut self, m: &mut M, pins: &mut Pins, out: &mut Vec<u8>) -> Res<Cell> {
        let map = pins.object_of(self.h, kind::MAP)?;
        match map::get(m, map, self.key)? {
            Some((cell, guard)) => convert::load(m, guard, cell, pins, out),
            None => Ok(Cell::ABSENT),
        }
    }
}

/// The handle, and the bytes in staging, of a call that finds them in the state buffer.
#[inline(always)]
fn place(port: &Port) -> (u32, usize) {
    (port.state.told_word(at::HANDLE), port.state.told_word(at::WIRE) as usize)
}

fn get(port: &mut Port, js: Js, [key]: [Value; 1]) -> Outcome {
    let (h, wire) = place(port);
    let asked = port.state.told_word(at::PLACE) != 0;
    let Parts { live, staging, text, .. } = port.parts()?;
    let input = Input::of(js, key, text)?;
    let key = KeyIn::find(input, text, staging.read(wire)?, live)?;
    if asked {
        let mut place = None;
        let found = live.read(GetPlace { h, key: &key, place: &mut place })?;
        tell(&mut port.state, place);
        return deliver_by_state(port, js, found);
    }
    let found = live.read(Get { h, key: &key })?;
    deliver_by_state(port, js, found)
}

/// Says where an entry stands.
fn tell(state: &mut State, place: Option<map::Place>) {
    state.word(at::PLACE, place.is_some() as u32);
    if let Some(place) = place {
        let block = if place.key_word == 0 { 0 } else { place.key.offset() };
        for (i, offset) in [
            (at::GUARD, place.guard.0),
            (at::KEY_AT, place.key_at),
            (at::BODY, place.body),
            (at::STRIPES, place.stripes),
            (at::KEY_BLOCK, block),
        ] {
            state.number(i, offset as f64);
        }
        state.word(at::KEY_CELL, place.key.0 as u32);
        state.word(at::KEY_CELL + 1, (place.key.0 >> 32) as u32);
        state.word(at::KEY_WORD, place.key_word as u32);
    }
}

struct Has<'a> {
    h: u32,
    key: &'a MapKey<'a>,
}

impl Call for Has<'_> {
    type Out = bool;
    #[inline(always)]
    fn run<M: Mem>(&mut self, m: &mut M, pins: &mut Pins, _: &mut Vec<u8>) -> Res<bool> {
        map::has(m, pins.map_or_set(self.h)?, self.key)
    }
}

fn has(port: &mut Port, js: Js, [key]: [Value; 1]) -> Outcome {
    let (h, wire) = place(port);
    let Parts { live, staging, text, .. } = port.parts()?;
    let input = Input::of(js, key, text)?;
    let key = KeyIn::find(input, text, staging.read(wire)?, live)?;
    let has = live.read(Has { h, key: &key })?;
    Ok(js.boolean(has))
}

struct Set<'a, 'k> {
    h: u32,
    key: &'a KeyIn<'k>,
    value: Input,
    text: &'a Text,
}

impl Call for Set<'_, '_> {
    type Out = bool;
    #[inline(always)]
    fn run<M: Mem>(&mut self, m: &mut M, pins: &mut Pins, _: &mut Vec<u8>) -> Res<bool> {
        let map = pins.object_of(self.h, kind::MAP)?;
        let value = self.value.build(m, self.text)?;
        map::set(m, map, &self.key.key, |m| self.key.build(m), value)
    }
}

/// The value of a call that has a key before it: what is left of the wire, if it is staged.
fn staged_value(live: &mut Live, input: Input, rest: &[u8]) -> Result<Input, Fault> {
    match input {
        Input::Staged => Ok(Input::Cell(live.build(|m, resolve| graph::build(m, rest, resolve))?)),
        ready if rest.is_empty() => Ok(ready),
        _ => Err(bad_wire("a wire that goes on")),
    }
}

fn set(port: &mut Port, js: Js, [key, value]: [Value; 2]) -> Outcome {
    let (h, wire) = place(port);
    let Parts { live, staging, text, text2 } = port.parts()?;
    let (input, value) = (Input::of(js, key, text)?, Input::of(js, value, text2)?);
    let (key, rest) = KeyIn::of(input, text, staging.read(wire)?, live)?;
    let value = staged_value(live, value, rest)?;
    live.write(Set { h, key: &key, value, text: text2 })?;
    Ok(Value::NOTHING)
}

/// Undoes an insertion whose key has come meanwhile.
const THERE: Error = Error::new(Code::Exists, "the key is there");

fn get_or_insert(port: &mut Port, js: Js, [h, key, value, wire]: [Value; 4]) -> Outcome {
    let h = port.u32(js, h)?;
    let Parts { live, staging, text, text2 } = port.parts()?;
    let wire = wire_of(js, staging, wire)?;
    let (input, value) = (Input::of(js, key, text)?, Input::of(js, value, text2)?);
    let wanted = KeyIn::find(input, text, wire, live)?;
    let found = loop {
        match live.read(Get { h, key: &wanted })? {
            Cell::ABSENT => {}
            found => break found,
        }
        let (key, rest) = KeyIn::of(input, text, wire, live)?;
        let value = staged_value(live, value, rest)?;
        let inserted = live.change(|m, pins, out| {
            let map = pins.object_of(h, kind::MAP)?;
            let make = |m: &mut _| value.build(m, text2);
            let (cell, guard, is_new) = map::get_or_insert(m, map, &key.key, |m| key.build(m), make)?;
            if is_new { convert::load(m, guard, cell, pins, out) } else { Err(THERE.into()) }
        });
        match inserted {
            // somebody was quicker: what was built has been given back
            Err(Fault::Error(THERE)) => {}
            settled => break settled?,
        }
    };
    deliver(port, js, found)
}

fn delete(port: &mut Port, js: Js, [h, key, wire]: [Value; 3]) -> Outcome {
    let h = port.u32(js, h)?;
    let Parts { live, staging, text, .. } = port.parts()?;
    let input = Input::of(js, key, text)?;
    let key = KeyIn::find(input, text, wire_of(js, staging, wire)?, live)?;
    let there = live.change(|m, pins, _| map::delete(m, pins.map_or_set(h)?, &key))?;
    Ok(js.boolean(there))
}

fn clear(port: &mut Port, js: Js, [h]: [Value; 1]) -> Outcome {
    let h = port.u32(js, h)?;
    port.live()?.change(|m, pins, _| map::clear(m, pins.map_or_set(h)?))?;
    Ok(Value::NOTHING)
}

struct Add<'a, 'k> {
    h: u32,
    key: &'a KeyIn<'k>,
}

impl Call for Add<'_, '_> {
    type Out = bool;
    #[inline(always)]
    fn run<M: Mem>(&mut self, m: &mut M, pins: &mut Pins, _: &mut Vec<u8>) -> Res<bool> {
        map::add(m, pins.object_of(self.h, kind::SET)?, &self.key.key, |m| self.key.build(m))
    }
}

fn add(port: &mut Port, js: Js, [key]: [Value; 1]) -> Outcome {
    let (h, wire) = place(port);
    let Parts { live, staging, text, .. } = port.parts()?;
    let input = Input::of(js, key, text)?;
    let (key, _) = KeyIn::of(input, text, staging.read(wire)?, live)?;
    live.write(Add { h, key: &key })?;
    Ok(Value::NOTHING)
}

fn entries(port: &mut Port, js: Js, [h, after, max]: [Value; 3]) -> Outcome {
    let (h, max) = (port.u32(js, h)?, port.u32(js, max)?);
    let after = port.u64(js, after)?;
    let last = port.live()?.look(|m, pins, out| {
        let object = pins.map_or_set(h)?;
        let mut steps = Vec::new();
        map_iter::entries_from(m, object, after, None, max as usize, true, &mut steps)?;
        out.clear();
        Writer(out).u32(steps.len() as u32);
        for step in &steps {
            Writer(out).u64(step.number);
            convert::write(m, step.key_guard, step.key, pins, out)?;
            if step.value != Cell::ABSENT {
                convert::write(m, step.value_guard, step.value, pins, out)?;
            }
        }
        Ok(steps.last().map_or(after, |step| step.number))
    })?;
    port.state.number(7, last as f64);
    port.deliver_out(js)
}
