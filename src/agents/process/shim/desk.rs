//! Where signals are taken down and questions wait for their answers.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use tokio::sync::{oneshot, watch};

use crate::agents::process::control::{Accepted, State};
use crate::agents::process::shim::redact::Redactor;
use crate::agents::signals::{SIGNALS_MAX, Signal, Signalled};
use crate::time::{Clock as _, SystemClock};

/// The record of signals, and who waits for what.
pub(super) struct Desk {
    file: File,
    bytes: u64,
    count: u32,
    questions: BTreeMap<u32, oneshot::Sender<String>>,
    state: watch::Sender<State>,
    redactor: Redactor,
}

impl Desk {
    /// A desk with an empty record.
    pub(super) fn new(file: File, state: watch::Sender<State>, redactor: Redactor) -> Self {
        Self { file, bytes: 0, count: 0, questions: BTreeMap::new(), state, redactor }
    }

    /// Writes a signal down, for good, before anybody hears of it.
    pub(super) fn take_down(&mut self, signal: Signal) -> Result<Accepted, String> {
        if self.count >= SIGNALS_MAX {
            return Err(format!(
                "this attempt has given {SIGNALS_MAX} signals and may give no more"
            ));
        }
        let seq = self.count + 1;
        let is_question = matches!(signal, Signal::Ask { .. });
        let signalled = Signalled { seq, at: SystemClock.now(), signal };
        let line = serde_json::to_string(&signalled).map_err(|e| e.to_string())?;
        let mut line = self.redactor.text(&line).into_bytes();
        line.push(b'\n');
        // At a fixed place, so that half a line on a full disk is overwritten by the next one.
        let written =
            self.file.write_all_at(&line, self.bytes).and_then(|()| self.file.sync_data());
        written.map_err(|e| format!("the signal cannot be written down: {e}"))?;
        self.bytes += line.len() as u64;
        self.count = seq;
        self.state.send_modify(|s| s.signals = seq);
        let answer = is_question.then(|| {
            let (asked, answer) = oneshot::channel();
            self.questions.insert(seq, asked);
            answer
        });
        Ok(Accepted { seq, answer })
    }

    /// Gives the answer to question `seq` to whoever waits for it.
    pub(super) fn answer(&mut self, seq: u32, text: String) -> Result<(), String> {
        let nobody = || format!("nobody waits for an answer to signal {seq}");
        let asked = self.questions.remove(&seq).ok_or_else(nobody)?;
        asked.send(text).map_err(|_| nobody())
    }
}
