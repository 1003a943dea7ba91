//! Workstreams, as they are written.

use crate::graph::dag::LaneIx;
use crate::graph::model::{Isolation, Lane};
use crate::graph::node::Node;
use crate::graph::spec::names::parsed_or_stand_in;
use crate::graph::spec::reader::Reader;
use crate::graph::spec::roll::Roll;
use crate::graph::spec::waits;

const LANE: &[&str] = &[
    "id",
    "parent_workstream_id",
    "base_branch",
    "merge_target_branch",
    "auto_merge",
    "max_parallel",
    "approval",
    "isolation",
    "checks",
];

/// The lane of a task that names none.
pub(super) const DEFAULT: &str = "default";

/// The only lane of a graph that declares none: no limit of its own, merged by a person.
pub(super) fn undeclared(isolation: &Isolation) -> Lane {
    Lane {
        id: DEFAULT.parse().expect("BUG: the default lane has a good name"),
        parent: None,
        base_branch: None,
        target_branch: None,
        auto_merge: false,
        max_parallel: None,
        approval: None,
        checks: Vec::new(),
        isolation: isolation.clone(),
    }
}

/// Reads the lanes of `roll` and how they are nested.
pub(super) fn lanes<'t>(
    reader: &mut Reader<'t>,
    roll: &Roll<'t>,
    outer: &Isolation,
    depth_max: u32,
) -> Vec<Lane> {
    let (mut lanes, mut parents) = (Vec::new(), Vec::new());
    for number in 0..roll.entries().len() {
        let (lane, parent) = roll.within(reader, number, |r| r.lane(roll, number, outer));
        lanes.push(lane);
        parents.push(parent);
    }
    waits::check_nesting(reader, roll, &mut lanes, &parents, depth_max);
    lanes
}

impl<'t> Reader<'t> {
    /// A lane, and where it names its parent.
    fn lane(
        &mut self,
        roll: &Roll<'t>,
        number: usize,
        outer: &Isolation,
    ) -> (Lane, Option<Node<'t>>) {
        let entry = roll.entries()[number];
        let mut fields = self.checked(entry.node, LANE);
        let parent = fields.get("parent_workstream_id", |reader, node| {
            let reference = reader.sited_name(node)?;
            let parent = roll.resolve(reader, "lane", reference, None)?;
            if parent as usize == number {
                reader.report(node, "a lane cannot be its own parent");
                return None;
            }
            Some((LaneIx(parent), node))
        });
        let (parent, site) = parent.unzip();
        let lane = Lane {
            id: parsed_or_stand_in(entry.id),
            parent,
            base_branch: fields.get("base_branch", Reader::branch),
            target_branch: fields.get("merge_target_branch", Reader::branch),
            auto_merge: fields.get("auto_merge", Reader::flag).unwrap_or(false),
            max_parallel: Some(fields.get("max_parallel", Reader::count).unwrap_or(1)),
            approval: fields.get("approval", Reader::approval),
            checks: fields.list("checks", Reader::prose),
            isolation: fields.get("isolation", Reader::isolation).unwrap_or_default().over(outer),
        };
        (lane, site)
    }
}
