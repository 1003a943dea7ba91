//! Words and numbers as people write them. Must not know what they are about.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr};

/// How long something took or will take, in its two greatest units: `4s`, `1m 32s`, `2h 05m`,
/// `3d 04h`; below a second in milliseconds. What is left over is dropped, not rounded, so that a
/// running clock never shows a minute that has not passed.
pub fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0 => format!("{}ms", span.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h {:02}m", minutes % 60),
        86_400.. => format!("{days}d {:02}h", hours % 24),
    }
}

/// A size in binary units: `512 B`, `1.4 KiB`, `10 MiB`; dropped, not rounded, to what is shown.
pub fn bytes(size: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if size < 1024 {
        return format!("{size} B");
    }
    let step = ((size.ilog2() / 10) as usize).min(UNITS.len());
    let unit = 1u64 << (10 * step);
    let (whole, tenth) = (size / unit, u128::from(size % unit) * 10 / u128::from(unit));
    let name = UNITS[step - 1];
    if whole < 10 { format!("{whole}.{tenth} {name}") } else { format!("{whole} {name}") }
}

/// A number with its thousands set apart: `12,345`.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut said = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            said.push(',');
        }
        said.push(digit);
    }
    said
}

/// A number of things: `1 task`, `3 tasks`, `2 branches`, `4 retries`.
pub fn count(value: u64, noun: &str) -> String {
    let value_said = number(value);
    if value == 1 {
        return format!("{value_said} {noun}");
    }
    let hisses = ["s", "x", "ch", "sh"].iter().any(|end| noun.ends_with(end));
    let stem = noun.strip_suffix('y').filter(|s| !s.ends_with(['a', 'e', 'i', 'o', 'u']));
    match stem {
        Some(stem) => format!("{value_said} {stem}ies"),
        None if hisses => format!("{value_said} {noun}es"),
        None => format!("{value_said} {noun}s"),
    }
}

/// Items in a sentence: `a`, `a and b`, `a, b and c`; of more than `most` (1 at least) the first
/// ones and how many are left: `a, b and 4 more`.
pub fn list<S: AsRef<str>>(items: &[S], most: usize) -> String {
    let shown = if items.len() > most { most.max(1) } else { items.len() };
    let mut parts: Vec<String> = items[..shown].iter().map(|i| i.as_ref().to_owned()).collect();
    if shown < items.len() {
        parts.push(format!("{} more", number((items.len() - shown) as u64)));
    }
    match parts.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// How many columns `text` takes in a terminal.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// `text` in at most `columns` columns; what does not fit gives way to `…` at the end.
pub fn ellipsis(text: &str, columns: usize) -> String {
    if fits(text, columns) {
        return text.to_owned();
    }
    let mut kept = head(text.chars(), columns.saturating_sub(1));
    kept.truncate(kept.trim_end().len());
    kept + if columns == 0 { "" } else { "…" }
}

/// As [`ellipsis`], but what gives way is the middle: for names, which often differ in their end.
pub fn ellipsis_middle(text: &str, columns: usize) -> String {
    if fits(text, columns) || columns < 3 {
        return ellipsis(text, columns);
    }
    let tail: String = head(text.chars().rev(), (columns - 1) / 2).chars().rev().collect();
    let start = head(text.chars(), columns - 1 - width(&tail));
    format!("{start}…{tail}")
}

/// `text` in at most `lines_max` lines of at most `columns` columns, broken between words where
/// that is possible; what does not fit gives way to `…`.
pub fn wrap(text: &str, columns: usize, lines_max: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() && lines.len() < lines_max {
        let line = if lines.len() + 1 == lines_max {
            std::mem::take(&mut rest)
        } else {
            let whole = fits(rest, columns);
            let cut = if whole { rest.len() } else { head(rest.chars(), columns).len() };
            let between =
                rest[..cut].rfind(' ').filter(|_| !whole && !rest[cut..].starts_with(' '));
            let (line, left) = rest.split_at(between.unwrap_or(cut));
            rest = left.trim_start();
            line.trim_end()
        };
        lines.push(ellipsis(line, columns));
    }
    lines
}

/// Characters that one column may hold. Marks that combine take no width, and a text of nothing
/// else would never be cut.
const CHARS_PER_COLUMN: usize = 4;

fn fits(text: &str, columns: usize) -> bool {
    width(text) <= columns && text.chars().count() <= columns * CHARS_PER_COLUMN
}

fn head(chars: impl Iterator<Item = char>, columns: usize) -> String {
    let mut left = columns;
    let fitting = chars.take(columns * CHARS_PER_COLUMN).take_while(|c| {
        let taken = c.width().unwrap_or(1);
        let fits = taken <= left;
        left = left.saturating_sub(taken);
        fits
    });
    fitting.collect()
}

/// `text` with everything in it that would act on a terminal or hide from a reader made visible;
/// line breaks and tabs stay.
pub fn visible(text: &str) -> String {
    let stays = |c: char| matches!(c, '\n' | '\t') || !is_hidden(c);
    let mut seen = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c| !stays(c)) {
        let (plain, hidden) = rest.split_at(at);
        seen.push_str(plain);
        let mut after = hidden.chars();
        seen.extend(after.next().map(mark));
        rest = after.as_str();
    }
    seen.push_str(rest);
    seen
}

/// `text` on one line: every run of white space is one space, and the rest is [`visible`].
pub fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    visible(&words.join(" "))
}

/// Controls, what turns the direction of writing round, what has no width and no use in a title,
/// and tag characters, which can carry a whole hidden text. Joiners stay: scripts and emoji need
/// them.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

fn mark(c: char) -> String {
    let picture = match c {
        '\0'..=' ' => char::from_u32(0x2400 + c as u32),
        '\u{7f}' => Some('␡'),
        _ => None,
    };
    picture.map_or_else(|| format!("‹U+{:04X}›", c as u32), String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_their_two_greatest_units() {
        let said = |ms| duration(Duration::from_millis(ms));
        let cases = [0, 350, 999, 1_000, 4_900, 59_999, 60_000, 92_000, 3_599_999, 7_500_000];
        let shown: Vec<_> = cases.into_iter().map(said).collect();
        assert_eq!(
            shown,
            ["0ms", "350ms", "999ms", "1s", "4s", "59s", "1m 00s", "1m 32s", "59m 59s", "2h 05m"]
        );
        assert_eq!(said(100 * 3_600_000), "4d 04h");
    }

    #[test]
    fn sizes_and_numbers_read_as_people_write_them() {
        let cases = [0, 1023, 1024, 1500, 10_240, 1_048_575, 10 << 20, u64::MAX];
        let shown: Vec<_> = cases.into_iter().map(bytes).collect();
        assert_eq!(
            shown,
            ["0 B", "1023 B", "1.0 KiB", "1.4 KiB", "10 KiB", "1023 KiB", "10 MiB", "15 EiB"]
        );
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(number(999), "999");
        assert_eq!(count(1, "task"), "1 task");
        assert_eq!(count(0, "task"), "0 tasks");
        assert_eq!(count(10_000, "branch"), "10,000 branches");
        assert_eq!(count(2, "retry"), "2 retries");
        assert_eq!(count(2, "day"), "2 days");
    }

    #[test]
    fn lists_read_as_sentences_and_say_what_they_leave_out() {
        let names = ["a", "b", "c", "d", "e", "f"];
        assert_eq!(list::<&str>(&[], 3), "");
        assert_eq!(list(&names[..1], 3), "a");
        assert_eq!(list(&names[..2], 3), "a and b");
        assert_eq!(list(&names[..3], 3), "a, b and c");
        assert_eq!(list(&names, 2), "a, b and 4 more");
        assert_eq!(list(&names, 0), "a and 5 more");
    }

    #[test]
    fn an_ellipsis_counts_columns_and_not_characters() {
        assert_eq!(ellipsis("short", 5), "short");
        assert_eq!(ellipsis("a longer text", 9), "a longer…");
        assert_eq!(ellipsis("日本語の題", 6), "日本…");
        assert_eq!(ellipsis("abc", 0), "");
        assert_eq!(ellipsis_middle("implement-payment-api", 13), "implem…nt-api");
        assert_eq!(ellipsis_middle("日本語の題", 6), "日…題");
        let marks = "a\u{301}".to_owned() + &"\u{301}".repeat(1000);
        assert!(ellipsis(&marks, 10).chars().count() <= 41);
    }

    #[test]
    fn a_wrapped_text_breaks_between_words_and_says_where_it_ends() {
        assert_eq!(wrap("one two three four", 9, 3), ["one two", "three", "four"]);
        assert_eq!(wrap("one two three four", 9, 2), ["one two", "three fo…"]);
        assert_eq!(wrap("exactly it", 10, 2), ["exactly it"]);
        assert_eq!(wrap("exactly nine", 7, 2), ["exactly", "nine"]);
        assert_eq!(wrap("unbreakable", 4, 2), ["unbr", "eak…"]);
        assert!(wrap("", 4, 2).is_empty());
        assert_eq!(wrap("日本語", 1, 2).len(), 2);
    }

    #[test]
    fn nothing_hides_in_a_text() {
        assert_eq!(visible("a\u{1b}[31m\nb\tc"), "a␛[31m\nb\tc");
        assert_eq!(one_line("  a\r\n\n b\u{2028}c\t"), "a b c");
        assert_eq!(one_line("x\u{202e}y\u{200b}z\u{7f}"), "x‹U+202E›y‹U+200B›z␡");
        assert_eq!(one_line("family 👩‍👩‍👧 ready"), "family 👩‍👩‍👧 ready");
    }
}
