//! Conductance-based cells as tables of channels: what a cell is made of is data, in Rust or in a configuration file.
//!
//! A [`ChannelTable`] is a capacitance, a leak, [channels](ChannelConfig) and [concentrations](PoolConfig); a channel has
//! [gates](GateConfig), and a gate has [curves](CurveConfig) of the voltage.

mod bind;
mod check;
mod config;
pub mod curve;
mod file;
pub mod library;
mod names;
mod scalar;
mod table;

pub(crate) use bind::{Battery, BoundChannel, BoundPool, BoundTable};
pub use config::{ConductanceConfig, ConductanceFile, TableParameters};
pub(crate) use curve::Constants;
pub use curve::CurveConfig;
pub use file::{ChannelFile, LeakConfig};
pub(crate) use file::{resolved, with_channels};
pub use table::{
    ChannelConfig, ChannelTable, GateConfig, NernstConfig, PoolConfig, ReversalConfig, at_once,
    rates, relaxing,
};
