//! `taskloom stats`: how attempts went and what they used.

use serde_json::json;

use crate::cli::Outcome;
use crate::cli::args::{By as ByArg, Common, StatsArgs};
use crate::cli::refs::{Reading, print};
use crate::control::stats::{By, stats as of, table};
use crate::time::{Clock as _, SystemClock};

pub(crate) async fn stats(common: &Common, args: &StatsArgs) -> Outcome {
    let reading = Reading::open(common).await?;
    let after = SystemClock.now() - args.since;
    let by = match args.by {
        ByArg::Project => By::Project,
        ByArg::Profile => By::Profile,
        ByArg::Model => By::Model,
        ByArg::Role => By::Role,
    };
    let wanted = |project: &_| args.project.as_ref().is_none_or(|wanted| wanted == project);
    let lines = of(&reading.store, after, by, wanted).await?;
    print(common, &json!(lines), || match lines.is_empty() {
        true => "no attempts in that time\n".to_owned(),
        false => table(&lines, by),
    })
}
