//! Making, finding and joining heaps.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use coheap_objects::cell::{Cell, Tag};
use coheap_objects::record;
use coheap_segment::{Code, Error, Off, Result, Segment};
use coheap_txn::{Ctx, Fault};

use crate::renumber::renumber;

pub use coheap_segment::named::Info;

/// How a heap is made and joined. Those who open an existing heap need only `dir` and `patience_ms`: the rest stands in it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes committed at once.
    pub size: u64,
    /// Bytes that it can grow to: 1 MiB to 64 GiB.
    pub max_size: u64,
    /// 0o600, or 0o660 to let the group in.
    pub mode: u32,
    /// It survives its last user.
    pub persist: bool,
    /// Threads that can join, 1 to 1,022.
    pub max_participants: u32,
    /// For so many milliseconds a plain write waits for a transaction that holds what it writes, before it aborts it.
    pub patience_ms: u64,
    /// A folder to hold the segment; `None`: the system's place.
    pub dir: Option<PathBuf>,
    /// A number for this thread, for people who look at [`crate::Heap::participants`].
    pub thread: u64,
}

impl Default for Options {
    /// 4 MiB that grow to 1 GiB, for this user alone, for 512 threads (fewer in a small heap), patience 10 ms.
    fn default() -> Options {
        Options {
            size: 0,
            max_size: 1 << 30,
            mode: 0o600,
            persist: false,
            max_participants: 0,
            patience_ms: 10,
            dir: None,
            thread: 0,
        }
    }
}

/// Whether a heap is to be made or found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Make it; `ERR_COHEAP_EXISTS`.
    Create,
    /// Find it; `ERR_COHEAP_NOT_FOUND`.
    Open,
    /// Find it, else make it.
    OpenOrCreate,
}

/// The number that says what the floors above the segment write: changed when a format changes.
const FORMAT: u64 = 4;

fn segment_options(options: &Options) -> coheap_segment::named::Options {
    coheap_segment::named::Options {
        size: options.size,
        max_size: options.max_size,
        mode: options.mode,
        persist: options.persist,
        max_participants: options.max_participants,
        dir: options.dir.clone(),
        layout: FORMAT,
    }
}

/// Makes or finds a segment. It counts as opened: [`join`] it, or say that you will not ([`Segment::decline`]).
/// Blocks while others create or remove this name. Who opens a heap alone (one that persists) renumbers it if its clock has
/// come far: nobody else comes in meanwhile.
pub fn segment(mode: Mode, name: &str, options: &Options) -> Result<Arc<Segment>> {
    let wanted = segment_options(options);
    let open = || Segment::open_with(name, &wanted, renumber);
    let create = || Segment::create(name, &wanted, |segment| format(segment, options));
    match mode {
        Mode::Create => create(),
        Mode::Open => open(),
        Mode::OpenOrCreate => loop {
            match open() {
                Err(error) if error.code == Code::NotFound => {}
                opened => return opened,
            }
            match create() {
                // somebody was quicker
                Err(error) if error.code == Code::Exists => {}
                created => return created,
            }
        },
    }
}

/// Joins a heap as one more thread, after burying the dead and finishing what they left undone. What makes no sense of
/// that is met again by whoever needs it.
pub fn join(segment: &Arc<Segment>, options: &Options) -> Result<Ctx> {
    let _ = bury_the_dead(segment);
    Ctx::new(segment.join(options.thread)?, options.patience_ms)
}

/// Finishes or undoes what the dead have left, and frees their rows. The first error, after all that can be done.
pub(crate) fn bury_the_dead(segment: &Arc<Segment>) -> Result<()> {
    coheap_txn::on_recovery(coheap_queue::recover);
    coheap_txn::sweep(segment)
}

/// What the creator puts into a new segment: the allocator's directory and the root record.
fn format(segment: &Arc<Segment>, options: &Options) -> Result<()> {
    coheap_slab::init(segment)?;
    let mut ctx = join(segment, options)?;
    let root = ctx.build(|m| record::create(m, false)).map_err(Fault::error)?;
    // Release: whoever follows the offset finds the record. Nobody can before the magic word is published.
    segment.header().root.store(root, Ordering::Release);
    ctx.adopt();
    Ok(())
}

/// The root record of a heap.
pub fn root(segment: &Segment) -> Result<Off> {
    // Acquire pairs with the Release of `format`
    match segment.header().root.load(Ordering::Acquire) {
        0 => Err(Error::corrupt("a heap without a root", 0)),
        root => Ok(root),
    }
}

/// The cell of the root record.
pub fn root_cell(segment: &Segment) -> Result<Cell> {
    Ok(Cell::reference(Tag::Record, root(segment)?))
}

/// As [`segment`] with [`Mode::Open`], waiting until the heap exists; `ERR_COHEAP_TIMEOUT`. Blocks, looking again
/// after 1 ms, 2 ms and so on up to 50 ms.
pub fn connect(name: &str, options: &Options, timeout: Duration) -> Result<Arc<Segment>> {
    let deadline = Instant::now() + timeout;
    let mut nap = Duration::from_millis(1);
    loop {
        match segment(Mode::Open, name, options) {
            Err(error) if error.code == Code::NotFound => {}
            found => return found,
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::new(Code::Timeout, "no heap of this name has appeared"));
        }
        std::thread::sleep(nap.min(left));
        nap = (nap * 2).min(Duration::from_millis(50));
    }
}

/// Every heap that this user may see; stale ones are marked.
pub fn list(dir: Option<&Path>) -> Result<Vec<Info>> {
    Segment::list(dir)
}

/// Removes a name; false if there was none. A heap in use lives on until its last user leaves.
pub fn unlink(name: &str, dir: Option<&Path>) -> Result<bool> {
    Segment::unlink(name, dir)
}
