//! What the floors take from the machine to meet each other: atomics, fences, pauses, the clock.
//!
//! Every word of a segment is one of these atomics, so that a model checker can stand in for the machine. In a normal
//! build the names below *are* those of the standard library. Under the feature `loom` or `shuttle`, which only
//! `crates/interleavings` turns on, each access of a segment asks the checker first: see `model`. What belongs to one
//! process (a counter in a test, the cached length of the mapping) stays with the standard library.

#[cfg(any(feature = "loom", feature = "shuttle"))]
pub mod model;

#[cfg(any(feature = "loom", feature = "shuttle"))]
pub use model::{AtomicU32, AtomicU64, Instant, Mutex, RMW_IS_A_FENCE, fence, sleep, spin_loop, spins};
#[cfg(any(feature = "loom", feature = "shuttle"))]
pub(crate) use model::{monotonic_ms, sleep_for_ring, wake_sleeper};

#[cfg(not(any(feature = "loom", feature = "shuttle")))]
mod machine {
    pub use std::hint::spin_loop;
    pub use std::sync::Mutex;
    pub use std::sync::atomic::{AtomicU32, AtomicU64, fence};
    pub use std::thread::sleep;
    pub use std::time::{Duration, Instant};

    /// A read-modify-write instruction is a full fence as well.
    pub const RMW_IS_A_FENCE: bool = cfg!(target_arch = "x86_64");

    /// Pauses ([`spin_loop`]) for which it is worth waiting for somebody in the middle of a few microseconds' work.
    #[inline(always)]
    pub fn spins() -> u32 {
        128
    }

    pub(crate) fn monotonic_ms() -> u64 {
        <crate::os::System as crate::os::Os>::monotonic_ms()
    }

    /// Runs `sleep`, which sleeps until `_bell` no longer reads `_expected` or the timeout is over.
    #[inline(always)]
    pub(crate) fn sleep_for_ring(
        _bell: &AtomicU32,
        _expected: u32,
        _timeout: Duration,
        sleep: impl FnOnce(),
    ) {
        sleep();
    }

    /// Runs `wake`, which wakes who sleeps at `_bell`.
    #[inline(always)]
    pub(crate) fn wake_sleeper(_bell: &AtomicU32, wake: impl FnOnce()) {
        wake();
    }
}

#[cfg(not(any(feature = "loom", feature = "shuttle")))]
pub use machine::{AtomicU32, AtomicU64, Instant, Mutex, RMW_IS_A_FENCE, fence, sleep, spin_loop, spins};
#[cfg(not(any(feature = "loom", feature = "shuttle")))]
pub(crate) use machine::{monotonic_ms, sleep_for_ring, wake_sleeper};

#[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
mod tests {
    use std::any::TypeId;
    use std::sync::atomic;

    /// So it costs nothing, and no code can behave in another way with it than without.
    #[test]
    fn in_a_normal_build_these_are_the_names_of_the_standard_library() {
        assert_eq!(TypeId::of::<super::AtomicU64>(), TypeId::of::<atomic::AtomicU64>());
        assert_eq!(TypeId::of::<super::AtomicU32>(), TypeId::of::<atomic::AtomicU32>());
        assert_eq!(TypeId::of::<super::Mutex<()>>(), TypeId::of::<std::sync::Mutex<()>>());
        assert_eq!(TypeId::of::<super::Instant>(), TypeId::of::<std::time::Instant>());
    }
}
