//! macOS: POSIX shared memory mapped by the `shared_memory` crate, the registry's lock files,
//! `os_sync_wait_on_address`.
//!
//! A shared memory object has a name of at most 30 bytes, no folder, no group and no `pread`; its memory is the
//! system's virtual memory, so a page that has not been touched is never a fault and there is nothing to commit.
//! It is called by its identity; the registry (`/tmp/coheap-UID`, 0700 and verified to be the user's) knows which
//! name leads to it.

use std::ffi::{CStr, CString, c_int, c_void};
use std::fs::File;
use std::io;
use std::os::fd::FromRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use shared_memory::{Shmem, ShmemConf, ShmemError};

use super::registry::{Entry, Gate};
use super::view::{View, refused};
use super::{Bell, Os};
use crate::{Code, Error, Result};

enum Mapping {
    None,
    /// By the `shared_memory` crate, never as its owner: it would unlink.
    Named(Shmem),
    Own(View),
}

/// See [`Os`].
pub(crate) struct Object {
    mapping: Mapping,
    file: File,
    entry: Entry,
}

/// The registry's folder, made at first use.
fn folder() -> Result<PathBuf> {
    // not TMPDIR: all processes of a user must agree
    // SAFETY: always succeeds.
    let uid = unsafe { libc::geteuid() };
    let folder = PathBuf::from(format!("/tmp/coheap-{uid}"));
    match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(refused("the registry cannot be made", &error));
        }
        _ => {}
    }
    let about = std::fs::symlink_metadata(&folder).map_err(|e| refused("the registry cannot be read", &e))?;
    if !about.is_dir() || about.uid() != uid || about.mode() & 0o077 != 0 {
        return Err(Error::new(Code::Permission, "the registry's folder in /tmp is not this user's alone"));
    }
    Ok(folder)
}

fn object_name(identity: u64) -> String {
    format!("/coheap.{identity:016x}")
}

/// Opens the object of an identity.
fn open_object(identity: u64, flags: c_int) -> io::Result<File> {
    let name = CString::new(object_name(identity))?;
    // SAFETY: a NUL-terminated name; the descriptor is ours alone.
    let fd = unsafe { libc::shm_open(name.as_ptr(), libc::O_RDWR | flags, 0o600) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened; F_SETFD changes only the descriptor's flags.
    unsafe {
        libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        Ok(File::from_raw_fd(fd))
    }
}

fn remove_object(identity: u64) -> io::Result<()> {
    let name = CString::new(object_name(identity))?;
    // SAFETY: a NUL-terminated name.
    if unsafe { libc::shm_unlink(name.as_ptr()) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl Object {
    fn check(&self) -> Result<()> {
        let about = self.file.metadata().map_err(|e| refused("the heap's object cannot be looked at", &e))?;
        // SAFETY: always succeeds.
        if about.uid() != unsafe { libc::geteuid() } || about.mode() & 0o077 != 0 {
            return Err(Error::about(Code::Permission, "it is another user's heap", about.uid() as u64));
        }
        Ok(())
    }
}

impl Os for Object {
    const PERSISTS: bool = true;
    const HAS_FOLDERS: bool = false;
    const HAS_GROUPS: bool = false;
    type Gate = Gate;
    type Window = View;

    fn create_excl(_dir: Option<&Path>, name: &str, size: u64) -> Result<Object> {
        const WHAT: &str = "the heap's object cannot be created";
        let entry = Entry::new(folder()?, name, Object::random()? | 1);
        let gate = entry.gate()?;
        if let Some(other) = entry.registered()? {
            match open_object(other, 0) {
                // a log-out or a restart has removed the object; or its creator died between name and object
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => entry.unregister()?,
                _ => return Err(Error::new(Code::Exists, "there is something of this name")),
            }
        }
        entry.register()?;
        let made = ShmemConf::new().os_id(object_name(entry.identity)).size(size as usize).create();
        let mut mapping = made.map_err(|error| {
            let _ = entry.unregister();
            match error {
                ShmemError::MapCreateFailed(errno) | ShmemError::UnknownOsError(errno) => {
                    refused(WHAT, &io::Error::from_raw_os_error(errno as i32))
                }
                _ => Error::new(Code::OutOfMemory, WHAT),
            }
        })?;
        let file = open_object(entry.identity, 0).map_err(|e| refused(WHAT, &e))?;
        mapping.set_owner(false);
        drop(gate);
        Ok(Object { mapping: Mapping::Named(mapping), file, entry })
    }

    fn open_checked(_dir: Option<&Path>, name: &str) -> Result<Object> {
        let entry = Entry::find(folder()?, name)?;
        let file = open_object(entry.identity, 0).map_err(|e| match e.raw_os_error() {
            Some(libc::ENOENT) => {
                Error::new(Code::NotFound, "the heap is registered, but its object is gone")
            }
            _ => refused("the heap cannot be opened", &e),
        })?;
        let object = Object { mapping: Mapping::None, file, entry };
        object.check()?;
        Ok(object)
    }

    fn anonymous(size: u64) -> Result<Object> {
        const WHAT: &str = "cannot make an anonymous segment";
        let entry = Entry::new(PathBuf::new(), "", Object::random()? | 1);
        let file =
            open_object(entry.identity, libc::O_CREAT | libc::O_EXCL).map_err(|e| refused(WHAT, &e))?;
        remove_object(entry.identity).map_err(|e| refused(WHAT, &e))?;
        file.set_len(size).map_err(|e| refused(WHAT, &e))?;
        let view = View::new(&file, 0, size, libc::PROT_READ | libc::PROT_WRITE)?;
        Ok(Object { mapping: Mapping::Own(view), file, entry })
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
        // the name first: killed in between, the object is left but nobody finds half a heap
        self.entry.unregister()?;
        remove_object(self.entry.identity).map_err(|e| refused("the heap's object cannot be removed", &e))
    }

    fn grant(&self, _mode: u32) -> Result<()> {
        Ok(())
    }

    fn size(&self) -> Result<u64> {
        let about = self.file.metadata().map_err(|e| refused("the heap's object cannot be looked at", &e))?;
        Ok(about.len())
    }

    fn has_allocated(&self, _bytes: u64) -> bool {
        true
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<()> {
        into.fill(0);
        let end = (at + into.len() as u64).min(self.size()?);
        if at < end {
            // from the start: pages can be of 16 KiB
            let view = View::new(&self.file, 0, end, libc::PROT_READ)?;
            for (i, byte) in into.iter_mut().enumerate().take((end - at) as usize) {
                // SAFETY: inside the view; volatile, for another process may write it.
                *byte = unsafe { view.base().add(at as usize + i).read_volatile() };
            }
        }
        Ok(())
    }

    fn commit(&self, _from: u64, _to: u64) -> Result<()> {
        Ok(())
    }

    fn map_rw(&mut self) -> Result<()> {
        const WHAT: &str = "the heap cannot be mapped";
        let opened = ShmemConf::new().os_id(object_name(self.entry.identity)).open();
        let mut mapping = opened.map_err(|error| match error {
            ShmemError::MapOpenFailed(errno) => refused(WHAT, &io::Error::from_raw_os_error(errno as i32)),
            _ => Error::new(Code::OutOfMemory, WHAT),
        })?;
        mapping.set_owner(false);
        self.mapping = Mapping::Named(mapping);
        Ok(())
    }

    fn base(&self) -> *mut u8 {
        match &self.mapping {
            Mapping::None => std::ptr::null_mut(),
            Mapping::Named(mapping) => mapping.as_ptr(),
            Mapping::Own(view) => view.base(),
        }
    }

    fn map_ro(&self, at: u64, len: u64) -> Result<(*const u8, View)> {
        let view = View::new(&self.file, at, len, libc::PROT_READ)?;
        Ok((view.base(), view))
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
        let address = bell.word.as_ptr().cast();
        match waits() {
            Waits::OsSync { wait, .. } => {
                let nanoseconds = timeout.as_nanos().clamp(1, u64::MAX as u128) as u64;
                // SAFETY: of the documented type; the word lives in a mapping that outlives the call.
                unsafe {
                    wait(
                        address,
                        expected as u64,
                        size_of::<AtomicU32>(),
                        SHARED,
                        MACH_ABSOLUTE_TIME,
                        nanoseconds,
                    )
                };
            }
            Waits::Ulock { wait, .. } => {
                // 0 would be for ever
                let microseconds = timeout.as_micros().clamp(1, u32::MAX as u128) as u32;
                // SAFETY: as above, of the type that libc++ and Rust's own library use.
                unsafe { wait(COMPARE_AND_WAIT_SHARED, address, expected as u64, microseconds) };
            }
            Waits::Neither => std::thread::sleep(timeout.min(Duration::from_millis(1))),
        }
    }

    fn wake(&self, bell: Bell<'_>) {
        let address = bell.word.as_ptr().cast();
        match waits() {
            // SAFETY: of the documented type; the address is only a key.
            Waits::OsSync { wake, .. } => unsafe {
                wake(address, size_of::<AtomicU32>(), SHARED);
            },
            // SAFETY: as above.
            Waits::Ulock { wake, .. } => unsafe {
                wake(COMPARE_AND_WAIT_SHARED | WAKE_ALL, address, 0);
            },
            Waits::Neither => {}
        }
    }

    fn monotonic_ms() -> u64 {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: writes the timespec; CLOCK_MONOTONIC always exists.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
        now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
    }

    fn process_start() -> u64 {
        // SAFETY: all-zero is a value of this plain struct, and the call fills at most its size.
        unsafe {
            let mut info: libc::proc_bsdinfo = std::mem::zeroed();
            let size = size_of::<libc::proc_bsdinfo>() as c_int;
            let into = (&raw mut info).cast();
            let got = libc::proc_pidinfo(std::process::id() as c_int, libc::PROC_PIDTBSDINFO, 0, into, size);
            if got == size { info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec } else { 0 }
        }
    }

    fn random() -> Result<u64> {
        let mut bits = [0u8; 8];
        // SAFETY: writes the eight bytes that it is given.
        if unsafe { libc::getentropy(bits.as_mut_ptr().cast(), bits.len()) } != 0 {
            return Err(refused("the system gives no random numbers", &io::Error::last_os_error()));
        }
        Ok(u64::from_le_bytes(bits))
    }
}

const SHARED: u32 = 1;
const MACH_ABSOLUTE_TIME: u32 = 32;
const COMPARE_AND_WAIT_SHARED: u32 = 3;
const WAKE_ALL: u32 = 0x100;

type OsSyncWait = unsafe extern "C" fn(*mut c_void, u64, usize, u32, u32, u64) -> c_int;
type OsSyncWake = unsafe extern "C" fn(*mut c_void, usize, u32) -> c_int;
type UlockWait = unsafe extern "C" fn(u32, *mut c_void, u64, u32) -> c_int;
type UlockWake = unsafe extern "C" fn(u32, *mut c_void, u64) -> c_int;

/// What this release of macOS has for sleeping on an address: `os_sync_wait_on_address` since 14.4, before that
/// the `__ulock` calls that it is made of.
enum Waits {
    OsSync { wait: OsSyncWait, wake: OsSyncWake },
    Ulock { wait: UlockWait, wake: UlockWake },
    Neither,
}

fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: a NUL-terminated name.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

fn waits() -> &'static Waits {
    static WAITS: OnceLock<Waits> = OnceLock::new();
    WAITS.get_or_init(|| {
        let os_sync =
            (symbol(c"os_sync_wait_on_address_with_timeout"), symbol(c"os_sync_wake_by_address_all"));
        if let (Some(wait), Some(wake)) = os_sync {
            // SAFETY: the types are those of os/os_sync_wait_on_address.h.
            return unsafe {
                Waits::OsSync {
                    wait: std::mem::transmute::<*mut c_void, OsSyncWait>(wait),
                    wake: std::mem::transmute::<*mut c_void, OsSyncWake>(wake),
                }
            };
        }
        if let (Some(wait), Some(wake)) = (symbol(c"__ulock_wait"), symbol(c"__ulock_wake")) {
            // SAFETY: the types are those of xnu's bsd/sys/ulock.h.
            return unsafe {
                Waits::Ulock {
                    wait: std::mem::transmute::<*mut c_void, UlockWait>(wait),
                    wake: std::mem::transmute::<*mut c_void, UlockWake>(wake),
                }
            };
        }
        Waits::Neither
    })
}
