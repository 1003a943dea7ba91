//! What a program says on its socket, and what it is answered.

use std::fs;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use taskloom::agents::process::{Cursor, End, Error, Input, ProcessEvent, Supervised};
use taskloom::agents::signals::{SIGNAL_BYTES_MAX, SIGNALS_MAX, Signal, Signalled, read_status};

use crate::agents::{Desk, Story, found, launch, soon, story_of};

async fn next_signal(process: &mut Supervised) -> Signalled {
    loop {
        match soon(process.next()).await.unwrap() {
            Some(ProcessEvent::Signal(signal)) => return signal,
            Some(ProcessEvent::Output(_)) => {}
            other => panic!("no signal but {other:?}"),
        }
    }
}

#[tokio::test]
async fn signals_come_in_order_and_are_written_down() {
    let desk = Desk::new();
    let script = r#"
        taskloom task '{"signal":"plan","text":"first this"}'
        taskloom task '{"signal":"concern","text":"is this wise?"}'
        taskloom task '{"signal":"done"}'; echo $?"#;
    let story = story_of(desk.launch("say", script).await).await;
    assert_eq!(story.output, "0\n");
    let said: Vec<_> = story.signals.iter().map(|s| (s.seq, s.signal.is_claim())).collect();
    assert_eq!(said, [(1, false), (2, false), (3, true)]);
    let kept = fs::read_to_string(desk.path().join("say.signals.jsonl")).unwrap();
    assert_eq!(kept.lines().count(), 3);
}

#[tokio::test]
async fn whoever_says_something_wrong_is_told_what_and_the_exit_code_tells_scripts() {
    let desk = Desk::new();
    let long = "x".repeat(SIGNAL_BYTES_MAX);
    fs::write(desk.path().join("long"), format!(r#"{{"signal":"plan","text":"{long}"}}"#)).unwrap();
    let script = r#"
        taskloom task '{"signal":"victory"}'; echo $?
        taskloom task '{"signal":"failed","reason":""}'; echo $?
        taskloom task "$(cat long)"; echo $?
        TASKLOOM_DIR=/tmp taskloom task '{"signal":"done"}'; echo $?
        env -u TASKLOOM_DIR taskloom task '{"signal":"done"}'; echo $?"#;
    let story = story_of(desk.launch("wrong", script).await).await;
    assert_eq!(story.signals, []);
    insta::assert_snapshot!(story.output);
}

#[tokio::test]
async fn a_program_may_not_say_more_than_a_loop_gone_wild_would() {
    let desk = Desk::new();
    let mut spec = desk.spec("wild", "read hold");
    spec.input = Input::Open(String::new());
    let mut process = launch(&spec).await;
    let mut last = String::new();
    for n in 0..=SIGNALS_MAX {
        let socket = UnixStream::connect(desk.path().join("agent.sock")).await.unwrap();
        let mut socket = BufReader::new(socket);
        let line = format!("{{\"signal\":\"progress\",\"text\":\"{n}\"}}\n");
        socket.write_all(line.as_bytes()).await.unwrap();
        last.clear();
        soon(socket.read_line(&mut last)).await.unwrap();
    }
    assert!(last.contains("may give no more"), "{last}");
    process.close_stdin().await.unwrap();
    assert_eq!(story_of(process).await.signals.len() as u32, SIGNALS_MAX);
}

#[tokio::test]
async fn a_question_waits_for_its_answer_also_over_a_restart_of_the_daemon() {
    let desk = Desk::new();
    let script = r#"
        echo "one: $(taskloom task '{"signal":"ask","question":"which?","choices":["a","b"]}')"
        echo "two: $(taskloom task '{"signal":"ask","question":"why?"}')""#;
    let mut process = desk.launch("ask", script).await;
    let asked = next_signal(&mut process).await;
    assert!(matches!(&asked.signal, Signal::Ask { choices, .. } if choices.len() == 2));
    process.answer(asked.seq, "b").await.unwrap();
    let asked = next_signal(&mut process).await;
    let seen = process.cursor();
    drop(process);
    let (kind, process) = found(desk.adopt("ask", seen).await);
    let mut process = process.unwrap();
    assert_eq!(kind, "running");
    process.answer(asked.seq, "because").await.unwrap();
    let nobody = process.answer(asked.seq, "again").await.unwrap_err();
    let gone = matches!(nobody, Error::Refused(_) | Error::Ended);
    assert!(gone, "{nobody}");
    let mut story = Story::default();
    story.follow(&mut process).await.unwrap();
    assert_eq!(desk.log("ask"), "one: b\ntwo: because\n");
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_is_refused() {
    let desk = Desk::new();
    let script = r#"
        taskloom task '{"signal":"ask","question":"anybody?"}' & asker=$!
        read go < gate; kill $asker; wait; echo gone; read go < gate"#;
    let gate = desk.path().join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let mut process = launch(&desk.spec("gone", script)).await;
    let asked = next_signal(&mut process).await;
    let open = || fs::OpenOptions::new().read(true).write(true).open(&gate).unwrap();
    let mut held = open();
    std::io::Write::write_all(&mut held, b"go\n").unwrap();
    let mut story = Story::default();
    story.until(&mut process, "gone").await;
    // The socket of the one who asked closes before its end is known; the refusal may take one
    // more round of the shim's loop, in which the answer goes nowhere.
    let refused = loop {
        if let Err(refused) = process.answer(asked.seq, "yes").await {
            break refused;
        }
    };
    assert_eq!(refused.to_string(), "nobody waits for an answer to signal 1");
    std::io::Write::write_all(&mut held, b"go\n").unwrap();
    story.follow(&mut process).await.unwrap();
}

#[tokio::test]
async fn a_record_of_signals_that_was_tampered_with_is_an_invalid_signal_and_blocks_nobody() {
    let desk = Desk::new();
    let script = r#"taskloom task '{"signal":"done"}'; mkfifo fifo; mv fifo forged.signals.jsonl"#;
    drop(desk.launch("forged", script).await);
    let exit = desk.path().join("forged.exit.json");
    crate::agents::until("it ends", || exit.exists()).await;
    let (_, process) = found(desk.adopt("forged", Cursor::default()).await);
    let mut process = process.unwrap();
    let refused = soon(process.wait()).await.unwrap_err();
    assert!(matches!(refused, Error::InvalidSignal(_)), "{refused}");
    assert_eq!(soon(process.wait()).await.unwrap().end, End::Code(0));
}

#[test]
fn a_status_file_holds_one_signal_after_another() {
    let desk = Desk::new();
    let path = desk.path().join("status.json");
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        read_status(&path).map_err(|e| e.why)
    };
    assert_eq!(read_status(&path), Ok(vec![]));
    let two = "{\"signal\":\"concern\",\"text\":\"x\"}\n{\n  \"signal\": \"done\"\n}\n";
    assert_eq!(read(two).unwrap().len(), 2);
    assert!(read("{\"signal\":\"done\"").is_err());
    assert!(read(&"[".repeat(60_000)).is_err());
    assert!(read(&" ".repeat(SIGNAL_BYTES_MAX + 1)).unwrap_err().contains("longer than"));
}
