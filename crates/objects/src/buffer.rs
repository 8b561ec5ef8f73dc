//! Buffers: byte blobs that JavaScript sees as an `ArrayBuffer` over the shared memory itself.
//!
//! ```text
//! BUFFER  word 1's low half: 31 destroyed · +16 length in bytes · +24 offset of its BYTES block
//! BYTES   data from the first multiple of 64 that is at least 16 bytes behind the block's start
//! ```
//!
//! Both are written once. The bytes are raw memory: they are not guarded, not part of transactions, and any
//! process may write them at any time.

use std::sync::atomic::Ordering::{Relaxed, Release};

use coheap_segment::primitive::fence;
use coheap_segment::word::Word1;
use coheap_segment::{Code, Error, Off};
use coheap_txn::{Fault, Guard, Mem, Res};

use crate::cell::kind;
use crate::shape::ShapeWord;

/// Alignment of the data within the segment.
pub const ALIGN: u64 = 64;
const BYTES: u64 = 32;

/// A buffer as it stands in its identity block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Length in bytes.
    pub len: u64,
    /// The BYTES block.
    pub block: Off,
    /// Where the data starts.
    pub data: Off,
}

fn data_of(block: Off) -> Off {
    (block + 16).next_multiple_of(ALIGN)
}

/// A fresh buffer of zeros.
pub fn create<M: Mem + ?Sized>(m: &mut M, len: u64) -> Res<Off> {
    fill(m, len, None)
}

/// A fresh buffer with these bytes.
pub fn create_with<M: Mem + ?Sized>(m: &mut M, bytes: &[u8]) -> Res<Off> {
    fill(m, bytes.len() as u64, Some(bytes))
}

fn fill<M: Mem + ?Sized>(m: &mut M, len: u64, bytes: Option<&[u8]>) -> Res<Off> {
    // the largest distance from a block's start to its data is 64: blocks are aligned to 16
    let Some(size) = len.checked_add(ALIGN).filter(|size| *size <= m.segment().plan().max_size) else {
        return Err(Fault::Error(Error::about(Code::OutOfMemory, "a buffer larger than the heap", len)));
    };
    let block = m.alloc(size)?.at;
    let data = data_of(block);
    let target = m.segment().bytes(data, len)?;
    // SAFETY: `bytes` has checked that the range lies in the mapping, which outlives `m`. The block is fresh:
    // it belongs to this thread alone until it is linked, whatever other processes do or however they die; a
    // reader that still walks what was here before reads words atomically and rejects them afterwards.
    unsafe {
        match bytes {
            Some(bytes) => std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()),
            None => std::ptr::write_bytes(target, 0, len as usize),
        }
    }
    // Release pairs with the Acquire of whoever reads the offset of this buffer: the bytes are there.
    fence(Release);
    m.finish(block, kind::BYTES, 0, 0);
    let at = m.alloc(BYTES)?.at;
    m.init64(at + 16, len);
    m.init64(at + 24, block);
    m.finish(at, kind::BUFFER, 0, 0);
    Ok(at)
}

/// Length and place, checked against the heap's bounds.
pub fn info<M: Mem + ?Sized>(m: &mut M, buffer: Off) -> Res<Info> {
    let guard = Guard(buffer);
    let head = m.load64(guard, buffer.wrapping_add(8))?;
    let len = m.load64(guard, buffer.wrapping_add(16))?;
    let block = m.load64(guard, buffer.wrapping_add(24))?;
    check(m, buffer, head, len, block)
}

/// The same without a guard, for who keeps the buffer alive (a handle, or its being fresh): what is written once
/// cannot change under it.
pub fn info_of<M: Mem + ?Sized>(m: &M, buffer: Off) -> Res<Info> {
    let word = |at: Off| Ok::<u64, Error>(m.segment().word(buffer.wrapping_add(at))?.load(Relaxed));
    check(m, buffer, word(8)?, word(16)?, word(24)?)
}

fn check<M: Mem + ?Sized>(m: &M, buffer: Off, head: u64, len: u64, block: Off) -> Res<Info> {
    let data = data_of(block & ((1 << 47) - 1));
    if Word1(head).kind() == kind::BUFFER && Word1(head).low() & ShapeWord::DESTROYED != 0 {
        return Err(Fault::Error(Error::new(Code::Destroyed, "the bytes have been destroyed")));
    }
    if Word1(head).kind() != kind::BUFFER || block & 15 != 0 || !m.segment().holds(data, len) {
        return Err(Fault::Error(Error::corrupt("a buffer that is none", buffer)));
    }
    Ok(Info { len, block, data })
}

/// Copies the bytes out as they are at this moment (others may be writing them).
pub fn read<M: Mem + ?Sized>(m: &M, info: Info, out: &mut Vec<u8>) -> Res<()> {
    let source = m.segment().bytes(info.data, info.len)?;
    let len = info.len as usize;
    out.reserve(len);
    // SAFETY: the source lies in the mapping (checked just now), the target was just reserved and is disjoint
    // from it; both are plain bytes, of which every pattern is valid. Another process may write the source
    // meanwhile: as with any typed array, what is read then is some of the old and some of the new bytes.
    unsafe {
        std::ptr::copy_nonoverlapping(source, out.as_mut_ptr().add(out.len()), len);
        out.set_len(out.len() + len);
    }
    Ok(())
}
