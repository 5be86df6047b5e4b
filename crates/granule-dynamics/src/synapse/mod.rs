//! Synapses: from spikes to currents.
//!
//! A synapse is a [`Kinetics`], the time course after a spike, and an [`Effect`], what the time course is. Its state is
//! that of the postsynaptic cells: since all connections of one synapse share their time constants, they add up before
//! they decay. A network hands spikes through a [delay line](crate::delay::Delay) to the synapse and its current to the
//! cells:
//!
//! ```
//! use granule_dynamics::delay::DelayConfig;
//! use granule_dynamics::synapse::{SynapseConfig, Weights};
//! use granule_dynamics::unit::LifConfig;
//! use granule_dynamics::{Bounds, Clock, Dynamics, DynamicsError, Model, Place};
//!
//! # fn run(device: &burn::tensor::Device) -> Result<(), DynamicsError> {
//! let (place, dt) = (Place::f32(device), 0.1);
//! let cells = LifConfig { cells: 2, current: vec![20.0, 9.0].into(), ..Default::default() }.init(&place)?;
//! let weights = Weights::fixed(&[0.0, 3.0, 0.0, 0.0], [2, 2], Bounds::AtLeast(0.0), &place)?;
//! let synapse = SynapseConfig::current(5.0).init(weights, &place)?;
//! let line = DelayConfig { width: 2, delays: vec![1.5], ..Default::default() }.init(dt)?;
//!
//! let (lif, synapses) = (cells.dynamics()?, synapse.dynamics()?);
//! let (mut v, mut g) = (cells.initial_state(1)?, synapse.initial_state(1)?);
//! let mut past = line.initial_state(1, 0.0, &place);
//! for step in 0..1000 {
//!     let at = Clock { step, time: step as f64 * dt, dt };
//!     let (spikes, current) = (line.observe(&past), synapses.current(&g, &v[0]));
//!     past = line.step(at, &past, Some(&v[1]))?;
//!     g = synapses.step(at, &g, Some(&spikes))?;
//!     v = lif.step(at, &v, Some(&current))?;
//! }
//! # Ok(())
//! # }
//! ```

mod effect;
mod kinetics;
#[cfg(test)]
mod tests;
mod weights;

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

pub(crate) use effect::BoundEffect;
pub use effect::{Effect, Force};
pub(crate) use kinetics::BoundKinetics;
pub use kinetics::{Course, Kinetics, Pair};
pub use weights::{BoundWeights, Weights};

use crate::model::{Clock, Dynamics, Model};
use crate::setting::Settings;
use crate::{Bounds, DynamicsError, Place, State, Values, Variable};

/// The units of a synapse, those of the cells that it goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// mS/cm² and µA/cm².
    #[default]
    Density,
    /// nS and pA.
    Cell,
    /// No units.
    Dimensionless,
}

/// Settings of [`Synapse`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SynapseConfig {
    /// The time course after a spike.
    pub kinetics: Kinetics,
    /// What the time course is.
    pub effect: Effect,
    /// The unit of weights and currents.
    pub scale: Scale,
    /// The parameters, besides the weights, that training may move.
    pub trainable: Vec<String>,
    /// Where training keeps a parameter, by name.
    pub bounds: BTreeMap<String, Bounds>,
}

impl Default for SynapseConfig {
    fn default() -> Self {
        Self::ampa()
    }
}

impl SynapseConfig {
    /// A synapse of this time course and effect.
    pub fn new(kinetics: Kinetics, effect: Effect) -> Self {
        Self {
            kinetics,
            effect,
            scale: Scale::default(),
            trainable: Vec::new(),
            bounds: BTreeMap::new(),
        }
    }

    /// A fast excitatory conductance: exponential, τ = 2 ms, E = 0 mV (Brunel & Wang 2001).
    pub fn ampa() -> Self {
        Self::exponential(2.0, 0.0)
    }

    /// A fast inhibitory conductance: exponential, τ = 10 ms, E = −70 mV (Brunel & Wang 2001).
    pub fn gaba() -> Self {
        Self::exponential(10.0, -70.0)
    }

    /// A slow excitatory conductance behind a magnesium block: rise 2 ms, decay 100 ms, E = 0 mV, 1 mM magnesium
    /// (Brunel & Wang 2001, without saturation).
    pub fn nmda() -> Self {
        let kinetics = Kinetics::DoubleExponential {
            rise: 2.0.into(),
            decay: 100.0.into(),
        };
        let effect = Effect::Nmda {
            reversal: 0.0.into(),
            magnesium: 1.0.into(),
        };
        Self::new(kinetics, effect)
    }

    /// An exponential conductance.
    pub fn exponential(time_constant: impl Into<Values>, reversal: impl Into<Values>) -> Self {
        let kinetics = Kinetics::Exponential {
            time_constant: time_constant.into(),
        };
        let effect = Effect::Conductance {
            reversal: reversal.into(),
        };
        Self::new(kinetics, effect)
    }

    /// An alpha conductance.
    pub fn alpha(time_constant: impl Into<Values>, reversal: impl Into<Values>) -> Self {
        let kinetics = Kinetics::Alpha {
            time_constant: time_constant.into(),
        };
        let effect = Effect::Conductance {
            reversal: reversal.into(),
        };
        Self::new(kinetics, effect)
    }

    /// An exponential current.
    pub fn current(time_constant: impl Into<Values>) -> Self {
        let kinetics = Kinetics::Exponential {
            time_constant: time_constant.into(),
        };
        Self::new(kinetics, Effect::Current)
    }

    /// Checks every setting; numbers of values are checked against the weights by [`init`](Self::init).
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the first that is not allowed.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        let settings = self.settings()?;
        settings.check(settings.widest())
    }

    fn settings(&self) -> Result<Settings<'_>, DynamicsError> {
        let mut all = Settings::new("synapse", &self.trainable, &self.bounds);
        self.kinetics.settings(&mut all)?;
        self.effect.settings(&mut all);
        Ok(all)
    }

    /// Makes the synapse.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate); also where the number of values is neither 1 nor that of the
    /// postsynaptic cells.
    pub fn init(&self, weights: Weights, place: &Place) -> Result<Synapse, DynamicsError> {
        let [_, post] = weights.shape();
        let settings = self.settings()?;
        settings.check(post)?;
        let make = |name: &str| settings.init(name, post, place);
        Ok(Synapse {
            course: self.kinetics.init(make)?,
            force: self.effect.init(make)?,
            weights,
            scale: self.scale,
        })
    }
}

/// The synapses between two groups of cells, by a matrix of weights or a list of connections.
///
/// Input: the spikes of the presynaptic cells at the beginning of the step, `[batch or 1, pre]`. What is shown: the
/// conductance or current at the end of the step, `[batch, post]`, exact at these instants for any dt.
#[derive(Module, Debug)]
pub struct Synapse {
    /// `[pre, post]`: the peak of what one spike opens.
    pub weights: Weights,
    /// The time constants.
    pub course: Course,
    /// The driving force.
    pub force: Force,
    #[module(skip)]
    scale: Scale,
}

impl Model for Synapse {
    type Dynamics = SynapseDynamics;

    fn dynamics(&self) -> Result<SynapseDynamics, DynamicsError> {
        let kinetics = self.course.bind();
        let effect = self.force.bind();
        let [pre, post] = self.weights.shape();
        let unit = match (&effect, self.scale) {
            (_, Scale::Dimensionless) => "1",
            (effect::BoundEffect::Current, Scale::Density) => "µA/cm²",
            (effect::BoundEffect::Current, Scale::Cell) => "pA",
            (_, Scale::Density) => "mS/cm²",
            (_, Scale::Cell) => "nS",
        };
        let names = kinetics.variables().iter();
        Ok(SynapseDynamics {
            variables: names.map(|name| Variable::new(*name, unit, post)).collect(),
            weights: self.weights.bind(),
            kinetics,
            effect,
            pre,
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let [_, post] = self.weights.shape();
        let place = Place::of(&self.weights.strengths.raw.val());
        let closed = place.full(0.0, [batch, post]);
        let variables = self.course.bind().variables().len();
        Ok(State::new(vec![closed; variables]))
    }
}

/// [`Synapse`] with its parameters' values.
#[derive(Clone, Debug)]
pub struct SynapseDynamics {
    /// A plasticity rule may put others in their place.
    pub weights: BoundWeights,
    variables: Vec<Variable>,
    kinetics: kinetics::BoundKinetics,
    effect: effect::BoundEffect,
    pre: usize,
}

impl SynapseDynamics {
    /// The inward current into cells at the potential `v` `[batch, post]`; it can be added to their input.
    pub fn current(&self, state: &State, v: &Tensor<2>) -> Tensor<2> {
        self.effect.current(self.observe(state), v)
    }

    /// The conductance at the potential `v` `[batch, post]`, for solvers that are implicit in v; none for a current.
    pub fn conductance(&self, state: &State, v: &Tensor<2>) -> Option<Tensor<2>> {
        self.effect.conductance(self.observe(state), v)
    }
}

impl Dynamics for SynapseDynamics {
    fn name(&self) -> &str {
        "synapse"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn step(
        &self,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError> {
        let arrived = match input {
            Some(spikes) if spikes.dims()[1] != self.pre => {
                return Err(DynamicsError::Shape {
                    what: "the spikes that reach a synapse".into(),
                    expected: vec![spikes.dims()[0], self.pre],
                    found: spikes.dims().to_vec(),
                });
            }
            Some(spikes) => Some(self.weights.arriving(spikes.clone())),
            None => None,
        };
        let next = self.kinetics.step(at.dt, state.tensors(), arrived);
        Ok(State::new(next))
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        self.kinetics.open(state.tensors())
    }
}
