//! The laws of the house, checked as text: who may name whom, what is fenced where, and sizes.
//! `src/ARCHITECTURE.md` gives the reasons.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Which modules a module may name. Reading order is dependency order; `*` is everything above.
const MAY_NAME: &[(&str, &str)] = &[
    ("crash", ""),
    ("ids", ""),
    ("time", ""),
    ("entropy", ""),
    ("failure", ""),
    ("secret", "failure"),
    ("graph", "ids"),
    ("plan", "ids graph"),
    ("state", "ids time graph plan"),
    ("scheduler", "ids time graph state"),
    ("render", "ids time failure graph state scheduler"),
    ("notify", "ids time state scheduler"),
    ("store", "crash ids time graph state"),
    ("git", "crash ids time"),
    ("sandbox", "ids graph"),
    ("forge", "crash ids time secret state git"),
    ("agents", "crash ids time graph state sandbox"),
    (
        "runner",
        "crash ids time entropy failure secret graph plan state notify git forge agents sandbox",
    ),
    (
        "orchestrator",
        "crash ids time entropy failure graph plan state scheduler notify store runner",
    ),
    ("hooks", "ids time failure secret graph state notify store runner"),
    (
        "control",
        "crash ids time failure graph plan state scheduler render notify store runner orchestrator hooks",
    ),
    (
        "discord",
        "crash ids time failure secret graph plan state scheduler render notify store runner orchestrator hooks control",
    ),
    (
        "config",
        "ids time failure secret graph plan state scheduler forge agents git runner orchestrator hooks discord",
    ),
    (
        "sim",
        "ids time entropy failure graph plan state scheduler render notify store git forge agents sandbox runner orchestrator",
    ),
    ("metrics", "ids time orchestrator"),
    ("http", "secret"),
    ("app", "*"),
    ("cli", "*"),
];

/// Outside names and the only places that may say them.
const FENCES: &[(&str, &[&str])] = &[
    ("sqlx::", &["store/"]),
    ("granit_parser", &["graph/"]),
    ("serde_yaml::", &["config/", "sim/"]),
    ("nix::", &["agents/process/"]),
    ("rustix::", &["agents/process/", "git/"]),
    ("process::Command", &["git/command.rs", "agents/process/"]),
    ("resvg::", &["render/"]),
    ("indicatif::", &["cli/"]),
    ("clap::", &["cli/"]),
    ("anyhow::", &["app/", "cli/"]),
    ("serenity::", &["discord/"]),
    ("poise::", &["discord/bot/"]),
    ("reqwest::", &["discord/", "http/fetch.rs"]),
    ("octocrab::", &["forge/github/"]),
    ("use http::", &["forge/github/"]),
    ("axum::", &["http/"]),
    ("prometheus_client::", &["metrics/"]),
    ("zstd::", &["runner/layout/"]),
    ("notify::recommended_watcher", &["app/"]),
    ("croner::", &["hooks/"]),
    ("chrono_tz::", &["time.rs"]),
    ("globset::", &["hooks/"]),
    ("println!", &["cli/"]),
    ("Utc::now", &["time.rs"]),
    ("Instant::now", &["time.rs"]),
];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const FOLDER_FILES_MAX: usize = 9;

struct Source {
    /// Path below `src/` or `tests/`.
    path: String,
    text: String,
    /// The same text with comments, strings and test modules blanked.
    code: String,
}

fn sources(root: &str) -> Vec<Source> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
    let mut files = Vec::new();
    walk(&base, &mut files);
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            let path = file.strip_prefix(&base).unwrap().to_string_lossy().into_owned();
            let code = without_tests(&mask(&text));
            Source { path, text, code }
        })
        .collect()
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// Blanks comments and literals, keeping every line break.
fn mask(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < bytes.len() {
        let rest = &text[i..];
        let end = if rest.starts_with("//") {
            i + rest.find('\n').unwrap_or(rest.len())
        } else if let Some(len) = raw_string(rest) {
            i + len
        } else if rest.starts_with('"') {
            i + quoted(rest)
        } else if let Some(len) = char_literal(rest) {
            i + len
        } else {
            let c = rest.chars().next().unwrap();
            out.push(c);
            i += c.len_utf8();
            continue;
        };
        out.extend(text[i..end].chars().filter(|c| *c == '\n'));
        i = end;
    }
    out
}

fn raw_string(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('r')?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let open = body[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(1 + hashes + 1 + open.find(&close)? + close.len())
}

fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn char_literal(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'')?;
    let first = body.chars().next()?;
    if first == '\\' {
        return Some(2 + body[1..].find('\'')? + 1);
    }
    body[first.len_utf8()..].starts_with('\'').then(|| 2 + first.len_utf8())
}

/// Drops what follows `#[cfg(test)]` at the left margin: test modules stand at the end of a file.
fn without_tests(code: &str) -> String {
    match code.find("\n#[cfg(test)]\nmod ") {
        Some(at) => code[..=at].to_owned(),
        None => code.to_owned(),
    }
}

fn top(path: &str) -> &str {
    path.split('/').next().unwrap().trim_end_matches(".rs")
}

/// Every module named after `crate::` in `code`.
fn named(code: &str) -> Vec<String> {
    code.match_indices("crate::")
        .map(|(at, _)| {
            let rest = &code[at + "crate::".len()..];
            rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        })
        .collect()
}

fn verdict(problems: &str) {
    assert!(problems.is_empty(), "\n{problems}");
}

#[test]
fn a_module_names_only_what_the_law_allows() {
    let law: BTreeMap<&str, &str> = MAY_NAME.iter().copied().collect();
    let mut problems = String::new();
    for source in sources("src").iter().filter(|s| !matches!(s.path.as_str(), "main.rs" | "lib.rs"))
    {
        let own = top(&source.path);
        let Some(allowed) = law.get(own) else {
            writeln!(problems, "{}: `{own}` has no row in MAY_NAME", source.path).unwrap();
            continue;
        };
        for name in named(&source.code) {
            let fine = *allowed == "*" || name == own || allowed.split(' ').any(|a| a == name);
            if !fine {
                writeln!(problems, "{}: `{own}` must not name `{name}`", source.path).unwrap();
            }
        }
    }
    verdict(&problems);
}

#[test]
fn outside_names_stay_behind_their_fences() {
    let mut problems = String::new();
    for source in sources("src") {
        for (name, homes) in FENCES {
            let home = homes.iter().any(|h| source.path.starts_with(h));
            if !home && says(&source.code, name) {
                writeln!(problems, "{}: `{name}` belongs in {homes:?}", source.path).unwrap();
            }
        }
        for banned in ["use crate::{", "super::super"] {
            if source.code.contains(banned) {
                writeln!(problems, "{}: `{banned}`", source.path).unwrap();
            }
        }
    }
    verdict(&problems);
}

/// Whether `code` says `name`, and not only as the end of a longer word.
fn says(code: &str, name: &str) -> bool {
    let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    code.match_indices(name).any(|(at, _)| at == 0 || !word(code.as_bytes()[at - 1]))
}

#[test]
fn files_open_with_their_purpose_and_stay_small() {
    let mut problems = String::new();
    let mut folders: BTreeMap<String, usize> = BTreeMap::new();
    for source in sources("src") {
        if !source.text.starts_with("//!") && source.path != "lib.rs" {
            writeln!(problems, "{}: no `//!` line at the top", source.path).unwrap();
        }
        let lines = source.code.lines().count();
        if lines > FILE_LINES_MAX {
            writeln!(problems, "{}: {lines} lines, {FILE_LINES_MAX} at most", source.path).unwrap();
        }
        if let Some((folder, _)) = source.path.rsplit_once('/') {
            *folders.entry(folder.to_owned()).or_default() += 1;
        }
    }
    for (folder, files) in folders.iter().filter(|(_, files)| **files > FOLDER_FILES_MAX) {
        writeln!(problems, "{folder}/: {files} files, {FOLDER_FILES_MAX} at most").unwrap();
    }
    verdict(&problems);
}

#[test]
fn functions_fit_on_a_screen() {
    let mut problems = String::new();
    for root in ["src", "tests"] {
        for source in sources(root) {
            for (line, name, length) in functions(&source.code) {
                let flat = source.text.lines().nth(line.saturating_sub(2)).unwrap_or("");
                if length > FUNCTION_LINES_MAX && !flat.contains("tidy: flat match") {
                    let place = format!("{root}/{}:{line}", source.path);
                    writeln!(problems, "{place}: `{name}` has {length} lines").unwrap();
                }
            }
        }
    }
    verdict(&problems);
}

/// Line, name and length of every function with a body.
fn functions(code: &str) -> Vec<(usize, String, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let boundary = at == 0 || !code.as_bytes()[at - 1].is_ascii_alphanumeric();
        let name: String =
            code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let body = code[at..].find(['{', ';']).map(|o| at + o);
        let Some(open) =
            body.filter(|o| boundary && !name.is_empty() && code.as_bytes()[*o] == b'{')
        else {
            continue;
        };
        let line = code[..at].lines().count().max(1);
        let close = matching(code, open);
        found.push((line, name, code[at..close].lines().count()));
    }
    found
}

fn matching(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + at + 1;
        }
    }
    code.len()
}

#[test]
fn no_test_file_is_forgotten() {
    let listed =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/main.rs")).unwrap();
    let mut problems = String::new();
    for source in sources("tests").iter().filter(|s| !s.path.contains('/') && s.path != "main.rs") {
        let module = format!("mod {};", source.path.trim_end_matches(".rs"));
        if !listed.contains(&module) {
            writeln!(problems, "tests/main.rs does not say `{module}`").unwrap();
        }
    }
    verdict(&problems);
}

#[test]
fn the_checks_themselves_find_what_they_look_for() {
    let code =
        mask("fn a() { let s = \"crate::x {\"; } // crate::y\nuse crate::z::W;\nlet c = '{';");
    assert_eq!(named(&code), ["z"]);
    assert_eq!(functions("fn a() {\n}\nfn b();\n"), [(1, "a".to_owned(), 2)]);
    assert!(!without_tests("a\n#[cfg(test)]\nmod tests { x }").contains('x'));
}
