//! What people see of a graph, in every dress.

use proptest::prelude::*;
use resvg::tiny_skia::Pixmap;
use resvg::usvg::roxmltree::{Document, Node as Element};
use taskloom::render::{Dag, Error, Look, Theme, dot, mermaid, png, svg, text};

mod graphs;

use graphs::{chain, dag, diamond, fan_out, hostile, layered, node, payments, single};

/// What Discord takes from everybody.
const ATTACHMENT_BYTES_MAX: usize = 10 * 1024 * 1024;

fn samples() -> [(&'static str, Dag); 5] {
    [
        ("single", single()),
        ("chain", chain()),
        ("diamond", diamond()),
        ("payments", payments()),
        ("hostile", hostile()),
    ]
}

fn check(dress: &str, draw: impl Fn(&Dag) -> String) {
    for (name, dag) in samples() {
        let drawn = draw(&dag);
        assert_eq!(drawn, draw(&dag), "{name} is drawn in two ways");
        insta::assert_snapshot!(format!("{dress}_{name}"), drawn);
    }
}

#[test]
fn text_of_the_samples() {
    check("text", text);
}

#[test]
fn dot_of_the_samples() {
    check("dot", dot);
}

#[test]
fn mermaid_of_the_samples() {
    check("mermaid", mermaid);
}

#[test]
fn svg_of_the_samples() {
    check("svg", |dag| svg(dag, Theme::Light));
}

#[test]
fn a_large_graph_as_text_shows_its_waves_and_the_urgent_first() {
    insta::assert_snapshot!("text_layered", text(&layered(200, 20)));
    insta::assert_snapshot!("text_fan_out", text(&fan_out()));
    let huge = text(&layered(10_000, 100));
    assert!(huge.lines().count() < 500, "{} lines", huge.lines().count());
    assert!(huge.contains("… and 40 more waves"), "{huge}");
}

/// Width and height of a PNG, which must be one and small enough to be sent.
fn decoded(dag: &Dag, theme: Theme, scale: f32) -> (u32, u32) {
    let bytes = png(&svg(dag, theme), scale).unwrap();
    assert!(bytes.len() <= ATTACHMENT_BYTES_MAX, "{} bytes", bytes.len());
    let pixels = Pixmap::decode_png(&bytes).unwrap();
    let ground = pixels.pixel(0, 0).unwrap();
    assert!(pixels.pixels().iter().any(|pixel| *pixel != ground), "an empty picture");
    (pixels.width(), pixels.height())
}

#[test]
fn small_graphs_become_pictures_in_both_themes() {
    for theme in [Theme::Light, Theme::Dark] {
        for (_, dag) in samples() {
            let (width, height) = decoded(&dag, theme, 1.0);
            assert!((300..900).contains(&width) && height < 900, "{width} × {height}");
        }
    }
}

#[test]
fn a_phone_held_upright_shows_twelve_tasks_at_half_size_or_better() {
    let drawn = svg(&payments(), Theme::Dark);
    let (width, height) = size(&Document::parse(&drawn).unwrap());
    assert!(width <= 2.1 * 390.0 && height <= 2.1 * 620.0, "{width} × {height}");
}

#[test]
fn two_hundred_layered_tasks_fit_into_one_picture() {
    let dag = layered(200, 20);
    let drawn = svg(&dag, Theme::Dark);
    assert_eq!(boxes(&Document::parse(&drawn).unwrap()).len(), 200);
    let (width, height) = decoded(&dag, Theme::Dark, 1.0);
    assert!((800..1600).contains(&width) && (500..1200).contains(&height), "{width} × {height}");
}

#[test]
fn many_of_a_kind_become_one_block_with_one_arrow_in_and_one_out() {
    let drawn = svg(&fan_out(), Theme::Light);
    let document = Document::parse(&drawn).unwrap();
    assert_eq!(boxes(&document).len(), 200);
    assert_eq!(arrows(&document).len(), 2);
    assert!(drawn.contains(">198 tasks<"));
    let (width, height) = size(&document);
    assert!(width < 800.0 && height < 1200.0, "{width} × {height}");
}

#[test]
fn what_is_too_large_to_draw_is_summarised() {
    let drawn = svg(&layered(10_000, 100), Theme::Light);
    let document = Document::parse(&drawn).unwrap();
    assert!(boxes(&document).is_empty());
    for words in ["10,000 tasks", "waves 96 to 100", ">gamma<", "4,285 done"] {
        assert!(drawn.contains(words), "no {words}");
    }
    // A chain whose every task is needed by the last one has more ways than can be drawn.
    let mut dag = layered(900, 1);
    dag.edges.extend((0..898).flat_map(|from| [(from, 899), (from / 2, from + 1)]));
    let (width, height) = decoded(&dag, Theme::Dark, 2.0);
    assert!(width < 1300 && height < 2500, "{width} × {height}");
}

#[test]
fn pictures_keep_within_the_size_that_viewers_take() {
    let (width, height) = decoded(&layered(300, 1), Theme::Light, 4.0);
    assert!(width < 1000 && height == 8192, "{width} × {height}");
    let (width, height) = decoded(&single(), Theme::Light, 1000.0);
    assert!(width * height <= 8 * 1024 * 1024, "{width} × {height}");
}

#[test]
fn what_cannot_be_drawn_is_an_error_and_no_panic() {
    assert!(matches!(png("<svg", 1.0), Err(Error::Svg(_))));
    let drawn = svg(&single(), Theme::Light);
    for scale in [0.0, -1.0, f32::NAN, 0.0001] {
        assert!(matches!(png(&drawn, scale), Err(Error::Size(_))), "{scale}");
    }
}

#[test]
fn no_tasks_and_many_lanes_are_drawn_too() {
    let none = dag("nothing", Vec::new(), &[(0, 1)], &[]);
    assert_eq!(text(&none), "nothing · 0 tasks\n\n");
    assert!(dot(&none).ends_with("}\n") && mermaid(&none).contains("flowchart TD"));
    decoded(&none, Theme::Dark, 1.0);
    let names: Vec<String> = (0..40).map(|n| format!("lane-{n}")).collect();
    let lanes: Vec<(&str, Look)> = names.iter().map(|n| (n.as_str(), Look::Waiting)).collect();
    let nodes = (0..2000).map(|n| node(&format!("t{n}"), "", n % 45, Look::Ready)).collect();
    let many = dag("many", nodes, &[], &lanes);
    let drawn = svg(&many, Theme::Light);
    assert!(drawn.contains("16 more lanes") && drawn.contains("17 more"), "{drawn}");
}

/// Left, top, right and bottom.
type Area = [f64; 4];

fn number(element: Element<'_, '_>, name: &str) -> f64 {
    element.attribute(name).unwrap().parse().unwrap()
}

fn size(document: &Document<'_>) -> (f64, f64) {
    let root = document.root_element();
    (number(root, "width"), number(root, "height"))
}

/// The frames of tasks, which alone have a title of their own inside the picture.
fn boxes(document: &Document<'_>) -> Vec<Area> {
    let groups = document.descendants().filter(|e| {
        e.has_tag_name("g") && e.children().next().is_some_and(|c| c.has_tag_name("title"))
    });
    let frames = groups.map(|group| group.children().find(|e| e.has_tag_name("rect")).unwrap());
    frames
        .map(|frame| {
            let (x, y) = (number(frame, "x"), number(frame, "y"));
            [x, y, x + number(frame, "width"), y + number(frame, "height")]
        })
        .collect()
}

/// Points along every line between two boxes or passing points.
fn arrows(document: &Document<'_>) -> Vec<Vec<(f64, f64)>> {
    let group = document.descendants().find(|e| e.has_attribute("stroke-opacity")).unwrap();
    let fans = group.children().filter_map(|fan| fan.attribute("d"));
    fans.flat_map(|fan| fan.split('M').skip(1)).map(points).collect()
}

fn points(line: &str) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for part in line.split(['L', 'C']) {
        let n: Vec<f64> = part.split_whitespace().map(|n| n.parse().unwrap()).collect();
        match n.as_slice() {
            [x, y] => points.push((*x, *y)),
            [x1, y1, x2, y2, x3, y3] => {
                let (x0, y0) = *points.last().unwrap();
                points.extend((1..=20).map(|step| {
                    let t = f64::from(step) / 20.0;
                    let at = |a: f64, b: f64, c: f64, d: f64| {
                        let u = 1.0 - t;
                        a * u * u * u + 3.0 * b * u * u * t + 3.0 * c * u * t * t + d * t * t * t
                    };
                    (at(x0, *x1, *x2, *x3), at(y0, *y1, *y2, *y3))
                }));
            }
            other => panic!("{other:?}"),
        }
    }
    points
}

/// Boxes stand apart, lie inside the picture, and no arrow runs through any of them.
fn assert_tidy(dag: &Dag) {
    let drawn = svg(dag, Theme::Light);
    let document = Document::parse(&drawn).unwrap();
    let boxes = boxes(&document);
    assert_eq!(boxes.len(), dag.nodes.len());
    let (width, height) = size(&document);
    for (at, a) in boxes.iter().enumerate() {
        assert!(a[0] >= -0.1 && a[1] >= -0.1 && a[2] <= width && a[3] <= height, "{a:?}");
        for b in &boxes[at + 1..] {
            let apart = a[2] < b[0] || b[2] < a[0] || a[3] < b[1] || b[3] < a[1];
            assert!(apart, "{a:?} and {b:?}\n{drawn}");
        }
    }
    for line in arrows(&document) {
        for pair in line.windows(2) {
            let (x, y) = ((pair[0].0 + pair[1].0) / 2.0, (pair[0].1 + pair[1].1) / 2.0);
            let hit = boxes
                .iter()
                .find(|b| x > b[0] + 0.5 && x < b[2] - 0.5 && y > b[1] + 0.5 && y < b[3] - 0.5);
            assert!(hit.is_none(), "({x}, {y}) of {line:?} in {hit:?}\n{drawn}");
        }
    }
}

#[test]
fn arrows_keep_off_the_boxes_of_the_samples() {
    for (_, dag) in samples() {
        assert_tidy(&dag);
    }
    assert_tidy(&layered(200, 20));
    assert_tidy(&layered(40, 4));
    assert_tidy(&fan_out());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn arrows_keep_off_the_boxes_of_any_graph(
        tasks in 1u32..60,
        edges in prop::collection::vec((0u32..60, 0u32..60), 0..90),
        titles in prop::collection::vec("\\PC{0,40}", 1..4),
    ) {
        let look = |n: u32| Look::ALL[n as usize % Look::ALL.len()];
        let title = |n: u32| titles[n as usize % titles.len()].as_str();
        let nodes = (0..tasks).map(|n| node(&format!("t{n}"), title(n), n % 3, look(n))).collect();
        let dag = dag(title(0), nodes, &edges, &[("a", Look::Plain), ("b", Look::Done)]);
        assert_tidy(&dag);
        prop_assert_eq!(dot(&dag), dot(&dag));
        prop_assert!(text(&dag).lines().count() <= 3 * tasks as usize + 4);
    }
}
