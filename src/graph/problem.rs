//! What is wrong with a graph file: where, one sentence, and what to do about it.
//!
//! Problems are collected, never thrown, so that one reading of the file reports all of them.
//! This file must not know the schema.

use std::fmt;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Problems that a report shows. More than a person reads at one sitting, little enough for a
/// terminal's memory and a chat's attachment.
pub const PROBLEMS_SHOWN_MAX: usize = 100;

/// Problems that are kept. A hostile file of 1 MiB can hold some 500,000; the first thousand say
/// the same.
pub(crate) const PROBLEMS_KEPT_MAX: usize = 1_000;

/// Characters of the file's own text inside a sentence.
const QUOTE_CHARS_MAX: usize = 40;

/// Columns of a source line under a problem. Lines of code and prose fit; of a longer one the part
/// around the mark is shown.
const SOURCE_COLUMNS_MAX: usize = 100;

/// Columns for line numbers, so that the margins of one report line up.
const LINE_NUMBER_COLUMNS: usize = 4;

/// Below this similarity (Jaro-Winkler) a suggestion is more often wrong than right:
/// `depends_on` is at 0.87 of `dependencies`, `timeout` at 0.54 of `budget`.
const LIKENESS_MIN: f64 = 0.8;

/// A line and a column of the file, both from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The way to the value, such as `tasks[3].dependencies[1]`; empty for the file itself.
    pub path: String,
    /// What is wrong, a sentence without a full stop.
    pub message: String,
    /// What to do, if that can be said.
    pub hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(place: Place, path: String, message: impl Into<String>) -> Self {
        let Place { line, column } = place;
        Self { line, column, path, message: message.into(), hint: None }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into();
        self
    }

    fn sentence(&self) -> String {
        if self.path.is_empty() {
            self.message.clone()
        } else {
            format!("{}: {}", self.path, self.message)
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.sentence())?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Problems in the order of discovery, at most [`PROBLEMS_KEPT_MAX`] and a word about the rest.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
}

impl Problems {
    pub(crate) fn push(&mut self, problem: Problem) {
        if self.found.len() < PROBLEMS_KEPT_MAX {
            self.found.push(problem);
        } else if self.found.len() == PROBLEMS_KEPT_MAX {
            let rest = format!("there are more problems than the {PROBLEMS_KEPT_MAX} listed");
            let place = Place { line: problem.line, column: problem.column };
            self.found.push(Problem::new(place, String::new(), rest));
        }
    }

    /// Whether another one would not be kept.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() > PROBLEMS_KEPT_MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// A suggestion costs a look at every name; only what will be shown is worth it.
    pub(crate) fn wants_suggestions(&self) -> bool {
        self.found.len() < PROBLEMS_SHOWN_MAX
    }

    /// All of them by place.
    pub(crate) fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|p| (p.line, p.column));
        self.found
    }
}

/// One step of the way to a value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step<'t> {
    Key(&'t str),
    Item(usize),
}

/// The way as people write it.
pub(crate) fn path<'t>(steps: impl IntoIterator<Item = Step<'t>>) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(key) if path.is_empty() => path.push_str(&shown(key)),
            Step::Key(key) => path.extend([".", &shown(key)]),
            Step::Item(at) => path.extend(["[", &at.to_string(), "]"]),
        }
    }
    path
}

/// Text of the file inside a sentence: short, on one line, nothing invisible.
pub(crate) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTE_CHARS_MAX).map(visible).collect();
    if text.chars().nth(QUOTE_CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}

fn visible(c: char) -> char {
    match c {
        '\n' => '⏎',
        _ if is_control(c) || is_bidi_control(c) => '�',
        _ => c,
    }
}

/// Control characters, line separators included.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// What a person does not see in a text of several lines.
pub(crate) fn is_hidden(c: char) -> bool {
    !matches!(c, '\n' | '\t') && (is_control(c) || is_bidi_control(c))
}

/// The characters with Unicode's property `Bidi_Control`: they reorder what is displayed.
pub(crate) fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The candidate that `word` was probably meant to be.
pub(crate) fn did_you_mean<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<String> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let word = plain(word);
    let likeness = |candidate: &str| strsim::jaro_winkler(&word, &plain(candidate));
    candidates
        .into_iter()
        .map(|candidate| (likeness(candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(a.1)))
        .map(|(_, candidate)| format!("did you mean `{}`?", shown(candidate)))
}

/// All problems as people read them in a terminal: place and sentence, the line of the file with
/// a mark under it, the hint. `file` is how the file is called, `source` what it holds.
pub fn report(file: &str, source: &[u8], problems: &[Problem]) -> String {
    let source = String::from_utf8_lossy(source);
    let lines = lines(&source).collect();
    let mut problems: Vec<&Problem> = problems.iter().collect();
    problems.sort_by_key(|p| (p.line, p.column));
    Report { file, lines, problems }.to_string()
}

struct Report<'a> {
    file: &'a str,
    lines: Vec<&'a str>,
    problems: Vec<&'a Problem>,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.problems.iter().take(PROBLEMS_SHOWN_MAX) {
            let Problem { line, column, .. } = problem;
            writeln!(f, "{}:{line}:{column}: {}", self.file, problem.sentence())?;
            let text = (*line as usize).checked_sub(1).and_then(|at| self.lines.get(at));
            if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
                excerpt(f, *line, *column as usize, text)?;
            }
            if let Some(hint) = &problem.hint {
                writeln!(f, "  hint: {hint}")?;
            }
        }
        match self.problems.len().saturating_sub(PROBLEMS_SHOWN_MAX) {
            0 => Ok(()),
            more => writeln!(f, "… and {more} more"),
        }
    }
}

/// Lines as YAML counts them: a lone carriage return breaks one too.
fn lines(source: &str) -> impl Iterator<Item = &str> {
    source.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// The part of a line around `column`, with a mark under it.
fn excerpt(f: &mut fmt::Formatter<'_>, line: u32, column: usize, text: &str) -> fmt::Result {
    let plain = |c| if c == '\t' { ' ' } else { visible(c) };
    let text: Vec<char> = text.trim_end().chars().map(plain).collect();
    let before = column.saturating_sub(1).min(text.len());
    let fits = text.iter().collect::<String>().width() <= SOURCE_COLUMNS_MAX;
    let skipped = if fits { 0 } else { before.saturating_sub(SOURCE_COLUMNS_MAX / 2) };
    let mut part = String::from(if skipped > 0 { "…" } else { "" });
    let lead: String = text[skipped..before].iter().collect();
    let mark = part.width() + lead.width();
    for c in &text[skipped..] {
        if !fits && part.width() + c.width().unwrap_or(0) >= SOURCE_COLUMNS_MAX {
            part.push('…');
            break;
        }
        part.push(*c);
    }
    let margin = line.to_string().len().max(LINE_NUMBER_COLUMNS);
    writeln!(f, "{line:>margin$} | {part}")?;
    writeln!(f, "{:margin$} | {:mark$}^", "", "")
}
