//! What a heap holds. (being written)

pub mod cell;
pub mod shape;
pub mod keys;
pub mod value;
pub mod string;
pub mod key;
pub mod bigint;

pub use cell::{Cell, Tag, kind};
