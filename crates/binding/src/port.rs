//! [`Port`]: one heap as one JavaScript thread sees it, and how a raw call enters it.
//!
//! Every hot call is a raw Node-API callback (6 to 16 ns; a `#[napi]` function costs up to 97) that was registered
//! with a pointer to its port. [`enter`] fetches the arguments, catches panics and turns a failure into words of the
//! state buffer, which `js/port.ts` describes: nothing that can be expected is thrown from here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use coheap_heap::segment::{Code, Error};
use coheap_heap::txn::Fault;
use napi::sys;

use crate::calls_tx;
use crate::convert;
use crate::js::{Js, Ref, Value};
use crate::live::Live;
use crate::staging::Staging;
use crate::text::Text;

/// What a call says of itself in `state[0]`; the same numbers as in `js/port.ts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    Ok = 0,
    Object = 1,
    Wire = 2,
    Absent = 3,
    Stale = 4,
    Aborted = 5,
    Error = 6,
    Again = 7,
    Closed = 8,
    Number = 9,
}

/// The bytes that both sides see as 64 words and as 32 doubles.
const STATE_BYTES: usize = 256;

/// Where the state buffer has the numbers of the hottest calls: see `js/port.ts`.
pub mod at {
    /// `state`: a handle, or a channel's number.
    pub const HANDLE: usize = 16;
    /// `state`: a shape word.
    pub const SHAPE: usize = 17;
    /// `state`: a slot.
    pub const SLOT: usize = 18;
    /// `state`: bytes in staging.
    pub const WIRE: usize = 19;
    /// `state`: flags of a transaction.
    pub const FLAGS: usize = 20;
    /// `state`: milliseconds.
    pub const MAX_HOLD: usize = 21;
    /// `state`: a callback's transaction is to begin with the next call, whichever it is.
    pub const BEGIN: usize = 22;
    /// `state`: the number of the staging buffer.
    pub const STAGING: usize = 63;
    /// `nums`: a value, in or out.
    pub const VALUE: usize = 12;
    /// `nums`: a transaction.
    pub const TX: usize = 13;
    /// `state`: 1: say where the entry stands; in the answer 1 if that was said.
    pub const PLACE: usize = 23;
    /// `nums`, in the answer: the offset of the entry's version word.
    pub const GUARD: usize = 14;
    /// `nums`: the offset of the key's cell.
    pub const KEY_AT: usize = 15;
    /// `nums`: the offset of the map's body.
    pub const BODY: usize = 16;
    /// `nums`: the map's word 5.
    pub const STRIPES: usize = 17;
    /// `nums`: the offset of the key's block, or 0.
    pub const KEY_BLOCK: usize = 18;
    /// `state`: the key's cell, two words.
    pub const KEY_CELL: usize = 38;
    /// `state`: the low half of word 0 of the key's block.
    pub const KEY_WORD: usize = 40;
}

/// The words of the state buffer.
pub struct State {
    bytes: *mut u8,
    /// Strong: the buffer lives as long as the environment.
    _buffer: Ref,
}

impl State {
    /// A zeroed one and its ArrayBuffer.
    fn new(js: Js) -> Option<(State, Value)> {
        let (buffer, bytes) = js.array_buffer(STATE_BYTES)?;
        Some((State { bytes, _buffer: js.reference(buffer, true)? }, buffer))
    }
    /// `state[i] = x`.
    #[inline]
    pub fn word(&mut self, i: usize, x: u32) {
        assert!(i < STATE_BYTES / 4);
        // SAFETY: in bounds; V8 aligns the bytes of an ArrayBuffer to 8; only this thread uses them.
        unsafe { self.bytes.cast::<u32>().add(i).write(x) }
    }
    /// `nums[i] = x`.
    #[inline]
    pub fn number(&mut self, i: usize, x: f64) {
        assert!(i < STATE_BYTES / 8);
        // SAFETY: as above.
        unsafe { self.bytes.cast::<f64>().add(i).write(x) }
    }
    /// `state[i]`.
    #[inline(always)]
    pub fn told_word(&self, i: usize) -> u32 {
        assert!(i < STATE_BYTES / 4);
        // SAFETY: as above.
        unsafe { self.bytes.cast::<u32>().add(i).read() }
    }
    /// `nums[i]`.
    #[inline(always)]
    pub fn told_number(&self, i: usize) -> f64 {
        assert!(i < STATE_BYTES / 8);
        // SAFETY: as above.
        unsafe { self.bytes.cast::<f64>().add(i).read() }
    }
    /// `state[0] = status`.
    #[inline]
    pub fn status(&mut self, status: Status) {
        self.word(0, status as u32);
    }
}

/// See the module.
pub struct Port {
    /// What the calls tell.
    pub state: State,
    /// Where values cross that do not cross as they are.
    pub staging: Staging,
    /// The last failure, for `lastError`.
    pub last_error: Error,
    /// A string that crossed: the first of a call.
    pub text: Text,
    /// The second.
    pub text2: Text,
    /// The heap; `None` once it has been left.
    pub live: Option<Box<Live>>,
}

/// What most calls work with.
pub struct Parts<'a> {
    /// The heap.
    pub live: &'a mut Live,
    /// Where staged values are.
    pub staging: &'a Staging,
    /// For the first string of the call.
    pub text: &'a mut Text,
    /// For the second.
    pub text2: &'a mut Text,
}

/// The result of a call: a value, or why there is none.
pub type Outcome = Result<Value, Fault>;

impl Port {
    /// What every call on a heap that was left says.
    pub const CLOSED: Error = Error::new(Code::Closed, "the heap is closed");

    /// A port on a heap that was just joined, and the ArrayBuffer of its state.
    pub fn new(js: Js, live: Live) -> Result<(Port, Value), Error> {
        let ending = Error::new(Code::Closed, "the thread is ending");
        let staging = Staging::new(js)?;
        let (state, buffer) = State::new(js).ok_or(ending)?;
        let (text, text2) = (Text::default(), Text::default());
        Ok((Port { state, staging, last_error: ending, text, text2, live: Some(Box::new(live)) }, buffer))
    }

    /// Leaves the heap; later calls fail with `ERR_COHEAP_CLOSED`. Without an environment to talk to (it is
    /// ending), references are left to it.
    pub fn leave(&mut self, js: Option<Js>) {
        let Some(live) = self.live.take() else { return };
        live.leave(js);
        // the port itself stays until its environment ends, for its callbacks may still be called
        (self.text, self.text2) = (Text::default(), Text::default());
        if let Some(js) = js {
            self.staging.release(js);
        }
    }

    /// The heap, or `ERR_COHEAP_CLOSED`.
    #[inline]
    pub fn live(&mut self) -> Result<&mut Live, Error> {
        self.live.as_deref_mut().ok_or(Port::CLOSED)
    }

    /// The heap, or `ERR_COHEAP_CLOSED`, and what goes with it, each borrowed for itself.
    #[inline]
    pub fn parts(&mut self) -> Result<Parts<'_>, Error> {
        let Port { live, staging, text, text2, .. } = self;
        Ok(Parts { live: live.as_deref_mut().ok_or(Port::CLOSED)?, staging, text, text2 })
    }

    /// A whole number from 0 to 2³² - 1.
    #[inline]
    pub fn u32(&self, js: Js, v: Value) -> Result<u32, Error> {
        js.as_u32(v).ok_or(Error::new(Code::InvalidArgument, "not a whole number from 0 to 4294967295"))
    }

    /// A whole number from 0 to 2⁵³ - 1.
    pub fn u64(&self, js: Js, v: Value) -> Result<u64, Error> {
        js.as_u64(v).ok_or(Error::new(Code::InvalidArgument, "not a whole number from 0 to 2^53 - 1"))
    }

    /// WIRE: what the operation has written.
    pub fn deliver_out(&mut self, js: Js) -> Outcome {
        let Port { live, staging, state, .. } = self;
        let live = live.as_deref_mut().ok_or(Port::CLOSED)?;
        convert::deliver_wire(js, state, staging, &mut live.out)
    }

    /// After a panic nobody knows what was half done: leaving the heap undoes it all, as the end of the thread would.
    #[cold]
    fn panicked(&mut self, js: Js) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.leave(Some(js))));
        self.fail(js, INTERNAL.into());
    }

    /// Tells a failure in the state buffer.
    #[cold]
    fn fail(&mut self, js: Js, fault: Fault) {
        let error = match fault {
            Fault::Aborted => {
                if let Some(live) = &mut self.live {
                    live.drop_tentative(js);
                }
                return self.state.status(Status::Aborted);
            }
            Fault::Error(error) => error,
            // neither leaves the transaction manager
            Fault::Again | Fault::Escalate => Error::new(Code::Corrupt, "an operation that did not end"),
        };
        self.last_error = error;
        self.state.status(Status::Error);
        self.state.word(1, error.code as u32);
    }
}

/// A panic: its message went to standard error.
const INTERNAL: Error = Error::new(Code::Corrupt, "an internal error of coheap, reported on standard error");

/// The type of a raw callback.
pub type Callback = unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value;

/// Enters the port that the present callback was registered with.
///
/// # Safety
/// `env` and `info` are the present callback's, which was registered with a pointer that `Environment::keep` gave.
#[inline(always)]
pub unsafe fn enter<const N: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    call: impl FnOnce(&mut Port, Js, [Value; N]) -> Outcome,
) -> sys::napi_value {
    // SAFETY: the caller's promise.
    let js = unsafe { Js::new(env) };
    // SAFETY: the caller's promise.
    let (args, data) = unsafe { js.arguments::<N>(info) };
    // SAFETY: a port lives as long as its environment. The reference is the only one: calls run on the
    // environment's thread, run no JavaScript (so none nests), and the waiter thread has its own state.
    let Some(port) = (unsafe { data.cast::<Port>().as_mut() }) else { return std::ptr::null_mut() };
    port.state.status(Status::Ok);
    let call = || {
        if port.state.told_word(at::BEGIN) != 0 {
            calls_tx::begin_asked(port)?;
        }
        call(port, js, args)
    };
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => value.raw(),
        Ok(Err(fault)) => {
            port.fail(js, fault);
            std::ptr::null_mut()
        }
        Err(_) => {
            port.panicked(js);
            std::ptr::null_mut()
        }
    }
}

/// A table of {name, callback} from functions `fn(&mut Port, Js, [Value; N]) -> Outcome`.
#[macro_export]
macro_rules! calls {
    ($($name:literal => $function:path),* $(,)?) => {
        &[$((
            $name,
            {
                unsafe extern "C" fn call(env: napi::sys::napi_env, info: napi::sys::napi_callback_info) -> napi::sys::napi_value {
                    // SAFETY: Node calls this with the callback's own `env` and `info`; `registration` registers
                    // every entry of such a table with a pointer that `Environment::keep` gave.
                    unsafe { $crate::port::enter(env, info, $function) }
                }
                call
            },
        )),*]
    };
}
