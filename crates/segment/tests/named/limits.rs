//! Limits of the process table and of the system: an error that names them, and nothing half done.

use crate::names::{code, create};
use crate::peer::{Name, Peer, path, small};
use coheap_segment::{Code, Options, Segment};
use std::path::Path;

fn is_there(name: &str) -> bool {
    Path::new(&path(name)).exists()
}

#[test]
fn the_process_table_is_full_with_256_processes_and_has_room_when_one_is_gone() {
    let name = Name::new();
    let options = Options { max_size: 16 << 20, max_participants: 300, size: 1, ..Options::default() };
    let sut = Segment::create(&name, &options, |_| Ok(())).unwrap();
    let mut peers: Vec<Peer> = (0..255).map(|_| Peer::new()).collect();
    let all = |peers: &mut [Peer], line: &str| {
        peers.iter_mut().for_each(|peer| peer.tell(line));
        peers.iter_mut().map(Peer::hear).collect::<Vec<_>>()
    };
    assert!(all(&mut peers, &format!("open {}", &*name)).iter().all(|answer| answer == "ok"));
    assert!(all(&mut peers, "join").iter().all(|answer| !answer.starts_with("ERR")));
    assert_eq!(sut.participants().len(), 255);
    let mut late = Peer::new();
    let why = late.ask(&format!("why open {}", &*name));
    assert_eq!(
        why,
        "ERR_COHEAP_TOO_MANY_PARTICIPANTS: as many processes as the process table has rows have the heap open (256)"
    );
    // those who are in go on
    assert!(all(&mut peers, "committed").iter().all(|answer| *answer == sut.committed().to_string()));
    let own = sut.join(0).unwrap();
    peers.pop().unwrap().kill();
    assert_eq!(late.ask(&format!("open {}", &*name)), "ok");
    // the dead one's row of the participant table is taken until it is buried
    assert_eq!(sut.participants().len(), 256);
    peers.pop().unwrap().end("exit");
    assert_eq!(Peer::new().ask(&format!("open {}", &*name)), "ok");
    drop((peers, late));
    let left = Segment::list(None).unwrap().into_iter().find(|info| info.name == *name).unwrap();
    assert_eq!(left.pids, [std::process::id()]);
    drop((own, sut));
    assert!(!is_there(&name));
}

#[test]
fn a_full_participant_table_is_named() {
    let name = Name::new();
    let sut = create(&name).unwrap();
    let mut joined: Vec<_> = (0..4).map(|i| sut.join(i).unwrap()).collect();
    let full =
        "ERR_COHEAP_TOO_MANY_PARTICIPANTS: as many threads as the heap's maxParticipants have joined it (4)";
    assert_eq!(sut.join(9).err().unwrap().to_string(), full);
    let mut peer = Peer::new();
    peer.ask(&format!("open {}", &*name));
    assert_eq!(peer.ask("why join"), full);
    joined.pop();
    assert_eq!(peer.ask("join"), "4 4");
    drop((joined, peer, sut));
}

/// With each number of descriptors that a process can have, from none to enough.
#[test]
fn without_descriptors_nothing_is_made_and_what_is_there_is_left_as_it_should_be() {
    let (name, other) = (Name::new(), Name::new());
    let sut = create(&name).unwrap();
    let mut peer = Peer::new();
    let mut refused = [0; 3];
    let listed = format!("[{}] false", std::process::id());
    for count in 3.. {
        let mut limited = |line: &str| {
            peer.ask(&format!("limit descriptors {count}"));
            let answer = peer.ask(line);
            peer.ask("limit descriptors");
            answer
        };
        let is_refused = |answer: &str| {
            let refused = answer.starts_with("ERR_COHEAP_OUT_OF_MEMORY") && answer.ends_with("(os error 24)");
            assert!(refused || answer == "ok" || answer == listed, "{answer}");
            refused as u32
        };
        let open = is_refused(&limited(&format!("why open {}", &*name)));
        assert_eq!(limited("drop"), "ok");
        let created = is_refused(&limited(&format!("why create {}", &*other)));
        assert_eq!(is_there(&other), created == 0);
        // the last one removes it, with no descriptor to spare
        assert_eq!(limited("drop"), "ok");
        assert!(!is_there(&other));
        let list = is_refused(&limited(&format!("why list {}", &*name)));
        refused = [refused[0] + open, refused[1] + created, refused[2] + list];
        if open + created + list == 0 {
            break;
        }
    }
    assert!(refused.iter().all(|&n| n > 0), "{refused:?}");
    drop(sut);
}

#[test]
fn a_limit_on_file_sizes_is_an_error_and_not_a_signal() {
    let name = Name::new();
    let mut peer = Peer::new();
    let create = |peer: &mut Peer| peer.ask(&format!("why create {}", &*name));
    peer.ask("limit file-size 1000000");
    let why =
        "ERR_COHEAP_OUT_OF_MEMORY: the heap's maxSize is above RLIMIT_FSIZE: File too large (os error 27)";
    assert_eq!(create(&mut peer), why);
    assert!(!is_there(&name));
    peer.ask("limit file-size 2000000");
    assert_eq!(create(&mut peer), "ok");
    // it grows up to its size, whatever the limit is now
    peer.ask("limit file-size 0");
    assert_eq!(peer.ask(&format!("grow {}", 1 << 20)), "ok");
}

/// Not with a sanitizer: its own tables are terabytes of address space.
#[test]
fn a_limit_on_memory_is_an_error_and_not_a_signal() {
    if std::env::var_os("COHEAP_SANITIZER").is_some() {
        return;
    }
    let name = Name::new();
    let mut peer = Peer::new();
    let create = |peer: &mut Peer, size: &str| peer.ask(&format!("why create{size} {}", &*name));
    peer.ask(&format!("limit memory {}", 700 << 20));
    let answer = create(&mut peer, "-large");
    assert!(answer.starts_with("ERR_COHEAP_OUT_OF_MEMORY: the heap"), "{answer}");
    assert!(!is_there(&name));
    assert_eq!(create(&mut peer, ""), "ok");
    assert_eq!(code(Segment::create(&name, &small(), |_| Ok(()))), Code::Exists);
    // one that others can map
    peer.ask("drop");
    let large = Options { max_size: 1 << 30, ..small() };
    let sut = Segment::create(&name, &large, |_| Ok(())).unwrap();
    let answer = peer.ask(&format!("why open {}", &*name));
    assert_eq!(
        answer,
        "ERR_COHEAP_OUT_OF_MEMORY: the heap cannot be mapped: Cannot allocate memory (os error 12)"
    );
    peer.ask("limit memory");
    assert_eq!(peer.ask(&format!("open {}", &*name)), "ok");
    drop(sut);
}
