//! What the dead leave: states built by hand, one for each row of `docs/recovery.md`, and storms, in which processes are
//! killed and stopped at random instructions.

#![cfg(unix)]

mod book;
mod by_hand;
mod clock;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/dice.rs"]
mod dice;
mod floor;
mod storm;
mod verdict;
mod weather;
mod worker;
mod world;

/// The worker's side of the storms: does nothing in the main process.
#[test]
fn worker() {
    worker::run();
}
