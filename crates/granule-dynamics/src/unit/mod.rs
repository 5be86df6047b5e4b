//! Single neurons. A population of N cells is one model of width N.
//!
//! | cell | variables | step |
//! | --- | --- | --- |
//! | [`Lif`] | v, spike, refractory | exact for an input constant over the step, spike times included |
//! | [`Qif`] | v, spike | exact likewise, threshold and reset at ±∞ |
//! | [`Adex`] | v, w, spike, refractory | any solver; spikes at the ends of steps |
//! | [`Izhikevich`] | v, u, spike | any solver; spikes at the ends of steps |
//!
//! `spike` holds the number of spikes in the last step; its gradient is a [`Surrogate`].

mod adex;
mod izhikevich;
mod lif;
mod observed;
mod qif;
mod surrogate;

pub use adex::{Adex, AdexConfig, AdexField};
pub use izhikevich::{Izhikevich, IzhikevichConfig, IzhikevichField};
pub use lif::{Lif, LifConfig, LifDynamics};
pub use observed::Observed;
pub use qif::{Qif, QifConfig, QifDynamics};
pub use surrogate::Surrogate;
