//! The graphs whose pictures are looked at.

use taskloom::entropy::Entropy;
use taskloom::render::{Band, Dag, Look, Node};

pub(super) fn node(id: &str, title: &str, lane: u32, look: Look) -> Node {
    Node { id: id.to_owned(), title: title.to_owned(), lane, look, note: None }
}

pub(super) fn dag(
    title: &str,
    nodes: Vec<Node>,
    edges: &[(u32, u32)],
    lanes: &[(&str, Look)],
) -> Dag {
    let lanes = lanes.iter().map(|(name, look)| Band { name: (*name).to_owned(), look: *look });
    Dag { title: title.to_owned(), nodes, edges: edges.to_vec(), lanes: lanes.collect() }
}

pub(super) fn single() -> Dag {
    let nodes = vec![node("hello", "Write hello.txt that says hello", 0, Look::Plain)];
    dag("greeting", nodes, &[], &[("default", Look::Plain)])
}

pub(super) fn chain() -> Dag {
    let nodes = vec![
        node("spec", "Write stubs and docstrings", 0, Look::Done),
        node("tests", "Write the tests", 0, Look::Done),
        node("code", "Make the tests pass", 0, Look::Running),
        node("polish", "polish", 0, Look::Waiting),
    ];
    dag("parser/2", nodes, &[(0, 1), (1, 2), (2, 3)], &[("default", Look::Running)])
}

pub(super) fn diamond() -> Dag {
    let nodes = vec![
        node("model", "Data model and migrations", 0, Look::Done),
        node("api", "REST endpoints", 1, Look::Running),
        node("ui", "Forms and pages", 2, Look::AsksPerson),
        node("e2e", "End-to-end tests", 3, Look::Waiting),
    ];
    let lanes = [
        ("core", Look::Done),
        ("backend", Look::Running),
        ("frontend", Look::Running),
        ("quality", Look::Waiting),
    ];
    dag("shop/1", nodes, &[(0, 1), (0, 2), (1, 3), (2, 3)], &lanes)
}

/// Every look of a run, one task each.
pub(super) fn payments() -> Dag {
    let mut nodes = vec![
        node("schema", "Tables for payments and refunds", 0, Look::Done),
        node("money-type", "Decimal money type with currency", 0, Look::Skipped),
        node("ledger", "Double-entry ledger", 0, Look::Merging),
        node("provider-client", "HTTP client of the payment provider", 1, Look::Stale),
        node("webhooks", "Receive and verify webhooks", 1, Look::Failed),
        node("retry-queue", "Retry failed captures", 1, Look::Blocked),
        node("refunds", "Refund flow with approval", 1, Look::AsksPerson),
        node("checkout-page", "Checkout page", 2, Look::Running),
        node("receipts", "Receipts by mail", 2, Look::Paused),
        node("old-import", "Import of the old payments", 0, Look::Cancelled),
        node("load-test", "Load test of the checkout", 2, Look::Ready),
        node("release", "Switch it on for everybody", 2, Look::Waiting),
    ];
    nodes[7].note = Some("4m 10s".to_owned());
    nodes[6].note = Some("attempt 2".to_owned());
    let edges = [
        (0, 2),
        (1, 2),
        (1, 3),
        (3, 4),
        (4, 5),
        (2, 5),
        (2, 6),
        (3, 6),
        (1, 7),
        (3, 7),
        (2, 8),
        (7, 8),
        (0, 9),
        (7, 10),
        (10, 11),
        (8, 11),
        (5, 11),
        (6, 11),
    ];
    let lanes = [("ledger", Look::Running), ("provider", Look::Failed), ("shop", Look::Running)];
    dag("payments/3", nodes, &edges, &lanes)
}

pub(super) fn hostile() -> Dag {
    let nodes = vec![
        node("quotes", r#"say "hi" and 'bye' \ back\nslash"#, 0, Look::Plain),
        node("brackets", "a[b](c){d}<e> </script><script>alert(1)</script>", 1, Look::Done),
        node("newlines", "first\nsecond\r\n\tthird", 0, Look::Failed),
        node("rtl", "שלום עולם \u{202e}evil", 1, Look::Running),
        node("cjk", "支払いテーブルを作成する長い題名", 0, Look::Ready),
        node("emoji", "ship 🚀 the 👩‍👩‍👧 & ✅ done", 1, Look::Done),
        node("mermaid", "end; %%{init: {}}%% style x:#fff; `code` #quot;", 0, Look::Skipped),
        node("controls", "bell\u{7} esc\u{1b}[31m nul\0 bom\u{feff}", 1, Look::Stale),
    ];
    let edges = [(0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 5), (5, 6), (5, 7), (7, 0), (9, 1)];
    let lanes = [("lane \"one\" ]", Look::Plain), ("<b>&two", Look::Done)];
    dag("a \"title\": <with> everything\n%%{x}%%", nodes, &edges, &lanes)
}

/// Layers of `wide` tasks; every task after the first layer waits for one to three of the layer
/// before.
pub(super) fn layered(tasks: u32, wide: u32) -> Dag {
    let mut chance = Entropy::seeded(42);
    let mut edges = Vec::new();
    for task in wide..tasks {
        let above = (task / wide - 1) * wide;
        let mut parents = Vec::new();
        for _ in 0..1 + chance.next_u64() % 3 {
            let parent = above + (chance.next_u64() % u64::from(wide)) as u32;
            if !parents.contains(&parent) {
                parents.push(parent);
                edges.push((parent, task));
            }
        }
    }
    let look = |task: u32| match task {
        t if t < tasks * 2 / 5 => Look::Done,
        t if t < tasks / 2 && t % 7 == 0 => Look::Failed,
        t if t < tasks / 2 => [Look::Done, Look::Running, Look::Merging][(t % 3) as usize],
        t if t < tasks * 3 / 5 && t % 3 == 0 => Look::Ready,
        _ => Look::Waiting,
    };
    let nodes = (0..tasks)
        .map(|t| node(&format!("t{t:03}"), &format!("Task number {t}"), t % 3, look(t)))
        .collect();
    let lanes = [("alpha", Look::Running), ("beta", Look::Running), ("gamma", Look::Waiting)];
    dag("layered", nodes, &edges, &lanes)
}

pub(super) fn fan_out() -> Dag {
    let mut nodes = vec![node("split", "Find what there is to do", 0, Look::Done)];
    let mut edges = Vec::new();
    for at in 1..199 {
        let look = match at {
            1..=120 => Look::Done,
            121..=124 => Look::Failed,
            125..=140 => Look::Running,
            _ => Look::Ready,
        };
        nodes.push(node(&format!("file-{at:03}"), &format!("Port file {at}"), 0, look));
        edges.extend([(0, at), (at, 199)]);
    }
    nodes.push(node("join", "Put it together", 0, Look::Waiting));
    dag("port/1", nodes, &edges, &[("default", Look::Running)])
}
