//! The gateway before the twin's: sessions that can be resumed, events of the tests' own, and
//! everything that goes wrong with a connection.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{accept_async, connect_async};

use super::twin::About;

const MESSAGE_CONTENT: u64 = 1 << 15;

pub(crate) struct Wire {
    inner: Arc<Inner>,
    address: SocketAddr,
    accepting: AbortHandle,
}

struct Inner {
    about: About,
    address: SocketAddr,
    heartbeat_ms: AtomicU64,
    mute: AtomicBool,
    closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<Session>,
    bot: Option<mpsc::UnboundedSender<Out>>,
    identifies: u32,
    resumes: u32,
    intents: u64,
    /// Answer the next IDENTIFY with this close code.
    refuse: Option<u16>,
}

struct Session {
    id: String,
    events: Vec<Value>,
    upstream: AbortHandle,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.upstream.abort();
    }
}

enum Out {
    Text(Value),
    Close(Option<u16>),
    /// The connection is gone without a word.
    Fin,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Wire {
    pub(crate) async fn start(about: &About) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            about: about.clone(),
            address,
            heartbeat_ms: AtomicU64::new(41_250),
            mute: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            state: Mutex::default(),
        });
        let serving = inner.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if !serving.closed.load(Ordering::SeqCst) {
                    drop(tokio::spawn(talk(serving.clone(), stream)));
                }
            }
        });
        Self { inner, address, accepting: accepting.abort_handle() }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap()
    }

    /// Whether a bot is signed in.
    pub(crate) fn is_up(&self) -> bool {
        let state = self.state();
        let ready = state.session.as_ref().is_some_and(|session| session.events.len() >= 2);
        ready && state.bot.as_ref().is_some_and(|bot| !bot.is_closed())
    }

    /// How often a bot signed in, and how often it came back.
    pub(crate) fn sign_ins(&self) -> (u32, u32) {
        let state = self.state();
        (state.identifies, state.resumes)
    }

    pub(crate) fn intents(&self) -> u64 {
        self.state().intents
    }

    /// Sends an event to the bot; kept for it while it is away.
    pub(crate) fn event(&self, name: &str, data: Value) {
        self.inner.push(name, data);
    }

    /// Sends the last event of a kind once more.
    pub(crate) fn again(&self, name: &str) {
        let state = self.state();
        let events = &state.session.as_ref().unwrap().events;
        let event = events.iter().rev().find(|event| event["t"] == name).unwrap().clone();
        state.bot.as_ref().unwrap().send(Out::Text(event)).ok();
    }

    fn out(&self, out: Out) {
        if let Some(bot) = &self.state().bot {
            bot.send(out).ok();
        }
    }

    pub(crate) fn close(&self, code: Option<u16>) {
        self.out(Out::Close(code));
    }

    pub(crate) fn fin(&self) {
        self.out(Out::Fin);
    }

    pub(crate) fn ask_to_reconnect(&self) {
        self.out(Out::Text(json!({ "op": 7, "d": null })));
    }

    /// Ends the session; a bot that resumes must sign in anew.
    pub(crate) fn invalidate(&self) {
        self.state().session = None;
        self.out(Out::Text(json!({ "op": 9, "d": false })));
    }

    /// Heartbeats from now on at this interval, acknowledged or not.
    pub(crate) fn heartbeats(&self, every_ms: u64, acknowledged: bool) {
        self.inner.heartbeat_ms.store(every_ms, Ordering::SeqCst);
        self.inner.mute.store(!acknowledged, Ordering::SeqCst);
    }

    /// Whether connections are let in.
    pub(crate) fn open(&self, open: bool) {
        self.inner.closed.store(!open, Ordering::SeqCst);
        if !open {
            self.fin();
        }
    }

    /// The next sign-in is refused with this code.
    pub(crate) fn refuse_with(&self, code: u16) {
        self.state().refuse = Some(code);
    }
}

impl Inner {
    fn push(&self, name: &str, data: Value) {
        let mut state = self.state.lock().unwrap();
        let Some(session) = &mut state.session else { return };
        let s = session.events.len() + 1;
        let event = json!({ "op": 0, "t": name, "s": s, "d": data });
        session.events.push(event.clone());
        if let Some(bot) = &state.bot {
            bot.send(Out::Text(event)).ok();
        }
    }

    /// An event of the twin as Discord would send it.
    fn dress(&self, name: &str, mut data: Value, session: &str) -> Value {
        if name == "READY" {
            data["resume_gateway_url"] = json!(format!("ws://{}", self.address));
            data["session_id"] = json!(session);
        }
        if name == "GUILD_CREATE" {
            complete_guild(&mut data);
            let parsed = serde_json::from_value::<serenity::all::Guild>(data.clone());
            assert!(parsed.is_ok(), "serenity does not understand the server: {parsed:?}");
        }
        if name == "MESSAGE_CREATE" || name == "MESSAGE_UPDATE" {
            let mention = format!("<@{}>", self.about.bot);
            let text = data["content"].as_str().unwrap_or_default().to_owned();
            let own = data["author"]["id"] == self.about.bot.as_str();
            if text.contains(&mention) {
                data["mentions"] = json!([user(&self.about.bot, "taskloom", true)]);
            } else if !own && self.state.lock().unwrap().intents & MESSAGE_CONTENT == 0 {
                data["content"] = json!("");
            }
        }
        data
    }
}

/// What the twin leaves out of a guild and Discord does not.
fn complete_guild(guild: &mut Value) {
    let defaults = json!({
        "afk_timeout": 300, "default_message_notifications": 0, "emojis": [],
        "explicit_content_filter": 0, "features": [], "mfa_level": 0, "nsfw_level": 0,
        "preferred_locale": "en-US", "premium_progress_bar_enabled": false, "premium_tier": 0,
        "roles": [], "stickers": [], "system_channel_flags": 0, "verification_level": 0,
        "voice_states": [], "stage_instances": [], "threads": [], "presences": [],
        "guild_scheduled_events": [], "large": false, "unavailable": false, "member_count": 4,
        "max_stage_video_channel_users": 50, "max_video_channel_users": 25,
    });
    for role in guild["roles"].as_array_mut().into_iter().flatten() {
        role["colors"] =
            json!({ "primary_color": 0, "secondary_color": null, "tertiary_color": null });
    }
    for (name, value) in defaults.as_object().unwrap() {
        if guild.get(name).is_none_or(Value::is_null) {
            guild[name] = value.clone();
        }
    }
}

/// A user as Discord writes one.
pub(crate) fn user(id: &str, name: &str, bot: bool) -> Value {
    json!({
        "id": id, "username": name, "global_name": null, "discriminator": "0", "avatar": null,
        "bot": bot, "public_flags": 0,
    })
}

async fn talk(inner: Arc<Inner>, stream: TcpStream) {
    let Ok(socket) = accept_async(stream).await else { return };
    let (mut to_bot, mut from_bot) = socket.split();
    let (sender, mut out) = mpsc::unbounded_channel::<Out>();
    let beat = inner.heartbeat_ms.load(Ordering::SeqCst);
    let hello = json!({ "op": 10, "d": { "heartbeat_interval": beat } });
    sender.send(Out::Text(hello)).ok();
    loop {
        tokio::select! {
            out = out.recv() => match out {
                Some(Out::Text(value)) => {
                    if to_bot.send(Message::Text(value.to_string())).await.is_err() {
                        return;
                    }
                }
                Some(Out::Close(code)) => {
                    let frame = code.map(|code| CloseFrame { code: code.into(), reason: "".into() });
                    to_bot.send(Message::Close(frame)).await.ok();
                }
                Some(Out::Fin) | None => return,
            },
            message = from_bot.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let payload: Value = serde_json::from_str(&text).unwrap();
                    hear(&inner, &sender, &payload).await;
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}

async fn hear(inner: &Arc<Inner>, bot: &mpsc::UnboundedSender<Out>, payload: &Value) {
    match payload["op"].as_u64() {
        Some(1) if !inner.mute.load(Ordering::SeqCst) => {
            bot.send(Out::Text(json!({ "op": 11 }))).ok();
        }
        Some(2) => {
            let refused = {
                let mut state = inner.state.lock().unwrap();
                state.identifies += 1;
                state.intents = payload["d"]["intents"].as_u64().unwrap_or_default();
                state.bot = Some(bot.clone());
                state.refuse.take()
            };
            match refused {
                Some(code) => bot.send(Out::Close(Some(code))).unwrap_or_default(),
                None => begin(inner, payload).await,
            }
        }
        Some(6) => resume(inner, bot, payload),
        _ => {}
    }
}

async fn begin(inner: &Arc<Inner>, identify: &Value) {
    let address = format!("{}/?v=10&encoding=json", inner.about.gateway);
    let (mut socket, _) = connect_async(address).await.unwrap();
    let mut identify = identify.clone();
    identify["d"]["compress"] = json!(false);
    socket.send(Message::Text(identify.to_string())).await.unwrap();
    let id = format!("session-{}", inner.state.lock().unwrap().identifies);
    let (listening, session) = (inner.clone(), id.clone());
    let upstream = tokio::spawn(async move {
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let event: Value = serde_json::from_str(&text).unwrap();
            // The intents of the bot cover neither reactions nor who types.
            let unwanted = |name: &str| name.contains("REACTION") || name.starts_with("TYPING");
            if let (Some(0), Some(name)) = (event["op"].as_u64(), event["t"].as_str())
                && !unwanted(name)
            {
                let data = listening.dress(name, event["d"].clone(), &session);
                listening.push(name, data);
            }
        }
    });
    let session = Session { id, events: Vec::new(), upstream: upstream.abort_handle() };
    inner.state.lock().unwrap().session = Some(session);
}

fn resume(inner: &Inner, bot: &mpsc::UnboundedSender<Out>, payload: &Value) {
    let mut state = inner.state.lock().unwrap();
    let last = payload["d"]["seq"].as_u64().unwrap_or_default() as usize;
    let known = state.session.as_ref().filter(|session| payload["d"]["session_id"] == session.id);
    let Some(session) = known else {
        bot.send(Out::Text(json!({ "op": 9, "d": false }))).ok();
        return;
    };
    for event in session.events.iter().skip(last) {
        bot.send(Out::Text(event.clone())).ok();
    }
    let s = session.events.len();
    bot.send(Out::Text(json!({ "op": 0, "t": "RESUMED", "s": s, "d": {} }))).ok();
    state.resumes += 1;
    state.bot = Some(bot.clone());
}
