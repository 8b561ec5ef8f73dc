//! What a dead participant left in the slabs: owner half-words, slabs that it was claiming, a run that it was
//! giving back.
//!
//! **Unused blocks.** What the dead one had taken and not handed out, or had freed into its own words, has its bit set and
//! a word 0 that is free or was never used. As long as the word is owned nobody takes bits of it; its bits are only
//! cleared, by freers: intent, CAS of word 0 to FREE, bit, intent 0. A block whose word 0 was found FREE and that no
//! intent names *after that* is one whose freer is done (the bit is clear anyway) or was the dead one, or died
//! itself and was buried. So its bit can be cleared before the word is given up. A freer that is in between is
//! left to its work; one that dies there leaves one block for the sweeper.

use std::sync::atomic::Ordering::{Acquire, Release};

use coheap_segment::word::LAST_VERSION;
use coheap_segment::{Off, Result, SLAB, Segment, Word};

use crate::bitmap::{self, Slab, is_tenanted};
use crate::classes::RUN_HEAD;
use crate::directory::{Directory, State, need};
use crate::runs;

/// Undoes or finishes what `participant` left, who is dead and whose row nobody has been given yet. Called by the
/// one who has won the role of its recoverer; may be repeated by another after a death in the middle. Looks at
/// the whole heap's metadata; never blocks.
pub fn recover(segment: &Segment, participant: u16) -> Result<()> {
    let directory = Directory::of(segment)?;
    let record = segment.participant(participant);
    // Acquire pairs with the CAS on word 0 that follows the intent
    let freeing = record.free_intent.load(Acquire);
    let mut run = 0..0;
    for index in directory.first..directory.len() {
        let word = directory.get(index);
        match word.state() {
            Some(State::Run) if runs::is_run(&directory, index, word) => {
                run = index..index + word.argument() as usize;
                if freeing == index as u64 * SLAB + RUN_HEAD {
                    runs::release(&directory, index)?;
                }
            }
            // whoever began: to finish is always right
            Some(State::Releasing) => drop(runs::release(&directory, index)?),
            Some(State::Claimed) if word.argument() == participant as u32 => {
                // a run is decided with its first slab, the rest follows
                if run.contains(&index) && index > run.start {
                    directory.publish(index, State::Tail, 0, (index - run.start) as u32);
                } else {
                    directory.publish(index, State::Free, 0, 0);
                }
            }
            Some(State::Slab | State::Reserve) => {
                let Some(class) = word.small() else { continue };
                let slab = Slab::new(segment, index, class)?;
                for w in 0..class.words {
                    let word = slab.word(w);
                    // Acquire pairs with the CAS that owned it. It stays the dead one's until we give it up.
                    if word.owner.load(Acquire) == participant as u32
                        && bitmap::give_back(
                            word,
                            unused(segment, participant, &slab, w),
                            class.valid(w),
                            need(segment, class),
                        )
                    {
                        directory.unfull(index);
                    }
                }
            }
            _ => {}
        }
    }
    // Release: whoever is given the row next, or looks for live intents, finds the work done
    record.alloc_intent.store(0, Release);
    record.free_intent.store(0, Release);
    Ok(())
}

/// The set bits of a word of the dead that stand for blocks which nobody has and nobody is freeing.
fn unused(segment: &Segment, dead: u16, slab: &Slab<'_>, w: u32) -> u64 {
    let class = slab.class;
    let first = w << class.shift;
    let bits = slab.word(w).bits.load(Acquire) & class.valid(w);
    let mut unused = 0;
    for bit in (0..64).filter(|bit| bits >> bit & 1 != 0) {
        // Acquire pairs with the CAS that freed it: its intent is seen below
        if !is_tenanted(Word(slab.head(first + bit, 0).load(Acquire))) {
            unused |= 1 << bit;
        }
    }
    if unused != 0 {
        for id in (1..=segment.plan().max_participants as u16).filter(|&id| id != dead) {
            // Acquire pairs with the Release of every intent: another one, or none, and its freer has cleared the bit
            let at = segment.participant(id).free_intent.load(Acquire);
            if at / SLAB == slab.start / SLAB
                && let Some(block) = class.index((at % SLAB) as u32)
                && block >> class.shift == w
            {
                unused &= !(1 << (block & ((1 << class.shift) - 1)));
            }
        }
    }
    unused
}

/// Looks at every word of the directory, every bitmap and every block head and calls `found` with the offset and a
/// few words for each thing that cannot be. For a heap in which nobody is allocating or freeing; never fails,
/// whatever the segment holds.
pub fn verify(segment: &Segment, mut found: impl FnMut(Off, &'static str)) {
    let directory = match Directory::of(segment) {
        Ok(directory) => directory,
        Err(e) => return found(segment.plan().directory, e.what),
    };
    let participants = segment.plan().max_participants;
    let lives = |id: u32| {
        // Acquire pairs with the CAS that claims the row
        id >= 1 && id <= participants && segment.participant(id as u16).state.load(Acquire) as u32 != 0
    };
    let mut run = 0..0;
    for index in directory.first..directory.len() {
        let start = index as u64 * SLAB;
        let word = directory.get(index);
        let inside = run.contains(&index) && index > run.start;
        if inside && !word.is(State::Tail) {
            found(start, "a run with a slab of another kind inside");
        }
        match word.state() {
            None => found(start, "a slab of no known kind"),
            Some(State::Free) => {}
            Some(_) if !segment.holds(start, SLAB) => found(start, "a slab in use that is not allocated"),
            Some(State::Claimed) if !lives(word.argument()) => found(start, "a slab claimed by nobody"),
            Some(State::Claimed) => {}
            Some(State::Slab | State::Reserve) => match word.small() {
                Some(_) => verify_slab(&directory, index, &lives, &mut found),
                None => found(start, "a slab of no known class"),
            },
            Some(State::Run) => {
                if !runs::is_run(&directory, index, word) {
                    found(start, "a run of impossible length");
                    continue;
                }
                run = index..index + word.argument() as usize;
                match segment.word(start + RUN_HEAD) {
                    Ok(head) => verify_head(segment, Word(head.load(Acquire)), start + RUN_HEAD, &mut found),
                    Err(e) => found(start, e.what),
                }
            }
            Some(State::Tail) => {
                if !inside || word.argument() as usize != index - run.start {
                    found(start, "a slab of a run that is not there");
                }
            }
            Some(State::Releasing) => found(start, "a run that nobody went on giving back"),
        }
    }
}

fn verify_slab(
    directory: &Directory<'_>,
    index: usize,
    lives: &impl Fn(u32) -> bool,
    found: &mut impl FnMut(Off, &'static str),
) {
    let word = directory.get(index);
    let Some(class) = word.small() else { return };
    let Ok(slab) = Slab::new(directory.segment, index, class) else { return };
    for w in 0..class.words {
        let at = slab.start + w as u64 * 32;
        let bits = slab.word(w).bits.load(Acquire);
        let owner = slab.word(w).owner.load(Acquire);
        if bits & !class.valid(w) != 0 {
            found(at, "an allocation bit without a block");
        }
        if owner != 0 && !lives(owner) {
            found(at, "a bitmap word owned by nobody who lives");
        }
        for bit in 0..class.valid(w).count_ones() {
            let block = (w << class.shift) + bit;
            let at = slab.start + class.offset(block) as u64;
            let head = Word(slab.head(block, 0).load(Acquire));
            if !is_tenanted(head) {
                continue;
            }
            if bits >> bit & 1 == 0 {
                found(at, "a living block without its allocation bit");
            }
            let word1 = coheap_segment::word::Word1(slab.head(block, 1).load(Acquire));
            if word1.class() != word.class() {
                found(at, "a block whose class is not its slab's");
            }
            verify_head(directory.segment, head, at, found);
        }
    }
}

fn verify_head(segment: &Segment, head: Word, at: Off, found: &mut impl FnMut(Off, &'static str)) {
    if !is_tenanted(head) {
        return;
    }
    if head.version() > LAST_VERSION {
        found(at, "a version far above the clock");
    }
    if head.owner() as u32 > segment.plan().slots {
        found(at, "a block reserved by a slot that is not there");
    }
}

/// Calls `f` with offset and size of every block that is free though its allocation bit is set, in words that
/// nobody owns, and of every run that is free: what the dead left, for the sweeper. While others free, what they
/// are freeing is among it: it is named by their intents.
pub fn for_each_unswept(segment: &Segment, mut f: impl FnMut(Off, u64)) {
    let Ok(directory) = Directory::of(segment) else { return };
    for index in directory.first..directory.len() {
        let word = directory.get(index);
        if let Some(class) = word.small() {
            let Ok(slab) = Slab::new(segment, index, class) else { continue };
            for w in (0..class.words).filter(|&w| slab.word(w).owner.load(Acquire) == 0) {
                let bits = slab.word(w).bits.load(Acquire);
                for bit in (0..class.valid(w).count_ones()).filter(|bit| bits >> bit & 1 != 0) {
                    let block = (w << class.shift) + bit;
                    if !is_tenanted(Word(slab.head(block, 0).load(Acquire))) {
                        f(slab.start + class.offset(block) as u64, class.size as u64);
                    }
                }
            }
        } else if runs::is_run(&directory, index, word)
            && let Ok(head) = segment.word(index as u64 * SLAB + RUN_HEAD)
            && Word(head.load(Acquire)).is_free()
        {
            f(index as u64 * SLAB + RUN_HEAD, runs::size_of_run(word.argument() as u64));
        }
    }
}
