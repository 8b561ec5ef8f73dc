//! [`Mem`]: the one door to shared words. A container is written once over it and works as a validated read, as
//! one single operation and inside a transaction.

use coheap_segment::{Error, Off, Segment};

/// The offset of the version word that guards a cell: word 0 of the object, or a stripe of a large map. Lock
/// lists, redo logs and read sets name guards, never objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Guard(pub Off);

/// Why an operation did not go through in this attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What was read changed meanwhile: run the operation again from its start.
    Again,
    /// The operation touches more than this mode can hold together (a second guard, an eighth store): run it
    /// again as an internal transaction.
    Escalate,
    /// The transaction that this belongs to has been aborted; nothing of it remains.
    Aborted,
    /// A failure that no repetition mends.
    Error(Error),
}

impl From<Error> for Fault {
    fn from(e: Error) -> Fault {
        Fault::Error(e)
    }
}

/// The result of one step of an operation.
pub type Res<T> = Result<T, Fault>;

pub use coheap_slab::Block;

/// The one door to shared words.
///
/// Rules for a container that is written over it:
///
/// * Every `load64` and `store64` names the guard of the word. In a *snapshot* or *direct* attempt what a load
///   gives may be garbage (a reader walks recycled memory): mask or bound every index, limit every loop, and
///   treat what looks impossible as `Fault::Error(Error::corrupt(..))` – the caller looks whether the guard has
///   changed and repeats the attempt before it believes that.
/// * Allocate and compute first, then store: an operation that fails leaves nothing behind.
/// * A fresh block is written with [`Mem::init64`] and brought to life with [`Mem::finish`], before a store
///   links it. `load64` and `store64` on a fresh block of the same operation or transaction also work and are
///   plain accesses.
/// * The collector's barrier stands behind `store64`, and nowhere else.
pub trait Mem {
    /// The segment, for bounds and the header's constants (hash seed).
    fn segment(&self) -> &Segment;

    /// Reads the word at `at`, guarded by `guard`.
    fn load64(&mut self, guard: Guard, at: Off) -> Res<u64>;

    /// Writes the word at `at`, guarded by `guard`; seen by others only when the whole operation or transaction
    /// takes effect.
    fn store64(&mut self, guard: Guard, at: Off, value: u64) -> Res<()>;

    /// Makes `guard` part of what this operation depends on though nothing is read under it yet.
    fn observe(&mut self, guard: Guard) -> Res<()>;

    /// Takes `guard` as a store would, with nothing stored: its version will change.
    fn reserve(&mut self, guard: Guard) -> Res<()>;

    /// The version of `guard` as this operation sees it (C and owner masked away).
    fn version(&mut self, guard: Guard) -> Res<u64>;

    /// A fresh block of at least `bytes` bytes, word 0 and word 1 (16 bytes) included. Given back if the
    /// operation or transaction does not take effect. Its contents are what the last tenant left.
    fn alloc(&mut self, bytes: u64) -> Res<Block>;

    /// Writes a word of a fresh block.
    fn init64(&mut self, at: Off, value: u64);

    /// Brings a fresh block to life: its type, flags and low half of word 1, written last.
    fn finish(&mut self, at: Off, kind: u8, flags: u8, low: u32);

    /// The finished fresh block at `at` has been linked for ever by a CAS of its own (the insert-only tables of
    /// shapes and keys): it stays, whatever becomes of the operation or transaction. No longer a fresh block.
    fn publish(&mut self, at: Off);

    /// Frees a body or a by-value block when (and only when) the operation or transaction takes effect; a
    /// fresh block of this operation (one that lost a race to [`Mem::publish`]) is given back either way. Its
    /// members are the caller's business.
    fn free(&mut self, at: Off);

    /// Copies `out.len()` bytes from `at`, guarded by `guard`: the default reads words.
    fn load_bytes(&mut self, guard: Guard, at: Off, out: &mut [u8]) -> Res<()> {
        let mut done = 0;
        while done < out.len() {
            let pos = at + done as u64;
            let word = self.load64(guard, pos & !7)?.to_le_bytes();
            let skip = (pos & 7) as usize;
            let n = (8 - skip).min(out.len() - done);
            out[done..done + n].copy_from_slice(&word[skip..skip + n]);
            done += n;
        }
        Ok(())
    }

    /// Writes bytes into a fresh block, from a word boundary on; the last word is filled with zeros.
    fn init_bytes(&mut self, at: Off, bytes: &[u8]) {
        for (i, part) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.init64(at + i as u64 * 8, u64::from_le_bytes(word));
        }
    }
}
