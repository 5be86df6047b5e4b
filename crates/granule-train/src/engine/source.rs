//! What a run learns from and is scored on: one implementation for each kind of it.

use std::ops::ControlFlow;

use burn::tensor::Device;
use granule_data::task::Part;
use granule_device::OpenDevice;
use granule_models::{InputSpec, ModelConfig, Network, StateDict, Task};

use crate::config::{RunConfig, TrainConfig};
use crate::engine::work::Work;
use crate::event::Observer;
use crate::outcome::Evaluation;
use crate::record::TestResult;
use crate::{ConfigError, TrainError};

/// Where samples come from, what their loss is and how a model does on them.
pub(crate) trait Source {
    fn name(&self) -> String;

    /// Equal for equal content.
    fn fingerprint(&self) -> &str;

    /// What was recognised and taken for granted.
    fn notes(&self) -> &[String] {
        &[]
    }

    /// What may be wrong.
    fn warnings(&self) -> &[String] {
        &[]
    }

    /// Samples of a part; of an epoch, for those to learn from.
    fn len(&self, part: Part) -> usize;

    /// Tells what was found.
    fn tell(&self, observer: &mut dyn Observer);

    /// Whether outputs are right or wrong, so that there is an accuracy.
    fn has_decisions(&self) -> Result<bool, TrainError>;

    /// Whether every sample is of a class, so that training counts what is right.
    fn has_classes(&self) -> bool {
        false
    }

    /// A weight for each class, where they count differently in the loss.
    fn class_weights(&self, train: &TrainConfig) -> Result<Option<Vec<f64>>, ConfigError> {
        let _ = train;
        Ok(None)
    }

    /// Of counts: what the rate of each output that is learnt is a multiple of.
    fn rates(&self) -> Option<Vec<f64>> {
        None
    }

    /// Intensities of the training images, as [`Profile::intensities`](granule_models::Profile::intensities).
    fn intensities(&self) -> &[u64] {
        &[]
    }

    /// The batches of a run.
    fn supply<'s>(
        &'s self,
        config: &'s RunConfig,
        device: &'s OpenDevice,
    ) -> Result<Box<dyn Supply + 's>, TrainError>;

    /// Mean loss and accuracy on the validation part, `batch` samples at a time.
    fn validate(
        &self,
        network: &Network,
        device: &Device,
        batch: usize,
    ) -> Result<(f64, Option<f64>), TrainError>;

    /// The scores on the test part, and what a report shows of them.
    fn evaluate(
        &self,
        trained: Trained<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(Evaluation, Option<TestResult>), TrainError>;
}

/// A trained model, to be scored `batch` samples at a time.
#[derive(Clone, Copy)]
pub(crate) struct Trained<'a> {
    pub model: &'a ModelConfig,
    pub input: &'a InputSpec,
    pub task: &'a Task,
    pub state: &'a StateDict,
    pub device: &'a Device,
    pub batch: usize,
}

impl Trained<'_> {
    pub fn network(&self) -> Result<Network, TrainError> {
        let (input, outputs) = (&self.input.shape, self.task.learnt_outputs());
        let network = self
            .model
            .init_from_state(input, outputs, self.state, self.device)?;
        Ok(network.answering(self.task.outputs()))
    }
}

/// What a step of the loop is given: a batch, and whether to go on after it.
pub(crate) type Step<'s> =
    dyn FnMut(Box<dyn Work + '_>) -> Result<ControlFlow<()>, TrainError> + 's;

/// The batches of a run, epoch by epoch.
pub(crate) trait Supply {
    /// Calls `step` with the batches of an epoch from batch `first` on, until it breaks or fails.
    fn epoch(&self, epoch: u64, first: usize, step: &mut Step<'_>) -> Result<(), TrainError>;
}
