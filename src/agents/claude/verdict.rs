//! What a `result` message says about its turn.
//!
//! `is_error` counts, not `subtype`, which says "success" of a refused request; and no text is
//! ever searched for a time, because the texts change with every version.

use serde_json::Value;

use crate::agents::TurnOutcome;
use crate::time::Timestamp;

/// A limit that was reached.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rejected {
    pub(super) window: String,
    pub(super) resets_at: Option<Timestamp>,
}

/// What was heard before the result.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// The last word about a limit, if it was no.
    pub(super) rejected: Option<Rejected>,
    /// The `error` of the last message that had one.
    pub(super) error: Option<String>,
}

/// Judges a `result`.
pub(super) fn verdict(result: &Value, before: &Before) -> TurnOutcome {
    if result["is_error"] != true {
        return TurnOutcome::Completed;
    }
    let word = |name: &str| result[name].as_str().unwrap_or_default();
    let status = result["api_error_status"].as_u64();
    let error = before.error.as_deref().unwrap_or_default();
    let why = said(result);
    if let Some(Rejected { window, resets_at }) = &before.rejected
        && (status == Some(429) || error == "rate_limit")
    {
        return TurnOutcome::Limited { window: window.clone(), resets_at: *resets_at };
    }
    if word("terminal_reason") == "prompt_too_long" || why.contains("No conversation found") {
        return TurnOutcome::SessionSpent { why };
    }
    if word("stop_reason") == "refusal" {
        return TurnOutcome::NeedsHuman { why: format!("the model refuses: {why}") };
    }
    match (status, error) {
        (Some(401 | 403), _) | (_, "authentication_failed") => signed_out(&why),
        (_, "billing_error") => TurnOutcome::NeedsHuman { why },
        (Some(429 | 500..=599), _) | (_, "rate_limit" | "overloaded" | "server_error") => {
            TurnOutcome::Transient { why }
        }
        (None, "unknown") => TurnOutcome::Transient { why },
        _ => match word("subtype") {
            "error_max_budget_usd" => TurnOutcome::NeedsHuman { why },
            _ => TurnOutcome::Failed { why },
        },
    }
}

/// Nobody is signed in, or not any more.
pub(super) fn signed_out(why: &str) -> TurnOutcome {
    let help = "sign in with `claude auth login`, or give the profile a key";
    TurnOutcome::NeedsHuman { why: format!("Claude Code is not signed in: {why}; {help}") }
}

fn said(result: &Value) -> String {
    let errors = result["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let errors: Vec<&str> = errors.collect();
    let text = result["result"].as_str().map(str::to_owned).unwrap_or_else(|| errors.join("; "));
    let reason = result["terminal_reason"].as_str().or(result["subtype"].as_str());
    match (text.is_empty(), reason) {
        (false, _) => text,
        (true, reason) => format!("the turn ended with {}", reason.unwrap_or("an error")),
    }
}
