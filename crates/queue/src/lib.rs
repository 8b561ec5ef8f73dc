//! Channels: messages from any number of putters to any number of takers, across processes.
//!
//! * One CAS publishes a message; nobody who dies or stops in the middle of a put or a take is in others' way.
//! * One putter's messages are taken in the order in which it put them; each message is taken once.
//! * Puts and takes are part of transactions: what a commit puts appears together, what an abort had taken is back in
//!   its place.
//! * Waiting costs nothing: sleepers are rung by who changes something, and nobody looks for them if there are none.
//!
//! FIFO channels are linked rings (`rings`, `fifo`; in transactions `party`), LIFO channels a stack under the
//! channel's version word (`stack`).
//!
//! ```
//! use coheap_objects::Cell;
//! use coheap_queue::Channel;
//! use coheap_segment::Segment;
//! use coheap_txn::Ctx;
//!
//! let segment = Segment::anonymous(4 << 20, 8)?;
//! coheap_slab::init(&segment)?;
//! let mut ctx = Ctx::new(segment.join(0)?, 10)?;
//! let jobs = Channel::open(&mut ctx, "jobs", Some(2), false).unwrap();
//! assert_eq!(jobs.try_put(&mut ctx, Cell::number(1.0)), Ok(true));
//! assert_eq!(jobs.put_many(&mut ctx, &[Cell::number(2.0), Cell::number(3.0)]), Ok(1));
//! let taken = jobs.try_take(&mut ctx, |_, _, cell| Ok(cell.as_number()));
//! assert_eq!(taken, Ok(Some(Some(1.0))));
//! # Ok::<(), coheap_segment::Error>(())
//! ```

mod channel;
mod directory;
mod fifo;
mod hand;
mod judge;
mod layout;
mod message;
mod party;
mod refs;
mod rings;
mod stack;
mod waiting;
mod watch;
mod word;

pub use channel::{Channel, recover};
pub use layout::LONGEST_NAME;
pub use message::Content;
pub use refs::for_each_message;
pub use waiting::Role;
pub use watch::Watch;

#[cfg(test)]
mod tests;
