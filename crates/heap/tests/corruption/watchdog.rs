//! Runs cases in child processes, one after the other, and starts another child where one has failed.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::base::{self, Base};
use crate::case;
use crate::exercise::Tally;
use crate::partner::Partner;

/// Where the images are.
pub const DIR: &str = "COHEAP_CORRUPTION_DIR";
/// Where there are images of a run that has failed.
const IMAGES: &str = "COHEAP_CORRUPTION_IMAGES";
const FROM: &str = "COHEAP_CORRUPTION_FROM";
const TO: &str = "COHEAP_CORRUPTION_TO";

/// A case that says nothing while we have looked so often hangs. It takes milliseconds; the rest is for a busy machine. Looks, not
/// time: who stops all processes for a while stops both.
const PATIENCE: u32 = 120;
const LOOK: Duration = Duration::from_secs(1);
/// Address space of a child.
const MEMORY: u64 = 1 << 30;
/// More failures than these are more of the same.
const MOST_FAILURES: usize = 50;

pub struct Report {
    pub failed: Vec<String>,
    pub told: String,
}

/// A folder on a tmpfs, where memory that is not allocated is a signal; removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let path = PathBuf::from(format!("/dev/shm/coheap-corruption-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Tries the cases from `first` up to `end`.
pub fn run(first: u64, end: u64) -> Report {
    let folder = Folder::new();
    let given = std::env::var_os(IMAGES).map(PathBuf::from);
    match &given {
        Some(images) => copy_images(images, &folder.0),
        None => Base::make(&folder.0),
    }
    let mut failed = Vec::new();
    let mut tally = Tally::default();
    let mut next = first;
    while next < end && failed.len() < MOST_FAILURES {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "victim", "--nocapture", "--test-threads=1"])
            .env(DIR, &folder.0)
            .env(FROM, next.to_string())
            .env(TO, end.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, lines) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            out.lines().map_while(|line| line.ok()).try_for_each(|line| tell.send(line))
        });
        let mut err = child.stderr.take().unwrap();
        let complaint = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = err.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut looks = 0;
        let hung = loop {
            match lines.recv_timeout(LOOK) {
                Ok(line) => {
                    looks = 0;
                    if let Some(case) = line.strip_prefix("case ") {
                        next = case.parse().unwrap();
                    } else if let Some(counts) = line.strip_prefix("done ") {
                        tally.add(counts);
                        next += 1;
                        // a long run says where it is
                        if (next - first).is_multiple_of(1000) {
                            println!("cases {first} to {}: {} failed; {tally}", next - 1, failed.len());
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) if looks == PATIENCE => break true,
                Err(RecvTimeoutError::Timeout) => looks += 1,
                Err(RecvTimeoutError::Disconnected) => break false,
            }
        };
        if hung {
            let _ = child.kill();
        }
        let status = child.wait().unwrap();
        let complaint = complaint.join().unwrap();
        if hung || !status.success() {
            let how = if hung { "hang".to_owned() } else { status.to_string() };
            let what = format!("case {next}: {how}: {}", complaint.trim());
            println!("{what}");
            failed.push(what);
            next += 1;
        }
    }
    if let (Some(last), None) = (failed.last_mut(), given) {
        let kept = std::env::temp_dir().join(format!("coheap-corruption-{}", std::process::id()));
        std::fs::create_dir_all(&kept).unwrap();
        copy_images(&folder.0, &kept);
        last.push_str(&format!("\nagain: {IMAGES}={} and the case as seed", kept.display()));
    }
    Report { failed, told: tally.to_string() }
}

fn copy_images(from: &Path, to: &Path) {
    for name in base::IMAGES {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

/// Tries its cases, saying which; the first that fails ends the process.
pub fn victim() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let number = |name| std::env::var(name).unwrap().parse::<u64>().unwrap();
    limit_memory();
    let mut partner = Partner::default();
    let base = Base::load(dir.as_ref());
    for case in number(FROM)..number(TO) {
        // a line of its own: the test harness has begun one
        println!("\ncase {case}");
        println!("done {}", case::run(&base, case, &mut partner));
    }
}

/// A child that takes memory without a bound fails. (A sanitizer takes most of the address space for itself.)
pub fn limit_memory() {
    if std::env::var_os("COHEAP_SANITIZER").is_some() {
        return;
    }
    let limit = libc::rlimit { rlim_cur: MEMORY, rlim_max: MEMORY };
    // SAFETY: a plain struct that outlives the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
}
