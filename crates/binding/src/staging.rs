//! [`Staging`]: the buffer through which values cross that do not cross as they are, in the wire format.
//!
//! It is an ArrayBuffer of V8's own, so that both sides reach it without a call. It grows and never shrinks below
//! what a value needed last, but what a single huge value made of it is given back by the next small one.

use coheap_heap::segment::{Code, Error};

use crate::js::{Js, Ref, Value};

/// What the buffer has at first.
const SMALL: usize = 64 << 10;
/// Above this it is not kept for the next value.
const LARGE: usize = 16 << 20;

/// See the module.
pub struct Staging {
    /// Strong; `None` once given back.
    buffer: Option<Ref>,
    bytes: *mut u8,
    len: usize,
    /// Which buffer it is, so that TypeScript asks for it only when there is a new one; never 0.
    generation: u32,
}

impl Staging {
    /// The first buffer.
    pub fn new(js: Js) -> Result<Staging, Error> {
        let (bytes, len, buffer) = allocate(js, SMALL)?;
        Ok(Staging { buffer: Some(buffer), bytes, len, generation: 1 })
    }

    /// The ArrayBuffer, with at least `min` bytes. Its content is kept only if it need not grow.
    pub fn at_least(&mut self, js: Js, min: usize) -> Result<Value, Error> {
        let buffer = self.ensure(js, min)?;
        js.dereference(buffer).ok_or(Error::new(Code::Closed, "the thread is ending"))
    }

    #[inline]
    fn ensure(&mut self, js: Js, min: usize) -> Result<Ref, Error> {
        let buffer = self.buffer.ok_or(Error::new(Code::Closed, "the heap is closed"))?;
        if min <= self.len && (self.len <= LARGE || min > SMALL) {
            return Ok(buffer);
        }
        let (bytes, len, grown) = allocate(js, min.next_multiple_of(SMALL))?;
        js.delete_reference(buffer);
        (self.bytes, self.len, self.buffer) = (bytes, len, Some(grown));
        self.generation = self.generation.wrapping_add(1).max(1);
        Ok(grown)
    }

    /// Changes with the buffer.
    #[inline]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The first `len` bytes, as TypeScript wrote them.
    pub fn read(&self, len: usize) -> Result<&[u8], Error> {
        if len > self.len {
            return Err(Error::about(Code::InvalidArgument, "more bytes than staging holds", len as u64));
        }
        // SAFETY: inside the buffer, which our strong reference keeps alive and which only this thread writes:
        // no JavaScript runs while the slice lives, for `&self` is borrowed within one callback.
        Ok(unsafe { std::slice::from_raw_parts(self.bytes, len) })
    }

    /// Puts `wire` into the buffer for TypeScript to read.
    pub fn write(&mut self, js: Js, wire: &[u8]) -> Result<(), Error> {
        self.ensure(js, wire.len())?;
        // SAFETY: there is room, and `wire` is not in the buffer: `&mut self` excludes a slice of `read`.
        unsafe { std::ptr::copy_nonoverlapping(wire.as_ptr(), self.bytes, wire.len()) };
        Ok(())
    }

    /// Gives the buffer back.
    pub fn release(&mut self, js: Js) {
        self.len = 0;
        if let Some(buffer) = self.buffer.take() {
            js.delete_reference(buffer);
        }
    }
}

fn allocate(js: Js, len: usize) -> Result<(*mut u8, usize, Ref), Error> {
    let (buffer, bytes) = js.array_buffer(len).ok_or(Error::about(
        Code::OutOfMemory,
        "no memory for the staging buffer",
        len as u64,
    ))?;
    let kept = js.reference(buffer, true).ok_or(Error::new(Code::Closed, "the thread is ending"))?;
    Ok((bytes, len, kept))
}
