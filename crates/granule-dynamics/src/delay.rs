//! Delay lines.

use burn::tensor::Tensor;
use granule_io::budget;
use serde::{Deserialize, Serialize};

use crate::model::{Clock, Dynamics};
use crate::setting::{Range, check_count};
use crate::{DynamicsError, Place, State, Variable};

/// Settings of [`Delay`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct DelayConfig {
    /// The number of channels, that is, columns of the input.
    pub width: usize,
    /// One delay for each group of connections, ms; each the step's length or more.
    pub delays: Vec<f64>,
    /// The unit of the input.
    pub unit: Unit,
}

/// The unit of what a delay line carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Spikes, rates of mass models, anything without a unit.
    #[default]
    One,
    /// mV.
    Millivolt,
    /// Hz.
    Hertz,
}

impl Default for DelayConfig {
    fn default() -> Self {
        Self {
            width: 1,
            delays: vec![1.0],
            unit: Unit::default(),
        }
    }
}

/// Delays of more steps than this are refused: each holds a tensor.
pub(crate) const LONGEST: f64 = 1e5;

impl DelayConfig {
    /// Checks every setting for steps of `dt` ms.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for no channel, no delay, or a delay that is not finite, shorter than `dt`, or longer
    /// than 100 000 steps.
    pub fn validate(&self, dt: f64) -> Result<(), DynamicsError> {
        check_count("width", self.width)?;
        Range::Positive.check("dt", dt)?;
        if self.delays.is_empty() {
            return Err(DynamicsError::config("delays", "[]", "at least one delay"));
        }
        for delay in &self.delays {
            let steps = delay / dt;
            if !(1.0 - ROUNDING..=LONGEST).contains(&steps) {
                let longest = LONGEST * dt;
                let allowed = format!("from dt = {dt} to 100000 steps = {longest}");
                return Err(DynamicsError::config("delays", delay, allowed));
            }
        }
        Ok(())
    }

    /// Makes the delay line for steps of `dt` ms.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, dt: f64) -> Result<Delay, DynamicsError> {
        self.validate(dt)?;
        let taps: Vec<Tap> = self.delays.iter().map(|d| Tap::new(d / dt)).collect();
        let slots = taps.iter().map(Tap::slots).max().unwrap_or(1);
        budget::ask_for_numbers("the past of a delay line", &[slots, self.width])?;
        let unit = match self.unit {
            Unit::One => "1",
            Unit::Millivolt => "mV",
            Unit::Hertz => "Hz",
        };
        Ok(Delay {
            variables: (0..slots)
                .map(|slot| Variable::new(format!("past {slot}"), unit, self.width))
                .collect(),
            taps,
            width: self.width,
            dt,
        })
    }
}

/// A delay this close to a whole number of steps, relative to one, is that number.
pub(crate) const ROUNDING: f64 = 1e-6;

/// Where in the past a delay is read.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tap {
    /// The newer of the two instants, in steps before the present one, from 1.
    steps: usize,
    /// How far towards the older one, in [0, 1).
    fraction: f64,
}

impl Tap {
    fn new(steps: f64) -> Self {
        let whole = steps.round();
        if (steps - whole).abs() < ROUNDING {
            Self {
                steps: whole as usize,
                fraction: 0.0,
            }
        } else {
            Self {
                steps: steps.floor() as usize,
                fraction: steps.fract(),
            }
        }
    }

    fn slots(&self) -> usize {
        if self.fraction > 0.0 {
            self.steps + 1
        } else {
            self.steps
        }
    }

    fn read(&self, past: &[Tensor<2>]) -> Tensor<2> {
        let newer = past[self.steps - 1].clone();
        if self.fraction > 0.0 {
            newer * (1.0 - self.fraction) + past[self.steps].clone() * self.fraction
        } else {
            newer
        }
    }
}

/// A delay line: what goes in at t comes out at t + d, for one delay d or several, each a group of connections.
///
/// The past is the state, newest first; a step moves handles. A step at t takes the signal y(t) as its input, and
/// [`observe`](Dynamics::observe) then shows, at t + dt, y(t + dt − d) for each group, `[batch, groups·width]`. A delay that is
/// not a whole number of steps is read between two instants by linear interpolation, which for spikes divides one
/// between two steps.
///
/// Connections with delays of their own are sorted into groups by [`grouped`](Self::grouped).
#[derive(Clone, Debug)]
pub struct Delay {
    variables: Vec<Variable>,
    taps: Vec<Tap>,
    width: usize,
    dt: f64,
}

impl Delay {
    /// A delay line for connections `[pre, post]`, row-major, each with its own delay in ms. Returns with it, for every
    /// delay that occurs, which connections have it: a mask `[groups·pre, post]` for the weights behind the line
    /// ([`crate::synapse::Weights::masked`]).
    ///
    /// # Errors
    ///
    /// Those of [`DelayConfig::validate`], and [`DynamicsError::Shape`] for a wrong number of delays.
    pub fn grouped(
        delays: &[f64],
        [pre, post]: [usize; 2],
        dt: f64,
    ) -> Result<(Self, Vec<bool>), DynamicsError> {
        if delays.len() != pre * post {
            return Err(DynamicsError::Shape {
                what: "the delays".into(),
                expected: vec![pre, post],
                found: vec![delays.len()],
            });
        }
        let mut distinct = delays.to_vec();
        distinct.sort_by(f64::total_cmp);
        distinct.dedup();
        let mask = distinct
            .iter()
            .flat_map(|group| delays.iter().map(move |delay| delay == group))
            .collect();
        let config = DelayConfig {
            width: pre,
            delays: distinct,
            unit: Unit::One,
        };
        Ok((config.init(dt)?, mask))
    }

    /// The number of groups.
    pub fn groups(&self) -> usize {
        self.taps.len()
    }

    /// The output of one group, `[batch, width]`.
    pub fn group(&self, state: &State, group: usize) -> Tensor<2> {
        self.taps[group].read(state.tensors())
    }

    /// A past that was `value` at all times.
    pub fn initial_state(&self, batch: usize, value: f64, place: &Place) -> State {
        let past = place.full(value, [batch, self.width]);
        State::new(vec![past; self.variables.len()])
    }
}

impl Dynamics for Delay {
    fn name(&self) -> &str {
        "delay"
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
        if ((at.dt - self.dt) / self.dt).abs() > ROUNDING {
            let allowed = format!("{}, for which the delay line was made", self.dt);
            return Err(DynamicsError::config("dt", at.dt, allowed));
        }
        let newest = match input {
            Some(y) => y.clone().expand([state[0].dims()[0], self.width]),
            None => state[0].zeros_like(),
        };
        let kept = self.variables.len() - 1;
        let past = state.tensors().iter().take(kept).cloned();
        Ok(State::new(std::iter::once(newest).chain(past).collect()))
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        let past = state.tensors();
        match self.taps.as_slice() {
            [tap] => tap.read(past),
            taps => Tensor::cat(taps.iter().map(|tap| tap.read(past)).collect(), 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host;
    use crate::model::InputSeries;
    use crate::simulate::{Grid, record};
    use crate::testing::{assert_close, f32_places, f64_places};

    fn ramp(place: &Place, delays: &[f64], dt: f64, steps: usize) -> Vec<f64> {
        let config = DelayConfig {
            width: 1,
            delays: delays.to_vec(),
            unit: Unit::One,
        };
        let line = config.init(dt).unwrap();
        let start = line.initial_state(1, 0.0, place);
        let values = (0..steps).map(|step| 1.0 + step as f64).collect();
        let input = InputSeries(place.tensor(values, [steps, 1, 1]));
        let grid = Grid::Uniform {
            start: 0.0,
            dt,
            steps,
        };
        let (seen, _) = record(&line, start, &input, &grid).unwrap();
        host(seen).unwrap()
    }

    #[test]
    fn whole_steps_shift_exactly() {
        for (_, place) in f64_places().into_iter().chain(f32_places()) {
            // 0.3/0.1 is a little less than 3.
            for (delay, shift) in [(0.1, 1usize), (0.3, 3), (0.5, 5)] {
                let seen = ramp(&place, &[delay], 0.1, 9);
                for (n, y) in seen.into_iter().enumerate() {
                    let expected = n.checked_sub(shift).map_or(0.0, |n| 1.0 + n as f64);
                    assert_eq!(y, expected, "delay {delay}, step {n}");
                }
            }
        }
    }

    #[test]
    fn groups_have_their_own_delays_and_fractions_interpolate() {
        let (_, place) = f64_places().swap_remove(0);
        let seen = ramp(&place, &[0.2, 0.5, 0.25], 0.1, 12);
        for (n, groups) in seen.chunks(3).enumerate().skip(6) {
            let now = 1.0 + n as f64;
            for (y, steps) in groups.iter().zip([2.0, 5.0, 2.5]) {
                assert_close(*y, now - steps, 1e-12);
            }
        }
    }

    #[test]
    fn connections_are_sorted_by_delay() {
        let (line, mask) = Delay::grouped(&[1.0, 2.0, 2.0, 1.0], [2, 2], 0.5).unwrap();
        assert_eq!(line.groups(), 2);
        assert_eq!(line.variables().len(), 4);
        let expected = [true, false, false, true, false, true, true, false];
        assert_eq!(mask, expected);
    }

    #[test]
    fn what_no_line_can_do_is_refused() {
        let refused = |delays: Vec<f64>, dt: f64| {
            let config = DelayConfig {
                delays,
                ..Default::default()
            };
            config.init(dt).unwrap_err().to_string()
        };
        let error = refused(vec![1.0, 0.05], 0.1);
        assert!(
            error.contains("delays = 0.05") && error.contains("dt = 0.1"),
            "{error}"
        );
        assert!(refused(vec![f64::NAN], 0.1).contains("NaN"));
        assert!(refused(vec![-1.0], 0.1).contains("-1"));
        assert!(refused(Vec::new(), 0.1).contains("at least one"));
        assert!(refused(vec![1e9], 0.1).contains("100000 steps"));
        assert!(refused(vec![1.0], 0.0).contains("dt = 0"));

        let (_, place) = f64_places().swap_remove(0);
        let line = DelayConfig::default().init(0.1).unwrap();
        let state = line.initial_state(1, 0.0, &place);
        let clock = Clock {
            step: 0,
            time: 0.0,
            dt: 0.2,
        };
        let error = line.step(clock, &state, None).unwrap_err().to_string();
        assert!(error.contains("dt = 0.2"), "{error}");
    }
}
