//! Graph files in, graphs or problems out.

mod limits;
mod queries;
mod shapes;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::{Strategy, any, prop};
use proptest::sample::Index as Pick;
use taskloom::graph::{Graph, Index, Problem, diff, load, report};

fn yaml_files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    files.iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

/// Compares `text` with the file `name.snap` in `folder`.
fn snapshot(folder: &str, name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn loaded(source: &str) -> Graph {
    load(source.as_bytes()).unwrap_or_else(|problems| {
        panic!("{}", report("test.yaml", source.as_bytes(), &problems));
    })
}

/// The problems of a file as lines.
fn problems(source: &[u8]) -> String {
    let problems = load(source).expect_err("the file has problems");
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

#[test]
fn a_bad_graph_is_told_everything_that_is_wrong_with_it() {
    let files = yaml_files("tests/graphs/bad");
    assert!(files.len() >= 25);
    for (name, source) in files {
        let problems = load(&source).expect_err(&name);
        let text = report(&name, &source, &problems);
        snapshot("graphs/bad", name.trim_end_matches(".yaml"), &text);
    }
}

/// Debug output without what is not set, and with `Some(x)` on one line.
fn squeezed(text: &str) -> String {
    let said = |line: &&str| !line.ends_with(": None,") && !line.ends_with(": [],");
    let mut lines: Vec<String> = text.lines().filter(said).map(str::to_owned).collect();
    let wrapped = |three: &[String]| three[0].ends_with('(') && three[2].trim() == "),";
    while let Some(at) = lines.windows(3).position(wrapped) {
        let inner = lines[at + 1].trim().trim_end_matches(',').to_owned();
        lines.splice(at..at + 3, [format!("{}{inner}),", lines[at])]);
    }
    lines.join("\n")
}

#[test]
fn a_good_graph_means_what_it_says() {
    for (name, source) in yaml_files("tests/graphs/good") {
        let source = String::from_utf8(source).unwrap();
        let graph = loaded(&source);
        let mut text = String::new();
        writeln!(text, "{} {:#?}", graph.name(), graph.settings()).unwrap();
        for lane in graph.lanes() {
            writeln!(text, "{lane:#?}").unwrap();
        }
        for task in graph.order() {
            let parents: Vec<&str> =
                graph.parents(*task).iter().map(|p| graph.task(*p).id.as_str()).collect();
            writeln!(text, "{parents:?} -> {:#?}", graph.task(*task)).unwrap();
        }
        let text = squeezed(&text);
        snapshot("graphs/good", name.trim_end_matches(".yaml"), &text);
    }
}

#[test]
fn every_example_is_a_graph_and_explains_itself() {
    let files = yaml_files("examples");
    assert_eq!(files.len(), 11);
    for (name, source) in files {
        let source = String::from_utf8(source).unwrap();
        let graph = loaded(&source);
        assert_eq!(format!("{}.yaml", graph.name()), name);
        assert!(source.starts_with("# "), "{name} opens with a comment");
        let offline = |task: &taskloom::graph::Task| {
            task.agent.framework == Some(taskloom::graph::Framework::Shell)
        };
        let runs_offline = graph.tasks().iter().all(offline);
        assert_eq!(runs_offline, name != "claude-code.yaml", "{name} runs without a network");
    }
}

/// The largest example is made, not written.
#[test]
fn the_layered_example_is_what_the_generator_makes() {
    let mut text = "# Two hundred tasks in ten layers of twenty, each waiting for one to three of the layer before:
# a graph to watch the scheduler with. Every task writes one file and is done at once.
#
# Expect: succeeded, sixteen tasks at a time. The lane waits for you to merge it.
name: layered-200
max_concurrency: 16
tasks:
"
    .to_owned();
    for (task, parents) in shapes::layered(200, 20).iter().enumerate() {
        let agent = match task {
            0 => {
                "&agent
      framework: shell
      command: mkdir -p layered && echo \"$TASKLOOM_TASK\" > \"layered/$TASKLOOM_TASK.txt\""
            }
            _ => "*agent",
        };
        write!(text, "  - id: t{task}\n    description: Write layered/t{task}.txt.\n").unwrap();
        if !parents.is_empty() {
            writeln!(text, "    dependencies: [{}]", shapes::names(parents)).unwrap();
        }
        writeln!(text, "    primary_agent: {agent}").unwrap();
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/layered-200.yaml");
    if std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always") {
        fs::write(&file, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(file).unwrap(), text);
}

#[test]
fn aliases_stand_for_values_and_merged_keys_do_not_overwrite() {
    let graph = loaded(
        "name: aliases
tasks:
  - &first
    id: a
    description: One.
    max_attempts: 3
    primary_agent: &agent {framework: shell, command: \"true\"}
  - <<: *first
    id: b
    description: Two.
  - {id: c, description: Three, primary_agent: *agent}
  - {id: d, description: Four, primary_agent: {<<: [{model: small}, *agent], command: make}}
",
    );
    let task = |id: &str| graph.task(graph.lookup_task(&id.parse().unwrap()).unwrap());
    assert_eq!(task("b").description.as_deref(), Some("Two."));
    assert_eq!(task("b").max_attempts, 3);
    assert_eq!(task("c").agent.command.as_deref(), Some("true"));
    assert_eq!(task("d").agent.command.as_deref(), Some("make"));
    assert_eq!(task("d").agent.model.as_deref(), Some("small"));
}

#[test]
fn text_is_kept_as_it_is_written_whatever_other_readers_make_of_it() {
    let graph = loaded(
        "name: text
model: 1e5
workstreams: [{id: x, base_branch: no, merge_target_branch: 010}]
tasks:
  - {id: x, title: ~, description: 2024-01-01, completion_gate: true, workstream_id: x}
",
    );
    let (lane, task) = (&graph.lanes()[0], &graph.tasks()[0]);
    assert_eq!(graph.settings().model.as_deref(), Some("1e5"));
    assert_eq!(lane.base_branch.as_deref(), Some("no"));
    assert_eq!(lane.target_branch.as_deref(), Some("010"));
    assert_eq!(task.title, "2024-01-01");
    assert_eq!(task.gate.as_deref(), Some("true"));
}

#[test]
fn files_from_other_systems_are_read() {
    let unix = "name: lines\ntasks:\n  - id: a\n    description: |\n      One.\n      Two.\n";
    let graph = loaded(unix);
    assert_eq!(loaded(&unix.replace('\n', "\r\n")), graph);
    assert_eq!(loaded(&format!("\u{feff}{unix}")), graph);
}

fn old_and_new() -> (Graph, Graph) {
    let old = loaded(
        "name: site
model: small
workstreams: [{id: api}, {id: web}, {id: old}]
tasks:
  - {id: schema, description: x, workstream_id: api}
  - {id: server, description: x, workstream_id: api, dependencies: [schema]}
  - {id: build, description: x, workstream_id: web, completion_gate: make, dependencies: [schema]}
  - {id: page, description: x, workstream_id: web, inputs_from: {task: build}, dependencies: [build]}
  - {id: gone, description: x, workstream_id: old}
",
    );
    let new = loaded(
        "name: site
workstreams: [{id: web, auto_merge: true}, {id: api}, {id: docs}]
timeout: 1h
model: small
budget: {tokens: 5000}
tasks:
  - {id: manual, description: x, workstream_id: docs}
  - {id: page, description: x, workstream_id: web, inputs_from: {task: build}, dependencies: [build], timeout: 1h}
  - {id: build, description: x, workstream_id: web, completion_gate: make check, dependencies: [server]}
  - {id: server, description: x, workstream_id: api, dependencies: [schema, base]}
  - {id: schema, description: x, workstream_id: api, primary_agent: {framework: shell, command: make}}
  - {id: base, description: x, workstream_id: api}
",
    );
    (old, new)
}

#[test]
fn a_resubmitted_graph_is_compared_by_name() {
    let (old, new) = old_and_new();
    let diff = diff(&old, &new);
    let mut text = format!("{diff}\n\n");
    for change in &diff.settings {
        writeln!(text, "{change}").unwrap();
    }
    for changed in &diff.lanes.changed {
        changed.fields.iter().for_each(|it| writeln!(text, "{}: {it}", changed.id).unwrap());
    }
    for changed in &diff.tasks.changed {
        changed.fields.iter().for_each(|it| writeln!(text, "{}: {it}", changed.id).unwrap());
    }
    writeln!(text, "tasks added {:?}, removed {:?}", diff.tasks.added, diff.tasks.removed).unwrap();
    writeln!(text, "lanes added {:?}, removed {:?}", diff.lanes.added, diff.lanes.removed).unwrap();
    writeln!(text, "tasks kept {:?}, lanes kept {:?}", diff.tasks.kept, diff.lanes.kept).unwrap();
    insta::assert_snapshot!(text);
}

#[test]
fn the_same_graph_in_another_order_is_no_change() {
    let graph = loaded(
        "name: g\ntasks:\n  - {id: a, description: x}\n  - {id: b, description: x, dependencies: [a]}\n",
    );
    let turned = loaded(
        "tasks:\n  - {id: b, dependencies: [a], description: x}\n  - {id: a, description: x}\nname: g\n",
    );
    let diff = diff(&graph, &turned);
    assert!(diff.is_empty());
    assert_eq!(diff.to_string(), "2 tasks kept");
}

#[test]
fn graphs_are_found_by_name() {
    let file = |path: &str, source: &str| (PathBuf::from(path), Ok(source.as_bytes().to_vec()));
    let index = Index::build([
        file("web/site.yaml", "name: site\ntasks: []\n"),
        file("api.yaml", "name: payments\ntasks: [{id: a, description: x}]\n"),
        file("b/nightly.yaml", "name: Nightly\n"),
        file("a/nightly.yaml", "name: nightly\n"),
        file("notes.yaml", "- buy milk\n"),
        file("nameless.yaml", "tasks: []\n"),
        file("broken.yaml", "name: [\n"),
        (PathBuf::from("secret.yaml"), Err("permission denied".to_owned())),
    ]);
    let mut text = String::new();
    for (name, path) in index.graphs() {
        writeln!(text, "{name} is {}", path.display()).unwrap();
    }
    for name in ["Payments", "paymnets", "nightly", "zzz"] {
        match index.find(name) {
            Ok(path) => writeln!(text, "{name}: {}", path.display()).unwrap(),
            Err(error) => writeln!(text, "{name}: {error}").unwrap(),
        }
    }
    for duplicate in index.duplicates() {
        writeln!(text, "duplicate: {duplicate}").unwrap();
    }
    for file in index.unreadable() {
        writeln!(text, "unreadable: {file}").unwrap();
    }
    insta::assert_snapshot!(text);
}

/// What may happen to a file on its way.
#[derive(Debug, Clone)]
enum Damage {
    Cut(Pick),
    Byte(Pick, u8),
    Drop(Pick, u8),
    Insert(Pick, &'static str),
    Repeat(Pick, u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    const BITS: &[&str] = &[
        "\n",
        "\t",
        "  ",
        "- ",
        ": ",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        "|",
        ">",
        "&a ",
        "*a",
        "!!x ",
        "<<: ",
        "---\n",
        "...\n",
        "~",
        "#",
        "%",
        "? ",
        ",",
        "é",
        "\u{202e}",
        "\u{85}",
        "\0",
        "\r",
        "99999999999999999999",
    ];
    let at = any::<Pick>;
    proptest::prop_oneof![
        1 => at().prop_map(Damage::Cut),
        3 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        3 => (at(), 1..40u8).prop_map(|(at, bytes)| Damage::Drop(at, bytes)),
        6 => (at(), prop::sample::select(BITS)).prop_map(|(at, text)| Damage::Insert(at, text)),
        2 => (at(), 1..60u8).prop_map(|(at, bytes)| Damage::Repeat(at, bytes)),
    ]
}

fn damaged(mut source: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        let place = |at: &Pick| at.index(source.len() + 1);
        match damage {
            Damage::Cut(at) => source.truncate(at.index(source.len() + 1)),
            Damage::Byte(at, byte) => {
                let at = place(at);
                source.splice(at..(at + 1).min(source.len()), [*byte]);
            }
            Damage::Drop(at, bytes) => {
                let at = place(at);
                source.drain(at..(at + usize::from(*bytes)).min(source.len()));
            }
            Damage::Insert(at, text) => {
                let at = place(at);
                source.splice(at..at, text.bytes());
            }
            Damage::Repeat(at, bytes) => {
                let at = place(at);
                let part = source[at..(at + usize::from(*bytes)).min(source.len())].to_vec();
                source.splice(at..at, part);
            }
        }
    }
    source
}

fn told(source: &[u8], problems: &[Problem]) {
    assert!(!problems.is_empty());
    let lines = source.split(|byte| matches!(byte, b'\n' | b'\r')).count() as u32;
    for problem in problems {
        assert!((1..=lines).contains(&problem.line), "{problem:?} of {lines} lines");
        assert!(problem.column >= 1 && !problem.message.is_empty(), "{problem:?}");
    }
    assert!(!report("file.yaml", source, problems).is_empty());
}

proptest::proptest! {
    #[test]
    fn a_damaged_file_is_a_graph_or_has_problems_with_places(
        pick in any::<Pick>(),
        damages in prop::collection::vec(damage(), 1..6),
    ) {
        let mut files = yaml_files("tests/graphs/good");
        files.extend(yaml_files("tests/graphs/bad"));
        let (_, source) = pick.get(&files);
        let source = damaged(source.clone(), &damages);
        if let Err(problems) = load(&source) {
            told(&source, &problems);
        }
    }
}
