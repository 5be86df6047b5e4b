//! A table of channels with its constants bound, for the kernels, for the composed step and for the host.

use granule_ops::{Argument, Curve, Gate, GateKinetics, RateCurve, Term};

use super::curve::{Constants, CurveConfig, CurveInputs};
use super::scalar::Scalar;
use super::table::{ChannelConfig, ChannelTable, GateConfig, ReversalConfig};
use crate::DynamicsError;
use crate::quantity::Quantity;

/// What drives the ions of a channel.
#[derive(Clone, Debug)]
pub(crate) enum Battery<T = Quantity> {
    Fixed {
        minus_reversal: T,
        /// gE/C
        drive: T,
    },
    Nernst {
        pool: usize,
        /// RT/zF, mV.
        factor: f64,
        outside: T,
    },
}

/// A channel's conductance g/C with what derives from it.
#[derive(Clone, Debug)]
pub(crate) struct BoundChannel<T = Quantity> {
    pub(crate) conductance: T,
    pub(crate) minus_conductance: T,
    pub(crate) battery: Battery<T>,
    pub(crate) gates: Vec<Gate<T>>,
    pub(crate) pool: Option<usize>,
}

/// A concentration: dc/dt = drive − decay·c + influx·I_in/C.
#[derive(Clone, Debug)]
pub(crate) struct BoundPool<T = Quantity> {
    pub(crate) decay: T,
    pub(crate) drive: T,
    pub(crate) influx: T,
}

/// A cell with its constants bound.
#[derive(Clone, Debug)]
pub(crate) struct BoundTable<T = Quantity> {
    pub(crate) per_capacitance: T,
    /// g_L/C
    pub(crate) leak: T,
    /// (g_L E_L + I)/C with the constant current
    pub(crate) drive: T,
    pub(crate) channels: Vec<BoundChannel<T>>,
    pub(crate) pools: Vec<BoundPool<T>>,
}

impl ChannelTable {
    /// The number of a concentration.
    fn place_of(&self, name: &str) -> Result<usize, DynamicsError> {
        let place = self.pools.iter().position(|pool| pool.name == name);
        place.ok_or_else(|| DynamicsError::missing(name))
    }

    /// Takes every constant by its name.
    ///
    /// # Errors
    ///
    /// Those of `constant`; [`DynamicsError::Config`] for a concentration or a curve that is not there.
    pub(crate) fn bind<T: Scalar>(
        &self,
        constant: &Constants<'_, T>,
        current: &T,
    ) -> Result<BoundTable<T>, DynamicsError> {
        let capacitance = constant("capacitance")?;
        let per_capacitance = capacitance.reciprocal();
        let leak = constant("g_l")?.times(&per_capacitance);
        let channel = |channel: &ChannelConfig| {
            let name = &channel.name;
            let conductance = constant(&format!("g_{name}"))?.times(&per_capacitance);
            let fixed = |name: &str| {
                let reversal = constant(&format!("e_{name}"))?;
                Ok::<_, DynamicsError>(Battery::Fixed {
                    drive: conductance.times(&reversal),
                    minus_reversal: reversal.negative(),
                })
            };
            Ok(BoundChannel {
                battery: match &channel.reversal {
                    ReversalConfig::Fixed(_) => fixed(name)?,
                    ReversalConfig::Of(other) => fixed(other)?,
                    ReversalConfig::Nernst(nernst) => Battery::Nernst {
                        pool: self.place_of(&nernst.inside)?,
                        factor: nernst.factor(),
                        outside: constant(&format!("outside_{name}"))?,
                    },
                },
                gates: self.gates(channel, constant)?,
                pool: channel
                    .into
                    .as_deref()
                    .map(|into| self.place_of(into))
                    .transpose()?,
                minus_conductance: conductance.negative(),
                conductance,
            })
        };
        let channels: Result<_, DynamicsError> = self.channels.iter().map(channel).collect();
        let pools = self.pools.iter().map(|pool| {
            let of = |what: &str| constant(&format!("{}_{what}", pool.name));
            let decay = of("time_constant")?.reciprocal();
            Ok(BoundPool {
                drive: decay.times(&of("rest")?),
                influx: of("influx")?.times(&capacitance),
                decay,
            })
        });
        let pools: Result<_, DynamicsError> = pools.collect();
        Ok(BoundTable {
            pools: pools?,
            drive: leak
                .times(&constant("e_l")?)
                .plus(&current.times(&per_capacitance)),
            leak,
            channels: channels?,
            per_capacitance,
        })
    }

    fn gates<T: Scalar>(
        &self,
        channel: &ChannelConfig,
        constant: &Constants<'_, T>,
    ) -> Result<Vec<Gate<T>>, DynamicsError> {
        let of_cell = constant("temperature_factor")?;
        let curve = |gate: &GateConfig, role: &str, scale, curve: &Option<CurveConfig>| {
            let stem = format!("{role}_{}", gate.name);
            let curve = curve
                .as_ref()
                .ok_or_else(|| DynamicsError::missing(&stem))?;
            let shift = if channel.shifted {
                constant("v_shift")?
            } else {
                T::from(0.0)
            };
            let mut source = CurveInputs {
                constant,
                pool: &|name| self.place_of(name),
                shift,
                stem,
                scale,
                term: (curve.terms() > 1).then_some(1),
            };
            source.bind(curve)
        };
        let gates = channel.gate.iter().map(|gate| {
            let at_once = gate.follows_at_once();
            // A factor common to α and β leaves their ratio as it is.
            let factor = match &gate.temperature_factor {
                _ if at_once => T::from(1.0),
                Some(_) => of_cell.times(&constant(&format!("factor_{}", gate.name))?),
                None => of_cell.clone(),
            };
            let rate = |role, config: &Option<CurveConfig>| {
                Ok::<_, DynamicsError>(times(curve(gate, role, "rate", config)?, &factor))
            };
            let kinetics = if gate.steady_state.is_none() {
                let rates = [rate("alpha", &gate.alpha)?, rate("beta", &gate.beta)?];
                if at_once {
                    GateKinetics::SteadyRates(rates)
                } else {
                    GateKinetics::Rates(rates)
                }
            } else {
                let steady = curve(gate, "steady", "scale", &gate.steady_state)?;
                if at_once || gate.time_constant.is_none() {
                    GateKinetics::Steady([steady])
                } else {
                    let time = curve(gate, "tau", "scale", &gate.time_constant)?;
                    GateKinetics::Relaxation([steady, times(time, &factor.reciprocal())])
                }
            };
            Ok(Gate {
                kinetics,
                power: gate.power,
            })
        });
        gates.collect()
    }
}

/// A curve times a factor.
fn times<T: Scalar>(curve: Curve<T>, factor: &T) -> Curve<T> {
    match curve {
        Curve::Term(mut term) => {
            term.scale = term.scale.times(factor);
            Curve::Term(term)
        }
        curve if factor.is_one() => curve,
        curve => {
            let factor = Term {
                curve: RateCurve::Constant,
                argument: Argument::Voltage,
                scale: factor.clone(),
                shift: T::from(0.0),
                steepness: T::from(0.0),
            };
            Curve::Product(vec![curve, Curve::Term(factor)])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::{CellKind, HodgkinHuxley};

    #[test]
    fn what_is_not_there_is_named() {
        let bind = |table: &ChannelTable, absent: &str| {
            let constant = |name: &str| {
                let there = name != absent;
                there
                    .then_some(1.0)
                    .ok_or_else(|| DynamicsError::missing(name))
            };
            let bound = table.bind(&constant, &0.0);
            bound
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        };
        let table = HodgkinHuxley::table();
        assert_eq!(bind(&table, "nothing"), "");
        for absent in ["capacitance", "e_l", "g_na", "e_k", "alpha_m_slope"] {
            let error = bind(&table, absent);
            assert!(error.contains(absent), "{error}");
        }
        let mut changed = table.clone();
        changed.channels[0].into = Some("calcium".into());
        let error = bind(&changed, "nothing");
        assert!(error.contains("calcium"), "{error}");
        let mut changed = table;
        changed.channels[0].gate[0].alpha = None;
        let error = bind(&changed, "nothing");
        assert!(error.contains("alpha_"), "{error}");
    }
}
