//! The table: who does what at the same time.

use coheap_interleavings::mutants::{Planted, plant};
use coheap_segment::primitive::model::Change::{SeeAgain, Skip};

use crate::work::Do::{self, Add, Audit, Delete, Get, Lookup, Move, Put, Requeue, Set, Sweep, Take};
use crate::work::execute;

/// Some threads and their work.
pub struct Case {
    pub name: &'static str,
    /// Done before, by another participant.
    before: &'static [Do],
    threads: &'static [&'static [Do]],
    /// The first thread dies before one of so many of its accesses, if it comes to it; 0: it lives.
    deaths: u64,
    pub mutants: &'static [Planted],
}

impl Case {
    /// One execution.
    pub fn run(&self) {
        execute(self.before, self.threads, self.deaths);
    }
}

const COMMIT: &str = "crates/txn/src/commit.rs";
const DIRECT: &str = "crates/txn/src/direct.rs";
const JUDGE: &str = "crates/queue/src/judge.rs";
const PARTY: &str = "crates/queue/src/party.rs";
const RECOVER: &str = "crates/txn/src/recover.rs";
const RINGS: &str = "crates/queue/src/rings.rs";
const VALIDATE: &str = "crates/txn/src/validate.rs";

const FEW: &[Do] = &[Set(1, 1), Set(2, 2), Set(3, 3)];
const MESSAGES: &[Do] = &[Put(&[1, 2, 3])];

pub const ALL: &[Case] = &[
    Case {
        name: "single operations on two objects",
        before: &[],
        threads: &[&[Add(0), Add(1)], &[Add(1), Add(0)], &[Get(0), Get(1), Get(0)]],
        deaths: 0,
        mutants: &[
            plant(DIRECT, "if word.compare_exchange(seen.0, mine, AcqRel, Relaxed)", Skip),
            plant(
                DIRECT,
                "record.status.store(self.slot.status(Status::Direct), Release);\n        let mine",
                Skip,
            ),
        ],
    },
    Case {
        name: "transactions over three objects",
        before: &[],
        threads: &[&[Move(0, 1), Move(1, 2)], &[Move(1, 0), Add(2)], &[Audit, Get(1), Audit]],
        deaths: 0,
        mutants: &[
            plant(COMMIT, "match e.word.compare_exchange(expected.0, changing.0, AcqRel, Acquire)", Skip),
            plant(VALIDATE, "let seen = Word(e.word.load(Acquire));", SeeAgain),
        ],
    },
    Case {
        name: "a map that grows",
        before: FEW,
        threads: &[
            &[Set(4, 1), Set(5, 1), Set(6, 1)],
            &[Set(7, 2), Set(4, 2), Delete(1)],
            &[Lookup(4), Lookup(7), Lookup(1), Set(2, 9)],
        ],
        deaths: 0,
        mutants: &[plant(DIRECT, "if word.compare_exchange(seen.0, mine, AcqRel, Relaxed)", Skip)],
    },
    Case {
        name: "puts and takes",
        before: MESSAGES,
        threads: &[&[Put(&[10]), Put(&[11])], &[Put(&[20, 21]), Take(1)], &[Take(1), Take(2), Take(1)]],
        deaths: 0,
        mutants: &[plant(
            RINGS,
            "match found.place.compare_exchange(found.word.0, word.0, SeqCst, SeqCst)",
            Skip,
        )],
    },
    Case {
        name: "messages in transactions",
        before: MESSAGES,
        threads: &[&[Requeue, Take(1)], &[Requeue, Put(&[20, 21])], &[Take(1), Requeue]],
        deaths: 0,
        mutants: &[plant(PARTY, "let _ = place.compare_exchange(from.0, to.0, SeqCst, SeqCst);", Skip)],
    },
    Case {
        name: "death in a single operation",
        before: &[],
        threads: &[&[Add(0), Add(0)], &[Add(0), Get(0)], &[Sweep, Add(0)]],
        deaths: 40,
        mutants: &[plant(DIRECT, "if word.compare_exchange(seen.0, mine, AcqRel, Relaxed)", Skip)],
    },
    Case {
        name: "death in a transaction",
        before: &[],
        threads: &[&[Move(0, 1)], &[Move(1, 2), Audit], &[Sweep, Add(0)]],
        deaths: 160,
        mutants: &[plant(RECOVER, "cell.store(value, Relaxed)", Skip)],
    },
    Case {
        name: "death in a map that grows",
        before: FEW,
        threads: &[
            &[Set(4, 1), Set(5, 1), Set(6, 1)],
            &[Lookup(4), Set(4, 2), Delete(1)],
            &[Sweep, Set(7, 7)],
        ],
        deaths: 900,
        mutants: &[plant(RECOVER, "cell.store(value, Relaxed)", Skip)],
    },
    Case {
        name: "death among messages",
        before: MESSAGES,
        threads: &[&[Take(1), Put(&[10, 11]), Requeue], &[Take(1), Put(&[20])], &[Sweep, Take(2)]],
        deaths: 500,
        mutants: &[plant(JUDGE, "match place.compare_exchange(from.0, to.0, Ordering::SeqCst", Skip)],
    },
];
