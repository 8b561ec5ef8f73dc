//! Other processes to test with: the test binary started again as a [`Peer`] that obeys lines on its standard
//! input. Each answer is one line that begins with `@`.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use coheap_segment::{Options, Participant, Result, Segment, Status, StatusWord, leave_process};

const ROLE: &str = "COHEAP_TEST_PEER";

/// A name that no other test uses, removed when dropped.
pub struct Name(pub String);

impl Name {
    pub fn new() -> Name {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Name(format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = Segment::unlink(&self.0, None);
    }
}

impl std::ops::Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

/// Small and quick to make.
pub fn small() -> Options {
    Options { max_size: 1 << 20, max_participants: 4, size: 1, ..Options::default() }
}

/// The path of an object in the system's place.
pub fn path(name: &str) -> String {
    format!("/dev/shm/coheap.{name}")
}

/// Another process; killed when dropped.
pub struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    pub fn new() -> Peer {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "peer", "--nocapture", "--test-threads=1"])
            .env(ROLE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Peer { child, input, output }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Says a line without waiting for the answer.
    pub fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// The next answer.
    pub fn hear(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the peer has ended");
            // the test harness prints its own words in front
            if let Some(at) = line.find('@') {
                return line[at + 1..].trim_end().to_owned();
            }
        }
    }

    pub fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.hear()
    }

    pub fn kill(self) {
        drop(self);
    }

    /// Tells it to end without leaving, and waits until it has.
    pub fn end(mut self, line: &str) {
        self.tell(line);
        self.child.wait().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Default)]
struct State {
    segment: Option<Arc<Segment>>,
    joined: VecDeque<Participant>,
}

/// The peer's side. Does nothing in the main process.
pub fn run() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let mut state = State::default();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        match obey(&mut state, &words) {
            Ok(answer) => println!("@{answer}"),
            Err(error) => println!("@{}", error.code.name()),
        }
    }
    // the other side is gone: end without leaving, as a killed process would
    std::process::exit(0);
}

fn obey(state: &mut State, words: &[&str]) -> Result<String> {
    let number = |at: usize| words[at].parse::<u64>().unwrap();
    let here = || state.segment.clone().expect("no segment");
    let ok = Ok("ok".to_owned());
    match words[0] {
        "create" => {
            let options = Options { persist: words.contains(&"persist"), ..small() };
            let options = Options { mode: if words.contains(&"group") { 0o660 } else { 0o600 }, ..options };
            state.segment = Some(Segment::create(words[1], &options, |_| Ok(()))?);
        }
        "create-large" => {
            let options = Options { max_size: 1 << 30, ..small() };
            state.segment = Some(Segment::create(words[1], &options, |_| Ok(()))?);
        }
        // the words of an error, not only its code
        "why" => return Ok(obey(state, &words[1..]).unwrap_or_else(|error| error.to_string())),
        "limit" => {
            let which = match words[1] {
                "descriptors" => libc::RLIMIT_NOFILE,
                "file-size" => libc::RLIMIT_FSIZE,
                "memory" => libc::RLIMIT_AS,
                other => panic!("the peer does not know the limit {other}"),
            };
            // SAFETY: both read or write the struct that they are given.
            unsafe {
                let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                assert_eq!(libc::getrlimit(which, &mut limit), 0);
                limit.rlim_cur = words.get(2).map_or(limit.rlim_max, |_| number(2));
                assert_eq!(libc::setrlimit(which, &limit), 0);
            }
        }
        "die-in-create" => {
            Segment::create(words[1], &small(), |_| std::process::exit(0))?;
        }
        "open" => state.segment = Some(Segment::open(words[1], &small())?),
        "join" => {
            let joined = here().join(7)?;
            let answer = format!("{} {}", joined.id(), joined.slot());
            state.joined.push_back(joined);
            return Ok(answer);
        }
        "busy" => {
            let slot = state.joined.back().unwrap().slot();
            here().slot(slot).unwrap().status.store(StatusWord::new(Status::Active, 1).0, Ordering::SeqCst);
        }
        "leave" => drop(state.joined.pop_front()),
        "drop" => state.segment = None,
        "exit-hook" => leave_process(),
        "exit" => std::process::exit(0),
        "grow" => here().grow_to(number(1))?,
        "committed" => return Ok(here().refresh_committed().to_string()),
        "write" => here().word(number(1))?.store(number(2), Ordering::SeqCst),
        "read" => return Ok(here().word(number(1))?.load(Ordering::SeqCst).to_string()),
        "ring" => here().ring(number(1) as u16, number(2) as usize),
        "wait-ring" => {
            let segment = here();
            let me = state.joined.back().unwrap().id();
            let seen = segment.bell(me, 0);
            println!("@waiting");
            while segment.bell(me, 0) == seen {
                segment.sleep(me, 0, seen, Duration::from_millis(50));
            }
        }
        "dead" => return Ok(here().slot_owner_is_dead(number(1) as u16).to_string()),
        "child" => {
            // inherits every descriptor that is not closed on exec; killed by who asked
            #[expect(clippy::zombie_processes, reason = "it outlives us on purpose")]
            let child =
                Command::new("sleep").arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
            // `spawn` may be back before the kernel has closed them; it changes the name after that
            while std::fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap().trim() != "sleep" {
                std::thread::yield_now();
            }
            return Ok(child.id().to_string());
        }
        "become" => {
            // SAFETY: plain system calls of a single-threaded test process.
            unsafe {
                assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
                assert_eq!(libc::setgid(number(2) as libc::gid_t), 0);
                assert_eq!(libc::setuid(number(1) as libc::uid_t), 0);
            }
        }
        "list" => {
            let found = Segment::list(None)?.into_iter().find(|info| info.name == words[1]);
            return Ok(found.map_or("none".to_owned(), |info| format!("{:?} {}", info.pids, info.stale)));
        }
        "unlink" => return Ok(Segment::unlink(words[1], None)?.to_string()),
        other => panic!("the peer does not know {other}"),
    }
    ok
}
