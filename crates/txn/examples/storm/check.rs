//! Is the history strictly serialisable?
//!
//! The final contents of a list are the order of its appends. From it and what was read follow the edges of the
//! dependency graph: *ww* (this append right after that), *wr* (read of that append), *rw* (read before that append
//! came); and time adds its own: what ended before something began comes before it. A cycle is a contradiction.

use std::collections::HashMap;

struct Op {
    start: u64,
    end: u64,
    reads: Vec<(u64, Vec<u64>)>,
    appends: Vec<(u64, u64)>,
}

fn parse(line: &str) -> Option<Op> {
    let mut words = line.split(' ');
    let number = |words: &mut std::str::Split<'_, char>| words.next()?.parse::<u64>().ok();
    let mut op = Op { start: number(&mut words)?, end: number(&mut words)?, reads: vec![], appends: vec![] };
    while let Some(kind) = words.next() {
        let list = number(&mut words)?;
        let n = number(&mut words)?;
        match kind {
            "r" => {
                let values = (0..n).map(|_| number(&mut words)).collect::<Option<_>>()?;
                op.reads.push((list, values));
            }
            _ => op.appends.push((list, n)),
        }
    }
    Some(op)
}

/// Reads all histories of `dir` and checks them against the lists' final contents. Panics at a contradiction. Gives a
/// few words about what it has seen.
pub fn check(dir: &str, lists: &[Vec<u64>], seed: u64) -> String {
    let mut ops = Vec::new();
    for entry in std::fs::read_dir(dir).expect("the folder").flatten() {
        if entry.file_name().to_string_lossy().starts_with("history-") {
            let text = std::fs::read_to_string(entry.path()).expect("a history");
            // of one who was killed the last line may be cut
            ops.extend(text.split_inclusive('\n').filter_map(|l| parse(l.strip_suffix('\n')?)));
        }
    }
    let recorded = ops.len();
    // who appended what; appends of the killed that were not recorded are operations of their own, of unknown time
    let mut writer: HashMap<u64, usize> = HashMap::new();
    for (i, op) in ops.iter().enumerate() {
        for &(list, v) in &op.appends {
            assert!(writer.insert(v, i).is_none(), "a value twice in the histories");
            assert!(
                lists[list as usize].contains(&v),
                "append of {v:#x} to {list} is lost (seed {seed}, {dir})"
            );
        }
    }
    let mut unknown = 0;
    for list in lists {
        let mut seen = std::collections::HashSet::new();
        for &v in list {
            assert!(seen.insert(v), "{v:#x} stands twice in a list (seed {seed}, {dir})");
            if let std::collections::hash_map::Entry::Vacant(entry) = writer.entry(v) {
                entry.insert(ops.len());
                ops.push(Op { start: 0, end: u64::MAX, reads: vec![], appends: vec![] });
                unknown += 1;
            }
        }
    }
    // a node for each operation, then one for each end in the order of time
    let mut ends: Vec<(u64, usize)> =
        ops.iter().enumerate().filter(|(_, op)| op.end != u64::MAX).map(|(i, op)| (op.end, i)).collect();
    ends.sort_unstable();
    let n = ops.len();
    let mut edges: Vec<Vec<u32>> = vec![Vec::new(); n + ends.len()];
    for (k, &(_, i)) in ends.iter().enumerate() {
        edges[i].push((n + k) as u32);
        if k > 0 {
            edges[n + k - 1].push((n + k) as u32);
        }
    }
    for (i, op) in ops.iter().enumerate() {
        let before = ends.partition_point(|&(end, _)| end < op.start);
        if before > 0 {
            edges[n + before - 1].push(i as u32);
        }
    }
    for list in lists {
        for pair in list.windows(2) {
            let (a, b) = (writer[&pair[0]], writer[&pair[1]]);
            if a != b {
                edges[a].push(b as u32);
            }
        }
    }
    for (i, op) in ops.iter().enumerate() {
        for (l, values) in &op.reads {
            let list = &lists[*l as usize];
            assert!(
                list.starts_with(values),
                "op {i} read {values:x?} of list {l}, which is {list:x?} (seed {seed}, {dir})"
            );
            if let Some(v) = values.last()
                && writer[v] != i
            {
                edges[writer[v]].push(i as u32);
            }
            if let Some(v) = list.get(values.len())
                && writer[v] != i
            {
                edges[i].push(writer[v] as u32);
            }
        }
    }
    if let Some(cycle) = find_cycle(&edges) {
        for &i in cycle.iter().filter(|&&i| i < n) {
            let op = &ops[i];
            eprintln!("op {i} {}..{} reads {:x?} appends {:x?}", op.start, op.end, op.reads, op.appends);
        }
        panic!("a cycle of {} (seed {seed}, {dir})", cycle.len());
    }
    format!("{recorded} operations on {} lists are strictly serialisable, {unknown} by the dead", lists.len())
}

/// Depth-first, without recursion.
fn find_cycle(edges: &[Vec<u32>]) -> Option<Vec<usize>> {
    let mut state = vec![0u8; edges.len()];
    for root in 0..edges.len() {
        if state[root] != 0 {
            continue;
        }
        let mut path: Vec<(usize, usize)> = vec![(root, 0)];
        state[root] = 1;
        while let Some((node, next)) = path.last_mut() {
            match edges[*node].get(*next) {
                None => {
                    state[*node] = 2;
                    path.pop();
                }
                Some(&to) => {
                    *next += 1;
                    let to = to as usize;
                    if state[to] == 1 {
                        let from = path.iter().position(|&(p, _)| p == to).unwrap_or(0);
                        return Some(path[from..].iter().map(|&(p, _)| p).collect());
                    }
                    if state[to] == 0 {
                        state[to] = 1;
                        path.push((to, 0));
                    }
                }
            }
        }
    }
    None
}
