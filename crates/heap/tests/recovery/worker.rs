//! A process of the storm.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coheap_heap::{Heap, Options, Result};

use crate::book::{Book, Entry};
use crate::clock::{Busy, now};
use crate::dice::Dice;
use crate::world::{Actor, World};

const HEAP: &str = "COHEAP_STORM_HEAP";
/// Number and seed.
const WHO: &str = "COHEAP_STORM_WORKER";
const BOOKS: &str = "COHEAP_STORM_BOOKS";

/// What takes longer is noted.
const STALL: u64 = 2_000_000;

/// Starts this test binary again as a worker. It works until its standard input is closed.
pub fn start(heap: &str, process: u64, seed: u64, books: Option<&Path>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "worker", "--nocapture", "--test-threads=1"])
        .env(HEAP, heap)
        .env(WHO, format!("{process} {seed}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    if let Some(books) = books {
        command.env(BOOKS, books);
    }
    command.spawn().unwrap()
}

/// Works until it is killed or told to stop.
pub fn run() {
    let Ok(name) = std::env::var(HEAP) else { return };
    let who = std::env::var(WHO).unwrap();
    let (process, seed) = who.split_once(' ').unwrap();
    let (process, seed) = (process.parse().unwrap(), seed.parse().unwrap());
    let books = std::env::var(BOOKS).ok().map(PathBuf::from);
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    std::thread::spawn(move || {
        // the end of the input: its other end was closed, or the process that held it is gone
        let _ = std::io::stdin().read_line(&mut String::new());
        told.store(true, Ordering::Relaxed);
    });
    // the panic message goes to the standard error of the test
    work(&name, process, seed, books.as_deref(), &stop).unwrap();
    std::process::exit(0);
}

fn work(name: &str, process: u64, seed: u64, books: Option<&Path>, stop: &AtomicBool) -> Result<()> {
    let heap = Heap::open(name, &Options { thread: process, ..Options::default() })?;
    let world = World::of(&heap)?;
    let mut actor = Actor { process, dice: Dice(seed), book: Book::create(books, process), count: 0 };
    let busy = Busy::new();
    let mut steps = 0;
    while !stop.load(Ordering::Relaxed) {
        let (start, worked) = (now(), busy.now());
        actor.book.beat(start);
        world.step(&mut actor)?;
        let end = now();
        if end - start > STALL {
            let idle = (end - start).saturating_sub(busy.now() - worked);
            actor.book.write(Entry::Stall { start, end, idle });
        }
        steps += 1;
        if steps % 16 == 0 {
            actor.book.write(Entry::Steps(steps));
        }
    }
    actor.book.write(Entry::Steps(steps));
    Ok(())
}
