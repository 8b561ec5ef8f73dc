//! A small insertion-ordered hash table: the read set and the overlay of a transaction.
//!
//! Most transactions touch a handful of words, and a linear search of eight entries beats any hash. From the
//! ninth entry on there is an index with open addressing (Fibonacci hashing, linear probing, at most half full).
//! Entries are never removed one by one, so probing needs no tombstones; clearing keeps the memory.

/// An entry's key: an offset, unique in its table.
pub(crate) trait Keyed {
    fn key(&self) -> u64;
}

const LINEAR: usize = 8;
const EMPTY: u32 = u32::MAX;

pub(crate) struct Table<T> {
    items: Vec<T>,
    /// Empty while the search is linear; else a power of two, at least twice the number of items.
    index: Vec<u32>,
}

impl<T: Keyed> Table<T> {
    pub(crate) fn new() -> Self {
        Table { items: Vec::new(), index: Vec::new() }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    #[inline]
    pub(crate) fn items(&self) -> &[T] {
        &self.items
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, i: usize) -> &mut T {
        &mut self.items[i]
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.items.clear();
        self.index.clear();
    }

    #[inline]
    pub(crate) fn find(&self, key: u64) -> Option<usize> {
        if self.index.is_empty() {
            // the last touched is the likeliest
            let (last, others) = self.items.split_last()?;
            if last.key() == key {
                return Some(others.len());
            }
            return others.iter().rposition(|e| e.key() == key);
        }
        self.probe(key).ok()
    }

    fn probe(&self, key: u64) -> Result<usize, usize> {
        let mask = self.index.len() - 1;
        let mut at = (key >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize >> 20 & mask;
        // ends: the index is at most half full
        loop {
            match self.index[at] {
                EMPTY => return Err(at),
                i if self.items[i as usize].key() == key => return Ok(i as usize),
                _ => at = (at + 1) & mask,
            }
        }
    }

    /// Adds an entry whose key is not there yet; gives its position. Inlined so that the entry is made in its place: a
    /// copy of fields that were just stored one by one stalls for 10 ns.
    #[inline(always)]
    pub(crate) fn push(&mut self, item: T) -> usize {
        let i = self.items.len();
        if i >= LINEAR {
            self.push_indexed(&item, i);
        }
        self.items.push(item);
        i
    }

    #[cold]
    #[inline(never)]
    fn push_indexed(&mut self, item: &T, i: usize) {
        if (i + 1) * 2 > self.index.len() {
            let size = ((i + 1) * 4).next_power_of_two();
            self.index.clear();
            self.index.resize(size, EMPTY);
            for old in 0..i {
                if let Err(at) = self.probe(self.items[old].key()) {
                    self.index[at] = old as u32;
                }
            }
        }
        if let Err(at) = self.probe(item.key()) {
            self.index[at] = i as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct E(u64);
    impl Keyed for E {
        fn key(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn finds_what_was_put_in_at_any_size() {
        let mut sut = Table::new();
        for round in 0..2 {
            for i in 0..5000u64 {
                assert_eq!(sut.find(i * 16), None, "round {round}");
                assert_eq!(sut.push(E(i * 16)), i as usize);
                assert_eq!(sut.find(i / 2 * 16), Some(i as usize / 2));
            }
            sut.clear();
            assert!(sut.is_empty());
        }
    }
}
