//! [`Data`]: what is copied into a heap.

use coheap_objects::bigint::BigInt;
use coheap_objects::cell::Cell;
use coheap_objects::mapkey::MapKey;
use coheap_objects::string::Str;
use coheap_objects::view::ViewKind;
use coheap_objects::wire::{INSTANCE, Writer, tag};

use crate::heap::Inner;
use crate::live::Object;
use crate::value::Value;

/// A value to be copied into a heap. `From` makes it of Rust's own types.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the language's own names")]
pub enum Data {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    BigInt(BigInt),
    /// A plain object: its properties in order.
    Object(Vec<(String, Data)>),
    /// An instance of the class that is registered under this name, with its properties in order. Of a struct: all fields,
    /// in their order, under the name that [`crate::Record::class`] tells.
    Instance(String, Vec<(String, Data)>),
    Array(Vec<Data>),
    Map(Vec<(Data, Data)>),
    Set(Vec<Data>),
    /// A typed array of its own buffer: what its elements are, and their bytes, little-endian.
    Typed(ViewKind, Vec<u8>),
    /// A live object of the same heap, by reference.
    Live(Object),
}

impl Data {
    /// A plain object.
    pub fn object<K: Into<String>>(properties: impl IntoIterator<Item = (K, Data)>) -> Data {
        Data::Object(properties.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// An instance of a class: see [`Data::Instance`].
    pub fn instance<K: Into<String>>(
        class: impl Into<String>,
        properties: impl IntoIterator<Item = (K, Data)>,
    ) -> Data {
        Data::Instance(class.into(), properties.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// An array.
    pub fn array(elements: impl IntoIterator<Item = impl Into<Data>>) -> Data {
        Data::Array(elements.into_iter().map(Into::into).collect())
    }

    /// An empty map.
    pub fn map() -> Data {
        Data::Map(Vec::new())
    }

    /// A `Float64Array`.
    pub fn f64s(elements: &[f64]) -> Data {
        Data::Typed(ViewKind::Float64, elements.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// An `Int32Array`.
    pub fn i32s(elements: &[i32]) -> Data {
        Data::Typed(ViewKind::Int32, elements.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// The wire, and the live objects that it names by their position.
    pub(crate) fn encode(&self) -> (Vec<u8>, Vec<Object>) {
        let mut encoder = Encoder::default();
        encoder.value(self);
        (encoder.wire, encoder.live)
    }

    /// What finds this value in a map.
    pub(crate) fn map_key(&self, inner: &Inner) -> coheap_txn::Res<MapKey<'static>> {
        Ok(match self {
            Data::Undefined => MapKey::Bits(Cell::UNDEFINED.0),
            Data::Null => MapKey::Bits(Cell::NULL.0),
            Data::Bool(x) => MapKey::Bits(Cell::bool(*x).0),
            Data::Number(x) => MapKey::number(*x),
            Data::String(s) => MapKey::Text(Str::from(s.as_str()).into()),
            Data::BigInt(x) => {
                let bytes: Vec<u8> = x.limbs().iter().flat_map(|limb| limb.to_le_bytes()).collect();
                MapKey::bigint(x.is_negative(), bytes)
            }
            Data::Live(object) => MapKey::Bits(object.cell(inner)?.0),
            // a new object is in no map
            _ => MapKey::Unique,
        })
    }

    /// True for what is compared by content or by identity: its cell need not be built to look for it.
    pub(crate) fn is_scalar(&self) -> bool {
        !matches!(
            self,
            Data::Object(_)
                | Data::Instance(..)
                | Data::Array(_)
                | Data::Map(_)
                | Data::Set(_)
                | Data::Typed(..)
        )
    }
}

#[derive(Default)]
struct Encoder {
    wire: Vec<u8>,
    live: Vec<Object>,
    containers: u32,
}

impl Encoder {
    fn w(&mut self) -> Writer<'_> {
        Writer(&mut self.wire)
    }

    fn container(&mut self, tag: u8) {
        let id = self.containers;
        self.containers += 1;
        self.w().u8(tag);
        self.w().u32(id);
    }

    fn count(&mut self, n: usize) {
        // more than 4 G values do not fit in 64 GiB of heap
        self.w().u32(n.min(u32::MAX as usize) as u32);
    }

    fn properties(&mut self, properties: &[(String, Data)]) {
        self.count(properties.len());
        for (key, value) in properties {
            self.w().text(&Str::from(key.as_str()));
            self.value(value);
        }
    }

    fn value(&mut self, data: &Data) {
        match data {
            Data::Undefined => self.w().u8(tag::UNDEFINED),
            Data::Null => self.w().u8(tag::NULL),
            Data::Bool(x) => self.w().u8(if *x { tag::TRUE } else { tag::FALSE }),
            Data::Number(x) => self.w().number(*x),
            Data::String(s) => self.w().text(&Str::from(s.as_str())),
            Data::BigInt(x) => self.w().bigint(x.is_negative(), x.limbs()),
            Data::Object(properties) => {
                self.container(tag::OBJECT);
                self.w().u8(0);
                self.properties(properties);
            }
            Data::Instance(class, properties) => {
                self.container(tag::OBJECT);
                self.w().u8(INSTANCE);
                self.w().text(&Str::from(class.as_str()));
                self.properties(properties);
            }
            Data::Array(elements) => {
                self.container(tag::ARRAY);
                self.count(elements.len());
                self.count(elements.len());
                elements.iter().for_each(|element| self.value(element));
                self.count(0);
            }
            Data::Map(entries) => {
                self.container(tag::MAP);
                self.count(entries.len());
                for (key, value) in entries {
                    self.value(key);
                    self.value(value);
                }
            }
            Data::Set(keys) => {
                self.container(tag::SET);
                self.count(keys.len());
                keys.iter().for_each(|key| self.value(key));
            }
            Data::Typed(kind, bytes) => {
                self.container(tag::VIEW);
                let length = bytes.len() as u64 / kind.element();
                self.w().u8(*kind as u8);
                self.w().u64(0);
                self.w().u64(length);
                self.container(tag::BUFFER);
                self.w().u64(bytes.len() as u64);
                self.wire.extend_from_slice(bytes);
            }
            Data::Live(object) => {
                let index = self.live.len() as u32;
                self.live.push(object.clone());
                self.w().live(index);
            }
        }
    }
}

macro_rules! from {
    ($($from:ty => $make:expr),* $(,)?) => {
        $(impl From<$from> for Data {
            fn from(x: $from) -> Data {
                ($make)(x)
            }
        })*
    };
}

from! {
    f64 => Data::Number,
    i32 => |x| Data::Number(x as f64),
    u32 => |x| Data::Number(x as f64),
    bool => Data::Bool,
    &str => |s: &str| Data::String(s.to_owned()),
    String => Data::String,
    Vec<u8> => |bytes| Data::Typed(ViewKind::Uint8, bytes),
    Vec<Data> => Data::Array,
    Object => Data::Live,
    crate::live::Record => |x: crate::live::Record| Data::Live(x.0),
    crate::live::Array => |x: crate::live::Array| Data::Live(x.0),
    crate::live::Map => |x: crate::live::Map| Data::Live(x.0),
    crate::live::Set => |x: crate::live::Set| Data::Live(x.0),
    crate::live::Bytes => |x: crate::live::Bytes| Data::Live(x.0),
}

impl TryFrom<Value> for Data {
    type Error = Value;

    /// What was read, to be stored again: live objects by reference. Symbols and by-value objects of JavaScript's own are
    /// given back.
    fn try_from(value: Value) -> Result<Data, Value> {
        Ok(match value {
            Value::Undefined => Data::Undefined,
            Value::Null => Data::Null,
            Value::Bool(x) => Data::Bool(x),
            Value::Number(x) => Data::Number(x),
            Value::String(s) => Data::String(s),
            Value::BigInt(x) => Data::BigInt(x),
            Value::Record(x) => x.into(),
            Value::Array(x) => x.into(),
            Value::Map(x) => x.into(),
            Value::Set(x) => x.into(),
            Value::Bytes(x) => x.into(),
            other => return Err(other),
        })
    }
}
