//! What a run begins from: weights of another one, or all that a checkpoint holds.

use std::path::{Path, PathBuf};

use granule_device::OpenDevice;
use granule_io::path::expand;
use granule_io::words::{counted, first_of};
use granule_models::folder::{CONFIG_FILE, ModelPlace, checkpoints};
use granule_models::state::{Mismatch, layer_of, load_state_dict, mismatches, state_dict};
use granule_models::{ModelFile, Network, Parent, StateDict, Task};

use crate::checkpoint::Checkpoint;
use crate::config::{RunConfig, StartConfig};
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
                    optimizer: false,
                    epochs: 0,
                    provenance: model.provenance,
                })),
                ..Before::default()
            },
            kind: model.model.name(),
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
        } = Checkpoint::read(&file).map_err(|error| error.with_other_checkpoint())?;
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
                provenance: model.provenance,
            })),
        };
        Ok(Self {
            fingerprint: progress.fingerprint,
            kind: model.model.name(),
            task: model.task,
            state: model.state,
            optimizer: Some(optimizer),
            before,
            file,
        })
    }

    /// Puts the weights into a network of the configuration for a task, and the state into its optimiser. Those of the last
    /// layer stay as they were drawn where it gives another number of values.
    pub fn apply(
        mut self,
        config: &RunConfig,
        network: Network,
        task: &Task,
        device: &OpenDevice,
    ) -> Result<(Network, Begun), TrainError> {
        let said = self.check(config, &network, task)?;
        let head = self.head(&network, task);
        if !head.is_empty() {
            let mut drawn = state_dict(&network)?;
            for tensor in head {
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

    /// The tensors of the last layer, where the weights fit but for those: of one layer, another shape only in how many
    /// values the model gives, and not all that there is.
    fn head(&self, network: &Network, task: &Task) -> Vec<Mismatch> {
        let all = mismatches(network, &self.state);
        let (gave, gives) = (self.task.outputs(), task.outputs());
        let of_outputs = |tensor: &Mismatch| match (&tensor.found, &tensor.expected) {
            (Some(found), Some(expected)) => {
                let mut sides = found.iter().zip(expected);
                found.len() == expected.len()
                    && sides.all(|(had, has)| had == has || (*had, *has) == (gave, gives))
            }
            _ => false,
        };
        let mut layers = all.iter().map(|tensor| layer_of(&tensor.name).0);
        let first = layers.next();
        let one_layer = layers.all(|layer| Some(layer) == first);
        let some_is_left = all.len() < self.state.0.len();
        let fits = self.optimizer.is_none() && one_layer && some_is_left;
        if fits && all.iter().all(of_outputs) {
            all
        } else {
            Vec::new()
        }
    }

    /// Refuses weights that do not fit the network, with the names and shapes of those tensors; what is said of those that
    /// do.
    pub fn check(
        &self,
        config: &RunConfig,
        network: &Network,
        task: &Task,
    ) -> Result<Said, TrainError> {
        let head = self.head(network, task);
        let Some(first) = head.first() else {
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
            return Ok(Said {
                warning: self.other_classes(task),
                note: None,
            });
        };
        let tensors: Vec<String> = head.iter().map(|tensor| tensor.name.clone()).collect();
        let note = format!(
            "{}: all weights are taken but those of the last layer, {} ({}), which gives {} here, {} there, and is drawn \
             anew",
            self.file.display(),
            layer_of(&first.name).0,
            tensors.join(", "),
            counted(task.outputs(), "value"),
            self.task.outputs()
        );
        Ok(Said {
            note: Some(note),
            warning: None,
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

/// Refuses weights that are not those of a network, with the names and shapes of the tensors that differ.
pub(super) fn weights_fit(network: &Network, state: &StateDict) -> Result<(), String> {
    let all = mismatches(network, state);
    if all.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = all.iter().take(NAMED).map(ToString::to_string).collect();
    let named = named.join("; ");
    Err(match all.len() {
        0..=NAMED => named,
        // Of a model with other layers most tensors differ.
        count => format!("{count} tensors differ, as {named}"),
    })
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
        if !begun.fingerprint.is_empty() && begun.fingerprint != self.problem.source.fingerprint() {
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
