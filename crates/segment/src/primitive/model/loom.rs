//! The words of a segment as loom's atomics.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::atomic::Ordering;

use loom::sync::atomic;

use super::{Raw, Update};

struct Word {
    atomic: atomic::AtomicU64,
    raw: Raw,
    written: Cell<bool>,
}

thread_local! {
    /// Offsets and sizes of the words that executions have needed so far.
    static KNOWN: RefCell<BTreeMap<usize, u8>> = const { RefCell::new(BTreeMap::new()) };
    static FOUND: Cell<bool> = const { Cell::new(false) };
    static WORDS: RefCell<HashMap<usize, Rc<Word>>> = RefCell::new(HashMap::new());
    static BASE: Cell<usize> = const { Cell::new(0) };
    /// Where SeqCst fences meet. Loom does not count fences among the places at which it could switch, and takes what
    /// they order for ordered by the program: without this it would never try the other order.
    static MEETING: RefCell<Option<Rc<atomic::AtomicU64>>> = const { RefCell::new(None) };
}

/// What the panic of an execution that needed another word carries.
struct NewWord;

/// An execution has needed a word that was not there and has ended for that: explore again from the start.
pub fn found_new_words() -> bool {
    FOUND.take()
}

/// Another structure is explored from now on.
pub fn forget_words() {
    KNOWN.with_borrow_mut(BTreeMap::clear);
}

pub(super) fn begin(base: usize) {
    BASE.set(base);
    let words = KNOWN.with_borrow(|known| {
        let word = |(&offset, &bytes): (&usize, &u8)| {
            let raw = Raw { at: base + offset, bytes };
            let atomic = atomic::AtomicU64::new(raw.get());
            (raw.at, Rc::new(Word { atomic, raw, written: Cell::new(false) }))
        };
        known.iter().map(word).collect()
    });
    WORDS.set(words);
    MEETING.set(Some(Rc::new(atomic::AtomicU64::new(0))));
}

pub(super) fn end() {
    // in the order of their addresses: the loads are part of the explored path
    let mut words: Vec<_> = WORDS.take().into_values().filter(|word| word.written.get()).collect();
    words.sort_by_key(|word| word.raw.at);
    for word in words {
        word.raw.set(word.atomic.load(Ordering::Relaxed));
    }
}

pub(super) fn abandon() {
    WORDS.take();
    MEETING.take();
}

fn word(raw: Raw) -> Rc<Word> {
    let word = WORDS.with_borrow(|words| words.get(&raw.at).cloned());
    let Some(word) = word else {
        KNOWN.with_borrow_mut(|known| known.insert(raw.at - BASE.get(), raw.bytes));
        FOUND.set(true);
        std::panic::resume_unwind(Box::new(NewWord));
    };
    assert_eq!(word.raw.bytes, raw.bytes, "one word is accessed in two sizes");
    word
}

fn with_fence(ordering: Ordering) -> Ordering {
    if ordering == Ordering::SeqCst {
        fence(Ordering::SeqCst);
        return Ordering::Acquire;
    }
    ordering
}

pub(super) fn load(raw: Raw, ordering: Ordering) -> u64 {
    let word = word(raw);
    word.atomic.load(with_fence(ordering))
}

pub(super) fn store(raw: Raw, value: u64, ordering: Ordering) {
    let word = word(raw);
    word.written.set(true);
    let ordering = if ordering == Ordering::SeqCst { Ordering::Release } else { ordering };
    word.atomic.store(value, ordering);
}

pub(super) fn update(raw: Raw, update: Update, success: Ordering, failure: Ordering) -> Result<u64, u64> {
    let weaker = |o, instead| if o == Ordering::SeqCst { instead } else { o };
    let success = weaker(success, Ordering::AcqRel);
    let failure = weaker(failure, Ordering::Acquire);
    let word = word(raw);
    word.written.set(true);
    let word = &word.atomic;
    Ok(match update {
        Update::Swap(n) => word.swap(n, success),
        Update::CompareExchange(expected, new) => {
            return word.compare_exchange(expected, new, success, failure);
        }
        Update::Add(n) => word.fetch_add(n, success),
        Update::And(n) => word.fetch_and(n, success),
        Update::Or(n) => word.fetch_or(n, success),
        Update::Max(n) => word.fetch_max(n, success),
        Update::Min(n) => word.fetch_min(n, success),
    })
}

pub(super) fn fence(ordering: Ordering) {
    if ordering == Ordering::SeqCst
        && let Some(meeting) = MEETING.with_borrow(Option::clone)
    {
        meeting.fetch_add(0, Ordering::AcqRel);
    }
    atomic::fence(ordering);
}

pub(super) fn pause() {
    loom::thread::yield_now();
}

pub(super) fn thread() -> u64 {
    let mut hasher = DefaultHasher::new();
    loom::thread::current().id().hash(&mut hasher);
    hasher.finish()
}
