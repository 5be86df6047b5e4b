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
    /// v at the beginning, mV; below the peak. u begins at b·v.
    pub initial_voltage: Values,
    /// Where v is cut and counts as a spike, mV.
    pub peak: f64,
    /// The parameters that training may change, by name: those below, `current` and `initial_voltage`.
    pub trainable: Vec<String>,
    /// Where training keeps a parameter, by name.
    pub bounds: BTreeMap<String, Bounds>,
    /// The parameters.
    pub parameters: IzhikevichParameters,
    /// The gradient of a spike.
    pub surrogate: Surrogate,
    /// What is recorded.
    pub observed: Observed,
}

impl Default for IzhikevichConfig {
    fn default() -> Self {
        Self {
            cells: 1,
            current: Values::One(0.0),
            initial_voltage: Values::One(-65.0),
            peak: 30.0,
            trainable: Vec::new(),
            bounds: BTreeMap::new(),
            parameters: IzhikevichParameters::default(),
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
        all.add(
            ("unit", "initial_voltage"),
            &self.initial_voltage,
            Range::Any,
        );
        all.keep("c", Bounds::Below(self.peak));
        all.keep("initial_voltage", Bounds::Below(self.peak));
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
        settings.below_peak(self.peak, &["c", "initial_voltage"])?;
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
            initial_voltage: make("initial_voltage")?,
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
/// Above the peak the field is that at the peak, so that a step which overshoots stays bounded. A spike lasts to the end
/// of its step: spike times are late by less than dt. No gradient passes from before a reset to v after it; the jump of
/// u and the spike have the surrogate's.
///
/// Input: current, mV/ms, `[batch or 1, cells or 1]`. State: `v`, `u`, `spike`.
#[derive(Module, Debug)]
pub struct Izhikevich {
    /// The parameters.
    pub parameters: IzhikevichConstants,
    /// The constant part of the current, mV/ms.
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
    surrogate: Surrogate,
    #[module(skip)]
    pub(super) observed: Observed,
    #[module(skip)]
    solver: Arc<dyn Solver>,
}

impl Izhikevich {
    /// The equations with the parameters' values taken.
    pub fn field(&self) -> IzhikevichField {
        let IzhikevichConstants { a, b, c, d } = &self.parameters;
        let c = c.quantity();
        IzhikevichField {
            variables: [
                Variable::new("v", "mV", self.cells),
                Variable::new("u", "mV/ms", self.cells),
                Variable::new("spike", "1", self.cells).of_kind(QuantityKind::Spikes),
            ],
            a: a.quantity(),
            b: b.quantity(),
            per_span: c.negative().plus(&Quantity::Number(self.peak)).reciprocal(),
            c,
            d: d.quantity(),
            current: self.current.quantity().plus(&Quantity::Number(140.0)),
            peak: self.peak,
            surrogate: self.surrogate,
            observed: self.observed,
        }
    }
}

impl Model for Izhikevich {
    type Dynamics = Stepped<IzhikevichField, Arc<dyn Solver>>;

    fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError> {
        Ok(Stepped {
            field: self.field(),
            solver: self.solver.clone(),
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let zeros = Place::of(&self.origin).full(0.0, [batch, self.cells]);
        let v = self.initial_voltage.quantity().shift(zeros.clone());
        let u = self.parameters.b.quantity().scale(v.clone());
        Ok(State::new(vec![v, u, zeros]))
    }
}

/// [`Izhikevich`] with its parameters' values.
#[derive(Clone, Debug)]
pub struct IzhikevichField {
    variables: [Variable; 3],
    a: Quantity,
    b: Quantity,
    c: Quantity,
    d: Quantity,
    per_span: Quantity,
    /// With the equation's constant.
    current: Quantity,
    peak: f64,
    surrogate: Surrogate,
    observed: Observed,
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
        let v = state[0].clone().clamp_max(self.peak);
        let u = state[1].clone();
        let rise = (v.clone() * 0.04 + 5.0) * v.clone();
        let mut dv = self.current.shift(rise - u.clone());
        if let Some(input) = input {
            dv = dv + input.clone();
        }
        let du = self.a.scale(self.b.scale(v) - u);
        State::new(vec![dv, du, state[2].zeros_like()])
    }

    fn settle(&self, _time: f64, before: &State, after: State) -> State {
        let Ok([v, u, _]) = <[Tensor<2>; 3]>::try_from(after.into_tensors()) else {
            return before.clone();
        };
        let over = v.clone() - self.peak;
        let fired = over.clone().greater_equal_elem(0.0);
        let spikes = fired.clone().float().cast(v.dtype());
        let spike = self.surrogate.attach(spikes, self.per_span.scale(over));
        State::new(vec![
            self.c.put(v, fired),
            u + self.d.scale(spike.clone()),
            spike,
        ])
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
    use crate::model;
    use crate::solver::Rk4;
    use crate::testing::{assert_close, f32_places, f64_autodiff, f64_places};
    use crate::unit::observed::testing::{course, spike_steps};

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
            let spikes = &spike_steps(&cells, 10.0, 0.02, 15_000)[0];
            let late = spikes.len().abs_diff(count);
            assert!(late <= 1, "{} spikes, not {count}", spikes.len());
            for (step, time) in spikes.iter().zip(times) {
                let found = *step as f64 * 0.02;
                assert!((found - time).abs() < 0.15, "{found} {time}");
            }
        }
    }

    /// The same scheme, RK4 with dt = 0.1 ms, in numpy: bursts of 7 and then of 5 spikes.
    #[test]
    fn two_hundred_milliseconds_equal_another_implementation() {
        let expected = [
            32, 46, 62, 79, 99, 123, 155, 623, 642, 664, 691, 742, 1222, 1241, 1263, 1290, 1341,
            1821, 1840, 1862, 1889, 1940,
        ];
        for (_, place) in f64_places() {
            let cells = IzhikevichConfig::chattering()
                .init(Arc::new(Rk4), &place)
                .unwrap();
            assert_eq!(spike_steps(&cells, 10.0, 0.1, 2000)[0], expected);
            let dynamics = cells.dynamics().unwrap();
            let last = |variable: usize| {
                let initial = cells.initial_state(1).unwrap();
                course(&dynamics, initial, 10.0, (0.1, 2000), variable)[1999][0]
            };
            assert_close(last(0), -73.71563828154532, 1e-9);
            assert_close(last(1), -0.32016356314162764, 1e-9);
        }
        for (name, place) in f32_places() {
            let cells = IzhikevichConfig::chattering()
                .init(Arc::new(Rk4), &place)
                .unwrap();
            let spikes = spike_steps(&cells, 10.0, 0.1, 100);
            assert_eq!(spikes[0], expected[..5], "{name}");
        }
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
            initial_voltage: (-60.0).into(),
            surrogate: NARROW,
            trainable: ["a", "b", "current", "initial_voltage"]
                .map(String::from)
                .to_vec(),
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
        assert!(refused(|c| c.initial_voltage = 31.0.into()).contains("initial_voltage = 31"));
        assert!(refused(|c| c.peak = f64::INFINITY).contains("peak"));
        assert!(refused(|c| c.cells = 0).contains("cells"));
    }
}
