//! A LIFO channel: a stack of cells in a body, guarded by the channel's version word.
//!
//! Not a ring: a pop would make a place EMPTY of the same lap again, and a stopped putter could not tell. All
//! operations are ordinary ones over `Mem`, so they are single operations and parts of transactions alike.

use coheap_objects::{Cell, kind};
use coheap_segment::word::Word1;
use coheap_segment::{Error, Off};
use coheap_txn::{Guard, Mem, Res};

use crate::fifo::{Put, Take};
use crate::layout::at;

const CELLS: u64 = 16;
/// Cells of a first body.
const FEWEST: u64 = 14;

/// A stack as an operation finds it.
struct Stack {
    guard: Guard,
    body: Off,
    /// Cells that the body has room for.
    room: u64,
    depth: u64,
    closed: bool,
}

impl Stack {
    fn load<M: Mem + ?Sized>(m: &mut M, channel: Off) -> Res<Stack> {
        let guard = Guard(channel);
        let body = m.load64(guard, channel + at::STACK)?;
        let depth = m.load64(guard, channel + at::DEPTH)?;
        let closed = m.load64(guard, channel + at::STACK_CLOSED)? != 0;
        let room = if body == 0 {
            0
        } else {
            let word1 = Word1(m.load64(guard, body + 8)?);
            if word1.kind() != kind::STACK {
                return Err(Error::corrupt("a channel without a stack", channel).into());
            }
            word1.low() as u64
        };
        if depth > room {
            return Err(Error::corrupt("a stack beyond its body", channel).into());
        }
        Ok(Stack { guard, body, room, depth, closed })
    }

    /// Swaps in a body with room for `room` cells.
    fn resize<M: Mem + ?Sized>(&mut self, m: &mut M, room: u64) -> Res<()> {
        let block = m.alloc(CELLS + room * 8)?;
        for i in 0..room {
            let cell = if i < self.depth { m.load64(self.guard, self.cell(i))? } else { Cell::UNDEFINED.0 };
            m.init64(block.at + CELLS + i * 8, cell);
        }
        m.finish(block.at, kind::STACK, 0, room as u32);
        m.store64(self.guard, self.guard.0 + at::STACK, block.at)?;
        if self.body != 0 {
            m.free(self.body);
        }
        (self.body, self.room) = (block.at, room);
        Ok(())
    }

    fn cell(&self, i: u64) -> Off {
        self.body + CELLS + i * 8
    }
}

/// Puts a prefix of the cells on the stack; says how many, and why no more.
pub(crate) fn push<M: Mem + ?Sized>(
    m: &mut M,
    channel: Off,
    cells: &[Cell],
    capacity: u64,
) -> Res<(usize, Put)> {
    let mut stack = Stack::load(m, channel)?;
    if stack.closed {
        return Ok((0, Put::Closed));
    }
    let n = (capacity.saturating_sub(stack.depth)).min(cells.len() as u64);
    if stack.depth + n > stack.room {
        let room = (stack.room * 2).max(FEWEST).max(stack.depth + n);
        stack.resize(m, room)?;
    }
    for (i, cell) in cells[..n as usize].iter().enumerate() {
        m.store64(stack.guard, stack.cell(stack.depth + i as u64), cell.0)?;
    }
    if n > 0 {
        m.store64(stack.guard, channel + at::DEPTH, stack.depth + n)?;
    }
    Ok((n as usize, if n < cells.len() as u64 { Put::Full } else { Put::Done }))
}

/// Takes up to `max` cells off. `load` may be called again for each, and then its last results count.
pub(crate) fn pop<T>(
    m: &mut dyn Mem,
    channel: Off,
    max: u64,
    load: &mut dyn FnMut(&mut dyn Mem, Guard, Cell) -> Res<T>,
) -> Res<Take<Vec<T>>> {
    let mut stack = Stack::load(m, channel)?;
    let n = stack.depth.min(max);
    if n == 0 {
        return Ok(if stack.closed && stack.depth == 0 { Take::Closed } else { Take::Empty });
    }
    let mut values = Vec::with_capacity(n as usize);
    let mut contents = Vec::new();
    for i in (stack.depth - n..stack.depth).rev() {
        let cell = Cell(m.load64(stack.guard, stack.cell(i))?);
        values.push(load(m, stack.guard, cell)?);
        if cell.is_by_value_block() {
            contents.push(cell.offset());
        }
    }
    stack.depth -= n;
    m.store64(stack.guard, channel + at::DEPTH, stack.depth)?;
    if stack.room > 4 * FEWEST && stack.depth * 4 < stack.room {
        stack.resize(m, stack.room / 2)?;
    } else {
        for i in stack.depth..stack.depth + n {
            m.store64(stack.guard, stack.cell(i), Cell::UNDEFINED.0)?;
        }
    }
    for content in contents {
        m.free(content);
    }
    Ok(Take::Taken(values))
}

/// Shows the uppermost cell.
pub(crate) fn peek<T>(
    m: &mut dyn Mem,
    channel: Off,
    load: &mut dyn FnMut(&mut dyn Mem, Guard, Cell) -> Res<T>,
) -> Res<Take<T>> {
    let stack = Stack::load(m, channel)?;
    if stack.depth == 0 {
        return Ok(if stack.closed { Take::Closed } else { Take::Empty });
    }
    let cell = Cell(m.load64(stack.guard, stack.cell(stack.depth - 1))?);
    load(m, stack.guard, cell).map(Take::Taken)
}

/// Messages, and whether it is closed.
pub(crate) fn state<M: Mem + ?Sized>(m: &mut M, channel: Off) -> Res<(u64, bool)> {
    let guard = Guard(channel);
    Ok((m.load64(guard, channel + at::DEPTH)?, m.load64(guard, channel + at::STACK_CLOSED)? != 0))
}

/// Closes it. False if it was closed before.
pub(crate) fn close<M: Mem + ?Sized>(m: &mut M, channel: Off) -> Res<bool> {
    let guard = Guard(channel);
    if m.load64(guard, channel + at::STACK_CLOSED)? != 0 {
        return Ok(false);
    }
    m.store64(guard, channel + at::STACK_CLOSED, 1)?;
    Ok(true)
}
