use std::collections::BTreeMap;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::constants::constants;
use super::input::fits;
use super::setting::{Constant, Quantity, Settings};
use super::{Observed, Surrogate};
use crate::model::{Field, Model};
use crate::setting::Range;
use crate::solver::{Solver, Stepped};
use crate::{Bounds, DynamicsError, Place, QuantityKind, State, Values, Variable};

constants! {
    "adaptive exponential integrate-and-fire cells", AdexParameters, AdexConstants,
    /// Membrane capacitance C.
    capacitance: "pF", Positive, 281.0;
    /// Conductance of the leak g_L.
    g_l: "nS", Positive, 30.0;
    /// Reversal potential of the leak E_L.
    e_l: "mV", Any, -70.6;
    /// Threshold of the exponential V_T.
    threshold: "mV", Any, -50.4;
    /// Slope factor Δ_T.
    slope: "mV", Positive, 2.0;
    /// Time constant of adaptation τ_w.
    adaptation_time_constant: "ms", Positive, 144.0;
    /// Subthreshold adaptation a.
    adaptation: "nS", Any, 4.0;
    /// Spike-triggered adaptation b.
    adaptation_jump: "pA", Any, 80.5;
    /// Potential after a spike, below the peak.
    reset: "mV", Any, -70.6;
}

/// Settings of [`Adex`]. The defaults are those of Brette & Gerstner (2005), a regularly spiking pyramidal cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AdexConfig {
    /// How many cells.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub cells: usize,
    /// The constant part of the current, pA; what comes as input is added.
    pub current: Values,
    /// The potential at the beginning, mV; below the peak. w begins in balance with it.
    pub initial_voltage: Values,
    /// Where the upstroke is cut and counts as a spike, mV.
    pub peak: f64,
    /// Absolute refractory period, ms, during which v stays at the reset: rounded up to whole steps.
    #[cfg_attr(feature = "schema", schemars(transform = Range::NonNegative))]
    pub refractory: f64,
    /// The parameters that training may change, by name: those below, `current` and `initial_voltage`.
    pub trainable: Vec<String>,
    /// Where training keeps a parameter, by name.
    pub bounds: BTreeMap<String, Bounds>,
    /// The parameters.
    pub parameters: AdexParameters,
    /// The gradient of a spike.
    pub surrogate: Surrogate,
    /// What is recorded.
    pub observed: Observed,
}

impl Default for AdexConfig {
    fn default() -> Self {
        Self {
            cells: 1,
            current: Values::One(0.0),
            initial_voltage: Values::One(-70.6),
            peak: 20.0,
            refractory: 0.0,
            trainable: Vec::new(),
            bounds: BTreeMap::new(),
            parameters: AdexParameters::default(),
            surrogate: Surrogate::default(),
            observed: Observed::default(),
        }
    }
}

impl AdexConfig {
    fn settings(&self) -> Settings<'_> {
        let mut all = Settings::of_cells(
            self.parameters.entries(),
            &self.current,
            &self.trainable,
            &self.bounds,
        );
        all.add(
            ("unit", "initial_voltage"),
            &self.initial_voltage,
            Range::Any,
        );
        all.keep("reset", Bounds::Below(self.peak));
        all.keep("initial_voltage", Bounds::Below(self.peak));
        all
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the first that is not allowed, as `unit.parameters.capacitance`.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        crate::setting::check_count("unit.cells", self.cells)?;
        if !(self.refractory.is_finite() && self.refractory >= 0.0) {
            let allowed = Range::NonNegative.describe();
            return Err(DynamicsError::config(
                "unit.refractory",
                self.refractory,
                allowed,
            ));
        }
        let settings = self.settings();
        settings.check(self.cells)?;
        settings.below_peak(self.peak, &["reset", "initial_voltage"])?;
        self.surrogate.validate()
    }

    /// Makes the population, to be moved by `solver`.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, solver: Arc<dyn Solver>, place: &Place) -> Result<Adex, DynamicsError> {
        self.validate()?;
        let settings = self.settings();
        let make = |name: &str| settings.init(name, self.cells, place);
        Ok(Adex {
            parameters: AdexConstants::build(make)?,
            current: make("current")?,
            initial_voltage: make("initial_voltage")?,
            origin: place.full(0.0, [1, 1]),
            cells: self.cells,
            peak: self.peak,
            refractory: self.refractory,
            surrogate: self.surrogate,
            observed: self.observed,
            solver,
        })
    }
}

/// A population of adaptive exponential integrate-and-fire cells (Brette & Gerstner 2005, doi:10.1152/jn.00686.2005):
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
    /// The parameters.
    pub parameters: AdexConstants,
    /// The constant part of the current, pA.
    pub current: Constant,
    /// v at the beginning, mV.
    pub initial_voltage: Constant,
    /// Where the module lives; it follows the module to other devices and off the tape.
    origin: Tensor<2>,
    #[module(skip)]
    cells: usize,
    #[module(skip)]
    peak: f64,
    #[module(skip)]
    refractory: f64,
    #[module(skip)]
    surrogate: Surrogate,
    #[module(skip)]
    pub(super) observed: Observed,
    #[module(skip)]
    solver: Arc<dyn Solver>,
}

impl Adex {
    /// The equations with the parameters' values taken.
    pub fn field(&self) -> AdexField {
        let mut variables = vec![
            Variable::new("v", "mV", self.cells),
            Variable::new("w", "pA", self.cells),
            Variable::new("spike", "1", self.cells).of_kind(QuantityKind::Spikes),
        ];
        if self.refractory > 0.0 {
            variables.push(Variable::new("refractory", "ms", self.cells));
        }
        let parameters = &self.parameters;
        let reset = parameters.reset.quantity();
        let slope = parameters.slope.quantity();
        AdexField {
            variables,
            per_capacitance: parameters.capacitance.quantity().reciprocal(),
            g_l: parameters.g_l.quantity(),
            minus_e_l: parameters.e_l.quantity().negative(),
            minus_threshold: parameters.threshold.quantity().negative(),
            per_slope: slope.reciprocal(),
            slope,
            adaptation_rate: parameters.adaptation_time_constant.quantity().reciprocal(),
            adaptation: parameters.adaptation.quantity(),
            adaptation_jump: parameters.adaptation_jump.quantity(),
            per_span: reset
                .negative()
                .plus(&Quantity::Number(self.peak))
                .reciprocal(),
            reset,
            current: self.current.quantity(),
            peak: self.peak,
            refractory: self.refractory,
            surrogate: self.surrogate,
            observed: self.observed,
        }
    }
}

impl Model for Adex {
    type Dynamics = Stepped<AdexField, Arc<dyn Solver>>;

    fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError> {
        Ok(Stepped {
            field: self.field(),
            solver: self.solver.clone(),
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let zeros = Place::of(&self.origin).full(0.0, [batch, self.cells]);
        let v = self.initial_voltage.quantity().shift(zeros.clone());
        let away = self.parameters.e_l.quantity().negative().shift(v.clone());
        let w = self.parameters.adaptation.quantity().scale(away);
        let mut state = vec![v, w, zeros.clone()];
        if self.refractory > 0.0 {
            state.push(zeros);
        }
        Ok(State::new(state))
    }
}

/// [`Adex`] with its parameters' values.
#[derive(Clone, Debug)]
pub struct AdexField {
    variables: Vec<Variable>,
    per_capacitance: Quantity,
    g_l: Quantity,
    minus_e_l: Quantity,
    minus_threshold: Quantity,
    slope: Quantity,
    per_slope: Quantity,
    adaptation_rate: Quantity,
    adaptation: Quantity,
    adaptation_jump: Quantity,
    reset: Quantity,
    per_span: Quantity,
    current: Quantity,
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

    fn check_input(&self, state: &State, input: Option<&Tensor<2>>) -> Result<(), DynamicsError> {
        input.map_or(Ok(()), |u| fits(u, &state[0], self.name()))
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let v = state[0].clone().clamp_max(self.peak);
        let w = state[1].clone();
        let away = self.minus_e_l.shift(v.clone());
        let exponent = self.per_slope.scale(self.minus_threshold.shift(v));
        let upstroke = self.slope.scale(exponent.clamp_max(STEEPEST).exp());
        let leak = self.g_l.scale(upstroke - away.clone());
        let mut current = self.current.shift(leak - w.clone());
        if let Some(u) = input {
            current = current + u.clone();
        }
        let dv = self.per_capacitance.scale(current);
        let dw = self.adaptation_rate.scale(self.adaptation.scale(away) - w);
        let mut slopes = vec![dv, dw, state[2].zeros_like()];
        if self.refractory > 0.0 {
            slopes.push(state[2].ones_like().neg());
        }
        State::new(slopes)
    }

    fn settle(&self, _time: f64, before: &State, after: State) -> State {
        let mut tensors = after.into_tensors().into_iter();
        let (Some(mut v), Some(w), Some(_)) = (tensors.next(), tensors.next(), tensors.next())
        else {
            return before.clone();
        };
        if self.refractory > 0.0 {
            // What rounding leaves of a period that is over does not count.
            let held = before[3].clone().greater_elem(1e-4 * self.refractory);
            v = self.reset.put(v, held);
        }
        let over = v.clone() - self.peak;
        let fired = over.clone().greater_equal_elem(0.0);
        let spikes = fired.clone().float().cast(v.dtype());
        let spike = self.surrogate.attach(spikes, self.per_span.scale(over));
        let mut settled = vec![
            self.reset.put(v, fired.clone()),
            w + self.adaptation_jump.scale(spike.clone()),
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
    use crate::model;
    use crate::simulate::Grid;
    use crate::solver::Rk4;
    use crate::testing::{assert_close, f32_places, f64_autodiff, f64_places};
    use crate::unit::observed::testing::{course, spike_steps};

    /// Spike times in ms of the default cell at 800 pA: DOP853 at 1e-11 with event location.
    const TIMES: [f64; 6] = [
        17.71952, 40.48517, 71.26696, 114.47754, 171.59464, 236.17395,
    ];

    #[test]
    fn spike_times_converge_to_those_of_an_event_driven_solution() {
        let place = f64_places().swap_remove(0).1;
        let cells = AdexConfig::default().init(Arc::new(Rk4), &place).unwrap();
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
            let cells = AdexConfig::default().init(Arc::new(Rk4), &place).unwrap();
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
            parameters: AdexParameters {
                slope: vec![0.2, 2.0].into(),
                ..Default::default()
            },
            current: vec![1600.0, 1600.0].into(),
            ..Default::default()
        };
        // Its second spike is at 12.71355 ms, by RK4 with steps of 1 µs and less.
        for (name, place) in f32_places() {
            let cells = config.init(Arc::new(Rk4), &place).unwrap();
            let spikes = spike_steps(&cells, 0.0, 0.1, 140);
            let expected = [12.63, 12.83];
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
            parameters: AdexParameters {
                capacitance: each(|p| p.0),
                g_l: 2.0.into(),
                e_l: (-70.0).into(),
                threshold: (-50.0).into(),
                adaptation: each(|p| p.1),
                adaptation_time_constant: each(|p| p.2),
                adaptation_jump: each(|p| p.3),
                reset: each(|p| p.4),
                ..Default::default()
            },
            initial_voltage: (-70.0).into(),
            peak: 0.0,
            ..Default::default()
        };
        let dt = 0.02;
        let spikes = spike_steps(
            &config.init(Arc::new(Rk4), &place).unwrap(),
            65.0,
            dt,
            20_000,
        );
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
        let cells = config.init(Arc::new(Rk4), &place).unwrap();
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
        "g_l",
        "e_l",
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
            initial_voltage: (-65.0).into(),
            surrogate: NARROW,
            trainable: NAMES
                .map(String::from)
                .into_iter()
                .chain(["initial_voltage".into()])
                .collect(),
            ..Default::default()
        };
        let cells = config.init(Arc::new(Rk4), &place).unwrap();
        let input = model::Constant(place.full(50.0, [1, 1]));
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
            let cells = config.init(Arc::new(Rk4), &place).unwrap();
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
            let slope = result
                .parameters
                .remove::<2>(cells.current.parameter().unwrap().raw.id)
                .unwrap();
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
        assert!(
            refused(|c| c.parameters.capacitance = (-281.0).into()).contains("capacitance = -281")
        );
        assert!(
            refused(|c| c.parameters.adaptation_time_constant = 0.0.into())
                .contains("adaptation_time")
        );
        assert!(refused(|c| c.parameters.slope = 0.0.into()).contains("slope = 0"));
        assert!(refused(|c| c.parameters.reset = 25.0.into()).contains("reset = 25"));
        assert!(refused(|c| c.initial_voltage = 20.0.into()).contains("initial_voltage = 20"));
        assert!(refused(|c| c.refractory = -1.0).contains("refractory = -1"));
        assert!(refused(|c| c.peak = f64::NAN).contains("peak"));
        assert!(refused(|c| c.trainable = vec!["peak".into()]).contains("trainable = peak"));
    }
}
