//! Everything that would stop a run, found before anything is stored or started.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::agents::Profile;
use crate::agents::process::Environment;
use crate::forge::Forge;
use crate::git::{BranchName, UserRepo};
use crate::graph::{AgentSpec, Graph, Task};
use crate::runner::job::LaneEnd;
use crate::runner::project::told;
use crate::runner::shop::{Chosen, Shop};
use crate::runner::walls;
use crate::sandbox;
use crate::state::ProjectRecord;

/// How many tasks a finding names before it counts the rest.
const TASKS_NAMED: usize = 3;

impl Shop {
    /// Everything that would stop `graph` on `project`, one sentence each; empty if nothing would.
    pub async fn preflight(&self, graph: &Graph, project: &ProjectRecord) -> Vec<String> {
        let mut findings = Vec::new();
        for tool in &graph.settings().tools {
            if which::which(tool).is_err() {
                findings.push(format!("the graph needs `{tool}`, which is not on PATH"));
            }
        }
        self.agents(graph, &mut findings).await;
        self.walls(graph, project, &mut findings).await;
        self.roles(graph, &mut findings);
        self.variables(graph, &mut findings);
        self.branches(graph, project, &mut findings).await;
        findings
    }

    async fn agents(&self, graph: &Graph, findings: &mut Vec<String>) {
        let mut asked = BTreeSet::new();
        let mut unknown: Vec<(String, Vec<&Task>)> = Vec::new();
        let own = graph.tasks().iter().map(|task| (task, &task.agent));
        let reviewers = graph.tasks().iter();
        let reviewers = reviewers.filter_map(|task| Some((task, &task.review.as_ref()?.agent)));
        for (task, spec) in own.chain(reviewers) {
            let trouble = match self.inner().agent_for(spec, None) {
                Err(failure) => failure.message,
                Ok(Chosen { agent, profile, env, .. }) => {
                    if let Err(trouble) = self.secrets(graph, task, spec, (&profile, &env)) {
                        findings.push(format!("{}: {trouble}", named(&[task])));
                    }
                    if !asked.insert((agent.kind(), profile.command.clone())) {
                        continue;
                    }
                    match agent.preflight(&profile).await {
                        Ok(_) => continue,
                        Err(error) => told(&error),
                    }
                }
            };
            match unknown.iter_mut().find(|(known, _)| *known == trouble) {
                Some((_, tasks)) => tasks.push(task),
                None => unknown.push((trouble, vec![task])),
            }
        }
        for (trouble, tasks) in unknown {
            findings.push(format!("{}: {trouble}", named(&tasks)));
        }
    }

    /// Whether there is what an agent signs in and works with, and what its servers need.
    fn secrets(
        &self,
        graph: &Graph,
        task: &Task,
        spec: &AgentSpec,
        (profile, env): (&Profile, &[String]),
    ) -> Result<(), String> {
        let given =
            self.inner().credentials(graph, spec, None).map_err(|failure| failure.message)?;
        let names: Vec<String> = self.inner().options.env.iter().chain(env).cloned().collect();
        let environment = given.into_environment(Environment::from_daemon(&names));
        // What is wrong with those is said elsewhere.
        let Ok(environment) = self.inner().graph_environment(environment, &task.env) else {
            return Ok(());
        };
        profile.check_variables(&environment).map_err(|error| told(&error))
    }

    async fn walls(&self, graph: &Graph, project: &ProjectRecord, findings: &mut Vec<String>) {
        let usual = self.inner().usual_sandbox(project);
        let mut refused: Vec<(String, Vec<&Task>)> = Vec::new();
        let mut probed = BTreeMap::new();
        for task in graph.tasks() {
            let request = walls::asked_for(task, usual);
            let trouble = match sandbox::receipt(&request) {
                Err(error) => Some(error.to_string()),
                Ok(_) => match sandbox::probe(request.kind, request.container.engine) {
                    None => None,
                    Some((program, args)) => match probed.get(program) {
                        Some(known) => Clone::clone(known),
                        None => {
                            let trouble = walls::probe(program, &args).await;
                            probed.insert(program, trouble.clone());
                            trouble
                        }
                    },
                },
            };
            let Some(trouble) = trouble else { continue };
            match refused.iter_mut().find(|(known, _)| *known == trouble) {
                Some((_, tasks)) => tasks.push(task),
                None => refused.push((trouble, vec![task])),
            }
        }
        for (trouble, tasks) in refused {
            findings.push(format!("{}: {trouble}", named(&tasks)));
        }
    }

    /// Who has which role is not known yet; a rule that names one would let anybody approve.
    fn roles(&self, graph: &Graph, findings: &mut Vec<String>) {
        let rules = graph.tasks().iter().filter_map(|task| task.approval.as_ref());
        let rules = rules.chain(graph.lanes().iter().filter_map(|lane| lane.approval.as_ref()));
        if rules.into_iter().any(|rule| !rule.roles.is_empty()) {
            findings.push(
                "this version knows no roles; remove `roles` from `approval`, or use `count` and \
                 `no_self`"
                    .to_owned(),
            );
        }
    }

    fn variables(&self, graph: &Graph, findings: &mut Vec<String>) {
        let mut seen = BTreeSet::new();
        for task in graph.tasks() {
            let tried = self.inner().graph_environment(Environment::default(), &task.env);
            if let Err(failure) = tried
                && seen.insert(failure.message.clone())
            {
                findings.push(failure.message);
            }
        }
    }

    /// The project's forge, if others act there as well and the engine can work with it.
    async fn shared_forge(
        &self,
        project: &ProjectRecord,
    ) -> Result<Option<Arc<dyn Forge>>, String> {
        if !self.inner().projects.is_shared(&project.id) {
            return Ok(None);
        }
        let open = self.inner().projects.open(project).await.map_err(|failure| failure.message)?;
        open.forge.check().await.map_err(|error| told(&error))?;
        Ok(Some(open.forge.clone()))
    }

    async fn branches(&self, graph: &Graph, project: &ProjectRecord, findings: &mut Vec<String>) {
        let projects = self.inner().projects.clone();
        let user = match UserRepo::open(projects.git(), Path::new(&project.repo)).await {
            Ok(user) => user,
            Err(error) => {
                findings.push(told(&error));
                return;
            }
        };
        let root = BranchName::new("taskloom").expect("BUG: a branch of ours");
        if let Ok(Some(_)) = user.branch(&root).await {
            findings.push(format!(
                "the repository {} has a branch `taskloom`, beside which git allows no branches \
                 `taskloom/…`; rename it",
                project.repo
            ));
        }
        let forge = match self.shared_forge(project).await {
            Ok(forge) => forge,
            Err(trouble) => return findings.push(trouble),
        };
        let mut wanted = BTreeSet::new();
        for lane in graph.lane_ixs() {
            for end in [LaneEnd::base(graph, lane, project), LaneEnd::target(graph, lane, project)]
            {
                if let LaneEnd::Branch(name) = end {
                    wanted.insert(name);
                }
            }
        }
        for name in wanted {
            let found = match BranchName::new(&name) {
                Ok(branch) => match &forge {
                    // What others merge into is there, and need not be here.
                    Some(forge) => forge.take_in(&branch).await.map_err(|error| told(&error)),
                    None => user.branch(&branch).await.map_err(|error| told(&error)),
                },
                Err(error) => Err(told(&error)),
            };
            match found {
                Ok(Some(_)) => {}
                Ok(None) => findings.push(format!(
                    "the repository {} has no branch `{name}`; make it (a first commit is needed) \
                     or name another as `base_branch` and `merge_target_branch`",
                    forge.as_ref().and_then(|f| f.name()).unwrap_or_else(|| project.repo.clone())
                )),
                Err(trouble) => findings.push(trouble),
            }
        }
    }
}

fn named(tasks: &[&Task]) -> String {
    let names: Vec<String> =
        tasks.iter().take(TASKS_NAMED).map(|task| format!("`{}`", task.id)).collect();
    let rest = match tasks.len().saturating_sub(TASKS_NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let noun = if tasks.len() == 1 { "task" } else { "tasks" };
    format!("{noun} {}{rest}", names.join(", "))
}
