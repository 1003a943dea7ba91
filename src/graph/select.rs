//! Graphs by name: what files of a folder are called, which names are taken twice, what could not
//! be read. The walking of the folder is somebody else's.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::graph::problem::{Problem, did_you_mean};
use crate::graph::spec::name_of;
use crate::ids::GraphName;

/// Names that are listed to somebody who asked for one that is not there.
const NAMES_LISTED_MAX: usize = 20;

/// The graphs of a folder by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// By the name in lower case: names differ without regard to case.
    graphs: BTreeMap<String, (GraphName, Vec<PathBuf>)>,
    unreadable: Vec<Unreadable>,
}

/// A file without a name to call it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// Why, in a sentence.
    pub why: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

/// Why a name selects no graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// No file has it.
    #[error("there is no graph `{name}`{}", suggestion.as_ref().map(|it| format!("; {it}")).unwrap_or_default())]
    Unknown {
        /// What was asked for.
        name: String,
        /// The likeliest name, or those there are.
        suggestion: Option<String>,
    },
    /// Several files have it.
    #[error("the graph name `{name}` is used by several files: {}", list(paths))]
    Ambiguous {
        /// The name.
        name: GraphName,
        /// The files, in the order of their paths.
        paths: Vec<PathBuf>,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl Index {
    /// Reads the names of `files`: each with what it holds, or why that is not known. A file whose
    /// graph has problems is listed too, so that selecting it shows them.
    pub fn build(files: impl IntoIterator<Item = (PathBuf, Result<Vec<u8>, String>)>) -> Self {
        let mut index = Self::default();
        for (path, source) in files {
            match source.and_then(|source| name_of(&source).map_err(|it| sentence(&it))) {
                Ok(name) => {
                    let key = name.as_str().to_ascii_lowercase();
                    let (_, paths) = index.graphs.entry(key).or_insert((name, Vec::new()));
                    paths.push(path);
                    paths.sort();
                }
                Err(why) => index.unreadable.push(Unreadable { path, why }),
            }
        }
        index.unreadable.sort_by(|a, b| a.path.cmp(&b.path));
        index
    }

    /// The file of the graph called `name`.
    pub fn find(&self, name: &str) -> Result<&Path, SelectError> {
        match self.graphs.get(&name.to_ascii_lowercase()) {
            Some((_, paths)) if let [path] = &paths[..] => Ok(path),
            Some((name, paths)) => {
                Err(SelectError::Ambiguous { name: name.clone(), paths: paths.clone() })
            }
            None => {
                let suggestion = self.suggestion(name);
                Err(SelectError::Unknown { name: name.to_owned(), suggestion })
            }
        }
    }

    fn suggestion(&self, name: &str) -> Option<String> {
        let names = || self.graphs.values().map(|(name, _)| name.as_str());
        did_you_mean(name, names()).or_else(|| {
            let listed: Vec<String> =
                names().take(NAMES_LISTED_MAX).map(|name| format!("`{name}`")).collect();
            let more = if self.graphs.len() > listed.len() { ", …" } else { "" };
            (!listed.is_empty()).then(|| format!("there are {}{more}", listed.join(", ")))
        })
    }

    /// Graphs that can be selected, by name.
    pub fn graphs(&self) -> impl Iterator<Item = (&GraphName, &Path)> {
        self.graphs.values().filter_map(|(name, paths)| match &paths[..] {
            [path] => Some((name, path.as_path())),
            _ => None,
        })
    }

    /// Names that several files have.
    pub fn duplicates(&self) -> impl Iterator<Item = SelectError> {
        self.graphs.values().filter(|(_, paths)| paths.len() > 1).map(|(name, paths)| {
            SelectError::Ambiguous { name: name.clone(), paths: paths.clone() }
        })
    }

    /// Files without a name to call them by.
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }
}

/// The first problem with its place.
fn sentence(problems: &[Problem]) -> String {
    problems.first().map(ToString::to_string).unwrap_or_default()
}
