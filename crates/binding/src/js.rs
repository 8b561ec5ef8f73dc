//! [`Js`]: the few Node-API functions that we use, each one call wide, with their preconditions in types.
//!
//! A [`Js`] stands for "we are on this environment's thread, inside a callback"; a [`Value`] is a handle of the
//! callback's scope. Neither is ever stored: what outlives a callback is a [`Ref`]. Expected outcomes are values,
//! never exceptions (an exception thrown from native code costs 3.3 µs).

use std::ffi::{CStr, c_void};
use std::ptr;

use napi::sys;

/// A JavaScript value, alive until the present callback returns.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Value(sys::napi_value);

impl Value {
    /// What a callback returns for `undefined`.
    pub const NOTHING: Value = Value(ptr::null_mut());

    /// A handle that Node gave.
    ///
    /// # Safety
    /// It belongs to the present scope.
    pub unsafe fn from_raw(raw: sys::napi_value) -> Value {
        Value(raw)
    }

    /// The raw handle, to be returned to Node.
    pub fn raw(self) -> sys::napi_value {
        self.0
    }
}

/// A reference that outlives the callback; weak unless said otherwise.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ref(sys::napi_ref);

/// What `typeof` says, as far as we tell the kinds apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Undefined,
    Boolean,
    Number,
    String,
    Other,
}

/// The environment of the present callback.
#[derive(Clone, Copy)]
pub struct Js {
    env: sys::napi_env,
}

impl Js {
    /// # Safety
    /// `env` is the environment whose callback (or clean-up hook) is running on this thread, and the result is
    /// dropped before that returns.
    pub unsafe fn new(env: sys::napi_env) -> Js {
        Js { env }
    }

    /// The raw environment, for registration.
    pub fn env(self) -> sys::napi_env {
        self.env
    }

    /// The arguments of the present callback (absent ones are `undefined`) and the data pointer that it was
    /// registered with.
    ///
    /// # Safety
    /// `info` is the present callback's.
    #[inline]
    pub unsafe fn arguments<const N: usize>(
        self,
        info: sys::napi_callback_info,
    ) -> ([Value; N], *mut c_void) {
        let mut args = [Value::NOTHING; N];
        let mut count = N;
        let mut data = ptr::null_mut();
        // SAFETY: `Value` is transparent over `napi_value`; `args` has room for `count` of them. A failure (the
        // environment is being torn down) leaves the nulls, which every later call refuses.
        unsafe {
            sys::napi_get_cb_info(
                self.env,
                info,
                &mut count,
                args.as_mut_ptr().cast(),
                ptr::null_mut(),
                &mut data,
            )
        };
        (args, data)
    }

    /// The number, if it is one.
    #[inline]
    pub fn as_f64(self, v: Value) -> Option<f64> {
        let mut out = 0.0;
        // SAFETY: `v` is a handle of this scope (or null, which Node refuses).
        (unsafe { sys::napi_get_value_double(self.env, v.0, &mut out) } == sys::Status::napi_ok)
            .then_some(out)
    }

    /// The number, if it is a whole one from 0 to 2³² - 1. Node's own conversion wraps: -1 would be 4294967295.
    #[inline]
    pub fn as_u32(self, v: Value) -> Option<u32> {
        let x = self.as_f64(v)?;
        let whole = x as u32;
        (whole as f64 == x).then_some(whole)
    }

    /// The number, if it is a whole one from 0 to 2⁵³ - 1.
    pub fn as_u64(self, v: Value) -> Option<u64> {
        let x = self.as_f64(v)?;
        let whole = x as u64;
        (whole as f64 == x && whole < 1 << 53).then_some(whole)
    }

    /// The boolean, if it is one.
    #[inline]
    pub fn as_bool(self, v: Value) -> Option<bool> {
        let mut out = false;
        // SAFETY: as in `as_f64`.
        (unsafe { sys::napi_get_value_bool(self.env, v.0, &mut out) } == sys::Status::napi_ok).then_some(out)
    }

    /// `typeof v`.
    #[inline]
    pub fn type_of(self, v: Value) -> Type {
        let mut out = 0;
        // SAFETY: as in `as_f64`.
        unsafe { sys::napi_typeof(self.env, v.0, &mut out) };
        match out {
            sys::ValueType::napi_undefined => Type::Undefined,
            sys::ValueType::napi_boolean => Type::Boolean,
            sys::ValueType::napi_number => Type::Number,
            sys::ValueType::napi_string => Type::String,
            _ => Type::Other,
        }
    }

    /// Copies the string's UTF-16 units into `out`, whose capacity is kept from call to call; false if `v` is
    /// not a string.
    #[inline]
    pub fn utf16_into(self, v: Value, out: &mut Vec<u16>) -> bool {
        const FIRST: usize = 256;
        if out.capacity() < FIRST {
            out.reserve(FIRST);
        }
        // SAFETY: fewer than `capacity` units and a terminator are written; the count says how many. Units
        // beyond it are not exposed.
        unsafe {
            out.set_len(0);
            let mut units = 0;
            let room = out.capacity();
            if sys::napi_get_value_string_utf16(self.env, v.0, out.as_mut_ptr(), room, &mut units)
                != sys::Status::napi_ok
            {
                return false;
            }
            if units + 1 < room {
                out.set_len(units);
                return true;
            }
            // it may have been cut: ask for its length, then for all of it
            if sys::napi_get_value_string_utf16(self.env, v.0, ptr::null_mut(), 0, &mut units)
                != sys::Status::napi_ok
            {
                return false;
            }
            out.reserve(units + 1);
            let room = out.capacity();
            if sys::napi_get_value_string_utf16(self.env, v.0, out.as_mut_ptr(), room, &mut units)
                != sys::Status::napi_ok
            {
                return false;
            }
            out.set_len(units);
        }
        true
    }

    /// The string as Rust has it (lone surrogates become U+FFFD), if `v` is one.
    pub fn as_string(self, v: Value) -> Option<String> {
        let mut units = Vec::new();
        self.utf16_into(v, &mut units).then(|| String::from_utf16_lossy(&units))
    }

    /// A number.
    #[inline]
    pub fn number(self, x: f64) -> Value {
        let mut out = ptr::null_mut();
        // SAFETY: `out` is written by the call; a failure leaves null, which is `undefined` to the caller.
        unsafe { sys::napi_create_double(self.env, x, &mut out) };
        Value(out)
    }

    /// A boolean.
    #[inline]
    pub fn boolean(self, x: bool) -> Value {
        let mut out = ptr::null_mut();
        // SAFETY: as in `number`.
        unsafe { sys::napi_get_boolean(self.env, x, &mut out) };
        Value(out)
    }

    /// `null`.
    pub fn null(self) -> Value {
        let mut out = ptr::null_mut();
        // SAFETY: as in `number`.
        unsafe { sys::napi_get_null(self.env, &mut out) };
        Value(out)
    }

    /// A string of one byte a character.
    #[inline]
    pub fn latin1(self, chars: &[u8]) -> Value {
        let mut out = ptr::null_mut();
        // SAFETY: `chars` is our own memory, copied by the call.
        unsafe {
            sys::napi_create_string_latin1(self.env, chars.as_ptr().cast(), chars.len() as isize, &mut out)
        };
        Value(out)
    }

    /// A string of UTF-16 units, lone surrogates kept.
    pub fn utf16(self, units: &[u16]) -> Value {
        let mut out = ptr::null_mut();
        // SAFETY: `units` is our own memory, copied by the call.
        unsafe { sys::napi_create_string_utf16(self.env, units.as_ptr(), units.len() as isize, &mut out) };
        Value(out)
    }

    /// A string.
    pub fn string(self, s: &str) -> Value {
        let mut out = ptr::null_mut();
        // SAFETY: `s` is our own memory, copied by the call.
        unsafe { sys::napi_create_string_utf8(self.env, s.as_ptr().cast(), s.len() as isize, &mut out) };
        Value(out)
    }

    /// An empty object.
    pub fn object(self) -> Value {
        let mut out = ptr::null_mut();
        // SAFETY: as in `number`.
        unsafe { sys::napi_create_object(self.env, &mut out) };
        Value(out)
    }

    /// `object[name] = value`.
    pub fn set(self, object: Value, name: &CStr, value: Value) {
        // SAFETY: handles of this scope; the name is copied.
        unsafe { sys::napi_set_named_property(self.env, object.0, name.as_ptr(), value.0) };
    }

    /// `object[name]`.
    pub fn property(self, object: Value, name: &CStr) -> Value {
        let mut out = ptr::null_mut();
        // SAFETY: handles of this scope.
        unsafe { sys::napi_get_named_property(self.env, object.0, name.as_ptr(), &mut out) };
        Value(out)
    }

    /// A function over a raw callback.
    ///
    /// # Safety
    /// `data` is what `callback` takes it for, as long as this environment lives.
    pub unsafe fn function(
        self,
        name: &CStr,
        callback: unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value,
        data: *mut c_void,
    ) -> Value {
        let mut out = ptr::null_mut();
        let len = name.to_bytes().len() as isize;
        // SAFETY: the caller's promise.
        unsafe { sys::napi_create_function(self.env, name.as_ptr(), len, Some(callback), data, &mut out) };
        Value(out)
    }

    /// Calls `function()` with one argument. An exception stays pending: Node takes it from there.
    pub fn call(self, function: Value, argument: Value) {
        let mut this = ptr::null_mut();
        let mut out = ptr::null_mut();
        // SAFETY: handles of this scope; one argument.
        unsafe {
            sys::napi_get_undefined(self.env, &mut this);
            sys::napi_call_function(self.env, this, function.0, 1, &argument.0, &mut out);
        }
    }

    /// A fresh ArrayBuffer and where its bytes are; they move never and live as long as it.
    pub fn array_buffer(self, bytes: usize) -> Option<(Value, *mut u8)> {
        let mut out = ptr::null_mut();
        let mut data = ptr::null_mut();
        // SAFETY: as in `number`.
        let status = unsafe { sys::napi_create_arraybuffer(self.env, bytes, &mut data, &mut out) };
        (status == sys::Status::napi_ok).then_some((Value(out), data.cast()))
    }

    /// An ArrayBuffer over memory that is not V8's. `None` where the runtime forbids such (Electron).
    ///
    /// # Safety
    /// The memory stays mapped until `finalize(hint)` has run, which happens once, on this thread. If the result
    /// is `None`, `finalize` does not run.
    pub unsafe fn external_array_buffer(
        self,
        data: *mut u8,
        bytes: usize,
        finalize: unsafe extern "C" fn(sys::napi_env, *mut c_void, *mut c_void),
        hint: *mut c_void,
    ) -> Option<Value> {
        let mut out = ptr::null_mut();
        // SAFETY: the caller's promise.
        let status = unsafe {
            sys::napi_create_external_arraybuffer(
                self.env,
                data.cast(),
                bytes,
                Some(finalize),
                hint,
                &mut out,
            )
        };
        (status == sys::Status::napi_ok).then_some(Value(out))
    }

    /// Takes the memory away from an ArrayBuffer: its length and that of its views become 0.
    pub fn detach(self, buffer: Value) {
        // SAFETY: a handle of this scope.
        unsafe { sys::napi_detach_arraybuffer(self.env, buffer.0) };
    }

    /// A typed array over an ArrayBuffer.
    pub fn typed_array(self, kind: sys::napi_typedarray_type, length: usize, buffer: Value) -> Value {
        let mut out = ptr::null_mut();
        // SAFETY: handles of this scope; Node checks the range.
        unsafe { sys::napi_create_typedarray(self.env, kind, length, buffer.0, 0, &mut out) };
        Value(out)
    }

    /// A reference: weak with `strong` false.
    #[inline]
    pub fn reference(self, v: Value, strong: bool) -> Option<Ref> {
        let mut out = ptr::null_mut();
        // SAFETY: a handle of this scope.
        let status = unsafe { sys::napi_create_reference(self.env, v.0, strong as u32, &mut out) };
        (status == sys::Status::napi_ok).then_some(Ref(out))
    }

    /// What the reference refers to; `None` when it has been collected.
    #[inline]
    pub fn dereference(self, r: Ref) -> Option<Value> {
        let mut out = ptr::null_mut();
        // SAFETY: `r` was made by `reference` in this environment and not deleted: its owner forgets it then.
        unsafe { sys::napi_get_reference_value(self.env, r.0, &mut out) };
        (!out.is_null()).then_some(Value(out))
    }

    /// Gives a reference back. It must not be used again.
    pub fn delete_reference(self, r: Ref) {
        // SAFETY: as in `dereference`.
        unsafe { sys::napi_delete_reference(self.env, r.0) };
    }

    /// Throws an `Error` with this message; `undefined` for the callback to return.
    pub fn throw(self, message: &str) -> Value {
        let text = self.string(message);
        let mut error = ptr::null_mut();
        // SAFETY: handles of this scope.
        unsafe {
            sys::napi_create_error(self.env, ptr::null_mut(), text.0, &mut error);
            sys::napi_throw(self.env, error);
        }
        Value::NOTHING
    }
}
