//! Transactions and single operations over shared words.
//!
//! * Every single operation is linearizable; a transaction over any number of objects is serialisable and opaque.
//! * Reads are invisible and never wait for an undecided change; the oldest transaction wins, none starves.
//! * Whatever a participant was doing when it was killed can be finished or undone by others from its slot record.
//!
//! [`Mem`] is the door that containers are written over; [`Ctx`] is a participant that runs them.
//!
//! ```
//! use coheap_segment::Segment;
//! use coheap_txn::{Ctx, Guard, TxnOptions};
//!
//! let segment = Segment::anonymous(4 << 20, 8)?;
//! coheap_slab::init(&segment)?;
//! let mut ctx = Ctx::new(segment.join(0)?, 10)?;
//! // an object: word 0, word 1, one cell
//! let at = ctx.write(|m| {
//!     let block = m.alloc(24)?;
//!     m.init64(block.at + 16, 1);
//!     m.finish(block.at, 8, 0, 0);
//!     Ok(block.at)
//! }).unwrap();
//! ctx.transaction(TxnOptions::default(), |ctx| {
//!     let old = ctx.read(|m| m.load64(Guard(at), at + 16))?;
//!     ctx.write(|m| m.store64(Guard(at), at + 16, old + 1))
//! }).unwrap();
//! assert_eq!(ctx.read(|m| m.load64(Guard(at), at + 16)), Ok(2));
//! # Ok::<(), coheap_segment::Error>(())
//! ```

mod barrier;
mod build;
mod commit;
mod contend;
mod core;
mod ctx;
mod direct;
mod fresh;
mod handle_ops;
mod handles;
mod log;
pub mod mem;
mod op;
mod party;
mod recover;
mod reserve;
mod scope;
#[doc(hidden)]
pub mod scratch;
mod slot;
mod snapshot;
mod table;
mod transaction;
mod txn_mem;
mod validate;
mod wait;

pub use self::build::BuildMem;
pub use self::core::Stats;
pub use self::ctx::Ctx;
pub use self::direct::{DirectMem, MAX_STORES};
pub use self::handle_ops::Found;
pub use self::handle_ops::HandleTable;
pub use self::handles::KIND_HANDLES;
pub use self::log::KIND_LOG;
pub use self::op::Op;
pub use self::party::{Hand, Party};
pub use self::recover::{Settle, bury, on_recovery, recover, sweep};
pub use self::scope::{Parked, TxnId};
pub use self::slot::copy_out;
pub use self::snapshot::SnapshotMem;
pub use self::transaction::{Blocker, TxnOptions};
pub use self::txn_mem::TxnMem;
pub use self::wait::{Reads, Watch};
pub use coheap_segment::word::LAST_VERSION;
pub use mem::{Block, Fault, Guard, Mem, Res};
