//! Clocks that all processes share, and what a thread has waited for a processor.

use std::fs::File;
use std::os::unix::fs::FileExt;

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is ours to be written.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds, the same for all processes.
pub fn now() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds that this thread was running, or ready to and without a processor (as far as the system tells).
pub struct Busy(Option<File>);

impl Busy {
    pub fn new() -> Busy {
        Busy(File::open("/proc/thread-self/schedstat").ok())
    }

    pub fn now(&self) -> u64 {
        // nanoseconds on a processor, nanoseconds on its queue, slices
        let mut text = [0; 64];
        let queued = self.0.as_ref().and_then(|file| {
            let n = file.read_at(&mut text, 0).ok()?;
            std::str::from_utf8(&text[..n]).ok()?.split(' ').nth(1)?.parse().ok()
        });
        read(libc::CLOCK_THREAD_CPUTIME_ID) + queued.unwrap_or(0)
    }
}
