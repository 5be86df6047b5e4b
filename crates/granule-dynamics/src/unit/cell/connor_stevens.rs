use super::super::channel::curve::{
    constant, exponential, falling_exponential, falling_sigmoid, linear, power, product, sigmoid,
    sum,
};
use super::super::channel::{ChannelConfig, ChannelTable, rates, relaxing};
use super::super::{CellConfig, CellKind};

/// The crab's axon of Connor, Walter & McKown (Biophys. J. 18, 1977) with the A-current that Connor & Stevens (J. Physiol. 213,
/// 1971) found in neurons of a snail, as Dayan & Abbott (Theoretical Neuroscience, 2001, section 6.2) print it: the A-current
/// a³b lets it fire as slowly as one likes.
///
/// | | α, 1/ms, or steady state | β, 1/ms, or time constant, ms |
/// | --- | --- | --- |
/// | m | 0.38 (V + 29.7)/(1 − exp(−0.1 (V + 29.7))) | 15.2 exp(−0.0556 (V + 54.7)) |
/// | h | 0.266 exp(−0.05 (V + 48)) | 3.8/(1 + exp(−0.1 (V + 18))) |
/// | n | 0.02 (V + 45.7)/(1 − exp(−0.1 (V + 45.7))) | 0.25 exp(−0.0125 (V + 55.7)) |
/// | a | (0.0761 exp(0.0314 (V + 94.22))/(1 + exp(0.0346 (V + 1.17))))^⅓ | 0.3632 + 1.158/(1 + exp(0.0497 (V + 55.96))) |
/// | b | (1 + exp(0.0688 (V + 53.3)))⁻⁴ | 1.24 + 2.678/(1 + exp(0.0624 (V + 50))) |
///
/// C 1 µF/cm²; g_Na 120, g_K 20, g_A 47.7, g_L 0.3 mS/cm²; E_Na 55, E_K −72, E_A −75, E_L −17 mV.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnorStevens;

/// A population of [`ConnorStevens`] cells.
pub type ConnorStevensConfig = CellConfig<ConnorStevens>;

impl CellKind for ConnorStevens {
    const NAME: &'static str = "connor-stevens";

    fn table() -> ChannelTable {
        let m = rates(
            "m",
            3,
            linear(3.8, -29.7, 10.0),
            falling_exponential(15.2, -54.7, 1.0 / 0.0556),
        );
        let h = rates(
            "h",
            1,
            falling_exponential(0.266, -48.0, 20.0),
            sigmoid(3.8, -18.0, 10.0),
        );
        let n = rates(
            "n",
            4,
            linear(0.2, -45.7, 10.0),
            falling_exponential(0.25, -55.7, 80.0),
        );
        let cube = product([
            exponential(0.0761, -94.22, 1.0 / 0.0314),
            falling_sigmoid(1.0, -1.17, 1.0 / 0.0346),
        ]);
        let a = relaxing(
            "a",
            3,
            power(cube, 1.0 / 3.0),
            sum([
                constant(0.3632),
                falling_sigmoid(1.158, -55.96, 1.0 / 0.0497),
            ]),
        );
        let b = relaxing(
            "b",
            1,
            power(falling_sigmoid(1.0, -53.3, 1.0 / 0.0688), 4.0),
            sum([constant(1.24), falling_sigmoid(2.678, -50.0, 1.0 / 0.0624)]),
        );
        let channels = [
            ChannelConfig::new("na", 120.0, 55.0, [m, h]),
            ChannelConfig::new("k", 20.0, -72.0, [n]),
            ChannelConfig::new("a", 47.7, -75.0, [a, b]),
        ];
        ChannelTable::new(1.0, (0.3, -17.0), channels)
    }
}
