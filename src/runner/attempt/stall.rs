//! What becomes of an agent that is silent: a message, a question to a person, an end. Each step is
//! one span of silence after the one before; whoever speaks begins anew.

use std::time::Duration;

/// How long an agent may be silent, and what comes then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// The span; `None`: agents may be silent for ever.
    pub after: Option<Duration>,
    /// How often it is told to say something, if it takes messages.
    pub nudges: u32,
    /// Whether a person is asked then.
    pub ask: bool,
    /// Whether it is stopped then.
    pub stop: bool,
}

impl Default for Stall {
    /// Half an hour: a long build without a word is shorter, and three such spans still are.
    fn default() -> Self {
        Self { after: Some(Duration::from_secs(30 * 60)), nudges: 1, ask: true, stop: true }
    }
}

/// What is done about silence next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rung {
    Nudge,
    Ask,
    Stop,
}

/// What a person can say to it, in the words of the buttons.
pub(super) const WAIT: &str = "Wait";
pub(super) const NUDGE: &str = "Nudge";
pub(super) const STOP: &str = "Stop and retry";

/// What was done about the silence of an agent so far.
#[derive(Debug, Default)]
pub(super) struct Ladder {
    nudges: u32,
    /// It takes no messages while it works.
    deaf: bool,
    /// Somebody was asked, and the question is open.
    asked: bool,
    stopped: bool,
    spans: u32,
}

impl Ladder {
    /// A ladder on which an earlier process has asked already, or nothing was done yet.
    pub(super) fn new(asked: bool) -> Self {
        Self { asked, ..Self::default() }
    }

    /// Another span has passed in silence.
    pub(super) fn climb(&mut self, stall: &Stall) -> Option<Rung> {
        self.spans += 1;
        self.rung(stall)
    }

    /// The next thing to do. A rung that cannot be taken is passed over at once.
    fn rung(&mut self, stall: &Stall) -> Option<Rung> {
        if self.stopped {
            None
        } else if !self.deaf && !self.asked && self.nudges < stall.nudges {
            self.nudges += 1;
            Some(Rung::Nudge)
        } else if stall.ask && !self.asked {
            self.asked = true;
            Some(Rung::Ask)
        } else if stall.stop {
            self.stopped = true;
            Some(Rung::Stop)
        } else {
            None
        }
    }

    /// It turns out that the agent takes no messages.
    pub(super) fn pass_over(&mut self, stall: &Stall) -> Option<Rung> {
        self.deaf = true;
        self.rung(stall)
    }

    /// The agent said something. Whether somebody was asked and need not answer any more.
    pub(super) fn heard(&mut self) -> bool {
        let (asked, deaf, stopped) = (self.asked, self.deaf, self.stopped);
        *self = Self { deaf, stopped, ..Self::default() };
        asked
    }

    /// A person has it wait: everything begins anew.
    pub(super) fn wait(&mut self) {
        self.heard();
    }

    /// A person has it told something: the next to be asked is the person.
    pub(super) fn nudged_by_hand(&mut self, stall: &Stall, taken: bool) {
        self.heard();
        self.nudges = stall.nudges;
        self.deaf = !taken;
    }

    /// A person has it stopped.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Whether it was seen to take no messages.
    pub(super) fn is_deaf(&self) -> bool {
        self.deaf
    }

    /// How many spans it has been silent.
    pub(super) fn spans(&self) -> u32 {
        self.spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn climb(stall: &Stall, spans: usize) -> Vec<Option<Rung>> {
        let mut ladder = Ladder::new(false);
        (0..spans).map(|_| ladder.climb(stall)).collect()
    }

    #[test]
    fn silence_leads_from_a_message_to_a_question_to_the_end_and_no_further() {
        let all = [Some(Rung::Nudge), Some(Rung::Ask), Some(Rung::Stop), None];
        assert_eq!(climb(&Stall::default(), 4), all);
        let twice = Stall { nudges: 2, ..Stall::default() };
        assert_eq!(climb(&twice, 3), [Some(Rung::Nudge), Some(Rung::Nudge), Some(Rung::Ask)]);
        let quiet = Stall { nudges: 0, ask: false, ..Stall::default() };
        assert_eq!(climb(&quiet, 2), [Some(Rung::Stop), None]);
        let patient = Stall { stop: false, ..Stall::default() };
        assert_eq!(climb(&patient, 4), [Some(Rung::Nudge), Some(Rung::Ask), None, None]);
    }

    #[test]
    fn who_takes_no_messages_is_asked_about_at_once() {
        let stall = Stall::default();
        let mut ladder = Ladder::new(false);
        assert_eq!(ladder.climb(&stall), Some(Rung::Nudge));
        assert_eq!(ladder.pass_over(&stall), Some(Rung::Ask));
        assert!(ladder.heard(), "somebody was asked in vain");
        assert_eq!(ladder.climb(&stall), Some(Rung::Ask), "it is still deaf");
        assert_eq!(ladder.climb(&stall), Some(Rung::Stop));
    }

    #[test]
    fn whoever_speaks_or_is_given_time_begins_anew() {
        let stall = Stall::default();
        let mut ladder = Ladder::new(false);
        ladder.climb(&stall);
        assert!(!ladder.heard());
        assert_eq!(ladder.climb(&stall), Some(Rung::Nudge));
        assert_eq!(ladder.climb(&stall), Some(Rung::Ask));
        ladder.wait();
        assert_eq!(ladder.climb(&stall), Some(Rung::Nudge));
        ladder.nudged_by_hand(&stall, true);
        assert_eq!(ladder.climb(&stall), Some(Rung::Ask));
        ladder.stop();
        assert_eq!(ladder.climb(&stall), None);
    }

    #[test]
    fn a_question_of_an_earlier_process_is_not_asked_again() {
        assert_eq!(Ladder::new(true).climb(&Stall::default()), Some(Rung::Stop));
    }
}
