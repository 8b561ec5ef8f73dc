//! One name, many processes that create, open, connect to, leave and remove it, and are killed in the middle of that: every
//! call answers with what its documentation says, a heap that is there works, and nothing stays behind.

#![cfg(target_os = "linux")]

#[path = "common/dice.rs"]
mod dice;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use coheap_heap::segment::{Code, Result};
use coheap_heap::{Heap, Options};

use dice::Dice;

const ROLE: &str = "COHEAP_RACER";
/// At a time.
const RACERS: usize = 6;
const DEATHS: usize = 250;

fn options() -> Options {
    Options { size: 1, max_size: 8 << 20, max_participants: 40, patience_ms: 10, ..Options::default() }
}

/// What a racer may be told, by what it asked for.
fn expect<T>(what: &str, result: Result<T>, legal: &[Code]) -> Option<T> {
    match result {
        Ok(done) => Some(done),
        Err(error) if legal.contains(&error.code) => None,
        Err(error) => {
            println!("@{what}: {error}");
            None
        }
    }
}

/// A racer's side, until it is killed. Prints `@` and a complaint.
#[test]
fn racer() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (name, seed) = role.split_once(' ').unwrap();
    let mut dice = Dice(seed.parse().unwrap());
    loop {
        let heap = match dice.roll(8) {
            0 => expect("create", Heap::create(name, &options()), &[Code::Exists]),
            1 | 2 => expect("open", Heap::open(name, &options()), &[Code::NotFound]),
            3..=5 => expect("openOrCreate", Heap::open_or_create(name, &options()), &[]),
            6 => {
                let patience = Duration::from_millis(dice.roll(5));
                expect("connect", Heap::connect(name, &options(), patience), &[Code::Timeout])
            }
            _ => {
                expect("unlink", Heap::unlink(name, None), &[]);
                expect("list", Heap::list(None), &[]);
                None
            }
        };
        let Some(heap) = heap else { continue };
        for _ in 0..dice.roll(20) {
            let counted = heap.transaction(|heap| {
                let n = heap.root().get("n")?;
                heap.root().set("n", if n.is_undefined() { 1.0 } else { n.number()? + 1.0 })?;
                heap.root().set("text", "t".repeat(n.number().unwrap_or(0.0) as usize % 100))
            });
            expect("transaction", counted, &[]);
        }
        println!("@");
    }
}

struct Racer(Child);

impl Racer {
    fn new(name: &str, seed: u64, heard: &mpsc::Sender<String>) -> Racer {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "racer", "--nocapture", "--test-threads=1"])
            .env(ROLE, format!("{name} {seed}"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let heard = heard.clone();
        std::thread::spawn(move || {
            for line in output.lines().map_while(std::result::Result::ok) {
                let Some(at) = line.find('@') else { continue };
                if heard.send(line[at + 1..].to_owned()).is_err() {
                    return;
                }
            }
        });
        Racer(child)
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A name, removed in any case.
struct Name(String);

impl Drop for Name {
    fn drop(&mut self) {
        let _ = Heap::unlink(&self.0, None);
    }
}

#[test]
fn processes_that_race_for_a_name_and_die_get_what_is_documented_and_leave_nothing() {
    let name = format!("races-{}", std::process::id());
    let _removed = Name(name.clone());
    let object = PathBuf::from(format!("/dev/shm/coheap.{name}"));
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (tell, heard) = mpsc::channel();
    let mut racers: Vec<Racer> =
        (0..RACERS).map(|_| Racer::new(&name, dice.roll(1 << 40) + 1, &tell)).collect();
    for _ in 0..DEATHS {
        // some of them have got somewhere since the last death; then the next dies a little later, anywhere
        for _ in 0..dice.roll(3 * RACERS as u64) {
            let complaint = heard.recv_timeout(Duration::from_secs(60)).expect("they go on");
            assert_eq!(complaint, "");
        }
        std::thread::sleep(Duration::from_micros(dice.roll(2000)));
        let victim = dice.roll(RACERS as u64) as usize;
        racers[victim] = Racer::new(&name, dice.roll(1 << 40) + 1, &tell);
    }
    drop(racers);
    drop(tell);
    assert_eq!(heard.iter().find(|complaint| !complaint.is_empty()), None);
    // whatever the last ones have left is stale, and goes with the next who wants the name
    assert!(Heap::list(None).unwrap().iter().all(|info| info.name != name || info.stale));
    let heap = Heap::create(&name, &options()).unwrap();
    heap.root().set("n", 1).unwrap();
    assert_eq!(heap.verify(), []);
    drop(heap);
    assert!(!object.exists());
}
