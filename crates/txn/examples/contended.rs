//! Throughput of several threads: `cargo run --release -p coheap-txn --example contended`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coheap_segment::{Off, Segment};
use coheap_txn::{Ctx, Guard, Mem, Op, Res, TxnOptions};

struct Add(Off, u64);
impl Op for Add {
    type Out = ();
    #[inline]
    fn run<M: Mem>(&mut self, m: &mut M) -> Res<()> {
        let old = m.load64(Guard(self.0), self.0 + 16)?;
        m.store64(Guard(self.0), self.0 + 16, old.wrapping_add(self.1))
    }
}

fn main() {
    let segment = Segment::anonymous(64 << 20, 16).expect("a segment");
    coheap_slab::init(&segment).expect("a directory");
    let mut ctx = Ctx::new(segment.join(0).expect("a participant"), 10).expect("a slot");
    let objects: Vec<Off> = (0..1000)
        .map(|_| {
            let made = ctx.write(|m| {
                let block = m.alloc(64)?;
                m.init64(block.at + 16, 0);
                m.finish(block.at, 8, 0, 0);
                Ok(block.at)
            });
            made.expect("room")
        })
        .collect();
    type Work<'a> = &'a (dyn Fn(&mut Ctx, usize, u64) + Sync);
    let own: Work<'_> = &|ctx, i, _| ctx.write_with(&mut Add(objects[i * 8], 1)).expect("added");
    let same: Work<'_> = &|ctx, _, _| ctx.write_with(&mut Add(objects[0], 1)).expect("added");
    let hot: Work<'_> = &|ctx, _, _| {
        ctx.transaction(TxnOptions::default(), |ctx| ctx.write_with(&mut Add(objects[0], 1))).expect("added");
    };
    let transfer: Work<'_> = &|ctx, i, n| {
        let a = objects[(n.wrapping_mul(7919) + i as u64 * 31) as usize % 1000];
        let b = objects[(n.wrapping_mul(104_729) + i as u64 * 17) as usize % 1000];
        let done = ctx.transaction(TxnOptions::default(), |ctx| {
            ctx.write_with(&mut Add(a, u64::MAX))?;
            ctx.write_with(&mut Add(b, 1))
        });
        done.expect("transferred");
    };
    for (name, work) in [
        ("single add, own objects", own),
        ("single add, same object", same),
        ("hot counter transaction", hot),
        ("transfer among 1000", transfer),
    ] {
        for threads in [1, 2, 4] {
            let (stop, total) = (AtomicBool::new(false), AtomicU64::new(0));
            let start = Instant::now();
            std::thread::scope(|s| {
                for i in 0..threads {
                    let (segment, stop, total) = (&segment, &stop, &total);
                    s.spawn(move || {
                        let mut ctx = Ctx::new(segment.join(0).expect("a participant"), 10).expect("a slot");
                        let mut n = 0;
                        while !stop.load(Ordering::Relaxed) {
                            for _ in 0..100 {
                                work(&mut ctx, i, n);
                                n += 1;
                            }
                        }
                        total.fetch_add(n, Ordering::Relaxed);
                    });
                }
                std::thread::sleep(Duration::from_millis(700));
                stop.store(true, Ordering::Relaxed);
            });
            let rate = total.into_inner() as f64 / start.elapsed().as_secs_f64() / 1e6;
            println!("{name:28} {threads} threads {rate:8.2} M/s");
        }
    }
    let sum = objects
        .iter()
        .fold(0u64, |sum, &o| sum.wrapping_add(ctx.read(|m| m.load64(Guard(o), o + 16)).expect("read")));
    println!("sum of all {sum}");
}
