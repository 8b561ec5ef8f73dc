//! Death while a heap is renumbered: nothing that a program can see changes, and the next one begins again.

use std::sync::atomic::Ordering::SeqCst;

use coheap_heap::segment::word::{FIRST_VERSION, RENUMBERED_ABOVE};
use coheap_heap::{Channel, Data, Heap, Result};

use crate::campaign::{Extent, Tally, below, choose, kill_at};
use crate::case::{act, ask};
use crate::common::nothing_is_left;
use crate::dice::Dice;
use crate::operations::{arrive, hold};
use crate::setting::{Setting, look};
use crate::tracee::{Failure, wrong};

/// What the output calls it.
pub const NAME: &str = "open, which renumbers";

/// A clock that has come too far, and versions beyond it.
const CLOCK: u64 = RENUMBERED_ABOVE + 1000;

fn jobs(heap: &Heap) -> Result<Channel> {
    heap.channel("jobs", None, false)
}

/// Fills the heap with what has versions, blocks that are free again too, and leaves somebody dead in a transaction.
fn fill(setting: &Setting) -> Result<()> {
    let heap = Heap::create(&setting.name, &setting.options)?;
    heap.segment().header().clock.store(CLOCK, SeqCst);
    let root = heap.root();
    root.set("n", 0.0)?;
    root.set("object", Data::object([("list", Data::array((0..600).map(|i| format!("text {i} of many"))))]))?;
    root.set("map", Data::map())?;
    let map = root.get("map")?.map()?;
    (0..70).try_for_each(|i| map.set(f64::from(i), f64::from(i)))?;
    root.set("gone", "a text that is gone")?;
    root.delete("gone")?;
    jobs(&heap)?.try_put("a message of some length")?;
    // this process ends without leaving
    std::mem::forget((hold(setting)?, heap));
    Ok(())
}

/// The one who comes afterwards, alone: what it sees is what was there, and it goes on with it.
fn come(setting: &Setting) -> Result<String> {
    let heap = setting.heap()?;
    let seen = look(&heap)?;
    nothing_is_left(&heap);
    let clock = heap.segment().header().clock.load(SeqCst);
    assert!((FIRST_VERSION..CLOCK / 2).contains(&clock), "{clock} has been renumbered");
    // in a transaction versions are compared with the clock
    heap.transaction(|heap| {
        let map = heap.root().get("map")?.map()?;
        (0..70).try_for_each(|i| map.get(f64::from(i)).map(drop))?;
        heap.root().get("object")?.record()?.get("list")?.array()?.to_vec()?;
        heap.root().set("n", 1.0)?;
        map.set(500.0, "a text")
    })?;
    assert!(jobs(&heap)?.try_take()?.is_some());
    nothing_is_left(&heap);
    Ok(seen)
}

/// Kills those who open the heap, one after the other, at these points, and looks. The events of the last.
fn deaths(
    setting: &Setting,
    image: &[u8],
    seen: &str,
    points: &[usize],
    tally: &mut Tally,
) -> std::result::Result<usize, Failure> {
    setting.place(image).or_else(|error| wrong(error.to_string()))?;
    let events = kill_at(points, &setting.path(), || act(|| arrive(setting)), tally)?;
    let found = ask(|| come(setting)).or_else(|failure| match failure {
        Failure::Wrong(what) => wrong(format!("killed before events {points:?}: {what}")),
        other => Err(other),
    })?;
    if found != seen {
        return wrong(format!("killed before events {points:?}: {found} instead of {seen}"));
    }
    tally.before += 1;
    Ok(events)
}

/// Kills them: in `most` of the states at most.
pub fn campaign(extent: Extent, most: usize, dice: &mut Dice) -> std::result::Result<Tally, Failure> {
    let setting = Setting::new();
    setting.remove();
    ask(|| fill(&setting).map(|()| String::new()))?;
    let image = setting.read().or_else(|error| wrong(error.to_string()))?;
    let seen = ask(|| come(&setting))?;
    let mut tally = Tally::default();
    let events = deaths(&setting, &image, &seen, &[usize::MAX], &mut tally)?;
    tally.states = events + 1;
    let (few, seconds) = if extent == Extent::Sample { (8, 2) } else { (most, 40) };
    for n in choose(few, tally.states, dice) {
        tally.distinct += 1;
        deaths(&setting, &image, &seen, &[n], &mut tally)?;
    }
    for n in choose(seconds, tally.states, dice) {
        let m = below(tally.states, dice);
        deaths(&setting, &image, &seen, &[n, m], &mut tally)?;
    }
    setting.remove();
    Ok(tally)
}
