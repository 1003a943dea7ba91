//! What goes wrong on purpose, and the limits that Discord has.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::proxy::{Answer, Asked, route};

/// How a request goes wrong.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// It is answered so and not done.
    Answer(Answer),
    /// It is done and answered so.
    AfterEffect(Answer),
    /// It is never answered.
    Hang,
    /// It is answered late.
    Slow(Duration),
}

type Fits = Box<dyn Fn(&Asked) -> bool + Send>;

/// Faults that wait for their requests.
#[derive(Default)]
pub(crate) struct Faults(Vec<(u32, Fits, Fault)>);

impl Faults {
    /// The next `times` requests that fit go wrong.
    pub(crate) fn add(
        &mut self,
        times: u32,
        fits: impl Fn(&Asked) -> bool + Send + 'static,
        fault: Fault,
    ) {
        self.0.push((times, Box::new(fits), fault));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn next(&mut self, asked: &Asked) -> Option<Fault> {
        let at = self.0.iter().position(|(left, fits, _)| *left > 0 && fits(asked))?;
        self.0[at].0 -= 1;
        Some(self.0[at].2.clone())
    }
}

/// 429 as Discord says it.
pub(crate) fn limited(retry_after: Duration, global: bool) -> Answer {
    let seconds = retry_after.as_secs_f64();
    let body = json!({ "message": "You are being rate limited.", "retry_after": seconds, "global": global });
    let mut answer = Answer::json(429, &body);
    answer.headers.push(("Retry-After", seconds.ceil().to_string()));
    if global {
        answer.headers.push(("X-RateLimit-Global", "true".to_owned()));
    }
    answer
}

/// An error of Discord's with its code.
pub(crate) fn error(status: u16, code: u64) -> Answer {
    Answer::json(status, &json!({ "code": code, "message": "refused by the test" }))
}

/// Buckets of five in five seconds for new and for changed messages of each channel, and fifty
/// requests a second in all, as bots see them in practice.
pub(crate) struct Limits {
    pub(crate) on: bool,
    pub(crate) sign_ins_left: u64,
    buckets: HashMap<String, Vec<Instant>>,
    all: Vec<Instant>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { on: false, sign_ins_left: 1_000, buckets: HashMap::new(), all: Vec::new() }
    }
}

const BUCKET: usize = 5;
const WINDOW: Duration = Duration::from_secs(5);
const ALL: usize = 50;

impl Limits {
    pub(crate) fn admit(&mut self, asked: &Asked) -> Result<Vec<(&'static str, String)>, Answer> {
        if !self.on
            || asked.path.starts_with("/interactions")
            || asked.path.starts_with("/webhooks")
        {
            return Ok(Vec::new());
        }
        let now = Instant::now();
        self.all.retain(|at| now - *at < Duration::from_secs(1));
        if self.all.len() >= ALL {
            return Err(limited(Duration::from_secs(1), true));
        }
        self.all.push(now);
        let limited_kind = asked.path.contains("/messages") && asked.method != "GET";
        if !limited_kind {
            return Ok(Vec::new());
        }
        let bucket = self.buckets.entry(route(asked)).or_default();
        bucket.retain(|at| now - *at < WINDOW);
        let reset = bucket.first().map_or(WINDOW, |first| WINDOW - (now - *first));
        if bucket.len() >= BUCKET {
            return Err(limited(reset, false));
        }
        bucket.push(now);
        Ok(vec![
            ("X-RateLimit-Limit", BUCKET.to_string()),
            ("X-RateLimit-Remaining", (BUCKET - bucket.len()).to_string()),
            ("X-RateLimit-Reset-After", format!("{:.3}", reset.as_secs_f64())),
        ])
    }
}
