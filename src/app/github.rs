//! GitHub, as the configuration has it, and what a daemon does there beside pull requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::JoinSet;

use crate::app::{App, issues};
use crate::config::{self, Config, GitHubSignIn};
use crate::failure::Failure;
use crate::forge::github::{Account, Identity, Options};
use crate::http;
use crate::orchestrator::Handle;
use crate::runner::OnGitHub;
use crate::time::SystemClock;

/// The account and its repositories; nothing where no project is on GitHub.
pub(crate) fn on_github(config: &Config) -> Result<Option<OnGitHub>, Failure> {
    let named = |project: &config::Project| Some((project.id.clone(), project.github.clone()?));
    let repos: BTreeMap<_, _> = config.projects.iter().filter_map(named).collect();
    let Some(github) = config.github.as_ref().filter(|_| !repos.is_empty()) else {
        return Ok(None);
    };
    let account = Account::new(options(github)?, Arc::new(SystemClock));
    Ok(Some(OnGitHub { account: Arc::new(account), repos }))
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

/// What a daemon does until this is dropped.
pub(crate) struct Followers {
    _webhook: Option<http::Server>,
    _work: JoinSet<()>,
}

/// Listens for webhooks, submits labelled issues and tells how their runs go.
pub(crate) async fn follow(
    app: &Arc<App>,
    handle: &Handle,
    on: OnGitHub,
) -> anyhow::Result<Followers> {
    let config = app.config.github.as_ref().expect("BUG: an account has its section");
    let webhook = match &config.webhook {
        Some(webhook) => {
            let what = "the secret of the webhook";
            let secret = webhook.secret.read(what, "github.webhook.secret")?;
            let account = on.account.clone();
            let ear = Arc::new(move |happened: http::Happened| {
                tracing::debug!(event = happened.event, repo = happened.repo, "GitHub says");
                account.stir(&happened.repo);
            });
            let server = http::Server::start(webhook.listen, secret, ear).await;
            let server = server.with_context(|| format!("cannot listen at {}", webhook.listen))?;
            tracing::info!(address = %server.address(), "listening for webhooks");
            Some(server)
        }
        None => None,
    };
    let mut work = JoinSet::new();
    work.spawn(issues::tell(app.clone(), handle.clone(), on.clone()));
    if let Some(label) = config.issue_label.clone() {
        work.spawn(issues::follow_label(app.clone(), handle.clone(), on, label));
    }
    Ok(Followers { _webhook: webhook, _work: work })
}
