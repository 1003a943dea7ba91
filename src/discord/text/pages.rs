//! Output that grows, as messages: each one code block, filled on line boundaries.

/// What a message's content may hold is 2,000 characters (Discord's API reference, "Message
/// Object"); which characters it counts is not said, so the longer way, UTF-16, is counted here,
/// and a little room is left.
pub const CONTENT_UNITS_MAX: usize = 1_900;

const OPEN: &str = "```\n";
const CLOSE: &str = "\n```";

/// The length of a text as Discord may count it.
pub fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// `text`, cut to `units_max` with a sign that it was.
pub fn fit(text: &str, units_max: usize) -> String {
    if units(text) <= units_max {
        return text.to_owned();
    }
    let mut left = units_max.saturating_sub(1);
    let kept = text.chars().take_while(|c| {
        let fits = c.len_utf16() <= left;
        left = left.saturating_sub(c.len_utf16());
        fits
    });
    let mut kept: String = kept.collect();
    kept.push('…');
    kept
}

/// The message that grows, and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pages {
    body: String,
}

impl Pages {
    /// Adds lines, already made harmless. Returns the pages that are full now; what is left is
    /// [`Pages::current`].
    pub fn add(&mut self, text: &str) -> Vec<String> {
        let room = CONTENT_UNITS_MAX - units(OPEN) - units(CLOSE);
        let mut full = Vec::new();
        for line in text.split_inclusive('\n') {
            for piece in pieces(line, room) {
                if units(&self.body) + units(piece.trim_end_matches('\n')) > room {
                    full.push(dressed(&self.body));
                    self.body.clear();
                }
                self.body.push_str(piece);
            }
        }
        full
    }

    /// The last page; `None` while there is nothing on it.
    pub fn current(&self) -> Option<String> {
        (!self.body.trim().is_empty()).then(|| dressed(&self.body))
    }

    /// How many pages `text` would fill alone, about.
    pub fn needed(text: &str) -> usize {
        units(text).div_ceil(CONTENT_UNITS_MAX - units(OPEN) - units(CLOSE))
    }
}

fn dressed(body: &str) -> String {
    format!("{OPEN}{}{CLOSE}", body.trim_end_matches('\n'))
}

/// A line in pieces that fit into a page.
fn pieces(line: &str, room: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut used) = (0, 0);
    for (at, c) in line.char_indices() {
        if used + c.len_utf16() > room && c != '\n' {
            pieces.push(&line[start..at]);
            (start, used) = (at, 0);
        }
        used += c.len_utf16();
    }
    pieces.push(&line[start..]);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn inside(page: &str) -> &str {
        page.strip_prefix(OPEN).and_then(|p| p.strip_suffix(CLOSE)).unwrap()
    }

    #[test]
    fn pages_end_at_line_ends() {
        let mut pages = Pages::default();
        let line = format!("{}\n", "x".repeat(99));
        let full = pages.add(&line.repeat(20));
        assert_eq!(full.len(), 1);
        assert_eq!(inside(&full[0]).lines().count(), 18);
        assert_eq!(inside(&pages.current().unwrap()).lines().count(), 2);
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(fit("hello", 5), "hello");
        assert_eq!(fit("hello!", 5), "hell…");
        assert_eq!(fit("😀😀😀", 5), "😀😀…");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn nothing_is_lost_and_everything_fits(parts in prop::collection::vec("([a-z😀 ]{0,400}\n){0,9}[a-z]{0,3000}\n", 0..6)) {
            let mut pages = Pages::default();
            let mut shown: Vec<String> = parts.iter().flat_map(|part| pages.add(part)).collect();
            shown.extend(pages.current());
            let joined: String = shown.iter().map(|page| inside(page)).collect();
            let bare = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(bare(&joined), bare(&parts.concat()));
            prop_assert!(shown.iter().all(|page| units(page) <= CONTENT_UNITS_MAX));
        }
    }
}
