//! `demo`: a scratch repository, a small graph with a failure that a retry heals, played for real.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::app::App;
use crate::cli::args::{Common, DemoArgs};
use crate::cli::out::{self, outln};
use crate::cli::run::watch::{Console, Manner};
use crate::cli::run::{self, Work};
use crate::cli::{Outcome, inspect};
use crate::failure::Failure;
use crate::git::{BranchName, Git, Identity};
use crate::graph;
use crate::sim::scratch;
use crate::state::RunOptions;

/// The graph that is played.
const GRAPH: &str = include_str!("demo.yaml");

pub(crate) async fn demo(common: &Common, args: DemoArgs) -> Outcome {
    let dir = match args.dir {
        Some(dir) => std::path::absolute(dir)?,
        None => tempfile::Builder::new().prefix("taskloom-demo-").tempdir()?.keep(),
    };
    let repo = dir.join("shop");
    if repo.exists() {
        return Err(Failure::user(format!("{} exists already", repo.display()))
            .hint("name another directory, or none")
            .into());
    }
    make_repo(&repo).await?;
    let file = dir.join("demo.yaml");
    fs::write(&file, GRAPH)?;
    let mut config = crate::cli::config(common)?;
    if common.data_dir.is_none() {
        config.data_dir = dir.join("data");
    }
    let graph = graph::load(GRAPH.as_bytes()).map_err(|problems| {
        let report = graph::report("demo.yaml", GRAPH.as_bytes(), &problems);
        Failure::bug(format!("the demo's own graph is broken\n{report}"))
    })?;
    if !common.json {
        outln!("A scratch repository:   {}", repo.display());
        outln!("The graph:              {}", file.display());
        outln!("Six tasks in two lanes; one of them fails its gate at first.\n");
    }
    let console = Console::new(Manner {
        json: common.json,
        quiet: false,
        program: format!("taskloom --data-dir {}", config.data_dir.display()),
    });
    let app = App::open(config, "taskloom demo", vec![Arc::new(console.clone())]).await?;
    let project = app.project(&repo).await?;
    let options = RunOptions::default();
    let work = Work { project, graph, source: GRAPH.to_owned(), options };
    let (view, code) = run::begin(&app, &console, work, None).await?;
    if let (Some(view), false) = (view, common.json) {
        outln!();
        out::text(inspect::summary(&view));
        tour(&app, &repo, &view.info.name.to_string());
    }
    Ok(code)
}

/// A repository with a past, a branch of the user's checked out and work that is not committed:
/// none of it is touched.
async fn make_repo(repo: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(repo)?;
    let git = Git::find().await?;
    fs::write(repo.join("README.md"), "# Shop\n\nA scratch repository of `taskloom demo`.\n")?;
    fs::write(repo.join("prices.csv"), "apple,3\nbread,5\ncheese,12\n")?;
    let by = Identity::new("Demo", "demo@localhost")?;
    scratch(&git, repo, &BranchName::new("main")?, "A small shop", &by).await?;
    fs::write(repo.join("notes.txt"), "Not committed, and left alone.\n")?;
    Ok(())
}

fn tour(app: &App, repo: &Path, run: &str) {
    let (repo, data) = (repo.display(), app.layout().root().display());
    outln!("\nlook around:");
    outln!("  git -C {repo} log --graph --oneline main");
    outln!("  git -C {repo} status          # branch `desk` and notes.txt: untouched");
    outln!("  taskloom --data-dir {data} show {run}/prices-test");
    outln!("  taskloom --data-dir {data} logs {run}/prices-test");
    outln!("  taskloom --data-dir {data} graph {run}");
}
