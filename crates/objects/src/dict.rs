//! The hash table of dictionaries and of sparse arrays: an index of chains over entries in order of insertion, as
//! in Raymond Hettinger's compact dict and in [`crate::map`], in one body.
//!
//! ```text
//! +0   word 0
//! +8   word 1: type DICT_BODY or SPARSE_BODY, low half: log2 of the capacity
//! +16  live entries 32 | used entries 32
//! +24  buckets, as many as entries, 32 bits each: number of the first entry of the chain + 1, 0 none
//! ...  entries of 24 bytes: key cell, value cell, hash 32 | next of the chain + 1, 32
//! ```
//!
//! A dictionary's key cell is a string or a symbol that the body owns, a sparse array's is the index as a number.
//! A deleted entry has ABSENT as key and value; it stays in its chain until the next rebuild and is never used
//! again, so the order of entries is the order of insertion. Deleting needs no memory. All words are guarded by
//! the object's own guard.

use coheap_segment::word::Word1;
use coheap_segment::{Error, Off};
use coheap_txn::{Guard, Mem, Res};

use crate::cell::Cell;
use crate::key::Key;
use crate::string;

pub(crate) const COUNTS: u64 = 16;
pub(crate) const BUCKETS: u64 = 24;
pub(crate) const ENTRY: u64 = 24;
const SMALLEST: u32 = 3;
const LARGEST: u32 = 28;

/// What is looked for.
pub(crate) enum Probe<'a> {
    /// A property key; the hash of its text, its own hash.
    Key(&'a Key, u64, u64),
    /// An index of a sparse array.
    Index(u32),
}

impl<'a> Probe<'a> {
    pub fn key<M: Mem + ?Sized>(m: &M, key: &'a Key) -> Probe<'a> {
        let text = key.text().hash(string::seed(m));
        Probe::Key(key, text, key.hash_from(text))
    }
    fn hash(&self) -> u32 {
        match self {
            Probe::Key(_, _, hash) => (hash >> 32) as u32,
            Probe::Index(i) => hash_of_index(*i),
        }
    }
    fn is<M: Mem + ?Sized>(&self, m: &mut M, guard: Guard, cell: Cell) -> Res<bool> {
        match self {
            Probe::Key(key, text, _) => key.is(m, guard, cell, *text),
            Probe::Index(i) => Ok(cell == Cell::number(*i as f64)),
        }
    }
}

/// Fibonacci hashing: neighbouring indices go to different buckets.
fn hash_of_index(i: u32) -> u32 {
    i.wrapping_mul(0x9e37_79b1).rotate_left(16)
}

/// A live entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    hash: u32,
    pub key: Cell,
    pub value: Cell,
}

impl Entry {
    /// A new entry of a dictionary: the key becomes a cell of its own.
    pub fn property<M: Mem + ?Sized>(m: &mut M, key: &Key, value: Cell) -> Res<Entry> {
        let hash = Probe::key(m, key).hash();
        Ok(Entry { hash, key: key.build(m)?, value })
    }
    /// A new entry of a sparse array.
    pub fn element(index: u32, value: Cell) -> Entry {
        Entry { hash: hash_of_index(index), key: Cell::number(index as f64), value }
    }
    /// The index of a sparse array's entry.
    pub fn index(&self) -> Option<u32> {
        let x = self.key.as_number()?;
        let i = x as u32;
        (i as f64 == x).then_some(i)
    }
}

/// A body whose head has been read and checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body {
    at: Off,
    log2: u32,
    used: u32,
    pub live: u32,
}

/// Bytes of a body of this capacity.
const fn size(log2: u32) -> u64 {
    BUCKETS + (4 << log2) + (ENTRY << log2)
}

impl Body {
    /// Reads the head of the body at `at`, of the given type.
    pub fn open<M: Mem + ?Sized>(m: &mut M, guard: Guard, at: Off, kind: u8) -> Res<Body> {
        let word1 = Word1(m.load64(guard, at.wrapping_add(8))?);
        let counts = m.load64(guard, at.wrapping_add(COUNTS))?;
        let body = Body { at, log2: word1.low(), used: counts as u32, live: (counts >> 32) as u32 };
        if word1.kind() != kind
            || !(SMALLEST..=LARGEST).contains(&body.log2)
            || body.used > 1 << body.log2
            || body.live > body.used
            || !m.segment().holds(at, size(body.log2))
        {
            return Err(Error::corrupt("a table that is none", at).into());
        }
        Ok(body)
    }

    fn entry(&self, i: u32) -> Off {
        self.at + BUCKETS + (4 << self.log2) + i as u64 * ENTRY
    }

    /// The word that holds a hash's bucket, and the bucket's place in it.
    fn bucket(&self, hash: u32) -> (Off, u32) {
        let bucket = (hash & ((1 << self.log2) - 1)) as u64;
        (self.at + BUCKETS + bucket / 2 * 8, (bucket % 2) as u32 * 32)
    }

    /// The place of the value cell of what is looked for.
    pub fn find<M: Mem + ?Sized>(&self, m: &mut M, guard: Guard, probe: &Probe) -> Res<Option<Off>> {
        let hash = probe.hash();
        let (at, shift) = self.bucket(hash);
        let mut next = (m.load64(guard, at)? >> shift) as u32;
        for _ in 0..=self.used {
            if next == 0 {
                return Ok(None);
            }
            if next > self.used {
                break;
            }
            let entry = self.entry(next - 1);
            let meta = m.load64(guard, entry + 16)?;
            if (meta >> 32) as u32 == hash {
                let key = Cell(m.load64(guard, entry)?);
                if key != Cell::ABSENT && probe.is(m, guard, key)? {
                    return Ok(Some(entry + 8));
                }
            }
            next = meta as u32;
        }
        Err(Error::corrupt("a chain of entries without an end", self.at).into())
    }

    /// True if one more entry fits.
    pub fn has_room(&self) -> bool {
        self.used < 1 << self.log2
    }

    /// Appends an entry whose key is not there: five stores.
    pub fn append<M: Mem + ?Sized>(&self, m: &mut M, guard: Guard, entry: Entry) -> Res<()> {
        let (bucket, shift) = self.bucket(entry.hash);
        let word = m.load64(guard, bucket)?;
        let at = self.entry(self.used);
        m.store64(guard, at, entry.key.0)?;
        m.store64(guard, at + 8, entry.value.0)?;
        m.store64(guard, at + 16, (entry.hash as u64) << 32 | (word >> shift) & 0xffff_ffff)?;
        let word = word & !(0xffff_ffff << shift) | (self.used as u64 + 1) << shift;
        m.store64(guard, bucket, word)?;
        m.store64(guard, self.at + COUNTS, (self.used as u64 + 1) | (self.live as u64 + 1) << 32)
    }

    /// Deletes the entry whose value cell is at `value`: three stores. Gives its key, which is the caller's now.
    pub fn remove<M: Mem + ?Sized>(&mut self, m: &mut M, guard: Guard, value: Off) -> Res<Cell> {
        let key = Cell(m.load64(guard, value - 8)?);
        m.store64(guard, value - 8, Cell::ABSENT.0)?;
        m.store64(guard, value, Cell::ABSENT.0)?;
        self.live = self.live.saturating_sub(1);
        m.store64(guard, self.at + COUNTS, self.used as u64 | (self.live as u64) << 32)?;
        Ok(key)
    }

    /// The live entries in order of insertion.
    pub fn entries<M: Mem + ?Sized>(&self, m: &mut M, guard: Guard) -> Res<Vec<Entry>> {
        let mut entries = Vec::with_capacity(self.live as usize + 1);
        for i in 0..self.used {
            let at = self.entry(i);
            let key = Cell(m.load64(guard, at)?);
            if key != Cell::ABSENT {
                let value = Cell(m.load64(guard, at + 8)?);
                let hash = (m.load64(guard, at + 16)? >> 32) as u32;
                entries.push(Entry { hash, key, value });
            }
        }
        Ok(entries)
    }
}

/// Builds a private body with these entries (of different keys) and room for as many as a half more.
pub(crate) fn build<M: Mem + ?Sized>(m: &mut M, kind: u8, entries: &[Entry]) -> Res<Off> {
    let wanted = (entries.len() + entries.len() / 2 + 1).next_power_of_two().trailing_zeros().max(SMALLEST);
    if wanted > LARGEST {
        let e =
            Error::about(coheap_segment::Code::OutOfMemory, "a table with too many entries", wanted as u64);
        return Err(e.into());
    }
    let body = Body { at: m.alloc(size(wanted))?.at, log2: wanted, used: 0, live: 0 };
    let mut buckets = vec![0u32; 1 << wanted];
    let mask = (1u32 << wanted) - 1;
    for (i, entry) in entries.iter().enumerate() {
        let bucket = &mut buckets[(entry.hash & mask) as usize];
        let at = body.entry(i as u32);
        m.init64(at, entry.key.0);
        m.init64(at + 8, entry.value.0);
        m.init64(at + 16, (entry.hash as u64) << 32 | *bucket as u64);
        *bucket = i as u32 + 1;
    }
    for (i, pair) in buckets.chunks_exact(2).enumerate() {
        m.init64(body.at + BUCKETS + i as u64 * 8, pair[0] as u64 | (pair[1] as u64) << 32);
    }
    let n = entries.len() as u64;
    m.init64(body.at + COUNTS, n | n << 32);
    m.finish(body.at, kind, 0, wanted);
    Ok(body.at)
}
