//! What probes and monitoring are told by a running daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use taskloom::http::{Part, Routes, Server, Vitals};

use crate::world::{World, ended, until};

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Status, content type and body; `None` if nobody listens.
pub(crate) fn get(port: u16, path: &str) -> Option<(u16, String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let kind = head.lines().find_map(|line| line.strip_prefix("content-type: "));
    Some((status, kind.unwrap_or_default().to_owned(), body.to_owned()))
}

/// What it answers once it listens.
pub(crate) fn told(port: u16, path: &str) -> (u16, String, String) {
    until("somebody listens", || get(port, path).is_some());
    get(port, path).unwrap()
}

const GRAPH: &str = r#"
name: counted
workstreams: [{id: default, auto_merge: true}]
tasks:
  - id: good
    description: Does it.
    completion_gate: "true"
    primary_agent: {framework: shell, command: "echo x > x.txt"}
  - id: bad
    description: Does not.
    max_attempts: 1
    primary_agent: {framework: shell, command: "exit 3"}
"#;

const HOOK: &str = "
hooks:
  - name: settled
    on: {event: run_settled}
    steps: [{notify: it is over}]
";

fn serve(more: &str) -> (World, Child, u16) {
    let (world, port) = (World::new(), free_port());
    world.write("config.yaml", &format!("http: {{listen: '127.0.0.1:{port}'}}\n{more}"));
    let daemon = world.serve();
    assert_eq!(told(port, "/healthz").0, 200);
    (world, daemon, port)
}

fn readiness(port: u16) -> (u16, Value) {
    let (status, kind, body) = told(port, "/readyz");
    assert_eq!(kind, "application/json");
    (status, serde_json::from_str(&body).unwrap())
}

/// Holds the page against the rules of OpenMetrics: families are declared once and before their
/// samples, suffixes fit their kinds, no sample comes twice, buckets grow up to the count.
fn judge(page: &str) {
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut family = ("", "");
    let mut bucket = 0.0;
    assert!(page.ends_with("\n# EOF\n"), "{page}");
    for line in page.lines().filter(|line| *line != "# EOF") {
        if let Some(declared) = line.strip_prefix("# ") {
            let (what, rest) = declared.split_once(' ').unwrap();
            let (name, value) = rest.split_once(' ').unwrap();
            assert!(name.starts_with("taskloom_"), "{line}");
            if what == "TYPE" {
                assert!(kinds.insert(name, value).is_none(), "declared twice: {line}");
                family = (name, value);
                bucket = 0.0;
            }
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let value: f64 = value.parse().unwrap();
        assert!(seen.insert(sample), "twice: {line}");
        let name = sample.split('{').next().unwrap();
        let suffix = name.strip_prefix(family.0).unwrap_or_else(|| panic!("undeclared: {line}"));
        match family.1 {
            "counter" => assert_eq!(suffix, "_total", "{line}"),
            "gauge" => assert_eq!(suffix, "", "{line}"),
            "histogram" if suffix == "_bucket" => {
                assert!(value >= bucket, "{line}");
                bucket = value;
            }
            "histogram" => assert!(matches!(suffix, "_sum" | "_count"), "{line}"),
            other => panic!("{other}: {line}"),
        }
    }
}

/// The page without what differs from one machine and moment to the next.
fn steady(page: &str) -> String {
    let varies = ["_start_time_seconds ", "_answer_seconds ", "_sum ", "_bucket{", "_count "];
    let steady = page.lines().map(|line| match line.rsplit_once(' ') {
        Some((sample, _))
            if varies.iter().any(|part| line.contains(part)) && !line.starts_with('#') =>
        {
            format!("{sample} …")
        }
        _ => line.replace(env!("CARGO_PKG_VERSION"), "VERSION"),
    });
    steady.collect::<Vec<_>>().join("\n")
}

#[test]
fn monitoring_sees_what_a_daemon_did() {
    let (world, daemon, port) = serve(HOOK);
    let graph = world.write("counted.yaml", GRAPH);
    let (graph, repo) = (graph.display().to_string(), world.repo().display().to_string());
    assert_eq!(world.taskloom(&["submit", &graph, "--repo", &repo]).code, 0);
    until("the run is done", || {
        told(port, "/metrics").2.contains("taskloom_runs_settled_total")
            && told(port, "/metrics").2.contains("taskloom_hook_runs_total{")
            && told(port, "/metrics").2.contains("notices_pending 0")
            && world.state("good") == "merged"
    });
    let (status, kind, page) = told(port, "/metrics");
    assert_eq!((status, kind.split(';').next()), (200, Some("application/openmetrics-text")));
    judge(&page);
    insta::assert_snapshot!(steady(&page));
    assert_eq!(told(port, "/github").0, 404);
    assert_eq!(world.taskloom(&["shutdown"]).code, 0);
    assert_eq!(ended(daemon).code, 0);
    world.finish();
}

#[test]
fn a_daemon_is_ready_until_it_drains() {
    let (world, daemon, port) = serve("");
    let (status, parts) = readiness(port);
    assert_eq!((status, &parts["ready"]), (200, &Value::Bool(true)), "{parts}");
    assert_eq!(parts["parts"]["engine"]["detail"], "0 of 8 slots are used");
    assert_eq!(parts["parts"].as_object().unwrap().len(), 3, "no Discord, no GitHub: {parts}");
    assert_eq!(world.taskloom(&["drain"]).code, 0);
    let (status, parts) = readiness(port);
    assert_eq!(status, 503);
    assert_eq!(parts["parts"]["engine"]["detail"], "it drains: nothing new starts");
    assert_eq!(told(port, "/healthz").0, 200, "it lives all the same");
    assert_eq!(world.taskloom(&["shutdown"]).code, 0);
    assert_eq!(ended(daemon).code, 0);
    world.finish();
}

/// A process whose engine hangs.
struct Hung;

#[async_trait]
impl Vitals for Hung {
    async fn alive(&self) -> Result<(), String> {
        Err("the engine's loop has not answered".to_owned())
    }

    async fn parts(&self) -> Vec<Part> {
        let part = |name, ready| Part { name, ready, detail: "…".to_owned() };
        vec![part("store", true), part("engine", false)]
    }

    async fn metrics(&self) -> Result<(&'static str, String), String> {
        self.alive().await.map(|()| ("text/plain", String::new()))
    }
}

#[test]
fn what_hangs_is_told_by_the_status_too() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let routes = Routes::default().with_vitals(Arc::new(Hung));
    let started = Server::start(([127, 0, 0, 1], 0).into(), routes);
    let server = runtime.block_on(started).unwrap();
    let port = server.address().port();
    let why = (503, "the engine's loop has not answered\n".to_owned());
    for path in ["/healthz", "/metrics"] {
        let (status, _, body) = told(port, path);
        assert_eq!((status, body), why, "{path}");
    }
    let (status, parts) = readiness(port);
    assert_eq!((status, &parts["ready"]), (503, &Value::Bool(false)), "{parts}");
    assert_eq!(parts["parts"]["store"]["ready"], true);
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let world = World::new();
    world.write("config.yaml", &format!("http: {{listen: '127.0.0.1:{port}'}}\n"));
    let said = ended(world.serve());
    assert_eq!(said.code, 1);
    assert!(said.err.contains(&format!("cannot listen at 127.0.0.1:{port}")), "{}", said.err);
    world.finish();
}
