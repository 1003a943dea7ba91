//! The repository behind the stand-in: a real bare one on disk, merged by git, reached by git over
//! HTTP through its own `http-backend`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use axum::body::Body;
use axum::http::{Response, StatusCode};

/// How a pull request is merged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Merge,
    Squash,
    Rebase,
}

#[derive(Clone)]
pub(crate) struct Repo {
    root: PathBuf,
}

impl Repo {
    pub(crate) fn new(root: &Path) -> Self {
        let repo = Self { root: root.to_owned() };
        std::fs::create_dir_all(repo.dir()).unwrap();
        repo.git(&["init", "-q", "--bare", "-b", "main"]);
        repo.git(&["config", "http.receivepack", "true"]);
        repo
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.root.join("octo/shop.git")
    }

    #[expect(clippy::disallowed_methods, reason = "GitHub's own git")]
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.args(args).current_dir(self.dir()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap());
        for (name, value) in [
            ("GIT_AUTHOR_NAME", "GitHub"),
            ("GIT_AUTHOR_EMAIL", "noreply@github.com"),
            ("GIT_COMMITTER_NAME", "GitHub"),
            ("GIT_COMMITTER_EMAIL", "noreply@github.com"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
        ] {
            command.env(name, value);
        }
        command
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        self.try_git(args).unwrap_or_else(|why| panic!("git {args:?}: {why}"))
    }

    pub(crate) fn try_git(&self, args: &[&str]) -> Result<String, String> {
        let output = self.command(args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        match output.status.success() {
            true => Ok(text),
            false => Err(format!("{text}{}", String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// Where a branch is.
    pub(crate) fn at(&self, branch: &str) -> Option<String> {
        self.try_git(&["rev-parse", "--verify", "-q", &format!("refs/heads/{branch}")]).ok()
    }

    pub(crate) fn branches(&self) -> Vec<String> {
        let names = self.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
        names.lines().map(str::to_owned).collect()
    }

    pub(crate) fn contains(&self, branch: &str, commit: &str) -> bool {
        self.try_git(&["merge-base", "--is-ancestor", commit, branch]).is_ok()
    }

    pub(crate) fn conflicts(&self, base: &str, head: &str) -> bool {
        self.try_git(&["merge-tree", "--write-tree", base, head]).is_err()
    }

    /// Somebody commits a file to a branch, as in the web editor.
    pub(crate) fn edit(&self, branch: &str, file: &str, text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().display().to_string();
        let clone = |args: &[&str]| {
            let mut all = vec!["-C", &tree];
            all.extend(args);
            self.git(&all)
        };
        self.git(&["clone", "-q", "--branch", branch, &self.dir().display().to_string(), &tree]);
        let path = dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        clone(&["add", "-A"]);
        clone(&["commit", "-q", "-m", &format!("Edit {file}")]);
        clone(&["push", "-q", "origin", &format!("HEAD:refs/heads/{branch}")]);
        self.at(branch).unwrap()
    }

    /// Merges and moves the base; `None` if it conflicts.
    pub(crate) fn merge(&self, how: How, base: &str, head: &str, message: &str) -> Option<String> {
        let at = self.at(base).unwrap();
        let name = format!("refs/heads/{base}");
        if how == How::Rebase {
            let dir = tempfile::tempdir().unwrap();
            let tree = dir.path().display().to_string();
            self.git(&["clone", "-q", &self.dir().display().to_string(), &tree]);
            self.git(&["-C", &tree, "checkout", "-q", "--detach", head]);
            self.try_git(&["-C", &tree, "rebase", "-q", "--force-rebase", &at]).ok()?;
            self.git(&["-C", &tree, "push", "-q", "origin", &format!("HEAD:{name}")]);
            return self.at(base);
        }
        let tree = self.try_git(&["merge-tree", "--write-tree", &at, head]).ok()?;
        let mut args = vec!["commit-tree", &tree, "-p", &at];
        if how == How::Merge {
            args.extend(["-p", head]);
        }
        args.extend(["-m", message]);
        let commit = self.git(&args);
        self.git(&["update-ref", &name, &commit, &at]);
        Some(commit)
    }

    /// What the server refuses to take, as a hook on it.
    pub(crate) fn refuse_workflows(&self) {
        let hook = self.dir().join("hooks/pre-receive");
        std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
        let script = "#!/bin/sh\nwhile read old new name; do\n\
            git ls-tree -r --name-only $new | grep -q '^.github/workflows/' &&\n\
            echo 'refusing to allow a GitHub App to create or update workflow without `workflows` permission' >&2 && exit 1\n\
            done\nexit 0\n";
        std::fs::write(&hook, script).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Answers one request of git's own protocol.
    pub(crate) fn serve(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &axum::http::HeaderMap,
        body: &[u8],
    ) -> Response<Body> {
        let header = |name: &str| {
            headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let mut command = self.command(&["http-backend"]);
        command
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("PATH_INFO", path)
            .env("REQUEST_METHOD", method)
            .env("QUERY_STRING", query)
            .env("CONTENT_TYPE", header("content-type"))
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
            .env("GIT_PROTOCOL", header("git-protocol"))
            .env("REMOTE_USER", "x-access-token")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let bytes = body.to_vec();
        let feeder = std::thread::spawn(move || drop(input.write_all(&bytes)));
        let output = child.wait_with_output().unwrap().stdout;
        feeder.join().unwrap();
        let split = output.windows(4).position(|at| at == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&output[..split]).into_owned();
        let mut answer = Response::builder().status(StatusCode::OK);
        for line in head.lines() {
            let (name, value) = line.split_once(": ").unwrap();
            match name {
                "Status" => answer = answer.status(value[..3].parse::<u16>().unwrap()),
                _ => answer = answer.header(name, value),
            }
        }
        answer.body(Body::from(output[split + 4..].to_vec())).unwrap()
    }
}
