//! *Transactional*: what one attempt has read, reserved, written and allocated.
//!
//! Invisible validated reads with snapshot extension (TinySTM), eager reservation of what is written (the owner
//! field of the version word: CCSTM), writes in a private overlay until the commit, the oldest wins (wound-wait).
//! Loads and stores: `txn_mem`; reservation: `reserve`; validation: `validate`; the commit: `commit`.
//!
//! Opaque: every value that a load gives belongs to the snapshot `rv`, also in an attempt that will fail.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use coheap_segment::primitive::Instant;
use coheap_segment::{Off, Status, StatusWord, Word, monotonic_ms};

use crate::contend::{About, Holder, Wait, flag};
use crate::core::Core;
use crate::mem::{Fault, Res};
use crate::party::Party;
use crate::slot::{SlotState, WordRef, init64};
use crate::table::{Keyed, Table};

/// What a transaction is asked to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxnOptions {
    /// It reserves what it reads, not only what it writes: younger writers wait.
    pub reserve_reads: bool,
    /// Its steps are spread over time (`begin()` in JavaScript): it has a slot of its own, belongs to no callback,
    /// and loses to anyone who has waited for it long enough.
    pub explicit: bool,
    /// Milliseconds after which anyone may abort an explicit one, whatever it does; 0: no limit.
    pub max_hold_ms: u64,
    /// It never waits for an older one: it is aborted at once, and [`crate::Ctx::blocked_on`] says by whom. Also if
    /// `explicit` gives it a slot of its own it contends as a callback's does.
    pub no_wait: bool,
}

/// A guard that the attempt has read, reserved or both.
pub(crate) struct Entry {
    pub(crate) guard: Off,
    pub(crate) word: WordRef,
    pub(crate) version: u64,
    /// Something was read at `version`: it cannot be moved to a later one.
    pub(crate) used: bool,
    /// Our owner field is in the word.
    pub(crate) locked: bool,
    /// Its version will change.
    pub(crate) written: bool,
}

impl Keyed for Entry {
    #[inline(always)]
    fn key(&self) -> u64 {
        self.guard
    }
}

/// A word that the attempt has written.
pub(crate) struct Written {
    pub(crate) at: Off,
    pub(crate) value: u64,
    /// Position of its guard.
    pub(crate) entry: u32,
    /// False after its store has been undone.
    pub(crate) present: bool,
}

impl Keyed for Written {
    #[inline(always)]
    fn key(&self) -> u64 {
        self.at
    }
}

/// A guard to reserve at first sight.
pub(crate) struct Hot(pub(crate) Off);

impl Keyed for Hot {
    fn key(&self) -> u64 {
        self.0
    }
}

pub(crate) enum Undo {
    Overlay { i: usize, value: u64, present: bool },
    Fresh { at: Off, value: u64 },
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No attempt is under way.
    Ended,
    Active,
    /// The attempt was aborted and is rolled back; it can be restarted.
    Aborted,
}

/// Whom a transaction that never waits would have had to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// Its slot.
    pub slot: u16,
    /// The status word of its attempt: it has ended when the slot's is another.
    pub status: StatusWord,
    /// The version word that it holds.
    pub guard: Off,
}

pub(crate) struct Txn {
    pub(crate) slot: SlotState,
    pub(crate) options: TxnOptions,
    /// A single operation that needed a transaction: it is impatient.
    pub(crate) internal: bool,
    /// The commit makes its fresh blocks part of the heap. An escalated read has none; those built ahead stay so.
    pub(crate) keeps_fresh: bool,
    pub(crate) stage: Stage,
    pub(crate) age: u64,
    pub(crate) rv: u64,
    /// The status word of the running attempt while it is ACTIVE.
    pub(crate) active: u64,
    pub(crate) entries: Table<Entry>,
    pub(crate) locks: usize,
    pub(crate) overlay: Table<Written>,
    pub(crate) undo: Vec<Undo>,
    /// What the last operation has read: positions of entries.
    pub(crate) op_reads: Vec<u32>,
    pub(crate) hot: Table<Hot>,
    pub(crate) failures: u32,
    pub(crate) reserve_all: bool,
    steps: u64,
    /// Number of fresh blocks that are older than the transaction (built ahead).
    base: usize,
    /// Length of the fresh list at the start of the operation.
    pub(crate) op_fresh: usize,
    op_frees: usize,
    pub(crate) wait: Wait,
    /// The attempt that it was last kept waiting by, its steps, and since when they are so many. Outlives the attempts of
    /// its own: one that never waits meets its elder again and again.
    watch: Option<((u16, u64, u64), Instant)>,
    /// When an internal transaction first met somebody.
    pub(crate) met: Option<Instant>,
    pub(crate) blocker: Option<Blocker>,
    /// Claims of other floors that this attempt decides.
    pub(crate) parties: Vec<Box<dyn Party>>,
    /// Reads of the last attempt, for `retry()`.
    pub(crate) reads: Vec<(Off, u64)>,
}

impl Txn {
    pub(crate) fn new(slot: SlotState) -> Txn {
        Txn {
            slot,
            options: TxnOptions::default(),
            internal: false,
            keeps_fresh: true,
            stage: Stage::Ended,
            age: 0,
            rv: 0,
            active: 0,
            entries: Table::new(),
            locks: 0,
            overlay: Table::new(),
            undo: Vec::new(),
            op_reads: Vec::new(),
            hot: Table::new(),
            failures: 0,
            reserve_all: false,
            steps: 0,
            base: 0,
            op_fresh: 0,
            op_frees: 0,
            wait: Wait::default(),
            watch: None,
            met: None,
            blocker: None,
            parties: Vec::new(),
            reads: Vec::new(),
        }
    }

    /// A new transaction: takes its age.
    pub(crate) fn begin(&mut self, core: &Core, options: TxnOptions, internal: bool) {
        self.options = options;
        self.internal = internal;
        self.keeps_fresh = true;
        self.failures = 0;
        self.reserve_all = false;
        self.hot.clear();
        self.met = None;
        self.watch = None;
        self.reads.clear();
        self.base = self.slot.fresh.len();
        // Relaxed: only the order of the numbers matters.
        self.age = core.segment().header().ages.fetch_add(1, Relaxed);
        let r = self.slot.record;
        r.age.store(self.age, Relaxed);
        if options.explicit {
            r.started.store(monotonic_ms().max(1), Relaxed);
            r.max_hold.store(options.max_hold_ms, Relaxed);
        } else {
            r.max_hold.store(0, Relaxed);
        }
        self.attempt(core);
    }

    /// Starts an attempt, the first or another.
    pub(crate) fn attempt(&mut self, core: &Core) {
        let r = self.slot.record;
        r.intent[0].store(0, Relaxed);
        r.locks_len.store(0, Relaxed);
        r.redo_len.store(0, Relaxed);
        r.wv.store(0, Relaxed);
        self.publish_flags(false);
        self.wait = Wait::default();
        self.blocker = None;
        self.stage = Stage::Active;
        self.active = self.slot.status(Status::Active);
        // Release: age, flags and empty lists come before.
        r.status.store(self.active, Release);
        // A commit up to here has its C or its version in every word that we load from now on.
        self.rv = core.segment().clock();
    }

    /// What the next attempt should reserve at first sight.
    pub(crate) fn hot_guards(&self) -> Vec<Off> {
        let written = self.entries.items().iter().filter(|e| e.written).map(|e| e.guard);
        if self.stage == Stage::Active {
            written.collect()
        } else {
            self.hot.items().iter().map(|h| h.0).collect()
        }
    }

    /// Takes the place of an earlier attempt, before anything has been read.
    pub(crate) fn take_place(&mut self, age: u64, failures: u32, reserve_all: bool, hot: &[Off]) {
        (self.age, self.failures, self.reserve_all) = (age, failures, reserve_all);
        hot.iter().for_each(|&guard| {
            self.hot.push(Hot(guard));
        });
        // nobody has met this attempt yet: it owns no word
        self.slot.record.age.store(age, Relaxed);
        self.publish_flags(false);
    }

    /// Says to others what kind of attempt this is.
    pub(crate) fn publish_flags(&self, running: bool) {
        let mut flags = 0;
        if self.options.reserve_reads {
            flags |= flag::RESERVES;
        }
        if self.options.explicit {
            flags |= flag::EXPLICIT;
        }
        if running {
            flags |= flag::RUNNING;
        }
        if self.reserve_all {
            flags |= flag::RESERVES_ALL;
        }
        self.slot.record.flags.store(flags, Relaxed);
    }

    /// Another step: elder transactions that make steps are waited for.
    #[inline(always)]
    pub(crate) fn step(&mut self) {
        self.steps += 1;
        self.slot.record.steps.store(self.steps, Relaxed);
    }

    /// Nobody has aborted this attempt.
    #[inline(always)]
    pub(crate) fn stands(&self) -> bool {
        // Acquire pairs with the wounder's CAS: whatever happened to our words afterwards, we know of it.
        self.slot.record.status.load(Acquire) == self.active
    }

    /// The word of a locked entry is still as we took it (with C or not).
    #[inline(always)]
    pub(crate) fn holds(&self, i: usize) -> bool {
        let e = &self.entries.items()[i];
        let mine = Word::new(self.slot.id, self.slot.tag(), e.version, false);
        // Acquire: what is looked at next comes after it.
        Word(e.word.load(Acquire)).without_waiters() & !1 == mine.0
    }

    /// Older than that one?
    pub(crate) fn elder_than(&self, other: &About) -> bool {
        (self.age, self.slot.id) < other.age
    }

    /// For how long that attempt has made no steps, as far as this transaction has watched it.
    pub(crate) fn idle(&mut self, holder: &Holder, about: &About) -> Duration {
        let now = (holder.slot, holder.status.seq(), about.steps);
        match self.watch {
            Some((seen, since)) if seen == now => since.elapsed(),
            _ => {
                self.watch = Some((now, Instant::now()));
                Duration::ZERO
            }
        }
    }

    /// A validation has failed: the next attempt reserves what this one has written, and everything after the
    /// second time (the first, if it has read much).
    pub(crate) fn invalid(&mut self) -> Fault {
        self.failures += 1;
        if self.failures >= 2 || self.entries.len() > 64 {
            self.reserve_all = true;
        }
        Fault::Aborted
    }

    /// Marks the start of an operation, to undo it alone.
    #[inline(always)]
    pub(crate) fn start_op(&mut self) {
        self.op_fresh = self.slot.fresh.len();
        self.op_frees = self.slot.frees.len();
        self.undo.clear();
        self.op_reads.clear();
    }

    /// The operation is part of the transaction now. `ERR_COHEAP_OUT_OF_MEMORY`: it has to be undone instead.
    #[inline]
    pub(crate) fn keep_op(&mut self, core: &mut Core) -> Res<()> {
        // First what can fail: afterwards nothing is freed that an undone operation would still refer to.
        if !self.slot.fresh.is_empty() {
            self.slot.list_fresh(core)?;
        }
        if self.slot.frees.len() > self.op_frees {
            self.slot.free_own_replaced(core, self.op_frees);
            if self.slot.compact_fresh() {
                // has room: the list is shorter than it was
                self.slot.list_fresh(core)?;
            }
        }
        self.slot.built();
        Ok(())
    }

    /// Takes back what the operation has stored, allocated and freed. Its reservations stay.
    pub(crate) fn undo_op(&mut self, core: &mut Core) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Overlay { i, value, present } => {
                    let w = self.overlay.get_mut(i);
                    (w.value, w.present) = (value, present);
                }
                Undo::Fresh { at, value } => init64(core, at, value),
            }
        }
        self.slot.frees.truncate(self.op_frees);
        self.slot.drop_fresh(core, self.op_fresh);
        self.slot.built();
    }

    /// Forgets an attempt that has taken effect.
    pub(crate) fn forget_committed(&mut self) {
        self.entries.clear();
        self.overlay.clear();
        self.undo.clear();
        self.op_reads.clear();
        self.parties.clear();
        self.locks = 0;
    }

    /// Forgets an aborted attempt, remembering what the next one should reserve at first sight.
    pub(crate) fn forget(&mut self, core: &mut Core, remember: bool) {
        if remember {
            self.hot.clear();
            for e in self.entries.items().iter().filter(|e| e.written) {
                self.hot.push(Hot(e.guard));
            }
        }
        self.entries.clear();
        self.overlay.clear();
        self.undo.clear();
        self.op_reads.clear();
        self.parties.clear();
        self.locks = 0;
        self.slot.frees.clear();
        self.slot.drop_fresh(core, self.base);
        self.slot.built();
    }
}
