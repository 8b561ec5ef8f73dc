//! Death while a heap is created: there is one or there is none, and its name serves the next.

use std::path::Path;

use coheap_heap::segment::Code;
use coheap_heap::{Heap, Result};

use crate::campaign::{Extent, Tally, below, choose_states, kill_at};
use crate::case::act;
use crate::common::nothing_is_left;
use crate::dice::Dice;
use crate::helper::{Answer, Helper};
use crate::setting::{Action, Setting, look};
use crate::tracee::{Failure, wrong};

/// What the output calls it.
pub const NAMES: [&str; 2] = ["create", "create, to persist"];

fn create(setting: &Setting) -> Result<Action> {
    let setting = setting.clone();
    let mut kept = Vec::new();
    Ok(Box::new(move || match Heap::create(&setting.name, &setting.options) {
        Ok(heap) => {
            kept.push(heap);
            Ok(true)
        }
        // the second creator may find what the first has made
        Err(error) if error.code == Code::Exists => Ok(false),
        Err(error) => Err(error),
    }))
}

fn text(error: coheap_heap::Error) -> String {
    format!("{error:?}")
}

/// The one who comes afterwards: finds a whole heap or none, makes its own, and leaves nothing.
fn come(setting: &Setting) -> Answer {
    let use_it = |heap: &Heap| {
        if look(heap).map_err(text)? != "{}" {
            return Err("a new heap with something in it".to_owned());
        }
        nothing_is_left(heap);
        heap.root().set("n", 1.0).map_err(text)?;
        nothing_is_left(heap);
        Ok(())
    };
    let found = match Heap::open(&setting.name, &setting.options) {
        Ok(heap) => {
            use_it(&heap)?;
            "after"
        }
        Err(error) if error.code == Code::NotFound => {
            use_it(&Heap::create(&setting.name, &setting.options).map_err(text)?)?;
            "before"
        }
        Err(error) => return Err(text(error)),
    };
    let there = Heap::unlink(&setting.name, None).map_err(text)?;
    if there != setting.options.persist || Path::new(&setting.path()).exists() {
        return Err(format!("{found}: it persists: {there}"));
    }
    Ok(found.to_owned())
}

/// Runs one or two creators to these points, kills them, and looks. The events of the last.
fn deaths(setting: &Setting, points: &[usize], tally: &mut Tally) -> std::result::Result<usize, Failure> {
    setting.remove();
    let events = kill_at(points, &setting.path(), || act(|| create(setting)), tally)?;
    let answer = Helper::spawn(|_| come(setting)).or_else(|error| wrong(error.to_string()))?.answer();
    match answer.or_else(|what| wrong(format!("killed before events {points:?}: {what}")))?.as_str() {
        "before" => tally.before += 1,
        _ => tally.after += 1,
    }
    Ok(events)
}

/// Kills creators: in `most` of the states at most.
pub fn campaign(
    persist: bool,
    extent: Extent,
    most: usize,
    dice: &mut Dice,
) -> std::result::Result<Tally, Failure> {
    let mut setting = Setting::new();
    setting.options.persist = persist;
    let mut tally = Tally::default();
    let events = deaths(&setting, &[usize::MAX], &mut tally)?;
    tally.states = events + 1;
    let (few, seconds) = if extent == Extent::Sample { (3, 1) } else { (most, most.min(40)) };
    for n in choose_states(few, tally.states, dice) {
        tally.distinct += 1;
        deaths(&setting, &[n], &mut tally)?;
    }
    for n in choose_states(seconds, tally.states, dice) {
        let m = below(tally.states, dice);
        deaths(&setting, &[n, m], &mut tally)?;
    }
    setting.remove();
    Ok(tally)
}
