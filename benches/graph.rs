//! What it takes to parse and check a file of 10,000 tasks, beside bare scanning of the same bytes
//! by the YAML parser underneath. Both run alternately in one process; run it with
//! `cargo bench --bench graph`.

#[path = "../tests/graphs/shapes.rs"]
mod shapes;

use std::hint::black_box;

use granit_parser::Parser;
use taskloom::graph::{Graph, load};
use taskloom::time::Stopwatch;

const TASKS: usize = 10_000;

/// Odd, so that the median is a measurement.
const ROUNDS: usize = 11;

fn main() {
    println!("{TASKS} tasks, {ROUNDS} rounds; milliseconds, least and median");
    println!("shape        KB  edges |   scan min  median |   load min  median | load / scan");
    let layered = shapes::layered(TASKS, 100);
    for (name, shape) in [
        ("chain", shapes::chain(TASKS)),
        ("fan-out", shapes::fan_out(TASKS)),
        ("layered", layered.clone()),
    ] {
        measure(name, &shapes::yaml(name, &shape));
    }
    measure("rich", &rich(&layered));
}

fn measure(name: &str, source: &str) {
    let (mut scans, mut loads) = (Vec::new(), Vec::new());
    let mut edges = 0;
    for _ in 0..ROUNDS {
        scans.push(timed(|| black_box(Parser::new_from_str(source).filter(Result::is_ok).count())));
        loads.push(timed(|| edges = black_box(loaded(source)).edge_count()));
    }
    scans.sort_by(f64::total_cmp);
    loads.sort_by(f64::total_cmp);
    let ([scan, scan_median], [load, load_median]) =
        ([scans[0], scans[ROUNDS / 2]], [loads[0], loads[ROUNDS / 2]]);
    println!(
        "{name:<8} {:>6} {edges:>6} | {scan:>10.1} {scan_median:>7.1} | {load:>10.1} {load_median:>7.1} | {:.2}",
        source.len() / 1000,
        load_median / scan_median
    );
}

fn timed<T>(work: impl FnOnce() -> T) -> f64 {
    let watch = Stopwatch::start();
    let result = work();
    let elapsed = watch.elapsed();
    drop(result);
    elapsed.as_secs_f64() * 1000.0
}

fn loaded(source: &str) -> Graph {
    load(source.as_bytes()).unwrap_or_else(|problems| panic!("{}", problems[0]))
}

/// As much of the schema as fits into the largest file: lanes, and inputs of half of the tasks.
fn rich(shape: &shapes::Shape) -> String {
    let mut out =
        "name: rich\nmodel: large\nisolation: {sandbox: bwrap}\nworkstreams:\n".to_owned();
    out += &(0..10).map(|lane| format!("  - {{id: l{lane}}}\n")).collect::<String>();
    out += "tasks:\n";
    out.extend(shape.iter().enumerate().map(|(task, parents)| {
        let lane = task * 10 / shape.len();
        let inputs = match task {
            5000.. => format!(", inputs_from: {{task: t{}}}", parents[0]),
            _ => String::new(),
        };
        let names = shapes::names(parents);
        format!("- {{id: t{task}, description: x, workstream_id: l{lane}, dependencies: [{names}]{inputs}}}\n")
    }));
    out
}
