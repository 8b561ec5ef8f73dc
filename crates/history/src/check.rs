//! From a history to its dependency graph.
//!
//! The final contents of a list are the order of its appends. From it and from what was read follow the
//! dependencies: *ww* (this append right after that), *wr* (a read of that append), *rw* (a read before
//! that append came). Time adds its own, *rt*: what had ended before something began comes before it. A
//! cycle is a contradiction ([`crate::cycle`]).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::anomaly::{Anomaly, Kind};
use crate::cycle::{Edge, Graph};
use crate::record::{List, Operation, Step, Value};

/// What was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Operations that were recorded.
    pub operations: usize,
    /// Lists.
    pub lists: usize,
    /// Dependencies between operations, without those by time.
    pub dependencies: usize,
    /// Appends of which there is no record: by those who died before they could write.
    pub unrecorded: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { operations, lists, dependencies, unrecorded } = self;
        write!(
            f,
            "{operations} operations on {lists} lists with {dependencies} dependencies are strictly serialisable, \
             {unrecorded} appends by the dead"
        )
    }
}

fn anomaly(kind: Kind, operations: impl Into<Vec<usize>>, what: String) -> Anomaly {
    Anomaly { kind, what, operations: operations.into() }
}

/// Is the history strictly serialisable? `lists[n]` is what list `n` holds in the end. An append in a list
/// that nobody recorded is an operation of its own, of unknown time.
///
/// The first anomaly in the order of [`Kind`], if there is any.
///
/// # Panics
///
/// If an operation names a list that is not there: the recorder is wrong.
pub fn check(ops: &[Operation], lists: &[Vec<Value>]) -> Result<Summary, Anomaly> {
    let history = History::new(ops, lists)?;
    history.own_appends()?;
    history.committed_reads()?;
    history.whole_reads()?;
    history.nothing_lost()?;
    history.one_order()?;
    let (graph, dependencies) = history.graph();
    match graph.cycle() {
        None => Ok(Summary {
            operations: ops.len(),
            lists: lists.len(),
            dependencies,
            unrecorded: history.unrecorded,
        }),
        Some(cycle) => Err(history.name(cycle)),
    }
}

/// Who wrote a value, and where it stands.
#[derive(Clone, Copy)]
struct Written {
    /// Beyond the recorded operations: nobody has said so.
    by: usize,
    /// The last of its operation's appends to this list.
    last: bool,
}

struct History<'a> {
    ops: &'a [Operation],
    lists: &'a [Vec<Value>],
    written: HashMap<Value, Written>,
    unrecorded: usize,
}

impl<'a> History<'a> {
    fn new(ops: &'a [Operation], lists: &'a [Vec<Value>]) -> Result<Self, Anomaly> {
        let mut written = HashMap::new();
        for (by, op) in ops.iter().enumerate() {
            let mut lasts = HashMap::new();
            for (list, value) in op.appends() {
                let new = Written { by, last: true };
                if let Some(other) = written.insert(value, new) {
                    let what = format!("{value:#x} was appended twice");
                    return Err(anomaly(Kind::Malformed, [other.by, by], what));
                }
                if let Some(before) = lasts.insert(list, value)
                    && let Some(before) = written.get_mut(&before)
                {
                    before.last = false;
                }
            }
        }
        let mut unrecorded = 0;
        for (list, values) in lists.iter().enumerate() {
            let mut seen = HashSet::new();
            for &value in values {
                if !seen.insert(value) {
                    let what = format!("{value:#x} stands in list {list} twice");
                    return Err(anomaly(Kind::Duplicate, [], what));
                }
                if let Entry::Vacant(entry) = written.entry(value) {
                    entry.insert(Written { by: ops.len() + unrecorded, last: true });
                    unrecorded += 1;
                }
            }
        }
        Ok(History { ops, lists, written, unrecorded })
    }

    /// What an operation read of a list without what it has itself appended to it by then.
    fn others<'b>(&self, op: usize, read: &'b [Value]) -> &'b [Value] {
        let own = read.iter().rev().take_while(|value| self.written.get(value).is_some_and(|w| w.by == op));
        &read[..read.len() - own.count()]
    }

    /// A transaction sees its own appends as soon as it has made them, at the end of what was there, and no
    /// other change.
    fn own_appends(&self) -> Result<(), Anomaly> {
        for (i, op) in self.ops.iter().enumerate() {
            let mut seen: HashMap<List, &[Value]> = HashMap::new();
            let mut own: HashMap<List, Vec<Value>> = HashMap::new();
            for step in &op.steps {
                match step {
                    Step::Append(list, value) => own.entry(*list).or_default().push(*value),
                    Step::Read(list, values) => {
                        let before = self.others(i, values);
                        let mine = own.get(list).map_or(&[][..], Vec::as_slice);
                        let same = *seen.entry(*list).or_insert(before) == before;
                        if !same || values[before.len()..] != *mine {
                            let what =
                                format!("operation {i} does not agree with itself on list {list}: {op}");
                            return Err(anomaly(Kind::Internal, [i], what));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Nobody has seen, and no list holds, what was not committed.
    fn committed_reads(&self) -> Result<(), Anomaly> {
        let aborted = |written: &Written| self.ops.get(written.by).is_some_and(|op| op.aborted);
        for (list, values) in self.lists.iter().enumerate() {
            for value in values {
                let written = &self.written[value];
                if aborted(written) {
                    let what = format!("{value:#x} of an aborted operation stands in list {list}");
                    return Err(anomaly(Kind::AbortedRead, [written.by], what));
                }
            }
        }
        for (i, op) in self.ops.iter().enumerate() {
            for (list, values) in op.reads() {
                for value in self.others(i, values) {
                    let written = self.written.get(value);
                    if written.is_none_or(aborted) {
                        let what =
                            format!("operation {i} saw {value:#x} in list {list}, which was not committed");
                        let by = written.map(|w| w.by).filter(|&by| by != i);
                        return Err(anomaly(
                            Kind::AbortedRead,
                            [Some(i), by].into_iter().flatten().collect::<Vec<_>>(),
                            what,
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// Who sees one of an operation's appends to a list sees all of them.
    fn whole_reads(&self) -> Result<(), Anomaly> {
        for (i, op) in self.ops.iter().enumerate() {
            for (list, values) in op.reads() {
                if let Some(value) = self.others(i, values).last()
                    && let Some(written) = self.written.get(value)
                    && !written.last
                {
                    let what =
                        format!("operation {i} saw list {list} end with {value:#x}, not its writer's last");
                    return Err(anomaly(Kind::IntermediateRead, [written.by, i], what));
                }
            }
        }
        Ok(())
    }

    /// What was committed stands where it was appended.
    fn nothing_lost(&self) -> Result<(), Anomaly> {
        let held: Vec<HashSet<&Value>> = self.lists.iter().map(|list| list.iter().collect()).collect();
        for (i, op) in self.ops.iter().enumerate().filter(|(_, op)| !op.aborted) {
            for (list, value) in op.appends() {
                if !held[list as usize].contains(&value) {
                    let what = format!("operation {i} appended {value:#x} to list {list}, which has lost it");
                    return Err(anomaly(Kind::LostUpdate, [i], what));
                }
            }
        }
        Ok(())
    }

    /// What was read of a list is its beginning.
    fn one_order(&self) -> Result<(), Anomaly> {
        for (i, op) in self.ops.iter().enumerate() {
            for (list, values) in op.reads() {
                let values = self.others(i, values);
                let all = &self.lists[list as usize];
                if !all.starts_with(values) {
                    let what = format!("operation {i} read {values:x?} of list {list}, which is {all:x?}");
                    return Err(anomaly(Kind::IncompatibleOrder, [i], what));
                }
            }
        }
        Ok(())
    }

    fn graph(&self) -> (Graph, usize) {
        let ends: Vec<(u64, u64)> = self.ops.iter().map(|op| (op.start, op.end)).collect();
        let mut graph = Graph::new(self.ops.len() + self.unrecorded, &ends);
        let mut dependencies = 0;
        let mut add = |from: usize, to: usize, edge: Edge| {
            if from != to {
                dependencies += 1;
                graph.add(from, to, edge);
            }
        };
        for list in self.lists {
            for pair in list.windows(2) {
                add(self.written[&pair[0]].by, self.written[&pair[1]].by, Edge::WriteWrite);
            }
        }
        for (i, op) in self.ops.iter().enumerate() {
            for (list, values) in op.reads() {
                let values = self.others(i, values);
                if let Some(value) = values.last() {
                    add(self.written[value].by, i, Edge::WriteRead);
                }
                if let Some(value) = self.lists[list as usize].get(values.len()) {
                    add(i, self.written[value].by, Edge::ReadWrite);
                }
            }
        }
        (graph, dependencies)
    }

    /// What a cycle is called. Two who appended to a list after having read it as it was before either have
    /// lost an update, which as a cycle is a read skew.
    fn name(&self, cycle: Vec<(usize, Edge)>) -> Anomaly {
        let kind = match self.lost_update(&cycle) {
            true => Kind::LostUpdate,
            false => kind_of(&cycle),
        };
        let mut what = format!("a cycle of {}", cycle.len());
        for &(i, edge) in &cycle {
            match self.ops.get(i) {
                Some(op) => what += &format!("\n  {i}: {op}\n    {edge}"),
                None => what += &format!("\n  {i}: not recorded\n    {edge}"),
            }
        }
        anomaly(kind, cycle.iter().map(|&(i, _)| i).collect::<Vec<_>>(), what)
    }

    fn lost_update(&self, cycle: &[(usize, Edge)]) -> bool {
        let [(a, _), (b, _)] = *cycle else { return false };
        let (Some(a_op), Some(b_op)) = (self.ops.get(a), self.ops.get(b)) else { return false };
        let appends = |op: &Operation, list| op.appends().any(|(l, _)| l == list);
        a_op.reads().any(|(list, values)| {
            let values = self.others(a, values);
            let same = b_op.reads().any(|(l, other)| l == list && self.others(b, other) == values);
            same && appends(a_op, list) && appends(b_op, list)
        })
    }
}

/// The anomaly of a cycle, by the kinds of its edges.
fn kind_of(cycle: &[(usize, Edge)]) -> Kind {
    let count = |kind: Edge| cycle.iter().filter(|&&(_, edge)| edge == kind).count();
    let timed = count(Edge::RealTime) > 0;
    match (count(Edge::ReadWrite), count(Edge::WriteRead), timed) {
        (0, 0, false) => Kind::DirtyWrite,
        (0, _, false) => Kind::CircularInformationFlow,
        (1, _, false) => Kind::ReadSkew,
        (_, _, false) => Kind::WriteSkew,
        (0, 0, true) => Kind::DirtyWriteRealTime,
        (0, _, true) => Kind::CircularInformationFlowRealTime,
        (1, _, true) => Kind::ReadSkewRealTime,
        (_, _, true) => Kind::WriteSkewRealTime,
    }
}
