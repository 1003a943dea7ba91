//! What the error of a turn means, and which window of a limit is full.
//!
//! `codexErrorInfo` decides; the texts name times in the local clock, and change.

use serde_json::Value;

use crate::agents::TurnOutcome;
use crate::time::Timestamp;

/// From this share on a limit is told to be near, in per cent.
const NEAR_PERCENT: f64 = 90.0;

/// A window of a limit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Window {
    pub(super) name: String,
    pub(super) used_percent: f64,
    pub(super) resets_at: Option<Timestamp>,
}

impl Window {
    pub(super) fn is_near(&self) -> bool {
        self.used_percent >= NEAR_PERCENT
    }
}

/// The windows of a limit, the fullest first.
pub(super) fn windows(limits: &Value) -> Vec<Window> {
    let window = |name: &str| {
        let window = &limits[name];
        Some(Window {
            used_percent: window["usedPercent"].as_f64()?,
            name: match window["windowDurationMins"].as_u64() {
                Some(minutes) if minutes % 1_440 == 0 => format!("{} day", minutes / 1_440),
                Some(minutes) => format!("{} hour", minutes / 60),
                None => name.to_owned(),
            },
            resets_at: window["resetsAt"].as_i64().map(|seconds| Timestamp(seconds * 1_000)),
        })
    };
    let mut windows: Vec<Window> =
        ["primary", "secondary"].into_iter().filter_map(window).collect();
    windows.sort_by(|a, b| b.used_percent.total_cmp(&a.used_percent));
    windows
}

/// Judges the error of a turn that failed.
pub(super) fn verdict(error: &Value, windows: &[Window]) -> TurnOutcome {
    let why = said(error);
    let info = &error["codexErrorInfo"];
    let (kind, status) = match info {
        Value::String(kind) => (kind.as_str(), None),
        Value::Object(detail) => {
            let detail = detail.iter().next();
            let status = detail.and_then(|(_, more)| more["httpStatusCode"].as_u64());
            (detail.map_or("", |(kind, _)| kind.as_str()), status)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => ("", None),
    };
    match (kind, status) {
        ("usageLimitExceeded", _) => {
            let full = windows.iter().filter(|window| window.used_percent >= 100.0);
            // All of them must have room again.
            match full.max_by_key(|window| window.resets_at) {
                Some(last) => {
                    TurnOutcome::Limited { window: last.name.clone(), resets_at: last.resets_at }
                }
                // Nothing says that waiting helps.
                None => TurnOutcome::NeedsHuman { why },
            }
        }
        ("unauthorized", _) | (_, Some(401 | 403)) => signed_out(&why),
        ("contextWindowExceeded", _) => TurnOutcome::SessionSpent { why },
        (
            "sessionBudgetExceeded"
            | "modelNotFound"
            | "cyberPolicy"
            | "tooManyDenials"
            | "misalignmentPolicyViolation"
            | "inferenceHookDenied",
            _,
        ) => TurnOutcome::NeedsHuman { why },
        (
            "rateLimitExceeded"
            | "serverOverloaded"
            | "internalServerError"
            | "flexUnavailable"
            | "policyCapacityUnavailable"
            | "httpConnectionFailed"
            | "responseStreamConnectionFailed"
            | "responseStreamDisconnected"
            | "responseTooManyFailedAttempts",
            _,
        ) => TurnOutcome::Transient { why },
        _ => TurnOutcome::Failed { why },
    }
}

/// Nobody is signed in, or not any more.
fn signed_out(why: &str) -> TurnOutcome {
    let help = "sign in with `codex login`, or give the profile a key";
    TurnOutcome::NeedsHuman { why: format!("Codex is not signed in: {why}; {help}") }
}

/// What an error says; of a repetition, what was wrong rather than that it is repeated.
pub(super) fn said(error: &Value) -> String {
    let text = |name: &str| error[name].as_str().filter(|text| !text.is_empty());
    text("additionalDetails")
        .or(text("message"))
        .unwrap_or("the turn failed without a reason")
        .to_owned()
}
