//! Judges every request by two oracles that know nothing of each other: Discord's own description
//! of its interface, and the limits that another library checks.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;

use jsonschema::Validator;
use serde_json::{Value, json};
use twilight_model::application::command::Command;
use twilight_model::channel::message::Component;

use super::proxy::Asked;

/// Where Discord's description lies beside the project.
const DOCUMENT: &str = "../shared/contracts/discord-openapi.json";

pub(crate) struct Judge {
    document: Option<Value>,
    validators: Mutex<HashMap<String, Option<Validator>>>,
}

impl Judge {
    /// Without the document, which is said, one oracle is left.
    pub(crate) fn new() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
        let document = std::fs::read_to_string(&path).ok();
        let document = document.map(|text| serde_json::from_str(&text).unwrap());
        if document.is_none() {
            eprintln!("SKIPPED: requests are not judged by Discord's own document; it is not here");
        }
        Self { document, validators: Mutex::default() }
    }

    /// Whether both oracles are there.
    pub(crate) fn is_whole(&self) -> bool {
        self.document.is_some()
    }

    /// What is wrong with a request, as both see it.
    pub(crate) fn verdict(&self, asked: &Asked) -> Vec<String> {
        let mut wrong = self.by_document(asked);
        wrong.extend(by_limits(asked));
        wrong
    }

    fn by_document(&self, asked: &Asked) -> Vec<String> {
        let Some(document) = &self.document else { return Vec::new() };
        let Some((template, operation)) = operation(document, asked) else {
            return vec![format!("there is no {} {}", asked.method, asked.path)];
        };
        let name = format!("{} {template}", asked.method);
        let mut validators = self.validators.lock().unwrap();
        let validator = validators.entry(name.clone()).or_insert_with(|| {
            let content = &operation["requestBody"]["content"];
            let schema =
                content.get("application/json").map(|content| content["schema"].clone())?;
            let whole = json!({ "allOf": [schema], "components": document["components"] });
            Some(jsonschema::validator_for(&whole).unwrap())
        });
        let Some(validator) = validator else { return Vec::new() };
        if asked.body.is_null() {
            return Vec::new();
        }
        let body = without_noise(&asked.body);
        let errors = validator.iter_errors(&body);
        errors
            .map(|error| {
                format!("{name}: {} at {}", cut(&error.to_string()), error.instance_path())
            })
            .collect()
    }
}

fn cut(text: &str) -> String {
    text.chars().take(300).collect()
}

fn operation<'a>(document: &'a Value, asked: &Asked) -> Option<(&'a str, &'a Value)> {
    let parts: Vec<&str> = asked.path.split('/').collect();
    let paths = document["paths"].as_object()?.iter();
    let fits = paths.filter(|(template, operations)| {
        let known: Vec<&str> = template.split('/').collect();
        known.len() == parts.len()
            && operations.get(asked.method.to_lowercase()).is_some()
            && known.iter().zip(&parts).all(|(known, part)| known.starts_with('{') || known == part)
    });
    let best = fits.min_by_key(|(template, _)| template.matches('{').count());
    best.map(|(template, operations)| {
        (template.as_str(), &operations[asked.method.to_lowercase().as_str()])
    })
}

/// What the document says otherwise than Discord does: files are numbered, and commands may say
/// that they are for adults.
fn without_noise(body: &Value) -> Value {
    let mut body = body.clone();
    let data = if body.get("data").is_some() { &mut body["data"] } else { &mut body };
    for file in data.get_mut("attachments").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(id) = file["id"].as_u64() {
            file["id"] = json!(id.to_string());
        }
    }
    for command in body.as_array_mut().into_iter().flatten() {
        if let Some(command) = command.as_object_mut() {
            command.remove("nsfw");
        }
    }
    body
}

fn by_limits(asked: &Asked) -> Vec<String> {
    let mut wrong = Vec::new();
    if asked.path.ends_with("/commands") {
        commands(&asked.body, &mut wrong);
    }
    let data = asked.body.get("data").unwrap_or(&asked.body);
    let is_message = asked.path.contains("/messages") || asked.path.starts_with("/webhooks");
    let modal = asked.body["type"] == 9;
    if is_message || asked.path.ends_with("/callback") {
        message(data, modal, &mut wrong);
    }
    if is_message && asked.method == "POST" && !asked.path.ends_with("/threads") {
        let empty = data["content"].as_str().is_none_or(str::is_empty);
        if empty && asked.files.is_empty() && data.get("embeds").is_none() {
            wrong.push("the message is empty".to_owned());
        }
    }
    let declared = data["attachments"].as_array().map_or(0, Vec::len);
    if asked.files.len() != declared {
        wrong.push(format!("{} files and {declared} attachments", asked.files.len()));
    }
    wrong.extend(
        asked
            .files
            .iter()
            .filter(|file| file.bytes.len() > 10 << 20)
            .map(|file| format!("the file {} is larger than 10 MiB", file.name)),
    );
    wrong
}

fn commands(body: &Value, wrong: &mut Vec<String>) {
    for command in body.as_array().into_iter().flatten() {
        let mut command = command.clone();
        // What Discord fills in.
        command["version"] = json!("1");
        for (name, value) in [("type", json!(1)), ("description", json!(""))] {
            if command.get(name).is_none() {
                command[name] = value;
            }
        }
        match serde_json::from_value::<Command>(command.clone()) {
            Ok(command) => {
                let checked = twilight_validate::command::command(&command);
                wrong.extend(checked.err().map(|error| format!("{}: {error}", command.name)));
                let length = twilight_validate::command::command_characters(&command);
                if length > 8_000 {
                    wrong.push(format!("{} has {length} characters", command.name));
                }
            }
            Err(error) => wrong.push(format!("{}: {error}", command["name"])),
        }
    }
}

fn message(data: &Value, modal: bool, wrong: &mut Vec<String>) {
    if let Some(content) = data["content"].as_str() {
        let checked = twilight_validate::message::content(content);
        wrong.extend(checked.err().map(|error| error.to_string()));
    }
    for file in data["attachments"].as_array().into_iter().flatten() {
        let name = file["filename"].as_str().unwrap_or_default();
        let checked = twilight_validate::message::attachment_filename(name);
        wrong.extend(checked.err().map(|error| error.to_string()));
    }
    let Some(rows) = data["components"].as_array() else { return };
    if rows.len() > 5 {
        wrong.push(format!("{} rows of components", rows.len()));
    }
    let mut ids = std::collections::BTreeSet::new();
    for row in rows {
        match serde_json::from_value::<Component>(row.clone()) {
            Ok(component) => {
                let checked = twilight_validate::component::component_v1(&component);
                wrong.extend(checked.err().map(|error| error.to_string()));
            }
            Err(error) => wrong.push(error.to_string()),
        }
        for part in row["components"].as_array().into_iter().flatten() {
            let id = part["custom_id"].as_str().unwrap_or_default().to_owned();
            if !ids.insert(id.clone()) {
                wrong.push(format!("two components are called {id}"));
            }
        }
    }
    let title = data["title"].as_str().unwrap_or_default().chars().count();
    if modal && !(1..=45).contains(&title) {
        wrong.push(format!("the title of a form has {title} characters"));
    }
}

#[test]
fn bad_requests_are_rejected_and_good_ones_pass() {
    let judge = Judge::new();
    let ask = |method: &str, path: &str, body: Value| Asked {
        method: method.to_owned(),
        path: path.to_owned(),
        query: String::new(),
        body,
        files: Vec::new(),
    };
    let post = |body| ask("POST", "/channels/1/messages", body);
    let callback = |body| ask("POST", "/interactions/1/t/callback", body);
    let button = |id: &str| json!({ "type": 2, "style": 1, "label": "x", "custom_id": id });
    let row = |parts: Vec<Value>| json!({ "type": 1, "components": parts });
    let put = |body| ask("PUT", "/applications/1/guilds/2/commands", body);
    let input = json!({ "type": 4, "custom_id": "t", "style": 2, "label": "x" });
    let good = [
        post(json!({ "content": "hello", "components": [row(vec![button("a"), button("b")])] })),
        ask("PATCH", "/channels/1/messages/2", json!({ "content": "x", "components": [] })),
        ask(
            "POST",
            "/channels/1/messages/2/threads",
            json!({ "name": "t", "auto_archive_duration": 10_080 }),
        ),
        callback(json!({ "type": 5, "data": { "flags": 64 } })),
        callback(
            json!({ "type": 9, "data": { "custom_id": "f", "title": "x", "components": [row(vec![input.clone()])] } }),
        ),
        put(json!([{ "name": "run", "description": "x", "type": 1, "nsfw": false }])),
    ];
    for asked in &good {
        assert_eq!(judge.verdict(asked), Vec::<String>::new(), "{asked:?}");
    }
    let mut bad = vec![
        post(json!({ "content": "x".repeat(2_001) })),
        post(json!({ "content": "" })),
        post(json!({ "content": "x", "components": [row(vec![button(&"a".repeat(101))])] })),
        post(
            json!({ "content": "x", "components": [row((0..6).map(|n| button(&n.to_string())).collect())] }),
        ),
        post(
            json!({ "content": "x", "components": (0..6).map(|n| row(vec![button(&n.to_string())])).collect::<Vec<_>>() }),
        ),
        post(json!({ "content": "x", "components": [row(vec![button("a"), button("a")])] })),
        post(
            json!({ "content": "x", "components": [row(vec![json!({ "type": 2, "style": 1, "label": "x" })])] }),
        ),
        post(json!({ "content": "x", "attachments": [{ "id": 0, "filename": "f" }] })),
        callback(
            json!({ "type": 9, "data": { "custom_id": "f", "title": "x".repeat(46), "components": [row(vec![input])] } }),
        ),
        put(json!([{ "name": "Run It", "description": "x", "type": 1 }])),
        put(json!([{ "name": "run", "description": "", "type": 1 }])),
    ];
    if judge.is_whole() {
        bad.push(ask("POST", "/channels/1/messages/2/threads", json!({ "name": "x".repeat(101) })));
        bad.push(ask("POST", "/channels/1/post", json!({})));
    }
    for asked in &bad {
        assert_ne!(judge.verdict(asked), Vec::<String>::new(), "{asked:?}");
    }
}
