//! The section `github` of the file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::config::Http;
use crate::config::raw::{Span, Whole, expand};
use crate::failure::Failure;
use crate::forge::github::Limits;
use crate::secret::SecretSource;

/// How GitHub is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitHub {
    /// Who the engine is there.
    pub sign_in: GitHubSignIn,
    /// Where requests go.
    pub api: String,
    /// Where repositories are.
    pub web: String,
    /// How fast changes are made.
    pub limits: Limits,
    /// How long between two looks.
    pub poll: Duration,
    /// Whose reviews and comments count, and how Taskloom names them.
    pub people: BTreeMap<String, String>,
    /// What a comment to the bot begins with.
    pub mention: String,
    /// Checks that must have passed.
    pub required_checks: Vec<String>,
    /// Whether failed checks go back to the agent.
    pub checks_go_back: bool,
    /// Whether reviews and comments go back to the agent.
    pub reviews_go_back: bool,
    /// Where GitHub tells what happened; `None`: it is asked.
    pub webhook: Option<Webhook>,
    /// Issues with this label are submitted; `None`: none are.
    pub issue_label: Option<String>,
}

/// Who the engine is on GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GitHubSignIn {
    /// A user.
    Token(SecretSource),
    /// An app.
    App {
        /// Its number.
        id: u64,
        /// The number of its installation.
        installation: u64,
        /// Its private key.
        key: SecretSource,
    },
}

/// Where GitHub tells what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where it is listened; where the HTTP server listens, there is but one.
    pub listen: SocketAddr,
    /// What deliveries are signed with.
    pub secret: SecretSource,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGitHub {
    #[serde(default)]
    token_env: Option<String>,
    #[serde(default)]
    token_file: Option<String>,
    #[serde(default)]
    app: Option<RawApp>,
    #[serde(default)]
    api: Option<String>,
    #[serde(default)]
    web: Option<String>,
    #[serde(default)]
    pace: RawPace,
    #[serde(default)]
    poll: Option<Span>,
    #[serde(default)]
    people: BTreeMap<String, String>,
    #[serde(default)]
    mention: Option<String>,
    #[serde(default)]
    required_checks: Vec<String>,
    #[serde(default)]
    feedback: Option<Vec<Feedback>>,
    #[serde(default)]
    webhook: Option<RawWebhook>,
    #[serde(default)]
    issue_label: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawApp {
    id: u64,
    installation: u64,
    key_file: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawPace {
    per_minute: Option<Whole>,
    per_hour: Option<Whole>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Feedback {
    Checks,
    Reviews,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWebhook {
    #[serde(default)]
    listen: Option<SocketAddr>,
    #[serde(default)]
    secret_env: Option<String>,
    #[serde(default)]
    secret_file: Option<String>,
}

impl RawGitHub {
    pub(super) fn check(self, http: Option<&Http>, home: Option<&Path>) -> Result<GitHub, Failure> {
        let sign_in = match self.app {
            Some(_) if self.token_env.is_some() || self.token_file.is_some() => {
                return Err(Failure::config("`github` has both a token and an `app`"));
            }
            Some(RawApp { id, installation, key_file }) => {
                let key = SecretSource::File(expand(&key_file, home)?);
                GitHubSignIn::App { id, installation, key }
            }
            None => GitHubSignIn::Token(source(
                "github",
                "token",
                (self.token_env, self.token_file),
                "GITHUB_TOKEN",
                home,
            )?),
        };
        let webhook = self.webhook.map(|raw| {
            let given = (raw.secret_env, raw.secret_file);
            let name = "GITHUB_WEBHOOK_SECRET";
            let secret = source("github.webhook", "secret", given, name, home)?;
            let listen = raw.listen.or(http.map(|http| http.listen)).ok_or_else(|| {
                Failure::config("`github.webhook` does not say where it listens")
                    .hint("add the section `http: {listen: \"127.0.0.1:8080\"}`")
            })?;
            Ok::<_, Failure>(Webhook { listen, secret })
        });
        let standard = Limits::default();
        let limit = |given: Option<Whole>, standard: u32| match given.map(|Whole(n)| n) {
            None => Ok(standard),
            Some(n @ 1..=100_000) => Ok(u32::try_from(n).unwrap_or(standard)),
            Some(_) => Err(Failure::config("`github.pace` must be at least 1")),
        };
        let goes_back = |kind| self.feedback.as_ref().is_none_or(|given| given.contains(&kind));
        let (checks_go_back, reviews_go_back) =
            (goes_back(Feedback::Checks), goes_back(Feedback::Reviews));
        Ok(GitHub {
            sign_in,
            api: address("github.api", self.api, "https://api.github.com")?,
            web: address("github.web", self.web, "https://github.com")?,
            limits: Limits {
                per_minute: limit(self.pace.per_minute, standard.per_minute)?,
                per_hour: limit(self.pace.per_hour, standard.per_hour)?,
            },
            poll: self.poll.map_or(Duration::from_secs(60), |span| span.0),
            people: self.people.into_iter().map(|(k, v)| (k.to_lowercase(), v)).collect(),
            mention: self.mention.unwrap_or_else(|| "taskloom".to_owned()),
            required_checks: self.required_checks,
            checks_go_back,
            reviews_go_back,
            webhook: webhook.transpose()?,
            issue_label: self.issue_label,
        })
    }
}

/// Where a secret is, of which either a variable or a file may be named.
pub(super) fn source(
    section: &str,
    what: &str,
    given: (Option<String>, Option<String>),
    standard: &str,
    home: Option<&Path>,
) -> Result<SecretSource, Failure> {
    match given {
        (Some(_), Some(_)) => Err(Failure::config(format!(
            "`{section}` has both `{what}_env` and `{what}_file`; one is enough"
        ))),
        (None, Some(file)) => Ok(SecretSource::File(expand(&file, home)?)),
        (variable, None) => Ok(SecretSource::Env(variable.unwrap_or_else(|| standard.to_owned()))),
    }
}

/// A server's address. Tokens go over TLS, or do not leave this machine.
fn address(option: &str, given: Option<String>, standard: &str) -> Result<String, Failure> {
    let given = given.unwrap_or_else(|| standard.to_owned());
    let plain = given.strip_prefix("http://").and_then(|rest| rest.split(['/', ':']).next());
    let safe = match plain {
        Some(host) => matches!(host, "127.0.0.1" | "localhost"),
        None => given.starts_with("https://"),
    };
    if safe && !given.contains(['@', '?', '#']) {
        return Ok(given.trim_end_matches('/').to_owned());
    }
    Err(Failure::config(format!("`{option}` is `{given}`, which is no `https://` address"))
        .hint("GitHub Enterprise: `https://HOST/api/v3` and `https://HOST`"))
}

/// `octo/shop`, as GitHub allows it.
pub(super) fn repo_name(project: &str, text: &str) -> Result<String, Failure> {
    let fits = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !part.is_empty() && part.chars().all(plain) && part.chars().any(|c| c != '.')
    };
    match text.split_once('/') {
        Some((owner, name)) if fits(owner) && fits(name) => Ok(text.to_owned()),
        _ => Err(Failure::config(format!("`github` of project `{project}` is `{text}`"))
            .hint("write OWNER/NAME, as `octo/shop`")),
    }
}
