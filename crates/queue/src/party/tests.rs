//! Step 5 with others in the middle of it.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use coheap_objects::{Cell, array};
use coheap_segment::{Off, Segment};
use coheap_txn::{Ctx, Fault, TxnOptions};

use super::{Channels, me};
use crate::channel::Channel;
use crate::hand::{Hand, Putter};
use crate::judge;
use crate::rings::Claim;
use crate::tests::Worker;
use crate::word::{Owner, Payload};

fn join(segment: &Arc<Segment>) -> Ctx {
    Ctx::new(segment.join(1).unwrap(), 10).unwrap()
}

fn messages(sut: &Channel, ctx: &mut Ctx) -> Vec<f64> {
    sut.take_many(ctx, 100, |_, _, cell| Ok(cell.as_number().unwrap())).unwrap()
}

/// A transaction puts 1 and 2, after a look at the length if it `looks`; a lone put of 3 comes between its check and
/// its claims. What becomes of the claims, and of the messages.
fn put_in_between(looks: bool) -> (Result<(), Fault>, Vec<f64>) {
    let segment = crate::tests::segment();
    let (mut a, mut b) = (join(&segment), join(&segment));
    let sut = Channel::open(&mut a, "jobs", None, false).unwrap();
    let t = a.begin(TxnOptions::default()).unwrap();
    a.enter(t).unwrap();
    if looks {
        assert_eq!(sut.len(&mut a), Ok(0));
    }
    assert_eq!(sut.put_many(&mut a, &[Cell::number(1.0), Cell::number(2.0)]), Ok(2));
    let claimed = a.with_party(|party: &mut Channels, hand| {
        let part = &mut party.parts[0];
        if let Some(saw) = part.saw {
            part.check(&sut.fifo(hand)?, &saw)?;
        }
        assert_eq!(sut.try_put(&mut b, Cell::number(3.0)), Ok(true));
        part.claim(&mut sut.fifo(hand)?)
    });
    a.leave();
    a.abort(t);
    (claimed, messages(&sut, &mut b))
}

#[test]
fn a_lone_put_before_the_claims_of_whoever_saw_the_end_aborts_it() {
    assert_eq!(put_in_between(true), (Err(Fault::Aborted), vec![3.0]));
}

#[test]
fn a_lone_put_before_the_claims_of_whoever_saw_nothing_does_no_harm() {
    assert_eq!(put_in_between(false), (Ok(()), vec![3.0]));
}

#[test]
fn a_length_waits_for_a_run_that_is_being_put() {
    let segment = crate::tests::segment();
    let (mut a, mut other) = (join(&segment), Worker::new(&segment));
    let sut = Channel::open(&mut a, "jobs", None, false).unwrap();
    let owner = Owner { slot: other.slot(), tag: other.begin() };
    let at = sut.offset();
    let run: Vec<_> = other.on(at, |f| {
        let put = |x| {
            let (cell, head) = (Cell::number(x), &f.memory.head_seen);
            let mut putter = Putter {
                hand: &mut *f.hand,
                places: f.places,
                cell,
                owner: Some(owner),
                payload: Payload::NONE,
            };
            match f.rings.claim(0, head, &mut putter) {
                Ok(Claim::At(place)) => (place.at, place.word),
                _ => panic!("no place"),
            }
        };
        [1.0, 2.0].map(put).into()
    });
    let length = |a: &mut Ctx| {
        let t = a.begin(TxnOptions::default()).unwrap();
        a.enter(t).unwrap();
        let len = sut.len(a);
        a.leave();
        a.abort(t);
        len
    };
    assert_eq!(length(&mut a), Err(Fault::Aborted), "neither with the run nor without");
    other.decide();
    assert_eq!(length(&mut a), Ok(2));
    for (at, word) in run {
        segment.word(at).unwrap().store(word.settled().0, SeqCst);
    }
    other.end();
    assert_eq!(messages(&sut, &mut a), [1.0, 2.0]);
}

/// A transaction looks at something of two channels and an array. Then another moves a message from the first channel to the
/// second and writes to the array, all at once. What does the first one see when it goes on looking?
fn seen_after_a_move<T>(
    first: impl FnOnce(&mut Ctx, &[Channel; 2], Off),
    then: impl FnOnce(&mut Ctx, &[Channel; 2], Off) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let segment = crate::tests::segment();
    let (mut a, mut b) = (join(&segment), join(&segment));
    let channels = ["from", "to"].map(|name| Channel::open(&mut a, name, None, false).unwrap());
    assert_eq!(channels[0].put_many(&mut a, &[Cell::number(1.0), Cell::number(2.0)]), Ok(2));
    let object = a.write(|m| array::create_with(m, &[Cell::number(0.0)])).unwrap();
    let t = a.begin(TxnOptions::default()).unwrap();
    first(&mut a, &channels, object);
    b.transaction(TxnOptions::default(), |b| {
        let message = channels[0].try_take(b, |_, _, cell| Ok(cell))?.unwrap();
        assert!(channels[1].try_put(b, message)?);
        b.write(|m| array::set(m, object, 0, Cell::number(1.0)))
    })
    .unwrap();
    let seen = then(&mut a, &channels, object);
    a.abort(t);
    seen
}

fn number(ctx: &mut Ctx, object: Off) -> Result<f64, Fault> {
    ctx.read(|m| Ok(array::get(m, object, 0)?.and_then(|cell| cell.as_number()).unwrap()))
}

fn take(ctx: &mut Ctx, channel: &Channel) -> Result<Option<f64>, Fault> {
    channel.try_take(ctx, |_, _, cell| Ok(cell.as_number().unwrap()))
}

#[test]
fn two_lengths_in_a_transaction_are_of_one_moment() {
    let looks = |a: &mut Ctx, channels: &[Channel; 2], _| assert_eq!(channels[0].len(a), Ok(2));
    assert_eq!(seen_after_a_move(looks, |a, channels, _| channels[1].len(a)), Err(Fault::Aborted));
    let nothing = |_: &mut Ctx, _: &[Channel; 2], _| {};
    let both = |a: &mut Ctx, channels: &[Channel; 2], _| Ok((channels[0].len(a)?, channels[1].len(a)?));
    assert_eq!(seen_after_a_move(nothing, both), Ok((1, 1)));
}

#[test]
fn a_message_that_came_after_a_look_at_another_channel_is_not_taken() {
    let looks = |a: &mut Ctx, channels: &[Channel; 2], _| assert_eq!(channels[0].len(a), Ok(2));
    assert_eq!(seen_after_a_move(looks, |a, channels, _| take(a, &channels[1])), Err(Fault::Aborted));
    let peek = |a: &mut Ctx, channels: &[Channel; 2], _| channels[1].peek(a, |_, _, _| Ok(()));
    assert_eq!(seen_after_a_move(looks, peek), Err(Fault::Aborted));
}

#[test]
fn what_a_transaction_sees_of_objects_and_of_channels_is_of_one_moment() {
    let reads = |a: &mut Ctx, _: &[Channel; 2], object| assert_eq!(number(a, object), Ok(0.0));
    assert_eq!(seen_after_a_move(reads, |a, channels, _| channels[1].len(a)), Err(Fault::Aborted));
    assert_eq!(seen_after_a_move(reads, |a, channels, _| take(a, &channels[1])), Err(Fault::Aborted));
    let looks = |a: &mut Ctx, channels: &[Channel; 2], _| assert_eq!(channels[0].len(a), Ok(2));
    assert_eq!(seen_after_a_move(looks, |a, _, object| number(a, object)), Err(Fault::Aborted));
    let nothing = |_: &mut Ctx, _: &[Channel; 2], _| {};
    let both =
        |a: &mut Ctx, channels: &[Channel; 2], object| Ok((take(a, &channels[1])?, number(a, object)?));
    assert_eq!(seen_after_a_move(nothing, both), Ok((Some(1.0), 1.0)));
}

#[test]
fn what_an_attempt_that_was_aborted_had_claimed_is_no_message_however_far_from_the_head() {
    let segment = crate::tests::segment();
    let (mut a, mut b) = (join(&segment), join(&segment));
    let sut = Channel::open(&mut a, "jobs", None, false).unwrap();
    let hundred: Vec<_> = (0..100).map(|i| Cell::number(i as f64)).collect();
    assert_eq!(sut.put_many(&mut a, &hundred), Ok(100));
    let t = b.begin(TxnOptions::default()).unwrap();
    assert_eq!(sut.put_many(&mut b, &hundred[..2]), Ok(2));
    let owner = b.with_party(|party: &mut Channels, hand| {
        party.parts[0].claim(&mut sut.fifo(hand)?)?;
        Ok(me(hand))
    });
    // it is stopped there, and somebody needs what it has
    assert!(judge::abort(&segment, owner.unwrap()));
    let mut length = || a.transaction(TxnOptions::default(), |a| sut.len(a));
    assert_eq!(length(), Ok(100));
    b.abort(t);
    assert_eq!(length(), Ok(100));
}
