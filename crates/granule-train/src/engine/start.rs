//! What a run begins from: weights of another one, or all that a checkpoint holds.

use std::path::{Path, PathBuf};

use granule_device::OpenDevice;
use granule_io::path::expand;
use granule_models::folder::{CONFIG_FILE, ModelPlace, checkpoints};
use granule_models::state::{load_state_dict, mismatches};
use granule_models::{ModelFile, Network, Parent, StateDict};

use crate::checkpoint::Checkpoint;
use crate::config::{RunConfig, StartConfig};
use crate::engine::session::Session;
use crate::optimizer::Optimizer;
use crate::progress::Before;
use crate::settings::Settings;
use crate::{ConfigError, TrainError};

/// Tensors that do not fit which a message names.
const NAMED: usize = 6;

/// Weights to begin from.
pub(crate) struct Start {
    /// The file they were read from.
    pub file: PathBuf,
    /// The fingerprint of the data they were trained on.
    fingerprint: String,
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
            state: model.state,
            optimizer: Some(optimizer),
            before,
            file,
        })
    }

    /// Puts the weights into a network of the configuration, and the state into its optimiser.
    pub fn apply(
        self,
        config: &RunConfig,
        network: Network,
        device: &OpenDevice,
    ) -> Result<(Network, Begun), TrainError> {
        self.check(&network)?;
        let network = load_state_dict(network, &self.state)?;
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
        };
        Ok((network, begun))
    }

    /// Refuses weights that do not fit the network, with the names and shapes of those tensors.
    pub fn check(&self, network: &Network) -> Result<(), TrainError> {
        weights_fit(network, &self.state).map_err(|tensors| TrainError::OtherWeights {
            path: self.file.clone(),
            tensors,
        })
    }
}

/// Refuses weights that are not those of a network, with the names and shapes of the tensors that differ.
pub(super) fn weights_fit(network: &Network, state: &StateDict) -> Result<(), String> {
    let all = mismatches(network, state);
    if all.is_empty() {
        return Ok(());
    }
    let mut named: Vec<String> = all.iter().take(NAMED).map(ToString::to_string).collect();
    if all.len() > NAMED {
        named.push(format!("{} more", all.len() - NAMED));
    }
    Err(named.join("; "))
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
        if let Some(optimizer) = begun.optimizer {
            self.optimizer = optimizer;
        }
        self.progress.before = begun.before;
    }
}
