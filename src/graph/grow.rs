//! A graph that a plan was added to: the plan's tasks stand in the place of the task that planned
//! them.
//!
//! They come after all others, so that every index keeps its meaning, and whatever was decided
//! about the graph before stays as it is.

use crate::graph::dag::{Graph, Rows, TaskIx};
use crate::graph::model::{PrPolicy, Role, Task};
use crate::graph::spec::{EDGES_MAX, TASKS_MAX};
use crate::ids::TaskId;

/// Why a plan does not fit into its graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ungrown {
    /// A name that the graph has already; case does not make it another.
    #[error("the graph has a task `{0}` already")]
    Taken(TaskId),
    /// Too many tasks.
    #[error("the graph would have {0} tasks; at most {TASKS_MAX} are allowed")]
    Tasks(usize),
    /// Too many dependencies.
    #[error("the graph would have {0} dependencies; at most {EDGES_MAX} are allowed")]
    Edges(usize),
}

/// `graph` with the tasks of `plan` (see [`crate::graph::load_plan`]) after `parent`: in its lane,
/// done by its agent behind its walls, and before everything that waits for it.
pub fn grow(graph: &Graph, parent: TaskIx, plan: &Graph) -> Result<Graph, Ungrown> {
    let names: std::collections::BTreeSet<String> =
        graph.tasks().iter().map(|task| task.id.as_str().to_ascii_lowercase()).collect();
    let taken = |task: &&Task| names.contains(&task.id.as_str().to_ascii_lowercase());
    if let Some(task) = plan.tasks().iter().find(taken) {
        return Err(Ungrown::Taken(task.id.clone()));
    }
    let first = graph.tasks().len();
    let all = first + plan.tasks().len();
    let moved = |task: TaskIx| TaskIx(first as u32 + task.0);
    if all > TASKS_MAX {
        return Err(Ungrown::Tasks(all));
    }
    let mut tasks = graph.tasks().to_vec();
    tasks.extend(plan.tasks().iter().map(|step| heir(graph.task(parent), parent, step)));
    let leaves: Vec<TaskIx> = plan.leaves().into_iter().map(moved).collect();
    let mut parents = Rows::new();
    for task in (0..first as u32).map(TaskIx) {
        let own = graph.parents(task);
        own.iter().for_each(|own| parents.push(*own));
        if own.contains(&parent) {
            leaves.iter().for_each(|leaf| parents.push(*leaf));
        }
        parents.end_row();
    }
    for step in (0..plan.tasks().len() as u32).map(TaskIx) {
        let own = plan.parents(step);
        own.iter().for_each(|own| parents.push(moved(*own)));
        if own.is_empty() {
            parents.push(parent);
        }
        parents.end_row();
    }
    let edges = parents.pairs().count();
    if edges > EDGES_MAX {
        return Err(Ungrown::Edges(edges));
    }
    let (name, settings) = (graph.name().clone(), graph.settings().clone());
    let grown = Graph::assemble(name, settings, tasks, graph.lanes().to_vec(), parents);
    Ok(grown.expect("BUG: what waits for a task comes after its plan"))
}

/// How many plans stand between a task and the file: 0 for the file's own.
pub fn depth(graph: &Graph, task: TaskIx) -> u32 {
    let above = std::iter::successors(Some(task), |task| graph.task(*task).planned_by);
    u32::try_from(above.count() - 1).unwrap_or(u32::MAX)
}

/// A step of a plan as a task. It says what is to be done; all else it has from who planned it,
/// but for what concerns planning.
fn heir(parent: &Task, ix: TaskIx, step: &Task) -> Task {
    Task {
        id: step.id.clone(),
        title: step.title.clone(),
        description: step.description.clone(),
        role: Role::Generic,
        paths: Vec::new(),
        inputs: Vec::new(),
        plan: false,
        auto_approve_plan: false,
        pr: PrPolicy::Auto,
        planned_by: Some(ix),
        ..parent.clone()
    }
}
