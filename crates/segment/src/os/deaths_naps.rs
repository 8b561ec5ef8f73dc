//! The end of other processes where nobody tells of it: naps, after which the caller looks.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::Result;

/// What a death may take to be noticed.
const NAP: Duration = Duration::from_millis(50);

/// Waits for the end of processes.
pub(crate) struct DeathWatch {
    interrupted: Mutex<bool>,
    changed: Condvar,
}

impl DeathWatch {
    pub(crate) fn new() -> Result<DeathWatch> {
        Ok(DeathWatch { interrupted: Mutex::new(false), changed: Condvar::new() })
    }

    /// A nap. Tells of no ends.
    pub(crate) fn wait(&self, _: &[(u64, u32)], max: Duration) -> Vec<u64> {
        let interrupted = self.interrupted.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut interrupted, _) = self
            .changed
            .wait_timeout_while(interrupted, max.min(NAP), |interrupted| !*interrupted)
            .unwrap_or_else(PoisonError::into_inner);
        *interrupted = false;
        Vec::new()
    }

    /// Ends a wait, the present or the next.
    pub(crate) fn interrupt(&self) {
        *self.interrupted.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}
