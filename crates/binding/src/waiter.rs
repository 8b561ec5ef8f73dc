//! [`Waiter`]: the thread that sleeps for this environment's promises, one a heap, and the one function through
//! which it wakes the event loop.
//!
//! JavaScript hands over a token with a [`Condition`]. The thread sleeps on the participant's doorbell
//! ([`LANE_ASYNC`]); when it is rung it looks which conditions hold and hands their tokens, all together, to the
//! callback on the event loop. The libuv pool is never used: four sleeping promises would stop a program's file
//! access. The thread starts with the first wait, and sleeps in the process when there is nothing to wait for.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coheap_heap::segment::{Code, Error, LANE_ASYNC, Segment};
use napi::sys;

use crate::js::{Js, Value};

/// No sleep between processes is longer: the sender of a lost wake has died.
const NAP: Duration = Duration::from_millis(50);
/// For so long after the last wait the thread stays at the doorbell, where the next one finds it at no cost.
const LINGER: Duration = Duration::from_millis(500);

/// What a token waits for. It has told the heap whom to ring; dropping it takes that back.
pub trait Condition: Send {
    /// True when it may be worth trying again. `rung`: the participant's bell has rung since the last look. Never blocks.
    fn holds(&mut self, rung: bool) -> bool;
}

struct Wait {
    token: u32,
    condition: Box<dyn Condition>,
}

#[derive(Default)]
struct Inner {
    waits: Vec<Wait>,
    woken: Vec<u32>,
    /// The event loop has been told of `woken` and has not come for it yet.
    told: bool,
    /// The thread sleeps in the process, not at the doorbell.
    resting: bool,
}

struct Shared {
    segment: Arc<Segment>,
    participant: u16,
    stop: AtomicBool,
    inner: Mutex<Inner>,
    rest: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // a panic of either thread leaves whole vectors behind
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Node's thread-safe function; may be called from any thread until it says that it is closing.
#[derive(Clone, Copy)]
struct LoopCall(sys::napi_threadsafe_function);

// SAFETY: a thread-safe function is made to be called from other threads. The waiter thread is joined before the
// function is released, and before the environment's handles are closed (its clean-up hooks run first).
unsafe impl Send for LoopCall {}

/// See the module.
pub struct Waiter {
    shared: Arc<Shared>,
    call: LoopCall,
    thread: Option<JoinHandle<()>>,
}

impl Waiter {
    /// `callback` gets the woken tokens on this environment's event loop.
    pub fn new(js: Js, segment: Arc<Segment>, participant: u16, callback: Value) -> Result<Waiter, Error> {
        let shared = Arc::new(Shared {
            segment,
            participant,
            stop: AtomicBool::new(false),
            inner: Mutex::default(),
            rest: Condvar::new(),
        });
        let name = js.string("coheap");
        let context = Arc::into_raw(shared.clone()).cast_mut().cast::<c_void>();
        let mut call = ptr::null_mut();
        // SAFETY: handles of this scope. `context` is one count of the Arc, which `forget` gives back; the
        // function is weak from the start: it does not keep the loop alive by itself.
        let status = unsafe {
            sys::napi_create_threadsafe_function(
                js.env(),
                callback.raw(),
                ptr::null_mut(),
                name.raw(),
                0,
                1,
                ptr::null_mut(),
                Some(forget),
                context,
                Some(on_loop),
                &mut call,
            )
        };
        if status != sys::Status::napi_ok {
            // SAFETY: nobody took the count.
            drop(unsafe { Arc::from_raw(context.cast::<Shared>()) });
            return Err(Error::new(Code::Closed, "the thread is ending"));
        }
        let this = Waiter { shared, call: LoopCall(call), thread: None };
        this.keep_loop_alive(js, false);
        Ok(this)
    }

    /// Pending waits keep the event loop alive, or not.
    pub fn keep_loop_alive(&self, js: Js, on: bool) {
        // SAFETY: the function is ours until `stop`.
        unsafe {
            if on {
                sys::napi_ref_threadsafe_function(js.env(), self.call.0);
            } else {
                sys::napi_unref_threadsafe_function(js.env(), self.call.0);
            }
        }
    }

    /// Wakes `token` once `condition` holds, at the earliest in the next turn of the loop. The condition is
    /// already registered with the heap, so a ring from now on is not lost.
    pub fn wait(&mut self, token: u32, condition: Box<dyn Condition>) -> Result<(), Error> {
        if self.thread.is_none() {
            let (shared, call) = (self.shared.clone(), self.call);
            let thread =
                std::thread::Builder::new().name("coheap waiter".into()).spawn(move || run(&shared, call));
            let refused = |e| Error::system(Code::OutOfMemory, "no thread to wait with", &e);
            self.thread = Some(thread.map_err(refused)?);
        }
        let mut wait = Wait { token, condition };
        let mut inner = self.shared.lock();
        if wait.condition.holds(false) {
            wake(&mut inner, self.call, [token]);
        } else {
            inner.waits.push(wait);
            if std::mem::take(&mut inner.resting) {
                self.shared.rest.notify_one();
            }
        }
        Ok(())
    }

    /// Forgets a token: it is not handed to the callback any more.
    pub fn cancel(&self, token: u32) {
        let mut inner = self.shared.lock();
        inner.woken.retain(|&t| t != token);
        let at = inner.waits.iter().position(|w| w.token == token);
        let gone = at.map(|i| inner.waits.swap_remove(i));
        drop(inner);
        drop(gone);
    }

    /// Ends the thread and gives the function back. Without an environment to talk to, Node takes it itself.
    pub fn stop(mut self, js: Option<Js>) {
        self.shared.stop.store(true, Ordering::SeqCst);
        {
            let mut inner = self.shared.lock();
            inner.resting = false;
            self.shared.rest.notify_one();
        }
        self.shared.segment.ring(self.shared.participant, LANE_ASYNC);
        if let Some(thread) = self.thread.take() {
            // it sleeps at a bell that was just rung; a panic in it has been reported
            let _ = thread.join();
        }
        let waits = std::mem::take(&mut self.shared.lock().waits);
        drop(waits);
        if js.is_some() {
            // SAFETY: the only thread that used it is gone; this is its one release.
            unsafe {
                sys::napi_release_threadsafe_function(self.call.0, sys::ThreadsafeFunctionReleaseMode::abort)
            };
        }
    }
}

/// Tells the loop about woken tokens, once until it comes for them.
fn wake(inner: &mut Inner, call: LoopCall, tokens: impl IntoIterator<Item = u32>) {
    inner.woken.extend(tokens);
    if !inner.woken.is_empty() && !inner.told {
        // SAFETY: not released while the thread runs; see `LoopCall`. When it is closing nobody listens.
        let status = unsafe {
            sys::napi_call_threadsafe_function(
                call.0,
                ptr::null_mut(),
                sys::ThreadsafeFunctionCallMode::nonblocking,
            )
        };
        inner.told = status == sys::Status::napi_ok;
    }
}

fn run(shared: &Shared, call: LoopCall) {
    let mut last_wait = Instant::now();
    let mut last_bell = shared.segment.bell(shared.participant, LANE_ASYNC);
    while !shared.stop.load(Ordering::SeqCst) {
        // read before looking: a ring between the look and the sleep makes the sleep return at once
        let bell = shared.segment.bell(shared.participant, LANE_ASYNC);
        let rung = std::mem::replace(&mut last_bell, bell) != bell;
        let mut inner = shared.lock();
        if inner.waits.is_empty() {
            if last_wait.elapsed() > LINGER {
                inner.resting = true;
                let stopped = || shared.stop.load(Ordering::SeqCst);
                drop(shared.rest.wait_while(inner, |i| i.resting && !stopped()));
                last_wait = Instant::now();
                continue;
            }
            // not held while asleep: the event loop's thread takes it for each wait
            drop(inner);
        } else {
            last_wait = Instant::now();
            let held: Vec<Wait> = inner.waits.extract_if(.., |w| w.condition.holds(rung)).collect();
            wake(&mut inner, call, held.iter().map(|w| w.token));
            drop(inner);
            drop(held);
        }
        shared.segment.sleep(shared.participant, LANE_ASYNC, bell, NAP);
    }
}

/// On the event loop: hands the woken tokens to the callback.
unsafe extern "C" fn on_loop(
    env: sys::napi_env,
    callback: sys::napi_value,
    context: *mut c_void,
    _: *mut c_void,
) {
    if env.is_null() {
        return;
    }
    let _ = std::panic::catch_unwind(|| {
        // SAFETY: Node calls this on the environment's thread, in a scope of its own.
        let js = unsafe { Js::new(env) };
        // SAFETY: the context holds a count of the Arc until `forget`, which comes after the last call.
        let shared = unsafe { &*context.cast::<Shared>() };
        let woken = {
            let mut inner = shared.lock();
            inner.told = false;
            std::mem::take(&mut inner.woken)
        };
        // SAFETY: a handle of this scope.
        let callback = unsafe { Value::from_raw(callback) };
        for token in woken {
            let token = js.number(token as f64);
            js.call(callback, token);
        }
    });
}

unsafe extern "C" fn forget(_: sys::napi_env, _: *mut c_void, context: *mut c_void) {
    // SAFETY: the count that `Waiter::new` gave away; Node finalizes once.
    drop(unsafe { Arc::from_raw(context.cast::<Shared>()) });
}
