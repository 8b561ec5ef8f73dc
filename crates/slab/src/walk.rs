//! Judging offsets, enumerating blocks, adding up what is used.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use coheap_segment::primitive::AtomicU64;
use coheap_segment::{Off, SLAB, Segment, Word};

use crate::bitmap::{Slab, is_tenanted};
use crate::classes::{CLASSES, RUN, RUN_HEAD};
use crate::directory::{Directory, State};
use crate::runs;

/// The block that starts at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Offset of word 0.
    pub start: Off,
    /// Usable bytes, words 0 and 1 included.
    pub size: u64,
    /// The size class; [`RUN`] for a run.
    pub class: u8,
    /// Its allocation bit is set and its word 0 is not that of a free block: somebody has it (type 0: it is being
    /// built).
    pub allocated: bool,
}

/// The block that starts at `at`, any number; `None` if none does. True only for an instant: a caller who needs
/// more has published a handle before.
#[inline]
pub fn locate(segment: &Segment, at: Off) -> Option<Place> {
    let directory = Directory::of(segment).ok()?;
    let index = usize::try_from(at / SLAB).ok().filter(|&i| i >= directory.first && i < directory.len())?;
    let word = directory.get(index);
    if let Some(class) = word.small() {
        let block = class.index((at % SLAB) as u32)?;
        let slab = Slab::new(segment, index, class).ok()?;
        let bit =
            slab.word(block >> class.shift).bits.load(Acquire) >> (block & ((1 << class.shift) - 1)) & 1;
        let allocated = bit != 0 && is_tenanted(Word(slab.head(block, 0).load(Acquire)));
        return Some(Place { start: at, size: class.size as u64, class: word.class(), allocated });
    }
    if at % SLAB != RUN_HEAD || !runs::is_run(&directory, index, word) {
        return None;
    }
    let size = runs::size_of_run(word.argument() as u64);
    if !segment.holds(at, size) {
        return None;
    }
    let allocated = is_tenanted(Word(segment.word(at).ok()?.load(Acquire)));
    Some(Place { start: at, size, class: RUN, allocated })
}

/// Calls `f` with offset and size of every block that somebody has. Blocks that are allocated or freed meanwhile
/// may be seen or not.
pub fn for_each_block(segment: &Segment, mut f: impl FnMut(Off, u64)) {
    let Ok(directory) = Directory::of(segment) else { return };
    for index in directory.first..directory.len() {
        let word = directory.get(index);
        if let Some(class) = word.small() {
            let Ok(slab) = Slab::new(segment, index, class) else { continue };
            for w in 0..class.words {
                // Acquire pairs with the owner's `fetch_or` and the freers' `fetch_and`
                let mut bits = slab.word(w).bits.load(Acquire) & class.valid(w);
                while bits != 0 {
                    let block = (w << class.shift) + bits.trailing_zeros();
                    bits &= bits - 1;
                    // Acquire pairs with the Release of `give_life`: type 0 or what the tenant wrote later
                    if is_tenanted(Word(slab.head(block, 0).load(Acquire))) {
                        f(slab.start + class.offset(block) as u64, class.size as u64);
                    }
                }
            }
        } else if word.is(State::Run)
            && let Some(place) = locate(segment, index as u64 * SLAB + RUN_HEAD)
            && place.allocated
        {
            f(place.start, place.size);
        }
    }
}

/// Calls `f` with word 0 of every block that there is room for, whether somebody has it, had it, or nobody ever had; of a
/// run that is being given back, too. Slabs that are free have none: what is made of them begins with new ones.
pub fn for_each_word0(segment: &Segment, mut f: impl FnMut(&AtomicU64)) {
    let Ok(directory) = Directory::of(segment) else { return };
    for index in directory.first..directory.len() {
        let word = directory.get(index);
        if let Some(class) = word.small() {
            let Ok(slab) = Slab::new(segment, index, class) else { continue };
            (0..class.count).for_each(|block| f(slab.head(block, 0)));
        } else if (word.is(State::Run) || word.is(State::Releasing))
            && let Ok(head) = segment.word(index as u64 * SLAB + RUN_HEAD)
        {
            f(head);
        }
    }
}

fn sum(segment: &Segment, gone: u64, of: impl Fn(&coheap_segment::ParticipantRecord) -> u64) -> u64 {
    let ids = 1..=segment.plan().max_participants as u16;
    ids.fold(gone, |sum, id| sum.wrapping_add(of(segment.participant(id))))
}

/// Bytes of all blocks that somebody has, by the participants' counters: exact while nobody allocates or frees and
/// nobody has died between a block and its count.
pub fn used(segment: &Segment) -> u64 {
    sum(segment, segment.header().used_by_gone.load(Relaxed), |p| p.used.load(Relaxed))
}

/// The number of blocks that somebody has, counted as [`used`].
pub fn objects(segment: &Segment) -> u64 {
    sum(segment, segment.header().objects_by_gone.load(Relaxed), |p| p.objects.load(Relaxed))
}

/// Bytes of slabs that are free, used before or not, within what is allocated from the system.
pub fn free_slab_bytes(segment: &Segment) -> u64 {
    let Ok(directory) = Directory::of(segment) else { return 0 };
    let slabs = (directory.first..directory.len())
        .filter(|&i| segment.holds(i as u64 * SLAB, SLAB) && directory.get(i).is(State::Free));
    slabs.count() as u64 * SLAB
}

/// The collector's mark word of the block that starts at `at`, {cycle 32, marks 32}, and the number of its bit;
/// `None` if no block starts there.
pub fn mark_word(segment: &Segment, at: Off) -> Option<(&AtomicU64, u32)> {
    let place = locate(segment, at)?;
    let index = (at / SLAB) as usize;
    if place.class == RUN {
        return Some((&runs::metadata(segment, index).ok()?.marks[0], 0));
    }
    let class = &CLASSES[place.class as usize];
    let block = class.index((at % SLAB) as u32)?;
    let bit = block & ((1 << class.shift) - 1);
    let word = Slab::new(segment, index, class).ok()?.word(block >> class.shift);
    Some((&word.marks[bit as usize / 32], bit % 32))
}
