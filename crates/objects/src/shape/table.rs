//! The table of shapes (header's `shapes`): insert-only, bounded at 65,535 shapes and 64 keys a shape.
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

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use coheap_segment::word::Word1;
use coheap_segment::{Error, Off, Segment};
use coheap_txn::{Mem, Res};

use super::{NULL_PROTO, PLAIN};
use crate::cell::kind;
use crate::keys::shared;

/// Ids are below this.
pub const MAX_SHAPES: u32 = 1 << 16;
/// Ids from here on are kept for roots: a program that makes ever new shapes can still store instances of one more class.
const MOST_CHILDREN_IN_ALL: u64 = MAX_SHAPES as u64 - 256;
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
/// Where a SHAPE block tells class and null-prototype bit.
pub const CLASS: u64 = 40;
const CHILDREN: u64 = 48;
const SHAPE_BYTES: u64 = 64;
pub(super) const NULL_PROTO_BIT: u64 = 1 << 32;
/// More steps along a chain than this: corrupt.
const MOST_STEPS: u32 = 1 << 17;

/// The table's offset: there must be a record, and so a table.
pub(super) fn existing(segment: &Segment) -> Res<Off> {
    // Acquire pairs with the CAS in `made`: the table and the two roots are complete
    match segment.header().shapes.load(Acquire) {
        0 => Err(Error::corrupt("a heap without shapes", 0).into()),
        at => Ok(at),
    }
}

/// The table, made with its two roots if there is none yet.
pub(super) fn made<M: Mem + ?Sized>(m: &mut M) -> Res<Off> {
    // Acquire as in `existing`
    let at = m.segment().header().shapes.load(Acquire);
    if at != 0 {
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
        let next = shared(m.segment(), head, 0)?.load(Relaxed);
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

/// The random number that caches of this heap's shapes are tied to.
pub(super) fn stamp(segment: &Segment, table: Off) -> Res<u64> {
    // Relaxed: written before the table was published
    Ok(shared(segment, table, STAMP)?.load(Relaxed))
}

/// The block of an id and what it says; corrupt if page and block do not agree.
pub(super) fn read(segment: &Segment, table: Off, id: u16) -> Res<(Off, Step)> {
    let bad = || Error::corrupt("a shape that does not exist", id as u64);
    let Some(entry) = entry(segment, table, id as u64)? else { return Err(bad().into()) };
    // Acquire pairs with the CAS of the entry: the block is complete
    let at = shared(segment, entry, 0)?.load(Acquire);
    // Acquire pairs with the CAS of the id
    if at == 0
        || Word1(shared(segment, at, 8)?.load(Relaxed)).kind() != kind::SHAPE
        || shared(segment, at, ID)?.load(Acquire) != id as u64
    {
        return Err(bad().into());
    }
    let word = shared(segment, at, PARENT)?.load(Relaxed);
    let step = Step {
        parent: word as u16,
        slots: (word >> 16) as u16,
        root: (word >> 32) as u16,
        class: shared(segment, at, CLASS)?.load(Relaxed),
        key: shared(segment, at, KEY)?.load(Relaxed),
    };
    Ok((at, step))
}

/// True if there is room for one more shape, a child of that in the block at `parent`.
pub(super) fn has_room(segment: &Segment, parent: Off) -> Res<bool> {
    let table = existing(segment)?;
    // Relaxed: limits that may be passed by a few in a race
    Ok(shared(segment, table, HINT)?.load(Relaxed) < MOST_CHILDREN_IN_ALL
        && shared(segment, parent, CHILDREN)?.load(Relaxed) < MAX_CHILDREN)
}

/// The id of the shape at a place of the tree, if there is one that has got it.
pub(super) fn find(segment: &Segment, step: Step) -> Res<Option<u16>> {
    let table = existing(segment)?;
    // Acquire pairs with the CAS of the head: all blocks of the chain are complete
    let head = shared(segment, step.head(table), 0)?.load(Acquire);
    let Some(at) = step.search(segment, head, 0)? else { return Ok(None) };
    // Acquire pairs with the CAS of the id: the page's entry is there
    match shared(segment, at, ID)?.load(Acquire) {
        0 => Ok(None),
        id => checked(id, at).map(Some),
    }
}

/// The id of the shape at a place of the tree, a child of that in the block at `parent`, if it is no root; made
/// now if there is none; `None` if there is no room for it.
pub(super) fn shape_at<M: Mem + ?Sized>(m: &mut M, step: Step, parent: Option<Off>) -> Res<Option<u16>> {
    let table = made(m)?;
    match link(m, table, step, parent)? {
        Some(at) => id_of(m, table, at),
        None => Ok(None),
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
    let page = shared(segment, table, PAGES + id / PAGE_ENTRIES * 8)?.load(Acquire);
    Ok((page != 0).then(|| page.wrapping_add(ENTRIES + id % PAGE_ENTRIES * 8)))
}

/// As [`entry`]; the page is made if there is none.
pub(super) fn entry_made<M: Mem + ?Sized>(m: &mut M, table: Off, id: u64) -> Res<Off> {
    if let Some(at) = entry(m.segment(), table, id)? {
        return Ok(at);
    }
    let page = new_page(m)?;
    let at = table + PAGES + id / PAGE_ENTRIES * 8;
    // AcqRel: publishes the zeroed entries; if another was first, pairs with its CAS
    let page = match shared(m.segment(), at, 0)?.compare_exchange(0, page, AcqRel, Acquire) {
        Ok(_) => {
            m.publish(page);
            page
        }
        Err(winner) => {
            m.free(page);
            winner
        }
    };
    Ok(page.wrapping_add(ENTRIES + id % PAGE_ENTRIES * 8))
}

/// What identifies a shape: its place in the tree.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub parent: u16,
    /// The interned key; 0 for a root.
    pub key: Off,
    /// Class and null-prototype bit.
    pub class: u64,
    pub slots: u16,
    /// 0: the shape itself.
    pub root: u16,
}

impl Step {
    fn head(&self, table: Off) -> Off {
        let mixed =
            (self.key ^ (self.parent as u64) << 48 ^ self.class << 20).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        table.wrapping_add(HEADS + (mixed >> 24) % CHAINS * 8)
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
            if shared(segment, at, KEY)?.load(Relaxed) == self.key
                && shared(segment, at, PARENT)?.load(Relaxed) as u16 == self.parent
                && shared(segment, at, CLASS)?.load(Relaxed) == self.class
            {
                return Ok(Some(at));
            }
            at = shared(segment, at, NEXT)?.load(Relaxed);
        }
        Err(Error::corrupt("a chain of shapes without an end", from).into())
    }
}

/// The SHAPE block at a place of the tree, linked now if there is none; `None` if there is no room for it.
pub(super) fn link<M: Mem + ?Sized>(
    m: &mut M,
    table: Off,
    step: Step,
    parent: Option<Off>,
) -> Res<Option<Off>> {
    // Acquire pairs with the CAS of the head: all blocks of the chain are complete
    let mut head = shared(m.segment(), step.head(table), 0)?.load(Acquire);
    if let Some(found) = step.search(m.segment(), head, 0)? {
        return Ok(Some(found));
    }
    // Relaxed: as in `has_room`
    let has_room = match parent {
        Some(parent) => has_room(m.segment(), parent)?,
        None => shared(m.segment(), table, HINT)?.load(Relaxed) < MAX_SHAPES as u64,
    };
    if !has_room {
        return Ok(None);
    }
    let at = step.build(m)?;
    loop {
        m.init64(at + NEXT, head);
        // Release publishes the block, its link too; failed: Acquire, look at what is new
        match shared(m.segment(), step.head(table), 0)?.compare_exchange(head, at, AcqRel, Acquire) {
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
        shared(m.segment(), parent, CHILDREN)?.fetch_add(1, Relaxed);
    }
    Ok(Some(at))
}

fn checked(id: u64, shape: Off) -> Res<u16> {
    u16::try_from(id).map_err(|_| Error::corrupt("a shape id that cannot be", shape).into())
}

/// The id of a linked shape, given to it now if it has none; `None` if all are taken.
fn id_of<M: Mem + ?Sized>(m: &mut M, table: Off, shape: Off) -> Res<Option<u16>> {
    // Acquire pairs with the CAS below: the page's entry is there
    let id = shared(m.segment(), shape, ID)?.load(Acquire);
    if id != 0 {
        return checked(id, shape).map(Some);
    }
    let mut id = shared(m.segment(), table, HINT)?.load(Relaxed).max(1);
    while id < MAX_SHAPES as u64 {
        let at = entry_made(m, table, id)?;
        let segment = m.segment();
        let entry = shared(segment, at, 0)?;
        // AcqRel: the block was published before its entry is
        let claimed = entry.compare_exchange(0, shape, AcqRel, Acquire);
        if claimed.is_err() && claimed != Err(shape) {
            id += 1;
            continue;
        }
        // AcqRel: who sees the id finds the entry
        let word = shared(segment, shape, ID)?;
        let given = match word.compare_exchange(0, id, AcqRel, Acquire) {
            Ok(_) => id,
            Err(given) => given,
        };
        if given == id {
            shared(segment, table, HINT)?.fetch_max(id + 1, Relaxed);
        } else if claimed.is_ok() {
            // a helper was quicker with another entry: no record has this id, for the block does not say it.
            // Relaxed: nothing follows from it
            if entry.compare_exchange(shape, 0, Relaxed, Relaxed).is_ok() {
                shared(segment, table, HINT)?.fetch_min(id, Relaxed);
            }
        }
        return checked(given, shape).map(Some);
    }
    Ok(None)
}
