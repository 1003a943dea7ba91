//! A process that is left behind on purpose, as careless programs do: to try out that it is found.
//! The engine must never start one.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Starts a process that does nothing for `lifetime`, in a group of its own, with none of our
/// output open, and does not wait for it.
pub fn leave_behind(lifetime: Duration) -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "processes start only here and below")]
    let mut command = Command::new("sleep");
    command.arg(lifetime.as_secs_f64().to_string()).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop)
}
