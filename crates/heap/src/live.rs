//! Live objects: what is read through them is what stands in the heap now, and what is written is seen by everyone.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use coheap_objects::cell::{Cell, Tag};
use coheap_objects::key::Key;
use coheap_objects::view::{self, ViewKind};
use coheap_objects::{array, buffer, destroy, map, map_iter, record, shape};
use coheap_segment::word::{Word, Word1};
use coheap_segment::{Code, Error, Off, Result, Segment};
use coheap_txn::{Guard, Mem, Res};

use crate::data::Data;
use crate::heap::{Inner, NO_ROOM, free_taken};
use crate::value::Value;

/// A live object of any kind: a handle that keeps it from being collected. Cloning is cheap.
#[derive(Clone)]
pub struct Object(Rc<Pin>);

struct Pin {
    inner: Rc<Inner>,
    handle: u32,
    at: Off,
    birth: u16,
    tag: Tag,
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.inner.handles.withdraw(self.handle);
    }
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}({:#x})", self.0.tag, self.0.at)
    }
}

impl PartialEq for Object {
    /// The same object.
    fn eq(&self, other: &Object) -> bool {
        Rc::ptr_eq(&self.0.inner, &other.0.inner) && self.0.at == other.0.at && self.0.birth == other.0.birth
    }
}

fn word1(segment: &Segment, at: Off) -> Result<Word1> {
    // Relaxed: kind and birth count do not change while the block has its tenant; that it is reached is validated by
    // the operation.
    Ok(Word1(segment.word(at + 8)?.load(Ordering::Relaxed)))
}

impl Object {
    /// Pins what an identity cell refers to, within the operation that has read it: the handle is published before the
    /// operation is validated, and goes with this value if that fails.
    pub(crate) fn load<M: Mem + ?Sized>(m: &mut M, inner: &Rc<Inner>, cell: Cell) -> Res<Object> {
        let at = cell.offset();
        let birth = word1(m.segment(), at)?.birth();
        let handle = inner.handles.publish(at)?.ok_or(NO_ROOM)?;
        inner.published.set(inner.published.get() + 1);
        let tag = cell.tag().unwrap_or(Tag::Record);
        Ok(Object(Rc::new(Pin { inner: inner.clone(), handle, at, birth, tag })))
    }

    /// Its cell, for a value of this heap that refers to it.
    pub(crate) fn cell(&self, inner: &Inner) -> Res<Cell> {
        if !std::ptr::eq(&*self.0.inner, inner) {
            return Err(
                Error::new(Code::WrongHeap, "an object of another heap, or of another opening").into()
            );
        }
        Ok(Cell::reference(self.0.tag, self.0.at))
    }

    /// Where it stands.
    pub(crate) fn at(&self) -> Off {
        self.0.at
    }

    /// Looks, at the start of each attempt, whether the object is still there.
    fn check<M: Mem + ?Sized>(&self, m: &M) -> Res<Off> {
        let (segment, at) = (m.segment(), self.0.at);
        let word0 = Word(segment.word(at)?.load(Ordering::Relaxed));
        let word1 = word1(segment, at)?;
        if word1.birth() == self.0.birth && word1.kind() == self.0.tag as u8 && !word0.is_free() {
            return Ok(at);
        }
        Err(Error::about(Code::Destroyed, "the object has been destroyed", at).into())
    }

    /// See [`crate::Heap::destroy`]. The root stands at `root`.
    pub(crate) fn destroy(&self, inner: &Inner, root: Off) -> Result<()> {
        self.write(|m, at| {
            self.cell(inner)?;
            if at == root {
                return Err(
                    Error::new(Code::InvalidArgument, "the root of a heap cannot be destroyed").into()
                );
            }
            destroy::destroy(m, self.0.tag, at)
        })
    }

    fn inner(&self) -> &Rc<Inner> {
        &self.0.inner
    }

    fn read<T>(&self, mut f: impl FnMut(&mut dyn Mem, Off) -> Res<T>) -> Result<T> {
        self.inner().read(|m| {
            let at = self.check(m)?;
            f(m, at)
        })
    }

    fn write<T>(&self, mut f: impl FnMut(&mut dyn Mem, Off) -> Res<T>) -> Result<T> {
        self.inner().write(|m| {
            let at = self.check(m)?;
            f(m, at)
        })
    }

    fn value<M: Mem + ?Sized>(&self, m: &mut M, guard: Guard, cell: Option<Cell>) -> Res<Value> {
        cell.map_or(Ok(Value::Undefined), |cell| Value::load(m, guard, cell, self.inner()))
    }
}

/// A plain object, or an instance of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Record(pub(crate) Object);

impl Record {
    /// A property; `undefined` if there is none.
    pub fn get(&self, key: &str) -> Result<Value> {
        let key = Key::string(key);
        self.0.read(|m, at| {
            let cell = record::get(m, at, &key)?;
            self.0.value(m, Guard(at), cell)
        })
    }

    /// Sets a property.
    pub fn set(&self, key: &str, value: impl Into<Data>) -> Result<()> {
        let key = Key::string(key);
        let cell = self.0.inner().build(&value.into())?;
        self.0.write(|m, at| record::set(m, at, &key, cell))
    }

    /// Deletes a property; false if there was none.
    pub fn delete(&self, key: &str) -> Result<bool> {
        let key = Key::string(key);
        self.0.write(|m, at| record::delete(m, at, &key))
    }

    /// True if there is such a property.
    pub fn has(&self, key: &str) -> Result<bool> {
        let key = Key::string(key);
        self.0.read(|m, at| record::has(m, at, &key))
    }

    /// The name of the class that it is an instance of, as it was registered; `None` for a plain object. Of a struct it says
    /// the fields too: `struct ["Point",{"x":"f64","y":"f64"}]`.
    pub fn class(&self) -> Result<Option<String>> {
        self.0.read(|m, at| {
            let word = record::shape_word(m, at)?;
            match shape::info(m, word.shape())?.class {
                0 => Ok(None),
                class => Ok(Some(shape::class_name(m.segment(), class)?.to_string())),
            }
        })
    }

    /// The keys in the order in which JavaScript lists them.
    pub fn keys(&self) -> Result<Vec<String>> {
        let keys = self.0.read(|m, at| record::keys(m, at))?;
        Ok(keys.iter().filter(|key| !key.is_symbol()).map(|key| key.text().to_string()).collect())
    }
}

/// An array.
#[derive(Clone, Debug, PartialEq)]
pub struct Array(pub(crate) Object);

impl Array {
    /// Its length.
    pub fn len(&self) -> Result<u32> {
        self.0.read(|m, at| array::len(m, at))
    }

    /// True if there is nothing in it.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// An element; `undefined` for a hole and beyond the end.
    pub fn get(&self, i: u32) -> Result<Value> {
        self.0.read(|m, at| {
            let cell = array::get(m, at, i)?;
            self.0.value(m, Guard(at), cell)
        })
    }

    /// Sets an element.
    pub fn set(&self, i: u32, value: impl Into<Data>) -> Result<()> {
        let cell = self.0.inner().build(&value.into())?;
        self.0.write(|m, at| array::set(m, at, i, cell))
    }

    /// Appends an element; gives the new length.
    pub fn push(&self, value: impl Into<Data>) -> Result<u32> {
        let cell = self.0.inner().build(&value.into())?;
        self.0.write(|m, at| array::push(m, at, &[cell]))
    }

    /// Takes the last element off; `None` if there is none.
    pub fn pop(&self) -> Result<Option<Value>> {
        self.take(|m, at| array::pop(m, at))
    }

    /// Takes the first element off; `None` if there is none.
    pub fn shift(&self) -> Result<Option<Value>> {
        self.take(|m, at| array::shift(m, at))
    }

    fn take(&self, mut off: impl FnMut(&mut dyn Mem, Off) -> Res<Option<Cell>>) -> Result<Option<Value>> {
        self.0.write(|m, at| {
            let Some(cell) = off(m, at)? else { return Ok(None) };
            let value = self.0.value(m, Guard(at), Some(cell))?;
            free_taken(m, Guard(at), cell)?;
            Ok(Some(value))
        })
    }

    /// All elements, as they are at one moment.
    pub fn to_vec(&self) -> Result<Vec<Value>> {
        self.0.read(|m, at| {
            let cells = array::read_range(m, at, 0, u32::MAX)?;
            cells.into_iter().map(|cell| self.0.value(m, Guard(at), Some(cell))).collect()
        })
    }
}

/// A `SharedMap`.
#[derive(Clone, Debug, PartialEq)]
pub struct Map(pub(crate) Object);

impl Map {
    /// The number of entries.
    pub fn size(&self) -> Result<u64> {
        self.0.read(|m, at| map::size(m, at))
    }

    /// The value of a key; `undefined` if there is none.
    pub fn get(&self, key: impl Into<Data>) -> Result<Value> {
        let key = key.into();
        self.0.read(|m, at| {
            let key = key.map_key(self.0.inner())?;
            match map::get(m, at, &key)? {
                Some((cell, guard)) => self.0.value(m, guard, Some(cell)),
                None => Ok(Value::Undefined),
            }
        })
    }

    /// True if there is such a key.
    pub fn has(&self, key: impl Into<Data>) -> Result<bool> {
        let key = key.into();
        self.0.read(|m, at| map::has(m, at, &key.map_key(self.0.inner())?))
    }

    /// Gives a key a value.
    pub fn set(&self, key: impl Into<Data>, value: impl Into<Data>) -> Result<()> {
        let (key, value) = (key.into(), value.into());
        let key_cell = self.0.inner().build(&key)?;
        let cell = self.0.inner().build(&value)?;
        self.0.write(|m, at| {
            let wanted = if key.is_scalar() {
                key.map_key(self.0.inner())?
            } else {
                coheap_objects::mapkey::MapKey::Bits(key_cell.0)
            };
            let mut used = false;
            let there = map::set(
                m,
                at,
                &wanted,
                |_| {
                    used = true;
                    Ok(key_cell)
                },
                cell,
            )?;
            if there && !used {
                // the key was there: the cell that was made for it is not needed
                free_taken(m, Guard(key_cell.offset()), key_cell)?;
            }
            Ok(())
        })
    }

    /// Takes a key out; false if it was not there.
    pub fn delete(&self, key: impl Into<Data>) -> Result<bool> {
        let key = key.into();
        self.0.write(|m, at| map::delete(m, at, &key.map_key(self.0.inner())?))
    }

    /// All entries in the order of insertion, as they are at one moment.
    pub fn entries(&self) -> Result<Vec<(Value, Value)>> {
        self.0.read(|m, at| {
            let mut steps = Vec::new();
            map_iter::entries_from(m, at, 0, None, usize::MAX, true, &mut steps)?;
            let load = |step: map_iter::Step| {
                let key = self.0.value(m, step.key_guard, Some(step.key))?;
                Ok((key, self.0.value(m, step.value_guard, Some(step.value))?))
            };
            steps.into_iter().map(load).collect()
        })
    }
}

/// A `SharedSet`.
#[derive(Clone, Debug, PartialEq)]
pub struct Set(pub(crate) Object);

impl Set {
    /// The number of keys.
    pub fn size(&self) -> Result<u64> {
        self.0.read(|m, at| map::size(m, at))
    }

    /// True if the key is in it.
    pub fn has(&self, key: impl Into<Data>) -> Result<bool> {
        let key = key.into();
        self.0.read(|m, at| map::has(m, at, &key.map_key(self.0.inner())?))
    }

    /// Takes a key out; false if it was not there.
    pub fn delete(&self, key: impl Into<Data>) -> Result<bool> {
        let key = key.into();
        self.0.write(|m, at| map::delete(m, at, &key.map_key(self.0.inner())?))
    }
}

/// An `ArrayBuffer`, or a view of one. Its bytes are raw memory: anyone may write them at any time.
#[derive(Clone, Debug, PartialEq)]
pub struct Bytes(pub(crate) Object);

impl Bytes {
    /// What a view's elements are; `None` for an `ArrayBuffer`.
    pub fn kind(&self) -> Result<Option<ViewKind>> {
        if self.0.0.tag == Tag::Buffer {
            return Ok(None);
        }
        self.0.read(|m, at| Ok(Some(view::info(m, at)?.kind)))
    }

    /// A copy of the bytes as they are at this moment.
    pub fn to_vec(&self) -> Result<Vec<u8>> {
        self.0.read(|m, at| {
            let mut all = Vec::new();
            if self.0.0.tag == Tag::Buffer {
                let info = buffer::info(m, at)?;
                buffer::read(m, info, &mut all)?;
                return Ok(all);
            }
            let view = view::info(m, at)?;
            let info = buffer::info(m, view.buffer)?;
            view::check(view, info)?;
            buffer::read(m, info, &mut all)?;
            let start = view.byte_offset as usize;
            Ok(all[start..start + (view.length * view.kind.element()) as usize].to_vec())
        })
    }
}

macro_rules! object_from {
    ($($kind:ident),*) => {
        $(impl From<$kind> for Object {
            fn from(live: $kind) -> Object {
                live.0
            }
        })*
    };
}

object_from!(Record, Array, Map, Set, Bytes);
