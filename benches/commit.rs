//! Transactions: two objects, a hot counter, by one process and by two; beside mutexes.

mod common;

use std::hint::black_box;
use std::sync::Mutex;

use coheap_segment::Off;
use coheap_txn::{Ctx, Guard, Mem, Op, Res, TxnOptions};
use common::{Add, Load, Pair, Random};
use criterion::{Criterion, Throughput};

const ACCOUNTS: u64 = 1000;

fn transfer(ctx: &mut Ctx, from: Off, to: Off) {
    ctx.transaction(TxnOptions::default(), |ctx| {
        ctx.write_with(&mut Add(from, -1.0))?;
        ctx.write_with(&mut Add(to, 1.0))
    })
    .unwrap();
}

/// A transfer as one operation, which needs two guards: an internal transaction.
struct Transfer(Off, Off);

impl Op for Transfer {
    type Out = f64;
    #[inline(always)]
    fn run<M: Mem>(&mut self, m: &mut M) -> Res<f64> {
        Add(self.0, -1.0).run(m)?;
        Add(self.1, 1.0).run(m)
    }
}

/// Reads two objects.
struct Sum(Off, Off);

impl Op for Sum {
    type Out = f64;
    #[inline(always)]
    fn run<M: Mem>(&mut self, m: &mut M) -> Res<f64> {
        let a = m.load64(Guard(self.0), self.0 + 16)?;
        let b = m.load64(Guard(self.1), self.1 + 16)?;
        Ok(f64::from_bits(a) + f64::from_bits(b))
    }
}

fn one_process(c: &mut Criterion) {
    let segment = common::heap();
    let mut ctx = common::join(&segment);
    let (a, z) = (common::object(&mut ctx, 4), common::object(&mut ctx, 4));
    let (ma, mz) = (Mutex::new(0.0), Mutex::new(0.0));

    let mut group = c.benchmark_group("two objects");
    group.bench_function("transaction", |b| b.iter(|| transfer(&mut ctx, black_box(a), black_box(z))));
    group.bench_function("one operation", |b| {
        b.iter(|| ctx.write_with(&mut Transfer(black_box(a), black_box(z))).unwrap())
    });
    group.bench_function("two mutexes", |b| {
        b.iter(|| {
            let (mut a, mut z) = (black_box(&ma).lock().unwrap(), black_box(&mz).lock().unwrap());
            *a -= 1.0;
            *z += 1.0;
        })
    });
    group.bench_function("read both", |b| {
        b.iter(|| {
            let both = |ctx: &mut Ctx| ctx.read_with(&mut Sum(black_box(a), black_box(z)));
            ctx.transaction(TxnOptions::default(), both).unwrap()
        })
    });
    drop(group);

    let many: Vec<Off> = (0..10_000).map(|_| common::object(&mut ctx, 4)).collect();
    let mut group = c.benchmark_group("transaction of");
    for n in [1, 10, 100, 1000, 10_000] {
        group.throughput(Throughput::Elements(n));
        group.bench_function(format!("{n} objects"), |b| {
            b.iter(|| {
                ctx.transaction(TxnOptions::default(), |ctx| {
                    many[..n as usize].iter().try_for_each(|&at| ctx.write_with(&mut Add(at, 1.0)).map(drop))
                })
                .unwrap()
            })
        });
    }
}

fn accounts(ctx: &mut Ctx) -> Vec<Off> {
    (0..ACCOUNTS).map(|_| common::object(ctx, 4)).collect()
}

/// Transfers between accounts that stand in a table of offsets.
fn transfers(ctx: &mut Ctx, accounts: &[Off], random: &mut Random, times: u64) {
    for _ in 0..times {
        let from = random.below(ACCOUNTS);
        let to = (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
        transfer(ctx, accounts[from as usize], accounts[to as usize]);
    }
}

fn counts(ctx: &mut Ctx, at: Off, times: u64) {
    for _ in 0..times {
        ctx.transaction(TxnOptions::default(), |ctx| ctx.write_with(&mut Add(at, 1.0))).unwrap();
    }
}

/// Transfers among 1,000 accounts and increments of one counter; two processes: both of them do it.
fn contended(c: &mut Criterion) {
    let mut group = c.benchmark_group("among 1000 accounts");
    group.throughput(Throughput::Elements(1));
    group.bench_function("1 process", |b| {
        let segment = common::heap();
        let mut ctx = common::join(&segment);
        let (all, mut random) = (accounts(&mut ctx), Random::new(1));
        b.iter_custom(|times| {
            let start = std::time::Instant::now();
            transfers(&mut ctx, &all, &mut random, times);
            start.elapsed()
        });
    });
    group.throughput(Throughput::Elements(2));
    group.bench_function("2 processes", |b| {
        let mut all = Vec::new();
        let mut pair = Pair::new("transfer", |ctx| {
            all = accounts(ctx);
            // accounts are made one behind the other, in slabs of their class: the table says where
            let table = ctx.write(|m| {
                let block = m.alloc(16 + ACCOUNTS * 8)?;
                (16..).step_by(8).zip(&all).for_each(|(i, &at)| m.init64(block.at + i, at));
                m.finish(block.at, coheap_objects::kind::TABLE, 0, 0);
                Ok(block.at)
            });
            [table.unwrap(); 4]
        });
        let mut ctx = common::join(&pair.segment);
        let mut random = Random::new(1);
        b.iter_custom(|times| pair.together(times, || transfers(&mut ctx, &all, &mut random, times)));
        let sum: f64 = all.iter().map(|&at| ctx.read_with(&mut Load(at)).unwrap()).sum();
        assert_eq!(sum, 0.0, "money was made or lost");
    });
    drop(group);

    let mut group = c.benchmark_group("hot counter");
    group.throughput(Throughput::Elements(1));
    group.bench_function("1 process", |b| {
        let segment = common::heap();
        let mut ctx = common::join(&segment);
        let at = common::object(&mut ctx, 4);
        b.iter(|| counts(&mut ctx, black_box(at), 1));
    });
    group.throughput(Throughput::Elements(2));
    group.bench_function("2 processes", |b| {
        let mut at = 0;
        let mut pair = Pair::new("count", |ctx| {
            at = common::object(ctx, 4);
            [at; 4]
        });
        let mut ctx = common::join(&pair.segment);
        let mut sum = 0;
        b.iter_custom(|times| {
            sum += 2 * times;
            pair.together(times, || counts(&mut ctx, at, times))
        });
        assert_eq!(ctx.read_with(&mut Load(at)).unwrap(), sum as f64);
    });
}

fn main() {
    if let Some(peer) = common::peer() {
        let mut ctx = common::join(peer.segment());
        let at = peer.given(0);
        if peer.role() == "count" {
            return peer.serve(|times| counts(&mut ctx, at, times));
        }
        let word = |i: u64| peer.segment().word(at + 16 + i * 8).unwrap();
        let all: Vec<Off> =
            (0..ACCOUNTS).map(|i| word(i).load(std::sync::atomic::Ordering::Relaxed)).collect();
        let mut random = Random::new(2);
        return peer.serve(|times| transfers(&mut ctx, &all, &mut random, times));
    }
    let mut c = common::criterion();
    one_process(&mut c);
    contended(&mut c);
    c.final_summary();
}
