//! Processes killed at random while they change everything that there is; survivors look on.
//!
//! Short by default; `COHEAP_STORM_SECONDS` makes it longer, `COHEAP_STORM_SEED` another one.

use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use coheap_heap::{Heap, Options};

use crate::worker::{Dice, Name, World, nothing_is_left, start};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn time() -> Duration {
    Duration::from_secs(setting("COHEAP_STORM_SECONDS", 4))
}

fn options() -> Options {
    Options { max_size: 1 << 30, max_participants: 8, ..Options::default() }
}

/// Kills it if it still lives, which it should.
fn kill(mut worker: Child) -> u32 {
    if let Some(status) = worker.try_wait().unwrap() {
        panic!("a worker has ended by itself: {status}");
    }
    worker.kill().unwrap();
    let status = worker.wait().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGKILL), "a worker has ended by itself: {status}");
    worker.id()
}

#[test]
fn survivors_go_on_and_nothing_is_left_of_the_dead() {
    let seed = setting("COHEAP_STORM_SEED", 0x9e37_79b9_7f4a_7c15);
    let mut dice = Dice(seed | 1);
    let name = Name::new();
    let heap = Heap::create(&name.0, &options()).unwrap();
    World::make(&heap).unwrap();
    let world = World::of(&heap).unwrap();
    let mut workers: Vec<Child> = (0..3).map(|_| start(&name.0, dice.roll(u64::MAX) | 1)).collect();
    let (died, told) = mpsc::channel();
    let watcher = heap.on_death(move |who| died.send((who.pid, who.id, who.generation)).unwrap()).unwrap();
    let mut killed = Vec::new();
    let (begin, mut steps, mut longest) = (Instant::now(), 0u64, Duration::ZERO);
    let mut next = Instant::now() + Duration::from_millis(50);
    while begin.elapsed() < time() {
        let step = Instant::now();
        world.step(&mut dice).unwrap();
        longest = longest.max(step.elapsed());
        steps += 1;
        if steps.is_multiple_of(200) {
            world.check().unwrap();
        }
        if Instant::now() >= next {
            let i = dice.roll(workers.len() as u64) as usize;
            killed.push(kill(workers.swap_remove(i)));
            workers.push(start(&name.0, dice.roll(u64::MAX) | 1));
            next = Instant::now() + Duration::from_micros(1000 + dice.roll(60_000));
        }
    }
    killed.extend(workers.into_iter().map(kill));
    drop(watcher);
    heap.deaths().look();
    world.check().unwrap();
    world.check_messages(killed.len()).unwrap();
    nothing_is_left(&heap);
    // those who were killed before they had joined are nobody's loss
    let told: Vec<_> = told.iter().collect();
    assert!(told.iter().all(|(pid, ..)| killed.contains(pid)));
    assert_eq!(told.iter().collect::<HashSet<_>>().len(), told.len(), "each once");
    println!(
        "seed {seed}: {} deaths, {} told, {steps} steps of the survivor, the longest {longest:?}",
        killed.len(),
        told.len()
    );
}

#[test]
fn a_persistent_heap_whose_processes_were_all_killed_is_whole_when_it_is_opened() {
    let seed = setting("COHEAP_STORM_SEED", 0x1234_5678_9abc_def1);
    let mut dice = Dice(seed | 1);
    let name = Name::new();
    let options = Options { persist: true, max_participants: 3, ..options() };
    World::make(&Heap::create(&name.0, &options).unwrap()).unwrap();
    let (begin, mut deaths) = (Instant::now(), 0);
    while begin.elapsed() < time() / 2 {
        // as many as the heap has rows for, so that none is left unless the dead are buried
        let workers: Vec<Child> = (0..3).map(|_| start(&name.0, dice.roll(u64::MAX) | 1)).collect();
        std::thread::sleep(Duration::from_millis(15 + dice.roll(40)));
        deaths += workers.len();
        for worker in workers {
            kill(worker);
        }
        let heap = Heap::open(&name.0, &options).unwrap();
        World::of(&heap).unwrap().check().unwrap();
        nothing_is_left(&heap);
    }
    println!("seed {seed}: {deaths} deaths");
    let heap = Heap::open(&name.0, &options).unwrap();
    World::of(&heap).unwrap().check_messages(deaths).unwrap();
}
