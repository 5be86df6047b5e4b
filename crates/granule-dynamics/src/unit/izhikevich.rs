use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Observed, Surrogate};
use crate::model::{Field, Model};
use crate::parameter::{self, Bounds, Parameter, Setting, Values};
use crate::solver::{Rk4, Stepped};
use crate::{DynamicsError, Place, State, Variable};

/// Settings of [`Izhikevich`]. The defaults make a regularly spiking cell; a, b, c and d are dimensionless but for
/// c and d in mV.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IzhikevichConfig {
    /// The number of cells.
    pub cells: usize,
    /// The rate of recovery, per ms; above 0.
    pub a: Values,
    /// The sensitivity of the recovery to v.
    pub b: Values,
    /// v after a spike, mV; below `peak`.
    pub c: Values,
    /// The jump of u at a spike.
    pub d: Values,
    /// Constant current, mV/ms, added to the input.
    pub current: Values,
    /// v at the beginning, mV; below `peak`. u begins at b·v.
    pub initial: Values,
    /// Where v is cut and counts as a spike, mV.
    pub peak: f64,
    /// The parameters that training may move.
    pub trainable: Vec<String>,
    /// The gradient of a spike.
    pub surrogate: Surrogate,
    /// What is recorded.
    pub observed: Observed,
}

impl Default for IzhikevichConfig {
    fn default() -> Self {
        Self::kind(0.02, 0.2, -65.0, 8.0)
    }
}

/// The cells of Izhikevich (2003), figure 2.
impl IzhikevichConfig {
    fn kind(a: f64, b: f64, c: f64, d: f64) -> Self {
        Self {
            cells: 1,
            a: a.into(),
            b: b.into(),
            c: c.into(),
            d: d.into(),
            current: 0.0.into(),
            initial: (-65.0).into(),
            peak: 30.0,
            trainable: Vec::new(),
            surrogate: Surrogate::default(),
            observed: Observed::default(),
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

    fn settings(&self) -> [Setting<'_>; 6] {
        [
            Setting::new("a", &self.a, Bounds::Above(0.0)),
            Setting::new("b", &self.b, Bounds::Free),
            Setting::new("c", &self.c, Bounds::Below(self.peak)),
            Setting::new("d", &self.d, Bounds::Free),
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
        parameter::validate(self.cells, &self.settings(), &self.trainable)?;
        self.surrogate.validate()
    }

    /// Makes the cells.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<Izhikevich, DynamicsError> {
        self.validate()?;
        let make = |setting: Setting<'_>| setting.init(&self.trainable, place);
        let [a, b, c, d, current, initial] = self.settings();
        Ok(Izhikevich {
            a: make(a)?,
            b: make(b)?,
            c: make(c)?,
            d: make(d)?,
            current: make(current)?,
            initial: make(initial)?,
            cells: self.cells,
            peak: self.peak,
            surrogate: self.surrogate,
            observed: self.observed,
        })
    }
}

/// Izhikevich's cells (2003, doi:10.1109/TNN.2003.820440):
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
    /// Per ms.
    pub a: Parameter,
    /// Per ms.
    pub b: Parameter,
    /// mV.
    pub c: Parameter,
    /// mV/ms.
    pub d: Parameter,
    /// I, mV/ms.
    pub current: Parameter,
    /// v at the beginning, mV.
    pub initial: Parameter,
    #[module(skip)]
    cells: usize,
    #[module(skip)]
    peak: f64,
    #[module(skip)]
    surrogate: Surrogate,
    #[module(skip)]
    observed: Observed,
}

impl Izhikevich {
    /// The equations, for a solver of choice.
    pub fn field(&self) -> IzhikevichField {
        IzhikevichField {
            variables: [("v", "mV"), ("u", "mV/ms"), ("spike", "1")]
                .map(|(name, unit)| Variable::new(name, unit, self.cells)),
            a: self.a.value(),
            b: self.b.value(),
            c: self.c.value(),
            d: self.d.value(),
            current: self.current.value() + 140.0,
            peak: self.peak,
            surrogate: self.surrogate,
            observed: self.observed,
        }
    }
}

impl Model for Izhikevich {
    type Dynamics = Stepped<IzhikevichField, Rk4>;

    fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError> {
        Ok(Stepped {
            field: self.field(),
            solver: Rk4,
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let v = self.initial.value().expand([batch, self.cells]);
        let u = self.b.value() * v.clone();
        let spike = v.zeros_like();
        Ok(State::new(vec![v, u, spike]))
    }
}

/// [`Izhikevich`] with its parameters' values, each `[1, 1]` or `[1, cells]`.
#[derive(Clone, Debug)]
pub struct IzhikevichField {
    variables: [Variable; 3],
    a: Tensor<2>,
    b: Tensor<2>,
    c: Tensor<2>,
    d: Tensor<2>,
    /// With the equation's constant.
    current: Tensor<2>,
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

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let v = state[0].clone().clamp_max(self.peak);
        let u = state[1].clone();
        let current = match input {
            Some(input) => self.current.clone() + input.clone(),
            None => self.current.clone(),
        };
        let dv = (v.clone() * 0.04 + 5.0) * v.clone() - u.clone() + current;
        let du = self.a.clone() * (self.b.clone() * v - u);
        State::new(vec![dv, du, state[2].zeros_like()])
    }

    fn settle(&self, _time: f64, before: &State, after: State) -> State {
        let Ok([v, u, _]) = <[Tensor<2>; 3]>::try_from(after.into_tensors()) else {
            return before.clone();
        };
        let reset = self.c.clone().expand(v.dims());
        let over = v.clone() - self.peak;
        let fired = over.clone().greater_equal_elem(0.0);
        let spikes = fired.clone().float().cast(v.dtype());
        let spike = self
            .surrogate
            .attach(spikes, over / (-reset.clone() + self.peak));
        State::new(vec![
            v.mask_where(fired, reset),
            u + self.d.clone() * spike.clone(),
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
    use crate::model::{Constant, Dynamics};
    use crate::testing::{assert_close, f32_places, f64_autodiff, f64_places};
    use crate::unit::observed::testing::{course, spike_steps};

    /// The first spikes within 300 ms of I = 10, in ms, and their number: DOP853 at 1e-11 with event location.
    const CELLS: [(fn() -> IzhikevichConfig, [f64; 4], usize); 5] = [
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
            let cells = config().init(&place).unwrap();
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
            let cells = IzhikevichConfig::chattering().init(&place).unwrap();
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
            let cells = IzhikevichConfig::chattering().init(&place).unwrap();
            let spikes = spike_steps(&cells, 10.0, 0.1, 160);
            assert_eq!(spikes[0], expected[..7], "{name}");
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
            initial: (-60.0).into(),
            surrogate: NARROW,
            trainable: ["a", "b", "current", "initial"].map(String::from).to_vec(),
            ..Default::default()
        };
        let cells = config.init(&place).unwrap();
        let input = Constant(place.full(0.3, [1, 1]));
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
        assert!(refused(|c| c.a = (-0.02).into()).contains("a = -0.02"));
        assert!(refused(|c| c.c = 30.0.into()).contains("c = 30"));
        assert!(refused(|c| c.initial = 31.0.into()).contains("initial = 31"));
        assert!(refused(|c| c.peak = f64::INFINITY).contains("peak"));
        assert!(refused(|c| c.cells = 0).contains("cells"));
    }
}
