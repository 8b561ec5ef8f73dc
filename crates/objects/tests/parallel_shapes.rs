//! Threads that build the same records at once agree on every shape.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Barrier};

use coheap_objects::key::Key;
use coheap_objects::keys;
use coheap_objects::shape::{self, MAX_SHAPES};
use coheap_txn::Mem;

mod shared;
use shared::SharedMem;

const THREADS: usize = 4;

/// The paths that one thread walks: the same for all, in an order of its own.
fn paths(thread: usize) -> Vec<Vec<Key>> {
    let mut all: Vec<Vec<Key>> = (0..150)
        .map(|i: u32| {
            let tail = (0..i % 7).map(|k| Key::index(k * i));
            let first = Key::string(format!("kind {}", i % 11).as_str());
            let mut path = vec![first, Key::symbol(format!("{i}").as_str())];
            path.extend(tail.filter(|key| key.as_index() != Some(0)).collect::<HashSet<_>>());
            path.sort_by_key(|key| key.to_string());
            path
        })
        .collect();
    let n = all.len();
    all.rotate_left(thread * 3 % n);
    all
}

#[test]
fn threads_that_add_the_same_keys_get_the_same_shapes() {
    for _ in 0..20 {
        let sut = SharedMem::new(8 << 20);
        let start = Arc::new(Barrier::new(THREADS));
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (mut m, start) = (sut.clone(), start.clone());
                std::thread::spawn(move || {
                    start.wait();
                    let mut found = HashMap::new();
                    for path in paths(thread) {
                        let shape = shape::of(&mut m, false, &path).unwrap().unwrap();
                        assert_eq!(shape.keys.iter().map(|k| Key::clone(k)).collect::<Vec<_>>(), path);
                        found.insert(path.iter().map(Key::to_string).collect::<Vec<_>>(), shape.id);
                    }
                    (found, m.published, m.freed)
                })
            })
            .collect();
        let results: Vec<_> = workers.into_iter().map(|w| w.join().unwrap()).collect();
        let ids: BTreeSet<u16> = results[0].0.values().copied().collect();
        assert_eq!(ids.len(), results[0].0.len(), "different keys, different shapes");
        for (found, published, freed) in &results {
            assert_eq!(*found, results[0].0);
            assert!(published.iter().all(|at| !freed.contains(at)));
        }
        let published: usize = results.iter().map(|r| r.1.len()).sum();
        let distinct: HashSet<_> = results.iter().flat_map(|r| &r.1).collect();
        assert_eq!(distinct.len(), published);
    }
}

/// All threads arrive within a few instructions of one another.
fn meet(arrived: &AtomicUsize, round: usize) {
    arrived.fetch_add(1, SeqCst);
    let mut spins = 0u32;
    while arrived.load(SeqCst) < (round + 1) * RACERS {
        spins += 1;
        if spins.is_multiple_of(1000) { std::thread::yield_now() } else { std::hint::spin_loop() }
    }
}

const RACERS: usize = 2;

#[test]
fn threads_that_meet_at_every_key_get_the_same_block_and_id() {
    const ROUNDS: usize = 800;
    let sut = SharedMem::new(16 << 20);
    let arrived = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..RACERS)
        .map(|_| {
            let (mut m, arrived) = (sut.clone(), arrived.clone());
            std::thread::spawn(move || {
                let mut found = Vec::new();
                for round in 0..ROUNDS {
                    let key = Key::string(format!("key {round}").as_str());
                    meet(&arrived, round);
                    // every other time the key is there before its shape is
                    let at = (round % 2 == 0).then(|| keys::intern(&mut m, &key).unwrap());
                    let shape = shape::of(&mut m, false, [&key]).unwrap().unwrap();
                    found.push((at, shape.id));
                }
                found
            })
        })
        .collect();
    let found: Vec<_> = workers.into_iter().map(|w| w.join().unwrap()).collect();
    assert!(found.iter().all(|other| *other == found[0]));
    let ids: HashSet<u16> = found[0].iter().map(|&(_, id)| id).collect();
    assert_eq!(ids.len(), ROUNDS);
}

#[test]
fn a_table_that_threads_fill_to_the_brim_stays_sound() {
    let sut = SharedMem::new(64 << 20);
    let start = Arc::new(Barrier::new(THREADS));
    let workers: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (mut m, start) = (sut.clone(), start.clone());
            std::thread::spawn(move || {
                start.wait();
                let mut made = 0;
                // neighbours share half of what they make
                for i in (0..50u32).map(|i| i + 25 * thread as u32) {
                    let Some(parent) = shape::of(&mut m, false, [&Key::index(i)]).unwrap() else { break };
                    for k in 0..700 {
                        let key = Key::index(1000 + k);
                        made += shape::child(&mut m, &parent, &key).unwrap().is_some() as usize;
                    }
                }
                made
            })
        })
        .collect();
    let made: usize = workers.into_iter().map(|w| w.join().unwrap()).sum();
    assert!(made > 65_000);
    let mut m = sut;
    let mut known = HashSet::new();
    for id in 1..MAX_SHAPES {
        if let Ok(shape) = shape::info(&m, id as u16) {
            let keys: Vec<String> = shape.keys.iter().map(|k| k.to_string()).collect();
            assert!(known.insert((shape.null_proto, keys)), "two ids for one shape");
        }
    }
    assert!(known.len() > 65_000, "{}", known.len());
    assert!(m.segment().header().shapes.load(std::sync::atomic::Ordering::Relaxed) != 0);
    assert!(shape::of(&mut m, false, [&Key::string("one more")]).unwrap().is_none());
}
