//! The command agent: any program as an agent.

use std::fs;
use std::path::Path;
use std::time::Duration;

use taskloom::agents::process::{End, Environment, GRACE, Limits};
use taskloom::agents::signals::Signal;
use taskloom::agents::{
    Adopted, Agent as _, AgentEvent, AgentRun, Command, CommandAgent, Cursor, Error, Profile,
    RunSpec, TurnOutcome,
};
use taskloom::ids::RunName;
use taskloom::sandbox;

use crate::agents::{Desk, TASKLOOM, launcher, soon, until};

fn agent() -> CommandAgent {
    CommandAgent::new(launcher())
}

fn spec(desk: &Desk, command: &str) -> RunSpec {
    let dir = desk.path().join("attempt");
    let worktree = desk.path().join("work");
    fs::create_dir_all(&dir).unwrap();
    fs::create_dir_all(&worktree).unwrap();
    fs::write(dir.join("instructions.md"), "say hello\n").unwrap();
    let environment = Environment::from_daemon(&[]).with_taskloom(&dir, Path::new(TASKLOOM));
    RunSpec {
        profile: Profile { command: Some(command.to_owned()), ..Profile::default() },
        task: "greet".parse().unwrap(),
        run: RunName { graph: "greeting".parse().unwrap(), number: 3 },
        attempt: 1,
        turn: 0,
        instructions: dir.join("instructions.md"),
        going_on: None,
        inputs: None,
        feedback: None,
        session: None,
        answer: None,
        environment: environment.unwrap(),
        sandbox: sandbox::Request {
            kind: sandbox::Kind::None,
            worktree: worktree.clone(),
            writes: vec![dir.clone()],
            reads: vec![],
            programs: vec![],
            hidden: "/nowhere".into(),
            network: true,
            container: sandbox::Container::default(),
        },
        worktree,
        dir,
        deadline: None,
        grace: GRACE,
        limits: Limits::default(),
    }
}

/// All that comes up to the end of the turn.
async fn turn(run: &mut Box<dyn AgentRun>) -> (String, Vec<Signal>, TurnOutcome) {
    let (mut text, mut signals) = (String::new(), Vec::new());
    loop {
        let event = soon(run.next()).await.expect("a turn has an end");
        if let AgentEvent::Text(lines) = event {
            text += &(lines + "\n");
        } else if let AgentEvent::Signal(signal) = event {
            signals.push(signal.signal);
        } else if let AgentEvent::TurnEnd { outcome, .. } = event {
            return (text, signals, outcome);
        } else if event != AgentEvent::Pulse {
            panic!("a command has no {event:?}");
        }
    }
}

#[tokio::test]
async fn a_failed_gate_is_the_next_turn_of_the_same_command_in_the_same_checkout() {
    let desk = Desk::new();
    let command = r#"echo "turn $TASKLOOM_TURN of $TASKLOOM_RUN/$TASKLOOM_TASK.$TASKLOOM_ATTEMPT"
        echo "$(cat) / $(cat "${TASKLOOM_FEEDBACK:-$TASKLOOM_INSTRUCTIONS}")"; echo x >> tries"#;
    let mut run = agent().start(spec(&desk, command)).await.unwrap();
    let (text, _, outcome) = turn(&mut run).await;
    assert_eq!(text, "turn 0 of greeting/3/greet.1\nsay hello / say hello\n");
    assert_eq!(outcome, TurnOutcome::Completed);
    assert_eq!(soon(run.next()).await, None);
    run.send(Command::User("the gate says no".to_owned())).await.unwrap();
    let (text, _, outcome) = turn(&mut run).await;
    assert_eq!(text, "turn 1 of greeting/3/greet.1\nthe gate says no / the gate says no\n");
    assert_eq!(outcome, TurnOutcome::Completed);
    assert_eq!(run.cursor().turn, 1);
    let exit = soon(run.finish(Duration::ZERO)).await.unwrap();
    assert!(exit.is_success());
    assert_eq!(fs::read_to_string(desk.path().join("work/tries")).unwrap(), "x\nx\n");
}

#[tokio::test]
async fn the_exit_code_decides_and_signals_are_told_however_they_were_given() {
    let desk = Desk::new();
    let command = r#"taskloom task '{"signal":"concern","text":"odd"}'
        echo '{"signal":"failed","reason":"too hard"}' > "$TASKLOOM_DIR/status.json"; exit 9"#;
    let mut run = agent().start(spec(&desk, command)).await.unwrap();
    let (_, signals, outcome) = turn(&mut run).await;
    assert_eq!(signals.len(), 2);
    assert!(signals[1].is_claim());
    assert_eq!(outcome, TurnOutcome::Failed { why: "the command exited with code 9".to_owned() });
    // What was left behind by one turn is not found by the next.
    run.send(Command::User("again".to_owned())).await.unwrap();
    let (_, signals, _) = turn(&mut run).await;
    assert_eq!(signals.len(), 2);
    assert!(!desk.path().join("attempt/status.json").exists());
}

#[tokio::test]
async fn what_is_no_signal_in_the_place_of_one_fails_the_turn_and_says_why() {
    let make = [
        ("ln -s /etc/passwd status.json", "symbolic link"),
        ("mkfifo status.json", "FIFO"),
        ("echo '{}' > other; ln other status.json", "hard link"),
        ("ln -s /dev/zero status.json", "symbolic link"),
        ("truncate -s 1G status.json", "longer than"),
        ("mkdir status.json", "directory"),
        ("echo '{\"signal\":\"victory\"}' > status.json", "victory"),
        ("head -c 60000 /dev/zero | tr '\\0' '[' > status.json", "not a signal"),
    ];
    for (command, expected) in make {
        let desk = Desk::new();
        let command = format!("cd \"$TASKLOOM_DIR\"; {command}");
        let mut run = agent().start(spec(&desk, &command)).await.unwrap();
        let (_, signals, outcome) = turn(&mut run).await;
        assert_eq!(signals, []);
        let TurnOutcome::InvalidSignal { why } = outcome else { panic!("{command}: {outcome:?}") };
        assert!(why.contains(expected) && why.contains("status.json"), "{why}");
    }
}

#[tokio::test]
async fn an_agent_is_found_again_where_its_reader_had_come() {
    let desk = Desk::new();
    let command = r#"echo one; taskloom task '{"signal":"progress","text":"x"}'; printf two
        read go < gate; echo .; echo '{"signal":"done"}' > "$TASKLOOM_DIR/status.json""#;
    let gate = desk.path().join("work/gate");
    let spec = spec(&desk, command);
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let mut run = agent().start(spec.clone()).await.unwrap();
    let mut first = Vec::new();
    while first.len() < 2 {
        let event = soon(run.next()).await.unwrap();
        first.extend(Some(event).filter(|event| *event != AgentEvent::Pulse));
    }
    assert!(first.contains(&AgentEvent::Text("one".to_owned())), "{first:?}");
    assert!(first.iter().any(|event| matches!(event, AgentEvent::Signal(_))), "{first:?}");
    let cursor = run.cursor();
    drop(run);
    let Adopted::Running(mut run) = agent().adopt(spec.clone(), cursor).await.unwrap() else {
        panic!("it runs")
    };
    fs::write(&gate, "go\n").unwrap();
    let (text, signals, outcome) = turn(&mut run).await;
    assert_eq!((text.as_str(), signals.len()), ("two.\n", 1), "half a line is told once, whole");
    assert_eq!(outcome, TurnOutcome::Completed);
    // And once more, when all was told: nothing is doubled, not even what `status.json` held.
    let Adopted::Finished(mut run) = agent().adopt(spec, run.cursor()).await.unwrap() else {
        panic!("it has ended")
    };
    assert_eq!(turn(&mut run).await, (String::new(), vec![], TurnOutcome::Completed));
}

#[tokio::test]
async fn ends_have_different_names() {
    let desk = Desk::new();
    let mut timed = spec(&desk, "sleep 1000");
    timed.deadline = Some(Duration::from_millis(50));
    let mut run = agent().start(timed).await.unwrap();
    assert_eq!(turn(&mut run).await.2, TurnOutcome::TimedOut);
    let desk = Desk::new();
    let mut run = agent().start(spec(&desk, "echo up; sleep 1000")).await.unwrap();
    assert_eq!(soon(run.next()).await, Some(AgentEvent::Text("up".to_owned())));
    run.send(Command::Stop).await.unwrap();
    assert_eq!(turn(&mut run).await.2, TurnOutcome::Stopped);
    let desk = Desk::new();
    let mut nowhere = spec(&desk, "true");
    nowhere.worktree = desk.path().join("absent");
    let mut run = agent().start(nowhere).await.unwrap();
    let TurnOutcome::CannotStart { why } = turn(&mut run).await.2 else { panic!("it started") };
    assert!(why.contains("absent"), "{why}");
    let desk = Desk::new();
    let mut run = agent().start(spec(&desk, "kill -KILL $PPID; sleep 1000")).await.unwrap();
    let outcome = turn(&mut run).await.2;
    assert!(matches!(outcome, TurnOutcome::Lost { .. }), "{outcome:?}");
}

#[tokio::test]
async fn what_a_command_cannot_do_is_refused_and_it_goes_on() {
    let desk = Desk::new();
    let mut run = agent().start(spec(&desk, "read hold < /dev/zero")).await.unwrap();
    let steer = run.send(Command::Steer { seq: 1, text: "left".to_owned() }).await.unwrap_err();
    assert_eq!(
        steer.to_string(),
        "an agent of framework `shell` cannot take a word while it works"
    );
    let exit = soon(run.finish(Duration::ZERO)).await.unwrap();
    assert_eq!(exit.end, End::Signal(9));
}

#[tokio::test]
async fn a_command_agent_needs_a_command_and_a_wall_that_can_be_had() {
    let desk = Desk::new();
    let empty = Profile::default();
    assert_eq!(
        agent().preflight(&empty).await.unwrap_err().to_string(),
        "an agent of framework `shell` needs a `command`"
    );
    let fine = Profile { command: Some("true".to_owned()), ..Profile::default() };
    assert!(agent().preflight(&fine).await.unwrap().program.is_file());
    let mut walled = spec(&desk, "echo > ran");
    walled.sandbox.kind = sandbox::Kind::Oci;
    let refused = agent().start(walled).await.err().unwrap();
    assert!(matches!(refused, Error::Sandbox(_)), "{refused}");
    assert!(!desk.path().join("work/ran").exists());
    let never = agent().adopt(spec(&desk, "true"), Cursor::default()).await.unwrap();
    assert!(matches!(never, Adopted::Never));
}

#[tokio::test]
async fn a_long_line_comes_in_pieces_and_bytes_that_are_no_text_do_not_stop_it() {
    let desk = Desk::new();
    let command = "head -c 100000 /dev/zero | tr '\\0' x; printf '\\377\\n'; printf last";
    let mut run = agent().start(spec(&desk, command)).await.unwrap();
    let (text, _, _) = turn(&mut run).await;
    assert_eq!(text.matches('x').count(), 100_000);
    assert!(text.contains('\u{fffd}') && text.ends_with("last\n"));
    until("nothing is left", || desk.alive("agent-0").is_empty()).await;
}
