//! Looking at what others do with a pull request.
//!
//! One conditional request for a pull request tells whether anything changed, and costs nothing if
//! it did not. Only what changed is looked at more closely; checks leave no trace there and are
//! asked for by the commit.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::forge::github::GitHub;
use crate::forge::github::wire::{
    CheckRun, Comment, PullJson, Review, Status, User, read, read_all,
};
use crate::forge::{Error, Pull};
use crate::ids::CommitId;
use crate::state::{Approval, Objection, PullNews, PullStanding};
use crate::time::Timestamp;

/// Within this time of a change another may leave no trace: GitHub counts in seconds.
const SAME_MOMENT: Duration = Duration::from_secs(2);

/// How much of what a check or a person says goes to an agent.
const TEXT_CHARS_MAX: usize = 4_000;

/// How a pull request's merge stands, in GitHub's words, when GitHub does not know yet.
const UNKNOWN: &str = "unknown";

/// What was seen of a repository: what people said of its pull requests.
#[derive(Default)]
pub(super) struct Seen(Mutex<HashMap<u64, Talk>>);

/// What people said about a pull request up to a change of it.
#[derive(Clone, Default)]
struct Talk {
    updated_at: String,
    reviews: Vec<Review>,
    comments: Vec<Comment>,
}

/// What programs say about a commit.
#[derive(Default)]
struct Verdicts {
    holds: Vec<String>,
    objections: Vec<Objection>,
}

impl GitHub {
    /// How a pull request is found.
    pub(super) async fn news(&self, pull: &Pull) -> Result<PullNews, Error> {
        let found = self.known(pull).await?;
        let found = found.ok_or_else(|| Error::NotOpen { head: pull.head.clone() })?;
        let mut news = PullNews {
            standing: PullStanding::Open,
            head: found.head.sha.clone(),
            holds: Vec::new(),
            objections: Vec::new(),
            approvals: Vec::new(),
            mergeable: found.mergeable_state.clone().filter(|word| word != UNKNOWN),
        };
        if !found.is_open() {
            news.standing = match found.merge_commit_sha.clone().filter(|_| found.is_merged()) {
                Some(commit) => {
                    self.bring(&pull.base).await?;
                    let by = found.merged_by.map(|user| user.login);
                    PullStanding::Merged { commit, by }
                }
                None => PullStanding::Closed,
            };
            return Ok(news);
        }
        let talk = self.talk(&found).await?;
        self.weigh_reviews(&found, &talk.reviews, &mut news).await?;
        self.weigh_comments(&talk.comments, &mut news);
        let verdicts = self.verdicts(&news.head).await?;
        news.holds.extend(verdicts.holds);
        if self.account.options().checks_go_back {
            news.objections.extend(verdicts.objections);
        }
        Ok(news)
    }

    /// What people said, asked for again only if something changed.
    async fn talk(&self, found: &PullJson) -> Result<Talk, Error> {
        let known = self.talks().get(&found.number).cloned();
        if let Some(known) = known.filter(|known| known.updated_at == found.updated_at) {
            return Ok(known);
        }
        let mut talk = Talk { updated_at: found.updated_at.clone(), ..Talk::default() };
        // Nobody has said anything about what was opened just now and not touched since.
        let new = found.updated_at == found.created_at && !self.is_settled(&found.created_at);
        if !new {
            let what = "show what was said of a pull request";
            let number = found.number;
            let path = self.path(&format!("/pulls/{number}/reviews"));
            talk.reviews = read_all(self.client().list(&path, what).await?, what)?;
            let path = self.path(&format!("/issues/{number}/comments"));
            talk.comments = read_all(self.client().list(&path, what).await?, what)?;
        }
        // What happens within the same second as the last change is seen at the next look.
        if self.is_settled(&talk.updated_at) {
            self.talks().insert(found.number, talk.clone());
        }
        Ok(talk)
    }

    fn is_settled(&self, updated_at: &str) -> bool {
        let now = self.account.clock.now();
        let since = |at: Timestamp| now.since(at) > SAME_MOMENT;
        Timestamp::parse_rfc3339(updated_at).is_some_and(since)
    }

    fn talks(&self) -> MutexGuard<'_, HashMap<u64, Talk>> {
        self.seen.0.lock().expect("BUG: nobody panics with this lock")
    }

    /// The name by which the engine's journal knows somebody whose word counts.
    fn person(&self, user: Option<&User>) -> Option<String> {
        let login = user?.login.to_lowercase();
        self.account.options().people.get(&login).cloned()
    }

    /// Of each person the last review counts, and only for the commit that they looked at.
    async fn weigh_reviews(
        &self,
        found: &PullJson,
        reviews: &[Review],
        news: &mut PullNews,
    ) -> Result<(), Error> {
        let decides = |review: &&Review| {
            matches!(&*review.state, "APPROVED" | "CHANGES_REQUESTED" | "DISMISSED")
        };
        let mut last: HashMap<String, &Review> = HashMap::new();
        for review in reviews.iter().filter(decides) {
            if let Some(who) = self.person(review.user.as_ref()) {
                last.insert(who, review);
            }
        }
        let mut last: Vec<(String, &Review)> = last.into_iter().collect();
        last.sort_by_key(|(_, review)| review.id);
        for (who, review) in last {
            let Some(commit) = review.commit_id.clone().filter(|at| *at == news.head) else {
                continue;
            };
            if review.state == "APPROVED" {
                let at = review.submitted_at.as_deref().and_then(Timestamp::parse_rfc3339);
                let at = at.unwrap_or_default();
                news.approvals.push(Approval { who, at, commit });
            } else if review.state == "CHANGES_REQUESTED" {
                news.holds.push(format!("{who} requests changes"));
                if self.account.options().reviews_go_back {
                    let text = self.review_text(found, &who, review).await?;
                    let key = format!("review/{}", review.id);
                    news.objections.push(Objection { key, text, by_check: false });
                }
            }
        }
        Ok(())
    }

    /// A review with what it says of single lines.
    async fn review_text(
        &self,
        found: &PullJson,
        who: &str,
        review: &Review,
    ) -> Result<String, Error> {
        let what = "show a review";
        let rest = format!("/pulls/{}/reviews/{}/comments", found.number, review.id);
        let lines: Vec<Comment> =
            read_all(self.client().list(&self.path(&rest), what).await?, what)?;
        let mut text = format!("{who} requests changes on GitHub");
        let body = review.body.as_deref().unwrap_or_default().trim();
        if !body.is_empty() {
            text.push_str(": ");
            text.push_str(body);
        }
        for line in lines {
            let place = line.path.unwrap_or_default();
            let number = line.line.map(|line| format!(":{line}")).unwrap_or_default();
            let body = line.body.unwrap_or_default();
            text.extend(["\n- ", &place, &number, ": ", body.trim()]);
        }
        Ok(shortened(&text))
    }

    /// Comments that begin with a mention of the bot.
    fn weigh_comments(&self, comments: &[Comment], news: &mut PullNews) {
        let options = self.account.options();
        if !options.reviews_go_back {
            return;
        }
        let mention = format!("@{}", options.mention).to_lowercase();
        for comment in comments {
            let Some(who) = self.person(comment.user.as_ref()) else { continue };
            let body = comment.body.as_deref().unwrap_or_default().trim();
            let Some(head) = body.get(..mention.len()).filter(|h| h.to_lowercase() == mention)
            else {
                continue;
            };
            let said = body[head.len()..].trim_start_matches([',', ':']).trim();
            let text = shortened(&format!("{who} says on GitHub: {said}"));
            let key = format!("comment/{}", comment.id);
            news.objections.push(Objection { key, text, by_check: false });
        }
    }

    /// What check runs and statuses say of a commit.
    async fn verdicts(&self, commit: &CommitId) -> Result<Verdicts, Error> {
        let what = "show the checks of a commit";
        let runs = self.path(&format!("/commits/{commit}/check-runs"));
        let runs: Vec<CheckRun> =
            read_all(self.client().listed(&runs, "check_runs", what).await?, what)?;
        let path = self.path(&format!("/commits/{commit}/status"));
        let statuses =
            self.client().get(&path, what).await?.map(|mut status| status["statuses"].take());
        let statuses: Vec<Status> = match statuses.filter(|statuses| !statuses.is_null()) {
            Some(statuses) => read(statuses, what)?,
            None => Vec::new(),
        };
        let mut verdicts = Verdicts::default();
        for run in &runs {
            let said = lines([&run.output.title, &run.output.summary, &run.details_url]);
            let verdict = if run.status == "completed" {
                run.conclusion.as_deref().unwrap_or("failure")
            } else {
                "pending"
            };
            verdicts.add(commit, &run.name, verdict, &said);
        }
        for status in &statuses {
            let said = lines([&status.description, &status.target_url]);
            verdicts.add(commit, &status.context, &status.state, &said);
        }
        let begun = |name: &String| {
            runs.iter().any(|run| run.name == *name)
                || statuses.iter().any(|status| status.context == *name)
        };
        for name in self.account.options().required_checks.iter().filter(|name| !begun(name)) {
            verdicts.holds.push(format!("check `{name}` has not begun"));
        }
        Ok(verdicts)
    }
}

impl Verdicts {
    fn add(&mut self, commit: &CommitId, name: &str, verdict: &str, said: &str) {
        match verdict {
            "success" | "neutral" | "skipped" => {}
            "pending" => self.holds.push(format!("check `{name}` runs")),
            // Somebody stopped it, or must let it run: nothing that an agent can mend.
            "cancelled" | "stale" | "action_required" => {
                self.holds.push(format!("check `{name}` is {}", verdict.replace('_', " ")));
            }
            _ => {
                self.holds.push(format!("check `{name}` failed"));
                let key = format!("check/{commit}/{name}");
                let text = shortened(&format!("the check `{name}` failed on GitHub\n{said}"));
                self.objections.push(Objection { key, text, by_check: true });
            }
        }
    }
}

/// Whatever there is of some texts, each on a line of its own.
fn lines<const N: usize>(texts: [&Option<String>; N]) -> String {
    texts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("\n")
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.trim_end().to_owned(),
    }
}
