//! What others do with pull requests: they merge and close them, push to them, approve and object,
//! and their checks take their time.

use std::collections::BTreeMap;

use crate::entropy::Entropy;
use crate::ids::CommitId;
use crate::state::{Approval, Objection, Part, PullNews, PullStanding};
use crate::time::Timestamp;

/// Pull requests where others act.
pub(super) struct Others {
    /// Whether they act in this schedule.
    pub(super) shared: bool,
    heads: BTreeMap<Part, CommitId>,
    looks: u64,
}

impl Others {
    pub(super) fn new(shared: bool) -> Self {
        Self { shared, heads: BTreeMap::new(), looks: 0 }
    }

    /// A pull request is open.
    pub(super) fn opened(&mut self, part: Part, head: CommitId) {
        self.heads.insert(part, head);
    }

    /// Somebody pushes to a pull request.
    pub(super) fn push(&mut self, part: Part, commit: CommitId) {
        self.heads.insert(part, commit);
    }

    /// How a pull request is found. `news` is a commit that nothing has yet; nobody does anything
    /// if they are `calm`. Whether it was merged by somebody.
    pub(super) fn look(
        &mut self,
        dice: &mut Entropy,
        part: Part,
        news: CommitId,
        calm: bool,
    ) -> (PullNews, bool) {
        self.looks += 1;
        let mut chance = |of: u64| !calm && dice.below(of) == 0;
        if chance(10) {
            self.push(part, news.clone());
        }
        let head = self.heads.get(&part).cloned().unwrap_or_else(|| news.clone());
        let merged = chance(12);
        let standing = if merged {
            PullStanding::Merged { commit: news, by: Some("octocat".to_owned()) }
        } else if chance(12) {
            PullStanding::Closed
        } else {
            PullStanding::Open
        };
        let holds = if chance(3) { vec!["check `ci` runs".to_owned()] } else { Vec::new() };
        let mut objections = Vec::new();
        if chance(5) {
            let key = format!("review/{}", self.looks);
            let by_check = chance(2);
            objections.push(Objection { key, text: "no".to_owned(), by_check });
        }
        let mut approvals = Vec::new();
        if chance(3) {
            let (who, at) = ("carol".to_owned(), Timestamp(1));
            approvals.push(Approval { who, at, commit: head.clone() });
        }
        // Different each time, so that what was held back is tried again.
        let mergeable = Some(self.looks.to_string());
        (PullNews { standing, head, holds, objections, approvals, mergeable }, merged)
    }
}
