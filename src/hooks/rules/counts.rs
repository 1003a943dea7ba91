//! How many tests passed, as the usual runners say it in their last lines.

/// What a runner counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Passed.
    pub passed: u64,
    /// Failed.
    pub failed: u64,
    /// Not run.
    pub skipped: u64,
}

/// Counts what `output` says: cargo test, nextest, pytest, jest, go test, mocha. `None` where it
/// says nothing that is known.
pub fn count_tests(output: &str) -> Option<Counts> {
    let mut all: Option<Counts> = None;
    for line in output.lines().map(str::trim) {
        let sums = line.starts_with("test result:")
            || (line.starts_with("Summary [") && line.contains(" run:"))
            || line.starts_with("Tests:")
            || (line.contains(" in ") && (line.starts_with('=') || line.ends_with('s')));
        if let Some(found) = words(line).filter(|_| sums) {
            let total = all.get_or_insert_default();
            total.passed += found.passed;
            total.failed += found.failed;
            total.skipped += found.skipped;
        }
    }
    all.or_else(|| of_go(output))
}

/// `5 passed, 1 failed`, in any order.
fn words(line: &str) -> Option<Counts> {
    let plain: String =
        line.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { ' ' }).collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let (mut counts, mut any) = (Counts::default(), false);
    for pair in words.windows(2) {
        let Ok(n) = pair[0].parse::<u64>() else { continue };
        let field = match pair[1] {
            "passed" => &mut counts.passed,
            "failed" | "errors" | "error" => &mut counts.failed,
            "skipped" | "ignored" => &mut counts.skipped,
            _ => continue,
        };
        *field += n;
        any = true;
    }
    any.then_some(counts)
}

fn of_go(output: &str) -> Option<Counts> {
    let count = |sign: &str| {
        output.lines().filter(|line| line.trim_start().starts_with(sign)).count() as u64
    };
    let counts = Counts {
        passed: count("--- PASS:"),
        failed: count("--- FAIL:"),
        skipped: count("--- SKIP:"),
    };
    (counts != Counts::default()).then_some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_the_usual_runners_are_understood() {
        let of = |text| count_tests(text).map(|c| (c.passed, c.failed, c.skipped));
        let cargo = "test result: FAILED. 5 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(of(cargo), Some((8, 1, 2)));
        let nextest = "     Summary [   1.2s] 10 tests run: 9 passed, 1 failed, 3 skipped";
        assert_eq!(of(nextest), Some((9, 1, 3)));
        assert_eq!(of("=== 3 failed, 10 passed, 1 skipped in 0.12s ==="), Some((10, 3, 1)));
        assert_eq!(of("10 passed in 0.12s"), Some((10, 0, 0)));
        assert_eq!(of("Tests:       1 failed, 5 passed, 6 total"), Some((5, 1, 0)));
        assert_eq!(of("--- PASS: TestA (0.00s)\n--- FAIL: TestB (0.00s)"), Some((1, 1, 0)));
        assert_eq!(of("3 passed the gate"), None);
        assert_eq!(of(""), None);
    }
}
