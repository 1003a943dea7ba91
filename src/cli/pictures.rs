//! `check` and `graph`: what a graph says, before or while it runs.

use std::fmt::Write as _;
use std::fs;
use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use serde_json::json;

use crate::cli::Outcome;
use crate::cli::args::{CheckArgs, Common, GraphArgs, Picture, ThemeArg};
use crate::cli::out::{self, outln};
use crate::cli::refs::Reading;
use crate::control::names;
use crate::failure::Failure;
use crate::graph::{self, Graph, LaneIx, TaskIx};
use crate::render::{self, Dag, Look, Theme, words};

/// How many waves and how many tasks of a wave are listed.
const WAVES_SHOWN: usize = 20;
const TASKS_SHOWN: usize = 8;

/// Pixels for each unit of a picture, so that small letters stay sharp on a phone.
const PNG_SCALE: f32 = 2.0;

/// Reads a graph, or tells everything that is wrong with it.
pub(crate) fn load(path: &Path) -> anyhow::Result<(Graph, String)> {
    let bytes = read(path)?;
    match graph::load(&bytes) {
        Ok(graph) => Ok((graph, String::from_utf8_lossy(&bytes).into_owned())),
        Err(problems) => {
            let count = words::count(problems.len() as u64, "problem");
            let report = graph::report(&path.display().to_string(), &bytes, &problems);
            let message = format!("{} has {count}\n\n{}", path.display(), report.trim_end());
            Err(Failure::user(message).into())
        }
    }
}

/// A file, up to one byte more than a graph may have.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path)
        .and_then(|file| file.take(graph::FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|why| Failure::user(format!("cannot read {}: {why}", path.display())))?;
    Ok(bytes)
}

pub(crate) fn check(common: &Common, args: &CheckArgs) -> Outcome {
    if common.json {
        return check_json(&args.graph);
    }
    let (graph, _) = load(&args.graph)?;
    out::text(summary(&graph));
    Ok(0)
}

fn check_json(path: &Path) -> Outcome {
    let bytes = read(path)?;
    match graph::load(&bytes) {
        Ok(graph) => {
            let name = |t: &TaskIx| graph.task(*t).id.to_string();
            let waves: Vec<Vec<String>> =
                graph.waves().iter().map(|wave| wave.iter().map(name).collect()).collect();
            let path: Vec<String> = graph.critical_path().iter().map(name).collect();
            let json = json!({
                "valid": true, "name": graph.name(), "tasks": graph.tasks().len(),
                "lanes": graph.lanes().len(), "edges": graph.edge_count(),
                "waves": waves, "critical_path": path,
            });
            outln!("{json:#}");
            Ok(0)
        }
        Err(problems) => {
            let problems: Vec<_> = problems
                .iter()
                .map(|p| {
                    json!({
                        "line": p.line, "column": p.column, "path": p.path,
                        "message": p.message, "hint": p.hint,
                    })
                })
                .collect();
            outln!("{:#}", json!({ "valid": false, "problems": problems }));
            Ok(1)
        }
    }
}

fn summary(graph: &Graph) -> String {
    let tasks = words::count(graph.tasks().len() as u64, "task");
    let lanes = words::count(graph.lanes().len() as u64, "lane");
    let edges = graph.edge_count() as u64;
    let edges =
        if edges == 1 { "1 dependency".to_owned() } else { format!("{edges} dependencies") };
    let mut text = format!("{} is fine: {tasks}, {lanes}, {edges}\n", graph.name());
    let waves = graph.waves();
    let path = graph.critical_path();
    let _ = write!(text, "\nwaves ({}):\n", waves.len());
    for (at, wave) in waves.iter().take(WAVES_SHOWN).enumerate() {
        let names: Vec<&str> = wave.iter().map(|t| graph.task(*t).id.as_str()).collect();
        let _ = writeln!(text, "  {:>3}  {}", at + 1, words::list(&names, TASKS_SHOWN));
    }
    if waves.len() > WAVES_SHOWN {
        let _ = writeln!(text, "       and {} more", waves.len() - WAVES_SHOWN);
    }
    let names: Vec<&str> = path.iter().map(|t| graph.task(*t).id.as_str()).collect();
    let shown = names.iter().take(WAVES_SHOWN).copied().collect::<Vec<_>>().join(" -> ");
    let more = if names.len() > WAVES_SHOWN { " -> …" } else { "" };
    let _ = write!(text, "\ncritical path ({}): {shown}{more}\n", names.len());
    text.push_str("\nlanes:\n");
    for lane in graph.lane_ixs() {
        let spec = graph.lane(lane);
        let parent = spec.parent.map(|p| format!(", into lane {}", graph.lane(p).id));
        let merge = if spec.auto_merge { "merges by itself" } else { "waits for approval" };
        let count = words::count(graph.lane_tasks(lane).len() as u64, "task");
        let _ = writeln!(text, "  {}: {count}, {merge}{}", spec.id, parent.unwrap_or_default());
    }
    text
}

pub(crate) async fn graph(common: &Common, args: &GraphArgs) -> Outcome {
    let dag = match picture_of_file(&args.graph)? {
        Some(dag) => dag,
        None => picture_of_run(common, &args.graph).await?,
    };
    let theme = match args.theme {
        ThemeArg::Light => Theme::Light,
        ThemeArg::Dark => Theme::Dark,
    };
    let bytes = match args.format {
        Picture::Text => render::text(&dag).into_bytes(),
        Picture::Dot => render::dot(&dag).into_bytes(),
        Picture::Mermaid => render::mermaid(&dag).into_bytes(),
        Picture::Svg => render::svg(&dag, theme).into_bytes(),
        Picture::Png => render::png(&render::svg(&dag, theme), PNG_SCALE)?,
    };
    match &args.output {
        Some(path) => {
            fs::write(path, &bytes)
                .map_err(|why| Failure::user(format!("cannot write {}: {why}", path.display())))?;
            if common.json {
                outln!("{:#}", json!({ "written": path, "bytes": bytes.len() }));
            } else {
                outln!("{} ({})", path.display(), words::bytes(bytes.len() as u64));
            }
        }
        None if args.format == Picture::Png && std::io::stdout().is_terminal() => {
            return Err(Failure::user("a png cannot be shown on a terminal")
                .hint("name a file: `--output graph.png`")
                .into());
        }
        None => out::bytes(&bytes),
    }
    Ok(0)
}

fn picture_of_file(name: &str) -> anyhow::Result<Option<Dag>> {
    let path = Path::new(name);
    let is_file = path.is_file() || name.ends_with(".yaml") || name.ends_with(".yml");
    if !is_file {
        return Ok(None);
    }
    let (graph, _) = load(path)?;
    Ok(Some(Dag::of(&graph, |_| Look::Plain, |_| Look::Plain)))
}

async fn picture_of_run(common: &Common, name: &str) -> anyhow::Result<Dag> {
    let reading = Reading::open(common).await?;
    let run = reading.run(Some(name)).await?;
    let view = reading.view(&run).await?;
    let task = |t: TaskIx| Look::of(view.tasks[t.at()].state);
    let lane = |l: LaneIx| Look::of_lane(view.lanes[l.at()].state);
    let mut dag = Dag::of(&view.info.graph, task, lane);
    dag.title = run.name.to_string();
    for node in &mut dag.nodes {
        let task = names::task_id(&node.id)?;
        let record = view.info.graph.lookup_task(&task).map(|t| &view.tasks[t.at()]);
        node.note = record.filter(|r| r.attempts > 1).map(|r| format!("attempt {}", r.attempts));
    }
    Ok(dag)
}
