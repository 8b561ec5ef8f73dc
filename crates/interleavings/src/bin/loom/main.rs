//! Small structures of the heap under loom: all interleavings of two or three threads, and all values that the
//! orderings let a load return, within a bound of preemptions (Musuvathi and Qadeer, 2007: most errors need two).
//!
//!   loom [--small] [--sweep] [name…]
//!
//! Each structure is explored as it is: no execution may fail. Then with each of its mutants, one place of the source
//! with a weaker ordering or without its second look: some execution has to fail. `--small` takes the bound down for the test command;
//! `--sweep` weakens one after the other every ordering that a structure makes use of, and lists those that nobody misses.

mod bitmap;
mod explore;
mod handles;
mod participants;
mod ring;
mod word;

use coheap_interleavings::report::{Report, tell_panics_in_a_line};

use explore::{Size, Structure};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str| args.iter().any(|arg| arg == name);
    let size = if flag("--small") { Size::Small } else { Size::Large };
    let names: Vec<&String> = args.iter().filter(|arg| !arg.starts_with("--")).collect();
    let all: Vec<Structure> = [word::ALL, bitmap::ALL, participants::ALL, handles::ALL, ring::ALL].concat();
    tell_panics_in_a_line();
    let mut report = Report::default();
    for structure in all {
        if names.is_empty() || names.iter().any(|name| structure.name.contains(name.as_str())) {
            structure.prove(size, &mut report);
            if flag("--sweep") {
                structure.sweep(size);
            }
        }
    }
    if !report.end() {
        std::process::exit(1);
    }
}
