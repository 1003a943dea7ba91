//! The run cards: kept current as the journal grows, each at most every few seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Weak;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use crate::discord::board::{Board, House, words};
use crate::discord::outbox::{Error, Priority};
use crate::discord::post::{Attachment, Post};
use crate::graph::TaskIx;
use crate::ids::RunId;
use crate::orchestrator::RunView;
use crate::render::{self, Theme};
use crate::state::{Entry, RunState, Subject};
use crate::time::Timestamp;

/// How often a card changes at most.
const REFRESH_EVERY: Duration = Duration::from_secs(3);

/// How often waiting changes are looked at.
const TICK: Duration = Duration::from_millis(500);

/// A message older than an hour may be edited less often (Discord's error 30046): a card moves to
/// a fresh one before.
const CARD_AGE_MAX: Duration = Duration::from_secs(50 * 60);

/// How many tasks may have been announced under a card before it moves below them.
const ANCHORS_MAX: usize = 40;

/// Pixels to the point: a phone shows the picture at its full width.
const SCALE: f32 = 2.0;

/// Tasks whose picture is still legible on a phone; of more the card shows none by itself.
const PICTURED_MAX: usize = 60;

#[derive(Default)]
struct Dirty {
    tasks: BTreeSet<TaskIx>,
    not_before: Timestamp,
    waits: bool,
    busy: bool,
}

/// Follows the journal until the engine ends.
pub(crate) async fn keep_current(board: Weak<Board>, house: House) {
    let mut journal = house.handle.subscribe();
    let mut runs: BTreeMap<RunId, Dirty> = BTreeMap::new();
    let (done, mut refreshed) = mpsc::unbounded_channel::<RunId>();
    for run in unfinished(&board).await {
        mark_all(&board, runs.entry(run).or_default(), run).await;
    }
    loop {
        let waits = runs.values().any(|dirty| dirty.waits && !dirty.busy);
        let told = board.upgrade().is_some_and(|board| board.waits_for_agents());
        tokio::select! {
            batch = journal.recv() => match batch {
                Ok(entries) => entries.iter().for_each(|entry| mark(&mut runs, entry)),
                Err(RecvError::Lagged(_)) => {
                    for run in runs.keys().copied().collect::<Vec<_>>() {
                        mark_all(&board, runs.entry(run).or_default(), run).await;
                    }
                }
                Err(RecvError::Closed) => return,
            },
            Some(run) = refreshed.recv() => {
                if let Some(dirty) = runs.get_mut(&run) {
                    dirty.busy = false;
                }
            }
            () = tokio::time::sleep(TICK), if waits || told => {}
        }
        let Some(strong) = board.upgrade() else { return };
        if told {
            strong.look_at_told().await;
        }
        let now = strong.doors.clock.now();
        for (run, dirty) in &mut runs {
            if !dirty.waits || dirty.busy || dirty.not_before > now {
                continue;
            }
            (dirty.waits, dirty.busy, dirty.not_before) = (false, true, now + REFRESH_EVERY);
            let (run, tasks) = (*run, std::mem::take(&mut dirty.tasks));
            let (board, done) = (strong.clone(), done.clone());
            drop(tokio::spawn(async move {
                board.refresh(run, tasks).await;
                done.send(run).ok();
            }));
        }
    }
}

fn mark(runs: &mut BTreeMap<RunId, Dirty>, entry: &Entry) {
    let dirty = runs.entry(entry.run).or_default();
    dirty.waits = true;
    if let Subject::Task(task) = entry.subject {
        dirty.tasks.insert(task);
    }
}

async fn mark_all(board: &Weak<Board>, dirty: &mut Dirty, run: RunId) {
    let Some(board) = board.upgrade() else { return };
    dirty.waits = true;
    if let Some(view) = board.view(run).await {
        dirty.tasks.extend((0u32..).map(TaskIx).take(view.tasks.len()));
    }
}

/// The runs whose cards may not show how they ended.
async fn unfinished(board: &Weak<Board>) -> Vec<RunId> {
    let Some(board) = board.upgrade() else { return Vec::new() };
    let names = board.doors.ledger.bindings("open/").await.unwrap_or_default();
    let open = names.iter().filter_map(|(name, _)| name.strip_prefix("open/")?.parse().ok());
    open.map(RunId).collect()
}

impl Board {
    /// Where the card of a run is; it is posted if it is not there.
    pub(crate) async fn card(&self, view: &RunView) -> Result<(u64, u64), Error> {
        let name = card_name(view.info.id);
        if let Some(place) = self.places.find(&name).await
            && let Some(message) = place.message
        {
            return Ok((place.channel, message));
        }
        let project = &view.info.project.id;
        let channel = self.channel(project).await.ok_or(Error::Forbidden { channel: 0 })?;
        let open = format!("open/{}", view.info.id.0);
        drop(self.doors.ledger.bind(&open, Some("")).await);
        let mut card = words::card(view);
        card.file = picture(view);
        let posted = self.post(&name, channel, &card, Priority::State).await;
        posted.inspect_err(|error| tracing::warn!(%error, run = %view.info.name, "no card"))
    }

    /// Brings everything that shows a run up to date.
    async fn refresh(&self, run: RunId, tasks: BTreeSet<TaskIx>) {
        let Some(view) = self.view(run).await else { return };
        let Ok((channel, message)) = self.card(&view).await else { return };
        let settled = matches!(view.run.state, RunState::Settled { .. });
        let (channel, message) = match self.has_scrolled_away(&view).await && !settled {
            true => self.move_card(&view, channel, message).await.unwrap_or((channel, message)),
            false => (channel, message),
        };
        let mut card = words::card(&view);
        card.file = picture(&view);
        match self.places.edit(channel, message, &card, Priority::State).await {
            Ok(()) if settled => {
                drop(self.doors.ledger.bind(&format!("open/{}", run.0), None).await);
            }
            Ok(()) => {}
            Err(error) if error.is_gone() => {
                self.places.renew(&card_name(run)).await;
                drop(self.card(&view).await);
            }
            Err(error) if error.is_too_old() => {
                drop(self.move_card(&view, channel, message).await);
            }
            Err(error) => tracing::warn!(%error, run = %view.info.name, "the card is not current"),
        }
        for task in tasks.into_iter().filter(|task| task.at() < view.tasks.len()) {
            self.refresh_task(&view, task).await;
        }
    }

    async fn has_scrolled_away(&self, view: &RunView) -> bool {
        let Some(place) = self.places.find(&card_name(view.info.id)).await else { return false };
        let now = self.doors.clock.now();
        let started = |at: Timestamp| at > place.at;
        let below = view.tasks.iter().filter(|t| t.attempts == 1 && started(t.started_at)).count();
        now.since(place.at) > CARD_AGE_MAX || below > ANCHORS_MAX
    }

    /// Posts the card anew at the end of the channel; the old message leads there.
    async fn move_card(
        &self,
        view: &RunView,
        channel: u64,
        message: u64,
    ) -> Result<(u64, u64), Error> {
        self.places.renew(&card_name(view.info.id)).await;
        let (new_channel, new) = self.card(view).await?;
        let link = self.link(new_channel, new);
        let stub = Post::text(format!("**{}** · goes on [here]({link})", view.info.name));
        if let Err(error) = self.places.edit(channel, message, &stub, Priority::State).await {
            tracing::debug!(%error, "the old card still looks like one");
        }
        Ok((new_channel, new))
    }
}

/// The picture of a run, if it has few enough tasks to be legible.
pub(crate) fn picture(view: &RunView) -> Option<Attachment> {
    (view.tasks.len() <= PICTURED_MAX).then(|| drawing(view)).flatten()
}

/// The picture of a run.
pub(crate) fn drawing(view: &RunView) -> Option<Attachment> {
    draw(&words::picture(view))
}

pub(crate) fn draw(dag: &render::Dag) -> Option<Attachment> {
    let png = render::png(&render::svg(dag, Theme::Dark), SCALE);
    let png = png.inspect_err(|error| tracing::warn!(%error, "no picture")).ok()?;
    let description =
        format!("The graph of {}: {}", dag.title, render::progress::progress(&dag.counts()));
    Some(Attachment { name: "graph.png", description, bytes: png.into() })
}

/// A chart.
pub(crate) fn chart(chart: &render::Chart) -> Option<Attachment> {
    let png = render::png(&chart.bars(Theme::Dark), SCALE);
    let png = png.inspect_err(|error| tracing::warn!(%error, "no picture")).ok()?;
    Some(Attachment { name: "chart.png", description: chart.title.clone(), bytes: png.into() })
}

pub(crate) fn card_name(run: RunId) -> String {
    format!("card/{}", run.0)
}
