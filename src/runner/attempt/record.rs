//! What an attempt leaves on disk about itself, and what it has heard from its agent.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::agents::signals::{FileAction, Signal, Signalled};
use crate::ids::ProfileName;
use crate::runner::files;
use crate::state::{
    Answer, AttemptEnd, AttemptOutcome, Concern, ConcernKind, PlanFound, Question, Session, Spent,
    Usage,
};

/// Numbers of questions that come by an agent's own protocol begin here; signals count from 1.
const ASKS_FROM: u64 = 1 << 32;

/// Whoever learned more than this in one attempt counts every step.
const LEARNED_MAX: usize = 20;

/// A file that a task declares for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Declared {
    pub(crate) path: String,
    pub(crate) action: FileAction,
    pub(crate) category: String,
}

/// `outputs.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outputs {
    pub(crate) schema_version: String,
    pub(crate) files: Vec<Declared>,
}

/// What an attempt has heard, and where it writes it down.
#[derive(Debug)]
pub(crate) struct Record {
    dir: PathBuf,
    records: PathBuf,
    transcript: File,
    /// What people are shown of this turn, where the program's own output says it otherwise.
    said: Option<File>,
    attempt: u32,
    pub(crate) summary: Option<String>,
    pub(crate) learned: Vec<String>,
    pub(crate) concerns: Vec<Concern>,
    pub(crate) outputs: Vec<Declared>,
    pub(crate) notes: Vec<(String, String)>,
    pub(crate) usage: Usage,
    /// How often something was used.
    spends: u32,
    /// The model that does the work, if the agent says.
    model: Option<String>,
    /// What the agent plans to be done after it.
    pub(crate) plan: Option<PlanFound>,
    /// The profile that does the work.
    pub(crate) profile: Option<ProfileName>,
    /// The conversation, to go on with.
    pub(crate) session: Option<Session>,
    /// Tools that the agent uses just now.
    pub(crate) tools: BTreeSet<String>,
    /// Names of what the agent asked by its own means in this turn.
    pub(crate) asks: Vec<String>,
    /// Tools that were refused to it.
    pub(crate) refused: BTreeSet<String>,
    /// Questions of the current turn that wait for their answers. The engine knows the first.
    pub(crate) open: VecDeque<Question>,
    /// The last claim of the current turn.
    pub(crate) claim: Option<Signal>,
    no_changes: bool,
    /// Counts turns, from 0.
    turn: u32,
}

impl Record {
    pub(crate) fn open(dir: &Path, records: &Path, attempt: u32) -> io::Result<Self> {
        files::private_dir(dir)?;
        files::private_dir(records)?;
        Ok(Self {
            // What the agent said is heard again from the beginning.
            transcript: files::begin(&dir.join("transcript.jsonl"))?,
            said: None,
            turn: 0,
            dir: dir.to_owned(),
            records: records.to_owned(),
            attempt,
            summary: None,
            learned: Vec::new(),
            concerns: Vec::new(),
            outputs: Vec::new(),
            notes: Vec::new(),
            usage: Usage::default(),
            spends: 0,
            model: None,
            plan: None,
            profile: None,
            session: None,
            tools: BTreeSet::new(),
            asks: Vec::new(),
            refused: BTreeSet::new(),
            open: VecDeque::new(),
            claim: None,
            no_changes: false,
        })
    }

    /// Whether the agent said that nothing had to be changed, and nothing else since.
    pub(crate) fn said_no_changes(&self) -> bool {
        self.no_changes
    }

    /// A new turn: what was claimed before is void. `wordy` is an agent whose program writes
    /// more than words.
    pub(crate) fn begin_turn(&mut self, turn: u32, wordy: bool) -> io::Result<()> {
        let said = self.records.join(format!("said-{turn}.log"));
        self.said = wordy.then(|| files::begin(&said)).transpose()?;
        self.claim = None;
        self.no_changes = false;
        self.open.clear();
        self.asks.clear();
        self.tools.clear();
        self.turn = turn;
        Ok(())
    }

    /// Takes down what people are shown.
    pub(crate) fn shown(&self, text: &str) {
        if let Some(mut said) = self.said.as_ref()
            && let Err(error) = said.write_all(format!("{text}\n").as_bytes())
        {
            tracing::warn!(%error, dir = %self.records.display(), "what was said has a gap");
        }
    }

    /// The place of a question of the current turn.
    pub(crate) fn question(&self, seq: u64, text: &str, choices: &[String]) -> Question {
        Question {
            turn: self.turn,
            seq,
            text: text.to_owned(),
            choices: choices.to_vec(),
            free: false,
        }
    }

    /// Takes down what the agent asks by its own means. It counts from far above all signals.
    pub(crate) fn ask(&mut self, id: String, text: &str, choices: &[String]) -> Question {
        self.asks.push(id);
        Question { free: true, ..self.question(ASKS_FROM + self.asks.len() as u64, text, choices) }
    }

    /// The agent's own name of a question, if it asked by its own means.
    pub(crate) fn name_of(&self, seq: u64) -> Option<&String> {
        let at = usize::try_from(seq.checked_sub(ASKS_FROM + 1)?).ok()?;
        self.asks.get(at)
    }

    /// Takes in what something cost, and which session it belongs to. `None`: nothing.
    pub(crate) fn spend(&mut self, usage: Usage) -> Option<Spent> {
        if usage.is_nothing() {
            return None;
        }
        self.usage += usage;
        self.spends += 1;
        let (turn, seq, model) = (self.turn, self.spends, self.model.clone());
        Some(Spent { turn, seq, usage, model, profile: None })
    }

    /// Takes in which session the agent's work belongs to, and which model does it.
    pub(crate) fn goes_by(&mut self, session: Option<Session>, model: Option<String>) {
        self.model = model.or(self.model.take());
        let profile = self.profile.as_ref().map(ToString::to_string);
        let session = session.map(|session| Session { profile, ..session });
        self.session = session.or(self.session.take());
    }

    /// Whether an answer is one to the question that the engine knows to be open.
    pub(crate) fn waits_for(&self, answer: &Answer) -> bool {
        self.open.front().is_some_and(|question| question.place() == (answer.turn, answer.seq))
    }

    /// Takes in what the agent says, questions excepted.
    pub(crate) fn hear(&mut self, said: &Signalled) {
        match said.signal.clone() {
            Signal::Done { summary } => {
                self.summary = summary.or(self.summary.take());
                self.no_changes = false;
                self.claim = Some(said.signal.clone());
            }
            Signal::NoChanges {} => {
                self.no_changes = true;
                self.claim = Some(said.signal.clone());
            }
            Signal::Failed { .. } => self.claim = Some(said.signal.clone()),
            Signal::Concern { text } => self.doubt(ConcernKind::Design, text),
            Signal::OpsConcern { text } => self.doubt(ConcernKind::Ops, text),
            Signal::Summary { text } => self.summary = Some(text),
            Signal::Learned { text } => self.learn(text),
            Signal::Declare { path, action, category } => {
                self.outputs.retain(|known| known.path != path);
                self.outputs.push(Declared { path, action, category });
            }
            Signal::Note { to, text } => self.notes.push((to.to_string(), text)),
            Signal::Plan { text } => self.plan = Some(PlanFound { file: None, text, read: None }),
            // Only a reviewer's word on a change counts.
            Signal::Ask { .. }
            | Signal::Approve {}
            | Signal::Object { .. }
            | Signal::Progress { .. } => {}
        }
    }

    fn learn(&mut self, text: String) {
        if self.learned.len() < LEARNED_MAX && !self.learned.contains(&text) {
            self.learned.push(text);
        }
    }

    pub(crate) fn doubt(&mut self, kind: ConcernKind, text: String) {
        let concern = Concern { kind, attempt: self.attempt, text };
        if !self.concerns.contains(&concern) {
            self.concerns.push(concern);
        }
    }

    /// One line of the transcript.
    pub(crate) fn transcribe(&self, line: &Value) {
        let line = line.to_string() + "\n";
        if let Err(error) = (&self.transcript).write_all(line.as_bytes()) {
            tracing::warn!(%error, dir = %self.dir.display(), "the transcript has a gap");
        }
    }

    /// What the engine is told.
    pub(crate) fn end(&self, outcome: AttemptOutcome) -> AttemptEnd {
        AttemptEnd {
            outcome,
            summary: self.summary.clone().map(String::into_boxed_str),
            learned: self.learned.clone(),
            concerns: self.concerns.clone(),
            usage: self.usage,
            session: self.session.clone().map(Box::new),
            plan: self.plan.clone().map(Box::new),
        }
    }

    /// Writes what people and later tasks read.
    pub(crate) fn write(&self) -> io::Result<()> {
        if !self.concerns.is_empty() {
            let path = self.dir.join("concerns.jsonl");
            let lines = self.concerns.iter().map(|concern| json!(concern).to_string() + "\n");
            files::write(&path, lines.collect::<String>().as_bytes())?;
        }
        self.publish(&self.dir)
    }

    /// Writes what later tasks read into `dir`: what was said, and not what lies beside it.
    pub(crate) fn publish(&self, dir: &Path) -> io::Result<()> {
        if let Some(summary) = &self.summary {
            files::write(&dir.join("summary.md"), summary.as_bytes())?;
        }
        if !self.outputs.is_empty() {
            let outputs = Outputs { schema_version: "1".to_owned(), files: self.outputs.clone() };
            files::write_json(&dir.join("outputs.json"), &outputs)?;
        }
        Ok(())
    }
}
