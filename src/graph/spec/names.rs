//! Single values that name something else: tasks, branches, files, programs, variables.
//!
//! They end up in paths, git refs and command lines; what is checked here is quoted nowhere later.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::graph::node::{Node, Shape};
use crate::graph::problem::{Step, shown};
use crate::graph::spec::reader::Reader;
use crate::ids::{NameError, check_name};

/// Variables of one `env`. Inherited by every task, like a line.
pub const ENV_VARIABLES_MAX: usize = 64;

/// Bytes of one variable's value: what a certificate in PEM needs.
pub const ENV_VALUE_BYTES_MAX: usize = 4 * 1024;

/// A name that is looked up later, and where it stands.
pub(super) type Sited<'t> = (&'t str, Node<'t>);

/// The name that `text` was found to be. Without a good one something takes its place that never
/// leaves this folder: a graph is built only if there was no problem.
pub(super) fn parsed_or_stand_in<T: FromStr<Err = NameError>>(name: Option<Sited<'_>>) -> T {
    parsed(name.map_or("unnamed", |(text, _)| text))
}

fn parsed<T: FromStr<Err = NameError>>(text: &str) -> T {
    text.parse().expect("BUG: the name was checked")
}

impl<'t> Reader<'t> {
    /// A name of a certain kind.
    pub(super) fn name<T: FromStr<Err = NameError>>(&mut self, node: Node<'t>) -> Option<T> {
        self.sited_name(node).map(|(name, _)| parsed(name))
    }

    /// A name, which must not look like something else to any reader of YAML.
    pub(super) fn sited_name(&mut self, node: Node<'t>) -> Option<Sited<'t>> {
        let Shape::Scalar { text, plain } = node.shape() else {
            self.wrong(node, "a name");
            return None;
        };
        let text = text.trim();
        if text.is_empty() {
            self.report(node, "must not be blank");
            return None;
        }
        if let Some(kind) = unquoted_kind(text).filter(|_| plain) {
            let message = format!("`{text}` is {kind} in YAML, not a name");
            let digits = text.contains(|c: char| c.is_ascii_digit());
            let or = if digits { "start it with a letter" } else { "choose another" };
            let hint = format!("quote it (`\"{text}\"`) or {or}");
            self.report_hint(node, message, hint);
            return None;
        }
        if let Err(why) = check_name(text) {
            self.report(node, format!("`{}` is not a name: {why}", shown(text)));
            return None;
        }
        Some((text, node))
    }

    /// A path inside the repository.
    pub(super) fn repo_path(&mut self, node: Node<'t>) -> Option<String> {
        let text = self.line(node)?;
        let wrong = if text.starts_with('/') {
            "is absolute"
        } else if text.split('/').any(|part| part == "..") {
            "climbs out with `..`"
        } else {
            return Some(text.to_owned());
        };
        let message = format!("the path `{}` {wrong}", shown(text));
        self.report_hint(node, message, "write it relative to the repository, inside it");
        None
    }

    /// The name of a branch.
    pub(super) fn branch(&mut self, node: Node<'t>) -> Option<String> {
        let text = self.line(node)?;
        match check_branch(text) {
            Ok(()) => Some(text.to_owned()),
            Err(why) => {
                self.report(node, format!("`{}` cannot be a branch: {why}", shown(text)));
                None
            }
        }
    }

    /// The name of a program that is looked up on PATH.
    pub(super) fn program(&mut self, node: Node<'t>) -> Option<String> {
        let text = self.line(node)?;
        if text.starts_with('-') || text.contains(|c: char| c == '/' || c.is_whitespace()) {
            let message = format!("`{}` is not the name of a program", shown(text));
            self.report_hint(node, message, "write one name, without path and arguments");
            return None;
        }
        Some(text.to_owned())
    }

    /// Variables and their values.
    pub(super) fn env(&mut self, node: Node<'t>) -> Option<BTreeMap<String, String>> {
        let Shape::Map(links) = node.shape() else {
            self.wrong(node, "a mapping of `NAME: value` lines");
            return None;
        };
        let count = links.len() / 2;
        if count > ENV_VARIABLES_MAX {
            let message = format!("has {count} variables; at most {ENV_VARIABLES_MAX} are allowed");
            self.report_hint(node, message, "put them into a file and let the command read it");
            return None;
        }
        let mut env = BTreeMap::new();
        for (name, key, value) in node.entries(links) {
            self.within(Step::Key(name), |reader| {
                let named = reader.variable_name(name, key);
                let value = reader.variable_value(value);
                env.extend(named.then_some(name.to_owned()).zip(value));
            });
        }
        Some(env)
    }

    fn variable_name(&mut self, name: &str, key: Node<'t>) -> bool {
        let fits = is_variable(name);
        if !fits {
            let message = format!("`{}` cannot be the name of a variable", shown(name));
            let hint = "use letters, digits and `_`, and begin with no digit";
            self.report_hint(key, message, hint);
        } else if name.starts_with("TASKLOOM_") {
            self.report(key, "variables that begin with `TASKLOOM_` are set by Taskloom itself");
        }
        fits
    }

    fn variable_value(&mut self, node: Node<'t>) -> Option<String> {
        let Shape::Scalar { text, .. } = node.shape() else {
            self.wrong(node, "text");
            return None;
        };
        let text = self.printable(node, text, ENV_VALUE_BYTES_MAX)?;
        for (at, _) in text.match_indices("${") {
            let body = &text[at + 2..];
            let name = body.split('}').next().unwrap_or_default();
            if !body.contains('}') || !is_variable(name) {
                let part = shown(&text[at..]);
                let message = format!("`{part}` does not begin with a reference `${{NAME}}`");
                self.report_hint(
                    node,
                    message,
                    "only `${NAME}` is replaced, nothing like `${A:-b}`",
                );
                return None;
            }
        }
        Some(text.to_owned())
    }
}

fn is_variable(name: &str) -> bool {
    let digit = |c: char| c.is_ascii_digit();
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && !name.starts_with(digit) && name.chars().all(word)
}

/// What some reader of YAML takes an unquoted name for, if not for text. YAML 1.1 is the more
/// inventive one: `0x1F`, `1_000`, `on` and `2024-01-01` are no text there. Its `y` and `n` are
/// left out: they are names in files in use, and no reader in use takes them for booleans.
fn unquoted_kind(name: &str) -> Option<&'static str> {
    let is = |word: &&str| word.eq_ignore_ascii_case(name);
    if ["true", "false", "yes", "no", "on", "off"].iter().any(is) {
        return Some("a boolean");
    }
    if ["null", "~"].iter().any(is) {
        return Some("nothing");
    }
    if !name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let digits = name.to_ascii_lowercase().replace('_', "");
    let radix = |prefix: &str, radix: u32| {
        digits.strip_prefix(prefix).is_some_and(|rest| rest.chars().all(|c| c.is_digit(radix)))
    };
    if digits.parse::<f64>().is_ok() || radix("0x", 16) || radix("0o", 8) || radix("0b", 2) {
        return Some("a number");
    }
    let parts: Vec<&str> = name.split('-').collect();
    let numeric = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    match parts[..] {
        [year, month, day] if parts.iter().all(numeric) => {
            let lengths = (year.len(), month.len(), day.len());
            matches!(lengths, (4, 1..=2, 1..=2)).then_some("a date")
        }
        _ => None,
    }
}

/// The rules of `git check-ref-format --branch`
/// (<https://git-scm.com/docs/git-check-ref-format>), and no full refs: git would make
/// `refs/heads/refs/heads/x` of them.
fn check_branch(name: &str) -> Result<(), String> {
    let bad = |c: char| c.is_whitespace() || matches!(c, '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    if let Some(c) = name.chars().find(|c| bad(*c)) {
        return Err(format!("it holds `{c}`"));
    }
    if let Some(part) = ["..", "@{", "//"].iter().find(|part| name.contains(**part)) {
        return Err(format!("it holds `{part}`"));
    }
    if name == "@" || name == "HEAD" {
        return Err("git keeps that word for itself".to_owned());
    }
    if let Some(short) = name.strip_prefix("refs/heads/") {
        return Err(format!("it is a full ref; write `{}`", shown(short)));
    }
    if name.starts_with(['-', '/']) || name.ends_with(['/', '.']) {
        return Err("it must not begin with `-` or `/` nor end in `/` or `.`".to_owned());
    }
    for part in name.split('/') {
        if part.starts_with('.') || part.ends_with(".lock") {
            return Err(format!(
                "its part `{}` must not begin with `.` nor end in `.lock`",
                shown(part)
            ));
        }
    }
    Ok(())
}
