//! What agents, graphs and people wrote, made harmless for a chat: no colours, no tricks with
//! direction or width, no way out of a code block, no mention, no link preview.

/// Characters that a reader does not see and that change what the others mean: directions of
/// writing, no width, and tags, which can carry a whole hidden text.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Without terminal colours, control characters (but line breaks and tabs) and hidden characters.
/// Of a line that was written over (`\r`, as progress bars do) the last state stays.
pub fn clean(text: &str) -> String {
    let plain = console::strip_ansi_codes(text);
    let mut out = String::with_capacity(plain.len());
    for line in plain.split_inclusive('\n') {
        let (body, end) = match line.strip_suffix('\n') {
            Some(body) => (body, "\n"),
            None => (line, ""),
        };
        let body = body.trim_end_matches('\r');
        let last = body.rsplit('\r').next().unwrap_or(body);
        out.extend(last.chars().filter(|c| *c == '\t' || !(c.is_control() || is_hidden(*c))));
        out.push_str(end);
    }
    out
}

/// `text`, cleaned, for the inside of a code block: it cannot end it.
pub fn block(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in clean(text).chars() {
        // No two backticks stand beside each other, so three never do.
        if c == '`' && out.ends_with('`') {
            out.push('\u{200b}');
        }
        out.push(c);
    }
    out
}

/// `text`, cleaned and on one line, for prose: nothing in it is markup, a mention or a link.
pub fn inline(text: &str) -> String {
    escaped(text, |c| MARKUP.contains(&c) || c == '`')
}

/// The same for a sentence of the engine, in which names stand between backticks.
pub fn sentence(text: &str) -> String {
    escaped(text, |c| MARKUP.contains(&c))
}

const MARKUP: [char; 11] = ['\\', '*', '_', '~', '|', '<', '>', '@', '#', '[', ']'];

fn escaped(text: &str, is_markup: impl Fn(char) -> bool) -> String {
    let text = clean(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut out = String::with_capacity(text.len());
    for c in words.join(" ").chars() {
        // Discord takes a backslash before any punctuation as an escape.
        if is_markup(c) {
            out.push('\\');
        }
        out.push(c);
    }
    // An address becomes a link by its scheme, an invitation is previewed without one.
    let out = out.replace("://", "\\://");
    out.replace("discord.gg", "discord\\.gg").replace("discord.com", "discord\\.com")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn attacks_are_made_harmless() {
        let shown = [
            clean("\u{1b}[31mred\u{1b}[0m \u{1b}]8;;http://x\u{7}link\u{1b}]8;;\u{7}"),
            clean("10%\r50%\r100%\nnext\r\n"),
            clean("nul\0 bell\u{7} rtl\u{202e}txt zero\u{200b}width tag\u{e0041}"),
            block("```\nout of the block @everyone"),
            inline("@everyone <@1> **bold** [x](http://y) https://discord.gg/abc"),
            inline("two\nlines"),
        ];
        insta::assert_snapshot!(shown.join("\n--\n"));
    }

    proptest! {
        #[test]
        fn nothing_hidden_passes(text in "\\PC*|.*|[\\x00-\\x1f`@a]*") {
            let cleaned = clean(&text);
            let hidden = |c: char| (c.is_control() && c != '\n' && c != '\t') || is_hidden(c);
            prop_assert!(!cleaned.chars().any(hidden), "{:?}", cleaned);
            prop_assert!(!block(&text).contains("```"));
            prop_assert!(!inline(&text).contains('\n'));
        }
    }
}
