//! The size classes: sizes, and where the blocks of a class stand in a slab.
//!
//! Four classes a doubling (sixteen bytes apart below 256), as in most segregated-fit allocators; from 4 KiB on
//! the sizes are what an even division of a slab gives, so that no slab ends with a large unused rest.

use coheap_segment::SLAB;

/// The class field of [`coheap_segment::word::Word1`] for a block that is a run of slabs.
pub const RUN: u8 = 63;
/// Bytes of metadata before the block of a run, and the alignment of the first block of a slab.
pub const RUN_HEAD: u64 = 64;
/// Bytes of metadata a bitmap word: see [`crate::bitmap::BitmapWord`].
pub(crate) const WORD_BYTES: u32 = 32;

const SIZES: [u32; 41] = [
    16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, //
    320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, //
    4080, 5024, 5936, 7264, 8176, 10896, 13072, 16368, 21792, 32736,
];

/// The number of size classes.
pub const CLASS_COUNT: usize = SIZES.len();
/// The largest block that shares its slab with others; anything larger is a run of slabs.
pub const LARGEST_SMALL: u64 = SIZES[CLASS_COUNT - 1] as u64;
/// The class of the blocks of the reserve.
pub(crate) const RESERVE_CLASS: u8 = 31;
/// The largest request that the reserve can serve.
pub const LARGEST_RESERVED: u64 = SIZES[RESERVE_CLASS as usize] as u64;

/// One size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// Bytes of a block, words 0 and 1 included; a multiple of 16.
    pub size: u32,
    /// Offset of the first block in the slab: behind the metadata.
    pub first: u32,
    /// Blocks in a slab.
    pub count: u32,
    /// log2 of the number of blocks that one bitmap word describes. Less than 64 for larger blocks, so that a
    /// participant's cache holds back 32 KiB of a class at most.
    pub shift: u32,
    /// Bitmap words in a slab.
    pub words: u32,
    /// ceil(2³² / size): multiply and shift instead of dividing.
    magic: u64,
}

impl Class {
    const fn new(size: u32) -> Class {
        let mut shift = 6;
        while shift > 0 && size << shift > 32 << 10 {
            shift -= 1;
        }
        let per_word = 1 << shift;
        let mut count = SLAB as u32 / size;
        loop {
            let words = count.div_ceil(per_word);
            let first = (words * WORD_BYTES).next_multiple_of(RUN_HEAD as u32);
            if first + count * size <= SLAB as u32 {
                let magic = (1u64 << 32).div_ceil(size as u64);
                return Class { size, first, count, shift, words, magic };
            }
            count -= 1;
        }
    }

    /// The index of the block that starts at `inside`, an offset from the start of the slab; `None` if no block
    /// of this class starts there.
    #[inline]
    pub fn index(&self, inside: u32) -> Option<u32> {
        let from_first = inside.wrapping_sub(self.first);
        // exact for operands below 2¹⁶ and sizes below 2¹⁵: the error stays under 2³¹ / 2³²
        let index = ((from_first as u64 & 0xffff) * self.magic) >> 32;
        (from_first <= 0xffff && index < self.count as u64 && index as u32 * self.size == from_first)
            .then_some(index as u32)
    }

    /// The offset of block `index` from the start of its slab.
    #[inline]
    pub fn offset(&self, index: u32) -> u32 {
        self.first + index * self.size
    }

    /// The bits of bitmap word `word` that stand for blocks; the last word has fewer.
    #[inline]
    pub fn valid(&self, word: u32) -> u64 {
        let left = self.count.saturating_sub(word << self.shift).min(1 << self.shift);
        if left == 64 { u64::MAX } else { (1 << left) - 1 }
    }
}

/// All size classes, ascending.
pub static CLASSES: [Class; CLASS_COUNT] = {
    let mut table = [Class::new(16); CLASS_COUNT];
    let mut i = 0;
    while i < CLASS_COUNT {
        table[i] = Class::new(SIZES[i]);
        i += 1;
    }
    table
};

/// Class by size in units of 16 bytes, rounded up.
static BY_SIZE: [u8; LARGEST_SMALL as usize / 16 + 1] = {
    let mut table = [0; LARGEST_SMALL as usize / 16 + 1];
    let mut class = 0;
    let mut i = 0;
    while i < table.len() {
        if i * 16 > SIZES[class] as usize {
            class += 1;
        }
        table[i] = class as u8;
        i += 1;
    }
    table
};

/// The smallest class whose blocks hold `bytes`; `None`: a run.
#[inline]
pub fn class_of(bytes: u64) -> Option<u8> {
    if bytes <= LARGEST_SMALL { Some(BY_SIZE[bytes.div_ceil(16) as usize]) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_gets_the_smallest_class_that_holds_it() {
        for bytes in 0..=LARGEST_SMALL {
            let class = class_of(bytes).unwrap() as usize;
            assert!(CLASSES[class].size as u64 >= bytes);
            assert!(class == 0 || (CLASSES[class - 1].size as u64) < bytes);
        }
        assert_eq!(class_of(LARGEST_SMALL + 1), None);
        assert_eq!(class_of(u64::MAX), None);
    }

    #[test]
    fn only_block_starts_have_an_index() {
        for c in &CLASSES {
            assert!(c.size % 16 == 0 && c.first % 64 == 0 && c.first >= c.words * WORD_BYTES);
            assert!(c.first + c.count * c.size <= SLAB as u32);
            let mut next = 0;
            for inside in 0..SLAB as u32 {
                if next < c.count && inside == c.offset(next) {
                    assert_eq!(c.index(inside), Some(next));
                    next += 1;
                } else {
                    assert_eq!(c.index(inside), None, "{inside} in {c:?}");
                }
            }
            assert_eq!(next, c.count);
        }
    }

    #[test]
    fn valid_bits_count_the_blocks() {
        for c in &CLASSES {
            assert_eq!((0..c.words).map(|w| c.valid(w).count_ones()).sum::<u32>(), c.count);
        }
    }

    #[test]
    fn at_most_an_eighth_of_a_slab_is_lost_to_its_end() {
        for c in &CLASSES {
            assert!(SLAB as u32 - c.count * c.size <= SLAB as u32 / 16, "{c:?}");
        }
    }
}
