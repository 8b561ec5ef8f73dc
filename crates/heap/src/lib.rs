//! The Rust API. (being written)

pub mod open;
pub mod stats;
pub mod verify;

pub use coheap_objects as objects;
pub use coheap_queue as queue;
pub use coheap_segment as segment;
pub use coheap_slab as slab;
pub use coheap_txn as txn;
