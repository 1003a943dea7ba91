//! Who the engine is on GitHub: a user by a token, or an app by a key. Tokens of an app live for an
//! hour and are renewed before that, or when GitHub does not take one any more.

use std::sync::Arc;
use std::time::Duration;

use octocrab::Octocrab;
use octocrab::models::AppId;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::forge::Error;
use crate::secret::Secret;
use crate::time::{Clock, Timestamp};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// How long GitHub may say nothing. It gives up on a request itself after ten seconds.
const SILENCE: Duration = Duration::from_secs(30);

/// A token that lives no longer than this is renewed before it is used: a push takes a while.
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 60);

/// Who the engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Whoever a token belongs to.
    Token(Secret),
    /// An app that was installed.
    App {
        /// The app's number.
        app: u64,
        /// The number of its installation.
        installation: u64,
        /// Its private key, as PEM.
        key: Secret,
    },
}

/// What a request is made with. Cheap to clone.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) client: Octocrab,
    pub(super) token: Arc<str>,
    until: Option<Timestamp>,
}

/// Signs in, and again when it must.
pub(super) struct Auth {
    identity: Identity,
    api: String,
    clock: Arc<dyn Clock>,
    current: Mutex<Option<Session>>,
}

#[derive(Deserialize)]
struct Installed {
    token: String,
    expires_at: String,
}

impl Auth {
    pub(super) fn new(identity: Identity, api: &str, clock: Arc<dyn Clock>) -> Self {
        Self { identity, api: api.to_owned(), clock, current: Mutex::default() }
    }

    /// What to make the next request with. Not with `stale`, which GitHub did not take.
    pub(super) async fn session(&self, stale: Option<&str>) -> Result<Session, Error> {
        let mut current = self.current.lock().await;
        let now = self.clock.now();
        let fresh = |session: &&Session| {
            session.until.is_none_or(|until| until.since(now) > RENEW_BEFORE)
                && stale.is_none_or(|stale| *session.token != *stale)
        };
        if let Some(session) = current.as_ref().filter(fresh) {
            return Ok(session.clone());
        }
        let session = match &self.identity {
            Identity::Token(token) => self.of_token(&token.0, None)?,
            Identity::App { app, installation, key } => {
                self.of_app(*app, *installation, key).await?
            }
        };
        *current = Some(session.clone());
        Ok(session)
    }

    /// Whether another token can be had.
    pub(super) fn renews(&self) -> bool {
        matches!(self.identity, Identity::App { .. })
    }

    fn of_token(&self, token: &str, until: Option<Timestamp>) -> Result<Session, Error> {
        let client = Octocrab::builder()
            .base_uri(&*self.api)
            .and_then(|builder| {
                builder
                    .personal_token(token.to_owned())
                    .set_connect_timeout(Some(CONNECT))
                    .set_read_timeout(Some(SILENCE))
                    .set_write_timeout(Some(SILENCE))
                    .build()
            })
            .map_err(|error| self.cannot("be spoken to", &error.to_string()))?;
        Ok(Session { client, token: token.into(), until })
    }

    async fn of_app(&self, app: u64, installation: u64, key: &Secret) -> Result<Session, Error> {
        let what = "sign the app in";
        let denied = |why: String| Error::Denied {
            forge: "GitHub".to_owned(),
            what: what.to_owned(),
            why: format!("{why}; look at `github.app` in the configuration"),
        };
        let client = Octocrab::builder()
            .base_uri(&*self.api)
            .and_then(|builder| builder.app_from_rsa_pem(AppId(app), key.0.as_bytes()))
            .and_then(|builder| {
                builder
                    .set_connect_timeout(Some(CONNECT))
                    .set_read_timeout(Some(SILENCE))
                    .set_write_timeout(Some(SILENCE))
                    .build()
            })
            .map_err(|_| denied("its key is not an RSA key in PEM".to_owned()))?;
        let path = format!("/app/installations/{installation}/access_tokens");
        let body = serde_json::json!({});
        let answer = client._post(path, Some(&body)).await;
        let answer = answer.map_err(|error| self.cannot(what, &error.to_string()))?;
        let status = answer.status().as_u16();
        let text = client.body_to_string(answer).await;
        let text = text.map_err(|error| self.cannot(what, &error.to_string()))?;
        if !(200..300).contains(&status) {
            return Err(if status >= 500 {
                self.cannot(what, &format!("status {status}"))
            } else {
                denied(format!("status {status}"))
            });
        }
        let Ok(Installed { token, expires_at }) = serde_json::from_str(&text) else {
            return Err(self.cannot(what, "its answer holds no token"));
        };
        self.of_token(&token, Timestamp::parse_rfc3339(&expires_at))
    }

    fn cannot(&self, what: &str, why: &str) -> Error {
        // What octocrab says of an error may run over pages with a trace at its end.
        let why = why.lines().next().unwrap_or_default().to_owned();
        Error::Outside { forge: "GitHub".to_owned(), what: what.to_owned(), why }
    }
}
