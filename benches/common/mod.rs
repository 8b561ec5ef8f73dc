//! What the benchmarks share: short measurements, a heap, random indices, and a second process that works beside this
//! one (the benchmark's own binary, started again with a role in its environment).

#![allow(dead_code, reason = "no benchmark needs all of it")]

use std::hint::spin_loop;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use coheap_objects::kind;
use coheap_segment::{Off, Options, Segment};
use coheap_txn::{Ctx, Guard, Mem, Op, Res};
use criterion::Criterion;

/// How long a plain write waits for somebody's transaction.
const PATIENCE_MS: u64 = 10;
/// The environment variable that makes a benchmark the second process.
const ROLE: &str = "COHEAP_BENCH_ROLE";

/// Short measurements: all benchmarks together take a few minutes.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .without_plots()
        .configure_from_args()
}

/// A heap that only this process sees.
pub fn heap() -> Arc<Segment> {
    let segment = Segment::anonymous(256 << 20, 16).expect("an anonymous segment");
    coheap_slab::init(&segment).expect("a directory");
    segment
}

/// One more participant.
pub fn join(segment: &Arc<Segment>) -> Ctx {
    Ctx::new(segment.join(0).expect("a free row"), PATIENCE_MS).expect("a free slot")
}

/// An object of `cells` cells that hold 0, from +16 on.
pub fn object(ctx: &mut Ctx, cells: u64) -> Off {
    let made = ctx.write(|m| {
        let block = m.alloc(16 + cells * 8)?;
        for i in 0..cells {
            m.init64(block.at + 16 + i * 8, 0f64.to_bits());
        }
        m.finish(block.at, kind::RECORD_BODY, 0, cells as u32);
        Ok(block.at)
    });
    made.expect("room for an object")
}

/// xorshift64*: the same numbers in every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    #[inline(always)]
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) as u128 * n as u128) >> 64) as u64
    }
}

/// Stores a number into the first cell of an object.
pub struct Store(pub Off, pub f64);

impl Op for Store {
    type Out = ();
    #[inline(always)]
    fn run<M: Mem>(&mut self, m: &mut M) -> Res<()> {
        m.store64(Guard(self.0), self.0 + 16, self.1.to_bits())
    }
}

/// Adds to the first cell of an object.
pub struct Add(pub Off, pub f64);

impl Op for Add {
    type Out = f64;
    #[inline(always)]
    fn run<M: Mem>(&mut self, m: &mut M) -> Res<f64> {
        let sum = f64::from_bits(m.load64(Guard(self.0), self.0 + 16)?) + self.1;
        m.store64(Guard(self.0), self.0 + 16, sum.to_bits())?;
        Ok(sum)
    }
}

/// Loads the first cell of an object.
pub struct Load(pub Off);

impl Op for Load {
    type Out = f64;
    #[inline(always)]
    fn run<M: Mem>(&mut self, m: &mut M) -> Res<f64> {
        Ok(f64::from_bits(m.load64(Guard(self.0), self.0 + 16)?))
    }
}

// ------------------------------------------------------------------------------------------------ the second process

/// The words of the block through which the two processes talk, from +16 on.
const WANTED: u64 = 16;
const READY: u64 = 24;
const GO: u64 = 32;
const DONE: u64 = 40;
const REPEATS: u64 = 48;
/// The first of four numbers that the first process hands to the second.
const GIVEN: u64 = 56;
const TALK_BYTES: u64 = 96;

fn spin_until(word: &AtomicU64, value: u64) {
    let mut spins = 0u32;
    // Acquire pairs with the Release of the other process: what it stored before is seen.
    while word.load(Acquire) != value {
        spins += 1;
        if spins.is_multiple_of(1 << 14) {
            std::thread::yield_now();
        }
        spin_loop();
    }
}

/// A named heap and a process that shares it.
pub struct Pair {
    pub segment: Arc<Segment>,
    talk: Off,
    round: u64,
    child: Child,
}

impl Pair {
    /// Makes a heap, lets `prepare` fill it, and starts the second process in this role; it is given the four numbers.
    pub fn new(role: &str, prepare: impl FnOnce(&mut Ctx) -> [u64; 4]) -> Pair {
        let name = format!("bench-{role}-{}", std::process::id());
        let segment = Segment::create(&name, &Options::default(), |s| coheap_slab::init(s));
        let segment = segment.expect("a fresh heap");
        let mut ctx = join(&segment);
        let talk = ctx
            .write(|m| {
                let block = m.alloc(TALK_BYTES)?;
                (16..TALK_BYTES).step_by(8).for_each(|i| m.init64(block.at + i, 0));
                m.finish(block.at, kind::TABLE, 0, 0);
                Ok(block.at)
            })
            .expect("room");
        for (i, number) in (0..).zip(prepare(&mut ctx)) {
            segment.word(talk + GIVEN + i * 8).expect("in bounds").store(number, Relaxed);
        }
        let child = Command::new(std::env::current_exe().expect("a path"))
            .env(ROLE, format!("{role} {name} {talk}"))
            .spawn()
            .expect("a second process");
        let mut pair = Pair { segment, talk, round: 0, child };
        // the other one has joined before this one's membership ends with `ctx`
        pair.together(0, || ());
        pair
    }

    fn word(&self, at: u64) -> &AtomicU64 {
        self.segment.word(self.talk + at).expect("in bounds")
    }

    /// Runs `here` while the second process repeats its work `repeats` times: the time until both are done.
    pub fn together(&mut self, repeats: u64, here: impl FnOnce()) -> Duration {
        self.round += 1;
        self.word(REPEATS).store(repeats, Relaxed);
        // Release, here and below: the second process sees what was stored before.
        self.word(WANTED).store(self.round, Release);
        spin_until(self.word(READY), self.round);
        let start = Instant::now();
        self.word(GO).store(self.round, Release);
        here();
        spin_until(self.word(DONE), self.round);
        start.elapsed()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.word(WANTED).store(u64::MAX, Release);
        let _ = self.child.wait();
    }
}

/// The second process's end of a [`Pair`].
pub struct Peer {
    segment: Arc<Segment>,
    talk: Off,
    role: String,
}

/// In a process that was started as a second one: its role and heap.
pub fn peer() -> Option<Peer> {
    let role = std::env::var(ROLE).ok()?;
    let mut parts = role.split(' ');
    let mut next = || parts.next().expect("three parts").to_owned();
    let (role, name, talk) = (next(), next(), next());
    let segment = Segment::open(&name, &Options::default()).expect("the heap of the first process");
    Some(Peer { segment, talk: talk.parse().expect("an offset"), role })
}

impl Peer {
    pub fn role(&self) -> &str {
        &self.role
    }
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }
    fn word(&self, at: u64) -> &AtomicU64 {
        self.segment.word(self.talk + at).expect("in bounds")
    }
    /// One of the four numbers that were given.
    pub fn given(&self, i: u64) -> u64 {
        self.word(GIVEN + i * 8).load(Relaxed)
    }
    /// Works whenever the first process wants it, until that one is done or has died.
    pub fn serve(&self, mut work: impl FnMut(u64)) {
        let parent = std::os::unix::process::parent_id();
        let mut round = 0;
        loop {
            let wanted = self.word(WANTED).load(Acquire);
            if wanted == u64::MAX || std::os::unix::process::parent_id() != parent {
                return;
            }
            if wanted == round {
                std::thread::sleep(Duration::from_micros(50));
                continue;
            }
            round = wanted;
            self.word(READY).store(round, Release);
            spin_until(self.word(GO), round);
            work(self.word(REPEATS).load(Relaxed));
            self.word(DONE).store(round, Release);
        }
    }
}
