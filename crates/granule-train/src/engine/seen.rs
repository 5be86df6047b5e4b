//! What a model sees of a sample.

use granule_data::{Dataset, Normalization, Split};
use granule_io::budget;
use granule_models::{InputShape, ModelFile};

use super::samples::Samples;
use super::test_part::whole;
use crate::TrainError;

/// What asks for memory here.
const WHAT: &str = "what a model sees";
/// Samples that are read at a time.
const BLOCK: usize = 32;

/// The steps and channels of a sample; features are channels of one step.
pub(super) struct Seen<'a> {
    dataset: &'a Dataset,
    pub steps: usize,
    pub channels: usize,
    /// `channel` or `feature`.
    pub thing: &'static str,
}

impl<'a> Seen<'a> {
    /// Nothing of images.
    pub fn new(file: &ModelFile, dataset: &'a Dataset) -> Option<Self> {
        let (steps, channels, thing) = match file.input.shape {
            InputShape::Sequence { steps, channels } => (steps, channels, "channel"),
            InputShape::Vector { len } => (1, len, "feature"),
            InputShape::Image { .. } => return None,
        };
        Some(Self {
            dataset,
            steps,
            channels,
            thing,
        })
    }

    /// The number that the recording gives a channel.
    pub fn column(&self, channel: usize) -> usize {
        let columns = &self.dataset.columns;
        columns.get(channel).copied().unwrap_or(channel)
    }

    /// What steps are called, `lag` in bins from the one that is decoded or `step`, and each of them.
    pub fn lags(&self) -> (&'static str, Vec<String>) {
        let test = &self.dataset.test;
        let current = test.starts().map(|_| test.current() as i64);
        let name = |step: usize| match current {
            Some(current) => match step as i64 - current {
                0 => "0".to_owned(),
                lag => format!("{lag:+}"),
            },
            None => step.to_string(),
        };
        let thing = if current.is_some() { "lag" } else { "step" };
        (thing, (0..self.steps).map(name).collect())
    }
}

/// Hands the standardised inputs of samples to `each`, until it says no.
pub(super) fn rows(
    samples: Samples<'_>,
    each: impl FnMut(&[f32]) -> bool,
) -> Result<(), TrainError> {
    let Samples { split, indices, .. } = samples;
    gathered(split, indices, samples.scaling.inputs, each)
}

fn gathered(
    split: &Split,
    indices: &[usize],
    inputs: &Normalization,
    mut each: impl FnMut(&[f32]) -> bool,
) -> Result<(), TrainError> {
    let (mut data, len) = (Vec::new(), split.shape().len().max(1));
    for chunk in indices.chunks(BLOCK) {
        split.gather(chunk, inputs, None, &mut data)?;
        if !data.chunks_exact(len).all(&mut each) {
            break;
        }
    }
    Ok(())
}

/// Which numbers of a sample are not the same in all of a part.
pub(super) fn changing(split: &Split, inputs: &Normalization) -> Result<Vec<bool>, TrainError> {
    let len = split.shape().len();
    let mut changes = budget::filled(false, len, WHAT)?;
    let mut first: Vec<f32> = budget::with_capacity(len, WHAT)?;
    gathered(split, &whole(split)?, inputs, |x| {
        if first.is_empty() {
            first.extend_from_slice(x);
        }
        let pairs = changes.iter_mut().zip(x.iter().zip(&first));
        pairs.for_each(|(changes, (x, first))| *changes |= x != first);
        changes.contains(&false)
    })?;
    Ok(changes)
}
