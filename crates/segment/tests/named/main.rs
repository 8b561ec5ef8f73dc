//! Segments with names, tested with real processes.
#![cfg(target_os = "linux")]

mod full;
mod limits;
mod lives;
mod names;
mod peer;

/// What the other processes run; passes at once in the main one.
#[test]
fn peer() {
    peer::run();
}
