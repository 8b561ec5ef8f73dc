//! Operations: code over [`Mem`] that runs as a snapshot, directly or in a transaction, as the moment wants.

use crate::direct::DirectMem;
use crate::mem::{Mem, Res};
use crate::snapshot::SnapshotMem;
use crate::txn_mem::TxnMem;

/// An operation for hot paths: compiled once for each mode. It may run several times and must not keep anything from
/// an attempt that failed.
pub trait Op {
    /// What it gives.
    type Out;
    /// One attempt.
    fn run<M: Mem>(&mut self, m: &mut M) -> Res<Self::Out>;
}

/// What the retry loops run: an [`Op`], or a closure over `dyn Mem`.
pub(crate) trait Attempt {
    type Out;
    fn snapshot(&mut self, m: &mut SnapshotMem) -> Res<Self::Out>;
    fn direct(&mut self, m: &mut DirectMem<'_>) -> Res<Self::Out>;
    fn txn(&mut self, m: &mut TxnMem<'_>) -> Res<Self::Out>;
}

pub(crate) struct Generic<'o, O>(pub(crate) &'o mut O);

impl<O: Op> Attempt for Generic<'_, O> {
    type Out = O::Out;
    #[inline(always)]
    fn snapshot(&mut self, m: &mut SnapshotMem) -> Res<O::Out> {
        self.0.run(m)
    }
    #[inline(always)]
    fn direct(&mut self, m: &mut DirectMem<'_>) -> Res<O::Out> {
        self.0.run(m)
    }
    fn txn(&mut self, m: &mut TxnMem<'_>) -> Res<O::Out> {
        self.0.run(m)
    }
}

pub(crate) struct Dynamic<F>(pub(crate) F);

impl<T, F: FnMut(&mut dyn Mem) -> Res<T>> Attempt for Dynamic<F> {
    type Out = T;
    #[inline]
    fn snapshot(&mut self, m: &mut SnapshotMem) -> Res<T> {
        (self.0)(m)
    }
    #[inline]
    fn direct(&mut self, m: &mut DirectMem<'_>) -> Res<T> {
        (self.0)(m)
    }
    fn txn(&mut self, m: &mut TxnMem<'_>) -> Res<T> {
        (self.0)(m)
    }
}
