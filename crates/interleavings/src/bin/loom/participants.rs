//! Participants: a slot from hand to hand, doorbells, the waiter table.

use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};
use std::time::Duration;

use coheap_interleavings::heap;
use coheap_interleavings::mutants::plant;
use coheap_segment::primitive::model::Change::{Skip, Weaken};
use coheap_segment::{LANE_SYNC, Status, StatusWord};

use crate::explore::{Structure, thread, together};

const DOORBELL: &str = "crates/segment/src/doorbell.rs";
const PARTICIPANT: &str = "crates/segment/src/participant.rs";
const WAITERS: &str = "crates/segment/src/waiters.rs";

pub const ALL: &[Structure] = &[
    Structure {
        name: "registration: a slot goes from one to the next",
        run: slot_from_hand_to_hand,
        bounds: (2, 4, 2),
        mutants: &[
            plant(PARTICIPANT, "record.claimed.store(0, Ordering::Release)", Weaken),
            plant(
                PARTICIPANT,
                "&& record.claimed.compare_exchange(0, mine, Ordering::AcqRel, Ordering::Relaxed).is_ok()\n            {",
                Weaken,
            ),
        ],
    },
    Structure {
        name: "registration: two claim slots",
        run: two_claim,
        bounds: (2, 4, 2),
        mutants: &[plant(
            PARTICIPANT,
            "&& record.claimed.compare_exchange(0, mine, Ordering::AcqRel, Ordering::Relaxed).is_ok()\n            {",
            Skip,
        )],
    },
    Structure {
        name: "registration: two join",
        run: two_join,
        bounds: (1, 1, 1),
        mutants: &[plant(
            PARTICIPANT,
            "row.state.compare_exchange(seen.0, mine.0, Ordering::AcqRel, Ordering::Acquire).ok()?",
            Skip,
        )],
    },
    Structure {
        name: "doorbell: a ring beside the sleeper's last look",
        run: ring_beside_sleep,
        bounds: (2, 4, 2),
        mutants: &[
            plant(DOORBELL, "bell.sleepers.store(1, Ordering::SeqCst)", Skip),
            plant(DOORBELL, "if bell.sleepers.load(Ordering::SeqCst) != 0", Weaken),
            plant(DOORBELL, "bell.count.fetch_add(1, Ordering::SeqCst)", Skip),
        ],
    },
    Structure {
        name: "waiter table: a change beside the waiter's last look",
        run: change_beside_wait,
        bounds: (2, 3, 2),
        mutants: &[
            plant(WAITERS, ".fetch_or(1 << (p % 64), Ordering::SeqCst)", Skip),
            plant(WAITERS, "self.waiter_word(bucket, index).load(Ordering::SeqCst)", Weaken),
            plant(DOORBELL, "bell.sleepers.load(Ordering::SeqCst) != 0", Weaken),
        ],
    },
];

fn slot_from_hand_to_hand() {
    let segment = heap(2);
    let (a, b) = (segment.join(0).expect("a row"), segment.join(1).expect("a row"));
    // all four slots are taken, one of them by what is about to be given back
    let lent = segment.claim_slot(a.id()).expect("a slot");
    segment.claim_slot(a.id()).expect("a slot");
    let done = StatusWord::new(Status::Idle, 41).0;
    let (giver, taker) = (segment.clone(), segment.clone());
    together(
        &segment,
        vec![
            thread(move || {
                giver.slot(lent).expect("a slot").status.store(done, Relaxed);
                giver.release_slot(lent);
            }),
            thread(move || {
                if let Ok(slot) = taker.claim_slot(b.id()) {
                    assert_eq!(slot, lent);
                    let status = taker.slot(slot).expect("a slot").status.load(Relaxed);
                    assert_eq!(status, done, "the last owner's attempt goes on");
                }
            }),
        ],
    );
}

fn two_claim() {
    let segment = heap(2);
    let (a, b) = (segment.join(0).expect("a row"), segment.join(1).expect("a row"));
    let (one, other) = (segment.clone(), segment.clone());
    let slots = together(
        &segment,
        vec![
            thread(move || {
                let slot = one.claim_slot(a.id());
                slot.ok()
            }),
            thread(move || {
                let slot = other.claim_slot(b.id());
                slot.ok()
            }),
        ],
    );
    assert!(slots[0].is_some() && slots[1].is_some() && slots[0] != slots[1], "one slot for two: {slots:?}");
}

fn two_join() {
    let segment = heap(2);
    let (one, other) = (segment.clone(), segment.clone());
    let rows = together(
        &segment,
        vec![
            thread(move || {
                let joined = one.join(1).expect("a row");
                ((joined.id(), joined.slot()), joined)
            }),
            thread(move || {
                let joined = other.join(2).expect("a row");
                ((joined.id(), joined.slot()), joined)
            }),
        ],
    );
    let (one, other) = (rows[0].0, rows[1].0);
    assert!(one.0 != other.0 && one.1 != other.1, "one row for two: {one:?} {other:?}");
}

const FOR_EVER: Duration = Duration::from_secs(1 << 32);

fn ring_beside_sleep() {
    let segment = heap(2);
    let (a, _b) = (segment.join(0).expect("a row"), segment.join(1).expect("a row"));
    // any word that both know
    let news = segment.plan().data;
    let (sleeper, ringer, id) = (segment.clone(), segment.clone(), a.id());
    together(
        &segment,
        vec![
            thread(move || {
                loop {
                    let bell = sleeper.bell(id, LANE_SYNC);
                    if sleeper.word(news).expect("a word").load(Relaxed) != 0 {
                        break;
                    }
                    sleeper.sleep(id, LANE_SYNC, bell, FOR_EVER);
                }
            }),
            thread(move || {
                ringer.word(news).expect("a word").store(1, Relaxed);
                ringer.ring(id, LANE_SYNC);
            }),
        ],
    );
}

fn change_beside_wait() {
    let segment = heap(2);
    let (a, _b) = (segment.join(0).expect("a row"), segment.join(1).expect("a row"));
    let news = segment.plan().data;
    let (waiter, changer, id) = (segment.clone(), segment.clone(), a.id());
    together(
        &segment,
        vec![
            thread(move || {
                let bell = waiter.bell(id, LANE_SYNC);
                waiter.waiters_add(news, id);
                // SeqCst: as the look of a channel's sleeper
                if waiter.word(news).expect("a word").load(SeqCst) == 0 {
                    waiter.sleep(id, LANE_SYNC, bell, FOR_EVER);
                }
            }),
            thread(move || {
                changer.word(news).expect("a word").store(1, Release);
                changer.waiters_ring(news);
            }),
        ],
    );
}
