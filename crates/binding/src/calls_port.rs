//! Calls about the port itself: buffers, wrappers, failures, the event loop, the end.

use coheap_heap::segment::{Code, Error};
use coheap_heap::{stats, verify};

use crate::deaths::{self, DeathWatch};
use crate::js::{Js, Type, Value};
use crate::port::{Callback, Outcome, Port, at};
use crate::waiter::Waiter;

/// See `js/port.ts`.
pub const CALLS: &[(&std::ffi::CStr, Callback)] = crate::calls![
    c"staging" => staging,
    c"window" => window,
    c"committed" => committed,
    c"lastError" => last_error,
    c"adopt" => adopt,
    c"onWake" => on_wake,
    c"refLoop" => ref_loop,
    c"cancelWait" => cancel_wait,
    c"watchDeaths" => watch_deaths,
    c"unwatchDeaths" => unwatch_deaths,
    c"stats" => stats,
    c"participants" => participants,
    c"verify" => verify,
    c"close" => close,
];

fn staging(port: &mut Port, js: Js, [min]: [Value; 1]) -> Outcome {
    let min = port.u32(js, min)?;
    let buffer = port.staging.at_least(js, min as usize)?;
    port.state.word(at::STAGING, port.staging.generation());
    Ok(buffer)
}

fn window(port: &mut Port, js: Js, [index, end]: [Value; 2]) -> Outcome {
    let index = port.u32(js, index)?;
    let end = port.u64(js, end)?;
    Ok(port.live()?.window(js, index as usize, end)?)
}

fn committed(port: &mut Port, js: Js, []: [Value; 0]) -> Outcome {
    Ok(js.number(port.live()?.segment().refresh_committed() as f64))
}

fn last_error(port: &mut Port, js: Js, []: [Value; 0]) -> Outcome {
    Ok(js.string(&port.last_error.text().to_string()))
}

fn adopt(port: &mut Port, js: Js, [handle, wrapper]: [Value; 2]) -> Outcome {
    let handle = port.u32(js, handle)?;
    port.live()?.adopt(js, handle, wrapper)?;
    Ok(Value::NOTHING)
}

fn on_wake(port: &mut Port, js: Js, [callback]: [Value; 1]) -> Outcome {
    if js.type_of(callback) != Type::Other {
        return Err(Error::new(Code::InvalidArgument, "onWake takes a function").into());
    }
    let live = port.live()?;
    if live.waiter.is_none() {
        live.waiter = Some(Waiter::new(js, live.segment().clone(), live.ctx.participant(), callback)?);
    }
    Ok(Value::NOTHING)
}

fn ref_loop(port: &mut Port, js: Js, [on]: [Value; 1]) -> Outcome {
    let on = js.as_bool(on).unwrap_or(false);
    if let Some(waiter) = &port.live()?.waiter {
        waiter.keep_loop_alive(js, on);
    }
    Ok(Value::NOTHING)
}

fn cancel_wait(port: &mut Port, js: Js, [token]: [Value; 1]) -> Outcome {
    let token = port.u32(js, token)?;
    if let Some(waiter) = &port.live()?.waiter {
        waiter.cancel(token);
    }
    Ok(Value::NOTHING)
}

fn watch_deaths(port: &mut Port, js: Js, [callback]: [Value; 1]) -> Outcome {
    if js.type_of(callback) != Type::Other {
        return Err(Error::new(Code::InvalidArgument, "watchDeaths takes a function").into());
    }
    let live = port.live()?;
    if live.deaths.is_none() {
        live.deaths = Some(DeathWatch::start(js, live.segment(), live.ctx.participant(), callback)?);
    }
    Ok(Value::NOTHING)
}

fn unwatch_deaths(port: &mut Port, js: Js, []: [Value; 0]) -> Outcome {
    if let Some(watch) = port.live()?.deaths.take() {
        watch.stop(Some(js));
    }
    Ok(Value::NOTHING)
}

fn close(port: &mut Port, js: Js, []: [Value; 0]) -> Outcome {
    port.leave(Some(js));
    Ok(Value::NOTHING)
}

fn stats(port: &mut Port, js: Js, []: [Value; 0]) -> Outcome {
    let s = stats::stats(port.live()?.segment());
    // a collector would fill in the last three
    Ok(js.string(&format!(
        r#"{{"capacity":{},"committed":{},"used":{},"free":{},"objects":{},"participants":{},"commits":{},"aborts":{},"collections":0,"collecting":false,"longestPauseMs":0}}"#,
        s.capacity, s.committed, s.used, s.free, s.objects, s.participants, s.commits, s.aborts,
    )))
}

fn participants(port: &mut Port, js: Js, []: [Value; 0]) -> Outcome {
    let live = port.live()?;
    let me = live.ctx.participant();
    let list: Vec<String> =
        stats::participants(live.segment()).iter().map(|p| deaths::json(p, p.id == me)).collect();
    Ok(js.string(&format!("[{}]", list.join(","))))
}

fn verify(port: &mut Port, js: Js, []: [Value; 0]) -> Outcome {
    let found = verify::verify(port.live()?.segment());
    let list: Vec<String> =
        found.iter().map(|v| format!(r#"{{"at":{},"what":"{}"}}"#, v.at, v.what)).collect();
    Ok(js.string(&format!("[{}]", list.join(","))))
}
