//! The operations that are interrupted. Each has a heap to begin with, and can be done by two processes in any order,
//! with results that can be told apart.

use coheap_heap::objects::{Cell, Tag, array, destroy, key::Key, map, record};
use coheap_heap::queue;
use coheap_heap::segment::Code;
use coheap_heap::txn::{self, Ctx, Fault, TxnOptions};
use coheap_heap::{Channel, Data, Error, Heap, Record, Result, open};

use crate::contents::{
    full_ring, full_rings, integers, list_of, map_of, messages, objects_and_equal_messages,
    objects_and_messages, record_only, texts, three_objects, two_of_each,
};
use crate::setting::{Action, Setting};

/// See the module.
pub struct Operation {
    /// What the output calls it.
    pub name: &'static str,
    /// Fills the heap.
    pub fill: fn(&Heap) -> Result<()>,
    /// Does all that comes before the operation; the operation itself.
    pub start: fn(&Setting) -> Result<Action>,
    /// A process that is paused in it may hold up others who come or go.
    pub shuts_gate: bool,
    /// What comes before it holds what it changes.
    pub holds: bool,
    /// What may be different in the order of messages.
    pub order: Order,
}

/// What may be different in the order of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing.
    Strict,
    /// What somebody has taken and not decided upon is passed over by others, who take what comes behind; when it comes back
    /// it is the first again.
    Overtakes,
    /// Runs that are put at the same time may be mixed, each in its own order.
    Mixes,
}

const fn operation(
    name: &'static str,
    fill: fn(&Heap) -> Result<()>,
    start: fn(&Setting) -> Result<Action>,
) -> Operation {
    Operation { name, fill, start, shuts_gate: false, holds: false, order: Order::Strict }
}

/// A text that needs a block of its own, of the one who writes it.
fn text(who: f64, len: usize) -> String {
    (if who == 1.0 { "t" } else { "w" }).repeat(len)
}

/// What the traced one and the witness do with the root.
fn on_root(setting: &Setting, f: impl Fn(&Record, f64) -> Result<()> + 'static) -> Result<Action> {
    let (root, who) = (setting.heap()?.root(), setting.who);
    Ok(Box::new(move || f(&root, who).map(|()| true)))
}

fn on_array(
    setting: &Setting,
    f: impl Fn(&coheap_heap::Array, f64) -> Result<()> + 'static,
) -> Result<Action> {
    let (list, who) = (setting.heap()?.root().get("list")?.array()?, setting.who);
    Ok(Box::new(move || f(&list, who).map(|()| true)))
}

fn on_map(setting: &Setting, f: impl Fn(&coheap_heap::Map, f64) -> Result<()> + 'static) -> Result<Action> {
    let (map, who) = (setting.heap()?.root().get("map")?.map()?, setting.who);
    Ok(Box::new(move || f(&map, who).map(|()| true)))
}

fn on_channel(
    setting: &Setting,
    lifo: bool,
    f: impl Fn(&Channel, f64) -> Result<()> + 'static,
) -> Result<Action> {
    let (channel, who) = (setting.heap()?.channel("jobs", None, lifo)?, setting.who);
    Ok(Box::new(move || f(&channel, who).map(|()| true)))
}

/// For what has no call in the crate's own types.
fn on_ctx(setting: &Setting, mut f: impl FnMut(&mut Ctx, f64) -> txn::Res<()> + 'static) -> Result<Action> {
    let (mut ctx, who) = (join(setting)?, setting.who);
    Ok(Box::new(move || f(&mut ctx, who).map(|()| true).map_err(Fault::error)))
}

fn join(setting: &Setting) -> Result<Ctx> {
    let segment = open::segment(open::Mode::Open, &setting.name, &setting.options)?;
    open::join(&segment, &setting.options)
}

/// A transaction over the root's objects `a`, `b`, `c`.
fn in_transaction(
    setting: &Setting,
    f: impl Fn(&Heap, &[Record; 3], f64) -> Result<()> + 'static,
) -> Result<Action> {
    let (heap, who) = (setting.heap()?, setting.who);
    let object = |key| heap.root().get(key)?.record();
    let objects = [object("a")?, object("b")?, object("c")?];
    Ok(Box::new(move || heap.transaction(|heap| f(heap, &objects, who)).map(|()| true)))
}

fn count(record: &Record, by: f64) -> Result<()> {
    record.set("n", record.get("n")?.number()? + by)
}

/// A transaction of this process holds what the operation changes.
pub fn hold(setting: &Setting) -> Result<Ctx> {
    let mut ctx = join(setting)?;
    let root = open::root(ctx.segment())?;
    ctx.begin(TxnOptions::default())?;
    ctx.write(|m| record::set(m, root, &Key::string("n"), Cell::number(99.0))).map_err(Fault::error)?;
    Ok(ctx)
}

/// Destroys the object that the root's property refers to.
fn destroy_it(ctx: &mut Ctx, key: &str, tag: Tag) -> txn::Res<()> {
    let at = find(ctx, key)?;
    ctx.write(|m| destroy::destroy(m, tag, at))
}

/// What the root's property refers to.
fn find(ctx: &mut Ctx, key: &str) -> txn::Res<u64> {
    let root = open::root(ctx.segment())?;
    let cell = ctx.read(|m| record::get(m, root, &Key::string(key)))?;
    Ok(cell.map_or(0, Cell::offset))
}

/// All of them.
pub static OPERATIONS: &[Operation] = &[
    operation("property set", record_only, |s| on_root(s, |root, who| root.set("n", who))),
    operation("property set, a new key", record_only, |s| {
        on_root(s, |root, who| root.set(&format!("new {who}"), who))
    }),
    operation("property set, a text overwritten", record_only, |s| {
        on_root(s, |root, who| root.set("text", text(who, 120).as_str()))
    }),
    operation("property set, a tree of objects", record_only, |s| {
        on_root(s, |root, who| {
            let leaf = Data::object([("leaf", text(who, 30).as_str().into())]);
            root.set(
                "small",
                Data::object([("x", who.into()), ("leaves", Data::Array(vec![leaf, Data::Null]))]),
            )
        })
    }),
    operation("property delete", record_only, |s| {
        on_root(s, |root, who| root.delete(&format!("d{who}")).map(drop))
    }),
    operation("property read that pins an object", record_only, |s| {
        let (heap, mut kept) = (s.heap()?, Vec::new());
        // the next needs one more page of handles
        for _ in 0..61 {
            kept.push(heap.root().get("small")?);
        }
        Ok(Box::new(move || {
            for _ in 0..2 {
                kept.push(heap.root().get("small")?);
            }
            Ok(true)
        }))
    }),
    operation("array push", |heap| list_of(heap, 4), |s| on_array(s, |list, who| list.push(who).map(drop))),
    // the first body has room for 5
    operation(
        "array push into a new body",
        |heap| list_of(heap, 5),
        |s| on_array(s, |list, who| list.push(text(who, 20).as_str()).map(drop)),
    ),
    operation("array shift", |heap| list_of(heap, 6), |s| on_array(s, |list, _| list.shift().map(drop))),
    operation("array pop", |heap| list_of(heap, 7), |s| on_array(s, |list, _| list.pop().map(drop))),
    operation(
        "array insertion in the middle",
        |heap| list_of(heap, 12),
        |s| {
            on_ctx(s, |ctx, who| {
                let list = find(ctx, "list")?;
                ctx.write(|m| array::insert(m, list, 3, Cell::number(who)))
            })
        },
    ),
    operation(
        "map set, a key that is there",
        |heap| map_of(heap, 6),
        |s| on_map(s, |map, who| map.set(3.0, text(who, 20).as_str())),
    ),
    operation(
        "map set, a new key",
        |heap| map_of(heap, 5),
        |s| on_map(s, |map, who| map.set(text(who, 30).as_str(), who)),
    ),
    operation(
        "map set that rehashes",
        |heap| map_of(heap, 8),
        |s| on_map(s, |map, who| map.set(who * 100.0, who)),
    ),
    operation(
        "map set in a stripe",
        |heap| map_of(heap, 80),
        |s| on_map(s, |map, who| map.set(7.0, text(who, 20).as_str())),
    ),
    operation(
        "map set of a new key, with stripes",
        |heap| map_of(heap, 80),
        |s| on_map(s, |map, who| map.set(1000.0 * who, text(who, 20).as_str())),
    ),
    operation(
        "map set that brings stripes",
        |heap| map_of(heap, 64),
        |s| on_map(s, |map, who| map.set(who * 100.0, who)),
    ),
    operation("map delete", |heap| map_of(heap, 6), |s| on_map(s, |map, who| map.delete(who).map(drop))),
    operation(
        "map delete, with stripes",
        |heap| map_of(heap, 80),
        |s| on_map(s, |map, who| map.delete(who).map(drop)),
    ),
    operation(
        "map clear",
        |heap| map_of(heap, 6),
        |s| {
            on_ctx(s, |ctx, who| {
                let at = find(ctx, "map")?;
                ctx.write(|m| {
                    map::clear(m, at)?;
                    let root = open::root(m.segment())?;
                    record::set(m, root, &Key::string("cleared"), Cell::number(who))
                })
            })
        },
    ),
    operation(
        "set add",
        |heap| heap.root().set("set", Data::Set(vec![1.5.into(), "a text in a set".into()])),
        |s| {
            on_ctx(s, |ctx, who| {
                let at = find(ctx, "set")?;
                let cell = Cell::number(who);
                let key = map_key(cell);
                ctx.write(|m| map::add(m, at, &key, |_| Ok(cell)).map(drop))
            })
        },
    ),
    operation("destroy, an object", two_of_each, |s| {
        on_ctx(s, |ctx, who| destroy_it(ctx, &format!("object {who}"), Tag::Record))
    }),
    operation("destroy, an array", two_of_each, |s| {
        on_ctx(s, |ctx, who| destroy_it(ctx, &format!("array {who}"), Tag::Array))
    }),
    operation("destroy, a map with stripes", two_of_each, |s| {
        on_ctx(s, |ctx, who| destroy_it(ctx, &format!("map {who}"), Tag::Map))
    }),
    operation(
        "channel made",
        |_| Ok(()),
        |s| {
            let heap = s.heap()?;
            Ok(Box::new(move || heap.channel("jobs", Some(10), false).map(|_| true)))
        },
    ),
    operation(
        "put of an integer",
        |heap| messages(heap, false, 3),
        |s| on_channel(s, false, |jobs, who| jobs.try_put(who).map(|put| assert!(put))),
    ),
    operation(
        "put in an envelope",
        |heap| messages(heap, false, 3),
        |s| on_channel(s, false, |jobs, who| jobs.try_put(who + 0.5).map(|put| assert!(put))),
    ),
    operation(
        "put of an object",
        |heap| messages(heap, false, 3),
        |s| {
            on_channel(s, false, |jobs, who| {
                let message = Data::object([("n", who.into()), ("text", text(who, 30).as_str().into())]);
                jobs.try_put(message).map(|put| assert!(put))
            })
        },
    ),
    operation("put into a new ring", full_ring, |s| {
        on_channel(s, false, |jobs, who| jobs.try_put(who).map(|put| assert!(put)))
    }),
    Operation {
        order: Order::Overtakes,
        ..operation(
            "take",
            |heap| messages(heap, false, 4),
            |s| on_channel(s, false, |jobs, _| jobs.try_take().map(|taken| assert!(taken.is_some()))),
        )
    },
    operation("take of an integer", integers, |s| {
        on_channel(s, false, |jobs, _| jobs.try_take().map(|taken| assert!(taken.is_some())))
    }),
    Operation {
        order: Order::Overtakes,
        ..operation("take of a text", texts, |s| {
            on_channel(s, false, |jobs, _| jobs.try_take().map(|taken| assert!(taken.is_some())))
        })
    },
    Operation {
        order: Order::Overtakes,
        ..operation("take of the last of a ring", full_rings, |s| {
            on_channel(s, false, |jobs, _| jobs.try_take().map(|taken| assert!(taken.is_some())))
        })
    },
    Operation {
        order: Order::Mixes,
        ..operation(
            "putMany",
            |heap| messages(heap, false, 2),
            |s| {
                let jobs = channel_of(s, false)?;
                on_ctx(s, move |ctx, who| {
                    let cells: Vec<Cell> =
                        (0..5).map(|i| Cell::number(who * 100.0 + f64::from(i) / 2.0)).collect();
                    jobs.put_many(ctx, &cells).map(|n| assert_eq!(n, 5))
                })
            },
        )
    },
    Operation {
        order: Order::Overtakes,
        ..operation(
            "takeMany",
            |heap| messages(heap, false, 9),
            |s| {
                let jobs = channel_of(s, false)?;
                on_ctx(s, move |ctx, _| {
                    jobs.take_many(ctx, 4, |_, _, cell| Ok(cell)).map(|taken| assert_eq!(taken.len(), 4))
                })
            },
        )
    },
    operation(
        "LIFO put",
        |heap| messages(heap, true, 3),
        |s| on_channel(s, true, |jobs, who| jobs.try_put(text(who, 30).as_str()).map(|put| assert!(put))),
    ),
    operation(
        "LIFO take",
        |heap| messages(heap, true, 4),
        |s| on_channel(s, true, |jobs, _| jobs.try_take().map(|taken| assert!(taken.is_some()))),
    ),
    operation(
        "close of a channel",
        |heap| messages(heap, false, 2),
        |s| on_channel(s, false, |jobs, _| jobs.close().map(drop)),
    ),
    operation("transaction of three objects", three_objects, |s| {
        in_transaction(s, |_, objects, who| objects.iter().try_for_each(|object| count(object, who)))
    }),
    operation("transaction that replaces texts and grows", three_objects, |s| {
        in_transaction(s, |_, [a, b, c], who| {
            a.set("text", text(who, 60).as_str())?;
            b.set(&format!("new {who}"), Data::array([who, who]))?;
            c.delete("text").map(drop)?;
            count(c, who)
        })
    }),
    operation("transaction that puts", objects_and_messages, |s| {
        in_transaction(s, |heap, [a, ..], who| {
            count(a, who)?;
            let jobs = heap.channel("jobs", None, false)?;
            assert!(jobs.try_put(who)? && jobs.try_put(text(who, 30).as_str())?);
            Ok(())
        })
    }),
    Operation {
        order: Order::Overtakes,
        ..operation("transaction that takes", objects_and_messages, |s| {
            in_transaction(s, |heap, [a, ..], who| {
                count(a, who)?;
                let jobs = heap.channel("jobs", None, false)?;
                assert!(jobs.try_take()?.is_some() && jobs.try_take()?.is_some());
                Ok(())
            })
        })
    },
    operation("transaction that takes and puts", objects_and_equal_messages, |s| {
        in_transaction(s, |heap, [a, b, _], who| {
            let jobs = heap.channel("jobs", None, false)?;
            for _ in 0..2 {
                assert!(jobs.try_take()?.is_some());
            }
            assert!(jobs.try_put(who)?);
            count(a, who)?;
            count(b, -who)
        })
    }),
    operation("transaction that fails", objects_and_equal_messages, |s| {
        let (heap, who) = (s.heap()?, s.who);
        let a = heap.root().get("a")?.record()?;
        const ON_PURPOSE: Error = Error::new(Code::InvalidArgument, "on purpose");
        Ok(Box::new(move || {
            let failed = heap.transaction(|heap| {
                let jobs = heap.channel("jobs", None, false)?;
                assert!(jobs.try_take()?.is_some() && jobs.try_put(text(who, 30).as_str())?);
                a.set("text", text(who, 60).as_str())?;
                count(&a, who)?;
                Err::<(), _>(ON_PURPOSE)
            });
            if failed == Err(ON_PURPOSE) { Ok(true) } else { failed.map(|()| false) }
        }))
    }),
    operation("explicit transaction", record_only, |s| {
        let (mut ctx, who) = (join(s)?, s.who);
        Ok(Box::new(move || {
            let root = open::root(ctx.segment())?;
            let options = TxnOptions { explicit: true, reserve_reads: true, ..TxnOptions::default() };
            let t = ctx.begin(options)?;
            let mut go = || {
                ctx.enter(t)?;
                ctx.write(|m| record::set(m, root, &Key::string("n"), Cell::number(who)))?;
                ctx.leave();
                ctx.enter(t)?;
                ctx.write(|m| record::set(m, root, &Key::string("d1"), Cell::number(who)))?;
                ctx.leave();
                ctx.commit(t)
            };
            match go() {
                Ok(()) => Ok(true),
                Err(Fault::Error(error)) if error.code != Code::Aborted => Err(error),
                // somebody else was in a hurry
                Err(_) => {
                    ctx.abort(t);
                    Ok(false)
                }
            }
        }))
    }),
    operation("explicit transaction that is given up", record_only, |s| {
        let (mut ctx, who) = (join(s)?, s.who);
        Ok(Box::new(move || {
            let root = open::root(ctx.segment())?;
            let t = ctx.begin(TxnOptions { explicit: true, ..TxnOptions::default() })?;
            ctx.enter(t)?;
            // it may have been aborted meanwhile
            let _ = ctx.write(|m| record::set(m, root, &Key::string("n"), Cell::number(who)));
            ctx.leave();
            ctx.abort(t);
            Ok(true)
        }))
    }),
    Operation {
        holds: true,
        ..operation("property set that steals", record_only, |s| {
            let (holder, root, who) = (hold(s)?, s.heap()?.root(), s.who);
            Ok(Box::new(move || {
                let _held = &holder;
                root.set("n", who).map(|()| true)
            }))
        })
    },
    Operation {
        holds: true,
        ..operation("commit with a steal", record_only, |s| {
            let (holder, heap, who) = (hold(s)?, s.heap()?, s.who);
            Ok(Box::new(move || {
                let _held = &holder;
                let root = heap.root();
                heap.transaction(|_| {
                    count(&root, who)?;
                    root.set("text", text(who, 70).as_str())
                })
                .map(|()| true)
            }))
        })
    },
    // for the first block of a size class there is no slab
    operation("growth of the heap", record_only, |s| {
        on_root(s, |root, who| root.set("text", text(who, 3000).as_str()))
    }),
    Operation {
        shuts_gate: true,
        ..operation("open", record_only, |s| {
            let s = s.clone();
            let mut kept = Vec::new();
            Ok(Box::new(move || {
                kept.push(s.heap()?);
                Ok(true)
            }))
        })
    },
    Operation {
        shuts_gate: true,
        ..operation("close", record_only, |s| {
            let heap = s.heap()?;
            // something to give back: handles, cached blocks
            let small = heap.root().get("small")?;
            let mut held = Some((small, heap));
            Ok(Box::new(move || Ok(held.take().is_some())))
        })
    },
];

/// What is no operation, but three: for `mutants`.
pub static IN_THREE: Operation = operation("three operations", three_objects, |s| {
    let (heap, who) = (s.heap()?, s.who);
    let object = |key| heap.root().get(key)?.record();
    let objects = [object("a")?, object("b")?, object("c")?];
    Ok(Box::new(move || objects.iter().try_for_each(|object| count(object, who)).map(|()| true)))
});

fn channel_of(setting: &Setting, lifo: bool) -> Result<queue::Channel> {
    let mut ctx = join(setting)?;
    queue::Channel::open(&mut ctx, "jobs", None, lifo).map_err(Fault::error)
}

fn map_key(cell: Cell) -> coheap_heap::objects::mapkey::MapKey<'static> {
    coheap_heap::objects::mapkey::MapKey::Bits(cell.0)
}

/// The operations that recovery itself is: what a process does that finds a dead one.
pub fn sweep(setting: &Setting) -> Result<Action> {
    let segment = setting.heap()?.segment();
    let keep = setting.heap()?;
    Ok(Box::new(move || {
        let _present = &keep;
        txn::sweep(&segment).map(|()| true)
    }))
}

/// As [`sweep`], by one that comes.
pub fn arrive(setting: &Setting) -> Result<Action> {
    let setting = setting.clone();
    let mut kept = Vec::new();
    Ok(Box::new(move || {
        kept.push(setting.heap()?);
        Ok(true)
    }))
}
