//! The completion gate: run by the engine on a clean checkout of the exact commit.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::agents::process::{Input, LaunchSpec};
use crate::git::{Discard, Order, Place};
use crate::ids::CommitId;
use crate::notify::Output;
use crate::runner::attempt::command::{self, Verdict, clean_checkout};
use crate::runner::attempt::{Attempt, Break};
use crate::runner::files;
use crate::runner::job::{Report, StepFailure};
use crate::runner::project::{told, trouble};
use crate::sandbox;
use crate::state::{Evidence, FailureClass};

/// What a gate came to.
pub(in crate::runner::attempt) enum Gate {
    /// It passed, or there is none.
    Passed(Option<Evidence>),
    /// It failed.
    Failed { how: String, output: String },
}

/// A gate that passed, kept under what it depends on.
#[derive(Serialize, Deserialize)]
struct Passed {
    command: String,
    took_ms: u64,
}

impl Attempt<'_> {
    /// Runs the task's gate on `commit`. A gate that passed on the same tree, with the same
    /// environment, is not run again.
    pub(in crate::runner::attempt) async fn gate(
        &self,
        commit: &CommitId,
        round: u32,
        resumed: bool,
    ) -> Result<Gate, Break> {
        let Some(gate) = self.spec().gate.clone() else { return Ok(Gate::Passed(None)) };
        let cache = self.cache_path(commit, &gate).await?;
        let known: Option<Passed> =
            files::read_json(&cache).map_err(|error| self.cannot_write(&error))?;
        let took_ms = match known {
            Some(passed) => passed.took_ms,
            None => match self.run_gate(commit, &gate, round, resumed).await? {
                Verdict::Failed { how, output } => return Ok(Gate::Failed { how, output }),
                Verdict::Passed { took_ms } => {
                    self.keep_passed(&cache, &gate, took_ms)?;
                    took_ms
                }
            },
        };
        self.reporter.report(Report::Gate { passed: true, detail: gate.clone() });
        let commit = commit.clone();
        Ok(Gate::Passed(Some(Evidence { command: gate, commit, took_ms, round })))
    }

    async fn run_gate(
        &self,
        commit: &CommitId,
        gate: &str,
        round: u32,
        resumed: bool,
    ) -> Result<Verdict, StepFailure> {
        // Only an earlier process can have begun it; whatever else lies there is no evidence.
        if !resumed {
            let stem = format!("gate-{round}.");
            files::remove_all(&self.records, |name| name.starts_with(&stem))
                .map_err(|error| self.cannot_write(&error))?;
        }
        self.say(Output::Line(format!("gate: {gate}")));
        let place = Place::gate(&self.run.name, &self.spec().id);
        let order = Order { place: &place, branch: None, commit, refs: &[] };
        let checkout = match self.project.checkouts.adopt(&order) {
            Some(checkout) => checkout,
            None => clean_checkout(&self.project.checkouts, &order).await?,
        };
        let words = vec!["sh".to_owned(), "-c".to_owned(), gate.to_owned()];
        let home = self.records.join(format!("home-{round}"));
        let environment = self.environment(&home, &[])?;
        let mut request = self.walls(&checkout.tree, &environment);
        request.container.name = format!("{}-gate-{round}", request.container.name);
        request.writes.push(home);
        let walled = sandbox::wrap(words, environment.names(), &request)
            .map_err(|error| StepFailure::new(FailureClass::CannotStart, told(&error)))?;
        let mut spec =
            LaunchSpec::new(&self.records, &format!("gate-{round}"), &[], &checkout.tree);
        (spec.program, spec.afterwards) = (walled.program, walled.afterwards);
        spec.environment = environment;
        spec.input = Input::Null;
        spec.deadline = Some(self.shop.options.gate_timeout);
        spec.grace = self.shop.options.grace;
        spec.limits = self.shop.options.limits;
        let verdict = command::run(self.shop, spec, |bytes| {
            self.say(Output::Text(String::from_utf8_lossy(bytes).into_owned()));
        })
        .await?;
        self.project
            .checkouts
            .release(&checkout, Discard::Anyway)
            .await
            .map_err(|error| trouble(&error))?;
        Ok(verdict)
    }

    /// Evidence is kept under the tree, the gate and the environment that the graph gives it.
    async fn cache_path(
        &self,
        commit: &CommitId,
        gate: &str,
    ) -> Result<std::path::PathBuf, StepFailure> {
        let tree = self.project.bare.tree_of(commit).await.map_err(|error| trouble(&error))?;
        let mut digest = Sha256::new();
        digest.update(tree.as_str());
        digest.update([0]);
        digest.update(gate);
        for (name, value) in &self.spec().env {
            digest.update([0]);
            digest.update(name);
            digest.update([b'=']);
            digest.update(value);
        }
        let key: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let dir = self.shop.layout.run(&self.run.project.id, &self.run.name).join("evidence");
        Ok(dir.join(format!("{key}.json")))
    }

    fn keep_passed(
        &self,
        path: &std::path::Path,
        gate: &str,
        took_ms: u64,
    ) -> Result<(), StepFailure> {
        let dir = path.parent().unwrap_or(path);
        let passed = Passed { command: gate.to_owned(), took_ms };
        files::private_dir(dir)
            .and_then(|()| files::write_json(path, &passed))
            .map_err(|error| self.cannot_write(&error))
    }
}
