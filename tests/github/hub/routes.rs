//! What is asked, and what follows.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::judge::Exchange;
use super::repo::How;
use super::{CommentState, Deed, PullState, State, Trouble};

type Said = (u16, Value);

/// Answers one request.
#[expect(clippy::disallowed_methods, reason = "a server's own clock")]
pub(super) async fn answer(
    Shared(shared): Shared<Arc<Mutex<State>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let query = uri.query().unwrap_or_default().to_owned();
    let down = |state: &State| state.down_until.is_some_and(|until| Instant::now() < until);
    if let Some(path) = uri.path().strip_prefix("/git") {
        let repo = {
            let mut state = shared.lock().unwrap();
            state.git_requests += 1;
            let given = headers.get("authorization").and_then(|value| value.to_str().ok());
            let basic = |token: &String| {
                format!("Basic {}", BASE64_STANDARD.encode(format!("x-access-token:{token}")))
            };
            if down(&state) {
                return plain(503, &[], "");
            }
            if !state.tokens.iter().any(|token| given == Some(&basic(token))) {
                return plain(401, &[("www-authenticate", "Basic realm=\"GitHub\"")], "");
            }
            state.repo.clone()
        };
        let (path, method) = (path.to_owned(), method.to_string());
        let served = tokio::task::spawn_blocking(move || {
            repo.serve(&method, &path, &query, &headers, &body)
        });
        return served.await.unwrap();
    }
    let path = uri.path().strip_prefix("/api/v3").unwrap_or(uri.path()).to_owned();
    let asked: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let work = tokio::task::spawn_blocking(move || {
        let mut state = shared.lock().unwrap();
        let at_ms = u64::try_from(state.begun.elapsed().as_millis()).unwrap();
        let mut extra = Vec::new();
        let (status, answer) = if down(&state) {
            (503, json!({ "message": "Service unavailable" }))
        } else {
            state.ask(&method, &path, &query, &headers, &asked, &mut extra)
        };
        let body = if matches!(method, Method::GET) { Value::Null } else { asked };
        let (method, answered) = (method.to_string(), answer.clone());
        state.log.push(Exchange { method, path, query, body, status, answer, at_ms });
        let text = answered.to_string();
        let etag = format!("\"{:x}\"", Sha256::digest(&text));
        extra.push(("etag".to_owned(), etag.clone()));
        let known = headers.get("if-none-match").and_then(|value| value.to_str().ok());
        if status == 200 && known == Some(&etag) {
            let last = state.log.last_mut().unwrap();
            (last.status, last.answer) = (304, Value::Null);
            return (304, extra, String::new());
        }
        (status, extra, text)
    });
    let (status, extra, text) = work.await.unwrap();
    let extra: Vec<(&str, &str)> = extra.iter().map(|(k, v)| (&**k, &**v)).collect();
    plain(status, &extra, &text)
}

fn plain(status: u16, headers: &[(&str, &str)], text: &str) -> Response<Body> {
    let mut answer = Response::builder().status(StatusCode::from_u16(status).unwrap());
    answer = answer.header("content-type", "application/json");
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer.body(Body::from(text.to_owned())).unwrap()
}

fn error(status: u16, message: &str) -> Said {
    let url = "https://docs.github.com/rest";
    (status, json!({ "message": message, "documentation_url": url, "status": status.to_string() }))
}

fn invalid(message: &str) -> Said {
    let url = "https://docs.github.com/rest";
    let errors = json!([{ "resource": "PullRequest", "code": "custom", "message": message }]);
    (422, json!({ "message": "Validation Failed", "documentation_url": url, "errors": errors }))
}

fn field(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

impl State {
    fn ask(
        &mut self,
        method: &Method,
        path: &str,
        query: &str,
        headers: &HeaderMap,
        body: &Value,
        extra: &mut Vec<(String, String)>,
    ) -> Said {
        let given = headers.get("authorization").and_then(|value| value.to_str().ok());
        let given = given.unwrap_or_default().to_owned();
        if path.starts_with("/app/installations/") {
            return self.install(&given);
        }
        if !self.tokens.iter().any(|token| given == format!("Bearer {token}")) {
            return error(401, "Bad credentials");
        }
        let fits =
            |fault: &super::Fault| fault.method == method.as_str() && path.ends_with(fault.ends);
        let fault = self.faults.iter().position(fits).map(|at| self.faults.remove(at).how);
        match fault {
            Some(Trouble::Secondary(seconds)) => {
                extra.push(("retry-after".to_owned(), seconds.to_string()));
                return error(403, "You have exceeded a secondary rate limit.");
            }
            Some(Trouble::Before(deed)) => self.act(&deed),
            Some(Trouble::After(status)) => {
                self.route(method, path, query, body);
                return error(status, "it broke afterwards");
            }
            None => {}
        }
        self.route(method, path, query, body)
    }

    fn act(&mut self, deed: &Deed) {
        match deed {
            Deed::Push(number, file, text) => {
                let pull = self.pulls.iter().find(|pull| pull.number == *number).unwrap();
                self.repo.edit(&pull.head, file, text);
            }
        }
    }

    /// A token of the app for an hour; the ones before it are not taken any more.
    fn install(&mut self, given: &str) -> Said {
        if given.strip_prefix("Bearer ").is_none_or(|jwt| jwt.matches('.').count() != 2) {
            return error(401, "A JSON web token could not be decoded");
        }
        self.issued += 1;
        let token = format!("ghs_dummycanary{}", self.issued);
        self.tokens = vec![token.clone()];
        let mut answer = self.example("installation-token");
        answer["token"] = json!(token);
        answer["expires_at"] = json!("2099-01-01T00:00:00Z");
        (201, answer)
    }

    fn route(&mut self, method: &Method, path: &str, query: &str, body: &Value) -> Said {
        let Some(rest) = path.strip_prefix("/repos/octo/shop") else {
            return error(404, "Not Found");
        };
        let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
        let number = |text: &str| text.parse::<u64>().unwrap_or(0);
        match (method.as_str(), &parts[..]) {
            ("GET", []) => {
                let mut repo = self.example("full-repository-default-response");
                repo["full_name"] = json!("octo/shop");
                repo["archived"] = json!(false);
                repo["permissions"] = json!({ "admin": false, "push": true, "pull": true });
                (200, repo)
            }
            ("GET", ["pulls"]) => (200, self.list(query)),
            ("POST", ["pulls"]) => self.open(body),
            ("GET", ["pulls", n]) if self.has(number(n)) => (200, self.full(number(n))),
            ("PATCH", ["pulls", n]) if self.has(number(n)) => self.patch(number(n), body),
            ("PUT", ["pulls", n, "merge"]) if self.has(number(n)) => self.put(number(n), body),
            ("GET", ["pulls", n, "reviews"]) if self.has(number(n)) => {
                let pull = self.pulls.iter().find(|pull| pull.number == number(n)).unwrap();
                (200, pull.reviews.iter().map(|review| self.review(review)).collect())
            }
            ("GET", ["pulls", n, "reviews", id, "comments"]) if self.has(number(n)) => {
                let pull = self.pulls.iter().find(|pull| pull.number == number(n)).unwrap();
                let review = pull.reviews.iter().find(|review| review.id == number(id)).unwrap();
                let lines = review.lines.iter();
                (200, lines.map(|(path, line, body)| self.line(path, *line, body)).collect())
            }
            (_, ["issues", ..]) => self.issues(method, &parts[1..], query, body),
            ("GET", ["commits", sha, "check-runs"]) => (200, self.check_runs(sha)),
            ("GET", ["commits", sha, "status"]) => {
                let mut status = self.example("combined-commit-status");
                status["sha"] = json!(sha);
                status["statuses"] = json!([]);
                status["total_count"] = json!(0);
                status["state"] = json!("pending");
                (200, status)
            }
            _ => error(404, "Not Found"),
        }
    }

    fn issues(&mut self, method: &Method, parts: &[&str], query: &str, body: &Value) -> Said {
        let number = |text: &str| text.parse::<u64>().unwrap_or(0);
        match (method.as_str(), parts) {
            ("GET", []) => {
                let issues = self.issues.iter().filter(|issue| {
                    query.split('&').all(|part| match part.split_once('=') {
                        Some(("labels", label)) => issue.labels.iter().any(|known| known == label),
                        _ => true,
                    })
                });
                (200, issues.map(|issue| self.issue(issue)).collect())
            }
            ("GET", [n]) => match self.issues.iter().find(|i| i.number == number(n)) {
                Some(issue) => (200, self.issue(issue)),
                None => error(404, "Not Found"),
            },
            ("GET", [n, "comments"]) => {
                let of = self.comments.iter().filter(|comment| comment.issue == number(n));
                (200, of.map(|comment| self.comment(comment)).collect())
            }
            ("POST", [n, "comments"]) => {
                let (id, issue) = (self.number(), number(n));
                let (who, body) = ("taskloom[bot]".to_owned(), field(body, "body"));
                self.comments.push(CommentState { id, issue, who, body });
                (201, self.comment(self.comments.last().unwrap()))
            }
            ("PATCH", ["comments", id]) => {
                let id = number(id);
                let comment = self.comments.iter_mut().find(|comment| comment.id == id).unwrap();
                comment.body = field(body, "body");
                let comment = comment.clone();
                (200, self.comment(&comment))
            }
            _ => error(404, "Not Found"),
        }
    }

    fn has(&self, number: u64) -> bool {
        self.pulls.iter().any(|pull| pull.number == number)
    }

    fn list(&self, query: &str) -> Value {
        let decoded = |text: &str| text.replace("%2F", "/");
        let fits = |pull: &&PullState| {
            query.split('&').all(|part| match part.split_once('=') {
                Some(("state", "open")) => pull.open,
                Some(("head", head)) => decoded(head) == format!("octo:{}", pull.head),
                Some(("base", base)) => decoded(base) == pull.base,
                _ => true,
            })
        };
        let page: usize = query
            .split('&')
            .find_map(|part| part.strip_prefix("page="))
            .map_or(1, |page| page.parse().unwrap());
        let found = self.pulls.iter().rev().filter(fits).skip((page - 1) * 100).take(100);
        found.map(|pull| self.simple(pull)).collect()
    }

    fn open(&mut self, body: &Value) -> Said {
        let (head, base) = (field(body, "head"), field(body, "base"));
        let (Some(head_at), Some(_)) = (self.repo.at(&head), self.repo.at(&base)) else {
            return invalid("The head or base does not exist");
        };
        if self.pulls.iter().any(|pull| pull.open && pull.head == head && pull.base == base) {
            return invalid(&format!("A pull request already exists for octo:{head}."));
        }
        if self.repo.contains(&base, &head_at) {
            return invalid(&format!("No commits between {base} and {head}"));
        }
        let number = self.pulls.iter().map(|pull| pull.number).max().unwrap_or(0) + 1;
        self.ci_for(&head_at);
        self.pulls.push(PullState {
            number,
            head,
            base,
            title: field(body, "title"),
            body: field(body, "body"),
            open: true,
            last_head: head_at,
            merged: None,
            created: 1_800_000_000,
            updated: 1_800_000_000,
            reviews: Vec::new(),
            computing: 1,
        });
        (201, self.full(number))
    }

    fn ci_for(&mut self, head: &str) {
        let names = self.ci.clone();
        let checks = self.checks.entry(head.to_owned()).or_default();
        for name in names {
            if !checks.iter().any(|(known, ..)| *known == name) {
                checks.push((name, "queued", None, String::new()));
            }
        }
    }

    fn patch(&mut self, number: u64, body: &Value) -> Said {
        let repo = self.repo.clone();
        let pull = self.pulls.iter_mut().find(|pull| pull.number == number).unwrap();
        if let Some(state) = body["state"].as_str() {
            let reopens = state == "open" && !pull.open;
            if reopens && (pull.merged.is_some() || repo.at(&pull.head).is_none()) {
                return invalid("state cannot be changed");
            }
            if state == "closed" && pull.open {
                pull.last_head = repo.at(&pull.head).unwrap_or_default();
            }
            pull.open = state == "open";
        }
        if let Some(title) = body["title"].as_str() {
            pull.title = title.to_owned();
        }
        if let Some(text) = body["body"].as_str() {
            pull.body = text.to_owned();
        }
        pull.updated += 1;
        (200, self.full(number))
    }

    fn put(&mut self, number: u64, body: &Value) -> Said {
        let pull = self.pulls.iter().find(|pull| pull.number == number).unwrap().clone();
        if pull.merged.is_some() {
            return error(405, "Pull Request is not mergeable");
        }
        if body["sha"].as_str() != Some(&self.head_of(&pull)) {
            let why = "Head branch was modified. Review and try the merge again.";
            return error(409, why);
        }
        let how = match body["merge_method"].as_str() {
            Some("squash") => How::Squash,
            Some("rebase") => How::Rebase,
            _ => How::Merge,
        };
        let message =
            format!("{}\n\n{}", field(body, "commit_title"), field(body, "commit_message"));
        match self.merge(number, how, message.trim_end(), "taskloom[bot]") {
            Ok(sha) => {
                let message = "Pull Request successfully merged";
                (200, json!({ "sha": sha, "merged": true, "message": message }))
            }
            Err((status, why)) => error(status, &why),
        }
    }
}
