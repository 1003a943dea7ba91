//! From bytes to a tree of YAML values that know their places.
//!
//! The parser below tells of every value where it stands and whether it was quoted; this file
//! adds the limits and refuses what a graph has no use for: tags, several documents, keys given
//! twice. It must not know the schema.
//!
//! Anchors and aliases are allowed, because files in use have them, as long as everything that
//! they stand for, written out, would still fit into one file: an alias shares the value it names,
//! so a tree never costs more memory than its file, and no reader of it ever visits more values
//! than two files could hold.

mod build;
mod source;

use std::borrow::Cow;

use granit_parser::Parser;

use crate::graph::node::build::Builder;
use crate::graph::problem::{Place, Problems};

/// Bytes of a graph file. 10,000 tasks of a hundred bytes each; far more than a person writes.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;

/// Collections inside collections. The schema needs 6; readers may recurse this deep.
pub const NESTING_MAX: usize = 32;

/// All values of a file. Collections are ranges of `links`: the values of a list; for a mapping,
/// keys and values in turn.
#[derive(Debug)]
pub(crate) struct Tree<'s> {
    values: Vec<Value<'s>>,
    links: Vec<u32>,
    root: u32,
}

#[derive(Debug)]
struct Value<'s> {
    place: Place,
    /// Bytes of text and number of values in it, written out.
    weight: u32,
    body: Body<'s>,
}

#[derive(Debug)]
enum Body<'s> {
    Scalar {
        text: Cow<'s, str>,
        plain: bool,
    },
    List {
        first: u32,
        end: u32,
    },
    Map {
        first: u32,
        end: u32,
    },
    /// Something that a problem was reported for; readers pass over it.
    Broken,
}

/// One value of a tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node<'t> {
    tree: &'t Tree<'t>,
    at: u32,
}

/// What a value is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape<'t> {
    /// Nothing, `~` or `null`.
    Null,
    /// A text; `plain` if it stands there without quotes.
    Scalar { text: &'t str, plain: bool },
    /// A list.
    List(&'t [u32]),
    /// A mapping: keys and values in turn.
    Map(&'t [u32]),
    /// Reported already.
    Broken,
}

impl<'t> Node<'t> {
    pub(crate) fn place(self) -> Place {
        self.value().place
    }

    pub(crate) fn shape(self) -> Shape<'t> {
        let links = |first: u32, end: u32| &self.tree.links[first as usize..end as usize];
        match &self.value().body {
            Body::Scalar { text, plain: true } if is_null(text) => Shape::Null,
            Body::Scalar { text, plain } => Shape::Scalar { text, plain: *plain },
            Body::List { first, end } => Shape::List(links(*first, *end)),
            Body::Map { first, end } => Shape::Map(links(*first, *end)),
            Body::Broken => Shape::Broken,
        }
    }

    /// The values of a list.
    pub(crate) fn items(self, links: &'t [u32]) -> impl Iterator<Item = Node<'t>> {
        links.iter().map(move |at| Node { tree: self.tree, at: *at })
    }

    /// Keys, which are texts, and values of a mapping.
    pub(crate) fn entries(
        self,
        links: &'t [u32],
    ) -> impl Iterator<Item = (&'t str, Node<'t>, Node<'t>)> {
        let node = |at: &u32| Node { tree: self.tree, at: *at };
        links.as_chunks::<2>().0.iter().map(move |[key, value]| {
            (self.tree.text(*key).unwrap_or_default(), node(key), node(value))
        })
    }

    fn value(self) -> &'t Value<'t> {
        &self.tree.values[self.at as usize]
    }
}

/// Words that readers of YAML 1.1 and 1.2 take for nothing when they are not quoted.
fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

impl<'s> Tree<'s> {
    /// Reads a file. `None` if it is no YAML or holds nothing at all; other problems leave a tree.
    pub(crate) fn parse(source: &'s [u8], problems: &mut Problems) -> Option<Self> {
        let text = match source::text(source) {
            Ok(text) => text,
            Err(problem) => {
                problems.push(problem);
                return None;
            }
        };
        let options =
            granit_parser::options! { emit_comments: false, emit_unresolved_aliases: true };
        let mut builder = Builder::new(problems);
        for event in Parser::new_from_str_with_options(text, options) {
            match event {
                Ok((event, span)) => builder.take(event, &span),
                Err(error) => {
                    builder.stop(&error, text);
                    return None;
                }
            }
        }
        builder.finish()
    }

    pub(crate) fn root(&self) -> Node<'_> {
        Node { tree: self, at: self.root }
    }

    fn text(&self, at: u32) -> Option<&str> {
        match &self.values[at as usize].body {
            Body::Scalar { text, .. } => Some(text),
            Body::List { .. } | Body::Map { .. } | Body::Broken => None,
        }
    }
}
