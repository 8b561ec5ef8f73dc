//! The collector's barrier, and the fences that its handshake relies on.
//!
//! While a collector marks, whoever changes a reference shades the old and the new one. Every store of a shared
//! cell passes through [`stored`]: the single store of a direct operation, the apply phase of a commit and of a
//! recovery. There is no collector yet, so there is nothing to shade; the place exists so that no container
//! ever has to know.

use std::sync::atomic::{Ordering, compiler_fence};

use coheap_segment::Off;
use coheap_segment::primitive::{RMW_IS_A_FENCE, fence};

/// A shared cell at `at` is about to change to `_new`: called under C = 1, right before the store.
#[inline(always)]
pub(crate) fn stored(_at: Off, _new: u64) {}

/// A full fence right after a read-modify-write of a shared word.
///
/// Two protocols need it (both of the shape "I publish, then I look at what you have published"): C = 1 before
/// the look at the clock and at others' words, and C = 1 before the look at the collector's phase. On x86-64 the
/// locked instruction before is that fence already, so only the compiler has to be held back (a second fence
/// would cost 8 ns of the 11 that a single write takes); elsewhere it is a real one.
#[inline(always)]
pub(crate) fn fence_after_rmw() {
    if RMW_IS_A_FENCE {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}
