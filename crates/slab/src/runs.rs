//! Blocks larger than a slab holds: runs of neighbouring slabs, found first-fit from a moving hint, claimed slab by
//! slab in ascending order and rolled back on a conflict.
//!
//! ```text
//! FREE ─claim→ CLAIMED(p) ─┬→ RUN(n)  first slab, the decision: word 0 is alive already
//!                          └→ TAIL(i) the others, after it
//! RUN(n) ─word 0 is FREE→ RELEASING(n) → the tails, last to second, TAIL(i) → FREE; then the first → FREE
//! ```
//!
//! Each step is one CAS from a slab word that never recurs (generation), so several may finish a release that
//! somebody died in, and a late one changes nothing. Neighbouring free slabs are room without further ado: there
//! is nothing to merge. What was word 0 of a run can become any other word of the heap at once, so before that
//! the clock is raised to its version (no version recurs), and only the one who has unlinked a run, or a
//! collector after its handshake, may release it: nobody else still expects a version there.

use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};

use coheap_segment::word::{LAST_VERSION, Word1};
use coheap_segment::{Error, Off, Result, SLAB, Segment, Word};

use crate::bitmap::BitmapWord;
use crate::classes::{RUN, RUN_HEAD};
use crate::directory::{Directory, FREE_BIT, HINT_RUN, SlabWord, State};

/// Slabs that a run for a block of `bytes` takes.
fn slabs_for(bytes: u64) -> u64 {
    bytes.saturating_add(RUN_HEAD).div_ceil(SLAB)
}

/// The usable size of a run of `n` slabs.
pub(crate) fn size_of_run(n: u64) -> u64 {
    n * SLAB - RUN_HEAD
}

/// A run for `bytes`, its word 0 alive and word 1 of type 0: (offset, size). May grow the segment.
pub(crate) fn alloc(directory: &Directory<'_>, participant: u16, bytes: u64) -> Result<(Off, u64)> {
    let full = directory.segment.full();
    let n = usize::try_from(slabs_for(bytes)).map_err(|_| full)?;
    if n > directory.len() - directory.first {
        return Err(full);
    }
    if directory.segment.clock() >= LAST_VERSION {
        return Err(Error::used_up());
    }
    let first = if n == 1 {
        directory.claim_one(participant)?
    } else {
        claim(directory, n, participant)?.ok_or(full)?
    };
    let start = first as u64 * SLAB;
    let at = start + RUN_HEAD;
    let segment = directory.segment;
    for i in 0..RUN_HEAD / 8 {
        segment.word(start + i * 8)?.store(0, Relaxed);
    }
    // The birth count of a run is the generation of its first slab: it survives whatever stands there between.
    let birth = directory.get(first).generation() as u16;
    segment.word(at + 8)?.store(Word1::new(0, 0, RUN, birth, 0).0, Relaxed);
    // read after the slabs were claimed: who freed them has advanced it to the last tenant's version
    let version = segment.clock() + 1;
    // Release pairs with the Acquire of a walker: who sees the block alive sees its type 0
    segment.word(at)?.store(Word::new(0, 0, version, false).0, Release);
    directory.publish(first, State::Run, 0, n as u32);
    for i in 1..n {
        directory.publish(first + i, State::Tail, 0, i as u32);
    }
    Ok((at, size_of_run(n as u64)))
}

/// Claims `n` neighbouring slabs; `None` if there are none. Growing may fail with its own error.
fn claim(directory: &Directory<'_>, n: usize, participant: u16) -> Result<Option<usize>> {
    let hint = &directory.segment.header().slab_hints[HINT_RUN];
    // each failed round means that another participant has succeeded
    for _ in 0..1000 {
        let frontier = directory.frontier();
        let near = usize::try_from(hint.load(Relaxed)).unwrap_or(0).clamp(directory.first, frontier);
        let found = find(directory, near, frontier, n, false)
            .or_else(|| find(directory, directory.first, (near + n).min(frontier), n, false));
        let first = match found {
            Some(first) => first,
            None => {
                let mut first = frontier;
                while first > directory.first && directory.get(first - 1).is(State::Free) {
                    first -= 1;
                }
                let grown = if first + n <= directory.len() {
                    directory.segment.grow_to((first + n) as u64 * SLAB)
                } else {
                    Err(directory.segment.full())
                };
                match grown {
                    Ok(()) => first,
                    // a hint may have died with its setter
                    Err(full) => match find(directory, directory.first, directory.len(), n, true) {
                        Some(first) => first,
                        None => return Err(full),
                    },
                }
            }
        };
        if claim_all(directory, first, n, participant) {
            directory.move_frontier(first + n);
            hint.store((first + n) as u64, Relaxed);
            return Ok(Some(first));
        }
    }
    Ok(None)
}

/// First fit: `n` neighbouring free slabs in `from..to`. Skips groups that the summary says have none, unless
/// `all` are to be looked at (then only allocated ones count).
fn find(directory: &Directory<'_>, from: usize, to: usize, n: usize, all: bool) -> Option<usize> {
    let (mut i, mut free) = (from, 0);
    while i < to {
        if !all && i.is_multiple_of(64) && !directory.group_may_be_free(i / 64) {
            free = 0;
            i += 64;
            continue;
        }
        let usable = !all || directory.segment.holds(i as u64 * SLAB, SLAB);
        free = if usable && directory.get(i).is(State::Free) { free + 1 } else { 0 };
        i += 1;
        if free == n {
            return Some(i - n);
        }
    }
    None
}

fn claim_all(directory: &Directory<'_>, first: usize, n: usize, participant: u16) -> bool {
    for i in first..first + n {
        if !directory.claim(i, participant) {
            (first..i).rev().for_each(|j| directory.publish(j, State::Free, 0, 0));
            return false;
        }
    }
    true
}

/// Gives the slabs of a run back whose word 0 is FREE (or that somebody has died in giving back). May be
/// repeated, by anyone, at any time. False if there is no such run.
pub(crate) fn release(directory: &Directory<'_>, first: usize) -> Result<bool> {
    let mut seen = directory.get(first);
    let n = seen.argument() as usize;
    if n == 0 || n > directory.len() - first {
        return Err(Error::corrupt("a run of impossible length", first as u64 * SLAB));
    }
    if seen.is(State::Run) {
        let word = Word(directory.segment.word(first as u64 * SLAB + RUN_HEAD)?.load(Relaxed));
        if !word.is_free() {
            return Ok(false);
        }
        if word.version() > LAST_VERSION {
            return Err(Error::corrupt("a version far above the clock", first as u64 * SLAB));
        }
        // Versions that come later are larger than the clock. AcqRel: before the slabs can be claimed.
        directory.segment.header().clock.fetch_max(word.version(), AcqRel);
        let releasing = seen.to(State::Releasing, 0, n as u32);
        if !directory.swap(first, seen, releasing) {
            return Ok(false);
        }
        seen = releasing;
    }
    if !seen.is(State::Releasing) {
        return Ok(false);
    }
    for i in (1..n).rev() {
        let tail = directory.get(first + i);
        let mine = tail.is(State::Tail) && tail.argument() as usize == i;
        if mine && directory.swap(first + i, tail, tail.to(State::Free, 0, 0)) {
            directory.mark(first + i, FREE_BIT);
        }
    }
    if directory.swap(first, seen, seen.to(State::Free, 0, 0)) {
        directory.mark(first, FREE_BIT);
        directory.segment.header().slab_hints[HINT_RUN].store(first as u64, Relaxed);
    }
    Ok(true)
}

/// The metadata of a run: the first bitmap word's place; only its marks are used.
pub(crate) fn metadata(segment: &Segment, first: usize) -> Result<&BitmapWord> {
    let base = segment.bytes(first as u64 * SLAB, RUN_HEAD)?;
    // SAFETY: 64 allocated bytes at a multiple of 64 KiB of the mapping, which never shrinks; made of atomics.
    Ok(unsafe { &*base.cast::<BitmapWord>() })
}

/// True if the word says that a run of a possible length starts at `index`.
pub(crate) fn is_run(directory: &Directory<'_>, index: usize, word: SlabWord) -> bool {
    word.is(State::Run) && word.argument() >= 1 && word.argument() as usize <= directory.len() - index
}
