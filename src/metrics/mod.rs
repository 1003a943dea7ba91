//! The page that Prometheus reads: how the engine and its doors stand, as text.
//!
//! Takes numbers and writes them; asks nobody. No label names a run, a task or a person, so that
//! the page stays small for as long as the process lives. <https://prometheus.io/docs/practices/naming/>

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::ids::ProjectId;
use crate::orchestrator::{Census, Histogram};
use crate::time::Timestamp;

/// What the page is called by its content type.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the page says.
#[derive(Debug)]
pub struct Reading {
    /// How the engine stands.
    pub census: Census,
    /// How long the engine took to say so.
    pub answered_in: Duration,
    /// When the process began.
    pub started_at: Timestamp,
    /// Runs of hooks that ended, by how they did.
    pub hooks: BTreeMap<&'static str, u64>,
    /// What went to Discord, if there is a bot.
    pub discord: Option<Discord>,
    /// What went to GitHub, if a project is there.
    pub github: Option<GitHub>,
}

/// What went to Discord.
#[derive(Debug, Clone, Copy, Default)]
pub struct Discord {
    /// Whether the gateway is connected.
    pub connected: bool,
    /// Requests.
    pub sent: u64,
    /// Among them refused as too many.
    pub limited: u64,
    /// Edits that a later one made useless.
    pub replaced: u64,
    /// Requests that Discord had trouble with.
    pub troubled: u64,
}

/// What went to GitHub.
#[derive(Debug, Clone, Copy, Default)]
pub struct GitHub {
    /// Reads that counted.
    pub reads: u64,
    /// Reads that found nothing new.
    pub unchanged: u64,
    /// Changes.
    pub changes: u64,
    /// The longest that a request was kept waiting for the limits, in milliseconds.
    pub longest_wait_ms: u64,
}

/// The page.
pub fn page(reading: Reading) -> String {
    let mut registry = Registry::with_prefix("taskloom");
    registry.register_collector(Box::new(reading));
    let mut page = String::new();
    text::encode(&mut page, &registry).expect("BUG: writing to a string does not fail");
    page
}

/// Writes one family after another.
struct Writer<'a>(DescriptorEncoder<'a>);

type Written = Result<(), fmt::Error>;

impl Writer<'_> {
    fn begin<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        unit: Option<&'s Unit>,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, unit, kind)
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> Written {
        self.begin(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn seconds(&mut self, name: &str, help: &str, value: f64) -> Written {
        self.begin(name, help, Some(&Unit::Seconds), MetricType::Gauge)?.encode_gauge(&value)
    }

    fn counter<V: EncodeCounterValue>(&mut self, name: &str, help: &str, value: V) -> Written {
        let mut family = self.begin(name, help, None, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    fn gauges<'v, const N: usize>(
        &mut self,
        (name, help): (&str, &str),
        values: impl IntoIterator<Item = ([(&'v str, &'v str); N], u64)>,
    ) -> Written {
        let mut family = self.begin(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counters<'v, const N: usize, V: EncodeCounterValue>(
        &mut self,
        (name, help): (&str, &str),
        values: impl IntoIterator<Item = ([(&'v str, &'v str); N], V)>,
    ) -> Written {
        let mut family = self.begin(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            let mut one = family.encode_family(&labels)?;
            one.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        values: &Histogram,
    ) -> Written {
        let mut family = self.begin(name, help, unit, MetricType::Histogram)?;
        let mut buckets = values.buckets.clone();
        buckets.push((f64::INFINITY, values.above));
        family.encode_histogram::<NoLabelSet>(values.sum, values.count(), &buckets, None)
    }
}

impl Collector for Reading {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Written {
        let mut to = Writer(encoder);
        let build = [("version", env!("CARGO_PKG_VERSION"))];
        to.gauges(("build_info", "The program that runs"), [(build, 1)])?;
        let started = self.started_at.0 as f64 / 1000.0;
        to.seconds("start_time", "When the process began, since 1970", started)?;
        let took = self.answered_in.as_secs_f64();
        to.seconds("engine_answer", "How long the engine took to answer this request", took)?;
        self.now(&mut to)?;
        self.so_far(&mut to)?;
        self.outside(&mut to)
    }
}

fn whose<'v>(
    project: &'v ProjectId,
    profile: &'v str,
    model: &'v str,
) -> [(&'static str, &'v str); 3] {
    [("project", project.as_str()), ("profile", profile), ("model", model)]
}

impl Reading {
    /// How it is now.
    fn now(&self, to: &mut Writer<'_>) -> Written {
        let census = &self.census;
        let runs = census.runs.iter().map(|(state, n)| ([("state", *state)], *n));
        to.gauges(("runs", "Runs that are worked on"), runs)?;
        let tasks = census
            .tasks
            .iter()
            .map(|((project, state), n)| ([("project", project.as_str()), ("state", *state)], *n));
        to.gauges(("tasks", "Tasks of runs that are worked on"), tasks)?;
        let owed = census.owed.iter().map(|(verb, n)| ([("kind", *verb)], *n));
        to.gauges(("effects_owed", "What is under way or owed outside the engine"), owed)?;
        to.gauge("slots_used", "Attempts that run", u64::from(census.slots_used))?;
        to.gauge("slots_limit", "Attempts that may run", u64::from(census.slots))?;
        let pending = census.notices_pending;
        to.gauge("notices_pending", "Notices that are still to be delivered", pending)?;
        let draining = u64::from(census.draining);
        to.gauge("draining", "Whether the process starts nothing new because it ends", draining)?;
        let safe = u64::from(census.safe_mode.is_some());
        to.gauge("safe_mode", "Whether nothing starts until a person says so", safe)
    }

    /// What happened since the process began.
    fn so_far(&self, to: &mut Writer<'_>) -> Written {
        let tally = &self.census.tally;
        let submitted = tally.submitted.iter().map(|(p, n)| ([("project", p.as_str())], *n));
        to.counters(("runs_submitted", "Runs submitted"), submitted)?;
        let settled = tally.settled.iter().map(|((project, outcome), n)| {
            ([("project", project.as_str()), ("outcome", outcome.as_str())], *n)
        });
        to.counters(("runs_settled", "Runs that came to rest"), settled)?;
        let ended = tally.attempts.iter().map(|((project, profile, outcome), n)| {
            let labels = [
                ("project", project.as_str()),
                ("profile", profile.as_str()),
                ("outcome", outcome.as_str()),
            ];
            (labels, *n)
        });
        to.counters(("attempts_ended", "Attempts that ended"), ended)?;
        self.used(to)?;
        let gates = tally.gates.iter().map(|((project, passed), n)| {
            let result = if *passed { "passed" } else { "failed" };
            ([("project", project.as_str()), ("result", result)], *n)
        });
        to.counters(("gates", "Gates that were run"), gates)?;
        let waits = "From being ready to the attempt, back-off included";
        to.histogram("queue_wait", waits, Some(&Unit::Seconds), &tally.waits)?;
        let commits = "How long transactions of the store took";
        to.histogram("store_commit", commits, Some(&Unit::Seconds), &tally.commits)?;
        to.histogram("store_batch_rows", "Rows in one transaction", None, &tally.rows)?;
        let refused = "Transactions that the store refused";
        to.counter("store_refusals", refused, tally.refused_commits)
    }

    /// What agents used.
    fn used(&self, to: &mut Writer<'_>) -> Written {
        let used = &self.census.tally.used;
        let tokens = used.iter().flat_map(|((project, profile, model), usage)| {
            let tokens = usage.tokens;
            let kinds = [
                ("input", tokens.input),
                ("output", tokens.output),
                ("cache_read", tokens.cache_read),
                ("cache_write", tokens.cache_write),
            ];
            kinds.map(|(kind, count)| {
                let [project, profile, model] = whose(project, profile, model);
                ([project, profile, model, ("kind", kind)], count)
            })
        });
        to.counters(("tokens", "Tokens that agents used"), tokens)?;
        let cost = used
            .iter()
            .map(|((project, profile, model), usage)| (whose(project, profile, model), usage.usd));
        to.counters(("cost_usd", "What agents cost, in US dollars"), cost)
    }

    /// What went through the doors.
    fn outside(&self, to: &mut Writer<'_>) -> Written {
        let hooks = self.hooks.iter().map(|(status, n)| ([("status", *status)], *n));
        to.counters(("hook_runs", "Runs of hooks that ended"), hooks)?;
        if let Some(discord) = &self.discord {
            let connected = u64::from(discord.connected);
            to.gauge("discord_connected", "Whether the gateway is connected", connected)?;
            to.counter("discord_requests", "Requests to Discord", discord.sent)?;
            let limited = "Requests that Discord refused as too many (429)";
            to.counter("discord_rate_limited", limited, discord.limited)?;
            let replaced = "Edits that a later one made useless before they were sent";
            to.counter("discord_edits_replaced", replaced, discord.replaced)?;
            let troubled = "Requests that Discord had trouble with";
            to.counter("discord_troubled", troubled, discord.troubled)?;
        }
        if let Some(github) = &self.github {
            let kinds = [
                ([("kind", "read")], github.reads),
                ([("kind", "unchanged")], github.unchanged),
                ([("kind", "change")], github.changes),
            ];
            to.counters(("github_requests", "Requests to GitHub"), kinds)?;
            let longest = github.longest_wait_ms as f64 / 1000.0;
            let help = "The longest that a request waited for the limits";
            to.seconds("github_longest_wait", help, longest)?;
        }
        Ok(())
    }
}
