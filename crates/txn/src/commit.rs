//! Steps 4 to 9 of a transaction: log, prepare, validate, decide, apply, free, end; and roll-back.
//!
//! Up to the decision (one CAS on the slot's status) nothing shared has been changed but owner fields and C bits,
//! and anybody may abort it. After it the log is the truth, and anybody may finish it.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use coheap_segment::primitive::fence;
use coheap_segment::word::{LAST_VERSION, NOBODY};
use coheap_segment::{INLINE_REDO, Status, StatusWord, Word};

use crate::barrier;
use crate::contend::{DRAWN, release};
use crate::core::{Core, check_version};
use crate::mem::{Fault, Res};
use crate::party::{Hand, Party};
use crate::slot::SlotState;
use crate::transaction::{Entry, Stage, Txn, Written};
use crate::txn_mem::TxnMem;

/// Commits the running attempt. On `Ok` it has taken effect and the slot is idle; on `Err` nothing has, and it still
/// has to be rolled back.
pub(crate) fn commit(core: &mut Core, t: &mut Txn) -> Res<()> {
    let writes = !t.parties.is_empty() || t.entries.items().iter().any(|e| e.written);
    if writes {
        if !t.stands() {
            return Err(Fault::Aborted);
        }
        if !t.parties.is_empty() {
            TxnMem::new(core, t).list_late()?;
        }
        log(core, t)?;
        let mut mem = TxnMem::new(core, t);
        mem.prepare()?;
        mem.decide()?;
        apply(core, t);
    }
    end(core, t, writes);
    Ok(())
}

/// Step 4: the redo groups. Nothing is allocated after this.
fn log(core: &mut Core, t: &mut Txn) -> Res<()> {
    let segment = core.segment();
    let Txn { slot, entries, overlay, .. } = t;
    let written = entries.items().iter().filter(|e| e.written).count();
    let most = 2 * written + 2 * overlay.len();
    if most <= INLINE_REDO {
        log_inline(slot, entries.items(), overlay.items());
        return Ok(());
    }
    slot.redo_chain.reserve(&mut core.alloc, &slot.record.redo_more, INLINE_REDO, most)?;
    // The stores in the order of their guards, in which they are as a rule.
    let entry_of = |o: &u32| overlay.items()[*o as usize].entry as usize;
    let mut order: Vec<u32> = (0..overlay.len() as u32).collect();
    if !order.is_sorted_by_key(entry_of) {
        order.sort_by_key(entry_of);
    }
    let mut rest = &order[..];
    let mut len = 0;
    let mut put = |slot: &SlotState, value: u64| -> Res<()> {
        slot.redo_chain.word(segment, &slot.record.redo, len)?.store(value, Relaxed);
        len += 1;
        Ok(())
    };
    for (i, e) in entries.items().iter().enumerate().filter(|(_, e)| e.written) {
        let before = rest.iter().take_while(|o| entry_of(o) < i).count();
        let group;
        (group, rest) = {
            let from = &rest[before..];
            from.split_at(from.iter().take_while(|o| entry_of(o) == i).count())
        };
        let stores = || group.iter().map(|&o| &overlay.items()[o as usize]).filter(|w| w.present);
        put(slot, e.guard)?;
        put(slot, stores().count() as u64)?;
        for w in stores() {
            put(slot, w.at)?;
            put(slot, w.value)?;
        }
    }
    // Release: the words that it covers come before.
    slot.record.redo_len.store(len as u64, Release);
    Ok(())
}

/// As [`log`], where everything fits into the slot: the counts are filled in behind the stores.
#[inline]
fn log_inline(slot: &SlotState, entries: &[Entry], overlay: &[Written]) {
    let redo = &slot.record.redo;
    let mut len = 0;
    for (i, e) in entries.iter().enumerate().filter(|(_, e)| e.written) {
        let head = len;
        len += 2;
        for w in overlay.iter().filter(|w| w.entry as usize == i && w.present) {
            redo[len].store(w.at, Relaxed);
            redo[len + 1].store(w.value, Relaxed);
            len += 2;
        }
        redo[head].store(e.guard, Relaxed);
        redo[head + 1].store((len - head - 2) as u64 / 2, Relaxed);
    }
    // Release: as in `log`.
    slot.record.redo_len.store(len as u64, Release);
}

impl TxnMem<'_> {
    /// Lists the words that parties want changed. They are taken in step 5 only: a channel's word is never reserved while
    /// somebody's JavaScript runs.
    fn list_late(&mut self) -> Res<()> {
        let mut guards = Vec::new();
        for party in &self.t.parties {
            party.guards(&mut |guard| guards.push(guard));
        }
        for guard in guards {
            let i = self.entry(guard)?;
            if !self.t.entries.items()[i].locked && !self.t.entries.items()[i].written {
                self.list(i)?;
                self.t.locks += 1;
            }
            self.t.entries.get_mut(i).written = true;
        }
        Ok(())
    }

    /// Takes a word that is listed and not yet ours, C and owner at once.
    #[cold]
    fn take_late(&mut self, i: usize) -> Res<()> {
        loop {
            let e = &self.t.entries.items()[i];
            let seen = Word(e.word.load(Acquire));
            if seen.owner() != NOBODY || seen.changing() {
                self.contend(i, seen)?;
                continue;
            }
            if e.used && seen.version() != e.version {
                return Err(self.t.invalid());
            }
            check_version(self.segment, seen.version())?;
            let t = &*self.t;
            let mine = Word::new(t.slot.id, t.slot.tag(), seen.version(), true).with_waiters(seen.waiters());
            // AcqRel: as in `prepare`.
            if e.word.compare_exchange(seen.0, mine.0, AcqRel, Relaxed).is_ok() {
                let e = self.t.entries.get_mut(i);
                e.version = seen.version();
                e.locked = true;
                return Ok(());
            }
        }
    }

    /// Is what the operations on parties saw still so?
    pub(crate) fn check_parties(&mut self) -> Res<()> {
        if self.t.parties.is_empty() {
            return Ok(());
        }
        self.each_party(|party, hand| party.check(hand))
    }

    fn each_party(&mut self, mut f: impl FnMut(&mut dyn Party, &mut Hand<'_>) -> Res<()>) -> Res<()> {
        let mut parties = std::mem::take(&mut self.t.parties);
        let mut hand = Hand { core: self.core, slot: &mut self.t.slot };
        let done = parties.iter_mut().try_for_each(|party| f(&mut **party, &mut hand));
        self.t.parties = parties;
        done
    }

    /// Step 5: from here on others see that we are about to decide.
    fn prepare(&mut self) -> Res<()> {
        // Words were checked when they were reserved. This is for the clock, which each attempt moves from here on: no more of
        // them than there are slots can be past this.
        check_version(self.segment, 0)?;
        let t = &*self.t;
        let record = t.slot.record;
        let preparing = t.slot.status(Status::Preparing);
        // AcqRel: Release publishes the log; Acquire pairs with a wounder's CAS.
        if record.status.compare_exchange(t.active, preparing, AcqRel, Relaxed).is_err() {
            return Err(Fault::Aborted);
        }
        self.t.active = preparing;
        let mut newest = 0;
        for i in 0..self.t.entries.len() {
            let t = &*self.t;
            let e = &t.entries.items()[i];
            if !e.written {
                continue;
            }
            if !e.locked {
                self.take_late(i)?;
                newest = newest.max(self.t.entries.items()[i].version);
                continue;
            }
            let mine = Word::new(t.slot.id, t.slot.tag(), e.version, false);
            let mut expected = mine;
            loop {
                let changing = Word(expected.0 | 1);
                // AcqRel: Release, for what follows under C; Acquire on failure to judge the word that was found.
                match e.word.compare_exchange(expected.0, changing.0, AcqRel, Acquire) {
                    Ok(_) => break,
                    // somebody has set the waiters bit, which we carry along
                    Err(now) if Word(now).without_waiters() == mine.0 => expected = Word(now),
                    // stolen: the status says so too
                    Err(_) => return Err(Fault::Aborted),
                }
            }
            newest = newest.max(e.version);
        }
        // From here on plain reads no longer pass us (see `Holder::has_drawn`): what parties look at, and the clock, decide our
        // place among the others.
        record.wv.store(DRAWN, Relaxed);
        if !self.t.parties.is_empty() {
            // A real fence: DRAWN and our C's are visible before the parties look at anything.
            fence(SeqCst);
            self.check_parties()?;
            self.each_party(|party, hand| party.prepare(hand))?;
        }
        // Our C's are visible before we look at the clock and at what we have read: of two transactions that each
        // read what the other writes, at least one sees the other's C (model/write-skew.pml). So is DRAWN, before the
        // addition (itself a full fence on x86-64).
        barrier::fence_after_rmw();
        // AcqRel: Release pairs with the Acquire of who samples the clock: a snapshot at or after `wv` sees our C's.
        let clock = self.segment.header().clock.fetch_add(1, AcqRel).min(LAST_VERSION);
        let wv = clock.max(newest) + 1;
        record.wv.store(wv, Relaxed);
        barrier::fence_after_rmw();
        // what parties saw was checked before their claims, at an instant at which all reads held and all C's were set
        self.validate()
    }

    /// Step 6: the decision.
    fn decide(&mut self) -> Res<()> {
        let t = &mut *self.t;
        let committed = t.slot.status(Status::Committed);
        // AcqRel: Release publishes `wv`; whoever sees COMMITTED can finish for us.
        if t.slot.record.status.compare_exchange(t.active, committed, AcqRel, Relaxed).is_err() {
            return Err(Fault::Aborted);
        }
        t.active = committed;
        // The collector's phase is read after the decision (`barrier::stored`), and C comes before the stores (pairs
        // with the Acquire fence of readers).
        barrier::fence_after_rmw();
        fence(Release);
        Ok(())
    }
}

/// Step 7: first all stores, then all releases. (The other way round a reader could accept a body that the second
/// group frees.)
fn apply(core: &mut Core, t: &mut Txn) {
    let segment = core.segment();
    for w in t.overlay.items() {
        if w.present
            && let Ok(cell) = segment.word(w.at)
        {
            barrier::stored(w.at, w.value);
            cell.store(w.value, Relaxed);
        }
    }
    if !t.parties.is_empty() {
        // infallible
        let _ = TxnMem::new(core, t).each_party(|party, hand| {
            party.committed(hand);
            Ok(())
        });
    }
    let wv = t.slot.record.wv.load(Relaxed);
    for e in t.entries.items() {
        if e.written {
            // Under C = 1 and COMMITTED only we (or, were we dead, our recoverer) change the word, so load and store
            // will do. Relaxed: we set it ourselves.
            let waiters = Word(e.word.load(Relaxed)).waiters();
            // Release pairs with the Acquire of readers: with the version come all stores.
            e.word.store(Word::new(NOBODY, 0, wv, false).0, Release);
            if waiters {
                segment.waiters_ring(e.guard);
            }
        }
    }
}

/// What was reserved and not written is released as it was; bodies are freed; the slot goes idle.
fn end(core: &mut Core, t: &mut Txn, writes: bool) {
    let segment = core.segment();
    let (id, tag) = (t.slot.id, t.slot.tag());
    for e in t.entries.items() {
        if e.locked && !(e.written && writes) {
            release(segment, e.guard, e.word, id, tag);
        }
    }
    if !t.slot.frees.is_empty() {
        if !writes {
            // only blocks of its own: still, whoever frees is DIRECT or COMMITTED
            t.slot.record.redo_len.store(0, Relaxed);
            t.slot.record.status.store(t.slot.status(Status::Committed), Release);
        }
        t.slot.free_replaced(core);
    }
    if t.keeps_fresh {
        t.slot.keep_fresh();
    }
    t.slot.built();
    t.slot.go_idle();
    t.stage = Stage::Ended;
    t.forget_committed();
    core.count_commit();
}

/// Takes back the whole attempt: owner fields off, fresh blocks back, slot idle. Anyone may have begun to do so.
pub(crate) fn roll_back(core: &mut Core, t: &mut Txn, remember: bool) {
    let segment = core.segment();
    let (id, tag) = (t.slot.id, t.slot.tag());
    // Release: pairs with `judge`. From here on anybody may take our words. Others only CAS ACTIVE or PREPARING to this.
    t.slot.record.status.store(StatusWord::new(Status::Aborted, t.slot.seq).0, Release);
    for e in t.entries.items() {
        if e.locked {
            release(segment, e.guard, e.word, id, tag);
        }
    }
    if !t.parties.is_empty() {
        // infallible
        let _ = TxnMem::new(core, t).each_party(|party, hand| {
            party.aborted(hand);
            Ok(())
        });
    }
    t.reads.clear();
    t.reads.extend(t.entries.items().iter().filter(|e| e.used).map(|e| (e.guard, e.version)));
    t.forget(core, remember);
    t.slot.go_idle();
    t.stage = Stage::Aborted;
    core.count_abort();
}
