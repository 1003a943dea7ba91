//! The wall around a program: what it can reach, said before it starts, and the command line that
//! puts it there. A wall that cannot be had is an error and never silently left out.
//!
//! This file must not start anything, and must not know what the program is.

mod bwrap;
mod oci;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use crate::graph::OciRuntime as Engine;
pub use crate::graph::SandboxKind as Kind;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The kind of wall.
    pub kind: Kind,
    /// The checkout: where the program begins, and what it may write.
    pub worktree: PathBuf,
    /// What else it may write: the attempt's directory, its home.
    pub writes: Vec<PathBuf>,
    /// What it may read wherever it is: what its checkout borrows from, say.
    pub reads: Vec<PathBuf>,
    /// Where programs of this machine are that it may use, unless it brings a system of its own.
    pub programs: Vec<PathBuf>,
    /// What it sees nothing of but what is named above: the data directory.
    pub hidden: PathBuf,
    /// Whether the program has a network.
    pub network: bool,
    /// Containers only: which engine runs them, of which image, under which name.
    pub container: Container,
}

/// What a container is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// The engine; by default Podman, which needs no daemon with the rights of root.
    pub engine: Option<Engine>,
    /// The image.
    pub image: Option<String>,
    /// A name that no other container has.
    pub name: String,
    /// Who is inside: `UID:GID`.
    pub user: String,
    /// Commands that go before those of the image.
    pub commands: Option<PathBuf>,
}

/// What was established, for people and for the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The kind of wall.
    pub kind: Kind,
    /// What the program can reach, one sentence each.
    pub reach: Vec<String>,
}

/// A command line within a wall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walled {
    /// The program and its arguments.
    pub program: Vec<String>,
    /// What must run when it has ended, however it did: a container outlives who began it.
    pub afterwards: Option<Vec<String>>,
}

/// Why there is no wall.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Without a wall the network cannot be taken away.
    #[error("the sandbox `none` cannot cut off the network; leave out `network: false`")]
    NetworkStaysOn,
    /// A container is made of an image.
    #[error("the sandbox `oci` needs an `image` in `isolation`")]
    NoImage,
}

/// What a program will be able to reach under `request`, or why that cannot be had. Ask before
/// anything starts.
pub fn receipt(request: &Request) -> Result<Receipt, Error> {
    let network = if request.network { "the network" } else { "no network" };
    let walled = |system: String| {
        vec![
            system,
            "its worktree, its records and a home of its own, which it may write".to_owned(),
            network.to_owned(),
        ]
    };
    let reach = match request.kind {
        Kind::None if !request.network => return Err(Error::NetworkStaysOn),
        Kind::None => {
            vec!["every file of the user that Taskloom runs as".to_owned(), network.to_owned()]
        }
        Kind::Bwrap => walled("the system and its own program, read-only".to_owned()),
        Kind::Oci => {
            let image = request.container.image.as_deref().ok_or(Error::NoImage)?;
            walled(format!("a container of `{image}`"))
        }
    };
    Ok(Receipt { kind: request.kind, reach })
}

/// The command line that runs `program` inside the wall. `variables` are the names of those that
/// it gets; their values are nobody's business here.
pub fn wrap<'a>(
    program: Vec<String>,
    variables: impl Iterator<Item = &'a str>,
    request: &Request,
) -> Result<Walled, Error> {
    receipt(request)?;
    match request.kind {
        Kind::None => Ok(Walled { program, afterwards: None }),
        Kind::Bwrap => Ok(Walled { program: bwrap::wrap(program, request), afterwards: None }),
        Kind::Oci => oci::wrap(program, variables, request),
    }
}

/// The program that a kind of wall needs, and with which arguments it succeeds where the wall can
/// be had.
pub fn probe(kind: Kind, engine: Option<Engine>) -> Option<(&'static str, Vec<&'static str>)> {
    match kind {
        Kind::None => None,
        Kind::Bwrap => Some((bwrap::PROGRAM, bwrap::PROBE.to_vec())),
        Kind::Oci => Some((oci::program(engine), vec!["version"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn request(kind: Kind, network: bool) -> Request {
        Request {
            kind,
            worktree: "/data/w".into(),
            writes: vec!["/data/d".into(), "/data/home".into()],
            reads: vec!["/data/repo/objects".into()],
            programs: vec!["/opt/agent".into()],
            hidden: "/data".into(),
            network,
            container: Container {
                engine: None,
                image: Some("rust:1".to_owned()),
                name: "taskloom-1".to_owned(),
                user: "1000:1000".to_owned(),
                commands: Some("/data/d/bin".into()),
            },
        }
    }

    fn wrapped(request: &Request) -> Result<Walled, Error> {
        let program = ["sh", "-c", "true"].map(str::to_owned).to_vec();
        wrap(program, ["HOME", "KEY"].into_iter(), request)
    }

    #[test]
    fn no_wall_passes_the_program_through_and_says_what_it_can_reach() {
        let open = request(Kind::None, true);
        assert_eq!(wrapped(&open).unwrap().program, ["sh", "-c", "true"]);
        assert_eq!(receipt(&open).map(|r| r.reach.len()), Ok(2));
    }

    #[test]
    fn a_wall_that_cannot_be_had_is_refused_and_not_left_out() {
        assert_eq!(wrapped(&request(Kind::None, false)), Err(Error::NetworkStaysOn));
        let mut imageless = request(Kind::Oci, true);
        imageless.container.image = None;
        assert_eq!(wrapped(&imageless), Err(Error::NoImage));
    }

    #[test]
    fn what_the_walls_are_made_of() {
        let mut docker = request(Kind::Oci, true);
        docker.container.engine = Some(Engine::Docker);
        let all = [request(Kind::Bwrap, false), request(Kind::Oci, false), docker];
        let told = all.map(|request| {
            let Walled { program, afterwards } = wrapped(&request).unwrap();
            let reach = receipt(&request).unwrap().reach.join("\n");
            let afterwards = afterwards.map(|words| words.join(" ")).unwrap_or_default();
            format!("{}\nafterwards: {afterwards}\nreach: {reach}\n", program.join(" "))
        });
        let told = told.join("\n").replace(" --", "\n  --");
        // Which of these there are depends on the machine.
        let secret = |line: &&str| !line.contains("/dev/null /etc/");
        insta::assert_snapshot!(told.lines().filter(secret).collect::<Vec<_>>().join("\n"));
    }
}
