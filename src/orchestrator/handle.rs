//! How everybody but the owner speaks to the engine. Channels never leak from here.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot};

use crate::failure::Failure;
use crate::ids::RunId;
use crate::notify::Notice;
use crate::orchestrator::census::Census;
use crate::orchestrator::command::{
    Answer, Command, GlobalCommand, Resubmission, Submission, Submitted,
};
use crate::orchestrator::view::RunView;
use crate::runner::Report;
use crate::scheduler::Policy;
use crate::state::{EffectKey, Entry};

/// What comes into the loop.
pub(crate) enum Event {
    Submit(Box<Submission>, oneshot::Sender<Submitted>),
    Resubmit(Box<Resubmit>, oneshot::Sender<Resubmitted>),
    Command(Command, oneshot::Sender<Answer>),
    Global(GlobalCommand, oneshot::Sender<Answer>),
    Announce(Box<Notice>, oneshot::Sender<()>),
    View(RunId, oneshot::Sender<Option<RunView>>),
    Census(oneshot::Sender<Box<Census>>),
    Report(EffectKey, Report),
    Told(u64),
    Policy(Box<Policy>, oneshot::Sender<()>),
    Remember(bool),
    Drain,
    Shutdown(Shutdown, oneshot::Sender<()>),
}

/// A graph that goes on from a run.
pub(crate) struct Resubmit {
    pub(crate) of: RunId,
    pub(crate) submission: Submission,
    pub(crate) dry_run: bool,
}

/// What comes of it: the new run, unless it was a rehearsal, and what it keeps.
pub type Resubmitted = Result<(Option<Submitted>, Resubmission), Failure>;

/// How the engine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// Let go of everything at once; agents run on, a later process takes them up.
    Detach,
    /// End every agent first; a later process begins them again.
    EndAgents,
}

/// The engine is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the engine has ended")]
pub struct Closed;

/// The engine, for everybody but its owner.
#[derive(Clone)]
pub struct Handle {
    pub(crate) events: mpsc::UnboundedSender<Event>,
    /// Weak: listeners are told when the engine has ended.
    pub(crate) journal: broadcast::WeakSender<Arc<[Entry]>>,
}

impl Handle {
    /// Submits a graph. When this returns, it survives a crash.
    pub async fn submit(&self, submission: Submission) -> Result<Submitted, Closed> {
        self.ask(|reply| Event::Submit(Box::new(submission), reply)).await
    }

    /// Submits a changed graph of the run `of`: a new run keeps what is done and still wanted, and
    /// the old one is given up. A rehearsal only says what would be kept.
    pub async fn resubmit(
        &self,
        of: RunId,
        submission: Submission,
        dry_run: bool,
    ) -> Result<Resubmitted, Closed> {
        let resubmit = Resubmit { of, submission, dry_run };
        self.ask(|reply| Event::Resubmit(Box::new(resubmit), reply)).await
    }

    /// Carries out a verb. When this returns, it survives a crash.
    pub async fn command(&self, command: Command) -> Result<Answer, Closed> {
        self.ask(|reply| Event::Command(command, reply)).await
    }

    /// Carries out a verb on everything or on a project. When this returns, it survives a crash.
    pub async fn global(&self, command: GlobalCommand) -> Result<Answer, Closed> {
        self.ask(|reply| Event::Global(command, reply)).await
    }

    /// Has people told something that is no line of the journal; its number must be used for
    /// nothing else. When this returns, it survives a crash.
    pub async fn announce(&self, notice: Notice) -> Result<(), Closed> {
        self.ask(|reply| Event::Announce(Box::new(notice), reply)).await
    }

    /// A run as it is now; `None` if the engine does not work on it.
    pub async fn view(&self, run: RunId) -> Result<Option<RunView>, Closed> {
        self.ask(|reply| Event::View(run, reply)).await
    }

    /// How the engine stands. Whoever asks sees whether its loop goes round.
    pub async fn census(&self) -> Result<Census, Closed> {
        self.ask(Event::Census).await.map(|census| *census)
    }

    /// Every line of the journal from now on, in commit order, in batches. A receiver that falls
    /// behind is told so and reads the store. It closes when the engine ends.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<[Entry]>> {
        match self.journal.upgrade() {
            Some(journal) => journal.subscribe(),
            None => broadcast::channel(1).1,
        }
    }

    /// Takes over what the configuration says now about who may start when.
    pub async fn apply(&self, policy: Policy) -> Result<(), Closed> {
        self.ask(|reply| Event::Policy(Box::new(policy), reply)).await
    }

    /// Keeps what tasks leave behind from now on, or does not.
    pub fn remember(&self, on: bool) -> Result<(), Closed> {
        self.events.send(Event::Remember(on)).map_err(|_| Closed)
    }

    /// Starts nothing new from now on; what runs goes on.
    pub fn drain(&self) -> Result<(), Closed> {
        self.events.send(Event::Drain).map_err(|_| Closed)
    }

    /// Ends the engine at once. Agents run on under their supervisors; a later process takes them
    /// up where they are.
    pub async fn detach(&self) -> Result<(), Closed> {
        self.ask(|reply| Event::Shutdown(Shutdown::Detach, reply)).await
    }

    /// Ends every agent, then the engine. A later process begins their attempts again.
    pub async fn end_agents(&self) -> Result<(), Closed> {
        self.ask(|reply| Event::Shutdown(Shutdown::EndAgents, reply)).await
    }

    async fn ask<T>(&self, event: impl FnOnce(oneshot::Sender<T>) -> Event) -> Result<T, Closed> {
        let (reply, answer) = oneshot::channel();
        self.events.send(event(reply)).map_err(|_| Closed)?;
        answer.await.map_err(|_| Closed)
    }
}
