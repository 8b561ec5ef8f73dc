//! Iteration over maps and sets by insertion numbers.
//!
//! An iterator is {map, number of the last entry it gave}. Numbers ascend in the body and are never given twice,
//! so the next entry is the first with a greater number, whatever was inserted, deleted, rehashed or cleared in
//! between. Finding it is one load when the caller remembers where the last one was, a binary search else.
//!
//! Keys and their order are read under the map word alone, for every insertion and deletion changes it; values
//! under their stripes. So a pass over the keys of a large map does not meet writers of values.

use coheap_segment::{Error, Off};
use coheap_txn::{Guard, Mem, Res};

use crate::cell::Cell;
use crate::map::{FIRST, STRIPES, body, counts, is_map, load_item};
use crate::stripes;

/// One entry as an iterator gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its insertion number, > 0: what the next step starts from.
    pub number: u64,
    /// Where it was found: a hint for the next step, never more than that.
    pub hint: u64,
    /// The key. What it refers to by value is loaded under [`Step::key_guard`].
    pub key: Cell,
    /// The map word.
    pub key_guard: Guard,
    /// The value; `ABSENT` in a set and where only keys were asked for.
    pub value: Cell,
    /// The version word of the value: the entry's stripe, or the map word.
    pub value_guard: Guard,
}

/// The first entry with an insertion number greater than `last` (0: the first of all).
pub fn next_from<M: Mem + ?Sized>(m: &mut M, map: Off, last: u64, hint: Option<u64>) -> Res<Option<Step>> {
    let mut out = Vec::with_capacity(1);
    entries_from(m, map, last, hint, 1, true, &mut out)?;
    Ok(out.pop())
}

/// Appends to `out` up to `max` entries with insertion numbers greater than `last`, in order, all of one moment.
/// `values` false: the keys alone, which is one version word however large the map is.
pub fn entries_from<M: Mem + ?Sized>(
    m: &mut M,
    map: Off,
    last: u64,
    hint: Option<u64>,
    max: usize,
    values: bool,
    out: &mut Vec<Step>,
) -> Res<()> {
    let word = Guard(map);
    let has_values = is_map(m, word, map)?;
    let (used, size) = counts(m, word, map)?;
    let Some(body) = body(m, word, map)? else {
        return Ok(());
    };
    let used = used.min(body.capacity);
    // Whoever needs values under stripes holds several version words, which only a transaction can.
    let locks = stripes::locks(m, map, map + STRIPES)?;
    let first = m.load64(word, map + FIRST)?;
    let mut index = body.after(m, word, used, last, hint)?.max(first);
    let end = out.len() + max.min(size as usize);
    let mut before = last;
    // who goes on from the last number must come to an end
    let mut ascending = |number: u64| match number > before {
        true => {
            before = number;
            Ok(())
        }
        false => Err(Error::corrupt("insertion numbers that do not ascend", map)),
    };
    while index < used && out.len() < end {
        let entry = body.entry(index)?;
        if values && has_values {
            let item = load_item(m, locks, entry)?;
            if item.key != Cell::ABSENT {
                ascending(item.number)?;
                if item.value == Cell::ABSENT {
                    return Err(Error::corrupt("a key without a value", map).into());
                }
                out.push(Step {
                    number: item.number,
                    hint: index,
                    key: item.key,
                    key_guard: word,
                    value: item.value,
                    value_guard: locks.of(item.hash),
                });
            }
        } else {
            let key = Cell(m.load64(word, entry.key())?);
            if key != Cell::ABSENT {
                let number = m.load64(word, entry.number())?;
                ascending(number)?;
                out.push(Step {
                    number,
                    hint: index,
                    key,
                    key_guard: word,
                    value: Cell::ABSENT,
                    value_guard: word,
                });
            }
        }
        index += 1;
    }
    Ok(())
}
