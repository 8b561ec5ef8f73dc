//! What is done to a heap.

use coheap_heap::segment::layout::SlotRecord;
use coheap_heap::segment::word::Word;

use crate::base::{Image, word};

pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            dice.next();
        }
        dice
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn roll(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.roll(all.len() as u64) as usize]
    }
}

/// Words to be overwritten, and with what.
pub type Damage = Vec<(usize, u64)>;

/// One to eight words, or a slot's whole state, or bits anywhere. `open` says that the heap is opened afterwards, not
/// yet.
pub fn damage(image: &Image, dice: &mut Dice, open: bool) -> Damage {
    let mut damage = Vec::new();
    if dice.roll(8) == 0 {
        bits(image, dice, open, &mut damage);
        return damage;
    }
    for _ in 0..1 + dice.roll(8) {
        match dice.roll(20) {
            0..2 => slot(image, dice, &mut damage),
            2..4 => owned(image, dice, &mut damage),
            4 => table(image, dice, &mut damage),
            part => {
                let part = match part {
                    5 => 0,
                    6..9 => 1,
                    9..11 => 2,
                    _ => 3,
                };
                // the first words of a block say most; the long texts would take most of the hits
                let at = match part {
                    3 if dice.roll(4) != 0 => block(image, dice) + 8 * dice.roll(8) as usize,
                    _ => *dice.of(&image.words[part]),
                };
                // what is compared when a heap is opened is damaged once in a while only
                if open && at < 0xc0 && dice.roll(8) != 0 {
                    continue;
                }
                let now = word(&image.bytes, at);
                let new = value(image, dice, at, now);
                damage.push((at, new));
            }
        }
    }
    damage
}

/// Bits of words that are in use, as failing memory flips them: most often one each, sometimes a run of bytes.
fn bits(image: &Image, dice: &mut Dice, open: bool, damage: &mut Damage) {
    for _ in 0..1 + dice.roll(64) {
        let part = dice.of(&image.words);
        let at = *dice.of(part);
        if open && at < 0xc0 {
            continue;
        }
        let mask = match dice.roll(8) {
            0 => u64::MAX >> dice.roll(64),
            1 => 0xff << (8 * dice.roll(8)),
            _ => 1 << dice.roll(64),
        };
        damage.push((at, word(&image.bytes, at) ^ mask));
    }
}

/// A block; each kind is as likely as another.
fn block(image: &Image, dice: &mut Dice) -> usize {
    let n = dice.roll(image.blocks.len() as u64) as usize;
    *dice.of(image.blocks.values().nth(n).unwrap()) as usize
}

/// A word made of another.
fn value(image: &Image, dice: &mut Dice, at: usize, now: u64) -> u64 {
    let block = *dice.of(&image.all);
    match dice.roll(16) {
        0..4 => now ^ 1 << dice.roll(64),
        4 => now ^ 1 << (40 + dice.roll(24)),
        5 => now | 0xffff_0000 << (16 * dice.roll(2)),
        6 => dice.next(),
        7 => word(&image.bytes, *dice.of(&image.words[3])),
        8 => block,
        9 => now & 0xffff << 48 | block,
        10 => block + 8 * dice.roll(64),
        // itself, or what it lies in
        11 => {
            let own = image.all.partition_point(|&block| block <= at as u64).saturating_sub(1);
            now & 0xffff << 48 | image.all[own]
        }
        12 => [0, u64::MAX, 1 << 63, u32::MAX as u64, 1 << 31, 1 << 47, image.bytes.len() as u64]
            [dice.roll(7) as usize],
        13 => now.wrapping_add(dice.roll(5)).wrapping_sub(2),
        14 => now & !(0xffff << 48) | dice.next() << 48,
        _ => now.rotate_left(32),
    }
}

/// A slot in any state, with a log and an intent line that name blocks or do not.
fn slot(image: &Image, dice: &mut Dice, damage: &mut Damage) {
    let id = dice.roll(8) as usize;
    let at = image.parts.slots + id * size_of::<SlotRecord>();
    let mut put = |field: usize, value: u64| damage.push((at + field, value));
    let any = |dice: &mut Dice| match dice.roll(4) {
        0 => dice.next(),
        1 => *dice.of(&image.all) + 8 * dice.roll(8),
        _ => *dice.of(&image.all),
    };
    put(0, dice.roll(7) << 60 | dice.roll(64));
    for i in 0..16 {
        put(0x40 + i * 8, any(dice));
    }
    put(0x48, dice.roll(16) << 56 | dice.roll(1000));
    put(0xc0, dice.roll(20));
    put(0xc8, any(dice));
    for i in 0..14 {
        put(0xd0 + i * 8, any(dice));
    }
    put(0x140, dice.roll(40));
    put(0x148, any(dice));
    for i in 0..30 {
        let value = if i % 4 == 1 { dice.roll(4) } else { any(dice) };
        put(0x150 + i * 8, value);
    }
    put(0x240, dice.roll(5000));
    put(0x248, any(dice));
    put(0x250, dice.roll(100));
    match dice.roll(4) {
        0 => put(0x30, dice.next()),
        1 => put(0x38, dice.next() | 1 << 63),
        _ => {}
    }
}

/// The version word of a block, owned by some slot in some state.
fn owned(image: &Image, dice: &mut Dice, damage: &mut Damage) {
    let at = *dice.of(&image.all) as usize;
    let owner = 1 + dice.roll(8) as u16;
    let version = Word(word(&image.bytes, at)).version();
    let tag = dice.roll(16);
    damage.push((at, Word::new(owner, tag as u8, version, dice.roll(2) == 0).0));
    let slot = image.parts.slots + (owner as usize - 1) * size_of::<SlotRecord>();
    if dice.roll(2) == 0 {
        damage.push((slot, dice.roll(6) << 60 | 1 << 8 | tag));
    }
    if dice.roll(2) == 0 {
        damage.push((slot + 0x40, at as u64));
    }
}

/// Any word of the tables, also where there is nothing yet.
fn table(image: &Image, dice: &mut Dice, damage: &mut Damage) {
    let words = (image.parts.data - image.parts.processes) as u64 / 8;
    let at = image.parts.processes + dice.roll(words) as usize * 8;
    let new = value(image, dice, at, word(&image.bytes, at));
    damage.push((at, new));
}
