//! [`Live`]: a heap that this thread has joined, with everything that goes when it leaves, and how an operation is
//! run on it.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Arc;

use coheap_heap::objects::cell::{Cell, kind};
use coheap_heap::objects::graph;
use coheap_heap::queue::Channel;
use coheap_heap::segment::{Code, Error, Segment};
use coheap_heap::txn::{BuildMem, Ctx, Fault, Mem, Op, Res};
use napi::sys;

use crate::batch::Batch;
use crate::convert::Input;
use crate::deaths::DeathWatch;
use crate::js::{Js, Ref, Value};
use crate::pins::{NO_ROOM, Pins};
use crate::staging::Staging;
use crate::waiter::{Condition, Waiter};

/// See the module.
pub struct Live {
    /// This thread's transactions and single operations.
    pub ctx: Ctx,
    /// Handles and wrappers.
    pub pins: Pins,
    /// What an operation writes for staging.
    pub out: Vec<u8>,
    /// The thread that sleeps for promises; `None` before `onWake`.
    pub waiter: Option<Waiter>,
    /// While JavaScript listens for deaths.
    pub deaths: Option<DeathWatch>,
    /// Handles of buffers whose ArrayBuffer was made inside a transaction: if it made the buffer too and is undone, the
    /// ArrayBuffer must lose its memory at once.
    pub tentative: Vec<u32>,
    /// The channels that were opened, in the order of their numbers.
    pub channels: Vec<Channel>,
    /// Messages that wait for room.
    pub batches: HashMap<u64, Batch>,
    /// The number of the next batch.
    pub next_batch: u64,
    /// The live object that the last batch of one has put.
    pub last_put: Option<Cell>,
    /// The read-only windows that were asked for, with their bytes; weak.
    windows: Vec<(usize, u64, Ref)>,
}

/// An operation with its means to pin and to write. Hot ones implement this once and are compiled for each mode;
/// the others are closures.
pub trait Call {
    /// What it gives.
    type Out;
    /// One attempt.
    fn run<M: Mem>(&mut self, m: &mut M, pins: &mut Pins, out: &mut Vec<u8>) -> Res<Self::Out>;
}

/// Bytes of a window at first: V8 begins to collect garbage when 64 MiB of such memory have come.
const FIRST_WINDOW: u64 = 32 << 20;
/// So many times as long is the next one.
const WINDOW_GROWTH: u64 = 8;

/// Room that is made in the handle table when an operation finds none.
const MORE_HANDLES: usize = 64;

#[inline]
fn is_no_room<T>(result: &Result<T, Fault>) -> bool {
    matches!(result, Err(fault) if *fault == NO_ROOM)
}

struct Attempt<'a, C> {
    call: C,
    pins: &'a mut Pins,
    out: &'a mut Vec<u8>,
}

impl<C: Call> Op for Attempt<'_, C> {
    type Out = C::Out;
    #[inline(always)]
    fn run<M: Mem>(&mut self, m: &mut M) -> Res<C::Out> {
        self.pins.start();
        self.call.run(m, self.pins, self.out)
    }
}

impl<C: Call> Attempt<'_, C> {
    /// Repeats the operation, with more room for handles, while that is what it lacks.
    #[cold]
    fn with_room(
        &mut self,
        ctx: &mut Ctx,
        mut result: Result<C::Out, Fault>,
        again: impl Fn(&mut Ctx, &mut Self) -> Result<C::Out, Fault>,
    ) -> Result<C::Out, Fault> {
        while is_no_room(&result) {
            ctx.reserve_handles(MORE_HANDLES)?;
            result = again(ctx, self);
        }
        result
    }
}

/// Runs an operation, again with more room for handles while that is what it lacks.
#[inline]
fn with_room<T>(
    ctx: &mut Ctx,
    pins: &mut Pins,
    out: &mut Vec<u8>,
    mut f: impl FnMut(&mut Ctx, &mut Pins, &mut Vec<u8>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut result = f(ctx, pins, out);
    while is_no_room(&result) {
        ctx.reserve_handles(MORE_HANDLES.max(2 * pins.wrappers.len()))?;
        result = f(ctx, pins, out);
    }
    result
}

impl Live {
    /// A heap that was just joined.
    pub fn new(mut ctx: Ctx) -> Result<Live, Error> {
        let pins = Pins::new(&mut ctx)?;
        Ok(Live {
            ctx,
            pins,
            out: Vec::new(),
            waiter: None,
            deaths: None,
            tentative: Vec::new(),
            channels: Vec::new(),
            batches: HashMap::new(),
            next_batch: 1,
            last_put: None,
            windows: Vec::new(),
        })
    }

    /// The mapping.
    pub fn segment(&self) -> &Arc<Segment> {
        self.ctx.segment()
    }

    /// Runs a reading operation; what it has pinned stays.
    #[inline(always)]
    pub fn read<C: Call>(&mut self, call: C) -> Result<C::Out, Fault> {
        let Live { ctx, pins, out, .. } = self;
        let mut attempt = Attempt { call, pins, out };
        match ctx.read_with(&mut attempt) {
            Ok(found) if !attempt.pins.has_fresh() => Ok(found),
            result => {
                let result = attempt.with_room(ctx, result, |ctx, attempt| ctx.read_with(attempt));
                self.settle(result)
            }
        }
    }

    /// Runs a writing operation; what it has pinned stays, what was built for it is adopted.
    #[inline(always)]
    pub fn write<C: Call>(&mut self, call: C) -> Result<C::Out, Fault> {
        let Live { ctx, pins, out, .. } = self;
        let mut attempt = Attempt { call, pins, out };
        match ctx.write_with(&mut attempt) {
            Ok(found) if !attempt.pins.has_fresh() => Ok(found),
            result => {
                let result = attempt.with_room(ctx, result, |ctx, attempt| ctx.write_with(attempt));
                self.settle(result)
            }
        }
    }

    /// As [`Live::read`], for a closure.
    pub fn look<T>(
        &mut self,
        mut f: impl FnMut(&mut dyn Mem, &mut Pins, &mut Vec<u8>) -> Res<T>,
    ) -> Result<T, Fault> {
        self.run(|ctx, pins, out| {
            ctx.read(|m| {
                pins.start();
                f(m, pins, out)
            })
        })
    }

    /// As [`Live::look`], for what TypeScript asks while it reads an answer: that answer goes on.
    pub fn look_aside<T>(
        &mut self,
        f: impl FnMut(&mut dyn Mem, &mut Pins, &mut Vec<u8>) -> Res<T>,
    ) -> Result<T, Fault> {
        let answer = self.pins.wrappers.next_answer();
        let result = self.look(f);
        self.pins.wrappers.resume_answer(answer);
        result
    }

    /// As [`Live::write`], for a closure.
    pub fn change<T>(
        &mut self,
        mut f: impl FnMut(&mut dyn Mem, &mut Pins, &mut Vec<u8>) -> Res<T>,
    ) -> Result<T, Fault> {
        self.run(|ctx, pins, out| {
            ctx.write(|m| {
                pins.start();
                f(m, pins, out)
            })
        })
    }

    /// As [`Live::change`], after an operation whose answer is still to be read.
    pub fn change_aside<T>(
        &mut self,
        f: impl FnMut(&mut dyn Mem, &mut Pins, &mut Vec<u8>) -> Res<T>,
    ) -> Result<T, Fault> {
        let answer = self.pins.wrappers.next_answer();
        let result = self.change(f);
        self.pins.wrappers.resume_answer(answer);
        result
    }

    /// Runs something that calls [`Pins::start`] at the start of each of its attempts, with room for the handles that
    /// it publishes.
    #[inline]
    pub fn run<T>(
        &mut self,
        f: impl FnMut(&mut Ctx, &mut Pins, &mut Vec<u8>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let Live { ctx, pins, out, .. } = self;
        let result = with_room(ctx, pins, out, f);
        self.finish(result)
    }

    /// As [`Live::run`], on a channel.
    #[inline]
    pub fn run_on<T>(
        &mut self,
        c: usize,
        mut f: impl FnMut(&Channel, &mut Ctx, &mut Pins, &mut Vec<u8>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let Live { ctx, pins, out, channels, .. } = self;
        let channel = &channels[c];
        let result = with_room(ctx, pins, out, |ctx, pins, out| f(channel, ctx, pins, out));
        self.finish(result)
    }

    /// Pins an object that this thread has just made, or has a handle on.
    pub fn pin(&mut self, cell: Cell) -> Result<u32, Fault> {
        loop {
            match self.pins.pin(cell) {
                Err(NO_ROOM) => self.ctx.reserve_handles(MORE_HANDLES)?,
                pinned => return pinned,
            }
        }
    }

    #[inline]
    fn finish<T>(&mut self, result: Result<T, Fault>) -> Result<T, Fault> {
        if result.is_ok() && !self.pins.has_fresh() {
            return result;
        }
        self.settle(result)
    }

    #[cold]
    fn settle<T>(&mut self, result: Result<T, Fault>) -> Result<T, Fault> {
        match result.and_then(|out| self.ctx.revalidate().map(|()| out)) {
            Ok(out) => {
                self.pins.keep();
                Ok(out)
            }
            Err(fault) => {
                self.pins.start();
                self.ctx.discard();
                Err(fault)
            }
        }
    }

    /// Builds what `build` makes of fresh blocks, pending until the next operation takes it.
    pub fn build<T>(
        &mut self,
        build: impl FnOnce(&mut BuildMem<'_>, &mut dyn FnMut(u32) -> Res<Cell>) -> Res<T>,
    ) -> Result<T, Fault> {
        let Live { ctx, pins, .. } = self;
        ctx.build(|m| build(m, &mut |handle| pins.cell(handle)))
    }

    /// Builds the cell of a value that crossed, pending; a string is left for the operation itself to build.
    #[inline(always)]
    pub fn take_in(
        &mut self,
        js: Js,
        input: Input,
        staging: &Staging,
        wire_bytes: Value,
    ) -> Result<Input, Fault> {
        match input {
            Input::Staged => self.take_in_staged(staging, js.as_u32(wire_bytes).unwrap_or(0)),
            ready => Ok(ready),
        }
    }

    /// As [`Live::take_in`].
    #[inline(always)]
    pub fn take_in_bytes(&mut self, input: Input, staging: &Staging, bytes: u32) -> Result<Input, Fault> {
        match input {
            Input::Staged => self.take_in_staged(staging, bytes),
            ready => Ok(ready),
        }
    }

    #[cold]
    fn take_in_staged(&mut self, staging: &Staging, bytes: u32) -> Result<Input, Fault> {
        let wire = staging.read(bytes as usize)?;
        Ok(Input::Cell(self.build(|m, resolve| graph::build(m, wire, resolve))?))
    }

    /// A transaction was undone: ArrayBuffers over what it had made become empty.
    pub fn drop_tentative(&mut self, js: Js) {
        if self.tentative.is_empty() {
            return;
        }
        let pins = &self.pins;
        self.tentative.retain(|&handle| {
            if pins.object(handle).is_ok() {
                return true;
            }
            if let Some(buffer) = pins.wrappers.wrapper(js, handle) {
                js.detach(buffer);
            }
            false
        });
    }

    /// Wakes `token` on the event loop once `condition` holds.
    pub fn wait(&mut self, token: u32, condition: Box<dyn Condition>) -> Result<(), Error> {
        match &mut self.waiter {
            Some(waiter) => waiter.wait(token, condition),
            None => Err(Error::new(Code::InvalidArgument, "a wait before onWake")),
        }
    }

    /// Keeps a batch under a number of its own.
    pub fn enter_batch(&mut self, batch: Batch) -> u64 {
        let number = self.next_batch;
        self.next_batch += 1;
        self.batches.insert(number, batch);
        number
    }

    /// Leaves the heap. Views of its bytes become empty: nothing of it is pinned from here on.
    pub fn leave(mut self: Box<Self>, js: Option<Js>) {
        if let Some(waiter) = self.waiter.take() {
            waiter.stop(js);
        }
        if let Some(watch) = self.deaths.take() {
            watch.stop(js);
        }
        for (_, batch) in std::mem::take(&mut self.batches) {
            // outside of any transaction; what an error leaves is garbage
            let _ = batch.discard(&mut self);
        }
        if let Some(js) = js {
            self.pins.wrappers.clear(js, |entry, wrapper| {
                if let (kind::BUFFER, Some(buffer)) = (entry.kind, wrapper) {
                    js.detach(buffer);
                }
            });
            for (_, _, window) in self.windows.drain(..) {
                js.delete_reference(window);
            }
        }
    }

    /// Ties a wrapper to a handle.
    pub fn adopt(&mut self, js: Js, handle: u32, wrapper: Value) -> Result<(), Error> {
        let Pins { wrappers, handles, .. } = &mut self.pins;
        let known = wrappers.adopt(js, handle, wrapper, |dead| handles.withdraw(dead));
        if known { Ok(()) } else { Err(Error::about(Code::InvalidArgument, "no such handle", handle as u64)) }
    }

    /// The read-only window number `index`, as far as `end` at least: all of it only when it is asked for, because
    /// V8 takes its bytes for memory that a collection of garbage could give back. The same ArrayBuffer as long as
    /// it is in use and long enough. The segment stays mapped as long as one of its windows is.
    pub fn window(&mut self, js: Js, index: usize, end: u64) -> Result<Value, Error> {
        let mut i = 0;
        while let Some(&(known, bytes, window)) = self.windows.get(i) {
            match js.dereference(window) {
                Some(alive) if known == index && bytes >= end => return Ok(alive),
                Some(_) => i += 1,
                None => js.delete_reference(self.windows.swap_remove(i).2),
            }
        }
        let segment = self.segment().clone();
        let (bytes, whole) = segment.window(index)?;
        if end > whole {
            return Err(Error::about(Code::InvalidArgument, "beyond the end of a window", end));
        }
        let mut len = FIRST_WINDOW.min(whole);
        while len < end {
            len = len.saturating_mul(WINDOW_GROWTH).min(whole);
        }
        // SAFETY: the window is mapped as long as the segment, whose count the finalizer gives back. It is
        // mapped read-only: a stray store from JavaScript faults.
        let buffer = unsafe { external(js, bytes.cast_mut(), len as usize, segment)? };
        if let Some(window) = js.reference(buffer, false) {
            self.windows.push((index, len, window));
        }
        Ok(buffer)
    }
}

/// An ArrayBuffer over bytes of the segment, which stays mapped until it is collected.
///
/// # Safety
/// The bytes lie in a mapping of `segment` and stay what they are for as long as JavaScript may use them.
pub unsafe fn external(js: Js, bytes: *mut u8, len: usize, segment: Arc<Segment>) -> Result<Value, Error> {
    let hint = Arc::into_raw(segment).cast_mut().cast::<c_void>();
    // SAFETY: the mapping lives until `unmap` has given the count back.
    match unsafe { js.external_array_buffer(bytes, len, unmap, hint) } {
        Some(buffer) => Ok(buffer),
        None => {
            // SAFETY: nobody took the count.
            drop(unsafe { Arc::from_raw(hint.cast::<Segment>()) });
            Err(Error::new(Code::UnsupportedRuntime, "this runtime forbids external ArrayBuffers"))
        }
    }
}

unsafe extern "C" fn unmap(_: sys::napi_env, _: *mut c_void, hint: *mut c_void) {
    // SAFETY: the count that `external` gave away; Node finalizes once. Dropping it cannot panic: it unmaps.
    drop(unsafe { Arc::from_raw(hint.cast::<Segment>()) });
}
