//! The sections about watching over runs: what has waited too long, agents that are silent, and
//! when runs are put away.

use std::time::Duration;

use serde::Deserialize;
use serde::de::Error as _;

use crate::config::raw::{Span, Whole};
use crate::failure::Failure;
use crate::orchestrator::Watching;
use crate::runner::Stall;

/// How long something waits before people are told of it, unless the file says otherwise: longer
/// than most tasks take, shorter than a working day.
const STUCK_AFTER: Duration = Duration::from_secs(60 * 60);

/// How long they are left alone about it after that.
const REPEAT: Duration = Duration::from_secs(6 * 60 * 60);

/// How long a run rests before it is put away.
const ARCHIVE_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Spans below this would be noise, or a daemon that does nothing else.
const SPAN_MIN: Duration = Duration::from_secs(60);

/// More messages to an agent that does not react would be none the better.
const NUDGES_MAX: u64 = 10;

/// A duration, or `never`.
#[derive(Debug)]
enum Limit {
    Never,
    After(Duration),
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if matches!(text.as_str(), "never" | "0" | "off") {
            return Ok(Self::Never);
        }
        let span = humantime::parse_duration(&text).map_err(|why| {
            D::Error::custom(format!(
                "`{text}` is no duration ({why}); write `90s`, `2h` or `never`"
            ))
        })?;
        Ok(if span.is_zero() { Self::Never } else { Self::After(span) })
    }
}

impl Limit {
    fn or(raw: Option<Self>, default: Duration) -> Option<Duration> {
        match raw {
            None => Some(default),
            Some(Self::Never) => None,
            Some(Self::After(span)) => Some(span),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawMonitoring {
    stuck_after: Option<Limit>,
    repeat: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawArchive {
    after: Option<Limit>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawStall {
    after: Option<Limit>,
    nudges: Option<Whole>,
    ask: Option<bool>,
    stop: Option<bool>,
}

pub(super) fn watching(
    monitoring: RawMonitoring,
    archive: RawArchive,
) -> Result<Watching, Failure> {
    let watching = Watching {
        stuck_after: Limit::or(monitoring.stuck_after, STUCK_AFTER),
        repeat: monitoring.repeat.map_or(REPEAT, |span| span.0),
        archive_after: Limit::or(archive.after, ARCHIVE_AFTER),
    };
    at_least("monitoring.stuck_after", watching.stuck_after)?;
    at_least("monitoring.repeat", Some(watching.repeat))?;
    Ok(watching)
}

fn at_least(name: &str, span: Option<Duration>) -> Result<(), Failure> {
    if span.is_some_and(|span| span < SPAN_MIN) {
        let least = humantime::format_duration(SPAN_MIN);
        return Err(Failure::config(format!("`{name}` must be at least {least}, or `never`")));
    }
    Ok(())
}

impl RawStall {
    /// `idle` is the older name of `after`, which goes before it.
    pub(super) fn check(self, idle: Option<Duration>) -> Result<Stall, Failure> {
        let default = Stall::default();
        let nudges = self.nudges.map_or(u64::from(default.nudges), |n| n.0);
        if nudges > NUDGES_MAX {
            return Err(Failure::config(format!("`stall.nudges` must be at most {NUDGES_MAX}")));
        }
        let after = match self.after {
            None => idle.or(default.after),
            Some(Limit::Never) => None,
            Some(Limit::After(span)) => Some(span),
        };
        Ok(Stall {
            after,
            nudges: u32::try_from(nudges).unwrap_or(u32::MAX),
            ask: self.ask.unwrap_or(default.ask),
            stop: self.stop.unwrap_or(default.stop),
        })
    }
}
