//! Points at which a test may have the process die, to see what a crash there leaves behind. In
//! release builds there is nothing here.
//!
//! `CRASH_AT=<point>[:n]` ends the process at the n-th passing of the point (from 1), as a kill
//! would. With `CRASH_ONCE=<file>` it happens to one process only, the one that makes the file.

/// Every point, in the order in which work passes them.
pub const POINTS: &[&str] = &[
    "store.locked",
    "store.migrated",
    "turn.begun",
    "store.half",
    "turn.kept",
    "prepare.begun",
    "prepare.target",
    "prepare.made",
    "prepare.done",
    "attempt.begun",
    "checkout.half",
    "attempt.checkout",
    "attempt.receipt",
    "shim.locked",
    "shim.recorded",
    "attempt.launched",
    "shim.ended",
    "shim.filed",
    "attempt.collected",
    "attempt.gated",
    "attempt.plan-asked",
    "attempt.pointed",
    "attempt.remembered",
    "attempt.done",
    "pull.begun",
    "github.pushed",
    "github.created",
    "pull.done",
    "merge.begun",
    "github.merged",
    "merge.moved",
    "merge.done",
    "check.begun",
    "check.result",
    "check.passed",
    "check.done",
    "lane-pull.begun",
    "lane-pull.opened",
    "lane-pull.done",
    "undo.begun",
    "undo.done",
    "watch.begun",
    "watch.done",
    "lane-merge.begun",
    "lane-merge.moved",
    "lane-merge.shown",
    "lane-merge.delivered",
    "lane-merge.done",
    "log.pressed",
    "notice.delivered",
    "command.kept",
    "post.announced",
    "post.sent",
    "thread.opened",
];

/// The variables that name a point, to be handed on to a process that is to die at it.
#[cfg(debug_assertions)]
pub fn variables() -> Vec<(&'static str, std::ffi::OsString)> {
    let names = ["CRASH_AT", "CRASH_ONCE"];
    names.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))).collect()
}

/// The variables that name a point, to be handed on to a process that is to die at it.
#[cfg(not(debug_assertions))]
pub fn variables() -> Vec<(&'static str, std::ffi::OsString)> {
    Vec::new()
}

/// Dies here if a test wants it.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_: &'static str) {}

/// Dies here if a test wants it.
#[cfg(debug_assertions)]
pub fn point(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WANTED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);

    debug_assert!(POINTS.contains(&name), "{name} is not on the list");
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("CRASH_AT").ok()?;
        let (name, count) = match text.split_once(':') {
            Some((name, count)) => (name, count.parse().unwrap_or(1)),
            None => (text.as_str(), 1),
        };
        assert!(POINTS.contains(&name), "CRASH_AT: there is no point `{name}`: {POINTS:?}");
        Some((name.to_owned(), count))
    });
    let Some((wanted, count)) = wanted else { return };
    if wanted == name && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *count && is_first() {
        // Nobody wants to see the memory of a process that died on purpose.
        drop(std::fs::write("/proc/self/coredump_filter", "0"));
        std::process::abort();
    }
}

#[cfg(debug_assertions)]
fn is_first() -> bool {
    match std::env::var_os("CRASH_ONCE") {
        Some(path) => std::fs::File::create_new(path).is_ok(),
        None => true,
    }
}
