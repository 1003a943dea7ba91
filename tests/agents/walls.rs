//! What a program is given, and what it is not.

use std::fs;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use taskloom::agents::process::hostile::{self, InvalidSignal};
use taskloom::agents::process::{End, Environment, Input};

use crate::agents::{Desk, Story, deep_dir, launch, story_of};

#[tokio::test]
async fn a_program_has_three_descriptors_whatever_the_daemon_had() {
    let desk = Desk::new();
    let leak = fs::File::open("/dev/null").unwrap();
    fcntl(&leak, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let story = story_of(desk.launch("fds", "ls /proc/$$/fd; echo $$").await).await;
    assert!(story.output.starts_with("0\n1\n2\n"), "{}", story.output);
    assert_eq!(story.output.lines().count(), 4, "{}", story.output);
}

#[tokio::test]
async fn a_program_has_the_environment_that_it_was_given_and_nothing_of_the_daemon() {
    let canary = "CARGO_MANIFEST_DIR";
    assert!(std::env::var_os(canary).is_some());
    let desk = Desk::new();
    let mut spec = desk.spec("env", "env; tr '\\0' '\\n' < /proc/$PPID/environ");
    spec.environment = Environment::from_daemon(&[]).with("GIVEN", "yes");
    let story = story_of(launch(&spec).await).await;
    assert!(!story.output.contains(canary), "{}", story.output);
    assert!(story.output.contains("GIVEN=yes\n") && story.output.contains("PATH="));
    let named = Environment::from_daemon(&[canary.to_owned()]);
    assert!(named.get(canary).is_some());
}

#[test]
fn a_private_home_still_finds_the_toolchains() {
    let home = Desk::new();
    let environment = Environment::default().with_private_home(home.path());
    assert_eq!(environment.get("HOME"), home.path().to_str());
    let real = std::env::home_dir().unwrap().join(".rustup");
    let expected = std::env::var("RUSTUP_HOME").ok();
    let expected = expected.or_else(|| real.is_dir().then(|| real.to_str().unwrap().to_owned()));
    assert_eq!(environment.get("RUSTUP_HOME"), expected.as_deref());
}

#[tokio::test]
async fn a_program_is_held_to_its_limits() {
    let desk = Desk::new();
    let mut spec = desk.spec("limits", "cat /proc/self/limits; head -c 1000000 /dev/zero > big");
    spec.limits.file_bytes = Some(65_536);
    spec.limits.open_files = Some(33);
    spec.limits.processes = Some(4_321);
    spec.limits.memory_bytes = Some(1 << 30);
    let story = story_of(launch(&spec).await).await;
    let line = |name: &str| {
        let line = story.output.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_whitespace().rev().nth(2).unwrap().to_owned()
    };
    assert_eq!(line("Max open files"), "33");
    assert_eq!(line("Max processes"), "4321");
    assert_eq!(line("Max address space"), (1 << 30).to_string());
    assert_eq!(fs::metadata(desk.path().join("big")).unwrap().len(), 65_536);
    assert_ne!(story.exit().end, End::Code(0));
    let mut spec = desk.spec("hog", "head -c 300000000 /dev/zero | tail > /dev/null; exit $?");
    spec.limits.memory_bytes = Some(100 << 20);
    let story = story_of(launch(&spec).await).await;
    assert_ne!(story.exit().end, End::Code(0), "{}", story.output);
}

#[tokio::test]
async fn a_program_creates_files_as_the_daemon_would_and_the_records_stay_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::new();
    let own = desk.path().join("own");
    fs::write(&own, "").unwrap();
    story_of(desk.launch("modes", "touch theirs").await).await;
    let mode = |name: &str| fs::metadata(desk.path().join(name)).unwrap().permissions().mode();
    assert_eq!(mode("theirs"), mode("own"));
    for record in ["modes.log", "modes.exit.json", "modes.shim.json", "modes.signals.jsonl"] {
        assert_eq!(mode(record) & 0o777, 0o600, "{record}");
    }
}

#[tokio::test]
async fn input_is_nothing_a_file_or_a_conversation() {
    let desk = Desk::new();
    let story = story_of(desk.launch("null", "cat; echo over").await).await;
    assert_eq!(story.output, "over\n");
    let mut spec = desk.spec("file", "cat");
    fs::write(desk.path().join("in.txt"), "from a file\n").unwrap();
    spec.input = Input::File(desk.path().join("in.txt"));
    assert_eq!(story_of(launch(&spec).await).await.output, "from a file\n");
    let mut spec = desk.spec("open", "while read line; do echo got $line; done; echo over");
    spec.input = Input::Open("one\n".to_owned());
    let mut process = launch(&spec).await;
    let mut story = Story::default();
    story.until(&mut process, "got one\n").await;
    process.write_stdin("two\n").await.unwrap();
    story.until(&mut process, "got two\n").await;
    process.write_stdin("three\n").await.unwrap();
    process.close_stdin().await.unwrap();
    // Closed, or the program has ended over it.
    process.write_stdin("four\n").await.unwrap_err();
    story.follow(&mut process).await.unwrap();
    assert_eq!(story.output, "got one\ngot two\ngot three\nover\n");
}

#[tokio::test]
async fn a_program_that_does_not_read_holds_nobody_up() {
    let desk = Desk::new();
    let mut spec = desk.spec("unread", "sleep 1000");
    spec.input = Input::Open(String::new());
    let mut process = launch(&spec).await;
    let text = "x".repeat(100_000);
    let refused = loop {
        if let Err(refused) = process.write_stdin(text.as_str()).await {
            break refused;
        }
    };
    assert_eq!(refused.to_string(), "the program does not read its input");
    process.stop(Duration::ZERO).await.unwrap();
    story_of(process).await;
}

#[tokio::test]
async fn the_path_of_the_records_may_be_longer_than_a_socket_address() {
    let desk = Desk::new();
    let deep = deep_dir(desk.path());
    assert!(deep.as_os_str().len() > 200);
    let mut spec =
        desk.spec("deep", r#"taskloom task '{"signal":"done"}' && read line && echo $line"#);
    spec.dir = deep.clone();
    spec.environment = spec.environment.with("TASKLOOM_DIR", deep.to_str().unwrap());
    spec.input = Input::Open("hello\n".to_owned());
    let story = story_of(launch(&spec).await).await;
    assert_eq!((story.output.as_str(), story.signals.len()), ("hello\n", 1));
}

#[test]
fn what_a_program_may_have_written_is_read_only_if_it_is_a_plain_file_of_ours() {
    let desk = Desk::new();
    let path = |name: &str| desk.path().join(name);
    fs::write(path("plain"), "fine").unwrap();
    fs::write(path("named"), "twice").unwrap();
    fs::hard_link(path("named"), path("hardlink")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", path("symlink")).unwrap();
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    fs::create_dir(path("directory")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    let sparse = fs::File::create(path("sparse")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    let read = |file: std::path::PathBuf| match hostile::read(&file, 64 << 10) {
        Ok(content) => format!("{:?}", content.map(|c| String::from_utf8(c).unwrap())),
        Err(InvalidSignal { why, .. }) => why,
    };
    let names = ["plain", "absent", "symlink", "hardlink", "fifo", "directory", "socket", "sparse"];
    let table: String = names.iter().map(|n| format!("{n:10} {}\n", read(path(n)))).collect();
    insta::assert_snapshot!(table + "/dev/zero  " + &read("/dev/zero".into()));
}
