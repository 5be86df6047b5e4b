use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Activity, Pairing, Rule, outer, retained};
use crate::setting::{self, Range, Setting};
use crate::{DynamicsError, Parameter, Place, State, Variable};

/// Settings of [`TripletStdp`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TripletStdpConfig {
    /// A₂₊ of at least 0, in the unit of the weights.
    pub pair_potentiation: f64,
    /// A₃₊ of at least 0.
    pub triplet_potentiation: f64,
    /// A₂₋ of at least 0.
    pub pair_depression: f64,
    /// A₃₋ of at least 0.
    pub triplet_depression: f64,
    /// τ₊ above 0, in ms: of r₁, the fast presynaptic trace.
    pub pre_time_constant: f64,
    /// τ_x above 0, in ms: of r₂, the slow presynaptic trace.
    pub slow_pre_time_constant: f64,
    /// τ₋ above 0, in ms: of o₁, the fast postsynaptic trace.
    pub post_time_constant: f64,
    /// τ_y above 0, in ms: of o₂, the slow postsynaptic trace.
    pub slow_post_time_constant: f64,
    /// Which spikes make pairs and triplets. Each pairing has amplitudes and time constants of its own.
    pub pairing: Pairing,
    /// The settings that training by gradient may change.
    pub trainable: Vec<String>,
}

impl Default for TripletStdpConfig {
    /// The full all-to-all model fitted to visual cortex by Pfister and Gerstner (2006); the numbers belong to that pairing.
    fn default() -> Self {
        Self {
            pair_potentiation: 5e-10,
            triplet_potentiation: 6.2e-3,
            pair_depression: 7e-3,
            triplet_depression: 2.3e-4,
            pre_time_constant: 16.8,
            slow_pre_time_constant: 101.0,
            post_time_constant: 33.7,
            slow_post_time_constant: 125.0,
            pairing: Pairing::AllToAll,
            trainable: Vec::new(),
        }
    }
}

impl TripletStdpConfig {
    /// The full nearest-spike model fitted to visual cortex by Pfister and Gerstner (2006).
    pub fn nearest_neighbour() -> Self {
        Self {
            pair_potentiation: 8.8e-11,
            triplet_potentiation: 5.3e-2,
            pair_depression: 6.6e-3,
            triplet_depression: 3.1e-3,
            slow_pre_time_constant: 714.0,
            slow_post_time_constant: 40.0,
            pairing: Pairing::NearestNeighbour,
            ..Self::default()
        }
    }

    fn settings(&self) -> [Setting<'_>; 8] {
        let amplitude = |name, value| Setting::number(name, value, Range::NonNegative);
        let tau = |name, value| Setting::number(name, value, Range::Positive);
        [
            amplitude("pair_potentiation", &self.pair_potentiation),
            amplitude("triplet_potentiation", &self.triplet_potentiation),
            amplitude("pair_depression", &self.pair_depression),
            amplitude("triplet_depression", &self.triplet_depression),
            tau("pre_time_constant", &self.pre_time_constant),
            tau("slow_pre_time_constant", &self.slow_pre_time_constant),
            tau("post_time_constant", &self.post_time_constant),
            tau("slow_post_time_constant", &self.slow_post_time_constant),
        ]
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        setting::validate(
            "triplet-stdp",
            &self.settings(),
            &self.trainable,
            (1, "unit"),
        )
    }

    /// Makes the rule.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<TripletStdp, DynamicsError> {
        self.validate()?;
        let [a2_plus, a3_plus, a2_minus, a3_minus, r1, r2, o1, o2] =
            setting::init("triplet-stdp", self.settings(), &self.trainable, place);
        Ok(TripletStdp {
            pair_potentiation: a2_plus?,
            triplet_potentiation: a3_plus?,
            pair_depression: a2_minus?,
            triplet_depression: a3_minus?,
            pre_time_constant: r1?,
            slow_pre_time_constant: r2?,
            post_time_constant: o1?,
            slow_post_time_constant: o2?,
            pairing: self.pairing,
        })
    }
}

/// Spike-timing-dependent plasticity of pairs and triplets (Pfister and Gerstner 2006). A presynaptic spike changes the
/// weight by −o₁ (A₂₋ + A₃₋ r₂), a postsynaptic one by r₁ (A₂₊ + A₃₊ o₂), with the traces before the spikes of the step.
#[derive(Module, Debug)]
pub struct TripletStdp {
    /// A₂₊, `[1, 1]` or `[1, post]`.
    pub pair_potentiation: Parameter,
    /// A₃₊, `[1, 1]` or `[1, post]`.
    pub triplet_potentiation: Parameter,
    /// A₂₋, `[1, 1]` or `[1, post]`.
    pub pair_depression: Parameter,
    /// A₃₋, `[1, 1]` or `[1, post]`.
    pub triplet_depression: Parameter,
    /// τ₊, `[1, 1]` or `[1, pre]`.
    pub pre_time_constant: Parameter,
    /// τ_x, `[1, 1]` or `[1, pre]`.
    pub slow_pre_time_constant: Parameter,
    /// τ₋, `[1, 1]` or `[1, post]`.
    pub post_time_constant: Parameter,
    /// τ_y, `[1, 1]` or `[1, post]`.
    pub slow_post_time_constant: Parameter,
    #[module(skip)]
    pairing: Pairing,
}

impl Rule for TripletStdp {
    fn name(&self) -> &'static str {
        "triplet-stdp"
    }

    fn variables(&self, pre: usize, post: usize) -> Vec<Variable> {
        vec![
            Variable::new("triplet-stdp.pre", "1", pre),
            Variable::new("triplet-stdp.slow_pre", "1", pre),
            Variable::new("triplet-stdp.post", "1", post),
            Variable::new("triplet-stdp.slow_post", "1", post),
        ]
    }

    fn change(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        let Activity { pre, post, dt } = activity;
        let decayed = |trace: usize, tau: &Parameter| traces[trace].clone() * retained(tau, *dt);
        let r1 = decayed(0, &self.pre_time_constant);
        let r2 = decayed(1, &self.slow_pre_time_constant);
        let o1 = decayed(2, &self.post_time_constant);
        let o2 = decayed(3, &self.slow_post_time_constant);
        let up = o2.clone() * self.triplet_potentiation.value() + self.pair_potentiation.value();
        let potentiation = outer(r1.clone(), post.clone() * up, weights);
        let pairs = o1.clone() * self.pair_depression.value();
        let triplets = o1.clone() * self.triplet_depression.value();
        let depression =
            outer(pre.clone(), pairs, weights) + outer(pre.clone() * r2.clone(), triplets, weights);
        let traces = [(r1, pre), (r2, pre), (o1, post), (o2, post)]
            .map(|(trace, spikes)| self.pairing.with_spikes(trace, spikes));
        (potentiation - depression, State::new(traces.to_vec()))
    }
}
