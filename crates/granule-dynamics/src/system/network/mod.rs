mod connectivity;
mod dynamics;
#[cfg(test)]
mod tests;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

pub use connectivity::Delays;
use connectivity::Links;
pub use dynamics::NetworkDynamics;

use super::System;
use super::parameters::check_trainable;
use super::readout::Readout;
use crate::model::{Field, Model};
use crate::setting::Range;
use crate::solver::Solver;
use crate::{Bounds, DynamicsError, Parameter, Place, State};

/// Settings of a [`Network`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// w: row i holds the weights of the links to node i, column j those from node j. A weight of 0 is no link and stays
    /// none.
    pub weights: Vec<Vec<f64>>,
    /// How long the links take (ms).
    pub delays: Delays,
    /// a: the strength of the coupling.
    pub strength: f64,
    /// What couples the nodes.
    pub coupling: Coupling,
    /// The input channel of the nodes that takes the coupling, counted from 0.
    pub channel: usize,
    /// The step for which the past is laid out (ms).
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
    pub dt: f64,
    /// What weights may become when they are trained.
    pub weight_bounds: Bounds,
    /// Which of `weights` and `strength` training may move.
    pub trainable: Vec<String>,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            weights: vec![vec![0.0, 1.0], vec![1.0, 0.0]],
            delays: Delays::None,
            strength: 1.0,
            coupling: Coupling::Additive,
            channel: 0,
            dt: 0.1,
            weight_bounds: Bounds::Free,
            trainable: Vec::new(),
        }
    }
}

/// What reaches node i from the nodes' activity y.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Coupling {
    /// a·Σⱼ wᵢⱼ·yⱼ(t − dᵢⱼ)
    #[default]
    Additive,
    /// a·Σⱼ wᵢⱼ·(yⱼ(t − dᵢⱼ) − yᵢ(t))
    Diffusive,
}

impl NetworkConfig {
    /// The names that `trainable` may hold.
    pub const PARAMETERS: &'static [&'static str] = &["weights", "strength"];

    /// Checks every value.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for weights or delays that are not square or not finite, a delay that is negative, or
    /// positive and shorter than dt, and an unknown name.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        Range::Positive.check("dt", self.dt)?;
        if !self.strength.is_finite() {
            return Err(DynamicsError::config(
                "strength",
                self.strength,
                "a finite number",
            ));
        }
        Links::new(&self.weights, &self.delays, self.dt)?;
        check_trainable(&self.trainable, Self::PARAMETERS)
    }

    /// A network of the nodes of `system`, moved by `solver`.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate); also when the nodes are not as many as the weights' rows or have no such
    /// channel.
    pub fn init<S: System, V: Solver + Clone + 'static>(
        &self,
        system: S,
        solver: V,
        place: &Place,
    ) -> Result<Network<S, V>, DynamicsError> {
        self.validate()?;
        let links = Links::new(&self.weights, &self.delays, self.dt)?;
        let field = system.field()?;
        let channels = field.inputs();
        let Some(channel) = channels.get(self.channel) else {
            return Err(DynamicsError::config(
                "channel",
                self.channel,
                format!(
                    "less than {}, the input channels of {}",
                    channels.len(),
                    field.name()
                ),
            ));
        };
        for (what, width) in [
            (
                format!("the activity of {}", field.name()),
                field.activity().width,
            ),
            (
                format!("the channel {} of {}", channel.name, field.name()),
                channel.width,
            ),
        ] {
            if width != links.nodes {
                return Err(DynamicsError::Shape {
                    what,
                    expected: vec![links.nodes],
                    found: vec![width],
                });
            }
        }
        let parameter = |name: &str, values: &[f64], bounds: Bounds| {
            if self.trainable.iter().any(|other| other == name) {
                Parameter::trainable(name, values, bounds, place)
            } else {
                Parameter::fixed(name, values, bounds, place)
            }
        };
        Ok(Network {
            weights: parameter("weights", &links.weights, self.weight_bounds)?,
            strength: parameter("strength", &[self.strength], Bounds::Free)?,
            system,
            links,
            solver,
            coupling: self.coupling,
            channel: self.channel,
            dt: self.dt,
            readout: Readout::Observed,
        })
    }
}

/// Nodes of any [`System`] that drive each other over a connectivity matrix, each link with its own delay.
///
/// The coupling enters one input channel of the nodes; the network's own input has the nodes' channels and is added to it.
/// The state is that of the nodes, then, as far back as the longest delay reaches, the activity one step ago, two steps
/// ago and so on; before the beginning the activity was that of the beginning, unless a state with another past is given.
///
/// Activity between two steps is interpolated linearly, so delays need not be multiples of dt and the network is of
/// second order in dt, or of its solver's order where that is less. Links without delay see the solver's stages, at
/// its full order. The links of all delays are one matrix product of a matrix of distinct delays × nodes rows.
#[derive(Module, Debug)]
pub struct Network<S: Module, V> {
    /// The nodes.
    pub system: S,
    /// The weights that are not 0, in the order of the matrix's rows: `[1, links]`.
    pub weights: Parameter,
    /// a, `[1, 1]`.
    pub strength: Parameter,
    #[module(skip)]
    links: Links,
    #[module(skip)]
    solver: V,
    #[module(skip)]
    coupling: Coupling,
    #[module(skip)]
    channel: usize,
    #[module(skip)]
    dt: f64,
    #[module(skip)]
    readout: Readout,
}

impl<S: System, V: Solver + Clone + 'static> Network<S, V> {
    /// Records something else than the nodes' own choice.
    pub fn with_readout(mut self, readout: Readout) -> Self {
        self.readout = readout;
        self
    }

    /// The weights as a matrix `[nodes, nodes]` with the strength in them: row i holds the links to node i.
    pub fn matrix(&self) -> Tensor<2> {
        self.links
            .dense(self.weights.value() * self.strength.value())
    }
}

impl<S: System, V: Solver + Clone + 'static> Model for Network<S, V> {
    type Dynamics = NetworkDynamics<S::Field, V>;

    fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError> {
        let field = self.system.field()?;
        self.readout.check(&field, &self.system.initial_state(1)?)?;
        Ok(NetworkDynamics::new(self, field))
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let nodes = self.system.initial_state(batch)?;
        let before = self.system.field()?.output(&nodes);
        let past = std::iter::repeat_n(before, self.links.history);
        Ok(State::new(
            nodes.into_tensors().into_iter().chain(past).collect(),
        ))
    }
}
