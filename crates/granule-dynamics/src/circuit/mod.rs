//! Networks as populations and projections.
//!
//! A [`CircuitConfig`] lists populations of cells and the projections between them; in a file of an experiment they are its
//! `[[circuit.population]]` and `[[circuit.projection]]`. Model A of Brunel (2000) in its asynchronous irregular state:
//!
//! ```toml
//! [[population]]
//! name = "excitatory"
//! size = 10000
//! cell = "lif"                        # any neuron by its name, `rate`, `poisson` or `spikes`
//! parameters = { time_constant = 20.0, threshold = 20.0, reset = 10.0, refractory = 2.0 }
//! initial = { v = { uniform = { low = 0.0, high = 20.0 } } }
//!
//! [[population]]
//! name = "inhibitory"
//! size = 2500
//! cell = "lif"
//! parameters = { time_constant = 20.0, threshold = 20.0, reset = 10.0, refractory = 2.0 }
//!
//! [[projection]]
//! from = "excitatory"
//! to = "inhibitory"
//! rule = { kind = "fixed-in-degree", degree = 1000 }
//! weight = 0.1                        # mV: without `kinetics` the potential jumps
//! delay = 1.5                         # ms
//! ```
//!
//! Every number of a cell, every weight and every delay is a number, a list (in a file of an experiment also
//! `{ file = "weights.npy" }`) or a distribution, `{ normal = { mean = 1.5, deviation = 0.75, low = 0.1 } }`. They are drawn on the
//! host, each cell and each connection by the seed, its place in the configuration and its cell: one seed is one network on
//! every device.
//!
//! Only connections are stored, in one sparse matrix for each kind of synapse, whose rows are the cells and delays that it is
//! heard with, and whose columns are all the cells that hear it. A spike costs its connections; cells without one cost nothing. What is on its way is a ring of the
//! spikes of all cells, one for each step of the longest delay.
//!
//! A step of `dt` ms takes what arrives at its beginning. Potentials jump then, by what comes without kinetics, except of cells
//! that are refractory. Conductances and currents with kinetics jump then as well and decay exactly; the cells get the exact mean
//! of their course over the step, a conductance with the driving force at its beginning. For plastic weights what arrives
//! at the beginning of a step is before the spikes of its receivers in it. A cell's own spike leaves at the end of its step: the delay
//! counts from there. Spikes of a list leave when they are, to the end of a step.
//! Gap junctions bring a current by the potentials at the beginning of a step, held over it; conductances that the step is
//! too long for are refused.

mod draw;
mod gap;
mod model;
mod plan;
mod population;
mod projection;
mod rule;
mod source;
mod space;
mod step;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use draw::{Distribution, Draw};
pub use gap::{GapJunction, GapJunctions};
pub use model::{Circuit, CircuitGroup, Facilitating, PlasticWeights, RateUnits};
pub use population::PopulationConfig;
pub use projection::{Names, ProjectionConfig, SonataConfig};
pub use rule::{
    AllToAll, DistanceDependent, FixedInDegree, FixedOutDegree, FixedProbability, ListOfPairs,
    Matrix, OneToOne, Profile, RuleOfConnections,
};
pub use source::SpikeTrain;
pub use space::Positions;
pub use step::CircuitDynamics;

/// Populations and projections as data. See the [module](self).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CircuitConfig {
    /// The populations, at least one.
    #[serde(rename = "population")]
    pub populations: Vec<PopulationConfig>,
    /// The projections between them.
    #[serde(rename = "projection")]
    pub projections: Vec<ProjectionConfig>,
}
