//! What other floors take part with: [`Hand`], a slot's status and blocks for a single operation of their own kind
//! (a message into a ring), and [`Party`], claims that are decided by a transaction's commit.

use std::any::Any;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};

use coheap_segment::{Off, Result, Segment, SlotRecord, Status};
use coheap_slab::Block;

use crate::barrier;
use crate::commit::roll_back;
use crate::core::Core;
use crate::ctx::{Ctx, active};
use crate::mem::{Fault, Guard, Res};
use crate::slot::SlotState;

/// A slot at work: its identity, and blocks.
pub struct Hand<'a> {
    pub(crate) core: &'a mut Core,
    pub(crate) slot: &'a mut SlotState,
}

impl Hand<'_> {
    /// The heap.
    pub fn segment(&self) -> &Segment {
        self.core.segment()
    }
    /// This participant.
    pub fn participant(&self) -> u16 {
        self.core.me()
    }
    /// The slot's number.
    pub fn slot(&self) -> u16 {
        self.slot.id
    }
    /// The slot's shared record.
    pub fn record(&self) -> &SlotRecord {
        self.slot.record
    }
    /// The tag of the attempt that runs or, while the slot is idle, will run next.
    pub fn tag(&self) -> u8 {
        self.slot.tag()
    }
    /// A fresh block (words 0 and 1 set) that belongs to nobody but the caller. While it may be unlinked the slot says
    /// that it is building, until [`Hand::end`] or [`Hand::built`].
    pub fn alloc(&mut self, bytes: u64) -> Result<Block> {
        self.slot.build();
        self.core.alloc.alloc(bytes)
    }
    /// What was allocated is linked or given back.
    pub fn built(&mut self) {
        self.slot.built();
    }
    /// Frees a block that nobody else can reach.
    pub fn free(&mut self, at: Off) -> Result<bool> {
        self.core.alloc.free(at)
    }
    /// Begins a single operation: status DIRECT, visible to all before any later CAS. Gives its tag. Not inside of a
    /// transaction's attempt.
    pub fn begin(&mut self) -> u8 {
        // Whoever recovers us finds no intent, and not the log of the slot's last transaction.
        self.slot.record.intent[0].store(0, Relaxed);
        self.slot.record.locks_len.store(0, Relaxed);
        self.slot.record.redo_len.store(0, Relaxed);
        // A swap, not a store: it is also the full fence before whatever the caller loads next.
        self.slot.record.status.swap(self.slot.status(Status::Direct), AcqRel);
        barrier::fence_after_rmw();
        self.slot.tag()
    }
    /// DIRECT → COMMITTED: all that the operation owns takes effect at this store.
    pub fn decide(&mut self) {
        // Release: its claims come before.
        self.slot.record.status.store(self.slot.status(Status::Committed), Release);
    }
    /// The end of a single operation: nothing in shared memory names its tag any more.
    pub fn end(&mut self) {
        self.slot.built();
        self.slot.go_idle();
    }
}

/// Claims of another floor that live and die with an attempt of a transaction. The calls come in this order: any use
/// by operations, and `check`; then `guards`, `check`, `prepare`, `committed`, or `aborted` after any of them.
pub trait Party: Any {
    /// Step 4: the version words to take in step 5, beyond those that operations have reserved: their versions will
    /// change with the commit.
    fn guards(&self, each: &mut dyn FnMut(Guard));
    /// Is what the operations saw still so? `Aborted` if not. Asked when one more thing was seen ([`Ctx::confirm`]), when
    /// the snapshot moves forward, and in step 5 with C set on all words.
    fn check(&mut self, hand: &mut Hand<'_>) -> Res<()>;
    /// Step 5, after `check`: makes the claims that others judge by the status. `Aborted` if it cannot.
    fn prepare(&mut self, hand: &mut Hand<'_>) -> Res<()>;
    /// Step 7, after the decision and before the version words are released: the claims take effect.
    fn committed(&mut self, hand: &mut Hand<'_>);
    /// Roll-back, status ABORTED: the claims are taken back. Also called for an attempt that never prepared.
    fn aborted(&mut self, hand: &mut Hand<'_>);
}

impl Ctx {
    /// The own slot, for a single operation of another kind. `None` inside a transaction: there it is a party's business.
    pub fn hand(&mut self) -> Option<Hand<'_>> {
        if self.ambient.is_some() {
            return None;
        }
        Some(Hand { core: &mut self.core, slot: &mut self.own.slot })
    }

    /// One operation of the ambient transaction on its party of type `P`, which is made at its first use in an attempt.
    /// The party undoes itself what an operation that fails has done. `Aborted`: so is the attempt.
    pub fn with_party<P: Party + Default, T>(
        &mut self,
        f: impl FnOnce(&mut P, &mut Hand<'_>) -> Res<T>,
    ) -> Res<T> {
        let Some(i) = self.ambient else { return Err(Fault::Aborted) };
        let Ctx { own, explicit, core, .. } = self;
        let t = active(own, explicit, i)?;
        t.step();
        let result = if t.stands() {
            let found = t.parties.iter().position(|p| {
                let p: &dyn Any = &**p;
                p.is::<P>()
            });
            let at = found.unwrap_or_else(|| {
                t.parties.push(Box::new(P::default()));
                t.parties.len() - 1
            });
            let party: &mut dyn Any = &mut *t.parties[at];
            match party.downcast_mut::<P>() {
                Some(party) => f(party, &mut Hand { core, slot: &mut t.slot }),
                None => Err(Fault::Aborted),
            }
        } else {
            Err(Fault::Aborted)
        };
        t.slot.built();
        if let Err(Fault::Aborted) = result {
            roll_back(core, t, true);
            self.forget_pending();
        }
        result
    }

    /// An operation on a party has shown something: was all that the ambient transaction has seen so far still so at that
    /// moment? If it was, its body sees one state of the heap. `Aborted` if not; so is the attempt.
    pub fn confirm(&mut self) -> Res<()> {
        let Some(i) = self.ambient else { return Err(Fault::Aborted) };
        // after the look at the party: what is still so now was so then
        self.look_again(i, |m| m.validate().and_then(|()| m.check_parties()))
    }
}
