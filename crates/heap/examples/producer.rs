//! Feeds a Node program through a channel of one heap:
//!
//! ```text
//! cargo run --release -p coheap-heap --example producer -- NAME 100000
//! ```
//!
//! The Node side opens the heap, takes until the channel ends and answers on another:
//!
//! ```js
//! import { Heap } from 'coheap'
//! const heap = await Heap.connect('NAME')
//! let count = 0, sum = 0
//! for await (const reading of heap.channel('readings', { capacity: 1000 })) { count++; sum += reading.value }
//! await heap.channel('answers').put({ count, sum })
//! ```

use std::time::{Duration, Instant};

use coheap_heap::{Data, Heap, Options, Result};

const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or("readings".to_owned());
    let count: u32 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(100_000);

    let heap = Heap::open_or_create(&name, &Options { max_size: 256 << 20, ..Options::default() })?;
    let readings = heap.channel("readings", Some(1000), false)?;
    let answers = heap.channel("answers", None, false)?;
    let start = Instant::now();
    for n in 0..count {
        readings.put(Data::object([("sensor", "north".into()), ("value", n.into())]), PATIENCE)?;
    }
    readings.close()?;

    let answer = answers.take(PATIENCE)?.record()?;
    let (taken, sum) = (answer.get("count")?.number()?, answer.get("sum")?.number()?);
    let expected = count as f64 * (count as f64 - 1.0) / 2.0;
    println!("{taken} readings taken in {:?}, sum {sum}, expected {expected}", start.elapsed());
    assert_eq!((taken, sum), (count as f64, expected));
    Ok(())
}
