//! Plans become tasks: what is read in a plan, what a person decides, and what the run is then.

use std::fmt::Write as _;
use std::time::Duration;

use insta::assert_snapshot;
use proptest::prelude::*;
use taskloom::graph::{self, TaskIx};
use taskloom::orchestrator::{Command, OnPlan, Options, Scope, Verb};
use taskloom::plan::{self, PLAN_BYTES_MAX, Reading, Rules, Step, Unreadable};
use taskloom::sim::Act;
use taskloom::state::{FailureClass, Outcome, TaskState};

use crate::engine::{World, options, retry, task};
use crate::world;

/// A plan as agents write them.
const PLAN: &str = "\
# Refunds

## Overview

We add refunds to the ledger, so that support can give money back.

### Why not credit notes

Because nobody reads them and they are taxed otherwise.

## Phase 1: Add the table

Add `refunds` with a migration; amounts are in cents.

```sql
-- ## not a heading
create table refunds (id integer);
```

## Phase 2 - **Serve it**

`POST /refunds` checks the order and writes a row.

## 3. Tell the customer

Send the mail `refund-given`, once per refund.

## Empty

## Risks & mitigations

Double refunds, which a unique key on the order keeps out.
";

/// The same as a graph, in which two things can be done side by side.
const GRAPH: &str = "\
The table comes first.

```yaml
tasks:
  - id: table
    description: Add the table.
  - id: endpoint
    title: Serve it
    description: Serve it.
    dependencies: [table]
  - id: mail
    description: Tell the customer.
    dependencies: [table]
```
";

/// Somebody plans, somebody waits for it.
const PLANNED: &str = "
name: refunds
workstreams: [{id: default, auto_merge: true}]
tasks:
  - {id: design, title: Design refunds, description: Plan it., plan: true, completion_gate: make}
  - {id: release, description: Release it., dependencies: [design]}
  - {id: docs, description: Something else.}
";

fn steps(text: &str) -> Vec<Step> {
    match plan::read(text, 20).unwrap() {
        Reading::Steps { steps, .. } => steps,
        Reading::OptedOut => panic!("it opted out"),
    }
}

fn titles(text: &str) -> Vec<String> {
    steps(text).into_iter().map(|step| step.title).collect()
}

#[test]
fn headings_that_ask_for_something_are_steps_in_a_chain() {
    let found = steps(PLAN);
    assert_eq!(titles(PLAN), ["Add the table", "Serve it", "Tell the customer"]);
    assert!(found[0].text.contains("-- ## not a heading"), "{}", found[0].text);
    let after: Vec<_> = found.iter().map(|step| step.after.as_slice()).collect();
    assert_eq!(after, [&[][..], &[0], &[1]]);
}

#[test]
fn a_plan_says_what_it_means_in_many_ways() {
    let cases: [(&str, &[&str]); 9] = [
        (
            "## Steps\n\n1. **Add the table**: in cents\n2. Serve it\n   with care\n",
            &["Add the table", "Serve it"],
        ),
        (
            "1) first thing to do\n2) second thing to do\n",
            &["first thing to do", "second thing to do"],
        ),
        ("Just make the tests pass again, please.", &["Just make the tests pass again, please."]),
        ("# Title\n\nOne paragraph of what is to be done.\n", &["Title"]),
        ("## Step 1\n\nDo the first thing, all of it.\n", &["Step 1"]),
        ("## Task 2.1: Wire it\n\nWire the thing to the other thing.\n", &["Wire it"]),
        ("## [ ] **Step 4** – Wire it\n\nWire the thing to the other thing.\n", &["Wire it"]),
        ("## 3 apples\n\nBuy as many as are in the title.\n", &["3 apples"]),
        (
            "## Implementation\n\n### Add\n\nAdd what is missing here.\n\n### Remove\n\nRemove what is too much.\n",
            &["Add", "Remove"],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(titles(text), expected, "{text}");
    }
}

#[test]
fn a_plan_that_talks_and_asks_for_nothing_holds_no_step() {
    assert_eq!(plan::read("", 20), Err(Unreadable::Empty));
    assert_eq!(plan::read("## Todo\n\nshort\n", 20), Err(Unreadable::Empty));
    assert_eq!(plan::read(&"x".repeat(PLAN_BYTES_MAX + 1), 20), Err(Unreadable::TooLong));
    let out = "---\ntitle: x\nauto_tasks: false\n---\n## Step\n\nNothing is to come of this.\n";
    assert_eq!(plan::read(out, 20), Ok(Reading::OptedOut));
    assert_eq!(titles(&out.replace("auto_tasks: false", "auto_tasks: true")), ["Step"]);
}

#[test]
fn of_too_many_steps_the_first_are_kept_and_the_rest_is_counted() {
    let text: String =
        (0..30).map(|n| format!("## Do {n}\n\nSomething with the number {n}.\n\n")).collect();
    let Ok(Reading::Steps { steps, dropped }) = plan::read(&text, 20) else { panic!("no steps") };
    assert_eq!((steps.len(), dropped), (20, 10));
}

#[test]
fn a_graph_in_a_plan_keeps_its_names_and_its_dependencies() {
    let found = steps(GRAPH);
    let ids: Vec<String> = found.iter().map(|step| step.id.as_ref().unwrap().to_string()).collect();
    assert_eq!(ids, ["table", "endpoint", "mail"]);
    assert_eq!(found[2].after, [0]);
}

#[test]
fn what_is_wrong_with_the_graph_of_a_plan_is_told_with_its_place_in_the_plan() {
    let plan = "Words.\n\n```yaml\ntasks:\n  - id: a\n    description: x\n    dependencies: [b]\n  \
                - id: c\n    description: x\n    completion_gate: 'true'\n    isolation: {sandbox: none}\n```\n";
    let Err(Unreadable::Graph(problems)) = plan::read(plan, 20) else { panic!("it was read") };
    assert_snapshot!(graph::report("plan.md", plan.as_bytes(), &problems));
}

proptest! {
    #[test]
    fn whatever_a_plan_says_its_tasks_fit_into_the_graph(
        parts in prop::collection::vec(
            prop_oneof![
                Just("## "), Just("### "), Just("# "), Just("\n"), Just("\n\n"), Just("1. "), Just("2) "),
                Just("```yaml\ntasks:\n"), Just("```\n"), Just("~~~~\n"), Just("---\n"), Just("  - id: a\n"),
                Just("    description: x\n"), Just("    dependencies: [a]\n"), Just("**"), Just("Step 3: "),
                Just("auto_tasks: no\n"), Just("Overview"), Just("long enough to be a step\n"), Just("\u{202e}"),
                Just("\r"), Just("\t"), Just("é😀"), Just(": "), Just("\u{a0}"), Just("\0"), Just("\""),
            ],
            0..60,
        ),
        noise in ".{0,40}",
        max in 0u32..30,
    ) {
        let text = parts.concat() + &noise;
        let Ok(Reading::Steps { steps, .. }) = plan::read(&text, max) else { return Ok(()) };
        prop_assert!(!steps.is_empty() && steps.len() <= max.max(1) as usize);
        let graph = graph::load(PLANNED.as_bytes()).unwrap();
        let (names, source) = plan::write(&graph, TaskIx(0), &steps, Some("plan.md"));
        let read = graph::load_plan(source.as_bytes());
        prop_assert!(read.is_ok(), "{read:?}\n{source}");
        let grown = graph::grow(&graph, TaskIx(0), &read.unwrap()).unwrap();
        prop_assert_eq!(grown.tasks().len(), graph.tasks().len() + names.len());
        // Who waited for the plan waits for all that it asks for.
        let ancestors = grown.ancestors(TaskIx(1));
        prop_assert!(names.iter().all(|name| ancestors.contains(&grown.lookup_task(name).unwrap())));
        prop_assert!(grown.tasks()[..3].iter().zip(graph.tasks()).all(|(a, b)| a == b));
    }

    #[test]
    fn no_text_is_too_strange_for_a_reader(text in prop::collection::vec(any::<char>(), 0..400)) {
        let text: String = text.into_iter().collect();
        drop(plan::read(&text, 20));
    }
}

fn on(id: &str, what: OnPlan) -> Verb {
    Verb::Plan { task: task(id), what, shown: None }
}

/// What an answer says, without what to do about it.
fn said(answer: &str) -> &str {
    answer.lines().next().unwrap_or_default()
}

fn planning(text: &str) -> [Act; 1] {
    [Act::Plan(text.to_owned())]
}

#[tokio::test]
async fn a_plan_is_shown_changed_and_approved_and_what_waited_comes_after_its_tasks() {
    let world = World::play(PLANNED, &[("design", &planning(PLAN))]).await;
    let mut story = world.picture().await;
    assert_eq!(world.outcome().await, Some(Outcome::AwaitingMerge));
    let two = "## Add the table\n\nIn cents, with a migration.\n\n## Serve it\n\nOver HTTP, as JSON, with tests.\n";
    let verb = on("design", OnPlan::Edit { text: two.to_owned() });
    writeln!(story, "» {}", world.ask(verb).await).unwrap();
    // What is left for later must outlive the process.
    let world = world.crash(options(Scope::All)).await;
    world.stage.be_patient(true);
    let rehearsal = Command {
        run: world.run,
        who: "bob".to_owned(),
        verb: on("design", OnPlan::Approve),
        dry_run: true,
    };
    let would = world.handle.command(rehearsal).await.unwrap().unwrap();
    writeln!(story, "» would: {} {:?}", would.sentence, would.affected).unwrap();
    writeln!(story, "» {}", world.ask_as("bob", on("design", OnPlan::Approve)).await).unwrap();
    writeln!(story, "» {}", world.ask(on("design", OnPlan::Approve)).await).unwrap();
    story += &world.picture().await;
    let world = world.crash(options(Scope::All)).await;
    for id in ["design-1-add-the-table", "design-2-serve-it", "release"] {
        world.rest().await;
        writeln!(story, "{id}: {}", world.state(id).await).unwrap();
        assert!(world.stage.act(&task(id), Act::Succeed), "{id} is not at work");
    }
    world.rest().await;
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
    story += &world.story().await;
    assert_snapshot!(story);
}

#[tokio::test]
async fn the_tasks_of_a_plan_are_done_as_its_task_was_and_know_where_they_come_from() {
    let world = World::play(PLANNED, &[("design", &planning(GRAPH))]).await;
    let done = world.ask(on("design", OnPlan::Approve)).await;
    assert_eq!(
        done,
        "the plan of task `design` is approved: 3 tasks come after it, before `release`"
    );
    let view = world.view().await;
    let graph = &view.info.graph;
    let (design, mail) = (TaskIx(0), graph.lookup_task(&task("mail")).unwrap());
    let spec = graph.task(mail);
    assert_eq!(
        (spec.lane, &spec.gate, spec.plan),
        (graph.task(design).lane, &graph.task(design).gate, false)
    );
    assert_eq!(spec.planned_by, Some(design));
    assert_eq!(
        spec.description.as_deref(),
        Some(
            "Tell the customer.\n\nThis is step 3 of 3 of the plan of task `design`; all of it is in `plan.md`."
        )
    );
    let before: Vec<&str> =
        graph.parents(TaskIx(1)).iter().map(|parent| graph.task(*parent).id.as_str()).collect();
    assert_eq!(before, ["design", "endpoint", "mail"]);
    assert_eq!(view.info.source, PLANNED);
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn an_agent_plans_again_without_using_an_attempt_up() {
    let acts = [
        Act::Plan(PLAN.to_owned()),
        Act::PlanOnly("## Only this\n\nAll in one go, please.\n".to_owned()),
    ];
    let world = World::play(PLANNED, &[("design", &acts)]).await;
    let empty = world.ask(on("design", OnPlan::Change { note: " ".to_owned() })).await;
    assert_eq!(said(&empty), "refused: say what is to be different about the plan");
    let again = world.ask(on("design", OnPlan::Change { note: "in one step".to_owned() })).await;
    assert_eq!(again, "the agent of task `design` plans again");
    assert_eq!(world.state("design").await, TaskState::AwaitingPlanApproval { merged: false });
    let view = world.view().await;
    assert_eq!((view.tasks[0].attempts, view.tasks[0].spent), (2, 0));
    let why = view.waiting[0].as_ref().unwrap();
    assert_eq!(why.to_string(), "waits for a person to decide about its plan of 1 task");
    assert!(why.needs_person());
    world.ask(on("design", OnPlan::Approve)).await;
    assert_eq!(world.state("design-1-only-this").await, TaskState::Merged);
}

#[tokio::test]
async fn a_discarded_plan_lets_everything_go_on_without_it() {
    let world = World::play(PLANNED, &[("design", &planning(PLAN))]).await;
    let skipped = world.ask(Verb::Skip { task: task("design"), reason: None }).await;
    assert!(skipped.starts_with("refused: task `design` is awaits plan approval"), "{skipped}");
    let done = world.ask(on("design", OnPlan::Discard)).await;
    assert_eq!(done, "the plan of task `design` is discarded; `release` goes on without");
    assert_eq!(
        world.ask(on("design", OnPlan::Discard)).await,
        "the plan of task `design` is discarded already"
    );
    let late = world.ask(on("design", OnPlan::Approve)).await;
    assert_eq!(said(&late), "refused: the plan of task `design` is discarded already");
    assert_eq!(world.state("design").await, TaskState::Merged);
    assert_eq!(world.view().await.tasks.len(), 3);
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_decision_is_about_the_plan_that_was_shown() {
    let world = World::play(PLANNED, &[("design", &planning(PLAN))]).await;
    let digest = world.view().await.tasks[0].plan().unwrap().digest.clone();
    let text = "## Other\n\nSomething else altogether.\n".to_owned();
    world.ask(on("design", OnPlan::Edit { text })).await;
    let verb = |shown: &str| Verb::Plan {
        task: task("design"),
        what: OnPlan::Approve,
        shown: Some(shown.to_owned()),
    };
    let stale = world.ask(verb(&digest)).await;
    assert_eq!(
        said(&stale),
        "refused: the plan of task `design` is another one than you were shown"
    );
    let now = world.view().await.tasks[0].plan().unwrap().digest.clone();
    assert!(world.ask(verb(&now)).await.starts_with("the plan of task `design` is approved"));
}

#[tokio::test]
async fn a_plan_that_cannot_be_read_is_put_right_or_discarded() {
    let world = World::play(PLANNED, &[("design", &planning("nothing"))]).await;
    let why = world.view().await.waiting[0].as_ref().unwrap().to_string();
    assert_eq!(why, "waits for a person to put its plan right");
    let refused = world.ask(on("design", OnPlan::Approve)).await;
    assert!(refused.starts_with("refused: the plan holds no step"), "{refused}");
    let worse = world.ask(on("design", OnPlan::Edit { text: "no".to_owned() })).await;
    assert!(worse.starts_with("refused: the plan holds no step"), "{worse}");
    let text = "## Write it\n\nAll that the plan forgot.\n".to_owned();
    let better = world.ask(on("design", OnPlan::Edit { text })).await;
    assert_eq!(better, "the plan of task `design` asks for 1 task now");
    world.ask(on("design", OnPlan::Approve)).await;
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn only_the_files_own_tasks_plan_without_a_person() {
    let rules = Rules { max_depth: 2, auto_approve: true, ..Rules::default() };
    let options = Options { plans: rules, ..options(Scope::New) };
    let one = "## Sub\n\nA step that plans on its own.\n";
    let script =
        [planning(one), planning("## Deep\n\nWhat nobody has looked at.\n"), planning(PLAN)];
    let script: Vec<(&str, &[Act])> = [
        ("design", &script[0][..]),
        ("design-1-sub", &script[1][..]),
        ("design-1-sub-1-deep", &script[2][..]),
    ]
    .into();
    let world = World::begin(PLANNED, &script, options).await;
    world.rest().await;
    assert_eq!(world.state("design").await, TaskState::Merged);
    assert_eq!(world.state("design-1-sub").await, TaskState::AwaitingPlanApproval { merged: true });
    assert_eq!(world.state("release").await, TaskState::Defined);
    world.ask(on("design-1-sub", OnPlan::Approve)).await;
    // Two deep is as deep as it goes.
    assert_eq!(world.state("design-1-sub-1-deep").await, TaskState::Merged);
    assert!(world.story().await.contains("it comes from a plan itself"), "{}", world.story().await);
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn equal_titles_and_taken_names_lose_no_task() {
    let twice =
        "## Add it\n\nThe first time, in the table.\n\n## Add it\n\nThe second time, over HTTP.\n";
    let taken =
        "```yaml\ntasks: [{id: Docs, description: x}, {id: release, description: y}]\n```\n";
    let acts = [Act::Plan(twice.to_owned()), Act::Plan(taken.to_owned())];
    let graph = PLANNED.replace("auto_merge: true", "auto_merge: false");
    let world = World::play(&graph, &[("design", &acts)]).await;
    world.ask(on("design", OnPlan::Approve)).await;
    let rewind = Verb::Rewind { task: task("design"), note: None, downstream: true };
    world.ask(rewind).await;
    world.ask(on("design", OnPlan::Approve)).await;
    let view = world.view().await;
    let ids: Vec<&str> = view.info.graph.tasks().iter().map(|task| task.id.as_str()).collect();
    assert_eq!(ids[3..], ["design-1-add-it", "design-2-add-it", "design-Docs", "design-release"]);
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_run_grows_while_others_work_fail_and_wait() {
    let graph = "
name: busy
workstreams: [{id: default, auto_merge: true, max_parallel: 4}, {id: other, auto_merge: true}]
tasks:
  - {id: design, description: Plan it.}
  - {id: slow, description: Works on.}
  - {id: bad, description: Fails for now.}
  - {id: after, description: Waits., workstream_id: other, dependencies: [design]}
";
    let later = [Act::Fail(FailureClass::Transient)];
    let script = [("design", &planning(PLAN)[..]), ("slow", &[Act::Hang]), ("bad", &later)];
    let world = World::begin(graph, &script, options(Scope::New)).await;
    world.rest().await;
    world.ask(on("design", OnPlan::Approve)).await;
    assert_eq!(world.stage.alive(), 1);
    world.clock.advance(Duration::from_secs(3600));
    world.handle.view(world.run).await.unwrap();
    world.rest().await;
    assert!(world.stage.act(&task("slow"), Act::Succeed));
    world.rest().await;
    assert_eq!(
        said(&world.ask(retry("bad")).await),
        "refused: task `bad` is merged and cannot be retried"
    );
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_changed_graph_keeps_what_plans_added() {
    let world = World::play(PLANNED, &[("design", &planning(PLAN))]).await;
    world.ask(on("design", OnPlan::Approve)).await;
    let changed = PLANNED.replace("Release it.", "Release it on Monday.");
    let submission = crate::engine::submission(&changed);
    let (new, kept) = world.handle.resubmit(world.run, submission, false).await.unwrap().unwrap();
    assert_eq!(kept.kept.len(), 5, "{kept:?}");
    let mut world = world;
    world.run = new.unwrap().run;
    world.rest().await;
    assert_eq!(world.state("design-3-tell-the-customer").await, TaskState::Merged);
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

/// What the real program makes of a plan that a real agent commits.
#[test]
fn an_agent_commits_a_plan_and_its_steps_are_done_before_what_waited() {
    let world = world::World::new();
    let graph = world.write(
        "refunds.yaml",
        r##"
name: refunds
workstreams: [{id: default, auto_merge: true}]
tasks:
  - id: design
    description: Plan it.
    plan: true
    primary_agent:
      framework: shell
      command: |
        if [ ! -e .taskloom/plan.md ]; then
          grep -q 'Leave a plan for others' "$TASKLOOM_INSTRUCTIONS" || exit 9
          mkdir .taskloom docs
          printf '## Add the table\n\nIn cents, with a migration.\n\n## Serve it\n\nOver HTTP, as JSON, with tests.\n' > .taskloom/plan.md
          echo no > docs/plan.txt
          exit 0
        fi
        grep -q 'Leave a plan' "$TASKLOOM_INSTRUCTIONS" && exit 8
        grep 'step . of' "$TASKLOOM_INSTRUCTIONS" >> done.txt
  - id: release
    description: Release it.
    dependencies: [design]
    primary_agent: {framework: shell, command: "wc -l < done.txt > release.txt"}
"##,
    );
    let ran = world.run(&graph, &[]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.out.contains("▲ task `design` has planned 2 tasks"), "{}", ran.out);
    let before = world.taskloom(&["plan", "show", "refunds/design"]);
    assert_eq!(world.state("release"), "defined");
    let plan = world.json(&["plan", "show", "design"]);
    let digest = plan["digest"].as_str().unwrap();
    let approved = world.taskloom(&["plan", "approve", "design", "--digest", digest]);
    assert_eq!(approved.code, 0, "{approved:?}");
    let shown = before.out.replace(digest, "DIGEST") + "---\n" + &approved.out;
    let shown = shown.replace(&world.data().display().to_string(), "DATA");
    assert_snapshot!(shown);
    let again = world.run(&graph, &[]);
    assert_eq!(again.code, 0, "{again:?}");
    let text = |path: &str| world.git(&["show", &format!("main:{path}")]);
    assert_eq!(text("release.txt").trim(), "2");
    assert!(text("done.txt").starts_with(
        "This is step 1 of 2 of the plan of task `design`; all of it is in `.taskloom/plan.md`."
    ));
    world.finish();
}

#[test]
fn a_task_that_was_to_plan_and_did_not_has_not_done_its_work() {
    let world = world::World::new();
    let graph = world.write(
        "lazy.yaml",
        "
name: lazy
tasks:
  - id: design
    description: Plan it.
    plan: true
    primary_agent: {framework: shell, command: 'echo x > x.txt; echo y > README.md'}
",
    );
    assert_eq!(world.run(&graph, &[]).code, 1);
    let why = world.taskloom(&["show", "lazy/design"]).out;
    assert!(why.contains("the task was to leave a plan, and none was found"), "{why}");
    world.finish();
}
