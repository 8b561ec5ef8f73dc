//! What the unit tests of containers share.

use std::collections::HashSet;

use coheap_segment::Off;
use coheap_segment::word::Word1;
use coheap_txn::scratch::ScratchMem;
use coheap_txn::{Guard, Mem};

use crate::bigint::{self, BigInt};
use crate::cell::{Cell, kind};
use crate::string::{self, Str};

/// xorshift64*: the same numbers from the same seed, everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        println!("seed {seed}");
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

/// A value as a model holds it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Undefined,
    Number(f64),
    String(Str),
    BigInt(BigInt),
}

pub fn some_value(r: &mut Random) -> Value {
    match r.below(5) {
        0 => Value::Undefined,
        1 => Value::String(Str::from(format!("{}", r.below(1000)).as_str())),
        2 => Value::String(Str::from(format!("a longer string ☃ {}", r.below(1000)).as_str())),
        3 => Value::BigInt(BigInt::from(r.below(1 << 30) as i64 - (1 << 29))),
        _ => Value::Number(r.below(1000) as f64 / 4.0),
    }
}

pub fn build(m: &mut ScratchMem, v: &Value) -> Cell {
    match v {
        Value::Undefined => Cell::UNDEFINED,
        Value::Number(x) => Cell::number(*x),
        Value::String(s) => string::build(m, s).unwrap(),
        Value::BigInt(x) => bigint::build(m, x).unwrap(),
    }
}

pub fn load(m: &mut ScratchMem, guard: Guard, cell: Cell) -> Value {
    if let Some(x) = cell.as_number() {
        return Value::Number(x);
    }
    if cell == Cell::UNDEFINED {
        return Value::Undefined;
    }
    assert!(!m.freed.contains(&cell.offset()), "a cell refers to a freed block");
    match bigint::load(m, guard, cell) {
        Ok(x) => Value::BigInt(x),
        Err(_) => Value::String(string::load(m, guard, cell).unwrap()),
    }
}

/// Every live block that no table of shapes or keys holds; each must be one of `reachable`, and the other way round.
pub fn assert_exactly_live(m: &mut ScratchMem, reachable: impl IntoIterator<Item = Off>) {
    let expected: HashSet<Off> = reachable.into_iter().filter(|&at| at != 0).collect();
    let live: Vec<Off> = m.live.iter().copied().collect();
    let mut left = expected.clone();
    for at in live {
        let kind = Word1(m.load64(Guard(at), at + 8).unwrap()).kind();
        if !matches!(kind, kind::SHAPE | kind::KEY | kind::TABLE) {
            assert!(left.remove(&at), "a block of type {kind} at {at:#x} has leaked");
        }
    }
    assert!(left.is_empty(), "blocks that are in use have been freed: {left:x?}");
}
