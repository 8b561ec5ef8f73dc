//! Word 0: C and the version, reservation, theft, the clock.

use coheap_interleavings::mutants::plant;
use coheap_interleavings::{add, cell, get, heap, join, load, object, store};
use coheap_segment::primitive::model::Change::{SeeAgain, Skip, Weaken};
use coheap_txn::{Guard, TxnOptions};

use crate::explore::{Structure, thread, together};

const COMMIT: &str = "crates/txn/src/commit.rs";
const CONTEND: &str = "crates/txn/src/contend.rs";
const DIRECT: &str = "crates/txn/src/direct.rs";
const SNAPSHOT: &str = "crates/txn/src/snapshot.rs";
const TXN_MEM: &str = "crates/txn/src/txn_mem.rs";
const VALIDATE: &str = "crates/txn/src/validate.rs";

pub const ALL: &[Structure] = &[
    Structure {
        name: "word 0: a read while one operation changes two cells",
        run: read_beside_write,
        bounds: (1, 3, 2),
        mutants: &[
            plant(DIRECT, "word.store(Word::new(NOBODY, 0, wv, false).0, Release)", Weaken),
            plant(DIRECT, "if word.compare_exchange(seen.0, mine, AcqRel, Relaxed)", Skip),
            plant(SNAPSHOT, "fence(Acquire)", Weaken),
            plant(SNAPSHOT, "let seen = Word(word.load(Acquire));", Weaken),
            plant(SNAPSHOT, "Word(word.load(Relaxed)).seen() == self.seen.seen()", SeeAgain),
        ],
    },
    Structure {
        name: "word 0: two additions",
        run: two_additions,
        bounds: (2, 3, 2),
        mutants: &[
            plant(DIRECT, "let seen = Word(word.load(Acquire));", Weaken),
            plant(DIRECT, "if word.compare_exchange(seen.0, mine, AcqRel, Relaxed)", Skip),
        ],
    },
    Structure {
        name: "word 0: an addition in a transaction beside a single one",
        run: theft,
        bounds: (0, 2, 1),
        mutants: &[plant(DIRECT, "if word.compare_exchange(seen.0, mine, AcqRel, Relaxed)", Skip)],
    },
    Structure {
        name: "word 0: a transaction that reads two objects beside one that writes them",
        run: opacity,
        bounds: (1, 2, 2),
        mutants: &[
            plant(COMMIT, "e.word.store(Word::new(NOBODY, 0, wv, false).0, Release)", Weaken),
            plant(TXN_MEM, "let now = Word(e.word.load(Relaxed));", SeeAgain),
        ],
    },
    Structure {
        name: "word 0: two transactions that each read what the other writes",
        run: write_skew,
        bounds: (0, 2, 1),
        mutants: &[plant(VALIDATE, "let seen = Word(e.word.load(Acquire));", SeeAgain)],
    },
    Structure {
        name: "word 0: a write takes a word from an attempt that is over",
        run: strip,
        bounds: (1, 2, 1),
        mutants: &[plant(CONTEND, "word.compare_exchange(seen.0, bare.0, AcqRel, Relaxed)", Skip)],
    },
];

fn read_beside_write() {
    let segment = heap(3);
    let (mut a, mut b) = (join(&segment), join(&segment));
    let x = object(&mut a, 2, 0);
    together(
        &segment,
        vec![
            thread(move || {
                let both = a.write(|m| {
                    m.store64(Guard(x), cell(x, 0), 1)?;
                    m.store64(Guard(x), cell(x, 1), 1)
                });
                both.expect("a write");
            }),
            thread(move || {
                let (first, second) = b
                    .read(|m| Ok((m.load64(Guard(x), cell(x, 0))?, m.load64(Guard(x), cell(x, 1))?)))
                    .expect("a read");
                assert_eq!(first, second, "half of an operation is seen");
            }),
        ],
    );
}

fn two_additions() {
    let segment = heap(3);
    let (mut a, mut b, mut c) = (join(&segment), join(&segment), join(&segment));
    let x = object(&mut a, 1, 0);
    together(&segment, vec![thread(move || add(&mut a, x, 1)), thread(move || add(&mut b, x, 1))]);
    assert_eq!(get(&mut c, x), 2, "an addition is lost");
}

fn theft() {
    let segment = heap(3);
    let (mut a, mut b, mut c) = (join(&segment), join(&segment), join(&segment));
    let x = object(&mut a, 1, 0);
    together(
        &segment,
        vec![
            thread(move || {
                let added = a.transaction(TxnOptions::default(), |ctx| {
                    let old = ctx.read(|m| load(m, x))?;
                    ctx.write(|m| store(m, x, old + 1))
                });
                added.expect("a transaction");
            }),
            thread(move || add(&mut b, x, 1)),
        ],
    );
    assert_eq!(get(&mut c, x), 2, "an addition is lost");
}

fn opacity() {
    let segment = heap(3);
    let (mut a, mut b) = (join(&segment), join(&segment));
    let (x, y) = (object(&mut a, 1, 0), object(&mut a, 1, 0));
    together(
        &segment,
        vec![
            thread(move || {
                let done = a.transaction(TxnOptions::default(), |ctx| {
                    ctx.write(|m| store(m, x, 1))?;
                    ctx.write(|m| store(m, y, 1))
                });
                done.expect("a transaction");
            }),
            thread(move || {
                let read = b.transaction(TxnOptions::default(), |ctx| {
                    let first = ctx.read(|m| load(m, x))?;
                    let second = ctx.read(|m| load(m, y))?;
                    // also in an attempt that will be aborted
                    assert_eq!(first, second, "half of a transaction is seen");
                    Ok(())
                });
                read.expect("a transaction");
            }),
        ],
    );
}

fn write_skew() {
    let segment = heap(3);
    let (mut a, mut b, mut c) = (join(&segment), join(&segment), join(&segment));
    let (x, y) = (object(&mut a, 1, 0), object(&mut a, 1, 0));
    let crosswise = move |ctx: &mut coheap_txn::Ctx, from, to| {
        let done = ctx.transaction(TxnOptions::default(), |ctx| {
            let old = ctx.read(|m| load(m, from))?;
            ctx.write(|m| store(m, to, old + 1))
        });
        done.expect("a transaction");
    };
    together(
        &segment,
        vec![thread(move || crosswise(&mut a, x, y)), thread(move || crosswise(&mut b, y, x))],
    );
    let (x, y) = (get(&mut c, x), get(&mut c, y));
    assert!((x, y) == (1, 2) || (x, y) == (2, 1), "two transactions that each came first: {x}, {y}");
}

/// The reservation of an attempt that was aborted is found by two that write.
fn strip() {
    let segment = heap(4);
    let (mut a, mut b, mut c) = (join(&segment), join(&segment), join(&segment));
    let mut gone = join(&segment);
    let x = object(&mut a, 1, 0);
    // an explicit transaction that others have aborted and that does not know it yet
    let t = gone.begin(TxnOptions::default()).expect("a slot");
    gone.enter(t).expect("a transaction that has just begun");
    gone.write(|m| store(m, x, 7)).expect("a write");
    gone.leave();
    let word = coheap_segment::Word(word_of(&segment, x));
    let status = &segment.slot(word.owner()).expect("a slot").status;
    let aborted = coheap_segment::StatusWord::new(
        coheap_segment::Status::Aborted,
        coheap_segment::StatusWord(status.load(SEQ)).seq(),
    );
    status.store(aborted.0, SEQ);
    together(&segment, vec![thread(move || add(&mut a, x, 1)), thread(move || add(&mut b, x, 1))]);
    assert_eq!(get(&mut c, x), 2, "an addition is lost");
    gone.abort(t);
    assert_eq!(get(&mut c, x), 2, "an aborted attempt has changed something");
}

const SEQ: std::sync::atomic::Ordering = std::sync::atomic::Ordering::SeqCst;

fn word_of(segment: &coheap_segment::Segment, at: coheap_segment::Off) -> u64 {
    segment.word(at).expect("an object").load(SEQ)
}
