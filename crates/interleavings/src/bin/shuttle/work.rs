//! What threads do to a heap, and what they note of it.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use coheap_interleavings::history::{Action, Event, State, is_linearizable};
use coheap_interleavings::{heap, join, load, object, store};
use coheap_objects::key::Key;
use coheap_objects::mapkey::MapKey;
use coheap_objects::{Cell as Value, Tag, map, record};
use coheap_queue::Channel;
use coheap_segment::primitive::model::{self, Died};
use coheap_segment::{Off, Segment, Status, StatusWord};
use coheap_txn::{Ctx, Res, TxnOptions};
use shuttle::rand::{Rng, thread_rng};

/// One thing to do: the verbs of [`Action`].
#[derive(Clone, Copy, Debug)]
pub enum Do {
    Add(usize),
    Get(usize),
    Move(usize, usize),
    Audit,
    Set(u64, u64),
    Delete(u64),
    Lookup(u64),
    Put(&'static [u64]),
    Take(usize),
    Requeue,
    /// Buries the dead.
    Sweep,
}

/// What a fresh heap holds in each of its objects.
const EACH: u64 = 10;
const OBJECTS: usize = 3;

/// A heap with some objects, a map, and a channel.
pub struct World {
    segment: Arc<Segment>,
    objects: Vec<Off>,
    map: Off,
    channel: Channel,
    events: RefCell<Vec<Event>>,
    now: Cell<u64>,
}

/// What a thread gives to another one of the same model. All of them run on one thread of the system.
struct Moved<T>(T);

// SAFETY: shuttle runs the threads of a model as coroutines of one thread of the system; what is in here never leaves
// that one.
unsafe impl<T> Send for Moved<T> {}

impl<T> Moved<T> {
    fn take(self) -> T {
        self.0
    }
}

fn number(n: u64) -> Value {
    Value::number(n as f64)
}

impl World {
    fn new(participants: u32) -> (World, Ctx) {
        let segment = heap(participants);
        let mut ctx = join(&segment);
        let objects = (0..OBJECTS).map(|_| object(&mut ctx, 1, EACH)).collect();
        let map = ctx.write(|m| map::create(m, Tag::Map)).expect("room for a map");
        // hung up where `verify` finds it
        let pairs = [(Key::string("map"), Value::reference(Tag::Map, map))];
        let root = ctx.write(|m| record::create_with(m, false, &pairs)).expect("room for a root");
        segment.header().root.store(root, SeqCst);
        let channel = Channel::open(&mut ctx, "c", None, false).expect("room for a channel");
        let world = World { segment, objects, map, channel, events: RefCell::default(), now: Cell::new(0) };
        (world, ctx)
    }

    fn tick(&self) -> u64 {
        self.now.set(self.now.get() + 1);
        self.now.get()
    }

    fn note(&self, began: u64, ended: u64, action: Action) {
        self.events.borrow_mut().push(Event { began, ended, action });
    }

    /// Does one thing and notes it.
    fn perform(&self, ctx: &mut Ctx, what: Do) {
        if let Do::Sweep = what {
            return coheap_txn::sweep(&self.segment).expect("a heap that makes sense");
        }
        let began = self.tick();
        let done = self.act(ctx, what).unwrap_or_else(|fault| panic!("{what:?}: {fault:?}"));
        self.note(began, self.tick(), done);
    }

    fn act(&self, ctx: &mut Ctx, what: Do) -> Res<Action> {
        Ok(match what {
            Do::Add(i) => Action::Add(
                i,
                Some(ctx.write(|m| {
                    let old = load(m, self.objects[i])?;
                    store(m, self.objects[i], old + 1)?;
                    Ok(old)
                })?),
            ),
            Do::Get(i) => Action::Get(i, Some(ctx.read(|m| load(m, self.objects[i]))?)),
            Do::Move(a, b) => {
                let (from, to) = (self.objects[a], self.objects[b]);
                let moved = ctx.transaction(TxnOptions::default(), |ctx| {
                    let before = (ctx.read(|m| load(m, from))?, ctx.read(|m| load(m, to))?);
                    ctx.write(|m| store(m, from, before.0 - 1))?;
                    ctx.write(|m| store(m, to, before.1 + 1))?;
                    Ok(before)
                });
                Action::Move(a, b, Some(moved?))
            }
            Do::Audit => {
                let seen = ctx.transaction(TxnOptions::default(), |ctx| {
                    self.objects.iter().map(|&x| ctx.read(|m| load(m, x))).collect()
                });
                Action::Audit(Some(seen?))
            }
            Do::Set(key, value) => {
                let k = MapKey::number(key as f64);
                let was = ctx.write(|m| map::set(m, self.map, &k, |m| k.build(m), number(value)));
                Action::Set(key, value, Some(was?))
            }
            Do::Delete(key) => {
                let k = MapKey::number(key as f64);
                Action::Delete(key, Some(ctx.write(|m| map::delete(m, self.map, &k))?))
            }
            Do::Lookup(key) => {
                let k = MapKey::number(key as f64);
                let value = ctx.read(|m| map::get(m, self.map, &k))?;
                let value = value.map(|(cell, _)| cell.as_number().expect("a number") as u64);
                Action::Lookup(key, Some(value))
            }
            Do::Put(values) => {
                let cells: Vec<Value> = values.iter().map(|&n| number(n)).collect();
                let n = self.channel.put_many(ctx, &cells)?;
                assert_eq!(n, cells.len(), "a channel without a limit is full");
                Action::Put(values.to_vec(), Some(true))
            }
            Do::Take(most) => {
                let taken = if most == 1 {
                    self.channel.try_take(ctx, |_, _, cell| Ok(cell))?.into_iter().collect()
                } else {
                    self.channel.take_many(ctx, most, |_, _, cell| Ok(cell))?
                };
                let taken = taken.iter().map(|cell: &Value| cell.as_number().expect("a number") as u64);
                Action::Take(most, Some(taken.collect()))
            }
            Do::Requeue => {
                let moved = ctx.transaction(TxnOptions::default(), |ctx| {
                    let taken = self.channel.try_take(ctx, |_, _, cell| Ok(cell.as_number()))?;
                    let taken = taken.map(|n| n.expect("a number") as u64);
                    if let Some(n) = taken {
                        assert!(self.channel.try_put(ctx, number(n + 100))?);
                    }
                    Ok(taken)
                });
                Action::Requeue(Some(moved?))
            }
            Do::Sweep => unreachable!("not an operation of the history"),
        })
    }

    /// As [`Action`], cut short.
    fn cut(what: Do) -> Option<Action> {
        Some(match what {
            Do::Add(i) => Action::Add(i, None),
            Do::Get(i) => Action::Get(i, None),
            Do::Move(a, b) => Action::Move(a, b, None),
            Do::Audit => Action::Audit(None),
            Do::Set(key, value) => Action::Set(key, value, None),
            Do::Delete(key) => Action::Delete(key, None),
            Do::Lookup(key) => Action::Lookup(key, None),
            Do::Put(values) => Action::Put(values.to_vec(), None),
            Do::Take(most) => Action::Take(most, None),
            Do::Requeue => Action::Requeue(None),
            Do::Sweep => return None,
        })
    }
}

/// Does the work of one thread, which dies before its access number `death`, if that comes.
fn labour(world: &World, ctx: &mut Ctx, work: &[Do], death: Option<u64>) {
    if let Some(n) = death {
        model::die_after(n);
    }
    for &what in work {
        let began = world.tick();
        let result = catch_unwind(AssertUnwindSafe(|| world.perform(ctx, what)));
        if let Err(panic) = result {
            if !panic.is::<Died>() {
                resume_unwind(panic);
            }
            if let Some(action) = World::cut(what) {
                world.note(began, u64::MAX, action);
            }
            // what the kernel does for a process: its life ends
            const ABANDONED: u64 = 3;
            world.segment.participant(ctx.participant()).state.fetch_or(ABANDONED, SeqCst);
            return;
        }
    }
    model::live_on();
}

/// One execution: the threads do their work, then the dead are buried and everything is looked at.
pub fn execute(before: &[Do], threads: &[&'static [Do]], deaths_within: u64) {
    // all rows and slots are there, so that joining is no part of it
    let (world, mut own) = World::new(threads.len() as u32 + 1);
    let world = Rc::new(world);
    for &what in before {
        world.perform(&mut own, what);
    }
    let death = (deaths_within > 0).then(|| thread_rng().gen_range(0..deaths_within));
    let contexts: Vec<Rc<RefCell<Ctx>>> =
        threads.iter().map(|_| Rc::new(RefCell::new(join(&world.segment)))).collect();
    let len = world.segment.plan().max_size;
    let base = world.segment.bytes(0, len).expect("all of an anonymous segment is there");
    model::begin(base, len as usize);
    let running: Vec<_> = threads
        .iter()
        .zip(&contexts)
        .enumerate()
        .map(|(i, (&work, ctx))| {
            let moved = Moved((world.clone(), ctx.clone()));
            let death = death.filter(|_| i == 0);
            shuttle::thread::spawn(move || {
                let (world, ctx) = moved.take();
                labour(&world, &mut ctx.borrow_mut(), work, death);
            })
        })
        .collect();
    for thread in running {
        if let Err(panic) = thread.join() {
            resume_unwind(panic);
        }
    }
    model::end();
    let disorder = deaths_within > 0 || threads.concat().iter().any(|what| matches!(what, Do::Requeue));
    world.finish(&mut own, threads.concat().iter().chain(before), disorder);
}

impl World {
    /// Buries the dead, reads all that there is as further operations, and judges the history.
    fn finish<'a>(&self, ctx: &mut Ctx, work: impl Iterator<Item = &'a Do>, disorder: bool) {
        coheap_txn::sweep(&self.segment).expect("a heap that makes sense");
        assert_eq!(self.segment.dead_participants(), [], "the dead are not buried");
        for slot in 1..=self.segment.plan().slots as u16 {
            let record = self.segment.slot(slot).expect("a slot");
            let status = StatusWord(record.status.load(SeqCst)).status();
            let at_rest = status == Some(Status::Idle) && record.building.load(SeqCst).is_multiple_of(2);
            assert!(at_rest, "slot {slot} is left in the middle of something");
        }
        let violations = coheap_heap::verify::verify(&self.segment);
        assert!(violations.is_empty(), "{violations:x?}");
        self.perform(ctx, Do::Audit);
        let mut keys: Vec<u64> =
            work.filter_map(|what| if let Do::Set(key, _) = what { Some(*key) } else { None }).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            self.perform(ctx, Do::Lookup(key));
        }
        self.perform(ctx, Do::Take(100));
        let before = State { objects: vec![EACH; OBJECTS], disorder, ..State::default() };
        let events = self.events.borrow();
        assert!(is_linearizable(&before, &events), "no order of these fits: {events:?}");
    }
}
