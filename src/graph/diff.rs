//! What a resubmitted graph changes: tasks, lanes and settings that came, went, changed or stayed.
//!
//! Two graphs number their tasks differently, so everything is compared by name. What to do about
//! a change is somebody else's business.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::graph::dag::{Graph, LaneIx, TaskIx};
use crate::graph::model::{
    AgentSpec, Approval, Backoff, Budget, Environment, Input, Isolation, Lane, Review, Settings,
    TaggedPath, Task,
};
use crate::graph::problem::shown;
use crate::ids::{LaneId, TaskId};

/// Things whose changed fields a summary lists; a longer list is no summary.
const CHANGED_NAMED_MAX: usize = 3;

/// What one graph has and another has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// Settings that differ.
    pub settings: Vec<Change>,
    /// What became of the lanes.
    pub lanes: Entries<LaneId>,
    /// What became of the tasks.
    pub tasks: Entries<TaskId>,
    /// Dependencies that tasks of both graphs gained or lost; one gained for one lost counts once.
    pub edges_moved: usize,
}

/// What became of things of one kind. All but `removed` in the order of the new graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries<Id> {
    /// Only in the new graph.
    pub added: Vec<Id>,
    /// Only in the old graph.
    pub removed: Vec<Id>,
    /// In both, with differences.
    pub changed: Vec<Changed<Id>>,
    /// In both, the same.
    pub kept: Vec<Id>,
}

/// Something that is in both graphs and not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed<Id> {
    /// Its name.
    pub id: Id,
    /// What differs; never empty.
    pub fields: Vec<Change>,
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it is, in a word.
    pub field: &'static str,
    /// What it was, in short.
    pub old: String,
    /// What it is now, in short.
    pub new: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} → {}", self.field, self.old, self.new)
    }
}

/// Fields that change how a task is tried, and not what comes of it.
const HARMLESS: &[&str] = &["title", "attempts", "timeout", "priority", "budget", "on failure"];

impl<Id> Changed<Id> {
    /// Whether something that was done before the change may not be what is wanted now.
    pub fn matters(&self) -> bool {
        self.fields.iter().any(|change| !HARMLESS.contains(&change.field))
    }
}

/// Compares two graphs.
pub fn diff(old: &Graph, new: &Graph) -> Diff {
    let sides = Sides { old, new };
    let lane_ids = |graph: &Graph| graph.lanes().iter().map(|lane| lane.id.clone()).collect();
    let task_ids = |graph: &Graph| {
        let in_order = graph.order().iter().map(|task| graph.task(*task).id.clone());
        in_order.collect()
    };
    Diff {
        settings: sides.settings(),
        lanes: entries(lane_ids(old), lane_ids(new), |id| sides.lane(id)),
        tasks: entries(task_ids(old), task_ids(new), |id| sides.task(id)),
        edges_moved: sides.edges_moved(),
    }
}

impl Diff {
    /// Whether the graphs say the same.
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.lanes.is_unchanged() && self.tasks.is_unchanged()
    }
}

impl<Id> Entries<Id> {
    fn is_unchanged(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl<Id: fmt::Display> Entries<Id> {
    fn summary(&self, noun: &str) -> Vec<String> {
        let count = |number: usize| match number {
            1 => format!("1 {noun}"),
            _ => format!("{number} {noun}s"),
        };
        let mut parts = Vec::new();
        if !self.added.is_empty() {
            parts.push(format!("+{}", count(self.added.len())));
        }
        if !self.removed.is_empty() {
            parts.push(format!("-{}", count(self.removed.len())));
        }
        if !self.changed.is_empty() {
            let named = self.changed.iter().take(CHANGED_NAMED_MAX).map(ToString::to_string);
            let rest = (self.changed.len() > CHANGED_NAMED_MAX).then(|| "…".to_owned());
            let named: Vec<String> = named.chain(rest).collect();
            parts.push(format!("{} changed ({})", count(self.changed.len()), named.join("; ")));
        }
        parts
    }
}

/// `build: gate, model`.
impl<Id: fmt::Display> fmt::Display for Changed<Id> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<&str> = self.fields.iter().map(|change| change.field).collect();
        write!(f, "{}: {}", self.id, fields.join(", "))
    }
}

/// `+2 tasks, -1 task, 1 task changed (build: gate), 5 tasks kept`.
impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.tasks.summary("task");
        match self.edges_moved {
            0 => {}
            1 => parts.push("1 edge moved".to_owned()),
            more => parts.push(format!("{more} edges moved")),
        }
        parts.extend(self.lanes.summary("lane"));
        if !self.settings.is_empty() {
            let fields: Vec<&str> = self.settings.iter().map(|change| change.field).collect();
            parts.push(format!("settings changed ({})", fields.join(", ")));
        }
        match self.tasks.kept.len() {
            1 => parts.push("1 task kept".to_owned()),
            kept => parts.push(format!("{kept} tasks kept")),
        }
        f.write_str(&parts.join(", "))
    }
}

fn entries<Id: Ord + Clone>(
    old: Vec<Id>,
    new: Vec<Id>,
    changes: impl Fn(&Id) -> Vec<Change>,
) -> Entries<Id> {
    let before: BTreeSet<&Id> = old.iter().collect();
    let after: BTreeSet<&Id> = new.iter().collect();
    let removed = old.iter().filter(|id| !after.contains(id)).cloned().collect();
    let mut entries = Entries { added: Vec::new(), removed, changed: Vec::new(), kept: Vec::new() };
    for id in &new {
        if !before.contains(id) {
            entries.added.push(id.clone());
            continue;
        }
        match changes(id) {
            fields if fields.is_empty() => entries.kept.push(id.clone()),
            fields => entries.changed.push(Changed { id: id.clone(), fields }),
        }
    }
    entries
}

/// Compares fields of two values. Every field of the type must be listed, so that none is
/// forgotten when one is added; those after `not` are compared elsewhere.
macro_rules! changes {
    ($Type:ident, $old:expr, $new:expr, { $($field:ident: $word:literal),* $(,)? } not { $($other:ident),* }) => {{
        let $Type { $($field: _,)* $($other: _),* } = $old;
        let mut changes = Vec::new();
        $(push(&mut changes, $word, &$old.$field, &$new.$field);)*
        changes
    }};
}

fn push<T: Show + PartialEq>(changes: &mut Vec<Change>, field: &'static str, old: &T, new: &T) {
    if old == new {
        return;
    }
    let short = |value: &T| match value.show() {
        text if text.is_empty() => "none".to_owned(),
        text => shown(&text),
    };
    let (old, mut new) = (short(old), short(new));
    if old == new {
        new = "the same at first, other further on".to_owned();
    }
    changes.push(Change { field, old, new });
}

struct Sides<'g> {
    old: &'g Graph,
    new: &'g Graph,
}

impl Sides<'_> {
    fn settings(&self) -> Vec<Change> {
        let (old, new) = (self.old.settings(), self.new.settings());
        let mut changes = changes!(Settings, old, new, {
            model: "model",
            agent: "agent",
            tools: "tools",
            context: "context",
            max_concurrency: "concurrency",
            max_lane_depth: "lane depth",
            backoff: "retry",
            budget: "budget",
            teardown: "teardown",
            keep_panes: "keep panes",
            fail_fast_on_internal_error: "fail fast on internal error",
            fail_fast_on_lane_error: "fail fast on lane error",
            anthropic_credential: "credential",
        } not {});
        push(&mut changes, "name", &self.old.name().as_str(), &self.new.name().as_str());
        changes
    }

    fn lane(&self, id: &LaneId) -> Vec<Change> {
        let find = |graph: &Graph| graph.lookup_lane(id);
        let (Some(before), Some(after)) = (find(self.old), find(self.new)) else {
            return Vec::new();
        };
        let (old, new) = (self.old.lane(before), self.new.lane(after));
        let mut changes = changes!(Lane, old, new, {
            base_branch: "base",
            target_branch: "target",
            auto_merge: "auto-merge",
            max_parallel: "parallel",
            approval: "approval",
            checks: "checks",
            isolation: "isolation",
        } not { id, parent });
        let parent = |graph: &Graph, lane: &Lane| lane.parent.map(|ix| lane_name(graph, ix));
        push(&mut changes, "parent", &parent(self.old, old), &parent(self.new, new));
        changes
    }

    fn task(&self, id: &TaskId) -> Vec<Change> {
        let find = |graph: &Graph| graph.lookup_task(id);
        let (Some(before), Some(after)) = (find(self.old), find(self.new)) else {
            return Vec::new();
        };
        let (old, new) = (self.old.task(before), self.new.task(after));
        let mut changes = changes!(Task, old, new, {
            title: "title",
            description: "description",
            role: "role",
            paths: "paths",
            gate: "gate",
            max_gate_attempts: "gate attempts",
            review: "review",
            approval: "approval",
            plan: "plan",
            auto_approve_plan: "plan approval",
            max_attempts: "attempts",
            timeout: "timeout",
            budget: "budget",
            priority: "priority",
            env: "env",
            on_failure: "on failure",
            pr: "pr",
        } not { id, lane, inputs, agent, planned_by });
        changes.extend(agents(&old.agent, &new.agent));
        let named = |graph: &Graph, ix: TaskIx| {
            let task = graph.task(ix);
            let dependencies: BTreeSet<&str> =
                graph.parents(ix).iter().map(|parent| graph.task(*parent).id.as_str()).collect();
            let inputs: Vec<String> = task.inputs.iter().map(|it| input(graph, it)).collect();
            (
                lane_name(graph, task.lane),
                dependencies.into_iter().collect::<Vec<_>>().join(", "),
                inputs,
            )
        };
        let (old, new) = (named(self.old, before), named(self.new, after));
        push(&mut changes, "lane", &old.0, &new.0);
        push(&mut changes, "dependencies", &old.1, &new.1);
        push(&mut changes, "inputs", &old.2, &new.2);
        changes
    }

    fn edges_moved(&self) -> usize {
        let parents = |graph: &Graph, task: TaskIx| -> BTreeSet<TaskId> {
            graph.parents(task).iter().map(|parent| graph.task(*parent).id.clone()).collect()
        };
        let moved = |task: &TaskIx| {
            let before = self.old.lookup_task(&self.new.task(*task).id)?;
            let (old, new) = (parents(self.old, before), parents(self.new, *task));
            Some(old.difference(&new).count().max(new.difference(&old).count()))
        };
        self.new.order().iter().filter_map(moved).sum()
    }
}

fn lane_name(graph: &Graph, lane: LaneIx) -> String {
    graph.lane(lane).id.to_string()
}

fn input(graph: &Graph, input: &Input) -> String {
    let task = &graph.task(input.task).id;
    match &input.category {
        Some(category) => format!("{category} of {task}"),
        None => task.to_string(),
    }
}

fn agents(old: &AgentSpec, new: &AgentSpec) -> Vec<Change> {
    changes!(AgentSpec, old, new, {
        profile: "agent",
        framework: "framework",
        model: "model",
        adr: "adr",
        environment: "environment",
        command: "command",
        isolation: "isolation",
    } not {})
}

/// A value in short words; nothing for nothing.
trait Show {
    fn show(&self) -> String;
}

macro_rules! show {
    ($($Type:ty: $value:ident => $text:expr,)*) => {
        $(impl Show for $Type {
            fn show(&self) -> String {
                let $value = self;
                $text
            }
        })*
    };
}

show! {
    String: text => text.clone(),
    &str: text => (*text).to_owned(),
    bool: flag => flag.to_string(),
    u32: number => number.to_string(),
    u64: number => number.to_string(),
    i32: number => number.to_string(),
    Duration: span => humantime::format_duration(*span).to_string(),
    crate::ids::ProfileName: name => name.to_string(),
    crate::graph::Teardown: it => it.word().to_owned(),
    crate::graph::Role: it => it.word().to_owned(),
    crate::graph::Framework: it => it.word().to_owned(),
    crate::graph::AdrVerbosity: it => it.word().to_owned(),
    crate::graph::SandboxKind: it => it.word().to_owned(),
    crate::graph::TokenTier: it => it.word().to_owned(),
    crate::graph::OciRuntime: it => it.word().to_owned(),
    crate::graph::OnFailure: it => it.word().to_owned(),
    crate::graph::PrPolicy: it => it.word().to_owned(),
    TaggedPath: it => format!("{} ({})", it.path, it.category),
    BTreeMap<String, String>: env => {
        env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
    },
    Backoff: it => {
        let (initial, max) = (it.initial.show(), it.max.show());
        format!("{initial} × {} up to {max} ± {}", it.factor, it.jitter)
    },
    Budget: it => {
        let tokens = it.tokens.map(|tokens| format!("{tokens} tokens"));
        let usd = it.usd.map(|usd| format!("${usd}"));
        [tokens, usd].into_iter().flatten().collect::<Vec<_>>().join(", ")
    },
    Approval: it => {
        let who = if it.roles.is_empty() { "anyone".to_owned() } else { it.roles.join(", ") };
        let other = if it.no_self { ", not the submitter" } else { "" };
        format!("{} of {who}{other}", it.count)
    },
    Environment: it => match it {
        Environment::Headless => "headless".to_owned(),
        Environment::Tmux { session: None } => "tmux".to_owned(),
        Environment::Tmux { session: Some(session) } => format!("tmux {session}"),
    },
    Isolation: it => {
        let network = it.network.map(|on| if on { "network" } else { "no network" }.to_owned());
        let walls = [it.sandbox.show(), it.token_tier.show(), it.image.show(), it.runtime.show()];
        let known = walls.into_iter().filter(|text| !text.is_empty());
        known.chain(network).collect::<Vec<_>>().join(", ")
    },
    Review: it => {
        let who = [it.agent.profile.show(), it.agent.framework.show(), it.agent.model.show()];
        let known: Vec<String> = who.into_iter().filter(|text| !text.is_empty()).collect();
        format!("{} from attempt {}", known.join(" "), it.on_attempt)
    },
}

impl<T: Show> Show for Option<T> {
    fn show(&self) -> String {
        self.as_ref().map(Show::show).unwrap_or_default()
    }
}

impl<T: Show> Show for Vec<T> {
    fn show(&self) -> String {
        self.iter().map(Show::show).collect::<Vec<_>>().join(", ")
    }
}
