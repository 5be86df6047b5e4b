use std::collections::BTreeMap;
use std::f64::consts::{FRAC_1_PI, FRAC_PI_2, PI};

use burn::module::Module;
use burn::tensor::{Bool, Tensor};
use serde::{Deserialize, Serialize};

use super::constants::constants;
use super::firing::{NEVER, interval_variable, spike_variables};
use super::input::fits;
use super::setting::{Constant, Quantity, Settings};
use super::{Observed, Surrogate};
use crate::model::{Clock, Dynamics, Model};
use crate::setting::Range;
use crate::{Bounds, DynamicsError, Place, QuantityKind, State, Values, Variable};

constants! {
    "quadratic integrate-and-fire cells", QifParameters, QifConstants,
    /// Membrane time constant τ.
    time_constant: "ms", Positive, 10.0;
}

/// Settings of [`Qif`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct QifConfig {
    /// How many cells.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub cells: usize,
    /// The constant part of the drive, η, dimensionless; what comes as input is added. A cell above 0 fires.
    pub current: Values,
    /// The parameters that training may change, by name: those below, `current`, and `v` at the beginning.
    pub trainable: Vec<String>,
    /// Where training keeps a parameter, by name.
    pub bounds: BTreeMap<String, Bounds>,
    /// The parameters.
    pub parameters: QifParameters,
    /// The state at the beginning.
    pub initial: QifInitial,
    /// The gradient of a spike.
    pub surrogate: Surrogate,
    /// What is recorded.
    pub observed: Observed,
}

/// The state of [`Qif`] cells at the beginning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct QifInitial {
    /// The potential, dimensionless.
    pub v: Values,
}

impl Default for QifInitial {
    fn default() -> Self {
        Self {
            v: Values::One(-1.0),
        }
    }
}

impl Default for QifConfig {
    fn default() -> Self {
        Self {
            cells: 1,
            current: Values::One(0.0),
            trainable: Vec::new(),
            bounds: BTreeMap::new(),
            parameters: QifParameters::default(),
            initial: QifInitial::default(),
            surrogate: Surrogate::default(),
            observed: Observed::default(),
        }
    }
}

impl QifConfig {
    fn settings(&self) -> Settings<'_> {
        let mut all = Settings::of_cells(
            self.parameters.entries(),
            &self.current,
            &self.trainable,
            &self.bounds,
        );
        all.add(("unit.initial", "v"), &self.initial.v, Range::Any);
        all
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the first that is not allowed, as `unit.parameters.time_constant`.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        crate::setting::check_count("unit.cells", self.cells)?;
        self.settings().check(self.cells)?;
        self.surrogate.validate()
    }

    /// Makes the population. It needs no solver: its step is exact.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<Qif, DynamicsError> {
        self.validate()?;
        let settings = self.settings();
        let make = |name: &str| settings.init(name, self.cells, place);
        Ok(Qif {
            parameters: QifConstants::build(make)?,
            current: make("current")?,
            v: make("v")?,
            origin: place.full(0.0, [1, 1]),
            cells: self.cells,
            surrogate: self.surrogate,
            observed: self.observed,
        })
    }
}

/// A population of quadratic integrate-and-fire cells, the normal form of class I excitability: τ dv/dt = v² + η + u, with a spike and a
/// reset to −∞ where v reaches +∞ (Ermentrout & Kopell 1986; Montbrió, Pazó & Roxin 2015).
///
/// The equation is of Riccati's kind, whose flow over a time t, in units of τ, is a Möbius map,
/// v ↦ (v·cos st + s·sin st)/(cos st − v·sin(st)/s) with s = √(η + u), or its hyperbolic twin where η + u < 0. The map
/// passes through infinity, so that the step and the spike times in it are exact for an input that is constant over it, at
/// any dt and without a finite peak: a spike is a change of sign of the denominator. Where the input changes during a step,
/// they are of second order for its mean. The gradient of v is exact too; the spike itself has the surrogate's.
///
/// Input: drive, dimensionless, `[batch or 1, cells or 1]`. State: `v`, `spike` (the number of spikes in the step),
/// `since_spike` (since the last one), `spike_interval` (between those of a step with several).
#[derive(Module, Debug)]
pub struct Qif {
    /// The parameters.
    pub parameters: QifConstants,
    /// η.
    pub current: Constant,
    /// v at the beginning.
    pub v: Constant,
    /// Where the module lives; it follows the module to other devices and off the tape.
    origin: Tensor<2>,
    #[module(skip)]
    cells: usize,
    #[module(skip)]
    surrogate: Surrogate,
    #[module(skip)]
    pub(super) observed: Observed,
}

impl Model for Qif {
    type Dynamics = QifDynamics;

    fn dynamics(&self) -> Result<QifDynamics, DynamicsError> {
        let [spike, since] = spike_variables(self.cells);
        Ok(QifDynamics {
            variables: [
                Variable::new("v", "1", self.cells).of_kind(QuantityKind::Potential),
                spike,
                since,
                interval_variable(self.cells),
            ],
            rate: self.parameters.time_constant.quantity().reciprocal(),
            drive: self.current.quantity(),
            surrogate: self.surrogate,
            observed: self.observed,
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let zeros = Place::of(&self.origin).full(0.0, [batch, self.cells]);
        let v = self.v.quantity().shift(zeros.clone());
        let never = zeros.clone().add_scalar(NEVER);
        Ok(State::new(vec![v, zeros.clone(), never, zeros]))
    }
}

/// [`Qif`] with its parameters' values.
#[derive(Clone, Debug)]
pub struct QifDynamics {
    variables: [Variable; 4],
    rate: Quantity,
    drive: Quantity,
    surrogate: Surrogate,
    observed: Observed,
}

/// Below this size of (η + u)·t² the series of cos and sin, three terms long, are exact in double precision.
const SMALL: f64 = 1e-4;

/// A denominator closer to zero is moved away from it: a shift of the spike by this part of a step.
const TINY: f64 = 1e-9;

/// The coefficients of the Möbius map.
struct Flow {
    /// cos st, or 1.
    cos: Tensor<2>,
    /// sin(st)/s, or tanh(st)/s.
    sin: Tensor<2>,
    /// s·t where η + u > 0, else 0.
    angle: Tensor<2>,
    /// s, or 1 where η + u ≤ 0 or close to it.
    root: Tensor<2>,
    /// √|η + u|, or 1 where that is close to 0.
    size: Tensor<2>,
    /// Where the series serve.
    small: Tensor<2, Bool>,
    /// Where η + u is above 0 and not close to it.
    oscillates: Tensor<2, Bool>,
}

impl Flow {
    fn new(drive: &Tensor<2>, time: &Quantity) -> Self {
        let scaled = time.times(time).scale(drive.clone());
        let small = scaled.clone().abs().lower_elem(SMALL);
        let oscillates = scaled.clone().greater_equal_elem(SMALL);
        let rests = oscillates.clone().bool_not();

        // What is not used stays away from the singularities of its derivative.
        let root = drive.clone().abs().mask_fill(small.clone(), 1.0).sqrt();
        let angle = time.scale(root.clone());
        let cos = angle.clone().cos().mask_fill(rests.clone(), 1.0);
        let hyperbolic = angle.clone().tanh();
        let sin = hyperbolic.mask_where(oscillates.clone(), angle.clone().sin()) / root.clone();

        let x = scaled.mask_fill(small.clone().bool_not(), 0.0);
        let series = |a: f64, b: f64| (x.clone() * b + a) * x.clone() + 1.0;
        let near_cos = series(-1.0 / 2.0, 1.0 / 24.0);
        let near_sin = time.scale(series(-1.0 / 6.0, 1.0 / 120.0));
        Self {
            cos: cos.mask_where(small.clone(), near_cos),
            sin: sin.mask_where(small.clone(), near_sin),
            size: root.clone(),
            small,
            oscillates,
            angle: angle.mask_fill(rests.clone(), 0.0),
            root: root.mask_fill(rests, 1.0),
        }
    }

    /// The time, in units of τ, since v was at −∞, for cells that have come from there to `v` under a `drive`.
    fn since_spike(&self, v: Tensor<2>, drive: Tensor<2>) -> Tensor<2> {
        let size = self.size.clone().detach();
        let scaled = v.clone() / size.clone();
        // cot, coth, and the series of both, of which v is the negative.
        let turning = scaled.atan().add_scalar(FRAC_PI_2) / size.clone();
        let apart = (v.clone().neg() - size.clone()).clamp_min(f64::from(f32::MIN_POSITIVE));
        let creeping = (size.clone() * 2.0 / apart).log1p() * 0.5 / size;
        let per = v.neg().clamp_min(TINY).recip();
        let x = drive * per.clone() * per.clone();
        let near = ((x.clone() * (1.0 / 5.0) - 1.0 / 3.0) * x + 1.0) * per;
        let far = creeping.mask_where(self.oscillates.clone(), turning);
        far.mask_where(self.small.clone(), near)
    }
}

impl Dynamics for QifDynamics {
    fn name(&self) -> &str {
        "qif"
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
        let v = state[0].clone();
        let drive = self.drive.shift(match input {
            Some(u) => {
                fits(u, &v, self.name())?;
                u.clone()
            }
            None => v.zeros_like(),
        });
        let flow = Flow::new(&drive, &self.rate.times(&Quantity::Number(at.dt)));
        let below = flow.cos.clone() - v.clone() * flow.sin.clone();
        let singular = below.clone().abs().lower_elem(TINY);
        let below = below.mask_fill(singular, -TINY);
        let above = v.clone() * flow.cos.clone() + drive.clone() * flow.sin.clone();

        // The sign of the denominator tells whether the number of spikes is odd, the phase how many pairs there are.
        let odd = below
            .clone()
            .detach()
            .lower_elem(0.0)
            .float()
            .cast(v.dtype());
        let root = flow.root.clone().detach();
        let phase = flow.angle.clone().detach() + (v.detach() / root.clone()).atan();
        let pairs = (phase * FRAC_1_PI - odd.clone()) * 0.5;
        let spikes = odd + pairs.round().clamp_min(0.0) * 2.0;

        let v = above / below.clone();
        let time_constant = self.rate.reciprocal().without_tape();
        let since = flow.since_spike(v.clone().detach(), drive.detach());
        let since = time_constant.scale(since).clamp(0.0, at.dt);
        let quiet = spikes.clone().lower_elem(0.5);
        let later = state[2].clone().add_scalar(at.dt).clamp_max(NEVER);
        let single = spikes.clone().lower_elem(1.5);
        let interval = time_constant.scale(root.recip() * PI);
        Ok(State::new(vec![
            v,
            self.surrogate.attach(spikes, -below),
            since.mask_where(quiet, later),
            interval.mask_fill(single, 0.0),
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
    use crate::model::NoInput;
    use crate::testing::{assert_close, f32_places, f64_autodiff, f64_places};
    use crate::unit::observed::testing::{course, spike_times};

    fn run(config: &QifConfig, place: &Place, dt: f64, steps: usize) -> (Vec<f64>, Vec<f64>) {
        let cells = config.init(place).unwrap();
        let read = |variable: usize| {
            let dynamics = cells.dynamics().unwrap();
            let initial = cells.initial_state(1).unwrap();
            course(&dynamics, initial, 0.0, (dt, steps), variable)
        };
        let v = read(0).pop().unwrap();
        let mut counts = vec![0.0; config.cells];
        for row in read(1) {
            counts.iter_mut().zip(row).for_each(|(sum, n)| *sum += n);
        }
        (v, counts)
    }

    /// (v₀, η, t, v(t), spikes) for τ = 10 ms: DOP853 at 1e-12 in the angle θ = 2 arctan v,
    /// τ dθ/dt = 1 − cos θ + (1 + cos θ)η.
    const SOLUTIONS: [(f64, f64, f64, f64, f64); 9] = [
        (-1.0, 4.0, 7.0, 2.71760077927962, 0.0),
        (-1.0, 4.0, 40.0, 6.083458577295651, 2.0),
        (3.0, -1.0, 2.0, 6.871299493369539, 0.0),
        (3.0, -1.0, 5.0, -6.568844764707904, 1.0),
        (0.5, -1.0, 5.0, 0.04926622716270591, 0.0),
        (2.0, 0.0, 4.0, 10.0, 0.0),
        (2.0, 0.0, 6.0, -10.0, 1.0),
        (-2.0, 1e-6, 10.0, -0.6666661851851363, 0.0),
        (0.3, 2500.0, 1.3, 11.328832919450388, 2.0),
    ];

    #[test]
    fn steps_of_any_length_follow_the_exact_solution() {
        for (_, place) in f64_places() {
            for (v0, drive, t, v, spikes) in SOLUTIONS {
                let config = QifConfig {
                    current: drive.into(),
                    initial: QifInitial { v: v0.into() },
                    ..Default::default()
                };
                for steps in [1, 7, 50] {
                    let (found, counts) = run(&config, &place, t / steps as f64, steps);
                    assert_close(found[0], v, 1e-9);
                    assert_eq!(counts[0], spikes, "v₀ {v0}, η {drive}, {steps} steps");
                }
            }
        }
        for (name, place) in f32_places() {
            let config = QifConfig {
                cells: SOLUTIONS.len(),
                current: SOLUTIONS.map(|s| s.1).to_vec().into(),
                initial: QifInitial {
                    v: SOLUTIONS.map(|s| s.0).to_vec().into(),
                },
                ..Default::default()
            };
            let (v, _) = run(&config, &place, 0.5, 10);
            for cell in [3, 4] {
                let expected = SOLUTIONS[cell].3;
                assert!(
                    (v[cell] - expected).abs() < 1e-3,
                    "{name}: {} {expected}",
                    v[cell]
                );
            }
        }
    }

    /// Reference numbers, section 3: f = √I/π per τ.
    #[test]
    fn rates_are_those_of_the_formula() {
        let drives = [0.01, 0.3, 1.0, 20.0, 1000.0];
        let config = QifConfig {
            cells: drives.len(),
            parameters: QifParameters {
                time_constant: 1.0.into(),
            },
            current: drives.to_vec().into(),
            ..Default::default()
        };
        let spikes = |place: &Place, dt: f64, steps: usize| run(&config, place, dt, steps).1;
        for (_, place) in f64_places() {
            let counts = spikes(&place, 0.1, 4000);
            for (count, drive) in counts.into_iter().zip(drives) {
                let expected = 400.0 * drive.sqrt() * FRAC_1_PI;
                assert!(
                    (count - expected).abs() <= 1.0,
                    "{drive}: {count} {expected}"
                );
            }
        }
        for (name, place) in f32_places() {
            let counts = spikes(&place, 0.25, 200);
            for (count, drive) in counts.into_iter().zip(drives) {
                let expected = 50.0 * drive.sqrt() * FRAC_1_PI;
                assert!(
                    (count - expected).abs() <= 1.0,
                    "{name}, {drive}: {count} {expected}"
                );
            }
        }
    }

    /// The way from v₀ to infinity and from −∞ on, by the formula.
    #[test]
    fn spike_times_are_those_of_the_formula_at_any_dt() {
        let config = QifConfig {
            current: 25.0.into(),
            ..Default::default()
        };
        // τ(π/2 − arctan(v₀/5))/5 to the first spike, τπ/5 between them: 159.155 Hz.
        let (first, interval) = (2.0 * (FRAC_PI_2 + 0.2_f64.atan()), 2.0 * PI);
        assert_close(1000.0 / interval, 159.155, 1e-6);
        for (_, place) in f64_places() {
            for (dt, steps) in [(0.1, 1000), (3.0, 34), (50.0, 2)] {
                let times = spike_times(&config.init(&place).unwrap(), 0.0, dt, steps).remove(0);
                assert!(times.len() >= 15, "{times:?}");
                for (count, time) in times.iter().enumerate() {
                    assert_close(*time, first + count as f64 * interval, 1e-9);
                }
            }
        }
        // Without a period: v₀ above √−η, at 0, and close to it. τ artanh(√−η/v₀)/√−η, τ/v₀.
        let config = QifConfig {
            cells: 3,
            current: vec![-1.0, 0.0, 1e-7].into(),
            initial: QifInitial {
                v: vec![3.0, 2.0, 4.0].into(),
            },
            ..Default::default()
        };
        let expected = [10.0 * (1.0_f64 / 3.0).atanh(), 5.0, 2.5];
        let near = |times: Vec<Vec<f64>>, tolerance: f64, name: &str| {
            for (times, expected) in times.iter().zip(expected) {
                assert_eq!(times.len(), 1, "{name}");
                let off = (times[0] - expected).abs();
                assert!(off < tolerance, "{name}: {times:?} {expected}");
            }
        };
        for (name, place) in f64_places() {
            let cells = config.init(&place).unwrap();
            near(spike_times(&cells, 0.0, 0.7, 10), 1e-7, name);
        }
        for (name, place) in f32_places() {
            let cells = config.init(&place).unwrap();
            near(spike_times(&cells, 0.0, 0.7, 10), 1e-3, name);
        }
    }

    /// Uncoupled cells with Lorentzian drive of centre η and width Δ fire at Re √(η + iΔ)/π on average: the mean field
    /// of Montbrió, Pazó & Roxin (2015) for J = 0.
    #[test]
    fn a_lorentzian_population_fires_at_the_rate_of_its_mean_field() {
        let cells = 10_000;
        let (centre, width) = (1.0, 1.0);
        let quantile = |i: usize| {
            let p = (2.0 * i as f64 + 1.0) / (2.0 * cells as f64) - 0.5;
            centre + width * (std::f64::consts::PI * p).tan()
        };
        let config = QifConfig {
            cells,
            parameters: QifParameters {
                time_constant: 1.0.into(),
            },
            current: (0..cells).map(quantile).collect::<Vec<_>>().into(),
            // Half a period from the last spike on: the count is then right on average.
            initial: QifInitial { v: 0.0.into() },
            ..Default::default()
        };
        let place = f32_places().swap_remove(0).1;
        let (_, counts) = run(&config, &place, 0.05, 400);
        let rate = counts.iter().sum::<f64>() / cells as f64 / 20.0;
        let modulus = f64::hypot(centre, width);
        let expected = ((modulus + centre) / 2.0).sqrt() * FRAC_1_PI;
        // Ten thousand cells miss the drive's tail, a few thousandths of the rate.
        assert!((rate / expected - 1.0).abs() < 0.005, "{rate} {expected}");
    }

    #[test]
    fn gradients_pass_through_spikes() {
        let place = f64_autodiff();
        let config = QifConfig {
            cells: 4,
            current: vec![9.0, 0.0, -0.7, 1e-5].into(),
            initial: QifInitial {
                v: vec![0.1, 1.5, 1.4, -0.8].into(),
            },
            trainable: ["time_constant", "current", "v"].map(String::from).to_vec(),
            ..Default::default()
        };
        let cells = config.init(&place).unwrap();
        let counts = run(&config, &place, 0.5, 60).1;
        assert!(
            counts[0] >= 2.0 && counts[1] == 1.0 && counts[2] == 1.0,
            "{counts:?}"
        );
        let loss = |seen: Tensor<3>| (seen.atan() * 1.7).sin().mean();
        assert_gradient(&cells, &NoInput, (0.5, 60), loss, 1e-6, 1e-6);
    }

    #[test]
    fn settings_without_sense_are_refused() {
        let refused = |change: fn(&mut QifConfig)| {
            let mut config = QifConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(refused(|c| c.cells = 0).contains("cells"));
        assert!(refused(|c| c.parameters.time_constant = 0.0.into()).contains("time_constant = 0"));
        assert!(refused(|c| c.current = f64::INFINITY.into()).contains("current = inf"));
        assert!(refused(|c| c.surrogate = Surrogate::Arctan { slope: -1.0 }).contains("slope"));
    }
}
