//! Which adapter speaks to which framework in which environment: a table, filled once, where the
//! program is put together.

use std::fmt;
use std::sync::Arc;

use crate::agents::Agent;
use crate::graph::{Environment, Framework};

/// The kind of environment an agent runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Without a terminal.
    Headless,
    /// In a tmux window.
    Tmux,
}

impl Place {
    /// The kind of `environment`.
    pub fn of(environment: &Environment) -> Self {
        match environment {
            Environment::Headless => Self::Headless,
            Environment::Tmux { .. } => Self::Tmux,
        }
    }

    /// The word of the YAML.
    pub fn word(self) -> &'static str {
        match self {
            Self::Headless => "headless",
            Self::Tmux => "tmux",
        }
    }
}

/// A framework and environment for which there is no adapter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no agent for framework `{framework}`{}; there are {}", In(*.place), known.join(", "))]
pub struct UnknownAgent {
    /// The framework that was asked for.
    pub framework: &'static str,
    /// The environment that was asked for; `None`: any.
    pub place: Option<&'static str>,
    /// What there is.
    pub known: Vec<String>,
}

struct In(Option<&'static str>);

impl fmt::Display for In {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |place| write!(f, " in environment `{place}`"))
    }
}

/// The table.
#[derive(Clone, Default)]
pub struct Registry {
    adapters: Vec<(Place, Arc<dyn Agent>)>,
}

impl Registry {
    /// Adds an adapter for its framework in `place`. The first of a framework is its default.
    #[must_use]
    pub fn with(mut self, place: Place, agent: Arc<dyn Agent>) -> Self {
        self.adapters.push((place, agent));
        self
    }

    /// The adapter for `framework` in `environment`, or its default where that is left open.
    pub fn find(
        &self,
        framework: Framework,
        environment: Option<&Environment>,
    ) -> Result<Arc<dyn Agent>, UnknownAgent> {
        let place = environment.map(Place::of);
        let fits = |(there, agent): &&(Place, Arc<dyn Agent>)| {
            agent.kind() == framework && place.is_none_or(|wanted| wanted == *there)
        };
        let name = |(place, agent): &(Place, Arc<dyn Agent>)| {
            format!("`{}` ({})", agent.kind().word(), place.word())
        };
        let found = self.adapters.iter().find(fits);
        found.map(|(_, agent)| Arc::clone(agent)).ok_or_else(|| UnknownAgent {
            framework: framework.word(),
            place: place.map(Place::word),
            known: self.adapters.iter().map(name).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::CommandAgent;
    use crate::agents::process::Launcher;

    #[test]
    fn an_agent_that_is_not_there_is_an_error_that_lists_those_that_are() {
        let shell = Arc::new(CommandAgent::new(Launcher::default()));
        let registry = Registry::default().with(Place::Headless, shell);
        assert!(registry.find(Framework::Shell, None).is_ok());
        assert!(registry.find(Framework::Shell, Some(&Environment::Headless)).is_ok());
        let tmux = Environment::Tmux { session: None };
        let unknown = registry.find(Framework::Shell, Some(&tmux)).err().unwrap();
        assert_eq!(
            unknown.to_string(),
            "there is no agent for framework `shell` in environment `tmux`; there are `shell` (headless)"
        );
        let unknown = registry.find(Framework::Codex, None).err().unwrap();
        assert_eq!(
            unknown.to_string(),
            "there is no agent for framework `codex`; there are `shell` (headless)"
        );
    }
}
