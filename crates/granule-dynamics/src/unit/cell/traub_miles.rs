use super::super::channel::curve::{falling_exponential, falling_linear, linear, sigmoid};
use super::super::channel::{ChannelConfig, ChannelTable, GateConfig, rates};
use super::super::{CellConfig, CellKind};

/// The hippocampal pyramidal cell with the currents of Traub & Miles (Neuronal Networks of the Hippocampus, 1991) in one
/// compartment, with the conductances of Ermentrout & Kopell (PNAS 95, 1998).
///
/// C dV/dt = g_Na m³h (E_Na − V) + g_K n⁴ (E_K − V) + g_L (E_L − V) + I and dx/dt = φ(α_x (1 − x) − β_x x) for m, h and n,
/// with U = V − V_T:
///
/// | | α | β |
/// | --- | --- | --- |
/// | m | 0.32 (U − 13)/(1 − exp(−(U − 13)/4)) | 0.28 (U − 40)/(exp((U − 40)/5) − 1) |
/// | h | 0.128 exp(−(U − 17)/18) | 4/(1 + exp(−(U − 40)/5)) |
/// | n | 0.032 (U − 15)/(1 − exp(−(U − 15)/5)) | 0.5 exp(−(U − 10)/40) |
///
/// C 1 µF/cm²; g_Na 100, g_K 80, g_L 0.1 mS/cm²; E_Na 50, E_K −100, E_L −67 mV; V_T (`v_shift`) −67 mV; φ = 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraubMiles;

/// A population of [`TraubMiles`] cells.
pub type TraubMilesConfig = CellConfig<TraubMiles>;

impl CellKind for TraubMiles {
    const NAME: &'static str = "traub-miles";

    fn table() -> ChannelTable {
        let channels = [
            ChannelConfig::new("na", 100.0, 50.0, sodium()),
            ChannelConfig::new("k", 80.0, -100.0, potassium()),
        ];
        ChannelTable {
            v_shift: (-67.0).into(),
            ..ChannelTable::new(1.0, (0.1, -67.0), channels)
        }
    }
}

/// The sodium channel, m³h.
pub(super) fn sodium() -> [GateConfig; 2] {
    [
        rates(
            "m",
            3,
            linear(1.28, 13.0, 4.0),
            falling_linear(1.4, 40.0, 5.0),
        ),
        rates(
            "h",
            1,
            falling_exponential(0.128, 17.0, 18.0),
            sigmoid(4.0, 40.0, 5.0),
        ),
    ]
}

/// The potassium channel, n⁴.
pub(super) fn potassium() -> [GateConfig; 1] {
    [rates(
        "n",
        4,
        linear(0.16, 15.0, 5.0),
        falling_exponential(0.5, 10.0, 40.0),
    )]
}
