//! Versions begin again, in a heap whose clock has come far and that nobody uses.
//!
//! A version must not come back while anybody compares it with one that was seen before. When a process opens a heap and no
//! other has it open, that is nobody: all who had are dead, or have left, and what they have noted in the heap itself (locks,
//! logs, intents) is at rest after their burial. So each version word is given the first version, and then the clock.
//!
//! Killed between two stores, it leaves versions that are lower than they were. That is what words are that nobody has
//! changed for long: the heap is sound, and as the clock still says what it did, the next who opens it alone begins again.
//! The clock comes last: a version ahead of it would be taken for damage.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use coheap_objects::stripes;
use coheap_segment::primitive::AtomicU64;
use coheap_segment::word::{FIRST_VERSION, FREE, NOBODY, RENUMBERED_ABOVE, Word};
use coheap_segment::{Segment, Status, StatusWord};

use crate::open::bury_the_dead;

/// Renumbers a heap whose clock is above [`RENUMBERED_ABOVE`], after burying the dead. Not one in which they have left what
/// makes no sense and cannot be finished. To be called where nobody else can come in. Takes as long as a look at each block.
pub(crate) fn renumber(segment: &Arc<Segment>) {
    if segment.clock() <= RENUMBERED_ABOVE || bury_the_dead(segment).is_err() || !is_at_rest(segment) {
        return;
    }
    coheap_slab::for_each_word0(segment, begin_again);
    coheap_slab::for_each_block(segment, |at, _| stripes::for_each_word(segment, at, begin_again));
    // Release: who goes by this clock sees the versions.
    segment.header().clock.store(FIRST_VERSION, Release);
}

/// Nobody has joined, and nothing is under way.
fn is_at_rest(segment: &Segment) -> bool {
    let mut slots = (1..=segment.plan().slots as u16).filter_map(|id| segment.slot(id));
    segment.participants().is_empty()
        && slots.all(|slot| {
            // Acquire pairs with whoever has put it to rest
            StatusWord(slot.status.load(Acquire)).status() == Some(Status::Idle)
                && slot.building.load(Acquire) % 2 == 0
        })
}

/// Gives a version word the first version, unless it has it, or has never had any.
fn begin_again(word: &AtomicU64) {
    // Relaxed: nobody else is here.
    let now = Word(word.load(Relaxed));
    if now.version() > FIRST_VERSION {
        // of another owner than FREE, who is gone, nothing is left
        let owner = if now.is_free() { FREE } else { NOBODY };
        word.store(Word::new(owner, 0, FIRST_VERSION, false).0, Relaxed);
    }
}
