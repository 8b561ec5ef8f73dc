//! Windows: sections of the page file, the registry's lock files, named events.
//!
//! A section lives as long as somebody has it open, so nothing is ever left behind and nothing persists. It is
//! called by its identity in the session's own namespace; the registry (`%LOCALAPPDATA%\coheap`, which the system
//! keeps from other users) knows which name leads to it. Its pages are reserved, and committed by `VirtualAlloc`.
//! The default descriptor of a section lets its user in and nobody else.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    CloseHandle, ERROR_ACCESS_DENIED, ERROR_ALREADY_EXISTS, ERROR_FILE_NOT_FOUND, FILETIME, GetLastError,
    HANDLE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Security::Cryptography::{BCRYPT_USE_SYSTEM_PREFERRED_RNG, BCryptGenRandom};
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP_READ, FILE_MAP_WRITE, MEM_COMMIT, MEM_FREE, MEMORY_BASIC_INFORMATION,
    MEMORY_MAPPED_VIEW_ADDRESS, MapViewOfFile, OpenFileMappingW, PAGE_READWRITE, SEC_COMMIT, SEC_RESERVE,
    UnmapViewOfFile, VirtualAlloc, VirtualQuery,
};
use windows_sys::Win32::System::SystemInformation::GetTickCount64;
use windows_sys::Win32::System::Threading::{
    CreateEventW, GetCurrentProcess, GetProcessTimes, SetEvent, WaitForSingleObject,
};

use super::registry::{Entry, Gate};
use super::{Bell, Os};
use crate::{Code, Error, Result};

/// A handle, closed when dropped.
struct Handle(HANDLE);

// SAFETY: a kernel handle may be used by any thread.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: it is ours and nobody uses it any more.
        unsafe { CloseHandle(self.0) };
    }
}

/// A mapped view, unmapped when dropped.
pub(crate) struct View(*mut u8);

// SAFETY: an address; what is mapped there is only touched through atomics and raw copies.
unsafe impl Send for View {}

impl View {
    fn new(section: &Handle, access: u32, at: u64, len: u64) -> Result<View> {
        // SAFETY: a new mapping at an address of the system's choice.
        let view = unsafe { MapViewOfFile(section.0, access, (at >> 32) as u32, at as u32, len as usize) };
        if view.Value.is_null() {
            return Err(last_error("the heap cannot be mapped"));
        }
        Ok(View(view.Value.cast()))
    }

    /// What is at an address of the view: its pages' state, and how many bytes are in that state from there on.
    fn state(&self, at: u64) -> Option<(u32, u64)> {
        // SAFETY: all-zero is a value of this plain struct, and the call fills it.
        unsafe {
            let mut info: MEMORY_BASIC_INFORMATION = std::mem::zeroed();
            let address = self.0.add(at as usize);
            let got = VirtualQuery(address.cast(), &mut info, size_of::<MEMORY_BASIC_INFORMATION>());
            let here = got != 0 && info.State != MEM_FREE && info.AllocationBase == self.0.cast();
            here.then_some((info.State, info.RegionSize as u64))
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: we made this mapping; who holds an address in it keeps the segment, and so us, alive.
        unsafe { UnmapViewOfFile(MEMORY_MAPPED_VIEW_ADDRESS { Value: self.0.cast() }) };
    }
}

/// See [`Os`].
pub(crate) struct Object {
    view: View,
    section: Handle,
    entry: Entry,
    /// The doorbells' events that this process has met.
    events: Mutex<HashMap<u32, Handle>>,
}

fn last_error(what: &'static str) -> Error {
    // SAFETY: always succeeds.
    let error = unsafe { GetLastError() };
    let code = match error {
        ERROR_ACCESS_DENIED => Code::Permission,
        ERROR_FILE_NOT_FOUND => Code::NotFound,
        ERROR_ALREADY_EXISTS => Code::Exists,
        _ => Code::OutOfMemory,
    };
    Error::system(code, what, &io::Error::from_raw_os_error(error as i32))
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

fn folder() -> Result<PathBuf> {
    let Some(home) = std::env::var_os("LOCALAPPDATA") else {
        return Err(Error::new(Code::NotFound, "LOCALAPPDATA is not set"));
    };
    let folder = PathBuf::from(home).join("coheap");
    match std::fs::create_dir_all(&folder) {
        Ok(()) => Ok(folder),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(Error::new(Code::Permission, "the registry cannot be made"))
        }
        Err(_) => Err(Error::new(Code::OutOfMemory, "the registry cannot be made")),
    }
}

fn section_name(identity: u64) -> Vec<u16> {
    wide(&format!("Local\\coheap.{identity:016x}"))
}

fn create_section(name: Option<&[u16]>, size: u64, kind: u32) -> Result<Handle> {
    let name = name.map_or(std::ptr::null(), <[u16]>::as_ptr);
    let (high, low) = ((size >> 32) as u32, size as u32);
    // SAFETY: a NUL-terminated name or none; the default security descriptor.
    let section = unsafe {
        CreateFileMappingW(INVALID_HANDLE_VALUE, std::ptr::null(), PAGE_READWRITE | kind, high, low, name)
    };
    if section.is_null() {
        return Err(last_error("the heap's section cannot be created"));
    }
    let section = Handle(section);
    // SAFETY: always succeeds.
    if unsafe { GetLastError() } == ERROR_ALREADY_EXISTS {
        return Err(Error::new(Code::Exists, "a section of this random name"));
    }
    Ok(section)
}

fn open_section(identity: u64) -> Result<Handle> {
    // SAFETY: a NUL-terminated name.
    let section =
        unsafe { OpenFileMappingW(FILE_MAP_READ | FILE_MAP_WRITE, 0, section_name(identity).as_ptr()) };
    if section.is_null() { Err(last_error("the heap cannot be opened")) } else { Ok(Handle(section)) }
}

impl Object {
    fn new(section: Handle, entry: Entry) -> Result<Object> {
        let view = View::new(&section, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0)?;
        Ok(Object { view, section, entry, events: Mutex::default() })
    }

    /// Does something with the event of a doorbell; nothing if the system has no more events.
    fn with_event(&self, number: u32, act: impl FnOnce(HANDLE)) {
        let event = {
            // nothing panics while it is held
            let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(event) = events.get(&number) {
                event.0
            } else {
                let name = wide(&format!("Local\\coheap.{:016x}.{number}", self.entry.identity));
                // SAFETY: a NUL-terminated name; made or, if another has made it, opened. It resets itself when
                // it lets the one sleeper go.
                let event = unsafe { CreateEventW(std::ptr::null(), 0, 0, name.as_ptr()) };
                if event.is_null() {
                    return;
                }
                events.insert(number, Handle(event));
                event
            }
        };
        // it lives as long as we do
        act(event);
    }
}

impl Os for Object {
    const PERSISTS: bool = false;
    const HAS_FOLDERS: bool = false;
    const HAS_GROUPS: bool = false;
    type Gate = Gate;
    type Window = View;

    fn create_excl(_dir: Option<&Path>, name: &str, size: u64) -> Result<Object> {
        let entry = Entry::new(folder()?, name, Object::random()? | 1);
        let gate = entry.gate()?;
        if let Some(other) = entry.registered()? {
            match open_section(other) {
                // its last user has died: the section went with it
                Err(error) if error.code == Code::NotFound => entry.unregister()?,
                _ => return Err(Error::new(Code::Exists, "there is something of this name")),
            }
        }
        let section = create_section(Some(&section_name(entry.identity)), size, SEC_RESERVE)?;
        entry.register()?;
        drop(gate);
        Object::new(section, entry)
    }

    fn open_checked(_dir: Option<&Path>, name: &str) -> Result<Object> {
        let entry = Entry::find(folder()?, name)?;
        Object::new(open_section(entry.identity)?, entry)
    }

    fn anonymous(size: u64) -> Result<Object> {
        let section = create_section(None, size, SEC_COMMIT)?;
        Object::new(section, Entry::new(PathBuf::new(), "", Object::random()? | 1))
    }

    fn list(_dir: Option<&Path>) -> Result<Vec<String>> {
        Entry::names(folder()?)
    }

    fn gate(&self) -> Result<Gate> {
        self.entry.gate()
    }

    fn identity(&self) -> (u64, u64) {
        (self.entry.identity, 0)
    }

    fn is_named(&self) -> Result<bool> {
        Ok(self.entry.registered()? == Some(self.entry.identity))
    }

    fn unlink(&self) -> Result<()> {
        self.entry.unregister()
    }

    fn grant(&self, _mode: u32) -> Result<()> {
        Ok(())
    }

    fn size(&self) -> Result<u64> {
        let mut size = 0;
        while let Some((_, len)) = self.view.state(size) {
            size += len;
        }
        Ok(size)
    }

    fn has_allocated(&self, bytes: u64) -> bool {
        let mut at = 0;
        while at < bytes {
            match self.view.state(at) {
                Some((MEM_COMMIT, len)) => at += len,
                _ => return false,
            }
        }
        true
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<()> {
        into.fill(0);
        if self.has_allocated(at + into.len() as u64) {
            for (i, byte) in into.iter_mut().enumerate() {
                // SAFETY: inside the view and committed, which it stays; volatile, for another process may
                // write it.
                *byte = unsafe { self.view.0.add(at as usize + i).read_volatile() };
            }
        }
        Ok(())
    }

    fn commit(&self, from: u64, to: u64) -> Result<()> {
        // SAFETY: inside the reserved view; pages that are committed already keep their content.
        let done = unsafe {
            VirtualAlloc(
                self.view.0.add(from as usize).cast(),
                (to - from) as usize,
                MEM_COMMIT,
                PAGE_READWRITE,
            )
        };
        if done.is_null() { Err(last_error("the system has no more memory")) } else { Ok(()) }
    }

    fn map_rw(&mut self) -> Result<()> {
        // mapped since it was opened: that is how its size and header are read
        Ok(())
    }

    fn base(&self) -> *mut u8 {
        self.view.0
    }

    fn map_ro(&self, at: u64, len: u64) -> Result<(*const u8, View)> {
        let view = View::new(&self.section, FILE_MAP_READ, at, len)?;
        Ok((view.0, view))
    }

    fn lock_row(&self, row: u8) -> Result<bool> {
        self.entry.lock_row(row)
    }

    fn unlock_row(&self, row: u8) {
        self.entry.unlock_row(row);
    }

    fn row_is_locked(&self, row: u8) -> bool {
        self.entry.row_is_locked(row)
    }

    fn sleep(&self, bell: Bell<'_>, expected: u32, timeout: Duration) {
        self.with_event(bell.number, |event| {
            // SeqCst pairs with the ringer's count: if it is not seen here, the ringer sees the sleeper and sets
            // the event, which stays set until somebody waits.
            if bell.word.load(Ordering::SeqCst) == expected {
                // one less than INFINITE at most
                let milliseconds = timeout.as_micros().div_ceil(1000).min(u32::MAX as u128 - 1) as u32;
                // SAFETY: an event of ours.
                unsafe { WaitForSingleObject(event, milliseconds) };
            }
        });
    }

    fn wake(&self, bell: Bell<'_>) {
        // SAFETY: an event of ours.
        self.with_event(bell.number, |event| unsafe {
            SetEvent(event);
        });
    }

    fn monotonic_ms() -> u64 {
        // SAFETY: always succeeds.
        unsafe { GetTickCount64() }
    }

    fn process_start() -> u64 {
        const NEVER: FILETIME = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };
        let (mut start, mut exit, mut kernel, mut user) = (NEVER, NEVER, NEVER, NEVER);
        // SAFETY: the process's own handle; writes the four times.
        let done =
            unsafe { GetProcessTimes(GetCurrentProcess(), &mut start, &mut exit, &mut kernel, &mut user) };
        if done == 0 { 0 } else { (start.dwHighDateTime as u64) << 32 | start.dwLowDateTime as u64 }
    }

    fn random() -> Result<u64> {
        let mut bits = [0u8; 8];
        // SAFETY: writes the eight bytes that it is given.
        let status = unsafe {
            BCryptGenRandom(
                std::ptr::null_mut(),
                bits.as_mut_ptr(),
                bits.len() as u32,
                BCRYPT_USE_SYSTEM_PREFERRED_RNG,
            )
        };
        if status != 0 {
            return Err(Error::about(Code::OutOfMemory, "the system gives no random numbers", status as u64));
        }
        Ok(u64::from_le_bytes(bits))
    }
}
