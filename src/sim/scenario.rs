//! Scenarios as text: commands, each with what it is expected to print.
//!
//! ```text
//! # A comment.
//! command and its arguments
//! more input for it, if it takes any
//! ----
//! what it prints
//!
//! the next command
//! ----
//! ```
//!
//! Expected output ends at an empty line; a command prints none.

use crate::failure::Failure;

/// What stands between a command and what it prints.
const RULE: &str = "----";

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// The line of the file on which it stands, from 1.
    pub line: usize,
    /// Comments and empty lines before it, as they are.
    pub before: String,
    /// The command as it is written.
    pub text: String,
    /// The command's words.
    pub words: Vec<String>,
    /// The lines below it.
    pub input: String,
    /// What it is expected to print.
    pub expected: String,
}

/// Reads a scenario.
pub fn read(text: &str) -> Result<Vec<Act>, Failure> {
    let mut acts = Vec::new();
    let mut before = String::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((at, line)) = lines.next() {
        if line.trim().is_empty() || line.starts_with('#') {
            before.push_str(line);
            before.push('\n');
            continue;
        }
        let line_number = at + 1;
        let words = shell_words::split(line)
            .map_err(|why| Failure::user(format!("line {line_number}: {why}: `{line}`")))?;
        let (mut input, mut ruled) = (String::new(), false);
        for (_, line) in lines.by_ref() {
            if line == RULE {
                ruled = true;
                break;
            }
            input.push_str(line);
            input.push('\n');
        }
        if !ruled {
            return Err(Failure::user(format!(
                "line {line_number}: there is no `{RULE}` after `{line}`"
            ))
            .hint("every command is followed by a line of four hyphens, then by what it prints"));
        }
        let mut expected = String::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| !line.trim().is_empty()) {
            expected.push_str(line);
            expected.push('\n');
        }
        let before = std::mem::take(&mut before);
        let text = line.to_owned();
        acts.push(Act { line: line_number, before, text, words, input, expected });
    }
    Ok(acts)
}

/// Writes a scenario with what its commands really print.
pub fn write(acts: &[(Act, String)]) -> String {
    let text = |(act, output): &(Act, String)| {
        format!("{}{}\n{}{RULE}\n{output}", act.before, act.text, act.input)
    };
    acts.iter().map(text).collect()
}

/// What a command printed, as it stands in a file: without empty lines and trailing blanks.
pub fn tidy(output: &str) -> String {
    let lines = output.lines().map(str::trim_end).filter(|line| !line.is_empty());
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Where two outputs differ, line by line.
pub fn difference(expected: &str, found: &str) -> String {
    let (mut old, mut new): (Vec<&str>, Vec<&str>) =
        (expected.lines().collect(), found.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (head, mut tail) = (old[..same].to_vec(), Vec::new());
    old.drain(..same);
    new.drain(..same);
    while let (Some(a), Some(b)) = (old.last(), new.last()) {
        if a != b {
            break;
        }
        tail.push(*a);
        old.pop();
        new.pop();
    }
    tail.reverse();
    let marked = |mark: char, lines: Vec<&str>| {
        lines.into_iter().map(move |line| format!("{mark} {line}\n")).collect::<String>()
    };
    [marked(' ', head), marked('-', old), marked('+', new), marked(' ', tail)].concat()
}
