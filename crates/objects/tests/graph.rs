//! Whole values: wire to heap to wire.

mod common;

use coheap_objects::graph::{build, build_all, export, export_deep, map_key};
use coheap_objects::key::Key;
use coheap_objects::map_iter::next_from;
use coheap_objects::mapkey::MapKey;
use coheap_objects::refs::{Reference, for_each_ref};
use coheap_objects::string::Str;
use coheap_objects::wire::{Writer, tag};
use coheap_objects::{Cell, Tag, array, buffer, map, record, view};
use coheap_segment::Code;
use coheap_txn::scratch::ScratchMem;
use coheap_txn::{Fault, Guard, Mem, Res};
use common::{Rng, n, seed};

fn no_handles(_: u32) -> Res<Cell> {
    panic!("no handle here")
}

fn built(m: &mut ScratchMem, wire: &[u8]) -> Cell {
    build(m, wire, &mut no_handles).unwrap()
}

fn deep(m: &mut ScratchMem, cell: Cell) -> Vec<u8> {
    let mut out = Vec::new();
    export_deep(m, Guard(cell.offset()), cell, &mut out).unwrap();
    out
}

fn wire(f: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    f(&mut Writer(&mut out));
    out
}

/// Writes random values as `export_deep` would.
struct Gen {
    rng: Rng,
    out: Vec<u8>,
    /// Containers so far; true: a buffer.
    ids: Vec<bool>,
    budget: u64,
}

impl Gen {
    fn w(&mut self) -> Writer<'_> {
        Writer(&mut self.out)
    }
    fn str(&mut self) -> Str {
        let n = self.rng.below(12);
        match self.rng.below(3) {
            0 => Str::from_latin1((0..n).map(|_| self.rng.next() as u8).collect::<Vec<_>>()),
            1 => Str::from_utf16((0..n).map(|_| self.rng.next() as u16).collect::<Vec<_>>()),
            _ => Str::from(format!("text number {}", self.rng.below(1000)).as_str()),
        }
    }
    fn leaf(&mut self) {
        match self.rng.below(8) {
            0 => {
                let x = [0.0, -0.0, 1.5, f64::INFINITY, 4e9, -7.0][self.rng.below(6) as usize];
                self.w().number(x);
            }
            1 => {
                let t = self.rng.below(4) as u8;
                self.w().u8(t);
            }
            2 => {
                let s = self.str();
                self.w().symbol(&s);
            }
            3 => {
                let limbs: Vec<u64> = (0..self.rng.below(4)).map(|i| i + 1).collect();
                let negative = self.rng.below(2) == 0 && !limbs.is_empty();
                self.w().bigint(negative, &limbs);
            }
            4 => {
                let x = self.rng.next() as i32;
                self.w().number(x as f64);
            }
            _ => {
                let s = self.str();
                self.w().text(&s);
            }
        }
    }
    fn head(&mut self, tag: u8, is_buffer: bool) {
        let id = self.ids.len() as u32;
        self.ids.push(is_buffer);
        self.w().u8(tag);
        self.w().u32(id);
    }
    /// Keys that no other property of the object has, in the language's order.
    fn key(&mut self, i: u32) -> Key {
        match i % 5 {
            _ if self.rng.below(1000) == 0 => Key::string(format!("\u{2603} {i}").as_str()),
            0 | 1 => Key::string(format!("k{i}").as_str()),
            2 => Key::string(format!("a long name of a property {i}").as_str()),
            _ => Key::string(format!("é{i}").as_str()),
        }
    }
    fn buffer(&mut self) -> u64 {
        let len = self.rng.below(100);
        self.head(tag::BUFFER, true);
        self.w().u64(len);
        let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
        self.out.extend(bytes);
        len
    }
    fn value(&mut self, depth: u32) {
        self.budget = self.budget.saturating_sub(1);
        if self.budget == 0 || depth > 12 || self.rng.below(3) == 0 {
            return self.leaf();
        }
        if !self.ids.is_empty() && self.rng.below(6) == 0 {
            let id = self.rng.below(self.ids.len() as u64) as u32;
            return self.w().back(id);
        }
        self.container(depth);
    }
    fn container(&mut self, depth: u32) {
        let size = if self.rng.below(20) == 0 { 100 } else { self.rng.below(6) as u32 };
        match self.rng.below(8) {
            0 | 1 => {
                self.head(tag::OBJECT, false);
                let null = self.rng.below(4) == 0;
                self.w().u8(null as u8);
                let indices = self.rng.below(3) as u32;
                self.w().u32(size + indices + 1);
                for i in 0..indices {
                    self.w().property_key(&Key::index(i * 10));
                    self.value(depth + 1);
                }
                for i in 0..size {
                    let key = self.key(i);
                    self.w().property_key(&key);
                    self.value(depth + 1);
                }
                self.w().property_key(&Key::symbol("s"));
                self.value(depth + 1);
            }
            2 | 3 => {
                self.head(tag::ARRAY, false);
                self.w().u32(size);
                self.w().u32(size);
                for i in 0..size {
                    if i + 1 < size && self.rng.below(10) == 0 {
                        self.w().u8(tag::HOLE);
                    } else {
                        self.value(depth + 1);
                    }
                }
                let named = if self.rng.below(4) == 0 { 2 } else { 0 };
                self.w().u32(named);
                for i in 0..named {
                    self.w().property_key(&Key::string(format!("name{i}").as_str()));
                    self.value(depth + 1);
                }
            }
            4 | 5 => {
                let is_map = self.rng.below(2) == 0;
                self.head(if is_map { tag::MAP } else { tag::SET }, false);
                self.w().u32(size);
                for i in 0..size {
                    match i % 3 {
                        0 => self.w().number(i as f64),
                        1 => self.w().text(&Str::from(format!("the key number {i}").as_str())),
                        _ => self.container(depth + 1),
                    }
                    if is_map {
                        self.value(depth + 1);
                    }
                }
            }
            6 => {
                self.head(tag::VIEW, false);
                self.w().u8(2);
                let at = self.out.len();
                self.w().u64(0);
                self.w().u64(0);
                let len = self.buffer();
                let (start, length) = (len / 3, len / 2);
                self.out[at..at + 8].copy_from_slice(&start.to_le_bytes());
                self.out[at + 8..at + 16].copy_from_slice(&length.to_le_bytes());
            }
            _ => {
                let refs = self.rng.below(3) as u32;
                self.w().u8(tag::PACKED);
                self.w().u8(6);
                self.w().u32(refs);
                for _ in 0..refs {
                    self.head(tag::SET, false);
                    self.w().u32(0);
                }
                let content: Vec<u8> = (0..self.rng.below(30) as u8).collect();
                self.w().u32(content.len() as u32);
                self.out.extend(content);
            }
        }
    }
}

fn random_value(seed: u64) -> Vec<u8> {
    let mut sut = Gen { rng: Rng(seed), out: Vec::new(), ids: Vec::new(), budget: 400 };
    sut.container(0);
    sut.out
}

#[test]
fn what_is_built_is_exported_again_byte_for_byte() {
    let seed = seed();
    let mut m = ScratchMem::new(512 << 20);
    for i in 0..200 {
        let wire = random_value(seed.wrapping_add(i));
        let cell = built(&mut m, &wire);
        assert_eq!(deep(&mut m, cell), wire, "value {i}");
    }
}

#[test]
fn every_block_of_a_value_is_reached_through_references() {
    let seed = seed();
    for i in 0..100 {
        let mut m = ScratchMem::new(64 << 20);
        // shapes and keys come first and stay
        let wire = random_value(seed.wrapping_add(i));
        built(&mut m, &wire);
        let before = m.live.clone();
        let cell = built(&mut m, &wire);
        let mut seen = std::collections::HashSet::new();
        let mut rest = vec![Reference::Cell(cell)];
        while let Some(r) = rest.pop() {
            if r.offset() != 0 && seen.insert(r.offset()) {
                for_each_ref(m.segment(), r.offset(), &mut |r| rest.push(r)).unwrap();
            }
        }
        let fresh: Vec<_> = m.live.difference(&before).collect();
        assert!(fresh.iter().all(|at| seen.contains(at)), "value {i}");
    }
}

#[test]
fn a_broken_wire_is_an_error_and_never_a_panic() {
    let seed = seed();
    let mut rng = Rng(seed);
    let mut refused = 0;
    for i in 0..500 {
        let mut m = ScratchMem::new(8 << 20);
        let mut wire = random_value(seed.wrapping_add(i % 50));
        match rng.below(3) {
            0 => wire.truncate(rng.below(wire.len() as u64) as usize),
            1 => (0..1 + rng.below(4)).for_each(|_| {
                let at = rng.below(wire.len() as u64) as usize;
                wire[at] = rng.next() as u8;
            }),
            _ => wire = (0..rng.below(200)).map(|_| (rng.next() % 24) as u8).collect(),
        }
        let mut resolve = |h: u32| match h {
            7 => Ok(Cell::UNDEFINED),
            _ => Ok(Cell::reference(Tag::Record, 1 << 16)),
        };
        match build(&mut m, &wire, &mut resolve) {
            Ok(_) => {}
            Err(Fault::Error(e)) => {
                assert!(matches!(e.code, Code::InvalidArgument | Code::OutOfMemory), "{e}");
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
        let _ = map_key(&wire, &mut resolve);
        let _ = build_all(&mut m, &wire, &mut resolve);
    }
    assert!(refused > 150);
}

#[test]
fn a_hundred_thousand_levels_do_not_overflow_the_stack() {
    const LEVELS: u32 = 100_000;
    let bytes = wire(|w| {
        for i in 0..LEVELS {
            match i % 3 {
                0 => {
                    w.u8(tag::ARRAY);
                    w.u32(i);
                    w.u32(1);
                    w.u32(1);
                }
                1 => {
                    w.u8(tag::OBJECT);
                    w.u32(i);
                    w.u8(0);
                    w.u32(1);
                    w.property_key(&Key::string("down"));
                }
                _ => {
                    w.u8(tag::SET);
                    w.u32(i);
                    w.u32(1);
                }
            }
        }
        w.back(0);
        for i in (0..LEVELS).rev() {
            if i % 3 == 0 {
                w.u32(0);
            }
        }
    });
    let run = move || {
        let mut m = ScratchMem::new(256 << 20);
        let cell = built(&mut m, &bytes);
        assert_eq!(deep(&mut m, cell), bytes);
    };
    std::thread::Builder::new().stack_size(256 << 10).spawn(run).unwrap().join().unwrap();
}

#[test]
fn aliases_and_cycles_stay_what_they_were() {
    let mut m = ScratchMem::new(4 << 20);
    let bytes = wire(|w| {
        w.u8(tag::OBJECT);
        w.u32(0);
        w.u8(0);
        w.u32(3);
        w.property_key(&Key::string("self"));
        w.back(0);
        w.property_key(&Key::string("a"));
        w.u8(tag::MAP);
        w.u32(1);
        w.u32(1);
        w.back(1);
        w.back(0);
        w.property_key(&Key::string("b"));
        w.back(1);
    });
    let cell = built(&mut m, &bytes);
    let at = cell.offset();
    assert_eq!(record::get(&mut m, at, &Key::string("self")).unwrap(), Some(cell));
    let a = record::get(&mut m, at, &Key::string("a")).unwrap().unwrap();
    assert_eq!(record::get(&mut m, at, &Key::string("b")).unwrap(), Some(a));
    assert_eq!(map::get(&mut m, a.offset(), &MapKey::Bits(a.0)).unwrap().unwrap().0, cell);
}

#[test]
fn live_members_come_in_by_handle_and_go_out_by_handle() {
    let mut m = ScratchMem::new(4 << 20);
    let live = Cell::reference(Tag::Set, map::create(&mut m, Tag::Set).unwrap());
    let bytes = wire(|w| {
        w.u8(tag::ARRAY);
        w.u32(0);
        w.u32(2);
        w.u32(2);
        w.live(77);
        w.u8(tag::PACKED);
        w.u8(7);
        w.u32(1);
        w.live(77);
        w.u32(3);
        w.u8(1);
        w.u8(2);
        w.u8(3);
        w.u32(0);
    });
    let mut asked = Vec::new();
    let cell = build(&mut m, &bytes, &mut |h| {
        asked.push(h);
        Ok(live)
    })
    .unwrap();
    assert_eq!(asked, [77, 77]);
    let first = array::get(&mut m, cell.offset(), 0).unwrap().unwrap();
    assert_eq!(first, live);
    let second = array::get(&mut m, cell.offset(), 1).unwrap().unwrap();
    let mut out = Vec::new();
    let mut publish = |at, tag| {
        assert_eq!((at, tag), (live.offset(), Tag::Set));
        Ok(5)
    };
    export(&mut m, Guard(cell.offset()), second, &mut out, &mut publish).unwrap();
    let want = wire(|w| {
        w.u8(tag::PACKED);
        w.u8(7);
        w.u32(1);
        w.live(5);
        w.u32(3);
        w.u8(1);
        w.u8(2);
        w.u8(3);
    });
    assert_eq!(out, want);
    let error = Fault::Error(coheap_segment::Error::new(Code::OutOfMemory, "no handles"));
    assert!(export(&mut m, Guard(0), first, &mut out, &mut |_, _| Err(error)).is_err());
    assert_eq!(out, want, "nothing is appended on failure");
}

#[test]
fn a_large_map_is_born_with_stripes() {
    let mut m = ScratchMem::new(16 << 20);
    let bytes = wire(|w| {
        w.u8(tag::MAP);
        w.u32(0);
        w.u32(1000);
        for i in 0..1000 {
            w.text(&Str::from(format!("a key of some length {i}").as_str()));
            w.number(i as f64);
        }
    });
    let at = built(&mut m, &bytes).offset();
    for i in 0..1000 {
        let text = wire(|w| w.text(&Str::from(format!("a key of some length {i}").as_str())));
        let key = map_key(&text, &mut no_handles).unwrap();
        let (cell, guard) = map::get(&mut m, at, &key).unwrap().unwrap();
        assert_eq!(cell, n(i as f64));
        assert_ne!(guard, Guard(at));
    }
    assert_eq!(map::size(&mut m, at).unwrap(), 1000);
    assert_eq!(next_from(&mut m, at, 999, None).unwrap().unwrap().value, n(999.0));
    // and goes on as any other
    for i in 0..3000 {
        let k = MapKey::number(i as f64);
        map::set(&mut m, at, &k, |m| k.build(m), n(0.0)).unwrap();
    }
    assert_eq!(map::size(&mut m, at).unwrap(), 4000);
    map::clear(&mut m, at).unwrap();
    assert_eq!(m.live.len(), 2);
}

#[test]
fn equal_keys_in_one_wire_are_refused() {
    let mut m = ScratchMem::new(4 << 20);
    let bytes = wire(|w| {
        w.u8(tag::SET);
        w.u32(0);
        w.u32(2);
        w.number(0.0);
        w.number(-0.0);
    });
    assert!(build(&mut m, &bytes, &mut no_handles).is_err());
}

#[test]
fn views_share_their_buffer_and_stay_inside_it() {
    let mut m = ScratchMem::new(4 << 20);
    let two = |length: u64| {
        wire(|w| {
            w.u8(tag::ARRAY);
            w.u32(0);
            w.u32(2);
            w.u32(2);
            w.u8(tag::VIEW);
            w.u32(1);
            w.u8(9);
            w.u64(8);
            w.u64(2);
            w.u8(tag::BUFFER);
            w.u32(2);
            w.u64(24);
            (0..24).for_each(|i| w.u8(i));
            w.u8(tag::VIEW);
            w.u32(3);
            w.u8(5);
            w.u64(2);
            w.u64(length);
            w.back(2);
            w.u32(0);
        })
    };
    let cell = built(&mut m, &two(11));
    let first = array::get(&mut m, cell.offset(), 0).unwrap().unwrap();
    let second = array::get(&mut m, cell.offset(), 1).unwrap().unwrap();
    let (a, b) = (view::info(&mut m, first.offset()).unwrap(), view::info(&mut m, second.offset()).unwrap());
    assert_eq!(a.buffer, b.buffer);
    assert_eq!((a.byte_offset, a.length, b.byte_offset, b.length), (8, 2, 2, 11));
    let info = buffer::info(&mut m, a.buffer).unwrap();
    assert_eq!((info.len, info.data % 64), (24, 0));
    let mut bytes = Vec::new();
    buffer::read(&m, info, &mut bytes).unwrap();
    assert!(bytes.iter().copied().eq(0..24));
    assert!(build(&mut m, &two(12), &mut no_handles).is_err(), "beyond the end");
    let zeros = buffer::create(&mut m, 1000).unwrap();
    let info = buffer::info(&mut m, zeros).unwrap();
    bytes.clear();
    buffer::read(&m, info, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 1000]);
    assert!(buffer::create(&mut m, u64::MAX).is_err());
}

#[test]
fn sparse_arrays_keep_what_they_have_and_no_more() {
    let mut m = ScratchMem::new(4 << 20);
    let sparse = |elements: u32, second: u32| {
        wire(|w| {
            w.u8(tag::ARRAY);
            w.u32(0);
            w.u32(u32::MAX);
            w.u32(elements);
            if elements == 0 {
                w.u32(4);
                w.property_key(&Key::index(0));
                w.number(1.0);
            } else {
                w.number(1.0);
                w.u32(3);
            }
            w.property_key(&Key::index(second));
            w.number(2.0);
            w.property_key(&Key::index(u32::MAX - 1));
            w.number(3.0);
            w.property_key(&Key::string("name"));
            w.number(4.0);
        })
    };
    for elements in [0, 1] {
        let cell = built(&mut m, &sparse(elements, 1_000_000));
        assert_eq!(deep(&mut m, cell), sparse(0, 1_000_000));
        assert_eq!(array::len(&mut m, cell.offset()).unwrap(), u32::MAX);
    }
    assert!(build(&mut m, &sparse(0, u32::MAX - 1), &mut no_handles).is_err(), "one index twice");
    assert!(build(&mut m, &sparse(1, 0), &mut no_handles).is_err(), "an index among the elements");
}

#[test]
fn an_object_of_a_known_shape_is_its_values_alone() {
    let mut m = ScratchMem::new(4 << 20);
    let keys = [Key::string("x"), Key::string("y"), Key::symbol("z")];
    let shape = coheap_objects::shape::of(&mut m, false, &keys).unwrap().unwrap();
    let shaped = |id: u32, count: u32| {
        wire(|w| {
            w.u8(tag::SHAPED);
            w.u32(0);
            w.u32(id);
            w.u32(count);
            w.number(1.0);
            w.back(0);
            w.text(&Str::from("a string of some length"));
        })
    };
    let cell = built(&mut m, &shaped(shape.id as u32, 3));
    let entries = record::entries(&mut m, cell.offset()).unwrap();
    assert_eq!(entries.iter().map(|(key, _)| key).collect::<Vec<_>>(), keys.iter().collect::<Vec<_>>());
    assert_eq!((entries[0].1, entries[1].1), (n(1.0), cell));
    for wrong in [shaped(shape.id as u32, 2), shaped(60_000, 3), shaped(0, 3)] {
        match build(&mut m, &wrong, &mut no_handles) {
            Err(Fault::Error(e)) => assert_eq!(e.code, Code::InvalidArgument),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_wire_of_several_values_holds_all_of_them() {
    let mut m = ScratchMem::new(4 << 20);
    let bytes = wire(|w| {
        w.u32(3);
        w.number(1.0);
        w.u8(tag::HOLE);
        w.u8(tag::SET);
        w.u32(0);
        w.u32(0);
    });
    let cells = build_all(&mut m, &bytes, &mut no_handles).unwrap();
    assert_eq!(cells[..2], [n(1.0), Cell::HOLE]);
    assert_eq!(cells[2].tag(), Some(Tag::Set), "ids begin anew with each value");
    assert!(build_all(&mut m, &bytes[..bytes.len() - 1], &mut no_handles).is_err());
    assert!(build(&mut m, &[tag::HOLE], &mut no_handles).is_err());
    assert!(build(&mut m, &[tag::NULL, tag::NULL], &mut no_handles).is_err(), "something follows");
}

#[test]
fn a_corrupt_heap_is_exported_with_an_error_or_with_garbage_but_ends() {
    let seed = seed();
    let mut rng = Rng(seed);
    for i in 0..150 {
        let mut m = ScratchMem::new(8 << 20);
        let first = built(&mut m, &random_value(seed.wrapping_add(i)));
        let start = m.segment().plan().data;
        let end = m.alloc(16).unwrap().at;
        for _ in 0..1 + rng.below(6) {
            let at = start + rng.below((end - start) / 8) * 8;
            let block = start + rng.below(end - start) / 16 * 16;
            let tags = [Tag::String, Tag::Packed, Tag::Record, Tag::Array, Tag::Map, Tag::View, Tag::BigInt];
            let value = match rng.below(5) {
                0 => rng.next(),
                1 => rng.below(300),
                2 => block,
                _ => Cell::reference(tags[rng.below(7) as usize], block).0,
            };
            m.segment().word(at).unwrap().store(value, std::sync::atomic::Ordering::Relaxed);
        }
        let mut out = Vec::new();
        let _ = export_deep(&mut m, Guard(first.offset()), first, &mut out);
        let blocks: Vec<_> = m.live.iter().copied().collect();
        for at in blocks {
            let mut count = 0;
            let _ = for_each_ref(m.segment(), at, &mut |_| count += 1);
            for tag in [Tag::String, Tag::Packed, Tag::Symbol, Tag::BigInt] {
                let cell = Cell::reference(tag, at);
                let _ = export(&mut m, Guard(at), cell, &mut out, &mut |_, _| Ok(1));
            }
        }
    }
}
