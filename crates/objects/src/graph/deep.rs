//! `snapshot(x)`: a deep plain copy, as wire without handles.
//!
//! Many objects are read, so this belongs into one transaction: that makes it of one moment. An object is written
//! where it is met first and referred back to afterwards.

use std::collections::HashMap;

use coheap_segment::{Error, Off};
use coheap_txn::{Fault, Guard, Mem, Res};

use super::export::{identity, leaf};
use crate::cell::{Cell, Tag};
use crate::key::Key;
use crate::map_iter::{Step, entries_from};
use crate::wire::{INSTANCE, NULL_PROTOTYPE, Writer, tag};
use crate::{array, buffer, packed, record, shape, view};

/// What is still to be written.
enum Piece {
    Cell(Cell, Guard),
    Property(Key, Cell, Guard),
    Count(u32),
    Content(Vec<u8>),
}

/// Appends a deep copy of `cell`, which `guard` guards, to `out`. On failure `out` is as it was.
pub fn export_deep<M: Mem + ?Sized>(m: &mut M, guard: Guard, cell: Cell, out: &mut Vec<u8>) -> Res<()> {
    pieces(m, vec![Piece::Cell(cell, guard)], out)
}

/// Appends the number of these live objects, and deep copies of them: what they have in common is written once.
pub fn export_deep_all<M: Mem + ?Sized>(m: &mut M, cells: &[Cell], out: &mut Vec<u8>) -> Res<()> {
    let count = Piece::Count(cells.len() as u32);
    let cells = cells.iter().map(|cell| Piece::Cell(*cell, Guard(cell.offset())));
    pieces(m, std::iter::once(count).chain(cells).rev().collect(), out)
}

/// Appends these pieces, the last one first.
fn pieces<M: Mem + ?Sized>(m: &mut M, rest: Vec<Piece>, out: &mut Vec<u8>) -> Res<()> {
    let start = out.len();
    let result = walk(m, rest, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// `rest` are the pieces that come next, last first.
fn walk<M: Mem + ?Sized>(m: &mut M, mut rest: Vec<Piece>, out: &mut Vec<u8>) -> Res<()> {
    let mut ids: HashMap<Off, u32> = HashMap::new();
    while let Some(piece) = rest.pop() {
        let (cell, guard) = match piece {
            Piece::Cell(cell, guard) => (cell, guard),
            Piece::Property(key, cell, guard) => {
                Writer(out).property_key(&key);
                (cell, guard)
            }
            Piece::Count(n) => {
                Writer(out).u32(n);
                continue;
            }
            Piece::Content(bytes) => {
                Writer(out).u32(bytes.len() as u32);
                out.extend_from_slice(&bytes);
                continue;
            }
        };
        if leaf(m, guard, cell, out)? {
            continue;
        }
        let begin = rest.len();
        if cell.tag() == Some(Tag::Packed) {
            let packed = packed::load(m, guard, cell)?;
            let mut w = Writer(out);
            w.u8(tag::PACKED);
            w.u8(packed.what);
            w.u32(packed.refs.len() as u32);
            for cell in packed.refs {
                // a by-value object that referred to itself would never end
                identity(cell)?;
                rest.push(Piece::Cell(cell, guard));
            }
            rest.push(Piece::Content(packed.content));
        } else {
            let kind = identity(cell)?;
            let at = cell.offset();
            if let Some(id) = ids.get(&at) {
                Writer(out).back(*id);
                continue;
            }
            let id = ids.len() as u32;
            ids.insert(at, id);
            container(m, kind, at, id, out, &mut rest)?;
        }
        rest[begin..].reverse();
    }
    Ok(())
}

/// Writes the head of a container and appends its pieces in order.
fn container<M: Mem + ?Sized>(
    m: &mut M,
    kind: Tag,
    at: Off,
    id: u32,
    out: &mut Vec<u8>,
    rest: &mut Vec<Piece>,
) -> Res<()> {
    let guard = Guard(at);
    let mut w = Writer(out);
    match kind {
        Tag::Record => {
            let shape = record::shape(m, at)?;
            let entries = record::entries(m, at)?;
            w.u8(tag::OBJECT);
            w.u32(id);
            if shape.class != 0 {
                w.u8(INSTANCE);
                w.text(&shape::class_name(m.segment(), shape.class)?);
            } else {
                w.u8(if shape.null_proto { NULL_PROTOTYPE } else { 0 });
            }
            w.u32(entries.len() as u32);
            rest.extend(entries.into_iter().map(|(key, cell)| Piece::Property(key, cell, guard)));
        }
        Tag::Array => {
            let (length, elements, extra) = array::contents(m, at)?;
            w.u8(tag::ARRAY);
            w.u32(id);
            w.u32(length);
            w.u32(elements.len() as u32);
            rest.extend(elements.into_iter().map(|cell| Piece::Cell(cell, guard)));
            rest.push(Piece::Count(extra.len() as u32));
            rest.extend(extra.into_iter().map(|(key, cell)| Piece::Property(key, cell, guard)));
        }
        Tag::Map | Tag::Set => {
            let mut steps: Vec<Step> = Vec::new();
            entries_from(m, at, 0, None, usize::MAX, true, &mut steps)?;
            w.u8(if kind == Tag::Map { tag::MAP } else { tag::SET });
            w.u32(id);
            w.u32(steps.len() as u32);
            for step in steps {
                rest.push(Piece::Cell(step.key, step.key_guard));
                if kind == Tag::Map {
                    rest.push(Piece::Cell(step.value, step.value_guard));
                }
            }
        }
        Tag::Buffer => {
            let info = buffer::info(m, at)?;
            w.u8(tag::BUFFER);
            w.u32(id);
            w.u64(info.len);
            buffer::read(m, info, out)?;
        }
        Tag::View => {
            let info = view::info(m, at)?;
            let bytes = buffer::info(m, info.buffer)?;
            view::check(info, bytes)?;
            w.u8(tag::VIEW);
            w.u32(id);
            w.u8(info.kind as u8);
            w.u64(info.byte_offset);
            w.u64(info.length);
            rest.push(Piece::Cell(Cell::reference(Tag::Buffer, info.buffer), guard));
        }
        _ => return Err(Fault::Error(Error::corrupt("a container of no kind", at))),
    }
    Ok(())
}
