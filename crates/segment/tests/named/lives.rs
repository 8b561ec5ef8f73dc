//! Who lives and who is dead, and what becomes of a heap when its users leave, die, or just end.

use crate::peer::{Name, Peer, path, small};
use coheap_segment::{Code, Options, Segment};
use std::path::Path;

fn exists(name: &str) -> bool {
    Path::new(&path(name)).exists()
}

#[test]
fn what_one_process_writes_another_reads() {
    let name = Name::new();
    let sut = Segment::create(&name, &small(), |_| Ok(())).unwrap();
    let at = sut.plan().data;
    let mut peer = Peer::new();
    assert_eq!(peer.ask(&format!("open {}", &*name)), "ok");
    assert_eq!(peer.ask(&format!("write {at} 42")), "ok");
    assert_eq!(sut.word(at).unwrap().load(std::sync::atomic::Ordering::SeqCst), 42);
}

#[test]
fn a_ring_wakes_another_process() {
    let name = Name::new();
    let sut = Segment::create(&name, &small(), |_| Ok(())).unwrap();
    let mut peer = Peer::new();
    peer.ask(&format!("open {}", &*name));
    let joined = peer.ask("join");
    let id: u16 = joined.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(peer.ask("wait-ring"), "waiting");
    sut.ring(id, 0);
    assert_eq!(peer.hear(), "ok");
}

#[test]
fn the_last_to_leave_removes_the_heap_and_not_the_creator() {
    let name = Name::new();
    let mut peer = Peer::new();
    let sut = Segment::create(&name, &small(), |_| Ok(())).unwrap();
    let me = sut.join(0).unwrap();
    assert_eq!(peer.ask(&format!("open {}", &*name)), "ok");
    peer.ask("join");
    drop((me, sut));
    assert!(exists(&name));
    assert_eq!(peer.ask("leave"), "ok");
    assert!(!exists(&name), "although the peer still has it mapped");
}

#[test]
fn an_opening_that_nobody_joined_ends_with_the_mapping() {
    let name = Name::new();
    let sut = Segment::create(&name, &small(), |_| Ok(())).unwrap();
    drop(sut);
    assert!(!exists(&name));
    let sut = Segment::create(&name, &small(), |_| Ok(())).unwrap();
    let me = sut.join(0).unwrap();
    let again = Segment::open(&name, &small()).unwrap();
    drop(me);
    assert!(exists(&name), "the second opening has yet to be joined or declined");
    again.decline();
    assert!(!exists(&name));
}

#[test]
fn nobody_joins_a_heap_that_went_with_its_last_user() {
    let name = Name::new();
    let sut = Segment::create(&name, &small(), |_| Ok(())).unwrap();
    drop(sut.join(0).unwrap());
    assert_eq!(sut.join(0).err().unwrap().code, Code::NotFound);
}

#[test]
fn a_killed_owner_of_a_slot_is_dead_and_a_live_one_is_not() {
    let name = Name::new();
    let mut peer = Peer::new();
    let sut = Segment::create(&name, &small(), |_| Ok(())).unwrap();
    let me = sut.join(0).unwrap();
    peer.ask(&format!("open {}", &*name));
    let joined = peer.ask("join");
    let (id, slot) = joined.split_once(' ').unwrap();
    let (id, slot): (u16, u16) = (id.parse().unwrap(), slot.parse().unwrap());
    assert_eq!(peer.ask("busy"), "ok");
    assert_eq!(peer.ask(&format!("dead {}", me.slot())), "false");
    assert!(!sut.slot_owner_is_dead(slot) && !sut.participant_is_dead(id));
    assert!(sut.participants().iter().any(|p| p.id == id && p.alive && !p.own && p.pid == peer.pid()));
    peer.kill();
    assert!(sut.slot_owner_is_dead(slot) && sut.participant_is_dead(id));
    assert!(sut.participants().iter().any(|p| p.id == id && !p.alive));
    assert!(sut.begin_burial(id).unwrap().finish().is_none(), "its slot is in the middle of a transaction");
}

#[test]
fn the_dead_stay_dead_when_another_process_takes_their_row() {
    let name = Name::new();
    let sut = Segment::create(&name, &small(), |_| Ok(())).unwrap();
    let mut peer = Peer::new();
    peer.ask(&format!("open {}", &*name));
    let joined = peer.ask("join");
    let (id, slot) = joined.split_once(' ').unwrap();
    let (id, slot): (u16, u16) = (id.parse().unwrap(), slot.parse().unwrap());
    peer.ask("busy");
    peer.kill();
    let mut heir = Peer::new();
    assert_eq!(heir.ask(&format!("open {}", &*name)), "ok");
    assert_ne!(heir.ask("join"), joined);
    let row = sut.participant(id).process.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(sut.process(row as usize).pid.load(std::sync::atomic::Ordering::Relaxed), heir.pid() as u64);
    assert!(sut.slot_owner_is_dead(slot) && sut.participant_is_dead(id));
}

#[test]
fn a_child_does_not_keep_its_dead_parent_alive() {
    let name = Name::new();
    let sut = Segment::create(&name, &small(), |_| Ok(())).unwrap();
    let mut peer = Peer::new();
    peer.ask(&format!("open {}", &*name));
    let joined = peer.ask("join");
    let slot: u16 = joined.split_once(' ').unwrap().1.parse().unwrap();
    let child: i32 = peer.ask("child").parse().unwrap();
    peer.kill();
    let dead = sut.slot_owner_is_dead(slot);
    // SAFETY: the process that the peer has just started for this.
    unsafe { libc::kill(child, libc::SIGKILL) };
    assert!(dead);
}

#[test]
fn a_heap_whose_users_were_killed_is_stale_and_its_name_is_taken_over() {
    let name = Name::new();
    let mut peer = Peer::new();
    assert_eq!(peer.ask(&format!("create {}", &*name)), "ok");
    peer.ask("join");
    let pid = peer.pid();
    assert_eq!(Segment::create(&name, &small(), |_| Ok(())).err().unwrap().code, Code::Exists);
    let find = || Segment::list(None).unwrap().into_iter().find(|info| info.name == *name);
    assert_eq!(find().map(|info| (info.pids, info.stale)), Some((vec![pid], false)));
    peer.kill();
    assert_eq!(find().map(|info| (info.pids, info.stale)), Some((vec![], true)));
    assert_eq!(Segment::open(&name, &small()).err().unwrap().code, Code::NotFound);
    assert!(exists(&name), "opening removes nothing");
    let sut = Segment::create(&name, &small(), |_| Ok(())).unwrap();
    assert_eq!(sut.participants().len(), 0);
    assert_eq!(find().map(|info| info.stale), Some(false));
}

#[test]
fn a_stale_heap_can_be_removed_and_a_live_one_is_kept() {
    let name = Name::new();
    let mut peer = Peer::new();
    peer.ask(&format!("create {}", &*name));
    assert!(!Segment::remove_if_stale(&name, None).unwrap());
    peer.kill();
    assert!(Segment::remove_if_stale(&name, None).unwrap());
    assert!(!Segment::remove_if_stale(&name, None).unwrap());
}

#[test]
fn a_persistent_heap_outlives_its_killed_users() {
    let name = Name::new();
    let mut peer = Peer::new();
    assert_eq!(peer.ask(&format!("create {} persist", &*name)), "ok");
    peer.ask("join");
    peer.kill();
    assert_eq!(Segment::create(&name, &small(), |_| Ok(())).err().unwrap().code, Code::Exists);
    let sut = Segment::open(&name, &small()).unwrap();
    assert!(sut.is_persistent());
    assert_eq!(sut.participants().iter().filter(|p| !p.alive).count(), 1);
    let me = sut.join(0).unwrap();
    drop((me, sut));
    assert!(exists(&name));
    assert!(Segment::unlink(&name, None).unwrap());
    assert!(!exists(&name));
}

#[test]
fn a_creator_that_died_in_the_middle_leaves_nothing_in_the_way() {
    let name = Name::new();
    let peer = Peer::new();
    peer.end(&format!("die-in-create {}", &*name));
    assert!(exists(&name));
    assert_eq!(Segment::open(&name, &small()).err().unwrap().code, Code::NotFound);
    assert!(Segment::create(&name, &small(), |_| Ok(())).is_ok());
}

#[test]
fn processes_that_end_with_the_exit_hook_leave_nothing_behind() {
    let name = Name::new();
    let (mut a, mut b) = (Peer::new(), Peer::new());
    a.ask(&format!("create {}", &*name));
    b.ask(&format!("open {}", &*name));
    a.ask("join");
    b.ask("join");
    a.ask("exit-hook");
    assert!(exists(&name), "the other still uses it");
    b.ask("exit-hook");
    assert!(!exists(&name), "the first has said that it is about to end");
    // it still lives, and what it holds is not to be taken
    assert_eq!(b.ask("dead 1"), "false");
    a.end("exit");
    assert_eq!(b.ask("dead 1"), "true");
}

#[test]
fn processes_that_end_without_a_word_leave_a_stale_heap() {
    let name = Name::new();
    let mut peer = Peer::new();
    peer.ask(&format!("create {}", &*name));
    peer.ask("join");
    peer.end("exit");
    assert_eq!(Segment::open(&name, &small()).err().unwrap().code, Code::NotFound);
    assert!(Segment::unlink(&name, None).unwrap());
}

#[test]
fn rows_of_the_dead_who_were_buried_are_given_out_again() {
    let name = Name::new();
    let options = Options { max_participants: 2, ..small() };
    let sut = Segment::create(&name, &options, |_| Ok(())).unwrap();
    let _me = sut.join(0).unwrap();
    for _ in 0..3 {
        let mut peer = Peer::new();
        peer.ask(&format!("open {}", &*name));
        assert_eq!(peer.ask("join"), "2 2");
        assert_eq!(peer.ask("join"), "ERR_COHEAP_TOO_MANY_PARTICIPANTS");
        let pid = peer.pid();
        let before = sut.burials();
        assert!(sut.begin_burial(2).is_none(), "it lives");
        peer.kill();
        assert_eq!(sut.dead_participants(), [2]);
        let death = sut.begin_burial(2).unwrap().finish().unwrap();
        assert_eq!((death.id, death.pid), (2, pid));
        assert_eq!(sut.deaths(before).0, [death]);
        sut.free_dead_processes();
        let free = |row| sut.process(row).state.load(std::sync::atomic::Ordering::Relaxed) as u32 == 0;
        assert_eq!((free(0), free(1)), (false, true));
    }
}

#[test]
fn nobody_comes_back_to_a_heap_whose_users_have_died_meanwhile() {
    let name = Name::new();
    let mut peer = Peer::new();
    let sut = Segment::create(&name, &small(), |_| Ok(())).unwrap();
    peer.ask(&format!("open {}", &*name));
    peer.ask("join");
    drop(sut.join(0).unwrap());
    drop(sut.join(0).unwrap());
    peer.kill();
    // stale; then of the same name, but another
    assert_eq!(sut.join(0).err().unwrap().code, Code::NotFound);
    let other = Segment::create(&name, &small(), |_| Ok(())).unwrap();
    assert_eq!(sut.join(0).err().unwrap().code, Code::NotFound);
    assert!(other.join(0).is_ok());
}
