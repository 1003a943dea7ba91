//! Which walls a task works behind, and what has to be seen through them.

use std::path::{Path, PathBuf};

use crate::agents::process::{self, Environment};
use crate::graph::{Graph, LaneIx, SandboxKind, Task};
use crate::runner::project::Project;
use crate::runner::shop::Inner;
use crate::sandbox;

/// What a task is to work behind; the paths are filled in by [`around`].
pub(crate) fn asked_for(task: &Task, usual: SandboxKind) -> sandbox::Request {
    let isolation = &task.agent.isolation;
    let plain = self::usual(isolation.sandbox.unwrap_or(usual));
    sandbox::Request {
        network: isolation.network.unwrap_or(true),
        container: sandbox::Container {
            engine: isolation.runtime,
            image: isolation.image.clone(),
            ..plain.container
        },
        ..plain
    }
}

/// What is worked behind where nobody asks for more; the paths are filled in by [`around`].
pub(crate) fn usual(kind: SandboxKind) -> sandbox::Request {
    sandbox::Request {
        kind,
        worktree: PathBuf::new(),
        writes: Vec::new(),
        reads: Vec::new(),
        programs: Vec::new(),
        hidden: PathBuf::new(),
        network: true,
        container: sandbox::Container {
            engine: None,
            image: None,
            name: String::new(),
            user: process::owner(),
            commands: None,
        },
    }
}

/// What the checks of a lane run behind: they run what its tasks wrote, so behind the same as the
/// first of them that has walls.
pub(crate) fn of_lane(graph: &Graph, lane: LaneIx, usual: SandboxKind) -> Option<sandbox::Request> {
    let tasks = graph.lane_tasks(lane).iter().map(|task| asked_for(graph.task(*task), usual));
    { tasks }.find(|request| request.kind != SandboxKind::None)
}

/// The walls around what works in a worktree with an environment, under a name. Nothing can be
/// written but the worktree.
pub(crate) fn around(
    shop: &Inner,
    project: &Project,
    asked: sandbox::Request,
    (worktree, environment, name): (&Path, &Environment, String),
) -> sandbox::Request {
    sandbox::Request {
        worktree: worktree.to_owned(),
        reads: vec![project.bare.objects(), shop.options.helper.clone()],
        programs: places_of_programs(environment),
        hidden: shop.layout.root().to_owned(),
        container: sandbox::Container { name, ..asked.container },
        ..asked
    }
}

/// Where programs of the environment are, toolchains included.
fn places_of_programs(environment: &Environment) -> Vec<PathBuf> {
    let path = environment.get("PATH").unwrap_or_default();
    let toolchains = environment.get("RUSTUP_HOME").map(PathBuf::from);
    let named = std::env::split_paths(path).chain(toolchains);
    // The whole of the file system is no place for programs.
    let fits = |dir: &PathBuf| dir.is_absolute() && dir.parent().is_some() && dir.is_dir();
    named.filter(fits).collect()
}

/// What is wrong with the program that a wall needs.
pub async fn probe(program: &str, args: &[&str]) -> Option<String> {
    let Ok(path) = which::which(program) else {
        return Some(format!("the sandbox needs `{program}`, which is not on PATH; install it"));
    };
    match Environment::from_daemon(&[]).answer_of(&path, args).await {
        Some(_) => None,
        None => Some(format!(
            "the sandbox cannot be had here: `{program} {}` fails; run it to see why",
            args.join(" ")
        )),
    }
}

/// What an agent is told about its walls.
pub(crate) fn bounds(kind: SandboxKind) -> &'static str {
    match kind {
        SandboxKind::None => {
            "There is no sandbox: what you run can reach everything that this user can. Stay inside \
             your working directory."
        }
        SandboxKind::Bwrap | SandboxKind::Oci => {
            "You run in a sandbox: only your working directory and your attempt's directory can be \
             written. If something you need is outside, say so; do not try to get around it."
        }
    }
}
