//! The heap that is damaged: all kinds of objects, and in one of two images the work of a process that died in the middle
//! of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use coheap_heap::objects::key::Key;
use coheap_heap::objects::{Cell, Tag, array, graph, kind, packed, record, string, wire};
use coheap_heap::segment::Off;
use coheap_heap::segment::layout::Header;
use coheap_heap::segment::word::Word1;
use coheap_heap::txn::{Guard, TxnOptions};
use coheap_heap::{BigInt, Data, Heap, Options, ViewKind, open};

/// Every copy is called as the heap was: the name stands in it.
pub const NAME: &str = "damaged";
const MAX_SIZE: u64 = 4 << 20;
/// The files of the images: a heap left in good order, and one left by a death.
pub const IMAGES: [&str; 2] = ["good", "dead"];

/// The parts of a segment that are damaged, in bytes.
#[derive(Clone, Copy)]
pub struct Parts {
    pub processes: usize,
    pub slots: usize,
    pub directory: usize,
    pub data: usize,
}

/// A heap's bytes, and what a damager wants to know of them.
pub struct Image {
    pub bytes: Vec<u8>,
    pub parts: Parts,
    /// Blocks of each kind.
    pub blocks: BTreeMap<u8, Vec<Off>>,
    /// All blocks.
    pub all: Vec<Off>,
    /// Words that are not 0: of the header, of the tables, of the directory, of the slabs.
    pub words: [Vec<usize>; 4],
}

pub struct Base {
    pub dir: PathBuf,
    /// Left in good order, and left by a death.
    pub images: [Image; 2],
}

pub fn options(dir: &Path) -> Options {
    Options {
        dir: Some(dir.to_owned()),
        max_size: MAX_SIZE,
        max_participants: 16,
        persist: true,
        patience_ms: 1,
        ..Options::default()
    }
}

fn file(dir: &Path) -> PathBuf {
    dir.join(format!("coheap.{NAME}"))
}

impl Base {
    /// Makes the heap and keeps two images of it in the folder.
    pub fn make(dir: &Path) {
        let options = options(dir);
        let heap = Heap::create(NAME, &options).unwrap();
        fill(&heap);
        let segment = heap.segment();
        let image = |name: &str| {
            let bytes = std::fs::read(file(dir)).unwrap();
            std::fs::write(dir.join(name), &bytes[..segment.committed() as usize]).unwrap();
        };
        // another thread is in the middle of things
        let mut ctx = open::join(&segment, &options).unwrap();
        let root = open::root(&segment).unwrap();
        let tx = ctx.begin(TxnOptions { explicit: true, ..TxnOptions::default() }).unwrap();
        ctx.enter(tx).unwrap();
        for key in ["new", "list"].map(Key::string) {
            let text = string::Str::from("a string that is longer than a cell");
            let cell = ctx.build(|m| string::build(m, &text)).unwrap();
            match ctx.read(|m| record::get(m, root, &key)).unwrap() {
                Some(list) => ctx.write(|m| array::push(m, list.offset(), &[cell]).map(|_| ())).unwrap(),
                None => ctx.write(|m| record::set(m, root, &key, cell)).unwrap(),
            }
        }
        ctx.leave();
        image("dead");
        drop(ctx);
        drop(heap);
        drop(segment);
        let bytes = std::fs::read(file(dir)).unwrap();
        let committed = word(&bytes, std::mem::offset_of!(Header, committed)) as usize;
        std::fs::write(dir.join("good"), &bytes[..committed]).unwrap();
        std::fs::remove_file(file(dir)).unwrap();
    }

    pub fn load(dir: &Path) -> Base {
        let dir = dir.to_owned();
        let images = IMAGES.map(|name| Image::load(&dir, std::fs::read(dir.join(name)).unwrap()));
        Base { dir, images }
    }

    /// Puts a copy where it can be opened.
    pub fn place(&self, bytes: &[u8]) {
        use std::os::unix::fs::OpenOptionsExt;
        let path = file(&self.dir);
        let _ = std::fs::remove_file(&path);
        let mut create = std::fs::OpenOptions::new();
        let mut file = create.write(true).create_new(true).mode(0o600).open(path).unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        file.set_len(MAX_SIZE).unwrap();
    }

    pub fn clear(&self) {
        let _ = std::fs::remove_file(file(&self.dir));
    }
}

pub fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

impl Image {
    fn load(dir: &Path, bytes: Vec<u8>) -> Image {
        let base = Base { dir: dir.to_owned(), images: [Image::empty(), Image::empty()] };
        base.place(&bytes);
        let heap = Heap::open(NAME, &options(dir)).unwrap();
        assert_eq!(heap.verify(), []);
        let segment = heap.segment();
        let plan = segment.plan();
        let parts = Parts {
            processes: plan.processes as usize,
            slots: plan.slot_table as usize,
            directory: plan.directory as usize,
            data: plan.data as usize,
        };
        let mut blocks: BTreeMap<u8, Vec<Off>> = BTreeMap::new();
        let mut all = Vec::new();
        coheap_heap::slab::for_each_block(&segment, |at, _| {
            let kind = Word1(segment.word(at + 8).unwrap().load(Relaxed)).kind();
            blocks.entry(kind).or_default().push(at);
            all.push(at);
        });
        for kind in [
            kind::RECORD,
            kind::ARRAY,
            kind::MAP,
            kind::SET,
            kind::STRIPES,
            kind::SPARSE_BODY,
            kind::DICT_BODY,
        ] {
            assert!(blocks.contains_key(&kind), "no block of kind {kind}");
        }
        drop((heap, segment));
        base.clear();
        let words = |from: usize, to: usize| {
            (from..to).step_by(8).filter(|&at| word(&bytes, at) != 0).collect::<Vec<_>>()
        };
        let words = [
            words(0, parts.processes),
            words(parts.processes, parts.directory),
            words(parts.directory, parts.data),
            words(parts.data, bytes.len()),
        ];
        Image { words, parts, blocks, all, bytes }
    }

    fn empty() -> Image {
        let parts = Parts { processes: 0, slots: 0, directory: 0, data: 0 };
        Image {
            bytes: Vec::new(),
            parts,
            blocks: BTreeMap::new(),
            all: Vec::new(),
            words: Default::default(),
        }
    }
}

fn fill(heap: &Heap) {
    let root = heap.root();
    let text = |n: usize| Data::from("text ".repeat(n).as_str());
    root.set("text", text(5)).unwrap();
    root.set("wide", "\u{1f600} ж").unwrap();
    root.set("big", Data::BigInt(BigInt::new(true, vec![1, 2, 3]))).unwrap();
    root.set("list", Data::array((0..40).map(|i| if i % 3 == 0 { text(3) } else { Data::from(i) }))).unwrap();
    root.set(
        "people",
        Data::array((0..20).map(|i| {
            Data::object([("name", text(2)), ("age", i.into()), ("more", Data::object([("x", 1.into())]))])
        })),
    )
    .unwrap();
    root.set("dictionary", Data::object((0..100).map(|i| (format!("key number {i}"), Data::from(i)))))
        .unwrap();
    root.set("small", Data::Map(vec![("a".into(), 1.into()), (2.into(), text(4))])).unwrap();
    let entry =
        |i: u32| (Data::from(format!("the key {i}")), if i.is_multiple_of(2) { text(3) } else { i.into() });
    root.set("map", Data::Map((0..200).map(entry).collect())).unwrap();
    root.set("set", Data::Set((0..100).map(Data::from).collect())).unwrap();
    root.set("bytes", Data::f64s(&[1.0; 20])).unwrap();
    root.set("run", Data::Typed(ViewKind::Uint8, vec![7; 200_000])).unwrap();
    root.set("long", text(20_000)).unwrap();
    root.set("sparse", Data::array([1])).unwrap();
    root.get("sparse").unwrap().array().unwrap().set(50_000_000, text(3)).unwrap();
    root.set("self", root.clone()).unwrap();
    // what only JavaScript makes: a frozen object that refers to a live one
    let mut ctx = open::join(&heap.segment(), &Options::default()).unwrap();
    let at = open::root(&heap.segment()).unwrap();
    let cell = ctx
        .build(|m| {
            let live = record::create(m, false)?;
            let live = Cell::reference(Tag::Record, live);
            let mut content = Vec::new();
            wire::Writer(&mut content).live(0);
            packed::build(m, 6, &[live], &content)
        })
        .unwrap();
    ctx.write(|m| record::set(m, at, &Key::string("frozen"), cell)).unwrap();
    let mut wire_out = Vec::new();
    ctx.read(|m| {
        let root = Cell::reference(Tag::Record, at);
        graph::export_deep(m, Guard(at), root, &mut wire_out)
    })
    .unwrap();
    drop(ctx);
    for (name, capacity, lifo) in
        [("bounded", Some(100), false), ("free", None, false), ("stack", None, true)]
    {
        let channel = heap.channel(name, capacity, lifo).unwrap();
        for i in 0..60 {
            let message = match i % 3 {
                0 => Data::from(i),
                1 => text(3),
                _ => Data::object([("i", Data::from(i))]),
            };
            assert!(channel.try_put(message).unwrap());
        }
        for _ in 0..10 {
            channel.try_take().unwrap();
        }
    }
}
