//! The registry of systems whose memory objects cannot be locked (macOS, Windows): a folder of the user's with
//! one file a name, which tells the object's random identity, and lock files.
//!
//! ```text
//! NAME.heap        the identity, 16 hexadecimal digits: the name leads to the object of that identity
//! NAME.gate        locked while a heap of this name is created, entered, left or removed; never removed
//! IDENTITY.ROW     locked as long as the process in that row of the process table lives
//! ```
//!
//! The locks are whole-file locks of one descriptor (`flock`, `LockFileEx`), which the kernel releases with the
//! process. Row files come and go inside the gate only. To probe one is to take a shared lock of it for an
//! instant: probers do not disturb each other, and a joiner whom one disturbs takes the next row.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::layout::MAX_PROCESSES;
use crate::{Code, Error, Result};

fn failed(what: &'static str, error: &io::Error) -> Error {
    let code = match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Code::Permission,
        ErrorKind::NotFound => Code::NotFound,
        _ => Code::OutOfMemory,
    };
    Error::system(code, what, error)
}

fn open_lock(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// A name's gate, opened when dropped.
pub(crate) struct Gate(#[expect(dead_code, reason = "closing it opens the gate")] File);

/// A heap in the registry.
pub(super) struct Entry {
    folder: PathBuf,
    name: String,
    /// The object's identity, never 0.
    pub identity: u64,
    /// The row whose lock this process holds.
    row: Mutex<Option<(u8, File)>>,
}

impl Entry {
    /// An entry that is not in the registry yet.
    pub fn new(folder: PathBuf, name: &str, identity: u64) -> Entry {
        Entry { folder, name: name.to_owned(), identity, row: Mutex::new(None) }
    }

    /// The entry of a name; `ERR_COHEAP_NOT_FOUND` if there is none.
    pub fn find(folder: PathBuf, name: &str) -> Result<Entry> {
        let mut entry = Entry::new(folder, name, 0);
        match entry.registered()? {
            Some(identity) => {
                entry.identity = identity;
                Ok(entry)
            }
            None => Err(Error::new(Code::NotFound, "there is no heap of this name")),
        }
    }

    /// All names.
    pub fn names(folder: PathBuf) -> Result<Vec<String>> {
        let files = std::fs::read_dir(folder).map_err(|e| failed("the registry cannot be read", &e))?;
        let mut names: Vec<String> = files
            .filter_map(|file| file.ok()?.file_name().to_str()?.strip_suffix(".heap").map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.folder.join(format!("{}.{suffix}", self.name))
    }

    /// The identity that the name leads to at present.
    pub fn registered(&self) -> Result<Option<u64>> {
        match std::fs::read_to_string(self.file("heap")) {
            Ok(text) => Ok(u64::from_str_radix(text.trim(), 16).ok().filter(|&identity| identity != 0)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("the registry cannot be read", &error)),
        }
    }

    /// Makes the name lead here. Inside the gate.
    pub fn register(&self) -> Result<()> {
        const WHAT: &str = "the heap cannot be registered";
        let mut file = File::create(self.file("heap")).map_err(|e| failed(WHAT, &e))?;
        file.write_all(format!("{:016x}", self.identity).as_bytes()).map_err(|e| failed(WHAT, &e))
    }

    /// Removes the name, and the row files of the dead. Inside the gate.
    pub fn unregister(&self) -> Result<()> {
        let removed = std::fs::remove_file(self.file("heap"));
        for row in 0..MAX_PROCESSES {
            let path = self.row_file(row as u8);
            if File::open(&path).is_ok_and(|file| file.try_lock_shared().is_ok()) {
                let _ = std::fs::remove_file(path);
            }
        }
        removed.map_err(|e| failed("the heap's name cannot be removed", &e))
    }

    /// Shuts the name's gate. Blocks while another has it.
    pub fn gate(&self) -> Result<Gate> {
        const WHAT: &str = "the heap's name cannot be locked";
        let file = open_lock(&self.file("gate")).map_err(|e| failed(WHAT, &e))?;
        file.lock().map_err(|e| failed(WHAT, &e))?;
        Ok(Gate(file))
    }

    fn row_file(&self, row: u8) -> PathBuf {
        self.folder.join(format!("{:016x}.{row}", self.identity))
    }

    fn own_row(&self) -> MutexGuard<'_, Option<(u8, File)>> {
        // every change of it is one assignment
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`super::Os::lock_row`].
    pub fn lock_row(&self, row: u8) -> Result<bool> {
        const WHAT: &str = "the heap's process table cannot be locked";
        let file = open_lock(&self.row_file(row)).map_err(|e| failed(WHAT, &e))?;
        match file.try_lock() {
            Ok(()) => {
                *self.own_row() = Some((row, file));
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(failed(WHAT, &error)),
        }
    }

    /// See [`super::Os::unlock_row`].
    pub fn unlock_row(&self, row: u8) {
        let mut own = self.own_row();
        if own.as_ref().is_some_and(|(held, _)| *held == row) {
            // the file first: who finds it can still not lock it
            let _ = std::fs::remove_file(self.row_file(row));
            *own = None;
        }
    }

    /// See [`super::Os::row_is_locked`].
    pub fn row_is_locked(&self, row: u8) -> bool {
        if self.own_row().as_ref().is_some_and(|(held, _)| *held == row) {
            return false;
        }
        match File::open(self.row_file(row)).map(|file| file.try_lock_shared()) {
            Ok(Ok(())) => false,
            Ok(Err(TryLockError::WouldBlock)) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            // in doubt nobody may be declared dead
            Ok(Err(TryLockError::Error(_))) | Err(_) => true,
        }
    }
}
