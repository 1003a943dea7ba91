//! A GitHub to test against: what pull requests, reviews, checks and issues do, over a real
//! repository, with GitHub's own description as the judge of all that is said.

pub(crate) mod judge;
pub(crate) mod repo;
mod routes;
mod shapes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use axum::Router;
use serde_json::{Value, json};

use judge::{Document, Exchange};
use repo::Repo;

/// A token that is worth nothing, and that must turn up nowhere.
pub(crate) const TOKEN: &str = "ghp_dummycanary0123456789abcdef";

/// What goes wrong with a request, once.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) method: &'static str,
    /// What its path ends with.
    pub(crate) ends: &'static str,
    pub(crate) how: Trouble,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is done, and the answer is lost.
    After(u16),
    /// Too much at once; how long to wait, in seconds.
    Secondary(u64),
    /// Something happens just before it is done.
    Before(Deed),
}

/// What a person does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Commits to the head branch of pull request `0`.
    Push(u64, &'static str, &'static str),
}

#[derive(Debug, Clone)]
pub(crate) struct PullState {
    pub(crate) number: u64,
    pub(crate) head: String,
    pub(crate) base: String,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) open: bool,
    /// Its head when it was closed or merged.
    pub(crate) last_head: String,
    pub(crate) merged: Option<(String, String)>,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) reviews: Vec<ReviewState>,
    /// How often it is not known yet whether it can be merged.
    pub(crate) computing: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct ReviewState {
    pub(crate) id: u64,
    pub(crate) who: String,
    pub(crate) state: &'static str,
    pub(crate) body: String,
    pub(crate) commit: String,
    pub(crate) lines: Vec<(String, u64, String)>,
}

#[derive(Debug, Clone)]
pub(crate) struct CommentState {
    pub(crate) id: u64,
    pub(crate) issue: u64,
    pub(crate) who: String,
    pub(crate) body: String,
}

#[derive(Debug, Clone)]
pub(crate) struct IssueState {
    pub(crate) number: u64,
    pub(crate) who: String,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) labels: Vec<String>,
    pub(crate) updated: i64,
}

/// Name, status, conclusion, what is said.
pub(crate) type Check = (String, &'static str, Option<&'static str>, String);

pub(crate) struct State {
    pub(crate) repo: Repo,
    pub(crate) begun: Instant,
    pub(crate) pulls: Vec<PullState>,
    pub(crate) issues: Vec<IssueState>,
    pub(crate) comments: Vec<CommentState>,
    /// By commit.
    pub(crate) checks: BTreeMap<String, Vec<Check>>,
    /// Checks without which nothing is merged into a branch.
    pub(crate) required: BTreeMap<String, Vec<String>>,
    /// Every new head gets these checks, queued.
    pub(crate) ci: Vec<String>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) log: Vec<Exchange>,
    pub(crate) tokens: Vec<String>,
    pub(crate) issued: u32,
    pub(crate) down_until: Option<Instant>,
    /// Pushes and fetches that came over HTTP.
    pub(crate) git_requests: u32,
    pub(crate) next: u64,
    pub(crate) document: Option<Arc<Document>>,
}

pub(crate) struct Hub {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    document: Option<Arc<Document>>,
    _runtime: tokio::runtime::Runtime,
}

impl Hub {
    /// With what `source` has, in the repository `octo/shop`.
    #[expect(clippy::disallowed_methods, reason = "a server's own clock")]
    pub(crate) fn start(root: &Path, source: &Path) -> Self {
        let repo = Repo::new(root);
        repo.git(&["fetch", "-q", &source.display().to_string(), "main:refs/heads/main"]);
        let document = Document::load().map(Arc::new);
        let state = Arc::new(Mutex::new(State {
            repo,
            begun: Instant::now(),
            pulls: Vec::new(),
            issues: Vec::new(),
            comments: Vec::new(),
            checks: BTreeMap::new(),
            required: BTreeMap::new(),
            ci: Vec::new(),
            faults: Vec::new(),
            log: Vec::new(),
            tokens: vec![TOKEN.to_owned()],
            issued: 0,
            down_until: None,
            git_requests: 0,
            next: 100,
            document: document.clone(),
        }));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let app = Router::new()
            .fallback(routes::answer)
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(state.clone());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { address, state, document, _runtime: runtime }
    }

    pub(crate) fn api(&self) -> String {
        format!("http://{}/api/v3", self.address)
    }

    pub(crate) fn web(&self) -> String {
        format!("http://{}/git", self.address)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn repo(&self) -> Repo {
        self.state().repo.clone()
    }

    /// Once for the next request that fits.
    pub(crate) fn fault(&self, method: &'static str, ends: &'static str, how: Trouble) {
        self.state().faults.push(Fault { method, ends, how });
    }

    pub(crate) fn pull(&self, head: &str) -> Option<PullState> {
        self.state().pulls.iter().rev().find(|pull| pull.head.ends_with(head)).cloned()
    }

    pub(crate) fn change<T>(&self, number: u64, act: impl FnOnce(&mut PullState) -> T) -> T {
        let mut state = self.state();
        let at = state.pulls.iter().position(|pull| pull.number == number).unwrap();
        state.pulls[at].updated += 5;
        act(&mut state.pulls[at])
    }

    /// A person reviews what is on the pull request now.
    pub(crate) fn review(
        &self,
        number: u64,
        who: &str,
        state: &'static str,
        body: &str,
        lines: &[(&str, u64, &str)],
    ) {
        let repo = self.repo();
        let mut held = self.state();
        let id = held.number();
        let pull = held.pulls.iter_mut().find(|pull| pull.number == number).unwrap();
        let commit = repo.at(&pull.head).unwrap();
        let lines = lines.iter().map(|(p, l, t)| ((*p).to_owned(), *l, (*t).to_owned())).collect();
        let (who, body) = (who.to_owned(), body.to_owned());
        pull.reviews.push(ReviewState { id, who, state, body, commit, lines });
        pull.updated += 5;
    }

    pub(crate) fn comment(&self, issue: u64, who: &str, body: &str) {
        let mut state = self.state();
        let id = state.number();
        let (who, body) = (who.to_owned(), body.to_owned());
        state.comments.push(CommentState { id, issue, who, body });
        if let Some(pull) = state.pulls.iter_mut().find(|pull| pull.number == issue) {
            pull.updated += 5;
        }
    }

    /// A check of the head of a pull request comes to its end.
    pub(crate) fn conclude(&self, number: u64, name: &str, how: &'static str, said: &str) {
        let repo = self.repo();
        let mut state = self.state();
        let pull = state.pulls.iter().find(|pull| pull.number == number).unwrap();
        let head = repo.at(&pull.head).unwrap();
        let checks = state.checks.entry(head).or_default();
        checks.retain(|(known, ..)| known != name);
        checks.push((name.to_owned(), "completed", Some(how), said.to_owned()));
    }

    /// A person presses the button.
    pub(crate) fn merge(&self, number: u64, who: &str) -> String {
        let mut state = self.state();
        state.merge(number, repo::How::Merge, "Merge pull request", who).unwrap()
    }

    pub(crate) fn close(&self, number: u64) {
        let repo = self.repo();
        self.change(number, |pull| {
            pull.open = false;
            pull.last_head = repo.at(&pull.head).unwrap_or_default();
        });
    }

    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.state().log.clone()
    }

    /// Asserts that everything that was said is as GitHub describes it.
    pub(crate) fn finish(self) {
        if let Some(document) = &self.document {
            let wrong = document.verdict(&self.exchanges());
            assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        }
    }
}

impl State {
    pub(crate) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Merges, or says why not, as GitHub does.
    pub(crate) fn merge(
        &mut self,
        number: u64,
        how: repo::How,
        message: &str,
        who: &str,
    ) -> Result<String, (u16, String)> {
        let at = self.pulls.iter().position(|pull| pull.number == number).unwrap();
        let pull = self.pulls[at].clone();
        let head = self.repo.at(&pull.head).ok_or((405, "Pull Request is not mergeable".into()))?;
        if !pull.open || pull.computing > 0 {
            return Err((405, "Pull Request is not mergeable".to_owned()));
        }
        let passed = |name: &String| {
            let checks = self.checks.get(&head).into_iter().flatten();
            checks.into_iter().any(|(n, _, how, _)| n == name && *how == Some("success"))
        };
        let required = self.required.get(&pull.base).into_iter().flatten();
        if let Some(missing) = { required }.find(|name| !passed(name)) {
            let why = format!("Required status check \"{missing}\" is expected.");
            return Err((405, why));
        }
        let merged = self.repo.merge(how, &pull.base, &head, message);
        let commit = merged.ok_or((405, "Pull Request is not mergeable".to_owned()))?;
        let pull = &mut self.pulls[at];
        pull.open = false;
        pull.last_head = head;
        pull.merged = Some((commit.clone(), who.to_owned()));
        pull.updated += 1;
        Ok(commit)
    }

    pub(crate) fn example(&self, name: &str) -> Value {
        self.document.as_ref().map_or_else(|| json!({}), |document| document.example(name))
    }
}
