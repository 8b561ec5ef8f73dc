//! The table of interned shape keys: one block KEY for each key that any shape has. Only shapes refer to them;
//! cells never do, a dictionary owns its keys.
//!
//! An insert-only hash table with chains (as in Michael, "High performance dynamic lock-free hash tables and
//! list-based sets", SPAA 2002, without deletion): a new block is linked in front of its chain by one CAS, after
//! the part of the chain that is new since the last look has been searched. Who dies before the CAS leaves an
//! unreferenced block; after it the key is complete. It holds at most as many keys as there are shapes.
//!
//! ```text
//! table   +0  word 0, +8 word 1: type TABLE, low half 3
//!         +16 1021 heads of chains: offsets of KEY blocks, 0 none
//! KEY     +0  word 0, +8 word 1: flag 1 UTF-16, flag 2 symbol, low half: length in characters
//!         +16 hash    +24 next of the chain    +32 characters
//! ```
//!
//! What is linked here never changes and is never freed, so reading it needs no guard.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use coheap_segment::primitive::AtomicU64;
use coheap_segment::word::Word1;
use coheap_segment::{Error, Off, Segment};
use coheap_txn::{Mem, Res};

use crate::cell::kind;
use crate::key::Key;
use crate::string::{self, Str, UTF16};

/// Flag of word 1: the key is a registered symbol.
pub const SYMBOL: u8 = 2;
/// Low half of word 1 of the table.
pub const TABLE_OF_KEYS: u32 = 3;
/// Where the heads of the chains begin in the table.
pub const HEADS: u64 = 16;
/// The number of chains: a prime; the table fits in 8 KiB.
pub const CHAINS: u64 = 1021;
/// Where the next block of the chain is named.
pub const NEXT: u64 = 24;
const HASH: u64 = 16;
const CHARACTERS: u64 = 32;
/// More steps along a chain than this: corrupt.
const MOST_STEPS: u32 = 1 << 17;

/// The word of a block of the insert-only tables, in which nothing is guarded, at this distance from its start.
pub(crate) fn shared(segment: &Segment, at: Off, distance: u64) -> Res<&AtomicU64> {
    Ok(segment.word(at.wrapping_add(distance))?)
}

/// The table's offset; `None` before the first key.
fn existing<M: Mem + ?Sized>(m: &M) -> Option<Off> {
    // Acquire pairs with the CAS in `table`: the heads are zeroed
    Some(m.segment().header().keys.load(Acquire)).filter(|&at| at != 0)
}

fn table<M: Mem + ?Sized>(m: &mut M) -> Res<Off> {
    if let Some(at) = existing(m) {
        return Ok(at);
    }
    let block = m.alloc(HEADS + CHAINS * 8)?;
    for i in 0..CHAINS {
        m.init64(block.at + HEADS + i * 8, 0);
    }
    m.finish(block.at, kind::TABLE, 0, TABLE_OF_KEYS);
    // AcqRel: publishes the zeroed heads; if another was first, pairs with its CAS
    match m.segment().header().keys.compare_exchange(0, block.at, AcqRel, Acquire) {
        Ok(_) => {
            m.publish(block.at);
            Ok(block.at)
        }
        Err(winner) => {
            m.free(block.at);
            Ok(winner)
        }
    }
}

fn head_of(table: Off, hash: u64) -> Off {
    table.wrapping_add(HEADS + hash % CHAINS * 8)
}

/// Looks along a chain from `from` up to, but without, `to`.
fn search(segment: &Segment, from: Off, to: Off, hash: u64, key: &Key) -> Res<Option<Off>> {
    let mut at = from;
    for _ in 0..MOST_STEPS {
        if at == to || at == 0 {
            return Ok(None);
        }
        // Relaxed: the block was published by the CAS of the head (or of a later one) that led here
        if shared(segment, at, HASH)?.load(Relaxed) == hash && load(segment, at)? == *key {
            return Ok(Some(at));
        }
        at = shared(segment, at, NEXT)?.load(Relaxed);
    }
    Err(Error::corrupt("a chain of keys without an end", from).into())
}

/// The block of a key, if any shape ever had it.
pub fn find<M: Mem + ?Sized>(m: &M, key: &Key) -> Res<Option<Off>> {
    let Some(table) = existing(m) else { return Ok(None) };
    let hash = key.hash(string::seed(m));
    let segment = m.segment();
    // Acquire pairs with the CAS of the head: all blocks of the chain are complete
    let head = shared(segment, head_of(table, hash), 0)?.load(Acquire);
    search(segment, head, 0, hash, key)
}

/// The block of a key; linked now if there is none. Kept whatever becomes of the operation.
pub fn intern<M: Mem + ?Sized>(m: &mut M, key: &Key) -> Res<Off> {
    if let Some(at) = find(m, key)? {
        return Ok(at);
    }
    let table = table(m)?;
    let hash = key.hash(string::seed(m));
    let bytes = key.text().bytes();
    let block = m.alloc(CHARACTERS + bytes.len() as u64)?;
    m.init64(block.at + HASH, hash);
    m.init_bytes(block.at + CHARACTERS, &bytes);
    let symbol = if key.is_symbol() { SYMBOL } else { 0 };
    m.finish(block.at, kind::KEY, key.text().flags() | symbol, key.text().len() as u32);
    let mut searched = 0;
    loop {
        // Acquire as in `find`
        let head = shared(m.segment(), head_of(table, hash), 0)?.load(Acquire);
        if let Some(twin) = search(m.segment(), head, searched, hash, key)? {
            m.free(block.at);
            return Ok(twin);
        }
        m.init64(block.at + NEXT, head);
        // Release publishes the block, its link too; failed: look at what is new
        if shared(m.segment(), head_of(table, hash), 0)?
            .compare_exchange(head, block.at, AcqRel, Acquire)
            .is_ok()
        {
            m.publish(block.at);
            return Ok(block.at);
        }
        searched = head;
    }
}

/// Loads an interned key.
pub fn load(segment: &Segment, at: Off) -> Res<Key> {
    let word1 = Word1(shared(segment, at, 8)?.load(Relaxed));
    let len = (word1.low() as u64) << (word1.flags() & UTF16);
    if word1.kind() != kind::KEY
        || word1.low() as usize > string::MAX_LENGTH
        || !segment.holds(at, CHARACTERS + len)
    {
        return Err(Error::corrupt("a key that is none", at).into());
    }
    let mut bytes = Vec::with_capacity(len as usize + 8);
    for i in 0..len.div_ceil(8) {
        bytes.extend(shared(segment, at, CHARACTERS + i * 8)?.load(Relaxed).to_le_bytes());
    }
    bytes.truncate(len as usize);
    let text = Str::from_bytes(word1.flags(), bytes);
    Ok(if word1.flags() & SYMBOL != 0 { Key::symbol(text) } else { Key::string(text) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use coheap_txn::scratch::ScratchMem;

    #[test]
    fn a_key_is_interned_once() {
        let mut m = ScratchMem::new(4 << 20);
        let key =
            |i: u32| if i.is_multiple_of(3) { Key::symbol(format!("k{i}").as_str()) } else { Key::index(i) };
        assert_eq!(find(&m, &key(1)).unwrap(), None);
        let at: Vec<Off> = (0..5000).map(|i| intern(&mut m, &key(i)).unwrap()).collect();
        let live = m.live.len();
        for (i, &at) in at.iter().enumerate() {
            assert_eq!(intern(&mut m, &key(i as u32)).unwrap(), at);
            assert_eq!(load(m.segment(), at).unwrap(), key(i as u32));
        }
        assert_eq!(m.live.len(), live);
        assert_eq!(find(&m, &Key::string("k0")).unwrap(), None, "a symbol is not its text");
    }

    #[test]
    fn a_chain_that_bites_its_tail_is_corrupt() {
        let mut m = ScratchMem::new(4 << 20);
        let at = intern(&mut m, &Key::string("a")).unwrap();
        m.init64(at + NEXT, at);
        m.init64(at + HASH, 1);
        assert!(find(&m, &Key::string("a")).is_err());
    }
}
