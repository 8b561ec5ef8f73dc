//! Single reads and writes: one cell by one process and by two, properties of records by slot and by key.

mod common;

use std::hint::black_box;
use std::sync::Mutex;

use coheap_objects::key::Key;
use coheap_objects::shape::ShapeWord;
use coheap_objects::{Cell, record};
use coheap_segment::Off;
use coheap_txn::{Ctx, Mem, Op, Res};
use common::{Add, Load, Pair, Store};
use criterion::{Criterion, Throughput};

fn cell(c: &mut Criterion) {
    let segment = common::heap();
    let mut ctx = common::join(&segment);
    let at = common::object(&mut ctx, 4);
    let mutex = Mutex::new(0.0);

    let mut group = c.benchmark_group("cell");
    group.bench_function("write", |b| b.iter(|| ctx.write_with(&mut Store(black_box(at), 1.0)).unwrap()));
    group.bench_function("write, Mutex", |b| b.iter(|| *black_box(&mutex).lock().unwrap() = 1.0));
    group.bench_function("add", |b| b.iter(|| ctx.write_with(&mut Add(black_box(at), 1.0)).unwrap()));
    group.bench_function("add, Mutex", |b| b.iter(|| *black_box(&mutex).lock().unwrap() += 1.0));
    group.bench_function("read", |b| b.iter(|| ctx.read_with(&mut Load(black_box(at))).unwrap()));
    group.bench_function("read, Mutex", |b| b.iter(|| *black_box(&mutex).lock().unwrap()));
}

fn add(ctx: &mut Ctx, at: Off, times: u64) {
    for _ in 0..times {
        ctx.write_with(&mut Add(black_box(at), 1.0)).unwrap();
    }
}

/// Both processes add; the time is that of two additions.
fn two_processes(c: &mut Criterion) {
    let mut group = c.benchmark_group("add, two processes");
    group.throughput(Throughput::Elements(2));
    for (name, apart) in [("own objects", true), ("same object", false)] {
        group.bench_function(name, |b| {
            let mut objects = [0; 4];
            let mut pair = Pair::new("add", |ctx| {
                objects[0] = common::object(ctx, 4);
                // of another size, hence in another slab: no cache line is shared
                objects[1] = if apart { common::object(ctx, 500) } else { objects[0] };
                objects
            });
            let mut ctx = common::join(&pair.segment);
            let mut sum = 0;
            b.iter_custom(|times| {
                sum += times;
                pair.together(times, || add(&mut ctx, objects[0], times))
            });
            let mut read = |at| ctx.read_with(&mut Load(at)).unwrap();
            let expected = [sum as f64, 2.0 * sum as f64][!apart as usize];
            assert_eq!((read(objects[0]), read(objects[1])), (expected, expected));
        });
    }
    // what one of them does while the other process exists and rests
    group.throughput(Throughput::Elements(1));
    group.bench_function("one of them alone", |b| {
        let mut at = 0;
        let mut pair = Pair::new("add", |ctx| {
            at = common::object(ctx, 4);
            [at; 4]
        });
        let mut ctx = common::join(&pair.segment);
        b.iter_custom(|times| pair.together(0, || add(&mut ctx, at, times)));
    });
}

struct GetSlot(Off, ShapeWord, usize);
impl Op for GetSlot {
    type Out = Option<Cell>;
    fn run<M: Mem>(&mut self, m: &mut M) -> Res<Option<Cell>> {
        record::get_slot(m, self.0, self.1, self.2)
    }
}

struct SetSlot(Off, ShapeWord, usize, Cell);
impl Op for SetSlot {
    type Out = bool;
    fn run<M: Mem>(&mut self, m: &mut M) -> Res<bool> {
        record::set_slot(m, self.0, self.1, self.2, self.3)
    }
}

struct Get<'a>(Off, &'a Key);
impl Op for Get<'_> {
    type Out = Option<Cell>;
    fn run<M: Mem>(&mut self, m: &mut M) -> Res<Option<Cell>> {
        record::get(m, self.0, self.1)
    }
}

struct Set<'a>(Off, &'a Key, Cell);
impl Op for Set<'_> {
    type Out = ();
    fn run<M: Mem>(&mut self, m: &mut M) -> Res<()> {
        record::set(m, self.0, self.1, self.2)
    }
}

fn records(c: &mut Criterion) {
    let segment = common::heap();
    let mut ctx = common::join(&segment);
    let keys: Vec<Key> = ["id", "name", "score", "level"].map(Key::string).into();
    let pairs: Vec<(Key, Cell)> = keys.iter().map(|key| (key.clone(), Cell::number(1.0))).collect();
    let at = ctx.write(|m| record::create_with(m, false, &pairs)).unwrap();
    let word = ctx.read(|m| record::shape_word(m, at)).unwrap();
    let (key, new) = (&keys[2], Cell::number(2.0));

    let mut group = c.benchmark_group("record");
    group.bench_function("get by slot", |b| {
        b.iter(|| ctx.read_with(&mut GetSlot(black_box(at), word, 2)).unwrap())
    });
    group.bench_function("set by slot", |b| {
        b.iter(|| assert!(ctx.write_with(&mut SetSlot(black_box(at), word, 2, new)).unwrap()))
    });
    group.bench_function("get by key", |b| b.iter(|| ctx.read_with(&mut Get(black_box(at), key)).unwrap()));
    group.bench_function("set by key", |b| {
        b.iter(|| ctx.write_with(&mut Set(black_box(at), key, new)).unwrap())
    });
    group.bench_function("set a text", |b| {
        // a block is built, linked, and the one before freed
        b.iter(|| {
            ctx.write(|m| {
                let text = coheap_objects::string::build_latin1(m, b"a text of some length")?;
                record::set(m, at, key, text)
            })
            .unwrap()
        })
    });
    group.bench_function("create", |b| {
        b.iter(|| {
            let at = ctx.write(|m| record::create_with(m, false, &pairs)).unwrap();
            ctx.write(|m| {
                m.free(at);
                Ok(())
            })
            .unwrap()
        })
    });
}

fn main() {
    if let Some(peer) = common::peer() {
        assert_eq!(peer.role(), "add");
        let mut ctx = common::join(peer.segment());
        return peer.serve(|times| add(&mut ctx, peer.given(1), times));
    }
    let mut c = common::criterion();
    cell(&mut c);
    two_processes(&mut c);
    records(&mut c);
    c.final_summary();
}
