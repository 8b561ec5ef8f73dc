//! One structure, explored: as it is, with its mutants, and with every ordering weakened in turn.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coheap_interleavings::mutants::Planted;
use coheap_interleavings::report::{Report, expecting_failure, message};
use coheap_segment::Segment;
use coheap_segment::primitive::model::{self, Change, Mutant};

/// How far to go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// For the test command.
    Small,
    /// For `npm run prove`.
    Large,
}

/// A structure: one execution of it, which panics if something is wrong.
#[derive(Clone, Copy)]
pub struct Structure {
    /// What it is and what happens to it.
    pub name: &'static str,
    /// One execution, from an empty heap on.
    pub run: fn(),
    /// Preemptions: in the test command, in the proof, and for mutants.
    pub bounds: (usize, usize, usize),
    /// What has to be caught.
    pub mutants: &'static [Planted],
}

/// More branches than this in one execution are a thread that turns in circles.
const BRANCHES: usize = 20_000;
/// A mutant that was not caught in so many executions is called missed.
const MOST: u64 = 5_000;

/// A thread of [`together`]. What it captures is dropped when the exploration is over.
pub type Thread<T> = Box<dyn FnMut() -> T>;

/// A boxed thread for [`together`].
pub fn thread<T>(f: impl FnMut() -> T + 'static) -> Thread<T> {
    Box::new(f)
}

/// Runs the closures as threads of a model over `segment`, the first one on the thread that calls. Gives what they gave.
pub fn together<T: 'static>(segment: &Arc<Segment>, threads: Vec<Thread<T>>) -> Vec<T> {
    let len = segment.plan().max_size;
    let base = segment.bytes(0, len).expect("all of an anonymous segment is there");
    model::begin(base, len as usize);
    let mut threads = threads.into_iter();
    let mut first = threads.next().expect("a thread");
    let others: Vec<_> = threads
        .map(|mut thread| {
            loom::thread::spawn(move || {
                let result = thread();
                (result, thread)
            })
        })
        .collect();
    let mut results = vec![first()];
    let mut ended = vec![first];
    for other in others {
        let (result, thread) = other.join().expect("a thread that ends");
        results.push(result);
        ended.push(thread);
    }
    model::end();
    results
}

/// All executions with at most `bound` preemptions, or until one fails: their number, and how that one did.
fn explore(run: fn(), bound: usize, most: Option<u64>) -> (u64, Option<String>) {
    loop {
        let executions = Arc::new(AtomicU64::new(0));
        let counter = executions.clone();
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(bound);
        builder.max_branches = BRANCHES;
        builder.max_permutations = most.map(|n| n as usize);
        let result = catch_unwind(AssertUnwindSafe(|| {
            builder.check(move || {
                counter.fetch_add(1, Ordering::Relaxed);
                run();
            });
        }));
        model::abandon();
        if !model::found_new_words() {
            return (executions.load(Ordering::Relaxed), result.err().map(|panic| message(&*panic)));
        }
    }
}

/// As [`explore`], of a source in which one place is different. Failures are expected, and not printed.
fn explore_mutant(run: fn(), bound: usize, mutant: Mutant) -> (u64, Option<String>) {
    model::mutate(Some(mutant));
    let result = expecting_failure(|| explore(run, bound, Some(MOST)));
    model::mutate(None);
    result
}

impl Structure {
    /// Explores it, and its mutants.
    pub fn prove(&self, size: Size, report: &mut Report) {
        model::forget_words();
        let (small, large, of_mutants) = self.bounds;
        let bound = if size == Size::Small { small } else { large };
        let (executions, failure) = explore(self.run, bound, None);
        let remark = failure.clone().unwrap_or_default();
        report.line(failure.is_none(), &format!("{} ({bound} preemptions)", self.name), executions, &remark);
        for planted in self.mutants {
            let what = format!("  {}: {:?} {}", planted.file, planted.change, planted.text.trim());
            match planted.find() {
                Err(error) => report.line(false, &what, 0, &error),
                Ok(mutant) => {
                    let (executions, failure) = explore_mutant(self.run, of_mutants, mutant);
                    let remark = failure.as_deref().unwrap_or("was not caught");
                    report.line(failure.is_some(), &what, executions, remark);
                }
            }
        }
    }

    /// Weakens every ordering of the structure in turn, and lists what nobody misses.
    pub fn sweep(&self, size: Size) {
        let (small, large, _) = self.bounds;
        let bound = if size == Size::Small { small } else { large };
        model::sites();
        explore(self.run, 1, None);
        for (site, used) in model::sites() {
            if used.ordering != Ordering::Relaxed {
                let (executions, failure) =
                    explore_mutant(self.run, bound, Mutant { site, change: Change::Weaken });
                let verdict = failure.as_deref().unwrap_or("not missed");
                println!(
                    "        {executions:>8}  weakened {}:{} {} {:?}: {verdict}",
                    site.file, site.line, used.operation, used.ordering
                );
            }
        }
    }
}
