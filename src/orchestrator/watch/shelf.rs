//! Putting runs away and bringing them back. Only what people see of a run changes: its records,
//! dependencies, numbers and history stay where they are.

use crate::failure::Failure;
use crate::orchestrator::command;
use crate::orchestrator::step::{done, nothing};
use crate::orchestrator::world::{Desk, Run};

impl Run {
    pub(crate) fn put_away(&mut self, desk: &mut Desk, dry_run: bool) -> command::Answer {
        let name = &self.info.name;
        if self.record.archived_at.is_some() {
            return Ok(nothing(format!("run `{name}` is put away already")));
        }
        if self.is_open() || !self.to_finish().is_empty() {
            return Err(Failure::user(format!("run `{name}` has not come to rest"))
                .hint(format!("wait, or give it up: `taskloom cancel {name}`")));
        }
        let waits = match self.record.attention.needs {
            Some(1) => "; 1 thing in it waits for a person and leaves the inbox".to_owned(),
            Some(n) if n > 1 => format!("; {n} things in it wait for a person and leave the inbox"),
            Some(_) | None => String::new(),
        };
        let sentence = format!("run `{name}` is put away{waits}");
        if !dry_run {
            self.record.archived_at = Some(desk.now);
            self.changed.run = true;
            desk.touched.insert(self.info.id);
        }
        Ok(done(sentence, Vec::new()))
    }

    pub(crate) fn bring_back(&mut self, desk: &mut Desk, dry_run: bool) -> command::Answer {
        let name = &self.info.name;
        if self.record.archived_at.is_none() {
            return Ok(nothing(format!("run `{name}` is not put away")));
        }
        let sentence = format!("run `{name}` is back as it was");
        if !dry_run {
            self.record.archived_at = None;
            self.record.attention.restored_at = Some(desk.now);
            self.changed.run = true;
            desk.touched.insert(self.info.id);
        }
        Ok(done(sentence, Vec::new()))
    }
}
