//! [`Heap`]: one thread's membership of a heap.

use std::cell::{Cell as Counter, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use coheap_objects::cell::Cell;
use coheap_objects::{graph, value as by_value};
use coheap_segment::{Code, Error, Info, ParticipantInfo, Result, Segment};
use coheap_txn::{Ctx, Fault, Guard, HandleTable, Mem, Res, TxnOptions};

use crate::channel::Channel;
use crate::data::Data;
use crate::deaths::{Deaths, Watcher};
use crate::live::{Object, Record};
use crate::open::{self, Mode, Options};
use crate::stats::{self, Stats};
use crate::transaction::Transaction;
use crate::value::Value;
use crate::verify::{self, Violation};

/// One thread's membership of a heap. It ends when this and all values that were read through it are dropped. Another
/// thread opens the heap for itself.
///
/// ```
/// use coheap_heap::{Data, Heap, Options};
///
/// let name = format!("doc-{}", std::process::id());
/// let heap = Heap::create(&name, &Options::default())?;
/// heap.root().set("users", Data::object([("alice", Data::object([("score", 1.0.into())]))]))?;
///
/// // another thread, another process, or a Node program: the same objects
/// let other = std::thread::spawn(move || {
///     let heap = Heap::open(&name, &Options::default())?;
///     let alice = heap.root().get("users")?.record()?.get("alice")?.record()?;
///     heap.transaction(|_| {
///         let score = alice.get("score")?.number()?;
///         alice.set("score", score + 41.0)
///     })
/// });
/// other.join().unwrap()?;
///
/// let alice = heap.root().get("users")?.record()?.get("alice")?.record()?;
/// assert_eq!(alice.get("score")?.number()?, 42.0);
/// # Ok::<(), coheap_heap::Error>(())
/// ```
#[derive(Clone)]
pub struct Heap {
    pub(crate) inner: Rc<Inner>,
    root: Record,
}

/// What a heap's values hold on to.
pub(crate) struct Inner {
    pub(crate) ctx: RefCell<Ctx>,
    pub(crate) handles: HandleTable,
    /// Handles that were published so far: an operation looks whether it has.
    pub(crate) published: Counter<u64>,
}

/// Ends an operation that needs more handles than the table has room for.
pub(crate) const NO_ROOM: Fault = Fault::Error(Error::new(Code::OutOfMemory, "the handle table is full"));
/// Room that is made then.
const MORE_HANDLES: usize = 64;

impl Inner {
    /// Runs something with room for the handles that it publishes, and looks whether they count.
    pub(crate) fn run<T>(&self, mut f: impl FnMut(&mut Ctx) -> Res<T>) -> Result<T> {
        let mut ctx = self
            .ctx
            .try_borrow_mut()
            .map_err(|_| Error::new(Code::InvalidArgument, "a call inside a call"))?;
        let before = self.published.get();
        let mut room = MORE_HANDLES;
        let result = loop {
            match f(&mut ctx) {
                Err(NO_ROOM) => {
                    ctx.reserve_handles(room)?;
                    room *= 2;
                }
                Ok(out) if self.published.get() != before => break ctx.revalidate().map(|()| out),
                result => break result,
            }
        };
        if result.is_err() {
            ctx.discard();
        }
        result.map_err(Fault::error)
    }

    /// One validated read.
    pub(crate) fn read<T>(&self, mut f: impl FnMut(&mut dyn Mem) -> Res<T>) -> Result<T> {
        self.run(|ctx| ctx.read(&mut f))
    }

    /// One atomic change.
    pub(crate) fn write<T>(&self, mut f: impl FnMut(&mut dyn Mem) -> Res<T>) -> Result<T> {
        self.run(|ctx| ctx.write(&mut f))
    }

    /// Copies a value in; its blocks are pending until the next change takes them.
    pub(crate) fn build(&self, data: &Data) -> Result<Cell> {
        let (wire, live) = data.encode();
        self.run(|ctx| {
            ctx.build(|m| {
                graph::build(m, &wire, &mut |i| match live.get(i as usize) {
                    Some(object) => object.cell(self),
                    None => Err(Error::new(Code::InvalidArgument, "no such object").into()),
                })
            })
        })
    }
}

impl Heap {
    /// Makes a heap and joins it. `ERR_COHEAP_EXISTS` if there is one of this name. Blocks while others create or remove
    /// this name.
    pub fn create(name: &str, options: &Options) -> Result<Heap> {
        Heap::join(Mode::Create, name, options)
    }

    /// Joins a heap. `ERR_COHEAP_NOT_FOUND` if there is none.
    pub fn open(name: &str, options: &Options) -> Result<Heap> {
        Heap::join(Mode::Open, name, options)
    }

    /// Joins the heap of this name, making it if there is none.
    pub fn open_or_create(name: &str, options: &Options) -> Result<Heap> {
        Heap::join(Mode::OpenOrCreate, name, options)
    }

    /// Waits until there is a heap of this name, and joins it. `ERR_COHEAP_TIMEOUT`. Blocks.
    pub fn connect(name: &str, options: &Options, timeout: Duration) -> Result<Heap> {
        Heap::with(open::join(&open::connect(name, options, timeout)?, options)?)
    }

    fn join(mode: Mode, name: &str, options: &Options) -> Result<Heap> {
        Heap::with(open::join(&open::segment(mode, name, options)?, options)?)
    }

    fn with(ctx: Ctx) -> Result<Heap> {
        let handles = ctx.handle_table();
        let inner = Rc::new(Inner { ctx: RefCell::new(ctx), handles, published: Counter::new(0) });
        let root = inner.run(|ctx| {
            let cell = open::root_cell(ctx.segment())?;
            ctx.read(|m| Object::load(m, &inner, cell))
        })?;
        Ok(Heap { inner, root: Record(root) })
    }

    /// Every heap that this user may see; stale ones are marked.
    pub fn list(dir: Option<&Path>) -> Result<Vec<Info>> {
        open::list(dir)
    }

    /// Removes a name; false if there was none. A heap in use lives on until its last user leaves.
    pub fn unlink(name: &str, dir: Option<&Path>) -> Result<bool> {
        open::unlink(name, dir)
    }

    /// The segment that it lives in.
    pub fn segment(&self) -> Arc<Segment> {
        self.inner.ctx.borrow().segment().clone()
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.inner.ctx.borrow().segment().name().to_owned()
    }

    /// The root: an object that is the same for everyone, where a program hangs what it shares.
    pub fn root(&self) -> Record {
        self.root.clone()
    }

    /// Copies a value in and gives what can be done with it there: a container comes back live, linked nowhere yet.
    pub fn share(&self, data: impl Into<Data>) -> Result<Value> {
        let cell = self.inner.build(&data.into())?;
        let value = self.inner.read(|m| Value::load(m, Guard(cell.offset()), cell, &self.inner));
        self.inner.run(|ctx| {
            if cell.is_identity() {
                ctx.adopt();
            } else {
                ctx.discard();
            }
            Ok(())
        })?;
        value
    }

    /// Frees a live object at once, not what it refers to: its every later use, anywhere, is `ERR_COHEAP_DESTROYED`. Bytes
    /// stay with the Node programs that have views of them. Inside a transaction it is part of it.
    ///
    /// `ERR_COHEAP_INVALID_ARGUMENT` for the root, `ERR_COHEAP_WRONG_HEAP` for an object of another heap or opening.
    ///
    /// ```
    /// use coheap_heap::{Code, Data, Heap, Options};
    ///
    /// let heap = Heap::create(&format!("destroy-{}", std::process::id()), &Options::default())?;
    /// let job = heap.share(Data::instance("Job", [("id", 7.into())]))?.record()?;
    /// assert_eq!(job.class()?.as_deref(), Some("Job"));
    /// heap.root().set("job", job.clone())?;
    /// heap.destroy(job)?;
    /// let gone = heap.root().get("job")?.record()?;
    /// assert_eq!(gone.get("id").unwrap_err().code, Code::Destroyed);
    /// # Ok::<(), coheap_heap::Error>(())
    /// ```
    pub fn destroy(&self, object: impl Into<Object>) -> Result<()> {
        object.into().destroy(&self.inner, self.root.0.at())
    }

    /// Runs `body` in a transaction until it goes through: what it reads and writes is one moment, and nothing of it
    /// remains if it fails. It is run again after each conflict; errors must be handed on with `?`. Inside another
    /// transaction it is part of that one. May wait for an older transaction that it meets.
    pub fn transaction<T>(&self, body: impl FnMut(&Heap) -> Result<T>) -> Result<T> {
        self.transaction_with(TxnOptions::default(), body)
    }

    /// As [`Heap::transaction`], with options; `explicit` is for [`Heap::begin`].
    pub fn transaction_with<T>(
        &self,
        options: TxnOptions,
        mut body: impl FnMut(&Heap) -> Result<T>,
    ) -> Result<T> {
        if self.inner.ctx.borrow().in_transaction() {
            return body(self);
        }
        let options = TxnOptions { explicit: false, ..options };
        let tx = Transaction::begin(self, options)?;
        loop {
            match body(self).and_then(|out| tx.commit().map(|()| out)) {
                Err(error) if error.code == Code::Aborted && tx.is_beaten() => tx.restart()?,
                result => return result,
            }
        }
    }

    /// Begins an explicit transaction, whose steps are spread over time: what [`Transaction::run`] runs belongs to it,
    /// and nothing else that this thread does.
    pub fn begin(&self, options: TxnOptions) -> Result<Transaction> {
        Transaction::begin(self, TxnOptions { explicit: true, ..options })
    }

    /// The channel of this name. The first to name it decides on capacity (`None`: no bound) and order.
    pub fn channel(&self, name: &str, capacity: Option<u64>, lifo: bool) -> Result<Channel> {
        let channel = self.inner.run(|ctx| coheap_queue::Channel::open(ctx, name, capacity, lifo))?;
        Ok(Channel { channel, inner: self.inner.clone() })
    }

    /// Counts of the whole heap.
    pub fn stats(&self) -> Stats {
        stats::stats(self.inner.ctx.borrow().segment())
    }

    /// Everyone who has joined.
    pub fn participants(&self) -> Vec<ParticipantInfo> {
        stats::participants(self.inner.ctx.borrow().segment())
    }

    /// Deaths of participants, from now on: each [`Deaths::look`] buries the dead and tells who they were.
    pub fn deaths(&self) -> Deaths {
        Deaths::new(self.inner.ctx.borrow().segment())
    }

    /// Calls `died` on a thread of its own for each participant that dies, until the watcher is dropped: at the latest with
    /// the heap, which it must not outlive. One a heap and thread.
    pub fn on_death(&self, died: impl FnMut(ParticipantInfo) + Send + 'static) -> Result<Watcher> {
        let ctx = self.inner.ctx.borrow();
        Watcher::start(ctx.segment(), ctx.participant(), died)
    }

    /// Walks the heap and tells what cannot be.
    pub fn verify(&self) -> Vec<Violation> {
        verify::verify(self.inner.ctx.borrow().segment())
    }
}

/// Frees what a cell that was taken out of a container alone refers to.
pub(crate) fn free_taken<M: Mem + ?Sized>(m: &mut M, guard: Guard, cell: Cell) -> Res<()> {
    by_value::free(m, guard, cell)
}
