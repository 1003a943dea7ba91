//! `taskloom usage`: what was used, as a table or a picture.

use serde_json::json;

use crate::cli::Outcome;
use crate::cli::args::{ByArg, Common, UsageArgs};
use crate::cli::out::{outln, text};
use crate::cli::refs::Reading;
use crate::control::usage::{self, By};
use crate::failure::Failure;
use crate::render::{self, Theme};
use crate::store::Store as _;
use crate::time::{Clock as _, SystemClock};

/// Pixels to the point of a picture.
const SCALE: f32 = 2.0;

pub(crate) async fn usage(common: &Common, args: &UsageArgs) -> Outcome {
    let reading = Reading::open(common).await?;
    let now = SystemClock.now();
    let (since, width) = (now - args.since, usage::bucket(args.since));
    let sums = reading.store.spent(since, width.as_millis() as i64).await?;
    reading.store.close().await?;
    let by = match args.by {
        ByArg::Project => By::Project,
        ByArg::Profile => By::Profile,
        ByArg::Model => By::Model,
    };
    let project = args.project.as_ref();
    if let Some(path) = &args.chart {
        let chart = usage::chart(&sums, by, project, (since, now), width);
        let svg = chart.bars(if args.dark { Theme::Dark } else { Theme::Light });
        let svg_wanted = path.extension().is_some_and(|extension| extension == "svg");
        let bytes = if svg_wanted { svg.into_bytes() } else { render::png(&svg, SCALE)? };
        std::fs::write(path, bytes)
            .map_err(|why| Failure::user(format!("cannot write {}: {why}", path.display())))?;
        outln!("{}", path.display());
        return Ok(0);
    }
    let rows = usage::rows(&sums, by, project);
    if common.json {
        outln!("{:#}", json!({ "since": since.rfc3339(), "rows": rows }));
    } else if rows.is_empty() {
        outln!("nothing was used in that time");
    } else {
        text(usage::table(&rows, by));
    }
    Ok(0)
}
