//! One process stays in a heap; others come and go, and are killed and stopped, at a high rate and mostly while they
//! come or go: for as long as it stays, the name leads to its heap, and whoever comes is let in; they bury the dead.
//!
//! Short by default; `COHEAP_VISITORS_SECONDS` is for a long form.

#![cfg(target_os = "linux")]

#[path = "common/dice.rs"]
mod dice;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use coheap_heap::{Heap, Options};

use dice::Dice;

const ROLE: &str = "COHEAP_NURSERY";
/// Processes that start visitors, and visitors of each at a time.
const NURSERIES: u64 = 2;
const VISITORS: usize = 4;

fn options() -> Options {
    Options { size: 1, max_size: 8 << 20, max_participants: 40, patience_ms: 10, ..Options::default() }
}

fn visit(name: &str, mut dice: Dice) -> coheap_heap::Result<std::convert::Infallible> {
    loop {
        let heap = Heap::open(name, &options())?;
        for _ in 0..dice.roll(4) {
            heap.transaction(|heap| {
                let n = heap.root().get("n")?.number()?;
                heap.root().set("n", n + 1.0)
            })?;
        }
        if dice.roll(8) == 0 {
            Heap::list(None)?;
        }
    }
}

/// Starts a visitor: a fork, which is several times quicker than a program that has to be loaded.
fn start(name: &str, seed: u64) -> libc::pid_t {
    let parent = std::process::id() as libc::pid_t;
    // SAFETY: this process has one thread at work; the harness's other one waits and holds no lock.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: plain system calls. It ends with who started it, who may be dead already.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                if libc::getppid() != parent {
                    libc::_exit(0);
                }
            }
            let Err(error) = visit(name, Dice(seed));
            println!("@{} {error}", std::process::id());
            // SAFETY: ends the process, at once.
            unsafe { libc::_exit(1) }
        }
        pid => {
            assert!(pid > 0);
            pid
        }
    }
}

/// Starts visitors and kills them, until it is killed itself. Prints `@` and what a visitor complained of, else its deaths.
#[test]
fn nursery() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (name, seed) = role.split_once(' ').unwrap();
    let mut dice = Dice(seed.parse().unwrap());
    let mut visitors: Vec<libc::pid_t> = (0..VISITORS).map(|_| start(name, dice.roll(1 << 40) + 1)).collect();
    let mut deaths = 0;
    loop {
        let nap = Duration::from_micros(dice.roll(1500));
        let at = dice.roll(VISITORS as u64) as usize;
        if nap > Duration::from_micros(100) {
            std::thread::sleep(nap);
        }
        let pid = visitors[at];
        let mut status = 0;
        // SAFETY: a child of ours that nobody has waited for.
        unsafe {
            if dice.roll(5) == 0 {
                libc::kill(pid, libc::SIGSTOP);
                std::thread::sleep(Duration::from_micros(dice.roll(2000)));
                libc::kill(pid, libc::SIGCONT);
                continue;
            }
            libc::kill(pid, libc::SIGKILL);
            assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
        }
        if !libc::WIFSIGNALED(status) {
            println!("@visitor {pid} has ended by itself: {status:#x}");
            return;
        }
        visitors[at] = start(name, dice.roll(1 << 40) + 1);
        deaths += 1;
        if deaths % 100 == 0 {
            println!("@");
        }
    }
}

struct Nursery(Child);

impl Drop for Nursery {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_name_stays_while_somebody_stays() {
    let seconds = std::env::var("COHEAP_VISITORS_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(3);
    let name = format!("visitors-{}", std::process::id());
    let path = format!("/dev/shm/coheap.{name}");
    let heap = Heap::create(&name, &options()).unwrap();
    heap.root().set("n", 0.0).unwrap();
    let inode = std::fs::metadata(&path).unwrap().ino();
    let (tell, heard) = mpsc::channel();
    let nurseries: Vec<Nursery> = (1..=NURSERIES)
        .map(|seed| {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "nursery", "--nocapture", "--test-threads=1"])
                .env(ROLE, format!("{name} {}", seed * 0x9e37_79b9_7f4a))
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let output = BufReader::new(child.stdout.take().unwrap());
            let tell = tell.clone();
            std::thread::spawn(move || {
                for line in output.lines().map_while(std::result::Result::ok) {
                    let Some(at) = line.find('@') else { continue };
                    if tell.send(line[at + 1..].to_owned()).is_err() {
                        return;
                    }
                }
            });
            Nursery(child)
        })
        .collect();
    drop(tell);
    let begin = Instant::now();
    let mut deaths = 0;
    while begin.elapsed() < Duration::from_secs(seconds) {
        let complaint = heard.recv_timeout(Duration::from_secs(200)).expect("they go on");
        assert_eq!(complaint, "", "the heap: {:?}", Heap::list(None));
        deaths += 100;
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
    }
    drop(nurseries);
    // the visitors end with them, a little later
    let pids = || Heap::list(None).unwrap().into_iter().find(|info| info.name == name).unwrap().pids;
    while pids() != [std::process::id()] {
        std::thread::sleep(Duration::from_millis(1));
    }
    let n = heap.root().get("n").unwrap().number().unwrap();
    assert!(deaths > 0 && n > 0.0);
    println!("{deaths} deaths, {n} changes");
    assert_eq!(heap.verify(), []);
    drop(heap);
    assert!(!std::path::Path::new(&path).exists());
}
