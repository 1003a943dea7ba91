//! What goes wrong between the engine and GitHub, and that nothing comes of it.

use std::time::{Duration, Instant};

use crate::world::{ended, until};

use super::hub::{Deed, Trouble};
use super::stage::{CHAIN, ONE, Stage, file, private, subjects};

/// Merges of the run's own pull requests, by what main says.
fn merged_once(stage: &Stage) {
    let merges = subjects(stage, "main");
    let lane = merges.iter().filter(|s| s.as_str() == "Merge lane default of g/1").count();
    assert_eq!(lane, 1, "{merges:?}");
    let state = stage.hub.state();
    let opened: Vec<&str> = state.pulls.iter().map(|pull| &*pull.head).collect();
    let distinct: std::collections::BTreeSet<&&str> = opened.iter().collect();
    assert_eq!(distinct.len(), opened.len(), "a pull request was opened twice: {opened:?}");
}

#[test]
fn f01_a_pull_request_whose_answer_is_lost_is_found() {
    let stage = Stage::new("");
    stage.hub.fault("POST", "/pulls", Trouble::After(502));
    let said = stage.run(ONE);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    merged_once(&stage);
    assert_eq!(stage.state("one"), "merged");
    stage.finish();
}

#[test]
fn f02_one_that_a_process_left_behind_is_taken_and_a_foreign_one_is_not() {
    let mut stage = Stage::new("");
    stage.variables.push(("CRASH_AT", "github.created".into()));
    let died = stage.run(ONE);
    assert!(!matches!(died.code, 0..=3), "{}", died.err);
    assert_eq!(stage.hub.state().pulls.len(), 1);
    stage.variables.pop();
    assert_eq!(stage.run(ONE).code, 0);
    merged_once(&stage);
    stage.finish();

    // Somebody has put another commit where the task's branch would be.
    let stage = Stage::new("");
    let at = stage.hub.repo().at("main").unwrap();
    stage.hub.repo().git(&["branch", "taskloom/g/1/t/one", &at]);
    let theirs = stage.hub.repo().edit("taskloom/g/1/t/one", "theirs.txt", "by hand\n");
    let said = stage.run(ONE);
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(said.out.contains("which somebody else pushed; it is left"), "{}", said.out);
    assert_eq!(stage.hub.repo().at("taskloom/g/1/t/one"), Some(theirs));
    stage.finish();
}

#[test]
fn f03_a_merge_whose_answer_is_lost_is_taken_as_done() {
    let stage = Stage::new("");
    stage.hub.fault("PUT", "/merge", Trouble::After(504));
    let said = stage.run(CHAIN);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    merged_once(&stage);
    let lane = stage.lane_pull();
    assert!(lane.merged.is_some());
    stage.finish();
}

#[test]
fn f04_what_somebody_pushes_just_before_the_merge_is_verified_first() {
    let stage = Stage::new("");
    let push = Deed::Push(1, "more.txt", "pushed by a person\n");
    stage.hub.fault("PUT", "/pulls/1/merge", Trouble::Before(push));
    let count = stage.world.path("gates");
    let graph = ONE.replace(
        "max_attempts: 3",
        &format!("completion_gate: 'test -f one.txt && ls >> {}'", count.display()),
    );
    let said = stage.run(&graph);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    merged_once(&stage);
    assert_eq!(file(&stage, "main", "more.txt").as_deref(), Some("pushed by a person"));
    let gates = std::fs::read_to_string(&count).unwrap();
    assert_eq!(gates.matches("one.txt").count(), 2, "{gates}");
    assert_eq!(gates.matches("more.txt").count(), 1, "{gates}");
    stage.finish();
}

#[test]
fn f05_a_rule_of_githubs_own_holds_a_merge_back_until_it_is_met() {
    let stage = Stage::new("");
    stage.hub.state().required.insert("main".to_owned(), vec!["ci".to_owned()]);
    let daemon = stage.serve(ONE);
    let lane = stage.lane_pull();
    stage.until_lane("awaits approval");
    let why = stage.taskloom(&["status", "g"]);
    assert!(why.out.contains("Required status check \"ci\" is expected"), "{}", why.out);
    assert!(stage.hub.pull("/w/default").unwrap().merged.is_none());
    assert!(why.out.contains("https://github.com/octo/shop/pull/2"), "{}", why.out);
    stage.hub.conclude(lane.number, "ci", "success", "");
    stage.until_lane("merged");
    merged_once(&stage);
    stage.end(daemon);
    stage.finish();
}

#[test]
fn f06_what_a_person_merges_is_done_and_what_a_person_closes_is_asked_about() {
    let stage = Stage::new("");
    stage.hub.state().ci = vec!["ci".to_owned()];
    let daemon = stage.serve(CHAIN);
    // The bot waits for the check; a person does not.
    let first = stage.pull("first");
    let merged = stage.hub.merge(first.number, "octocat");
    until("the first task is merged", || stage.state("first") == "merged");
    let second = stage.pull("second");
    assert!(stage.hub.repo().contains(&second.head, &merged), "it builds on what was merged");
    stage.hub.close(second.number);
    until("the second task fails", || stage.state("second").starts_with("failed"));
    let shown = stage.taskloom(&["show", "g/1/second"]);
    assert!(shown.out.contains("was closed without being merged"), "{}", shown.out);
    assert_eq!(stage.taskloom(&["retry", "g/1/second"]).code, 0);
    until("it is open again", || stage.hub.pull("/t/second").is_some_and(|pull| pull.open));
    let second = stage.pull("second");
    stage.hub.conclude(second.number, "ci", "success", "");
    let lane = stage.lane_pull();
    stage.hub.conclude(lane.number, "ci", "success", "");
    stage.until_lane("merged");
    stage.end(daemon);
    stage.finish();
}

#[test]
fn f07_when_github_asks_for_fewer_requests_it_gets_fewer() {
    let stage = Stage::new("");
    stage.hub.fault("POST", "/pulls", Trouble::Secondary(2));
    let said = stage.run(ONE);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let log = stage.hub.exchanges();
    let refused = log.iter().position(|exchange| exchange.status == 403).unwrap();
    let wait = log[refused + 1].at_ms - log[refused].at_ms;
    assert!(wait >= 1_900, "the next request came after {wait} ms");
    merged_once(&stage);
    stage.finish();
}

#[test]
fn f08_a_token_that_ends_in_the_middle_is_renewed_and_costs_nothing() {
    let key = include_str!("app.pem");
    let stage = Stage::signed_in("app: {id: 7, installation: 9, key_file: KEY}", "");
    let path = stage.world.write("app.pem", key);
    private(&path);
    let config = std::fs::read_to_string(stage.config()).unwrap();
    stage.world.write("config.yaml", &config.replace("KEY", &path.display().to_string()));
    stage.hub.state().ci = vec!["ci".to_owned()];
    let run = stage.start(ONE);
    let pull = stage.pull("one");
    stage.hub.state().tokens.clear();
    stage.hub.conclude(pull.number, "ci", "success", "");
    let lane = stage.lane_pull();
    stage.hub.state().tokens.clear();
    stage.hub.conclude(lane.number, "ci", "success", "");
    let said = ended(run);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    merged_once(&stage);
    assert_eq!(stage.hub.state().issued, 3);
    let shown = stage.taskloom(&["show", "g/1/one", "--json"]);
    assert!(shown.out.contains("\"attempts\": 1") || shown.out.contains("\"attempts\":1"));
    stage.world.holds_nowhere("ghs_dummycanary");
    stage.finish();
}

#[test]
fn f09_a_workflow_is_let_through_by_a_person_or_not_at_all() {
    let writes = "command: 'mkdir -p .github/workflows; echo x > .github/workflows/x.yml'";
    let stage = Stage::new("");
    let config = std::fs::read_to_string(stage.config()).unwrap();
    let config = config.replace("command: 'cat > $TASKLOOM_TASK.txt'", writes);
    stage.world.write("config.yaml", &config);
    let daemon = stage.serve(ONE);
    until("it waits for a person", || stage.state("one") == "awaits approval");
    let shown = stage.taskloom(&["show", "g/1/one"]);
    assert!(shown.out.contains(".github/workflows/x.yml"), "{}", shown.out);
    assert!(stage.pull("one").body.contains(".github/workflows/x.yml"));
    assert_eq!(stage.taskloom(&["approve", "g/1/one"]).code, 0);
    stage.until_lane("merged");
    stage.end(daemon);
    stage.finish();

    // Without the permission `workflows`, GitHub does not take it at all.
    let stage = Stage::new("");
    stage.world.write("config.yaml", &{
        let config = std::fs::read_to_string(stage.config()).unwrap();
        config.replace("command: 'cat > $TASKLOOM_TASK.txt'", writes)
    });
    stage.hub.repo().refuse_workflows();
    let said = stage.run(ONE);
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(said.out.contains("without `workflows` permission"), "{}", said.out);
    assert!(stage.hub.state().pulls.is_empty());
    stage.finish();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long a server is away")]
fn f10_while_github_is_away_agents_work_on_and_nothing_is_lost() {
    let stage = Stage::new("");
    let graph = format!(
        "{}  - {{id: third, description: no hurry, completion_gate: 'test -f {}'}}\nretry: {{backoff: {{initial: 200ms, max: 1s}}}}\n",
        CHAIN,
        stage.world.path("go").display()
    );
    let run = stage.start(&graph);
    stage.pull("first");
    stage.hub.state().down_until = Some(Instant::now() + Duration::from_secs(3));
    until("the third is at work", || stage.state("third") == "running");
    stage.world.write("go", "");
    let said = ended(run);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let away = stage.hub.exchanges().iter().filter(|e| e.status == 503).count();
    assert!(away > 0 && away < 200, "{away} requests while it was away");
    merged_once(&stage);
    stage.finish();
}
