//! Participants that died at one instruction or another: what is left of them after a sweep, and what others see.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc;
use std::time::Duration;

use coheap_heap::open::{self, Mode};
use coheap_heap::queue::Channel;
use coheap_heap::segment::{Segment, Status, StatusWord, Word};
use coheap_heap::txn::{self, Ctx, Guard, Mem, TxnOptions};
use coheap_heap::{Code, Data, Deaths, Heap, Options};

use crate::common::nothing_is_left;
use crate::dice::Dice;
use crate::worker::start;
use crate::world::{Name, World};

/// A role's word, of a process that never was: row 200 in its ninth generation.
const NOBODY: u64 = 1 << 63 | 9 << 8 | 200;

/// A heap of one process, with a living participant that looks on.
struct Case {
    name: Name,
    heap: Heap,
    segment: Arc<Segment>,
}

impl Case {
    fn new() -> Case {
        let name = Name::new();
        let heap = Heap::create(&name.0, &options()).unwrap();
        heap.root().set("n", 1.0).unwrap();
        heap.root().set("m", 1.0).unwrap();
        Case { segment: heap.segment(), name, heap }
    }

    fn join(&self) -> Ctx {
        let segment = open::segment(Mode::Open, &self.name.0, &options()).unwrap();
        open::join(&segment, &options()).unwrap()
    }

    fn n(&self) -> f64 {
        self.heap.root().get("n").unwrap().number().unwrap()
    }

    /// What the survivor does, and sees, when it sweeps.
    fn sweep(&self) {
        txn::sweep(&self.segment).unwrap();
        nothing_is_left(&self.heap);
        self.heap.root().set("n", 100.0).unwrap();
        assert_eq!(self.n(), 100.0);
    }

    /// The words of the root's two properties, which are neighbours.
    fn cells(&self) -> (Guard, u64) {
        let root = open::root(&self.segment).unwrap();
        (Guard(root), root + 24)
    }
}

fn options() -> Options {
    Options { max_size: 16 << 20, max_participants: 4, ..Options::default() }
}

/// As if its thread had been killed right here.
fn die(ctx: Ctx) -> u16 {
    let (segment, id) = (ctx.segment().clone(), ctx.participant());
    std::mem::forget(ctx);
    // {…, claimed} → {…, abandoned}
    segment.participant(id).state.fetch_or(3, SeqCst);
    id
}

#[test]
fn a_transaction_that_had_not_decided_never_happened() {
    for explicit in [false, true] {
        let case = Case::new();
        let mut dead = case.join();
        let (guard, cell) = case.cells();
        let t = dead.begin(TxnOptions { explicit, ..TxnOptions::default() }).unwrap();
        dead.enter(t).unwrap();
        dead.write(|m| m.store64(guard, cell, 7f64.to_bits())).unwrap();
        if explicit {
            dead.leave();
        }
        die(dead);
        assert_eq!(case.n(), 1.0);
        case.sweep();
    }
}

#[test]
fn blocks_that_were_built_and_not_linked_hold_up_nothing() {
    for building in [false, true] {
        built_and_not_linked(building);
    }
}

fn built_and_not_linked(building: bool) {
    let case = Case::new();
    let mut dead = case.join();
    dead.build(|m| {
        let block = m.alloc(64)?;
        (2..8).for_each(|i| m.init64(block.at + i * 8, 0));
        m.finish(block.at, coheap_heap::objects::kind::RECORD_BODY, 0, 6);
        Ok(())
    })
    .unwrap();
    let slot = case.segment.participant(dead.participant()).slot.load(SeqCst) as u16;
    assert_eq!(case.segment.slot(slot).unwrap().fresh_len.load(SeqCst), 1);
    // in the middle of building more, or not
    case.segment.slot(slot).unwrap().building.fetch_add(building as u64, SeqCst);
    die(dead);
    case.sweep();
    assert_eq!(case.segment.slot(slot).unwrap().building.load(SeqCst) % 2, 0);
    assert_eq!(case.segment.slot(slot).unwrap().fresh_len.load(SeqCst), 0);
}

#[test]
fn the_blocks_that_the_dead_had_cached_are_free_again() {
    let case = Case::new();
    let dead = case.join();
    let before = coheap_heap::slab::objects(&case.segment);
    let mut dead = dead;
    let kept: Vec<u64> = [32, 100, 1000].map(|bytes| dead.allocator().alloc(bytes).unwrap().at).into();
    for bytes in [32, 100, 1000] {
        let block = dead.allocator().alloc(bytes).unwrap();
        dead.allocator().free(block.at).unwrap();
    }
    die(dead);
    case.sweep();
    let mut unswept = 0;
    coheap_heap::slab::for_each_unswept(&case.segment, |_, _| unswept += 1);
    assert_eq!(unswept, 0);
    assert_eq!(
        coheap_heap::slab::objects(&case.segment),
        before + kept.len() as u64,
        "counted among the gone"
    );
}

#[test]
fn the_handles_of_the_dead_are_dropped_and_their_table_serves_the_next() {
    let case = Case::new();
    let mut dead = case.join();
    let root = open::root(&case.segment).unwrap();
    let handles: Vec<u32> = (0..100).map(|_| dead.publish(root).unwrap()).collect();
    assert_eq!(handles.len(), 100);
    let id = die(dead);
    let table = case.segment.participant(id).handles.load(SeqCst);
    let entry = |i: u64| case.segment.word(table + 24 + i * 8).unwrap().load(SeqCst);
    assert_eq!(entry(0), root);
    case.sweep();
    assert!((0..61).all(|i| entry(i) == 0));
    let next = case.join();
    assert_eq!((next.participant(), case.segment.participant(id).handles.load(SeqCst)), (id, table));
}

#[test]
fn nobody_rings_for_the_dead() {
    let case = Case::new();
    let dead = case.join();
    let (guard, _) = case.cells();
    case.segment.waiters_add(guard.0, dead.participant());
    case.segment.participant(dead.participant()).bells[0].sleepers.store(1, SeqCst);
    let id = die(dead);
    case.sweep();
    let before = case.segment.bell(id, 0);
    case.segment.waiters_ring(guard.0);
    assert_eq!(case.segment.bell(id, 0), before);
    assert_eq!(case.segment.participant(id).bells[0].sleepers.load(SeqCst), 0);
}

#[test]
fn repairs_that_a_dead_process_had_begun_are_taken_over() {
    let case = Case::new();
    let mut dead = case.join();
    let (guard, cell) = case.cells();
    dead.begin(TxnOptions::default()).unwrap();
    dead.write(|m| m.store64(guard, cell, 7f64.to_bits())).unwrap();
    let id = die(dead);
    let row = case.segment.participant(id);
    let slot = case.segment.slot(row.slot.load(SeqCst) as u16).unwrap();
    slot.recoverer.store(NOBODY, SeqCst);
    row.burier.store(NOBODY, SeqCst);
    case.sweep();
    assert_eq!((slot.recoverer.load(SeqCst), row.burier.load(SeqCst)), (0, 0));
}

#[test]
fn repairs_that_a_living_process_does_are_left_to_it() {
    let case = Case::new();
    let dead = case.join();
    let id = die(dead);
    let role = case.segment.take_role(&case.segment.participant(id).burier).unwrap();
    assert_eq!(txn::bury(&case.segment, id), Ok(None));
    drop(role);
    assert!(txn::bury(&case.segment, id).unwrap().is_some());
    nothing_is_left(&case.heap);
}

#[test]
fn a_participant_that_died_while_leaving_is_buried() {
    let case = Case::new();
    let ctx = case.join();
    let id = ctx.participant();
    std::mem::forget(ctx);
    // {generation, a process that never was, leaving}
    let row = case.segment.participant(id);
    let generation = row.state.load(SeqCst) >> 40;
    row.state.store(generation << 40 | 9 << 16 | 200 << 8 | 2, SeqCst);
    // it had got as far as its slot and half of its counters
    case.segment.slot(row.slot.load(SeqCst) as u16).unwrap().claimed.store(0, SeqCst);
    row.used.store(0, SeqCst);
    case.sweep();
}

#[test]
fn a_participant_that_died_before_it_had_a_slot_is_buried() {
    let case = Case::new();
    let id = 3;
    case.segment.participant(id).state.store(5 << 40 | 9 << 16 | 200 << 8 | 1, SeqCst);
    case.segment.process(200).state.store(9 << 32 | 1, SeqCst);
    let mut deaths = case.heap.deaths();
    let told = deaths.look();
    assert_eq!(told.iter().map(|p| (p.id, p.generation, p.alive)).collect::<Vec<_>>(), [(id, 5, false)]);
    assert_eq!(deaths.look(), []);
    nothing_is_left(&case.heap);
}

#[test]
fn a_slot_that_its_owner_leaves_in_the_middle_of_something_is_recovered() {
    let case = Case::new();
    let participant = case.segment.join(9).unwrap();
    let slot = participant.slot();
    let record = case.segment.slot(slot).unwrap();
    let seq = StatusWord(record.status.load(SeqCst)).seq();
    record.intent[0].store(0, SeqCst);
    record.status.store(StatusWord::new(Status::Direct, seq).0, SeqCst);
    // leaves, as the end of its thread would; with this slot it cannot
    drop(participant);
    assert!(case.segment.slot_owner_is_dead(slot));
    case.sweep();
    assert_eq!(StatusWord(record.status.load(SeqCst)), StatusWord::new(Status::Idle, seq + 1));
}

#[test]
fn the_words_of_a_decided_commit_are_stored_and_released_once() {
    let case = Case::new();
    let (guard, cell) = case.cells();
    let participant = case.segment.join(9).unwrap();
    let record = case.segment.slot(participant.slot()).unwrap();
    let seq = StatusWord(record.status.load(SeqCst)).seq();
    let word = case.segment.word(guard.0).unwrap();
    let version = Word(word.load(SeqCst)).version();
    word.store(Word::new(participant.slot(), seq as u8 & 15, version, true).0, SeqCst);
    record.intent[0].store(0, SeqCst);
    record.locks[0].store(guard.0, SeqCst);
    record.locks_len.store(1, SeqCst);
    for (i, value) in [guard.0, 1, cell, 7f64.to_bits()].into_iter().enumerate() {
        record.redo[i].store(value, SeqCst);
    }
    record.redo_len.store(4, SeqCst);
    record.wv.store(version + 5, SeqCst);
    record.status.store(StatusWord::new(Status::Committed, seq).0, SeqCst);
    participant.abandon();
    // whoever meets the word finishes it
    assert_eq!(case.n(), 7.0);
    assert_eq!(Word(word.load(SeqCst)), Word::new(0, 0, version + 5, false));
    case.sweep();
}

#[test]
fn what_a_transaction_of_the_dead_took_is_first_in_its_channel_and_what_it_put_was_never_there() {
    let case = Case::new();
    let jobs = case.heap.channel("jobs", Some(2), false).unwrap();
    assert!(jobs.try_put(1.0).unwrap() && jobs.try_put(2.0).unwrap());
    let mut dead = case.join();
    let channel = Channel::open(&mut dead, "jobs", Some(2), false).unwrap();
    dead.begin(TxnOptions::default()).unwrap();
    let taken = channel.try_take(&mut dead, |_, _, cell| Ok(cell.as_number()));
    assert_eq!(taken, Ok(Some(Some(1.0))));
    assert_eq!(channel.try_put(&mut dead, coheap_heap::objects::Cell::number(3.0)), Ok(true));
    die(dead);
    case.sweep();
    assert_eq!(jobs.try_take().unwrap().unwrap().number().unwrap(), 1.0);
    assert_eq!(jobs.try_take().unwrap().unwrap().number().unwrap(), 2.0);
    assert!(jobs.try_take().unwrap().is_none());
    assert!(jobs.try_put(4.0).unwrap() && jobs.try_put(5.0).unwrap() && !jobs.try_put(6.0).unwrap());
}

#[test]
fn a_thread_that_is_blocked_by_the_dead_goes_on() {
    let case = Case::new();
    let mut dead = case.join();
    let (guard, cell) = case.cells();
    dead.begin(TxnOptions { reserve_reads: true, ..TxnOptions::default() }).unwrap();
    dead.write(|m| m.store64(guard, cell, 7f64.to_bits())).unwrap();
    die(dead);
    case.heap.transaction(|heap| heap.root().set("n", 2.0)).unwrap();
    assert_eq!(case.n(), 2.0);
}

#[test]
fn an_explicit_transaction_goes_past_a_dead_elder_and_is_not_aborted_for_it() {
    let case = Case::new();
    let mut dead = case.join();
    let (guard, cell) = case.cells();
    dead.begin(TxnOptions::default()).unwrap();
    dead.write(|m| m.store64(guard, cell, 7f64.to_bits())).unwrap();
    let tx = case.heap.begin(TxnOptions::default()).unwrap();
    // while the elder lives, the younger gives way
    assert_eq!(tx.run(|heap| heap.root().set("n", 2.0)).unwrap_err().code, Code::Aborted);
    tx.restart().unwrap();
    die(dead);
    tx.run(|heap| heap.root().set("n", 3.0)).unwrap();
    tx.commit().unwrap();
    assert_eq!(case.n(), 3.0);
}

#[test]
fn a_heap_full_of_the_dead_lets_the_next_in() {
    let case = Case::new();
    for _ in 0..10 {
        let mut dead: Vec<Ctx> = (0..3).map(|_| case.join()).collect();
        for ctx in &mut dead {
            // each with a slot of an explicit transaction, too
            ctx.begin(TxnOptions { explicit: true, ..TxnOptions::default() }).unwrap();
        }
        for ctx in dead {
            die(ctx);
        }
    }
    drop(case.join());
    nothing_is_left(&case.heap);
}

#[test]
fn a_persistent_heap_with_one_row_whose_only_user_was_killed_can_be_opened() {
    let name = Name::new();
    let options = Options { persist: true, max_participants: 1, ..options() };
    World::make(&Heap::create(&name.0, &options).unwrap()).unwrap();
    let mut dice = Dice(77);
    for _ in 0..5 {
        let mut worker = start(&name.0, 1, dice.roll(1 << 40) | 1, None);
        std::thread::sleep(Duration::from_millis(10 + dice.roll(20)));
        worker.kill().unwrap();
        worker.wait().unwrap();
        let heap = Heap::open(&name.0, &options).unwrap();
        World::of(&heap).unwrap().check().unwrap();
        nothing_is_left(&heap);
    }
}

#[test]
fn each_death_is_told_once_and_leaving_is_not_told() {
    let case = Case::new();
    let mut deaths = Deaths::new(&case.segment);
    let (a, b) = (case.join(), case.join());
    let (id, leaver) = (a.participant(), b.participant());
    assert_eq!(deaths.look(), []);
    die(a);
    drop(b);
    // buried by somebody else, and its row given away
    txn::sweep(&case.segment).unwrap();
    let heirs = (case.join(), case.join());
    let told = deaths.look();
    assert_eq!(told.iter().map(|p| (p.id, p.alive, p.own)).collect::<Vec<_>>(), [(id, false, true)]);
    assert_ne!(leaver, id);
    assert_eq!(deaths.look(), []);
    drop(heirs);
    assert_eq!(deaths.look(), []);
}

#[test]
fn a_watcher_hears_of_a_killed_process_and_its_words_are_free_before_anyone_meets_them() {
    let name = Name::new();
    let heap = Heap::create(&name.0, &options()).unwrap();
    World::make(&heap).unwrap();
    let (died, deaths) = mpsc::channel();
    let watcher = heap.on_death(move |who| died.send(who).unwrap()).unwrap();
    for seed in 1..4 {
        let mut worker = start(&name.0, 1, seed, None);
        while heap.participants().len() < 2 {
            std::thread::yield_now();
        }
        let pid = worker.id();
        worker.kill().unwrap();
        let who = deaths.recv().unwrap();
        assert_eq!((who.pid, who.alive, who.own), (pid, false, false));
        worker.wait().unwrap();
        nothing_is_left(&heap);
    }
    drop(watcher);
    assert!(deaths.try_recv().is_err());
    heap.root().set("x", Data::Null).unwrap();
}

/// A message whose place says {slot, tag} of a participant that has died with this status; what comes out of the channel.
fn message_of_the_dead(status: Status, putting: bool) -> Vec<f64> {
    let case = Case::new();
    let jobs = case.heap.channel("jobs", None, false).unwrap();
    assert!(jobs.try_put(1.0).unwrap() && jobs.try_put(2.0).unwrap());
    let mut looker = case.join();
    let channel = Channel::open(&mut looker, "jobs", None, false).unwrap().offset();
    drop(looker);
    let ring = case.segment.word(channel + 0x30).unwrap().load(SeqCst);
    let place = case.segment.word(ring + 64).unwrap();

    let participant = case.segment.join(9).unwrap();
    let slot = participant.slot();
    let record = case.segment.slot(slot).unwrap();
    let seq = StatusWord(record.status.load(SeqCst)).seq();
    record.intent[0].store(0, SeqCst);
    record.status.store(StatusWord::new(status, seq).0, SeqCst);
    place.fetch_or((putting as u64) << 46 | (seq & 15) << 42 | (slot as u64) << 32, SeqCst);
    participant.abandon();
    // recovered and buried before anybody looks at the channel, and its slot at work again
    case.sweep();
    let heir = case.join();
    let now = StatusWord(record.status.load(SeqCst)).seq();
    record.status.store(StatusWord::new(Status::Idle, now + 15).0, SeqCst);
    let mut rest = Vec::new();
    while let Some(message) = jobs.try_take().unwrap() {
        rest.push(message.number().unwrap());
    }
    drop(heir);
    rest
}

#[test]
fn messages_are_settled_by_what_the_dead_had_decided_not_by_what_their_slot_does_later() {
    assert_eq!(message_of_the_dead(Status::Committed, true), [1.0, 2.0], "put");
    assert_eq!(message_of_the_dead(Status::Committed, false), [2.0], "taken");
    for status in [Status::Active, Status::Preparing, Status::Aborted, Status::Direct] {
        assert_eq!(message_of_the_dead(status, true), [2.0], "{status:?}: never put");
        assert_eq!(message_of_the_dead(status, false), [1.0, 2.0], "{status:?}: not taken");
    }
}
