//! The steps of one run, one after another: fills in what each needs, has it done, and says what
//! came of it. What they do outside is done elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::hooks::outside::{Made, Origin, Outside, Ran, Shell, Wanted};
use crate::hooks::rules::{
    Action, GraphSource, Hook, HookRun, HookRunId, Names, Piece, Scope, Status, Step, StepRecord,
    Template, count_tests, quoted_for_shell, text_of,
};
use crate::ids::ProjectId;
use crate::time::Stopwatch;

/// How much of each text of a result is kept with the run, in bytes: enough to see what it was.
const KEPT_BYTES_MAX: usize = 4 * 1024;

/// What a run says while it goes.
#[derive(Debug)]
pub(crate) enum News {
    /// A step was done.
    Step(HookRunId, StepRecord, Option<String>),
    /// It is over.
    Ended(HookRunId, Status, Option<String>),
}

/// Does the steps of a run.
pub(crate) async fn carry_out(
    run: HookRun,
    hook: Hook,
    outside: Arc<dyn Outside>,
    tell: impl Fn(News) + Send,
) {
    let mut scope = Scope { event: run.event.clone(), steps: Vec::new() };
    for (at, step) in hook.steps.iter().enumerate() {
        let origin =
            Origin { hook: hook.name.clone(), run: run.id, step: at + 1, depth: run.depth + 1 };
        let watch = Stopwatch::start();
        let mut doing = Doing { origin, project: run.project.as_ref(), scope: &scope, made: None };
        let done = doing.step(step, &*outside).await;
        let made = doing.made.take();
        let took_ms = u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (result, error) = match done {
            Ok(result) => (result, None),
            Err((result, why)) => (result, Some(why)),
        };
        let action = step.action.word().to_owned();
        let record = StepRecord { action, took_ms, result: kept(&result), error: error.clone() };
        tell(News::Step(run.id, record, made));
        let place = format!("step {} ({})", at + 1, step.action.word());
        if let Some(why) = error {
            return tell(News::Ended(run.id, Status::Failed, Some(format!("{place}: {why}"))));
        }
        if let Some(skip) = step.skip_if.filter(|skip| skip.holds(&step.action, &result)) {
            let why = format!("{place}: {}", skip.word());
            return tell(News::Ended(run.id, Status::Skipped, Some(why)));
        }
        scope.steps.push(with_main(&step.action, result));
    }
    tell(News::Ended(run.id, Status::Succeeded, None));
}

/// Says which field is meant where none is named.
fn with_main(action: &Action, mut result: Value) -> Value {
    if let (Some(fields), Some(main)) = (result.as_object_mut(), action.fields().first()) {
        fields.insert("main".to_owned(), json!(main));
    }
    result
}

/// A result with its long texts cut.
fn kept(result: &Value) -> Value {
    match result {
        Value::String(text) if text.len() > KEPT_BYTES_MAX => {
            let cut = (0..=KEPT_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at));
            json!(format!("{}… ({} bytes)", &text[..cut.unwrap_or(0)], text.len()))
        }
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), kept(value))).collect()
        }
        Value::Array(rows) if text_of(result).len() > KEPT_BYTES_MAX => {
            json!(format!("{} rows", rows.len()))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            result.clone()
        }
    }
}

/// One step at work.
struct Doing<'a> {
    origin: Origin,
    project: Option<&'a ProjectId>,
    scope: &'a Scope,
    made: Option<String>,
}

/// What came of a step although it went wrong, and why it did.
type Wrong = (Value, String);

fn wrong(why: impl ToString) -> Wrong {
    (Value::Null, why.to_string())
}

/// What a person is told; where to look is of no use in a list.
fn failed(failure: Failure) -> Wrong {
    wrong(failure.message)
}

impl Doing<'_> {
    fn project(&self) -> Result<&ProjectId, Wrong> {
        self.project.ok_or_else(|| wrong("it is about no project; name one: `project: NAME`"))
    }

    fn fill(&self, text: &Template) -> Result<String, Wrong> {
        text.fill(self.scope).map_err(wrong)
    }

    async fn step(&mut self, step: &Step, outside: &dyn Outside) -> Result<Value, Wrong> {
        match &step.action {
            Action::Shell(command) => self.shell(step, command, outside).await,
            Action::RunTests(command) => {
                let ran = self.shell(step, command, outside).await;
                match ran {
                    Ok(result) => Ok(counted(result)),
                    Err((result, why)) => Err((counted(result), why)),
                }
            }
            Action::ReadFile(path) => {
                let path = self.fill(path)?;
                let content = outside.read_file(self.project()?, &path).await.map_err(failed)?;
                Ok(json!({ "content": content }))
            }
            Action::Http(url) => self.fetch(step, url, outside).await,
            Action::Query { query, limit } => {
                let rows = outside.query(*query, self.project, *limit).await.map_err(failed)?;
                Ok(json!({ "count": rows.len(), "rows": rows }))
            }
            Action::GitDiff { base, head } => {
                let base = base.as_ref().map(|name| self.fill(name)).transpose()?;
                let head = head.as_ref().map(|name| self.fill(name)).transpose()?;
                let project = self.project()?;
                let diff = outside.diff(project, base.as_deref(), head.as_deref()).await;
                let diff = diff.map_err(failed)?;
                Ok(json!({ "diff": diff.diff, "base": diff.base, "head": diff.head }))
            }
            Action::Notify(text) => {
                let text = self.fill(text)?;
                let told = outside.tell(&self.origin, self.project()?, &text).await;
                told.map(|()| json!({ "sent": text })).map_err(failed)
            }
            Action::SubmitGraph(_) | Action::CreateTask { .. } | Action::Agent { .. } => {
                let wanted = wanted(&step.action, self.scope, &self.origin).map_err(wrong)?;
                let submitted = outside.submit(&self.origin, self.project()?, wanted).await;
                let Made { project, run } = submitted.map_err(failed)?;
                self.made = Some(format!("{project}:{run}"));
                Ok(json!({ "run": run, "project": project }))
            }
        }
    }

    async fn shell(
        &self,
        step: &Step,
        command: &Template,
        outside: &dyn Outside,
    ) -> Result<Value, Wrong> {
        let (command, variables) = quoted_for_shell(command, self.scope).map_err(wrong)?;
        let project = self.project()?.clone();
        let (origin, timeout) = (self.origin.clone(), step.timeout);
        let shell = Shell { origin, project, command, variables, timeout };
        let Ran { exit_code, stdout, stderr } = outside.shell(shell).await.map_err(failed)?;
        let result = json!({
            "stdout": stdout, "stderr": stderr, "exit_code": exit_code.unwrap_or(-1),
        });
        match exit_code {
            None => {
                let limit = humantime::format_duration(step.timeout);
                Err((result, format!("no end within {limit}")))
            }
            Some(0) => Ok(result),
            Some(_) if step.may_fail || step.skip_if.is_some() => Ok(result),
            Some(code) => {
                let last = [&stderr, &stdout].into_iter().find_map(|text| text.lines().last());
                let last = last.map(|line| format!(": {line}")).unwrap_or_default();
                Err((result, format!("exit code {code}{last}")))
            }
        }
    }

    async fn fetch(
        &self,
        step: &Step,
        url: &Template,
        outside: &dyn Outside,
    ) -> Result<Value, Wrong> {
        // A value cannot become a host, a path or a parameter.
        let encode = |value: String| utf8_percent_encode(&value, NON_ALPHANUMERIC).to_string();
        let url = url.fill_with(self.scope, encode).map_err(wrong)?;
        let page = outside.fetch(&url, step.timeout).await.map_err(failed)?;
        let result = json!({ "body": page.body, "status": page.status });
        let fine = (200..300).contains(&page.status) || step.may_fail || step.skip_if.is_some();
        if fine { Ok(result) } else { Err((result, format!("the answer was {}", page.status))) }
    }
}

/// The result of a command with what its output counts; nothing counted is no count.
fn counted(mut result: Value) -> Value {
    let output = format!("{}\n{}", text_of(&result["stdout"]), text_of(&result["stderr"]));
    if let Some(counts) = count_tests(&output) {
        result["passed"] = json!(counts.passed);
        result["failed"] = json!(counts.failed);
        result["skipped"] = json!(counts.skipped);
        result["total"] = json!(counts.passed + counts.failed + counts.skipped);
    }
    result
}

/// What is to be submitted, filled in.
fn wanted(action: &Action, names: &dyn Names, origin: &Origin) -> Result<Wanted, String> {
    match action {
        Action::SubmitGraph(GraphSource::Named(name)) => Ok(Wanted::Named(name.clone())),
        Action::SubmitGraph(GraphSource::Inline { graph, texts }) => {
            let mut graph = graph.clone();
            for (pointer, text) in texts {
                if let Some(place) = graph.pointer_mut(pointer) {
                    *place = json!(text.fill(names)?);
                }
            }
            Ok(Wanted::Inline(graph))
        }
        Action::CreateTask { title, description, agent } => Ok(Wanted::Task {
            title: title.fill(names)?,
            description: description.fill(names)?,
            agent: agent.clone(),
        }),
        Action::Agent { prompt, profile } => Ok(Wanted::Task {
            title: format!("hook {}", origin.hook),
            description: prompt.fill(names)?,
            agent: profile.clone(),
        }),
        Action::Shell(_)
        | Action::ReadFile(_)
        | Action::Http(_)
        | Action::Query { .. }
        | Action::GitDiff { .. }
        | Action::RunTests(_)
        | Action::Notify(_) => Err("it submits nothing".to_owned()),
    }
}

/// What is known before a run: what sets it off, but no result.
struct Guess<'a>(&'a Value);

impl Names for Guess<'_> {
    fn value(&self, piece: &Piece) -> Result<String, String> {
        let scope = Scope { event: self.0.clone(), steps: Vec::new() };
        Ok(scope.value(piece).unwrap_or_else(|_| format!("‹{}›", piece.name())))
    }
}

/// What each step would do, a line each. What is not known before stands as `‹name›`.
pub(crate) fn rehearse(hook: &Hook, event: &Value) -> Vec<String> {
    let guess = Guess(event);
    let steps = hook.steps.iter().enumerate();
    steps.map(|(at, step)| format!("step {}: {}", at + 1, said(step, &guess))).collect()
}

fn said(step: &Step, names: &dyn Names) -> String {
    let filled = |text: &Template| text.fill(names).unwrap_or_else(|why| why);
    let what = match &step.action {
        Action::Shell(command) | Action::RunTests(command) => {
            let (command, variables) = quoted_for_shell(command, names).unwrap_or_default();
            format!("`{command}`{}", told(&variables))
        }
        Action::ReadFile(text) | Action::Http(text) | Action::Notify(text) => filled(text),
        Action::Query { query, limit } => format!("{}, {limit} at most", query.word()),
        Action::GitDiff { base, head } => {
            let named = |name: &Option<Template>| {
                name.as_ref().map_or("the default branch".to_owned(), filled)
            };
            format!("{} since it left {}", named(head), named(base))
        }
        Action::SubmitGraph(GraphSource::Named(name)) => format!("`{name}` of the project"),
        Action::SubmitGraph(GraphSource::Inline { graph, .. }) => {
            format!("`{}`, written in the hook", text_of(&graph["name"]))
        }
        Action::CreateTask { title, agent, .. } => {
            let by = agent.as_ref().map(|agent| format!(" by {agent}")).unwrap_or_default();
            format!("“{}”{by}", filled(title))
        }
        Action::Agent { prompt, profile } => {
            let by = profile.as_ref().map(ToString::to_string);
            format!("{}: {}", by.unwrap_or("the default agent".to_owned()), filled(prompt))
        }
    };
    let skip = step.skip_if.map(|skip| format!("; ends there if {}", skip.word()));
    format!("{} {what}{}", step.action.word(), skip.unwrap_or_default())
}

fn told(variables: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> =
        variables.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    if pairs.is_empty() { String::new() } else { format!(" with {}", pairs.join(", ")) }
}
