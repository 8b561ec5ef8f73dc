//! Calls on channels.

use std::ffi::CStr;
use std::ops::Range;

use coheap_heap::objects::cell::Cell;
use coheap_heap::objects::graph;
use coheap_heap::objects::wire::Writer;
use coheap_heap::queue::{Channel, Role, Watch};
use coheap_heap::segment::{Code, Error};
use coheap_heap::txn::{Fault, Guard, Mem, Res};

use crate::batch::Batch;
use crate::calls_tx::{LONGEST_WAIT, milliseconds};
use crate::convert::{self, Input, deliver, deliver_by_state};
use crate::js::{Js, Value};
use crate::live::Live;
use crate::port::{Callback, Outcome, Parts, Port, Status, at};
use crate::waiter::Condition;

/// See `js/port.ts`.
pub const CALLS: &[(&CStr, Callback)] = crate::calls![
    c"channelOpen" => open,
    c"channelPut" => put,
    c"channelPutNumber" => put_number,
    c"channelTake" => take,
    c"channelTakeMany" => take_many,
    c"channelPeek" => peek,
    c"channelLength" => length,
    c"channelClose" => close,
    c"channelIsClosed" => is_closed,
    c"channelPutMany" => put_many,
    c"batchBuild" => batch_build,
    c"batchPut" => batch_put,
    c"batchValue" => batch_value,
    c"batchDrop" => batch_drop,
    c"channelWaitSync" => wait_sync,
    c"channelWaitAsync" => wait_async,
];

/// The position of a channel's number, from 1.
fn position(port: &Port, js: Js, c: Value) -> Result<usize, Error> {
    known(port, port.u32(js, c)?)
}

/// As [`position`], of the number that the state buffer says.
#[inline]
fn told_position(port: &Port) -> Result<usize, Error> {
    known(port, port.state.told_word(at::HANDLE))
}

#[inline]
fn known(port: &Port, c: u32) -> Result<usize, Error> {
    let c = c as usize;
    match &port.live {
        Some(live) if (1..=live.channels.len()).contains(&c) => Ok(c - 1),
        Some(_) => Err(Error::about(Code::InvalidArgument, "no such channel", c as u64)),
        None => Err(Port::CLOSED),
    }
}

fn open(port: &mut Port, js: Js, [name, capacity, lifo]: [Value; 3]) -> Outcome {
    let name = js.as_string(name).ok_or(Error::new(Code::InvalidArgument, "a channel's name is a string"))?;
    let (capacity, lifo) = (js.as_u64(capacity), js.as_bool(lifo));
    let live = port.live()?;
    let channel = match Channel::find(&live.ctx, &name)? {
        Some(there) => there,
        None => {
            let wanted = capacity.filter(|&n| n > 0);
            match Channel::open(&mut live.ctx, &name, wanted, lifo.unwrap_or(false)) {
                Ok(made) => made,
                // somebody was quicker, with other wishes
                Err(fault) => Channel::find(&live.ctx, &name)?.ok_or(fault)?,
            }
        }
    };
    let differs = capacity.is_some_and(|n| n != channel.capacity().unwrap_or(0))
        || lifo.is_some_and(|lifo| lifo != channel.is_lifo());
    if differs {
        return Err(Error::new(Code::InvalidArgument, "the channel exists with other options").into());
    }
    let known = live.channels.iter().position(|c| c.offset() == channel.offset());
    let at = known.unwrap_or_else(|| {
        live.channels.push(channel);
        live.channels.len() - 1
    });
    Ok(js.number(at as f64 + 1.0))
}

/// AGAIN or CLOSED, where a put or take says so.
fn refused(port: &mut Port, fault: Fault) -> Outcome {
    match fault {
        Fault::Error(Error { code: Code::ChannelClosed, .. }) => port.state.status(Status::Closed),
        Fault::Error(Error { code: Code::ChannelFull, .. }) => port.state.status(Status::Again),
        other => return Err(other),
    }
    Ok(Value::NOTHING)
}

const FULL: Fault = Fault::Error(Error::new(Code::ChannelFull, "the channel is full"));

#[inline]
fn put(port: &mut Port, js: Js, [value]: [Value; 1]) -> Outcome {
    let c = told_position(port)?;
    let bytes = port.state.told_word(at::WIRE) as usize;
    let Parts { live, staging, text, .. } = port.parts()?;
    let cell = match Input::of(js, value, text)? {
        Input::Cell(cell) => cell,
        Input::Text => live.ctx.build(|m| text.build(m))?,
        Input::Staged => {
            let wire = staging.read(bytes)?;
            live.build(|m, resolve| graph::build(m, wire, resolve))?
        }
    };
    put_built(port, js, c, cell)
}

fn put_number(port: &mut Port, js: Js, []: [Value; 0]) -> Outcome {
    let c = told_position(port)?;
    let cell = Cell::number(port.state.told_number(at::VALUE));
    put_built(port, js, c, cell)
}

#[inline]
fn put_built(port: &mut Port, js: Js, c: usize, cell: Cell) -> Outcome {
    let live = port.live()?;
    match put_cell(live, c, cell) {
        Ok(()) if cell.is_identity() => deliver_live(port, js, cell),
        Ok(()) => Ok(Value::NOTHING),
        Err(fault) => {
            live.ctx.discard();
            refused(port, fault)
        }
    }
}

/// Puts one cell. A live object has a handle before anyone can take it: what goes in is shown to who put it.
#[inline]
fn put_cell(live: &mut Live, c: usize, cell: Cell) -> Result<(), Fault> {
    if cell.is_identity() {
        live.pin(cell)?;
    }
    let put =
        live.channels[c].try_put(&mut live.ctx, cell).and_then(|put| if put { Ok(()) } else { Err(FULL) });
    if put.is_err() {
        live.pins.start();
    }
    live.pins.keep();
    put
}

/// The live object that has been put, on which this thread has a handle; nothing if its taker has destroyed it since: it
/// has been put all the same.
fn deliver_live(port: &mut Port, js: Js, cell: Cell) -> Outcome {
    match port.live()?.look(|m, pins, _| convert::load_object(m, cell, pins)) {
        Ok(found) => deliver(port, js, found),
        Err(Fault::Error(Error { code: Code::Destroyed, .. })) => Ok(Value::NOTHING),
        Err(fault) => Err(fault),
    }
}

fn take(port: &mut Port, js: Js, []: [Value; 0]) -> Outcome {
    let c = told_position(port)?;
    let taken = port.live()?.run_on(c, |channel, ctx, pins, out| {
        channel.try_take(ctx, |m, guard, cell| {
            pins.start();
            convert::load(m, guard, cell, pins, out)
        })
    });
    give(port, js, taken)
}

fn peek(port: &mut Port, js: Js, [c]: [Value; 1]) -> Outcome {
    let c = position(port, js, c)?;
    let seen = port.live()?.run_on(c, |channel, ctx, pins, out| {
        channel.peek(ctx, |m, guard, cell| {
            pins.start();
            convert::load(m, guard, cell, pins, out)
        })
    });
    give(port, js, seen)
}

#[inline]
fn give(port: &mut Port, js: Js, message: Result<Option<Cell>, Fault>) -> Outcome {
    match message {
        Ok(Some(found)) => deliver_by_state(port, js, found),
        Ok(None) => {
            port.state.status(Status::Again);
            Ok(Value::NOTHING)
        }
        Err(fault) => refused(port, fault),
    }
}

/// One of several messages: where its wire stands in the output, and the handles that it needs.
struct Loaded {
    wire: Range<usize>,
    handles: Vec<u32>,
}

/// Bytes of the count in front of several values.
const COUNT: usize = 4;

fn take_many(port: &mut Port, js: Js, [c, max]: [Value; 2]) -> Outcome {
    let (c, max) = (position(port, js, c)?, port.u32(js, max)?);
    let taken = port.live()?.run_on(c, |channel, ctx, pins, out| {
        pins.start();
        out.clear();
        out.extend_from_slice(&[0; COUNT]);
        let load = |m: &mut dyn Mem, guard: Guard, cell: Cell| -> Res<Loaded> {
            let start = out.len();
            if Writer(out).immediate(cell) {
                return Ok(Loaded { wire: start..out.len(), handles: Vec::new() });
            }
            let (written, handles) = pins.track(|pins| convert::write(m, guard, cell, pins, out));
            written.map(|()| Loaded { wire: start..out.len(), handles })
        };
        let messages = channel.take_many(ctx, max as usize, load)?;
        // a message that was loaded and then taken by somebody else leaves no handle and no wire
        pins.keep_only(messages.iter().flat_map(|message| &message.handles));
        let mut end = COUNT;
        let in_place = messages.iter().all(|message| {
            let follows = message.wire.start == end;
            end = message.wire.end;
            follows
        });
        if !(in_place && end == out.len()) {
            let head = 0..COUNT;
            let ranges = std::iter::once(&head).chain(messages.iter().map(|message| &message.wire));
            *out = ranges.flat_map(|range| &out[range.clone()]).copied().collect();
        }
        out[..COUNT].copy_from_slice(&(messages.len() as u32).to_le_bytes());
        Ok(messages.len())
    });
    match taken {
        Ok(0) => {
            port.state.status(Status::Again);
            Ok(Value::NOTHING)
        }
        Ok(_) => {
            port.state.number(4, 0.0);
            port.deliver_out(js)
        }
        Err(fault) => refused(port, fault),
    }
}

fn length(port: &mut Port, js: Js, [c]: [Value; 1]) -> Outcome {
    let c = position(port, js, c)?;
    let Live { channels, ctx, .. } = port.live()?;
    let len = channels[c].len(ctx)?;
    Ok(js.number(len as f64))
}

fn close(port: &mut Port, js: Js, [c]: [Value; 1]) -> Outcome {
    let c = position(port, js, c)?;
    let Live { channels, ctx, .. } = port.live()?;
    channels[c].close(ctx)?;
    Ok(Value::NOTHING)
}

fn is_closed(port: &mut Port, js: Js, [c]: [Value; 1]) -> Outcome {
    let c = position(port, js, c)?;
    let Live { channels, ctx, .. } = port.live()?;
    let closed = channels[c].is_closed(ctx)?;
    Ok(js.boolean(closed))
}

/// Puts what staging holds, as much of it as there is room for. What is left waits as a batch if `keep`, else it is
/// given up.
fn put_many(port: &mut Port, js: Js, [c, wire, keep]: [Value; 3]) -> Outcome {
    let (c, wire) = (position(port, js, c)?, port.u32(js, wire)?);
    let keep = js.as_bool(keep).unwrap_or(false);
    let Parts { live, staging, .. } = port.parts()?;
    let wire = staging.read(wire as usize)?;
    let put = if live.channels[c].is_lifo() {
        // what goes in there adopts all that was built
        let mut batch = Batch::build(live, wire)?;
        let Live { channels, ctx, .. } = &mut *live;
        match channels[c].put_many(ctx, batch.left()) {
            Ok(n) => batch.done(live, n).map(|left| (n, left.then_some(batch))),
            Err(fault) => batch.discard(live).and(Err(fault)),
        }
    } else {
        let cells = live.build(|m, resolve| graph::build_all(m, wire, resolve))?;
        let Live { channels, ctx, .. } = &mut *live;
        match channels[c].offer(ctx, &cells) {
            Ok(n) if n == cells.len() => {
                ctx.adopt();
                Ok((n, None))
            }
            Ok(n) => {
                let left = Batch::of(live, cells[n..].to_vec());
                live.ctx.adopt();
                match left {
                    Ok(batch) => Ok((n, Some(batch))),
                    // no room for handles: what has gone in has gone in, the rest is garbage
                    Err(_) if n > 0 && !keep => Ok((n, None)),
                    Err(fault) => Err(fault),
                }
            }
            Err(fault) => {
                ctx.discard();
                Err(fault)
            }
        }
    };
    let (n, left) = match put {
        Ok(put) => put,
        Err(fault) => return refused(port, fault),
    };
    let number = match left {
        Some(batch) if keep => live.enter_batch(batch),
        Some(batch) => batch.discard(live).map(|()| 0)?,
        None => 0,
    };
    if n == 0 {
        port.state.status(Status::Again);
    }
    port.state.number(at::VALUE, number as f64);
    Ok(js.number(n as f64))
}

fn batch_build(port: &mut Port, js: Js, [wire]: [Value; 1]) -> Outcome {
    let wire = port.u32(js, wire)?;
    let Parts { live, staging, .. } = port.parts()?;
    let wire = staging.read(wire as usize)?;
    let batch = Batch::build(live, wire)?;
    Ok(js.number(live.enter_batch(batch) as f64))
}

fn batch_put(port: &mut Port, js: Js, [c, batch]: [Value; 2]) -> Outcome {
    let (c, number) = (position(port, js, c)?, port.u64(js, batch)?);
    let live = port.live()?;
    let none = Error::about(Code::InvalidArgument, "no such batch", number);
    let mut batch = live.batches.remove(&number).ok_or(none)?;
    let Live { channels, ctx, .. } = &mut *live;
    let put = channels[c].put_many(ctx, batch.left());
    match put {
        Ok(n) => {
            if batch.done(live, n)? {
                live.batches.insert(number, batch);
            }
            if n == 0 {
                port.state.status(Status::Again);
            }
            Ok(js.number(n as f64))
        }
        Err(fault) => {
            live.batches.insert(number, batch);
            refused(port, fault)
        }
    }
}

fn batch_value(port: &mut Port, js: Js, []: [Value; 0]) -> Outcome {
    match port.live()?.last_put.take() {
        Some(cell) => deliver_live(port, js, cell),
        None => Ok(Value::NOTHING),
    }
}

fn batch_drop(port: &mut Port, js: Js, [batch]: [Value; 1]) -> Outcome {
    let number = port.u64(js, batch)?;
    let live = port.live()?;
    if let Some(batch) = live.batches.remove(&number) {
        batch.discard(live)?;
    }
    Ok(Value::NOTHING)
}

fn role(js: Js, role: Value) -> Result<Role, Error> {
    match js.as_u32(role) {
        Some(0) => Ok(Role::Taker),
        Some(1) => Ok(Role::Putter),
        _ => Err(Error::new(Code::InvalidArgument, "a role is 0 or 1")),
    }
}

fn wait_sync(port: &mut Port, js: Js, [c, who, ms]: [Value; 3]) -> Outcome {
    let (c, who) = (position(port, js, c)?, role(js, who)?);
    let limit = milliseconds(js, ms)?.min(LONGEST_WAIT);
    let Live { channels, ctx, .. } = port.live()?;
    let ready = channels[c].wait_sync(ctx, who, limit)?;
    Ok(js.boolean(ready))
}

/// A wait for a channel. At first its own thread has looked closely; later, without a ring, the watch tells whether it is
/// worth a closer look.
struct Stirs {
    watch: Watch,
    /// What the close look said.
    ready: Option<bool>,
}

impl Condition for Stirs {
    fn holds(&mut self, rung: bool) -> bool {
        match self.ready.take() {
            Some(ready) => ready,
            None => rung || self.watch.stirs(),
        }
    }
}

fn wait_async(port: &mut Port, js: Js, [c, who, token]: [Value; 3]) -> Outcome {
    let (c, who, token) = (position(port, js, c)?, role(js, who)?, port.u32(js, token)?);
    let live = port.live()?;
    let Live { channels, ctx, .. } = &mut *live;
    let watch = channels[c].watch(ctx, who)?;
    let ready = Some(channels[c].is_ready(ctx, who)?);
    live.wait(token, Box::new(Stirs { watch, ready }))?;
    Ok(Value::NOTHING)
}
