//! The equations of a conductance-based cell.

use burn::tensor::Tensor;
use granule_ops::{
    Channel, Coefficient, ConductanceStep, Curve, Gate, GateKinetics, Membrane, Pool, Reversal,
};

use super::channel::{Battery, BoundChannel, BoundTable, ChannelTable, Constants};
use super::rates::{self, LOWEST};
use crate::quantity::Quantity;
use crate::state::taped;
use crate::{Clock, DynamicsError, Field, Input, Linear, QuantityKind, Span, State, Variable};

/// A voltage on the tape, V = V₀ + offset, where V₀ is off it and the offset is 0: what depends on V alone is computed at
/// V₀ with its slope and has two nodes on the tape.
struct Voltage {
    value: Tensor<2>,
    plain: Tensor<2>,
    /// None where the voltage is on no tape.
    offset: Option<Tensor<2>>,
}

impl Voltage {
    fn new(value: &Tensor<2>) -> Self {
        let plain = crate::state::plain(value.clone());
        let offset = crate::state::is_tracked(value).then(|| value.clone() - taped(plain.clone()));
        Self {
            value: value.clone(),
            plain,
            offset,
        }
    }
}

/// The steady value of a gate.
fn steady(gate: &Gate<Quantity>, voltage: &Tensor<2>, pools: &[Tensor<2>]) -> Tensor<2> {
    let at = |curve: &Curve<Quantity>| rates::value(curve, voltage, pools);
    match &gate.kinetics {
        GateKinetics::Rates([alpha, beta]) | GateKinetics::SteadyRates([alpha, beta]) => {
            let alpha = at(alpha);
            let sum = alpha.clone() + at(beta);
            alpha / sum
        }
        GateKinetics::Relaxation([steady, _]) | GateKinetics::Steady([steady]) => at(steady),
    }
}

/// dx/dt = drive − decay·x of a gate that moves.
fn linear(gate: &Gate<Quantity>, voltage: &Voltage, pools: &[Tensor<2>]) -> Linear {
    let at = |curve: &Curve<Quantity>| rates::value(curve, &voltage.value, pools);
    match &gate.kinetics {
        GateKinetics::Rates([alpha, beta]) | GateKinetics::SteadyRates([alpha, beta]) => {
            if let Some(offset) = &voltage.offset
                && let (Some(alpha), Some(beta)) =
                    (rates::fixed_term(alpha), rates::fixed_term(beta))
                && let (alpha, Some(alpha_slope)) = rates::with_slope(alpha, &voltage.plain)
                && let (beta, Some(beta_slope)) = rates::with_slope(beta, &voltage.plain)
            {
                let along = |value: Tensor<2>, slope: Tensor<2>| {
                    taped(value) + offset.clone() * taped(slope)
                };
                return Linear {
                    decay: along(alpha.clone() + beta, alpha_slope.clone() + beta_slope),
                    drive: along(alpha, alpha_slope),
                };
            }
            let drive = at(alpha);
            let decay = drive.clone() + at(beta);
            Linear { decay, drive }
        }
        GateKinetics::Relaxation([steady, time_constant]) => {
            let decay = at(time_constant).recip();
            Linear {
                drive: at(steady) * decay.clone(),
                decay,
            }
        }
        GateKinetics::Steady([steady]) => Linear {
            drive: at(steady),
            decay: voltage.value.ones_like(),
        },
    }
}

/// xⁿ
fn whole_power(x: Tensor<2>, exponent: u32) -> Tensor<2> {
    match exponent {
        1 => x,
        2 => x.clone() * x,
        3 => x.clone() * x.clone() * x,
        4 => {
            let squared = x.clone() * x;
            squared.clone() * squared
        }
        _ => x.powi_scalar(exponent as i32),
    }
}

/// RT/zF·ln(outside/inside)
fn nernst(factor: f64, outside: &Quantity, inside: &Tensor<2>) -> Tensor<2> {
    let inside = inside.clone().clamp_min(LOWEST).log();
    (&outside.ln() - inside).mul_scalar(factor)
}

/// What the current through g_L is called, after `I_`.
const LEAK: &str = "l";

/// What a group of variables is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Gates,
    Pools,
    Voltage,
}

/// A population of conductance-based cells with their parameters bound:
/// C dV/dt = Σ g Π xᵖ (E − V) + g_L (E_L − V) + I.
///
/// The state is v (mV), the gates that have dynamics, channel by channel, and the concentrations, `[batch, cells]`. The gates
/// are one group, the concentrations another and the voltage the last, so that exponential and semi-implicit solvers move
/// the gates first.
///
/// The input is the current density in µA/cm² that enters the cells, `[batch or 1, 1 or cells]`. With `2·cells` columns it is
/// the external current of each cell, then its synaptic current; they are added.
#[derive(Clone, Debug)]
pub struct CellField {
    name: &'static str,
    cells: usize,
    variables: Vec<Variable>,
    groups: Vec<Vec<usize>>,
    kinds: Vec<Group>,
    table: BoundTable,
    minus_leak: Quantity,
    /// g_L E_L/C
    leak_drive: Quantity,
    currents: Vec<Variable>,
    /// Where a fused step serves.
    fused: Option<ConductanceStep>,
}

impl CellField {
    pub(crate) fn new(
        name: &'static str,
        cells: usize,
        table: &ChannelTable,
        constant: &Constants<'_, Quantity>,
        current: &Quantity,
    ) -> Result<Self, DynamicsError> {
        let mut variables = vec![Variable::new("v", "mV", cells)];
        let gates = 1 + table.moving_gates().count();
        for (index, name) in table.variables().into_iter().enumerate().skip(1) {
            let variable = Variable::new(name, "1", cells);
            variables.push(if index < gates {
                variable.within(0.0, 1.0).of_kind(QuantityKind::Gate)
            } else {
                variable.of_kind(QuantityKind::Concentration)
            });
        }
        let mut groups = vec![
            (1..gates).collect::<Vec<_>>(),
            (gates..variables.len()).collect(),
        ];
        groups.push(vec![0]);
        let kinds = [Group::Gates, Group::Pools, Group::Voltage];
        let (groups, kinds): (Vec<_>, Vec<_>) = groups
            .into_iter()
            .zip(kinds)
            .filter(|(group, _)| !group.is_empty())
            .unzip();
        let channels = table.channels.iter().map(|channel| channel.name.as_str());
        let currents = channels
            .chain([LEAK])
            .map(|name| Variable::new(format!("I_{name}"), "µA/cm²", cells));
        let currents = currents.collect();
        let table = table.bind(constant, current)?;
        Ok(Self {
            currents,
            leak_drive: table.leak.times(&constant("e_l")?),
            name,
            cells,
            variables,
            groups,
            kinds,
            minus_leak: table.leak.negative(),
            table,
            fused: None,
        })
    }

    /// With a fused step for the exponential Euler method, where there is one for states that live where `like` does.
    pub(crate) fn fused(mut self, like: &Tensor<2>) -> Self {
        self.fused = ConductanceStep::new(self.cells, &self.membrane(), like);
        self
    }

    /// The cells as the fused steps take them.
    pub(super) fn membrane(&self) -> Membrane<Coefficient> {
        let table = &self.table;
        let channels = table.channels.iter().map(|channel| Channel {
            conductance: channel.conductance.coefficient(),
            reversal: match &channel.battery {
                Battery::Fixed { drive, .. } => Reversal::Drive(drive.coefficient()),
                Battery::Nernst {
                    pool,
                    factor,
                    outside,
                } => Reversal::Nernst {
                    pool: *pool,
                    factor: Quantity::Number(*factor).coefficient(),
                    outside: outside.coefficient(),
                },
            },
            gates: channel
                .gates
                .iter()
                .map(|gate| gate.map(&mut Quantity::coefficient))
                .collect(),
            pool: channel.pool,
        });
        let pools = table.pools.iter().map(|pool| Pool {
            decay: pool.decay.coefficient(),
            drive: pool.drive.coefficient(),
            influx: pool.influx.coefficient(),
        });
        Membrane {
            leak: table.leak.coefficient(),
            drive: table.drive.coefficient(),
            channels: channels.collect(),
            pools: pools.collect(),
        }
    }

    /// The gates that the state holds.
    fn moving_gates(&self) -> impl Iterator<Item = &Gate<Quantity>> {
        let gates = self
            .table
            .channels
            .iter()
            .flat_map(|channel| &channel.gates);
        gates.filter(|gate| !gate.kinetics.is_instantaneous())
    }

    fn pools<'a>(&self, state: &'a State) -> &'a [Tensor<2>] {
        let all = state.tensors();
        &all[all.len() - self.table.pools.len()..]
    }

    /// The gates and the concentrations of the state at their steady values for a voltage, `[1, 1]`, `[1, cells]` or
    /// `[batch, cells]`.
    pub fn steady(&self, voltage: &Tensor<2>) -> State {
        let pools = self.table.pools.iter();
        let mut pools: Vec<_> = pools
            .map(|pool| voltage.zeros_like() + &pool.drive.times(&pool.decay.reciprocal()))
            .collect();
        let with = |pools: &[Tensor<2>]| {
            let gates = self.moving_gates().map(|gate| steady(gate, voltage, pools));
            let all = std::iter::once(voltage.clone()).chain(gates);
            State::new(all.chain(pools.iter().cloned()).collect())
        };
        let rounds = match pools.len() {
            0 => 0,
            // Channels that a concentration acts back on.
            _ if self.feeds_back() => 200,
            _ => 1,
        };
        for _ in 0..rounds {
            let state = with(&pools);
            let moved = self.pool_slopes(&state);
            pools = moved
                .into_iter()
                .map(|Linear { decay, drive }| drive / decay)
                .zip(pools)
                .map(|(next, last)| {
                    if rounds > 1 {
                        (next + last) * 0.5
                    } else {
                        next
                    }
                })
                .collect();
        }
        with(&pools)
    }

    /// Whether the current into a concentration depends on one.
    fn feeds_back(&self) -> bool {
        let mut feeding = self
            .table
            .channels
            .iter()
            .filter(|channel| channel.pool.is_some());
        feeding.any(|channel| {
            let mut curves = channel.gates.iter().flat_map(|gate| gate.kinetics.curves());
            matches!(channel.battery, Battery::Nernst { .. }) || curves.any(of_concentration)
        })
    }

    /// dV/dt with everything else at its steady values, in mV/ms.
    pub(crate) fn steady_slope(&self, voltage: &Tensor<2>) -> Tensor<2> {
        self.voltage_slope(&self.steady(voltage), None)
    }

    fn voltage_slope(&self, state: &State, input: Option<&Tensor<2>>) -> Tensor<2> {
        let v = &state[0];
        let leak = v.clone() * &self.minus_leak + &self.table.drive;
        let currents = self.table.channels.iter().zip(self.open(state));
        let currents = currents.map(|(channel, open)| self.current(channel, open, state));
        let slope = match currents.reduce(|all, current| all + current) {
            Some(currents) => currents + leak,
            None => leak,
        };
        match self.inflow(input) {
            Some(inflow) => slope + inflow,
            None => slope,
        }
    }

    /// open·g(E − V)/C
    fn current(&self, channel: &BoundChannel, open: Tensor<2>, state: &State) -> Tensor<2> {
        let v = state[0].clone();
        let distance = match &channel.battery {
            Battery::Fixed { minus_reversal, .. } => v + minus_reversal,
            Battery::Nernst {
                pool,
                factor,
                outside,
            } => v - nernst(*factor, outside, &self.pools(state)[*pool]),
        };
        open * distance * &channel.minus_conductance
    }

    /// The open share of every channel.
    fn open(&self, state: &State) -> Vec<Tensor<2>> {
        let pools = self.pools(state);
        let mut moving = state.tensors()[1..].iter();
        let channels = self.table.channels.iter().map(|channel| {
            let gates = channel.gates.iter().map(|gate| {
                let x = if gate.kinetics.is_instantaneous() {
                    Some(steady(gate, &state[0], pools))
                } else {
                    moving.next().cloned()
                };
                let x = x.unwrap_or_else(|| state[0].ones_like());
                whole_power(x, gate.power)
            });
            let open = gates.reduce(|all, gate| all * gate);
            open.unwrap_or_else(|| state[0].ones_like())
        });
        channels.collect()
    }

    /// How the concentrations move, by the gates of the state.
    fn pool_slopes(&self, state: &State) -> Vec<Linear> {
        if self.table.pools.is_empty() {
            return Vec::new();
        }
        let open = self.open(state);
        let pools = self.table.pools.iter().enumerate().map(|(index, pool)| {
            let channels = self.table.channels.iter().zip(&open);
            let own = channels.filter(|(channel, _)| channel.pool == Some(index));
            let currents = own.map(|(channel, open)| self.current(channel, open.clone(), state));
            let zero = || state[0].zeros_like();
            let inward = currents.reduce(|all, current| all + current);
            let influx = inward.unwrap_or_else(zero) * &pool.influx;
            Linear {
                drive: influx + &pool.drive,
                decay: zero() + &pool.decay,
            }
        });
        pools.collect()
    }

    /// The current that enters, over the capacitance.
    pub(super) fn inflow(&self, input: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        let current = input?.clone();
        let current = if current.dims()[1] == 2 * self.cells {
            let synaptic = current.clone().narrow(1, self.cells, self.cells);
            current.narrow(1, 0, self.cells) + synaptic
        } else {
            current
        };
        Some(current * &self.table.per_capacitance)
    }
}

fn of_concentration(curve: &Curve<Quantity>) -> bool {
    match curve {
        Curve::Sum(parts) | Curve::Product(parts) => parts.iter().any(of_concentration),
        Curve::Power(base, _) => of_concentration(base),
        Curve::Term(term) => matches!(term.argument, granule_ops::Argument::Concentration(_)),
    }
}

impl Field for CellField {
    fn name(&self) -> &str {
        self.name
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let voltage = Voltage::new(&state[0]);
        let pools = self.pools(state);
        let gates = self
            .moving_gates()
            .map(|gate| linear(gate, &voltage, pools));
        let others = gates
            .chain(self.pool_slopes(state))
            .zip(&state.tensors()[1..]);
        let slopes = others.map(|(Linear { decay, drive }, x)| drive - decay * x.clone());
        let slope = self.voltage_slope(state, input);
        State::new(std::iter::once(slope).chain(slopes).collect())
    }

    /// I_channel = g Π xᵖ (V − E) of each channel and I_l = g_L (V − E_L), µA/cm².
    fn currents(&self) -> &[Variable] {
        &self.currents
    }

    fn currents_of(&self, state: &State) -> Vec<Tensor<2>> {
        let channels = self.table.channels.iter().zip(self.open(state));
        let inward = channels.map(|(channel, open)| self.current(channel, open, state));
        let leak = state[0].clone() * &self.minus_leak + &self.leak_drive;
        let minus_capacitance = self.table.per_capacitance.reciprocal().negative();
        inward
            .chain([leak])
            .map(|slope| slope * &minus_capacitance)
            .collect()
    }

    fn groups(&self) -> &[Vec<usize>] {
        &self.groups
    }

    fn linear(
        &self,
        group: usize,
        _time: f64,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Vec<Linear> {
        match self.kinds[group] {
            Group::Gates => {
                let voltage = Voltage::new(&state[0]);
                let pools = self.pools(state);
                let gates = self.moving_gates();
                return gates.map(|gate| linear(gate, &voltage, pools)).collect();
            }
            Group::Pools => return self.pool_slopes(state),
            Group::Voltage => {}
        }
        let channels = self.table.channels.iter().zip(self.open(state));
        let both = channels.map(|(channel, open)| {
            let conductance = open.clone() * &channel.conductance;
            let drive = match &channel.battery {
                Battery::Fixed { drive, .. } => open * drive,
                Battery::Nernst {
                    pool,
                    factor,
                    outside,
                } => conductance.clone() * nernst(*factor, outside, &self.pools(state)[*pool]),
            };
            (conductance, drive)
        });
        let (conductance, drive) = both
            .reduce(|(g, d), (conductance, drive)| (g + conductance, d + drive))
            .unwrap_or_else(|| (state[0].zeros_like(), state[0].zeros_like()));
        let drive = drive + &self.table.drive;
        vec![Linear {
            decay: conductance + &self.table.leak,
            drive: match self.inflow(input) {
                Some(inflow) => drive + inflow,
                None => drive,
            },
        }]
    }

    fn exponential_step(
        &self,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Option<State> {
        let fused = self.fused.as_ref()?;
        let dims = state[0].dims();
        // A variable that the rows of the batch share is broadcast by the composed step.
        if state.tensors().iter().any(|x| x.dims() != dims) {
            return None;
        }
        let next = fused.step(state.tensors(), self.inflow(input), at.dt)?;
        Some(State::new(next))
    }

    fn exponential_course(
        &self,
        span: &Span,
        state: &State,
        input: &dyn Input,
    ) -> Result<Option<(Tensor<3>, State)>, DynamicsError> {
        let dims = state[0].dims();
        let alike = state.tensors().iter().all(|x| x.dims() == dims);
        let (Some(fused), true) = (&self.fused, alike) else {
            return Ok(None);
        };
        let columns = (0..self.cells).collect();
        let course = if let Some(all) = span.inputs_together(input) {
            let [steps, rows, channels] = all.dims();
            self.check_shape(state, [rows, channels])?;
            let all = self.inflow(Some(&all.reshape([steps * rows, channels])));
            let all = all.map(|all| {
                let columns = all.dims()[1];
                all.reshape([steps, rows, columns])
            });
            span.course(columns, Vec::new(), all)
        } else {
            let Some(inputs) = span.inputs(input) else {
                return Ok(None);
            };
            for input in &inputs {
                self.check_input(state, Some(input))?;
            }
            let inflows = inputs.iter().map(|input| self.inflow(Some(input)));
            let inflows: Option<Vec<_>> = inflows.collect();
            span.course(columns, inflows.unwrap_or_default(), None)
        };
        let ran = course.and_then(|course| fused.course(state.tensors(), None, course));
        Ok(ran.map(|ran| (ran.seen, State::new(ran.state))))
    }

    fn check_input(&self, state: &State, input: Option<&Tensor<2>>) -> Result<(), DynamicsError> {
        match input {
            Some(input) => self.check_shape(state, input.dims()),
            None => Ok(()),
        }
    }
}

impl CellField {
    /// Whether an input of this shape fits.
    fn check_shape(&self, state: &State, [rows, columns]: [usize; 2]) -> Result<(), DynamicsError> {
        let batch = state[0].dims()[0];
        let fits = (rows == 1 || rows == batch)
            && (columns == 1 || columns == self.cells || columns == 2 * self.cells);
        if fits {
            Ok(())
        } else {
            Err(DynamicsError::Shape {
                what: format!("the input of {}", self.name),
                expected: vec![batch, self.cells],
                found: vec![rows, columns],
            })
        }
    }
}
