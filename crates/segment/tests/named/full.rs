//! Sizes: growth, a full tmpfs, the largest heap, windows.

use crate::names::{code, create, is_root};
use crate::peer::{Name, Peer, path, small};
use coheap_segment::{CHUNK, Code, Options, SLAB, Segment};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::Ordering;

#[test]
fn a_heap_grows_for_all_and_not_beyond_its_end() {
    let name = Name::new();
    let options = Options { max_size: 32 << 20, ..small() };
    let sut = Segment::create(&name, &options, |_| Ok(())).unwrap();
    assert_eq!(sut.committed(), CHUNK);
    let mut peer = Peer::new();
    peer.ask(&format!("open {}", &*name));
    assert!(sut.word(CHUNK).is_err());
    assert_eq!(peer.ask(&format!("grow {}", CHUNK + 1)), "ok");
    assert!(sut.word(CHUNK).is_ok(), "it is looked at again before it is called corrupt");
    assert_eq!(sut.committed(), 2 * CHUNK);
    assert!(fs::metadata(path(&name)).unwrap().blocks() * 512 >= 2 * CHUNK);
    assert_eq!(code(sut.grow_to((32 << 20) + 1)), Code::OutOfMemory);
    sut.grow_to(32 << 20).unwrap();
    assert_eq!(peer.ask("committed"), (32 << 20).to_string());
}

#[test]
fn threads_that_grow_at_once_agree() {
    let name = Name::new();
    let options = Options { max_size: 8 << 20, ..small() };
    let sut = Segment::create(&name, &options, |_| Ok(())).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut at = sut.committed();
                while at < 8 << 20 {
                    sut.grow_to(at + 1).unwrap();
                    sut.word(at).unwrap().store(at, Ordering::Relaxed);
                    at += SLAB;
                }
            });
        }
    });
    assert_eq!(sut.committed(), 8 << 20);
}

#[test]
fn a_damaged_committed_size_does_not_lead_into_a_hole() {
    let name = Name::new();
    let options = Options { max_size: 32 << 20, ..small() };
    let sut = Segment::create(&name, &options, |_| Ok(())).unwrap();
    sut.header().committed.store(32 << 20, Ordering::Relaxed);
    assert_eq!(code(sut.word(16 << 20)), Code::Corrupt);
    sut.header().committed.store(CHUNK, Ordering::Relaxed);
}

/// A tmpfs of its own, unmounted when dropped; `None` where that is not allowed.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn new(size: &str) -> Option<Tmpfs> {
        let dir = std::env::temp_dir().join(format!("coheap-tmpfs-{}-{size}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let options = format!("size={size}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&dir).output().ok()?;
        if !is_root() || !mounted.status.success() {
            println!("skipped: cannot mount a tmpfs: {}", String::from_utf8_lossy(&mounted.stderr));
            fs::remove_dir(&dir).unwrap();
            return None;
        }
        Some(Tmpfs(dir))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_tmpfs_that_is_too_small_is_an_error_and_nothing_is_left() {
    let Some(place) = Tmpfs::new("1m") else { return };
    let options = Options { dir: Some(place.0.clone()), ..Options::default() };
    assert_eq!(code(Segment::create("big", &options, |_| Ok(()))), Code::OutOfMemory);
    assert_eq!(fs::read_dir(&place.0).unwrap().count(), 0);
    assert_eq!(Segment::list(Some(&place.0)).unwrap(), []);
}

#[test]
fn a_heap_that_outgrows_its_tmpfs_gets_an_error_and_stays_whole() {
    let Some(place) = Tmpfs::new("2m") else { return };
    let options = Options {
        dir: Some(place.0.clone()),
        max_size: 8 << 20,
        size: 1,
        max_participants: 4,
        ..Options::default()
    };
    let sut = Segment::create("full", &options, |_| Ok(())).unwrap();
    let mut at = sut.committed();
    let error = loop {
        match sut.grow_to(at + 1) {
            Ok(()) => {
                // every byte that is committed can be written
                for word in (at..sut.committed()).step_by(4096) {
                    sut.word(word).unwrap().store(word, Ordering::Relaxed);
                }
                at = sut.committed();
            }
            Err(error) => break error,
        }
    };
    assert_eq!(error.code, Code::OutOfMemory);
    assert!(sut.committed() <= 2 << 20);
    assert_eq!(code(sut.word(sut.committed())), Code::Corrupt);
    assert_eq!(Segment::list(Some(&place.0)).unwrap().len(), 1);
    assert!(Segment::open("full", &options).is_ok());
    assert_eq!(code(Segment::open("full", &small())), Code::NotFound, "it is in the other place");
    drop(sut);
    assert_eq!(fs::read_dir(&place.0).unwrap().count(), 0);
}

#[test]
fn the_largest_heap_takes_no_more_than_its_first_bytes() {
    let name = Name::new();
    let options = Options { max_size: 64 << 30, ..Options::default() };
    let sut = Segment::create(&name, &options, |_| Ok(())).unwrap();
    assert!(fs::metadata(path(&name)).unwrap().blocks() * 512 <= 16 << 20);
    let (first, len) = sut.window(0).unwrap();
    assert!(!first.is_null() && len == coheap_segment::WINDOW);
    let (last, len) = sut.window(((64u64 << 30) / coheap_segment::WINDOW) as usize).unwrap();
    assert!(!last.is_null() && len < coheap_segment::WINDOW);
}

#[test]
fn a_window_of_a_named_heap_cannot_be_written() {
    let name = Name::new();
    let sut = create(&name).unwrap();
    let (window, _) = sut.window(0).unwrap();
    let line = fs::read_to_string("/proc/self/maps").unwrap();
    let start = format!("{:x}-", window as usize);
    assert!(line.lines().any(|line| line.starts_with(&start) && line.contains(" r--s ")));
}
