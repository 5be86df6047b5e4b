//! A recording, of which every bin or trial is answered.

use std::path::Path;

use granule::data::DecodingConfig;
use granule::data::decoding::{BinPlace, Series};
use granule::io::path::expand;
use granule::models::{InputShape, Sample};

use super::{Answer, BATCH, Model, in_array};
use crate::failure::Usage;
use crate::output;

/// What a recording is named with on the command line.
pub const PREFIX: &str = "recording:";

/// The path of a recording, if an argument names one.
pub fn path(argument: &Path) -> Option<&Path> {
    argument.to_str()?.strip_prefix(PREFIX).map(Path::new)
}

/// Answers every sample of a recording, in order.
///
/// # Errors
/// [`Usage`] for a model that takes something else, or where nothing says what it decodes; those of the arrays.
pub fn answers(
    model: &Model,
    path: &Path,
    (decoding, seed): (Option<&DecodingConfig>, u64),
    top: usize,
    mut show: impl FnMut(BinPlace, Answer) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let input = model.predictor().input();
    let InputShape::Sequence { steps, channels } = input.shape else {
        return Err(Usage::new(format!(
            "the model takes {}, not windows of a recording",
            input.shape
        ))
        .into());
    };
    let decoding = decoding.ok_or_else(|| {
        Usage::new("a model file alone does not say which arrays of a recording it decodes")
            .hint("give the run folder, whose config.toml names them")
    })?;
    let series = Series::read(
        &expand(path),
        decoding,
        (steps, channels),
        &input.blank(),
        seed,
    )?;
    for text in &series.notes {
        output::note(&format!("note: {}", output::printable(text)));
    }
    let all: Vec<(&[f32], BinPlace)> = series.samples().collect();
    for batch in all.chunks(BATCH) {
        let samples: Vec<Sample<'_>> = batch
            .iter()
            .map(|(values, _)| Sample::Values(values))
            .collect();
        let answers = in_array(model.answer(&samples, top), path)?;
        for ((_, place), answer) in batch.iter().zip(answers) {
            show(*place, answer)?;
        }
    }
    Ok(())
}
