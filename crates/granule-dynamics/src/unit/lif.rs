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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differences::assert_gradient;
    use crate::gradient::{Memory, Run, gradient};
    use crate::host;
    use crate::model::{Constant, NoInput, Series};
    use crate::simulate::Grid;
    use crate::testing::{assert_close, f32_places, f64_autodiff, f64_places};
    use crate::unit::observed::testing::{course, spike_steps};

    /// Reference numbers, section 3.
    const RATES: [(f64, f64); 5] = [
        (10.0, 0.0),
        (11.0, 34.507803),
        (14.0, 57.052780),
        (17.0, 72.082296),
        (20.0, 83.811957),
    ];

    fn five() -> LifConfig {
        LifConfig {
            cells: RATES.len(),
            current: RATES.map(|(current, _)| current).to_vec().into(),
            ..Default::default()
        }
    }

    /// The rates in Hz from the last interval, with spike times to the precision of the numbers: a spike was at the end
    /// of its step less what has passed of the refractory period.
    fn rates(config: &LifConfig, place: &Place, dt: f64, steps: usize) -> Vec<f64> {
        let cells = config.init(place).unwrap();
        let refractory = config.refractory.as_slice()[0];
        let read = |variable: usize| {
            let initial = cells.initial_state(1).unwrap();
            course(
                &cells.dynamics().unwrap(),
                initial,
                0.0,
                (dt, steps),
                variable,
            )
        };
        let (spikes, waiting) = (read(1), read(2));
        let rate = |cell: usize| {
            let mut times = Vec::new();
            for (step, (spike, waiting)) in spikes.iter().zip(&waiting).enumerate() {
                if spike[cell] > 0.0 {
                    times.push((step + 1) as f64 * dt - (refractory - waiting[cell]));
                }
            }
            match times.as_slice() {
                [.., a, b] => 1000.0 / (b - a),
                _ => 0.0,
            }
        };
        (0..config.cells).map(rate).collect()
    }

    #[test]
    fn rates_are_those_of_the_formula_at_any_dt() {
        for (_, place) in f64_places() {
            for (dt, steps) in [(0.1, 800), (0.73, 150)] {
                for (found, (_, expected)) in
                    rates(&five(), &place, dt, steps).into_iter().zip(RATES)
                {
                    // The reference has eight digits.
                    assert_close(found, expected, 1e-8);
                }
            }
        }
        for (name, place) in f32_places() {
            for (found, (_, expected)) in rates(&five(), &place, 0.5, 180).into_iter().zip(RATES) {
                assert!(
                    (found - expected).abs() <= 1e-4 * expected,
                    "{name}: {found}"
                );
            }
        }
    }

    #[test]
    fn the_step_does_not_matter_while_the_input_is_constant() {
        let place = f64_places().swap_remove(0).1;
        let config = LifConfig {
            refractory: 0.37.into(),
            current: 23.0.into(),
            ..Default::default()
        };
        let cells = config.init(&place).unwrap();
        let last = |dt: f64, steps: usize, variable: usize| {
            let dynamics = cells.dynamics().unwrap();
            let initial = cells.initial_state(1).unwrap();
            course(&dynamics, initial, 0.0, (dt, steps), variable)
        };
        // τ ln(23/13) + 0.37 = 6.0755 ms a spike: 16 spikes in 100 ms.
        let count = |rows: Vec<Vec<f64>>| rows.iter().map(|row| row[0]).sum::<f64>();
        for (dt, steps) in [(0.01, 10_000), (0.5, 200), (4.0, 25)] {
            assert_eq!(count(last(dt, steps, 1)), 16.0);
            let phase: f64 = 100.0 - 16.0 * (10.0 * (23.0f64 / 13.0).ln() + 0.37);
            let expected = 23.0 * (1.0 - (-phase / 10.0).exp());
            assert_close(last(dt, steps, 0)[steps - 1][0], expected, 1e-9);
        }
    }

    #[test]
    fn a_cell_waits_at_the_reset_for_the_refractory_period() {
        let place = f64_places().swap_remove(0).1;
        let cells = LifConfig::default().init(&place).unwrap();
        let dynamics = cells.dynamics().unwrap();
        let v = course(
            &dynamics,
            cells.initial_state(1).unwrap(),
            100.0,
            (0.5, 20),
            0,
        );
        let spikes = spike_steps(&cells, 100.0, 0.5, 20);
        // τ ln(100/90) = 1.0536 ms, then 5 ms of nothing, and again.
        assert_eq!(spikes[0], [3, 15]);
        assert!(v[2..12].iter().all(|v| v[0] == 0.0));
        assert!(v[12][0] > 0.0);
    }

    #[test]
    fn gradients_pass_through_spike_times() {
        let place = f64_autodiff();
        let names = [
            "time_constant",
            "rest",
            "threshold",
            "refractory",
            "resistance",
            "current",
            "initial",
        ];
        let config = LifConfig {
            cells: 2,
            current: vec![14.0, 9.0].into(),
            refractory: 1.3.into(),
            rest: 0.5.into(),
            initial: 1.0.into(),
            trainable: names.map(String::from).to_vec(),
            ..Default::default()
        };
        let cells = config.init(&place).unwrap();
        assert!(spike_steps(&cells, 0.0, 0.5, 60)[0].len() >= 2);
        let loss = |seen: Tensor<3>| (seen * 0.3).cos().mean();
        assert_gradient(&cells, &NoInput, (0.5, 60), loss, 1e-6, 1e-6);
    }

    #[test]
    fn the_spike_has_the_surrogates_slope() {
        let place = f64_autodiff();
        let config = LifConfig {
            trainable: vec!["current".into()],
            observed: Observed::Spikes,
            surrogate: Surrogate::Arctan { slope: 2.0 },
            ..Default::default()
        };
        let cells = config.init(&place).unwrap();
        let grid = Grid::Uniform {
            start: 0.0,
            dt: 1.0,
            steps: 1,
        };
        for current in [0.0, 100.0, 150.0] {
            let input = Constant(place.full(current, [1, 1]));
            let run = Run {
                initial: None,
                batch: 1,
                input: &input,
                grid: &grid,
                every: 1,
                memory: &Memory::Full,
            };
            let mut result = gradient(&cells, &run, |seen| seen.sum()).unwrap();
            let reach = 1.0 - (-0.1f64).exp();
            let x = (current * reach - 10.0) / 10.0;
            assert_eq!(result.loss, f64::from(x >= 0.0));
            let slope = host(result.parameters.remove::<2>(cells.current.raw.id).unwrap()).unwrap();
            let expected = 1.0 / (1.0 + (std::f64::consts::PI * x).powi(2)) * reach / 10.0;
            assert_close(slope[0], expected, 1e-12);
        }
    }

    #[test]
    fn rows_and_cells_are_independent() {
        let place = f64_places().swap_remove(0).1;
        let cells = five().init(&place).unwrap();
        let dynamics = cells.dynamics().unwrap();
        let input = Series(place.tensor(vec![0.0, 3.0], [1, 2, 1]));
        let grid = Grid::Uniform {
            start: 0.0,
            dt: 0.5,
            steps: 100,
        };
        let start = cells.initial_state(2).unwrap();
        let (_, state) = crate::record(&dynamics, start, &input, &grid).unwrap();
        let v = host(state[0].clone()).unwrap();
        // 14 = 11 + 3, 17 = 14 + 3, 20 = 17 + 3.
        for cell in 1..4 {
            assert_close(v[5 + cell], v[cell + 1], 1e-12);
        }
        assert_ne!(v[1], v[2]);
    }

    #[test]
    fn settings_without_sense_are_refused() {
        let refused = |change: fn(&mut LifConfig)| {
            let mut config = LifConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(refused(|c| c.cells = 0).contains("cells"));
        assert!(refused(|c| c.time_constant = (-1.0).into()).contains("time_constant = -1"));
        assert!(refused(|c| c.threshold = 0.0.into()).contains("threshold = 0"));
        assert!(refused(|c| c.reset = 11.0.into()).contains("reset = 11"));
        assert!(refused(|c| c.refractory = (-0.1).into()).contains("refractory = -0.1"));
        assert!(refused(|c| c.resistance = 0.0.into()).contains("resistance"));
        assert!(refused(|c| c.current = f64::NAN.into()).contains("current"));
        assert!(refused(|c| c.initial = 12.0.into()).contains("initial = 12"));
        assert!(refused(|c| c.rest = vec![0.0, 1.0].into()).contains("rest = [2 values]"));
        assert!(refused(|c| c.trainable = vec!["tau".into()]).contains("trainable = tau"));
        let refractory = LifConfig {
            refractory: 0.0.into(),
            trainable: vec!["refractory".into()],
            ..Default::default()
        };
        let place = f64_places().swap_remove(0).1;
        let error = refractory.init(&place).unwrap_err().to_string();
        assert!(error.contains("refractory = 0"), "{error}");
        let unknown = serde_json::from_str::<LifConfig>(r#"{"treshold": 3.0}"#);
        assert!(unknown.unwrap_err().to_string().contains("treshold"));
        let some: LifConfig = serde_json::from_str(
            r#"{"cells": 2, "current": [1, 2], "surrogate": {"arctan": {"slope": 3}}}"#,
        )
        .unwrap();
        assert_eq!(some.current, vec![1.0, 2.0].into());
        some.validate().unwrap();
    }
}
