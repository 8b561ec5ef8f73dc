//! [`Wrappers`]: which objects of the heap have a handle and a JavaScript wrapper in this environment.
//!
//! One wrapper an object and thread (`a.b === a.b`): offset → handle → {offset, birth, weak reference}. A handle
//! is an index of the participant's handle table in shared memory, which keeps the object from being collected;
//! it lives as long as its wrapper. Dead wrappers are found by a clock hand: each adoption looks at the next two
//! entries, so the table is never more than about twice as long as what is alive, and no finalizer is needed
//! (WeakRef and FinalizationRegistry cost 1.5 µs and 300 bytes an object, and in one synchronous loop nothing
//! dies).
//!
//! An answer names handles, and TypeScript asks for their wrappers one after the other; each that it makes turns
//! the hand. So the hand passes over what the present answer has named: its wrapper may have died since the last
//! answer, and the next moment somebody asks for it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use coheap_heap::segment::Off;

use crate::js::{Js, Ref, Value};

/// The entry of one handle.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Offset of the object.
    pub at: Off,
    /// Its birth count: tells it from a later tenant of the same block.
    pub birth: u16,
    /// Its kind (the number of its cell tag).
    pub kind: u8,
    /// Its wrapper; `None` from the reading that made the handle until the wrapper is adopted.
    wrapper: Option<Ref>,
    /// The answer that named it last.
    named: u64,
}

/// Offsets are multiples of 16 and mostly dense: one multiplication spreads them.
#[derive(Default)]
pub struct OffsetHasher(u64);

impl Hasher for OffsetHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("only offsets are hashed");
    }
    fn write_u64(&mut self, at: u64) {
        self.0 = (at >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// See the module.
#[derive(Default)]
pub struct Wrappers {
    /// By handle.
    entries: Vec<Option<Entry>>,
    by_offset: HashMap<Off, u32, BuildHasherDefault<OffsetHasher>>,
    hand: usize,
    answer: u64,
}

impl Wrappers {
    /// Begins the next answer; gives the number of the last one.
    #[inline(always)]
    pub fn next_answer(&mut self) -> u64 {
        self.answer += 1;
        self.answer - 1
    }

    /// What was asked since that answer belongs to its reading: it goes on.
    pub fn resume_answer(&mut self, answer: u64) {
        self.answer = answer;
    }

    /// The number of entries, free ones too.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry of a handle; `None` for a handle that is not in use.
    #[inline]
    pub fn get(&self, handle: u32) -> Option<&Entry> {
        self.entries.get(handle as usize)?.as_ref()
    }

    /// The handle of the object at `at` that was born as the `birth`th tenant of its block, named by this answer now.
    #[inline]
    pub fn find(&mut self, at: Off, birth: u16) -> Option<u32> {
        let &handle = self.by_offset.get(&at)?;
        let entry = self.entries.get_mut(handle as usize)?.as_mut()?;
        entry.named = self.answer;
        (entry.birth == birth).then_some(handle)
    }

    /// Enters a handle that was just published. The block's last tenant, if it has an entry, loses its place:
    /// its wrapper lives on and its handle answers that it is destroyed.
    pub fn insert(&mut self, handle: u32, at: Off, birth: u16, kind: u8) {
        let index = handle as usize;
        if self.entries.len() <= index {
            self.entries.resize(index + 1, None);
        }
        self.entries[index] = Some(Entry { at, birth, kind, wrapper: None, named: self.answer });
        self.by_offset.insert(at, handle);
    }

    /// The wrapper of a handle, if it has one that is alive.
    #[inline]
    pub fn wrapper(&self, js: Js, handle: u32) -> Option<Value> {
        js.dereference(self.get(handle)?.wrapper?)
    }

    /// Ties a wrapper to a handle, and looks at the next two entries: `withdraw` is given each handle whose
    /// wrapper is gone. False for a handle that is not in use.
    pub fn adopt(&mut self, js: Js, handle: u32, wrapper: Value, mut withdraw: impl FnMut(u32)) -> bool {
        let Some(Some(entry)) = self.entries.get_mut(handle as usize) else { return false };
        if let Some(old) = entry.wrapper.take() {
            js.delete_reference(old);
        }
        entry.wrapper = js.reference(wrapper, false);
        for _ in 0..2 {
            self.look_at_next(js, &mut withdraw);
        }
        true
    }

    fn look_at_next(&mut self, js: Js, withdraw: &mut impl FnMut(u32)) {
        self.hand = if self.hand + 1 < self.entries.len() { self.hand + 1 } else { 0 };
        let Some(Some(entry)) = self.entries.get(self.hand).copied() else { return };
        let Some(wrapper) = entry.wrapper else { return };
        if entry.named >= self.answer {
            return;
        }
        if js.dereference(wrapper).is_none() {
            let handle = self.hand as u32;
            js.delete_reference(wrapper);
            self.remove(handle);
            withdraw(handle);
        }
    }

    /// Forgets a handle that has no wrapper.
    pub fn remove(&mut self, handle: u32) {
        if let Some(entry) = self.entries.get_mut(handle as usize).and_then(Option::take)
            && self.by_offset.get(&entry.at) == Some(&handle)
        {
            self.by_offset.remove(&entry.at);
        }
    }

    /// Forgets everything; `each` is given what was there, with its wrapper if that is alive.
    pub fn clear(&mut self, js: Js, mut each: impl FnMut(Entry, Option<Value>)) {
        for entry in std::mem::take(&mut self.entries).into_iter().flatten() {
            each(entry, entry.wrapper.and_then(|w| js.dereference(w)));
            if let Some(wrapper) = entry.wrapper {
                js.delete_reference(wrapper);
            }
        }
        self.by_offset.clear();
    }
}
