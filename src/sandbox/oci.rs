//! Containers: Docker or Podman, with the same reach as the other walls.

use crate::sandbox::{Engine, Error, Request, Walled};

pub(super) fn program(engine: Option<Engine>) -> &'static str {
    match engine {
        Some(Engine::Docker) => "docker",
        Some(Engine::Podman) | None => "podman",
    }
}

/// A directory of commands, and then the program.
const BEFORE_OTHERS: [&str; 4] =
    ["sh", "-c", r#"PATH="$1:$PATH"; export PATH; shift; exec "$@""#, "sh"];

/// Variables go in by name: the engine takes their values from its own environment, and no value
/// is on a command line.
pub(super) fn wrap<'a>(
    program: Vec<String>,
    variables: impl Iterator<Item = &'a str>,
    request: &Request,
) -> Result<Walled, Error> {
    let engine = self::program(request.container.engine);
    let image = request.container.image.as_ref().ok_or(Error::NoImage)?;
    let name = &request.container.name;
    let network = if request.network { "bridge" } else { "none" };
    let mut words: Vec<String> = [
        engine,
        "run",
        "--rm",
        "--init",
        "--interactive",
        "--pull=never",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
    ]
    .map(str::to_owned)
    .to_vec();
    words.push(format!("--name={name}"));
    words.push(format!("--network={network}"));
    words.push(format!("--user={}", request.container.user));
    if matches!(request.container.engine, Some(Engine::Podman) | None) {
        // Who is inside is who is outside, so that files keep their owner.
        words.push("--userns=keep-id".to_owned());
    }
    for path in &request.reads {
        words.push(format!("--volume={0}:{0}:ro", path.display()));
    }
    for path in request.writes.iter().chain([&request.worktree]) {
        words.push(format!("--volume={0}:{0}", path.display()));
    }
    words.push(format!("--workdir={}", request.worktree.display()));
    // The programs of the image are found by its own PATH.
    let inner = variables.filter(|name| *name != "PATH");
    words.extend(inner.map(|name| format!("--env={name}")));
    words.push(image.clone());
    if let Some(commands) = &request.container.commands {
        words.extend(BEFORE_OTHERS.map(str::to_owned));
        words.push(commands.display().to_string());
    }
    words.extend(program);
    let afterwards = ["rm", "--force", name].map(str::to_owned);
    let afterwards = [engine.to_owned()].into_iter().chain(afterwards).collect();
    Ok(Walled { program: words, afterwards: Some(afterwards) })
}
