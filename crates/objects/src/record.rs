//! Records: plain objects and instances of classes.
//!
//! ```text
//! identity  +0   word 0: guards every cell of the record, its body's too
//!           +8   word 1: type RECORD, low half: the shape word
//!           +16  offset of the body, 0 none: RECORD_BODY, or DICT_BODY in a dictionary
//!           +24  inline slots, as many as the shape word says
//! body      +0 word 0, +8 word 1: type RECORD_BODY, low half: capacity;  +16 slots from the first that is not inline
//! ```
//!
//! A slot is never used for another key during the record's life. A slot without a property (spare, or deleted)
//! holds ABSENT. A body is replaced when it grows. A record becomes a dictionary at its 65th key, at the first
//! insertion after a deletion, and when there is no room for its shape; its inline slots then keep their last bits,
//! which mean nothing any more.
//!
//! All functions come in two forms: by object, and (`_in`) with a guard of its own, for the named properties of
//! arrays, which are a record guarded by the array.

use std::rc::Rc;

use coheap_segment::word::Word1;
use coheap_segment::{Code, Error, Off};
use coheap_txn::{Block, Guard, Mem, Res};

use crate::cell::{Cell, kind};
use crate::dict::{self, Body, Entry, Probe};
use crate::key::Key;
use crate::shape::{self, MAX_KEYS, Shape, ShapeWord};
use crate::value;

/// Where a record names its body.
pub const BODY: u64 = 16;
/// Where the inline slots begin.
pub const SLOTS: u64 = 24;
/// Where the slots of a RECORD_BODY begin.
pub const BODY_SLOTS: u64 = 16;
/// Inline slots of `{}`; what its block has room for besides comes on top.
const SPARE: usize = 4;
/// The most inline slots that a record is made with.
const MOST_INLINE: usize = 32;

/// A record whose word 1 has been read and checked.
#[derive(Clone, Copy)]
struct Head {
    at: Off,
    guard: Guard,
    word1: Word1,
}

impl Head {
    #[inline(always)]
    fn load<M: Mem + ?Sized>(m: &mut M, guard: Guard, at: Off) -> Res<Head> {
        let word1 = Word1(m.load64(guard, at.wrapping_add(8))?);
        if word1.kind() != kind::RECORD {
            return Err(Error::corrupt("a record that is none", at).into());
        }
        let head = Head { at, guard, word1 };
        if head.word().is_destroyed() {
            return Err(Error::new(Code::Destroyed, "the object has been destroyed").into());
        }
        Ok(head)
    }
    #[inline(always)]
    fn word(&self) -> ShapeWord {
        ShapeWord(self.word1.low())
    }
    fn set_word<M: Mem + ?Sized>(&self, m: &mut M, word: ShapeWord) -> Res<()> {
        let word1 = self.word1.live(kind::RECORD, self.word1.flags(), word.0);
        m.store64(self.guard, self.at + 8, word1.0)
    }
    fn body<M: Mem + ?Sized>(&self, m: &mut M) -> Res<Off> {
        m.load64(self.guard, self.at + BODY)
    }
    fn dictionary<M: Mem + ?Sized>(&self, m: &mut M) -> Res<Body> {
        let at = self.body(m)?;
        Body::open(m, self.guard, at, kind::DICT_BODY)
    }
    fn shape<M: Mem + ?Sized>(&self, m: &M) -> Res<Rc<Shape>> {
        shape::info(m, self.word().shape())
    }
    /// How many slots the body at `body` has.
    fn capacity<M: Mem + ?Sized>(&self, m: &mut M, body: Off) -> Res<usize> {
        if body == 0 {
            return Ok(0);
        }
        let word1 = Word1(m.load64(self.guard, body.wrapping_add(8))?);
        let n = word1.low() as usize;
        if word1.kind() != kind::RECORD_BODY
            || n > 2 * MAX_KEYS
            || !m.segment().holds(body, BODY_SLOTS + n as u64 * 8)
        {
            return Err(Error::corrupt("a record's body that is none", body).into());
        }
        Ok(n)
    }
    /// The place of a slot that the shape has.
    #[inline(always)]
    fn slot<M: Mem + ?Sized>(&self, m: &mut M, slot: usize) -> Res<Off> {
        let inline = self.word().inline() as usize;
        if slot < inline {
            return Ok(self.at + SLOTS + slot as u64 * 8);
        }
        let body = self.body(m)?;
        if slot - inline >= self.capacity(m, body)? {
            return Err(Error::corrupt("a record without the slots of its shape", self.at).into());
        }
        Ok(body + BODY_SLOTS + (slot - inline) as u64 * 8)
    }
    #[inline(always)]
    fn cell<M: Mem + ?Sized>(&self, m: &mut M, at: Off) -> Res<Cell> {
        Ok(Cell(m.load64(self.guard, at)?))
    }
}

// ------------------------------------------------------------------------------------------------ making records

/// A block for a record of `slots` properties, to be completed by [`fill`] or [`fill_shaped`]. Its offset is the
/// record's identity already, for values that refer back to it.
pub fn reserve<M: Mem + ?Sized>(m: &mut M, slots: usize) -> Res<Block> {
    let inline = if slots == 0 { SPARE } else { (slots + 1).min(MOST_INLINE) };
    m.alloc(SLOTS + inline as u64 * 8)
}

fn inline_slots(block: Block) -> usize {
    ((block.size - SLOTS) / 8).min(ShapeWord::MAX_INLINE as u64) as usize
}

/// Completes a reserved block: these properties, in this order, on top of an empty shape, which tells prototype and
/// class. A key that comes twice keeps its first place and its last value. The cells are the record's from now on.
pub fn fill<M: Mem + ?Sized>(m: &mut M, block: Block, root: Rc<Shape>, pairs: &[(Key, Cell)]) -> Res<()> {
    let mut shape = root;
    let mut cells: Vec<Cell> = Vec::with_capacity(pairs.len());
    let guard = Guard(block.at);
    for (i, (key, cell)) in pairs.iter().enumerate() {
        if let Some(slot) = shape.slot(key) {
            value::free(m, guard, cells[slot])?;
            cells[slot] = *cell;
        } else if let Some(next) = shape::child(m, &shape, key)? {
            shape = next;
            cells.push(*cell);
        } else {
            let done: Vec<(Rc<Key>, Cell)> = shape.keys.iter().cloned().zip(cells).collect();
            return fill_dictionary(m, block, shape.root, done, &pairs[i..]);
        }
    }
    fill_slots(m, block, &shape, &cells)
}

fn fill_dictionary<M: Mem + ?Sized>(
    m: &mut M,
    block: Block,
    root: u16,
    done: Vec<(Rc<Key>, Cell)>,
    rest: &[(Key, Cell)],
) -> Res<()> {
    let guard = Guard(block.at);
    let mut entries = Vec::with_capacity(done.len() + rest.len());
    let mut place = std::collections::HashMap::new();
    let all =
        done.iter().map(|(key, cell)| (&**key, *cell)).chain(rest.iter().map(|(key, cell)| (key, *cell)));
    for (key, cell) in all {
        match place.get(key) {
            Some(&i) => {
                let entry: &mut Entry = &mut entries[i];
                value::free(m, guard, entry.value)?;
                entry.value = cell;
            }
            None => {
                place.insert(key, entries.len());
                entries.push(Entry::property(m, key, cell)?);
            }
        }
    }
    let body = dict::build(m, kind::DICT_BODY, &entries)?;
    let inline = inline_slots(block);
    for i in 0..inline as u64 {
        m.init64(block.at + SLOTS + i * 8, Cell::ABSENT.0);
    }
    m.init64(block.at + BODY, body);
    let word = ShapeWord::new(root, inline as u32).with(ShapeWord::DICTIONARY);
    m.finish(block.at, kind::RECORD, 0, word.0);
    Ok(())
}

/// Completes a reserved block: the values of the keys of a shape, in the order of its slots.
pub fn fill_shaped<M: Mem + ?Sized>(m: &mut M, block: Block, shape: u16, values: &[Cell]) -> Res<()> {
    let shape = shape::info(m, shape)?;
    if shape.len() != values.len() {
        let e =
            Error::about(Code::InvalidArgument, "not as many values as the shape has keys", shape.id as u64);
        return Err(e.into());
    }
    fill_slots(m, block, &shape, values)
}

fn fill_slots<M: Mem + ?Sized>(m: &mut M, block: Block, shape: &Shape, values: &[Cell]) -> Res<()> {
    let inline = inline_slots(block);
    let mut body = 0;
    if values.len() > inline {
        body = new_body(m, &values[inline..], 0)?;
    }
    m.init64(block.at + BODY, body);
    for i in 0..inline {
        let cell = values.get(i).copied().unwrap_or(Cell::ABSENT);
        m.init64(block.at + SLOTS + i as u64 * 8, cell.0);
    }
    m.finish(block.at, kind::RECORD, 0, ShapeWord::new(shape.id, inline as u32).0);
    Ok(())
}

/// A private body with these cells and room for at least `spare` more.
fn new_body<M: Mem + ?Sized>(m: &mut M, cells: &[Cell], spare: usize) -> Res<Off> {
    let block = m.alloc(BODY_SLOTS + (cells.len() + spare) as u64 * 8)?;
    let capacity = ((block.size - BODY_SLOTS) / 8).min(2 * MAX_KEYS as u64) as usize;
    for i in 0..capacity {
        let cell = cells.get(i).copied().unwrap_or(Cell::ABSENT);
        m.init64(block.at + BODY_SLOTS + i as u64 * 8, cell.0);
    }
    m.finish(block.at, kind::RECORD_BODY, 0, capacity as u32);
    Ok(block.at)
}

/// A new empty record.
pub fn create<M: Mem + ?Sized>(m: &mut M, null_proto: bool) -> Res<Off> {
    create_with(m, null_proto, &[])
}

/// A new record with these properties: see [`fill`].
pub fn create_with<M: Mem + ?Sized>(m: &mut M, null_proto: bool, pairs: &[(Key, Cell)]) -> Res<Off> {
    let block = reserve(m, pairs.len())?;
    let root = shape::root(m, null_proto)?;
    fill(m, block, root, pairs)?;
    Ok(block.at)
}

/// Flag of word 1: the record belongs to the object that guards it, and is nobody's to find.
pub const OWNED: u8 = 1;

/// As [`create_with`], for the named properties of an array.
pub(crate) fn create_owned<M: Mem + ?Sized>(m: &mut M, pairs: &[(Key, Cell)]) -> Res<Off> {
    let at = create_with(m, false, pairs)?;
    let word1 = Word1(m.load64(Guard(at), at + 8)?);
    m.init64(at + 8, word1.live(kind::RECORD, OWNED, word1.low()).0);
    Ok(at)
}

/// A new record with the values of the keys of a shape, in the order of its slots.
pub fn create_with_shape<M: Mem + ?Sized>(m: &mut M, shape: u16, values: &[Cell]) -> Res<Off> {
    let block = reserve(m, values.len())?;
    fill_shaped(m, block, shape, values)?;
    Ok(block.at)
}

// ------------------------------------------------------------------------------------------------------- reading

/// The shape word of a record.
pub fn shape_word<M: Mem + ?Sized>(m: &mut M, at: Off) -> Res<ShapeWord> {
    Ok(Head::load(m, Guard(at), at)?.word())
}

/// The shape of a record; in a dictionary that of its empty record, which tells prototype and class.
pub fn shape<M: Mem + ?Sized>(m: &mut M, at: Off) -> Res<Rc<Shape>> {
    Head::load(m, Guard(at), at)?.shape(m)
}

/// The cell of a property, in place.
pub fn get<M: Mem + ?Sized>(m: &mut M, at: Off, key: &Key) -> Res<Option<Cell>> {
    get_in(m, Guard(at), at, key)
}

/// As [`get`].
pub fn get_in<M: Mem + ?Sized>(m: &mut M, guard: Guard, at: Off, key: &Key) -> Res<Option<Cell>> {
    let head = Head::load(m, guard, at)?;
    match find(m, &head, key)? {
        Some(place) => Ok(Some(head.cell(m, place)?).filter(|&cell| cell != Cell::ABSENT)),
        None => Ok(None),
    }
}

/// The place of a property's cell (which may hold ABSENT in a record with a shape).
fn find<M: Mem + ?Sized>(m: &mut M, head: &Head, key: &Key) -> Res<Option<Off>> {
    if head.word().is_dictionary() {
        let probe = Probe::key(m, key);
        return head.dictionary(m)?.find(m, head.guard, &probe);
    }
    match head.shape(m)?.slot(key) {
        Some(slot) => head.slot(m, slot).map(Some),
        None => Ok(None),
    }
}

/// True if there is such a property.
pub fn has<M: Mem + ?Sized>(m: &mut M, at: Off, key: &Key) -> Res<bool> {
    Ok(get(m, at, key)?.is_some())
}

/// The cell in a slot of a record whose shape word is `word`; `None` if it is another by now or the property has
/// been deleted: look by key.
pub fn get_slot<M: Mem + ?Sized>(m: &mut M, at: Off, word: ShapeWord, slot: usize) -> Res<Option<Cell>> {
    let head = Head::load(m, Guard(at), at)?;
    if head.word() != word || word.is_dictionary() {
        return Ok(None);
    }
    let place = head.slot(m, slot)?;
    Ok(Some(head.cell(m, place)?).filter(|&cell| cell != Cell::ABSENT))
}

/// The number of properties.
pub fn len<M: Mem + ?Sized>(m: &mut M, at: Off) -> Res<usize> {
    len_in(m, Guard(at), at)
}

/// As [`len`].
pub fn len_in<M: Mem + ?Sized>(m: &mut M, guard: Guard, at: Off) -> Res<usize> {
    let head = Head::load(m, guard, at)?;
    if head.word().is_dictionary() {
        return Ok(head.dictionary(m)?.live as usize);
    }
    if !head.word().has_deleted() {
        return Ok(head.shape(m)?.len());
    }
    Ok(entries_in(m, guard, at)?.len())
}

/// The keys in the order in which the language lists own keys.
pub fn keys<M: Mem + ?Sized>(m: &mut M, at: Off) -> Res<Vec<Key>> {
    keys_in(m, Guard(at), at)
}

/// As [`keys`].
pub fn keys_in<M: Mem + ?Sized>(m: &mut M, guard: Guard, at: Off) -> Res<Vec<Key>> {
    Ok(entries_in(m, guard, at)?.into_iter().map(|(key, _)| key).collect())
}

/// The properties, in the order in which the language lists own keys; cells in place.
pub fn entries<M: Mem + ?Sized>(m: &mut M, at: Off) -> Res<Vec<(Key, Cell)>> {
    entries_in(m, Guard(at), at)
}

/// As [`entries`].
pub fn entries_in<M: Mem + ?Sized>(m: &mut M, guard: Guard, at: Off) -> Res<Vec<(Key, Cell)>> {
    let head = Head::load(m, guard, at)?;
    if head.word().is_dictionary() {
        let mut all = Vec::new();
        for entry in head.dictionary(m)?.entries(m, guard)? {
            all.push((Key::load(m, guard, entry.key)?, entry.value));
        }
        all.sort_by_key(|(key, _)| key.rank());
        return Ok(all);
    }
    let shape = head.shape(m)?;
    let mut all = Vec::with_capacity(shape.len());
    for &slot in &shape.listed {
        let place = head.slot(m, slot as usize)?;
        let cell = head.cell(m, place)?;
        if cell != Cell::ABSENT {
            all.push((Key::clone(&shape.keys[slot as usize]), cell));
        }
    }
    Ok(all)
}

// ------------------------------------------------------------------------------------------------------- writing

/// Sets a property. The cell is the record's from now on; what it replaces is freed.
pub fn set<M: Mem + ?Sized>(m: &mut M, at: Off, key: &Key, cell: Cell) -> Res<()> {
    set_in(m, Guard(at), at, key, cell)
}

/// As [`set`].
pub fn set_in<M: Mem + ?Sized>(m: &mut M, guard: Guard, at: Off, key: &Key, cell: Cell) -> Res<()> {
    let head = Head::load(m, guard, at)?;
    if head.word().is_dictionary() {
        return set_in_dictionary(m, &head, key, cell);
    }
    let shape = head.shape(m)?;
    if let Some(slot) = shape.slot(key) {
        let place = head.slot(m, slot)?;
        let old = head.cell(m, place)?;
        if old != Cell::ABSENT {
            return replace(m, guard, place, old, cell);
        }
    } else if !head.word().has_deleted()
        && let Some(next) = shape::child(m, &shape, key)?
    {
        return insert(m, &head, &next, cell);
    }
    become_dictionary(m, &head, &shape, key, cell)
}

fn replace<M: Mem + ?Sized>(m: &mut M, guard: Guard, place: Off, old: Cell, new: Cell) -> Res<()> {
    if old == new && !new.is_by_value_block() {
        // the object's version changes all the same: a write is seen as one
        return m.store64(guard, place, new.0);
    }
    value::free(m, guard, old)?;
    m.store64(guard, place, new.0)
}

/// A key more: `next` is the shape with it. Two stores, three when the body grows.
fn insert<M: Mem + ?Sized>(m: &mut M, head: &Head, next: &Shape, cell: Cell) -> Res<()> {
    let inline = head.word().inline() as usize;
    let slot = next.len() - 1;
    let word = head.word().with_shape(next.id);
    if slot < inline {
        m.store64(head.guard, head.at + SLOTS + slot as u64 * 8, cell.0)?;
        return head.set_word(m, word);
    }
    let body = head.body(m)?;
    let capacity = head.capacity(m, body)?;
    let i = slot - inline;
    if i < capacity {
        m.store64(head.guard, body + BODY_SLOTS + i as u64 * 8, cell.0)?;
        return head.set_word(m, word);
    }
    let mut cells = Vec::with_capacity(i + 1);
    for k in 0..i {
        let place = head.slot(m, inline + k)?;
        cells.push(head.cell(m, place)?);
    }
    cells.push(cell);
    let grown = new_body(m, &cells, (i + 1).max(3))?;
    if body != 0 {
        m.free(body);
    }
    m.store64(head.guard, head.at + BODY, grown)?;
    head.set_word(m, word)
}

/// Leaves the shape: all properties move into a dictionary, and one more comes in.
fn become_dictionary<M: Mem + ?Sized>(
    m: &mut M,
    head: &Head,
    shape: &Shape,
    key: &Key,
    cell: Cell,
) -> Res<()> {
    let mut entries = Vec::with_capacity(shape.len() + 1);
    for (slot, key) in shape.keys.iter().enumerate() {
        let place = head.slot(m, slot)?;
        let cell = head.cell(m, place)?;
        if cell != Cell::ABSENT {
            entries.push(Entry::property(m, key, cell)?);
        }
    }
    entries.push(Entry::property(m, key, cell)?);
    let body = dict::build(m, kind::DICT_BODY, &entries)?;
    let old = head.body(m)?;
    if old != 0 {
        m.free(old);
    }
    m.store64(head.guard, head.at + BODY, body)?;
    let word = head.word().with_shape(shape.root).without(ShapeWord::DELETED).with(ShapeWord::DICTIONARY);
    head.set_word(m, word)
}

fn set_in_dictionary<M: Mem + ?Sized>(m: &mut M, head: &Head, key: &Key, cell: Cell) -> Res<()> {
    let at = head.body(m)?;
    let body = Body::open(m, head.guard, at, kind::DICT_BODY)?;
    let probe = Probe::key(m, key);
    if let Some(place) = body.find(m, head.guard, &probe)? {
        let old = head.cell(m, place)?;
        return replace(m, head.guard, place, old, cell);
    }
    let entry = Entry::property(m, key, cell)?;
    if body.has_room() {
        return body.append(m, head.guard, entry);
    }
    let mut entries = body.entries(m, head.guard)?;
    entries.push(entry);
    let grown = dict::build(m, kind::DICT_BODY, &entries)?;
    m.free(at);
    m.store64(head.guard, head.at + BODY, grown)
}

/// Sets the cell in a slot of a record whose shape word is `word`; false (and nothing has happened) if it is another
/// by now or the property has been deleted: set by key.
pub fn set_slot<M: Mem + ?Sized>(m: &mut M, at: Off, word: ShapeWord, slot: usize, cell: Cell) -> Res<bool> {
    let guard = Guard(at);
    let head = Head::load(m, guard, at)?;
    if head.word() != word || word.is_dictionary() {
        return Ok(false);
    }
    let place = head.slot(m, slot)?;
    let old = head.cell(m, place)?;
    if old == Cell::ABSENT {
        return Ok(false);
    }
    replace(m, guard, place, old, cell)?;
    Ok(true)
}

/// Destroys a record: see [`crate::destroy`].
pub fn destroy<M: Mem + ?Sized>(m: &mut M, at: Off) -> Res<()> {
    let head = Head::load(m, Guard(at), at)?;
    release(m, &head)?;
    m.store64(head.guard, at + BODY, 0)?;
    head.set_word(m, head.word().with(ShapeWord::DESTROYED))
}

/// Frees a record that belongs to the object that guards it, with all that it holds by value.
pub(crate) fn free_in<M: Mem + ?Sized>(m: &mut M, guard: Guard, at: Off) -> Res<()> {
    let head = Head::load(m, guard, at)?;
    release(m, &head)?;
    m.free(at);
    Ok(())
}

/// Frees the body, and what the record holds by value.
fn release<M: Mem + ?Sized>(m: &mut M, head: &Head) -> Res<()> {
    if head.word().is_dictionary() {
        for entry in head.dictionary(m)?.entries(m, head.guard)? {
            value::free(m, head.guard, entry.key)?;
            value::free(m, head.guard, entry.value)?;
        }
    } else {
        for slot in 0..head.shape(m)?.len() {
            let place = head.slot(m, slot)?;
            let cell = head.cell(m, place)?;
            value::free(m, head.guard, cell)?;
        }
    }
    match head.body(m)? {
        0 => {}
        body => m.free(body),
    }
    Ok(())
}

/// Deletes a property; false if there is none. Needs no memory.
pub fn delete<M: Mem + ?Sized>(m: &mut M, at: Off, key: &Key) -> Res<bool> {
    delete_in(m, Guard(at), at, key)
}

/// As [`delete`].
pub fn delete_in<M: Mem + ?Sized>(m: &mut M, guard: Guard, at: Off, key: &Key) -> Res<bool> {
    let head = Head::load(m, guard, at)?;
    let Some(place) = find(m, &head, key)? else { return Ok(false) };
    let old = head.cell(m, place)?;
    if old == Cell::ABSENT {
        return Ok(false);
    }
    value::free(m, guard, old)?;
    if head.word().is_dictionary() {
        let key = head.dictionary(m)?.remove(m, guard, place)?;
        value::free(m, guard, key)?;
        return Ok(true);
    }
    m.store64(guard, place, Cell::ABSENT.0)?;
    if !head.word().has_deleted() {
        head.set_word(m, head.word().with(ShapeWord::DELETED))?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
