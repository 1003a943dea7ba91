//! The scenarios that are shipped, played by the real program, and what it says about bad ones.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[expect(clippy::disallowed_methods, reason = "the program under test")]
fn sim(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_taskloom"));
    program.arg("sim").args(arguments).output().unwrap()
}

fn shipped() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sim"));
    files.sort();
    files
}

/// `taskloom sim --write scenarios/*.sim` takes over what they print now.
#[test]
fn every_shipped_scenario_goes_as_it_says() {
    let files = shipped();
    let names: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
    let played = sim(&names);
    let text = String::from_utf8(played.stdout).unwrap();
    let errors = String::from_utf8(played.stderr).unwrap();
    assert_eq!((played.status.code(), errors.as_str()), (Some(0), ""), "{text}");
    assert_eq!(text.matches("as expected").count(), files.len(), "{text}");
    for file in files {
        // One that expects nothing would fit anything.
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains("submitted as") || text.contains("hint:"), "{}", file.display());
    }
}

#[test]
fn a_scenario_that_goes_otherwise_is_told_line_by_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("wrong.sim");
    let amend = shipped().into_iter().find(|path| path.ends_with("amend.sim")).unwrap();
    let shipped = fs::read_to_string(amend).unwrap();
    fs::write(&file, shipped.replacen("a: working", "a: merged", 1)).unwrap();
    let played = sim(&[file.to_str().unwrap()]);
    assert_eq!(played.status.code(), Some(1));
    let text = String::from_utf8(played.stdout).unwrap();
    assert!(text.contains("- a: merged\n+ a: working"), "{text}");
    assert_eq!(sim(&["--write", file.to_str().unwrap()]).status.code(), Some(0));
    assert_eq!(fs::read_to_string(&file).unwrap(), shipped);
}

#[test]
fn bad_scenarios_are_told_what_is_wrong_and_where() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.sim");
    let graph = "submit\nname: g\ntasks:\n  - {id: a, description: x}\n----\n";
    let cases = [
        "submit\nname: g\n",
        "retyr a\n----\n",
        "frobnicate\n----\n",
        "show\n----\n",
        "advance soon\n----\n",
        "say 'open\n----\n",
        &format!("{graph}\nagent a sucseeds\n----\n"),
        &format!("{graph}\nagent a fails badly\n----\n"),
        &format!("{graph}\nlane default explodes\n----\n"),
        &format!("{graph}\nretry\n----\n"),
        &format!("{graph}\ncrash\n----\n\nretry a\n----\n"),
        &format!("{graph}\nstop nobody\n----\n"),
    ];
    let mut told = String::new();
    for case in cases {
        fs::write(&file, case).unwrap();
        let played = sim(&[file.to_str().unwrap()]);
        let errors = String::from_utf8(played.stderr).unwrap();
        let said = if errors.is_empty() {
            let output = String::from_utf8(played.stdout).unwrap();
            output.lines().last().unwrap_or_default().to_owned() + "\n"
        } else {
            assert_ne!(played.status.code(), Some(0), "{case}");
            errors
        };
        let last = case.lines().rfind(|line| *line != "----").unwrap();
        writeln!(told, "{last:?}\n{said}").unwrap();
    }
    let told = told.replace(&*dir.path().to_string_lossy(), "");
    insta::assert_snapshot!(told);
}

#[test]
fn random_schedules_are_played_by_anybody() {
    let played = sim(&["--seeds", "20", "--seed", "7"]);
    let text = String::from_utf8(played.stdout).unwrap();
    assert!(text.starts_with("20 schedules with "), "{text}");
    assert_eq!(played.status.code(), Some(0));
}
