//! What a heap holds. (being written)

pub mod cell;
pub mod array;
mod sparse;
#[cfg(test)]
mod testing;
pub mod record;
mod dict;
pub mod shape;
pub mod keys;
pub mod value;
pub mod string;
pub mod key;
pub mod bigint;
pub mod buffer;
pub mod map;
mod map_body;
pub mod map_iter;
pub mod mapkey;
pub mod packed;
pub mod stripes;
pub mod view;
pub mod graph;
pub mod refs;
pub mod wire;
mod map_build;

pub use cell::{Cell, Tag, kind};
