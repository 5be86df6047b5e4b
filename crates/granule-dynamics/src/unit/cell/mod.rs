//! The published cells, a table of channels each.

mod connor_stevens;
mod hodgkin_huxley;
mod pospischil;
mod thalamic_relay;
mod traub_miles;
mod wang_buzsaki;
mod wang_pyramidal;

pub use connor_stevens::{ConnorStevens, ConnorStevensConfig};
pub use hodgkin_huxley::{HodgkinHuxley, HodgkinHuxleyConfig};
pub use pospischil::{
    FastSpiking, FastSpikingConfig, IntrinsicallyBursting, IntrinsicallyBurstingConfig,
    LowThreshold, LowThresholdConfig, RegularSpiking, RegularSpikingConfig,
};
pub use thalamic_relay::{ThalamicRelay, ThalamicRelayConfig};
pub use traub_miles::{TraubMiles, TraubMilesConfig};
pub use wang_buzsaki::{WangBuzsaki, WangBuzsakiConfig};
pub use wang_pyramidal::{WangPyramidal, WangPyramidalConfig};
