//! Channels as the floors above use them: threads as participants, numbers and by-value blocks as messages.

mod threads;
mod transactions;

use std::sync::Arc;
use std::thread;

use coheap_objects::{Cell, Tag, kind};
use coheap_queue::{Channel, Role};
use coheap_segment::{Code, Segment};
use coheap_txn::{Ctx, Fault, Guard, Mem, Res, TxnOptions};

fn segment() -> Arc<Segment> {
    let segment = Segment::anonymous(64 << 20, 40).unwrap();
    coheap_slab::init(&segment).unwrap();
    segment
}

fn join(segment: &Arc<Segment>) -> Ctx {
    Ctx::new(segment.join(1).unwrap(), 10).unwrap()
}

fn number(_: &mut dyn Mem, _: Guard, cell: Cell) -> Res<f64> {
    Ok(cell.as_number().expect("a number"))
}

fn put(sut: &Channel, ctx: &mut Ctx, x: f64) -> bool {
    sut.try_put(ctx, Cell::number(x)).unwrap()
}

fn take(sut: &Channel, ctx: &mut Ctx) -> Option<f64> {
    sut.try_take(ctx, number).unwrap()
}

fn code<T: std::fmt::Debug>(result: Res<T>) -> Code {
    match result.unwrap_err() {
        Fault::Error(error) => error.code,
        fault => panic!("{fault:?}"),
    }
}

/// A by-value block: the queue cares for its tag only.
fn build_bigint(ctx: &mut Ctx, limb: u64) -> Cell {
    ctx.build(|m| {
        let block = m.alloc(24)?;
        m.init64(block.at + 16, limb);
        m.finish(block.at, kind::BIGINT, 0, 1);
        Ok(Cell::reference(Tag::BigInt, block.at))
    })
    .unwrap()
}

fn limb(m: &mut dyn Mem, guard: Guard, cell: Cell) -> Res<u64> {
    assert_eq!(cell.tag(), Some(Tag::BigInt));
    m.load64(guard, cell.offset() + 16)
}

/// A participant's first blocks that stay pending cost it a list, which it keeps.
fn warm_up(ctx: &mut Ctx) {
    build_bigint(ctx, 0);
    ctx.discard();
}

/// An object, with one cell.
fn object(ctx: &mut Ctx, x: f64) -> Guard {
    ctx.write(|m| {
        let block = m.alloc(24)?;
        m.init64(block.at + 16, x.to_bits());
        m.finish(block.at, kind::RECORD, 0, 0);
        Ok(Guard(block.at))
    })
    .unwrap()
}

fn both(f: impl Fn(bool)) {
    f(false);
    f(true);
}

#[test]
fn smoke() {
    both(|lifo| {
        let segment = segment();
        let mut ctx = join(&segment);
        let sut = Channel::open(&mut ctx, "jobs", None, lifo).unwrap();
        assert_eq!(take(&sut, &mut ctx), None);
        for i in 0..3 {
            assert!(put(&sut, &mut ctx, i as f64));
        }
        assert_eq!(sut.len(&mut ctx), Ok(3));
        let first = if lifo { 2.0 } else { 0.0 };
        assert_eq!(sut.peek(&mut ctx, number), Ok(Some(first)));
        assert_eq!(take(&sut, &mut ctx), Some(first));
        assert_eq!(take(&sut, &mut ctx), Some(1.0));
        assert_eq!(take(&sut, &mut ctx), Some(2.0 - first));
        assert_eq!(take(&sut, &mut ctx), None);
        assert!(sut.is_empty(&mut ctx).unwrap());
    });
}

#[test]
fn the_first_to_name_a_channel_decides() {
    let segment = segment();
    let (mut a, mut b) = (join(&segment), join(&segment));
    let sut = Channel::open(&mut a, "jobs", Some(5), false).unwrap();
    assert_eq!(sut.name(), "jobs");
    assert_eq!((sut.capacity(), sut.is_lifo()), (Some(5), false));
    let same = Channel::open(&mut b, "jobs", Some(5), false).unwrap();
    assert_eq!(same.offset(), sut.offset());
    for (capacity, lifo) in [(None, false), (Some(6), false), (Some(5), true)] {
        assert_eq!(code(Channel::open(&mut b, "jobs", capacity, lifo)), Code::InvalidArgument);
    }
    assert_eq!(code(Channel::open(&mut b, "none", Some(0), false)), Code::InvalidArgument);
    assert_eq!(code(Channel::open(&mut b, "", None, false)), Code::InvalidArgument);
    assert_eq!(code(Channel::open(&mut b, &"x".repeat(256), None, false)), Code::InvalidArgument);
    let long = "é".repeat(127);
    assert_eq!(Channel::open(&mut b, &long, None, true).unwrap().name(), long);
    assert!(Channel::find(&b, "none").unwrap().is_none());
    assert_eq!(Channel::find(&b, "jobs").unwrap().unwrap().capacity(), Some(5));
    assert_eq!(Channel::all(&segment).unwrap().len(), 2);
}

#[test]
fn threads_that_name_a_channel_at_once_get_the_same_one() {
    let segment = segment();
    let offsets: Vec<Vec<u64>> = thread::scope(|s| {
        let all: Vec<_> = (0..4)
            .map(|_| {
                s.spawn(|| {
                    let mut ctx = join(&segment);
                    (0..500)
                        .map(|i| {
                            Channel::open(&mut ctx, &format!("c{i}"), None, i % 2 == 0).unwrap().offset()
                        })
                        .collect()
                })
            })
            .collect();
        all.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(offsets.iter().all(|o| *o == offsets[0]));
}

#[test]
fn capacity_is_respected_in_both_orders() {
    both(|lifo| {
        let segment = segment();
        let mut ctx = join(&segment);
        let sut = Channel::open(&mut ctx, "jobs", Some(20), lifo).unwrap();
        for i in 0..20 {
            assert!(put(&sut, &mut ctx, i as f64));
        }
        assert!(!put(&sut, &mut ctx, 20.0));
        assert_eq!(sut.put_many(&mut ctx, &[Cell::NULL; 3]), Ok(0));
        assert_eq!(sut.take_many(&mut ctx, 2, number).unwrap().len(), 2);
        assert_eq!(sut.put_many(&mut ctx, &[Cell::number(7.0); 3]), Ok(2));
        assert_eq!(sut.len(&mut ctx), Ok(20));
        assert_eq!(sut.take_many(&mut ctx, 100, number).unwrap().len(), 20);
    });
}

#[test]
fn by_value_messages_and_envelopes_are_freed_by_their_taker() {
    both(|lifo| {
        let segment = segment();
        let (mut a, mut b) = (join(&segment), join(&segment));
        let sut = Channel::open(&mut a, "jobs", None, lifo).unwrap();
        let mut floor = None;
        for _ in 0..3 {
            for i in 0..100 {
                let cell = build_bigint(&mut a, i);
                assert!(sut.try_put(&mut a, cell).unwrap());
            }
            let mut got: Vec<u64> = (0..50).map(|_| sut.try_take(&mut b, limb).unwrap().unwrap()).collect();
            got.extend(sut.take_many(&mut b, 100, limb).unwrap());
            got.sort_unstable();
            assert_eq!(got, (0..100).collect::<Vec<_>>());
            let used = coheap_slab::used(&segment);
            assert_eq!(*floor.get_or_insert(used), used);
        }
    });
}

#[test]
fn a_by_value_message_stands_in_its_place_without_an_envelope() {
    let segment = segment();
    let mut ctx = join(&segment);
    let sut = Channel::open(&mut ctx, "jobs", None, false).unwrap();
    warm_up(&mut ctx);
    let cell = build_bigint(&mut ctx, 7);
    let used = coheap_slab::used(&segment);
    assert!(sut.try_put(&mut ctx, cell).unwrap());
    assert_eq!(coheap_slab::used(&segment), used);
    let number = [Cell::number(1.5), Cell::number(2.5)];
    assert_eq!(sut.put_many(&mut ctx, &number), Ok(2));
    assert!(coheap_slab::used(&segment) > used);
    assert_eq!(sut.try_take(&mut ctx, limb), Ok(Some(7)));
    assert_eq!((take(&sut, &mut ctx), take(&sut, &mut ctx)), (Some(1.5), Some(2.5)));
    assert!(coheap_slab::used(&segment) < used);
}

#[test]
fn integers_stand_in_their_place_and_every_cell_comes_back_as_it_was() {
    let numbers = [0.0, 1.0, -1.0, 2147483647.0, -2147483648.0].map(Cell::number);
    let others = [-0.0, 0.5, 2147483648.0, -2147483649.0, f64::NAN, f64::INFINITY].map(Cell::number);
    let immediates = [Cell::NULL, Cell::TRUE, Cell::FALSE];
    let segment = segment();
    let (mut a, mut b) = (join(&segment), join(&segment));
    let sut = Channel::open(&mut a, "jobs", None, false).unwrap();
    warm_up(&mut a);
    let used = coheap_slab::used(&segment);
    let mut got = |n: usize| sut.take_many(&mut b, n, |_, _, cell| Ok(cell)).unwrap();
    assert_eq!(sut.put_many(&mut a, &numbers), Ok(numbers.len()));
    assert_eq!(coheap_slab::used(&segment), used, "integers take no memory");
    assert_eq!(got(100), numbers);
    let all: Vec<Cell> = numbers.iter().chain(&others).chain(&immediates).copied().collect();
    for cell in &all {
        assert_eq!(sut.try_put(&mut a, *cell), Ok(true));
    }
    assert_eq!(got(100), all);
    let t = a.begin(TxnOptions::default()).unwrap();
    a.enter(t).unwrap();
    assert_eq!(sut.put_many(&mut a, &all), Ok(all.len()));
    a.leave();
    a.commit(t).unwrap();
    assert_eq!(got(3), all[..3]);
    assert_eq!(got(100), all[3..]);
    assert_eq!(coheap_slab::used(&segment), used, "their envelopes are free again");
}

#[test]
fn what_does_not_go_in_is_still_the_callers() {
    both(|lifo| {
        let segment = segment();
        let mut ctx = join(&segment);
        let sut = Channel::open(&mut ctx, "jobs", Some(1), lifo).unwrap();
        assert!(put(&sut, &mut ctx, 1.0));
        warm_up(&mut ctx);
        let used = coheap_slab::used(&segment);
        let cell = build_bigint(&mut ctx, 5);
        assert_eq!(sut.try_put(&mut ctx, cell), Ok(false));
        assert_eq!(take(&sut, &mut ctx), Some(1.0));
        assert_eq!(sut.try_put(&mut ctx, cell), Ok(true));
        assert_eq!(sut.try_take(&mut ctx, limb), Ok(Some(5)));
        assert!(put(&sut, &mut ctx, 1.0));
        let cell = build_bigint(&mut ctx, 6);
        assert_eq!(sut.try_put(&mut ctx, cell), Ok(false));
        ctx.discard();
        assert_eq!(coheap_slab::used(&segment), used);
    });
}

#[test]
fn a_closed_channel_is_drained_and_then_ends() {
    both(|lifo| {
        let segment = segment();
        let mut ctx = join(&segment);
        let sut = Channel::open(&mut ctx, "jobs", Some(3), lifo).unwrap();
        put(&sut, &mut ctx, 1.0);
        put(&sut, &mut ctx, 2.0);
        assert!(!sut.is_closed(&mut ctx).unwrap());
        assert_eq!(sut.close(&mut ctx), Ok(true));
        assert_eq!(sut.close(&mut ctx), Ok(false));
        assert!(sut.is_closed(&mut ctx).unwrap());
        assert_eq!(code(sut.try_put(&mut ctx, Cell::NULL)), Code::ChannelClosed);
        assert_eq!(sut.take_many(&mut ctx, 5, number).unwrap().len(), 2);
        assert_eq!(sut.take_many(&mut ctx, 5, number), Ok(vec![]));
        assert_eq!(code(sut.try_take(&mut ctx, number)), Code::ChannelClosed);
        let in_transaction = ctx.transaction(TxnOptions::default(), |ctx| sut.try_take(ctx, number));
        assert_eq!(code(in_transaction), Code::ChannelClosed);
        let in_transaction = ctx.transaction(TxnOptions::default(), |ctx| sut.try_put(ctx, Cell::NULL));
        assert_eq!(code(in_transaction), Code::ChannelClosed);
    });
}

#[test]
fn a_channel_cannot_be_closed_inside_a_transaction() {
    both(|lifo| {
        let segment = segment();
        let mut ctx = join(&segment);
        let sut = Channel::open(&mut ctx, "jobs", None, lifo).unwrap();
        let t = ctx.begin(TxnOptions::default()).unwrap();
        assert_eq!(code(sut.close(&mut ctx)), Code::InvalidArgument);
        // the transaction goes on
        assert!(put(&sut, &mut ctx, 1.0));
        ctx.commit(t).unwrap();
        assert_eq!((sut.is_closed(&mut ctx), sut.len(&mut ctx)), (Ok(false), Ok(1)));
        assert_eq!(sut.close(&mut ctx), Ok(true));
    });
}

#[test]
fn what_a_dead_taker_held_comes_back() {
    let segment = segment();
    let mut ctx = join(&segment);
    let sut = Channel::open(&mut ctx, "jobs", None, false).unwrap();
    for i in 0..3 {
        put(&sut, &mut ctx, i as f64);
    }
    // a transaction that nobody will ever decide: its thread is gone
    let mut dead = join(&segment);
    dead.begin(TxnOptions::default()).unwrap();
    assert_eq!(take(&sut, &mut dead), Some(0.0));
    assert_eq!(take(&sut, &mut dead), Some(1.0));
    std::mem::forget(dead);
    assert_eq!(take(&sut, &mut ctx), Some(2.0), "passed over");
    assert_eq!(take(&sut, &mut ctx), Some(0.0), "nothing else is left");
    assert_eq!(take(&sut, &mut ctx), Some(1.0));
}

#[test]
fn a_full_heap_is_an_error_and_a_drained_one_works_again() {
    let segment = Segment::anonymous(1 << 20, 4).unwrap();
    coheap_slab::init(&segment).unwrap();
    let mut ctx = join(&segment);
    let sut = Channel::open(&mut ctx, "jobs", None, false).unwrap();
    let mut n = 0;
    let error = loop {
        match sut.try_put(&mut ctx, Cell::number(n as f64)) {
            Ok(done) => assert!(done),
            Err(fault) => break fault,
        }
        n += 1;
    };
    assert_eq!(code::<()>(Err(error)), Code::OutOfMemory);
    assert_eq!(sut.len(&mut ctx), Ok(n));
    let full = sut.put_many(&mut ctx, &[Cell::NULL; 3000]);
    assert!(full.is_err() && sut.len(&mut ctx) == Ok(n), "none of a run that does not fit as a whole");
    for i in 0..n {
        assert_eq!(take(&sut, &mut ctx), Some(i as f64));
    }
    assert!(put(&sut, &mut ctx, 1.0));
    assert_eq!(take(&sut, &mut ctx), Some(1.0));
}
