//! The heap of the storms, what workers do in it, and what must be true of it at any time.

use std::collections::HashSet;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use coheap_heap::{Array, Channel, Code, Data, Error, Heap, Map, Options, Record, Result};

const NAME: &str = "COHEAP_STORM_HEAP";
const SEED: &str = "COHEAP_STORM_SEED";

/// Accounts, each with this at the start.
const ACCOUNTS: u32 = 12;
const EACH: f64 = 1000.0;
/// Messages that go round between two channels, a transaction a step.
const TOKENS: u32 = 40;
/// Messages that are taken and put again by single operations.
const LONERS: u32 = 200;
/// The capacity of one of the two channels.
const CAPACITY: u64 = 30;

/// Undoes a transaction that cannot put.
const NO_ROOM: Error = Error::new(Code::Timeout, "there is no room");

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

pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Starts this test binary again as a worker.
pub fn start(name: &str, seed: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "worker", "--nocapture", "--test-threads=1"])
        .env(NAME, name)
        .env(SEED, seed.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Works until it is killed, or the process that started it is gone.
pub fn run() {
    let Ok(name) = std::env::var(NAME) else { return };
    let seed = std::env::var(SEED).unwrap().parse().unwrap();
    let mut dice = Dice(seed);
    let parent = std::os::unix::process::parent_id();
    let mut work = || -> Result<()> {
        let heap = Heap::open(&name, &Options::default())?;
        let world = World::of(&heap)?;
        while std::os::unix::process::parent_id() == parent {
            for _ in 0..64 {
                world.step(&mut dice)?;
            }
        }
        Ok(())
    };
    // the panic message goes to the standard error of the test
    work().unwrap();
    std::process::exit(0);
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
}

fn count(record: &Record, key: &str, by: f64) -> Result<()> {
    let now = record.get(key)?.number()?;
    record.set(key, now + by)
}

fn channel(heap: &Heap, name: &str) -> Result<Channel> {
    let capacity = match name {
        "there" => Some(CAPACITY * 2),
        "back" => Some(CAPACITY),
        _ => None,
    };
    heap.channel(name, capacity, false)
}

impl World {
    /// Fills a new heap.
    pub fn make(heap: &Heap) -> Result<()> {
        let root = heap.root();
        let account = || Data::object([("balance", EACH.into())]);
        root.set("accounts", Data::array((0..ACCOUNTS).map(|_| account())))?;
        root.set("list", Data::array(Vec::<Data>::new()))?;
        root.set("map", Data::map())?;
        root.set("loose", Data::map())?;
        root.set("record", Data::object(Vec::<(String, Data)>::new()))?;
        root.set("texts", Data::array((0..8).map(|_| Data::from("a text to begin with"))))?;
        root.set("counts", Data::object([("list", 0.0.into()), ("map", 0.0.into())]))?;
        for token in 0..TOKENS {
            channel(heap, "there")?.try_put(token as f64)?;
        }
        channel(heap, "back")?;
        for token in 0..LONERS {
            channel(heap, "lone")?.try_put(format!("message {token}").as_str())?;
        }
        Ok(())
    }

    pub fn of(heap: &Heap) -> Result<World> {
        let root = heap.root();
        let accounts = root.get("accounts")?.array()?;
        Ok(World {
            heap: heap.clone(),
            accounts: (0..ACCOUNTS).map(|i| accounts.get(i)?.record()).collect::<Result<_>>()?,
            list: root.get("list")?.array()?,
            map: root.get("map")?.map()?,
            counts: root.get("counts")?.record()?,
            record: root.get("record")?.record()?,
            loose: root.get("loose")?.map()?,
            texts: root.get("texts")?.array()?,
        })
    }

    /// One operation or transaction.
    pub fn step(&self, dice: &mut Dice) -> Result<()> {
        match dice.roll(12) {
            0..=2 => self.transfer(dice),
            3 => self.grow_list(dice),
            4 => self.shrink_list(),
            5 => self.toggle(dice),
            6 => self.travel(dice),
            7 => self.put_again(),
            8 => {
                let key = format!("key {}", dice.roll(40));
                if dice.roll(4) == 0 {
                    self.record.delete(&key).map(drop)
                } else {
                    self.record.set(&key, key.as_str())
                }
            }
            9 => {
                let key = dice.roll(300) as f64;
                if dice.roll(3) == 0 {
                    self.loose.delete(key).map(drop)
                } else {
                    self.loose.set(key, "a text that does not fit into a cell")
                }
            }
            10 => {
                self.texts.set(dice.roll(8) as u32, "another text ".repeat(dice.roll(300) as usize).as_str())
            }
            _ => {
                let (from, to) = (dice.roll(8) as u32, dice.roll(8) as u32);
                self.heap.transaction(|_| {
                    let text = self.texts.get(from)?;
                    self.texts.set(to, text.str()?.to_owned().as_str())
                })
            }
        }
    }

    fn transfer(&self, dice: &mut Dice) -> Result<()> {
        let n = self.accounts.len() as u64;
        let (from, to) = (dice.roll(n) as usize, dice.roll(n) as usize);
        let amount = dice.roll(50) as f64;
        self.heap.transaction(|_| {
            count(&self.accounts[from], "balance", -amount)?;
            count(&self.accounts[to], "balance", amount)
        })
    }

    fn grow_list(&self, dice: &mut Dice) -> Result<()> {
        let n = dice.roll(5);
        self.heap.transaction(|_| {
            for i in 0..n {
                self.list.push(i as f64)?;
            }
            count(&self.counts, "list", n as f64)
        })
    }

    fn shrink_list(&self) -> Result<()> {
        self.heap.transaction(|_| {
            let mut n = 0.0;
            while n < 3.0 && self.list.shift()?.is_some() {
                n += 1.0;
            }
            count(&self.counts, "list", -n)
        })
    }

    fn toggle(&self, dice: &mut Dice) -> Result<()> {
        let key = format!("the key with number {}", dice.roll(200));
        self.heap.transaction(|_| {
            if self.map.delete(key.as_str())? {
                count(&self.counts, "map", -1.0)
            } else {
                self.map.set(key.as_str(), Data::object([("value", 1.0.into())]))?;
                count(&self.counts, "map", 1.0)
            }
        })
    }

    /// Moves tokens between two channels, in order.
    fn travel(&self, dice: &mut Dice) -> Result<()> {
        let names = if dice.roll(2) == 0 { ("there", "back") } else { ("back", "there") };
        let (from, to) = (channel(&self.heap, names.0)?, channel(&self.heap, names.1)?);
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

    /// Takes a message and puts it again: killed in between, it is lost.
    fn put_again(&self) -> Result<()> {
        let lone = channel(&self.heap, "lone")?;
        match lone.try_take()? {
            Some(message) => lone.try_put(message.str()?).map(drop),
            None => Ok(()),
        }
    }

    /// The sum of all accounts, at one moment.
    pub fn check_sum(&self) -> Result<()> {
        let sum = self.heap.transaction(|_| {
            self.accounts.iter().map(|account| account.get("balance")?.number()).sum::<Result<f64>>()
        })?;
        assert_eq!(sum, ACCOUNTS as f64 * EACH);
        Ok(())
    }

    /// What must be true at any moment, of each structure by itself.
    pub fn check(&self) -> Result<()> {
        self.check_sum()?;
        self.heap.transaction(|_| {
            let len = self.counts.get("list")?.number()?;
            assert_eq!((self.list.len()? as f64, self.list.to_vec()?.len() as f64), (len, len));
            Ok(())
        })?;
        self.heap.transaction(|_| {
            let size = self.counts.get("map")?.number()?;
            assert_eq!((self.map.size()? as f64, self.map.entries()?.len() as f64), (size, size));
            Ok(())
        })?;
        let (there, back) = (channel(&self.heap, "there")?, channel(&self.heap, "back")?);
        let tokens = self.heap.transaction(|_| Ok(there.len()? + back.len()?))?;
        assert_eq!(tokens, TOKENS as u64);
        for key in self.record.keys()? {
            let value = self.record.get(&key)?;
            assert!(value.is_undefined() || value.str()? == key, "{key}");
        }
        for text in self.texts.to_vec()? {
            let text = text.str()?;
            assert!(text == "a text to begin with" || text.len() % "another text ".len() == 0, "{text}");
        }
        Ok(())
    }

    /// Empties the channels, when all others are gone: each token is there once, and each lone message at most once.
    pub fn check_messages(&self, deaths: usize) -> Result<()> {
        let mut tokens = HashSet::new();
        for name in ["there", "back"] {
            let channel = channel(&self.heap, name)?;
            while let Some(token) = channel.try_take()? {
                assert!(tokens.insert(token.number()? as u32), "{name}: {token:?} twice");
            }
        }
        assert_eq!(tokens.len(), TOKENS as usize);
        let mut loners = HashSet::new();
        let lone = channel(&self.heap, "lone")?;
        while let Some(message) = lone.try_take()? {
            assert!(loners.insert(message.str()?.to_owned()), "{message:?} twice");
        }
        let lost = LONERS as usize - loners.len();
        assert!(lost <= deaths, "{lost} messages lost by {deaths} deaths");
        Ok(())
    }
}

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
        assert_eq!(record.recoverer.load(Ordering::SeqCst), 0);
    }
    let processes = (0..256).filter(|&row| segment.process(row).state.load(Ordering::SeqCst) as u32 != 0);
    assert_eq!(processes.count(), 1);
    coheap_heap::slab::for_each_block(&segment, |at, _| {
        let word = coheap_heap::segment::Word(segment.word(at).unwrap().load(Ordering::SeqCst));
        assert!(
            word.is_free() || word.owner() == 0 && !word.changing(),
            "{at:#x} is still {}'s",
            word.owner()
        );
    });
    assert_eq!(heap.verify(), []);
}
