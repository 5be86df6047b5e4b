use serde::{Deserialize, Serialize};

use super::super::Activation;
use crate::solver::SolverKind;
use crate::{DynamicsError, Values};

/// A rate network, τ dx/dt = −x + r(x) W + u W_in + b with outputs r(x) W_out + b_out.
///
/// Rows of W are presynaptic units, columns postsynaptic ones. The defaults are those of Song, Yang and Wang (2016) for
/// time constant and step, without Dale's law.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RateNetworkConfig {
    /// The number of units, N.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65536)))]
    pub units: usize,
    /// r(x).
    pub activation: Activation,
    /// The step of the network's own discretisation, in ms; at most the smallest time constant. Equal to the time constant
    /// it makes an ordinary recurrent network.
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
    pub dt: f64,
    /// What moves the network where it is a [`crate::Model`]; over whole sequences it always takes Euler's steps.
    pub solver: SolverKind,
    /// τ in ms: one for all units, or one for each.
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
    pub time_constant: Values,
    /// Trains a time constant for every unit between these bounds, in ms.
    pub time_constant_bounds: Option<[f64; 2]>,
    /// Which recurrent connections there are.
    pub recurrence: Recurrence,
    /// Whether units may connect to themselves.
    pub autapses: bool,
    /// The share of excitatory units, 0 to 1: Dale's law. The first units, of the network or of each block, are excitatory:
    /// their outgoing recurrent weights stay ≥ 0, those of all others ≤ 0.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1)))]
    pub dale_ratio: Option<f64>,
    /// How Dale's law is kept.
    pub rectifier: Rectifier,
    /// Reads out excitatory units only.
    pub excitatory_output: bool,
    /// The recurrent weights at the beginning.
    pub initialization: Initialization,
    /// Trains the initial state, which is 0 at the beginning; otherwise it stays 0.
    pub train_initial_state: bool,
    /// σ of the noise that every unit has for itself. Noise is added to x as √(2dt/τ) σ ξ, so that x alone has variance
    /// σ²/(1 − dt/2τ).
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::NonNegative))]
    pub private_noise: f64,
    /// σ of the noise that all units share; with [`SolverKind::Euler`] only.
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::NonNegative))]
    pub shared_noise: f64,
}

impl Default for RateNetworkConfig {
    fn default() -> Self {
        Self {
            units: 128,
            activation: Activation::Tanh,
            dt: 20.0,
            solver: SolverKind::Euler,
            time_constant: 100.0.into(),
            time_constant_bounds: None,
            recurrence: Recurrence::Full,
            autapses: true,
            dale_ratio: None,
            rectifier: Rectifier::Abs,
            excitatory_output: false,
            initialization: Initialization::SpectralRadius(1.0),
            train_initial_state: false,
            private_noise: 0.0,
            shared_noise: 0.0,
        }
    }
}

/// Which recurrent connections a network has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Recurrence {
    /// All of them.
    #[default]
    Full,
    /// Each unit has the same number of inputs from units drawn with the network's seed (Brunel 2000).
    Sparse {
        /// The share of the possible inputs that a unit has, above 0 and at most 1; at least one input.
        #[cfg_attr(feature = "schema", schemars(range(max = 1), extend("exclusiveMinimum" = 0)))]
        density: f64,
    },
    /// Blocks of units, such as areas or layers, with a density for each pair of them.
    Blocks {
        /// The number of units of each block; they add up to all units.
        #[cfg_attr(feature = "schema", schemars(inner(range(min = 1))))]
        sizes: Vec<usize>,
        /// `densities[a][b]` is the share of the possible connections from block a to block b: 0 none, 1 all.
        densities: Vec<Vec<f64>>,
    },
    /// `mask[pre][post]` is 1 where there is a connection and 0 where there is none.
    Mask(Vec<Vec<u8>>),
    /// W = `background`·χ + m nᵀ/N, with m and n `[units, rank]` trainable and χ a fixed Gaussian matrix of variance 1/N
    /// (Mastrogiuseppe and Ostojic 2018): unit j acts on unit i by Σₖ m_ik n_jk / N.
    LowRank {
        /// At least 1 and at most the number of units.
        #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
        rank: usize,
        /// At least 0.
        #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::NonNegative))]
        background: f64,
    },
}

/// Recurrent weights at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Initialization {
    /// Gaussian of variance g²/K with g the given gain and K the mean number of inputs of a unit, N in a full network
    /// (Sompolinsky, Crisanti and Sommers 1988).
    ///
    /// Under Dale's law the moduli of such numbers, with those of the rarer type scaled up so that excitation and inhibition
    /// balance on average. Of a low-rank network, m has variance 1 and n has variance g².
    Gaussian(f64),
    /// Gaussian, then scaled so that the largest modulus of an eigenvalue of W is exactly the given number, to rounding.
    /// Of a low-rank network, m and n are scaled and χ is not part of it.
    SpectralRadius(f64),
}

/// The map from a trained number to the size of a weight under Dale's law.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Rectifier {
    /// |w|. A weight that crosses zero comes back with its sign.
    #[default]
    Abs,
    /// max(w, 0) (Song, Yang and Wang 2016). A weight that reaches zero stays there.
    Relu,
    /// log(1 + eʷ). No weight becomes zero.
    Softplus,
}

impl RateNetworkConfig {
    /// The network in steps of `dt`, moved by `asked` where that is given.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for a method that would leave out the network's noise.
    pub fn moved(&self, dt: f64, asked: Option<SolverKind>) -> Result<Self, DynamicsError> {
        let solver = asked.unwrap_or(self.solver);
        let noises = [
            ("private_noise", self.private_noise),
            ("shared_noise", self.shared_noise),
        ];
        // Euler's steps are the network's own and draw both.
        let left_out = |name| match solver {
            SolverKind::Euler => false,
            kind => name == "shared_noise" || !kind.is_stochastic(),
        };
        if let Some((name, value)) = noises.into_iter().find(|(n, x)| *x != 0.0 && left_out(*n)) {
            let field = match asked {
                Some(_) => "solver",
                None => "population.solver",
            };
            let others = match name {
                "private_noise" => "euler, euler-maruyama or stochastic-heun",
                _ => "euler",
            };
            let allowed =
                format!("{others}, for {name} is {value}; set that to 0 for a run without");
            return Err(DynamicsError::config(field, solver, allowed));
        }
        Ok(Self {
            dt,
            solver,
            ..self.clone()
        })
    }

    /// Which units are excitatory: all of them without Dale's law.
    pub fn excitatory(&self) -> Vec<bool> {
        let ratio = self.dale_ratio.unwrap_or(1.0);
        let whole = [self.units];
        let sizes = match &self.recurrence {
            Recurrence::Blocks { sizes, .. } => sizes.as_slice(),
            _ => &whole,
        };
        let first = |size: usize| (ratio * size as f64).round() as usize;
        sizes
            .iter()
            .flat_map(|size| (0..*size).map(move |i| i < first(*size)))
            .collect()
    }
}
