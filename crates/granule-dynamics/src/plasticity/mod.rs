//! Synaptic plasticity: rules that change weights by the activity on both sides of them, one rule a file.
//!
//! | kind | rule | activity |
//! | --- | --- | --- |
//! | `hebb` | [`Hebb`]: xy | rates |
//! | `oja` | [`Oja`]: the first principal component | rates |
//! | `sanger` | [`Sanger`]: principal components in order | rates |
//! | `competitive` | [`Competitive`]: the strongest response learns | rates |
//! | `bcm` | [`Bcm`]: a threshold that slides with the response | rates |
//! | `covariance` | [`Covariance`]: potentiation and depression about thresholds or means | rates |
//! | `two-threshold` | [`TwoThreshold`]: depression between two thresholds, potentiation above | rates |
//! | `pair-stdp` | [`PairStdp`]: pairs of spikes | spikes |
//! | `triplet-stdp` | [`TripletStdp`]: pairs and triplets of spikes | spikes |
//! | `reward-stdp` | [`RewardStdp`]: pairs of spikes that a reward turns into changes, in a [`circuit`](crate::circuit) | spikes |
//! | `homeostasis` | [`Homeostasis`]: scaling towards a target rate | both |
//! | `decay` | [`Decay`]: forgetting | both |
//!
//! A [`Rule`] is a Burn module; [`RulesConfig`] makes a sum of them with limits on the weights, [`Rules`]. Everything is a
//! tensor operation, so a gradient reaches the rules' own parameters and passes through weights that change during a run.
//! Rules serve in three ways:
//!
//! - alone, without backpropagation: [`PlasticLayer`] learns from rows of data;
//! - after training by gradient: [`adjust()`] changes a weight of any Burn module;
//! - within training by gradient: [`PlasticNetwork`] carries weights in its state, as couplers of
//!   [`composite`](crate::composite) models do that have a table `plasticity`, and [`PlasticConnection`] is the part of them
//!   from which other models are made.
//!
//! [`ShortTermPlasticity`] does not change weights but what they transmit, and stands beside the rules.
//!
//! x is the activity of a presynaptic unit i, y that of a postsynaptic unit j, w the weight from i to j: rows are
//! presynaptic. Times are in ms, rates of learning per ms; where rows of data have no time, one row takes one unit of it.

mod adjustment;
mod config;
mod connection;
mod layer;
mod limits;
mod network;
mod rule;
mod rules;
mod short_term;
#[cfg(test)]
mod tests;

pub use adjustment::adjust;
pub use config::RulesConfig;
pub use connection::PlasticConnection;
pub(crate) use connection::{check_unrewarded, plastic_variables};
pub use layer::{LayerProgress, PlasticLayer, PlasticLayerConfig, Response};
pub use limits::{WeightBounds, WeightLimits};
pub use network::{PlasticDynamics, PlasticNetwork, PlasticNetworkConfig};
pub use rule::*;
pub use rules::{AnyRule, RuleConfig, Rules};
pub use short_term::{ShortTermConfig, ShortTermPlasticity};
