//! Numbers of a configuration that are fitted.

use granule_dynamics::DynamicsError;

use crate::config::ExperimentConfig;

/// A number of the configuration with its range.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Free {
    /// As `unit.parameters.g_na`.
    pub(super) key: String,
    low: f64,
    high: f64,
    /// Whether its logarithm is what is fitted.
    logarithmic: bool,
}

fn refused(found: &str, allowed: &str) -> DynamicsError {
    DynamicsError::config("parameters", found, allowed)
}

/// How far a range reaches around a value that none was given for, as a factor.
const AROUND: f64 = 4.0;

impl Free {
    /// Reads `KEY=LOW..HIGH`, `KEY=LOW..HIGH:log`, or a `KEY` whose value says the range.
    pub(super) fn read(text: &str, config: &ExperimentConfig) -> Result<Self, DynamicsError> {
        let wrong = || refused(text, "KEY=LOW..HIGH, KEY=LOW..HIGH:log or KEY");
        let Some((key, range)) = text.split_once('=') else {
            let key = text.trim();
            let value = config.number(key).ok_or_else(|| {
                let allowed = "KEY=LOW..HIGH: the configuration has no such number to say a range";
                refused(text, allowed)
            })?;
            let (low, high) = match value {
                above if above > 0.0 => (above / AROUND, above * AROUND),
                below if below < 0.0 => (1.5 * below, 0.5 * below),
                _ => {
                    return Err(refused(
                        text,
                        "KEY=LOW..HIGH: a number that is 0 says no range",
                    ));
                }
            };
            return Ok(Self {
                key: key.to_owned(),
                low,
                high,
                logarithmic: value > 0.0,
            });
        };
        let (range, logarithmic) = match range.split_once(':') {
            None => (range, false),
            Some((range, "log")) => (range, true),
            Some(_) => return Err(wrong()),
        };
        let (low, high) = range.split_once("..").ok_or_else(wrong)?;
        let number = |text: &str| text.trim().parse::<f64>().map_err(|_| wrong());
        let own = Self {
            key: key.trim().to_owned(),
            low: number(low)?,
            high: number(high)?,
            logarithmic,
        };
        if !(own.low.is_finite() && own.high.is_finite() && own.low < own.high) {
            return Err(refused(text, "two finite numbers, the lower one first"));
        }
        if logarithmic && own.low <= 0.0 {
            return Err(refused(text, "a range above 0 for :log"));
        }
        Ok(own)
    }

    /// The value at a place from 0 to 1 in the range.
    pub(super) fn value(&self, place: f64) -> f64 {
        match place {
            0.0 => self.low,
            1.0 => self.high,
            _ if self.logarithmic => self.low * (self.high / self.low).powf(place),
            _ => self.low + (self.high - self.low) * place,
        }
    }

    /// Where a value is in the range.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for one outside of it.
    pub(super) fn place(&self, value: f64) -> Result<f64, DynamicsError> {
        if !(self.low..=self.high).contains(&value) {
            let allowed = format!("{} to {}, its range in `parameters`", self.low, self.high);
            return Err(DynamicsError::config(&self.key, value, allowed));
        }
        Ok(if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        })
    }

    /// The length in the parameter's own unit of a short piece of the range at a place.
    pub(super) fn length(&self, place: f64, piece: f64) -> f64 {
        if self.logarithmic {
            self.value(place) * (self.high / self.low).ln() * piece
        } else {
            (self.high - self.low) * piece
        }
    }

    /// An end of an interval, `by` from a place; none outside the range.
    pub(super) fn end(&self, place: f64) -> Option<f64> {
        (0.0..=1.0).contains(&place).then(|| self.value(place))
    }

    /// How a combination calls it.
    pub(super) fn name(&self, all: &[Self]) -> String {
        let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        let own = last(&self.key);
        let alone = own.parse::<usize>().is_err()
            && all.iter().filter(|other| last(&other.key) == own).count() == 1;
        let name = if alone { own } else { self.key.clone() };
        if self.logarithmic {
            format!("log {name}")
        } else {
            name
        }
    }
}

/// So many places in the unit cube, in each direction one in each of so many slices: a Latin hypercube (McKay et al. 1979).
pub(super) fn scattered(count: usize, parameters: usize, seed: u64) -> Vec<Vec<f64>> {
    let noise = granule_dynamics::NormalNoise::new(seed, START_STREAM);
    let mut all = vec![vec![0.0; parameters]; count];
    (0..parameters).for_each(|parameter| {
        let drawn = noise.values(parameter, count);
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by(|a, b| drawn[*a].total_cmp(&drawn[*b]));
        for (slice, own) in order.into_iter().enumerate() {
            all[own][parameter] = (slice as f64 + 0.5) / count as f64;
        }
    });
    all
}

/// The stream of starts among those of one seed.
const START_STREAM: u64 = 0x0046_4954;
