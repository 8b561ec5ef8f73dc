//! A heap that is full to the last byte, from Rust: what needs memory fails as a whole, what gives memory back needs none.

use std::time::Duration;

use coheap_heap::segment::{About, Code, Error, Result};
use coheap_heap::{Array, Channel, Data, Heap, Map, Options, Record, Value};

const MAX_SIZE: u64 = 4 << 20;

struct Full {
    heap: Heap,
    root: Record,
    cells: Array,
    channels: [Channel; 3],
}

fn text(c: char) -> String {
    c.to_string().repeat(40)
}

impl Full {
    /// A full heap with something of everything in it, and channels with messages.
    fn new(name: &str) -> Full {
        let name = format!("{name}-{}", std::process::id());
        let options = Options {
            size: 1,
            max_size: MAX_SIZE,
            max_participants: 4,
            patience_ms: 10,
            ..Options::default()
        };
        let heap = Heap::create(&name, &options).unwrap();
        let root = heap.root();
        root.set("text", text('t')).unwrap();
        root.set("object", Data::object([("a", Data::from(text('a'))), ("b", Data::from(1))])).unwrap();
        root.set("list", Data::array([text('l'), text('m'), text('n')])).unwrap();
        let entries = (0..100).map(|i| (Data::from(i), Data::from(text('v'))));
        root.set("map", Data::Map(entries.collect())).unwrap();
        root.set("set", Data::Set((0..10).map(|i| Data::from(format!("member {i}"))).collect())).unwrap();
        root.set("used", 0).unwrap();
        root.set("cells", Data::array(vec![0; 10_000])).unwrap();
        let cells = root.get("cells").unwrap().array().unwrap();
        let channels = [("fifo", None, false), ("bounded", Some(10), false), ("lifo", None, true)]
            .map(|(name, capacity, lifo)| heap.channel(name, capacity, lifo).unwrap());
        for channel in &channels {
            for i in 0..4 {
                assert!(channel.try_put(Data::object([("i", Data::from(i))])).unwrap());
            }
        }
        let full = Full { heap, root, cells, channels };
        full.fill();
        full
    }

    /// Takes every free block, with texts of every size, the largest first.
    fn fill(&self) {
        let mut used = self.root.get("used").unwrap().number().unwrap() as u32;
        let large = (0..8).map(|i| (1 << 20) >> i);
        for length in large.chain((6..=8180).rev().step_by(16)) {
            let text = "x".repeat(length);
            while is_full(self.cells.set(used, text.as_str())).is_none() {
                used += 1;
            }
        }
        self.root.set("used", used).unwrap();
        assert!(used < 10_000);
        assert_eq!(is_full(self.heap.share(Data::object([("x", Data::from(1))]))), Some(()));
    }

    fn map(&self) -> Map {
        self.root.get("map").unwrap().map().unwrap()
    }
}

/// `Some`: refused for want of memory, and it says whose.
fn is_full<T>(result: Result<T>) -> Option<()> {
    match result {
        Ok(_) => None,
        Err(error) => {
            assert_eq!(
                error,
                Error { code: Code::OutOfMemory, what: error.what, about: About::Bytes(MAX_SIZE) }
            );
            assert_eq!(error.text().to_string(), "the heap is full up to its maxSize (4 MiB)");
            Some(())
        }
    }
}

#[test]
fn what_needs_memory_fails_as_a_whole() {
    let here = Full::new("full-needs");
    let Full { heap, root, channels, .. } = &here;
    let list = root.get("list").unwrap().array().unwrap();
    let object = || Data::object([("new", Data::from(text('n')))]);
    for channel in channels {
        assert_eq!(is_full(channel.try_put(object())), Some(()));
        assert_eq!(is_full(channel.put(object(), Duration::ZERO)), Some(()));
        assert_eq!(channel.len().unwrap(), 4);
    }
    assert_eq!(is_full(root.set("text", "u".repeat(1000))), Some(()));
    assert_eq!(is_full(root.set("another", object())), Some(()));
    assert_eq!(is_full(list.push(object())), Some(()));
    assert_eq!(is_full(list.set(1, object())), Some(()));
    assert_eq!(is_full(here.map().set(3, object())), Some(()));
    assert_eq!(is_full(here.map().set("n".repeat(50), 1)), Some(()));
    assert_eq!(is_full(heap.share(vec![0u8; 10_000])), Some(()));
    let in_a_transaction = heap.transaction(|_| {
        root.set("text", 1)?;
        channels[0].try_take()?;
        here.map().delete(5)?;
        list.push(object()).map(|_| ())
    });
    assert_eq!(is_full(in_a_transaction), Some(()));
    assert_eq!(root.get("text").unwrap().str().unwrap(), text('t'));
    assert_eq!((channels[0].len().unwrap(), here.map().size().unwrap(), list.len().unwrap()), (4, 100, 3));
    assert!(!root.has("another").unwrap());
    assert_eq!(heap.verify(), []);
}

#[test]
fn what_gives_memory_back_needs_none() {
    let here = Full::new("full-gives");
    let Full { heap, root, channels, .. } = &here;
    let [fifo, bounded, lifo] = channels;
    let list = root.get("list").unwrap().array().unwrap();
    let set = root.get("set").unwrap().set().unwrap();
    let object = root.get("object").unwrap().record().unwrap();
    let name = heap.name();
    let steps: &[(&str, &dyn Fn() -> Result<bool>)] = &[
        ("scalar over a text", &|| object.set("a", 1).map(|()| true)),
        ("scalar over an element", &|| list.set(1, 1).map(|()| true)),
        ("scalar over an entry", &|| here.map().set(7, 1).map(|()| true)),
        ("delete", &|| root.delete("text")),
        ("map.delete", &|| here.map().delete(8)),
        ("set.delete", &|| set.delete("member 3")),
        ("pop", &|| Ok(list.pop()?.is_some())),
        ("shift", &|| Ok(list.shift()?.is_some())),
        ("take", &|| Ok(fifo.try_take()?.is_some())),
        ("take that waits", &|| bounded.take(Duration::ZERO).map(|_| true)),
        ("take from a stack", &|| Ok(lifo.try_take()?.is_some())),
        ("a transaction that gives up", &|| {
            let undone: Result<()> = heap.transaction(|_| {
                channels.iter().try_for_each(|c| c.try_take().map(|_| ()))?;
                root.delete("object")?;
                Err(Error::new(Code::Timeout, "enough"))
            });
            Ok(undone.unwrap_err().code == Code::Timeout && lifo.len()? == 3 && root.has("object")?)
        }),
        ("a transaction that commits", &|| {
            heap.transaction(|_| {
                channels.iter().try_for_each(|c| c.try_take().map(|_| ()))?;
                (20..60).try_for_each(|i| here.map().delete(i).map(|_| ()))?;
                root.delete("object").map(|_| ())
            })?;
            Ok(lifo.len()? == 2 && !root.has("object")? && here.map().size()? == 59)
        }),
        ("joining and leaving", &|| {
            // a participant of its own
            std::thread::scope(|scope| {
                let other = scope
                    .spawn(|| Heap::open(&name, &Options::default())?.root().get("map")?.map()?.delete(90));
                other.join().expect("no panic")
            })
        }),
        ("close of a channel", &|| channels.iter().try_fold(true, |all, c| Ok(all & c.close()?))),
    ];
    for (what, step) in steps {
        here.fill();
        assert_eq!(step(), Ok(true), "{what}");
        assert_eq!(heap.verify(), [], "{what}");
    }
    // and there is room again
    for i in 0..here.cells.len().unwrap() {
        here.cells.set(i, 0).unwrap();
    }
    root.set("again", Data::array((0..1000).map(|i| format!("element {i}")))).unwrap();
    assert!(matches!(root.get("again").unwrap(), Value::Array(a) if a.len() == Ok(1000)));
}
