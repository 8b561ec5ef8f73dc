//! Names, descriptors, headers and sizes: what create, open, list and unlink accept and refuse.

use crate::peer::{Name, Peer, path, small};
use coheap_segment::{Code, Error, Header, MAGIC, Options, SLAB, Segment};
use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier};

pub fn code<T>(result: Result<T, Error>) -> Code {
    result.err().expect("an error").code
}

pub fn create(name: &str) -> Result<Arc<Segment>, Error> {
    Segment::create(name, &small(), |_| Ok(()))
}

pub fn is_root() -> bool {
    // SAFETY: always succeeds.
    unsafe { libc::geteuid() == 0 }
}

#[test]
fn a_name_can_be_created_once_and_opened_often() {
    let name = Name::new();
    assert_eq!(code(Segment::open(&name, &small())), Code::NotFound);
    let sut = create(&name).unwrap();
    assert_eq!(code(create(&name)), Code::Exists);
    let again = Segment::open(&name, &small()).unwrap();
    assert!(Arc::ptr_eq(&sut, &again), "the same heap is mapped once in a process");
    assert_eq!(sut.name(), &*name);
}

#[test]
fn bad_names_are_refused_everywhere() {
    for bad in ["", ".hidden", "a/b", "../../etc/passwd", "a b", &"x".repeat(65)] {
        assert_eq!(code(create(bad)), Code::InvalidArgument);
        assert_eq!(code(Segment::open(bad, &small())), Code::InvalidArgument);
        assert_eq!(code(Segment::unlink(bad, None)), Code::InvalidArgument);
    }
}

#[test]
fn the_longest_name_works() {
    let name = Name(format!("{:x>64}", std::process::id()));
    let _sut = create(&name).unwrap();
    assert!(Segment::open(&name, &small()).is_ok());
    assert!(Segment::list(None).unwrap().iter().any(|info| info.name == *name));
}

#[test]
fn bad_options_are_refused_and_leave_nothing() {
    let name = Name::new();
    let d = Options::default();
    for bad in [
        Options { max_size: 1000, ..d.clone() },
        Options { max_size: (64 << 30) + 1, ..d.clone() },
        Options { max_size: 1 << 20, size: 2 << 20, ..d.clone() },
        Options { mode: 0o666, ..d.clone() },
        Options { max_participants: 1023, ..d.clone() },
        Options { max_size: 1 << 20, max_participants: 1000, ..d.clone() },
    ] {
        assert_eq!(code(Segment::create(&name, &bad, |_| Ok(()))), Code::InvalidArgument, "{bad:?}");
        assert!(!Path::new(&path(&name)).exists());
    }
}

#[test]
fn a_failing_init_leaves_nothing_behind() {
    let name = Name::new();
    let failed = Segment::create(&name, &small(), |segment| {
        drop(segment.join(0)?);
        Err(Error::new(Code::Timeout, "as a test"))
    });
    assert_eq!(code(failed), Code::Timeout);
    assert!(!Path::new(&path(&name)).exists());
    assert!(create(&name).is_ok());
}

#[test]
fn nobody_sees_a_heap_before_its_tables_are_made() {
    let name = Name::new();
    let mut peer = Peer::new();
    peer.ask(&format!("list {}", &*name));
    let sut = Segment::create(&name, &small(), |segment| {
        peer.tell(&format!("open {}", &*name));
        let joined = segment.join(0)?;
        segment.word(segment.plan().data)?.store(1234, Ordering::Relaxed);
        drop(joined);
        std::thread::sleep(std::time::Duration::from_millis(50));
        Ok(())
    })
    .unwrap();
    assert_eq!(peer.hear(), "ok");
    assert_eq!(peer.ask(&format!("read {}", sut.plan().data)), "1234");
}

#[test]
fn of_many_creators_at_once_exactly_one_wins() {
    const PEERS: usize = 4;
    let mut peers: Vec<Peer> = (0..PEERS).map(|_| Peer::new()).collect();
    for _ in 0..25 {
        let name = Name::new();
        for peer in &mut peers {
            peer.tell(&format!("create {}", &*name));
        }
        let won = peers.iter_mut().filter_map(|peer| (peer.hear() == "ok").then_some(())).count();
        assert_eq!(won, 1);
        for peer in &mut peers {
            peer.ask("drop");
        }
        assert!(!Path::new(&path(&name)).exists());
    }
}

#[test]
fn of_many_who_take_over_a_stale_heap_exactly_one_wins() {
    const PEERS: usize = 4;
    let mut peers: Vec<Peer> = (0..PEERS).map(|_| Peer::new()).collect();
    for _ in 0..10 {
        let name = Name::new();
        let mut victim = Peer::new();
        victim.ask(&format!("create {}", &*name));
        victim.kill();
        for peer in &mut peers {
            peer.tell(&format!("create {}", &*name));
        }
        let won = peers.iter_mut().filter_map(|peer| (peer.hear() == "ok").then_some(())).count();
        assert_eq!(won, 1);
        for peer in &mut peers {
            peer.ask("drop");
        }
    }
}

#[test]
fn those_who_come_and_go_always_meet_in_one_heap() {
    // Opening races with the removal by the last to leave: who opens either finds nothing or a heap that others
    // find too, never one whose name is gone.
    let name = Name::new();
    let start = Barrier::new(3);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut peer = Peer::new();
                start.wait();
                for _ in 0..100 {
                    let answer = match peer.ask(&format!("create {}", &*name)) {
                        answer if answer == "ERR_COHEAP_EXISTS" => peer.ask(&format!("open {}", &*name)),
                        answer => answer,
                    };
                    if answer == "ok" {
                        assert!(peer.ask(&format!("list {}", &*name)).contains(&peer.pid().to_string()));
                        peer.ask("drop");
                    } else {
                        assert_eq!(answer, "ERR_COHEAP_NOT_FOUND");
                    }
                }
            });
        }
    });
    assert!(!Path::new(&path(&name)).exists());
}

#[test]
fn an_unlinked_heap_lives_on_and_its_name_is_free_at_once() {
    let name = Name::new();
    let old = create(&name).unwrap();
    let at = old.plan().data;
    old.word(at).unwrap().store(1, Ordering::Relaxed);
    assert!(Segment::unlink(&name, None).unwrap());
    assert!(!Segment::unlink(&name, None).unwrap());
    let new = create(&name).unwrap();
    assert!(!Arc::ptr_eq(&old, &new));
    assert_eq!(new.word(at).unwrap().load(Ordering::Relaxed), 0);
    assert_eq!(old.word(at).unwrap().load(Ordering::Relaxed), 1);
    assert!(old.join(0).is_ok());
    drop(old);
    assert!(Path::new(&path(&name)).exists(), "the old one's end does not touch the new one");
    assert!(Arc::ptr_eq(&new, &Segment::open(&name, &small()).unwrap()));
}

/// Overwrites a word of a persistent heap that nobody has open, and opens it.
fn open_damaged(offset: usize, change: impl Fn(u64) -> u64) -> Code {
    let name = Name::new();
    drop(Segment::create(&name, &Options { persist: true, ..small() }, |_| Ok(())).unwrap());
    let file = OpenOptions::new().read(true).write(true).open(path(&name)).unwrap();
    let mut word = [0; 8];
    file.read_exact_at(&mut word, offset as u64).unwrap();
    let word = change(u64::from_le_bytes(word)).to_le_bytes();
    file.write_all_at(&word, offset as u64).unwrap();
    let result = code(Segment::open(&name, &small()));
    assert_eq!(code(create(&name)), Code::Exists, "what is not understood is not removed");
    assert!(Segment::unlink(&name, None).unwrap());
    result
}

#[test]
fn a_heap_of_another_version_is_refused() {
    use std::mem::offset_of;
    assert_eq!(open_damaged(offset_of!(Header, magic), |m| m + (1 << 48)), Code::Version);
    assert_eq!(open_damaged(offset_of!(Header, layout_hash), |h| h ^ 1), Code::Version);
    let name = Name::new();
    let options = Options { persist: true, layout: 1, ..small() };
    drop(Segment::create(&name, &options, |_| Ok(())).unwrap());
    assert_eq!(code(Segment::open(&name, &Options { layout: 2, ..small() })), Code::Version);
}

#[test]
fn a_header_that_contradicts_itself_is_corrupt() {
    use std::mem::offset_of;
    assert_eq!(open_damaged(offset_of!(Header, magic), |_| !MAGIC), Code::Corrupt);
    for offset in [
        offset_of!(Header, max_size),
        offset_of!(Header, commit_step),
        offset_of!(Header, counts),
        offset_of!(Header, processes),
        offset_of!(Header, participants),
        offset_of!(Header, slots),
        offset_of!(Header, waiters),
        offset_of!(Header, directory),
        offset_of!(Header, data),
        offset_of!(Header, committed),
        offset_of!(Header, name),
    ] {
        for change in [|w: u64| w + 8, |w: u64| w + SLAB, |_| 0, |_| u64::MAX, |w: u64| w << 1 | 1 << 63] {
            assert_eq!(open_damaged(offset, change), Code::Corrupt, "{offset:#x}");
        }
    }
}

#[test]
fn a_file_that_is_too_short_or_too_long_is_not_opened() {
    for change in [-4096, 4096] {
        let name = Name::new();
        drop(Segment::create(&name, &Options { persist: true, ..small() }, |_| Ok(())).unwrap());
        let file = OpenOptions::new().write(true).open(path(&name)).unwrap();
        file.set_len((file.metadata().unwrap().len() as i64 + change) as u64).unwrap();
        assert_eq!(code(Segment::open(&name, &small())), Code::Corrupt);
    }
    let name = Name::new();
    fs::write(path(&name), "this is not a heap").unwrap();
    fs::set_permissions(path(&name), Permissions::from_mode(0o644)).unwrap();
    assert_eq!(code(Segment::open(&name, &small())), Code::Permission, "a heap is never open to everyone");
    fs::set_permissions(path(&name), Permissions::from_mode(0o600)).unwrap();
    assert_eq!(code(Segment::open(&name, &small())), Code::Corrupt);
}

#[test]
fn links_are_not_followed() {
    let (name, other) = (Name::new(), Name::new());
    let _sut = create(&name).unwrap();
    std::os::unix::fs::symlink(path(&name), path(&other)).unwrap();
    assert_eq!(code(Segment::open(&other, &small())), Code::Permission);
    assert_eq!(code(create(&other)), Code::Exists);
    fs::remove_file(path(&other)).unwrap();
    fs::hard_link(path(&name), path(&other)).unwrap();
    assert_eq!(code(Segment::open(&other, &small())), Code::Permission);
    fs::remove_file(path(&other)).unwrap();
}

#[test]
fn another_users_heap_is_refused_unless_its_group_is_let_in() {
    if !is_root() {
        println!("skipped: only root can become other users");
        return;
    }
    let (closed, group) = (Name::new(), Name::new());
    let (mut owner, mut member, mut stranger) = (Peer::new(), Peer::new(), Peer::new());
    owner.ask("become 4001 5001");
    member.ask("become 4002 5001");
    stranger.ask("become 4003 5003");
    assert_eq!(owner.ask(&format!("create {}", &*closed)), "ok");
    assert_eq!(member.ask(&format!("open {}", &*closed)), "ERR_COHEAP_PERMISSION");
    assert_eq!(member.ask(&format!("create {}", &*closed)), "ERR_COHEAP_EXISTS");
    assert_eq!(member.ask(&format!("unlink {}", &*closed)), "ERR_COHEAP_PERMISSION");
    assert_eq!(code(Segment::open(&closed, &small())), Code::Permission, "not even root walks in");
    assert_eq!(owner.ask(&format!("create {} group", &*group)), "ok");
    assert_eq!(stranger.ask(&format!("open {}", &*group)), "ERR_COHEAP_PERMISSION");
    assert_eq!(stranger.ask(&format!("list {}", &*group)), "none");
    assert_eq!(member.ask(&format!("open {}", &*group)), "ok");
    assert_eq!(member.ask("join"), "1 1");
    assert!(member.ask(&format!("list {}", &*group)).ends_with("false"));
    for name in [closed, group] {
        // not ours, so the name's own end leaves it
        let _ = fs::remove_file(path(&name));
    }
}

#[test]
fn a_folder_that_is_not_there_is_not_found() {
    let options = Options { dir: Some("/nowhere/at/all".into()), ..small() };
    assert_eq!(code(Segment::create("x", &options, |_| Ok(()))), Code::NotFound);
    assert_eq!(code(Segment::open("x", &options)), Code::NotFound);
    assert_eq!(code(Segment::list(options.dir.as_deref())), Code::NotFound);
}
