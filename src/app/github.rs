//! GitHub, as the configuration has it, and what a daemon does there beside pull requests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::app::{App, issues};
use crate::config::{self, Config, GitHubSignIn};
use crate::failure::Failure;
use crate::forge::github::{Account, Identity, Options};
use crate::http;
use crate::orchestrator::Handle;
use crate::runner::OnGitHub;
use crate::secret::Secret;
use crate::time::SystemClock;

/// The account and its repositories; nothing where no project is on GitHub.
///
/// With an account that is signed in already, that one goes on.
pub(crate) fn on_github(
    config: &Config,
    account: Option<Arc<Account>>,
) -> Result<Option<OnGitHub>, Failure> {
    let named = |project: &config::Project| Some((project.id.clone(), project.github.clone()?));
    let repos: BTreeMap<_, _> = config.projects.iter().filter_map(named).collect();
    let Some(github) = config.github.as_ref().filter(|_| !repos.is_empty()) else {
        return Ok(None);
    };
    let account = match account {
        Some(account) => {
            account.adjust(options(github)?);
            account
        }
        None => Arc::new(Account::new(options(github)?, Arc::new(SystemClock))),
    };
    Ok(Some(OnGitHub { account, repos }))
}

fn options(github: &config::GitHub) -> Result<Options, Failure> {
    let identity = match &github.sign_in {
        GitHubSignIn::Token(source) => {
            Identity::Token(source.read("the token for GitHub", "github.token")?)
        }
        GitHubSignIn::App { id, installation, key } => Identity::App {
            app: *id,
            installation: *installation,
            key: key.read("the key of the GitHub app", "github.app.key")?,
        },
    };
    Ok(Options {
        identity,
        api: github.api.clone(),
        web: github.web.clone(),
        limits: github.limits,
        interval: github.poll,
        people: github.people.clone(),
        mention: github.mention.clone(),
        required_checks: github.required_checks.clone(),
        checks_go_back: github.checks_go_back,
        reviews_go_back: github.reviews_go_back,
    })
}

/// What GitHub's webhook is answered with, and where; nothing if none is configured.
pub(crate) fn webhook(app: &App) -> Result<Option<(SocketAddr, Secret, http::Ear)>, Failure> {
    let config = app.config();
    let webhook = config.github.as_ref().and_then(|config| config.webhook.as_ref());
    let (Some(webhook), Some(on)) = (webhook, app.shop.on_github()) else { return Ok(None) };
    let what = "the secret of the webhook";
    let secret = webhook.secret.read(what, "github.webhook.secret")?;
    let account = on.account.clone();
    let ear = Arc::new(move |happened: http::Happened| {
        tracing::debug!(event = happened.event, repo = happened.repo, "GitHub says");
        account.stir(&happened.repo);
    });
    Ok(Some((webhook.listen, secret, ear)))
}

/// What a daemon does until this is dropped.
pub(crate) struct Followers {
    _work: JoinSet<()>,
}

/// Submits labelled issues and tells how their runs go.
pub(crate) fn follow(app: &Arc<App>, handle: &Handle, on: OnGitHub) -> Followers {
    let mut work = JoinSet::new();
    work.spawn(issues::tell(app.clone(), handle.clone(), on.clone()));
    work.spawn(issues::follow_label(app.clone(), handle.clone()));
    Followers { _work: work }
}
