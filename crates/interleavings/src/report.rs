//! What a run says: a line for each exploration, and the count at the end.

use std::any::Any;
use std::cell::Cell;
use std::time::Instant;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// From now on a panic is told in a line, and not at all while it is expected ([`expecting_failure`]): a backtrace of
/// coroutines says nothing.
pub fn tell_panics_in_a_line() {
    std::panic::set_hook(Box::new(|info| {
        if !QUIET.get() {
            println!("{info}");
        }
    }));
}

/// Runs `f`, which is expected to fail.
pub fn expecting_failure<T>(f: impl FnOnce() -> T) -> T {
    QUIET.set(true);
    let result = f();
    QUIET.set(false);
    result
}

/// The beginning of what a panic says.
pub fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
    text.lines().next().unwrap_or_default().chars().take(100).collect()
}

/// Counts explorations that ended as they should, and those that did not.
#[derive(Debug)]
pub struct Report {
    passed: u32,
    failed: u32,
    executions: u64,
    began: Instant,
}

impl Default for Report {
    fn default() -> Report {
        Report { passed: 0, failed: 0, executions: 0, began: Instant::now() }
    }
}

impl Report {
    /// One exploration: what it was, how many executions it took, and whether it ended as it should.
    pub fn line(&mut self, ok: bool, what: &str, executions: u64, remark: &str) {
        let mark = if ok { "ok" } else { "FAILED" };
        println!("{mark:>6}  {executions:>8}  {what}{}{remark}", if remark.is_empty() { "" } else { ": " });
        self.executions += executions;
        if ok {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }

    /// Prints the sums, last the line that the test command adds up. True: all is well.
    pub fn end(self) -> bool {
        println!("{} executions in {:.1} s", self.executions, self.began.elapsed().as_secs_f64());
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0
    }
}
