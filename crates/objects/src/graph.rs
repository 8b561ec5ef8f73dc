//! Whole values: from the wire format into fresh blocks and back.
//!
//! Both ways walk with a stack of their own, so the depth of a value is bounded by memory, not by the thread's
//! stack. Cycles and aliases within one value are numbered containers and references back to them.

mod build;
mod deep;
mod export;

pub use build::{build, build_all, build_next, map_key};
pub use deep::{export_deep, export_deep_all};
pub use export::export;
