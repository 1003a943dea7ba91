//! How each provider writes conversations and answers.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::{Step, Turn};

/// Whose interface it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// `/v1/messages`.
    Anthropic,
    /// `/v1/responses`.
    Responses,
    /// `/v1/chat/completions`.
    Chat,
    /// `:streamGenerateContent` and `:generateContent`.
    Gemini { stream: bool },
}

fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The texts of a content, which is a text itself or a list of parts.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            list(content).iter().filter_map(|part| part["text"].as_str()).collect()
        }
    }
}

/// Server-sent events.
#[derive(Default)]
struct Events(String);

impl Events {
    fn named(&mut self, data: &Value) {
        let name = data["type"].as_str().unwrap();
        write!(self.0, "event: {name}\ndata: {data}\n\n").unwrap();
    }

    fn data(&mut self, data: impl std::fmt::Display) {
        write!(self.0, "data: {data}\n\n").unwrap();
    }
}

impl Wire {
    pub(super) fn of(path: &str) -> Option<Self> {
        let ends = |end: &str| path.ends_with(end);
        Some(match path {
            _ if ends("/messages") => Self::Anthropic,
            _ if ends("/responses") => Self::Responses,
            _ if ends("/chat/completions") => Self::Chat,
            _ if ends(":streamGenerateContent") => Self::Gemini { stream: true },
            _ if ends(":generateContent") => Self::Gemini { stream: false },
            _ => return None,
        })
    }

    pub(super) fn offers_tools(self, body: &Value) -> bool {
        !list(&body["tools"]).is_empty()
    }

    pub(super) fn content_type(self, body: &Value) -> &'static str {
        match self {
            Self::Gemini { stream: true } => "text/event-stream",
            Self::Gemini { stream: false } => "application/json",
            Self::Anthropic | Self::Responses | Self::Chat if body["stream"] == true => {
                "text/event-stream"
            }
            Self::Anthropic | Self::Responses | Self::Chat => "application/json",
        }
    }

    /// Who said what.
    pub(super) fn turns(self, body: &Value) -> Vec<Turn> {
        let (all, content) = match self {
            Self::Anthropic | Self::Chat => (&body["messages"], "content"),
            Self::Responses => (&body["input"], "content"),
            Self::Gemini { .. } => (&body["contents"], "parts"),
        };
        let turn = |message: &Value| {
            let kind = message["type"].as_str().unwrap_or_default();
            match message["role"].as_str() {
                Some("assistant" | "model") => Turn::Model,
                Some(_) => Turn::Person(text(&message[content])),
                None if kind.ends_with("_output") => Turn::Person(String::new()),
                None => Turn::Model,
            }
        };
        list(all).iter().map(turn).collect()
    }

    /// An answer.
    pub(super) fn say(self, step: &Step, body: &Value) -> String {
        match self {
            Self::Anthropic => anthropic(step, body),
            Self::Responses => responses(step, body),
            Self::Chat => chat(step, body),
            Self::Gemini { stream } => gemini(step, stream),
        }
    }
}

fn anthropic(step: &Step, body: &Value) -> String {
    let mut blocks = Vec::new();
    if !step.text.is_empty() {
        blocks.push(json!({ "type": "text", "text": step.text }));
    }
    for (name, input) in &step.tools {
        let id = format!("toolu_{:016}", number());
        blocks.push(json!({ "type": "tool_use", "id": id, "name": name, "input": input }));
    }
    let stop = step.stop.unwrap_or(if step.tools.is_empty() { "end_turn" } else { "tool_use" });
    let mut message = json!({
        "id": format!("msg_{:016}", number()), "type": "message", "role": "assistant",
        "model": body["model"], "content": blocks, "stop_reason": stop, "stop_sequence": null,
        "usage": { "input_tokens": 1000, "output_tokens": 50,
                   "cache_read_input_tokens": 200, "cache_creation_input_tokens": 0 },
    });
    if body["stream"] != true {
        return message.to_string();
    }
    (message["content"], message["stop_reason"]) = (json!([]), Value::Null);
    let mut events = Events::default();
    events.named(&json!({ "type": "message_start", "message": message }));
    for (at, block) in blocks.iter().enumerate() {
        let mut opening = block.clone();
        let delta = if block["type"] == "text" {
            opening["text"] = json!("");
            json!({ "type": "text_delta", "text": block["text"] })
        } else {
            opening["input"] = json!({});
            json!({ "type": "input_json_delta", "partial_json": block["input"].to_string() })
        };
        let start = json!({ "type": "content_block_start", "index": at, "content_block": opening });
        events.named(&start);
        events.named(&json!({ "type": "content_block_delta", "index": at, "delta": delta }));
        if !step.cut {
            events.named(&json!({ "type": "content_block_stop", "index": at }));
        }
    }
    if !step.cut {
        let delta = json!({ "stop_reason": stop, "stop_sequence": null });
        let usage = json!({ "output_tokens": 50 });
        events.named(&json!({ "type": "message_delta", "delta": delta, "usage": usage }));
        events.named(&json!({ "type": "message_stop" }));
    }
    events.0
}

fn responses(step: &Step, body: &Value) -> String {
    let mut items = Vec::new();
    if !step.text.is_empty() {
        let content = json!([{ "type": "output_text", "text": step.text, "annotations": [] }]);
        items.push(json!({ "type": "message", "id": format!("msg_{}", number()),
            "role": "assistant", "status": "completed", "content": content }));
    }
    for (name, input) in &step.tools {
        let id = format!("call_{}", number());
        // `server/tool` is a tool of an MCP server.
        let (space, name) =
            name.split_once('/').map_or((None, name.as_str()), |(space, name)| (Some(space), name));
        let mut call = json!({ "type": "function_call", "id": format!("fc_{id}"), "call_id": id,
            "name": name, "arguments": input.to_string(), "status": "completed" });
        if let Some(space) = space {
            call["namespace"] = json!(space);
        }
        items.push(call);
    }
    let usage = json!({ "input_tokens": 1000, "input_tokens_details": { "cached_tokens": 200 },
        "output_tokens": 50, "output_tokens_details": { "reasoning_tokens": 10 },
        "total_tokens": 1050 });
    let mut whole = json!({ "id": format!("resp_{}", number()), "object": "response",
        "created_at": 0, "model": body["model"], "status": "in_progress", "output": [] });
    let mut events = Events::default();
    events.named(&json!({ "type": "response.created", "response": whole }));
    for (at, item) in items.iter().enumerate() {
        for kind in ["added", "done"] {
            let kind = format!("response.output_item.{kind}");
            events.named(&json!({ "type": kind, "output_index": at, "item": item }));
            if item["type"] == "message" && kind.ends_with("added") {
                events.named(&json!({ "type": "response.output_text.delta",
                    "item_id": item["id"], "output_index": at, "content_index": 0,
                    "delta": step.text }));
            }
        }
    }
    if !step.cut {
        (whole["status"], whole["output"]) = (json!("completed"), json!(items));
        whole["usage"] = usage;
        events.named(&json!({ "type": "response.completed", "response": whole }));
    }
    events.0
}

fn chat(step: &Step, body: &Value) -> String {
    let call = |(at, (name, input)): (usize, &(String, Value))| {
        let function = json!({ "name": name, "arguments": input.to_string() });
        json!({ "index": at, "id": format!("call_{}", number()), "type": "function",
                "function": function })
    };
    let calls: Vec<Value> = step.tools.iter().enumerate().map(call).collect();
    let reason = if calls.is_empty() { "stop" } else { "tool_calls" };
    let usage = json!({ "prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050 });
    let base = |object: &str, choices: Value| {
        json!({ "id": "chatcmpl-1", "created": 0, "model": body["model"], "object": object,
                "choices": choices, "usage": usage })
    };
    let mut message = json!({ "role": "assistant", "content": step.text });
    if !calls.is_empty() {
        message["tool_calls"] = json!(calls);
    }
    if body["stream"] != true {
        let choice = json!([{ "index": 0, "message": message, "finish_reason": reason }]);
        return base("chat.completion", choice).to_string();
    }
    let mut events = Events::default();
    for (delta, reason) in [(message, Value::Null), (json!({}), json!(reason))] {
        let choice = json!([{ "index": 0, "delta": delta, "finish_reason": reason }]);
        events.data(base("chat.completion.chunk", choice));
    }
    events.data("[DONE]");
    events.0
}

fn gemini(step: &Step, stream: bool) -> String {
    let mut parts = Vec::new();
    if !step.text.is_empty() {
        parts.push(json!({ "text": step.text }));
    }
    for (name, input) in &step.tools {
        parts.push(json!({ "functionCall": { "name": name, "args": input } }));
    }
    let content = json!({ "role": "model", "parts": parts });
    let answer = json!({
        "candidates": [{ "content": content, "finishReason": "STOP", "index": 0 }],
        "usageMetadata": { "promptTokenCount": 1000, "candidatesTokenCount": 50,
                           "totalTokenCount": 1050 },
    });
    if !stream {
        return answer.to_string();
    }
    let mut events = Events::default();
    events.data(answer);
    events.0
}
