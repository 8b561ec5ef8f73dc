//! The body of a map or set: a bucket index with chains, and the entries in the order of their insertion.
//!
//! ```text
//! +0   word 0
//! +8   word 1: MAP_BODY
//! +16  capacity in entries 32 | log2 of the number of buckets 8 | words an entry 8 (4: map, 3: set)
//! +24  0
//! +32  buckets: number of the first entry + 1, or 0
//! …    entries: insertion number · {hash 32 | next entry's number + 1, 32} · key · value
//! ```
//!
//! The insertion numbers ascend. Those of entries not yet used are written when the body is made, so an insertion
//! need not store its own: bucket, link, key, value and the map's counts are five stores. Buckets are a power of
//! two, at least 16: the stripe (the hash's low four bits) is fixed by the bucket.

use coheap_segment::word::Word1;
use coheap_segment::{Code, Error, Off};
use coheap_txn::{Fault, Guard, Mem, Res};

use crate::cell::{Cell, kind};

/// No body holds more entries than this.
pub(crate) const MAX_CAPACITY: u64 = 1 << 28;
const MIN_BUCKETS_LOG2: u32 = 4;
const BUCKETS: u64 = 32;

/// A body, its head decoded. Nothing here is trusted: each address is checked when it is loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body {
    pub at: Off,
    pub capacity: u64,
    mask: u64,
    entries: Off,
    stride: u64,
}

/// Word 2 of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// In entries.
    pub capacity: u64,
    /// Of the number of buckets.
    log2: u32,
    /// Words of an entry.
    pub width: u8,
}

impl Shape {
    /// `None` for what cannot be.
    pub fn of(word: u64) -> Option<Shape> {
        let shape = Shape {
            capacity: word & 0xffff_ffff,
            log2: (word >> 32) as u8 as u32,
            width: (word >> 40) as u8,
        };
        let sound = (1..=MAX_CAPACITY).contains(&shape.capacity)
            && (MIN_BUCKETS_LOG2..=28).contains(&shape.log2)
            && (3..=4).contains(&shape.width);
        sound.then_some(shape)
    }
    fn word(self) -> u64 {
        self.capacity | (self.log2 as u64) << 32 | (self.width as u64) << 40
    }
    /// Where the entries begin in the block.
    pub fn entries(self) -> u64 {
        BUCKETS + (8 << self.log2)
    }
    /// Bytes of an entry.
    pub fn stride(self) -> u64 {
        self.width as u64 * 8
    }
}

/// What an entry is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub number: u64,
    pub hash: u32,
    pub key: Cell,
    pub value: Cell,
}

/// The words of one entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub at: Off,
    wide: bool,
}

impl Entry {
    pub fn number(self) -> Off {
        self.at
    }
    pub fn link(self) -> Off {
        self.at + 8
    }
    pub fn key(self) -> Off {
        self.at + 16
    }
    /// Where the value is; `None` in a set.
    pub fn value(self) -> Option<Off> {
        self.wide.then_some(self.at + 24)
    }
}

/// The link word.
pub(crate) const fn link(hash: u32, next: u64) -> u64 {
    (hash as u64) << 32 | next & 0xffff_ffff
}

impl Body {
    pub fn load<M: Mem + ?Sized>(m: &mut M, guard: Guard, at: Off) -> Res<Body> {
        let head = Word1(m.load64(guard, at.wrapping_add(8))?);
        let shape = Shape::of(m.load64(guard, at.wrapping_add(16))?);
        match shape {
            Some(shape) if head.kind() == kind::MAP_BODY => Ok(Body::of(at, shape)),
            _ => Err(Fault::Error(Error::corrupt("a map's body that is none", at))),
        }
    }

    fn of(at: Off, shape: Shape) -> Body {
        Body {
            at,
            capacity: shape.capacity,
            mask: (1 << shape.log2) - 1,
            entries: at + shape.entries(),
            stride: shape.stride(),
        }
    }

    pub fn bucket(self, hash: u32) -> Off {
        self.at + BUCKETS + (hash as u64 & self.mask) * 8
    }

    /// Entry `index`; an index beyond the capacity is corrupt.
    pub fn entry(self, index: u64) -> Res<Entry> {
        if index < self.capacity {
            Ok(Entry { at: self.entries + index * self.stride, wide: self.stride == 32 })
        } else {
            Err(Fault::Error(Error::corrupt("an entry beyond its map's body", index)))
        }
    }

    /// The index of the first entry below `used` whose insertion number is greater than `last`. `hint` is where
    /// the entry `last` was found, if the caller remembers.
    pub fn after<M: Mem + ?Sized>(
        self,
        m: &mut M,
        guard: Guard,
        used: u64,
        last: u64,
        hint: Option<u64>,
    ) -> Res<u64> {
        if last == 0 {
            return Ok(0);
        }
        if let Some(hint) = hint
            && hint < used
            && m.load64(guard, self.entry(hint)?.number())? == last
        {
            return Ok(hint + 1);
        }
        let (mut low, mut high) = (0, used);
        while low < high {
            let middle = (low + high) / 2;
            if m.load64(guard, self.entry(middle)?.number())? <= last {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// A fresh body that holds these items, which are in the order of their numbers; entries still free count on
    /// from `next`.
    pub fn write<M: Mem + ?Sized>(
        m: &mut M,
        wide: bool,
        capacity: u64,
        items: &[Item],
        next: u64,
    ) -> Res<Body> {
        debug_assert!(items.len() as u64 <= capacity);
        let width = if wide { 4 } else { 3 };
        let log2 = capacity.next_power_of_two().trailing_zeros().max(MIN_BUCKETS_LOG2);
        if capacity > MAX_CAPACITY {
            return Err(Fault::Error(Error::about(Code::OutOfMemory, "a map of too many entries", capacity)));
        }
        let shape = Shape { capacity, log2, width };
        let at = m.alloc(shape.entries() + capacity * shape.stride())?.at;
        let body = Body::of(at, shape);
        m.init64(at + 16, shape.word());
        m.init64(at + 24, 0);
        let mut buckets = vec![0u32; 1 << log2];
        for index in 0..capacity {
            let entry = body.entry(index)?;
            let Some(item) = items.get(index as usize) else {
                m.init64(entry.number(), next + (index - items.len() as u64));
                m.init64(entry.link(), 0);
                m.init64(entry.key(), Cell::ABSENT.0);
                if let Some(value) = entry.value() {
                    m.init64(value, Cell::ABSENT.0);
                }
                continue;
            };
            let head = &mut buckets[(item.hash as u64 & body.mask) as usize];
            m.init64(entry.number(), item.number);
            m.init64(entry.link(), link(item.hash, *head as u64));
            *head = index as u32 + 1;
            m.init64(entry.key(), item.key.0);
            if let Some(value) = entry.value() {
                m.init64(value, item.value.0);
            }
        }
        for (i, head) in buckets.iter().enumerate() {
            m.init64(at + BUCKETS + i as u64 * 8, *head as u64);
        }
        m.finish(at, kind::MAP_BODY, 0, 0);
        Ok(body)
    }

    /// The capacity of the next body of a map that is full with so many live entries: at least a quarter of it
    /// is free, so the copying is paid by the insertions (or deletions) in between.
    pub fn capacity_for(live: u64, present: u64) -> u64 {
        let wanted = (live + 1).next_power_of_two().max(4);
        if live > present / 2 {
            wanted.max(present * 2)
        } else {
            wanted.saturating_mul(2).min(present.max(4))
        }
    }
}
