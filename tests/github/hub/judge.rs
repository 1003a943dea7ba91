//! Judges requests and answers by GitHub's own description of its interface.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

const DOCUMENT: &str = "tests/github/node_modules/@octokit/openapi/generated/api.github.com.json";

/// A request with its answer.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
    pub(crate) status: u16,
    pub(crate) answer: Value,
    /// Milliseconds since the stand-in began.
    pub(crate) at_ms: u64,
}

pub(crate) struct Document(Value);

impl Document {
    /// Without it, which is said, nothing is judged.
    pub(crate) fn load() -> Option<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
        let Ok(text) = std::fs::read_to_string(&path) else {
            eprintln!(
                "SKIPPED: requests are not judged by GitHub's own document; \
                 `npm ci --prefix tests/github` installs it"
            );
            return None;
        };
        let mut document: Value = serde_json::from_str(&text).unwrap();
        nullable(&mut document["components"]["schemas"]);
        Some(Self(document))
    }

    /// An example of a thing, to be filled with what is known.
    pub(crate) fn example(&self, name: &str) -> Value {
        let mut example = self.0["components"]["examples"][name]["value"].clone();
        mended(&mut example);
        example
    }

    /// What is wrong with what was asked and answered.
    pub(crate) fn verdict(&self, exchanges: &[Exchange]) -> Vec<String> {
        let mut validators: HashMap<String, Option<Validator>> = HashMap::new();
        let mut seen = BTreeSet::new();
        let mut wrong = Vec::new();
        for exchange in exchanges {
            let Some((template, operation)) = self.operation(exchange) else {
                wrong.push(format!("there is no {} {}", exchange.method, exchange.path));
                continue;
            };
            let name = format!("{} {template}", exchange.method);
            wrong.extend(self.query(&name, operation, &exchange.query));
            if !exchange.body.is_null() {
                let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
                let key = format!("{name} <-");
                if seen.insert((key.clone(), shape(&exchange.body))) {
                    wrong.extend(self.check(&mut validators, key, schema, &exchange.body));
                }
            }
            // What limits and broken servers say is in no operation.
            let whatever =
                exchange.status >= 500 || matches!(exchange.status, 304 | 401 | 403 | 429);
            let answer = self.resolved(&operation["responses"][exchange.status.to_string()]);
            if answer.is_null() {
                if !whatever && exchange.status != 404 {
                    wrong.push(format!("{name} is not answered by {}", exchange.status));
                }
                continue;
            }
            let schema = &answer["content"]["application/json"]["schema"];
            let key = format!("{name} {} ->", exchange.status);
            if !schema.is_null() && seen.insert((key.clone(), shape(&exchange.answer))) {
                wrong.extend(self.check(&mut validators, key, schema, &exchange.answer));
            }
        }
        wrong.sort();
        wrong.dedup();
        wrong
    }

    fn operation(&self, exchange: &Exchange) -> Option<(&str, &Value)> {
        let parts: Vec<&str> = exchange.path.trim_matches('/').split('/').collect();
        let method = exchange.method.to_lowercase();
        let paths = self.0["paths"].as_object()?.iter();
        let fits = paths.filter(|(template, operations)| {
            let known: Vec<&str> = template.trim_matches('/').split('/').collect();
            operations.get(&method).is_some()
                && known.len() == parts.len()
                && known.iter().zip(&parts).all(|(k, part)| k.starts_with('{') || k == part)
        });
        let best = fits.min_by_key(|(template, _)| template.matches('{').count());
        best.map(|(template, operations)| (template.as_str(), &operations[&method]))
    }

    fn resolved(&self, value: &Value) -> Value {
        let Some(reference) = value["$ref"].as_str() else { return value.clone() };
        self.0.pointer(reference.trim_start_matches('#')).cloned().unwrap_or(Value::Null)
    }

    fn query(&self, name: &str, operation: &Value, query: &str) -> Vec<String> {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let known: BTreeSet<String> = parameters
            .map(|parameter| self.resolved(parameter)["name"].as_str().unwrap().to_owned())
            .collect();
        let asked = query.split('&').filter(|part| !part.is_empty());
        asked
            .filter_map(|part| part.split('=').next())
            .filter(|part| !known.contains(*part))
            .map(|part| format!("{name} has no parameter {part}"))
            .collect()
    }

    fn check(
        &self,
        validators: &mut HashMap<String, Option<Validator>>,
        key: String,
        schema: &Value,
        value: &Value,
    ) -> Vec<String> {
        let validator = validators.entry(key.clone()).or_insert_with(|| {
            let mut schema = schema.clone();
            nullable(&mut schema);
            let schemas = self.needed(&schema);
            let whole = json!({ "allOf": [schema], "components": { "schemas": schemas } });
            Some(jsonschema::validator_for(&whole).unwrap())
        });
        let Some(validator) = validator else { return vec![format!("{key}: no schema")] };
        let said = |error: jsonschema::ValidationError<'_>| {
            let text: String = error.to_string().chars().take(200).collect();
            format!("{key}: {text} at {}", error.instance_path())
        };
        validator.iter_errors(value).map(said).collect()
    }

    /// The schemas that one refers to, and those that they refer to.
    fn needed(&self, schema: &Value) -> Value {
        let mut open = vec![schema.clone()];
        let mut found = Map::new();
        while let Some(next) = open.pop() {
            let text = next.to_string();
            for rest in text.split("\"#/components/schemas/").skip(1) {
                let name = rest.split('"').next().unwrap();
                if !found.contains_key(name) {
                    let schema = self.0["components"]["schemas"][name].clone();
                    found.insert(name.to_owned(), schema.clone());
                    open.push(schema);
                }
            }
        }
        Value::Object(found)
    }
}

/// Some of GitHub's own examples are not what its schemas say.
fn mended(example: &mut Value) {
    match example {
        Value::Array(entries) => entries.iter_mut().for_each(mended),
        Value::Object(fields) => {
            fields.values_mut().for_each(mended);
            if fields.contains_key("requested_teams") {
                fields.insert("requested_teams".to_owned(), json!([]));
            }
            if fields.contains_key("full_name") {
                fields.entry("language").or_insert(Value::Null);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What a value is made of: of many alike one is judged.
fn shape(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name}:{}", shape(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(entries) => {
            let entries: BTreeSet<String> = entries.iter().map(shape).collect();
            format!("[{}]", entries.into_iter().collect::<Vec<_>>().join(","))
        }
        Value::Null => "0".to_owned(),
        Value::Bool(_) => "b".to_owned(),
        Value::Number(_) => "n".to_owned(),
        Value::String(_) => "s".to_owned(),
    }
}

/// OpenAPI 3.0 says `nullable` where JSON Schema names the type `null`.
fn nullable(schema: &mut Value) {
    match schema {
        Value::Array(entries) => entries.iter_mut().for_each(nullable),
        Value::Object(fields) => {
            fields.values_mut().for_each(nullable);
            if fields.get("nullable") != Some(&Value::Bool(true)) {
                return;
            }
            fields.remove("nullable");
            if let Some(values) = fields.get_mut("enum").and_then(Value::as_array_mut) {
                values.push(Value::Null);
            }
            match fields.get("type").cloned() {
                Some(kind @ Value::String(_)) => {
                    fields.insert("type".to_owned(), json!([kind, "null"]));
                }
                _ => {
                    let rest = Value::Object(std::mem::take(fields));
                    fields.insert("anyOf".to_owned(), json!([rest, { "type": "null" }]));
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
