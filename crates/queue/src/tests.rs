//! The rings under threads, with a slot and an allocator of their own each.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;

use coheap_objects::Cell;
use coheap_segment::{Off, Participant, Result, Segment, Status, StatusWord};
use coheap_slab::Allocator;

use crate::fifo::{Fifo, Memory, Put, Take};
use crate::hand::Hand;
use crate::layout::{ChannelRecord, UNBOUNDED};

/// A participant without the transaction manager.
pub(crate) struct Worker {
    seg: Arc<Segment>,
    participant: Participant,
    pub(crate) allocator: Allocator,
    memory: HashMap<Off, Memory>,
}

impl Hand for Worker {
    fn segment(&self) -> &Segment {
        &self.seg
    }
    fn slot(&self) -> u16 {
        self.participant.slot()
    }
    fn begin(&mut self) -> u8 {
        let status = &self.seg.slot(self.slot()).unwrap().status;
        let now = StatusWord(status.load(SeqCst));
        assert_eq!(now.status(), Some(Status::Idle));
        status.store(StatusWord::new(Status::Direct, now.seq()).0, SeqCst);
        now.tag()
    }
    fn decide(&mut self) {
        let status = &self.seg.slot(self.slot()).unwrap().status;
        let now = StatusWord(status.load(SeqCst));
        assert_eq!(now.status(), Some(Status::Direct));
        status.store(StatusWord::new(Status::Committed, now.seq()).0, SeqCst);
    }
    fn end(&mut self) {
        let status = &self.seg.slot(self.slot()).unwrap().status;
        let now = StatusWord(status.load(SeqCst));
        status.store(StatusWord::new(Status::Idle, now.seq() + 1).0, SeqCst);
    }
    fn alloc(&mut self, bytes: u64) -> Result<Off> {
        Ok(self.allocator.alloc(bytes)?.at)
    }
    fn built(&mut self) {}
    fn free(&mut self, at: Off) -> Result<()> {
        assert!(self.allocator.free(at)?, "freed twice");
        Ok(())
    }
}

pub(crate) fn segment() -> Arc<Segment> {
    let seg = Segment::anonymous(64 << 20, 32).unwrap();
    coheap_slab::init(&seg).unwrap();
    seg
}

impl Worker {
    pub(crate) fn new(seg: &Arc<Segment>) -> Worker {
        let participant = seg.join(1).unwrap();
        let allocator = Allocator::new(seg.clone(), participant.id());
        Worker { seg: seg.clone(), participant, allocator, memory: HashMap::new() }
    }
    pub(crate) fn channel(&mut self, capacity: u64) -> Off {
        let places = crate::layout::places_for(capacity);
        crate::layout::format_channel(self, capacity, places, false, b"test").unwrap()
    }
    pub(crate) fn on<T>(&mut self, at: Off, f: impl FnOnce(&mut Fifo<'_, '_, Worker>) -> T) -> T {
        let seg = self.seg.clone();
        let channel = ChannelRecord::at(&seg, at).unwrap();
        let places = channel.places();
        let memory = self.memory.remove(&at).unwrap_or_default();
        let result = f(&mut Fifo::new(&seg, channel, places, self, &memory));
        self.memory.insert(at, memory);
        result
    }
    fn put(&mut self, at: Off, x: f64) -> Put {
        self.on(at, |fifo| fifo.put(Cell::number(x)).unwrap())
    }
    fn take(&mut self, at: Off) -> Take<f64> {
        self.on(at, |fifo| fifo.take(|_, _, cell| Ok(cell.as_number().unwrap())).unwrap())
    }
    fn len(&mut self, at: Off) -> u64 {
        self.on(at, |fifo| fifo.rings.len(None).unwrap())
    }
}

#[test]
fn smoke() {
    let seg = segment();
    let mut sut = Worker::new(&seg);
    let at = sut.channel(UNBOUNDED);
    assert_eq!(sut.take(at), Take::Empty);
    assert_eq!(sut.put(at, 1.5), Put::Done);
    assert_eq!(sut.put(at, 2.5), Put::Done);
    assert_eq!(sut.len(at), 2);
    assert_eq!(sut.take(at), Take::Taken(1.5));
    assert_eq!(sut.take(at), Take::Taken(2.5));
    assert_eq!(sut.take(at), Take::Empty);
    assert_eq!(sut.len(at), 0);
}

#[test]
fn an_unbounded_channel_grows_and_its_rings_serve_again() {
    let seg = segment();
    let mut sut = Worker::new(&seg);
    let at = sut.channel(UNBOUNDED);
    let mut used = 0;
    for round in 0..5 {
        for i in 0..5000 {
            assert_eq!(sut.put(at, i as f64), Put::Done);
            assert_eq!(sut.len(at), i + 1);
        }
        for i in 0..5000 {
            assert_eq!(sut.len(at), 5000 - i);
            assert_eq!(sut.take(at), Take::Taken(i as f64), "round {round}");
        }
        assert_eq!(sut.take(at), Take::Empty);
        // the first round begins at the start of a ring, the others in the middle of one
        if round <= 1 {
            used = coheap_slab::used(&seg);
        }
        assert_eq!(coheap_slab::used(&seg), used);
    }
}

#[test]
fn capacity_is_respected() {
    let seg = segment();
    let mut sut = Worker::new(&seg);
    for capacity in [1, 2, 63, 64, 65, 1000, 1024] {
        let at = sut.channel(capacity);
        for round in 0..3 {
            for i in 0..capacity {
                assert_eq!(sut.put(at, i as f64), Put::Done, "{capacity} {round} {i}");
            }
            assert_eq!(sut.put(at, 0.0), Put::Full);
            assert_eq!(sut.take(at), Take::Taken(0.0));
            assert_eq!(sut.put(at, -1.0), Put::Done);
            assert_eq!(sut.put(at, -1.0), Put::Full);
            for i in 1..capacity {
                assert_eq!(sut.take(at), Take::Taken(i as f64));
            }
            assert_eq!(sut.take(at), Take::Taken(-1.0));
            assert_eq!(sut.take(at), Take::Empty);
        }
    }
}

#[test]
fn a_sealed_channel_is_drained_and_then_ends() {
    let seg = segment();
    let mut sut = Worker::new(&seg);
    for n in [0, 1, 63, 64, 511, 512, 513] {
        let at = sut.channel(UNBOUNDED);
        for i in 0..n {
            sut.put(at, i as f64);
        }
        assert!(sut.on(at, |fifo| fifo.rings.seal().unwrap()));
        assert!(!sut.on(at, |fifo| fifo.rings.seal().unwrap()));
        assert!(sut.on(at, |fifo| fifo.rings.is_sealed().unwrap()));
        assert_eq!(sut.put(at, 0.0), Put::Closed);
        for i in 0..n {
            assert_eq!(sut.take(at), Take::Taken(i as f64));
        }
        assert_eq!(sut.take(at), Take::Closed);
        assert_eq!(sut.take(at), Take::Closed);
        assert_eq!(sut.len(at), 0);
    }
}

#[test]
fn runs_go_in_as_far_as_there_is_room_and_come_out_in_order() {
    let seg = segment();
    let mut sut = Worker::new(&seg);
    let at = sut.channel(100);
    let cells: Vec<Cell> = (0..150).map(|i| Cell::number(i as f64)).collect();
    assert_eq!(sut.on(at, |f| f.put_many(&cells).unwrap()), (100, Put::Full));
    let mut got = Vec::new();
    for max in [0, 1, 7, 1000] {
        let run = sut.on(at, |f| f.take_many(max, |_, _, cell| Ok(cell.as_number().unwrap())).unwrap());
        if let Take::Taken(run) = run {
            got.extend(run);
        }
    }
    assert_eq!(got, (0..100).map(|i| i as f64).collect::<Vec<_>>());
    assert_eq!(sut.take(at), Take::Empty);
}

#[test]
fn a_run_goes_over_several_rings() {
    let seg = segment();
    let mut sut = Worker::new(&seg);
    let at = sut.channel(UNBOUNDED);
    for first in [0, 3000] {
        for i in 0..3000 {
            assert_eq!(sut.put(at, (first + i) as f64), Put::Done);
        }
        for (from, n) in [(0, 100), (100, 2500), (2600, 400)] {
            let all = sut.on(at, |f| f.take_many(n, |_, _, cell| Ok(cell.as_number().unwrap())));
            let expected: Vec<f64> = (first + from..).take(n).map(|i| i as f64).collect();
            assert_eq!(all, Ok(Take::Taken(expected)));
        }
        assert_eq!(sut.take(at), Take::Empty);
        assert_eq!(sut.len(at), 0);
    }
}

#[test]
fn a_message_that_cannot_be_loaded_stays_first() {
    let seg = segment();
    let mut sut = Worker::new(&seg);
    let at = sut.channel(UNBOUNDED);
    // an integer, which is its word, and two in blocks
    let messages = [0.0, 1.5, 2.5];
    for x in messages {
        sut.put(at, x);
    }
    let error = coheap_segment::Error::new(coheap_segment::Code::OutOfMemory, "no room for it");
    // also more often than there are tags
    for _ in 0..40 {
        assert_eq!(sut.on(at, |f| f.take(|_, _, _| Err::<(), _>(error.into()))), Err(error.into()));
        let mut n = 0;
        let all = sut.on(at, |f| {
            f.take_many(3, |_, _, _| {
                n += 1;
                if n == 3 { Err(error.into()) } else { Ok(()) }
            })
        });
        assert_eq!(all, Err(error.into()));
    }
    for x in messages {
        assert_eq!(sut.on(at, |f| f.take(|_, _, _| Err::<(), _>(error.into()))), Err(error.into()));
        assert_eq!(sut.take(at), Take::Taken(x));
    }
}

#[test]
fn a_peek_leaves_the_message_where_it_is() {
    let seg = segment();
    let mut sut = Worker::new(&seg);
    let at = sut.channel(UNBOUNDED);
    let peek = |sut: &mut Worker| sut.on(at, |f| f.peek(None, |_, _, cell| Ok(cell.as_number())).unwrap());
    assert_eq!(peek(&mut sut), Take::Empty);
    sut.put(at, 7.0);
    assert_eq!(peek(&mut sut), Take::Taken(Some(7.0)));
    assert_eq!(sut.take(at), Take::Taken(7.0));
}

/// `producers` threads put `each` numbers, `consumers` take them: every one once, each producer's in its order.
fn exchange(producers: u64, consumers: u64, each: u64, capacity: u64, batch: usize) {
    let seg = segment();
    let at = Worker::new(&seg).channel(capacity);
    let done = AtomicU64::new(0);
    let finished = AtomicBool::new(false);
    let got: Vec<Vec<u64>> = thread::scope(|s| {
        for p in 0..producers {
            let (seg, done) = (&seg, &done);
            s.spawn(move || {
                let mut me = Worker::new(seg);
                let mut i = 0;
                while i < each {
                    let end = each.min(i + batch as u64);
                    let cells: Vec<_> = (i..end).map(|i| Cell::number((p * each + i) as f64)).collect();
                    let (n, _) = me.on(at, |f| f.put_many(&cells).unwrap());
                    i += n as u64;
                    if n == 0 {
                        thread::yield_now();
                    }
                }
                done.fetch_add(1, SeqCst);
            });
        }
        let takers: Vec<_> = (0..consumers)
            .map(|_| {
                let (seg, done, finished) = (&seg, &done, &finished);
                s.spawn(move || {
                    let mut me = Worker::new(seg);
                    let mut got = Vec::new();
                    loop {
                        let over = done.load(SeqCst) == producers;
                        let run = if batch == 1 {
                            match me.take(at) {
                                Take::Taken(x) => vec![x],
                                _ => vec![],
                            }
                        } else {
                            let run = me.on(at, |f| {
                                f.take_many(batch, |_, _, c| Ok(c.as_number().unwrap())).unwrap()
                            });
                            match run {
                                Take::Taken(run) => run,
                                _ => vec![],
                            }
                        };
                        got.extend(run.iter().map(|&x| x as u64));
                        if run.is_empty() {
                            if over || finished.load(SeqCst) {
                                finished.store(true, SeqCst);
                                return got;
                            }
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        takers.into_iter().map(|t| t.join().unwrap()).collect()
    });
    for run in &got {
        let mut last = vec![None; producers as usize];
        for x in run {
            let (p, i) = ((x / each) as usize, x % each);
            assert!(last[p] < Some(i), "producer {p}: {i} after {:?}", last[p]);
            last[p] = Some(i);
        }
    }
    let mut all = got.concat();
    let mut last = Worker::new(&seg);
    while let Take::Taken(x) = last.take(at) {
        all.push(x as u64);
    }
    all.sort_unstable();
    assert_eq!(all, (0..producers * each).collect::<Vec<_>>());
}

#[test]
fn one_producer_and_one_consumer() {
    exchange(1, 1, 100_000, UNBOUNDED, 1);
    exchange(1, 1, 100_000, 3, 1);
    exchange(1, 1, 200_000, 1000, 64);
}

#[test]
fn many_producers_and_many_consumers_each_message_once() {
    exchange(4, 4, 50_000, UNBOUNDED, 1);
    exchange(4, 4, 20_000, 1, 1);
    exchange(4, 4, 30_000, 70, 1);
    exchange(4, 4, 50_000, 500, 16);
    exchange(4, 4, 50_000, UNBOUNDED, 100);
}

#[test]
fn a_tag_that_somebody_may_still_settle_is_not_taken_with() {
    use crate::judge::tag_is_safe;
    use crate::word::Owner;
    let seg = segment();
    let (mut sut, helper) = (Worker::new(&seg), Worker::new(&seg));
    let owner = Owner { slot: sut.slot(), tag: sut.begin() };
    let (mine, theirs) = (seg.slot(sut.slot()).unwrap(), seg.slot(helper.slot()).unwrap());
    // a helper that has been stopped between its announcement and its CAS
    theirs.giving_back.store(1 << 14 | (owner.tag as u64) << 10 | owner.slot as u64, SeqCst);
    assert!(tag_is_safe(&seg, owner), "nothing was given back: no word can recur");
    mine.given_back.store(1 << owner.tag, SeqCst);
    assert!(!tag_is_safe(&seg, owner));
    assert!(tag_is_safe(&seg, Owner { tag: owner.tag + 1, ..owner }));
    theirs.giving_back.store(0, SeqCst);
    assert!(tag_is_safe(&seg, owner));
    assert_eq!(mine.given_back.load(SeqCst), 0);
    sut.end();
    let at = sut.channel(UNBOUNDED);
    sut.put(at, 1.5);
    let next = StatusWord(mine.status.load(SeqCst)).tag();
    theirs.giving_back.store(1 << 14 | (next as u64) << 10 | owner.slot as u64, SeqCst);
    mine.given_back.store(1 << next, SeqCst);
    assert_eq!(sut.take(at), Take::Taken(1.5), "under the tag after it");
    assert_eq!(StatusWord(mine.status.load(SeqCst)).tag(), next + 2);
}

/// A named channel in which a participant claims two places and takes one message, under one status, and dies.
fn dies_in_the_middle(decided: bool) -> Vec<f64> {
    use crate::directory::{Wish, find_or_make};
    use crate::hand::Putter;
    use crate::rings::{Claim, Cursor, Look, Woken};
    use crate::word::{Owner, Payload};

    let seg = segment();
    let (mut sut, mut dead) = (Worker::new(&seg), Worker::new(&seg));
    let wish = Wish { capacity: UNBOUNDED, lifo: false };
    let at = find_or_make(&seg, &mut sut, b"jobs", wish).unwrap();
    sut.put(at, 1.0);
    sut.put(at, 2.0);
    let owner = Owner { slot: dead.slot(), tag: dead.begin() };
    dead.on(at, |f| {
        for x in [3.0, 4.0] {
            let (cell, head) = (Cell::number(x), &f.memory.head_seen);
            let mut putter = Putter {
                hand: &mut *f.hand,
                places: f.places,
                cell,
                owner: Some(owner),
                payload: Payload::NONE,
            };
            assert!(matches!(f.rings.claim(0, head, &mut putter), Ok(Claim::At(_))));
        }
        let Ok(Look::Found(found, None)) = f.rings.look(&mut Cursor::default(), None, &mut Woken::default())
        else {
            panic!("no message");
        };
        f.rings.take(&found, owner).unwrap();
    });
    if decided {
        dead.decide();
    }
    let slot = dead.slot();
    dead.participant.abandon();
    crate::recover(&seg, slot).unwrap();
    crate::recover(&seg, slot).unwrap();
    let rest = sut.on(at, |f| f.take_many(9, |_, _, cell| Ok(cell.as_number().unwrap())).unwrap());
    match rest {
        Take::Taken(rest) => rest,
        _ => vec![],
    }
}

#[test]
fn what_the_dead_had_decided_is_done_and_what_they_had_not_is_undone() {
    assert_eq!(dies_in_the_middle(true), [2.0, 3.0, 4.0]);
    assert_eq!(dies_in_the_middle(false), [1.0, 2.0]);
}

#[test]
fn a_lone_taker_that_died_gives_its_message_back_without_recovery() {
    let seg = segment();
    let (mut sut, mut dead) = (Worker::new(&seg), Worker::new(&seg));
    let at = sut.channel(UNBOUNDED);
    for x in [1.0, 1.5] {
        sut.put(at, x);
        let loaded = dead.on(at, |f| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                f.take(|_, _, _| -> coheap_txn::Res<()> { panic!("a loader that panics") })
            }))
        });
        assert!(loaded.is_err());
        assert_eq!(sut.len(at), 1, "a panic puts it back");
        assert_eq!(sut.take(at), Take::Taken(x));
    }
    sut.put(at, 1.0);
    let owner = crate::word::Owner { slot: dead.slot(), tag: dead.begin() };
    dead.on(at, |f| {
        use crate::rings::{Cursor, Look, Woken};
        let Ok(Look::Found(found, None)) = f.rings.look(&mut Cursor::default(), None, &mut Woken::default())
        else {
            panic!("no message");
        };
        f.rings.take(&found, owner).unwrap();
    });
    dead.participant.abandon();
    let taken = loop {
        match sut.take(at) {
            Take::Empty => thread::yield_now(),
            taken => break taken,
        }
    };
    assert_eq!(taken, Take::Taken(1.0));
}
