//! Contention over one version word: judging its owner, taking it away, waiting for it.
//!
//! *Who may take a word.* While an owner has not decided, what it has reserved is untouched, so the word can be
//! taken from an owner that is aborted or has gone on to another attempt by anybody, readers too, and an owner
//! that is undecided can be aborted by one CAS on its status word and then taken from. Only DIRECT and COMMITTED
//! must be waited for: these owners are storing, a matter of some instructions.
//!
//! *C never goes from 1 to 0 without a new version*, whoever clears it, so that {owner, tag, C 1, version} never
//! recurs and one compare-exchange on the whole word confirms any verdict (model/tag-wrap.pml).
//!
//! *The waiters bit* is set only by a compare-exchange on a word with C = 0. So while C = 1 the word belongs to its
//! owner alone and a plain store releases it; whoever wants to know naps.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::Duration;

use coheap_segment::primitive::{AtomicU64, Instant, sleep, spin_loop};
use coheap_segment::word::NOBODY;
use coheap_segment::{
    Error, LANE_SYNC, Off, Result, Segment, SlotRecord, Status, StatusWord, Word, monotonic_ms,
};

use crate::core::{Core, next_version};
use crate::recover;

/// Flags of a slot's attempt (`SlotRecord::flags`).
pub(crate) mod flag {
    /// It reserves what it reads, by its options.
    pub(crate) const RESERVES: u64 = 1;
    /// An explicit transaction.
    pub(crate) const EXPLICIT: u64 = 2;
    /// An explicit transaction inside `run`.
    pub(crate) const RUNNING: u64 = 4;
    /// It reserves what it reads after failed validations.
    pub(crate) const RESERVES_ALL: u64 = 8;
}

/// What a slot's `wv` says from right before the clock is read until the version is there; 0 before.
pub(crate) const DRAWN: u64 = 1;
/// How long to look at a word before sleeping.
pub(crate) const SPIN: Duration = Duration::from_micros(25);
/// A sleep for a word that somebody has is never longer: it can die meanwhile, and a ring can be lost with its ringer.
/// Each time that the waiter wakes it asks whether the owner lives.
const PROBE: Duration = Duration::from_millis(2);
/// The first and the longest nap for a word with C = 1, which cannot carry the waiters bit.
const SHORT_NAP: Duration = Duration::from_micros(50);
const LONG_NAP: Duration = Duration::from_millis(1);

/// What is to be thought of a word that has an owner or C.
pub(crate) enum Verdict {
    /// It has changed since: look again.
    Moved,
    /// Its block is free.
    Free,
    /// Its owner has lost it.
    Takeable,
    /// Its owner has not decided.
    Undecided(Holder),
    /// Its owner is storing.
    Deciding(Holder),
}

/// The owner of a word, as it was judged.
#[derive(Clone, Copy)]
pub(crate) struct Holder {
    pub(crate) slot: u16,
    pub(crate) record: &'static SlotRecord,
    pub(crate) status: StatusWord,
}

/// Judges `seen`, just loaded from `word`. `ERR_COHEAP_CORRUPT` for what no protocol leaves behind.
pub(crate) fn judge(segment: &'static Segment, at: Off, word: &AtomicU64, seen: Word) -> Result<Verdict> {
    if seen.is_free() {
        return Ok(Verdict::Free);
    }
    if seen.owner() == NOBODY && !seen.changing() {
        return Ok(Verdict::Moved);
    }
    let holder = segment.slot(seen.owner());
    // Acquire pairs with the Release of every change of a status. It is loaded after the word: if the word was
    // reserved in attempt s, the status is that of s or later.
    let status = holder.map(|record| StatusWord(record.status.load(Acquire)));
    // Word and status are two loads; the verdict holds if the word is still the same (model/read-sets.pml, mutant
    // RELOAD=0). Acquire above keeps this load behind the status.
    if Word(word.load(Acquire)).without_waiters() != seen.without_waiters() {
        return Ok(Verdict::Moved);
    }
    let (Some(record), Some(status)) = (holder, status) else {
        return Err(Error::corrupt("a version word with an owner that does not exist", at));
    };
    if status.tag() != seen.tag() {
        return Ok(Verdict::Takeable);
    }
    let holder = Holder { slot: seen.owner(), record, status };
    Ok(match status.status() {
        None => return Err(Error::corrupt("a slot's status", seen.owner() as u64)),
        Some(Status::Idle | Status::Aborted) => Verdict::Takeable,
        Some(Status::Active | Status::Preparing) => Verdict::Undecided(holder),
        Some(Status::Direct | Status::Committed) => Verdict::Deciding(holder),
    })
}

/// Takes the owner off a word that was found takeable, from exactly `seen`. Gives the word's version from then on;
/// `None`: it has changed.
pub(crate) fn strip(segment: &Segment, at: Off, word: &AtomicU64, seen: Word) -> Option<u64> {
    let version = if seen.changing() { next_version(segment, seen.version()) } else { seen.version() };
    let bare = Word::new(NOBODY, 0, version, false);
    // AcqRel: Acquire pairs with the loser's CASes, Release with the loads of readers. Nothing was stored under it.
    word.compare_exchange(seen.0, bare.0, AcqRel, Relaxed).ok()?;
    if seen.waiters() {
        segment.waiters_ring(at);
    }
    Some(version)
}

impl Holder {
    /// Aborts the attempt if it is still undecided.
    pub(crate) fn abort(&self, core: &mut Core) {
        let aborted = StatusWord::new(Status::Aborted, self.status.seq());
        // AcqRel: pairs with the owner's CASes of its status: it loses the attempt or it has decided.
        if self.record.status.compare_exchange(self.status.0, aborted.0, AcqRel, Relaxed).is_ok() {
            core.stats.wounds += 1;
        }
    }

    /// True once the attempt is about to draw its version from the clock, false only if it had not done so when this was
    /// loaded. To be followed by a look whether it [`Holder::stands`].
    ///
    /// A plain read may pass a PREPARING owner, and is then ordered before it, together with all that ended before
    /// the read. So none of that may have a later version than the owner will: else a transaction whose snapshot lies
    /// between the two sees the owner's change and misses the others, which is no order at all.
    pub(crate) fn has_drawn(&self) -> bool {
        // Acquire: the look at the status comes after it. Pairs with the fence between the store of DRAWN and the
        // addition to the clock: 0 here means that the addition is yet to come.
        self.record.wv.load(Acquire) != 0
    }

    /// Still in the same attempt and state?
    pub(crate) fn stands(&self) -> bool {
        self.record.status.load(Acquire) == self.status.0
    }

    /// Its age, flags and steps; `None` if it has gone on meanwhile.
    pub(crate) fn about(&self) -> Option<About> {
        let r = self.record;
        // Relaxed between two looks at the status: they are written before the attempt becomes ACTIVE (Release) and,
        // but for steps and RUNNING, not before it has ended. The loads are Acquire so that the second look comes
        // last.
        let about = About {
            age: (r.age.load(Acquire), self.slot),
            flags: r.flags.load(Acquire),
            steps: r.steps.load(Acquire),
            overdue: {
                let (started, max) = (r.started.load(Acquire), r.max_hold.load(Acquire));
                max != 0 && started != 0 && monotonic_ms() > started.saturating_add(max)
            },
        };
        self.stands().then_some(about)
    }
}

/// What others may know about an attempt.
#[derive(Clone, Copy)]
pub(crate) struct About {
    /// Smaller is older.
    pub(crate) age: (u64, u16),
    pub(crate) flags: u64,
    pub(crate) steps: u64,
    /// An explicit one that has outlived its maxHold.
    pub(crate) overdue: bool,
}

impl About {
    /// How long others wait for it: ten times as long if it protects its reads.
    pub(crate) fn patience(&self, core: &Core) -> Duration {
        if self.flags & (flag::RESERVES | flag::RESERVES_ALL) != 0 {
            core.patience * 10
        } else {
            core.patience
        }
    }
}

/// The time that one wait has taken so far, and how it goes on waiting.
#[derive(Default)]
pub(crate) struct Wait {
    since: Option<Instant>,
    nap: Duration,
    /// Looks at a deciding owner that names the word nowhere.
    suspicious: u32,
}

impl Wait {
    pub(crate) fn elapsed(&mut self) -> Duration {
        self.since.get_or_insert_with(Instant::now).elapsed()
    }

    pub(crate) fn waiting(&self) -> bool {
        self.since.is_some()
    }

    /// Waits a little for `word` to change from `seen` or its owner's status to change: spins in the first 25 µs of
    /// the whole wait, then sleeps. Comes back early for no reason. `own` is the waiter's own status word and what
    /// it should be: a waiter that has been aborted stops waiting.
    pub(crate) fn pause(
        &mut self,
        core: &mut Core,
        (at, word, seen): (Off, &AtomicU64, Word),
        holder: &Holder,
        own: Option<(&AtomicU64, u64)>,
        most: Duration,
    ) {
        let unchanged = || {
            Word(word.load(Acquire)).without_waiters() == seen.without_waiters()
                && holder.stands()
                && own.is_none_or(|(status, active)| status.load(Acquire) == active)
        };
        if self.elapsed() < SPIN {
            for _ in 0..64 {
                if !unchanged() {
                    return;
                }
                spin_loop();
            }
            return;
        }
        core.stats.waits += 1;
        if seen.changing() {
            self.nap = (self.nap * 2).clamp(SHORT_NAP, LONG_NAP);
            sleep(self.nap.min(most.max(SHORT_NAP)));
            return;
        }
        let (segment, me) = (core.segment(), core.me());
        let bell = segment.bell(me, LANE_SYNC);
        segment.waiters_add(at, me);
        // Whoever takes the owner off sees the bit or fails its CAS; ring and bell do the rest. Relaxed failure: the
        // word has changed or has the bit already, and is looked at again.
        let _ = word.compare_exchange(seen.0, seen.with_waiters(true).0, AcqRel, Relaxed);
        let now = Word(word.load(Acquire));
        if unchanged() && now.waiters() && !now.changing() {
            segment.sleep(me, LANE_SYNC, bell, most.min(PROBE));
        }
        segment.waiters_remove(at, me);
    }

    /// Waits for an owner that is storing; recovers it if it is dead. `ERR_COHEAP_CORRUPT` if the owner's log and
    /// intent line do not name the word, or it is nobody or the caller: the word would be waited for for ever.
    pub(crate) fn pause_deciding(
        &mut self,
        core: &mut Core,
        place: (Off, &AtomicU64, Word),
        holder: &Holder,
        own: Option<(&AtomicU64, u64)>,
    ) -> Result<()> {
        let (at, word, seen) = place;
        let owner = core.segment().slot_participant(holder.slot);
        if owner.is_none_or(|owner| owner == core.me()) && holder.stands() {
            // we are here, and so not storing; a slot is given up idle only: nobody would ever end it
            return Err(Error::corrupt("a word that nobody is changing", at));
        }
        if self.elapsed() >= SPIN {
            if core.segment().slot_owner_is_dead(holder.slot) {
                if recover::recover(core.shared(), holder.slot)? {
                    return Ok(());
                }
                // somebody else is at it, who may be slow
                self.pause(core, place, holder, own, PROBE);
                return Ok(());
            }
            // Read between two looks at word and status, which must not move. Twice, a nap apart: the next intent
            // line of a living owner could be seen early on a weakly ordered machine.
            let named = recover::names(core.segment(), holder, at);
            if !named && Word(word.load(Acquire)) == seen && holder.stands() {
                self.suspicious += 1;
                if self.suspicious > 2 {
                    return Err(Error::corrupt("a word whose owner does not know of it", at));
                }
            } else {
                self.suspicious = 0;
            }
        }
        self.pause(core, place, holder, own, PROBE);
        Ok(())
    }
}

/// The youngest contender: a single operation, or a plain read. It waits for its turn, and after the holder's
/// patience is over it aborts the holder. Comes back when the word is worth another look.
/// True if it has waited for somebody.
pub(crate) fn single(core: &mut Core, wait: &mut Wait, at: Off, reads: bool) -> Result<bool> {
    let segment = core.segment();
    let word = segment.word(at)?;
    // Acquire: the first half of the verdict, see `judge`.
    let seen = Word(word.load(Acquire));
    match judge(segment, at, word, seen)? {
        Verdict::Moved | Verdict::Free => {}
        Verdict::Takeable => {
            strip(segment, at, word, seen);
        }
        Verdict::Deciding(holder) => {
            wait.pause_deciding(core, (at, word, seen), &holder, None)?;
            return Ok(true);
        }
        // a plain read does not wait for a commit that has not drawn its version
        Verdict::Undecided(holder) if reads && !holder.has_drawn() => {}
        Verdict::Undecided(holder) => {
            let Some(about) = holder.about() else { return Ok(false) };
            let limit = about.patience(core);
            let waited = wait.elapsed();
            let own = segment.slot_participant(holder.slot) == Some(core.me());
            if own || about.overdue || waited >= limit {
                holder.abort(core);
            } else if waited <= SPIN
                || !segment.slot_owner_is_dead(holder.slot)
                || !recover::recover(core.shared(), holder.slot)?
            {
                wait.pause(core, (at, word, seen), &holder, None, limit - waited);
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Takes our owner fields off a word in roll-back or after a decision, if they are still there; C = 1 gives it a new
/// version. Rings.
pub(crate) fn release(segment: &Segment, at: Off, word: &AtomicU64, slot: u16, tag: u8) {
    loop {
        // Acquire: see `strip`.
        let seen = Word(word.load(Acquire));
        if seen.owner() != slot || seen.tag() != tag {
            return;
        }
        // others only set the waiters bit or take the word away, so this ends
        if strip(segment, at, word, seen).is_some() {
            return;
        }
    }
}
