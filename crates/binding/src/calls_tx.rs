//! Calls on transactions.

use std::ffi::CStr;
use std::time::Duration;

use coheap_heap::segment::{Code, Error};
use coheap_heap::txn::{Fault, TxnId, TxnOptions, Watch};

use crate::js::{Js, Value};
use crate::port::{Callback, Outcome, Port, Status, at};
use crate::waiter::Condition;

/// See `js/port.ts`.
pub const CALLS: &[(&CStr, Callback)] = crate::calls![
    c"txBegin" => begin,
    c"txEnter" => enter,
    c"txLeave" => leave,
    c"txCommit" => commit,
    c"txAbort" => abort,
    c"txRestart" => restart,
    c"txWaitSync" => wait_sync,
    c"txWaitAsync" => wait_async,
];

/// Flags of `txBegin`.
const RESERVE_READS: u32 = 1;
const NO_WAIT: u32 = 4;

/// No synchronous wait is longer: `worker.terminate()` cannot interrupt native code.
pub const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// There are at most 1,022 slots, so an index has 10 bits; with a serial number of 32 an id is exact as a double.
const INDEX_BITS: u32 = 10;

fn to_number(tx: TxnId) -> f64 {
    let bits = tx.to_u64();
    ((bits >> 32 << INDEX_BITS) | (bits & ((1 << INDEX_BITS) - 1))) as f64
}

fn transaction(port: &mut Port, js: Js, v: Value) -> Result<TxnId, Error> {
    let id = port.u64(js, v)?;
    from_number(port, id)
}

/// 0: the callback's that is running.
fn from_number(port: &mut Port, id: u64) -> Result<TxnId, Error> {
    if id == 0 {
        let none = Error::new(Code::InvalidArgument, "no transaction is running");
        return port.live()?.ctx.current().ok_or(none);
    }
    Ok(TxnId::from_u64(id >> INDEX_BITS << 32 | id & ((1 << INDEX_BITS) - 1)))
}

/// Begins the callback's transaction that the state buffer asks for.
#[inline(never)]
pub fn begin_asked(port: &mut Port) -> Result<(), Error> {
    let flags = port.state.told_word(at::BEGIN);
    port.state.word(at::BEGIN, 0);
    let options = TxnOptions { reserve_reads: flags & RESERVE_READS != 0, ..TxnOptions::default() };
    port.live()?.ctx.begin(options)?;
    Ok(())
}

fn begin(port: &mut Port, _: Js, []: [Value; 0]) -> Outcome {
    let flags = port.state.told_word(at::FLAGS);
    let max_hold_ms = port.state.told_word(at::MAX_HOLD) as u64;
    let tx = port.live()?.ctx.begin(TxnOptions {
        reserve_reads: flags & RESERVE_READS != 0,
        explicit: true,
        no_wait: flags & NO_WAIT != 0,
        max_hold_ms,
    })?;
    port.state.number(at::TX, to_number(tx));
    Ok(Value::NOTHING)
}

fn enter(port: &mut Port, js: Js, [tx]: [Value; 1]) -> Outcome {
    let tx = transaction(port, js, tx)?;
    port.live()?.ctx.enter(tx)?;
    Ok(Value::NOTHING)
}

fn leave(port: &mut Port, _: Js, []: [Value; 0]) -> Outcome {
    port.live()?.ctx.leave();
    Ok(Value::NOTHING)
}

fn commit(port: &mut Port, js: Js, []: [Value; 0]) -> Outcome {
    let tx = from_number(port, port.state.told_number(at::TX) as u64)?;
    let live = port.live()?;
    match live.ctx.commit(tx) {
        Ok(()) => {
            live.tentative.clear();
            Ok(Value::NOTHING)
        }
        Err(Fault::Error(error)) => {
            live.ctx.abort(tx);
            live.drop_tentative(js);
            Err(error.into())
        }
        Err(aborted) => Err(aborted),
    }
}

fn abort(port: &mut Port, js: Js, [tx]: [Value; 1]) -> Outcome {
    let tx = transaction(port, js, tx)?;
    let live = port.live()?;
    live.ctx.abort(tx);
    live.drop_tentative(js);
    Ok(Value::NOTHING)
}

fn restart(port: &mut Port, js: Js, [tx]: [Value; 1]) -> Outcome {
    let tx = transaction(port, js, tx)?;
    let live = port.live()?;
    if live.ctx.is_blocked(tx)? {
        port.state.status(Status::Again);
        return Ok(Value::NOTHING);
    }
    live.ctx.restart(tx)?;
    live.drop_tentative(js);
    Ok(Value::NOTHING)
}

/// `retry()`.
fn wait_sync(port: &mut Port, js: Js, [tx, ms]: [Value; 2]) -> Outcome {
    let tx = transaction(port, js, tx)?;
    let limit = milliseconds(js, ms)?.min(LONGEST_WAIT);
    let live = port.live()?;
    let changed = live.ctx.wait_for_change(tx, limit)?;
    live.drop_tentative(js);
    Ok(js.boolean(changed))
}

/// A span of time as JavaScript gives it: not negative, perhaps infinite.
pub fn milliseconds(js: Js, v: Value) -> Result<Duration, Error> {
    let ms = js.as_f64(v).filter(|ms| *ms >= 0.0);
    let ms = ms.ok_or(Error::new(Code::InvalidArgument, "not a span of time in milliseconds"))?;
    Ok(Duration::try_from_secs_f64(ms / 1e3).unwrap_or(Duration::MAX))
}

struct Changed(Watch);

impl Condition for Changed {
    fn holds(&mut self, _: bool) -> bool {
        self.0.changed()
    }
}

fn wait_async(port: &mut Port, js: Js, [tx, token]: [Value; 2]) -> Outcome {
    let (tx, token) = (transaction(port, js, tx)?, port.u32(js, token)?);
    let live = port.live()?;
    let reads = live.ctx.give_up(tx)?;
    live.drop_tentative(js);
    let watch = live.ctx.watch(reads);
    live.wait(token, Box::new(Changed(watch)))?;
    Ok(Value::NOTHING)
}
