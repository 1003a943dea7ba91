//! Random graphs: small, valid, with every rule that changes what may run.

use std::fmt::Write as _;

use crate::entropy::Entropy;
use crate::graph::{self, Graph};

const TASKS_MAX: u64 = 8;
const LANES_MAX: u64 = 4;

/// Draws graphs until one is valid: nesting can make lanes wait for each other.
pub(super) fn draw(dice: &mut Entropy) -> (String, Graph) {
    loop {
        let source = source(dice);
        if let Ok(graph) = graph::load(source.as_bytes()) {
            return (source, graph);
        }
    }
}

fn source(dice: &mut Entropy) -> String {
    let lanes = dice.below(LANES_MAX);
    let tasks = 1 + dice.below(TASKS_MAX);
    let mut text = String::from("name: chaos\nmax_workstream_depth: 4\n");
    let _ = writeln!(text, "max_concurrency: {}", 1 + dice.below(4));
    let _ = writeln!(text, "max_task_attempts: {}", 1 + dice.below(3));
    if dice.below(4) == 0 {
        text.push_str("fail_fast_on_workstream_error: true\n");
    }
    if lanes > 0 {
        text.push_str("workstreams:\n");
    }
    for lane in 0..lanes {
        self::lane(&mut text, dice, lane);
    }
    text.push_str("tasks:\n");
    let mut earlier = Vec::new();
    for task in 0..tasks {
        let lane = (lanes > 0).then(|| task * lanes / tasks);
        self::task(&mut text, dice, task, lane, &earlier);
        earlier.push(task);
    }
    text
}

fn lane(text: &mut String, dice: &mut Entropy, lane: u64) {
    let _ = writeln!(text, "  - id: l{lane}");
    let _ = writeln!(text, "    max_parallel: {}", 1 + dice.below(3));
    if dice.below(3) > 0 {
        text.push_str("    auto_merge: true\n");
    }
    if dice.below(5) == 0 {
        text.push_str("    approval: {count: 2}\n");
    }
    if lane > 0 && dice.below(4) == 0 {
        let _ = writeln!(text, "    parent_workstream_id: l{}", dice.below(lane));
    }
}

fn task(text: &mut String, dice: &mut Entropy, task: u64, lane: Option<u64>, earlier: &[u64]) {
    let _ = writeln!(text, "  - id: t{task}\n    description: x");
    if let Some(lane) = lane {
        let _ = writeln!(text, "    workstream_id: l{lane}");
    }
    let wanted: Vec<String> =
        earlier.iter().filter(|_| dice.below(3) == 0).map(|t| format!("t{t}")).collect();
    let _ = writeln!(text, "    dependencies: [{}]", wanted.join(", "));
    if dice.below(5) == 0 {
        text.push_str("    on_failure: continue\n");
    }
    if dice.below(6) == 0 {
        text.push_str("    approval: true\n");
    }
    if dice.below(4) == 0 {
        let _ = writeln!(text, "    priority: {}", dice.below(200));
    }
}
