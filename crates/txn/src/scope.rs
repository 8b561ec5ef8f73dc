//! Transactions that span several operations: callbacks on the participant's own slot, explicit ones on slots of their
//! own. Synchronous scope: what runs between [`Ctx::enter`] and [`Ctx::leave`] belongs to the transaction, and nothing
//! else does.

use std::sync::atomic::Ordering::Relaxed;

use coheap_segment::{Code, Error, Off, Result, Status, StatusWord};

use crate::commit::{commit, roll_back};
use crate::contend::Holder;
use crate::core::Core;
use crate::ctx::Ctx;
use crate::mem::{Fault, Res};
use crate::recover;
use crate::slot::SlotState;
use crate::transaction::{Blocker, Stage, Txn, TxnOptions};

/// Names a transaction of one [`Ctx`] until it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TxnId {
    index: u32,
    serial: u32,
}

impl TxnId {
    /// As one number, for callers that keep numbers.
    pub fn to_u64(self) -> u64 {
        (self.serial as u64) << 32 | self.index as u64
    }
    /// Back from [`TxnId::to_u64`]; a number that never was one names no transaction.
    pub fn from_u64(bits: u64) -> TxnId {
        TxnId { index: bits as u32, serial: (bits >> 32) as u32 }
    }
}

/// A transaction between two attempts that are apart in time: its place among the others, without a slot.
#[derive(Clone, Debug)]
pub struct Parked {
    options: TxnOptions,
    age: u64,
    failures: u32,
    reserve_all: bool,
    hot: Vec<Off>,
}

fn ended() -> Error {
    Error::new(Code::Aborted, "the transaction has ended")
}

impl Ctx {
    /// Begins a transaction. A callback's is ambient from now on until it ends; an explicit one between
    /// [`Ctx::enter`] and [`Ctx::leave`]. `ERR_COHEAP_INVALID_ARGUMENT` for a callback's inside another transaction
    /// (join that one: see [`Ctx::in_transaction`]); `ERR_COHEAP_TOO_MANY_PARTICIPANTS` when all slots are taken.
    pub fn begin(&mut self, options: TxnOptions) -> Result<TxnId> {
        if options.explicit {
            return self.begin_explicit(options);
        }
        if self.ambient.is_some() {
            return Err(Error::new(Code::InvalidArgument, "a transaction inside a transaction joins it"));
        }
        self.discard();
        self.own.begin(&self.core, options, false);
        self.ambient = Some(0);
        self.serials[0] = self.serials[0].wrapping_add(1);
        Ok(TxnId { index: 0, serial: self.serials[0] })
    }

    fn begin_explicit(&mut self, options: TxnOptions) -> Result<TxnId> {
        let (segment, me) = (self.core.segment(), self.core.me());
        let slot = segment.claim_slot(me)?;
        let state = match SlotState::new(&self.core, slot) {
            Ok(state) => state,
            Err(e) => {
                segment.release_slot(slot);
                return Err(e);
            }
        };
        let mut t = Box::new(Txn::new(state));
        t.begin(&self.core, options, false);
        let i = match self.explicit.iter().position(Option::is_none) {
            Some(i) => i,
            None => {
                self.explicit.push(None);
                self.serials.push(0);
                self.explicit.len() - 1
            }
        };
        self.explicit[i] = Some(t);
        self.serials[i + 1] = self.serials[i + 1].wrapping_add(1);
        Ok(TxnId { index: i as u32 + 1, serial: self.serials[i + 1] })
    }

    /// The position in `ambient`'s numbering, if the transaction has not ended.
    pub(crate) fn position(&self, t: TxnId) -> Result<usize> {
        let i = t.index as usize;
        let alive = match i {
            0 => self.own.stage != Stage::Ended && !self.own.internal,
            i => self.explicit.get(i - 1).is_some_and(Option::is_some),
        };
        if alive && self.serials[i] == t.serial { Ok(i) } else { Err(ended()) }
    }

    pub(crate) fn txn(&mut self, t: TxnId) -> Result<&mut Txn> {
        match self.position(t)? {
            0 => Ok(&mut self.own),
            i => self.explicit[i - 1].as_deref_mut().ok_or_else(ended),
        }
    }

    /// What runs from now on belongs to the transaction. `ERR_COHEAP_ABORTED` if it has ended,
    /// `ERR_COHEAP_INVALID_ARGUMENT` inside of another.
    pub fn enter(&mut self, t: TxnId) -> Result<()> {
        let i = self.position(t)?;
        match self.ambient {
            Some(now) if now == i => return Ok(()),
            Some(_) => return Err(Error::new(Code::InvalidArgument, "another transaction is running")),
            None => {}
        }
        self.discard();
        self.ambient = Some(i);
        self.txn(t)?.publish_flags(true);
        Ok(())
    }

    /// What runs from now on no longer belongs to the explicit transaction that was entered. A callback's transaction
    /// stays ambient until it ends.
    pub fn leave(&mut self) {
        if let Some(i) = self.ambient
            && i > 0
        {
            self.discard();
            self.ambient = None;
            if let Some(t) = &self.explicit[i - 1] {
                t.publish_flags(false);
            }
        }
    }

    /// True while what runs belongs to a transaction.
    #[inline]
    pub fn in_transaction(&self) -> bool {
        self.ambient.is_some()
    }

    /// The transaction that what runs now belongs to.
    pub fn current(&self) -> Option<TxnId> {
        let i = self.ambient?;
        Some(TxnId { index: i as u32, serial: self.serials[i] })
    }

    /// True if the transaction's present attempt can still succeed, as far as is known.
    pub fn is_active(&mut self, t: TxnId) -> bool {
        self.txn(t).is_ok_and(|t| t.stage == Stage::Active && t.stands())
    }

    /// Commits. `Ok`: it has taken effect and ended. `Aborted`: nothing of it remains; [`Ctx::restart`] begins the next
    /// attempt with its old age, [`Ctx::abort`] gives up. `Error`: as `Aborted`, but repeating will not help. May wait
    /// for others as a write does.
    pub fn commit(&mut self, t: TxnId) -> Res<()> {
        let i = self.position(t)?;
        self.adopt();
        let Ctx { own, explicit, core, .. } = self;
        let t = match i {
            0 => own,
            i => explicit[i - 1].as_mut().ok_or_else(ended)?,
        };
        if t.stage != Stage::Active {
            return Err(Fault::Aborted);
        }
        t.step();
        if let Err(fault) = commit(core, t) {
            roll_back(core, t, true);
            return Err(if let Fault::Error(e) = fault { Fault::Error(e) } else { Fault::Aborted });
        }
        self.close(i);
        Ok(())
    }

    /// Ends the transaction without effect. One that has ended already: nothing happens.
    pub fn abort(&mut self, t: TxnId) {
        let Ok(i) = self.position(t) else { return };
        self.discard();
        if let Ok(t) = self.txn(t) {
            let active = t.stage == Stage::Active;
            if active {
                let Ctx { own, explicit, core, .. } = self;
                let t = if i == 0 { Some(own) } else { explicit[i - 1].as_mut() };
                if let Some(t) = t {
                    roll_back(core, t, false);
                }
            }
        }
        self.close(i);
    }

    /// Undoes the present attempt, if there still is one, and starts the next, with the same age: it has not lost its
    /// place. `ERR_COHEAP_ABORTED` if the transaction has ended.
    pub fn restart(&mut self, t: TxnId) -> Result<()> {
        let i = self.position(t)?;
        self.discard();
        let running = self.ambient == Some(i);
        let Ctx { own, explicit, core, .. } = self;
        let t = match i {
            0 => own,
            i => explicit[i - 1].as_mut().ok_or_else(ended)?,
        };
        if t.stage == Stage::Active {
            roll_back(core, t, true);
        }
        t.attempt(core);
        if running {
            t.publish_flags(true);
        }
        Ok(())
    }

    /// Ends a callback's transaction for now: undone, no longer ambient, its slot free for other work; [`Ctx::resume`]
    /// begins the next attempt with its age. For attempts between which the thread does other things.
    pub fn park(&mut self, t: TxnId) -> Result<Parked> {
        if t.index != 0 {
            return Err(Error::new(Code::InvalidArgument, "an explicit transaction keeps its slot"));
        }
        let own = self.txn(t)?;
        let parked = Parked {
            options: own.options,
            age: own.age,
            failures: own.failures,
            reserve_all: own.reserve_all,
            hot: own.hot_guards(),
        };
        self.abort(t);
        Ok(parked)
    }

    /// Begins the next attempt of a parked transaction; it is ambient from now on, as after [`Ctx::begin`].
    pub fn resume(&mut self, parked: &Parked) -> Result<TxnId> {
        let t = self.begin(parked.options)?;
        self.own.take_place(parked.age, parked.failures, parked.reserve_all, &parked.hot);
        Ok(t)
    }

    /// After a panic in the middle of an operation: whatever was under way is undone or, if it was decided, finished, as it
    /// would be after the thread's death.
    pub fn after_panic(&mut self) {
        self.leave();
        self.ambient = None;
        tidy(&mut self.core, &mut self.own);
        self.own.stage = Stage::Ended;
        for i in 0..self.explicit.len() {
            if let Some(t) = &mut self.explicit[i]
                && tidy(&mut self.core, t)
            {
                self.end_explicit(i);
            }
        }
        self.forget_pending();
        self.own.slot.frees.clear();
        self.own.slot.drop_fresh(&mut self.core, 0);
        self.own.slot.built();
    }

    /// Whom a transaction that never waits (`no_wait`) was aborted for; restart it when that one is out of the way
    /// ([`Ctx::is_blocked`]).
    pub fn blocked_on(&mut self, t: TxnId) -> Option<Blocker> {
        self.txn(t).ok()?.blocker
    }

    /// Has that attempt ended? One of a dead owner ends here. A system call while it has not, unless the owner is of this
    /// process.
    pub fn has_ended(&self, blocker: &Blocker) -> bool {
        let segment = self.core.segment();
        let ended = || {
            segment.slot(blocker.slot).is_none_or(|record| {
                // Acquire pairs with the Release of the status: its words are released.
                record.status.load(std::sync::atomic::Ordering::Acquire) != blocker.status.0
            })
        };
        ended()
            || segment.slot_owner_is_dead(blocker.slot)
                && recover::recover(self.core.shared(), blocker.slot) == Ok(true)
                && ended()
    }

    /// Is a transaction that never waits still kept waiting by the one that it was aborted for? False when that one's
    /// attempt has ended, is overdue or has made no steps for its patience: the next attempt aborts it. To be asked again
    /// and again, for steps are seen only so. Never blocks.
    pub fn is_blocked(&mut self, t: TxnId) -> Result<bool> {
        let Some(blocker) = self.txn(t)?.blocker else { return Ok(false) };
        if self.has_ended(&blocker) {
            return Ok(false);
        }
        let record = crate::core::record(self.core.segment(), blocker.slot)?;
        let holder = Holder { slot: blocker.slot, record, status: blocker.status };
        let Some(about) = holder.about() else { return Ok(false) };
        let patience = about.patience(&self.core);
        Ok(!about.overdue && self.txn(t)?.idle(&holder, &about) < patience)
    }

    /// Runs `body` in a transaction until it goes through; it is run again after each conflict, with the age of the
    /// first attempt. An error of `body` undoes everything and comes back. Inside a transaction: joins it.
    pub fn transaction<T>(
        &mut self,
        options: TxnOptions,
        mut body: impl FnMut(&mut Ctx) -> Res<T>,
    ) -> Res<T> {
        if self.in_transaction() {
            return body(self);
        }
        let t = self.begin(TxnOptions { explicit: false, ..options })?;
        loop {
            let result = body(self).and_then(|out| self.commit(t).map(|()| out));
            match result {
                Ok(out) => return Ok(out),
                Err(Fault::Error(e)) => {
                    self.abort(t);
                    return Err(Fault::Error(e));
                }
                Err(_) => self.restart(t)?,
            }
        }
    }

    fn close(&mut self, i: usize) {
        if self.ambient == Some(i) {
            self.ambient = None;
        }
        match i {
            0 => self.own.stage = Stage::Ended,
            i => self.end_explicit(i - 1),
        }
    }

    pub(crate) fn end_explicit(&mut self, i: usize) {
        if let Some(mut t) = self.explicit[i].take() {
            if t.stage == Stage::Active {
                roll_back(&mut self.core, &mut t, false);
            }
            t.slot.free_chains(&mut self.core);
            self.core.segment().release_slot(t.slot.id);
        }
    }
}

/// Brings the slot of a transaction that a panic has left somewhere to rest. True: what it was about had been decided.
fn tidy(core: &mut Core, t: &mut Txn) -> bool {
    // Relaxed: DIRECT and COMMITTED are ours alone.
    let status = StatusWord(t.slot.record.status.load(Relaxed)).status();
    let decided = matches!(status, Some(Status::Direct | Status::Committed));
    if decided {
        // An error would be a corrupt log of our own: then the slot stays as it is, and is met as such.
        let _ = recover::finish(core.shared(), t.slot.id, t.slot.record);
        t.slot.seq = StatusWord(t.slot.record.status.load(Relaxed)).seq();
        // Linked or not, nobody knows: to the collector.
        t.slot.keep_fresh();
        t.slot.built();
        t.slot.frees.clear();
        t.forget_committed();
        t.stage = Stage::Ended;
    } else if t.stage == Stage::Active {
        roll_back(core, t, false);
    }
    decided
}
