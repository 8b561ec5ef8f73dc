//! *Direct*: one single operation on one word. It runs like a snapshot with its stores held back; then the status
//! goes to DIRECT, one compare-exchange sets C on exactly the word that was seen, which also proves that what was
//! read is still so, the stores follow, and one store releases the word under a new version.
//!
//! | killed | what recovery does |
//! | --- | --- |
//! | before C = 1 | nothing: status back to idle |
//! | C = 1, DIRECT | release with a new version: the one cell has its old or its new value |
//! | C = 1, COMMITTED | store the 2 to 7 values of the intent line again, release with its version |
//!
//! It only reads the clock, hence readers advance it (see `core::advance_clock`).

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use coheap_segment::primitive::{AtomicU64, fence};
use coheap_segment::word::NOBODY;
use coheap_segment::{Code, Error, Off, Segment, Status, Word};

use crate::barrier;
use crate::core::{Core, check_version, next_version};
use crate::mem::{Block, Fault, Guard, Mem, Res};
use crate::slot::{SlotState, copy_in, copy_out, init64, overlay};

/// The most words that one direct operation can store: what an intent line holds.
pub const MAX_STORES: usize = 7;

/// See the module.
pub struct DirectMem<'a> {
    core: &'a mut Core,
    slot: &'a mut SlotState,
    segment: &'static Segment,
    guard: Off,
    word: Option<&'static AtomicU64>,
    seen: Word,
    /// The version has to change.
    touched: bool,
    /// How many of the slot's held stores are this attempt's.
    len: usize,
}

impl<'a> DirectMem<'a> {
    #[inline(always)]
    pub(crate) fn new(core: &'a mut Core, slot: &'a mut SlotState) -> DirectMem<'a> {
        let segment = core.segment();
        DirectMem { core, slot, segment, guard: 0, word: None, seen: Word(0), touched: false, len: 0 }
    }

    /// The guard that the attempt has met, 0 if none.
    pub(crate) fn guard(&self) -> Off {
        self.guard
    }

    /// True if all that was read so far belongs together.
    #[inline]
    pub(crate) fn check(&self) -> bool {
        let Some(word) = self.word else { return true };
        // As in a snapshot.
        fence(Acquire);
        Word(word.load(Relaxed)).seen() == self.seen.seen()
    }

    #[inline(always)]
    fn enter(&mut self, guard: Guard) -> Res<()> {
        if self.guard == guard.0 {
            return Ok(());
        }
        self.enter_first(guard)
    }

    #[inline]
    fn enter_first(&mut self, guard: Guard) -> Res<()> {
        if self.guard != 0 {
            return Err(Fault::Escalate);
        }
        let word = self.segment.word(guard.0)?;
        // Acquire pairs with the Release that gave the word this version.
        let seen = Word(word.load(Acquire));
        self.guard = guard.0;
        if seen.changing() || seen.is_free() {
            return Err(self.cannot_enter(guard, seen));
        }
        self.word = Some(word);
        self.seen = seen;
        Ok(())
    }

    #[cold]
    fn cannot_enter(&self, guard: Guard, seen: Word) -> Fault {
        if seen.is_free() {
            return Fault::Error(Error::at(Code::Destroyed, "the object is gone", guard.0));
        }
        // waiting is done outside of the attempt, with the fresh blocks given back
        Fault::Again
    }

    #[inline(always)]
    fn is_fresh(&mut self, at: Off) -> bool {
        !self.slot.fresh.is_empty() && self.slot.fresh.find(at).is_some()
    }

    /// Takes effect. `Again`: the word has changed or somebody has reserved it.
    #[inline]
    pub(crate) fn commit(&mut self) -> Res<()> {
        if !self.touched {
            if !self.check() {
                return Err(Fault::Again);
            }
            if !self.slot.frees.is_empty() {
                self.free_quietly();
            }
            return Ok(());
        }
        let Some(word) = self.word else { return Ok(()) };
        let seen = self.seen;
        if seen.owner() != NOBODY {
            return Err(Fault::Again);
        }
        check_version(self.segment, seen.version())?;
        let record = self.slot.record;
        record.intent[0].store(self.guard, Relaxed);
        // Release: who sees DIRECT sees the intent. The CAS below (Release) comes after it: who sees our C sees DIRECT.
        record.status.store(self.slot.status(Status::Direct), Release);
        let mine = Word::new(self.slot.id, self.slot.tag(), seen.version(), true).0
            | seen.0 & !seen.without_waiters();
        // The loads of the attempt come before the look that proves them right.
        fence(Acquire);
        // AcqRel: Acquire pairs with the last release of the word; it is only won if nothing has changed since.
        if word.compare_exchange(seen.0, mine, AcqRel, Relaxed).is_err() {
            self.slot.go_idle();
            return Err(Fault::Again);
        }
        // C is visible before we look at the clock; and the Release half keeps our stores behind C (pairs with the
        // Acquire fence of readers).
        barrier::fence_after_rmw();
        fence(Release);
        // The clock is read now, never before C (model/read-sets.pml).
        let wv = next_version(self.segment, seen.version());
        match self.len {
            1 => self.store_all(),
            0 => {}
            n => {
                for (i, (at, value, _)) in self.slot.held[..n].iter().enumerate() {
                    record.intent[2 + 2 * i].store(*at, Relaxed);
                    record.intent[3 + 2 * i].store(*value, Relaxed);
                }
                record.intent[1].store(wv | (n as u64) << 56, Relaxed);
                // Release: who sees COMMITTED sees the line. Nobody CASes a DIRECT status, so a store will do.
                record.status.store(self.slot.status(Status::Committed), Release);
                fence(Release);
                self.store_all();
            }
        }
        // Release pairs with the Acquire of readers: with the version come the stores. Under C = 1 nobody else
        // changes the word.
        word.store(Word::new(NOBODY, 0, wv, false).0, Release);
        if seen.waiters() {
            self.segment.waiters_ring(self.guard);
        }
        if !self.slot.frees.is_empty() {
            self.slot.free_replaced(self.core);
        }
        self.slot.go_idle();
        Ok(())
    }

    #[inline(always)]
    fn store_all(&self) {
        for (at, value, cell) in &self.slot.held[..self.len] {
            barrier::stored(*at, *value);
            // Relaxed: between the Release fence after C and the Release of the word.
            cell.store(*value, Relaxed);
        }
    }

    /// Nothing was stored, but something is freed: a fresh block that lost a race, as a rule.
    #[cold]
    fn free_quietly(&mut self) {
        self.slot.record.intent[0].store(0, Relaxed);
        self.slot.record.status.store(self.slot.status(Status::Direct), Release);
        self.slot.free_replaced(self.core);
        self.slot.go_idle();
    }
}

impl Mem for DirectMem<'_> {
    fn segment(&self) -> &Segment {
        self.segment
    }

    #[inline(always)]
    fn load64(&mut self, guard: Guard, at: Off) -> Res<u64> {
        let cell = self.segment.word(at)?;
        if !self.slot.fresh.is_empty() && (self.is_fresh(at) || self.is_fresh(guard.0)) {
            return Ok(cell.load(Relaxed));
        }
        self.enter(guard)?;
        if let Some((_, value, _)) = self.slot.held[..self.len].iter().rev().find(|s| s.0 == at) {
            return Ok(*value);
        }
        // Relaxed: see the fence before the CAS.
        Ok(cell.load(Relaxed))
    }

    #[inline(always)]
    fn store64(&mut self, guard: Guard, at: Off, value: u64) -> Res<()> {
        let cell = self.segment.word(at)?;
        if self.is_fresh(at) {
            cell.store(value, Relaxed);
            return Ok(());
        }
        self.enter(guard)?;
        self.touched = true;
        if let Some(s) = self.slot.held[..self.len].iter_mut().find(|s| s.0 == at) {
            s.1 = value;
            return Ok(());
        }
        if self.len == MAX_STORES {
            return Err(Fault::Escalate);
        }
        self.slot.held[self.len] = (at, value, cell);
        self.len += 1;
        Ok(())
    }

    #[inline]
    fn observe(&mut self, guard: Guard) -> Res<()> {
        if self.is_fresh(guard.0) {
            return Ok(());
        }
        self.enter(guard)
    }

    #[inline]
    fn reserve(&mut self, guard: Guard) -> Res<()> {
        if self.is_fresh(guard.0) {
            return Ok(());
        }
        self.enter(guard)?;
        self.touched = true;
        Ok(())
    }

    #[inline]
    fn version(&mut self, guard: Guard) -> Res<u64> {
        if self.is_fresh(guard.0) {
            return Ok(Word(self.segment.word(guard.0)?.load(Relaxed)).version());
        }
        self.enter(guard)?;
        Ok(self.seen.version())
    }

    #[inline]
    fn alloc(&mut self, bytes: u64) -> Res<Block> {
        Ok(self.slot.alloc(self.core, bytes)?)
    }

    #[inline]
    fn init64(&mut self, at: Off, value: u64) {
        init64(self.core, at, value);
    }

    #[inline]
    fn finish(&mut self, at: Off, kind: u8, flags: u8, low: u32) {
        self.slot.finish(self.core, at, kind, flags, low);
    }

    fn publish(&mut self, at: Off) {
        self.slot.forget_fresh(self.core, at);
    }

    #[inline]
    fn free(&mut self, at: Off) {
        self.slot.frees.push(at);
    }

    fn load_bytes(&mut self, guard: Guard, at: Off, out: &mut [u8]) -> Res<()> {
        if !self.is_fresh(at) && !self.is_fresh(guard.0) {
            self.enter(guard)?;
        }
        copy_out(self.segment, at, out)?;
        // what this operation has stored itself lies over it
        for &(place, value, _) in &self.slot.held[..self.len] {
            overlay(at, out, place, value);
        }
        Ok(())
    }

    fn init_bytes(&mut self, at: Off, bytes: &[u8]) {
        copy_in(self.segment, at, bytes);
    }
}
