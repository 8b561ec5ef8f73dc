//! Eight processes that change everything that there is, of which one is killed or stopped every few milliseconds; a
//! survivor looks on, and all of them write down what they do ([`crate::book`]).
//!
//! Short by default. `npm run storm -- --seconds 60 --seed 5` is the long form; it sets `COHEAP_STORM_SECONDS` and
//! `COHEAP_STORM_SEED`; with `--calm` nobody is killed, to compare.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use coheap_heap::{Heap, Options, Stats};

use crate::book::{self, Book, Entry};
use crate::common::nothing_is_left;
use crate::dice::Dice;
use crate::floor::garbage;
use crate::verdict::{Evidence, Verdict};
use crate::weather::{Folder, PATIENCE, Report, Weather};
use crate::world::{Actor, Name, World};

/// Workers at a time.
const PROCESSES: usize = 8;
/// What one operation may leave when it is killed: the keys and texts of the 300 entries that it was taking out of a map,
/// and some bodies.
const LEFT_BY_ONE: u64 = 2 * 300 + 20;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn time() -> Duration {
    Duration::from_secs(setting("COHEAP_STORM_SECONDS", 6))
}

fn seed() -> u64 {
    setting("COHEAP_STORM_SEED", 1)
}

/// A sequence of its own for each seed.
fn dice(seed: u64) -> Dice {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1);
    (0..8).for_each(|_| {
        dice.roll(2);
    });
    dice
}

/// Ends the test when the survivor hangs: the threads of a test cannot be interrupted.
struct Watchdog {
    beats: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
}

impl Watchdog {
    fn start() -> Watchdog {
        let dog = Watchdog { beats: Arc::default(), done: Arc::default() };
        let (beats, done) = (dog.beats.clone(), dog.done.clone());
        std::thread::spawn(move || {
            const NAP: Duration = Duration::from_millis(100);
            let (mut last, mut waited) = (0, Duration::ZERO);
            while !done.load(Ordering::Relaxed) {
                std::thread::sleep(NAP);
                waited += NAP;
                let now = beats.load(Ordering::Relaxed);
                if now != last {
                    (last, waited) = (now, Duration::ZERO);
                }
                if waited > PATIENCE {
                    eprintln!("the survivor hangs at step {now}");
                    std::process::abort();
                }
            }
        });
        dog
    }

    fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
    }
}

/// What a storm has left.
struct Aftermath {
    evidence: Evidence,
    report: Report,
    stats: Stats,
    steps: u64,
    /// {blocks, bytes}
    garbage: (u64, u64),
    /// Pids that were told of as dead.
    told: usize,
}

fn storm(time: Duration, seed: u64, rough: bool) -> Aftermath {
    let mut dice = dice(seed);
    let name = Name::new();
    let folder = Folder::new(&name.0);
    let options = Options { max_size: 1 << 30, max_participants: 24, ..Options::default() };
    let heap = Heap::create(&name.0, &options).unwrap();
    World::make(&heap).unwrap();
    let world = World::of(&heap).unwrap();
    let (died, told) = mpsc::channel();
    let watcher = heap.on_death(move |who| died.send((who.pid, who.id, who.generation)).unwrap()).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let weather = Weather {
        heap: name.0.clone(),
        books: folder.0.clone(),
        dice: Dice(dice.roll(u64::MAX) | 1),
        processes: PROCESSES,
        rough,
    };
    let blowing = {
        let stop = stop.clone();
        std::thread::spawn(move || weather.blow(&stop))
    };
    let dog = Watchdog::start();
    let mut survivor = Actor { process: 0, dice, book: Book::create(Some(&folder.0), 0), count: 0 };
    let (begin, mut steps, mut reports) = (Instant::now(), 0u64, Vec::new());
    while begin.elapsed() < time && !blowing.is_finished() {
        world.step(&mut survivor).unwrap();
        dog.beat();
        steps += 1;
        if steps.is_multiple_of(50) {
            reports.extend(world.reports().unwrap());
        }
        if steps.is_multiple_of(500) {
            world.check().unwrap();
        }
        if steps.is_multiple_of(5000) {
            assert_eq!(heap.verify(), []);
        }
    }
    stop.store(true, Ordering::Relaxed);
    let report = blowing.join().unwrap();
    drop(watcher);
    heap.deaths().look();
    // those who were killed before they had joined are nobody's loss
    let told: Vec<_> = told.iter().collect();
    assert!(told.iter().all(|(pid, ..)| report.killed.contains(pid)));
    assert_eq!(told.iter().collect::<HashSet<_>>().len(), told.len(), "each once");

    world.check().unwrap();
    nothing_is_left(&heap);
    let garbage = garbage(&heap);
    assert!(garbage.0 <= report.killed.len() as u64 * LEFT_BY_ONE, "{garbage:?} of {}", report.killed.len());
    let stats = heap.stats();
    loop {
        let more = world.reports().unwrap();
        if more.is_empty() {
            break;
        }
        reports.extend(more);
    }
    let workers = [(0, false)].into_iter().chain(report.workers.iter().copied());
    let books = workers.map(|(n, killed)| (n, book::read(&folder.0, n), killed)).collect();
    let left = world.drain().unwrap();
    let evidence = Evidence { books, left, reports, lists: world.all_lists().unwrap() };
    drop((world, heap));
    assert!(Heap::list(None).unwrap().iter().all(|info| info.name != name.0), "the heap is still there");
    if let Err(complaint) = evidence.judge() {
        panic!("seed {seed}: {complaint}");
    }
    Aftermath { evidence, report, stats, steps, garbage, told: told.len() }
}

/// What is left when nobody is killed.
pub fn calm(time: Duration) -> Evidence {
    storm(time, 1, false).evidence
}

/// The longest that one step of a living worker that was not stopped itself has taken, in milliseconds; the longest of it
/// that it did not work or wait for a processor; and the longest while anybody was stopped.
fn stalls(aftermath: &Aftermath) -> (f64, f64, f64) {
    let pauses = &aftermath.report.pauses;
    let (mut longest, mut idlest, mut amid) = (0, 0, 0);
    let mut look = |process: u64, start: u64, end: u64, idle: u64| {
        let meets = |&&(_, from, to): &&(u64, u64, u64)| from < end && start < to;
        let mut met = pauses.iter().filter(meets).peekable();
        if met.peek().is_none() {
            (longest, idlest) = (longest.max(end - start), idlest.max(idle));
        } else if met.all(|&(stopped, ..)| stopped != process) {
            amid = amid.max(end - start);
        }
    };
    for (process, book, _) in &aftermath.evidence.books {
        for entry in book {
            if let &Entry::Stall { start, end, idle } = entry {
                look(*process, start, end, idle);
            }
        }
    }
    aftermath.report.unfinished.iter().for_each(|&(process, start, end)| look(process, start, end, 0));
    let ms = |ns: u64| ns as f64 / 1e6;
    (ms(longest), ms(idlest), ms(amid))
}

#[test]
fn the_living_go_on_and_nothing_is_left_of_the_dead() {
    let seed = seed();
    let aftermath = storm(time(), seed, setting("COHEAP_STORM_CALM", 0) == 0);
    let Verdict { history, unrecorded, messages, steps } = aftermath.evidence.judge().unwrap();
    let deaths = aftermath.report.killed.len();
    let (longest, idlest, amid) = stalls(&aftermath);
    let Stats { commits, aborts, .. } = aftermath.stats;
    let (blocks, bytes) = aftermath.garbage;
    println!(
        "seed {seed}: {deaths} deaths, {} told of, {} pauses",
        aftermath.told,
        aftermath.report.pauses.len()
    );
    println!("  {} operations, {commits} commits, {aborts} aborts", steps + aftermath.steps);
    println!("  longest step of a survivor: {longest:.1} ms, {idlest:.1} ms of a step without work for it");
    println!("  while another was stopped: {amid:.1} ms");
    println!(
        "  {} messages put, {} taken, {} went with their takers",
        messages.put, messages.taken, messages.lost_with_takers
    );
    println!("  history: {history}; {unrecorded} operations by the killed, who could not write them down");
    println!(
        "  garbage of the dead: {blocks} blocks, {bytes} bytes, {} a death",
        bytes / deaths.max(1) as u64
    );
}

#[test]
fn without_deaths_there_is_no_garbage() {
    let name = Name::new();
    let heap = Heap::create(&name.0, &Options::default()).unwrap();
    World::make(&heap).unwrap();
    let world = World::of(&heap).unwrap();
    let mut actor = Actor { process: 0, dice: dice(seed()), book: Book::create(None, 0), count: 0 };
    for _ in 0..20_000 {
        world.step(&mut actor).unwrap();
    }
    world.check().unwrap();
    assert_eq!(garbage(&heap), (0, 0));
    assert_eq!(heap.verify(), []);
}

#[test]
fn a_persistent_heap_whose_processes_were_all_killed_is_whole_when_it_is_opened() {
    let seed = seed();
    let mut dice = dice(seed);
    let name = Name::new();
    let folder = Folder::new(&name.0);
    let options = Options { persist: true, max_size: 1 << 30, max_participants: 3, ..Options::default() };
    World::make(&Heap::create(&name.0, &options).unwrap()).unwrap();
    let begin = Instant::now();
    let (mut books, mut deaths) = (Vec::new(), 0);
    while begin.elapsed() < time() / 3 {
        // as many as the heap has rows for, so that none is left unless the dead are buried
        let mut workers: Vec<_> = (0..3)
            .map(|_| {
                deaths += 1;
                crate::worker::start(&name.0, deaths, dice.roll(u64::MAX) | 1, Some(&folder.0))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(15 + dice.roll(40)));
        for worker in &mut workers {
            assert!(worker.try_wait().unwrap().is_none(), "a worker has ended by itself");
            worker.kill().unwrap();
            worker.wait().unwrap();
        }
        let heap = Heap::open(&name.0, &options).unwrap();
        World::of(&heap).unwrap().check().unwrap();
        nothing_is_left(&heap);
    }
    for process in 1..=deaths {
        books.push((process, book::read(&folder.0, process), true));
    }
    let heap = Heap::open(&name.0, &options).unwrap();
    let world = World::of(&heap).unwrap();
    let reports = std::iter::from_fn(|| Some(world.reports().unwrap()).filter(|some| !some.is_empty()));
    let reports = reports.flatten().collect();
    let evidence =
        Evidence { books, left: world.drain().unwrap(), reports, lists: world.all_lists().unwrap() };
    match evidence.judge() {
        Ok(verdict) => println!("seed {seed}: {deaths} deaths, all at once; {}", verdict.history),
        Err(complaint) => panic!("seed {seed}: {complaint}"),
    }
}
