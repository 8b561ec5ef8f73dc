//! Owners that have stopped at one instruction or another, built by hand: what others do, and what they see.

mod common;
use common::*;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use coheap_segment::{Code, Off, Participant, Segment, SlotRecord, Status, StatusWord, Word};
use coheap_txn::{Fault, Guard, Reads, TxnOptions};

/// A participant that stands still.
struct Stopped {
    heap: Arc<Segment>,
    participant: Participant,
    seq: u64,
}

impl Stopped {
    fn new(heap: &Arc<Segment>) -> Stopped {
        let participant = heap.join(9).unwrap();
        let seq = StatusWord(heap.slot(participant.slot()).unwrap().status.load(SeqCst)).seq() + 21;
        let stopped = Stopped { heap: heap.clone(), participant, seq };
        stopped.record().status.store(StatusWord::new(Status::Idle, seq).0, SeqCst);
        stopped
    }
    fn record(&self) -> &SlotRecord {
        self.heap.slot(self.participant.slot()).unwrap()
    }
    fn status(&self, status: Status) {
        self.record().age.store(1, SeqCst);
        self.record().status.store(StatusWord::new(status, self.seq).0, SeqCst);
    }
    /// Our owner field, listed, in the word of `object`.
    fn hold(&self, object: Off, changing: bool) {
        let record = self.record();
        let n = record.locks_len.load(SeqCst);
        record.locks[n as usize].store(object, SeqCst);
        record.locks_len.store(n + 1, SeqCst);
        self.own(object, changing);
    }
    fn own(&self, object: Off, changing: bool) {
        let word = self.heap.word(object).unwrap();
        let version = Word(word.load(SeqCst)).version();
        word.store(Word::new(self.participant.slot(), self.seq as u8 & 15, version, changing).0, SeqCst);
    }
    fn redo(&self, words: &[u64]) {
        for (i, &word) in words.iter().enumerate() {
            self.record().redo[i].store(word, SeqCst);
        }
        self.record().redo_len.store(words.len() as u64, SeqCst);
    }
    fn die(self) -> u16 {
        let slot = self.participant.slot();
        self.participant.abandon();
        slot
    }
}

fn word(heap: &Segment, object: Off) -> Word {
    Word(heap.word(object).unwrap().load(SeqCst))
}

#[test]
fn a_plain_read_does_not_wait_for_an_undecided_commit() {
    let heap = heap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 1, 1);
    let p = Stopped::new(&heap);
    p.status(Status::Preparing);
    p.hold(x, true);
    let before = word(&heap, x);
    assert_eq!(get(&mut ctx, x), Ok(1));
    assert_eq!(word(&heap, x), before, "and leaves it alone");
    // aborted: a reader cleans up, and C goes only with a new version
    p.status(Status::Aborted);
    assert_eq!(get(&mut ctx, x), Ok(1));
    let after = word(&heap, x);
    assert!(after.owner() == 0 && !after.changing() && after.version() > before.version());
    p.status(Status::Idle);
}

#[test]
fn a_transactional_read_aborts_a_stopped_undecided_commit() {
    let heap = heap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 1, 1);
    let p = Stopped::new(&heap);
    p.status(Status::Preparing);
    p.hold(x, true);
    assert_eq!(ctx.transaction(TxnOptions::default(), |ctx| get(ctx, x)), Ok(1));
    assert_eq!(StatusWord(p.record().status.load(SeqCst)).status(), Some(Status::Aborted));
    p.status(Status::Idle);
}

#[test]
fn reservations_of_an_attempt_that_is_over_are_taken_by_anybody() {
    let heap = heap();
    let mut ctx = join(&heap);
    for changing in [false, true] {
        for wide in [false, true] {
            let x = object(&mut ctx, 1, 1);
            let mut p = Stopped::new(&heap);
            p.status(Status::Active);
            p.own(x, changing);
            let before = word(&heap, x);
            p.seq += 1;
            p.status(Status::Active);
            if wide {
                ctx.transaction(TxnOptions::default(), |ctx| add(ctx, x, 1)).unwrap();
            } else {
                add(&mut ctx, x, 1).unwrap();
            }
            assert_eq!(get(&mut ctx, x), Ok(2));
            let after = word(&heap, x);
            assert!(
                after.owner() == 0
                    && !after.changing()
                    && after.version() > before.version() + changing as u64
            );
            assert_eq!(
                StatusWord(p.record().status.load(SeqCst)).status(),
                Some(Status::Active),
                "left alone"
            );
            p.status(Status::Idle);
        }
    }
}

#[test]
fn a_word_whose_owner_does_not_know_of_it_is_corrupt_and_not_waited_for() {
    let heap = heap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 1, 1);
    let p = Stopped::new(&heap);
    p.status(Status::Direct);
    p.own(x, true);
    let corrupt = |r: Result<u64, Fault>| matches!(r, Err(Fault::Error(e)) if e.code == Code::Corrupt);
    assert!(corrupt(get(&mut ctx, x)));
    assert!(corrupt(add(&mut ctx, x, 1).map(|()| 0)));
    assert!(corrupt(ctx.transaction(TxnOptions::default(), |ctx| get(ctx, x))));
    // an owner that does not exist
    heap.word(x).unwrap().store(Word::new(1000, 3, 9, true).0, SeqCst);
    assert!(corrupt(get(&mut ctx, x)));
    // C and no owner
    heap.word(x).unwrap().store(Word::new(0, 0, 9, true).0, SeqCst);
    assert!(corrupt(get(&mut ctx, x)));
    p.status(Status::Idle);
}

#[test]
fn a_version_that_cannot_be_is_corrupt_and_the_last_one_is_not_written() {
    let heap = heap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 1, 1);
    heap.word(x).unwrap().store(Word::new(0, 0, coheap_segment::word::LAST_VERSION - 1, false).0, SeqCst);
    let is = |r: Result<(), Fault>, code| matches!(r, Err(Fault::Error(e)) if e.code == code);
    assert!(is(add(&mut ctx, x, 1), Code::OutOfMemory));
    assert!(is(ctx.transaction(TxnOptions::default(), |ctx| get(ctx, x)).map(|_| ()), Code::Corrupt));
    assert_eq!(get(&mut ctx, x), Ok(1));
}

#[test]
fn whoever_meets_a_dead_owner_finishes_what_it_had_decided() {
    let heap = heap();
    let mut ctx = join(&heap);
    let (x, y, z) = (object(&mut ctx, 2, 1), object(&mut ctx, 1, 1), object(&mut ctx, 1, 1));
    let p = Stopped::new(&heap);
    p.status(Status::Preparing);
    p.hold(x, true);
    p.hold(y, true);
    p.hold(z, false);
    let wv = 1000;
    p.redo(&[x, 2, cell(x, 0), 10, cell(x, 1), 11, y, 1, cell(y, 0), 12]);
    p.record().wv.store(wv, SeqCst);
    p.status(Status::Committed);
    // it had got as far as releasing y, which somebody has changed since
    heap.word(cell(y, 0)).unwrap().store(99, SeqCst);
    heap.word(y).unwrap().store(Word::new(0, 0, wv + 5, false).0, SeqCst);
    let slot = p.die();
    assert_eq!(get(&mut ctx, x), Ok(10));
    assert_eq!(ctx.read(|m| m.load64(Guard(x), cell(x, 1))), Ok(11));
    assert_eq!(get(&mut ctx, y), Ok(99), "a group that is no longer owned is left alone");
    assert_eq!((word(&heap, x).version(), word(&heap, x).owner()), (wv, 0));
    assert_eq!(word(&heap, z).owner(), 0);
    assert_eq!(StatusWord(heap.slot(slot).unwrap().status.load(SeqCst)).status(), Some(Status::Idle));
    assert_eq!(ctx.recover(slot), Ok(true), "once more does no harm");
}

#[test]
fn what_a_dead_owner_had_not_decided_is_undone() {
    for status in [Status::Active, Status::Preparing, Status::Aborted] {
        let heap = heap();
        let mut ctx = join(&heap);
        let (x, y) = (object(&mut ctx, 1, 1), object(&mut ctx, 1, 1));
        let p = Stopped::new(&heap);
        p.status(status);
        p.hold(x, status == Status::Preparing);
        p.hold(y, false);
        p.redo(&[x, 1, cell(x, 0), 10]);
        let slot = p.die();
        assert_eq!(ctx.recover(slot), Ok(true));
        assert_eq!((word(&heap, x).owner(), word(&heap, y).owner()), (0, 0));
        add(&mut ctx, x, 1).unwrap();
        assert_eq!(get(&mut ctx, x), Ok(2));
    }
}

#[test]
fn single_operations_of_the_dead_are_released_or_done_again() {
    let heap = heap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 2, 1);
    // one cell, killed right after its store or before: either value
    let p = Stopped::new(&heap);
    p.record().intent[0].store(x, SeqCst);
    p.status(Status::Direct);
    p.own(x, true);
    let before = word(&heap, x).version();
    p.die();
    assert_eq!(get(&mut ctx, x), Ok(1));
    assert!(word(&heap, x).version() > before);
    // several cells, decided
    let p = Stopped::new(&heap);
    for (i, value) in [x, 500 | 2 << 56, cell(x, 0), 7, cell(x, 1), 8].into_iter().enumerate() {
        p.record().intent[i].store(value, SeqCst);
    }
    p.status(Status::Committed);
    p.own(x, true);
    p.die();
    add(&mut ctx, x, 1).unwrap();
    assert_eq!(get(&mut ctx, x), Ok(8));
    assert_eq!(ctx.read(|m| m.load64(Guard(x), cell(x, 1))), Ok(8));
    assert!(word(&heap, x).version() > 500);
}

#[test]
fn a_dead_recoverer_is_replaced_and_a_living_one_is_left_alone() {
    let heap = heap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 1, 1);
    let dead = Stopped::new(&heap);
    dead.status(Status::Active);
    dead.hold(x, false);
    let slot = dead.die();
    let role = heap.take_role(&heap.slot(slot).unwrap().recoverer).unwrap();
    assert_eq!(ctx.recover(slot), Ok(false));
    drop(role);
    // a process that never was: row 7, generation 3
    heap.slot(slot).unwrap().recoverer.store(1 << 63 | 3 << 8 | 7, SeqCst);
    assert_eq!(ctx.recover(slot), Ok(true));
    assert_eq!(word(&heap, x).owner(), 0);
}

#[test]
fn waiting_for_a_change_ends_when_a_commit_of_the_dead_that_was_decided_brings_it() {
    let heap = heap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 1, 1);
    let reads = Reads::one(Guard(x), word(&heap, x).version());
    let p = Stopped::new(&heap);
    p.hold(x, true);
    p.redo(&[x, 1, cell(x, 0), 10]);
    p.record().wv.store(1000, SeqCst);
    p.status(Status::Committed);
    p.die();
    assert_eq!(ctx.wait_for(&reads, Duration::from_secs(3600)), Ok(true));
    assert_eq!(get(&mut ctx, x), Ok(10));
}

#[test]
fn who_was_aborted_for_a_dead_elder_does_not_wait_for_it_for_ever() {
    let heap = heap();
    let mut ctx = join(&heap);
    let x = object(&mut ctx, 1, 1);
    let p = Stopped::new(&heap);
    p.record().age.store(0, SeqCst);
    p.status(Status::Active);
    p.record().age.store(0, SeqCst);
    p.hold(x, false);
    let t = ctx.begin(TxnOptions { no_wait: true, ..TxnOptions::default() }).unwrap();
    assert_eq!(add(&mut ctx, x, 1), Err(Fault::Aborted));
    let elder = ctx.blocked_on(t).unwrap();
    assert!(!ctx.has_ended(&elder));
    p.die();
    assert!(ctx.has_ended(&elder));
    ctx.restart(t).unwrap();
    add(&mut ctx, x, 1).unwrap();
    ctx.commit(t).unwrap();
    assert_eq!(get(&mut ctx, x), Ok(2));
}
