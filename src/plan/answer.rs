//! What an agent answers that is asked for the steps of a plan: the schema, and the way from an
//! answer to steps. An answer is believed no more than a plan is.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::plan::{PLAN_BYTES_MAX, Step, clean, fitted, markdown, short};

/// The longest answer that is looked at: JSON may write a character with six, and few are.
pub const ANSWER_BYTES_MAX: usize = 4 * PLAN_BYTES_MAX;

/// How much is said of what is wrong with an answer: the words may be the agent's.
const WRONG_CHARS_MAX: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    steps: Vec<Asked>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    title: String,
    text: String,
    #[serde(default)]
    after: Option<Vec<u32>>,
}

/// Why there are no steps in an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is too long, or what it says is longer than a plan may be.
    #[error("its answer is too long")]
    TooLong,
    /// It is not what was asked for.
    #[error("its answer does not fit the schema: {0}")]
    Schema(String),
    /// There is nothing in it.
    #[error("it found no step in the plan")]
    Empty,
    /// A step says nothing.
    #[error("step {0} of its answer has no text")]
    Blank(usize),
    /// A step waits for itself, or for one that comes later.
    #[error("step {0} of its answer waits for one that does not come before it")]
    Order(usize),
}

/// What an answer has to look like. No bounds are in it: not every vendor takes them, and they are
/// checked here.
pub fn schema() -> Value {
    let text = |what: &str| json!({ "type": "string", "description": what });
    let after = json!({
        "type": "array",
        "items": { "type": "integer" },
        "description": "places of the earlier steps that it needs, counted from 0",
    });
    let step = json!({
        "type": "object",
        "properties": {
            "title": text("one line"),
            "text": text("what is to be done, where, and how it is known to be done"),
            "after": after,
        },
        "required": ["title", "text", "after"],
        "additionalProperties": false,
    });
    json!({
        "type": "object",
        "properties": { "steps": { "type": "array", "items": step } },
        "required": ["steps"],
        "additionalProperties": false,
    })
}

/// The steps of an answer, and how many more than `steps_max` there were. What stands around the
/// JSON is passed over: who has no schema may put it into a fence.
pub fn answered(answer: &str, steps_max: u32) -> Result<(Vec<Step>, usize), Unfit> {
    if answer.len() > ANSWER_BYTES_MAX {
        return Err(Unfit::TooLong);
    }
    let bare = answer.find('{').zip(answer.rfind('}')).and_then(|(from, to)| answer.get(from..=to));
    let bare = bare.ok_or_else(|| Unfit::Schema("there is no JSON object in it".to_owned()))?;
    let read: Answer = serde_json::from_str(bare).map_err(|error| {
        let why = clean(&error.to_string());
        Unfit::Schema(why.chars().take(WRONG_CHARS_MAX).collect())
    })?;
    let steps: Vec<Step> =
        read.steps.into_iter().enumerate().map(step).collect::<Result<_, _>>()?;
    if steps.is_empty() {
        return Err(Unfit::Empty);
    }
    let bytes: usize = steps.iter().map(|step| step.title.len() + step.text.len()).sum();
    if bytes > PLAN_BYTES_MAX {
        return Err(Unfit::TooLong);
    }
    Ok(fitted(steps, steps_max))
}

fn step((at, asked): (usize, Asked)) -> Result<Step, Unfit> {
    let text = clean(&asked.text).trim().to_owned();
    if text.is_empty() {
        return Err(Unfit::Blank(at + 1));
    }
    let own = u32::try_from(at).unwrap_or(u32::MAX);
    // Who does not say what a step waits for means the one before it.
    let mut after = asked.after.unwrap_or_else(|| own.checked_sub(1).into_iter().collect());
    if after.iter().any(|other| *other >= own) {
        return Err(Unfit::Order(at + 1));
    }
    after.sort_unstable();
    after.dedup();
    let title = short(&markdown::titled(&clean(&asked.title)));
    let title = if title.is_empty() { format!("Step {}", at + 1) } else { title };
    Ok(Step { id: None, title, text, after })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{self, TaskIx};
    use crate::plan;

    fn steps(answer: &Value) -> Result<(Vec<Step>, usize), Unfit> {
        answered(&answer.to_string(), 20)
    }

    fn one(title: &str, text: &str, after: &[i64]) -> Value {
        json!({ "title": title, "text": text, "after": after })
    }

    #[test]
    fn an_answer_by_the_schema_is_steps_with_what_they_wait_for() {
        let answer = json!({ "steps": [
            one("**Step 1: Add the table**", " In cents.\r\n", &[]),
            one("Tell\nthe customer", "By mail.", &[]),
            one(" ", "Of both.", &[1, 0, 1]),
        ] });
        let (found, dropped) = steps(&answer).unwrap();
        let seen: Vec<_> = found.iter().map(|s| (&*s.title, &*s.text, &*s.after)).collect();
        let none: &[u32] = &[];
        let expected = [
            ("Add the table", "In cents.", none),
            ("Tell the customer", "By mail.", none),
            ("Step 3", "Of both.", &[0, 1]),
        ];
        assert_eq!((seen.as_slice(), dropped), (&expected[..], 0));
    }

    #[test]
    fn words_and_a_fence_around_it_are_passed_over_and_without_a_word_steps_are_a_chain() {
        let text = r#"{"steps": [{"title": "A", "text": "a"}, {"title": "B", "text": "b"}]}"#;
        let (found, _) = answered(&format!("Here:\n```json\n{text}\n```\nDone."), 20).unwrap();
        assert_eq!((&*found[0].after, &*found[1].after), (&[][..], &[0][..]));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_is_wrong() {
        let says = |answer: &str| answered(answer, 20).unwrap_err().to_string();
        assert_eq!(
            says("I would rather not."),
            "its answer does not fit the schema: there is no JSON object in it"
        );
        assert!(says("} {").contains("no JSON object"));
        assert!(says(r#"{"steps": 3}"#).contains("does not fit the schema"));
        let more = r#"{"steps": [{"title": "A", "text": "a", "command": "rm -rf /"}]}"#;
        assert!(says(more).contains("unknown field `command`"), "{}", says(more));
        let strange = format!(r#"{{"{}\u001b[31m": 1}}"#, "x".repeat(5_000));
        let told = says(&strange);
        assert!(told.chars().count() < 300 && !told.contains('\u{1b}'), "{told}");
        assert_eq!(steps(&json!({ "steps": [] })), Err(Unfit::Empty));
        assert_eq!(
            steps(&json!({ "steps": [one("A", "\u{202e}\0 ", &[])] })),
            Err(Unfit::Blank(1))
        );
        let whole = "x".repeat(PLAN_BYTES_MAX);
        assert_eq!(steps(&json!({ "steps": [one("A", &whole, &[])] })), Err(Unfit::TooLong));
        assert_eq!(answered(&" ".repeat(ANSWER_BYTES_MAX + 1), 20), Err(Unfit::TooLong));
    }

    #[test]
    fn a_step_waits_only_for_earlier_ones() {
        let circle = json!({ "steps": [one("A", "a", &[1]), one("B", "b", &[0])] });
        assert_eq!(steps(&circle), Err(Unfit::Order(1)));
        let itself = json!({ "steps": [one("A", "a", &[]), one("B", "b", &[1])] });
        assert_eq!(steps(&itself), Err(Unfit::Order(2)));
        let nowhere = json!({ "steps": [one("A", "a", &[-1])] });
        assert!(matches!(steps(&nowhere), Err(Unfit::Schema(_))));
    }

    #[test]
    fn of_too_many_the_first_are_kept_and_the_rest_is_counted() {
        let many: Vec<Value> =
            (0..30).map(|n| one("Do it", &format!("Number {n}."), &[])).collect();
        let (found, dropped) = steps(&json!({ "steps": many })).unwrap();
        assert_eq!((found.len(), dropped), (20, 10));
    }

    #[test]
    fn hostile_words_become_text_of_a_graph_and_nothing_else() {
        let hostile = "```\n## x\n```yaml\ntasks: [{id: evil}]\n\"\n  - id: evil\n---\n${HOME}";
        let answer = json!({ "steps": [one(hostile, hostile, &[]), one("B", "b", &[0])] });
        let (found, _) = steps(&answer).unwrap();
        let source = "name: g\ntasks: [{id: design, description: x, plan: true}]";
        let graph = graph::load(source.as_bytes()).unwrap();
        let (names, source) = plan::write(&graph, TaskIx(0), &found, None);
        let grown = graph::load_plan(source.as_bytes()).unwrap();
        assert_eq!((names.len(), grown.tasks().len()), (2, 2));
        assert!(grown.tasks()[0].description.as_ref().unwrap().contains("${HOME}"));
    }

    #[test]
    fn only_what_says_it_in_words_is_for_an_agent() {
        assert!(plan::in_words("Make it better, please."));
        assert!(plan::in_words("## Add\n\n```sh\nls\n```\n"));
        assert!(!plan::in_words(" \n"));
        assert!(!plan::in_words("Words.\n\n```yaml\ntasks:\n  - nonsense\n```\n"));
        assert!(!plan::in_words("---\nauto_tasks: false\n---\n## Step\n\nNot for this.\n"));
        assert!(!plan::in_words(&"x".repeat(PLAN_BYTES_MAX + 1)));
    }
}
