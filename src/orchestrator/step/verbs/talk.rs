//! Verbs that say something to an agent.

use crate::failure::Failure;
use crate::graph::TaskIx;
use crate::ids::TaskId;
use crate::orchestrator::command;
use crate::orchestrator::step::verbs::{Plan, done, is_alive, nothing};
use crate::orchestrator::world::{Desk, Run};
use crate::runner::ToAttempt;
use crate::state::{Answer, Steer, TaskState, What};

impl Run {
    pub(super) fn answer(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        id: &TaskId,
        text: &str,
    ) -> command::Answer {
        let task = self.find_task(id)?;
        let waits = matches!(self.tasks[task.at()].state, TaskState::WaitingInput { .. });
        let more = self.tasks[task.at()].more.as_ref();
        let question = more.and_then(|more| more.question.clone()).filter(|_| waits);
        let given = more.and_then(|more| more.answer.as_ref()).filter(|_| waits);
        if let Some(given) = given {
            return match given.text == text {
                true => Ok(nothing(format!("the agent of task `{id}` is answered so already"))),
                false => Err(Failure::user(format!(
                    "the agent of task `{id}` is answered `{}` already",
                    given.text
                ))
                .hint(format!("tell it more: `taskloom steer {id} TEXT`"))),
            };
        }
        let Some(question) = question else {
            return Err(Failure::user(format!("the agent of task `{id}` asks nothing now")));
        };
        if text.trim().is_empty() {
            return Err(Failure::user("the answer is empty"));
        }
        let bound = !question.choices.is_empty() && !question.free;
        if bound && !question.choices.iter().any(|c| c == text) {
            return Err(Failure::user(format!("`{text}` is not among the answers"))
                .hint(format!("choose one of: {}", question.choices.join(", "))));
        }
        if !plan.dry_run {
            let key = self.attempt_key(task).expect("BUG: who asks has an attempt");
            let answer = Answer { turn: question.turn, seq: question.seq, text: text.to_owned() };
            self.tasks[task.at()].more_mut().answer = Some(answer.clone());
            self.changed.task(task);
            desk.messages.push((key, ToAttempt::Answer(answer)));
            desk.touched.insert(self.info.id);
        }
        Ok(done(format!("the agent of task `{id}` is answered `{text}`"), Vec::new()))
    }

    pub(super) fn steer(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        id: &TaskId,
        text: &str,
    ) -> command::Answer {
        let task = self.find_task(id)?;
        let state = self.tasks[task.at()].state;
        if text.trim().is_empty() {
            return Err(Failure::user("the message is empty"));
        }
        if state.is_success() {
            return Err(self.refused(task, "told anything").hint(format!(
                "have it done again: `taskloom rewind {}/{id} --note TEXT`",
                self.info.name
            )));
        }
        let key = self.attempt_key(task).filter(|key| self.effects.contains_key(key));
        let key = key.filter(|_| is_alive(state) && self.tasks[task.at()].ending().is_none());
        let sentence = match key {
            Some(_) => format!("the agent of task `{id}` is told"),
            None => format!("the next attempt of task `{id}` is told"),
        };
        if !plan.dry_run {
            let seq = self.note(desk, task, What::Steered, Some(text.to_owned()));
            self.changed.task(task);
            match key {
                Some(key) => {
                    let steer = Steer { seq, text: text.to_owned() };
                    self.tasks[task.at()].more_mut().steers.push(steer.clone());
                    desk.messages.push((key, ToAttempt::Steer(steer)));
                }
                None => self.note_down(task, text),
            }
        }
        Ok(done(sentence, Vec::new()))
    }

    /// Something that the next attempt is told, after what it is told already.
    pub(crate) fn note_down(&mut self, task: TaskIx, text: &str) {
        let note = &mut self.tasks[task.at()].more_mut().note;
        *note = Some(match note.take() {
            Some(before) => format!("{before}\n{text}"),
            None => text.to_owned(),
        });
    }
}
