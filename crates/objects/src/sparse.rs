//! Sparse arrays, and the choice between the two bodies of an array.
//!
//! A jump of the length beyond twice what it was and 1,024 more makes an array sparse: its elements move into the
//! hash table of [`crate::dict`], with the index as key. It is looked at again whenever the table is rebuilt: as
//! soon as a dense body would need no more memory than the table, it is dense again.

use coheap_segment::Off;
use coheap_txn::{Mem, Res};

use crate::array::{ELEMENTS, Head};
use crate::cell::{Cell, kind};
use crate::dict::{self, Body, Entry, Probe};
use crate::value;

/// A body to be put in place.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub body: Off,
    pub capacity: u32,
    pub sparse: bool,
}

impl Layout {
    pub const NONE: Layout = Layout { body: 0, capacity: 0, sparse: false };
}

/// True if a dense array of this length that gets the length `new` becomes sparse.
pub(crate) fn is_far(len: u32, new: u32) -> bool {
    new as u64 > 2 * len as u64 + 1024
}

/// True if so many elements of an array of this length are better kept in a table.
fn is_thin(len: u32, present: usize) -> bool {
    // a cell has 8 bytes, an entry with its bucket and spare room about 40
    len as u64 > 4 * present as u64 + 1024
}

/// A private dense body of these cells, with room for `room` in all.
pub(crate) fn dense<M: Mem + ?Sized>(m: &mut M, cells: &[Cell], room: usize) -> Res<Layout> {
    let room = room.max(cells.len());
    if room == 0 {
        return Ok(Layout::NONE);
    }
    let block = m.alloc(ELEMENTS + room as u64 * 8)?;
    let capacity = ((block.size - ELEMENTS) / 8).min(u32::MAX as u64) as u32;
    for i in 0..capacity as usize {
        let cell = cells.get(i).copied().unwrap_or(Cell::HOLE);
        m.init64(block.at + ELEMENTS + i as u64 * 8, cell.0);
    }
    m.finish(block.at, kind::ARRAY_BODY, 0, capacity);
    Ok(Layout { body: block.at, capacity, sparse: false })
}

/// A private body, dense or sparse, of the elements that are there (ascending, all below `len`).
pub(crate) fn layout<M: Mem + ?Sized>(m: &mut M, len: u32, present: &[(u32, Cell)]) -> Res<Layout> {
    if !is_thin(len, present.len()) {
        let mut cells = vec![Cell::HOLE; len as usize];
        for &(i, cell) in present {
            cells[i as usize] = cell;
        }
        return dense(m, &cells, 0);
    }
    let entries: Vec<Entry> = present.iter().map(|&(i, cell)| Entry::element(i, cell)).collect();
    let body = dict::build(m, kind::SPARSE_BODY, &entries)?;
    Ok(Layout { body, capacity: 0, sparse: true })
}

/// A private body of these cells for an array that has grown: dense, with room for `room` in all, unless nearly all
/// are holes, as when each index is the double of the one before.
pub(crate) fn grown<M: Mem + ?Sized>(m: &mut M, cells: &[Cell], room: usize) -> Res<Layout> {
    let present = cells.iter().filter(|cell| **cell != Cell::HOLE).count();
    match u32::try_from(cells.len()) {
        Ok(len) if is_thin(len, present) => layout(m, len, &present_in(cells)),
        _ => dense(m, cells, room),
    }
}

/// The cells that are no holes, each with its index.
pub(crate) fn present_in(cells: &[Cell]) -> Vec<(u32, Cell)> {
    let all = (0..).zip(cells.iter().copied());
    all.filter(|&(_, cell)| cell != Cell::HOLE).collect()
}

fn open<M: Mem + ?Sized>(m: &mut M, head: &Head) -> Res<Body> {
    Body::open(m, head.guard, head.body, kind::SPARSE_BODY)
}

pub(crate) fn get<M: Mem + ?Sized>(m: &mut M, head: &Head, i: u32) -> Res<Option<Cell>> {
    let Some(place) = open(m, head)?.find(m, head.guard, &Probe::Index(i))? else { return Ok(None) };
    Ok(Some(Cell(m.load64(head.guard, place)?)))
}

/// All elements, ascending.
pub(crate) fn present<M: Mem + ?Sized>(m: &mut M, head: &Head) -> Res<Vec<(u32, Cell)>> {
    let entries = open(m, head)?.entries(m, head.guard)?;
    // what is no index below the length is garbage: whoever reads it finds out by the guard
    let mut all: Vec<(u32, Cell)> = entries
        .iter()
        .filter_map(|entry| Some((entry.index()?, entry.value)))
        .filter(|&(i, _)| i < head.len)
        .collect();
    all.sort_unstable_by_key(|&(i, _)| i);
    all.dedup_by_key(|&mut (i, _)| i);
    Ok(all)
}

/// Sets element `i`; the length becomes `len`.
pub(crate) fn set<M: Mem + ?Sized>(m: &mut M, head: &Head, len: u32, i: u32, cell: Cell) -> Res<()> {
    let body = open(m, head)?;
    if let Some(place) = body.find(m, head.guard, &Probe::Index(i))? {
        let old = Cell(m.load64(head.guard, place)?);
        value::free(m, head.guard, old)?;
        return m.store64(head.guard, place, cell.0);
    }
    if cell == Cell::HOLE {
        // a table has no entries for holes
        return head.set_length(m, len, 0);
    }
    if body.has_room() {
        body.append(m, head.guard, Entry::element(i, cell))?;
        return if len != head.len { head.set_length(m, len, 0) } else { Ok(()) };
    }
    let mut all = present(m, head)?;
    all.insert(all.partition_point(|&(k, _)| k < i), (i, cell));
    let new = layout(m, len, &all)?;
    head.swap(m, len, new)
}

/// Takes element `i` out, leaving a hole: its cell, or HOLE.
pub(crate) fn take<M: Mem + ?Sized>(m: &mut M, head: &Head, i: u32) -> Res<Cell> {
    let mut body = open(m, head)?;
    take_from(m, head, &mut body, i)
}

fn take_from<M: Mem + ?Sized>(m: &mut M, head: &Head, body: &mut Body, i: u32) -> Res<Cell> {
    let Some(place) = body.find(m, head.guard, &Probe::Index(i))? else { return Ok(Cell::HOLE) };
    let cell = Cell(m.load64(head.guard, place)?);
    body.remove(m, head.guard, place)?;
    Ok(cell)
}

/// As `array::splice`, its arguments in range: the table is rebuilt.
pub(crate) fn splice<M: Mem + ?Sized>(
    m: &mut M,
    head: &Head,
    start: u32,
    delete: u32,
    cells: &[Cell],
    len: u32,
) -> Res<Vec<Cell>> {
    if delete > crate::array::MOST_SPARSE {
        return Err(too_many(delete));
    }
    let mut removed = vec![Cell::HOLE; delete as usize];
    let mut all = Vec::new();
    let mut tail = Vec::new();
    for (i, cell) in present(m, head)? {
        if i < start {
            all.push((i, cell));
        } else if i - start < delete {
            removed[(i - start) as usize] = cell;
        } else {
            tail.push((i - delete + cells.len() as u32, cell));
        }
    }
    let new = cells.iter().enumerate().filter(|(_, cell)| **cell != Cell::HOLE);
    all.extend(new.map(|(k, &cell)| (start + k as u32, cell)));
    all.append(&mut tail);
    let new = layout(m, len, &all)?;
    head.swap(m, len, new)?;
    Ok(removed)
}

fn too_many(n: u32) -> coheap_txn::Fault {
    coheap_segment::Error::about(coheap_segment::Code::OutOfMemory, "too many holes to list", n as u64).into()
}

/// Sets the length; elements beyond are freed.
pub(crate) fn set_len<M: Mem + ?Sized>(m: &mut M, head: &Head, len: u32) -> Res<()> {
    if len > head.len {
        return head.set_length(m, len, 0);
    }
    let mut all = present(m, head)?;
    let kept = all.partition_point(|&(i, _)| i < len);
    for &(_, cell) in &all[kept..] {
        value::free(m, head.guard, cell)?;
    }
    if all.len() - kept <= 64 {
        let mut body = open(m, head)?;
        for &(i, _) in &all[kept..] {
            take_from(m, head, &mut body, i)?;
        }
        return head.set_length(m, len, 0);
    }
    all.truncate(kept);
    let new = layout(m, len, &all)?;
    head.swap(m, len, new)
}
