//! The desk behind every command, button and form: finds what is meant, asks the gate, has it
//! done, and keeps a line about it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use serenity::all::Http;

use crate::control::names;
use crate::discord::board::{Board, House};
use crate::discord::bot::Trouble;
use crate::discord::gate::{Actor, Level, Permit};
use crate::discord::keys::On;
use crate::discord::post::Post;
use crate::failure::Failure;
use crate::graph::{LaneIx, TaskIx};
use crate::ids::{CommitId, ProjectId, RunId};
use crate::orchestrator::{Command, GlobalCommand, GlobalVerb, Receipt, RunView, Target, Verb};
use crate::state::{RunOptions, RunRecord, RunState};
use crate::store::{Audit, Which};

/// How many interactions and messages are remembered, so that one that comes twice counts once.
const SEEN_MAX: usize = 1_000;

/// What every ingress shares.
pub(crate) struct Front {
    pub(crate) board: Arc<Board>,
    pub(crate) house: House,
    pub(crate) http: Arc<Http>,
    /// Fetches attached files.
    pub(crate) web: reqwest::Client,
    pub(crate) me: u64,
    seen: Mutex<VecDeque<u64>>,
}

/// A graph that was shown and not started yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Draft {
    pub(crate) project: ProjectId,
    pub(crate) source: String,
    pub(crate) options: RunOptions,
    /// Who drafted it.
    pub(crate) user: u64,
    /// The run that it could go on from.
    pub(crate) of: Option<RunId>,
}

impl Front {
    pub(crate) fn new(
        board: Arc<Board>,
        house: House,
        http: Arc<Http>,
        web: reqwest::Client,
        me: u64,
    ) -> Self {
        Self { board, house, http, web, me, seen: Mutex::default() }
    }

    /// Whether an interaction or a message is new: the gateway may repeat itself.
    pub(crate) fn is_new(&self, id: u64) -> bool {
        let mut seen = self.seen.lock().expect("BUG: nobody panics with this lock");
        if seen.contains(&id) {
            return false;
        }
        seen.push_back(id);
        if seen.len() > SEEN_MAX {
            seen.pop_front();
        }
        true
    }

    /// The one gate.
    pub(crate) async fn permit(
        &self,
        actor: &Actor,
        level: Level,
        project: Option<&ProjectId>,
        asked: &str,
    ) -> Result<Permit, Trouble> {
        match self.board.options().rules.authorize(actor, level, project) {
            Ok(permit) => {
                self.board.know_user(permit.who(), permit.user()).await;
                Ok(permit)
            }
            Err(denied) => {
                self.audit(actor, asked, None, false, &denied.to_string()).await;
                Err(denied.into())
            }
        }
    }

    /// Whether somebody may see a project; nothing is noted down.
    pub(crate) fn sees(&self, actor: &Actor, project: &ProjectId) -> bool {
        self.board.options().rules.authorize(actor, Level::Viewer, Some(project)).is_ok()
    }

    /// Keeps a line about who asked for what.
    pub(crate) async fn audit(
        &self,
        actor: &Actor,
        asked: &str,
        commit: Option<CommitId>,
        allowed: bool,
        outcome: &str,
    ) {
        let audit = Audit {
            at: self.board.doors.clock.now(),
            who: format!("{} (discord {})", actor.name, actor.user),
            asked: asked.to_owned(),
            commit,
            allowed,
            outcome: outcome.to_owned(),
        };
        if let Err(error) = self.board.doors.ledger.audit(&audit).await {
            tracing::error!(%error, "who asked for what could not be kept");
        }
    }

    /// Runs that somebody may see and that were not put away, oldest first.
    pub(crate) async fn runs(&self, actor: &Actor) -> Result<Vec<RunRecord>, Trouble> {
        self.some_runs(actor, &Which::Active).await
    }

    /// Some of the runs that somebody may see, oldest first.
    pub(crate) async fn some_runs(
        &self,
        actor: &Actor,
        which: &Which,
    ) -> Result<Vec<RunRecord>, Trouble> {
        let runs = self.board.doors.store.select(which, u32::MAX).await;
        let mut runs = runs.map_err(|error| Failure::outside(error.to_string()))?;
        runs.retain(|run| self.sees(actor, &run.project));
        Ok(runs)
    }

    /// The project of a name, of the channel, or the only one.
    pub(crate) async fn project(
        &self,
        actor: &Actor,
        named: Option<&str>,
        channel: u64,
    ) -> Result<ProjectId, Trouble> {
        let mut known = self.house.office.projects().await;
        known.retain(|project| self.sees(actor, &project.id));
        if let Some(named) = named {
            let found = known.iter().find(|project| project.id.as_str() == named);
            let near = names::nearest(named, known.iter().map(|project| project.id.as_str()));
            let missing = Failure::user(format!("there is no project `{named}` that you may see"));
            let missing =
                near.into_iter().fold(missing, |m, near| m.hint(format!("did you mean `{near}`?")));
            return found.map(|project| project.id.clone()).ok_or_else(|| missing.into());
        }
        let parent = self.parent_of(channel).await;
        if let Some(project) = self.board.project_of(parent).await {
            return Ok(project);
        }
        match known.as_slice() {
            [only] => Ok(only.id.clone()),
            [] => Err(Failure::user("there is no project that you may see").into()),
            several => {
                let names: Vec<String> = several.iter().map(|p| format!("`{}`", p.id)).collect();
                Err(Failure::user("which project is meant is not clear here")
                    .hint(format!("name one of {}", names.join(", ")))
                    .into())
            }
        }
    }

    /// The channel of the card, if `channel` is the thread of a task.
    async fn parent_of(&self, channel: u64) -> u64 {
        let Some((run, task)) = self.board.task_of(channel).await else { return channel };
        let name = format!("task/{}/{}/anchor", run.0, task.0);
        self.board.places.find(&name).await.map_or(channel, |place| place.channel)
    }

    /// A run that somebody named, as it is now; the latest without a name.
    pub(crate) async fn run(
        &self,
        actor: &Actor,
        level: Level,
        named: Option<&str>,
        asked: &str,
    ) -> Result<(Permit, RunView), Trouble> {
        let runs = self.runs(actor).await?;
        if runs.is_empty() {
            self.permit(actor, level, None, asked).await?;
        }
        let record = match names::find_run(runs, named) {
            // What was put away can be named, too.
            Err(failure) if named.is_some() => {
                let put_away = self.some_runs(actor, &Which::Archived).await?;
                names::find_run(put_away, named).map_err(|_| failure)?
            }
            found => found?,
        };
        let permit = self.permit(actor, level, Some(&record.project), asked).await?;
        Ok((permit, self.view(record.id).await?))
    }

    /// A task that somebody named; in the thread of a task that one without a name.
    pub(crate) async fn task(
        &self,
        line: &super::answer::Line,
        level: Level,
        named: Option<&str>,
        asked: &str,
    ) -> Result<(Permit, RunView, TaskIx), Trouble> {
        let actor = &line.actor;
        let Some(named) = named else {
            let (run, task) = self.board.task_of(line.channel).await.ok_or_else(|| {
                Failure::user("which task is meant is not clear here")
                    .hint("name it, or ask in its thread")
            })?;
            let view = self.view(run).await?;
            let project = view.info.project.id.clone();
            let permit = self.permit(actor, level, Some(&project), asked).await?;
            return Ok((permit, view, task));
        };
        let runs = self.runs(actor).await?;
        if runs.is_empty() {
            self.permit(actor, level, None, asked).await?;
        }
        let named = names::find_part(&*self.board.doors.store, runs, named).await?;
        let permit = self.permit(actor, level, Some(&named.run.project), asked).await?;
        let view = self.view(named.run.id).await?;
        let task = names::find_task(&view, &named.part)?;
        Ok((permit, view, task))
    }

    /// A lane that somebody named.
    pub(crate) async fn lane(
        &self,
        actor: &Actor,
        level: Level,
        named: &str,
        asked: &str,
    ) -> Result<(Permit, RunView, LaneIx), Trouble> {
        let runs = self.runs(actor).await?;
        if runs.is_empty() {
            self.permit(actor, level, None, asked).await?;
        }
        let named = names::find_part(&*self.board.doors.store, runs, named).await?;
        let permit = self.permit(actor, level, Some(&named.run.project), asked).await?;
        let view = self.view(named.run.id).await?;
        let lane = names::find_lane(&view, &named.part)?;
        Ok((permit, view, lane))
    }

    /// A run as it is now.
    pub(crate) async fn view(&self, run: RunId) -> Result<RunView, Trouble> {
        let view = self.house.handle.view(run).await?;
        view.ok_or_else(|| Failure::user("this run is not there any more").into())
    }

    /// Has the engine do something, or say what it would do; echoes in the thread what was done.
    pub(crate) async fn carry_out(
        &self,
        order: Carry<'_>,
        verb: Verb,
        dry_run: bool,
    ) -> Result<Receipt, Trouble> {
        let Carry { actor, permit, view, on, label } = order;
        if let Verb::Approve { .. } = verb {
            let options = self.board.options();
            let rules = &options.rules;
            if let Err(denied) = rules.may_approve(permit, &view.info.submitter) {
                self.audit(actor, label, None, false, &denied.to_string()).await;
                return Err(denied.into());
            }
        }
        let commit = if let Verb::Approve { commit, .. } | Verb::Reject { commit, .. } = &verb {
            commit.clone()
        } else {
            None
        };
        let who = permit.who().to_owned();
        let command = Command { run: view.info.id, who, verb, dry_run };
        let answer = self.house.handle.command(command).await?;
        if !dry_run {
            let asked = format!("{label} on {on} of {}", view.info.name);
            let outcome = match &answer {
                Ok(receipt) => receipt.sentence.clone(),
                Err(failure) => failure.message.clone(),
            };
            self.audit(actor, &asked, commit, true, &outcome).await;
        }
        let receipt = answer?;
        if receipt.changed && !dry_run {
            let (board, echo) = (
                self.board.clone(),
                Post::text(format!("-# » {}: {label}", crate::discord::text::inline(&actor.name))),
            );
            let run = view.info.id;
            drop(tokio::spawn(async move {
                match on {
                    On::Task(run, task) => board.say(run, task, echo).await,
                    On::Lane(..) | On::Run(_) | On::All | On::Draft(_) => {
                        board.say_at_card(run, echo).await;
                    }
                }
            }));
        }
        Ok(receipt)
    }

    /// Has the engine do something to everything or to a project.
    pub(crate) async fn carry_out_global(
        &self,
        actor: &Actor,
        permit: &Permit,
        verb: GlobalVerb,
        label: &str,
    ) -> Result<Receipt, Trouble> {
        let command = GlobalCommand { who: permit.who().to_owned(), verb, dry_run: false };
        let answer = self.house.handle.global(command).await?;
        let outcome = match &answer {
            Ok(receipt) => receipt.sentence.clone(),
            Err(failure) => failure.message.clone(),
        };
        self.audit(actor, label, None, true, &outcome).await;
        Ok(answer?)
    }

    /// Keeps a draft under a number.
    pub(crate) async fn keep_draft(&self, id: u64, draft: &Draft) -> Result<(), Trouble> {
        let text = serde_json::to_string(draft).expect("BUG: a draft is plain data");
        let kept = self.board.doors.ledger.bind(&format!("draft/{id}"), Some(&text)).await;
        kept.map_err(|error| Failure::outside(error.to_string()).into())
    }

    /// A draft that is still there.
    pub(crate) async fn draft(&self, id: u64) -> Result<Draft, Trouble> {
        let text = self.board.doors.ledger.binding(&format!("draft/{id}")).await.ok().flatten();
        let draft = text.and_then(|text| serde_json::from_str(&text).ok());
        draft.ok_or_else(|| {
            Failure::user("this draft was started or thrown away already")
                .hint("submit the graph again: `/submit graph`")
                .into()
        })
    }

    /// Forgets a draft; `false` if somebody else was faster.
    pub(crate) async fn drop_draft(&self, id: u64) {
        drop(self.board.doors.ledger.bind(&format!("draft/{id}"), None).await);
    }
}

/// By whom, to what, and in which words something is done.
pub(crate) struct Carry<'a> {
    pub(crate) actor: &'a Actor,
    pub(crate) permit: &'a Permit,
    pub(crate) view: &'a RunView,
    pub(crate) on: On,
    /// As people say it: "Retry".
    pub(crate) label: &'a str,
}

/// The name of what a verb is done to.
pub(crate) fn target(view: &RunView, on: On) -> Result<Target, Trouble> {
    let graph = &view.info.graph;
    match on {
        On::Task(_, task) if task.at() < graph.tasks().len() => {
            Ok(Target::Task(graph.task(task).id.clone()))
        }
        On::Lane(_, lane) if lane.at() < graph.lanes().len() => {
            Ok(Target::Lane(graph.lane(lane).id.clone()))
        }
        On::All | On::Run(_) | On::Draft(_) | On::Task(..) | On::Lane(..) => {
            Err(Failure::user("this button is not understood any more").into())
        }
    }
}

/// Whether a run is open.
pub(crate) fn is_open(run: &RunRecord) -> bool {
    run.state == RunState::Open
}
