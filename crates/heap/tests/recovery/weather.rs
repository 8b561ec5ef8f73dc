//! Who starts the workers of a storm, and kills and stops them.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::book;
use crate::clock::now;
use crate::dice::Dice;
use crate::worker::start;

/// Who makes no step for so long hangs. Counted in naps, so that the time while all of them are stopped is none.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What happens.
pub struct Weather {
    pub heap: String,
    pub books: PathBuf,
    pub dice: Dice,
    /// Processes at a time.
    pub processes: usize,
    /// Some are killed and stopped.
    pub rough: bool,
}

/// What has happened.
#[derive(Default)]
pub struct Report {
    /// Numbers of the workers, in order of their starts: {number, it was killed}.
    pub workers: Vec<(u64, bool)>,
    /// Pids of those who were killed.
    pub killed: Vec<u32>,
    /// {number of the worker, from, to}
    pub pauses: Vec<(u64, u64, u64)>,
    /// Steps in which workers were killed that were not stopped: {number of the worker, from, to}.
    pub unfinished: Vec<(u64, u64, u64)>,
}

struct Worker {
    child: Child,
    number: u64,
    /// Stopped at, to go on then.
    stopped: Option<(u64, Instant)>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // of one that has been waited for these are nothing
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(child: &Child, signal: i32) {
    // SAFETY: a plain system call; the child has not been waited for, so the pid is its own.
    unsafe { libc::kill(child.id() as i32, signal) };
}

/// Kills it if it still lives, which it should.
fn kill(worker: &mut Worker) {
    if let Some(status) = worker.child.try_wait().unwrap() {
        panic!("worker {} has ended by itself: {status}", worker.number);
    }
    worker.child.kill().unwrap();
    let status = worker.child.wait().unwrap();
    assert_eq!(
        status.signal(),
        Some(libc::SIGKILL),
        "worker {} has ended by itself: {status}",
        worker.number
    );
}

/// Waits for its end, which must come.
fn end_of(worker: &mut Worker) -> ExitStatus {
    const NAP: Duration = Duration::from_millis(1);
    let mut waited = Duration::ZERO;
    loop {
        if let Some(status) = worker.child.try_wait().unwrap() {
            return status;
        }
        assert!(waited < PATIENCE, "worker {} does not come to an end", worker.number);
        std::thread::sleep(NAP);
        waited += NAP;
    }
}

impl Weather {
    /// Every few milliseconds one is killed, or in every other second stopped now and then, until all are told to end.
    pub fn blow(mut self, stop: &AtomicBool) -> Report {
        let mut report = Report::default();
        let mut workers: Vec<Worker> = Vec::new();
        let begin = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            while workers.len() < self.processes {
                workers.push(self.start(&mut report));
            }
            std::thread::sleep(Duration::from_micros(500 + self.dice.roll(8000)));
            for worker in &mut workers {
                if worker.stopped.is_some_and(|(_, until)| Instant::now() >= until) {
                    go_on(worker, &mut report);
                }
            }
            if !self.rough {
                continue;
            }
            let i = self.dice.roll(workers.len() as u64) as usize;
            if workers[i].stopped.is_none() && begin.elapsed().as_secs() % 2 == 1 && self.dice.roll(3) == 0 {
                send(&workers[i].child, libc::SIGSTOP);
                workers[i].stopped =
                    Some((now(), Instant::now() + Duration::from_micros(self.dice.roll(100_000))));
                continue;
            }
            // also one that is stopped
            let mut victim = workers.swap_remove(i);
            kill(&mut victim);
            if victim.stopped.is_none()
                && let Some(since) = book::last_beat(&self.books, victim.number)
            {
                report.unfinished.push((victim.number, since, now()));
            }
            buried(&victim, &mut report);
        }
        for mut worker in workers {
            if worker.stopped.is_some() {
                go_on(&mut worker, &mut report);
            }
            // closing its input tells it to stop
            drop(worker.child.stdin.take());
            let status = end_of(&mut worker);
            assert!(status.success(), "worker {} has failed: {status}", worker.number);
        }
        report
    }

    fn start(&mut self, report: &mut Report) -> Worker {
        let number = report.workers.len() as u64 + 1;
        report.workers.push((number, false));
        let seed = self.dice.roll(u64::MAX) | 1;
        Worker { child: start(&self.heap, number, seed, Some(&self.books)), number, stopped: None }
    }
}

fn go_on(worker: &mut Worker, report: &mut Report) {
    send(&worker.child, libc::SIGCONT);
    if let Some((since, _)) = worker.stopped.take() {
        report.pauses.push((worker.number, since, now()));
    }
}

fn buried(worker: &Worker, report: &mut Report) {
    report.workers[worker.number as usize - 1].1 = true;
    report.killed.push(worker.child.id());
    if let Some((since, _)) = worker.stopped {
        report.pauses.push((worker.number, since, now()));
    }
}

/// A folder of a storm's own.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("storm-{name}"));
        std::fs::create_dir(&folder).unwrap();
        book::create_beats(&folder);
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // after a failure the books are evidence
        if std::thread::panicking() {
            eprintln!("the books are in {}", self.0.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
