//! From the wire into fresh blocks.
//!
//! A container's identity block is allocated when its head is read, so that members can refer back to it; its
//! members are gathered in the frame; the block is completed when the last of them is there. Only fresh blocks
//! are written, nothing is stored: a wire that turns out malformed leaves nothing behind but blocks that the
//! operation gives back.

use std::collections::HashSet;
use std::rc::Rc;

use coheap_segment::Off;
use coheap_txn::{Block, Mem, Res};

use crate::bigint::{self, BigInt};
use crate::cell::{Cell, Tag};
use crate::key::Key;
use crate::map_build::MapBuilder;
use crate::mapkey::{MapKey, Text};
use crate::shape::{self, Shape, ShapeWord};
use crate::string::{self, Str};
use crate::view::{self, ViewKind};
use crate::wire::{Item, Reader, malformed};
use crate::{array, buffer, map, packed, record};

/// What is being built, and what of it is there.
enum Kind<'w> {
    Object {
        block: Block,
        root: Rc<Shape>,
        key: Option<Key>,
        pairs: Vec<(Key, Cell)>,
    },
    Shaped {
        block: Block,
        shape: u16,
        cells: Vec<Cell>,
    },
    Array {
        block: Block,
        length: u32,
        cells: Vec<Cell>,
        /// The elements come first, then further properties.
        elements: bool,
        key: Option<Key>,
        extra: Vec<(Key, Cell)>,
        names: HashSet<Key>,
    },
    Map {
        at: Off,
        builder: MapBuilder<'w>,
        key: Option<(MapKey<'w>, Cell)>,
    },
    Set {
        at: Off,
        builder: MapBuilder<'w>,
    },
    View {
        at: Off,
        kind: ViewKind,
        byte_offset: u64,
        length: u64,
        buffer: Option<Off>,
    },
    Packed {
        what: u8,
        refs: Vec<Cell>,
        content: &'w [u8],
    },
}

struct Frame<'w> {
    kind: Kind<'w>,
    /// Values still to come.
    left: u32,
}

/// What may stand at a place of the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Value,
    /// Holes as well.
    Element,
    Nothing,
}

impl<'w> Frame<'w> {
    /// Reads what comes before the next value.
    fn next(&mut self, wire: &mut Reader<'w>) -> Res<Want> {
        if self.left == 0 {
            match &mut self.kind {
                Kind::Array { elements, .. } if *elements => {
                    *elements = false;
                    self.left = wire.pairs()?;
                }
                Kind::Packed { content, .. } => {
                    let bytes = wire.u32()?;
                    *content = wire.take(bytes as u64)?;
                }
                _ => {}
            }
            if self.left == 0 {
                return Ok(Want::Nothing);
            }
        }
        self.left -= 1;
        match &mut self.kind {
            Kind::Object { key, .. } => *key = Some(wire.property_key()?),
            Kind::Array { elements: true, .. } => return Ok(Want::Element),
            Kind::Array { key, .. } => *key = Some(wire.property_key()?),
            _ => {}
        }
        Ok(Want::Value)
    }

    /// Takes the value that was wanted. `as_key` is what it is as a key of a map.
    fn take<M: Mem + ?Sized>(&mut self, m: &M, cell: Cell, as_key: MapKey<'w>, at: usize) -> Res<()> {
        let pushed = match &mut self.kind {
            Kind::Object { key, pairs, .. } => {
                pairs.extend(key.take().map(|key| (key, cell)));
                true
            }
            Kind::Shaped { cells, .. } | Kind::Array { cells, elements: true, .. } => {
                cells.push(cell);
                true
            }
            Kind::Array { key, extra, names, .. } => match key.take() {
                Some(key) => {
                    let new = names.insert(key.clone());
                    extra.push((key, cell));
                    new
                }
                None => false,
            },
            Kind::Map { builder, key, .. } => match key.take() {
                None => {
                    *key = Some((as_key, cell));
                    self.left += 1;
                    true
                }
                Some((key, key_cell)) => builder.push(m, key, key_cell, cell),
            },
            Kind::Set { builder, .. } => builder.push(m, as_key, cell, Cell::ABSENT),
            Kind::View { buffer, .. } => {
                *buffer = Some(cell.offset());
                cell.tag() == Some(Tag::Buffer)
            }
            Kind::Packed { refs, .. } => {
                refs.push(cell);
                cell.is_identity()
            }
        };
        if pushed { Ok(()) } else { Err(malformed("a member that cannot be there", at)) }
    }

    /// Completes the block.
    fn finish<M: Mem + ?Sized>(self, m: &mut M) -> Res<Cell> {
        Ok(match self.kind {
            Kind::Object { block, root, pairs, .. } => {
                record::fill(m, block, root, &pairs)?;
                Cell::reference(Tag::Record, block.at)
            }
            Kind::Shaped { block, shape, cells } => {
                record::fill_shaped(m, block, shape, &cells)?;
                Cell::reference(Tag::Record, block.at)
            }
            Kind::Array { block, length, cells, extra, .. } => {
                array::fill(m, block, length, &cells, &extra)?;
                Cell::reference(Tag::Array, block.at)
            }
            Kind::Map { at, builder, .. } => {
                builder.finish(m, at)?;
                Cell::reference(Tag::Map, at)
            }
            Kind::Set { at, builder } => {
                builder.finish(m, at)?;
                Cell::reference(Tag::Set, at)
            }
            Kind::View { at, kind, byte_offset, length, buffer } => {
                let buffer = buffer.ok_or_else(|| malformed("a view without a buffer", 0))?;
                let len = buffer::info_of(m, buffer)?.len;
                view::init(m, at, view::Info { kind, buffer, byte_offset, length }, len)?;
                Cell::reference(Tag::View, at)
            }
            Kind::Packed { what, refs, content } => packed::build(m, what, &refs, content)?,
        })
    }
}

/// Builds the one value of this wire. `resolve` tells the live object of a handle.
///
/// `ERR_COHEAP_INVALID_ARGUMENT` for a malformed wire, also if something follows the value.
pub fn build<M: Mem + ?Sized>(
    m: &mut M,
    wire: &[u8],
    resolve: &mut dyn FnMut(u32) -> Res<Cell>,
) -> Res<Cell> {
    let mut reader = Reader::new(wire);
    let cell = build_next(m, &mut reader, resolve)?;
    at_end(&reader)?;
    Ok(cell)
}

/// Builds the values of a wire that holds a u32 count and so many values. Holes are values too.
pub fn build_all<M: Mem + ?Sized>(
    m: &mut M,
    wire: &[u8],
    resolve: &mut dyn FnMut(u32) -> Res<Cell>,
) -> Res<Vec<Cell>> {
    let mut reader = Reader::new(wire);
    let count = reader.pairs()?;
    let mut cells = Vec::with_capacity(count as usize);
    for _ in 0..count {
        cells.push(match reader.integer() {
            Some(cell) => cell,
            None => one(m, &mut reader, resolve, Want::Element)?,
        });
    }
    at_end(&reader)?;
    Ok(cells)
}

/// Builds the next value of a wire.
pub fn build_next<M: Mem + ?Sized>(
    m: &mut M,
    wire: &mut Reader<'_>,
    resolve: &mut dyn FnMut(u32) -> Res<Cell>,
) -> Res<Cell> {
    one(m, wire, resolve, Want::Value)
}

fn at_end(reader: &Reader<'_>) -> Res<()> {
    if reader.left() == 0 { Ok(()) } else { Err(malformed("a wire that goes on", reader.position())) }
}

/// The next value. Most are of a few kinds that need no frame, and half of their time would be spent on having one.
#[inline]
fn one<M: Mem + ?Sized>(
    m: &mut M,
    wire: &mut Reader<'_>,
    resolve: &mut dyn FnMut(u32) -> Res<Cell>,
    top: Want,
) -> Res<Cell> {
    let start = wire.position();
    match wire.item()? {
        Item::Cell(cell) if cell != Cell::HOLE || top == Want::Element => Ok(cell),
        Item::Text(Text::Latin1(chars)) => string::build_latin1(m, &chars),
        Item::Packed { what, count: 0 } => {
            let bytes = wire.u32()?;
            packed::build(m, what, &[], wire.take(bytes as u64)?)
        }
        _ => {
            wire.rewind(start);
            any(m, wire, resolve, top)
        }
    }
}

fn any<'w, M: Mem + ?Sized>(
    m: &mut M,
    wire: &mut Reader<'w>,
    resolve: &mut dyn FnMut(u32) -> Res<Cell>,
    top: Want,
) -> Res<Cell> {
    let mut frames: Vec<Frame<'w>> = Vec::new();
    let mut ids: Vec<Cell> = Vec::new();
    loop {
        let start = wire.position();
        let want = match frames.last_mut() {
            Some(frame) => frame.next(wire)?,
            None => top,
        };
        let (cell, as_key) = if want == Want::Nothing {
            let Some(frame) = frames.pop() else {
                return Err(malformed("no value", start));
            };
            let cell = frame.finish(m)?;
            (cell, if cell.is_identity() { MapKey::Bits(cell.0) } else { MapKey::Unique })
        } else {
            let item = wire.item()?;
            match leaf(m, &item, &ids, want, start, resolve)? {
                Some(cell) => (cell, item.map_key().unwrap_or(MapKey::Bits(cell.0))),
                None => match open(m, item, &mut ids, start)? {
                    Opened::Frame(frame) => {
                        frames.push(frame);
                        continue;
                    }
                    Opened::Done(cell) => (cell, MapKey::Bits(cell.0)),
                },
            }
        };
        match frames.last_mut() {
            Some(frame) => frame.take(m, cell, as_key, start)?,
            None => return Ok(cell),
        }
    }
}

/// The cell of a value that is complete in itself; `None` for a container.
fn leaf<M: Mem + ?Sized>(
    m: &mut M,
    item: &Item<'_>,
    ids: &[Cell],
    want: Want,
    at: usize,
    resolve: &mut dyn FnMut(u32) -> Res<Cell>,
) -> Res<Option<Cell>> {
    Ok(Some(match item {
        Item::Cell(cell) if *cell == Cell::HOLE && want != Want::Element => {
            return Err(malformed("a hole outside of an array", at));
        }
        Item::Cell(cell) => *cell,
        Item::Text(Text::Latin1(chars)) => string::build_latin1(m, chars)?,
        Item::Text(Text::Utf16(units)) => string::build_utf16_le(m, units)?,
        Item::Symbol(key) => string::build_symbol(m, &Str::from(key))?,
        Item::BigInt(negative, limbs) => {
            let limbs: Vec<u64> = limbs
                .chunks_exact(8)
                .map(|limb| limb.iter().rev().fold(0, |x, &byte| x << 8 | byte as u64))
                .collect();
            bigint::build(m, &BigInt::new(*negative, limbs))?
        }
        Item::Back(id) => match ids.get(*id as usize) {
            Some(cell) => *cell,
            None => return Err(malformed("a reference back to nothing", at)),
        },
        Item::Live(handle) => {
            let cell = resolve(*handle)?;
            if !cell.is_identity() {
                return Err(malformed("a handle of no live object", at));
            }
            cell
        }
        _ => return Ok(None),
    }))
}

enum Opened<'w> {
    Frame(Frame<'w>),
    /// It has no members.
    Done(Cell),
}

/// Allocates a container's identity and begins to gather its members.
fn open<'w, M: Mem + ?Sized>(m: &mut M, item: Item<'w>, ids: &mut Vec<Cell>, at: usize) -> Res<Opened<'w>> {
    let mut enter = |id: u32, tag: Tag, offset: Off| {
        if id as usize != ids.len() {
            return Err(malformed("containers out of order", at));
        }
        ids.push(Cell::reference(tag, offset));
        Ok(())
    };
    // what follows is at most as long as the wire: the counts have been compared with it
    let frame = match item {
        Item::Object { id, null_prototype, class, count } => {
            let root = match class {
                Some(name) => {
                    let class = shape::class_of(m, &Str::from(&name))?;
                    shape::class_root(m, class)?
                }
                None => shape::root(m, null_prototype)?,
            };
            let block = record::reserve(m, count as usize)?;
            enter(id, Tag::Record, block.at)?;
            let pairs = Vec::with_capacity(count.min(1 << 12) as usize);
            Frame { kind: Kind::Object { block, root, key: None, pairs }, left: count }
        }
        Item::Shaped { id, shape, count } => {
            // the low half of a shape's word is its id: either will do
            let shape = ShapeWord(shape).shape();
            if shape::info(m, shape).map_or(true, |shape| shape.len() != count as usize) {
                return Err(malformed("values of no such shape", at));
            }
            let block = record::reserve(m, count as usize)?;
            enter(id, Tag::Record, block.at)?;
            let cells = Vec::with_capacity(count.min(1 << 12) as usize);
            Frame { kind: Kind::Shaped { block, shape, cells }, left: count }
        }
        Item::Array { id, length, elements } => {
            if elements > length {
                return Err(malformed("more elements than the array's length", at));
            }
            let block = array::reserve(m)?;
            enter(id, Tag::Array, block.at)?;
            let cells = Vec::with_capacity(elements.min(1 << 16) as usize);
            let (extra, names) = (Vec::new(), HashSet::new());
            let kind = Kind::Array { block, length, cells, elements: true, key: None, extra, names };
            Frame { kind, left: elements }
        }
        Item::Map { id, count } => {
            let offset = m.alloc(map::IDENTITY_BYTES)?.at;
            enter(id, Tag::Map, offset)?;
            let builder = MapBuilder::new(Tag::Map, count as usize);
            Frame { kind: Kind::Map { at: offset, builder, key: None }, left: count }
        }
        Item::Set { id, count } => {
            let offset = m.alloc(map::IDENTITY_BYTES)?.at;
            enter(id, Tag::Set, offset)?;
            let builder = MapBuilder::new(Tag::Set, count as usize);
            Frame { kind: Kind::Set { at: offset, builder }, left: count }
        }
        Item::Buffer { id, bytes } => {
            let offset = buffer::create_with(m, bytes)?;
            enter(id, Tag::Buffer, offset)?;
            return Ok(Opened::Done(Cell::reference(Tag::Buffer, offset)));
        }
        Item::View { id, kind, byte_offset, length } => {
            let Some(kind) = ViewKind::from_u8(kind) else {
                return Err(malformed("a kind of view that does not exist", at));
            };
            let offset = m.alloc(view::IDENTITY_BYTES)?.at;
            enter(id, Tag::View, offset)?;
            Frame { kind: Kind::View { at: offset, kind, byte_offset, length, buffer: None }, left: 1 }
        }
        Item::Packed { what, count } => {
            Frame { kind: Kind::Packed { what, refs: Vec::new(), content: &[] }, left: count }
        }
        _ => return Err(malformed("a value that is none", at)),
    };
    Ok(Opened::Frame(frame))
}

/// What finds the first value of this wire in a map: nothing is built. A container or by-value object is new, so it
/// is in no map. A value to be stored under it may follow.
pub fn map_key<'w>(wire: &'w [u8], resolve: &mut dyn FnMut(u32) -> Res<Cell>) -> Res<MapKey<'w>> {
    let mut reader = Reader::new(wire);
    let item = reader.item()?;
    if let Item::Live(handle) = item {
        return Ok(MapKey::Bits(resolve(handle)?.0));
    }
    match item.map_key() {
        Some(key) => Ok(key),
        None => Ok(MapKey::Unique),
    }
}
