//! BigInts of any size: a sign and 64-bit limbs, canonical (no leading zero limb, no negative zero).
//!
//! ```text
//! block   +0   word 0
//!         +8   word 1: type BIGINT, flag 1 negative, low half: number of limbs
//!         +16  limbs, least first
//! ```

use coheap_segment::word::Word1;
use coheap_segment::{Code, Error};
use coheap_txn::{Fault, Guard, Mem, Res};

use crate::cell::{Cell, Tag, kind};

/// The most limbs: V8's limit of 2³⁰ bits.
pub const MAX_LIMBS: usize = 1 << 24;
/// Where the limbs begin in a block.
pub const LIMBS: u64 = 16;
/// Flag of word 1.
pub const NEGATIVE: u8 = 1;

/// A BigInt's value, canonical.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct BigInt {
    negative: bool,
    limbs: Vec<u64>,
}

impl BigInt {
    /// From sign and limbs, least first, in any form.
    pub fn new(negative: bool, limbs: impl Into<Vec<u64>>) -> BigInt {
        let mut limbs = limbs.into();
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        BigInt { negative: negative && !limbs.is_empty(), limbs }
    }
    /// True below zero.
    pub fn is_negative(&self) -> bool {
        self.negative
    }
    /// The limbs of the absolute value, least first, no zero last; none for 0.
    pub fn limbs(&self) -> &[u64] {
        &self.limbs
    }
}

impl From<i64> for BigInt {
    fn from(x: i64) -> BigInt {
        BigInt::new(x < 0, [x.unsigned_abs()])
    }
}

/// Builds a BigInt.
pub fn build<M: Mem + ?Sized>(m: &mut M, x: &BigInt) -> Res<Cell> {
    let n = x.limbs.len();
    if n > MAX_LIMBS {
        return Err(Fault::Error(Error::about(
            Code::InvalidArgument,
            "a bigint beyond V8's limit",
            n as u64,
        )));
    }
    let block = m.alloc(LIMBS + n as u64 * 8)?;
    for (i, &limb) in x.limbs.iter().enumerate() {
        m.init64(block.at + LIMBS + i as u64 * 8, limb);
    }
    m.finish(block.at, kind::BIGINT, x.negative as u8 * NEGATIVE, n as u32);
    Ok(Cell::reference(Tag::BigInt, block.at))
}

/// Loads a BigInt cell, guarded by `guard`.
pub fn load<M: Mem + ?Sized>(m: &mut M, guard: Guard, cell: Cell) -> Res<BigInt> {
    let at = cell.offset();
    let word1 = Word1(m.load64(guard, at + 8)?);
    let n = word1.low() as usize;
    if cell.tag() != Some(Tag::BigInt)
        || word1.kind() != kind::BIGINT
        || n > MAX_LIMBS
        || !m.segment().holds(at, LIMBS + n as u64 * 8)
    {
        return Err(Error::corrupt("a bigint that is none", at).into());
    }
    let mut limbs = Vec::with_capacity(n);
    for i in 0..n as u64 {
        limbs.push(m.load64(guard, at + LIMBS + i * 8)?);
    }
    Ok(BigInt::new(word1.flags() & NEGATIVE != 0, limbs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use coheap_txn::scratch::ScratchMem;

    #[test]
    fn bigints_come_back_in_canonical_form() {
        let mut m = ScratchMem::new(1 << 20);
        assert_eq!(BigInt::new(true, [0, 0]), BigInt::from(0));
        for x in [
            BigInt::from(0),
            BigInt::from(1),
            BigInt::from(i64::MIN),
            BigInt::new(true, [u64::MAX, 0, 7, 0]),
            BigInt::new(false, vec![u64::MAX; 1000]),
        ] {
            let cell = build(&mut m, &x).unwrap();
            assert_eq!(load(&mut m, Guard(cell.offset()), cell).unwrap(), x);
        }
    }

    #[test]
    fn what_is_no_bigint_is_corrupt() {
        let mut m = ScratchMem::new(1 << 20);
        let cell = build(&mut m, &BigInt::from(5)).unwrap();
        let guard = Guard(cell.offset());
        m.finish(cell.offset(), kind::BIGINT, 0, 1 << 23);
        assert!(load(&mut m, guard, cell).is_err());
        assert!(load(&mut m, guard, Cell::reference(Tag::String, cell.offset())).is_err());
    }
}
