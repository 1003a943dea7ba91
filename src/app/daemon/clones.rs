//! Clones that are not there: the remote repository was away, or somebody deleted them. They are
//! made as soon as that can be done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::app::App;
use crate::app::projects::place_of;
use crate::config::{Project, Source};
use crate::git::remote::is_cloned;
use crate::ids::ProjectId;
use crate::orchestrator::Handle;

/// How often it is looked whether all are there; and, doubled up to the longest, how long is waited
/// before one that could not be made is tried again.
const LOOK: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// Sees to it that all clones are there, until this is dropped.
pub(crate) async fn follow(app: Arc<App>, handle: Handle) {
    let mut pause = LOOK;
    let mut troubles: BTreeMap<ProjectId, String> = BTreeMap::new();
    loop {
        sleep(pause).await;
        let config = app.config();
        let missing = |project: &&Project| {
            matches!(project.source, Source::Clone(_))
                && !is_cloned(&place_of(&config, &project.id, &project.source))
        };
        let missing: Vec<&Project> = config.projects.iter().filter(missing).collect();
        troubles.retain(|id, _| missing.iter().any(|project| project.id == *id));
        pause = if troubles.is_empty() { LOOK } else { (pause * 2).min(LONGEST) };
        let mut made = false;
        for project in missing {
            match app.settle(project).await {
                Ok(_) => {
                    tracing::info!("project `{}` is cloned", project.id);
                    troubles.remove(&project.id);
                    made = true;
                }
                Err(error) => tell(&app, &mut troubles, project, format!("{error:#}")).await,
            }
        }
        // Work that waited for one does not wait for the pause to end.
        if made && handle.apply(app.policy().await).await.is_err() {
            return;
        }
    }
}

/// Says why a clone cannot be made, once.
async fn tell(
    app: &App,
    troubles: &mut BTreeMap<ProjectId, String>,
    project: &Project,
    why: String,
) {
    if troubles.get(&project.id) == Some(&why) {
        return;
    }
    let text =
        format!("project `{}` cannot be cloned, which is tried again by itself: {why}", project.id);
    tracing::warn!("{text}");
    if let Some(front) = &app.front {
        front.board.tell_owner(&text).await;
    }
    troubles.insert(project.id.clone(), why);
}
