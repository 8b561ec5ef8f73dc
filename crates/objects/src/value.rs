//! By-value blocks: strings, bigints, packed values and registered symbols have exactly one referring cell.
//!
//! Copying such a cell copies its block; moving it moves the block along; overwriting or deleting it frees the
//! block. Numbers, inline strings, immediates and references to live objects need nothing of this.

use coheap_segment::Error;
use coheap_segment::word::Word1;
use coheap_txn::{Guard, Mem, Res};

use crate::bigint;
use crate::cell::{Cell, Tag, kind};
use crate::string;

/// Frees what a cell that is overwritten or deleted refers to, if it alone refers to it. What a packed block holds
/// besides content are live objects: they are not freed. `guard` is the guard of the cell: a cell that refers to
/// something else than its tag says is corrupt, and nothing is freed.
#[inline]
pub fn free<M: Mem + ?Sized>(m: &mut M, guard: Guard, cell: Cell) -> Res<()> {
    if cell.is_by_value_block() {
        let at = cell.offset();
        let kind = Word1(m.load64(guard, at + 8)?).kind();
        if cell.tag().map(|tag| tag as u8) != Some(kind) {
            return Err(Error::corrupt("a by-value block that is none", at).into());
        }
        m.free(at);
    }
    Ok(())
}

/// Bytes of a by-value block that are in use, its two head words included.
pub fn bytes<M: Mem + ?Sized>(m: &mut M, guard: Guard, cell: Cell) -> Res<u64> {
    let at = cell.offset();
    let bad = || Error::corrupt("a by-value block that is none", at);
    let bytes = match cell.tag() {
        Some(Tag::String | Tag::Symbol) => string::CHARACTERS + string::head(m, guard, cell)?.1,
        Some(Tag::BigInt | Tag::Packed) => {
            let word1 = Word1(m.load64(guard, at + 8)?);
            match (cell.tag(), word1.kind()) {
                (Some(Tag::BigInt), kind::BIGINT) => bigint::LIMBS + word1.low() as u64 * 8,
                (Some(Tag::Packed), kind::PACKED) => {
                    // word 2: what 8 | number of references 32
                    let references = m.load64(guard, at + 16)? >> 8 & 0xffff_ffff;
                    24 + references * 8 + word1.low() as u64
                }
                _ => return Err(bad().into()),
            }
        }
        _ => return Err(bad().into()),
    };
    if !m.segment().holds(at, bytes) {
        return Err(bad().into());
    }
    Ok(bytes)
}

/// A cell of the same value for a second place: by-value blocks are copied, everything else is itself.
pub fn copy<M: Mem + ?Sized>(m: &mut M, guard: Guard, cell: Cell) -> Res<Cell> {
    if !cell.is_by_value_block() {
        return Ok(cell);
    }
    let at = cell.offset();
    let len = bytes(m, guard, cell)?;
    let word1 = Word1(m.load64(guard, at + 8)?);
    let block = m.alloc(len)?;
    for i in 2..len.div_ceil(8) {
        let word = m.load64(guard, at + i * 8)?;
        m.init64(block.at + i * 8, word);
    }
    m.finish(block.at, word1.kind(), word1.flags(), word1.low());
    match cell.tag() {
        Some(tag) => Ok(Cell::reference(tag, block.at)),
        None => Err(Error::corrupt("a by-value block that is none", at).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bigint::BigInt;
    use crate::string::Str;
    use coheap_txn::scratch::ScratchMem;

    #[test]
    fn a_copy_is_a_block_of_its_own() {
        let mut m = ScratchMem::new(1 << 20);
        let text = Str::from("a text that does not fit ☃");
        let a = string::build(&mut m, &text).unwrap();
        let b = copy(&mut m, Guard(a.offset()), a).unwrap();
        assert_ne!(a, b);
        free(&mut m, Guard(a.offset()), a).unwrap();
        assert_eq!(string::load(&mut m, Guard(b.offset()), b).unwrap(), text);
        let s = string::build_symbol(&mut m, &Str::from("k")).unwrap();
        let t = copy(&mut m, Guard(s.offset()), s).unwrap();
        assert_eq!(t.tag(), Some(Tag::Symbol));
        let x = bigint::build(&mut m, &BigInt::new(true, [1, 2, 3])).unwrap();
        let y = copy(&mut m, Guard(x.offset()), x).unwrap();
        assert_eq!(bigint::load(&mut m, Guard(y.offset()), y).unwrap(), BigInt::new(true, [1, 2, 3]));
        for cell in [b, s, t, x, y, Cell::number(1.0), Cell::TRUE, Cell::reference(Tag::Record, 64)] {
            free(&mut m, Guard(64), cell).unwrap();
        }
        assert!(m.live.is_empty());
    }
}
