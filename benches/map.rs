//! Maps: lookups and changes among 10,000 entries with text and number keys, beside a `HashMap` behind a mutex.

mod common;

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Mutex;

use coheap_objects::mapkey::{MapKey, Text};
use coheap_objects::{Cell, Tag, map};
use coheap_segment::Off;
use coheap_txn::{Ctx, Mem, Op, Res};
use common::{Pair, Random};
use criterion::{Criterion, Throughput};

const ENTRIES: u64 = 10_000;

/// What TypeScript hands over: the characters of a key, borrowed.
fn text(name: &str) -> MapKey<'_> {
    MapKey::Text(Text::latin1(name.as_bytes()))
}

fn names() -> Vec<String> {
    (0..ENTRIES).map(|i| format!("customer-{i}")).collect()
}

struct Get<'a>(Off, MapKey<'a>);
impl Op for Get<'_> {
    type Out = Option<Cell>;
    #[inline(always)]
    fn run<M: Mem>(&mut self, m: &mut M) -> Res<Option<Cell>> {
        Ok(map::get(m, self.0, &self.1)?.map(|(cell, _)| cell))
    }
}

struct Set<'a>(Off, MapKey<'a>, f64);
impl Op for Set<'_> {
    type Out = bool;
    #[inline(always)]
    fn run<M: Mem>(&mut self, m: &mut M) -> Res<bool> {
        let (map, key) = (self.0, &self.1);
        map::set(m, map, key, |m| key.build(m), Cell::number(self.2))
    }
}

struct Delete<'a>(Off, MapKey<'a>);
impl Op for Delete<'_> {
    type Out = bool;
    #[inline(always)]
    fn run<M: Mem>(&mut self, m: &mut M) -> Res<bool> {
        map::delete(m, self.0, &self.1)
    }
}

fn filled(ctx: &mut Ctx, names: &[String]) -> Off {
    let map = ctx.write(|m| map::create(m, Tag::Map)).unwrap();
    for name in names {
        assert!(!ctx.write_with(&mut Set(map, text(name), 0.0)).unwrap());
    }
    map
}

/// One of the names, at random: most often not in the first cache.
fn some<'a>(names: &'a [String], random: &mut Random) -> &'a str {
    &names[random.below(names.len() as u64) as usize]
}

fn one_process(c: &mut Criterion) {
    let segment = common::heap();
    let mut ctx = common::join(&segment);
    let names = names();
    let map = filled(&mut ctx, &names);
    let mutex: Mutex<HashMap<String, f64>> = Mutex::new(names.iter().map(|n| (n.clone(), 0.0)).collect());
    let mut random = Random::new(1);

    let mut group = c.benchmark_group("map, texts");
    group.bench_function("get", |b| {
        b.iter(|| ctx.read_with(&mut Get(map, text(some(&names, &mut random)))).unwrap().unwrap())
    });
    group.bench_function("get, HashMap", |b| {
        b.iter(|| mutex.lock().unwrap().get(black_box(some(&names, &mut random))).copied())
    });
    group.bench_function("set", |b| {
        b.iter(|| assert!(ctx.write_with(&mut Set(map, text(some(&names, &mut random)), 1.0)).unwrap()))
    });
    group.bench_function("set, HashMap", |b| {
        b.iter(|| *mutex.lock().unwrap().get_mut(black_box(some(&names, &mut random))).unwrap() = 1.0)
    });
    group.bench_function("delete and set", |b| {
        b.iter(|| {
            let name = some(&names, &mut random);
            assert!(ctx.write_with(&mut Delete(map, text(name))).unwrap());
            assert!(!ctx.write_with(&mut Set(map, text(name), 1.0)).unwrap());
        })
    });
    group.bench_function("delete and set, HashMap", |b| {
        b.iter(|| {
            let name = some(&names, &mut random);
            let mut map = mutex.lock().unwrap();
            let (name, _) = map.remove_entry(name).unwrap();
            map.insert(name, 1.0);
        })
    });
    drop(group);
    assert_eq!(ctx.read(|m| map::size(m, map)).unwrap(), ENTRIES);

    let numbers = ctx.write(|m| map::create(m, Tag::Map)).unwrap();
    for i in 0..ENTRIES {
        ctx.write_with(&mut Set(numbers, MapKey::number(i as f64), 0.0)).unwrap();
    }
    let mutex: Mutex<HashMap<u64, f64>> = Mutex::new((0..ENTRIES).map(|i| (i, 0.0)).collect());
    let mut group = c.benchmark_group("map, numbers");
    let mut number = move || MapKey::number(random.below(ENTRIES) as f64);
    group.bench_function("get", |b| b.iter(|| ctx.read_with(&mut Get(numbers, number())).unwrap().unwrap()));
    let mut random = Random::new(1);
    group.bench_function("get, HashMap", |b| {
        b.iter(|| mutex.lock().unwrap().get(&random.below(ENTRIES)).copied())
    });
    group.bench_function("set", |b| {
        b.iter(|| assert!(ctx.write_with(&mut Set(numbers, number(), 1.0)).unwrap()))
    });
}

fn sets(ctx: &mut Ctx, map: Off, names: &[String], random: &mut Random, times: u64) {
    for _ in 0..times {
        assert!(ctx.write_with(&mut Set(map, text(some(names, random)), 1.0)).unwrap());
    }
}

fn two_processes(c: &mut Criterion) {
    let mut group = c.benchmark_group("map, two processes");
    group.throughput(Throughput::Elements(2));
    group.bench_function("set", |b| {
        let names = names();
        let mut map = 0;
        let mut pair = Pair::new("set", |ctx| {
            map = filled(ctx, &names);
            [map; 4]
        });
        let mut ctx = common::join(&pair.segment);
        let mut random = Random::new(1);
        b.iter_custom(|times| pair.together(times, || sets(&mut ctx, map, &names, &mut random, times)));
    });
}

fn main() {
    if let Some(peer) = common::peer() {
        assert_eq!(peer.role(), "set");
        let mut ctx = common::join(peer.segment());
        let (names, mut random) = (names(), Random::new(2));
        return peer.serve(|times| sets(&mut ctx, peer.given(0), &names, &mut random, times));
    }
    let mut c = common::criterion();
    one_process(&mut c);
    two_processes(&mut c);
    c.final_summary();
}
