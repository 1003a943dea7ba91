//! Text with names in it that are filled in: `{{event.task}}`, `{{step_1.stdout}}`. A name that
//! is not there is an error and is never left as it is. `\{{` stands for two braces.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most that one value fills in, in bytes: less than the longest variable that a process can
/// be given (128 KiB on Linux).
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Text with names in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// As it was written.
    text: String,
    /// Its parts, in order.
    pub pieces: Vec<Piece>,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it is.
    Text(String),
    /// `{{event.…}}`.
    Event(Vec<String>),
    /// `{{step_N.…}}`, counted from 1.
    Step(usize, Vec<String>),
}

impl Piece {
    /// The name, as people write it.
    pub fn name(&self) -> String {
        let (first, path) = match self {
            Self::Text(_) => return String::new(),
            Self::Event(path) => ("event".to_owned(), path),
            Self::Step(n, path) => (format!("step_{n}"), path),
        };
        std::iter::once(&first).chain(path).cloned().collect::<Vec<_>>().join(".")
    }

    /// The variable that holds its value in a shell: `EVENT_TASK`.
    pub fn variable(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        self.name().chars().map(plain).collect()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What names stand for.
pub trait Names {
    /// The value of a name, or why there is none.
    fn value(&self, piece: &Piece) -> Result<String, String>;
}

/// What is known while a hook runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scope {
    /// What set it off.
    pub event: Value,
    /// What came of its steps so far.
    pub steps: Vec<Value>,
}

impl Names for Scope {
    fn value(&self, piece: &Piece) -> Result<String, String> {
        let name = piece.name();
        let (root, path, whole) = match piece {
            Piece::Text(text) => return Ok(text.clone()),
            Piece::Event(path) => (Some(&self.event), path, false),
            Piece::Step(n, path) => {
                (n.checked_sub(1).and_then(|at| self.steps.get(at)), path, path.is_empty())
            }
        };
        let root = root.ok_or_else(|| format!("`{name}` is not known yet"))?;
        // Of a step the main value is meant, which is kept first.
        let found = match (whole, root) {
            (true, Value::Object(map)) => map.get("main").and_then(|m| map.get(m.as_str()?)),
            _ => path.iter().try_fold(root, |value, key| match value {
                Value::Object(map) => map.get(key),
                Value::Array(list) => list.get(key.parse::<usize>().ok()?),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            }),
        };
        match found {
            None | Some(Value::Null) => Err(format!("`{name}` is not there")),
            Some(value) => Ok(text_of(value)),
        }
    }
}

/// A value as text: what is text as it is, everything else as JSON; cut where it is too long.
pub fn text_of(value: &Value) -> String {
    let mut text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.len() > VALUE_BYTES_MAX {
        let cut = (0..=VALUE_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(cut.unwrap_or(0));
    }
    // A process cannot be given it.
    text.retain(|c| c != '\0');
    text
}

impl Template {
    /// Reads a template; why it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find("{{") {
            if let Some(before) = rest[..at].strip_suffix('\\') {
                plain.push_str(before);
                plain.push_str("{{");
                rest = &rest[at + 2..];
                continue;
            }
            plain.push_str(&rest[..at]);
            let (name, after) = rest[at + 2..]
                .split_once("}}")
                .ok_or_else(|| format!("`{}` is not closed by `}}}}`", first_line(&rest[at..])))?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(named(name.trim())?);
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { text: text.to_owned(), pieces })
    }

    /// The names in it.
    pub fn names(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter().filter(|piece| !matches!(piece, Piece::Text(_)))
    }

    /// The text, filled in.
    pub fn fill(&self, names: &dyn Names) -> Result<String, String> {
        self.fill_with(names, |value| value)
    }

    /// The text, with each value changed before it is filled in.
    pub fn fill_with(
        &self,
        names: &dyn Names,
        change: impl Fn(String) -> String,
    ) -> Result<String, String> {
        let filled = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => Ok(text.clone()),
            Piece::Event(_) | Piece::Step(..) => names.value(piece).map(&change),
        });
        filled.collect()
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(40).collect()
}

fn named(name: &str) -> Result<Piece, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/');
    let parts: Vec<String> = name.split('.').map(str::to_owned).collect();
    if parts.iter().any(|part| part.is_empty() || !part.chars().all(plain)) {
        return Err(format!(
            "`{{{{{name}}}}}` is no name; write `{{{{event.task}}}}` or `{{{{step_1.stdout}}}}`, \
             and `\\{{{{` for two braces"
        ));
    }
    let path = parts[1..].to_vec();
    if parts[0] == "event" {
        return Ok(Piece::Event(path));
    }
    match parts[0].strip_prefix("step_").map(str::parse::<usize>) {
        Some(Ok(0)) => Err("`step_0` is none: steps are counted from 1".to_owned()),
        Some(Ok(n)) => Ok(Piece::Step(n, path)),
        Some(Err(_)) | None => Err(format!(
            "`{{{{{name}}}}}` is neither of the event (`event.…`) nor of a step (`step_1.…`)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn scope() -> Scope {
        Scope {
            event: json!({ "task": "refund", "deep": { "list": ["a", 7] }, "none": null }),
            steps: vec![json!({ "main": "stdout", "stdout": "out", "exit_code": 1 })],
        }
    }

    fn filled(text: &str) -> String {
        match Template::parse(text).and_then(|template| template.fill(&scope())) {
            Ok(text) => text,
            Err(why) => format!("error: {why}"),
        }
    }

    #[test]
    fn names_are_filled_in_and_unknown_ones_never_left_as_they_are() {
        let cases = [
            "plain",
            "{{event.task}}!",
            "{{ event.deep.list.1 }} and {{event.deep.list}}",
            "{{step_1}} {{step_1.exit_code}}",
            r"\{{.Name}} stays, {{event.task}} does not",
            "{{event.nothing}}",
            "{{event.none}}",
            "{{step_2.stdout}}",
            "{{step_0}}",
            "{{step_x}}",
            "{{task}}",
            "{{.Name}}",
            "{{event.task",
        ];
        let table: String = cases.iter().map(|c| format!("{c}\n  {}\n", filled(c))).collect();
        insta::assert_snapshot!(table);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String) {
            if let Ok(template) = Template::parse(&text) {
                drop(template.fill(&scope()));
            }
        }

        #[test]
        fn text_without_braces_stays_as_it_is(text in "[^{}]*") {
            prop_assert_eq!(filled(&text), text);
        }

        #[test]
        fn values_are_never_read_again(value: String) {
            let scope = Scope { event: json!({ "x": value }), steps: Vec::new() };
            let template = Template::parse("<{{event.x}}>").unwrap();
            let expected = format!("<{}>", value.replace('\0', ""));
            prop_assert_eq!(template.fill(&scope), Ok(expected));
        }
    }
}
