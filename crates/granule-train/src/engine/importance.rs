//! How much a model leans on parts of what it sees: its score where a part is that of another sample.

use granule_data::{DataError, Dataset};
use granule_device::OpenDevice;
use granule_io::budget;
use granule_models::{LayerConfig, ModelFile, Network, SequentialConfig, Task};

use super::baseline::{self, ridge::bounded};
use super::dataset::has_counts;
use super::opened::on;
use super::samples::Samples;
use super::seen::{Seen, changing, rows};
use super::test_part::{TestPart, with_regression};
use crate::batches::{Purpose, shuffle};
use crate::event::{Event, Observer};
use crate::importance::{
    By, Importance, ImportanceConfig, LinearScore, Measure, PartImportance, Spread,
};
use crate::loss::LossFunction;
use crate::{ConfigError, TrainError};

/// What asks for memory here.
const WHAT: &str = "what is shuffled";

/// Shuffles parts of what a model file sees over the samples of the test part of a data set, `batch` samples at a time, and says
/// how much its score falls. With the limit and the seed of the data of the run, the regression that sees most is
/// fitted to the training part and measured beside it; by lag also that on each lag alone.
///
/// A repeat shuffles all parts by one order, so that they are compared on the same. Once the observer
/// [asks to stop](Observer::is_impatient) the repeats that are whole are told of: their number is that of
/// [`Importance::repeats`], 0 if there is none.
///
/// # Errors
/// [`TrainError::Config`] for settings out of range, a model that sees images, groups that there are not and a part that a model
/// has not; [`TrainError::Mismatch`] when sample shape or targets differ from the model's; [`TrainError::NonFiniteOutput`].
pub fn measure_importance(
    file: &ModelFile,
    dataset: &Dataset,
    config: &ImportanceConfig,
    run: Option<(Option<usize>, u64)>,
    (device, batch): (&OpenDevice, usize),
    observer: &mut dyn Observer,
) -> Result<Importance, TrainError> {
    config.validate()?;
    let test = TestPart::new(file, dataset, observer)?;
    let (thing, parts) = parts(file, dataset, config)?;
    let samples = test.samples();
    let scorer = Scorer::new(samples, &file.task)?;
    let linear = match run.filter(|_| !dataset.reconstructs) {
        Some(run) => Linear::fit(dataset, &file.task, run, config.by, &parts, observer)?,
        None => None,
    };
    on(device, || {
        let network = file.network(device.burn())?;
        let shuffled = Shuffled {
            samples,
            scorer,
            network: &network,
            device,
            batch,
            parts: &parts,
        };
        shuffled.measure(config, thing, linear, observer)
    })
}

/// A part of what a model sees.
struct Part {
    name: String,
    /// Its places in a sample.
    places: Vec<usize>,
}

/// What parts are called, and all of them.
fn parts(
    file: &ModelFile,
    dataset: &Dataset,
    config: &ImportanceConfig,
) -> Result<(&'static str, Vec<Part>), TrainError> {
    let refused = |field: &str, value: &str, allowed: String| {
        TrainError::from(ConfigError::new(field, value, allowed))
    };
    let by = config.by.name();
    let Some(seen) = Seen::new(file, dataset) else {
        let allowed = "of no use for a model that sees images: what is shuffled is a channel or a lag of a signal, or a feature";
        return Err(refused("by", by, allowed.to_owned()));
    };
    let (steps, channels) = (seen.steps, seen.channels);
    let column = |channel| seen.column(channel);
    let of_channels = |name: String, chosen: &[usize]| {
        let places = chosen
            .iter()
            .flat_map(|channel| (0..steps).map(move |step| step * channels + channel));
        let count = chosen.len().saturating_mul(steps);
        Ok::<_, TrainError>(Part {
            name,
            places: budget::collect(places, count, WHAT)?,
        })
    };
    match config.by {
        By::Channel => {
            let part = |channel| of_channels(column(channel).to_string(), &[channel]);
            let parts = (0..channels).map(part).collect::<Result<_, _>>()?;
            Ok((seen.thing, parts))
        }
        By::Lag if steps < 2 => {
            let allowed = "channel or group: a sample has one step, so there is no other lag";
            Err(refused("by", by, allowed.to_owned()))
        }
        By::Lag => {
            let (thing, names) = seen.lags();
            let part = |(step, name)| {
                let places = step * channels..(step + 1) * channels;
                Ok::<_, TrainError>(Part {
                    name,
                    places: budget::collect(places, channels, WHAT)?,
                })
            };
            let parts = names.into_iter().enumerate().map(part);
            Ok((thing, parts.collect::<Result<_, _>>()?))
        }
        By::Group => {
            let groups = groups(file, config, channels, column)?;
            let part = |channels: &Vec<usize>| {
                let columns = channels.iter().map(|&channel| column(channel));
                of_channels(stretches(columns), channels)
            };
            let parts = groups.iter().map(part).collect::<Result<_, _>>()?;
            Ok(("group", parts))
        }
    }
}

/// The channels of each group.
fn groups(
    file: &ModelFile,
    config: &ImportanceConfig,
    channels: usize,
    column: impl Fn(usize) -> usize,
) -> Result<Vec<Vec<usize>>, ConfigError> {
    let within = |ranges: &[[usize; 2]], at: usize| {
        let mut ranges = ranges.iter();
        ranges.any(|&[first, end]| (first..end).contains(&at))
    };
    if config.groups.is_empty() {
        let branches = branches(file).ok_or_else(|| {
            let allowed =
                "one group of channels at least, for the model has no branches that each see some";
            ConfigError::new("groups", "none", allowed)
        })?;
        let chosen = branches.into_iter();
        let chosen = chosen.map(|ranges| (0..channels).filter(|&at| within(ranges, at)).collect());
        return Ok(chosen.collect());
    }
    let chosen = |ranges: &Vec<[usize; 2]>| {
        let seen: Vec<usize> = (0..channels)
            .filter(|&channel| within(ranges, column(channel)))
            .collect();
        let last = column(channels.saturating_sub(1));
        if seen.is_empty() || ranges.iter().any(|&[_, end]| end > last + 1) {
            Err(ConfigError::new(
                "groups",
                format!("{ranges:?}"),
                format!(
                    "ranges of channels that the model sees, which are among 0 to {last}: [0, {}] are all",
                    last + 1
                ),
            ))
        } else {
            Ok(seen)
        }
    };
    config.groups.iter().map(chosen).collect()
}

/// The channels of branches that each see some, where they come before any layer that mixes channels.
fn branches(file: &ModelFile) -> Option<Vec<&[[usize; 2]]>> {
    let layers = &file.model.get::<SequentialConfig>()?.layers;
    let mut layers = layers.iter();
    let first = layers.find(|layer| !matches!(layer, LayerConfig::Dropout(_)))?;
    let LayerConfig::Branches(config) = first else {
        return None;
    };
    let branches = config.branches.iter();
    branches.map(|branch| branch.channels.as_deref()).collect()
}

/// Numbers that rise, those in a row as one: `0 to 35, 40`.
fn stretches(numbers: impl Iterator<Item = usize>) -> String {
    let mut found: Vec<[usize; 2]> = Vec::new();
    for number in numbers {
        match found.last_mut() {
            Some([_, last]) if *last + 1 == number => *last = number,
            _ => found.push([number, number]),
        }
    }
    let words = found.iter().map(|&[first, last]| {
        if last == first {
            first.to_string()
        } else {
            format!("{first} to {last}")
        }
    });
    words.collect::<Vec<_>>().join(", ")
}

/// What outputs are worth.
struct Scorer<'a> {
    samples: Samples<'a>,
    task: &'a Task,
    measure: Measure,
    truth: Vec<f32>,
}

impl<'a> Scorer<'a> {
    fn new(samples: Samples<'a>, task: &'a Task) -> Result<Self, TrainError> {
        let (measure, truth) = match task {
            Task::Classification { .. } => (Measure::BalancedAccuracy, Vec::new()),
            _ if has_counts(task) => (Measure::BitsPerSpike, samples.values()?),
            _ => (Measure::R2, samples.values()?),
        };
        Ok(Self {
            samples,
            task,
            measure,
            truth,
        })
    }

    /// The score of outputs as a network gives them; NaN where there is none.
    fn score(&self, outputs: Vec<f32>) -> Result<f64, TrainError> {
        if let Task::Classification { classes } = self.task {
            return Ok(self
                .samples
                .class_shares(&outputs, classes)?
                .balanced_accuracy);
        }
        let width = self.task.outputs();
        let scores = self.samples.value_scores(&self.truth, outputs, width)?;
        Ok(match self.measure {
            Measure::BitsPerSpike => scores.bits_per_spike.unwrap_or(f64::NAN),
            _ => scores.mean.r2,
        })
    }
}

/// A regression beside the model, as what each part adds to its outputs.
struct Linear {
    name: String,
    penalty: f64,
    score: f64,
    counts: bool,
    outputs: usize,
    /// `[samples, outputs]`
    whole: Vec<f64>,
    /// Of each part `[samples, outputs]`.
    added: Vec<Vec<f64>>,
    /// Of each lag.
    alone: Option<Vec<f64>>,
}

impl Linear {
    /// The regression that sees most, where there is one and memory holds what it adds.
    fn fit(
        dataset: &Dataset,
        task: &Task,
        run: (Option<usize>, u64),
        by: By,
        parts: &[Part],
        observer: &mut dyn Observer,
    ) -> Result<Option<Self>, TrainError> {
        let (outputs, (_, seed)) = (task.outputs(), run);
        with_regression(dataset, task, run, |learnt, tested| {
            let Some(fitted) = baseline::linear(learnt, tested, outputs, seed, observer)? else {
                return Ok(None);
            };
            let scorer = Scorer::new(tested, task)?;
            let mut linear = match Self::of(&fitted, tested, tested.scaling.counts, parts) {
                Ok(linear) => linear,
                Err(TrainError::Data(DataError::Memory(error))) => {
                    let text = format!("no {} beside the model: {error}", fitted.name);
                    observer.event(&Event::Note { text: &text });
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            linear.score = scorer.score(linear.answers(None)?)?;
            if by == By::Lag {
                let score = |answers| scorer.score(answers);
                linear.alone = baseline::alone(learnt, tested, outputs, seed, observer, score)?;
            }
            Ok(Some(linear))
        })
    }

    fn of(
        fitted: &baseline::Linear,
        tested: Samples<'_>,
        counts: bool,
        parts: &[Part],
    ) -> Result<Self, TrainError> {
        let outputs = fitted.constants.len();
        let count = tested.indices.len().saturating_mul(outputs);
        let empty = || budget::with_capacity(count, WHAT);
        let mut whole: Vec<f64> = empty()?;
        let mut added = parts
            .iter()
            .map(|_| empty())
            .collect::<Result<Vec<Vec<f64>>, _>>()?;
        let len = tested.split.shape().len().max(1);
        rows(tested, |x| {
            let product = |weights: &[f64], place: usize| {
                let weight = weights.get(place).copied().unwrap_or(0.0);
                weight * x.get(place).copied().map_or(0.0, f64::from)
            };
            let each = fitted.weights.chunks_exact(len);
            whole.extend(
                each.clone()
                    .zip(&fitted.constants)
                    .map(|(weights, constant)| {
                        (0..len).fold(*constant, |sum, place| sum + product(weights, place))
                    }),
            );
            for (part, added) in parts.iter().zip(&mut added) {
                let sum = |weights| {
                    part.places
                        .iter()
                        .map(|&at| product(weights, at))
                        .sum::<f64>()
                };
                added.extend(each.clone().map(sum));
            }
            true
        })?;
        Ok(Self {
            name: fitted.name.clone(),
            penalty: fitted.penalty,
            score: f64::NAN,
            counts,
            outputs,
            whole,
            added,
            alone: None,
        })
    }

    /// What it says where a part is in another order.
    fn answers(&self, shuffled: Option<(usize, &[usize])>) -> Result<Vec<f32>, TrainError> {
        let mut answers = budget::with_capacity(self.whole.len(), WHAT)?;
        let shuffled = shuffled.and_then(|(part, order)| Some((self.added.get(part)?, order)));
        let width = self.outputs.max(1);
        for (sample, whole) in self.whole.chunks_exact(width).enumerate() {
            let of = |added: &Vec<f64>, sample: usize, output: usize| {
                added.get(sample * width + output).copied().unwrap_or(0.0)
            };
            answers.extend(whole.iter().enumerate().map(|(output, whole)| {
                let change = shuffled.map_or(0.0, |(added, order)| {
                    let other = order.get(sample).copied().unwrap_or(sample);
                    of(added, other, output) - of(added, sample, output)
                });
                bounded(whole + change, self.counts)
            }));
        }
        Ok(answers)
    }
}

/// Samples, parts of which are shuffled.
struct Shuffled<'a> {
    samples: Samples<'a>,
    scorer: Scorer<'a>,
    network: &'a Network,
    device: &'a OpenDevice,
    batch: usize,
    parts: &'a [Part],
}

/// Scores and losses less those of the samples as they are, of each repeat.
#[derive(Default, Clone)]
struct Drops {
    scores: Vec<f64>,
    losses: Vec<f64>,
    linear: Vec<f64>,
}

impl Shuffled<'_> {
    fn measure(
        &self,
        config: &ImportanceConfig,
        thing: &str,
        linear: Option<Linear>,
        observer: &mut dyn Observer,
    ) -> Result<Importance, TrainError> {
        let constant = self.constant()?;
        let changing = constant.iter().filter(|constant| !**constant).count();
        let samples = self.samples.indices.len();
        let mut progress = PartProgress {
            done: 0,
            total: samples * (1 + config.repeats * changing),
        };
        let (score, loss) = self.score(None, &mut progress, observer)?;
        if !score.is_finite() {
            let reason = match self.scorer.measure {
                Measure::BitsPerSpike => "there is no event in the test part",
                _ => "there are too few samples in the test part",
            };
            let allowed = format!("more samples: {reason}, so that there is no score");
            return Err(ConfigError::new("samples", samples, allowed).into());
        }
        let mut drops = vec![Drops::default(); self.parts.len()];
        let mut repeats = 0;
        'repeats: for repeat in 0..config.repeats {
            let mut order = budget::collect(0..samples, samples, WHAT)?;
            shuffle(&mut order, config.seed, repeat as u64, Purpose::Importance);
            for (at, part) in self.parts.iter().enumerate() {
                let Some(drops) = drops.get_mut(at) else {
                    continue;
                };
                if constant.get(at) == Some(&true) {
                    continue;
                }
                if observer.is_impatient() {
                    break 'repeats;
                }
                let (other, other_loss) =
                    self.score(Some((part, &order)), &mut progress, observer)?;
                drops.scores.push(score - other);
                drops.losses.push(other_loss - loss);
                if let Some(linear) = &linear {
                    let other = self.scorer.score(linear.answers(Some((at, &order)))?)?;
                    drops.linear.push(linear.score - other);
                }
            }
            repeats += 1;
        }
        let alone = linear.as_ref().and_then(|linear| linear.alone.as_ref());
        let spread = |numbers: &[f64]| match numbers.get(..repeats) {
            // What is not shuffled is worth nothing.
            None => Spread::of(&vec![0.0; repeats]),
            Some([]) => Spread::default(),
            Some(whole) => Spread::of(whole),
        };
        let parts = self.parts.iter().zip(drops).zip(&constant).enumerate();
        let parts = parts.map(|(at, ((part, drops), &constant))| PartImportance {
            name: part.name.clone(),
            constant,
            drop: spread(&drops.scores),
            loss_rise: spread(&drops.losses),
            linear_drop: linear.as_ref().map(|_| spread(&drops.linear)),
            alone: alone.and_then(|alone| alone.get(at).copied()),
        });
        let parts = parts.collect();
        Ok(Importance {
            by: config.by,
            thing: thing.to_owned(),
            measure: self.scorer.measure,
            score,
            loss,
            samples,
            repeats,
            seed: config.seed,
            linear: linear.map(|linear| LinearScore {
                name: linear.name,
                penalty: linear.penalty,
                score: linear.score,
            }),
            parts,
        })
    }

    /// Which parts are the same in all samples.
    fn constant(&self) -> Result<Vec<bool>, TrainError> {
        let changes = changing(self.samples.split, self.samples.scaling.inputs)?;
        let changes = |&place: &usize| changes.get(place) == Some(&true);
        let parts = self.parts.iter();
        Ok(parts.map(|part| !part.places.iter().any(changes)).collect())
    }

    /// The score and the mean loss where a part is in another order.
    fn score(
        &self,
        shuffled: Option<(&Part, &[usize])>,
        progress: &mut PartProgress,
        observer: &mut dyn Observer,
    ) -> Result<(f64, f64), TrainError> {
        let Samples { split, scaling, .. } = self.samples;
        let (width, len) = (self.scorer.task.outputs(), split.shape().len().max(1));
        let samples = self.samples.indices.len();
        let function = LossFunction::scoring().of_counts(scaling.rates());
        let mut outputs = budget::with_capacity(samples.saturating_mul(width), WHAT)?;
        let (mut loss, mut others) = (0.0, Vec::new());
        let alter = |first: usize, data: &mut [f32]| {
            let Some((part, order)) = shuffled else {
                return Ok(());
            };
            let rows = data.len() / len;
            let order = order.get(first..first + rows).unwrap_or_default();
            split.gather(order, scaling.inputs, None, &mut others)?;
            for (own, other) in data.chunks_exact_mut(len).zip(others.chunks_exact(len)) {
                for &place in &part.places {
                    if let (Some(own), Some(other)) = (own.get_mut(place), other.get(place)) {
                        *own = *other;
                    }
                }
            }
            Ok(())
        };
        let sink = |indices: &[usize], batch: &[f32]| {
            loss += self.samples.with_truth(indices, |truth| {
                function.on_host(batch, truth, width, None).loss
            })?;
            outputs.extend_from_slice(batch);
            progress.done += indices.len();
            observer.event(&Event::Evaluated {
                done: progress.done,
                total: progress.total,
            });
            Ok(())
        };
        let place = (self.device.burn(), self.batch);
        self.samples
            .run_altered("test", self.network, place, alter, sink)?;
        Ok((self.scorer.score(outputs)?, loss / samples.max(1) as f64))
    }
}

/// Samples that were run.
struct PartProgress {
    done: usize,
    total: usize,
}
