//! What several participants may and may not see of each other.

mod common;
use common::*;

use coheap_txn::{Fault, Guard, TxnOptions};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[test]
fn single_operations_and_transactions_on_one_counter_lose_nothing() {
    let heap = heap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 1, 0);
    const N: u64 = 20_000;
    threads(&heap, 4, |i, ctx| {
        for _ in 0..N {
            if i % 2 == 0 {
                add(ctx, x, 1).unwrap();
            } else {
                ctx.transaction(TxnOptions::default(), |ctx| add(ctx, x, 1)).unwrap();
            }
        }
    });
    assert_eq!(get(&mut ctx, x), Ok(4 * N));
}

#[test]
fn transfers_keep_the_sum_and_readers_see_it() {
    let heap = heap();
    let mut ctx = join(&heap);
    let accounts: Vec<_> = (0..20).map(|_| object(&mut ctx, 1, 100)).collect();
    let running = AtomicU64::new(3);
    threads(&heap, 5, |i, ctx| {
        let mut dice = Dice(i as u64 + 1);
        if i < 3 {
            for _ in 0..10_000 {
                let (a, b) = (accounts[dice.roll(20) as usize], accounts[dice.roll(20) as usize]);
                ctx.transaction(TxnOptions::default(), |ctx| {
                    add(ctx, a, u64::MAX)?;
                    add(ctx, b, 1)
                })
                .unwrap();
            }
            running.fetch_sub(1, Ordering::SeqCst);
        } else {
            let mut last = false;
            while !last {
                last = running.load(Ordering::SeqCst) == 0;
                let options = TxnOptions { reserve_reads: i == 4, ..TxnOptions::default() };
                let sum = ctx
                    .transaction(options, |ctx| {
                        let mut sum = 0u64;
                        for &a in &accounts {
                            sum = sum.wrapping_add(get(ctx, a)?);
                        }
                        Ok(sum)
                    })
                    .unwrap();
                assert_eq!(sum, 2000);
                // the same as one operation over many guards
                let sum = ctx.read(|m| {
                    let mut sum = 0u64;
                    for &a in &accounts {
                        sum = sum.wrapping_add(m.load64(Guard(a), cell(a, 0))?);
                    }
                    Ok(sum)
                });
                assert_eq!(sum, Ok(2000));
            }
        }
    });
}

#[test]
fn an_attempt_that_will_fail_sees_no_mixed_state_either() {
    let heap = heap();
    let mut ctx = join(&heap);
    let (a, b) = (object(&mut ctx, 1, 0), object(&mut ctx, 1, 0));
    let done = AtomicBool::new(false);
    threads(&heap, 3, |i, ctx| {
        if i < 2 {
            for _ in 0..20_000 {
                ctx.transaction(TxnOptions::default(), |ctx| {
                    add(ctx, a, 1)?;
                    add(ctx, b, 1)
                })
                .unwrap();
            }
            done.store(true, Ordering::SeqCst);
        } else {
            while !done.load(Ordering::SeqCst) {
                ctx.transaction(TxnOptions::default(), |ctx| {
                    let (x, y) = (get(ctx, a)?, get(ctx, b)?);
                    // checked in every attempt, also in those that are aborted afterwards
                    assert_eq!(x, y);
                    let again = get(ctx, a)?;
                    assert_eq!(x, again);
                    Ok(())
                })
                .unwrap();
            }
        }
    });
}

#[test]
fn two_that_read_what_the_other_writes_are_never_both_right() {
    let heap = heap();
    let mut ctx = join(&heap);
    let (x, y) = (object(&mut ctx, 1, 0), object(&mut ctx, 1, 0));
    let barrier = std::sync::Barrier::new(2);
    let rounds = 3000;
    let skewed = AtomicU64::new(0);
    threads(&heap, 2, |i, ctx| {
        let (read, write) = if i == 0 { (x, y) } else { (y, x) };
        for _ in 0..rounds {
            barrier.wait();
            ctx.transaction(TxnOptions::default(), |ctx| {
                let value = get(ctx, read)?;
                set(ctx, write, value + 1)
            })
            .unwrap();
            barrier.wait();
            if i == 0 {
                if get(ctx, x).unwrap() == 1 && get(ctx, y).unwrap() == 1 {
                    skewed.fetch_add(1, Ordering::SeqCst);
                }
                set(ctx, x, 0).unwrap();
                set(ctx, y, 0).unwrap();
            }
        }
    });
    assert_eq!(skewed.into_inner(), 0);
}

#[test]
fn plain_readers_never_see_half_of_a_wide_single_operation() {
    let heap = heap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 7, 0);
    let done = AtomicBool::new(false);
    threads(&heap, 3, |i, ctx| {
        if i < 2 {
            for n in 0..30_000u64 {
                ctx.write(|m| {
                    for c in 0..7 {
                        m.store64(Guard(x), cell(x, c), n << 8 | i as u64)?;
                    }
                    Ok(())
                })
                .unwrap();
            }
            done.store(true, Ordering::SeqCst);
        } else {
            while !done.load(Ordering::SeqCst) {
                let cells = ctx.read(|m| {
                    let mut cells = [0; 7];
                    for (c, out) in cells.iter_mut().enumerate() {
                        *out = m.load64(Guard(x), cell(x, c as u64))?;
                    }
                    Ok(cells)
                });
                let cells = cells.unwrap();
                assert!(cells.iter().all(|&c| c == cells[0]), "{cells:?}");
            }
        }
    });
}

#[test]
fn a_read_only_transaction_never_aborts_when_nothing_moves() {
    let heap = heap();
    let mut ctx = join(&heap);
    let objects: Vec<_> = (0..1000).map(|i| object(&mut ctx, 1, i)).collect();
    for _ in 0..10 {
        // direct writes run ahead of the clock: met, and the snapshot extended, without an abort
        set(&mut ctx, objects[7], 7).unwrap();
        let sum = ctx.transaction(TxnOptions::default(), |ctx| {
            objects.iter().try_fold(0, |sum, &o| Ok::<_, Fault>(sum + get(ctx, o)?))
        });
        assert_eq!(sum, Ok(499_500));
    }
    assert_eq!(ctx.stats().aborts, 0);
}

#[test]
fn a_storm_of_all_kinds_keeps_the_sum() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1500);
    let heap = heap();
    let mut ctx = join(&heap);
    let accounts: Vec<_> = (0..8).map(|_| object(&mut ctx, 2, 1000)).collect();
    std::thread::scope(|s| {
        for i in 0..4u64 {
            let (heap, accounts) = (&heap, &accounts);
            s.spawn(move || {
                // patience of a millisecond: sleeping holders are aborted all the time
                let mut ctx = join_patient(heap, 1);
                let mut dice = Dice(i * 77 + 5);
                let mut moved = [0u64; 2];
                for _ in 0..rounds {
                    let (a, b) = (accounts[dice.roll(8) as usize], accounts[dice.roll(8) as usize]);
                    let kind = dice.roll(7);
                    let c = dice.roll(2);
                    let step = |ctx: &mut coheap_txn::Ctx, o, n| {
                        ctx.write(|m| {
                            let old = m.load64(Guard(o), cell(o, c))?;
                            m.store64(Guard(o), cell(o, c), u64::wrapping_add(old, n))
                        })
                    };
                    match kind {
                        0 => {
                            // between the two cells of one object: a direct operation of two stores
                            ctx.write(|m| {
                                let (x, y) =
                                    (m.load64(Guard(a), cell(a, 0))?, m.load64(Guard(a), cell(a, 1))?);
                                m.store64(Guard(a), cell(a, 0), x.wrapping_add(1))?;
                                m.store64(Guard(a), cell(a, 1), y.wrapping_sub(1))
                            })
                            .unwrap();
                        }
                        1 => {
                            ctx.write_wide(|m| {
                                let x = m.load64(Guard(a), cell(a, c))?;
                                m.store64(Guard(a), cell(a, c), x.wrapping_sub(1))?;
                                let y = m.load64(Guard(b), cell(b, c))?;
                                m.store64(Guard(b), cell(b, c), y.wrapping_add(1))
                            })
                            .unwrap();
                        }
                        2 => {
                            let t =
                                ctx.begin(TxnOptions { explicit: true, ..TxnOptions::default() }).unwrap();
                            loop {
                                ctx.enter(t).unwrap();
                                let first = step(&mut ctx, a, u64::MAX);
                                ctx.leave();
                                if dice.roll(3) == 0 {
                                    std::thread::yield_now();
                                }
                                ctx.enter(t).unwrap();
                                let second = first.and_then(|()| step(&mut ctx, b, 1));
                                ctx.leave();
                                match second.and_then(|()| ctx.commit(t)) {
                                    Ok(()) => break,
                                    Err(Fault::Aborted) => ctx.restart(t).unwrap(),
                                    Err(e) => panic!("{e:?}"),
                                }
                            }
                        }
                        3 => {
                            let give_up = dice.roll(2) == 0;
                            let result = ctx.transaction(TxnOptions::default(), |ctx| {
                                step(ctx, a, u64::MAX)?;
                                if give_up {
                                    let e =
                                        coheap_segment::Error::new(coheap_segment::Code::Timeout, "enough");
                                    return Err(Fault::Error(e));
                                }
                                step(ctx, b, 1)
                            });
                            assert_eq!(result.is_err(), give_up);
                        }
                        4 => {
                            let options =
                                TxnOptions { reserve_reads: dice.roll(2) == 0, ..TxnOptions::default() };
                            let sum = ctx.transaction(options, |ctx| {
                                let sum = accounts.iter().try_fold(0u64, |sum, &o| {
                                    let o = ctx.read(|m| {
                                        Ok(m.load64(Guard(o), cell(o, 0))?
                                            .wrapping_add(m.load64(Guard(o), cell(o, 1))?))
                                    });
                                    Ok::<_, Fault>(sum.wrapping_add(o?))
                                })?;
                                assert_eq!(sum, 16_000);
                                Ok(sum)
                            });
                            assert_eq!(sum, Ok(16_000));
                        }
                        5 => {
                            // sleeps while it holds
                            ctx.transaction(TxnOptions::default(), |ctx| {
                                step(ctx, a, u64::MAX)?;
                                if moved[0] % 64 == 0 {
                                    std::thread::sleep(std::time::Duration::from_millis(3));
                                }
                                moved[0] += 1;
                                step(ctx, b, 1)
                            })
                            .unwrap();
                        }
                        _ => {
                            let t = ctx.begin(TxnOptions { no_wait: true, ..TxnOptions::default() }).unwrap();
                            let done = step(&mut ctx, a, u64::MAX)
                                .and_then(|()| step(&mut ctx, b, 1))
                                .and_then(|()| ctx.commit(t));
                            if done.is_err() {
                                let parked = ctx.park(t).unwrap();
                                let t = ctx.resume(&parked).unwrap();
                                ctx.abort(t);
                            }
                        }
                    }
                }
            });
        }
    });
    let sum = accounts.iter().fold(0u64, |sum, &o| {
        let cells =
            ctx.read(|m| Ok([m.load64(Guard(o), cell(o, 0))?, m.load64(Guard(o), cell(o, 1))?])).unwrap();
        sum.wrapping_add(cells[0]).wrapping_add(cells[1])
    });
    assert_eq!(sum, 16_000);
}
