//! What a run begins from: weights of another one, or all that a checkpoint holds.

use std::path::{Path, PathBuf};

use granule_device::OpenDevice;
use granule_io::path::expand;
use granule_io::words::{counted, first_of};
use granule_models::folder::{CONFIG_FILE, ModelPlace, checkpoints};
use granule_models::state::{Mismatch, layer_of, load_state_dict, mismatches, state_dict};
use granule_models::{InputShape, ModelFile, Network, Parent, StateDict, Task};

use crate::checkpoint::{Checkpoint, weights_fit, with_other};
use crate::config::{RunConfig, StartConfig};
use crate::engine::problem::Problem;
use crate::engine::session::Session;
use crate::event::Event;
use crate::optimizer::Optimizer;
use crate::progress::Before;
use crate::settings::Settings;
use crate::{ConfigError, TrainError};

/// Tensors that do not fit, and classes, which a message names.
const NAMED: usize = 3;

/// Weights to begin from.
pub(crate) struct Start {
    /// The file they were read from.
    pub file: PathBuf,
    /// The fingerprint of the data they were trained on.
    fingerprint: String,
    /// The kind of the model that they are of.
    kind: &'static str,
    /// What that model takes.
    input: InputShape,
    /// The task of that model.
    task: Task,
    state: StateDict,
    optimizer: Option<StateDict>,
    before: Before,
}

/// What a run begins with besides its network.
pub(crate) struct Begun {
    file: PathBuf,
    fingerprint: String,
    optimizer: Option<Optimizer>,
    before: Before,
    /// What was taken of the weights, where that is not all or means something else here.
    said: Said,
}

/// A note and a warning.
#[derive(Default)]
pub(crate) struct Said {
    pub note: Option<String>,
    pub warning: Option<String>,
}

impl Start {
    /// Reads what a configuration names, if it names anything.
    pub fn of(config: &RunConfig) -> Result<Option<Self>, TrainError> {
        match &config.start {
            None => Ok(None),
            Some(start) if start.optimizer => Self::to_continue(start, config).map(Some),
            Some(start) => Self::weights(start).map(Some),
        }
    }

    fn weights(start: &StartConfig) -> Result<Self, TrainError> {
        let place = ModelPlace::find(&expand(&start.weights))?;
        let model = ModelFile::load(&place.file)?;
        Ok(Self {
            fingerprint: model.provenance.dataset_fingerprint.clone(),
            before: Before {
                parent: Some(Box::new(Parent {
                    file: place.file.display().to_string(),
                    ..Parent::of(model.provenance)
                })),
                ..Before::default()
            },
            kind: model.model.name(),
            input: model.input.shape,
            task: model.task,
            state: model.state,
            optimizer: None,
            file: place.file,
        })
    }

    fn to_continue(start: &StartConfig, config: &RunConfig) -> Result<Self, TrainError> {
        let file = checkpoint_of(&expand(&start.weights))?;
        let Checkpoint {
            progress,
            model,
            optimizer,
        } = Checkpoint::read(&file).map_err(with_other)?;
        let kind = |settings: &Settings| settings.get("optimizer.kind").map(str::to_owned);
        let (had, has) = (kind(&progress.settings), kind(&Settings::of(config)?));
        if had != has {
            let [had, has] = [had, has].map(Option::unwrap_or_default);
            let allowed = format!(
                "{had}, whose state is continued; start.optimizer = false takes the weights alone"
            );
            return Err(ConfigError::new("optimizer.kind", has, allowed).into());
        }
        // An epoch under way is not gone through again.
        let epochs = progress.epoch + usize::from(progress.step_in_epoch > 0);
        let before = Before {
            epochs: progress.before.epochs + epochs,
            steps: progress.before.steps + progress.global_step,
            parent: Some(Box::new(Parent {
                file: file.display().to_string(),
                optimizer: true,
                epochs: progress.before.epochs + epochs,
                ..Parent::of(model.provenance)
            })),
        };
        Ok(Self {
            fingerprint: progress.fingerprint,
            kind: model.model.name(),
            input: model.input.shape,
            task: model.task,
            state: model.state,
            optimizer: Some(optimizer),
            before,
            file,
        })
    }

    /// Puts the weights into a network of the configuration for a problem, and the state into its optimiser. Those of the last
    /// layer stay as they were drawn where it gives another number of values, and so do those of the first layer that
    /// belong to the input, where that has another number of values.
    pub fn apply(
        mut self,
        config: &RunConfig,
        network: Network,
        problem: &Problem<'_>,
        device: &OpenDevice,
    ) -> Result<(Network, Begun), TrainError> {
        let said = self.check(config, &network, problem)?;
        let fresh = self.fresh(&network, problem);
        if !fresh.is_empty() {
            let mut drawn = state_dict(&network)?;
            for tensor in fresh.into_iter().flat_map(|end| end.tensors) {
                if let Some(value) = drawn.0.remove(&tensor.name) {
                    self.state.0.insert(tensor.name, value);
                }
            }
        }
        let network =
            load_state_dict(network, &self.state).map_err(|error| error.in_file(&self.file))?;
        let optimizer = match self.optimizer {
            None => None,
            Some(state) => {
                let (rule, clip) = (&config.optimizer, config.train.clip_norm);
                let mut optimizer = Optimizer::new(rule, clip, &network, device.is_host());
                let steps = self.before.steps;
                let loaded = optimizer.load_state_dict(state, steps, device.burn());
                loaded.map_err(|reason| {
                    let allowed = format!("false, as that state does not fit: {reason}");
                    ConfigError::new("start.optimizer", true, allowed)
                })?;
                Some(optimizer)
            }
        };
        let begun = Begun {
            file: self.file,
            fingerprint: self.fingerprint,
            optimizer,
            before: self.before,
            said,
        };
        Ok((network, begun))
    }

    /// The ends of the model that are drawn anew, where the weights fit but for those: of one layer each, of other shapes only
    /// in how many values the model takes or gives, and not all that there is.
    fn fresh(&self, network: &Network, problem: &Problem<'_>) -> Vec<End> {
        let all = mismatches(network, &self.state);
        if self.optimizer.is_some() || all.is_empty() {
            return Vec::new();
        }
        let (had, has) = (&self.input, &problem.input.shape);
        let inputs = [(had.len(), has.len()), (had.step_len(), has.step_len())];
        let outputs = [(self.task.learnt_outputs(), problem.task.learnt_outputs())];
        let [mut first, mut last] =
            [(false, &inputs[..]), (true, &outputs[..])].map(|(is_last, sides)| End {
                is_last,
                sides: sides
                    .iter()
                    .copied()
                    .filter(|(had, has)| had != has)
                    .collect(),
                tensors: Vec::new(),
            });
        for tensor in all {
            // Names rise from the input to the output.
            match [&mut first, &mut last]
                .into_iter()
                .find(|end| end.explains(&tensor))
            {
                Some(end) => end.tensors.push(tensor),
                None => return Vec::new(),
            }
        }
        // Something is left of the weights besides these layers.
        let is_fresh = |layer: &str| {
            let tensors = first.tensors.iter().chain(&last.tensors);
            tensors
                .into_iter()
                .any(|tensor| layer_of(&tensor.name).0 == layer)
        };
        if self.state.0.keys().all(|name| is_fresh(layer_of(name).0)) {
            return Vec::new();
        }
        let ends = [first, last].into_iter();
        ends.filter(|end| !end.tensors.is_empty()).collect()
    }

    /// Refuses weights that do not fit the network, with the names and shapes of those tensors; what is said of those that
    /// do.
    pub fn check(
        &self,
        config: &RunConfig,
        network: &Network,
        problem: &Problem<'_>,
    ) -> Result<Said, TrainError> {
        let (fresh, task) = (self.fresh(network, problem), &problem.task);
        if fresh.is_empty() {
            weights_fit(network, &self.state).map_err(|tensors| {
                let kind = config.model.name();
                TrainError::OtherWeights {
                    path: self.file.clone(),
                    tensors: if kind == self.kind {
                        tensors
                    } else {
                        format!("they are of the kind {}, and this is {kind}", self.kind)
                    },
                }
            })?;
            let of_samples =
                |task: &Task| matches!(task, Task::Classification { .. } | Task::Regression { .. });
            if of_samples(task) && of_samples(&self.task) && task.outputs() != self.task.outputs() {
                let error = self.task.other_outputs(task.outputs());
                return Err(error.in_file(&self.file).into());
            }
        }
        let ends: Vec<String> = fresh.iter().map(ToString::to_string).collect();
        let note = format!(
            "{}: all weights are taken but those of {}",
            self.file.display(),
            ends.join(" and ")
        );
        let has_last = fresh.iter().any(|end| end.is_last);
        Ok(Said {
            note: (!fresh.is_empty()).then_some(note),
            warning: if has_last {
                None
            } else {
                self.other_classes(task)
            },
        })
    }

    /// A warning of as many classes with other names.
    fn other_classes(&self, task: &Task) -> Option<String> {
        let (Task::Classification { classes: had }, Task::Classification { classes: has }) =
            (&self.task, task)
        else {
            return None;
        };
        let shown = |classes: &[String]| first_of(classes, NAMED);
        (had.len() == has.len() && had != has).then(|| {
            format!(
                "{}: its last layer is taken too, and is that of the classes {}; here they are {}",
                self.file.display(),
                shown(had),
                shown(has)
            )
        })
    }
}

/// The first or the last layer of a model, where it takes or gives another number of values than the weights are of.
struct End {
    is_last: bool,
    /// How many values there were, and how many there are.
    sides: Vec<(usize, usize)>,
    tensors: Vec<Mismatch>,
}

impl End {
    /// Whether a tensor is of this layer, and of another shape only for the values.
    fn explains(&self, tensor: &Mismatch) -> bool {
        let (Some(found), Some(expected)) = (&tensor.found, &tensor.expected) else {
            return false;
        };
        let mut sides = found.iter().zip(expected);
        let layer = |tensor: &Mismatch| layer_of(&tensor.name).0.to_owned();
        found.len() == expected.len()
            && sides.all(|(had, has)| had == has || self.sides.contains(&(*had, *has)))
            && self
                .tensors
                .iter()
                .all(|other| layer(other) == layer(tensor))
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tensors = self.tensors.iter().map(|tensor| tensor.name.as_str());
        let layer = self
            .tensors
            .first()
            .map_or("", |tensor| layer_of(&tensor.name).0);
        // The values of a step of a sequence, where there are steps.
        let (had, has) = self.sides.last().copied().unwrap_or_default();
        let (which, does) = if self.is_last {
            ("last", "gives")
        } else {
            ("first", "takes")
        };
        write!(
            f,
            "the {which} layer, {layer} ({}), which {does} {} here, {had} there, and is drawn anew",
            tensors.collect::<Vec<_>>().join(", "),
            counted(has, "value"),
        )
    }
}

/// The last checkpoint of a run folder, or the checkpoint itself.
fn checkpoint_of(path: &Path) -> Result<PathBuf, TrainError> {
    if !path.is_dir() {
        return match path.extension() {
            Some(extension) if extension == "ckpt" => Ok(path.to_owned()),
            _ => {
                let allowed = "a run folder or a checkpoint with start.optimizer = true, which a model file has no \
                               state for";
                Err(ConfigError::new("start.weights", path.display(), allowed).into())
            }
        };
    }
    if !path.join(CONFIG_FILE).is_file() {
        return Err(TrainError::NotARun {
            path: path.to_owned(),
        });
    }
    checkpoints(path)
        .pop()
        .ok_or_else(|| TrainError::NoCheckpoint {
            path: path.to_owned(),
            reason: "there is none".to_owned(),
        })
}

impl Session<'_> {
    /// Goes on from what its network began with.
    pub fn begin_from(&mut self, begun: Begun) {
        // Weights alone are taken to other data on purpose.
        let continued = begun.optimizer.is_some() && !begun.fingerprint.is_empty();
        if continued && begun.fingerprint != self.problem.source.fingerprint() {
            self.warn(format!(
                "{} was trained on other data: their fingerprint differs",
                begun.file.display()
            ));
        }
        if let Some(text) = &begun.said.note {
            self.observer.event(&Event::Note { text });
        }
        if let Some(text) = begun.said.warning {
            self.warn(text);
        }
        if let Some(optimizer) = begun.optimizer {
            self.optimizer = optimizer;
        }
        self.progress.before = begun.before;
    }
}
