//! How it is merged, by whom it says so, and who gets to see the token.

use std::os::unix::fs::PermissionsExt as _;

use super::hub::TOKEN;
use super::stage::{CHAIN, Stage, subjects};

#[test]
fn each_method_merges_as_it_says() {
    for (method, parents) in [("squash", 1), ("rebase", 1), ("merge", 2)] {
        let stage = Stage::new(&format!(
            "git: {{merge_method: {method}, co_authors: {{ada: 'Ada <ada@example.org>'}}}}\n"
        ));
        let said = stage.run(CHAIN);
        assert_eq!(said.code, 0, "{method}: {}{}", said.out, said.err);
        let repo = stage.hub.repo();
        assert!(repo.git(&["ls-tree", "--name-only", "main"]).contains("second.txt"), "{method}");
        let tip = repo.git(&["show", "-s", "--format=%P", "main"]);
        assert_eq!(tip.split_whitespace().count(), parents, "{method}: {tip}");
        if method != "rebase" {
            let text = repo.git(&["show", "-s", "--format=%B", "main"]);
            assert_eq!(
                text,
                "Merge lane default of g/1\n\nTaskloom-Run: g/1\nTaskloom-Workstream: default\n\
                 Co-authored-by: Ada <ada@example.org>",
                "{method}"
            );
        }
        stage.finish();
    }
}

#[test]
fn the_token_is_seen_by_git_alone_and_in_no_argument() {
    let stage = Stage::new("");
    // A git on PATH that writes down what it is told.
    let bin = stage.world.path("bin");
    std::fs::create_dir(&bin).unwrap();
    let log = stage.world.path("git.log");
    let real = which::which("git").unwrap();
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {log}\nexec {real} \"$@\"\n",
        log = log.display(),
        real = real.display()
    );
    std::fs::write(bin.join("git"), script).unwrap();
    std::fs::set_permissions(bin.join("git"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let config = std::fs::read_to_string(stage.config()).unwrap();
    // The agent writes all that it is given.
    let config = config.replace("cat > $TASKLOOM_TASK.txt", "env > $TASKLOOM_TASK.txt");
    stage.world.write("config.yaml", &config);
    let mut variables = stage.variables.clone();
    variables.push(("PATH", path.into()));
    let graph = stage.graph(CHAIN).display().to_string();
    let (repo, config) = (stage.world.repo().display().to_string(), stage.config());
    let args = ["run", &graph, "--repo", &repo, "--config", &config, "--log", "debug"];
    let said = crate::world::ended(stage.world.spawn_program(&args, &variables));
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("push --porcelain") && log.contains("/git/octo/shop.git"), "{log}");
    use base64::Engine as _;
    let basic = base64::prelude::BASE64_STANDARD.encode(format!("x-access-token:{TOKEN}"));
    for text in [&log, &said.out, &said.err] {
        assert!(!text.contains(TOKEN) && !text.contains(&basic));
    }
    let written = stage.hub.repo().git(&["show", "main:first.txt"]);
    assert!(written.contains("TASKLOOM_TASK=first") && !written.contains(TOKEN), "{written}");
    assert_eq!(subjects(&stage, "main")[0], "Merge lane default of g/1");
    stage.world.holds_nowhere(&basic);
    stage.finish();
}

#[test]
fn a_project_may_merge_otherwise_than_the_others() {
    let stage = Stage::new("git: {merge_method: merge}\n");
    let config = std::fs::read_to_string(stage.config()).unwrap();
    let config =
        config.replace("default_branch: main}", "default_branch: main, merge_method: squash}");
    stage.world.write("config.yaml", &config);
    assert_eq!(stage.run(CHAIN).code, 0);
    let tip = stage.hub.repo().git(&["show", "-s", "--format=%P", "main"]);
    assert_eq!(tip.split_whitespace().count(), 1, "{tip}");
    stage.finish();
}
