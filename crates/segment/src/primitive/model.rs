//! The machine as a model checker plays it: `loom` explores the orderings of small structures exhaustively (within a
//! bound of preemptions), `shuttle` the schedules of whole operations at random.
//!
//! An [`AtomicU64`] keeps its layout: it *is* the word in the mapping, so tables, blocks and slices of words stay where
//! they are. What it does is decided by its address. Inside the region that [`begin`] has named, an access goes to the
//! checker; outside of it, and before and after, to memory, so that a heap is set up and looked at without costing
//! the exploration anything.
//!
//! * **loom** has values of its own: the word at an offset stands for a loom atomic, made by [`begin`] from what memory
//!   holds. Loom wants them made before the threads are. So a word that turns out to be needed later is noted
//!   and the whole exploration starts over with it ([`found_new_words`]). SeqCst loads get a fence before them, for loom
//!   takes SeqCst for AcqRel: that makes the Dekker patterns work as in C++ and orders a little more than C++ does.
//! * **shuttle** has memory itself, and a chance to switch threads before each access.
//!
//! Both run all threads of a model on one thread of the system, so a `thread_local` here is the model's.
//!
//! *Time* goes by at each look at the clock and with each sleep, and at no other time. Whoever pauses lets others run.
//!
//! *Mutants.* [`mutate`] changes what one place of the source does, found by where it is called from: a weaker
//! ordering, a store that is not made, a second look that sees what the first one saw. So no line of the structures
//! has to know of mutants, and none has to be compiled again for one.
//!
//! *Deaths.* [`die_after`] ends the running thread before its n-th access from now on, as a kill would: by a panic during
//! which nothing is stored.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::ops::Add;
use std::panic::Location;
use std::sync::atomic::Ordering;
use std::sync::{LockResult, MutexGuard, TryLockError};
use std::time::Duration;

#[cfg(all(feature = "loom", feature = "shuttle"))]
compile_error!("one model checker at a time");

#[cfg(feature = "loom")]
mod loom;
#[cfg(feature = "loom")]
use self::loom as checker;
#[cfg(feature = "shuttle")]
mod shuttle;
#[cfg(feature = "shuttle")]
use self::shuttle as checker;

#[cfg(feature = "loom")]
pub use self::loom::{forget_words, found_new_words};

/// On the machine at hand, perhaps; by the language's memory model never.
pub const RMW_IS_A_FENCE: bool = false;

/// A checker tries what comes of waiting for another thread anyway.
pub fn spins() -> u32 {
    0
}

/// Nanoseconds that a look at the clock costs: as long as anyone spins, so that waiting is one look and then a sleep.
const TICK: u64 = 25_000;

thread_local! {
    /// Address and length of what is explored; length 0: nothing is.
    static REGION: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    /// Nanoseconds.
    static CLOCK: Cell<u64> = const { Cell::new(0) };
    static MUTANT: Cell<Option<Mutant>> = const { Cell::new(None) };
    /// What each thread has last seen of each word; kept for [`Change::SeeAgain`] only.
    static SEEN: RefCell<HashMap<(u64, usize), u64>> = RefCell::new(HashMap::new());
    static SITES: RefCell<Option<BTreeMap<Site, Use>>> = const { RefCell::new(None) };
    /// Times that each bell has woken its sleeper.
    static RINGS: RefCell<HashMap<usize, u64>> = RefCell::new(HashMap::new());
    /// The thread that is to die, and before which of its accesses.
    static DEATH: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// The payload of the panic that ends a thread in the middle of its work.
#[derive(Debug)]
pub struct Died;

/// A place in the source: what [`Location`] says of the name of the method that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// The file, as the compiler was given it.
    pub file: &'static str,
    /// Its line, from 1.
    pub line: u32,
    /// The column of the method's name, from 1.
    pub column: u32,
}

/// What was seen of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// The name of the operation.
    pub operation: &'static str,
    /// Its ordering (that of success).
    pub ordering: Ordering,
}

/// How a mutant differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The operation is Relaxed; a fence is not there.
    Weaken,
    /// The store or read-modify-write is not made; what it returns is as if it had been.
    Skip,
    /// The load, a second look, gives what its thread has seen of the word before.
    SeeAgain,
}

/// One place that does something else than it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Where.
    pub site: Site,
    /// What.
    pub change: Change,
}

/// From here on, accesses to these bytes are explored. The threads are spawned after it, in the same execution.
pub fn begin(base: *const u8, len: usize) {
    CLOCK.set(0);
    DEATH.set(None);
    SEEN.with_borrow_mut(HashMap::clear);
    RINGS.with_borrow_mut(HashMap::clear);
    checker::begin(base as usize);
    REGION.set((base as usize, len));
}

/// The threads have been joined: memory holds what they have left, and accesses go there again.
pub fn end() {
    checker::end();
    abandon();
}

/// After an execution that has not come to its [`end`].
pub fn abandon() {
    REGION.set((0, 0));
    checker::abandon();
}

/// The one place that does something else from now on; `None`: all do what they say.
pub fn mutate(mutant: Option<Mutant>) {
    MUTANT.set(mutant);
}

/// Starts to note where explored accesses come from, and gives what was noted so far.
pub fn sites() -> BTreeMap<Site, Use> {
    SITES.replace(Some(BTreeMap::new())).unwrap_or_default()
}

/// The running thread ends before its access number `n` from now on, by a panic with [`Died`].
pub fn die_after(n: u64) {
    DEATH.set(Some((checker::thread(), n)));
}

/// Takes a death back that has not come. False: there was none, or it has.
pub fn live_on() -> bool {
    DEATH.take().is_some()
}

/// A word as memory has it.
#[derive(Clone, Copy)]
struct Raw {
    at: usize,
    bytes: u8,
}

impl Raw {
    fn get(self) -> u64 {
        match self.bytes {
            // SAFETY: made from a reference to an atomic of that size, which the caller still holds.
            4 => unsafe { (*(self.at as *const std::sync::atomic::AtomicU32)).load(Ordering::SeqCst) as u64 },
            // SAFETY: as above.
            _ => unsafe { (*(self.at as *const std::sync::atomic::AtomicU64)).load(Ordering::SeqCst) },
        }
    }
    fn set(self, value: u64) {
        match self.bytes {
            // SAFETY: as in `get`.
            4 => unsafe {
                (*(self.at as *const std::sync::atomic::AtomicU32)).store(value as u32, Ordering::SeqCst)
            },
            // SAFETY: as in `get`.
            _ => unsafe {
                (*(self.at as *const std::sync::atomic::AtomicU64)).store(value, Ordering::SeqCst)
            },
        }
    }
    fn is_explored(self) -> bool {
        let (base, len) = REGION.get();
        self.at.wrapping_sub(base) < len
    }
}

/// A read-modify-write.
#[derive(Clone, Copy)]
enum Update {
    Swap(u64),
    CompareExchange(u64, u64),
    Add(u64),
    And(u64),
    Or(u64),
    Max(u64),
    Min(u64),
}

impl Update {
    /// The new value; `None`: it fails.
    fn of(self, now: u64) -> Option<u64> {
        Some(match self {
            Update::Swap(value) => value,
            Update::CompareExchange(expected, _) if now != expected => return None,
            Update::CompareExchange(_, value) => value,
            Update::Add(n) => now.wrapping_add(n),
            Update::And(n) => now & n,
            Update::Or(n) => now | n,
            Update::Max(n) => now.max(n),
            Update::Min(n) => now.min(n),
        })
    }
    fn result(self, before: u64) -> Result<u64, u64> {
        if self.of(before).is_some() { Ok(before) } else { Err(before) }
    }
}

/// What a place does: what it says, unless the mutant is there.
fn change(operation: &'static str, ordering: Ordering, from: &'static Location<'static>) -> Option<Change> {
    let site = Site { file: from.file(), line: from.line(), column: from.column() };
    SITES.with_borrow_mut(|sites| {
        if let Some(sites) = sites {
            sites.insert(site, Use { operation, ordering });
        }
    });
    MUTANT.get().filter(|mutant| mutant.site == site).map(|mutant| mutant.change)
}

fn weakened(ordering: Ordering, change: Option<Change>) -> Ordering {
    if change == Some(Change::Weaken) { Ordering::Relaxed } else { ordering }
}

fn die_if_due() {
    if let Some((thread, left)) = DEATH.get()
        && thread == checker::thread()
    {
        if left == 0 {
            DEATH.set(None);
            std::panic::resume_unwind(Box::new(Died));
        }
        DEATH.set(Some((thread, left - 1)));
    }
}

fn saw(raw: Raw, value: u64) {
    if matches!(MUTANT.get(), Some(Mutant { change: Change::SeeAgain, .. })) {
        SEEN.with_borrow_mut(|seen| seen.insert((checker::thread(), raw.at), value));
    }
}

fn load(raw: Raw, ordering: Ordering, from: &'static Location<'static>) -> u64 {
    // who unwinds is dead, or the execution has failed
    if !raw.is_explored() || std::thread::panicking() {
        return raw.get();
    }
    die_if_due();
    let change = change("load", ordering, from);
    if change == Some(Change::SeeAgain)
        && let Some(value) = SEEN.with_borrow(|seen| seen.get(&(checker::thread(), raw.at)).copied())
    {
        return value;
    }
    let value = checker::load(raw, weakened(ordering, change));
    saw(raw, value);
    value
}

fn store(raw: Raw, value: u64, ordering: Ordering, from: &'static Location<'static>) {
    if !raw.is_explored() {
        return raw.set(value);
    }
    if std::thread::panicking() {
        return;
    }
    die_if_due();
    let change = change("store", ordering, from);
    if change != Some(Change::Skip) {
        checker::store(raw, value, weakened(ordering, change));
    }
    saw(raw, value);
}

fn update(
    raw: Raw,
    update: Update,
    (success, failure): (Ordering, Ordering),
    operation: &'static str,
    from: &'static Location<'static>,
) -> Result<u64, u64> {
    if !raw.is_explored() {
        let now = raw.get();
        if let Some(new) = update.of(now) {
            raw.set(new);
        }
        return update.result(now);
    }
    if std::thread::panicking() {
        return update.result(raw.get());
    }
    die_if_due();
    let change = change(operation, success, from);
    if change == Some(Change::Skip) {
        return update.result(checker::load(raw, failure));
    }
    let result = checker::update(raw, update, weakened(success, change), weakened(failure, change));
    saw(
        raw,
        match result {
            Ok(before) => update.of(before).unwrap_or(before),
            Err(now) => now,
        },
    );
    result
}

/// See [`std::sync::atomic::fence`].
#[track_caller]
pub fn fence(ordering: Ordering) {
    if REGION.get().1 != 0
        && !std::thread::panicking()
        && change("fence", ordering, Location::caller()) != Some(Change::Weaken)
    {
        checker::fence(ordering);
    }
}

macro_rules! atomic {
    ($name:ident, $int:ty) => {
        #[doc = concat!("As `std::sync::atomic::", stringify!($name), "`, of which it has the layout.")]
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name(std::sync::atomic::$name);

        #[expect(missing_docs, reason = "as in the standard library")]
        impl $name {
            pub const fn new(value: $int) -> $name {
                $name(std::sync::atomic::$name::new(value))
            }
            fn raw(&self) -> Raw {
                Raw { at: self as *const $name as usize, bytes: size_of::<$int>() as u8 }
            }
            pub fn as_ptr(&self) -> *mut $int {
                self.0.as_ptr()
            }
            #[track_caller]
            pub fn load(&self, ordering: Ordering) -> $int {
                load(self.raw(), ordering, Location::caller()) as $int
            }
            #[track_caller]
            pub fn store(&self, value: $int, ordering: Ordering) {
                store(self.raw(), value as u64, ordering, Location::caller())
            }
            #[track_caller]
            pub fn compare_exchange(
                &self,
                expected: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                let exchange = Update::CompareExchange(expected as u64, new as u64);
                let from = Location::caller();
                update(self.raw(), exchange, (success, failure), "compare_exchange", from)
                    .map(|before| before as $int)
                    .map_err(|now| now as $int)
            }
            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                expected: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                self.compare_exchange(expected, new, success, failure)
            }
            #[track_caller]
            fn always(&self, what: Update, ordering: Ordering, operation: &'static str) -> $int {
                let from = Location::caller();
                let done = update(self.raw(), what, (ordering, Ordering::Relaxed), operation, from);
                done.unwrap_or_else(|now| now) as $int
            }
            #[track_caller]
            pub fn swap(&self, value: $int, ordering: Ordering) -> $int {
                self.always(Update::Swap(value as u64), ordering, "swap")
            }
            #[track_caller]
            pub fn fetch_add(&self, n: $int, ordering: Ordering) -> $int {
                self.always(Update::Add(n as u64), ordering, "fetch_add")
            }
            #[track_caller]
            pub fn fetch_and(&self, n: $int, ordering: Ordering) -> $int {
                self.always(Update::And(n as u64), ordering, "fetch_and")
            }
            #[track_caller]
            pub fn fetch_or(&self, n: $int, ordering: Ordering) -> $int {
                self.always(Update::Or(n as u64), ordering, "fetch_or")
            }
            #[track_caller]
            pub fn fetch_max(&self, n: $int, ordering: Ordering) -> $int {
                self.always(Update::Max(n as u64), ordering, "fetch_max")
            }
            #[track_caller]
            pub fn fetch_min(&self, n: $int, ordering: Ordering) -> $int {
                self.always(Update::Min(n as u64), ordering, "fetch_min")
            }
        }
    };
}

atomic!(AtomicU64, u64);
atomic!(AtomicU32, u32);

/// A moment of the model's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

#[expect(missing_docs, reason = "as in the standard library")]
impl Instant {
    pub fn now() -> Instant {
        CLOCK.set(CLOCK.get() + TICK);
        Instant(CLOCK.get())
    }
    pub fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(*self)
    }
    pub fn duration_since(&self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }
    pub fn saturating_duration_since(&self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, d: Duration) -> Instant {
        Instant(self.0 + d.as_nanos() as u64)
    }
}

/// Milliseconds of the model's clock.
pub(crate) fn monotonic_ms() -> u64 {
    Instant::now().0 / 1_000_000
}

fn pause() {
    if REGION.get().1 != 0 && !std::thread::panicking() {
        checker::pause();
    }
}

/// Lets others run.
pub fn spin_loop() {
    pause();
}

/// Lets others run; the time is gone.
pub fn sleep(duration: Duration) {
    CLOCK.set(CLOCK.get() + duration.as_nanos() as u64);
    pause();
}

/// A sleep that is bounded may end at any time, and does at once. One that is not is what the kernel makes of it: a look
/// and falling asleep in one, and awake after the next [`wake_sleeper`]. A lost ring is found by the checker, as an execution that
/// never ends.
pub(crate) fn sleep_for_ring(bell: &AtomicU32, expected: u32, timeout: Duration, _: impl FnOnce()) {
    const FOR_EVER: Duration = Duration::from_secs(3600);
    let raw = bell.raw();
    if timeout < FOR_EVER || !raw.is_explored() || std::thread::panicking() {
        return sleep(timeout);
    }
    // what cannot be there: the newest value, and nothing is stored
    let look = Update::CompareExchange(u64::MAX, u64::MAX);
    if checker::update(raw, look, Ordering::Relaxed, Ordering::Relaxed) == Err(expected as u64) {
        let rings = || RINGS.with_borrow(|rings| rings.get(&raw.at).copied());
        let before = rings();
        while rings() == before {
            checker::pause();
        }
    }
}

/// Wakes who sleeps at this bell now.
pub(crate) fn wake_sleeper(bell: &AtomicU32, _: impl FnOnce()) {
    RINGS.with_borrow_mut(|rings| *rings.entry(bell.raw().at).or_insert(0) += 1);
}

/// Keeps threads apart and orders nothing of the segment between them: between processes there is none.
#[derive(Debug, Default)]
pub struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// See [`std::sync::Mutex::lock`].
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        loop {
            match self.0.try_lock() {
                Ok(guard) => return Ok(guard),
                Err(TryLockError::Poisoned(poison)) => return Err(poison),
                Err(TryLockError::WouldBlock) => {
                    assert!(!std::thread::panicking(), "a thread that fails waits for one that stands still");
                    pause();
                }
            }
        }
    }
}
