//! Records and arrays under several participants: single operations, bulk operations, transactions; and no block is
//! left over.

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use coheap_objects::key::Key;
use coheap_objects::refs::for_each_ref;
use coheap_objects::string::{self, Str};
use coheap_objects::{Cell, array, kind, record, shape, value};
use coheap_segment::word::Word1;
use coheap_segment::{Off, Segment};
use coheap_txn::{Ctx, Guard, TxnOptions};
use common::{Rng, n, seed};

fn heap() -> Arc<Segment> {
    let segment = Segment::anonymous(128 << 20, 16).unwrap();
    coheap_slab::init(&segment).unwrap();
    segment
}

fn join(heap: &Arc<Segment>) -> Ctx {
    Ctx::new(heap.join(0).unwrap(), 10).unwrap()
}

fn kind_of(heap: &Segment, at: Off) -> u8 {
    Word1(heap.word(at + 8).unwrap().load(SeqCst)).kind()
}

/// Every live block of values and objects can be reached from `roots`, and exactly once if it has one owner.
fn assert_nothing_left_over(heap: &Segment, roots: &[Off]) {
    let mut reached: HashSet<Off> = roots.iter().copied().collect();
    let mut grey = roots.to_vec();
    while let Some(at) = grey.pop() {
        for_each_ref(heap, at, &mut |reference| {
            let to = reference.offset();
            if reached.insert(to) {
                grey.push(to);
            } else {
                assert!(
                    kind_of(heap, to) >= kind::RECORD,
                    "two cells refer to the by-value block at {to:#x}"
                );
            }
        })
        .unwrap();
    }
    coheap_slab::for_each_block(heap, |at, _| {
        let kind = kind_of(heap, at);
        let of_objects = (kind::STRING..=kind::BYTES).contains(&kind);
        assert!(!of_objects || reached.contains(&at), "a block of type {kind} at {at:#x} is left over");
    });
}

fn text(thread: u64, i: u64) -> Str {
    Str::from(format!("message {i} of thread {thread}").as_str())
}

#[test]
fn an_array_is_a_queue_for_many_and_gives_its_memory_back() {
    const EACH: u64 = 2000;
    let heap = heap();
    let queue = join(&heap).write(|m| array::create(m)).unwrap();
    let left = AtomicU64::new(2 * EACH);
    let taken: Vec<Vec<(u64, u64)>> = std::thread::scope(|scope| {
        for thread in 0..2 {
            let heap = &heap;
            scope.spawn(move || {
                let mut ctx = join(heap);
                for i in 0..EACH {
                    let message = text(thread, i);
                    ctx.write(|m| {
                        let cell = string::build(m, &message)?;
                        array::push(m, queue, &[cell])
                    })
                    .unwrap();
                }
            });
        }
        let takers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut ctx = join(&heap);
                    let mut taken = Vec::new();
                    while left.load(SeqCst) > 0 {
                        let message = ctx.write(|m| {
                            let Some(cell) = array::shift(m, queue)? else { return Ok(None) };
                            let text = string::load(m, Guard(queue), cell)?;
                            value::free(m, Guard(queue), cell)?;
                            Ok(Some(text.to_string()))
                        });
                        if let Some(message) = message.unwrap() {
                            left.fetch_sub(1, SeqCst);
                            let words: Vec<&str> = message.split(' ').collect();
                            taken.push((words[4].parse().unwrap(), words[1].parse().unwrap()));
                        }
                    }
                    taken
                })
            })
            .collect();
        takers.into_iter().map(|t| t.join().unwrap()).collect()
    });
    for one in &taken {
        for thread in 0..2 {
            let order: Vec<u64> = one.iter().filter(|t| t.0 == thread).map(|t| t.1).collect();
            assert!(order.is_sorted(), "the messages of one thread come in its order");
        }
    }
    let mut all = taken.concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len() as u64, 2 * EACH, "every message once");
    assert_nothing_left_over(&heap, &[queue]);
}

#[test]
fn elements_moved_between_arrays_in_transactions_are_never_lost_or_doubled() {
    const TOTAL: u32 = 600;
    let seed = seed();
    let heap = heap();
    let mut ctx = join(&heap);
    let (a, b) = ctx
        .write(|m| {
            let mut all = Vec::new();
            for i in 0..TOTAL {
                // by value and numbers
                all.push(if i % 2 == 0 { n(i as f64) } else { string::build(m, &text(0, i as u64))? });
            }
            Ok((array::create_with(m, &all)?, array::create(m)?))
        })
        .unwrap();
    let writers = AtomicU64::new(3);
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (heap, writers) = (&heap, &writers);
            scope.spawn(move || {
                let mut ctx = join(heap);
                let mut rng = Rng(seed ^ thread);
                for _ in 0..150 {
                    let (from, to) = if rng.below(2) == 0 { (a, b) } else { (b, a) };
                    // sometimes most of it: the bulk rule
                    let count = if rng.below(4) == 0 { 400 } else { rng.below(6) as u32 };
                    let (start, place) = (rng.below(TOTAL as u64) as u32, rng.below(TOTAL as u64) as u32);
                    ctx.transaction(TxnOptions::default(), |ctx| {
                        let moved = ctx.write(|m| array::splice(m, from, start, count, &[]))?;
                        ctx.write(|m| array::splice(m, to, place, 0, &moved))
                    })
                    .unwrap();
                }
                writers.fetch_sub(1, SeqCst);
            });
        }
        while writers.load(SeqCst) > 0 {
            let seen = ctx.transaction(TxnOptions::default(), |ctx| {
                Ok(ctx.read(|m| array::len(m, a))? + ctx.read(|m| array::len(m, b))?)
            });
            assert_eq!(seen.unwrap(), TOTAL);
            // one operation sees one moment of an array
            let cells = ctx.read(|m| array::read_range(m, a, 0, u32::MAX)).unwrap();
            assert_eq!(cells.iter().collect::<HashSet<_>>().len(), cells.len());
        }
    });
    let mut all: Vec<Cell> = Vec::new();
    for at in [a, b] {
        all.extend(ctx.read(|m| array::read_range(m, at, 0, u32::MAX)).unwrap());
    }
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), TOTAL as usize);
    drop(ctx);
    assert_nothing_left_over(&heap, &[a, b]);
}

#[test]
fn properties_that_many_add_change_and_delete_are_all_there() {
    let seed = seed();
    let heap = heap();
    let mut ctx = join(&heap);
    let shared = ctx.write(|m| record::create(m, false)).unwrap();
    let own: Vec<Off> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3u64)
            .map(|thread| {
                let heap = &heap;
                scope.spawn(move || {
                    let mut ctx = join(heap);
                    let mut rng = Rng(seed ^ thread << 8);
                    let own = ctx.write(|m| record::create(m, false)).unwrap();
                    for i in 0..400u64 {
                        // all threads make the same keys of their own objects at once
                        let key = Key::string(format!("key {}", i % 60).as_str());
                        ctx.write(|m| record::set(m, own, &key, n(i as f64))).unwrap();
                        let key = Key::string(format!("{thread} {}", rng.below(40)).as_str());
                        if rng.below(3) == 0 {
                            ctx.write(|m| record::delete(m, shared, &key)).unwrap();
                        } else {
                            ctx.write(|m| {
                                let cell = string::build(m, &text(thread, i))?;
                                record::set(m, shared, &key, cell)
                            })
                            .unwrap();
                        }
                        let found = ctx.read(|m| match record::get(m, shared, &key)? {
                            Some(cell) => string::load(m, Guard(shared), cell).map(Some),
                            None => Ok(None),
                        });
                        let suffix = format!("of thread {thread}");
                        assert!(found.unwrap().is_none_or(|s| s.to_string().ends_with(&suffix)));
                        let total = Key::symbol("total");
                        ctx.write(|m| {
                            let old =
                                record::get(m, shared, &total)?.and_then(Cell::as_number).unwrap_or(0.0);
                            record::set(m, shared, &total, n(old + 1.0))
                        })
                        .unwrap();
                    }
                    own
                })
            })
            .collect();
        workers.into_iter().map(|w| w.join().unwrap()).collect()
    });
    let total = ctx.read(|m| record::get(m, shared, &Key::symbol("total"))).unwrap();
    assert_eq!(total, Some(n(1200.0)));
    let words: HashSet<u32> =
        own.iter().map(|&at| ctx.read(|m| record::shape_word(m, at)).unwrap().0).collect();
    assert_eq!(words.len(), 1, "the same keys in the same order, one shape");
    let keys = ctx.read(|m| record::keys(m, own[0])).unwrap();
    assert_eq!(keys.len(), 60);
    let mut roots = own;
    roots.push(shared);
    drop(ctx);
    assert_nothing_left_over(&heap, &roots);
}

#[test]
fn a_shape_made_in_a_transaction_that_is_undone_stays() {
    let heap = heap();
    let mut ctx = join(&heap);
    let at = ctx.write(|m| record::create(m, false)).unwrap();
    let key = Key::string("a key of some length");
    let t = ctx.begin(TxnOptions::default()).unwrap();
    ctx.write(|m| record::set(m, at, &key, Cell::TRUE)).unwrap();
    let word = ctx.read(|m| record::shape_word(m, at)).unwrap();
    ctx.abort(t);
    assert_eq!(ctx.read(|m| record::get(m, at, &key)).unwrap(), None);
    // enough blocks to use again what would have been given back by mistake
    let texts: Vec<Off> =
        (0..500).map(|i| ctx.write(|m| array::create_with(m, &[n(i as f64); 3])).unwrap()).collect();
    ctx.write(|m| record::set(m, at, &key, Cell::TRUE)).unwrap();
    assert_eq!(ctx.read(|m| record::shape_word(m, at)).unwrap(), word);
    let shape = ctx.read(|m| shape::info(m, word.shape())).unwrap();
    assert_eq!(*shape.keys[0], key);
    drop(ctx);
    // a thread that has never seen it
    let heap_again = heap.clone();
    let keys = std::thread::spawn(move || join(&heap_again).read(|m| record::keys(m, at)).unwrap());
    assert_eq!(keys.join().unwrap(), [key]);
    let mut roots = texts;
    roots.push(at);
    assert_nothing_left_over(&heap, &roots);
}
