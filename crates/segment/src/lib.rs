//! The shared segment: one sparse memory object per heap, its header, its tables, and what the operating
//! system says about the life and death of the processes that map it.
//!
//! This is the lowest floor of Coheap. It knows the operating system and nothing of what the segment holds.
//! Everything in a segment is addressed by [`Off`], a byte offset from the start of the mapping: two processes
//! never map it at the same address. Every offset that was read from shared memory goes through
//! [`Segment::word`], which compares it with what is really allocated.

pub mod burial;
mod doorbell;
pub mod error;
pub mod layout;
mod name;
pub mod named;
mod os;
pub mod participant;
mod peers;
mod presence;
pub mod primitive;
pub mod segment;
mod waiters;
pub mod word;

pub use burial::{Burial, Death, Role};
pub use error::{About, Code, Error, Result};
pub use layout::*;
pub use name::{LONGEST_NAME, check_name};
pub use named::{Info, Options};
pub use participant::{Participant, ParticipantInfo};
pub use peers::Peers;
pub use presence::leave_process;
pub use segment::{Segment, WINDOW};
pub use word::{Status, StatusWord, Word};

/// A byte offset from the start of the segment. 0 is "nothing": the header lives there.
pub type Off = u64;

/// Milliseconds of a clock that all processes of the machine share and that never goes back.
pub fn monotonic_ms() -> u64 {
    primitive::monotonic_ms()
}

#[cfg(not(all(target_pointer_width = "64", target_endian = "little")))]
compile_error!("Coheap needs a 64-bit little-endian machine");
