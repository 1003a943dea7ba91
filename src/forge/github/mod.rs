//! GitHub as a forge: pull requests that others act on, too.
//!
//! Every pull request is named by its head branch, which is the run's and the task's own. Whatever
//! answer is lost, the pull request is looked up again; its number is noted under
//! `refs/taskloom/github/<digest of head>/<number>`. Only a head that the engine pushed and
//! verified is merged, by its commit id.

mod auth;
mod branches;
mod client;
mod issues;
mod look;
mod pace;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::crash;
use crate::forge::{
    Error, Forge, MergeOrder, Opened, Outcome, Proposal, Pull, Standing, digest, move_here,
    must_be, must_own, whole_message,
};
use crate::git::{Bare, BranchName, Merged, Method as MergeMethod, Pushed, RefName};
use crate::ids::CommitId;
use crate::state::PullNews;
use crate::time::Clock;

pub use auth::Identity;
pub use client::Counts;
pub use issues::Issue;
pub use pace::Limits;

use auth::Auth;
use client::{Client, outside};
use look::Seen;
use wire::{PullJson, read, read_all};

/// What stays as it is in a part of a path or query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/');

/// How often it is asked whether a pull request can be merged while GitHub computes that, and how
/// long is waited in between.
const COMPUTING_TRIES: u32 = 6;
const COMPUTING: Duration = Duration::from_secs(2);

/// How an account on GitHub is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Who the engine is there.
    pub identity: Identity,
    /// Where requests go, without a slash at the end: `https://api.github.com`.
    pub api: String,
    /// Where repositories are, without a slash at the end: `https://github.com`.
    pub web: String,
    /// How fast.
    pub limits: Limits,
    /// How long between two looks, where nothing is heard by a webhook.
    pub interval: Duration,
    /// Whose reviews and comments count, by their names there in small letters, and how the
    /// engine's journal names them. Nobody else's do.
    pub people: BTreeMap<String, String>,
    /// What a comment to the bot begins with, after the `@`.
    pub mention: String,
    /// Checks that must have passed, also where they have not begun.
    pub required_checks: Vec<String>,
    /// Whether failed checks go back to the agent.
    pub checks_go_back: bool,
    /// Whether reviews and comments go back to the agent.
    pub reviews_go_back: bool,
}

/// One account with all its repositories: they share its limits.
pub struct Account {
    options: RwLock<Arc<Options>>,
    client: Client,
    clock: Arc<dyn Clock>,
    stirred: Mutex<HashMap<String, Arc<Notify>>>,
    any: Notify,
}

impl Account {
    /// Nothing is asked yet.
    pub fn new(options: Options, clock: Arc<dyn Clock>) -> Self {
        let auth = Auth::new(options.identity.clone(), &options.api, clock.clone());
        let client = Client::new(auth, options.limits, clock.clone());
        let options = RwLock::new(Arc::new(options));
        Self { options, client, clock, stirred: Mutex::default(), any: Notify::new() }
    }

    /// Takes over another configuration, but for who the engine is and where requests go.
    pub fn adjust(&self, options: Options) {
        self.client.pace(options.limits);
        let Options { identity, api, web, .. } = (*self.options()).clone();
        let options = Options { identity, api, web, ..options };
        *self.options.write().expect("BUG: nobody panics with this lock") = Arc::new(options);
        self.any.notify_waiters();
    }

    fn options(&self) -> Arc<Options> {
        self.options.read().expect("BUG: nobody panics with this lock").clone()
    }

    /// Something happened in a repository: whoever waits looks again.
    pub fn stir(&self, repo: &str) {
        self.waker(repo).notify_waiters();
        self.any.notify_waiters();
    }

    /// Says what keeps the engine from working on a repository.
    pub async fn check(&self, name: &str) -> Result<(), Error> {
        let what = "show the repository";
        let repo = self.client.get(&format!("/repos/{name}"), what).await?;
        let denied = |why: &str| Error::Denied {
            forge: "GitHub".to_owned(),
            what: format!("let {name} be worked on"),
            why: why.to_owned(),
        };
        let repo = repo
            .ok_or_else(|| denied("there is no such repository, or the token does not reach it"))?;
        if repo["archived"] == true {
            return Err(denied("it is archived"));
        }
        if repo["permissions"]["push"] == false {
            return Err(denied("the token may not push"));
        }
        Ok(())
    }

    /// How long between two looks.
    pub fn interval(&self) -> Duration {
        self.options().interval
    }

    /// Comes back when another look at any repository may find something new.
    pub async fn any_stirred(&self) {
        tokio::select! {
            () = self.any.notified() => {}
            () = tokio::time::sleep(self.options().interval) => {}
        }
    }

    /// Why the last request was not answered, if it was not.
    pub fn trouble(&self) -> Option<String> {
        self.client.trouble()
    }

    /// What was asked so far.
    pub fn counts(&self) -> Counts {
        self.client.counts()
    }

    fn waker(&self, repo: &str) -> Arc<Notify> {
        let mut stirred = self.stirred.lock().expect("BUG: nobody panics with this lock");
        stirred.entry(repo.to_lowercase()).or_default().clone()
    }
}

/// One repository on GitHub.
pub struct GitHub {
    account: Arc<Account>,
    /// `octo/shop`.
    repo: String,
    bare: Bare,
    seen: Seen,
    /// Held while a branch is brought here: git takes no two into one ref at once.
    bringing: tokio::sync::Mutex<()>,
}

impl GitHub {
    /// The repository `repo`, as `octo/shop`, whose work is done in `bare`.
    pub fn new(account: Arc<Account>, repo: &str, bare: Bare) -> Self {
        let (seen, bringing) = (Seen::default(), tokio::sync::Mutex::default());
        Self { account, repo: repo.to_owned(), bare, seen, bringing }
    }

    fn client(&self) -> &Client {
        &self.account.client
    }

    fn git_url(&self) -> String {
        format!("{}/{}.git", self.account.options().web, self.repo)
    }

    fn path(&self, rest: &str) -> String {
        format!("/repos/{}{rest}", self.repo)
    }

    /// What every pull request of the engine says about itself where nobody reads it.
    fn marker(head: &BranchName) -> String {
        format!("<!-- taskloom {head} -->")
    }

    /// The pull request of a number, as it is now.
    async fn pull(&self, number: u64) -> Result<Option<PullJson>, Error> {
        let what = "show a pull request";
        let body = self.client().get(&self.path(&format!("/pulls/{number}")), what).await?;
        body.map(|body| read(body, what)).transpose()
    }

    /// The highest number that is noted of a head branch's pull requests.
    async fn noted(&self, head: &BranchName) -> Result<Option<u64>, Error> {
        let below = numbers_below(head);
        let refs = self.bare.heads(&below).await?;
        let numbers = refs.keys().filter_map(|name| name.as_str().strip_prefix(&below));
        Ok(numbers.filter_map(|number| number.parse().ok()).max())
    }

    /// The pull request that was opened last, if one was.
    async fn known(&self, pull: &Pull) -> Result<Option<PullJson>, Error> {
        if let Some(number) = self.noted(&pull.head).await?
            && let Some(found) = self.pull(number).await?
            && found.base.name == pull.base.as_str()
        {
            return Ok(Some(found));
        }
        let Some(found) = self.look_up(pull).await? else { return Ok(None) };
        self.note(&pull.head, &found).await?;
        // A list leaves out how it was merged, or could be.
        self.pull(found.number).await
    }

    /// Finds the pull request of a head branch where nothing is noted: the open one, else the
    /// latest.
    async fn look_up(&self, pull: &Pull) -> Result<Option<PullJson>, Error> {
        let owner = self.repo.split('/').next().unwrap_or_default();
        let (head, base) = (encoded(pull.head.as_str()), encoded(pull.base.as_str()));
        let rest = format!("/pulls?state=all&head={owner}:{head}&base={base}");
        let what = "list pull requests";
        let found = self.client().list(&self.path(&rest), what).await?;
        let mut found: Vec<PullJson> = read_all(found, what)?;
        found.retain(|p| p.head.name == pull.head.as_str() && p.base.name == pull.base.as_str());
        let marker = Self::marker(&pull.head);
        let ours = |p: &PullJson| p.body.as_ref().is_some_and(|body| body.contains(&marker));
        if let Some(foreign) = found.iter().find(|p| p.is_open() && !ours(p)) {
            return Err(Error::Foreign {
                what: format!(
                    "{} proposes `{}` and was not opened by Taskloom; close it, then retry",
                    foreign.html_url, pull.head
                ),
            });
        }
        found.retain(ours);
        Ok(found.into_iter().max_by_key(|p| (p.is_open(), p.number)))
    }

    async fn note(&self, head: &BranchName, found: &PullJson) -> Result<(), Error> {
        let name = format!("{}{}", numbers_below(head), found.number);
        let name = RefName::new(&name).expect("BUG: a number fits into a ref");
        // Any commit will do that is here; the head is.
        let at = self.bare.lookup(&head.to_ref()).await?;
        if let Some(at) = at {
            self.bare.note(&name, &at).await?;
        }
        Ok(())
    }

    async fn create(&self, proposal: &Proposal<'_>) -> Result<Opened, Error> {
        let pull = proposal.pull;
        let body = json!({
            "title": proposal.title,
            "head": pull.head.as_str(),
            "base": pull.base.as_str(),
            "body": full_body(proposal),
        });
        let what = "open a pull request";
        let answer = self.client().change(&Method::POST, &self.path("/pulls"), &body, what).await;
        match answer {
            Ok(answer) if answer.is_success() => {
                crash::point("github.created");
                let made: PullJson = read(answer.body, what)?;
                self.note(&pull.head, &made).await?;
                Ok(Opened::Pull { url: made.html_url })
            }
            Ok(answer) if answer.message().contains("No commits between") => {
                Ok(Opened::NothingAhead)
            }
            // It may be there all the same, since before or since just now.
            refused => match self.look_up(pull).await? {
                Some(found) if found.is_open() => {
                    self.note(&pull.head, &found).await?;
                    Ok(Opened::Pull { url: found.html_url })
                }
                _ => Err(match refused {
                    Ok(answer) => outside(what, &answer.message()),
                    Err(error) => error,
                }),
            },
        }
    }

    /// Brings title and body of a pull request up to date, and opens it if it is closed.
    async fn update(&self, found: &PullJson, proposal: &Proposal<'_>) -> Result<bool, Error> {
        let body = full_body(proposal);
        let same = found.title == proposal.title && found.body.as_deref() == Some(&*body);
        if same && found.is_open() {
            return Ok(true);
        }
        let change = json!({"title": proposal.title, "body": body, "state": "open"});
        let path = self.path(&format!("/pulls/{}", found.number));
        let what = "change a pull request";
        let answer = self.client().change(&Method::PATCH, &path, &change, what).await?;
        // One whose branch was deleted or rewritten cannot be opened again.
        Ok(answer.is_success())
    }

    /// Asks for the merge, and finds out what became of it whatever the answer is.
    async fn ask_merge(
        &self,
        found: &PullJson,
        order: &MergeOrder<'_>,
    ) -> Result<Option<Outcome>, Error> {
        let message = whole_message(order);
        let (title, text) = message.split_once('\n').unwrap_or((&message, ""));
        let method = match order.method {
            MergeMethod::Merge => "merge",
            MergeMethod::Squash => "squash",
            MergeMethod::Rebase => "rebase",
        };
        let mut body = json!({"sha": order.head.as_str(), "merge_method": method});
        if order.method != MergeMethod::Rebase {
            body["commit_title"] = Value::from(title);
            body["commit_message"] = Value::from(text.trim());
        }
        let path = self.path(&format!("/pulls/{}/merge", found.number));
        let what = "merge a pull request";
        let answer = self.client().change(&Method::PUT, &path, &body, what).await;
        if let Ok(answer) = &answer
            && let Some(sha) = answer.body["sha"].as_str().filter(|_| answer.is_success())
            && let Ok(commit) = sha.parse()
        {
            crash::point("github.merged");
            return Ok(Some(Outcome::Merged { commit }));
        }
        let now = self.pull(found.number).await?;
        let now = now.ok_or_else(|| Error::NotOpen { head: branch(&found.head.name) })?;
        if let Some(commit) = merged(&now) {
            return Ok(Some(Outcome::Merged { commit }));
        }
        let answer = answer?;
        must_be(&branch(&now.head.name), order.head, &now.head.sha)?;
        match (answer.status, now.mergeable) {
            // GitHub is still computing whether it can be merged, or the base moved just now.
            (405, None) => Ok(None),
            (405, _) if answer.message().contains("Base branch was modified") => Ok(None),
            (405 | 409 | 422, _) => Ok(Some(Outcome::Held { why: answer.message() })),
            _ => Err(outside(what, &answer.message())),
        }
    }

    /// The base as it is after a merge, which GitHub's git may show a moment later.
    async fn after(&self, pull: &Pull, commit: CommitId) -> Result<Outcome, Error> {
        for _ in 0..COMPUTING_TRIES {
            if let Some(base) = self.bring(&pull.base).await?
                && self.bare.holds(&commit).await?
                && self.bare.is_ancestor(&commit, &base).await?
            {
                return Ok(Outcome::Merged { commit });
            }
            tokio::time::sleep(COMPUTING).await;
        }
        Err(outside("show what it merged", &format!("`{}` lacks {commit}", pull.base)))
    }
}

#[async_trait]
impl Forge for GitHub {
    async fn open(&self, proposal: &Proposal<'_>) -> Result<Opened, Error> {
        let pull = proposal.pull;
        must_own(&pull.head)?;
        self.set_there(&pull.head, proposal.commit).await?;
        crash::point("github.pushed");
        let Some(found) = self.known(pull).await? else { return self.create(proposal).await };
        let same = found.head.sha == *proposal.commit;
        if found.is_merged() {
            return if same { Ok(Opened::AlreadyMerged) } else { self.create(proposal).await };
        }
        if self.update(&found, proposal).await? {
            return Ok(Opened::Pull { url: found.html_url });
        }
        self.create(proposal).await
    }

    async fn find_by_head(&self, head: &BranchName) -> Result<Option<Pull>, Error> {
        let Some(number) = self.noted(head).await? else { return Ok(None) };
        let found = self.pull(number).await?;
        Ok(found.map(|found| Pull { head: head.clone(), base: branch(&found.base.name) }))
    }

    async fn inspect(&self, pull: &Pull) -> Result<Standing, Error> {
        let Some(found) = self.known(pull).await? else { return Ok(Standing::Closed) };
        if let Some(commit) = merged(&found) {
            return Ok(Standing::Merged { commit });
        }
        if !found.is_open() {
            return Ok(Standing::Closed);
        }
        let (head, base) = (found.head.sha, found.base.sha);
        self.bring_aside(&pull.head).await?;
        self.bring(&pull.base).await?;
        let conflicts = match self.bare.merge_tree(&base, &head).await? {
            Merged::Tree(_) => Vec::new(),
            Merged::Conflict { files, .. } => files,
        };
        Ok(Standing::Open { head, base, conflicts })
    }

    async fn merge(&self, pull: &Pull, order: &MergeOrder<'_>) -> Result<Outcome, Error> {
        must_own(&pull.head)?;
        let not_open = || Error::NotOpen { head: pull.head.clone() };
        for _ in 0..COMPUTING_TRIES {
            let found = self.known(pull).await?.ok_or_else(not_open)?;
            if found.head.name != pull.head.as_str() {
                return Err(not_open());
            }
            if let Some(commit) = merged(&found) {
                return self.after(pull, commit).await;
            }
            must_be(&pull.head, order.head, &found.head.sha)
                .inspect_err(|_| self.account.stir(&self.repo))?;
            if !found.is_open() {
                return Err(not_open());
            }
            let base = self.bring(&pull.base).await?;
            let base = base.ok_or_else(|| Error::NoBranch { branch: pull.base.clone() })?;
            if let Some(expected) = order.base {
                must_be(&pull.base, expected, &base)?;
            }
            if self.bare.is_ancestor(order.head, &base).await? {
                return Ok(Outcome::UpToDate);
            }
            if let Merged::Conflict { files, notes } =
                self.bare.merge_tree(&base, order.head).await?
            {
                return Ok(Outcome::Conflict { files, notes });
            }
            match self.ask_merge(&found, order).await? {
                Some(Outcome::Merged { commit }) => return self.after(pull, commit).await,
                Some(other) => return Ok(other),
                None => tokio::time::sleep(COMPUTING).await,
            }
        }
        Ok(Outcome::Held { why: "GitHub does not say whether it can be merged".to_owned() })
    }

    async fn comment(&self, pull: &Pull, text: &str) -> Result<(), Error> {
        let Some(found) = self.known(pull).await? else { return Ok(()) };
        let path = self.path(&format!("/issues/{}/comments", found.number));
        let body = json!({"body": text});
        self.client().change(&Method::POST, &path, &body, "take a comment").await.map(drop)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn name(&self) -> Option<String> {
        Some(format!("{} on GitHub", self.repo))
    }

    async fn check(&self) -> Result<(), Error> {
        self.account.check(&self.repo).await
    }

    async fn publish(&self, branch: &BranchName) -> Result<(), Error> {
        must_own(branch)?;
        let here = self.bare.lookup(&branch.to_ref()).await?;
        let here = here.ok_or_else(|| Error::NoBranch { branch: branch.clone() })?;
        match self.push(branch, None, Some(&here)).await? {
            Pushed::Done => Ok(()),
            // Others may have added to it already.
            Pushed::Stale { .. } => self.bring(branch).await.map(drop),
            Pushed::Refused { why } => Err(rejected(branch, why)),
        }
    }

    async fn take_in(&self, branch: &BranchName) -> Result<Option<CommitId>, Error> {
        self.bring(branch).await
    }

    async fn take_aside(&self, head: &BranchName) -> Result<Option<CommitId>, Error> {
        let there = self.bring_aside(head).await?;
        if let Some(commit) = &there {
            // It is the engine's to go on from, once it was taken in.
            self.note_pushed(head, commit).await?;
        }
        Ok(there)
    }

    async fn look(&self, pull: &Pull) -> Result<PullNews, Error> {
        self.news(pull).await
    }

    async fn stirred(&self) {
        let waker = self.account.waker(&self.repo);
        tokio::select! {
            () = waker.notified() => {}
            () = tokio::time::sleep(self.account.options().interval) => {}
        }
    }

    async fn move_back(
        &self,
        branch: &BranchName,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<(), Error> {
        must_own(branch)?;
        match self.push(branch, Some(from), Some(to)).await? {
            Pushed::Done => move_here(&self.bare, branch, from, to).await,
            Pushed::Stale { found: Some(found) } => must_be(branch, from, &found),
            Pushed::Stale { found: None } => Err(Error::NoBranch { branch: branch.clone() }),
            Pushed::Refused { why } => Err(rejected(branch, why)),
        }
    }

    async fn close(&self, pull: &Pull) -> Result<(), Error> {
        let Some(found) = self.known(pull).await?.filter(PullJson::is_open) else { return Ok(()) };
        let path = self.path(&format!("/pulls/{}", found.number));
        let body = json!({"state": "closed"});
        let what = "close a pull request";
        let answer = self.client().change(&Method::PATCH, &path, &body, what).await?;
        match answer.is_success() {
            true => Ok(()),
            false => Err(outside(what, &answer.message())),
        }
    }

    async fn retire(&self, branch: &BranchName, commit: &CommitId) -> Result<(), Error> {
        must_own(branch)?;
        self.drop_there(branch, commit).await
    }

    async fn delete_branch(&self, head: &BranchName, commit: &CommitId) -> Result<(), Error> {
        must_own(head)?;
        self.drop_branch(head, commit).await
    }
}

fn numbers_below(head: &BranchName) -> String {
    format!("refs/taskloom/github/{}/", digest(head))
}

fn rejected(branch: &BranchName, why: String) -> Error {
    Error::Rejected { forge: "GitHub".to_owned(), branch: branch.clone(), why }
}

fn full_body(proposal: &Proposal<'_>) -> String {
    format!("{}\n\n{}", proposal.body.trim_end(), GitHub::marker(&proposal.pull.head))
}

/// The commit by which it is merged, if it is.
fn merged(pull: &PullJson) -> Option<CommitId> {
    pull.merge_commit_sha.clone().filter(|_| pull.is_merged())
}

fn branch(name: &str) -> BranchName {
    BranchName::new(name).expect("BUG: GitHub named a branch that was asked for")
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}
