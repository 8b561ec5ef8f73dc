//! Memory itself, with a chance for others before each access.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use shuttle::sync::atomic::AtomicU64;

use super::{Raw, Update};

thread_local! {
    /// Shuttle switches at its own atomics only: here is one.
    static CHANCE: RefCell<Option<Rc<AtomicU64>>> = const { RefCell::new(None) };
}

pub(super) fn begin(_: usize) {
    CHANCE.set(Some(Rc::new(AtomicU64::new(0))));
}

pub(super) fn end() {}

pub(super) fn abandon() {
    CHANCE.take();
}

fn chance() {
    // the borrow has ended when others run
    let chance = CHANCE.with_borrow(Option::clone);
    if let Some(chance) = chance {
        chance.load(Ordering::SeqCst);
    }
}

pub(super) fn load(raw: Raw, _: Ordering) -> u64 {
    chance();
    raw.get()
}

pub(super) fn store(raw: Raw, value: u64, _: Ordering) {
    chance();
    raw.set(value);
}

pub(super) fn update(raw: Raw, update: Update, _: Ordering, _: Ordering) -> Result<u64, u64> {
    chance();
    let now = raw.get();
    if let Some(new) = update.of(now) {
        raw.set(new);
    }
    update.result(now)
}

pub(super) fn fence(_: Ordering) {}

pub(super) fn pause() {
    shuttle::thread::yield_now();
}

pub(super) fn thread() -> u64 {
    usize::from(shuttle::current::me()) as u64
}
