//! The heap of an operation: its image, from which each run begins, and what can be seen in it.

use std::fmt::Write;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use coheap_heap::segment::layout::Header;
use coheap_heap::segment::{Code, Error};
use coheap_heap::txn::Fault;
use coheap_heap::{Heap, Options, Result, Value, queue};

/// What an operation does; true: it has taken effect.
pub type Action = Box<dyn FnMut() -> Result<bool>>;

/// Who does an operation: what it writes tells one from the other.
pub const TRACED: f64 = 1.0;
/// The one who looks on, and then does the same.
pub const WITNESS: f64 = 2.0;

/// A heap, and who uses it.
#[derive(Clone)]
pub struct Setting {
    /// The heap.
    pub name: String,
    /// Who.
    pub who: f64,
    /// How it is made.
    pub options: Options,
}

impl Setting {
    /// A heap that no other process of this kind uses.
    pub fn new() -> Setting {
        let options = Options {
            // the least: it grows by what it needs
            size: 1,
            max_size: 2 << 20,
            max_participants: 8,
            persist: true,
            patience_ms: 1,
            ..Options::default()
        };
        Setting { name: format!("crash-{}", std::process::id()), who: TRACED, options }
    }

    /// The same for another.
    pub fn of(&self, who: f64) -> Setting {
        Setting { who, ..self.clone() }
    }

    /// Joins it.
    pub fn heap(&self) -> Result<Heap> {
        Heap::open(&self.name, &self.options)
    }

    /// Where the system keeps it.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/dev/shm/coheap.{}", self.name))
    }

    /// Its committed bytes.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = fs::read(self.path())?;
        bytes.truncate(committed(&bytes));
        Ok(bytes)
    }

    /// A look at its bytes.
    pub fn view(&self) -> io::Result<View> {
        let file = fs::File::open(self.path())?;
        let len = self.options.max_size as usize;
        // SAFETY: a new mapping, read only; the file has this size.
        let base = unsafe {
            let fd = file.as_raw_fd();
            libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, libc::MAP_SHARED, fd, 0)
        };
        if base == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(View { base, len }) }
    }

    /// Puts these bytes in its place, in a new file: nobody has it open.
    pub fn place(&self, bytes: &[u8]) -> io::Result<()> {
        self.remove();
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.path())?;
        io::Write::write_all(&mut file, bytes)?;
        file.set_len(self.options.max_size)
    }

    /// Removes the file, if there is one.
    pub fn remove(&self) {
        let _ = fs::remove_file(self.path());
    }
}

/// What a header says.
fn committed(bytes: &[u8]) -> usize {
    let at = std::mem::offset_of!(Header, committed);
    bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes) as usize
}

/// What stands in a heap's file, for who has stopped all others.
pub struct View {
    base: *mut libc::c_void,
    len: usize,
}

impl View {
    /// The committed bytes as they are now. Nobody may change them while they are borrowed.
    pub fn bytes(&self) -> &[u8] {
        let head = size_of::<Header>();
        // SAFETY: mapped as long as `self` lives; the processes that could write to it are stopped. What is committed is
        // allocated, and the header always is.
        unsafe {
            let len = committed(std::slice::from_raw_parts(self.base.cast(), head));
            std::slice::from_raw_parts(self.base.cast(), len.clamp(head, self.len))
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: our own mapping, of which no borrow is left.
        unsafe { libc::munmap(self.base, self.len) };
    }
}

/// Undoes a transaction that has only looked.
const SEEN: Error = Error::new(Code::Timeout, "seen");

/// Everything that a program can see in a heap, as text.
pub fn look(heap: &Heap) -> Result<String> {
    let mut text = String::new();
    write_value(&mut text, Value::Record(heap.root()))?;
    let mut channels = queue::Channel::all(&heap.segment()).map_err(Fault::error)?;
    channels.sort_by_key(|channel| channel.name());
    for channel in channels {
        let _ = write!(text, "\n{}: ", channel.name());
        let channel = heap.channel(&channel.name(), channel.capacity(), channel.is_lifo())?;
        let mut messages = String::new();
        let seen = heap.transaction(|_| {
            messages.clear();
            loop {
                match channel.try_take() {
                    Ok(None) => return Err::<(), _>(SEEN),
                    Ok(Some(message)) => write_value(&mut messages, message)?,
                    Err(error) if error.code == Code::ChannelClosed => {
                        messages.push_str("closed");
                        return Err(SEEN);
                    }
                    Err(error) => return Err(error),
                }
                messages.push(' ');
            }
        });
        if let Err(error) = seen
            && error != SEEN
        {
            return Err(error);
        }
        text.push_str(&messages);
    }
    Ok(text)
}

fn write_value(text: &mut String, value: Value) -> Result<()> {
    let before = text.len();
    let told = write_kind(text, value);
    if told.as_ref().is_err_and(|error| error.code == Code::Destroyed) {
        text.truncate(before);
        text.push_str("destroyed");
        return Ok(());
    }
    told
}

fn write_kind(text: &mut String, value: Value) -> Result<()> {
    match value {
        Value::Record(record) => {
            text.push('{');
            for key in record.keys()? {
                let _ = write!(text, "{key}=");
                write_value(text, record.get(&key)?)?;
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(array) => {
            text.push('[');
            for value in array.to_vec()? {
                write_value(text, value)?;
                text.push(',');
            }
            text.push(']');
        }
        Value::Map(map) => {
            let _ = write!(text, "Map {}", map.size()?);
            for (key, value) in map.entries()? {
                // found by its key, too
                if let Value::Number(key) = key
                    && map.get(key)?.is_undefined() != value.is_undefined()
                {
                    let _ = write!(text, "LOST ");
                }
                write_value(text, key)?;
                text.push_str("=>");
                write_value(text, value)?;
                text.push(',');
            }
        }
        Value::String(string) if string.len() > 40 => {
            let mut runs = string.as_bytes().to_vec();
            runs.dedup();
            let _ = write!(text, "{}×{}", string.len(), String::from_utf8_lossy(&runs));
        }
        Value::Bytes(bytes) => {
            let _ = write!(text, "{:?}", bytes.to_vec()?);
        }
        Value::Set(set) => {
            let _ = write!(text, "Set {}", set.size()?);
        }
        other => {
            let _ = write!(text, "{other:?}");
        }
    }
    Ok(())
}
