//! What belongs to a transaction, what is undone, what is given back.

mod common;
use common::*;

use coheap_segment::{Code, Error, Word};
use coheap_txn::{Fault, Guard, Mem, TxnOptions};
use std::sync::atomic::Ordering;
use std::time::Duration;

const FAILED: Fault = Fault::Error(Error::new(Code::InvalidArgument, "as the test wants it"));

#[test]
fn an_operation_that_fails_is_undone_alone() {
    let heap = heap();
    let mut ctx = join(&heap);
    let (x, y) = (object(&mut ctx, 2, 1), object(&mut ctx, 1, 1));
    let used = coheap_slab::used(&heap);
    ctx.transaction(TxnOptions::default(), |ctx| {
        set(ctx, x, 10)?;
        let fresh = ctx.write(|m| make(m, 1, 5))?;
        let failed: Result<(), _> = ctx.write(|m| {
            m.store64(Guard(x), cell(x, 0), 11)?;
            m.store64(Guard(x), cell(x, 1), 12)?;
            m.store64(Guard(y), cell(y, 0), 13)?;
            m.store64(Guard(fresh), cell(fresh, 0), 14)?;
            make(m, 100, 0)?;
            m.free(fresh);
            Err(FAILED)
        });
        assert_eq!(failed, Err(FAILED));
        assert_eq!((get(ctx, x)?, get(ctx, y)?, get(ctx, fresh)?), (10, 1, 5));
        ctx.write(|m| {
            m.free(fresh);
            Ok(())
        })
    })
    .unwrap();
    assert_eq!((get(&mut ctx, x), get(&mut ctx, y)), (Ok(10), Ok(1)));
    assert_eq!(ctx.read(|m| m.load64(Guard(x), cell(x, 1))), Ok(1));
    drop(ctx);
    assert!(coheap_slab::used(&heap) <= used);
}

#[test]
fn an_aborted_transaction_leaves_nothing_behind() {
    let heap = heap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 2, 1);
    let used = coheap_slab::used(&heap);
    let objects = coheap_slab::objects(&heap);
    for round in 0..3 {
        let result: Result<(), _> = ctx.transaction(TxnOptions::default(), |ctx| {
            let body = ctx.write(|m| {
                let body = make(m, 50, 3)?;
                m.store64(Guard(x), cell(x, 1), body)?;
                Ok(body)
            })?;
            assert_eq!(get(ctx, body)?, 3);
            set(ctx, x, round)?;
            Err(FAILED)
        });
        assert_eq!(result, Err(FAILED));
    }
    assert_eq!(
        ctx.read(|m| Ok((m.load64(Guard(x), cell(x, 0))?, m.load64(Guard(x), cell(x, 1))?))),
        Ok((1, 1))
    );
    let word = Word(heap.word(x).unwrap().load(Ordering::SeqCst));
    assert_eq!((word.owner(), word.changing()), (0, false));
    // one block of the list of fresh blocks stays with the slot
    assert!(coheap_slab::objects(&heap) - objects <= 1 && coheap_slab::used(&heap) - used <= 2048);
}

#[test]
fn replaced_bodies_are_freed_when_it_takes_effect_and_only_then() {
    let heap = heap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 1, 0);
    let first = ctx
        .write(|m| {
            let body = make(m, 50, 0)?;
            m.store64(Guard(x), cell(x, 0), body)?;
            Ok(body)
        })
        .unwrap();
    let replace = |m: &mut dyn Mem| {
        let old = m.load64(Guard(x), cell(x, 0))?;
        let body = make(m, 50, 0)?;
        m.store64(Guard(x), cell(x, 0), body)?;
        m.free(old);
        Ok(())
    };
    let alive = |at| coheap_slab::locate(&heap, at).unwrap().allocated;
    let gave_up: Result<(), _> = ctx.transaction(TxnOptions::default(), |ctx| {
        ctx.write(replace)?;
        ctx.write(replace)?;
        Err(FAILED)
    });
    assert_eq!(gave_up, Err(FAILED));
    assert!(alive(first));
    // thousands of times, directly and in one transaction: nothing piles up
    let objects = coheap_slab::objects(&heap);
    for _ in 0..2000 {
        ctx.write(replace).unwrap();
    }
    ctx.transaction(TxnOptions::default(), |ctx| {
        (0..2000).try_for_each(|_| {
            assert!(coheap_slab::objects(&heap) < objects + 10);
            ctx.write(replace)
        })
    })
    .unwrap();
    assert!(coheap_slab::objects(&heap) <= objects + 2, "a block or two of the slot's list");
}

#[test]
fn nested_ones_join_and_what_a_body_threw_undoes_all() {
    let heap = heap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 1, 1);
    ctx.transaction(TxnOptions::default(), |ctx| {
        set(ctx, x, 2)?;
        ctx.transaction(TxnOptions::default(), |ctx| add(ctx, x, 5))?;
        assert_eq!(get(ctx, x)?, 7);
        assert!(ctx.begin(TxnOptions::default()).is_err());
        Ok(())
    })
    .unwrap();
    assert_eq!(get(&mut ctx, x), Ok(7));
    let undone = ctx.transaction(TxnOptions::default(), |ctx| {
        ctx.transaction(TxnOptions::default(), |ctx| add(ctx, x, 5))?;
        Err::<(), _>(FAILED)
    });
    assert_eq!(undone, Err(FAILED));
    assert_eq!(get(&mut ctx, x), Ok(7));
    assert!(!ctx.in_transaction());
}

#[test]
fn only_what_runs_inside_belongs_to_an_explicit_one() {
    let heap = heap();
    let mut ctx = join(&heap);
    let (x, y, z) = (object(&mut ctx, 1, 1), object(&mut ctx, 1, 1), object(&mut ctx, 1, 1));
    let explicit = TxnOptions { explicit: true, ..TxnOptions::default() };
    let (s, t) = (ctx.begin(explicit).unwrap(), ctx.begin(explicit).unwrap());
    ctx.enter(s).unwrap();
    assert!(ctx.enter(t).is_err(), "one at a time");
    set(&mut ctx, x, 2).unwrap();
    ctx.leave();
    ctx.enter(t).unwrap();
    set(&mut ctx, y, 2).unwrap();
    assert_eq!(get(&mut ctx, x), Ok(1));
    ctx.leave();
    set(&mut ctx, z, 2).unwrap();
    ctx.commit(s).unwrap();
    ctx.abort(t);
    assert_eq!((get(&mut ctx, x), get(&mut ctx, y), get(&mut ctx, z)), (Ok(2), Ok(1), Ok(2)));
    assert!(ctx.enter(t).is_err() && ctx.restart(s).is_err());
    let slots: Vec<_> = (0..4).map(|_| ctx.begin(explicit).unwrap()).collect();
    for t in slots {
        ctx.abort(t);
    }
}

#[test]
fn ten_thousand_objects_in_one_transaction() {
    let heap = heap();
    let mut ctx = join(&heap);
    let objects: Vec<_> = (0..10_000).map(|i| object(&mut ctx, 2, i)).collect();
    for take_effect in [false, true] {
        let result = ctx.transaction(TxnOptions::default(), |ctx| {
            for &x in &objects {
                ctx.write(|m| {
                    let old = m.load64(Guard(x), cell(x, 0))?;
                    m.store64(Guard(x), cell(x, 0), old + 1)?;
                    m.store64(Guard(x), cell(x, 1), old)
                })?;
            }
            if take_effect { Ok(()) } else { Err(FAILED) }
        });
        assert_eq!(result.is_ok(), take_effect);
        for (i, &x) in objects.iter().enumerate() {
            assert_eq!(get(&mut ctx, x), Ok(i as u64 + take_effect as u64));
            let word = Word(heap.word(x).unwrap().load(Ordering::SeqCst));
            assert_eq!((word.owner(), word.changing()), (0, false));
        }
    }
    let used = coheap_slab::used(&heap);
    drop(ctx);
    assert!(coheap_slab::used(&heap) < used, "the log has been given back");
}

#[test]
fn blocks_built_ahead_are_adopted_by_the_write_that_links_them() {
    let heap = heap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 1, 0);
    let objects = coheap_slab::objects(&heap);
    let alive = |at| coheap_slab::locate(&heap, at).unwrap().allocated;
    let dropped = ctx.build(|m| make(m, 3, 1)).unwrap();
    ctx.discard();
    assert!(!alive(dropped));
    assert_eq!(ctx.build(|m| make(m, 3, 1).and(Err::<(), _>(FAILED))), Err(FAILED));
    let linked = ctx.build(|m| make(m, 3, 1)).unwrap();
    assert_eq!(ctx.write(|_| Err::<(), _>(FAILED)), Err(FAILED));
    assert!(alive(linked), "a failed write leaves them pending");
    ctx.write(|m| m.store64(Guard(x), cell(x, 0), linked)).unwrap();
    ctx.discard();
    assert!(alive(linked));
    // escalated, and inside a transaction that is aborted
    let wide = ctx.build(|m| make(m, 3, 1)).unwrap();
    ctx.write_wide(|m| m.store64(Guard(x), cell(x, 0), wide)).unwrap();
    ctx.discard();
    assert!(alive(wide));
    let t = ctx.begin(TxnOptions::default()).unwrap();
    let gone = ctx.build(|m| make(m, 3, 1)).unwrap();
    ctx.write(|m| m.store64(Guard(x), cell(x, 0), gone)).unwrap();
    ctx.discard();
    assert_eq!(get(&mut ctx, x), Ok(gone));
    let again = ctx.build(|m| make(m, 3, 1)).unwrap();
    ctx.write_wide(|m| m.store64(Guard(x), cell(x, 0), again)).unwrap();
    ctx.discard();
    assert!(alive(again));
    ctx.abort(t);
    assert!(!alive(gone));
    assert_eq!(get(&mut ctx, x), Ok(wide));
    assert!(coheap_slab::objects(&heap) - objects <= 3);
}

#[test]
fn a_full_heap_undoes_the_operation_and_the_transaction_can_go_on() {
    let heap = coheap_segment::Segment::anonymous(2 << 20, 4).unwrap();
    coheap_slab::init(&heap).unwrap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 1, 1);
    let full = ctx.transaction(TxnOptions::default(), |ctx| {
        set(ctx, x, 2)?;
        let failed = ctx.write(|m| {
            m.store64(Guard(x), cell(x, 0), 3)?;
            loop {
                make(m, 1000, 0)?;
            }
            #[expect(unreachable_code, reason = "tells the type")]
            Ok(())
        });
        assert!(matches!(failed, Err(Fault::Error(e)) if e.code == Code::OutOfMemory));
        assert_eq!(get(ctx, x)?, 2);
        ctx.write(|m| make(m, 1000, 0)).map(|_| ())
    });
    assert_eq!(full, Ok(()));
    assert_eq!(get(&mut ctx, x), Ok(2));
}

#[test]
fn retry_sleeps_until_something_that_was_read_changes() {
    let heap = heap();
    let mut ctx = join(&heap);
    let (x, other) = (object(&mut ctx, 1, 0), object(&mut ctx, 1, 0));
    std::thread::scope(|s| {
        s.spawn(|| {
            let mut ctx = join(&heap);
            let t = ctx.begin(TxnOptions::default()).unwrap();
            while get(&mut ctx, x).unwrap() < 3 {
                while !ctx.wait_for_change(t, Duration::from_millis(100)).unwrap() {}
                ctx.restart(t).unwrap();
            }
            set(&mut ctx, other, 7).unwrap();
            ctx.commit(t).unwrap();
        });
        for i in 1..=3 {
            std::thread::sleep(Duration::from_millis(2));
            if i == 2 {
                ctx.transaction(TxnOptions::default(), |ctx| set(ctx, x, 2)).unwrap();
            } else {
                set(&mut ctx, x, i).unwrap();
            }
        }
    });
    assert_eq!(get(&mut ctx, other), Ok(7));
}

#[test]
fn a_registered_change_rings_both_lanes() {
    let heap = heap();
    let (mut a, mut b) = (join(&heap), join(&heap));
    let (x, y) = (object(&mut a, 1, 0), object(&mut a, 1, 0));
    let t = a.begin(TxnOptions::default()).unwrap();
    assert_eq!((get(&mut a, x), get(&mut a, y)), (Ok(0), Ok(0)));
    let reads = a.give_up(t).unwrap();
    assert!(!reads.is_empty());
    assert!(!a.register_changes(&reads).unwrap());
    let bells = |heap: &coheap_segment::Segment, p| [heap.bell(p, 0), heap.bell(p, 1)];
    let before = bells(&heap, a.participant());
    set(&mut b, y, 1).unwrap();
    let after = bells(&heap, a.participant());
    assert!(before[0] != after[0] && before[1] != after[1]);
    assert!(a.changed(&reads).unwrap());
    a.unregister(&reads);
    a.abort(t);
}

#[test]
fn handles_are_in_the_shared_table_until_they_are_withdrawn() {
    let heap = heap();
    let mut ctx = join(&heap);
    let objects: Vec<_> = (0..3000).map(|i| object(&mut ctx, 1, i)).collect();
    let handles: Vec<_> = objects.iter().map(|&x| ctx.publish(x).unwrap()).collect();
    for (&h, &x) in handles.iter().zip(&objects) {
        assert_eq!(ctx.handle(h), Some(x));
    }
    let shared = |ctx: &coheap_txn::Ctx| {
        let mut found = Vec::new();
        let mut at = heap.participant(ctx.participant()).handles.load(Ordering::SeqCst);
        while at != 0 {
            let n = heap.word(at + 8).unwrap().load(Ordering::SeqCst) as u32 as u64;
            found.extend((0..n).map(|i| heap.word(at + 24 + i * 8).unwrap().load(Ordering::SeqCst)));
            at = heap.word(at + 16).unwrap().load(Ordering::SeqCst);
        }
        found.retain(|&x| x != 0);
        found
    };
    assert_eq!(shared(&ctx), objects);
    for &h in &handles[1..] {
        ctx.withdraw(h);
        ctx.withdraw(h);
    }
    assert_eq!((shared(&ctx), ctx.handle_count()), (vec![objects[0]], 1));
    assert_eq!(ctx.handle(handles[5]), None);
    assert_eq!(ctx.handle(u32::MAX), None);
    assert!(ctx.publish(objects[9]).unwrap() < 3000, "numbers are used again");
}

#[test]
fn bytes_read_in_a_transaction_show_its_own_stores() {
    let heap = heap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 4, u64::from_le_bytes(*b"abcdefgh"));
    let bytes = |m: &mut dyn Mem| {
        let mut out = [0; 13];
        m.load_bytes(Guard(x), cell(x, 0) + 5, &mut out)?;
        Ok(out)
    };
    assert_eq!(ctx.read(bytes), Ok(*b"fghabcdefghab"));
    for wide in [false, true] {
        let op = |m: &mut dyn Mem| {
            m.store64(Guard(x), cell(x, 1), u64::from_le_bytes(*b"ABCDEFGH"))?;
            bytes(m)
        };
        let seen = if wide { ctx.write_wide(op) } else { ctx.write(op) };
        assert_eq!(seen, Ok(*b"fghABCDEFGHab"));
    }
    let fresh = ctx.write(|m| {
        let block = m.alloc(64)?;
        m.init_bytes(block.at + 16, b"0123456789");
        m.finish(block.at, 2, 0, 0);
        Ok(block.at)
    });
    let mut out = [0; 16];
    ctx.read(|m| m.load_bytes(Guard(fresh.unwrap()), fresh.unwrap() + 16, &mut out)).unwrap();
    assert_eq!(&out, b"0123456789\0\0\0\0\0\0");
}

#[test]
fn a_panic_in_an_operation_leaves_nothing_behind() {
    let heap = heap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 1, 1);
    let objects = coheap_slab::objects(&heap);
    for inside in [false, true] {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            if inside {
                ctx.begin(TxnOptions::default()).unwrap();
                set(&mut ctx, x, 2).unwrap();
            }
            ctx.write(|m| -> Result<(), Fault> {
                make(m, 3, 0)?;
                m.store64(Guard(x), cell(x, 0), 3)?;
                panic!("as the test wants it")
            })
        }));
        assert!(caught.is_err());
        ctx.after_panic();
        assert!(!ctx.in_transaction());
        assert_eq!(get(&mut ctx, x), Ok(1));
        assert!(coheap_slab::objects(&heap) <= objects);
        let word = Word(heap.word(x).unwrap().load(Ordering::SeqCst));
        assert_eq!((word.owner(), word.changing()), (0, false));
    }
    set(&mut ctx, x, 2).unwrap();
}
