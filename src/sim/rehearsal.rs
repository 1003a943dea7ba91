//! A rehearsal: a whole graph on the simulated clock, with agents that take a minute each and
//! succeed. No git, no processes, no tokens; what waits for a person is let through and noted.

use std::fmt;
use std::time::Duration;

use crate::graph::{Graph, TaskIx};
use crate::orchestrator::{Command, RunView, Target, Verb};
use crate::render::words;
use crate::sim::{Act, Theatre};
use crate::state::{LaneState, RunState, TaskState};

/// How long each agent takes.
const TURN: Duration = Duration::from_secs(60);

/// Rounds and names that a report shows; more is no overview.
const ROUNDS_SHOWN: usize = 20;
const NAMES_SHOWN: usize = 6;

/// How a graph would go if everything went well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsal {
    graph: String,
    outcome: String,
    /// Which tasks are at work in each minute.
    rounds: Vec<Vec<String>>,
    /// What would wait for a person.
    asks: Vec<String>,
}

/// Plays `graph`, whose file is `source`.
pub async fn rehearse(graph: Graph, source: &str, slots: u32) -> Result<Rehearsal, String> {
    let name = graph.name().to_string();
    let tasks = graph.tasks().len();
    let mut theatre = Theatre::open(slots).await.map_err(|error| error.to_string())?;
    theatre.stage().be_patient(true);
    let run =
        theatre.submit(graph, source, "rehearsal").await.map_err(|dead| dead.to_string())?.run;
    let (mut rounds, mut asks) = (Vec::new(), Vec::new());
    // Each round ends a task or lets something through, so there are not more rounds than that.
    for _ in 0..=4 * tasks + 64 {
        let view = theatre.view(run).await.ok_or("the run is gone")?;
        let working = at_work(&view);
        if !working.is_empty() {
            theatre.advance(TURN).await;
            let ids = working.iter().map(|task| &view.info.graph.task(*task).id);
            for id in ids.clone() {
                theatre.stage().act(id, Act::Succeed);
            }
            rounds.push(ids.map(ToString::to_string).collect());
            theatre.rest().await;
            continue;
        }
        let waiting = waiting(&view);
        if waiting.is_empty() {
            break;
        }
        for target in waiting {
            asks.push(target.to_string());
            let verb = Verb::Approve { target, commit: None };
            let command = Command { run, who: "rehearsal".to_owned(), verb, dry_run: false };
            let answer = theatre.command(command).await.map_err(|dead| dead.to_string())?;
            answer.map_err(|failure| failure.message)?;
        }
    }
    let view = theatre.view(run).await.ok_or("the run is gone")?;
    let outcome = match view.run.state {
        RunState::Open => "does not come to an end".to_owned(),
        settled @ RunState::Settled { .. } => settled.to_string(),
    };
    theatre.crash().await;
    Ok(Rehearsal { graph: name, outcome, rounds, asks })
}

fn at_work(view: &RunView) -> Vec<TaskIx> {
    let order = view.info.graph.order().iter().copied();
    order.filter(|t| matches!(view.tasks[t.at()].state, TaskState::Running { .. })).collect()
}

fn waiting(view: &RunView) -> Vec<Target> {
    let graph = &view.info.graph;
    let asks = |t: &TaskIx| matches!(view.tasks[t.at()].state, TaskState::AwaitingApproval { .. });
    let tasks = graph.order().iter().copied().filter(asks);
    let tasks = tasks.map(|task| Target::Task(graph.task(task).id.clone()));
    let lanes =
        graph.lane_ixs().filter(|lane| view.lanes[lane.at()].state == LaneState::AwaitingApproval);
    tasks.chain(lanes.map(|lane| Target::Lane(graph.lane(lane).id.clone()))).collect()
}

impl fmt::Display for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.rounds.iter().map(Vec::len).max().unwrap_or_default();
        let rounds = words::count(self.rounds.len() as u64, "round");
        writeln!(
            f,
            "rehearsal of {}: {}, {rounds}, at most {most} at once",
            self.graph, self.outcome
        )?;
        for (at, round) in self.rounds.iter().take(ROUNDS_SHOWN).enumerate() {
            writeln!(f, "{:>3}  {}", at + 1, words::list(round, NAMES_SHOWN))?;
        }
        let rest = self.rounds.len().saturating_sub(ROUNDS_SHOWN);
        if rest > 0 {
            writeln!(f, "     and {rest} more")?;
        }
        match self.asks.as_slice() {
            [] => f.write_str("nothing waits for a person"),
            asks => write!(f, "waits for a person: {}", words::list(asks, NAMES_SHOWN)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph;

    const GRAPH: &str = "
name: shop
workstreams: [{id: base, auto_merge: true}, {id: web, depends_on: [base]}]
tasks:
  - {id: schema, description: x, workstream_id: base}
  - {id: api, description: x, workstream_id: web, dependencies: [schema]}
  - {id: page, description: x, workstream_id: web, dependencies: [schema]}
";

    #[tokio::test]
    async fn a_graph_is_played_to_its_end_and_says_where_a_person_is_asked() {
        let play = async || {
            let source = GRAPH.replace(", depends_on: [base]", "");
            rehearse(graph::load(source.as_bytes()).unwrap(), &source, 8).await.unwrap()
        };
        let first = play().await;
        assert_eq!(first, play().await);
        insta::assert_snapshot!(first);
    }
}
