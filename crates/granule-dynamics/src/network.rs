//! A sparse network of excitatory and inhibitory integrate-and-fire cells with delays (Brunel 2000).

use burn::module::Module;
use burn::tensor::Tensor;
use granule_io::budget;
use granule_ops::Connections;
use granule_ops::random::uniform;
use serde::{Deserialize, Serialize};

use crate::delay::{Delay, DelayConfig};
use crate::model::{Clock, Dynamics, Model};
use crate::random::PoissonNoise;
use crate::setting::{Range, check_count, check_within};
use crate::synapse::{Synapse, SynapseConfig, SynapseDynamics, Weights};
use crate::unit::{Lif, LifConfig, LifDynamics, LifInitial, LifParameters};
use crate::whole::numbers_of_step;
use crate::{Bounds, DynamicsError, Place, State, Variable};

/// Settings of [`SpikingNetwork`]. The defaults are model A of Brunel (2000, doi:10.1023/A:1008925309027) in an
/// asynchronous irregular state, with 80 + 20 connections a cell instead of 1000 + 250, which are stronger for it, and
/// synapses that take time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SpikingNetworkConfig {
    /// The number of excitatory cells.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub excitatory: usize,
    /// The number of inhibitory cells.
    pub inhibitory: usize,
    /// The share of the cells of either kind that a cell hears, the same number for each cell.
    #[cfg_attr(feature = "schema", schemars(range(max = 1), extend("exclusiveMinimum" = 0)))]
    pub connection_probability: f64,
    /// J: what an excitatory spike brings, mV: the jump of the potential if it came at once.
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
    pub weight: f64,
    /// g: how many times stronger an inhibitory spike is.
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::NonNegative))]
    pub inhibition: f64,
    /// From a spike to its arrival, ms.
    pub delay: f64,
    /// τ_s: of the synaptic current's decay, ms.
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
    pub synaptic_time_constant: f64,
    /// ν_ext/ν_thr: the rate of each of a cell's excitatory Poisson inputs from outside, as many as it has inside, over the rate
    /// θ/(J C_E τ) that alone would bring it to its threshold.
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::NonNegative))]
    pub external_rate_ratio: f64,
    /// τ of the membrane, ms.
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
    pub time_constant: f64,
    /// θ: the threshold, mV above rest.
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
    pub threshold: f64,
    /// The potential after a spike, mV above rest.
    pub reset: f64,
    /// The refractory period, ms.
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::NonNegative))]
    pub refractory: f64,
}

impl Default for SpikingNetworkConfig {
    fn default() -> Self {
        Self {
            excitatory: 800,
            inhibitory: 200,
            connection_probability: 0.1,
            weight: 0.7,
            inhibition: 7.0,
            delay: 1.5,
            synaptic_time_constant: 2.0,
            external_rate_ratio: 1.5,
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
            Range::Positive.check(field, value)?;
        }
        let others = [
            ("inhibition", self.inhibition),
            ("external_rate_ratio", self.external_rate_ratio),
            ("refractory", self.refractory),
        ];
        for (field, value) in others {
            Range::NonNegative.check(field, value)?;
        }
        if !(self.reset.is_finite() && self.reset < self.threshold) {
            let allowed = format!("a finite number below threshold = {}", self.threshold);
            return Err(DynamicsError::config("reset", self.reset, allowed));
        }
        check_count("excitatory", self.excitatory)?;
        check_within("inhibitory", self.inhibitory, 0)?;
        let p = self.connection_probability;
        if !(p > 0.0 && p <= 1.0) {
            let allowed = "above 0 and at most 1";
            return Err(DynamicsError::config("connection_probability", p, allowed));
        }
        self.line().validate(dt).map_err(|error| match error {
            DynamicsError::Config(error) if error.field == "delays" => error.named("delay").into(),
            other => other,
        })
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
    pub fn init(&self, dt: f64, seed: u64, place: &Place) -> Result<SpikingNetwork, DynamicsError> {
        self.validate(dt)?;
        let cells = self.excitatory + self.inhibitory;
        let inputs = self.inputs(self.excitatory) + self.inputs(self.inhibitory);
        // Of each connection where it comes from and goes to, and its weight, as they are drawn, in order, in the model and while
        // its step is recorded.
        budget::ask_for_numbers("the network's connections", &[6, cells, inputs])?;
        let mut random = uniform(seed, INITIAL, 0);
        let start = (0..cells).map(|_| self.threshold * (1.0 - random()));
        let lif = LifConfig {
            cells,
            initial: LifInitial {
                v: start.collect::<Vec<_>>().into(),
            },
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
        let (connections, weights) = self.connections(seed)?;
        let weights = Weights::listed(&weights, connections, Bounds::Free, place)?;
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

    /// The connections, and the weight of each: the current at the arrival of a spike, whose integral over time moves the
    /// potential by J.
    fn connections(&self, seed: u64) -> Result<(Connections, Vec<f64>), DynamicsError> {
        let cells = self.excitatory + self.inhibitory;
        let strength = self.weight * self.time_constant / self.synaptic_time_constant;
        let kinds = [
            (0..self.excitatory, strength),
            (self.excitatory..cells, -self.inhibition * strength),
        ];
        // The cells that each one sends to, rising.
        let mut targets: Vec<Vec<usize>> = vec![Vec::new(); cells];
        let mut others: Vec<usize> = Vec::with_capacity(cells);
        for post in 0..cells {
            let mut random = uniform(seed, CONNECTIONS, post);
            for (pre, _) in kinds.clone() {
                let wanted = self.inputs(pre.len());
                others.clear();
                others.extend(pre.filter(|pre| *pre != post));
                for taken in 0..wanted.min(others.len()) {
                    let rest = others.len() - taken;
                    let pick = taken + ((random() * rest as f64) as usize).min(rest - 1);
                    others.swap(taken, pick);
                    targets[others[taken]].push(post);
                }
            }
        }
        let sent = kinds.into_iter().flat_map(|(pre, weight)| {
            let counts = targets[pre].iter().map(Vec::len);
            std::iter::repeat_n(weight, counts.sum())
        });
        let weights = sent.collect();
        let misfit =
            || DynamicsError::config("excitatory + inhibitory", cells, "at most 2^32 cells");
        let connections = Connections::new(cells, targets).ok_or_else(misfit)?;
        if connections.is_empty() {
            // A parameter has a value: one connection that brings nothing.
            let one = (0..cells).map(|pre| (pre == 0).then_some(0));
            let one = Connections::new(cells, one).ok_or_else(misfit)?;
            return Ok((one, vec![0.0]));
        }
        Ok((connections, weights))
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
/// Input: a current, µA/cm², which through a membrane of 1 kΩ·cm² is as many mV, `[batch or 1, cells or 1]`. State: `v`, `spike`, `since_spike`, `spike_interval`, `current`, and the
/// spikes on their way.
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

/// How many variables of a network come before the spikes on their way: those of the cells, and the synaptic current.
pub const SHOWN: usize = CELL + 1;
/// Those of the cells.
const CELL: usize = 4;

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
        let External {
            noise,
            per_time,
            charge,
        } = self.external;
        let dt = at.dt;
        let drive = numbers_of_step(
            at.step,
            [batch, width],
            &Place::of(&state[0]),
            move |step, currents| {
                noise.fill(step, per_time * dt, currents);
                let one = charge / dt;
                currents.iter_mut().for_each(|count| *count *= one);
            },
        );
        let mut current = synapse[0].clone() + drive;
        if let Some(input) = input {
            current = current + input.clone();
        }
        let cells = self.cells.step(at, &cells, Some(&current))?;
        let past = self.line.step(at, &past, Some(&state[1]))?;
        let parts = [cells, synapse, past].map(State::into_tensors);
        Ok(State::new(parts.concat()))
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::simulate::{Grid, simulate};
    use crate::testing::{assert_close, f64_place};
    use crate::{NoInput, host};

    fn grid(dt: f64, duration: f64) -> Grid {
        Grid::over(duration, dt).unwrap()
    }

    #[test]
    fn the_drive_from_outside_has_the_mean_that_it_says() {
        // Hardly any noise and no connections: μ = 2θ, so f = 1/(t_ref + τ ln((μ − reset)/(μ − θ))).
        let config = SpikingNetworkConfig {
            excitatory: 20,
            inhibitory: 0,
            connection_probability: 0.01,
            weight: 0.002,
            external_rate_ratio: 2.0,
            ..Default::default()
        };
        let place = f64_place();
        let network = config.init(0.1, 4, &place).unwrap();
        let mut count = 0.0;
        let initial = network.initial_state(1).unwrap();
        let dynamics = network.dynamics().unwrap();
        simulate(
            &dynamics,
            initial,
            &NoInput,
            &grid(0.1, 400.0),
            |_, time, state| {
                if time > 100.0 {
                    count += host(state[1].clone()).unwrap().iter().sum::<f64>();
                }
                ControlFlow::Continue(())
            },
        )
        .unwrap();
        let expected = 1000.0 / (2.0 + 20.0 * 1.5_f64.ln());
        assert_close(count / 20.0 / 0.3, expected, 0.02);
    }

    #[test]
    fn a_spike_arrives_after_its_delay_with_its_sign_and_charge() {
        let config = SpikingNetworkConfig {
            excitatory: 1,
            inhibitory: 1,
            connection_probability: 1.0,
            external_rate_ratio: 0.0,
            delay: 1.5,
            ..Default::default()
        };
        let place = f64_place();
        let network = config.init(0.1, 0, &place).unwrap();
        let dynamics = network.dynamics().unwrap();
        for (sender, sign) in [(0usize, 1.0), (1, -7.0)] {
            let mut kick = vec![-1e4; 2];
            kick[sender] = 1e4;
            let kick = place.tensor(kick, [1, 2]);
            let input = move |at: Clock| (at.step == 0).then(|| kick.clone());
            let initial = network.initial_state(1).unwrap();
            let mut current = Vec::new();
            simulate(
                &dynamics,
                initial,
                &input,
                &grid(0.1, 40.0),
                |_, _, state| {
                    current.push(host(state[CELL].clone()).unwrap());
                    ControlFlow::Continue(())
                },
            )
            .unwrap();
            // The spike is at the end of the first step, its arrival at the beginning of a later one.
            let arrived = current.iter().position(|row| row[1 - sender] != 0.0);
            assert_eq!(arrived, Some(17));
            assert!(current.iter().all(|row| row[sender] == 0.0));
            // The sum of a decaying current at the ends of the steps.
            let charge: f64 = current.iter().map(|row| row[1 - sender] * 0.1).sum();
            let left = (-0.1_f64 / 2.0).exp();
            let expected = sign * 0.7 * 20.0 / 2.0 * 0.1 * left / (1.0 - left);
            assert_close(charge, expected, 1e-6);
        }
    }

    #[test]
    fn every_cell_has_its_inputs_and_not_itself() {
        let config = SpikingNetworkConfig {
            excitatory: 40,
            inhibitory: 10,
            connection_probability: 0.2,
            ..Default::default()
        };
        let dense = |seed: u64| {
            let (connections, values) = config.connections(seed).unwrap();
            let mut weights = vec![0.0; 50 * 50];
            for ((pre, post), value) in connections.pairs().zip(values) {
                weights[pre * 50 + post] = value;
            }
            weights
        };
        let weights = dense(3);
        assert_ne!(weights, dense(4));
        for post in 0..50 {
            let own: Vec<f64> = (0..50).map(|pre| weights[pre * 50 + post]).collect();
            assert_eq!(own[post], 0.0);
            assert_eq!(own[..40].iter().filter(|w| **w == 7.0).count(), 8);
            assert_eq!(own[40..].iter().filter(|w| **w == -49.0).count(), 2);
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_named() {
        let refused = |config: SpikingNetworkConfig| {
            let error = config.validate(0.1).unwrap_err().to_string();
            error.split(" is not").next().unwrap().to_string()
        };
        let base = SpikingNetworkConfig::default;
        assert_eq!(
            refused(SpikingNetworkConfig {
                delay: 0.05,
                ..base()
            }),
            "delay = 0.05"
        );
        assert_eq!(
            refused(SpikingNetworkConfig {
                reset: 25.0,
                ..base()
            }),
            "reset = 25"
        );
        assert_eq!(
            refused(SpikingNetworkConfig {
                weight: -1.0,
                ..base()
            }),
            "weight = -1"
        );
        assert_eq!(
            refused(SpikingNetworkConfig {
                connection_probability: 1.5,
                ..base()
            }),
            "connection_probability = 1.5"
        );
    }
}
