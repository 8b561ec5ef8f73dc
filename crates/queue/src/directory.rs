//! The channels of a heap by name: a table of lists that only grow, linked by CAS.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use coheap_objects::kind;
use coheap_segment::{Error, Off, Result, Segment};

use crate::hand::{self, Hand};
use crate::layout::{BUCKETS, ChannelRecord, format_channel, free_channel, hash, places_for, words};

/// Attempts after which a bucket cannot be but corrupt.
const MANY: u32 = 1 << 24;
const TABLE_HEAD: u64 = 16;

/// What the first to name a channel decides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    pub capacity: u64,
    pub lifo: bool,
}

fn bucket(seg: &Segment, table: Off, name: &[u8]) -> Result<Off> {
    words(seg, table, TABLE_HEAD / 8 + BUCKETS)?;
    Ok(table + TABLE_HEAD + hash(name) % BUCKETS * 8)
}

fn has_name(channel: &ChannelRecord, name: &[u8]) -> bool {
    channel.name_len.load(Relaxed) == name.len() as u64
        && channel.hash.load(Relaxed) == hash(name)
        && channel
            .name
            .iter()
            .zip(name.chunks(8))
            .all(|(word, part)| word.load(Relaxed).to_le_bytes()[..part.len()] == *part)
}

/// Channels that a heap has room for: a longer list is a circle.
fn most(seg: &Segment) -> u64 {
    seg.committed() / size_of::<ChannelRecord>() as u64
}

fn search(seg: &Segment, first: Off, name: &[u8]) -> Result<Option<Off>> {
    let mut at = first;
    for _ in 0..=most(seg) {
        if at == 0 {
            return Ok(None);
        }
        let channel = ChannelRecord::at(seg, at)?;
        if has_name(channel, name) {
            return Ok(Some(at));
        }
        // Relaxed: written before the channel was published, by the CAS whose Acquire brought us here.
        at = channel.next.load(Relaxed);
    }
    Err(Error::corrupt("a list of channels without an end", first))
}

/// The channel of this name, if there is one.
pub(crate) fn find(seg: &Segment, name: &[u8]) -> Result<Option<Off>> {
    // Acquire pairs with the CAS that published the table.
    match seg.header().channels.load(Acquire) {
        0 => Ok(None),
        // Acquire pairs with the CAS that published the channel.
        table => search(seg, seg.word(bucket(seg, table, name)?)?.load(Acquire), name),
    }
}

/// The channel of this name, made if there is none: of two that make it at once, one wins.
pub(crate) fn find_or_make(seg: &Segment, hand: &mut impl Hand, name: &[u8], wish: Wish) -> Result<Off> {
    let table = match seg.header().channels.load(Acquire) {
        0 => make_table(seg, hand)?,
        table => table,
    };
    let bucket = seg.word(bucket(seg, table, name)?)?;
    let mut made = 0;
    for _ in 0..MANY {
        // Acquire pairs with the CAS below.
        let first = bucket.load(Acquire);
        if let Some(at) = search(seg, first, name)? {
            if made != 0 {
                free_channel(hand, made)?;
            }
            return Ok(at);
        }
        if made == 0 {
            made = format_channel(hand, wish.capacity, places_for(wish.capacity), wish.lifo, name)?;
        }
        ChannelRecord::at(seg, made)?.next.store(first, Relaxed);
        // AcqRel: Release publishes the channel and its first ring.
        if bucket.compare_exchange(first, made, AcqRel, Relaxed).is_ok() {
            return Ok(made);
        }
    }
    Err(Error::corrupt("a list of channels that never stands still", table))
}

fn make_table(seg: &Segment, hand: &mut impl Hand) -> Result<Off> {
    let at = hand.alloc(TABLE_HEAD + BUCKETS * 8)?;
    for i in 0..BUCKETS {
        seg.word(at + TABLE_HEAD + i * 8)?.store(0, Relaxed);
    }
    hand::finish(seg, at, kind::TABLE, 0, BUCKETS as u32)?;
    // AcqRel: Release publishes the empty buckets; Acquire, on failure, pairs with the winner's.
    match seg.header().channels.compare_exchange(0, at, AcqRel, Acquire) {
        Ok(_) => Ok(at),
        Err(winner) => {
            hand.free(at)?;
            Ok(winner)
        }
    }
}

/// All channels of a heap. Those that are made meanwhile may be missed.
pub(crate) fn each(seg: &Segment, mut f: impl FnMut(Off) -> Result<()>) -> Result<()> {
    let table = seg.header().channels.load(Acquire);
    if table == 0 {
        return Ok(());
    }
    let mut seen = 0;
    for word in &words(seg, table, TABLE_HEAD / 8 + BUCKETS)?[TABLE_HEAD as usize / 8..] {
        let mut at = word.load(Acquire);
        while at != 0 {
            if seen > most(seg) {
                return Err(Error::corrupt("a list of channels without an end", table));
            }
            seen += 1;
            f(at)?;
            at = ChannelRecord::at(seg, at)?.next.load(Relaxed);
        }
    }
    Ok(())
}
