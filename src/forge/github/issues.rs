//! Issues: where work comes from, and where people are told how it goes.

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::forge::Error;
use crate::forge::github::client::outside;
use crate::forge::github::wire::{Comment, User, read, read_all};
use crate::forge::github::{Account, encoded};

/// An issue that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Its number.
    pub number: u64,
    /// One line.
    pub title: String,
    /// Its text, in Markdown.
    pub body: String,
    /// Who opened it, as the engine's journal names them; `None`: nobody whose word counts.
    pub author: Option<String>,
    /// Where people find it.
    pub url: String,
}

#[derive(Deserialize)]
struct IssueJson {
    number: u64,
    title: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    user: Option<User>,
    html_url: String,
    state: String,
    /// Pull requests are issues, too.
    #[serde(default)]
    pull_request: Option<Value>,
}

impl Account {
    /// An issue of a repository, if it is there and open.
    pub async fn issue(&self, repo: &str, number: u64) -> Result<Option<Issue>, Error> {
        let what = "show an issue";
        let found = self.client.get(&format!("/repos/{repo}/issues/{number}"), what).await?;
        let found: Option<IssueJson> = found.map(|body| read(body, what)).transpose()?;
        Ok(found.and_then(|found| self.open_issue(found)))
    }

    /// The open issues with a label, the oldest first.
    pub async fn labelled(&self, repo: &str, label: &str) -> Result<Vec<Issue>, Error> {
        let what = "list issues";
        let path = format!(
            "/repos/{repo}/issues?state=open&labels={}&sort=created&direction=asc",
            encoded(label)
        );
        let found: Vec<IssueJson> = read_all(self.client.list(&path, what).await?, what)?;
        Ok(found.into_iter().filter_map(|found| self.open_issue(found)).collect())
    }

    fn open_issue(&self, found: IssueJson) -> Option<Issue> {
        if found.state != "open" || found.pull_request.is_some() {
            return None;
        }
        let login = found.user.map(|user| user.login.to_lowercase());
        Some(Issue {
            number: found.number,
            title: found.title,
            body: found.body.unwrap_or_default(),
            author: login.and_then(|login| self.options().people.get(&login).cloned()),
            url: found.html_url,
        })
    }

    /// Says something about an issue in one comment that is kept current. `marker` names the
    /// comment and is not seen.
    pub async fn keep_said(
        &self,
        repo: &str,
        issue: u64,
        marker: &str,
        text: &str,
    ) -> Result<(), Error> {
        let what = "take a comment";
        let marker = format!("<!-- taskloom {marker} -->");
        let body = format!("{}\n\n{marker}", text.trim_end());
        let path = format!("/repos/{repo}/issues/{issue}/comments");
        let comments: Vec<Comment> = read_all(self.client.list(&path, what).await?, what)?;
        let said = |comment: &&Comment| {
            comment.body.as_deref().is_some_and(|body| body.trim_end().ends_with(&marker))
        };
        let answer = match comments.iter().find(said) {
            Some(comment) if comment.body.as_deref() == Some(&*body) => return Ok(()),
            Some(comment) => {
                let path = format!("/repos/{repo}/issues/comments/{}", comment.id);
                self.client.change(&Method::PATCH, &path, &json!({ "body": body }), what).await?
            }
            None => {
                self.client.change(&Method::POST, &path, &json!({ "body": body }), what).await?
            }
        };
        if answer.is_success() { Ok(()) } else { Err(outside(what, &answer.message())) }
    }
}
