//! Errands: a command on a clean checkout of a project's default branch, behind the same wall and
//! within the same limits as a gate, for something that is no run; and looks at that branch.
//!
//! What is run here changes nothing: its checkout is thrown away.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::agents::process::{
    self, Adopted, Cause, Cursor, End, Exit, Input, LaunchSpec, Stderr, log_path,
};
use crate::failure::Failure;
use crate::git::{self, BranchName, Checkout, Discard, Order, Place};
use crate::ids::CommitId;
use crate::runner::attempt::command::{clean_checkout, process_trouble, tail};
use crate::runner::files;
use crate::runner::job::StepFailure;
use crate::runner::project::{Project, told, trouble};
use crate::runner::shop::{Inner, Shop};
use crate::runner::walls;
use crate::sandbox;
use crate::state::ProjectRecord;

/// What an errand may write: more is no answer, and a disk fills.
const LOG_BYTES_MAX: u64 = 4 << 20;

/// How much of its output is told, and how much of its complaints: the end of each.
const STDOUT_BYTES_MAX: usize = 50 * 1024;
const STDERR_BYTES_MAX: usize = 10 * 1024;

/// The longest file and difference that are told; the beginning of each.
const TEXT_BYTES_MAX: usize = 50 * 1024;

/// Which project an errand is done in, beside its records.
const PROJECT: &str = "project.json";

/// A command to run.
#[derive(Debug, Clone)]
pub struct Errand<'a> {
    /// In which project.
    pub project: &'a ProjectRecord,
    /// The number of whatever it is done for; never used twice.
    pub run: i64,
    /// Which of its steps, from 1.
    pub step: usize,
    /// What.
    pub command: &'a str,
    /// More variables that it gets.
    pub variables: &'a BTreeMap<String, String>,
    /// How long it may take.
    pub timeout: Duration,
}

/// What it came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrandEnd {
    /// `None`: it did not end in time.
    pub exit_code: Option<i32>,
    /// The end of what it wrote.
    pub stdout: String,
    /// The end of what it complained of.
    pub stderr: String,
}

/// A difference between two commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchDiff {
    /// The one that was left.
    pub base: CommitId,
    /// The one that was looked at.
    pub head: CommitId,
    /// The text of it.
    pub diff: git::Diff,
}

impl Shop {
    /// Runs a command on a checkout of the default branch.
    pub async fn errand(&self, errand: Errand<'_>) -> Result<ErrandEnd, Failure> {
        run(&self.inner(), &errand).await.map_err(outside)
    }

    /// What was noted down for the errands of `run` is not needed any more.
    pub fn forget_errands(&self, run: i64) {
        let dir = dir_of(&self.inner(), run);
        if dir.exists()
            && let Err(error) = std::fs::remove_dir_all(&dir)
        {
            tracing::warn!(%error, "{} stays", dir.display());
        }
    }

    /// Ends what an earlier process left of the errands of `run`, and throws its checkouts away.
    pub async fn end_errands(&self, run: i64) -> Result<(), Failure> {
        let shop = self.inner();
        let dir = dir_of(&shop, run);
        let record: Option<ProjectRecord> = files::read_json(&dir.join(PROJECT)).unwrap_or(None);
        let Some(record) = record else { return Ok(()) };
        let project = shop.projects.open(&record).await.map_err(outside)?;
        for step in steps_in(&dir) {
            let left = process::adopt(&dir, &stem(step), Cursor::default()).await;
            if let Ok(Adopted::Running(mut found)) = left {
                found.stop(shop.options.grace).await.ok();
                found.wait().await.ok();
            }
            if let Some(checkout) = project.checkouts.lookup(&Place::errand(run, step)) {
                give_back(&project, &checkout).await.map_err(outside)?;
            }
        }
        self.forget_errands(run);
        Ok(())
    }

    /// A file of the default branch.
    pub async fn file(&self, project: &ProjectRecord, path: &str) -> Result<String, Failure> {
        let inside = !path.is_empty()
            && !path.starts_with('/')
            && !path.split('/').any(|part| matches!(part, ".." | "."));
        if !inside {
            let failure = Failure::user(format!("`{path}` is no path in the repository"));
            return Err(failure.hint("write it from the top of the repository, as `docs/plan.md`"));
        }
        let open = self.inner().projects.open(project).await.map_err(outside)?;
        let head = head_of(&open, project).await.map_err(outside)?;
        let file = open.bare.beginning_of(&head, path, TEXT_BYTES_MAX).await;
        file.map_err(|error| {
            if matches!(error, git::Error::Failed { .. }) {
                return Failure::user(format!("`{}` has no file `{path}`", project.default_branch));
            }
            Failure::outside(told(&error))
        })
    }

    /// What `head` has since it left `base`: branches or full commit ids; without a name the
    /// default branch.
    pub async fn branch_diff(
        &self,
        project: &ProjectRecord,
        base: Option<&str>,
        head: Option<&str>,
    ) -> Result<BranchDiff, Failure> {
        let open = self.inner().projects.open(project).await.map_err(outside)?;
        let base = named(&open, project, base).await.map_err(outside)?;
        let head = named(&open, project, head).await.map_err(outside)?;
        let diff = open.bare.diff(&base, &head, TEXT_BYTES_MAX).await;
        let diff = diff.map_err(|error| Failure::outside(told(&error)))?;
        Ok(BranchDiff { base, head, diff })
    }
}

fn outside(failure: StepFailure) -> Failure {
    Failure::outside(failure.message)
}

fn dir_of(shop: &Inner, run: i64) -> PathBuf {
    shop.layout.root().join("hooks").join(run.to_string())
}

fn stem(step: usize) -> String {
    format!("step-{step}")
}

/// The steps that something was noted down for.
fn steps_in(dir: &Path) -> Vec<usize> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let of = |name: &str| name.strip_prefix("step-")?.split('.').next()?.parse().ok();
    let mut steps: Vec<usize> =
        entries.filter_map(|entry| of(&entry.file_name().to_string_lossy())).collect();
    steps.sort_unstable();
    steps.dedup();
    steps
}

async fn run(shop: &Inner, errand: &Errand<'_>) -> Result<ErrandEnd, StepFailure> {
    let project = shop.projects.open(errand.project).await?;
    let commit = head_of(&project, errand.project).await?;
    let dir = dir_of(shop, errand.run);
    let home = dir.join("home");
    let noted = files::private_dir(&home)
        .and_then(|()| files::write_json(&dir.join(PROJECT), errand.project));
    noted.map_err(|error| internal(format!("cannot write to {}: {error}", dir.display())))?;
    let place = Place::errand(errand.run, errand.step);
    let order = Order { place: &place, branch: None, commit: &commit, refs: &[] };
    let checkout = clean_checkout(&project.checkouts, &order).await?;
    let done = supervised(shop, &project, errand, &checkout, (&dir, &home)).await;
    give_back(&project, &checkout).await?;
    done
}

fn internal(message: String) -> StepFailure {
    StepFailure::new(crate::state::FailureClass::Transient, message)
}

async fn give_back(project: &Project, checkout: &Checkout) -> Result<(), StepFailure> {
    project.checkouts.release(checkout, Discard::Anyway).await.map_err(|error| trouble(&error))
}

async fn supervised(
    shop: &Inner,
    project: &Project,
    errand: &Errand<'_>,
    checkout: &Checkout,
    (dir, home): (&Path, &Path),
) -> Result<ErrandEnd, StepFailure> {
    let stem = stem(errand.step);
    let words = ["sh", "-c", errand.command];
    let mut spec = LaunchSpec::new(dir, &stem, &words, &checkout.tree);
    let variables = errand.variables.iter();
    spec.environment = variables
        .fold(shop.environment(home, &[]), |all, (name, value)| all.with(name, value.clone()));
    spec.input = Input::Null;
    spec.stderr = Stderr::Separate;
    spec.deadline = Some(errand.timeout);
    spec.grace = shop.options.grace;
    spec.limits = shop.options.limits;
    spec.log_bytes_max = LOG_BYTES_MAX;
    let name = format!("taskloom-hook-{}-{}", errand.run, errand.step);
    let around = (checkout.tree.as_path(), &spec.environment, name);
    let asked = walls::usual(shop.usual_sandbox(errand.project));
    let mut request = walls::around(shop, project, asked, around);
    request.writes.push(home.to_owned());
    let walled = sandbox::wrap(spec.program, spec.environment.names(), &request)
        .map_err(|error| internal(told(&error)))?;
    (spec.program, spec.afterwards) = (walled.program, walled.afterwards);
    let launched = shop.launcher.launch(&spec).await;
    let mut supervised = launched.map_err(|error| process_trouble(&error))?;
    let exit = supervised.wait().await.map_err(|error| process_trouble(&error))?;
    let text = |path: &Path, most| cut(tail(path).unwrap_or_default(), most);
    let stderr = dir.join(format!("{stem}.stderr.log"));
    Ok(ErrandEnd {
        exit_code: code(&exit)?,
        stdout: text(&log_path(dir, &stem), STDOUT_BYTES_MAX),
        stderr: text(&stderr, STDERR_BYTES_MAX),
    })
}

/// The exit code, in the manner of a shell; `None` if its time was up.
fn code(exit: &Exit) -> Result<Option<i32>, StepFailure> {
    match (&exit.end, exit.cause) {
        (_, Cause::Deadline) => Ok(None),
        (_, Cause::Stopped | Cause::Shutdown) => {
            Err(internal("it was stopped from outside".to_owned()))
        }
        (End::Code(code), Cause::Itself) => Ok(Some(*code)),
        (End::Signal(number), Cause::Itself) => Ok(Some(128 + number)),
        (End::CannotStart(why), Cause::Itself) => Err(internal(why.clone())),
    }
}

/// The end of a text.
fn cut(text: String, most: usize) -> String {
    let from = text.len().saturating_sub(most);
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    text[from..].to_owned()
}

async fn head_of(project: &Project, record: &ProjectRecord) -> Result<CommitId, StepFailure> {
    branch_head(project, record, &record.default_branch).await
}

async fn named(
    project: &Project,
    record: &ProjectRecord,
    name: Option<&str>,
) -> Result<CommitId, StepFailure> {
    let Some(name) = name else { return head_of(project, record).await };
    if let Ok(commit) = name.parse::<CommitId>() {
        let here = project.bare.holds(&commit).await.map_err(|error| trouble(&error))?;
        let missing = || internal(format!("there is no commit {}", commit.short()));
        return here.then(|| commit.clone()).ok_or_else(missing);
    }
    branch_head(project, record, name).await
}

/// Where a branch is: where others merge too as it is there, else as the user has it, else as the
/// engine has it.
async fn branch_head(
    project: &Project,
    record: &ProjectRecord,
    name: &str,
) -> Result<CommitId, StepFailure> {
    let branch = BranchName::new(name).map_err(|error| trouble(&error))?;
    if project.forge.is_shared() && name == record.default_branch {
        let head = project.forge.take_in(&branch).await;
        let head = head.map_err(|error| internal(told(&error)))?;
        return head.ok_or_else(|| internal(format!("there is no branch `{name}`")));
    }
    let synced = project.bare.sync(&project.user, std::slice::from_ref(&branch)).await;
    let mut synced = synced.map_err(|error| trouble(&error))?;
    if let Some(head) = synced.heads.remove(&branch) {
        return Ok(head);
    }
    let own = project.bare.lookup(&branch.to_ref()).await.map_err(|error| trouble(&error))?;
    own.ok_or_else(|| internal(format!("the repository {} has no branch `{name}`", record.repo)))
}
