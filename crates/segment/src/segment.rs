//! [`Segment`]: the mapping, its bounds, and typed access to its tables.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use crate::layout::*;
use crate::os::{Os, System};
use crate::presence::Presence;
use crate::primitive::{AtomicU64, Mutex};
use crate::word::{FIRST_VERSION, LAST_VERSION};
use crate::{Code, Error, Off, Result};

/// Bytes of a read-only window: Node 20 allows 4 GiB an ArrayBuffer, and no slab lies across two.
pub const WINDOW: u64 = (4 << 30) - SLAB;
const _: () = assert!(WINDOW.is_multiple_of(SLAB) && WINDOW <= 1 << 32);

/// One mapped heap. Every thread of a process that opens the same heap shares one `Segment`.
pub struct Segment {
    base: *mut u8,
    plan: Plan,
    /// What `committed` was when we last looked: it only grows.
    committed: AtomicU64,
    name: String,
    persist: bool,
    /// This process's row of the process table while it is present (see `presence`).
    pub(crate) member: AtomicU64,
    pub(crate) presence: Mutex<Presence>,
    /// How often each of this process's participants is in each waiter bucket.
    waits: Mutex<HashMap<(u16, u8), u32>>,
    windows: Mutex<HashMap<usize, Window>>,
    /// Owns the mapping: dropped last.
    pub(crate) object: System,
}

struct Window {
    base: *const u8,
    len: u64,
    _mapping: <System as Os>::Window,
}

// SAFETY: all access goes through atomics at checked offsets; `base` and `plan` never change, a window's mapping
// lives as long as the segment, and the object's calls may be made by any thread.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

impl Segment {
    /// A segment that only this process sees, for tests and benchmarks of the floors above. All of it is
    /// usable at once; the tables are zero, as in a fresh named one.
    pub fn anonymous(max_size: u64, max_participants: u32) -> Result<Arc<Segment>> {
        let plan = Plan::new(max_size, max_participants);
        let object = System::anonymous(plan.max_size)?;
        let segment = Segment::over(object, plan, String::new(), false, plan.max_size);
        segment.format(plan.max_size);
        segment.header().hash_seed.store(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        Ok(segment)
    }

    /// A segment over a mapped object, of which `committed` bytes are known to be allocated.
    pub(crate) fn over(
        object: System,
        plan: Plan,
        name: String,
        persist: bool,
        committed: u64,
    ) -> Arc<Segment> {
        Arc::new(Segment {
            base: object.base(),
            plan,
            committed: AtomicU64::new(committed),
            name,
            persist,
            member: AtomicU64::new(0),
            presence: Mutex::default(),
            waits: Mutex::default(),
            windows: Mutex::default(),
            object,
        })
    }

    /// Fills the header of a fresh segment, all but the magic word and what only named ones have.
    pub(crate) fn format(&self, committed: u64) {
        for (at, value) in self.plan.header_words() {
            self.table_word(at as Off).store(value, Ordering::Relaxed);
        }
        let h = self.header();
        h.clock.store(FIRST_VERSION, Ordering::Relaxed);
        h.ages.store(1, Ordering::Relaxed);
        h.committed.store(committed, Ordering::Relaxed);
        self.committed.store(committed, Ordering::Relaxed);
    }

    /// The heap's name; empty for an anonymous one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// It survives its last user.
    pub fn is_persistent(&self) -> bool {
        self.persist
    }

    pub(crate) fn is_named_segment(&self) -> bool {
        !self.name.is_empty()
    }

    /// A second, read-only mapping of bytes [`index` × [`WINDOW`], …) of the reserved size: its address and
    /// length, the same at each call. It lives as long as the segment. A read beyond what is committed can
    /// be fatal: compare each offset with [`Segment::committed`] first. `ERR_COHEAP_INVALID_ARGUMENT` beyond the
    /// end.
    pub fn window(&self, index: usize) -> Result<(*const u8, u64)> {
        let at = (index as u64).saturating_mul(WINDOW);
        if at >= self.plan.max_size {
            return Err(Error::about(
                Code::InvalidArgument,
                "a window beyond the end of the heap",
                index as u64,
            ));
        }
        // a panic cannot leave it half done: an entry is complete or absent
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = windows.get(&index) {
            return Ok((window.base, window.len));
        }
        let len = WINDOW.min(self.plan.max_size - at);
        let (base, _mapping) = self.object.map_ro(at, len)?;
        windows.insert(index, Window { base, len, _mapping });
        Ok((base, len))
    }

    /// Where the tables stand.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The first page.
    pub fn header(&self) -> &Header {
        // SAFETY: the first page is committed before a `Segment` exists and never goes away; all its fields
        // are atomics, so another process may write them at any time.
        unsafe { &*self.base.cast::<Header>() }
    }

    /// Bytes that are really allocated. Every offset must lie below.
    #[inline]
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// Looks again how far the segment has been committed, by anyone.
    #[cold]
    pub fn refresh_committed(&self) -> u64 {
        // Acquire pairs with the CAS-max of the grower: the pages below are allocated.
        let now = self.header().committed.load(Ordering::Acquire).min(self.plan.max_size);
        // a damaged word must not send us into a hole: ask the system, once for each growth
        if now > self.committed() && self.object.has_allocated(now) {
            self.committed.fetch_max(now, Ordering::Relaxed);
        }
        self.committed()
    }

    /// The error of a heap in which there is no more room, and which cannot grow.
    #[cold]
    pub fn full(&self) -> Error {
        Error::bytes(Code::OutOfMemory, "the heap is full up to its maxSize", self.plan.max_size)
    }

    /// Commits the segment up to at least `end` bytes. `ERR_COHEAP_OUT_OF_MEMORY` beyond `max_size` or when
    /// the system has no more. Takes no lock; the system call takes 1 to 3 ms for 4 MiB.
    pub fn grow_to(&self, end: Off) -> Result<()> {
        if end > self.plan.max_size {
            return Err(self.full());
        }
        let mut from = self.refresh_committed();
        while from < end {
            // Several may commit the same step at once: allocating twice does nothing.
            let to = (from + 1).next_multiple_of(self.plan.commit_step).min(self.plan.max_size);
            self.object.commit(from, to)?;
            // Release pairs with the load in `refresh_committed`.
            self.header().committed.fetch_max(to, Ordering::Release);
            self.committed.fetch_max(to, Ordering::Relaxed);
            from = self.committed();
        }
        Ok(())
    }

    /// The version clock; [`LAST_VERSION`] if the word says more, so that what is added to it cannot overflow.
    #[inline(always)]
    pub fn clock(&self) -> u64 {
        // Acquire pairs with the AcqRel of those that advance it: their C's are seen by loads that follow.
        self.header().clock.load(Ordering::Acquire).min(LAST_VERSION)
    }

    /// True if `len` bytes at `at` are allocated.
    #[inline]
    pub fn holds(&self, at: Off, len: u64) -> bool {
        match at.checked_add(len) {
            Some(end) => end <= self.committed() || end <= self.refresh_committed(),
            None => false,
        }
    }

    /// The 64-bit word at `at`, an offset that may have come out of shared memory: aligned and allocated, or
    /// `ERR_COHEAP_CORRUPT`.
    #[inline]
    pub fn word(&self, at: Off) -> Result<&AtomicU64> {
        if at & 7 == 0 && self.holds(at, 8) {
            // SAFETY: aligned, inside the allocated part of the mapping, which never shrinks; an atomic may be
            // written by another process at any time.
            Ok(unsafe { &*self.base.add(at as usize).cast::<AtomicU64>() })
        } else {
            Err(Error::corrupt("an offset outside of the heap", at))
        }
    }

    /// Asks the processor for the cache line at `at`, which another one may have and which will be used soon. Does nothing
    /// more, whatever `at` is.
    #[inline]
    pub fn prefetch(&self, at: Off) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a hint: nothing is loaded, and an address that is not mapped is no fault.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.base.wrapping_add(at as usize).cast::<i8>()) }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }

    /// `len` bytes at `at` for byte-wise copies (blobs, strings), checked as [`Segment::word`].
    ///
    /// Another process may write them at any time: use only raw copies or atomics, never a slice.
    #[inline]
    pub fn bytes(&self, at: Off, len: u64) -> Result<*mut u8> {
        if self.holds(at, len) {
            // SAFETY: inside the mapping.
            Ok(unsafe { self.base.add(at as usize) })
        } else {
            Err(Error::corrupt("bytes outside of the heap", at))
        }
    }

    pub(crate) fn waits(&self) -> MutexGuard<'_, HashMap<(u16, u8), u32>> {
        // nothing panics while it is held; were it so, the counts would still be whole
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A word of the tables, at an offset made from the plan.
    #[inline]
    pub(crate) fn table_word(&self, at: Off) -> &AtomicU64 {
        debug_assert!(at & 7 == 0 && at < self.plan.data);
        // SAFETY: the tables are committed before a `Segment` exists; in bounds, aligned, and atomic.
        unsafe { &*self.base.add(at as usize).cast::<AtomicU64>() }
    }

    /// Row `id` of the participant table, 1 ≤ `id` ≤ `max_participants`.
    pub fn participant(&self, id: u16) -> &ParticipantRecord {
        assert!(id >= 1 && id as u32 <= self.plan.max_participants, "participant id {id}");
        let at = self.plan.participants + (id as u64 - 1) * size_of::<ParticipantRecord>() as u64;
        // SAFETY: the tables are committed before a `Segment` exists; the row is in bounds and all atomics.
        unsafe { &*self.base.add(at as usize).cast::<ParticipantRecord>() }
    }

    /// Row `id` of the slot table, 1 ≤ `id` ≤ `slots`; `None` for an id out of that range (it may have come
    /// out of shared memory).
    #[inline]
    pub fn slot(&self, id: u16) -> Option<&SlotRecord> {
        if id == 0 || id as u32 > self.plan.slots {
            return None;
        }
        let at = self.plan.slot_table + (id as u64 - 1) * size_of::<SlotRecord>() as u64;
        // SAFETY: the tables are committed before a `Segment` exists; the row is in bounds and all atomics.
        Some(unsafe { &*self.base.add(at as usize).cast::<SlotRecord>() })
    }

    /// Row `index` of the process table.
    pub fn process(&self, index: usize) -> &ProcessRecord {
        assert!(index < MAX_PROCESSES);
        let at = self.plan.processes as usize + index * size_of::<ProcessRecord>();
        // SAFETY: the tables are committed before a `Segment` exists; the row is in bounds and all atomics.
        unsafe { &*self.base.add(at).cast::<ProcessRecord>() }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.leave_for_good();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_checked() {
        let sut = Segment::anonymous(1 << 20, 4).unwrap();
        assert!(sut.word(sut.plan().data).is_ok());
        assert!(sut.word(sut.plan().data + 4).is_err());
        assert!(sut.word(1 << 20).is_err());
        assert!(sut.word(u64::MAX - 7).is_err());
    }
    #[test]
    fn a_window_shows_what_is_written_and_cannot_be_asked_for_beyond_the_end() {
        let sut = Segment::anonymous(1 << 20, 4).unwrap();
        let at = sut.plan().data;
        let (window, len) = sut.window(0).unwrap();
        assert_eq!((len, sut.window(0).unwrap().0), (1 << 20, window));
        sut.word(at).unwrap().store(42, Ordering::Relaxed);
        // SAFETY: inside the window, whose memory is all usable.
        assert_eq!(unsafe { window.add(at as usize).cast::<u64>().read_volatile() }, 42);
        assert_eq!(sut.window(1).unwrap_err().code, Code::InvalidArgument);
    }
}
