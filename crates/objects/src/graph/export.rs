//! One stored cell as wire: what is by value is written out, what is live becomes a handle.

use coheap_segment::{Error, Off};
use coheap_txn::{Fault, Guard, Mem, Res};

use crate::cell::{Cell, Tag};
use crate::wire::{Writer, tag};
use crate::{bigint, packed, string};

/// Appends the value of `cell`, which `guard` guards, to `out`. `publish` gives a live object a handle (and is
/// called again when the attempt is repeated: the caller withdraws). On failure `out` is as it was.
pub fn export<M: Mem + ?Sized>(
    m: &mut M,
    guard: Guard,
    cell: Cell,
    out: &mut Vec<u8>,
    publish: &mut dyn FnMut(Off, Tag) -> Res<u32>,
) -> Res<()> {
    let start = out.len();
    let result = write(m, guard, cell, out, publish);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn write<M: Mem + ?Sized>(
    m: &mut M,
    guard: Guard,
    cell: Cell,
    out: &mut Vec<u8>,
    publish: &mut dyn FnMut(Off, Tag) -> Res<u32>,
) -> Res<()> {
    if leaf(m, guard, cell, out)? {
        return Ok(());
    }
    if cell.tag() == Some(Tag::Packed) {
        let at = cell.offset();
        let (what, count, bytes) = packed::head(m, guard, at)?;
        let mut w = Writer(out);
        w.u8(tag::PACKED);
        w.u8(what);
        w.u32(count as u32);
        for i in 0..count {
            let cell = Cell(m.load64(guard, packed::reference(at, i))?);
            w.live(publish(cell.offset(), identity(cell)?)?);
        }
        w.u32(bytes as u32);
        let start = w.0.len();
        w.0.resize(start + bytes as usize, 0);
        return m.load_bytes(guard, packed::reference(at, count), &mut w.0[start..]);
    }
    let handle = publish(cell.offset(), identity(cell)?)?;
    Writer(out).live(handle);
    Ok(())
}

/// The tag of a live object's cell.
pub(super) fn identity(cell: Cell) -> Res<Tag> {
    match cell.tag() {
        Some(tag) if cell.is_identity() => Ok(tag),
        _ => Err(Fault::Error(Error::corrupt("a cell of no value", cell.0))),
    }
}

/// Writes numbers, immediates, strings, symbols and bigints; false for anything else.
pub(super) fn leaf<M: Mem + ?Sized>(m: &mut M, guard: Guard, cell: Cell, out: &mut Vec<u8>) -> Res<bool> {
    let mut w = Writer(out);
    match cell.tag() {
        None | Some(Tag::Special) => return Ok(w.immediate(cell)),
        Some(Tag::InlineString) => {
            let (chars, n) = cell.inline_chars();
            w.u8(tag::LATIN1);
            w.u32(n as u32);
            w.0.extend_from_slice(&chars[..n]);
        }
        Some(Tag::String) => w.text(&string::load(m, guard, cell)?),
        Some(Tag::Symbol) => w.symbol(&string::load(m, guard, cell)?),
        Some(Tag::BigInt) => {
            let x = bigint::load(m, guard, cell)?;
            w.bigint(x.is_negative(), x.limbs());
        }
        _ => return Ok(false),
    }
    Ok(true)
}
