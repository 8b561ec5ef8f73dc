//! Step 5 with others in the middle of it.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use coheap_objects::Cell;
use coheap_segment::Segment;
use coheap_txn::{Ctx, Fault, TxnOptions};

use super::Channels;
use crate::channel::Channel;
use crate::hand::{Hand, Putter};
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
