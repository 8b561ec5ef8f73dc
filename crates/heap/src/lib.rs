//! Coheap for Rust programs: one heap of live objects shared by many processes, Rust and Node alike.
//!
//! [`Heap`] is one thread's membership; [`Data`] is what goes in, [`Value`] what comes out; [`Record`], [`Array`],
//! [`Map`], [`Set`] and [`Bytes`] are live objects; [`Channel`]s carry messages. `examples/producer.rs` feeds a Node
//! program through a channel.
//!
//! This crate composes the floors below it (`segment`, `slab`, `txn`, `objects`, `queue`) and re-exports them for the
//! Node addon, which is built on their operations directly.

mod channel;
mod data;
pub mod deaths;
mod heap;
mod live;
pub mod open;
mod renumber;
pub mod stats;
mod transaction;
mod value;
pub mod verify;

pub use channel::Channel;
pub use data::Data;
pub use deaths::{Deaths, Watcher};
pub use heap::Heap;
pub use live::{Array, Bytes, Map, Object, Record, Set};
pub use open::{Info, Options};
pub use stats::Stats;
pub use transaction::Transaction;
pub use value::Value;
pub use verify::Violation;

pub use coheap_objects::bigint::BigInt;
pub use coheap_objects::packed::Packed;
pub use coheap_objects::view::ViewKind;
pub use coheap_segment::{Code, Error, ParticipantInfo, Result};
pub use coheap_txn::TxnOptions;

pub use coheap_objects as objects;
pub use coheap_queue as queue;
pub use coheap_segment as segment;
pub use coheap_slab as slab;
pub use coheap_txn as txn;
