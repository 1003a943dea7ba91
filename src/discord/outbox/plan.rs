//! What may be sent when: one request in flight for each channel and kind, a budget for all of
//! them, urgent before patient, and of several edits of one message only the last. Pure.
//!
//! Numbers come from Discord's "Rate Limits" page unless a comment says otherwise.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::time::Timestamp;

/// The time between two requests in the long run: 40 a second of the 50 that a bot may send; the
/// rest is room for interactions, which are sent past this plan.
const SPACING: Duration = Duration::from_millis(25);

/// How many requests may go out at once after a pause.
const BURST: u32 = 8;

/// How many of those are kept for requests that are not [`Priority::Live`].
const RESERVE: u32 = 4;

/// Added to every wait that Discord asks for: its clock and ours round differently, and who comes a
/// millisecond early is refused. discord.js adds as much by default (option `offset`, 50 ms).
const MARGIN: Duration = Duration::from_millis(50);

/// Refused requests (401, 403, 429) within [`INVALID_WINDOW`] after which nothing is sent until
/// the window has passed. Discord shuts an address out at 10,000.
const INVALID_MAX: usize = 200;
const INVALID_WINDOW: Duration = Duration::from_secs(600);

/// Refusals (403) of one channel within [`INVALID_WINDOW`] after which it is left alone that long.
const REFUSALS_MAX: usize = 3;

/// The first wait after trouble on the way; doubled each time.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(30);

/// Where a request goes. Requests of one route are sent one after another: Discord's own buckets
/// are finer than is documented, and many at once into one of them is what gets bots banned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// The channel or thread.
    pub channel: u64,
    /// What is done there.
    pub kind: Kind,
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Posts a message.
    Create,
    /// Changes one.
    Edit,
    /// Opens or changes a thread.
    Thread,
    /// Adds or takes back a reaction.
    React,
    /// Reads.
    Read,
}

/// How urgent a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// A person waits for it.
    Answer,
    /// A person has to decide something.
    Decision,
    /// How things stand.
    State,
    /// Output as it comes.
    Live,
}

/// What Discord says of the bucket of a request, which a refused one empties as well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Requests that may still follow; `None`: it did not say.
    pub left: Option<u32>,
    /// Until it is full again.
    pub reset_after: Duration,
}

/// How a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// It was done.
    Done(Bucket),
    /// Too many requests.
    Limited {
        /// Until when to wait.
        retry_after: Duration,
        /// All requests are meant, not only those of the route.
        global: bool,
        /// Somebody else used the bucket up; does not count against us.
        shared: bool,
    },
    /// The token is not valid (401).
    Revoked,
    /// The bot may not do this there (403).
    Forbidden(Bucket),
    /// It cannot be done (other 4xx); the same again would fail again.
    Refused(Bucket),
    /// Whether it was done is not known, or Discord has trouble: no answer, garbage, 5xx.
    Trouble,
}

/// Why a request was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GivenUp {
    /// The answer says why.
    Answered,
    /// Time ran out.
    Expired,
    /// The channel refused too often and is left alone for a while.
    Muted,
    /// The token is not valid; nothing is sent any more.
    Revoked,
}

struct Item<T> {
    priority: Priority,
    number: u64,
    slot: Option<u64>,
    tries: u32,
    expires: Timestamp,
    load: T,
}

struct Lane<T> {
    waiting: Vec<Item<T>>,
    /// What is in flight, without its load.
    flying: Option<(Priority, u64, Option<u64>, u32, Timestamp)>,
    not_before: Timestamp,
    refusals: VecDeque<Timestamp>,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        let (waiting, refusals) = (Vec::new(), VecDeque::new());
        Self { waiting, flying: None, not_before: Timestamp(0), refusals }
    }
}

impl<T> Lane<T> {
    fn is_over(&self, now: Timestamp) -> bool {
        let idle = self.waiting.is_empty() && self.flying.is_none();
        idle && self.not_before <= now && self.refusals.is_empty()
    }

    /// Of several edits of one message the last is kept; the one that it replaces is returned.
    fn add(&mut self, item: Item<T>) -> Option<T> {
        let same = item
            .slot
            .and_then(|slot| self.waiting.iter().position(|other| other.slot == Some(slot)));
        let Some(at) = same else {
            self.waiting.push(item);
            return None;
        };
        let (older, newer) = match self.waiting[at].number < item.number {
            true => (std::mem::replace(&mut self.waiting[at], item), at),
            false => (item, at),
        };
        // It keeps its place in the line and the urgency of both.
        let kept = &mut self.waiting[newer];
        kept.priority = kept.priority.min(older.priority);
        Some(older.load)
    }
}

/// What waits to be sent, and what was learned from what was.
pub(crate) struct Plan<T> {
    lanes: BTreeMap<Route, Lane<T>>,
    /// When the budget is used up no more (the theoretical arrival time of the leaky bucket).
    due: Timestamp,
    stopped_until: Timestamp,
    invalid: VecDeque<Timestamp>,
    revoked: bool,
    number: u64,
}

impl<T> Default for Plan<T> {
    fn default() -> Self {
        let zero = Timestamp(0);
        Self {
            lanes: BTreeMap::new(),
            due: zero,
            stopped_until: zero,
            invalid: VecDeque::new(),
            revoked: false,
            number: 0,
        }
    }
}

impl<T> Plan<T> {
    /// Takes a request. `slot` names what it changes: an unsent older change of the same is
    /// replaced and returned.
    pub(crate) fn push(
        &mut self,
        route: Route,
        priority: Priority,
        slot: Option<u64>,
        expires: Timestamp,
        load: T,
    ) -> Option<T> {
        self.number += 1;
        let item = Item { priority, number: self.number, slot, tries: 0, expires, load };
        self.lanes.entry(route).or_default().add(item)
    }

    /// The next request to send now, if one may be sent. [`Plan::settle`] must follow.
    pub(crate) fn next(&mut self, now: Timestamp) -> Option<(Route, T)> {
        if self.revoked || now < self.stopped_until {
            return None;
        }
        let room = self.room(now);
        let ready =
            self.lanes.iter().filter(|(_, lane)| lane.flying.is_none() && lane.not_before <= now);
        let first = ready.flat_map(|(route, lane)| {
            lane.waiting
                .iter()
                .enumerate()
                .map(|(at, item)| (item.priority, item.number, *route, at))
        });
        let first = first.filter(|(priority, ..)| room > reserve(*priority));
        let (_, _, route, at) = first.min()?;
        let lane = self.lanes.get_mut(&route)?;
        let item = lane.waiting.remove(at);
        lane.flying = Some((item.priority, item.number, item.slot, item.tries, item.expires));
        self.due = self.due.max(now) + SPACING;
        Some((route, item.load))
    }

    /// Tells how a request went. `Ok(None)`: it is sent again later; `Ok(Some)`: it was done.
    pub(crate) fn settle(
        &mut self,
        now: Timestamp,
        route: Route,
        load: T,
        reply: Reply,
    ) -> Result<Option<T>, (T, GivenUp)> {
        let lane = self.lanes.entry(route).or_default();
        let Some((priority, number, slot, tries, expires)) = lane.flying.take() else {
            return Err((load, GivenUp::Expired));
        };
        let again = |load, tries| Item { priority, number, slot, tries, expires, load };
        if let Reply::Done(bucket) | Reply::Forbidden(bucket) | Reply::Refused(bucket) = reply
            && bucket.left == Some(0)
        {
            lane.not_before = now + bucket.reset_after + MARGIN;
        }
        match reply {
            Reply::Done(_) => {
                lane.refusals.clear();
                Ok(Some(load))
            }
            Reply::Limited { retry_after, global, shared } => {
                let until = now + retry_after + MARGIN;
                if global {
                    self.stopped_until = self.stopped_until.max(until);
                } else {
                    lane.not_before = until;
                }
                let older = lane.add(again(load, tries));
                if !shared {
                    self.count_invalid(now);
                }
                // Replaced by a newer one while it was on its way: nobody waits for it.
                Ok(older)
            }
            Reply::Revoked => {
                self.revoked = true;
                Err((load, GivenUp::Revoked))
            }
            Reply::Forbidden(_) => {
                lane.refusals.push_back(now);
                self.count_invalid(now);
                Err((load, GivenUp::Answered))
            }
            Reply::Refused(_) => Err((load, GivenUp::Answered)),
            Reply::Trouble if now >= expires => Err((load, GivenUp::Expired)),
            Reply::Trouble => {
                let wait = RETRY_FIRST * 2u32.saturating_pow(tries.min(8));
                lane.not_before = now + wait.min(RETRY_LONGEST);
                Ok(lane.add(again(load, tries + 1)))
            }
        }
    }

    /// What is of no use any more: it waited too long, its channel is muted, the token is gone.
    pub(crate) fn give_up(&mut self, now: Timestamp) -> Vec<(T, GivenUp)> {
        let mut given_up = Vec::new();
        for lane in self.lanes.values_mut() {
            while lane.refusals.front().is_some_and(|at| *at + INVALID_WINDOW <= now) {
                lane.refusals.pop_front();
            }
            let why = match (self.revoked, lane.refusals.len() >= REFUSALS_MAX) {
                (true, _) => Some(GivenUp::Revoked),
                (false, true) => Some(GivenUp::Muted),
                (false, false) => None,
            };
            let (over, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut lane.waiting)
                .into_iter()
                .partition(|item| why.is_some() || item.expires <= now);
            lane.waiting = kept;
            let why = why.unwrap_or(GivenUp::Expired);
            given_up.extend(over.into_iter().map(|item| (item.load, why)));
        }
        self.lanes.retain(|_, lane| !lane.is_over(now));
        given_up
    }

    /// When to look again if nothing comes before; `None`: when something comes.
    pub(crate) fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        let waiting = self.lanes.values().filter(|lane| lane.flying.is_none());
        let times = waiting.flat_map(|lane| {
            lane.waiting.iter().map(|item| {
                let room = self.due - SPACING * (BURST - 1 - reserve(item.priority));
                let may = lane.not_before.max(self.stopped_until).max(room);
                may.min(item.expires)
            })
        });
        times.min().map(|at| at.max(now + Duration::from_millis(1)))
    }

    /// How many requests may go out at once now.
    fn room(&self, now: Timestamp) -> u32 {
        let ahead = self.due.since(now).as_millis().div_ceil(SPACING.as_millis());
        BURST.saturating_sub(u32::try_from(ahead).unwrap_or(BURST))
    }

    fn count_invalid(&mut self, now: Timestamp) {
        while self.invalid.front().is_some_and(|at| *at + INVALID_WINDOW <= now) {
            self.invalid.pop_front();
        }
        self.invalid.push_back(now);
        if self.invalid.len() >= INVALID_MAX {
            tracing::error!("Discord refuses too much; nothing is posted for a while");
            self.stopped_until = self.stopped_until.max(self.invalid[0] + INVALID_WINDOW);
        }
    }
}

fn reserve(priority: Priority) -> u32 {
    match priority {
        Priority::Answer | Priority::Decision | Priority::State => 0,
        Priority::Live => RESERVE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FAR: Timestamp = Timestamp(1 << 40);
    const ANY: Bucket = Bucket { left: None, reset_after: Duration::ZERO };
    const DONE: Reply = Reply::Done(ANY);

    fn at(channel: u64) -> Route {
        Route { channel, kind: Kind::Create }
    }

    fn ms(ms: i64) -> Timestamp {
        Timestamp(1_000_000 + ms)
    }

    #[test]
    fn one_request_of_a_route_is_in_flight_and_order_is_kept() {
        let mut plan = Plan::default();
        for load in ["a", "b", "c"] {
            plan.push(at(1), Priority::State, None, FAR, load);
        }
        let mut sent = Vec::new();
        while let Some((route, load)) = plan.next(ms(0)) {
            assert!(plan.next(ms(0)).is_none());
            sent.push(load);
            plan.settle(ms(0), route, load, DONE).unwrap();
        }
        assert_eq!(sent, ["a", "b", "c"]);
    }

    #[test]
    fn the_urgent_goes_first_and_of_edits_the_last() {
        let mut plan = Plan::default();
        plan.push(at(1), Priority::Live, Some(5), FAR, "old");
        plan.push(at(2), Priority::State, None, FAR, "state");
        assert_eq!(plan.push(at(1), Priority::Live, Some(5), FAR, "new"), Some("old"));
        plan.push(at(3), Priority::Decision, None, FAR, "decision");
        let order: Vec<_> = std::iter::from_fn(|| plan.next(ms(0))).map(|(_, load)| load).collect();
        assert_eq!(order, ["decision", "state", "new"]);
    }

    #[test]
    fn a_limit_of_a_route_holds_the_route_and_a_global_one_holds_all() {
        let mut plan = Plan::default();
        plan.push(at(1), Priority::State, None, FAR, "a");
        plan.push(at(1), Priority::State, None, FAR, "b");
        plan.push(at(2), Priority::State, None, FAR, "c");
        let limited =
            |global| Reply::Limited { retry_after: Duration::from_secs(2), global, shared: false };
        let (route, load) = plan.next(ms(0)).unwrap();
        assert_eq!(plan.settle(ms(0), route, load, limited(false)), Ok(None));
        let (other, load) = plan.next(ms(0)).unwrap();
        assert_eq!(load, "c");
        assert_eq!(plan.settle(ms(0), other, load, limited(true)), Ok(None));
        assert_eq!(plan.next(ms(2_049)), None);
        assert_eq!(plan.wake(ms(0)), Some(ms(2_050)));
        assert_eq!(plan.next(ms(2_050)).unwrap().1, "a");
    }

    #[test]
    fn a_refused_request_empties_its_bucket_too() {
        let mut plan = Plan::default();
        plan.push(at(1), Priority::State, None, FAR, "a");
        plan.push(at(1), Priority::State, None, FAR, "b");
        let (route, load) = plan.next(ms(0)).unwrap();
        let empty = Bucket { left: Some(0), reset_after: Duration::from_secs(1) };
        plan.settle(ms(0), route, load, Reply::Refused(empty)).unwrap_err();
        assert_eq!(plan.next(ms(1_049)), None);
        assert_eq!(plan.next(ms(1_050)).unwrap().1, "b");
    }

    #[test]
    fn trouble_is_waited_out_until_the_request_is_of_no_use() {
        let mut plan = Plan::default();
        plan.push(at(1), Priority::State, None, ms(2_500), "a");
        let (route, load) = plan.next(ms(0)).unwrap();
        assert_eq!(plan.settle(ms(0), route, load, Reply::Trouble), Ok(None));
        assert_eq!(plan.next(ms(999)), None);
        let (route, load) = plan.next(ms(1_000)).unwrap();
        assert_eq!(plan.settle(ms(1_000), route, load, Reply::Trouble), Ok(None));
        assert_eq!(plan.wake(ms(1_000)), Some(ms(2_500)));
        assert_eq!(plan.give_up(ms(2_500)), [("a", GivenUp::Expired)]);
    }

    #[test]
    fn a_channel_that_refuses_is_left_alone_and_a_dead_token_ends_all() {
        let mut plan = Plan::default();
        for n in 0..5 {
            plan.push(at(1), Priority::State, None, FAR, n);
        }
        for n in 0..3 {
            let (route, load) = plan.next(ms(n)).unwrap();
            let refused = plan.settle(ms(n), route, load, Reply::Forbidden(ANY));
            assert_eq!(refused, Err((load, GivenUp::Answered)));
        }
        assert_eq!(plan.give_up(ms(3)), [(3, GivenUp::Muted), (4, GivenUp::Muted)]);
        plan.push(at(2), Priority::State, None, FAR, 9);
        plan.push(at(3), Priority::State, None, FAR, 8);
        let (route, load) = plan.next(ms(1_000)).unwrap();
        assert_eq!(plan.settle(ms(0), route, load, Reply::Revoked), Err((9, GivenUp::Revoked)));
        assert_eq!(plan.next(ms(100_000)), None);
        assert_eq!(plan.give_up(ms(100_000)), [(8, GivenUp::Revoked)]);
    }

    #[test]
    fn too_many_refusals_stop_everything_for_a_while() {
        let mut plan = Plan::default();
        let limited = Reply::Limited { retry_after: Duration::ZERO, global: false, shared: false };
        let mut sent = 0;
        plan.push(at(1), Priority::State, None, FAR, "a");
        for step in 0..10_000 {
            if let Some((route, load)) = plan.next(ms(step * 50)) {
                sent += 1;
                plan.settle(ms(step * 50), route, load, limited).unwrap();
            }
        }
        assert_eq!(sent, INVALID_MAX);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn never_more_than_the_budget_in_any_second(
            pushes in prop::collection::vec((0i64..4_000, 0u64..200), 1..400),
        ) {
            let mut plan = Plan::default();
            let mut pushes = pushes;
            pushes.sort_unstable();
            let mut sent = Vec::new();
            let mut next = 0;
            for now in (0..20_000).step_by(5) {
                while next < pushes.len() && pushes[next].0 <= now {
                    plan.push(at(pushes[next].1), Priority::State, None, FAR, ());
                    next += 1;
                }
                while let Some((route, ())) = plan.next(ms(now)) {
                    sent.push(now);
                    plan.settle(ms(now), route, (), DONE).unwrap();
                }
            }
            prop_assert_eq!(sent.len(), pushes.len());
            for window in sent.windows(49) {
                prop_assert!(window[48] - window[0] >= 1_000, "{:?}", window);
            }
        }
    }
}
