use super::super::channel::curve::{
    constant, exponential, falling_exponential, falling_sigmoid, linear, power, product, sigmoid,
    sum,
};
use super::super::channel::{ChannelConfig, ChannelTable, at_once, rates, relaxing};
use super::super::{CellConfig, CellKind};
use super::traub_miles::{potassium, sodium};

/// A class of cortical cells of Pospischil et al. (Biol. Cybern. 99, 2008), with the equations and parameters of the authors'
/// demonstrations (ModelDB 123623) at 36 °C: the sodium and potassium channels of [`TraubMiles`](super::TraubMiles) with
/// V_T = −55 mV, and
///
/// | channel | open | steady state | time constant, ms, or rates, 1/ms |
/// | --- | --- | --- | --- |
/// | m, slow potassium | p | 1/(1 + exp(−(V + 35)/10)) | 1000/(3.3 exp((V + 35)/20) + exp(−(V + 35)/20)) |
/// | cal, L-type calcium | q²r | | α_q 0.055 (V + 27)/(1 − exp(−(V + 27)/3.8)), β_q 0.94 exp(−(V + 75)/17) |
/// | | | | α_r 0.000457 exp(−(V + 13)/50), β_r 0.0065/(1 + exp(−(V + 15)/28)) |
/// | cat, T-type calcium | s²u | s: 1/(1 + exp(−(V + 59)/6.2)) | 0 |
/// | | | u: 1/(1 + exp((V + 83)/4)) | (30.8 + (211.4 + exp((V + 115.2)/5))/(1 + exp((V + 86)/3.2)))/3^1.2 |
///
/// C 1 µF/cm²; E_Na 50, E_K −100, E_Ca 120 mV (there of a calcium concentration that moves, here fixed); g_Na 50 mS/cm², and
///
/// | | g_K | g_M | g_CaL | g_CaT | g_L, mS/cm² | E_L, mV |
/// | --- | --- | --- | --- | --- | --- | --- |
/// | [`RegularSpiking`] | 5 | 0.07 | | | 0.1 | −70 |
/// | [`FastSpiking`] | 10 | | | | 0.15 | −70 |
/// | [`IntrinsicallyBursting`] | 5 | 0.03 | 0.17 | | 0.01 | −85 |
/// | [`LowThreshold`] | 5 | 0.03 | | 0.4 | 0.01 | −85 |
///
/// Regular spiking: a slow potassium current makes the rate adapt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegularSpiking;

/// Fast spiking, without adaptation; see [`RegularSpiking`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FastSpiking;

/// Intrinsically bursting by an L-type calcium current; see [`RegularSpiking`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntrinsicallyBursting;

/// With low-threshold spikes: a T-type calcium current, ready after hyperpolarisation, carries a burst; see
/// [`RegularSpiking`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LowThreshold;

/// A population of [`RegularSpiking`] cells.
pub type RegularSpikingConfig = CellConfig<RegularSpiking>;
/// A population of [`FastSpiking`] cells.
pub type FastSpikingConfig = CellConfig<FastSpiking>;
/// A population of [`IntrinsicallyBursting`] cells.
pub type IntrinsicallyBurstingConfig = CellConfig<IntrinsicallyBursting>;
/// A population of [`LowThreshold`] cells.
pub type LowThresholdConfig = CellConfig<LowThreshold>;

impl CellKind for RegularSpiking {
    const NAME: &'static str = "regular-spiking";

    fn table() -> ChannelTable {
        cortical(5.0, (0.1, -70.0), [slow_potassium(0.07)])
    }
}

impl CellKind for FastSpiking {
    const NAME: &'static str = "fast-spiking";

    fn table() -> ChannelTable {
        cortical(10.0, (0.15, -70.0), [])
    }
}

impl CellKind for IntrinsicallyBursting {
    const NAME: &'static str = "intrinsically-bursting";

    fn table() -> ChannelTable {
        cortical(5.0, (0.01, -85.0), [slow_potassium(0.03), l_type(0.17)])
    }
}

impl CellKind for LowThreshold {
    const NAME: &'static str = "low-threshold";

    fn table() -> ChannelTable {
        cortical(5.0, (0.01, -85.0), [slow_potassium(0.03), t_type(0.4)])
    }
}

/// What all four have: sodium, potassium of a conductance, and a leak.
fn cortical<const N: usize>(
    potassium_conductance: f64,
    leak: (f64, f64),
    others: [ChannelConfig; N],
) -> ChannelTable {
    let mut channels = vec![
        ChannelConfig::new("na", 50.0, 50.0, sodium()),
        ChannelConfig::new("k", potassium_conductance, -100.0, potassium()),
    ];
    channels.extend(others.map(ChannelConfig::unshifted));
    ChannelTable {
        v_shift: (-55.0).into(),
        ..ChannelTable::new(1.0, leak, channels)
    }
}

fn slow_potassium(conductance: f64) -> ChannelConfig {
    let rate = sum([
        exponential(3.3, -35.0, 20.0),
        falling_exponential(1.0, -35.0, 20.0),
    ]);
    let time_constant = product([constant(1000.0), power(rate, -1.0)]);
    let p = relaxing("p", 1, sigmoid(1.0, -35.0, 10.0), time_constant);
    ChannelConfig::new("m", conductance, "k", [p])
}

fn l_type(conductance: f64) -> ChannelConfig {
    let q = rates(
        "q",
        2,
        linear(0.209, -27.0, 3.8),
        falling_exponential(0.94, -75.0, 17.0),
    );
    let r = rates(
        "r",
        1,
        falling_exponential(0.000_457, -13.0, 50.0),
        sigmoid(0.0065, -15.0, 28.0),
    );
    ChannelConfig::new("cal", conductance, 120.0, [q, r])
}

pub(super) fn t_type(conductance: f64) -> ChannelConfig {
    let s = at_once("s", 2, sigmoid(1.0, -59.0, 6.2));
    let falling = product([
        sum([constant(211.4), exponential(1.0, -115.2, 5.0)]),
        falling_sigmoid(1.0, -86.0, 3.2),
    ]);
    let time_constant = sum([constant(30.8), falling]);
    let u = relaxing("u", 1, falling_sigmoid(1.0, -83.0, 4.0), time_constant);
    // From 24 to 36 °C with a Q10 of 3.
    let u = u.faster(3.0_f64.powf(1.2));
    ChannelConfig::new("cat", conductance, 120.0, [s, u])
}
