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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differences::assert_gradient;
    use crate::gradient::{Memory, Run, gradient};
    use crate::host;
    use crate::model::{Constant, Dynamics};
    use crate::simulate::Grid;
    use crate::testing::{assert_close, f32_places, f64_autodiff, f64_places};
    use crate::unit::observed::testing::{course, spike_steps};

    /// Spike times in ms of the default cell at 800 pA: DOP853 at 1e-11 with event location.
    const TIMES: [f64; 6] = [
        17.71952, 40.48517, 71.26696, 114.47754, 171.59464, 236.17395,
    ];

    #[test]
    fn spike_times_converge_to_those_of_an_event_driven_solution() {
        let place = f64_places().swap_remove(0).1;
        let cells = AdexConfig::default().init(&place).unwrap();
        let spikes = &spike_steps(&cells, 800.0, 0.01, 10_000)[0];
        assert_eq!(spikes.len(), 3);
        for (count, (step, time)) in spikes.iter().zip(TIMES).enumerate() {
            let late = *step as f64 * 0.01 - time;
            // Each spike is late by less than a step; adaptation that begins late makes the next one later.
            let most = 0.01 * (count + 1) as f64 * 2.0;
            assert!(
                (-1e-4..most).contains(&late),
                "spike {count}: {late} ms late"
            );
        }
    }

    /// The same scheme, RK4 with dt = 0.05 ms, in numpy.
    #[test]
    fn two_hundred_milliseconds_equal_another_implementation() {
        for (_, place) in f64_places() {
            let cells = AdexConfig::default().init(&place).unwrap();
            let spikes = spike_steps(&cells, 800.0, 0.05, 4000);
            assert_eq!(spikes[0], [355, 811, 1428, 2294, 3438]);
            let dynamics = cells.dynamics().unwrap();
            let last = |variable: usize| {
                let initial = cells.initial_state(1).unwrap();
                course(&dynamics, initial, 800.0, (0.05, 4000), variable)[3999][0]
            };
            assert_close(last(0), -52.92642556799016, 1e-9);
            assert_close(last(1), 240.6369975675178, 1e-9);
        }
    }

    #[test]
    fn single_precision_is_sound_where_the_upstroke_is_steepest() {
        let config = AdexConfig {
            cells: 2,
            slope: vec![0.2, 2.0].into(),
            current: vec![800.0, 800.0].into(),
            ..Default::default()
        };
        for (name, place) in f32_places() {
            let cells = config.init(&place).unwrap();
            let spikes = spike_steps(&cells, 0.0, 0.1, 450);
            let expected = [40.4, 40.6];
            let second = spikes[1][1] as f64 * 0.1;
            assert!(
                (expected[0]..expected[1] + 0.2).contains(&second),
                "{name}: {second}"
            );
            assert!(!spikes[0].is_empty(), "{name}");
        }
    }

    /// Patterns of Naud et al. (2008) as in Gerstner et al., Neuronal Dynamics (2014), table 6.1, driven by 65 pA; numbers of
    /// spikes in 400 ms and first intervals by DOP853.
    #[test]
    fn parameters_make_the_firing_pattern() {
        let place = f64_places().swap_remove(0).1;
        // Capacitance, a, τ_w, b, reset: tonic, adapting, initial burst, bursting, transient.
        let patterns = [
            (40.0, 0.0, 30.0, 60.0, -55.0),
            (40.0, 0.0, 100.0, 5.0, -55.0),
            (10.0, 0.5, 100.0, 7.0, -51.0),
            (10.0, -0.5, 100.0, 7.0, -46.0),
            (20.0, 1.0, 100.0, 10.0, -60.0),
        ];
        let each = |of: fn(&(f64, f64, f64, f64, f64)) -> f64| -> Values {
            patterns.iter().map(of).collect::<Vec<_>>().into()
        };
        let config = AdexConfig {
            cells: patterns.len(),
            capacitance: each(|p| p.0),
            leak_conductance: 2.0.into(),
            leak_reversal: (-70.0).into(),
            threshold: (-50.0).into(),
            adaptation: each(|p| p.1),
            adaptation_time_constant: each(|p| p.2),
            adaptation_jump: each(|p| p.3),
            reset: each(|p| p.4),
            initial: (-70.0).into(),
            peak: 0.0,
            ..Default::default()
        };
        let dt = 0.02;
        let spikes = spike_steps(&config.init(&place).unwrap(), 65.0, dt, 20_000);
        let intervals: Vec<Vec<f64>> = spikes
            .iter()
            .map(|steps| {
                steps
                    .windows(2)
                    .map(|w| (w[1] - w[0]) as f64 * dt)
                    .collect()
            })
            .collect();
        let count = |pattern: usize| spikes[pattern].len();
        assert_eq!((count(0), count(1), count(4)), (7, 15, 7));
        assert!(
            (14..=15).contains(&count(2)) && (26..=28).contains(&count(3)),
            "{spikes:?}"
        );
        let near = |pattern: usize, interval: usize, expected: f64| {
            let found = intervals[pattern][interval];
            assert!(
                (found - expected).abs() < 0.05 + 0.01 * expected,
                "{pattern}: {found}"
            );
        };
        near(0, 1, 59.3);
        near(0, 5, 59.2);
        near(1, 0, 15.5);
        near(1, 6, 27.2);
        near(2, 0, 2.6);
        near(2, 5, 36.6);
        near(4, 0, 14.0);
        near(4, 5, 83.1);
        // Bursts: silences a hundred times longer than the intervals within.
        let (short, long): (Vec<f64>, Vec<f64>) = intervals[3].iter().partition(|i| **i < 5.0);
        assert!(
            long.len() >= 4 && long.iter().all(|i| *i > 50.0),
            "{long:?}"
        );
        assert!(short.len() >= 15, "{short:?}");
    }

    #[test]
    fn the_refractory_period_holds_the_reset() {
        let place = f64_places().swap_remove(0).1;
        let config = AdexConfig {
            refractory: 2.0,
            ..Default::default()
        };
        let cells = config.init(&place).unwrap();
        let dynamics = cells.dynamics().unwrap();
        let v = course(
            &dynamics,
            cells.initial_state(1).unwrap(),
            1000.0,
            (0.1, 200),
            0,
        );
        let spike = spike_steps(&cells, 1000.0, 0.1, 200)[0][0];
        let held = v[spike - 1..].iter().take_while(|v| v[0] == -70.6).count();
        assert_eq!(held, 21, "the step of the spike and 20 more");
    }

    const NAMES: [&str; 8] = [
        "capacitance",
        "leak_conductance",
        "leak_reversal",
        "threshold",
        "slope",
        "adaptation_time_constant",
        "adaptation",
        "current",
    ];

    /// No slope below the threshold, where there is none to be found by differences.
    const NARROW: Surrogate = Surrogate::Triangular {
        slope: 10.0,
        height: 1.0,
    };

    #[test]
    fn gradients_below_the_threshold_agree_with_differences() {
        let place = f64_autodiff();
        let config = AdexConfig {
            cells: 2,
            current: vec![400.0, 600.0].into(),
            initial: (-65.0).into(),
            surrogate: NARROW,
            trainable: NAMES
                .map(String::from)
                .into_iter()
                .chain(["initial".into()])
                .collect(),
            ..Default::default()
        };
        let cells = config.init(&place).unwrap();
        let input = Constant(place.full(50.0, [1, 1]));
        let loss = |seen: Tensor<3>| (seen * 0.1).cos().mean();
        assert_gradient(&cells, &input, (0.1, 120), loss, 1e-6, 1e-5);
    }

    #[test]
    fn spikes_leave_gradients_finite() {
        for (name, plain) in f32_places().into_iter().take(2) {
            let place = Place::f32(&plain.device.autodiff());
            let config = AdexConfig {
                current: 900.0.into(),
                observed: Observed::Spikes,
                trainable: NAMES.map(String::from).to_vec(),
                ..Default::default()
            };
            let cells = config.init(&place).unwrap();
            let grid = Grid::over(60.0, 0.1).unwrap();
            let run = Run {
                initial: None,
                batch: 1,
                input: &crate::NoInput,
                grid: &grid,
                every: 1,
                memory: &Memory::Full,
            };
            let mut result = gradient(&cells, &run, |seen| seen.sum()).unwrap();
            assert!(result.loss >= 2.0);
            let slope = result.parameters.remove::<2>(cells.current.raw.id).unwrap();
            let slope = host(slope).unwrap()[0];
            assert!(slope.is_finite() && slope > 0.0, "{name}: {slope}");
        }
    }

    #[test]
    fn settings_without_sense_are_refused() {
        let refused = |change: fn(&mut AdexConfig)| {
            let mut config = AdexConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(refused(|c| c.capacitance = (-281.0).into()).contains("capacitance = -281"));
        assert!(refused(|c| c.adaptation_time_constant = 0.0.into()).contains("adaptation_time"));
        assert!(refused(|c| c.slope = 0.0.into()).contains("slope = 0"));
        assert!(refused(|c| c.reset = 25.0.into()).contains("reset = 25"));
        assert!(refused(|c| c.initial = 20.0.into()).contains("initial = 20"));
        assert!(refused(|c| c.refractory = -1.0).contains("refractory = -1"));
        assert!(refused(|c| c.peak = f64::NAN).contains("peak"));
        assert!(refused(|c| c.trainable = vec!["peak".into()]).contains("trainable = peak"));
    }
}
