//! Deaths and pauses of one operation.

use std::path::Path;
use std::time::Duration;

use crate::case::{Case, not_waiting};
use crate::dice::Dice;
use crate::helper::Helper;
use crate::operations::{arrive, sweep};
use crate::setting::Action;
use crate::tracee::{Failure, Point, Reached, Tracee, wrong};
use crate::witness::{Ending, Manner};

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Of each operation some of the states in which it can die.
    Sample,
    /// All states, and all boundaries counted.
    States,
    /// All boundaries.
    Boundaries,
}

/// What was tried.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// States that others can tell apart.
    pub states: usize,
    /// Boundaries between instructions, if they were counted.
    pub boundaries: usize,
    /// Deaths, and what was found of the operation.
    pub deaths: usize,
    /// Different states among them.
    pub distinct: usize,
    /// Found undone.
    pub before: usize,
    /// Found done.
    pub after: usize,
    /// Deaths of who recovered a dead one.
    pub second: usize,
    /// Pauses.
    pub pauses: usize,
    /// In which the witness had to wait.
    pub waited: usize,
}

impl Tally {
    /// Sums up.
    pub fn add(&mut self, other: &Tally) {
        self.states += other.states;
        self.boundaries += other.boundaries;
        self.deaths += other.deaths;
        self.distinct += other.distinct;
        self.before += other.before;
        self.after += other.after;
        self.second += other.second;
        self.pauses += other.pauses;
        self.waited += other.waited;
    }
}

/// Runs processes, one after the other, to one of these points each, and kills them there. Those after the first die of what
/// they find. The events of the last.
pub fn kill_at(
    points: &[usize],
    path: &Path,
    mut work: impl FnMut() -> Box<dyn FnMut() -> u8>,
    tally: &mut Tally,
) -> Result<usize, Failure> {
    let mut events = 0;
    for &n in points {
        let mut tracee = Tracee::spawn(&path.to_string_lossy(), &mut work)?;
        events = match tracee.run_to(Point::before(n))? {
            Reached::Point => n,
            Reached::End(events) => events,
        };
        tracee.kill()?;
    }
    match points {
        [_] => tally.deaths += 1,
        _ => tally.second += 1,
    }
    Ok(events)
}

/// Up to `n` different numbers below `of`, in order.
pub fn choose(n: usize, of: usize, dice: &mut Dice) -> Vec<usize> {
    let mut left: Vec<usize> = (0..of).collect();
    while left.len() > n {
        left.swap_remove(below(left.len(), dice));
    }
    left.sort_unstable();
    left
}

/// A number below `n`.
pub fn below(n: usize, dice: &mut Dice) -> usize {
    dice.roll(n as u64) as usize
}

/// Where an operation takes effect: near its end. A long one is long because it prepares much.
const LATE: usize = 40;

/// Up to `n` of so many states, half of them late ones.
pub fn choose_states(n: usize, states: usize, dice: &mut Dice) -> Vec<usize> {
    if n >= states {
        return (0..states).collect();
    }
    let early = states.saturating_sub(LATE);
    let mut chosen = choose(n / 2, early, dice);
    chosen.extend(choose(n - chosen.len(), states - early, dice).into_iter().map(|late| early + late));
    chosen
}

/// Kills, and pauses, in one operation: in `most` of its states at most.
pub fn campaign(case: &Case, extent: Extent, most: usize, dice: &mut Dice) -> Result<Tally, Failure> {
    // before each event, and at the end
    let mut tally = Tally { states: case.events + 1, ..Tally::default() };
    let (few, pauses, seconds) = match extent {
        Extent::Sample => (5, 2, 1),
        Extent::States => (most, most, 2.min(most)),
        Extent::Boundaries => (most, most, 5.min(most)),
    };
    for n in choose_states(few, tally.states, dice) {
        tally.distinct += 1;
        let turn = below(3, dice);
        let manners = if extent == Extent::Sample { &Manner::ALL[turn..=turn] } else { &Manner::ALL[..] };
        for &manner in manners {
            death(case, Point::before(n), manner, &mut tally)?;
        }
    }
    for n in choose_states(pauses, tally.states, dice) {
        at(|| format!("paused before event {n}"), pause(case, Point::before(n), &mut tally))?;
    }
    for n in choose_states(seconds, tally.states, dice) {
        second_deaths(case, n, extent, most, dice, &mut tally)?;
    }
    if extent != Extent::Sample {
        let counts = count(case)?;
        tally.boundaries = counts.iter().map(|steps| steps + 1).sum();
        if extent == Extent::Boundaries {
            for (events, &steps) in counts.iter().enumerate() {
                for steps in 0..=steps {
                    let point = Point { events, steps: Some(steps) };
                    death(case, point, Manner::ALL[below(3, dice)], &mut tally)?;
                }
            }
        }
    }
    Ok(tally)
}

fn at<T>(what: impl Fn() -> String, result: Result<T, Failure>) -> Result<T, Failure> {
    result.map_err(|failure| match failure {
        Failure::Wrong(text) => Failure::Wrong(format!("{}: {text}", what())),
        other => other,
    })
}

fn found(answer: Result<String, String>, tally: &mut Tally) -> Result<(), Failure> {
    match answer {
        Ok(found) if found == "before" => tally.before += 1,
        Ok(_) => tally.after += 1,
        Err(text) => return Err(Failure::Wrong(text)),
    }
    Ok(())
}

/// One death, at that point.
pub fn death(case: &Case, point: Point, manner: Manner, tally: &mut Tally) -> Result<(), Failure> {
    at(|| format!("killed at {point:?}, {manner:?}"), death_with(case, point, manner, &|_| Ok(()), tally))
}

/// One death; `meddle` does something before anybody recovers.
pub fn death_with(
    case: &Case,
    point: Point,
    manner: Manner,
    meddle: &dyn Fn(&Case) -> Result<(), Failure>,
    tally: &mut Tally,
) -> Result<(), Failure> {
    case.place()?;
    let mut witness = case.witness(manner, 1)?;
    let mut tracee = case.start()?;
    tracee.run_to(point)?;
    tracee.kill()?;
    meddle(case)?;
    witness.go(0);
    tally.deaths += 1;
    found(witness.answer(), tally)
}

/// So long a witness may need for its operation beside one that is paused, before it is asked whether it has to wait.
const A_WHILE: Duration = Duration::from_millis(30);
/// So many times: then it hangs.
const LOOKS: u32 = 1000;

/// Pauses it there.
fn pause(case: &Case, point: Point, tally: &mut Tally) -> Result<(), Failure> {
    case.place()?;
    let witness = case.witness_of_pause()?;
    let mut tracee = case.start()?;
    tracee.run_to(point)?;
    go_on_beside(case, tracee, witness, Ending::of, tally)
}

/// Kills one, and pauses the one who recovers it.
fn pause_of_second(case: &Case, n: usize, start: Start, m: usize, tally: &mut Tally) -> Result<(), Failure> {
    case.place()?;
    let witness = case.witness_of_pause()?;
    let mut second = case.trace(start)?;
    let mut first = case.start()?;
    first.run_to(Point::before(n))?;
    first.kill()?;
    second.run_to(Point::before(m))?;
    go_on_beside(case, second, witness, |_| Some(Ending::Died), tally)
}

/// The witness goes on beside a process that is paused, then that one does. `ending`: what its exit code says of the
/// operation.
fn go_on_beside(
    case: &Case,
    tracee: Tracee,
    mut witness: Helper,
    ending: impl FnOnce(u8) -> Option<Ending>,
    tally: &mut Tally,
) -> Result<(), Failure> {
    witness.go(0);
    tally.pauses += 1;
    let waits = |witness: &Helper| {
        for _ in 0..LOOKS {
            if witness.has_spoken(A_WHILE) {
                return Ok(false);
            }
            if case.operation.shuts_gate || case.is_busy()? {
                return Ok(true);
            }
        }
        Err(Failure::Wrong("one that has decided nothing holds up the witness".to_owned()))
    };
    tally.waited += usize::from(waits(&witness)?);
    let code = tracee.finish()?;
    let Some(ending) = ending(code) else {
        return wrong(format!("it learned of the pause and failed: {code}"));
    };
    witness.ready().or_else(not_waiting)?;
    witness.go(ending as u8);
    witness.answer().map(drop).map_err(Failure::Wrong)
}

/// Kills one, and then the one who recovers it, in `most` of the states of that at most.
fn second_deaths(
    case: &Case,
    n: usize,
    extent: Extent,
    most: usize,
    dice: &mut Dice,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let recoveries: [(&str, Start); 2] = [("sweeps", sweep), ("arrives", arrive)];
    let (name, start) = recoveries[below(2, dice)];
    let what = || format!("killed before event {n}, and then the one who {name}");
    let events = at(what, second_death(case, n, start, usize::MAX, Manner::Buries, tally))?;
    let few = match extent {
        Extent::Sample => 1,
        Extent::States => most.min(40),
        Extent::Boundaries => most,
    };
    for m in choose(few, events + 1, dice) {
        let manner = Manner::ALL[below(3, dice)];
        let what = || {
            format!("killed before event {n}, and then the one who {name} before its event {m}, {manner:?}")
        };
        at(what, second_death(case, n, start, m, manner, tally))?;
    }
    for m in choose(few.div_ceil(2), events + 1, dice) {
        let what = || format!("killed before event {n}, and the one who {name} paused before its event {m}");
        at(what, pause_of_second(case, n, start, m, tally))?;
    }
    Ok(())
}

type Start = fn(&crate::setting::Setting) -> coheap_heap::Result<Action>;

/// How many events the second one has had.
fn second_death(
    case: &Case,
    n: usize,
    start: Start,
    m: usize,
    manner: Manner,
    tally: &mut Tally,
) -> Result<usize, Failure> {
    case.place()?;
    let mut witness = case.witness(manner, 2)?;
    // it is there when the first one dies
    let mut second = case.trace(start)?;
    let mut first = case.start()?;
    first.run_to(Point::before(n))?;
    first.kill()?;
    let reached = second.run_to(Point::before(m))?;
    second.kill()?;
    witness.go(0);
    tally.second += 1;
    found(witness.answer(), tally)?;
    Ok(match reached {
        Reached::Point => m,
        Reached::End(events) => events,
    })
}

/// Steps through the operation: the instructions before each event. That nothing but events changes what others can see
/// is looked at after each of them.
fn count(case: &Case) -> Result<Vec<usize>, Failure> {
    case.place()?;
    let mut witness = case.witness(Manner::Buries, 1)?;
    let mut tracee = case.start()?;
    let view = case.setting.view().or_else(|error| wrong(error.to_string()))?;
    let mut before = view.bytes().to_vec();
    let mut unseen = 0;
    let counts = tracee.step_through(&mut |event| {
        let now = view.bytes();
        if *now != before[..] {
            unseen += usize::from(!event);
            before = now.to_vec();
        }
    })?;
    tracee.kill()?;
    witness.go(0);
    witness.answer().map_err(Failure::Wrong)?;
    if unseen == 0 { Ok(counts) } else { wrong(format!("{unseen} changes that were no events")) }
}
