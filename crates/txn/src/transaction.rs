//! *Transactional*: the read set, the reservations and the overlay of one attempt, and [`TxnMem`] over them.
//!
//! Invisible validated reads with snapshot extension (TinySTM), eager reservation of what is written (the owner
//! field of the version word: CCSTM), writes in a private overlay until the commit, the oldest wins (wound-wait).
//! Opaque: every value that a load gives belongs to the snapshot `rv`, also in an attempt that will fail.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::fence;
use std::time::Instant;

use coheap_segment::word::NOBODY;
use coheap_segment::{Code, Error, INLINE_LOCKS, Off, Segment, Status, StatusWord, Word, monotonic_ms};

use crate::contend::{About, Holder, Verdict, Wait, flag, judge, strip};
use crate::core::{Core, advance_clock, check_version};
use crate::mem::{Block, Fault, Guard, Mem, Res};
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
    /// It never waits for an older one: it is aborted at once, and [`crate::Ctx::blocked_on`] says by whom.
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
struct Hot(Off);

impl Keyed for Hot {
    fn key(&self) -> u64 {
        self.0
    }
}

enum Undo {
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
    pub(crate) stage: Stage,
    pub(crate) age: u64,
    pub(crate) rv: u64,
    /// The status word of the running attempt while it is ACTIVE.
    pub(crate) active: u64,
    pub(crate) entries: Table<Entry>,
    pub(crate) locks: usize,
    pub(crate) overlay: Table<Written>,
    undo: Vec<Undo>,
    /// What the last operation has read: positions of entries.
    op_reads: Vec<u32>,
    hot: Table<Hot>,
    failures: u32,
    reserve_all: bool,
    steps: u64,
    /// Number of fresh blocks that are older than the transaction (built ahead).
    base: usize,
    /// Length of the fresh list at the start of the operation.
    op_fresh: usize,
    op_frees: usize,
    wait: Wait,
    watch: Option<(u16, u64, u64, Instant)>,
    /// When an internal transaction first met somebody.
    met: Option<Instant>,
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
        self.failures = 0;
        self.reserve_all = false;
        self.hot.clear();
        self.met = None;
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
        self.publish_flags(false);
        self.wait = Wait::default();
        self.blocker = None;
        self.stage = Stage::Active;
        self.active = self.slot.status(Status::Active);
        // Release: age, flags and empty lists come before.
        r.status.store(self.active, Release);
        // Acquire pairs with the AcqRel of those that advance it: a commit up to here has its C or its version in
        // every word that we load from now on.
        self.rv = core.segment().header().clock.load(Acquire);
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

    /// Older than that one?
    pub(crate) fn elder_than(&self, other: &About) -> bool {
        (self.age, self.slot.id) < other.age
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
        if self.slot.frees.len() > self.op_frees {
            self.slot.free_own_replaced(core, self.op_frees);
        }
        if !self.slot.fresh.is_empty() {
            self.slot.list_fresh(core)?;
            self.slot.built();
        }
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
        self.parties.clear();
        self.locks = 0;
        self.watch = None;
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
        self.parties.clear();
        self.locks = 0;
        self.watch = None;
        self.slot.frees.clear();
        self.slot.drop_fresh(core, self.base);
        self.slot.built();
    }
}

/// See the module.
pub struct TxnMem<'a> {
    pub(crate) core: &'a mut Core,
    pub(crate) t: &'a mut Txn,
    pub(crate) segment: &'static Segment,
}

impl<'a> TxnMem<'a> {
    #[inline]
    pub(crate) fn new(core: &'a mut Core, t: &'a mut Txn) -> TxnMem<'a> {
        let segment = core.segment();
        TxnMem { core, t, segment }
    }

    #[inline(always)]
    pub(crate) fn entry(&mut self, guard: Guard) -> Res<usize> {
        match self.t.entries.find(guard.0) {
            Some(i) => Ok(i),
            None => {
                let word = self.segment.word(guard.0)?;
                let entry =
                    Entry { guard: guard.0, word, version: 0, used: false, locked: false, written: false };
                Ok(self.t.entries.push(entry))
            }
        }
    }

    /// Makes the entry part of the snapshot: its version is at most `rv` and nobody is changing it. Reserves it, if
    /// that is wanted.
    #[inline]
    fn admit(&mut self, i: usize) -> Res<()> {
        let reserving = self.t.options.reserve_reads
            || self.t.reserve_all
            || (!self.t.hot.is_empty() && self.t.hot.find(self.t.entries.items()[i].guard).is_some());
        if reserving && !self.t.entries.items()[i].locked {
            return self.lock(i);
        }
        loop {
            let e = &self.t.entries.items()[i];
            // Acquire pairs with the Release that gave the word this version.
            let seen = Word(e.word.load(Acquire));
            if seen.changing() || seen.is_free() {
                self.contend(i, seen)?;
                continue;
            }
            if seen.version() > self.t.rv {
                self.extend(seen.version(), i)?;
                continue;
            }
            self.t.entries.get_mut(i).version = seen.version();
            return Ok(());
        }
    }

    /// Moves the snapshot forward to now, if all that was read so far is still so. Afterwards the object that was met
    /// has to be read again.
    #[cold]
    fn extend(&mut self, met: u64, i: usize) -> Res<()> {
        self.core.stats.extensions += 1;
        let guard = self.t.entries.items()[i].guard;
        // The clock is sampled before the validation: a commit up to then has set C or its version by now.
        let rv = advance_clock(self.segment, met, guard)?;
        self.validate()?;
        if !self.t.stands() {
            return Err(Fault::Aborted);
        }
        self.t.rv = rv;
        Ok(())
    }

    /// Reads a word that is neither fresh nor in the overlay.
    #[inline]
    fn read(&mut self, guard: Guard, at: Off) -> Res<u64> {
        let cell = self.segment.word(at)?;
        let i = self.entry(guard)?;
        if self.t.op_reads.last() != Some(&(i as u32)) {
            self.t.op_reads.push(i as u32);
        }
        loop {
            if !self.t.entries.items()[i].used {
                self.admit(i)?;
            }
            // Relaxed: between the Acquire load of the word and the fence.
            let value = cell.load(Relaxed);
            // As in a snapshot.
            fence(Acquire);
            let t = &mut *self.t;
            let e = t.entries.get_mut(i);
            if e.locked {
                // Nobody can have taken the word while the attempt stands.
                e.used = true;
                return if t.stands() { Ok(value) } else { Err(Fault::Aborted) };
            }
            let now = Word(e.word.load(Relaxed));
            if now.version() == e.version && !now.changing() {
                e.used = true;
                return Ok(value);
            }
            if e.used && now.version() != e.version {
                return Err(t.invalid());
            }
            if e.used {
                // Being changed by somebody who may or may not commit: a transaction, unlike a plain read, waits (a
                // commit with a version up to `rv` may follow).
                self.contend(i, now)?;
            }
        }
    }

    /// Lists the word as one that we may be owner of, at the end of the lock list. Whoever finds our owner field in a word
    /// finds the word in the list: Release here and in the CAS that follows. A word that is listed and not taken does
    /// no harm; the list grows only when it has been (`locks`).
    #[inline]
    pub(crate) fn list(&mut self, i: usize) -> Res<()> {
        let Txn { slot, locks, entries, .. } = &mut *self.t;
        let record = slot.record;
        slot.locks_chain.reserve(&mut self.core.alloc, &record.locks_more, INLINE_LOCKS, *locks + 1)?;
        slot.locks_chain.word(self.segment, &record.locks, *locks)?.store(entries.items()[i].guard, Relaxed);
        record.locks_len.store(*locks as u64 + 1, Release);
        Ok(())
    }

    /// Reserves the word: lists it, then puts our owner field into it. Readers go on reading it.
    #[inline]
    fn lock(&mut self, i: usize) -> Res<()> {
        self.list(i)?;
        let guard = self.t.entries.items()[i].guard;
        loop {
            let (t, e) = (&*self.t, &self.t.entries.items()[i]);
            let seen = Word(e.word.load(Acquire));
            if seen.owner() != NOBODY || seen.changing() {
                self.contend(i, seen)?;
                continue;
            }
            if e.used && seen.version() != e.version {
                return Err(self.t.invalid());
            }
            check_version(seen.version(), guard)?;
            let mine = Word::new(t.slot.id, t.slot.tag(), seen.version(), false).with_waiters(seen.waiters());
            // AcqRel: Release see above; Acquire pairs with the last release of the word.
            if e.word.compare_exchange(seen.0, mine.0, AcqRel, Relaxed).is_err() {
                continue;
            }
            let newer = seen.version() > t.rv && !e.used;
            let e = self.t.entries.get_mut(i);
            e.version = seen.version();
            e.locked = true;
            self.t.locks += 1;
            if self.t.wait.waiting() {
                self.t.wait = Wait::default();
            }
            return if newer { self.extend(seen.version(), i) } else { Ok(()) };
        }
    }

    /// Reserves a word that will be written.
    #[inline(always)]
    fn lock_to_write(&mut self, guard: Guard) -> Res<usize> {
        let i = self.entry(guard)?;
        if !self.t.entries.items()[i].locked {
            self.lock(i)?;
        }
        self.t.entries.get_mut(i).written = true;
        Ok(i)
    }

    /// Somebody else has the word: takes it away, aborts its owner, or waits. Comes back when it is worth another
    /// look. `Aborted`: this attempt is the one that loses.
    #[cold]
    pub(crate) fn contend(&mut self, i: usize, seen: Word) -> Res<()> {
        let (guard, word) = {
            let e = &self.t.entries.items()[i];
            (e.guard, e.word)
        };
        if !self.t.stands() {
            return Err(Fault::Aborted);
        }
        let own = (&self.t.slot.record.status, self.t.active);
        match judge(self.segment, guard, word, seen)? {
            Verdict::Moved => Ok(()),
            Verdict::Free => {
                // what was read before must belong to the same moment as this
                self.validate()?;
                Err(Fault::Error(Error::about(Code::Destroyed, "the object is gone", guard)))
            }
            Verdict::Takeable => {
                if let Some(version) = strip(self.segment, guard, word, seen) {
                    let e = self.t.entries.get_mut(i);
                    // Nothing was stored under it: what we read at the old version is what the new one stands for.
                    if e.used && e.version == seen.version() {
                        e.version = version;
                    }
                }
                Ok(())
            }
            Verdict::Deciding(holder) => {
                self.t.step();
                Ok(self.t.wait.pause_deciding(self.core, (guard, word, seen), &holder, Some(own))?)
            }
            Verdict::Undecided(holder) => self.contend_undecided((guard, word, seen), holder),
        }
    }

    fn contend_undecided(&mut self, place: (Off, WordRef, Word), holder: Holder) -> Res<()> {
        let Some(about) = holder.about() else { return Ok(()) };
        let t = &mut *self.t;
        let ours = self.segment.slot_participant(holder.slot) == Some(self.core.me());
        if t.elder_than(&about) || about.overdue || (ours && !t.options.explicit) {
            holder.abort(self.core);
            return Ok(());
        }
        if t.options.explicit {
            // between runs nobody can wait, so explicit ones never do
            return Err(Fault::Aborted);
        }
        if t.options.no_wait {
            t.blocker = Some(Blocker { slot: holder.slot, status: holder.status, guard: place.0 });
            return Err(Fault::Aborted);
        }
        let limit = about.patience(self.core);
        if t.internal {
            // as impatient as the single operation that it is
            if t.met.get_or_insert_with(Instant::now).elapsed() >= limit {
                holder.abort(self.core);
                return Ok(());
            }
        }
        // An elder that makes steps is waited for as long as it does.
        let now = (holder.slot, holder.status.seq(), about.steps);
        let since = match t.watch {
            Some((slot, seq, steps, since)) if (slot, seq, steps) == now => since,
            _ => {
                let since = Instant::now();
                t.watch = Some((now.0, now.1, now.2, since));
                since
            }
        };
        let stuck = since.elapsed();
        if stuck >= limit {
            holder.abort(self.core);
            return Ok(());
        }
        // our looks are steps: who waits for us need not despair of us
        t.step();
        let own = (&t.slot.record.status, t.active);
        t.wait.pause(self.core, place, &holder, Some(own), limit - stuck);
        Ok(())
    }

    /// Looks whether all that was read is still so. `Aborted` if not.
    pub(crate) fn validate(&mut self) -> Res<()> {
        for i in 0..self.t.entries.len() {
            self.validate_entry(i)?;
        }
        Ok(())
    }

    #[inline]
    fn validate_entry(&mut self, i: usize) -> Res<()> {
        let e = &self.t.entries.items()[i];
        // ours as long as the attempt stands, which the caller looks at (the decision is a CAS)
        if !e.used || e.locked {
            return Ok(());
        }
        // Acquire: the loads of validation stay in order and behind the clock.
        let seen = Word(e.word.load(Acquire));
        if seen.version() != e.version {
            return Err(self.t.invalid());
        }
        if seen.changing() { self.validate_changing(i) } else { Ok(()) }
    }

    /// Looks whether what the last operation has read is still so.
    pub(crate) fn validate_last(&mut self) -> Res<()> {
        for k in 0..self.t.op_reads.len() {
            self.validate_entry(self.t.op_reads[k] as usize)?;
        }
        if self.t.stands() { Ok(()) } else { Err(Fault::Aborted) }
    }

    /// A word of the read set has its version and C of another: decides whether that one comes before us.
    #[cold]
    fn validate_changing(&mut self, i: usize) -> Res<()> {
        loop {
            let e = &self.t.entries.items()[i];
            let (guard, word) = (e.guard, e.word);
            let seen = Word(word.load(Acquire));
            if seen.version() != e.version {
                return Err(self.t.invalid());
            }
            if !seen.changing() {
                return Ok(());
            }
            // `judge` confirms by loading the word again
            match judge(self.segment, guard, word, seen)? {
                Verdict::Moved => {}
                Verdict::Takeable => return Ok(()),
                Verdict::Free | Verdict::Deciding(_) => return Err(self.t.invalid()),
                Verdict::Undecided(holder) => match holder.about() {
                    None => {}
                    Some(about) if self.t.elder_than(&about) => holder.abort(self.core),
                    Some(_) => return Err(self.t.invalid()),
                },
            }
        }
    }

    #[inline(always)]
    fn fresh(&mut self, at: Off) -> Option<usize> {
        if self.t.slot.fresh.is_empty() { None } else { self.t.slot.fresh.find(at) }
    }
}

impl Mem for TxnMem<'_> {
    fn segment(&self) -> &Segment {
        self.segment
    }

    #[inline]
    fn load64(&mut self, guard: Guard, at: Off) -> Res<u64> {
        if !self.t.overlay.is_empty()
            && let Some(i) = self.t.overlay.find(at)
            && self.t.overlay.items()[i].present
        {
            return Ok(self.t.overlay.items()[i].value);
        }
        if self.fresh(at).is_some() || self.fresh(guard.0).is_some() {
            return Ok(self.segment.word(at)?.load(Relaxed));
        }
        self.read(guard, at)
    }

    #[inline]
    fn store64(&mut self, guard: Guard, at: Off, value: u64) -> Res<()> {
        let cell = self.segment.word(at)?;
        if let Some(position) = self.fresh(at) {
            if position < self.t.op_fresh {
                self.t.undo.push(Undo::Fresh { at, value: cell.load(Relaxed) });
            }
            cell.store(value, Relaxed);
            return Ok(());
        }
        let entry = self.lock_to_write(guard)? as u32;
        let t = &mut *self.t;
        match t.overlay.find(at) {
            Some(i) => {
                let w = t.overlay.get_mut(i);
                t.undo.push(Undo::Overlay { i, value: w.value, present: w.present });
                (w.value, w.present, w.entry) = (value, true, entry);
            }
            None => {
                let i = t.overlay.push(Written { at, value, entry, present: true });
                t.undo.push(Undo::Overlay { i, value: 0, present: false });
            }
        }
        Ok(())
    }

    fn observe(&mut self, guard: Guard) -> Res<()> {
        if self.fresh(guard.0).is_none() {
            let i = self.entry(guard)?;
            if !self.t.entries.items()[i].used {
                self.admit(i)?;
                self.t.entries.get_mut(i).used = true;
            }
        }
        Ok(())
    }

    fn reserve(&mut self, guard: Guard) -> Res<()> {
        if self.fresh(guard.0).is_none() {
            self.lock_to_write(guard)?;
        }
        Ok(())
    }

    fn version(&mut self, guard: Guard) -> Res<u64> {
        if self.fresh(guard.0).is_some() {
            return Ok(Word(self.segment.word(guard.0)?.load(Relaxed)).version());
        }
        self.observe(guard)?;
        let i = self.entry(guard)?;
        Ok(self.t.entries.items()[i].version)
    }

    #[inline]
    fn alloc(&mut self, bytes: u64) -> Res<Block> {
        Ok(self.t.slot.alloc(self.core, bytes)?)
    }

    #[inline]
    fn init64(&mut self, at: Off, value: u64) {
        init64(self.core, at, value);
    }

    #[inline]
    fn finish(&mut self, at: Off, kind: u8, flags: u8, low: u32) {
        self.t.slot.finish(self.core, at, kind, flags, low);
    }

    fn publish(&mut self, at: Off) {
        self.t.slot.forget_fresh(self.core, at);
    }

    #[inline]
    fn free(&mut self, at: Off) {
        self.t.slot.frees.push(at);
    }
}
