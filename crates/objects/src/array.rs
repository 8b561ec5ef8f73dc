//! Arrays: a circular body, so that both ends grow and shrink in amortised constant time (the array deque of
//! Knuth, TAOCP 2.2.2), with holes; far-apart indices make it sparse, a hash table of indices.
//!
//! ```text
//! identity  +0   word 0: guards the body, the elements and the named properties too
//!           +8   word 1: type ARRAY, low half: 31 destroyed | 30 sparse | 0
//!           +16  length, low half | head, high half
//!           +24  offset of the body, 0 none: ARRAY_BODY, or SPARSE_BODY
//!           +32  capacity of an ARRAY_BODY in cells; 0 without a body and in a sparse array
//!           +40  offset of a record of named properties, 0 none; it belongs to this array
//! body      +0 word 0, +8 word 1: type ARRAY_BODY, low half: capacity
//!           +16 cells: element i stands in cell (head + i) mod capacity
//! ```
//!
//! A missing element holds HOLE. Cells of the body outside of the elements hold no references (what was taken out
//! is overwritten, if it was one), so a body can be traced by itself. While the low half of
//! word 1 is 0, JavaScript may read `length`, `head`, body and capacity and then an element by itself, and must
//! compare word 0 **after** that, numbers too: a body is replaced and its memory used again.
//!
//! **Bulk rule.** An operation that touches more than 64 cells and an eighth of the body makes a private body and
//! swaps it in. (An eighth of a small body is less than what the swap itself costs; 64 cells of a large one are
//! less than a copy of it.)
//!
//! **Moved elements.** `pop`, `shift` and `splice` hand elements out: a by-value cell belongs to the caller then,
//! who loads it and frees it in the same operation:
//!
//! ```
//! # use coheap_objects::{Cell, array, string, value};
//! # use coheap_txn::{Guard, Mem, Res};
//! fn pop_text<M: Mem + ?Sized>(m: &mut M, list: u64) -> Res<Option<string::Str>> {
//!     let Some(cell) = array::pop(m, list)? else { return Ok(None) };
//!     let text = string::load(m, Guard(list), cell)?;
//!     value::free(m, Guard(list), cell)?;
//!     Ok(Some(text))
//! }
//! ```

use coheap_segment::word::Word1;
use coheap_segment::{Code, Error, Off};
use coheap_txn::{Block, Guard, Mem, Res};

use crate::cell::{Cell, kind};
use crate::destroy;
use crate::key::Key;
use crate::record;
use crate::sparse::{self, Layout};
use crate::value;

mod named;

pub use named::{delete_named, entries_named, get_named, set_named};

/// Where length and head stand.
pub const LENGTH: u64 = 16;
/// Where the array names its body.
pub const BODY: u64 = 24;
/// Where the capacity stands.
pub const CAPACITY: u64 = 32;
/// Where the array names the record of its named properties.
pub const NAMED: u64 = 40;
/// Where the cells of an ARRAY_BODY begin.
pub const ELEMENTS: u64 = 16;
/// Flag of the low half of word 1: the body is a SPARSE_BODY.
pub const SPARSE: u32 = 1 << 30;
/// Flag of the low half of word 1: the array has been destroyed.
pub const DESTROYED: u32 = 1 << 31;
const BYTES: u64 = 48;

/// An array whose head has been read and checked.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    pub at: Off,
    pub guard: Guard,
    word1: Word1,
    pub len: u32,
    head: u32,
    pub body: Off,
    capacity: u32,
}

impl Head {
    pub fn load<M: Mem + ?Sized>(m: &mut M, at: Off) -> Res<Head> {
        let guard = Guard(at);
        let word1 = Word1(m.load64(guard, at + 8)?);
        if word1.kind() != kind::ARRAY {
            return Err(Error::corrupt("an array that is none", at).into());
        }
        if word1.low() & DESTROYED != 0 {
            return Err(Error::new(Code::Destroyed, "the array has been destroyed").into());
        }
        let length = m.load64(guard, at + LENGTH)?;
        let body = m.load64(guard, at + BODY)?;
        let capacity = m.load64(guard, at + CAPACITY)?;
        let this = Head {
            at,
            guard,
            word1,
            len: length as u32,
            head: (length >> 32) as u32,
            body,
            capacity: capacity as u32,
        };
        let sound = this.is_sparse()
            || this.len <= this.capacity
                && this.capacity as u64 == capacity
                && (this.head < this.capacity || this.head == 0)
                && (this.capacity == 0 || m.segment().holds(body, ELEMENTS + capacity * 8));
        if !sound {
            return Err(Error::corrupt("an array longer than its body", at).into());
        }
        Ok(this)
    }
    pub fn is_sparse(&self) -> bool {
        self.word1.low() & SPARSE != 0
    }
    /// The place of cell `i`, below the capacity, if the elements began at `head`.
    fn place_from(&self, head: u32, i: u32) -> Off {
        let mut cell = head as u64 + i as u64;
        if cell >= self.capacity as u64 {
            cell -= self.capacity as u64;
        }
        self.body + ELEMENTS + cell * 8
    }
    fn place(&self, i: u32) -> Off {
        self.place_from(self.head, i)
    }
    fn cell<M: Mem + ?Sized>(&self, m: &mut M, i: u32) -> Res<Cell> {
        Ok(Cell(m.load64(self.guard, self.place(i))?))
    }
    /// Leaves no reference behind in a cell that is no element any more.
    fn clear<M: Mem + ?Sized>(&self, m: &mut M, i: u32, cell: Cell) -> Res<()> {
        if cell.is_by_value_block() || cell.is_identity() {
            m.store64(self.guard, self.place(i), Cell::HOLE.0)?;
        }
        Ok(())
    }
    /// Elements of a dense array; the range must lie inside.
    fn cells<M: Mem + ?Sized>(&self, m: &mut M, start: u32, n: u32) -> Res<Vec<Cell>> {
        let mut cells = Vec::with_capacity(n as usize);
        for i in start..start + n {
            cells.push(self.cell(m, i)?);
        }
        Ok(cells)
    }
    pub fn set_length<M: Mem + ?Sized>(&self, m: &mut M, len: u32, head: u32) -> Res<()> {
        let head = if len == 0 { 0 } else { head };
        m.store64(self.guard, self.at + LENGTH, len as u64 | (head as u64) << 32)
    }
    /// Puts another body in place of this one, which is freed without its members.
    pub fn swap<M: Mem + ?Sized>(&self, m: &mut M, len: u32, new: Layout) -> Res<()> {
        if self.body != 0 {
            m.free(self.body);
        }
        m.store64(self.guard, self.at + BODY, new.body)?;
        m.store64(self.guard, self.at + CAPACITY, new.capacity as u64)?;
        self.set_length(m, len, 0)?;
        if new.sparse != self.is_sparse() {
            let low = if new.sparse { SPARSE } else { 0 };
            let word1 = self.word1.live(kind::ARRAY, self.word1.flags(), low);
            m.store64(self.guard, self.at + 8, word1.0)?;
        }
        Ok(())
    }
}

/// True if an operation that touches so many cells of a body of `len` elements makes a new one.
fn is_bulk(touched: u64, len: u32) -> bool {
    touched > 64 && touched * 8 >= len as u64
}

fn longer(len: u32, by: usize) -> Res<u32> {
    match u32::try_from(len as u64 + by as u64) {
        Ok(len) => Ok(len),
        Err(_) => Err(Error::new(Code::InvalidArgument, "an array longer than 4294967295").into()),
    }
}

/// Room for as many as half as much again.
fn roomy(len: u32) -> usize {
    len as usize + len as usize / 2 + 4
}

// ------------------------------------------------------------------------------------------------- making arrays

/// A block for an array, to be completed by [`fill`]. Its offset is the array's identity already, for values that
/// refer back to it.
pub fn reserve<M: Mem + ?Sized>(m: &mut M) -> Res<Block> {
    m.alloc(BYTES)
}

/// Completes a reserved block: the first elements (holes as HOLE), and further properties: indices, which must be
/// below `length` and not below the number of elements, and names, in any order. All different. The cells are the
/// array's from now on.
pub fn fill<M: Mem + ?Sized>(
    m: &mut M,
    block: Block,
    length: u32,
    elements: &[Cell],
    more: &[(Key, Cell)],
) -> Res<()> {
    let mut named = Vec::new();
    let mut present = Vec::new();
    for (key, cell) in more {
        match key.as_index() {
            Some(i) => present.push((i, *cell)),
            None => named.push((key.clone(), *cell)),
        }
    }
    present.sort_unstable_by_key(|&(i, _)| i);
    let first = elements.len() as u64;
    let fits = first <= length as u64
        && present.first().is_none_or(|&(i, _)| i as u64 >= first)
        && present.last().is_none_or(|&(i, _)| i < length);
    if !fits {
        return Err(Error::new(Code::InvalidArgument, "an array element outside of its length").into());
    }
    let layout = if present.is_empty() && first == length as u64 {
        sparse::dense(m, elements, 0)?
    } else {
        let given = elements.iter().enumerate().filter(|(_, cell)| **cell != Cell::HOLE);
        let mut all: Vec<(u32, Cell)> = given.map(|(i, &cell)| (i as u32, cell)).collect();
        all.append(&mut present);
        sparse::layout(m, length, &all)?
    };
    let named = if named.is_empty() { 0 } else { record::create_owned(m, &named)? };
    m.init64(block.at + LENGTH, length as u64);
    m.init64(block.at + BODY, layout.body);
    m.init64(block.at + CAPACITY, layout.capacity as u64);
    m.init64(block.at + NAMED, named);
    m.finish(block.at, kind::ARRAY, 0, if layout.sparse { SPARSE } else { 0 });
    Ok(())
}

/// A new empty array.
pub fn create<M: Mem + ?Sized>(m: &mut M) -> Res<Off> {
    create_with(m, &[])
}

/// A new array of these elements.
pub fn create_with<M: Mem + ?Sized>(m: &mut M, elements: &[Cell]) -> Res<Off> {
    let block = reserve(m)?;
    fill(m, block, longer(0, elements.len())?, elements, &[])?;
    Ok(block.at)
}

// ------------------------------------------------------------------------------------------------------- reading

/// The length.
pub fn len<M: Mem + ?Sized>(m: &mut M, at: Off) -> Res<u32> {
    Ok(Head::load(m, at)?.len)
}

/// The cell of an element, in place; `None` for a hole and beyond the end.
pub fn get<M: Mem + ?Sized>(m: &mut M, at: Off, i: u32) -> Res<Option<Cell>> {
    let head = Head::load(m, at)?;
    if i >= head.len {
        return Ok(None);
    }
    if head.is_sparse() {
        return sparse::get(m, &head, i);
    }
    Ok(Some(head.cell(m, i)?).filter(|&cell| cell != Cell::HOLE))
}

/// The most elements that one call reads out of a sparse array, holes counted.
pub const MOST_SPARSE: u32 = 1 << 26;

/// The cells of up to `n` elements from `start` on, in place, as many as there are; holes as HOLE.
pub fn read_range<M: Mem + ?Sized>(m: &mut M, at: Off, start: u32, n: u32) -> Res<Vec<Cell>> {
    let head = Head::load(m, at)?;
    let start = start.min(head.len);
    let n = n.min(head.len - start);
    if !head.is_sparse() {
        return head.cells(m, start, n);
    }
    if n > MOST_SPARSE {
        let e = Error::about(Code::OutOfMemory, "too many holes to list", n as u64);
        return Err(e.into());
    }
    let mut cells = vec![Cell::HOLE; n as usize];
    for (i, cell) in sparse::present(m, &head)? {
        if let Some(place) = i.checked_sub(start).and_then(|k| cells.get_mut(k as usize)) {
            *place = cell;
        }
    }
    Ok(cells)
}

/// All elements that are there, ascending; cells in place.
pub fn present<M: Mem + ?Sized>(m: &mut M, at: Off) -> Res<Vec<(u32, Cell)>> {
    let head = Head::load(m, at)?;
    if head.is_sparse() {
        return sparse::present(m, &head);
    }
    Ok(sparse::present_in(&head.cells(m, 0, head.len)?))
}

/// All of an array, as [`fill`] takes it: its length, the elements of a dense one (holes as HOLE), and the other
/// properties, those of a sparse one with their indices as keys; cells in place.
#[expect(clippy::type_complexity, reason = "the parameters of `fill`")]
pub fn contents<M: Mem + ?Sized>(m: &mut M, at: Off) -> Res<(u32, Vec<Cell>, Vec<(Key, Cell)>)> {
    let head = Head::load(m, at)?;
    let mut more = Vec::new();
    let mut elements = Vec::new();
    if head.is_sparse() {
        more.extend(sparse::present(m, &head)?.into_iter().map(|(i, cell)| (Key::index(i), cell)));
    } else {
        elements = head.cells(m, 0, head.len)?;
    }
    more.extend(entries_named(m, at)?);
    Ok((head.len, elements, more))
}

// ------------------------------------------------------------------------------------------------------- writing

/// Sets an element. The cell is the array's from now on; what it replaces is freed.
pub fn set<M: Mem + ?Sized>(m: &mut M, at: Off, i: u32, cell: Cell) -> Res<()> {
    let head = Head::load(m, at)?;
    let len = head.len.max(longer(i, 1)?);
    if head.is_sparse() {
        return sparse::set(m, &head, len, i, cell);
    }
    if i < head.len {
        let old = head.cell(m, i)?;
        value::free(m, head.guard, old)?;
        return m.store64(head.guard, head.place(i), cell.0);
    }
    extend(m, &head, len, Some(cell))
}

/// Makes a dense array longer: holes, and `last` as the last element if it is given.
fn extend<M: Mem + ?Sized>(m: &mut M, head: &Head, len: u32, last: Option<Cell>) -> Res<()> {
    if sparse::is_far(head.len, len) {
        let cells = head.cells(m, 0, head.len)?;
        let mut all = sparse::present_in(&cells);
        all.extend(last.map(|cell| (len - 1, cell)));
        let new = sparse::layout(m, len, &all)?;
        return head.swap(m, len, new);
    }
    let added = (head.len..len).map(|i| match last {
        Some(cell) if i == len - 1 => cell,
        _ => Cell::HOLE,
    });
    append(m, head, added.collect::<Vec<_>>().as_slice())
}

/// Appends elements. Gives the new length. One element: two stores.
pub fn push<M: Mem + ?Sized>(m: &mut M, at: Off, cells: &[Cell]) -> Res<u32> {
    let head = Head::load(m, at)?;
    let len = longer(head.len, cells.len())?;
    match cells {
        _ if !head.is_sparse() => append(m, &head, cells)?,
        [cell] => sparse::set(m, &head, len, head.len, *cell)?,
        _ => {
            splice(m, at, head.len, 0, cells)?;
        }
    }
    Ok(len)
}

fn append<M: Mem + ?Sized>(m: &mut M, head: &Head, cells: &[Cell]) -> Res<()> {
    let len = longer(head.len, cells.len())?;
    if len > head.capacity || is_bulk(cells.len() as u64, head.len) {
        let mut all = head.cells(m, 0, head.len)?;
        all.extend_from_slice(cells);
        let new = sparse::grown(m, &all, roomy(len))?;
        return head.swap(m, len, new);
    }
    for (i, cell) in (head.len..).zip(cells) {
        m.store64(head.guard, head.place(i), cell.0)?;
    }
    head.set_length(m, len, head.head)
}

/// Takes the last element off; `None` if there is none, HOLE for a hole. A by-value cell is the caller's now. One
/// or two stores, no memory.
pub fn pop<M: Mem + ?Sized>(m: &mut M, at: Off) -> Res<Option<Cell>> {
    let head = Head::load(m, at)?;
    if head.len == 0 {
        return Ok(None);
    }
    let i = head.len - 1;
    let cell = if head.is_sparse() {
        sparse::take(m, &head, i)?
    } else {
        let cell = head.cell(m, i)?;
        head.clear(m, i, cell)?;
        cell
    };
    head.set_length(m, i, head.head)?;
    Ok(Some(cell))
}

/// Takes the first element off; `None` if there is none, HOLE for a hole. A by-value cell is the caller's now. One
/// or two stores, no memory (a sparse array is rebuilt).
pub fn shift<M: Mem + ?Sized>(m: &mut M, at: Off) -> Res<Option<Cell>> {
    let head = Head::load(m, at)?;
    if head.len == 0 {
        return Ok(None);
    }
    if head.is_sparse() {
        return Ok(splice(m, at, 0, 1, &[])?.pop());
    }
    let cell = head.cell(m, 0)?;
    head.clear(m, 0, cell)?;
    let first = if head.head + 1 == head.capacity { 0 } else { head.head + 1 };
    head.set_length(m, head.len - 1, first)?;
    Ok(Some(cell))
}

/// Puts elements in front. Gives the new length. One element: two stores.
pub fn unshift<M: Mem + ?Sized>(m: &mut M, at: Off, cells: &[Cell]) -> Res<u32> {
    let len = longer(Head::load(m, at)?.len, cells.len())?;
    splice(m, at, 0, 0, cells)?;
    Ok(len)
}

/// Puts one element in before element `i`, at the end if there are not so many.
pub fn insert<M: Mem + ?Sized>(m: &mut M, at: Off, i: u32, cell: Cell) -> Res<()> {
    splice(m, at, i, 0, &[cell]).map(drop)
}

/// Takes `delete` elements out at `start` (as many as there are) and puts `cells` there. Gives what was taken out,
/// holes as HOLE; by-value cells are the caller's now.
pub fn splice<M: Mem + ?Sized>(
    m: &mut M,
    at: Off,
    start: u32,
    delete: u32,
    cells: &[Cell],
) -> Res<Vec<Cell>> {
    let head = Head::load(m, at)?;
    let start = start.min(head.len);
    let delete = delete.min(head.len - start);
    let len = longer(head.len - delete, cells.len())?;
    if head.is_sparse() {
        return sparse::splice(m, &head, start, delete, cells, len);
    }
    let removed = head.cells(m, start, delete)?;
    let (new, tail) = (cells.len() as u32, head.len - start - delete);
    let moved = if new == delete { 0 } else { start.min(tail) };
    // what others are stored over is not cleared before
    let cleared = if new >= delete { 0 } else { removed.iter().filter(|cell| !cell.is_number()).count() };
    let touched = new as u64 + moved as u64 + cleared as u64;
    if len > head.capacity || is_bulk(touched, head.len) {
        let mut all = head.cells(m, 0, start)?;
        all.extend_from_slice(cells);
        all.extend(head.cells(m, start + delete, tail)?);
        let room = if len > head.capacity { roomy(len) } else { all.len() };
        let new = sparse::dense(m, &all, room)?;
        head.swap(m, len, new)?;
        return Ok(removed);
    }
    // the shorter side moves: read it, then store it where it belongs
    if moved == 0 && tail <= start || moved == tail {
        let side = if new == delete { Vec::new() } else { head.cells(m, start + delete, tail)? };
        for (i, cell) in (start..).zip(cells.iter().chain(&side)) {
            m.store64(head.guard, head.place(i), cell.0)?;
        }
        for i in len..head.len {
            let cell = head.cell(m, i)?;
            head.clear(m, i, cell)?;
        }
        if len != head.len {
            head.set_length(m, len, head.head)?;
        }
    } else {
        let mut first = head.head as u64 + delete as u64 + head.capacity as u64 - new as u64;
        while first >= head.capacity as u64 {
            first -= head.capacity as u64;
        }
        let first = first as u32;
        let side = if new == delete { Vec::new() } else { head.cells(m, 0, start)? };
        for (i, cell) in (start - side.len() as u32..).zip(side.iter().chain(cells)) {
            m.store64(head.guard, head.place_from(first, i), cell.0)?;
        }
        for i in 0..delete.saturating_sub(new) {
            let cell = head.cell(m, i)?;
            head.clear(m, i, cell)?;
        }
        if len != head.len {
            head.set_length(m, len, first)?;
        }
    }
    Ok(removed)
}

/// Deletes an element: a hole is left. False if there is none. Needs no memory.
pub fn delete<M: Mem + ?Sized>(m: &mut M, at: Off, i: u32) -> Res<bool> {
    let head = Head::load(m, at)?;
    if i >= head.len {
        return Ok(false);
    }
    let old = if head.is_sparse() { sparse::take(m, &head, i)? } else { head.cell(m, i)? };
    if old == Cell::HOLE {
        return Ok(false);
    }
    value::free(m, head.guard, old)?;
    if !head.is_sparse() {
        m.store64(head.guard, head.place(i), Cell::HOLE.0)?;
    }
    Ok(true)
}

/// Destroys an array: see [`crate::destroy`].
pub fn destroy<M: Mem + ?Sized>(m: &mut M, at: Off) -> Res<()> {
    let head = Head::load(m, at)?;
    for (_, cell) in present(m, at)? {
        value::free(m, head.guard, cell)?;
    }
    match m.load64(head.guard, at + NAMED)? {
        0 => {}
        named => {
            record::free_in(m, head.guard, named)?;
            m.store64(head.guard, at + NAMED, 0)?;
        }
    }
    head.swap(m, 0, Layout::NONE)?;
    destroy::mark(m, at)
}

/// Sets the length: elements beyond are freed, or holes come in. `0` gives the body back.
pub fn set_len<M: Mem + ?Sized>(m: &mut M, at: Off, len: u32) -> Res<()> {
    let head = Head::load(m, at)?;
    if len == head.len {
        return Ok(());
    }
    if len == 0 {
        for (_, cell) in present(m, at)? {
            value::free(m, head.guard, cell)?;
        }
        return head.swap(m, 0, Layout::NONE);
    }
    if head.is_sparse() {
        return sparse::set_len(m, &head, len);
    }
    if len > head.len {
        return extend(m, &head, len, None);
    }
    let gone = head.cells(m, len, head.len - len)?;
    for &cell in &gone {
        value::free(m, head.guard, cell)?;
    }
    if is_bulk(gone.iter().filter(|cell| !cell.is_number()).count() as u64, head.len) {
        let kept = head.cells(m, 0, len)?;
        let new = sparse::dense(m, &kept, 0)?;
        return head.swap(m, len, new);
    }
    for (i, cell) in (len..).zip(gone) {
        head.clear(m, i, cell)?;
    }
    head.set_length(m, len, head.head)
}

/// Replaces all elements (sort, reverse, fill, copyWithin): a new body is swapped in. What the old elements hold is
/// the caller's business: moved into `cells`, or freed by it.
pub fn replace_all<M: Mem + ?Sized>(m: &mut M, at: Off, cells: &[Cell]) -> Res<()> {
    let head = Head::load(m, at)?;
    let new = sparse::dense(m, cells, 0)?;
    head.swap(m, longer(0, cells.len())?, new)
}

/// As [`replace_all`], for arrays that may be sparse: the length, and the elements that are there, ascending.
pub fn replace_present<M: Mem + ?Sized>(m: &mut M, at: Off, len: u32, cells: &[(u32, Cell)]) -> Res<()> {
    let head = Head::load(m, at)?;
    if cells.last().is_some_and(|&(i, _)| i >= len) {
        return Err(Error::new(Code::InvalidArgument, "an array element outside of its length").into());
    }
    let new = sparse::layout(m, len, cells)?;
    head.swap(m, len, new)
}

#[cfg(test)]
mod tests;
