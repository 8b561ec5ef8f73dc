//! [`Environment`]: the heaps that one JavaScript thread has open, and how they are left when it ends.
//!
//! One per load of the module in one environment (main thread or worker), kept as the environment's instance
//! data. Its clean-up hook leaves every heap and joins the waiter threads. Hooks run when a worker ends, also by
//! `terminate()`, and when the main thread's loop runs dry; not on `process.exit()` (TypeScript calls `leaveAll`
//! from its `exit` event) and not when the process is killed (the kernel's locks tell the others).

use std::ffi::c_void;
use std::sync::Arc;

use coheap_heap::segment::Segment;
use napi::sys;

use crate::js::{Js, Ref, Value};
use crate::port::Port;

/// See the module.
pub struct Environment {
    /// All that were ever attached: their callbacks keep pointing at them, so they are freed only at the end.
    ports: Vec<Kept>,
    /// This is the main thread, as far as is known: its exit is the process's.
    main: bool,
}

struct Kept {
    port: *mut Port,
    /// The object that TypeScript has, weak.
    object: Option<Ref>,
}

impl Environment {
    /// Makes this environment's state and registers its end.
    pub fn install(js: Js) -> napi::Result<()> {
        let this = Box::into_raw(Box::new(Environment { ports: Vec::new(), main: false })).cast();
        // SAFETY: the instance data is ours alone (napi-rs leaves this slot to the addon) and is freed by its
        // finalizer only. The hook gets the same pointer; hooks run before finalizers of instance data.
        let (set, hooked) = unsafe {
            (
                sys::napi_set_instance_data(js.env(), this, Some(free), std::ptr::null_mut()),
                sys::napi_add_env_cleanup_hook(js.env(), Some(at_end), this),
            )
        };
        if set != sys::Status::napi_ok || hooked != sys::Status::napi_ok {
            return Err(napi::Error::from_reason("cannot register the environment's clean-up hook"));
        }
        Ok(())
    }

    /// Runs `f` on the state of this environment.
    fn with<T>(js: Js, f: impl FnOnce(&mut Environment) -> T) -> Option<T> {
        let mut data = std::ptr::null_mut();
        // SAFETY: written by the call; it is what `install` stored, or null. `f` runs no JavaScript and does
        // not come back here, so the reference is the only one.
        unsafe {
            sys::napi_get_instance_data(js.env(), &mut data);
            data.cast::<Environment>().as_mut().map(f)
        }
    }

    /// Keeps a port until the environment ends, and gives the pointer that its callbacks are registered with.
    pub fn keep(js: Js, port: Port, object: Value, main: bool) -> *mut Port {
        let port = Box::into_raw(Box::new(port));
        let object = js.reference(object, false);
        Environment::with(js, |e| {
            e.ports.push(Kept { port, object });
            e.main |= main;
        });
        port
    }

    /// The object of the port that is open on this segment.
    pub fn port_on(js: Js, segment: &Arc<Segment>) -> Option<Value> {
        Environment::with(js, |e| {
            e.ports.iter().find_map(|kept| {
                // SAFETY: ports live until the environment's end, and no callback of one is running: `attach` is not
                // a call on a port.
                let live = unsafe { (*kept.port).live.as_deref() }?;
                if Arc::ptr_eq(live.segment(), segment) { js.dereference(kept.object?) } else { None }
            })
        })?
    }

    /// For an exit hook: leaves every heap of this environment. On the main thread the process is about to end, so it stops
    /// counting as a user of any heap, whatever its workers are doing.
    pub fn leave_all(js: Js) {
        let ports: Vec<*mut Port> =
            Environment::with(js, |e| e.ports.iter().map(|kept| kept.port).collect()).unwrap_or_default();
        for port in ports {
            // SAFETY: ports live until the environment's end; no callback of this one is running on this
            // thread besides the one that called us, which holds no reference to it.
            unsafe { (*port).leave(Some(js)) };
        }
        if Environment::with(js, |e| e.main) == Some(true) {
            coheap_heap::segment::leave_process();
        }
    }
}

unsafe extern "C" fn at_end(data: *mut c_void) {
    let _ = std::panic::catch_unwind(|| {
        // SAFETY: `data` is what `install` registered; instance data is finalized after all hooks. No callback
        // is running. Without an environment to talk to, references are left to it.
        let this = unsafe { &mut *data.cast::<Environment>() };
        for &Kept { port, .. } in &this.ports {
            // SAFETY: as above; ports are freed with the environment.
            unsafe { (*port).leave(None) };
        }
    });
}

unsafe extern "C" fn free(_: sys::napi_env, data: *mut c_void, _: *mut c_void) {
    let _ = std::panic::catch_unwind(|| {
        // SAFETY: Node calls this once, when no JavaScript of this environment can run any more.
        let this = unsafe { Box::from_raw(data.cast::<Environment>()) };
        for &Kept { port, .. } in &this.ports {
            // SAFETY: made by `keep`, freed here only.
            drop(unsafe { Box::from_raw(port) });
        }
    });
}
