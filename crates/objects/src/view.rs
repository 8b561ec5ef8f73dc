//! Views: typed arrays, `DataView` and Node's `Buffer` over a shared buffer.
//!
//! ```text
//! VIEW  word 1's low half: 31 destroyed | kind · +16 cell: its BUFFER · +24 byte offset · +32 length in elements
//! ```
//!
//! Written once.

use coheap_segment::word::Word1;
use coheap_segment::{Code, Error, Off};
use coheap_txn::{Fault, Guard, Mem, Res};

use crate::buffer;
use crate::cell::{Cell, Tag, kind};
use crate::shape::ShapeWord;

/// What a view's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the constructors' names in JavaScript")]
#[repr(u8)]
pub enum ViewKind {
    DataView = 0,
    Int8 = 1,
    Uint8 = 2,
    Uint8Clamped = 3,
    Int16 = 4,
    Uint16 = 5,
    Int32 = 6,
    Uint32 = 7,
    Float32 = 8,
    Float64 = 9,
    BigInt64 = 10,
    BigUint64 = 11,
    /// Node's `Buffer`.
    Buffer = 12,
    Float16 = 13,
}

impl ViewKind {
    /// The kind of this number, which may have come from anywhere.
    pub fn from_u8(n: u8) -> Option<ViewKind> {
        use ViewKind::*;
        const ALL: [ViewKind; 14] = [
            DataView,
            Int8,
            Uint8,
            Uint8Clamped,
            Int16,
            Uint16,
            Int32,
            Uint32,
            Float32,
            Float64,
            BigInt64,
            BigUint64,
            Buffer,
            Float16,
        ];
        ALL.get(n as usize).copied()
    }
    /// Bytes of an element.
    pub fn element(self) -> u64 {
        use ViewKind::*;
        match self {
            DataView | Int8 | Uint8 | Uint8Clamped | Buffer => 1,
            Int16 | Uint16 | Float16 => 2,
            Int32 | Uint32 | Float32 => 4,
            Float64 | BigInt64 | BigUint64 => 8,
        }
    }
}

/// A view as it stands in its identity block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// What its elements are.
    pub kind: ViewKind,
    /// The BUFFER identity.
    pub buffer: Off,
    /// Where it starts in the buffer.
    pub byte_offset: u64,
    /// Its length in elements.
    pub length: u64,
}

const BYTES: u64 = 40;

fn fits(kind: ViewKind, byte_offset: u64, length: u64, len: u64) -> bool {
    byte_offset.is_multiple_of(kind.element())
        && length
            .checked_mul(kind.element())
            .and_then(|bytes| bytes.checked_add(byte_offset))
            .is_some_and(|end| end <= len)
}

/// A fresh view of `buffer`. `ERR_COHEAP_INVALID_ARGUMENT` if it is misaligned or ends beyond the buffer.
pub fn create<M: Mem + ?Sized>(
    m: &mut M,
    kind: ViewKind,
    buffer: Off,
    byte_offset: u64,
    length: u64,
) -> Res<Off> {
    let len = buffer::info(m, buffer)?.len;
    let at = m.alloc(BYTES)?.at;
    init(m, at, Info { kind, buffer, byte_offset, length }, len)?;
    Ok(at)
}

/// Bytes of the identity block, for a builder that allocates it before its buffer.
pub(crate) const IDENTITY_BYTES: u64 = BYTES;

/// Writes the identity block of a fresh view of a buffer of `len` bytes and brings it to life.
pub(crate) fn init<M: Mem + ?Sized>(m: &mut M, at: Off, info: Info, len: u64) -> Res<()> {
    if !fits(info.kind, info.byte_offset, info.length, len) {
        let e = Error::about(Code::InvalidArgument, "a view beyond its buffer", info.byte_offset);
        return Err(Fault::Error(e));
    }
    m.init64(at + 16, Cell::reference(Tag::Buffer, info.buffer).0);
    m.init64(at + 24, info.byte_offset);
    m.init64(at + 32, info.length);
    m.finish(at, kind::VIEW, 0, info.kind as u32);
    Ok(())
}

/// Kind, buffer and range; the range is to be compared with the buffer's length by who goes on to it (the buffer
/// is another object, hence another read).
pub fn info<M: Mem + ?Sized>(m: &mut M, view: Off) -> Res<Info> {
    let guard = Guard(view);
    let head = Word1(m.load64(guard, view.wrapping_add(8))?);
    let buffer = Cell(m.load64(guard, view.wrapping_add(16))?);
    let byte_offset = m.load64(guard, view.wrapping_add(24))?;
    let length = m.load64(guard, view.wrapping_add(32))?;
    if head.kind() == kind::VIEW && head.low() & ShapeWord::DESTROYED != 0 {
        return Err(Fault::Error(Error::new(Code::Destroyed, "the typed array has been destroyed")));
    }
    match ViewKind::from_u8(head.low().min(255) as u8) {
        Some(kind) if head.kind() == kind::VIEW && buffer.tag() == Some(Tag::Buffer) => {
            Ok(Info { kind, buffer: buffer.offset(), byte_offset, length })
        }
        _ => Err(Fault::Error(Error::corrupt("a view that is none", view))),
    }
}

/// Checks a view's range against the length of its buffer, both out of shared memory.
pub fn check(view: Info, buffer: buffer::Info) -> Res<()> {
    if fits(view.kind, view.byte_offset, view.length, buffer.len) {
        Ok(())
    } else {
        Err(Fault::Error(Error::corrupt("a view beyond its buffer", view.buffer)))
    }
}
