//! Quick figures: `cargo run --release -p coheap-txn --example measure [-- 'one row']`.

use std::time::Instant;

use coheap_segment::{Off, Segment};
use coheap_txn::{Ctx, Guard, Mem, Op, Res, TxnOptions};

struct Set(Off, u64);
impl Op for Set {
    type Out = ();
    #[inline]
    fn run<M: Mem>(&mut self, m: &mut M) -> Res<()> {
        m.store64(Guard(self.0), self.0 + 16, self.1)
    }
}

struct Get(Off);
impl Op for Get {
    type Out = u64;
    #[inline]
    fn run<M: Mem>(&mut self, m: &mut M) -> Res<u64> {
        m.load64(Guard(self.0), self.0 + 16)
    }
}

struct Add(Off, u64);
impl Op for Add {
    type Out = ();
    #[inline]
    fn run<M: Mem>(&mut self, m: &mut M) -> Res<()> {
        let old = m.load64(Guard(self.0), self.0 + 16)?;
        m.store64(Guard(self.0), self.0 + 16, old.wrapping_add(self.1))
    }
}

fn time(name: &str, n: u64, mut f: impl FnMut(u64)) {
    if std::env::args().nth(1).is_some_and(|only| only != name) {
        return;
    }
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        for i in 0..n {
            f(i);
        }
        best = best.min(start.elapsed().as_nanos() as f64 / n as f64);
    }
    println!("{name:40} {best:8.1} ns");
}

fn main() {
    let segment = Segment::anonymous(64 << 20, 16).expect("a segment");
    coheap_slab::init(&segment).expect("a directory");
    let mut ctx = Ctx::new(segment.join(0).expect("a participant"), 10).expect("a slot");
    let objects: Vec<Off> = (0..1000)
        .map(|i| {
            ctx.write(|m| {
                let block = m.alloc(48)?;
                m.init64(block.at + 16, i);
                m.finish(block.at, 8, 0, 0);
                Ok(block.at)
            })
            .expect("room")
        })
        .collect();
    let at = |i: u64| objects[(i as usize).wrapping_mul(7919) % 1000];
    time("single write", 5_000_000, |i| ctx.write_with(&mut Set(at(i), i)).expect("written"));
    time("single write, one object", 5_000_000, |i| {
        ctx.write_with(&mut Set(objects[0], i)).expect("written")
    });
    time("single add", 5_000_000, |i| ctx.write_with(&mut Add(at(i), i)).expect("written"));
    time("single write, dyn", 5_000_000, |i| {
        let o = at(i);
        ctx.write(|m| m.store64(Guard(o), o + 16, i)).expect("written");
    });
    time("read", 10_000_000, |i| {
        std::hint::black_box(ctx.read_with(&mut Get(at(i))).expect("read"));
    });
    time("two-object commit", 2_000_000, |i| {
        let (a, b) = (at(i), at(i + 1));
        ctx.transaction(TxnOptions::default(), |ctx| {
            ctx.write_with(&mut Add(a, u64::MAX))?;
            ctx.write_with(&mut Add(b, 1))
        })
        .expect("committed");
    });
    time("read of two objects", 2_000_000, |i| {
        let (a, b) = (at(i), at(i + 1));
        let sum = ctx.read(|m| Ok(m.load64(Guard(a), a + 16)?.wrapping_add(m.load64(Guard(b), b + 16)?)));
        std::hint::black_box(sum.expect("read"));
    });
    time("write of two objects", 2_000_000, |i| {
        let (a, b) = (at(i), at(i + 1));
        ctx.write_wide(|m| {
            m.store64(Guard(a), a + 16, i)?;
            m.store64(Guard(b), b + 16, i)
        })
        .expect("written");
    });
    time("replace a body", 2_000_000, |i| {
        let o = at(i);
        ctx.write(|m| {
            let old = m.load64(Guard(o), o + 24)?;
            let block = m.alloc(32)?;
            m.init64(block.at + 16, i);
            m.finish(block.at, 2, 0, 0);
            m.store64(Guard(o), o + 24, block.at)?;
            if old > 4096 && old < 64 << 20 && old % 16 == 0 {
                m.free(old);
            }
            Ok(())
        })
        .expect("written");
    });
    println!("{:?}", ctx.stats());
}
