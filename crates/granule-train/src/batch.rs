//! One batch, and how what is in it is normalised.

use burn::tensor::{Int, Tensor};
use granule_data::Normalization;

/// One batch. Inputs live on the training device, with autodiff.
pub(crate) struct Batch {
    /// `[samples, features]`
    pub inputs: Tensor<2>,
    pub truth: BatchTruth,
    pub len: usize,
}

/// What the outputs of a batch are compared with.
pub(crate) enum BatchTruth {
    HostClasses(Vec<u16>),
    HostValues(Vec<f32>),
    DeviceClasses(Tensor<1, Int>),
    DeviceValues(Tensor<2>),
    /// Row-major `[samples, width]` each.
    Trials {
        targets: Vec<f32>,
        mask: Vec<f32>,
    },
}

/// How inputs, and real-valued targets, are normalised.
#[derive(Clone, Copy)]
pub(crate) struct Scaling<'a> {
    pub inputs: &'a Normalization,
    pub targets: &'a Normalization,
    /// Whether targets are counts, whose rates are the deviations times the exponentials of outputs.
    pub counts: bool,
}

impl Scaling<'_> {
    /// What the rates of counts are multiples of, one an output.
    pub fn rates(&self) -> Option<Vec<f64>> {
        let rates = self.targets.std.iter().copied().map(f64::from);
        self.counts.then(|| rates.collect())
    }
}
