//! A data set as what a run learns from.

use burn::tensor::Device;
use granule_data::decoding::apart;
use granule_data::task::Part;
use granule_data::{Dataset, Normalization, Shape, Split, Targets};
use granule_device::OpenDevice;
use granule_io::budget;
use granule_io::words::counted;
use granule_models::{InputShape, InputSpec, Link, Network, Profile, Readout, Task};

use crate::batch::{AuxiliaryCounts, Scaling, rate_of};
use crate::batches::{Batches, Purpose, shuffle};
use crate::config::{DataConfig, Loss, RunConfig, TrainConfig, class_weights_note};
use crate::engine::baseline;
use crate::engine::samples::Samples;
use crate::engine::source::{Source, Step, Supply, Trained};
use crate::event::{Event, Observer};
use crate::outcome::{Evaluation, Scores};
use crate::record::{MistakeCard, Picture, Scatter, TestResult};
use crate::{ConfigError, TrainError};

/// Mistakes shown as pictures.
const PICTURES: usize = 32;
/// The longest side of such a picture: twice what the page gives it, for fine screens.
const PICTURE_SIDE: u32 = 168;

/// The parts of a data set.
pub(crate) struct Parts<'a> {
    pub dataset: &'a Dataset,
    /// Indices into the training part.
    pub train: Vec<usize>,
    /// Indices into the part of the data set that is validated on.
    pub validation: Vec<usize>,
    /// Indices into the test part.
    pub test: Vec<usize>,
    /// What was recognised in the files, and what the configuration makes of it.
    pub notes: Vec<String>,
    /// What may be wrong with the data set, and with the samples chosen from it.
    pub warnings: Vec<String>,
    /// That of the data.
    seed: u64,
    /// `data.limit_train`
    limit: Option<usize>,
    /// How targets are scaled, and whether they are counts.
    targets: Normalization,
    counts: bool,
    /// What is learnt beside them.
    auxiliary: Option<AuxiliaryCounts>,
    /// Of the images to learn from.
    intensities: Vec<u64>,
}

impl<'a> Parts<'a> {
    /// The parts that the configuration chooses, what a model for them takes and what it is to give.
    pub fn new(
        config: &RunConfig,
        dataset: &'a Dataset,
    ) -> Result<(Self, InputSpec, Task), TrainError> {
        // The places of the samples: all, those held out, those of each class, and what growing takes.
        let samples = dataset.train.len().saturating_add(dataset.test.len());
        budget::ask_for::<[usize; 4]>("the choice of samples", samples)?;
        let train = &config.train;
        let task = match train.loss {
            Loss::Poisson => counted_task(dataset)?,
            Loss::Auto if dataset.counts => counted_task(dataset)?,
            _ => task(dataset),
        };
        let refused = match (&task, train.loss) {
            (Task::Classification { .. }, Loss::Poisson) => Some((
                "\"poisson\"",
                "\"cross-entropy\" for classes, which y holds; if they are counts, say data.targets = \"values\"",
            )),
            (Task::Regression { .. }, Loss::CrossEntropy) => Some((
                "\"cross-entropy\"",
                "\"mse\" for real-valued targets, which y holds (`--set train.loss=mse`); if they are labels, save them as \
                 integers or strings, or say data.targets = \"classes\"",
            )),
            // Outputs fitted to one-hot rows are no logits, which is what a model file's classifier takes them for.
            (Task::Classification { .. }, Loss::Mse) => Some((
                "\"mse\"",
                "\"cross-entropy\" for classes, which y holds; if they are amounts, say data.targets = \"values\"",
            )),
            _ => None,
        };
        if let Some((value, allowed)) = refused {
            return Err(ConfigError::new("train.loss", value, allowed).into());
        }
        if let Task::Regression { .. } = task {
            let of_classes = [
                ("train.label_smoothing", train.label_smoothing > 0.0, "0"),
                (
                    "train.class_weights",
                    train.class_weights.is_some(),
                    "unset",
                ),
            ];
            if let Some((field, _, allowed)) = of_classes.into_iter().find(|(_, set, _)| *set) {
                let allowed = format!("{allowed} for a data set with real-valued targets");
                let value = match &train.class_weights {
                    Some(weights) if field == "train.class_weights" => weights.to_string(),
                    _ => train.label_smoothing.to_string(),
                };
                return Err(ConfigError::new(field, value, allowed).into());
            }
        }
        let beside = task.learnt_outputs() > task.outputs();
        let vectors = !matches!(dataset.train.shape(), Shape::Image { .. });
        if vectors && !config.data.augmentation.is_identity() {
            return Err(ConfigError::new(
                "data.augmentation",
                "a distortion",
                "none for a data set of feature vectors or sequences",
            )
            .into());
        }
        let of_images = [
            (
                "data.range",
                config.data.range.map(|range| format!("{range:?}")),
            ),
            (
                "data.transpose",
                config.data.transpose.then(|| "true".to_owned()),
            ),
        ];
        for (field, said) in of_images {
            if let Some(value) = said.filter(|_| vectors) {
                let allowed = "unset for a data set of feature vectors or sequences, which are standardised as they are";
                return Err(ConfigError::new(field, value, allowed).into());
            }
        }
        // What is held at the end is asked for before the first step.
        let tested = config
            .data
            .limit_test
            .map_or(dataset.test.len(), |limit| limit.min(dataset.test.len()));
        budget::ask_for::<f32>(
            "the network's outputs for the test part (data.limit_test takes fewer samples)",
            tested.saturating_mul(task.outputs()),
        )?;
        let input = InputSpec {
            shape: input_shape(dataset.train.shape()),
            mean: dataset.normalization.mean.clone(),
            std: dataset.normalization.std.clone(),
            background: config.data.background,
            resize: config.data.images().resize,
            range: config.data.range,
            transpose: config.data.transpose,
            square_root: config.data.decoding().square_root,
        };
        let sequences = matches!(input.shape, InputShape::Sequence { .. });
        if sequences && config.model.readout() == Some(Readout::Auto) {
            let allowed = "last or mean, as in --set model.readout=last, for sequences of a data set, which are answered once";
            return Err(ConfigError::new("model.readout", "auto", allowed).into());
        }
        config.model.validate(&input.shape, task.learnt_outputs())?;
        let train = train_samples(dataset, config.data.limit_train, config.data.seed);
        let mut warnings = dataset.warnings.clone();
        if let Some(limit) = config.data.limit_train.filter(|limit| *limit > train.len()) {
            warnings.push(format!(
                "data.limit_train = {limit}, and there are {} to learn from",
                counted(train.len(), "sample")
            ));
        }
        let (train, validation) = match &dataset.validation {
            Some(own) => {
                // Early stopping asks for a part of sets that have none.
                let meant = config.train.early_stopping.is_none();
                if config.data.validation > 0.0 && meant {
                    warnings.push(format!(
                        "the data set has a validation part of its own: data.validation = {} holds nothing out",
                        config.data.validation
                    ));
                }
                (train, (0..own.len()).collect())
            }
            None => hold_out(
                &dataset.train,
                train,
                config.data.validation,
                config.data.seed,
            )?,
        };
        if validation.is_empty() {
            config.validated()?;
        }
        let mut parts = Self {
            dataset,
            intensities: intensities(&dataset.train, &train),
            train,
            validation,
            test: test_samples(dataset, config.data.limit_test, config.data.seed),
            notes: dataset.notes.clone(),
            warnings,
            seed: config.data.seed,
            limit: config.data.limit_train,
            targets: scale_of(dataset, has_counts(&task)),
            counts: has_counts(&task),
            auxiliary: beside
                .then(|| AuxiliaryCounts::new(&dataset.train, input.square_root, &dataset.columns))
                .transpose()?,
        };
        if let Some(weights) = parts.class_weights(&config.train)? {
            parts
                .notes
                .push(class_weights_note(&dataset.classes, &weights));
        }
        parts.warnings.extend(parts.absences(&config.data));
        Ok((parts, input, task))
    }

    /// The classes that the data set has and a part of this run has not, one sentence a part.
    fn absences(&self, data: &DataConfig) -> Vec<String> {
        let set = self.dataset;
        let (train, test) = (&set.train, &set.test);
        let in_train = set.occurring(train, 0..train.len());
        let of_train = set.occurring(train, self.train.iter().copied());
        let held_out = !self.validation.is_empty() && set.validation.is_none();
        let cause = match (data.limit_train, !held_out) {
            (Some(_), true) => " under data.limit_train",
            (Some(_), false) => " under data.limit_train and beside data.validation",
            (None, _) => " beside data.validation",
        };
        let mut found = Vec::new();
        found.extend(set.absence("training", cause, &in_train, &of_train));
        // Those of a validation part of its own are of the data set, which says so.
        if held_out {
            let of_validation = set.occurring(train, self.validation.iter().copied());
            // Those that are nowhere in training are named above.
            found.extend(set.absence("validation", "", &of_train, &of_validation));
        }
        let in_test = set.occurring(test, 0..test.len());
        let of_test = set.occurring(test, self.test.iter().copied());
        found.extend(set.absence("test", " under data.limit_test", &in_test, &of_test));
        found
    }

    pub fn scaling(&self) -> Scaling<'_> {
        Scaling {
            inputs: &self.dataset.normalization,
            targets: &self.targets,
            counts: self.counts,
        }
    }

    fn test_result(
        &self,
        input: &InputShape,
        evaluation: &Evaluation,
        scatters: Vec<Scatter>,
    ) -> Option<TestResult> {
        let test = &self.dataset.test;
        let picture = |index: usize| -> Option<Picture> {
            let (channels, height, width) = image(input)?;
            Picture::thumbnail(channels, height, width, &test.picture(index)?, PICTURE_SIDE).ok()
        };
        match &evaluation.scores {
            Scores::Trials(_) | Scores::Recording(_) | Scores::Named(_) => None,
            Scores::Classification(scores) => Some(TestResult::Classification {
                loss: evaluation.loss,
                report: scores.report.clone(),
                confusion: scores.confusion.clone(),
                baselines: scores.baselines.clone(),
                permutation: scores.permutation.clone(),
                mistakes: scores
                    .mistakes
                    .iter()
                    .take(PICTURES)
                    .map(|mistake| MistakeCard {
                        index: mistake.index,
                        truth: mistake.truth,
                        predicted: mistake.predicted,
                        probability: mistake.probability,
                        picture: picture(mistake.index),
                    })
                    .collect(),
            }),
            Scores::Regression(scores) => Some(TestResult::Regression {
                loss: evaluation.loss,
                scores: scores.clone(),
                scatters,
            }),
        }
    }
}

impl Source for Parts<'_> {
    fn name(&self) -> String {
        self.dataset.name.clone()
    }

    fn fingerprint(&self) -> &str {
        &self.dataset.fingerprint
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn len(&self, part: Part) -> usize {
        match part {
            Part::Train => self.train.len(),
            Part::Validation => self.validation.len(),
            Part::Test => self.test.len(),
        }
    }

    fn tell(&self, observer: &mut dyn Observer) {
        observer.event(&Event::Dataset {
            dataset: self.dataset,
            train: self.train.len(),
            validation: self.validation.len(),
            test: self.test.len(),
        });
    }

    fn has_decisions(&self) -> Result<bool, TrainError> {
        Ok(self.has_classes())
    }

    fn has_classes(&self) -> bool {
        matches!(self.dataset.train.targets(), Targets::Classes(_))
    }

    fn class_weights(&self, train: &TrainConfig) -> Result<Option<Vec<f64>>, ConfigError> {
        let Some(weights) = &train.class_weights else {
            return Ok(None);
        };
        let mut samples = vec![0; task(self.dataset).outputs()];
        for &index in &self.train {
            let class = self.dataset.train.class(index).map(usize::from);
            if let Some(count) = class.and_then(|class| samples.get_mut(class)) {
                *count += 1;
            }
        }
        weights
            .of_classes(&self.dataset.classes, &samples)
            .map(Some)
    }

    fn rates(&self) -> Option<Vec<f64>> {
        let mut rates = self.scaling().rates()?;
        rates.extend(self.auxiliary.iter().flat_map(AuxiliaryCounts::rates));
        Some(rates)
    }

    fn intensities(&self) -> &[u64] {
        &self.intensities
    }

    fn supply<'s>(
        &'s self,
        config: &'s RunConfig,
        device: &'s OpenDevice,
    ) -> Result<Box<dyn Supply + 's>, TrainError> {
        let batches = Batches::new(
            &self.dataset.train,
            self.scaling(),
            &config.data.augmentation,
            &self.train,
            config.train.batch_size,
            config.seed,
            device,
        )?;
        Ok(Box::new(batches.with_auxiliary(self.auxiliary.as_ref())))
    }

    fn validate(
        &self,
        network: &Network,
        device: &Device,
        batch: usize,
    ) -> Result<(f64, Option<f64>), TrainError> {
        let samples = Samples {
            split: self
                .dataset
                .validation
                .as_ref()
                .unwrap_or(&self.dataset.train),
            indices: &self.validation,
            scaling: self.scaling(),
        };
        let tally = samples.tally(network, device, batch)?;
        let count = self.validation.len().max(1) as f64;
        let share = tally.correct as f64 / count;
        Ok((tally.loss / count, self.has_classes().then_some(share)))
    }

    fn evaluate(
        &self,
        trained: Trained<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(Evaluation, Option<TestResult>), TrainError> {
        let samples = Samples {
            split: &self.dataset.test,
            indices: &self.test,
            scaling: self.scaling(),
        };
        let network = trained.network()?;
        let (task, device) = (trained.task, trained.device);
        let (mut evaluation, outputs) =
            samples.evaluate(&network, task, device, trained.batch, observer)?;
        samples.explain(&mut evaluation, self.dataset, &outputs)?;
        // Those that are validated on among them, as `compare` has them.
        let learnt = train_samples(self.dataset, self.limit, self.seed);
        let learnt = Samples {
            split: &self.dataset.train,
            indices: &learnt,
            ..samples
        };
        let classes = &self.dataset.classes;
        if !self.dataset.reconstructs {
            baseline::add(
                &mut evaluation,
                learnt,
                samples,
                classes,
                self.seed,
                observer,
            )?;
        }
        let scatters = match task {
            Task::Regression { outputs: width, .. } => {
                let scatters = Scatter::sample(&samples.values()?, &outputs, *width);
                moved(scatters, self.dataset.test.target_offset())
            }
            _ => Vec::new(),
        };
        let test = self.test_result(&trained.input.shape, &evaluation, scatters);
        Ok((evaluation, test))
    }
}

impl Supply for Batches<'_> {
    fn epoch(&self, epoch: u64, first: usize, step: &mut Step<'_>) -> Result<(), TrainError> {
        self.run(epoch, first, |batch| step(Box::new(batch)))
    }
}

/// The histogram of pixels of some images, of as many as a moment is enough for.
fn intensities(split: &Split, samples: &[usize]) -> Vec<u64> {
    const MOST: usize = 1 << 23;
    if !matches!(split.shape(), Shape::Image { .. }) {
        return Vec::new();
    }
    let pixels = samples.len().saturating_mul(split.shape().len());
    let mut counts = vec![0; Profile::BINS];
    for &sample in samples.iter().step_by(pixels.div_ceil(MOST).max(1)) {
        for pixel in split
            .picture(sample)
            .iter()
            .flat_map(|pixels| pixels.iter())
        {
            counts[Profile::bin(*pixel)] += 1;
        }
    }
    counts
}

/// The extents of an image.
pub(super) fn image(shape: &InputShape) -> Option<(usize, usize, usize)> {
    match *shape {
        InputShape::Image {
            channels,
            height,
            width,
        } => Some((channels, height, width)),
        _ => None,
    }
}

/// Points on the scale of the targets, which are stored less an offset.
fn moved(mut scatters: Vec<Scatter>, offset: &[f64]) -> Vec<Scatter> {
    for scatter in &mut scatters {
        let offset = offset.get(scatter.output).copied().unwrap_or(0.0);
        for (truth, predicted) in &mut scatter.points {
            *truth = (f64::from(*truth) + offset) as f32;
            *predicted = (f64::from(*predicted) + offset) as f32;
        }
    }
    scatters
}

/// The test samples that a run with this [`limit_test`](crate::DataConfig::limit_test) and seed of the data is scored on,
/// as indices in rising order.
pub fn test_samples(dataset: &Dataset, limit: Option<usize>, data_seed: u64) -> Vec<usize> {
    let draw = (data_seed, Purpose::LimitTest);
    limited(&dataset.test, dataset.published, limit, draw)
}

/// The training samples of a run with this limit and seed of the data, in rising order.
pub(super) fn train_samples(dataset: &Dataset, limit: Option<usize>, data_seed: u64) -> Vec<usize> {
    let draw = (data_seed, Purpose::LimitTrain);
    limited(&dataset.train, dataset.published, limit, draw)
}

/// The indices of `limit` samples of a split in rising order: the first ones where the classes are mixed, and of the windows of a
/// recording, as of a shorter one; drawn ones of any other, which may be sorted by class.
fn limited(
    split: &Split,
    mixed: bool,
    limit: Option<usize>,
    (seed, purpose): (u64, Purpose),
) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..split.len()).collect();
    if let Some(limit) = limit.filter(|limit| *limit < split.len()) {
        if !mixed && split.starts().is_none() {
            shuffle(&mut indices, seed, 0, purpose);
        }
        indices.truncate(limit);
        indices.sort_unstable();
    }
    indices
}

/// What the targets of a data set ask for.
pub(crate) fn task(dataset: &Dataset) -> Task {
    match dataset.train.targets() {
        Targets::Classes(_) => Task::Classification {
            classes: dataset.classes.clone(),
        },
        Targets::Values { width, .. } => Task::Regression {
            outputs: *width,
            mean: dataset.target_normalization.mean.clone(),
            std: dataset.target_normalization.std.clone(),
            link: Link::Identity,
            auxiliary: 0,
        },
    }
}

/// What targets ask for that are counts, whose rates are learnt; classes stay classes.
fn counted_task(dataset: &Dataset) -> Result<Task, TrainError> {
    let Targets::Values { width, .. } = dataset.train.targets() else {
        return Ok(task(dataset));
    };
    check_counts(&dataset.train)?;
    check_counts(&dataset.test)?;
    if let Some(validation) = &dataset.validation {
        check_counts(validation)?;
    }
    Ok(Task::Regression {
        outputs: *width,
        mean: Vec::new(),
        std: scale_of(dataset, true).std,
        link: Link::Log,
        auxiliary: match dataset.train.current_values(0) {
            Some(shown) if dataset.learns_inputs => shown.len(),
            _ => 0,
        },
    })
}

/// Whether a model gives rates of counts.
pub(super) fn has_counts(task: &Task) -> bool {
    matches!(
        task,
        Task::Regression {
            link: Link::Log,
            ..
        }
    )
}

/// How far a number may be from a whole one and be taken for a count.
const NEAR: f64 = 1e-3;

/// Refuses targets that are no counts.
pub(super) fn check_counts(split: &Split) -> Result<(), TrainError> {
    let Targets::Values { data, width } = split.targets() else {
        return Ok(());
    };
    let offset = |at: usize| {
        split
            .target_offset()
            .get(at % width)
            .copied()
            .unwrap_or(0.0)
    };
    let values = data.iter().enumerate();
    let mut values = values.map(|(at, &x)| (at, f64::from(x) + offset(at)));
    // A large mean is kept apart in double precision, and its sum with the rest is not exact.
    let bad = values.find(|(_, x)| *x < -NEAR || (x - x.round()).abs() > NEAR);
    bad.map_or(Ok(()), |(at, x)| {
        let allowed = format!(
            "\"mse\" for real values: the targets hold {x} in row {}, column {}, counted from 0, and counts are whole numbers \
             from 0",
            at / width,
            at % width
        );
        Err(ConfigError::new("train.loss", "\"poisson\"", allowed).into())
    })
}

/// How targets are scaled: counts by their [rates](rate_of) in the training part.
pub(super) fn scale_of(dataset: &Dataset, counts: bool) -> Normalization {
    let mean = &dataset.target_normalization.mean;
    if !counts {
        return dataset.target_normalization.clone();
    }
    let samples = dataset.train.len().max(1) as f64;
    Normalization {
        mean: vec![0.0; mean.len()],
        std: mean.iter().map(|&mean| rate_of(mean, samples)).collect(),
    }
}

/// The same extents in the words of the models.
pub(crate) fn input_shape(shape: Shape) -> InputShape {
    match shape {
        Shape::Image {
            channels,
            height,
            width,
        } => InputShape::Image {
            channels,
            height,
            width,
        },
        Shape::Vector { len } => InputShape::Vector { len },
        Shape::Sequence { steps, channels } => InputShape::Sequence { steps, channels },
    }
}

/// Divides `indices` into (kept, held out), the same share of every class, or the end of a recording; both in their first
/// order.
fn hold_out(
    split: &Split,
    indices: Vec<usize>,
    fraction: f64,
    seed: u64,
) -> Result<(Vec<usize>, Vec<usize>), TrainError> {
    if fraction == 0.0 {
        return Ok((indices, Vec::new()));
    }
    if let Some(starts) = split.starts() {
        return checked(
            hold_out_end(split.shape(), starts, &indices, fraction),
            fraction,
            &indices,
        );
    }
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for &index in &indices {
        let class = split.class(index).map_or(0, usize::from);
        if groups.len() <= class {
            groups.resize_with(class + 1, Vec::new);
        }
        if let Some(group) = groups.get_mut(class) {
            group.push(index);
        }
    }
    let mut held_out: Vec<usize> = Vec::new();
    for (class, group) in groups.iter_mut().enumerate() {
        shuffle(group, seed, class as u64, Purpose::Validation);
        let count = (group.len() as f64 * fraction).round() as usize;
        held_out.extend(group.iter().take(count));
    }
    held_out.sort_unstable();
    let kept: Vec<usize> = indices
        .iter()
        .filter(|index| held_out.binary_search(index).is_err())
        .copied()
        .collect();
    checked((kept, held_out), fraction, &indices)
}

/// The last samples of a recording; those before them that share a bin with them are left out, as they would leak.
fn hold_out_end(
    shape: Shape,
    starts: &[usize],
    indices: &[usize],
    fraction: f64,
) -> (Vec<usize>, Vec<usize>) {
    let steps = match shape {
        Shape::Sequence { steps, .. } => steps,
        _ => 1,
    };
    let count = (indices.len() as f64 * fraction).round() as usize;
    let (kept, held_out) = indices.split_at(indices.len().saturating_sub(count));
    let at = |index: &usize| starts.get(*index).copied().unwrap_or(0);
    let apart = apart(steps, held_out.iter().map(at));
    let kept = kept.iter().filter(|index| apart(at(index)));
    (kept.copied().collect(), held_out.to_vec())
}

/// Refuses a part without samples.
fn checked(
    (kept, held_out): (Vec<usize>, Vec<usize>),
    fraction: f64,
    indices: &[usize],
) -> Result<(Vec<usize>, Vec<usize>), TrainError> {
    if kept.is_empty() || held_out.is_empty() {
        return Err(ConfigError::new(
            "data.validation",
            fraction,
            format!(
                "a fraction that leaves samples on both sides of {} training samples",
                indices.len()
            ),
        )
        .into());
    }
    Ok((kept, held_out))
}

#[cfg(test)]
mod tests {
    use granule_data::{Features, Normalization};

    use super::*;

    fn split(classes: Vec<u16>) -> Split {
        let features = Features::Floats(vec![0.0; classes.len()]);
        Split::new(
            Shape::Vector { len: 1 },
            features,
            Targets::Classes(classes),
        )
        .unwrap()
    }

    #[test]
    fn every_class_gives_its_share() {
        let split = split((0..100).map(|i| u16::from(i % 10 == 0)).collect());
        let (kept, held_out) = hold_out(&split, (0..100).collect(), 0.2, 1).unwrap();
        let ones = |indices: &[usize]| indices.iter().filter(|i| **i % 10 == 0).count();
        assert_eq!((kept.len(), ones(&kept)), (80, 8));
        assert_eq!((held_out.len(), ones(&held_out)), (20, 2));
        let mut all = [kept, held_out.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());

        let again = hold_out(&split, (0..100).collect(), 0.2, 1).unwrap().1;
        assert_eq!(again, held_out);
        let other = hold_out(&split, (0..100).collect(), 0.2, 2).unwrap().1;
        assert_ne!(other, held_out);
    }

    #[test]
    fn classes_that_limits_and_the_validation_part_leave_out_are_named() {
        let names = ["ant", "bee", "cat"].map(String::from).to_vec();
        // One cat to learn from, ten to test on; published sets give their first samples.
        let train = split((0..21).map(|i| if i == 20 { 2 } else { i % 2 }).collect());
        let test = split((0..30).map(|i| i / 10).collect());
        let mut set = Dataset::new("mnist", names, Normalization::default(), train, test).unwrap();
        set.published = true;
        assert_eq!(set.warnings, Vec::<String>::new());
        let warnings = |limit_train, limit_test, validation| {
            let mut config = RunConfig::default();
            config.data.limit_train = limit_train;
            config.data.limit_test = limit_test;
            config.data.validation = validation;
            Parts::new(&config, &set).unwrap().0.warnings
        };
        assert_eq!(warnings(None, None, 0.0), Vec::<String>::new());
        assert_eq!(
            warnings(Some(10), Some(10), 0.0),
            [
                "the class cat has no training sample under data.limit_train, the model cannot learn it",
                "2 classes have no test sample under data.limit_test, the scores say nothing of them: bee, cat",
            ]
        );
        assert_eq!(
            warnings(None, None, 0.2),
            ["the class cat has no validation sample, the scores of validation say nothing of it"]
        );
        assert_eq!(
            warnings(None, None, 0.6),
            [
                "the class cat has no training sample beside data.validation, the model cannot learn it"
            ]
        );
    }

    #[test]
    fn a_limit_takes_every_class_of_sorted_files_and_the_first_of_published_sets() {
        let sorted = split((0..300).map(|i| i / 100).collect());
        let parts = |published: bool, limit: Option<usize>, seed: u64| {
            let names = ["a", "b", "c"].map(String::from).to_vec();
            let normalization = Normalization::default();
            let (train, test) = (sorted.clone(), sorted.clone());
            let mut dataset = Dataset::new("set", names, normalization, train, test).unwrap();
            dataset.published = published;
            let mut config = RunConfig::default();
            config.data.limit_train = limit;
            config.data.limit_test = limit;
            config.data.seed = seed;
            let (parts, ..) = Parts::new(&config, &dataset).unwrap();
            [parts.train, parts.test]
        };
        let drawn = parts(false, Some(60), 1);
        for part in &drawn {
            assert_eq!(part.len(), 60);
            assert!(part.is_sorted_by(|a, b| a < b));
            for class in 0..3 {
                let count = part.iter().filter(|i| **i / 100 == class).count();
                assert!((8..36).contains(&count), "{class}: {count}");
            }
        }
        let [train, test] = &drawn;
        assert_ne!(train, test);
        assert_eq!(parts(false, Some(60), 1), drawn);
        let [other_train, other_test] = &parts(false, Some(60), 2);
        assert!(other_train != train && other_test != test);
        let all: Vec<usize> = (0..300).collect();
        assert_eq!(parts(false, Some(400), 1), [&all[..], &all]);
        assert_eq!(parts(true, Some(60), 1), [&all[..60], &all[..60]]);
    }

    #[test]
    fn a_limit_takes_the_first_windows_of_a_recording() {
        let shape = Shape::Sequence {
            steps: 2,
            channels: 1,
        };
        let series = (0..41_u16).map(f32::from).collect();
        let classes = Targets::Classes((0..40).map(|bin| bin % 2).collect());
        let windows = Split::windows(shape, series, ((0..40).collect(), 1), classes).unwrap();
        let names = ["a", "b"].map(String::from).to_vec();
        let (normalization, test) = (Normalization::default(), windows.clone());
        let dataset = Dataset::new("recording:x", names, normalization, windows, test).unwrap();
        let mut config = RunConfig::default();
        (config.data.limit_train, config.data.limit_test) = (Some(5), Some(3));
        let (parts, ..) = Parts::new(&config, &dataset).unwrap();
        let first = |count: usize| (0..count).collect::<Vec<_>>();
        assert_eq!((parts.train, parts.test), (first(5), first(3)));
    }

    #[test]
    fn windows_held_out_share_no_bin_with_the_others() {
        let starts: Vec<usize> = (0..16).chain(20..36).collect();
        let classes = Targets::Classes(vec![0; 32]);
        let shape = Shape::Sequence {
            steps: 5,
            channels: 1,
        };
        let at = (starts.clone(), 4);
        let split = Split::windows(shape, vec![0.0; 40], at, classes).unwrap();
        let (kept, held_out) = hold_out(&split, (0..32).collect(), 0.25, 1).unwrap();
        assert_eq!(held_out, (24..32).collect::<Vec<_>>());
        // The first of them begins at step 28.
        assert_eq!(kept, (0..20).collect::<Vec<_>>());
        assert!(kept.iter().all(|&index| starts[index] + 5 <= 28));
    }

    #[test]
    fn an_empty_side_is_refused() {
        let split = split(vec![0; 3]);
        for fraction in [0.01, 0.99] {
            assert!(hold_out(&split, vec![0, 1, 2], fraction, 1).is_err());
        }
    }
}
