//! How long things are kept.

use std::time::Duration;

use serde::Deserialize;
use serde::de::Error as _;

/// Logs are of use while somebody may still ask what happened; results and records stay anyway.
const TRANSCRIPTS_DEFAULT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long things of runs at rest are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// What agents and gates wrote; `None`: for ever.
    pub transcripts: Option<Duration>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRetention {
    transcripts: Option<Keep>,
}

/// A duration, or `forever`.
#[derive(Debug, Clone, Copy)]
struct Keep(Option<Duration>);

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "forever" {
            return Ok(Self(None));
        }
        let span = humantime::parse_duration(&text).map_err(|why| {
            D::Error::custom(format!("`{text}` is no duration ({why}); write `30d` or `forever`"))
        })?;
        Ok(Self(Some(span)))
    }
}

impl RawRetention {
    /// What is not said is as with all others, and there 30 days.
    pub(super) fn check(self, others: Option<Retention>) -> Retention {
        let standard = others.map_or(Some(TRANSCRIPTS_DEFAULT), |others| others.transcripts);
        Retention { transcripts: self.transcripts.map_or(standard, |keep| keep.0) }
    }
}
