//! What was used, from the ledger: tables and charts for every surface.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::hooks::rules::HookRun;
use crate::ids::{HookName, ProjectId, RunName};
use crate::render::table::{Align, Table};
use crate::render::words::number;
use crate::render::{Chart, Series};
use crate::state::{LedgerSum, Usage};
use crate::store::{self, HookStore, Store, Which};
use crate::time::Timestamp;

/// What counts are kept apart by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum By {
    /// The project.
    #[default]
    Project,
    /// The agent profile.
    Profile,
    /// The model.
    Model,
}

impl By {
    fn name(self, sum: &LedgerSum) -> String {
        let unknown = || "—".to_owned();
        match self {
            Self::Project => sum.project.to_string(),
            Self::Profile => sum.profile.as_ref().map_or_else(unknown, ToString::to_string),
            Self::Model => sum.model.clone().unwrap_or_else(unknown),
        }
    }

    /// What stands above the names.
    pub fn word(self) -> &'static str {
        match self {
            Self::Project => "PROJECT",
            Self::Profile => "AGENT",
            Self::Model => "MODEL",
        }
    }
}

/// What was used under one name.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Row {
    /// The name.
    pub name: String,
    /// Tokens and money.
    pub usage: Usage,
    /// Attempts that ended.
    pub attempts: u64,
}

/// How wide the columns of a chart are: an hour for a day or two, else a day.
pub fn bucket(span: Duration) -> Duration {
    let hour = Duration::from_secs(60 * 60);
    if span <= hour * 48 { hour } else { hour * 24 }
}

/// The ledger's sums of some projects (`None`: all) by name, the largest first.
pub fn rows(sums: &[LedgerSum], by: By, project: Option<&ProjectId>) -> Vec<Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for sum in sums.iter().filter(|sum| project.is_none_or(|project| sum.project == *project)) {
        let name = by.name(sum);
        let row = rows.entry(name.clone()).or_insert_with(|| Row { name, ..Row::default() });
        row.usage += sum.usage;
        row.attempts += sum.ended;
    }
    let mut rows: Vec<Row> = rows.into_values().collect();
    rows.sort_by(|a, b| b.usage.tokens.all().cmp(&a.usage.tokens.all()).then(a.name.cmp(&b.name)));
    rows
}

/// The latest runs of a hook, or of all, newest first, with what they used so far.
pub async fn hook_runs<S: Store + HookStore>(
    store: &S,
    hook: Option<&HookName>,
    limit: u32,
) -> Result<Vec<HookRun>, store::Error> {
    let rows = store.hook_runs(hook.map(HookName::as_str), limit).await?;
    let mut runs: Vec<HookRun> =
        rows.iter().filter_map(|row| serde_json::from_str(row).ok()).collect();
    for run in &mut runs {
        run.tokens = of_made(store, &run.made).await?;
    }
    Ok(runs)
}

/// What the runs used that a hook made, in tokens; they are named with their project
/// (`shop:fix/3`).
async fn of_made(store: &impl Store, made: &[String]) -> Result<u64, store::Error> {
    let mut tokens = 0;
    for which in made.iter().filter_map(|name| named(name)) {
        for run in store.select(&which, 1).await? {
            let used = store.used(run.id).await?;
            tokens += used.iter().map(|(.., usage)| usage.tokens.all()).sum::<u64>();
        }
    }
    Ok(tokens)
}

fn named(text: &str) -> Option<Which> {
    let (project, name) = text.split_once(':')?;
    let (graph, number) = name.rsplit_once('/')?;
    let name = RunName { graph: graph.parse().ok()?, number: number.parse().ok()? };
    Some(Which::Named(project.parse().ok()?, name))
}

/// As a table.
pub fn table(rows: &[Row], by: By) -> String {
    let mut table = Table::new([
        (by.word(), Align::Left),
        ("ATTEMPTS", Align::Right),
        ("INPUT", Align::Right),
        ("OUTPUT", Align::Right),
        ("CACHE READ", Align::Right),
        ("CACHE WRITE", Align::Right),
        ("TOKENS", Align::Right),
        ("COST", Align::Right),
    ]);
    let mut all = Row { name: "all".to_owned(), ..Row::default() };
    for row in rows {
        all.usage += row.usage;
        all.attempts += row.attempts;
    }
    let sum = (rows.len() > 1).then_some(&all);
    for Row { name, usage, attempts } in rows.iter().chain(sum) {
        let tokens = usage.tokens;
        table.row([
            name.clone(),
            number(*attempts),
            number(tokens.input),
            number(tokens.output),
            number(tokens.cache_read),
            number(tokens.cache_write),
            number(tokens.all()),
            format!("${:.2}", usage.usd),
        ]);
    }
    table.render(None)
}

/// Tokens over time as a chart, from `since` to `until` in columns as wide as `width`.
pub fn chart(
    sums: &[LedgerSum],
    by: By,
    project: Option<&ProjectId>,
    (since, until): (Timestamp, Timestamp),
    width: Duration,
) -> Chart {
    let wide = width.as_millis() as i64;
    let first = since.0.div_euclid(wide);
    let columns = usize::try_from(until.0.div_euclid(wide) - first + 1).unwrap_or(1);
    let daily = width >= Duration::from_secs(24 * 60 * 60);
    let label = |at: usize| {
        let start = Timestamp((first + at as i64) * wide).local_minute();
        // "2026-11-27 08:00": the day, or the hour.
        start.get(if daily { 5..10 } else { 11..16 }).unwrap_or_default().to_owned()
    };
    let series = rows(sums, by, project).into_iter().map(|row| {
        let mut values = vec![0.0; columns];
        let own = sums.iter().filter(|sum| project.is_none_or(|p| sum.project == *p));
        for sum in own.filter(|sum| by.name(sum) == row.name) {
            let at = usize::try_from(sum.at.0.div_euclid(wide) - first).unwrap_or_default();
            if let Some(value) = values.get_mut(at) {
                *value += sum.usage.tokens.all() as f64;
            }
        }
        Series { name: row.name, values }
    });
    let what = by.word().to_lowercase();
    let per = if daily { "day" } else { "hour" };
    let chart = Chart {
        title: format!("Tokens a {per}, by {what}"),
        labels: (0..columns).map(label).collect(),
        series: series.collect(),
        marks: Vec::new(),
        percent: false,
    };
    chart.folded()
}
