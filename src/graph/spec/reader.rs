//! A typed reader over the tree: every step asks for what the schema wants, reports what it finds
//! instead and goes on.
//!
//! Where a value does not fit, the reader returns `None` and has said why; callers carry on with
//! a default, because a graph is built only if nothing was reported. A key without a value
//! (`timeout:`, `timeout: null`) counts as left out.

use crate::graph::node::{Node, Shape};
use crate::graph::problem::{Problem, Problems, Step, did_you_mean, path, shown};

/// Up to this many keys are listed to somebody who wrote an unknown one; a task has too many.
const KEYS_LISTED_MAX: usize = 10;

/// Reads values and collects problems.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    steps: Vec<Step<'t>>,
    problems: Problems,
}

/// A mapping, asked for one key after the other.
pub(super) struct Fields<'r, 't> {
    pub(super) reader: &'r mut Reader<'t>,
    pub(super) node: Node<'t>,
    links: &'t [u32],
}

impl<'t> Reader<'t> {
    pub(super) fn new(problems: Problems) -> Self {
        Self { steps: Vec::new(), problems }
    }

    pub(super) fn problems(self) -> Problems {
        self.problems
    }

    pub(super) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Reports something about `node`, which stands where the reader is.
    pub(super) fn report(&mut self, node: Node<'t>, message: impl Into<String>) {
        self.report_with(node, message, None);
    }

    /// The same with what to do about it.
    pub(super) fn report_hint(
        &mut self,
        node: Node<'t>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.report_with(node, message, Some(hint.into()));
    }

    /// The same with what to do about it, if that is known.
    pub(super) fn report_with(
        &mut self,
        node: Node<'t>,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        if !self.problems.is_full() {
            let way = path(self.steps.iter().copied());
            self.problems.push(Problem::new(node.place(), way, message).hint(hint));
        }
    }

    /// Reports something about a value that was read before.
    pub(super) fn report_at(
        &mut self,
        steps: &[Step<'t>],
        node: Node<'t>,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let way = path(steps.iter().copied());
        self.problems.push(Problem::new(node.place(), way, message).hint(hint));
    }

    /// The nearest of `candidates` as a hint, if the report is still one that will be shown.
    pub(super) fn suggestion<'c>(
        &self,
        word: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) -> Option<String> {
        if self.problems.wants_suggestions() { did_you_mean(word, candidates) } else { None }
    }

    /// Does `work` one step further down.
    pub(super) fn within<T>(&mut self, step: Step<'t>, work: impl FnOnce(&mut Self) -> T) -> T {
        self.steps.push(step);
        let result = work(self);
        self.steps.pop();
        result
    }

    /// Reports that `node` is not what it `must` be.
    pub(super) fn wrong(&mut self, node: Node<'t>, must: &str) {
        let found = match node.shape() {
            Shape::Null => "nothing".to_owned(),
            Shape::Scalar { text, plain: true } => format!("`{}`", shown(text)),
            Shape::Scalar { text, plain: false } => format!("the text \"{}\"", shown(text)),
            Shape::List(_) => "a list".to_owned(),
            Shape::Map(_) => "a mapping".to_owned(),
            Shape::Broken => return,
        };
        let subject = if self.steps.is_empty() { "the file " } else { "" };
        self.report(node, format!("{subject}must be {must}, not {found}"));
    }

    /// The same where only the quotes may be too much.
    pub(super) fn wrong_unquoted(&mut self, node: Node<'t>, must: &str) {
        match node.shape() {
            Shape::Scalar { text, plain: false } => {
                let message = format!("must be {must}, not the text \"{}\"", shown(text));
                self.report_hint(node, message, "write it without quotes");
            }
            Shape::Scalar { .. } | Shape::Null | Shape::List(_) | Shape::Map(_) | Shape::Broken => {
                self.wrong(node, must);
            }
        }
    }

    /// A mapping with whatever keys.
    pub(super) fn mapping<'r>(&'r mut self, node: Node<'t>) -> Option<Fields<'r, 't>> {
        let Shape::Map(links) = node.shape() else {
            self.wrong(node, "a mapping of `key: value` lines");
            return None;
        };
        Some(Fields { reader: self, node, links })
    }

    /// A mapping with some of `keys`; others are reported.
    pub(super) fn fields<'r>(
        &'r mut self,
        node: Node<'t>,
        keys: &'static [&'static str],
    ) -> Option<Fields<'r, 't>> {
        let fields = self.mapping(node)?;
        for (text, key, _) in node.entries(fields.links) {
            if !keys.contains(&text) {
                fields.reader.unknown_key(text, key, keys);
            }
        }
        Some(fields)
    }

    /// The same for what is known to be a mapping.
    pub(super) fn checked<'r>(
        &'r mut self,
        node: Node<'t>,
        keys: &'static [&'static str],
    ) -> Fields<'r, 't> {
        self.fields(node, keys).expect("BUG: a roll holds nothing but mappings")
    }

    fn unknown_key(&mut self, text: &'t str, key: Node<'t>, keys: &[&'static str]) {
        let listed = || {
            let words = keys.iter().map(|key| format!("`{key}`"));
            format!("allowed here: {}", words.collect::<Vec<_>>().join(", "))
        };
        let few = keys.len() <= KEYS_LISTED_MAX;
        let hint = self.suggestion(text, keys.iter().copied()).or_else(|| few.then(listed));
        let message = format!("unknown key `{}`", shown(text));
        self.within(Step::Key(text), |reader| reader.report_with(key, message, hint));
    }

    /// Reads every item of a list with its place in it, leaving out those that do not fit.
    pub(super) fn items<T>(
        &mut self,
        node: Node<'t>,
        mut read: impl FnMut(&mut Self, usize, Node<'t>) -> Option<T>,
    ) -> Vec<T> {
        let Shape::List(links) = node.shape() else {
            self.wrong(node, "a list");
            return Vec::new();
        };
        let mut values = Vec::with_capacity(links.len());
        for (at, item) in node.items(links).enumerate() {
            values.extend(self.within(Step::Item(at), |reader| read(reader, at, item)));
        }
        values
    }
}

impl<'t> Fields<'_, 't> {
    /// The value of `key`, if it is there and not empty.
    pub(super) fn node(&self, key: &str) -> Option<Node<'t>> {
        let found = self.node.entries(self.links).find(|(text, ..)| *text == key);
        found.map(|(_, _, value)| value).filter(|value| !matches!(value.shape(), Shape::Null))
    }

    /// Reads the value of `key`; `None` if it is left out or wrong.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Reader<'t>, Node<'t>) -> Option<T>,
    ) -> Option<T> {
        let value = self.node(key)?;
        self.reader.within(Step::Key(key), |reader| read(reader, value))
    }

    /// Reads the value of `key`, which must be there.
    pub(super) fn need<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Reader<'t>, Node<'t>) -> Option<T>,
    ) -> Option<T> {
        if self.node(key).is_none() {
            let (node, message) = (self.node, format!("`{key}` is missing"));
            self.reader.within(Step::Key(key), |reader| reader.report(node, message));
        }
        self.get(key, read)
    }

    /// Reads the list at `key`; empty if it is left out.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Reader<'t>, Node<'t>) -> Option<T>,
    ) -> Vec<T> {
        self.items(key, |reader, _, node| read(reader, node))
    }

    /// [`Fields::list`] for items that remember their place.
    pub(super) fn items<T>(
        &mut self,
        key: &'static str,
        read: impl FnMut(&mut Reader<'t>, usize, Node<'t>) -> Option<T>,
    ) -> Vec<T> {
        self.get(key, |reader, node| Some(reader.items(node, read))).unwrap_or_default()
    }

    /// Reports something about the value of `key`, or about the whole mapping if it is left out.
    pub(super) fn report(&mut self, key: &'static str, message: &str, hint: &str) {
        let node = self.node(key).unwrap_or(self.node);
        self.reader.within(Step::Key(key), |reader| reader.report_hint(node, message, hint));
    }
}
