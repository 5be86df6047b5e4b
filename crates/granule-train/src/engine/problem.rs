//! What a run learns: the data set, or the task, seen through the configuration.

use burn::tensor::Device;
use granule_dynamics::composite::MultiGranularityConfig;
use granule_models::{InputSpec, Link, Task};

use crate::config::{DataConfig, Loss, Monitor, RecordingConfig, RunConfig};
use crate::engine::dataset::Parts;
use crate::engine::opened::Data;
use crate::engine::own::Own;
use crate::engine::source::Source;
use crate::event::{Event, Observer};
use crate::recording::Recorded;
use crate::trials::Trials;
use crate::{ConfigError, TrainError};

/// Where samples come from, and what a model for them takes and gives.
pub(crate) struct Problem<'a> {
    pub source: Box<dyn Source + 'a>,
    pub input: InputSpec,
    pub task: Task,
}

impl<'a> Problem<'a> {
    /// Without a data set, the task of the configuration, or its recording.
    pub fn new(
        config: &RunConfig,
        data: &'a Data<'_>,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let problem = Self::of(config, data, device)?;
        problem.check_monitor(config.train.monitor)?;
        Ok(problem)
    }

    fn of(config: &RunConfig, data: &'a Data<'_>, device: &Device) -> Result<Self, TrainError> {
        match (data, &config.data.task, &config.data.recording) {
            (Data::Objective(objective), ..) => Ok(Self {
                input: objective.input(),
                task: objective.task(),
                source: Box::new(Own::new(config, *objective)?),
            }),
            (Data::Dataset(dataset), None, None) => {
                let (parts, input, task) = Parts::new(config, dataset)?;
                Ok(Self {
                    source: Box::new(parts),
                    input,
                    task,
                })
            }
            (Data::Described, None, Some(recording)) => {
                let recorded = recorded(config, recording, device)?;
                Ok(Self {
                    input: InputSpec::new(recorded.input()),
                    task: recorded.task(),
                    source: Box::new(recorded),
                })
            }
            (Data::Described, Some(task), None) => {
                let DataConfig { seed, trials, .. } = config.data;
                let trials = Trials::new(task, &config.model, seed, trials)?;
                let (input, task) = (trials.input(), trials.task()?);
                config.model.validate(&input, task.outputs())?;
                Ok(Self {
                    source: Box::new(trials),
                    input: InputSpec::new(input),
                    task,
                })
            }
            _ => {
                let field = match config.data.recording {
                    Some(_) => "data.recording",
                    None => "data.task",
                };
                let allowed =
                    "set where no data set is given, and one of data.task and data.recording";
                Err(ConfigError::new(field, "this", allowed).into())
            }
        }
    }

    /// Refuses to monitor an accuracy where there is none.
    fn check_monitor(&self, monitor: Monitor) -> Result<(), TrainError> {
        if monitor == Monitor::Loss || self.source.has_decisions()? {
            return Ok(());
        }
        let allowed = format!(
            "\"loss\" for {}, where nothing is right or wrong",
            self.source.name()
        );
        Err(ConfigError::new("train.monitor", "\"accuracy\"", allowed).into())
    }

    /// Tells what was found, taken for granted and may be wrong.
    pub fn tell(&self, observer: &mut dyn Observer) {
        self.source.tell(observer);
        for text in self.source.notes() {
            observer.event(&Event::Note { text });
        }
        for text in self.source.warnings() {
            observer.event(&Event::Warning { text });
        }
    }

    /// The loss that the targets ask for.
    pub fn loss(&self) -> Loss {
        match self.task {
            Task::Classification { .. } => Loss::CrossEntropy,
            Task::Regression {
                link: Link::Log, ..
            } => Loss::Poisson,
            _ => Loss::Mse,
        }
    }

    /// Whether every sample is of a class.
    pub fn has_classes(&self) -> bool {
        self.source.has_classes()
    }
}

/// The recording of a run, and what a model of several levels does with it.
pub(super) fn recorded(
    config: &RunConfig,
    recording: &RecordingConfig,
    device: &Device,
) -> Result<Recorded, TrainError> {
    let Some(model) = config.model.get::<MultiGranularityConfig>() else {
        let allowed = "\"multi-granularity\" with data.recording";
        return Err(ConfigError::new("model.kind", config.model.name(), allowed).into());
    };
    let DataConfig {
        seed, validation, ..
    } = config.data;
    let turns = config.train.turns.as_deref();
    Recorded::new(recording, (model, turns), validation, seed, device)
}
