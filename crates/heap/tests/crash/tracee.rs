//! A process that is stopped where its tracer wants it: between any two of its machine instructions.
//!
//! **What others can see of it.** A process that dies leaves its stores to shared memory and what it has asked the kernel
//! for; the kernel takes back its locks. Two deaths with only private instructions between them are the same death for
//! everybody else. So the instructions that count, its *events*, are those that write to the segment, and system
//! calls. Events are caught without stepping through what lies between: the segment is write-protected in the traced
//! process, which stops at each store with a fault; its tracer lifts the protection for one instruction. Any boundary is
//! named by a [`Point`]: so many events, then so many single steps.
//!
//! The tracer makes the traced process call `mprotect` by pointing it at a `syscall` instruction for one step. Both are
//! one program, forked, so that instruction is at the same address in both.

use std::ffi::c_void;
use std::io;
use std::os::unix::process::parent_id;
use std::panic::AssertUnwindSafe;

use libc::{c_int, c_uint, pid_t, user_regs_struct};

/// Exit code: this system does not let us trace.
const NOT_PERMITTED: i32 = 77;
/// Exit code: it panicked, and has said so.
const PANICKED: i32 = 101;

std::arch::global_asm!(".globl coheap_crash_syscall", "coheap_crash_syscall:", "syscall", "int3",);
unsafe extern "C" {
    fn coheap_crash_syscall();
}

/// Stops the traced process: here the operation begins, and here it has ended.
fn marker() {
    // SAFETY: a breakpoint; the tracer, without whom no code comes here, lets the process go on behind it.
    unsafe { std::arch::asm!("int3") }
}

/// A place between two instructions of an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// So many events are over.
    pub events: usize,
    /// So many instructions follow them. `None`: up to the next event, or the end.
    pub steps: Option<usize>,
}

impl Point {
    /// Right before event `n` (from 0), or at the end.
    pub fn before(n: usize) -> Point {
        Point { events: n, steps: None }
    }
}

/// Where a run has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// The point. The process is stopped there.
    Point,
    /// The operation is over, after so many events. The process is stopped there.
    End(usize),
}

/// Why the process has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// A marker, or one step is done.
    Trap,
    /// Before or after a system call.
    Call,
    /// A store to this address.
    Fault(u64),
    /// Something else was sent to it.
    Signal(c_int),
    Exited(c_int),
    Killed(c_int),
}

/// What cannot be traced.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The system does not let us.
    NotPermitted,
    /// The traced process did what it should not.
    Wrong(String),
}

/// A failure of that kind.
pub fn wrong<T>(what: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Wrong(what.into()))
}

/// A traced process. Killed when dropped, if it still lives.
pub struct Tracee {
    pid: pid_t,
    /// The segment's file.
    path: String,
    /// Where it is mapped.
    ranges: Vec<(u64, u64)>,
    /// It is stopped before this event.
    before: Option<Event>,
    gone: bool,
}

/// What others can notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Store,
    /// A system call of this number.
    Call(i64),
}

impl Tracee {
    /// Forks a process that calls `start`, and stops where what that returns, the operation, begins. The operation's result
    /// is the exit code of the process. The calling process must have one thread.
    pub fn spawn(path: &str, start: impl FnOnce() -> Box<dyn FnMut() -> u8>) -> Result<Tracee, Failure> {
        let parent = std::process::id();
        // SAFETY: this process has one thread, so its child finds no lock held by a thread that it does not have.
        match unsafe { libc::fork() } {
            -1 => wrong(format!("no more processes: {}", io::Error::last_os_error())),
            0 => {
                let code = std::panic::catch_unwind(AssertUnwindSafe(|| {
                    if !allow_tracing(parent) {
                        return NOT_PERMITTED;
                    }
                    let mut operation = start();
                    marker();
                    let result = operation();
                    marker();
                    i32::from(result)
                }));
                // SAFETY: ends this process, and runs nothing of its parent's.
                unsafe { libc::_exit(code.unwrap_or(PANICKED)) }
            }
            pid => {
                let mut tracee =
                    Tracee { pid, path: path.to_owned(), ranges: Vec::new(), before: None, gone: false };
                tracee.begin()?;
                Ok(tracee)
            }
        }
    }

    fn begin(&mut self) -> Result<(), Failure> {
        match self.wait() {
            Stop::Signal(libc::SIGSTOP) => {}
            Stop::Exited(NOT_PERMITTED) => return Err(Failure::NotPermitted),
            other => return wrong(format!("a process that did not begin: {other:?}")),
        }
        self.request(libc::PTRACE_SETOPTIONS, libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACESYSGOOD)?;
        match self.go_on(libc::PTRACE_CONT)? {
            Stop::Trap => self.protect(),
            other => wrong(format!("it did not come to the operation: {other:?}")),
        }
    }

    /// Lets the operation go on to a point, counted from its beginning.
    pub fn run_to(&mut self, point: Point) -> Result<Reached, Failure> {
        let mut n = 0;
        loop {
            if n == point.events
                && let Some(steps) = point.steps
            {
                return self.step(steps).map(|()| Reached::Point);
            }
            if !self.next()? {
                return Ok(Reached::End(n));
            }
            if n == point.events {
                return Ok(Reached::Point);
            }
            self.perform()?;
            n += 1;
        }
    }

    /// Lets all of the operation happen, and calls `look` before each event and at the end. How many events.
    pub fn run_through(&mut self, look: &mut dyn FnMut() -> Result<(), Failure>) -> Result<usize, Failure> {
        let mut n = 0;
        while self.next()? {
            look()?;
            self.perform()?;
            n += 1;
        }
        look()?;
        Ok(n)
    }

    /// Steps through all of the operation; says how many instructions come before each event, and before the end. Calls
    /// `look` after each instruction, and tells it whether that was an event.
    pub fn step_through(&mut self, look: &mut dyn FnMut(bool)) -> Result<Vec<usize>, Failure> {
        let mut counts = Vec::new();
        loop {
            let (steps, ended) = self.steps_to_event(look)?;
            counts.push(steps);
            if ended {
                return Ok(counts);
            }
            self.perform()?;
            look(true);
        }
    }

    /// Goes to the next event by single steps: how many, and whether it is the end.
    fn steps_to_event(&mut self, look: &mut dyn FnMut(bool)) -> Result<(usize, bool), Failure> {
        const SYSCALL: u16 = 0x050f;
        const INT3: u8 = 0xcc;
        let mut steps = 0;
        loop {
            let code = self.code()?;
            if code as u16 == SYSCALL {
                self.next()?;
                return Ok((steps, false));
            }
            if code as u8 == INT3 {
                return Ok((steps, true));
            }
            match self.go_on(libc::PTRACE_SINGLESTEP)? {
                Stop::Trap => look(false),
                Stop::Fault(at) if self.is_ours(at) => {
                    self.before = Some(Event::Store);
                    return Ok((steps, false));
                }
                other => return wrong(format!("{other:?} in the operation")),
            }
            steps += 1;
        }
    }

    fn step(&mut self, steps: usize) -> Result<(), Failure> {
        for _ in 0..steps {
            match self.go_on(libc::PTRACE_SINGLESTEP)? {
                Stop::Trap => {}
                other => return wrong(format!("{other:?} instead of a step")),
            }
        }
        Ok(())
    }

    /// To the next event, which has not happened yet; false: the operation has ended.
    fn next(&mut self) -> Result<bool, Failure> {
        self.before = match self.go_on(libc::PTRACE_SYSCALL)? {
            Stop::Fault(at) if self.is_ours(at) => Some(Event::Store),
            Stop::Call => Some(Event::Call(self.registers()?.orig_rax as i64)),
            Stop::Trap => None,
            other => return wrong(format!("{other:?} in the operation")),
        };
        Ok(self.before.is_some())
    }

    /// Lets the event happen that it is stopped before.
    fn perform(&mut self) -> Result<(), Failure> {
        match self.before.take() {
            None => Ok(()),
            Some(Event::Call(number)) => {
                let stop = self.go_on(libc::PTRACE_SYSCALL)?;
                if stop != Stop::Call {
                    return wrong(format!("{stop:?} in system call {number}"));
                }
                match number {
                    libc::SYS_mmap | libc::SYS_munmap | libc::SYS_mremap => self.protect(),
                    _ => Ok(()),
                }
            }
            Some(Event::Store) => {
                self.protect_all(libc::PROT_READ | libc::PROT_WRITE)?;
                let stop = self.go_on(libc::PTRACE_SINGLESTEP)?;
                if stop != Stop::Trap {
                    return wrong(format!("{stop:?} instead of a store"));
                }
                self.protect_all(libc::PROT_READ)
            }
        }
    }

    /// Finds where the segment is mapped, and write-protects it there.
    fn protect(&mut self) -> Result<(), Failure> {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.pid))
            .or_else(|error| wrong(format!("a process without a map: {error}")))?;
        let range = |line: &str| {
            let mut fields = line.split_whitespace();
            let (from, to) = fields.next()?.split_once('-')?;
            let shared = fields.next()?.ends_with('s');
            let ours = fields.nth(3) == Some(&self.path);
            let number = |text| u64::from_str_radix(text, 16).ok();
            (shared && ours).then_some((number(from)?, number(to)?))
        };
        self.ranges = maps.lines().filter_map(range).collect();
        self.protect_all(libc::PROT_READ)
    }

    fn protect_all(&mut self, access: c_int) -> Result<(), Failure> {
        for i in 0..self.ranges.len() {
            let (from, to) = self.ranges[i];
            self.call(libc::SYS_mprotect, [from, to - from, access as u64])?;
        }
        Ok(())
    }

    /// Makes the process do a system call in between.
    fn call(&mut self, number: libc::c_long, arguments: [u64; 3]) -> Result<(), Failure> {
        let saved = self.registers()?;
        let mut registers = saved;
        registers.rip = coheap_crash_syscall as *const () as u64;
        registers.rax = number as u64;
        // it is in no system call that would have to be begun again
        registers.orig_rax = u64::MAX;
        [registers.rdi, registers.rsi, registers.rdx] = arguments;
        self.set_registers(&registers)?;
        let stop = self.go_on(libc::PTRACE_SINGLESTEP)?;
        let result = self.registers()?.rax as i64;
        if stop != Stop::Trap || result != 0 {
            return wrong(format!("a system call in between: {stop:?}, {result}"));
        }
        self.set_registers(&saved)
    }

    fn is_ours(&self, at: u64) -> bool {
        self.ranges.iter().any(|&(from, to)| (from..to).contains(&at))
    }

    /// Kills it where it is stopped: nothing of it happens any more, not even the system call that it is stopped before.
    pub fn kill(mut self) -> Result<(), Failure> {
        if let Some(Event::Call(_)) = self.before {
            let mut registers = self.registers()?;
            // no system call
            registers.orig_rax = u64::MAX;
            self.set_registers(&registers)?;
        }
        match self.end() {
            Stop::Killed(libc::SIGKILL) => Ok(()),
            other => wrong(format!("it should have been killed: {other:?}")),
        }
    }

    /// Lets it go on without being watched, and says how its operation ended.
    pub fn finish(mut self) -> Result<u8, Failure> {
        self.perform()?;
        self.protect_all(libc::PROT_READ | libc::PROT_WRITE)?;
        loop {
            match self.go_on(libc::PTRACE_CONT)? {
                // the marker at the end
                Stop::Trap => {}
                Stop::Exited(code) if code != PANICKED => return Ok(code as u8),
                other => return wrong(format!("{other:?} after it had gone on")),
            }
        }
    }

    fn end(&mut self) -> Stop {
        // SAFETY: our own child, which has not been waited for: the number is still its.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        loop {
            let stop = self.wait();
            if self.gone {
                return stop;
            }
        }
    }

    /// Lets it go on, and waits until it stops again. Stop signals are kept from it: whoever stops a terminal's processes, or a
    /// whole group of them, stops the tracer too, and it is that one who says when the process goes on.
    fn go_on(&mut self, how: c_uint) -> Result<Stop, Failure> {
        loop {
            self.request(how, 0)?;
            match self.wait() {
                Stop::Signal(libc::SIGSTOP | libc::SIGTSTP | libc::SIGCONT) => {}
                stop => return Ok(stop),
            }
        }
    }

    fn wait(&mut self) -> Stop {
        let mut status = 0;
        // SAFETY: writes the status; __WALL is for children of any kind.
        while unsafe { libc::waitpid(self.pid, &mut status, libc::__WALL) } != self.pid {
            let error = io::Error::last_os_error();
            assert_eq!(
                error.kind(),
                io::ErrorKind::Interrupted,
                "a child that cannot be waited for: {error}"
            );
        }
        self.gone = !libc::WIFSTOPPED(status);
        if libc::WIFEXITED(status) {
            return Stop::Exited(libc::WEXITSTATUS(status));
        }
        if libc::WIFSIGNALED(status) {
            return Stop::Killed(libc::WTERMSIG(status));
        }
        match libc::WSTOPSIG(status) {
            libc::SIGTRAP => Stop::Trap,
            signal if signal == libc::SIGTRAP | 0x80 => Stop::Call,
            libc::SIGSEGV => self.fault(),
            signal => Stop::Signal(signal),
        }
    }

    fn fault(&self) -> Stop {
        // SAFETY: all-zero is a value of this plain struct; the request fills it, and a fault has an address.
        unsafe {
            let mut about: libc::siginfo_t = std::mem::zeroed();
            let data = (&raw mut about).cast::<c_void>();
            if libc::ptrace(libc::PTRACE_GETSIGINFO, self.pid, 0usize, data) != 0 {
                return Stop::Signal(libc::SIGSEGV);
            }
            Stop::Fault(about.si_addr() as u64)
        }
    }

    fn request(&self, request: c_uint, data: c_int) -> Result<(), Failure> {
        // SAFETY: none of these requests uses memory of ours.
        match unsafe { libc::ptrace(request, self.pid, 0usize, data as usize) } {
            -1 => wrong(format!("trace request {request}: {}", io::Error::last_os_error())),
            _ => Ok(()),
        }
    }

    /// The next bytes of its program.
    fn code(&self) -> Result<u64, Failure> {
        let at = self.registers()?.rip;
        // SAFETY: reads memory of the traced process; the result is the word, so an error shows in errno only.
        unsafe {
            *libc::__errno_location() = 0;
            let word = libc::ptrace(libc::PTRACE_PEEKTEXT, self.pid, at, 0usize);
            match *libc::__errno_location() {
                0 => Ok(word as u64),
                _ => wrong(format!("there is no program at {at:#x}")),
            }
        }
    }

    fn registers(&self) -> Result<user_regs_struct, Failure> {
        // SAFETY: all-zero is a value of this plain struct, and the request fills it.
        unsafe {
            let mut registers: user_regs_struct = std::mem::zeroed();
            let data = (&raw mut registers).cast::<c_void>();
            match libc::ptrace(libc::PTRACE_GETREGS, self.pid, 0usize, data) {
                0 => Ok(registers),
                _ => wrong(format!("no registers: {}", io::Error::last_os_error())),
            }
        }
    }

    fn set_registers(&self, registers: &user_regs_struct) -> Result<(), Failure> {
        let data = (&raw const *registers).cast::<c_void>();
        // SAFETY: reads the struct.
        match unsafe { libc::ptrace(libc::PTRACE_SETREGS, self.pid, 0usize, data) } {
            0 => Ok(()),
            _ => wrong(format!("registers not set: {}", io::Error::last_os_error())),
        }
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        if !self.gone {
            self.end();
        }
    }
}

/// In the process that is to be traced: by whom it was forked.
fn allow_tracing(parent: u32) -> bool {
    // SAFETY: it dies with its parent, which may be dead already; from now on it stops where its parent wants it, the first
    // time here.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // one that runs for ever is stopped by this signal, which nobody expects
        libc::alarm(600);
        if parent_id() != parent || libc::ptrace(libc::PTRACE_TRACEME, 0, 0usize, 0usize) != 0 {
            return false;
        }
        libc::raise(libc::SIGSTOP);
    }
    true
}
