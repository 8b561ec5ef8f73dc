//! What the workers of the storm do, and what they write down.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use coheap_history::{Operation, Step, record};
use coheap_segment::{Code, Error, Off, Segment, Status, StatusWord, Word};
use coheap_txn::{Ctx, Fault, Guard, Mem, Res, TxnOptions};

/// Accounts.
const ACCOUNTS: u64 = 12;
/// The money that there is.
pub const TOTAL: u64 = ACCOUNTS * 1000;
/// Lists that exist; used one after the other, a few at a time.
const LISTS: u64 = 40_000;
/// Lists in use at a time.
const WINDOW: u64 = 5;
/// A longer list is left behind.
const LONG: usize = 24;
/// Room of a first body; then twice as much.
const ROOM: u64 = 3;

/// A small pseudo-random sequence.
pub struct Dice(pub u64);
impl Dice {
    pub fn roll(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Where the objects are: accounts and lists in two big blocks full of offsets, and the window.
#[derive(Clone, Copy)]
pub struct World {
    pub root: Off,
}

// an account: {word 0, word 1, money}; a list: {word 0, word 1, body, length, sum}; a body: {word 0, word 1, room, values}
const MONEY: u64 = 16;
const BODY: u64 = 16;
const LEN: u64 = 24;
const SUM: u64 = 32;

fn make(m: &mut dyn Mem, cells: &[u64]) -> Res<Off> {
    let block = m.alloc(16 + cells.len() as u64 * 8)?;
    for (i, &cell) in cells.iter().enumerate() {
        m.init64(block.at + 16 + i as u64 * 8, cell);
    }
    m.finish(block.at, 8, 0, cells.len() as u32);
    Ok(block.at)
}

fn torn(what: &'static str) -> Fault {
    Fault::Error(Error::new(Code::Corrupt, what))
}

/// The values of a list. What does not fit together is an error, which only a consistent attempt may give.
fn load_list(m: &mut dyn Mem, list: Off) -> Res<Vec<u64>> {
    let g = Guard(list);
    let (body, len, sum) = (m.load64(g, list + BODY)?, m.load64(g, list + LEN)?, m.load64(g, list + SUM)?);
    if len == 0 {
        return if sum == 0 { Ok(Vec::new()) } else { Err(torn("an empty list with a sum")) };
    }
    let room = m.load64(g, body + 16)?;
    if room > 1 << 20 || len > room {
        return Err(torn("a list beyond its body"));
    }
    let values: Vec<u64> = (0..len).map(|i| m.load64(g, body + 24 + i * 8)).collect::<Res<_>>()?;
    match values.iter().fold(0u64, |a, &v| a.wrapping_add(v)) == sum {
        true => Ok(values),
        false => Err(torn("a list whose sum is wrong")),
    }
}

fn append(m: &mut dyn Mem, list: Off, value: u64) -> Res<Vec<u64>> {
    let g = Guard(list);
    let old = load_list(m, list)?;
    let len = old.len() as u64;
    let body = m.load64(g, list + BODY)?;
    let room = if body == 0 { 0 } else { m.load64(g, body + 16)? };
    if len < room {
        m.store64(g, body + 24 + len * 8, value)?;
    } else {
        let room = if room == 0 { ROOM } else { room * 2 };
        let mut cells = vec![room];
        cells.extend(&old);
        cells.push(value);
        cells.resize(room as usize + 1, 0xdead);
        let fresh = make(m, &cells)?;
        m.store64(g, list + BODY, fresh)?;
        if body != 0 {
            m.free(body);
        }
    }
    m.store64(g, list + LEN, len + 1)?;
    m.store64(g, list + SUM, old.iter().fold(value, |a, &v| a.wrapping_add(v)))?;
    Ok(old)
}

impl World {
    pub fn create(ctx: &mut Ctx) -> World {
        let made = ctx.write(|m| {
            let accounts: Vec<u64> = (0..ACCOUNTS).map(|_| make(m, &[1000])).collect::<Res<_>>()?;
            let lists: Vec<u64> = (0..LISTS).map(|_| make(m, &[0, 0, 0])).collect::<Res<_>>()?;
            let (accounts, lists) = (make(m, &accounts)?, make(m, &lists)?);
            make(m, &[accounts, lists, 0])
        });
        World { root: made.expect("room") }
    }
    pub fn open(root: Off) -> World {
        World { root }
    }
    fn place(&self, segment: &Segment, at: Off) -> u64 {
        segment.word(at).expect("a place").load(Relaxed)
    }
    fn account(&self, segment: &Segment, i: u64) -> Off {
        self.place(segment, self.place(segment, self.root + 16) + 16 + i * 8)
    }
    fn list(&self, segment: &Segment, i: u64) -> Off {
        self.place(segment, self.place(segment, self.root + 24) + 16 + i * 8)
    }
    fn window(&self, ctx: &mut Ctx) -> u64 {
        let root = self.root;
        ctx.read(|m| m.load64(Guard(root), root + 32)).expect("the window")
    }
    fn leave_behind(&self, ctx: &mut Ctx, first: u64) {
        let root = self.root;
        let moved = ctx.write(|m| {
            if m.load64(Guard(root), root + 32)? == first {
                m.store64(Guard(root), root + 32, first + 1)?;
            }
            Ok(())
        });
        moved.expect("the window moves");
    }
    pub fn total(&self, ctx: &mut Ctx) -> u64 {
        let accounts: Vec<Off> = (0..ACCOUNTS).map(|i| self.account(ctx.segment(), i)).collect();
        ctx.transaction(TxnOptions::default(), |ctx| sum(ctx, &accounts)).expect("a total")
    }
    pub fn all_lists(&self, ctx: &mut Ctx) -> Vec<Vec<u64>> {
        let last = self.window(ctx) + WINDOW;
        (0..last)
            .map(|i| {
                let list = self.list(ctx.segment(), i);
                ctx.read(|m| load_list(m, list)).expect("a list")
            })
            .collect()
    }
    /// When all is quiet and the dead are buried, no word has an owner or C, every slot is at rest, each list has a body
    /// of its own that is allocated, and the allocator's structures are whole.
    pub fn all_is_in_order(&self, ctx: &mut Ctx) {
        let segment = ctx.segment().clone();
        coheap_txn::sweep(&segment).expect("buried");
        assert_eq!(segment.dead_participants(), []);
        let last = self.window(ctx) + WINDOW;
        let accounts = (0..ACCOUNTS).map(|i| self.account(&segment, i));
        let lists: Vec<Off> = (0..last).map(|i| self.list(&segment, i)).collect();
        for at in accounts.chain(lists.iter().copied()) {
            let word = Word(self.place(&segment, at));
            assert!(word.owner() == 0 && !word.changing(), "left behind at {at:#x}: {word:?}");
        }
        for slot in (1..=segment.plan().slots as u16).filter_map(|id| segment.slot(id)) {
            let status = StatusWord(slot.status.load(Relaxed)).status();
            assert_eq!((status, slot.building.load(Relaxed) & 1), (Some(Status::Idle), 0));
        }
        let mut bodies = std::collections::HashSet::new();
        for body in lists.iter().map(|&at| self.place(&segment, at + BODY)).filter(|&body| body != 0) {
            assert!(bodies.insert(body), "two lists with one body, {body:#x}");
            let place = coheap_slab::locate(&segment, body);
            assert!(place.is_some_and(|p| p.allocated), "a body that is free, {body:#x}");
        }
        coheap_slab::verify(&segment, |at, what| panic!("{what} at {at:#x}"));
    }
}

/// All accounts must show the same total in every attempt.
fn sum(ctx: &mut Ctx, accounts: &[Off]) -> Res<u64> {
    let mut total = 0u64;
    for &at in accounts {
        total = total.wrapping_add(ctx.read(|m| m.load64(Guard(at), at + MONEY))?);
    }
    assert_eq!(total, TOTAL, "an attempt has seen half a transfer");
    Ok(total)
}

/// Nanoseconds, the same clock for all processes. (Should somebody set it back, the check says nonsense.)
fn now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().expect("a clock").as_nanos() as u64
}

struct Book {
    file: File,
    text: String,
    ops: u64,
}

impl Book {
    fn write(&mut self, op: &mut Operation) {
        op.end = now();
        record::line(&mut self.text, op);
        self.ops += 1;
        if self.text.len() > 1 << 14 {
            self.flush();
        }
    }
    fn flush(&mut self) {
        self.file.write_all(self.text.as_bytes()).expect("written");
        self.text.clear();
    }
}

/// Runs until told to stop.
pub fn run(mut ctx: Ctx, world: World, dir: &str, id: u64, seed: u64, stop: impl Fn() -> bool) {
    let file = File::create(format!("{dir}/history-{id}")).expect("a file");
    let mut book = Book { file, text: String::new(), ops: 0 };
    let mut dice = Dice(seed | 1);
    let accounts: Vec<Off> = (0..ACCOUNTS).map(|i| world.account(ctx.segment(), i)).collect();
    let mut value = id << 32;
    let mut rounds = 0u64;
    while !rounds.is_multiple_of(64) || !stop() {
        rounds += 1;
        match dice.roll(8) {
            0..3 => money(&mut ctx, &mut dice, &accounts),
            _ => lists(&mut ctx, &world, &mut dice, &mut value, &mut book),
        }
    }
    book.flush();
    let stats = ctx.stats();
    if std::env::var_os("STORM_STATS").is_some() {
        println!("worker {id}: {rounds} rounds, {} lines, {stats:?}", book.ops);
    }
}

fn money(ctx: &mut Ctx, dice: &mut Dice, accounts: &[Off]) {
    let (a, b) = (accounts[dice.roll(ACCOUNTS) as usize], accounts[dice.roll(ACCOUNTS) as usize]);
    let options = TxnOptions { reserve_reads: dice.roll(4) == 0, ..TxnOptions::default() };
    let add = |m: &mut dyn Mem, at: Off, n: u64| {
        let old = m.load64(Guard(at), at + MONEY)?;
        m.store64(Guard(at), at + MONEY, old.wrapping_add(n))
    };
    match dice.roll(5) {
        0 => {
            ctx.transaction(options, |ctx| sum(ctx, accounts)).expect("a sum");
        }
        1 => {
            // a single operation on two words
            ctx.write(|m| {
                add(m, a, 1)?;
                add(m, b, u64::MAX)
            })
            .expect("a transfer");
        }
        2 => {
            let undone = ctx.transaction(options, |ctx| {
                ctx.write(|m| add(m, a, 1))?;
                sum_but(ctx, accounts, 1)?;
                Err::<(), _>(torn("on purpose"))
            });
            assert!(undone.is_err());
        }
        3 => {
            ctx.transaction(options, |ctx| {
                sum(ctx, accounts)?;
                ctx.write(|m| add(m, a, 1))?;
                // an operation that fails is undone alone
                let failed = ctx.write(|m| {
                    add(m, b, 77)?;
                    Err::<(), _>(torn("on purpose"))
                });
                if failed == Err(Fault::Aborted) {
                    return failed;
                }
                ctx.write(|m| add(m, b, u64::MAX))?;
                sum(ctx, accounts).map(|_| ())
            })
            .expect("a transfer");
        }
        _ => {
            ctx.transaction(options, |ctx| {
                ctx.write(|m| add(m, a, 1))?;
                ctx.write(|m| add(m, b, u64::MAX))
            })
            .expect("a transfer");
        }
    }
}

fn sum_but(ctx: &mut Ctx, accounts: &[Off], more: u64) -> Res<()> {
    let mut total = 0u64;
    for &at in accounts {
        total = total.wrapping_add(ctx.read(|m| m.load64(Guard(at), at + MONEY))?);
    }
    assert_eq!(total, TOTAL + more, "an attempt has seen half a transfer");
    Ok(())
}

fn lists(ctx: &mut Ctx, world: &World, dice: &mut Dice, value: &mut u64, book: &mut Book) {
    let first = world.window(ctx);
    if first + WINDOW >= LISTS {
        std::thread::sleep(Duration::from_millis(1));
        return;
    }
    let segment = ctx.segment().clone();
    let pick = |dice: &mut Dice| {
        let i = first + dice.roll(WINDOW);
        (i, world.list(&segment, i))
    };
    let mut op = Operation::begin(now());
    let mut fresh = || {
        *value += 1;
        *value
    };
    match dice.roll(8) {
        0 => {
            let (i, at) = pick(dice);
            op.read(i, ctx.read(|m| load_list(m, at)).expect("a read"));
        }
        1 | 2 => {
            let ((i, at), v) = (pick(dice), fresh());
            let old = ctx.write(|m| append(m, at, v)).expect("an append");
            op.read(i, old);
            op.append(i, v);
        }
        3 => {
            // one operation on two lists
            let ((i, at), (j, bt), v, w) = (pick(dice), pick(dice), fresh(), fresh());
            if i == j {
                return;
            }
            let old = ctx.write(|m| Ok((append(m, at, v)?, append(m, bt, w)?))).expect("two appends");
            op.read(i, old.0);
            op.append(i, v);
            op.read(j, old.1);
            op.append(j, w);
        }
        kind => {
            let read: Vec<_> = (0..dice.roll(4)).map(|_| pick(dice)).collect();
            let write: Vec<_> = (0..dice.roll(3)).map(|_| (pick(dice), fresh())).collect();
            let order = dice.roll(2) == 0;
            let body = |ctx: &mut Ctx| -> Res<Vec<Step>> {
                let mut steps = Vec::new();
                if !order {
                    for &((i, at), v) in &write {
                        ctx.write(|m| append(m, at, v))?;
                        steps.push(Step::Append(i, v));
                    }
                }
                for &(i, at) in &read {
                    steps.push(Step::Read(i, ctx.read(|m| load_list(m, at))?));
                }
                if order {
                    for &((i, at), v) in &write {
                        ctx.write(|m| append(m, at, v))?;
                        steps.push(Step::Append(i, v));
                    }
                }
                Ok(steps)
            };
            if kind == 7 {
                let Some((steps, committed)) = explicit(ctx, dice, &body) else { return };
                (op.steps, op.aborted) = (steps, !committed);
            } else {
                let options = TxnOptions { reserve_reads: kind == 6, ..TxnOptions::default() };
                op.steps = ctx.transaction(options, body).expect("a transaction");
            }
        }
    }
    if op.reads().any(|(i, values)| i == first && values.len() >= LONG) {
        world.leave_behind(ctx, first);
    }
    book.write(&mut op);
}

/// An explicit transaction with a pause in the middle: what its last attempt that came to its end saw, and whether it
/// was committed; `None` if none came so far.
fn explicit<T>(ctx: &mut Ctx, dice: &mut Dice, body: &impl Fn(&mut Ctx) -> Res<T>) -> Option<(T, bool)> {
    let options = TxnOptions { explicit: true, max_hold_ms: dice.roll(3), ..TxnOptions::default() };
    let t = ctx.begin(options).expect("a slot");
    let mut seen = None;
    for _ in 0..3 {
        ctx.enter(t).expect("entered");
        let result = body(ctx);
        ctx.leave();
        if dice.roll(16) == 0 {
            std::thread::sleep(Duration::from_micros(dice.roll(3000)));
        }
        let lost = match result {
            Err(fault) => fault,
            Ok(out) => match ctx.commit(t) {
                Ok(()) => return Some((out, true)),
                Err(fault) => {
                    seen = Some((out, false));
                    fault
                }
            },
        };
        match lost {
            Fault::Aborted => ctx.restart(t).expect("restarted"),
            e => panic!("an explicit transaction failed: {e:?}"),
        }
    }
    ctx.abort(t);
    seen
}
