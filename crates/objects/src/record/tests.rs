use super::*;
use crate::string;
use crate::testing::*;
use coheap_txn::scratch::ScratchMem;
use std::sync::atomic::Ordering::Relaxed;

/// A record as a list of properties in order of insertion.
type Model = Vec<(Key, Value)>;

fn listed(model: &Model) -> Model {
    let mut all = model.clone();
    all.sort_by_key(|(key, _)| key.rank());
    all
}

fn check(m: &mut ScratchMem, at: Off, model: &Model) {
    let found: Model =
        entries(m, at).unwrap().into_iter().map(|(key, cell)| (key, load(m, Guard(at), cell))).collect();
    assert_eq!(found, listed(model));
    assert_eq!(len(m, at).unwrap(), model.len());
}

/// Every block that a record holds.
fn blocks(m: &mut ScratchMem, at: Off) -> Vec<Off> {
    let head = Head::load(m, Guard(at), at).unwrap();
    let mut all = vec![at, head.body(m).unwrap()];
    let cells: Vec<Cell> = entries(m, at).unwrap().into_iter().map(|(_, cell)| cell).collect();
    all.extend(cells.iter().filter(|c| c.is_by_value_block()).map(|c| c.offset()));
    if head.word().is_dictionary() {
        let entries = head.dictionary(m).unwrap().entries(m, head.guard).unwrap();
        all.extend(entries.iter().filter(|e| e.key.is_by_value_block()).map(|e| e.key.offset()));
    }
    all
}

fn key(i: u64) -> Key {
    match i % 5 {
        0 => Key::index(i as u32 * 7 % 100),
        1 => Key::symbol(format!("symbol {i}").as_str()),
        2 => Key::string(format!("k{i}").as_str()),
        _ => Key::string(format!("a longer key ☃ {i}").as_str()),
    }
}

fn run(seed: u64, keys: u64, steps: u64, deletes: u64) {
    let mut r = Random::new(seed);
    let mut m = ScratchMem::new(16 << 20);
    let at = create(&mut m, false).unwrap();
    let mut model = Model::new();
    for step in 0..steps {
        let k = key(r.below(keys));
        let place = model.iter().position(|(key, _)| *key == k);
        if r.below(100) < deletes {
            assert_eq!(delete(&mut m, at, &k).unwrap(), place.is_some());
            if let Some(i) = place {
                model.remove(i);
            }
        } else {
            let v = some_value(&mut r);
            let cell = build(&mut m, &v);
            set(&mut m, at, &k, cell).unwrap();
            match place {
                Some(i) => model[i].1 = v,
                None => model.push((k.clone(), v)),
            }
        }
        let expected = model.iter().find(|(key, _)| *key == k).map(|(_, v)| v.clone());
        let found = get(&mut m, at, &k).unwrap().map(|cell| load(&mut m, Guard(at), cell));
        assert_eq!(found, expected);
        assert_eq!(has(&mut m, at, &k).unwrap(), expected.is_some());
        if step % 16 == 0 {
            check(&mut m, at, &model);
        }
    }
    check(&mut m, at, &model);
    let held = blocks(&mut m, at);
    assert_exactly_live(&mut m, held);
}

#[test]
fn a_record_behaves_as_a_list_of_properties() {
    for seed in 0..12 {
        run(seed, 20, 300, 0);
        run(seed, 100, 400, 0);
        run(seed, 15, 400, 20);
        run(seed, 300, 1200, 45);
    }
}

#[test]
fn records_of_the_same_form_share_a_shape_and_delete_keeps_it() {
    let mut m = ScratchMem::new(4 << 20);
    let pairs = |x: f64| [(Key::string("x"), Cell::number(x)), (Key::string("y"), Cell::number(2.0))];
    let a = create_with(&mut m, false, &pairs(1.0)).unwrap();
    let b = create_with(&mut m, false, &pairs(5.0)).unwrap();
    let word = shape_word(&mut m, a).unwrap();
    assert_eq!(shape_word(&mut m, b).unwrap(), word);
    let slot = shape(&mut m, a).unwrap().slot(&Key::string("x")).unwrap();
    assert_eq!(get_slot(&mut m, b, word, slot).unwrap(), Some(Cell::number(5.0)));
    assert!(set_slot(&mut m, b, word, slot, Cell::number(6.0)).unwrap());
    assert_eq!(get(&mut m, b, &Key::string("x")).unwrap(), Some(Cell::number(6.0)));

    assert!(delete(&mut m, b, &Key::string("x")).unwrap());
    let deleted = shape_word(&mut m, b).unwrap();
    assert_eq!((deleted.shape(), deleted.has_deleted()), (word.shape(), true));
    assert_eq!(get_slot(&mut m, b, word, slot).unwrap(), None, "another shape word");
    assert!(!set_slot(&mut m, b, deleted, slot, Cell::number(7.0)).unwrap(), "there is no such property");
    set(&mut m, b, &Key::string("y"), Cell::TRUE).unwrap();
    assert!(!shape_word(&mut m, b).unwrap().is_dictionary(), "setting what is there is no insertion");
    set(&mut m, b, &Key::string("x"), Cell::FALSE).unwrap();
    assert!(shape_word(&mut m, b).unwrap().is_dictionary());
    assert_eq!(keys(&mut m, b).unwrap(), [Key::string("y"), Key::string("x")]);
    let word = shape_word(&mut m, b).unwrap();
    assert!(!set_slot(&mut m, b, word, 0, Cell::NULL).unwrap());
}

#[test]
fn the_65th_key_makes_a_dictionary_that_keeps_its_prototype() {
    let mut m = ScratchMem::new(4 << 20);
    let at = create(&mut m, true).unwrap();
    for i in 0..200 {
        set(&mut m, at, &Key::string(format!("k{i}").as_str()), Cell::number(i as f64)).unwrap();
        assert_eq!(shape_word(&mut m, at).unwrap().is_dictionary(), i >= 64, "{i}");
    }
    assert!(shape(&mut m, at).unwrap().null_proto);
    let all: Vec<(Key, Cell)> = entries(&mut m, at).unwrap();
    assert_eq!(all.len(), 200);
    let direct = create_with(&mut m, true, &all).unwrap();
    assert_eq!(entries(&mut m, direct).unwrap(), all);
    assert!(shape_word(&mut m, direct).unwrap().is_dictionary());
    let few = create_with(&mut m, true, &all[..40]).unwrap();
    assert_eq!(entries(&mut m, few).unwrap(), all[..40]);
    assert!(!shape_word(&mut m, few).unwrap().is_dictionary());
}

#[test]
fn a_key_that_comes_twice_has_its_first_place_and_last_value() {
    let mut m = ScratchMem::new(4 << 20);
    for n in [3, 100] {
        let mut pairs: Vec<(Key, Cell)> =
            (0..n).map(|i| (Key::string(format!("k{i}").as_str()), Cell::number(i as f64))).collect();
        pairs[1].1 = string::build(&mut m, &"a string to be freed".into()).unwrap();
        pairs.push((Key::string("k1"), Cell::TRUE));
        let at = create_with(&mut m, false, &pairs).unwrap();
        pairs[1].1 = Cell::TRUE;
        pairs.pop();
        assert_eq!(entries(&mut m, at).unwrap(), pairs);
        assert!(m.live.iter().all(|&b| Word1(m.segment().word(b + 8).unwrap().load(Relaxed)).kind()
            != kind::STRING
            || n == 100));
    }
}

#[test]
fn a_shaped_record_is_the_same_as_one_built_by_keys() {
    let mut m = ScratchMem::new(4 << 20);
    let names: Vec<Key> = (0..50).map(|i| Key::string(format!("k{i}").as_str())).collect();
    let cells: Vec<Cell> = (0..50).map(|i| Cell::number(i as f64)).collect();
    for n in [0, 1, 4, 31, 32, 33, 50] {
        let shape = shape::of(&mut m, false, &names[..n]).unwrap().unwrap();
        let at = create_with_shape(&mut m, shape.id, &cells[..n]).unwrap();
        let expected: Vec<(Key, Cell)> = names[..n].iter().cloned().zip(cells.iter().copied()).collect();
        assert_eq!(entries(&mut m, at).unwrap(), expected);
        for (slot, cell) in cells[..n].iter().enumerate() {
            let word = shape_word(&mut m, at).unwrap();
            assert_eq!(get_slot(&mut m, at, word, slot).unwrap(), Some(*cell));
        }
        let word = shape_word(&mut m, at).unwrap();
        assert!(get_slot(&mut m, at, word, 200).is_err(), "beyond the body");
        set(&mut m, at, &Key::string("one more"), Cell::NULL).unwrap();
        assert_eq!(len(&mut m, at).unwrap(), n + 1);
        let held = blocks(&mut m, at);
        assert_exactly_live(&mut m, held);
        assert!(create_with_shape(&mut m, shape.id, &cells).is_err() || n == 50);
        // the record is unreachable now
        let gone: Vec<Off> = m.live.iter().copied().collect();
        for block in gone {
            let kind = Word1(m.load64(Guard(block), block + 8).unwrap()).kind();
            if !matches!(kind, kind::SHAPE | kind::KEY | kind::TABLE) {
                m.free(block);
            }
        }
    }
}

#[test]
fn a_destroyed_record_says_so_and_garbage_is_corrupt() {
    let mut m = ScratchMem::new(4 << 20);
    let at = create_with(&mut m, false, &[(Key::string("x"), Cell::TRUE)]).unwrap();
    let word = shape_word(&mut m, at).unwrap();
    m.finish(at, kind::RECORD, 0, word.with(ShapeWord::DESTROYED).0);
    let e = get(&mut m, at, &Key::string("x")).unwrap_err();
    assert!(matches!(e, coheap_txn::Fault::Error(e) if e.code == Code::Destroyed));
    for garbage in [word.with_shape(999).0, word.with(ShapeWord::DICTIONARY).0, 0x003f_0000] {
        m.finish(at, kind::RECORD, 0, garbage);
        assert!(get(&mut m, at, &Key::string("x")).is_err());
        assert!(entries(&mut m, at).is_err());
        assert!(set(&mut m, at, &Key::string("x"), Cell::NULL).is_err());
    }
    assert!(get(&mut m, at + 16, &Key::string("x")).is_err());
}
