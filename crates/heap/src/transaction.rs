//! [`Transaction`]: one that is spread over time.

use coheap_segment::Result;
use coheap_txn::{Fault, TxnId, TxnOptions};

use crate::heap::Heap;

/// A transaction of one thread, whose steps are runs of functions. Dropped before its commit, it never happened.
///
/// ```
/// use coheap_heap::{Heap, Options, TxnOptions};
///
/// let heap = Heap::create(&format!("doc-steps-{}", std::process::id()), &Options::default())?;
/// let tx = heap.begin(TxnOptions::default())?;
/// tx.run(|heap| heap.root().set("n", 1.0))?;
/// // outside of it nothing is to be seen yet
/// assert!(heap.root().get("n")?.is_undefined());
/// tx.run(|heap| heap.root().set("m", 2.0))?;
/// tx.commit()?;
/// assert_eq!(heap.root().get("n")?.number()?, 1.0);
/// # Ok::<(), coheap_heap::Error>(())
/// ```
pub struct Transaction {
    heap: Heap,
    tx: TxnId,
}

impl Transaction {
    pub(crate) fn begin(heap: &Heap, options: TxnOptions) -> Result<Transaction> {
        let tx = heap.inner.run(|ctx| Ok(ctx.begin(options)?))?;
        Ok(Transaction { heap: heap.clone(), tx })
    }

    /// Runs a function inside of it. `ERR_COHEAP_ABORTED` if an older transaction has beaten this one, or it has held
    /// something for too long: [`Transaction::restart`], or give up.
    pub fn run<T>(&self, body: impl FnOnce(&Heap) -> Result<T>) -> Result<T> {
        self.heap.inner.run(|ctx| Ok(ctx.enter(self.tx)?))?;
        // also when `body` panics
        let _leave = Leave(&self.heap);
        body(&self.heap)
    }

    /// Makes what it did take effect, all at once. `ERR_COHEAP_ABORTED`: none of it has.
    pub fn commit(&self) -> Result<()> {
        self.heap.inner.ctx.borrow_mut().commit(self.tx).map_err(Fault::error)
    }

    /// Undoes what it did so far and lets it begin again, as old as it was. `ERR_COHEAP_ABORTED` once it has ended.
    pub fn restart(&self) -> Result<()> {
        self.heap.inner.ctx.borrow_mut().restart(self.tx)
    }

    /// True if its present attempt was lost to somebody.
    pub(crate) fn is_beaten(&self) -> bool {
        !self.heap.inner.ctx.borrow_mut().is_active(self.tx)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // one that has ended is left alone
        if let Ok(mut ctx) = self.heap.inner.ctx.try_borrow_mut() {
            ctx.abort(self.tx);
        }
    }
}

struct Leave<'a>(&'a Heap);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if let Ok(mut ctx) = self.0.inner.ctx.try_borrow_mut() {
            ctx.leave();
        }
    }
}
