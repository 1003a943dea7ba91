//! Fetches pages from hosts that are allowed, and from nowhere else, wherever they point to.

use std::time::Duration;

use reqwest::Url;
use reqwest::redirect::Policy;

/// How often an answer may point elsewhere.
const REDIRECTS_MAX: usize = 3;

/// How much of a page is read; the rest is left.
const BODY_BYTES_MAX: usize = 50 * 1024;

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Of HTTP.
    pub status: u16,
    /// The beginning of it.
    pub body: String,
}

/// Fetches pages.
#[derive(Debug, Clone)]
pub struct Web {
    client: reqwest::Client,
    hosts: Vec<String>,
}

impl Web {
    /// From these hosts, each with its port where it is not the usual one.
    pub fn new(hosts: Vec<String>) -> Result<Self, String> {
        let allowed = hosts.clone();
        let policy = Policy::custom(move |attempt| {
            if attempt.previous().len() > REDIRECTS_MAX {
                return attempt.error("it points elsewhere again and again");
            }
            match refusal(attempt.url(), &allowed) {
                Some(why) => attempt.error(why),
                None => attempt.follow(),
            }
        });
        let builder = reqwest::Client::builder().redirect(policy).user_agent("taskloom");
        let client = builder.build().map_err(|why| told(&why))?;
        Ok(Self { client, hosts })
    }

    /// Gets a page.
    pub async fn get(&self, url: &str, timeout: Duration) -> Result<Page, String> {
        let url = Url::parse(url).map_err(|why| format!("`{url}` is no address: {why}"))?;
        if let Some(why) = refusal(&url, &self.hosts) {
            return Err(why);
        }
        let answer = self.client.get(url).timeout(timeout).send().await;
        let mut answer = answer.map_err(|why| told(&why))?;
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|why| told(&why))? {
            body.extend_from_slice(&chunk);
            if body.len() >= BODY_BYTES_MAX {
                body.truncate(BODY_BYTES_MAX);
                break;
            }
        }
        Ok(Page { status, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// Whether anybody answers at an address, whatever the answer is; it is shown nothing secret.
pub async fn answers(url: &str, timeout: Duration) -> Result<(), String> {
    let client = reqwest::Client::builder().redirect(Policy::none()).build();
    let asked = client.map_err(|why| told(&why))?.get(url).timeout(timeout).send().await;
    asked.map(|_| ()).map_err(|why| told(&why))
}

/// Why an address is not asked.
fn refusal(url: &Url, hosts: &[String]) -> Option<String> {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    let here = matches!(host.as_str(), "127.0.0.1" | "localhost");
    if url.scheme() != "https" && !(url.scheme() == "http" && here) {
        return Some(format!("`{}` is not asked: only `https://` is", url.scheme()));
    }
    let full = url.port().map_or(host.clone(), |port| format!("{host}:{port}"));
    (!hosts.contains(&full)).then(|| format!("`{full}` is not among `hook_hosts`"))
}

/// What went wrong, with its causes: the library's own word is seldom the whole.
fn told(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
