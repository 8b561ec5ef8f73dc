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
//! A class is known by its name: [`class_of`]. What stands in shared memory: [`table`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use coheap_segment::{Code, Error, Off, Segment};
use coheap_txn::{Mem, Res};

use crate::key::Key;
use crate::keys;
use crate::string::Str;

pub mod table;

use table::Step;
pub use table::{
    CHAINS, CLASS, ENTRIES, HEADS, KEY, MAX_CHILDREN, MAX_SHAPES, NEXT, PAGE_COUNT, PAGE_ENTRIES,
    PAGE_OF_SHAPES, PAGES, TABLE_OF_SHAPES,
};

/// The shape of `{}`.
pub const PLAIN: u16 = 1;
/// The shape of `Object.create(null)`.
pub const NULL_PROTO: u16 = 2;
/// The most keys of a shape; a record with more is a dictionary.
pub const MAX_KEYS: usize = 64;

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

/// Process-local, randomly seeded.
type Keyed = HashMap<Rc<Key>, u16, rapidhash::fast::RandomState>;

/// What a thread knows of a shape: complete and for ever true.
#[derive(Debug)]
pub struct Shape {
    /// Its id.
    pub id: u16,
    /// The id of the empty shape that it grew from.
    pub root: u16,
    /// Its prototype is null.
    pub null_proto: bool,
    /// The registered class of its instances ([`class_of`]); 0 none.
    pub class: u32,
    /// The key of each slot.
    pub keys: Vec<Rc<Key>>,
    /// The slots in the order in which own keys are listed.
    pub listed: Vec<u16>,
    at: Off,
    by_key: Option<Keyed>,
    children: RefCell<Keyed>,
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

/// The shape of an id that stands in a record's shape word (or is garbage: corrupt).
pub fn info<M: Mem + ?Sized>(m: &M, id: u16) -> Res<Rc<Shape>> {
    let segment = m.segment();
    let table = table::existing(segment)?;
    let stamp = table::stamp(segment, table)?;
    let known = with_cache(stamp, |c| c.shapes.get(id as usize).cloned().flatten());
    if let Some(shape) = known {
        return Ok(shape);
    }
    let bad = || Error::corrupt("a shape whose keys do not fit", id as u64);
    let (at, step) = table::read(segment, table, id)?;
    let mut keys = Vec::with_capacity(MAX_KEYS.min(step.slots as usize));
    if step.key != 0 {
        // every parent has one slot less, so this ends
        let (_, below) = table::read(segment, table, step.parent)?;
        if step.slots == 0 || step.slots as usize > MAX_KEYS || below.slots != step.slots - 1 {
            return Err(bad().into());
        }
        let parent = info(m, step.parent)?;
        let key = keys::load(segment, step.key)?;
        if parent.slot(&key).is_some() {
            return Err(bad().into());
        }
        keys.extend(parent.keys.iter().cloned());
        keys.push(Rc::new(key));
    }
    if keys.len() != step.slots as usize {
        return Err(bad().into());
    }
    let mut listed: Vec<u16> = (0..step.slots).collect();
    listed.sort_by_key(|&slot| keys[slot as usize].rank());
    let by_key = (keys.len() > LINEAR)
        .then(|| keys.iter().enumerate().map(|(slot, key)| (key.clone(), slot as u16)).collect());
    let shape = Rc::new(Shape {
        id,
        root: if step.root == 0 { id } else { step.root },
        null_proto: step.class & table::NULL_PROTO_BIT != 0,
        class: step.class as u32,
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

/// The shape of an empty record, plain or with a null prototype.
pub fn root<M: Mem + ?Sized>(m: &mut M, null_proto: bool) -> Res<Rc<Shape>> {
    table::made(m)?;
    without_keys(info(m, if null_proto { NULL_PROTO } else { PLAIN })?)
}

/// A root, if it is one.
fn without_keys(shape: Rc<Shape>) -> Res<Rc<Shape>> {
    if shape.is_empty() {
        Ok(shape)
    } else {
        Err(Error::corrupt("a root of shapes that has keys", shape.id as u64).into())
    }
}

/// The number of the class of this name: 1/16 of the offset of its name, which is interned as a key. The same in every
/// process, for the life of the heap.
pub fn class_of<M: Mem + ?Sized>(m: &mut M, name: &Str) -> Res<u32> {
    let at = keys::intern(m, &Key::string(name.clone()))?;
    // a block stands at a multiple of 16, in a segment of at most 64 GiB
    u32::try_from(at / CLASS_UNIT).map_err(|_| Error::corrupt("a key beyond the segment", at).into())
}

/// The name of a class.
pub fn class_name(segment: &Segment, class: u32) -> Res<Str> {
    Ok(keys::load(segment, class_block(class))?.text().clone())
}

/// The block of a class's name.
pub const fn class_block(class: u32) -> Off {
    class as u64 * CLASS_UNIT
}

const CLASS_UNIT: u64 = 16;

/// The shape of an instance of a registered class that has no properties.
pub fn class_root<M: Mem + ?Sized>(m: &mut M, class: u32) -> Res<Rc<Shape>> {
    let step = Step { parent: 0, key: 0, class: class as u64, slots: 0, root: 0 };
    match table::shape_at(m, step, None)? {
        Some(id) => without_keys(info(m, id)?),
        None => Err(Error::new(Code::OutOfMemory, "no room for the shape of one more class").into()),
    }
}

/// What there is below a place of the tree; see [`find_child`].
#[derive(Clone, Debug)]
pub enum Found {
    /// The shape.
    Known(Rc<Shape>),
    /// None yet.
    NotYet,
    /// None, nor room for one.
    NoRoom,
}

/// As [`class_root`], for a class's name, if there is such a shape. Makes nothing.
pub fn find_class_root<M: Mem + ?Sized>(m: &M, name: &Str) -> Res<Option<Rc<Shape>>> {
    let Some(at) = keys::find(m, &Key::string(name.clone()))? else { return Ok(None) };
    let step = Step { parent: 0, key: 0, class: at / CLASS_UNIT, slots: 0, root: 0 };
    match table::find(m.segment(), step)? {
        Some(id) => without_keys(info(m, id)?).map(Some),
        None => Ok(None),
    }
}

/// As [`child`], if there is such a shape. Makes nothing.
pub fn find_child<M: Mem + ?Sized>(m: &M, parent: &Shape, key: &Key) -> Res<Found> {
    if let Some(at) = keys::find(m, key)?
        && let Some(id) = table::find(m.segment(), step(parent, at))?
    {
        return longer(parent, info(m, id)?).map(Found::Known);
    }
    let room = parent.len() < MAX_KEYS && table::has_room(m.segment(), parent.at)?;
    Ok(if room { Found::NotYet } else { Found::NoRoom })
}

/// The place below `parent` under an interned key.
fn step(parent: &Shape, key: Off) -> Step {
    Step {
        parent: parent.id,
        key,
        class: parent.class as u64 | if parent.null_proto { table::NULL_PROTO_BIT } else { 0 },
        slots: parent.len() as u16 + 1,
        root: parent.root,
    }
}

/// The shape with one key more (which the shape must not have); `None` if there is no room for it. A new shape
/// stays whatever becomes of the operation.
pub fn child<M: Mem + ?Sized>(m: &mut M, parent: &Shape, key: &Key) -> Res<Option<Rc<Shape>>> {
    let known = parent.children.borrow().get(key).copied();
    if let Some(id) = known {
        return longer(parent, info(m, id)?).map(Some);
    }
    if parent.len() >= MAX_KEYS {
        return Ok(None);
    }
    let interned = match keys::find(m, key)? {
        Some(at) => at,
        // a key that no shape will have is not interned in vain
        None if !table::has_room(m.segment(), parent.at)? => return Ok(None),
        None => keys::intern(m, key)?,
    };
    let Some(id) = table::shape_at(m, step(parent, interned), Some(parent.at))? else { return Ok(None) };
    let shape = longer(parent, info(m, id)?)?;
    if let Some(key) = shape.keys.last() {
        parent.children.borrow_mut().insert(key.clone(), id);
    }
    Ok(Some(shape))
}

/// A shape that has one key more than its parent, if it does.
fn longer(parent: &Shape, shape: Rc<Shape>) -> Res<Rc<Shape>> {
    if shape.len() == parent.len() + 1 {
        Ok(shape)
    } else {
        Err(Error::corrupt("a shape that does not follow on its parent", shape.id as u64).into())
    }
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
