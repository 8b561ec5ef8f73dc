//! [`Batch`]: messages that were copied in and wait for room in a channel.
//!
//! They may wait for long, so something must refer to them: live objects are in the handle table, by-value blocks are
//! the elements of an array of their own that is.

use coheap_heap::objects::cell::Cell;
use coheap_heap::objects::{array, graph, value};
use coheap_heap::segment::Off;
use coheap_heap::txn::{Fault, Guard};

use crate::live::Live;

/// See the module.
pub struct Batch {
    cells: Vec<Cell>,
    /// How many have gone in.
    put: usize,
    handles: Vec<u32>,
    /// The array of the by-value blocks, 0 if there is none.
    holder: Off,
}

impl Batch {
    /// Builds the values of a wire that holds a count and so many.
    pub fn build(live: &mut Live, wire: &[u8]) -> Result<Batch, Fault> {
        let (cells, holder) = live.build(|m, resolve| {
            let cells = graph::build_all(m, wire, resolve)?;
            let blocks: Vec<Cell> = cells.iter().copied().filter(|cell| cell.is_by_value_block()).collect();
            let holder = if blocks.is_empty() { 0 } else { array::create_with(m, &blocks)? };
            Ok((cells, holder))
        })?;
        let mut batch = Batch { cells, put: 0, handles: Vec::new(), holder };
        let objects = batch.cells.iter().filter(|cell| cell.is_identity()).map(|cell| cell.offset());
        let roots: Vec<Off> = objects.chain((holder != 0).then_some(holder)).collect();
        for at in roots {
            match live.ctx.publish(at) {
                Ok(handle) => batch.handles.push(handle),
                Err(error) => {
                    batch.withdraw(live);
                    live.ctx.discard();
                    return Err(error.into());
                }
            }
        }
        live.ctx.adopt();
        Ok(batch)
    }

    /// The messages that have not gone in.
    pub fn left(&self) -> &[Cell] {
        &self.cells[self.put..]
    }

    /// `n` more have gone in; true if some are left.
    pub fn done(&mut self, live: &mut Live, n: usize) -> Result<bool, Fault> {
        self.put += n;
        if !self.left().is_empty() {
            return Ok(true);
        }
        live.last_put = None;
        if let [cell] = self.cells[..]
            && cell.is_identity()
        {
            live.pin(cell)?;
            live.pins.keep();
            live.last_put = Some(cell);
        }
        self.give_back(live)?;
        Ok(false)
    }

    /// Frees what has not gone in.
    pub fn discard(mut self, live: &mut Live) -> Result<(), Fault> {
        self.give_back(live)
    }

    fn give_back(&mut self, live: &mut Live) -> Result<(), Fault> {
        let (left, holder) = (&self.cells[self.put..], self.holder);
        let freed = if holder == 0 {
            Ok(())
        } else {
            live.ctx.write(|m| {
                for &cell in left {
                    value::free(m, Guard(holder), cell)?;
                }
                array::replace_all(m, holder, &[])?;
                m.free(holder);
                Ok(())
            })
        };
        self.withdraw(live);
        freed
    }

    fn withdraw(&mut self, live: &mut Live) {
        for handle in self.handles.drain(..) {
            live.ctx.withdraw(handle);
        }
    }
}
