//! What channels refer to: the messages that are in them, for who walks a heap.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use coheap_objects::Cell;
use coheap_objects::refs::Reference;
use coheap_segment::{Error, Off, Result, Segment};

use crate::channel::Channel;
use crate::directory;
use crate::layout::at;
use crate::rings::{Place, Rings};
use crate::word::State;

/// Calls `f` with every message of every channel, those that somebody is putting or taking too: a live object, a
/// by-value block or an envelope as its block, on a stack its cell. Exact while nobody puts or takes. `ERR_COHEAP_CORRUPT` for a channel that
/// makes no sense.
pub fn for_each_message(segment: &Arc<Segment>, f: &mut dyn FnMut(Reference)) -> Result<()> {
    directory::each(segment, |channel| {
        let record = Channel::view(segment, channel)?;
        if record.is_lifo() { on_stack(segment, channel, f) } else { in_rings(segment, &record, f) }
    })
}

fn in_rings(segment: &Segment, channel: &Channel, f: &mut dyn FnMut(Reference)) -> Result<()> {
    let record = channel.record()?;
    Rings::new(segment, record, record.places(), 0).each_place(|Place { word, .. }, consumed| {
        if !consumed && matches!(word.state(), State::Full | State::Putting | State::Taken) {
            match word.payload().offset() {
                0 => {} // a number in the place itself
                block => f(Reference::Block(block)),
            }
        }
        true
    })
}

fn on_stack(segment: &Segment, channel: Off, f: &mut dyn FnMut(Reference)) -> Result<()> {
    // Relaxed: a walk over a heap that is at rest, or a hint
    let word = |at: Off| Ok(segment.word(at)?.load(Relaxed));
    let (body, depth) = (word(channel + at::STACK)?, word(channel + at::DEPTH)?);
    if depth > segment.committed() / 8 {
        return Err(Error::corrupt("a stack deeper than the heap", channel));
    }
    if body != 0 {
        f(Reference::Block(body));
    }
    for i in 0..depth {
        let cell = Cell(word(body + 16 + i * 8)?);
        if cell.is_identity() || cell.is_by_value_block() {
            f(Reference::Cell(cell));
        }
    }
    Ok(())
}
