//! What a program does with a heap, damaged or not.

use std::collections::HashSet;
use std::fmt;

use coheap_heap::objects::key::Key;
use coheap_heap::objects::mapkey::MapKey;
use coheap_heap::objects::string::{self, Str};
use coheap_heap::objects::{Cell, Tag, array, graph, kind, map, map_iter, record};
use coheap_heap::queue;
use coheap_heap::segment::Off;
use coheap_heap::txn::{Ctx, Fault, Guard, Res, TxnOptions};
use coheap_heap::{Channel, Code, Data, Heap, Result, Value, ViewKind};

use crate::base::Image;
use crate::damage::Dice;

/// Values that are read: cycles end here.
const MOST_VALUES: usize = 3000;
const STEPS: u64 = 40;

/// Results and errors.
#[derive(Default)]
pub struct Tally {
    results: u64,
    corrupt: u64,
    others: u64,
    pub unopened: u64,
}

impl Tally {
    /// Counts it; the result, if it is one.
    pub fn count<T>(&mut self, result: Result<T>) -> Option<T> {
        match &result {
            Ok(_) => self.results += 1,
            Err(error) if error.code == Code::Corrupt => self.corrupt += 1,
            Err(_) => self.others += 1,
        }
        result.ok()
    }

    pub fn add(&mut self, line: &str) {
        let mut numbers = line.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
        for sum in [&mut self.results, &mut self.corrupt, &mut self.others, &mut self.unopened] {
            *sum += numbers.next().unwrap_or(0);
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { results, corrupt, others, unopened } = self;
        write!(
            f,
            "{results} results, {corrupt} ERR_COHEAP_CORRUPT, {others} other errors, {unopened} unopened"
        )
    }
}

/// Uses the heap, and by a second participant of this thread the blocks of the image that it was.
pub fn exercise(heap: &Heap, mut second: Option<(&mut Ctx, &Image)>, dice: &mut Dice, tally: &mut Tally) {
    let _ = (heap.verify(), heap.stats(), heap.participants(), heap.deaths().look());
    let mut values = Vec::new();
    read_all(heap, &mut values, tally);
    let channels: Vec<Channel> =
        [("bounded", Some(100), false), ("free", None, false), ("stack", None, true), ("new", None, false)]
            .into_iter()
            .filter_map(|(name, capacity, lifo)| tally.count(heap.channel(name, capacity, lifo)))
            .collect();
    for _ in 0..STEPS {
        match dice.roll(8) {
            0..4 if !values.is_empty() => {
                let done = change(heap, &values, dice);
                tally.count(done);
            }
            4 if !channels.is_empty() => {
                let done = messages(dice, &channels);
                tally.count(done);
            }
            5 => {
                let done = heap.transaction(|heap| {
                    for _ in 0..1 + dice.roll(4) {
                        if !values.is_empty() {
                            change(heap, &values, dice)?;
                        }
                        if !channels.is_empty() {
                            messages(dice, &channels)?;
                        }
                    }
                    Ok(())
                });
                tally.count(done);
            }
            _ => {
                if let Some((ctx, image)) = &mut second {
                    tally.count(deeper(ctx, image, dice).map_err(Fault::error));
                    ctx.discard();
                }
            }
        }
    }
    for _ in 0..dice.roll(30) {
        tally.count(heap.share(Data::Typed(ViewKind::Uint8, vec![1; 70_000])));
        tally.count(heap.share(Data::array((0..200).map(|i| Data::from(format!("element {i}"))))));
    }
    if let Some((ctx, _)) = second {
        let seg = ctx.segment().clone();
        for channel in tally.count(queue::Channel::all(&seg).map_err(Fault::error)).unwrap_or_default() {
            let _ = (channel.name(), channel.capacity());
            tally.count(channel.is_closed(ctx).map_err(Fault::error));
        }
    }
    drop((values, channels));
    let _ = heap.verify();
}

/// Reads what can be reached.
pub fn read_all(heap: &Heap, values: &mut Vec<Value>, tally: &mut Tally) {
    let mut waiting = vec![Value::Record(heap.root())];
    let mut seen = HashSet::new();
    while let Some(value) = waiting.pop() {
        let live = matches!(
            value,
            Value::Record(_) | Value::Array(_) | Value::Map(_) | Value::Set(_) | Value::Bytes(_)
        );
        // how it prints says where it lies
        if !live || !seen.insert(format!("{value:?}")) {
            continue;
        }
        if seen.len() > MOST_VALUES {
            break;
        }
        let room = waiting.len() < MOST_VALUES;
        match &value {
            Value::Record(x) => {
                for key in tally.count(x.keys()).unwrap_or_default().iter().take(200) {
                    waiting.extend(tally.count(x.get(key)).filter(|_| room));
                }
            }
            Value::Array(x) => {
                let _ = (tally.count(x.len()), tally.count(x.get(0)));
                // one of 50 million elements is read as one
                if x.len().is_ok_and(|len| len < 100_000) {
                    waiting.extend(tally.count(x.to_vec()).filter(|_| room).into_iter().flatten());
                }
            }
            Value::Map(x) => {
                let entries = tally.count(x.entries()).filter(|_| room).unwrap_or_default();
                waiting.extend(entries.into_iter().flat_map(|(key, value)| [key, value]));
                let _ = (tally.count(x.size()), tally.count(x.get("the key 7")));
            }
            Value::Set(x) => {
                let _ = (tally.count(x.size()), tally.count(x.has(7)));
            }
            Value::Bytes(x) => {
                let _ = (tally.count(x.kind()), tally.count(x.to_vec()));
            }
            _ => {}
        }
        if values.len() < 500
            && matches!(value, Value::Record(_) | Value::Array(_) | Value::Map(_) | Value::Set(_))
        {
            values.push(value);
        }
    }
}

fn data(dice: &mut Dice) -> Data {
    match dice.roll(6) {
        0 => Data::from("a string that is longer than a cell"),
        1 => Data::object([("name", Data::from("a name")), ("age", 7.into()), ("fresh", Data::Null)]),
        2 => Data::array((0..20).map(|i| Data::from(format!("a text {i}")))),
        3 => Data::Map((0..10).map(|i| (Data::from(format!("the key {i}")), i.into())).collect()),
        _ => Data::from(dice.roll(1000) as u32),
    }
}

/// One change of an object that was read.
fn change(heap: &Heap, values: &[Value], dice: &mut Dice) -> Result<()> {
    let key = format!("the key {}", dice.roll(250));
    let index = dice.roll(60) as u32;
    match dice.of(values) {
        Value::Record(x) => match dice.roll(5) {
            0 => x.set(dice.of::<&str>(&["age", "name", "text", "x", "list"]), data(dice)),
            1 => x.set(&key, data(dice)),
            2 => x.delete(&format!("key number {}", dice.roll(100))).map(drop),
            3 => x.delete(dice.of::<&str>(&["age", "text", "big", "frozen"])).map(drop),
            _ => x.has(&key).map(drop),
        },
        Value::Array(x) => match dice.roll(5) {
            0 => x.set(index, data(dice)),
            1 => x.push(data(dice)).map(drop),
            2 => x.pop().map(drop),
            3 => x.shift().map(drop),
            _ => x.get(index).map(drop),
        },
        Value::Map(x) => match dice.roll(4) {
            0 | 1 => x.set(key.as_str(), data(dice)),
            2 => x.delete(key.as_str()).map(drop),
            _ => x.has(key.as_str()).map(drop),
        },
        Value::Set(x) => x.delete(dice.roll(100) as u32).map(drop),
        _ => heap.root().set(&key, data(dice)),
    }
}

fn messages(dice: &mut Dice, channels: &[Channel]) -> Result<()> {
    let channel = dice.of(channels);
    for _ in 0..1 + dice.roll(10) {
        match dice.roll(8) {
            0..3 => channel.try_put(data(dice)).map(drop)?,
            3..7 => channel.try_take().map(drop)?,
            _ => channel.len().map(drop)?,
        }
    }
    if dice.roll(40) == 0 {
        channel.close()?;
    }
    Ok(())
}

/// Operations of the floor below on whatever block is of the right kind.
fn deeper(ctx: &mut Ctx, image: &Image, dice: &mut Dice) -> Res<()> {
    let explicit = dice.roll(4) == 0;
    if explicit {
        let tx = ctx.begin(TxnOptions { explicit, ..TxnOptions::default() })?;
        ctx.enter(tx)?;
        let done = operation(ctx, image, dice).and_then(|()| operation(ctx, image, dice));
        ctx.leave();
        return match done {
            Ok(()) => ctx.commit(tx),
            Err(fault) => {
                ctx.abort(tx);
                Err(fault)
            }
        };
    }
    operation(ctx, image, dice)
}

fn operation(ctx: &mut Ctx, image: &Image, dice: &mut Dice) -> Res<()> {
    let kinds = [
        (kind::RECORD, Tag::Record),
        (kind::ARRAY, Tag::Array),
        (kind::MAP, Tag::Map),
        (kind::SET, Tag::Set),
    ];
    let &(kind, tag) = dice.of(&kinds);
    let at: Off = *dice.of(&image.blocks[&kind]);
    let cell = Cell::reference(tag, at);
    let text = Str::from("the key of a new entry");
    match dice.roll(6) {
        0 => {
            let mut out = Vec::new();
            return ctx.read(|m| graph::export_deep(m, Guard(at), cell, &mut out));
        }
        1 => {
            let mut out = Vec::new();
            return ctx.read(|m| graph::export(m, Guard(at), cell, &mut out, &mut |_, _| Ok(1)));
        }
        _ => {}
    }
    let start = dice.roll(60) as u32;
    let what = dice.roll(5);
    match tag {
        Tag::Record => {
            let key = Key::string(["name", "age", "key number 7", "text", "list"][what as usize]);
            let value = ctx.build(|m| string::build(m, &text))?;
            ctx.write(|m| match start % 3 {
                0 => record::delete(m, at, &key).map(drop),
                _ => record::set(m, at, &key, value),
            })
        }
        Tag::Array => {
            let value = ctx.build(|m| string::build(m, &text))?;
            ctx.write(|m| match what {
                0 => array::splice(m, at, start, 3, &[value]).map(drop),
                1 => array::unshift(m, at, &[value]).map(drop),
                2 => array::set_len(m, at, start),
                3 => array::delete(m, at, start).map(drop),
                _ => array::set(m, at, start * 1000, value),
            })
        }
        _ => {
            let key = MapKey::Text(text.clone().into());
            let number = MapKey::number(start as f64);
            ctx.write(|m| match what {
                0 => map::clear(m, at),
                1 => map::delete(m, at, &number).map(drop),
                2 => {
                    let mut steps = Vec::new();
                    map_iter::entries_from(m, at, start as u64, Some(start as u64), 50, false, &mut steps)
                }
                _ if tag == Tag::Set => map::add(m, at, &key, |m| string::build(m, &text)).map(drop),
                _ => map::set(m, at, &key, |m| string::build(m, &text), Cell::number(1.0)).map(drop),
            })
        }
    }
}
