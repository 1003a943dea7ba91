//! Verbs that hold something back and let it go on, and the one that moves it in the queue.

use crate::failure::Failure;
use crate::ids::{ProjectId, TaskId};
use crate::orchestrator::command::{self, GlobalCommand, GlobalVerb};
use crate::orchestrator::step::verbs::{PARKED, Plan, done, is_alive, nothing};
use crate::orchestrator::world::{Desk, HOLDS, Run, World};
use crate::state::{BlockedOn, Ending, Hold, ParkReason, Subject, TaskEvent, TaskState, What};

impl Run {
    pub(super) fn pause(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        pause: bool,
    ) -> command::Answer {
        let name = self.info.name.clone();
        if self.record.paused == pause {
            let state = if pause { "already paused" } else { "not paused" };
            return Ok(nothing(format!("run `{name}` is {state}")));
        }
        if !plan.dry_run {
            self.record.paused = pause;
            self.record.attention.paused_at = pause.then_some(desk.now);
            self.changed.run = true;
            desk.touched.insert(self.info.id);
        }
        let sentence = match (pause, self.running) {
            (true, running) => format!("run `{name}` is paused{}", go_on(running)),
            (false, _) => format!("run `{name}` goes on"),
        };
        Ok(done(sentence, Vec::new()))
    }

    pub(super) fn pause_task(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        id: &TaskId,
    ) -> command::Answer {
        let task = self.find_task(id)?;
        let state = self.tasks[task.at()].state;
        let by_operator = TaskState::Paused { until: None, why: ParkReason::Operator };
        if state == by_operator || self.tasks[task.at()].ending() == Some(Ending::Pause) {
            return Ok(nothing(format!("task `{id}` is already paused")));
        }
        if state.next(PARKED).is_err() {
            return Err(self.refused(task, "paused"));
        }
        if !plan.dry_run {
            self.by_hand(task, plan.who, None);
            self.end_attempt(desk, task, Ending::Pause);
        }
        let sentence = if is_alive(state) {
            format!("task `{id}` is paused: its attempt is ended and goes on when it is resumed")
        } else {
            format!("task `{id}` is paused until it is resumed")
        };
        Ok(done(sentence, Vec::new()))
    }

    pub(super) fn resume_task(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        id: &TaskId,
    ) -> command::Answer {
        let task = self.find_task(id)?;
        let pausing = self.tasks[task.at()].ending() == Some(Ending::Pause);
        let paused = matches!(self.tasks[task.at()].state, TaskState::Paused { .. });
        if !paused && !pausing {
            return Ok(nothing(format!("task `{id}` is not paused")));
        }
        let why = self.tasks[task.at()].state;
        if matches!(why, TaskState::Paused { why: ParkReason::Budget, .. }) {
            return Err(Failure::user(format!("task `{id}` waits because a budget is used up"))
                .hint(format!("allow it more: `taskloom allow {id}`")));
        }
        if !plan.dry_run {
            if pausing {
                self.tasks[task.at()].more_mut().ending = Some(Ending::Suspend);
                self.changed.task(task);
                desk.touched.insert(self.info.id);
            } else {
                self.task_event(desk, task, TaskEvent::Unparked, None);
                self.wait_again(desk, task);
            }
        }
        Ok(done(format!("task `{id}` goes on"), Vec::new()))
    }

    pub(super) fn reprioritise(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        id: &TaskId,
        priority: i32,
    ) -> command::Answer {
        let task = self.find_task(id)?;
        let (now, _) = self.key(task);
        if now == priority {
            return Ok(nothing(format!("the priority of task `{id}` is already {priority}")));
        }
        let state = self.tasks[task.at()].state;
        if state.is_success() {
            return Err(self.refused(task, "moved in the queue"));
        }
        if !plan.dry_run {
            self.leave_places(desk, task, state);
            self.tasks[task.at()].priority = Some(priority);
            self.changed.task(task);
            desk.touched.insert(self.info.id);
            self.enter_places(desk, task, state);
        }
        let sentence = format!("the priority of task `{id}` is {priority} instead of {now}");
        Ok(done(sentence, Vec::new()))
    }

    /// A task that was made ready waits again for what is missing, or is blocked again.
    pub(in crate::orchestrator::step) fn wait_again(
        &mut self,
        desk: &mut Desk,
        task: crate::graph::TaskIx,
    ) {
        if !self.frontier.is_open(task) {
            self.task_event(desk, task, TaskEvent::Closed, None);
            if let Some(root) = self.blocker(task) {
                let on = BlockedOn::Task(root);
                self.task_event(desk, task, TaskEvent::Blocked { on }, None);
            }
        }
    }
}

impl World {
    /// Carries out a verb on everything or on a project. Ending the process is the loop's part.
    pub(crate) fn global(&mut self, command: &GlobalCommand) -> command::Answer {
        let desk = &mut self.desk;
        let receipt = match &command.verb {
            GlobalVerb::Pause { project } => {
                return Ok(self.hold(command, project.as_ref(), true));
            }
            GlobalVerb::Resume { project: Some(project) } => {
                return Ok(self.hold(command, Some(project), false));
            }
            GlobalVerb::Resume { project: None } if desk.draining || desk.safe_mode.is_some() => {
                if !command.dry_run {
                    desk.draining = false;
                    if desk.safe_mode.take().is_some() {
                        // Nothing was taken up so far.
                        desk.dispatch.extend(self.runs.values().flat_map(Run::owed));
                        self.runs.values().for_each(|run| run.tell_again(desk));
                    }
                    self.hold(command, None, false);
                    self.said_to_all(None, command, "everything goes on");
                }
                done("everything goes on", Vec::new())
            }
            GlobalVerb::Resume { project: None } => return Ok(self.hold(command, None, false)),
            GlobalVerb::Allow { project } => return self.allow(command, project.as_ref()),
            GlobalVerb::SetProject { project } => return self.set_project(command, project),
            GlobalVerb::Forget { id } => {
                if !command.dry_run {
                    desk.batch.forgotten.push(*id);
                }
                done(format!("memory {id} is forgotten"), Vec::new())
            }
            GlobalVerb::Drain if desk.draining => nothing("it is draining already"),
            GlobalVerb::Drain => {
                let rest = go_on(desk.queue.running());
                let sentence = format!("nothing new is started in this process{rest}");
                if !command.dry_run {
                    self.drain();
                    self.said_to_all(None, command, &sentence);
                }
                done(sentence, Vec::new())
            }
            GlobalVerb::Shutdown { within } => {
                let running = desk.queue.running();
                let sentence = match (running, within.as_secs()) {
                    (0, _) => "the process ends".to_owned(),
                    (_, 0) => "what runs is suspended, and the process ends".to_owned(),
                    (_, s) => {
                        format!(
                            "what runs may go on for {s} s, is suspended then, and the process ends"
                        )
                    }
                };
                if !command.dry_run {
                    self.drain();
                    self.said_to_all(None, command, &sentence);
                }
                done(sentence, Vec::new())
            }
        };
        Ok(receipt)
    }

    fn hold(
        &mut self,
        command: &GlobalCommand,
        project: Option<&ProjectId>,
        pause: bool,
    ) -> command::Receipt {
        let what = match project {
            None => "everything".to_owned(),
            Some(project) => format!("project `{project}`"),
        };
        if self.desk.holds.get(project).is_some() == pause {
            let state = if pause { "already paused" } else { "not paused" };
            return nothing(format!("{what} is {state}"));
        }
        let concerned = |run: &&Run| project.is_none_or(|p| run.record.project == *p);
        let running = self.runs.values().filter(concerned).map(|run| run.running).sum();
        let sentence = match pause {
            true => format!("{what} is paused{}", go_on(running)),
            false => format!("{what} goes on"),
        };
        if !command.dry_run {
            let hold = pause.then(|| Hold { by: command.who.clone(), at: self.desk.now });
            self.desk.holds.set(project, hold);
            let text = serde_json::to_string(&self.desk.holds);
            let text = text.expect("BUG: holds are plain data");
            self.desk.batch.settings.push((HOLDS, text));
            self.said_to_all(project, command, &sentence);
        }
        done(sentence, Vec::new())
    }

    /// Every open run that a verb concerns knows of it and is planned again.
    pub(super) fn said_to_all(
        &mut self,
        project: Option<&ProjectId>,
        command: &GlobalCommand,
        what: &str,
    ) {
        let desk = &mut self.desk;
        for (id, run) in &self.runs {
            if run.is_open() && project.is_none_or(|p| run.record.project == *p) {
                let detail = Some(format!("{}: {what}", command.who));
                desk.journal(*id, Subject::Run, None, What::Commanded, detail);
            }
        }
    }
}

/// What is said about attempts that a pause leaves alone.
fn go_on(running: u32) -> String {
    match running {
        0 => String::new(),
        1 => "; 1 running attempt goes on".to_owned(),
        n => format!("; {n} running attempts go on"),
    }
}
