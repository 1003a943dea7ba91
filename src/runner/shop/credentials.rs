//! What agents sign in with, and the tiers of tokens that they work with.
//!
//! A secret goes into the environment of one process, or is a directory that it may read; it is
//! not typed, not written down and not shown.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::agents::process::Environment;
use crate::graph::{Framework, TokenTier};
use crate::secret::Secret;

/// How Claude Code is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignIn {
    /// By a key.
    ApiKey(Secret),
    /// As somebody is with its own program, whose directory this is. It goes on refreshing what
    /// is in there, so it is not copied.
    Directory(PathBuf),
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Credentials {
    /// The file that says so, for people.
    pub file: PathBuf,
    /// Variables by tier.
    pub tiers: BTreeMap<&'static str, BTreeMap<String, Secret>>,
    /// Ways to sign in, by name.
    pub anthropic: BTreeMap<String, SignIn>,
}

/// What one agent is given.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Given {
    variables: Vec<(String, Secret)>,
    /// Directories that it must be able to write.
    pub(crate) dirs: Vec<PathBuf>,
}

impl Given {
    /// An environment with the secrets in it.
    pub(crate) fn into_environment(self, environment: Environment) -> Environment {
        let put = |environment: Environment, (name, value): (String, Secret)| {
            environment.with_secret(&name, value.0)
        };
        self.variables.into_iter().fold(environment, put)
    }
}

impl Credentials {
    /// What an agent of a framework gets that asks for a tier, and for a way to sign in by its
    /// name; in one sentence what is wrong with that.
    pub(crate) fn of(
        &self,
        framework: Framework,
        tier: Option<TokenTier>,
        named: Option<&str>,
    ) -> Result<Given, String> {
        let mut given = Given::default();
        match (tier, self.tiers.get(tier.unwrap_or(TokenTier::Standard).word())) {
            (_, Some(tier)) => given.variables.extend(tier.clone()),
            // Nobody asked for one.
            (None, None) => {}
            (Some(tier), None) => {
                let there: Vec<&str> = self.tiers.keys().copied().collect();
                return Err(format!(
                    "there is no token tier `{}` in {}; there are: {}",
                    tier.word(),
                    self.place(),
                    listed(&there)
                ));
            }
        }
        let signed = self.signed(framework, named)?;
        given.variables.extend(signed.variables);
        given.dirs.extend(signed.dirs);
        Ok(given)
    }

    /// What an agent of a framework signs in with, and nothing to work with.
    pub(crate) fn signed(
        &self,
        framework: Framework,
        named: Option<&str>,
    ) -> Result<Given, String> {
        let mut given = Given::default();
        if framework == Framework::ClaudeCode {
            match self.sign_in(named)? {
                Some(SignIn::ApiKey(key)) => {
                    given.variables.push(("ANTHROPIC_API_KEY".to_owned(), key.clone()));
                }
                Some(SignIn::Directory(dir)) => {
                    let value = Secret(dir.display().to_string());
                    given.variables.push(("CLAUDE_CONFIG_DIR".to_owned(), value));
                    given.dirs.push(dir.clone());
                }
                None => {}
            }
        }
        Ok(given)
    }

    fn sign_in(&self, named: Option<&str>) -> Result<Option<&SignIn>, String> {
        let there: Vec<&str> = self.anthropic.keys().map(String::as_str).collect();
        match named {
            Some(name) => match self.anthropic.get(name) {
                Some(found) => Ok(Some(found)),
                None => Err(format!(
                    "there is no entry `{name}` under `anthropic` in {}; there are: {}",
                    self.place(),
                    listed(&there)
                )),
            },
            None if there.len() > 1 => Err(format!(
                "several entries are under `anthropic` in {}; name one in the graph by \
                 `anthropic_credential`: {}",
                self.place(),
                listed(&there)
            )),
            None => Ok(self.anthropic.values().next()),
        }
    }

    fn place(&self) -> String {
        match self.file.as_os_str().is_empty() {
            true => {
                "the credentials (`credentials:` of the configuration names no file)".to_owned()
            }
            false => self.file.display().to_string(),
        }
    }
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> SignIn {
        SignIn::ApiKey(Secret(text.to_owned()))
    }

    fn file(tiers: &[(&'static str, &str)], anthropic: &[(&str, SignIn)]) -> Credentials {
        let tier =
            |token: &str| BTreeMap::from([("GH_TOKEN".to_owned(), Secret(token.to_owned()))]);
        Credentials {
            file: "/c.yaml".into(),
            tiers: tiers.iter().map(|(name, token)| (*name, tier(token))).collect(),
            anthropic: anthropic.iter().map(|(n, way)| ((*n).to_owned(), way.clone())).collect(),
        }
    }

    #[test]
    fn who_asks_for_what_is_not_there_is_told_what_is() {
        let one = file(&[("read_only", "r"), ("elevated", "e")], &[("main", key("k"))]);
        let claude = Framework::ClaudeCode;
        let wrong = one.of(claude, Some(TokenTier::Standard), None).unwrap_err();
        assert_eq!(
            wrong,
            "there is no token tier `standard` in /c.yaml; there are: elevated, read_only"
        );
        let wrong = one.of(claude, None, Some("other")).unwrap_err();
        assert!(wrong.ends_with("in /c.yaml; there are: main"), "{wrong}");
        let two = file(&[], &[("a", key("k")), ("b", SignIn::Directory("/d".into()))]);
        let wrong = two.of(claude, None, None).unwrap_err();
        assert!(wrong.ends_with("by `anthropic_credential`: a, b"), "{wrong}");
        assert_eq!(two.of(Framework::Shell, None, None), Ok(Given::default()));
    }

    #[test]
    fn an_only_entry_needs_no_name_and_secrets_are_not_shown() {
        let one = file(&[("standard", "token-value")], &[("main", key("key-value"))]);
        let given = one.of(Framework::ClaudeCode, None, None).unwrap();
        let names: Vec<&str> = given.variables.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["GH_TOKEN", "ANTHROPIC_API_KEY"]);
        let shown = format!("{one:?} {given:?}");
        assert!(!shown.contains("-value"), "{shown}");
        let environment = given.into_environment(Environment::default());
        assert_eq!(environment.get("ANTHROPIC_API_KEY"), Some("key-value"));
    }
}
