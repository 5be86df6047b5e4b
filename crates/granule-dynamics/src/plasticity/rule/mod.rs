//! What a rule is, and the rules.

mod activity;
mod bcm;
mod competitive;
mod covariance;
mod decay;
mod declaration;
mod hebb;
mod homeostasis;
mod oja;
mod pair_stdp;
mod reward_stdp;
mod sanger;
mod threshold;
mod triplet_stdp;
mod two_threshold;

use std::fmt;

use burn::tensor::Tensor;

pub use activity::{Activity, Signal};
pub use bcm::{Bcm, BcmConfig};
pub use competitive::{Competitive, CompetitiveConfig};
pub use covariance::{Covariance, CovarianceConfig};
pub use decay::{Decay, DecayConfig};
pub use hebb::{Hebb, HebbConfig};
pub use homeostasis::{Homeostasis, HomeostasisConfig};
pub use oja::{Oja, OjaConfig};
pub use pair_stdp::{PairStdp, PairStdpConfig, Pairing};
pub use reward_stdp::{RewardStdp, RewardStdpConfig};
pub use sanger::{Sanger, SangerConfig};
pub use threshold::{Threshold, ThresholdConfig};
pub use triplet_stdp::{TripletStdp, TripletStdpConfig};
pub use two_threshold::{TwoThreshold, TwoThresholdConfig};

pub(super) use declaration::plasticity_rule;

use super::limits::WeightLimits;
use crate::{Parameter, Place, State, Variable};

/// A rule of synaptic plasticity with its parameters.
///
/// Weights are `[sets, pre, post]`. One set is shared by all rows of the batch and changes by the mean of what the rows
/// call for; as many sets as rows are fast weights, each trajectory its own.
pub trait Rule: fmt::Debug {
    /// The name in configuration files.
    fn name(&self) -> &'static str;

    /// What the activity on both sides has to be; `None` where either will do. Rates unless a rule says otherwise.
    fn signal(&self) -> Option<Signal> {
        Some(Signal::Rates)
    }

    /// Whether it learns from [`Activity::reward`].
    fn needs_reward(&self) -> bool {
        false
    }

    /// The traces and averages of past activity that the rule keeps.
    fn variables(&self, _pre: usize, _post: usize) -> Vec<Variable> {
        Vec::new()
    }

    /// The traces before any activity, each `[batch, width]`; 0 unless a rule says otherwise.
    fn initial(&self, batch: usize, pre: usize, post: usize, place: &Place) -> State {
        let variables = self.variables(pre, post).into_iter();
        State::new(
            variables
                .map(|variable| place.full(0.0, [batch, variable.width]))
                .collect(),
        )
    }

    /// The change of the weights over one step, `[sets, pre, post]`, and the traces after it. Shapes must fit
    /// ([`Activity::check`]); traces may have one row that stands for all.
    fn change(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State);

    /// As [`change`](Self::change), where the presynaptic spikes of a step come before its postsynaptic ones: those of one step make
    /// a pair, too. Only rules of the timing of spikes differ.
    fn change_in_turn(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        self.change(weights, activity, traces)
    }

    /// What the weights keep to.
    fn limits(&self) -> WeightLimits {
        WeightLimits::default()
    }
}

/// x yᵀ of `[batch, m]` and `[batch, n]`, `[sets, m, n]`: averaged over the batch for a shared set of weights, else one for
/// each row.
fn outer(x: Tensor<2>, y: Tensor<2>, weights: &Tensor<3>) -> Tensor<3> {
    if weights.dims()[0] > 1 {
        return rows(x, y);
    }
    let rows = x.dims()[0].max(y.dims()[0]);
    let spread = |x: Tensor<2>| match x.dims() {
        [1, width] if rows > 1 => x.expand([rows, width]),
        _ => x,
    };
    let sum = spread(x).transpose().matmul(spread(y));
    sum.mul_scalar(1.0 / rows as f64).unsqueeze_dim(0)
}

/// x yᵀ of each row, `[batch, m, n]`.
fn rows(x: Tensor<2>, y: Tensor<2>) -> Tensor<3> {
    x.unsqueeze_dim::<3>(2) * y.unsqueeze_dim::<3>(1)
}

/// A postsynaptic factor `[batch, post]` as `[sets, 1, post]`, averaged over the batch for a shared set of weights.
fn columns(y: Tensor<2>, weights: &Tensor<3>) -> Tensor<3> {
    let y = match weights.dims()[0] {
        1 if y.dims()[0] > 1 => y.mean_dim(0),
        _ => y,
    };
    y.unsqueeze_dim(1)
}

/// What is left of a trace after `dt`: e^(−dt/τ).
fn retained(time_constant: &Parameter, dt: f64) -> Tensor<2> {
    time_constant.value().recip().mul_scalar(-dt).exp()
}

/// A low-pass filter's next value: the average moves to `x` as e^(−dt/τ) has it.
fn averaged(average: Tensor<2>, x: Tensor<2>, time_constant: &Parameter, dt: f64) -> Tensor<2> {
    x.clone() + (average - x) * retained(time_constant, dt)
}
