//! Who may do what: one function that every ingress asks, and that says no unless it was told yes.
//!
//! Pure. An [`Actor`] is made from the envelope of an interaction or message alone, never from
//! what a person, a graph or an agent wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::ids::ProjectId;

/// What somebody may do; each level may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Look.
    Viewer,
    /// Submit graphs, which are programs, and steer runs.
    Operator,
    /// Let pull requests through.
    Approver,
    /// Hold back and let go of everything.
    Admin,
}

impl Level {
    /// Every level, lowest first.
    pub const ALL: [Level; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin];

    /// What people write.
    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Who has a level. Ids, never names: a name can be taken by somebody else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// Users.
    pub users: BTreeSet<u64>,
    /// Everybody with one of these roles.
    pub roles: BTreeSet<u64>,
}

impl Grant {
    fn covers(&self, actor: &Actor) -> bool {
        self.users.contains(&actor.user) || actor.roles.iter().any(|r| self.roles.contains(r))
    }
}

/// What was granted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// The one server that is listened to.
    pub guild: u64,
    /// May do everything.
    pub owner: Option<u64>,
    /// In every project.
    pub everywhere: BTreeMap<Level, Grant>,
    /// In one project, besides.
    pub projects: BTreeMap<ProjectId, BTreeMap<Level, Grant>>,
    /// Whether those who submitted a run may approve its results.
    pub self_approval: bool,
}

/// Somebody who asks for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Their id.
    pub user: u64,
    /// Their unique name, for people to read.
    pub name: String,
    /// The roles that they have now.
    pub roles: Vec<u64>,
    /// Where they ask; `None`: in a private message.
    pub guild: Option<u64>,
    /// Whether they are a program.
    pub bot: bool,
}

/// The proof that somebody may do something. Only [`Rules::authorize`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    who: String,
    user: u64,
}

impl Permit {
    /// How the engine's journal names them.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// Their id.
    pub fn user(&self) -> u64 {
        self.user
    }
}

/// Why somebody may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// A private message.
    #[error("private messages are not answered: ask in a channel of the server")]
    Private,
    /// Another server.
    #[error("this bot works for another server")]
    Guild,
    /// A program.
    #[error("programs may not ask")]
    Bot,
    /// Nobody was granted anything yet.
    #[error(
        "nobody may do anything yet: put your id `{user}` under `discord.owner` in the \
         configuration, and start the daemon again"
    )]
    Unowned {
        /// Who asked.
        user: u64,
    },
    /// They were granted nothing here.
    #[error("you have no permission here: an admin can grant it to your id `{user}`")]
    Unknown {
        /// Who asked.
        user: u64,
    },
    /// They were granted too little.
    #[error("this needs the permission `{needs}`, and you have `{has}` (your id is `{user}`)")]
    TooLow {
        /// Who asked.
        user: u64,
        /// What they may do.
        has: Level,
        /// What it takes.
        needs: Level,
    },
    /// They would approve their own work.
    #[error("whoever submitted a run may not approve its results")]
    OwnWork,
}

impl Rules {
    /// Whether `actor` may do what needs `level`, in `project` or, without one, in all.
    pub fn authorize(
        &self,
        actor: &Actor,
        level: Level,
        project: Option<&ProjectId>,
    ) -> Result<Permit, Denied> {
        match actor.guild {
            None => return Err(Denied::Private),
            Some(guild) if guild != self.guild => return Err(Denied::Guild),
            Some(_) => {}
        }
        if actor.bot {
            return Err(Denied::Bot);
        }
        let user = actor.user;
        let permit = Permit { who: actor.name.clone(), user };
        if self.owner == Some(user) {
            return Ok(permit);
        }
        match self.level(actor, project) {
            Some(has) if has >= level => Ok(permit),
            Some(has) => Err(Denied::TooLow { user, has, needs: level }),
            None if self.grants_nothing() => Err(Denied::Unowned { user }),
            None => Err(Denied::Unknown { user }),
        }
    }

    /// Whether `actor` may approve work that `submitter` asked for.
    pub fn may_approve(&self, permit: &Permit, submitter: &str) -> Result<(), Denied> {
        let own = !self.self_approval && permit.who == submitter;
        if own { Err(Denied::OwnWork) } else { Ok(()) }
    }

    fn level(&self, actor: &Actor, project: Option<&ProjectId>) -> Option<Level> {
        let here = project.and_then(|project| self.projects.get(project));
        let maps = std::iter::once(&self.everywhere).chain(here);
        let granted = maps.flatten().filter(|(_, grant)| grant.covers(actor));
        granted.map(|(level, _)| *level).max()
    }

    fn grants_nothing(&self) -> bool {
        let maps = std::iter::once(&self.everywhere).chain(self.projects.values());
        let mut grants = maps.flat_map(BTreeMap::values);
        self.owner.is_none() && grants.all(|g| g.users.is_empty() && g.roles.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GUILD: u64 = 7;

    fn actor(user: u64, roles: &[u64]) -> Actor {
        let name = format!("user{user}");
        Actor { user, name, roles: roles.to_vec(), guild: Some(GUILD), bot: false }
    }

    fn grant(users: &[u64], roles: &[u64]) -> Grant {
        Grant { users: users.iter().copied().collect(), roles: roles.iter().copied().collect() }
    }

    fn rules() -> Rules {
        let shop: ProjectId = "shop".parse().unwrap();
        Rules {
            guild: GUILD,
            owner: Some(1),
            everywhere: [(Level::Viewer, grant(&[], &[20])), (Level::Operator, grant(&[2], &[]))]
                .into(),
            projects: [(shop, [(Level::Approver, grant(&[3], &[21]))].into())].into(),
            self_approval: false,
        }
    }

    #[test]
    fn a_level_is_what_was_granted_and_nothing_more() {
        let shop: ProjectId = "shop".parse().unwrap();
        let other: ProjectId = "other".parse().unwrap();
        let rules = rules();
        let highest = |actor: &Actor, project: Option<&ProjectId>| {
            let all = Level::ALL.into_iter();
            all.filter(|level| rules.authorize(actor, *level, project).is_ok()).max()
        };
        assert_eq!(highest(&actor(1, &[]), None), Some(Level::Admin));
        assert_eq!(highest(&actor(2, &[]), Some(&other)), Some(Level::Operator));
        assert_eq!(highest(&actor(3, &[]), Some(&shop)), Some(Level::Approver));
        assert_eq!(highest(&actor(3, &[]), Some(&other)), None);
        assert_eq!(highest(&actor(3, &[]), None), None);
        assert_eq!(highest(&actor(4, &[20, 21]), Some(&shop)), Some(Level::Approver));
        assert_eq!(highest(&actor(4, &[20, 21]), None), Some(Level::Viewer));
    }

    #[test]
    fn the_owner_is_nobody_elsewhere() {
        let rules = rules();
        let ask = |actor: Actor| rules.authorize(&actor, Level::Viewer, None).unwrap_err();
        assert_eq!(ask(Actor { guild: None, ..actor(1, &[]) }), Denied::Private);
        assert_eq!(ask(Actor { guild: Some(8), ..actor(1, &[]) }), Denied::Guild);
        assert_eq!(ask(Actor { bot: true, ..actor(1, &[]) }), Denied::Bot);
    }

    #[test]
    fn somebody_who_is_refused_is_told_their_id() {
        let first_run = Rules { guild: GUILD, ..Rules::default() };
        let denied = first_run.authorize(&actor(42, &[]), Level::Viewer, None).unwrap_err();
        assert!(
            denied.to_string().contains("`discord.owner`") && denied.to_string().contains("42")
        );
        let denied = rules().authorize(&actor(42, &[]), Level::Viewer, None).unwrap_err();
        insta::assert_snapshot!(denied, @"you have no permission here: an admin can grant it to your id `42`");
        let denied = rules().authorize(&actor(2, &[]), Level::Admin, None).unwrap_err();
        insta::assert_snapshot!(denied, @"this needs the permission `admin`, and you have `operator` (your id is `2`)");
    }

    #[test]
    fn own_work_is_not_approved_where_that_is_forbidden() {
        let permit = rules().authorize(&actor(1, &[]), Level::Approver, None).unwrap();
        assert_eq!(rules().may_approve(&permit, "user1"), Err(Denied::OwnWork));
        assert_eq!(rules().may_approve(&permit, "user2"), Ok(()));
    }

    proptest! {
        #[test]
        fn nobody_who_was_not_named_may_anything(user in 4u64.., roles: Vec<u64>, level in 0usize..4) {
            let roles: Vec<u64> = roles.into_iter().filter(|r| !matches!(r, 20 | 21)).collect();
            let shop: ProjectId = "shop".parse().unwrap();
            for project in [None, Some(&shop)] {
                prop_assert!(rules().authorize(&actor(user, &roles), Level::ALL[level], project).is_err());
            }
        }
    }
}
