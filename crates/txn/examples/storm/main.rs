//! A storm of transactions and single operations by several processes, whose complete history is then checked:
//! `cargo run --release -p coheap-txn --example storm -- [--seconds 5] [--workers 4] [--rounds 1] [--kill] [--pause]
//! [--seed 1]`.
//!
//! * Accounts: transfers; every attempt, also one that will be aborted, must see the same total (opacity).
//! * Lists: appends of unique values, single or to several lists at once, and reads, in every mode there is. A list
//!   stands in a body with spare room that is swapped when it is full, so bodies come and go and are walked by
//!   readers while they are recycled. Who had what order is recorded by each process and checked for strict
//!   serialisability ([`coheap_history`], after Kingsbury's and Alvaro's Elle, 2020: an append-only list shows its whole history).
//! * `--kill`: workers die by SIGKILL now and then and are replaced. `--pause`: they are stopped for some
//!   milliseconds now and then.

mod work;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coheap_segment::Segment;
use coheap_segment::named::Options;
use coheap_txn::Ctx;

use work::{Dice, World};

fn options(dir: &str) -> Options {
    Options {
        size: 0,
        max_size: 256 << 20,
        mode: 0o600,
        persist: false,
        max_participants: 64,
        dir: Some(PathBuf::from(dir)),
        layout: 7,
    }
}

struct Settings {
    seconds: u64,
    workers: u64,
    rounds: u64,
    seed: u64,
    kill: bool,
    pause: bool,
}

fn settings() -> Settings {
    let mut s = Settings { seconds: 5, workers: 4, rounds: 1, seed: 1, kill: false, pause: false };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let mut number = || args.next().and_then(|n| n.parse().ok()).expect("a number");
        match name.as_str() {
            "--seconds" => s.seconds = number(),
            "--workers" => s.workers = number(),
            "--rounds" => s.rounds = number(),
            "--seed" => s.seed = number(),
            "--kill" => s.kill = true,
            "--pause" => s.pause = true,
            other => panic!("no such option: {other}"),
        }
    }
    s
}

fn main() {
    if let Ok(peer) = std::env::var("STORM_WORKER") {
        let fields: Vec<&str> = peer.splitn(3, ' ').collect();
        return worker(fields[2], fields[0].parse().expect("a number"), fields[1].parse().expect("a number"));
    }
    let s = settings();
    for round in 0..s.rounds {
        storm(&s, s.seed + round);
    }
}

fn spawn(dir: &str, id: u64, seed: u64) -> Child {
    Command::new(std::env::current_exe().expect("our own path"))
        .env("STORM_WORKER", format!("{id} {seed} {dir}"))
        .stdin(Stdio::piped())
        .spawn()
        .expect("a worker")
}

fn signal(child: &Child, name: &str) {
    let _ = Command::new("kill").args([name, &child.id().to_string()]).status();
}

fn storm(s: &Settings, seed: u64) {
    let memory = PathBuf::from("/dev/shm");
    let memory = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let dir = memory.join(format!("storm-{}-{seed}", std::process::id())).display().to_string();
    std::fs::create_dir_all(&dir).expect("a folder");
    let segment =
        Segment::create("storm", &options(&dir), |segment| coheap_slab::init(segment)).expect("a heap");
    let mut ctx = Ctx::new(segment.join(0).expect("a row"), 10).expect("a slot");
    let world = World::create(&mut ctx);
    segment.header().root.store(world.root, std::sync::atomic::Ordering::Release);

    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut next_id = 1;
    let mut workers: Vec<Child> = Vec::new();
    let mut retired: Vec<Child> = Vec::new();
    let start = Instant::now();
    let mut deaths = 0;
    while start.elapsed() < Duration::from_secs(s.seconds) {
        while (workers.len() as u64) < s.workers {
            workers.push(spawn(&dir, next_id, dice.roll(u64::MAX)));
            next_id += 1;
        }
        std::thread::sleep(Duration::from_millis(10 + dice.roll(30)));
        if s.kill && dice.roll(3) == 0 {
            let mut victim = workers.swap_remove(dice.roll(workers.len() as u64) as usize);
            victim.kill().expect("killed");
            retired.push(victim);
            deaths += 1;
            if dice.roll(2) == 0 {
                coheap_txn::sweep(&segment).expect("buried");
            }
        }
        if s.pause && dice.roll(2) == 0 {
            let victim = &workers[dice.roll(workers.len() as u64) as usize];
            signal(victim, "-STOP");
            std::thread::sleep(Duration::from_millis(dice.roll(60)));
            signal(victim, "-CONT");
        }
        for worker in &mut workers {
            if let Ok(Some(status)) = worker.try_wait() {
                panic!("a worker has ended with {status} (seed {seed}, see {dir})");
            }
        }
    }
    for mut worker in workers.drain(..) {
        // closing its input tells it to stop
        drop(worker.stdin.take());
        retired.push(worker);
    }
    for mut worker in retired {
        let status = worker.wait().expect("an end");
        assert!(status.success() || s.kill, "a worker has failed (seed {seed}, see {dir})");
    }
    let total = world.total(&mut ctx);
    assert_eq!(total, work::TOTAL, "money has come or gone (seed {seed})");
    let lists = world.all_lists(&mut ctx);
    world.all_is_in_order(&mut ctx);
    let ops = coheap_history::record::read_folder(dir.as_ref(), "history-").expect("the histories");
    let said = match coheap_history::check(&ops, &lists) {
        Ok(summary) => summary,
        Err(anomaly) => panic!("{anomaly} (seed {seed}, see {dir})"),
    };
    println!("seed {seed}: {said}, {deaths} deaths, {:.1} s", start.elapsed().as_secs_f64());
    let _ = std::io::stdout().flush();
    drop(ctx);
    let _ = std::fs::remove_dir_all(&dir);
}

fn worker(dir: &str, id: u64, seed: u64) {
    let segment = Segment::open("storm", &options(dir)).expect("the heap");
    let ctx = Ctx::new(segment.join(id).expect("a row"), 10).expect("a slot");
    let (stop, stopped) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_line(&mut String::new());
        let _ = stop.send(());
    });
    let root = segment.header().root.load(std::sync::atomic::Ordering::Acquire);
    work::run(ctx, World::open(root), dir, id, seed, || stopped.try_recv().is_ok());
    // whatever the reader of the input does
    std::process::exit(0);
}
