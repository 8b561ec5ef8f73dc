//! What is written down is what is read.

use coheap_history::record::{line, read_folder};
use coheap_history::{Operation, Step};

#[test]
fn a_line_says_what_the_operation_was() {
    let mut op = Operation::begin(5);
    op.read(3, vec![1, 2]);
    op.append(4, 9);
    op.read(4, vec![]);
    op.end = 8;
    assert_eq!(op.to_string(), "5 8 r 3 2 1 2 a 4 9 r 4 0");
    assert_eq!(Operation::parse(&op.to_string()), Some(op.clone()));
    op.aborted = true;
    assert_eq!(op.to_string(), "5 8 x r 3 2 1 2 a 4 9 r 4 0");
    assert_eq!(Operation::parse(&op.to_string()), Some(op.clone()));
    assert_eq!(op.steps[1], Step::Append(4, 9));
}

#[test]
fn what_is_no_line_is_none() {
    for text in ["", "5", "5 x", "5 8 r", "5 8 r 1 2 3", "5 8 a 1", "5 8 q 1 2", "5 8 a 1 -2", "5 8 x x"] {
        assert_eq!(Operation::parse(text), None, "{text:?}");
    }
}

#[test]
fn the_cut_line_of_one_who_was_killed_is_left_out() {
    let folder = std::env::temp_dir().join(format!("coheap-history-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut text = String::new();
    line(&mut text, &Operation::begin(1));
    text += "2 3 a 0 1";
    std::fs::write(folder.join("history-1"), &text).unwrap();
    std::fs::write(folder.join("other"), "no history").unwrap();
    assert_eq!(read_folder(&folder, "history-").unwrap(), [Operation::begin(1)]);
    std::fs::write(folder.join("history-2"), "2 3 nonsense\n").unwrap();
    let error = read_folder(&folder, "history-").expect_err("not a line");
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(error.to_string().contains("nonsense"));
}
