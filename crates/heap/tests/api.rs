//! The Rust API over real named heaps.

use std::time::Duration;

use coheap_heap::{Code, Data, Error, Heap, Object, Options, TxnOptions, Value};

/// A heap of this test's own; gone with its last user.
fn sut(what: &str) -> Heap {
    let options = Options { max_size: 64 << 20, ..Options::default() };
    Heap::create(&format!("rust-{what}-{}", std::process::id()), &options).unwrap()
}

fn another(heap: &Heap) -> Heap {
    Heap::open(&heap.name(), &Options::default()).unwrap()
}

#[test]
fn every_kind_of_value_comes_back_as_it_was() {
    let heap = sut("kinds");
    let root = heap.root();
    root.set("number", -0.0).unwrap();
    root.set("text", "grüße ☃").unwrap();
    root.set("yes", true).unwrap();
    root.set("nothing", Data::Null).unwrap();
    root.set("bytes", vec![1, 2, 3]).unwrap();
    root.set("list", Data::array([1, 2, 3])).unwrap();
    root.set("map", Data::Map(vec![("a".into(), 1.0.into()), (2.0.into(), Data::array(["x"]))])).unwrap();
    root.set("set", Data::Set(vec!["k".into()])).unwrap();
    assert_eq!(root.get("number").unwrap().number().unwrap().to_bits(), (-0.0f64).to_bits());
    assert_eq!(root.get("text").unwrap().str().unwrap(), "grüße ☃");
    assert!(root.get("yes").unwrap().bool().unwrap());
    assert!(matches!(root.get("nothing").unwrap(), Value::Null));
    assert!(root.get("missing").unwrap().is_undefined());
    assert_eq!(root.get("bytes").unwrap().bytes().unwrap().to_vec().unwrap(), [1, 2, 3]);
    let list = root.get("list").unwrap().array().unwrap();
    assert_eq!(list.push("four").unwrap(), 4);
    assert_eq!(list.pop().unwrap().unwrap().str().unwrap(), "four");
    assert_eq!(list.to_vec().unwrap().len(), 3);
    let map = root.get("map").unwrap().map().unwrap();
    assert_eq!(map.get("a").unwrap().number().unwrap(), 1.0);
    assert_eq!(map.get(2.0).unwrap().array().unwrap().get(0).unwrap().str().unwrap(), "x");
    map.set("a", 5.0).unwrap();
    map.set("b", "new").unwrap();
    assert!(map.delete(2.0).unwrap() && map.size().unwrap() == 2 && map.entries().unwrap().len() == 2);
    assert!(root.get("set").unwrap().set().unwrap().has("k").unwrap());
    assert_eq!(root.keys().unwrap().len(), 8);
    assert!(root.delete("set").unwrap() && !root.has("set").unwrap());
    assert_eq!(heap.verify(), []);
}

#[test]
fn an_object_is_one_object_however_it_is_reached() {
    let heap = sut("identity");
    let root = heap.root();
    let shared = heap.share(Data::object([("n", 1.0.into())])).unwrap().record().unwrap();
    root.set("a", shared.clone()).unwrap();
    root.set("b", shared.clone()).unwrap();
    assert_eq!(root.get("a").unwrap().record().unwrap(), root.get("b").unwrap().record().unwrap());
    let other = sut("identity-2");
    assert_eq!(other.root().set("x", shared).unwrap_err().code, Code::WrongHeap);
}

#[test]
fn transactions_of_many_threads_lose_no_update() {
    let heap = sut("sums");
    heap.root().set("from", 0.0).unwrap();
    heap.root().set("to", 0.0).unwrap();
    let name = heap.name();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let name = name.clone();
            std::thread::spawn(move || {
                let heap = Heap::open(&name, &Options::default()).unwrap();
                let root = heap.root();
                for _ in 0..500 {
                    heap.transaction(|_| {
                        let (from, to) = (root.get("from")?.number()?, root.get("to")?.number()?);
                        assert_eq!(from + to, 0.0, "never a mixed state");
                        root.set("from", from - 1.0)?;
                        root.set("to", to + 1.0)
                    })
                    .unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(heap.root().get("to").unwrap().number().unwrap(), 2000.0);
    assert_eq!(heap.verify(), []);
}

#[test]
fn an_error_or_a_panic_undoes_the_transaction() {
    let heap = sut("undo");
    let root = heap.root();
    root.set("n", 1.0).unwrap();
    let refused = heap.transaction(|_| {
        root.set("n", 2.0)?;
        root.get("n")?.str().map(|_| ())
    });
    assert_eq!(refused.unwrap_err().code, Code::InvalidArgument);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = heap.transaction(|_| -> coheap_heap::Result<()> {
            root.set("n", 3.0)?;
            panic!("on purpose");
        });
    }));
    assert!(panicked.is_err());
    assert_eq!(root.get("n").unwrap().number().unwrap(), 1.0);
    heap.transaction(|_| root.set("n", 4.0)).unwrap();
    assert_eq!(root.get("n").unwrap().number().unwrap(), 4.0);
}

#[test]
fn a_message_wakes_its_taker() {
    let heap = sut("messages");
    let name = heap.name();
    let taker = std::thread::spawn(move || {
        let heap = Heap::connect(&name, &Options::default(), Duration::from_secs(10)).unwrap();
        let jobs = heap.channel("jobs", Some(2), false).unwrap();
        let mut sum = 0.0;
        loop {
            match jobs.take(Duration::from_secs(10)) {
                Ok(job) => sum += job.record().unwrap().get("n").unwrap().number().unwrap(),
                Err(error) => break (sum, error.code),
            }
        }
    });
    let jobs = heap.channel("jobs", Some(2), false).unwrap();
    for n in 1..=100 {
        jobs.put(Data::object([("n", n.into())]), Duration::from_secs(10)).unwrap();
    }
    jobs.close().unwrap();
    assert_eq!(taker.join().unwrap(), (5050.0, Code::ChannelClosed));
    assert_eq!(jobs.put(1.0, Duration::ZERO).unwrap_err().code, Code::ChannelClosed);
}

#[test]
fn many_values_may_be_held_at_once() {
    let heap = sut("handles");
    let root = heap.root();
    root.set("all", Data::array((0..3000).map(|n| Data::object([("n", n.into())])))).unwrap();
    let all = root.get("all").unwrap().array().unwrap().to_vec().unwrap();
    for (n, value) in all.into_iter().enumerate() {
        assert_eq!(value.record().unwrap().get("n").unwrap().number().unwrap(), n as f64);
    }
}

#[test]
fn a_heap_is_gone_with_its_last_user_and_its_name_is_free() {
    let heap = sut("gone");
    let name = heap.name();
    let second = another(&heap);
    assert_eq!(heap.participants().len(), 2);
    assert_eq!(Heap::create(&name, &Options::default()).err().unwrap().code, Code::Exists);
    drop(heap);
    second.root().set("still", "here").unwrap();
    drop(second);
    assert_eq!(Heap::open(&name, &Options::default()).err().unwrap().code, Code::NotFound);
}

#[test]
fn a_value_keeps_its_heap_open() {
    let heap = sut("held");
    let root = heap.root();
    drop(heap);
    root.set("n", 1.0).unwrap();
    assert_eq!(root.get("n").unwrap().number().unwrap(), 1.0);
}

#[test]
fn an_explicit_transaction_takes_effect_at_its_commit_and_not_at_all_when_it_is_dropped() {
    let heap = sut("explicit");
    let root = heap.root();
    root.set("n", 1.0).unwrap();
    let other = another(&heap);
    let tx = heap.begin(TxnOptions::default()).unwrap();
    tx.run(|heap| heap.root().set("n", 2.0)).unwrap();
    assert_eq!(other.root().get("n").unwrap().number().unwrap(), 1.0);
    assert_eq!(tx.run(|heap| heap.root().get("n")?.number()), Ok(2.0));
    tx.commit().unwrap();
    assert_eq!(other.root().get("n").unwrap().number().unwrap(), 2.0);
    assert_eq!(tx.commit().unwrap_err().code, Code::Aborted);

    let tx = heap.begin(TxnOptions::default()).unwrap();
    tx.run(|heap| heap.root().set("n", 3.0)).unwrap();
    tx.restart().unwrap();
    assert_eq!(tx.run(|heap| heap.root().get("n")?.number()), Ok(2.0));
    tx.run(|heap| heap.root().set("n", 4.0)).unwrap();
    drop(tx);
    assert_eq!(root.get("n").unwrap().number().unwrap(), 2.0);
    assert_eq!(heap.verify(), []);
}

#[test]
fn an_explicit_transaction_that_was_beaten_says_so_and_can_begin_again() {
    let heap = sut("beaten");
    heap.root().set("n", 1.0).unwrap();
    let other = another(&heap);
    let tx = heap.begin(TxnOptions::default()).unwrap();
    tx.run(|heap| heap.root().set("n", 2.0)).unwrap();
    // a plain write waits for its patience, and then aborts it
    other.root().set("n", 3.0).unwrap();
    assert_eq!(tx.commit().unwrap_err().code, Code::Aborted);
    tx.restart().unwrap();
    tx.run(|heap| heap.root().set("n", heap.root().get("n")?.number()? + 1.0)).unwrap();
    tx.commit().unwrap();
    assert_eq!(other.root().get("n").unwrap().number().unwrap(), 4.0);
}

#[test]
fn several_messages_go_in_and_come_out_together() {
    for lifo in [false, true] {
        let heap = sut(if lifo { "many-lifo" } else { "many-fifo" });
        let channel = heap.channel("some", Some(3), lifo).unwrap();
        let texts = ["the first long text", "the second long text", "the third long text", "the fourth"];
        let mut used = Vec::new();
        for _ in 0..3 {
            assert_eq!(channel.put_many(texts), Ok(3));
            assert_eq!(channel.put_many(texts), Ok(0));
            let taken = heap.transaction(|_| channel.take_many(2)).unwrap();
            let wanted = if lifo { [texts[2], texts[1]] } else { [texts[0], texts[1]] };
            assert_eq!([taken[0].str().unwrap(), taken[1].str().unwrap()], wanted);
            assert_eq!(heap.transaction(|_| channel.put_many(texts)), Ok(2));
            assert_eq!(channel.take_many(10).unwrap().len(), 3);
            assert_eq!(channel.take_many(10).unwrap().len(), 0);
            used.push(heap.stats().objects);
        }
        // what did not go in is not left over
        assert_eq!(used, [used[0]; 3]);
        assert_eq!(heap.verify(), []);
    }
}

#[test]
fn a_destroyed_object_is_gone_for_everyone_and_what_it_referred_to_is_not() {
    let heap = sut("destroy");
    let root = heap.root();
    let inner = || Data::object([("x", 1.into())]);
    root.set("record", Data::object([("inner", inner()), ("text", "of a block of its own".into())])).unwrap();
    root.set("array", Data::array([inner()])).unwrap();
    root.set("map", Data::Map(vec![("k".into(), inner())])).unwrap();
    root.set("set", Data::Set(vec!["a key of a block of its own".into()])).unwrap();
    root.set("bytes", vec![1, 2, 3]).unwrap();
    let kept = root.get("record").unwrap().record().unwrap().get("inner").unwrap().record().unwrap();
    let object = |key: &str| -> Object {
        match root.get(key).unwrap() {
            Value::Record(x) => x.into(),
            Value::Array(x) => x.into(),
            Value::Map(x) => x.into(),
            Value::Set(x) => x.into(),
            Value::Bytes(x) => x.into(),
            other => panic!("{other:?}"),
        }
    };
    let other = another(&heap);
    let theirs = other.root().get("array").unwrap().array().unwrap();
    assert_eq!(heap.destroy(theirs.clone()).unwrap_err().code, Code::WrongHeap);
    assert_eq!(heap.destroy(heap.root()).unwrap_err().code, Code::InvalidArgument);
    let undone: Result<(), _> = heap.transaction(|heap| {
        heap.destroy(object("record"))?;
        Err(Error::new(Code::Closed, "the program thinks better of it"))
    });
    assert_eq!(undone.unwrap_err().code, Code::Closed);
    assert_eq!(kept.get("x").unwrap().number().unwrap(), 1.0);
    assert_eq!(root.get("record").unwrap().record().unwrap().keys().unwrap(), ["inner", "text"]);
    for key in ["record", "array", "map", "set", "bytes"] {
        heap.destroy(object(key)).unwrap();
        assert_eq!(heap.destroy(object(key)).unwrap_err().code, Code::Destroyed, "{key}");
    }
    assert_eq!(theirs.len().unwrap_err().code, Code::Destroyed);
    assert_eq!(theirs.push(1).unwrap_err().code, Code::Destroyed);
    assert_eq!(
        other.root().get("record").unwrap().record().unwrap().class().unwrap_err().code,
        Code::Destroyed
    );
    assert_eq!(kept.get("x").unwrap().number().unwrap(), 1.0);
    assert_eq!(heap.verify(), []);
}

#[test]
fn instances_have_the_name_of_their_class() {
    let heap = sut("classes");
    let root = heap.root();
    root.set("plain", Data::object([("x", 1.into())])).unwrap();
    root.set("account", Data::instance("bank/Account", [("balance", 5.into())])).unwrap();
    let many = (0..100).map(|i| (format!("k{i}"), i.into()));
    root.set("dictionary", Data::instance("Großes", many)).unwrap();
    let class = |key: &str| another(&heap).root().get(key).unwrap().record().unwrap().class().unwrap();
    assert_eq!(class("plain"), None);
    assert_eq!(class("account").as_deref(), Some("bank/Account"));
    assert_eq!(class("dictionary").as_deref(), Some("Großes"));
    assert_eq!(heap.root().class().unwrap(), None);
    assert_eq!(heap.verify(), []);
}
