//! What is typed into a session, one text after the other, until the program has taken it. Pure:
//! it is told what the screen shows and what the program's record says, and says what to do.
//!
//! A program that is busy with other things takes a key that comes right after a paste for a part
//! of it. So the key that sends a text is pressed when the text stands on the screen, and again
//! only while it still stands where one types: nothing is sent twice.

use std::collections::VecDeque;

use serde_json::json;

/// After so many looks without it a text will not come to stand on the screen: five seconds.
const SHOWN_WITHIN: u32 = 25;

/// For so many looks a text that was sent may still stand where one types: two seconds.
const SENT_WITHIN: u32 = 10;

/// How often a text is typed that never comes to stand anywhere.
const TRIES_MAX: u32 = 3;

/// How much of a text is looked for, in characters: what fits beside a prompt on any screen.
const HEAD_CHARS: usize = 24;

/// What programs write before the place where one types.
const PROMPTS: [char; 3] = ['❯', '›', '>'];

/// What they show of a paste that is too long to be shown.
const PLACEHOLDER: &str = "[Pasted";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// The text is put where one types.
    Paste(String),
    /// What stands there is sent.
    Send,
    /// The text was never taken, and is given up.
    GiveUp(String),
}

/// How far the first text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Untyped,
    Pasted,
    /// Whether it was seen on the screen before.
    Sent {
        seen: bool,
    },
}

/// The texts that are not taken yet.
#[derive(Debug)]
pub(super) struct Typing {
    texts: VecDeque<String>,
    stage: Stage,
    /// Since when, in looks.
    looks: u32,
    tries: u32,
}

impl Typing {
    pub(super) fn new() -> Self {
        Self { texts: VecDeque::new(), stage: Stage::Untyped, looks: 0, tries: 0 }
    }

    pub(super) fn add(&mut self, text: String) {
        self.texts.push_back(text);
    }

    /// Whether the screen must be looked at.
    pub(super) fn looks_at_screen(&self) -> bool {
        !self.texts.is_empty() && self.stage != Stage::Untyped
    }

    /// The record has grown by `lines`.
    pub(super) fn heard(&mut self, lines: &[u8]) {
        let Some(text) = self.texts.front().filter(|_| self.stage != Stage::Untyped) else {
            return;
        };
        let line = text.trim().lines().next().unwrap_or_default();
        let written = json!(line).to_string();
        let written = &written[1..written.len() - 1];
        if String::from_utf8_lossy(lines).contains(written) {
            self.next();
        }
    }

    /// What is to be done now that the screen is as it is.
    pub(super) fn look(&mut self, screen: &str) -> Option<Deed> {
        let text = self.texts.front()?.clone();
        self.looks += 1;
        let stands = stands(screen, &text);
        match self.stage {
            Stage::Untyped => self.go(Stage::Pasted, Deed::Paste(text)),
            Stage::Pasted if stands || self.looks >= SHOWN_WITHIN => {
                self.go(Stage::Sent { seen: stands }, Deed::Send)
            }
            Stage::Sent { seen: true } if !stands => {
                self.next();
                None
            }
            Stage::Sent { seen: true } if self.looks >= SENT_WITHIN => {
                self.go(self.stage, Deed::Send)
            }
            Stage::Sent { seen: false } if stands => {
                self.go(Stage::Sent { seen: true }, Deed::Send)
            }
            Stage::Sent { seen: false } if self.looks >= SHOWN_WITHIN => {
                self.tries += 1;
                if self.tries < TRIES_MAX {
                    return self.go(Stage::Pasted, Deed::Paste(text));
                }
                self.next();
                Some(Deed::GiveUp(text))
            }
            Stage::Pasted | Stage::Sent { .. } => None,
        }
    }

    fn go(&mut self, stage: Stage, deed: Deed) -> Option<Deed> {
        (self.stage, self.looks) = (stage, 0);
        Some(deed)
    }

    fn next(&mut self) {
        self.texts.pop_front();
        (self.stage, self.looks, self.tries) = (Stage::Untyped, 0, 0);
    }
}

/// Whether a text stands where one types.
fn stands(screen: &str, text: &str) -> bool {
    let bare = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let first = text.trim().lines().next().unwrap_or_default();
    let head: String = bare(first).chars().take(HEAD_CHARS).collect();
    screen.lines().any(|line| {
        let line = bare(line.trim_start_matches(['│', '┃', '|', ' ']));
        let typed = line.strip_prefix(PROMPTS);
        typed.is_some_and(|typed| typed.starts_with(&head) || typed.starts_with(PLACEHOLDER))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "● Working…\n─────\n❯ \n─────\n";
    const TYPED: &str = "● Working…\n─────\n❯ mind the gap\n─────\n";

    fn typing() -> Typing {
        let mut typing = Typing::new();
        typing.add("mind the gap".to_owned());
        assert_eq!(typing.look(EMPTY), Some(Deed::Paste("mind the gap".to_owned())));
        typing
    }

    #[test]
    fn it_is_sent_when_it_stands_there_and_done_when_the_record_says_so() {
        let mut typing = typing();
        assert_eq!(typing.look(EMPTY), None);
        assert_eq!(typing.look(TYPED), Some(Deed::Send));
        typing.heard(br#"{"content":"mind the \"gap\""}"#);
        assert!(typing.looks_at_screen());
        typing.heard(br#"{"content":"mind the gap"}"#);
        assert_eq!(typing.look(TYPED), None, "whatever the screen shows then");
    }

    #[test]
    fn a_key_that_was_not_heard_is_pressed_again_and_one_that_was_is_not() {
        let mut typing = typing();
        assert_eq!(typing.look(TYPED), Some(Deed::Send));
        let deeds: Vec<_> = (0..SENT_WITHIN).filter_map(|_| typing.look(TYPED)).collect();
        assert_eq!(deeds, [Deed::Send]);
        let deeds: Vec<_> = (0..100).filter_map(|_| typing.look(EMPTY)).collect();
        assert_eq!(deeds, [], "it is gone from there: it was sent");
    }

    #[test]
    fn what_never_stands_anywhere_is_typed_again_and_given_up_at_last() {
        let mut typing = typing();
        let deeds: Vec<_> = (0..1_000).filter_map(|_| typing.look(EMPTY)).collect();
        let text = || "mind the gap".to_owned();
        let (paste, send) = (|| Deed::Paste(text()), || Deed::Send);
        let wanted = [send(), paste(), send(), paste(), send(), Deed::GiveUp(text())];
        assert_eq!(deeds, wanted);
    }

    #[test]
    fn one_text_comes_after_the_other() {
        let mut typing = typing();
        typing.add("and the step".to_owned());
        assert_eq!(typing.look(TYPED), Some(Deed::Send));
        assert_eq!(typing.look(EMPTY), None);
        assert_eq!(typing.look(EMPTY), Some(Deed::Paste("and the step".to_owned())));
    }

    #[test]
    fn what_is_long_is_known_by_its_beginning_or_its_placeholder() {
        let text = "a long text that goes on and on\nand has more lines";
        assert!(stands("│ › a long text that goes on and on │\n│   and has more │", text));
        assert!(stands("❯ [Pasted text #1 +1 lines]", text));
        assert!(!stands("● a long text that goes on and on", text));
    }
}
