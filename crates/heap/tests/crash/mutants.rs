//! How we know that errors would be found: recoveries that leave out a step, and an operation that is not one. Each must be
//! caught by at least one death.
//!
//! What recovery would have read is taken from it before it begins, or it is told of no other floor: the code is the
//! real one, and does as if it had forgotten that step.

use std::fs::{File, OpenOptions};
use std::io;
use std::mem::offset_of;
use std::os::unix::fs::FileExt;

use coheap_heap::segment::layout::SlotRecord;
use coheap_heap::segment::{Status, StatusWord};

use crate::campaign::{Tally, death_with};
use crate::case::Case;
use crate::operations::{IN_THREE, OPERATIONS, Operation};
use crate::tracee::{Failure, Point, wrong};
use crate::witness::Manner;

/// An error that was put there.
pub struct Mutant {
    /// What the output calls it.
    pub name: &'static str,
    operation: &'static str,
    error: Error,
}

enum Error {
    /// Something is changed in each slot that is not at rest, given where it stands and its status.
    InSlots(fn(&File, u64, StatusWord) -> io::Result<()>),
    /// Recovery does not settle messages.
    Unsettled,
    /// The operation itself has it.
    InOperation,
}

fn put(file: &File, at: u64, field: usize, value: u64) -> io::Result<()> {
    file.write_all_at(&value.to_le_bytes(), at + field as u64)
}

fn status(file: &File, at: u64, status: Status, seq: u64) -> io::Result<()> {
    put(file, at, offset_of!(SlotRecord, status), StatusWord::new(status, seq).0)
}

/// All of them.
pub static MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a transaction that is three operations",
        operation: IN_THREE.name,
        error: Error::InOperation,
    },
    Mutant {
        name: "recovery does not store what the redo log says",
        operation: "transaction of three objects",
        error: Error::InSlots(|file, at, _| put(file, at, offset_of!(SlotRecord, redo_len), 0)),
    },
    Mutant {
        name: "recovery leaves owner fields in reserved words",
        operation: "transaction of three objects",
        error: Error::InSlots(|file, at, _| put(file, at, offset_of!(SlotRecord, locks_len), 0)),
    },
    Mutant {
        name: "recovery undoes what was decided",
        operation: "transaction of three objects",
        error: Error::InSlots(|file, at, now| match now.status() {
            Some(Status::Committed) => status(file, at, Status::Aborted, now.seq()),
            _ => Ok(()),
        }),
    },
    Mutant {
        name: "recovery finishes what was not decided",
        operation: "transaction of three objects",
        error: Error::InSlots(|file, at, now| match now.status() {
            Some(Status::Preparing) => status(file, at, Status::Committed, now.seq()),
            _ => Ok(()),
        }),
    },
    Mutant {
        name: "recovery does not store what the intent line says",
        operation: "array shift",
        error: Error::InSlots(|file, at, now| match now.status() {
            Some(Status::Committed) => status(file, at, Status::Direct, now.seq()),
            _ => Ok(()),
        }),
    },
    Mutant {
        name: "recovery does not settle decided messages",
        operation: "transaction that takes and puts",
        error: Error::Unsettled,
    },
    Mutant {
        name: "a burial forgets a slot that is building",
        operation: "property set, a tree of objects",
        error: Error::InSlots(|file, at, _| put(file, at, offset_of!(SlotRecord, claimed), 0)),
    },
];

impl Mutant {
    /// Tries all states until one shows it: which. `None`: none did.
    pub fn hunt(&self) -> Result<Option<(usize, String)>, Failure> {
        let of_name = |operation: &&Operation| operation.name == self.operation;
        let Some(operation) = OPERATIONS.iter().chain([&IN_THREE]).find(of_name) else {
            return wrong("a mutant of no operation");
        };
        let mut case = Case::make(operation)?;
        case.settles = !matches!(self.error, Error::Unsettled);
        for n in 0..=case.events {
            let manner = if n % 2 == 0 { Manner::Buries } else { Manner::Comes };
            let meddle = |case: &Case| self.meddle(case).or_else(|error| wrong(error.to_string()));
            match death_with(&case, Point::before(n), manner, &meddle, &mut Tally::default()) {
                Ok(()) => {}
                Err(Failure::Wrong(what)) => return Ok(Some((n, what))),
                Err(other) => return Err(other),
            }
        }
        Ok(None)
    }

    fn meddle(&self, case: &Case) -> io::Result<()> {
        let Error::InSlots(change) = self.error else { return Ok(()) };
        let file = OpenOptions::new().read(true).write(true).open(case.setting.path())?;
        let (plan, mut word) = (case.plan(), [0; 8]);
        for slot in 0..u64::from(plan.slots) {
            let at = plan.slot_table + slot * size_of::<SlotRecord>() as u64;
            let mut read = |field: usize| {
                file.read_exact_at(&mut word, at + field as u64).map(|()| u64::from_le_bytes(word))
            };
            let now = StatusWord(read(offset_of!(SlotRecord, status))?);
            let building = read(offset_of!(SlotRecord, building))? % 2 == 1;
            if now.status() != Some(Status::Idle) || building {
                change(&file, at, now)?;
            }
        }
        Ok(())
    }
}
