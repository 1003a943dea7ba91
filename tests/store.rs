//! One story for every store: what was committed is there, whole, after reopening; what failed
//! left nothing.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use taskloom::graph::{LaneIx, TaskIx};
use taskloom::ids::{CommitId, RunId, RunName};
use taskloom::state::{
    AttemptRecord, Attention, Decision, Effect, Entry, LaneEvent, LaneRecord, LaneState,
    LedgerLine, Outcome, ProjectRecord, RunEvent, RunOptions, RunRecord, RunState, Subject,
    TaskEvent, TaskRecord, TaskState, Tokens, Usage, What,
};
use taskloom::store::{Access, Batch, Error, Holder, MemoryStore, OwnerLock, SqliteStore, Store};
use taskloom::time::Timestamp;

fn commit_id() -> CommitId {
    "0123456789abcdef0123456789abcdef01234567".parse().unwrap()
}

fn run_record(id: i64, number: u32) -> RunRecord {
    RunRecord {
        id: RunId(id),
        project: "shop".parse().unwrap(),
        name: RunName { graph: "payments".parse().unwrap(), number },
        graph_digest: "d1".to_owned(),
        state: RunState::Open,
        created_at: Timestamp(5),
        since: Timestamp(5),
        submitter: "ada".to_owned(),
        allowance: None,
        warned: false,
        waits_for: Vec::new(),
        options: RunOptions { max_concurrency: Some(2), ..RunOptions::default() },
        paused: false,
        cancelled: false,
        fatal: None,
        continues: Vec::new(),
        grown: Vec::new(),
        archived_at: None,
        attention: Attention::default(),
    }
}

fn task_record() -> TaskRecord {
    let mut task = TaskRecord {
        state: TaskState::AwaitingApproval { attempt: 1 },
        since: Timestamp(7),
        attempts: 2,
        not_before: Some(Timestamp(9)),
        ..TaskRecord::default()
    };
    let more = task.more_mut();
    more.note = Some("mock the clock; say \"so\" \u{1F600}\n".to_owned());
    let (who, at) = ("bo".to_owned(), Timestamp(8));
    more.decisions = vec![Decision { who, at, commit: commit_id(), review: true }];
    task
}

fn entry(seq: u64, what: What, subject: Subject) -> Entry {
    let detail = seq.is_multiple_of(2).then(|| "it's \"quoted\"\n".into());
    Entry { seq, at: Timestamp(11), run: RunId(1), subject, attempt: Some(0), what, detail }
}

fn first_batch() -> Batch {
    Batch {
        projects: vec![ProjectRecord::new("shop".parse().unwrap(), "/somewhere/shop", "main")],
        graphs: vec![("d1".to_owned(), "name: payments\n# ünï \"code\"\n".to_owned())],
        runs: vec![run_record(1, 1), run_record(2, 2)],
        lanes: vec![(RunId(1), LaneIx(0), LaneRecord::default())],
        tasks: vec![
            (RunId(1), TaskIx(3), task_record()),
            (RunId(2), TaskIx(3), TaskRecord::default()),
        ],
        attempts: vec![AttemptRecord {
            run: RunId(1),
            task: TaskIx(3),
            attempt: 0,
            started_at: Timestamp(6),
            ended_at: None,
            outcome: None,
            message: None,
            commit: None,
        }],
        journal: vec![
            entry(1, What::Submitted, Subject::Run),
            entry(2, What::Task(TaskEvent::Started { attempt: 0 }), Subject::Task(TaskIx(3))),
            entry(3, What::Lane(LaneEvent::Prepared), Subject::Lane(LaneIx(0))),
        ],
        effects: vec![
            Effect::Attempt { run: RunId(1), task: TaskIx(3), attempt: 0 },
            Effect::PrepareLane { run: RunId(1), lane: LaneIx(0), from: None },
        ],
        ledger: vec![ledger_line(3, 0, 1, 20), ledger_line(3, 0, 2, 5), ledger_line(1, 2, 1, 7)],
        notices: vec![(3, "{\"a\":1}".to_owned())],
        ..Batch::default()
    }
}

fn ledger_line(task: u32, attempt: u32, seq: u32, output: u64) -> LedgerLine {
    let tokens = Tokens { input: 1, output, cache_read: 2, cache_write: 3 };
    LedgerLine {
        at: Timestamp(6),
        run: RunId(1),
        task: TaskIx(task),
        attempt,
        turn: 0,
        seq,
        project: "shop".parse().unwrap(),
        profile: Some("claude".parse().unwrap()),
        model: None,
        usage: Usage { tokens, usd: 0.25 },
        charge: output,
    }
}

fn second_batch() -> Batch {
    let settled = RunState::Settled { outcome: Outcome::Succeeded };
    Batch {
        runs: vec![RunRecord { state: settled, ..run_record(1, 1) }],
        lanes: vec![(
            RunId(1),
            LaneIx(0),
            LaneRecord {
                state: LaneState::Active,
                queue: vec![TaskIx(3)],
                ..LaneRecord::default()
            },
        )],
        journal: vec![entry(
            4,
            What::Run(RunEvent::Settled { outcome: Outcome::Succeeded }),
            Subject::Run,
        )],
        effects_done: vec![
            Effect::PrepareLane { run: RunId(1), lane: LaneIx(0), from: None }.key(),
        ],
        notices_done: vec![3],
        ..Batch::default()
    }
}

async fn story(store: &dyn Store) {
    assert!(store.load(RunId(1)).await.unwrap().is_none());
    assert_eq!(store.counters().await.unwrap().seq, 1);
    store.commit(&first_batch()).await.unwrap();
    assert_eq!(store.notices().await.unwrap(), [(3, "{\"a\":1}".to_owned())]);

    let stored = store.load(RunId(1)).await.unwrap().unwrap();
    assert_eq!(stored.run, run_record(1, 1));
    assert_eq!(stored.source, "name: payments\n# ünï \"code\"\n");
    assert_eq!(stored.tasks, [(TaskIx(3), task_record())]);
    assert_eq!(stored.effects.len(), 2);

    store.commit(&second_batch()).await.unwrap();
    check_after_second(store).await;
    store.commit(&second_batch()).await.unwrap();
    check_after_second(store).await;
}

async fn check_after_second(store: &dyn Store) {
    let stored = store.load(RunId(1)).await.unwrap().unwrap();
    assert_eq!(stored.run.state.outcome(), Some(Outcome::Succeeded));
    assert_eq!(stored.lanes[0].1.queue, [TaskIx(3)]);
    let attempt = Effect::Attempt { run: RunId(1), task: TaskIx(3), attempt: 0 };
    assert_eq!(stored.effects, [attempt]);
    assert!(store.notices().await.unwrap().is_empty());

    let counters = store.counters().await.unwrap();
    assert_eq!((counters.run, counters.seq), (3, 5));
    let shop = "shop".parse().unwrap();
    assert_eq!(store.runs(Some(&shop)).await.unwrap().len(), 2);
    assert!(store.runs(Some(&"other".parse().unwrap())).await.unwrap().is_empty());
    assert_eq!(store.projects().await.unwrap().len(), 1);
    assert_eq!(store.attempts(RunId(1)).await.unwrap().len(), 1);
    let usage = |input, output, usd| {
        let tokens = Tokens { input, output, cache_read: 2 * input, cache_write: 3 * input };
        Usage { tokens, usd }
    };
    let used = [(TaskIx(1), 2, usage(1, 7, 0.25)), (TaskIx(3), 0, usage(2, 25, 0.5))];
    assert_eq!(store.used(RunId(1)).await.unwrap(), used);
    assert!(store.used(RunId(2)).await.unwrap().is_empty());

    let late = store.journal(RunId(1), 1, 2).await.unwrap();
    assert_eq!(late.iter().map(|e| e.seq).collect::<Vec<_>>(), [2, 3]);
    let all = store.journal(RunId(1), 0, 100).await.unwrap();
    assert_eq!(all[1], first_batch().journal[1]);
    assert!(store.journal(RunId(2), 0, 100).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_story_in_memory() {
    story(&MemoryStore::default()).await;
}

#[tokio::test]
async fn the_story_in_sqlite_and_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), Access::Own).await.unwrap();
    story(&store).await;
    store.close().await.unwrap();
    check_after_second(&SqliteStore::open(dir.path(), Access::Own).await.unwrap()).await;
    check_after_second(&SqliteStore::open(dir.path(), Access::Read).await.unwrap()).await;
}

#[tokio::test]
async fn a_batch_that_fails_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), Access::Own).await.unwrap();
    store.commit(&first_batch()).await.unwrap();
    let clash = Batch {
        graphs: vec![("d2".to_owned(), "name: other\n".to_owned())],
        tasks: vec![(RunId(1), TaskIx(9), TaskRecord::default())],
        journal: vec![entry(4, What::Remark, Subject::Run)],
        runs: vec![run_record(7, 1)],
        ..Batch::default()
    };
    assert!(matches!(store.commit(&clash).await, Err(Error::Database(_))));
    let stored = store.load(RunId(1)).await.unwrap().unwrap();
    assert_eq!(stored.tasks.len(), 1);
    assert_eq!(store.counters().await.unwrap().seq, 4);
}

#[tokio::test]
async fn a_reader_sees_what_the_owner_commits_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let owner = SqliteStore::open(dir.path(), Access::Own).await.unwrap();
    let reader = SqliteStore::open(dir.path(), Access::Read).await.unwrap();
    owner.commit(&first_batch()).await.unwrap();
    assert_eq!(reader.runs(None).await.unwrap().len(), 2);
    assert!(reader.commit(&second_batch()).await.is_err());
}

#[tokio::test]
async fn a_store_that_is_not_there_or_too_new_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = SqliteStore::open(dir.path(), Access::Read).await.err().unwrap();
    assert!(matches!(missing, Error::Missing { .. }));
    SqliteStore::open(dir.path(), Access::Own).await.unwrap().close().await.unwrap();
    pretend_newer(dir.path()).await;
    for access in [Access::Own, Access::Read] {
        let newer = SqliteStore::open(dir.path(), access).await.err().unwrap();
        assert!(matches!(newer, Error::Newer { .. }), "{newer:?}");
    }
}

async fn pretend_newer(data_dir: &Path) {
    use sqlx::{ConnectOptions as _, Connection as _};
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(SqliteStore::path(data_dir));
    let mut connection = options.connect().await.unwrap();
    let later = "INSERT INTO _sqlx_migrations \
                 SELECT 9999, 'later', installed_on, success, checksum, execution_time \
                 FROM _sqlx_migrations LIMIT 1";
    sqlx::query(later).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[test]
fn whoever_looks_who_the_owner_is_keeps_nobody_from_becoming_it() {
    let dir = tempfile::tempdir().unwrap();
    let holder = Holder { pid: 1, what: "taskloom serve".to_owned(), since: Timestamp(0) };
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                drop(OwnerLock::holder(dir.path()));
            }
        });
        for _ in 0..2000 {
            let owner = OwnerLock::take(dir.path(), &holder);
            assert!(owner.is_ok(), "{:?}", owner.err());
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        looking.join().unwrap();
    });
}

/// A child between its fork and its exec has what its parent had open, the lock as well.
#[test]
#[expect(clippy::disallowed_methods, reason = "what an owner leaves behind")]
fn a_child_that_outlives_its_owner_for_a_moment_keeps_nobody_from_becoming_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut dead = Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    let holder = |pid| Holder { pid, what: "taskloom serve".to_owned(), since: Timestamp(0) };
    drop(OwnerLock::take(dir.path(), &holder(dead.id())).unwrap());
    let held = File::open(dir.path().join("owner.lock")).unwrap();
    held.lock().unwrap();
    let mut child = Command::new("sleep").arg("0.2").stdin(held).spawn().unwrap();
    let next = OwnerLock::take(dir.path(), &holder(std::process::id()));
    assert!(next.is_ok(), "{:?}", next.err());
    child.wait().unwrap();
}

#[test]
fn a_second_owner_is_refused_and_told_who_the_first_is() {
    let dir = tempfile::tempdir().unwrap();
    let pid = std::process::id();
    let holder = Holder { pid, what: "taskloom run payments".to_owned(), since: Timestamp(0) };
    assert_eq!(OwnerLock::holder(dir.path()), None);
    let first = OwnerLock::take(dir.path(), &holder).unwrap();
    let second = OwnerLock::take(dir.path(), &holder).unwrap_err();
    assert!(matches!(&second, Error::Owned(who) if *who == holder), "{second}");
    assert_eq!(OwnerLock::holder(dir.path()), Some(holder.clone()));
    drop(first);
    assert_eq!(OwnerLock::holder(dir.path()), None);
    drop(OwnerLock::take(dir.path(), &holder).unwrap());
}
