//! What a conductance-based cell is made of, as a configuration has it.

use serde::{Deserialize, Serialize};

use super::super::ParameterInfo;
use super::curve::CurveConfig;
use super::names;
use crate::Values;
use crate::setting::Range;

/// A gate of a channel: how many there are of it, and what moves it. It has `alpha` and `beta`, or `steady_state` and
/// `time_constant`; one that follows at once has no `time_constant`, or `instantaneous = true`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GateConfig {
    /// Its name, also that of its variable: a letter, then letters, digits and `_`.
    pub name: String,
    /// How many of them must be open, from 1 to 8; without, 1.
    #[serde(default = "single")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 8)))]
    pub power: u32,
    /// The rate α of opening, 1/ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<CurveConfig>,
    /// The rate β of closing, 1/ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta: Option<CurveConfig>,
    /// The steady state x∞, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steady_state: Option<CurveConfig>,
    /// The time constant τ, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_constant: Option<CurveConfig>,
    /// Whether it has its steady value at all times.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub instantaneous: bool,
    /// Factor of the rates of this gate, besides that of the cell, for temperature; without, 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_factor: Option<Values>,
}

fn single() -> u32 {
    1
}

/// The reversal potential of a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(
    untagged,
    expecting = "must be a number, a list of numbers, the name of a channel, or { inside = \"ION\", outside = … }"
)]
pub enum ReversalConfig {
    /// mV: one value, or one for each cell.
    Fixed(Values),
    /// That of the channel of this name.
    Of(String),
    /// Nernst's, of a concentration inside.
    Nernst(NernstConfig),
}

/// Nernst's potential, RT/zF · ln(outside/inside).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NernstConfig {
    /// The name of the concentration inside.
    pub inside: String,
    /// The concentration outside, in the unit of that inside.
    pub outside: Values,
    /// The charge z of an ion; without, 2.
    #[serde(default = "two")]
    pub charge: f64,
    /// °C; without, 36.
    #[serde(default = "warm")]
    pub temperature: f64,
}

fn two() -> f64 {
    2.0
}

fn warm() -> f64 {
    36.0
}

impl NernstConfig {
    /// RT/zF in mV.
    pub fn factor(&self) -> f64 {
        const GAS: f64 = 8.314_462_618;
        const FARADAY: f64 = 96_485.332_12;
        1e3 * GAS * (self.temperature + 273.15) / (self.charge * FARADAY)
    }
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChannelConfig {
    /// Its name: its conductance is the parameter `g_NAME`, its reversal potential `e_NAME`.
    pub name: String,
    /// The conductance with all gates open, mS/cm².
    pub conductance: Values,
    /// The reversal potential.
    pub reversal: ReversalConfig,
    /// The gates; one at least.
    pub gate: Vec<GateConfig>,
    /// The concentration that its current flows into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// Whether `v_shift` moves the midpoints of its gates; without, it does.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub shifted: bool,
}

fn yes() -> bool {
    true
}

/// A concentration inside the cell: dc/dt = −influx·I − (c − rest)/τ, with the outward current density I of the channels that
/// flow into it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// Its name, also that of its variable.
    pub name: String,
    /// The concentration without current, in a unit of one's own.
    pub rest: Values,
    /// The time constant τ with which it returns to rest, ms.
    pub time_constant: Values,
    /// How fast a current density of 1 µA/cm² raises it, per ms.
    pub influx: Values,
}

/// A conductance-based cell: C dV/dt = Σ g Π xᵖ (E − V) + g_L (E_L − V) + I.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelTable {
    /// Membrane capacitance C, µF/cm².
    pub capacitance: Values,
    /// Conductance of the leak g_L, mS/cm².
    pub leak: Values,
    /// Reversal potential of the leak E_L, mV.
    pub leak_reversal: Values,
    /// Factor of the rates of all gates that have dynamics.
    pub temperature_factor: Values,
    /// Added to the midpoints of the gates of all channels that are shifted.
    pub v_shift: Values,
    /// The channels.
    pub channels: Vec<ChannelConfig>,
    /// The concentrations.
    pub pools: Vec<PoolConfig>,
}

/// A gate with rates α and β.
pub fn rates(name: &str, power: u32, alpha: CurveConfig, beta: CurveConfig) -> GateConfig {
    GateConfig {
        alpha: Some(alpha),
        beta: Some(beta),
        ..GateConfig::new(name, power)
    }
}

/// A gate with a steady state and a time constant.
pub fn relaxing(name: &str, power: u32, steady: CurveConfig, time: CurveConfig) -> GateConfig {
    GateConfig {
        time_constant: Some(time),
        ..at_once(name, power, steady)
    }
}

/// A gate that has its steady state at all times.
pub fn at_once(name: &str, power: u32, steady: CurveConfig) -> GateConfig {
    GateConfig {
        steady_state: Some(steady),
        ..GateConfig::new(name, power)
    }
}

impl GateConfig {
    fn new(name: &str, power: u32) -> Self {
        Self {
            name: name.to_owned(),
            power,
            alpha: None,
            beta: None,
            steady_state: None,
            time_constant: None,
            instantaneous: false,
            temperature_factor: None,
        }
    }

    /// With a factor of its rates.
    #[must_use]
    pub fn faster(mut self, factor: f64) -> Self {
        self.temperature_factor = Some(factor.into());
        self
    }

    /// A gate that has its steady value at all times.
    #[must_use]
    pub fn instantaneous(mut self) -> Self {
        self.instantaneous = true;
        self
    }

    /// Its curves by their keys.
    pub(super) fn curves(&self) -> impl Iterator<Item = (&'static str, &CurveConfig)> {
        let all = [
            ("alpha", &self.alpha),
            ("beta", &self.beta),
            ("steady_state", &self.steady_state),
            ("time_constant", &self.time_constant),
        ];
        let all = all.into_iter();
        all.filter_map(|(name, curve)| Some((name, curve.as_ref()?)))
    }

    /// Whether it has no variable.
    pub fn follows_at_once(&self) -> bool {
        self.instantaneous || (self.alpha.is_none() && self.time_constant.is_none())
    }
}

impl From<f64> for ReversalConfig {
    fn from(value: f64) -> Self {
        Self::Fixed(value.into())
    }
}

impl From<&str> for ReversalConfig {
    /// That of another channel.
    fn from(channel: &str) -> Self {
        Self::Of(channel.to_owned())
    }
}

impl ChannelConfig {
    /// A channel with its conductance in mS/cm² and its reversal potential in mV, or another channel's.
    pub fn new(
        name: &str,
        conductance: f64,
        reversal: impl Into<ReversalConfig>,
        gates: impl Into<Vec<GateConfig>>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            conductance: conductance.into(),
            reversal: reversal.into(),
            gate: gates.into(),
            into: None,
            shifted: true,
        }
    }

    /// With the concentration that its current flows into.
    #[must_use]
    pub fn into_pool(mut self, pool: &str) -> Self {
        self.into = Some(pool.to_owned());
        self
    }

    /// With midpoints that `v_shift` leaves where they are.
    #[must_use]
    pub fn unshifted(mut self) -> Self {
        self.shifted = false;
        self
    }
}

impl ChannelTable {
    /// About the shortest time constant, ms: the upstroke of a cell whose strongest channel is open to about a twelfth.
    pub(in crate::unit) fn shortest_time_constant(&self) -> Option<f64> {
        let conductances = self.channels.iter();
        let conductances = conductances.map(|channel| channel.conductance.highest());
        let strongest = conductances.fold(0.0, f64::max);
        (strongest > 0.0).then(|| 12.0 * self.capacitance.lowest() / strongest)
    }

    /// A membrane with its capacitance in µF/cm² and its leak in mS/cm² and mV, and the channels.
    pub fn new(
        capacitance: f64,
        (leak, reversal): (f64, f64),
        channels: impl Into<Vec<ChannelConfig>>,
    ) -> Self {
        Self {
            capacitance: capacitance.into(),
            leak: leak.into(),
            leak_reversal: reversal.into(),
            temperature_factor: 1.0.into(),
            v_shift: 0.0.into(),
            channels: channels.into(),
            pools: Vec::new(),
        }
    }

    /// The gates that have a variable, in the order of the state.
    pub fn moving_gates(&self) -> impl Iterator<Item = &GateConfig> {
        let gates = self.channels.iter().flat_map(|channel| &channel.gate);
        gates.filter(|gate| !gate.follows_at_once())
    }

    /// The dotted path of a parameter below the table's own, as `channel.0.gate.1.alpha.scale`.
    pub(crate) fn place(&self, name: &str) -> Option<String> {
        let mut all = self.placed().into_iter();
        let (_, place, _) = all.find(|(info, ..)| info.name == name)?;
        Some(place.replace('[', ".").replace(']', ""))
    }

    /// The names of the variables: `v`, the gates that have one, the concentrations.
    pub fn variables(&self) -> Vec<&'static str> {
        let gates = self.moving_gates().map(|gate| names::name(&gate.name));
        let pools = self.pools.iter().map(|pool| names::name(&pool.name));
        std::iter::once("v").chain(gates).chain(pools).collect()
    }
}

/// What a parameter is: name, unit, range, description.
fn info(name: &str, unit: &'static str, range: Range, description: &str) -> &'static ParameterInfo {
    names::info(ParameterInfo {
        name: names::name(name),
        unit,
        range,
        description: names::name(description),
    })
}

/// A parameter with its place below the cell in a file, and its values.
type Placed<T> = (&'static ParameterInfo, String, T);

/// One walk over all parameters gives the access to read and that to write.
macro_rules! walks {
    ($($name:ident, $walk:ident, $curve:ident, $iter:ident, $as:ident, [$($ref:tt)+], [$($borrow:tt)+];)+) => {$(
        fn $curve<'a>(
            curve: $($ref)+ CurveConfig,
            at: &str,
            (stem, scale, unit): (&str, &'static str, &'static str),
            term: &mut Option<usize>,
            all: &mut Vec<Placed<$($ref)+ Values>>,
        ) {
            let of = stem.replace('_', " of ");
            let number = *term;
            let mut add = |what, constant, unit, range, values| {
                let name = names::of_term(stem, number, what);
                let text = format!("{} in the {of}.", constant);
                let key = if what == scale { "scale" } else { what };
                all.push((info(&name, unit, range, &text), format!("{at}.{key}"), values));
            };
            match curve {
                CurveConfig::Sum(parts) | CurveConfig::Product(parts) => {
                    for (index, part) in parts.of.$iter().enumerate() {
                        $curve(part, &format!("{at}.of[{index}]"), (stem, scale, unit), term, all);
                    }
                    return;
                }
                CurveConfig::Power(power) => {
                    let at = format!("{at}.of");
                    return $curve($($borrow)+ *power.of, &at, (stem, scale, unit), term, all);
                }
                CurveConfig::Constant(level) => {
                    add(scale, "Constant", unit, Range::Any, $($borrow)+ level.scale);
                }
                CurveConfig::Hill(hill) => {
                    use Range::Positive;
                    add(scale, "Factor", unit, Positive, $($borrow)+ hill.scale);
                    add("half", "Concentration of half the effect", "1", Positive, $($borrow)+ hill.half);
                    add("exponent", "Hill's exponent", "1", Positive, $($borrow)+ hill.exponent);
                }
                CurveConfig::Linear(part)
                | CurveConfig::FallingLinear(part)
                | CurveConfig::Exponential(part)
                | CurveConfig::FallingExponential(part)
                | CurveConfig::Sigmoid(part)
                | CurveConfig::FallingSigmoid(part) => {
                    add(scale, "Factor", unit, Range::Positive, $($borrow)+ part.scale);
                    add("midpoint", "Midpoint", "mV", Range::Any, $($borrow)+ part.midpoint);
                    add("slope", "Slope", "mV", Range::Positive, $($borrow)+ part.slope);
                }
            }
            *term = term.map(|term| term + 1);
        }

        impl ChannelTable {
            /// Every parameter with what it is and its values.
            pub fn $name<'a>(self: $($ref)+ Self) -> Vec<(&'static ParameterInfo, $($ref)+ Values)> {
                let all = self.$walk().into_iter();
                all.map(|(info, _, values)| (info, values)).collect()
            }

            /// Every parameter with its place, as `channel[0].gate[1].alpha.scale`.
            pub(crate) fn $walk<'a>(self: $($ref)+ Self) -> Vec<Placed<$($ref)+ Values>> {
                use Range::{Any, NonNegative, Positive, Potential};
                let mut all = Vec::new();
                let mut reversals = Vec::new();
                let mut curves = Vec::new();
                let own = |info: &'static ParameterInfo, values| (info, info.name.to_owned(), values);
                let text = "Membrane capacitance C.";
                all.push(own(info("capacitance", "µF/cm²", Positive, text), $($borrow)+ self.capacitance));
                for (index, channel) in self.channels.$iter().enumerate() {
                    let (name, at) = (&channel.name, format!("channel[{index}]"));
                    let text = format!("Maximal conductance of {name}.");
                    let what = info(&format!("g_{name}"), "mS/cm²", NonNegative, &text);
                    all.push((what, format!("{at}.conductance"), $($borrow)+ channel.conductance));
                    match $($borrow)+ channel.reversal {
                        ReversalConfig::Fixed(values) => {
                            let text = format!("Reversal potential of {name}.");
                            let what = info(&format!("e_{name}"), "mV", Potential, &text);
                            reversals.push((what, format!("{at}.reversal"), values));
                        }
                        ReversalConfig::Of(_) => {}
                        ReversalConfig::Nernst(nernst) => {
                            let text = format!("Concentration outside, of {name}.");
                            let what = info(&format!("outside_{name}"), "1", Positive, &text);
                            reversals.push((what, format!("{at}.reversal.outside"), $($borrow)+ nernst.outside));
                        }
                    }
                    for (number, gate) in channel.gate.$iter().enumerate() {
                        let (name, at) = (&gate.name, format!("{at}.gate[{number}]"));
                        if let Some(factor) = gate.temperature_factor.$as() {
                            let text = format!("Factor of the rates of {name}, for temperature.");
                            let what = info(&format!("factor_{name}"), "1", Positive, &text);
                            curves.push((what, format!("{at}.temperature_factor"), factor));
                        }
                        let roles = [
                            (gate.alpha.$as(), "alpha", "alpha", "rate", "1/ms"),
                            (gate.beta.$as(), "beta", "beta", "rate", "1/ms"),
                            (gate.steady_state.$as(), "steady_state", "steady", "scale", "1"),
                            (gate.time_constant.$as(), "time_constant", "tau", "scale", "ms"),
                        ];
                        for (curve, key, role, scale, unit) in roles {
                            let Some(curve) = curve else { continue };
                            let stem = format!("{role}_{name}");
                            let mut term = (curve.terms() > 1).then_some(1);
                            let at = format!("{at}.{key}");
                            $curve(curve, &at, (&stem, scale, unit), &mut term, &mut curves);
                        }
                    }
                }
                let text = "Conductance of the leak g_L.";
                let what = info("g_l", "mS/cm²", NonNegative, text);
                all.push((what, "leak.conductance".to_owned(), $($borrow)+ self.leak));
                all.extend(reversals);
                let what = info("e_l", "mV", Potential, "Reversal potential of the leak E_L.");
                all.push((what, "leak.reversal".to_owned(), $($borrow)+ self.leak_reversal));
                let text = "Factor φ of the rates of all gates that have dynamics, for temperature.";
                let what = info("temperature_factor", "1", Positive, text);
                all.push(own(what, $($borrow)+ self.temperature_factor));
                let text = "Added to the midpoints of the rates (V_T of Traub–Miles).";
                all.push(own(info("v_shift", "mV", Any, text), $($borrow)+ self.v_shift));
                all.extend(curves);
                for (index, pool) in self.pools.$iter().enumerate() {
                    let (name, at) = (&pool.name, format!("concentration[{index}]"));
                    let text = format!("Concentration {name} without current.");
                    let what = info(&format!("{name}_rest"), "1", NonNegative, &text);
                    all.push((what, format!("{at}.rest"), $($borrow)+ pool.rest));
                    let text = format!("Time constant of {name}.");
                    let what = info(&format!("{name}_time_constant"), "ms", Positive, &text);
                    all.push((what, format!("{at}.time_constant"), $($borrow)+ pool.time_constant));
                    let text = format!("Rise of {name} by 1 µA/cm² in 1 ms.");
                    let what = info(&format!("{name}_influx"), "1", NonNegative, &text);
                    all.push((what, format!("{at}.influx"), $($borrow)+ pool.influx));
                }
                all
            }
        }
    )+};
}

walks! {
    parameters, placed, curve, iter, as_ref, [&'a], [&];
    parameters_mut, placed_mut, curve_mut, iter_mut, as_mut, [&'a mut], [&mut];
}
