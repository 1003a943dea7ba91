//! The file as text, and what the parser says about it in words that do not presuppose knowing
//! YAML's grammar.

use granit_parser::{ErrorKind, Marker, ScanError};

use crate::graph::node::{FILE_BYTES_MAX, NESTING_MAX};
use crate::graph::problem::{Place, Problem, shown};

/// The file as text, without a byte order mark.
pub(super) fn text(source: &[u8]) -> Result<&str, Problem> {
    let start = Place { line: 1, column: 1 };
    if source.len() > FILE_BYTES_MAX {
        let message = format!("the file has more than {FILE_BYTES_MAX} bytes");
        return Err(Problem::new(start, String::new(), message)
            .hint("split it into several graphs".to_owned()));
    }
    let text = std::str::from_utf8(source).map_err(|error| {
        let valid = String::from_utf8_lossy(&source[..error.valid_up_to()]);
        Problem::new(place_after(&valid), String::new(), "the file is not UTF-8 from here on")
            .hint("save it as UTF-8".to_owned())
    })?;
    if let Some((at, c)) = stray_control(text) {
        let message = format!("the control character U+{:04X} stands in the file", u32::from(c));
        return Err(Problem::new(place_after(&text[..at]), String::new(), message)
            .hint("delete it".to_owned()));
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The first control character that YAML forbids, with its offset.
fn stray_control(text: &str) -> Option<(usize, char)> {
    let fine = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\u{85}');
    // Nearly every file passes here, at the speed of a copy: `|` where `||` would be a branch.
    let suspect = |byte: u8| (byte < b' ') & (byte != b'\n') | (byte == 0x7f) | (byte == 0xc2);
    if !text.bytes().fold(false, |found, byte| found | suspect(byte)) {
        return None;
    }
    text.char_indices().find(|(_, c)| !fine(*c))
}

fn place_after(text: &str) -> Place {
    let line = text.matches('\n').count() as u32 + 1;
    let last = text.rsplit('\n').next().unwrap_or_default();
    Place { line, column: last.chars().count() as u32 + 1 }
}

pub(super) fn place(marker: &Marker) -> Place {
    Place { line: marker.line() as u32, column: marker.col() as u32 + 1 }
}

/// What the parser stumbled over.
pub(super) fn syntax(error: &ScanError, text: &str) -> Problem {
    let at = place(error.marker());
    let problem = |at, message: &str, hint: &str| {
        Problem::new(at, String::new(), message).hint(hint.to_owned())
    };
    if let ErrorKind::RecursionLimitExceeded = error.kind() {
        let message = format!("lists and mappings are nested more than {NESTING_MAX} deep");
        return Problem::new(at, String::new(), message);
    }
    if let ErrorKind::UnexpectedCharacter { character } = error.kind() {
        let message = format!("nothing can begin with `{}` here", shown(&character.to_string()));
        return problem(at, &message, "quote a text that begins with a special character");
    }
    match common(error.kind()) {
        Some((message, hint)) if message == TAB => problem(tab_after(at, text), message, hint),
        Some((message, hint)) => problem(at, message, hint),
        None => Problem::new(at, String::new(), format!("this is not YAML: {}", error.kind())),
    }
}

const TAB: &str = "a tab stands where YAML allows only spaces";

/// Sentence and hint for the mistakes that people make; the parser has its own for the others.
#[expect(clippy::wildcard_enum_match_arm, reason = "the parser knows eighty errors")]
fn common(kind: &ErrorKind) -> Option<(&'static str, &'static str)> {
    use ErrorKind as K;
    Some(match kind {
        K::TabNotAllowed
        | K::TabInBlockIndentation
        | K::TabInIndentation
        | K::TabInPlainScalar
        | K::TabAtBlockScalarStart => (TAB, "indent with spaces"),
        K::UnclosedFlowCollection { open: '[' } => ("this `[` is never closed", "add a `]`"),
        K::UnclosedFlowCollection { .. } => ("this `{` is never closed", "add a `}`"),
        K::UnclosedQuotedScalar | K::InvalidQuotedScalarIndent => (
            "a quoted text before this place is never closed, or goes on without indentation",
            "add the closing quote",
        ),
        K::MappingValueNotAllowed => {
            ("a `: ` stands inside a text", "quote a text that holds `: `, or begin a new line")
        }
        K::SimpleKeyExpected => ("a `:` is missing after this key", "write `key: value`"),
        K::ExpectedBlockMappingKey | K::InvalidIndentation | K::ExpectedBlockSequenceEntry => {
            ("the indentation fits nothing above", "line it up with the entry it belongs to")
        }
        K::UnknownQuotedScalarEscape => (
            "a text in double quotes holds an unknown escape",
            "write `\\\\` for a backslash, or use single quotes",
        ),
        _ => return None,
    })
}

/// The first tab in an indentation from `place` on; the parser may stop some lines before it.
fn tab_after(place: Place, text: &str) -> Place {
    let lines = text.lines().zip(1..).skip(place.line as usize - 1);
    lines
        .filter_map(|(line, number)| {
            let indentation = line.chars().take_while(|c| c.is_whitespace());
            let column =
                indentation.zip(1..).find(|(c, _)| *c == '\t').map(|(_, column)| column)?;
            Some(Place { line: number, column })
        })
        .next()
        .unwrap_or(place)
}
