//! Maps and sets: hash tables that keep the order of insertion (the "deterministic hash table" of Tyler Close, as
//! JavaScript engines use it), with SameValueZero keys and, when large, sixteen version words.
//!
//! ```text
//! MAP or SET   +0  word 0: the map word
//!              +8  word 1, low half: 31 destroyed
//!              +16 entries used in the body 32 | size 32
//!              +24 offset of the body, or 0
//!              +32 next insertion number while there is no body (48 bits; numbers start from 1)
//!              +40 stripes: see [`crate::stripes`]
//!              +48 every entry before this one is deleted
//!              +56 0
//! ```
//!
//! * A lookup, and the change of an existing key's value, touch one version word: the key's stripe, or the map
//!   word of a map without stripes. The change of a number is one store.
//! * An insertion into a map without stripes is five stores under one word, unless the body is full.
//! * A deletion unlinks the entry from its chain and leaves a tombstone in the order; it needs no memory.
//! * Rehash builds a new body without the tombstones and swaps it in; clear takes the body away. Both take every
//!   version word.
//!
//! A map owns its by-value keys and values: overwriting, deleting and clearing free them. The functions take any
//! identity that is a map or a set; a set is a map without values.

use std::sync::atomic::Ordering::Relaxed;

use coheap_segment::word::Word1;
use coheap_segment::{Code, Error, Off};
use coheap_txn::{Fault, Guard, Mem, Res};

use crate::cell::{Cell, Tag, kind};
use crate::destroy;
use crate::map_body::{Body, Entry, Item, link};
use crate::mapkey::MapKey;
use crate::shape::ShapeWord;
use crate::stripes::{self, Locks, STRIPED_ABOVE};
use crate::value;

pub(crate) const COUNTS: u64 = 16;
pub(crate) const BODY: u64 = 24;
pub(crate) const NEXT: u64 = 32;
pub(crate) const STRIPES: u64 = 40;
pub(crate) const FIRST: u64 = 48;
const BYTES: u64 = 64;

/// How far a deletion looks for the first entry that is left.
const SCAN: u64 = 64;

/// A fresh, empty map (`Tag::Map`) or set (`Tag::Set`).
pub fn create<M: Mem + ?Sized>(m: &mut M, tag: Tag) -> Res<Off> {
    let at = m.alloc(BYTES)?.at;
    init(m, at, tag, 0, 0, 0);
    Ok(at)
}

/// The bytes of a map's identity block, for a builder that allocates it before its members.
pub(crate) const IDENTITY_BYTES: u64 = BYTES;

/// Writes the identity block of a fresh map and brings it to life.
pub(crate) fn init<M: Mem + ?Sized>(m: &mut M, at: Off, tag: Tag, len: u64, body: Off, stripes: Off) {
    m.init64(at + COUNTS, len << 32 | len);
    m.init64(at + BODY, body);
    m.init64(at + NEXT, 1);
    m.init64(at + STRIPES, stripes);
    m.init64(at + FIRST, 0);
    m.init64(at + 56, 0);
    m.finish(at, if tag == Tag::Set { kind::SET } else { kind::MAP }, 0, 0);
}

/// Where a key was found.
struct Found {
    body: Body,
    entry: Entry,
    index: u64,
    /// The word that refers to the entry, bucket or link, and what it held.
    from: Off,
    from_word: u64,
    /// The entry's link word.
    link: u64,
}

/// True for a map, false for a set, an error for anything else.
pub(crate) fn is_map<M: Mem + ?Sized>(m: &mut M, guard: Guard, map: Off) -> Res<bool> {
    let head = Word1(m.load64(guard, map.wrapping_add(8))?);
    match head.kind() {
        kind::MAP | kind::SET if head.low() & ShapeWord::DESTROYED != 0 => {
            Err(Fault::Error(Error::new(Code::Destroyed, "the map or set has been destroyed")))
        }
        kind::MAP => Ok(true),
        kind::SET => Ok(false),
        _ => Err(Fault::Error(Error::corrupt("a map that is none", map))),
    }
}

pub(crate) fn body<M: Mem + ?Sized>(m: &mut M, guard: Guard, map: Off) -> Res<Option<Body>> {
    match m.load64(guard, map + BODY)? {
        0 => Ok(None),
        at => Body::load(m, guard, at).map(Some),
    }
}

/// {entries used, size}
pub(crate) fn counts<M: Mem + ?Sized>(m: &mut M, guard: Guard, map: Off) -> Res<(u64, u64)> {
    let word = m.load64(guard, map + COUNTS)?;
    Ok((word >> 32, word & 0xffff_ffff))
}

fn find<M: Mem + ?Sized>(
    m: &mut M,
    guard: Guard,
    body: Body,
    key: &MapKey<'_>,
    hash: u32,
) -> Res<Option<Found>> {
    let mut from = body.bucket(hash);
    let mut from_word = m.load64(guard, from)?;
    for _ in 0..=body.capacity {
        let index = from_word & 0xffff_ffff;
        if index == 0 {
            return Ok(None);
        }
        let entry = body.entry(index - 1)?;
        let link = m.load64(guard, entry.link())?;
        if (link >> 32) as u32 == hash {
            let cell = Cell(m.load64(guard, entry.key())?);
            if key.matches(m, guard, cell)? {
                return Ok(Some(Found { body, entry, index: index - 1, from, from_word, link }));
            }
        }
        (from, from_word) = (entry.link(), link);
    }
    Err(Fault::Error(Error::corrupt("a bucket's chain without an end", body.at)))
}

/// What a look for a key gives.
struct Lookup {
    locks: Locks,
    hash: u32,
    /// The version word of this key.
    guard: Guard,
    found: Option<Found>,
}

fn lookup<M: Mem + ?Sized>(m: &mut M, map: Off, key: &MapKey<'_>) -> Res<Lookup> {
    let hash = key.hash(m, 0);
    let locks = stripes::locks(m, map, map + STRIPES)?;
    let guard = locks.of(hash);
    is_map(m, guard, map)?;
    let found = match body(m, guard, map)? {
        Some(body) => find(m, guard, body, key, hash)?,
        None => None,
    };
    Ok(Lookup { locks, hash, guard, found })
}

/// The value of `key` and the version word that guards it: what it refers to by value is to be loaded under that.
pub fn get<M: Mem + ?Sized>(m: &mut M, map: Off, key: &MapKey<'_>) -> Res<Option<(Cell, Guard)>> {
    let Lookup { guard, found, .. } = lookup(m, map, key)?;
    match found.map(|found| found.entry.value()) {
        Some(Some(value)) => Ok(Some((Cell(m.load64(guard, value)?), guard))),
        Some(None) => Err(Fault::Error(Error::corrupt("a value asked of a set", map))),
        None => Ok(None),
    }
}

/// Where an entry stands, for who looks at it again without going by the key. While the body and the stripes' word are
/// these, the entry's key cell is this one and the key's block has this word 0, under a look at the guard before and
/// after, it is the entry of the same key: nothing is moved within a body, and a block's version never recurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The version word of this key.
    pub guard: Guard,
    /// The map's body.
    pub body: Off,
    /// The map's word 5, see [`crate::stripes`].
    pub stripes: u64,
    /// Where the key's cell stands; the value's is the next word.
    pub key_at: Off,
    /// The key's cell.
    pub key: Cell,
    /// Word 0 of the block that the key's cell refers to; 0 if it refers to none.
    pub key_word: u64,
}

/// As [`get`], and where the entry stands. Only of a value that stands in its cell.
pub fn get_place<M: Mem + ?Sized>(
    m: &mut M,
    map: Off,
    key: &MapKey<'_>,
) -> Res<Option<(Cell, Guard, Option<Place>)>> {
    let Lookup { guard, found, .. } = lookup(m, map, key)?;
    let Some(found) = found else { return Ok(None) };
    let Some(at) = found.entry.value() else {
        return Err(Fault::Error(Error::corrupt("a value asked of a set", map)));
    };
    let value = Cell(m.load64(guard, at)?);
    if value.is_by_value_block() || value.is_identity() {
        return Ok(Some((value, guard, None)));
    }
    let key = Cell(m.load64(guard, found.entry.key())?);
    // Relaxed: the entry owns the key's block, and both are validated with the guard
    let key_word = match key.is_by_value_block() || key.is_identity() {
        true => m.segment().word(key.offset())?.load(Relaxed),
        false => 0,
    };
    // final, or guarded by the map word, which is the guard then
    let stripes = m.load64(guard, map + STRIPES)?;
    let key_at = found.entry.key();
    let place = Place { guard, body: found.body.at, stripes, key_at, key, key_word };
    Ok(Some((value, guard, Some(place))))
}

/// True if the map or set has this key.
pub fn has<M: Mem + ?Sized>(m: &mut M, map: Off, key: &MapKey<'_>) -> Res<bool> {
    Ok(lookup(m, map, key)?.found.is_some())
}

/// The number of entries.
pub fn size<M: Mem + ?Sized>(m: &mut M, map: Off) -> Res<u64> {
    is_map(m, Guard(map), map)?;
    Ok(counts(m, Guard(map), map)?.1)
}

/// Gives `key` the value `value`, which the map then owns. `build` makes the key's cell; it is called only if the
/// key is new. True if the key was there.
pub fn set<M: Mem + ?Sized>(
    m: &mut M,
    map: Off,
    key: &MapKey<'_>,
    build: impl FnOnce(&mut M) -> Res<Cell>,
    value: Cell,
) -> Res<bool> {
    let Lookup { locks, hash, guard, found } = lookup(m, map, key)?;
    if let Some(found) = found {
        let Some(at) = found.entry.value() else {
            return Err(Fault::Error(Error::corrupt("a value given to a set", map)));
        };
        let old = Cell(m.load64(guard, at)?);
        value::free(m, guard, old)?;
        m.store64(guard, at, value.0)?;
        return Ok(true);
    }
    let cell = build(m)?;
    insert(m, map, locks, settled(m, key, hash, cell), cell, value)?;
    Ok(false)
}

/// The value that `key` has; if it has none, the one that `make` gives, which the map then owns. With the version
/// word that guards the value, and whether it is new.
pub fn get_or_insert<M: Mem + ?Sized>(
    m: &mut M,
    map: Off,
    key: &MapKey<'_>,
    build: impl FnOnce(&mut M) -> Res<Cell>,
    make: impl FnOnce(&mut M) -> Res<Cell>,
) -> Res<(Cell, Guard, bool)> {
    let Lookup { locks, hash, guard, found } = lookup(m, map, key)?;
    if let Some(found) = found {
        let Some(at) = found.entry.value() else {
            return Err(Fault::Error(Error::corrupt("a value asked of a set", map)));
        };
        return Ok((Cell(m.load64(guard, at)?), guard, false));
    }
    let (cell, value) = (build(m)?, make(m)?);
    let hash = settled(m, key, hash, cell);
    insert(m, map, locks, hash, cell, value)?;
    Ok((value, locks.of(hash), true))
}

/// Puts `key` into a set. True if it was there.
pub fn add<M: Mem + ?Sized>(
    m: &mut M,
    set: Off,
    key: &MapKey<'_>,
    build: impl FnOnce(&mut M) -> Res<Cell>,
) -> Res<bool> {
    let Lookup { locks, hash, found, .. } = lookup(m, set, key)?;
    if found.is_some() {
        return Ok(true);
    }
    let cell = build(m)?;
    insert(m, set, locks, settled(m, key, hash, cell), cell, Cell::ABSENT)?;
    Ok(false)
}

/// A key that was in no map before its cell was made: a new live object is found by identity from now on; a
/// by-value object equals nothing and is spread by where it lies.
fn settled<M: Mem + ?Sized>(m: &M, key: &MapKey<'_>, hash: u32, cell: Cell) -> u32 {
    match key {
        MapKey::Unique if cell.is_identity() => MapKey::Bits(cell.0).hash(m, 0),
        MapKey::Unique => key.hash(m, cell.0),
        _ => hash,
    }
}

/// Appends an entry whose key is not there. If the map has stripes that wait for it, they come into use.
fn insert<M: Mem + ?Sized>(m: &mut M, map: Off, locks: Locks, hash: u32, key: Cell, value: Cell) -> Res<()> {
    let mut ready = None;
    if !locks.striped() && m.load64(locks.map, map + STRIPES)? & stripes::PENDING != 0 {
        ready = stripes::activate(m, map + STRIPES)?;
    }
    append(m, map, locks, hash, key, value)?;
    match ready {
        Some(block) => m.store64(locks.map, map + STRIPES, block),
        None => Ok(()),
    }
}

fn append<M: Mem + ?Sized>(m: &mut M, map: Off, locks: Locks, hash: u32, key: Cell, value: Cell) -> Res<()> {
    let word = locks.map;
    let (used, size) = counts(m, word, map)?;
    let body = match body(m, word, map)? {
        Some(body) if used < body.capacity => body,
        body => return rehash(m, map, locks, body, used, size, (hash, key, value)),
    };
    let guard = locks.of(hash);
    let (bucket, entry) = (body.bucket(hash), body.entry(used)?);
    let head = m.load64(guard, bucket)?;
    m.store64(guard, entry.link(), link(hash, head))?;
    m.store64(guard, entry.key(), key.0)?;
    if let Some(at) = entry.value() {
        m.store64(guard, at, value.0)?;
    }
    m.store64(guard, bucket, used + 1)?;
    m.store64(word, map + COUNTS, (used + 1) << 32 | (size + 1))
}

/// A new body without tombstones and with one entry more.
fn rehash<M: Mem + ?Sized>(
    m: &mut M,
    map: Off,
    locks: Locks,
    old: Option<Body>,
    used: u64,
    size: u64,
    (hash, key, value): (u32, Cell, Cell),
) -> Res<()> {
    locks.reserve_all(m)?;
    let word = locks.map;
    let wide = is_map(m, word, map)?;
    let mut items = Vec::new();
    let mut next = m.load64(word, map + NEXT)?;
    if let Some(body) = old {
        for index in 0..used.min(body.capacity) {
            let entry = body.entry(index)?;
            let item = load_item(m, locks, entry)?;
            next = item.number + 1;
            if item.key != Cell::ABSENT {
                items.push(item);
            }
        }
        if items.len() as u64 != size {
            return Err(Fault::Error(Error::corrupt("a map's size that is not its entries'", map)));
        }
    }
    items.push(Item { number: next, hash, key, value });
    if next >> 48 != 0 {
        return Err(Fault::Error(Error::new(Code::OutOfMemory, "a map's insertion numbers are used up")));
    }
    let capacity = Body::capacity_for(size, old.map_or(0, |body| body.capacity));
    let body = Body::write(m, wide, capacity, &items, next + 1)?;
    if capacity > STRIPED_ABOVE && m.load64(word, map + STRIPES)? == 0 {
        let block = stripes::create(m)?;
        m.store64(word, map + STRIPES, block | stripes::PENDING)?;
    }
    m.store64(word, map + BODY, body.at)?;
    m.store64(word, map + COUNTS, (size + 1) << 32 | (size + 1))?;
    m.store64(word, map + FIRST, 0)?;
    if let Some(body) = old {
        m.free(body.at);
    }
    Ok(())
}

/// An entry as it is; its key is `ABSENT` if it was deleted. In a map with stripes the value is read under its own.
pub(crate) fn load_item<M: Mem + ?Sized>(m: &mut M, locks: Locks, entry: Entry) -> Res<Item> {
    let number = m.load64(locks.map, entry.number())?;
    let key = Cell(m.load64(locks.map, entry.key())?);
    if key == Cell::ABSENT {
        return Ok(Item { number, hash: 0, key, value: Cell::ABSENT });
    }
    let hash = (m.load64(locks.map, entry.link())? >> 32) as u32;
    let value = match entry.value() {
        Some(at) => Cell(m.load64(locks.of(hash), at)?),
        None => Cell::ABSENT,
    };
    Ok(Item { number, hash, key, value })
}

/// Takes `key` out. True if it was there.
pub fn delete<M: Mem + ?Sized>(m: &mut M, map: Off, key: &MapKey<'_>) -> Res<bool> {
    let Lookup { locks, guard, found, .. } = lookup(m, map, key)?;
    let Some(found) = found else {
        return Ok(false);
    };
    let word = locks.map;
    let (used, size) = counts(m, word, map)?;
    let old_key = Cell(m.load64(guard, found.entry.key())?);
    value::free(m, guard, old_key)?;
    if let Some(at) = found.entry.value() {
        let old = Cell(m.load64(guard, at)?);
        value::free(m, guard, old)?;
    }
    let mut first = m.load64(word, map + FIRST)?;
    let is_first = first == found.index;
    if is_first {
        first += 1;
        let end = used.min(found.body.capacity).min(first + SCAN);
        while first < end && Cell(m.load64(word, found.body.entry(first)?.key())?) == Cell::ABSENT {
            first += 1;
        }
    }
    // a bucket holds the number alone, a link its entry's hash as well
    let next = found.link & 0xffff_ffff;
    m.store64(guard, found.from, found.from_word & !0xffff_ffff | next)?;
    m.store64(guard, found.entry.key(), Cell::ABSENT.0)?;
    if let Some(at) = found.entry.value() {
        m.store64(guard, at, Cell::ABSENT.0)?;
    }
    m.store64(word, map + COUNTS, used << 32 | size.saturating_sub(1))?;
    if is_first {
        m.store64(word, map + FIRST, first)?;
    }
    Ok(true)
}

/// Destroys a map or a set: see [`crate::destroy`].
pub fn destroy<M: Mem + ?Sized>(m: &mut M, map: Off) -> Res<()> {
    let locks = stripes::locks(m, map, map + STRIPES)?;
    is_map(m, locks.map, map)?;
    // readers that go by a stripe see that as a change of it
    locks.reserve_all(m)?;
    clear(m, map)?;
    destroy::mark(m, map)
}

/// Takes every entry out. Its iterators go on with what is inserted later.
pub fn clear<M: Mem + ?Sized>(m: &mut M, map: Off) -> Res<()> {
    let locks = stripes::locks(m, map, map + STRIPES)?;
    let word = locks.map;
    is_map(m, word, map)?;
    let Some(body) = body(m, word, map)? else {
        return Ok(());
    };
    locks.reserve_all(m)?;
    let (used, _) = counts(m, word, map)?;
    let mut next = m.load64(word, map + NEXT)?;
    let mut garbage = Vec::new();
    for index in 0..used.min(body.capacity) {
        let item = load_item(m, locks, body.entry(index)?)?;
        next = item.number + 1;
        let guard = locks.of(item.hash);
        garbage
            .extend([item.key, item.value].into_iter().filter(|c| c.is_by_value_block()).map(|c| (guard, c)));
    }
    for (guard, cell) in garbage {
        value::free(m, guard, cell)?;
    }
    m.free(body.at);
    m.store64(word, map + BODY, 0)?;
    m.store64(word, map + COUNTS, 0)?;
    m.store64(word, map + NEXT, next)?;
    m.store64(word, map + FIRST, 0)
}
