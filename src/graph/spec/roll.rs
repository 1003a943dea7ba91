//! The names of a list, before anything else in it is read: so every reference can be looked up
//! the moment it is met, wherever in the file it stands.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::graph::node::Node;
use crate::graph::problem::Step;
use crate::graph::spec::names::Sited;
use crate::graph::spec::reader::{Fields, Reader};

/// The entries of a list that are mappings, by number and by id.
#[derive(Debug)]
pub(super) struct Roll<'t> {
    list: &'static str,
    entries: Vec<Listed<'t>>,
    /// By the id in lower case.
    numbers: HashMap<Cow<'t, str>, u32>,
}

/// An entry of the list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed<'t> {
    /// Its place in the file's list, which may have unreadable entries before it.
    pub(super) at: usize,
    pub(super) node: Node<'t>,
    /// Its id, if there is a good one.
    pub(super) id: Option<Sited<'t>>,
}

impl<'t> Roll<'t> {
    /// Reads the ids of all entries of `list`. Reports ids that are taken; case does not make a
    /// name another, since file systems and people may not tell it.
    pub(super) fn call(fields: &mut Fields<'_, 't>, list: &'static str) -> Self {
        let entries = fields.items(list, |reader, at, node| {
            let id = reader.mapping(node)?.need("id", Reader::sited_name);
            Some(Listed { at, node, id })
        });
        let mut roll = Self { list, numbers: HashMap::with_capacity(entries.len()), entries };
        for (number, entry) in (0..).zip(&roll.entries) {
            let Some((id, node)) = entry.id else { continue };
            let taken = *roll.numbers.entry(folded(id)).or_insert(number);
            if let Some(first) = roll.entries[taken as usize].id.filter(|_| taken != number) {
                let steps = roll.steps(number as usize, "id");
                let hint = Some("choose another".to_owned());
                fields.reader.report_at(&steps, node, taken_by(id, first), hint);
            }
        }
        roll
    }

    /// A list of one, which nobody wrote.
    pub(super) fn of_one(list: &'static str, id: &'static str, file: Node<'t>) -> Self {
        let entry = Listed { at: 0, node: file, id: Some((id, file)) };
        Self { list, entries: vec![entry], numbers: HashMap::from([(Cow::Borrowed(id), 0)]) }
    }

    pub(super) fn entries(&self) -> &[Listed<'t>] {
        &self.entries
    }

    /// Does `work` where an entry stands.
    pub(super) fn within<T>(
        &self,
        reader: &mut Reader<'t>,
        number: usize,
        work: impl FnOnce(&mut Reader<'t>) -> T,
    ) -> T {
        let item = Step::Item(self.entries[number].at);
        reader.within(Step::Key(self.list), |reader| reader.within(item, work))
    }

    /// The id of an entry, for people.
    pub(super) fn name(&self, number: usize) -> &'t str {
        self.entries[number].id.map_or("?", |(id, _)| id)
    }

    pub(super) fn find(&self, id: &str) -> Option<u32> {
        let number = *self.numbers.get(&folded(id))?;
        (self.name(number as usize) == id).then_some(number)
    }

    /// Looks up a reference that the reader has just met; reports it if it leads nowhere.
    pub(super) fn resolve(
        &self,
        reader: &mut Reader<'t>,
        what: &str,
        reference: Sited<'t>,
        otherwise: Option<&str>,
    ) -> Option<u32> {
        let (id, node) = reference;
        let number = self.find(id);
        if number.is_none() {
            let names = self.entries.iter().filter_map(|entry| Some(entry.id?.0));
            let hint = reader.suggestion(id, names).or(otherwise.map(str::to_owned));
            reader.report_with(node, format!("there is no {what} `{id}`"), hint);
        }
        number
    }

    /// The way to `key` of an entry.
    pub(super) fn steps(&self, number: usize, key: &'static str) -> [Step<'t>; 3] {
        [Step::Key(self.list), Step::Item(self.entries[number].at), Step::Key(key)]
    }
}

fn folded(id: &str) -> Cow<'_, str> {
    if id.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(id.to_ascii_lowercase())
    } else {
        Cow::Borrowed(id)
    }
}

fn taken_by(id: &str, (first, node): Sited<'_>) -> String {
    let line = node.place().line;
    if first == id {
        format!("the id `{id}` is taken in line {line}")
    } else {
        format!("the id `{id}` differs from `{first}` in line {line} only by case")
    }
}
