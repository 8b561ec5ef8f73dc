//! What the module exports, and how a port object is made.

use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use coheap_heap::open::{self, Mode, Options};
use coheap_heap::segment::{Code, Error, Segment};
use napi::bindgen_prelude::{JsValue, Object};
use napi::sys;
use napi_derive::napi;

use crate::environment::Environment;
use crate::js::{Js, Value};
use crate::live::Live;
use crate::port::{Callback, Port};

#[napi(module_exports)]
fn exports(exports: Object) -> napi::Result<()> {
    let raw = exports.value();
    // SAFETY: we are in the module's initialisation, on the environment's thread.
    let js = unsafe { Js::new(raw.env) };
    // SAFETY: as above.
    let exports = unsafe { Value::from_raw(raw.value) };
    Environment::install(js)?;
    const CALLS: &[(&CStr, Callback)] =
        &[(c"attach", attach), (c"list", list), (c"unlink", unlink), (c"leaveAll", leave_all)];
    for &(name, call) in CALLS {
        // SAFETY: these callbacks take no data.
        js.set(exports, name, unsafe { js.function(name, call, std::ptr::null_mut()) });
    }
    Ok(())
}

/// Runs a cold call that throws its failure.
fn cold(env: sys::napi_env, call: impl FnOnce(Js) -> Result<Value, Error>) -> sys::napi_value {
    // SAFETY: called from raw callbacks only, with their own `env`.
    let js = unsafe { Js::new(env) };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call(js))) {
        Ok(Ok(value)) => value.raw(),
        Ok(Err(error)) => js.throw(&error.to_string()).raw(),
        Err(_) => {
            js.throw("ERR_COHEAP_CORRUPT: an internal error of coheap, reported on standard error").raw()
        }
    }
}

unsafe extern "C" fn leave_all(env: sys::napi_env, _: sys::napi_callback_info) -> sys::napi_value {
    cold(env, |js| {
        Environment::leave_all(js);
        Ok(Value::NOTHING)
    })
}

unsafe extern "C" fn list(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    cold(env, |js| {
        // SAFETY: the present callback's own.
        let ([dir], _) = unsafe { js.arguments::<1>(info) };
        let dir = js.as_string(dir).map(PathBuf::from);
        let heaps: Vec<String> = open::list(dir.as_deref())?
            .iter()
            .map(|heap| {
                let pids: Vec<String> = heap.pids.iter().map(u32::to_string).collect();
                format!(
                    r#"{{"name":"{}","size":{},"pids":[{}],"stale":{},"createdAt":{}}}"#,
                    heap.name,
                    heap.committed,
                    pids.join(","),
                    heap.stale,
                    heap.created_at,
                )
            })
            .collect();
        Ok(js.string(&format!("[{}]", heaps.join(","))))
    })
}

unsafe extern "C" fn unlink(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    cold(env, |js| {
        // SAFETY: the present callback's own.
        let ([name, dir], _) = unsafe { js.arguments::<2>(info) };
        let name =
            js.as_string(name).ok_or(Error::new(Code::InvalidArgument, "a heap's name is a string"))?;
        let dir = js.as_string(dir).map(PathBuf::from);
        Ok(js.boolean(open::unlink(&name, dir.as_deref())?))
    })
}

unsafe extern "C" fn attach(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    cold(env, |js| {
        // SAFETY: the present callback's own.
        let ([mode, name, options], _) = unsafe { js.arguments::<3>(info) };
        let mode = match js.as_u32(mode) {
            Some(0) => Mode::Create,
            Some(1) => Mode::Open,
            Some(2) => Mode::OpenOrCreate,
            _ => return Err(Error::new(Code::InvalidArgument, "mode is 0, 1 or 2")),
        };
        let name =
            js.as_string(name).ok_or(Error::new(Code::InvalidArgument, "a heap's name is a string"))?;
        let options = native_options(js, options)?;
        let segment = open::segment(mode, &name, &options)?;
        if let Some(port) = Environment::port_on(js, &segment) {
            segment.decline();
            return Ok(port);
        }
        let live = Live::new(open::join(&segment, &options)?)?;
        port_object(js, &segment, live, options.thread == 0)
    })
}

/// `NativeOptions` of `js/port.ts`.
fn native_options(js: Js, options: Value) -> Result<Options, Error> {
    let number = |name: &CStr| {
        js.as_u64(js.property(options, name))
            .ok_or(Error::new(Code::InvalidArgument, "an option that is no whole number"))
    };
    let narrow = |name: &CStr| {
        number(name).and_then(|x| {
            u32::try_from(x)
                .map_err(|_| Error::about(Code::InvalidArgument, "an option that is too large", x))
        })
    };
    Ok(Options {
        size: number(c"size")?,
        max_size: number(c"maxSize")?,
        mode: narrow(c"mode")?,
        persist: js.as_bool(js.property(options, c"persist")).unwrap_or(false),
        max_participants: narrow(c"maxParticipants")?,
        patience_ms: number(c"patience")?,
        dir: js.as_string(js.property(options, c"dir")).map(PathBuf::from),
        thread: js.as_u64(js.property(options, c"threadId")).unwrap_or(0),
    })
}

/// Every call of a port.
const CALLS: [&[(&CStr, Callback)]; 7] = [
    crate::calls_port::CALLS,
    crate::calls_value::CALLS,
    crate::calls_record::CALLS,
    crate::calls_array::CALLS,
    crate::calls_map::CALLS,
    crate::calls_tx::CALLS,
    crate::calls_channel::CALLS,
];

/// The object that TypeScript calls: its data and one function a call.
fn port_object(js: Js, segment: &Segment, live: Live, main: bool) -> Result<Value, Error> {
    let participant = live.ctx.participant();
    let (port, state) = Port::new(js, live)?;
    let object = js.object();
    let port = Environment::keep(js, port, object, main).cast();
    js.set(object, c"state", js.typed_array(sys::TypedarrayType::uint32_array, 64, state));
    js.set(object, c"nums", js.typed_array(sys::TypedarrayType::float64_array, 32, state));
    js.set(object, c"name", js.string(segment.name()));
    // Relaxed: written before the segment was published
    let [a, b] = segment.header().nonce.each_ref().map(|word| word.load(Ordering::Relaxed));
    js.set(object, c"identity", js.string(&format!("{a:016x}{b:016x}")));
    js.set(object, c"participant", js.number(participant as f64));
    for &(name, call) in CALLS.into_iter().flatten() {
        // SAFETY: the port lives as long as the environment, and these callbacks take it for what it is.
        js.set(object, name, unsafe { js.function(name, call, port) });
    }
    Ok(object)
}
