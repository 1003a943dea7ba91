//! What a running daemon takes over when its configuration file changes, and what needs a restart:
//! one table of every option. An option that is not in the table is a failed test.

#[cfg(test)]
mod probe;
mod tree;

use std::fmt::Write as _;
use std::path::Path;

use crate::config::{Config, raw};
use crate::failure::Failure;

pub(super) use tree::Tree;
use tree::differences;

/// When a change takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At once; what is under way keeps what it began with.
    AtOnce,
    /// When the daemon is started again.
    Restart,
}

impl When {
    /// What people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::AtOnce => "at once",
            Self::Restart => "restart",
        }
    }
}

use When::{AtOnce, Restart};

/// Every option, in the order of the file. `*` stands for any name.
pub const KEYS: &[(&str, When)] = &[
    ("data_dir", Restart),
    ("slots", AtOnce),
    ("project_slots", AtOnce),
    ("budget.tokens", AtOnce),
    ("budget.usd", AtOnce),
    ("quiet_hours.from", AtOnce),
    ("quiet_hours.to", AtOnce),
    ("time_zone", AtOnce),
    ("resume", AtOnce),
    ("default_agent", AtOnce),
    ("agents.*.framework", AtOnce),
    ("agents.*.command", AtOnce),
    ("agents.*.model", AtOnce),
    ("agents.*.permissions", AtOnce),
    ("agents.*.allowed_tools", AtOnce),
    ("agents.*.mcp_servers.*.command", AtOnce),
    ("agents.*.mcp_servers.*.args", AtOnce),
    ("agents.*.mcp_servers.*.env", AtOnce),
    ("agents.*.mcp_servers.*.url", AtOnce),
    ("agents.*.mcp_servers.*.token_env", AtOnce),
    ("agents.*.system_prompt", AtOnce),
    ("agents.*.args", AtOnce),
    ("agents.*.env", AtOnce),
    ("agents.*.fallback", AtOnce),
    ("agents.*.slots", AtOnce),
    ("agents.*.install_hint", AtOnce),
    ("env", AtOnce),
    ("credentials", AtOnce),
    ("isolation.sandbox", AtOnce),
    ("home", AtOnce),
    ("limits.memory_mib", AtOnce),
    ("limits.processes", AtOnce),
    ("limits.open_files", AtOnce),
    ("limits.file_size_mib", AtOnce),
    ("timeouts.attempt", AtOnce),
    ("timeouts.idle", AtOnce),
    ("timeouts.gate", AtOnce),
    ("timeouts.grace", AtOnce),
    ("timeouts.drain", AtOnce),
    ("stall.after", AtOnce),
    ("stall.nudges", AtOnce),
    ("stall.ask", AtOnce),
    ("stall.stop", AtOnce),
    ("monitoring.stuck_after", Restart),
    ("monitoring.repeat", Restart),
    ("archive.after", Restart),
    ("on_shutdown", AtOnce),
    ("git.merge_method", AtOnce),
    ("git.author_name", AtOnce),
    ("git.author_email", AtOnce),
    ("git.co_authors", AtOnce),
    ("plans.max_depth", Restart),
    ("plans.max_steps", Restart),
    ("plans.auto_approve", Restart),
    ("plans.parser", AtOnce),
    ("memory.enabled", AtOnce),
    ("memory.per_prompt", AtOnce),
    ("disk_free_min_mib", AtOnce),
    ("retention.transcripts", AtOnce),
    ("projects.*.id", AtOnce),
    ("projects.*.link", AtOnce),
    ("projects.*.init", AtOnce),
    ("projects.*.clone", AtOnce),
    ("projects.*.default_branch", AtOnce),
    ("projects.*.graphs", AtOnce),
    ("projects.*.merge_method", AtOnce),
    ("projects.*.github", Restart),
    ("projects.*.weight", AtOnce),
    ("projects.*.max_agents", AtOnce),
    ("projects.*.budget.tokens", AtOnce),
    ("projects.*.budget.usd", AtOnce),
    ("projects.*.retention.transcripts", AtOnce),
    ("projects.*.agent", AtOnce),
    ("projects.*.isolation.sandbox", AtOnce),
    ("projects.*.approval.tasks", AtOnce),
    ("projects.*.approval.lanes", AtOnce),
    ("github.token_env", Restart),
    ("github.token_file", Restart),
    ("github.app.id", Restart),
    ("github.app.installation", Restart),
    ("github.app.key_file", Restart),
    ("github.api", Restart),
    ("github.web", Restart),
    ("github.pace.per_minute", AtOnce),
    ("github.pace.per_hour", AtOnce),
    ("github.poll", AtOnce),
    ("github.people", AtOnce),
    ("github.mention", AtOnce),
    ("github.required_checks", AtOnce),
    ("github.feedback", AtOnce),
    ("github.webhook.listen", Restart),
    ("github.webhook.secret_env", Restart),
    ("github.webhook.secret_file", Restart),
    ("github.issue_label", AtOnce),
    ("http.listen", Restart),
    ("http.public", Restart),
    ("discord.token_env", Restart),
    ("discord.token_file", Restart),
    ("discord.guild", Restart),
    ("discord.owner", AtOnce),
    ("discord.channel", AtOnce),
    ("discord.channels", AtOnce),
    ("discord.permissions.viewer.users", AtOnce),
    ("discord.permissions.viewer.roles", AtOnce),
    ("discord.permissions.operator.users", AtOnce),
    ("discord.permissions.operator.roles", AtOnce),
    ("discord.permissions.approver.users", AtOnce),
    ("discord.permissions.approver.roles", AtOnce),
    ("discord.permissions.admin.users", AtOnce),
    ("discord.permissions.admin.roles", AtOnce),
    ("discord.project_permissions.*.viewer.users", AtOnce),
    ("discord.project_permissions.*.viewer.roles", AtOnce),
    ("discord.project_permissions.*.operator.users", AtOnce),
    ("discord.project_permissions.*.operator.roles", AtOnce),
    ("discord.project_permissions.*.approver.users", AtOnce),
    ("discord.project_permissions.*.approver.roles", AtOnce),
    ("discord.project_permissions.*.admin.users", AtOnce),
    ("discord.project_permissions.*.admin.roles", AtOnce),
    ("discord.self_approval", AtOnce),
    ("discord.verbosity", AtOnce),
    ("discord.message_content", Restart),
    ("discord.api", Restart),
    ("hooks", AtOnce),
    ("hook_slots", AtOnce),
    ("hook_hosts", AtOnce),
];

/// The table for people.
pub fn table() -> String {
    let wide = KEYS.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    KEYS.iter().fold(String::new(), |mut text, (name, when)| {
        let _ = writeln!(text, "{name:wide$}  {}", when.word());
        text
    })
}

/// When a change at a place of the file takes effect. A whole section that comes or goes does so
/// with the strictest of its options; a project or agent that comes or goes does so at once.
fn when(place: &[String]) -> When {
    if matches!(place, [list, _] if list == "projects" || list == "agents") {
        return AtOnce;
    }
    let concerned = |name: &str| {
        let parts = name.split('.').zip(place);
        { parts }.all(|(part, own)| part == "*" || part == own)
    };
    let mut concerned = KEYS.iter().filter(|(name, _)| concerned(name)).peekable();
    // What nobody knows is never said to be applied.
    let known = concerned.peek().is_some();
    if known && concerned.all(|(_, when)| *when == AtOnce) { AtOnce } else { Restart }
}

/// A configuration file, read and checked as a whole.
#[derive(Debug)]
pub struct File {
    /// What it says.
    pub config: Config,
    text: String,
    tree: Tree,
}

impl File {
    /// Reads one; an error says where it is wrong.
    pub fn read(path: &Path, home: Option<&Path>) -> Result<Self, Failure> {
        let config = Config::load(path, home)?;
        let text = std::fs::read_to_string(path)
            .map_err(|why| Failure::config(format!("cannot read {}: {why}", path.display())))?;
        // Of a file that is being written, the second look may see more than the first.
        let tree = raw::tree(&text)?;
        Ok(Self { config, text, tree })
    }

    /// Whether it says the same, byte for byte.
    pub fn says(&self, text: &str) -> bool {
        self.text == text
    }
}

/// What changed in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// What is taken over.
    pub applied: Vec<String>,
    /// What needs a restart.
    pub restart: Vec<String>,
}

impl Changes {
    /// In a sentence.
    pub fn sentence(&self) -> String {
        let (applied, restart) = (self.applied.join(", "), self.restart.join(", "));
        match (applied.as_str(), restart.as_str()) {
            ("", "") => "the configuration is as it was".to_owned(),
            (applied, "") => format!("the configuration is taken over: {applied}"),
            ("", restart) => format!("nothing is taken over; needs a restart: {restart}"),
            (applied, restart) => {
                format!("the configuration is taken over: {applied}; needs a restart: {restart}")
            }
        }
    }
}

/// What a daemon works with: what it began with, and what it took over last.
#[derive(Debug)]
pub struct Held {
    began: Tree,
    last: File,
}

impl Held {
    /// What a daemon begins with.
    pub fn new(file: File) -> Self {
        Self { began: file.tree.clone(), last: file }
    }

    /// The file as it was taken over last.
    pub fn file(&self) -> &File {
        &self.last
    }

    /// What is not the same as in `file`: what needs a restart is compared with the beginning, all
    /// else with what was taken over last.
    pub fn changes(&self, file: &File) -> Changes {
        let name = |place: &Vec<String>| place.join(".");
        let of = |old: &Tree, wanted: When| -> Vec<String> {
            let places = differences(old, &file.tree);
            places.iter().filter(|place| when(place) == wanted).map(name).collect()
        };
        Changes { applied: of(&self.last.tree, AtOnce), restart: of(&self.began, Restart) }
    }

    /// Remembers what was taken over.
    pub fn take(&mut self, file: File) {
        self.last = file;
    }
}

/// What holds after a file was read: what it says, and what is running where that needs a restart.
pub fn keep(running: &Config, read: Config) -> Result<Config, Failure> {
    let on_github = |config: &Config| config.projects.iter().any(|p| p.github.is_some());
    if let Some(first) = read.projects.iter().find(|p| p.github.is_some())
        && !on_github(running)
    {
        let message = format!("project `{}` is the first on GitHub", first.id);
        return Err(Failure::config(message).hint("start the daemon again"));
    }
    let mut kept = Config {
        data_dir: running.data_dir.clone(),
        http: running.http,
        watching: running.watching,
        plans: running.plans,
        github: read.github.clone(),
        discord: read.discord.clone(),
        ..read
    };
    for project in &mut kept.projects {
        if let Some(known) = running.projects.iter().find(|known| known.id == project.id) {
            project.github = known.github.clone();
        }
    }
    match (&running.github, &mut kept.github) {
        (Some(now), Some(then)) => {
            then.sign_in = now.sign_in.clone();
            (then.api, then.web) = (now.api.clone(), now.web.clone());
            then.webhook = now.webhook.clone();
        }
        (now, then) => then.clone_from(now),
    }
    match (&running.discord, &mut kept.discord) {
        (Some(now), Some(then)) => {
            then.token = now.token.clone();
            then.rules.guild = now.rules.guild;
            then.message_content = now.message_content;
            then.api = now.api.clone();
        }
        (now, then) => then.clone_from(now),
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> File {
        let config = Config::parse(text, Some(Path::new("/home/ada"))).unwrap();
        File { config, text: text.to_owned(), tree: raw::tree(text).unwrap() }
    }

    #[test]
    fn every_option_is_in_the_table_once() {
        let known: Vec<String> = KEYS.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut there = probe::options::<raw::Raw>();
        let mut listed = known.clone();
        listed.sort();
        there.sort();
        let missing: Vec<_> = there.iter().filter(|name| !listed.contains(name)).collect();
        let gone: Vec<_> = listed.iter().filter(|name| !there.contains(name)).collect();
        assert!(missing.is_empty() && gone.is_empty(), "missing: {missing:?}, gone: {gone:?}");
        assert_eq!(listed.len(), there.len());
        let page = include_str!("../../../docs/daemon.md");
        assert!(page.contains(&table()), "docs/daemon.md shows the table");
        insta::assert_snapshot!(table());
    }

    /// A file in which every option says something else than it does by itself.
    const ALL: &str = include_str!("all.yaml");

    /// What needs a restart in it.
    fn with_sections(text: &str) -> String {
        format!("github: {{token_env: A}}\ndiscord: {{guild: '1', token_env: B}}\n{text}")
    }

    #[test]
    fn what_needs_a_restart_is_kept_and_everything_else_is_taken_over() {
        let all = read(ALL);
        let base = with_sections("projects: [{id: shop, link: /shop, github: o/s}]");
        let began = read(&base);
        let kept = keep(&began.config, all.config.clone()).unwrap();
        // Taking the kept parts from the file instead gives the file's configuration whole.
        let back = keep(&all.config, kept.clone()).unwrap();
        assert_eq!(back, all.config, "all else came from the file");
        let (old, new) = (&began.config, &kept);
        assert_eq!((&new.data_dir, new.http), (&old.data_dir, old.http));
        assert_eq!(new.plans, old.plans);
        assert_eq!(new.projects[0].github, old.projects[0].github);
        let (old_hub, hub) = (old.github.as_ref().unwrap(), new.github.as_ref().unwrap());
        assert_eq!((&hub.sign_in, &hub.webhook), (&old_hub.sign_in, &old_hub.webhook));
        let (old_bot, bot) = (old.discord.as_ref().unwrap(), new.discord.as_ref().unwrap());
        assert_eq!((&bot.token, bot.rules.guild), (&old_bot.token, old_bot.rules.guild));
        let changes = Held::new(began).changes(&all);
        insta::assert_snapshot!(changes.sentence());
    }

    #[test]
    fn the_file_of_all_options_has_them_all() {
        let tree = raw::tree(ALL).unwrap();
        for (name, _) in KEYS {
            let there = name.split('.').try_fold(tree.clone(), |at, part| match (part, at) {
                ("*", Tree::Map(map)) => map.into_values().next(),
                (_, at) => at.get(part).cloned(),
            });
            let other_way = matches!(
                *name,
                "github.token_env"
                    | "github.app.id"
                    | "github.app.installation"
                    | "github.app.key_file"
                    | "github.webhook.secret_env"
                    | "discord.token_env"
                    | "projects.*.init"
                    | "projects.*.clone"
                    | "credentials"
                    | "agents.*.mcp_servers.*.url"
                    | "agents.*.mcp_servers.*.token_env"
            );
            assert!(there.is_some() || other_way, "{name}");
        }
    }

    #[test]
    fn what_needs_a_restart_is_told_until_it_comes() {
        let mut held = Held::new(read("slots: 4\ndata_dir: /a\n"));
        let second = read("slots: 5\ndata_dir: /b\n");
        let told = held.changes(&second).sentence();
        assert_eq!(told, "the configuration is taken over: slots; needs a restart: data_dir");
        held.take(second);
        let third = read("slots: 5\ndata_dir: /b\nhttp: {listen: '127.0.0.1:1'}\n");
        let told = held.changes(&third).sentence();
        assert_eq!(told, "nothing is taken over; needs a restart: data_dir, http");
        let back = read("slots: 5\ndata_dir: /a\n");
        assert_eq!(held.changes(&back).sentence(), "the configuration is as it was");
    }

    #[test]
    fn a_project_that_comes_is_told_by_its_name() {
        let held = Held::new(read("projects: [{id: b, link: /b}]"));
        let file =
            read("projects: [{id: a, link: /a, github: o/a}, {id: b, link: /b}]\ngithub: {}");
        let changes = held.changes(&file);
        assert_eq!(
            (changes.applied, changes.restart),
            (vec!["projects.a".to_owned()], vec!["github".to_owned()])
        );
        let why = keep(&held.last.config, file.config).unwrap_err().to_string();
        assert!(why.contains("project `a` is the first on GitHub"), "{why}");
    }
}
