//! The stimulus that a trained model was fitted with.

use std::path::Path;

use anyhow::Context;
use granule::data::Recording;
use granule::dynamics::Place;
use granule::dynamics::composite::MultiGranularityConfig;
use granule::simulate::{FileConfig, Samples, StimulusConfig};

use crate::config::experiment::Described;
use crate::output::{self, note};

/// Gives a trained model the stimulus again that it was fitted with, where there was one.
pub fn take_up(described: &mut Described, place: &Place, quiet: bool) {
    if let (Some(recording), Some(model)) = (&described.recording, &described.config.composite) {
        match stimulus(recording, model, place) {
            Ok((stimulus, trials)) => {
                if !quiet {
                    let which = match trials {
                        1 => String::new(),
                        _ => format!(", the first of {trials} trials"),
                    };
                    let file = output::quoted(recording);
                    note(&format!(
                        "note: the stimulus is the one that the model was fitted with: {file}{which}"
                    ));
                }
                described.config.stimulus = Some(StimulusConfig::File(stimulus));
            }
            Err(error) => output::warn(&format!(
                "the model was fitted with an input from outside, which cannot be replayed: {error}; \
                 set `stimulus.kind` to give it another"
            )),
        }
    }
}

/// What the model was given in the first trial of its recording, in the order of its channels; and how many trials there
/// are.
///
/// # Errors
/// A recording that is not there any more, or has no such input.
fn stimulus(
    file: &Path,
    model: &MultiGranularityConfig,
    place: &Place,
) -> anyhow::Result<(FileConfig, usize)> {
    let inputs = model.init(place)?.inputs()?;
    let names: Vec<String> = inputs
        .iter()
        .map(|channel| format!("stimulus.{}", channel.name))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let recording = Recording::read(file, &names)?;
    let rows = (0..recording.samples).flat_map(|sample| {
        let quantities = recording.quantities.iter();
        quantities.flat_map(move |quantity| quantity.row(recording.samples, 0, sample))
    });
    let values = rows.map(|value| f64::from(*value)).collect();
    let path = file.to_str().context("a file name is not valid UTF-8")?;
    let config = FileConfig {
        file: path.into(),
        interval: Some(recording.interval),
        samples: Some(Samples {
            times: None,
            width: recording
                .quantities
                .iter()
                .map(|quantity| quantity.columns)
                .sum(),
            values,
            unit: None,
            times_have_unit: true,
        }),
        ..Default::default()
    };
    Ok((config, recording.trials))
}
