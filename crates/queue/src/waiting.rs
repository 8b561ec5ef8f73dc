//! Waiting for a message, or for room, on the participant's doorbell.
//!
//! A sleeper is in the waiter table, under a word of the channel of its role, and its channel's flag says that there
//! are sleepers. Order of events, all of it SeqCst:
//!
//! | sleeper | waker |
//! | --- | --- |
//! | reads its bell's count | changes the channel (CAS of a place, of the head) |
//! | sets the flag | looks at the flag |
//! | looks at the channel | set: clears it, rings all in the table |
//! | sleeps while the count is what it was | |
//!
//! One of the two sees the other: if the waker finds no flag, the sleeper's look comes after the change. A flag that
//! another waker has just cleared means that all in the table are being rung. A waker that is killed before it rings
//! costs one nap, 50 ms at most.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use coheap_segment::primitive::{Instant, fence, spin_loop};
use coheap_segment::{Code, Error, LANE_SYNC};
use coheap_txn::{Ctx, Res};

use crate::channel::Channel;
use crate::fifo::{HESITATION, Seen};
use crate::layout::at;
use crate::rings::Cursor;
use crate::stack;

/// A sleep between processes is never longer.
const NAP: Duration = Duration::from_millis(50);
/// A synchronous wait comes back to its caller after this, so that a JavaScript thread can be terminated.
const LONGEST: Duration = Duration::from_millis(100);

/// So much room at most a putter that spins waits for.
const LONGEST_RUN: u64 = 256;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A message, or the end of the channel.
    Taker,
    /// Room, or that the channel is closed.
    Putter,
}

impl Channel {
    fn wait_word(&self, role: Role) -> u64 {
        self.offset()
            + match role {
                Role::Taker => at::TAKERS_WAIT,
                Role::Putter => at::PUTTERS_WAIT,
            }
    }

    /// From now on what this role waits for rings this participant's doorbells, both lanes, once [`Channel::arm`] was
    /// called. Each registration is ended by [`Channel::unregister_waiter`]. Never blocks.
    pub fn register_waiter(&self, ctx: &Ctx, role: Role) {
        self.segment().waiters_add(self.wait_word(role), ctx.participant());
    }

    /// Ends a registration.
    pub fn unregister_waiter(&self, ctx: &Ctx, role: Role) {
        self.segment().waiters_remove(self.wait_word(role), ctx.participant());
    }

    /// The next change that this role waits for will ring, once. After it, and before sleeping, look again: what has
    /// happened before may not ring. To be called again after each ring. Never blocks.
    pub fn arm(&self, role: Role) -> Res<()> {
        let record = self.record()?;
        let flag = match role {
            Role::Taker => &record.takers_wait,
            Role::Putter => &record.putters_wait,
        };
        // SeqCst pairs with `Channel::wake`; the fence covers looks that are not SeqCst themselves (a stack's).
        flag.store(1, SeqCst);
        fence(SeqCst);
        Ok(())
    }

    /// True if there is something to do for this role: a message or the end, room or the end. Not inside a transaction.
    pub fn is_ready(&self, ctx: &mut Ctx, role: Role) -> Res<bool> {
        self.is_ready_for(ctx, role, 1)
    }

    /// As [`Channel::is_ready`]; a putter wants room for so many messages.
    fn is_ready_for(&self, ctx: &mut Ctx, role: Role, n: u64) -> Res<bool> {
        if self.is_lifo() {
            let (depth, closed) = ctx.read(|m| stack::state(m, self.offset()))?;
            return Ok(closed
                || match role {
                    Role::Taker => depth > 0,
                    Role::Putter => depth.saturating_add(n) <= self.limit(),
                });
        }
        let Some(mut hand) = ctx.hand() else { return Err(refused().into()) };
        let mut fifo = self.fifo(&mut hand)?;
        let ready = match role {
            Role::Taker => {
                // what a stopped or dead transaction holds comes back here
                !matches!(fifo.find(&mut Cursor::default(), None, true)?, Seen::Nothing)
            }
            Role::Putter => {
                fifo.rings.is_sealed()? || !fifo.rings.has_no_room(n - 1, 0, &fifo.memory.head_seen)?
            }
        };
        let woken = fifo.woken;
        self.wake(&woken);
        Ok(ready)
    }

    /// Waits until there is something to do for this role, at most `timeout` and at most 100 ms; `true` if there is.
    /// Somebody else may be quicker: try, wait, try again. Spins for 25 µs, then sleeps. `ERR_COHEAP_INVALID_ARGUMENT`
    /// inside a transaction: there nothing could come.
    ///
    /// While it spins a putter waits for room for a run of messages, an eighth of the channel. If it took the first place
    /// that came free, it would go on to work on the very cache lines that the takers work on, and they have messages enough.
    pub fn wait_sync(&self, ctx: &mut Ctx, role: Role, timeout: Duration) -> Res<bool> {
        if ctx.in_transaction() {
            return Err(refused().into());
        }
        let start = Instant::now();
        let limit = timeout.min(LONGEST);
        let run = match role {
            Role::Taker => 1,
            Role::Putter => (self.limit() / 8).clamp(1, LONGEST_RUN),
        };
        loop {
            let elapsed = start.elapsed();
            let last = elapsed >= HESITATION.min(limit);
            if self.is_ready_for(ctx, role, if last { 1 } else { run })? {
                return Ok(true);
            }
            if elapsed >= limit {
                return Ok(false);
            }
            if last {
                break;
            }
            for _ in 0..run.max(16) {
                spin_loop();
            }
        }
        self.register_waiter(ctx, role);
        let result = self.nap_until_ready(ctx, role, start, limit);
        self.unregister_waiter(ctx, role);
        result
    }

    fn nap_until_ready(&self, ctx: &mut Ctx, role: Role, start: Instant, limit: Duration) -> Res<bool> {
        let me = ctx.participant();
        loop {
            let bell = self.segment().bell(me, LANE_SYNC);
            self.arm(role)?;
            if self.is_ready(ctx, role)? {
                return Ok(true);
            }
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            self.segment().sleep(me, LANE_SYNC, bell, left.min(NAP));
        }
    }
}

fn refused() -> Error {
    Error::new(Code::InvalidArgument, "a transaction cannot wait for a channel")
}
