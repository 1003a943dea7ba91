//! What is remembered of a task that is done: for people who search, and for tasks that come
//! later. What agents said stands in it as they said it, cut to a size.

use serde::{Deserialize, Serialize};

use crate::graph::TaskIx;
use crate::ids::{ProjectId, RunId, RunName, TaskId};
use crate::state::record::TaskRecord;
use crate::time::Timestamp;

/// A title that is longer is a description.
const TITLE_CHARS_MAX: usize = 200;

/// A page of each: what is longer belongs into the repository.
const TEXT_CHARS_MAX: usize = 2_000;

/// What is remembered of a task. A task of a run has one memory at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Where it comes from.
    #[serde(flatten)]
    pub place: MemoryPlace,
    /// What the task was about.
    pub title: String,
    /// What the agent says it did.
    pub done: String,
    /// What it would have liked to know before.
    pub learned: String,
    /// What it doubted.
    pub concerns: String,
}

/// Where a memory comes from, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPlace {
    /// The project; no other is told of it.
    pub project: ProjectId,
    /// The run.
    pub run: RunId,
    /// How people name that.
    pub name: RunName,
    /// The task's place in it.
    pub task: TaskIx,
    /// How people name that.
    pub id: TaskId,
    /// When it was done.
    pub at: Timestamp,
}

impl Memory {
    /// What its summary is called.
    pub const DID: &'static str = "did";

    /// What there is to remember of a task that is done; `None`: nobody said anything.
    pub fn of(record: &TaskRecord, title: &str, place: MemoryPlace) -> Option<Self> {
        let more = record.more.as_ref()?;
        let concerns: Vec<&str> = more.concerns.iter().map(|c| c.text.trim()).collect();
        let memory = Self {
            place,
            title: clipped(title, TITLE_CHARS_MAX),
            done: clipped(more.summary.as_deref().unwrap_or_default(), TEXT_CHARS_MAX),
            learned: clipped(&more.learned.join("\n"), TEXT_CHARS_MAX),
            concerns: clipped(&concerns.join("\n"), TEXT_CHARS_MAX),
        };
        let said = memory.parts().next().is_some();
        said.then_some(memory)
    }

    /// Which task it is of.
    pub fn key(&self) -> (RunId, TaskIx) {
        (self.place.run, self.place.task)
    }

    /// What was said, by kind, without what was not.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all =
            [(Self::DID, &self.done), ("learned", &self.learned), ("doubted", &self.concerns)];
        all.into_iter().filter(|(_, said)| !said.is_empty()).map(|(what, said)| (what, &**said))
    }

    /// Where it comes from, as people name it: `payments/3/refund`.
    pub fn source(&self) -> String {
        format!("{}/{}", self.place.name, self.place.id)
    }
}

/// A memory as the store has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Its number, which is given to no other.
    pub id: i64,
    /// What is remembered.
    pub memory: Memory,
}

fn clipped(text: &str, chars_max: usize) -> String {
    let text = text.trim();
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> MemoryPlace {
        MemoryPlace {
            project: "shop".parse().unwrap(),
            run: RunId(1),
            name: RunName { graph: "payments".parse().unwrap(), number: 3 },
            task: TaskIx(0),
            id: "refund".parse().unwrap(),
            at: Timestamp(5),
        }
    }

    #[test]
    fn a_task_of_which_nobody_said_anything_leaves_no_memory() {
        let mut record = TaskRecord::default();
        assert_eq!(Memory::of(&record, "Refunds", place()), None);
        record.more_mut().summary = Some(" \n".to_owned());
        assert_eq!(Memory::of(&record, "Refunds", place()), None);
    }

    #[test]
    fn what_is_remembered_has_a_size_and_says_where_it_is_from() {
        let mut record = TaskRecord::default();
        record.more_mut().summary = Some("ü".repeat(TEXT_CHARS_MAX + 1));
        record.more_mut().learned = vec!["amounts are cents".to_owned(), "so are fees".to_owned()];
        let memory = Memory::of(&record, "Refunds", place()).unwrap();
        assert_eq!(memory.done, "ü".repeat(TEXT_CHARS_MAX) + "…");
        assert_eq!(memory.learned, "amounts are cents\nso are fees");
        assert_eq!(memory.source(), "payments/3/refund");
    }
}
