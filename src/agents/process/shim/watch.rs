//! The loop of a shim: from the start of the program until nothing of it is left.
//!
//! The ladder that ends a program: interrupt it and close its input; ask it to terminate; kill
//! everything below the shim. However the program ends, what it leaves behind is killed too.

use std::collections::BTreeSet;
use std::future::pending;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use nix::sys::signal::{Signal as UnixSignal, killpg};
use nix::unistd::Pid;
use rustix::process::{WaitOptions, wait};
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};

use crate::agents::process::control::{Order, Request};
use crate::agents::process::shim::desk::Desk;
use crate::agents::process::shim::program::Program;
use crate::agents::process::tree::{Cgroup, Identity, descendants};
use crate::agents::process::{Cause, End, Exit, LaunchSpec};
use crate::time::{Clock as _, SystemClock, Timestamp};

/// An agent that heeds an interrupt does so within two seconds (tool calls were cut off in less
/// than one); for one that does not, more would only delay the next rung.
const INTERRUPT_MAX: Duration = Duration::from_secs(2);

/// The kernel closes what a process had open before it tells of its end: who has closed its output
/// is on its way out, most often. On a busy machine that way is long.
const LEAVING: Duration = Duration::from_millis(500);

/// A kill works at once or, for a process in the kernel's hands, whenever the kernel lets go.
const KILL_AGAIN: Duration = Duration::from_millis(20);

/// Ten seconds of kills; what lives then is held by the kernel (a dead network disk, usually), and
/// waiting would hold up the end of the attempt with it.
const KILL_ROUNDS_MAX: u32 = 500;

/// What a loop needs.
pub(super) struct Watch<'a> {
    spec: &'a LaunchSpec,
    desk: Desk,
    cgroup: Option<Cgroup>,
    requests: mpsc::Receiver<Request>,
    child_ended: SignalStream,
    told_to_go: SignalStream,
    ladder: Ladder,
    end: Option<End>,
    /// Nothing is below the shim: it is the reaper of all that lose their parents there.
    childless: bool,
}

/// How far the ending of a program has come.
#[derive(Default)]
struct Ladder {
    cause: Option<Cause>,
    next: Option<(Rung, Pin<Box<Sleep>>)>,
}

enum Rung {
    /// Ask it to terminate; it then has so long.
    Terminate(Duration),
    Kill,
}

impl Ladder {
    fn then(&mut self, rung: Rung, after: Duration) {
        self.next = Some((rung, Box::pin(sleep(after))));
    }

    async fn due(&mut self) -> Rung {
        match &mut self.next {
            Some((_, at)) => at.as_mut().await,
            None => pending().await,
        }
        let (rung, _) = self.next.take().expect("BUG: a rung that was waited for is there");
        rung
    }
}

impl<'a> Watch<'a> {
    /// Begins to listen; to be called before anything is started.
    pub(super) fn new(
        spec: &'a LaunchSpec,
        desk: Desk,
        cgroup: Option<Cgroup>,
        requests: mpsc::Receiver<Request>,
    ) -> io::Result<Self> {
        Ok(Self {
            spec,
            desk,
            cgroup,
            requests,
            child_ended: signal(SignalKind::child())?,
            told_to_go: signal(SignalKind::terminate())?,
            ladder: Ladder::default(),
            end: None,
            childless: false,
        })
    }

    /// Watches over `program` until nothing of it is left.
    pub(super) async fn run(mut self, mut program: Program, started_at: Timestamp) -> Exit {
        self.while_it_runs(&mut program).await;
        self.linger(&mut program).await;
        let leftovers = self.kill_the_rest(program.leader()).await;
        let survivors = if self.childless { 0 } else { descendants(Identity::own().pid).len() };
        let remainder = program.finish().await;
        let end = match remainder.never_ran {
            Some(why) => End::CannotStart(why),
            None => self.end.expect("BUG: the loop ends with the program"),
        };
        Exit {
            end,
            cause: self.ladder.cause.unwrap_or(Cause::Itself),
            started_at,
            ended_at: SystemClock.now(),
            log_bytes: remainder.log_bytes,
            cut_bytes: remainder.cut_bytes,
            leftovers,
            survivors: survivors as u32,
        }
    }

    async fn while_it_runs(&mut self, program: &mut Program) {
        let leader = program.leader();
        let mut deadline = pin!(at(self.spec.deadline));
        while self.end.is_none() {
            tokio::select! {
                _ = self.child_ended.recv() => self.collect(leader),
                _ = self.told_to_go.recv() => self.stop(Cause::Shutdown, self.spec.grace, program),
                Some(request) = self.requests.recv() => self.serve(request, program),
                () = deadline.as_mut(), if self.ladder.cause.is_none() => {
                    self.stop(Cause::Deadline, self.spec.grace, program);
                }
                rung = self.ladder.due() => self.climb(rung, leader),
            }
        }
    }

    /// Gives children that hold the output open a moment to finish, unless the end was asked for;
    /// and a shorter one to those that have closed it.
    async fn linger(&mut self, program: &mut Program) {
        let leader = program.leader();
        let mut patience = pin!(sleep(self.spec.linger));
        let mut closed = false;
        while !self.childless && self.ladder.next.is_none() {
            tokio::select! {
                _ = self.child_ended.recv() => self.collect(leader),
                _ = self.told_to_go.recv() => self.stop(Cause::Shutdown, Duration::ZERO, program),
                Some(request) = self.requests.recv() => self.serve(request, program),
                () = program.output_closed(), if !closed => {
                    closed = true;
                    patience.set(sleep(LEAVING.min(self.spec.linger)));
                }
                () = patience.as_mut() => return,
            }
        }
    }

    /// Kills until nothing is left, and returns how many there were.
    async fn kill_the_rest(&mut self, leader: Identity) -> u32 {
        let mut found = BTreeSet::new();
        for _ in 0..KILL_ROUNDS_MAX {
            if self.childless {
                break;
            }
            found.extend(self.kill_all());
            let mut again = pin!(sleep(KILL_AGAIN));
            while !self.childless {
                tokio::select! {
                    _ = self.child_ended.recv() => self.collect(leader),
                    () = again.as_mut() => break,
                }
            }
        }
        found.len() as u32
    }

    /// Collects every child that has ended. The kernel merges these signals, so one may stand for
    /// many.
    fn collect(&mut self, leader: Identity) {
        while let Some((pid, status)) = match wait(WaitOptions::NOHANG) {
            Ok(ended) => ended,
            Err(e) => {
                self.childless = e == rustix::io::Errno::CHILD;
                None
            }
        } {
            // Once the leader is collected its pid may be given to another process down here.
            if self.end.is_none() && pid.as_raw_pid() == leader.pid {
                let code = status.exit_status().map(End::Code);
                let signal = status.terminating_signal().map(End::Signal);
                self.end = code.or(signal);
            }
        }
    }

    fn serve(&mut self, request: Request, program: &mut Program) {
        match request {
            Request::Signal(signal, reply) => {
                reply.send(self.desk.take_down(signal)).ok();
            }
            Request::Order(order, reply) => {
                reply.send(self.carry_out(order, program)).ok();
            }
        }
    }

    fn carry_out(&mut self, order: Order, program: &mut Program) -> Result<(), String> {
        match order {
            Order::Stop { grace_ms } => {
                self.stop(Cause::Stopped, Duration::from_millis(grace_ms), program);
                Ok(())
            }
            Order::Interrupt => {
                self.signal(UnixSignal::SIGINT, program.leader());
                Ok(())
            }
            Order::Stdin { key, text } => program.write(key, text),
            Order::CloseStdin => {
                program.close_input();
                Ok(())
            }
            Order::Answer { seq, text } => self.desk.answer(seq, text),
        }
    }

    /// Steps on the ladder. Whoever asks first is the cause. Asking again without any grace is
    /// impatience and goes straight to the top, and so does asking when only the program's
    /// leftovers are there.
    fn stop(&mut self, cause: Cause, grace: Duration, program: &mut Program) {
        if grace.is_zero() || self.end.is_some() {
            self.ladder.then(Rung::Kill, Duration::ZERO);
        } else if self.ladder.cause.is_none() {
            self.signal(UnixSignal::SIGINT, program.leader());
            program.cut_input();
            let interrupt = INTERRUPT_MAX.min(grace / 2);
            self.ladder.then(Rung::Terminate(grace - interrupt), interrupt);
        }
        if self.end.is_none() {
            self.ladder.cause.get_or_insert(cause);
        }
    }

    fn climb(&mut self, rung: Rung, leader: Identity) {
        match rung {
            Rung::Terminate(grace) => {
                self.signal(UnixSignal::SIGTERM, leader);
                self.ladder.then(Rung::Kill, grace);
            }
            Rung::Kill => {
                self.kill_all();
                self.ladder.then(Rung::Kill, KILL_AGAIN);
            }
        }
    }

    /// To the program's group. As long as the program was not collected, its group is its own.
    fn signal(&self, signal: UnixSignal, leader: Identity) {
        if self.end.is_none() {
            killpg(Pid::from_raw(leader.pid), signal).ok();
        }
    }

    /// Kills all that is below the shim now. What is born meanwhile is found by the next call: a
    /// process with a kill pending cannot fork.
    fn kill_all(&self) -> Vec<Identity> {
        let mut below = descendants(Identity::own().pid);
        below.retain(|process| process.kill());
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        below
    }
}

async fn at(deadline: Option<Duration>) {
    match deadline {
        Some(deadline) => sleep(deadline).await,
        None => pending().await,
    }
}
