//! A configuration put together: the recipe of what is named, and settings over it.

use std::path::Path;

use granule_data::DatasetSpec;
use granule_data::task::TaskKind;
use granule_device::DeviceSpec;
use granule_dynamics::composite::MultiGranularityConfig;
use granule_io::path::expand;
use granule_io::table::{NoElement, address, clear, lookup, lookup_mut, merge, put, remove};
use granule_models::{MlpConfig, ModelConfig, ModelSettings as _, RateConfig};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{OptimizerConfig, RunConfig, ScheduleConfig, syntax};
use crate::error::TrainError;

/// Tables whose keys depend on their `kind`.
pub const KINDS: [&str; 4] = ["model", "optimizer", "schedule", "data.task"];

/// Overrides over those of a file, as of a command line or of the arguments of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// Values by their keys, in tables.
    pub table: Table,
    /// Paths that go back to their defaults.
    pub cleared: Vec<String>,
}

impl RunConfig {
    /// The recipe of a model on a data set or a task, by their names. Unknown names are left to the check of the whole.
    pub fn named(model: Option<&str>, dataset: Option<&str>, task: Option<&str>) -> Self {
        let model = model.and_then(|name| ModelConfig::from_name(name).ok());
        if let Some(task) = task.and_then(|name| name.parse::<TaskKind>().ok()) {
            let model = model.unwrap_or_else(|| RateConfig::default().into());
            return Self::task_recipe(model, task.config());
        }
        let dataset = dataset.and_then(|name| name.parse().ok());
        let dataset = dataset.unwrap_or_default();
        let mut config = match model {
            Some(model) => Self::recipe(model, dataset),
            None => Self::of_data(dataset),
        };
        // Taking `data.dataset` back gives the default of all data sets, not the one named elsewhere.
        config.data.dataset = DatasetSpec::default();
        config
    }

    /// The defaults of a kind of one of the tables [`KINDS`]; nothing for a kind that does not exist.
    pub fn of_kind(table: &str, kind: &str) -> Option<Value> {
        fn value(config: impl Serialize) -> Option<Value> {
            Value::try_from(config).ok()
        }
        match table {
            "model" => value(ModelConfig::from_name(kind).ok()?),
            "data.task" => value(kind.parse::<TaskKind>().ok()?.config()),
            "optimizer" => value(OptimizerConfig::from_name(kind).ok()?),
            _ => value(ScheduleConfig::from_name(kind).ok()?),
        }
    }

    /// What `granule train` makes of a file or a preset and of settings over it: the recipe of the model and the data that
    /// they name, then what they say. A device that nobody names is that of the environment.
    ///
    /// ```
    /// # use granule_train::{RunConfig, Overrides};
    /// let settings = Overrides {
    ///     table: "model.kind = 'resnet'\noptimizer.lr = 0.05".parse()?,
    ///     ..Overrides::default()
    /// };
    /// let config = RunConfig::described(&toml::Table::new(), &settings)?;
    /// assert_eq!((config.optimizer.name(), config.optimizer.lr()), ("sgd", 0.05));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TrainError::ConfigSyntax`] for a key that does not exist or holds something else, [`TrainError::Config`] for a value
    /// outside its range, [`TrainError::Device`] for an environment that names no device.
    pub fn described(file: &Table, settings: &Overrides) -> Result<Self, TrainError> {
        let both = [&settings.table, file];
        let is_cleared = |path: &str| settings.cleared.iter().any(|cleared| cleared == path);
        let found = |path: &str| both.into_iter().find_map(|table| lookup(table, path));
        let word = |path: &str| found(path).and_then(Value::as_str);
        let is_named = |path: &str| !is_cleared(path) && found(path).is_some();
        // Overrides of a model that is not named are those of the default one.
        let model = word("model.kind").or(is_named("model").then_some(MlpConfig::KIND));
        let mut base = Self::named(model, word("data.dataset"), word("data.task.kind"));
        if !is_named("device")
            && let Some(device) = DeviceSpec::from_env()?
        {
            base.device = device;
        }
        let defaults = Table::try_from(&base).map_err(syntax)?;
        let (mut defaults, mut merged) = (defaults.clone(), defaults);
        let kinds = KINDS.into_iter();
        let kinds: Vec<(&str, &str)> = kinds
            .filter_map(|table| Some((table, word(&format!("{table}.kind"))?)))
            .collect();
        stack(&mut defaults, &mut merged, &kinds, [file, &settings.table])
            .map_err(|error| syntax(format!("{error}; {}", error.has)))?;
        for path in &settings.cleared {
            #[cfg(feature = "schema")]
            if let Some(fault) = (crate::schema::Schema::of_runs().unknown(&merged, path))
                .map_err(|error| syntax(format!("{error}; {}", error.has)))?
            {
                return Err(syntax(fault));
            }
            clear(&mut merged, path, &defaults);
        }
        let mut config = read::<Self>(&merged)?;
        let has_length = is_named("train.epochs") || is_named("train.min_steps");
        if !has_length && !is_cleared("train.min_steps") {
            config = config.of_default_length();
        }
        let says = |path: &str| lookup(&settings.table, path).is_some();
        if says("train.epochs") && !says("train.min_steps") {
            // A length of a call is meant, whatever least number of steps a file has.
            config.train.min_steps = None;
        }
        config.validate()?;
        Ok(config)
    }
}

/// Puts tables of settings over a configuration, each over the one before; `kinds` are those that the last table to name one
/// chooses, for each of the tables that have kinds.
///
/// # Errors
/// [`NoElement`] for an index or a name that a list does not have.
pub fn stack<'a>(
    defaults: &mut Table,
    merged: &mut Table,
    kinds: &[(&str, &str)],
    layers: impl IntoIterator<Item = &'a Table>,
) -> Result<(), NoElement> {
    for &(table, kind) in kinds {
        let same = lookup(merged, &format!("{table}.kind")).and_then(Value::as_str) == Some(kind);
        if !same && let Some(fresh) = RunConfig::of_kind(table, kind) {
            // Both have every table that has kinds, but for one that is optional.
            let _ = put(defaults, table, fresh.clone());
            let _ = put(merged, table, fresh);
        }
    }
    for layer in layers {
        let mut settings = layer.clone();
        for &(table, kind) in kinds {
            let own = lookup(layer, &format!("{table}.kind")).and_then(Value::as_str);
            // What a file sets for its own kind means nothing to another.
            if own.is_some_and(|own| own != kind) {
                remove(&mut settings, table);
            }
        }
        address(merged, &mut settings)?;
        merge(merged, &settings);
    }
    Ok(())
}

/// Keys that name a file or folder; beside them `data.dataset` may.
const PATHS: [&str; 3] = ["data.recording.file", "data.data_dir", "start.weights"];

/// Takes relative paths in the settings of a file for those from its folder.
pub fn from_folder(table: &mut Table, folder: &Path) {
    if folder.as_os_str().is_empty() {
        return;
    }
    for path in PATHS {
        if let Some(Value::String(file)) = lookup_mut(table, path) {
            *file = folder.join(expand(Path::new(file))).display().to_string();
        }
    }
    if let Some(Value::String(name)) = lookup_mut(table, "data.dataset")
        && let Ok(set) = name.parse::<DatasetSpec>()
    {
        *name = set.from_folder(folder).to_string();
    }
}

/// The model in a configuration of `granule train`, as a simulation; none of a model that cannot be simulated.
pub fn as_simulation(table: &Table) -> Option<Table> {
    let mut model = table.get("model")?.as_table()?.clone();
    let kind = model.remove("kind")?;
    if kind.as_str() != Some(ModelConfig::MULTI_GRANULARITY) {
        return None;
    }
    let default = MultiGranularityConfig::default().dt;
    let dt = model.remove("dt").unwrap_or(default.into());
    let composite = Value::Table(model);
    Some(Table::from_iter([
        ("dt".to_owned(), dt),
        ("composite".to_owned(), composite),
    ]))
}

/// Reads a table as a configuration.
fn read<'de, T: Deserialize<'de>>(merged: &Table) -> Result<T, TrainError> {
    T::deserialize(Value::Table(merged.clone())).map_err(|error| {
        #[cfg(feature = "schema")]
        if let Some(fault) = crate::schema::Schema::of_runs().fault(merged) {
            return syntax(fault);
        }
        syntax(error.to_string().trim_end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(file: &str, settings: &str, cleared: &[&str]) -> Result<RunConfig, TrainError> {
        let settings = Overrides {
            table: settings.parse().unwrap(),
            cleared: cleared.iter().map(|&path| path.to_owned()).collect(),
        };
        RunConfig::described(&file.parse().unwrap(), &settings)
    }

    #[test]
    fn settings_stand_over_the_file_and_the_file_over_the_recipe() {
        let file = "[model]\nkind = 'mlp'\nwidths = [3]\n[train]\nmin_steps = 9\nclip_norm = 2.0";
        let config = described(file, "optimizer.lr = 0.5", &[]).unwrap();
        assert_eq!(config.optimizer.lr(), 0.5);
        assert_eq!(config.train.min_steps, Some(9));
        let config = described(file, "model.kind = 'lenet'\ntrain.epochs = 2", &[]).unwrap();
        assert_eq!(config.model.name(), "lenet");
        assert_eq!((config.train.epochs, config.train.min_steps), (2, None));
        assert_eq!(config.train.clip_norm, Some(2.0));
        let config = described(file, "", &["train.clip_norm", "train.min_steps"]).unwrap();
        assert_eq!(
            (config.train.clip_norm, config.train.min_steps),
            (None, None)
        );
        let config = described("", "", &[]).unwrap();
        assert_eq!(
            config,
            RunConfig::named(None, None, None).of_default_length()
        );
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        for (settings, word) in [
            ("train.epoch = 1", "train.epoch"),
            ("train.epochs = 'x'", "train.epochs"),
            ("train.epochs = 0", "train.epochs"),
            ("model.kind = 'nonesuch'", "nonesuch"),
        ] {
            let error = described("", settings, &[]).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        #[cfg(feature = "schema")]
        for path in [
            "train.epoch",
            "nonesuch.key",
            "train.early_stopping.patienc",
        ] {
            let error = described("", "", &[path]).unwrap_err().to_string();
            assert!(error.contains("unknown key"), "{path}: {error}");
        }
    }
}
