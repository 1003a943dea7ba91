//! How programs end, and that nothing of them is left.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::Duration;

use taskloom::agents::process::{Cause, End, Input, LaunchSpec, Stderr};

use crate::agents::{Desk, Story, launch, soon, story_of, until};

#[tokio::test]
async fn exit_codes_and_signals_are_told_as_they_are() {
    let desk = Desk::new();
    let cases = [
        ("true", "true", End::Code(0)),
        ("seven", "exit 7", End::Code(7)),
        ("signal", "kill -SEGV $$", End::Signal(11)),
        ("realtime", "kill -34 $$", End::Signal(34)),
    ];
    for (stem, script, end) in cases {
        let story = story_of(desk.launch(stem, script).await).await;
        assert_eq!((&story.exit().end, story.exit().cause), (&end, Cause::Itself), "{stem}");
        assert!(desk.alive(stem).is_empty());
        let kept = desk.record(&format!("{stem}.exit.json"));
        assert_eq!(serde_json::to_value(story.exit()).unwrap(), kept);
    }
}

#[tokio::test]
async fn output_and_errors_come_in_the_order_in_which_they_were_written() {
    let desk = Desk::new();
    let script = "for n in 1 2 3; do echo out $n; echo err $n >&2; done";
    let story = story_of(desk.launch("merged", script).await).await;
    assert_eq!(story.output, "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n");
    let mut spec = desk.spec("apart", script);
    spec.stderr = Stderr::Separate;
    let story = story_of(launch(&spec).await).await;
    assert_eq!(story.output, "out 1\nout 2\nout 3\n");
    assert_eq!(desk.log("apart.stderr"), "err 1\nerr 2\nerr 3\n");
}

#[tokio::test]
async fn a_program_that_is_deaf_to_requests_is_killed_after_the_grace() {
    let desk = Desk::new();
    let script = "trap '' INT TERM; echo deaf; while :; do sleep 1000; done";
    let mut process = desk.launch("deaf", script).await;
    let mut story = Story::default();
    story.until(&mut process, "deaf").await;
    process.stop(Duration::from_millis(200)).await.unwrap();
    story.follow(&mut process).await.unwrap();
    assert_eq!((&story.exit().end, story.exit().cause), (&End::Signal(9), Cause::Stopped));
    assert!(desk.alive("deaf").is_empty());
}

#[tokio::test]
async fn a_program_that_heeds_the_request_ends_by_its_own_rules() {
    let desk = Desk::new();
    let script =
        "trap 'echo saved; exit 3' TERM; trap '' INT; echo up; while :; do sleep 0.01; done";
    let mut process = desk.launch("polite", script).await;
    let mut story = Story::default();
    story.until(&mut process, "up").await;
    process.stop(Duration::from_secs(30)).await.unwrap();
    story.follow(&mut process).await.unwrap();
    assert!(story.output.ends_with("saved\n"), "{}", story.output);
    assert_eq!((&story.exit().end, story.exit().cause), (&End::Code(3), Cause::Stopped));
}

#[tokio::test]
async fn impatience_skips_the_grace() {
    let desk = Desk::new();
    let mut process = desk.launch("slow", "trap '' INT TERM; echo up; sleep 1000").await;
    let mut story = Story::default();
    story.until(&mut process, "up").await;
    process.stop(Duration::from_secs(100_000)).await.unwrap();
    process.stop(Duration::ZERO).await.unwrap();
    story.follow(&mut process).await.unwrap();
    assert_eq!((&story.exit().end, story.exit().cause), (&End::Signal(9), Cause::Stopped));
}

#[tokio::test]
async fn an_interrupt_reaches_the_program_and_does_not_end_its_supervision() {
    let desk = Desk::new();
    let script = "trap 'hit=1' INT; echo up; until [ $hit ]; do sleep 0.01; done; echo on; exit 5";
    let mut process = desk.launch("interrupted", script).await;
    let mut story = Story::default();
    story.until(&mut process, "up").await;
    process.interrupt().await.unwrap();
    story.follow(&mut process).await.unwrap();
    assert_eq!(story.output, "up\non\n");
    assert_eq!((&story.exit().end, story.exit().cause), (&End::Code(5), Cause::Itself));
}

#[tokio::test]
async fn children_that_leave_the_session_do_not_get_away() {
    let desk = Desk::new();
    let leavers = [
        ("session", "setsid sh -c 'echo up; exec sleep 1000' &"),
        ("daemon", "(setsid sh -c '(echo up; exec sleep 1000) & sleep 1000' &)"),
        ("nameless", "setsid env -i sh -c 'echo up; exec sleep 1000' &"),
    ];
    for (stem, leave) in leavers {
        let mut spec = desk.spec(stem, &format!("{leave}\nread hold"));
        spec.input = Input::Open(String::new());
        let mut process = launch(&spec).await;
        let mut story = Story::default();
        story.until(&mut process, "up").await;
        process.stop(Duration::from_millis(100)).await.unwrap();
        story.follow(&mut process).await.unwrap();
        assert!(story.exit().leftovers > 0, "{stem}: {story:?}");
        assert_eq!(story.exit().survivors, 0, "{stem}");
        assert!(desk.alive(stem).is_empty());
    }
}

#[tokio::test]
async fn a_child_that_never_stays_the_same_process_is_caught() {
    let desk = Desk::new();
    fs::write(desk.path().join("hop"), "setsid sh hop > /dev/null 2>&1 & exit").unwrap();
    let story = story_of(desk.launch("hopper", "sh hop & echo up").await).await;
    assert_eq!((story.output.as_str(), story.exit().survivors), ("up\n", 0));
    assert!(desk.alive("hopper").is_empty());
}

#[tokio::test]
async fn a_fork_bomb_stays_within_its_limit_and_nothing_of_it_is_left() {
    const PROCESSES: u64 = 50;
    let desk = Desk::new();
    // A shell that cannot fork gives up; what it has started stays.
    let bomb =
        "bomb() { while :; do sleep 1000 & bomb & done; }; bomb 2> /dev/null & exec sleep 1000";
    // The kernel does not hold root to that limit, so root lets somebody else throw it.
    let nobody = ["setpriv", "--reuid=65534", "--clear-groups", "sh", "-c", bomb];
    let mut spec = desk.spec("bomb", bomb);
    let mut user = nix::unistd::geteuid().as_raw();
    if user == 0 {
        user = 65534;
        spec.program = nobody.map(str::to_owned).into();
        spec.cwd = "/".into();
    }
    spec.limits.processes = Some(threads_of(user) + PROCESSES);
    let mut process = launch(&spec).await;
    until("it has gone off", || desk.alive("bomb").len() as u64 > PROCESSES / 2).await;
    assert!((desk.alive("bomb").len() as u64) < 2 * PROCESSES, "it is held");
    process.stop(Duration::ZERO).await.unwrap();
    assert_eq!(soon(process.wait()).await.unwrap().survivors, 0);
    assert!(desk.alive("bomb").is_empty());
}

/// What the kernel counts against the limit of a user.
fn threads_of(user: u32) -> u64 {
    let of_user = |entry: &fs::DirEntry| entry.metadata().is_ok_and(|m| m.uid() == user);
    let processes = fs::read_dir("/proc").unwrap().flatten().filter(of_user);
    processes.filter_map(|p| Some(fs::read_dir(p.path().join("task")).ok()?.count() as u64)).sum()
}

#[tokio::test]
async fn a_child_that_holds_the_output_is_waited_for_a_moment_and_then_killed() {
    let desk = Desk::new();
    let finishes = "mkfifo gate; (read go < gate; echo late) & echo early; (echo > gate) &";
    let story = story_of(desk.launch("finishes", finishes).await).await;
    assert_eq!((story.output.as_str(), story.exit().leftovers), ("early\nlate\n", 0));
    let mut spec = desk.spec("stays", "sleep 1000 & echo $!");
    spec.linger = Duration::from_millis(50);
    let story = story_of(launch(&spec).await).await;
    assert_eq!((&story.exit().end, story.exit().leftovers), (&End::Code(0), 1));
    assert!(desk.alive("stays").is_empty());
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_told_with_its_path_and_has_no_exit_code() {
    let desk = Desk::new();
    let plain = desk.path().join("plain.txt");
    fs::write(&plain, "not a program").unwrap();
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o600)).unwrap();
    let none = desk.path().join("no/such/program");
    let gone = desk.path().join("no/such/directory");
    let cases = [
        ("none", none.to_str().unwrap(), desk.path(), "no/such/program"),
        ("plain", plain.to_str().unwrap(), desk.path(), "plain.txt"),
        ("nowhere", "true", gone.as_path(), "no/such/directory"),
    ];
    for (stem, program, cwd, named) in cases {
        let spec = LaunchSpec::new(desk.path(), stem, &[program], cwd);
        let exit = soon(launch(&spec).await.wait()).await.unwrap();
        let End::CannotStart(why) = &exit.end else { panic!("{stem}: {exit:?}") };
        assert!(why.contains(named), "{why}");
        assert_eq!(exit.log_bytes, 0);
    }
}

#[tokio::test]
async fn the_deadline_holds_without_a_daemon() {
    let desk = Desk::new();
    let mut spec = desk.spec("late", "trap '' INT TERM; setsid sleep 1000 & sleep 1000");
    spec.deadline = Some(Duration::from_millis(100));
    drop(launch(&spec).await);
    until("the end is written down", || desk.path().join("late.exit.json").exists()).await;
    assert_eq!(desk.record("late.exit.json")["cause"], "deadline");
    until("nothing is left", || desk.alive("late").is_empty()).await;
}

#[tokio::test]
async fn a_shim_that_is_told_to_go_ends_its_program_first() {
    let desk = Desk::new();
    let mut process = desk.launch("shutdown", "trap '' INT TERM; echo up; sleep 1000").await;
    let mut story = Story::default();
    story.until(&mut process, "up").await;
    let shim = nix::unistd::Pid::from_raw(desk.shim_pid("shutdown"));
    nix::sys::signal::kill(shim, nix::sys::signal::Signal::SIGTERM).unwrap();
    story.follow(&mut process).await.unwrap();
    assert_eq!((&story.exit().end, story.exit().cause), (&End::Signal(9), Cause::Shutdown));
    assert!(desk.alive("shutdown").is_empty());
}

#[tokio::test]
async fn a_flood_is_capped_in_the_file_and_in_memory() {
    let desk = Desk::new();
    let script = "echo first; yes 0123456789abcdef | head -c 209715200; \
                  grep -E 'VmHWM|RssFile' /proc/$PPID/status; echo last";
    let story = story_of(desk.launch("flood", script).await).await;
    let exit = story.exit();
    let log = desk.log("flood");
    assert_eq!(log.len() as u64, exit.log_bytes);
    assert_eq!(story.output, log, "what is read is what is kept");
    assert!((64 << 20..(64 << 20) + 100).contains(&exit.log_bytes), "{exit:?}");
    assert!(log.starts_with("first\n0123456789abcdef\n") && log.ends_with("last\n"));
    let gap = format!("\n[taskloom: {} bytes of output left out here]\n", exit.cut_bytes);
    assert_eq!(log.matches(&gap).count(), 1);
    let tail = &log[log.len() - 200..];
    let kib = |name: &str| -> u32 {
        let value = tail.split(name).nth(1).unwrap().split_whitespace().next().unwrap();
        value.parse().unwrap()
    };
    // The program's own pages, which grow with the program, are not what is meant.
    let peak_kib = kib("VmHWM:") - kib("RssFile:");
    assert!(peak_kib < 16 << 10, "{peak_kib} KiB");
}

#[tokio::test]
async fn thirty_at_once_leave_nothing_behind() {
    let desk = Desk::new();
    let script = "sleep 1000 & setsid sleep 1000 > /dev/null 2>&1 & echo done";
    let stems: Vec<String> = (0..30).map(|n| format!("p{n}")).collect();
    let mut running = Vec::new();
    for stem in &stems {
        let mut spec = desk.spec(stem, script);
        spec.linger = Duration::ZERO;
        spec.agent_socket = false;
        running.push(tokio::spawn(async move { story_of(launch(&spec).await).await }));
    }
    for story in running {
        let story = soon(story).await.unwrap();
        assert_eq!(story.output, "done\n");
        assert_eq!((story.exit().leftovers, story.exit().survivors), (2, 0));
    }
    for stem in &stems {
        assert!(desk.alive(stem).is_empty());
        assert!(!desk.path().join(format!("{stem}.ctl.sock")).exists());
        until("its shim is gone", || desk.marked(stem).is_empty()).await;
    }
}
