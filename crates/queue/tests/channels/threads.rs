//! Many threads at one channel, and those who sleep at it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use super::*;

/// Producers put `each` numbers of their own, alone, in runs or in transactions; consumers take likewise, but in
/// transactions only if `aborts`: one that is aborted gives back what others have passed over, hence out of order.
fn storm(capacity: Option<u64>, each: u64, aborts: bool) {
    const PRODUCERS: u64 = 4;
    let segment = segment();
    let mut ctx = join(&segment);
    let sut = Channel::open(&mut ctx, "jobs", capacity, false).unwrap();
    let missing = AtomicU64::new(PRODUCERS * each);
    let got: Vec<Vec<f64>> = thread::scope(|s| {
        for p in 0..PRODUCERS {
            let segment = &segment;
            s.spawn(move || {
                let mut ctx = join(segment);
                let sut = Channel::find(&ctx, "jobs").unwrap().unwrap();
                let mut i = 0;
                while i < each {
                    let cell = |i: u64| Cell::number((p * each + i) as f64);
                    let n = match i % 3 {
                        0 => sut.put_many(&mut ctx, &[cell(i)]).unwrap(),
                        1 => {
                            let run: Vec<_> = (i..each.min(i + 5)).map(cell).collect();
                            sut.put_many(&mut ctx, &run).unwrap()
                        }
                        _ => ctx
                            .transaction(TxnOptions::default(), |ctx| {
                                let run: Vec<_> = (i..each.min(i + 2)).map(cell).collect();
                                sut.put_many(ctx, &run)
                            })
                            .unwrap(),
                    };
                    i += n as u64;
                    if n == 0 {
                        sut.wait_sync(&mut ctx, Role::Putter, Duration::from_secs(1)).unwrap();
                    }
                }
            });
        }
        let takers: Vec<_> = (0..4)
            .map(|k| {
                let (segment, missing) = (&segment, &missing);
                s.spawn(move || {
                    let mut ctx = join(segment);
                    let sut = Channel::find(&ctx, "jobs").unwrap().unwrap();
                    let mut got = Vec::new();
                    let mut turn = k;
                    while missing.load(SeqCst) > 0 {
                        turn += 1;
                        let run: Vec<f64> = match turn % if aborts { 3 } else { 2 } {
                            0 => sut.try_take(&mut ctx, number).unwrap().into_iter().collect(),
                            1 => sut.take_many(&mut ctx, 4, number).unwrap(),
                            _ => ctx
                                .transaction(TxnOptions::default(), |ctx| sut.take_many(ctx, 2, number))
                                .unwrap(),
                        };
                        missing.fetch_sub(run.len() as u64, SeqCst);
                        if run.is_empty() {
                            sut.wait_sync(&mut ctx, Role::Taker, Duration::from_millis(20)).unwrap();
                        }
                        got.extend(run);
                    }
                    got
                })
            })
            .collect();
        takers.into_iter().map(|t| t.join().unwrap()).collect()
    });
    for run in &got {
        let mut last = [None; PRODUCERS as usize];
        for x in run {
            let (p, i) = ((*x as u64 / each) as usize, *x as u64 % each);
            assert!(aborts || last[p] < Some(i), "producer {p}: {i} after {:?}", last[p]);
            last[p] = Some(i);
        }
    }
    let mut all = got.concat();
    all.sort_by(f64::total_cmp);
    assert_eq!(all, (0..PRODUCERS * each).map(|i| i as f64).collect::<Vec<_>>());
    assert_eq!(sut.len(&mut ctx), Ok(0));
}

#[test]
fn each_message_is_taken_once_and_in_its_producers_order() {
    storm(None, 3_000, false);
    storm(Some(10), 2_000, false);
}

#[test]
fn each_message_is_taken_once_when_takers_are_aborted() {
    storm(None, 3_000, true);
    storm(Some(10), 2_000, true);
}

#[test]
fn a_sleeping_taker_is_woken_by_a_put_a_commit_and_the_end() {
    both(|lifo| {
        let segment = segment();
        let mut ctx = join(&segment);
        let sut = Channel::open(&mut ctx, "jobs", None, lifo).unwrap();
        let got = AtomicU64::new(0);
        thread::scope(|s| {
            let taker = s.spawn(|| {
                let mut ctx = join(&segment);
                let sut = Channel::find(&ctx, "jobs").unwrap().unwrap();
                loop {
                    match sut.try_take(&mut ctx, number) {
                        Ok(Some(x)) => got.store(x as u64, SeqCst),
                        Ok(None) => {
                            sut.wait_sync(&mut ctx, Role::Taker, Duration::from_secs(9)).unwrap();
                        }

                        Err(fault) => return fault,
                    }
                }
            });
            let wait_for = |x| {
                while got.load(SeqCst) != x {
                    thread::yield_now();
                }
            };
            put(&sut, &mut ctx, 1.0);
            wait_for(1);
            thread::sleep(Duration::from_millis(5));
            ctx.transaction(TxnOptions::default(), |ctx| sut.try_put(ctx, Cell::number(2.0))).unwrap();
            wait_for(2);
            thread::sleep(Duration::from_millis(5));
            sut.close(&mut ctx).unwrap();
            assert_eq!(code::<()>(Err(taker.join().unwrap())), Code::ChannelClosed);
        });
    });
}

#[test]
fn sleeping_putters_are_woken_by_room() {
    both(|lifo| {
        const EACH: u64 = 300;
        let segment = segment();
        let mut ctx = join(&segment);
        let sut = Channel::open(&mut ctx, "jobs", Some(2), lifo).unwrap();
        thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    let mut ctx = join(&segment);
                    let sut = Channel::find(&ctx, "jobs").unwrap().unwrap();
                    for i in 0..EACH {
                        while !put(&sut, &mut ctx, i as f64) {
                            sut.wait_sync(&mut ctx, Role::Putter, Duration::from_secs(9)).unwrap();
                        }
                    }
                });
            }
            for i in 0..2 * EACH {
                if i % 100 == 0 {
                    thread::sleep(Duration::from_millis(2));
                }
                while take(&sut, &mut ctx).is_none() {
                    sut.wait_sync(&mut ctx, Role::Taker, Duration::from_secs(9)).unwrap();
                }
            }
        });
        assert_eq!(take(&sut, &mut ctx), None);
    });
}

#[test]
fn no_wake_is_lost_between_a_putter_and_a_taker_that_sleep_in_turn() {
    // naps without an end would hang here if a wake were lost: the bell alone must do
    const ROUNDS: u64 = 3_000;
    both(|lifo| {
        let segment = segment();
        let mut ctx = join(&segment);
        Channel::open(&mut ctx, "ping", Some(1), lifo).unwrap();
        Channel::open(&mut ctx, "pong", Some(1), lifo).unwrap();
        let play = |from: &str, to: &str, serves: bool| {
            let mut ctx = join(&segment);
            let from = Channel::find(&ctx, from).unwrap().unwrap();
            let to = Channel::find(&ctx, to).unwrap().unwrap();
            from.register_waiter(&ctx, Role::Taker);
            for i in 0..ROUNDS {
                if serves {
                    assert!(put(&to, &mut ctx, i as f64));
                }
                loop {
                    let bell = segment.bell(ctx.participant(), coheap_segment::LANE_SYNC);
                    from.arm(Role::Taker).unwrap();
                    if let Some(x) = take(&from, &mut ctx) {
                        assert_eq!(x, i as f64);
                        break;
                    }
                    let long = Duration::from_secs(3600);
                    segment.sleep(ctx.participant(), coheap_segment::LANE_SYNC, bell, long);
                }
                if !serves {
                    assert!(put(&to, &mut ctx, i as f64));
                }
            }
            from.unregister_waiter(&ctx, Role::Taker);
        };
        thread::scope(|s| {
            s.spawn(|| play("ping", "pong", true));
            s.spawn(|| play("pong", "ping", false));
        });
    });
}

#[test]
fn peeks_and_lengths_beside_takers_never_fail() {
    let segment = segment();
    let mut ctx = join(&segment);
    let sut = Channel::open(&mut ctx, "jobs", None, false).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|s| {
        s.spawn(|| {
            let mut ctx = join(&segment);
            let sut = Channel::find(&ctx, "jobs").unwrap().unwrap();
            for i in 1..20_000 {
                let cell = build_bigint(&mut ctx, i);
                sut.try_put(&mut ctx, cell).unwrap();
                assert_eq!(sut.try_take(&mut ctx, limb), Ok(Some(i)));
            }
            stop.store(true, SeqCst);
        });
        let mut last = 0;
        while !stop.load(SeqCst) {
            let peek = |m: &mut dyn Mem, guard: Guard, cell: Cell| {
                // may be called on garbage, but not believed
                if cell.tag() == Some(Tag::BigInt) { m.load64(guard, cell.offset() + 16) } else { Ok(0) }
            };
            if let Some(x) = sut.peek(&mut ctx, peek).unwrap() {
                assert!(x >= last, "{x} after {last}");
                last = x;
            }
            assert!(sut.len(&mut ctx).unwrap() <= 1);
        }
    });
}
