//! Takes secrets out of what programs write, before it is on a disk or before anybody's eyes.
//!
//! What is a secret is known by the name of the variable that holds it. Its value is found as it
//! is, in base64 at any offset, and percent-encoded, also where it comes in pieces.

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::agents::process::Environment;

/// A variable with one of these in its name holds a secret.
const NAMES: [&str; 7] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "AUTH"];

/// A shorter value is a word that may stand anywhere.
const CHARS_MIN: usize = 8;

/// Replaces the secrets of one environment.
#[derive(Debug, Default)]
pub(super) struct Redactor {
    known: Option<Known>,
    /// What may be the beginning of a secret.
    held: Vec<u8>,
}

#[derive(Debug)]
struct Known {
    search: AhoCorasick,
    patterns: Vec<Vec<u8>>,
    /// For each pattern, what stands in its place.
    replacements: Vec<String>,
    longest: usize,
}

impl Redactor {
    pub(super) fn new(environment: &Environment) -> Self {
        let secrets = environment.iter().filter(|(name, value)| {
            let said = environment.is_secret(name) && value.len() >= CHARS_MIN;
            said && !value.starts_with('/') || is_secret(name, value)
        });
        let (mut patterns, mut replacements) = (Vec::new(), Vec::new());
        for (name, value) in secrets {
            for form in forms(value) {
                patterns.push(form.into_bytes());
                replacements.push(format!("[redacted {name}]"));
            }
        }
        let longest = patterns.iter().map(Vec::len).max();
        let search = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&patterns);
        let known = search.ok().zip(longest);
        let known =
            known.map(|(search, longest)| Known { search, patterns, replacements, longest });
        Self { known, held: Vec::new() }
    }

    /// What can be shown of all that came so far.
    pub(super) fn pass(&mut self, output: &[u8]) -> Vec<u8> {
        let Some(known) = &self.known else { return output.to_vec() };
        self.held.extend_from_slice(output);
        let (shown, used) = known.replace(&self.held);
        let mut shown = shown;
        let rest = &self.held[used..];
        let kept = known.beginning_at_the_end_of(rest);
        shown.extend_from_slice(&rest[..rest.len() - kept]);
        self.held.drain(..self.held.len() - kept);
        shown
    }

    /// What was held back and turned out to be nothing.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// A whole text without its secrets.
    pub(super) fn text(&self, text: &str) -> String {
        let Some(known) = &self.known else { return text.to_owned() };
        let (mut shown, used) = known.replace(text.as_bytes());
        shown.extend_from_slice(&text.as_bytes()[used..]);
        String::from_utf8_lossy(&shown).into_owned()
    }
}

/// A text that came another way than through a shim, without the secrets of an environment.
pub(in crate::agents) fn without_secrets(environment: &Environment, text: &str) -> String {
    Redactor::new(environment).text(text)
}

impl Known {
    /// All up to the end of the last secret, and where that is.
    fn replace(&self, bytes: &[u8]) -> (Vec<u8>, usize) {
        let (mut shown, mut used) = (Vec::new(), 0);
        for found in self.search.find_iter(bytes) {
            shown.extend_from_slice(&bytes[used..found.start()]);
            shown.extend_from_slice(self.replacements[found.pattern().as_usize()].as_bytes());
            used = found.end();
        }
        (shown, used)
    }

    /// How many of the last bytes may be the beginning of a secret.
    fn beginning_at_the_end_of(&self, bytes: &[u8]) -> usize {
        let most = bytes.len().min(self.longest - 1);
        let begins = |length: &usize| {
            let end = &bytes[bytes.len() - length..];
            self.patterns.iter().any(|pattern| pattern.len() > *length && pattern.starts_with(end))
        };
        (1..=most).rev().find(begins).unwrap_or_default()
    }
}

fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    // A path is where something is, and no secret.
    value.len() >= CHARS_MIN && !value.starts_with('/') && NAMES.iter().any(|n| name.contains(n))
}

/// The ways in which a value is written.
fn forms(value: &str) -> Vec<String> {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    // Keys of several lines are seen inside of strings of JSON most often.
    let json = serde_json::Value::from(value).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let mut forms = vec![value.to_owned(), json, value.bytes().map(encode).collect()];
    for offset in 0..3 {
        // With so many bytes before it; what these and those after it have a part in is left out.
        let shifted = [&b"000"[..offset], value.as_bytes()].concat();
        let first = [0, 2, 3][offset];
        let last = shifted.len() / 3 * 4;
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            forms.push(engine.encode(&shifted)[first..last].to_owned());
        }
    }
    forms.sort();
    forms.dedup();
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "s3cr3t/canary+value";

    fn redactor() -> Redactor {
        let environment = Environment::default()
            .with("API_KEY", VALUE)
            .with("SSH_AUTH_SOCK", "/run/agent.sock")
            .with("TOKEN_KIND", "short")
            .with("GREETING", "hello world");
        Redactor::new(&environment)
    }

    fn passed(pieces: &[&[u8]]) -> String {
        let mut redactor = redactor();
        let mut shown: Vec<u8> = pieces.iter().flat_map(|piece| redactor.pass(piece)).collect();
        shown.extend(redactor.rest());
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn a_secret_is_found_in_every_form_and_at_every_offset() {
        let told = format!("key={VALUE}; again {VALUE}");
        assert_eq!(passed(&[told.as_bytes()]), "key=[redacted API_KEY]; again [redacted API_KEY]");
        assert_eq!(passed(&[b"?k=s3cr3t%2Fcanary%2Bvalue&"]), "?k=[redacted API_KEY]&");
        for before in ["", "u:", "user:", "x-user:"] {
            let encoded = STANDARD_NO_PAD.encode(format!("{before}{VALUE}!"));
            let shown = passed(&[encoded.as_bytes()]);
            assert!(shown.contains("[redacted API_KEY]"), "{before}: {shown}");
        }
    }

    #[test]
    fn a_secret_is_found_inside_of_a_string_of_json() {
        let key = "-----BEGIN \"KEY\"-----\nabc\n";
        let environment = Environment::default().with("DEPLOY_KEY", key);
        let line = serde_json::json!({ "text": format!("it is {key}") }).to_string();
        let shown = without_secrets(&environment, &line);
        assert_eq!(shown, r#"{"text":"it is [redacted DEPLOY_KEY]"}"#);
    }

    #[test]
    fn a_secret_in_pieces_is_one_and_what_only_begins_like_one_is_shown() {
        let told = format!("a {VALUE} b");
        for at in 0..=told.len() {
            let (one, two) = told.as_bytes().split_at(at);
            assert_eq!(passed(&[one, two]), "a [redacted API_KEY] b");
        }
        let single: Vec<&[u8]> = told.as_bytes().chunks(1).collect();
        assert_eq!(passed(&single), "a [redacted API_KEY] b");
        assert_eq!(passed(&[b"s3cr3t/can", b"teen"]), "s3cr3t/canteen");
        assert_eq!(passed(&[b"ends with s3cr"]), "ends with s3cr");
        assert_eq!(passed(&[b"hello world, short, /run/agent.sock"]).len(), 35);
    }

    #[test]
    fn nothing_is_held_back_that_begins_no_secret() {
        let mut redactor = redactor();
        assert_eq!(redactor.pass(b"a prompt> "), b"a prompt> ");
        assert_eq!(Redactor::default().pass(b"anything"), b"anything");
    }
}
