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
use crate::{Bounds, DynamicsError, Place, State, Values, Variable};

constants! {
    "Izhikevich's cells", IzhikevichParameters, IzhikevichConstants,
    /// Rate of the recovery.
    a: "1/ms", Positive, 0.02;
    /// Sensitivity of the recovery to v.
    b: "1/ms", Any, 0.2;
    /// v after a spike, below the peak.
    c: "mV", Any, -65.0;
    /// Jump of u at a spike.
    d: "mV/ms", Any, 8.0;
}

/// Settings of [`Izhikevich`]. The defaults make regularly spiking cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct IzhikevichConfig {
    /// How many cells.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub cells: usize,
    /// The constant part of the current, mV/ms; what comes as input is added.
    pub current: Values,
    /// Where v is cut and counts as a spike, mV.
    pub peak: f64,
    /// The parameters that training may change, by name: those below, `current`, and `v` and `u` at the beginning.
    pub trainable: Vec<String>,
    /// Where training keeps a parameter, by name.
    pub bounds: BTreeMap<String, Bounds>,
    /// The parameters.
    pub parameters: IzhikevichParameters,
    /// The state at the beginning.
    pub initial: IzhikevichInitial,
    /// The gradient of a spike.
    pub surrogate: Surrogate,
    /// What is recorded.
    pub observed: Observed,
}

/// The state of [`Izhikevich`] cells at the beginning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct IzhikevichInitial {
    /// The potential, mV; below the peak.
    pub v: Values,
    /// The recovery, mV/ms; without, b·v.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub u: Option<Values>,
}

impl Default for IzhikevichInitial {
    fn default() -> Self {
        Self {
            v: Values::One(-65.0),
            u: None,
        }
    }
}

impl Default for IzhikevichConfig {
    fn default() -> Self {
        Self {
            cells: 1,
            current: Values::One(0.0),
            peak: 30.0,
            trainable: Vec::new(),
            bounds: BTreeMap::new(),
            parameters: IzhikevichParameters::default(),
            initial: IzhikevichInitial::default(),
            surrogate: Surrogate::default(),
            observed: Observed::default(),
        }
    }
}

/// The cells of Izhikevich (2003), figure 2.
impl IzhikevichConfig {
    fn kind(a: f64, b: f64, c: f64, d: f64) -> Self {
        let [a, b, c, d] = [a, b, c, d].map(Values::One);
        Self {
            parameters: IzhikevichParameters { a, b, c, d },
            ..Self::default()
        }
    }

    /// RS: the most common excitatory cell of the cortex; the default.
    pub fn regular_spiking() -> Self {
        Self::default()
    }

    /// IB: a burst first, then single spikes.
    pub fn intrinsically_bursting() -> Self {
        Self::kind(0.02, 0.2, -55.0, 4.0)
    }

    /// CH: bursts of closely spaced spikes.
    pub fn chattering() -> Self {
        Self::kind(0.02, 0.2, -50.0, 2.0)
    }

    /// FS: an inhibitory cell without adaptation.
    pub fn fast_spiking() -> Self {
        Self::kind(0.1, 0.2, -65.0, 2.0)
    }

    /// LTS: an inhibitory cell with a low threshold and adaptation.
    pub fn low_threshold_spiking() -> Self {
        Self::kind(0.02, 0.25, -65.0, 2.0)
    }

    fn settings(&self) -> Settings<'_> {
        let mut all = Settings::of_cells(
            self.parameters.entries(),
            &self.current,
            &self.trainable,
            &self.bounds,
        );
        all.add(("unit.initial", "v"), &self.initial.v, Range::Any);
        if let Some(u) = &self.initial.u {
            all.add(("unit.initial", "u"), u, Range::Any);
        }
        all.keep("c", Bounds::Below(self.peak));
        all.keep("v", Bounds::Below(self.peak));
        all
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the first that is not allowed, as `unit.parameters.a`.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        crate::setting::check_count("unit.cells", self.cells)?;
        let settings = self.settings();
        settings.check(self.cells)?;
        settings.below_peak(self.peak, &["c", "v"])?;
        self.surrogate.validate()
    }

    /// Makes the population, to be moved by `solver`.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(
        &self,
        solver: Arc<dyn Solver>,
        place: &Place,
    ) -> Result<Izhikevich, DynamicsError> {
        self.validate()?;
        let settings = self.settings();
        let make = |name: &str| settings.init(name, self.cells, place);
        Ok(Izhikevich {
            parameters: IzhikevichConstants::build(make)?,
            current: make("current")?,
            v: make("v")?,
            u: settings.find("u", self.cells, place)?,
            origin: place.full(0.0, [1, 1]),
            cells: self.cells,
            peak: self.peak,
            surrogate: self.surrogate,
            observed: self.observed,
            solver,
        })
    }
}

/// A population of Izhikevich's cells (2003, doi:10.1109/TNN.2003.820440):
///
/// dv/dt = 0.04v² + 5v + 140 − u + I, du/dt = a(bv − u); where v reaches the peak: v ← c, u ← u + d.
///
/// The crossing of the peak is located inside the step and the cell starts anew from it, as [`Firing`] does: spike times
/// do not lie on the grid. The solver moves y = x − √(1 + x²), x = (v + 62.5)/25, in place of v, whose upstroke is slower by
/// far. Spike times have the **order of the solver**, up to the fourth: `rk4` is of fourth order.
///
/// Gradients pass through the time of a spike; the spike itself has the surrogate's, over y.
///
/// Input: current, mV/ms, `[batch or 1, cells or 1]`. State: `v`, `u`, `spike`, `since_spike`.
#[derive(Module, Debug)]
pub struct Izhikevich {
    /// The parameters.
    pub parameters: IzhikevichConstants,
    /// The constant part of the current, mV/ms.
    pub current: Constant,
    /// v at the beginning, mV.
    pub v: Constant,
    /// u at the beginning, mV/ms, if it is given.
    pub u: Option<Constant>,
    /// Where the module lives; it follows the module to other devices and off the tape.
    origin: Tensor<2>,
    #[module(skip)]
    cells: usize,
    #[module(skip)]
    peak: f64,
    #[module(skip)]
    surrogate: Surrogate,
    #[module(skip)]
    pub(super) observed: Observed,
    #[module(skip)]
    solver: Arc<dyn Solver>,
}

impl Izhikevich {
    /// The equations between two spikes, with the parameters' values taken.
    pub fn field(&self) -> IzhikevichField {
        let IzhikevichConstants { a, b, c, d } = &self.parameters;
        IzhikevichField {
            variables: [
                Variable::new("v", "mV", self.cells),
                Variable::new("u", "mV/ms", self.cells),
            ],
            a: a.quantity(),
            b: b.quantity(),
            c: c.quantity(),
            d: d.quantity(),
            current: self.current.quantity().plus(&Quantity::Number(140.0)),
            summit: SUMMIT.min(0.125 * distance(self.peak)),
        }
    }
}

impl Model for Izhikevich {
    type Dynamics = Firing<IzhikevichField, Arc<dyn Solver>>;

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
        let u = match &self.u {
            Some(u) => u.quantity().shift(zeros),
            None => self.parameters.b.quantity().scale(v.clone()),
        };
        Ok(Self::Dynamics::start(v, u))
    }
}

/// [`Izhikevich`] between two spikes, with its parameters' values. State: `v`, `u`.
#[derive(Clone, Debug)]
pub struct IzhikevichField {
    variables: [Variable; 2],
    a: Quantity,
    b: Quantity,
    c: Quantity,
    d: Quantity,
    /// With the equation's constant.
    current: Quantity,
    /// −y is kept above this.
    summit: f64,
}

impl Field for IzhikevichField {
    fn name(&self) -> &str {
        "izhikevich"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn check_input(&self, state: &State, input: Option<&Tensor<2>>) -> Result<(), DynamicsError> {
        input.map_or(Ok(()), |u| fits(u, &state[0], self.name()))
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let (v, u) = (state[0].clone(), state[1].clone());
        let rise = (v.clone() * 0.04 + 5.0) * v.clone();
        let mut dv = self.current.shift(rise - u.clone());
        if let Some(input) = input {
            dv = dv + input.clone();
        }
        let du = self.a.scale(self.b.scale(v) - u);
        State::new(vec![dv, du])
    }
}

/// Where the parabola of dv/dt has its vertex, mV.
const VERTEX: f64 = -62.5;

/// The distance from the vertex at which the coordinate bends, mV: between threshold and peak.
const BEND: f64 = 25.0;

/// −y where a step behind the peak is stopped, on the way to infinity at 0.
const SUMMIT: f64 = 0.02;

/// −y of a potential.
fn distance(v: f64) -> f64 {
    let x = (v - VERTEX) / BEND;
    let root = x.hypot(1.0);
    if x > 0.0 { 1.0 / (root + x) } else { root - x }
}

/// The coordinates are y = x − √(1 + x²) = −q with x = (v − vertex)/bend = (1/q − q)/2, and u.
impl Resetting for IzhikevichField {
    fn smooth(&self, v: Tensor<2>, u: Tensor<2>) -> [Tensor<2>; 2] {
        let x = (v - VERTEX) * (1.0 / BEND);
        let above = x.clone().greater_elem(0.0);
        let root = (x.clone() * x.clone()).add_scalar(1.0).sqrt();
        let low = x.clone().mask_fill(above.clone(), 0.0);
        let high = x.mask_fill(above.clone().bool_not(), 0.0);
        // Each without a difference of large numbers.
        let q = (root.clone() - low).mask_where(above, (root + high).recip());
        [q.neg(), u]
    }

    fn rough(&self, [y, u]: [Tensor<2>; 2]) -> [Tensor<2>; 2] {
        let q = y.neg().clamp_min(self.summit);
        [(q.clone().recip() - q) * (0.5 * BEND) + VERTEX, u]
    }

    fn upstroke(&self, [y, u]: [Tensor<2>; 2]) -> Upstroke {
        let q = y.clone().neg().clamp_min(self.summit);
        let square = q.clone() * q;
        let [v, recovery] = self.rough([y, u]);
        Upstroke {
            v,
            recovery,
            slope: square.clone() * (2.0 / BEND) / (square + 1.0),
            shear: None,
        }
    }

    fn reset(&self, v: Tensor<2>) -> Tensor<2> {
        self.c.shift(v.zeros_like())
    }

    fn jump(&self, u: Tensor<2>) -> Tensor<2> {
        self.d.shift(u)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NormalNoise;
    use crate::differences::assert_gradient;
    use crate::model;
    use crate::solver::{Rk4, SolverKind};
    use crate::testing::{assert_close, f32_places, f64_autodiff, f64_places};
    use crate::unit::observed::testing::{course, spike_times};

    type Reference = (fn() -> IzhikevichConfig, [f64; 4], usize);

    /// The first spikes within 300 ms of I = 10, in ms, and their number: DOP853 at 1e-11 with event location.
    const CELLS: [Reference; 5] = [
        (
            IzhikevichConfig::regular_spiking,
            [3.1271, 26.226, 71.0571, 115.8695],
            8,
        ),
        (
            IzhikevichConfig::intrinsically_bursting,
            [3.1271, 5.4154, 9.6501, 49.6292],
            12,
        ),
        (
            IzhikevichConfig::chattering,
            [3.1271, 4.5159, 6.0364, 7.7291],
            28,
        ),
        (
            IzhikevichConfig::fast_spiking,
            [3.1529, 7.4438, 13.3122, 20.3272],
            42,
        ),
        (
            IzhikevichConfig::low_threshold_spiking,
            [2.4682, 5.3371, 8.7983, 13.2276],
            26,
        ),
    ];

    #[test]
    fn each_kind_has_its_pattern() {
        let place = f64_places().swap_remove(0).1;
        for (config, times, count) in CELLS {
            let cells = config().init(Arc::new(Rk4), &place).unwrap();
            let spikes = &spike_times(&cells, 10.0, 0.1, 3000)[0];
            assert_eq!(spikes.len(), count);
            for (found, time) in spikes.iter().zip(times) {
                assert!((found - time).abs() < 1e-3, "{found} {time}");
            }
        }
    }

    /// Spike times of a chattering cell, by its own scheme with steps of 1 µs: each digit is that of 2 µs, too.
    const CHATTER: [f64; 7] = [
        3.127055303877,
        4.515874853560,
        6.036373140279,
        7.729125169691,
        9.663338998025,
        11.98043373888,
        15.11820525774,
    ];

    #[test]
    fn spike_times_have_the_order_of_the_solver() {
        let place = f64_places().swap_remove(0).1;
        let worst = |solver: SolverKind, steps_per_ms: usize| {
            let solver = Arc::from(solver.init(NormalNoise::default()));
            let cells = IzhikevichConfig::chattering().init(solver, &place).unwrap();
            let dt = 1.0 / steps_per_ms as f64;
            let times = spike_times(&cells, 10.0, dt, 20 * steps_per_ms).remove(0);
            assert_eq!(times.len(), CHATTER.len(), "dt {dt}");
            let off = times
                .iter()
                .zip(CHATTER)
                .map(|(t, known)| (t - known).abs());
            off.fold(0.0, f64::max)
        };
        for (solver, order, steps) in [
            (SolverKind::Euler, 1.0, 64),
            (SolverKind::Heun, 2.0, 16),
            (SolverKind::Midpoint, 2.0, 16),
            (SolverKind::Rk4, 4.0, 8),
            (SolverKind::Tsit5, 4.0, 4),
            (SolverKind::DormandPrince, 4.0, 4),
        ] {
            let (coarse, fine) = (worst(solver, steps), worst(solver, 4 * steps));
            let found = (coarse / fine).log2() / 2.0;
            assert!(
                found > order - 0.3,
                "{solver}: order {found}, {coarse} {fine}"
            );
        }
        assert!(worst(SolverKind::Rk4, 20) < 1e-5);
    }

    /// The same scheme, RK4 with dt = 0.1 ms, in numpy: bursts of 7 and then of 5 spikes.
    #[test]
    fn two_hundred_milliseconds_equal_another_implementation() {
        let expected = [
            3.1270551598887724,
            4.515873570202295,
            6.036369447342427,
            7.729116027756155,
            9.663318653016052,
            11.980390398913308,
            15.118094819837967,
            61.68969453077878,
        ];
        for (_, place) in f64_places() {
            let cells = IzhikevichConfig::chattering()
                .init(Arc::new(Rk4), &place)
                .unwrap();
            let times = spike_times(&cells, 10.0, 0.1, 2000).remove(0);
            assert_eq!(times.len(), 22);
            for (found, expected) in times.iter().zip(expected) {
                assert_close(*found, expected, 1e-10);
            }
            let dynamics = cells.dynamics().unwrap();
            let last = |variable: usize| {
                let initial = cells.initial_state(1).unwrap();
                course(&dynamics, initial, 10.0, (0.1, 2000), variable)[1999][0]
            };
            assert_close(last(0), -74.15644663494453, 1e-9);
            assert_close(last(1), -0.9788971070691904, 1e-9);
        }
        for (name, place) in f32_places() {
            let cells = IzhikevichConfig::chattering()
                .init(Arc::new(Rk4), &place)
                .unwrap();
            let times = spike_times(&cells, 10.0, 0.1, 100).remove(0);
            assert_eq!(times.len(), 5, "{name}");
            for (found, expected) in times.iter().zip(expected) {
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{name}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn a_cell_that_would_fire_again_in_a_step_fires_in_the_next() {
        let place = f64_places().swap_remove(0).1;
        let cells = IzhikevichConfig::fast_spiking()
            .init(Arc::new(Rk4), &place)
            .unwrap();
        // More often than every millisecond.
        let times = |dt: f64, steps: usize| spike_times(&cells, 400.0, dt, steps).remove(0);
        let (coarse, fine) = (times(1.0, 20), times(0.05, 400));
        assert!(fine.windows(2).any(|pair| pair[1] - pair[0] < 1.0));
        assert_eq!(coarse.len(), 20);
        assert!(
            coarse.windows(2).all(|pair| pair[1] > pair[0]),
            "{coarse:?}"
        );
    }

    #[test]
    fn gradients_pass_through_spike_times() {
        let place = f64_autodiff();
        let config = IzhikevichConfig {
            cells: 2,
            current: vec![12.0, 20.0].into(),
            trainable: ["a", "b", "c", "d", "current", "v"]
                .map(String::from)
                .to_vec(),
            ..IzhikevichConfig::chattering()
        };
        let cells = config.init(Arc::new(Rk4), &place).unwrap();
        let spikes = spike_times(&cells, 0.3, 0.2, 60);
        assert!(spikes.iter().all(|times| times.len() >= 3), "{spikes:?}");
        let input = model::Constant(place.full(0.3, [1, 1]));
        let loss = |seen: Tensor<3>| (seen * 0.05).cos().mean();
        assert_gradient(&cells, &input, (0.2, 60), loss, 1e-6, 1e-4);
    }

    /// No slope below the threshold, where there is none to be found by differences.
    const NARROW: Surrogate = Surrogate::Triangular {
        slope: 10.0,
        height: 1.0,
    };

    #[test]
    fn gradients_below_the_threshold_agree_with_differences() {
        let place = f64_autodiff();
        let config = IzhikevichConfig {
            cells: 2,
            current: vec![2.0, 3.0].into(),
            initial: IzhikevichInitial {
                v: (-60.0).into(),
                u: Some((-12.5).into()),
            },
            surrogate: NARROW,
            trainable: ["a", "b", "current", "v", "u"].map(String::from).to_vec(),
            ..Default::default()
        };
        let cells = config.init(Arc::new(Rk4), &place).unwrap();
        let input = model::Constant(place.full(0.3, [1, 1]));
        let loss = |seen: Tensor<3>| (seen * 0.1).cos().mean();
        assert_gradient(&cells, &input, (0.1, 100), loss, 1e-6, 1e-5);
    }

    #[test]
    fn settings_without_sense_are_refused() {
        let refused = |change: fn(&mut IzhikevichConfig)| {
            let mut config = IzhikevichConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(refused(|c| c.parameters.a = (-0.02).into()).contains("a = -0.02"));
        assert!(refused(|c| c.parameters.c = 30.0.into()).contains("c = 30"));
        assert!(refused(|c| c.initial.v = 31.0.into()).contains("unit.initial.v = 31"));
        assert!(refused(|c| c.peak = f64::INFINITY).contains("peak"));
        assert!(refused(|c| c.cells = 0).contains("cells"));
    }
}
