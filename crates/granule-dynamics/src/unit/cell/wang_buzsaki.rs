use super::super::channel::curve::{falling_exponential, linear, sigmoid};
use super::super::channel::{ChannelConfig, ChannelTable, rates};
use super::super::{CellConfig, CellKind};

/// The fast-spiking hippocampal interneuron of Wang & Buzsáki (J. Neurosci. 16, 1996).
///
/// C dV/dt = g_Na m∞³h (E_Na − V) + g_K n⁴ (E_K − V) + g_L (E_L − V) + I with m∞ = α_m/(α_m + β_m), and
/// dx/dt = φ(α_x (1 − x) − β_x x) for h and n:
///
/// | | α | β |
/// | --- | --- | --- |
/// | m | 0.1 (V + 35)/(1 − exp(−(V + 35)/10)) | 4 exp(−(V + 60)/18) |
/// | h | 0.07 exp(−(V + 58)/20) | 1/(1 + exp(−(V + 28)/10)) |
/// | n | 0.01 (V + 34)/(1 − exp(−(V + 34)/10)) | 0.125 exp(−(V + 44)/80) |
///
/// C 1 µF/cm²; g_Na 35, g_K 9, g_L 0.1 mS/cm²; E_Na 55, E_K −90, E_L −65 mV; φ = 5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WangBuzsaki;

/// A population of [`WangBuzsaki`] cells.
pub type WangBuzsakiConfig = CellConfig<WangBuzsaki>;

impl CellKind for WangBuzsaki {
    const NAME: &'static str = "wang-buzsaki";

    fn table() -> ChannelTable {
        let m = rates(
            "m",
            3,
            linear(1.0, -35.0, 10.0),
            falling_exponential(4.0, -60.0, 18.0),
        );
        let h = rates(
            "h",
            1,
            falling_exponential(0.07, -58.0, 20.0),
            sigmoid(1.0, -28.0, 10.0),
        );
        let n = rates(
            "n",
            4,
            linear(0.1, -34.0, 10.0),
            falling_exponential(0.125, -44.0, 80.0),
        );
        let channels = [
            ChannelConfig::new("na", 35.0, 55.0, [m.instantaneous(), h]),
            ChannelConfig::new("k", 9.0, -90.0, [n]),
        ];
        ChannelTable {
            temperature_factor: 5.0.into(),
            ..ChannelTable::new(1.0, (0.1, -65.0), channels)
        }
    }
}
