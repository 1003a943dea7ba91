//! A daemon with its bot, the Discord it lives in, and the people who use it.

mod deeds;
pub(crate) mod faults;
mod judge;
mod proxy;
pub(crate) mod seen;
mod twin;
mod wire;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::BufRead as _;
use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::world::{World, signal};
use deeds::Deed;
use judge::Judge;
pub(crate) use proxy::{Asked, Exchange};
use proxy::{File, Proxy};
use twin::Twin;
use wire::user;

/// Events that are not understood are told at this level only.
const LOG: &str = "warn,taskloom=info,serenity::gateway=debug,serenity::client=debug";

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) proxy: Proxy,
    pub(crate) twin: Twin,
    daemon: Option<Child>,
    heard: Arc<Mutex<String>>,
    roles: BTreeMap<&'static str, Vec<&'static str>>,
    number: AtomicU64,
    judge: Judge,
    /// What the next daemon finds in its environment.
    pub(crate) variables: Vec<(&'static str, OsString)>,
}

/// A message as people see it.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) value: Value,
    pub(crate) files: Vec<File>,
}

impl Message {
    pub(crate) fn id(&self) -> &str {
        self.value["id"].as_str().unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        self.value["content"].as_str().unwrap_or_default()
    }

    /// What its buttons say; those that do nothing in brackets.
    pub(crate) fn buttons(&self) -> Vec<String> {
        let label = |button: &Value| {
            let label = button["label"].as_str().unwrap_or_default();
            if button["disabled"] == true { format!("({label})") } else { label.to_owned() }
        };
        self.parts().iter().map(label).collect()
    }

    /// What can be chosen in its list, and what is said of each.
    pub(crate) fn choices(&self) -> Vec<String> {
        let parts = self.parts();
        let options =
            parts.iter().flat_map(|part| part["options"].as_array().into_iter().flatten());
        let text = |option: &Value, name: &str| option[name].as_str().unwrap().to_owned();
        options.map(|o| format!("{}: {}", text(o, "value"), text(o, "description"))).collect()
    }

    fn parts(&self) -> Vec<Value> {
        let rows = self.value["components"].as_array().cloned().unwrap_or_default();
        rows.iter()
            .flat_map(|row| row["components"].as_array().cloned().unwrap_or_default())
            .collect()
    }

    pub(crate) fn key(&self, label: &str) -> String {
        let parts = self.parts();
        let button = parts.iter().find(|button| button["label"] == label);
        let button = button.unwrap_or_else(|| panic!("no button {label}: {:?}", self.buttons()));
        button["custom_id"].as_str().unwrap().to_owned()
    }
}

/// Looks again until there is something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

impl Stage {
    /// A daemon whose bot is signed in; `None` where there is no twin.
    pub(crate) async fn new(config: &str) -> Option<Self> {
        let mut stage = Self::quiet(config).await?;
        stage.start().await;
        Some(stage)
    }

    /// The same before the daemon is started.
    pub(crate) async fn quiet(config: &str) -> Option<Self> {
        let twin = Twin::start().await?;
        let proxy = Proxy::start(&twin.about).await;
        let world = World::new();
        let about = &twin.about;
        let token = world.write("token", &about.token);
        private(&token);
        let config = format!(
            "projects: [{{id: shop, link: {repo}}}]\n\
             agents: {{helper: {{framework: shell, command: 'cat > note.txt'}}}}\n\
             default_agent: helper\n\
             discord:\n  token_file: {token}\n  guild: '{guild}'\n  channel: '{shop}'\n  \
             owner: '{alice}'\n  api: {api}\n{config}",
            repo = world.repo().display(),
            token = token.display(),
            guild = about.guild,
            shop = about.channels["shop"],
            alice = about.users["alice"],
            api = proxy.url,
        );
        let config = config.replace("BOB", &about.users["bob"]);
        world.write("config.yaml", &config);
        Some(Self {
            world,
            proxy,
            twin,
            daemon: None,
            heard: Arc::default(),
            roles: BTreeMap::new(),
            number: AtomicU64::new(1),
            judge: Judge::new(),
            variables: Vec::new(),
        })
    }

    /// Starts the daemon and waits for its bot.
    pub(crate) async fn start(&mut self) {
        self.launch();
        self.signed_in().await;
    }

    pub(crate) fn launch(&mut self) {
        let mut process = self.world.serve_with(LOG, &self.variables);
        for stream in [
            Box::new(process.stdout.take().unwrap()) as Box<dyn std::io::Read + Send>,
            Box::new(process.stderr.take().unwrap()),
        ] {
            let heard = self.heard.clone();
            std::thread::spawn(move || {
                for line in std::io::BufReader::new(stream).lines().map_while(Result::ok) {
                    let mut heard = heard.lock().unwrap();
                    heard.push_str(&line);
                    heard.push('\n');
                }
            });
        }
        self.daemon = Some(process);
    }

    pub(crate) async fn signed_in(&self) {
        let wire = &self.proxy.shared.wire;
        let registered = |exchange: &Exchange| exchange.asked.path.ends_with("/commands");
        until("the bot signs in", async || {
            let commands = self.proxy.exchanges().iter().any(registered);
            (wire.is_up() && commands).then_some(())
        })
        .await;
    }

    /// What the daemon printed and logged so far.
    pub(crate) fn heard(&self) -> String {
        self.heard.lock().unwrap().clone()
    }

    /// Sends the daemon a signal and waits for its end.
    pub(crate) async fn end(&mut self, name: &str) {
        let mut daemon = self.daemon.take().unwrap();
        signal(&daemon, name);
        until("the daemon ends", async || daemon.try_wait().unwrap().map(drop)).await;
    }

    pub(crate) fn pid(&self) -> u32 {
        self.daemon.as_ref().unwrap().id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.daemon.as_mut().is_some_and(|daemon| daemon.try_wait().unwrap().is_none())
    }

    /// A channel by its name.
    pub(crate) fn channel(&self, name: &str) -> String {
        self.twin.about.channels[name].clone()
    }

    /// Gives somebody a role.
    pub(crate) fn role(&mut self, who: &'static str, role: &'static str) {
        self.roles.entry(who).or_default().push(role);
    }

    /// The messages of a channel or thread, oldest first.
    pub(crate) async fn messages(&self, channel: &str) -> Vec<Message> {
        let path = format!("/channels/{channel}/messages?limit=100");
        let answer = self.proxy.shared.twin("GET", &path, &Value::Null).await;
        let mut all: Vec<Value> = serde_json::from_str(&answer.body).unwrap_or_default();
        all.reverse();
        let with_files = |value: Value| {
            let files = self.proxy.files(value["id"].as_str().unwrap());
            Message { value, files }
        };
        all.into_iter().map(with_files).collect()
    }

    /// Waits for a message that contains `what`.
    pub(crate) async fn message(&self, channel: &str, what: &str) -> Message {
        until(what, async || {
            let all = self.messages(channel).await;
            all.into_iter().rev().find(|message| message.text().contains(what))
        })
        .await
    }

    /// Waits for the thread of a task.
    pub(crate) async fn thread(&self, name: &str) -> String {
        let path = format!("/guilds/{}/threads/active", self.twin.about.guild);
        until(name, async || {
            let answer = self.proxy.shared.twin("GET", &path, &Value::Null).await;
            let all: Value = serde_json::from_str(&answer.body).unwrap();
            let threads = all["threads"].as_array().unwrap().iter();
            let mut fitting = threads.filter(|thread| thread["name"] == name);
            fitting.next().map(|thread| thread["id"].as_str().unwrap().to_owned())
        })
        .await
    }

    /// All threads.
    pub(crate) async fn threads(&self) -> Vec<String> {
        let path = format!("/guilds/{}/threads/active", self.twin.about.guild);
        let answer = self.proxy.shared.twin("GET", &path, &Value::Null).await;
        let all: Value = serde_json::from_str(&answer.body).unwrap();
        let threads = all["threads"].as_array().unwrap().iter();
        threads.map(|thread| thread["id"].as_str().unwrap().to_owned()).collect()
    }

    fn next_id(&self) -> String {
        format!("7{:017}", self.number.fetch_add(1, Ordering::SeqCst))
    }

    /// Sends an interaction; its id.
    fn interact(
        &self,
        who: &str,
        channel: &str,
        kind: u8,
        data: Value,
        message: Option<Value>,
    ) -> String {
        let id = self.next_id();
        let about = &self.twin.about;
        let mut event = json!({
            "id": id, "application_id": about.bot, "type": kind, "data": data,
            "guild_id": about.guild, "channel_id": channel, "token": format!("token-of-{id}"),
            "version": 1, "app_permissions": "0", "locale": "en-US", "guild_locale": "en-US",
            "entitlements": [], "authorizing_integration_owners": { "0": about.guild },
            "context": 0, "attachment_size_limit": 10_485_760, "member": {
                "user": user(&about.users[who], who, false),
                "roles": self.roles.get(who).cloned().unwrap_or_default(),
                "joined_at": "2026-01-01T00:00:00.000000+00:00", "permissions": "0",
                "deaf": false, "mute": false, "flags": 0, "pending": false, "nick": null,
                "avatar": null, "premium_since": null,
            },
        });
        let ephemeral = message.as_ref().filter(|message| message["flags"] == 64).cloned();
        if let Some(message) = message {
            event["message"] = message;
        }
        self.proxy.shared.deeds.begin(&id, channel, ephemeral);
        self.proxy.shared.wire.event("INTERACTION_CREATE", event);
        id
    }

    /// A slash command with its options; a file is given as `["name", "content"]`.
    pub(crate) fn command(&self, who: &str, channel: &str, name: &str, options: &Value) -> String {
        let (data, _) = self.command_data(name, options, None);
        self.interact(who, channel, 2, data, None)
    }

    fn command_data(&self, name: &str, options: &Value, typing: Option<&str>) -> (Value, Value) {
        let mut words: Vec<&str> = name.split(' ').collect();
        let root = words.remove(0);
        let mut resolved = json!({});
        let given = options.as_object().unwrap().iter().map(|(name, value)| {
            let mut option = json!({ "name": name, "type": 3, "value": value });
            match value {
                Value::Array(file) => {
                    let (id, file_name) = (self.next_id(), file[0].as_str().unwrap());
                    let bytes = file[1].as_str().unwrap().as_bytes();
                    let url = self.proxy.upload(&id, file_name, bytes);
                    resolved["attachments"][&id] = json!({
                        "id": id, "filename": file_name, "size": bytes.len(), "url": url,
                        "proxy_url": url, "content_type": "text/yaml",
                    });
                    option = json!({ "name": name, "type": 11, "value": id });
                }
                Value::Bool(_) => option["type"] = json!(5),
                Value::Number(_) => option["type"] = json!(4),
                Value::String(_) | Value::Null | Value::Object(_) => {}
            }
            if typing == Some(name.as_str()) {
                option["focused"] = json!(true);
            }
            option
        });
        let mut options: Vec<Value> = given.collect();
        for word in words.into_iter().rev() {
            options = vec![json!({ "name": word, "type": 1, "options": options })];
        }
        let data = json!({
            "id": "1", "name": root, "type": 1, "options": options, "resolved": resolved,
            "guild_id": self.twin.about.guild,
        });
        (data, json!({}))
    }

    /// What is offered while somebody types into an option.
    pub(crate) async fn offered(
        &self,
        who: &str,
        channel: &str,
        name: &str,
        option: &str,
        typed: &str,
    ) -> Vec<String> {
        let (data, _) = self.command_data(name, &json!({ option: typed }), Some(option));
        let id = self.interact(who, channel, 4, data, None);
        let callback = self.callback(&id).await;
        let choices = callback["data"]["choices"].as_array().cloned().unwrap_or_default();
        choices.iter().map(|choice| choice["name"].as_str().unwrap().to_owned()).collect()
    }

    /// An entry of the menu on a message.
    pub(crate) fn menu(&self, who: &str, channel: &str, name: &str, message: &Message) -> String {
        let id = message.id();
        let data = json!({
            "id": "1", "name": name, "type": 3, "target_id": id, "guild_id": self.twin.about.guild,
            "resolved": { "messages": { id: message.value } },
        });
        self.interact(who, channel, 2, data, None)
    }

    /// Presses a button.
    pub(crate) fn press(&self, who: &str, message: &Message, label: &str) -> String {
        self.press_key(who, message, &message.key(label))
    }

    pub(crate) fn press_key(&self, who: &str, message: &Message, key: &str) -> String {
        let channel = message.value["channel_id"].as_str().unwrap().to_owned();
        let data = json!({ "custom_id": key, "component_type": 2 });
        self.interact(who, &channel, 3, data, Some(message.value.clone()))
    }

    /// Chooses one of the list in a message.
    pub(crate) fn choose(&self, who: &str, message: &Message, value: &str) -> String {
        let key = message.parts()[0]["custom_id"].as_str().unwrap().to_owned();
        self.choose_key(who, message, &key, value)
    }

    pub(crate) fn choose_key(
        &self,
        who: &str,
        message: &Message,
        key: &str,
        value: &str,
    ) -> String {
        let channel = message.value["channel_id"].as_str().unwrap().to_owned();
        let data = json!({ "custom_id": key, "component_type": 3, "values": [value] });
        self.interact(who, &channel, 3, data, Some(message.value.clone()))
    }

    /// Waits for a form, fills it in and sends it.
    pub(crate) async fn fill(&self, who: &str, id: &str, text: &str) -> String {
        let form = self.callback(id).await;
        assert_eq!(form["type"], 9, "{form}");
        let data = json!({
            "custom_id": form["data"]["custom_id"],
            "components": [{ "type": 1, "components": [
                { "type": 4, "custom_id": "text", "value": text },
            ] }],
        });
        let channel = self.proxy.shared.deeds.get(id).channel;
        self.interact(who, &channel, 5, data, None)
    }

    /// Waits until an interaction is acknowledged.
    pub(crate) async fn callback(&self, id: &str) -> Value {
        let deeds = &self.proxy.shared.deeds;
        let called = async || deeds.get(id).callback.map(|(_, body)| body);
        until("an acknowledgement", called).await
    }

    /// Waits for the answer of an interaction.
    pub(crate) async fn answer(&self, id: &str) -> Message {
        let deeds = &self.proxy.shared.deeds;
        let answered = async || {
            let deed: Deed = deeds.get(id);
            let (_, callback) = deed.callback.as_ref()?;
            let changed = callback["type"] == 6;
            let known = deed.message.clone().filter(|message| {
                // A message that is to change has changed when its buttons are others.
                if changed { message["components"] == json!([]) } else { deed.answered }
            });
            known.map(|value| Message { value, files: deed.files.clone() })
        };
        until("an answer", answered).await
    }

    /// An interaction with everything that was answered.
    pub(crate) fn deed(&self, id: &str) -> Deed {
        self.proxy.shared.deeds.get(id)
    }

    /// A command and its answer.
    pub(crate) async fn ask(
        &self,
        who: &str,
        channel: &str,
        name: &str,
        options: Value,
    ) -> Message {
        let id = self.command(who, channel, name, &options);
        self.answer(&id).await
    }

    /// Starts a graph as somebody would: attached, looked at, started.
    pub(crate) async fn submit(&self, who: &str, graph: &str) -> Message {
        let channel = self.channel("shop");
        let options = json!({ "file": ["graph.yaml", graph] });
        let preview = self.ask(who, &channel, "submit graph", options).await;
        let id = self.press(who, &preview, "Start");
        self.answer(&id).await
    }

    /// What both oracles have against what the bot asked.
    pub(crate) fn verdict(&self) -> Vec<String> {
        let all = self.proxy.exchanges();
        let mut wrong: Vec<String> =
            all.iter().flat_map(|exchange| self.judge.verdict(&exchange.asked)).collect();
        wrong.sort();
        wrong.dedup();
        wrong
    }

    /// The bot behaved: nothing that was asked was wrong, no event was not understood, and one
    /// request at a time went to each route.
    pub(crate) fn behaved(&self) {
        let wrong = self.verdict();
        assert!(wrong.is_empty(), "the oracles say: {wrong:#?}");
        let heard = self.heard();
        assert!(!heard.contains("UnknownEvent") && !heard.contains("panicked"), "{heard}");
        for exchange in self.proxy.exchanges() {
            let posts = exchange.asked.path.starts_with("/channels");
            assert!(!posts || exchange.in_flight == 1, "{:?}", exchange.asked.path);
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            daemon.kill().ok();
            daemon.wait().ok();
        }
        if std::thread::panicking() {
            let heard = self.heard();
            let lines = heard.lines().filter(|line| !line.contains(" DEBUG "));
            eprintln!("the daemon said:\n{}", lines.collect::<Vec<_>>().join("\n"));
        }
        self.world.kill_all();
    }
}

fn private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
