//! Messages that ask about a task, until it is decided: wherever that is done, their buttons are
//! shown as what they are then, of the past. Must not know interactions.

use serde_json::Value;

use crate::discord::board::Board;
use crate::discord::board::places::Place;
use crate::discord::keys::{Key, More, On, Press};
use crate::discord::outbox::{Call, Priority};
use crate::discord::post::Post;
use crate::graph::TaskIx;
use crate::ids::RunId;
use crate::orchestrator::RunView;
use crate::state::{ParkReason, TaskState};

/// Why a button is of the past, if it is: it is bound to what the person was shown.
pub(crate) fn past(view: &RunView, key: &Key) -> Option<String> {
    let On::Task(_, task) = key.on else { return None };
    let attempt = match &key.more {
        More::Attempt(attempt) | More::Question(attempt, ..) => *attempt,
        More::Nothing | More::Commit(_) | More::Plan(_) => return None,
    };
    if matches!(key.press, Press::Logs | Press::FullLog | Press::Diff) {
        return None;
    }
    let Some(record) = view.tasks.get(task.at()) else { return Some("no such task".to_owned()) };
    let same = record.attempts.saturating_sub(1) == attempt;
    if let More::Question(_, turn, seq, _) = key.more {
        let open = record.more.as_ref().and_then(|more| more.question.as_ref());
        let waits = matches!(record.state, TaskState::WaitingInput { .. });
        let asked = open.is_some_and(|question| question.place() == (turn, seq));
        let gone = "the question was answered, or its agent is gone";
        return (!waits || !asked || !same).then(|| gone.to_owned());
    }
    let fits = same && fits(key.press, record.state);
    let id = &view.info.graph.task(task).id;
    (!fits).then(|| format!("`{id}` is {} now", record.state.word()))
}

/// Whether a task that is in `state` can be given what a button about its attempt offers.
fn fits(press: Press, state: TaskState) -> bool {
    let allows = matches!(
        press,
        Press::More | Press::FinishUp | Press::Switch | Press::SwitchTo | Press::StopTask
    );
    match allows {
        true => matches!(state, TaskState::Paused { why: ParkReason::Budget, .. }),
        false => {
            let dead = matches!(state, TaskState::Failed { .. } | TaskState::Blocked { .. });
            dead || press == Press::TakeOver
        }
    }
}

/// Rows of buttons that do nothing any more.
pub(crate) fn disabled(mut rows: Value) -> Value {
    for row in rows.as_array_mut().into_iter().flatten() {
        for button in row["components"].as_array_mut().into_iter().flatten() {
            button["disabled"] = Value::Bool(true);
        }
    }
    rows
}

impl Board {
    /// Remembers that the message of the notice `seq` asks about a task, if it does.
    pub(crate) async fn keep_asking(&self, seq: u64, post: &Post) {
        let bound = |key: &Key| matches!(key.more, More::Attempt(_) | More::Question(..));
        let asks = |key: &&Key| key.press.decides() && bound(key);
        let Some(key) = post.buttons.iter().map(|button| &button.key).find(asks) else { return };
        let On::Task(run, task) = key.on else { return };
        let rows = Value::Array(post.rows()).to_string();
        let kept = self.doors.ledger.bind(&name(run, task, seq), Some(&rows)).await;
        if let Err(error) = kept {
            tracing::warn!(%error, "that a message asks something could not be kept");
        }
    }

    /// Shows under what asked about a task that it is decided, if it is.
    pub(crate) async fn settle_asked(&self, view: &RunView, task: TaskIx) {
        let prefix = format!("asks/{}/{}/", view.info.id.0, task.0);
        let asked = self.doors.ledger.bindings(&prefix).await.unwrap_or_default();
        for (name, rows) in asked {
            let rows: Value = serde_json::from_str(&rows).unwrap_or_default();
            let seq: u64 = name[prefix.len()..].parse().unwrap_or_default();
            let open = keys(&rows).any(|key| key.press.decides() && past(view, &key).is_none());
            let place = self.places.find(&format!("notice/{seq}")).await;
            let Some(Place { channel, message: Some(message), .. }) = place.filter(|_| !open)
            else {
                continue;
            };
            let call = Call::Disable { message, rows: disabled(rows) };
            match self.outbox.ask(channel, Priority::State, call).await {
                Err(error) if error.passes() => {
                    tracing::debug!(%error, "buttons of the past still look alive");
                }
                Ok(_) | Err(_) => drop(self.doors.ledger.bind(&name, None).await),
            }
        }
    }
}

fn name(run: RunId, task: TaskIx, seq: u64) -> String {
    format!("asks/{}/{}/{seq}", run.0, task.0)
}

/// What the buttons of some rows do.
fn keys(rows: &Value) -> impl Iterator<Item = Key> {
    let rows = rows.as_array().into_iter().flatten();
    let buttons = rows.flat_map(|row| row["components"].as_array().into_iter().flatten());
    buttons.filter_map(|button| button["custom_id"].as_str()?.parse().ok())
}
