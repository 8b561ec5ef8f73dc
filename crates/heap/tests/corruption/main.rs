//! Damaged heaps: bits flipped and words overwritten in copies of a heap, which a child process then opens and uses under a
//! watchdog. Whatever comes back, a result or an error with a code, is right; a signal, a panic, a hang, or memory
//! without a bound is not.
//!
//! `COHEAP_CORRUPTION_CASES` says how many cases are tried, `COHEAP_CORRUPTION_SEED` where they begin: a case is its number
//! and the heap that is damaged, in which there are processes and times. So a run that fails keeps that heap, and
//! `COHEAP_CORRUPTION_IMAGES=folder COHEAP_CORRUPTION_SEED=n COHEAP_CORRUPTION_CASES=1` tries case n again.

#![cfg(target_os = "linux")]

mod base;
mod case;
mod damage;
mod exercise;
mod partner;
mod watchdog;

/// Cases in the test command.
const CASES: u64 = 300;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn a_damaged_heap_gives_results_or_errors_and_nothing_else() {
    let first = number("COHEAP_CORRUPTION_SEED", 1);
    let cases = number("COHEAP_CORRUPTION_CASES", CASES);
    let report = watchdog::run(first, first + cases);
    println!(
        "corruption: cases {first} to {}, {} failed; {}",
        first + cases - 1,
        report.failed.len(),
        report.told
    );
    assert!(report.failed.is_empty(), "{}", report.failed.join("\n"));
}

/// The child's side: does nothing in the main process.
#[test]
fn victim() {
    watchdog::victim();
}

/// The partner's side: does nothing in the main process.
#[test]
fn partner() {
    partner::partner();
}
