//! The configuration of a run: a TOML file, the flags and `--set`, one over the other, over the defaults.

pub mod experiment;
mod explain;
mod files;
pub mod keys;
pub mod layers;
pub mod sweep;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use granule::data::task::TaskKind;
use granule::device::DeviceSpec;
use granule::io::image::{Channels, Size};
use granule::io::{Bound, FileError, read_text};
use granule::models::{
    InputShape, InputSpec, MlpConfig, ModelConfig, ModelFile, ModelSettings as _,
};
use granule::simulate::Preset;
use granule::train::config::KINDS;
use granule::train::schema::files::OF_RUNS;
use granule::train::{ConfigError, DataConfig, RUN_PRESETS, RunConfig, RunPreset};
use toml::{Table, Value};

use crate::args;
use crate::failure::{Usage, unreadable};
pub use explain::nearest;
use explain::{Reading, choices, join};
use layers::{Layer, Origin, clear, lookup, read_set, rename};

/// The fraction that `--early-stopping` holds out for validation where nothing else says how much.
const HELD_OUT: f64 = 0.1;

/// The keys of a configuration of `granule train`, at its top, that one of `granule simulate` does not have; a test holds them,
/// and those below, to the schemas.
pub const OF_TRAINING: [&str; 7] = [
    "data",
    "device",
    "model",
    "optimizer",
    "schedule",
    "start",
    "train",
];

/// The keys that only a configuration of `granule simulate` has.
pub const OF_SIMULATIONS: [&str; 18] = [
    "atol",
    "bold",
    "circuit",
    "composite",
    "connectivity",
    "dt",
    "duration",
    "figure",
    "network",
    "population",
    "rate_bin",
    "readout",
    "record",
    "rtol",
    "solver",
    "stimulus",
    "system",
    "unit",
];

/// The keys by which a file is a configuration of the other command: it has some of `others` and none of the command's `own`.
pub fn of_another(table: &Table, own: &[&str], others: &[&str]) -> Option<String> {
    let has = |keys: &[&str]| -> Vec<String> {
        let found = keys.iter().filter(|key| table.contains_key(**key));
        found.map(|key| format!("`{key}`")).collect()
    };
    let found = has(others);
    (!found.is_empty() && has(own).is_empty()).then(|| found.join(", "))
}

/// The one configuration that the arguments of `granule train` describe.
///
/// # Errors
/// [`Usage`] for everything that the user can correct.
pub fn resolve(args: &args::Train) -> anyhow::Result<RunConfig> {
    resolve_whole(args).map(|resolved| resolved.config)
}

/// As [`resolve`].
///
/// # Errors
/// As [`resolve`].
pub fn resolve_whole(args: &args::Train) -> anyhow::Result<Resolved> {
    let layers = layers(args)?;
    let last = |path: &str| {
        layers
            .iter()
            .rev()
            .find_map(|layer| lookup(&layer.table, path))
            .and_then(Value::as_str)
    };
    let cleared = |path: &str| is_cleared(&layers, path);
    let named = |path: &str| is_named(&layers, path);
    // Settings of a model that is not named are those of the default one.
    let of_default = || named("model").then_some(MlpConfig::KIND);
    let mut base = RunConfig::named(
        last("model.kind").or_else(of_default),
        last("data.dataset"),
        last("data.task.kind"),
    );
    if let Some(file) = &args.from
        && last("model.kind").is_none()
    {
        let model = ModelFile::load(file)?;
        base = RunConfig::named(
            Some(model.model.name()),
            last("data.dataset"),
            last("data.task.kind"),
        );
        let dataset =
            last("data.dataset").and_then(|name| name.parse::<granule::data::DatasetSpec>().ok());
        let has_images = dataset.is_some_and(|dataset| dataset.has_encoded_images());
        let formed = ["data.size", "data.resize", "data.channels"];
        if has_images && !formed.into_iter().any(named) {
            as_the_model_sees(&mut base, &model.input);
        }
        base.model = model.model;
    }
    if !named("device")
        && let Some(device) =
            DeviceSpec::from_env().map_err(|error| Usage::new(error.to_string()))?
    {
        base.device = device;
    }
    if args.early_stopping.is_some() && base.data.task.is_none() && !named("data.validation") {
        base.data.validation = HELD_OUT;
    }
    let mut config = stack(&base, &layers)?;
    let default_length =
        !named("train.epochs") && !named("train.min_steps") && !cleared("train.min_steps");
    if default_length {
        config = config.of_default_length();
    }
    let said = |path: &str| {
        let mut above = layers.iter().filter(|layer| !layer.is_of_file());
        above.any(|layer| lookup(&layer.table, path).is_some())
    };
    if said("train.epochs") && !said("train.min_steps") {
        // A length of the command line is meant, whatever least number of steps a file has.
        config.train.min_steps = None;
    }
    config
        .validate()
        .map_err(|error| out_of_range(&error, &layers))?;
    Ok(Resolved {
        config,
        default_length,
        layers,
    })
}

fn is_cleared(layers: &[Layer], path: &str) -> bool {
    let mut all = layers.iter().flat_map(|layer| &layer.cleared);
    all.any(|cleared| cleared == path)
}

/// Whether somebody gave a value for a key.
fn is_named(layers: &[Layer], path: &str) -> bool {
    let mut tables = layers.iter().map(|layer| &layer.table);
    !is_cleared(layers, path) && tables.any(|table| lookup(table, path).is_some())
}

fn of_data(config: &RunConfig, named: &dyn Fn(&str) -> bool) -> Vec<String> {
    let name = config.model.name();
    if name == ModelConfig::MULTI_GRANULARITY {
        return Vec::new();
    }
    let leaves = |dataset: Option<&str>, task: Option<&str>| {
        let mut found = BTreeMap::new();
        if let Ok(table) = Table::try_from(RunConfig::named(Some(name), dataset, task)) {
            leaves(&mut found, "", &table);
        }
        found
    };
    let task = config.data.task.as_ref();
    let task = task.map(|task| task.kind().to_string());
    let own = leaves(Some(&config.data.dataset.to_string()), task.as_deref());
    let mut others: Vec<_> = [
        "synthetic-digits",
        "cifar-10",
        "folder:DIR",
        "arrays:FILE.npz",
    ]
    .map(|dataset| leaves(Some(dataset), None))
    .into();
    if config.model.time_step().is_some() {
        others.extend(TaskKind::ALL.map(|task| leaves(None, Some(&task.to_string()))));
    }
    let varies = |path: &str| others.iter().any(|other| other.get(path) != own.get(path));
    let kind_varies = |path: &str| {
        let table = path.split('.').next().unwrap_or_default();
        KINDS.contains(&table) && varies(&format!("{table}.kind"))
    };
    let kind_is_named = |path: &str| {
        let table = path.split('.').next().unwrap_or_default();
        KINDS.contains(&table) && table != "model" && named(&format!("{table}.kind"))
    };
    let about = ["data.task", "data.dataset", "model.kind"];
    own.keys()
        .filter(|path| !about.iter().any(|about| path.starts_with(about)))
        .filter(|path| varies(path) || kind_varies(path))
        .filter(|path| !named(path) && !kind_is_named(path))
        .cloned()
        .collect()
}

/// The values of a table and those below it by their paths; a table that is a choice of a key is one value.
fn leaves(found: &mut BTreeMap<String, Value>, above: &str, table: &Table) {
    const TABLES: [&str; 6] = [
        "data",
        "data.augmentation",
        "model",
        "optimizer",
        "schedule",
        "train",
    ];
    for (name, value) in table {
        let path = join(above, name);
        match value {
            Value::Table(below) if TABLES.contains(&&*path) => {
                leaves(found, &path, below);
            }
            value => {
                found.insert(path, value.clone());
            }
        }
    }
}

/// Images of a folder as a model takes them that is trained further.
fn as_the_model_sees(config: &mut RunConfig, input: &InputSpec) {
    let InputShape::Image {
        channels,
        height,
        width,
    } = input.shape
    else {
        return;
    };
    config.data.channels = Channels::of_count(channels);
    config.data.size = Some(Size { height, width });
    config.data.resize = input.resize;
    config.data.background = input.background;
}

/// A configuration, and which of its settings were left to their defaults.
pub struct Resolved {
    pub config: RunConfig,
    /// Whether nobody named `train.epochs` or `train.min_steps`.
    pub default_length: bool,
    layers: Vec<Layer>,
}

impl Resolved {
    /// The keys that nobody named and that the recipe of the model has otherwise for other data.
    pub fn of_data(&self) -> Vec<String> {
        of_data(&self.config, &|path| is_named(&self.layers, path))
    }
}

/// The configuration that a run goes on with: its own, then the flags, then --set.
///
/// # Errors
/// A folder that is no run; [`Usage`] for what is wrong with the settings above it.
pub fn of_run(args: &args::Train, run: &Path) -> anyhow::Result<RunConfig> {
    let own = RunConfig::of_run(run)?;
    let layers = layers(args)?;
    let dataset = own.data.dataset.to_string();
    let task = own.data.task.as_ref().map(|task| task.kind().to_string());
    let defaults = RunConfig::named(Some(own.model.name()), Some(&dataset), task.as_deref());
    let mut config = stack_over(&defaults, &own, &layers)?;
    let published = granule::data::registry::find(&config.data.dataset.to_string()).is_some();
    if published && args.data_dir.is_none() {
        config.data.data_dir = data_dir(None, config.data.data_dir.as_deref());
    }
    config
        .validate()
        .map_err(|error| out_of_range(&error, &layers))?;
    Ok(config)
}

/// How the data of `granule eval` are read: as those of a run, or else as by default, with `--set` over it.
///
/// # Errors
/// [`Usage`] for what is no setting, and for a key that says something else than how data are read.
pub fn of_evaluation(run: Option<&RunConfig>, texts: &[String]) -> anyhow::Result<DataConfig> {
    const KEYS: [&str; 2] = ["data.decoding", "data.truncated"];
    let own = run.cloned().unwrap_or_default();
    if texts.is_empty() {
        return Ok(own.data);
    }
    let mut layer = Layer::new(Origin::Set);
    for text in texts {
        let path = text.split('=').next().unwrap_or_default().trim();
        read_set(&mut layer, text)?;
        if !KEYS.into_iter().any(|key| layers::is_within(path, key)) {
            return Err(Usage::new(format!(
                "`--set {text}`: `{path}` does not say how the data of an evaluation are read"
            ))
            .hint(format!(
                "{} do; for others there are flags, as `granule help eval` lists them, and everything else is the model's",
                KEYS.join(" and ")
            ))
            .into());
        }
    }
    let defaults = defaults(&own);
    Ok(stack_over(&defaults, &own, &[layer])?.data)
}

/// The folder that was named, else that of GRANULE_DATA_DIR, else that of the run if it is still there.
pub fn data_dir(named: Option<&Path>, recorded: Option<&Path>) -> Option<PathBuf> {
    let environment = std::env::var_os("GRANULE_DATA_DIR").filter(|dir| !dir.is_empty());
    first_dir(named, environment.as_deref().map(Path::new), recorded)
}

fn first_dir(
    named: Option<&Path>,
    environment: Option<&Path>,
    recorded: Option<&Path>,
) -> Option<PathBuf> {
    let recorded = recorded.filter(|dir| dir.is_dir());
    named.or(environment).or(recorded).map(Path::to_path_buf)
}

/// What a configuration is where nothing but its model and its data are named.
pub fn defaults(config: &RunConfig) -> RunConfig {
    let task = config
        .data
        .task
        .as_ref()
        .map(|task| task.kind().to_string());
    let dataset = config.data.dataset.to_string();
    RunConfig::named(Some(config.model.name()), Some(&dataset), task.as_deref()).of_default_length()
}

/// A setting outside its range as wrong usage.
fn out_of_range(error: &ConfigError, layers: &[Layer]) -> Usage {
    Usage::new(format!("{error}{}", explain::written(&error.field, layers)))
}

fn layers(args: &args::Train) -> anyhow::Result<Vec<Layer>> {
    let mut layers = Vec::new();
    let mut flags = Layer::new(Origin::Flags);
    match args.what.as_deref() {
        Some(what) if ModelConfig::names().contains(&what) => flags.set("model.kind", what)?,
        Some(what) if let Some(preset) = RunPreset::find(what) => {
            layers.push(Layer::preset(preset.name, preset.toml)?)
        }
        Some(what) if what.ends_with(".toml") || Path::new(what).exists() => {
            let layer = file(Path::new(what))?;
            let (own, others) = (&OF_TRAINING, &OF_SIMULATIONS);
            if let Some(keys) = of_another(&layer.table, own, others) {
                let file = crate::output::quoted(Path::new(what));
                let usage = Usage::new(format!(
                    "{file} describes a simulation, not a training: it has {keys}"
                ));
                let hint = format!("`granule simulate {file}` runs it");
                return Err(usage
                    .hint(if layer.table.contains_key("composite") {
                        format!("{hint}; {}", explain::TO_TRAIN)
                    } else {
                        hint
                    })
                    .into());
            }
            layers.push(layer)
        }
        Some(ModelConfig::MULTI_GRANULARITY) => {
            return Err(
                Usage::new("a model of several levels is described in a .toml file")
                    .hint("`granule help train` says how; examples/three_levels.toml is one")
                    .into(),
            );
        }
        Some(what) if Preset::find(what).is_some() => {
            return Err(Usage::new(format!(
                "`{what}` is a ready-made simulation, not a training"
            ))
            .hint(format!("`granule simulate {what}` runs it"))
            .into());
        }
        Some(what) => {
            let presets = RUN_PRESETS.iter().map(|preset| preset.name);
            let names: Vec<String> = ModelConfig::names()
                .into_iter()
                .chain(presets)
                .map(ToString::to_string)
                .collect();
            return Err(Usage::new(format!(
                "`{what}` is neither a model, a preset nor a .toml file"
            ))
            .hint(choices(what, &names))
            .into());
        }
        None => {}
    }
    let whole = |n: usize| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    let path = |path: &Path| {
        path.to_str()
            .map(Value::from)
            .context("a folder name is not valid UTF-8")
    };
    let text = |text: &dyn ToString| Value::from(text.to_string());
    let dataset = args.dataset.as_ref();
    let device = args.device.as_ref();
    let range = |range: [f64; 2]| Value::Array(range.map(Value::Float).to_vec());
    let seed = args.seed.and_then(|seed| i64::try_from(seed).ok());
    let given = [
        ("--dataset", "data.dataset", dataset.map(|spec| text(spec))),
        (
            "--from",
            "start.weights",
            args.from.as_deref().map(path).transpose()?,
        ),
        (
            "--data-dir",
            "data.data_dir",
            args.data_dir.as_deref().map(path).transpose()?,
        ),
        (
            "--offline",
            "data.offline",
            args.offline.then_some(Value::Boolean(true)),
        ),
        (
            "--task",
            "data.task.kind",
            args.task.as_deref().map(Value::from),
        ),
        ("--trials", "data.trials.epoch", args.trials.map(whole)),
        (
            "--limit-train",
            "data.limit_train",
            args.limit_train.map(whole),
        ),
        (
            "--limit-test",
            "data.limit_test",
            args.limit_test.map(whole),
        ),
        ("--range", "data.range", args.range.map(range)),
        ("--device", "device", device.map(|spec| text(spec))),
        ("--epochs", "train.epochs", args.epochs.map(whole)),
        (
            "--batch-size",
            "train.batch_size",
            args.batch_size.map(whole),
        ),
        (
            "--validation",
            "data.validation",
            args.validation.map(Value::from),
        ),
        (
            "--early-stopping",
            "train.early_stopping.patience",
            args.early_stopping.map(whole),
        ),
        (
            "--optimizer",
            "optimizer.kind",
            args.optimizer.as_deref().map(Value::from),
        ),
        ("--lr", "optimizer.lr", args.lr.map(Value::from)),
        (
            "--schedule",
            "schedule.kind",
            args.schedule.as_deref().map(Value::from),
        ),
        ("--seed", "seed", seed.map(Value::from)),
    ];
    layers.extend(layers::of_command_line(flags, given, &args.set)?);
    if let Some(text) = &args.sweep {
        layers.push(sweep::layer(text, &layers)?);
    }
    for layer in &mut layers {
        files::from_folder(layer);
        rename(&mut layer.table);
        files::inline(layer, &OF_RUNS);
    }
    Ok(layers)
}

pub(crate) fn file(path: &Path) -> anyhow::Result<Layer> {
    if path.is_dir() {
        return Err(Usage::new(format!("{} is a folder, not a model or a .toml file", path.display()))
            .hint(format!(
                "`granule train --resume {0}` goes on with an interrupted run, `--continue {0}` trains a finished one \
                 further; `granule train {0}/config.toml` repeats it",
                path.display()
            ))
            .into());
    }
    if path
        .extension()
        .is_some_and(|extension| extension == "granule")
    {
        let model = crate::output::quoted(path);
        return Err(
            Usage::new(format!("{model} is a trained model, not a configuration"))
                .hint(format!(
                    "`granule eval {model}` tests it, `granule predict {model} IMAGE` uses it; \
                 RUN/config.toml is the configuration of a run"
                ))
                .into(),
        );
    }
    let text = read_text(path, Bound::CONFIGURATION).map_err(|error| {
        let out_of_memory = matches!(error, FileError::Memory(_));
        unreadable(error.to_string(), out_of_memory)
    })?;
    let table = text.parse::<Table>().map_err(|error| {
        Usage::new(format!(
            "{} is not valid TOML\n{}",
            path.display(),
            error.to_string().trim_end()
        ))
    })?;
    let mut layer = Layer::new(Origin::File(path.to_path_buf()));
    layer.table = table;
    Ok(layer)
}

fn stack(base: &RunConfig, layers: &[Layer]) -> anyhow::Result<RunConfig> {
    stack_over(base, base, layers)
}

/// The layers over `base`; what they take back is what it is in `defaults`.
fn stack_over(
    defaults: &RunConfig,
    base: &RunConfig,
    layers: &[Layer],
) -> anyhow::Result<RunConfig> {
    let table = |config| Table::try_from(config).context("cannot write the configuration");
    let (mut defaults, mut merged) = (table(defaults)?, table(base)?);
    let kinds = chosen_kinds(layers)?;
    let tables = layers.iter().map(|layer| &layer.table);
    granule::train::config::stack(&mut defaults, &mut merged, &kinds, tables)
        .map_err(layers::no_element)?;
    for path in layers.iter().flat_map(|layer| &layer.cleared) {
        Reading::of_runs(&merged, &defaults, layers).check_cleared(path)?;
        clear(&mut merged, path, &defaults);
    }
    Reading::of_runs(&merged, &defaults, layers).read()
}

/// The kind of model, optimiser and schedule that the last layer to name one chooses.
///
/// # Errors
/// [`Usage`] when the command line names two: the settings beside one of them would be lost.
fn chosen_kinds(layers: &[Layer]) -> Result<Vec<(&'static str, &str)>, Usage> {
    let mut chosen = Vec::new();
    for table in KINDS {
        let mut naming = layers
            .iter()
            .rev()
            .filter_map(|layer| Some((layer, layer.kind(table)?)));
        let Some((upper, kind)) = naming.next() else {
            continue;
        };
        if let Some((lower, other)) = naming.next()
            && other != kind
            && !matches!(lower.origin, Origin::File(_))
        {
            return Err(Usage::new(format!(
                "`{table}.kind` is given twice: `{other}` ({}), `{kind}` ({})",
                lower.origin, upper.origin
            ))
            .hint("name one of them"));
        }
        chosen.push((table, kind));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests;
