//! Shapes: which keys a record has, in which slots. Shared by all participants and immutable.
//!
//! A tree of transitions as in Chambers, Ungar and Lee, "An efficient implementation of SELF" (OOPSLA 1989): the
//! roots are the empty shapes (plain, null prototype, one for each registered class); a child has one key more, in
//! the next slot. The same keys in the same order give the same id in every process. Ids are never reused.
//!
//! **The shape word**, the low half of a record's word 1, is what JavaScript compares. Everything that must send
//! it to native code is in there too, and so is the inline capacity: the slots below it stand at a fixed place
//! (`record::SLOTS` + 8 × slot), the others in the body.
//!
//! ```text
//!  31         30          29  28        27   22 21           16 15        0
//! | destroyed | dictionary | 0 | deleted |  0   | inline slots 6 | shape 16 |
//! ```
//!
//! *dictionary*: the keys are in the body, the shape is that of the empty record (prototype and class), the inline
//! slots are stale. *deleted*: at least one slot of the shape is absent.
//!
//! **The table** (header's `shapes`), insert-only, bounded at 65,535 shapes and 64 keys a shape:
//!
//! ```text
//! table   +0  word 0, +8 word 1: type TABLE, low half 1
//!         +16 stamp: random; process-local caches are tied to it
//!         +24 hint: no id below is free
//!         +32 128 offsets of pages
//!         +1056 887 heads of chains of SHAPE blocks, by hash of {parent, key, class}
//! page    +0  word 0, +8 word 1: type TABLE, low half 2;  +16 512 offsets of SHAPE blocks, by id
//! SHAPE   +0  word 0, +8 word 1
//!         +16 id, 0 while it has none      +24 parent 16 | slots 16 | root 16 (0: itself)
//!         +32 KEY block, 0 for a root      +40 class 32 | null prototype 1
//!         +48 number of children           +56 next of the chain
//! ```
//!
//! A shape is linked into its chain by one CAS, which settles races; then it gets an id: a free entry of a page is
//! claimed for it by CAS, and the entry's number is written into it by CAS. Whoever finds a shape without an id
//! (its maker is slow or dead) does this for it, and gives an entry back that was not needed. An id counts only if
//! page and block agree. What is linked here never changes and is never freed, so reading it needs no guard.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use coheap_segment::word::Word1;
use coheap_segment::{Error, Off, Segment};
use coheap_txn::{Mem, Res};

use crate::cell::kind;
use crate::key::Key;
use crate::keys::{self, shared};

/// The shape of `{}`.
pub const PLAIN: u16 = 1;
/// The shape of `Object.create(null)`.
pub const NULL_PROTO: u16 = 2;
/// Ids are below this.
pub const MAX_SHAPES: u32 = 1 << 16;
/// The most keys of a shape; a record with more is a dictionary.
pub const MAX_KEYS: usize = 64;
/// The most children of a shape: keys beyond are data (user ids), not structure, and make dictionaries.
pub const MAX_CHILDREN: u64 = 1536;
/// Low half of word 1 of the table.
pub const TABLE_OF_SHAPES: u32 = 1;
/// Low half of word 1 of a page.
pub const PAGE_OF_SHAPES: u32 = 2;

/// Where the page offsets begin in the table.
pub const PAGES: u64 = 32;
/// The number of page offsets.
pub const PAGE_COUNT: u64 = 128;
/// Where a page's entries begin.
pub const ENTRIES: u64 = 16;
/// Entries of a page.
pub const PAGE_ENTRIES: u64 = MAX_SHAPES as u64 / PAGE_COUNT;
/// Where the heads of the chains begin in the table.
pub const HEADS: u64 = PAGES + PAGE_COUNT * 8;
/// The number of chains: a prime; the table fits in 8 KiB.
pub const CHAINS: u64 = 887;
const STAMP: u64 = 16;
const HINT: u64 = 24;
const _: () = assert!(HEADS == 1056 && HEADS + CHAINS * 8 <= 8192);

/// Where a SHAPE block names its key's block.
pub const KEY: u64 = 32;
/// Where a SHAPE block names the next of its chain.
pub const NEXT: u64 = 56;
const ID: u64 = 16;
const PARENT: u64 = 24;
const CLASS: u64 = 40;
const CHILDREN: u64 = 48;
const SHAPE_BYTES: u64 = 64;
const NULL_PROTO_BIT: u64 = 1 << 32;
/// More steps along a chain than this: corrupt.
const MOST_STEPS: u32 = 1 << 17;

/// The low half of a record's word 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShapeWord(pub u32);

impl ShapeWord {
    /// The most inline slots that fit in the word.
    pub const MAX_INLINE: u32 = 63;
    /// A property has been deleted: its slot is absent.
    pub const DELETED: u32 = 1 << 28;
    /// The keys are in the body.
    pub const DICTIONARY: u32 = 1 << 30;
    /// The object has been destroyed.
    pub const DESTROYED: u32 = 1 << 31;

    /// The word of a record that has just this shape.
    pub const fn new(shape: u16, inline: u32) -> ShapeWord {
        ShapeWord(shape as u32 | (inline & Self::MAX_INLINE) << 16)
    }
    /// The shape's id.
    pub const fn shape(self) -> u16 {
        self.0 as u16
    }
    /// How many slots stand in the object itself.
    pub const fn inline(self) -> u32 {
        self.0 >> 16 & Self::MAX_INLINE
    }
    /// See [`ShapeWord::DICTIONARY`].
    pub const fn is_dictionary(self) -> bool {
        self.0 & Self::DICTIONARY != 0
    }
    /// See [`ShapeWord::DELETED`].
    pub const fn has_deleted(self) -> bool {
        self.0 & Self::DELETED != 0
    }
    /// See [`ShapeWord::DESTROYED`].
    pub const fn is_destroyed(self) -> bool {
        self.0 & Self::DESTROYED != 0
    }
    /// The same with another shape.
    pub const fn with_shape(self, shape: u16) -> ShapeWord {
        ShapeWord(self.0 & !0xffff | shape as u32)
    }
    /// The same with a flag set.
    pub const fn with(self, flag: u32) -> ShapeWord {
        ShapeWord(self.0 | flag)
    }
    /// The same with a flag cleared.
    pub const fn without(self, flag: u32) -> ShapeWord {
        ShapeWord(self.0 & !flag)
    }
}

/// What a thread knows of a shape: complete and for ever true.
#[derive(Debug)]
pub struct Shape {
    /// Its id.
    pub id: u16,
    /// The id of the empty shape that it grew from.
    pub root: u16,
    /// Its prototype is null.
    pub null_proto: bool,
    /// The registered class of its instances; 0 none.
    pub class: u32,
    /// The key of each slot.
    pub keys: Vec<Rc<Key>>,
    /// The slots in the order in which own keys are listed.
    pub listed: Vec<u16>,
    at: Off,
    by_key: Option<HashMap<Rc<Key>, u16>>,
    children: RefCell<HashMap<Rc<Key>, u16>>,
}

/// Up to this many keys are compared one by one.
const LINEAR: usize = 12;

impl Shape {
    /// The slot of a key.
    pub fn slot(&self, key: &Key) -> Option<usize> {
        match &self.by_key {
            Some(map) => map.get(key).map(|&slot| slot as usize),
            None => self.keys.iter().position(|k| **k == *key),
        }
    }
    /// The number of keys and slots.
    pub fn len(&self) -> usize {
        self.keys.len()
    }
    /// True for a root.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Shapes of one heap, as one thread knows them.
struct Cache {
    stamp: u64,
    shapes: Vec<Option<Rc<Shape>>>,
    known: usize,
}
/// A thread forgets what it knows beyond this: 64 keys a shape are a few hundred bytes to a few KiB each.
const MOST_KNOWN: usize = 8192;
/// A thread forgets the heap that it has not used for the longest time beyond this.
const MOST_HEAPS: usize = 8;

thread_local! {
    /// The heap used last comes first.
    static CACHES: RefCell<Vec<Cache>> = const { RefCell::new(Vec::new()) };
}

fn with_cache<T>(stamp: u64, f: impl FnOnce(&mut Cache) -> T) -> T {
    CACHES.with_borrow_mut(|caches| {
        if caches.first().is_none_or(|c| c.stamp != stamp) {
            match caches.iter().position(|c| c.stamp == stamp) {
                Some(i) => caches.swap(0, i),
                None => {
                    caches.truncate(MOST_HEAPS - 1);
                    caches.insert(0, Cache { stamp, shapes: Vec::new(), known: 0 });
                }
            }
        }
        f(&mut caches[0])
    })
}

/// The table's offset; `None` before the first record.
fn existing<M: Mem + ?Sized>(m: &M) -> Option<Off> {
    // Acquire pairs with the CAS in `table`: the table and the two roots are complete
    Some(m.segment().header().shapes.load(Acquire)).filter(|&at| at != 0)
}

/// The table, made with its two roots if there is none yet.
fn table<M: Mem + ?Sized>(m: &mut M) -> Res<Off> {
    if let Some(at) = existing(m) {
        return Ok(at);
    }
    let table = m.alloc(HEADS + CHAINS * 8)?.at;
    let page = new_page(m)?;
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(table);
    m.init64(table + STAMP, hasher.finish());
    m.init64(table + HINT, NULL_PROTO as u64 + 1);
    for i in 0..PAGE_COUNT {
        m.init64(table + PAGES + i * 8, if i == 0 { page } else { 0 });
    }
    for i in 0..CHAINS {
        m.init64(table + HEADS + i * 8, 0);
    }
    let mut made = vec![table, page];
    for (id, class) in [(PLAIN, 0), (NULL_PROTO, NULL_PROTO_BIT)] {
        let step = Step { parent: 0, key: 0, class, slots: 0, root: 0 };
        let at = step.build(m)?;
        m.init64(at + ID, id as u64);
        let head = step.head(table);
        let next = shared(m.segment(), head)?.load(Relaxed);
        m.init64(at + NEXT, next);
        m.init64(head, at);
        m.init64(page + ENTRIES + id as u64 * 8, at);
        made.push(at);
    }
    m.finish(table, kind::TABLE, 0, TABLE_OF_SHAPES);
    // AcqRel: publishes all of it; if another was first, pairs with its CAS
    match m.segment().header().shapes.compare_exchange(0, table, AcqRel, Acquire) {
        Ok(_) => {
            made.into_iter().for_each(|at| m.publish(at));
            Ok(table)
        }
        Err(winner) => {
            made.into_iter().for_each(|at| m.free(at));
            Ok(winner)
        }
    }
}

fn new_page<M: Mem + ?Sized>(m: &mut M) -> Res<Off> {
    let page = m.alloc(ENTRIES + PAGE_ENTRIES * 8)?.at;
    for i in 0..PAGE_ENTRIES {
        m.init64(page + ENTRIES + i * 8, 0);
    }
    m.finish(page, kind::TABLE, 0, PAGE_OF_SHAPES);
    Ok(page)
}

/// Where the entry of an id stands; `None` if its page does not exist yet.
fn entry(segment: &Segment, table: Off, id: u64) -> Res<Option<Off>> {
    // Acquire pairs with the CAS in `page_of`: the entries are zeroed
    let page = shared(segment, table + PAGES + id / PAGE_ENTRIES * 8)?.load(Acquire);
    Ok((page != 0).then(|| page + ENTRIES + id % PAGE_ENTRIES * 8))
}

/// As [`entry`]; the page is made if there is none.
fn entry_made<M: Mem + ?Sized>(m: &mut M, table: Off, id: u64) -> Res<Off> {
    if let Some(at) = entry(m.segment(), table, id)? {
        return Ok(at);
    }
    let page = new_page(m)?;
    let at = table + PAGES + id / PAGE_ENTRIES * 8;
    // AcqRel: publishes the zeroed entries; if another was first, pairs with its CAS
    let page = match shared(m.segment(), at)?.compare_exchange(0, page, AcqRel, Acquire) {
        Ok(_) => {
            m.publish(page);
            page
        }
        Err(winner) => {
            m.free(page);
            winner
        }
    };
    Ok(page + ENTRIES + id % PAGE_ENTRIES * 8)
}

/// What identifies a shape: its place in the tree.
#[derive(Clone, Copy)]
struct Step {
    parent: u16,
    key: Off,
    /// Class and null-prototype bit.
    class: u64,
    slots: u16,
    root: u16,
}

impl Step {
    fn head(&self, table: Off) -> Off {
        let mixed =
            (self.key ^ (self.parent as u64) << 48 ^ self.class << 20).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        table + HEADS + (mixed >> 24) % CHAINS * 8
    }
    fn build<M: Mem + ?Sized>(&self, m: &mut M) -> Res<Off> {
        let at = m.alloc(SHAPE_BYTES)?.at;
        m.init64(at + ID, 0);
        m.init64(at + PARENT, self.parent as u64 | (self.slots as u64) << 16 | (self.root as u64) << 32);
        m.init64(at + KEY, self.key);
        m.init64(at + CLASS, self.class);
        m.init64(at + CHILDREN, 0);
        m.init64(at + NEXT, 0);
        m.finish(at, kind::SHAPE, 0, 0);
        Ok(at)
    }
    /// Looks along a chain from `from` up to, but without, `to`.
    fn search(&self, segment: &Segment, from: Off, to: Off) -> Res<Option<Off>> {
        let mut at = from;
        for _ in 0..MOST_STEPS {
            if at == to || at == 0 {
                return Ok(None);
            }
            // Relaxed: the block was published by the CAS of the head (or of a later one) that led here
            if shared(segment, at + KEY)?.load(Relaxed) == self.key
                && shared(segment, at + PARENT)?.load(Relaxed) as u16 == self.parent
                && shared(segment, at + CLASS)?.load(Relaxed) == self.class
            {
                return Ok(Some(at));
            }
            at = shared(segment, at + NEXT)?.load(Relaxed);
        }
        Err(Error::corrupt("a chain of shapes without an end", from).into())
    }
}

/// The SHAPE block at a place of the tree, linked now if there is none; `None` if there is no room for it.
fn link<M: Mem + ?Sized>(m: &mut M, table: Off, step: Step, parent: Option<&Shape>) -> Res<Option<Off>> {
    // Acquire pairs with the CAS of the head: all blocks of the chain are complete
    let mut head = shared(m.segment(), step.head(table))?.load(Acquire);
    if let Some(found) = step.search(m.segment(), head, 0)? {
        return Ok(Some(found));
    }
    if shared(m.segment(), table + HINT)?.load(Relaxed) >= MAX_SHAPES as u64 {
        return Ok(None);
    }
    if let Some(parent) = parent {
        // Relaxed: a limit that may be passed by a few in a race
        if shared(m.segment(), parent.at + CHILDREN)?.load(Relaxed) >= MAX_CHILDREN {
            return Ok(None);
        }
    }
    let at = step.build(m)?;
    loop {
        m.init64(at + NEXT, head);
        // Release publishes the block, its link too; failed: Acquire, look at what is new
        match shared(m.segment(), step.head(table))?.compare_exchange(head, at, AcqRel, Acquire) {
            Ok(_) => break,
            Err(now) => {
                if let Some(twin) = step.search(m.segment(), now, head)? {
                    m.free(at);
                    return Ok(Some(twin));
                }
                head = now;
            }
        }
    }
    m.publish(at);
    if let Some(parent) = parent {
        shared(m.segment(), parent.at + CHILDREN)?.fetch_add(1, Relaxed);
    }
    Ok(Some(at))
}

/// The id of a linked shape, given to it now if it has none; `None` if all are taken.
fn id_of<M: Mem + ?Sized>(m: &mut M, table: Off, shape: Off) -> Res<Option<u16>> {
    let checked = |id: u64| match u16::try_from(id) {
        Ok(id) => Ok(Some(id)),
        Err(_) => Err(Error::corrupt("a shape id that cannot be", shape).into()),
    };
    // Acquire pairs with the CAS below: the page's entry is there
    let id = shared(m.segment(), shape + ID)?.load(Acquire);
    if id != 0 {
        return checked(id);
    }
    let mut id = shared(m.segment(), table + HINT)?.load(Relaxed).max(1);
    while id < MAX_SHAPES as u64 {
        let at = entry_made(m, table, id)?;
        let segment = m.segment();
        let entry = shared(segment, at)?;
        // AcqRel: the block was published before its entry is
        let claimed = entry.compare_exchange(0, shape, AcqRel, Acquire);
        if claimed.is_err() && claimed != Err(shape) {
            id += 1;
            continue;
        }
        // AcqRel: who sees the id finds the entry
        let word = shared(segment, shape + ID)?;
        let given = match word.compare_exchange(0, id, AcqRel, Acquire) {
            Ok(_) => id,
            Err(given) => given,
        };
        if given == id {
            shared(segment, table + HINT)?.fetch_max(id + 1, Relaxed);
        } else if claimed.is_ok() {
            // a helper was quicker with another entry: no record has this id, for the block does not say it.
            // Relaxed: nothing follows from it
            if entry.compare_exchange(shape, 0, Relaxed, Relaxed).is_ok() {
                shared(segment, table + HINT)?.fetch_min(id, Relaxed);
            }
        }
        return checked(given);
    }
    Ok(None)
}

/// The shape of an id that stands in a record's shape word (or is garbage: corrupt).
pub fn info<M: Mem + ?Sized>(m: &M, id: u16) -> Res<Rc<Shape>> {
    let bad = || Error::corrupt("a shape that does not exist", id as u64);
    let Some(table) = existing(m) else { return Err(bad().into()) };
    let segment = m.segment();
    let stamp = shared(segment, table + STAMP)?.load(Relaxed);
    let known = with_cache(stamp, |c| c.shapes.get(id as usize).cloned().flatten());
    if let Some(shape) = known {
        return Ok(shape);
    }
    let Some(entry) = entry(segment, table, id as u64)? else { return Err(bad().into()) };
    // Acquire pairs with the CAS of the entry: the block is complete
    let at = shared(segment, entry)?.load(Acquire);
    if at == 0
        || Word1(shared(segment, at + 8)?.load(Relaxed)).kind() != kind::SHAPE
        || shared(segment, at + ID)?.load(Acquire) != id as u64
    {
        return Err(bad().into());
    }
    let word = shared(segment, at + PARENT)?.load(Relaxed);
    let (parent, slots, root) = (word as u16, (word >> 16) as u16 as usize, (word >> 32) as u16);
    let class = shared(segment, at + CLASS)?.load(Relaxed);
    let key = shared(segment, at + KEY)?.load(Relaxed);
    let mut keys = Vec::with_capacity(slots.min(MAX_KEYS));
    if key != 0 {
        // every parent has one slot less, so this ends
        let parent = shape_below(m, parent, slots)?;
        keys.extend(parent.keys.iter().cloned());
        keys.push(Rc::new(keys::load(segment, key)?));
    }
    if keys.len() != slots {
        return Err(bad().into());
    }
    let mut listed: Vec<u16> = (0..slots as u16).collect();
    listed.sort_by_key(|&slot| keys[slot as usize].rank());
    let by_key = (keys.len() > LINEAR)
        .then(|| keys.iter().enumerate().map(|(slot, key)| (key.clone(), slot as u16)).collect());
    let shape = Rc::new(Shape {
        id,
        root: if root == 0 { id } else { root },
        null_proto: class & NULL_PROTO_BIT != 0,
        class: class as u32,
        keys,
        listed,
        at,
        by_key,
        children: RefCell::default(),
    });
    with_cache(stamp, |c| {
        if c.known >= MOST_KNOWN {
            c.shapes.clear();
            c.known = 0;
        }
        if c.shapes.len() <= id as usize {
            c.shapes.resize(id as usize + 1, None);
        }
        c.known += 1;
        c.shapes[id as usize] = Some(shape.clone());
    });
    Ok(shape)
}

/// The parent of a shape with `slots` slots: it must have one less.
fn shape_below<M: Mem + ?Sized>(m: &M, parent: u16, slots: usize) -> Res<Rc<Shape>> {
    if slots == 0 || slots > MAX_KEYS {
        return Err(Error::corrupt("a shape with too many slots", parent as u64).into());
    }
    let Some(table) = existing(m) else {
        return Err(Error::corrupt("a shape that does not exist", parent as u64).into());
    };
    if let Some(entry) = entry(m.segment(), table, parent as u64)? {
        let at = shared(m.segment(), entry)?.load(Acquire);
        let word = shared(m.segment(), at + PARENT)?.load(Relaxed);
        if at != 0 && (word >> 16) as u16 as usize == slots - 1 {
            return info(m, parent);
        }
    }
    Err(Error::corrupt("a shape whose parent does not fit", parent as u64).into())
}

/// The shape of an empty record, plain or with a null prototype.
pub fn root<M: Mem + ?Sized>(m: &mut M, null_proto: bool) -> Res<Rc<Shape>> {
    table(m)?;
    info(m, if null_proto { NULL_PROTO } else { PLAIN })
}

/// The shape of an instance of a registered class that has no properties; `None` if there is no room for it.
pub fn class_root<M: Mem + ?Sized>(m: &mut M, class: u32) -> Res<Option<Rc<Shape>>> {
    let table = table(m)?;
    let step = Step { parent: 0, key: 0, class: class as u64, slots: 0, root: 0 };
    let Some(at) = link(m, table, step, None)? else { return Ok(None) };
    match id_of(m, table, at)? {
        Some(id) => Ok(Some(info(m, id)?)),
        None => Ok(None),
    }
}

/// The shape with one key more (which the shape must not have); `None` if there is no room for it. A new shape
/// stays whatever becomes of the operation.
pub fn child<M: Mem + ?Sized>(m: &mut M, parent: &Shape, key: &Key) -> Res<Option<Rc<Shape>>> {
    let known = parent.children.borrow().get(key).copied();
    if let Some(id) = known {
        return info(m, id).map(Some);
    }
    if parent.len() >= MAX_KEYS {
        return Ok(None);
    }
    let table = table(m)?;
    let key_at = match keys::find(m, key)? {
        Some(at) => at,
        None if !has_room(m, table, parent)? => return Ok(None),
        None => keys::intern(m, key)?,
    };
    let step = Step {
        parent: parent.id,
        key: key_at,
        class: parent.class as u64 | if parent.null_proto { NULL_PROTO_BIT } else { 0 },
        slots: parent.len() as u16 + 1,
        root: parent.root,
    };
    let Some(at) = link(m, table, step, Some(parent))? else { return Ok(None) };
    let Some(id) = id_of(m, table, at)? else { return Ok(None) };
    let shape = info(m, id)?;
    let Some(key) = shape.keys.last() else {
        return Err(Error::corrupt("a shape without its key", at).into());
    };
    parent.children.borrow_mut().insert(key.clone(), id);
    Ok(Some(shape))
}

/// True if `parent` may get another child: a key that no shape has is not interned in vain.
fn has_room<M: Mem + ?Sized>(m: &M, table: Off, parent: &Shape) -> Res<bool> {
    let segment = m.segment();
    Ok(shared(segment, table + HINT)?.load(Relaxed) < MAX_SHAPES as u64
        && shared(segment, parent.at + CHILDREN)?.load(Relaxed) < MAX_CHILDREN)
}

/// The shape with exactly these keys in this order; `None` if there is no room for it, or a key comes twice.
pub fn of<'a, M: Mem + ?Sized>(
    m: &mut M,
    null_proto: bool,
    keys: impl IntoIterator<Item = &'a Key>,
) -> Res<Option<Rc<Shape>>> {
    let mut shape = root(m, null_proto)?;
    for key in keys {
        if shape.slot(key).is_some() {
            return Ok(None);
        }
        match child(m, &shape, key)? {
            Some(next) => shape = next,
            None => return Ok(None),
        }
    }
    Ok(Some(shape))
}

#[cfg(test)]
mod tests;
