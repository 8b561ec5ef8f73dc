//! Reservation: putting our owner field into a version word, and what to do when somebody else's is there.
//!
//! Wound-wait (Rosenkrantz, Stearns, Lewis, 1978) on the age of the first attempt: the elder takes, the younger waits.
//! Waits run from younger to elder only, so they never form a circle; and nobody waits long for one that makes no steps.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use coheap_segment::primitive::Instant;
use coheap_segment::word::NOBODY;
use coheap_segment::{Code, Error, INLINE_LOCKS, Off, Word};

use crate::contend::{Holder, SPIN, Verdict, Wait, judge, strip};
use crate::core::check_version;
use crate::mem::{Fault, Guard, Res};
use crate::recover;
use crate::slot::WordRef;
use crate::transaction::{Blocker, Txn};
use crate::txn_mem::TxnMem;

impl TxnMem<'_> {
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
    pub(crate) fn lock(&mut self, i: usize) -> Res<()> {
        self.list(i)?;
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
            check_version(self.segment, seen.version())?;
            let mine = Word::new(t.slot.id, t.slot.tag(), seen.version(), false).with_waiters(seen.waiters());
            // AcqRel: Release see above; Acquire pairs with the last release of the word.
            if e.word.compare_exchange(seen.0, mine.0, AcqRel, Relaxed).is_err() {
                continue;
            }
            let e = self.t.entries.get_mut(i);
            e.version = seen.version();
            e.locked = true;
            self.t.locks += 1;
            if self.t.wait.waiting() {
                self.t.wait = Wait::default();
            }
            return Ok(());
        }
    }

    /// Reserves a word that will be written.
    #[inline(always)]
    pub(crate) fn lock_to_write(&mut self, guard: Guard) -> Res<usize> {
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
                Err(Fault::Error(Error::at(Code::Destroyed, "the object is gone", guard)))
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
        // One that never waits has a slot of its own, but is run again by who waits for it: it is a callback's.
        let explicit = t.options.explicit && !t.options.no_wait;
        if t.elder_than(&about) || about.overdue || (ours && !explicit) {
            holder.abort(self.core);
            return Ok(());
        }
        if explicit {
            // between runs nobody can wait, so explicit ones never do; but the dead would be in the way for ever
            let dead = self.segment.slot_owner_is_dead(holder.slot);
            let freed = dead && recover::recover(self.core.shared(), holder.slot)?;
            return if freed { Ok(()) } else { Err(Fault::Aborted) };
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
        let stuck = t.idle(&holder, &about);
        if stuck >= limit {
            holder.abort(self.core);
            return Ok(());
        }
        if t.options.no_wait {
            t.blocker = Some(Blocker { slot: holder.slot, status: holder.status, guard: place.0 });
            return Err(Fault::Aborted);
        }
        if t.wait.elapsed() > SPIN
            && self.segment.slot_owner_is_dead(holder.slot)
            && recover::recover(self.core.shared(), holder.slot)?
        {
            return Ok(());
        }
        // our looks are steps: who waits for us need not despair of us
        t.step();
        let own = (&t.slot.record.status, t.active);
        t.wait.pause(self.core, place, &holder, Some(own), limit - stuck);
        Ok(())
    }
}
