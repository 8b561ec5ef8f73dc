//! [`Channel`]: messages between threads and processes, Rust and Node alike.

use std::rc::Rc;
use std::time::{Duration, Instant};

use coheap_queue::Role;
use coheap_segment::{Code, Error, Result};

use crate::data::Data;
use crate::heap::Inner;
use crate::value::Value;

/// A channel of a heap. Each message is taken once; one putter's messages are taken in the order in which it put them.
/// Puts, takes and `len` take part in transactions; `put` and `take`, which wait, are refused there.
pub struct Channel {
    pub(crate) channel: coheap_queue::Channel,
    pub(crate) inner: Rc<Inner>,
}

impl Channel {
    /// Puts a message if there is room. `ERR_COHEAP_CHANNEL_CLOSED`. Never waits.
    pub fn try_put(&self, message: impl Into<Data>) -> Result<bool> {
        let cell = self.inner.build(&message.into())?;
        let put = self.inner.run(|ctx| self.channel.try_put(ctx, cell))?;
        if !put {
            self.inner.run(|ctx| {
                ctx.discard();
                Ok(())
            })?;
        }
        Ok(put)
    }

    /// Puts as many of the messages as there is room for, a prefix, all at one instant; says how many. Never waits.
    pub fn put_many(&self, messages: impl IntoIterator<Item = impl Into<Data>>) -> Result<usize> {
        let mut cells = Vec::new();
        for message in messages {
            cells.push(self.inner.build(&message.into())?);
        }
        let put = self.inner.run(|ctx| self.channel.put_many(ctx, &cells))?;
        if put == 0 {
            self.inner.run(|ctx| {
                ctx.discard();
                Ok(())
            })?;
        } else if put < cells.len() {
            // containers among them are left to the collector
            let left = cells[put..].iter().filter(|cell| cell.is_by_value_block());
            self.inner.write(|m| {
                left.clone().for_each(|cell| m.free(cell.offset()));
                Ok(())
            })?;
        }
        Ok(put)
    }

    /// Puts a message, waiting for room. `ERR_COHEAP_TIMEOUT`, `ERR_COHEAP_CHANNEL_CLOSED`. Blocks.
    pub fn put(&self, message: impl Into<Data>, timeout: Duration) -> Result<()> {
        let message = message.into();
        self.wait(Role::Putter, timeout, || Ok(self.try_put(message.clone())?.then_some(())))
    }

    /// Takes a message; `None` if there is none now. `ERR_COHEAP_CHANNEL_CLOSED` if there will be none. Never waits.
    pub fn try_take(&self) -> Result<Option<Value>> {
        self.inner
            .run(|ctx| self.channel.try_take(ctx, |m, guard, cell| Value::load(m, guard, cell, &self.inner)))
    }

    /// Takes up to `max` of the messages that are there, all at one instant. Never waits.
    pub fn take_many(&self, max: usize) -> Result<Vec<Value>> {
        self.inner.run(|ctx| {
            self.channel.take_many(ctx, max, |m, guard, cell| Value::load(m, guard, cell, &self.inner))
        })
    }

    /// Takes a message, waiting for one. `ERR_COHEAP_TIMEOUT`, `ERR_COHEAP_CHANNEL_CLOSED`. Blocks.
    pub fn take(&self, timeout: Duration) -> Result<Value> {
        self.wait(Role::Taker, timeout, || self.try_take())
    }

    fn wait<T>(
        &self,
        role: Role,
        timeout: Duration,
        mut attempt: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(done) = attempt()? {
                return Ok(done);
            }
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(Error::new(Code::Timeout, "the time for a wait is up"));
            }
            self.inner.run(|ctx| self.channel.wait_sync(ctx, role, left))?;
        }
    }

    /// The number of messages.
    pub fn len(&self) -> Result<u64> {
        self.inner.run(|ctx| self.channel.len(ctx))
    }

    /// True if there is no message.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Closes it: takers drain it, putters are refused. False if it was closed before.
    pub fn close(&self) -> Result<bool> {
        self.inner.run(|ctx| self.channel.close(ctx))
    }
}
