//! `sim`: plays scenarios, or random schedules, on the real engine in a world without an outside.

mod hooks;
mod player;

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::Outcome;
use crate::cli::args::{Common, SimArgs};
use crate::cli::out::{self, outln};
use crate::failure::Failure;
use crate::render::words;
use crate::sim::explore;
use crate::sim::scenario::{self, Act};

use player::Player;

pub(crate) async fn sim(common: &Common, args: &SimArgs) -> Outcome {
    if args.files.is_empty() {
        let first = args.seed.unwrap_or(0);
        let count = args.seeds.unwrap_or(1);
        return explore_all(common, first, first.saturating_add(count));
    }
    let mut code = 0;
    for file in &args.files {
        let several = args.files.len() > 1;
        code = code.max(play_file(common, file, args.write, several).await?);
    }
    Ok(code)
}

/// Plays a file; alone it prints everything, among others only what differs.
async fn play_file(common: &Common, path: &Path, write: bool, several: bool) -> Outcome {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|why| Failure::user(format!("cannot read {name}: {why}")))?;
    let in_file = |mut failure: Failure| {
        failure.message = format!("{name}: {}", failure.message);
        failure
    };
    let acts = scenario::read(&text).map_err(in_file)?;
    let mut player = Player::open(path.parent()).await?;
    let mut played: Vec<(Act, String)> = Vec::new();
    for act in acts {
        let output = player.play(&act).await.map_err(|mut failure| {
            failure.message = format!("line {}: {}", act.line, failure.message);
            in_file(failure)
        })?;
        played.push((act, scenario::tidy(&output)));
    }
    let now = scenario::write(&played);
    if write {
        std::fs::write(path, &now)
            .map_err(|why| Failure::user(format!("cannot write {name}: {why}")))?;
        outln!("{name}: {} commands written", played.len());
        return Ok(0);
    }
    // In a draft nothing is expected yet; elsewhere a command that says nothing is to print nothing.
    let draft = played.iter().all(|(act, _)| act.expected.is_empty());
    let differs = |(act, output): &&(Act, String)| !draft && act.expected != *output;
    let different: Vec<&(Act, String)> = played.iter().filter(differs).collect();
    if common.json {
        let told = different.iter().map(|(act, output)| {
            let Act { line, text, expected, .. } = act;
            json!({ "line": line, "command": text, "expected": expected, "found": output })
        });
        let told: Vec<Value> = told.collect();
        outln!("{}", json!({ "file": path, "commands": played.len(), "different": told }));
        return Ok(u8::from(!different.is_empty()));
    }
    if !several {
        out::text(&now);
    }
    for (act, output) in &different {
        outln!("\n{name}:{}: `{}` prints something else", act.line, act.text);
        out::text(scenario::difference(&act.expected, output));
    }
    let count = words::count(played.len() as u64, "command");
    match different.len() {
        0 if several => outln!("{name}: {count}, as expected"),
        0 => {}
        n => outln!("\n{name}: {n} of {count} differ; `--write` takes them over"),
    }
    Ok(u8::from(!different.is_empty()))
}

fn explore_all(common: &Common, first: u64, end: u64) -> Outcome {
    let mut crashes = 0;
    for seed in first..end {
        match explore(seed) {
            Ok(explored) => crashes += explored.crashes,
            Err(broken) if common.json => {
                outln!("{}", json!({ "seed": seed, "broken": broken }));
                return Ok(1);
            }
            Err(broken) => {
                outln!("{broken}\n\nreplay it: `taskloom sim --seed {seed}`");
                return Ok(1);
            }
        }
    }
    if common.json {
        outln!("{}", json!({ "schedules": end - first, "crashes": crashes, "broken": null }));
        return Ok(0);
    }
    let schedules = words::count(end - first, "schedule");
    outln!("{schedules} with {crashes} crashes, no promise broken");
    Ok(0)
}
