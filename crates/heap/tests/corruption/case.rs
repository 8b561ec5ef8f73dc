//! One case: what is damaged, when, and who uses it.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use coheap_heap::{Heap, open};

use crate::base::{Base, NAME, options};
use crate::damage::{Damage, Dice, damage};
use crate::exercise::{Tally, exercise};
use crate::partner::Partner;

/// One case: a copy is damaged before it is opened, while it is open, or both. In half of the cases in which it is open,
/// another process has it open too and uses it at the same time.
pub fn run(base: &Base, case: u64, partner: &mut Partner) -> Tally {
    let mut dice = Dice::new(case);
    let image = &base.images[dice.roll(2) as usize];
    let when = dice.roll(4);
    let mut bytes = image.bytes.clone();
    if when != 0 {
        for (at, value) in damage(image, &mut dice, true) {
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
    }
    let later = if when < 2 { damage(image, &mut dice, false) } else { Damage::new() };
    let together = when < 2 && dice.roll(2) == 0;
    base.place(&bytes);
    let mut tally = Tally::default();
    let options = options(&base.dir);
    tally.count(Heap::list(Some(&base.dir)));
    if together {
        partner.open(case);
    }
    match Heap::open(NAME, &options) {
        Ok(heap) => {
            // A second participant of this thread that is said to be in the middle of a commit would rightly be waited for:
            // either there is none, or no slot is touched. One of another process ends what it is at.
            let alone = together || !later.is_empty() && dice.roll(2) == 0;
            let mut ctx = if alone { None } else { tally.count(open::join(&heap.segment(), &options)) };
            for (at, value) in later {
                if !alone && (image.parts.slots..image.parts.directory).contains(&at) {
                    continue;
                }
                if let Ok(word) = heap.segment().word(at as u64) {
                    word.store(value, Relaxed);
                }
            }
            if together {
                partner.go();
            }
            exercise(&heap, ctx.as_mut().map(|ctx| (ctx, image)), &mut dice, &mut tally);
        }
        Err(_) => tally.unopened += 1,
    }
    if together {
        tally.add(&partner.end());
    }
    tally.count(Heap::unlink(NAME, Some(&base.dir)));
    base.clear();
    tally
}

/// What the partner does in a case: `opened` is called when it has the heap open, or not, and comes back when the heap has
/// been damaged.
pub fn join_in(dir: &Path, case: u64, opened: impl FnOnce()) -> Tally {
    let mut dice = Dice::new(!case);
    let mut tally = Tally::default();
    let heap = Heap::open(NAME, &options(dir));
    opened();
    match heap {
        Ok(heap) => exercise(&heap, None, &mut dice, &mut tally),
        Err(_) => tally.unopened += 1,
    }
    tally
}
