//! Doorbells: how one thread wakes another, across processes, at the price of one atomic addition when nobody
//! sleeps.
//!
//! An event count: who wants to wait reads [`Segment::bell`], looks at what it waits for, and sleeps only
//! while the bell still reads the same; who changes something rings after the change. The sleeper announces
//! itself before its last look at the counter and the ringer looks for sleepers after counting, so one of the
//! two sees the other (Dekker). A ring is never lost, but its ringer can be killed between its change and its
//! ring: callers bound each sleep (50 ms) and look again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::Segment;
use crate::layout::{Doorbell, LANES};
use crate::os::{Bell, Os};
use crate::primitive::{fence, sleep_for_ring, wake_sleeper};

fn bell_of(bell: &Doorbell, participant: u16, lane: usize) -> Bell<'_> {
    Bell { word: &bell.count, number: participant as u32 * LANES as u32 + lane as u32 }
}

impl Segment {
    /// The bell's present count, to be read before looking at what is waited for.
    #[inline]
    pub fn bell(&self, participant: u16, lane: usize) -> u32 {
        // Acquire pairs with the addition in `ring`: what the ringer did before is seen by who reads its count.
        self.participant(participant).bells[lane].count.load(Ordering::Acquire)
    }

    /// Wakes the thread that sleeps at this bell, or keeps it from falling asleep. Never blocks; no system
    /// call when nobody sleeps.
    #[inline]
    pub fn ring(&self, participant: u16, lane: usize) {
        let bell = &self.participant(participant).bells[lane];
        // SeqCst pairs with the announcement in `sleep`: either we see the sleeper or it sees our count.
        bell.count.fetch_add(1, Ordering::SeqCst);
        if bell.sleepers.load(Ordering::SeqCst) != 0 {
            wake_sleeper(&bell.count, || self.object.wake(bell_of(bell, participant, lane)));
        }
    }

    /// Sleeps until the bell has rung since it read `expected`, or `timeout` is over; may return early. Only
    /// the lane's own thread sleeps here. Blocks at most `timeout`: a caller that waits for another process
    /// passes at most 50 ms, for a ring can be lost with its ringer.
    pub fn sleep(&self, participant: u16, lane: usize, expected: u32, timeout: Duration) {
        let bell = &self.participant(participant).bells[lane];
        // SeqCst pairs with the addition in `ring`; the fence orders it before the kernel's look as well.
        bell.sleepers.store(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if bell.count.load(Ordering::SeqCst) == expected {
            let asleep = || self.object.sleep(bell_of(bell, participant, lane), expected, timeout);
            sleep_for_ring(&bell.count, expected, timeout, asleep);
        }
        // Relaxed: a ringer that still sees 1 makes one needless system call.
        bell.sleepers.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LANE_ASYNC, LANE_SYNC};
    use std::sync::atomic::AtomicU64;
    use std::thread;

    #[test]
    fn a_ring_before_the_sleep_keeps_from_sleeping() {
        let sut = Segment::anonymous(1 << 20, 4).unwrap();
        let me = sut.join(0).unwrap();
        let seen = sut.bell(me.id(), LANE_SYNC);
        sut.ring(me.id(), LANE_SYNC);
        sut.sleep(me.id(), LANE_SYNC, seen, Duration::from_secs(3600));
        assert_ne!(sut.bell(me.id(), LANE_SYNC), seen);
    }

    #[test]
    fn no_ring_is_lost_between_two_threads() {
        const ROUNDS: u64 = 20_000;
        let sut = Segment::anonymous(1 << 20, 4).unwrap();
        let (ping, pong) = (sut.join(1).unwrap(), sut.join(2).unwrap());
        let turn = AtomicU64::new(0);
        // without bounded naps: a lost ring would hang the test
        let play = |me: u16, other: u16, parity: u64| {
            loop {
                let seen = sut.bell(me, LANE_ASYNC);
                let now = turn.load(Ordering::SeqCst);
                if now >= ROUNDS {
                    sut.ring(other, LANE_ASYNC);
                    return;
                }
                if now % 2 == parity {
                    turn.store(now + 1, Ordering::SeqCst);
                    sut.ring(other, LANE_ASYNC);
                } else {
                    sut.sleep(me, LANE_ASYNC, seen, Duration::from_secs(3600));
                }
            }
        };
        thread::scope(|s| {
            s.spawn(|| play(ping.id(), pong.id(), 0));
            s.spawn(|| play(pong.id(), ping.id(), 1));
        });
        assert_eq!(turn.load(Ordering::SeqCst), ROUNDS);
    }
}
