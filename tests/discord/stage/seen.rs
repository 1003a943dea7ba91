//! What people see, as text for snapshots: without ids, times and places.

use std::fmt::Write as _;

use super::Message;

/// A channel or thread.
pub(crate) fn seen(messages: &[Message]) -> String {
    let mut text = String::new();
    for message in settled(messages) {
        let buttons: Vec<String> = message.buttons().iter().map(|b| format!("[{b}]")).collect();
        let files: Vec<String> =
            message.files.iter().map(|file| format!("<{}>", file.name)).collect();
        let author = message.value["author"]["username"].as_str().unwrap();
        let _ = writeln!(text, "── {author}\n{}", message.text());
        for more in [files, buttons].iter().filter(|more| !more.is_empty()) {
            let _ = writeln!(text, "{}", more.join(" "));
        }
    }
    plain(&text)
}

/// With an attempt's live output under its heading: output keeps its own pace and may come before
/// or after the word of how the attempt went.
fn settled(messages: &[Message]) -> Vec<&Message> {
    let mut order: Vec<&Message> = vec![];
    let mut heading = 0;
    for message in messages {
        if message.text().starts_with("```\n▸ attempt") {
            order.insert(heading, message);
        } else {
            order.push(message);
        }
        if message.text().contains("· branch `") {
            heading = order.len();
        }
    }
    order
}

/// Without ids, times and places.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("<t:") {
        let end = at + rest[at..].find('>').unwrap();
        out.push_str(&rest[..at]);
        out.push_str("<time>");
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    let words = out.split_inclusive([' ', '\n', '`', '>', '/', '.', ':']).map(|word| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let hex = bare.len() >= 7 && bare.bytes().all(|b| b.is_ascii_hexdigit());
        let span = bare.trim_end_matches("ms").trim_end_matches('s');
        if bare.len() > 15 && digits(bare) {
            word.replace(bare, "ID")
        } else if hex && bare.bytes().any(|b| b.is_ascii_digit()) {
            word.replace(bare, "COMMIT")
        } else if span != bare && digits(span) {
            word.replace(bare, "TIME")
        } else if bare.starts_with("tmp") && bare.len() == 9 {
            word.replace(bare, "DIR")
        } else {
            word.to_owned()
        }
    });
    words.collect()
}
