//! Samples of a part, and how a network runs on them.

use burn::tensor::{Device, Tensor, TensorData};
use granule_data::task::Part;
use granule_data::{Dataset, Split};
use granule_io::budget;
use granule_models::{Model as _, Network};

use crate::batch::{BatchTruth, Scaling};
use crate::batches::truth;
use crate::error::TrainError;
use crate::loss::{LossFunction, Tally, Truth};
use crate::metrics::Explainable;
use crate::outcome::{Evaluation, Scores};

/// Samples to run a network on.
#[derive(Clone, Copy)]
pub(crate) struct Samples<'a> {
    pub split: &'a Split,
    pub indices: &'a [usize],
    pub scaling: Scaling<'a>,
}

impl Samples<'_> {
    /// Runs `network` (without autodiff, on `device`) and hands indices and outputs of each batch to `sink`, in order.
    /// An output that is not finite is an error, which says that the samples are of `part`.
    pub fn run(
        &self,
        part: &'static str,
        network: &Network,
        device: &Device,
        batch: usize,
        sink: impl FnMut(&[usize], &[f32]) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        self.run_altered(part, network, (device, batch), |_, _| Ok(()), sink)
    }

    /// The same of inputs that `alter` has changed, which is given the place of a batch's first sample among all and the
    /// standardised inputs of the batch, row by row.
    pub fn run_altered(
        &self,
        part: &'static str,
        network: &Network,
        (device, batch): (&Device, usize),
        mut alter: impl FnMut(usize, &mut [f32]) -> Result<(), TrainError>,
        mut sink: impl FnMut(&[usize], &[f32]) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let mut read = |(chunk, outputs): (&[usize], Tensor<2>)| {
            let outputs = outputs
                .try_into_vec_as::<f32>()
                .map_err(TrainError::backend)?;
            check_finite(part, chunk, &outputs)?;
            sink(chunk, &outputs)
        };
        // One batch is handed to the device before the last one's outputs are waited for.
        let mut pending = None;
        let batch = batch.max(1);
        for (chunk, first) in self.indices.chunks(batch).zip((0..).step_by(batch)) {
            let mut data = Vec::new();
            self.split
                .gather(chunk, self.scaling.inputs, None, &mut data)?;
            alter(first, &mut data)?;
            let data = TensorData::new(data, [chunk.len(), self.split.shape().len()]);
            let outputs = network.forward(Tensor::from_data(data, device))?;
            if let Some(last) = pending.replace((chunk, outputs)) {
                read(last)?;
            }
        }
        pending.map_or(Ok(()), read)
    }

    /// Totals of the loss without label smoothing, of samples of the training part.
    pub fn tally(
        &self,
        network: &Network,
        device: &Device,
        batch: usize,
    ) -> Result<Tally, TrainError> {
        let function = LossFunction::scoring().of_counts(self.scaling.rates());
        let mut total = Tally::default();
        self.run("training", network, device, batch, |indices, outputs| {
            let tally = self.with_truth(indices, |truth| {
                let width = outputs.len() / indices.len().max(1);
                function.on_host(outputs, truth, width, None)
            })?;
            total.loss += tally.loss;
            total.correct += tally.correct;
            Ok(())
        })?;
        Ok(total)
    }

    /// Adds what repeats of a condition have in common to the scores of real values, where they are known, of the outputs on the
    /// scale on which the targets are stored.
    pub fn explain(
        &self,
        evaluation: &mut Evaluation,
        dataset: &Dataset,
        outputs: &[f32],
    ) -> Result<(), TrainError> {
        if let (Scores::Regression(scores), Some(repeats)) =
            (&mut evaluation.scores, &dataset.repeats)
        {
            let places = self.indices.iter();
            let places = places.filter_map(|&index| repeats.get(index).copied());
            let places: Vec<_> = budget::collect(places, self.indices.len(), "the repeats")?;
            let truth = self.values()?;
            scores.explainable = Explainable::new(&places, &truth, outputs, self.width());
        }
        Ok(())
    }

    /// What is true of samples.
    pub fn with_truth<R>(
        &self,
        indices: &[usize],
        use_it: impl FnOnce(Truth<'_>) -> R,
    ) -> Result<R, TrainError> {
        Ok(match truth(self.split, indices, self.scaling.targets)? {
            BatchTruth::HostClasses(classes) => use_it(Truth::Classes(&classes)),
            BatchTruth::HostValues(values) => use_it(Truth::Values(&values)),
            _ => use_it(Truth::Values(&[])),
        })
    }
}

/// A part as errors name it.
pub(super) fn part_name(part: Part) -> &'static str {
    match part {
        Part::Train => "training",
        Part::Validation => "validation",
        Part::Test => "test",
    }
}

/// Refuses `outputs`, a row per sample of `indices`, unless all are finite.
pub(super) fn check_finite(
    part: &'static str,
    indices: &[usize],
    outputs: &[f32],
) -> Result<(), TrainError> {
    let width = (outputs.len() / indices.len().max(1)).max(1);
    let bad = outputs.iter().position(|x| !x.is_finite());
    let found = bad.and_then(|place| Some((indices.get(place / width)?, outputs.get(place)?)));
    match found {
        None => Ok(()),
        Some((&sample, &value)) => Err(TrainError::NonFiniteOutput {
            part,
            sample,
            value,
        }),
    }
}
