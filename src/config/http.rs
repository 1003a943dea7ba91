//! The section `http` of the file.

use std::net::SocketAddr;

use serde::Deserialize;

use crate::failure::Failure;

/// The HTTP server for probes and monitoring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether other machines may reach it.
    pub public: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHttp {
    listen: SocketAddr,
    #[serde(default)]
    public: bool,
}

impl RawHttp {
    /// Nobody signs in there, so that it is not opened to other machines by a slip.
    pub(super) fn check(self) -> Result<Http, Failure> {
        let Self { listen, public } = self;
        if listen.ip().is_loopback() || public {
            return Ok(Http { listen, public });
        }
        Err(Failure::config(format!(
            "`http.listen` is `{listen}`, which other machines can reach, and nobody has to sign in"
        ))
        .hint("listen at `127.0.0.1:PORT`, or add `public: true` if that is what you want"))
    }
}
