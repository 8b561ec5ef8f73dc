//! [`TxnMem`]: loads and stores of one attempt of a transaction.
//!
//! A load looks into the overlay, then at the fresh blocks, then at the heap: word 0, data, word 0 again. What is newer
//! than the snapshot moves the snapshot forward or aborts the attempt (`reserve`, `validate`).

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use coheap_segment::primitive::fence;
use coheap_segment::{Off, Segment, Word};

use crate::core::Core;
use crate::mem::{Block, Fault, Guard, Mem, Res};
use crate::slot::{copy_in, copy_out, init64, overlay};
use crate::transaction::{Entry, Txn, Undo, Written};

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
            self.lock(i)?;
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
                e.used = true;
                // Nobody takes the word while the attempt stands, but for a thief who judged an attempt of ours with this
                // very tag, sixteen or more ago, and was stopped: it takes a word with C = 0 (the one that it judged may
                // recur). So both are looked at: ours since the reservation, the value is of its version.
                return if t.holds(i) && t.stands() { Ok(value) } else { Err(Fault::Aborted) };
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

    fn load_bytes(&mut self, guard: Guard, at: Off, out: &mut [u8]) -> Res<()> {
        if self.fresh(at).is_some() || self.fresh(guard.0).is_some() {
            return Ok(copy_out(self.segment, at, out)?);
        }
        self.observe(guard)?;
        copy_out(self.segment, at, out)?;
        // Fences, and finds the guard as it was before the copy, or aborts.
        self.read(guard, at & !7)?;
        if !self.t.overlay.is_empty() {
            let mut place = at & !7;
            while place < at + out.len() as u64 {
                if let Some(i) = self.t.overlay.find(place)
                    && self.t.overlay.items()[i].present
                {
                    overlay(at, out, place, self.t.overlay.items()[i].value);
                }
                place += 8;
            }
        }
        Ok(())
    }

    fn init_bytes(&mut self, at: Off, bytes: &[u8]) {
        copy_in(self.segment, at, bytes);
    }
}
