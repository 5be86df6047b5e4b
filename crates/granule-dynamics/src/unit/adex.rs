use std::collections::BTreeMap;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::constants::constants;
use super::firing::{Firing, Resetting, Upstroke};
use super::input::fits;
use super::setting::{Constant, Quantity, Settings};
use super::{Observed, Surrogate};
use crate::model::{Field, Model};
use crate::setting::Range;
use crate::solver::Solver;
use crate::solver::linear::phi1;
use crate::{Bounds, DynamicsError, Place, State, Values, Variable};

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
    /// Where the upstroke is cut and counts as a spike, mV.
    pub peak: f64,
    /// Absolute refractory period, ms, during which v stays at the reset.
    #[cfg_attr(feature = "schema", schemars(transform = Range::NonNegative))]
    pub refractory: f64,
    /// The parameters that training may change, by name: those below, `current`, and `v` and `w` at the beginning.
    pub trainable: Vec<String>,
    /// Where training keeps a parameter, by name.
    pub bounds: BTreeMap<String, Bounds>,
    /// The parameters.
    pub parameters: AdexParameters,
    /// The state at the beginning.
    pub initial: AdexInitial,
    /// The gradient of a spike.
    pub surrogate: Surrogate,
    /// What is recorded.
    pub observed: Observed,
}

/// The state of [`Adex`] cells at the beginning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AdexInitial {
    /// The potential, mV; below the peak.
    pub v: Values,
    /// The adaptation, pA; without, in balance with the potential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub w: Option<Values>,
}

impl Default for AdexInitial {
    fn default() -> Self {
        Self {
            v: Values::One(-70.6),
            w: None,
        }
    }
}

impl Default for AdexConfig {
    fn default() -> Self {
        Self {
            cells: 1,
            current: Values::One(0.0),
            peak: 20.0,
            refractory: 0.0,
            trainable: Vec::new(),
            bounds: BTreeMap::new(),
            parameters: AdexParameters::default(),
            initial: AdexInitial::default(),
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
        all.add(("unit.initial", "v"), &self.initial.v, Range::Any);
        if let Some(w) = &self.initial.w {
            all.add(("unit.initial", "w"), w, Range::Any);
        }
        all.keep("reset", Bounds::Below(self.peak));
        all.keep("v", Bounds::Below(self.peak));
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
        settings.below_peak(self.peak, &["reset", "v"])?;
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
            v: make("v")?,
            w: settings.find("w", self.cells, place)?,
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
/// where v reaches the peak: v ← reset, w ← w + b, and v stays at the reset for the refractory period.
///
/// The crossing of the peak is located inside the step and the cell starts anew from it, as [`Firing`] does: spike times
/// do not lie on the grid, and the refractory period ends inside a step. The solver moves y = −ln(1 + exp(−(v − V_T)/Δ_T))
/// in place of v, which goes to 0 at a finite speed where v goes to infinity. Spike times are then of **second order** with
/// `rk4`, `heun` and all methods of higher order, and of first order with `euler`: what is left is the logarithm by which v
/// goes to infinity.
///
/// Gradients pass through the time of a spike; the spike itself has the surrogate's, over y.
///
/// Input: current, pA, `[batch or 1, cells or 1]`. State: `v`, `w`, `spike`, `since_spike`.
#[derive(Module, Debug)]
pub struct Adex {
    /// The parameters.
    pub parameters: AdexConstants,
    /// The constant part of the current, pA.
    pub current: Constant,
    /// v at the beginning, mV.
    pub v: Constant,
    /// w at the beginning, pA, if it is given.
    pub w: Option<Constant>,
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
    /// The equations between two spikes, with the parameters' values taken.
    pub fn field(&self) -> AdexField {
        let parameters = &self.parameters;
        let capacitance = parameters.capacitance.quantity();
        let g_l = parameters.g_l.quantity();
        let slope = parameters.slope.quantity();
        let adaptation = parameters.adaptation.quantity();
        let adaptation_rate = parameters.adaptation_time_constant.quantity().reciprocal();
        let minus_e_l = parameters.e_l.quantity().negative();
        let reset = parameters.reset.quantity();
        AdexField {
            variables: [
                Variable::new("v", "mV", self.cells),
                Variable::new("w", "pA", self.cells),
            ],
            shear: adaptation
                .times(&adaptation_rate)
                .times(&slope)
                .times(&capacitance)
                .times(&g_l.reciprocal()),
            balance_at_reset: adaptation.times(&reset.plus(&minus_e_l)),
            per_capacitance: capacitance.reciprocal(),
            g_l,
            minus_e_l,
            threshold: parameters.threshold.quantity(),
            per_slope: slope.reciprocal(),
            slope,
            adaptation_rate,
            adaptation,
            adaptation_jump: parameters.adaptation_jump.quantity(),
            reset,
            current: self.current.quantity(),
            refractory: self.refractory,
        }
    }
}

impl Model for Adex {
    type Dynamics = Firing<AdexField, Arc<dyn Solver>>;

    fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError> {
        Ok(Firing::new(
            (self.field(), self.solver.clone()),
            self.peak,
            (self.surrogate, self.observed),
            &Place::of(&self.origin),
        ))
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let zeros = Place::of(&self.origin).full(0.0, [batch, self.cells]);
        let v = self.v.quantity().shift(zeros.clone());
        let w = match &self.w {
            Some(w) => w.quantity().shift(zeros),
            None => {
                let away = self.parameters.e_l.quantity().negative().shift(v.clone());
                self.parameters.adaptation.quantity().scale(away)
            }
        };
        Ok(Self::Dynamics::start(v, w))
    }
}

/// [`Adex`] between two spikes, with its parameters' values. State: `v`, `w`.
#[derive(Clone, Debug)]
pub struct AdexField {
    variables: [Variable; 2],
    per_capacitance: Quantity,
    g_l: Quantity,
    minus_e_l: Quantity,
    threshold: Quantity,
    slope: Quantity,
    per_slope: Quantity,
    adaptation_rate: Quantity,
    adaptation: Quantity,
    adaptation_jump: Quantity,
    reset: Quantity,
    /// a Δ_T C/(τ_w g_L)
    shear: Quantity,
    /// Where w goes while v is at the reset.
    balance_at_reset: Quantity,
    current: Quantity,
    refractory: f64,
}

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
        let (v, w) = (state[0].clone(), state[1].clone());
        let away = self.minus_e_l.shift(v.clone());
        let exponent = self.per_slope.scale(self.threshold.negative().shift(v));
        let upstroke = self.slope.scale(exponent.exp());
        let leak = self.g_l.scale(upstroke - away.clone());
        let mut current = self.current.shift(leak - w.clone());
        if let Some(u) = input {
            current = current + u.clone();
        }
        let dv = self.per_capacitance.scale(current);
        let dw = self.adaptation_rate.scale(self.adaptation.scale(away) - w);
        State::new(vec![dv, dw])
    }
}

/// −y is kept above this, where v is some seventy Δ_T above V_T and takes no time to the peak.
const SUMMIT: f64 = 1e-30;

/// What the functions of p = −y share.
#[derive(Clone)]
struct Depth {
    p: Tensor<2>,
    /// ln p
    ln: Tensor<2>,
    /// ln(1 + p)
    one: Tensor<2>,
    /// (1 − exp(−p))/p
    phi: Tensor<2>,
}

impl Depth {
    fn new(y: Tensor<2>) -> Self {
        let p = y.neg().clamp_min(SUMMIT);
        Self {
            ln: p.clone().log(),
            one: p.clone().log1p(),
            phi: phi1(p.clone().neg()),
            p,
        }
    }
}

impl AdexField {
    /// v and w.
    fn unfold(&self, depth: &Depth, z: Tensor<2>) -> [Tensor<2>; 2] {
        let Depth { p, ln, one, phi } = depth.clone();
        let x = (p.clone() + ln.clone() + phi.log()).neg();
        let bend = one.clone() + p * (one - ln);
        let v = self.threshold.shift(self.slope.scale(x));
        [v, z - self.shear.scale(bend)]
    }
}

/// With p = ln(1 + exp(−x)) and x = (v − V_T)/Δ_T the coordinates are y = −p and
/// z = w + κ((1 + p)ln(1 + p) − p ln p), κ = a Δ_T C/(τ_w g_L), whose last term takes from dz/dt the logarithm by which
/// a(v − E_L)/τ_w goes to infinity.
impl Resetting for AdexField {
    fn smooth(&self, v: Tensor<2>, w: Tensor<2>) -> [Tensor<2>; 2] {
        let x = self.per_slope.scale(self.threshold.negative().shift(v));
        let above = x.clone().greater_elem(0.0);
        let low = x.clone().mask_fill(above.clone(), 0.0);
        let high = x.mask_fill(above.clone().bool_not(), 0.0);
        let p = (low.clone().exp().log1p() - low).mask_where(above, high.neg().exp().log1p());
        let p = p.clamp_min(SUMMIT);
        let one = p.clone().log1p();
        let bend = one.clone() + p.clone() * (one - p.clone().log());
        [p.neg(), w + self.shear.scale(bend)]
    }

    fn rough(&self, [y, z]: [Tensor<2>; 2]) -> [Tensor<2>; 2] {
        self.unfold(&Depth::new(y), z)
    }

    fn upstroke(&self, [y, z]: [Tensor<2>; 2]) -> Upstroke {
        let depth = Depth::new(y);
        let [v, recovery] = self.unfold(&depth, z);
        Upstroke {
            v,
            recovery,
            slope: self.per_slope.scale(depth.phi * depth.p),
            shear: Some(self.shear.scale(depth.ln - depth.one)),
        }
    }

    fn reset(&self, v: Tensor<2>) -> Tensor<2> {
        self.reset.shift(v.zeros_like())
    }

    fn jump(&self, w: Tensor<2>) -> Tensor<2> {
        self.adaptation_jump.shift(w)
    }

    fn refractory(&self) -> f64 {
        self.refractory
    }

    fn hold(&self, w: Tensor<2>, time: Tensor<2>) -> Tensor<2> {
        let left = self.adaptation_rate.scale(time).neg().exp();
        let away = self.balance_at_reset.negative().shift(w);
        self.balance_at_reset.shift(away * left)
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
    use crate::unit::observed::testing::{course, spike_steps, spike_times};

    /// Spike times in ms of the default cell at 800 pA: DOP853 at 1e-11 with event location.
    const TIMES: [f64; 6] = [
        17.71952, 40.48517, 71.26696, 114.47754, 171.59464, 236.17395,
    ];

    /// Second order: the error is below 0.06 ms for a step of 1 ms, and falls with its square.
    #[test]
    fn spike_times_converge_to_those_of_an_event_driven_solution() {
        let place = f64_places().swap_remove(0).1;
        let cells = AdexConfig::default().init(Arc::new(Rk4), &place).unwrap();
        for steps_per_ms in [1, 2, 4, 8, 16, 32] {
            let dt = 1.0 / f64::from(steps_per_ms);
            let times = spike_times(&cells, 800.0, dt, 240 * steps_per_ms as usize);
            assert_eq!(times[0].len(), TIMES.len(), "dt {dt}");
            for (found, expected) in times[0].iter().zip(TIMES) {
                let off = (found - expected).abs();
                // The times have five digits.
                assert!(off < 0.06 * dt * dt + 1e-5, "dt {dt}: {found} {expected}");
            }
        }
    }

    /// The same scheme, RK4 with dt = 0.05 ms, in numpy.
    #[test]
    fn two_hundred_milliseconds_equal_another_implementation() {
        let expected = [
            17.71951392672988,
            40.48516034251341,
            71.26695565850234,
            114.47748889485706,
            171.59461048208962,
        ];
        for (_, place) in f64_places() {
            let cells = AdexConfig::default().init(Arc::new(Rk4), &place).unwrap();
            let times = spike_times(&cells, 800.0, 0.05, 4000);
            assert_eq!(times[0].len(), expected.len());
            for (found, expected) in times[0].iter().zip(expected) {
                assert_close(*found, expected, 1e-9);
            }
            let dynamics = cells.dynamics().unwrap();
            let last = |variable: usize| {
                let initial = cells.initial_state(1).unwrap();
                course(&dynamics, initial, 800.0, (0.05, 4000), variable)[3999][0]
            };
            assert_close(last(0), -52.87547677084851, 1e-8);
            assert_close(last(1), 240.2462311177373, 1e-8);
        }
    }

    #[test]
    fn each_cell_of_each_row_fires_at_its_own_time() {
        let place = f64_places().swap_remove(0).1;
        let currents = [650.0, 800.0, 1200.0, 5000.0];
        let config = AdexConfig {
            cells: currents.len(),
            current: currents.to_vec().into(),
            ..Default::default()
        };
        let many = spike_times(&config.init(Arc::new(Rk4), &place).unwrap(), 0.0, 0.2, 500);
        let one = AdexConfig::default().init(Arc::new(Rk4), &place).unwrap();
        for (times, current) in many.iter().zip(currents) {
            assert!(!times.is_empty());
            assert_eq!(times, &spike_times(&one, current, 0.2, 500)[0]);
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
            let times = spike_times(&cells, 0.0, 0.1, 140);
            let second = times[1][1];
            assert!((second - 12.71355).abs() < 1e-3, "{name}: {second}");
            assert!(!times[0].is_empty(), "{name}");
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
            initial: AdexInitial {
                v: (-70.0).into(),
                w: None,
            },
            peak: 0.0,
            ..Default::default()
        };
        let dt = 0.1;
        let cells = config.init(Arc::new(Rk4), &place).unwrap();
        let spikes = spike_times(&cells, 65.0, dt, 4000);
        let intervals: Vec<Vec<f64>> = spikes
            .iter()
            .map(|times| times.windows(2).map(|w| w[1] - w[0]).collect())
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
        assert_eq!(held, 20, "from the end of the step of the spike");
        // The period ends inside a step.
        let times = |dt: f64, steps: usize| spike_times(&cells, 1000.0, dt, steps).remove(0);
        let (coarse, fine) = (times(0.3, 400), times(0.01, 12_000));
        assert_eq!(coarse.len(), fine.len());
        for (coarse, fine) in coarse.iter().zip(&fine) {
            assert!((coarse - fine).abs() < 0.06 * 0.3 * 0.3, "{coarse} {fine}");
        }
    }

    #[test]
    fn gradients_pass_through_spike_times() {
        let place = f64_autodiff();
        let names = NAMES.map(String::from).into_iter();
        let more = ["adaptation_jump", "reset", "v", "w"].map(String::from);
        let config = AdexConfig {
            cells: 2,
            current: vec![900.0, 1300.0].into(),
            refractory: 1.03,
            initial: AdexInitial {
                v: (-65.0).into(),
                w: Some(3.0.into()),
            },
            trainable: names.chain(more).collect(),
            ..Default::default()
        };
        let cells = config.init(Arc::new(Rk4), &place).unwrap();
        let spikes = spike_times(&cells, 50.0, 0.2, 150);
        assert!(spikes.iter().all(|times| times.len() >= 2), "{spikes:?}");
        let input = model::Constant(place.full(50.0, [1, 1]));
        let loss = |seen: Tensor<3>| (seen * 0.05).cos().mean();
        assert_gradient(&cells, &input, (0.2, 150), loss, 1e-6, 1e-4);
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
            initial: AdexInitial {
                v: (-65.0).into(),
                w: Some(3.0.into()),
            },
            surrogate: NARROW,
            trainable: NAMES
                .map(String::from)
                .into_iter()
                .chain(["v".into(), "w".into()])
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
            let grid = Grid::over(45.0, 0.2).unwrap();
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
        assert!(refused(|c| c.initial.v = 20.0.into()).contains("unit.initial.v = 20"));
        assert!(refused(|c| c.refractory = -1.0).contains("refractory = -1"));
        assert!(refused(|c| c.peak = f64::NAN).contains("peak"));
        assert!(refused(|c| c.trainable = vec!["peak".into()]).contains("trainable = peak"));
    }
}
