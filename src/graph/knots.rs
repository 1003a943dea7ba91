//! Things that wait for each other: strongly connected components, the shortest way round, and
//! who is above whom. Iterative throughout: a chain of 10,000 must not cost a stack of 10,000.

use std::collections::VecDeque;

use crate::graph::dag::{LaneIx, Rows, TaskIx};

/// Cycles that are named for one file. Each is a search; nobody reads more of them at once.
const CYCLES_NAMED_MAX: usize = 20;

/// Something numbered from 0.
pub(crate) trait Ix: Copy {
    fn at(self) -> usize;
}

impl Ix for TaskIx {
    fn at(self) -> usize {
        TaskIx::at(self)
    }
}

impl Ix for LaneIx {
    fn at(self) -> usize {
        LaneIx::at(self)
    }
}

const NEW: u32 = u32::MAX;

/// Who hangs together with whom. `a` and `b` share a component iff each waits for the other.
#[derive(Debug)]
pub(crate) struct Components {
    /// The component of each, numbered so that one comes after those it waits for.
    of: Vec<u32>,
    /// Members in the order of their components.
    order: Vec<u32>,
    /// Members of each component.
    sizes: Vec<u32>,
}

/// A walk by Tarjan (1972) with its own stack.
struct Walk {
    number: Vec<u32>,
    low: Vec<u32>,
    numbered: u32,
    held: Vec<u32>,
    path: Vec<(u32, usize)>,
    found: Components,
}

impl Components {
    /// Row `a` of `next` lists whom `a` waits for.
    pub(crate) fn of<I: Ix>(next: &Rows<I>) -> Self {
        let fresh = || vec![NEW; next.len()];
        let found = Self { of: fresh(), order: Vec::new(), sizes: Vec::new() };
        let mut walk = Walk {
            number: fresh(),
            low: fresh(),
            numbered: 0,
            held: Vec::new(),
            path: Vec::new(),
            found,
        };
        for start in 0..next.len() {
            if walk.number[start] == NEW {
                walk.enter(start);
                walk.run(next);
            }
        }
        walk.found
    }

    /// All members, those that wait for nobody first.
    pub(crate) fn order(&self) -> impl Iterator<Item = usize> {
        self.order.iter().map(|member| *member as usize)
    }

    /// Whether `a` and `b` wait for each other.
    pub(crate) fn together(&self, a: impl Ix, b: impl Ix) -> bool {
        self.of[a.at()] == self.of[b.at()]
    }

    /// Ways round, each as short as its first member allows: every member of a component lies on
    /// one of them, up to a bound. Members wait for the one after them.
    pub(crate) fn cycles<I: Ix>(&self, next: &Rows<I>) -> Vec<Vec<usize>> {
        let mut named = vec![false; next.len()];
        let mut cycles = Vec::new();
        for start in 0..next.len() {
            let alone = self.sizes[self.of[start] as usize] == 1;
            if !alone && !named[start] && cycles.len() < CYCLES_NAMED_MAX {
                let cycle = self.shortest_cycle(next, start);
                cycle.iter().for_each(|member| named[*member] = true);
                cycles.push(cycle);
            }
        }
        cycles
    }

    fn shortest_cycle<I: Ix>(&self, next: &Rows<I>, start: usize) -> Vec<usize> {
        let mut before = vec![NEW; next.len()];
        let mut open = VecDeque::from([start]);
        while let Some(at) = open.pop_front() {
            for to in next.row(at).iter().map(|to| to.at()) {
                if to == start {
                    let back = |at: &usize| (*at != start).then(|| before[*at] as usize);
                    let mut cycle: Vec<usize> = std::iter::successors(Some(at), back).collect();
                    cycle.reverse();
                    return cycle;
                }
                if self.of[to] == self.of[start] && before[to] == NEW {
                    before[to] = at as u32;
                    open.push_back(to);
                }
            }
        }
        unreachable!("BUG: no way round inside a component of several members")
    }

    /// Which of `pairs` (`a`, `b`) are true: `a` waits for `b`, directly or not. Sixty-four
    /// targets share one pass over the edges, a bit each, so that 10,000 targets cost some hundred
    /// and fifty passes and one word of memory for each member.
    pub(crate) fn waits_for<I: Ix>(&self, next: &Rows<I>, pairs: &[(I, I)]) -> Vec<bool> {
        let mut sorted: Vec<(usize, usize)> =
            pairs.iter().enumerate().map(|(pair, (_, to))| (to.at(), pair)).collect();
        sorted.sort_unstable();
        let mut truth = vec![false; pairs.len()];
        let mut rest = &sorted[..];
        while !rest.is_empty() {
            let mut targets: Vec<usize> = Vec::new();
            let fits = rest.iter().take_while(|(to, _)| {
                let known = targets.last() == Some(to);
                if !known && targets.len() < u64::BITS as usize {
                    targets.push(*to);
                }
                targets.last() == Some(to)
            });
            let (batch, left) = rest.split_at(fits.count());
            let above = self.above(next, &targets);
            for (to, pair) in batch {
                let bit = targets.partition_point(|target| target < to);
                let from = self.of[pairs[*pair].0.at()] as usize;
                truth[*pair] = above[from] >> bit & 1 == 1;
            }
            rest = left;
        }
        truth
    }

    /// For each component, which of `targets` it waits for, as bits.
    fn above<I: Ix>(&self, next: &Rows<I>, targets: &[usize]) -> Vec<u64> {
        let mut own = vec![0u64; next.len()];
        for (bit, target) in targets.iter().enumerate() {
            own[*target] = 1 << bit;
        }
        let mut above = vec![0u64; self.sizes.len()];
        for member in &self.order {
            let component = self.of[*member as usize] as usize;
            for to in next.row(*member as usize).iter().map(|to| to.at()) {
                above[component] |= own[to] | above[self.of[to] as usize];
            }
        }
        above
    }
}

impl Walk {
    fn enter(&mut self, node: usize) {
        self.number[node] = self.numbered;
        self.low[node] = self.numbered;
        self.numbered += 1;
        self.held.push(node as u32);
        self.path.push((node as u32, 0));
    }

    fn run<I: Ix>(&mut self, next: &Rows<I>) {
        while let Some((node, at)) = self.path.last_mut() {
            let node = *node as usize;
            if let Some(to) = next.row(node).get(*at).map(|to| to.at()) {
                *at += 1;
                if self.number[to] == NEW {
                    self.enter(to);
                } else if self.found.of[to] == NEW {
                    self.low[node] = self.low[node].min(self.number[to]);
                }
            } else {
                self.path.pop();
                if let Some((up, _)) = self.path.last() {
                    let up = *up as usize;
                    self.low[up] = self.low[up].min(self.low[node]);
                }
                if self.low[node] == self.number[node] {
                    self.close(node);
                }
            }
        }
    }

    /// Everything held since `node` is one component.
    fn close(&mut self, node: usize) {
        let first = self.held.iter().rposition(|held| *held as usize == node).unwrap_or(0);
        let component = self.found.sizes.len() as u32;
        self.found.sizes.push((self.held.len() - first) as u32);
        for member in self.held.drain(first..) {
            self.found.of[member as usize] = component;
            self.found.order.push(member);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::{ProptestConfig, any, prop};

    use super::*;

    fn rows(size: usize, edges: &[(u8, u8)]) -> Rows<TaskIx> {
        let mut rows = Rows::new();
        for from in 0..size {
            let to = |(a, b): &(u8, u8)| {
                let (a, b) = (usize::from(*a) % size, usize::from(*b) % size);
                (a == from && b != from).then_some(TaskIx(b as u32))
            };
            edges.iter().filter_map(to).for_each(|to| rows.push(to));
            rows.end_row();
        }
        rows
    }

    fn reach(next: &Rows<TaskIx>, from: usize) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            open.extend(next.row(at).iter().map(|to| to.at()).filter(|to| reached.insert(*to)));
        }
        reached
    }

    proptest::proptest! {
        // All pairs of every graph are compared; a few dozen graphs of up to two batches say it.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn components_cycles_and_waits_are_what_can_be_reached(
            size in 1..100usize,
            edges in prop::collection::vec(any::<(u8, u8)>(), 0..180),
        ) {
            let next = rows(size, &edges);
            let reached: Vec<_> = (0..size).map(|from| reach(&next, from)).collect();
            let components = Components::of(&next);
            let tasks = || (0..size as u32).map(TaskIx);
            let pairs: Vec<_> = tasks().flat_map(|a| tasks().map(move |b| (a, b))).collect();
            let waits = components.waits_for(&next, &pairs);
            for ((a, b), waits) in pairs.iter().zip(waits) {
                let (there, back) = (&reached[a.at()], &reached[b.at()]);
                proptest::prop_assert_eq!(waits, there.contains(&b.at()));
                let mutual = a == b || there.contains(&b.at()) && back.contains(&a.at());
                proptest::prop_assert_eq!(components.together(*a, *b), mutual);
            }
            let cycles = components.cycles(&next);
            for cycle in &cycles {
                for (at, member) in cycle.iter().enumerate() {
                    let after = cycle[(at + 1) % cycle.len()];
                    proptest::prop_assert!(next.row(*member).contains(&TaskIx(after as u32)));
                }
            }
            let tied = (0..size).filter(|task| reached[*task].contains(task)).count();
            proptest::prop_assert_eq!(cycles.is_empty(), tied == 0);
        }

        #[test]
        fn the_order_puts_nobody_before_whom_it_waits_for(
            edges in prop::collection::vec(any::<(u8, u8)>(), 0..100),
        ) {
            let next = rows(60, &edges);
            let components = Components::of(&next);
            let mut done = BTreeSet::new();
            for member in components.order() {
                for to in next.row(member) {
                    let together = components.together(*to, TaskIx(member as u32));
                    proptest::prop_assert!(done.contains(&to.at()) || together);
                }
                done.insert(member);
            }
            proptest::prop_assert_eq!(done.len(), 60);
        }
    }
}
