use super::super::channel::curve::{falling_exponential, linear, sigmoid};
use super::super::channel::{ChannelConfig, ChannelTable, rates};
use super::super::{CellConfig, CellKind};

/// The squid giant axon of Hodgkin & Huxley (J. Physiol. 117, 1952), with the voltage shifted to a rest near −65 mV and
/// outward currents positive, as textbooks have it.
///
/// C dV/dt = g_Na m³h (E_Na − V) + g_K n⁴ (E_K − V) + g_L (E_L − V) + I and dx/dt = φ(α_x (1 − x) − β_x x) for m, h and n:
///
/// | | α | β |
/// | --- | --- | --- |
/// | m | 0.1 (V + 40)/(1 − exp(−(V + 40)/10)) | 4 exp(−(V + 65)/18) |
/// | h | 0.07 exp(−(V + 65)/20) | 1/(1 + exp(−(V + 35)/10)) |
/// | n | 0.01 (V + 55)/(1 − exp(−(V + 55)/10)) | 0.125 exp(−(V + 65)/80) |
///
/// C 1 µF/cm²; g_Na 120, g_K 36, g_L 0.3 mS/cm²; E_Na 50, E_K −77, E_L −54.387 mV; φ = 3^((T − 6.3 °C)/10 °C) = 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HodgkinHuxley;

/// A population of [`HodgkinHuxley`] cells.
pub type HodgkinHuxleyConfig = CellConfig<HodgkinHuxley>;

impl CellKind for HodgkinHuxley {
    const NAME: &'static str = "hodgkin-huxley";

    fn table() -> ChannelTable {
        let m = rates(
            "m",
            3,
            linear(1.0, -40.0, 10.0),
            falling_exponential(4.0, -65.0, 18.0),
        );
        let h = rates(
            "h",
            1,
            falling_exponential(0.07, -65.0, 20.0),
            sigmoid(1.0, -35.0, 10.0),
        );
        let n = rates(
            "n",
            4,
            linear(0.1, -55.0, 10.0),
            falling_exponential(0.125, -65.0, 80.0),
        );
        let channels = [
            ChannelConfig::new("na", 120.0, 50.0, [m, h]),
            ChannelConfig::new("k", 36.0, -77.0, [n]),
        ];
        ChannelTable::new(1.0, (0.3, -54.387), channels)
    }
}
