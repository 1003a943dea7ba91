//! Thousands of random schedules with crashes, outside trouble and a restless operator; what they
//! must keep is what the simulation's oracle says.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use taskloom::sim::{Explored, explore};

/// How many seeds are played; `TASKLOOM_SEEDS` plays more.
const SEEDS: u64 = 10_000;

/// How many broken promises are told.
const TOLD_MAX: usize = 3;

/// Plays the seeds; `TASKLOOM_SEED` plays one of them alone.
#[test]
fn no_schedule_breaks_a_promise() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let only = number("TASKLOOM_SEED");
    let seeds = number("TASKLOOM_SEEDS").unwrap_or(SEEDS);
    let (first, last) = only.map_or((0, seeds), |seed| (seed, seed + 1));
    let (next, broken, sum) = (AtomicU64::new(first), Mutex::default(), Mutex::default());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| play(&next, last, &broken, &sum));
        }
    });
    let sum: Explored = sum.into_inner().unwrap();
    let broken: Vec<String> = broken.into_inner().unwrap();
    assert!(
        broken.is_empty(),
        "{} of {} seeds; replay one by TASKLOOM_SEED=N\n{}",
        broken.len(),
        last - first,
        broken.iter().take(TOLD_MAX).fold(String::new(), |mut all, one| {
            writeln!(all, "{one}\n").unwrap();
            all
        })
    );
    // The schedules were what they are meant to be.
    assert!(
        only.is_some() || (sum.crashes > 50_000 && sum.verbs > 20_000 && sum.plans > 1_000),
        "{sum:?}"
    );
    println!("{} schedules: {sum:?}", last - first);
}

fn play(next: &AtomicU64, last: u64, broken: &Mutex<Vec<String>>, sum: &Mutex<Explored>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= last {
            return;
        }
        let played = std::panic::catch_unwind(|| explore(seed))
            .unwrap_or_else(|panic| Err(format!("seed {seed}: {}", said(&*panic))));
        match played {
            Ok(one) => {
                let mut sum = sum.lock().unwrap();
                sum.turns += one.turns;
                sum.crashes += one.crashes;
                sum.verbs += one.verbs;
                sum.attempts += one.attempts;
                sum.plans += one.plans;
            }
            Err(why) => broken.lock().unwrap().push(why),
        }
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned())).unwrap_or_default()
}
