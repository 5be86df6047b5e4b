use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Observed, Surrogate};
use crate::model::{Field, Model};
use crate::parameter::{self, Bounds, Parameter, Setting, Values};
use crate::solver::{Rk4, Stepped};
use crate::{DynamicsError, Place, State, Variable};

/// Settings of [`Adex`]. The defaults are those of Brette & Gerstner (2005), a regularly spiking pyramidal cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdexConfig {
    /// The number of cells.
    pub cells: usize,
    /// Membrane capacitance C, pF.
    pub capacitance: Values,
    /// Leak conductance g_L, nS.
    pub leak_conductance: Values,
    /// Leak reversal potential E_L, mV.
    pub leak_reversal: Values,
    /// Threshold of the exponential V_T, mV.
    pub threshold: Values,
    /// Slope factor Δ_T, mV.
    pub slope: Values,
    /// Adaptation time constant τ_w, ms.
    pub adaptation_time_constant: Values,
    /// Subthreshold adaptation a, nS.
    pub adaptation: Values,
    /// Spike-triggered adaptation b, pA.
    pub adaptation_jump: Values,
    /// Potential after a spike, mV; below `peak`.
    pub reset: Values,
    /// Constant current, pA, added to the input.
    pub current: Values,
    /// Potential at the beginning, mV; below `peak`.
    pub initial: Values,
    /// Where the upstroke is cut and counts as a spike, mV.
    pub peak: f64,
    /// Absolute refractory period, ms, during which v stays at the reset: rounded up to whole steps.
    pub refractory: f64,
    /// The parameters that training may move.
    pub trainable: Vec<String>,
    /// The gradient of a spike.
    pub surrogate: Surrogate,
    /// What is recorded.
    pub observed: Observed,
}

impl Default for AdexConfig {
    fn default() -> Self {
        Self {
            cells: 1,
            capacitance: 281.0.into(),
            leak_conductance: 30.0.into(),
            leak_reversal: (-70.6).into(),
            threshold: (-50.4).into(),
            slope: 2.0.into(),
            adaptation_time_constant: 144.0.into(),
            adaptation: 4.0.into(),
            adaptation_jump: 80.5.into(),
            reset: (-70.6).into(),
            current: 0.0.into(),
            initial: (-70.6).into(),
            peak: 20.0,
            refractory: 0.0,
            trainable: Vec::new(),
            surrogate: Surrogate::default(),
            observed: Observed::default(),
        }
    }
}

impl AdexConfig {
    fn settings(&self) -> [Setting<'_>; 11] {
        let positive = Bounds::Above(0.0);
        [
            Setting::new("capacitance", &self.capacitance, positive),
            Setting::new("leak_conductance", &self.leak_conductance, positive),
            Setting::new("leak_reversal", &self.leak_reversal, Bounds::Free),
            Setting::new("threshold", &self.threshold, Bounds::Free),
            Setting::new("slope", &self.slope, positive),
            Setting::new(
                "adaptation_time_constant",
                &self.adaptation_time_constant,
                positive,
            ),
            Setting::new("adaptation", &self.adaptation, Bounds::Free),
            Setting::new("adaptation_jump", &self.adaptation_jump, Bounds::Free),
            Setting::new("reset", &self.reset, Bounds::Below(self.peak)),
            Setting::new("current", &self.current, Bounds::Free),
            Setting::new("initial", &self.initial, Bounds::Below(self.peak)),
        ]
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the first that is not allowed.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        if self.cells == 0 {
            return Err(DynamicsError::config("cells", 0, "at least 1"));
        }
        if !self.peak.is_finite() {
            return Err(DynamicsError::config("peak", self.peak, "a finite number"));
        }
        if !(self.refractory.is_finite() && self.refractory >= 0.0) {
            let allowed = "a finite number, 0 or above";
            return Err(DynamicsError::config(
                "refractory",
                self.refractory,
                allowed,
            ));
        }
        parameter::validate(self.cells, &self.settings(), &self.trainable)?;
        self.surrogate.validate()
    }

    /// Makes the cells.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<Adex, DynamicsError> {
        self.validate()?;
        let make = |setting: Setting<'_>| setting.init(&self.trainable, place);
        let [
            capacitance,
            leak_conductance,
            leak_reversal,
            threshold,
            slope,
            adaptation_time_constant,
            adaptation,
            adaptation_jump,
            reset,
            current,
            initial,
        ] = self.settings();
        Ok(Adex {
            capacitance: make(capacitance)?,
            leak_conductance: make(leak_conductance)?,
            leak_reversal: make(leak_reversal)?,
            threshold: make(threshold)?,
            slope: make(slope)?,
            adaptation_time_constant: make(adaptation_time_constant)?,
            adaptation: make(adaptation)?,
            adaptation_jump: make(adaptation_jump)?,
            reset: make(reset)?,
            current: make(current)?,
            initial: make(initial)?,
            cells: self.cells,
            peak: self.peak,
            refractory: self.refractory,
            surrogate: self.surrogate,
            observed: self.observed,
        })
    }
}

/// Adaptive exponential integrate-and-fire cells (Brette & Gerstner 2005, doi:10.1152/jn.00686.2005):
///
/// C dv/dt = −g_L(v − E_L) + g_L Δ_T exp((v − V_T)/Δ_T) − w + I + u, τ_w dw/dt = a(v − E_L) − w;
/// where v reaches the peak: v ← reset, w ← w + b.
///
/// The exponent is bounded, and above the peak the field is that at the peak, so that a step which overshoots stays
/// finite in single precision. A spike lasts to the end of its step: spike times are late by less than dt. No gradient
/// passes from before a reset to v after it; the jump of w and the spike have the surrogate's.
///
/// Input: current, pA, `[batch or 1, cells or 1]`. State: `v`, `w`, `spike` and, where there is a refractory period,
/// `refractory` (what is left of it).
#[derive(Module, Debug)]
pub struct Adex {
    /// C, pF.
    pub capacitance: Parameter,
    /// g_L, nS.
    pub leak_conductance: Parameter,
    /// E_L, mV.
    pub leak_reversal: Parameter,
    /// V_T, mV.
    pub threshold: Parameter,
    /// Δ_T, mV.
    pub slope: Parameter,
    /// τ_w, ms.
    pub adaptation_time_constant: Parameter,
    /// a, nS.
    pub adaptation: Parameter,
    /// b, pA.
    pub adaptation_jump: Parameter,
    /// mV.
    pub reset: Parameter,
    /// I, pA.
    pub current: Parameter,
    /// v at the beginning, mV; w is in balance with it.
    pub initial: Parameter,
    #[module(skip)]
    cells: usize,
    #[module(skip)]
    peak: f64,
    #[module(skip)]
    refractory: f64,
    #[module(skip)]
    surrogate: Surrogate,
    #[module(skip)]
    observed: Observed,
}

impl Adex {
    /// The equations, for a solver of choice.
    pub fn field(&self) -> AdexField {
        let mut variables = vec![
            Variable::new("v", "mV", self.cells),
            Variable::new("w", "pA", self.cells),
            Variable::new("spike", "1", self.cells),
        ];
        if self.refractory > 0.0 {
            variables.push(Variable::new("refractory", "ms", self.cells));
        }
        AdexField {
            variables,
            capacitance: self.capacitance.value(),
            leak_conductance: self.leak_conductance.value(),
            leak_reversal: self.leak_reversal.value(),
            threshold: self.threshold.value(),
            slope: self.slope.value(),
            adaptation_rate: self.adaptation_time_constant.value().recip(),
            adaptation: self.adaptation.value(),
            adaptation_jump: self.adaptation_jump.value(),
            reset: self.reset.value(),
            current: self.current.value(),
            peak: self.peak,
            refractory: self.refractory,
            surrogate: self.surrogate,
            observed: self.observed,
        }
    }
}

impl Model for Adex {
    type Dynamics = Stepped<AdexField, Rk4>;

    fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError> {
        Ok(Stepped {
            field: self.field(),
            solver: Rk4,
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let v = self.initial.value().expand([batch, self.cells]);
        let w = self.adaptation.value() * (v.clone() - self.leak_reversal.value());
        let zeros = v.zeros_like();
        let mut state = vec![v, w, zeros.clone()];
        if self.refractory > 0.0 {
            state.push(zeros);
        }
        Ok(State::new(state))
    }
}

/// [`Adex`] with its parameters' values, each `[1, 1]` or `[1, cells]`.
#[derive(Clone, Debug)]
pub struct AdexField {
    variables: Vec<Variable>,
    capacitance: Tensor<2>,
    leak_conductance: Tensor<2>,
    leak_reversal: Tensor<2>,
    threshold: Tensor<2>,
    slope: Tensor<2>,
    adaptation_rate: Tensor<2>,
    adaptation: Tensor<2>,
    adaptation_jump: Tensor<2>,
    reset: Tensor<2>,
    current: Tensor<2>,
    peak: f64,
    refractory: f64,
    surrogate: Surrogate,
    observed: Observed,
}

/// The largest exponent: there v rises by 10⁸ mV a millisecond, and how long it takes from here makes no difference.
const STEEPEST: f64 = 20.0;

impl Field for AdexField {
    fn name(&self) -> &str {
        "adex"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let v = state[0].clone().clamp_max(self.peak);
        let w = state[1].clone();
        let current = match input {
            Some(u) => self.current.clone() + u.clone(),
            None => self.current.clone(),
        };
        let away = v.clone() - self.leak_reversal.clone();
        let exponent = ((v - self.threshold.clone()) / self.slope.clone()).clamp_max(STEEPEST);
        let upstroke = self.slope.clone() * exponent.exp();
        let leak = self.leak_conductance.clone() * (upstroke - away.clone());
        let dv = (leak - w.clone() + current) / self.capacitance.clone();
        let dw = (self.adaptation.clone() * away - w.clone()) * self.adaptation_rate.clone();
        let mut slopes = vec![dv, dw, state[2].zeros_like()];
        if self.refractory > 0.0 {
            slopes.push(w.ones_like().neg());
        }
        State::new(slopes)
    }

    fn settle(&self, _time: f64, before: &State, after: State) -> State {
        let mut tensors = after.into_tensors().into_iter();
        let (Some(mut v), Some(w), Some(_)) = (tensors.next(), tensors.next(), tensors.next())
        else {
            return before.clone();
        };
        let reset = self.reset.clone().expand(v.dims());
        if self.refractory > 0.0 {
            // What rounding leaves of a period that is over does not count.
            let held = before[3].clone().greater_elem(1e-4 * self.refractory);
            v = v.mask_where(held, reset.clone());
        }
        let over = v.clone() - self.peak;
        let fired = over.clone().greater_equal_elem(0.0);
        let spikes = fired.clone().float().cast(v.dtype());
        let spike = self
            .surrogate
            .attach(spikes, over / (-reset.clone() + self.peak));
        let mut settled = vec![
            v.mask_where(fired.clone(), reset),
            w + self.adaptation_jump.clone() * spike.clone(),
            spike,
        ];
        if let Some(left) = tensors.next() {
            let left = left.clamp_min(0.0);
            settled.push(left.mask_fill(fired, self.refractory));
        }
        State::new(settled)
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        match self.observed {
            Observed::Voltage => state[0].clone(),
            Observed::Spikes => state[2].clone(),
        }
    }
}
