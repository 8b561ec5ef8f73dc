//! What a heap holds. (being written)

pub mod cell;

pub use cell::{Cell, Tag, kind};
