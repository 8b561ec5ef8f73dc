//! The lists of a slot that can outgrow its record: lock list, redo log, fresh list. The first words stand in
//! the record, the others in a chain of blocks that the slot keeps for its next transaction.
//!
//! ```text
//! word 0   as in every block          word 1   type LOG, low half = words of data
//! word 2   the next block, or 0       word 3…  data
//! ```
//!
//! A word is stored before the length that covers it (Release), and a block is linked after it has been made, so
//! whoever recovers a dead owner reads only what is there.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use coheap_segment::primitive::AtomicU64;
use coheap_segment::word::Word1;
use coheap_segment::{Error, Off, Result, Segment};
use coheap_slab::Allocator;

/// Type of a log block, in its word 1.
pub const KIND_LOG: u8 = 40;
const BLOCK_BYTES: u64 = 2048;
/// Data words of a block.
const PER_BLOCK: usize = (BLOCK_BYTES as usize - 24) / 8;
/// No list is longer than this many blocks: a bound for walks over a corrupt chain (16 M words).
const MAX_BLOCKS: usize = 1 << 16;

/// The owner's view of a chain: where its blocks are.
#[derive(Default)]
pub(crate) struct Chain {
    blocks: Vec<Off>,
}

impl Chain {
    /// Looks at the chain that a slot was left with.
    pub(crate) fn adopt(segment: &Segment, head: &AtomicU64) -> Chain {
        let mut chain = Chain::default();
        let mut at = head.load(Acquire);
        while at != 0 && chain.blocks.len() < MAX_BLOCKS && is_log(segment, at) {
            chain.blocks.push(at);
            at = segment.word(at + 16).map_or(0, |next| next.load(Acquire));
        }
        // the rest, if it is no chain, is nobody's
        match chain.blocks.last() {
            None => head.store(0, Relaxed),
            Some(&last) => {
                if let Ok(next) = segment.word(last + 16) {
                    next.store(0, Relaxed);
                }
            }
        }
        chain
    }

    /// Makes room for `len` words in all, `inline` of them in the record. `ERR_COHEAP_OUT_OF_MEMORY`.
    #[inline]
    pub(crate) fn reserve(
        &mut self,
        alloc: &mut Allocator,
        head: &AtomicU64,
        inline: usize,
        len: usize,
    ) -> Result<()> {
        if len <= inline + self.blocks.len() * PER_BLOCK {
            return Ok(());
        }
        self.grow(alloc, head, len - inline)
    }

    #[cold]
    fn grow(&mut self, alloc: &mut Allocator, head: &AtomicU64, words: usize) -> Result<()> {
        while self.blocks.len() * PER_BLOCK < words {
            if self.blocks.len() >= MAX_BLOCKS {
                return Err(Error::about(
                    coheap_segment::Code::OutOfMemory,
                    "the transaction is too large",
                    words as u64,
                ));
            }
            let block = alloc.alloc_reserved(BLOCK_BYTES)?;
            let segment = alloc.segment();
            let word1 = segment.word(block.at + 8)?;
            segment.word(block.at + 16)?.store(0, Relaxed);
            word1.store(Word1(word1.load(Relaxed)).live(KIND_LOG, 0, PER_BLOCK as u32).0, Relaxed);
            let link = match self.blocks.last() {
                None => head,
                Some(&last) => segment.word(last + 16)?,
            };
            // Release pairs with the Acquire of who walks the chain: the block's link and type are there.
            link.store(block.at, Release);
            self.blocks.push(block.at);
        }
        Ok(())
    }

    /// Word `i` of the list, for which [`Chain::reserve`] has made room.
    #[inline]
    pub(crate) fn word<'a>(
        &self,
        segment: &'a Segment,
        inline: &'a [AtomicU64],
        i: usize,
    ) -> Result<&'a AtomicU64> {
        match inline.get(i) {
            Some(word) => Ok(word),
            None => {
                let i = i - inline.len();
                segment.word(self.blocks[i / PER_BLOCK] + 24 + (i % PER_BLOCK) as u64 * 8)
            }
        }
    }

    /// Gives the blocks back.
    pub(crate) fn free(&mut self, alloc: &mut Allocator, head: &AtomicU64) {
        // unlinked first: killed in between, they are garbage, never free and linked
        head.store(0, Release);
        for at in self.blocks.drain(..) {
            let _ = alloc.free(at);
        }
    }
}

fn is_log(segment: &Segment, at: Off) -> bool {
    let word1 = segment.word(at.saturating_add(8)).map(|w| Word1(w.load(Acquire)));
    word1.is_ok_and(|w| w.kind() == KIND_LOG && w.low() == PER_BLOCK as u32) && segment.holds(at, BLOCK_BYTES)
}

/// Reads a list as anybody may: from the record and the chain, with a bound on every step. Calls `f` with each
/// word until it says false. `ERR_COHEAP_CORRUPT` if the chain is shorter than `len` says.
pub(crate) fn walk(
    segment: &Segment,
    inline: &[AtomicU64],
    head: &AtomicU64,
    len: u64,
    mut f: impl FnMut(u64) -> Result<bool>,
) -> Result<()> {
    let mut left = usize::try_from(len).unwrap_or(usize::MAX);
    for word in inline.iter().take(left) {
        if !f(word.load(Relaxed))? {
            return Ok(());
        }
    }
    left = left.saturating_sub(inline.len());
    let mut at = head.load(Acquire);
    let mut blocks = 0;
    while left > 0 {
        if at == 0 || blocks == MAX_BLOCKS || !is_log(segment, at) {
            return Err(Error::corrupt("a log that is shorter than its length", at));
        }
        blocks += 1;
        for i in 0..left.min(PER_BLOCK) {
            if !f(segment.word(at + 24 + i as u64 * 8)?.load(Relaxed))? {
                return Ok(());
            }
        }
        left = left.saturating_sub(PER_BLOCK);
        at = segment.word(at + 16)?.load(Acquire);
    }
    Ok(())
}
