//! What a transaction did, and the line that says so.
//!
//! ```text
//! start end [x] {r list n value… | a list value}
//! ```
//!
//! Times are in any unit, of one clock for all processes; `x` says that the transaction was aborted.

use std::fmt::{self, Write};
use std::path::Path;

/// The number of a list.
pub type List = u64;
/// A value of a list: appended once in the whole history.
pub type Value = u64;

/// A thing that a transaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It saw the whole list.
    Read(List, Vec<Value>),
    /// It appended.
    Append(List, Value),
}

/// A transaction or a single operation, by one who lived to write it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// When it began, or earlier.
    pub start: u64,
    /// When its end was known, or later.
    pub end: u64,
    /// It was undone: nobody else may have seen its appends. Its reads are checked all the same: also an
    /// attempt that will be aborted sees one state (opacity: Guerraoui, Kapałka, PPoPP 2008).
    pub aborted: bool,
    /// In the order in which it did them.
    pub steps: Vec<Step>,
}

impl Operation {
    /// One that has done nothing yet.
    pub fn begin(start: u64) -> Operation {
        Operation { start, end: u64::MAX, aborted: false, steps: Vec::new() }
    }

    /// It has seen the list with these values.
    pub fn read(&mut self, list: List, values: Vec<Value>) {
        self.steps.push(Step::Read(list, values));
    }

    /// It has appended the value.
    pub fn append(&mut self, list: List, value: Value) {
        self.steps.push(Step::Append(list, value));
    }

    /// What it read, in order.
    pub fn reads(&self) -> impl Iterator<Item = (List, &[Value])> {
        self.steps.iter().filter_map(|step| match step {
            Step::Read(list, values) => Some((*list, values.as_slice())),
            Step::Append(..) => None,
        })
    }

    /// What it appended, in order.
    pub fn appends(&self) -> impl Iterator<Item = (List, Value)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Append(list, value) => Some((*list, *value)),
            Step::Read(..) => None,
        })
    }

    /// The operation of a line without its end; `None` if it is not one.
    pub fn parse(line: &str) -> Option<Operation> {
        let mut words = line.split(' ').peekable();
        let mut op = Operation::begin(words.next()?.parse().ok()?);
        op.end = words.next()?.parse().ok()?;
        op.aborted = words.next_if_eq(&"x").is_some();
        while let Some(kind) = words.next() {
            let mut number = || words.next()?.parse::<u64>().ok();
            let (list, n) = (number()?, number()?);
            match kind {
                "r" => op.read(list, (0..n).map(|_| number()).collect::<Option<_>>()?),
                "a" => op.append(list, n),
                _ => return None,
            }
        }
        Some(op)
    }
}

/// The line, without its end.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.start, self.end)?;
        if self.aborted {
            f.write_str(" x")?;
        }
        for step in &self.steps {
            match step {
                Step::Read(list, values) => {
                    write!(f, " r {list} {}", values.len())?;
                    values.iter().try_for_each(|value| write!(f, " {value}"))?;
                }
                Step::Append(list, value) => write!(f, " a {list} {value}")?,
            }
        }
        Ok(())
    }
}

/// Adds the operation's line to a text.
pub fn line(text: &mut String, op: &Operation) {
    // a String takes all that is written to it
    let _ = writeln!(text, "{op}");
}

/// The operations of all files in the folder whose names begin with `prefix`. Of a process that was killed
/// the last line may be cut: what has no end of line is left out. An error for any other line that is none.
pub fn read_folder(folder: &Path, prefix: &str) -> std::io::Result<Vec<Operation>> {
    let mut ops = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let text = std::fs::read_to_string(entry.path())?;
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            ops.push(Operation::parse(line).ok_or_else(|| {
                std::io::Error::other(format!("not an operation in {}: {line}", entry.path().display()))
            })?);
        }
    }
    Ok(ops)
}
