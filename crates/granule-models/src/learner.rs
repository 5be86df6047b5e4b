//! Burn's `TrainStep` and `InferenceStep`, so that Burn's own learner can train the models as classifiers.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Int, Tensor};
use burn_train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep};

use crate::{Cnn, DropoutStream, LeNet, Mlp, Network, ResNet};

/// What one step of Burn's learner takes.
#[derive(Clone, Debug)]
pub struct ClassificationBatch {
    /// Normalised samples, `[batch, features]`.
    pub inputs: Tensor<2>,
    /// Class indices, `[batch]`.
    pub targets: Tensor<1, Int>,
    /// The masks of this step; `None` trains without dropout.
    pub dropout: Option<DropoutStream>,
}

impl ClassificationBatch {
    /// A batch for training without dropout, or for validation.
    pub fn new(inputs: Tensor<2>, targets: Tensor<1, Int>) -> Self {
        Self {
            inputs,
            targets,
            dropout: None,
        }
    }
}

fn score(output: Tensor<2>, targets: Tensor<1, Int>) -> ClassificationOutput {
    let loss = CrossEntropyLossConfig::new().init(&output.device());
    let loss = loss.forward(output.clone(), targets.clone());
    ClassificationOutput::new(loss, output, targets)
}

macro_rules! implement_steps {
    ($($model:ty),*) => {$(
        impl TrainStep for $model {
            type Input = ClassificationBatch;
            type Output = ClassificationOutput;

            fn step(&self, batch: ClassificationBatch) -> TrainOutput<ClassificationOutput> {
                let mut dropout = batch.dropout.unwrap_or_else(DropoutStream::none);
                let output = self.forward_train(batch.inputs, &mut dropout);
                let item = score(output, batch.targets);
                TrainOutput::new(self, item.loss.backward(), item)
            }
        }

        impl InferenceStep for $model {
            type Input = ClassificationBatch;
            type Output = ClassificationOutput;

            fn step(&self, batch: ClassificationBatch) -> ClassificationOutput {
                score(self.forward(batch.inputs), batch.targets)
            }
        }
    )*};
}

implement_steps!(Network, Mlp, LeNet, Cnn, ResNet);
