//! The promises, checked after every turn and at the end.

use std::fmt;

use crate::graph::TaskIx;
use crate::ids::RunId;
use crate::sim::chaos::Chaos;
use crate::state::{Effect, EffectKey, LaneFailure, LaneState, Outcome, Part, RunState, TaskState};

/// A promise that was broken.
#[derive(Debug)]
pub(crate) struct Violation {
    promise: String,
    details: String,
}

impl Violation {
    pub(super) fn new(promise: &str, details: &str) -> Self {
        Self { promise: promise.to_owned(), details: details.to_owned() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.promise, self.details)
    }
}

fn promised(holds: bool, promise: &str, chaos: &Chaos) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation::new(promise, &chaos.describe())) }
}

/// Planning twice finds nothing to do the second time.
pub(super) fn planned_once(chaos: &mut Chaos) -> Result<(), Violation> {
    let again = chaos.world.finish();
    let nothing = again.batch.is_empty() && again.dispatch.is_empty() && again.messages.is_empty();
    promised(nothing, "a second plan found something to do", chaos)
}

/// At most one agent of a task lives.
pub(super) fn may_launch(chaos: &Chaos, key: EffectKey) -> Result<(), Violation> {
    let other = chaos.outside.alive().any(|alive| alive.part == key.part && alive != key);
    promised(!other, &format!("a second agent is launched: {key}"), chaos)
}

/// A lane is merged only when everything in it ended well; a task's work only when it was proposed.
pub(super) fn may_do(chaos: &Chaos, job: &Effect) -> Result<(), Violation> {
    let run = &chaos.world.runs[&RunId(1)];
    // What was handed out and is owed no more is stale: its report will be ignored.
    if !run.effects.contains_key(&job.key()) {
        return Ok(());
    }
    let Effect::MergeLane { lane, .. } = job else { return Ok(()) };
    let info = chaos.info();
    let tasks = info.graph.lane_tasks(*lane);
    let done = |task: &TaskIx| run.tasks[task.at()].state.is_success();
    promised(tasks.iter().all(done), "a lane is merged that is not done", chaos)
}

/// What must hold after every turn.
pub(super) fn always(chaos: &Chaos) -> Result<(), Violation> {
    let run = &chaos.world.runs[&RunId(1)];
    let desk = &chaos.world.desk;
    promised(desk.queue.running() == run.running, "slots do not add up", chaos)?;
    // An agent that has its answer goes on at once, whether or not its place was taken meanwhile.
    let fits = desk.queue.running() <= desk.policy.slots || chaos.outside.has_asked();
    promised(fits, "more agents run than may", chaos)?;
    let fresh = chaos.loaded();
    let (now, then) = (chaos.world.view(RunId(1)), fresh.view(RunId(1)));
    let (Some(now), Some(then)) = (now, then) else {
        return Err(Violation::new("the run is gone", ""));
    };
    promised(now.run == then.run, "the run in the store is another", chaos)?;
    promised(now.tasks == then.tasks, "tasks in the store are others", chaos)?;
    promised(now.lanes == then.lanes, "lanes in the store are others", chaos)?;
    if now.waiting != then.waiting {
        let told = format!("{:?}\n{:?}\n{}", now.waiting, then.waiting, chaos.describe());
        return Err(Violation::new("after a restart tasks would wait for something else", &told));
    }
    let other = &fresh.runs[&RunId(1)];
    if run.effects != other.effects {
        let keys: Vec<String> = other.effects.keys().map(ToString::to_string).collect();
        let told = format!("stored: {}\n{}", keys.join(" "), chaos.describe());
        return Err(Violation::new("what is owed in the store is something else", &told));
    }
    promised(run.timers == other.timers, "a restart would arm other timers", chaos)?;
    let left = |run: &crate::orchestrator::world::Run| {
        run.left.iter().map(|l| (l.tasks, l.children, l.dead_ends)).collect::<Vec<_>>()
    };
    promised(left(run) == left(other), "a restart would count what is left otherwise", chaos)?;
    in_order(chaos)?;
    once(chaos)
}

/// Whatever could start has everything that it waits for, what plans put before it included.
fn in_order(chaos: &Chaos) -> Result<(), Violation> {
    let run = &chaos.world.runs[&RunId(1)];
    let graph = run.graph();
    let mut ready = graph.order().iter().filter(|t| run.tasks[t.at()].state == TaskState::Ready);
    let has_all = |task: &TaskIx| {
        let released =
            |parent: &TaskIx| run.releases_dependents(*parent, run.tasks[parent.at()].state);
        graph.parents(*task).iter().all(released)
    };
    promised(ready.all(has_all), "a task could start before what it waits for", chaos)
}

/// The pull request of each attempt is merged at most once.
fn once(chaos: &Chaos) -> Result<(), Violation> {
    let tasks = chaos.outside.merges.iter().filter(|(key, _)| matches!(key.part, Part::Task(_)));
    let once = tasks.into_iter().all(|(_, commits)| commits.len() <= 1);
    promised(once, "an attempt's work is merged twice", chaos)
}

/// What must hold when nothing goes on any more.
pub(super) fn at_rest(chaos: &Chaos) -> Result<(), Violation> {
    let view = chaos.world.view(RunId(1)).expect("BUG: the run is there");
    promised(chaos.outside.alive().next().is_none(), "an agent was left behind", chaos)?;
    let run = &chaos.world.runs[&RunId(1)];
    promised(run.effects.is_empty(), "something is owed at rest", chaos)?;
    promised(chaos.world.desk.queue.running() == 0, "a slot is taken at rest", chaos)?;
    let RunState::Settled { outcome } = view.run.state else {
        return promised(false, "the run is open at rest", chaos);
    };
    let succeeded = view.tasks.iter().all(|task| task.state.is_success());
    let lanes = view.lanes.iter().all(|lane| lane.state == LaneState::Merged);
    if outcome == Outcome::Succeeded {
        promised(succeeded && lanes, "a false success", chaos)?;
    }
    promised(
        outcome != Outcome::AwaitingMerge,
        "it waits for people who did all they could",
        chaos,
    )?;
    for (at, record) in view.tasks.iter().enumerate() {
        let silent = view.waiting[at].is_none();
        let done = record.state.is_success() || record.state == TaskState::Cancelled;
        promised(done == silent, "a task does not run and nothing says why", chaos)?;
        let lane = view.lanes[chaos.info().graph.tasks()[at].lane.at()].state;
        let closed = lane == LaneState::Failed { why: LaneFailure::Task };
        let shut = record.state == TaskState::Ready && closed && view.run.fatal.is_none();
        promised(!shut || view.run.cancelled, "a ready task is shut out by its lane", chaos)?;
        let busy = matches!(record.state, TaskState::Running { .. } | TaskState::Merging { .. });
        promised(!busy, "a task runs at rest", chaos)?;
    }
    Ok(())
}
