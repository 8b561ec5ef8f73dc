//! The rings of a FIFO channel: an unbounded sequence of places, in linked rings that are used again and again.
//!
//! After the array queues of Tsigas and Zhang (a place's word carries its lap; head and tail are hints that anyone
//! moves on) and the linked rings of Morrison and Afek's LCRQ. Positions count from 0 and never wrap; position p
//! is place p mod n of the ring with sequence number p / n.
//!
//! * A message exists from the CAS that writes FULL (or from its owner's decision), and nowhere else: no step of a
//!   putter can leave something half done in others' way.
//! * Position p is claimed only when all before it are: so `tail` lags the truth at most by what is being
//!   claimed, and a claim succeeds only at the first EMPTY place.
//! * `head` passes only what is consumed, and that is final. Hence `tail - head` is never less than the messages
//!   there are: a stale `head` makes a putter careful, never careless.
//! * A ring whose places are all consumed rests on a stack (Treiber's, with a count against ABA) and comes back
//!   as a later ring. Who still holds a reference to it sees foreign laps in its places, or a foreign number in
//!   its `next`, and starts over.
//!
//! All loads and CASes of places, positions and links are SeqCst where a sleeper's last look depends on them: on
//! x86-64 and arm64 that costs nothing over Acquire and Release. Putter: CAS of the place, then load of the
//! sleepers' flag; sleeper: store of the flag, then load of the place. In the total order of these four one of the
//! two sees the other.

mod look;

use std::cell::Cell;
use std::sync::atomic::Ordering::SeqCst;

use coheap_segment::primitive::{AtomicU64, spin_loop};
use coheap_segment::{Error, Off, Result, Segment};

use crate::layout::{ChannelRecord, Ring, RingRecord, UNBOUNDED};
use crate::word::{Link, Owner, SlotWord, State, lap_of};

pub(crate) use look::{Cursor, Look, Woken};

/// Steps after which a walk or a retry is a corrupt segment, not bad luck.
const MANY: u32 = 1 << 22;
/// A FIFO channel's rings, seen by one thread.
pub(crate) struct Rings<'s> {
    seg: &'s Segment,
    channel: &'s ChannelRecord,
    /// Places of a ring: a power of two.
    n: u64,
    /// The thread's own slot.
    me: u16,
}

/// A claimed or found place.
#[derive(Clone, Copy)]
pub(crate) struct Place<'s> {
    pub pos: u64,
    pub word: SlotWord,
    pub place: &'s AtomicU64,
    /// Its offset.
    pub at: Off,
}

/// What became of the wish to put.
pub(crate) enum Claim<'s> {
    At(Place<'s>),
    Full,
    Sealed,
}

/// What the rings need of a putter while it claims.
pub(crate) trait Supply {
    /// The offset of a new ring: its word 1 says so, its places may be anything.
    fn ring(&mut self) -> Result<Off>;
    /// What to write into a free place of this lap. May be asked more than once.
    fn word(&mut self, lap: u64) -> Result<SlotWord>;
}

/// A position on its way along the rings.
#[derive(Clone, Copy)]
struct Spot<'s> {
    pos: u64,
    /// The number of `ring`: that of `pos`, or one less at a boundary.
    seq: u64,
    ring: Ring<'s>,
}

enum Enter {
    Here,
    /// No ring for this position yet.
    End,
    /// There will be none.
    Sealed,
    /// The ring has been put to another use: start over.
    Stale,
}

/// How a claimed run is told from garbage.
fn stuck(at: Off) -> Error {
    Error::corrupt("a channel whose rings do not add up", at)
}

impl<'s> Rings<'s> {
    pub fn new(seg: &'s Segment, channel: &'s ChannelRecord, n: u64, me: u16) -> Rings<'s> {
        debug_assert!(n.is_power_of_two());
        Rings { seg, channel, n, me }
    }

    fn seq_of(&self, pos: u64) -> u64 {
        pos >> self.n.trailing_zeros()
    }

    fn place(&self, spot: &Spot<'s>) -> &'s AtomicU64 {
        &spot.ring.places[(spot.pos & (self.n - 1)) as usize]
    }

    fn offset(&self, spot: &Spot<'s>) -> Off {
        spot.ring.at + size_of::<RingRecord>() as u64 + (spot.pos & (self.n - 1)) * 8
    }

    /// Goes on to the ring of `spot.pos`, which is `spot.ring` or the next.
    fn enter(&self, spot: &mut Spot<'s>) -> Result<Enter> {
        let seq = self.seq_of(spot.pos);
        if seq == spot.seq {
            return Ok(Enter::Here);
        }
        let next = Link(spot.ring.record.next.load(SeqCst));
        if next == Link::none(spot.seq) {
            return Ok(Enter::End);
        }
        if next == Link::seal(spot.seq) {
            return Ok(Enter::Sealed);
        }
        if !next.is_of(spot.seq) || seq != spot.seq + 1 {
            return Ok(Enter::Stale);
        }
        *spot = Spot { pos: spot.pos, seq, ring: Ring::at(self.seg, next.block(), self.n)? };
        Ok(Enter::Here)
    }

    // ---- the tail

    fn tail(&self) -> Result<(Spot<'s>, Enter)> {
        for _ in 0..MANY {
            let pos = self.channel.tail.load(SeqCst);
            let hint = Link(self.channel.tail_ring.load(SeqCst));
            let seq = self.seq_of(pos);
            if hint.is_of(seq) {
                return Ok((Spot { pos, seq, ring: Ring::at(self.seg, hint.block(), self.n)? }, Enter::Here));
            }
            if hint.is_of(seq + 1) {
                // the ring before is claimed to its end, or its successor would not be here
                self.tail_to((seq + 1) * self.n);
            } else if seq > 0 && hint.is_of(seq - 1) {
                let mut spot = Spot { pos, seq: seq - 1, ring: Ring::at(self.seg, hint.block(), self.n)? };
                match self.enter(&mut spot)? {
                    Enter::Here => self.tail_ring_to(hint, seq, spot.ring.at),
                    Enter::Stale => {}
                    end => return Ok((spot, end)),
                }
            }
            // else: the two words were read at different times
            spin_loop();
        }
        Err(stuck(self.channel.tail.load(SeqCst)))
    }

    fn tail_ring_to(&self, hint: Link, seq: u64, ring: Off) {
        let _ = self.channel.tail_ring.compare_exchange(hint.0, Link::new(seq, ring).0, SeqCst, SeqCst);
    }

    /// All positions before `pos` are claimed.
    pub fn tail_to(&self, pos: u64) {
        let mut seen = self.channel.tail.load(SeqCst);
        while seen < pos {
            match self.channel.tail.compare_exchange_weak(seen, pos, SeqCst, SeqCst) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// Claims the first free place: EMPTY → `supply.word(lap)`, and moves the tail on. `own` places that the same transaction takes leave as much more room.
    /// `head_seen` is what this thread knows of the head. Lock-free.
    pub fn claim(&self, own: u64, head_seen: &Cell<u64>, supply: &mut impl Supply) -> Result<Claim<'s>> {
        for _ in 0..MANY {
            let (spot, state) = self.tail()?;
            if self.is_full(spot.pos, own, head_seen)? {
                return Ok(Claim::Full);
            }
            match state {
                Enter::Sealed => return Ok(Claim::Sealed),
                Enter::End => {
                    self.append(&spot, supply)?;
                    continue;
                }
                _ => {}
            }
            let lap = lap_of(spot.seq);
            let place = self.place(&spot);
            let seen = SlotWord(place.load(SeqCst));
            if seen == SlotWord::empty(lap) {
                let word = supply.word(lap)?;
                if place.compare_exchange(seen.0, word.0, SeqCst, SeqCst).is_ok() {
                    let _ = self.channel.tail.compare_exchange(spot.pos, spot.pos + 1, SeqCst, SeqCst);
                    return Ok(Claim::At(Place { pos: spot.pos, word, place, at: self.offset(&spot) }));
                }
            } else if seen == SlotWord::seal(lap) {
                return Ok(Claim::Sealed);
            } else {
                // claimed, or long consumed: either way the tail is further on
                let _ = self.channel.tail.compare_exchange(spot.pos, spot.pos + 1, SeqCst, SeqCst);
            }
        }
        Err(stuck(self.channel.tail.load(SeqCst)))
    }

    /// Claims the place right behind `last`, which the same thread has claimed, if that is easily done: in the same ring,
    /// with room. The tail stays where it is: [`Rings::tail_to`] at the end of the run.
    pub fn claim_after(
        &self,
        last: &Place<'s>,
        head_seen: &Cell<u64>,
        supply: &mut impl Supply,
    ) -> Result<Option<Place<'s>>> {
        let pos = last.pos + 1;
        if pos & (self.n - 1) == 0 || self.is_full(pos, 0, head_seen)? {
            return Ok(None);
        }
        let (lap, at) = (last.word.lap(), last.at + 8);
        let place = self.seg.word(at)?;
        let word = supply.word(lap)?;
        let empty = SlotWord::empty(lap).0;
        let claimed = place.compare_exchange(empty, word.0, SeqCst, SeqCst).is_ok();
        Ok(claimed.then_some(Place { pos, word, place, at }))
    }

    /// PUTTING by the caller, whose attempt is decided → FULL, if nobody has done so for it.
    pub fn publish(&self, claimed: &Place<'s>) {
        let to = claimed.word.settled().0;
        let _ = claimed.place.compare_exchange(claimed.word.0, to, SeqCst, SeqCst);
    }

    /// TAKEN by the caller, whose attempt is decided → consumed, if nobody has done so for it.
    pub fn consume(&self, taken: &Place<'s>) {
        let to = taken.word.consumed().0;
        let _ = taken.place.compare_exchange(taken.word.0, to, SeqCst, SeqCst);
    }

    /// True if a message at `pos`, the tail, would be one too many.
    fn is_full(&self, pos: u64, own: u64, head_seen: &Cell<u64>) -> Result<bool> {
        let capacity = self.channel.capacity.load(SeqCst);
        if capacity == UNBOUNDED || pos.saturating_sub(head_seen.get()) < capacity {
            return Ok(false);
        }
        head_seen.set(self.advance_head()?);
        let used = pos.saturating_sub(head_seen.get());
        if used < capacity.saturating_add(own) {
            return Ok(false);
        }
        // places behind a taker that hesitates, and tombstones, hold no message
        Ok(used - self.holes_before(pos)?.min(used) >= capacity.saturating_add(own))
    }

    /// Adds a ring behind `spot.ring`, the last.
    fn append(&self, spot: &Spot<'s>, supply: &mut impl Supply) -> Result<()> {
        let ring = match self.wake_ring()? {
            Some(ring) => ring,
            None => {
                let ring = Ring::at(self.seg, supply.ring()?, self.n)?;
                self.remember(&ring);
                ring
            }
        };
        self.format(&ring, spot.seq + 1);
        let link = Link::new(spot.seq, ring.at);
        // SeqCst: Release publishes the formatted places; and a sleeper may have looked at this very word.
        if spot.ring.record.next.compare_exchange(Link::none(spot.seq).0, link.0, SeqCst, SeqCst).is_err() {
            self.rest(&ring)?;
        }
        Ok(())
    }

    /// Makes a ring that nobody uses the one with number `seq`. Plain stores: whoever still holds an old
    /// reference CASes from words of an older lap only.
    pub fn format(&self, ring: &Ring<'s>, seq: u64) {
        use std::sync::atomic::Ordering::Relaxed;
        for place in ring.places {
            place.store(SlotWord::empty(lap_of(seq)).0, Relaxed);
        }
        ring.record.next.store(Link::none(seq).0, SeqCst);
    }

    /// Puts a new ring on the list of all.
    pub fn remember(&self, ring: &Ring<'s>) {
        let mut first = self.channel.rings.load(SeqCst);
        loop {
            ring.record.made_before.store(first, SeqCst);
            match self.channel.rings.compare_exchange_weak(first, ring.at, SeqCst, SeqCst) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    fn rest(&self, ring: &Ring<'s>) -> Result<()> {
        for _ in 0..MANY {
            let top = Link(self.channel.spare.load(SeqCst));
            ring.record.rests_before.store(top.block(), SeqCst);
            let new = Link::new((top.0 >> 32) + 1, ring.at);
            if self.channel.spare.compare_exchange(top.0, new.0, SeqCst, SeqCst).is_ok() {
                return Ok(());
            }
        }
        Err(stuck(ring.at))
    }

    fn wake_ring(&self) -> Result<Option<Ring<'s>>> {
        for _ in 0..MANY {
            let top = Link(self.channel.spare.load(SeqCst));
            if top.block() == 0 {
                return Ok(None);
            }
            let ring = Ring::at(self.seg, top.block(), self.n)?;
            let below = ring.record.rests_before.load(SeqCst);
            let new = Link::new(top.0 >> 32, below);
            // the count grows at each rest: if `ring` was woken and rests again, this fails
            if self.channel.spare.compare_exchange(top.0, new.0, SeqCst, SeqCst).is_ok() {
                return Ok(Some(ring));
            }
        }
        Err(stuck(self.channel.spare.load(SeqCst)))
    }

    // ---- the head

    fn head(&self) -> Result<Spot<'s>> {
        for _ in 0..MANY {
            let pos = self.channel.head.load(SeqCst);
            let hint = Link(self.channel.head_ring.load(SeqCst));
            let seq = self.seq_of(pos);
            if hint.is_of(seq) {
                return Ok(Spot { pos, seq, ring: Ring::at(self.seg, hint.block(), self.n)? });
            }
            if seq > 0 && hint.is_of(seq - 1) {
                let mut spot = Spot { pos, seq: seq - 1, ring: Ring::at(self.seg, hint.block(), self.n)? };
                let done = spot.ring;
                match self.enter(&mut spot)? {
                    Enter::Here => self.leave_ring(hint, &done, &spot)?,
                    Enter::Stale => {}
                    _ => return Ok(spot),
                }
            }
            spin_loop();
        }
        Err(stuck(self.channel.head.load(SeqCst)))
    }

    /// The message that stands at the head, if the head stands still where one is: the first one, for all before the head
    /// are consumed.
    #[inline]
    pub fn at_head(&self) -> Result<Option<Place<'s>>> {
        let pos = self.channel.head.load(SeqCst);
        let (seq, hint) = (self.seq_of(pos), Link(self.channel.head_ring.load(SeqCst)));
        if !hint.is_of(seq) {
            return Ok(None);
        }
        let spot = Spot { pos, seq, ring: Ring::at(self.seg, hint.block(), self.n)? };
        let place = self.place(&spot);
        let word = SlotWord(place.load(SeqCst));
        let there = word.state() == State::Full && word.lap() == lap_of(seq);
        Ok(there.then(|| Place { pos, word, place, at: self.offset(&spot) }))
    }

    /// The head has passed all places of `done`: it comes to rest, by the hand that moves the head on.
    fn leave_ring(&self, hint: Link, done: &Ring<'s>, next: &Spot<'s>) -> Result<()> {
        // first nobody may find it by the tail any more: all of it is consumed, hence claimed
        self.tail_to(next.pos);
        let tail = Link(self.channel.tail_ring.load(SeqCst));
        if tail == hint {
            self.tail_ring_to(tail, next.seq, next.ring.at);
        }
        let new = Link::new(next.seq, next.ring.at);
        if self.channel.head_ring.compare_exchange(hint.0, new.0, SeqCst, SeqCst).is_ok() {
            self.rest(done)?;
        }
        Ok(())
    }

    /// Moves the head over what is consumed; gives its position.
    pub fn advance_head(&self) -> Result<u64> {
        for _ in 0..MANY {
            let mut spot = self.head()?;
            let start = spot.pos;
            // a run within one ring at a time: the next `head` lets the ring come to rest
            while self.seq_of(spot.pos) == spot.seq
                && self.is_consumed(SlotWord(self.place(&spot).load(SeqCst)), &spot)
            {
                spot.pos += 1;
            }
            if spot.pos == start {
                return Ok(start);
            }
            // all before `spot.pos` is consumed for ever, whoever moves the head
            let moved = self.channel.head.compare_exchange(start, spot.pos, SeqCst, SeqCst).is_ok();
            if moved && self.seq_of(spot.pos) == spot.seq {
                return Ok(spot.pos); // the place there was not consumed just now
            }
        }
        Err(stuck(self.channel.head.load(SeqCst)))
    }

    /// True if the place is of a later lap: its message has been taken (or the ring serves again: then too).
    fn is_consumed(&self, seen: SlotWord, spot: &Spot<'s>) -> bool {
        seen.lap() != lap_of(spot.seq)
    }

    /// The head stands still at `pos` or before, though places up to `pos` are consumed.
    pub fn note_hole(&self, pos: u64) {
        self.channel.holes.fetch_max(pos + 1, SeqCst);
    }

    /// FULL → TAKEN by `owner`, if nobody was quicker. `Place` as it then is.
    #[inline]
    pub fn take(&self, found: &Place<'s>, owner: Owner) -> Option<Place<'s>> {
        let word = found.word.taken(owner);
        match found.place.compare_exchange(found.word.0, word.0, SeqCst, SeqCst) {
            Ok(_) => Some(Place { word, ..*found }),
            Err(_) => None,
        }
    }

    /// FULL → consumed, of a message that is nothing but its word, if nobody was quicker.
    #[inline]
    pub fn take_whole(&self, found: &Place<'s>) -> bool {
        // SeqCst: and before our look for sleeping putters.
        found.place.compare_exchange(found.word.0, found.word.consumed().0, SeqCst, SeqCst).is_ok()
    }

    /// Moves the head from the one position to the other, between which all is consumed, if it stands there. Within one ring
    /// or to its end only: from there it goes on when the ring comes to rest.
    #[inline]
    pub fn head_from(&self, from: u64, to: u64) -> bool {
        self.seq_of(to - 1) == self.seq_of(from)
            && self.channel.head.compare_exchange(from, to, SeqCst, SeqCst).is_ok()
    }

    /// Takes the message right behind `last`, which the same attempt has taken, if that is easily done: in the same ring, with
    /// a message of its own. Nothing may have been passed over before.
    #[inline]
    pub fn take_after(&self, last: &Place<'s>, owner: Owner) -> Result<Option<Place<'s>>> {
        let pos = last.pos + 1;
        if pos & (self.n - 1) == 0 {
            return Ok(None);
        }
        let at = last.at + 8;
        let place = self.seg.word(at)?;
        let word = SlotWord(place.load(SeqCst));
        if word.state() != State::Full || word.lap() != last.word.lap() {
            return Ok(None);
        }
        Ok(self.take(&Place { pos, word, place, at }, owner))
    }

    /// A look that goes on behind `last`, which the looker's attempt has taken.
    pub fn behind(&self, last: &Place<'s>) -> Result<Cursor<'s>> {
        let before = size_of::<RingRecord>() as u64 + (last.pos & (self.n - 1)) * 8;
        let ring = Ring::at(self.seg, last.at - before, self.n)?;
        Ok(Cursor::at(Spot { pos: last.pos + 1, seq: self.seq_of(last.pos), ring }))
    }

    /// A place that the caller's attempt, which comes to nothing, has claimed → a tombstone.
    pub fn withdraw(&self, claimed: &Place<'s>) {
        let to = claimed.word.consumed().0;
        if claimed.place.compare_exchange(claimed.word.0, to, SeqCst, SeqCst).is_ok() {
            self.note_hole(claimed.pos);
        }
    }

    /// The end of the channel: EMPTY → SEAL at the tail. False if it was sealed before.
    pub fn seal(&self) -> Result<bool> {
        for _ in 0..MANY {
            let (spot, state) = self.tail()?;
            match state {
                Enter::Sealed => return Ok(false),
                Enter::End => {
                    let (none, seal) = (Link::none(spot.seq).0, Link::seal(spot.seq).0);
                    if spot.ring.record.next.compare_exchange(none, seal, SeqCst, SeqCst).is_ok() {
                        return Ok(true);
                    }
                    continue;
                }
                _ => {}
            }
            let lap = lap_of(spot.seq);
            let place = self.place(&spot);
            let seen = SlotWord(place.load(SeqCst));
            if seen == SlotWord::seal(lap) {
                return Ok(false);
            }
            if seen == SlotWord::empty(lap) {
                if place.compare_exchange(seen.0, SlotWord::seal(lap).0, SeqCst, SeqCst).is_ok() {
                    return Ok(true);
                }
            } else {
                let _ = self.channel.tail.compare_exchange(spot.pos, spot.pos + 1, SeqCst, SeqCst);
            }
        }
        Err(stuck(self.channel.tail.load(SeqCst)))
    }

    /// The first position that nobody has claimed, exactly; `None` if the channel is sealed there.
    pub fn end(&self) -> Result<Option<u64>> {
        for _ in 0..MANY {
            let (spot, state) = self.tail()?;
            match state {
                Enter::Sealed => return Ok(None),
                Enter::Here => {
                    let lap = lap_of(spot.seq);
                    let seen = SlotWord(self.place(&spot).load(SeqCst));
                    if seen == SlotWord::empty(lap) {
                        return Ok(Some(spot.pos));
                    }
                    if seen == SlotWord::seal(lap) {
                        return Ok(None);
                    }
                    let _ = self.channel.tail.compare_exchange(spot.pos, spot.pos + 1, SeqCst, SeqCst);
                }
                _ => return Ok(Some(spot.pos)),
            }
        }
        Err(stuck(self.channel.tail.load(SeqCst)))
    }

    /// True if one more message, besides `pending` others, would be too many. `own` places that the asking
    /// transaction takes leave as much more room.
    pub fn has_no_room(&self, pending: u64, own: u64, head_seen: &Cell<u64>) -> Result<bool> {
        let (spot, _) = self.tail()?;
        self.is_full(spot.pos + pending, own, head_seen)
    }

    /// True if nothing can be put any more.
    pub fn is_sealed(&self) -> Result<bool> {
        Ok(self.end()?.is_none())
    }
}
