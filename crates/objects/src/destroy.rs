//! `destroy(x)`: a live object whose every later use fails with `ERR_COHEAP_DESTROYED`, in any process.
//!
//! The identity block stays as long as anything refers to it: only the flag of word 1's low half ({destroyed} in bit
//! 31, the same for every kind) says what has become of it, and JavaScript compares that word before each reading
//! without crossing. The body, the by-value members and what else belongs to the object alone are freed by the same
//! operation; live members are other objects. Two things stay: the version words of a large map, for they guard
//! readers that are on their way, and the bytes of a buffer, which may be mapped into an `ArrayBuffer` anywhere: they go
//! with the last handle on the buffer.

use coheap_segment::word::Word1;
use coheap_segment::{Code, Error, Off};
use coheap_txn::{Guard, Mem, Res};

use crate::cell::Tag;
use crate::shape::ShapeWord;
use crate::{array, buffer, map, record, view};

/// Destroys the live object at `at`. `ERR_COHEAP_DESTROYED` if it has been already.
pub fn destroy<M: Mem + ?Sized>(m: &mut M, tag: Tag, at: Off) -> Res<()> {
    match tag {
        Tag::Record => record::destroy(m, at),
        Tag::Array => array::destroy(m, at),
        Tag::Map | Tag::Set => map::destroy(m, at),
        Tag::Buffer => {
            buffer::info(m, at)?;
            mark(m, at)
        }
        Tag::View => {
            view::info(m, at)?;
            mark(m, at)
        }
        _ => Err(Error::about(Code::InvalidArgument, "a value that is no live object", at).into()),
    }
}

/// Sets the flag.
pub(crate) fn mark<M: Mem + ?Sized>(m: &mut M, at: Off) -> Res<()> {
    let word1 = Word1(m.load64(Guard(at), at + 8)?);
    let marked = word1.live(word1.kind(), word1.flags(), word1.low() | ShapeWord::DESTROYED);
    m.store64(Guard(at), at + 8, marked.0)
}

/// True if word 1 of a live object says that it has been destroyed.
pub fn is_destroyed(word1: Word1) -> bool {
    word1.low() & ShapeWord::DESTROYED != 0
}

#[cfg(test)]
mod tests {
    use coheap_txn::scratch::ScratchMem;

    use super::*;
    use crate::bigint::{self, BigInt};
    use crate::cell::Cell;
    use crate::key::Key;
    use crate::mapkey::MapKey;
    use crate::string::{self, Str};

    const TEXT: &str = "a text that has a block of its own";

    fn text(m: &mut ScratchMem) -> Cell {
        string::build(m, &Str::from(TEXT)).unwrap()
    }

    /// Destroys an object and tells how many blocks are left of those that came with it, its own first.
    fn left(make: impl Fn(&mut ScratchMem) -> (Tag, Off)) -> usize {
        let mut m = ScratchMem::new(4 << 20);
        // shapes and keys are for ever
        make(&mut m);
        let before = m.live.len();
        let (tag, at) = make(&mut m);
        assert!(m.live.len() > before);
        destroy(&mut m, tag, at).unwrap();
        let again = destroy(&mut m, tag, at).unwrap_err().error();
        assert_eq!(again.code, Code::Destroyed);
        let mut told = Vec::new();
        crate::refs::for_each_ref(m.segment(), at, &mut |reference| told.push(reference)).unwrap();
        for reference in told {
            assert!(m.live.contains(&reference.offset()), "a reference to what is gone: {reference:?}");
        }
        m.live.len() - before
    }

    #[test]
    fn a_record_leaves_its_identity_alone() {
        for n in [0, 1, 3, 20, 60, 200] {
            assert_eq!(
                left(|m| {
                    let pairs: Vec<(Key, Cell)> = (0..n)
                        .map(|i| {
                            let cell = if i % 2 == 0 { text(m) } else { Cell::number(1.0) };
                            (Key::string(format!("a long key {i}").as_str()), cell)
                        })
                        .collect();
                    (Tag::Record, record::create_with(m, false, &pairs).unwrap())
                }),
                1,
                "{n} properties"
            );
        }
    }

    #[test]
    fn an_array_leaves_its_identity_alone() {
        for n in [0, 1, 100] {
            for far in [false, true] {
                assert_eq!(
                    left(|m| {
                        let cells: Vec<Cell> = (0..n).map(|_| text(m)).collect();
                        let at = array::create_with(m, &cells).unwrap();
                        if far {
                            array::set(m, at, 1 << 20, Cell::TRUE).unwrap();
                            let named = text(m);
                            array::set_named(m, at, &Key::string("named"), named).unwrap();
                        }
                        (Tag::Array, at)
                    }),
                    1
                );
            }
        }
        // emptied, with a body that is still there
        assert_eq!(
            left(|m| {
                let at = array::create_with(m, &[Cell::TRUE]).unwrap();
                array::pop(m, at).unwrap();
                (Tag::Array, at)
            }),
            1
        );
    }

    #[test]
    fn a_map_leaves_its_identity_and_its_version_words() {
        for (n, stay) in [(0, 1), (1, 1), (60, 1), (300, 2)] {
            for tag in [Tag::Map, Tag::Set] {
                let made = left(|m| {
                    let at = map::create(m, tag).unwrap();
                    for i in 0..n {
                        let key = BigInt::new(false, [i, 1 << 60]);
                        let cell = bigint::build(m, &key).unwrap();
                        let value = if tag == Tag::Map { text(m) } else { Cell::ABSENT };
                        let bytes: Vec<u8> = key.limbs().iter().flat_map(|limb| limb.to_le_bytes()).collect();
                        map::set(m, at, &MapKey::bigint(false, bytes), |_| Ok(cell), value).unwrap();
                    }
                    (tag, at)
                });
                assert_eq!(made, stay, "{tag:?} of {n}");
            }
        }
    }

    #[test]
    fn bytes_stay_until_nobody_can_have_them() {
        let mut m = ScratchMem::new(4 << 20);
        let bytes = buffer::create(&mut m, 100).unwrap();
        let view = view::create(&mut m, view::ViewKind::Uint8, bytes, 0, 100).unwrap();
        let blocks = m.live.len();
        destroy(&mut m, Tag::View, view).unwrap();
        assert!(view::info(&mut m, view).is_err());
        assert!(buffer::info(&mut m, bytes).is_ok());
        destroy(&mut m, Tag::Buffer, bytes).unwrap();
        assert_eq!(buffer::info(&mut m, bytes).unwrap_err().error().code, Code::Destroyed);
        assert_eq!(m.live.len(), blocks);
    }
}
