//! The words of a channel's ring: messages appear with their contents, each is taken once, and no sleeper is forgotten.

use std::time::Duration;

use coheap_interleavings::mutants::{Planted, plant};
use coheap_interleavings::{heap, join};
use coheap_objects::Cell;
use coheap_queue::{Channel, Role};
use coheap_segment::LANE_SYNC;
use coheap_segment::primitive::model::Change::{SeeAgain, Skip, Weaken};
use coheap_txn::Ctx;

use crate::explore::{Structure, thread, together};

const CHANNEL: &str = "crates/queue/src/channel.rs";
const LOOK: &str = "crates/queue/src/rings/look.rs";
const RINGS: &str = "crates/queue/src/rings.rs";

/// A place passed over whose owner has gone on counts as a tombstone, though it may be put by now.
const NO_THIRD_LOOK: Planted =
    plant(LOOK, "verdict == Verdict::Over && here.place.load(SeqCst) == here.word.0", SeeAgain);

pub const ALL: &[Structure] = &[
    Structure {
        name: "ring: one puts, one takes",
        run: put_beside_take,
        bounds: (2, 3, 2),
        mutants: &[plant(RINGS, "if place.compare_exchange(seen.0, word.0, SeqCst, SeqCst).is_ok()", Weaken)],
    },
    Structure {
        name: "ring: one puts two at once, one takes",
        run: put_two_beside_take,
        bounds: (2, 3, 2),
        mutants: &[NO_THIRD_LOOK],
    },
    Structure {
        name: "ring: one puts two integers at once, one takes",
        run: put_two_integers_beside_take,
        bounds: (2, 3, 2),
        mutants: &[NO_THIRD_LOOK],
    },
    Structure {
        name: "ring: two take one integer",
        run: two_take_integer,
        bounds: (2, 3, 2),
        mutants: &[plant(
            RINGS,
            "found.place.compare_exchange(found.word.0, found.word.consumed().0, SeqCst, SeqCst)",
            Skip,
        )],
    },
    Structure {
        name: "ring: two take one message",
        run: two_take,
        bounds: (2, 3, 2),
        mutants: &[plant(
            RINGS,
            "match found.place.compare_exchange(found.word.0, word.0, SeqCst, SeqCst)",
            Skip,
        )],
    },
    Structure {
        name: "ring: two put where there is room for one",
        run: two_put,
        bounds: (2, 3, 2),
        mutants: &[plant(RINGS, "if place.compare_exchange(seen.0, word.0, SeqCst, SeqCst).is_ok()", Skip)],
    },
    Structure {
        name: "ring: one puts while a taker falls asleep",
        run: put_beside_sleep,
        bounds: (2, 3, 2),
        mutants: &[
            plant(CHANNEL, "if woken.takers && record.takers_wait.load(SeqCst) != 0", Weaken),
            plant("crates/queue/src/waiting.rs", "flag.store(1, SeqCst)", Skip),
        ],
    },
];

/// A message of its own block.
fn envelope(n: u64) -> Cell {
    Cell::number(n as f64 + 0.5)
}

/// A message that is nothing but the word of its place.
fn integer(n: u64) -> Cell {
    Cell::number(n as f64)
}

fn put(ctx: &mut Ctx, channel: &Channel, n: u64) -> bool {
    channel.try_put(ctx, envelope(n)).expect("a channel that is sound")
}

fn take(ctx: &mut Ctx, channel: &Channel) -> Option<u64> {
    let taken = channel.try_take(ctx, |_, _, cell| Ok(cell.as_number().map(|x| x as u64)));
    taken.expect("a channel that is sound").map(|number| number.expect("the message that was put"))
}

fn channel(ctx: &mut Ctx, capacity: u64) -> Channel {
    Channel::open(ctx, "c", Some(capacity), false).expect("room for a channel")
}

/// One puts while another takes one message: what that one got, and a third who sees what is left.
fn beside_a_taker(
    mut put: impl FnMut(&mut Ctx, &Channel) + 'static,
) -> (Option<u64>, impl FnMut() -> Option<u64>) {
    let segment = heap(3);
    let (mut a, mut b, mut c) = (join(&segment), join(&segment), join(&segment));
    let channel = channel(&mut a, 2);
    let (to, from) = (channel.clone(), channel.clone());
    let taken = together(
        &segment,
        vec![
            thread(move || {
                put(&mut a, &to);
                None
            }),
            thread(move || take(&mut b, &from)),
        ],
    )[1];
    (taken, move || take(&mut c, &channel))
}

fn put_beside_take() {
    let (taken, mut take) = beside_a_taker(|ctx, channel| assert!(put(ctx, channel, 7)));
    let left = take();
    assert_eq!(taken.or(left), Some(7), "a message is lost");
    assert!(taken.is_none() || left.is_none(), "a message is taken twice");
}

fn put_two_beside_take() {
    two_beside_a_taker(envelope);
}

fn put_two_integers_beside_take() {
    two_beside_a_taker(integer);
}

fn two_beside_a_taker(message: fn(u64) -> Cell) {
    let (taken, mut take) = beside_a_taker(move |ctx, channel| {
        let both = [message(1), message(2)];
        assert_eq!(channel.put_many(ctx, &both).expect("a channel that is sound"), 2);
    });
    assert!(taken.is_none_or(|n| n == 1), "the second message is taken before the first");
    let left = [take(), take()];
    assert_eq!(left, if taken.is_none() { [Some(1), Some(2)] } else { [Some(2), None] });
}

fn two_take() {
    two_take_one(envelope(7));
}

fn two_take_integer() {
    two_take_one(integer(7));
}

fn two_take_one(message: Cell) {
    let segment = heap(3);
    let (mut a, mut b) = (join(&segment), join(&segment));
    let channel = channel(&mut a, 2);
    assert!(channel.try_put(&mut a, message).expect("a channel that is sound"));
    let (one, other) = (channel.clone(), channel.clone());
    let taken =
        together(&segment, vec![thread(move || take(&mut a, &one)), thread(move || take(&mut b, &other))]);
    assert!(taken[0].is_some() != taken[1].is_some(), "taken by both or by nobody: {taken:?}");
}

fn two_put() {
    let segment = heap(3);
    let (mut a, mut b, mut c) = (join(&segment), join(&segment), join(&segment));
    let channel = channel(&mut a, 1);
    let (one, other) = (channel.clone(), channel.clone());
    let put = together(
        &segment,
        vec![thread(move || put(&mut a, &one, 1)), thread(move || put(&mut b, &other, 2))],
    );
    let found = take(&mut c, &channel);
    assert!(put[0] != put[1], "room for one: {put:?}");
    assert_eq!(found, Some(if put[0] { 1 } else { 2 }), "a message is lost");
    assert_eq!(take(&mut c, &channel), None);
}

const FOR_EVER: Duration = Duration::from_secs(1 << 32);

fn put_beside_sleep() {
    let segment = heap(3);
    let (mut a, mut b) = (join(&segment), join(&segment));
    let channel = channel(&mut a, 2);
    let (to, from, heap) = (channel.clone(), channel, segment.clone());
    together(
        &segment,
        vec![
            thread(move || {
                assert!(put(&mut a, &to, 7));
            }),
            thread(move || {
                let me = b.participant();
                from.register_waiter(&b, Role::Taker);
                loop {
                    let bell = heap.bell(me, LANE_SYNC);
                    from.arm(Role::Taker).expect("a channel");
                    if from.is_ready(&mut b, Role::Taker).expect("a channel") {
                        break;
                    }
                    // but for rings that wait for nothing
                    heap.sleep(me, LANE_SYNC, bell, FOR_EVER);
                }
            }),
        ],
    );
}
