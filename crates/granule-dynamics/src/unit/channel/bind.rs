//! A table of channels with its constants bound, for the kernels and for the composed step.

use granule_ops::{Curve, Gate, Kinetics, RateCurve, Term};

use super::curve::{CurveConfig, Source};
use super::table::{ChannelConfig, ChannelTable, GateConfig, ReversalConfig};
use crate::quantity::Quantity;

/// What drives the ions of a channel.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a cell has a handful of channels, bound once a run"
)]
pub(crate) enum Battery {
    Fixed {
        minus_reversal: Quantity,
        /// gE/C
        drive: Quantity,
    },
    Nernst {
        pool: usize,
        /// RT/zF, mV.
        factor: f64,
        outside: Quantity,
    },
}

/// A channel's conductance g/C with what derives from it.
#[derive(Clone, Debug)]
pub(crate) struct BoundChannel {
    pub(crate) conductance: Quantity,
    pub(crate) minus_conductance: Quantity,
    pub(crate) battery: Battery,
    pub(crate) gates: Vec<Gate<Quantity>>,
    pub(crate) pool: Option<usize>,
}

/// A concentration: dc/dt = drive − decay·c + influx·I_in/C.
#[derive(Clone, Debug)]
pub(crate) struct BoundPool {
    pub(crate) decay: Quantity,
    pub(crate) drive: Quantity,
    pub(crate) influx: Quantity,
}

/// A cell with its constants bound.
#[derive(Clone, Debug)]
pub(crate) struct BoundTable {
    pub(crate) per_capacitance: Quantity,
    /// g_L/C
    pub(crate) leak: Quantity,
    /// (g_L E_L + I)/C with the constant current
    pub(crate) drive: Quantity,
    pub(crate) channels: Vec<BoundChannel>,
    pub(crate) pools: Vec<BoundPool>,
}

impl ChannelTable {
    /// Takes every constant by its name.
    pub(crate) fn bind(
        &self,
        constant: &dyn Fn(&str) -> Quantity,
        current: &Quantity,
    ) -> BoundTable {
        let per_capacitance = constant("capacitance").reciprocal();
        let leak = constant("g_l").times(&per_capacitance);
        let pool = |name: &str| {
            let mut pools = self.pools.iter();
            pools.position(|pool| pool.name == name).unwrap_or_default()
        };
        let channels = self.channels.iter().map(|channel| {
            let name = &channel.name;
            let conductance = constant(&format!("g_{name}")).times(&per_capacitance);
            let fixed = |name: &str| {
                let reversal = constant(&format!("e_{name}"));
                Battery::Fixed {
                    drive: conductance.times(&reversal),
                    minus_reversal: reversal.negative(),
                }
            };
            BoundChannel {
                battery: match &channel.reversal {
                    ReversalConfig::Fixed(_) => fixed(name),
                    ReversalConfig::Of(other) => fixed(other),
                    ReversalConfig::Nernst(nernst) => Battery::Nernst {
                        pool: pool(&nernst.inside),
                        factor: nernst.factor(),
                        outside: constant(&format!("outside_{name}")),
                    },
                },
                gates: self.gates(channel, constant, &pool),
                pool: channel.into.as_deref().map(pool),
                minus_conductance: conductance.negative(),
                conductance,
            }
        });
        let channels = channels.collect();
        let pools = self.pools.iter().map(|pool| {
            let of = |what: &str| constant(&format!("{}_{what}", pool.name));
            let decay = of("time_constant").reciprocal();
            BoundPool {
                drive: decay.times(&of("rest")),
                influx: of("influx").times(&constant("capacitance")),
                decay,
            }
        });
        BoundTable {
            pools: pools.collect(),
            drive: leak
                .times(&constant("e_l"))
                .plus(&current.times(&per_capacitance)),
            leak,
            channels,
            per_capacitance,
        }
    }

    fn gates(
        &self,
        channel: &ChannelConfig,
        constant: &dyn Fn(&str) -> Quantity,
        pool: &dyn Fn(&str) -> usize,
    ) -> Vec<Gate<Quantity>> {
        let one = Quantity::Number(1.0);
        let of_cell = constant("temperature_factor");
        let curve = |gate: &GateConfig, role: &str, scale, curve: &CurveConfig| {
            let mut source = Source {
                constant,
                pool,
                shift: if channel.shifted {
                    constant("v_shift")
                } else {
                    Quantity::Number(0.0)
                },
                stem: format!("{role}_{}", gate.name),
                scale,
                term: (curve.terms() > 1).then_some(1),
            };
            source.bind(curve)
        };
        let gates = channel.gate.iter().filter_map(|gate| {
            let at_once = gate.follows_at_once();
            // A factor common to α and β leaves their ratio as it is.
            let factor = match &gate.temperature_factor {
                _ if at_once => one.clone(),
                Some(_) => of_cell.times(&constant(&format!("factor_{}", gate.name))),
                None => of_cell.clone(),
            };
            let rate = |role, config: &Option<CurveConfig>| {
                Some(times(curve(gate, role, "rate", config.as_ref()?), &factor))
            };
            let kinetics = if gate.steady_state.is_none() {
                let rates = [rate("alpha", &gate.alpha)?, rate("beta", &gate.beta)?];
                if at_once {
                    Kinetics::SteadyRates(rates)
                } else {
                    Kinetics::Rates(rates)
                }
            } else {
                let steady = curve(gate, "steady", "scale", gate.steady_state.as_ref()?);
                match &gate.time_constant {
                    Some(time) if !at_once => {
                        let time = curve(gate, "tau", "scale", time);
                        Kinetics::Relaxation([steady, times(time, &factor.reciprocal())])
                    }
                    _ => Kinetics::Steady([steady]),
                }
            };
            Some(Gate {
                kinetics,
                power: gate.power,
            })
        });
        gates.collect()
    }
}

/// A curve times a factor.
fn times(curve: Curve<Quantity>, factor: &Quantity) -> Curve<Quantity> {
    match (curve, factor) {
        (Curve::Term(mut term), factor) => {
            term.scale = term.scale.times(factor);
            Curve::Term(term)
        }
        (curve, Quantity::Number(1.0)) => curve,
        (curve, factor) => {
            let none = || Quantity::Number(0.0);
            let factor = Term {
                curve: RateCurve::Constant,
                argument: granule_ops::Argument::Voltage,
                scale: factor.clone(),
                shift: none(),
                steepness: none(),
            };
            Curve::Product(vec![curve, Curve::Term(factor)])
        }
    }
}
