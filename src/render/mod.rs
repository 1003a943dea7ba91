//! What people see, as pure functions: values in, text or bytes out.
//!
//! A [`Dag`] is a neutral picture of a graph, with or without a run behind it; [`text`], [`dot`],
//! [`mermaid`], [`svg()`] and [`png`] are its five dresses. Nothing here waits, reads a clock or does
//! I/O, and equal input gives equal output.

pub mod progress;
pub mod table;
pub mod words;

mod dot;
mod mermaid;
mod picture;
mod text;

use std::collections::BTreeSet;

use crate::graph::{Graph, LaneIx, TaskIx};
use crate::state::{BlockedOn, LaneState, TaskState};

pub use dot::dot;
pub use mermaid::mermaid;
pub use picture::{Chart, Error, SERIES_MAX, Series, Theme, png, svg};
pub use text::text;

/// How something stands, as far as a picture tells it apart. In the order of a task's life, which
/// is the order of every legend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Look {
    /// No run is meant: the graph as such.
    Plain,
    /// Waits for something that goes on by itself.
    Waiting,
    /// Could go on; waits for a place.
    Ready,
    /// Goes on.
    Running,
    /// Waits for a person.
    AsksPerson,
    /// Parked until later.
    Paused,
    /// Is being merged, or stands in line for it.
    Merging,
    /// Ended well.
    Done,
    /// Ended badly.
    Failed,
    /// Cannot go on until something else is put right.
    Blocked,
    /// Passed over by a person.
    Skipped,
    /// Given up by a person.
    Cancelled,
    /// Was done and is no longer up to date.
    Stale,
}

impl Look {
    /// Every look.
    pub const ALL: [Look; 13] = [
        Self::Plain,
        Self::Waiting,
        Self::Ready,
        Self::Running,
        Self::AsksPerson,
        Self::Paused,
        Self::Merging,
        Self::Done,
        Self::Failed,
        Self::Blocked,
        Self::Skipped,
        Self::Cancelled,
        Self::Stale,
    ];

    /// How a task in `state` looks.
    pub fn of(state: TaskState) -> Self {
        match state {
            TaskState::Defined => Self::Waiting,
            TaskState::Ready => Self::Ready,
            TaskState::Running { .. } => Self::Running,
            TaskState::WaitingInput { .. }
            | TaskState::AwaitingApproval { .. }
            | TaskState::AwaitingPlanApproval { .. } => Self::AsksPerson,
            TaskState::Paused { .. } => Self::Paused,
            TaskState::PrCreated { .. } | TaskState::Merging { .. } => Self::Merging,
            TaskState::Merged | TaskState::Completed => Self::Done,
            TaskState::Failed { .. } => Self::Failed,
            TaskState::Blocked { on: BlockedOn::Task(_) | BlockedOn::Operator } => Self::Blocked,
            TaskState::Skipped => Self::Skipped,
            TaskState::Cancelled => Self::Cancelled,
            TaskState::Stale => Self::Stale,
        }
    }

    /// How a lane in `state` looks.
    pub fn of_lane(state: LaneState) -> Self {
        match state {
            LaneState::Pending => Self::Waiting,
            LaneState::Active => Self::Running,
            LaneState::MergeReady => Self::Ready,
            LaneState::Checking | LaneState::PrCreated | LaneState::Merging => Self::Merging,
            LaneState::AwaitingApproval => Self::AsksPerson,
            LaneState::Merged => Self::Done,
            LaneState::Failed { .. } => Self::Failed,
            LaneState::Reset => Self::Cancelled,
        }
    }

    /// What people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Plain => "planned",
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::AsksPerson => "needs you",
            Self::Paused => "paused",
            Self::Merging => "merging",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::Stale => "stale",
        }
    }

    /// One character, one column wide in every terminal, that tells it apart without colour.
    /// None of them has an emoji form, which some terminals would draw two columns wide.
    pub fn glyph(self) -> char {
        match self {
            Self::Plain => '○',
            Self::Waiting => '◌',
            Self::Ready => '◇',
            Self::Running => '●',
            Self::AsksPerson => '?',
            Self::Paused => '‖',
            Self::Merging => '⋎',
            Self::Done => '✓',
            Self::Failed => '✗',
            Self::Blocked => '⊖',
            Self::Skipped => '»',
            Self::Cancelled => '⊘',
            Self::Stale => '↻',
        }
    }
}

/// How many of something have each look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([u32; Look::ALL.len()]);

impl Counts {
    /// How many have this look.
    pub fn get(&self, look: Look) -> u32 {
        self.0[look as usize]
    }

    /// How many there are in all.
    pub fn total(&self) -> u32 {
        self.0.iter().sum()
    }

    /// The looks that occur, in the order of [`Look::ALL`], with how often.
    pub fn present(&self) -> impl Iterator<Item = (Look, u32)> + '_ {
        Look::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }

    /// Whether there is a run to tell about.
    pub(crate) fn tells_a_run(&self) -> bool {
        self.get(Look::Plain) < self.total()
    }
}

impl FromIterator<Look> for Counts {
    fn from_iter<I: IntoIterator<Item = Look>>(looks: I) -> Self {
        let mut counts = Self::default();
        for look in looks {
            counts.0[look as usize] += 1;
        }
        counts
    }
}

/// A graph as it is to be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dag {
    /// What stands above the picture.
    pub title: String,
    /// Each after everything it depends on.
    pub nodes: Vec<Node>,
    /// From dependency to dependent, by place in `nodes`. One that does not lead forwards is not
    /// drawn, so that no input can send a layout round in circles.
    pub edges: Vec<(u32, u32)>,
    /// In the order of the file.
    pub lanes: Vec<Band>,
}

/// A task as it is to be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub id: String,
    /// One line for people; nothing is added if it says no more than the id.
    pub title: String,
    /// Its lane, by place in [`Dag::lanes`].
    pub lane: u32,
    /// How it stands.
    pub look: Look,
    /// A few words more: how long it has been running, which attempt it is.
    pub note: Option<String>,
}

/// A lane as it is to be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Band {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub look: Look,
}

/// The nodes of one lane, with their places.
pub(crate) struct Group<'a> {
    /// Number and name of the lane.
    pub(crate) lane: Option<(usize, &'a str)>,
    pub(crate) nodes: Vec<(usize, &'a Node)>,
}

impl Dag {
    /// The picture of `graph`; task `t` becomes node [`Graph::rank`]`(t)`.
    pub fn of(
        graph: &Graph,
        task_look: impl Fn(TaskIx) -> Look,
        lane_look: impl Fn(LaneIx) -> Look,
    ) -> Self {
        let node = |ix: &TaskIx| {
            let task = graph.task(*ix);
            Node {
                id: task.id.to_string(),
                title: task.title.clone(),
                lane: task.lane.0,
                look: task_look(*ix),
                note: None,
            }
        };
        let band = |ix| Band { name: graph.lane(ix).id.to_string(), look: lane_look(ix) };
        let into = |task: &TaskIx| {
            let to = graph.rank(*task);
            graph.parents(*task).iter().map(move |parent| (graph.rank(*parent), to))
        };
        Self {
            title: graph.name().to_string(),
            nodes: graph.order().iter().map(node).collect(),
            edges: graph.order().iter().flat_map(into).collect(),
            lanes: graph.lane_ixs().map(band).collect(),
        }
    }

    /// How many tasks have each look.
    pub fn counts(&self) -> Counts {
        self.nodes.iter().map(|node| node.look).collect()
    }

    /// "12 tasks", and "3 lanes" where there is more than one.
    pub(crate) fn size_in_words(&self) -> Vec<String> {
        let mut said = vec![words::count(self.nodes.len() as u64, "task")];
        if self.shows_lanes() {
            said.push(words::count(self.lanes.len() as u64, "lane"));
        }
        said
    }

    /// A single lane is not worth a word.
    pub(crate) fn shows_lanes(&self) -> bool {
        self.lanes.len() > 1
    }

    pub(crate) fn lane_of(&self, node: &Node) -> Option<&Band> {
        self.lanes.get(node.lane as usize).filter(|_| self.shows_lanes())
    }

    /// Nodes lane after lane, where lanes are shown. Lanes without tasks are left out; what belongs
    /// to no lane comes last.
    pub(crate) fn by_lane(&self) -> Vec<Group<'_>> {
        let lanes = self.lanes.iter().map(|band| band.name.as_str()).enumerate();
        let lanes = lanes.filter(|_| self.shows_lanes()).map(Some).chain([None]);
        let mut groups: Vec<Group<'_>> =
            lanes.map(|lane| Group { lane, nodes: Vec::new() }).collect();
        for (at, node) in self.nodes.iter().enumerate() {
            let group = self.lane_of(node).map_or(groups.len() - 1, |_| node.lane as usize);
            groups[group].nodes.push((at, node));
        }
        groups.retain(|group| !group.nodes.is_empty());
        groups
    }

    /// The edges that lead forwards, each once, by source and then by target.
    pub(crate) fn arrows(&self) -> Vec<(usize, usize)> {
        let nodes = self.nodes.len();
        let pairs = self.edges.iter().map(|(from, to)| (*from as usize, *to as usize));
        let kept: BTreeSet<_> = pairs.filter(|(from, to)| from < to && *to < nodes).collect();
        kept.into_iter().collect()
    }

    /// The nodes by the earliest round in which they could run.
    pub(crate) fn waves(&self) -> Vec<Vec<&Node>> {
        let mut waves: Vec<Vec<&Node>> = Vec::new();
        for (node, wave) in self.nodes.iter().zip(longest_paths(self.nodes.len(), &self.arrows())) {
            waves.resize_with(waves.len().max(wave + 1), Vec::new);
            waves[wave].push(node);
        }
        waves
    }
}

impl Node {
    /// The title, if it says more than the id.
    pub(crate) fn own_title(&self) -> Option<&str> {
        Some(self.title.as_str()).filter(|title| !title.trim().is_empty() && *title != self.id)
    }

    /// What a label says, line by line: how it stands and its id, its title, its note.
    pub(crate) fn lines(&self) -> Vec<String> {
        let glyph = self.look.glyph();
        let first =
            if self.look == Look::Plain { self.id.clone() } else { format!("{glyph} {}", self.id) };
        let more = self.own_title().into_iter().chain(self.note.as_deref());
        std::iter::once(first).chain(more.map(str::to_owned)).collect()
    }
}

/// The length of the longest path that ends in each node, over arrows that lead forwards and are
/// sorted by source.
pub(crate) fn longest_paths(nodes: usize, arrows: &[(usize, usize)]) -> Vec<usize> {
    let mut depth = vec![0; nodes];
    for (from, to) in arrows {
        depth[*to] = depth[*to].max(depth[*from] + 1);
    }
    depth
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph;
    use crate::state::{FailureClass, LaneFailure, ParkReason, Step};

    const TWO: &str = "
name: g
workstreams: [{id: first}, {id: second}]
tasks:
  - {id: late, description: x, workstream_id: second, dependencies: [early]}
  - {id: early, description: x, workstream_id: first}
";

    #[test]
    fn a_graph_is_pictured_in_topological_order() {
        let graph = graph::load(TWO.as_bytes()).unwrap();
        let done = |ix| if ix == TaskIx(1) { Look::Done } else { Look::Ready };
        let dag = Dag::of(&graph, done, |_| Look::Running);
        let nodes: Vec<_> = dag.nodes.iter().map(|n| (n.id.as_str(), n.lane, n.look)).collect();
        assert_eq!(nodes, [("early", 0, Look::Done), ("late", 1, Look::Ready)]);
        assert_eq!(dag.edges, [(0, 1)]);
        assert_eq!(dag.lanes[1], Band { name: "second".to_owned(), look: Look::Running });
        assert_eq!(dag.title, "g");
    }

    #[test]
    fn what_waits_for_a_person_looks_so() {
        let looks = [
            TaskState::WaitingInput { attempt: 0 },
            TaskState::AwaitingApproval { attempt: 1 },
            TaskState::PrCreated { attempt: 0 },
            TaskState::Running { attempt: 0, step: Step::PrOpening },
            TaskState::Paused { until: None, why: ParkReason::Budget },
            TaskState::Failed { class: FailureClass::Lost },
            TaskState::Blocked { on: BlockedOn::Operator },
            TaskState::Completed,
        ];
        assert_eq!(
            looks.map(Look::of).map(Look::word),
            ["needs you", "needs you", "merging", "running", "paused", "failed", "blocked", "done"]
        );
        let lanes = [LaneState::AwaitingApproval, LaneState::Failed { why: LaneFailure::Check }];
        assert_eq!(lanes.map(Look::of_lane), [Look::AsksPerson, Look::Failed]);
    }
}
