//! What is in a heap before an operation.

use coheap_heap::{Data, Heap, Result};

use crate::setting::{TRACED, WITNESS};

pub fn record_only(heap: &Heap) -> Result<()> {
    let root = heap.root();
    root.set("n", 0.0)?;
    root.set("text", "x".repeat(100).as_str())?;
    for key in ["d1", "d2"] {
        root.set(key, "to be deleted")?;
    }
    root.set("small", Data::object([("x", 1.0.into())]))
}

pub fn three_objects(heap: &Heap) -> Result<()> {
    for key in ["a", "b", "c"] {
        heap.root().set(key, Data::object([("n", 0.0.into()), ("text", "x".repeat(50).as_str().into())]))?;
    }
    Ok(())
}

pub fn list_of(heap: &Heap, n: u32) -> Result<()> {
    heap.root().set("list", Data::array(Vec::<Data>::new()))?;
    let list = heap.root().get("list")?.array()?;
    for i in 0..n {
        list.push(if i % 3 == 0 { "a text in an array".into() } else { Data::Number(i.into()) })?;
    }
    Ok(())
}

pub fn map_of(heap: &Heap, n: u32) -> Result<()> {
    heap.root().set("map", Data::map())?;
    let map = heap.root().get("map")?.map()?;
    (0..n).try_for_each(|i| map.set(f64::from(i), "a text in a map"))
}

pub fn messages(heap: &Heap, lifo: bool, n: u32) -> Result<()> {
    let jobs = heap.channel("jobs", None, lifo)?;
    for i in 0..n {
        let put =
            if i % 2 == 0 { jobs.try_put(f64::from(i) + 0.5)? } else { jobs.try_put("a text in a channel")? };
        assert!(put);
    }
    Ok(())
}

pub fn integers(heap: &Heap) -> Result<()> {
    let jobs = heap.channel("jobs", None, false)?;
    (0..4).try_for_each(|i| jobs.try_put(f64::from(i)).map(|put| assert!(put)))
}

pub fn objects_and_messages(heap: &Heap) -> Result<()> {
    three_objects(heap)?;
    messages(heap, false, 4)
}

/// A channel whose first ring is full, and has given back most of what was in it.
pub fn full_ring(heap: &Heap) -> Result<()> {
    let jobs = heap.channel("jobs", None, false)?;
    for i in 0..512 {
        assert!(jobs.try_put(f64::from(i))?);
    }
    for _ in 0..510 {
        jobs.try_take()?;
    }
    Ok(())
}

/// A channel of two rings, with one message in the first.
pub fn full_rings(heap: &Heap) -> Result<()> {
    let jobs = heap.channel("jobs", None, false)?;
    for i in 0..516 {
        assert!(jobs.try_put(f64::from(i) + 0.5)?);
    }
    for _ in 0..511 {
        jobs.try_take()?;
    }
    Ok(())
}

pub fn texts(heap: &Heap) -> Result<()> {
    let jobs = heap.channel("jobs", None, false)?;
    for i in 0..4 {
        assert!(jobs.try_put(format!("text {i} in a channel").as_str())?);
    }
    Ok(())
}

/// Messages that cannot be told apart: who takes while others have not decided takes what they have left.
pub fn objects_and_equal_messages(heap: &Heap) -> Result<()> {
    three_objects(heap)?;
    let jobs = heap.channel("jobs", None, false)?;
    (0..4).try_for_each(|_| jobs.try_put("a text in a channel").map(|put| assert!(put)))
}

/// What each of the two destroys, with members that go with it.
pub fn two_of_each(heap: &Heap) -> Result<()> {
    let root = heap.root();
    for who in [TRACED, WITNESS] {
        let leaf = Data::object([("leaf", "a text in an object".into())]);
        let members = [("n", 1.0.into()), ("text", "x".repeat(50).as_str().into()), ("live", leaf)];
        root.set(&format!("object {who}"), Data::object(members))?;
        root.set(&format!("array {who}"), Data::array((0..6).map(|i| format!("text {i} in an array"))))?;
        let entries = (0..70).map(|i| (Data::Number(i.into()), Data::Number(i.into()))).collect();
        root.set(&format!("map {who}"), Data::Map(entries))?;
    }
    Ok(())
}
