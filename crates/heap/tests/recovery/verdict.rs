//! Do the books agree with what is left when all is over?

use std::collections::{HashMap, HashSet};

use coheap_history::{Operation, Step, Summary, check};

use crate::book::Entry;
use crate::world::{Mark, sender};

/// Everything that is known at the end.
#[derive(Clone)]
pub struct Evidence {
    /// {number of the worker, what it wrote, it was killed}
    pub books: Vec<(u64, Vec<Entry>, bool)>,
    /// The messages that were left in the channels.
    pub left: Vec<u64>,
    /// The messages that the survivor alone takes, as they came.
    pub reports: Vec<u64>,
    /// The lists of the history.
    pub lists: Vec<Vec<u64>>,
}

/// What was found in order.
#[derive(Debug)]
pub struct Verdict {
    pub history: Summary,
    /// Operations of the history that took effect, and whose worker was killed before it could write them down.
    pub unrecorded: usize,
    pub messages: Messages,
    pub steps: u64,
}

/// What came of the messages.
#[derive(Debug)]
pub struct Messages {
    pub put: usize,
    pub taken: usize,
    /// Messages that went with the worker that had just taken them.
    pub lost_with_takers: usize,
}

impl Evidence {
    /// `Err`: a contradiction, in words.
    pub fn judge(&self) -> Result<Verdict, String> {
        let (history, unrecorded) = self.history()?;
        let messages = self.messages()?;
        self.order_of_reports()?;
        let steps = self.books.iter().map(|(_, book, _)| {
            book.iter().rev().find_map(|entry| if let Entry::Steps(n) = entry { Some(*n) } else { None })
        });
        Ok(Verdict { history, unrecorded, messages, steps: steps.flatten().sum() })
    }

    /// The history is strictly serialisable, and of what an operation appended all is there. What the killed could not write
    /// down is an operation too, of unknown time.
    fn history(&self) -> Result<(Summary, usize), String> {
        let recorded = self.entries().filter_map(|entry| match entry {
            Entry::History(op) => Some(op.clone()),
            _ => None,
        });
        let mut ops: Vec<Operation> = recorded.collect();
        let known: HashSet<(u64, u64)> =
            ops.iter().flat_map(Operation::appends).map(|(_, value)| Mark::of(value).operation()).collect();
        let mut found: HashMap<(u64, u64), Operation> = HashMap::new();
        for (list, values) in self.lists.iter().enumerate() {
            for &value in values {
                let op = found.entry(Mark::of(value).operation()).or_insert(Operation::begin(0));
                op.append(list as u64, value);
            }
        }
        for op in found.values() {
            let marks: Vec<Mark> = op.appends().map(|(_, value)| Mark::of(value)).collect();
            if marks.iter().any(|mark| mark.of != marks.len() as u64) {
                return Err(format!("half an operation is there: {marks:?}"));
            }
        }
        found.retain(|operation, _| !known.contains(operation));
        let unrecorded = found.len();
        ops.extend(found.into_values());
        check(&ops, &self.lists).map(|summary| (summary, unrecorded)).map_err(|anomaly| anomaly.to_string())
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.books.iter().flat_map(|(_, book, _)| book)
    }

    /// Each message that was put comes out once, or went with a taker that was killed: as many at most as those wanted that
    /// were killed while they took.
    fn messages(&self) -> Result<Messages, String> {
        let (mut announced, mut put): (HashSet<u64>, Vec<u64>) = Default::default();
        let mut came: HashMap<u64, usize> = HashMap::new();
        let mut at_risk = 0;
        for (process, book, killed) in &self.books {
            let mut open: &[u64] = &[];
            let mut taking = 0;
            for entry in book {
                match entry {
                    Entry::Putting(ids) => {
                        announced.extend(ids);
                        open = ids;
                    }
                    Entry::Put(n) => put.extend(&open[..*n]),
                    Entry::Taking(n) => taking = *n,
                    Entry::Took(ids) => {
                        taking = 0;
                        ids.iter().for_each(|&id| *came.entry(id).or_default() += 1);
                    }
                    _ => {}
                }
            }
            if taking > 0 && !killed {
                return Err(format!("worker {process} has ended in the middle of a take"));
            }
            at_risk += taking;
        }
        let taken = came.values().sum();
        for &id in self.left.iter().chain(&self.reports) {
            *came.entry(id).or_default() += 1;
        }
        for (id, &n) in &came {
            if n > 1 {
                return Err(format!("message {id:#x} came {n} times"));
            }
            if !announced.contains(id) {
                return Err(format!("message {id:#x} was put by nobody"));
            }
        }
        let lost: Vec<_> = put.iter().filter(|id| !came.contains_key(id)).collect();
        if lost.len() > at_risk {
            let some = &lost[..lost.len().min(9)];
            return Err(format!("{} messages are lost, {at_risk} were at risk: {some:x?}…", lost.len()));
        }
        Ok(Messages { put: put.len(), taken, lost_with_takers: lost.len() })
    }

    /// What one worker has put comes in the order in which it put it, and none of it is missing: there is one taker, and it
    /// lives.
    fn order_of_reports(&self) -> Result<(), String> {
        let mut last: HashMap<u64, u64> = HashMap::new();
        for &id in &self.reports {
            if let Some(before) = last.insert(sender(id), id).filter(|&before| before >= id) {
                return Err(format!("report {id:#x} came after {before:#x}"));
            }
        }
        Ok(())
    }
}

mod tests {
    //! The verdict itself: faults that are planted in what a storm has left.

    use super::*;
    use crate::storm;

    /// Changes what a real storm has left, and gives the verdict's complaint.
    fn complaint(evidence: &Evidence, plant: impl FnOnce(&mut Evidence)) -> String {
        let mut evidence = evidence.clone();
        plant(&mut evidence);
        evidence.judge().map(|_| ()).unwrap_err()
    }

    /// The last entry of this kind in any book, to be changed.
    fn last<T>(evidence: &mut Evidence, pick: impl Fn(&mut Entry) -> Option<&mut T>) -> &mut T {
        let entries = evidence.books.iter_mut().flat_map(|(_, book, _)| book.iter_mut().rev());
        entries.into_iter().find_map(pick).unwrap()
    }

    fn took(entry: &mut Entry) -> Option<&mut Vec<u64>> {
        if let Entry::Took(ids) = entry { Some(ids).filter(|ids| !ids.is_empty()) } else { None }
    }

    #[test]
    fn faults_that_are_planted_in_what_a_storm_has_left_are_found() {
        let evidence = storm::calm(std::time::Duration::from_millis(500));
        evidence.judge().unwrap();
        let found = |plant: &dyn Fn(&mut Evidence)| complaint(&evidence, plant);

        assert!(found(&|e| last(e, took).clear()).contains("lost"));
        assert!(
            found(&|e| {
                e.left.pop().unwrap();
            })
            .contains("lost")
        );
        assert!(
            found(&|e| {
                e.reports.remove(0);
            })
            .contains("lost")
        );
        assert!(found(&|e| e.left.push(e.left[0])).contains("came 2 times"));
        let twice = |e: &mut Evidence| {
            let ids = last(e, took);
            ids.push(ids[0]);
        };
        assert!(found(&twice).contains("came 2 times"));
        assert!(found(&|e| e.left.push(5)).contains("nobody"));
        assert!(found(&|e| e.reports.reverse()).contains("came after"));

        let longest = (0..evidence.lists.len()).max_by_key(|&i| evidence.lists[i].len()).unwrap();
        let append = |of| {
            let mark = |value: &u64| Mark::of(*value).of == of;
            let mut lists = evidence.lists.iter().enumerate();
            lists.find_map(|(l, list)| Some((l, list.iter().position(mark)?))).unwrap()
        };
        let remove = |e: &mut Evidence, (list, i): (usize, usize)| {
            e.lists[list].remove(i);
        };
        // lost, or what others have read never was the beginning
        found(&|e| remove(e, append(1)));
        assert!(found(&|e| remove(e, append(2))).contains("half"));
        found(&|e| e.lists[longest].swap(1, 2));
        let undone = |e: &mut Evidence| {
            let op = last(e, |entry| match entry {
                Entry::History(op) => op.steps.iter().any(|s| matches!(s, Step::Append(..))).then_some(op),
                _ => None,
            });
            op.aborted = !op.aborted;
        };
        found(&undone);
        let stale = |e: &mut Evidence| {
            let read = last(e, |entry| match entry {
                Entry::History(op) => match &mut op.steps[..] {
                    [Step::Read(_, values)] if !values.is_empty() => Some(values),
                    _ => None,
                },
                _ => None,
            });
            read.remove(0);
        };
        found(&stale);
    }
}
