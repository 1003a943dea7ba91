//! A configuration file as names and values, to tell what changed. Never to be read by: scalars
//! have lost how they were written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// A value of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) enum Tree {
    Nothing,
    Scalar(String),
    List(Vec<Tree>),
    Map(BTreeMap<String, Tree>),
}

impl Default for Tree {
    fn default() -> Self {
        Self::Map(BTreeMap::new())
    }
}

impl Tree {
    pub(super) fn get(&self, name: &str) -> Option<&Tree> {
        if let Self::Map(map) = self { map.get(name) } else { None }
    }

    /// A list of things with names is a map of them: their order says nothing.
    fn named(list: Vec<Tree>) -> Tree {
        let name = |item: &Tree| match item.get("id") {
            Some(Tree::Scalar(id)) => Some(id.clone()),
            Some(Tree::Nothing | Tree::List(_) | Tree::Map(_)) | None => None,
        };
        let names: BTreeSet<String> = list.iter().filter_map(name).collect();
        if list.is_empty() || names.len() < list.len() {
            return Tree::List(list);
        }
        Tree::Map(list.into_iter().filter_map(|item| Some((name(&item)?, item))).collect())
    }
}

/// The names of what is not the same; of what is there in one of them only, its own name alone.
pub(super) fn differences(old: &Tree, new: &Tree) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    compare(Some(old), Some(new), &mut Vec::new(), &mut found);
    found
}

fn compare(
    old: Option<&Tree>,
    new: Option<&Tree>,
    at: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) {
    if let (Some(Tree::Map(old)), Some(Tree::Map(new))) = (old, new) {
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            at.push(name.clone());
            compare(old.get(name), new.get(name), at, found);
            at.pop();
        }
    } else if old != new {
        found.push(at.clone());
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::named(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((name, value)) = entries.next_entry::<String, Tree>()? {
            // What is there and says nothing is as if it were not there.
            if value != Tree::Nothing {
                map.insert(name, value);
            }
        }
        Ok(Tree::Map(map))
    }
}
