//! The graph for Mermaid, which many forges draw in Markdown.

use crate::render::picture::Theme;
use crate::render::words::one_line;
use crate::render::{Dag, Look, Node};

/// `dag` as a Mermaid flowchart, lanes as subgraphs.
pub fn mermaid(dag: &Dag) -> String {
    let title = front_matter(&dag.title);
    let mut lines = vec![format!("---\ntitle: \"{title}\"\n---\nflowchart TD")];
    for group in dag.by_lane() {
        let nodes = group.nodes.iter().map(|(at, node)| vertex(*at, node));
        match group.lane {
            None => lines.extend(nodes.map(|node| format!("  {node}"))),
            Some((lane, name)) => {
                lines.push(format!("  subgraph lane{lane}[\"{}\"]", label(name)));
                lines.extend(nodes.map(|node| format!("    {node}")));
                lines.push("  end".to_owned());
            }
        }
    }
    lines.extend(dag.arrows().iter().map(|(from, to)| format!("  n{from} --> n{to}")));
    lines.extend(dag.counts().present().map(|(look, _)| {
        let (class, ink) = (class(look), Theme::Light.ink(look));
        format!("  classDef {class} fill:{},stroke:{},color:#1b1f24", ink.fill, ink.line)
    }));
    lines.join("\n") + "\n"
}

fn vertex(at: usize, node: &Node) -> String {
    let lines: Vec<String> = node.lines().iter().map(|line| label(line)).collect();
    format!("n{at}[\"{}\"]:::{}", lines.join("<br/>"), class(node.look))
}

fn class(look: Look) -> String {
    format!("{look:?}")
}

/// What is left as it is cannot end a label, begin a directive or look like a style, to Mermaid, to
/// HTML or to Markdown.
fn coded(text: &str, code: impl Fn(char) -> String) -> String {
    let plain = |c: char| c.is_alphanumeric() || " .,_-/()+=!?'".contains(c) || !c.is_ascii();
    one_line(text).chars().map(|c| if plain(c) { c.to_string() } else { code(c) }).collect()
}

/// For a label, where any character may be written by its number.
fn label(text: &str) -> String {
    coded(text, |c| format!("#{};", c as u32))
}

/// For a YAML text in double quotes.
fn front_matter(text: &str) -> String {
    coded(text, |c| format!("\\u{:04x}", c as u32))
}
