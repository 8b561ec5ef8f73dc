//! Planted anomalies, each of which must be found and called by its name, and histories without one.
//!
//! The cycles are those of Adya's thesis, chapter 3, with appends for writes; times overlap where time must not decide.

use coheap_history::{Anomaly, Kind, Operation, Summary, check};

fn history(lines: &[&str]) -> Vec<Operation> {
    lines.iter().map(|line| Operation::parse(line).expect("an operation")).collect()
}

fn checked(lines: &[&str], lists: &[&[u64]]) -> Result<Summary, Anomaly> {
    let lists: Vec<Vec<u64>> = lists.iter().map(|list| list.to_vec()).collect();
    check(&history(lines), &lists)
}

#[track_caller]
fn found(lines: &[&str], lists: &[&[u64]]) -> (Kind, Vec<usize>) {
    let anomaly = checked(lines, lists).expect_err("an anomaly");
    assert!(anomaly.to_string().starts_with(anomaly.kind.name()));
    let mut operations = anomaly.operations;
    operations.sort_unstable();
    (anomaly.kind, operations)
}

#[track_caller]
fn clean(lines: &[&str], lists: &[&[u64]]) -> Summary {
    checked(lines, lists).unwrap_or_else(|anomaly| panic!("{anomaly}"))
}

#[test]
fn nothing_at_all_is_serialisable() {
    assert_eq!(clean(&[], &[]).operations, 0);
    assert_eq!(clean(&[], &[&[], &[]]).lists, 2);
}

#[test]
fn one_after_the_other_is_serialisable() {
    let summary = clean(
        &["0 1 r 0 0 a 0 1", "2 3 r 0 1 1 a 0 2 r 0 2 1 2", "4 5 r 0 2 1 2 r 1 0 a 1 3"],
        &[&[1, 2], &[3]],
    );
    assert_eq!((summary.operations, summary.unrecorded), (3, 0));
    assert!(summary.dependencies >= 3);
}

#[test]
fn those_who_overlap_may_come_in_either_order() {
    for order in [[1, 2], [2, 1]] {
        clean(&["0 10 a 0 1", "0 10 a 0 2"], &[&order]);
    }
    // one sees the other, which began after it
    clean(&["0 10 r 0 1 1", "5 10 a 0 1"], &[&[1]]);
    // and does not see one that ended before itself
    clean(&["0 10 r 0 0", "1 2 a 0 1"], &[&[1]]);
}

#[test]
fn g0_two_writers_each_over_the_other() {
    let lines = ["0 10 a 0 1 a 1 2", "0 10 a 0 3 a 1 4"];
    assert_eq!(found(&lines, &[&[1, 3], &[4, 2]]), (Kind::DirtyWrite, vec![0, 1]));
    clean(&lines, &[&[1, 3], &[2, 4]]);
}

#[test]
fn g0_a_writer_in_the_middle_of_anothers_writes() {
    let lines = ["0 10 a 0 1 a 0 2", "0 10 a 0 3"];
    assert_eq!(found(&lines, &[&[1, 3, 2]]), (Kind::DirtyWrite, vec![0, 1]));
}

#[test]
fn g0_three_in_a_circle() {
    let lines = ["0 9 a 0 1 a 2 2", "0 9 a 1 3 a 0 4", "0 9 a 2 5 a 1 6", "0 9 r 0 0"];
    assert_eq!(found(&lines, &[&[1, 4], &[3, 6], &[5, 2]]), (Kind::DirtyWrite, vec![0, 1, 2]));
}

#[test]
fn g1a_a_read_of_what_was_aborted() {
    assert_eq!(found(&["0 10 x a 0 1", "0 10 r 0 1 1"], &[&[]]), (Kind::AbortedRead, vec![0, 1]));
    // it wrote nothing down, or there never was one
    assert_eq!(found(&["0 10 r 0 1 7"], &[&[]]), (Kind::AbortedRead, vec![0]));
    // it stands there, though nobody has read it
    assert_eq!(found(&["0 10 x a 0 1"], &[&[1]]), (Kind::AbortedRead, vec![0]));
    // its own are no matter
    clean(&["0 10 x a 0 1 r 0 1 1", "0 10 r 0 0"], &[&[]]);
}

#[test]
fn g1b_a_read_in_the_middle_of_a_transaction() {
    let lines = ["0 10 a 0 1 a 0 2", "0 10 r 0 1 1"];
    assert_eq!(found(&lines, &[&[1, 2]]), (Kind::IntermediateRead, vec![0, 1]));
    clean(&["0 10 a 0 1 r 0 1 1 a 0 2", "0 10 r 0 2 1 2"], &[&[1, 2]]);
}

#[test]
fn g1c_two_who_have_seen_each_other() {
    let lines = ["0 10 a 0 1 r 1 1 2", "0 10 a 1 2 r 0 1 1"];
    assert_eq!(found(&lines, &[&[1], &[2]]), (Kind::CircularInformationFlow, vec![0, 1]));
}

#[test]
fn g1c_one_wrote_over_what_had_seen_it() {
    // 0 appends to list 0 before 1 does, and has seen what 1 appended to list 1
    let lines = ["0 10 a 0 1 r 1 1 4", "0 10 a 0 3 a 1 4"];
    assert_eq!(found(&lines, &[&[1, 3], &[4]]), (Kind::CircularInformationFlow, vec![0, 1]));
}

#[test]
fn g_single_half_of_another_transaction() {
    let lines = ["0 10 a 0 1 a 1 2", "0 10 r 0 1 1 r 1 0"];
    assert_eq!(found(&lines, &[&[1], &[2]]), (Kind::ReadSkew, vec![0, 1]));
    clean(&["0 10 a 0 1 a 1 2", "0 10 r 0 1 1 r 1 1 2", "0 10 r 0 0 r 1 0"], &[&[1], &[2]]);
}

#[test]
fn an_aborted_attempt_must_see_one_state_too() {
    let lines = ["0 10 a 0 1 a 1 2", "0 10 x r 0 1 1 r 1 0 a 0 9"];
    assert_eq!(found(&lines, &[&[1], &[2]]), (Kind::ReadSkew, vec![0, 1]));
}

#[test]
fn g2_write_skew() {
    let lines = ["0 10 r 0 0 r 1 0 a 0 1", "0 10 r 0 0 r 1 0 a 1 2"];
    assert_eq!(found(&lines, &[&[1], &[2]]), (Kind::WriteSkew, vec![0, 1]));
    // the second has seen the first
    clean(&["0 10 r 0 0 r 1 0 a 0 1", "0 10 r 0 1 1 r 1 0 a 1 2"], &[&[1], &[2]]);
}

#[test]
fn g2_of_three() {
    let lines = ["0 9 r 1 0 a 0 1", "0 9 r 2 0 a 1 2", "0 9 r 0 0 a 2 3"];
    assert_eq!(found(&lines, &[&[1], &[2], &[3]]), (Kind::WriteSkew, vec![0, 1, 2]));
}

#[test]
fn g2_of_two_readers_who_disagree_on_an_order() {
    let lines = ["0 9 a 0 1", "0 9 a 1 2", "0 9 r 0 1 1 r 1 0", "0 9 r 0 0 r 1 1 2"];
    assert_eq!(found(&lines, &[&[1], &[2]]), (Kind::WriteSkew, vec![0, 1, 2, 3]));
}

#[test]
fn a_lost_update_of_two_who_read_the_same() {
    let lines = ["0 10 r 0 0 a 0 1", "0 10 r 0 0 a 0 2"];
    assert_eq!(found(&lines, &[&[1, 2]]), (Kind::LostUpdate, vec![0, 1]));
    clean(&["0 10 r 0 0 a 0 1", "0 10 r 0 1 1 a 0 2"], &[&[1, 2]]);
}

#[test]
fn a_lost_update_that_left_no_trace() {
    assert_eq!(found(&["0 10 a 0 1", "0 10 a 0 2"], &[&[2]]), (Kind::LostUpdate, vec![0]));
    // in another list than it was appended to
    assert_eq!(found(&["0 10 a 0 1"], &[&[], &[1]]), (Kind::LostUpdate, vec![0]));
}

#[test]
fn real_time_a_stale_read() {
    let lines = ["0 1 a 0 1", "2 3 r 0 0"];
    assert_eq!(found(&lines, &[&[1]]), (Kind::ReadSkewRealTime, vec![0, 1]));
    clean(&["0 2 a 0 1", "2 3 r 0 0"], &[&[1]]);
}

#[test]
fn real_time_an_append_before_one_that_had_ended() {
    let lines = ["0 1 a 0 1", "2 3 a 0 2"];
    assert_eq!(found(&lines, &[&[2, 1]]), (Kind::DirtyWriteRealTime, vec![0, 1]));
}

#[test]
fn real_time_a_read_of_what_was_not_yet_begun() {
    let lines = ["0 1 r 0 1 1", "2 3 a 0 1"];
    assert_eq!(found(&lines, &[&[1]]), (Kind::CircularInformationFlowRealTime, vec![0, 1]));
}

#[test]
fn real_time_over_a_third_who_ended_in_between() {
    // 0 ends, then 1 runs, then 2, which has not seen 0
    let lines = ["0 1 a 0 1", "2 3 r 1 0", "4 5 r 0 0"];
    assert_eq!(found(&lines, &[&[1], &[]]), (Kind::ReadSkewRealTime, vec![0, 2]));
}

#[test]
fn real_time_g2() {
    // 1 has not seen 0, which had ended before 2 began, which has not seen 1
    let lines = ["0 1 a 0 1", "0 9 r 0 0 a 1 2", "2 3 r 1 0"];
    assert_eq!(found(&lines, &[&[1], &[2]]), (Kind::WriteSkewRealTime, vec![0, 1, 2]));
}

#[test]
fn a_transaction_agrees_with_itself() {
    // it does not see its own append
    assert_eq!(found(&["0 9 a 0 1 r 0 0"], &[&[1]]), (Kind::Internal, vec![0]));
    // it sees it before it makes it
    assert_eq!(found(&["0 9 r 0 1 1 a 0 1"], &[&[1]]), (Kind::Internal, vec![0]));
    // the list changes under it
    assert_eq!(found(&["0 9 r 0 0 r 0 1 1", "0 9 a 0 1"], &[&[1]]), (Kind::Internal, vec![0]));
}

#[test]
fn an_order_that_never_was() {
    assert_eq!(
        found(&["0 9 a 0 1", "0 9 a 0 2", "0 9 r 0 1 2"], &[&[1, 2]]),
        (Kind::IncompatibleOrder, vec![2])
    );
}

#[test]
fn a_value_is_appended_once() {
    assert_eq!(found(&["0 9 a 0 1"], &[&[1, 1]]).0, Kind::Duplicate);
    assert_eq!(found(&["0 9 a 0 1", "0 9 a 1 1"], &[&[1], &[]]), (Kind::Malformed, vec![0, 1]));
}

#[test]
fn appends_of_those_who_died_count_and_have_no_time() {
    let summary = clean(&["0 1 r 0 0", "2 3 r 0 1 7 a 0 8"], &[&[7, 8]]);
    assert_eq!(summary.unrecorded, 1);
    // but they are part of cycles as any other: 7 stands between 0 and 1, and 0 has seen 1
    let lines = ["0 9 a 0 3 r 1 1 4", "0 9 a 0 5 a 1 4"];
    assert_eq!(found(&lines, &[&[3, 7, 5], &[4]]), (Kind::CircularInformationFlow, vec![0, 1, 2]));
}

#[test]
fn the_worst_of_several_is_named() {
    // a write skew of 0 and 1, and a G0 of 2 and 3
    let lines = ["0 9 r 0 0 r 1 0 a 0 1", "0 9 r 0 0 r 1 0 a 1 2", "0 9 a 2 3 a 3 4", "0 9 a 2 5 a 3 6"];
    assert_eq!(found(&lines, &[&[1], &[2], &[3, 5], &[6, 4]]), (Kind::DirtyWrite, vec![2, 3]));
}

#[test]
fn a_needle_in_a_large_history_is_found() {
    // 10,000 appends to 100 lists in order, each by one who has read the list
    let mut lists = vec![Vec::new(); 100];
    let mut ops = Vec::new();
    for i in 0..10_000u64 {
        let list = i * 31 % 100;
        let mut op = Operation::begin(10 * i);
        op.read(list, lists[list as usize].clone());
        op.append(list, i);
        op.end = 10 * i + 25;
        lists[list as usize].push(i);
        ops.push(op);
    }
    assert_eq!(check(&ops, &lists).map(|s| s.operations), Ok(10_000));
    // one that saw list 0 without its 57th append, and list 1 as it was much later
    let mut stale = Operation::begin(0);
    stale.read(0, lists[0][..56].to_vec());
    stale.read(1, lists[1][..90].to_vec());
    stale.end = u64::MAX;
    ops.push(stale);
    let anomaly = check(&ops, &lists).expect_err("an anomaly");
    assert_eq!(anomaly.kind, Kind::ReadSkewRealTime);
    assert!(anomaly.operations.contains(&10_000));
}
