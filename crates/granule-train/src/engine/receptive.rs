//! The mean slope of each output by what a model sees.

use burn::module::Module as _;
use burn::tensor::{Tensor, TensorData};
use granule_data::Dataset;
use granule_device::OpenDevice;
use granule_io::budget;
use granule_models::{Model as _, ModelFile, Network, Task};

use super::baseline;
use super::dataset::has_counts;
use super::opened::on;
use super::samples::{Samples, check_finite};
use super::seen::{Seen, changing};
use super::test_part::{TestPart, with_regression};
use crate::event::{Event, Observer};
use crate::receptive::{Answer, LinearField, Outputs, ReceptiveField, ReceptiveFields};
use crate::{ConfigError, TrainError};

/// What asks for memory here.
const WHAT: &str = "receptive fields";

/// The receptive field of each output of a model file on the test part of a data set, `batch` samples at a time. With the limit
/// and the seed of the data of the run, the weights of the regression that sees most stand beside. Nothing when the observer
/// [asks to stop](Observer::is_impatient), for the mean of some samples is not that of all.
///
/// # Errors
/// [`TrainError::Config`] for a model that sees images; [`TrainError::Mismatch`] when sample shape or targets differ from the model's;
/// [`TrainError::NonFiniteOutput`] where a slope is not finite.
pub fn receptive_fields(
    file: &ModelFile,
    dataset: &Dataset,
    run: Option<(Option<usize>, u64)>,
    (device, batch): (&OpenDevice, usize),
    observer: &mut dyn Observer,
) -> Result<Option<ReceptiveFields>, TrainError> {
    let test = TestPart::new(file, dataset, observer)?;
    let Some(seen) = Seen::new(file, dataset) else {
        let allowed =
            "one that sees a signal or features: receptive fields are of channels at lags";
        return Err(ConfigError::new("model", file.input.shape, allowed).into());
    };
    let outputs = file.task.outputs();
    let linear = match run.filter(|_| !dataset.reconstructs) {
        Some(run) => with_regression(dataset, &file.task, run, |learnt, tested| {
            baseline::linear(learnt, tested, outputs, run.1, observer)
        })?,
        None => None,
    };
    let slopes = on(device, || {
        let autodiff = device.burn().clone().autodiff();
        let network = file.network(&autodiff)?.no_grad();
        Slopes {
            samples: test.samples(),
            network: &network,
            device: &autodiff,
            batch: batch.max(1),
            outputs,
        }
        .mean(observer)
    })?;
    let Some(mut slopes) = slopes else {
        return Ok(None);
    };
    silence(&mut slopes, dataset, &seen)?;
    let is_logit = matches!(file.task, Task::Classification { .. });
    if is_logit {
        center(&mut slopes);
    }
    let len = seen.steps * seen.channels;
    let mut weights = linear
        .as_ref()
        .map(|linear| linear.weights.chunks(len.max(1)));
    let fields = slopes.into_iter().enumerate().map(|(output, model)| {
        let own = weights
            .as_mut()
            .and_then(Iterator::next)
            .map(<[f64]>::to_vec);
        ReceptiveField::new(name(file, dataset, output), model, own)
    });
    let fields = fields.collect();
    let (step, lags) = seen.lags();
    Ok(Some(ReceptiveFields {
        answer: if is_logit {
            Answer::Logit
        } else if has_counts(&file.task) {
            Answer::LogRate
        } else {
            Answer::Value
        },
        outputs: match &file.task {
            Task::Classification { .. } => Outputs::Classes,
            _ if dataset.target_columns.is_empty() => Outputs::Values,
            _ => Outputs::Channels,
        },
        thing: seen.thing.to_owned(),
        step: step.to_owned(),
        channels: (0..seen.channels).map(|at| seen.column(at)).collect(),
        lags,
        samples: test.samples().indices.len(),
        linear: linear.map(|linear| LinearField {
            name: linear.name,
            penalty: linear.penalty,
        }),
        fields,
    }))
}

/// Sets the slopes by channels that are the same in all of training to 0: nothing was learnt of them, and they have no standard
/// deviation to change by. Of data without a training part, those that are the same in all samples.
fn silence(slopes: &mut [Vec<f64>], dataset: &Dataset, seen: &Seen<'_>) -> Result<(), TrainError> {
    let split = if dataset.train.is_empty() {
        &dataset.test
    } else {
        &dataset.train
    };
    let changes = changing(split, &dataset.normalization)?;
    for channel in 0..seen.channels {
        let mut at_steps = changes.iter().skip(channel).step_by(seen.channels);
        if !at_steps.any(|changes| *changes) {
            let own = slopes.iter_mut();
            own.flat_map(|own| own.iter_mut().skip(channel).step_by(seen.channels))
                .for_each(|slope| *slope = 0.0);
        }
    }
    Ok(())
}

/// Takes the mean over the outputs from each slope: what is added to all logits changes no probability.
fn center(slopes: &mut [Vec<f64>]) {
    let (outputs, places) = (slopes.len(), slopes.first().map_or(0, Vec::len));
    for place in 0..places {
        let sum: f64 = slopes.iter().filter_map(|own| own.get(place)).sum();
        let mean = sum / outputs.max(1) as f64;
        let own = slopes.iter_mut().filter_map(|own| own.get_mut(place));
        own.for_each(|slope| *slope -= mean);
    }
}

/// What an output is called.
fn name(file: &ModelFile, dataset: &Dataset, output: usize) -> String {
    match &file.task {
        Task::Classification { classes } => classes.get(output).cloned(),
        _ => dataset.target_columns.get(output).map(usize::to_string),
    }
    .unwrap_or_else(|| output.to_string())
}

/// Samples whose slopes are taken.
struct Slopes<'a> {
    samples: Samples<'a>,
    network: &'a Network,
    device: &'a burn::tensor::Device,
    batch: usize,
    outputs: usize,
}

impl Slopes<'_> {
    /// The mean slopes of each output; nothing when it was stopped.
    fn mean(&self, observer: &mut dyn Observer) -> Result<Option<Vec<Vec<f64>>>, TrainError> {
        let Samples {
            split,
            indices,
            scaling,
        } = self.samples;
        let len = split.shape().len();
        let empty = |_| budget::filled(0.0_f64, len, WHAT);
        let mut sums = (0..self.outputs)
            .map(empty)
            .collect::<Result<Vec<_>, _>>()?;
        let (mut data, mut done) = (Vec::new(), 0);
        let total = indices.len().saturating_mul(self.outputs);
        for chunk in indices.chunks(self.batch) {
            split.gather(chunk, scaling.inputs, None, &mut data)?;
            for (output, sums) in sums.iter_mut().enumerate() {
                if observer.is_impatient() {
                    return Ok(None);
                }
                self.add(chunk, &data, output, sums)?;
                done += chunk.len();
                observer.event(&Event::Evaluated { done, total });
            }
        }
        let samples = indices.len().max(1) as f64;
        sums.iter_mut().flatten().for_each(|sum| *sum /= samples);
        Ok(Some(sums))
    }

    /// Adds the slopes of an output of some samples, whose standardised inputs are `data`.
    fn add(
        &self,
        chunk: &[usize],
        data: &[f32],
        output: usize,
        sums: &mut [f64],
    ) -> Result<(), TrainError> {
        let rows = chunk.len();
        let data = budget::collect(data.iter().copied(), data.len(), WHAT)?;
        let data = TensorData::new(data, [rows, sums.len()]);
        let inputs = Tensor::<2>::from_data(data, self.device).require_grad();
        let answers = self.network.forward(inputs.clone())?;
        let gradients = answers.narrow(1, output, 1).sum().backward();
        // What an output has nothing to do with has no slope.
        let Some(slopes) = inputs.grad(&gradients) else {
            return Ok(());
        };
        let slopes = slopes
            .try_into_vec_as::<f32>()
            .map_err(TrainError::backend)?;
        check_finite("test", chunk, &slopes)?;
        for row in slopes.chunks_exact(sums.len().max(1)) {
            let pairs = sums.iter_mut().zip(row);
            pairs.for_each(|(sum, slope)| *sum += f64::from(*slope));
        }
        Ok(())
    }
}
