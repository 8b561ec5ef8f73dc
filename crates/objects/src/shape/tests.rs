use super::*;
use coheap_txn::Fault;
use coheap_txn::scratch::ScratchMem;
use std::sync::atomic::Ordering::Relaxed;

fn forget() {
    CACHES.with_borrow_mut(Vec::clear);
}

fn names(shape: &Shape) -> Vec<String> {
    shape.listed.iter().map(|&slot| shape.keys[slot as usize].to_string()).collect()
}

#[test]
fn the_same_keys_in_the_same_order_are_one_shape() {
    let mut m = ScratchMem::new(4 << 20);
    let keys = [Key::string("b"), Key::string("2"), Key::symbol("s"), Key::string("a"), Key::string("1")];
    let shape = of(&mut m, false, &keys).unwrap().unwrap();
    let live = m.live.len();
    forget();
    assert_eq!(of(&mut m, false, &keys).unwrap().unwrap().id, shape.id);
    assert_eq!(m.live.len(), live);
    assert_ne!(of(&mut m, true, &keys).unwrap().unwrap().id, shape.id);
    assert_ne!(of(&mut m, false, keys.iter().rev()).unwrap().unwrap().id, shape.id);
    assert_eq!(names(&shape), ["1", "2", "b", "a", "Symbol.for(s)"]);
    assert_eq!((shape.root, shape.null_proto, shape.len()), (PLAIN, false, 5));
    assert_eq!(shape.slot(&Key::string("a")), Some(3));
    assert_eq!(shape.slot(&Key::string("s")), None);
}

#[test]
fn the_roots_have_fixed_ids() {
    let mut m = ScratchMem::new(4 << 20);
    assert_eq!(root(&mut m, true).unwrap().id, NULL_PROTO);
    let plain = root(&mut m, false).unwrap();
    assert_eq!((plain.id, plain.root, plain.null_proto, plain.class), (PLAIN, PLAIN, false, 0));
    let class = class_root(&mut m, 7).unwrap();
    assert_eq!(class_root(&mut m, 7).unwrap().id, class.id);
    let child = child(&mut m, &class, &Key::string("x")).unwrap().unwrap();
    assert_eq!((child.class, child.root), (7, class.id));
    assert_eq!(class_root(&mut m, 0).unwrap().id, PLAIN);
}

#[test]
fn a_shape_has_at_most_64_keys_and_1536_children() {
    let mut m = ScratchMem::new(4 << 20);
    let keys: Vec<Key> = (0..65).map(|i| Key::string(format!("k{i}").as_str())).collect();
    let full = of(&mut m, false, &keys[..64]).unwrap().unwrap();
    assert_eq!(full.slot(&keys[63]), Some(63));
    assert!(child(&mut m, &full, &keys[64]).unwrap().is_none());
    let plain = root(&mut m, false).unwrap();
    let user = |i: u64| Key::string(format!("user-{i}").as_str());
    let made = (0..2000).filter(|&i| child(&mut m, &plain, &user(i)).unwrap().is_some()).count() as u64;
    assert_eq!(made, MAX_CHILDREN - 1);
    assert!(child(&mut m, &plain, &user(5)).unwrap().is_some(), "those that exist are found");
}

#[test]
fn a_full_table_gives_no_more_shapes_and_keeps_those_that_it_has() {
    let mut m = ScratchMem::new(32 << 20);
    let mut made = 0;
    'fill: for i in 0.. {
        let first = of(&mut m, false, [&Key::index(i)]).unwrap().unwrap();
        for k in 0..1000 {
            match child(&mut m, &first, &Key::index(1_000_000 + k)).unwrap() {
                Some(_) => made += 1,
                None => break 'fill,
            }
        }
    }
    assert!(made > 65_000, "{made}");
    let live = m.live.len();
    let plain = root(&mut m, false).unwrap();
    assert!(child(&mut m, &plain, &Key::string("never seen")).unwrap().is_none());
    assert_eq!(m.live.len(), live, "refusing costs nothing");
    let class = class_of(&mut m, &Str::from("Account")).unwrap();
    assert_eq!(class_root(&mut m, class).unwrap().class, class, "there is room for classes still");
    assert_eq!(class_name(m.segment(), class).unwrap(), Str::from("Account"));
    forget();
    let again = of(&mut m, false, [&Key::index(3), &Key::index(1_000_500)]).unwrap().unwrap();
    assert_eq!(again.len(), 2);
}

#[test]
fn a_shape_whose_maker_died_before_it_had_an_id_gets_one() {
    let mut m = ScratchMem::new(4 << 20);
    let plain = root(&mut m, false).unwrap();
    let table = table::existing(m.segment()).unwrap();
    let key = keys::intern(&mut m, &Key::string("x")).unwrap();
    let step = Step { parent: PLAIN, key, class: 0, slots: 1, root: PLAIN };
    let at = table::link(&mut m, table, step, Some(plain.at)).unwrap().unwrap();
    // ... and this one after it had claimed an entry
    let y = keys::intern(&mut m, &Key::string("y")).unwrap();
    let step = Step { key: y, ..step };
    let claimed = table::link(&mut m, table, step, Some(plain.at)).unwrap().unwrap();
    let entry = table::entry_made(&mut m, table, 3).unwrap();
    m.init64(entry, claimed);
    assert!(info(&m, 3).is_err(), "page and block do not agree yet");
    let y = child(&mut m, &plain, &Key::string("y")).unwrap().unwrap();
    assert_eq!((y.at, y.id), (claimed, 3));
    let x = child(&mut m, &plain, &Key::string("x")).unwrap().unwrap();
    assert_eq!((x.at, x.id), (at, 4));
}

#[test]
fn ids_that_do_not_exist_are_corrupt() {
    let mut m = ScratchMem::new(4 << 20);
    assert!(info(&m, PLAIN).is_err());
    table::made(&mut m).unwrap();
    for id in [0, 3, 511, 512, u16::MAX] {
        assert!(info(&m, id).is_err(), "{id}");
    }
}

#[test]
fn a_shape_that_has_a_key_twice_is_corrupt() {
    let mut m = ScratchMem::new(4 << 20);
    let keys = ["a", "b"].map(Key::string);
    let one = of(&mut m, false, &keys[..1]).unwrap().unwrap();
    let two = of(&mut m, false, &keys).unwrap().unwrap();
    let word = |at| m.segment().word(at).unwrap();
    word(two.at + KEY).store(word(one.at + KEY).load(Relaxed), Relaxed);
    forget();
    let error = Fault::Error(Error::corrupt("a shape whose keys do not fit", two.id as u64));
    assert_eq!(info(&m, two.id).err(), Some(error));
}

#[test]
fn a_root_with_keys_and_a_child_that_is_none_are_corrupt() {
    let mut m = ScratchMem::new(4 << 20);
    let plain = root(&mut m, false).unwrap();
    let two = of(&mut m, false, &["a", "b"].map(Key::string)).unwrap().unwrap();
    let error = |about| Some(Fault::Error(Error::corrupt(about, two.id as u64)));
    assert_eq!(without_keys(two.clone()).err(), error("a root of shapes that has keys"));
    assert_eq!(longer(&plain, two.clone()).err(), error("a shape that does not follow on its parent"));
}

#[test]
fn looking_for_a_shape_makes_none() {
    let mut m = ScratchMem::new(4 << 20);
    let plain = root(&mut m, false).unwrap();
    let (x, name) = (Key::string("x"), Str::from("Account"));
    let live = m.live.len();
    assert!(matches!(find_child(&m, &plain, &x), Ok(Found::NotYet)));
    assert!(find_class_root(&m, &name).unwrap().is_none());
    assert_eq!(m.live.len(), live);
    let made = child(&mut m, &plain, &x).unwrap().unwrap();
    let class = class_of(&mut m, &name).unwrap();
    assert!(find_class_root(&m, &name).unwrap().is_none(), "the name is a key, and no shape has it");
    let root = class_root(&mut m, class).unwrap();
    forget();
    assert!(matches!(find_child(&m, &plain, &x), Ok(Found::Known(found)) if found.id == made.id));
    assert_eq!(find_class_root(&m, &name).unwrap().map(|shape| shape.id), Some(root.id));
    let keys: Vec<Key> = (0..64).map(|i| Key::string(format!("k{i}").as_str())).collect();
    let full = of(&mut m, false, &keys).unwrap().unwrap();
    assert!(matches!(find_child(&m, &full, &x), Ok(Found::NoRoom)));
}
