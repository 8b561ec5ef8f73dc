//! What a heap holds: cells, strings and bigints, records with shapes and dictionaries, arrays, maps and sets, buffers
//! and views, values that are kept by value, and the wire format in which whole values come and go.
//!
//! Everything is written once over [`coheap_txn::Mem`] and so works as a validated read, as one single operation and
//! inside a transaction. Live objects have an identity, the offset of their first block, whose word 0 guards them;
//! strings, bigints, symbols and packed values belong to the one cell that refers to them ([`value`]). Nothing here
//! knows of Node.

pub mod array;
pub mod bigint;
pub mod buffer;
pub mod cell;
pub mod destroy;
mod dict;
pub mod graph;
pub mod key;
pub mod keys;
pub mod map;
mod map_body;
mod map_build;
pub mod map_iter;
pub mod mapkey;
pub mod packed;
pub mod record;
pub mod refs;
pub mod shape;
mod sparse;
pub mod string;
pub mod stripes;
#[cfg(test)]
mod testing;
pub mod value;
pub mod view;
pub mod wire;

pub use cell::{Cell, Tag, kind};
