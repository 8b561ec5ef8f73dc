//! [`Peers`]: the other processes that use a segment, and waiting for the end of one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::layout::{MAX_PROCESSES, PROCESS_FREE};
use crate::os::DeathWatch;
use crate::presence::Member;
use crate::{Result, Segment};

/// See the module.
pub struct Peers {
    segment: Arc<Segment>,
    watch: DeathWatch,
}

impl Peers {
    /// `ERR_COHEAP_OUT_OF_MEMORY` if the system has no descriptor left.
    pub fn new(segment: &Arc<Segment>) -> Result<Peers> {
        Ok(Peers { segment: segment.clone(), watch: DeathWatch::new()? })
    }

    /// Sleeps until another process that is here now has ended, somebody interrupts, or `max` is over; may come back early
    /// for no reason. False, and at once: there is no other. One thread at a time.
    pub fn wait(&self, max: Duration) -> bool {
        let others = self.segment.other_processes();
        if others.is_empty() {
            return false;
        }
        self.watch.wait(&others, max);
        true
    }

    /// Ends a wait, the present or the next. Never blocks.
    pub fn interrupt(&self) {
        self.watch.interrupt();
    }
}

impl Segment {
    /// A key and the pid of each other process that is present and alive.
    fn other_processes(&self) -> Vec<(u64, u32)> {
        let mut found = Vec::new();
        for row in 0..MAX_PROCESSES {
            let record = self.process(row);
            // Acquire pairs with the release in `appear`: the pid is this generation's, or a later one's
            let state = record.state.load(Ordering::Acquire);
            let member = Member { row: row as u8, generation: (state >> 32) as u32 & 0xff_ffff };
            if state as u32 != PROCESS_FREE && !self.is_own(member) && self.member_is_alive(member) {
                found.push((member.to_bits(), record.pid.load(Ordering::Relaxed) as u32));
            }
        }
        found
    }
}
