//! Channels: put and take by one thread, between threads and between processes, beside crossbeam's and the standard
//! library's queues. Whoever finds the queue full or empty waits as that queue's users would.

mod common;

use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use coheap_objects::{Cell, packed, record};
use coheap_queue::{Channel, Role};
use coheap_segment::Segment;
use coheap_txn::{BuildMem, Ctx, Res, TxnOptions};
use common::Pair;
use criterion::{Criterion, Throughput};
use crossbeam::queue::ArrayQueue;

/// Much more than is put in the time that it takes to wake a sleeper: a smaller queue measures that time.
const CAPACITY: usize = 16 << 10;
const BATCH: usize = 64;
const PATIENT: Duration = Duration::from_secs(1);

fn open(ctx: &mut Ctx, name: &str) -> Channel {
    Channel::open(ctx, name, Some(CAPACITY as u64), false).unwrap()
}

fn put(ctx: &mut Ctx, channel: &Channel, cell: Cell) {
    while !channel.try_put(ctx, cell).unwrap() {
        channel.wait_sync(ctx, Role::Putter, PATIENT).unwrap();
    }
}

fn take(ctx: &mut Ctx, channel: &Channel) -> Cell {
    loop {
        if let Some(cell) = channel.try_take(ctx, |_, _, cell| Ok(cell)).unwrap() {
            return cell;
        }
        channel.wait_sync(ctx, Role::Taker, PATIENT).unwrap();
    }
}

fn put_all(ctx: &mut Ctx, channel: &Channel, times: u64, batch: usize) {
    let mut cells = vec![Cell::TRUE; batch];
    let mut i = 0;
    while i < times {
        if batch == 1 {
            put(ctx, channel, Cell::number(i as f64));
            i += 1;
            continue;
        }
        for (k, cell) in cells.iter_mut().enumerate() {
            *cell = Cell::number((i + k as u64) as f64);
        }
        let n = channel.put_many(ctx, &cells[..batch.min((times - i) as usize)]).unwrap();
        i += n as u64;
        if n == 0 {
            channel.wait_sync(ctx, Role::Putter, PATIENT).unwrap();
        }
    }
}

/// Takes so many messages: the sum of their numbers.
fn take_all(ctx: &mut Ctx, channel: &Channel, times: u64, batch: usize) -> f64 {
    let (mut i, mut sum) = (0, 0.0);
    while i < times {
        if batch == 1 {
            sum += take(ctx, channel).as_number().unwrap();
            i += 1;
            continue;
        }
        let cells = channel.take_many(ctx, batch.min((times - i) as usize), |_, _, cell| Ok(cell)).unwrap();
        i += cells.len() as u64;
        sum += cells.iter().map(|cell| cell.as_number().unwrap()).sum::<f64>();
        if cells.is_empty() {
            channel.wait_sync(ctx, Role::Taker, PATIENT).unwrap();
        }
    }
    sum
}

/// Bytes of what a small object is on its way (`js/flat.ts`).
const CONTENT: usize = 48;

/// As [`put_all`], of packed values, which their taker frees.
fn put_objects(ctx: &mut Ctx, channel: &Channel, times: u64) {
    let mut i = 0;
    while i < times {
        let n = (BATCH as u64).min(times - i);
        let build = |m: &mut BuildMem<'_>| {
            let mut content = [7; CONTENT];
            let mut one = |k: u64| {
                content[..8].copy_from_slice(&((i + k) as f64).to_le_bytes());
                packed::build(m, 6, &[], &content)
            };
            (0..n).map(&mut one).collect::<Res<Vec<Cell>>>()
        };
        let cells = ctx.build(build).unwrap();
        let mut put = 0;
        loop {
            put += channel.offer(ctx, &cells[put..]).unwrap();
            if put == cells.len() {
                break ctx.adopt();
            }
            channel.wait_sync(ctx, Role::Putter, PATIENT).unwrap();
        }
        i += n;
    }
}

/// As [`take_all`], of packed values.
fn take_objects(ctx: &mut Ctx, channel: &Channel, times: u64) -> f64 {
    let (mut i, mut sum) = (0, 0.0);
    while i < times {
        let most = BATCH.min((times - i) as usize);
        let values = channel.take_many(ctx, most, |m, guard, cell| packed::load(m, guard, cell)).unwrap();
        for value in &values {
            sum += f64::from_le_bytes(*value.content.first_chunk().unwrap());
        }
        i += values.len() as u64;
        if values.is_empty() {
            channel.wait_sync(ctx, Role::Taker, PATIENT).unwrap();
        }
    }
    sum
}

fn one_thread(c: &mut Criterion) {
    let segment = common::heap();
    let mut ctx = common::join(&segment);
    let channel = open(&mut ctx, "jobs");
    let object = ctx.write(|m| record::create(m, false)).unwrap();
    let object = Cell::reference(coheap_objects::Tag::Record, object);
    let queue = ArrayQueue::new(CAPACITY);
    let (sender, receiver) = crossbeam::channel::bounded(CAPACITY);
    let (std_sender, std_receiver) = mpsc::sync_channel(CAPACITY);

    let mut group = c.benchmark_group("put and take");
    group.bench_function("live object", |b| {
        b.iter(|| {
            put(&mut ctx, &channel, object);
            take(&mut ctx, &channel)
        })
    });
    group.bench_function("number", |b| {
        b.iter(|| {
            put(&mut ctx, &channel, Cell::number(1.0));
            take(&mut ctx, &channel)
        })
    });
    group.bench_function("number, in transactions", |b| {
        b.iter(|| {
            ctx.transaction(TxnOptions::default(), |ctx| channel.try_put(ctx, Cell::number(1.0))).unwrap();
            let take = |ctx: &mut Ctx| channel.try_take(ctx, |_, _, cell| Ok(cell));
            ctx.transaction(TxnOptions::default(), take).unwrap()
        })
    });
    group.bench_function("ArrayQueue", |b| {
        b.iter(|| {
            queue.push(1.0).unwrap();
            queue.pop().unwrap()
        })
    });
    group.bench_function("crossbeam", |b| {
        b.iter(|| {
            sender.send(1.0).unwrap();
            receiver.recv().unwrap()
        })
    });
    group.bench_function("mpsc", |b| {
        b.iter(|| {
            std_sender.send(1.0).unwrap();
            std_receiver.recv().unwrap()
        })
    });
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("64 numbers at once", |b| {
        b.iter(|| {
            put_all(&mut ctx, &channel, BATCH as u64, BATCH);
            take_all(&mut ctx, &channel, BATCH as u64, BATCH)
        })
    });
    group.bench_function("64 packed objects at once", |b| {
        b.iter(|| {
            put_objects(&mut ctx, &channel, BATCH as u64);
            take_objects(&mut ctx, &channel, BATCH as u64)
        })
    });
}

/// `n` threads put and `n` take, `times` messages in all. Each works as `putter` or `taker` say: they wait at the
/// barrier once they are ready, then do their share; takers give the sum of what they took.
fn threads<P, T>(n: usize, times: u64, putter: impl Fn() -> P, taker: impl Fn() -> T) -> Duration
where
    P: FnOnce(&Barrier, u64) + Send,
    T: FnOnce(&Barrier, u64) -> f64 + Send,
{
    let barrier = Barrier::new(2 * n + 1);
    let share = times.div_ceil(n as u64);
    std::thread::scope(|s| {
        let barrier = &barrier;
        for _ in 0..n {
            let work = putter();
            s.spawn(move || work(barrier, share));
        }
        let taker = |_| {
            let work = taker();
            s.spawn(move || work(barrier, share))
        };
        let takers: Vec<_> = (0..n).map(taker).collect();
        barrier.wait();
        let start = Instant::now();
        let sum: f64 = takers.into_iter().map(|t| t.join().unwrap()).sum();
        let time = start.elapsed();
        assert_eq!(
            sum,
            n as f64 * (0..share).map(|i| i as f64).sum::<f64>(),
            "a message was lost or doubled"
        );
        time
    })
}

fn coheap_threads(
    segment: &Arc<Segment>,
    n: usize,
    times: u64,
    put: impl Fn(&mut Ctx, &Channel, u64) + Copy + Send,
    take: impl Fn(&mut Ctx, &Channel, u64) -> f64 + Copy + Send,
) -> Duration {
    let ready = |barrier: &Barrier| {
        let mut ctx = common::join(segment);
        let channel = open(&mut ctx, "threads");
        barrier.wait();
        (ctx, channel)
    };
    let ready = &ready;
    let putter = || {
        move |barrier: &Barrier, share: u64| {
            let (mut ctx, channel) = ready(barrier);
            put(&mut ctx, &channel, share);
        }
    };
    let taker = || {
        move |barrier: &Barrier, share: u64| {
            let (mut ctx, channel) = ready(barrier);
            take(&mut ctx, &channel, share)
        }
    };
    threads(n, times, putter, taker)
}

fn between_threads(c: &mut Criterion) {
    for n in [1, 2] {
        let mut group = c.benchmark_group(format!("{n} to {n} threads"));
        group.throughput(Throughput::Elements(1));
        let segment = common::heap();
        for (name, batch) in [("numbers", 1), ("numbers, 64 at once", BATCH)] {
            let put = move |ctx: &mut Ctx, channel: &Channel, share| put_all(ctx, channel, share, batch);
            let take = move |ctx: &mut Ctx, channel: &Channel, share| take_all(ctx, channel, share, batch);
            group.bench_function(name, |b| {
                b.iter_custom(|times| coheap_threads(&segment, n, times, put, take))
            });
        }
        group.bench_function("packed objects, 64 at once", |b| {
            b.iter_custom(|times| coheap_threads(&segment, n, times, put_objects, take_objects))
        });
        group.bench_function("crossbeam", |b| {
            let (sender, receiver) = crossbeam::channel::bounded(CAPACITY);
            b.iter_custom(|times| {
                let putter = || {
                    let sender = sender.clone();
                    move |barrier: &Barrier, share| {
                        barrier.wait();
                        (0..share).for_each(|i| sender.send(i as f64).unwrap())
                    }
                };
                let taker = || {
                    let receiver = receiver.clone();
                    move |barrier: &Barrier, share| {
                        barrier.wait();
                        (0..share).map(|_| receiver.recv().unwrap()).sum()
                    }
                };
                threads(n, times, putter, taker)
            })
        });
        group.bench_function("ArrayQueue", |b| {
            let queue = Arc::new(ArrayQueue::new(CAPACITY));
            b.iter_custom(|times| {
                let putter = || {
                    let queue = queue.clone();
                    move |barrier: &Barrier, share| {
                        barrier.wait();
                        for i in 0..share {
                            while queue.push(i as f64).is_err() {
                                std::thread::yield_now();
                            }
                        }
                    }
                };
                let taker = || {
                    let queue = queue.clone();
                    move |barrier: &Barrier, share| {
                        barrier.wait();
                        let one = |_| loop {
                            match queue.pop() {
                                Some(x) => return x,
                                None => std::thread::yield_now(),
                            }
                        };
                        (0..share).map(one).sum()
                    }
                };
                threads(n, times, putter, taker)
            })
        });
        if n == 1 {
            group.bench_function("mpsc", |b| {
                b.iter_custom(|times| {
                    let (sender, receiver) = mpsc::sync_channel(CAPACITY);
                    let receiver = std::cell::Cell::new(Some(receiver));
                    let putter = || {
                        let sender = sender.clone();
                        move |barrier: &Barrier, share| {
                            barrier.wait();
                            (0..share).for_each(|i| sender.send(i as f64).unwrap())
                        }
                    };
                    let taker = || {
                        let receiver = receiver.take().expect("one taker");
                        move |barrier: &Barrier, share| {
                            barrier.wait();
                            (0..share).map(|_| receiver.recv().unwrap()).sum()
                        }
                    };
                    threads(n, times, putter, taker)
                })
            });
        }
    }
}

fn between_processes(c: &mut Criterion) {
    let mut group = c.benchmark_group("1 to 1 processes");
    group.throughput(Throughput::Elements(1));
    for (name, batch) in [("numbers", 1), ("numbers, 64 at once", BATCH)] {
        group.bench_function(name, |b| {
            let mut pair = Pair::new("put", |ctx| {
                open(ctx, "processes");
                [batch as u64; 4]
            });
            let mut ctx = common::join(&pair.segment);
            let channel = open(&mut ctx, "processes");
            b.iter_custom(|times| {
                let mut sum = 0.0;
                let time = pair.together(times, || sum = take_all(&mut ctx, &channel, times, batch));
                assert_eq!(sum, (0..times).map(|i| i as f64).sum::<f64>(), "a message was lost or doubled");
                time
            });
        });
    }
}

fn main() {
    if let Some(peer) = common::peer() {
        assert_eq!(peer.role(), "put");
        let mut ctx = common::join(peer.segment());
        let channel = open(&mut ctx, "processes");
        return peer.serve(|times| put_all(&mut ctx, &channel, times, peer.given(0) as usize));
    }
    let mut c = common::criterion();
    one_thread(&mut c);
    between_threads(&mut c);
    between_processes(&mut c);
    c.final_summary();
}
