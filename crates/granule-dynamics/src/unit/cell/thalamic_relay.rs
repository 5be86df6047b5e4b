use super::super::channel::curve::{exponential, falling_exponential, falling_sigmoid, power, sum};
use super::super::channel::{ChannelConfig, ChannelTable, relaxing};
use super::super::{CellConfig, CellKind};
use super::pospischil::t_type;
use super::traub_miles::{potassium, sodium};

/// A thalamic relay cell: the hyperpolarisation-activated current of Huguenard & McCormick (J. Neurophysiol. 68, 1992) beside
/// the T-type calcium current of [`LowThreshold`](super::LowThreshold) and the spikes of [`TraubMiles`](super::TraubMiles).
/// Hyperpolarised it sags back, and released it answers with a burst.
///
/// The h-channel has one gate r with r∞ = 1/(1 + exp((V + 75)/5.5)) and
/// τ = 1/(exp(−14.59 − 0.086 V) + exp(−1.87 + 0.0701 V)) ms. The channels are published ones; their conductances are not of
/// one paper, but chosen for a rest near −65 mV and a burst after it.
///
/// C 1 µF/cm²; g_Na 90, g_K 10, g_CaT 1.2, g_h 0.03, g_L 0.03 mS/cm²; E_Na 50, E_K −100, E_Ca 120, E_h −43, E_L −75 mV;
/// V_T (`v_shift`) −55 mV.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThalamicRelay;

/// A population of [`ThalamicRelay`] cells.
pub type ThalamicRelayConfig = CellConfig<ThalamicRelay>;

impl CellKind for ThalamicRelay {
    const NAME: &'static str = "thalamic-relay";

    fn table() -> ChannelTable {
        let rate = sum([
            falling_exponential(1.0, -14.59 / 0.086, 1.0 / 0.086),
            exponential(1.0, 1.87 / 0.0701, 1.0 / 0.0701),
        ]);
        let r = relaxing("r", 1, falling_sigmoid(1.0, -75.0, 5.5), power(rate, -1.0));
        let channels = [
            ChannelConfig::new("na", 90.0, 50.0, sodium()),
            ChannelConfig::new("k", 10.0, -100.0, potassium()),
            t_type(1.2).unshifted(),
            ChannelConfig::new("h", 0.03, -43.0, [r]).unshifted(),
        ];
        ChannelTable {
            v_shift: (-55.0).into(),
            ..ChannelTable::new(1.0, (0.03, -75.0), channels)
        }
    }
}
