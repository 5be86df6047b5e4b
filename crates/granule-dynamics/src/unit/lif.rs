use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Observed, Surrogate};
use crate::model::{Clock, Dynamics, Model};
use crate::parameter::{self, Bounds, Parameter, Setting, Values};
use crate::{DynamicsError, Place, State, Variable};

/// Settings of [`Lif`]. The defaults are those of the reference numbers, section 3.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LifConfig {
    /// The number of cells.
    pub cells: usize,
    /// Membrane time constant τ, ms.
    pub time_constant: Values,
    /// Resting potential, mV.
    pub rest: Values,
    /// Threshold θ, mV; above `reset`.
    pub threshold: Values,
    /// Potential after a spike, mV. Not trainable: only its distance to the threshold matters.
    pub reset: Values,
    /// Absolute refractory period, ms; 0 or above.
    pub refractory: Values,
    /// Specific membrane resistance R, kΩ·cm², that is, mV per µA/cm².
    pub resistance: Values,
    /// Constant current, µA/cm², added to the input.
    pub current: Values,
    /// Potential at the beginning, mV; below `threshold`.
    pub initial: Values,
    /// The parameters that training may move.
    pub trainable: Vec<String>,
    /// The gradient of a spike.
    pub surrogate: Surrogate,
    /// What is recorded.
    pub observed: Observed,
}

impl Default for LifConfig {
    fn default() -> Self {
        Self {
            cells: 1,
            time_constant: 10.0.into(),
            rest: 0.0.into(),
            threshold: 10.0.into(),
            reset: 0.0.into(),
            refractory: 5.0.into(),
            resistance: 1.0.into(),
            current: 0.0.into(),
            initial: 0.0.into(),
            trainable: Vec::new(),
            surrogate: Surrogate::default(),
            observed: Observed::default(),
        }
    }
}

impl LifConfig {
    fn settings(&self) -> [Setting<'_>; 7] {
        let highest = |values: &Values| {
            let values = values.as_slice().iter().copied();
            values.fold(f64::NEG_INFINITY, f64::max)
        };
        // A threshold of a cell of its own may lie below another cell's reset; then only `ordered` guards it.
        let threshold = match (&self.threshold, &self.reset) {
            (Values::One(_), reset) => Bounds::Above(highest(reset)),
            (_, Values::One(reset)) => Bounds::Above(*reset),
            _ => Bounds::Free,
        };
        [
            Setting::new("time_constant", &self.time_constant, Bounds::Above(0.0)),
            Setting::new("rest", &self.rest, Bounds::Free),
            Setting::new("threshold", &self.threshold, threshold),
            Setting::new("refractory", &self.refractory, Bounds::AtLeast(0.0)),
            Setting::new("resistance", &self.resistance, Bounds::Above(0.0)),
            Setting::new("current", &self.current, Bounds::Free),
            Setting::new("initial", &self.initial, Bounds::Free),
        ]
    }

    fn reset(&self) -> Setting<'_> {
        Setting::new("reset", &self.reset, Bounds::Free)
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
        let settings = self.settings();
        let [_, _, threshold, _, _, _, initial] = settings;
        parameter::validate(self.cells, &[self.reset()], &[])?;
        let free = Setting::new("threshold", &self.threshold, Bounds::Free);
        parameter::validate(self.cells, &[free, initial], &[])?;
        parameter::ordered(threshold, self.reset())?;
        parameter::ordered(threshold, initial)?;
        parameter::validate(self.cells, &settings, &self.trainable)?;
        self.surrogate.validate()
    }

    /// Makes the cells.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<Lif, DynamicsError> {
        self.validate()?;
        let make = |setting: Setting<'_>| setting.init(&self.trainable, place);
        let [
            tau,
            rest,
            threshold,
            refractory,
            resistance,
            current,
            initial,
        ] = self.settings();
        Ok(Lif {
            time_constant: make(tau)?,
            rest: make(rest)?,
            threshold: make(threshold)?,
            reset: make(self.reset())?,
            refractory: make(refractory)?,
            resistance: make(resistance)?,
            current: make(current)?,
            initial: make(initial)?,
            cells: self.cells,
            surrogate: self.surrogate,
            observed: self.observed,
        })
    }
}

/// Leaky integrate-and-fire cells: τ dv/dt = rest − v + R·(I + u); at v = θ a spike, then `reset` for the refractory
/// period (Lapicque 1907).
///
/// The step is exact for an input u that is constant over it: the crossing of the threshold is found inside the step,
/// and what is left of the step goes to the refractory period and to the way up from the reset. Gradients pass through
/// the time of the crossing; the spike itself has the surrogate's. A cell spikes at most once a step.
///
/// Input: current, µA/cm², `[batch or 1, cells or 1]`. State: `v`, `spike`, `refractory` (what is left of the period).
#[derive(Module, Debug)]
pub struct Lif {
    /// τ, ms.
    pub time_constant: Parameter,
    /// mV.
    pub rest: Parameter,
    /// θ, mV.
    pub threshold: Parameter,
    /// mV.
    pub reset: Parameter,
    /// ms.
    pub refractory: Parameter,
    /// R, kΩ·cm².
    pub resistance: Parameter,
    /// I, µA/cm².
    pub current: Parameter,
    /// v at the beginning, mV.
    pub initial: Parameter,
    #[module(skip)]
    cells: usize,
    #[module(skip)]
    surrogate: Surrogate,
    #[module(skip)]
    observed: Observed,
}

impl Model for Lif {
    type Dynamics = LifDynamics;

    fn dynamics(&self) -> Result<LifDynamics, DynamicsError> {
        let resistance = self.resistance.value();
        let threshold = self.threshold.value();
        let reset = self.reset.value();
        Ok(LifDynamics {
            variables: [("v", "mV"), ("spike", "1"), ("refractory", "ms")]
                .map(|(name, unit)| Variable::new(name, unit, self.cells)),
            time_constant: self.time_constant.value(),
            drive: self.rest.value() + resistance.clone() * self.current.value(),
            resistance,
            span: threshold.clone() - reset.clone(),
            threshold,
            reset,
            refractory: self.refractory.value(),
            surrogate: self.surrogate,
            observed: self.observed,
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let v = self.initial.value().expand([batch, self.cells]);
        let zeros = v.zeros_like();
        Ok(State::new(vec![v, zeros.clone(), zeros]))
    }
}

/// [`Lif`] with its parameters' values, each `[1, 1]` or `[1, cells]`.
#[derive(Clone, Debug)]
pub struct LifDynamics {
    variables: [Variable; 3],
    time_constant: Tensor<2>,
    drive: Tensor<2>,
    resistance: Tensor<2>,
    threshold: Tensor<2>,
    reset: Tensor<2>,
    span: Tensor<2>,
    refractory: Tensor<2>,
    surrogate: Surrogate,
    observed: Observed,
}

impl Dynamics for LifDynamics {
    fn name(&self) -> &str {
        "lif"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn step(
        &self,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError> {
        let (v, waiting) = (state[0].clone(), state[2].clone());
        let end = match input {
            Some(u) => self.drive.clone() + self.resistance.clone() * u.clone(),
            None => self.drive.clone(),
        };
        let decay = |time: Tensor<2>| (-time / self.time_constant.clone()).exp();
        let left = waiting - at.dt;
        let active = (-left.clone()).clamp(0.0, at.dt);
        let gap = (end.clone() - v) * decay(active);
        let free = end.clone() - gap.clone();
        let over = free.clone() - self.threshold.clone();
        let fired = over.clone().greater_equal_elem(0.0);
        let quiet = fired.clone().bool_not();

        // The time since the crossing: v − end decays from θ − end to −gap.
        let beyond = over.clone().mask_fill(quiet.clone(), 0.0);
        let gap = gap
            .mask_fill(quiet, 1.0)
            .clamp_min(f64::from(f32::MIN_POSITIVE));
        let since = self.time_constant.clone() * (beyond / gap).log1p();
        let ahead = self.refractory.clone() - since;
        let rising = (-ahead.clone()).clamp_min(0.0);
        let risen = end.clone() + (self.reset.clone() - end) * decay(rising);

        let spikes = fired.clone().float().cast(over.dtype());
        Ok(State::new(vec![
            free.mask_where(fired.clone(), risen),
            self.surrogate.attach(spikes, over / self.span.clone()),
            left.mask_where(fired, ahead).clamp_min(0.0),
        ]))
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        match self.observed {
            Observed::Voltage => state[0].clone(),
            Observed::Spikes => state[1].clone(),
        }
    }
}
