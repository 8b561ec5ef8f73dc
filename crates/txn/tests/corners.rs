//! What storms meet once in a million: stopped thieves, reads that pass a commit, a full heap, panics in the middle.

mod common;
use common::*;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::SeqCst;

use coheap_segment::{Code, Off, Segment, Status, StatusWord, Word};
use coheap_txn::{Fault, Guard, Hand, Mem, Op, Party, Res, TxnOptions};

fn word(heap: &Segment, object: Off) -> Word {
    Word(heap.word(object).unwrap().load(SeqCst))
}

fn is_allocated(heap: &Segment, at: Off) -> bool {
    coheap_slab::locate(heap, at).is_some_and(|place| place.allocated)
}

const RESERVING: TxnOptions =
    TxnOptions { reserve_reads: true, explicit: false, max_hold_ms: 0, no_wait: false };

#[test]
fn a_reservation_stolen_by_a_thief_of_a_wrapped_tag_is_noticed() {
    for read_again in [false, true] {
        let heap = heap();
        let (mut a, mut b) = (join(&heap), join(&heap));
        let (x, y) = (object(&mut a, 1, 1), object(&mut a, 1, 1));
        let t = a.begin(RESERVING).unwrap();
        assert_eq!(get(&mut a, x), Ok(1));
        set(&mut a, y, 2).unwrap();
        // Somebody had judged this very word sixteen attempts ago, and takes it now.
        let held = word(&heap, x);
        assert!(held.owner() != 0 && !held.changing());
        heap.word(x).unwrap().store(Word::new(0, 0, held.version(), false).0, SeqCst);
        set(&mut b, x, 10).unwrap();
        if read_again {
            assert_eq!(get(&mut a, x), Err(Fault::Aborted));
        }
        assert_eq!(a.commit(t), Err(Fault::Aborted));
        a.abort(t);
        assert_eq!((get(&mut b, x), get(&mut b, y)), (Ok(10), Ok(1)));
    }
}

#[test]
fn a_plain_read_passes_a_commit_only_until_that_has_drawn_its_version() {
    let heap = heap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 1, 1);
    let stopped = heap.join(9).unwrap();
    let record = heap.slot(stopped.slot()).unwrap();
    let preparing = StatusWord::new(Status::Preparing, 21);
    record.locks[0].store(x, SeqCst);
    record.locks_len.store(1, SeqCst);
    record.status.store(preparing.0, SeqCst);
    let version = word(&heap, x).version();
    heap.word(x).unwrap().store(Word::new(stopped.slot(), preparing.tag(), version, true).0, SeqCst);
    record.wv.store(0, SeqCst);
    assert_eq!(get(&mut ctx, x), Ok(1));
    assert_eq!(record.status.load(SeqCst), preparing.0, "left alone");
    // From now on a snapshot may contain it that does not contain what ended before the read.
    record.wv.store(1, SeqCst);
    assert_eq!(get(&mut ctx, x), Ok(1));
    assert_eq!(StatusWord(record.status.load(SeqCst)).status(), Some(Status::Aborted));
    record.status.store(StatusWord::new(Status::Idle, 22).0, SeqCst);
}

#[test]
fn an_operation_that_finds_no_room_for_its_list_frees_nothing_that_it_had_replaced() {
    let heap = Segment::anonymous(4 << 20, 8).unwrap();
    coheap_slab::init(&heap).unwrap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 1, 0);
    // the first block of the list is there; blocks of 32 bytes will be; nothing else
    let options = TxnOptions::default();
    ctx.transaction(options, |ctx| ctx.write(|m| make(m, 1, 7).map(drop))).unwrap();
    while ctx.allocator().alloc_reserved(2048).is_ok() {}
    ctx.begin(options).unwrap();
    let first = ctx.write(|m| {
        let body = make(m, 1, 1)?;
        m.store64(Guard(x), cell(x, 0), body)?;
        Ok(body)
    });
    let first = first.unwrap();
    let full = ctx.write(|m| {
        m.free(first);
        for _ in 0..300 {
            let body = make(m, 1, 2)?;
            m.store64(Guard(x), cell(x, 0), body)?;
        }
        Ok(())
    });
    assert!(matches!(full, Err(Fault::Error(e)) if e.code == Code::OutOfMemory), "{full:?}");
    assert_eq!(get(&mut ctx, x), Ok(first));
    assert!(is_allocated(&heap, first));
}

#[test]
fn blocks_built_ahead_outlive_reads_that_need_a_transaction() {
    struct Two(Off, Off);
    impl Op for Two {
        type Out = (u64, Off);
        fn run<M: Mem>(&mut self, m: &mut M) -> Res<(u64, Off)> {
            Ok((m.load64(Guard(self.0), cell(self.0, 0))?, m.load64(Guard(self.1), cell(self.1, 0))?))
        }
    }
    let heap = heap();
    let mut ctx = join(&heap);
    let (x, y) = (object(&mut ctx, 1, 1), object(&mut ctx, 1, 0));
    let child = object(&mut ctx, 1, 5);
    set(&mut ctx, y, child).unwrap();
    let built = ctx.build(|m| make(m, 1, 9)).unwrap();
    let record = heap.slot(1).unwrap();
    assert_eq!(record.fresh_len.load(SeqCst), 1);
    ctx.read_with(&mut Two(x, y)).unwrap();
    let found = ctx.read_handle(&mut Two(x, y), |_| None).unwrap();
    assert_eq!((found.value, ctx.handle(found.handle.unwrap())), (1, Some(child)));
    assert_eq!((record.fresh_len.load(SeqCst), ctx.handle_count()), (1, 1));
    ctx.discard();
    assert!(!is_allocated(&heap, built));
}

#[test]
fn a_single_operation_of_another_kind_leaves_no_log_of_an_earlier_transaction_to_recovery() {
    let heap = heap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 1, 1);
    ctx.transaction(TxnOptions::default(), |ctx| add(ctx, x, 1)).unwrap();
    let mut hand = ctx.hand().unwrap();
    hand.begin();
    let r = hand.record();
    assert_eq!([&r.redo_len, &r.locks_len, &r.intent[0]].map(|word| word.load(SeqCst)), [0; 3]);
    hand.end();
}

#[test]
fn no_plain_read_passes_a_commit_whose_parties_look_at_something() {
    #[derive(Default)]
    struct Looks;
    impl Party for Looks {
        fn guards(&self, _: &mut dyn FnMut(Guard)) {}
        fn prepare(&mut self, hand: &mut Hand<'_>) -> Res<()> {
            // what it sees, it sees before whatever a plain reader does afterwards: so that one must not come before us
            assert_ne!(hand.record().wv.load(SeqCst), 0);
            Ok(())
        }
        fn check(&mut self, _: &mut Hand<'_>) -> Res<()> {
            Ok(())
        }
        fn committed(&mut self, _: &mut Hand<'_>) {}
        fn aborted(&mut self, _: &mut Hand<'_>) {}
    }
    let heap = heap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 1, 1);
    for _ in 0..2 {
        ctx.transaction(TxnOptions::default(), |ctx| {
            assert_eq!(heap.slot(1).unwrap().wv.load(SeqCst), 0);
            add(ctx, x, 1)?;
            ctx.with_party::<Looks, ()>(|_, _| Ok(()))
        })
        .unwrap();
    }
}

#[test]
fn a_panic_after_the_decision_finishes_the_commit() {
    #[derive(Default)]
    struct Panics;
    impl Party for Panics {
        fn guards(&self, _: &mut dyn FnMut(Guard)) {}
        fn prepare(&mut self, _: &mut Hand<'_>) -> Res<()> {
            Ok(())
        }
        fn check(&mut self, _: &mut Hand<'_>) -> Res<()> {
            Ok(())
        }
        fn committed(&mut self, _: &mut Hand<'_>) {
            panic!("on purpose");
        }
        fn aborted(&mut self, _: &mut Hand<'_>) {}
    }
    let heap = heap();
    let mut ctx = join(&heap);
    let (x, y) = (object(&mut ctx, 1, 1), object(&mut ctx, 1, 0));
    for explicit in [false, true] {
        let before = get(&mut ctx, x).unwrap();
        let options = TxnOptions { explicit, ..TxnOptions::default() };
        let result = catch_unwind(AssertUnwindSafe(|| {
            let t = ctx.begin(options).unwrap();
            ctx.enter(t).unwrap();
            add(&mut ctx, x, 1).unwrap();
            let body = ctx.write(|m| make(m, 1, 5)).unwrap();
            set(&mut ctx, y, body).unwrap();
            ctx.with_party::<Panics, ()>(|_, _| Ok(())).unwrap();
            ctx.commit(t)
        }));
        assert!(result.is_err());
        ctx.after_panic();
        assert!(!ctx.in_transaction());
        assert_eq!(get(&mut ctx, x), Ok(before + 1));
        let body = get(&mut ctx, y).unwrap();
        assert!(is_allocated(&heap, body) && get(&mut ctx, body) == Ok(5));
        add(&mut ctx, x, 1).unwrap();
        ctx.transaction(TxnOptions::default(), |ctx| add(ctx, x, 1)).unwrap();
    }
    assert_eq!(get(&mut ctx, x), Ok(7));
}

#[test]
fn a_clock_that_says_what_it_cannot_is_an_error_and_overflows_nowhere() {
    for clock in [u64::MAX, 1 << 60, (1 << 47) - 1] {
        let heap = heap();
        let mut ctx = join(&heap);
        let x = object(&mut ctx, 1, 1);
        heap.header().clock.store(clock, SeqCst);
        let _ = (get(&mut ctx, x), set(&mut ctx, x, 2));
        let fresh = ctx.write(|m| make(m, 1, 1));
        let run = ctx.write(|m| make(m, 100_000, 1));
        let both = ctx.transaction(TxnOptions::default(), |ctx| add(ctx, x, 1));
        if clock > 1 << 47 {
            assert!(fresh.is_err() && run.is_err() && both.is_err(), "{fresh:?} {run:?} {both:?}");
        }
    }
}

#[test]
fn a_slot_with_chains_that_lead_anywhere_can_be_given_out() {
    for chain in [u64::MAX, u64::MAX - 7, 1, 1 << 40] {
        let heap = heap();
        drop(join(&heap));
        for slot in 1..=4 {
            let record = heap.slot(slot).unwrap();
            for head in [&record.locks_more, &record.redo_more, &record.fresh] {
                head.store(chain, SeqCst);
            }
        }
        let mut ctx = join(&heap);
        let x = object(&mut ctx, 1, 1);
        assert_eq!((set(&mut ctx, x, 2), get(&mut ctx, x)), (Ok(()), Ok(2)));
    }
}
