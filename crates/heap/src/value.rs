//! [`Value`]: what is read out of a heap.

use std::rc::Rc;

use coheap_objects::bigint::{self, BigInt};
use coheap_objects::cell::{Cell, Tag};
use coheap_objects::packed::{self, Packed};
use coheap_objects::string;
use coheap_segment::{Code, Error, Result};
use coheap_txn::{Guard, Mem, Res};

use crate::heap::Inner;
use crate::live::{Array, Bytes, Map, Object, Record, Set};

/// What is read out of a heap: a copy of what is stored by value, or a live object.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the language's own names; live objects say more in their types")]
pub enum Value {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    /// Lone surrogates became U+FFFD.
    String(String),
    BigInt(BigInt),
    /// `Symbol.for` of this.
    Symbol(String),
    /// A `Date`, an `Error`, something frozen: what JavaScript made of it, in the wire format.
    ByValue(Packed),
    Record(Record),
    Array(Array),
    Map(Map),
    Set(Set),
    /// An `ArrayBuffer`, or a view of one.
    Bytes(Bytes),
}

impl Value {
    /// The value of a cell, within an operation.
    pub(crate) fn load<M: Mem + ?Sized>(
        m: &mut M,
        guard: Guard,
        cell: Cell,
        inner: &Rc<Inner>,
    ) -> Res<Value> {
        if let Some(x) = cell.as_number() {
            return Ok(Value::Number(x));
        }
        let object = |m: &mut M| Object::load(m, inner, cell);
        Ok(match cell.tag() {
            Some(Tag::Special) => match cell {
                Cell::NULL => Value::Null,
                Cell::FALSE => Value::Bool(false),
                Cell::TRUE => Value::Bool(true),
                _ => Value::Undefined,
            },
            Some(Tag::InlineString | Tag::String) => Value::String(string::load(m, guard, cell)?.to_string()),
            Some(Tag::Symbol) => Value::Symbol(string::load(m, guard, cell)?.to_string()),
            Some(Tag::BigInt) => Value::BigInt(bigint::load(m, guard, cell)?),
            Some(Tag::Packed) => Value::ByValue(packed::load(m, guard, cell)?),
            Some(Tag::Record) => Value::Record(Record(object(m)?)),
            Some(Tag::Array) => Value::Array(Array(object(m)?)),
            Some(Tag::Map) => Value::Map(Map(object(m)?)),
            Some(Tag::Set) => Value::Set(Set(object(m)?)),
            Some(Tag::Buffer | Tag::View) => Value::Bytes(Bytes(object(m)?)),
            None => return Err(Error::corrupt("a cell of no kind", cell.0).into()),
        })
    }

    fn other<T>(&self, wanted: &'static str) -> Result<T> {
        Err(Error::new(Code::InvalidArgument, wanted))
    }

    /// True for `undefined`, which is also what a missing property reads as.
    pub fn is_undefined(&self) -> bool {
        matches!(self, Value::Undefined)
    }

    /// The number, or `ERR_COHEAP_INVALID_ARGUMENT`, as the others.
    pub fn number(&self) -> Result<f64> {
        match self {
            Value::Number(x) => Ok(*x),
            _ => self.other("not a number"),
        }
    }

    /// The boolean.
    pub fn bool(&self) -> Result<bool> {
        match self {
            Value::Bool(x) => Ok(*x),
            _ => self.other("not a boolean"),
        }
    }

    /// The string.
    pub fn str(&self) -> Result<&str> {
        match self {
            Value::String(s) => Ok(s),
            _ => self.other("not a string"),
        }
    }

    /// The plain object or instance.
    pub fn record(self) -> Result<Record> {
        match self {
            Value::Record(record) => Ok(record),
            _ => self.other("not an object"),
        }
    }

    /// The array.
    pub fn array(self) -> Result<Array> {
        match self {
            Value::Array(array) => Ok(array),
            _ => self.other("not an array"),
        }
    }

    /// The map.
    pub fn map(self) -> Result<Map> {
        match self {
            Value::Map(map) => Ok(map),
            _ => self.other("not a map"),
        }
    }

    /// The set.
    pub fn set(self) -> Result<Set> {
        match self {
            Value::Set(set) => Ok(set),
            _ => self.other("not a set"),
        }
    }

    /// The bytes.
    pub fn bytes(self) -> Result<Bytes> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            _ => self.other("not bytes"),
        }
    }
}
