//! Who is who among processes, and ending them: identity that survives the reuse of pids, the tree
//! below a process, the control group, and what is left of a launch after a crash.
//!
//! A signal goes only to a process whose identity was checked while a descriptor held it, so it
//! can never hit a stranger that was given the same pid. This file must not wait.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::agents::process::{MARKER, Record};

/// A process, once and for all within one boot of the machine: pids are used again, and on small
/// machines soon (there may be as few as 32768), but never with the same start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) pid: i32,
    /// Clock ticks after the boot: field 22 of `/proc/PID/stat`.
    pub(super) start: u64,
}

impl Identity {
    /// The process that has this pid now.
    pub(super) fn of(pid: i32) -> Option<Self> {
        stat(pid).map(|s| s.identity)
    }

    /// This process.
    pub(super) fn own() -> Self {
        let pid = i32::try_from(std::process::id()).expect("BUG: Linux pids fit in 31 bits");
        Self::of(pid).unwrap_or(Self { pid, start: 0 })
    }

    /// Kills exactly this process; says whether there was one to kill.
    pub(super) fn kill(self) -> bool {
        let Some(handle) = Pid::from_raw(self.pid)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
            .filter(|_| stat(self.pid).is_some_and(|s| s.identity == self && s.is_alive()))
        else {
            return false;
        };
        pidfd_send_signal(handle, Signal::KILL).is_ok()
    }
}

/// What `/proc/PID/stat` says.
struct Stat {
    identity: Identity,
    state: char,
    parent: i32,
}

impl Stat {
    /// A zombie runs nothing any more: only its parent has not looked yet.
    fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The program's name stands in parentheses and may itself hold any character, so the fields are
/// counted from the last closing one (proc_pid_stat(5)).
fn parse_stat(pid: i32, text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let start = fields.nth(17)?.parse().ok()?;
    Some(Stat { identity: Identity { pid, start }, state, parent })
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().to_str()?.parse().ok())
}

/// Every living process below `root`.
pub(super) fn descendants(root: i32) -> Vec<Identity> {
    let mut children: BTreeMap<i32, Vec<Stat>> = BTreeMap::new();
    for stat in pids().filter_map(stat) {
        children.entry(stat.parent).or_default().push(stat);
    }
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        for stat in children.remove(&parent).unwrap_or_default() {
            open.push(stat.identity.pid);
            if stat.is_alive() {
                found.push(stat.identity);
            }
        }
    }
    found
}

/// Every living process whose environment says that it belongs to the launch `marker`.
pub(super) fn marked(marker: &str) -> Vec<Identity> {
    let wanted = format!("{MARKER}={marker}");
    let carries = |pid: &i32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|all| all.split(|b| *b == 0).any(|v| v == wanted.as_bytes()))
    };
    // The identity is taken first: should the pid change hands between the two looks, the kill
    // finds another start time and does nothing.
    let seen = pids().filter_map(stat).filter(Stat::is_alive).map(|s| s.identity);
    seen.filter(|identity| carries(&identity.pid)).collect()
}

/// Which boot of the machine this is.
pub(super) fn boot_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// What may be left of a launch whose shim is gone.
pub(super) struct Remains {
    known: Vec<Identity>,
    group: Option<Cgroup>,
    marker: String,
}

impl Remains {
    /// What `record` names, and what carries `marker`.
    pub(super) fn of(record: Option<&Record>, marker: String) -> Self {
        let known = record.into_iter().flat_map(|r| [Some(r.shim), r.child]).flatten();
        let group = record.and_then(|r| r.cgroup.clone()).map(|dir| Cgroup { dir });
        Self { known: known.collect(), group, marker }
    }

    /// One pass: kills what it finds and returns that. Passes are repeated until one finds nothing
    /// and [`Remains::are_cleared`].
    pub(super) fn kill(&self) -> Vec<Identity> {
        let grouped = self.group.iter().flat_map(Cgroup::members);
        let marked = marked(&self.marker).into_iter();
        let all: BTreeSet<Identity> =
            self.known.iter().copied().chain(grouped).chain(marked).collect();
        let killed = all.into_iter().filter(|identity| identity.kill()).collect();
        if let Some(group) = &self.group {
            group.kill();
        }
        killed
    }

    /// Takes the control group away; not before the last process has left it for good.
    pub(super) fn are_cleared(&self) -> bool {
        self.group.as_ref().is_none_or(Cgroup::remove)
    }
}

/// A control group (version 2) of one launch: what is in it cannot leave its sight by starting a
/// session of its own or by cleaning its environment. Dropped, it is taken away if it is empty.
#[derive(Debug)]
pub(super) struct Cgroup {
    dir: PathBuf,
}

impl Cgroup {
    /// Makes one below the group that this process is in, where the machine lets us.
    pub(super) fn create() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        let mount = mounts.lines().find_map(|line| {
            let mut words = line.split(' ');
            let place = words.nth(1)?;
            (words.next()? == "cgroup2").then_some(place)
        })?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
        let Identity { pid, start } = Identity::own();
        let parent = Path::new(mount).join(own.trim_start_matches('/'));
        let dir = parent.join(format!("taskloom-{pid}-{start}"));
        fs::create_dir(&dir).ok()?;
        Some(Self { dir })
    }

    /// Where it is.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn members(&self) -> Vec<Identity> {
        let list = fs::read_to_string(self.dir.join("cgroup.procs")).unwrap_or_default();
        list.lines().filter_map(|pid| Identity::of(pid.parse().ok()?)).collect()
    }

    /// Kills all that is in it, at one stroke. Kernels before 5.14 cannot; the walk over the tree
    /// does it there.
    pub(super) fn kill(&self) {
        fs::write(self.dir.join("cgroup.kill"), "1").ok();
    }

    fn remove(&self) -> bool {
        fs::remove_dir(&self.dir).is_ok() || !self.dir.exists()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_cannot_forge_the_fields_after_it() {
        let line = "7 (a) R 1 (b) S 42 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 9001 0";
        let stat = parse_stat(7, line).unwrap();
        assert_eq!((stat.state, stat.parent, stat.identity.start), ('S', 42, 9001));
    }

    #[test]
    fn a_reused_pid_is_somebody_else_and_is_left_alone() {
        let own = Identity::own();
        assert_eq!(Identity::of(own.pid), Some(own));
        assert!(!Identity { start: own.start + 1, ..own }.kill());
    }
}
