//! Values between JavaScript and cells.
//!
//! Inwards: a number, a boolean or a string crosses as it is ([`Input`]); anything else comes as wire in staging.
//! Outwards: an operation *loads* a cell while it runs ([`load`]: everything is copied out, references are
//! pinned), and after its validation the result is *delivered* ([`deliver`]).

use std::sync::atomic::Ordering;

use coheap_heap::objects::cell::{Cell, Tag};
use coheap_heap::objects::mapkey::MapKey;
use coheap_heap::objects::string::Str;
use coheap_heap::objects::{graph, string, view};
use coheap_heap::segment::word::Word;
use coheap_heap::segment::{Code, Error, Off};
use coheap_heap::txn::{Fault, Guard, Mem, Res};

use crate::js::{Js, Type, Value};
use crate::pins::{self, Pins};
use crate::port::{Outcome, Port, State, Status, at};
use crate::staging::Staging;
use crate::text::Text;

/// A value or key as it crossed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input {
    /// A number or a boolean: its cell.
    Cell(Cell),
    /// A string: in the [`Text`] that was given.
    Text,
    /// `undefined`: it is in staging.
    Staged,
}

impl Input {
    /// Looks what `v` is; a string is fetched into `text`.
    #[inline(always)]
    pub fn of(js: Js, v: Value, text: &mut Text) -> Result<Input, Error> {
        match js.as_f64(v) {
            Some(x) => Ok(Input::Cell(Cell::number(x))),
            None => Input::no_number(js, v, text),
        }
    }

    fn no_number(js: Js, v: Value, text: &mut Text) -> Result<Input, Error> {
        match js.type_of(v) {
            Type::String if text.fetch(js, v) => Ok(Input::Text),
            Type::Boolean => Ok(Input::Cell(Cell::bool(js.as_bool(v).unwrap_or(false)))),
            Type::Undefined => Ok(Input::Staged),
            _ => Err(Error::new(Code::InvalidArgument, "a value that cannot cross as it is")),
        }
    }

    /// Its cell, within an operation; what was in staging has been built before ([`crate::live::Live::take_in`]).
    #[inline(always)]
    pub fn build<M: Mem + ?Sized>(self, m: &mut M, text: &Text) -> Res<Cell> {
        match self {
            Input::Cell(cell) => Ok(cell),
            Input::Text => text.build(m),
            Input::Staged => Err(bad_wire("a value that was not taken out of staging")),
        }
    }

    /// The key that finds this value in a map; `None` if it is in staging.
    #[inline]
    pub fn as_map_key(self, text: &Text) -> Option<MapKey<'_>> {
        match self {
            Input::Cell(cell) => Some(cell.as_number().map_or(MapKey::Bits(cell.0), MapKey::number)),
            Input::Text => Some(MapKey::Text(text.as_map_key())),
            Input::Staged => None,
        }
    }
}

/// A live object as `state` and `nums` tell it.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    handle: u32,
    at: Off,
    tag: Tag,
    /// Low half of word 1.
    low: u32,
    view: Option<(view::Info, u32)>,
}

/// What an operation found that does not fit in a cell; kept in [`Pins::found`] till it is delivered.
#[derive(Debug)]
pub enum Found {
    /// A string.
    Text(Str),
    /// A live object.
    Object(Object),
    /// The wire buffer holds it. The block that it came from, and its version.
    Wire(Off, u64),
}

/// The result of [`load`] when it stands in [`Pins::found`]. No cell of a heap has these bits.
const ELSEWHERE: Cell = Cell(Cell::UNDEFINED.0 | 0x100);

/// Loads a cell that `guard` guards: copies what it holds by value, pins what it refers to. Gives a cell without a
/// reference, for [`deliver`]. A result of one word keeps the way of a number in registers (35 ns less than an enum of
/// all that can be found).
#[inline(always)]
pub fn load<M: Mem + ?Sized>(
    m: &mut M,
    guard: Guard,
    cell: Cell,
    pins: &mut Pins,
    out: &mut Vec<u8>,
) -> Res<Cell> {
    if cell.is_number() { Ok(cell) } else { load_tagged(m, guard, cell, pins, out) }
}

fn load_tagged<M: Mem + ?Sized>(
    m: &mut M,
    guard: Guard,
    cell: Cell,
    pins: &mut Pins,
    out: &mut Vec<u8>,
) -> Res<Cell> {
    pins.found = Some(match cell.tag() {
        Some(Tag::Special | Tag::InlineString) => return Ok(cell),
        Some(Tag::String) => Found::Text(string::load(m, guard, cell)?),
        Some(Tag::BigInt | Tag::Packed | Tag::Symbol) => {
            out.clear();
            write(m, guard, cell, pins, out)?;
            let at = cell.offset();
            // Relaxed: the block is immutable; with its offset, the version names this content for a cache
            let version = Word(m.segment().word(at)?.load(Ordering::Relaxed)).version();
            Found::Wire(at, version)
        }
        Some(tag) => Found::Object(object(m, cell, tag, pins)?),
        None => return Err(Error::corrupt("a cell of no kind", cell.0).into()),
    });
    Ok(ELSEWHERE)
}

/// Pins an object and gives it as [`load`] does.
pub fn load_object<M: Mem + ?Sized>(m: &mut M, cell: Cell, pins: &mut Pins) -> Res<Cell> {
    let tag = cell.tag().unwrap_or(Tag::Record);
    pins.found = Some(Found::Object(object(m, cell, tag, pins)?));
    Ok(ELSEWHERE)
}

/// Pins an object and loads what `state` tells of it.
fn object<M: Mem + ?Sized>(m: &mut M, cell: Cell, tag: Tag, pins: &mut Pins) -> Res<Object> {
    let at = cell.offset();
    let handle = pins.pin(cell)?;
    // as it stands, not as a transaction sees it: a hint that native code compares again
    let low = pins::word1(m.segment(), at)?.low();
    let mut object = Object { handle, at, tag, low, view: None };
    if tag == Tag::View {
        // written once, before the view was linked, and the view is pinned
        let info = view::info(m, at)?;
        let buffer = pins.pin(Cell::reference(Tag::Buffer, info.buffer))?;
        object.view = Some((info, buffer));
    }
    Ok(object)
}

/// Appends a value to a wire: live objects as handles, by-value ones with their content.
#[inline]
pub fn write<M: Mem + ?Sized>(
    m: &mut M,
    guard: Guard,
    cell: Cell,
    pins: &mut Pins,
    out: &mut Vec<u8>,
) -> Res<()> {
    graph::export(m, guard, cell, out, &mut |at, tag| pins.pin(Cell::reference(tag, at)))
}

/// Gives what [`load`] has loaded to JavaScript.
#[inline(always)]
pub fn deliver(port: &mut Port, js: Js, cell: Cell) -> Outcome {
    match cell.as_number() {
        Some(x) => Ok(js.number(x)),
        None => deliver_tagged(port, js, cell),
    }
}

/// As [`deliver`]; a number crosses in the state buffer, without a handle or a heap number of Node's (15 ns less).
#[inline(always)]
pub fn deliver_by_state(port: &mut Port, js: Js, cell: Cell) -> Outcome {
    match cell.as_number() {
        Some(x) => {
            port.state.status(Status::Number);
            port.state.number(at::VALUE, x);
            Ok(Value::NOTHING)
        }
        None => deliver_tagged(port, js, cell),
    }
}

fn deliver_tagged(port: &mut Port, js: Js, cell: Cell) -> Outcome {
    Ok(match cell {
        Cell::UNDEFINED => Value::NOTHING,
        Cell::NULL => js.null(),
        Cell::FALSE => js.boolean(false),
        Cell::TRUE => js.boolean(true),
        ELSEWHERE => return deliver_found(port, js),
        cell if cell.tag() == Some(Tag::InlineString) => {
            let (chars, n) = cell.inline_chars();
            js.latin1(&chars[..n])
        }
        _ => {
            port.state.status(Status::Absent);
            Value::NOTHING
        }
    })
}

fn deliver_found(port: &mut Port, js: Js) -> Outcome {
    let live = port.live()?;
    match live.pins.found.take() {
        Some(Found::Text(Str::Latin1(chars))) => Ok(js.latin1(&chars)),
        Some(Found::Text(Str::Utf16(units))) => Ok(js.utf16(&units)),
        Some(Found::Object(object)) => {
            if let Some(wrapper) = live.pins.wrappers.wrapper(js, object.handle) {
                return Ok(wrapper);
            }
            tell(&mut port.state, &object);
            Ok(Value::NOTHING)
        }
        Some(Found::Wire(at, version)) => {
            port.state.number(4, at as f64);
            port.state.number(5, version as f64);
            port.deliver_out(js)
        }
        None => Ok(Value::NOTHING),
    }
}

/// OBJECT: a live object without a wrapper.
fn tell(state: &mut State, object: &Object) {
    state.status(Status::Object);
    state.word(1, object.handle);
    state.word(2, object.tag as u32);
    state.word(3, object.low);
    state.number(3, object.at as f64);
    if let Some((info, buffer)) = object.view {
        state.word(4, info.kind as u32);
        state.word(5, buffer);
        state.number(4, info.byte_offset as f64);
        state.number(5, info.length as f64);
    }
}

/// WIRE: what stands in `out`.
pub fn deliver_wire(js: Js, state: &mut State, staging: &mut Staging, out: &mut Vec<u8>) -> Outcome {
    /// A buffer that one huge value made is not kept.
    const KEEP: usize = 1 << 20;
    let len = u32::try_from(out.len())
        .map_err(|_| Error::about(Code::InvalidArgument, "more than 4 GiB in one value", out.len() as u64))?;
    staging.write(js, out)?;
    state.word(at::STAGING, staging.generation());
    if out.capacity() > KEEP {
        *out = Vec::new();
    }
    state.status(Status::Wire);
    state.word(1, len);
    Ok(Value::NOTHING)
}

/// The error of a wire that is not what a call takes.
pub fn bad_wire(what: &'static str) -> Fault {
    Fault::Error(Error::new(Code::InvalidArgument, what))
}
