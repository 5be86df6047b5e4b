//! The equations of a conductance-based cell.

use burn::tensor::Tensor;
use granule_ops::{ConductanceStep, Membrane};

use super::parameters::CellConstants;
use super::rates::{Rate, RateForm};
use super::setting::{Constant, Quantity};
use crate::{Clock, DynamicsError, Field, Linear, QuantityKind, State, Variable};

/// One gate: how its rates depend on the voltage.
#[derive(Clone, Debug)]
struct Gate {
    alpha: Rate,
    beta: Rate,
}

impl Gate {
    /// α/(α + β)
    fn steady(&self, voltage: &Tensor<2>) -> Tensor<2> {
        let alpha = self.alpha.at(voltage);
        let sum = alpha.clone() + self.beta.at(voltage);
        alpha / sum
    }

    /// dx/dt = α − (α + β)x
    fn linear(&self, voltage: &Voltage) -> Linear {
        if let (Some(offset), true) = (&voltage.offset, self.is_fixed())
            && let (alpha, Some(alpha_slope)) = self.alpha.with_slope(&voltage.plain)
            && let (beta, Some(beta_slope)) = self.beta.with_slope(&voltage.plain)
        {
            let along = |value: Tensor<2>, slope: Tensor<2>| {
                value.autodiff() + offset.clone() * slope.autodiff()
            };
            return Linear {
                decay: along(alpha.clone() + beta, alpha_slope.clone() + beta_slope),
                drive: along(alpha, alpha_slope),
            };
        }
        let drive = self.alpha.at(&voltage.value);
        let decay = drive.clone() + self.beta.at(&voltage.value);
        Linear { decay, drive }
    }

    fn is_fixed(&self) -> bool {
        self.alpha.is_fixed() && self.beta.is_fixed()
    }

    fn derivative(&self, voltage: &Voltage, x: &Tensor<2>) -> Tensor<2> {
        let Linear { decay, drive } = self.linear(voltage);
        drive - decay * x.clone()
    }
}

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
        let plain = value.clone().without_autodiff();
        let offset =
            crate::state::is_tracked(value).then(|| value.clone() - plain.clone().autodiff());
        Self {
            value: value.clone(),
            plain,
            offset,
        }
    }
}

/// A population of conductance-based cells with their parameters bound: C dV/dt = g_Na m³h (E_Na − V) + g_K n⁴ (E_K − V)
/// + g_L (E_L − V) + I.
///
/// The state is v (mV) and the gates, `[batch, cells]`: m, h, n, or h and n where m follows the voltage at once. The gates
/// are one group and the voltage another, so that exponential and semi-implicit solvers move the gates first.
///
/// The input is the current density in µA/cm² that enters the cells, `[batch or 1, 1 or cells]`. With `2·cells` columns it is
/// the external current of each cell, then its synaptic current; they are added.
#[derive(Clone, Debug)]
pub struct CellField {
    name: &'static str,
    cells: usize,
    variables: Vec<Variable>,
    groups: Vec<Vec<usize>>,
    /// m, h, n
    gates: [Gate; 3],
    instantaneous_m: bool,
    per_capacitance: Quantity,
    /// For sodium and potassium.
    channels: [Channel; 2],
    /// g_L/C
    leak: Quantity,
    minus_leak: Quantity,
    /// (g_L E_L + I)/C with the constant current
    drive: Quantity,
    /// Where a fused step serves.
    fused: Option<ConductanceStep>,
}

/// A channel's conductance g/C with what derives from it.
#[derive(Clone, Debug)]
struct Channel {
    conductance: Quantity,
    minus_conductance: Quantity,
    minus_reversal: Quantity,
    /// gE/C
    drive: Quantity,
}

impl Channel {
    fn new(conductance: Quantity, reversal: Quantity) -> Self {
        Self {
            minus_conductance: conductance.negative(),
            minus_reversal: reversal.negative(),
            drive: conductance.times(&reversal),
            conductance,
        }
    }

    /// open·g(E − V)/C
    fn current(&self, open: Tensor<2>, voltage: &Tensor<2>) -> Tensor<2> {
        let distance = self.minus_reversal.shift(voltage.clone());
        self.minus_conductance.scale(open * distance)
    }
}

/// What a kind of cell fixes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) name: &'static str,
    pub(crate) rates: [RateForm; 6],
    pub(crate) instantaneous_m: bool,
}

impl CellField {
    pub(crate) fn new(
        form: Form,
        cells: usize,
        constants: &CellConstants,
        current: &Constant,
    ) -> Self {
        let c = constants;
        let shift = c.v_shift.quantity();
        let factor = c.temperature_factor.quantity();
        let one = Quantity::Number(1.0);
        let rate = |index: usize, factor: &Quantity, [rate, midpoint, slope]: [&Constant; 3]| {
            Rate::new(
                form.rates[index],
                &rate.quantity().times(factor),
                &midpoint.quantity().plus(&shift),
                &slope.quantity(),
            )
        };
        // A factor common to α and β leaves their ratio as it is.
        let m_factor = match form.instantaneous_m {
            true => &one,
            false => &factor,
        };
        let gates = [
            Gate {
                alpha: rate(
                    0,
                    m_factor,
                    [&c.alpha_m_rate, &c.alpha_m_midpoint, &c.alpha_m_slope],
                ),
                beta: rate(
                    1,
                    m_factor,
                    [&c.beta_m_rate, &c.beta_m_midpoint, &c.beta_m_slope],
                ),
            },
            Gate {
                alpha: rate(
                    2,
                    &factor,
                    [&c.alpha_h_rate, &c.alpha_h_midpoint, &c.alpha_h_slope],
                ),
                beta: rate(
                    3,
                    &factor,
                    [&c.beta_h_rate, &c.beta_h_midpoint, &c.beta_h_slope],
                ),
            },
            Gate {
                alpha: rate(
                    4,
                    &factor,
                    [&c.alpha_n_rate, &c.alpha_n_midpoint, &c.alpha_n_slope],
                ),
                beta: rate(
                    5,
                    &factor,
                    [&c.beta_n_rate, &c.beta_n_midpoint, &c.beta_n_slope],
                ),
            },
        ];
        let per_capacitance = c.capacitance.quantity().reciprocal();
        let leak = c.g_l.quantity().times(&per_capacitance);
        let channel = |conductance: &Constant, reversal: &Constant| {
            let conductance = conductance.quantity().times(&per_capacitance);
            Channel::new(conductance, reversal.quantity())
        };
        let names: &[&str] = match form.instantaneous_m {
            true => &["h", "n"],
            false => &["m", "h", "n"],
        };
        let mut variables = vec![Variable::new("v", "mV", cells)];
        let gate = |name: &&str| {
            Variable::new(*name, "1", cells)
                .within(0.0, 1.0)
                .of_kind(QuantityKind::Gate)
        };
        variables.extend(names.iter().map(gate));
        Self {
            name: form.name,
            cells,
            groups: vec![(1..variables.len()).collect(), vec![0]],
            variables,
            gates,
            instantaneous_m: form.instantaneous_m,
            channels: [channel(&c.g_na, &c.e_na), channel(&c.g_k, &c.e_k)],
            minus_leak: leak.negative(),
            drive: leak
                .times(&c.e_l.quantity())
                .plus(&current.quantity().times(&per_capacitance)),
            leak,
            per_capacitance,
            fused: None,
        }
    }

    /// With a fused step for the exponential Euler method, where there is one for states that live where `like` does.
    pub(crate) fn fused(mut self, like: &Tensor<2>) -> Self {
        let rates = self.gates.each_ref();
        let rates = rates.map(|gate| [gate.alpha.fused(), gate.beta.fused()]);
        let channels = self.channels.each_ref();
        let membrane = Membrane {
            leak: self.leak.coefficient(),
            drive: self.drive.coefficient(),
            conductances: channels.map(|channel| channel.conductance.coefficient()),
            drives: channels.map(|channel| channel.drive.coefficient()),
        };
        self.fused = ConductanceStep::new(self.cells, rates, self.instantaneous_m, membrane, like);
        self
    }

    /// The gates that the state holds, with their rates.
    fn dynamic_gates(&self) -> &[Gate] {
        &self.gates[usize::from(self.instantaneous_m)..]
    }

    /// The gates of the state at their steady values for a voltage, `[1, 1]`, `[1, cells]` or `[batch, cells]`.
    pub fn steady_gates(&self, voltage: &Tensor<2>) -> Vec<Tensor<2>> {
        let gates = self.dynamic_gates().iter();
        gates.map(|gate| gate.steady(voltage)).collect()
    }

    /// dV/dt with the gates at their steady values, in mV/ms.
    pub(crate) fn steady_slope(&self, voltage: &Tensor<2>) -> Tensor<2> {
        let gates = self.steady_gates(voltage);
        let state = State::new(std::iter::once(voltage.clone()).chain(gates).collect());
        self.voltage_slope(&state, None)
    }

    fn voltage_slope(&self, state: &State, input: Option<&Tensor<2>>) -> Tensor<2> {
        let v = &state[0];
        let [sodium, potassium] = self.open(state);
        let [na, k] = &self.channels;
        let leak = self.drive.shift(self.minus_leak.scale(v.clone()));
        let slope = na.current(sodium, v) + k.current(potassium, v) + leak;
        match self.inflow(input) {
            Some(inflow) => slope + inflow,
            None => slope,
        }
    }

    /// m³h and n⁴
    fn open(&self, state: &State) -> [Tensor<2>; 2] {
        let [m, h, n] = match self.instantaneous_m {
            true => [
                self.gates[0].steady(&state[0]),
                state[1].clone(),
                state[2].clone(),
            ],
            false => [1, 2, 3].map(|i| state[i].clone()),
        };
        let n_squared = n.clone() * n;
        [m.clone() * m.clone() * m * h, n_squared.clone() * n_squared]
    }

    /// The current that enters, over the capacitance.
    fn inflow(&self, input: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        let current = input?.clone();
        let current = match current.dims()[1] == 2 * self.cells {
            true => {
                let synaptic = current.clone().narrow(1, self.cells, self.cells);
                current.narrow(1, 0, self.cells) + synaptic
            }
            false => current,
        };
        Some(self.per_capacitance.scale(current))
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
        let gates = self.dynamic_gates().iter().zip(&state.tensors()[1..]);
        let voltage = Voltage::new(&state[0]);
        let slopes = gates.map(|(gate, x)| gate.derivative(&voltage, x));
        let slope = self.voltage_slope(state, input);
        State::new(std::iter::once(slope).chain(slopes).collect())
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
        if group == 0 {
            let gates = self.dynamic_gates().iter();
            let voltage = Voltage::new(&state[0]);
            return gates.map(|gate| gate.linear(&voltage)).collect();
        }
        let [sodium, potassium] = self.open(state);
        let [na, k] = &self.channels;
        let conductance =
            na.conductance.scale(sodium.clone()) + k.conductance.scale(potassium.clone());
        let drive = self
            .drive
            .shift(na.drive.scale(sodium) + k.drive.scale(potassium));
        vec![Linear {
            decay: self.leak.shift(conductance),
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
        let next = fused.step(state.tensors(), self.inflow(input), at.dt);
        Some(State::new(next))
    }

    fn check_input(&self, state: &State, input: Option<&Tensor<2>>) -> Result<(), DynamicsError> {
        let Some(input) = input else { return Ok(()) };
        let [rows, columns] = input.dims();
        let batch = state[0].dims()[0];
        let fits = (rows == 1 || rows == batch)
            && (columns == 1 || columns == self.cells || columns == 2 * self.cells);
        match fits {
            true => Ok(()),
            false => Err(DynamicsError::Shape {
                what: format!("the input of {}", self.name),
                expected: vec![batch, self.cells],
                found: vec![rows, columns],
            }),
        }
    }
}
