//! The fresh blocks of a slot: allocated by an operation or transaction that has not taken effect yet, known to
//! nobody else, hence read and written plainly and given back if it comes to nothing.
//!
//! Kept in order of allocation, so that undoing an operation cuts the tail off. The question "is this word in a
//! fresh block, and since when" is answered by a scan of up to eight blocks, then by an ordered map that is
//! brought up to date only when somebody asks (a large value that is merely built never pays for it).

use std::collections::BTreeMap;

use coheap_segment::Off;
use coheap_slab::Block;

const LINEAR: usize = 8;

#[derive(Default)]
pub(crate) struct Fresh {
    /// `at` 0: no longer fresh.
    blocks: Vec<Block>,
    index: BTreeMap<Off, u32>,
    indexed: usize,
    /// How many are no longer fresh.
    gone: usize,
    /// All blocks lie in `low..high`.
    low: Off,
    high: Off,
}

impl Fresh {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(crate) fn push(&mut self, block: Block) {
        if self.blocks.is_empty() {
            (self.low, self.high) = (block.at, block.at);
        }
        self.low = self.low.min(block.at);
        self.high = self.high.max(block.at + block.size);
        self.blocks.push(block);
    }

    /// The position of the fresh block that holds the word at `at`.
    #[inline]
    pub(crate) fn find(&mut self, at: Off) -> Option<usize> {
        if self.blocks.is_empty() || at < self.low || at >= self.high {
            return None;
        }
        if self.blocks.len() <= LINEAR {
            return self.blocks.iter().rposition(|b| b.at <= at && at < b.at + b.size && b.at != 0);
        }
        self.find_indexed(at)
    }

    fn find_indexed(&mut self, at: Off) -> Option<usize> {
        for (i, block) in self.blocks.iter().enumerate().skip(self.indexed) {
            if block.at != 0 {
                self.index.insert(block.at, i as u32);
            }
        }
        self.indexed = self.blocks.len();
        let (_, &i) = self.index.range(..=at).next_back()?;
        let block = self.blocks[i as usize];
        (at < block.at + block.size).then_some(i as usize)
    }

    /// The block at this position; `at` 0 if it is no longer fresh.
    pub(crate) fn get(&self, i: usize) -> Block {
        self.blocks[i]
    }

    /// The block at this position is no longer ours to give back.
    pub(crate) fn forget(&mut self, i: usize) {
        let block = &mut self.blocks[i];
        self.index.remove(&block.at);
        *block = Block { at: 0, size: 0 };
        self.gone += 1;
    }

    /// Drops the places of those that are no longer fresh, once they are many and more than half. Positions change: not
    /// while anybody remembers one. True if it has.
    pub(crate) fn compact(&mut self) -> bool {
        if self.gone < 64 || self.gone * 2 < self.blocks.len() {
            return false;
        }
        self.blocks.retain(|b| b.at != 0);
        self.index.clear();
        (self.indexed, self.gone) = (0, 0);
        true
    }

    /// Takes the youngest off, down to `len` blocks; `None` when there are no more than that.
    pub(crate) fn pop_above(&mut self, len: usize) -> Option<Block> {
        if self.blocks.len() <= len {
            return None;
        }
        let block = self.blocks.pop()?;
        self.gone -= (block.at == 0) as usize;
        if self.indexed > self.blocks.len() {
            self.indexed = self.blocks.len();
            self.index.remove(&block.at);
        }
        Some(block)
    }

    pub(crate) fn clear(&mut self) {
        self.blocks.clear();
        self.index.clear();
        (self.indexed, self.gone) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_their_blocks_before_and_after_undo() {
        let mut sut = Fresh::default();
        let at = |i: u64| 4096 + (i * 7919 % 100) * 64;
        for i in 0..100 {
            sut.push(Block { at: at(i), size: 48 });
            assert_eq!(sut.find(at(i / 2) + 40), Some(i as usize / 2));
            assert_eq!(sut.find(at(i) + 48), None);
        }
        sut.forget(3);
        assert!(!sut.compact());
        assert_eq!(sut.find(at(3)), None);
        while sut.pop_above(20).is_some() {}
        assert_eq!(sut.find(at(20)), None);
        assert_eq!(sut.find(at(19)), Some(19));
        sut.push(Block { at: at(50), size: 48 });
        assert_eq!(sut.find(at(50)), Some(20));
        (60..140).for_each(|i| sut.push(Block { at: 20_000 + i * 64, size: 48 }));
        (21..100).for_each(|i| sut.forget(i));
        assert!(sut.compact());
        assert_eq!((sut.len(), sut.find(at(50)), sut.find(20_000 + 139 * 64)), (21, Some(19), Some(20)));
    }
}
