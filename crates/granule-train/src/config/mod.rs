//! A whole training run as data: what `config.toml` in a run folder holds.

mod length;
mod optimizer;
mod presets;
mod recipe;
mod schedule;
mod stack;
mod start;
mod weights;

use std::ops::Range;
use std::path::{Path, PathBuf};

use granule_data::arrays::{ArrayOptions, Layout, TargetKind};
use granule_data::decoding::Edges;
use granule_data::task::TaskConfig;
use granule_data::{
    Augmentation, DataError, DatasetSpec, DecodingConfig, Fold, ImageOptions, LoadOptions,
    Truncated,
};
use granule_device::DeviceSpec;
use granule_dynamics::DynamicsError;
use granule_dynamics::composite::{COUPLERS, MultiGranularityConfig};
use granule_dynamics::gradient::Memory;
use granule_io::Bound;
use granule_io::image::{Background, Channels, Resize, Size};
use granule_io::intensity::check_range;
use granule_models::ModelConfig;
use granule_models::folder::CONFIG_FILE;
use granule_ops::Factors;
use serde::{Deserialize, Serialize};

pub use length::Lengthened;
pub use optimizer::{AdamConfig, AdamWConfig, OptimizerConfig, RmsPropConfig, SgdConfig};
pub use presets::{RUN_PRESETS, RunPreset};
pub use schedule::{
    ConstantConfig, CosineConfig, OneCycleConfig, PlateauConfig, ScheduleConfig, StepConfig,
};
pub use stack::{KINDS, Overrides, as_simulation, from_folder, stack};
pub use start::{Keep, StartConfig};
pub(crate) use weights::note as class_weights_note;
pub use weights::{ClassWeightRule, ClassWeights};

use crate::{ConfigError, TrainError};

/// What a task asks of its model.
pub(crate) const TRIALS_ASK_FOR: &str =
    "a model of sequences, \"rate\", \"gru\", \"lstm\" or \"wilson-cowan\", with data.task";

/// Everything that decides a run. The same configuration and seed give the same weights, bit for bit on a CPU.
///
/// The default is the quick start: an MLP on the synthetic digits, on the best device present.
///
/// ```
/// # use granule_train::RunConfig;
/// let config = RunConfig::from_toml_str("seed = 7\n[train]\nepochs = 3\n")?;
/// assert_eq!(config.train.epochs, 3);
/// assert_eq!(RunConfig::from_toml_str(&config.to_toml()?)?, config);
/// # Ok::<(), granule_train::TrainError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Seeds the initial weights, the order of the samples, augmentation and dropout.
    pub seed: u64,
    /// Where the tensors live.
    pub device: DeviceSpec,
    /// What is learnt from.
    pub data: DataConfig,
    /// What learns.
    pub model: ModelConfig,
    /// What its weights begin as; absent: drawn from the seed.
    pub start: Option<StartConfig>,
    /// How long and towards what.
    pub train: TrainConfig,
    /// The update rule.
    pub optimizer: OptimizerConfig,
    /// The learning rate over the optimiser steps.
    pub schedule: ScheduleConfig,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            device: DeviceSpec::default(),
            data: DataConfig::default(),
            model: ModelConfig::default(),
            start: None,
            train: TrainConfig::default(),
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
        }
    }
}

/// The data set and what is done to it; or the task whose trials are made for the run; or a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Which data set; left at its default beside a [`task`](Self::task).
    pub dataset: DatasetSpec,
    /// The folder that holds the published files; absent: the user's cache.
    pub data_dir: Option<PathBuf>,
    /// Refuse to download.
    pub offline: bool,
    /// Seeds drawn data and the division into parts, apart from `seed`: runs of other seeds see the same data.
    pub seed: u64,
    /// Use only so many training samples: the first of a published set, whose classes are mixed, and the first
    /// windows of a recording; of folders and arrays, which may be sorted by class, ones drawn from [`seed`](Self::seed).
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub limit_train: Option<usize>,
    /// Use only so many test samples, chosen in the same way.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub limit_test: Option<usize>,
    /// The fraction of the training part held out for validation, in `[0, 1)`; 0 holds nothing out. A folder `val` beside
    /// `train`, and the arrays `x_val` and `y_val`, take its place. Of a recording, the fraction of its trials, or of the
    /// time of a single one.
    #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
    pub validation: f64,
    /// Height and width of `folder:` and `parquet:` images in pixels, `64` or `[height, width]`, 1 to 4096; absent: all have one size.
    pub size: Option<Size>,
    /// How `folder:` and `parquet:` images of another size than `data.size` reach it: `"stretch"` (the default with a size), `"crop"`
    /// or `"pad"`.
    pub resize: Option<Resize>,
    /// `"grey"` or `"colour"`, what `folder:` and `parquet:` images are read as; absent: grey when all are.
    pub channels: Option<Channels>,
    /// What transparent pixels of `folder:` and `parquet:` images are laid over: `"white"`, `"black"`, `"grey"` or `"#rrggbb"`. It also
    /// fills up images that are padded.
    pub background: Background,
    /// `"error"` or `"skip"`, for `folder:` and `parquet:` images whose file stops before its end: refuse them, or leave them out and
    /// say how many.
    pub truncated: Truncated,
    /// The numbers of black and white in arrays of images: `[0, 255]`, `[-1, 1]`. Absent: 0 and 255 for integers, 0 and 1
    /// for floating-point numbers.
    pub range: Option<[f64; 2]>,
    /// `"sequence"`: arrays `[N, steps, channels]` or `[N, steps]` hold sequences, standardised per channel. Absent: arrays of
    /// one or two dimensions are feature vectors, others images.
    pub layout: Option<Layout>,
    /// Exchange rows and columns of the images of arrays and IDX files, as EMNIST's need.
    pub transpose: bool,
    /// What the targets of arrays and recordings are: `"classes"` or `"values"`. Absent: integers, strings, one-hot rows and whole-numbered
    /// floats that look like labels are classes.
    pub targets: Option<TargetKind>,
    /// Random distortion of the training images.
    pub augmentation: Augmentation,
    /// The task that a rate network learns, instead of a data set; its trials have steps of `model.dt`.
    pub task: Option<TaskConfig>,
    /// How many trials of the task there are.
    pub trials: TrialsConfig,
    /// What a model of several levels is fitted to, instead of a data set.
    pub recording: Option<RecordingConfig>,
    /// What is decoded from what, of the data set `recording:PATH`.
    pub decoding: Option<DecodingConfig>,
    /// Cross-validation: `[2, 5]` tests on the second of five parts of the samples and learns from the others, in place of the
    /// test part, which is left out where the data have one. `granule train --folds 5` trains on all five in turn.
    #[cfg_attr(feature = "schema", schemars(inner(range(min = 1))))]
    pub fold: Option<[usize; 2]>,
}

/// A recording: an `.npz` file with `time`, `[samples]` in ms at equal distances, and for each quantity that the model
/// observes an array of that name, `[samples, columns]` or `[trials, samples, columns]`, as `granule simulate --out` writes
/// the variables of levels. Columns are the first cells, units or variables of the level; there may be fewer than the level
/// has. A level that takes input from outside gets it from `stimulus.LEVEL` (`stimulus.LEVEL.CHANNEL` of several channels), of
/// the same form, each value until the next.
///
/// Noise of the levels is the same in every run of a trial: it is drawn from the seed of the model, the step and the
/// trial's place in its batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RecordingConfig {
    /// The file.
    pub file: PathBuf,
    /// The fraction held out for the test, in `[0, 1)`: of the trials, drawn by the seed of the data, or of the time of a
    /// single one, at its end. 0 scores what was learnt from. Default 0.2.
    #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
    pub test: f64,
}

impl Default for RecordingConfig {
    fn default() -> Self {
        Self {
            file: PathBuf::new(),
            test: 0.2,
        }
    }
}

/// How many trials of a task a run sees. No two of them are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TrialsConfig {
    /// New trials to learn from in every epoch.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub epoch: usize,
    /// Trials that every epoch is validated on, the same ones; 0 validates nothing.
    pub validation: usize,
    /// Trials that the result is scored on.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub test: usize,
}

impl Default for TrialsConfig {
    fn default() -> Self {
        Self {
            epoch: 6400,
            validation: 640,
            test: 2000,
        }
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            dataset: DatasetSpec::SyntheticDigits,
            data_dir: None,
            offline: false,
            seed: 1,
            limit_train: None,
            limit_test: None,
            validation: 0.0,
            size: None,
            resize: None,
            channels: None,
            background: Background::default(),
            truncated: Truncated::default(),
            range: None,
            layout: None,
            transpose: false,
            targets: None,
            augmentation: Augmentation::default(),
            task: None,
            trials: TrialsConfig::default(),
            recording: None,
            decoding: None,
            fold: None,
        }
    }
}

/// The loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training part.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub epochs: usize,
    /// Optimiser steps that a run has at least, 1 or more: on a small training part it has more epochs than `epochs`, as
    /// many as these steps take. Absent: `epochs` alone decide.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub min_steps: Option<usize>,
    /// Samples per batch; the last batch of an epoch may be smaller.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub batch_size: usize,
    /// Batches per optimiser step, 1 or more: their gradients are averaged, so that a step is that of a batch so many times
    /// as large, in the memory of one. The last step of an epoch may have fewer.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub accumulate: usize,
    /// What is minimised.
    pub loss: Loss,
    /// What the products of dense layers and convolutions, forward and back, are computed from: `"f32"`, or on a CPU `"bf16"`,
    /// whose factors are rounded to bfloat16. Their sums, the weights and all else stay in f32, as do validation and test. On a
    /// processor without AVX512-BF16 it is emulated, slower than `"f32"` and less exact, and the run warns of it.
    pub compute: Compute,
    /// How much each class counts in the loss of training: `"balanced"`, or a number for each class, in the order of the
    /// classes: names and folders by the alphabet, numbers by size. Absent: every sample counts alike.
    pub class_weights: Option<ClassWeights>,
    /// Share of each target spread evenly over all classes, in `[0, 1)`; cross-entropy only.
    #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
    pub label_smoothing: f64,
    /// Upper bound of the global L2 norm of the gradient; 0 turns clipping off.
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub clip_norm: Option<f64>,
    /// Stop when the monitored score of the validation part no longer improves; needs `data.validation > 0`, or a data set
    /// with a validation part of its own.
    pub early_stopping: Option<EarlyStopping>,
    /// The score of the validation part that early stopping and the schedule `plateau` go by: `"loss"` or `"accuracy"`.
    pub monitor: Monitor,
    /// Which weights are the result when there is a validation part; without one it is the last ones.
    pub keep: Keep,
    /// A checkpoint every so many optimiser steps, besides the one after every epoch (in a run of more than 100 epochs,
    /// after every hundredth of them).
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub checkpoint_every_steps: Option<usize>,
    /// How many of the latest checkpoints stay on disk. The best one stays as well.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub keep_checkpoints: usize,
    /// What is kept of a run of T steps for its backward pass, by a model of several levels. Absent: about √T segments.
    pub memory: Option<Memory>,
    /// Which levels of a model learn, turn after turn of equally many epochs: the names of levels, and `couplers` for all
    /// couplers. Every turn has the whole course of the learning rate. Absent: all at once.
    pub turns: Option<Vec<Vec<String>>>,
}

impl TrainConfig {
    /// The turn that an epoch, counted from 0, belongs to, and the epochs of that turn.
    pub(crate) fn turn(&self, epoch: usize) -> (usize, Range<usize>) {
        let turns = self.turns.as_ref().map_or(1, Vec::len).max(1);
        let turn = (epoch.saturating_mul(turns) / self.epochs.max(1)).min(turns - 1);
        let begin = |turn: usize| turn.saturating_mul(self.epochs).div_ceil(turns);
        (turn, begin(turn)..begin(turn + 1))
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 10,
            min_steps: None,
            batch_size: 64,
            accumulate: 1,
            loss: Loss::Auto,
            compute: Compute::default(),
            class_weights: None,
            label_smoothing: 0.0,
            clip_norm: None,
            early_stopping: None,
            monitor: Monitor::Loss,
            keep: Keep::default(),
            checkpoint_every_steps: None,
            keep_checkpoints: 2,
            memory: None,
            turns: None,
        }
    }
}

/// What is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Cross-entropy for classes, the squared error for real values, Poisson's for held-out channels. A run's `config.toml` has which it was.
    #[default]
    Auto,
    /// Mean over samples of `−Σ target · log softmax(logits)`; classes only.
    CrossEntropy,
    /// Mean over samples and outputs of the squared difference, over those that count in trials of a task; real values
    /// only.
    Mse,
    /// Mean over samples and outputs of `rate − count · log rate`, Poisson's likelihood but for `log count!`; counts only. The
    /// outputs are logarithms of rates, in units of the mean count. It is that of channels that are held out.
    Poisson,
}

/// What the products of dense layers and convolutions are computed from in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Compute {
    /// Numbers of single precision.
    #[default]
    F32,
    /// Factors rounded to bfloat16, and sums in single precision: on a CPU, of models without recurrent layers. [`granule_ops::Bf16Arithmetic`]
    /// tells what computes them on a processor; a run records it.
    Bf16,
}

impl Compute {
    /// The name in TOML.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// What the products are computed from.
    pub(crate) fn factors(self) -> Factors {
        match self {
            Self::F32 => Factors::Full,
            Self::Bf16 => Factors::Bf16,
        }
    }
}

/// A score of the validation part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Monitor {
    /// The mean loss, without label smoothing and class weights; lower is better.
    #[default]
    Loss,
    /// The share classified rightly, or the share of right decisions in a task's trials; higher is better.
    Accuracy,
}

impl Monitor {
    /// The name in TOML.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Accuracy => "accuracy",
        }
    }
}

/// When to give up waiting for a better validation score. Which weights are the result is [`TrainConfig::keep`]'s.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct EarlyStopping {
    /// Epochs without improvement after which the run stops.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub patience: usize,
    /// A change of the monitored score by less than this is no improvement.
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub min_delta: f64,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self {
            patience: 5,
            min_delta: 0.0,
        }
    }
}

impl RunConfig {
    /// Reads TOML; absent keys take their defaults.
    ///
    /// # Errors
    /// [`TrainError::ConfigSyntax`] for text that is not TOML, an unknown key or a value of the wrong type.
    pub fn from_toml_str(text: &str) -> Result<Self, TrainError> {
        granule_io::from_toml(text).map_err(|error| TrainError::ConfigSyntax {
            reason: error.to_string(),
        })
    }

    /// Reads the configuration of a run folder.
    ///
    /// # Errors
    /// [`TrainError::NotARun`] for a folder without one, [`TrainError::File`] when it cannot be read or is too long, and
    /// [`TrainError::ConfigSyntax`] with the path of the file.
    pub fn of_run(run_dir: &Path) -> Result<Self, TrainError> {
        let path = run_dir.join(CONFIG_FILE);
        match granule_io::read_text(&path, Bound::CONFIGURATION) {
            Ok(text) => Self::from_toml_str(&text).map_err(|error| error.in_file(&path)),
            Err(error) if error.is_absent() || !run_dir.is_dir() => Err(TrainError::NotARun {
                path: run_dir.to_owned(),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes TOML that [`from_toml_str`](Self::from_toml_str) reads back to the same configuration. Settings that mean
    /// nothing to the run, such as the data set of one on a task, are left out.
    ///
    /// # Errors
    /// [`TrainError::ConfigSyntax`] for a value that TOML cannot hold, such as a path that is not UTF-8.
    pub fn to_toml(&self) -> Result<String, TrainError> {
        toml::to_string(&self.table()?.0).map_err(syntax)
    }

    /// As [`to_toml`](Self::to_toml), with the keys that are unset as comments.
    ///
    /// # Errors
    /// Those of [`to_toml`](Self::to_toml).
    #[cfg(feature = "schema")]
    pub fn to_documented_toml(&self) -> Result<String, TrainError> {
        use crate::schema::{Comments, Schema, documented};
        let (table, meaningless) = self.table()?;
        let root = Schema::of_runs();
        Ok(documented(
            &root.root(),
            &table,
            Comments::Unset,
            &meaningless,
        ))
    }

    /// All values that mean something to the run, and the paths of those that do not.
    fn table(&self) -> Result<(toml::Table, Vec<&'static str>), TrainError> {
        let mut table = toml::Table::try_from(self).map_err(syntax)?;
        let mut meaningless = Vec::new();
        if let Some(toml::Value::Table(data)) = table.get_mut("data") {
            let without_set = self.data.task.is_some() || self.data.recording.is_some();
            let of_sets: &[&str] = if without_set && self.data == self.data.without_set() {
                &[
                    "data.dataset",
                    "data.data_dir",
                    "data.offline",
                    "data.range",
                    "data.layout",
                    "data.transpose",
                    "data.targets",
                    "data.augmentation",
                    "data.decoding",
                    "data.fold",
                ]
            } else {
                &[]
            };
            let plain = self.data.images() == ImageOptions::default();
            let of_folders: &[&str] = if plain && !self.data.is_of_images() {
                &["data.background", "data.truncated"]
            } else {
                &[]
            };
            let of_tasks: &[&str] = match self.data.task {
                None if self.data.trials == TrialsConfig::default() => &["data.trials"],
                _ => &[],
            };
            for path in of_sets.iter().chain(of_tasks).chain(of_folders) {
                data.remove(path.trim_start_matches("data."));
                meaningless.push(*path);
            }
        }
        Ok((table, meaningless))
    }

    /// Checks every setting that can be judged without the data.
    ///
    /// # Errors
    /// The first setting outside its range, with the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        seed("seed", self.seed)?;
        self.data.validate()?;
        self.validate_reconstruction()?;
        self.train.validate()?;
        self.optimizer.validate()?;
        self.schedule.validate()?;
        // Sets of one's own may have a validation part, which shows when they are read.
        if !self.may_be_validated() {
            self.validated()?;
        }
        let levels = self.model.get::<MultiGranularityConfig>();
        match (&self.data.task, &self.data.recording, levels) {
            (Some(_), Some(_), _) => Err(ConfigError::new(
                "data.recording",
                "this",
                "unset with data.task",
            )),
            (Some(task), None, _) => self.validate_task(task),
            (None, Some(recording), Some(model)) => self.validate_recording(recording, model),
            (None, Some(_), None) => Err(ConfigError::new(
                "model.kind",
                format!("{:?}", self.model.name()),
                "\"multi-granularity\" with data.recording",
            )),
            (None, None, Some(_)) => Err(ConfigError::new(
                "data.recording",
                "unset",
                "a file with what the levels are to do, for a model of several levels",
            )),
            (None, None, None) => self.validate_whole(),
        }
    }

    /// Whether the files of the data set may have a validation part.
    fn may_be_validated(&self) -> bool {
        use DatasetSpec::{Arrays, InMemory};
        let of_sets = self.data.task.is_none() && self.data.recording.is_none();
        let dataset = &self.data.dataset;
        of_sets && (dataset.has_encoded_images() || matches!(dataset, Arrays { .. } | InMemory(_)))
    }

    /// Refuses a run without a validation part, where something depends on one.
    pub(crate) fn validated(&self) -> Result<(), ConfigError> {
        if let ScheduleConfig::Plateau(_) = self.schedule {
            self.data.validated("schedule.kind is \"plateau\"")?;
        }
        if self.train.early_stopping.is_some() {
            self.data.validated("train.early_stopping is set")?;
        }
        Ok(())
    }

    /// What only a model of several levels has.
    fn validate_whole(&self) -> Result<(), ConfigError> {
        let only = "unset for all but models of several levels";
        check("train.memory", "this", self.train.memory.is_none(), only)?;
        check("train.turns", "this", self.train.turns.is_none(), only)
    }

    fn validate_recording(
        &self,
        recording: &RecordingConfig,
        model: &MultiGranularityConfig,
    ) -> Result<(), ConfigError> {
        self.without_dataset("unset with data.recording")?;
        model.validate().map_err(model_error)?;
        check(
            "data.trials",
            "this",
            self.data.trials == TrialsConfig::default(),
            "unset with data.recording",
        )?;
        let shares = [
            ("data.recording.test", recording.test),
            ("data.validation", self.data.validation),
        ];
        for (field, share) in shares {
            below_one(field, share)?;
        }
        check(
            "data.recording.test",
            recording.test,
            recording.test + self.data.validation < 1.0,
            "less than 1 together with data.validation",
        )?;
        if let Some(memory) = &self.train.memory {
            let fine = memory.validate().is_ok();
            check("train.memory", "a count of 0", fine, "counts of 1 or more")?;
        }
        for turn in self.train.turns.iter().flatten() {
            check("train.turns", "[]", !turn.is_empty(), "the names of levels")?;
            let names = model.levels.iter().map(|level| level.name.as_str());
            let known: Vec<&str> = names.chain([COUPLERS]).collect();
            if let Some(name) = turn.iter().find(|name| !known.contains(&name.as_str())) {
                return Err(ConfigError::new("train.turns", name, known.join(", ")));
            }
        }
        let turns = self.train.turns.as_ref().map_or(1, Vec::len);
        check(
            "train.turns",
            format!("{turns} turns"),
            turns > 0 && turns <= self.train.epochs,
            "at least one, and at most one for each of train.epochs",
        )
    }

    /// Refuses what fills windows up with means where counts are to be reconstructed: their sums are none. What is learnt beside
    /// counts is counts, too.
    fn validate_reconstruction(&self) -> Result<(), ConfigError> {
        let decoding = self.data.decoding();
        if decoding.learns_inputs() {
            let found = match self.train.loss {
                Loss::Auto | Loss::Poisson => return Ok(()),
                Loss::Mse => "\"mse\"",
                Loss::CrossEntropy => "\"cross-entropy\"",
            };
            let allowed = "\"poisson\" with data.decoding.reconstruct where channels are held out: the counts of the others are learnt as well";
            return Err(ConfigError::new("train.loss", found, allowed));
        }
        let filled = decoding.edges == Edges::Zeros && decoding.window.steps() > 1;
        let of_counts = self.train.loss == Loss::Poisson && decoding.reconstruct;
        let fine = !(filled && of_counts);
        let allowed = "\"leave-out\" with train.loss = \"poisson\" and data.decoding.reconstruct: what stands for bins beyond an edge is no count";
        check("data.decoding.edges", "\"zeros\"", fine, allowed)
    }

    fn validate_task(&self, task: &TaskConfig) -> Result<(), ConfigError> {
        let Some(dt) = self.model.time_step() else {
            return Err(ConfigError::new(
                "model.kind",
                format!("{:?}", self.model.name()),
                TRIALS_ASK_FOR,
            ));
        };
        task.shape(dt).map_err(task_error)?;
        self.without_dataset("unset with data.task; data.trials has the numbers of trials")?;
        self.validate_whole()?;
        check(
            "data.validation",
            self.data.validation,
            self.data.validation == 0.0,
            "0 with data.task; data.trials.validation is a number of trials",
        )
    }

    /// What belongs to a data set, where there is none.
    fn without_dataset(&self, allowed: &'static str) -> Result<(), ConfigError> {
        let data = &self.data;
        let fine = data.dataset == DatasetSpec::default();
        check("data.dataset", &data.dataset, fine, allowed)?;
        let limits = [
            ("data.limit_train", data.limit_train),
            ("data.limit_test", data.limit_test),
        ];
        for (field, limit) in limits {
            check(field, limit.unwrap_or_default(), limit.is_none(), allowed)?;
        }
        let plain = data.augmentation.is_identity();
        check("data.augmentation", "a distortion", plain, allowed)?;
        let losses = [
            (Loss::CrossEntropy, "\"cross-entropy\""),
            (Loss::Poisson, "\"poisson\""),
        ];
        for (loss, value) in losses {
            let fine = self.train.loss != loss;
            check("train.loss", value, fine, "\"mse\" without a data set")?;
        }
        check(
            "train.class_weights",
            weights::text(self.train.class_weights.as_ref()),
            self.train.class_weights.is_none(),
            "unset without a data set of classes",
        )
    }
}

fn syntax(error: impl std::fmt::Display) -> TrainError {
    TrainError::ConfigSyntax {
        reason: error.to_string(),
    }
}

/// A setting of a model of several levels by its name in a run configuration.
fn model_error(error: DynamicsError) -> ConfigError {
    match error {
        DynamicsError::Config(error) => error.under("model"),
        error => ConfigError::new("model", "this", error.to_string()),
    }
}

/// A setting of a task by its name in a run configuration.
pub(crate) fn task_error(error: DataError) -> ConfigError {
    match error {
        DataError::Config(error) if error.field == "dt_ms" => error.named("model.dt"),
        DataError::Config(error) => error.under("data"),
        error => ConfigError::new("data.task", "this", error.to_string()),
    }
}

impl DataConfig {
    /// How the files of an image folder become samples.
    pub fn images(&self) -> ImageOptions {
        ImageOptions {
            channels: self.channels,
            size: self.size,
            resize: self.resize.or(self.size.map(|_| Resize::default())),
            background: self.background,
            truncated: self.truncated,
        }
    }

    fn is_of_images(&self) -> bool {
        self.dataset.has_encoded_images() && self.task.is_none() && self.recording.is_none()
    }

    /// Whether numbers and labels may mean several things. What a program has in memory, it has read itself.
    fn is_of_arrays(&self) -> bool {
        use DatasetSpec::{Arrays, Idx, InMemory};
        let of_sets = self.task.is_none() && self.recording.is_none();
        of_sets && matches!(self.dataset, Arrays { .. } | Idx(_) | InMemory(_))
    }

    /// Whether a signal is decoded that is in arrays.
    fn is_decoded(&self) -> bool {
        matches!(self.dataset, DatasetSpec::Recording(_))
            && self.task.is_none()
            && self.recording.is_none()
    }

    /// What is decoded from what, of `recording:PATH`.
    pub fn decoding(&self) -> DecodingConfig {
        self.decoding.clone().unwrap_or_default()
    }

    fn validate_decoding(&self) -> Result<(), ConfigError> {
        check(
            "data.decoding",
            "this",
            self.decoding.is_none() || self.is_decoded(),
            "unset but for data.dataset = \"recording:PATH\"",
        )?;
        if !self.is_decoded() {
            return Ok(());
        }
        self.decoding().validate().map_err(config_error)
    }

    /// The part of the samples that is tested on in cross-validation.
    ///
    /// # Errors
    /// [`ConfigError`] when there is no such part.
    pub fn fold(&self) -> Result<Option<Fold>, ConfigError> {
        self.fold.map(Fold::new).transpose().map_err(config_error)
    }

    /// How the data set is loaded to learn from it.
    ///
    /// # Errors
    /// [`ConfigError`] when there is no such part of a cross-validation.
    pub fn load_options<'a>(&self) -> Result<LoadOptions<'a>, ConfigError> {
        Ok(LoadOptions {
            data_dir: self.data_dir.clone(),
            offline: self.offline,
            seed: self.seed,
            images: self.images(),
            arrays: self.arrays(),
            decoding: self.decoding(),
            fold: self.fold()?,
            limit_train: self.limit_train,
            ..LoadOptions::default()
        })
    }

    fn validate_images(&self) -> Result<(), ConfigError> {
        let default = ImageOptions::default();
        let images = self.images();
        let quoted = |text: &dyn std::fmt::Display| format!("\"{text}\"");
        let truncated = (images.truncated != default.truncated).then(|| "\"skip\"".to_owned());
        let background =
            (images.background != default.background).then(|| quoted(&images.background));
        let of_folders = [
            ("data.size", self.size.map(|size| size.to_string())),
            ("data.resize", self.resize.map(|resize| quoted(&resize))),
            (
                "data.channels",
                self.channels.map(|channels| quoted(&channels)),
            ),
            ("data.background", background),
            ("data.truncated", truncated),
        ];
        let targets = self.targets.map(|targets| match targets {
            TargetKind::Classes => "\"classes\"".to_owned(),
            TargetKind::Values => "\"values\"".to_owned(),
        });
        let of_arrays = [
            ("data.range", self.range.map(|range| format!("{range:?}"))),
            (
                "data.layout",
                self.layout
                    .map(|Layout::Sequence| "\"sequence\"".to_owned()),
            ),
            ("data.transpose", self.transpose.then(|| "true".to_owned())),
        ];
        let folders = "unset but for data.dataset = \"folder:DIR\" or \"parquet:PATH\"";
        let arrays = "unset but for data.dataset = \"arrays:…\" or \"idx:DIR\"";
        let of_folders = of_folders.map(|said| (said, self.is_of_images(), folders));
        let of_arrays = of_arrays.map(|said| (said, self.is_of_arrays(), arrays));
        let of_targets = (
            ("data.targets", targets),
            self.is_of_arrays() || self.is_decoded(),
            "unset but for data.dataset = \"arrays:…\", \"idx:DIR\" or \"recording:PATH\"",
        );
        let all = of_folders.into_iter().chain(of_arrays).chain([of_targets]);
        for ((field, said), applies, allowed) in all {
            if let Some(value) = said {
                check(field, value, applies, allowed)?;
            }
        }
        if let Some(size) = self.size {
            let allowed = "1 to 4096 pixels a side";
            check("data.size", size, size.is_allowed(), allowed)?;
        }
        if let Some(resize) = self.resize {
            let allowed = "set together with data.size, as in data.size = 64";
            check(
                "data.resize",
                format!("\"{resize}\""),
                self.size.is_some(),
                allowed,
            )?;
        }
        Ok(())
    }

    /// How arrays and IDX files are read.
    pub fn arrays(&self) -> ArrayOptions {
        ArrayOptions {
            range: self.range,
            layout: self.layout,
            transpose: self.transpose,
            targets: self.targets,
        }
    }

    /// With the defaults of what only a data set has.
    fn without_set(&self) -> Self {
        let default = Self::default();
        Self {
            dataset: default.dataset,
            data_dir: default.data_dir,
            offline: default.offline,
            range: default.range,
            layout: default.layout,
            transpose: default.transpose,
            targets: default.targets,
            augmentation: default.augmentation,
            decoding: default.decoding,
            fold: default.fold,
            ..self.clone()
        }
    }

    /// Refuses a configuration without a validation part, where something depends on one.
    fn validated(&self, what: &str) -> Result<(), ConfigError> {
        let allowed = |least: &str, example: &str| format!("{least} when {what}{example}");
        match &self.task {
            None if self.validation > 0.0 => Ok(()),
            None => Err(ConfigError::new(
                "data.validation",
                self.validation,
                allowed("above 0", ", for example 0.1"),
            )),
            Some(_) if self.trials.validation > 0 => Ok(()),
            Some(_) => Err(ConfigError::new(
                "data.trials.validation",
                self.trials.validation,
                allowed("1 or more", ""),
            )),
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        seed("data.seed", self.seed)?;
        at_least_one("data.limit_train", self.limit_train)?;
        at_least_one("data.limit_test", self.limit_test)?;
        at_least_one("data.trials.epoch", Some(self.trials.epoch))?;
        at_least_one("data.trials.test", Some(self.trials.test))?;
        at_most("data.trials.validation", self.trials.validation)?;
        check(
            "data.validation",
            self.validation,
            (0.0..1.0).contains(&self.validation),
            "0 (none) up to but not including 1",
        )?;
        self.validate_images()?;
        self.validate_decoding()?;
        if let Some(fold) = self.fold {
            let is_set = self.task.is_none() && self.recording.is_none();
            let allowed = "unset but for a data set, whose samples can be divided";
            check("data.fold", format!("{fold:?}"), is_set, allowed)?;
            self.fold()?;
        }
        if let Some(range) = self.range {
            check_range(range).map_err(|_| {
                ConfigError::new(
                    "data.range",
                    format!("{range:?}"),
                    "two finite numbers, that of black first: [-1, 1]",
                )
            })?;
        }
        self.augmentation.validate().map_err(augmentation_error)
    }
}

/// A setting that is named as in a run configuration.
fn config_error(error: DataError) -> ConfigError {
    match error {
        DataError::Config(error) => error,
        error => ConfigError::new("data", "this", error.to_string()),
    }
}

/// The setting by its name in a run configuration.
fn augmentation_error(error: DataError) -> ConfigError {
    match error {
        DataError::Config(error) => error.under("data"),
        error => ConfigError::new("data.augmentation", "this", error.to_string()),
    }
}

impl TrainConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        at_least_one("train.epochs", Some(self.epochs))?;
        at_least_one("train.min_steps", self.min_steps)?;
        at_least_one("train.batch_size", Some(self.batch_size))?;
        at_least_one("train.accumulate", Some(self.accumulate))?;
        check(
            "train.label_smoothing",
            self.label_smoothing,
            (0.0..1.0).contains(&self.label_smoothing),
            "0 (none) up to but not including 1",
        )?;
        check(
            "train.label_smoothing",
            self.label_smoothing,
            self.label_smoothing == 0.0 || self.loss != Loss::Mse,
            "0 with train.loss = \"mse\"",
        )?;
        if let Some(norm) = self.clip_norm {
            not_negative("train.clip_norm", norm)?;
        }
        if let Some(early) = &self.early_stopping {
            at_least_one("train.early_stopping.patience", Some(early.patience))?;
            not_negative("train.early_stopping.min_delta", early.min_delta)?;
        }
        if let Some(weights) = &self.class_weights {
            weights.validate()?;
            check(
                "train.class_weights",
                weights,
                self.loss != Loss::Mse,
                "unset with train.loss = \"mse\"",
            )?;
        }
        at_least_one("train.checkpoint_every_steps", self.checkpoint_every_steps)?;
        at_least_one("train.keep_checkpoints", Some(self.keep_checkpoints))
    }
}

fn check(
    field: &'static str,
    value: impl std::fmt::Display,
    fine: bool,
    allowed: &'static str,
) -> Result<(), ConfigError> {
    if fine {
        Ok(())
    } else {
        Err(ConfigError::new(field, value, allowed))
    }
}

/// TOML holds no larger whole number.
fn seed(field: &'static str, value: u64) -> Result<(), ConfigError> {
    check(
        field,
        value,
        value <= i64::MAX as u64,
        "0 to 9223372036854775807",
    )
}

/// No run has more epochs, samples or steps; a product of two such numbers is still counted exactly.
const MOST: usize = 1 << 31;

fn at_least_one(field: &'static str, value: Option<usize>) -> Result<(), ConfigError> {
    match value {
        Some(0) => Err(ConfigError::new(field, 0, "1 or more")),
        Some(value) => at_most(field, value),
        None => Ok(()),
    }
}

fn at_most(field: &'static str, value: usize) -> Result<(), ConfigError> {
    match value {
        ..=MOST => Ok(()),
        _ => Err(ConfigError::new(field, value, "at most 2147483648")),
    }
}

fn positive(field: &'static str, value: f64) -> Result<(), ConfigError> {
    check(
        field,
        value,
        value > 0.0 && value.is_finite(),
        "a finite number above 0",
    )
}

fn not_negative(field: &'static str, value: f64) -> Result<(), ConfigError> {
    check(
        field,
        value,
        value >= 0.0 && value.is_finite(),
        "a finite number, 0 or more",
    )
}

fn below_one(field: &'static str, value: f64) -> Result<(), ConfigError> {
    check(
        field,
        value,
        (0.0..1.0).contains(&value),
        "0 up to but not including 1",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> ConfigError {
        RunConfig::from_toml_str(text)
            .unwrap()
            .validate()
            .unwrap_err()
    }

    #[test]
    fn default_is_valid_and_survives_toml() {
        let config = RunConfig::default();
        config.validate().unwrap();
        let text = config.to_toml().unwrap();
        assert_eq!(RunConfig::from_toml_str(&text).unwrap(), config, "{text}");
        assert_eq!(RunConfig::from_toml_str("").unwrap(), config);
    }

    #[test]
    fn every_kind_survives_toml() {
        for optimizer in OptimizerConfig::NAMES {
            for schedule in ScheduleConfig::NAMES {
                let config = RunConfig {
                    optimizer: OptimizerConfig::from_name(optimizer).unwrap(),
                    schedule: ScheduleConfig::from_name(schedule).unwrap(),
                    train: TrainConfig {
                        early_stopping: Some(EarlyStopping::default()),
                        clip_norm: Some(1.5),
                        checkpoint_every_steps: Some(100),
                        ..Default::default()
                    },
                    data: DataConfig {
                        validation: 0.1,
                        data_dir: Some("somewhere".into()),
                        ..Default::default()
                    },
                    ..Default::default()
                };
                config.validate().unwrap();
                let text = config.to_toml().unwrap();
                assert_eq!(RunConfig::from_toml_str(&text).unwrap(), config, "{text}");
                assert_eq!(config.optimizer.name(), *optimizer);
                assert_eq!(config.schedule.name(), *schedule);
            }
        }
    }

    #[test]
    fn images_of_folders() {
        let text = "[data]\ndataset = \"folder:x\"\nsize = [48, 64]\nchannels = \"gray\"\nbackground = \"#010203\"\n";
        let config = RunConfig::from_toml_str(text).unwrap();
        config.validate().unwrap();
        let images = config.data.images();
        assert_eq!(images.resize, Some(Resize::Stretch));
        assert_eq!(images.channels, Some(Channels::Grey));
        let again = RunConfig::from_toml_str(&config.to_toml().unwrap()).unwrap();
        assert_eq!(again, config);
        let square = RunConfig::from_toml_str(&text.replace("[48, 64]", "64")).unwrap();
        let size = Size {
            height: 64,
            width: 64,
        };
        assert_eq!(square.data.size, Some(size));
        for (key, value) in [
            ("size", "\"big\""),
            ("background", "\"red\""),
            ("resize", "\"zoom\""),
        ] {
            let error = RunConfig::from_toml_str(&format!("[data]\n{key} = {value}")).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
    }

    #[test]
    fn unknown_keys_are_refused_at_every_level() {
        for (text, said) in [
            ("sed = 1", "it has no key \"sed\""),
            ("[data]\ndatset = \"mnist\"", "`data` has no key \"datset\""),
            (
                "[train]\nepoch = 3",
                "`train` has no key \"epoch\"; its keys are epochs,",
            ),
            (
                "[train.early_stopping]\npatiance = 3",
                "`train.early_stopping` has no key \"patiance\"; its keys are patience,",
            ),
            (
                "[optimizer]\nkind = \"adam\"\nmomentum = 0.9",
                "`optimizer` has no key \"momentum\"",
            ),
            (
                "[schedule]\nkind = \"cosine\"\ngamma = 0.9",
                "`schedule` has no key \"gamma\"",
            ),
            (
                "[model]\nkind = \"mpl\"",
                "`model.kind` has no choice \"mpl\"",
            ),
            (
                "[train]\nepochs = \"x\"",
                "`train.epochs` is the text \"x\", not a whole number",
            ),
        ] {
            let error = RunConfig::from_toml_str(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
            assert!(
                !error.contains("field") && !error.contains("expected"),
                "{error}"
            );
        }
    }

    #[test]
    fn seeds_fit_into_toml() {
        let mut config = RunConfig::default();
        config.data.seed = u64::MAX;
        assert_eq!(config.validate().unwrap_err().field, "data.seed");
        config.seed = u64::MAX;
        assert_eq!(config.validate().unwrap_err().field, "seed");
    }

    #[test]
    fn a_bad_value_names_field_value_and_range() {
        for (text, field) in [
            ("[train]\nepochs = 0", "train.epochs"),
            ("[train]\nbatch_size = 0", "train.batch_size"),
            ("[train]\nmin_steps = 0", "train.min_steps"),
            ("[train]\naccumulate = 0", "train.accumulate"),
            ("[train]\nclass_weights = [1, -1]", "train.class_weights[1]"),
            ("[train]\nclass_weights = [0, 0]", "train.class_weights"),
            (
                "[train]\nclass_weights = \"balanced\"\nloss = \"mse\"",
                "train.class_weights",
            ),
            ("[schedule]\nkind = \"plateau\"", "data.validation"),
            (
                "[schedule]\nkind = \"plateau\"\nfactor = 1.0\n[data]\nvalidation = 0.1",
                "schedule.factor",
            ),
            (
                "[schedule]\nkind = \"plateau\"\npatience = 0\n[data]\nvalidation = 0.1",
                "schedule.patience",
            ),
            ("[train]\nlabel_smoothing = 1.0", "train.label_smoothing"),
            (
                "[train]\nlabel_smoothing = 0.1\nloss = \"mse\"",
                "train.label_smoothing",
            ),
            ("[train]\nclip_norm = -0.5", "train.clip_norm"),
            ("[train]\nclip_norm = nan", "train.clip_norm"),
            ("[train]\nkeep_checkpoints = 0", "train.keep_checkpoints"),
            (
                "[train]\ncheckpoint_every_steps = 0",
                "train.checkpoint_every_steps",
            ),
            ("[train.early_stopping]\npatience = 3", "data.validation"),
            (
                "[train.early_stopping]\npatience = 0\n[data]\nvalidation = 0.1",
                "train.early_stopping.patience",
            ),
            ("[data]\nvalidation = 1.0", "data.validation"),
            ("[data]\nlimit_train = 0", "data.limit_train"),
            ("[data]\ndataset = \"folder:x\"\nsize = 0", "data.size"),
            (
                "[data]\ndataset = \"folder:x\"\nsize = [8, 5000]",
                "data.size",
            ),
            (
                "[data]\ndataset = \"folder:x\"\nresize = \"crop\"",
                "data.resize",
            ),
            (
                "[data]\ndataset = \"mnist\"\nbackground = \"black\"",
                "data.background",
            ),
            (
                "[data.augmentation]\nrotation_degrees = 200.0",
                "data.augmentation.rotation_degrees",
            ),
            ("[optimizer]\nkind = \"sgd\"\nlr = -1.0", "optimizer.lr"),
            ("[optimizer]\nkind = \"adam\"\nlr = inf", "optimizer.lr"),
            (
                "[optimizer]\nkind = \"adam\"\nbeta1 = 1.0",
                "optimizer.beta1",
            ),
            (
                "[optimizer]\nkind = \"sgd\"\nmomentum = 0.0\nnesterov = true",
                "optimizer.nesterov",
            ),
            (
                "[schedule]\nkind = \"step\"\nevery_epochs = 0",
                "schedule.every_epochs",
            ),
            (
                "[schedule]\nkind = \"one-cycle\"\npct_start = 1.5",
                "schedule.pct_start",
            ),
        ] {
            let error = refused(text);
            assert_eq!(error.field, field, "{text}");
            assert!(error.to_string().contains(&error.allowed), "{error}");
        }
    }
}
