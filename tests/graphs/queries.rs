//! Questions to a graph, answered once more by the simplest means there are.

use std::collections::BTreeSet;

use proptest::prelude::{Just, Strategy, any, prop};
use taskloom::graph::{Frontier, Graph, LaneIx, TaskIx};

use crate::graphs::{loaded, shapes};

fn ids(graph: &Graph, tasks: &[TaskIx]) -> String {
    let ids: Vec<&str> = tasks.iter().map(|task| graph.task(*task).id.as_str()).collect();
    ids.join(" ")
}

fn task(graph: &Graph, id: &str) -> TaskIx {
    graph.lookup_task(&id.parse().unwrap()).unwrap()
}

fn lane(graph: &Graph, id: &str) -> LaneIx {
    graph.lookup_lane(&id.parse().unwrap()).unwrap()
}

fn lane_ids(graph: &Graph, lanes: &[LaneIx]) -> String {
    let ids: Vec<&str> = lanes.iter().map(|lane| graph.lane(*lane).id.as_str()).collect();
    ids.join(" ")
}

/// Two lanes under a third, one beside them.
fn lanes_and_tasks() -> Graph {
    loaded(
        "name: queries
workstreams:
  - {id: all}
  - {id: left, parent_workstream_id: all}
  - {id: right, parent_workstream_id: all}
  - {id: docs}
tasks:
  - {id: z-root, description: x, workstream_id: left}
  - {id: b-root, description: x, workstream_id: left}
  - {id: a-leaf, description: x, workstream_id: left, dependencies: [b-root, z-root]}
  - {id: r2, description: x, workstream_id: right, dependencies: [r1]}
  - {id: r1, description: x, workstream_id: right}
  - {id: manual, description: x, workstream_id: docs, dependencies: [r2, a-leaf, r1, pages]}
  - {id: pages, description: x, workstream_id: docs}
  - {id: release, description: x, workstream_id: all, dependencies: [r2]}
",
    )
}

#[test]
fn order_is_by_dependency_then_by_id() {
    let graph = lanes_and_tasks();
    assert_eq!(ids(&graph, graph.order()), "b-root pages r1 r2 release z-root a-leaf manual");
    assert_eq!(ids(&graph, &graph.roots()), "b-root pages r1 z-root");
    assert_eq!(ids(&graph, &graph.leaves()), "release manual");
    let waves: Vec<String> = graph.waves().iter().map(|wave| ids(&graph, wave)).collect();
    assert_eq!(waves, ["b-root pages r1 z-root", "r2 a-leaf", "release manual"]);
    assert_eq!(ids(&graph, &graph.critical_path()), "b-root a-leaf manual");
}

#[test]
fn relations_follow_the_file() {
    let graph = lanes_and_tasks();
    let manual = task(&graph, "manual");
    assert_eq!(ids(&graph, graph.parents(manual)), "r2 a-leaf r1 pages");
    assert_eq!(ids(&graph, graph.children(task(&graph, "r2"))), "manual release");
    assert_eq!(ids(&graph, &graph.ancestors(manual)), "b-root pages r1 r2 z-root a-leaf");
    assert_eq!(ids(&graph, &graph.descendants(task(&graph, "r1"))), "r2 release manual");
    assert_eq!(graph.edge_count(), 8);
}

#[test]
fn a_task_waits_for_the_lanes_of_its_direct_dependencies() {
    let graph = lanes_and_tasks();
    let upstream = |id| lane_ids(&graph, graph.upstream_lanes(task(&graph, id)));
    assert_eq!(upstream("manual"), "left right");
    assert_eq!(upstream("release"), "right");
    assert_eq!(upstream("a-leaf"), "");
    assert_eq!(ids(&graph, graph.gated_tasks(lane(&graph, "right"))), "manual release");
    assert_eq!(lane_ids(&graph, graph.lane_children(lane(&graph, "all"))), "left right");
    assert_eq!(ids(&graph, graph.lane_tasks(lane(&graph, "left"))), "b-root z-root a-leaf");
}

/// A random acyclic graph over a few lanes, its tasks shuffled in the file and named at random.
fn graphs() -> impl Strategy<Value = Graph> {
    let size = 1..25usize;
    let edges = prop::collection::vec(any::<(u8, u8)>(), 0..60);
    (size, edges, 1..5usize)
        .prop_flat_map(|(size, edges, lanes)| {
            let places = Just((0..size).collect::<Vec<_>>()).prop_shuffle();
            let names = Just((0..size).collect::<Vec<_>>()).prop_shuffle();
            (Just(edges), Just(lanes), places, names)
        })
        .prop_map(|(edges, lanes, places, names)| built(&edges, lanes, &places, &names))
}

fn built(edges: &[(u8, u8)], lanes: usize, places: &[usize], names: &[usize]) -> Graph {
    let size = places.len();
    let edges = edges.iter().map(|(a, b)| (usize::from(*a) % size, usize::from(*b) % size));
    let edges: BTreeSet<(usize, usize)> =
        edges.filter(|(a, b)| a != b).map(|(a, b)| (a.max(b), a.min(b))).collect();
    let lane_lines = (0..lanes).map(|lane| format!("  - id: l{lane}\n"));
    let task_lines = places.iter().map(|at| {
        let parents = edges.iter().filter(|(child, _)| child == at);
        let parents: Vec<usize> = parents.map(|(_, parent)| names[*parent]).collect();
        let (name, parents) = (names[*at], shapes::names(&parents));
        // Later tasks are in later lanes, so that lanes never wait for each other.
        let lane = at * lanes / size;
        format!("  - {{id: t{name}, description: x, workstream_id: l{lane}, dependencies: [{parents}]}}\n")
    });
    let (lanes, tasks): (String, String) = (lane_lines.collect(), task_lines.collect());
    loaded(&format!("name: random\nworkstreams:\n{lanes}tasks:\n{tasks}"))
}

fn all(graph: &Graph) -> impl Iterator<Item = TaskIx> + use<> {
    (0..graph.tasks().len() as u32).map(TaskIx)
}

fn naive_reach(graph: &Graph, from: TaskIx, down: bool) -> BTreeSet<TaskIx> {
    let mut reached = BTreeSet::new();
    loop {
        let next = all(graph).filter(|task| {
            let near = if down { graph.parents(*task) } else { graph.children(*task) };
            near.iter().any(|near| *near == from || reached.contains(near))
        });
        let next: BTreeSet<TaskIx> = next.collect();
        if next == reached {
            return reached;
        }
        reached = next;
    }
}

/// The order by trying all tasks for every place.
fn naive_order(graph: &Graph) -> Vec<TaskIx> {
    let mut order: Vec<TaskIx> = Vec::new();
    while order.len() < graph.tasks().len() {
        let free = |task: &TaskIx| {
            !order.contains(task) && graph.parents(*task).iter().all(|p| order.contains(p))
        };
        order.extend(all(graph).filter(free).min_by_key(|task| &graph.task(*task).id));
    }
    order
}

/// What a frontier must say, from scratch.
struct Rescan<'g> {
    graph: &'g Graph,
    tasks: BTreeSet<TaskIx>,
    lanes: BTreeSet<LaneIx>,
}

impl Rescan<'_> {
    fn open(&self) -> BTreeSet<TaskIx> {
        let open = |task: &TaskIx| {
            self.graph.parents(*task).iter().all(|p| self.tasks.contains(p))
                && self.graph.upstream_lanes(*task).iter().all(|l| self.lanes.contains(l))
        };
        all(self.graph).filter(open).collect()
    }
}

proptest::proptest! {
    #[test]
    fn order_is_the_only_one_that_the_rule_allows(graph in graphs()) {
        proptest::prop_assert_eq!(graph.order(), &naive_order(&graph)[..]);
        for (rank, task) in (0..).zip(graph.order()) {
            proptest::prop_assert_eq!(graph.rank(*task), rank);
        }
    }

    #[test]
    fn ancestors_and_descendants_are_what_can_be_reached(graph in graphs()) {
        for task in all(&graph) {
            for (found, down) in [(graph.descendants(task), true), (graph.ancestors(task), false)] {
                let set: BTreeSet<TaskIx> = found.iter().copied().collect();
                proptest::prop_assert_eq!(set.len(), found.len());
                proptest::prop_assert_eq!(set, naive_reach(&graph, task, down));
                let ranks: Vec<u32> = found.iter().map(|task| graph.rank(*task)).collect();
                proptest::prop_assert!(ranks.is_sorted());
            }
        }
    }

    #[test]
    fn the_frontier_agrees_with_a_rescan(
        graph in graphs(),
        moves in prop::collection::vec(any::<(bool, u8)>(), 0..80),
    ) {
        let mut frontier = Frontier::new(&graph);
        let mut rescan = Rescan { graph: &graph, tasks: BTreeSet::new(), lanes: BTreeSet::new() };
        for (of_lane, number) in moves {
            let before = rescan.open();
            let mut told = BTreeSet::new();
            let note = |task| { told.insert(task); };
            if of_lane {
                let lane = LaneIx(u32::from(number) % graph.lanes().len() as u32);
                if rescan.lanes.remove(&lane) {
                    frontier.retract_lane(&graph, lane, note);
                } else {
                    rescan.lanes.insert(lane);
                    frontier.satisfy_lane(&graph, lane, note);
                }
            } else {
                let task = TaskIx(u32::from(number) % graph.tasks().len() as u32);
                if rescan.tasks.remove(&task) {
                    frontier.retract_task(&graph, task, note);
                } else {
                    rescan.tasks.insert(task);
                    frontier.satisfy_task(&graph, task, note);
                }
            }
            let after = rescan.open();
            let open: BTreeSet<TaskIx> = all(&graph).filter(|t| frontier.is_open(*t)).collect();
            proptest::prop_assert_eq!(&open, &after);
            proptest::prop_assert_eq!(told, &before ^ &after);
        }
    }
}
