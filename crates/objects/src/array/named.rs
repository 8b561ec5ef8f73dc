//! Named properties of an array: properties whose keys are no indices, in a record of the array's own.

use coheap_segment::Off;
use coheap_txn::{Guard, Mem, Res};

use super::{Head, NAMED};
use crate::cell::Cell;
use crate::key::Key;
use crate::record;

fn named<M: Mem + ?Sized>(m: &mut M, at: Off) -> Res<Option<Off>> {
    let head = Head::load(m, at)?;
    Ok(Some(m.load64(head.guard, at + NAMED)?).filter(|&named| named != 0))
}

/// The cell of a named property (a key that is no array index), in place.
pub fn get_named<M: Mem + ?Sized>(m: &mut M, at: Off, key: &Key) -> Res<Option<Cell>> {
    match named(m, at)? {
        Some(named) => record::get_in(m, Guard(at), named, key),
        None => Ok(None),
    }
}

/// Sets a named property. The cell is the array's from now on; what it replaces is freed.
pub fn set_named<M: Mem + ?Sized>(m: &mut M, at: Off, key: &Key, cell: Cell) -> Res<()> {
    match named(m, at)? {
        Some(named) => record::set_in(m, Guard(at), named, key, cell),
        None => {
            let named = record::create_owned(m, &[(key.clone(), cell)])?;
            m.store64(Guard(at), at + NAMED, named)
        }
    }
}

/// Deletes a named property; false if there is none.
pub fn delete_named<M: Mem + ?Sized>(m: &mut M, at: Off, key: &Key) -> Res<bool> {
    match named(m, at)? {
        Some(named) => record::delete_in(m, Guard(at), named, key),
        None => Ok(false),
    }
}

/// The named properties, in the order in which the language lists own keys.
pub fn entries_named<M: Mem + ?Sized>(m: &mut M, at: Off) -> Res<Vec<(Key, Cell)>> {
    match named(m, at)? {
        Some(named) => record::entries_in(m, Guard(at), named),
        None => Ok(Vec::new()),
    }
}
