//! Calls on records, and on the named properties of arrays.

use std::ffi::CStr;

use coheap_heap::objects::array;
use coheap_heap::objects::cell::{Cell, kind};
use coheap_heap::objects::key::Key;
use coheap_heap::objects::record::{self, SLOTS};
use coheap_heap::objects::shape::{self, Found, ShapeWord};
use coheap_heap::objects::string::Str;
use coheap_heap::objects::wire::Writer;
use coheap_heap::segment::{Code, Error, Off};
use coheap_heap::txn::{Guard, Mem, Res};

use crate::convert::{self, Input, deliver, deliver_by_state};
use crate::js::{Js, Value};
use crate::live::Call;
use crate::pins::Pins;
use crate::port::{Callback, Outcome, Parts, Port, Status, at};
use crate::text::Text;

/// See `js/port.ts`.
pub const CALLS: &[(&CStr, Callback)] = crate::calls![
    c"get" => get,
    c"getSlot" => get_slot,
    c"set" => set,
    c"setSlot" => set_slot,
    c"setSlotNumber" => set_slot_number,
    c"has" => has,
    c"delete" => delete,
    c"keys" => keys,
    c"entries" => entries,
    c"shapeInfo" => shape_info,
    c"rootShape" => root_shape,
    c"className" => class_name,
    c"shapeClass" => shape_class,
    c"shapeChild" => shape_child,
];

/// The property key of a call.
fn property_key(js: Js, text: &mut Text, key: Value, symbol: Value) -> Result<Key, Error> {
    if !text.fetch(js, key) {
        return Err(Error::new(Code::InvalidArgument, "a property key is a string"));
    }
    Ok(text.to_key(js.as_bool(symbol).unwrap_or(false)))
}

fn get(port: &mut Port, js: Js, [h, key, symbol]: [Value; 3]) -> Outcome {
    let h = port.u32(js, h)?;
    let Parts { live, text, .. } = port.parts()?;
    let key = property_key(js, text, key, symbol)?;
    let found = live.look(|m, pins, out| {
        let object = pins.object(h)?;
        let cell = match object.kind {
            kind::RECORD => record::get(m, object.at, &key)?,
            kind::ARRAY => array_get(m, object.at, &key)?,
            _ => return Err(no_properties(h)),
        };
        match cell {
            Some(cell) => convert::load(m, Guard(object.at), cell, pins, out),
            None => Ok(Cell::ABSENT),
        }
    })?;
    deliver(port, js, found)
}

// A key of an array that is an index names an element.

fn array_get<M: Mem + ?Sized>(m: &mut M, at: Off, key: &Key) -> Res<Option<Cell>> {
    match key.as_index() {
        Some(index) => array::get(m, at, index),
        None => array::get_named(m, at, key),
    }
}

fn array_set<M: Mem + ?Sized>(m: &mut M, at: Off, key: &Key, cell: Cell) -> Res<()> {
    match key.as_index() {
        Some(index) => array::set(m, at, index, cell),
        None => array::set_named(m, at, key, cell),
    }
}

fn array_delete<M: Mem + ?Sized>(m: &mut M, at: Off, key: &Key) -> Res<bool> {
    match key.as_index() {
        Some(index) => array::delete(m, at, index),
        None => array::delete_named(m, at, key),
    }
}

#[cold]
fn no_properties(h: u32) -> coheap_heap::txn::Fault {
    Error::about(Code::InvalidArgument, "an object of this kind has no properties", h as u64).into()
}

struct GetSlot {
    h: u32,
    word: ShapeWord,
    slot: usize,
}

/// What [`GetSlot`] gives when the shape is another. No cell of a heap has these bits.
const STALE: Cell = Cell(Cell::UNDEFINED.0 | 0x200);

impl Call for GetSlot {
    type Out = Cell;
    #[inline(always)]
    fn run<M: Mem>(&mut self, m: &mut M, pins: &mut Pins, out: &mut Vec<u8>) -> Res<Cell> {
        let at = pins.object_of(self.h, kind::RECORD)?;
        match record::get_slot(m, at, self.word, self.slot)? {
            Some(cell) => convert::load(m, Guard(at), cell, pins, out),
            None => Ok(STALE),
        }
    }
}

/// The handle, shape word and slot of a call that finds them in the state buffer.
#[inline(always)]
fn place(port: &Port) -> (u32, ShapeWord, usize) {
    let state = &port.state;
    let (h, word, slot) =
        (state.told_word(at::HANDLE), state.told_word(at::SHAPE), state.told_word(at::SLOT));
    (h, ShapeWord(word), slot as usize)
}

fn get_slot(port: &mut Port, js: Js, []: [Value; 0]) -> Outcome {
    let (h, word, slot) = place(port);
    match port.live()?.read(GetSlot { h, word, slot })? {
        STALE => stale(port),
        found => deliver_by_state(port, js, found),
    }
}

fn stale(port: &mut Port) -> Outcome {
    port.state.status(Status::Stale);
    Ok(Value::NOTHING)
}

fn set(port: &mut Port, js: Js, [h, key, value, wire, symbol]: [Value; 5]) -> Outcome {
    let h = port.u32(js, h)?;
    let Parts { live, staging, text, .. } = port.parts()?;
    let key = property_key(js, text, key, symbol)?;
    let input = Input::of(js, value, text)?;
    let value = live.take_in(js, input, staging, wire)?;
    live.change(|m, pins, _| {
        let object = pins.object(h)?;
        match object.kind {
            kind::RECORD => {
                let cell = value.build(m, text)?;
                record::set(m, object.at, &key, cell)
            }
            kind::ARRAY => {
                let cell = value.build(m, text)?;
                array_set(m, object.at, &key, cell)
            }
            _ => Err(no_properties(h)),
        }
    })?;
    Ok(Value::NOTHING)
}

struct SetSlot<'a> {
    h: u32,
    word: ShapeWord,
    slot: usize,
    value: Input,
    text: &'a Text,
}

impl Call for SetSlot<'_> {
    type Out = bool;
    #[inline(always)]
    fn run<M: Mem>(&mut self, m: &mut M, pins: &mut Pins, _: &mut Vec<u8>) -> Res<bool> {
        let at = pins.object_of(self.h, kind::RECORD)?;
        let cell = self.value.build(m, self.text)?;
        record::set_slot(m, at, self.word, self.slot, cell)
    }
}

fn set_slot(port: &mut Port, js: Js, [value]: [Value; 1]) -> Outcome {
    let (h, word, slot) = place(port);
    let wire = port.state.told_word(at::WIRE);
    let Parts { live, staging, text, .. } = port.parts()?;
    let input = Input::of(js, value, text)?;
    let value = live.take_in_bytes(input, staging, wire)?;
    let there = live.write(SetSlot { h, word, slot, value, text })?;
    if there { Ok(Value::NOTHING) } else { stale(port) }
}

fn set_slot_number(port: &mut Port, _: Js, []: [Value; 0]) -> Outcome {
    let (h, word, slot) = place(port);
    let value = Input::Cell(Cell::number(port.state.told_number(at::VALUE)));
    let Parts { live, text, .. } = port.parts()?;
    let there = live.write(SetSlot { h, word, slot, value, text })?;
    if there { Ok(Value::NOTHING) } else { stale(port) }
}

fn has(port: &mut Port, js: Js, [h, key, symbol]: [Value; 3]) -> Outcome {
    let h = port.u32(js, h)?;
    let Parts { live, text, .. } = port.parts()?;
    let key = property_key(js, text, key, symbol)?;
    let has = live.look(|m, pins, _| {
        let object = pins.object(h)?;
        match object.kind {
            kind::RECORD => record::has(m, object.at, &key),
            kind::ARRAY => Ok(array_get(m, object.at, &key)?.is_some()),
            _ => Err(no_properties(h)),
        }
    })?;
    Ok(js.boolean(has))
}

fn delete(port: &mut Port, js: Js, [h, key, symbol]: [Value; 3]) -> Outcome {
    let h = port.u32(js, h)?;
    let Parts { live, text, .. } = port.parts()?;
    let key = property_key(js, text, key, symbol)?;
    let there = live.change(|m, pins, _| {
        let object = pins.object(h)?;
        match object.kind {
            kind::RECORD => record::delete(m, object.at, &key),
            kind::ARRAY => array_delete(m, object.at, &key),
            _ => Err(no_properties(h)),
        }
    })?;
    Ok(js.boolean(there))
}

/// `state[3]` = shape word; OK: the keys are exactly its shape's.
fn keys(port: &mut Port, js: Js, [h]: [Value; 1]) -> Outcome {
    let h = port.u32(js, h)?;
    let (word, listed) = port.live()?.look(|m, pins, out| {
        let object = pins.object(h)?;
        let keys = match object.kind {
            kind::RECORD => {
                let word = record::shape_word(m, object.at)?;
                if !word.is_dictionary() && !word.has_deleted() {
                    return Ok((word.0, false));
                }
                record::keys(m, object.at)?
            }
            kind::ARRAY => array::entries_named(m, object.at)?.into_iter().map(|(key, _)| key).collect(),
            _ => return Err(no_properties(h)),
        };
        out.clear();
        let mut wire = Writer(out);
        wire.u32(keys.len() as u32);
        keys.iter().for_each(|key| wire.property_key(key));
        Ok((record_word(m, object.kind, object.at)?, true))
    })?;
    port.state.word(3, word);
    if listed { port.deliver_out(js) } else { Ok(Value::NOTHING) }
}

fn record_word<M: Mem + ?Sized>(m: &mut M, kind: u8, at: Off) -> Res<u32> {
    if kind == kind::RECORD { Ok(record::shape_word(m, at)?.0) } else { Ok(0) }
}

fn entries(port: &mut Port, js: Js, [h]: [Value; 1]) -> Outcome {
    let h = port.u32(js, h)?;
    port.live()?.look(|m, pins, out| {
        let object = pins.object(h)?;
        let entries: Vec<(Key, Cell)> = match object.kind {
            kind::RECORD => record::entries(m, object.at)?,
            kind::ARRAY => array::entries_named(m, object.at)?,
            _ => return Err(no_properties(h)),
        };
        out.clear();
        Writer(out).u32(entries.len() as u32);
        for (key, cell) in &entries {
            Writer(out).property_key(key);
            convert::write(m, Guard(object.at), *cell, pins, out)?;
        }
        Ok(())
    })?;
    port.deliver_out(js)
}

fn shape_info(port: &mut Port, js: Js, [word]: [Value; 1]) -> Outcome {
    let word = ShapeWord(port.u32(js, word)?);
    port.live()?.look_aside(|m, _, out| {
        let shape = shape::info(m, word.shape())?;
        out.clear();
        let mut wire = Writer(out);
        wire.u32(shape.len() as u32);
        for &slot in &shape.listed {
            let inline = (slot as u32) < word.inline();
            wire.property_key(&shape.keys[slot as usize]);
            wire.number(slot as f64);
            wire.number(if inline { (SLOTS + slot as u64 * 8) as f64 } else { -1.0 });
        }
        Ok(())
    })?;
    port.deliver_out(js)
}

/// The answer where there is no such shape, but could be.
const NOT_YET: f64 = -1.0;

fn root_shape(port: &mut Port, js: Js, [null_prototype, class, make]: [Value; 3]) -> Outcome {
    let null_prototype = js.as_bool(null_prototype).unwrap_or(false);
    let make = js.as_bool(make).unwrap_or(false);
    let Parts { live, text, .. } = port.parts()?;
    let name = text.fetch(js, class).then(|| text.to_key(false));
    let shape = live.build(|m, _| match &name {
        Some(name) if make => {
            let class = shape::class_of(m, name.text())?;
            shape::class_root(m, class).map(Some)
        }
        Some(name) => shape::find_class_root(m, name.text()),
        None => shape::root(m, null_prototype).map(Some),
    })?;
    Ok(js.number(shape.map_or(NOT_YET, |shape| ShapeWord::new(shape.id, 0).0 as f64)))
}

fn shape_class(port: &mut Port, js: Js, [word]: [Value; 1]) -> Outcome {
    let word = ShapeWord(port.u32(js, word)?);
    let (null_prototype, class) = port.live()?.look_aside(|m, _, _| {
        let shape = shape::info(m, word.shape())?;
        Ok((shape.null_proto, shape.class))
    })?;
    port.state.word(4, null_prototype as u32);
    port.state.word(5, class);
    Ok(Value::NOTHING)
}

fn class_name(port: &mut Port, js: Js, [class]: [Value; 1]) -> Outcome {
    let class = port.u32(js, class)?;
    match shape::class_name(port.live()?.segment(), class)? {
        Str::Latin1(chars) => Ok(js.latin1(&chars)),
        Str::Utf16(units) => Ok(js.utf16(&units)),
    }
}

fn shape_child(port: &mut Port, js: Js, [word, key, make]: [Value; 3]) -> Outcome {
    let word = ShapeWord(port.u32(js, word)?);
    let make = js.as_bool(make).unwrap_or(false);
    let Parts { live, text, .. } = port.parts()?;
    let key = property_key(js, text, key, Value::NOTHING)?;
    let found = live.build(|m, _| {
        let parent = shape::info(m, word.shape())?;
        if parent.slot(&key).is_some() {
            return Ok(Found::NoRoom);
        }
        if make {
            Ok(shape::child(m, &parent, &key)?.map_or(Found::NoRoom, Found::Known))
        } else {
            shape::find_child(m, &parent, &key)
        }
    })?;
    Ok(js.number(match found {
        Found::Known(shape) => word.with_shape(shape.id).0 as f64,
        Found::NotYet => NOT_YET,
        Found::NoRoom => 0.0,
    }))
}
