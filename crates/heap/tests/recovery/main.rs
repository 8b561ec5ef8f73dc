//! What the dead leave: processes killed at random instructions, and states built by hand, one for each row of
//! `docs/recovery.md`.

#![cfg(unix)]

mod by_hand;
mod storm;
mod worker;

/// The worker's side of the storms: does nothing in the main process.
#[test]
fn worker() {
    worker::run();
}
