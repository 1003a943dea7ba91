//! The wall around a program: what it can reach, said before it starts, and the command line that
//! puts it there. A wall that cannot be had is an error and never silently left out.
//!
//! This file must not start anything, and must not know what the program is.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use crate::graph::SandboxKind as Kind;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The kind of wall.
    pub kind: Kind,
    /// The checkout, which the program may write.
    pub worktree: PathBuf,
    /// The attempt's directory, which the program may write.
    pub dir: PathBuf,
    /// Whether the program has a network.
    pub network: bool,
}

/// What was established, for people and for the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The kind of wall.
    pub kind: Kind,
    /// What the program can reach, one sentence each.
    pub reach: Vec<String>,
}

/// Why there is no wall.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// This version cannot build that kind: ask for another.
    #[error("the sandbox `{0}` is not available in this version; use `none` to go without")]
    Unavailable(&'static str),
    /// Without a wall the network cannot be taken away.
    #[error("the sandbox `none` cannot cut off the network; leave out `network: false`")]
    NetworkStaysOn,
}

/// What a program will be able to reach under `request`, or why that cannot be had. Ask before
/// anything starts.
pub fn receipt(request: &Request) -> Result<Receipt, Error> {
    match request.kind {
        Kind::None if !request.network => Err(Error::NetworkStaysOn),
        Kind::None => Ok(Receipt {
            kind: Kind::None,
            reach: vec![
                "every file of the user that Taskloom runs as".to_owned(),
                "the network".to_owned(),
            ],
        }),
        Kind::Bwrap => Err(Error::Unavailable("bwrap")),
        Kind::Oci => Err(Error::Unavailable("oci")),
    }
}

/// The command line that runs `program` inside the wall.
pub fn wrap(program: Vec<String>, request: &Request) -> Result<Vec<String>, Error> {
    receipt(request).map(|_| program)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: Kind, network: bool) -> Request {
        Request { kind, worktree: "/w".into(), dir: "/d".into(), network }
    }

    #[test]
    fn no_wall_passes_the_program_through_and_says_what_it_can_reach() {
        let open = request(Kind::None, true);
        let program = vec!["sh".to_owned(), "-c".to_owned(), "true".to_owned()];
        assert_eq!(wrap(program.clone(), &open), Ok(program));
        assert_eq!(receipt(&open).map(|r| r.reach.len()), Ok(2));
    }

    #[test]
    fn a_wall_that_cannot_be_had_is_refused_and_not_left_out() {
        for (kind, network) in [(Kind::Bwrap, true), (Kind::Oci, false), (Kind::None, false)] {
            assert!(receipt(&request(kind, network)).is_err());
            assert!(wrap(vec!["true".to_owned()], &request(kind, network)).is_err());
        }
    }
}
