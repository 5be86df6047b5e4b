//! Single neurons: conductance-based and integrate-and-fire cells, cables, and their spikes.
//!
//! A population of N cells is one model of width N.
//!
//! | cell | source |
//! | --- | --- |
//! | [`HodgkinHuxley`] | squid axon, 1952 |
//! | [`WangBuzsaki`] | fast-spiking interneuron, 1996 |
//! | [`TraubMiles`] | hippocampal pyramidal cell, 1991 |
//! | [`ConnorStevens`] | crab's axon with an A-current, 1977 |
//! | [`RegularSpiking`], [`FastSpiking`], [`IntrinsicallyBursting`], [`LowThreshold`] | classes of cortical cells, 2008 |
//! | [`ThalamicRelay`] | thalamic relay cell with T-type calcium and h-currents of 1992, its conductances chosen here |
//! | [`WangPyramidal`] | cortical pyramidal cell with a calcium-activated potassium current, 1998 |
//!
//! A [`CellConfig`] gives a population of [`Cells`], a Burn module; every parameter has one value for all cells or one for
//! each, fixed or trainable within bounds.
//!
//! ```
//! use std::{ops::ControlFlow, sync::Arc};
//! use granule_dynamics::solver::Rk4;
//! use granule_dynamics::unit::{HodgkinHuxleyConfig, SpikeDetector};
//! use granule_dynamics::{Grid, Model, NoInput, Place, simulate};
//!
//! # fn run(device: &burn::tensor::Device) -> Result<(), granule_dynamics::DynamicsError> {
//! let mut config = HodgkinHuxleyConfig { cells: 3, ..Default::default() };
//! config.current = vec![2.0, 7.0, 20.0].into();
//! let cells = config.init(Arc::new(Rk4), &Place::f64(device))?;
//! let mut spikes = SpikeDetector::new(config.spike_threshold);
//! let grid = Grid::over(200.0, 0.025)?;
//! simulate(&cells.dynamics()?, cells.initial_state(1)?, &NoInput, &grid, |_, time, state| {
//!     spikes.push(time, &state[0]);
//!     ControlFlow::Continue(())
//! })?;
//! for cell in spikes.finish()? {
//!     println!("{} Hz, spikes at {:?} ms", cell.rate_hz(200.0), cell.times);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | integrate-and-fire cell | variables | order of spike times |
//! | --- | --- | --- |
//! | [`Lif`] leaky | v | exact for an input constant over the step |
//! | [`Qif`] quadratic | v | exact likewise, threshold and reset at ±∞ |
//! | [`Adex`] adaptive exponential | v, w | 2 with any explicit solver of that order or a higher one |
//! | [`Izhikevich`] | v, u | that of the explicit solver, at most 4 |
//!
//! Their spikes are located inside the step. `spike` holds how many there were in it, and its gradient is a [`Surrogate`];
//! `since_spike` is the time since the last one.
//!
//! `initial` in a configuration holds the state at the beginning by the names of the variables: `initial.v`, `initial.w`,
//! `initial.u`, `initial.m`, … .
//!
//! [`UnitConfig`] is any of them, by name, and cells of many compartments as well: a [`CableCellConfig`] has sections or a traced
//! morphology with channels.

mod cable;
mod cell;
mod cells;
pub mod channel;
mod choice;
mod conductance;
mod constants;
mod field;
mod input;
mod integrate_and_fire;
mod kind;
mod observed;
mod parameters;
mod population;
mod rates;
mod resting;
mod spikes;
mod surrogate;
#[cfg(test)]
mod tests;

pub use crate::quantity::Constant;
pub use crate::setting::{ParameterInfo, Range};
pub use cable::{
    Cable, CableCell, CableCellConfig, CableCellDynamics, CableDynamics, CableFile, CableScheme,
    Morphology, MorphologyPoints, Regions, SectionConfig, SiteDistances, Sites,
};
pub use cell::*;
pub use cells::Cells;
pub use choice::{UnitConfig, UnitModel};
pub use conductance::CellConfig;
pub use field::CellField;
pub use integrate_and_fire::*;
pub use kind::CellKind;
pub use observed::Observed;
pub use parameters::{CellConstants, CellParameters, InitialState};
pub(crate) use population::{Places, Region};
pub use spikes::{SpikeDetector, SpikeStatistics, Spikes, spikes};
pub use surrogate::Surrogate;
