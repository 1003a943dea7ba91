//! Tasks, as they are written.

use std::collections::BTreeMap;

use crate::graph::dag::{LaneIx, Rows, TaskIx};
use crate::graph::model::{
    AgentSpec, Input, Lane, OnFailure, PrPolicy, Review, Role, TaggedPath, Task,
};
use crate::graph::node::{Node, Shape};
use crate::graph::problem::Step;
use crate::graph::spec::Defaults;
use crate::graph::spec::lane::DEFAULT;
use crate::graph::spec::names::{Sited, parsed_or_stand_in};
use crate::graph::spec::reader::{Fields, Reader};
use crate::graph::spec::roll::{Listed, Roll};
use crate::ids::{ProfileName, TaskId};

/// The keys of a task.
pub(super) const TASK: &[&str] = &[
    "id",
    "title",
    "description",
    "role",
    "dependencies",
    "workstream_id",
    "paths",
    "tagged_paths",
    "inputs_from",
    "completion_gate",
    "max_gate_attempts",
    "primary_agent",
    "agent",
    "review",
    "approval",
    "auto_approve_plan",
    "plan",
    "max_attempts",
    "timeout",
    "budget",
    "priority",
    "env",
    "isolation",
    "on_failure",
    "pr",
];
const PATHS: &[&str] = &["src", "test", "spec"];
const TAGGED_PATH: &[&str] = &["path", "category"];
const INPUT: &[&str] = &["task", "category"];

/// Tasks of a graph. What the engine's measurements cover; a person's graph has a hundredth of it.
pub const TASKS_MAX: usize = 10_000;

/// Dependencies of a graph: ten for each of the most tasks.
pub const EDGES_MAX: usize = 100_000;

/// Characters of a title that is made from a description: what a list shows of it.
const TITLE_CHARS_MAX: usize = 80;

/// How often an agent may answer a failed gate. Five is where more of the same stops helping.
const GATE_ATTEMPTS: u32 = 5;

/// Between the extremes, so that a task can be put before or behind the others.
const PRIORITY: i32 = 100;

/// The lane of a task that names one that is not there.
const NOWHERE: LaneIx = LaneIx(u32::MAX);

/// The tasks of a file and what they say about each other.
#[derive(Debug)]
pub(super) struct Tasks<'t> {
    pub(super) tasks: Vec<Task>,
    /// Dependencies by task, without repetition.
    pub(super) parents: Rows<TaskIx>,
    /// For each dependency its place in the file's list, and where it stands.
    pub(super) sites: Vec<(usize, Node<'t>)>,
    /// Inputs from tasks that are no direct dependency.
    pub(super) far_inputs: Vec<FarInput<'t>>,
    /// For each task the last one that was found to depend on it.
    last_child: Vec<u32>,
}

/// An input that is right only if its task is waited for indirectly.
#[derive(Debug)]
pub(super) struct FarInput<'t> {
    pub(super) child: TaskIx,
    pub(super) source: TaskIx,
    pub(super) steps: Vec<Step<'t>>,
    pub(super) node: Node<'t>,
}

/// What tasks are read against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'k, 't> {
    pub(super) defaults: &'k Defaults,
    pub(super) lane_roll: &'k Roll<'t>,
    pub(super) lanes: &'k [Lane],
    pub(super) roll: &'k Roll<'t>,
    /// What may be said about a task.
    pub(super) keys: &'static [&'static str],
}

/// Reads the tasks of a roll. Of those beyond the limit only the names are known: a file of a
/// megabyte can hold so many of them that they would take two hundred.
pub(super) fn tasks<'t>(reader: &mut Reader<'t>, known: Known<'_, 't>) -> Tasks<'t> {
    let all = known.roll.entries();
    let entries = &all[..all.len().min(TASKS_MAX)];
    let mut found = Tasks {
        tasks: Vec::with_capacity(entries.len()),
        parents: Rows::new(),
        sites: Vec::new(),
        far_inputs: Vec::new(),
        last_child: vec![u32::MAX; entries.len()],
    };
    for (number, entry) in entries.iter().enumerate() {
        let child = TaskIx(number as u32);
        known.roll.within(reader, number, |reader| {
            let mut fields = reader.checked(entry.node, known.keys);
            found.connect(&mut fields, known.roll, child);
            found.tasks.push(task(&mut fields, known, entry.id));
            found.feed(&mut fields, known.roll, child);
        });
    }
    found.check_sizes(reader, all);
    found
}

/// The task that is named here, if it is one of those that are read.
fn named<'t>(reader: &mut Reader<'t>, roll: &Roll<'t>, node: Node<'t>) -> Option<TaskIx> {
    let reference = reader.sited_name(node)?;
    let task = TaskIx(roll.resolve(reader, "task", reference, None)?);
    (task.at() < TASKS_MAX).then_some(task)
}

impl<'t> Tasks<'t> {
    /// Reads the dependencies of `child`.
    fn connect(&mut self, fields: &mut Fields<'_, 't>, roll: &Roll<'t>, child: TaskIx) {
        fields.items("dependencies", |reader, at, node| {
            let parent = named(reader, roll, node)?;
            if parent == child {
                reader.report_hint(node, "a task cannot wait for itself", "delete this entry");
            } else if self.last_child[parent.at()] == child.0 {
                let message = format!("`{}` is listed twice", roll.name(parent.at()));
                reader.report_hint(node, message, "delete this entry");
            } else {
                self.last_child[parent.at()] = child.0;
                self.parents.push(parent);
                self.sites.push((at, node));
            }
            Some(())
        });
        self.parents.end_row();
    }

    /// Reads the inputs of `child`: one or a list of them.
    fn feed(&mut self, fields: &mut Fields<'_, 't>, roll: &Roll<'t>, child: TaskIx) {
        let Some(node) = fields.node("inputs_from") else { return };
        let mut read = |reader: &mut Reader<'t>, at, node| {
            let mut fields = reader.fields(node, INPUT)?;
            let category = fields.get("category", Reader::string);
            let task = |reader: &mut Reader<'t>, node| Some((named(reader, roll, node)?, node));
            let (source, node) = fields.need("task", task)?;
            if self.last_child[source.at()] != child.0 {
                let list = roll.steps(child.at(), "inputs_from").into_iter();
                let steps = list.chain(at).chain([Step::Key("task")]).collect();
                self.far_inputs.push(FarInput { child, source, steps, node });
            }
            Some(Input { task: source, category })
        };
        let inputs = fields.get("inputs_from", |reader, _| match node.shape() {
            Shape::Map(_) => read(reader, None, node).map(|input| vec![input]),
            Shape::List(_) | Shape::Scalar { .. } | Shape::Null | Shape::Broken => Some(
                reader.items(node, |reader, at, node| read(reader, Some(Step::Item(at)), node)),
            ),
        });
        self.tasks[child.at()].inputs = inputs.unwrap_or_default();
    }

    fn check_sizes(&self, reader: &mut Reader<'t>, entries: &[Listed<'t>]) {
        let (tasks, edges) = (entries.len(), self.sites.len());
        if tasks > TASKS_MAX {
            let message = format!("the graph has {tasks} tasks; at most {TASKS_MAX} are allowed");
            let hint = Some("split it into several graphs".to_owned());
            reader.report_at(&[Step::Key("tasks")], entries[TASKS_MAX].node, message, hint);
        }
        if edges > EDGES_MAX {
            let message =
                format!("the graph has {edges} dependencies; at most {EDGES_MAX} are allowed");
            let hint = Some("leave out those that follow from others".to_owned());
            let (_, node) = self.sites[EDGES_MAX];
            reader.report_at(&[Step::Key("tasks")], node, message, hint);
        }
    }
}

impl<'t> Reader<'t> {
    /// `{src: […], test: […], spec: …}`.
    fn paths(&mut self, node: Node<'t>) -> Option<Vec<TaggedPath>> {
        let mut fields = self.fields(node, PATHS)?;
        let mut paths = Vec::new();
        let tagged = |path, category: &str| TaggedPath { path, category: category.to_owned() };
        for category in ["src", "test"] {
            let listed = fields.list(category, Reader::repo_path);
            paths.extend(listed.into_iter().map(|path| tagged(path, category)));
        }
        paths.extend(fields.get("spec", Reader::repo_path).map(|path| tagged(path, "spec")));
        Some(paths)
    }

    fn tagged_path(&mut self, node: Node<'t>) -> Option<TaggedPath> {
        let mut fields = self.fields(node, TAGGED_PATH)?;
        let path = fields.need("path", Reader::repo_path);
        let category = fields.need("category", Reader::string);
        Some(TaggedPath { path: path?, category: category? })
    }
}

/// A task without its inputs.
fn task<'t>(fields: &mut Fields<'_, 't>, known: Known<'_, 't>, id: Option<Sited<'t>>) -> Task {
    let defaults = known.defaults;
    let lane = lane(fields, known, id);
    let title = fields.get("title", Reader::string);
    let description = fields.get("description", Reader::prose);
    let own_walls = fields.get("isolation", Reader::isolation).unwrap_or_default();
    let walls = match known.lanes.get(lane.at()) {
        Some(lane) => own_walls.over(&lane.isolation),
        None => own_walls,
    };
    let review = fields.get("review", |r, n| r.review(n, &defaults.agent));
    let id: TaskId = parsed_or_stand_in(id);
    Task {
        title: title.unwrap_or_else(|| title_from(description.as_deref(), &id)),
        id,
        role: role(fields),
        description,
        lane,
        paths: tagged_paths(fields),
        inputs: Vec::new(),
        gate: fields.get("completion_gate", Reader::prose),
        max_gate_attempts: fields.get("max_gate_attempts", Reader::count).unwrap_or(GATE_ATTEMPTS),
        agent: defaults.agent.complete(agent(fields)).within(&walls),
        review: review.map(|it| Review { agent: it.agent.within(&walls), ..it }),
        approval: fields.get("approval", Reader::approval),
        plan: fields.get("plan", Reader::flag).unwrap_or(false),
        auto_approve_plan: fields.get("auto_approve_plan", Reader::flag).unwrap_or(false),
        max_attempts: fields.get("max_attempts", Reader::count).unwrap_or(defaults.max_attempts),
        timeout: fields.get("timeout", Reader::duration).or(defaults.timeout),
        budget: fields.get("budget", Reader::budget).unwrap_or_default(),
        priority: fields.get("priority", |r, n| r.whole(n, "a whole number")).unwrap_or(PRIORITY),
        env: env(fields, &defaults.env),
        on_failure: fields
            .get("on_failure", |r, n| r.word(n, OnFailure::ALL, OnFailure::word))
            .unwrap_or_default(),
        pr: fields.get("pr", |r, n| r.word(n, PrPolicy::ALL, PrPolicy::word)).unwrap_or_default(),
        planned_by: None,
    }
}

fn lane<'t>(fields: &mut Fields<'_, 't>, known: Known<'_, 't>, id: Option<Sited<'t>>) -> LaneIx {
    let undeclared = Some("declare it under `workstreams`");
    let named = fields.get("workstream_id", |reader, node| {
        let reference = reader.sited_name(node)?;
        known.lane_roll.resolve(reader, "lane", reference, undeclared)
    });
    let lane = match fields.node("workstream_id") {
        Some(_) => named,
        None => known.lane_roll.find(DEFAULT),
    };
    if lane.is_none() && fields.node("workstream_id").is_none() {
        let task = id.map_or("this task".to_owned(), |(id, _)| format!("`{id}`"));
        let message = format!("{task} names no lane, and none is called `{DEFAULT}`");
        let hint = format!("add `workstream_id`, or declare a lane `{DEFAULT}`");
        fields.report("workstream_id", &message, &hint);
    }
    lane.map_or(NOWHERE, LaneIx)
}

fn role(fields: &mut Fields<'_, '_>) -> Role {
    let role = fields.get("role", |r, n| r.word(n, Role::ALL, Role::word));
    let named = fields.node("role").is_some();
    let generic = if named { role == Some(Role::Generic) } else { true };
    if generic && fields.node("description").is_none() {
        fields.report(
            "description",
            "a task of role `generic` needs a `description`",
            "say what the agent is to do",
        );
    }
    role.unwrap_or_default()
}

fn tagged_paths(fields: &mut Fields<'_, '_>) -> Vec<TaggedPath> {
    let sugar = fields.get("paths", Reader::paths);
    let tagged = fields.list("tagged_paths", Reader::tagged_path);
    if fields.node("paths").is_some() && fields.node("tagged_paths").is_some() {
        fields.report(
            "tagged_paths",
            "`paths` and `tagged_paths` exclude each other",
            "move everything into `tagged_paths`",
        );
    }
    sugar.unwrap_or(tagged)
}

fn agent(fields: &mut Fields<'_, '_>) -> AgentSpec {
    let profile: Option<ProfileName> = fields.get("agent", Reader::name);
    let own = fields.get("primary_agent", |r, n| r.agent(n, profile.clone()));
    own.unwrap_or(AgentSpec { profile, ..AgentSpec::default() })
}

fn env(fields: &mut Fields<'_, '_>, outer: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut env = outer.clone();
    env.extend(fields.get("env", Reader::env).unwrap_or_default());
    env
}

/// The first line of a description, shortened, else the id.
fn title_from(description: Option<&str>, id: &TaskId) -> String {
    let line = description.and_then(|text| text.lines().next()).map(str::trim_end);
    let Some(line) = line.filter(|line| !line.is_empty()) else {
        return id.to_string();
    };
    if line.chars().nth(TITLE_CHARS_MAX).is_none() {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(TITLE_CHARS_MAX - 1).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}
