//! Maps and sets against a plain model.

mod common;

use std::sync::atomic::Ordering::Relaxed;

use coheap_objects::map_iter::{Step, entries_from, next_from};
use coheap_objects::mapkey::{MapKey, Text};
use coheap_objects::string::{self, Str};
use coheap_objects::view::{self, ViewKind};
use coheap_objects::{Cell, Tag, buffer, map, packed};
use coheap_segment::{Code, Off};
use coheap_txn::scratch::ScratchMem;
use coheap_txn::{Fault, Guard, Mem};
use common::{Rng, Watch, n, seed};

fn text(s: &str) -> MapKey<'static> {
    MapKey::Text(Text::from(Str::from(s)))
}

/// A key of every sort, the same for the same number.
fn key(i: u64) -> MapKey<'static> {
    match i % 12 {
        0 => MapKey::number(i as f64),
        1 => MapKey::number(-(i as f64) / 3.0),
        2 => text(&format!("k{i}")),
        3 => text(&format!("a longer key number {i}")),
        4 => text(&format!("☃ {i}")),
        5 => MapKey::Symbol(Text::from(Str::from(format!("k{i}").as_str()))),
        6 => MapKey::bigint(i % 24 == 6, i.to_le_bytes().to_vec()),
        7 => MapKey::bigint(false, [i.to_le_bytes(), i.to_le_bytes()].concat()),
        8 => MapKey::Bits(Cell::reference(Tag::Record, i * 16).0),
        9 => MapKey::Bits([Cell::NULL, Cell::UNDEFINED, Cell::TRUE, Cell::FALSE][i as usize / 12 % 4].0),
        10 => text(["", "a", "ab", "abc", "é"][i as usize / 12 % 5]),
        _ => MapKey::number([0.0, f64::NAN, f64::INFINITY][i as usize / 12 % 3]),
    }
}

fn set(m: &mut ScratchMem, at: Off, key: &MapKey<'_>, value: Cell) -> bool {
    map::set(m, at, key, |m| key.build(m), value).unwrap()
}

fn all(m: &mut ScratchMem, at: Off) -> Vec<Step> {
    let mut out = Vec::new();
    entries_from(m, at, 0, None, usize::MAX, true, &mut out).unwrap();
    out
}

#[test]
fn a_map_behaves_as_its_model() {
    let seed = seed();
    for round in 0..12 {
        let mut rng = Rng(seed.wrapping_add(round));
        let mut m = ScratchMem::new(256 << 20);
        let sut = map::create(&mut m, Tag::Map).unwrap();
        // the model: every entry ever, alive or not, in order of insertion
        let mut model: Vec<(MapKey<'static>, Option<u64>)> = Vec::new();
        let mut iterators: Vec<(u64, Option<u64>, usize)> = Vec::new();
        let pool = [8, 40, 100, 1000][round as usize % 4];
        for step in 0..6000u64 {
            let k = key(rng.below(pool));
            let found = model.iter().rposition(|(key, value)| *key == k && value.is_some());
            match rng.below(100) {
                0..45 => {
                    let value = if step % 3 == 0 {
                        string::build(&mut m, &Str::from(format!("value number {step}").as_str())).unwrap()
                    } else {
                        n(step as f64)
                    };
                    assert_eq!(set(&mut m, sut, &k, value), found.is_some());
                    match found {
                        Some(i) => model[i].1 = Some(step),
                        None => model.push((k, Some(step))),
                    }
                }
                45..75 => {
                    assert_eq!(map::delete(&mut m, sut, &k).unwrap(), found.is_some());
                    if let Some(i) = found {
                        model[i].1 = None;
                    }
                }
                75..85 => {
                    let got = map::get(&mut m, sut, &k).unwrap();
                    let got = got.map(|(cell, guard)| match cell.as_number() {
                        Some(x) => x as u64,
                        None => {
                            let s = string::load(&mut m, guard, cell).unwrap().to_string();
                            s.strip_prefix("value number ").unwrap().parse().unwrap()
                        }
                    });
                    assert_eq!(got, found.and_then(|i| model[i].1), "key {k:?}");
                    assert_eq!(map::has(&mut m, sut, &k).unwrap(), found.is_some());
                }
                85..87 => iterators.push((0, None, 0)),
                87 if rng.below(20) == 0 => {
                    map::clear(&mut m, sut).unwrap();
                    model.iter_mut().for_each(|entry| entry.1 = None);
                }
                _ if !iterators.is_empty() => {
                    let i = rng.below(iterators.len() as u64) as usize;
                    let (last, hint, seen) = &mut iterators[i];
                    let hint = if rng.below(4) == 0 { None } else { *hint };
                    let want = (*seen..model.len()).find(|i| model[*i].1.is_some());
                    match (next_from(&mut m, sut, *last, hint).unwrap(), want) {
                        (Some(step), Some(at)) => {
                            let got = MapKey::load(&mut m, step.key_guard, step.key).unwrap();
                            assert_eq!(got, model[at].0);
                            iterators[i] = (step.number, Some(step.hint), at + 1);
                        }
                        (None, None) => drop(iterators.swap_remove(i)),
                        (got, want) => panic!("{got:?} is not {want:?}"),
                    }
                }
                _ => {}
            }
        }
        let living: Vec<_> =
            model.iter().filter(|entry| entry.1.is_some()).map(|entry| entry.0.clone()).collect();
        assert_eq!(map::size(&mut m, sut).unwrap(), living.len() as u64);
        let steps = all(&mut m, sut);
        let keys: Vec<_> =
            steps.iter().map(|step| MapKey::load(&mut m, step.key_guard, step.key).unwrap()).collect();
        assert_eq!(keys, living);
        assert!(steps.is_sorted_by_key(|step| step.number));
        map::clear(&mut m, sut).unwrap();
        assert!(m.live.len() <= 2, "identity and stripes are left, nothing by value");
    }
}

#[test]
fn same_value_zero() {
    let mut m = ScratchMem::new(4 << 20);
    let sut = map::create(&mut m, Tag::Map).unwrap();
    set(&mut m, sut, &MapKey::number(-0.0), n(1.0));
    assert_eq!(map::get(&mut m, sut, &MapKey::number(0.0)).unwrap().unwrap().0, n(1.0));
    assert!(!all(&mut m, sut)[0].key.as_number().unwrap().is_sign_negative());
    set(&mut m, sut, &MapKey::number(f64::NAN), n(2.0));
    assert!(map::has(&mut m, sut, &MapKey::number(f64::from_bits(0x7ff8_0000_0000_0001))).unwrap());
    set(&mut m, sut, &MapKey::bigint(false, 1u64.to_le_bytes().to_vec()), n(3.0));
    assert!(!map::has(&mut m, sut, &MapKey::number(1.0)).unwrap());
    assert!(map::has(&mut m, sut, &MapKey::bigint(false, [1u64.to_le_bytes(), [0; 8]].concat())).unwrap());
    set(&mut m, sut, &text("1"), n(4.0));
    assert!(!map::has(&mut m, sut, &MapKey::Symbol(Text::latin1(b"1".to_vec()))).unwrap());
    assert!(map::has(&mut m, sut, &MapKey::Text(Text::utf16(b"1\0".to_vec()))).unwrap());
    for _ in 0..2 {
        let date = packed::build(&mut m, 1, &[], &[5; 9]).unwrap();
        assert!(!map::set(&mut m, sut, &MapKey::Unique, |_| Ok(date), n(5.0)).unwrap());
    }
    assert_eq!(map::size(&mut m, sut).unwrap(), 6, "two dates are two keys");
    assert!(!map::has(&mut m, sut, &MapKey::Unique).unwrap());
    // a plain object as a key is new: from then on it is found by identity
    let new = Cell::reference(Tag::Set, map::create(&mut m, Tag::Set).unwrap());
    assert!(!map::set(&mut m, sut, &MapKey::Unique, |_| Ok(new), n(6.0)).unwrap());
    assert_eq!(map::get(&mut m, sut, &MapKey::Bits(new.0)).unwrap().unwrap().0, n(6.0));
}

#[test]
fn what_is_destroyed_says_so() {
    let mut m = ScratchMem::new(4 << 20);
    for tag in [Tag::Map, Tag::Set, Tag::Buffer, Tag::View] {
        let at = match tag {
            Tag::Buffer => buffer::create(&mut m, 8).unwrap(),
            Tag::View => {
                let bytes = buffer::create(&mut m, 8).unwrap();
                view::create(&mut m, ViewKind::Uint8, bytes, 0, 8).unwrap()
            }
            _ => map::create(&mut m, tag).unwrap(),
        };
        m.finish(at, tag as u8, 0, 1 << 31);
        let result = match tag {
            Tag::Buffer => buffer::info(&mut m, at).map(drop),
            Tag::View => view::info(&mut m, at).map(drop),
            _ => map::has(&mut m, at, &MapKey::number(1.0)).map(drop),
        };
        assert!(matches!(result, Err(Fault::Error(e)) if e.code == Code::Destroyed), "{tag:?}");
    }
}

#[test]
fn a_small_map_is_one_version_word_and_a_few_stores() {
    let mut m = ScratchMem::new(4 << 20);
    let sut = map::create(&mut m, Tag::Map).unwrap();
    for i in 0..64u64 {
        let k = text(&format!("a key that is no inline one {i}"));
        let mut w = Watch::new(&mut m);
        map::set(&mut w, sut, &k, |w| k.build(w), n(i as f64)).unwrap();
        assert!(w.stores <= 7, "{} stores", w.stores);
        assert_eq!(w.guards.len(), 1);
        let mut w = Watch::new(&mut m);
        map::set(&mut w, sut, &k, |_| unreachable!(), n(1.0)).unwrap();
        assert_eq!((w.stores, w.guards.len()), (1, 1));
        let mut w = Watch::new(&mut m);
        map::get(&mut w, sut, &k).unwrap();
        assert_eq!(w.guards.len(), 1);
    }
    for i in 0..64u64 {
        let mut w = Watch::new(&mut m);
        assert!(map::delete(&mut w, sut, &text(&format!("a key that is no inline one {i}"))).unwrap());
        assert_eq!(w.guards.len(), 1);
        assert!(w.stores <= 7);
    }
}

#[test]
fn a_large_map_has_sixteen_version_words_and_an_old_key_needs_one_of_them() {
    let mut m = ScratchMem::new(16 << 20);
    let sut = map::create(&mut m, Tag::Map).unwrap();
    for i in 0..1000 {
        set(&mut m, sut, &MapKey::number(i as f64), n(0.0));
    }
    let mut words = std::collections::BTreeSet::new();
    for i in 0..1000 {
        let k = MapKey::number(i as f64);
        let mut w = Watch::new(&mut m);
        map::set(&mut w, sut, &k, |_| unreachable!(), n(i as f64)).unwrap();
        assert_eq!((w.stores, w.guards.len()), (1, 1));
        let used = w.guards.clone();
        assert!(!used.contains(&sut));
        let mut w = Watch::new(&mut m);
        let (cell, guard) = map::get(&mut w, sut, &k).unwrap().unwrap();
        assert_eq!((cell, &w.guards), (n(i as f64), &used), "read under the word that a writer takes");
        assert_eq!(used.first(), Some(&guard.0));
        words.extend(used);
    }
    assert_eq!(words.len(), 16);
    assert!(words.iter().all(|word| word % 64 == 0), "each on a line of its own");
    // insertion and deletion: the stripe and the map word
    let before = m.version(Guard(sut)).unwrap();
    let mut w = Watch::new(&mut m);
    map::delete(&mut w, sut, &MapKey::number(5.0)).unwrap();
    assert_eq!(w.guards.len(), 2);
    assert!(m.version(Guard(sut)).unwrap() > before);
    // clear takes all
    let mut w = Watch::new(&mut m);
    map::clear(&mut w, sut).unwrap();
    assert_eq!(w.guards.len(), 17);
    // and an empty one goes on with stripes
    set(&mut m, sut, &MapKey::number(1.0), n(1.0));
    assert_eq!(all(&mut m, sut)[0].number, 1001);
}

#[test]
fn a_pass_over_the_keys_of_a_large_map_reads_under_the_map_word_alone() {
    let mut m = ScratchMem::new(16 << 20);
    let sut = map::create(&mut m, Tag::Set).unwrap();
    for i in 0..500 {
        let k = MapKey::number(i as f64);
        assert!(!map::add(&mut m, sut, &k, |m| k.build(m)).unwrap());
        assert!(map::add(&mut m, sut, &k, |_| unreachable!()).unwrap());
    }
    let mut w = Watch::new(&mut m);
    let mut out = Vec::new();
    entries_from(&mut w, sut, 0, None, usize::MAX, true, &mut out).unwrap();
    assert_eq!(w.guards.len(), 1, "a set has no values");
    assert_eq!(out.len(), 500);
}

#[test]
fn oldest_out_first_keeps_its_memory_and_finds_the_oldest_at_once() {
    let mut m = ScratchMem::new(64 << 20);
    let sut = map::create(&mut m, Tag::Map).unwrap();
    for i in 0..20_000u64 {
        set(&mut m, sut, &MapKey::number(i as f64), n(0.0));
        if i >= 100 {
            let oldest = next_from(&mut m, sut, 0, None).unwrap().unwrap();
            assert_eq!(oldest.key, n((i - 100) as f64));
            assert!(map::delete(&mut m, sut, &MapKey::Bits(oldest.key.0)).unwrap());
        }
    }
    assert_eq!(map::size(&mut m, sut).unwrap(), 100);
    assert_eq!(m.live.len(), 3, "identity, body, stripes");
}

#[test]
fn get_or_insert_makes_a_value_once() {
    let mut m = ScratchMem::new(4 << 20);
    let sut = map::create(&mut m, Tag::Map).unwrap();
    let k = text("a");
    let (cell, _, new) = map::get_or_insert(&mut m, sut, &k, |m| k.build(m), |_| Ok(n(7.0))).unwrap();
    assert_eq!((cell, new), (n(7.0), true));
    let (cell, _, new) = map::get_or_insert(&mut m, sut, &k, |_| unreachable!(), |_| unreachable!()).unwrap();
    assert_eq!((cell, new), (n(7.0), false));
}

/// What is read where the entry was said to stand; `None`: it stands there no more.
fn read_at(m: &mut ScratchMem, at: Off, place: &map::Place) -> Option<Cell> {
    let word = |at: Off| m.segment().word(at).unwrap().load(Relaxed);
    let stands = word(at + 24) == place.body
        && word(at + 40) == place.stripes
        && word(place.key_at) == place.key.0
        && (place.key_word == 0 || word(place.key.offset()) == place.key_word);
    stands.then(|| Cell(word(place.key_at + 8)))
}

#[test]
fn an_entry_is_read_where_it_was_said_to_stand_until_it_is_gone() {
    let mut rng = Rng(seed());
    let mut m = ScratchMem::new(256 << 20);
    let sut = map::create(&mut m, Tag::Map).unwrap();
    let keys: Vec<_> = (0..200).filter(|i| matches!(i % 12, 0..=4)).map(key).collect();
    let mut places = vec![None; keys.len()];
    let mut reads = [0; 2];
    for step in 0..20_000 {
        let i = rng.below(keys.len() as u64) as usize;
        match rng.below(400) {
            0 => map::clear(&mut m, sut).unwrap(),
            1..80 => drop(map::delete(&mut m, sut, &keys[i]).unwrap()),
            80..200 => drop(set(&mut m, sut, &keys[i], n(step as f64))),
            _ => {
                let found = map::get(&mut m, sut, &keys[i]).unwrap().map(|(cell, _)| cell);
                if let Some(seen) = places[i].as_ref().and_then(|place| read_at(&mut m, sut, place)) {
                    assert_eq!(Some(seen), found);
                    reads[0] += 1;
                }
                let placed = map::get_place(&mut m, sut, &keys[i]).unwrap();
                assert_eq!(placed.map(|(cell, ..)| cell), found);
                places[i] = placed.and_then(|(_, _, place)| place);
                assert_eq!(places[i].and_then(|place| read_at(&mut m, sut, &place)), found);
                reads[1] += places[i].is_some() as usize;
            }
        }
    }
    assert!(reads[0] > 500 && reads[1] > 2000, "{reads:?}");
    // what does not stand in its cell is asked for
    let long = string::build(&mut m, &Str::from("a value with a block of its own")).unwrap();
    set(&mut m, sut, &keys[0], long);
    assert!(map::get_place(&mut m, sut, &keys[0]).unwrap().unwrap().2.is_none());
}

#[test]
fn a_corrupt_map_gives_an_error_and_no_endless_loop() {
    let seed = seed();
    let mut rng = Rng(seed);
    for _ in 0..300 {
        let mut m = ScratchMem::new(4 << 20);
        let start = m.segment().plan().data;
        let sut = map::create(&mut m, Tag::Map).unwrap();
        for i in 0..rng.below(150) {
            set(&mut m, sut, &key(i), n(0.0));
        }
        let end = m.alloc(16).unwrap().at;
        for _ in 0..4 {
            let at = start + rng.below((end - start) / 8) * 8;
            let value = match rng.below(4) {
                0 => rng.next(),
                1 => rng.below(200),
                2 => start + rng.below(end - start) / 16 * 16,
                _ => Cell::reference(Tag::String, start + rng.below(end - start) / 16 * 16).0,
            };
            m.segment().word(at).unwrap().store(value, std::sync::atomic::Ordering::Relaxed);
        }
        // whatever comes of it, it comes
        for i in 0..30 {
            let _ = map::get(&mut m, sut, &key(i));
        }
        let mut out = Vec::new();
        let _ = entries_from(&mut m, sut, 0, None, usize::MAX, true, &mut out);
        for step in out {
            let _ = MapKey::load(&mut m, step.key_guard, step.key);
        }
    }
}

#[test]
fn an_iteration_over_numbers_that_do_not_ascend_ends_as_corrupt() {
    let mut m = ScratchMem::new(4 << 20);
    let at = map::create(&mut m, Tag::Map).unwrap();
    for i in 0..3 {
        set(&mut m, at, &MapKey::number(100.5 + i as f64), Cell::number(0.0));
    }
    // an entry is {number, link, key, value}: the third one gets the number of the first
    let third = Cell::number(102.5).0;
    let word = |at| m.segment().word(at).unwrap();
    let entry = (16..4 << 20).step_by(8).find(|&at| word(at).load(Relaxed) == third).unwrap() - 16;
    word(entry).store(1, Relaxed);
    let mut out = Vec::new();
    let all = entries_from(&mut m, at, 0, None, 10, true, &mut out);
    assert!(matches!(all, Err(Fault::Error(error)) if error.code == Code::Corrupt), "{all:?}");
}

#[test]
fn an_iteration_over_a_key_without_a_value_ends_as_corrupt() {
    let mut m = ScratchMem::new(4 << 20);
    let at = map::create(&mut m, Tag::Map).unwrap();
    set(&mut m, at, &MapKey::number(100.5), Cell::number(0.0));
    // an entry is {number, link, key, value}
    let key = Cell::number(100.5).0;
    let word = |at| m.segment().word(at).unwrap();
    let value = (16..4 << 20).step_by(8).find(|&at| word(at).load(Relaxed) == key).unwrap() + 8;
    word(value).store(Cell::ABSENT.0, Relaxed);
    let mut out = Vec::new();
    let all = entries_from(&mut m, at, 0, None, 10, true, &mut out);
    assert!(matches!(all, Err(Fault::Error(error)) if error.code == Code::Corrupt), "{all:?}");
    // the keys are all there
    assert_eq!(entries_from(&mut m, at, 0, None, 10, false, &mut out), Ok(()));
    assert_eq!(out.len(), 1);
}
