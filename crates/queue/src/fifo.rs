//! Single operations on the rings of a FIFO channel.
//!
//! | operation | steps | killed between them |
//! | --- | --- | --- |
//! | put | envelope, if the message needs one · EMPTY → FULL | garbage · done |
//! | put several | status DIRECT · envelope, EMPTY → PUTTING each · status COMMITTED · → FULL each · IDLE | none of them, tombstones · all of them |
//! | take, an integer | load · FULL → consumed | still there · taken |
//! | take, a block | DIRECT · FULL → TAKEN · load · → consumed · free · IDLE | back to FULL · taken |
//! | take several | DIRECT · FULL → TAKEN each · load · COMMITTED · → consumed each · free · IDLE | all back · taken |
//!
//! Loading publishes handles of live objects, so they are rooted before the place lets go of them.

use std::sync::atomic::Ordering::{Acquire, Release, SeqCst};
use std::time::Duration;

use coheap_objects::Cell;
use coheap_segment::primitive::{Instant, fence, spin_loop};
use coheap_segment::{Result, Segment};
use coheap_txn::{Fault, Guard, Mem, Res};

use crate::hand::{Hand, Putter, free_message, unwrap};
use crate::judge::{self, Settled, Verdict};
use crate::layout::{ChannelRecord, UNBOUNDED};
use crate::message::{Content, Message};
use crate::rings::{Claim, Cursor, Look, Place, Rings, Woken};
use crate::word::{Owner, Payload, SlotWord, State};

/// How long an undecided owner may hold up others.
pub(crate) const HESITATION: Duration = Duration::from_micros(25);
/// How far a taker walks past a place that an undecided owner takes, before that one counts as in the way.
const FAR: u64 = 64;
/// How long a live single operation that stands in the way is left alone before its owner is probed again.
const PROBE: Duration = Duration::from_millis(1);

/// What became of the wish to put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Done,
    Full,
    Closed,
}

/// What became of the wish to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take<T> {
    Taken(T),
    Empty,
    Closed,
}

/// A place that somebody else owns, and since when this thread has seen it so.
#[derive(Clone, Copy)]
struct Suspect {
    pos: u64,
    word: SlotWord,
    since: Instant,
}

/// What one thread remembers of a channel between its operations.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    /// The head is here or further on.
    pub head_seen: std::cell::Cell<u64>,
    suspect: std::cell::Cell<Option<Suspect>>,
}

/// A FIFO channel and the thread that works on it.
pub(crate) struct Fifo<'s, 'h, H: Hand> {
    pub seg: &'s Segment,
    pub channel: &'s ChannelRecord,
    pub rings: Rings<'s>,
    pub places: u64,
    pub hand: &'h mut H,
    pub memory: &'h Memory,
    pub woken: Woken,
}

impl<'s, 'h, H: Hand> Fifo<'s, 'h, H> {
    pub fn new(
        seg: &'s Segment,
        channel: &'s ChannelRecord,
        places: u64,
        hand: &'h mut H,
        memory: &'h Memory,
    ) -> Self {
        let rings = Rings::new(seg, channel, places, hand.slot());
        Fifo { seg, channel, rings, places, hand, memory, woken: Woken::default() }
    }

    /// Begins a single operation, under a tag that messages can be taken with.
    fn begin(&mut self) -> Owner {
        loop {
            let owner = Owner { slot: self.hand.slot(), tag: self.hand.begin() };
            if judge::tag_is_safe(self.seg, owner) {
                return owner;
            }
            self.hand.end();
        }
    }

    /// Puts one message. On [`Put::Full`] and [`Put::Closed`] the cell's content is still the caller's.
    pub fn put(&mut self, cell: Cell) -> Result<Put> {
        let mut putter =
            Putter { hand: &mut *self.hand, places: self.places, cell, owner: None, payload: Payload::NONE };
        let claim = self.rings.claim(0, &self.memory.head_seen, &mut putter);
        let put = match claim {
            Ok(Claim::At(_)) => {
                self.hand.built();
                self.woken.takers = true;
                return Ok(Put::Done);
            }
            Ok(Claim::Full) => Ok(Put::Full),
            Ok(Claim::Sealed) => Ok(Put::Closed),
            Err(error) => Err(error),
        };
        putter.discard()?;
        self.hand.built();
        put
    }

    /// Puts as many of the cells as there is room for, a prefix, all at one instant. Says how many, and why no more.
    pub fn put_many(&mut self, cells: &[Cell]) -> Result<(usize, Put)> {
        if let [cell] = cells {
            let put = self.put(*cell)?;
            return Ok((usize::from(put == Put::Done), put));
        }
        let owner = Owner { slot: self.hand.slot(), tag: self.hand.begin() };
        let mut claimed: Vec<Place<'s>> = Vec::with_capacity(cells.len().min(1 << 16));
        let mut end = Ok(Put::Done);
        for &cell in cells {
            let head_seen = &self.memory.head_seen;
            let mut putter = Putter {
                hand: &mut *self.hand,
                places: self.places,
                cell,
                owner: Some(owner),
                payload: Payload::NONE,
            };
            let last = claimed.last();
            let easy = last.map_or(Ok(None), |last| self.rings.claim_after(last, head_seen, &mut putter));
            let claim = match easy {
                Ok(Some(place)) => Ok(Claim::At(place)),
                Ok(None) => {
                    if let Some(last) = last {
                        self.rings.tail_to(last.pos + 1);
                    }
                    self.rings.claim(0, head_seen, &mut putter)
                }
                Err(error) => Err(error),
            };
            match claim {
                Ok(Claim::At(place)) => {
                    claimed.push(place);
                    continue;
                }
                Ok(Claim::Full) => end = Ok(Put::Full),
                Ok(Claim::Sealed) => end = Ok(Put::Closed),
                Err(error) => end = Err(error),
            }
            if let Err(error) = putter.discard() {
                end = Err(error);
            }
            break;
        }
        if let Some(last) = claimed.last() {
            self.rings.tail_to(last.pos + 1);
        }
        if let Err(error) = end {
            for (place, cell) in claimed.iter().zip(cells) {
                self.rings.withdraw(place);
                unwrap(self.hand, *cell, place.word.payload())?;
            }
            self.hand.end();
            return Err(error);
        }
        self.hand.decide();
        // the first one last: who waits at it finds all of them there, and does not run along with us
        for place in claimed.iter().rev() {
            self.rings.publish(place);
        }
        self.hand.end();
        self.woken.takers |= !claimed.is_empty();
        Ok((claimed.len(), end?))
    }

    /// Looks whether the place has been in the way for too long, and ends its owner's attempt then. True if that
    /// may have changed something.
    fn suspect(&mut self, place: &Place<'s>) -> bool {
        let now = Instant::now();
        match self.memory.suspect.get() {
            Some(s) if s.pos == place.pos && s.word == place.word => {
                if now.saturating_duration_since(s.since) < HESITATION {
                    return false;
                }
                if self.rings.overrule(place, &mut self.woken) == Settled::Stands(Verdict::Direct) {
                    self.memory.suspect.set(Some(Suspect { since: now + PROBE, ..s }));
                    return false;
                }
                self.memory.suspect.set(None);
                true
            }
            _ => {
                self.memory.suspect.set(Some(Suspect { pos: place.pos, word: place.word, since: now }));
                false
            }
        }
    }

    /// The first message that can be taken. Waits up to [`HESITATION`] for an undecided taker if that one alone
    /// is in the way, unless not `patient`; then it counts as nothing.
    pub fn find(&mut self, cursor: &mut Cursor<'s>, mine: Option<Owner>, patient: bool) -> Result<Seen<'s>> {
        let mut since = None;
        loop {
            match self.rings.look(cursor, mine, &mut self.woken)? {
                Look::Found(found, passed) => return Ok(Seen::Message(found, passed)),
                Look::Ended => return Ok(Seen::Ended),
                Look::Empty(passed) => {
                    if !passed.is_some_and(|passed| self.suspect(&passed)) {
                        return Ok(Seen::Nothing);
                    }
                }
                Look::Blocked(taker) => {
                    if !patient {
                        return Ok(Seen::Nothing);
                    }
                    if since.get_or_insert_with(Instant::now).elapsed() >= HESITATION {
                        self.rings.overrule(&taker, &mut self.woken);
                    }
                    spin_loop();
                }
            }
            *cursor = Cursor::default();
        }
    }

    /// As a patient [`Fifo::find`] from the head on: mostly the first message stands right there.
    #[inline]
    fn first(&mut self) -> Result<Seen<'s>> {
        match self.rings.at_head()? {
            Some(place) => Ok(Seen::Message(place, None)),
            None => self.find(&mut Cursor::default(), None, true),
        }
    }

    /// Notes that `place` was taken past `passed`, and ends the attempt of one that is in the way for too long.
    pub fn passed_over(&mut self, passed: Option<Place<'s>>, place: &Place<'s>) {
        if let Some(passed) = passed {
            self.rings.note_hole(place.pos);
            if passed.word.state() == State::Putting || place.pos - passed.pos > FAR {
                self.suspect(&passed);
            }
        }
    }

    /// Takes one message in a single operation that has begun (DIRECT) if, and only if, it gives one.
    fn acquire(&mut self) -> Result<Take<First<'s>>> {
        match self.first()? {
            Seen::Message(found, passed) => self.acquire_found(found, passed),
            Seen::Nothing => Ok(Take::Empty),
            Seen::Ended => Ok(Take::Closed),
        }
    }

    /// As [`Fifo::acquire`], of which the first look has found this.
    fn acquire_found(&mut self, found: Place<'s>, passed: Option<Place<'s>>) -> Result<Take<First<'s>>> {
        let me = self.begin();
        let result = self.acquire_as(me, found, passed);
        if !matches!(result, Ok(Take::Taken(_))) {
            self.hand.end();
        }
        result
    }

    fn acquire_as(
        &mut self,
        me: Owner,
        mut found: Place<'s>,
        mut passed: Option<Place<'s>>,
    ) -> Result<Take<First<'s>>> {
        loop {
            if let Some(place) = self.rings.take(&found, me) {
                self.passed_over(passed, &place);
                return Ok(Take::Taken(First { place, orderly: passed.is_none() }));
            }
            (found, passed) = match self.first()? {
                Seen::Message(found, passed) => (found, passed),
                Seen::Nothing => return Ok(Take::Empty),
                Seen::Ended => return Ok(Take::Closed),
            };
        }
    }

    /// Takes one message. `load` is shown its cell before anybody could use its place again; if it fails the message
    /// stays in the channel. It may be shown one that somebody else then takes: only its last result counts.
    pub fn take<T>(&mut self, mut load: impl FnMut(&mut dyn Mem, Guard, Cell) -> Res<T>) -> Res<Take<T>> {
        let seg = self.seg;
        let First { place, orderly } = loop {
            let (found, passed) = match self.first()? {
                Seen::Message(found, passed) => (found, passed),
                Seen::Nothing => return Ok(Take::Empty),
                Seen::Ended => return Ok(Take::Closed),
            };
            let payload = found.word.payload();
            if payload.as_integer().is_none() {
                match self.acquire_found(found, passed)? {
                    Take::Taken(first) => break first,
                    Take::Empty => return Ok(Take::Empty),
                    Take::Closed => return Ok(Take::Closed),
                }
            }
            // The word is all of it: there is nothing to be read or freed after the CAS, so nobody need know who has
            // taken it.
            let value = load(&mut Content::new(seg), Guard(0), Message::read(seg, payload)?.cell)?;
            if self.rings.take_whole(&found) {
                self.passed_over(passed, &found);
                self.after_takes(&found, &found, passed.is_none())?;
                return Ok(Take::Taken(value));
            }
        };
        let taken = [place];
        let undo = Undo { hand: &mut *self.hand, seg, taken: &taken, woken: &mut self.woken };
        let payload = place.word.payload();
        let message = Message::read(seg, payload)?;
        let value = load(&mut Content::new(seg), Guard(payload.offset()), message.cell)?;
        undo.disarm();
        self.consume(&place);
        let freed = free_message(self.hand, &message);
        self.hand.end();
        self.after_takes(&place, &place, orderly)?;
        freed?;
        Ok(Take::Taken(value))
    }

    /// Takes up to `max` messages, all at one instant. `load` is shown each cell once; if it fails all of them stay.
    pub fn take_many<T>(
        &mut self,
        max: usize,
        mut load: impl FnMut(&mut dyn Mem, Guard, Cell) -> Res<T>,
    ) -> Res<Take<Vec<T>>> {
        if max == 0 {
            return Ok(Take::Empty);
        }
        let First { place: first, mut orderly } = match self.acquire()? {
            Take::Taken(first) => first,
            Take::Empty => return Ok(Take::Empty),
            Take::Closed => return Ok(Take::Closed),
        };
        let me = first.word.owner();
        let mut taken = vec![first];
        let mut last = first;
        // a run of messages comes out of their putter's cache: all of it at once rather than one after another
        self.prefetch(&first);
        let mut cursor = Cursor::default();
        while taken.len() < max {
            // an error: the next operation meets it again
            let next = if orderly { self.rings.take_after(&last, me) } else { Ok(None) };
            let Ok(next) = next else { break };
            let place = match next {
                Some(place) => place,
                None => {
                    if orderly {
                        let Ok(behind) = self.rings.behind(&last) else { break };
                        cursor = behind;
                    }
                    let Ok(Seen::Message(found, passed)) = self.find(&mut cursor, Some(me), false) else {
                        break;
                    };
                    let Some(place) = self.rings.take(&found, me) else {
                        cursor = Cursor::default();
                        continue;
                    };
                    orderly = passed.is_none();
                    self.passed_over(passed, &place);
                    place
                }
            };
            self.prefetch(&place);
            taken.push(place);
            last = place;
        }
        let seg = self.seg;
        let undo = Undo { hand: &mut *self.hand, seg, taken: &taken, woken: &mut self.woken };
        let mut messages = Vec::with_capacity(taken.len());
        let mut values = Vec::with_capacity(taken.len());
        for place in &taken {
            let payload = place.word.payload();
            let message = Message::read(seg, payload)?;
            values.push(load(&mut Content::new(seg), Guard(payload.offset()), message.cell)?);
            messages.push(message);
        }
        undo.disarm();
        self.hand.decide();
        let mut freed = Ok(());
        for (place, message) in taken.iter().zip(&messages) {
            self.rings.consume(place);
            freed = freed.and(free_message(self.hand, message));
        }
        self.hand.end();
        self.after_takes(&first, &last, orderly)?;
        freed?;
        Ok(Take::Taken(values))
    }

    /// Shows the first message without taking it. `load` may be called again, and then its last result counts: the
    /// message was taken meanwhile, and what it saw may have been garbage.
    pub fn peek<T>(
        &mut self,
        mine: Option<Owner>,
        mut load: impl FnMut(&mut dyn Mem, Guard, Cell) -> Res<T>,
    ) -> Res<Take<T>> {
        loop {
            // what an undecided transaction takes is still there
            let place = match self.rings.look(&mut Cursor::default(), mine, &mut self.woken)? {
                Look::Found(place, None) => place,
                Look::Found(place, Some(passed)) => {
                    if passed.word.state() == State::Taken
                        && judge::judge(self.seg, passed.word.owner()) == Verdict::Undecided
                    {
                        passed
                    } else {
                        place
                    }
                }
                Look::Blocked(place) => place,
                Look::Empty(_) => return Ok(Take::Empty),
                Look::Ended => return Ok(Take::Closed),
            };
            let payload = place.word.payload();
            let loaded = Message::read(self.seg, payload)
                .map_err(Fault::from)
                .and_then(|message| load(&mut Content::new(self.seg), Guard(payload.offset()), message.cell));
            // SeqCst: after the loads above (fence), and after the handle that `load` has published: still there, so
            // what was read belongs to it, and the handle was in time.
            fence(SeqCst);
            if place.place.load(SeqCst) == place.word.0 {
                return loaded.map(Take::Taken);
            }
        }
    }

    /// Fetches the first two cache lines of a message ahead.
    #[inline]
    fn prefetch(&self, place: &Place<'s>) {
        let payload = place.word.payload();
        if payload.as_integer().is_none() {
            self.seg.prefetch(payload.offset());
            self.seg.prefetch(payload.offset() + 64);
        }
    }

    /// TAKEN by us → consumed.
    fn consume(&self, place: &Place<'s>) {
        let consumed = place.word.consumed().0;
        if self.channel.capacity.load(Acquire) == UNBOUNDED {
            // Release: our loads of the message come before the place is anybody's. Nobody waits for room.
            place.place.store(consumed, Release);
        } else {
            // SeqCst: and before our look for sleeping putters.
            place.place.swap(consumed, SeqCst);
        }
    }

    /// After places from `first` to `last`, of which none between them was passed over if `orderly`, have been consumed: moves
    /// the head on; says whom to wake.
    fn after_takes(&mut self, first: &Place<'s>, last: &Place<'s>, orderly: bool) -> Result<()> {
        // mostly they stood at the head, and it stands behind them then
        let head = match orderly && self.rings.head_from(first.pos, last.pos + 1) {
            true => last.pos + 1,
            false => self.rings.advance_head()?,
        };
        self.memory.head_seen.set(head);
        self.woken.putters = true;
        // Others may sleep until the last message is gone.
        self.woken.takers |= self.channel.sealed.load(SeqCst) != 0;
        Ok(())
    }
}

/// The first message of an operation.
struct First<'s> {
    place: Place<'s>,
    /// Nothing was passed over before it.
    orderly: bool,
}

/// What [`Fifo::find`] has found.
pub(crate) enum Seen<'s> {
    /// The first message that can be taken, and the first place passed over on the way.
    Message(Place<'s>, Option<Place<'s>>),
    /// Nothing now.
    Nothing,
    /// Nothing, for ever.
    Ended,
}

/// Puts back what a single operation has taken, unless disarmed: also when loading panics. In order, so that
/// nobody finds a later message before an earlier one.
struct Undo<'a, 's, H: Hand> {
    hand: &'a mut H,
    seg: &'s Segment,
    taken: &'a [Place<'s>],
    woken: &'a mut Woken,
}

impl<H: Hand> Undo<'_, '_, H> {
    fn disarm(self) {
        std::mem::forget(self);
    }
}

impl<H: Hand> Drop for Undo<'_, '_, H> {
    fn drop(&mut self) {
        for place in self.taken {
            judge::give_back(self.seg, place.place, place.word);
        }
        self.woken.takers = true;
        self.hand.end();
    }
}
