//! Maps under several participants, across the moment in which their stripes come into use.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use coheap_objects::mapkey::{MapKey, Text};
use coheap_objects::string::{self, Str};
use coheap_objects::{Cell, Tag, map, map_iter};
use coheap_segment::{Off, Segment};
use coheap_txn::{Ctx, Guard, Mem, Res, TxnOptions};
use common::{Rng, n, seed};

fn heap() -> Arc<Segment> {
    let segment = Segment::anonymous(256 << 20, 16).unwrap();
    coheap_slab::init(&segment).unwrap();
    segment
}

fn join(heap: &Arc<Segment>) -> Ctx {
    Ctx::new(heap.join(0).unwrap(), 10).unwrap()
}

fn key(i: u64) -> MapKey<'static> {
    if i.is_multiple_of(2) {
        MapKey::number(i as f64)
    } else {
        MapKey::Text(Text::from(Str::from(format!("a key of some length {i}").as_str())))
    }
}

fn create(ctx: &mut Ctx, tag: Tag) -> Off {
    ctx.write(|m| map::create(m, tag)).unwrap()
}

/// A block with one number.
fn counter(ctx: &mut Ctx) -> Off {
    ctx.write(|m| {
        let at = m.alloc(24)?.at;
        m.init64(at + 16, 0);
        m.finish(at, coheap_objects::kind::RECORD, 0, 0);
        Ok(at)
    })
    .unwrap()
}

fn number_of(m: &mut dyn Mem, guard: Guard, cell: Cell) -> Res<u64> {
    match cell.as_number() {
        Some(x) => Ok(x as u64),
        None => Ok(string::load(m, guard, cell)?.to_string()[8..].parse().expect("a number")),
    }
}

/// Small counts are numbers, large ones strings: by-value blocks come and go.
fn value_of(m: &mut dyn Mem, count: u64) -> Res<Cell> {
    if count.is_multiple_of(3) {
        string::build(m, &Str::from(format!("count is{count}").as_str()))
    } else {
        Ok(n(count as f64))
    }
}

#[test]
fn transactions_over_a_growing_map_and_a_total_agree_at_every_moment() {
    let seed = seed();
    let heap = heap();
    for round in 0..6 {
        let mut ctx = join(&heap);
        let (sut, total) = (create(&mut ctx, Tag::Map), counter(&mut ctx));
        let writers = AtomicU64::new(3);
        std::thread::scope(|scope| {
            for thread in 0..3u64 {
                let (heap, writers) = (&heap, &writers);
                scope.spawn(move || {
                    let mut ctx = join(heap);
                    let mut rng = Rng(seed ^ round << 8 ^ thread);
                    for _ in 0..600 {
                        let k = key(rng.below(220));
                        let remove = rng.below(8) == 0;
                        ctx.transaction(TxnOptions::default(), |ctx| {
                            let old = ctx.read(|m| match map::get(m, sut, &k)? {
                                Some((cell, guard)) => number_of(m, guard, cell).map(Some),
                                None => Ok(None),
                            })?;
                            let change = if remove {
                                assert_eq!(ctx.write(|m| map::delete(m, sut, &k))?, old.is_some());
                                0u64.wrapping_sub(old.unwrap_or(0))
                            } else {
                                let new = old.unwrap_or(0) + 1;
                                let had = ctx.write(|m| {
                                    let value = value_of(m, new)?;
                                    map::set(m, sut, &k, |m| k.build(m), value)
                                })?;
                                assert_eq!(had, old.is_some());
                                1
                            };
                            let sum = ctx.read(|m| m.load64(Guard(total), total + 16))?;
                            ctx.write(|m| m.store64(Guard(total), total + 16, sum.wrapping_add(change)))
                        })
                        .unwrap();
                    }
                    writers.fetch_sub(1, SeqCst);
                });
            }
            let (heap, writers) = (&heap, &writers);
            scope.spawn(move || {
                let mut ctx = join(heap);
                while writers.load(SeqCst) > 0 {
                    check(&mut ctx, sut, total);
                }
            });
        });
        check(&mut ctx, sut, total);
    }
}

/// One moment, both as one read and as a transaction.
fn check(ctx: &mut Ctx, sut: Off, total: Off) {
    let look = |m: &mut dyn Mem| {
        let mut steps = Vec::new();
        map_iter::entries_from(m, sut, 0, None, usize::MAX, true, &mut steps)?;
        let mut sum = 0;
        for step in &steps {
            MapKey::load(m, step.key_guard, step.key)?;
            sum += number_of(m, step.value_guard, step.value)?;
        }
        Ok((sum, m.load64(Guard(total), total + 16)?, steps.len() as u64, map::size(m, sut)?))
    };
    let (sum, total_is, len, size) = ctx.read(look).unwrap();
    assert_eq!((sum, len), (total_is, size));
    let (sum, total_is, len, size) = ctx.transaction(TxnOptions::default(), |ctx| ctx.read(look)).unwrap();
    assert_eq!((sum, len), (total_is, size));
}

#[test]
fn single_operations_on_keys_of_ones_own_meet_nobody_elses() {
    let heap = heap();
    let mut ctx = join(&heap);
    for _ in 0..6 {
        let sut = create(&mut ctx, Tag::Map);
        std::thread::scope(|scope| {
            for thread in 0..3u64 {
                let heap = &heap;
                scope.spawn(move || {
                    let mut ctx = join(heap);
                    for i in 0..1200u64 {
                        let k = key((i % 60) * 3 + thread);
                        let old = ctx
                            .read(|m| match map::get(m, sut, &k)? {
                                Some((cell, guard)) => number_of(m, guard, cell).map(Some),
                                None => Ok(None),
                            })
                            .unwrap();
                        assert_eq!(old.unwrap_or(0), i / 60 % 10, "nobody else changes it");
                        if i / 60 % 10 == 9 {
                            assert!(ctx.write(|m| map::delete(m, sut, &k)).unwrap());
                        } else {
                            let set = |m: &mut dyn Mem| {
                                let value = value_of(m, i / 60 % 10 + 1)?;
                                map::set(m, sut, &k, |m| k.build(m), value)
                            };
                            assert_eq!(ctx.write(set).unwrap(), old.is_some());
                        }
                    }
                });
            }
        });
        assert_eq!(ctx.read(|m| map::size(m, sut)), Ok(0));
    }
}

#[test]
fn what_a_map_gives_up_is_free_again() {
    let heap = heap();
    let mut ctx = join(&heap);
    let sut = create(&mut ctx, Tag::Map);
    let mut used = Vec::new();
    for round in 0..6u64 {
        for i in 0..500 {
            let k = key(i);
            for count in 0..3 {
                ctx.write(|m| {
                    let value = value_of(m, round * 3 + count)?;
                    map::set(m, sut, &k, |m| k.build(m), value)
                })
                .unwrap();
            }
            ctx.read(|m| match map::get(m, sut, &k)? {
                Some((cell, guard)) => number_of(m, guard, cell),
                None => panic!("it is there"),
            })
            .unwrap();
        }
        if round % 2 == 0 {
            ctx.write(|m| map::clear(m, sut)).unwrap();
        } else {
            for i in 0..500 {
                assert!(ctx.write(|m| map::delete(m, sut, &key(i))).unwrap());
            }
            ctx.write(|m| map::clear(m, sut)).unwrap();
        }
        let mut live = 0;
        coheap_slab::for_each_block(&heap, |_, _| live += 1);
        used.push(live);
    }
    assert!(used.iter().all(|live| *live == used[0]), "{used:?}");
}

#[test]
fn who_began_before_the_stripes_came_into_use_sees_no_mixed_state_through_them() {
    for last in [65, 66, 67] {
        let heap = heap();
        let (mut writer, mut reader, mut third) = (join(&heap), join(&heap), join(&heap));
        let (sut, total) = (create(&mut writer, Tag::Map), counter(&mut writer));
        let other = counter(&mut writer);
        let set = |ctx: &mut Ctx, i: u64, x: f64| {
            ctx.write(|m| map::set(m, sut, &key(i), |m| key(i).build(m), n(x))).unwrap();
        };
        for i in 0..last - 1 {
            set(&mut writer, i, 0.0);
        }
        // the stripes are made, and are older than the reader, before they are anybody's
        let t = writer.begin(TxnOptions { explicit: true, ..TxnOptions::default() }).unwrap();
        writer.enter(t).unwrap();
        set(&mut writer, 5, 1.0);
        set(&mut writer, last, 0.0);
        writer.write(|m| m.store64(Guard(total), total + 16, 1)).unwrap();
        writer.leave();
        for i in 0..5 {
            let step = |ctx: &mut Ctx| ctx.write(|m| m.store64(Guard(other), other + 16, i));
            third.transaction(TxnOptions::default(), step).unwrap();
        }
        let mut attempts = 0;
        let seen = reader.transaction(TxnOptions::default(), |reader| {
            let total_is = reader.read(|m| m.load64(Guard(total), total + 16))?;
            if attempts == 0 {
                writer.commit(t).unwrap();
            }
            attempts += 1;
            let value = reader.read(|m| Ok(map::get(m, sut, &key(5))?.map(|(cell, _)| cell)))?;
            assert_eq!(value, Some(n(total_is as f64)), "attempt {attempts}");
            Ok(total_is)
        });
        assert_eq!((seen, attempts), (Ok(1), 2));
    }
}
