//! Packed values: by-value objects (Date, RegExp, Error, URL, boxed primitives, frozen values, what codecs make)
//! as the bytes that TypeScript made of them, with the live objects among their members as references.
//!
//! ```text
//! PACKED  word 1's low half: bytes of content · +16 what 8 | number of references 32
//!         +24 references (cells of identities) · content, in the wire format, from a word boundary
//! ```
//!
//! Nothing below JavaScript interprets the content: its live members are indices into the references.

use coheap_segment::word::Word1;
use coheap_segment::{Code, Error, Off};
use coheap_txn::{Fault, Guard, Mem, Res};

use crate::cell::{Cell, Tag, kind};

/// A packed value, copied out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// 1 Date, 2 RegExp, 3 Error, 4 URL, 5 boxed primitive, 6 frozen object, 7 frozen array, 8 codec value.
    pub what: u8,
    /// Live members.
    pub refs: Vec<Cell>,
    /// One value in the wire format, its live members as indices into `refs`.
    pub content: Vec<u8>,
}

/// A fresh packed value.
pub fn build<M: Mem + ?Sized>(m: &mut M, what: u8, refs: &[Cell], content: &[u8]) -> Res<Cell> {
    if refs.len() > u32::MAX as usize || content.len() > u32::MAX as usize {
        return Err(Fault::Error(Error::new(Code::InvalidArgument, "a by-value object beyond 4 GiB")));
    }
    if let Some(cell) = refs.iter().find(|cell| !cell.is_identity()) {
        let e = Error::about(Code::InvalidArgument, "a live member that is none", cell.0);
        return Err(Fault::Error(e));
    }
    let start = 24 + refs.len() as u64 * 8;
    let at = m.alloc(start + (content.len() as u64).next_multiple_of(8))?.at;
    m.init64(at + 16, what as u64 | (refs.len() as u64) << 8);
    for (i, cell) in refs.iter().enumerate() {
        m.init64(at + 24 + i as u64 * 8, cell.0);
    }
    m.init_bytes(at + start, content);
    m.finish(at, kind::PACKED, 0, content.len() as u32);
    Ok(Cell::reference(Tag::Packed, at))
}

/// {what, number of references, bytes of content}, within the heap's bounds.
pub(crate) fn head<M: Mem + ?Sized>(m: &mut M, guard: Guard, at: Off) -> Res<(u8, u64, u64)> {
    let head = Word1(m.load64(guard, at.wrapping_add(8))?);
    let word = m.load64(guard, at.wrapping_add(16))?;
    let (refs, bytes) = (word >> 8 & 0xffff_ffff, head.low() as u64);
    if head.kind() != kind::PACKED || !m.segment().holds(at, 24 + refs * 8 + bytes) {
        return Err(Fault::Error(Error::corrupt("a packed value that is none", at)));
    }
    Ok((word as u8, refs, bytes))
}

/// Where reference `i` stands; the content begins where one more would.
pub(crate) fn reference(at: Off, i: u64) -> Off {
    at + 24 + i * 8
}

/// Copies a packed value out, under the guard of the cell that refers to it.
pub fn load<M: Mem + ?Sized>(m: &mut M, guard: Guard, cell: Cell) -> Res<Packed> {
    let at = cell.offset();
    let (what, count, bytes) = head(m, guard, at)?;
    let mut refs = Vec::new();
    for i in 0..count {
        refs.push(Cell(m.load64(guard, reference(at, i))?));
    }
    let mut content = vec![0; bytes as usize];
    m.load_bytes(guard, reference(at, count), &mut content)?;
    Ok(Packed { what, refs, content })
}
