//! The transaction manager. (being written)

pub mod mem;
#[doc(hidden)]
pub mod scratch;

pub use mem::{Block, Fault, Guard, Mem, Res};
