//! Words of records, arrays and the tables of shapes and keys are overwritten with garbage: every operation ends,
//! with a result or an error.

use coheap_objects::cell::{Cell, Tag};
use coheap_objects::key::Key;
use coheap_objects::{array, record, shape, string};
use coheap_segment::Off;
use coheap_txn::Mem;

mod shared;
use shared::SharedMem;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 20) % n
    }
}

fn key(i: u64) -> Key {
    match i % 3 {
        0 => Key::index(i as u32),
        1 => Key::symbol(format!("a symbol {i}").as_str()),
        _ => Key::string(format!("a long key {i}").as_str()),
    }
}

fn text(m: &mut SharedMem) -> Cell {
    string::build(m, &"a string of its own ☃".into()).unwrap()
}

/// Two records (one a dictionary) and two arrays (one sparse).
fn build(m: &mut SharedMem) -> [Off; 4] {
    let shaped: Vec<(Key, Cell)> = (0..20).map(|i| (key(i), text(m))).collect();
    let shaped = record::create_with(m, false, &shaped).unwrap();
    let keyed: Vec<(Key, Cell)> = (0..100).map(|i| (key(i), text(m))).collect();
    let keyed = record::create_with(m, false, &keyed).unwrap();
    let cells: Vec<Cell> = (0..40).map(|_| text(m)).collect();
    let list = array::create_with(m, &cells).unwrap();
    array::set_named(m, list, &key(2), Cell::TRUE).unwrap();
    let sparse = array::create(m).unwrap();
    for i in 0..40 {
        let cell = text(m);
        array::set(m, sparse, i * 100_000, cell).unwrap();
    }
    [shaped, keyed, list, sparse]
}

/// One operation after the other; what they give does not matter.
fn touch(m: &mut SharedMem, r: &mut Random, objects: [Off; 4]) {
    let [shaped, keyed, list, sparse] = objects;
    for at in [shaped, keyed] {
        let k = key(r.below(110));
        if let Ok(Some(cell)) = record::get(m, at, &k)
            && matches!(cell.tag(), Some(Tag::String))
        {
            let _ = string::load(m, coheap_txn::Guard(at), cell);
        }
        let _ = record::entries(m, at);
        let _ = record::len(m, at);
        let _ = record::set(m, at, &k, Cell::NULL);
        let _ = record::delete(m, at, &key(r.below(110)));
        if let Ok(word) = record::shape_word(m, at) {
            let _ = record::set_slot(m, at, word, r.below(70) as usize, Cell::TRUE);
        }
    }
    for at in [list, sparse] {
        let _ = array::get(m, at, r.below(60) as u32 * 100_000);
        let _ = array::read_range(m, at, r.below(50) as u32, 1000);
        let _ = array::present(m, at);
        let _ = array::push(m, at, &[Cell::TRUE, Cell::NULL]);
        let _ = array::set(m, at, r.below(60) as u32, Cell::NULL);
        let _ = array::pop(m, at);
        let _ = array::shift(m, at);
        let _ = array::splice(m, at, r.below(50) as u32, 3, &[Cell::NULL]);
        let _ = array::get_named(m, at, &key(2));
        let _ = array::contents(m, at);
        let _ = array::set_len(m, at, r.below(50) as u32);
    }
    let _ = shape::of(m, false, [&key(r.below(30)), &key(31)]);
}

#[test]
fn garbage_ends_in_an_error_not_in_a_crash_or_a_hang() {
    for seed in 1..200u64 {
        println!("seed {seed}");
        let mut r = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut m = SharedMem::new(2 << 20);
        let objects = build(&mut m);
        let (from, to) = (m.segment().plan().data, m.next.load(std::sync::atomic::Ordering::Relaxed));
        for _ in 0..20 {
            for _ in 0..1 + r.below(4) {
                // near the objects as often as anywhere
                let at = match r.below(2) {
                    0 => from + r.below((to - from) / 8) * 8,
                    _ => objects[r.below(4) as usize] + r.below(8) * 8,
                };
                let old = m.segment().word(at).unwrap().load(std::sync::atomic::Ordering::Relaxed);
                let new = match r.below(6) {
                    0 => r.next(),
                    1 => u64::MAX,
                    2 => 0,
                    3 => old ^ 1 << r.below(64),
                    4 => from + r.below((to - from) / 8) * 8,
                    _ => old.wrapping_add(r.below(64)),
                };
                m.init64(at, new);
            }
            touch(&mut m, &mut r, objects);
        }
    }
}
