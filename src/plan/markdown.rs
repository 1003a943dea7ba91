//! The parts of a plan that is written for people: headings, a numbered list, fenced blocks.
//!
//! No parser of Markdown: what matters are lines that begin in a certain way, and a reader that
//! takes every text.

/// A heading is a step only if it has at least so much text: less says nothing to an agent.
const TEXT_CHARS_MIN: usize = 20;

/// Headings that tell about the work instead of asking for some.
const TALK: &[&str] = &[
    "overview",
    "background",
    "summary",
    "executive summary",
    "introduction",
    "context",
    "motivation",
    "rationale",
    "problem",
    "problem statement",
    "current state",
    "goal",
    "goals",
    "non-goals",
    "objective",
    "objectives",
    "scope",
    "out of scope",
    "assumptions",
    "constraints",
    "requirements",
    "dependencies",
    "prerequisites",
    "risk",
    "risks",
    "mitigation",
    "mitigations",
    "alternatives",
    "alternatives considered",
    "trade-offs",
    "tradeoffs",
    "open questions",
    "questions",
    "notes",
    "note",
    "references",
    "related work",
    "success criteria",
    "acceptance criteria",
    "timeline",
    "estimates",
    "effort",
    "glossary",
    "appendix",
    "conclusion",
    "table of contents",
    "contents",
];

/// Headings that hold steps and are none.
const HOLDERS: &[&str] = &[
    "plan",
    "the plan",
    "steps",
    "tasks",
    "phases",
    "implementation",
    "implementation plan",
    "implementation steps",
    "plan of action",
    "action items",
    "todo",
    "to do",
];

/// Words before the number of a step.
const COUNTED: &[&str] = &["step", "phase", "part", "task", "stage", "milestone"];

/// One line, and whether it stands in a fenced block.
#[derive(Debug, Clone, Copy)]
struct Line<'p> {
    text: &'p str,
    fenced: bool,
}

/// A plan below its front matter.
#[derive(Debug)]
pub(super) struct Body<'p> {
    front: &'p str,
    /// Lines of the front matter.
    above: u32,
    lines: Vec<Line<'p>>,
}

/// A heading with the text below it, up to the next.
struct Section<'p> {
    level: usize,
    title: &'p str,
    lines: Vec<Line<'p>>,
}

impl<'p> Body<'p> {
    pub(super) fn of(text: &'p str) -> Self {
        let (front, body) = front_matter(text);
        let above = text[..text.len() - body.len()].matches('\n').count();
        let mut fence: Option<&str> = None;
        let mut lines = Vec::new();
        for text in body.lines() {
            let mark = fence_of(text);
            let fenced = fence.is_some() || mark.is_some();
            match (fence, mark) {
                (None, Some(mark)) => fence = Some(mark),
                (Some(open), Some(mark)) if mark.starts_with(open) && is_bare(text) => fence = None,
                _ => {}
            }
            lines.push(Line { text, fenced });
        }
        Self { front, above: u32::try_from(above).unwrap_or(u32::MAX), lines }
    }

    /// `auto_tasks: false`.
    pub(super) fn opts_out(&self) -> bool {
        self.front.lines().any(|line| {
            let Some((key, value)) = line.split_once(':') else { return false };
            let value = value.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
            key.trim() == "auto_tasks" && matches!(value.as_str(), "false" | "no" | "off")
        })
    }

    /// The first fenced block of YAML with `tasks:` at its margin, and how many lines of the plan
    /// stand above what it holds.
    pub(super) fn graph(&self) -> Option<(u32, String)> {
        let mut at = 0;
        while let Some(open) = self.lines[at..].iter().position(|line| line.fenced) {
            let first = at + open;
            let (mark, words) = fence_of(self.lines[first].text).map(|mark| {
                (mark, self.lines[first].text.trim_start().trim_start_matches(['`', '~']))
            })?;
            let rest = &self.lines[first + 1..];
            let closes = |line: &Line<'_>| {
                fence_of(line.text).is_some_and(|end| end.starts_with(mark)) && is_bare(line.text)
            };
            let end = rest.iter().position(closes).unwrap_or(rest.len());
            let inner = &rest[..end];
            let language = words.split_whitespace().next().unwrap_or_default();
            let yaml =
                language.eq_ignore_ascii_case("yaml") || language.eq_ignore_ascii_case("yml");
            if yaml && inner.iter().any(|line| line.text.trim_end().starts_with("tasks:")) {
                let source: String = inner.iter().flat_map(|line| [line.text, "\n"]).collect();
                let above = u32::try_from(first + 1).unwrap_or(u32::MAX);
                return Some((self.above.saturating_add(above), source));
            }
            at = (first + 1 + end + 1).min(self.lines.len());
        }
        None
    }

    /// The steps: title and text of each.
    pub(super) fn steps(&self) -> Vec<(String, String)> {
        let sections = self.sections();
        let asked: Vec<&Section<'_>> = asked(&sections);
        let with_text = asked.iter().filter(|section| {
            !HOLDERS.contains(&plain(section.title).as_str())
                && section.text().chars().count() >= TEXT_CHARS_MIN
        });
        let steps: Vec<_> =
            with_text.map(|section| (titled(section.title), section.text())).collect();
        if !steps.is_empty() {
            return steps;
        }
        let lines: Vec<Line<'_>> = match sections.iter().any(Section::is_talk) {
            true => asked.iter().flat_map(|section| section.lines.iter().copied()).collect(),
            false => self.lines.clone(),
        };
        let listed = numbered(&lines);
        if !listed.is_empty() {
            return listed;
        }
        self.whole().into_iter().collect()
    }

    /// All of it as one step.
    fn whole(&self) -> Option<(String, String)> {
        let text = joined(&self.lines);
        if text.chars().count() < TEXT_CHARS_MIN {
            return None;
        }
        let first = text.lines().map(|line| line.trim_start_matches('#').trim());
        let title = first.map(titled).find(|title| !title.is_empty())?;
        Some((title, text))
    }

    /// What stands above the first heading, as a section of level 1, and every heading of the
    /// first three levels.
    fn sections(&self) -> Vec<Section<'p>> {
        let mut sections = vec![Section { level: 1, title: "", lines: Vec::new() }];
        for line in &self.lines {
            match heading(line) {
                Some((level, title)) => sections.push(Section { level, title, lines: Vec::new() }),
                None => sections.last_mut().into_iter().for_each(|last| last.lines.push(*line)),
            }
        }
        sections
    }
}

impl Section<'_> {
    fn text(&self) -> String {
        joined(&self.lines)
    }

    fn is_talk(&self) -> bool {
        let title = plain(self.title);
        let of = |word: &str| title.starts_with(&format!("{word} of "));
        let talk = |part: &str| TALK.contains(&part.trim());
        !title.is_empty()
            && (title.replace(" and ", "&").split(['&', '/', ',']).all(talk)
                || of("summary")
                || of("overview"))
    }
}

/// Headings of the second and third level that ask for something, and do not stand below one that
/// only tells.
fn asked<'s, 'p>(sections: &'s [Section<'p>]) -> Vec<&'s Section<'p>> {
    let mut muted = None;
    let mut asked = Vec::new();
    for section in sections {
        if muted.is_some_and(|level| section.level > level) {
            continue;
        }
        muted = section.is_talk().then_some(section.level);
        if muted.is_none() && section.level > 1 {
            asked.push(section);
        }
    }
    asked
}

/// The items of the numbered lists at the margin, if there are two or more.
fn numbered(lines: &[Line<'_>]) -> Vec<(String, String)> {
    let mut items: Vec<(&str, Vec<Line<'_>>)> = Vec::new();
    for line in lines {
        if let Some(first) = item(line) {
            items.push((first, Vec::new()));
        } else if heading(line).is_none() {
            items.last_mut().into_iter().for_each(|(_, more)| more.push(*line));
        }
    }
    if items.len() < 2 {
        return Vec::new();
    }
    let step = |(first, more): (&str, Vec<Line<'_>>)| {
        let text = format!("{first}\n{}", joined(&more)).trim().to_owned();
        (titled(bold(first).unwrap_or(first)), text)
    };
    let named = |(title, _): &(String, String)| !title.is_empty();
    items.into_iter().map(step).filter(named).collect()
}

/// The bold words that an item begins with.
fn bold(text: &str) -> Option<&str> {
    let mark = ["**", "__"].into_iter().find(|mark| text.starts_with(mark))?;
    let (inner, _) = text[mark.len()..].split_once(mark)?;
    Some(inner.trim()).filter(|inner| !inner.is_empty())
}

/// The text of a line `3. text` or `3) text`.
fn item<'p>(line: &Line<'p>) -> Option<&'p str> {
    let text = line.text.trim_start_matches(' ');
    let indented = line.text.len() - text.len() > 3;
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = text.len() - rest.len();
    let rest = rest.strip_prefix(['.', ')'])?.strip_prefix([' ', '\t'])?.trim();
    (!line.fenced && !indented && (1..=3).contains(&digits) && !rest.is_empty()).then_some(rest)
}

/// The level and the title of a heading of the first three levels.
fn heading<'p>(line: &Line<'p>) -> Option<(usize, &'p str)> {
    let title = line.text.trim_start_matches('#');
    let level = line.text.len() - title.len();
    let fits = !line.fenced && (1..=3).contains(&level) && title.starts_with([' ', '\t']);
    fits.then(|| (level, title.trim().trim_end_matches('#').trim()))
}

fn joined(lines: &[Line<'_>]) -> String {
    let text: String = lines.iter().flat_map(|line| [line.text, "\n"]).collect();
    text.trim().to_owned()
}

/// The row of marks that opens or closes a fenced block.
fn fence_of(text: &str) -> Option<&str> {
    let start = text.trim_start_matches(' ');
    let mark = start.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let row = start.len() - start.trim_start_matches(mark).len();
    (text.len() - start.len() <= 3 && row >= 3).then(|| &start[..row])
}

/// Whether a line holds nothing but a fence's marks.
fn is_bare(text: &str) -> bool {
    text.trim().chars().all(|c| matches!(c, '`' | '~'))
}

/// The front matter and what comes after it.
fn front_matter(text: &str) -> (&str, &str) {
    let Some(rest) = text.strip_prefix("---\n") else { return ("", text) };
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if matches!(line.trim_end(), "---" | "...") {
            return (&rest[..at], &rest[at + line.len()..]);
        }
        at += line.len();
    }
    ("", text)
}

/// A title for comparing: without what counts it, in lower case.
fn plain(title: &str) -> String {
    let title = titled(title).to_lowercase();
    title.trim_end_matches([':', '.', '!', '?']).trim().to_owned()
}

/// A title without marks, numbers and words such as `Step 3:`, unless nothing else is there.
pub(super) fn titled(title: &str) -> String {
    let bare = title.trim_matches(['*', '_', '`', ' ', '\t', ':']);
    let mut rest = bare;
    for _ in 0..3 {
        let after = uncounted(rest);
        if after == rest {
            break;
        }
        rest = after;
    }
    let kept = if rest.is_empty() { bare } else { rest };
    kept.replace("**", "").replace("__", "").trim().to_owned()
}

/// Takes one prefix away: a box, a bold mark, `Step 3:`, `3.`, `(3)`.
fn uncounted(title: &str) -> &str {
    let start = title.trim_start_matches(['*', '_', ' ', '\t']);
    for mark in ["[ ]", "[x]", "[X]"] {
        if let Some(rest) = start.strip_prefix(mark) {
            return rest.trim_start();
        }
    }
    let word = start.split([' ', '\t']).next().unwrap_or_default();
    let counted = COUNTED.iter().any(|counted| word.eq_ignore_ascii_case(counted));
    let number = if counted { start[word.len()..].trim_start() } else { start };
    let open = number.trim_start_matches('(');
    let rest = open.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let digits = &open[..open.len() - rest.len()];
    if !digits.starts_with(|c: char| c.is_ascii_digit()) || digits.len() > 8 {
        return start;
    }
    let after = rest.trim_start_matches([' ', '\t']);
    let marks = [')', ':', '-', '–', '—', '.', '*', '_', ' ', '\t'];
    let unmarked = after.trim_start_matches(marks);
    // `3 apples` is no third step of anything; `Step 3 apples` is.
    let marked = counted || digits.contains('.') || unmarked.len() < after.len();
    if marked { unmarked } else { start }
}
