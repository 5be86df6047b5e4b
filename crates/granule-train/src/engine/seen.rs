//! What a model sees of a sample, and the samples that it is looked at with.

use granule_data::{Dataset, Normalization, Split};
use granule_io::budget;
use granule_models::{InputShape, ModelFile, Task};

use super::dataset::{has_counts, scale_of, train_samples};
use super::samples::Samples;
use super::score::{checked, scales_of, whole};
use crate::TrainError;
use crate::batch::Scaling;
use crate::event::Observer;

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

/// The test part of a data set as a model file takes it.
pub(super) struct TestPart<'a> {
    dataset: &'a Dataset,
    relabelled: Option<Split>,
    indices: Vec<usize>,
    scales: [Normalization; 2],
    counts: bool,
}

impl<'a> TestPart<'a> {
    pub fn new(
        file: &ModelFile,
        dataset: &'a Dataset,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        Ok(Self {
            dataset,
            relabelled: checked(file, dataset, observer)?,
            indices: whole(&dataset.test)?,
            scales: scales_of(file),
            counts: has_counts(&file.task),
        })
    }

    pub fn samples(&self) -> Samples<'_> {
        let [inputs, targets] = &self.scales;
        Samples {
            split: self.relabelled.as_ref().unwrap_or(&self.dataset.test),
            indices: &self.indices,
            scaling: Scaling {
                inputs,
                targets,
                counts: self.counts,
            },
        }
    }
}

/// Hands what a run has learnt from, with its limit and the seed of its data, and what it is tested on to `use_it`, scaled as
/// a regression beside a model takes it.
pub(super) fn with_regression<T>(
    dataset: &Dataset,
    task: &Task,
    (limit_train, data_seed): (Option<usize>, u64),
    use_it: impl FnOnce(Samples<'_>, Samples<'_>) -> Result<T, TrainError>,
) -> Result<T, TrainError> {
    let learnt = train_samples(dataset, limit_train, data_seed);
    let tested = whole(&dataset.test)?;
    let counts = has_counts(task);
    let targets = scale_of(dataset, counts);
    let of = |split, indices| Samples {
        split,
        indices,
        scaling: Scaling {
            inputs: &dataset.normalization,
            targets: &targets,
            counts,
        },
    };
    use_it(of(&dataset.train, &learnt), of(&dataset.test, &tested))
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
