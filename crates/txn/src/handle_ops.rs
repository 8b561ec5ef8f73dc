//! Handles of a [`Ctx`]: publish, withdraw, and reads that end in handles.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use coheap_segment::primitive::AtomicU64;
use coheap_segment::{Off, Result, Segment};

use crate::contend::Wait;
use crate::ctx::Ctx;
use crate::direct::DirectMem;
use crate::handles::Handles;
use crate::mem::{Fault, Mem, Res};
use crate::op::{Attempt, Generic, Op};
use crate::snapshot::SnapshotMem;
use crate::transaction::TxnOptions;
use crate::txn_mem::TxnMem;

/// What a read that ends in a handle gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// What the operation gave.
    pub value: T,
    /// The handle of the object that it found, if it found one.
    pub handle: Option<u32>,
}

/// The handle table of a [`Ctx`] for use *within* an operation, which may publish any number of handles on what it
/// reads before it is validated. Whoever repeats an attempt takes back what the last one has published.
pub struct HandleTable {
    handles: Rc<RefCell<Handles>>,
    segment: Arc<Segment>,
}

impl HandleTable {
    /// Publishes a handle on the object at `at`, with a full fence. `None`: there is no room; make some outside of the
    /// operation ([`Ctx::reserve_handles`]) and run it again.
    #[inline]
    pub fn publish(&self, at: Off) -> Result<Option<u32>> {
        self.handles.borrow_mut().publish(&self.segment, at)
    }

    /// Takes a handle back; a free one: nothing happens.
    #[inline]
    pub fn withdraw(&self, index: u32) {
        self.handles.borrow_mut().withdraw(&self.segment, index);
    }
}

impl Ctx {
    /// The handle table, to be published in while an operation runs. After an operation inside a transaction that has
    /// published: [`Ctx::revalidate`].
    pub fn handle_table(&self) -> HandleTable {
        HandleTable { handles: self.handles.clone(), segment: self.segment().clone() }
    }

    /// Makes room for `n` handles. `ERR_COHEAP_OUT_OF_MEMORY`.
    pub fn reserve_handles(&mut self, n: usize) -> Result<()> {
        let head = self.handle_head();
        self.handles.borrow_mut().reserve(&mut self.core.alloc, head, n)
    }

    /// Inside a transaction: looks whether what its last operation has read is still so, after handles were published
    /// on it. `Aborted` if not. Outside: an operation has looked by itself.
    pub fn revalidate(&mut self) -> Res<()> {
        match self.ambient {
            Some(i) => self.look_again(i, |m| m.validate_last()),
            None => Ok(()),
        }
    }

    fn handle_head(&self) -> &'static AtomicU64 {
        &self.core.segment().participant(self.core.me()).handles
    }

    /// Publishes a handle on the object at `at`, with a full fence. It protects the object only if what the offset was
    /// read from is found unchanged afterwards: see [`Ctx::read_handle`]. `ERR_COHEAP_OUT_OF_MEMORY`.
    #[inline]
    pub fn publish(&mut self, at: Off) -> Result<u32> {
        loop {
            if let Some(index) = self.handles.borrow_mut().publish(self.core.segment(), at)? {
                return Ok(index);
            }
            self.reserve_handles(1)?;
        }
    }

    /// Takes a handle back; a free one: nothing happens.
    #[inline]
    pub fn withdraw(&mut self, index: u32) {
        self.handles.borrow_mut().withdraw(self.core.segment(), index);
    }

    /// The object of a handle; `None` for a number that is no handle.
    #[inline]
    pub fn handle(&self, index: u32) -> Option<Off> {
        self.handles.borrow().get(index)
    }

    /// The number of handles.
    pub fn handle_count(&self) -> usize {
        self.handles.borrow().len()
    }

    /// A read whose result may name an object: `op` gives {value, offset or 0}. `known` looks for a handle that this
    /// participant has on the object already (validated once, it protects it still). The handle is published before the
    /// read is validated, and taken back if that fails.
    pub fn read_handle<T, O: Op<Out = (T, Off)>>(
        &mut self,
        op: &mut O,
        mut known: impl FnMut(Off) -> Option<u32>,
    ) -> Res<Found<T>> {
        if let Some(i) = self.ambient {
            return self.read_handle_in(i, op, known);
        }
        let mut wait = Wait::default();
        for _ in 0..crate::ctx::OPTIMISTIC {
            let mut mem = SnapshotMem::new(self.core.segment());
            let result = op.run(&mut mem);
            match result {
                Ok((value, at)) => {
                    let (handle, new) = self.protect(at, &mut known)?;
                    if mem.check() {
                        return Ok(Found { value, handle });
                    }
                    if let (Some(handle), true) = (handle, new) {
                        self.withdraw(handle);
                    }
                }
                Err(Fault::Escalate) => break,
                Err(Fault::Error(e)) if mem.check() => return Err(Fault::Error(e)),
                Err(_) => {}
            }
            self.look_at(&mut wait, mem.guard(), true)?;
        }
        // As one operation, not as a transaction of the caller's: what it has built ahead stays so.
        self.reserve_handles(1)?;
        let mut attempt = Publishing { op, known, table: self.handle_table(), new: None };
        let found = self.internal(&mut attempt, TxnOptions::default(), false);
        if found.is_err() {
            attempt.withdraw();
        }
        found
    }

    fn protect(
        &mut self,
        at: Off,
        known: &mut impl FnMut(Off) -> Option<u32>,
    ) -> Result<(Option<u32>, bool)> {
        if at == 0 {
            return Ok((None, false));
        }
        match known(at) {
            Some(handle) => Ok((Some(handle), false)),
            None => Ok((Some(self.publish(at)?), true)),
        }
    }

    fn read_handle_in<T, O: Op<Out = (T, Off)>>(
        &mut self,
        i: usize,
        op: &mut O,
        mut known: impl FnMut(Off) -> Option<u32>,
    ) -> Res<Found<T>> {
        let (value, at) = self.in_transaction_of(i, &mut Generic(op))?;
        let (handle, new) = self.protect(at, &mut known)?;
        if new {
            // After the fence: all that led here is still as it was read.
            if let Err(fault) = self.revalidate() {
                if let Some(handle) = handle {
                    self.withdraw(handle);
                }
                return Err(fault);
            }
        }
        Ok(Found { value, handle })
    }
}

/// A read that publishes a handle on what it finds, in each attempt anew.
struct Publishing<'o, O, K> {
    op: &'o mut O,
    known: K,
    table: HandleTable,
    /// What the last attempt has published.
    new: Option<u32>,
}

impl<O, K> Publishing<'_, O, K> {
    fn withdraw(&mut self) {
        if let Some(handle) = self.new.take() {
            self.table.withdraw(handle);
        }
    }
    fn run<M: Mem, T>(&mut self, m: &mut M) -> Res<Found<T>>
    where
        O: Op<Out = (T, Off)>,
        K: FnMut(Off) -> Option<u32>,
    {
        self.withdraw();
        let (value, at) = self.op.run(m)?;
        if at == 0 {
            return Ok(Found { value, handle: None });
        }
        let handle = match (self.known)(at) {
            Some(handle) => Some(handle),
            None => {
                self.new = self.table.publish(at)?;
                self.new
            }
        };
        Ok(Found { value, handle })
    }
}

impl<T, O: Op<Out = (T, Off)>, K: FnMut(Off) -> Option<u32>> Attempt for Publishing<'_, O, K> {
    type Out = Found<T>;
    fn snapshot(&mut self, m: &mut SnapshotMem) -> Res<Found<T>> {
        self.run(m)
    }
    fn direct(&mut self, m: &mut DirectMem<'_>) -> Res<Found<T>> {
        self.run(m)
    }
    fn txn(&mut self, m: &mut TxnMem<'_>) -> Res<Found<T>> {
        self.run(m)
    }
}
