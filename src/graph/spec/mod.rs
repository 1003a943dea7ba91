//! What a file may say, and the reading of it: YAML in, validated graph out.
//!
//! Reading goes through in one piece whatever it meets, so that one look at a file reports all
//! that is wrong with it: first each value for itself, then names that refer to others, then who
//! waits for whom. The schema lives here and nowhere else; nothing here does I/O.

mod agent;
mod lane;
mod names;
mod reader;
mod roll;
mod scalar;
mod task;
mod waits;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::graph::dag::Graph;
use crate::graph::model::{Backoff, Isolation, Settings, Teardown};
use crate::graph::node::{Node, Shape, Tree};
use crate::graph::problem::{Problem, Problems};
use crate::graph::spec::agent::Inherited;
use crate::graph::spec::lane::{DEFAULT, lanes, undeclared};
use crate::graph::spec::reader::{Fields, Reader};
use crate::graph::spec::roll::Roll;
use crate::graph::spec::task::{Known, TASK, tasks};
use crate::ids::GraphName;

pub use names::{ENV_VALUE_BYTES_MAX, ENV_VARIABLES_MAX};
pub use scalar::{LINE_BYTES_MAX, PROSE_BYTES_MAX};
pub use task::{EDGES_MAX, TASKS_MAX};

/// The keys of a file.
const TOP: &[&str] = &[
    "name",
    "tasks",
    "workstreams",
    "max_workstream_depth",
    "isolation",
    "model",
    "agent",
    "tools",
    "context",
    "max_concurrency",
    "max_task_attempts",
    "retry",
    "timeout",
    "budget",
    "teardown_mode",
    "keep_panes",
    "fail_fast_on_internal_error",
    "fail_fast_on_workstream_error",
    "anthropic_credential",
    "env",
];
/// The keys of the graph in a plan. A name does no harm and means nothing.
const PLAN: &[&str] = &["name", "tasks"];
/// The keys of its tasks. Who does them, behind which walls and by which gate, is the planning
/// task's to say: whoever writes a plan is an agent.
const STEP: &[&str] = &["id", "title", "description", "dependencies"];
const RETRY: &[&str] = &["backoff"];
const BACKOFF: &[&str] = &["initial", "factor", "max", "jitter"];

/// What every task has from its graph unless it says otherwise.
#[derive(Debug)]
struct Defaults {
    agent: Inherited,
    isolation: Isolation,
    max_attempts: u32,
    timeout: Option<Duration>,
    env: BTreeMap<String, String>,
}

/// Reads and checks a graph file; on failure tells everything that is wrong with it, by place.
pub fn load(source: &[u8]) -> Result<Graph, Vec<Problem>> {
    let mut problems = Problems::default();
    let Some(tree) = Tree::parse(source, &mut problems) else {
        return Err(problems.into_sorted());
    };
    let mut reader = Reader::new(problems);
    let graph = graph(&mut reader, tree.root());
    graph.ok_or_else(|| reader.problems().into_sorted())
}

/// Reads and checks the graph of a plan: tasks that depend on nothing but each other. It stands in
/// the place of a task, which [`crate::graph::grow`] puts it to.
pub fn load_plan(source: &[u8]) -> Result<Graph, Vec<Problem>> {
    let mut problems = Problems::default();
    let Some(tree) = Tree::parse(source, &mut problems) else {
        return Err(problems.into_sorted());
    };
    let mut reader = Reader::new(problems);
    let graph = plan(&mut reader, tree.root());
    graph.ok_or_else(|| reader.problems().into_sorted())
}

fn plan<'t>(reader: &mut Reader<'t>, root: Node<'t>) -> Option<Graph> {
    let mut fields = reader.fields(root, PLAN)?;
    let (settings, defaults) = settings(&mut fields);
    fields.need("tasks", Reader::filled);
    let roll = Roll::call(&mut fields, "tasks");
    let lane_roll = Roll::of_one("workstreams", DEFAULT, root);
    let lanes = vec![undeclared(&defaults.isolation)];
    let name = Some("plan".parse().expect("BUG: a good name"));
    let lists = Known {
        defaults: &defaults,
        lane_roll: &lane_roll,
        lanes: &lanes,
        roll: &roll,
        keys: STEP,
    };
    assembled(reader, name, settings, lists)
}

/// The name of the graph in a file, whatever else is wrong with it.
pub(super) fn name_of(source: &[u8]) -> Result<GraphName, Vec<Problem>> {
    let mut problems = Problems::default();
    let Some(tree) = Tree::parse(source, &mut problems) else {
        return Err(problems.into_sorted());
    };
    let mut reader = Reader::new(problems);
    let fields = reader.mapping(tree.root());
    let name = fields.and_then(|mut fields| fields.need("name", Reader::name));
    name.ok_or_else(|| reader.problems().into_sorted())
}

fn graph<'t>(reader: &mut Reader<'t>, root: Node<'t>) -> Option<Graph> {
    let mut fields = reader.fields(root, TOP)?;
    let name = fields.need("name", Reader::name);
    let (settings, defaults) = settings(&mut fields);
    let declared = fields.get("workstreams", Reader::filled).is_some();
    fields.need("tasks", Reader::filled);
    let roll = Roll::call(&mut fields, "tasks");
    let (lane_roll, lanes) = if declared {
        let lane_roll = Roll::call(&mut fields, "workstreams");
        let lanes = lanes(reader, &lane_roll, &defaults.isolation, settings.max_lane_depth);
        (lane_roll, lanes)
    } else {
        let lane_roll = Roll::of_one("workstreams", DEFAULT, root);
        (lane_roll, vec![undeclared(&defaults.isolation)])
    };
    let lists = Known {
        defaults: &defaults,
        lane_roll: &lane_roll,
        lanes: &lanes,
        roll: &roll,
        keys: TASK,
    };
    assembled(reader, name, settings, lists)
}

/// Reads the tasks, and builds the graph if nothing was wrong.
fn assembled<'t>(
    reader: &mut Reader<'t>,
    name: Option<GraphName>,
    settings: Settings,
    known: Known<'_, 't>,
) -> Option<Graph> {
    let found = tasks(reader, known);
    waits::check(reader, known, &found);
    if !reader.is_clean() {
        return None;
    }
    let lanes = known.lanes.to_vec();
    let graph = Graph::assemble(name?, settings, found.tasks, lanes, found.parents);
    Some(graph.expect("BUG: cycles were looked for"))
}

/// Reads everything at the top but the tasks and the lanes.
fn settings(fields: &mut Fields<'_, '_>) -> (Settings, Defaults) {
    let settings = Settings {
        model: fields.get("model", Reader::string),
        agent: fields.get("agent", Reader::name),
        tools: fields.list("tools", Reader::program),
        context: fields.get("context", Reader::prose),
        max_concurrency: fields.get("max_concurrency", Reader::count),
        max_lane_depth: fields.get("max_workstream_depth", Reader::count).unwrap_or(1),
        backoff: fields.get("retry", Reader::retry).unwrap_or_default(),
        budget: fields.get("budget", Reader::budget).unwrap_or_default(),
        teardown: fields
            .get("teardown_mode", |r, n| r.word(n, Teardown::ALL, Teardown::word))
            .unwrap_or_default(),
        keep_panes: fields.get("keep_panes", Reader::flag).unwrap_or(false),
        fail_fast_on_internal_error: fields
            .get("fail_fast_on_internal_error", Reader::flag)
            .unwrap_or(true),
        fail_fast_on_lane_error: fields
            .get("fail_fast_on_workstream_error", Reader::flag)
            .unwrap_or(false),
        anthropic_credential: fields.get("anthropic_credential", Reader::string),
    };
    let defaults = Defaults {
        agent: Inherited { profile: settings.agent.clone(), model: settings.model.clone() },
        isolation: fields.get("isolation", Reader::isolation).unwrap_or_default(),
        max_attempts: fields.get("max_task_attempts", Reader::count).unwrap_or(1),
        timeout: fields.get("timeout", Reader::duration),
        env: fields.get("env", Reader::env).unwrap_or_default(),
    };
    (settings, defaults)
}

impl<'t> Reader<'t> {
    /// Looks only at whether something stands in a list.
    fn filled(&mut self, node: Node<'t>) -> Option<()> {
        if let Shape::List([]) = node.shape() {
            self.report(node, "must hold at least one item");
        }
        Some(())
    }

    fn retry(&mut self, node: Node<'t>) -> Option<Backoff> {
        self.fields(node, RETRY)?.get("backoff", Reader::backoff)
    }

    fn backoff(&mut self, node: Node<'t>) -> Option<Backoff> {
        let mut fields = self.fields(node, BACKOFF)?;
        let usual = Backoff::default();
        let growth = |factor: f64| factor >= 1.0;
        let share = |jitter: f64| (0.0..=1.0).contains(&jitter);
        let initial = fields.get("initial", Reader::duration).unwrap_or(usual.initial);
        let factor = fields.get("factor", |r, n| r.number(n, "a number of at least 1", growth));
        let max = fields.get("max", Reader::duration);
        let jitter = fields.get("jitter", |r, n| r.number(n, "a number from 0 to 1", share));
        if max.is_some_and(|max| max < initial) {
            fields.report("max", "the longest wait is shorter than the first", "raise `max`");
        }
        Some(Backoff {
            initial,
            factor: factor.unwrap_or(usual.factor),
            max: max.unwrap_or(usual.max.max(initial)),
            jitter: jitter.unwrap_or(usual.jitter),
        })
    }
}
