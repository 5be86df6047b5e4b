//! One batch, and what its samples give to an optimiser step.

use burn::tensor::{Device, Tensor, TensorData};
use granule_device::OpenDevice;
use granule_models::{Model as _, Network, NoiseStream};

use crate::batch::{Batch, BatchTruth};
use crate::error::TrainError;
use crate::loss::{DeviceTruth, LossFunction, Tally, Truth, correct_on_device, counted};
use crate::optimizer::{Amount, Gradient};
use granule_dynamics::gradient::Memory;

/// A batch to learn from.
pub(crate) trait Work {
    /// Runs the network on the batch, forward and back.
    fn contribution(
        self: Box<Self>,
        context: BatchContext<'_>,
        network: &Network,
    ) -> Result<Contribution, TrainError>;
}

/// What a batch is run with.
pub(crate) struct BatchContext<'a> {
    pub device: &'a OpenDevice,
    /// The same with autodiff.
    pub train_device: &'a Device,
    pub loss: &'a LossFunction,
    /// What the layers draw.
    pub noise: NoiseStream,
    /// The levels that learn in this epoch; none when all do.
    pub turn: Option<&'a [String]>,
    pub memory: Option<&'a Memory>,
}

/// What one batch, or several, give to an optimiser step.
pub(crate) struct Contribution {
    /// Of the mean loss; of several batches that of the sum, until all are there.
    pub gradient: Gradient,
    pub amount: Amount,
    pub samples: usize,
    /// On the host.
    pub tally: Tally,
    /// On a device: the mean loss times the number of samples, and hits; `[1]` each.
    pub readings: Option<[Tensor<1>; 2]>,
}

impl Contribution {
    /// Of samples whose loss is on the host.
    pub fn read(gradient: Gradient, samples: usize, tally: Tally) -> Self {
        Self {
            gradient,
            amount: Amount::Host(samples as f64),
            samples,
            tally,
            readings: None,
        }
    }

    /// Of samples whose mean loss is read later, with that of other steps.
    pub fn waiting(gradient: Gradient, samples: usize, loss: Tensor<1>) -> Self {
        let loss = loss.without_autodiff().mul_scalar(samples as f64);
        let hits = loss.zeros_like();
        Self {
            readings: Some([loss, hits]),
            ..Self::read(gradient, samples, Tally::default())
        }
    }

    /// Of the samples of both.
    pub fn plus(mut self, other: Self) -> Result<Self, TrainError> {
        self.gradient.add(other.gradient)?;
        Ok(Self {
            gradient: self.gradient,
            amount: self.amount.plus(other.amount),
            samples: self.samples + other.samples,
            tally: Tally {
                loss: self.tally.loss + other.tally.loss,
                correct: self.tally.correct + other.tally.correct,
            },
            readings: match (self.readings, other.readings) {
                (Some([loss, hits]), Some([more_loss, more_hits])) => {
                    Some([loss + more_loss, hits + more_hits])
                }
                _ => None,
            },
        })
    }
}

/// A number that is on the host.
pub(crate) fn number(loss: Tensor<1>) -> Result<f64, TrainError> {
    let loss = loss
        .without_autodiff()
        .try_into_vec_as::<f64>()
        .map_err(TrainError::backend)?;
    Ok(loss.first().copied().unwrap_or(f64::NAN))
}

impl Work for Batch {
    fn contribution(
        self: Box<Self>,
        mut context: BatchContext<'_>,
        network: &Network,
    ) -> Result<Contribution, TrainError> {
        let outputs = network.forward_train(self.inputs, &mut context.noise)?;
        let amount = context.amount(&self.truth, self.len);
        let host = context.device.is_host();
        match &self.truth {
            BatchTruth::HostClasses(classes) if host => {
                context.part_on_host(network, outputs, Truth::Classes(classes), amount)
            }
            BatchTruth::HostValues(values) if host => {
                context.part_on_host(network, outputs, Truth::Values(values), amount)
            }
            BatchTruth::Trials { targets, mask } if host => {
                let truth = Truth::Trials { targets, mask };
                context.part_on_host(network, outputs, truth, amount)
            }
            _ => {
                let truth = context.truth_on_device(self.truth, self.len);
                context.part_on_device(network, outputs, truth, amount)
            }
        }
    }
}

impl BatchContext<'_> {
    fn amount(&self, truth: &BatchTruth, samples: usize) -> Amount {
        let host = |truth| Amount::Host(self.loss.amount(truth, samples));
        match truth {
            BatchTruth::HostClasses(classes) => host(Truth::Classes(classes)),
            BatchTruth::HostValues(values) => host(Truth::Values(values)),
            BatchTruth::Trials { targets, mask } => host(Truth::Trials { targets, mask }),
            BatchTruth::DeviceValues(_) => Amount::Host(samples as f64),
            BatchTruth::DeviceClasses(classes) => match self.loss.amount_on_device(classes) {
                Some(amount) => Amount::Device(Box::new(amount)),
                None => Amount::Host(samples as f64),
            },
        }
    }

    fn part_on_host(
        &mut self,
        network: &Network,
        outputs: Tensor<2>,
        truth: Truth<'_>,
        amount: Amount,
    ) -> Result<Contribution, TrainError> {
        let [samples, width] = outputs.dims();
        let shape = outputs.shape();
        let values = outputs
            .clone()
            .without_autodiff()
            .try_into_vec_as::<f32>()
            .map_err(TrainError::backend)?;
        let mut slope = Vec::new();
        let mut tally = self.loss.on_host(&values, truth, width, Some(&mut slope));
        let slope = Tensor::from_data(TensorData::new(slope, shape), self.train_device);
        let mut objective = outputs.mul(slope).sum();
        if let Some(penalty) = self.noise.take_penalty() {
            tally.loss += number(penalty.clone())? * samples as f64;
            objective = objective.add(penalty);
        }
        let gradient = Gradient::collect(objective.backward(), network, true)?;
        Ok(Contribution {
            gradient,
            amount,
            samples,
            tally,
            readings: None,
        })
    }

    fn part_on_device(
        &mut self,
        network: &Network,
        outputs: Tensor<2>,
        truth: DeviceTruth,
        amount: Amount,
    ) -> Result<Contribution, TrainError> {
        let [samples, _] = outputs.dims();
        let loss = self.loss.on_device(outputs.clone(), truth.clone());
        let loss = self.noise.penalized(loss);
        let gradient = Gradient::collect(loss.backward(), network, false)?;
        let hits = match truth {
            DeviceTruth::Classes(classes) => correct_on_device(outputs.without_autodiff(), classes),
            DeviceTruth::Values(_) | DeviceTruth::Trials { .. } => {
                Tensor::zeros([1], self.device.burn())
            }
        };
        let loss = loss.without_autodiff().mul_scalar(samples as f64);
        Ok(Contribution {
            gradient,
            amount,
            samples,
            tally: Tally::default(),
            readings: Some([loss, hits]),
        })
    }

    fn truth_on_device(&self, truth: BatchTruth, samples: usize) -> DeviceTruth {
        let device = self.device.burn();
        match truth {
            BatchTruth::DeviceClasses(classes) => DeviceTruth::Classes(classes),
            BatchTruth::DeviceValues(values) => DeviceTruth::Values(values),
            BatchTruth::HostClasses(classes) => {
                let classes: Vec<i32> = classes.into_iter().map(i32::from).collect();
                let data = TensorData::new(classes, [samples]);
                DeviceTruth::Classes(Tensor::from_data(data, device))
            }
            BatchTruth::HostValues(values) => {
                let width = values.len() / samples.max(1);
                let data = TensorData::new(values, [samples, width]);
                DeviceTruth::Values(Tensor::from_data(data, device))
            }
            BatchTruth::Trials { targets, mut mask } => {
                let count = counted(&mask);
                mask.iter_mut()
                    .for_each(|m| *m = (f64::from(*m) / count) as f32);
                let width = targets.len() / samples.max(1);
                let rows = |values| TensorData::new(values, [samples, width]);
                DeviceTruth::Trials {
                    targets: Tensor::from_data(rows(targets), device),
                    weights: Tensor::from_data(rows(mask), device),
                }
            }
        }
    }
}
