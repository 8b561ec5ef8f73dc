//! The process that looks on: it finds the dead one's work undone or finished, whole, and does the same itself at once.

use std::collections::BTreeSet;

use coheap_heap::{Deaths, Heap, slab, txn};

use crate::case::Case;
use crate::common::nothing_is_left;
use crate::helper::Answer;
use crate::operations::Order;
use crate::setting::{WITNESS, look};

/// How a death is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// By a process that was there: it buries the dead one, looks, and does the operation.
    Buries,
    /// By a process that was there: it does the operation at once, and so meets what the dead one has left.
    GoesOn,
    /// By a process that comes afterwards.
    Comes,
}

impl Manner {
    /// All.
    pub const ALL: [Manner; 3] = [Manner::Buries, Manner::GoesOn, Manner::Comes];

    /// The witness is there before the death.
    pub fn is_present(self) -> bool {
        self != Manner::Comes
    }
}

/// How the operation of a paused process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ending {
    /// Somebody has aborted it, and it has learned that.
    Aborted,
    /// It took effect.
    Done,
    /// It had died before, and who was paused was to recover it.
    Died,
}

impl Ending {
    /// By the exit code of a traced process.
    pub fn of(code: u8) -> Option<Ending> {
        match code {
            0 => Some(Ending::Done),
            1 => Some(Ending::Aborted),
            _ => None,
        }
    }
}

/// What can be seen in the heap after these operations, in this order.
#[derive(Clone, Debug)]
pub struct Legal {
    /// None.
    pub none: String,
    /// The traced one's.
    pub traced: String,
    /// The witness's.
    pub witness: String,
    /// Both.
    pub traced_first: String,
    /// Both.
    pub witness_first: String,
}

/// Offsets of blocks that somebody has.
pub type Blocks = BTreeSet<u64>;

/// All of the heap.
pub fn blocks(heap: &Heap) -> Blocks {
    let mut found = Blocks::new();
    slab::for_each_block(&heap.segment(), |at, _| {
        found.insert(at);
    });
    found
}

/// What the witness does. `stop` lets the death happen, or the `dead` deaths. Says "before" or "after": what it has found.
pub fn witness(case: &Case, manner: Manner, dead: usize, stop: &mut dyn FnMut() -> u8) -> Answer {
    let setting = case.setting.of(WITNESS);
    let start = || (case.operation.start)(&setting).map_err(text);
    if !case.settles {
        // the first registration counts
        txn::on_recovery(|_, _| Ok(()));
    }
    let (heap, mut deaths, mut action);
    if manner.is_present() {
        heap = setting.heap().map_err(text)?;
        deaths = Some(heap.deaths());
        // as the one who has measured the blocks
        look(&heap).map_err(text)?;
        // prepared now, for that joins, and who joins buries the dead
        action = if manner == Manner::GoesOn && !case.operation.holds { Some(start()?) } else { None };
        stop();
    } else {
        stop();
        heap = setting.heap().map_err(text)?;
        (deaths, action) = (None, None);
    }
    let found = if manner == Manner::GoesOn { None } else { Some(find(case, &heap, dead, &mut deaths)?) };
    let mut action = match action.take() {
        Some(action) => action,
        None => start()?,
    };
    if !action().map_err(text)? {
        return Err("the witness's operation was aborted".to_owned());
    }
    drop(action);
    bury(&heap, &mut deaths)?;
    let now = look(&heap).map_err(text)?;
    let legal = &case.legal;
    // who has not buried the dead one first may have passed over what it had taken
    let blurred = |seen: &str| match found {
        None if case.operation.order == Order::Overtakes => counted(seen),
        _ => seen.to_owned(),
    };
    let now = blurred(&now);
    let found = match found {
        Some(found) => found,
        None if now == blurred(&legal.witness) => "before",
        None => "after",
    };
    let expected = blurred(if found == "before" { &legal.witness } else { &legal.traced_first });
    if now != expected {
        return Err(format!(
            "{found} it, and after the witness's operation:\n{now}\ninstead of:\n{expected}"
        ));
    }
    Ok(found.to_owned())
}

/// What the witness does while the traced process is paused: the same operation. It stops twice: then the traced one is
/// paused, then that is over and `stop` says how: an [`Ending`].
pub fn witness_of_pause(case: &Case, stop: &mut dyn FnMut() -> u8) -> Answer {
    let setting = case.setting.of(WITNESS);
    let start = || (case.operation.start)(&setting).map_err(text);
    let heap = setting.heap().map_err(text)?;
    let mut action = if case.operation.holds { None } else { Some(start()?) };
    stop();
    let mut action = match action.take() {
        Some(action) => action,
        None => start()?,
    };
    let own = action().map_err(text)?;
    let ending = stop();
    drop(action);
    bury(&heap, &mut None)?;
    let now = look(&heap).map_err(text)?;
    let legal = &case.legal;
    let died = ending == Ending::Died as u8;
    let expected: &[&String] = match (ending == Ending::Done as u8, own) {
        _ if died => &[&legal.witness, &legal.traced_first],
        (true, true) => &[&legal.witness_first, &legal.traced_first],
        (true, false) => &[&legal.traced],
        (false, true) => &[&legal.witness],
        (false, false) => &[&legal.none],
    };
    let same = |expected: &str| match case.operation.order {
        Order::Mixes => sorted(expected) == sorted(&now),
        Order::Overtakes if died => counted(expected) == counted(&now),
        _ => expected == now,
    };
    if expected.iter().any(|expected| same(expected)) {
        return Ok(String::new());
    }
    Err(format!("the paused one ended with {ending}; now:\n{now}\ninstead of one of:\n{expected:#?}"))
}

/// Messages are only counted.
fn counted(seen: &str) -> String {
    let count = |line: &str| match line.split_once(": ") {
        Some((channel, messages)) => format!("{channel}: {}", messages.matches('(').count()),
        None => line.to_owned(),
    };
    seen.lines().map(count).collect::<Vec<_>>().join("\n")
}

/// Messages in the order of their values.
fn sorted(seen: &str) -> Vec<&str> {
    let mut words: Vec<_> = seen.split_whitespace().collect();
    words.sort_unstable();
    words
}

fn text(error: coheap_heap::Error) -> String {
    format!("{error:?}")
}

fn bury(heap: &Heap, deaths: &mut Option<Deaths>) -> Result<(), String> {
    if let Some(deaths) = deaths {
        let told = deaths.look();
        if told.iter().any(|who| who.alive || who.own) {
            return Err(format!("told of a death that was none: {told:?}"));
        }
    }
    // panics, which is told
    nothing_is_left(heap);
    Ok(())
}

/// The first look: before or after the operation, nothing lost, and nothing kept but what the operation itself had.
fn find(case: &Case, heap: &Heap, dead: usize, deaths: &mut Option<Deaths>) -> Result<&'static str, String> {
    let present = deaths.is_some();
    bury(heap, deaths)?;
    let mut unswept = 0;
    slab::for_each_unswept(&heap.segment(), |_, _| unswept += 1);
    if unswept > dead {
        return Err(format!("{unswept} free blocks whose bits are set"));
    }
    let now = look(heap).map_err(text)?;
    let found = match () {
        () if now == case.legal.none => "before",
        () if now == case.legal.traced => "after",
        () => {
            return Err(format!(
                "between before and after:\n{now}\nis neither:\n{}\nnor:\n{}",
                case.legal.none, case.legal.traced
            ));
        }
    };
    // a second one has had blocks of its own
    if present && dead == 1 {
        let (memory, now) = (&case.memory, blocks(heap));
        let lost: Vec<_> = memory.before.intersection(&memory.after).filter(|at| !now.contains(at)).collect();
        let kept: Vec<_> = now.difference(&memory.ever).collect();
        if !lost.is_empty() || !kept.is_empty() {
            return Err(format!("{found} it: blocks lost {lost:x?}, blocks kept {kept:x?}"));
        }
    }
    Ok(found)
}
