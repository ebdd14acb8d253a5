//! Makes a plan and saves it: the planner of `bridge-ops`, with files between its passes and its notices on the terminal.

use std::sync::{Mutex, PoisonError};

use bridge_core::failure::Recovery;
use bridge_ops::replay::{
    frame::Frame,
    planner::{Notice, PORTION, PlanError, Planner, Spool},
    setting::Setting,
};
use chrono::SecondsFormat;
use tokio_util::sync::CancellationToken;

use super::{
    files::{self, Nameless, PlanFile, PlanWriter},
    options::Request,
};
use crate::{command::progress::Progress, tell::tell};

/// Makes the plan and saves it; false if it was stopped before.
pub(super) async fn make(
    setting: &Setting<'_>,
    request: &Request,
    made_for: Frame,
    file: &PlanFile,
    stop: &CancellationToken,
) -> anyhow::Result<bool> {
    let display = Mutex::new(Display::default());
    let planner = Planner {
        setting,
        filter: &request.filter,
        limit: request.limit,
        portion: PORTION,
        open: &|name| {
            let path = file.draft(name);
            let nameless = Nameless::create(&path);
            let nameless = nameless.map_err(|error| files::unwritten(&path, &error))?;
            Ok(Box::new(nameless) as Box<dyn Spool>)
        },
        tell: &|notice| display.lock().unwrap_or_else(PoisonError::into_inner).show(notice),
    };
    let plan = planner.plan(stop.cancelled()).await;
    display.into_inner().unwrap_or_else(PoisonError::into_inner).finish();
    let Some(mut plan) = plan.map_err(|error| with_advice(&error))? else { return Ok(false) };
    let mut writer = PlanWriter::new(file.draft("new"), &super::head(setting, request, made_for, plan.missed.clone()))?;
    for entry in plan.entries()? {
        writer.entry(&entry?)?;
    }
    writer.finish(file.path())?;
    Ok(true)
}

/// What to do about a plan that could not be made.
fn with_advice(error: &PlanError) -> anyhow::Error {
    let PlanError::Source(source) = error else { return anyhow::anyhow!("{error}") };
    let advice = match source.kind.recovery() {
        Recovery::Halt => "give the permission, or mend the name in the configuration",
        Recovery::Retry | Recovery::DeadLetter => "is the cloud up? runbooks/dead-letters.md says what else to look at",
    };
    anyhow::anyhow!("{error}; {advice}")
}

/// Shows notices: a bar for each queue, then one for the stores.
#[derive(Default)]
struct Display {
    bar: Option<Progress>,
}

impl Display {
    fn show(&mut self, notice: Notice<'_>) {
        match notice {
            Notice::Read(count) => self.bar("messages looked at").add(count),
            Notice::Predicted => self.bar("effects predicted").inc(),
            Notice::QueueDone => self.finish(),
            Notice::MessagesKeepComing(queue, since) => {
                let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
                self.say(&format!("{queue}: messages keep coming; those since {since} are left for another replay"));
            }
            Notice::InFlightElsewhere(queue, count) => self.say(&format!(
                "{queue}: about {count} more are in somebody's hands and not in this plan: a worker's, or those of a replay that was killed; these show again within two minutes; then make another plan"
            )),
            Notice::NotGivenBack(error) => tracing::warn!(
                error = error.chain(),
                "some messages were not given back: they show again within two minutes"
            ),
            Notice::Unreachable(site, error) => {
                self.finish();
                tell!("{site} cannot be asked what its messages would do, they count as still owed: {error}");
            }
        }
    }

    fn bar(&mut self, of: &'static str) -> &mut Progress {
        self.bar.get_or_insert_with(|| Progress::new(of))
    }

    fn say(&mut self, text: &str) {
        self.bar("messages looked at").say(text);
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish();
        }
    }
}
