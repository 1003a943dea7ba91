//! What people tell agents by message: a sign under it when it is taken, another when the agent
//! has it.

use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::discord::board::Board;
use crate::discord::outbox::{Call, Priority};
use crate::graph::TaskIx;
use crate::ids::RunId;
use crate::orchestrator::RunView;

/// It was taken and the agent does not have it yet.
const TAKEN: &str = "👀";
/// The agent has it.
const DELIVERED: &str = "✅";
/// The next attempt will have it.
const NOTED: &str = "📝";

/// A message to an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Message {
    thread: u64,
    message: u64,
    run: i64,
    task: u32,
    text: String,
}

/// Messages that their agents do not have yet.
#[derive(Default)]
pub(crate) struct Told(Mutex<Vec<Message>>);

impl Board {
    /// Shows that a message in a thread was taken.
    pub(crate) async fn told(&self, thread: u64, message: u64, at: (RunId, TaskIx), text: &str) {
        let told = Message { thread, message, run: at.0.0, task: at.1.0, text: text.to_owned() };
        let json = serde_json::to_string(&told).expect("BUG: a message is plain data");
        drop(self.doors.ledger.bind(&name(message), Some(&json)).await);
        self.told.0.lock().expect("BUG: nobody panics with this lock").push(told);
        self.react(thread, message, TAKEN, true).await;
    }

    /// Whether some agent does not have yet what it was told.
    pub(crate) fn waits_for_agents(&self) -> bool {
        !self.told.0.lock().expect("BUG: nobody panics with this lock").is_empty()
    }

    /// Remembers what was told before a restart.
    pub(crate) async fn recall_told(&self) {
        let kept = self.doors.ledger.bindings("told/").await.unwrap_or_default();
        let kept = kept.iter().filter_map(|(_, json)| serde_json::from_str(json).ok());
        self.told.0.lock().expect("BUG: nobody panics with this lock").extend(kept);
    }

    /// Looks which agents have what they were told.
    pub(crate) async fn look_at_told(&self) {
        let all = self.told.0.lock().expect("BUG: nobody panics with this lock").clone();
        for told in all {
            let Some(view) = self.view(RunId(told.run)).await else { continue };
            let Some(sign) = sign(&view, &told) else { continue };
            self.forget_told(&told);
            drop(self.doors.ledger.bind(&name(told.message), None).await);
            self.react(told.thread, told.message, sign, true).await;
            self.react(told.thread, told.message, TAKEN, false).await;
        }
    }

    fn forget_told(&self, told: &Message) {
        let mut waiting = self.told.0.lock().expect("BUG: nobody panics with this lock");
        waiting.retain(|other| other != told);
    }

    async fn react(&self, channel: u64, message: u64, emoji: &'static str, there: bool) {
        let call = Call::React { message, emoji, there };
        if let Err(error) = self.outbox.ask(channel, Priority::State, call).await {
            tracing::debug!(%error, "no reaction");
        }
    }
}

/// What stands under a message now; `None`: the agent does not have it yet.
fn sign(view: &RunView, told: &Message) -> Option<&'static str> {
    let more = view.tasks.get(told.task as usize)?.more.as_ref();
    let on_its_way = more.is_some_and(|more| more.steers.iter().any(|s| s.text == told.text));
    let noted = more.and_then(|more| more.note.as_ref());
    let noted = noted.is_some_and(|note| note.contains(&told.text));
    match (on_its_way, noted) {
        (true, _) => None,
        (false, true) => Some(NOTED),
        (false, false) => Some(DELIVERED),
    }
}

fn name(message: u64) -> String {
    format!("told/{message}")
}
