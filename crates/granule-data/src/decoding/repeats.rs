//! Which trials are repeats of one condition.

use std::collections::BTreeMap;
use std::ops::Range;

use granule_io::budget;

use super::config::{DecodingConfig, wrong};
use super::source::{Source, lengths};
use super::store::Store;
use crate::DataError;

/// What asks for memory here.
const WHAT: &str = "the conditions";

/// Where a sample stands among repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat {
    /// The condition, from 0.
    pub condition: usize,
    /// The trial in which it was.
    pub trial: usize,
    /// The bin of the trial; 0 where a trial is a sample.
    pub bin: usize,
}

/// The trials of a recording, as they were before groups cut them, and their conditions.
pub(super) struct Conditions {
    trials: Vec<Range<usize>>,
    of_trial: Vec<usize>,
}

impl Conditions {
    /// Those that `config` names; none where it names none, or where they may be `absent` and are.
    pub fn read(
        store: &mut Store<'_>,
        source: &Source,
        config: &DecodingConfig,
        absent: bool,
    ) -> Result<Option<Self>, DataError> {
        if config.condition.is_empty() {
            return Ok(None);
        }
        let count = source.trials.len();
        if absent && !source.has_trials {
            return Ok(None);
        }
        if !source.has_trials {
            let allowed =
                "unset for a signal without trials; data.decoding.trial names their array";
            return Err(wrong(
                "condition",
                format!("{:?}", config.condition),
                allowed,
            ));
        }
        let mut keys = budget::filled(Vec::new(), count, WHAT)?;
        for name in &config.condition {
            if absent && !store.has(name)? {
                return Ok(None);
            }
            let place = store.place(name);
            let numbers = store.read("condition", name, |array| array.column())?;
            let of_bins = numbers.len() == source.bins();
            if !of_bins && numbers.len() != count {
                return Err(lengths(
                    &place,
                    numbers.len(),
                    &source.signal,
                    source.bins(),
                ));
            }
            for (at, (key, trial)) in keys.iter_mut().zip(&source.trials).enumerate() {
                let own = if of_bins {
                    numbers.get(trial.clone())
                } else {
                    numbers.get(at..at + 1)
                };
                let own = own.unwrap_or_default();
                if own.windows(2).any(|pair| pair[0] != pair[1]) {
                    let reason = format!("trial {at}, counted from 0, has several numbers");
                    return Err(DataError::format(&place, reason));
                }
                key.extend(own.first().copied());
            }
        }
        let mut known = BTreeMap::new();
        let of_trial = keys.into_iter().map(|key: Vec<i64>| {
            let next = known.len();
            *known.entry(key).or_insert(next)
        });
        Ok(Some(Self {
            of_trial: budget::collect(of_trial, count, WHAT)?,
            trials: budget::collect(source.trials.iter().cloned(), count, WHAT)?,
        }))
    }

    /// Of samples at these bins, of which a trial's first one stands for all of it.
    pub fn of(&self, bins: &[usize]) -> Result<Vec<Repeat>, DataError> {
        let found = bins.iter().map(|&bin| {
            let trial = self.trials.partition_point(|trial| trial.start <= bin);
            let trial = trial.saturating_sub(1);
            let start = self.trials.get(trial).map_or(0, |trial| trial.start);
            Repeat {
                condition: self.of_trial.get(trial).copied().unwrap_or(0),
                trial,
                bin: bin.saturating_sub(start),
            }
        });
        Ok(budget::collect(found, bins.len(), WHAT)?)
    }
}
