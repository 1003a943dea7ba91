//! A command with names in it, for a shell: values never become part of the command. Each is
//! given in a variable, and the command says the variable, quoted as the place needs it.

use std::collections::BTreeMap;

use crate::hooks::rules::template::{Names, Piece, Template};

/// Inside which quotes of a shell a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    None,
    Single,
    Double,
}

/// The command and the variables that it needs.
pub fn quoted_for_shell(
    command: &Template,
    names: &dyn Names,
) -> Result<(String, BTreeMap<String, String>), String> {
    let (mut text, mut variables) = (String::new(), BTreeMap::new());
    let mut quotes = Quotes::None;
    for piece in &command.pieces {
        match piece {
            Piece::Text(plain) => {
                quotes = after(plain, quotes);
                text.push_str(plain);
            }
            Piece::Event(_) | Piece::Step(..) => {
                let variable = piece.variable();
                let (before, after) = match quotes {
                    Quotes::None => ("\"${", "}\""),
                    Quotes::Double => ("${", "}"),
                    Quotes::Single => ("'\"${", "}\"'"),
                };
                text.extend([before, variable.as_str(), after]);
                variables.insert(variable, names.value(piece)?);
            }
        }
    }
    Ok((text, variables))
}

fn after(text: &str, mut quotes: Quotes) -> Quotes {
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        quotes = match (quotes, c) {
            (Quotes::None | Quotes::Double, '\\') => {
                characters.next();
                quotes
            }
            (Quotes::None, '\'') => Quotes::Single,
            (Quotes::None, '"') => Quotes::Double,
            (Quotes::Single, '\'') | (Quotes::Double, '"') => Quotes::None,
            (Quotes::None | Quotes::Single | Quotes::Double, _) => quotes,
        };
    }
    quotes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::rules::template::Scope;
    use serde_json::json;

    #[test]
    fn a_value_is_said_by_its_variable_quoted_as_its_place_needs() {
        let scope = Scope { event: json!({ "x": "$(rm -rf /)" }), steps: Vec::new() };
        let said = |text: &str| {
            let template = Template::parse(text).unwrap();
            quoted_for_shell(&template, &scope).unwrap()
        };
        assert_eq!(said("echo {{event.x}}").0, r#"echo "${EVENT_X}""#);
        assert_eq!(said(r#"echo "a {{event.x}}""#).0, r#"echo "a ${EVENT_X}""#);
        assert_eq!(said("echo 'a {{event.x}}'").0, r#"echo 'a '"${EVENT_X}"''"#);
        assert_eq!(said(r#"echo \" {{event.x}}"#).0, r#"echo \" "${EVENT_X}""#);
        assert_eq!(said("echo {{event.x}}").1["EVENT_X"], "$(rm -rf /)");
    }
}
