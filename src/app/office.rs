//! What the bot needs done that is no business of a front end.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use crate::app::{App, doctor, failure_of, found, issues};
use crate::config::Source;
use crate::control::usage;
use crate::discord::office::{Finding, Office, Order};
use crate::failure::Failure;
use crate::graph::{self, Graph, Index};
use crate::hooks;
use crate::hooks::rules::HookRun;
use crate::ids::{CommitId, HookName, ProfileName, ProjectId, RunId, TaskId};
use crate::orchestrator::{Handle, Resubmission, Submission, Submitted};
use crate::runner::{RunInfo, are_deleted, transcript};
use crate::sim;
use crate::state::ProjectRecord;

/// The longest diff that is shown, in bytes: what Discord takes as a file, with room.
const DIFF_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Where a repository keeps its graphs unless something else is set for it.
const GRAPHS: &str = "graphs";

/// How deep graphs are looked for.
const GRAPHS_DEPTH_MAX: usize = 4;

/// Does it with the doors of the program.
pub(crate) struct Clerk {
    pub(crate) app: Arc<App>,
    pub(crate) handle: Handle,
    /// `None`: this process has no hooks.
    pub(crate) hooks: Option<hooks::Handle>,
}

impl Clerk {
    fn hooked(&self) -> Result<&hooks::Handle, Failure> {
        let none = || Failure::user("hooks are run by `taskloom serve` only");
        self.hooks.as_ref().ok_or_else(none)
    }

    pub(crate) async fn record(&self, id: &ProjectId) -> Result<ProjectRecord, Failure> {
        self.app.project_named(id).await
    }

    async fn submission(&self, order: Order) -> Result<Submission, Failure> {
        let Order { project, source, options, submitter } = order;
        let graph = graph::load(source.as_bytes()).map_err(|problems| {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            Failure::user(format!("the graph is wrong: {first}"))
        })?;
        let project = self.record(&project).await?;
        self.app.preflight(&graph, &project).await?;
        Ok(Submission { project, graph, source, options, submitter })
    }

    /// Where the graphs of a project lie, and what their directory is called.
    async fn graphs_dir(&self, project: &ProjectId) -> Option<PathBuf> {
        let record = self.projects().await.into_iter().find(|known| known.id == *project)?;
        let graphs = record.settings.graphs.as_deref().unwrap_or(GRAPHS);
        Some(Path::new(&record.repo).join(graphs))
    }

    async fn index(&self, project: &ProjectId) -> Index {
        let mut files = Vec::new();
        if let Some(dir) = self.graphs_dir(project).await {
            walk(&dir, GRAPHS_DEPTH_MAX, &mut files);
        }
        Index::build(files.into_iter().map(|path| {
            let content = std::fs::read(&path).map_err(|why| why.to_string());
            (path, content)
        }))
    }
}

/// The YAML files below a directory; links are not followed.
fn walk(dir: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        let yaml = path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml");
        if kind.is_dir() && depth > 0 {
            walk(&path, depth - 1, files);
        } else if kind.is_file() && yaml {
            files.push(path);
        }
    }
}

#[async_trait]
impl Office for Clerk {
    async fn projects(&self) -> Vec<ProjectRecord> {
        // Those of the configuration stand there too since the engine began.
        self.app.store().projects().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the projects cannot be read");
            Vec::new()
        })
    }

    async fn found(&self, id: &ProjectId, from: &str) -> Result<ProjectRecord, Failure> {
        let remote = from.contains("://") || from.contains('@');
        let source = match remote {
            true => Source::remote(from)?,
            false => Source::Link(PathBuf::from(from)),
        };
        let record = found(&self.app.config(), id, &source, None).await;
        record.map_err(failure_of)
    }

    async fn preflight(&self, graph: &Graph, project: &ProjectId) -> Result<(), Failure> {
        let record = self.record(project).await?;
        self.app.preflight(graph, &record).await
    }

    async fn submit(&self, order: Order) -> Result<Submitted, Failure> {
        let submission = self.submission(order).await?;
        let submitted = self.handle.submit(submission).await;
        submitted.map_err(|closed| Failure::outside(closed.to_string()))
    }

    async fn resubmit(
        &self,
        of: RunId,
        order: Order,
        dry_run: bool,
    ) -> Result<(Option<Submitted>, Resubmission), Failure> {
        let submission = self.submission(order).await?;
        let answer = self.handle.resubmit(of, submission, dry_run).await;
        answer.map_err(|closed| Failure::outside(closed.to_string()))?
    }

    async fn graphs(&self, project: &ProjectId) -> Vec<String> {
        self.index(project).await.graphs().map(|(name, _)| name.to_string()).collect()
    }

    async fn graph(&self, project: &ProjectId, name: &str) -> Result<String, Failure> {
        let index = self.index(project).await;
        let path = index.find(name).map_err(|error| Failure::user(error.to_string()))?;
        let read = std::fs::read_to_string(path);
        read.map_err(|why| Failure::outside(format!("the graph `{name}` cannot be read: {why}")))
    }

    async fn issue(&self, project: &ProjectId, number: u64) -> Result<String, Failure> {
        Ok(issues::source_of(&issues::fetch(&self.app, project, number).await?))
    }

    async fn rehearse(&self, source: &str) -> Result<String, Failure> {
        let graph = graph::load(source.as_bytes()).map_err(|problems| {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            Failure::user(format!("the graph is wrong: {first}"))
        })?;
        let played = sim::rehearse(graph, source, self.app.config().slots).await;
        played.map(|rehearsal| rehearsal.to_string()).map_err(Failure::bug)
    }

    async fn diff(
        &self,
        info: &RunInfo,
        base: &CommitId,
        commit: &CommitId,
    ) -> Result<String, Failure> {
        let diff = self.app.shop.diff(&info.project, base, commit, DIFF_BYTES_MAX).await?;
        let cut = if diff.cut { "\n… the rest is cut off\n" } else { "" };
        Ok(diff.text + cut)
    }

    async fn log(
        &self,
        info: &RunInfo,
        task: &TaskId,
        attempt: u32,
        most: usize,
    ) -> Result<Vec<u8>, Failure> {
        let layout = &self.app.layout;
        let dir = layout.attempt(&info.project.id, &info.name, task, attempt);
        let records = layout.records(&info.project.id, &info.name, task, attempt);
        let read = move || transcript([&dir, &records], most);
        let read = tokio::task::spawn_blocking(read).await;
        let read = read.map_err(|_| Failure::bug("reading a log went wrong"))?;
        let log = read.map_err(|why| Failure::outside(format!("the log cannot be read: {why}")))?;
        if log.is_empty() && are_deleted(&layout.run(&info.project.id, &info.name)) {
            return Err(Failure::user(format!("the logs of {} are deleted", info.name))
                .hint("they were older than `retention.transcripts` of the configuration"));
        }
        Ok(log)
    }

    async fn receipt(&self, info: &RunInfo, task: &TaskId, attempt: u32) -> String {
        let dir = self.app.layout.attempt(&info.project.id, &info.name, task, attempt);
        let spec = info.graph.lookup_task(task).map(|ix| info.graph.task(ix));
        let agent = spec.map(|spec| {
            let profile = spec.agent.profile.as_ref().map(ToString::to_string);
            let framework = spec.agent.framework.map(|framework| framework.word().to_owned());
            profile.or(framework).unwrap_or_else(|| "the default agent".to_owned())
        });
        format!("{} · logs in `{}`", agent.unwrap_or_default(), dir.display())
    }

    fn agents(&self) -> Vec<(ProfileName, String)> {
        let config = self.app.config();
        let default = config.default_agent.as_ref();
        let told = config.agents.iter().map(|(name, profile)| {
            let default = if default == Some(name) { ", the default" } else { "" };
            let model =
                profile.configured.model.as_ref().map(|m| format!(", {m}")).unwrap_or_default();
            (name.clone(), format!("{}{model}{default}", profile.framework.word()))
        });
        told.collect()
    }

    async fn hooks(&self) -> Result<Vec<hooks::Told>, Failure> {
        self.hooked()?.list().await
    }

    async fn hook_text(&self, name: &HookName) -> Result<String, Failure> {
        self.hooked()?.text(name.clone()).await
    }

    async fn hook_runs(
        &self,
        hook: Option<&HookName>,
        limit: u32,
    ) -> Result<Vec<HookRun>, Failure> {
        let runs = usage::hook_runs(&*self.app.store, hook, limit).await;
        runs.map_err(|error| Failure::outside(error.to_string()))
    }

    async fn fire_hook(&self, asked: hooks::Asked) -> Result<hooks::Given, Failure> {
        self.hooked()?.fire(asked).await
    }

    async fn change_hook(&self, change: hooks::Kept) -> Result<hooks::Given, Failure> {
        self.hooked()?.change(change).await
    }

    async fn doctor(&self) -> Vec<Finding> {
        let app = self.app.clone();
        // On a thread of its own: what opens a store cannot be handed from one to another.
        let runtime = tokio::runtime::Handle::current();
        let examine = move || runtime.block_on(doctor::examine(&app.config()));
        let examined = tokio::task::spawn_blocking(examine).await.unwrap_or_default();
        let told = examined.into_iter().map(|finding| Finding {
            fine: finding.verdict != doctor::Verdict::Wrong,
            sentence: format!("{}: {}", finding.what, finding.sentence),
        });
        told.collect()
    }
}
