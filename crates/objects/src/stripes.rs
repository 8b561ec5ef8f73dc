//! The version words of a large map: sixteen, by the low bits of a key's hash, so that writers of different keys
//! of one map do not meet.
//!
//! ```text
//! STRIPES block   +0 word 0 · +8 word 1 · then from the next multiple of 64: 16 version words, one a line of 64 bytes
//! a map's word 5  0: none yet · offset | 1: made, not yet in use · offset: in use
//! ```
//!
//! **How a reader gets from the map to the right guard under one guard.** Word 5 goes through its three values
//! once and never back, so a plain load of it needs no guard: *in use* is final. Anything else is looked at again
//! under the map word, which every writer of word 5 takes; so what is then read under the map word is void if the
//! stripes came into use meanwhile.
//!
//! **Why two steps.** The commit that brings the stripes into use must have taken all sixteen, so that whoever
//! goes by them sees its new version. A word of a block that is still private to its transaction cannot be
//! taken; therefore the block is linked by one commit (the rehash beyond 64 entries) and put into use by a later
//! one (the next insertion). Maps that are built with more entries are born with stripes in use: nobody has seen
//! them before.
//!
//! A stripe guards the bucket heads, chains, keys and values whose hash ends in its number. The map word guards
//! the counts, the body's offset and the order of entries. An insertion and a deletion change both; so the keys
//! may be read under either. Rehash and clear take the map word and all stripes; so the body's offset, too, may be
//! read under any of them.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use coheap_segment::primitive::AtomicU64;
use coheap_segment::word::{Word, Word1};
use coheap_segment::{Error, Off, Segment};
use coheap_txn::{Fault, Guard, Mem, Res};

use crate::cell::kind;

/// Stripes of a large map.
pub const STRIPES: u64 = 16;
/// A map of more entries than this gets stripes.
pub const STRIPED_ABOVE: u64 = 64;

const LINE: u64 = 64;
/// The block is aligned to 16 bytes only, so one line may be lost in front.
const BYTES: u64 = (STRIPES + 1) * LINE;
/// Bit of a map's word 5: made, not yet in use.
pub(crate) const PENDING: u64 = 1;

/// The version words of a map as one operation found them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Locks {
    pub map: Guard,
    /// The first stripe's version word; 0: the map word guards everything.
    first: Off,
}

impl Locks {
    /// The version word of keys with this hash.
    #[inline]
    pub fn of(self, hash: u32) -> Guard {
        if self.first == 0 { self.map } else { Guard(self.first + (hash as u64 & (STRIPES - 1)) * LINE) }
    }
    pub fn striped(self) -> bool {
        self.first != 0
    }
    /// Takes every word, as rehash and clear must, before anything is copied.
    pub fn reserve_all<M: Mem + ?Sized>(self, m: &mut M) -> Res<()> {
        if self.striped() {
            m.reserve(self.map)?;
            for i in 0..STRIPES {
                m.reserve(Guard(self.first + i * LINE))?;
            }
        }
        Ok(())
    }
}

/// Finds the version words of `map`, whose word 5 is at `word5`.
#[inline]
pub(crate) fn locks<M: Mem + ?Sized>(m: &mut M, map: Off, word5: Off) -> Res<Locks> {
    if let Some(first) = in_use(m, word5)? {
        return Ok(Locks { map: Guard(map), first });
    }
    let guarded = m.load64(Guard(map), word5)?;
    if guarded != 0 && guarded & PENDING == 0 {
        if let Some(first) = in_use(m, word5)? {
            // they came into use between the two loads
            return Ok(Locks { map: Guard(map), first });
        }
        if block(m, guarded)?.is_none() {
            return Err(Fault::Error(Error::corrupt("stripes that are none", guarded)));
        }
    }
    // without stripes, or they are put into use by this very transaction, which then holds all of their words
    Ok(Locks { map: Guard(map), first: 0 })
}

/// The first stripe, if word 5 says *in use*. What does not look like that is judged under the map word.
#[inline]
fn in_use<M: Mem + ?Sized>(m: &M, word5: Off) -> Res<Option<Off>> {
    // Acquire pairs with the store of the commit that put them into use: whoever sees the offset sees its stripes
    // taken, or released with the new version.
    let word = m.segment().word(word5)?.load(Acquire);
    if word == 0 || word & PENDING != 0 {
        return Ok(None);
    }
    block(m, word)
}

/// The first stripe of the block at `at`, if that is a block of stripes.
#[inline]
fn block<M: Mem + ?Sized>(m: &M, at: Off) -> Res<Option<Off>> {
    if at & 15 != 0 || !m.segment().holds(at, BYTES) {
        return Ok(None);
    }
    // Relaxed: the block was finished before its offset was linked, and it lives as long as its map
    let head = Word1(m.segment().word(at + 8)?.load(Relaxed));
    Ok((head.kind() == kind::STRIPES).then(|| first_of(at)))
}

/// Calls `f` with each version word of the block at `at`, if that is a block of stripes, in use or not. Looks at its words
/// only: the caller has found a block there.
pub fn for_each_word(segment: &Segment, at: Off, mut f: impl FnMut(&AtomicU64)) {
    let Ok(word1) = segment.word(at + 8) else { return };
    // Relaxed: the kind of a block does not change while it has its tenant
    if at & 15 == 0 && segment.holds(at, BYTES) && Word1(word1.load(Relaxed)).kind() == kind::STRIPES {
        (0..STRIPES).filter_map(|i| segment.word(first_of(at) + i * LINE).ok()).for_each(&mut f);
    }
}

fn first_of(block: Off) -> Off {
    (block + 16).next_multiple_of(LINE)
}

/// Makes stripes; the caller links them into word 5.
pub(crate) fn create<M: Mem + ?Sized>(m: &mut M) -> Res<Off> {
    let block = m.alloc(BYTES)?.at;
    // Relaxed: the block is ours. Its own version is above every one that a former tenant's stripes had when
    // they were last read through a live map.
    let version = Word(m.segment().word(block)?.load(Relaxed)).version();
    for i in 0..STRIPES {
        m.init64(first_of(block) + i * LINE, Word::new(0, 0, version, false).0);
    }
    m.finish(block, kind::STRIPES, 0, 0);
    Ok(block)
}

/// Takes all words of stripes that are linked but not in use, for the commit that puts them into use; `None` if
/// they are still private to this very transaction.
pub(crate) fn activate<M: Mem + ?Sized>(m: &mut M, word5: Off) -> Res<Option<Off>> {
    let shared = m.segment().word(word5)?.load(Acquire); // pairs with the commit that linked them
    if shared & PENDING == 0 {
        return Ok(None);
    }
    let at = shared & !PENDING;
    let Some(first) = block(m, at)? else {
        return Err(Fault::Error(Error::corrupt("stripes that are none", at)));
    };
    for i in 0..STRIPES {
        m.reserve(Guard(first + i * LINE))?;
    }
    Ok(Some(at))
}
