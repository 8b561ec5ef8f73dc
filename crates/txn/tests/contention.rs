//! Who wins, who waits, who is aborted. Two participants in one thread, wherever nobody has to wait.

mod common;
use common::*;

use coheap_segment::Code;
use coheap_txn::{Ctx, Fault, Guard, TxnOptions};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const PLAIN: TxnOptions =
    TxnOptions { reserve_reads: false, explicit: false, max_hold_ms: 0, no_wait: false };
const EXPLICIT: TxnOptions = TxnOptions { explicit: true, ..PLAIN };

#[test]
fn the_elder_takes_what_the_younger_has_reserved() {
    let heap = heap();
    let (mut a, mut b) = (join(&heap), join(&heap));
    let x = object(&mut a, 1, 1);
    let elder = a.begin(PLAIN).unwrap();
    let younger = b.begin(PLAIN).unwrap();
    set(&mut b, x, 20).unwrap();
    set(&mut a, x, 10).unwrap();
    assert_eq!(set(&mut b, x, 21), Err(Fault::Aborted));
    assert_eq!(b.commit(younger), Err(Fault::Aborted));
    a.commit(elder).unwrap();
    b.abort(younger);
    assert_eq!(get(&mut b, x), Ok(10));
    assert_eq!((a.stats().wounds, a.stats().commits, b.stats().aborts), (1, 1, 1));
}

#[test]
fn the_younger_waits_for_the_elder_and_goes_on_with_what_it_left() {
    let heap = heap();
    let mut a = join_patient(&heap, 10_000);
    let x = object(&mut a, 1, 1);
    let elder = a.begin(PLAIN).unwrap();
    add(&mut a, x, 1).unwrap();
    let got_there = AtomicBool::new(false);
    thread::scope(|s| {
        let other = s.spawn(|| {
            let mut b = join_patient(&heap, 10_000);
            b.transaction(PLAIN, |b| {
                got_there.store(true, Ordering::SeqCst);
                add(b, x, 10)
            })
            .unwrap();
            b.stats()
        });
        while !got_there.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(5));
        a.commit(elder).unwrap();
        let stats = other.join().unwrap();
        // it had read the counter before it met the elder: that attempt is lost, the next one goes through
        assert_eq!((stats.commits, stats.wounds), (1, 0));
    });
    assert_eq!(get(&mut a, x), Ok(12));
}

#[test]
fn a_plain_write_aborts_a_sleeping_holder_after_its_patience() {
    let heap = heap();
    let (mut a, mut b) = (join(&heap), join(&heap));
    let x = object(&mut a, 1, 1);
    let t = a.begin(PLAIN).unwrap();
    set(&mut a, x, 10).unwrap();
    assert_eq!(get(&mut b, x), Ok(1), "a read does not wait");
    set(&mut b, x, 2).unwrap();
    assert!(!a.is_active(t));
    assert_eq!(get(&mut a, x), Err(Fault::Aborted));
    a.restart(t).unwrap();
    assert_eq!(get(&mut a, x), Ok(2));
    set(&mut a, x, 3).unwrap();
    a.commit(t).unwrap();
    assert_eq!(get(&mut b, x), Ok(3));
}

#[test]
fn a_transaction_aborts_an_elder_that_makes_no_steps() {
    let heap = heap();
    let (mut a, mut b) = (join(&heap), join(&heap));
    let x = object(&mut a, 1, 1);
    let elder = a.begin(PLAIN).unwrap();
    set(&mut a, x, 10).unwrap();
    b.transaction(PLAIN, |b| add(b, x, 1)).unwrap();
    assert_eq!(a.commit(elder), Err(Fault::Aborted));
    a.abort(elder);
    assert_eq!(get(&mut a, x), Ok(2));
}

#[test]
fn a_wounded_transaction_keeps_its_age() {
    let heap = heap();
    let (mut a, mut b, mut c) = (join(&heap), join(&heap), join(&heap));
    let x = object(&mut a, 1, 1);
    let oldest = a.begin(PLAIN).unwrap();
    let middle = b.begin(PLAIN).unwrap();
    set(&mut b, x, 2).unwrap();
    set(&mut a, x, 1).unwrap();
    a.commit(oldest).unwrap();
    let youngest = c.begin(PLAIN).unwrap();
    set(&mut c, x, 3).unwrap();
    b.restart(middle).unwrap();
    set(&mut b, x, 2).unwrap();
    assert!(!c.is_active(youngest), "the restarted one is still the elder");
    b.commit(middle).unwrap();
    c.abort(youngest);
    assert_eq!(get(&mut c, x), Ok(2));
}

#[test]
fn of_two_explicit_ones_the_younger_is_told_at_once() {
    let heap = heap();
    let (mut a, mut b) = (join_patient(&heap, 100_000), join_patient(&heap, 100_000));
    let x = object(&mut a, 1, 1);
    let elder = a.begin(EXPLICIT).unwrap();
    let younger = b.begin(EXPLICIT).unwrap();
    a.enter(elder).unwrap();
    set(&mut a, x, 10).unwrap();
    a.leave();
    b.enter(younger).unwrap();
    assert_eq!(set(&mut b, x, 20), Err(Fault::Aborted));
    b.leave();
    // and beaten the other way round
    let y = object(&mut a, 1, 1);
    b.restart(younger).unwrap();
    b.enter(younger).unwrap();
    set(&mut b, y, 20).unwrap();
    b.leave();
    a.enter(elder).unwrap();
    set(&mut a, y, 10).unwrap();
    a.leave();
    assert_eq!(b.commit(younger), Err(Fault::Aborted));
    a.commit(elder).unwrap();
    b.abort(younger);
    assert_eq!((get(&mut b, x), get(&mut b, y)), (Ok(10), Ok(10)));
}

#[test]
fn an_explicit_one_between_its_runs_loses_to_its_own_threads_code_at_once() {
    let heap = heap();
    let mut a = join_patient(&heap, 1_000_000);
    let x = object(&mut a, 1, 1);
    let t = a.begin(EXPLICIT).unwrap();
    a.enter(t).unwrap();
    set(&mut a, x, 10).unwrap();
    a.leave();
    assert_eq!(get(&mut a, x), Ok(1), "between runs this thread's other code is outside of it");
    set(&mut a, x, 2).unwrap();
    assert_eq!(a.commit(t), Err(Fault::Aborted));
    a.abort(t);
    assert!(matches!(a.commit(t), Err(Fault::Error(e)) if e.code == Code::Aborted));
    assert_eq!(get(&mut a, x), Ok(2));
}

#[test]
fn an_explicit_one_loses_to_anyone_after_its_max_hold() {
    let heap = heap();
    let (mut a, mut b) = (join_patient(&heap, 1_000_000), join_patient(&heap, 1_000_000));
    let x = object(&mut a, 1, 1);
    let t = a.begin(TxnOptions { max_hold_ms: 1, ..EXPLICIT }).unwrap();
    a.enter(t).unwrap();
    set(&mut a, x, 10).unwrap();
    thread::sleep(Duration::from_millis(5));
    b.transaction(PLAIN, |b| set(b, x, 2)).unwrap();
    assert_eq!(get(&mut a, x), Err(Fault::Aborted));
}

#[test]
fn one_that_never_waits_is_told_whom_to_await() {
    let heap = heap();
    let (mut a, mut b) = (join(&heap), join(&heap));
    let x = object(&mut a, 1, 1);
    let elder = a.begin(PLAIN).unwrap();
    set(&mut a, x, 10).unwrap();
    let t = b.begin(TxnOptions { no_wait: true, ..PLAIN }).unwrap();
    assert_eq!(set(&mut b, x, 20), Err(Fault::Aborted));
    let blocker = b.blocked_on(t).unwrap();
    assert!(!b.register_blocker(&blocker).unwrap());
    let bell = heap.bell(b.participant(), coheap_segment::LANE_ASYNC);
    a.commit(elder).unwrap();
    assert!(b.has_ended(&blocker));
    assert_ne!(heap.bell(b.participant(), coheap_segment::LANE_ASYNC), bell, "the end has rung");
    b.unregister_blocker(&blocker);
    b.restart(t).unwrap();
    set(&mut b, x, 20).unwrap();
    b.commit(t).unwrap();
    assert_eq!(get(&mut a, x), Ok(20));
}

#[test]
fn one_that_never_waits_aborts_an_elder_that_makes_no_steps() {
    let heap = heap();
    let (mut a, mut b) = (join_patient(&heap, 1000), join_patient(&heap, 5));
    let x = object(&mut a, 1, 1);
    let elder = a.begin(TxnOptions { max_hold_ms: 1 << 40, ..EXPLICIT }).unwrap();
    let step = |a: &mut Ctx| {
        a.enter(elder).unwrap();
        set(a, x, 10).unwrap();
        a.leave();
    };
    let t = b.begin(TxnOptions { no_wait: true, ..EXPLICIT }).unwrap();
    let attempt = |b: &mut Ctx| {
        b.enter(t).unwrap();
        let done = set(b, x, 20);
        b.leave();
        done
    };
    // while the elder makes steps nothing happens to it, however long that takes
    for _ in 0..5 {
        step(&mut a);
        assert_eq!(attempt(&mut b), Err(Fault::Aborted));
        thread::sleep(Duration::from_millis(6));
        step(&mut a);
        assert!(b.is_blocked(t).unwrap(), "it has made a step");
        b.restart(t).unwrap();
    }
    step(&mut a);
    assert_eq!(attempt(&mut b), Err(Fault::Aborted));
    while b.is_blocked(t).unwrap() {
        thread::sleep(Duration::from_millis(1));
    }
    assert!(a.is_active(elder));
    b.restart(t).unwrap();
    assert_eq!(attempt(&mut b), Ok(()));
    assert!(!a.is_active(elder));
    b.commit(t).unwrap();
    a.abort(elder);
    assert_eq!(get(&mut a, x), Ok(20));
}

#[test]
fn reserved_reads_keep_younger_writers_away() {
    let heap = heap();
    let (mut a, mut b) = (join(&heap), join(&heap));
    let (x, y) = (object(&mut a, 1, 1), object(&mut a, 1, 1));
    let t = a.begin(TxnOptions { reserve_reads: true, ..PLAIN }).unwrap();
    assert_eq!(get(&mut a, x), Ok(1));
    assert_eq!(get(&mut b, x), Ok(1));
    let younger = b.begin(TxnOptions { no_wait: true, ..PLAIN }).unwrap();
    assert_eq!(set(&mut b, x, 2), Err(Fault::Aborted));
    b.abort(younger);
    set(&mut a, y, 5).unwrap();
    let before = b.read(|m| m.version(Guard(x)));
    a.commit(t).unwrap();
    assert_eq!(b.read(|m| m.version(Guard(x))), before, "only read: no new version");
    assert_eq!(get(&mut b, y), Ok(5));
    set(&mut b, x, 2).unwrap();
}

#[test]
fn a_read_that_was_overtaken_fails_once_and_then_reserves() {
    let heap = heap();
    let (mut a, mut b) = (join(&heap), join(&heap));
    let (x, y) = (object(&mut a, 1, 0), object(&mut a, 1, 0));
    let t = a.begin(PLAIN).unwrap();
    for attempt in 0..3 {
        let seen = get(&mut a, x).unwrap();
        if attempt < 2 {
            b.transaction(PLAIN, |b| add(b, x, 1)).unwrap();
        } else {
            let younger = b.begin(TxnOptions { no_wait: true, ..PLAIN }).unwrap();
            assert_eq!(add(&mut b, x, 1), Err(Fault::Aborted), "after two failures the read is reserved");
            b.abort(younger);
        }
        let done = set(&mut a, y, seen + 100).and_then(|()| a.commit(t));
        if attempt < 2 {
            assert_eq!(done, Err(Fault::Aborted));
            a.restart(t).unwrap();
        } else {
            done.unwrap();
        }
    }
    assert_eq!(get(&mut a, y), Ok(102));
}

#[test]
fn the_oldest_commits_among_many_that_want_the_same() {
    let heap = heap();
    let mut ctx = join(&heap);
    let objects: Vec<_> = (0..4).map(|_| object(&mut ctx, 1, 0)).collect();
    threads(&heap, 4, |i, ctx| {
        let mut dice = Dice(i as u64 + 99);
        for _ in 0..500 {
            // each touches all, in an order of its own: without an order of ages this would lock up
            let turn = dice.roll(4) as usize;
            ctx.transaction(PLAIN, |ctx| (0..4).try_for_each(|k| add(ctx, objects[(k + turn) % 4], 1)))
                .unwrap();
        }
    });
    for x in objects {
        assert_eq!(get(&mut ctx, x), Ok(2000));
    }
}

#[test]
fn a_parked_transaction_comes_back_with_its_age() {
    let heap = heap();
    let (mut a, mut b) = (join(&heap), join(&heap));
    let x = object(&mut a, 1, 1);
    let t = a.begin(PLAIN).unwrap();
    set(&mut a, x, 5).unwrap();
    let parked = a.park(t).unwrap();
    set(&mut a, x, 2).unwrap();
    let younger = b.begin(PLAIN).unwrap();
    set(&mut b, x, 3).unwrap();
    let t = a.resume(&parked).unwrap();
    assert_eq!(get(&mut a, x), Ok(2), "reserved at first sight, for it was written before");
    assert!(!b.is_active(younger));
    a.commit(t).unwrap();
    b.abort(younger);
}
