//! The dependency graph and the search for the worst of its cycles.
//!
//! Time is a relation between all pairs of operations; as a chain of the ends, in order, it takes one edge
//! in and one edge out for each operation.
//!
//! A cycle lies in one strongly connected component. Each class of anomaly is a cycle through certain kinds
//! of edges: the classes are tried from the worst to the mildest, as in Elle, and of one class a
//! shortest cycle is given.

use std::fmt;

use petgraph::algo::{astar, kosaraju_scc};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{EdgeFiltered, EdgeRef};

/// Why an operation comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The other appended right after it.
    WriteWrite,
    /// The other has seen its append.
    WriteRead,
    /// It has not seen the other's append.
    ReadWrite,
    /// It had ended when the other began.
    RealTime,
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Edge::WriteWrite => "ww: wrote before",
            Edge::WriteRead => "wr: was seen by",
            Edge::ReadWrite => "rw: did not see",
            Edge::RealTime => "rt: had ended before",
        })
    }
}

/// Edges of a class that are tried in a history that is wrong: each look may walk all of it. (A history so
/// wrong that the cycle of a class is not among them gets the name of a milder one.)
const MOST_LOOKS: usize = 1000;

/// The operations, then a node for each end in the order of time.
pub struct Graph {
    operations: usize,
    graph: DiGraph<(), Edge>,
}

impl Graph {
    /// A graph of so many operations; `times` has start and end of the first of them.
    pub fn new(operations: usize, times: &[(u64, u64)]) -> Graph {
        let mut ends: Vec<(u64, usize)> = times.iter().enumerate().map(|(i, &(_, end))| (end, i)).collect();
        ends.sort_unstable();
        let nodes = operations + ends.len();
        let mut graph = Graph { operations, graph: DiGraph::with_capacity(nodes, 3 * nodes) };
        for _ in 0..nodes {
            graph.graph.add_node(());
        }
        for (k, &(_, i)) in ends.iter().enumerate() {
            graph.add(i, operations + k, Edge::RealTime);
            if k > 0 {
                graph.add(operations + k - 1, operations + k, Edge::RealTime);
            }
        }
        for (i, &(start, _)) in times.iter().enumerate() {
            let before = ends.partition_point(|&(end, _)| end < start);
            if before > 0 {
                graph.add(operations + before - 1, i, Edge::RealTime);
            }
        }
        graph
    }

    /// `from` comes before `to`.
    pub fn add(&mut self, from: usize, to: usize, edge: Edge) {
        self.graph.add_edge(NodeIndex::new(from), NodeIndex::new(to), edge);
    }

    /// A cycle of the worst class there is: operations, each with what ties it to the next one, the last
    /// one to the first.
    pub fn cycle(&self) -> Option<Vec<(usize, Edge)>> {
        use Edge::{ReadWrite, RealTime, WriteRead, WriteWrite};
        // the edge that a cycle goes through, and those that lead back
        let classes: [(Edge, &[Edge]); 8] = [
            (WriteWrite, &[WriteWrite]),
            (WriteRead, &[WriteWrite, WriteRead]),
            (ReadWrite, &[WriteWrite, WriteRead]),
            (ReadWrite, &[WriteWrite, WriteRead, ReadWrite]),
            (WriteWrite, &[WriteWrite, RealTime]),
            (WriteRead, &[WriteWrite, WriteRead, RealTime]),
            (ReadWrite, &[WriteWrite, WriteRead, RealTime]),
            (ReadWrite, &[WriteWrite, WriteRead, ReadWrite, RealTime]),
        ];
        // most often there is no cycle at all, and one look at all edges is enough
        self.components(&[WriteWrite, WriteRead, ReadWrite, RealTime])?;
        classes.iter().find_map(|&(through, back)| self.shortest(through, back))
    }

    /// The number of each node's strongly connected component; `None` if each is a component of its own.
    fn components(&self, edges: &[Edge]) -> Option<Vec<usize>> {
        let some = EdgeFiltered::from_fn(&self.graph, |edge| edges.contains(edge.weight()));
        let found = kosaraju_scc(&some);
        if found.iter().all(|component| component.len() == 1) {
            return None;
        }
        let mut part = vec![0; self.graph.node_count()];
        for (number, component) in found.iter().enumerate() {
            component.iter().for_each(|node| part[node.index()] = number);
        }
        Some(part)
    }

    /// A short cycle that leaves an operation by an edge `through` and comes back over edges `back`.
    fn shortest(&self, through: Edge, back: &[Edge]) -> Option<Vec<(usize, Edge)>> {
        let mut all = back.to_vec();
        all.push(through);
        let part = self.components(&all)?;
        let inside = |from: NodeIndex, to: NodeIndex| part[from.index()] == part[to.index()];
        let some = EdgeFiltered::from_fn(&self.graph, |edge| {
            back.contains(edge.weight()) && inside(edge.source(), edge.target())
        });
        let candidates =
            self.graph.edge_references().filter(|e| *e.weight() == through && inside(e.source(), e.target()));
        let mut best: Option<Vec<NodeIndex>> = None;
        for edge in candidates.take(MOST_LOOKS) {
            let (from, to) = (edge.source(), edge.target());
            let Some((_, path)) = astar(&some, to, |node| node == from, |_| 1u32, |_| 0) else { continue };
            if best.as_ref().is_none_or(|best| path.len() < best.len()) {
                best = Some(path);
            }
            if best.as_ref().is_some_and(|best| best.len() == 2) {
                break;
            }
        }
        Some(self.operations_of(&best?, through, back))
    }

    /// The operations of a cycle, which is given from the target of its first edge to the source of it.
    /// Steps between ends are one step in time.
    fn operations_of(&self, path: &[NodeIndex], through: Edge, back: &[Edge]) -> Vec<(usize, Edge)> {
        let mut cycle = vec![(path[path.len() - 1].index(), through)];
        for pair in path.windows(2) {
            if pair[0].index() >= self.operations {
                continue;
            }
            let edges = self.graph.edges_connecting(pair[0], pair[1]).map(|edge| *edge.weight());
            let edge = edges
                .filter(|edge| back.contains(edge))
                .min_by_key(|edge| back.iter().position(|e| e == edge));
            cycle.push((pair[0].index(), edge.unwrap_or(Edge::RealTime)));
        }
        cycle
    }
}
