//! What each worker writes down about what it does: a line before a message is risked, a line after it. Written
//! at once, so that it is there when the worker is killed; a line that was cut short is as if it were not there.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use coheap_history::Operation;

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// An operation on the lists of the history.
    History(Operation),
    /// It is about to put these messages.
    Putting(Vec<u64>),
    /// So many of them are in, a prefix.
    Put(usize),
    /// It is about to take so many messages at most.
    Taking(usize),
    /// These have come.
    Took(Vec<u64>),
    /// It has done so many things so far.
    Steps(u64),
    /// One thing took this long, and for so many nanoseconds of it the worker neither ran nor was waiting for a processor.
    Stall { start: u64, end: u64, idle: u64 },
}

impl Entry {
    fn line(&self) -> String {
        let list = |word: &str, ids: &[u64]| {
            ids.iter().fold(word.to_owned(), |line, id| line + " " + &id.to_string())
        };
        match self {
            Entry::History(op) => op.to_string(),
            Entry::Putting(ids) => list("putting", ids),
            Entry::Put(n) => format!("put {n}"),
            Entry::Taking(n) => format!("taking {n}"),
            Entry::Took(ids) => list("took", ids),
            Entry::Steps(n) => format!("steps {n}"),
            Entry::Stall { start, end, idle } => format!("stall {start} {end} {idle}"),
        }
    }

    fn parse(line: &str) -> Option<Entry> {
        if let Some(op) = Operation::parse(line) {
            return Some(Entry::History(op));
        }
        let mut words = line.split(' ');
        let word = words.next()?;
        let numbers: Vec<u64> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        Some(match (word, &numbers[..]) {
            ("putting", _) => Entry::Putting(numbers),
            ("put", &[n]) => Entry::Put(n as usize),
            ("taking", &[n]) => Entry::Taking(n as usize),
            ("took", _) => Entry::Took(numbers),
            ("steps", &[n]) => Entry::Steps(n),
            ("stall", &[start, end, idle]) => Entry::Stall { start, end, idle },
            _ => return None,
        })
    }
}

/// A worker's book, open for writing. Without a folder nothing is written.
pub struct Book {
    process: u64,
    /// The book, and where all workers note when they have begun what they are doing now.
    files: Option<(File, File)>,
}

fn path(dir: &Path, process: u64) -> PathBuf {
    dir.join(format!("book-{process}"))
}

/// A number for each worker, by its own.
fn beats(dir: &Path) -> PathBuf {
    dir.join("beats")
}

impl Book {
    pub fn create(dir: Option<&Path>, process: u64) -> Book {
        let beats = |dir| OpenOptions::new().write(true).open(beats(dir)).unwrap();
        let files = dir.map(|dir| (File::create(path(dir, process)).unwrap(), beats(dir)));
        Book { process, files }
    }

    pub fn write(&mut self, entry: Entry) {
        if let Some((book, _)) = &mut self.files {
            book.write_all((entry.line() + "\n").as_bytes()).unwrap();
        }
    }

    /// The worker begins something at this time; at 0 it has nothing to do any more.
    pub fn beat(&self, now: u64) {
        if let Some((_, beats)) = &self.files {
            beats.write_all_at(&now.to_ne_bytes(), self.process * 8).unwrap();
        }
    }
}

pub fn create_beats(dir: &Path) {
    File::create(beats(dir)).unwrap();
}

/// When a worker has begun what it was doing last, if it had begun at all.
pub fn last_beat(dir: &Path, process: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    File::open(beats(dir)).unwrap().read_exact_at(&mut bytes, process * 8).ok()?;
    Some(u64::from_ne_bytes(bytes)).filter(|&time| time != 0)
}

/// Reads a worker's book; empty if it was killed before it had one.
pub fn read(dir: &Path, process: u64) -> Vec<Entry> {
    let text = std::fs::read_to_string(path(dir, process)).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    whole.map(|line| Entry::parse(line).unwrap_or_else(|| panic!("book {process} says {line:?}"))).collect()
}
