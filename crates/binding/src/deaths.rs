//! [`DeathWatch`]: tells JavaScript of participants that have died, while somebody listens.
//!
//! The heap's watcher notices a death on a thread of its own; each goes to the event loop as one call, so that a
//! listener that throws takes only its own death with it. The function is weak: it keeps no program alive.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use coheap_heap::Watcher;
use coheap_heap::segment::{Code, Error, ParticipantInfo, Segment};
use napi::sys;

use crate::js::{Js, Value};

/// Node's thread-safe function.
#[derive(Clone, Copy)]
struct LoopCall(sys::napi_threadsafe_function);

// SAFETY: a thread-safe function is made to be called from other threads. The watcher's thread is joined before the
// function is released, and before the environment's handles are closed (its clean-up hooks run first).
unsafe impl Send for LoopCall {}

impl LoopCall {
    /// Hands one death to the event loop, in its next turn.
    fn tell(self, info: &ParticipantInfo) {
        let data = Box::into_raw(Box::new(json(info, false)));
        // SAFETY: not released while the watcher's thread runs; see above.
        let status = unsafe {
            sys::napi_call_threadsafe_function(
                self.0,
                data.cast::<c_void>(),
                sys::ThreadsafeFunctionCallMode::nonblocking,
            )
        };
        if status != sys::Status::napi_ok {
            // SAFETY: it is closing and has not taken the text.
            drop(unsafe { Box::from_raw(data) });
        }
    }
}

/// See the module. It must not outlive the participant.
pub struct DeathWatch {
    call: LoopCall,
    watcher: Watcher,
}

impl DeathWatch {
    /// `callback` gets the JSON of each participant that dies from now on, on this environment's event loop.
    pub fn start(
        js: Js,
        segment: &Arc<Segment>,
        participant: u16,
        callback: Value,
    ) -> Result<DeathWatch, Error> {
        let name = js.string("coheap deaths");
        let mut call = ptr::null_mut();
        // SAFETY: handles of this scope.
        let status = unsafe {
            sys::napi_create_threadsafe_function(
                js.env(),
                callback.raw(),
                ptr::null_mut(),
                name.raw(),
                0,
                1,
                ptr::null_mut(),
                None,
                ptr::null_mut(),
                Some(on_loop),
                &mut call,
            )
        };
        if status != sys::Status::napi_ok {
            return Err(Error::new(Code::Closed, "the thread is ending"));
        }
        let call = LoopCall(call);
        // SAFETY: it was just made.
        unsafe { sys::napi_unref_threadsafe_function(js.env(), call.0) };
        match Watcher::start(segment, participant, move |info| call.tell(&info)) {
            Ok(watcher) => Ok(DeathWatch { call, watcher }),
            Err(error) => {
                release(call);
                Err(error)
            }
        }
    }

    /// Ends the watcher's thread and gives the function back: deaths that the loop has not been told of are
    /// forgotten. Without an environment to talk to, Node takes the function itself.
    pub fn stop(self, js: Option<Js>) {
        drop(self.watcher);
        if js.is_some() {
            release(self.call);
        }
    }
}

fn release(call: LoopCall) {
    // SAFETY: no other thread uses it any more; this is its one release.
    unsafe { sys::napi_release_threadsafe_function(call.0, sys::ThreadsafeFunctionReleaseMode::abort) };
}

/// On the event loop: one death. Without an environment (the function was released) only its text is freed.
unsafe extern "C" fn on_loop(
    env: sys::napi_env,
    callback: sys::napi_value,
    _: *mut c_void,
    data: *mut c_void,
) {
    let _ = std::panic::catch_unwind(|| {
        // SAFETY: `tell` gave it away; Node hands each out once.
        let text = unsafe { Box::from_raw(data.cast::<String>()) };
        if env.is_null() || callback.is_null() {
            return;
        }
        // SAFETY: Node calls this on the environment's thread, in a scope of its own; `callback` is a handle of it.
        let (js, callback) = unsafe { (Js::new(env), Value::from_raw(callback)) };
        js.call(callback, js.string(&text));
    });
}

/// A participant as `js/port.ts` describes it.
pub fn json(info: &ParticipantInfo, is_self: bool) -> String {
    format!(
        r#"{{"id":{},"pid":{},"threadId":{},"since":{},"alive":{},"self":{is_self}}}"#,
        info.id, info.pid, info.thread, info.since, info.alive,
    )
}
