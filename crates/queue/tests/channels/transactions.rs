//! Puts and takes inside transactions.

use super::*;

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
