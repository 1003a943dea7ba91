//! Many tasks at once, and processes that die at every step.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::hub::judge::Exchange;
use super::stage::{CHAIN, Stage, subjects};

/// How many tasks there are, and how many changes a minute are made. With
/// `TASKLOOM_GITHUB_TASKS=200` it is the real thing, which takes minutes.
const TASKS: usize = 24;
const PER_MINUTE: u64 = 1_200;

/// GitHub takes 80 a minute and 500 an hour, and 900 points a minute.
const MINUTE_MS: u64 = 60_000;

fn most_within(exchanges: &[Exchange], window_ms: u64, weigh: impl Fn(&Exchange) -> u64) -> u64 {
    let within = |from: u64| {
        let these = exchanges.iter().filter(|e| (from..from + window_ms).contains(&e.at_ms));
        these.map(&weigh).sum::<u64>()
    };
    exchanges.iter().map(|e| within(e.at_ms)).max().unwrap_or(0)
}

fn is_change(exchange: &Exchange) -> bool {
    exchange.method != "GET"
}

#[test]
fn a_large_graph_stays_inside_the_limits() {
    let asked = std::env::var("TASKLOOM_GITHUB_TASKS").ok().and_then(|text| text.parse().ok());
    let (tasks, per_minute) = asked.map_or((TASKS, PER_MINUTE), |tasks| (tasks, 60));
    let stage = Stage::new("");
    let config = std::fs::read_to_string(stage.config()).unwrap();
    let pace = format!("pace: {{per_minute: {per_minute}, per_hour: 450}}");
    let config = config.replace("pace: {per_minute: 60000, per_hour: 60000}", &pace);
    let config = config.replace("poll: 50ms", "poll: 1s");
    stage.world.write("config.yaml", &config);
    let mut graph =
        "name: g\nmax_concurrency: 8\nworkstreams: [{id: default, auto_merge: true}]\ntasks:\n"
            .to_owned();
    for task in 0..tasks {
        writeln!(graph, "  - {{id: t{task}, description: x}}").unwrap();
    }
    let (file, repo) = (stage.graph(&graph), stage.world.repo().display().to_string());
    let file = file.display().to_string();
    let log = "error,taskloom::app=info";
    let said = stage.taskloom(&["run", &file, "--repo", &repo, "--log", log]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let exchanges = stage.hub.exchanges();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for exchange in &exchanges {
        let word = |part: &str| part.chars().any(|c| c.is_ascii_digit());
        let path: Vec<&str> =
            exchange.path.split('/').map(|part| if word(part) { "…" } else { part }).collect();
        let free = if exchange.status == 304 { " (304)" } else { "" };
        *kinds.entry(format!("{} {}{free}", exchange.method, path.join("/"))).or_default() += 1;
    }
    let counted = exchanges.iter().filter(|exchange| exchange.status != 304).count();
    let changes = exchanges.iter().filter(|exchange| is_change(exchange)).count();
    let busiest = most_within(&exchanges, MINUTE_MS, |e| u64::from(is_change(e)));
    let points = most_within(&exchanges, MINUTE_MS, |e| if is_change(e) { 5 } else { 1 });
    println!(
        "{tasks} tasks: {} requests, {counted} that count, {changes} changes; in the busiest \
         minute {busiest} changes, {points} points; {} s",
        exchanges.len(),
        exchanges.last().unwrap().at_ms / 1000
    );
    println!("{}", said.err.trim_end());
    kinds.iter().for_each(|(kind, count)| println!("{count:6} {kind}"));
    // One to open and one to merge each task and the lane.
    assert_eq!(changes, 2 * tasks + 2);
    assert!(counted <= 12 * (tasks + 1), "{counted} requests that count");
    let second = most_within(&exchanges, 1_000, |e| u64::from(is_change(e)));
    assert!(second <= per_minute / 60 + 2, "{second} changes in a second");
    if asked.is_some() {
        assert!(busiest <= 80 && points <= 900, "{busiest} changes, {points} points a minute");
    }
    stage.finish();
}

/// Dies at each of the points, once, and goes on.
fn die_at(points: &[&str]) {
    for point in points {
        let mut stage = Stage::new("");
        let once = stage.world.path("died");
        stage.variables.push(("CRASH_AT", (*point).into()));
        stage.variables.push(("CRASH_ONCE", once.clone().into()));
        assert!(!matches!(stage.run(CHAIN).code, 0..=3), "`{point}` is never passed");
        assert!(once.exists());
        let said = stage.run(CHAIN);
        assert_eq!(said.code, 0, "after `{point}`: {}{}", said.out, said.err);
        let merges = subjects(&stage, "main");
        let lane = merges.iter().filter(|s| s.as_str() == "Merge lane default of g/1");
        assert_eq!(lane.count(), 1, "after `{point}`: {merges:?}");
        {
            let state = stage.hub.state();
            assert_eq!(state.pulls.len(), 3, "after `{point}`, each is opened once");
            assert!(state.pulls.iter().all(|pull| pull.merged.is_some()));
        }
        assert_eq!(stage.hub.repo().branches(), ["main"], "after `{point}`");
        stage.finish();
    }
}

#[test]
fn a_death_while_it_is_opened_repeats_nothing() {
    die_at(&["prepare.made", "github.pushed", "github.created", "pull.done", "watch.begun"]);
}

#[test]
fn a_death_while_it_is_merged_repeats_nothing() {
    die_at(&["github.merged", "merge.done", "lane-merge.moved"]);
}
