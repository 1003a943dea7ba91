//! What an attempt is told while it is under way, and keeps for later where it cannot listen now.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use crate::runner::job::ToAttempt;

/// The attempt's end of the line to the engine.
pub(crate) struct Ears {
    line: mpsc::UnboundedReceiver<ToAttempt>,
    kept: VecDeque<ToAttempt>,
    /// What was taken to end a turn counts also if the turn was over by then.
    stop: bool,
    halt: bool,
}

impl Ears {
    pub(crate) fn new(line: mpsc::UnboundedReceiver<ToAttempt>) -> Self {
        Self { line, kept: VecDeque::new(), stop: false, halt: false }
    }

    /// What comes next. `None`: nobody can tell anything any more, this attempt is being let go.
    pub(super) async fn next(&mut self) -> Option<ToAttempt> {
        let next = match self.kept.pop_front() {
            Some(kept) => Some(kept),
            None => self.line.recv().await,
        };
        self.stop |= next == Some(ToAttempt::Stop);
        self.halt |= next == Some(ToAttempt::Halt);
        next
    }

    /// Whether the attempt is to end.
    pub(super) fn stop_asked(&mut self) -> bool {
        while let Ok(message) = self.line.try_recv() {
            self.kept.push_back(message);
        }
        self.stop || self.kept.contains(&ToAttempt::Stop)
    }

    /// Whether the agent is to begin no more turns.
    pub(super) fn halt_asked(&mut self) -> bool {
        self.stop_asked() || self.halt || self.kept.contains(&ToAttempt::Halt)
    }

    /// Comes back when the attempt is to end; the rest is kept for the agent's next turn.
    pub(super) async fn stopped(&mut self) {
        while !self.stop_asked() {
            match self.line.recv().await {
                Some(message) => self.kept.push_back(message),
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_came_when_a_turn_was_over_already_keeps_the_next_from_beginning() {
        let (engine, line) = mpsc::unbounded_channel();
        let mut ears = Ears::new(line);
        engine.send(ToAttempt::Halt).unwrap();
        assert_eq!(ears.next().await, Some(ToAttempt::Halt));
        assert!(ears.halt_asked() && !ears.stop_asked());
        engine.send(ToAttempt::Stop).unwrap();
        assert_eq!(ears.next().await, Some(ToAttempt::Stop));
        assert!(ears.stop_asked());
        ears.stopped().await;
    }
}
