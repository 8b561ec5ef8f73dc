//! Whole operations of the heap under shuttle: random schedules, and those of PCT (Burckhardt and others, 2010), which have
//! few preemptions at well chosen places. Sequentially consistent: orderings are loom's business.
//!
//!   shuttle [--small] [--seed N] [--executions N] [name…]
//!
//! The threads of a case do what its table says; their histories have to be linearizable, and the heap has to be sound
//! afterwards. In some cases the first thread dies before one of its accesses, chosen at random, and is buried by the
//! others. Then each mutant: some schedule has to fail. A failure prints its schedule.

mod cases;
mod work;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use coheap_interleavings::report::{Report, expecting_failure, message, tell_panics_in_a_line};
use coheap_segment::primitive::model::{self, Mutant};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, Runner};

use cases::{ALL, Case};

/// Executions of a case under each of the two schedulers.
const SMALL: usize = 60;
const LARGE: usize = 20_000;
/// Those of a mutant, at most.
const MUTANT: usize = 1_000;
/// Preemptions of a PCT schedule.
const DEPTH: usize = 3;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let small = args.iter().any(|arg| arg == "--small");
    let value = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1)?.parse::<u64>().ok()
    };
    // the test command tries the same schedules each time: what it says does not depend on luck
    let by_the_clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_secs());
    let seed = value("--seed").unwrap_or_else(|| if small { 1 } else { by_the_clock() });
    let executions = value("--executions").map_or(if small { SMALL } else { LARGE }, |n| n as usize);
    let names: Vec<&String> =
        args.iter().filter(|arg| !arg.starts_with("--") && arg.parse::<u64>().is_err()).collect();
    println!("seed {seed}");
    coheap_txn::on_recovery(coheap_queue::recover);
    tell_panics_in_a_line();
    let mut report = Report::default();
    for case in ALL {
        if !names.is_empty() && !names.iter().any(|name| case.name.contains(name.as_str())) {
            continue;
        }
        let (done, failure) = explore(case, seed, executions, FailurePersistence::Print);
        report.line(failure.is_none(), case.name, done, failure.as_deref().unwrap_or_default());
        for planted in case.mutants {
            let what = format!("  {}: {:?} {}", planted.file, planted.change, planted.text.trim());
            match planted.find() {
                Err(error) => report.line(false, &what, 0, &error),
                Ok(mutant) => {
                    let (done, failure) = explore_mutant(case, seed, mutant);
                    let remark = failure.as_deref().unwrap_or("was not caught");
                    report.line(failure.is_some(), &what, done, remark);
                }
            }
        }
    }
    if !report.end() {
        std::process::exit(1);
    }
}

/// Executions under both schedulers, until one fails: their number, and how that one did.
fn explore(
    case: &'static Case,
    seed: u64,
    each: usize,
    persistence: FailurePersistence,
) -> (u64, Option<String>) {
    let executions = Arc::new(AtomicU64::new(0));
    for pct in [false, true] {
        let counter = executions.clone();
        let run = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            case.run();
        };
        let mut config = Config::new();
        config.stack_size = 1 << 20;
        config.silence_warnings = true;
        config.failure_persistence = persistence.clone();
        let result = catch_unwind(AssertUnwindSafe(|| {
            if pct {
                Runner::new(PctScheduler::new_from_seed(seed, DEPTH, each), config).run(run)
            } else {
                Runner::new(RandomScheduler::new_from_seed(seed, each), config).run(run)
            }
        }));
        model::abandon();
        if let Err(panic) = result {
            return (executions.load(Ordering::Relaxed), Some(message(&*panic)));
        }
    }
    (executions.load(Ordering::Relaxed), None)
}

fn explore_mutant(case: &'static Case, seed: u64, mutant: Mutant) -> (u64, Option<String>) {
    model::mutate(Some(mutant));
    let result = expecting_failure(|| explore(case, seed, MUTANT, FailurePersistence::None));
    model::mutate(None);
    result
}
