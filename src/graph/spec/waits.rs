//! Who waits for whom, and for ever: dependencies in a circle, lanes nested in a circle, lanes
//! that wait for each other's merge.
//!
//! A task starts only when the other lanes that its dependencies belong to are merged, and a lane
//! merges only when its tasks are done and its child lanes merged. So lanes wait for lanes, and a
//! graph whose tasks wait for each other in no circle may still have lanes that do.

use std::collections::BTreeMap;

use crate::graph::dag::{LaneIx, Rows, TaskIx};
use crate::graph::knots::Components;
use crate::graph::model::Lane;
use crate::graph::node::Node;
use crate::graph::problem::Step;
use crate::graph::spec::reader::Reader;
use crate::graph::spec::roll::Roll;
use crate::graph::spec::task::{Known, Tasks};

/// Members of a circle that are named; of a longer one the end is left out.
const MEMBERS_NAMED_MAX: usize = 8;

/// Dependencies that are named as the reason of a circle of lanes.
const REASONS_NAMED_MAX: usize = 4;

/// Reports everything that waits for itself, and inputs from tasks that are not waited for.
pub(super) fn check<'t>(reader: &mut Reader<'t>, known: Known<'_, 't>, found: &Tasks<'t>) {
    let components = Components::of(&found.parents);
    for cycle in components.cycles(&found.parents) {
        let names = cycle.iter().map(|task| known.roll.name(*task));
        let message = format!("these tasks wait for each other: {}", circle(names));
        let second = TaskIx(cycle[1] as u32);
        let edge = found.parents.row(cycle[0]).iter().position(|parent| *parent == second);
        let edge = edge.expect("BUG: members of a cycle are joined by edges");
        let text = (message, "remove one of these dependencies");
        report_edge(reader, known.roll, found, (cycle[0], edge), text);
    }
    check_inputs(reader, known.roll, found, &components);
    check_lanes(reader, known, found, &components);
}

/// Reports something about a dependency: the task, and which of its dependencies.
fn report_edge<'t>(
    reader: &mut Reader<'t>,
    roll: &Roll<'t>,
    found: &Tasks<'t>,
    (child, edge): (usize, usize),
    (message, hint): (String, &str),
) {
    let (item, node) = found.sites[found.parents.start(child) + edge];
    let [tasks, task, list] = roll.steps(child, "dependencies");
    reader.report_at(&[tasks, task, list, Step::Item(item)], node, message, Some(hint.to_owned()));
}

fn check_inputs<'t>(
    reader: &mut Reader<'t>,
    roll: &Roll<'t>,
    found: &Tasks<'t>,
    components: &Components,
) {
    let pairs: Vec<_> = found.far_inputs.iter().map(|far| (far.child, far.source)).collect();
    let truth = components.waits_for(&found.parents, &pairs);
    let wrong = found.far_inputs.iter().zip(truth).filter(|(_, waits)| !waits);
    for (far, _) in wrong {
        let source = roll.name(far.source.at());
        let message =
            format!("this task does not wait for `{source}`, so it gets no files from it");
        let hint = format!("add `{source}` to its `dependencies`");
        reader.report_at(&far.steps, far.node, message, Some(hint));
    }
}

/// Reports lanes that are their own ancestors, and takes them out of the hierarchy; reports lanes
/// that are nested too deeply. `sites` tells where each lane names its parent.
pub(super) fn check_nesting<'t>(
    reader: &mut Reader<'t>,
    roll: &Roll<'t>,
    lanes: &mut [Lane],
    sites: &[Option<Node<'t>>],
    depth_max: u32,
) {
    let mut up = Rows::new();
    for lane in &*lanes {
        lane.parent.into_iter().for_each(|parent| up.push(parent));
        up.end_row();
    }
    let components = Components::of(&up);
    let mut report = |number: usize, message: String, hint: String| {
        if let Some(node) = sites[number] {
            let steps = roll.steps(number, "parent_workstream_id");
            reader.report_at(&steps, node, message, Some(hint));
        }
    };
    for cycle in components.cycles(&up) {
        let names = circle(cycle.iter().map(|lane| roll.name(*lane)));
        let message = format!("these lanes are nested in each other: {names}");
        report(cycle[0], message, "delete one of these parents".to_owned());
    }
    for (number, lane) in (0..).zip(&mut *lanes) {
        lane.parent = lane.parent.filter(|parent| !components.together(LaneIx(number), *parent));
    }
    let mut depths = vec![0u32; lanes.len()];
    for number in components.order() {
        let Some(parent) = lanes[number].parent else { continue };
        let depth = depths[parent.at()] + 1;
        depths[number] = depth;
        if depth > depth_max {
            let message = format!(
                "this lane is {depth} below the top; `max_workstream_depth` allows {depth_max}"
            );
            report(
                number,
                message,
                format!("write `max_workstream_depth: {depth}`, or nest it higher"),
            );
        }
    }
}

/// Why one lane waits for another.
#[derive(Debug, Clone, Copy)]
enum Reason {
    /// The other is nested in it.
    Nesting,
    /// A dependency of one of its tasks: the task, and which of its dependencies.
    Dependency(usize, usize),
}

/// A lane, the lane that it waits for, and why.
type Wait = (LaneIx, LaneIx, Reason);

/// Reports lanes that wait for themselves through others.
fn check_lanes<'t>(
    reader: &mut Reader<'t>,
    known: Known<'_, 't>,
    found: &Tasks<'t>,
    tasks: &Components,
) {
    let reasons = reasons(known.lanes, found, tasks);
    let mut next = Rows::new();
    for lane in (0..known.lanes.len() as u32).map(LaneIx) {
        let waits = reasons.range((lane, LaneIx(0))..=(lane, LaneIx(u32::MAX)));
        waits.for_each(|((_, to), _)| next.push(*to));
        next.end_row();
    }
    for cycle in Components::of(&next).cycles(&next) {
        let lane = |at: usize| LaneIx(cycle[at % cycle.len()] as u32);
        let wait = |at: usize| (lane(at), lane(at + 1), reasons[&(lane(at), lane(at + 1))]);
        let mut round: Vec<Wait> = (0..cycle.len()).map(wait).collect();
        let nested = round.iter().rposition(|(.., reason)| matches!(reason, Reason::Nesting));
        // A child waits first, its ancestor last: that is how it reads best.
        round.rotate_left(nested.map_or(0, |at| at + 1) % cycle.len());
        report_lanes(reader, known, found, &round);
    }
}

fn reasons(
    lanes: &[Lane],
    found: &Tasks<'_>,
    tasks: &Components,
) -> BTreeMap<(LaneIx, LaneIx), Reason> {
    let mut reasons = BTreeMap::new();
    for (child, lane) in (0..).zip(lanes) {
        if let Some(parent) = lane.parent {
            reasons.insert((parent, LaneIx(child)), Reason::Nesting);
        }
    }
    for child in 0..found.parents.len() {
        let lane = found.tasks[child].lane;
        for (edge, parent) in found.parents.row(child).iter().enumerate() {
            let other = found.tasks[parent.at()].lane;
            let known = lane.at() < lanes.len() && other.at() < lanes.len();
            if known && lane != other && !tasks.together(TaskIx(child as u32), *parent) {
                reasons.entry((lane, other)).or_insert(Reason::Dependency(child, edge));
            }
        }
    }
    reasons
}

fn report_lanes<'t>(
    reader: &mut Reader<'t>,
    known: Known<'_, 't>,
    found: &Tasks<'t>,
    round: &[Wait],
) {
    let name = |lane: &LaneIx| known.lane_roll.name(lane.at());
    let tell = |(from, to, reason): &Wait| match reason {
        Reason::Nesting => {
            format!("`{}` merges only after its child lane `{}`", name(from), name(to))
        }
        Reason::Dependency(child, edge) => {
            let parent = known.roll.name(found.parents.row(*child)[*edge].at());
            let child = known.roll.name(*child);
            format!("`{child}` in `{}` waits for `{parent}` in `{}`", name(from), name(to))
        }
    };
    let mut told: Vec<String> = round.iter().take(REASONS_NAMED_MAX).map(tell).collect();
    if round.len() > REASONS_NAMED_MAX {
        told.push("so on".to_owned());
    }
    let told = told.join(", and ");
    let text = if round.iter().any(|(.., reason)| matches!(reason, Reason::Nesting)) {
        let message = format!("the lane `{}` can never be merged: {told}", name(&round[0].0));
        (
            message,
            "a child lane cannot wait for its parent: move one of these tasks to another lane",
        )
    } else {
        let names = circle(round.iter().map(|(from, ..)| name(from)));
        let message = format!("these lanes wait for each other to be merged: {names} ({told})");
        (message, "put these tasks into one lane, or split a lane in two")
    };
    let edge = round.iter().find_map(|(.., reason)| match reason {
        Reason::Dependency(child, edge) => Some((*child, *edge)),
        Reason::Nesting => None,
    });
    let edge = edge.expect("BUG: nesting alone was found to go round nowhere");
    report_edge(reader, known.roll, found, edge, text);
}

/// `` `a` → `b` → `a` ``, in short if it is long.
fn circle<'n>(names: impl ExactSizeIterator<Item = &'n str> + Clone) -> String {
    let count = names.len();
    let first = names.clone().take(1);
    if count <= MEMBERS_NAMED_MAX {
        let all: Vec<String> = names.chain(first).map(|name| format!("`{name}`")).collect();
        return all.join(" → ");
    }
    let mut some: Vec<String> =
        names.take(MEMBERS_NAMED_MAX - 1).map(|name| format!("`{name}`")).collect();
    some.push("…".to_owned());
    some.extend(first.map(|name| format!("`{name}`")));
    format!("{} ({count} of them)", some.join(" → "))
}
