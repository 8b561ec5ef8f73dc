//! The version clock: a heap that is opened alone is renumbered in time; when the clock of another is used up, writes are
//! refused, nothing is lost, and it can be read to the end.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use coheap_heap::objects::stripes;
use coheap_heap::segment::word::{FIRST_VERSION, LAST_VERSION, LAST_WRITE, RENUMBERED_ABOVE, Word};
use coheap_heap::segment::{Code, Result, Segment};
use coheap_heap::{Data, Heap, Options, Value, slab};

fn is_refused<T>(result: Result<T>) -> bool {
    match result {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.code, Code::OutOfMemory);
            assert!(error.what.starts_with("the heap's version clock is used up"), "{error}");
            true
        }
    }
}

#[test]
fn when_the_clock_is_used_up_writes_are_refused_and_everything_can_be_read() {
    let name = format!("clock-{}", std::process::id());
    let options = Options { size: 1, max_size: 8 << 20, max_participants: 4, ..Options::default() };
    let heap = Heap::create(&name, &options).unwrap();
    let root = heap.root();
    root.set("n", 0).unwrap();
    root.set("text", "a text of some length").unwrap();
    root.set("list", Data::array(["one element", "another element"])).unwrap();
    root.set("map", Data::Map(vec![(1.into(), "a value of a map".into())])).unwrap();
    let (list, map) = (root.get("list").unwrap().array().unwrap(), root.get("map").unwrap().map().unwrap());
    let queues =
        [false, true].map(|lifo| heap.channel(if lifo { "lifo" } else { "fifo" }, None, lifo).unwrap());
    for queue in &queues {
        assert!(queue.try_put("a message of some length").unwrap());
    }
    let segment = heap.segment();
    let clock = &segment.header().clock;
    clock.store(LAST_WRITE - 100, SeqCst);

    // The last changes, as single operations and as transactions: each takes effect, or is refused as a whole.
    let mut n = 0.0;
    let mut refused = false;
    while !refused {
        assert!(n < 1000.0);
        let next = n + 1.0;
        refused = is_refused(match next as u32 % 2 {
            0 => root.set("n", next),
            _ => heap
                .transaction(|_| root.set("n", next).and_then(|()| list.set(0, format!("element {next}")))),
        });
        if !refused {
            n = next;
        }
        assert_eq!(root.get("n").unwrap().number(), Ok(n));
    }
    assert!(n > 10.0, "it went on to the end: {n}");
    // a transaction on words that nobody has changed lately, the clock that far
    clock.store(LAST_WRITE, SeqCst);

    for _ in 0..500 {
        assert!(is_refused(root.set("n", 0)));
        assert!(is_refused(root.set("new", 1)));
        assert!(is_refused(root.set("text", "another text of some length")));
        assert!(is_refused(root.delete("text")));
        assert!(is_refused(list.push(Data::object([("a", Data::from(1))]))));
        assert!(is_refused(list.shift()));
        assert!(is_refused(map.set(1, 2)));
        assert!(is_refused(map.delete(1)));
        assert!(is_refused(heap.transaction(|_| root.set("n", 0).and_then(|()| list.set(1, 0)))));
        assert!(is_refused(
            heap.transaction(|_| queues.iter().try_for_each(|queue| queue.try_take().map(|_| ())))
        ));
        assert!(is_refused(queues[1].try_put(1)));
        assert!(is_refused(queues[1].try_take()));
    }
    assert!(clock.load(SeqCst) < LAST_VERSION);
    assert_eq!(heap.verify(), []);

    // somebody who joins now can copy it all
    let read = std::thread::scope(|scope| {
        let other = scope.spawn(|| -> Result<_> {
            let heap = Heap::open(&name, &options)?;
            let root = heap.root();
            let list: Vec<String> = root
                .get("list")?
                .array()?
                .to_vec()?
                .iter()
                .map(|v| v.str().map(str::to_owned))
                .collect::<Result<_>>()?;
            let value = root.get("map")?.map()?.get(1)?;
            let both =
                heap.transaction(|heap| Ok((heap.root().get("n")?.number()?, heap.root().get("text")?)))?;
            Ok((list, value.str()?.to_owned(), both.0, both.1.str()?.to_owned(), root.keys()?.len()))
        });
        other.join().expect("no panic")
    });
    let odd = if n as u32 % 2 == 1 { n } else { n - 1.0 };
    let list = vec![format!("element {odd}"), "another element".to_owned()];
    assert_eq!(read, Ok((list, "a value of a map".to_owned(), n, "a text of some length".to_owned(), 4)));
    // a queue has no versions: its messages can be taken
    assert!(
        matches!(queues[0].take(Duration::ZERO), Ok(Value::String(s)) if s == "a message of some length")
    );
    assert_eq!((queues[0].len(), queues[1].len()), (Ok(0), Ok(1)));
    assert_eq!(heap.verify(), []);
}

/// The largest version of all version words, and how many words have one.
fn versions(segment: &Segment) -> (u64, usize) {
    let (mut last, mut count) = (0, 0);
    let mut look = |word: &coheap_heap::segment::primitive::AtomicU64| {
        let version = Word(word.load(SeqCst)).version();
        last = last.max(version);
        count += usize::from(version != 0);
    };
    slab::for_each_word0(segment, &mut look);
    slab::for_each_block(segment, |at, _| stripes::for_each_word(segment, at, &mut look));
    (last, count)
}

/// Something of everything that has versions: records with and without a shape, arrays, a map with stripes in use and one
/// whose stripes are not yet, texts in runs of slabs, blocks and runs that are free again, channels of both orders.
fn fill(heap: &Heap) -> Result<()> {
    let root = heap.root();
    root.set("n", 0)?;
    root.set("dictionary", Data::object((0..100).map(|i| (format!("key {i}"), Data::from(i)))))?;
    root.set("list", Data::array((0..50).map(|i| format!("element {i}"))))?;
    for (name, entries) in [("map", 200), ("young", 65)] {
        root.set(name, Data::map())?;
        let map = root.get(name)?.map()?;
        (0..entries).try_for_each(|i| map.set(i, format!("value {i} of some length")))?;
    }
    root.set("long", "x".repeat(200_000))?;
    for i in 0..40 {
        root.set("gone", "y".repeat(100 + i * 5000))?;
    }
    root.delete("gone")?;
    for lifo in [false, true] {
        let queue = heap.channel(if lifo { "lifo" } else { "fifo" }, None, lifo)?;
        for i in 0..20 {
            assert!(queue.try_put(format!("message {i} of some length"))?);
        }
    }
    Ok(())
}

/// Looks at all that [`fill`] has made, and changes each of it.
fn use_it(heap: &Heap) -> Result<()> {
    let root = heap.root();
    let n = root.get("n")?.number()?;
    root.set("n", n + 1.0)?;
    heap.transaction(|_| {
        let list = root.get("list")?.array()?;
        assert_eq!(list.len()?, 50);
        list.shift()?;
        list.push(format!("element {n}"))?;
        let dictionary = root.get("dictionary")?.record()?;
        assert_eq!(dictionary.get("key 99")?.number(), Ok(99.0));
        dictionary.set("key 7", n)
    })?;
    for (name, entries) in [("map", 200), ("young", 65)] {
        let map = root.get(name)?.map()?;
        assert_eq!(map.get(entries - 1)?.str(), Ok(format!("value {} of some length", entries - 1).as_str()));
        map.set(3, "another value")?;
        map.delete(4)?;
        map.set(4, "a new one")?;
    }
    assert_eq!(root.get("long")?.str()?.len(), 200_000);
    root.set("long", "z".repeat(200_000))?;
    for lifo in [false, true] {
        let queue = heap.channel(if lifo { "lifo" } else { "fifo" }, None, lifo)?;
        let Some(message) = queue.try_take()? else { panic!("a message is lost") };
        assert!(queue.try_put(message.str()?)?);
    }
    assert_eq!(heap.verify(), []);
    Ok(())
}

#[test]
fn a_heap_that_is_opened_alone_is_renumbered_when_its_clock_has_come_far() {
    let name = format!("renumbered-{}", std::process::id());
    let options =
        Options { size: 1, max_size: 32 << 20, max_participants: 4, persist: true, ..Options::default() };
    let heap = Heap::create(&name, &options).unwrap();
    fill(&heap).unwrap();
    use_it(&heap).unwrap();
    let clock = |heap: &Heap| heap.segment().header().clock.load(SeqCst);

    // not before its time
    heap.segment().header().clock.store(RENUMBERED_ABOVE - 1000, SeqCst);
    use_it(&heap).unwrap();
    drop(heap);
    let heap = Heap::open(&name, &options).unwrap();
    assert!((RENUMBERED_ABOVE - 1000..RENUMBERED_ABOVE).contains(&clock(&heap)));

    heap.segment().header().clock.store(LAST_WRITE - 1000, SeqCst);
    use_it(&heap).unwrap();
    let (last, count) = versions(&heap.segment());
    assert!(last > LAST_WRITE - 1000 && count > 500, "{last:#x} of {count}");
    // who is not alone renumbers nothing
    std::thread::scope(|scope| {
        scope.spawn(|| use_it(&Heap::open(&name, &options).unwrap()).unwrap());
    });
    assert!(clock(&heap) > LAST_WRITE - 1000);
    drop(heap);

    let heap = Heap::open(&name, &options).unwrap();
    let (last, counted) = versions(&heap.segment());
    assert!(clock(&heap) < 100 && last < 100, "{} and {last}", clock(&heap));
    assert!(counted >= count && last >= FIRST_VERSION);
    for _ in 0..3 {
        use_it(&heap).unwrap();
    }
    // nothing refers to a version that was
    std::thread::scope(|scope| {
        scope.spawn(|| use_it(&Heap::open(&name, &options).unwrap()).unwrap());
    });
    drop(heap);
    let heap = Heap::open(&name, &options).unwrap();
    use_it(&heap).unwrap();
    assert!(versions(&heap.segment()).0 < 10_000);
    drop(heap);
    assert!(Heap::unlink(&name, None).unwrap());
}
