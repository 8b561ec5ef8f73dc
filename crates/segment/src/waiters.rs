//! The waiter table: whom to ring when a version word is released.
//!
//! 256 buckets by the word's offset, each a bitmap of participants. A waiter sets its bit, sets the waiters
//! bit of the word by CAS, looks again and sleeps on its doorbell; who takes an owner off a word that has the
//! waiters bit rings everyone in the bucket. Strangers in the same bucket wake in vain and look again.

use std::sync::atomic::Ordering;

use crate::layout::{LANE_ASYNC, LANE_SYNC, Plan, WAITER_BUCKETS};
use crate::primitive::AtomicU64;
use crate::{Off, Segment};

/// The bucket of a word. Words are 8-byte aligned and often a block's first: mix the higher bits in.
fn bucket_of(word: Off) -> usize {
    ((word >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
}

impl Segment {
    fn waiter_word(&self, bucket: usize, index: u64) -> &AtomicU64 {
        let width = Plan::bucket_bytes(self.plan().max_participants);
        debug_assert!(bucket < WAITER_BUCKETS && index * 8 < width);
        self.table_word(self.plan().waiters + bucket as u64 * width + index * 8)
    }

    /// Participant `p` waits for `word`: a [`Segment::waiters_ring`] for it rings both its lanes from now on.
    /// Counted: each addition needs its own [`Segment::waiters_remove`].
    pub fn waiters_add(&self, word: Off, p: u16) {
        let bucket = bucket_of(word);
        let mut waits = self.waits();
        *waits.entry((p, bucket as u8)).or_insert(0) += 1;
        // SeqCst: the bit is visible before the caller's next look at the word, and pairs with the loads in
        // `waiters_ring`, which follow the release of the word.
        self.waiter_word(bucket, p as u64 / 64).fetch_or(1 << (p % 64), Ordering::SeqCst);
    }

    /// Participant `p` no longer waits for `word`.
    pub fn waiters_remove(&self, word: Off, p: u16) {
        let bucket = bucket_of(word);
        let mut waits = self.waits();
        if let Some(count) = waits.get_mut(&(p, bucket as u8)) {
            *count -= 1;
            if *count == 0 {
                waits.remove(&(p, bucket as u8));
                // Relaxed: a ringer that still sees the bit rings in vain.
                self.waiter_word(bucket, p as u64 / 64).fetch_and(!(1 << (p % 64)), Ordering::Relaxed);
            }
        }
    }

    /// Rings both lanes of all that wait for `word` or another word of its bucket. Call it after the change.
    /// Never blocks.
    pub fn waiters_ring(&self, word: Off) {
        let bucket = bucket_of(word);
        let last = self.plan().max_participants as u64;
        for index in 0..=last / 64 {
            // SeqCst pairs with `waiters_add`: who added before it last looked at the word is seen here.
            let mut bits = self.waiter_word(bucket, index).load(Ordering::SeqCst);
            while bits != 0 {
                let p = index * 64 + bits.trailing_zeros() as u64;
                bits &= bits - 1;
                // bits that name nobody can only be garbage
                if p >= 1 && p <= last {
                    self.ring(p as u16, LANE_SYNC);
                    self.ring(p as u16, LANE_ASYNC);
                }
            }
        }
    }

    /// Clears what an earlier tenant of row `p` has left in the table.
    pub(crate) fn waiters_forget(&self, p: u16) {
        self.waits().retain(|(who, _), _| *who != p);
        for bucket in 0..WAITER_BUCKETS {
            let word = self.waiter_word(bucket, p as u64 / 64);
            if word.load(Ordering::Relaxed) & 1 << (p % 64) != 0 {
                word.fetch_and(!(1 << (p % 64)), Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_who_wait_are_rung() {
        let sut = Segment::anonymous(1 << 20, 100).unwrap();
        let (a, b) = (sut.join(1).unwrap(), sut.join(2).unwrap());
        let word = sut.plan().data;
        sut.waiters_add(word, a.id());
        sut.waiters_ring(word);
        assert_eq!((sut.bell(a.id(), 0), sut.bell(a.id(), 1), sut.bell(b.id(), 0)), (1, 1, 0));
        sut.waiters_remove(word, a.id());
        sut.waiters_ring(word);
        assert_eq!(sut.bell(a.id(), 0), 1);
    }

    #[test]
    fn one_of_two_waits_in_a_bucket_ends_and_the_other_is_still_rung() {
        let sut = Segment::anonymous(1 << 20, 4).unwrap();
        let me = sut.join(1).unwrap();
        let word = sut.plan().data;
        sut.waiters_add(word, me.id());
        sut.waiters_add(word, me.id());
        sut.waiters_remove(word, me.id());
        sut.waiters_ring(word);
        assert_eq!(sut.bell(me.id(), LANE_SYNC), 1);
        sut.waiters_remove(word, me.id());
    }
}
