//! [`BuildMem`]: blocks made ahead of the operation that will link them (a JavaScript value is copied in before the
//! store that puts it somewhere). Nobody knows them, so everything is plain; loads reach only them and tables that
//! never change.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use coheap_segment::primitive::fence;
use coheap_segment::{Code, Error, Off, Segment, Word};

use crate::core::Core;
use crate::mem::{Block, Fault, Guard, Mem, Res};
use crate::slot::{SlotState, copy_in, copy_out, init64};

/// See the module.
pub struct BuildMem<'a> {
    pub(crate) core: &'a mut Core,
    pub(crate) slot: &'a mut SlotState,
}

impl Mem for BuildMem<'_> {
    fn segment(&self) -> &Segment {
        self.core.segment()
    }
    fn load64(&mut self, _: Guard, at: Off) -> Res<u64> {
        // Acquire: the insert-only tables publish their entries with a Release
        Ok(self.core.segment().word(at)?.load(Acquire))
    }
    fn store64(&mut self, _: Guard, at: Off, value: u64) -> Res<()> {
        debug_assert!(self.slot.fresh.find(at).is_some(), "a store outside of what is being built: {at:#x}");
        self.core.segment().word(at)?.store(value, Relaxed);
        Ok(())
    }
    fn observe(&mut self, _: Guard) -> Res<()> {
        Ok(())
    }
    fn reserve(&mut self, guard: Guard) -> Res<()> {
        if self.slot.fresh.find(guard.0).is_some() {
            return Ok(());
        }
        Err(Fault::Error(Error::about(Code::InvalidArgument, "a change of what is not being built", guard.0)))
    }
    fn version(&mut self, guard: Guard) -> Res<u64> {
        Ok(Word(self.core.segment().word(guard.0)?.load(Acquire)).version())
    }
    fn alloc(&mut self, bytes: u64) -> Res<Block> {
        Ok(self.slot.alloc(self.core, bytes)?)
    }
    fn init64(&mut self, at: Off, value: u64) {
        init64(self.core, at, value);
    }
    fn finish(&mut self, at: Off, kind: u8, flags: u8, low: u32) {
        self.slot.finish(self.core, at, kind, flags, low);
    }
    fn publish(&mut self, at: Off) {
        self.slot.forget_fresh(self.core, at);
    }
    fn free(&mut self, at: Off) {
        self.slot.frees.push(at);
    }

    fn load_bytes(&mut self, _: Guard, at: Off, out: &mut [u8]) -> Res<()> {
        fence(Acquire);
        Ok(copy_out(self.core.segment(), at, out)?)
    }

    fn init_bytes(&mut self, at: Off, bytes: &[u8]) {
        copy_in(self.core.segment(), at, bytes);
    }
}
