//! Looking along the rings: for the first message that can be taken, past what others have not decided; counting; and
//! settling what the dead have left.

use std::sync::atomic::Ordering::SeqCst;

use coheap_segment::primitive::{spin_loop, spins};
use coheap_segment::{Result, Segment};

use super::{Enter, MANY, Place, Rings, Spot, stuck};
use crate::judge::{self, Settled, Verdict, judge};
use crate::word::{Owner, SlotWord, State};

/// Undecided places that a taker passes over at most.
const PASSED: usize = 32;

/// What a taker sees.
pub(crate) enum Look<'s> {
    /// The first message that can be taken, and the first place passed over on the way.
    Found(Place<'s>, Option<Place<'s>>),
    /// Nothing, but for places passed over that count as taken, or as not yet put; the first of them.
    Empty(Option<Place<'s>>),
    /// Nothing, unless this undecided taker fails.
    Blocked(Place<'s>),
    /// Nothing, and nothing will come.
    Ended,
}

/// Where a taker of several messages goes on.
#[derive(Default)]
pub(crate) struct Cursor<'s> {
    spot: Option<Spot<'s>>,
    passed: Passed<'s>,
}

impl<'s> Cursor<'s> {
    /// At a spot before which nothing was passed over.
    pub(super) fn at(spot: Spot<'s>) -> Cursor<'s> {
        Cursor { spot: Some(spot), passed: Passed::default() }
    }
}

impl<'s> Rings<'s> {
    /// How many places between head and `tail` hold no message. Looks at those only that somebody noted.
    pub(super) fn holes_before(&self, tail: u64) -> Result<u64> {
        let noted = self.channel.holes.load(SeqCst).min(tail);
        let mut count = 0;
        self.each_place(|Place { pos, word, .. }, consumed| {
            let tombstone = word.state() == State::Putting && judge(self.seg, word.owner()) == Verdict::Over;
            let taken = word.state() == State::Taken && judge(self.seg, word.owner()) == Verdict::Committed;
            if pos < noted && (consumed || tombstone || taken) {
                count += 1;
            }
            pos + 1 < noted
        })?;
        Ok(count)
    }

    /// Shows all places from the head on, with whether each is consumed, until told to stop. Starts over, once a
    /// ring is left behind: `f` must not mind.
    pub fn each_place(&self, mut f: impl FnMut(Place<'s>, bool) -> bool) -> Result<()> {
        let mut spot = self.head()?;
        // a place is a word of the heap: more of them are a circle
        for _ in 0..self.seg.committed() / 8 {
            match self.enter(&mut spot)? {
                Enter::Here => {}
                _ => return Ok(()),
            }
            let place = self.place(&spot);
            let word = SlotWord(place.load(SeqCst));
            let consumed = self.is_consumed(word, &spot);
            if !consumed && matches!(word.state(), State::Empty | State::Seal) {
                return Ok(());
            }
            if !f(Place { pos: spot.pos, word, place, at: self.offset(&spot) }, consumed) {
                return Ok(());
            }
            spot.pos += 1;
        }
        Err(stuck(spot.pos))
    }

    /// How many places, at most `most`, hold a message or belong to somebody; and whether one belongs to somebody, who
    /// may be gone. Changes nothing.
    pub fn waiting(&self, most: u64) -> Result<(u64, bool)> {
        let (mut places, mut owned) = (0, false);
        let mut last = None;
        self.each_place(|Place { pos, word, .. }, consumed| {
            // starts over once a ring is left behind: count each position once
            if last.is_none_or(|last| pos > last) {
                last = Some(pos);
                places += u64::from(!consumed);
                owned |= !consumed && matches!(word.state(), State::Putting | State::Taken);
            }
            places < most
        })?;
        Ok((places, owned))
    }

    /// The first place that somebody puts to who has not yet decided. Notes those of attempts that were aborted, which may
    /// not have done so themselves yet, so that a count sees them. Looks at all places in use.
    pub fn undecided_put(&self) -> Result<Option<Place<'s>>> {
        let mut found = None;
        self.each_place(|place, consumed| {
            if !consumed && place.word.state() == State::Putting {
                match judge(self.seg, place.word.owner()) {
                    Verdict::Undecided | Verdict::Direct => found = Some(place),
                    Verdict::Over => self.note_hole(place.pos),
                    Verdict::Committed => {}
                }
            }
            found.is_none()
        })?;
        Ok(found)
    }

    /// Messages there are now, as somebody outside of any transaction sees it, plus what `mine` takes. A count of
    /// places, made exact near the head and wherever holes were noted.
    pub fn len(&self, mine: Option<Owner>) -> Result<u64> {
        const NEAR: u64 = 64;
        const TRIES: u32 = 1000;
        let mut len = 0;
        for _ in 0..TRIES {
            let head = self.advance_head()?;
            let tail = self.channel.tail.load(SeqCst);
            let exact = (head + NEAR).max(self.channel.holes.load(SeqCst));
            let (mut missing, mut seen) = (0, 0);
            self.each_place(|Place { pos, word, .. }, consumed| {
                if pos >= exact {
                    return false;
                }
                seen = pos + 1;
                missing += u64::from(consumed || !self.counts(word, mine));
                true
            })?;
            len = tail.max(seen).saturating_sub(head).saturating_sub(missing);
            if self.channel.head.load(SeqCst) == head {
                break; // head and tail belong together
            }
        }
        Ok(len)
    }

    /// True if the place holds a message for a bystander: one that an undecided transaction takes is still there,
    /// one that it puts is not yet there. A single operation's TAKEN has happened.
    fn counts(&self, word: SlotWord, mine: Option<Owner>) -> bool {
        match word.state() {
            State::Full => true,
            State::Putting => judge(self.seg, word.owner()) == Verdict::Committed,
            State::Taken if Some(word.owner()) == mine => false,
            State::Taken => matches!(judge(self.seg, word.owner()), Verdict::Undecided | Verdict::Over),
            _ => false,
        }
    }

    /// Looks for the first message that can be taken. What is decided on the way is settled; what is not is passed
    /// over, and looked at again before the verdict, else a producer's order breaks. `mine`: places of this
    /// attempt are as good as consumed. `woken` is told of places settled for others. `cursor` is fresh, or comes
    /// from a look that found something which is not to be found again.
    pub fn look(&self, cursor: &mut Cursor<'s>, mine: Option<Owner>, woken: &mut Woken) -> Result<Look<'s>> {
        let mut tries = 0;
        let mut lingered = None;
        'again: while tries < MANY {
            let mut at_head = false;
            let mut spot = match cursor.spot.take() {
                Some(spot) => spot,
                None => {
                    at_head = true;
                    cursor.passed.clear();
                    self.head()?
                }
            };
            let passed = &mut cursor.passed;
            let verdict = loop {
                tries += 1;
                match self.enter(&mut spot)? {
                    Enter::Here => {}
                    Enter::Stale => continue 'again,
                    Enter::End => break None,
                    Enter::Sealed => break Some(State::Seal),
                }
                let place = self.place(&spot);
                let seen = SlotWord(place.load(SeqCst));
                if self.is_consumed(seen, &spot) {
                    // only over what is consumed from the head on
                    at_head = at_head
                        && self.channel.head.compare_exchange(spot.pos, spot.pos + 1, SeqCst, SeqCst).is_ok();
                    spot.pos += 1;
                    if at_head && self.seq_of(spot.pos) != spot.seq {
                        continue 'again; // lets the ring come to rest
                    }
                    continue;
                }
                let here = Place { pos: spot.pos, word: seen, place, at: self.offset(&spot) };
                match seen.state() {
                    State::Full => {
                        if !passed.still_stand(self.seg) {
                            continue 'again;
                        }
                        cursor.spot = Some(Spot { pos: spot.pos + 1, ..spot });
                        return Ok(Look::Found(here, cursor.passed.first()));
                    }
                    State::Empty => break None,
                    State::Seal => break Some(State::Seal),
                    State::Taken if Some(seen.owner()) == mine => {}
                    State::Putting if lingered != Some(spot.pos) => {
                        lingered = Some(spot.pos);
                        linger(&here);
                        continue;
                    }
                    State::Putting | State::Taken => match self.settle(&here, woken) {
                        Settled::Stands(verdict) => {
                            if !passed.add(here, verdict) {
                                break None; // so many: as if there were nothing behind them
                            }
                        }
                        // with nothing passed over, no other place has a say in this one
                        _ if passed.is_empty() && tries < MANY => continue,
                        _ => continue 'again,
                    },
                    State::Garbage => return Err(stuck(spot.pos)),
                }
                at_head = false;
                spot.pos += 1;
            };
            if !passed.still_stand(self.seg) {
                continue 'again;
            }
            return Ok(match (passed.taker(), passed.first(), verdict) {
                (Some(taker), ..) => Look::Blocked(taker),
                (None, None, Some(_)) => Look::Ended,
                (None, first, _) => Look::Empty(first),
            });
        }
        Err(stuck(self.channel.head.load(SeqCst)))
    }

    /// Settles a place of somebody else.
    pub fn settle(&self, here: &Place<'s>, woken: &mut Woken) -> Settled {
        let settled = judge::settle(self.seg, self.me, here.place, here.word);
        self.settled(here, settled, woken);
        settled
    }

    /// Ends the attempt that owns the place if it can be ended without its owner, and settles it.
    pub fn overrule(&self, here: &Place<'s>, woken: &mut Woken) -> Settled {
        let settled = judge::overrule(self.seg, self.me, here.place, here.word);
        self.settled(here, settled, woken);
        settled
    }

    fn settled(&self, here: &Place<'s>, settled: Settled, woken: &mut Woken) {
        match settled {
            Settled::Appeared => woken.takers = true,
            Settled::Gone => {
                self.note_hole(here.pos);
                woken.putters = true;
            }
            _ => {}
        }
    }

    /// Settles every place that slot `owner` has, whatever it was up to: for a slot whose owner is dead and that the caller
    /// alone repairs.
    pub fn settle_all_of(&self, owner: u16, woken: &mut Woken) -> Result<()> {
        let mut spot = self.head()?;
        for _ in 0..MANY {
            match self.enter(&mut spot)? {
                Enter::Here => {}
                // the head has gone on: what is behind it is settled
                Enter::Stale => {
                    spot = self.head()?;
                    continue;
                }
                _ => return Ok(()),
            }
            let place = self.place(&spot);
            let word = SlotWord(place.load(SeqCst));
            if !self.is_consumed(word, &spot) {
                match word.state() {
                    State::Empty | State::Seal => return Ok(()),
                    State::Putting | State::Taken if word.owner().slot == owner => {
                        let here = Place { pos: spot.pos, word, place, at: self.offset(&spot) };
                        let settled = judge::settle_of_dead(self.seg, self.me, place, word);
                        self.settled(&here, settled, woken);
                        if settled == Settled::Changed {
                            continue; // look again
                        }
                    }
                    _ => {}
                }
            }
            spot.pos += 1;
        }
        Err(stuck(spot.pos))
    }
}

/// Waits a little for a place that is being put to. A run of messages is put within some microseconds, unless its putter is
/// stopped or dead: to walk along it, or to lend a hand, meanwhile takes the cache lines from its putter.
fn linger(here: &Place<'_>) {
    for _ in 0..spins() {
        if here.place.load(SeqCst) != here.word.0 {
            return;
        }
        spin_loop();
    }
}

/// Whom settled places concern.
#[derive(Clone, Copy, Default)]
pub(crate) struct Woken {
    pub takers: bool,
    pub putters: bool,
}

/// The places that a taker has passed over. Mostly none: then nothing is allocated.
#[derive(Default)]
struct Passed<'s>(Vec<(Place<'s>, Verdict)>);

impl<'s> Passed<'s> {
    fn clear(&mut self) {
        self.0.clear();
    }

    /// False: no room.
    fn add(&mut self, here: Place<'s>, verdict: Verdict) -> bool {
        if self.0.len() == PASSED {
            return false;
        }
        self.0.push((here, verdict));
        true
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn first(&self) -> Option<Place<'s>> {
        self.0.first().map(|(here, _)| *here)
    }

    /// The first that an undecided transaction takes.
    fn taker(&self) -> Option<Place<'s>> {
        let undecided =
            |p: &&(Place<'s>, Verdict)| p.0.word.state() == State::Taken && p.1 == Verdict::Undecided;
        self.0.iter().find(undecided).map(|(here, _)| *here)
    }

    /// True if none of them has become a message meanwhile.
    fn still_stand(&self, seg: &Segment) -> bool {
        self.0.iter().all(|(here, _)| {
            let now = SlotWord(here.place.load(SeqCst));
            if now != here.word {
                return now.lap() != here.word.lap();
            }
            match (now.state(), judge(seg, now.owner())) {
                (_, Verdict::Undecided | Verdict::Direct) => true,
                // over: a tombstone; or there since our look, all of it, and its owner has gone on
                (State::Putting, verdict) => {
                    verdict == Verdict::Over && here.place.load(SeqCst) == here.word.0
                }
                (_, verdict) => verdict == Verdict::Committed,
            }
        })
    }
}
