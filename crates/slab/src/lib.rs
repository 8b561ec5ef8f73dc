//! The allocator: 64 KiB slabs of one size class each, larger blocks as runs of slabs, owned bitmap words, and
//! freeing by one CAS on word 0.
//!
//! * No free lists, no reference counts, no epochs: a block is free when its word 0 says so, and its next tenant
//!   goes on counting the version that every reader compares.
//! * A participant that dies at any instruction leaves at worst a block that nobody has with its bit set (the
//!   sweeper finds it by word 0), an owner half-word of its own, or slabs that it was claiming ([`recover`]).
//! * Every offset is judged by the directory ([`locate`]); nothing in the segment is believed unchecked.
//!
//! ```
//! use coheap_segment::Segment;
//! use coheap_slab::Allocator;
//!
//! let segment = Segment::anonymous(4 << 20, 8)?;
//! coheap_slab::init(&segment)?;
//! let mut allocator = Allocator::new(segment.clone(), 1);
//! let block = allocator.alloc(100)?;
//! assert!(coheap_slab::locate(&segment, block.at).unwrap().allocated);
//! assert!(allocator.free(block.at)?);
//! assert!(!allocator.free(block.at)?, "only one wins");
//! # Ok::<(), coheap_segment::Error>(())
//! ```

mod allocator;
mod bitmap;
mod classes;
mod directory;
mod recover;
mod runs;
mod walk;

pub use allocator::{Allocator, Block};
pub use bitmap::BitmapWord;
pub use classes::{CLASS_COUNT, CLASSES, Class, LARGEST_RESERVED, LARGEST_SMALL, RUN, RUN_HEAD, class_of};
pub use directory::{SlabWord, State, init};
pub use recover::{for_each_unswept, recover, verify};
pub use walk::{Place, for_each_block, for_each_word0, free_slab_bytes, locate, mark_word, objects, used};
