//! The file of credentials: what it may say, and that nobody else can read it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::config::raw::expand;
use crate::failure::Failure;
use crate::graph::TokenTier;
use crate::runner::{Credentials, SignIn};
use crate::secret::{Secret, read_private};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    token_tiers: BTreeMap<TokenTier, BTreeMap<String, String>>,
    #[serde(default)]
    anthropic: BTreeMap<String, Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Entry {
    ApiKey { key: Option<String>, key_file: Option<String> },
    Oauth { path: String },
}

/// Reads the file.
pub(super) fn load(file: &Path, home: Option<&Path>) -> Result<Credentials, Failure> {
    let text = read_private(file)?;
    let wrong = |what: String| Failure::config(format!("{}: {what}", file.display()));
    let raw: Raw = serde_yaml::from_str(&text)
        // What it says about a place may quote it, and what is there is secret.
        .map_err(|_| wrong("this is not understood; see config.example.yaml".to_owned()))?;
    let mut anthropic = BTreeMap::new();
    for (name, entry) in raw.anthropic {
        let way = match entry {
            Entry::ApiKey { key: Some(key), key_file: None } => SignIn::ApiKey(Secret(key)),
            Entry::ApiKey { key: None, key_file: Some(path) } => {
                let key = read_private(&expand(&path, home)?)?;
                SignIn::ApiKey(Secret(key.trim().to_owned()))
            }
            Entry::ApiKey { .. } => {
                return Err(wrong(format!("`anthropic.{name}` needs either `key` or `key_file`")));
            }
            Entry::Oauth { path } => {
                let path = expand(&path, home)?;
                // Either the directory, or the file in it that holds the login.
                let dir = if path.is_dir() { Some(path.as_path()) } else { path.parent() };
                SignIn::Directory(dir.unwrap_or(&path).to_owned())
            }
        };
        anthropic.insert(name, way);
    }
    let tiers = raw.token_tiers.into_iter().map(|(tier, variables)| {
        let secret = |(name, value): (String, String)| (name, Secret(value));
        (tier.word(), variables.into_iter().map(secret).collect())
    });
    Ok(Credentials { file: file.to_owned(), tiers: tiers.collect(), anthropic })
}
