use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::constants::constants;
use super::input::fits;
use super::setting::{Constant, Quantity, Settings};
use super::{Observed, Surrogate};
use crate::model::{Clock, Dynamics, Model};
use crate::setting::Range;
use crate::{Bounds, DynamicsError, Place, QuantityKind, State, Values, Variable};

constants! {
    "leaky integrate-and-fire cells", LifParameters, LifConstants,
    /// Membrane time constant τ.
    time_constant: "ms", Positive, 10.0;
    /// Resting potential.
    rest: "mV", Any, 0.0;
    /// Threshold θ, above `reset`.
    threshold: "mV", Any, 10.0;
    /// Potential after a spike.
    reset: "mV", Any, 0.0;
    /// Absolute refractory period.
    refractory: "ms", NonNegative, 5.0;
    /// Specific membrane resistance R: mV per µA/cm².
    resistance: "kΩ·cm²", Positive, 1.0;
}

/// Settings of [`Lif`]. The defaults are those of the reference numbers, section 3.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LifConfig {
    /// How many cells.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub cells: usize,
    /// The constant part of the current, µA/cm²; what comes as input is added.
    pub current: Values,
    /// The potential at the beginning, mV; below the threshold.
    pub initial_voltage: Values,
    /// The parameters that training may change, by name: those below, `current` and `initial_voltage`. The reset stays
    /// below the threshold while only one of the two is trained.
    pub trainable: Vec<String>,
    /// Where training keeps a parameter, by name.
    pub bounds: BTreeMap<String, Bounds>,
    /// The parameters.
    pub parameters: LifParameters,
    /// The gradient of a spike.
    pub surrogate: Surrogate,
    /// What is recorded.
    pub observed: Observed,
}

impl Default for LifConfig {
    fn default() -> Self {
        Self {
            cells: 1,
            current: Values::One(0.0),
            initial_voltage: Values::One(0.0),
            trainable: Vec::new(),
            bounds: BTreeMap::new(),
            parameters: LifParameters::default(),
            surrogate: Surrogate::default(),
            observed: Observed::default(),
        }
    }
}

impl LifConfig {
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
        // Where lists of both cross, one number cannot keep them apart.
        let (lowest, highest) = (
            lowest(&self.parameters.threshold),
            highest(&self.parameters.reset),
        );
        if lowest > highest {
            all.keep("threshold", Bounds::Above(highest));
            all.keep("reset", Bounds::Below(lowest));
        }
        all
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the first that is not allowed, as `unit.parameters.time_constant`.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        crate::setting::check_count("unit.cells", self.cells)?;
        let settings = self.settings();
        settings.check(self.cells)?;
        settings.ordered("threshold", "reset")?;
        settings.ordered("threshold", "initial_voltage")?;
        self.surrogate.validate()
    }

    /// Makes the population. It needs no solver: its step is exact.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<Lif, DynamicsError> {
        self.validate()?;
        let settings = self.settings();
        let make = |name: &str| settings.init(name, self.cells, place);
        Ok(Lif {
            parameters: LifConstants::build(make)?,
            current: make("current")?,
            initial_voltage: make("initial_voltage")?,
            origin: place.full(0.0, [1, 1]),
            cells: self.cells,
            surrogate: self.surrogate,
            observed: self.observed,
        })
    }
}

fn lowest(values: &Values) -> f64 {
    let values = values.as_slice().iter().copied();
    values.fold(f64::INFINITY, f64::min)
}

fn highest(values: &Values) -> f64 {
    let values = values.as_slice().iter().copied();
    values.fold(f64::NEG_INFINITY, f64::max)
}

/// A population of leaky integrate-and-fire cells: τ dv/dt = rest − v + R·(I + u); at v = θ a spike, then `reset` for
/// the refractory period (Lapicque 1907).
///
/// The step is exact for an input u that is constant over it: the crossing of the threshold is found inside the step,
/// and what is left of the step goes to the refractory period and to the way up from the reset. Gradients pass through
/// the time of the crossing; the spike itself has the surrogate's. A cell spikes at most once a step.
///
/// Input: current, µA/cm², `[batch or 1, cells or 1]`. State: `v`, `spike`, `refractory` (what is left of the period).
#[derive(Module, Debug)]
pub struct Lif {
    /// The parameters.
    pub parameters: LifConstants,
    /// The constant part of the current, µA/cm².
    pub current: Constant,
    /// v at the beginning, mV.
    pub initial_voltage: Constant,
    /// Where the module lives; it follows the module to other devices and off the tape.
    origin: Tensor<2>,
    #[module(skip)]
    cells: usize,
    #[module(skip)]
    surrogate: Surrogate,
    #[module(skip)]
    pub(super) observed: Observed,
}

impl Model for Lif {
    type Dynamics = LifDynamics;

    fn dynamics(&self) -> Result<LifDynamics, DynamicsError> {
        let LifConstants {
            time_constant,
            rest,
            threshold,
            reset,
            refractory,
            resistance,
        } = &self.parameters;
        let time_constant = time_constant.quantity();
        let minus_threshold = threshold.quantity().negative();
        let (reset, resistance) = (reset.quantity(), resistance.quantity());
        Ok(LifDynamics {
            variables: [
                Variable::new("v", "mV", self.cells),
                Variable::new("spike", "1", self.cells).of_kind(QuantityKind::Spikes),
                Variable::new("refractory", "ms", self.cells),
            ],
            minus_rate: time_constant.reciprocal().negative(),
            time_constant,
            drive: resistance
                .times(&self.current.quantity())
                .plus(&rest.quantity()),
            resistance,
            per_span: minus_threshold.plus(&reset).negative().reciprocal(),
            minus_threshold,
            reset,
            refractory: refractory.quantity(),
            surrogate: self.surrogate,
            observed: self.observed,
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let zeros = Place::of(&self.origin).full(0.0, [batch, self.cells]);
        let v = self.initial_voltage.quantity().shift(zeros.clone());
        Ok(State::new(vec![v, zeros.clone(), zeros]))
    }
}

/// [`Lif`] with its parameters' values.
#[derive(Clone, Debug)]
pub struct LifDynamics {
    variables: [Variable; 3],
    time_constant: Quantity,
    minus_rate: Quantity,
    /// rest + R·I
    drive: Quantity,
    resistance: Quantity,
    minus_threshold: Quantity,
    reset: Quantity,
    per_span: Quantity,
    refractory: Quantity,
    surrogate: Surrogate,
    observed: Observed,
}

impl LifDynamics {
    fn decay(&self, time: Tensor<2>) -> Tensor<2> {
        self.minus_rate.scale(time).exp()
    }
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
        let end = self.drive.shift(match input {
            Some(u) => {
                fits(u, &v, self.name())?;
                self.resistance.scale(u.clone())
            }
            None => v.zeros_like(),
        });
        let left = waiting - at.dt;
        let active = (-left.clone()).clamp(0.0, at.dt);
        let gap = (end.clone() - v) * self.decay(active);
        let free = end.clone() - gap.clone();
        let over = self.minus_threshold.shift(free.clone());
        let fired = over.clone().greater_equal_elem(0.0);
        let quiet = fired.clone().bool_not();

        // The time since the crossing: end − v decays from end − θ to the gap.
        let beyond = over.clone().mask_fill(quiet.clone(), 0.0);
        let gap = gap
            .mask_fill(quiet, 1.0)
            .clamp_min(f64::from(f32::MIN_POSITIVE));
        let since = self.time_constant.scale((beyond / gap).log1p());
        let ahead = self.refractory.minus(since);
        let rising = (-ahead.clone()).clamp_min(0.0);
        let risen = end.clone() + self.reset.minus(end) * self.decay(rising);

        let spikes = fired.clone().float().cast(over.dtype());
        Ok(State::new(vec![
            free.mask_where(fired.clone(), risen),
            self.surrogate.attach(spikes, self.per_span.scale(over)),
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
    use crate::model::{self, NoInput, Series};
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
        let refractory = config.parameters.refractory.as_slice()[0];
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
            current: 23.0.into(),
            parameters: LifParameters {
                refractory: 0.37.into(),
                ..Default::default()
            },
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
            "initial_voltage",
        ];
        let config = LifConfig {
            cells: 2,
            current: vec![14.0, 9.0].into(),
            initial_voltage: 1.0.into(),
            parameters: LifParameters {
                refractory: 1.3.into(),
                rest: 0.5.into(),
                ..Default::default()
            },
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
            let input = model::Constant(place.full(current, [1, 1]));
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
            let slope = host(
                result
                    .parameters
                    .remove::<2>(cells.current.parameter().unwrap().raw.id)
                    .unwrap(),
            )
            .unwrap();
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
        assert!(
            refused(|c| c.parameters.time_constant = (-1.0).into()).contains("time_constant = -1")
        );
        assert!(refused(|c| c.parameters.threshold = 0.0.into()).contains("threshold = 0"));
        assert!(refused(|c| c.parameters.reset = 11.0.into()).contains("threshold = 10"));
        assert!(refused(|c| c.parameters.refractory = (-0.1).into()).contains("refractory = -0.1"));
        assert!(refused(|c| c.parameters.resistance = 0.0.into()).contains("resistance"));
        assert!(refused(|c| c.current = f64::NAN.into()).contains("current"));
        assert!(refused(|c| c.initial_voltage = 12.0.into()).contains("initial_voltage = 12"));
        assert!(
            refused(|c| c.parameters.rest = vec![0.0, 1.0].into()).contains("rest = [2 values]")
        );
        assert!(refused(|c| c.trainable = vec!["tau".into()]).contains("trainable = tau"));
        let refractory = LifConfig {
            parameters: LifParameters {
                refractory: 0.0.into(),
                ..Default::default()
            },
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
