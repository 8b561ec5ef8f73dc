//! [`Segment`]: the mapping, its bounds, and typed access to its tables.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::layout::*;
use crate::{Error, Off, Result};

/// One mapped heap. Every thread of a process that opens the same heap shares one `Segment`.
pub struct Segment {
    base: *mut u8,
    plan: Plan,
    /// What `committed` was when we last looked: it only grows.
    committed: AtomicU64,
    /// How often each of this process's participants is in each waiter bucket.
    waits: Mutex<HashMap<(u16, u8), u32>>,
}

// SAFETY: all access goes through atomics at checked offsets; `base` and `plan` never change.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

impl Segment {
    /// A segment that only this process sees, for tests and benchmarks of the floors above. All of it is
    /// usable at once; the tables are zero, as in a fresh named one.
    pub fn anonymous(max_size: u64, max_participants: u32) -> Result<Arc<Segment>> {
        let plan = Plan::new(max_size, max_participants);
        // SAFETY: a fresh anonymous mapping; nothing else refers to it.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                plan.max_size as usize,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(Error::new(crate::Code::OutOfMemory, "cannot map an anonymous segment"));
        }
        let seg = Segment {
            base: base.cast(),
            plan,
            committed: AtomicU64::new(plan.max_size),
            waits: Mutex::default(),
        };
        seg.format();
        Ok(Arc::new(seg))
    }

    fn format(&self) {
        let h = self.header();
        h.max_size.store(self.plan.max_size, Ordering::Relaxed);
        h.commit_step.store(self.plan.commit_step, Ordering::Relaxed);
        h.counts.store(self.plan.max_participants as u64 | (self.plan.slots as u64) << 32, Ordering::Relaxed);
        h.processes.store(self.plan.processes, Ordering::Relaxed);
        h.participants.store(self.plan.participants, Ordering::Relaxed);
        h.slots.store(self.plan.slot_table, Ordering::Relaxed);
        h.waiters.store(self.plan.waiters, Ordering::Relaxed);
        h.directory.store(self.plan.directory, Ordering::Relaxed);
        h.data.store(self.plan.data, Ordering::Relaxed);
        h.hash_seed.store(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        h.clock.store(1, Ordering::Relaxed);
        h.ages.store(1, Ordering::Relaxed);
        h.committed.store(self.committed.load(Ordering::Relaxed), Ordering::Relaxed);
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
        self.committed.fetch_max(now, Ordering::Relaxed);
        self.committed()
    }

    /// Commits the segment up to at least `end` bytes. `ERR_COHEAP_OUT_OF_MEMORY` beyond `max_size` or when
    /// the system has no more.
    pub fn grow_to(&self, end: Off) -> Result<()> {
        if end <= self.refresh_committed() {
            return Ok(());
        }
        Err(Error::about(crate::Code::OutOfMemory, "the heap is full", self.plan.max_size))
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
        assert!(at & 7 == 0 && at < self.plan.data);
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
        // SAFETY: we made this mapping, and nobody can use it any more: every reference into it borrows us.
        unsafe { libc::munmap(self.base.cast(), self.plan.max_size as usize) };
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
}
