//! The samples of a signal without what is decoded from them: what a trained decoder answers.

use std::path::Path;

use granule_io::budget;
use granule_io::words::counted;

use super::Left;
use super::config::DecodingConfig;
use super::source::{Named, Source};
use super::store::Store;
use super::windows::{Windows, stretches};
use crate::DataError;

/// Where a sample is in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BinPlace {
    /// Its trial, from 0, where the recording has trials.
    pub trial: Option<usize>,
    /// The bin that is decoded, from 0, along the axis of bins of the array; none where a trial has one target.
    pub bin: Option<usize>,
}

/// The windows, or the trials, of a recording's signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// `[steps, channels]`: bins, and what stands for those beyond the edge of a trial.
    data: Vec<f32>,
    /// The step that each sample begins at.
    starts: Vec<usize>,
    places: Vec<BinPlace>,
    /// Steps and channels of a sample.
    shape: (usize, usize),
    /// What was recognised and taken for granted, one sentence each.
    pub notes: Vec<String>,
}

impl Series {
    /// Reads the signal of `recording:PATH` as samples `[steps, channels]`, cut as in training: that which `config` has for
    /// tests, where it is there, else that which is learnt from. `blank`, a value for each channel, stands for a bin
    /// beyond the edge of a trial: the mean of those of training. The numbers are those of the file: no root is taken.
    /// Channels that `config` does not choose, or that are held out, as `seed` draws them, are taken away, unless the model
    /// takes as many as there are.
    ///
    /// # Errors
    /// A [`DataError`] that names the key or the array: one that is missing, of other channels, or of trials of another length.
    pub fn read(
        path: &Path,
        config: &DecodingConfig,
        (steps, channels): (usize, usize),
        blank: &[f32],
        seed: u64,
    ) -> Result<Self, DataError> {
        config.validate()?;
        let mut store = Store::open(path, Some(config))?;
        let mut notes = Vec::new();
        let tested = match Named::tested(config) {
            Some(named) if store.has(named.signal())? => Some(named),
            _ => None,
        };
        let named = tested.unwrap_or_else(|| Named::learnt(config));
        let (mut source, extents) = Source::of_signal(&mut store, named, config, &mut notes)?;
        if source.channels != channels {
            source.choose(config, &mut notes)?;
            source.hold_out(config, seed, &mut notes)?;
        }
        let of_trials = config.bins.is_some() || config.sum > 1;
        source.by_trial = of_trials || steps != config.window.steps();
        source.check(config)?;
        let found = if source.by_trial {
            source.steps(config)
        } else {
            steps
        };
        if (found, source.channels) != (steps, channels) {
            let reason = format!(
                "its samples are {} of {}, the model takes {} of {}",
                counted(found, "step"),
                counted(source.channels, "channel"),
                counted(steps, "step"),
                counted(channels, "channel")
            );
            return Err(DataError::format(&source.signal, reason));
        }
        let what = "the samples of the recording";
        let signal = source.signal.clone();
        let (trials, inside) = (source.trials.clone(), extents.len() == 3);
        let (has_trials, by_trial) = (source.has_trials, source.by_trial);
        let (data, starts, bins) = if by_trial {
            let count = trials.len();
            let numbers = count.saturating_mul(steps).saturating_mul(channels);
            let mut data = budget::with_capacity(numbers, what)?;
            // The model takes the root of what it is given.
            let plain = DecodingConfig {
                square_root: false,
                ..config.clone()
            };
            for trial in &trials {
                source.add_steps(trial, &plain, &mut data);
            }
            let starts = budget::collect((0..count).map(|at| at * steps), count, what)?;
            let begins = trials.iter().map(|trial| trial.start);
            (data, starts, budget::collect(begins, count, what)?)
        } else {
            if tested.is_none()
                && let Some(cut) = stretches(&mut store, &source, config)?
            {
                source.trials = cut;
            }
            let all = budget::filled(true, source.bins(), what)?;
            let windows = Windows::of(&source, &all, true, config, blank)?;
            let mut left = Left::default();
            left.add(&windows);
            left.tell(std::slice::from_ref(&source), &mut notes);
            (windows.series, windows.starts, windows.bins)
        };
        let place = |bin: usize| {
            let trial = trials.partition_point(|trial| trial.start <= bin);
            let trial = trial.saturating_sub(1);
            let start = trials.get(trial).map_or(0, |trial| trial.start);
            let bin = if inside { bin - start } else { bin };
            BinPlace {
                trial: has_trials.then_some(trial),
                bin: (!by_trial).then_some(bin),
            }
        };
        notes.splice(0..0, store.notes());
        let count = bins.len();
        let thing = if by_trial { "trial" } else { "bin" };
        notes.push(format!(
            "answered: {} of {}",
            counted(count, thing),
            signal.display()
        ));
        Ok(Self {
            places: budget::collect(bins.into_iter().map(place), count, what)?,
            data,
            starts,
            shape: (steps, channels),
            notes,
        })
    }

    /// Every sample, `[steps, channels]`, with its place.
    pub fn samples(&self) -> impl Iterator<Item = (&[f32], BinPlace)> {
        let (steps, channels) = self.shape;
        self.starts
            .iter()
            .zip(&self.places)
            .map(move |(start, place)| {
                let span = start * channels..(start + steps) * channels;
                (self.data.get(span).unwrap_or_default(), *place)
            })
    }
}
