//! Validation: is what was read still so? For the commit (step 5), for moving the snapshot forward, for a handle that
//! was just published.

use std::sync::atomic::Ordering::Acquire;

use coheap_segment::Word;

use crate::contend::{Verdict, judge};
use crate::core::advance_clock;
use crate::mem::{Fault, Res};
use crate::txn_mem::TxnMem;

impl TxnMem<'_> {
    /// Moves the snapshot forward to now, if all that was read so far is still so. Afterwards the object that was met
    /// has to be read again.
    #[cold]
    pub(crate) fn extend(&mut self, met: u64, i: usize) -> Res<()> {
        self.core.stats.extensions += 1;
        let guard = self.t.entries.items()[i].guard;
        // The clock is sampled before the validation: a commit up to then has set C or its version by now.
        let rv = advance_clock(self.segment, met, guard)?;
        self.validate()?;
        self.check_parties()?;
        if !self.t.stands() {
            return Err(Fault::Aborted);
        }
        self.t.rv = rv;
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
        if !e.used {
            return Ok(());
        }
        if e.locked {
            // Ours as long as the attempt stands, which the caller looks at (the decision is a CAS); but see `read` for the
            // thief of a wrapped tag. What is written has been compared by the CAS that set C, what is only read not.
            return if self.t.holds(i) { Ok(()) } else { Err(Fault::Aborted) };
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
}
