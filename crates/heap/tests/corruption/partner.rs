//! Another process that has the same heap open and uses it while it is damaged.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::case::join_in;
use crate::watchdog::{DIR, limit_memory};

const PARTNER: &str = "COHEAP_CORRUPTION_PARTNER";

/// The other process, started with the first case that needs it. It dies with us.
#[derive(Default)]
pub struct Partner {
    running: Option<(Child, ChildStdin, BufReader<ChildStdout>)>,
}

impl Partner {
    /// It opens the heap of the case; comes back when it has, or could not.
    pub fn open(&mut self, case: u64) {
        self.running.get_or_insert_with(|| {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "partner", "--nocapture", "--test-threads=1"])
                .env(PARTNER, "1")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            (child, input, BufReader::new(output))
        });
        self.say(&format!("case {case}"));
        self.hear("opened");
    }

    /// It begins.
    pub fn go(&mut self) {
        self.say("go");
    }

    /// Waits until it is done with the case; what it counted.
    pub fn end(&mut self) -> String {
        // it has not been told to begin if we could not open the heap
        self.say("go");
        self.hear("done ")
    }

    fn say(&mut self, what: &str) {
        let (_, input, _) = self.running.as_mut().expect("a partner");
        // it has died: the answer does not come
        let _ = writeln!(input, "{what}");
    }

    /// The rest of its next line that begins so.
    fn hear(&mut self, what: &str) -> String {
        let (child, _, output) = self.running.as_mut().expect("a partner");
        for line in output.lines().map_while(|line| line.ok()) {
            if let Some(rest) = line.strip_prefix(what) {
                return rest.to_owned();
            }
        }
        let status = child.wait().unwrap();
        panic!("the partner has ended: {status}");
    }
}

/// The other process's side: does nothing in the main process.
pub fn partner() {
    if std::env::var_os(PARTNER).is_none() {
        return;
    }
    // SAFETY: changes nothing but which signal comes when our parent ends.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }, 0);
    limit_memory();
    let dir = PathBuf::from(std::env::var_os(DIR).unwrap());
    let mut lines = std::io::stdin().lines().map_while(|line| line.ok());
    while let Some(line) = lines.next() {
        let Some(case) = line.strip_prefix("case ") else { continue };
        let tally = join_in(&dir, case.parse().unwrap(), || {
            // a line of its own: the test harness has begun one
            println!("\nopened");
            let _ = lines.next();
        });
        println!("done {tally}");
    }
}
