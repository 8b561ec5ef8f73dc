//! `verify` of a heap that others are changing all the time: what comes and goes is not told as wrong.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use coheap_heap::{Data, Heap, Options};

const LOOKS: usize = 50;
/// So many texts make a look long enough for each of the others to be overwritten between its being read and its being
/// checked.
const BALLAST: usize = 20_000;

#[test]
fn a_heap_in_use_is_not_accused() {
    let name = format!("live-verify-{}", std::process::id());
    let options = Options { size: 1, max_size: 64 << 20, max_participants: 4, ..Options::default() };
    let heap = Heap::create(&name, &options).unwrap();
    let keys: Vec<String> = (0..32).map(|i| format!("key{i}")).collect();
    let text = |n: usize| Data::from(format!("a text that has a block of its own: {n}"));
    let ballast = || Data::from((0..BALLAST).map(text).collect::<Vec<_>>());
    // whichever end of an object is read first
    heap.root().set("before", ballast()).unwrap();
    for key in &keys {
        heap.root().set(key, text(0)).unwrap();
    }
    heap.root().set("behind", ballast()).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let heap = Heap::open(&name, &options).unwrap();
            let mut n = 0;
            while !stop.load(Relaxed) {
                // a text, then something that has no block, so that the text's is free
                for key in &keys {
                    heap.root().set(key, text(n)).unwrap();
                }
                for key in &keys {
                    heap.root().set(key, Data::from(n as f64)).unwrap();
                }
                n += 1;
            }
        });
        scope.spawn(|| {
            let heap = Heap::open(&name, &options).unwrap();
            let channel = heap.channel("c", Some(64), false).unwrap();
            let mut n = 0;
            while !stop.load(Relaxed) {
                n += channel.put_many((n..n + 16).map(text)).unwrap();
                channel.take_many(24).unwrap();
            }
        });
        for _ in 0..LOOKS {
            let told = heap.verify();
            if !told.is_empty() {
                stop.store(true, Relaxed);
                panic!("{told:?}");
            }
        }
        stop.store(true, Relaxed);
    });
    assert_eq!(heap.verify(), []);
}
