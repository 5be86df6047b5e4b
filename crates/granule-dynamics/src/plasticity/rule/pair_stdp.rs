use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Activity, Rule, outer, retained};
use crate::setting::{self, Range, Setting};
use crate::{DynamicsError, Parameter, Place, State, Variable};

/// Which spikes make pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// Every spike with every earlier spike of the other side: a spike adds 1 to its trace.
    #[default]
    AllToAll,
    /// Every spike with the latest earlier spike of the other side only: a spike sets its trace to 1.
    NearestNeighbour,
}

impl Pairing {
    /// A trace that has decayed, after the spikes of a step.
    pub(super) fn with_spikes(self, trace: Tensor<2>, spikes: &Tensor<2>) -> Tensor<2> {
        match self {
            Self::AllToAll => trace + spikes.clone(),
            Self::NearestNeighbour => trace * spikes.clone().neg().add_scalar(1.0) + spikes.clone(),
        }
    }
}

/// Settings of [`PairStdp`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PairStdpConfig {
    /// A₊ of at least 0, in the unit of the weights.
    pub potentiation: f64,
    /// A₋ of at least 0, in the unit of the weights.
    pub depression: f64,
    /// τ₊ above 0, in ms.
    pub potentiation_time_constant: f64,
    /// τ₋ above 0, in ms.
    pub depression_time_constant: f64,
    /// Which spikes make pairs.
    pub pairing: Pairing,
    /// The settings that training by gradient may change.
    pub trainable: Vec<String>,
}

impl Default for PairStdpConfig {
    /// A₊ = 0.01 and A₋/A₊ = 1.05 with τ± = 20 ms, as in Song, Miller and Abbott (2000), whose A₊ is 0.005.
    fn default() -> Self {
        Self {
            potentiation: 0.01,
            depression: 0.0105,
            potentiation_time_constant: 20.0,
            depression_time_constant: 20.0,
            pairing: Pairing::AllToAll,
            trainable: Vec::new(),
        }
    }
}

impl PairStdpConfig {
    fn settings(&self) -> [Setting<'_>; 4] {
        let tau = |name, value| Setting::number(name, value, Range::Positive);
        [
            Setting::number("potentiation", &self.potentiation, Range::NonNegative),
            Setting::number("depression", &self.depression, Range::NonNegative),
            tau(
                "potentiation_time_constant",
                &self.potentiation_time_constant,
            ),
            tau("depression_time_constant", &self.depression_time_constant),
        ]
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        setting::validate("pair-stdp", &self.settings(), &self.trainable, (1, "unit"))
    }

    /// Makes the rule.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<PairStdp, DynamicsError> {
        self.validate()?;
        let [potentiation, depression, tau_plus, tau_minus] =
            setting::init("pair-stdp", self.settings(), &self.trainable, place);
        Ok(PairStdp {
            potentiation: potentiation?,
            depression: depression?,
            potentiation_time_constant: tau_plus?,
            depression_time_constant: tau_minus?,
            pairing: self.pairing,
        })
    }
}

/// Spike-timing-dependent plasticity of pairs (Gerstner, Kempter, van Hemmen and Wagner 1996; Song, Miller and Abbott 2000)
/// with Δt = t_post − t_pre: a pair changes the weight by A₊ e^(−Δt/τ₊) for Δt > 0 and by −A₋ e^(Δt/τ₋) for Δt < 0.
///
/// Traces of both sides decay with τ₊ and τ₋ and rise with spikes. A postsynaptic spike potentiates by the presynaptic
/// trace, a presynaptic one depresses by the postsynaptic trace. Two spikes in one step make no pair.
#[derive(Module, Debug)]
pub struct PairStdp {
    /// A₊, `[1, 1]` or `[1, post]`.
    pub potentiation: Parameter,
    /// A₋, `[1, 1]` or `[1, post]`.
    pub depression: Parameter,
    /// τ₊, `[1, 1]` or `[1, pre]`.
    pub potentiation_time_constant: Parameter,
    /// τ₋, `[1, 1]` or `[1, post]`.
    pub depression_time_constant: Parameter,
    #[module(skip)]
    pairing: Pairing,
}

impl Rule for PairStdp {
    fn name(&self) -> &'static str {
        "pair-stdp"
    }

    fn variables(&self, pre: usize, post: usize) -> Vec<Variable> {
        vec![
            Variable::new("pair-stdp.pre", "1", pre),
            Variable::new("pair-stdp.post", "1", post),
        ]
    }

    fn change(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        let Activity { pre, post, dt } = activity;
        let before = traces[0].clone() * retained(&self.potentiation_time_constant, *dt);
        let after = traces[1].clone() * retained(&self.depression_time_constant, *dt);
        let up = post.clone() * self.potentiation.value();
        let down = after.clone() * self.depression.value();
        let change = outer(before.clone(), up, weights) - outer(pre.clone(), down, weights);
        let traces = vec![
            self.pairing.with_spikes(before, pre),
            self.pairing.with_spikes(after, post),
        ];
        (change, State::new(traces))
    }
}
