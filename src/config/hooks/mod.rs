//! The sections about hooks: `hooks`, `hook_slots`, `hook_hosts`. A hook that is kept in the store is written as one entry of `hooks`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::config::AgentProfile;
use crate::config::github::source;
use crate::config::raw::{Span, Whole, at_least_one, name};
use crate::failure::Failure;
use crate::hooks::rules::{
    Action, CronTime, Field, GraphSource, Hook, Pattern, Query, SkipIf, Step, Template, Trigger,
    check,
};
use crate::ids::ProfileName;
use crate::time::Zone;

/// Runs of hooks at once unless the file says otherwise: beside agents, which need the machine.
const SLOTS_DEFAULT: u32 = 4;

/// Runs of one hook that wait unless it says otherwise: what a burst of failures comes to.
const QUEUE_DEFAULT: u32 = 100;

/// Answers to a query unless a step says otherwise, and at most.
const LIMIT_DEFAULT: u32 = 20;
const LIMIT_MAX: u64 = 50;

/// How long files must be quiet unless a hook says otherwise: an editor's save, a checkout.
const DEBOUNCE_DEFAULT: Duration = Duration::from_secs(2);

/// How long a step may take unless it says otherwise.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10 * 60);
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Where in a graph that is written in a hook something may be filled in: what is anybody's text
/// must not become a command.
const FILLED_IN: [&str; 3] = ["title", "description", "name"];

/// Hooks, and what holds for all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Hooks {
    /// Those of the file.
    pub list: Vec<Hook>,
    /// Runs of hooks at once.
    pub slots: u32,
    /// Hosts that steps may fetch from.
    pub hosts: Vec<String>,
    /// Whether is listened at all.
    listens: bool,
    /// The time zone of hooks that name none.
    zone: Zone,
}

/// The list, which is one option: hooks change as a whole.
#[derive(Debug, Default)]
pub(super) struct RawHooks(Vec<RawHook>);

impl<'de> Deserialize<'de> for RawHooks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(List)
    }
}

struct List;

impl<'de> Visitor<'de> for List {
    type Value = RawHooks;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of hooks")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawHooks, A::Error> {
        let mut hooks = Vec::new();
        while let Some(hook) = list.next_element()? {
            hooks.push(hook);
        }
        Ok(RawHooks(hooks))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<RawHooks, E> {
        Ok(RawHooks::default())
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHook {
    name: String,
    #[serde(default)]
    project: Option<String>,
    on: RawOn,
    #[serde(default)]
    steps: Vec<RawStep>,
    #[serde(default)]
    cooldown: Option<Span>,
    #[serde(default)]
    max_concurrent: Option<Whole>,
    #[serde(default)]
    queue_max: Option<Whole>,
    #[serde(default)]
    enabled: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawOn {
    event: Option<String>,
    r#where: BTreeMap<String, String>,
    every: Option<Span>,
    cron: Option<String>,
    time_zone: Option<String>,
    webhook: Option<RawWebhook>,
    file: Option<RawFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWebhook {
    #[serde(default)]
    secret_env: Option<String>,
    #[serde(default)]
    secret_file: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    paths: Vec<String>,
    #[serde(default)]
    debounce: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawStep {
    shell: Option<String>,
    read_file: Option<String>,
    http: Option<String>,
    query: Option<String>,
    git_diff: Option<RawDiff>,
    run_tests: Option<String>,
    submit_graph: Option<Value>,
    create_task: Option<RawTask>,
    notify: Option<String>,
    agent: Option<RawAgent>,
    limit: Option<Whole>,
    timeout: Option<Span>,
    skip_if: Option<String>,
    may_fail: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawDiff {
    base: Option<String>,
    head: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTask {
    title: String,
    description: String,
    #[serde(default)]
    agent: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAgent {
    prompt: String,
    #[serde(default)]
    profile: Option<String>,
}

type Agents = BTreeMap<ProfileName, AgentProfile>;

pub(super) fn check(
    (RawHooks(raw), slots, hosts): (RawHooks, Option<Whole>, Vec<String>),
    agents: &Agents,
    (listens, zone): (bool, Zone),
    home: Option<&Path>,
) -> Result<Hooks, Failure> {
    let mut hooks = Hooks {
        list: Vec::new(),
        slots: at_least_one("hook_slots", slots, SLOTS_DEFAULT)?,
        hosts: hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect(),
        listens,
        zone,
    };
    let mut problems = Vec::new();
    for (at, raw) in raw.into_iter().enumerate() {
        let place = format!("hook `{}` (number {} of `hooks`)", raw.name, at + 1);
        match hooks.hook(raw, agents, home) {
            Ok(hook) if hooks.list.iter().any(|known| known.name == hook.name) => {
                problems.push(format!("{place}: there is another of that name"));
            }
            Ok(hook) => hooks.list.push(hook),
            Err(found) => problems.extend(found.into_iter().map(|why| format!("{place}: {why}"))),
        }
    }
    if problems.is_empty() { Ok(hooks) } else { Err(Failure::config(problems.join("\n"))) }
}

/// Puts what is wrong on a list and goes on.
struct Problems(Vec<String>);

impl Problems {
    fn take<T>(&mut self, found: Result<T, String>) -> Option<T> {
        match found {
            Ok(value) => Some(value),
            Err(why) => {
                self.0.push(why);
                None
            }
        }
    }
}

impl Hooks {
    /// Reads one hook, as an entry of the list is written.
    pub(super) fn read(
        &self,
        text: &str,
        agents: &Agents,
        home: Option<&Path>,
    ) -> Result<Hook, Failure> {
        let raw: RawHook = serde_yaml::from_str(text).map_err(|error| {
            let plain = error.without_snippet();
            Failure::user(plain.render_with_formatter(&serde_yaml::UserMessageFormatter)).hint(
                "write it as an entry of `hooks:` in the configuration: `name:`, `on:`, `steps:`",
            )
        })?;
        let place = format!("hook `{}`", raw.name);
        self.hook(raw, agents, home).map_err(|found| {
            let found: Vec<String> =
                found.into_iter().map(|why| format!("{place}: {why}")).collect();
            Failure::user(found.join("\n"))
        })
    }

    fn hook(
        &self,
        raw: RawHook,
        agents: &Agents,
        home: Option<&Path>,
    ) -> Result<Hook, Vec<String>> {
        let mut problems = Problems(Vec::new());
        let id = problems.take(name("name", &raw.name).map_err(|failure| failure.message));
        let project = raw.project.map(|id| name("`project`", &id).map_err(|f| f.message));
        let project = project.and_then(|found| problems.take(found));
        let on = trigger(raw.on, self.zone, home, &mut problems);
        let steps: Vec<Option<Step>> = raw
            .steps
            .into_iter()
            .enumerate()
            .map(|(at, raw)| {
                let found = step(raw, agents);
                problems.take(found.map_err(|why| format!("step {}: {why}", at + 1)))
            })
            .collect();
        let number = |given: Option<Whole>, standard: u32| {
            given.map_or(standard, |Whole(n)| u32::try_from(n).unwrap_or(u32::MAX))
        };
        let steps: Option<Vec<Step>> = steps.into_iter().collect();
        let (Some(id), Some(on), Some(steps)) = (id, on, steps) else { return Err(problems.0) };
        let hook = Hook {
            name: id,
            project,
            on,
            steps,
            cooldown: raw.cooldown.map_or(Duration::ZERO, |span| span.0),
            max_concurrent: number(raw.max_concurrent, 1),
            queue_max: number(raw.queue_max, QUEUE_DEFAULT),
            enabled: raw.enabled.unwrap_or(true),
        };
        problems.0.extend(check::problems(&hook));
        problems.0.extend(self.unreachable(&hook));
        if problems.0.is_empty() { Ok(hook) } else { Err(problems.0) }
    }

    /// What the rest of the file does not allow.
    fn unreachable(&self, hook: &Hook) -> Vec<String> {
        let mut found = Vec::new();
        if matches!(hook.on, Trigger::Webhook(_)) && !self.listens {
            found.push(
                "nothing listens for its webhook; add `http: {listen: \"127.0.0.1:8787\"}`"
                    .to_owned(),
            );
        }
        for (at, step) in hook.steps.iter().enumerate() {
            if let Action::Http(url) = &step.action
                && let Ok(host) = check::host_of(url)
                && !self.hosts.contains(&host)
            {
                found.push(format!(
                    "step {} (http): `{host}` is not among `hook_hosts`; add it there if it may be \
                     asked",
                    at + 1
                ));
            }
        }
        found
    }
}

fn trigger(
    raw: RawOn,
    usual: Zone,
    home: Option<&Path>,
    problems: &mut Problems,
) -> Option<Trigger> {
    let given = [
        raw.event.is_some(),
        raw.every.is_some(),
        raw.cron.is_some(),
        raw.webhook.is_some(),
        raw.file.is_some(),
    ];
    if given.iter().filter(|given| **given).count() != 1 {
        let why = "`on` needs exactly one of `event`, `every`, `cron`, `webhook`, `file`";
        return problems.take(Err(why.to_owned()));
    }
    if !raw.r#where.is_empty() && raw.event.is_none() {
        return problems.take(Err("`on.where` goes with `on.event` only".to_owned()));
    }
    if raw.time_zone.is_some() && raw.cron.is_none() {
        return problems.take(Err("`on.time_zone` goes with `on.cron` only".to_owned()));
    }
    let found = match raw {
        RawOn { event: Some(kind), r#where, .. } => {
            let conditions: Result<_, String> = r#where.into_iter().map(condition).collect();
            conditions.map(|conditions| Trigger::Event { kind, conditions })
        }
        RawOn { every: Some(span), .. } => Ok(Trigger::Every(span.0)),
        RawOn { cron: Some(pattern), time_zone, .. } => cron(pattern, time_zone, usual),
        RawOn { webhook: Some(raw), .. } => {
            let given = (raw.secret_env, raw.secret_file);
            let secret = match &given {
                (None, None) => Err("`on.webhook` needs `secret_env` or `secret_file`".to_owned()),
                _ => source("on.webhook", "secret", given, "", home).map_err(|f| f.message),
            };
            secret.map(Trigger::Webhook)
        }
        RawOn { file: Some(raw), .. } => {
            let paths: Result<_, String> = raw.paths.iter().map(|path| below(path)).collect();
            let debounce = raw.debounce.map_or(DEBOUNCE_DEFAULT, |span| span.0);
            paths.map(|paths| Trigger::File { paths, debounce })
        }
        RawOn { .. } => Err("`on` names nothing".to_owned()),
    };
    problems.take(found)
}

fn condition((field, pattern): (String, String)) -> Result<(Field, Pattern), String> {
    let found = Field::ALL.into_iter().find(|known| known.word() == field);
    let field = found.ok_or_else(|| {
        let known = Field::ALL.map(Field::word).join(", ");
        format!("`on.where` has no `{field}`; there are {known}")
    })?;
    let pattern = Pattern::new(&pattern)
        .map_err(|why| format!("`on.where.{}`: `{pattern}` is no pattern: {why}", field.word()))?;
    Ok((field, pattern))
}

fn cron(pattern: String, zone: Option<String>, usual: Zone) -> Result<Trigger, String> {
    if let Some(why) = CronTime::problem(&pattern) {
        return Err(format!(
            "`on.cron`: `{pattern}` is no time ({why}); write `0 7 * * 1-5` for 7:00 on weekdays"
        ));
    }
    let named = |zone: String| {
        zone.parse().map_err(|_| {
            format!("`on.time_zone`: there is no `{zone}`; write a name as `Europe/Berlin`")
        })
    };
    let zone = zone.map_or(Ok(usual), named)?;
    Ok(Trigger::Cron(CronTime { pattern, zone }))
}

fn below(path: &str) -> Result<Pattern, String> {
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(format!("`on.file.paths`: `{path}` leaves the repository"));
    }
    Pattern::of_paths(path).map_err(|why| format!("`on.file.paths`: `{path}` is no pattern: {why}"))
}

fn step(raw: RawStep, agents: &Agents) -> Result<Step, String> {
    let given = [
        raw.shell.is_some(),
        raw.read_file.is_some(),
        raw.http.is_some(),
        raw.query.is_some(),
        raw.git_diff.is_some(),
        raw.run_tests.is_some(),
        raw.submit_graph.is_some(),
        raw.create_task.is_some(),
        raw.notify.is_some(),
        raw.agent.is_some(),
    ];
    if given.iter().filter(|given| **given).count() != 1 {
        return Err("it needs exactly one of `shell`, `read_file`, `http`, `query`, `git_diff`, \
             `run_tests`, `submit_graph`, `create_task`, `notify`, `agent`"
            .to_owned());
    }
    if raw.limit.is_some() && raw.query.is_none() {
        return Err("`limit` goes with `query` only".to_owned());
    }
    let text = |text: String| Template::parse(&text);
    let (timeout, skip_if, may_fail) = (raw.timeout.map(|span| span.0), raw.skip_if, raw.may_fail);
    let action = match raw {
        RawStep { shell: Some(command), .. } => Action::Shell(text(command)?),
        RawStep { run_tests: Some(command), .. } => Action::RunTests(text(command)?),
        RawStep { read_file: Some(path), .. } => Action::ReadFile(text(path)?),
        RawStep { http: Some(url), .. } => Action::Http(text(url)?),
        RawStep { query: Some(query), limit, .. } => asked(&query, limit)?,
        RawStep { git_diff: Some(RawDiff { base, head }), .. } => {
            Action::GitDiff { base: base.map(text).transpose()?, head: head.map(text).transpose()? }
        }
        RawStep { submit_graph: Some(graph), .. } => Action::SubmitGraph(submitted(graph)?),
        RawStep { create_task: Some(task), .. } => Action::CreateTask {
            title: text(task.title)?,
            description: text(task.description)?,
            agent: profile(task.agent, agents)?,
        },
        RawStep { notify: Some(sentence), .. } => Action::Notify(text(sentence)?),
        RawStep { agent: Some(agent), .. } => {
            Action::Agent { prompt: text(agent.prompt)?, profile: profile(agent.profile, agents)? }
        }
        RawStep { .. } => return Err("it does nothing".to_owned()),
    };
    let slow = matches!(action, Action::Shell(_) | Action::RunTests(_));
    let standard = if slow { COMMAND_TIMEOUT } else { PAGE_TIMEOUT };
    let skip_if = skip_if.map(|word| skip(&word)).transpose()?;
    Ok(Step { action, timeout: timeout.unwrap_or(standard), skip_if, may_fail })
}

fn asked(query: &str, limit: Option<Whole>) -> Result<Action, String> {
    let found = Query::ALL.into_iter().find(|known| known.word() == query);
    let query = found
        .ok_or_else(|| format!("there is no query `{query}`; there are {}", check::queries()))?;
    match limit {
        None => Ok(Action::Query { query, limit: LIMIT_DEFAULT }),
        Some(Whole(limit @ 1..=LIMIT_MAX)) => {
            Ok(Action::Query { query, limit: u32::try_from(limit).unwrap_or(LIMIT_DEFAULT) })
        }
        Some(_) => Err(format!("`limit` must be from 1 to {LIMIT_MAX}")),
    }
}

fn skip(word: &str) -> Result<SkipIf, String> {
    let found = SkipIf::ALL.into_iter().find(|known| known.word() == word);
    found.ok_or_else(|| {
        let known = SkipIf::ALL.map(SkipIf::word).join(", ");
        format!("`skip_if` has no `{word}`; there are {known}")
    })
}

fn profile(given: Option<String>, agents: &Agents) -> Result<Option<ProfileName>, String> {
    let Some(given) = given else { return Ok(None) };
    let id: ProfileName = name("agent", &given).map_err(|failure| failure.message)?;
    if agents.contains_key(&id) {
        return Ok(Some(id));
    }
    Err(format!("there is no agent `{id}`; add it under `agents:`"))
}

fn submitted(graph: Value) -> Result<GraphSource, String> {
    if let Value::String(name) = graph {
        if name.contains("{{") {
            return Err("the name of a graph is not filled in".to_owned());
        }
        return Ok(GraphSource::Named(name));
    }
    let mut texts = Vec::new();
    templates(&graph, "", "", &mut texts)?;
    if let Err(problems) = crate::graph::load(graph.to_string().as_bytes())
        && !texts.iter().any(|(pointer, _)| pointer == "/name")
    {
        let first = problems.first().map(ToString::to_string).unwrap_or_default();
        return Err(format!("the graph is wrong: {first}"));
    }
    Ok(GraphSource::Inline { graph, texts })
}

/// The texts of a graph that have names in them, by JSON pointer.
fn templates(
    value: &Value,
    pointer: &str,
    key: &str,
    texts: &mut Vec<(String, Template)>,
) -> Result<(), String> {
    match value {
        Value::String(text) if text.contains("{{") => {
            if !FILLED_IN.contains(&key) {
                return Err(format!(
                    "`{}` is not filled in: only titles and descriptions are, since what is \
                     filled in may be anybody's text",
                    pointer.trim_start_matches('/').replace('/', ".")
                ));
            }
            texts.push((pointer.to_owned(), Template::parse(text)?));
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                templates(item, &format!("{pointer}/{at}"), key, texts)?;
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let name_there = name.replace('~', "~0").replace('/', "~1");
                templates(field, &format!("{pointer}/{name_there}"), name, texts)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}
