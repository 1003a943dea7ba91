//! What is due, what waits, what is dropped: with a clock that is set by hand.

use std::path::Path;

use serde_json::json;
use taskloom::config::Config;
use taskloom::hooks::rules::{
    Desk, Fired, Hook, HookRun, HookRunId, Limits, Refused, Status, Turn,
};
use taskloom::ids::HookName;
use taskloom::time::Timestamp;

use super::hook;

const LIMITS: Limits = Limits { slots: 2, depth_max: 3 };

fn at(seconds: i64) -> Timestamp {
    Timestamp(1_700_000_000_000 + seconds * 1_000)
}

fn name(text: &str) -> HookName {
    text.parse().unwrap()
}

fn desk(hooks: &[&str]) -> Desk {
    let mut desk = Desk::new(LIMITS, 1);
    for text in hooks {
        desk.put(hook(text), None, at(0), 0);
    }
    drop(desk.turn(at(0)));
    desk
}

fn event(seq: u64) -> Fired {
    Fired {
        key: format!("seq:{seq}"),
        sentence: format!("task_finished {seq}"),
        event: json!({ "task": "refund", "outcome": "expected_failure" }),
        project: Some("shop".parse().unwrap()),
        depth: 0,
        made_by: None,
    }
}

fn failures(desk: &mut Desk, seqs: std::ops::RangeInclusive<u64>, now: Timestamp) -> Turn {
    for seq in seqs {
        desk.happened("task_finished", seq, &event(seq), now);
    }
    desk.turn(now)
}

fn ids(begun: &[(HookRun, Hook)]) -> Vec<i64> {
    begun.iter().map(|(run, _)| run.id.0).collect()
}

const FIX: &str =
    "{name: fix, on: {event: task_finished, where: {outcome: '*failure'}}, steps: [{notify: x}]}";

/// The predecessor dropped whatever came while as many hooks were at work as may be.
#[test]
fn sixteen_events_over_the_cap_wait_their_turn_and_none_is_dropped() {
    let mut desk = desk(&[FIX]);
    let first = failures(&mut desk, 1..=17, at(1));
    assert_eq!(ids(&first.begin), [1]);
    assert_eq!(first.runs.len(), 17, "each is kept before anything begins");
    let mut done = vec![1];
    while let Some(last) = done.last().copied() {
        desk.ended(HookRunId(last), Status::Succeeded, None, at(2));
        let next = ids(&desk.turn(at(2)).begin);
        assert!(next.len() <= 1, "one at once");
        done.extend(&next);
        if next.is_empty() {
            break;
        }
    }
    assert_eq!(done, (1..=17).collect::<Vec<_>>(), "all, in the order of the journal");
    let dropped: u64 = desk.hooks().map(|(_, state, _)| state.dropped).sum();
    assert_eq!(dropped, 0);
}

#[test]
fn what_does_not_fit_into_the_queue_is_counted_and_told_in_one_line() {
    let text = FIX.replace("steps", "queue_max: 2, steps");
    let mut desk = desk(&[&text]);
    drop(failures(&mut desk, 1..=1, at(1)));
    let turn = failures(&mut desk, 2..=10, at(2));
    let dropped: Vec<&HookRun> =
        turn.runs.iter().filter(|run| run.status == Status::Dropped).collect();
    assert_eq!(dropped.len(), 1);
    assert_eq!((dropped[0].count, dropped[0].why.as_deref()), (7, Some("2 runs waited already")));
    assert_eq!(turn.states[0].1.dropped, 7);
}

#[test]
fn all_hooks_together_begin_no_more_than_there_are_slots() {
    let other = |n: u32| FIX.replace("name: fix", &format!("name: fix{n}"));
    let (a, b, c) = (other(1), other(2), other(3));
    let mut desk = desk(&[&a, &b, &c]);
    assert_eq!(ids(&failures(&mut desk, 1..=1, at(1)).begin), [1, 2]);
    desk.ended(HookRunId(2), Status::Failed, None, at(2));
    assert_eq!(ids(&desk.turn(at(2)).begin), [3]);
}

#[test]
fn what_a_hook_made_does_not_set_it_off_and_a_circle_of_hooks_ends() {
    let mut desk = desk(&[FIX]);
    let own = Fired { made_by: Some(name("fix")), depth: 1, ..event(1) };
    desk.happened("task_finished", 1, &own, at(1));
    assert!(desk.turn(at(1)).is_empty());
    let far = Fired { made_by: Some(name("other")), depth: 4, ..event(2) };
    desk.happened("task_finished", 2, &far, at(1));
    let turn = desk.turn(at(1));
    assert!(turn.begin.is_empty());
    assert_eq!(turn.runs[0].why.as_deref(), Some("4 hooks led to it, one after another"));
    let near = Fired { made_by: Some(name("other")), depth: 3, ..event(3) };
    desk.happened("task_finished", 3, &near, at(1));
    assert_eq!(desk.turn(at(1)).begin.len(), 1);
}

#[test]
fn only_events_that_fit_set_a_hook_off() {
    let text = "{name: fix, project: shop, on: {event: task_finished, where: {task: 're*', outcome: '{expected_failure,internal_error}'}}, steps: [{notify: x}]}";
    let mut desk = desk(&[text]);
    let mut fires = |kind: &str, seq: u64, fired: Fired| {
        desk.happened(kind, seq, &fired, at(1));
        !desk.turn(at(1)).runs.is_empty()
    };
    let with = |task: &str, outcome: &str| Fired {
        event: json!({ "task": task, "outcome": outcome }),
        ..event(1)
    };
    assert!(!fires("task_started", 1, event(1)));
    assert!(!fires("task_finished", 2, with("pay", "expected_failure")));
    assert!(!fires("task_finished", 3, with("refund", "success")));
    let elsewhere = Fired { project: Some("blog".parse().unwrap()), ..event(4) };
    assert!(!fires("task_finished", 4, elsewhere));
    assert!(fires("task_finished", 5, with("refund", "internal_error")));
    assert!(!fires("task_finished", 0, event(6)), "what was before the hook is not its business");
}

#[test]
fn within_its_cooldown_only_a_person_sets_a_hook_off() {
    let text = FIX.replace("steps", "cooldown: 1m, steps");
    let mut desk = desk(&[&text]);
    assert_eq!(failures(&mut desk, 1..=1, at(1)).begin.len(), 1);
    desk.ended(HookRunId(1), Status::Succeeded, None, at(2));
    let turn = failures(&mut desk, 2..=4, at(30));
    assert_eq!((turn.begin.len(), turn.states[0].1.held_back), (0, 3));
    assert_eq!(desk.fire(&name("fix"), event(5), false, at(31)), Ok(HookRunId(2)));
    assert_eq!(ids(&desk.turn(at(31)).begin), [2]);
    let busy = desk.fire(&name("fix"), event(6), false, at(32));
    assert_eq!(busy, Err(Refused::Busy(name("fix"))));
    assert_eq!(desk.fire(&name("fix"), event(7), true, at(32)), Ok(HookRunId(3)));
    assert!(desk.turn(at(32)).begin.is_empty(), "it waits behind the one at work");
    desk.ended(HookRunId(2), Status::Succeeded, None, at(33));
    assert_eq!(ids(&desk.turn(at(33)).begin), [3]);
}

#[test]
fn a_time_that_was_missed_is_made_up_for_once_and_says_so() {
    let text = "{name: tick, project: shop, on: {every: 30m}, steps: [{notify: x}]}";
    let mut first = desk(&[text]);
    assert_eq!(first.next_due(), Some(at(1800)));
    first.tick(at(1800));
    let turn = first.turn(at(1800));
    let state = turn.states[0].1.clone();
    assert!(!turn.runs[0].trigger.contains("made up for"), "{}", turn.runs[0].trigger);
    let mut next = Desk::new(LIMITS, 2);
    next.put(hook(text), Some(state), at(90_000), 0);
    next.tick(at(90_000));
    let turn = next.turn(at(90_000));
    assert_eq!(turn.runs.len(), 1, "49 were missed");
    assert!(turn.runs[0].trigger.ends_with(", made up for: nobody was there"));
    assert_eq!(next.next_due(), Some(at(91_800)));
}

#[test]
fn a_hook_that_is_switched_off_or_removed_begins_nothing_more() {
    let mut desk = desk(&[FIX]);
    drop(failures(&mut desk, 1..=3, at(1)));
    desk.enable(&name("fix"), false, at(2), 3);
    let turn = failures(&mut desk, 4..=5, at(2));
    let why = |run: &HookRun| run.why.clone().unwrap_or_default();
    assert_eq!(turn.runs.iter().map(why).collect::<Vec<_>>(), ["the hook was switched off"; 2]);
    desk.enable(&name("fix"), true, at(3), 5);
    assert!(failures(&mut desk, 4..=5, at(3)).runs.is_empty(), "nothing is made up for");
    assert_eq!(failures(&mut desk, 6..=6, at(3)).runs.len(), 1);
    desk.remove(&name("fix"), at(4));
    assert_eq!(desk.turn(at(4)).runs[0].why.as_deref(), Some("the hook was removed"));
}

#[test]
fn every_problem_of_a_hook_has_its_sentence_and_its_place() {
    let hooks = [
        "{name: a, on: {event: task_finnished}, steps: [{notify: x}]}",
        "{name: b, on: {}, steps: [{notify: x}]}",
        "{name: c, on: {every: 1h, cron: '0 7 * * *'}, steps: [{notify: x}]}",
        "{name: d, project: p, on: {cron: '0 7 * *'}, steps: [{notify: x}]}",
        "{name: e, project: p, on: {cron: '0 7 * * 1-5', time_zone: Berlin}, steps: [{notify: x}]}",
        "{name: f, on: {every: 1h}, steps: [{notify: x}]}",
        "{name: g, project: p, on: {every: 1s}, cooldown: 1h}",
        "{name: h, on: {event: task_finished, where: {colour: red}}, steps: [{notify: x}]}",
        "{name: i, on: {event: task_finished, where: {task: '['}}, steps: [{notify: x}]}",
        "{name: j, on: {event: run_settled}, steps: [{notify: 'of {{event.task}}'}, {notify: '{{step_3}}'}]}",
        "{name: k, on: {event: task_finished}, steps: [{shell: ls}, {notify: '{{step_1.output}}, {{oops}}'}]}",
        "{name: l, on: {event: task_finished}, steps: [{agent: {prompt: x}}, {notify: x}]}",
        "{name: m, on: {event: task_finished}, steps: [{agent: {prompt: x, profile: nobody}}]}",
        "{name: n, on: {event: task_finished}, steps: [{shell: ls, notify: x}]}",
        "{name: o, on: {event: task_finished}, steps: [{shell: ls, skip_if: status_ok}, {http: 'https://example.com/x'}]}",
        "{name: p, on: {event: task_finished}, steps: [{http: 'http://example.org/'}, {http: 'https://{{event.task}}/'}]}",
        "{name: q, on: {event: task_finished}, steps: [{query: everything}]}",
        "{name: r, on: {event: task_finished}, steps: [{submit_graph: {name: x, tasks: [{id: a, description: x, completion_gate: 'echo {{event.detail}}'}]}}]}",
        "{name: s, project: p, on: {file: {paths: ['../x']}}, steps: [{notify: x}]}",
        "{name: t, on: {event: task_finished}, steps: [{notify: x}], queue_max: 0, max_concurrent: 99}",
        "{name: u, project: p, on: {webhook: {}}, steps: [{notify: x}]}",
        "{name: a b, on: {event: task_finished}, steps: [{notify: x}]}",
        "{name: v, on: {event: task_finished}, steps: [{nottify: x}]}",
    ];
    let told = |text: &str| {
        let config = format!("hook_hosts: [example.org]\nhooks: [{text}]");
        let read = Config::parse(&config, Some(Path::new("/home/ada")));
        read.map_or_else(|failure| failure.to_string(), |_| "fine".to_owned())
    };
    let table: String = hooks.iter().map(|text| format!("{text}\n{}\n\n", told(text))).collect();
    insta::assert_snapshot!(table);
    assert!(
        told("{name: w, project: p, on: {webhook: {secret_env: X}}, steps: [{notify: x}]}")
            .contains("nothing listens for its webhook")
    );
}
