//! Waiting for a change of what a transaction has read: `retry()`.
//!
//! Sleeping on a version word: add oneself to the waiter table, set the waiters bit by compare-exchange on the word
//! with C = 0, look again, sleep on the own doorbell. Whoever gives the word a new version sees the bit, clears it and
//! rings. A word with C = 1 is about to change and is not slept for.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::time::Duration;

use coheap_segment::primitive::{Instant, sleep};
use coheap_segment::word::NOBODY;
use coheap_segment::{LANE_SYNC, Off, Result, Segment, Word};

use crate::commit::roll_back;
use crate::ctx::Ctx;
use crate::mem::{Fault, Guard, Res};
use crate::recover::free_word;
use crate::scope::TxnId;
use crate::transaction::Stage;

/// A sleep between processes is never longer.
const NAP: Duration = Duration::from_millis(50);
/// Between looks at a word with C = 1.
const SHORT_NAP: Duration = Duration::from_micros(50);

/// What an attempt had read: guards and their versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads(Vec<(Off, u64)>);

impl Reads {
    /// To wait for one object, at a version that [`crate::Mem::version`] has given.
    pub fn one(guard: Guard, version: u64) -> Reads {
        Reads(vec![(guard.0, version)])
    }
    /// Another one.
    pub fn push(&mut self, guard: Guard, version: u64) {
        self.0.push((guard.0, version));
    }
    /// Nothing was read: nothing can change.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A registration for changes that outlives the call: for a thread that sleeps in the participant's stead on its
/// asynchronous lane. Dropping it ends the registration.
pub struct Watch {
    segment: Arc<Segment>,
    participant: u16,
    reads: Reads,
}

impl Watch {
    /// Has one of the reads changed, or is it changing right now? If not, the next change rings (a ring without a change
    /// is normal). Never blocks.
    pub fn changed(&self) -> bool {
        !matches!(look(&self.segment, &self.reads), Ok(Look::Armed))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for &(at, _) in &self.reads.0 {
            self.segment.waiters_remove(at, self.participant);
        }
    }
}

/// How a word that somebody waits for was found.
enum Look {
    Changed,
    /// C is set: it is about to change, or not.
    Changing(Off),
    /// The waiters bit is on it, with us in the table.
    Armed,
}

fn arm(segment: &Segment, at: Off, version: u64) -> Result<Look> {
    let word = segment.word(at)?;
    loop {
        // Acquire pairs with the Release of the new version.
        let seen = Word(word.load(Acquire));
        if seen.version() != version || seen.is_free() {
            return Ok(Look::Changed);
        }
        if seen.changing() {
            return Ok(Look::Changing(at));
        }
        if seen.waiters() {
            return Ok(Look::Armed);
        }
        // AcqRel: our entry in the waiter table comes before the bit; who takes the bit off rings us.
        if word.compare_exchange(seen.0, seen.with_waiters(true).0, AcqRel, Acquire).is_ok() {
            return Ok(Look::Armed);
        }
    }
}

/// Reservations that come and go take the bit off and ring, so a wake without a change is normal.
fn look(segment: &Segment, reads: &Reads) -> Result<Look> {
    let mut found = Look::Armed;
    for &(at, version) in &reads.0 {
        match arm(segment, at, version)? {
            Look::Changed => return Ok(Look::Changed),
            Look::Changing(at) => found = Look::Changing(at),
            Look::Armed => {}
        }
    }
    Ok(found)
}

impl Ctx {
    /// Undoes the transaction's attempt, if it still stands, and gives what it had read.
    pub fn give_up(&mut self, t: TxnId) -> Result<Reads> {
        self.discard();
        let i = self.position(t)?;
        let Ctx { own, explicit, core, .. } = self;
        let Some(t) = (match i {
            0 => Some(own),
            i => explicit[i - 1].as_mut(),
        }) else {
            return Ok(Reads::default());
        };
        if t.stage == Stage::Active {
            roll_back(core, t, false);
        }
        Ok(Reads(t.reads.clone()))
    }

    /// `retry()`: undoes the attempt and sleeps until something that it had read has changed, at most `timeout`. `true`:
    /// changed. Call it again after `false`; [`Ctx::restart`] after `true`. Blocks.
    pub fn wait_for_change(&mut self, t: TxnId, timeout: Duration) -> Res<bool> {
        let reads = self.give_up(t)?;
        Ok(self.wait_for(&reads, timeout)?)
    }

    /// Sleeps until one of the reads has changed, at most `timeout`; `true` if one has. Blocks.
    pub fn wait_for(&mut self, reads: &Reads, timeout: Duration) -> Result<bool> {
        let deadline = Instant::now() + timeout;
        let (segment, me) = (self.core.segment(), self.core.me());
        for &(at, _) in &reads.0 {
            segment.waiters_add(at, me);
        }
        let result = loop {
            let bell = segment.bell(me, LANE_SYNC);
            let found = match look(segment, reads) {
                Ok(found) => found,
                Err(e) => break Err(e),
            };
            let left = deadline.saturating_duration_since(Instant::now());
            match found {
                Look::Changed => break Ok(true),
                _ if left.is_zero() => break Ok(false),
                Look::Changing(at) => {
                    sleep(SHORT_NAP.min(left));
                    if let Err(e) = free_word(&self.core, at) {
                        break Err(e);
                    }
                }
                Look::Armed => segment.sleep(me, LANE_SYNC, bell, NAP.min(left)),
            }
        };
        for &(at, _) in &reads.0 {
            segment.waiters_remove(at, me);
        }
        result
    }

    /// Registers for changes of the reads: from now on a change rings this participant's doorbells, both lanes. Returns
    /// whether one has changed already. Each registration is ended by [`Ctx::unregister`]. Never blocks.
    pub fn register_changes(&mut self, reads: &Reads) -> Result<bool> {
        let me = self.core.me();
        for &(at, _) in &reads.0 {
            self.core.segment().waiters_add(at, me);
        }
        self.changed(reads)
    }

    /// As [`Ctx::register_changes`], as an object that ends the registration when it is dropped, by any thread.
    pub fn watch(&self, reads: Reads) -> Watch {
        let watch = Watch { segment: self.segment().clone(), participant: self.core.me(), reads };
        for &(at, _) in &watch.reads.0 {
            watch.segment.waiters_add(at, watch.participant);
        }
        watch
    }

    /// Has one of the registered reads changed? If not, the next change rings (a ring without a change is normal).
    /// `true` also for one that is being changed right now: look again soon. Never blocks.
    pub fn changed(&self, reads: &Reads) -> Result<bool> {
        Ok(!matches!(look(self.core.segment(), reads)?, Look::Armed))
    }

    /// Ends a registration.
    pub fn unregister(&mut self, reads: &Reads) {
        let me = self.core.me();
        for &(at, _) in &reads.0 {
            self.core.segment().waiters_remove(at, me);
        }
    }

    /// Registers for the end of the attempt that blocks a transaction that never waits; `true` if it has ended already.
    /// End it by [`Ctx::unregister_blocker`]. A ring may come early, and in the moment of a commit not at all: look again
    /// after 50 ms at the latest.
    pub fn register_blocker(&mut self, blocker: &crate::Blocker) -> Result<bool> {
        let (segment, me) = (self.core.segment(), self.core.me());
        segment.waiters_add(blocker.guard, me);
        let word = segment.word(blocker.guard)?;
        let seen = Word(word.load(Acquire));
        if seen.owner() == blocker.slot && !seen.changing() && seen.owner() != NOBODY {
            // AcqRel: as in `arm`. Lost: the word has changed, and so has the status, or soon will.
            let _ = word.compare_exchange(seen.0, seen.with_waiters(true).0, AcqRel, Acquire);
        }
        Ok(self.has_ended(blocker))
    }

    /// Ends a registration of [`Ctx::register_blocker`].
    pub fn unregister_blocker(&mut self, blocker: &crate::Blocker) {
        let me = self.core.me();
        self.core.segment().waiters_remove(blocker.guard, me);
    }
}

/// `Fault::Aborted` as the code that callers without a transaction loop see.
impl Fault {
    /// The error that this is outside of any loop that repeats attempts.
    pub fn error(self) -> coheap_segment::Error {
        use coheap_segment::{Code, Error};
        match self {
            Fault::Error(e) => e,
            Fault::Aborted => Error::new(Code::Aborted, "the transaction was aborted"),
            Fault::Again | Fault::Escalate => Error::new(Code::Aborted, "the attempt was not repeated"),
        }
    }
}
