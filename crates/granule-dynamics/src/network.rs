//! A sparse network of excitatory and inhibitory integrate-and-fire cells with delays (Brunel 2000).

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::delay::{Delay, DelayConfig};
use crate::model::{Clock, Dynamics, Model};
use crate::random::{PoissonNoise, uniform};
use crate::synapse::{Synapse, SynapseConfig, SynapseDynamics, Weights};
use crate::unit::{Lif, LifConfig, LifDynamics, LifParameters};
use crate::{Bounds, DynamicsError, Place, State, Variable};

/// Settings of [`SpikingNetwork`]. The defaults are model A of Brunel (2000, doi:10.1023/A:1008925309027) in its
/// asynchronous irregular state, with 80 + 20 connections a cell instead of 1000 + 250 and synapses that take time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpikingNetworkConfig {
    /// The number of excitatory cells.
    pub excitatory: usize,
    /// The number of inhibitory cells.
    pub inhibitory: usize,
    /// The share of the cells of either kind that a cell hears, the same number for each cell.
    pub connection_probability: f64,
    /// J: what an excitatory spike brings, mV: the jump of the potential if it came at once.
    pub weight: f64,
    /// g: how many times stronger an inhibitory spike is.
    pub inhibition: f64,
    /// From a spike to its arrival, ms.
    pub delay: f64,
    /// τ_s: of the synaptic current's decay, ms.
    pub synaptic_time_constant: f64,
    /// ν_ext/ν_thr: the rate of each of a cell's excitatory Poisson inputs from outside, as many as it has inside, over the rate
    /// θ/(J C_E τ) that alone would bring it to its threshold.
    pub external_rate_ratio: f64,
    /// τ of the membrane, ms.
    pub time_constant: f64,
    /// θ: the threshold, mV above rest.
    pub threshold: f64,
    /// The potential after a spike, mV above rest.
    pub reset: f64,
    /// The refractory period, ms.
    pub refractory: f64,
}

impl Default for SpikingNetworkConfig {
    fn default() -> Self {
        Self {
            excitatory: 400,
            inhibitory: 100,
            connection_probability: 0.2,
            weight: 0.5,
            inhibition: 5.0,
            delay: 1.5,
            synaptic_time_constant: 2.0,
            external_rate_ratio: 2.0,
            time_constant: 20.0,
            threshold: 20.0,
            reset: 10.0,
            refractory: 2.0,
        }
    }
}

/// Streams of the network's seed.
const INITIAL: u64 = 0x4e45_5400;
const CONNECTIONS: u64 = 0x4e45_5401;
const EXTERNAL: u64 = 0x4e45_5402;

impl SpikingNetworkConfig {
    /// Checks every setting for steps of `dt` ms.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the first that is not allowed.
    pub fn validate(&self, dt: f64) -> Result<(), DynamicsError> {
        let positive = [
            ("weight", self.weight),
            ("synaptic_time_constant", self.synaptic_time_constant),
            ("time_constant", self.time_constant),
            ("threshold", self.threshold),
        ];
        for (field, value) in positive {
            if !(value.is_finite() && value > 0.0) {
                return Err(DynamicsError::config(
                    field,
                    value,
                    "a finite number above 0",
                ));
            }
        }
        let others = [
            ("inhibition", self.inhibition),
            ("external_rate_ratio", self.external_rate_ratio),
            ("refractory", self.refractory),
        ];
        for (field, value) in others {
            if !(value.is_finite() && value >= 0.0) {
                let allowed = "a finite number, at least 0";
                return Err(DynamicsError::config(field, value, allowed));
            }
        }
        if !(self.reset.is_finite() && self.reset < self.threshold) {
            let allowed = format!("a finite number below threshold = {}", self.threshold);
            return Err(DynamicsError::config("reset", self.reset, allowed));
        }
        if self.excitatory == 0 {
            return Err(DynamicsError::config("excitatory", 0, "at least 1"));
        }
        let p = self.connection_probability;
        if !(p > 0.0 && p <= 1.0) {
            let allowed = "above 0 and at most 1";
            return Err(DynamicsError::config("connection_probability", p, allowed));
        }
        self.line().validate(dt)
    }

    fn line(&self) -> DelayConfig {
        DelayConfig {
            width: self.excitatory + self.inhibitory,
            delays: vec![self.delay],
            ..Default::default()
        }
    }

    /// The inputs that a cell has from `cells` others.
    fn inputs(&self, cells: usize) -> usize {
        (self.connection_probability * cells as f64).round() as usize
    }

    /// The network for steps of `dt` ms. Connections, initial potentials and the Poisson inputs are drawn from `seed` on the
    /// host: one seed gives one network on every device.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(
        &self,
        dt: f64,
        seed: u64,
        place: &Place,
    ) -> Result<SpikingNetwork, DynamicsError> {
        self.validate(dt)?;
        let cells = self.excitatory + self.inhibitory;
        let mut random = uniform(seed, INITIAL, 0);
        let start = (0..cells).map(|_| self.threshold * (1.0 - random()));
        let lif = LifConfig {
            cells,
            initial_voltage: start.collect::<Vec<_>>().into(),
            parameters: LifParameters {
                time_constant: self.time_constant.into(),
                rest: 0.0.into(),
                threshold: self.threshold.into(),
                reset: self.reset.into(),
                refractory: self.refractory.into(),
                resistance: 1.0.into(),
            },
            ..Default::default()
        };
        let weights = self.connections(seed);
        let weights = Weights::fixed(&weights, [cells, cells], Bounds::Free, place)?;
        let synapse = SynapseConfig::current(self.synaptic_time_constant);
        Ok(SpikingNetwork {
            cells: lif.init(place)?,
            synapse: synapse.init(weights, place)?,
            line: self.line().init(dt)?,
            external: External {
                noise: PoissonNoise::new(seed, EXTERNAL),
                per_time: self.external_rate_ratio * self.threshold
                    / (self.weight * self.time_constant),
                charge: self.weight * self.time_constant,
            },
        })
    }

    /// The weights `[pre, post]`: the current at the arrival of a spike, whose integral over time moves the potential by J.
    fn connections(&self, seed: u64) -> Vec<f64> {
        let cells = self.excitatory + self.inhibitory;
        let strength = self.weight * self.time_constant / self.synaptic_time_constant;
        let kinds = [
            (0..self.excitatory, strength),
            (self.excitatory..cells, -self.inhibition * strength),
        ];
        let mut weights = vec![0.0; cells * cells];
        for post in 0..cells {
            let mut random = uniform(seed, CONNECTIONS, post);
            for (pre, weight) in kinds.clone() {
                let wanted = self.inputs(pre.len());
                let mut others: Vec<usize> = pre.filter(|pre| *pre != post).collect();
                for taken in 0..wanted.min(others.len()) {
                    let rest = others.len() - taken;
                    let pick = taken + ((random() * rest as f64) as usize).min(rest - 1);
                    others.swap(taken, pick);
                    weights[others[taken] * cells + post] = weight;
                }
            }
        }
        weights
    }
}

/// What comes from outside the network.
#[derive(Clone, Copy, Debug)]
struct External {
    noise: PoissonNoise,
    /// Spikes a ms, to each cell.
    per_time: f64,
    /// Of a spike, mV·ms.
    charge: f64,
}

/// Leaky integrate-and-fire cells, the excitatory ones first, with exponential currents at their synapses:
///
/// τ dvᵢ/dt = −vᵢ + Iᵢ + J τ Σ δ(t − t_ext), τ_s dIᵢ/dt = −Iᵢ + Σⱼ Jᵢⱼ τ δ(t − tⱼ − d) with Jᵢⱼ = J or −gJ.
///
/// The cells' step is exact for a current that is constant over it, which the synaptic current is taken to be.
///
/// Input: a current, mV, `[batch or 1, cells or 1]`. State: `v`, `spike`, `refractory`, `current`, and the spikes on their
/// way.
#[derive(Module, Debug)]
pub struct SpikingNetwork {
    /// The cells.
    pub cells: Lif,
    /// The synapses between them.
    pub synapse: Synapse,
    #[module(skip)]
    line: Delay,
    #[module(skip)]
    external: External,
}

/// The variables before the spikes on their way: those of the cells, and the synaptic current.
pub(crate) const SHOWN: usize = CELL + 1;
/// Those of the cells.
const CELL: usize = 3;

impl Model for SpikingNetwork {
    type Dynamics = SpikingNetworkDynamics;

    fn dynamics(&self) -> Result<SpikingNetworkDynamics, DynamicsError> {
        let (cells, synapse) = (self.cells.dynamics()?, self.synapse.dynamics()?);
        let width = cells.variables()[0].width;
        let mut variables = cells.variables().to_vec();
        variables.push(Variable::new("current", "µA/cm²", width));
        variables.extend(self.line.variables().iter().cloned());
        Ok(SpikingNetworkDynamics {
            variables,
            cells,
            synapse,
            line: self.line.clone(),
            external: self.external,
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let cells = self.cells.initial_state(batch)?;
        let synapse = self.synapse.initial_state(batch)?;
        let past = self.line.initial_state(batch, 0.0, &Place::of(&cells[0]));
        let parts = [cells, synapse, past].map(State::into_tensors);
        Ok(State::new(parts.concat()))
    }
}

/// [`SpikingNetwork`] with its parameters' values.
#[derive(Clone, Debug)]
pub struct SpikingNetworkDynamics {
    variables: Vec<Variable>,
    cells: LifDynamics,
    synapse: SynapseDynamics,
    line: Delay,
    external: External,
}

impl Dynamics for SpikingNetworkDynamics {
    fn name(&self) -> &str {
        "spiking network"
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
        let part = |range: std::ops::Range<usize>| State::new(state.tensors()[range].to_vec());
        let (cells, synapse) = (part(0..CELL), part(CELL..SHOWN));
        let past = part(SHOWN..state.len());
        let [batch, width] = state[0].dims();

        let arrived = self.line.observe(&past);
        let synapse = self.synapse.step(at, &synapse, Some(&arrived))?;
        let mean = self.external.per_time * at.dt;
        let counts = self
            .external
            .noise
            .values(at.step, batch * width, mean)
            .into_iter();
        let drive = counts.map(|count| count * self.external.charge / at.dt);
        let place = Place::of(&state[0]);
        let mut current = synapse[0].clone() + place.tensor(drive.collect(), [batch, width]);
        if let Some(input) = input {
            current = current + input.clone();
        }
        let cells = self.cells.step(at, &cells, Some(&current))?;
        let past = self.line.step(at, &past, Some(&cells[1]))?;
        let parts = [cells, synapse, past].map(State::into_tensors);
        Ok(State::new(parts.concat()))
    }
}
