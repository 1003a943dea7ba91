//! Requests to GitHub: paced, signed in, conditional where they can be, and never repeated when
//! it is not known what became of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;

use crate::forge::Error;
use crate::forge::github::auth::{Auth, Session};
use crate::forge::github::pace::{Limits, Pace};
use crate::time::{Clock, Timestamp};

/// How often a request is made again that GitHub put off; then it is the engine's to wait.
const PUT_OFF_MAX: u32 = 3;

/// How long to wait where GitHub says that it is too much and not how long: its documentation
/// asks for a minute at least.
const PUT_OFF: Duration = Duration::from_secs(60);

/// A wait that is worth a line in the log.
const LONG: Duration = Duration::from_secs(60);

/// How many answers are kept to be asked for conditionally.
const KEPT_MAX: usize = 2_000;

/// The most pages of a list that are read, of a hundred entries each.
const PAGES_MAX: usize = 10;

const PER_PAGE: usize = 100;

/// Makes requests.
pub(super) struct Client {
    auth: Auth,
    clock: Arc<dyn Clock>,
    pace: Mutex<Pace>,
    kept: Mutex<HashMap<String, Kept>>,
    counts: Mutex<Counts>,
    trouble: Mutex<Option<String>>,
}

/// An answer that is still right if GitHub says so.
#[derive(Clone)]
struct Kept {
    etag: HeaderValue,
    body: Value,
}

/// What was asked so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reads that counted.
    pub reads: u64,
    /// Reads that found nothing new; they cost nothing.
    pub unchanged: u64,
    /// Changes.
    pub changes: u64,
    /// The longest that one of them was kept waiting, in milliseconds.
    pub longest_wait_ms: u64,
}

/// A definite answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What GitHub says of an error.
    pub(super) fn message(&self) -> String {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let mut parts: Vec<String> = text(&self.body["message"]).into_iter().collect();
        let errors = self.body["errors"].as_array().into_iter().flatten();
        parts.extend(errors.filter_map(|error| text(&error["message"]).or_else(|| text(error))));
        if parts.is_empty() {
            parts.push(format!("status {}", self.status));
        }
        parts.join(": ").replace(|c: char| c.is_control(), " ")
    }
}

impl Client {
    pub(super) fn new(auth: Auth, limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Self {
            auth,
            clock,
            pace: Mutex::new(Pace::new(limits)),
            kept: Mutex::default(),
            counts: Mutex::default(),
            trouble: Mutex::default(),
        }
    }

    /// How fast changes are made from now on.
    pub(super) fn pace(&self, limits: Limits) {
        locked(&self.pace).limits = limits;
    }

    /// What git signs in with.
    pub(super) async fn token(&self) -> Result<Arc<str>, Error> {
        Ok(self.auth.session(None).await?.token)
    }

    /// The same after git was not let in with `stale`; nothing if no other can be had.
    pub(super) async fn other_token(&self, stale: &str) -> Result<Option<Arc<str>>, Error> {
        if !self.auth.renews() {
            return Ok(None);
        }
        let token = self.auth.session(Some(stale)).await?.token;
        Ok((*token != *stale).then_some(token))
    }

    pub(super) fn counts(&self) -> Counts {
        let longest = locked(&self.pace).longest();
        let longest_wait_ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        Counts { longest_wait_ms, ..*locked(&self.counts) }
    }

    /// Why the last request was not answered, if it was not.
    pub(super) fn trouble(&self) -> Option<String> {
        locked(&self.trouble).clone()
    }

    /// Reads something; `None` if it is not there. `what` names it in errors.
    pub(super) async fn get(&self, path: &str, what: &str) -> Result<Option<Value>, Error> {
        let kept = locked(&self.kept).get(path).cloned();
        let mut headers = HeaderMap::new();
        if let Some(kept) = &kept {
            headers.insert(http::header::IF_NONE_MATCH, kept.etag.clone());
        }
        let (answer, etag) = self.ask(&Method::GET, path, None, &headers, what).await?;
        match (answer.status, kept) {
            (304, Some(kept)) => {
                locked(&self.counts).unchanged += 1;
                Ok(Some(kept.body))
            }
            (status, _) if (200..300).contains(&status) => {
                locked(&self.counts).reads += 1;
                self.keep(path, etag, &answer.body);
                Ok(Some(answer.body))
            }
            (404 | 410, _) => Ok(None),
            _ => Err(denied(what, &answer)),
        }
    }

    /// Reads a list, page by page.
    pub(super) async fn list(&self, path: &str, what: &str) -> Result<Vec<Value>, Error> {
        self.entries(path, what, |body| body.as_array().cloned()).await
    }

    /// Reads a list that is a field of an object.
    pub(super) async fn listed(
        &self,
        path: &str,
        field: &str,
        what: &str,
    ) -> Result<Vec<Value>, Error> {
        self.entries(path, what, |body| body[field].as_array().cloned()).await
    }

    async fn entries(
        &self,
        path: &str,
        what: &str,
        entries: impl Fn(&Value) -> Option<Vec<Value>> + Send + Sync,
    ) -> Result<Vec<Value>, Error> {
        let sign = if path.contains('?') { '&' } else { '?' };
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let path = format!("{path}{sign}per_page={PER_PAGE}&page={page}");
            let Some(body) = self.get(&path, what).await? else { break };
            let more = entries(&body).unwrap_or_default();
            let last = more.len() < PER_PAGE;
            all.extend(more);
            if last {
                break;
            }
        }
        Ok(all)
    }

    /// Changes something. Any answer that says what became of it is one; an error means that it
    /// may have been done.
    pub(super) async fn change(
        &self,
        method: &Method,
        path: &str,
        body: &Value,
        what: &str,
    ) -> Result<Answer, Error> {
        locked(&self.counts).changes += 1;
        let (answer, _) = self.ask(method, path, Some(body), &HeaderMap::new(), what).await?;
        if matches!(answer.status, 401 | 403) {
            return Err(denied(what, &answer));
        }
        Ok(answer)
    }

    /// Asks, and remembers whether there was an answer.
    async fn ask(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        headers: &HeaderMap,
        what: &str,
    ) -> Result<(Answer, Option<HeaderValue>), Error> {
        let asked = self.insist(method, path, body, headers, what).await;
        *locked(&self.trouble) = match &asked {
            Ok((answer, _)) if answer.status == 401 => Some("the token is not taken".to_owned()),
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        asked
    }

    /// Asks until there is an answer that is neither "later" nor "who are you".
    async fn insist(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        headers: &HeaderMap,
        what: &str,
    ) -> Result<(Answer, Option<HeaderValue>), Error> {
        let mut session = self.auth.session(None).await?;
        let mut renewed = false;
        let mut put_off = 0;
        loop {
            self.wait(*method != Method::GET).await;
            let (answer, heard) = self.send(&session, method, path, body, headers, what).await?;
            let now = self.clock.now();
            let limited = limited(&answer, &heard, now);
            let (left, anew) = (number(&heard, "x-ratelimit-remaining"), reset(&heard));
            locked(&self.pace).heard(now, left, anew, limited);
            if limited.is_some() {
                put_off += 1;
                tracing::warn!(path, wait_s = limited.map(|d| d.as_secs()), "GitHub: too much");
                if put_off < PUT_OFF_MAX {
                    continue;
                }
                return Err(outside(what, "it asks for fewer requests; tried again later"));
            }
            if answer.status == 401 && !renewed && self.auth.renews() {
                renewed = true;
                session = self.auth.session(Some(&session.token)).await?;
                continue;
            }
            if answer.status >= 500 {
                return Err(outside(what, &answer.message()));
            }
            return Ok((answer, heard.get(http::header::ETAG).cloned()));
        }
    }

    async fn send(
        &self,
        session: &Session,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        headers: &HeaderMap,
        what: &str,
    ) -> Result<(Answer, HeaderMap), Error> {
        let client = &session.client;
        let sent = match method.as_str() {
            "GET" => client._get_with_headers(path, Some(headers.clone())).await,
            "POST" => client._post(path, body).await,
            "PATCH" => client._patch(path, body).await,
            "PUT" => client._put(path, body).await,
            other => unreachable!("BUG: nothing is asked with {other}"),
        };
        let answer = sent.map_err(|error| outside(what, &error.to_string()))?;
        let (status, heard) = (answer.status().as_u16(), answer.headers().clone());
        let text = client.body_to_string(answer).await;
        let text = text.map_err(|error| outside(what, &error.to_string()))?;
        // What is no JSON comes from something in between; its status says enough.
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok((Answer { status, body }, heard))
    }

    async fn wait(&self, change: bool) {
        let mut wait = locked(&self.pace).reserve(self.clock.now(), change);
        if wait > LONG {
            tracing::warn!(wait_s = wait.as_secs(), "GitHub: a request waits for its limits");
        }
        while !wait.is_zero() {
            tokio::time::sleep(wait).await;
            wait = locked(&self.pace).more(self.clock.now());
        }
    }

    fn keep(&self, path: &str, etag: Option<HeaderValue>, body: &Value) {
        let mut kept = locked(&self.kept);
        match etag {
            Some(etag) => {
                if kept.len() >= KEPT_MAX {
                    kept.clear();
                }
                kept.insert(path.to_owned(), Kept { etag, body: body.clone() });
            }
            None => drop(kept.remove(path)),
        }
    }
}

/// How long to wait if the answer says that it was too much: 429, or 403 with one of the signs
/// that GitHub documents.
fn limited(answer: &Answer, heard: &HeaderMap, now: Timestamp) -> Option<Duration> {
    if !matches!(answer.status, 403 | 429) {
        return None;
    }
    if let Some(seconds) = number(heard, "retry-after") {
        return Some(Duration::from_secs(u64::from(seconds)));
    }
    if number(heard, "x-ratelimit-remaining") == Some(0) {
        return Some(reset(heard).map_or(PUT_OFF, |anew| anew.since(now)));
    }
    let secondary = answer.message().contains("secondary rate limit");
    (secondary || answer.status == 429).then_some(PUT_OFF)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u32> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// When the hour's budget begins anew; GitHub says it in seconds since 1970.
fn reset(headers: &HeaderMap) -> Option<Timestamp> {
    let seconds: i64 = headers.get("x-ratelimit-reset")?.to_str().ok()?.trim().parse().ok()?;
    Some(Timestamp(seconds.saturating_mul(1000)))
}

fn denied(what: &str, answer: &Answer) -> Error {
    let hint = match answer.status {
        401 => "; the token is not taken: renew it",
        403 => "; the token may not do it: it needs `contents` and `pull requests` to be written",
        _ => "",
    };
    let why = format!("{}{hint}", answer.message());
    Error::Denied { forge: "GitHub".to_owned(), what: what.to_owned(), why }
}

pub(super) fn outside(what: &str, why: &str) -> Error {
    let why = why.lines().next().unwrap_or_default().to_owned();
    Error::Outside { forge: "GitHub".to_owned(), what: what.to_owned(), why }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("BUG: nobody panics with this lock")
}
