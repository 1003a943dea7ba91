//! GitHub as a forge: the real program against a stand-in over a real repository, judged by
//! GitHub's own description of its interface.

mod faults;
mod hub;
mod issues;
mod load;
mod merging;
mod peer;
mod people;
pub(crate) mod stage;

use stage::{CHAIN, Stage, subjects};

#[test]
fn a_graph_becomes_pull_requests_and_ends_in_the_target() {
    let stage = Stage::new("");
    let desk = stage.world.desk();
    let said = stage.run(CHAIN);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let bodies: Vec<String> = stage
        .hub
        .state()
        .pulls
        .iter()
        .map(|pull| format!("# {}\n{} <- {}\n\n{}\n", pull.title, pull.base, pull.head, pull.body))
        .collect();
    insta::assert_snapshot!(plain(&bodies.join("\n========\n")));
    assert_eq!(subjects(&stage, "main")[0], "Merge lane default of g/1");
    let left: Vec<String> = stage.hub.repo().branches();
    assert_eq!(left, ["main"], "branches are cleaned up after the merge");
    assert_eq!(stage.world.desk(), desk);
    stage.finish();
}

/// What its agent says, doubts and stumbles over.
const TALKATIVE: &str = "
name: checkout
workstreams: [{id: payments, approval: true, checks: ['test -f refund.txt']}]
tasks:
  - id: refund
    title: Refund in whole cents
    workstream_id: payments
    description: |
      Money is refunded in **whole cents**.

      - round half to even
    completion_gate: test -s refund.txt
    primary_agent:
      framework: shell
      command: |
        echo done > refund.txt
        taskloom task '{\"signal\":\"concern\",\"text\":\"@octo fixes #12: is <b>half to even</b> meant?\"}'
        taskloom task '{\"signal\":\"ops_concern\",\"text\":\"the test runner is slow\"}'
        taskloom task '{\"signal\":\"done\",\"summary\":\"Rounds half to even.\\n\\nSee `refund.txt`.\"}'
";

#[test]
fn a_pull_request_says_what_was_verified_said_and_doubted() {
    let stage = Stage::new("");
    let said = stage.run(TALKATIVE);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let state = stage.hub.state();
    let bodies: Vec<String> =
        state.pulls.iter().map(|pull| format!("# {}\n\n{}\n", pull.title, pull.body)).collect();
    drop(state);
    insta::assert_snapshot!(plain(&bodies.join("\n========\n")));
    stage.finish();
}

/// Commits are others each time.
fn plain(text: &str) -> String {
    let commit = |word: &str| {
        let id = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        id.len() == 10 && id.chars().all(|c| c.is_ascii_hexdigit())
    };
    let word = |word: &str| {
        let bare = word.trim_end();
        if commit(bare) { format!("COMMIT{}", &word[bare.len()..]) } else { word.to_owned() }
    };
    text.split_inclusive(char::is_whitespace).map(word).collect()
}
