//! [`Batch`]: messages that were copied in and wait for room in a channel.
//!
//! They may wait for long, and a by-value block has one referring cell, which it gets with its place in the channel. Until
//! then the handle table refers to each of them, and gives them up as they go in.

use std::collections::VecDeque;

use coheap_heap::objects::cell::Cell;
use coheap_heap::objects::graph;
use coheap_heap::txn::Fault;

use crate::live::Live;

/// See the module.
pub struct Batch {
    /// Those that have not gone in.
    left: VecDeque<Cell>,
    /// Of those that are blocks, in their order.
    handles: VecDeque<u32>,
    /// The batch was built with one message.
    single: bool,
}

fn is_block(cell: Cell) -> bool {
    cell.is_identity() || cell.is_by_value_block()
}

impl Batch {
    /// Builds the values of a wire that holds a count and so many.
    pub fn build(live: &mut Live, wire: &[u8]) -> Result<Batch, Fault> {
        let cells = live.build(|m, resolve| graph::build_all(m, wire, resolve))?;
        let batch = Batch::of(live, cells);
        if batch.is_err() {
            live.ctx.discard();
        }
        live.ctx.adopt();
        batch
    }

    /// Of cells that have just been built and are pending still, which the caller then adopts: handles first, so that
    /// they are somebody's at any time.
    pub fn of(live: &mut Live, cells: Vec<Cell>) -> Result<Batch, Fault> {
        let single = cells.len() == 1;
        let mut batch = Batch { left: cells.into(), handles: VecDeque::new(), single };
        for i in 0..batch.left.len() {
            if !is_block(batch.left[i]) {
                continue;
            }
            match live.ctx.publish(batch.left[i].offset()) {
                Ok(handle) => batch.handles.push_back(handle),
                Err(error) => {
                    batch.withdraw(live, usize::MAX);
                    return Err(error.into());
                }
            }
        }
        Ok(batch)
    }

    /// The messages that have not gone in.
    pub fn left(&mut self) -> &[Cell] {
        self.left.make_contiguous()
    }

    /// `n` more have gone in; true if some are left.
    pub fn done(&mut self, live: &mut Live, n: usize) -> Result<bool, Fault> {
        live.last_put = None;
        let gone: Vec<Cell> = self.left.drain(..n).collect();
        let pinned = match gone[..] {
            [cell] if self.single && cell.is_identity() => live.pin(cell).map(|_| {
                live.pins.keep();
                live.last_put = Some(cell);
            }),
            _ => Ok(()),
        };
        self.withdraw(live, gone.into_iter().filter(|&cell| is_block(cell)).count());
        pinned.map(|()| !self.left.is_empty())
    }

    /// Frees what has not gone in; live objects among it are garbage, for who else may refer to them.
    pub fn discard(mut self, live: &mut Live) -> Result<(), Fault> {
        let freed = live.ctx.write(|m| {
            self.left.iter().filter(|cell| cell.is_by_value_block()).for_each(|cell| m.free(cell.offset()));
            Ok(())
        });
        self.withdraw(live, usize::MAX);
        freed
    }

    /// Takes back the handles of the first so many blocks.
    fn withdraw(&mut self, live: &mut Live, n: usize) {
        for handle in self.handles.drain(..n.min(self.handles.len())) {
            live.ctx.withdraw(handle);
        }
    }
}
