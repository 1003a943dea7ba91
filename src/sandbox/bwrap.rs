//! Bubblewrap: namespaces without a daemon and without root.

use crate::sandbox::Request;

pub(super) const PROGRAM: &str = "bwrap";

/// Succeeds where namespaces can be made.
pub(super) const PROBE: &[&str] = &["--unshare-all", "--ro-bind", "/", "/", "--", "echo", "yes"];

/// The system, as far as it is there. Nothing of `/home`, `/root`, `/var`, `/srv` or `/mnt`.
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/opt",
    "/etc",
    "/nix/store",
    // Where name resolution is configured by a link.
    "/run/systemd/resolve",
];

/// Of the system, what nobody inside has business with.
const SECRETS: &[&str] = &["/etc/shadow", "/etc/gshadow", "/etc/sudoers"];

/// What comes later covers what came before: the system, the programs, nothing in their midst,
/// and then what the program works on.
pub(super) fn wrap(program: Vec<String>, request: &Request) -> Vec<String> {
    let mut words: Vec<String> = vec![PROGRAM.to_owned()];
    let mut put = |option: &[&str]| words.extend(option.iter().map(|&word| word.to_owned()));
    put(&["--unshare-all", "--die-with-parent", "--cap-drop", "ALL"]);
    if request.network {
        put(&["--share-net"]);
    }
    for place in SYSTEM {
        put(&["--ro-bind-try", place, place]);
    }
    for secret in SECRETS {
        if std::path::Path::new(secret).exists() {
            put(&["--ro-bind", "/dev/null", secret]);
        }
    }
    put(&["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/var/tmp"]);
    let hidden = request.hidden.to_string_lossy();
    let bind = |option: &str, path: &std::path::PathBuf| {
        [option, &*path.to_string_lossy(), &*path.to_string_lossy()].map(str::to_owned)
    };
    words.extend(request.programs.iter().flat_map(|path| bind("--ro-bind-try", path)));
    words.extend(["--tmpfs".to_owned(), hidden.into_owned()]);
    words.extend(request.reads.iter().flat_map(|path| bind("--ro-bind", path)));
    let writes = request.writes.iter().chain([&request.worktree]);
    words.extend(writes.flat_map(|path| bind("--bind", path)));
    words.extend(["--chdir".to_owned(), request.worktree.to_string_lossy().into_owned()]);
    words.push("--".to_owned());
    words.extend(program);
    words
}
