//! [`Watch`]: a registration for a channel that outlives the call, for a thread that sleeps on the participant's
//! asynchronous lane in its stead and is no participant itself: it can look, but not settle anything.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use coheap_segment::{Off, Result, Segment};
use coheap_txn::{Ctx, Res};

use crate::channel::Channel;
use crate::layout::at;
use crate::rings::Rings;
use crate::waiting::Role;

/// See the module. Dropping it ends the registration.
pub struct Watch {
    channel: Channel,
    role: Role,
    participant: u16,
}

impl Channel {
    /// From now on what this role waits for rings both lanes of this participant's doorbell. Look after this, not before
    /// ([`Channel::is_ready`]), and sleep if there is nothing. Never blocks.
    pub fn watch(&self, ctx: &Ctx, role: Role) -> Res<Watch> {
        self.register_waiter(ctx, role);
        let watch = Watch { channel: self.clone(), role, participant: ctx.participant() };
        self.arm(role)?;
        Ok(watch)
    }

    /// True if a participant should look at the channel in this role: never false when there is something to do. To be
    /// asked when a sleep is over without a ring, for who should have rung may have died.
    fn stirs(&self, role: Role) -> Result<bool> {
        let record = self.record()?;
        if self.is_lifo() {
            // Relaxed: a hint; who looks closely does so under the version word
            let depth = record.depth.load(Relaxed);
            let room = role == Role::Putter && depth < self.limit();
            return Ok(room || role == Role::Taker && depth > 0 || record.stack_closed.load(Relaxed) != 0);
        }
        let rings = Rings::new(self.segment(), record, record.places(), 0);
        if rings.is_sealed()? {
            return Ok(true);
        }
        match role {
            Role::Taker => Ok(rings.waiting(1)?.0 > 0),
            Role::Putter => {
                let (places, owned) = rings.waiting(self.limit())?;
                Ok(owned || places < self.limit())
            }
        }
    }
}

impl Watch {
    /// True if it may be worth trying: somebody was about to ring, or would have been had he not died. Never blocks.
    pub fn stirs(&self) -> bool {
        // SeqCst as in `Channel::wake`, which clears the flag before it rings
        let armed = self.channel.record().is_ok_and(|record| {
            match self.role {
                Role::Taker => &record.takers_wait,
                Role::Putter => &record.putters_wait,
            }
            .load(SeqCst)
                != 0
        });
        !armed || self.channel.stirs(self.role).unwrap_or(true)
    }

    fn word(&self) -> Off {
        self.channel.offset()
            + match self.role {
                Role::Taker => at::TAKERS_WAIT,
                Role::Putter => at::PUTTERS_WAIT,
            }
    }

    fn segment(&self) -> &Segment {
        self.channel.segment()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.segment().waiters_remove(self.word(), self.participant);
    }
}
