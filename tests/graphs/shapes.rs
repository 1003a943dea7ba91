//! Graphs of a given size, always the same: what the measurements and the big tests run on.

use taskloom::entropy::Entropy;

/// For each task the tasks it waits for.
pub(crate) type Shape = Vec<Vec<usize>>;

/// One after the other.
pub(crate) fn chain(tasks: usize) -> Shape {
    (0..tasks).map(|task| (task > 0).then(|| task - 1).into_iter().collect()).collect()
}

/// One, then all but one side by side, then one that waits for them all.
pub(crate) fn fan_out(tasks: usize) -> Shape {
    let middle = 1..tasks - 1;
    let parents = |task| match task {
        0 => Vec::new(),
        _ if task == tasks - 1 => middle.clone().collect(),
        _ => vec![0],
    };
    (0..tasks).map(parents).collect()
}

/// Layers of `width` tasks, each of which waits for one to three random ones of the layer before.
pub(crate) fn layered(tasks: usize, width: usize) -> Shape {
    let mut entropy = Entropy::seeded(42);
    let mut shape = vec![Vec::new(); tasks];
    for (task, parents) in shape.iter_mut().enumerate().skip(width) {
        let before = (task / width - 1) * width;
        for _ in 0..1 + entropy.next_u64() % 3 {
            let parent = before + (entropy.next_u64() % width as u64) as usize;
            if !parents.contains(&parent) {
                parents.push(parent);
            }
        }
    }
    shape
}

/// A graph of this shape as a file, as short as such a file can reasonably be.
pub(crate) fn yaml(name: &str, shape: &Shape) -> String {
    let tasks = shape.iter().enumerate().map(|(task, parents)| {
        let head = format!("  - id: t{task}\n    description: Do step {task}.\n");
        match &parents[..] {
            [] => head,
            _ => format!("{head}    dependencies: [{}]\n", names(parents)),
        }
    });
    format!("name: {name}\ntasks:\n") + &tasks.collect::<String>()
}

/// `t1, t2`.
pub(crate) fn names(tasks: &[usize]) -> String {
    tasks.iter().map(|task| format!("t{task}")).collect::<Vec<_>>().join(", ")
}
