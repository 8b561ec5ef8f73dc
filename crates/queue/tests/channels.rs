//! Channels as the floors above use them: threads as participants, numbers and by-value blocks as messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

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
fn puts_of_a_transaction_appear_at_its_commit_and_never_after_an_abort() {
    both(|lifo| {
        let segment = segment();
        let (mut a, mut b) = (join(&segment), join(&segment));
        let sut = Channel::open(&mut a, "jobs", None, lifo).unwrap();
        let t = a.begin(TxnOptions::default()).unwrap();
        assert!(put(&sut, &mut a, 1.0));
        assert!(put(&sut, &mut a, 2.0));
        assert_eq!(sut.len(&mut a), Ok(2));
        assert_eq!(sut.len(&mut b), Ok(0));
        assert_eq!(sut.peek(&mut b, number), Ok(None));
        a.commit(t).unwrap();
        assert_eq!(sut.len(&mut b), Ok(2));
        let mut got = sut.take_many(&mut b, 9, number).unwrap();
        got.sort_by(f64::total_cmp);
        assert_eq!(got, [1.0, 2.0]);

        warm_up(&mut a);
        let used = coheap_slab::used(&segment);
        let t = a.begin(TxnOptions::default()).unwrap();
        let cell = build_bigint(&mut a, 3);
        assert!(sut.try_put(&mut a, cell).unwrap());
        a.abort(t);
        assert_eq!(take(&sut, &mut b), None);
        assert_eq!(coheap_slab::used(&segment), used);
    });
}

#[test]
fn takes_of_an_aborted_transaction_are_first_again() {
    both(|lifo| {
        let segment = segment();
        let (mut a, mut b) = (join(&segment), join(&segment));
        let sut = Channel::open(&mut a, "jobs", None, lifo).unwrap();
        for i in 0..4 {
            put(&sut, &mut a, i as f64);
        }
        let order: Vec<f64> = if lifo { vec![3.0, 2.0, 1.0, 0.0] } else { vec![0.0, 1.0, 2.0, 3.0] };
        // more often than there are tags
        for _ in 0..40 {
            let t = a.begin(TxnOptions::default()).unwrap();
            assert_eq!(take(&sut, &mut a), Some(order[0]));
            assert_eq!(take(&sut, &mut a), Some(order[1]));
            assert_eq!(sut.len(&mut a), Ok(2));
            a.abort(t);
        }
        assert_eq!(sut.take_many(&mut b, 9, number), Ok(order));
    });
}

#[test]
fn a_transaction_can_take_what_it_has_put() {
    both(|lifo| {
        let segment = segment();
        let (mut a, mut b) = (join(&segment), join(&segment));
        let sut = Channel::open(&mut a, "jobs", Some(2), lifo).unwrap();
        warm_up(&mut a);
        let used = coheap_slab::used(&segment);
        let t = a.begin(TxnOptions::default()).unwrap();
        let cell = build_bigint(&mut a, 1);
        assert!(sut.try_put(&mut a, cell).unwrap());
        let cell = build_bigint(&mut a, 2);
        assert!(sut.try_put(&mut a, cell).unwrap());
        assert!(!sut.try_put(&mut a, Cell::NULL).unwrap());
        let first = sut.try_take(&mut a, limb).unwrap().unwrap();
        assert_eq!(first, if lifo { 2 } else { 1 });
        assert_eq!(sut.len(&mut a), Ok(1));
        a.commit(t).unwrap();
        assert_eq!(sut.try_take(&mut b, limb), Ok(Some(3 - first)));
        assert_eq!(sut.try_take(&mut b, limb), Ok(None));
        if !lifo {
            assert_eq!(coheap_slab::used(&segment), used);
        }
    });
}

#[test]
fn a_transaction_takes_and_puts_in_a_full_channel() {
    both(|lifo| {
        let segment = segment();
        let mut ctx = join(&segment);
        let sut = Channel::open(&mut ctx, "jobs", Some(1), lifo).unwrap();
        put(&sut, &mut ctx, 0.0);
        for i in 0..200 {
            ctx.transaction(TxnOptions::default(), |ctx| {
                assert_eq!(sut.try_take(ctx, number)?, Some(i as f64));
                assert!(sut.try_put(ctx, Cell::number(i as f64 + 1.0))?);
                assert!(!sut.try_put(ctx, Cell::NULL)?);
                Ok(())
            })
            .unwrap();
            assert_eq!(sut.len(&mut ctx), Ok(1));
        }
    });
}

#[test]
fn a_transaction_that_saw_the_channel_empty_or_full_fails_if_that_has_changed() {
    both(|lifo| {
        let segment = segment();
        let (mut a, mut b) = (join(&segment), join(&segment));
        let sut = Channel::open(&mut a, "jobs", Some(2), lifo).unwrap();
        let x = object(&mut a, 0.0);
        let store = |ctx: &mut Ctx| ctx.write(|m| m.store64(x, x.0 + 16, 1f64.to_bits())).unwrap();

        let t = a.begin(TxnOptions::default()).unwrap();
        assert_eq!(take(&sut, &mut a), None);
        store(&mut a);
        put(&sut, &mut b, 1.0);
        assert_eq!(a.commit(t), Err(Fault::Aborted), "it saw no message, and there is one");
        a.abort(t);

        put(&sut, &mut b, 2.0);
        let t = a.begin(TxnOptions::default()).unwrap();
        assert!(!put(&sut, &mut a, 3.0));
        store(&mut a);
        take(&sut, &mut b);
        assert_eq!(a.commit(t), Err(Fault::Aborted), "it saw no room, and there is some");
        a.abort(t);

        let t = a.begin(TxnOptions::default()).unwrap();
        assert_eq!(sut.len(&mut a), Ok(1));
        store(&mut a);
        a.commit(t).unwrap();
    });
}

#[test]
fn a_lone_taker_passes_over_an_undecided_one() {
    let segment = segment();
    let (mut a, mut b) = (join(&segment), join(&segment));
    let sut = Channel::open(&mut a, "jobs", Some(3), false).unwrap();
    for i in 0..3 {
        put(&sut, &mut a, i as f64);
    }
    let t = a.begin(TxnOptions::default()).unwrap();
    assert_eq!(take(&sut, &mut a), Some(0.0));
    assert_eq!(take(&sut, &mut b), Some(1.0));
    assert_eq!(sut.len(&mut b), Ok(2), "what is taken undecidedly is still there for others");
    assert!(put(&sut, &mut b, 3.0), "the place behind has room");
    assert!(!put(&sut, &mut b, 4.0));
    a.commit(t).unwrap();
    assert_eq!(sut.take_many(&mut b, 9, number), Ok(vec![2.0, 3.0]));
}

#[test]
fn an_undecided_taker_that_holds_the_only_message_is_aborted() {
    let segment = segment();
    let (mut a, mut b) = (join(&segment), join(&segment));
    let sut = Channel::open(&mut a, "jobs", None, false).unwrap();
    put(&sut, &mut a, 1.0);
    let t = a.begin(TxnOptions::default()).unwrap();
    assert_eq!(take(&sut, &mut a), Some(1.0));
    assert_eq!(take(&sut, &mut b), Some(1.0));
    assert_eq!(a.commit(t), Err(Fault::Aborted));
    a.restart(t).unwrap();
    assert_eq!(take(&sut, &mut a), None);
    a.commit(t).unwrap();
}

#[test]
fn a_transaction_over_two_channels_moves_all_or_nothing() {
    both(|lifo| {
        const TOKENS: u64 = 20;
        let segment = segment();
        let mut ctx = join(&segment);
        let left = Channel::open(&mut ctx, "left", None, lifo).unwrap();
        let right = Channel::open(&mut ctx, "right", None, false).unwrap();
        for i in 0..TOKENS {
            put(&left, &mut ctx, i as f64);
        }
        thread::scope(|s| {
            for k in 0..4 {
                let segment = &segment;
                s.spawn(move || {
                    let mut ctx = join(segment);
                    let left = Channel::find(&ctx, "left").unwrap().unwrap();
                    let right = Channel::find(&ctx, "right").unwrap().unwrap();
                    let (from, to) = if k % 2 == 0 { (left, right) } else { (right, left) };
                    for i in 0..400 {
                        let moved = ctx.transaction(TxnOptions::default(), |ctx| {
                            let Some(x) = from.try_take(ctx, number)? else { return Ok(false) };
                            assert!(to.try_put(ctx, Cell::number(x))?);
                            if i % 7 == 0 {
                                return Err(coheap_segment::Error::new(Code::Timeout, "given up").into());
                            }
                            Ok(true)
                        });
                        assert!(moved.is_ok() || code(moved) == Code::Timeout);
                    }
                });
            }
        });
        let mut all = left.take_many(&mut ctx, 99, number).unwrap();
        all.extend(right.take_many(&mut ctx, 99, number).unwrap());
        all.sort_by(f64::total_cmp);
        assert_eq!(all, (0..TOKENS).map(|i| i as f64).collect::<Vec<_>>());
    });
}

#[test]
fn messages_of_a_commit_appear_together() {
    const ROUNDS: u64 = 2_000;
    let segment = segment();
    let mut ctx = join(&segment);
    let first = Channel::open(&mut ctx, "first", None, false).unwrap();
    let second = Channel::open(&mut ctx, "second", None, false).unwrap();
    thread::scope(|s| {
        s.spawn(|| {
            let mut ctx = join(&segment);
            let (first, second) = (first_of(&ctx), second_of(&ctx));
            for i in 0..ROUNDS {
                ctx.transaction(TxnOptions::default(), |ctx| {
                    assert!(first.try_put(ctx, Cell::number(i as f64))?);
                    assert!(second.try_put(ctx, Cell::number(i as f64))?);
                    Ok(())
                })
                .unwrap();
            }
        });
        s.spawn(|| {
            let mut ctx = join(&segment);
            let (first, second) = (first_of(&ctx), second_of(&ctx));
            let mut i = 0;
            while i < ROUNDS {
                // whoever has the one has the other
                let Some(x) = take(&second, &mut ctx) else {
                    thread::yield_now();
                    continue;
                };
                assert_eq!(x, i as f64);
                assert_eq!(take(&first, &mut ctx), Some(x));
                i += 1;
            }
        });
        s.spawn(|| {
            // a transaction sees both or none of a commit: equal lengths, but for what the taker has between its takes
            let mut ctx = join(&segment);
            let (first, second) = (first_of(&ctx), second_of(&ctx));
            for _ in 0..200 {
                let lens =
                    ctx.transaction(TxnOptions::default(), |ctx| Ok((first.len(ctx)?, second.len(ctx)?)));
                let (a, b) = lens.unwrap();
                assert!(a == b || a == b + 1, "{a} {b}");
                thread::yield_now();
            }
        });
    });
    assert!(first.is_empty(&mut ctx).unwrap() && second.is_empty(&mut ctx).unwrap());
    fn first_of(ctx: &Ctx) -> Channel {
        Channel::find(ctx, "first").unwrap().unwrap()
    }
    fn second_of(ctx: &Ctx) -> Channel {
        Channel::find(ctx, "second").unwrap().unwrap()
    }
}

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
