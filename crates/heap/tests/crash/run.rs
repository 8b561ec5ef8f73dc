//! The command line, and what is printed.

use std::process::ExitCode;
use std::time::Instant;

use crate::campaign::{Extent, Tally, campaign};
use crate::case::Case;
use crate::creation;
use crate::dice::Dice;
use crate::mutants::MUTANTS;
use crate::operations::OPERATIONS;
use crate::renumbering;
use crate::tracee::{Failure, wrong};

struct Wish {
    extent: Extent,
    seed: u64,
    /// States of each operation, at most.
    most: usize,
    names: Vec<String>,
    list: bool,
}

fn number(of: &str, text: Option<String>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{of} takes a number"))
}

fn wish(arguments: impl Iterator<Item = String>) -> Wish {
    let mut wish =
        Wish { extent: Extent::Sample, seed: 0x5eed_c0de, most: usize::MAX, names: Vec::new(), list: false };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--all" => wish.extent = Extent::Boundaries,
            "--states" => wish.extent = Extent::States,
            "--list" => wish.list = true,
            "--seed" => wish.seed = number(&argument, arguments.next()),
            "--most" => wish.most = number(&argument, arguments.next()) as usize,
            // there are none
            "--ignored" => wish.names.push(argument),
            // of the usual test programs
            "--test-threads" | "--format" | "--color" | "--skip" => drop(arguments.next()),
            flag if flag.starts_with('-') => {}
            name => wish.names.push(name.to_owned()),
        }
    }
    wish
}

/// What is printed of a test that has passed.
type Outcome = Result<(String, Tally), Failure>;

/// A test and its name.
type Test = (String, Box<dyn Fn(&mut Dice) -> Outcome>);

fn tests(extent: Extent, most: usize) -> Vec<Test> {
    let mut tests: Vec<Test> = Vec::new();
    let of = |result: Result<Tally, Failure>| result.map(|tally| (told(&tally), tally));
    for operation in OPERATIONS {
        let test = move |dice: &mut Dice| {
            of(Case::make(operation).and_then(|case| campaign(&case, extent, most, dice)))
        };
        tests.push((operation.name.to_owned(), Box::new(test)));
    }
    for (name, persist) in creation::NAMES.into_iter().zip([false, true]) {
        let test = move |dice: &mut Dice| of(creation::campaign(persist, extent, most, dice));
        tests.push((name.to_owned(), Box::new(test)));
    }
    let renumbering = move |dice: &mut Dice| of(renumbering::campaign(extent, most, dice));
    tests.push((renumbering::NAME.to_owned(), Box::new(renumbering)));
    for mutant in MUTANTS {
        let test = |_: &mut Dice| match mutant.hunt()? {
            Some((n, what)) => {
                let line = what.lines().next().unwrap_or_default();
                Ok((format!("caught by a death before event {n}: {line}"), Tally::default()))
            }
            None => wrong("not caught"),
        };
        tests.push((format!("mutant: {}", mutant.name), Box::new(test)));
    }
    tests
}

/// Runs what is wished, and prints as test programs do.
pub fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    let wish = wish(arguments);
    let mut tests = tests(wish.extent, wish.most);
    tests.retain(|(name, _)| {
        wish.names.is_empty() || wish.names.iter().any(|part| name.contains(part.as_str()))
    });
    if wish.list {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests, seed {}", tests.len(), wish.seed);
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    let mut all = Tally::default();
    let begin = Instant::now();
    for (name, test) in tests {
        let start = Instant::now();
        // of its own, so that one alone can be tried again
        let of_name = name.bytes().fold(1, |sum, byte| sum * 31 % 65_521 + u64::from(byte));
        match test(&mut Dice(wish.seed ^ of_name)) {
            Ok((text, tally)) => {
                passed += 1;
                println!("test {name} ... ok: {text}; {:.1} s", start.elapsed().as_secs_f64());
                all.add(&tally);
            }
            Err(Failure::NotPermitted) => {
                ignored += 1;
                println!("test {name} ... ignored: this system does not let a process be traced");
            }
            Err(Failure::Wrong(what)) => {
                failed += 1;
                println!("test {name} ... FAILED: {what}");
            }
        }
    }
    println!("\nseed {}: {}; {:.1} s", wish.seed, told(&all), begin.elapsed().as_secs_f64());
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn told(tally: &Tally) -> String {
    let boundaries = match tally.boundaries {
        0 => String::new(),
        n => format!("{n} boundaries, "),
    };
    format!(
        "{boundaries}{} states, deaths in {} of them: {} and {} of a recovery, {} found undone, {} done; {} pauses, {} waited for",
        tally.states,
        tally.distinct,
        tally.deaths,
        tally.second,
        tally.before,
        tally.after,
        tally.pauses,
        tally.waited,
    )
}
