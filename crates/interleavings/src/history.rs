//! Histories of operations on a heap, and whether there is an order in which they could have been done one by one.
//!
//! Wing and Gong's search (1993): take any operation that began before every other one left over had ended, do it to
//! the state, go on; go back if its result does not fit. One that was cut short by a death may have been done or not.

use std::collections::{BTreeMap, VecDeque};

/// What the heap of a test holds, as one would write it without sharing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// One number for each object.
    pub objects: Vec<u64>,
    /// The map.
    pub map: BTreeMap<u64, u64>,
    /// The channel's messages, by putter: the tens of a number are its putter's. A channel keeps each putter's order; who
    /// puts several at once is seen to put them at one instant, and others' may come between them.
    pub messages: BTreeMap<u64, VecDeque<u64>>,
    /// Somebody may abort or die: what comes back from that comes after what others have taken meanwhile.
    pub disorder: bool,
    /// Taken by who was cut short then. It counted as taken; if its taker died before it had it, it comes back, once.
    pub held: Vec<u64>,
}

impl State {
    fn line_of(&self, message: u64) -> u64 {
        if self.disorder || message >= 100 { message } else { message / 10 }
    }
    fn put(&mut self, message: u64) {
        self.messages.entry(self.line_of(message)).or_default().push_back(message);
    }
    /// False: it is not the first of its putter.
    fn take(&mut self, message: u64) -> bool {
        let line = self.line_of(message);
        let Some(of_putter) = self.messages.get_mut(&line) else { return false };
        let fits = of_putter.pop_front() == Some(message);
        if of_putter.is_empty() {
            self.messages.remove(&line);
        }
        fits
    }
    fn firsts(&self) -> Vec<u64> {
        self.messages.values().filter_map(|of_putter| of_putter.front().copied()).collect()
    }
}

/// An operation with what it gave; `None` if it was cut short, so that nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Adds 1 to an object: what was there.
    Add(usize, Option<u64>),
    /// Reads an object.
    Get(usize, Option<u64>),
    /// Moves 1 from an object to another in a transaction: what was there.
    Move(usize, usize, Option<(u64, u64)>),
    /// Reads all objects in a transaction.
    Audit(Option<Vec<u64>>),
    /// Sets a key to a value: whether it was there.
    Set(u64, u64, Option<bool>),
    /// Deletes a key: whether it was there.
    Delete(u64, Option<bool>),
    /// The value of a key.
    Lookup(u64, Option<Option<u64>>),
    /// Puts messages, all at one instant: whether it did.
    Put(Vec<u64>, Option<bool>),
    /// Takes up to so many messages at one instant.
    Take(usize, Option<Vec<u64>>),
    /// Takes a message and puts it back, 100 more, in one transaction, unless there is none.
    Requeue(Option<Option<u64>>),
}

/// An operation, and the moments between which it was done.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it began.
    pub began: u64,
    /// When it ended; `u64::MAX` if it was cut short.
    pub ended: u64,
    /// What it was.
    pub action: Action,
}

fn fits<T: PartialEq>(seen: &Option<T>, is: T) -> bool {
    seen.as_ref().is_none_or(|seen| *seen == is)
}

/// The states that the action may lead to; none: it cannot have given what it gave.
fn apply(state: &State, action: &Action) -> Vec<State> {
    let mut next = state.clone();
    let fits = match action {
        Action::Add(i, seen) => {
            next.objects[*i] += 1;
            fits(seen, state.objects[*i])
        }
        Action::Get(i, seen) => fits(seen, state.objects[*i]),
        Action::Move(from, to, seen) => {
            next.objects[*from] -= 1;
            next.objects[*to] += 1;
            fits(seen, (state.objects[*from], state.objects[*to]))
        }
        Action::Audit(seen) => fits(seen, state.objects.clone()),
        Action::Set(key, value, seen) => fits(seen, next.map.insert(*key, *value).is_some()),
        Action::Delete(key, seen) => fits(seen, next.map.remove(key).is_some()),
        Action::Lookup(key, seen) => fits(seen, state.map.get(key).copied()),
        Action::Put(values, seen) => {
            values.iter().for_each(|&n| next.put(n));
            fits(seen, true)
        }
        Action::Take(most, Some(seen)) => {
            let all = seen.iter().all(|&n| next.take(n));
            all && (seen.len() == *most || next.messages.is_empty())
        }
        Action::Requeue(Some(None)) => state.messages.is_empty(),
        Action::Requeue(Some(Some(n))) => {
            let fits = next.take(*n);
            next.put(n + 100);
            fits
        }
        // whatever it took, it may have been any
        Action::Take(_, None) => {
            let each = |n| {
                let mut taken = apply(state, &Action::Take(1, Some(vec![n])));
                taken.iter_mut().for_each(|next| next.held.push(n));
                taken
            };
            return state.firsts().into_iter().flat_map(each).collect();
        }
        Action::Requeue(None) => {
            let each = |n| apply(state, &Action::Requeue(Some(Some(n))));
            return state.firsts().into_iter().flat_map(each).collect();
        }
    };
    if fits { vec![next] } else { Vec::new() }
}

/// True if the events could have been done one by one, each at a moment between its beginning and its end.
pub fn is_linearizable(state: &State, events: &[Event]) -> bool {
    let mut left: Vec<&Event> = events.iter().collect();
    search(state, &mut left)
}

fn search(state: &State, left: &mut Vec<&Event>) -> bool {
    // those that were cut short need not have been done
    let Some(first_end) = left.iter().map(|event| event.ended).min().filter(|&end| end != u64::MAX) else {
        return true;
    };
    for i in 0..left.len() {
        if left[i].began > first_end {
            continue;
        }
        for next in apply(state, &left[i].action) {
            let event = left.remove(i);
            if search(&next, left) {
                return true;
            }
            left.insert(i, event);
        }
    }
    (0..state.held.len()).any(|i| {
        let mut back = state.clone();
        let message = back.held.remove(i);
        back.put(message);
        search(&back, left)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(began: u64, ended: u64, action: Action) -> Event {
        Event { began, ended, action }
    }

    fn two_objects() -> State {
        State { objects: vec![5, 0], ..State::default() }
    }

    #[test]
    fn operations_at_the_same_time_may_come_in_any_order() {
        let get = |n| [event(0, 9, Action::Add(0, Some(5))), event(1, 2, Action::Get(0, Some(n)))];
        assert!(is_linearizable(&two_objects(), &get(5)));
        assert!(is_linearizable(&two_objects(), &get(6)));
        assert!(!is_linearizable(&two_objects(), &get(7)));
    }

    #[test]
    fn a_lost_addition_is_found() {
        let sut = [event(0, 9, Action::Add(0, Some(5))), event(1, 8, Action::Add(0, Some(5)))];
        assert!(!is_linearizable(&two_objects(), &sut));
    }

    #[test]
    fn an_operation_that_ended_before_another_began_comes_first() {
        let sut = [event(0, 1, Action::Add(0, Some(5))), event(2, 3, Action::Get(0, Some(5)))];
        assert!(!is_linearizable(&two_objects(), &sut));
    }

    #[test]
    fn half_a_move_is_found() {
        let sut =
            [event(0, 9, Action::Move(0, 1, Some((5, 0)))), event(1, 8, Action::Audit(Some(vec![4, 0])))];
        assert!(!is_linearizable(&two_objects(), &sut));
    }

    #[test]
    fn a_message_that_a_dead_one_had_taken_comes_back_once() {
        let state = State { disorder: true, ..State::default() };
        let put = event(0, 1, Action::Put(vec![3], Some(true)));
        let cut = event(2, u64::MAX, Action::Take(1, None));
        let nothing = event(3, 4, Action::Take(1, Some(vec![])));
        let take = |began| event(began, began + 1, Action::Take(1, Some(vec![3])));
        let back = [put.clone(), cut.clone(), nothing.clone(), take(5)];
        assert!(is_linearizable(&state, &back));
        assert!(!is_linearizable(&state, &[put.clone(), nothing.clone(), take(5)]), "nobody had taken it");
        assert!(!is_linearizable(&state, &[put, cut, nothing, take(5), take(7)]), "it comes back twice");
    }

    #[test]
    fn what_was_cut_short_has_been_done_or_not_but_not_undone() {
        let cut = event(0, u64::MAX, Action::Add(0, None));
        for n in [5, 6] {
            assert!(is_linearizable(&two_objects(), &[cut.clone(), event(2, 3, Action::Get(0, Some(n)))]));
        }
        let undone = [cut, event(2, 3, Action::Get(0, Some(6))), event(4, 5, Action::Get(0, Some(5)))];
        assert!(!is_linearizable(&two_objects(), &undone));
    }

    #[test]
    fn messages_out_of_order_lost_or_taken_twice_are_found() {
        let put = event(0, 1, Action::Put(vec![1, 2], Some(true)));
        let take = |at, n: &[u64]| event(at, at + 1, Action::Take(1, Some(n.to_vec())));
        let fits = |takes: &[Event]| {
            is_linearizable(&State::default(), &[std::slice::from_ref(&put), takes].concat())
        };
        assert!(fits(&[take(2, &[1]), take(4, &[2]), take(6, &[])]));
        assert!(!fits(&[take(2, &[2])]));
        assert!(!fits(&[take(2, &[1]), take(4, &[1])]));
        assert!(!fits(&[take(2, &[1]), take(4, &[])]));
    }
}
