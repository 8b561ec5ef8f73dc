//! FIFO channels inside a transaction.
//!
//! * A take is TAKEN at once, under the transaction's slot and tag; abort puts it back in its place.
//! * A put is a pending cell until step 5, which claims its place: EMPTY → PUTTING. The decision makes it a message.
//! * What the transaction *saw* (empty, full, a length) is a triple {version of the channel's word, end of the
//!   rings, messages}, looked at again whenever more is seen, so that its body sees one state, and in step 5, before the
//!   claims, while all words that the commit writes have C. Lone puts and takes move the end or the count; commits
//!   change the version.
//! * Lone puts do not heed C. So whoever saw something claims from exactly that end on: a message in between would
//!   stand before his, and he has not seen it.
//! * Its own pending puts count, and can be taken when the rings are empty.
//!
//! In step 5 it needs C on the version words of the channels that it puts to or takes from, so that whoever saw
//! something there finds out.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use coheap_objects::Cell;
use coheap_segment::primitive::{Instant, fence, sleep, spin_loop};
use coheap_segment::{Code, Error, Off, Result, Segment, Status, StatusWord, Word};
use coheap_txn::{Fault, Guard, Hand as TxnHand, Mem, Party, Res};

use crate::channel::Channel;
use crate::fifo::{Fifo, HESITATION, Put, Take};
use crate::hand::{Putter, free_message, unwrap};
use crate::judge::{self, Settled, Verdict};
use crate::message::{Content, Message};
use crate::rings::{Claim, Cursor, Look, Place, Woken};
use crate::word::{Owner, Payload, SlotWord, State};

/// How long a younger transaction leaves an elder one alone that holds up its take.
const PATIENCE: Duration = Duration::from_millis(10);
/// Between looks, in a longer wait.
const SHORT_NAP: Duration = Duration::from_micros(50);

/// All that one attempt of a transaction has to do with channels.
#[derive(Default)]
pub(crate) struct Channels {
    parts: Vec<Part>,
}

/// What it has to do with one.
struct Part {
    channel: Channel,
    takes: Vec<Taken>,
    puts: VecDeque<Cell>,
    claims: Vec<Claimed>,
    saw: Option<Saw>,
    /// A stack that it changes: takers and putters are to be woken.
    stack: bool,
}

/// A place that it has taken.
struct Taken {
    at: Off,
    word: SlotWord,
    message: Message,
}

/// A place that it puts to.
struct Claimed {
    at: Off,
    pos: u64,
    word: SlotWord,
    cell: Cell,
}

/// A channel as it was seen.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Saw {
    version: u64,
    /// `None`: sealed.
    end: Option<u64>,
    /// Messages, with those that the transaction has taken, without those that it will put.
    messages: u64,
}

fn closed() -> Fault {
    Fault::Error(Error::new(Code::ChannelClosed, "the channel is closed"))
}

fn me(hand: &TxnHand<'_>) -> Owner {
    Owner { slot: hand.slot(), tag: hand.tag() }
}

/// True while nobody has aborted the attempt.
fn stands(hand: &TxnHand<'_>) -> bool {
    let status = StatusWord(hand.record().status.load(SeqCst));
    matches!(status.status(), Some(Status::Active | Status::Preparing))
}

impl Channels {
    fn part(&mut self, channel: &Channel) -> &mut Part {
        let found = self.parts.iter().position(|part| part.channel.offset() == channel.offset());
        let i = found.unwrap_or_else(|| {
            self.parts.push(Part {
                channel: channel.clone(),
                takes: Vec::new(),
                puts: VecDeque::new(),
                claims: Vec::new(),
                saw: None,
                stack: false,
            });
            self.parts.len() - 1
        });
        &mut self.parts[i]
    }

    /// The transaction changes this stack.
    pub fn note_stack(&mut self, channel: &Channel) {
        self.part(channel).stack = true;
    }

    /// Puts a prefix of the cells; says how many, and why no more.
    pub fn put(&mut self, hand: &mut TxnHand<'_>, channel: &Channel, cells: &[Cell]) -> Res<(usize, Put)> {
        let part = self.part(channel);
        let mut fifo = channel.fifo(hand)?;
        for (i, &cell) in cells.iter().enumerate() {
            if fifo.rings.is_sealed()? {
                return Ok((i, Put::Closed));
            }
            let pending = part.puts.len() as u64;
            if fifo.rings.has_no_room(pending, part.takes.len() as u64, &fifo.memory.head_seen)?
                && part.observe(&mut fifo)? + pending >= channel.limit()
            {
                return Ok((i, Put::Full));
            }
            part.puts.push_back(cell);
        }
        Ok((cells.len(), Put::Done))
    }

    /// Takes one message. A by-value content in the second place is that of its own put, which the caller frees.
    pub fn take<T>(
        &mut self,
        hand: &mut TxnHand<'_>,
        channel: &Channel,
        load: &mut dyn FnMut(&mut dyn Mem, Guard, Cell) -> Res<T>,
    ) -> Res<Take<(T, Option<Off>)>> {
        let part = self.part(channel);
        let me = me(hand);
        let mut fifo = channel.fifo(hand)?;
        if !judge::tag_is_safe(fifo.seg, me) {
            return Err(Fault::Aborted);
        }
        let mut since = None;
        loop {
            let seen = match fifo.rings.look(&mut Cursor::default(), Some(me), &mut fifo.woken)? {
                Look::Found(found, passed) => {
                    let Some(place) = fifo.rings.take(&found, me) else { continue };
                    fifo.rings.note_hole(place.pos);
                    fifo.passed_over(passed, &place);
                    let value = part.load_taken(&fifo, &place, load)?;
                    channel.wake(&fifo.woken);
                    return Ok(Take::Taken((value, None)));
                }
                Look::Ended if part.puts.is_empty() => return Ok(Take::Closed),
                Look::Ended => return Err(Fault::Aborted),
                Look::Blocked(taker) => Some(taker),
                // a single operation that takes has taken; whatever puts is waited for
                Look::Empty(passed) => passed.filter(|p| p.word.state() == State::Putting),
            };
            if let Some(place) = seen {
                wait_for(&mut fifo, &place, &mut since)?;
                continue;
            }
            let before = part.saw;
            if part.observe(&mut fifo)? > 0 {
                // it came or comes just now
                part.saw = before;
                wait_a_little(&mut fifo, &mut since)?;
                continue;
            }
            let Some(cell) = part.puts.front().copied() else { return Ok(Take::Empty) };
            let mut content = Content::new(fifo.seg);
            let value = load(&mut content, Guard(cell.offset()), cell)?;
            part.puts.pop_front();
            return Ok(Take::Taken((value, cell.is_by_value_block().then(|| cell.offset()))));
        }
    }

    /// Shows the first message without taking it. Nothing is validated later.
    pub fn peek<T>(
        &mut self,
        hand: &mut TxnHand<'_>,
        channel: &Channel,
        load: &mut dyn FnMut(&mut dyn Mem, Guard, Cell) -> Res<T>,
    ) -> Res<Take<T>> {
        let part = self.part(channel);
        let me = me(hand);
        let mut fifo = channel.fifo(hand)?;
        let taken = fifo.peek(Some(me), &mut *load)?;
        match (taken, part.puts.front().copied()) {
            (Take::Empty, Some(cell)) => {
                load(&mut Content::new(fifo.seg), Guard(cell.offset()), cell).map(Take::Taken)
            }
            (taken, _) => Ok(taken),
        }
    }

    /// Messages, as the transaction sees it.
    pub fn len(&mut self, hand: &mut TxnHand<'_>, channel: &Channel) -> Res<u64> {
        let part = self.part(channel);
        let mut fifo = channel.fifo(hand)?;
        Ok(part.observe(&mut fifo)? + part.puts.len() as u64)
    }
}

/// Waits for the owner of a place: briefly for a younger or a dead one, with patience for an elder; then ends its attempt.
fn wait_for(fifo: &mut Fifo<'_, '_, TxnHand<'_>>, place: &Place<'_>, since: &mut Option<Instant>) -> Res<()> {
    let elapsed = since.get_or_insert_with(Instant::now).elapsed();
    let owner = place.word.owner();
    let gives_way = || is_elder(fifo.seg, me(fifo.hand), owner) || fifo.seg.slot_owner_is_dead(owner.slot);
    if elapsed >= PATIENCE || elapsed >= HESITATION && gives_way() {
        let settled = judge::overrule(fifo.seg, fifo.hand.slot(), place.place, place.word);
        if settled == Settled::Stands(Verdict::Direct) && elapsed > 10 * PATIENCE {
            return Err(Fault::Aborted);
        }
        if settled == Settled::Gone {
            fifo.rings.note_hole(place.pos);
        }
    }
    pause(fifo, elapsed)
}

fn wait_a_little(fifo: &mut Fifo<'_, '_, TxnHand<'_>>, since: &mut Option<Instant>) -> Res<()> {
    let elapsed = since.get_or_insert_with(Instant::now).elapsed();
    if elapsed > 10 * PATIENCE {
        return Err(Fault::Aborted);
    }
    pause(fifo, elapsed)
}

fn pause(fifo: &Fifo<'_, '_, TxnHand<'_>>, elapsed: Duration) -> Res<()> {
    if !stands(fifo.hand) {
        return Err(Fault::Aborted);
    }
    if elapsed < HESITATION {
        spin_loop();
    } else {
        sleep(SHORT_NAP);
    }
    Ok(())
}

/// True if transaction `me` began before that of `other`.
fn is_elder(seg: &Segment, me: Owner, other: Owner) -> bool {
    // Relaxed: an age is written before its attempt's status, which we have read; a later one only misjudges.
    let age = |owner: Owner| {
        seg.slot(owner.slot).map_or(u64::MAX, |s| s.age.load(std::sync::atomic::Ordering::Relaxed))
    };
    (age(me), me.slot) < (age(other), other.slot)
}

impl Part {
    /// Loads the message of a place that has just been taken.
    fn load_taken<T>(
        &mut self,
        fifo: &Fifo<'_, '_, TxnHand<'_>>,
        place: &Place<'_>,
        load: &mut dyn FnMut(&mut dyn Mem, Guard, Cell) -> Res<T>,
    ) -> Res<T> {
        let payload = place.word.payload();
        let loaded = Message::read(fifo.seg, payload).map_err(Fault::from).and_then(|message| {
            let value = load(&mut Content::new(fifo.seg), Guard(payload.offset()), message.cell)?;
            Ok((message, value))
        });
        // Somebody may have aborted us, put the message back and taken it, while we read: then it was garbage. The fence
        // keeps the loads before the look.
        fence(SeqCst);
        if place.place.load(SeqCst) != place.word.0 {
            return Err(Fault::Aborted);
        }
        match loaded {
            Ok((message, value)) => {
                self.takes.push(Taken { at: place.at, word: place.word, message });
                Ok(value)
            }
            Err(fault) => {
                judge::give_back(fifo.seg, place.place, place.word);
                self.channel.wake(&Woken { takers: true, putters: false });
                Err(fault)
            }
        }
    }

    /// Looks at the channel between commits; what the transaction has seen before must still be so. Says how many
    /// messages it can take there.
    fn observe(&mut self, fifo: &mut Fifo<'_, '_, TxnHand<'_>>) -> Res<u64> {
        let me = me(fifo.hand);
        let mut since = None;
        loop {
            let word = Word(fifo.channel.word0.load(SeqCst));
            if word.changing() {
                // a commit: its messages appear together, so its end is waited for
                let elapsed = since.get_or_insert_with(Instant::now).elapsed();
                let owner = Owner { slot: word.owner(), tag: word.tag() };
                if elapsed >= HESITATION && (is_elder(fifo.seg, me, owner) || elapsed >= PATIENCE) {
                    judge::abort(fifo.seg, owner);
                }
                if elapsed >= HESITATION {
                    // an owner that is stopped after its abort, or dead, will not take it off itself
                    fifo.hand.free_word(Guard(self.channel.offset()))?;
                }
                if elapsed > 10 * PATIENCE {
                    return Err(Fault::Aborted);
                }
                pause(fifo, elapsed)?;
                continue;
            }
            let end = fifo.rings.end()?;
            // A lone `put_many` decides without C and without a new end: none may be under way before that end. Those
            // that come later move it. And what an aborted attempt had claimed, who may be stopped, is not counted.
            if self.saw.is_none()
                && let Some(putter) = fifo.rings.undecided_put()?
            {
                wait_for(fifo, &putter, &mut since)?;
                continue;
            }
            let len = fifo.rings.len(Some(me))?;
            let saw = Saw { version: word.version(), end, messages: len + self.takes.len() as u64 };
            let again = Word(fifo.channel.word0.load(SeqCst));
            if again.seen() != word.seen() || fifo.rings.end()? != saw.end {
                continue;
            }
            if self.saw.is_some_and(|before| before != saw) {
                return Err(Fault::Aborted);
            }
            self.saw = Some(saw);
            return Ok(len);
        }
    }

    /// Is what was seen still so?
    fn check(&self, fifo: &Fifo<'_, '_, TxnHand<'_>>, saw: &Saw) -> Res<()> {
        let me = me(fifo.hand);
        let word = Word(fifo.channel.word0.load(SeqCst));
        let owner = Owner { slot: word.owner(), tag: word.tag() };
        // C of another: it may be serialised before us, unless we are the elder and it is over
        if word.changing() && owner != me && !(is_elder(fifo.seg, me, owner) && judge::abort(fifo.seg, owner))
        {
            return Err(Fault::Aborted);
        }
        if word.version() != saw.version
            || fifo.rings.end()? != saw.end
            || fifo.rings.len(Some(me))? + self.takes.len() as u64 != saw.messages
        {
            return Err(Fault::Aborted);
        }
        Ok(())
    }

    /// Step 5, after [`Part::check`].
    fn claim(&mut self, fifo: &mut Fifo<'_, '_, TxnHand<'_>>) -> Res<()> {
        let owner = me(fifo.hand);
        let own = self.takes.len() as u64;
        let mut next = self.saw.and_then(|saw| saw.end);
        for &cell in &self.puts {
            let mut putter = Putter {
                hand: &mut *fifo.hand,
                places: fifo.places,
                cell,
                owner: Some(owner),
                payload: Payload::NONE,
            };
            let claim = fifo.rings.claim(own, &fifo.memory.head_seen, &mut putter);
            let fault = match claim {
                Ok(Claim::At(place)) => {
                    self.claims.push(Claimed { at: place.at, pos: place.pos, word: place.word, cell });
                    if next.is_some_and(|next| next != place.pos) {
                        return Err(Fault::Aborted);
                    }
                    next = next.map(|next| next + 1);
                    continue;
                }
                // somebody was quicker: the next attempt sees that
                Ok(Claim::Full) => Fault::Aborted,
                Ok(Claim::Sealed) => closed(),
                Err(error) => error.into(),
            };
            putter.discard()?;
            return Err(fault);
        }
        Ok(())
    }

    /// CASes a place of ours, if nobody has done so for us.
    fn settle(seg: &Segment, at: Off, from: SlotWord, to: SlotWord) {
        if let Ok(place) = seg.word(at) {
            // SeqCst: before the look for sleepers.
            let _ = place.compare_exchange(from.0, to.0, SeqCst, SeqCst);
        }
    }

    fn committed(&mut self, hand: &mut TxnHand<'_>) -> Result<()> {
        let fifo = self.channel.fifo(hand)?;
        for taken in &self.takes {
            Self::settle(fifo.seg, taken.at, taken.word, taken.word.consumed());
            free_message(fifo.hand, &taken.message)?;
        }
        for claimed in &self.claims {
            Self::settle(fifo.seg, claimed.at, claimed.word, claimed.word.settled());
        }
        fifo.rings.advance_head()?;
        let (takers, putters) = (!self.claims.is_empty(), !self.takes.is_empty());
        // others may sleep until the last message is gone
        let sealed = fifo.channel.sealed.load(SeqCst) != 0;
        self.channel.wake(&Woken { takers: takers || sealed, putters });
        Ok(())
    }

    fn aborted(&mut self, hand: &mut TxnHand<'_>) -> Result<()> {
        let fifo = self.channel.fifo(hand)?;
        for taken in &self.takes {
            judge::give_back(fifo.seg, fifo.seg.word(taken.at)?, taken.word);
        }
        for claimed in &self.claims {
            Self::settle(fifo.seg, claimed.at, claimed.word, claimed.word.consumed());
            fifo.rings.note_hole(claimed.pos);
            unwrap(fifo.hand, claimed.cell, claimed.word.payload())?;
        }
        fifo.rings.advance_head()?;
        self.channel.wake(&Woken { takers: !self.takes.is_empty(), putters: !self.claims.is_empty() });
        Ok(())
    }
}

impl Party for Channels {
    fn guards(&self, each: &mut dyn FnMut(Guard)) {
        for part in &self.parts {
            if !part.takes.is_empty() || !part.puts.is_empty() {
                each(Guard(part.channel.offset()));
            }
        }
    }

    fn check(&mut self, hand: &mut TxnHand<'_>) -> Res<()> {
        // In step 5, pairs with that of another transaction that does the same: our C's are visible before we look for
        // theirs.
        fence(SeqCst);
        for part in &mut self.parts {
            if let Some(saw) = part.saw {
                part.check(&part.channel.fifo(hand)?, &saw)?;
            }
        }
        Ok(())
    }

    fn prepare(&mut self, hand: &mut TxnHand<'_>) -> Res<()> {
        for part in &mut self.parts {
            let channel = part.channel.clone();
            part.claim(&mut channel.fifo(hand)?)?;
        }
        Ok(())
    }

    fn committed(&mut self, hand: &mut TxnHand<'_>) {
        for part in &mut self.parts {
            if part.stack {
                part.channel.wake(&Woken { takers: true, putters: true });
            } else {
                // an error is a corrupt channel: whoever uses it next meets it
                let _ = part.committed(hand);
            }
        }
    }

    fn aborted(&mut self, hand: &mut TxnHand<'_>) {
        for part in &mut self.parts {
            if !part.stack {
                let _ = part.aborted(hand);
            }
        }
    }
}

#[cfg(test)]
mod tests;
