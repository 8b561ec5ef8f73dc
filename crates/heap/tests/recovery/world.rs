//! The heap of the storms, what is done in it, and what must be true of it at any time.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use coheap_heap::{Array, Channel, Code, Data, Error, Heap, Map, Record, Result, TxnOptions, Value};
use coheap_history::{Operation, Step};

use crate::book::{Book, Entry};
use crate::clock::now;
use crate::dice::Dice;

/// Accounts, each with this at the start.
const ACCOUNTS: u32 = 12;
const EACH: f64 = 1000.0;
/// Messages that go round between two channels, a transaction a step.
const TOKENS: u32 = 40;
/// The capacities of these two, and of two others.
const THERE: u64 = 60;
const BACK: u64 = 30;
const NARROW: u64 = 30;
const STACK: u64 = 100;
/// An unbounded channel with more than this is only taken from.
const MANY: u64 = 300;
/// Lists of the history that are in use at a time; a longer one is left behind.
const WINDOW: u64 = 5;
const LONG: usize = 24;
/// A map that has grown so far is cut down again.
const LARGE: f64 = 1500.0;
/// What texts are made of.
const TEXT: &str = "another text ";

/// Undoes a transaction that cannot put.
const NO_ROOM: Error = Error::new(Code::Timeout, "there is no room");
/// Undoes a transaction for the sake of it.
const ON_PURPOSE: Error = Error::new(Code::Timeout, "undone on purpose");

/// A name that no other test uses, removed when dropped.
pub struct Name(pub String);

impl Name {
    pub fn new() -> Name {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Name(format!("dead-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = Heap::unlink(&self.0, None);
    }
}

/// Who does something.
pub struct Actor {
    pub process: u64,
    pub dice: Dice,
    pub book: Book,
    /// Messages that it has made, and operations on lists.
    pub count: u64,
}

/// The number of a message: who made it, and its how manyeth it is. Below 2⁵³.
fn message(process: u64, count: u64) -> u64 {
    process << 32 | count
}

/// Who made a message.
pub fn sender(message: u64) -> u64 {
    message >> 32
}

/// A value of the history, a whole number below 2⁵³, says which operation appended it and how many others belong to it. So
/// what is there of an operation that nobody has written down (its process was killed) is known to be all of it.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Below 2¹⁸.
    process: u64,
    /// Which of its operations, below 2²⁷.
    count: u64,
    index: u64,
    /// The number of its appends, at most 15.
    pub of: u64,
}

impl Mark {
    fn value(self) -> u64 {
        self.process << 35 | self.count << 8 | self.index << 4 | self.of
    }

    pub fn of(value: u64) -> Mark {
        Mark { process: value >> 35, count: value >> 8 & 0x7ff_ffff, index: value >> 4 & 15, of: value & 15 }
    }

    pub fn operation(self) -> (u64, u64) {
        (self.process, self.count)
    }
}

/// A message's number as a value: a number, a short text or a long one.
fn envelope(id: u64) -> Data {
    match id % 3 {
        0 => Data::Number(id as f64),
        1 => id.to_string().into(),
        _ => format!("{id} {}", TEXT.repeat((id % 40) as usize)).into(),
    }
}

fn number_of(value: &Value) -> Result<u64> {
    match value {
        Value::Number(id) => Ok(*id as u64),
        text => {
            let text = text.str()?;
            let id = text.split(' ').next().and_then(|id| id.parse().ok());
            Ok(id.unwrap_or_else(|| panic!("a message that nobody has put: {text:?}")))
        }
    }
}

/// The objects of the heap, for one thread.
pub struct World {
    heap: Heap,
    accounts: Vec<Record>,
    list: Array,
    map: Map,
    counts: Record,
    record: Record,
    loose: Map,
    texts: Array,
    lists: Array,
    there: Channel,
    back: Channel,
    jobs: Channel,
    narrow: Channel,
    wide: Channel,
    stack: Channel,
    reports: Channel,
}

fn add(record: &Record, key: &str, by: f64) -> Result<()> {
    let now = record.get(key)?.number()?;
    record.set(key, now + by)
}

impl World {
    /// Fills a new heap.
    pub fn make(heap: &Heap) -> Result<()> {
        let root = heap.root();
        let account = || Data::object([("balance", EACH.into())]);
        let empty = || Data::array(Vec::<Data>::new());
        root.set("accounts", Data::array((0..ACCOUNTS).map(|_| account())))?;
        root.set("list", empty())?;
        root.set("map", Data::map())?;
        root.set("loose", Data::map())?;
        root.set("record", Data::object(Vec::<(String, Data)>::new()))?;
        root.set("texts", Data::array((0..8).map(|_| Data::from(TEXT))))?;
        root.set("lists", Data::array((0..WINDOW).map(|_| empty())))?;
        let counts = ["list", "map", "put", "taken", "first"].map(|name| (name, 0.0.into()));
        root.set("counts", Data::object(counts))?;
        let world = World::of(heap)?;
        for token in 0..TOKENS {
            world.there.try_put(token as f64)?;
        }
        Ok(())
    }

    pub fn of(heap: &Heap) -> Result<World> {
        let root = heap.root();
        let accounts = root.get("accounts")?.array()?;
        let channel = |name, capacity, lifo| heap.channel(name, capacity, lifo);
        Ok(World {
            heap: heap.clone(),
            accounts: (0..ACCOUNTS).map(|i| accounts.get(i)?.record()).collect::<Result<_>>()?,
            list: root.get("list")?.array()?,
            map: root.get("map")?.map()?,
            counts: root.get("counts")?.record()?,
            record: root.get("record")?.record()?,
            loose: root.get("loose")?.map()?,
            texts: root.get("texts")?.array()?,
            lists: root.get("lists")?.array()?,
            there: channel("there", Some(THERE), false)?,
            back: channel("back", Some(BACK), false)?,
            jobs: channel("jobs", None, false)?,
            narrow: channel("narrow", Some(NARROW), false)?,
            wide: channel("wide", None, false)?,
            stack: channel("stack", Some(STACK), true)?,
            reports: channel("reports", None, false)?,
        })
    }

    /// One operation or transaction.
    pub fn step(&self, actor: &mut Actor) -> Result<()> {
        match actor.dice.roll(22) {
            0..=2 => self.transfer(&mut actor.dice),
            3 => self.grow_list(&mut actor.dice),
            4 => self.shrink_list(),
            5 | 6 => self.grow_map(&mut actor.dice),
            7 => self.travel(&mut actor.dice),
            8 => self.job(actor),
            9 => self.properties(&mut actor.dice),
            10 => self.loose_keys(&mut actor.dice),
            11 => self.text(&mut actor.dice),
            12 => self.report(actor),
            13 => self.put(actor),
            14 => self.take(actor),
            15 => self.carry(&mut actor.dice),
            _ => self.append(actor),
        }
    }

    /// The sum of all accounts: of any attempt that gets to its end, also of one that will be aborted.
    fn sum(&self) -> Result<f64> {
        self.accounts.iter().map(|account| account.get("balance")?.number()).sum()
    }

    fn transfer(&self, dice: &mut Dice) -> Result<()> {
        let n = self.accounts.len() as u64;
        let (from, to) = (dice.roll(n) as usize, dice.roll(n) as usize);
        let amount = dice.roll(50) as f64;
        let options = TxnOptions { reserve_reads: dice.roll(4) == 0, ..TxnOptions::default() };
        let (undo, look) = (dice.roll(8) == 0, dice.roll(4) == 0);
        let moved = self.heap.transaction_with(options, |_| {
            add(&self.accounts[from], "balance", -amount)?;
            if look {
                assert_eq!(self.sum()?, ACCOUNTS as f64 * EACH - amount, "half a transfer was seen");
            }
            if undo {
                return Err(ON_PURPOSE);
            }
            add(&self.accounts[to], "balance", amount)
        });
        if moved == Err(ON_PURPOSE) { Ok(()) } else { moved }
    }

    fn grow_list(&self, dice: &mut Dice) -> Result<()> {
        let n = dice.roll(5);
        self.heap.transaction(|_| {
            for i in 0..n {
                self.list.push(i as f64)?;
            }
            add(&self.counts, "list", n as f64)
        })
    }

    fn shrink_list(&self) -> Result<()> {
        self.heap.transaction(|_| {
            let mut n = 0.0;
            while n < 3.0 && self.list.shift()?.is_some() {
                n += 1.0;
            }
            add(&self.counts, "list", -n)
        })
    }

    /// Inserts and deletes, and deletes many when there are many, so that the table grows and shrinks.
    fn grow_map(&self, dice: &mut Dice) -> Result<()> {
        let first = dice.roll(4000);
        let few = 1 + dice.roll(6);
        self.heap.transaction(|_| {
            let full = self.counts.get("map")?.number()? > LARGE;
            let n = if full { 300 } else { few };
            let mut by = 0.0;
            for i in first..first + n {
                let key = format!("the key with number {}", i % 4000);
                if self.map.delete(key.as_str())? {
                    by -= 1.0;
                } else if !full {
                    self.map.set(key.as_str(), key.as_str())?;
                    by += 1.0;
                }
            }
            add(&self.counts, "map", by)
        })
    }

    /// Moves tokens between two channels, in order.
    fn travel(&self, dice: &mut Dice) -> Result<()> {
        let (from, to) = match dice.roll(2) {
            0 => (&self.there, &self.back),
            _ => (&self.back, &self.there),
        };
        let n = 1 + dice.roll(3);
        let moved = self.heap.transaction(|_| {
            for _ in 0..n {
                let Some(token) = from.try_take()? else { break };
                if !to.try_put(token.number()?)? {
                    return Err(NO_ROOM);
                }
            }
            Ok(())
        });
        if moved == Err(NO_ROOM) { Ok(()) } else { moved }
    }

    /// Puts or takes in a transaction that also counts.
    fn job(&self, actor: &mut Actor) -> Result<()> {
        let put = actor.dice.roll(2) == 0 && self.jobs.len()? < MANY;
        let n = 1 + actor.dice.roll(4) as usize;
        self.heap.transaction(|_| {
            if put {
                let done = self.jobs.put_many((0..n).map(|i| envelope(i as u64)))?;
                add(&self.counts, "put", done as f64)
            } else {
                let done = self.jobs.take_many(n)?.len();
                add(&self.counts, "taken", done as f64)
            }
        })
    }

    fn properties(&self, dice: &mut Dice) -> Result<()> {
        let key = format!("key {}", dice.roll(40));
        if dice.roll(4) == 0 {
            self.record.delete(&key).map(drop)
        } else {
            self.record.set(&key, key.as_str())
        }
    }

    fn loose_keys(&self, dice: &mut Dice) -> Result<()> {
        let key = dice.roll(300) as f64;
        if dice.roll(3) == 0 {
            self.loose.delete(key).map(drop)
        } else {
            self.loose.set(key, "a text that does not fit into a cell")
        }
    }

    fn text(&self, dice: &mut Dice) -> Result<()> {
        let (from, to) = (dice.roll(8) as u32, dice.roll(8) as u32);
        if dice.roll(2) == 0 {
            return self.texts.set(to, TEXT.repeat(dice.roll(300) as usize).as_str());
        }
        self.heap.transaction(|_| {
            let text = self.texts.get(from)?;
            self.texts.set(to, text.str()?)
        })
    }

    fn messages(&self, actor: &mut Actor) -> Vec<u64> {
        let n = if actor.dice.roll(2) == 0 { 1 } else { 2 + actor.dice.roll(6) };
        let first = actor.count + 1;
        actor.count += n;
        (first..first + n).map(|count| message(actor.process, count)).collect()
    }

    fn send(&self, actor: &mut Actor, channel: &Channel, inside: bool) -> Result<()> {
        let ids = self.messages(actor);
        actor.book.write(Entry::Putting(ids.clone()));
        let put = || match ids[..] {
            [one] => Ok(channel.try_put(envelope(one))? as usize),
            _ => channel.put_many(ids.iter().map(|&id| envelope(id))),
        };
        let done = if inside { self.heap.transaction(|_| put())? } else { put()? };
        actor.book.write(Entry::Put(done));
        Ok(())
    }

    /// To the survivor, who alone takes these.
    fn report(&self, actor: &mut Actor) -> Result<()> {
        let inside = actor.dice.roll(2) == 0;
        self.send(actor, &self.reports, inside)
    }

    fn some_channel(&self, dice: &mut Dice) -> &Channel {
        [&self.narrow, &self.wide, &self.stack][dice.roll(3) as usize]
    }

    fn put(&self, actor: &mut Actor) -> Result<()> {
        let channel = self.some_channel(&mut actor.dice);
        if channel.len()? > MANY {
            return Ok(());
        }
        let inside = actor.dice.roll(3) == 0;
        self.send(actor, channel, inside)
    }

    fn take(&self, actor: &mut Actor) -> Result<()> {
        let channel = self.some_channel(&mut actor.dice);
        let n = if actor.dice.roll(2) == 0 { 1 } else { 2 + actor.dice.roll(6) as usize };
        let inside = actor.dice.roll(3) == 0;
        actor.book.write(Entry::Taking(n));
        let take = || match n {
            1 => Ok(channel.try_take()?.into_iter().collect()),
            _ => channel.take_many(n),
        };
        let taken = if inside { self.heap.transaction(|_| take())? } else { take()? };
        actor.book.write(Entry::Took(taken.iter().map(number_of).collect::<Result<_>>()?));
        Ok(())
    }

    /// From one channel into another, in a transaction: nothing is at risk.
    fn carry(&self, dice: &mut Dice) -> Result<()> {
        let (from, to) = (self.some_channel(dice), self.some_channel(dice));
        let n = 1 + dice.roll(4) as usize;
        let carried = self.heap.transaction(|_| {
            let ids: Vec<u64> = from.take_many(n)?.iter().map(number_of).collect::<Result<_>>()?;
            match to.put_many(ids.iter().map(|&id| envelope(id)))? == ids.len() {
                true => Ok(()),
                false => Err(NO_ROOM),
            }
        });
        if carried == Err(NO_ROOM) { Ok(()) } else { carried }
    }

    /// One operation of the history: reads and appends, in every mode that there is.
    fn append(&self, actor: &mut Actor) -> Result<()> {
        let first = self.counts.get("first")?.number()? as u64;
        let dice = &mut actor.dice;
        let list = |dice: &mut Dice| first + dice.roll(WINDOW);
        let mode = dice.roll(7);
        let (reads, writes): (Vec<u64>, Vec<u64>) = match mode {
            0 => (vec![list(dice)], vec![]),
            1 => (vec![], vec![list(dice)]),
            _ => {
                let (reads, writes) = (dice.roll(4), dice.roll(3));
                ((0..reads).map(|_| list(dice)).collect(), (0..writes).map(|_| list(dice)).collect())
            }
        };
        actor.count += 1;
        let value = |index: usize| {
            let of = writes.len() as u64;
            Mark { process: actor.process, count: actor.count, index: index as u64, of }.value()
        };
        let writes: Vec<(u64, u64)> = writes.iter().enumerate().map(|(i, &list)| (list, value(i))).collect();
        let reads_first = dice.roll(2) == 0;
        let body = |_: &Heap| {
            let mut steps = Vec::new();
            if reads_first {
                self.read_lists(&reads, &mut steps)?;
            }
            for &(list, value) in &writes {
                self.lists.get(list as u32)?.array()?.push(value as f64)?;
                steps.push(Step::Append(list, value));
            }
            if !reads_first {
                self.read_lists(&reads, &mut steps)?;
            }
            Ok(steps)
        };
        let start = now();
        let (steps, aborted) = match mode {
            0 | 1 => (body(&self.heap)?, false),
            2 | 3 => self.explicit(dice, body)?,
            4 => {
                let mut done = Vec::new();
                let undone = self.heap.transaction(|heap| {
                    done = body(heap)?;
                    Err::<(), _>(ON_PURPOSE)
                });
                assert_eq!(undone, Err(ON_PURPOSE));
                (done, true)
            }
            mode => {
                let options = TxnOptions { reserve_reads: mode == 5, ..TxnOptions::default() };
                (self.heap.transaction_with(options, body)?, false)
            }
        };
        let full = steps.iter().any(|step| match step {
            Step::Read(list, values) => *list == first && values.len() >= LONG,
            _ => false,
        });
        actor.book.write(Entry::History(Operation { start, end: now(), steps, aborted }));
        if full { self.leave_behind(first) } else { Ok(()) }
    }

    fn read_lists(&self, lists: &[u64], steps: &mut Vec<Step>) -> Result<()> {
        for &list in lists {
            steps.push(Step::Read(list, self.read_list(list)?));
        }
        Ok(())
    }

    fn read_list(&self, list: u64) -> Result<Vec<u64>> {
        let values = self.lists.get(list as u32)?.array()?.to_vec()?;
        values.iter().map(|value| Ok(value.number()? as u64)).collect()
    }

    /// An explicit transaction that may dawdle, and may be given up: then it is as if undone on purpose.
    fn explicit(
        &self,
        dice: &mut Dice,
        body: impl Fn(&Heap) -> Result<Vec<Step>>,
    ) -> Result<(Vec<Step>, bool)> {
        let tx = self.heap.begin(TxnOptions { max_hold_ms: dice.roll(3), ..TxnOptions::default() })?;
        for _ in 0..3 {
            let done = tx.run(&body);
            if dice.roll(16) == 0 {
                std::thread::sleep(Duration::from_micros(dice.roll(3000)));
            }
            match done.and_then(|steps| tx.commit().map(|()| steps)) {
                Ok(steps) => return Ok((steps, false)),
                Err(error) if error.code == Code::Aborted => tx.restart()?,
                Err(error) => return Err(error),
            }
        }
        Ok((Vec::new(), true))
    }

    fn leave_behind(&self, first: u64) -> Result<()> {
        self.heap.transaction(|_| {
            if self.counts.get("first")?.number()? as u64 == first {
                self.lists.push(Data::array(Vec::<Data>::new()))?;
                self.counts.set("first", (first + 1) as f64)?;
            }
            Ok(())
        })
    }

    /// What workers have reported since the last look.
    pub fn reports(&self) -> Result<Vec<u64>> {
        self.reports.take_many(1000)?.iter().map(number_of).collect()
    }

    /// All lists of the history.
    pub fn all_lists(&self) -> Result<Vec<Vec<u64>>> {
        (0..self.lists.len()?).map(|list| self.read_list(list as u64)).collect()
    }

    /// What must be true at any moment, of each structure by itself.
    pub fn check(&self) -> Result<()> {
        assert_eq!(self.heap.transaction(|_| self.sum())?, ACCOUNTS as f64 * EACH);
        let count = |key| self.counts.get(key)?.number();
        let lengths = self.heap.transaction(|_| {
            Ok((count("list")?, self.list.len()? as f64, self.list.to_vec()?.len() as f64))
        })?;
        assert!(lengths.0 == lengths.1 && lengths.1 == lengths.2, "{lengths:?} in the list");
        let sizes = self.heap.transaction(|_| {
            Ok((count("map")?, self.map.size()? as f64, self.map.entries()?.len() as f64))
        })?;
        assert!(sizes.0 == sizes.1 && sizes.1 == sizes.2, "{sizes:?} in the map");
        let tokens = self.heap.transaction(|_| Ok(self.there.len()? + self.back.len()?))?;
        assert_eq!(tokens, TOKENS as u64);
        let jobs =
            self.heap.transaction(|_| Ok((count("put")? - count("taken")?, self.jobs.len()? as f64)))?;
        assert_eq!(jobs.0, jobs.1, "jobs");
        for key in self.record.keys()? {
            let value = self.record.get(&key)?;
            assert!(value.is_undefined() || value.str()? == key, "{key}");
        }
        for text in self.texts.to_vec()? {
            let text = text.str()?;
            assert!(text.len() % TEXT.len() == 0 && text == TEXT.repeat(text.len() / TEXT.len()), "{text}");
        }
        Ok(())
    }

    /// Takes what is left in the channels, when all others are gone, and gives the messages whose ways are in the books. Each
    /// token is there once.
    pub fn drain(&self) -> Result<Vec<u64>> {
        let mut tokens = HashSet::new();
        for channel in [&self.there, &self.back] {
            for token in channel.take_many(usize::MAX)? {
                assert!(tokens.insert(token.number()? as u32), "token {token:?} twice");
            }
        }
        assert_eq!(tokens.len(), TOKENS as usize);
        while !self.jobs.take_many(1000)?.is_empty() {}
        let mut left = Vec::new();
        for channel in [&self.narrow, &self.wide, &self.stack] {
            for message in channel.take_many(usize::MAX)? {
                left.push(number_of(&message)?);
            }
        }
        Ok(left)
    }
}
