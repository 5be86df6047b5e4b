//! What a program brings of its own to learn from.

use std::collections::BTreeMap;
use std::error::Error;

use burn::tensor::{Device, Tensor};
use granule_data::task::Part;
use granule_models::{InputSpec, Task};

/// Data and a loss of a program's own, which granule's loop learns from: with its devices, optimisers, schedules, checkpoints,
/// bit-exact resume, report and model file. [`train_on`](crate::train_on) carries a run out.
///
/// The order of the samples is drawn anew for every epoch, from the seed of the run. What the methods give must depend on
/// their arguments alone: a resumed run asks again.
pub trait Objective {
    /// A name for run folders, reports and model files.
    fn name(&self) -> String;

    /// Equal for equal data: a run is resumed on the data that it began with.
    fn fingerprint(&self) -> String;

    /// What a model takes, and how a [`Predictor`](granule_models::Predictor) of the model file normalises it.
    fn input(&self) -> InputSpec;

    /// What the outputs of a model mean.
    fn task(&self) -> Task;

    /// Samples of a part; of an epoch, for those to learn from. Without any to validate on, the last weights are kept.
    fn len(&self, part: Part) -> usize;

    /// The inputs of samples, given by their numbers in the part, `[samples, features]`, as a model is to see them.
    ///
    /// # Errors
    /// Whatever keeps the samples from being read.
    fn inputs(
        &self,
        part: Part,
        samples: &[usize],
        device: &Device,
    ) -> Result<Tensor<2>, Box<dyn Error + Send + Sync>>;

    /// The mean loss of samples, `[1]`, from the outputs of a model for them, `[samples, outputs]`: on a device with autodiff
    /// where a model learns, without where it is scored.
    ///
    /// # Errors
    /// Whatever keeps the samples from being read.
    fn loss(
        &self,
        part: Part,
        samples: &[usize],
        outputs: Tensor<2>,
    ) -> Result<Tensor<1>, Box<dyn Error + Send + Sync>>;

    /// Scores on the test part by name, from the outputs for all of its samples, row-major `[samples, outputs]`. Those
    /// named `accuracy` and `r2` are shown as granule's own. Default none.
    fn scores(&self, outputs: &[f32]) -> BTreeMap<String, f64> {
        let _ = outputs;
        BTreeMap::new()
    }
}
