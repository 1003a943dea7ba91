//! How far a run is, on one line. Must not know what is counted.

use crate::render::{Counts, Look};

/// Cells of the bar: enough to see a tenth, few enough for a phone.
const CELLS: u32 = 10;

/// `[█████▒▒░░░] 5/10 done · 2 running · 1 failed`: full cells are over and well, shaded ones are
/// under way. What only waits its turn is not named.
pub fn progress(counts: &Counts) -> String {
    let done = format!("{}/{} done", counts.get(Look::Done), counts.total());
    let news = counts.present().filter(|(look, _)| is_news(*look));
    let news = news.map(|(look, count)| format!("{count} {}", look.word()));
    let said: Vec<String> = std::iter::once(done).chain(news).collect();
    format!("[{}] {}", bar(counts), said.join(" · "))
}

fn bar(counts: &Counts) -> String {
    let sum = |looks: &[Look]| looks.iter().map(|look| counts.get(*look)).sum::<u32>();
    let total = counts.total().max(1);
    // Rounded down, so that a full bar means that everything is over; under way is rounded up, so
    // that a single running task of hundreds shows.
    let full = sum(&[Look::Done, Look::Skipped]) * CELLS / total;
    let under_way = [Look::Running, Look::Merging, Look::AsksPerson, Look::Paused];
    let shaded = (sum(&under_way) * CELLS).div_ceil(total).min(CELLS - full);
    let empty = CELLS - full - shaded;
    [("█", full), ("▒", shaded), ("░", empty)].map(|(cell, n)| cell.repeat(n as usize)).concat()
}

fn is_news(look: Look) -> bool {
    !matches!(look, Look::Plain | Look::Waiting | Look::Ready | Look::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[(Look, usize)]) -> String {
        let looks = parts.iter().flat_map(|(look, n)| std::iter::repeat_n(*look, *n));
        progress(&looks.collect())
    }

    #[test]
    fn a_bar_shows_what_is_over_and_what_is_under_way() {
        let lines = [
            of(&[(Look::Done, 5), (Look::Running, 2), (Look::Failed, 1), (Look::Waiting, 2)]),
            of(&[(Look::Waiting, 3)]),
            of(&[(Look::Done, 199), (Look::Running, 1)]),
            of(&[(Look::Done, 9), (Look::Skipped, 1)]),
            of(&[(Look::AsksPerson, 1), (Look::Waiting, 999)]),
            of(&[(Look::Done, 7)]),
            of(&[]),
        ];
        insta::assert_snapshot!(lines.join("\n"));
    }
}
