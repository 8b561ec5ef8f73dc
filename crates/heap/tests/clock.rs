//! A heap whose version clock is used up: writes are refused, nothing is lost, and it can be read to the end.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use coheap_heap::segment::word::{LAST_VERSION, LAST_WRITE};
use coheap_heap::segment::{Code, Result};
use coheap_heap::{Data, Heap, Options, Value};

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
