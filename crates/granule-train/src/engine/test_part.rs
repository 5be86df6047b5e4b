//! The test part of a data set as a model file takes it, and as a regression beside the model does.

use granule_data::{Dataset, Normalization, Split};
use granule_io::budget;
use granule_io::words::{counted, first_of};
use granule_models::{InputShape, Link, ModelFile, Task};

use super::dataset::{check_counts, has_counts, input_shape, scale_of, task, train_samples};
use super::samples::Samples;
use crate::TrainError;
use crate::batch::Scaling;
use crate::event::{Event, Observer};

/// The test part of a data set as a model file takes it.
pub(super) struct TestPart<'a> {
    dataset: &'a Dataset,
    relabelled: Option<Split>,
    indices: Vec<usize>,
    scales: [Normalization; 2],
    counts: bool,
}

impl<'a> TestPart<'a> {
    pub fn new(
        file: &ModelFile,
        dataset: &'a Dataset,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        Ok(Self {
            dataset,
            relabelled: checked(file, dataset, observer)?,
            indices: whole(&dataset.test)?,
            scales: scales_of(file),
            counts: has_counts(&file.task),
        })
    }

    pub fn samples(&self) -> Samples<'_> {
        let [inputs, targets] = &self.scales;
        Samples {
            split: self.relabelled.as_ref().unwrap_or(&self.dataset.test),
            indices: &self.indices,
            scaling: Scaling {
                inputs,
                targets,
                counts: self.counts,
            },
        }
    }
}

/// Hands what a run has learnt from, with its limit and the seed of its data, and what it is tested on to `use_it`, scaled as
/// a regression beside a model takes it.
pub(super) fn with_regression<T>(
    dataset: &Dataset,
    task: &Task,
    (limit_train, data_seed): (Option<usize>, u64),
    use_it: impl FnOnce(Samples<'_>, Samples<'_>) -> Result<T, TrainError>,
) -> Result<T, TrainError> {
    let learnt = train_samples(dataset, limit_train, data_seed);
    let tested = whole(&dataset.test)?;
    let counts = has_counts(task);
    let targets = scale_of(dataset, counts);
    let of = |split, indices| Samples {
        split,
        indices,
        scaling: Scaling {
            inputs: &dataset.normalization,
            targets: &targets,
            counts,
        },
    };
    use_it(of(&dataset.train, &learnt), of(&dataset.test, &tested))
}

/// The test part of a data set with the labels of the model's classes, where they are others. What the model takes and gives
/// has to be what the data set has.
pub(super) fn checked(
    file: &ModelFile,
    dataset: &Dataset,
    observer: &mut dyn Observer,
) -> Result<Option<Split>, TrainError> {
    let shape = input_shape(dataset.test.shape());
    let of_set = |error: TrainError| error.of_set(&dataset.name);
    if shape != file.input.shape {
        return Err(of_set(other_input(file, &shape)));
    }
    let mut relabelled = None;
    match (&file.task, task(dataset)) {
        (Task::Regression { outputs, link, .. }, Task::Regression { outputs: found, .. })
            if *outputs == found =>
        {
            if *link == Link::Log {
                check_counts(&dataset.test)?;
            }
        }
        (Task::Classification { classes }, Task::Classification { classes: found }) => {
            if *classes != found {
                let places = places(classes, &found)
                    .ok_or_else(|| of_set(other_task(file, &task(dataset))))?;
                relabelled = Some(dataset.test.relabelled(&places)?);
                for name in classes.iter().filter(|name| !found.contains(name)) {
                    let text = format!(
                        "the class {name} has no test sample, the scores say nothing of it"
                    );
                    observer.event(&Event::Warning { text: &text });
                }
            }
        }
        (_, found) => return Err(of_set(other_task(file, &found))),
    }
    Ok(relabelled)
}

/// How a model scales inputs and targets.
pub(super) fn scales_of(file: &ModelFile) -> [Normalization; 2] {
    let inputs = Normalization {
        mean: file.input.mean.clone(),
        std: file.input.std.clone(),
    };
    let targets = match &file.task {
        Task::Regression {
            std,
            link: Link::Log,
            ..
        } => Normalization {
            mean: vec![0.0; std.len()],
            std: std.clone(),
        },
        Task::Regression { mean, std, .. } => Normalization {
            mean: mean.clone(),
            std: std.clone(),
        },
        _ => Normalization::default(),
    };
    [inputs, targets]
}

/// That a model takes something else than what it is to be scored on.
pub(super) fn other_input(file: &ModelFile, found: &InputShape) -> TrainError {
    TrainError::Mismatch {
        expected: file.input.shape.to_string(),
        found: found.to_string(),
    }
}

/// That a model gives something else than what it is to be scored on.
pub(super) fn other_task(file: &ModelFile, found: &Task) -> TrainError {
    TrainError::Mismatch {
        expected: describe(&file.task),
        found: describe(found),
    }
}

/// The indices of all samples of a test part.
pub(super) fn whole(test: &Split) -> Result<Vec<usize>, TrainError> {
    Ok(budget::collect(0..test.len(), test.len(), "the test part")?)
}

/// The place of each name of `found` in `classes`; none when one is not there.
fn places(classes: &[String], found: &[String]) -> Option<Vec<u16>> {
    let place = |name| {
        let at = classes.iter().position(|class| class == name)?;
        u16::try_from(at).ok()
    };
    found.iter().map(place).collect()
}

fn describe(task: &Task) -> String {
    match task {
        Task::Classification { classes } => {
            format!(
                "{} ({})",
                counted(classes.len(), "class"),
                first_of(classes, 12)
            )
        }
        Task::Regression { outputs, .. } => counted(*outputs, "real value"),
        Task::Trials { task, steps, .. } => {
            format!("trials of {task} in {}", counted(*steps, "step"))
        }
        Task::Recording {
            quantities,
            samples,
        } => {
            let names: Vec<&str> = quantities.iter().map(|(name, _)| name.as_str()).collect();
            format!(
                "recordings of {} at {}",
                names.join(", "),
                counted(*samples, "instant")
            )
        }
    }
}
