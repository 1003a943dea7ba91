//! Puts a tree together from the events of the parser.

use std::collections::{HashMap, HashSet};

use granit_parser::{ErrorKind, Event, ScalarStyle, ScanError, Span, Tag};

use crate::graph::node::source::{place, syntax};
use crate::graph::node::{Body, FILE_BYTES_MAX, NESTING_MAX, Shape, Tree, Value};
use crate::graph::problem::{Place, Problem, Problems, Step, path, shown};

/// A collection that is still open: its children so far are `open[first..]` of the builder.
struct Frame {
    first: usize,
    is_map: bool,
    place: Place,
    anchor: usize,
}

/// Puts a tree together from the parser's events.
pub(super) struct Builder<'s, 'p> {
    tree: Tree<'s>,
    frames: Vec<Frame>,
    open: Vec<u32>,
    /// Values by the number that the parser gave their anchors; complete values only.
    anchors: HashMap<usize, u32>,
    /// Weight of everything that aliases stand for.
    expanded: u32,
    /// Collections inside one that is nested too deeply; 0 outside.
    skipping: u32,
    too_deep: bool,
    too_large: bool,
    documents: u32,
    problems: &'p mut Problems,
}

/// The place in [`Tree::values`] of the value that stands for everything reported already.
const BROKEN: u32 = 0;

impl<'s, 'p> Builder<'s, 'p> {
    pub(super) fn new(problems: &'p mut Problems) -> Self {
        let broken = Value { place: Place { line: 1, column: 1 }, weight: 0, body: Body::Broken };
        Self {
            tree: Tree { values: vec![broken], links: Vec::new(), root: BROKEN },
            frames: Vec::new(),
            open: Vec::new(),
            anchors: HashMap::new(),
            expanded: 0,
            skipping: 0,
            too_deep: false,
            too_large: false,
            documents: 0,
            problems,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the parser may come to tell of more")]
    pub(super) fn take(&mut self, event: Event<'s>, span: &Span) {
        if self.documents > 1 {
            return;
        }
        if span.tag_start.is_some() && self.skipping == 0 {
            self.tagged(&event, span);
        }
        match event {
            Event::DocumentStart(..) => self.document(span),
            Event::Scalar(..) | Event::Alias(_) | Event::UnresolvedAlias(_)
                if self.skipping > 0 => {}
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let weight = text.len() as u32 + 1;
                let body = Body::Scalar { text, plain };
                self.add(Value { place: place(&span.start), weight, body }, anchor);
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::UnresolvedAlias(name) => {
                let message = format!("no value before this one is named `&{}`", shown(&name));
                let hint = "name a value as `&name`, or quote a text that begins with `*`";
                self.broken(span, message, hint);
            }
            Event::SequenceStart(_, anchor, _) => self.enter(false, anchor, span),
            Event::MappingStart(_, anchor, _) => self.enter(true, anchor, span),
            Event::SequenceEnd | Event::MappingEnd => self.leave(),
            _ => {}
        }
    }

    fn document(&mut self, span: &Span) {
        self.documents += 1;
        if self.documents > 1 {
            let place = Place { line: place(&span.start).line, column: 1 };
            let message = "a second document begins here; a file holds one graph";
            let hint = "delete the `---`, or put the second graph into its own file".to_owned();
            self.problems.push(Problem::new(place, String::new(), message).hint(hint));
        }
    }

    fn tagged(&mut self, event: &Event<'s>, span: &Span) {
        let tag = event.tag().map(Tag::original).unwrap_or_default();
        let message = format!("the tag `{}` has no meaning here", shown(&tag));
        let at = span.tag_start.as_ref().unwrap_or(&span.start);
        let hint = "delete it; quote a value to make it text".to_owned();
        self.problems.push(Problem::new(place(at), self.path(), message).hint(hint));
    }

    fn add(&mut self, value: Value<'s>, anchor: usize) {
        let at = self.tree.values.len() as u32;
        self.tree.values.push(value);
        if anchor > 0 {
            self.anchors.insert(anchor, at);
        }
        self.put(at);
    }

    fn put(&mut self, at: u32) {
        if self.frames.is_empty() {
            self.tree.root = at;
        } else {
            self.open.push(at);
        }
    }

    fn alias(&mut self, anchor: usize, span: &Span) {
        let value = self.anchors.get(&anchor).copied();
        let weight = value.map_or(0, |at| self.tree.values[at as usize].weight);
        let fits = self.expanded as usize + weight as usize <= FILE_BYTES_MAX;
        let message = match value {
            Some(at) if fits => {
                self.expanded += weight;
                return self.put(at);
            }
            Some(_) if self.too_large => return self.put(BROKEN),
            None => "this alias stands inside the value that it names".to_owned(),
            Some(_) => {
                self.too_large = true;
                format!("written out, the aliases up to here have more than {FILE_BYTES_MAX} bytes")
            }
        };
        self.broken(span, message, "write the value out instead of naming it");
    }

    fn broken(&mut self, span: &Span, message: String, hint: &str) {
        let problem = Problem::new(place(&span.start), self.path(), message);
        self.problems.push(problem.hint(hint.to_owned()));
        self.put(BROKEN);
    }

    fn enter(&mut self, is_map: bool, anchor: usize, span: &Span) {
        if self.skipping > 0 {
            self.skipping += 1;
        } else if self.frames.len() == NESTING_MAX {
            self.skipping = 1;
            self.too_deep = true;
            let message = format!("lists and mappings are nested more than {NESTING_MAX} deep");
            self.problems.push(Problem::new(place(&span.start), self.path(), message));
        } else {
            let first = self.open.len();
            self.frames.push(Frame { first, is_map, place: place(&span.start), anchor });
        }
    }

    fn leave(&mut self) {
        if self.skipping > 0 {
            self.skipping -= 1;
            if self.skipping == 0 {
                self.put(BROKEN);
            }
            return;
        }
        let frame = self.frames.last().expect("BUG: the parser closes only what it opened");
        let (start, is_map) = (frame.first, frame.is_map);
        let first = self.tree.links.len() as u32;
        if is_map {
            self.check_keys(start);
            self.link_entries(start);
        } else {
            self.tree.links.extend(&self.open[start..]);
        }
        self.open.truncate(start);
        let frame = self.frames.pop().expect("BUG: looked at above");
        let end = self.tree.links.len() as u32;
        let weigh = |at: &u32| self.tree.values[*at as usize].weight;
        let weight = 1 + self.tree.links[first as usize..].iter().map(weigh).sum::<u32>();
        let body = if frame.is_map { Body::Map { first, end } } else { Body::List { first, end } };
        self.add(Value { place: frame.place, weight, body }, frame.anchor);
    }

    /// Reports keys of the entries `open[first..]` that are not text or were given before.
    fn check_keys(&mut self, first: usize) {
        let mut keys: Vec<u32> = self.open[first..].iter().step_by(2).copied().collect();
        keys.sort_by_key(|at| (self.tree.text(*at), *at));
        let mut wrong: Vec<(u32, Option<u32>)> = Vec::new();
        for same in keys.chunk_by(|a, b| self.tree.text(*a) == self.tree.text(*b)) {
            if self.tree.text(same[0]).is_some() {
                wrong.extend(same[1..].iter().map(|key| (*key, Some(same[0]))));
            } else {
                wrong.extend(same.iter().filter(|key| **key != BROKEN).map(|key| (*key, None)));
            }
        }
        for (key, twin) in wrong {
            if self.problems.is_full() {
                return;
            }
            let text = self.tree.text(key);
            let path = path(self.steps().chain(text.map(Step::Key)));
            let message = match (text, twin) {
                (Some(text), Some(twin)) => {
                    let line = self.tree.values[twin as usize].place.line;
                    format!("`{}` is given in line {line} already", shown(text))
                }
                (None | Some(_), _) => "a key must be a plain word".to_owned(),
            };
            let place = self.tree.values[key as usize].place;
            self.problems.push(Problem::new(place, path, message));
        }
    }

    /// Links the entries `open[first..]`, with what `<<` merges into them.
    fn link_entries(&mut self, first: usize) {
        let start = self.tree.links.len();
        let mut merges = Vec::new();
        for [key, value] in self.open[first..].as_chunks::<2>().0 {
            match &self.tree.values[*key as usize].body {
                Body::Scalar { text, plain: true } if text == "<<" => merges.push((*key, *value)),
                Body::Scalar { .. } => self.tree.links.extend([key, value]),
                Body::List { .. } | Body::Map { .. } | Body::Broken => {}
            }
        }
        if !merges.is_empty() {
            self.merge(start, &merges);
        }
    }

    /// Appends the entries of merged mappings whose keys the entries from `start` on do not have:
    /// what stands in the mapping itself wins, then what is merged first.
    fn merge(&mut self, start: usize, merges: &[(u32, u32)]) {
        let mut sources = Vec::new();
        for (key, value) in merges {
            let wanted = match &self.tree.values[*value as usize].body {
                Body::List { first, end } => {
                    self.tree.links[*first as usize..*end as usize].to_vec()
                }
                Body::Map { .. } | Body::Scalar { .. } | Body::Broken => vec![*value],
            };
            for value in wanted {
                match &self.tree.values[value as usize].body {
                    Body::Map { first, end } => sources.push(*first as usize..*end as usize),
                    Body::Broken => {}
                    Body::Scalar { .. } | Body::List { .. } => {
                        let place = self.tree.values[*key as usize].place;
                        let message = "`<<` merges mappings, and this is none";
                        self.problems.push(Problem::new(place, self.path(), message));
                    }
                }
            }
        }
        let Tree { values, links, .. } = &mut self.tree;
        let text = |at: u32| match &values[at as usize].body {
            Body::Scalar { text, .. } => text.as_ref(),
            Body::List { .. } | Body::Map { .. } | Body::Broken => "",
        };
        let mut known: HashSet<&str> =
            links[start..].iter().step_by(2).map(|at| text(*at)).collect();
        for source in sources {
            for at in source.step_by(2) {
                if known.insert(text(links[at])) {
                    links.extend_from_within(at..at + 2);
                }
            }
        }
    }

    /// The way to the value that is being read.
    fn path(&self) -> String {
        path(self.steps())
    }

    fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        let ends = self.frames.iter().skip(1).map(|frame| frame.first);
        self.frames.iter().zip(ends.chain([self.open.len()])).filter_map(|(frame, end)| {
            let done = &self.open[frame.first..end];
            match done.last() {
                _ if !frame.is_map => Some(Step::Item(done.len())),
                Some(key) if done.len() % 2 == 1 => self.tree.text(*key).map(Step::Key),
                Some(_) | None => None,
            }
        })
    }

    pub(super) fn finish(self) -> Option<Tree<'s>> {
        let is_null = matches!(self.tree.root().shape(), Shape::Null);
        if self.documents == 0 || is_null {
            let place = Place { line: 1, column: 1 };
            let message = "the file is empty; a graph needs at least `name` and `tasks`";
            self.problems.push(Problem::new(place, String::new(), message));
            return None;
        }
        Some(self.tree)
    }

    /// The parser cannot go on.
    pub(super) fn stop(self, error: &ScanError, text: &str) {
        let deep = matches!(error.kind(), ErrorKind::RecursionLimitExceeded);
        if !(deep && self.too_deep) {
            self.problems.push(syntax(error, text));
        }
    }
}
