//! What a daemon finds again: programs that go on, have ended, or are lost.

use std::fs;

use serde_json::json;
use taskloom::agents::process::{Cause, Cursor, End, Error, Input, LaunchSpec};

use crate::agents::{Desk, Story, Stranger, found, kill, launch, launcher, pid_of, soon, until};

#[tokio::test]
async fn output_and_signals_go_on_without_a_gap_over_restarts_of_the_daemon() {
    let desk = Desk::new();
    let script = r#"while read n; do
        echo "line $n"; taskloom task "{\"signal\":\"progress\",\"text\":\"step $n\"}"
    done"#;
    let mut spec = desk.spec("on", script);
    spec.input = Input::Open("0\n".to_owned());
    let mut process = launch(&spec).await;
    let mut story = Story::default();
    let steps = 5u32;
    for n in 0..steps {
        story.until(&mut process, &format!("line {n}\n")).await;
        if n == steps - 1 {
            process.close_stdin().await.unwrap();
        } else {
            process.write_stdin(format!("{}\n", n + 1)).await.unwrap();
        }
        // The daemon goes, wherever it stands, and another one comes.
        let seen = process.cursor();
        drop(process);
        let (kind, again) = found(desk.adopt("on", seen).await);
        assert!(kind == "running" || n == steps - 1, "{kind} in step {n}");
        process = again.unwrap();
    }
    story.follow(&mut process).await.unwrap();
    let lines: String = (0..steps).map(|n| format!("line {n}\n")).collect();
    assert_eq!(story.output, lines);
    let seqs: Vec<u32> = story.signals.iter().map(|s| s.seq).collect();
    assert_eq!(seqs, (1..=steps).collect::<Vec<_>>());
    assert_eq!(story.exit().end, End::Code(0));
}

#[tokio::test]
async fn a_launch_cannot_be_repeated() {
    let desk = Desk::new();
    let mut process = desk.launch("once", "read hold; echo first").await;
    let again = desk.spec("once", "echo second");
    let refused = soon(launcher().launch(&again)).await.unwrap_err();
    assert!(matches!(refused, Error::AlreadyLaunched { .. }), "{refused}");
    let mut story = Story::default();
    story.follow(&mut process).await.unwrap();
    let refused = soon(launcher().launch(&again)).await.unwrap_err();
    assert!(matches!(refused, Error::AlreadyLaunched { .. }), "{refused}");
    assert_eq!(desk.log("once"), "first\n");
}

#[tokio::test]
async fn of_two_launches_at_once_one_runs() {
    let desk = Desk::new();
    let mut spec = desk.spec("race", "echo x >> count");
    spec.agent_socket = false;
    let tries: Vec<_> = (0..8)
        .map(|_| {
            let spec = spec.clone();
            tokio::spawn(async move { launcher().launch(&spec).await })
        })
        .collect();
    let mut won = 0;
    for tried in tries {
        match soon(tried).await.unwrap() {
            Ok(mut process) => {
                won += 1;
                soon(process.wait()).await.unwrap();
            }
            Err(error) => assert!(matches!(error, Error::AlreadyLaunched { .. }), "{error}"),
        }
    }
    assert_eq!((won, fs::read_to_string(desk.path().join("count")).unwrap().as_str()), (1, "x\n"));
}

#[tokio::test]
async fn a_program_that_ended_meanwhile_is_found_with_its_output_and_its_end() {
    let desk = Desk::new();
    let script = r#"echo one; taskloom task '{"signal":"done","summary":"all"}'; echo two; exit 4"#;
    drop(desk.launch("done", script).await);
    until("the end is written down", || desk.path().join("done.exit.json").exists()).await;
    for _ in 0..2 {
        let (kind, process) = found(desk.adopt("done", Cursor::default()).await);
        // The record comes before the lock is free; either way all is told.
        assert!(kind == "finished" || kind == "running");
        let mut story = Story::default();
        story.follow(&mut process.unwrap()).await.unwrap();
        assert_eq!((story.output.as_str(), story.signals.len()), ("one\ntwo\n", 1));
        assert_eq!((&story.exit().end, story.exit().cause), (&End::Code(4), Cause::Itself));
    }
    let seen = Cursor { log_bytes: 4, signals: 1 };
    let (kind, process) = found(desk.adopt("done", seen).await);
    let mut story = Story::default();
    story.follow(&mut process.unwrap()).await.unwrap();
    assert_eq!((kind, story.output.as_str(), story.signals.len()), ("finished", "two\n", 0));
}

#[tokio::test(flavor = "current_thread")]
async fn a_backlog_of_output_holds_up_nobody_else() {
    let desk = Desk::new();
    let mut process = desk.launch("backlog", "yes | head -c 4194304").await;
    soon(process.wait()).await.unwrap();
    let (_, process) = found(desk.adopt("backlog", Cursor::default()).await);
    let mut process = process.unwrap();
    let mut others_turns = 0;
    let reading = async { while process.next().await.unwrap().is_some() {} };
    let others = async {
        loop {
            others_turns += 1;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = reading => {}
        () = others => {}
    }
    assert!(others_turns >= 4_194_304 / (64 << 10), "{others_turns} turns");
}

#[tokio::test]
async fn what_was_never_launched_is_never() {
    let desk = Desk::new();
    assert_eq!(found(desk.adopt("nothing", Cursor::default()).await).0, "never");
    let (kind, _) = found(
        soon(taskloom::agents::process::adopt(
            &desk.path().join("no/such"),
            "nothing",
            Cursor::default(),
        ))
        .await
        .unwrap(),
    );
    assert_eq!(kind, "never");
}

#[tokio::test]
async fn when_the_shim_is_killed_nothing_of_the_program_is_left() {
    let desk = Desk::new();
    let script = "setsid sleep 1000 & (setsid sleep 1000 &) ; echo up; sleep 1000";
    let mut process = desk.launch("lost", script).await;
    let mut story = Story::default();
    story.until(&mut process, "up\n").await;
    kill(desk.shim_pid("lost"));
    // Who follows it learns of it, and so does who comes later.
    let lost = story.follow(&mut process).await.unwrap_err();
    assert!(matches!(lost, Error::Lost { killed: 1.., .. }), "{lost}");
    assert!(desk.alive("lost").is_empty());
    let (kind, process) = found(desk.adopt("lost", Cursor::default()).await);
    assert_eq!(kind, "lost");
    let mut story = Story::default();
    let lost = story.follow(&mut process.unwrap()).await.unwrap_err();
    assert!(matches!(lost, Error::Lost { killed: 0, .. }), "{lost}");
    assert_eq!(story.output, "up\n", "what it had written is kept");
}

#[tokio::test]
async fn a_lost_program_that_hides_from_the_search_is_found_by_its_group() {
    let desk = Desk::new();
    let script = "setsid env -i sh -c 'echo $$ > hidden; exec sleep 1000' & sleep 1000";
    let process = desk.launch("hidden", script).await;
    let pid = desk.path().join("hidden");
    until("it hides", || fs::read_to_string(&pid).is_ok_and(|p| p.ends_with('\n'))).await;
    let pid = fs::read_to_string(&pid).unwrap();
    let grouped = desk.record("hidden.shim.json")["cgroup"].is_string();
    kill(desk.shim_pid("hidden"));
    let mut story = Story::default();
    let mut process = process;
    let lost = story.follow(&mut process).await.unwrap_err();
    assert!(matches!(lost, Error::Lost { .. }), "{lost}");
    let stat = format!("/proc/{}/stat", pid.trim());
    let gone = || fs::read_to_string(&stat).map_or(true, |s| s.contains(") Z "));
    if grouped {
        until("the hidden process ends", gone).await;
    } else {
        // Where no control group can be made there is no way to know it for one of ours.
        kill(pid.trim().parse().unwrap());
    }
}

/// The records of a launch whose shim is gone, and which names `child`.
async fn lost_with(desk: &Desk, stem: &str, change: impl FnOnce(&mut serde_json::Value)) {
    let process = desk.launch(stem, "exec sleep 1000").await;
    drop(process);
    kill(desk.shim_pid(stem));
    until("nothing is left", || desk.alive(stem).is_empty()).await;
    let name = format!("{stem}.shim.json");
    let mut record = desk.record(&name);
    change(&mut record);
    fs::write(desk.path().join(name), record.to_string()).unwrap();
}

#[tokio::test]
async fn a_stranger_who_was_given_the_pid_is_not_touched() {
    let desk = Desk::new();
    let mut stranger = Stranger::new();
    lost_with(&desk, "reused", |record| {
        let earlier = json!({"pid": stranger.pid(), "start": stranger.start() - 1});
        record["child"] = earlier.clone();
        record["shim"] = earlier;
    })
    .await;
    let (kind, process) = found(desk.adopt("reused", Cursor::default()).await);
    assert_eq!(kind, "lost");
    let lost = soon(process.unwrap().wait()).await.unwrap_err();
    assert!(matches!(lost, Error::Lost { killed: 0, .. }), "{lost}");
    assert!(stranger.is_alive());
}

#[tokio::test]
async fn a_survivor_whose_identity_holds_is_killed() {
    let desk = Desk::new();
    let mut survivor = Stranger::new();
    lost_with(&desk, "survivor", |record| {
        record["child"] = json!({"pid": survivor.pid(), "start": survivor.start()});
    })
    .await;
    let (kind, process) = found(desk.adopt("survivor", Cursor::default()).await);
    assert_eq!(kind, "lost");
    let lost = soon(process.unwrap().wait()).await.unwrap_err();
    assert!(matches!(lost, Error::Lost { killed: 1, .. }), "{lost}");
    assert!(!survivor.is_alive());
}

#[tokio::test]
async fn after_a_restart_of_the_machine_nothing_is_signalled() {
    let desk = Desk::new();
    let mut stranger = Stranger::new();
    lost_with(&desk, "rebooted", |record| {
        record["boot_id"] = json!("00000000-0000-0000-0000-000000000000");
        record["child"] = json!({"pid": stranger.pid(), "start": stranger.start()});
    })
    .await;
    let (kind, process) = found(desk.adopt("rebooted", Cursor::default()).await);
    assert_eq!(kind, "lost");
    // A real restart takes the control groups away.
    if let Some(group) = desk.record("rebooted.shim.json")["cgroup"].as_str() {
        until("the control group is empty", || fs::remove_dir(group).is_ok()).await;
    }
    let lost = soon(process.unwrap().wait()).await.unwrap_err();
    assert!(lost.to_string().contains("the machine was restarted"), "{lost}");
    assert!(stranger.is_alive());
}

/// A program that removes what `what` names once it is supervised.
async fn launch_remover(desk: &Desk, stem: &str, what: &str) {
    let script = format!("read go; rm -f {what}; echo > removed; sleep 1000");
    let mut spec = desk.spec(stem, &script);
    spec.input = Input::Open(String::new());
    let mut process = launch(&spec).await;
    process.write_stdin("go\n").await.unwrap();
    until("it is removed", || desk.path().join("removed").exists()).await;
}

#[tokio::test]
async fn a_program_that_removes_its_records_does_not_run_twice() {
    let desk = Desk::new();
    launch_remover(&desk, "sly", "sly.*").await;
    let (kind, _) = found(desk.adopt("sly", Cursor::default()).await);
    assert!(kind == "lost" && desk.marked("sly").is_empty(), "{kind}");
}

#[tokio::test]
async fn a_shim_that_cannot_be_reached_any_more_is_ended() {
    let desk = Desk::new();
    launch_remover(&desk, "mute", "mute.ctl.sock").await;
    let (kind, _) = found(desk.adopt("mute", Cursor::default()).await);
    assert!(kind == "lost" && desk.marked("mute").is_empty(), "{kind}");
}

#[tokio::test]
async fn the_program_is_told_apart_from_the_shim_in_the_record() {
    let desk = Desk::new();
    let mut process = desk.launch("record", "echo $$ $PPID; exit").await;
    let mut story = Story::default();
    story.follow(&mut process).await.unwrap();
    let record = desk.record("record.shim.json");
    let told = format!("{} {}\n", pid_of(&record["child"]), pid_of(&record["shim"]));
    assert_eq!((story.output, &record["schema"]), (told, &json!(1)));
}

#[tokio::test]
async fn a_launch_that_broke_off_before_its_record_can_be_made_again() {
    let desk = Desk::new();
    for name in ["half.lock", "half.log", "half.signals.jsonl", "half.ctl.sock"] {
        fs::write(desk.path().join(name), "from before").unwrap();
    }
    let spec = LaunchSpec::new(desk.path(), "half", &["echo", "anew"], desk.path());
    let mut process = launch(&spec).await;
    assert_eq!(soon(process.wait()).await.unwrap().end, End::Code(0));
    assert_eq!(desk.log("half"), "anew\n");
}

#[tokio::test]
async fn where_no_records_can_be_kept_nothing_is_launched() {
    let desk = Desk::new();
    let spec = LaunchSpec::new(&desk.path().join("absent"), "x", &["true"], desk.path());
    let refused = soon(launcher().launch(&spec)).await.unwrap_err();
    assert!(matches!(refused, Error::NotLaunched { .. }), "{refused}");
    let helper = taskloom::agents::process::Launcher::new("/no/such/helper");
    let refused = soon(helper.launch(&desk.spec("x", "true"))).await.unwrap_err();
    assert_eq!(refused.to_string(), "cannot start `/no/such/helper`");
    assert!(desk.alive("x").is_empty());
}
