//! The end of other processes, on Linux: pidfds in one `poll`, with an eventfd to be interrupted by.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::{Code, Error, Result};

/// Waits for the end of processes.
pub(crate) struct DeathWatch {
    interrupt: File,
    /// By the caller's key; `None`: there is no such process that could be watched.
    fds: Mutex<HashMap<u64, Option<OwnedFd>>>,
}

impl DeathWatch {
    pub(crate) fn new() -> Result<DeathWatch> {
        // SAFETY: a plain system call; the descriptor, if there is one, is ours alone.
        let interrupt = unsafe {
            match libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) {
                -1 => {
                    let error = std::io::Error::last_os_error();
                    return Err(Error::system(
                        Code::OutOfMemory,
                        "no descriptor to watch processes with",
                        &error,
                    ));
                }
                fd => File::from_raw_fd(fd),
            }
        };
        Ok(DeathWatch { interrupt, fds: Mutex::default() })
    }

    /// Waits until one of the processes {key, pid} has ended, or somebody interrupts, or `max` is over. Gives the keys of those
    /// that have ended; they are not watched again. A pid of another namespace may be nobody's, or a stranger's: then
    /// there is nothing to wait for, or a wake for nothing, once.
    pub(crate) fn wait(&self, processes: &[(u64, u32)], max: Duration) -> Vec<u64> {
        let mut fds = self.fds.lock().unwrap_or_else(PoisonError::into_inner);
        fds.retain(|key, _| processes.iter().any(|(other, _)| other == key));
        for &(key, pid) in processes {
            fds.entry(key).or_insert_with(|| pidfd(pid));
        }
        let watched: Vec<(u64, i32)> =
            fds.iter().filter_map(|(key, fd)| Some((*key, fd.as_ref()?.as_raw_fd()))).collect();
        let entry = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut polled: Vec<libc::pollfd> = std::iter::once(self.interrupt.as_raw_fd())
            .chain(watched.iter().map(|(_, fd)| *fd))
            .map(entry)
            .collect();
        let timeout = max.as_millis().min(i32::MAX as u128) as i32;
        // SAFETY: an array of that many entries, of descriptors that stay open while `fds` is locked.
        unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout) };
        if polled[0].revents != 0 {
            let _ = (&self.interrupt).read(&mut [0; 8]);
        }
        let ended: Vec<u64> = watched
            .iter()
            .zip(&polled[1..])
            .filter(|(_, p)| p.revents != 0)
            .map(|((key, _), _)| *key)
            .collect();
        for key in &ended {
            fds.insert(*key, None);
        }
        ended
    }

    /// Ends a wait, the present or the next.
    pub(crate) fn interrupt(&self) {
        // cannot fail but by a full counter, and then it is readable
        let _ = (&self.interrupt).write(&1u64.to_ne_bytes());
    }
}

fn pidfd(pid: u32) -> Option<OwnedFd> {
    // SAFETY: a plain system call; the descriptor, if there is one, is ours alone (and closed on exec).
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0u32);
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd as i32))
    }
}
