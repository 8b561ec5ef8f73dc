//! What a heap holds. (being written)

pub mod array;
pub mod bigint;
pub mod buffer;
pub mod cell;
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
