//! What single operations on records and arrays touch: one version word, and few enough stores (seven) for the
//! intent line of a single operation.

use coheap_objects::key::Key;
use coheap_objects::{Cell, array, record, string};
use coheap_txn::Mem;
use coheap_txn::scratch::ScratchMem;

mod common;
use common::{Watch, n};

/// The stores of one operation on the object at `at`.
fn stores<T>(m: &mut ScratchMem, at: u64, operation: impl FnOnce(&mut Watch) -> T) -> usize {
    let mut watch = Watch::new(m);
    operation(&mut watch);
    assert!(watch.guards.iter().all(|&guard| guard == at), "one version word guards it all");
    watch.stores
}

#[test]
fn a_property_is_written_with_few_stores_under_one_version_word() {
    let mut m = ScratchMem::new(4 << 20);
    let at = record::create(&mut m, false).unwrap();
    for i in 0..70 {
        let key = Key::string(format!("k{i}").as_str());
        // slot and shape word; the body when it is replaced
        let added = stores(&mut m, at, |m| record::set(m, at, &key, n(1.0)).unwrap());
        assert!(added <= if i < 64 { 3 } else { 5 }, "{i}: {added}");
        let changed = stores(&mut m, at, |m| {
            let text = string::build(m, &"a string of its own".into()).unwrap();
            record::set(m, at, &key, text).unwrap();
        });
        assert_eq!(changed, 1);
    }
    let deleted = stores(&mut m, at, |m| record::delete(m, at, &Key::string("k1")).unwrap());
    assert_eq!(deleted, 3);
    let at = record::create_with(&mut m, false, &[(Key::string("a"), n(1.0))]).unwrap();
    assert_eq!(stores(&mut m, at, |m| record::delete(m, at, &Key::string("a")).unwrap()), 2);
}

#[test]
fn the_ends_of_an_array_are_written_with_few_stores_under_one_version_word() {
    let mut m = ScratchMem::new(4 << 20);
    let at = array::create(&mut m).unwrap();
    for i in 0..200 {
        let pushed = stores(&mut m, at, |m| array::push(m, at, &[n(i as f64)]).unwrap());
        assert!(pushed <= 3, "{pushed}");
        let put = stores(&mut m, at, |m| array::unshift(m, at, &[Cell::TRUE]).unwrap());
        assert!(put <= 3, "{put}");
    }
    array::push(&mut m, at, &[n(0.0)]).unwrap();
    assert_eq!(stores(&mut m, at, |m| array::push(m, at, &[Cell::NULL]).unwrap()), 2);
    assert_eq!(stores(&mut m, at, |m| array::set(m, at, 3, Cell::NULL).unwrap()), 1);
    assert_eq!(stores(&mut m, at, |m| array::pop(m, at).unwrap()), 1);
    assert_eq!(stores(&mut m, at, |m| array::shift(m, at).unwrap()), 1);
    assert_eq!(stores(&mut m, at, |m| array::splice(m, at, 1, 1, &[n(5.0)]).unwrap()), 1);
    assert_eq!(stores(&mut m, at, |m| array::splice(m, at, 2, 1, &[]).unwrap()), 3);
    assert_eq!(stores(&mut m, at, |m| array::set_named(m, at, &Key::string("x"), n(5.0)).unwrap()), 1);
    assert_eq!(stores(&mut m, at, |m| array::set_named(m, at, &Key::string("x"), n(6.0)).unwrap()), 1);
    let all = array::read_range(&mut m, at, 0, u32::MAX).unwrap();
    assert_eq!(stores(&mut m, at, |m| array::replace_all(m, at, &all).unwrap()), 3);
    assert_eq!(stores(&mut m, at, |m| array::set_len(m, at, 0).unwrap()), 3);
    assert_eq!(m.load64(coheap_txn::Guard(at), at + array::BODY).unwrap(), 0);
}
