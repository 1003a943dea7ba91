//! The only wall clock. Everything below the doors gets the time as a value.
//!
//! Waiting uses `tokio::time`, which tests can pause; this file must not wait.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, Instant};

use chrono::{DateTime, Days, Local, NaiveTime, TimeZone as _, Timelike as _, Utc};
use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, UTC.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The time since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    /// RFC 3339 in UTC with milliseconds, for data.
    pub fn rfc3339(self) -> String {
        self.utc().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
    }

    /// Reads RFC 3339, as data from outside has it.
    pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
        let at = DateTime::parse_from_rfc3339(text).ok()?;
        Some(Timestamp(at.timestamp_millis()))
    }

    /// Hours, minutes and seconds in local time, for people.
    pub fn local_clock(self) -> String {
        self.utc().with_timezone(&Local).format("%H:%M:%S").to_string()
    }

    /// Date and time to the minute in local time, for people.
    pub fn local_minute(self) -> String {
        self.utc().with_timezone(&Local).format("%Y-%m-%d %H:%M").to_string()
    }

    /// Midnight of a day in local time; `None` where a day has none.
    pub fn local_midnight(year: i32, month: u32, day: u32) -> Option<Timestamp> {
        let midnight = Local.with_ymd_and_hms(year, month, day, 0, 0, 0).earliest()?;
        Some(Timestamp(midnight.timestamp_millis()))
    }

    fn utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or(DateTime::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;
    fn add(self, span: Duration) -> Timestamp {
        let ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Timestamp(self.0.saturating_add(ms))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;
    fn sub(self, span: Duration) -> Timestamp {
        let ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Timestamp(self.0.saturating_sub(ms))
    }
}

/// A time zone by its name in the IANA database.
pub type Zone = chrono_tz::Tz;

/// The zone of this machine; UTC where it does not say.
pub fn machine_zone() -> Zone {
    let name = iana_time_zone::get_timezone().ok();
    name.and_then(|name| name.parse().ok()).unwrap_or(Zone::UTC)
}

/// Hours of every day, perhaps over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiet {
    /// When they begin.
    pub from: NaiveTime,
    /// When they end.
    pub to: NaiveTime,
    /// Where.
    pub zone: Zone,
}

impl Quiet {
    /// When they end, if `now` lies in them. A local time that a change of clocks leaves out is
    /// the first one after it.
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        let local = now.utc().with_timezone(&self.zone);
        let (time, today) = (local.time(), local.date_naive());
        let over_midnight = self.from > self.to;
        let tomorrow = over_midnight && time >= self.from;
        let within = match over_midnight {
            true => tomorrow || time < self.to,
            false => self.from <= time && time < self.to,
        };
        let day = if tomorrow { today.checked_add_days(Days::new(1))? } else { today };
        let hour = self.to.hour();
        let end = (0..=u32::from(hour < 23)).find_map(|later| {
            let time = self.to.with_hour(hour + later)?;
            self.zone.from_local_datetime(&day.and_time(time)).earliest()
        });
        Some(Timestamp(end?.timestamp_millis())).filter(|_| within)
    }
}

/// Tells the time. The edge holds one; the core is handed its readings.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        Timestamp(Utc::now().timestamp_millis())
    }
}

/// Measures how long something took, for people and logs; never for decisions.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
