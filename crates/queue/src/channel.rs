//! [`Channel`]: the public face of a channel, of either order, outside and inside of transactions.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};

use coheap_objects::Cell;
use coheap_segment::primitive::fence;
use coheap_segment::word::Word1;
use coheap_segment::{Code, Error, Off, Segment};
use coheap_txn::{Ctx, Fault, Guard, Mem, Res};

use crate::directory::{self, Wish};
use crate::fifo::{Fifo, Memory, Put, Take};
use crate::hand::Hand;
use crate::layout::{ChannelRecord, LIFO, LONGEST_NAME, UNBOUNDED, at};
use crate::party::Channels;
use crate::rings::{Rings, Woken};
use crate::stack;

/// A handle on a channel: one thread's view of it. Cheap to clone.
///
/// # Loading
///
/// What takes and peeks give is made by a loader, `FnMut(&mut dyn Mem, Guard, Cell) -> Res<T>`. It is called while the
/// message still is in its place, so that it can copy by-value content out and publish handles of live objects
/// before anything is freed. It may be called again for the same message, or on one that is then given to
/// somebody else (its loads may give garbage and its errors are not believed): only the last result counts. If it
/// fails the message stays in the channel.
#[derive(Clone)]
pub struct Channel {
    seg: Arc<Segment>,
    at: Off,
    places: u64,
    capacity: u64,
    lifo: bool,
    memory: Memory,
}

/// What happened to a wish, as an error where it has to be one.
fn closed() -> Fault {
    Fault::Error(Error::new(Code::ChannelClosed, "the channel is closed"))
}

const FULL: Fault = Fault::Error(Error::new(Code::ChannelFull, "the channel is full"));

impl Channel {
    /// The channel of this name. The first to name it decides on capacity (`None`: unbounded) and order; a different
    /// wish later is `ERR_COHEAP_INVALID_ARGUMENT`, as are a capacity of 0 and a name that is empty or longer than
    /// [`LONGEST_NAME`] bytes. Never blocks.
    pub fn open(ctx: &mut Ctx, name: &str, capacity: Option<u64>, lifo: bool) -> Res<Channel> {
        check_name(name)?;
        if capacity == Some(0) || capacity == Some(UNBOUNDED) {
            return Err(Error::new(Code::InvalidArgument, "a channel's capacity is 1 or more").into());
        }
        let wish = Wish { capacity: capacity.unwrap_or(UNBOUNDED), lifo };
        let seg = ctx.segment().clone();
        let at = match directory::find(&seg, name.as_bytes())? {
            Some(at) => at,
            None => with_hand(ctx, |hand| directory::find_or_make(&seg, hand, name.as_bytes(), wish))?,
        };
        let channel = Channel::view(&seg, at)?;
        if (Wish { capacity: channel.capacity, lifo: channel.lifo }) != wish {
            return Err(Error::new(Code::InvalidArgument, "the channel exists with other options").into());
        }
        Ok(channel)
    }

    /// The channel of this name, whatever its options, if there is one.
    pub fn find(ctx: &Ctx, name: &str) -> Res<Option<Channel>> {
        check_name(name)?;
        Ok(match directory::find(ctx.segment(), name.as_bytes())? {
            Some(at) => Some(Channel::view(ctx.segment(), at)?),
            None => None,
        })
    }

    /// All channels of the heap, in no order.
    pub fn all(seg: &Arc<Segment>) -> Res<Vec<Channel>> {
        let mut all = Vec::new();
        directory::each(seg, |at| {
            all.push(Channel::view(seg, at)?);
            Ok(())
        })?;
        Ok(all)
    }

    pub(crate) fn view(seg: &Arc<Segment>, at: Off) -> coheap_segment::Result<Channel> {
        let record = ChannelRecord::at(seg, at)?;
        let word1 = Word1(record.word1.load(Acquire));
        if word1.kind() != coheap_objects::kind::CHANNEL {
            return Err(Error::corrupt("a channel that is none", at));
        }
        Ok(Channel {
            seg: seg.clone(),
            at,
            places: record.places(),
            capacity: record.capacity.load(Relaxed),
            lifo: word1.flags() & LIFO != 0,
            memory: Memory::default(),
        })
    }

    /// The offset of the channel's block: its identity, and its guard.
    pub fn offset(&self) -> Off {
        self.at
    }

    /// The most messages that it holds; `None`: no bound.
    pub fn capacity(&self) -> Option<u64> {
        (self.capacity != UNBOUNDED).then_some(self.capacity)
    }

    /// True if the last message put is the first taken.
    pub fn is_lifo(&self) -> bool {
        self.lifo
    }

    /// Its name.
    pub fn name(&self) -> String {
        let Ok(record) = self.record() else { return String::new() };
        let bytes: Vec<u8> = record.name.iter().flat_map(|word| word.load(Relaxed).to_le_bytes()).collect();
        let len = (record.name_len.load(Relaxed) as usize).min(LONGEST_NAME);
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    }

    pub(crate) fn limit(&self) -> u64 {
        self.capacity
    }

    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.seg
    }

    pub(crate) fn record(&self) -> coheap_segment::Result<&ChannelRecord> {
        ChannelRecord::at(&self.seg, self.at)
    }

    pub(crate) fn fifo<'s, 'h, H: Hand>(&'s self, hand: &'h mut H) -> coheap_segment::Result<Fifo<'s, 'h, H>>
    where
        's: 'h,
    {
        Ok(Fifo::new(&self.seg, self.record()?, self.places, hand, &self.memory))
    }

    /// One single operation on the rings, and the wakes that follow from it.
    #[inline]
    fn single<T>(
        &self,
        ctx: &mut Ctx,
        f: impl FnOnce(&mut Fifo<'_, '_, coheap_txn::Hand<'_>>) -> Res<T>,
    ) -> Res<T> {
        let Some(mut hand) = ctx.hand() else { return Err(Fault::Aborted) };
        let mut fifo = self.fifo(&mut hand)?;
        let result = f(&mut fifo);
        let woken = fifo.woken;
        self.wake(&woken);
        result
    }

    /// Puts a message, if there is room: `false` if there is none, and the message is still the caller's.
    /// `ERR_COHEAP_CHANNEL_CLOSED` if the channel is closed. On success the blocks that were built for the message
    /// ([`Ctx::build`]) are adopted. Never waits, but for the memory of a new ring.
    #[inline]
    pub fn try_put(&self, ctx: &mut Ctx, cell: Cell) -> Res<bool> {
        Ok(self.put_many(ctx, &[cell])? == 1)
    }

    /// Puts as many of the messages as there is room for, a prefix, all at one instant. Says how many; the others are
    /// still the caller's. Blocks that were built ahead ([`Ctx::build`]) are adopted if at least one went in: so
    /// build only what fits, or build anew.
    pub fn put_many(&self, ctx: &mut Ctx, cells: &[Cell]) -> Res<usize> {
        let n = self.offer(ctx, cells)?;
        if n > 0 {
            ctx.adopt();
        }
        Ok(n)
    }

    /// As [`Channel::put_many`], but the blocks that were built ahead stay pending: the caller sees to the handles of those
    /// that have not gone in, and then adopts. Not on a LIFO channel, where they are adopted with the first that goes in.
    pub fn offer(&self, ctx: &mut Ctx, cells: &[Cell]) -> Res<usize> {
        if cells.is_empty() {
            return Ok(0);
        }
        let (n, put) = if self.lifo {
            self.push(ctx, cells)?
        } else if ctx.in_transaction() {
            let (n, put) = ctx.with_party(|party: &mut Channels, hand| party.put(hand, self, cells))?;
            if put != Put::Done {
                ctx.confirm()?;
            }
            (n, put)
        } else {
            self.single(ctx, |fifo| Ok(fifo.put_many(cells)?))?
        };
        if n == 0 && (put == Put::Closed || put == Put::Full && self.record()?.sealed.load(SeqCst) != 0) {
            // full and closed: no room will come. SeqCst pairs with the store in `close`, which rings after it.
            return Err(closed());
        }
        Ok(n)
    }

    fn push(&self, ctx: &mut Ctx, cells: &[Cell]) -> Res<(usize, Put)> {
        let result = ctx.write(|m| match stack::push(m, self.at, cells, self.capacity)? {
            // as errors: they leave what was built pending
            (0, Put::Full) => Err(FULL),
            (0, _) => Err(closed()),
            done => Ok(done),
        });
        match result {
            Ok(done) => {
                self.stack_changed(ctx)?;
                Ok(done)
            }
            Err(FULL) => Ok((0, Put::Full)),
            Err(fault) => Err(fault),
        }
    }

    fn stack_changed(&self, ctx: &mut Ctx) -> Res<()> {
        if ctx.in_transaction() {
            return ctx.with_party(|party: &mut Channels, _| {
                party.note_stack(self);
                Ok(())
            });
        }
        self.wake(&Woken { takers: true, putters: true });
        Ok(())
    }

    /// Takes a message: the first, or in a LIFO channel the last. `None`: there is none. `ERR_COHEAP_CHANNEL_CLOSED`:
    /// there will be none. Never waits, but up to 25 µs (in a transaction 10 ms) for the decision of a transaction
    /// that has taken all there is, before it aborts that one. See [`Channel`] for `load`.
    pub fn try_take<T>(
        &self,
        ctx: &mut Ctx,
        mut load: impl FnMut(&mut dyn Mem, Guard, Cell) -> Res<T>,
    ) -> Res<Option<T>> {
        let taken = if self.lifo {
            match self.pop(ctx, 1, &mut load)? {
                Take::Taken(mut one) => one.pop().map_or(Take::Empty, Take::Taken),
                Take::Empty => Take::Empty,
                Take::Closed => Take::Closed,
            }
        } else if ctx.in_transaction() {
            self.take_in_transaction(ctx, &mut load)?
        } else {
            self.single(ctx, |fifo| fifo.take(load))?
        };
        match taken {
            Take::Taken(value) => Ok(Some(value)),
            Take::Empty => Ok(None),
            Take::Closed => Err(closed()),
        }
    }

    fn take_in_transaction<T>(
        &self,
        ctx: &mut Ctx,
        load: &mut dyn FnMut(&mut dyn Mem, Guard, Cell) -> Res<T>,
    ) -> Res<Take<T>> {
        let taken = ctx.with_party(|party: &mut Channels, hand| party.take(hand, self, load))?;
        ctx.confirm()?;
        Ok(match taken {
            Take::Taken((value, content)) => {
                if let Some(content) = content {
                    ctx.write(|m| {
                        m.free(content);
                        Ok(())
                    })?;
                }
                Take::Taken(value)
            }
            Take::Empty => Take::Empty,
            Take::Closed => Take::Closed,
        })
    }

    fn pop<T>(
        &self,
        ctx: &mut Ctx,
        max: u64,
        load: &mut dyn FnMut(&mut dyn Mem, Guard, Cell) -> Res<T>,
    ) -> Res<Take<Vec<T>>> {
        let taken = ctx.write(|m| stack::pop(m, self.at, max, load))?;
        if matches!(taken, Take::Taken(_)) {
            self.stack_changed(ctx)?;
        }
        Ok(taken)
    }

    /// Takes up to `max` of the messages that are there, all at one instant; none, if there is none or the channel has
    /// ended. See [`Channel::try_take`].
    pub fn take_many<T>(
        &self,
        ctx: &mut Ctx,
        max: usize,
        mut load: impl FnMut(&mut dyn Mem, Guard, Cell) -> Res<T>,
    ) -> Res<Vec<T>> {
        if self.lifo {
            return Ok(match self.pop(ctx, max as u64, &mut load)? {
                Take::Taken(values) => values,
                _ => Vec::new(),
            });
        }
        if ctx.in_transaction() {
            let mut values = Vec::new();
            while values.len() < max {
                match self.take_in_transaction(ctx, &mut load)? {
                    Take::Taken(value) => values.push(value),
                    _ => break,
                }
            }
            return Ok(values);
        }
        Ok(match self.single(ctx, |fifo| fifo.take_many(max, load))? {
            Take::Taken(values) => values,
            _ => Vec::new(),
        })
    }

    /// Shows what the next take would give. In a transaction it is not validated at the commit. `None`: nothing.
    pub fn peek<T>(
        &self,
        ctx: &mut Ctx,
        mut load: impl FnMut(&mut dyn Mem, Guard, Cell) -> Res<T>,
    ) -> Res<Option<T>> {
        let seen = if self.lifo {
            ctx.read(|m| stack::peek(m, self.at, &mut load))?
        } else if ctx.in_transaction() {
            let seen = ctx.with_party(|party: &mut Channels, hand| party.peek(hand, self, &mut load))?;
            ctx.confirm()?;
            seen
        } else {
            self.single(ctx, |fifo| fifo.peek(None, load))?
        };
        Ok(match seen {
            Take::Taken(value) => Some(value),
            _ => None,
        })
    }

    /// How many messages there are. Inside a transaction its own puts and takes count, and the commit makes sure of it.
    pub fn len(&self, ctx: &mut Ctx) -> Res<u64> {
        if self.lifo {
            return Ok(ctx.read(|m| stack::state(m, self.at))?.0);
        }
        if ctx.in_transaction() {
            let len = ctx.with_party(|party: &mut Channels, hand| party.len(hand, self))?;
            ctx.confirm()?;
            return Ok(len);
        }
        self.single(ctx, |fifo| Ok(fifo.rings.len(None)?))
    }

    /// True if there is no message.
    pub fn is_empty(&self, ctx: &mut Ctx) -> Res<bool> {
        Ok(self.len(ctx)? == 0)
    }

    /// Closes the channel: takers drain it, then get `ERR_COHEAP_CHANNEL_CLOSED`; putters get it at once. `false` if it was
    /// closed before. `ERR_COHEAP_INVALID_ARGUMENT` inside a transaction: a ring that is sealed cannot be opened again.
    pub fn close(&self, ctx: &mut Ctx) -> Res<bool> {
        if ctx.in_transaction() {
            let refused =
                Error::new(Code::InvalidArgument, "a channel cannot be closed inside a transaction");
            return Err(refused.into());
        }
        let closed = if self.lifo {
            ctx.write(|m| stack::close(m, self.at))?
        } else {
            let record = self.record()?;
            let closed = with_hand(ctx, |hand| self.fifo(hand)?.rings.seal())?;
            // SeqCst: takers that empty the channel look at it before they look for sleepers.
            record.sealed.store(1, SeqCst);
            closed
        };
        self.wake(&Woken { takers: true, putters: true });
        Ok(closed)
    }

    /// True if nothing can be put any more.
    pub fn is_closed(&self, ctx: &mut Ctx) -> Res<bool> {
        if self.lifo {
            return Ok(ctx.read(|m| stack::state(m, self.at))?.1);
        }
        with_hand(ctx, |hand| self.fifo(hand)?.rings.is_sealed())
    }

    /// Rings those who wait for what has happened. No system call and no look at the waiter table if nobody does.
    #[inline]
    pub(crate) fn wake(&self, woken: &Woken) {
        let Ok(record) = self.record() else { return };
        if self.lifo {
            // the change was published with a Release only: it comes before the look
            fence(SeqCst);
        }
        // SeqCst pairs with `Channel::arm`: the sleeper's flag is seen here, or our change is seen by its last look.
        if woken.takers && record.takers_wait.load(SeqCst) != 0 {
            record.takers_wait.store(0, SeqCst);
            self.seg.waiters_ring(self.at + at::TAKERS_WAIT);
        }
        if woken.putters && self.capacity != UNBOUNDED && record.putters_wait.load(SeqCst) != 0 {
            record.putters_wait.store(0, SeqCst);
            self.seg.waiters_ring(self.at + at::PUTTERS_WAIT);
        }
    }
}

/// Settles whatever slot `dead`, whose owner is dead, was putting or taking in any channel of the heap: decided puts
/// become messages, decided takes are gone, everything else is as before. Recovery calls it while the slot's status
/// still says what was decided, before the slot goes back to IDLE: afterwards a decided put would count as aborted.
/// The caller has the role of the slot's recoverer (see [`coheap_txn::on_recovery`]), and announces what it settles in the
/// dead one's own slot. Looks at all places in use; goes on after a channel that makes no sense, and returns the first
/// error. Idempotent.
pub fn recover(segment: &Arc<Segment>, dead: u16) -> coheap_segment::Result<()> {
    let mut result = Ok(());
    directory::each(segment, |at| {
        result = result.and(settle_in(segment, at, dead));
        Ok(())
    })?;
    result
}

fn settle_in(segment: &Arc<Segment>, at: Off, dead: u16) -> coheap_segment::Result<()> {
    let channel = Channel::view(segment, at)?;
    if channel.lifo {
        return Ok(());
    }
    let mut woken = Woken::default();
    let rings = Rings::new(segment, channel.record()?, channel.places, dead);
    let result = rings.settle_all_of(dead, &mut woken);
    channel.wake(&woken);
    result
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("name", &self.name()).field("at", &self.at).finish_non_exhaustive()
    }
}

fn check_name(name: &str) -> coheap_segment::Result<()> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(Error::about(
            Code::InvalidArgument,
            "a channel's name has 1 to 255 bytes",
            name.len() as u64,
        ));
    }
    Ok(())
}

/// Runs `f` with a hand that is there in any case.
pub(crate) fn with_hand<T>(
    ctx: &mut Ctx,
    f: impl FnOnce(&mut coheap_txn::Hand<'_>) -> coheap_segment::Result<T>,
) -> Res<T> {
    if ctx.in_transaction() {
        return ctx.with_party(|_: &mut Channels, hand| Ok(f(hand)?));
    }
    let Some(mut hand) = ctx.hand() else { return Err(Fault::Aborted) };
    let result = f(&mut hand);
    hand.built();
    Ok(result?)
}
