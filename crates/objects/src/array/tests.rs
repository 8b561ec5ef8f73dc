use super::*;
use crate::testing::*;
use coheap_txn::scratch::ScratchMem;

/// An array as a vector of what may be there.
type Model = Vec<Option<Value>>;

fn read(m: &mut ScratchMem, at: Off, cells: Vec<Cell>) -> Model {
    cells.into_iter().map(|c| (c != Cell::HOLE).then(|| load(m, Guard(at), c))).collect()
}

fn check(m: &mut ScratchMem, at: Off, model: &Model) {
    assert_eq!(len(m, at).unwrap() as usize, model.len());
    let cells = read_range(m, at, 0, u32::MAX).unwrap();
    assert_eq!(read(m, at, cells), *model);
    let there: Vec<u32> = present(m, at).unwrap().into_iter().map(|(i, _)| i).collect();
    let expected: Vec<u32> = (0..model.len() as u32).filter(|&i| model[i as usize].is_some()).collect();
    assert_eq!(there, expected);
}

/// No cell of a dense body outside of the elements holds a reference.
fn check_traceable(m: &mut ScratchMem, at: Off) {
    let head = Head::load(m, at).unwrap();
    if head.is_sparse() || head.body == 0 {
        return;
    }
    let word1 = Word1(m.load64(Guard(at), head.body + 8).unwrap());
    assert_eq!((word1.kind(), word1.low()), (kind::ARRAY_BODY, head.capacity));
    for i in head.len..head.capacity {
        let cell = head.cell(m, i).unwrap();
        assert!(!cell.is_by_value_block() && !cell.is_identity(), "{cell:?}");
    }
}

/// Every block that an array holds.
fn blocks(m: &mut ScratchMem, at: Off) -> Vec<Off> {
    let head = Head::load(m, at).unwrap();
    let mut all = vec![at, head.body, m.load64(Guard(at), at + NAMED).unwrap()];
    let mut cells: Vec<Cell> = present(m, at).unwrap().into_iter().map(|(_, cell)| cell).collect();
    cells.extend(entries_named(m, at).unwrap().into_iter().map(|(_, cell)| cell));
    all.extend(cells.iter().filter(|c| c.is_by_value_block()).map(|c| c.offset()));
    all
}

/// What was taken out is loaded and freed.
fn taken(m: &mut ScratchMem, at: Off, cells: Vec<Cell>) -> Model {
    let values = read(m, at, cells.clone());
    cells.into_iter().for_each(|c| value::free(m, Guard(at), c).unwrap());
    values
}

fn some(r: &mut Random, m: &mut ScratchMem, most: u64) -> (Vec<Cell>, Model) {
    let n = if r.below(10) == 0 { r.below(most) } else { r.below(4) };
    let model: Model = (0..n).map(|_| (r.below(10) != 0).then(|| some_value(r))).collect();
    (model.iter().map(|v| v.as_ref().map_or(Cell::HOLE, |v| build(m, v))).collect(), model)
}

fn run(seed: u64, steps: u64, most: u64, jump: u64) {
    let mut r = Random::new(seed);
    let mut m = ScratchMem::new(64 << 20);
    let at = create(&mut m).unwrap();
    let mut model = Model::new();
    for step in 0..steps {
        let n = model.len() as u64;
        match r.below(14) {
            0..3 => {
                let (cells, values) = some(&mut r, &mut m, most);
                model.extend(values);
                assert_eq!(push(&mut m, at, &cells).unwrap() as usize, model.len());
            }
            3 => {
                let (cells, values) = some(&mut r, &mut m, most);
                model.splice(0..0, values);
                assert_eq!(unshift(&mut m, at, &cells).unwrap() as usize, model.len());
            }
            4 => {
                let cell = pop(&mut m, at).unwrap();
                let found = taken(&mut m, at, cell.into_iter().collect());
                assert_eq!(found, model.pop().into_iter().collect::<Model>());
            }
            5 => {
                let cell = shift(&mut m, at).unwrap();
                let found = taken(&mut m, at, cell.into_iter().collect());
                let expected = if model.is_empty() { vec![] } else { vec![model.remove(0)] };
                assert_eq!(found, expected);
            }
            6 | 7 => {
                let start = r.below(n + 3) as u32;
                let count = if r.below(2) == 0 { r.below(4) } else { r.below(n + 3) } as u32;
                let (cells, values) = some(&mut r, &mut m, most);
                let removed = splice(&mut m, at, start, count, &cells).unwrap();
                let from = (start as usize).min(model.len());
                let to = (from + count as usize).min(model.len());
                let expected: Model = model.splice(from..to, values).collect();
                assert_eq!(taken(&mut m, at, removed), expected);
            }
            8 | 9 if n > 0 => {
                let i = r.below(n);
                let v = some_value(&mut r);
                let cell = build(&mut m, &v);
                set(&mut m, at, i as u32, cell).unwrap();
                model[i as usize] = Some(v);
            }
            10 => {
                let far = r.below(8) == 0;
                let i = n + r.below(if far { jump } else { 5 });
                let v = some_value(&mut r);
                let cell = build(&mut m, &v);
                set(&mut m, at, i as u32, cell).unwrap();
                model.resize(i as usize, None);
                model.push(Some(v));
            }
            11 => {
                let i = r.below(n + 2);
                let expected = model.get_mut(i as usize).is_some_and(|v| v.take().is_some());
                assert_eq!(delete(&mut m, at, i as u32).unwrap(), expected);
            }
            12 => {
                let len = match r.below(12) {
                    0 => 0,
                    1 => n + r.below(jump),
                    _ => n.saturating_sub(r.below(8)),
                };
                set_len(&mut m, at, len as u32).unwrap();
                model.resize(len as usize, None);
            }
            _ => {
                let mut all = present(&mut m, at).unwrap();
                let len = model.len() as u32;
                all.iter_mut().for_each(|(i, _)| *i = len - 1 - *i);
                all.reverse();
                replace_present(&mut m, at, len, &all).unwrap();
                model.reverse();
            }
        }
        if model.len() > 6000 {
            set_len(&mut m, at, 10).unwrap();
            model.truncate(10);
        }
        let i = r.below(model.len() as u64 + 2);
        let found = get(&mut m, at, i as u32).unwrap().map(|c| load(&mut m, Guard(at), c));
        assert_eq!(found, model.get(i as usize).cloned().flatten());
        check_traceable(&mut m, at);
        if step % 32 == 0 {
            check(&mut m, at, &model);
        }
    }
    check(&mut m, at, &model);
    let held = blocks(&mut m, at);
    assert_exactly_live(&mut m, held);
    set_len(&mut m, at, 0).unwrap();
    assert_exactly_live(&mut m, [at]);
}

#[test]
fn an_array_behaves_as_a_vector() {
    for seed in 0..20 {
        run(seed, 500, 12, 20);
        run(seed, 300, 300, 300);
    }
}

#[test]
fn a_sparse_array_behaves_as_a_vector() {
    for seed in 100..120 {
        run(seed, 300, 20, 5000);
    }
}

#[test]
fn the_ends_cost_no_memory_once_there_is_room() {
    let mut m = ScratchMem::new(4 << 20);
    let at = create(&mut m).unwrap();
    for i in 0..10 {
        push(&mut m, at, &[Cell::number(i as f64)]).unwrap();
    }
    let live = m.live.clone();
    for i in 10..10_000 {
        assert_eq!(shift(&mut m, at).unwrap(), Some(Cell::number((i - 10) as f64)));
        push(&mut m, at, &[Cell::number(i as f64)]).unwrap();
    }
    for _ in 0..1000 {
        let cell = pop(&mut m, at).unwrap().unwrap();
        unshift(&mut m, at, &[cell]).unwrap();
    }
    assert_eq!(m.live, live);
    assert_eq!(len(&mut m, at).unwrap(), 10);
}

#[test]
fn indices_up_to_the_largest_are_kept_sparsely() {
    let mut m = ScratchMem::new(4 << 20);
    let at = create_with(&mut m, &[Cell::TRUE, Cell::HOLE, Cell::FALSE]).unwrap();
    set(&mut m, at, u32::MAX - 1, Cell::NULL).unwrap();
    assert_eq!(len(&mut m, at).unwrap(), u32::MAX);
    let there = [(0, Cell::TRUE), (2, Cell::FALSE), (u32::MAX - 1, Cell::NULL)];
    assert_eq!(present(&mut m, at).unwrap(), there);
    assert!(push(&mut m, at, &[Cell::NULL]).is_err());
    assert!(set(&mut m, at, u32::MAX, Cell::NULL).is_err());
    assert!(read_range(&mut m, at, 0, u32::MAX).is_err());
    assert_eq!(read_range(&mut m, at, u32::MAX - 2, 9).unwrap(), [Cell::HOLE, Cell::NULL]);
    assert_eq!(pop(&mut m, at).unwrap(), Some(Cell::NULL));
    assert_eq!(pop(&mut m, at).unwrap(), Some(Cell::HOLE));
    assert_eq!(shift(&mut m, at).unwrap(), Some(Cell::TRUE));
    assert_eq!(present(&mut m, at).unwrap(), [(1, Cell::FALSE)]);
    set_len(&mut m, at, 2).unwrap();
    assert_eq!(read_range(&mut m, at, 0, 9).unwrap(), [Cell::HOLE, Cell::FALSE]);
}

#[test]
fn an_array_whose_indices_double_becomes_sparse() {
    let mut m = ScratchMem::new(4 << 20);
    let at = create(&mut m).unwrap();
    let there: Vec<(u32, Cell)> = (1..32).map(|k| ((1 << k) - 2, Cell::number(k as f64))).collect();
    for &(i, cell) in &there {
        set(&mut m, at, i, cell).unwrap();
    }
    assert!(Head::load(&mut m, at).unwrap().is_sparse());
    assert_eq!(present(&mut m, at).unwrap(), there);
    let held = blocks(&mut m, at);
    assert_exactly_live(&mut m, held);
}

#[test]
fn a_sparse_array_that_fills_up_is_dense_again() {
    let mut m = ScratchMem::new(16 << 20);
    let at = create(&mut m).unwrap();
    set_len(&mut m, at, 50_000).unwrap();
    assert!(Head::load(&mut m, at).unwrap().is_sparse());
    for i in 0..50_000 {
        set(&mut m, at, i, Cell::number(i as f64)).unwrap();
    }
    assert!(!Head::load(&mut m, at).unwrap().is_sparse());
    assert!((0..50_000).all(|i| get(&mut m, at, i).unwrap() == Some(Cell::number(i as f64))));
    let held = blocks(&mut m, at);
    assert_exactly_live(&mut m, held);
}

#[test]
fn built_arrays_have_their_elements_indices_and_names() {
    let mut m = ScratchMem::new(4 << 20);
    let name = |m: &mut ScratchMem| crate::string::build(m, &"a long enough name".into()).unwrap();
    for (length, far) in [(4, 3), (100_000, 99_999)] {
        let text = name(&mut m);
        let block = reserve(&mut m).unwrap();
        let more =
            [(Key::string("name"), text), (Key::index(far), Cell::TRUE), (Key::symbol("1"), Cell::NULL)];
        fill(&mut m, block, length, &[Cell::FALSE, Cell::HOLE], &more).unwrap();
        let at = block.at;
        assert_eq!(len(&mut m, at).unwrap(), length);
        assert_eq!(present(&mut m, at).unwrap(), [(0, Cell::FALSE), (far, Cell::TRUE)]);
        assert_eq!(get_named(&mut m, at, &Key::string("name")).unwrap(), Some(text));
        assert_eq!(entries_named(&mut m, at).unwrap(), [more[0].clone(), more[2].clone()]);
        assert!(delete_named(&mut m, at, &Key::string("name")).unwrap());
        let held = [blocks(&mut m, at)].concat();
        assert!(held.iter().all(|b| *b == 0 || m.live.contains(b)));
    }
    let block = reserve(&mut m).unwrap();
    assert!(fill(&mut m, block, 2, &[Cell::NULL], &[(Key::index(2), Cell::NULL)]).is_err());
    assert!(fill(&mut m, block, 2, &[Cell::NULL], &[(Key::index(0), Cell::NULL)]).is_err());
}

#[test]
fn named_properties_belong_to_the_array() {
    let mut m = ScratchMem::new(4 << 20);
    let at = create(&mut m).unwrap();
    let key = Key::string("index");
    assert_eq!(get_named(&mut m, at, &key).unwrap(), None);
    assert!(!delete_named(&mut m, at, &key).unwrap());
    set_named(&mut m, at, &key, Cell::number(1.0)).unwrap();
    let before = m.version(Guard(at)).unwrap();
    set_named(&mut m, at, &key, Cell::number(2.0)).unwrap();
    assert!(m.version(Guard(at)).unwrap() > before, "its guard is the array's");
    assert_eq!(get_named(&mut m, at, &key).unwrap(), Some(Cell::number(2.0)));
    assert_eq!(len(&mut m, at).unwrap(), 0);
}

#[test]
fn a_destroyed_array_says_so_and_garbage_is_corrupt() {
    let mut m = ScratchMem::new(4 << 20);
    let at = create_with(&mut m, &[Cell::TRUE; 3]).unwrap();
    let body = m.load64(Guard(at), at + BODY).unwrap();
    for (word, garbage) in [
        (LENGTH, 100),
        (LENGTH, 3 | 100 << 32),
        (BODY, 1 << 40),
        (CAPACITY, 1 << 33),
        (CAPACITY, 1 << 30),
        (BODY, body + 4),
    ] {
        let sound = m.load64(Guard(at), at + word).unwrap();
        m.init64(at + word, garbage);
        assert!(read_range(&mut m, at, 0, 10).is_err(), "{word} {garbage}");
        m.init64(at + word, sound);
    }
    m.finish(at, kind::ARRAY, 0, SPARSE);
    assert!(get(&mut m, at, 0).is_err());
    m.finish(at, kind::ARRAY, 0, DESTROYED);
    let e = get(&mut m, at, 0).unwrap_err();
    assert!(matches!(e, coheap_txn::Fault::Error(e) if e.code == Code::Destroyed));
}
