use super::super::channel::curve::{falling_exponential, hill, linear, sigmoid};
use super::super::channel::{ChannelConfig, ChannelTable, PoolConfig, at_once, rates};
use super::super::{CellConfig, CellKind};

/// The cortical pyramidal cell of Wang (J. Neurophysiol. 79, 1998) in one compartment, as Liu & Wang (J. Comput. Neurosci. 10,
/// 2001) have it: each spike lets calcium in, which opens a potassium current (after-hyperpolarisation) and slows the next.
///
/// dx/dt = φ(α_x (1 − x) − β_x x) for h and n with φ = 4, m = α_m/(α_m + β_m):
///
/// | | α | β |
/// | --- | --- | --- |
/// | m | 0.1 (V + 33)/(1 − exp(−(V + 33)/10)) | 4 exp(−(V + 58)/12) |
/// | h | 0.07 exp(−(V + 50)/10) | 1/(1 + exp(−(V + 20)/10)) |
/// | n | 0.01 (V + 34)/(1 − exp(−(V + 34)/10)) | 0.125 exp(−(V + 44)/25) |
///
/// I_Ca = g_Ca s∞² (V − E_Ca) with s∞ = 1/(1 + exp(−(V + 20)/9)), dc/dt = −0.002 I_Ca − c/80 ms in µM, and
/// I_AHP = g_AHP c/(c + 30 µM) (V − E_K).
///
/// C 1 µF/cm²; g_Na 45, g_K 18, g_Ca 1, g_AHP 5, g_L 0.1 mS/cm²; E_Na 55, E_K −80, E_Ca 120, E_L −65 mV.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WangPyramidal;

/// A population of [`WangPyramidal`] cells.
pub type WangPyramidalConfig = CellConfig<WangPyramidal>;

impl CellKind for WangPyramidal {
    const NAME: &'static str = "wang-pyramidal";

    fn table() -> ChannelTable {
        let m = rates(
            "m",
            3,
            linear(1.0, -33.0, 10.0),
            falling_exponential(4.0, -58.0, 12.0),
        );
        let h = rates(
            "h",
            1,
            falling_exponential(0.07, -50.0, 10.0),
            sigmoid(1.0, -20.0, 10.0),
        );
        let n = rates(
            "n",
            4,
            linear(0.1, -34.0, 10.0),
            falling_exponential(0.125, -44.0, 25.0),
        );
        let s = at_once("s", 2, sigmoid(1.0, -20.0, 9.0));
        let q = at_once("q", 1, hill("ca", 30.0, 1.0));
        let calcium = PoolConfig {
            name: "ca".to_owned(),
            rest: 0.0.into(),
            time_constant: 80.0.into(),
            influx: 0.002.into(),
        };
        let channels = [
            ChannelConfig::new("na", 45.0, 55.0, [m.instantaneous(), h]),
            ChannelConfig::new("k", 18.0, -80.0, [n]),
            ChannelConfig::new("cal", 1.0, 120.0, [s]).into_pool("ca"),
            ChannelConfig::new("ahp", 5.0, "k", [q]),
        ];
        ChannelTable {
            temperature_factor: 4.0.into(),
            pools: vec![calcium],
            ..ChannelTable::new(1.0, (0.1, -65.0), channels)
        }
    }
}
