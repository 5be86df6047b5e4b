//! What commands that measure a trained decoder on its test part have in common.

use std::path::Path;

use granule::device::{DeviceSpec, OpenDevice};
use granule::models::folder::MODEL_FILE;
use granule::models::{InputShape, ModelFile, Task};
use granule::train::TrainError;
use granule::train::record::{REPORT_HTML, RecordError, ReportData, write_report};
use serde::Serialize;

use super::eval::in_file;
use super::result::fact;
use super::target::{Target, open};
use super::tested::TestedData;
use crate::args;
use crate::failure::Usage;
use crate::interrupt::Interrupt;
use crate::output;
use crate::progress::{Style, Watcher};
use crate::written::OutFile;

/// A model that sees a signal or features, with what it is measured on.
pub struct Decoder {
    pub file: ModelFile,
    pub tested: TestedData,
    target: Target,
    device: OpenDevice,
    batch: usize,
    /// Whether it is measured on the test part of its training.
    as_trained: bool,
}

/// Of what something was measured, as `--json` tells it.
#[derive(Serialize)]
pub struct Facts<'a> {
    data: String,
    device: &'a str,
    model: String,
}

impl Decoder {
    /// What shows how far the work is, and says what becomes of it when it is stopped.
    pub fn watcher<'a>(
        json: bool,
        interrupt: &'a Interrupt,
        stopping: &'static str,
    ) -> Watcher<'a> {
        Watcher::new(Style::choose(false, json), Some(interrupt)).stopping(stopping)
    }

    pub fn open(args: &args::Decoder, watcher: &mut Watcher<'_>) -> anyhow::Result<Self> {
        let target = Target::find(&args.model)?;
        let file = ModelFile::load(&target.model)?;
        check_kind(&file)?;
        let run_config = target.config();
        let device = open(args.device.as_ref(), DeviceSpec::Auto)?;
        let images = args::AsImages::default();
        let about = (&file, run_config.as_ref());
        let tested = TestedData::read(&args.tested, &images, about, watcher)?;
        let as_trained = tested.run.is_some()
            && args.tested.dataset.is_none()
            && args.tested.set.is_empty()
            && args.tested.limit_test.is_none();
        Ok(Self {
            file,
            tested,
            target,
            device,
            batch: args.batch_size,
            as_trained,
        })
    }

    /// The device, and how many samples go through it at a time.
    pub fn place(&self) -> (&OpenDevice, usize) {
        (&self.device, self.batch)
    }

    /// The error with the model file that it is about.
    pub fn named(&self, error: TrainError) -> TrainError {
        in_file(error, &self.target.model)
    }

    /// Keeps what was measured with the run, unless it is of other data or was stopped, and shows it on its page; the page, where
    /// there is one. That it cannot be kept is no failure: it is told of as well.
    pub fn keep(
        &self,
        stopped: bool,
        store: impl FnOnce(&Path) -> Result<(), RecordError>,
    ) -> Option<String> {
        let run_dir = self.target.run_dir.as_deref();
        let run_dir = run_dir.filter(|run_dir| run_dir.join(MODEL_FILE) == self.target.model)?;
        if stopped || !self.as_trained {
            return None;
        }
        let written =
            store(run_dir).and_then(|()| write_report(run_dir, &ReportData::load(run_dir)?));
        match written {
            Ok(()) => Some(run_dir.join(REPORT_HTML).display().to_string()),
            Err(error) => {
                output::warn(&format!("the report does not show it: {error}"));
                None
            }
        }
    }

    pub fn facts(&self) -> Facts<'_> {
        Facts {
            data: self.tested.name(),
            device: self.device.name(),
            model: self.target.model.display().to_string(),
        }
    }

    /// Tells of what was measured, and where it is kept.
    pub fn tell(&self, page: Option<&str>, table: Option<&OutFile>) -> anyhow::Result<()> {
        let facts = self.facts();
        fact("data", &facts.data)?;
        fact("device", facts.device)?;
        fact("model", &facts.model)?;
        if let Some(page) = page {
            fact("page", page)?;
        }
        if let Some(table) = table {
            fact("table", &table.path().display().to_string())?;
        }
        Ok(())
    }
}

/// Refuses a model that sees neither channels nor features.
fn check_kind(file: &ModelFile) -> Result<(), Usage> {
    let hint = "a run on recording:PATH or on arrays of features has channels, lags or features to measure";
    let refused = |what: String| Err(Usage::new(what).hint(hint));
    match (&file.task, &file.input.shape) {
        (Task::Trials { task, .. }, _) => refused(format!(
            "the model was trained on trials of {}, whose inputs are not measured here",
            output::printable(task)
        )),
        (Task::Recording { .. }, _) => refused(
            "the model was fitted to a recording as a whole, it decodes no samples of one"
                .to_owned(),
        ),
        (_, shape @ InputShape::Image { .. }) => refused(format!("the model sees images: {shape}")),
        _ => Ok(()),
    }
}

/// Four decimals, whatever the size: drops are on the scale of scores, slopes on that of standard deviations. What rounds to 0
/// has no sign.
pub fn decimals(x: f64) -> String {
    match format!("{x:.4}") {
        _ if x.is_nan() => "-".to_owned(),
        zero if zero == "-0.0000" => "0.0000".to_owned(),
        text => text,
    }
}
