//! GitHub's answers: its own examples, filled with what is known.

use chrono::DateTime;
use serde_json::{Value, json};

use super::{CommentState, IssueState, PullState, ReviewState, State};

pub(crate) fn time(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0).unwrap().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Sets fields of an example, other ones of it stay.
fn filled(mut example: Value, fields: Value) -> Value {
    for (name, value) in fields.as_object().unwrap() {
        match (example.get_mut(name), value) {
            (Some(old @ Value::Object(_)), Value::Object(_)) => {
                *old = filled(old.clone(), value.clone());
            }
            _ => example[name] = value.clone(),
        }
    }
    example
}

impl State {
    pub(crate) fn head_of(&self, pull: &PullState) -> String {
        let live = self.repo.at(&pull.head).filter(|_| pull.open);
        live.unwrap_or_else(|| pull.last_head.clone())
    }

    fn common(&self, pull: &PullState) -> Value {
        let head = self.head_of(pull);
        let base = self.repo.at(&pull.base).unwrap_or_else(|| head.clone());
        let merged = pull.merged.as_ref();
        json!({
            "number": pull.number,
            "html_url": format!("https://github.com/octo/shop/pull/{}", pull.number),
            "state": if pull.open { "open" } else { "closed" },
            "title": pull.title,
            "body": pull.body,
            "head": { "ref": pull.head, "sha": head },
            "base": { "ref": pull.base, "sha": base },
            "created_at": time(pull.created),
            "updated_at": time(pull.updated),
            "merged_at": merged.map(|_| time(pull.updated)),
            "closed_at": (!pull.open).then(|| time(pull.updated)),
            "merge_commit_sha": merged.map(|(commit, _)| commit.clone()),
        })
    }

    pub(crate) fn simple(&self, pull: &PullState) -> Value {
        let mut example = self.example("pull-request-simple-items");
        let example = example.get_mut(0).map_or_else(|| json!({}), Value::take);
        filled(example, self.common(pull))
    }

    pub(crate) fn full(&mut self, number: u64) -> Value {
        let at = self.pulls.iter().position(|pull| pull.number == number).unwrap();
        let computing = self.pulls[at].computing > 0;
        self.pulls[at].computing = self.pulls[at].computing.saturating_sub(1);
        let pull = self.pulls[at].clone();
        let head = self.head_of(&pull);
        let clean = pull.open && !self.repo.conflicts(&pull.base, &head);
        let checks = self.checks.get(&head).into_iter().flatten();
        let passed: Vec<&String> = checks
            .filter(|(_, _, how, _)| *how == Some("success"))
            .map(|(name, ..)| name)
            .collect();
        let mut required = self.required.get(&pull.base).into_iter().flatten();
        let blocked = required.any(|name| !passed.contains(&name));
        let state = match (computing, clean, blocked) {
            (true, ..) => "unknown",
            (_, false, _) => "dirty",
            (_, _, true) => "blocked",
            _ => "clean",
        };
        let fields = json!({
            "mergeable": (!computing && pull.open).then_some(clean),
            "mergeable_state": state,
            "merged": pull.merged.is_some(),
            "merged_by": pull.merged.as_ref().map(|(_, who)| self.user(who)),
        });
        filled(filled(self.example("pull-request"), self.common(&pull)), fields)
    }

    pub(crate) fn user(&self, login: &str) -> Value {
        let example = self.example("issue-comment")["user"].clone();
        let example = if example.is_object() { example } else { json!({}) };
        filled(example, json!({ "login": login }))
    }

    pub(crate) fn review(&self, review: &ReviewState) -> Value {
        let mut example = self.example("pull-request-review-items");
        let example = example.get_mut(0).map_or_else(|| json!({}), Value::take);
        filled(
            example,
            json!({
                "id": review.id,
                "user": self.user(&review.who),
                "state": review.state,
                "body": review.body,
                "commit_id": review.commit,
                "submitted_at": time(1_800_000_000),
            }),
        )
    }

    pub(crate) fn line(&self, path: &str, line: u64, body: &str) -> Value {
        let mut example = self.example("review-comment-items");
        let example = example.get_mut(0).map_or_else(|| json!({}), Value::take);
        filled(example, json!({ "path": path, "line": line, "body": body }))
    }

    pub(crate) fn comment(&self, comment: &CommentState) -> Value {
        filled(
            self.example("issue-comment"),
            json!({ "id": comment.id, "user": self.user(&comment.who), "body": comment.body }),
        )
    }

    pub(crate) fn issue(&self, issue: &IssueState) -> Value {
        let labels: Vec<Value> = issue.labels.iter().map(|name| json!({ "name": name })).collect();
        let mut example = self.example("issue");
        if let Some(fields) = example.as_object_mut() {
            fields.remove("pull_request");
        }
        let mut filled = filled(
            example,
            json!({
                "number": issue.number,
                "html_url": format!("https://github.com/octo/shop/issues/{}", issue.number),
                "title": issue.title,
                "body": issue.body,
                "state": "open",
                "user": self.user(&issue.who),
                "updated_at": time(issue.updated),
            }),
        );
        filled["labels"] = json!(labels);
        filled
    }

    pub(crate) fn check_runs(&self, commit: &str) -> Value {
        let example = self.example("check-run-paginated");
        let mut sample = example["check_runs"].clone();
        let sample = sample.get_mut(0).map_or_else(|| json!({}), Value::take);
        let checks = self.checks.get(commit).cloned().unwrap_or_default();
        let runs: Vec<Value> = checks
            .iter()
            .map(|(name, status, how, said)| {
                filled(
                    sample.clone(),
                    json!({
                        "name": name,
                        "head_sha": commit,
                        "status": status,
                        "conclusion": how,
                        "output": { "title": "the tests", "summary": said },
                        "details_url": "https://ci.example/1",
                    }),
                )
            })
            .collect();
        json!({ "total_count": runs.len(), "check_runs": runs })
    }
}
