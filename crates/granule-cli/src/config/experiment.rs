//! The configuration of a simulation: a preset or a TOML file, the flags and `--set`, one over the other.

use std::path::{Path, PathBuf};

use granule::FilesFrom;
use granule::data::numbers::read_text;
use granule::device::DeviceSpec;
use granule::dynamics::composite::MultiGranularityConfig;
use granule::dynamics::unit::UnitConfig;
use granule::dynamics::{DynamicsError, Place};
use granule::io::held::{Held, HeldError};
use granule::io::path::expand;
use granule::io::words::counted;
use granule::io::{Bound, ByteSize, DocumentError, FileError, from_json};
use granule::models::{InputShape, ModelConfig, ModelFile, StateDict, load_levels};
use granule::simulate::{ExperimentConfig, Preset, StimulusConfig, presets::PRESETS};
use granule::train::RunPreset;
use granule::train::config::as_simulation;
use granule::train::schema::Schema;
use granule::train::schema::files::OF_EXPERIMENTS;
use serde::Deserialize;
use toml::{Table, Value};

use super::explain::{self, Reading, nearest};
use super::files::{self, folder};
use super::layers::{
    Layer, Origin, address, by_index, lookup, merge, of_command_line, put, remove, rename,
    take_back,
};
use super::{OF_SIMULATIONS, OF_TRAINING, of_another};
use crate::args;
use crate::commands::target::Target;
use crate::failure::{Hinted, Usage, unreadable};

/// Tables whose keys depend on a name in them.
const KINDS: [(&str, &str); 3] = [("unit", "kind"), ("system", "kind"), ("stimulus", "kind")];

/// Tables of which a configuration has one.
const MODELS: [&str; 6] = [
    "unit",
    "population",
    "circuit",
    "system",
    "network",
    "composite",
];

/// A configuration, where its settings were written, and what it is called.
pub struct Described {
    pub config: ExperimentConfig,
    pub title: String,
    /// Of a model of several levels that was trained.
    pub weights: Option<Weights>,
    /// What of a preset or file is not used, or means something else, because another model was named.
    pub notes: Vec<String>,
    /// The recording whose stimulus a trained model is to be given again.
    pub recording: Option<PathBuf>,
    /// What a result that is simulated again was computed in.
    pub precision: Option<args::Precision>,
    /// What the configuration is without what the person has written.
    pub defaults: Table,
    layers: Vec<Layer>,
    /// Where the path of a stimulus begins.
    stimulus_folder: PathBuf,
    /// Whether the lowest layer is a configuration of `granule train`.
    of_training: bool,
}

/// What a model of several levels has learnt.
pub struct Weights {
    /// The file that they are from.
    pub file: PathBuf,
    /// All of it.
    pub state: StateDict,
    /// The configuration, with the learnt values of what has a setting there.
    pub described: MultiGranularityConfig,
    /// The paths of these settings in the configuration of a simulation.
    pub learnt: Vec<String>,
    /// The recording that they were fitted to, where the run still says it.
    pub fitted_to: Option<PathBuf>,
    /// The names of parameters that were learnt and have no setting.
    without_setting: Vec<String>,
}

impl Described {
    /// The names of parameters that were learnt and that the configuration cannot say.
    pub fn without_setting(&self) -> &[String] {
        let weights = self.weights.as_ref();
        weights.map_or(&[], |weights| &weights.without_setting)
    }

    /// Names the file of the stimulus by its whole path.
    pub fn name_whole_paths(&mut self) {
        if let Some(StimulusConfig::File(stimulus)) = &mut self.config.stimulus {
            let own = self.stimulus_folder.join(expand(&stimulus.file));
            stimulus.file = std::path::absolute(&own).unwrap_or(own);
        }
    }

    /// A setting outside its range as wrong usage; every other error as it is.
    pub fn explain(&self, error: DynamicsError) -> anyhow::Error {
        match error {
            DynamicsError::Config(error) => {
                let field = &error.field;
                let base = self.layers.first();
                let place = base.map_or_else(|| field.clone(), |base| by_index(&base.table, field));
                let written = explain::written(&place, &self.layers);
                let error = if self.of_training && !is_above(&place, &self.layers) {
                    let field = in_training(field);
                    error.named(field)
                } else {
                    error
                };
                Usage::new(format!("{error}{written}")).into()
            }
            DynamicsError::Shape { .. }
            | DynamicsError::Units { .. }
            | DynamicsError::Unsupported { .. } => Usage::new(error.to_string()).into(),
            DynamicsError::File { ref source, .. } if source.is_absent() => {
                Usage::new(error.to_string()).into()
            }
            _ => error.into(),
        }
    }
}

/// The one configuration that the arguments of `granule simulate` describe.
///
/// # Errors
/// [`Usage`] for everything that the user can correct.
pub fn resolve(args: &args::Simulate) -> anyhow::Result<Described> {
    let Base {
        layer: base,
        title,
        weights,
        of_training,
        without_input,
        recording,
        precision,
    } = base(&args.what)?;
    let seed = args.seed.and_then(|seed| i64::try_from(seed).ok());
    let given = [
        ("--duration", "duration", args.duration.map(Value::from)),
        ("--dt", "dt", args.dt.map(Value::from)),
        (
            "--solver",
            "solver",
            args.solver.as_deref().map(Value::from),
        ),
        ("--seed", "seed", seed.map(Value::from)),
    ];
    let [mut flags, mut set] = of_command_line(Layer::new(Origin::Flags), given, &args.set)?;
    if of_training {
        // The file says `model`.
        for layer in [&mut flags, &mut set] {
            if let Some(model) = layer.table.remove("model") {
                let own = Table::from_iter([("composite".to_owned(), model)]);
                merge(&mut layer.table, &own);
            }
        }
    }
    let mut layers = vec![base, flags, set];
    for layer in &mut layers {
        rename(&mut layer.table);
        into_circuit(&mut layer.table);
        files::inline(layer, &OF_EXPERIMENTS);
    }
    let mut notes = fit_base(&mut layers);
    let stimulus = layers
        .iter()
        .any(|layer| layer.table.contains_key("stimulus"));
    notes.extend(own_current(&layers));
    let recording = recording.filter(|_| without_input && !stimulus);
    if without_input && !stimulus && recording.is_none() {
        notes.push(
            "the model was fitted with an input from outside, which a model file alone does not have: \
             give the run folder, or set `stimulus.kind`"
                .to_owned(),
        );
    }
    let unsaid = weights.iter().flat_map(|weights| &weights.without_setting);
    let unsaid: Vec<&str> = unsaid.map(String::as_str).collect();
    if !unsaid.is_empty() {
        notes.push(format!(
            "learnt and not in the configuration: {}; the model file has it, so replay that",
            unsaid.join(", ")
        ));
    }
    let learnt = weights.iter().flat_map(|weights| &weights.learnt);
    let learnt: Vec<(&String, Value)> = learnt
        .filter_map(|path| Some((path, lookup(&layers[0].table, path)?.clone())))
        .collect();
    let mut merged = Table::new();
    for layer in &mut layers {
        address(&merged, &mut layer.table)?;
        merge(&mut merged, &layer.table);
    }
    let preset = match &layers[0] {
        base if matches!(base.origin, Origin::Preset(_)) => base.table.clone(),
        _ => Table::new(),
    };
    let named = |path: &str| named_in(of_training, &layers, path);
    for path in layers.iter().flat_map(|layer| &layer.cleared) {
        let reading = Reading {
            merged: &merged,
            defaults: &preset,
            layers: &layers,
            schema: Schema::of_experiments,
            named: &named,
        };
        reading.check_cleared(path)?;
        take_back(&mut merged, path, &preset);
    }
    for (path, was) in learnt {
        match lookup(&merged, path) {
            Some(now) if *now != was => notes.push(format!(
                "`{path}` = {} in place of what was learnt, {}",
                brief(now),
                brief(&was)
            )),
            Some(_) => {}
            None => notes.push(format!(
                "`{path}` is gone, and with it what was learnt, {}",
                brief(&was)
            )),
        }
    }
    layers[0].files.extend(files::sonata::inline(&mut merged)?);
    let named = |path: &str| named_in(of_training, &layers, path);
    let defaults = defaults(&merged);
    let reading = Reading {
        merged: &merged,
        defaults: &defaults,
        layers: &layers,
        schema: Schema::of_experiments,
        named: &named,
    };
    let mut config: ExperimentConfig = reading.read()?;
    // From where its file is named: the last layer that does.
    let naming = layers.iter().rev();
    let naming = naming.filter(|layer| lookup(&layer.table, "stimulus.file").is_some());
    let reader = FilesFrom {
        folder: naming
            .map(|layer| folder(&layer.origin))
            .next()
            .unwrap_or_default(),
    };
    let read = config.read(&reader);
    let mut untouched = defaults;
    merge(&mut untouched, &preset);
    let described = Described {
        config,
        defaults: untouched,
        title,
        weights,
        notes,
        recording,
        precision,
        layers,
        stimulus_folder: reader.folder,
        of_training,
    };
    match read.and_then(|()| described.config.validate()) {
        Ok(()) => Ok(described),
        Err(error) => Err(described.explain(error)),
    }
}

/// Lists `[[population]]` and `[[projection]]` at the top of a file are those of its circuit.
fn into_circuit(table: &mut Table) {
    for key in ["population", "projection"] {
        if !table.get(key).is_some_and(Value::is_array) || has_in_circuit(table, key) {
            continue;
        }
        let Some(list) = table.remove(key) else {
            continue;
        };
        let circuit = table.entry("circuit");
        let circuit = circuit.or_insert_with(|| Table::new().into());
        if let Some(circuit) = circuit.as_table_mut() {
            circuit.insert(key.to_owned(), list);
        }
    }
}

fn has_in_circuit(table: &Table, key: &str) -> bool {
    let circuit = table.get("circuit");
    circuit.is_some_and(|circuit| !circuit.is_table() || circuit.get(key).is_some())
}

/// A value for a sentence: of a list how long it is.
fn brief(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("[{}]", counted(list.len(), "value")),
        one => one.to_string(),
    }
}

/// Keeps of the lowest layer what a model, system or stimulus that is named above it knows as well, and tells what is
/// dropped and what now has another unit.
fn fit_base(layers: &mut [Layer]) -> Vec<String> {
    let mut notes = Vec::new();
    let Some((base, upper)) = layers.split_first_mut() else {
        return notes;
    };
    let above = |path: &str| {
        let mut found = upper.iter().rev();
        found.find_map(|layer| lookup(&layer.table, path))
    };
    let origin = base.origin.to_string();
    if matches!(base.origin, Origin::Preset(_)) && above("record.variables").is_none() {
        let read = ["readout", "bold"].into_iter();
        let mut read = read.filter(|key| above(key).is_some() && !base.table.contains_key(*key));
        if let (Some(key), Some(variables)) = (
            read.next(),
            lookup(&base.table, "record.variables").cloned(),
        ) {
            remove(&mut base.table, "record.variables");
            notes.push(format!(
                "all variables are recorded, because `{key}` is set: `record.variables` = {variables} ({origin}) is not used"
            ));
        }
    }
    for (table, key) in KINDS {
        let path = format!("{table}.{key}");
        let (Some(own), Some(last)) = (
            lookup(&base.table, &path).and_then(Value::as_str),
            above(&path).and_then(Value::as_str),
        ) else {
            continue;
        };
        if own == last || !is_kind(table, key, last) {
            continue;
        }
        let (own, last) = (own.to_owned(), last.to_owned());
        let Some(Value::Table(settings)) = base.table.remove(table) else {
            continue;
        };
        let mut kept = Table::new();
        let mut dropped = Vec::new();
        for (name, value) in settings {
            if name == key {
                kept.insert(name, last.clone().into());
            } else if carries_over(table, key, (&own, &last), &name, &value) {
                kept.insert(name, value);
            } else {
                dropped.extend(written_out(&format!("{table}.{name}"), &value));
            }
        }
        base.table.insert(table.into(), Value::Table(kept));
        if table == "system" && matches!(base.origin, Origin::Preset(_)) {
            // The names of the other system's variables.
            if let Some(variables) = lookup(&base.table, "record.variables").cloned()
                && above("record.variables").is_none()
            {
                remove(&mut base.table, "record.variables");
                dropped.extend(written_out("record.variables", &variables));
            }
        }
        if !dropped.is_empty() {
            let names = dropped.join(", ");
            notes.push(format!(
                "set for {own} and not used by {last}: {names} ({origin})"
            ));
        }
        if table == "unit" {
            notes.extend(other_solver(base, &last, above("solver").is_some()));
            notes.extend(other_unit(base, (&own, &last), above));
        }
    }
    notes
}

/// The paths of all values in a value.
fn written_out(path: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Table(table) => table
            .iter()
            .flat_map(|(key, value)| written_out(&format!("{path}.{key}"), value))
            .collect(),
        _ => vec![format!("`{path}`")],
    }
}

/// Whether there is such a kind; another is left to the check of the whole.
fn is_kind(table: &str, key: &str, kind: &str) -> bool {
    let only = Table::from_iter([(key.to_string(), Value::from(kind))]);
    let whole = Table::from_iter([(table.to_string(), Value::Table(only))]);
    ExperimentConfig::deserialize(Value::Table(whole)).is_ok()
}

/// Whether a setting of one kind means the same to another.
fn carries_over(
    table: &str,
    key: &str,
    (own, last): (&str, &str),
    name: &str,
    value: &Value,
) -> bool {
    match (table, name) {
        // Constants of the equations, where the equations are the same.
        ("unit", "parameters" | "trainable" | "bounds") => same_parameters(own, last),
        ("system", name) if name != "nodes" => false,
        _ => {
            let settings = Table::from_iter([
                (key.to_string(), Value::from(last)),
                (name.to_string(), value.clone()),
            ]);
            let whole = Table::from_iter([(table.to_string(), Value::Table(settings))]);
            ExperimentConfig::deserialize(Value::Table(whole)).is_ok()
        }
    }
}

/// Whether two cells have the same parameters in the same units.
fn same_parameters(one: &str, other: &str) -> bool {
    let parameters = |name: &str| {
        let unit = UnitConfig::from_name(name).ok()?;
        let infos = unit.parameters().into_iter();
        Some(
            infos
                .map(|(info, _)| (info.name, info.unit))
                .collect::<Vec<_>>(),
        )
    };
    parameters(one) == parameters(other)
}

/// Takes the preset's solver away from cells that are stepped exactly; what a person chose is left to be refused.
fn other_solver(base: &mut Layer, model: &str, chosen: bool) -> Option<String> {
    let own = UnitConfig::from_name(model).is_ok_and(|unit| unit.own_steps().is_some());
    if !own || chosen || !matches!(base.origin, Origin::Preset(_)) {
        return None;
    }
    let solver = base.table.remove("solver")?;
    let name = solver.as_str().unwrap_or_default();
    let origin = &base.origin;
    Some(format!(
        "not used, because {model} has steps of its own: `solver` = {name} ({origin})"
    ))
}

/// Says which numbers now have another unit.
fn other_unit<'a>(
    base: &Layer,
    (own, last): (&str, &str),
    above: impl Fn(&str) -> Option<&'a Value>,
) -> Option<String> {
    let unit = |name: &str| Some(UnitConfig::from_name(name).ok()?.current_unit());
    let (before, now) = (unit(own)?, unit(last)?);
    let paths = ["unit.current", "stimulus.amplitude"];
    let kept: Vec<String> = paths
        .into_iter()
        .filter(|path| lookup(&base.table, path).is_some() && above(path).is_none())
        .map(|path| format!("`{path}`"))
        .collect();
    if before == now || kept.is_empty() {
        return None;
    }
    let of = |unit: &str| match unit {
        "1" => "without a unit".to_string(),
        unit => format!("in {unit}"),
    };
    let (names, origin) = (kept.join(", "), &base.origin);
    Some(format!(
        "now {}, not {}: {names} ({origin})",
        of(now),
        of(before)
    ))
}

/// What a simulation is described by before flags and `--set`.
struct Base {
    layer: Layer,
    title: String,
    weights: Option<Weights>,
    /// Whether the layer is a configuration of `granule train`, whose `[model]` is the composite.
    of_training: bool,
    /// Whether it is a trained model that had an input from outside.
    without_input: bool,
    /// What a trained model was fitted to.
    recording: Option<PathBuf>,
    /// What a result was computed in.
    precision: Option<args::Precision>,
}

impl Base {
    /// A configuration alone.
    fn new(layer: Layer, title: impl Into<String>) -> Self {
        Self {
            layer,
            title: title.into(),
            weights: None,
            of_training: false,
            without_input: false,
            recording: None,
            precision: None,
        }
    }
}

fn base(what: &str) -> anyhow::Result<Base> {
    if let Some(preset) = Preset::find(what) {
        let layer = Layer::preset(preset.name, preset.toml)?;
        return Ok(Base::new(layer, preset.name));
    }
    let path = Path::new(what);
    if path.is_dir()
        || path
            .extension()
            .is_some_and(|extension| extension == "granule")
    {
        return trained(path);
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    if path.is_file()
        && let Some((layer, precision)) = of_result(path)?
    {
        return Ok(Base {
            precision,
            ..Base::new(layer, stem)
        });
    }
    // What is there and no file is refused as what it is.
    if what.ends_with(".toml") || path.exists() {
        let mut layer = super::file(path)?;
        let model = as_simulation(&layer.table);
        let (own, others) = (&OF_SIMULATIONS, &OF_TRAINING);
        if model.is_none()
            && let Some(keys) = of_another(&layer.table, own, others)
        {
            let file = crate::output::quoted(path);
            return Err(Usage::new(format!(
                "{file} describes a training, not a simulation: it has {keys}"
            ))
            .hint(format!(
                "`granule train {file}` trains it; of models only those of several levels, model.kind = \"{}\", can be \
                 simulated",
                ModelConfig::MULTI_GRANULARITY
            ))
            .into());
        }
        let of_training = model.is_some();
        if let Some(table) = model {
            layer.table = table;
        }
        return Ok(Base {
            of_training,
            ..Base::new(layer, stem)
        });
    }
    Err(unknown(what).into())
}

/// What a result of `granule simulate` can have at most: an object of `--json`.
const RESULT: Bound = Bound {
    what: "a result",
    limit: ByteSize(256 << 20),
};

/// The configuration that a result of a simulation carries: an archive of `--out`, or what `--json` printed.
fn of_result(path: &Path) -> anyhow::Result<Option<(Layer, Option<args::Precision>)>> {
    /// Everything else is passed over.
    #[derive(Deserialize)]
    struct Carrying {
        config: Option<Held>,
        #[serde(default)]
        learnt_without_setting: Vec<String>,
        precision: Option<args::Precision>,
    }
    let extension = path.extension().unwrap_or_default();
    let which = "a .npz of `granule simulate --out` and the output of `--json` can be simulated again, for they carry their \
                 configuration";
    let without = |reason: String| Usage::new(reason).hint(which);
    // A text of another form is another file; one that is no JSON is damaged.
    let of_text = |error: &DocumentError, reason: String| match error {
        DocumentError::Content(_) => anyhow::Error::from(without(reason)),
        _ => Hinted::new(reason, which).into(),
    };
    let place = path.display();
    let found = if extension.eq_ignore_ascii_case("npz") {
        let found = read_text(path, "config", ["learnt_without_setting", "precision"]);
        let (text, [learnt, precision]) = found.map_err(|error| {
            if error.is_of_file() {
                error.into()
            } else {
                anyhow::Error::from(without(error.to_string()))
            }
        })?;
        let config = from_json(text.as_bytes());
        let precision = precision.map(|text| args::Precision::deserialize(Held::Text(text)));
        Carrying {
            config: config
                .map_err(|error| of_text(&error, format!("{place}: its config: {error}")))?,
            learnt_without_setting: learnt
                .iter()
                .flat_map(|text| text.lines())
                .map(str::to_owned)
                .collect(),
            precision: precision.transpose().map_err(|error| {
                without(format!("{place}: {}", error.placed("its `precision`")))
            })?,
        }
    } else if extension.eq_ignore_ascii_case("json") {
        let text = granule::io::read_text(path, RESULT).map_err(|error| {
            unreadable(error.to_string(), matches!(error, FileError::Memory(_)))
        })?;
        let found = from_json::<Carrying>(text.as_bytes());
        found.map_err(|error| of_text(&error, format!("{place}: {error}")))?
    } else {
        return Ok(None);
    };
    if !found.learnt_without_setting.is_empty() {
        let names = found.learnt_without_setting.join(", ");
        let reason = format!("{place}: its model has learnt {names}, which no setting can say");
        let hint = "simulate the model that it is a result of: granule simulate RUN";
        return Err(Usage::new(reason).hint(hint).into());
    }
    let mut layer = Layer::new(Origin::File(path.to_path_buf()));
    let config = found.config.unwrap_or(Held::Absent);
    layer.table = match as_toml(config) {
        Ok(Some(Value::Table(table))) => table,
        Ok(None) => return Err(without(format!("{place}: it lacks \"config\"")).into()),
        Ok(Some(_)) => return Err(without(format!("{place}: its config is no table")).into()),
        Err(error) => {
            return Err(
                Usage::new(format!("{place}: {}", error.below("config").placed("it"))).into(),
            );
        }
    };
    Ok(Some((layer, found.precision)))
}

/// The same value without what is unset, which TOML cannot say.
fn as_toml(value: Held) -> Result<Option<Value>, HeldError> {
    Ok(Some(match value {
        Held::Absent => return Ok(None),
        Held::Bool(value) => value.into(),
        Held::Signed(value) => value.into(),
        Held::Unsigned(value) => i64::try_from(value)
            .map_err(|_| {
                HeldError::says(format_args!(
                    "is {value}, which must be at most {}",
                    i64::MAX
                ))
            })?
            .into(),
        Held::Float(value) => value.into(),
        Held::Text(value) => value.into(),
        Held::List(list) => {
            let values = list.into_iter().enumerate();
            let values =
                values.map(|(index, value)| as_toml(value).map_err(|error| error.below(index)));
            let values: Vec<Option<Value>> = values.collect::<Result<_, _>>()?;
            Value::Array(values.into_iter().flatten().collect())
        }
        Held::Table(all) => {
            let mut table = Table::new();
            for (key, value) in all {
                let value = as_toml(value).map_err(|error| error.below(&key))?;
                let Some(value) = value else { continue };
                if table.contains_key(&key) {
                    return Err(HeldError::says(format_args!("has {key:?} twice")));
                }
                table.insert(key, value);
            }
            Value::Table(table)
        }
    }))
}

/// The model of a run, or of a model file, over the time of its recording.
fn trained(path: &Path) -> anyhow::Result<Base> {
    let target = Target::find(path)?;
    let file = ModelFile::load(&target.model)?;
    let (Some(model), InputShape::Sequence { steps, channels }) =
        (file.model.get::<MultiGranularityConfig>(), file.input.shape)
    else {
        return Err(Usage::new(format!(
            "{} holds a model of the kind {}; only models of several levels can be simulated",
            target.model.display(),
            file.model.name()
        ))
        .hint("`granule eval` tests it, `granule predict` uses it, `granule probe` looks into one of a task")
        .into());
    };
    let mut table = Table::new();
    table.insert("dt".into(), model.dt.into());
    table.insert("duration".into(), (steps as f64 * model.dt).into());
    let mut composite = Table::try_from(model)?;
    // The step of the run stands for it.
    composite.remove("dt");
    table.insert("composite".into(), composite.into());
    let mut weights = learn(&mut table, model, file.state, &target.model)?;
    let recording = target.config().and_then(|config| config.data.recording);
    weights.fitted_to = recording.as_ref().map(|recording| recording.file.clone());
    let recording = recording.filter(|_| channels > 0);
    let mut layer = Layer::new(Origin::File(target.model));
    layer.table = table;
    let name = path.file_stem().unwrap_or_default();
    Ok(Base {
        weights: Some(weights),
        without_input: channels > 0,
        recording: recording.map(|recording| recording.file),
        ..Base::new(layer, name.to_string_lossy())
    })
}

/// Writes the values of a trained model into the configuration that it began with, where that has settings for them.
fn learn(
    table: &mut Table,
    model: &MultiGranularityConfig,
    state: StateDict,
    path: &Path,
) -> anyhow::Result<Weights> {
    let place = Place::f64(DeviceSpec::Cpu.open()?.burn());
    let before = model.init(&place)?;
    let after = load_levels(before.clone(), &state).map_err(|error| error.in_file(path))?;
    let found = after.learnt(model, &before)?;
    let mut without_setting = found.without_setting;
    let (unlearnt, mut learnt) = (table.clone(), Vec::new());
    for setting in &found.settings {
        let path = format!("composite.{}", setting.path);
        put(table, &path, Value::try_from(&setting.value)?)?;
        learnt.push(path);
    }
    // What training led beyond the range of its setting is in the model file alone.
    if !is_allowed(table, model.dt) {
        *table = unlearnt;
        learnt.clear();
        for setting in found.settings {
            let (path, before) = (format!("composite.{}", setting.path), table.clone());
            put(table, &path, Value::try_from(&setting.value)?)?;
            if is_allowed(table, model.dt) {
                learnt.push(path);
            } else {
                *table = before;
                without_setting.push(setting.path);
            }
        }
    }
    let without_setting = without_setting.iter();
    let without_setting = without_setting.map(|name| format!("composite.{name}"));
    let composite = table.get("composite").cloned();
    let composite = composite.unwrap_or_else(|| Table::new().into());
    Ok(Weights {
        file: path.to_owned(),
        state,
        described: MultiGranularityConfig {
            dt: model.dt,
            ..MultiGranularityConfig::deserialize(composite)?
        },
        learnt,
        fitted_to: None,
        without_setting: without_setting.collect(),
    })
}

/// Whether every setting of the composite is in its range.
fn is_allowed(table: &Table, dt: f64) -> bool {
    let composite = table.get("composite").cloned();
    let config = composite.and_then(|table| MultiGranularityConfig::deserialize(table).ok());
    config.is_some_and(|config| MultiGranularityConfig { dt, ..config }.validate().is_ok())
}

/// A stimulus that is given to a preset is added to the preset's own current.
fn own_current(layers: &[Layer]) -> Option<String> {
    const CURRENT: &str = "unit.current";
    let (preset, _) = layers.split_first()?;
    let current = lookup(&preset.table, CURRENT)?;
    let flows = match current {
        Value::Integer(number) => *number != 0,
        Value::Float(number) => *number != 0.0,
        _ => true,
    };
    let is_new = is_above("stimulus", layers) && !preset.table.contains_key("stimulus");
    let of_preset = matches!(preset.origin, Origin::Preset(_));
    (of_preset && flows && is_new && !is_above(CURRENT, layers)).then(|| {
        format!(
            "the preset's own `{CURRENT}` = {} flows beside the stimulus; `--set {CURRENT}=0` takes it away",
            brief(current)
        )
    })
}

/// Whether a setting was written over the lowest layer, where it has the names of a simulation.
fn is_above(path: &str, layers: &[Layer]) -> bool {
    let mut upper = layers.iter().skip(1);
    upper.any(|layer| lookup(&layer.table, path).is_some())
}

/// The path that a setting of the composite has in a configuration of `granule train`.
fn in_training(path: &str) -> String {
    match path.strip_prefix("composite") {
        Some(rest) if rest.is_empty() || rest.starts_with('.') => format!("model{rest}"),
        _ => path.to_owned(),
    }
}

/// A name that is no preset.
pub fn unknown(name: &str) -> Usage {
    if Path::new(name)
        .extension()
        .is_some_and(|end| end == "npz" || end == "json")
    {
        return Usage::new(format!("`{name}` is not here"))
            .hint("give a result of `granule simulate --out`, a preset or a .toml file");
    }
    let usage = Usage::new(format!("`{name}` is neither a preset nor a .toml file"));
    let all = "`granule presets` lists them";
    let set = |what: &str, preset: &str, key: &str| {
        Usage::new(format!("`{name}` is {what}, not a preset")).hint(format!(
            "`granule simulate {preset} --set {key}={name}` takes it in place of the preset's own; `granule config {name}` \
             lists its keys; {all}"
        ))
    };
    if is_kind("unit", "kind", name) {
        return set("a cell", "lif", "unit.kind");
    }
    if is_kind("system", "kind", name) {
        return set("a system", "jansen-rit", "system.kind");
    }
    if RunPreset::find(name).is_some() || ModelConfig::names().contains(&name) {
        let what = match RunPreset::find(name) {
            Some(_) => "a ready-made training",
            None => "a model that is trained",
        };
        return Usage::new(format!("`{name}` is {what}, not a simulation"))
            .hint(format!("`granule train {name}` trains it; {all}"));
    }
    match nearest(name, PRESETS.iter().map(|preset| preset.name)) {
        Some(near) => usage.hint(format!("did you mean `{near}`? {all}")),
        None => usage.hint(all),
    }
}

/// What a setting is called where it was written.
fn named_in(of_training: bool, layers: &[Layer], path: &str) -> String {
    if of_training && !is_above(path, layers) {
        in_training(path)
    } else {
        path.to_owned()
    }
}

/// Every setting that the chosen model has, with its default.
fn defaults(merged: &Table) -> Table {
    let mut skeleton = Table::new();
    for model in MODELS {
        if let (Some(Value::Table(_)), false) =
            (merged.get(model), ["circuit", "composite"].contains(&model))
        {
            skeleton.insert(model.into(), Value::Table(Table::new()));
        }
    }
    for (table, key) in KINDS {
        if let Some(kind) = lookup(merged, &format!("{table}.{key}")) {
            let only = Table::from_iter([(key.to_string(), kind.clone())]);
            skeleton.insert(table.into(), Value::Table(only));
        }
    }
    ExperimentConfig::deserialize(Value::Table(skeleton))
        .ok()
        .and_then(|config| Table::try_from(config).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use granule::data::arrays::{NpzArray, write_npz};
    use granule::dynamics::composite::Conversion;
    use granule::dynamics::synapse::Effect;
    use granule::dynamics::system::Delays;
    use granule::dynamics::unit::Morphology;
    use granule::models::state::state_dict;

    use super::*;
    use crate::args::{Cli, Command};

    fn described(words: &[&str]) -> anyhow::Result<Described> {
        let cli = Cli::try_parse_from(["granule", "simulate"].iter().chain(words)).unwrap();
        match cli.command {
            Command::Simulate(args) => resolve(&args),
            other => panic!("{other:?}"),
        }
    }

    fn refused(words: &[&str]) -> String {
        let error = described(words).err().unwrap();
        let usage = error.downcast_ref::<Usage>().expect("wrong usage");
        format!("{usage} / {}", usage.hint_text().unwrap_or_default())
    }

    #[test]
    fn populations_and_projections_may_stand_at_the_top_of_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(at("w.csv"), "1,0\n0,2\n").unwrap();
        let text = "duration = 1.0\n[[population]]\nname = \"a\"\nsize = 2\ncell = \"lif\"\n[[projection]]\nname = \"own\"\n\
                    from = \"a\"\nto = \"a\"\nautapses = true\n\
                    rule = { kind = \"matrix\", weights = { file = \"w.csv\" } }\n";
        std::fs::write(at("net.toml"), text).unwrap();
        let described = |set: &str| described(&[&at("net.toml"), "--set", set]);
        let config = described("circuit.projection.own.delay=3").unwrap().config;
        let circuit = config.circuit.unwrap();
        assert_eq!(circuit.populations[0].size, 2);
        assert_eq!(circuit.projections[0].delay, Some(3.0.into()));
    }

    #[test]
    fn weights_that_do_not_fit_are_named_by_their_file() {
        let path = Path::new("somewhere/model.granule");
        let text = "[[level]]\nname = \"a\"\n[level.unit]\nmodel = \"lif\"\ntrainable = [\"time_constant\"]\n";
        let model: MultiGranularityConfig = toml::from_str(text).unwrap();
        let error = learn(&mut Table::new(), &model, StateDict::default(), path);
        let error = error.err().unwrap().to_string();
        assert!(error.contains("somewhere/model.granule"), "{error}");
    }

    #[test]
    fn what_training_led_out_of_its_range_is_in_the_model_file_alone() {
        let text = r#"
            [[level]]
            name = "a"
            [level.unit]
            kind = "cable"
            trainable = ["axial_resistivity", "current"]
            axial_resistivity = 100.0
            current = 0.3
            leak = { conductance = 0.3, reversal = -54.4 }
            stimulus_sites = "axon(0)"
            record_sites = ["axon(0)"]
            [[level.unit.section]]
            name = "axon"
            length = 600.0
            diameter = 1.0
            compartments = 5
        "#;
        let place = Place::f64(DeviceSpec::Cpu.open().unwrap().burn());
        let of = |text: &str| -> (MultiGranularityConfig, StateDict) {
            let model: MultiGranularityConfig = toml::from_str(text).unwrap();
            let state = state_dict(&model.init(&place).unwrap()).unwrap();
            (model, state)
        };
        let (model, before) = of(text);
        let (_, after) = of(&text
            .replace("= 100.0", "= 300.0")
            .replace("= 0.3\n", "= 0.7\n"));
        let resistivity = "composite.level.0.unit.axial_resistivity";
        for (steps, expected, without) in [(1.0, 300.0, &[][..]), (9.0, 100.0, &[resistivity][..])]
        {
            // As many steps of training away, each from 100 to 300 Ωcm.
            let mut state = after.clone();
            for (name, tensor) in &mut state.0 {
                if name.contains("axial_resistivity") {
                    let both = tensor.data.iter_mut().zip(&before.0[name].data);
                    both.for_each(|(after, before)| *after = before + steps * (*after - before));
                }
            }
            let mut composite = Table::try_from(&model).unwrap();
            composite.remove("dt");
            let mut own = Table::from_iter([("composite".to_owned(), composite.into())]);
            let weights = learn(&mut own, &model, state, Path::new("m.granule")).unwrap();
            assert_eq!(weights.without_setting, without);
            let value = lookup(&own, resistivity).and_then(Value::as_float).unwrap();
            assert!((value - expected).abs() < 1e-2, "{value}");
            assert!(is_allowed(&own, model.dt));
            let current = "composite.level.0.unit.current".to_owned();
            assert!(weights.learnt.contains(&current), "{:?}", weights.learnt);
        }
    }

    #[test]
    fn another_model_keeps_what_it_knows_and_names_what_it_does_not() {
        let found = described(&["fi-curve", "--set", "unit.kind=lif"]).unwrap();
        assert_eq!(found.config.unit.unwrap().current().as_slice().len(), 24);
        assert_eq!(found.config.solver, None);
        assert_eq!(found.notes.len(), 1);
        assert!(found.notes[0].contains("`solver` = rk4 (in the preset fi-curve)"));

        let found = described(&["izhikevich", "--set", "unit.kind=lif"]).unwrap();
        let notes = found.notes.join("\n");
        for part in [
            "`unit.parameters.a`",
            "`unit.parameters.d`",
            "set for izhikevich and not used by lif",
            "in µA/cm², not in mV/ms: `unit.current`",
        ] {
            assert!(notes.contains(part), "{part}: {notes}");
        }
        let unit = found.config.unit.unwrap();
        assert_eq!(unit.current().as_slice(), [10.0]);

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cell.toml");
        let text = "solver = \"rk4\"\n[unit]\nmodel = \"hodgkin-huxley\"\ncells = 3\ncurrent = 7.0\n\
                    spike_threshold = -10.0\n[unit.parameters]\ng_na = 90.0\n";
        std::fs::write(&path, text).unwrap();
        let file = path.to_str().unwrap();
        let found = described(&[file, "--set", "unit.kind=wang-buzsaki"]).unwrap();
        assert_eq!(found.notes, Vec::<String>::new());
        let unit = found.config.unit.unwrap();
        assert_eq!((unit.cells(), unit.spike_threshold()), (3, Some(-10.0)));
        let g_na = unit
            .parameters()
            .into_iter()
            .find(|(info, _)| info.name == "g_na");
        assert_eq!(g_na.unwrap().1.as_slice(), [90.0]);
        let other = described(&[file, "--set", "unit.kind=adex"]).unwrap();
        assert!(other.notes[0].contains("`unit.parameters.g_na`, `unit.spike_threshold`"));
        assert_eq!(other.config.unit.unwrap().cells(), 3);
        // The solver of a person's own file is theirs to change: the run refuses it.
        let own = described(&[file, "--set", "unit.kind=lif"]).unwrap();
        assert!(own.config.solver.is_some());

        for words in [&["--solver", "heun"][..], &["--set", "solver=heun"]] {
            let words = [&["hodgkin-huxley", "--set", "unit.kind=lif"], words].concat();
            assert!(described(&words).unwrap().config.solver.is_some());
        }
        let found = described(&["traub-miles", "--set", "stimulus.kind=step"]).unwrap();
        assert!(found.notes[0].contains("`stimulus.period`, `stimulus.width`"));
        let found = described(&["jansen-rit", "--set", "system.kind=van-der-pol"]).unwrap();
        assert!(found.notes[0].contains("`system.drive`, `record.variables`"));
        assert!(described(&["hodgkin-huxley"]).unwrap().notes.is_empty());
    }

    #[test]
    fn what_a_table_needs_is_named() {
        for (setting, hint) in [
            ("stimulus.amplitude=3", "the choices are step, pulse, sine"),
            ("stimulus.onst=3", "did you mean `stimulus.onset`?"),
            (
                "unit.current={}",
                "`unit.current` is an empty table, but must be a number",
            ),
            (
                "unit.current={file=\"\"}",
                "`unit.current`: its `file` is empty",
            ),
            (
                "unit.bounds={rest=[0,1]}",
                "one of free, { above = number }, { atleast = number }, { below = number }, { between = list of 2 numbers }",
            ),
            ("bounds={rest=[0,1]}", "did you mean `unit.bounds`?"),
            ("stimulus=step", "`stimulus.kind = step`"),
            ("unit=lif", "`unit.kind = lif`"),
        ] {
            let text = refused(&["lif", "--set", setting]);
            assert!(text.contains(hint), "{setting}: {text}");
        }
    }

    #[test]
    fn a_word_is_answered_with_the_setting_that_has_it() {
        let text = refused(&["ball-and-stick", "--solver", "crank-nicolson"]);
        for part in [
            "`solver` has no choice `crank-nicolson` (from the flags)",
            "did you mean `unit.scheme = crank-nicolson`, with `unit.kind = cable`?",
            "The choices of `solver` are euler,",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_result_is_simulated_again() {
        let dir = tempfile::tempdir().unwrap();
        let config = described(&["wang-buzsaki", "--dt", "0.05"]).unwrap().config;
        let text = serde_json::to_string(&config).unwrap();
        let (json, npz) = (dir.path().join("r.json"), dir.path().join("r.npz"));
        std::fs::write(
            &json,
            format!("{{\"cells\": [1, 2], \"config\": {text}}}\n"),
        )
        .unwrap();
        let write = |beside: Option<NpzArray>| {
            let own = [
                NpzArray::new("v", vec![1], vec![1.0]),
                NpzArray::text("config", text.clone()),
            ];
            let arrays: Vec<NpzArray> = own.into_iter().chain(beside).collect();
            let mut bytes = Vec::new();
            write_npz(&mut bytes, &arrays).unwrap();
            std::fs::write(&npz, bytes).unwrap();
        };
        write(Some(NpzArray::text("precision", "f9".to_owned())));
        let text = refused(&[npz.to_str().unwrap()]);
        let said = "its `precision` has no choice \"f9\"; the choices are f32, f64";
        assert!(text.contains(said), "{text}");
        write(None);
        for path in [&json, &npz] {
            let path = path.to_str().unwrap();
            assert_eq!(described(&[path]).unwrap().config, config);
            assert_eq!(described(&[path, "--dt", "0.01"]).unwrap().config.dt, 0.01);
        }
        std::fs::write(&json, "{}").unwrap();
        let text = refused(&[json.to_str().unwrap()]);
        for part in ["r.json", "`granule simulate --out`"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_list_is_no_table() {
        for setting in ["stimulus=[\"step\",3]", "record=[3]", "unit=[]"] {
            let text = refused(&["hodgkin-huxley", "--set", setting]);
            assert!(text.contains("but must be a table"), "{setting}: {text}");
        }
    }

    #[test]
    fn tables_of_a_preset_can_be_taken_away() {
        let stimulus = |words: &[&str]| described(words).unwrap().config.stimulus;
        assert!(stimulus(&["wang-buzsaki"]).is_some());
        assert!(stimulus(&["wang-buzsaki", "--set", "stimulus="]).is_none());
        let whole = ["whole-brain", "--set", "connectivity=", "--set", "bold="];
        let found = described(&whole).unwrap().config;
        assert!(found.connectivity.is_none() && found.bold.is_none());
        let plain = ["adex", "--set", "unit.parameters="];
        let default = ["adex", "--set", "unit.kind=adex"];
        assert!(described(&plain).is_ok() && described(&default).is_ok());
        let couplers = ["multi-granularity", "--set", "composite.coupler="];
        let found = described(&couplers).unwrap().config.composite.unwrap();
        assert!(found.couplers.is_empty());
        // A value goes back to that of the preset.
        let value = [
            "hodgkin-huxley",
            "--set",
            "unit.current=3",
            "--set",
            "unit.current=",
        ];
        let found = described(&value).unwrap().config.unit.unwrap();
        assert_eq!(found.current().as_slice(), [10.0]);
        assert!(refused(&["lif", "--set", "unit="]).contains("0 tables"));
    }

    #[test]
    fn numbers_and_stimuli_are_read_from_files() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("i.csv", "1\n2\n3\n");
        write("w.csv", "0,1\n1,0\n");
        write("s.csv", "time (s),i (nA/cm^2)\n0,1\n0.001,3\n");
        let toml = "[unit]\nmodel = 'hodgkin-huxley'\ncells = 3\ncurrent = { file = 'i.csv' }\n\
                    [stimulus]\nkind = 'file'\nfile = 's.csv'\n";
        write("cell.toml", toml);
        let path = dir.path().join("cell.toml");
        let cell = path.to_str().unwrap();
        let config = described(&[cell]).unwrap().config;
        assert_eq!(config.unit.unwrap().current().as_slice(), [1.0, 2.0, 3.0]);
        let Some(StimulusConfig::File(stimulus)) = config.stimulus else {
            panic!("another stimulus");
        };
        let samples = stimulus.samples.unwrap();
        assert_eq!(samples.times, Some(vec![0.0, 1.0]));
        assert_eq!(samples.unit.as_deref(), Some("nA/cm^2"));
        let four = described(&[cell, "--set", "unit.cells=4"]).unwrap();
        let error = DynamicsError::config("unit.current", "[3 values]", "4");
        let text = four.explain(error).to_string();
        assert!(
            text.contains("cell.toml: ") && text.contains("i.csv, of the shape [3, 1]"),
            "{text}"
        );

        let weights = format!(
            "connectivity.weights.file={}",
            dir.path().join("w.csv").display()
        );
        let whole = [
            "whole-brain",
            "--set",
            "connectivity.delays=",
            "--set",
            &weights,
        ];
        let config = described(&whole).unwrap().config;
        let expected = [vec![0.0, 1.0], vec![1.0, 0.0]];
        assert_eq!(config.connectivity.unwrap().weights, expected);
        // The same from arrays of NumPy, alone and in an archive.
        let at = |name: &str| dir.path().join(name).display().to_string();
        let npy = |name: &str, shape: &str, values: &[f64]| {
            let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}");
            let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
            bytes.extend(format!("{header:<117}\n").bytes());
            bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
            std::fs::write(at(name), bytes).unwrap();
        };
        npy("w.npy", "(2, 2)", &[0.0, 1.0, 1.0, 0.0]);
        let array = weights.replace("w.csv", "w.npy");
        let config = described(&[&whole[..4], &[array.as_str()]].concat());
        let config = config.unwrap().config;
        assert_eq!(config.connectivity.unwrap().weights, expected);
        npy("tau.npy", "(3,)", &[5.0, 10.0, 20.0]);
        write("rates.toml", "[population]\nunits = 3\n");
        let constants = format!("population.time_constant.file={}", at("tau.npy"));
        let config = described(&[&at("rates.toml"), "--set", &constants]);
        let population = config.unwrap().config.population.unwrap();
        assert_eq!(population.time_constant.as_slice(), [5.0, 10.0, 20.0]);
        let arrays = [
            NpzArray::new("time", vec![2], vec![0.0, 1.0]),
            NpzArray::new("i", vec![2], vec![1.0, 3.0]),
        ];
        let mut archive = std::fs::File::create(at("s.npz")).unwrap();
        write_npz(&mut archive, &arrays).unwrap();
        let stimulus = format!("stimulus.file={}", at("s.npz"));
        let config = described(&[cell, "--set", &stimulus]).unwrap().config;
        let Some(StimulusConfig::File(stimulus)) = config.stimulus else {
            panic!("another stimulus");
        };
        let samples = stimulus.samples.unwrap();
        assert_eq!(samples.times, Some(vec![0.0, 1.0]));
        assert_eq!(samples.values, [1.0, 3.0]);
        let delays = weights.replace("weights.file", "delays.distances.lengths.file");
        assert!(described(&["whole-brain", "--set", &delays]).is_ok());
        // Blamed on the file only where one may stand.
        let text = refused(&[cell, "--set", "unit.current.file=nix.npy"]);
        assert!(
            text.contains("`unit.current`") && text.contains("nix.npy"),
            "{text}"
        );
        for (key, expected) in [
            ("unit.cells", "a whole number, 1 or more"),
            ("unit.trainable", "a list"),
            ("connectivity.nodes", ""),
        ] {
            let text = refused(&[cell, "--set", &format!("{key}.file=nix.npy")]);
            assert!(
                text.contains(&format!("`{key}")) && !text.contains("nix.npy"),
                "{text}"
            );
            assert!(text.contains(expected), "{text}");
        }
        // A value over that of a file is what is wrong.
        let text = refused(&[cell, "--set", "unit.current=true"]);
        assert!(
            text.contains("`unit.current` is true, but must be"),
            "{text}"
        );
        // A file in whose place another value stands is not missed.
        write("gone.toml", &toml.replace("i.csv", "nix.npy"));
        let gone = dir.path().join("gone.toml");
        let gone = gone.to_str().unwrap();
        assert!(refused(&[gone]).contains("nix.npy"));
        assert!(described(&[gone, "--set", "unit.current=3"]).is_ok());
        let count = format!("unit.cells.file={}", dir.path().join("w.csv").display());
        let text = refused(&[cell, "--set", &count]);
        assert!(text.contains("w.csv, of the shape [2, 2]"), "{text}");
        let text = refused(&[cell, "--set", "stimulus.file=nix.npy"]);
        assert!(text.contains("stimulus.file = nix.npy"), "{text}");
    }

    #[test]
    fn a_morphology_is_read_from_the_folder_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write(
            "cell.swc",
            "1 1 0 0 0 5 -1\n2 3 5 0 0 1 1\n3 3 15 0 0 1 2\n",
        );
        write(
            "loop.swc",
            "1 1 0 0 0 5 -1\n2 3 5 0 0 1 3\n3 3 15 0 0 1 2\n",
        );
        let toml = "[unit]\nmodel = 'cable'\nmorphology = 'cell.swc'\nrecord_sites = 'soma'\n\
                    [[unit.section]]\nname = 'basal'\nparameters = { g_l = 0.2 }\n";
        write("cell.toml", toml);
        let path = dir.path().join("cell.toml");
        let cell = path.to_str().unwrap();
        let config = described(&[cell]).unwrap().config;
        let Some(UnitConfig::Cable(cable)) = config.unit else {
            panic!("another model");
        };
        let Some(Morphology::Read(read)) = &cable.morphology else {
            panic!("a morphology that was not read");
        };
        assert_eq!(read.points[2], [3.0, 3.0, 15.0, 0.0, 0.0, 1.0, 2.0]);
        assert!(cable.validate().is_ok());
        let site = described(&[cell, "--set", "unit.record_sites=[\"soma\", \"basal(1)\"]"]);
        let Some(UnitConfig::Cable(cable)) = site.unwrap().config.unit else {
            panic!("another model");
        };
        assert_eq!(cable.record_sites.as_slice(), ["soma", "basal(1)"]);
        // On the command line, from where one is.
        let set = format!("unit.morphology={}", dir.path().join("loop.swc").display());
        let text = described(&[cell, "--set", &set]).err().unwrap().to_string();
        assert!(
            text.contains("unit.morphology = ") && text.contains("loop.swc, line 2: point 2"),
            "{text}"
        );
        let text = refused(&[cell, "--set", "unit.morphology=nix.swc"]);
        assert!(
            text.contains("`unit.morphology`: nix.swc: cannot read"),
            "{text}"
        );
        // What is wrong elsewhere is said, though the points stand in the place of the file.
        let text = refused(&[cell, "--set", "unit.section.0.d_lamda=1.0"]);
        assert!(
            text.contains("unknown key `unit.section.0.d_lamda`") && !text.contains("morphology"),
            "{text}"
        );
        let text = refused(&[cell, "--set", "unit.morphology=3"]);
        assert!(
            text.contains("`unit.morphology` is 3, but must be a text or {"),
            "{text}"
        );
    }

    #[test]
    fn elements_of_lists_are_set_by_index_or_name() {
        let composite = |set: &str| {
            let words = ["multi-granularity", "--set", set];
            let found = described(&words).unwrap();
            found.config.composite.unwrap()
        };
        for key in ["0", "cells"] {
            let found = composite(&format!("composite.level.{key}.unit.current=12"));
            let unit = found.levels[0].unit.as_ref().unwrap();
            assert_eq!((unit.current().as_slice(), unit.cells()), (&[12.0][..], 20));
            assert_eq!(found.levels.len(), 3);
        }
        let found = composite("composite.coupler.0.projection.mean.gain=5");
        let text = serde_json::to_string(&found.couplers[0]).unwrap();
        assert!(text.contains("{\"mean\":{\"gain\":5.0}}"), "{text}");
        let found = composite("composite.level.cells.unit.current.1=3");
        let unit = found.levels[0].unit.as_ref().unwrap();
        assert_eq!(unit.current().as_slice()[..3], [6.5, 3.0, 6.9]);
        let found = composite("composite.level.cells.unit.current=");
        let unit = found.levels[0].unit.as_ref().unwrap();
        assert_eq!(unit.current().as_slice().len(), 20);

        for (set, parts) in [
            (
                "composite.level.cels.unit.cells=5",
                &[
                    "`composite.level` has no element `cels`",
                    "0 (cells), 1 (population), 2 (system)",
                ][..],
            ),
            ("composite.level.3.dt=1", &["no element `3`", "2 (system)"]),
            ("composite.level.3.dt=", &["no element `3`", "2 (system)"]),
            (
                "composite.coupler.9.delay=1",
                &["no element `9`", "1 (population.output → system)"],
            ),
            (
                "composite.level.0.unit.current.20=1",
                &["no element `20`", "0 to 19"],
            ),
            (
                "composite.level.system.systm.kind=linear",
                &[
                    "`composite.level.2.systm`",
                    "--set",
                    "did you mean `composite.level.2.system`?",
                ],
            ),
        ] {
            let text = refused(&["multi-granularity", "--set", set]);
            for part in parts {
                assert!(text.contains(part), "{set} {part}: {text}");
            }
        }
    }

    #[test]
    fn another_choice_takes_the_place_of_the_one_below() {
        let whole = described(&["whole-brain", "--set", "connectivity.delays.uniform=20"]);
        let delays = whole.unwrap().config.connectivity.unwrap().delays;
        assert_eq!(delays, Delays::Uniform(20.0));
        let nmda = [
            "gamma",
            "--set",
            "composite.coupler.0.effect.nmda.reversal=0",
        ];
        let magnesium = "composite.coupler.0.effect.nmda.magnesium=1";
        let found = described(&[&nmda[..], &["--set", magnesium]].concat()).unwrap();
        let effect = found.config.composite.unwrap().couplers[0].effect.clone();
        let expected = Effect::Nmda {
            reversal: 0.0.into(),
            magnesium: 1.0.into(),
        };
        assert_eq!(effect, Some(expected));
        let text = refused(&nmda);
        assert!(
            text.starts_with("`composite.coupler.0.effect.nmda.magnesium` is missing"),
            "{text}"
        );
        let random = "composite.coupler.1.projection.random.gain=2";
        let text = refused(&["gamma", "--set", random]);
        let expected = "`composite.coupler.1.projection.random.seed` is missing, \
                        which `random` needs (in --set)";
        assert!(text.starts_with(expected), "{text}");
        let kind = "composite.coupler.0.conversion.kind=drive-to-rate";
        let slope = ["--set", "composite.coupler.0.conversion.slope=3"];
        let sloped = described(&[&["gamma"], &slope[..]].concat()).unwrap();
        let conversion = sloped.config.composite.unwrap().couplers[0]
            .conversion
            .clone();
        let expected = Conversion::VoltageToRate {
            threshold: -20.0,
            slope: 3.0,
        };
        assert_eq!(conversion, expected);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gamma.toml");
        let own = "conversion = { kind = \"voltage-to-rate\", threshold = -30.0, slope = 2.0 }";
        let plain = "conversion = { kind = \"voltage-to-rate\" }";
        let text = Preset::find("gamma").unwrap().toml.replace(plain, own);
        std::fs::write(&path, text).unwrap();
        let found = described(&[path.to_str().unwrap(), "--set", kind]).unwrap();
        let conversion = found.config.composite.unwrap().couplers[0]
            .conversion
            .clone();
        assert_eq!(conversion, Conversion::DriveToRate);
    }

    #[test]
    fn a_training_is_not_a_simulation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.toml");
        std::fs::write(
            &path,
            "seed = 3\n[model]\nkind = 'lenet'\n[train]\nepochs = 3\n",
        )
        .unwrap();
        let text = refused(&[path.to_str().unwrap()]);
        for part in [
            "a training, not a simulation",
            "`model`, `train`",
            "`granule train ",
            "multi-granularity",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        for (name, what) in [
            ("lenet", "a model that is trained"),
            ("decode-kinematics", "a ready-made training"),
        ] {
            let text = refused(&[name]);
            assert!(
                text.contains(what) && text.contains(&format!("`granule train {name}`")),
                "{text}"
            );
        }
    }

    #[test]
    fn a_flag_and_a_setting_that_differ_are_refused() {
        for (flag, value, setting) in [
            ("--duration", "20", "duration=30"),
            ("--dt", "0.1", "dt=0.2"),
            ("--solver", "rk4", "solver=heun"),
            ("--seed", "1", "seed=2"),
        ] {
            let text = refused(&["hodgkin-huxley", flag, value, "--set", setting]);
            for part in [
                flag,
                value,
                setting.split('=').next_back().unwrap(),
                "given twice",
            ] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
        described(&[
            "hodgkin-huxley",
            "--duration",
            "20",
            "--set",
            "duration=20.0",
        ])
        .unwrap();
    }

    #[test]
    fn a_damaged_file_is_no_wrong_usage() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path.display().to_string()
        };
        let is_usage = |preset: &str, setting: String| {
            let error = described(&[preset, "--set", &setting]).err().unwrap();
            (error.is::<Usage>(), error.to_string())
        };
        let torn = at("torn.csv", b"1,2\n3,x\n");
        let cut = at("cut.npy", b"\x93NUMPY\x01\x00\x76\x00{'descr'");
        let odd = at(
            "odd.swc",
            b"1 1 0 0 0 5 -1\n2 3 5 0 0 1 3\n3 3 15 0 0 1 2\n",
        );
        for (preset, setting) in [
            ("lif", format!("unit.current.file={torn}")),
            ("lif", format!("unit.current.file={cut}")),
            ("lif", format!("stimulus={{kind='file', file='{torn}'}}")),
            ("lif", format!("stimulus={{kind='file', file='{cut}'}}")),
            ("ball-and-stick", format!("unit.morphology={odd}")),
        ] {
            let (usage, text) = is_usage(preset, setting);
            assert!(!usage, "{text}");
            assert!(text.contains(&dir.path().display().to_string()), "{text}");
        }
        // What is not there, and what was not asked for rightly, is.
        let table = at("table.csv", b"a,b\n1,2\n");
        for (preset, setting) in [
            ("lif", "unit.current.file=nix.npy".to_owned()),
            ("lif", "stimulus={kind='file', file='nix.npy'}".to_owned()),
            ("ball-and-stick", "unit.morphology=nix.swc".to_owned()),
            ("lif", format!("unit.current={{file='{table}', array='c'}}")),
            (
                "lif",
                format!("unit.current.file={}", at("words.txt", b"1")),
            ),
        ] {
            let (usage, text) = is_usage(preset, setting);
            assert!(usage, "{text}");
        }
    }

    #[test]
    fn settings_of_a_training_file_are_named_as_they_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train.toml");
        let file = path.to_str().unwrap();
        let write = |cells: &str, more: &str| {
            let text = format!(
                "[model]\nkind = \"multi-granularity\"\ndt = 0.5\n[[model.level]]\nname = \"cells\"\n{more}\
                 [model.level.unit]\nmodel = \"lif\"\ncells = {cells}\n"
            );
            std::fs::write(&path, text).unwrap();
        };
        write("3", "");
        described(&[file]).unwrap();
        let range = |words: &[&str]| {
            let found = described(words).unwrap();
            let error = DynamicsError::config("composite.level.cells.dt", 0.3, "another");
            found.explain(error).to_string()
        };
        write("3", "dt = 0.3\n");
        let text = range(&[file]);
        assert!(text.starts_with("model.level.cells.dt = 0.3"), "{text}");
        assert!(text.contains("train.toml"), "{text}");
        let text = range(&[file, "--set", "composite.level.cells.dt=0.3"]);
        assert!(text.starts_with("composite.level.cells.dt = 0.3"), "{text}");
        assert!(text.contains("--set"), "{text}");
        for (cells, more, parts) in [
            (
                "3",
                "slover = \"rk4\"\n",
                &[
                    "unknown key `model.level.0.slover`",
                    "`model.level.0.solver`",
                ][..],
            ),
            (
                "\"many\"",
                "",
                &["`model.level.0.unit.cells` is \"many\", but must be a whole number, 1 or more"],
            ),
        ] {
            write(cells, more);
            let text = refused(&[file]);
            assert!(!text.contains("composite"), "{text}");
            for part in parts {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
    }

    #[test]
    fn every_preset_is_a_configuration() {
        for preset in PRESETS {
            let config: ExperimentConfig = toml::from_str(preset.toml).unwrap();
            config.validate().unwrap();
            assert!(preset.toml.starts_with("# "), "{}", preset.name);
            assert!(preset.summary.chars().count() < 70, "{}", preset.name);
        }
    }
}
