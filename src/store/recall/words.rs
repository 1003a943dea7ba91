//! From any text to the words that are looked for. Pure.

use std::collections::BTreeSet;

/// How many words of a text are looked for, the first: each costs a look into the index, and a
/// description says what it is about before it says how.
const WORDS_MAX: usize = 64;

/// Longer ones are digests and encoded data.
const WORD_CHARS_MAX: usize = 40;

/// What stands in every text and so fits everything.
const EVERYWHERE: &[&str] = &[
    "all", "an", "and", "any", "are", "as", "at", "be", "but", "by", "can", "do", "for", "from",
    "has", "have", "if", "in", "into", "is", "it", "its", "new", "no", "not", "of", "on", "or",
    "so", "that", "the", "then", "there", "they", "this", "to", "use", "was", "when", "which",
    "will", "with", "you", "your",
];

/// The words of a text, each once, in lower case, in its order.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let fits = |word: &String| {
        let chars = word.chars().count();
        (2..=WORD_CHARS_MAX).contains(&chars) && !EVERYWHERE.contains(&word.as_str())
    };
    text.split(|c: char| !c.is_alphanumeric())
        .map(str::to_lowercase)
        .filter(fits)
        .filter(|word| seen.insert(word.clone()))
        .take(WORDS_MAX)
        .collect()
}

/// The query that finds what has any of the words of a text; `None`: it has no word. Each word is
/// a string of FTS5's language, so that nothing in the text is an operator of it.
pub(super) fn query(text: &str) -> Option<String> {
    let quoted: Vec<String> = words(text).iter().map(|word| format!("\"{word}\"")).collect();
    (!quoted.is_empty()).then(|| quoted.join(" OR "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_stands_in_a_text_is_words_and_nothing_else() {
        let hostile = "title:x\" OR * NEAR(a b) ^caf\u{e9} -NOT {done} 'the' \0 ; DROP TABLE t --";
        assert_eq!(
            query(hostile).unwrap(),
            "\"title\" OR \"near\" OR \"caf\u{e9}\" OR \"done\" OR \"drop\" OR \"table\""
        );
        assert_eq!(query("\" ' * the a ( \u{1F600}"), None);
    }

    #[test]
    fn a_long_text_is_looked_for_by_its_first_words() {
        let text: String = (0..1_000).map(|n| format!("word{n} word{n} ")).collect();
        let found = words(&text);
        assert_eq!((found.len(), found[1].as_str()), (WORDS_MAX, "word1"));
        assert!(words(&"f".repeat(WORD_CHARS_MAX + 1)).is_empty());
    }
}
