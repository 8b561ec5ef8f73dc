//! [`Ctx`]: one participant at work. Its single operations, the blocks that it builds ahead, and the loops that
//! repeat an attempt until it goes through. Transactions: `scope`.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use coheap_segment::{Code, Error, Off, Participant, Result, Segment};

use crate::build::BuildMem;
use crate::commit::{commit, roll_back};
use crate::contend::{self, Wait};
use crate::core::{Core, Stats};
use crate::direct::DirectMem;
use crate::handles::Handles;
use crate::mem::{Fault, Mem, Res};
use crate::op::{Attempt, Dynamic, Generic, Op};
use crate::slot::SlotState;
use crate::snapshot::SnapshotMem;
use crate::transaction::{Stage, Txn, TxnOptions};
use crate::txn_mem::TxnMem;

/// Optimistic attempts of a single operation before it reserves.
pub(crate) const OPTIMISTIC: u32 = 64;
/// Repetitions that an operation may ask for inside one transaction (it lost a race for an insert-only table).
const REPEATS: u32 = 10_000;

/// One participant: a thread that uses the heap. Everything it does goes through here; it is not `Sync`, and two
/// threads have two of them.
pub struct Ctx {
    // declared first: dropped first
    pub(crate) own: Box<Txn>,
    pub(crate) explicit: Vec<Option<Box<Txn>>>,
    /// Serial numbers, so that the id of an ended transaction is not taken for a later one's.
    pub(crate) serials: Vec<u32>,
    /// What runs now belongs to this transaction: 0 the own slot's, i + 1 explicit i.
    pub(crate) ambient: Option<usize>,
    /// Number of fresh blocks of the transaction that were there before those that are pending.
    pending: Option<usize>,
    pub(crate) handles: Rc<RefCell<Handles>>,
    pub(crate) core: Core,
}

impl Ctx {
    /// For a participant that has just joined. `patience_ms`: how long a plain write waits for somebody's transaction
    /// before it aborts it.
    pub fn new(participant: Participant, patience_ms: u64) -> Result<Ctx> {
        let id = participant.slot();
        let core = Core::new(participant, patience_ms);
        let own = Box::new(Txn::new(SlotState::new(&core, id)?));
        let handles = Handles::adopt(core.segment(), &core.segment().participant(core.me()).handles);
        let handles = Rc::new(RefCell::new(handles));
        Ok(Ctx { own, explicit: Vec::new(), serials: vec![0], ambient: None, pending: None, handles, core })
    }

    /// The heap.
    pub fn segment(&self) -> &Arc<Segment> {
        self.core.shared()
    }

    /// This participant's id.
    pub fn participant(&self) -> u16 {
        self.core.me()
    }

    /// What this participant has done so far.
    pub fn stats(&self) -> Stats {
        self.core.stats
    }

    /// This participant's allocator, for blocks that belong to no operation (rings, tables).
    pub fn allocator(&mut self) -> &mut coheap_slab::Allocator {
        &mut self.core.alloc
    }

    /// One validated read: everything that `f` loads belongs to one moment. Inside a transaction it is part of it, and
    /// `Fault::Aborted` may come back; else only `Fault::Error`. Waits for nobody but an owner that is storing.
    #[inline]
    pub fn read<T>(&mut self, f: impl FnMut(&mut dyn Mem) -> Res<T>) -> Res<T> {
        self.read_attempts(Dynamic(f))
    }

    /// As [`Ctx::read`], compiled for each mode.
    #[inline]
    pub fn read_with<O: Op>(&mut self, op: &mut O) -> Res<O::Out> {
        self.read_attempts(Generic(op))
    }

    /// One single operation: direct if it stores at most seven words under one guard, else a small transaction of its
    /// own. All or nothing. Inside a transaction it is part of it; if it fails there, it alone is undone (but for
    /// `Fault::Aborted`, which undoes all of it). May wait for others up to their patience.
    #[inline]
    pub fn write<T>(&mut self, f: impl FnMut(&mut dyn Mem) -> Res<T>) -> Res<T> {
        self.write_attempts(Dynamic(f))
    }

    /// As [`Ctx::write`], compiled for each mode.
    #[inline]
    pub fn write_with<O: Op>(&mut self, op: &mut O) -> Res<O::Out> {
        self.write_attempts(Generic(op))
    }

    /// As [`Ctx::write`] for an operation that is known to need several guards: no direct attempt before.
    pub fn write_wide<T>(&mut self, f: impl FnMut(&mut dyn Mem) -> Res<T>) -> Res<T> {
        let mut attempt = Dynamic(f);
        match self.ambient {
            Some(i) => {
                let result = self.in_transaction_of(i, &mut attempt);
                if result.is_ok() {
                    self.pending = None;
                }
                result
            }
            None => self.internal(&mut attempt, TxnOptions::default(), true),
        }
    }

    #[inline(always)]
    fn read_attempts<A: Attempt>(&mut self, mut a: A) -> Res<A::Out> {
        if let Some(i) = self.ambient {
            return self.in_transaction_of(i, &mut a);
        }
        let mut mem = SnapshotMem::new(self.core.segment());
        let result = a.snapshot(&mut mem);
        if let Ok(out) = result
            && mem.check()
        {
            return Ok(out);
        }
        self.read_again(a)
    }

    #[cold]
    #[inline(never)]
    fn read_again<A: Attempt>(&mut self, mut a: A) -> Res<A::Out> {
        let mut wait = Wait::default();
        let mut tries = 0;
        while tries < OPTIMISTIC {
            let mut mem = SnapshotMem::new(self.core.segment());
            match a.snapshot(&mut mem) {
                Ok(out) if mem.check() => return Ok(out),
                Err(Fault::Escalate) => break,
                // what looks wrong is believed only if nothing has moved
                Err(Fault::Error(e)) if mem.check() => return Err(Fault::Error(e)),
                _ => {}
            }
            // whoever waits for its turn is not in vain here
            if !self.look_at(&mut wait, mem.guard(), true)? {
                tries += 1;
            }
        }
        let reserves = tries == OPTIMISTIC;
        self.internal(&mut a, TxnOptions { reserve_reads: reserves, ..TxnOptions::default() }, false)
    }

    /// True if it has waited for somebody.
    pub(crate) fn look_at(&mut self, wait: &mut Wait, guard: Off, reads: bool) -> Result<bool> {
        if guard == 0 {
            return Ok(false);
        }
        contend::single(&mut self.core, wait, guard, reads)
    }

    #[inline(always)]
    fn write_attempts<A: Attempt>(&mut self, mut a: A) -> Res<A::Out> {
        if let Some(i) = self.ambient {
            let result = self.in_transaction_of(i, &mut a);
            if result.is_ok() {
                self.pending = None;
            }
            return result;
        }
        let base = self.own.slot.fresh.len();
        let mut mem = DirectMem::new(&mut self.core, &mut self.own.slot);
        if let Ok(out) = a.direct(&mut mem)
            && mem.commit().is_ok()
        {
            let slot = &mut self.own.slot;
            if !slot.fresh.is_empty() {
                slot.keep_fresh();
                slot.built();
                self.pending = None;
            }
            return Ok(out);
        }
        self.drop_direct(base);
        self.write_again(a, base)
    }

    fn drop_direct(&mut self, base: usize) {
        let slot = &mut self.own.slot;
        slot.frees.clear();
        slot.drop_fresh(&mut self.core, base);
        slot.built();
    }

    #[cold]
    #[inline(never)]
    fn write_again<A: Attempt>(&mut self, mut a: A, base: usize) -> Res<A::Out> {
        let mut wait = Wait::default();
        let mut tries = 0;
        while tries < OPTIMISTIC {
            let mut mem = DirectMem::new(&mut self.core, &mut self.own.slot);
            let result = a.direct(&mut mem).and_then(|out| mem.commit().map(|()| out));
            let guard = mem.guard();
            let result = match result {
                Err(Fault::Error(_)) if !mem.check() => Err(Fault::Again),
                other => other,
            };
            match result {
                Ok(out) => {
                    self.own.slot.keep_fresh();
                    self.own.slot.built();
                    self.pending = None;
                    return Ok(out);
                }
                Err(fault) => {
                    self.drop_direct(base);
                    match fault {
                        Fault::Escalate => break,
                        Fault::Error(e) => return Err(Fault::Error(e)),
                        Fault::Again | Fault::Aborted => {}
                    }
                }
            }
            // whoever waits for its turn is not in vain here
            if !self.look_at(&mut wait, guard, false)? {
                tries += 1;
            }
        }
        self.internal(&mut a, TxnOptions::default(), true)
    }

    /// A transaction of its own for a single operation.
    pub(crate) fn internal<A: Attempt>(
        &mut self,
        a: &mut A,
        options: TxnOptions,
        writes: bool,
    ) -> Res<A::Out> {
        self.core.stats.escalations += 1;
        let Ctx { own, core, .. } = self;
        own.begin(core, options, true);
        own.keeps_fresh = writes;
        let mut repeats = 0;
        loop {
            let mut mem = TxnMem::new(core, own);
            // A read may have published handles on what it found: they count if all is still so after their fence.
            let result =
                a.txn(&mut mem).and_then(|out| if writes { Ok(out) } else { mem.validate().map(|()| out) });
            let fault = match result {
                Ok(out) => match commit(core, own) {
                    Ok(()) => {
                        if writes {
                            self.pending = None;
                        }
                        return Ok(out);
                    }
                    Err(fault) => fault,
                },
                Err(fault) => fault,
            };
            roll_back(core, own, true);
            match fault {
                Fault::Error(e) => {
                    own.stage = Stage::Ended;
                    return Err(Fault::Error(e));
                }
                Fault::Aborted => {}
                Fault::Again | Fault::Escalate => {
                    repeats += 1;
                    if repeats > REPEATS {
                        own.stage = Stage::Ended;
                        return Err(Fault::Error(endless()));
                    }
                }
            }
            own.attempt(core);
        }
    }

    /// One operation of the ambient transaction.
    pub(crate) fn in_transaction_of<A: Attempt>(&mut self, i: usize, a: &mut A) -> Res<A::Out> {
        let Ctx { own, explicit, core, .. } = self;
        let t = active(own, explicit, i)?;
        t.step();
        let mut fault = Fault::Aborted;
        if t.stands() {
            for _ in 0..REPEATS {
                t.start_op();
                match a.txn(&mut TxnMem::new(core, t)).and_then(|out| t.keep_op(core).map(|()| out)) {
                    Ok(out) => return Ok(out),
                    Err(Fault::Aborted) => {
                        fault = Fault::Aborted;
                        break;
                    }
                    Err(other) => {
                        t.undo_op(core);
                        match other {
                            Fault::Error(e) => return Err(Fault::Error(e)),
                            _ => fault = Fault::Error(endless()),
                        }
                    }
                }
            }
        }
        if fault == Fault::Aborted {
            roll_back(core, t, true);
            self.pending = None;
        }
        Err(fault)
    }

    /// Looks once more at what the ambient transaction has seen. `Aborted` if that is no longer so; so is the attempt.
    pub(crate) fn look_again(&mut self, i: usize, look: impl FnOnce(&mut TxnMem<'_>) -> Res<()>) -> Res<()> {
        let Ctx { own, explicit, core, .. } = self;
        let t = active(own, explicit, i)?;
        let result = look(&mut TxnMem::new(core, t));
        if result == Err(Fault::Aborted) {
            roll_back(core, t, true);
            self.pending = None;
        }
        result
    }

    /// Builds blocks that the next successful write will link: they stay pending until then. `f` allocates, fills and
    /// finishes. If it fails, what it has built is gone.
    pub fn build<T>(&mut self, f: impl FnOnce(&mut BuildMem<'_>) -> Res<T>) -> Res<T> {
        let Ctx { own, explicit, core, pending, ambient, .. } = self;
        let t = match *ambient {
            None | Some(0) => own,
            Some(i) => explicit[i - 1].as_mut().ok_or(Fault::Aborted)?,
        };
        if ambient.is_some() && t.stage != Stage::Active {
            return Err(Fault::Aborted);
        }
        let slot = &mut t.slot;
        let (base, frees) = (slot.fresh.len(), slot.frees.len());
        let result = f(&mut BuildMem { core, slot }).and_then(|out| {
            slot.free_own_replaced(core, frees);
            slot.list_fresh(core)?;
            Ok(out)
        });
        slot.frees.truncate(frees);
        if result.is_err() {
            slot.drop_fresh(core, base);
        } else {
            pending.get_or_insert(base);
        }
        slot.built();
        result
    }

    /// The pending blocks have been linked by other means: they stay.
    pub fn adopt(&mut self) {
        if self.pending.take().is_some() && self.ambient.is_none() {
            self.own.slot.keep_fresh();
        }
    }

    /// The transaction that the pending blocks were part of was rolled back, and they with it.
    pub(crate) fn forget_pending(&mut self) {
        self.pending = None;
    }

    /// Frees the pending blocks.
    pub fn discard(&mut self) {
        let Some(base) = self.pending.take() else { return };
        let t = match self.ambient {
            None | Some(0) => &mut self.own,
            Some(i) => match &mut self.explicit[i - 1] {
                Some(t) => t,
                None => return,
            },
        };
        t.slot.drop_fresh(&mut self.core, base);
        t.slot.built();
    }
}

/// Transaction `i`, by the numbering of [`Ctx::ambient`], if operations can run in it; else `Aborted`.
pub(crate) fn active<'t>(
    own: &'t mut Txn,
    explicit: &'t mut [Option<Box<Txn>>],
    i: usize,
) -> Res<&'t mut Txn> {
    let t = match i {
        0 => own,
        i => explicit[i - 1].as_mut().ok_or(Fault::Aborted)?,
    };
    if t.stage == Stage::Active { Ok(t) } else { Err(Fault::Aborted) }
}

#[cold]
fn endless() -> Error {
    Error::new(Code::Corrupt, "an operation that never comes to an end")
}

impl Drop for Ctx {
    fn drop(&mut self) {
        self.ambient = None;
        for i in 0..self.explicit.len() {
            self.end_explicit(i);
        }
        if self.own.stage == Stage::Active {
            roll_back(&mut self.core, &mut self.own, false);
        }
        self.own.slot.drop_fresh(&mut self.core, 0);
        self.own.slot.built();
        self.own.slot.free_chains(&mut self.core);
        let head = &self.core.segment().participant(self.core.me()).handles;
        self.handles.borrow_mut().clear(&mut self.core.alloc, head);
    }
}
