//! Single neurons: conductance-based and integrate-and-fire cells and their spikes.
//!
//! A population of N cells is one model of width N.
//!
//! | cell | source |
//! | --- | --- |
//! | [`HodgkinHuxley`] | squid axon, 1952 |
//! | [`WangBuzsaki`] | fast-spiking interneuron, 1996 |
//! | [`TraubMiles`] | hippocampal pyramidal cell, 1991 |
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
//!     println!("{} Hz, spikes at {:?} ms", cell.rate_hz(), cell.times);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | integrate-and-fire cell | variables | step |
//! | --- | --- | --- |
//! | [`Lif`] | v, spike, refractory | exact for an input constant over the step, spike times included |
//! | [`Qif`] | v, spike | exact likewise, threshold and reset at ±∞ |
//! | [`Adex`] | v, w, spike, refractory | any solver; spikes at the ends of steps |
//! | [`Izhikevich`] | v, u, spike | any solver; spikes at the ends of steps |
//!
//! `spike` holds the number of spikes in the last step; its gradient is a [`Surrogate`].

mod adex;
mod conductance;
mod constants;
mod field;
mod hodgkin_huxley;
mod input;
mod izhikevich;
mod lif;
mod observed;
mod parameters;
mod qif;
mod rates;
pub(crate) mod setting;
mod spikes;
mod surrogate;
#[cfg(test)]
mod tests;
mod traub_miles;
mod wang_buzsaki;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use adex::{Adex, AdexConfig, AdexConstants, AdexField, AdexParameters};
pub use conductance::{CellConfig, Cells, InitialState, Kinetics};
pub use field::CellField;
pub use hodgkin_huxley::{HodgkinHuxley, HodgkinHuxleyConfig};
pub use izhikevich::{
    Izhikevich, IzhikevichConfig, IzhikevichConstants, IzhikevichField, IzhikevichParameters,
};
pub use lif::{Lif, LifConfig, LifConstants, LifDynamics, LifParameters};
pub use observed::Observed;
pub use parameters::{CellConstants, CellParameters, PARAMETERS, ParameterInfo, Published};
pub use qif::{Qif, QifConfig, QifConstants, QifDynamics, QifParameters};
pub use rates::RateForm;
pub use setting::{Constant, Range};
pub use spikes::{SpikeDetector, Spikes, spikes};
pub use surrogate::Surrogate;
pub use traub_miles::{TraubMiles, TraubMilesConfig};
pub use wang_buzsaki::{WangBuzsaki, WangBuzsakiConfig};

use crate::solver::Solver;
use crate::{DynamicsError, Place, Values};

/// Any of the cells, chosen by name in a configuration file: `model = "hodgkin-huxley"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "kebab-case")]
pub enum UnitConfig {
    /// [`HodgkinHuxley`] cells.
    HodgkinHuxley(HodgkinHuxleyConfig),
    /// [`WangBuzsaki`] cells.
    WangBuzsaki(WangBuzsakiConfig),
    /// [`TraubMiles`] cells.
    TraubMiles(TraubMilesConfig),
}

/// Does the same with whichever cell it is.
macro_rules! each {
    ($unit:expr, $config:ident => $result:expr) => {
        match $unit {
            UnitConfig::HodgkinHuxley($config) => $result,
            UnitConfig::WangBuzsaki($config) => $result,
            UnitConfig::TraubMiles($config) => $result,
        }
    };
}

impl UnitConfig {
    /// The names of the cells.
    pub const NAMES: [&'static str; 3] = [HodgkinHuxley::NAME, WangBuzsaki::NAME, TraubMiles::NAME];

    /// A cell by its name, with its published parameters.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for a name that is none of [`NAMES`](Self::NAMES).
    pub fn from_name(name: &str) -> Result<Self, DynamicsError> {
        match name {
            HodgkinHuxley::NAME => Ok(Self::HodgkinHuxley(Default::default())),
            WangBuzsaki::NAME => Ok(Self::WangBuzsaki(Default::default())),
            TraubMiles::NAME => Ok(Self::TraubMiles(Default::default())),
            _ => Err(DynamicsError::config(
                "unit.model",
                name,
                Self::NAMES.join(", "),
            )),
        }
    }

    /// The cell's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::HodgkinHuxley(_) => HodgkinHuxley::NAME,
            Self::WangBuzsaki(_) => WangBuzsaki::NAME,
            Self::TraubMiles(_) => TraubMiles::NAME,
        }
    }

    /// The number of cells.
    pub fn cells(&self) -> usize {
        each!(self, config => config.cells)
    }

    /// The voltage whose upward crossing is a spike, mV.
    pub fn spike_threshold(&self) -> f64 {
        each!(self, config => config.spike_threshold)
    }

    /// Every parameter with its values.
    pub fn parameters(&self) -> Vec<(&'static ParameterInfo, &Values)> {
        each!(self, config => config.parameters.entries().collect())
    }

    /// A parameter by its name.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] lists the names when there is no such parameter.
    pub fn parameter_mut(&mut self, name: &str) -> Result<&mut Values, DynamicsError> {
        each!(self, config => config.parameters.get_mut(name)).ok_or_else(|| {
            let names: Vec<_> = PARAMETERS.iter().map(|info| info.name).collect();
            DynamicsError::config("unit.parameters", name, names.join(", "))
        })
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// Those of [`CellConfig::validate`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        each!(self, config => config.validate())
    }

    /// Makes the population, to be moved by `solver`.
    ///
    /// # Errors
    ///
    /// Those of [`CellConfig::init`].
    pub fn init(&self, solver: Arc<dyn Solver>, place: &Place) -> Result<Cells, DynamicsError> {
        each!(self, config => config.init(solver, place))
    }
}
