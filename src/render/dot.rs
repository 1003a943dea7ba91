//! The graph for Graphviz.

use crate::render::picture::Theme;
use crate::render::words::one_line;
use crate::render::{Dag, Node};

/// `dag` in the DOT language, lanes as clusters.
pub fn dot(dag: &Dag) -> String {
    let mut lines = vec![
        "digraph {".to_owned(),
        format!("  label={};", quoted(&dag.title)),
        "  labelloc=t;".to_owned(),
        "  fontname=\"monospace\";".to_owned(),
        "  node [shape=box, style=\"rounded,filled\", fontname=\"monospace\"];".to_owned(),
        "  edge [color=\"#8c959f\"];".to_owned(),
    ];
    for group in dag.by_lane() {
        let nodes = group.nodes.iter().map(|(at, node)| format!("n{at} [{}];", attributes(node)));
        match group.lane {
            None => lines.extend(nodes.map(|node| format!("  {node}"))),
            Some((lane, name)) => {
                lines.push(format!("  subgraph cluster_{lane} {{"));
                lines.push(format!("    label={};", quoted(name)));
                lines.push("    color=\"#8c959f\";".to_owned());
                lines.extend(nodes.map(|node| format!("    {node}")));
                lines.push("  }".to_owned());
            }
        }
    }
    lines.extend(dag.arrows().iter().map(|(from, to)| format!("  n{from} -> n{to};")));
    lines.push("}\n".to_owned());
    lines.join("\n")
}

fn attributes(node: &Node) -> String {
    let ink = Theme::Light.ink(node.look);
    let label: Vec<String> = node.lines().iter().map(|line| escaped(line)).collect();
    let label = label.join("\\n");
    format!("label=\"{label}\", fillcolor=\"{}\", color=\"{}\"", ink.fill, ink.line)
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// Inside quotes a label knows backslash sequences and the character references of HTML.
fn escaped(text: &str) -> String {
    one_line(text).replace('&', "&amp;").replace('\\', "\\\\").replace('"', "\\\"")
}
