//! A recording, as a run sees it, and a model of several levels beside it.

use std::ops::Range;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use granule_data::recording::Quantity;
use granule_data::task::Part;
use granule_data::{DataError, Recording};
use granule_dynamics::composite::{MultiGranularityConfig, MultiGranularityModel};
use granule_dynamics::gradient::{Backward, Memory, RecordedSteps, Run, gradient_again};
use granule_dynamics::{Input, InputSeries, NoInput, Place};
use granule_io::words::counted;
use granule_models::{InputShape, MultiGranularity, Task};

use crate::batches::{Purpose, shuffle, shuffled};
use crate::config::RecordingConfig;
use crate::outcome::{QuantityScores, RecordingScores};
use crate::{ConfigError, TrainError};

/// R² above which a fit is taken to follow its recording, whatever the noise.
const FOLLOWED: f64 = 0.99;

/// Which instants of which trials a part is scored on. Every trial is run from its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    pub trials: Vec<usize>,
    pub samples: Range<usize>,
}

/// What a model of several levels is fitted to.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    /// What the model observes, then what it is given.
    recording: Recording,
    /// What the model observes: unit, first column among what it shows, and 1 / variance over the training part.
    observed: Vec<Observed>,
    /// The model's input channels.
    channels: usize,
    /// Steps from one instant to the next.
    pub every: usize,
    train: Window,
    validation: Window,
    test: Window,
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Observed {
    unit: &'static str,
    first: usize,
    /// Columns that the level has.
    width: usize,
    weight: f64,
}

impl Recorded {
    /// Reads the recording and looks how the model, in its turns, fits it.
    pub fn new(
        config: &RecordingConfig,
        (model, turns): (&MultiGranularityConfig, Option<&[Vec<String>]>),
        validation: f64,
        seed: u64,
        device: &Device,
    ) -> Result<Self, TrainError> {
        // Only on a device with autodiff do parameters say whether they are trainable.
        let drawn = model.init(&Place::f32(&device.clone().autodiff()))?;
        check_turns(&drawn, turns)?;
        let given = drawn.inputs()?.into_iter();
        let given: Vec<(String, usize)> = given
            .map(|channel| (format!("stimulus.{}", channel.name), channel.width))
            .collect();
        let names = drawn.outputs().iter().map(|output| output.name.as_str());
        let names: Vec<&str> = names
            .chain(given.iter().map(|(name, _)| name.as_str()))
            .collect();
        let recording = Recording::read(&granule_io::path::expand(&config.file), &names)?;

        let mut observed = Vec::with_capacity(drawn.outputs().len());
        let mut first = 0;
        for (output, quantity) in drawn.outputs().iter().zip(&recording.quantities) {
            if quantity.columns > output.width {
                let allowed = format!("at most {}, as many as the model has", output.width);
                return Err(columns(&config.file, quantity, &allowed));
            }
            observed.push(Observed {
                unit: output.unit,
                first,
                width: output.width,
                weight: 1.0,
            });
            first += output.width;
        }
        let inputs = recording.quantities.iter().skip(observed.len());
        for (quantity, (_, width)) in inputs.zip(&given) {
            if quantity.columns != *width {
                let allowed = format!("{width}, one for each input of the level");
                return Err(columns(&config.file, quantity, &allowed));
            }
        }
        let every = every(&recording, model.dt)?;
        let [train, validation, test] = divide(&recording, config.test, validation, seed)?;
        let mut recorded = Self {
            observed,
            channels: given.iter().map(|(_, width)| width).sum(),
            every,
            train,
            validation,
            test,
            warnings: model.too_long("model"),
            recording,
        };
        recorded.weigh();
        for name in &recorded.recording.unread {
            if let Some(level) = name.strip_prefix("stimulus.") {
                recorded.warnings.push(format!(
                    "{name} of the recording is not read, as the level {level:?} takes no input: with external = true in its \
                     [[model.level]] it does"
                ));
            }
        }
        if config.test == 0.0 {
            let text = "data.recording.test is 0: the model is scored on what it was fitted to";
            recorded.warnings.push(text.to_owned());
        }
        for (quantity, observed) in recorded.recording.quantities.iter().zip(&recorded.observed) {
            if quantity.columns < observed.width {
                recorded.warnings.push(format!(
                    "the recording has {} of the {} that the model has of {}, taken for the first ones",
                    quantity.columns,
                    counted(observed.width, "column"),
                    quantity.name
                ));
            }
        }
        Ok(recorded)
    }

    /// Quantities in different units count alike: each by its variance over the training part.
    fn weigh(&mut self) {
        for index in 0..self.observed.len() {
            let spread = self.spread(index, Part::Train);
            let variance = spread.deviation / spread.count.max(1) as f64;
            let quantity = &self.recording.quantities[index];
            if variance > 0.0 && variance.is_finite() {
                self.observed[index].weight = 1.0 / variance
            } else {
                self.warnings.push(format!(
                    "{} does not change over the training part of the recording; its error is not scaled",
                    quantity.name
                ))
            }
        }
    }

    pub fn name(&self) -> String {
        let name = self.recording.path.file_stem().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    pub fn fingerprint(&self) -> &str {
        &self.recording.fingerprint
    }

    pub fn path(&self) -> &Path {
        &self.recording.path
    }

    /// Steps of a whole trial.
    pub fn steps(&self) -> usize {
        (self.recording.samples - 1) * self.every
    }

    /// Instants of a whole trial.
    pub fn samples(&self) -> usize {
        self.recording.samples
    }

    /// Trials of all parts.
    pub fn trials(&self) -> usize {
        self.recording.trials
    }

    /// From one instant to the next, ms.
    pub fn interval(&self) -> f64 {
        self.recording.interval
    }

    pub fn window(&self, part: Part) -> &Window {
        match part {
            Part::Train => &self.train,
            Part::Validation => &self.validation,
            Part::Test => &self.test,
        }
    }

    /// Trials in a part.
    pub fn len(&self, part: Part) -> usize {
        self.window(part).trials.len()
    }

    /// What a model of the recording takes.
    pub fn input(&self) -> InputShape {
        InputShape::Sequence {
            steps: self.steps(),
            channels: self.channels,
        }
    }

    /// What it gives.
    pub fn task(&self) -> Task {
        let quantities = self.quantities().zip(&self.observed);
        Task::Recording {
            quantities: quantities
                .map(|(quantity, observed)| (quantity.name.clone(), observed.width))
                .collect(),
            samples: self.recording.samples,
        }
    }

    /// What the model is to show.
    pub fn quantities(&self) -> impl Iterator<Item = &Quantity> {
        self.recording.quantities.iter().take(self.observed.len())
    }

    /// The trials of one epoch from batch `first` on.
    pub fn batches(&self, epoch: u64, first: usize, size: usize, seed: u64) -> Vec<Vec<usize>> {
        shuffled(self.train.trials.clone(), (seed, epoch), first, size)
    }

    /// The mean over the quantities of the mean squared error divided by the variance over the training part, with its
    /// gradient, for some trials of the training part. `steps` are what earlier gradients of this network left.
    pub fn gradient(
        &self,
        network: &MultiGranularity,
        only: Option<&[String]>,
        trials: &[usize],
        (memory, steps): (Option<&Memory>, &mut RecordedSteps),
        device: &Device,
    ) -> Result<Backward, TrainError> {
        let samples = &self.train.samples;
        let count = (samples.end - 1) * self.every;
        let automatic = Memory::Segments(((count as f64).sqrt().round() as usize).max(1));
        let names: Vec<&str> = only.into_iter().flatten().map(String::as_str).collect();
        let model = match only {
            Some(_) => network.model.clone().train_only(&names)?,
            None => network.model.clone(),
        };
        let targets: Vec<Tensor<3>> = self
            .quantities()
            .map(|quantity| self.target(quantity, trials, samples, device))
            .collect();
        let grid = network.grid(count);
        let input = self.given(trials, count, device);
        let run = Run {
            initial: None,
            batch: trials.len(),
            input: input.as_ref(),
            grid: &grid,
            every: self.every,
            memory: memory.unwrap_or(&automatic),
        };
        let share = 1.0 / self.observed.len().max(1) as f64;
        let loss = |seen: Tensor<3>| {
            let seen = seen.narrow(0, samples.start, samples.len());
            let terms = self.observed.iter().zip(targets).map(|(observed, target)| {
                let columns = target.dims()[2];
                let error = seen.clone().narrow(2, observed.first, columns) - target;
                error.square().mean().mul_scalar(observed.weight * share)
            });
            terms
                .reduce(|sum, term| sum + term)
                .unwrap_or_else(|| seen.sum())
        };
        Ok(gradient_again(&model, &run, loss, steps)?)
    }

    /// `[samples, trials, columns]`
    fn target(
        &self,
        quantity: &Quantity,
        trials: &[usize],
        samples: &Range<usize>,
        device: &Device,
    ) -> Tensor<3> {
        let rows = samples
            .clone()
            .flat_map(|sample| trials.iter().map(move |trial| (*trial, sample)));
        let values: Vec<f32> = rows
            .flat_map(|(trial, sample)| quantity.row(self.recording.samples, trial, sample))
            .copied()
            .collect();
        let shape = [samples.len(), trials.len(), quantity.columns];
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// What the model is given in each of the first `steps` steps.
    fn given(&self, trials: &[usize], steps: usize, device: &Device) -> Box<dyn Input> {
        if self.channels == 0 {
            return Box::new(NoInput);
        }
        let inputs = &self.recording.quantities[self.observed.len()..];
        let mut values = Vec::with_capacity(steps * trials.len() * self.channels);
        for step in 0..steps {
            for trial in trials {
                for quantity in inputs {
                    let sample = step / self.every;
                    values.extend_from_slice(quantity.row(self.recording.samples, *trial, sample));
                }
            }
        }
        let shape = [steps, trials.len(), self.channels];
        Box::new(InputSeries(Tensor::from_data(
            TensorData::new(values, shape),
            device,
        )))
    }

    /// Runs the network, without autodiff, over a part, `batch` trials at a time. Hands over the trials and what was
    /// observed, `[samples from the beginning, trials, columns]`.
    fn run(
        &self,
        network: &MultiGranularity,
        part: Part,
        device: &Device,
        batch: usize,
        mut sink: impl FnMut(&[usize], &[f32]),
    ) -> Result<(), TrainError> {
        let window = self.window(part);
        let steps = (window.samples.end - 1) * self.every;
        for trials in window.trials.chunks(batch.max(1)) {
            let input = self.given(trials, steps, device);
            let seen = network.observe(trials.len(), steps, input.as_ref())?;
            let seen = seen.try_into_vec_as::<f32>().map_err(TrainError::backend)?;
            sink(trials, &seen);
        }
        Ok(())
    }

    /// The scores on a part, and what the network shows in the first trial of it, `[samples from the beginning, columns]`.
    pub fn score(
        &self,
        network: &MultiGranularity,
        part: Part,
        device: &Device,
        batch: usize,
    ) -> Result<(RecordingScores, Vec<f32>), TrainError> {
        let window = self.window(part);
        let width = network.columns();
        let mut squares = vec![0.0_f64; self.observed.len()];
        let mut shown = Vec::new();
        self.run(network, part, device, batch, |trials, seen| {
            if shown.is_empty() {
                let rows = seen.chunks_exact(width.max(1)).step_by(trials.len().max(1));
                shown = rows.flatten().copied().collect();
            }
            for (index, trial) in trials.iter().enumerate() {
                for sample in window.samples.clone() {
                    let row = (sample * trials.len() + index) * width;
                    let quantities = self.quantities().zip(&self.observed);
                    for ((quantity, observed), sum) in quantities.zip(&mut squares) {
                        let truth = quantity.row(self.recording.samples, *trial, sample);
                        let own = seen.get(row + observed.first..).unwrap_or_default();
                        let errors = own.iter().zip(truth).map(|(x, y)| f64::from(x - y).powi(2));
                        *sum += errors.sum::<f64>();
                    }
                }
            }
        })?;
        let mut loss = 0.0;
        let mut quantities = Vec::with_capacity(self.observed.len());
        for (index, (quantity, observed)) in self.quantities().zip(&self.observed).enumerate() {
            let spread = self.spread(index, part);
            let mse = squares[index] / spread.count.max(1) as f64;
            loss += mse * observed.weight / self.observed.len() as f64;
            quantities.push(QuantityScores {
                name: quantity.name.clone(),
                unit: observed.unit.to_owned(),
                columns: quantity.columns,
                mse,
                r2: if spread.deviation > 0.0 {
                    Some(1.0 - squares[index] / spread.deviation)
                } else {
                    None
                },
            });
        }
        Ok((
            RecordingScores {
                loss,
                quantities,
                trained: Vec::new(),
            },
            shown,
        ))
    }

    /// Says which quantities a fit follows badly for the noise that they have.
    pub fn doubts(&self, scores: &RecordingScores) -> Vec<String> {
        let quantities = scores.quantities.iter().enumerate();
        let far = quantities.filter_map(|(index, quantity)| {
            let noise = self.noise(index);
            let (r2, error) = (quantity.r2?, quantity.mse.sqrt());
            let unit = match quantity.unit.as_str() {
                "1" => String::new(),
                unit => format!(" {unit}"),
            };
            (r2 < FOLLOWED && quantity.mse > 4.0 * noise).then(|| {
                format!(
                    "{} is not followed to its noise: R² {r2:.4}, an error of {error:.4}{unit} where the noise from one instant \
                     to the next is at most {:.4}{unit}; train for longer, from another start, or let more parameters learn",
                    quantity.name,
                    noise.sqrt()
                )
            })
        });
        far.collect()
    }

    /// The variance of what changes from one instant to the next in the training part, by second differences (Gasser, Sroka
    /// and Jennen-Steinmetz 1986, doi:10.1093/biomet/73.3.625); what a signal itself bends is in it, so that it is an upper
    /// bound of the noise's.
    fn noise(&self, index: usize) -> f64 {
        let samples = self.recording.samples;
        let quantity = &self.recording.quantities[index];
        let (mut sum, mut count) = (0.0, 0.0);
        for trial in &self.train.trials {
            for sample in self.train.samples.clone().skip(2) {
                let row = |back: usize| quantity.row(samples, *trial, sample - back);
                let rows = row(2).iter().zip(row(1)).zip(row(0));
                for ((a, b), c) in rows {
                    sum += f64::from(a - 2.0 * b + c).powi(2) / 6.0;
                    count += 1.0;
                }
            }
        }
        sum / f64::max(count, 1.0)
    }

    /// How far a quantity is from the mean of each of its columns over a part.
    fn spread(&self, index: usize, part: Part) -> Spread {
        let (window, samples) = (self.window(part), self.recording.samples);
        let quantity = &self.recording.quantities[index];
        let rows = || {
            let trials = window.trials.iter();
            trials.flat_map(|trial| {
                window
                    .samples
                    .clone()
                    .map(|s| quantity.row(samples, *trial, s))
            })
        };
        let mut means = vec![0.0_f64; quantity.columns];
        let mut count = 0;
        for row in rows() {
            count += 1;
            means
                .iter_mut()
                .zip(row)
                .for_each(|(mean, x)| *mean += f64::from(*x));
        }
        means
            .iter_mut()
            .for_each(|mean| *mean /= f64::from(count.max(1)));
        let deviations = rows().flat_map(|row| {
            let cells = row.iter().zip(&means);
            cells.map(|(x, mean)| (f64::from(*x) - mean).powi(2))
        });
        Spread {
            deviation: deviations.sum(),
            count: count as usize * quantity.columns,
        }
    }

    /// Where a column of a quantity is among what the network shows.
    pub fn column(&self, quantity: usize, column: usize) -> usize {
        self.observed[quantity].first + column
    }

    pub fn unit(&self, quantity: usize) -> &'static str {
        self.observed[quantity].unit
    }

    /// The first `count` recorded values of one column in a trial.
    pub fn truth(
        &self,
        quantity: usize,
        column: usize,
        trial: usize,
        count: usize,
    ) -> Vec<Option<f32>> {
        let samples = self.recording.samples;
        let quantity = &self.recording.quantities[quantity];
        let value = |sample| quantity.row(samples, trial, sample).get(column).copied();
        (0..count).map(value).collect()
    }
}

/// Refuses turns in which nothing would be learnt.
fn check_turns(
    model: &MultiGranularityModel,
    turns: Option<&[Vec<String>]>,
) -> Result<(), TrainError> {
    let some =
        "levels with something to train, such as a population, couplers, or cells with `trainable`";
    if model.trainable() == 0 {
        return Err(ConfigError::new("model", "nothing to train", some).into());
    }
    for turn in turns.into_iter().flatten() {
        let names: Vec<&str> = turn.iter().map(String::as_str).collect();
        if model.clone().train_only(&names)?.trainable() == 0 {
            let found = format!("[{}], where nothing is trained", names.join(", "));
            return Err(ConfigError::new("train.turns", found, some).into());
        }
    }
    Ok(())
}

/// Squared deviations from the mean, and how many.
struct Spread {
    deviation: f64,
    count: usize,
}

fn columns(path: &Path, quantity: &Quantity, allowed: &str) -> TrainError {
    DataError::Format {
        path: path.to_owned(),
        reason: format!(
            "{} has {}; allowed: {allowed}",
            quantity.name,
            counted(quantity.columns, "column")
        ),
    }
    .into()
}

/// Steps of the model from one instant to the next.
fn every(recording: &Recording, dt: f64) -> Result<usize, TrainError> {
    let ratio = recording.interval / dt;
    let every = ratio.round();
    // At the end model and recording may be a twentieth of an instant's distance apart.
    let drift = (ratio - every).abs() * recording.samples as f64;
    if every >= 1.0 && drift <= 0.05 * every {
        Ok(every as usize)
    } else {
        Err(ConfigError::new(
            "model.dt",
            dt,
            format!(
                "{:.6} ms, the distance of the instants in {}, or that divided by a whole number",
                recording.interval,
                recording.path.display()
            ),
        )
        .into())
    }
}

/// The parts for training, validation and test.
fn divide(
    recording: &Recording,
    test: f64,
    validation: f64,
    seed: u64,
) -> Result<[Window; 3], TrainError> {
    let several = recording.trials > 1;
    let all = if several {
        recording.trials
    } else {
        recording.samples
    };
    let count = |share: f64| {
        if share > 0.0 {
            ((all as f64 * share).round() as usize).max(1)
        } else {
            0
        }
    };
    let (test_count, held_out) = (count(test), count(validation));
    // The first instant is given, so that a fit needs two.
    let least = if several { 1 } else { 2 };
    let Some(kept) = all
        .checked_sub(test_count + held_out)
        .filter(|kept| *kept >= least)
    else {
        let what = if several { "trials" } else { "instants" };
        let allowed = format!(
            "so little, together with data.validation, that {least} of {all} {what} are left to learn from"
        );
        return Err(ConfigError::new("data.recording.test", test, allowed).into());
    };
    let whole = 0..recording.samples;
    let [train, validation, mut test] = if several {
        let mut trials: Vec<usize> = (0..all).collect();
        shuffle(&mut trials, seed, 0, Purpose::Validation);
        let part = |range: Range<usize>| {
            let mut own = trials.get(range).unwrap_or_default().to_vec();
            own.sort_unstable();
            Window {
                trials: own,
                samples: whole.clone(),
            }
        };
        [
            part(0..kept),
            part(kept..kept + held_out),
            part(kept + held_out..all),
        ]
    } else {
        [0..kept, kept..kept + held_out, kept + held_out..all].map(|samples| Window {
            trials: if samples.is_empty() {
                Vec::new()
            } else {
                vec![0]
            },
            samples,
        })
    };
    if test_count == 0 {
        test = train.clone();
    }
    Ok([train, validation, test])
}
