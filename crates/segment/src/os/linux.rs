//! Linux: objects in `/dev/shm` or on a tmpfs of one's own, open-file-description locks, shared futexes.
//!
//! The locks are byte locks of the object itself, far above its size: containers that share `/dev/shm` and
//! nothing else agree about them. They belong to one descriptor of this [`Object`], opened O_CLOEXEC, so
//! the kernel releases them when the last thread of the process is gone and no child keeps them alive. Between
//! two objects of one process they exclude as they do between processes. Nothing is mapped by that descriptor: a
//! mapping keeps its file open, and so its locks, as long as somebody looks at the memory of a dead process (a
//! reader of its `/proc` files, say, who sleeps).
//!
//! In the system's place the `shared_memory` crate makes the mapping. It does not hand out its descriptor, so
//! the object is opened by name as well, and a nonce proves that both are the same (see `named`).

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use shared_memory::{Shmem, ShmemConf, ShmemError};

use super::view::{View, refused};
use super::{Bell, Os};
use crate::layout::{LOCK_BASE, LOCK_GATE, MAX_PROCESSES};
use crate::{Code, Error, Result};

const PLACE: &str = "/dev/shm";
/// What the object of every heap is called, before the heap's name.
const PREFIX: &str = "coheap.";
/// Allocated at once: a signal interrupts `fallocate`, which then starts over.
const PIECE: u64 = 64 << 20;

enum Mapping {
    None,
    /// By the `shared_memory` crate, never as its owner: it would unlink.
    Named(Shmem),
    Own(View),
}

/// See [`Os`].
pub(crate) struct Object {
    mapping: Mapping,
    /// What is mapped, read and allocated.
    file: File,
    /// The same object, opened once more: has the locks, and is not mapped.
    locks: Arc<File>,
    path: PathBuf,
    identity: (u64, u64),
    /// On a tmpfs every byte that is not allocated can be SIGBUS.
    tmpfs: bool,
}

/// The gate, opened when dropped. It shares the object's descriptor: who leaves while the process has no
/// descriptor to spare can still shut it.
pub(crate) struct Gate(Arc<File>);

impl Drop for Gate {
    fn drop(&mut self) {
        // It cannot fail: unlocking needs no memory but to split a range, and this is a single byte.
        let _ = lock(&self.0, libc::F_OFD_SETLK, libc::F_UNLCK, LOCK_GATE, 1);
    }
}

fn lock(file: &File, command: libc::c_int, kind: libc::c_int, at: u64, len: u64) -> io::Result<libc::flock> {
    // SAFETY: all-zero is a value of this plain struct, and l_pid has to be 0.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = at as libc::off_t;
    lock.l_len = len as libc::off_t;
    loop {
        // SAFETY: an open descriptor, and a lock description that outlives the call.
        if unsafe { libc::fcntl(file.as_raw_fd(), command, &mut lock) } == 0 {
            return Ok(lock);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn path_of(dir: Option<&Path>, name: &str) -> PathBuf {
    dir.unwrap_or(Path::new(PLACE)).join(format!("{PREFIX}{name}"))
}

/// True if `gid` is one of ours.
fn in_group(gid: u32) -> bool {
    // SAFETY: with a size of 0 it only counts; the second call writes at most as many as there is room for.
    unsafe {
        if libc::getegid() == gid {
            return true;
        }
        let count = libc::getgroups(0, std::ptr::null_mut());
        let mut groups = vec![0; count.max(0) as usize];
        let count = libc::getgroups(groups.len() as libc::c_int, groups.as_mut_ptr());
        groups.iter().take(count.max(0) as usize).any(|&g| g == gid)
    }
}

/// A file may be as large as this. Said here: the system would send SIGXFSZ, which kills.
fn check_size(size: u64) -> Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes the struct that it is given.
    if unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) } == 0 && limit.rlim_cur < size {
        let large = io::Error::from_raw_os_error(libc::EFBIG);
        return Err(Error::system(Code::OutOfMemory, "the heap's maxSize is above RLIMIT_FSIZE", &large));
    }
    Ok(())
}

impl Object {
    fn open(path: &Path, flags: libc::c_int, mode: u32) -> io::Result<File> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        loop {
            // SAFETY: a NUL-terminated path; the descriptor is ours alone.
            let fd = unsafe {
                libc::open(path.as_ptr(), flags | libc::O_RDWR | libc::O_NOFOLLOW | libc::O_CLOEXEC, mode)
            };
            if fd >= 0 {
                // SAFETY: just opened and owned by nobody else.
                return Ok(unsafe { File::from_raw_fd(fd) });
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }

    /// Of an object that was opened by its path. `None`: the path no longer leads there.
    fn named(file: File, path: PathBuf, mapping: Mapping) -> Result<Option<Object>> {
        const WHAT: &str = "the heap's object cannot be opened again";
        let locks = match Object::open(&path, 0, 0) {
            Ok(locks) => locks,
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            Err(e) => return Err(refused(WHAT, &e)),
        };
        let about = locks.metadata().map_err(|e| refused(WHAT, &e))?;
        let object = Object::new(file, locks, path, mapping)?;
        Ok((object.identity == (about.dev(), about.ino())).then_some(object))
    }

    fn new(file: File, locks: File, path: PathBuf, mapping: Mapping) -> Result<Object> {
        let about = file.metadata().map_err(|e| refused("the heap's object cannot be looked at", &e))?;
        // SAFETY: all-zero is a value of this plain struct, and fstatfs fills it.
        let tmpfs = unsafe {
            let mut system: libc::statfs = std::mem::zeroed();
            libc::fstatfs(file.as_raw_fd(), &mut system) == 0
                && system.f_type as u64 == libc::TMPFS_MAGIC as u64
        };
        let identity = (about.dev(), about.ino());
        Ok(Object { mapping, file, locks: Arc::new(locks), path, identity, tmpfs })
    }

    /// Owner, type, mode and links of the descriptor. `None`: its name has just been removed.
    fn check(&self) -> Result<Option<()>> {
        let about = self.file.metadata().map_err(|e| refused("the heap's object cannot be looked at", &e))?;
        if !about.is_file() {
            return Err(Error::new(Code::Permission, "what has the heap's name is not a file"));
        }
        if about.nlink() == 0 {
            return Ok(None);
        }
        if about.nlink() > 1 {
            return Err(Error::new(Code::Permission, "the heap's object has a second name"));
        }
        let mode = about.permissions().mode() & 0o7777;
        // SAFETY: always succeeds.
        let own = about.uid() == unsafe { libc::geteuid() };
        let let_in = mode & 0o060 == 0o060 && in_group(about.gid());
        if !own && !let_in {
            return Err(Error::about(Code::Permission, "it is another user's heap", about.uid() as u64));
        }
        if mode & 0o7117 != 0 {
            return Err(Error::about(Code::Permission, "the heap's object is open to everyone", mode as u64));
        }
        Ok(Some(()))
    }

    /// Another open file description, of this process or another, has a lock in the range.
    fn is_locked(&self, at: u64, len: u64) -> bool {
        match lock(&self.locks, libc::F_OFD_GETLK, libc::F_WRLCK, at, len) {
            Ok(lock) => lock.l_type != libc::F_UNLCK as libc::c_short,
            // cannot happen to a descriptor that is open; if it did, nobody may be declared dead
            Err(_) => true,
        }
    }
}

impl Os for Object {
    const PERSISTS: bool = true;
    const HAS_FOLDERS: bool = true;
    const HAS_GROUPS: bool = true;
    type Gate = Gate;
    type Window = View;

    fn create_excl(dir: Option<&Path>, name: &str, size: u64) -> Result<Object> {
        const WHAT: &str = "the heap's object cannot be created";
        // whoever wants it looks again
        let changes_hands = || Error::new(Code::Exists, "the name changes hands");
        check_size(size)?;
        let path = path_of(dir, name);
        if dir.is_some() {
            let file =
                Object::open(&path, libc::O_CREAT | libc::O_EXCL, 0o600).map_err(|e| refused(WHAT, &e))?;
            let made = file
                .set_len(size)
                .map_err(|e| refused(WHAT, &e))
                .and_then(|()| Object::named(file, path.clone(), Mapping::None))
                .and_then(|object| object.map(|mut object| object.map_rw().map(|()| object)).transpose());
            return match made {
                Ok(object) => object.ok_or_else(changes_hands),
                Err(error) => {
                    let _ = std::fs::remove_file(&path);
                    Err(error)
                }
            };
        }
        let mut mapping = ShmemConf::new()
            .os_id(format!("/{PREFIX}{name}"))
            .size(size as usize)
            .create()
            .map_err(|error| match error {
                ShmemError::MappingIdExists => Error::new(Code::Exists, "there is something of this name"),
                ShmemError::MapCreateFailed(errno) | ShmemError::UnknownOsError(errno) => {
                    refused(WHAT, &io::Error::from_raw_os_error(errno as i32))
                }
                _ => Error::new(Code::OutOfMemory, WHAT),
            })?;
        // a failure up to here removes the object again: the mapping is its owner
        let object = match Object::open(&path, 0, 0) {
            Ok(file) => Object::named(file, path, Mapping::None)?,
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => None,
            Err(e) => return Err(refused(WHAT, &e)),
        };
        // if the name has been removed meanwhile, what has it next is not ours
        mapping.set_owner(false);
        let object = object.ok_or_else(changes_hands)?;
        Ok(Object { mapping: Mapping::Named(mapping), ..object })
    }

    fn open_checked(dir: Option<&Path>, name: &str) -> Result<Object> {
        let path = path_of(dir, name);
        // more than once: between opening and looking the name can be taken over by a new heap
        for _ in 0..100 {
            let file = Object::open(&path, 0, 0).map_err(|e| match e.raw_os_error() {
                Some(libc::ENOENT) => Error::new(Code::NotFound, "there is no heap of this name"),
                _ => refused("the heap cannot be opened", &e),
            })?;
            let Some(object) = Object::named(file, path.clone(), Mapping::None)? else { continue };
            if object.check()?.is_some() {
                return Ok(object);
            }
        }
        Err(Error::new(Code::NotFound, "the heap's name changes hands all the time"))
    }

    fn anonymous(size: u64) -> Result<Object> {
        check_size(size)?;
        // SAFETY: a NUL-terminated name; the descriptor is ours alone.
        let file = unsafe {
            let fd = libc::memfd_create(c"coheap".as_ptr(), libc::MFD_CLOEXEC);
            if fd < 0 {
                return Err(refused("cannot make an anonymous segment", &io::Error::last_os_error()));
            }
            File::from_raw_fd(fd)
        };
        file.set_len(size).map_err(|e| refused("cannot make an anonymous segment", &e))?;
        // no other process can see it, so nobody asks for its locks
        let locks = file.try_clone().map_err(|e| refused("cannot make an anonymous segment", &e))?;
        let mut object = Object::new(file, locks, PathBuf::new(), Mapping::None)?;
        object.map_rw()?;
        Ok(object)
    }

    fn list(dir: Option<&Path>) -> Result<Vec<String>> {
        let dir = dir.unwrap_or(Path::new(PLACE));
        let entries = std::fs::read_dir(dir).map_err(|e| refused("the folder cannot be read", &e))?;
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix(PREFIX).map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }

    fn gate(&self) -> Result<Gate> {
        const WHAT: &str = "the heap's object cannot be locked";
        lock(&self.locks, libc::F_OFD_SETLKW, libc::F_WRLCK, LOCK_GATE, 1).map_err(|e| refused(WHAT, &e))?;
        Ok(Gate(self.locks.clone()))
    }

    fn identity(&self) -> (u64, u64) {
        self.identity
    }

    fn is_named(&self) -> Result<bool> {
        match std::fs::symlink_metadata(&self.path) {
            Ok(about) => Ok((about.dev(), about.ino()) == self.identity),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(refused("the heap's name cannot be looked up", &error)),
        }
    }

    fn unlink(&self) -> Result<()> {
        std::fs::remove_file(&self.path).map_err(|e| refused("the heap's name cannot be removed", &e))
    }

    fn grant(&self, mode: u32) -> Result<()> {
        self.file
            .set_permissions(std::fs::Permissions::from_mode(mode))
            .map_err(|e| refused("the heap's mode cannot be set", &e))
    }

    fn size(&self) -> Result<u64> {
        let about = self.file.metadata().map_err(|e| refused("the heap's object cannot be looked at", &e))?;
        Ok(about.len())
    }

    fn has_allocated(&self, bytes: u64) -> bool {
        !self.tmpfs || self.file.metadata().is_ok_and(|about| about.blocks() * 512 >= bytes)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<()> {
        into.fill(0);
        match self.file.read_exact_at(into, at) {
            // shorter than that: what is not there reads as zeros
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            other => other.map_err(|e| refused("the heap's object cannot be read", &e)),
        }
    }

    fn commit(&self, from: u64, to: u64) -> Result<()> {
        let mut at = from;
        while at < to {
            let len = PIECE.min(to - at);
            // SAFETY: our descriptor; it changes no byte that is already there.
            match unsafe {
                libc::posix_fallocate(self.file.as_raw_fd(), at as libc::off_t, len as libc::off_t)
            } {
                0 => at += len,
                libc::EINTR => {}
                errno => {
                    return Err(Error::system(
                        Code::OutOfMemory,
                        "the file system that holds the heap gives it no more memory",
                        &io::Error::from_raw_os_error(errno),
                    ));
                }
            }
        }
        Ok(())
    }

    fn map_rw(&mut self) -> Result<()> {
        const WHAT: &str = "the heap cannot be mapped";
        if self.path.parent() != Some(Path::new(PLACE)) {
            self.mapping =
                Mapping::Own(View::new(&self.file, 0, self.size()?, libc::PROT_READ | libc::PROT_WRITE)?);
            return Ok(());
        }
        let Some(id) = self.path.file_name().and_then(|name| name.to_str()) else {
            return Err(Error::new(Code::InvalidArgument, WHAT));
        };
        let mut mapping = ShmemConf::new().os_id(format!("/{id}")).open().map_err(|error| match error {
            ShmemError::MapOpenFailed(errno) => refused(WHAT, &io::Error::from_raw_os_error(errno as i32)),
            _ => Error::new(Code::OutOfMemory, WHAT),
        })?;
        mapping.set_owner(false);
        if mapping.len() as u64 != self.size()? {
            return Err(Error::new(Code::NotFound, "the name was taken over while it was being opened"));
        }
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
        match lock(&self.locks, libc::F_OFD_SETLK, libc::F_WRLCK, LOCK_BASE + row as u64, 1) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
            Err(error) => Err(refused("the heap's object cannot be locked", &error)),
        }
    }

    fn unlock_row(&self, row: u8) {
        // As for the gate: a single byte, it cannot fail.
        let _ = lock(&self.locks, libc::F_OFD_SETLK, libc::F_UNLCK, LOCK_BASE + row as u64, 1);
    }

    fn row_is_locked(&self, row: u8) -> bool {
        self.is_locked(LOCK_BASE + row as u64, 1)
    }

    fn any_row_is_locked(&self) -> bool {
        self.is_locked(LOCK_BASE, MAX_PROCESSES as u64)
    }

    fn sleep(&self, bell: Bell<'_>, expected: u32, timeout: Duration) {
        let timeout = libc::timespec {
            tv_sec: timeout.as_secs().min(i32::MAX as u64) as libc::time_t,
            tv_nsec: timeout.subsec_nanos() as _,
        };
        // SAFETY: FUTEX_WAIT reads the word, which lives in a mapping that outlives the call, and the timespec.
        // Not FUTEX_PRIVATE: other processes wake us. Every outcome (woken, changed, signal, timeout) is a
        // return.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                bell.word.as_ptr(),
                libc::FUTEX_WAIT,
                expected,
                &timeout,
                0usize,
                0u32,
            );
        }
    }

    fn wake(&self, bell: Bell<'_>) {
        // SAFETY: FUTEX_WAKE only uses the address as a key.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                bell.word.as_ptr(),
                libc::FUTEX_WAKE,
                i32::MAX,
                0usize,
                0usize,
                0u32,
            );
        }
    }

    fn monotonic_ms() -> u64 {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: writes the timespec; CLOCK_MONOTONIC always exists.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
        now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
    }

    fn process_start() -> u64 {
        // field 22, counted from behind the command name, which may hold anything
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(19)?.parse().ok()).unwrap_or(0)
    }

    fn random() -> Result<u64> {
        let mut bits = [0u8; 8];
        // SAFETY: writes at most the eight bytes that it is given.
        let got = unsafe { libc::getrandom(bits.as_mut_ptr().cast(), bits.len(), 0) };
        if got != bits.len() as isize {
            return Err(refused("the system gives no random numbers", &io::Error::last_os_error()));
        }
        Ok(u64::from_le_bytes(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::replace;

    #[test]
    fn locks_go_with_the_descriptors_of_a_process_even_if_its_memory_stays() {
        let name = format!("locks-{}", std::process::id());
        let folder = Path::new(PLACE).join(&name);
        std::fs::create_dir(&folder).unwrap();
        for dir in [None, Some(folder.as_path())] {
            let mut sut = Object::create_excl(dir, &name, 1 << 16).unwrap();
            assert!(sut.lock_row(3).unwrap());
            let other = Object::open_checked(dir, &name).unwrap();
            assert!(other.row_is_locked(3));
            // what is left of a process whose memory is still being looked at: mappings, and no descriptor
            let mapped = (replace(&mut sut.mapping, Mapping::None), sut.map_ro(0, 1 << 16).unwrap());
            drop(sut);
            assert!(!other.row_is_locked(3));
            drop(mapped);
            other.unlink().unwrap();
        }
        std::fs::remove_dir(&folder).unwrap();
    }
}
