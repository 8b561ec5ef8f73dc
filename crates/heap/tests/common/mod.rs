//! What must be true of every heap after a recovery.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use coheap_heap::Heap;
use coheap_heap::segment::{Status, StatusWord, Word};

/// Nothing is left of the dead: no row, no slot, no reservation.
pub fn nothing_is_left(heap: &Heap) {
    let segment = heap.segment();
    assert!(heap.participants().iter().all(|p| p.own), "{:?}", heap.participants());
    let own: HashSet<u64> =
        heap.participants().iter().map(|p| (p.generation as u64) << 32 | p.id as u64).collect();
    for slot in 1..=segment.plan().slots as u16 {
        let record = segment.slot(slot).unwrap();
        let claimed = record.claimed.load(Ordering::SeqCst);
        assert!(claimed == 0 || own.contains(&claimed), "slot {slot} is still {claimed:x}'s");
        // a role of the dead is anybody's
        assert!(segment.take_role(&record.recoverer).is_some(), "slot {slot} is still being recovered");
        if claimed == 0 {
            let status = StatusWord(record.status.load(Ordering::SeqCst));
            let building = record.building.load(Ordering::SeqCst);
            assert_eq!(status.status(), Some(Status::Idle), "slot {slot}");
            assert!(building.is_multiple_of(2), "slot {slot} is building");
            assert_eq!(record.fresh_len.load(Ordering::SeqCst), 0, "fresh blocks of slot {slot}");
        }
    }
    let processes = (0..256).filter(|&row| segment.process(row).state.load(Ordering::SeqCst) as u32 != 0);
    assert_eq!(processes.count(), 1);
    coheap_heap::slab::for_each_block(&segment, |at, _| {
        let word = Word(segment.word(at).unwrap().load(Ordering::SeqCst));
        assert!(
            word.is_free() || word.owner() == 0 && !word.changing(),
            "{at:#x} is still {}'s",
            word.owner()
        );
    });
    assert_eq!(heap.verify(), []);
}
