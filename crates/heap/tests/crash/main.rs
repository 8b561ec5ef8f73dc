//! Death and pause between any two machine instructions of every operation that changes a heap.
//!
//! A traced process does an operation and is killed, or paused, at one instruction boundary; another process must then find
//! the operation undone or finished, never between, nothing lost, nothing reserved, no memory kept but what the operation
//! had, and must be able to do the same operation at once. `tracee` says which boundaries differ for anybody else and
//! how they are reached, `case` and `witness` what is looked at, `operations` what is done, `mutants` how we know that
//! errors would be found.
//!
//! ```text
//! cargo test -p coheap-heap --test crash      a sample of the deaths, pauses and second deaths of each operation
//! npm run prove:crash                         (--states) a death in each state, a pause, and all boundaries counted
//! npm run prove:crash -- --all                and a death at every boundary
//!     --seed N    another sample        --most N  no more states of each operation
//!     TEXT        only operations whose names contain it
//! ```

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../common/mod.rs"]
mod common;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../common/dice.rs"]
mod dice;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod campaign;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod case;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod contents;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod creation;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod helper;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod mutants;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod operations;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod renumbering;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod run;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod setting;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod tracee;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod witness;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() -> std::process::ExitCode {
    run::run(std::env::args().skip(1))
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() {
    println!("test result: ok. 0 passed; 0 failed; 1 ignored; it needs Linux on x86-64");
}
