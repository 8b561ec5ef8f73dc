//! One operation, its heap, and what may be seen of it: the runs from which all others are judged.

use std::mem::offset_of;
use std::os::unix::fs::FileExt;

use coheap_heap::Heap;
use coheap_heap::segment::layout::{ParticipantRecord, Plan, SlotRecord};
use coheap_heap::segment::{Status, StatusWord};

use crate::helper::{Answer, Helper};
use crate::operations::Operation;
use crate::setting::{Action, Setting, TRACED, WITNESS, look};
use crate::tracee::{Failure, Tracee, wrong};
use crate::witness::{Blocks, Legal, Manner, blocks};

/// See the module.
pub struct Case {
    /// The operation.
    pub operation: &'static Operation,
    /// Its heap, and the traced one's part.
    pub setting: Setting,
    /// The heap's bytes before each run.
    image: Vec<u8>,
    /// What may be seen.
    pub legal: Legal,
    /// Its blocks.
    pub memory: Memory,
    /// The number of its events.
    pub events: usize,
    /// Recovery settles messages.
    pub settles: bool,
}

/// Blocks that somebody has.
#[derive(Default)]
pub struct Memory {
    /// Before the operation.
    pub before: Blocks,
    /// After it.
    pub after: Blocks,
    /// At some time.
    pub ever: Blocks,
}

const MORE: u8 = 1;
const ENOUGH: u8 = 0;

/// Exit code of a traced process: the operation has failed.
const FAILED: u8 = 2;

/// What the traced process runs.
pub fn act(start: impl FnOnce() -> coheap_heap::Result<Action>) -> Box<dyn FnMut() -> u8> {
    let mut action = start().expect("the preparation of an operation");
    Box::new(move || match action() {
        Ok(took_effect) => u8::from(!took_effect),
        Err(error) => {
            eprintln!("the traced operation failed: {error:?}");
            FAILED
        }
    })
}

fn helped(answer: Answer) -> Result<String, Failure> {
    answer.map_err(Failure::Wrong)
}

fn io(error: std::io::Error) -> Failure {
    Failure::Wrong(error.to_string())
}

/// Work of a helper that waits for nothing.
pub fn ask(work: impl FnOnce() -> coheap_heap::Result<String>) -> Result<String, Failure> {
    helped(Helper::spawn(|_| work().map_err(|error| format!("{error:?}"))).map_err(io)?.answer())
}

impl Case {
    /// Makes the heap, and does the operation undisturbed in all orders.
    pub fn make(operation: &'static Operation) -> Result<Case, Failure> {
        let setting = Setting::new();
        setting.remove();
        ask(|| {
            let heap = Heap::create(&setting.name, &setting.options)?;
            (operation.fill)(&heap).map(|()| String::new())
        })?;
        let image = setting.read().map_err(io)?;
        let see = |order: &[f64]| {
            setting.place(&image).map_err(io)?;
            ask(|| {
                let heap = setting.heap()?;
                for &who in order {
                    let took_effect = (operation.start)(&setting.of(who))?()?;
                    assert!(took_effect, "undisturbed");
                }
                look(&heap)
            })
        };
        let legal = Legal {
            none: see(&[])?,
            traced: see(&[TRACED])?,
            witness: see(&[WITNESS])?,
            traced_first: see(&[TRACED, WITNESS])?,
            witness_first: see(&[WITNESS, TRACED])?,
        };
        let mut case =
            Case { operation, setting, image, legal, memory: Memory::default(), events: 0, settles: true };
        case.memory = case.measure()?;
        Ok(case)
    }

    /// Runs it undisturbed, with a process that looks on: counts its events, and notes the blocks that there are before and
    /// after it, and all that there have been.
    fn measure(&mut self) -> Result<Memory, Failure> {
        self.place()?;
        let setting = self.setting.of(WITNESS);
        let mut looker = Helper::spawn(|stop| {
            let heap = setting.heap().map_err(|error| format!("{error:?}"))?;
            look(&heap).map_err(|error| format!("{error:?}"))?;
            let before = blocks(&heap);
            let mut ever = before.clone();
            while stop() == MORE {
                ever.extend(blocks(&heap));
            }
            Ok(format!("{before:?}\n{:?}\n{ever:?}", blocks(&heap)))
        })
        .map_err(io)?;
        looker.ready().or_else(not_waiting)?;
        let mut tracee = self.start()?;
        let reached = tracee.run_through(&mut || {
            looker.go(MORE);
            looker.ready().or_else(not_waiting)
        })?;
        self.events = reached;
        let code = tracee.finish()?;
        if code != 0 {
            return wrong(format!("undisturbed, it ended with code {code}"));
        }
        looker.go(ENOUGH);
        let told = looker.answer().map_err(Failure::Wrong)?;
        let parse = |line: &str| {
            line.trim_matches(['{', '}']).split(", ").filter_map(|number| number.parse().ok()).collect()
        };
        let mut lines = told.lines();
        let mut next = || lines.next().map_or_else(Blocks::new, parse);
        Ok(Memory { before: next(), after: next(), ever: next() })
    }

    /// Puts the heap back to its beginning.
    pub fn place(&self) -> Result<(), Failure> {
        self.setting.place(&self.image).map_err(io)
    }

    /// The traced process, stopped where the operation begins.
    pub fn start(&self) -> Result<Tracee, Failure> {
        self.trace(self.operation.start)
    }

    /// A traced process that does something else in the same heap.
    pub fn trace(&self, start: fn(&Setting) -> coheap_heap::Result<Action>) -> Result<Tracee, Failure> {
        let path = self.setting.path();
        Tracee::spawn(&path.to_string_lossy(), || act(|| start(&self.setting)))
    }

    /// A witness, who waits for so many deaths.
    pub fn witness(&self, manner: Manner, dead: usize) -> Result<Helper, Failure> {
        let mut witness =
            Helper::spawn(|stop| crate::witness::witness(self, manner, dead, stop)).map_err(io)?;
        witness.ready().or_else(not_waiting)?;
        Ok(witness)
    }

    /// A witness of a pause.
    pub fn witness_of_pause(&self) -> Result<Helper, Failure> {
        let mut witness = Helper::spawn(|stop| crate::witness::witness_of_pause(self, stop)).map_err(io)?;
        witness.ready().or_else(not_waiting)?;
        Ok(witness)
    }

    /// Others may have to wait: some slot's owner stores or has decided, or somebody repairs or buries.
    pub fn is_busy(&self) -> Result<bool, Failure> {
        let file = std::fs::File::open(self.setting.path()).map_err(io)?;
        let read = |at: u64, field: usize| {
            let mut word = [0; 8];
            file.read_exact_at(&mut word, at + field as u64).map_err(io)?;
            Ok(u64::from_le_bytes(word))
        };
        let plan = self.plan();
        for slot in 0..u64::from(plan.slots) {
            let at = plan.slot_table + slot * size_of::<SlotRecord>() as u64;
            let status = StatusWord(read(at, offset_of!(SlotRecord, status))?).status();
            let is_deciding = matches!(status, Some(Status::Direct | Status::Committed));
            if is_deciding || read(at, offset_of!(SlotRecord, recoverer))? != 0 {
                return Ok(true);
            }
        }
        for row in 0..u64::from(plan.max_participants) {
            let at = plan.participants + row * size_of::<ParticipantRecord>() as u64;
            if read(at, offset_of!(ParticipantRecord, burier))? != 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where the tables of its heap stand.
    pub fn plan(&self) -> Plan {
        Plan::new(self.setting.options.max_size, self.setting.options.max_participants)
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        self.setting.remove();
    }
}

/// A helper that should have stopped has ended instead.
pub fn not_waiting(answer: Answer) -> Result<(), Failure> {
    Err(Failure::Wrong(format!("a helper that has not waited: {answer:?}")))
}
