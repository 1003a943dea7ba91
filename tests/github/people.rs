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

/// What the journal says since last time, without what is different each time.
fn news(stage: &Stage, since: &mut usize) -> String {
    let shown = stage.world.json(&["show", "g/1"]);
    let journal = shown["journal"].as_array().unwrap();
    let mut lines = Vec::new();
    for entry in journal.iter().skip(*since) {
        let on = entry["task"].as_str().or(entry["workstream"].as_str()).unwrap_or("run");
        let detail = entry["detail"].as_str().unwrap_or_default();
        let detail = detail.lines().next().unwrap_or_default();
        let words = detail.split(' ').map(|word| {
            let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
            let id = bare.len() >= 10 && bare.chars().all(|c| c.is_ascii_hexdigit());
            if id { "COMMIT".to_owned() } else { word.to_owned() }
        });
        let detail = words.collect::<Vec<_>>().join(" ");
        lines.push(format!("  {on}: {} {detail}", entry["kind"].as_str().unwrap_or_default()));
    }
    *since = journal.len();
    lines.join("\n")
}

#[test]
fn people_merge_push_and_close_under_its_feet() {
    let stage = Stage::new("  required_checks: [ci]\n");
    let graph = "
name: g
workstreams: [{id: default, auto_merge: true}]
max_concurrency: 1
tasks:
  - {id: merged, description: merged by a person}
  - {id: pushed, description: pushed to by a person, dependencies: [merged], completion_gate: 'test -f pushed.txt'}
  - {id: closed, description: closed by a person, dependencies: [pushed]}
";
    let mut story = Vec::new();
    let mut since = 0;
    let daemon = stage.serve(graph);
    let waits = |task: &str| {
        until("it waits for the check", || {
            let why = stage.taskloom(&["why", &format!("g/1/{task}")]);
            why.out.contains("has not begun")
        });
    };
    let first = stage.pull("merged");
    waits("merged");
    story.push(format!("submitted\n{}", news(&stage, &mut since)));
    stage.hub.merge(first.number, "octocat");
    let second = stage.pull("pushed");
    waits("pushed");
    story.push(format!("> octocat merges #{}\n{}", first.number, news(&stage, &mut since)));
    stage.hub.repo().edit(&second.head, "hint.txt", "by hand\n");
    stage.hub.change(second.number, |_| ());
    until("what was pushed is verified", || {
        stage.world.json(&["show", "g/1/pushed"])["attempts"]
            .as_array()
            .is_some_and(|all| all.len() == 2)
    });
    waits("pushed");
    story.push(format!("> hubot pushes to #{}\n{}", second.number, news(&stage, &mut since)));
    stage.hub.conclude(second.number, "ci", "success", "");
    let third = stage.pull("closed");
    waits("closed");
    story.push(format!("> ci passes on #{}\n{}", second.number, news(&stage, &mut since)));
    stage.hub.close(third.number);
    until("it is asked about", || stage.state("closed") == "failed");
    story.push(format!("> octocat closes #{}\n{}", third.number, news(&stage, &mut since)));
    assert_eq!(stage.taskloom(&["skip", "g/1/closed", "--reason", "not wanted"]).code, 0);
    let lane = stage.lane_pull();
    stage.hub.conclude(lane.number, "ci", "success", "");
    stage.until_lane("merged");
    until("it is over", || stage.world.state_of_run() == "succeeded");
    story.push(format!(
        "> alice skips it, ci passes on #{}\n{}",
        lane.number,
        news(&stage, &mut since)
    ));
    insta::assert_snapshot!(story.join("\n\n"));
    assert!(file(&stage, "main", "hint.txt").is_some());
    assert!(file(&stage, "main", "closed.txt").is_none());
    stage.end(daemon);
    stage.finish();
}

#[test]
fn what_is_given_up_is_closed_there_too() {
    let stage = Stage::new("  required_checks: [ci]\n");
    let graph = "
name: g
workstreams: [{id: default, max_parallel: 2}]
tasks:
  - {id: one, description: x}
  - {id: two, description: y}
";
    let daemon = stage.serve(graph);
    let (one, two) = (stage.pull("one"), stage.pull("two"));
    until("both are watched", || stage.taskloom(&["why", "g/1/two"]).out.contains("has not begun"));
    assert_eq!(stage.taskloom(&["cancel", "g/1/one"]).code, 0);
    until("it is closed", || !stage.hub.pull("/t/one").unwrap().open);
    assert!(stage.hub.repo().at(&one.head).is_some(), "the work stays where it is");
    assert!(stage.hub.pull("/t/two").unwrap().open);
    assert_eq!(stage.taskloom(&["retry", "g/1/one"]).code, 0);
    until("it is open again", || stage.hub.pull("/t/one").unwrap().open);
    stage.hub.conclude(one.number, "ci", "success", "");
    stage.hub.conclude(two.number, "ci", "success", "");
    let lane = stage.lane_pull();
    stage.hub.conclude(lane.number, "ci", "success", "");
    stage.until_lane("awaits approval");
    assert_eq!(stage.taskloom(&["cancel", "g/1"]).code, 0);
    until("the lane's is closed", || !stage.hub.pull("/w/default").unwrap().open);
    stage.end(daemon);
    stage.finish();
}

#[test]
fn a_run_that_rests_hears_of_a_review_after_a_restart() {
    let stage = Stage::new("");
    let graph = "
name: g
workstreams: [{id: default, approval: {count: 2}}]
tasks: [{id: one, description: x}]
";
    let daemon = stage.serve(graph);
    stage.until_lane("awaits approval");
    until("the run rests", || stage.world.state_of_run() == "succeeded");
    let lane = stage.lane_pull();
    stage.end(daemon);
    stage.hub.review(lane.number, "octocat", "APPROVED", "", &[]);
    stage.hub.review(lane.number, "hubot", "APPROVED", "", &[]);
    // One of them takes it back before anybody looks.
    stage.hub.review(lane.number, "hubot", "DISMISSED", "", &[]);
    let daemon = stage.daemon();
    until("one review is counted", || {
        stage.world.json(&["show", "g/1"])["lanes"][0].to_string().contains("alice")
    });
    assert!(stage.hub.pull("/w/default").unwrap().open);
    stage.hub.review(lane.number, "hubot", "APPROVED", "", &[]);
    stage.until_lane("merged");
    stage.end(daemon);
    stage.finish();
}

#[test]
fn what_a_person_pushes_must_pass_the_gate_and_an_approval_does_not_outlive_it() {
    let stage = Stage::new("");
    let graph = "
name: g
workstreams: [{id: default, auto_merge: true}]
tasks:
  - id: one
    description: writes a file
    approval: {count: 2}
    max_attempts: 3
    completion_gate: '! test -f bad.txt'
";
    let daemon = stage.serve(graph);
    until("it waits for people", || stage.state("one") == "awaits approval");
    let pull = stage.pull("one");
    stage.hub.review(pull.number, "octocat", "APPROVED", "", &[]);
    let approvals = || {
        let shown = stage.taskloom(&["show", "g/1/one"]).out;
        shown.matches("approved by alice").count()
    };
    until("the review counts", || approvals() == 1);
    stage.hub.repo().edit(&pull.head, "bad.txt", "by hand\n");
    stage.hub.change(pull.number, |_| ());
    until("the agent has mended it", || {
        let file = file(&stage, &pull.head, "one.txt");
        file.is_some_and(|text| text.contains("what was pushed fails the gate"))
    });
    until("it waits for people again", || stage.state("one") == "awaits approval");
    assert_eq!(approvals(), 0, "what was approved is not what is there");
    assert!(file(&stage, &pull.head, "bad.txt").is_none());
    assert_eq!(stage.pull("one").number, pull.number);
    stage.hub.review(pull.number, "octocat", "APPROVED", "", &[]);
    stage.hub.review(pull.number, "hubot", "APPROVED", "", &[]);
    stage.until_lane("merged");
    stage.end(daemon);
    stage.finish();
}
