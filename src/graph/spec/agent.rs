//! Who does something and within which walls: agents, reviews, isolation, approvals, budgets.

use crate::graph::model::{
    AdrVerbosity, AgentSpec, Approval, Budget, Environment, Framework, Isolation, OciRuntime,
    Review, SandboxKind, TokenTier,
};
use crate::graph::node::{Node, Shape};
use crate::graph::problem::shown;
use crate::graph::spec::reader::{Fields, Reader};
use crate::ids::ProfileName;

const AGENT: &[&str] =
    &["framework", "model", "adr_verbosity", "environment", "command", "isolation"];
const ENVIRONMENT: &[&str] = &["type", "session"];
const ISOLATION: &[&str] = &["sandbox", "token_tier", "image", "runtime", "network"];
const REVIEW: &[&str] = &["agent", "review_on_attempt"];
const APPROVAL: &[&str] = &["roles", "count", "no_self"];
const BUDGET: &[&str] = &["tokens", "usd"];

/// What an agent has from the graph, if it says nothing of its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Inherited {
    pub(super) profile: Option<ProfileName>,
    pub(super) model: Option<String>,
}

impl Inherited {
    /// Fills in what `own` leaves open. An agent that says how it is spoken to is not the one of
    /// the graph's profile.
    pub(super) fn complete(&self, own: AgentSpec) -> AgentSpec {
        let itself = own.framework.is_some() || own.command.is_some();
        let profile =
            if itself { own.profile } else { own.profile.or_else(|| self.profile.clone()) };
        AgentSpec { profile, model: own.model.or_else(|| self.model.clone()), ..own }
    }
}

impl<'t> Reader<'t> {
    /// The agent of a task: `primary_agent`, on top of the profile named by `agent`.
    pub(super) fn agent(
        &mut self,
        node: Node<'t>,
        profile: Option<ProfileName>,
    ) -> Option<AgentSpec> {
        let mut fields = self.fields(node, AGENT)?;
        let agent = AgentSpec {
            profile,
            framework: fields.get("framework", |r, n| r.word(n, Framework::ALL, Framework::word)),
            model: fields.get("model", Reader::string),
            adr: fields
                .get("adr_verbosity", |r, n| r.word(n, AdrVerbosity::ALL, AdrVerbosity::word))
                .unwrap_or_default(),
            environment: fields.get("environment", Reader::environment),
            command: fields.get("command", Reader::prose),
            isolation: fields.get("isolation", Reader::isolation).unwrap_or_default(),
        };
        check_command(&mut fields, agent.profile.is_some(), agent.framework);
        Some(agent)
    }

    fn environment(&mut self, node: Node<'t>) -> Option<Environment> {
        let mut fields = self.fields(node, ENVIRONMENT)?;
        let headless = fields.get("type", |r, n| {
            r.word(n, &[false, true], |headless| if headless { "headless" } else { "tmux" })
        });
        let session = fields.get("session", Reader::session);
        if headless == Some(true) {
            if session.is_some() {
                fields.report("session", "a headless agent has no session", "delete this line");
            }
            return Some(Environment::Headless);
        }
        Some(Environment::Tmux { session })
    }

    fn session(&mut self, node: Node<'t>) -> Option<String> {
        let name = self.line(node)?;
        if name.contains([':', '.']) || name.starts_with(['=', '$', '@', '%', '-']) {
            self.report_hint(
                node,
                format!("`{}` cannot be the name of a tmux session", shown(name)),
                "use letters, digits, `_` and `-`",
            );
            return None;
        }
        Some(name.to_owned())
    }

    pub(super) fn isolation(&mut self, node: Node<'t>) -> Option<Isolation> {
        let mut fields = self.fields(node, ISOLATION)?;
        Some(Isolation {
            sandbox: fields.get("sandbox", |r, n| r.word(n, SandboxKind::ALL, SandboxKind::word)),
            token_tier: fields.get("token_tier", |r, n| r.word(n, TokenTier::ALL, TokenTier::word)),
            image: fields.get("image", Reader::string),
            runtime: fields.get("runtime", |r, n| r.word(n, OciRuntime::ALL, OciRuntime::word)),
            network: fields.get("network", Reader::flag),
        })
    }

    pub(super) fn review(&mut self, node: Node<'t>, from_graph: &Inherited) -> Option<Review> {
        let mut fields = self.fields(node, REVIEW)?;
        let agent = fields.need("agent", Reader::reviewer);
        let on_attempt = fields.get("review_on_attempt", Reader::count).unwrap_or(1);
        Some(Review { agent: from_graph.complete(agent?), on_attempt })
    }

    /// A mapping as for `primary_agent`, or the name of a profile.
    fn reviewer(&mut self, node: Node<'t>) -> Option<AgentSpec> {
        match node.shape() {
            Shape::Scalar { .. } => {
                let profile = self.name(node)?;
                Some(AgentSpec { profile: Some(profile), ..AgentSpec::default() })
            }
            Shape::Map(_) | Shape::List(_) | Shape::Null | Shape::Broken => self.agent(node, None),
        }
    }

    /// A flag, or who must approve; `None`: nobody.
    pub(super) fn approval(&mut self, node: Node<'t>) -> Option<Approval> {
        if !matches!(node.shape(), Shape::Map(_)) {
            let anyone = Approval { roles: Vec::new(), count: 1, no_self: false };
            let must = "`true`, `false` or a mapping that says who";
            return self.flag_or(node, must)?.then_some(anyone);
        }
        let mut fields = self.fields(node, APPROVAL)?;
        Some(Approval {
            roles: fields.list("roles", Reader::string),
            count: fields.get("count", Reader::count).unwrap_or(1),
            no_self: fields.get("no_self", Reader::flag).unwrap_or(false),
        })
    }

    pub(super) fn budget(&mut self, node: Node<'t>) -> Option<Budget> {
        let mut fields = self.fields(node, BUDGET)?;
        let positive = |usd: f64| usd > 0.0;
        Some(Budget {
            tokens: fields.get("tokens", Reader::count),
            usd: fields.get("usd", |r, n| r.number(n, "an amount above zero", positive)),
        })
    }
}

/// A program must be named exactly where one is run, and by one of the two who may name it.
fn check_command(fields: &mut Fields<'_, '_>, has_profile: bool, framework: Option<Framework>) {
    let runs = matches!(framework, Some(Framework::Shell | Framework::Acp));
    match (fields.node("command").is_some(), framework) {
        (true, _) if has_profile => fields.report(
            "command",
            "both the profile `agent` and `command` say what is run",
            "delete one of them",
        ),
        (true, None) => fields.report(
            "command",
            "a `command` is only for the frameworks `shell` and `acp`",
            "add `framework: shell`",
        ),
        (true, Some(framework)) if !runs => {
            let message = format!("the framework `{}` takes no `command`", framework.word());
            let hint = "delete it, or write `framework: shell` to run a program of your own";
            fields.report("command", &message, hint);
        }
        (false, Some(framework)) if runs && !has_profile => {
            let message = format!("the framework `{}` needs a `command`", framework.word());
            fields.report("command", &message, "add the command that runs the agent");
        }
        (true | false, None | Some(_)) => {}
    }
}
