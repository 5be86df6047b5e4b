//! What comes from outside: one course in time, with an amplitude for each channel.

use std::cell::RefCell;
use std::f64::consts::TAU;

use burn::tensor::Tensor;
use granule_io::words::counted;
use serde::{Deserialize, Serialize};

use super::samples::{FileConfig, Resampled};
use granule_dynamics::model::{Clock, Input};
use granule_dynamics::{DynamicsError, Grid, NormalNoise, Place, Values, Variable};
use granule_io::words::Number;

/// A stimulus. Amplitudes are in the unit of the model's input: µA/cm² for cells (pA for `adex`, mV/ms for
/// `izhikevich`, none for `qif`, nA at the stimulus sites of a `cable`), what a system's channels have, and no unit for a population. A step of the run gets
/// the mean over it, at all stages of its solver, so that no charge is lost where an edge is not on the grid of steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum StimulusConfig {
    /// Constant from the onset on.
    Step(StepConfig),
    /// Constant for a while, once or again and again.
    Pulse(PulseConfig),
    /// A sine.
    Sine(SineConfig),
    /// An Ornstein–Uhlenbeck process, one for all channels.
    Noise(NoiseConfig),
    /// Samples from a file.
    File(FileConfig),
}

/// Settings of [`StimulusConfig::Step`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct StepConfig {
    /// One for all channels, or one for each.
    pub amplitude: Values,
    /// When it begins, ms.
    pub onset: f64,
}

/// Settings of [`StimulusConfig::Pulse`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PulseConfig {
    /// One for all channels, or one for each.
    pub amplitude: Values,
    /// When the first one begins, ms.
    pub onset: f64,
    /// How long it lasts, ms.
    #[cfg_attr(feature = "schema", schemars(transform = granule_dynamics::setting::Range::Positive))]
    pub width: f64,
    /// From one beginning to the next, ms; 0: one pulse only.
    #[cfg_attr(feature = "schema", schemars(transform = granule_dynamics::setting::Range::NonNegative))]
    pub period: f64,
}

/// Settings of [`StimulusConfig::Sine`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SineConfig {
    /// One for all channels, or one for each.
    pub amplitude: Values,
    /// When it begins, ms.
    pub onset: f64,
    /// Hz.
    #[cfg_attr(feature = "schema", schemars(transform = granule_dynamics::setting::Range::Positive))]
    pub frequency: f64,
    /// At the onset, radians.
    pub phase: f64,
}

/// Settings of [`StimulusConfig::Noise`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NoiseConfig {
    /// Its standard deviation; one for all channels, or one for each.
    pub amplitude: Values,
    /// When it begins, ms.
    pub onset: f64,
    /// Its correlation time, ms.
    #[cfg_attr(feature = "schema", schemars(transform = granule_dynamics::setting::Range::Positive))]
    pub time_constant: f64,
}

impl Default for StepConfig {
    fn default() -> Self {
        Self {
            amplitude: 1.0.into(),
            onset: 0.0,
        }
    }
}

impl Default for PulseConfig {
    fn default() -> Self {
        Self {
            amplitude: 1.0.into(),
            onset: 0.0,
            width: 1.0,
            period: 0.0,
        }
    }
}

impl Default for SineConfig {
    fn default() -> Self {
        Self {
            amplitude: 1.0.into(),
            onset: 0.0,
            frequency: 10.0,
            phase: 0.0,
        }
    }
}

impl Default for NoiseConfig {
    fn default() -> Self {
        Self {
            amplitude: 1.0.into(),
            onset: 0.0,
            time_constant: 5.0,
        }
    }
}

impl StimulusConfig {
    /// The amplitudes: one for all channels, or one for each.
    pub fn amplitude(&self) -> &Values {
        match self {
            Self::Step(config) => &config.amplitude,
            Self::Pulse(config) => &config.amplitude,
            Self::Sine(config) => &config.amplitude,
            Self::Noise(config) => &config.amplitude,
            Self::File(config) => &config.amplitude,
        }
    }

    fn onset(&self) -> f64 {
        match self {
            Self::Step(config) => config.onset,
            Self::Pulse(config) => config.onset,
            Self::Sine(config) => config.onset,
            Self::Noise(config) => config.onset,
            Self::File(config) => config.begin(),
        }
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the first that is not allowed.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        let check = |name: &str, value: f64, fits: bool, allowed: &str| {
            if fits {
                Ok(())
            } else {
                Err(DynamicsError::config(
                    format!("stimulus.{name}"),
                    value,
                    allowed,
                ))
            }
        };
        let positive = |name: &str, value: f64| {
            let fits = value.is_finite() && value > 0.0;
            check(name, value, fits, "a finite number above 0")
        };
        let finite =
            |name: &str, value: f64| check(name, value, value.is_finite(), "a finite number");
        for amplitude in self.amplitude().as_slice() {
            finite("amplitude", *amplitude)?;
        }
        if let Self::File(config) = self {
            config.check_begin(LATEST)?;
        }
        let onset = self.onset();
        let fits = onset.abs() <= LATEST;
        check("onset", onset, fits, "a number from -1e9 to 1e9, ms")?;
        match self {
            Self::Step(_) => Ok(()),
            Self::Pulse(config) => {
                positive("width", config.width)?;
                let fits = config.period == 0.0 || config.period >= config.width;
                let allowed = "0, or at least stimulus.width";
                check("period", config.period, fits, allowed)
            }
            Self::Sine(config) => {
                positive("frequency", config.frequency)?;
                finite("phase", config.phase)
            }
            Self::Noise(config) => positive("time_constant", config.time_constant),
            Self::File(config) => config.validate(),
        }
    }

    /// A warning where a run that ends at `end`, ms, is over before it begins.
    pub(super) fn too_late(&self, end: f64) -> Option<String> {
        let (begin, end) = (self.onset(), end);
        (begin >= end).then(|| {
            format!(
                "the stimulus begins at {} ms, and the run ends at {} ms: it has no effect",
                Number(begin),
                Number(end)
            )
        })
    }

    /// The mean of the course over a step, without noise, which is a series of its own.
    fn mean(&self, at: Clock) -> f64 {
        let (from, to) = (at.time - self.onset(), at.time + at.dt - self.onset());
        if to <= 0.0 {
            return 0.0;
        }
        let first = from.max(0.0);
        let share = (to - first) / (to - from);
        match self {
            Self::Step(_) | Self::Noise(_) | Self::File(_) => whole(share, at),
            Self::Pulse(config) => {
                // Times since the pulse before the step.
                let before = if config.period > 0.0 {
                    (first / config.period).floor() * config.period
                } else {
                    0.0
                };
                let on = |since: f64| {
                    let complete = if config.period > 0.0 {
                        (since / config.period).floor()
                    } else {
                        0.0
                    };
                    complete * config.width + (since - complete * config.period).min(config.width)
                };
                whole((on(to - before) - on(first - before)) / (to - from), at)
            }
            Self::Sine(config) => {
                let speed = TAU * config.frequency * 1e-3;
                let half = 0.5 * speed * (to - first);
                let middle = (0.5 * speed * (first + to) + config.phase).sin();
                // The mean of a sine over an interval: its middle times sin(half)/half.
                let narrowed = if half > 1e-4 {
                    half.sin() / half
                } else {
                    1.0 - half * half / 6.0
                };
                whole(share, at) * middle * narrowed
            }
        }
    }

    /// The stimulus for the channels of some inputs over a grid.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for a number of amplitudes that is neither 1 nor that of the channels.
    pub(super) fn init(
        &self,
        inputs: &[Variable],
        grid: &Grid,
        seed: u64,
        place: &Place,
    ) -> Result<Stimulus, DynamicsError> {
        self.validate()?;
        let channels = inputs.iter().map(|input| input.width).sum();
        let amplitude = self.amplitude().as_slice();
        if ![1, channels].contains(&amplitude.len()) || channels == 0 {
            let allowed = match channels {
                0 => "none: the model takes no input".into(),
                1 => "one value: the model has one input channel".into(),
                _ => format!("one value, or {channels}: one for each input channel"),
            };
            let found = format!("[{}]", counted(amplitude.len(), "value"));
            return Err(DynamicsError::config("stimulus.amplitude", found, allowed));
        }
        let wide = match amplitude {
            [one] => vec![*one; channels],
            each => each.to_vec(),
        };
        if let Self::File(config) = self {
            let units: Vec<&str> = inputs.iter().map(|input| input.unit).collect();
            let factor = config.conversion(&units)?;
            return Ok(Stimulus {
                amplitude: wide.iter().map(|a| a * factor).collect(),
                course: Course::Recorded {
                    samples: config.resampled(channels)?,
                    grid: grid.clone(),
                    place: place.clone(),
                },
            });
        }
        Ok(Stimulus {
            course: Course::Common {
                row: Box::new(place.tensor(wide.clone(), [1, channels])),
                values: Common::new(self, grid, seed)?,
            },
            amplitude: wide,
        })
    }
}

/// The latest onset, ms, either way: eleven days.
const LATEST: f64 = 1e9;

/// A share of a step, without what rounding of its ends makes of a whole one and of none.
fn whole(share: f64, at: Clock) -> f64 {
    let rounding = 8.0 * f64::EPSILON * (at.time.abs() / at.dt + 1.0);
    match share {
        none if none.abs() <= rounding => 0.0,
        all if (all - 1.0).abs() <= rounding => 1.0,
        part => part,
    }
}

/// Steps whose values are computed, and held, together.
const BLOCK: usize = 1024;

/// A value for each step of a grid, in memory that does not grow with them but for a 1024th.
#[derive(Clone, Debug)]
struct Common {
    config: StimulusConfig,
    grid: Grid,
    noise: NormalNoise,
    /// What the noise was before each block but the first; none of other stimuli.
    begins: Vec<f64>,
    /// A block and its values.
    held: RefCell<(usize, Vec<f64>)>,
}

impl Common {
    fn new(config: &StimulusConfig, grid: &Grid, seed: u64) -> Result<Self, DynamicsError> {
        let mut own = Self {
            config: config.clone(),
            grid: grid.clone(),
            noise: NormalNoise::new(seed, NOISE_STREAM),
            begins: Vec::new(),
            held: RefCell::default(),
        };
        let mut y = None;
        for block in 0..grid.steps().div_ceil(BLOCK) {
            let values;
            (values, y) = own.block(block, y);
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                let time = grid.clock(block * BLOCK + at).time;
                let found = format!("no number at {} ms", Number(time));
                let allowed = "periods, frequencies and phases of which a step of the run can count how many there were";
                return Err(DynamicsError::config("stimulus", found, allowed));
            }
            own.begins.extend(y);
            if block == 0 {
                own.held.replace((0, values));
            }
        }
        Ok(own)
    }

    /// The values of a block and what the noise is after it, where it was `y` before it.
    fn block(&self, block: usize, mut y: Option<f64>) -> (Vec<f64>, Option<f64>) {
        let first = block * BLOCK;
        let steps = first..(first + BLOCK).min(self.grid.steps());
        let values = steps.map(|step| {
            let clock = self.grid.clock(step);
            let mean = self.config.mean(clock);
            let StimulusConfig::Noise(config) = &self.config else {
                return mean;
            };
            let xi = self.noise.values(step, 1).first().copied();
            let xi = xi.unwrap_or_default();
            let kept = (-clock.dt / config.time_constant).exp();
            let next = match y {
                None => xi,
                Some(y) => kept * y + (1.0 - kept * kept).sqrt() * xi,
            };
            y = Some(next);
            mean * next
        });
        let values = values.collect();
        (values, y)
    }

    /// That of a step; none after the last one.
    fn at(&self, step: usize) -> Option<f64> {
        let block = step / BLOCK;
        let mut held = self.held.borrow_mut();
        if held.0 != block && step < self.grid.steps() {
            let before = block
                .checked_sub(1)
                .and_then(|before| self.begins.get(before));
            *held = (block, self.block(block, before.copied()).0);
        }
        let (of, values) = &*held;
        values.get(step % BLOCK).copied().filter(|_| *of == block)
    }
}

/// The stream of the noise stimulus among those of one seed.
const NOISE_STREAM: u64 = 0x5354_494d;

/// A stimulus on a device.
#[derive(Clone, Debug)]
pub(super) struct Stimulus {
    amplitude: Vec<f64>,
    course: Course,
}

#[derive(Clone, Debug)]
enum Course {
    /// The same for all channels: one value for each step.
    Common { row: Box<Tensor<2>>, values: Common },
    /// One column for all channels, or one for each.
    Recorded {
        samples: Resampled,
        grid: Grid,
        place: Place,
    },
}

impl Stimulus {
    /// What the channels get during a step; after the last one, what they got in it.
    pub(super) fn values(&self, step: usize) -> Vec<f64> {
        let amplitude = self.amplitude.iter();
        match &self.course {
            Course::Common { values, .. } => {
                let last = values.grid.steps().saturating_sub(1);
                let now = values.at(step.min(last)).unwrap_or_default();
                amplitude.map(|a| a * now).collect()
            }
            Course::Recorded { samples, grid, .. } => {
                let last = grid.steps().saturating_sub(1);
                let means = samples.means(grid.clock(step.min(last)));
                let now = means
                    .iter()
                    .chain(std::iter::repeat(means.last().unwrap_or(&0.0)));
                amplitude.zip(now).map(|(a, now)| a * now).collect()
            }
        }
    }

    pub(super) fn channels(&self) -> usize {
        self.amplitude.len()
    }
}

impl Input for Stimulus {
    fn at(&self, at: Clock) -> Option<Tensor<2>> {
        match &self.course {
            Course::Common { row, values } => {
                Some(Tensor::clone(row).mul_scalar(values.at(at.step)?))
            }
            Course::Recorded { place, .. } => {
                Some(place.tensor(self.values(at.step), [1, self.channels()]))
            }
        }
    }
}
