//! Single values that stand for themselves: texts, flags, numbers, durations, words.
//!
//! Types are strict, and a text that stands there unquoted is taken as it is written: `title: 010`
//! is the title `010`.

use std::str::FromStr;
use std::time::Duration;

use crate::graph::node::{Node, Shape};
use crate::graph::problem::{is_bidi_control, is_hidden, shown};
use crate::graph::spec::reader::Reader;

/// Bytes of a description, a command or the context: an agent reads all of it, every time.
pub const PROSE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a text on one line. Some are inherited by every task, so that their length counts
/// 10,000 times.
pub const LINE_BYTES_MAX: usize = 1_000;

/// A longer wait than this is a slip of the pen, and arithmetic on it might overflow.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

impl<'t> Reader<'t> {
    /// A text on one line, trimmed, not empty.
    pub(super) fn line(&mut self, node: Node<'t>) -> Option<&'t str> {
        let text = self.trimmed(node)?;
        if text.contains(['\n', '\r']) {
            self.report(node, "must fit on one line");
            return None;
        }
        self.printable(node, text, LINE_BYTES_MAX)
    }

    /// [`Reader::line`] for keeping.
    pub(super) fn string(&mut self, node: Node<'t>) -> Option<String> {
        self.line(node).map(str::to_owned)
    }

    /// A text of any number of lines, trimmed, not empty.
    pub(super) fn prose(&mut self, node: Node<'t>) -> Option<String> {
        let text = self.trimmed(node)?;
        self.printable(node, text, PROSE_BYTES_MAX).map(str::to_owned)
    }

    fn trimmed(&mut self, node: Node<'t>) -> Option<&'t str> {
        let Shape::Scalar { text, .. } = node.shape() else {
            self.wrong(node, "text");
            return None;
        };
        let text = text.trim();
        if text.is_empty() {
            self.report(node, "must not be blank");
            return None;
        }
        Some(text)
    }

    /// `text` if it is no longer than allowed and holds nothing that a person would not see.
    pub(super) fn printable(
        &mut self,
        node: Node<'t>,
        text: &'t str,
        bytes_max: usize,
    ) -> Option<&'t str> {
        if text.len() > bytes_max {
            let message = format!("has {} bytes; at most {bytes_max} are allowed", text.len());
            let long = bytes_max == PROSE_BYTES_MAX;
            let file = "put it into a file of the repository and name the file";
            self.report_hint(node, message, if long { file } else { "shorten it" });
            return None;
        }
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t')) {
            return Some(text);
        }
        let Some(c) = text.chars().find(|c| is_hidden(*c)) else {
            return Some(text);
        };
        let number = u32::from(c);
        self.report(
            node,
            if is_bidi_control(c) {
                format!("holds U+{number:04X}, an invisible character that reorders text")
            } else {
                format!("holds the control character U+{number:04X}")
            },
        );
        None
    }

    /// `true` or `false`, and the words that YAML 1.1 has for them.
    pub(super) fn flag(&mut self, node: Node<'t>) -> Option<bool> {
        self.flag_or(node, "`true` or `false`")
    }

    /// The same where more is possible, as `must` says.
    pub(super) fn flag_or(&mut self, node: Node<'t>, must: &str) -> Option<bool> {
        let flag = plain(node).and_then(|text| match text {
            "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
            "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
            _ => None,
        });
        if flag.is_none() {
            self.wrong_unquoted(node, must);
        }
        flag
    }

    /// A whole number of at least 1.
    pub(super) fn count<T: Whole>(&mut self, node: Node<'t>) -> Option<T> {
        let must = "a whole number of at least 1";
        let number: T = self.whole(node, must)?;
        if number < T::from(1) {
            self.wrong(node, must);
            return None;
        }
        Some(number)
    }

    /// A whole number, decimal, as everybody reads it: `010` is eight to some.
    pub(super) fn whole<T: Whole>(&mut self, node: Node<'t>, must: &str) -> Option<T> {
        let decimal = |text: &&str| {
            let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
            digits == "0" || !digits.starts_with('0')
        };
        let digits = plain(node).filter(decimal);
        let number = digits.and_then(|text| text.parse().ok());
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        match digits.filter(|text| number.is_none() && all_digits(text)) {
            Some(text) => self.report(node, format!("`{}` is too large", shown(text))),
            None if number.is_none() => self.wrong_unquoted(node, must),
            None => {}
        }
        number
    }

    /// A number for which `fits` holds.
    pub(super) fn number(
        &mut self,
        node: Node<'t>,
        must: &str,
        fits: impl Fn(f64) -> bool,
    ) -> Option<f64> {
        let number = plain(node).and_then(|text| text.parse().ok());
        let number = number.filter(|number: &f64| number.is_finite() && fits(*number));
        if number.is_none() {
            self.wrong_unquoted(node, must);
        }
        number
    }

    /// A span of time with its unit.
    pub(super) fn duration(&mut self, node: Node<'t>) -> Option<Duration> {
        let must = "a duration such as `30s`, `5m` or `2h`";
        let Shape::Scalar { text, .. } = node.shape() else {
            self.wrong(node, must);
            return None;
        };
        match humantime::parse_duration(text.trim()) {
            Ok(span) if span > DURATION_MAX => self.report(node, "must be at most one year"),
            Ok(span) if span.is_zero() => self.report(node, "must be longer than zero"),
            Ok(span) => return Some(span),
            Err(_) if text.trim().bytes().all(|byte| byte.is_ascii_digit()) => {
                let text = text.trim();
                let message = format!("`{text}` has no unit");
                self.report_hint(node, message, format!("write `{text}s` for seconds"));
            }
            Err(_) => self.wrong(node, must),
        }
        None
    }

    /// One of the words of an enumeration, in any case.
    pub(super) fn word<T: Copy>(
        &mut self,
        node: Node<'t>,
        all: &[T],
        word: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let text = match node.shape() {
            Shape::Scalar { text, .. } => text.trim(),
            Shape::Null | Shape::List(_) | Shape::Map(_) | Shape::Broken => "",
        };
        let found = all.iter().copied().find(|value| word(*value).eq_ignore_ascii_case(text));
        if found.is_none() && !matches!(node.shape(), Shape::Broken) {
            let words = all.iter().map(|value| word(*value));
            let hint = self.suggestion(text, words.clone());
            let must = alternatives(words);
            match hint {
                Some(hint) => {
                    let message = format!("must be {must}, not `{}`", shown(text));
                    self.report_hint(node, message, hint);
                }
                None => self.wrong(node, &must),
            }
        }
        found
    }
}

/// The whole numbers that are read.
pub(super) trait Whole: FromStr + PartialOrd + From<u8> {}
impl Whole for u32 {}
impl Whole for u64 {}
impl Whole for i32 {}

/// The text of a value without quotes.
fn plain(node: Node<'_>) -> Option<&str> {
    match node.shape() {
        Shape::Scalar { text, plain: true } => Some(text),
        Shape::Scalar { .. } | Shape::Null | Shape::List(_) | Shape::Map(_) | Shape::Broken => None,
    }
}

/// `` `a`, `b` or `c` ``.
fn alternatives(words: impl Iterator<Item = &'static str>) -> String {
    let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
