//! Calls on transactions.

use std::ffi::CStr;
use std::time::{Duration, Instant};

use coheap_heap::segment::Error;
use coheap_heap::txn::{Fault, TxnId, TxnOptions};

use crate::js::{Js, Value};
use crate::live::Live;
use crate::port::{Callback, Outcome, Port, Status};

/// See `js/port.ts`.
pub const CALLS: &[(&CStr, Callback)] = crate::calls![
    c"txBegin" => begin,
    c"txEnter" => enter,
    c"txLeave" => leave,
    c"txCommit" => commit,
    c"txAbort" => abort,
    c"txRestart" => restart,
];

/// Flags of `txBegin`.
const RESERVE_READS: u32 = 1;
const EXPLICIT: u32 = 2;
const NO_WAIT: u32 = 4;

/// No synchronous wait is longer: `worker.terminate()` cannot interrupt native code.
pub const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// There are at most 1,022 slots, so an index has 10 bits; with a serial number of 32 an id is exact as a double.
const INDEX_BITS: u32 = 10;

fn to_number(tx: TxnId) -> f64 {
    let bits = tx.to_u64();
    ((bits >> 32 << INDEX_BITS) | (bits & ((1 << INDEX_BITS) - 1))) as f64
}

fn transaction(port: &Port, js: Js, v: Value) -> Result<TxnId, Error> {
    let id = port.u64(js, v)?;
    Ok(TxnId::from_u64(id >> INDEX_BITS << 32 | id & ((1 << INDEX_BITS) - 1)))
}

fn begin(port: &mut Port, js: Js, [flags, max_hold]: [Value; 2]) -> Outcome {
    let (flags, max_hold_ms) = (port.u32(js, flags)?, port.u64(js, max_hold)?);
    let tx = port.live()?.ctx.begin(TxnOptions {
        reserve_reads: flags & RESERVE_READS != 0,
        explicit: flags & EXPLICIT != 0,
        no_wait: flags & NO_WAIT != 0,
        max_hold_ms,
    })?;
    Ok(js.number(to_number(tx)))
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

fn commit(port: &mut Port, js: Js, [tx]: [Value; 1]) -> Outcome {
    let tx = transaction(port, js, tx)?;
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

fn restart(port: &mut Port, js: Js, [tx, wait]: [Value; 2]) -> Outcome {
    let tx = transaction(port, js, tx)?;
    let wait = js.as_bool(wait).unwrap_or(false);
    let live = port.live()?;
    if !elder_is_out_of_the_way(live, tx, wait) {
        port.state.status(Status::Again);
        return Ok(Value::NOTHING);
    }
    live.ctx.restart(tx)?;
    live.drop_tentative(js);
    Ok(Value::NOTHING)
}

/// Waits, if asked to, until the attempt that this one was aborted for has ended; false if it has not and there was no
/// waiting. When the time is up the next attempt begins nevertheless, and judges that one by its steps.
fn elder_is_out_of_the_way(live: &mut Live, tx: TxnId, wait: bool) -> bool {
    let Some(elder) = live.ctx.blocked_on(tx) else { return true };
    let start = Instant::now();
    let mut nap = Duration::from_micros(50);
    while !live.ctx.has_ended(&elder) {
        if !wait {
            return false;
        }
        if start.elapsed() >= LONGEST_WAIT {
            break;
        }
        std::thread::sleep(nap);
        nap = (nap * 2).min(Duration::from_millis(1));
    }
    true
}
