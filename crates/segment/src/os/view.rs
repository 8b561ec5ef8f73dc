//! What all Unix systems share: a mapping of our own, and what a refusal of the system means.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use crate::{Code, Error, Result};

/// A mapping of our own.
pub(crate) struct View {
    base: *mut u8,
    len: usize,
}

// SAFETY: an address and a length; what is mapped there is only touched through atomics and raw copies.
unsafe impl Send for View {}

impl View {
    /// `len` bytes from `at`, a multiple of the page size.
    pub(super) fn new(file: &File, at: u64, len: u64, protection: libc::c_int) -> Result<View> {
        // SAFETY: a new mapping at an address of the system's choice; it invalidates nothing.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len as usize,
                protection,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                at as libc::off_t,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(refused("the heap cannot be mapped", &io::Error::last_os_error()));
        }
        Ok(View { base: base.cast(), len: len as usize })
    }

    /// Where it is mapped.
    pub(super) fn base(&self) -> *mut u8 {
        self.base
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: we made this mapping; who holds an address in it keeps the segment, and so us, alive.
        unsafe { libc::munmap(self.base.cast(), self.len) };
    }
}

/// What the system's refusal means to the user.
pub(super) fn refused(what: &'static str, error: &io::Error) -> Error {
    let errno = error.raw_os_error().unwrap_or(0);
    let code = match errno {
        libc::EEXIST => Code::Exists,
        libc::ENOENT => Code::NotFound,
        libc::EACCES | libc::EPERM | libc::EROFS | libc::ELOOP => Code::Permission,
        libc::ENOTDIR | libc::ENAMETOOLONG | libc::EINVAL | libc::EISDIR => Code::InvalidArgument,
        _ => Code::OutOfMemory,
    };
    Error::system(code, what, error)
}
