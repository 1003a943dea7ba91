//! The sizes that a file may have, and what somebody hears who goes beyond them.

use std::fmt::Write as _;

use taskloom::graph::{FILE_BYTES_MAX, PROSE_BYTES_MAX, load, report};

use crate::graphs::{loaded, problems, shapes};

#[test]
fn ten_thousand_tasks_in_a_row_are_a_graph() {
    let graph = loaded(&shapes::yaml("chain", &shapes::chain(10_000)));
    assert_eq!(graph.critical_path().len(), 10_000);
    let last = graph.order()[9_999];
    assert_eq!(graph.ancestors(last).len(), 9_999);
}

#[test]
fn generated_layers_have_the_agreed_number_of_edges() {
    let edges = |tasks, width| shapes::layered(tasks, width).iter().map(Vec::len).sum::<usize>();
    assert_eq!(edges(1_000, 100), 1_762);
    assert_eq!(edges(10_000, 100), 19_669);
    assert_eq!(loaded(&shapes::yaml("fan", &shapes::fan_out(500))).edge_count(), 996);
}

#[test]
fn a_ring_of_ten_thousand_tasks_is_named_in_short() {
    let mut ring = shapes::chain(10_000);
    ring[0].push(9_999);
    insta::assert_snapshot!(problems(shapes::yaml("ring", &ring).as_bytes()));
}

#[test]
fn inputs_may_come_from_the_other_end_of_a_long_chain() {
    let mut source = shapes::yaml("far", &shapes::chain(5_000));
    source += "    inputs_from: [{task: t0}, {task: t4998}]\n";
    source += "  - {id: aside, description: x, inputs_from: [{task: t17}, {task: t4999}]}\n";
    insta::assert_snapshot!(problems(source.as_bytes()));
}

#[test]
fn too_many_tasks_are_refused() {
    let mut source = "name: many\ntasks:\n".to_owned();
    writeln!(source, "  - {{id: t0, description: x, dependencies: [t10000, t10001]}}").unwrap();
    for task in 1..10_001 {
        writeln!(source, "  - {{id: t{task}, description: x}}").unwrap();
    }
    insta::assert_snapshot!(problems(source.as_bytes()));
}

#[test]
fn too_many_dependencies_are_refused() {
    let mut source = "name: dense\ntasks:\n".to_owned();
    for task in 0..448 {
        let parents: Vec<String> = (0..task).map(|parent| format!("t{parent}")).collect();
        let parents = parents.join(",");
        writeln!(source, "- {{id: t{task}, description: x, dependencies: [{parents}]}}").unwrap();
    }
    insta::assert_snapshot!(problems(source.as_bytes()));
}

#[test]
fn too_long_texts_are_refused() {
    let prose = "x".repeat(PROSE_BYTES_MAX + 1);
    let line = "y".repeat(1_001);
    let variables: String = (0..65).map(|number| format!("V{number}: a, ")).collect();
    let source = format!(
        "name: long\ncontext: {prose}\nmodel: {line}\nenv: {{{variables}}}\ntasks:\n  \
         - {{id: a, description: {prose}, env: {{A: {}}}}}\n",
        "z".repeat(4_097)
    );
    insta::assert_snapshot!(problems(source.as_bytes()));
}

#[test]
fn a_file_beyond_the_limit_is_not_even_parsed() {
    let source = format!("name: large\n# {}\n", "x".repeat(FILE_BYTES_MAX));
    insta::assert_snapshot!(problems(source.as_bytes()));
}

#[test]
fn what_is_no_text_is_refused_with_its_place() {
    let mut told = problems(b"name: a\ntasks:\n  - id: \xff\n");
    told += &problems(b"name: a\n# hidden \x1b[2J in a comment\n");
    told += &problems(b"name: a\0b\n");
    told += &problems(b"\xfe\xff\0n\0a\0m\0e");
    told += &problems(b"");
    told += &problems(b"~");
    insta::assert_snapshot!(told);
}

#[test]
fn a_hundred_thousand_brackets_are_refused() {
    let mut told = problems("[".repeat(100_000).as_bytes());
    told += &problems("- ".repeat(100_000).as_bytes());
    insta::assert_snapshot!(told);
}

#[test]
fn of_very_many_problems_a_report_shows_the_first_hundred() {
    let mut source = "name: wrong\ntasks:\n".to_owned();
    for task in 0..2_000 {
        writeln!(source, "  - {{id: t{task}, descripton: x, role: TEST_WRITER}}").unwrap();
    }
    let problems = load(source.as_bytes()).unwrap_err();
    assert_eq!(problems.len(), 1_001);
    let report = report("wrong.yaml", source.as_bytes(), &problems);
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines.len(), 401);
    assert_eq!(lines[400], "… and 901 more");
    insta::assert_snapshot!(problems[1_000].to_string());
}

#[test]
fn a_long_line_is_shown_around_the_place() {
    let source = format!(
        "name: long\ntasks: [{{id: a, description: {}, rolle: generic, title: {}}}]\n",
        "äß漢 ".repeat(30),
        "more ".repeat(30)
    );
    let problems = load(source.as_bytes()).unwrap_err();
    insta::assert_snapshot!(report("long.yaml", source.as_bytes(), &problems));
}
