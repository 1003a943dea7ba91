//! From the words of the command line to a verb, but for whose run and which part is meant.

use crate::cli::args::{AllowArgs, HowArgs, PauseArgs, VerbArgs, VerbCommand};
use crate::failure::Failure;
use crate::ids::{LaneId, TaskId};
use crate::orchestrator::{Allowance, GlobalVerb, Target, Undo, Verb};

/// What was asked for.
pub(crate) enum Asked {
    /// Something of a run.
    Run {
        subject: Subject,
        dry_run: bool,
        /// The verb, once it is known what the subject is; `None`: the run itself.
        make: Make,
        /// A person is shown what it would do, and asked.
        confirm: bool,
    },
    /// Something of everything, or of a project.
    Everything { verb: GlobalVerb, dry_run: bool },
}

/// What a verb is done to, as it was named.
pub(crate) enum Subject {
    /// A task, or a lane.
    Part { text: String, lane: bool },
    /// A run if there is one of that name, else a task.
    RunOrTask(String),
}

pub(crate) type Make = Box<dyn FnOnce(Option<Target>) -> Result<Verb, Failure> + Send>;

// tidy: flat match
pub(crate) fn asked(command: VerbCommand) -> Result<Asked, Failure> {
    Ok(match command {
        VerbCommand::Retry(args) => {
            let (note, fresh, downstream) = (args.note, args.fresh, args.downstream);
            part(args.verb, move |target| Ok(Verb::Retry { target, note, fresh, downstream }))
        }
        VerbCommand::Rewind(args) => {
            let (note, downstream) = (args.note, args.downstream);
            task(args.verb, move |task| Verb::Rewind { task, note, downstream })
        }
        VerbCommand::Skip(args) => {
            let reason = args.reason;
            task(args.verb, move |task| Verb::Skip { task, reason })
        }
        VerbCommand::Stop(args) => task(args, |task| Verb::Stop { task }),
        VerbCommand::Cancel(args) => {
            run_or_task(args.subject, args.dry_run, |task| Verb::Cancel { task })
        }
        VerbCommand::Pause(args) => {
            pause(args, |project| GlobalVerb::Pause { project }, |task| Verb::Pause { task })
        }
        VerbCommand::Resume(args) => {
            pause(args, |project| GlobalVerb::Resume { project }, |task| Verb::Resume { task })
        }
        VerbCommand::Allow(args) => allow(args),
        VerbCommand::Drain(args) => {
            Asked::Everything { verb: GlobalVerb::Drain, dry_run: args.dry_run }
        }
        VerbCommand::Shutdown(args) => {
            let verb = GlobalVerb::Shutdown { within: args.within };
            Asked::Everything { verb, dry_run: args.dry_run }
        }
        VerbCommand::Reprioritise(args) => {
            let priority = args.priority;
            let verb = VerbArgs { subject: args.task, lane: false, dry_run: args.dry_run };
            task(verb, move |task| Verb::Reprioritise { task, priority })
        }
        VerbCommand::Steer(args) => {
            let text = args.text;
            let verb = VerbArgs { subject: args.task, lane: false, dry_run: false };
            task(verb, move |task| Verb::Steer { task, text })
        }
        VerbCommand::Answer(args) => {
            let text = args.text;
            let verb = VerbArgs { subject: args.task, lane: false, dry_run: false };
            task(verb, move |task| Verb::Answer { task, text })
        }
        VerbCommand::ResetTask(args) => task(undo(args.subject, false, args.how), |task| {
            Verb::Undo { what: Undo::Task { task } }
        })
        .confirmed(args.how),
        VerbCommand::ResetTo(args) => task(undo(args.after, false, args.how), |task| Verb::Undo {
            what: Undo::After { task },
        })
        .confirmed(args.how),
        VerbCommand::ResetWorkstream(args) => {
            lane(undo(args.subject, true, args.how), |lane| Undo::Lane { lane }).confirmed(args.how)
        }
        VerbCommand::TeardownWorkstream(args) => {
            let what = |lane| Undo::TearDown { lane };
            lane(undo(args.subject, true, args.how), what).confirmed(args.how)
        }
        VerbCommand::Reset(args) => {
            let make: Make = Box::new(|target| match target {
                None => Ok(Verb::Undo { what: Undo::Run }),
                Some(target) => Err(Failure::user(format!("{target} is no run"))),
            });
            let subject = Subject::RunOrTask(args.subject);
            let dry_run = args.how.dry_run;
            Asked::Run { subject, dry_run, make, confirm: false }.confirmed(args.how)
        }
        VerbCommand::Approve(args) => {
            part(args, |target| Ok(Verb::Approve { target, commit: None }))
        }
        VerbCommand::Reject(args) => {
            let note = args.note;
            part(args.verb, move |target| Ok(Verb::Reject { target, commit: None, note }))
        }
    })
}

fn allow(args: AllowArgs) -> Asked {
    let (project, dry_run) = (args.project, args.dry_run);
    let Some(subject) = args.task else {
        return Asked::Everything { verb: GlobalVerb::Allow { project }, dry_run };
    };
    let how = match (args.agent, args.finish_up) {
        (Some(profile), _) => Allowance::Switch { profile },
        (None, true) => Allowance::FinishUp,
        (None, false) => Allowance::More,
    };
    let verb = VerbArgs { subject, lane: false, dry_run };
    task(verb, move |task| Verb::Allow { task, how })
}

fn part(
    args: VerbArgs,
    make: impl FnOnce(Target) -> Result<Verb, Failure> + Send + 'static,
) -> Asked {
    let VerbArgs { subject: text, lane, dry_run } = args;
    let make: Make = Box::new(move |target| make(target.expect("BUG: a part was named")));
    Asked::Run { subject: Subject::Part { text, lane }, dry_run, make, confirm: false }
}

/// A verb on a task.
pub(crate) fn task(args: VerbArgs, make: impl FnOnce(TaskId) -> Verb + Send + 'static) -> Asked {
    part(args, move |target| match target {
        Target::Task(id) => Ok(make(id)),
        Target::Lane(id) => Err(Failure::user(format!("`{id}` is a lane, and a task is needed"))),
    })
}

fn lane(args: VerbArgs, what: impl FnOnce(LaneId) -> Undo + Send + 'static) -> Asked {
    part(args, move |target| match target {
        Target::Lane(id) => Ok(Verb::Undo { what: what(id) }),
        Target::Task(id) => Err(Failure::user(format!("`{id}` is a task, and a lane is needed"))),
    })
}

fn undo(subject: String, lane: bool, how: HowArgs) -> VerbArgs {
    VerbArgs { subject, lane, dry_run: how.dry_run }
}

impl Asked {
    /// With a question, unless it is rehearsed or nobody wants to be asked.
    fn confirmed(mut self, how: HowArgs) -> Self {
        if let Self::Run { confirm, .. } = &mut self {
            *confirm = !how.dry_run && !how.yes;
        }
        self
    }
}

fn run_or_task(
    subject: String,
    dry_run: bool,
    make: impl FnOnce(Option<TaskId>) -> Verb + Send + 'static,
) -> Asked {
    let make: Make = Box::new(move |target| match target {
        None => Ok(make(None)),
        Some(Target::Task(id)) => Ok(make(Some(id))),
        Some(Target::Lane(id)) => Err(Failure::user(format!("`{id}` is a lane"))),
    });
    Asked::Run { subject: Subject::RunOrTask(subject), dry_run, make, confirm: false }
}

fn pause(
    args: PauseArgs,
    global: impl FnOnce(Option<crate::ids::ProjectId>) -> GlobalVerb,
    make: impl FnOnce(Option<TaskId>) -> Verb + Send + 'static,
) -> Asked {
    match args.subject {
        Some(subject) => run_or_task(subject, args.dry_run, make),
        None => Asked::Everything { verb: global(args.project), dry_run: args.dry_run },
    }
}
