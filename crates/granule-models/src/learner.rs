//! Burn's `TrainStep` and `InferenceStep`, so that Burn's own learner can train any model as a classifier.

use std::sync::atomic::{AtomicU64, Ordering};

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Int, Tensor};
use burn_train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep};

use crate::{Model as _, ModelError, Network, NoiseStream};

/// What one step of Burn's learner takes.
#[derive(Clone, Debug)]
pub struct ClassificationBatch {
    /// Normalised samples, `[batch, features]`.
    pub inputs: Tensor<2>,
    /// Class indices, `[batch]`.
    pub targets: Tensor<1, Int>,
    /// The masks of this step. `None` draws them from the number of steps this process has taken, so that a run of one
    /// learner alone in its process repeats; [`NoiseStream::none`] trains without dropout.
    pub dropout: Option<NoiseStream>,
}

impl ClassificationBatch {
    /// A batch for training, with the process's next masks, or for validation, which has none.
    pub fn new(inputs: Tensor<2>, targets: Tensor<1, Int>) -> Self {
        Self {
            inputs,
            targets,
            dropout: None,
        }
    }
}

/// The masks of a step whose batch names none.
fn next_masks() -> NoiseStream {
    static STEPS: AtomicU64 = AtomicU64::new(0);
    NoiseStream::new(0, STEPS.fetch_add(1, Ordering::Relaxed))
}

fn score(output: Tensor<2>, targets: Tensor<1, Int>) -> ClassificationOutput {
    let loss = CrossEntropyLossConfig::new().init(&output.device());
    let loss = loss.forward(output.clone(), targets.clone());
    ClassificationOutput::new(loss, output, targets)
}

/// Burn's learner has no way for a step to fail.
#[expect(clippy::panic, reason = "Burn's steps return no error")]
fn answer(output: Result<Tensor<2>, ModelError>) -> Tensor<2> {
    match output {
        Ok(output) => output,
        Err(error) => panic!("{error}"),
    }
}

impl TrainStep for Network {
    type Input = ClassificationBatch;
    type Output = ClassificationOutput;

    fn step(&self, batch: ClassificationBatch) -> TrainOutput<ClassificationOutput> {
        let mut dropout = batch.dropout.unwrap_or_else(next_masks);
        let output = answer(self.forward_train(batch.inputs, &mut dropout));
        let mut item = score(output, batch.targets);
        item.loss = dropout.penalized(item.loss);
        TrainOutput::new(self, item.loss.backward(), item)
    }
}

impl InferenceStep for Network {
    type Input = ClassificationBatch;
    type Output = ClassificationOutput;

    fn step(&self, batch: ClassificationBatch) -> ClassificationOutput {
        score(answer(self.forward(batch.inputs)), batch.targets)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;
    use granule_device::DeviceSpec;

    use super::*;
    use crate::{InputShape, MlpConfig, ModelConfig};

    #[test]
    fn a_step_drops_units_unless_told_otherwise() {
        let device = DeviceSpec::Flex.open().unwrap().burn().clone().autodiff();
        let config = ModelConfig::new(MlpConfig {
            dropout: 0.5,
            ..MlpConfig::default()
        });
        let input = InputShape::Vector { len: 4 };
        let network = config.init(&input, 3, 1, &device).unwrap();
        let x: Vec<f32> = (0..32).map(|i| (i % 7) as f32 - 3.0).collect();
        let inputs = Tensor::<2>::from_data(TensorData::new(x, [8, 4]), &device);
        let targets = Tensor::<1, Int>::from_ints([0, 1, 2, 0, 1, 2, 0, 1], &device);
        let step = |dropout: Option<NoiseStream>| {
            let batch = ClassificationBatch {
                dropout,
                ..ClassificationBatch::new(inputs.clone(), targets.clone())
            };
            let output = TrainStep::step(&network, batch).item.output;
            output.into_data().try_into_vec::<f32>().unwrap()
        };
        let plain = network.forward(inputs.clone()).unwrap().into_data();
        let plain = plain.try_into_vec::<f32>().unwrap();
        assert_eq!(step(Some(NoiseStream::none())), plain);
        let (first, second) = (step(None), step(None));
        assert_ne!(first, plain);
        assert_ne!(first, second);
        let chosen = || step(Some(NoiseStream::new(3, 4)));
        assert_eq!(chosen(), chosen());
    }
}
