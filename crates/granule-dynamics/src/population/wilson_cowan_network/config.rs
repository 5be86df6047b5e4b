use serde::{Deserialize, Serialize};

use crate::DynamicsError;
use crate::population::rate::{Initialization, RateNetworkConfig};
use crate::setting::{Range, check_within};

/// A network of excitatory and inhibitory populations of Wilson and Cowan (1972), whose connections are trained:
///
/// τⱼ dxⱼ/dt = −xⱼ + (kⱼ − rⱼ xⱼ) Sⱼ((x W + u W_in + b)ⱼ)
///
/// with S(x) = 1/(1 + e^(−a(x − θ))) − 1/(1 + e^(aθ)), k its largest value and x = 0 at the beginning, by steps of Euler's
/// method. The first populations are excitatory, the others inhibitory: Dale's law. Time constants, slopes, thresholds and
/// refractoriness are those of [`WilsonCowanConfig`](crate::population::WilsonCowanConfig), one for each kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct WilsonCowanNetworkConfig {
    /// The number of populations.
    pub units: usize,
    /// The share of excitatory ones, above 0 and below 1.
    pub excitatory_share: f64,
    /// The step, ms; at most the smaller time constant.
    pub dt: f64,
    /// τ of excitatory populations, ms.
    pub excitatory_time_constant: f64,
    /// τ of inhibitory populations, ms.
    pub inhibitory_time_constant: f64,
    /// a of excitatory populations.
    pub excitatory_slope: f64,
    /// a of inhibitory populations.
    pub inhibitory_slope: f64,
    /// θ of excitatory populations.
    pub excitatory_threshold: f64,
    /// θ of inhibitory populations.
    pub inhibitory_threshold: f64,
    /// r of all populations.
    pub refractoriness: f64,
    /// W at the beginning.
    pub initialization: Initialization,
}

impl Default for WilsonCowanNetworkConfig {
    fn default() -> Self {
        Self {
            units: 128,
            excitatory_share: 0.8,
            dt: 20.0,
            excitatory_time_constant: 100.0,
            inhibitory_time_constant: 50.0,
            excitatory_slope: 1.3,
            inhibitory_slope: 2.0,
            excitatory_threshold: 4.0,
            inhibitory_threshold: 3.7,
            refractoriness: 1.0,
            initialization: Initialization::SpectralRadius(4.0),
        }
    }
}

impl WilsonCowanNetworkConfig {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    #[rustfmt::skip]
    pub fn validate(&self) -> Result<(), DynamicsError> {
        check_within("units", self.units, 2)?;
        for (field, value, range) in [
            ("excitatory_share", self.excitatory_share, Range::OpenFraction),
            ("dt", self.dt, Range::Positive),
            ("excitatory_time_constant", self.excitatory_time_constant, Range::Positive),
            ("inhibitory_time_constant", self.inhibitory_time_constant, Range::Positive),
            ("excitatory_slope", self.excitatory_slope, Range::Positive),
            ("inhibitory_slope", self.inhibitory_slope, Range::Positive),
            ("excitatory_threshold", self.excitatory_threshold, Range::Any),
            ("inhibitory_threshold", self.inhibitory_threshold, Range::Any),
            ("refractoriness", self.refractoriness, Range::NonNegative),
        ] {
            range.check(field, value)?;
        }
        let (e, i) = (self.excitatory_time_constant, self.inhibitory_time_constant);
        let shortest = e.min(i);
        if self.dt > shortest {
            let allowed = format!("at most the smallest time constant, {shortest} ms");
            return Err(DynamicsError::config("dt", self.dt, allowed));
        }
        self.recurrent().validate()
    }

    /// The network of rates that has the same connections.
    pub(super) fn recurrent(&self) -> RateNetworkConfig {
        RateNetworkConfig {
            units: self.units,
            dale_ratio: Some(self.excitatory() as f64 / self.units as f64),
            initialization: self.initialization,
            ..RateNetworkConfig::default()
        }
    }

    /// How many of the populations are excitatory: one at least, as of the inhibitory ones.
    pub fn excitatory(&self) -> usize {
        let share = (self.excitatory_share * self.units as f64).round() as usize;
        share.clamp(1, self.units.saturating_sub(1).max(1))
    }
}
