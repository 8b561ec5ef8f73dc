//! A process beside the traced one, which does a piece of work and says how it ended.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// What a helper has found: something to hand on, or what is wrong.
pub type Answer = Result<String, String>;

/// A forked process. Killed when dropped, if it still lives.
pub struct Helper {
    pid: libc::pid_t,
    go: PipeWriter,
    out: PipeReader,
}

/// Longer than any step of a helper takes, on a busy machine too: one that says nothing for so long never will.
const PATIENCE: Duration = Duration::from_secs(300);

const READY: u8 = b'r';
const FINE: u8 = b'f';
const WRONG: u8 = b'w';

impl Helper {
    /// Forks a process that does the work. The work may stop, once or more, until [`Helper::go`], by calling what it is
    /// given. The calling process must have one thread.
    pub fn spawn(work: impl FnOnce(&mut dyn FnMut() -> u8) -> Answer) -> io::Result<Helper> {
        let (wait, go) = io::pipe()?;
        let (out, say) = io::pipe()?;
        let parent = std::process::id();
        // SAFETY: this process has one thread, so its child finds no lock held by a thread that it does not have.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                drop((go, out));
                be(parent, wait, say, work);
                // SAFETY: ends this process, and runs nothing of its parent's.
                unsafe { libc::_exit(0) }
            }
            pid => Ok(Helper { pid, go, out }),
        }
    }

    /// Waits until it has stopped; else what it had to say.
    pub fn ready(&mut self) -> Result<(), Answer> {
        if !self.has_spoken(PATIENCE) {
            return Err(Err("a helper that does not get ready".to_owned()));
        }
        let mut kind = [0];
        match self.out.read_exact(&mut kind) {
            Ok(()) if kind[0] == READY => Ok(()),
            Ok(()) => Err(self.rest(kind[0])),
            Err(error) => Err(Err(format!("a helper that has died: {error}"))),
        }
    }

    /// Lets it go on, and gives it a byte.
    pub fn go(&mut self, byte: u8) {
        // it has died: its answer will tell
        let _ = self.go.write_all(&[byte]);
    }

    /// Whether it has something to say, within this time.
    pub fn has_spoken(&self, within: Duration) -> bool {
        let mut wait = libc::pollfd { fd: self.out.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let ms = libc::c_int::try_from(within.as_millis()).unwrap_or(libc::c_int::MAX);
        loop {
            // SAFETY: one entry, which outlives the call.
            match unsafe { libc::poll(&mut wait, 1, ms) } {
                -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                n => return n > 0,
            }
        }
    }

    /// What it has to say at the end. Waits for it.
    pub fn answer(mut self) -> Answer {
        if !self.has_spoken(PATIENCE) {
            return Err("it hangs".to_owned());
        }
        let mut kind = [0];
        match self.out.read_exact(&mut kind) {
            Ok(()) => self.rest(kind[0]),
            Err(error) => Err(format!("it has died: {error}")),
        }
    }

    fn rest(&mut self, kind: u8) -> Answer {
        let mut text = String::new();
        self.out.read_to_string(&mut text).map_err(|error| error.to_string())?;
        if kind == FINE { Ok(text) } else { Err(text) }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // SAFETY: our own child, which has not been waited for: the number is still its.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

fn be(
    parent: u32,
    mut wait: PipeReader,
    say: PipeWriter,
    work: impl FnOnce(&mut dyn FnMut() -> u8) -> Answer,
) {
    // SAFETY: it dies with its parent, which may be dead already.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    if std::os::unix::process::parent_id() != parent {
        return;
    }
    let Ok(mut stop_says) = say.try_clone() else { return };
    let Ok(panic_says) = say.try_clone() else { return };
    std::panic::set_hook(Box::new(move |panic| {
        let mut say = &panic_says;
        let _ = say.write_all(&[WRONG]);
        let _ = write!(say, "{panic}");
    }));
    let mut stop = || {
        let mut byte = [0];
        // the parent has gone: so shall we
        if stop_says.write_all(&[READY]).is_err() || wait.read_exact(&mut byte).is_err() {
            // SAFETY: ends this process.
            unsafe { libc::_exit(1) }
        }
        byte[0]
    };
    // a panic has been told by the hook
    if let Ok(answer) = std::panic::catch_unwind(AssertUnwindSafe(|| work(&mut stop))) {
        let (kind, text) = match answer {
            Ok(text) => (FINE, text),
            Err(text) => (WRONG, text),
        };
        let mut say = say;
        let _ = say.write_all(&[kind]);
        let _ = say.write_all(text.as_bytes());
    }
}
