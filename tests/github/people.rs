//! People on GitHub: they review, comment, and their checks fail.

use crate::world::until;

use super::stage::{ONE, Stage, file};

const REVIEWED: &str = "
name: g
workstreams: [{id: default, auto_merge: true}]
tasks:
  - {id: one, description: writes a file, max_attempts: 4, approval: {count: 2}}
";

#[test]
fn what_a_reviewer_wants_goes_to_the_agent_and_the_pull_request_stays_the_same() {
    let stage = Stage::new("");
    let daemon = stage.serve(REVIEWED);
    until("it waits for people", || stage.state("one") == "awaits approval");
    let pull = stage.pull("one");
    // Nobody has said that this one's word counts.
    stage.hub.review(pull.number, "stranger", "CHANGES_REQUESTED", "burn it", &[]);
    stage.hub.review(pull.number, "stranger", "APPROVED", "", &[]);
    let lines = [("one.txt", 3, "say please")];
    stage.hub.review(pull.number, "octocat", "CHANGES_REQUESTED", "not polite", &lines);
    let head = &pull.head;
    until("the agent hears of it", || {
        file(&stage, head, "one.txt").is_some_and(|text| text.contains("one.txt:3: say please"))
    });
    let text = file(&stage, head, "one.txt").unwrap();
    assert!(text.contains("alice requests changes on GitHub: not polite"), "{text}");
    assert!(!text.contains("burn it"), "{text}");
    until("it waits for people again", || stage.state("one") == "awaits approval");
    stage.hub.comment(pull.number, "hubot", "@Taskloom: and sign it");
    stage.hub.comment(pull.number, "hubot", "nice weather today");
    until("the agent hears of that", || {
        file(&stage, head, "one.txt")
            .is_some_and(|text| text.contains("bob says on GitHub: and sign it"))
    });
    until("it waits for people a third time", || stage.state("one") == "awaits approval");
    // One person is one voice, wherever they speak.
    stage.hub.review(pull.number, "octocat", "APPROVED", "", &[]);
    until("the review counts", || {
        let shown = stage.taskloom(&["show", "g/1/one"]);
        shown.out.contains("alice")
    });
    let said = stage.world.taskloom(&["approve", "g/1/one"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    stage.until_lane("merged");
    assert_eq!(stage.hub.state().pulls.len(), 2);
    stage.end(daemon);
    stage.finish();
}

#[test]
fn a_check_that_fails_goes_to_the_agent_and_one_that_runs_is_waited_for() {
    let stage = Stage::new("  required_checks: [ci]\n");
    let daemon = stage.serve(ONE);
    let pull = stage.pull("one");
    until("it is known what is waited for", || {
        stage.taskloom(&["why", "g/1/one"]).out.contains("check `ci` has not begun")
    });
    stage.hub.conclude(pull.number, "ci", "failure", "3 of 7 tests fail");
    until("the agent hears of it", || {
        file(&stage, &pull.head, "one.txt").is_some_and(|text| text.contains("3 of 7 tests fail"))
    });
    let again = stage.pull("one");
    assert_eq!(again.number, pull.number);
    stage.hub.conclude(pull.number, "ci", "success", "");
    let lane = stage.lane_pull();
    stage.hub.conclude(lane.number, "ci", "success", "");
    stage.until_lane("merged");
    stage.end(daemon);
    stage.finish();
}
