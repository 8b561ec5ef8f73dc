//! What Coheap asks of the operating system: one trait, one file per system, chosen at compile time.
//!
//! A *place* is where segments are looked up by name: the system's own (`dir` absent; `/dev/shm` on Linux) or
//! a folder, meant to be the root of a tmpfs of one's own.

#[cfg(target_os = "linux")]
mod deaths_linux;
#[cfg(target_os = "linux")]
pub(crate) use deaths_linux::DeathWatch;
#[cfg(not(target_os = "linux"))]
mod deaths_naps;
#[cfg(not(target_os = "linux"))]
pub(crate) use deaths_naps::DeathWatch;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::Object as System;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
pub(crate) use macos::Object as System;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::Object as System;
#[cfg(any(target_os = "macos", windows))]
mod registry;
#[cfg(unix)]
mod view;

use std::path::Path;
use std::time::Duration;

use crate::Result;
use crate::primitive::AtomicU32;

/// A doorbell as the system needs it: the word that counts rings, and a number of its own within the segment
/// (Windows has no sleeping on an address and uses an event of that number).
#[cfg_attr(unix, expect(dead_code, reason = "only Windows needs the number"))]
pub(crate) struct Bell<'a> {
    pub word: &'a AtomicU32,
    pub number: u32,
}

/// One segment as the system sees it: the memory object, its mapping, and the locks that die with a process.
///
/// The *gate* keeps creators, openers and cleaners of one name apart: nobody removes a name or the last user's
/// segment but inside it. Where memory objects can be locked it is on the object itself, and any two who share
/// the object agree; elsewhere it is on the name, in a folder of the user's.
pub(crate) trait Os: Sized {
    /// A segment can outlive the processes that map it.
    const PERSISTS: bool;
    /// A segment can be in a folder.
    const HAS_FOLDERS: bool;
    /// A segment can be opened to the user's group.
    const HAS_GROUPS: bool;
    /// Held while an object is being filled, entered, left or removed.
    type Gate;
    /// A read-only mapping, unmapped when dropped.
    type Window: Send;

    /// Creates and maps an object of `size` sparse bytes that only this user can open until [`Os::grant`];
    /// `ERR_COHEAP_EXISTS` if there is something of this name.
    fn create_excl(dir: Option<&Path>, name: &str, size: u64) -> Result<Self>;
    /// Finds an object and checks owner, type, mode and link count of the descriptor itself. Not mapped yet.
    fn open_checked(dir: Option<&Path>, name: &str) -> Result<Self>;
    /// A mapped object without a name, all of it usable.
    fn anonymous(size: u64) -> Result<Self>;
    /// The names of all objects in a place, checked by nobody yet.
    fn list(dir: Option<&Path>) -> Result<Vec<String>>;

    /// Locks out others who create, enter, leave or remove it. Blocks while they do.
    fn gate(&self) -> Result<Self::Gate>;
    /// Tells objects apart, also those that have had the same name.
    fn identity(&self) -> (u64, u64);
    /// The name still leads to this object.
    fn is_named(&self) -> Result<bool>;
    /// Removes the name. The caller holds the gate and has seen that the name leads here.
    fn unlink(&self) -> Result<()>;
    /// Sets who else may open it.
    fn grant(&self, mode: u32) -> Result<()>;
    /// Its size in bytes, holes included.
    fn size(&self) -> Result<u64>;
    /// True if at least `bytes` are allocated, as far as the system can tell.
    fn has_allocated(&self, bytes: u64) -> bool;
    /// Copies bytes out without a mapping: a hole reads as zeros and never faults.
    fn read(&self, at: u64, into: &mut [u8]) -> Result<()>;
    /// Really allocates [from, to); `ERR_COHEAP_OUT_OF_MEMORY` if the system has no more. Never a fault later.
    fn commit(&self, from: u64, to: u64) -> Result<()>;
    /// Maps all of it to be read and written; the mapping lives as long as the object.
    fn map_rw(&mut self) -> Result<()>;
    /// Where it is mapped.
    fn base(&self) -> *mut u8;
    /// Maps a part of it a second time, to be read only.
    fn map_ro(&self, at: u64, len: u64) -> Result<(*const u8, Self::Window)>;

    /// Takes the lock of a row of the process table for as long as this process lives; false if another one
    /// has it. One row at a time, inside the gate.
    fn lock_row(&self, row: u8) -> Result<bool>;
    /// Gives it back, inside the gate.
    fn unlock_row(&self, row: u8);
    /// Someone else than this very object has the row's lock.
    fn row_is_locked(&self, row: u8) -> bool;
    /// Someone else than this very object has a row's lock. One look, if the system can do it in one.
    fn any_row_is_locked(&self) -> bool {
        (0..=u8::MAX).any(|row| self.row_is_locked(row))
    }

    /// Sleeps until the bell is woken, its word no longer holds `expected`, or the time is over. May return early.
    fn sleep(&self, bell: Bell<'_>, expected: u32, timeout: Duration);
    /// Wakes the thread that sleeps at the bell, in whatever process.
    fn wake(&self, bell: Bell<'_>);
    /// Milliseconds of a clock that all processes of the machine share and that never goes back.
    #[cfg_attr(
        any(feature = "loom", feature = "shuttle"),
        expect(dead_code, reason = "a model has a clock of its own")
    )]
    fn monotonic_ms() -> u64;
    /// When this process was started, in the system's own unit; 0 if it does not say.
    fn process_start() -> u64;
    /// Random bits for a nonce and a hash seed.
    fn random() -> Result<u64>;
}
