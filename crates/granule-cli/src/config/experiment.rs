//! The configuration of a simulation: a preset or a TOML file, the flags and `--set`, one over the other.

use std::path::Path;

use granule::dynamics::DynamicsError;
use granule::dynamics::composite::MultiGranularityConfig;
use granule::dynamics::experiment::{ExperimentConfig, Preset, presets::PRESETS};
use granule::models::{InputShape, ModelConfig, ModelFile, StateDict};
use serde::Deserialize;
use toml::{Table, Value};

use super::explain::{self, explain, nearest};
use super::layers::{Layer, Origin, clear, lookup, merge, read_set};
use crate::args;
use crate::commands::target::Target;
use crate::failure::Usage;

/// Tables whose keys depend on a name in them.
const KINDS: [(&str, &str); 3] = [("unit", "model"), ("system", "kind"), ("stimulus", "kind")];

/// Tables of which a configuration has one.
const MODELS: [&str; 5] = ["unit", "population", "system", "network", "composite"];

/// A configuration, where its settings were written, and what it is called.
pub struct Described {
    pub config: ExperimentConfig,
    pub title: String,
    /// Of a model of several levels that was trained.
    pub weights: Option<StateDict>,
    layers: Vec<Layer>,
}

impl Described {
    /// A setting outside its range as wrong usage; every other error as it is.
    pub fn explain(&self, error: DynamicsError) -> anyhow::Error {
        match &error {
            DynamicsError::Config { field, .. } => {
                let written = explain::written(field, &self.layers);
                Usage::new(format!("{error}{written}")).into()
            }
            DynamicsError::Shape { .. }
            | DynamicsError::Units { .. }
            | DynamicsError::Unsupported { .. } => Usage::new(error.to_string()).into(),
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
    } = base(&args.what)?;
    let mut flags = Layer::new(Origin::Flags);
    let settings = [
        ("duration", args.duration.map(Value::from)),
        ("dt", args.dt.map(Value::from)),
        ("solver", args.solver.as_deref().map(Value::from)),
        (
            "seed",
            args.seed
                .and_then(|seed| i64::try_from(seed).ok())
                .map(Value::from),
        ),
    ];
    for (path, value) in settings {
        if let Some(value) = value {
            flags.set(path, value)?;
        }
    }
    let mut set = Layer::new(Origin::Set);
    for text in &args.set {
        read_set(&mut set, text)?;
    }
    let preset = match base.origin {
        Origin::Preset(_) => base.table.clone(),
        _ => Table::new(),
    };
    let layers = vec![base, flags, set];
    let mut merged = Table::new();
    for layer in &layers {
        let mut settings = layer.table.clone();
        for (table, key) in KINDS {
            let kind = |table_of: &Table| {
                let named = table_of.get(table)?.get(key)?;
                Some(named.as_str()?.to_owned())
            };
            if let (Some(own), Some(last)) = (
                kind(&settings),
                layers.iter().rev().find_map(|l| kind(&l.table)),
            ) && own != last
            {
                // What is set for one kind means nothing to another.
                settings.remove(table);
            }
        }
        merge(&mut merged, &settings);
    }
    for path in layers.iter().flat_map(|layer| &layer.cleared) {
        clear(&mut merged, path, &preset);
    }
    let defaults = defaults(&merged);
    let config = ExperimentConfig::deserialize(Value::Table(merged.clone()))
        .map_err(|error| explain(&error, &merged, &defaults, &layers))?;
    let described = Described {
        config,
        title,
        weights,
        layers,
    };
    match described.config.validate() {
        Ok(()) => Ok(described),
        Err(error) => Err(described.explain(error)),
    }
}

/// What a simulation is described by before flags and `--set`.
struct Base {
    layer: Layer,
    title: String,
    weights: Option<StateDict>,
}

fn base(what: &str) -> anyhow::Result<Base> {
    if let Some(preset) = Preset::find(what) {
        let mut layer = Layer::new(Origin::Preset(preset.name));
        layer.table = preset.toml.parse()?;
        return Ok(Base {
            layer,
            title: preset.name.to_string(),
            weights: None,
        });
    }
    let path = Path::new(what);
    if path.is_dir()
        || path
            .extension()
            .is_some_and(|extension| extension == "granule")
    {
        return trained(path);
    }
    if what.ends_with(".toml") || path.is_file() {
        let mut layer = super::file(path)?;
        if let Some(table) = of_training(&layer.table) {
            layer.table = table;
        }
        let stem = path.file_stem().unwrap_or_default();
        return Ok(Base {
            layer,
            title: stem.to_string_lossy().into_owned(),
            weights: None,
        });
    }
    Err(unknown(what).into())
}

/// The model of a run, or of a model file, over the time of its recording.
fn trained(path: &Path) -> anyhow::Result<Base> {
    let target = Target::find(path)?;
    let file = ModelFile::load(&target.model)?;
    let (ModelConfig::MultiGranularity(model), InputShape::Sequence { steps, .. }) =
        (&file.model, file.input.shape)
    else {
        return Err(Usage::new(format!(
            "{} holds a model of the kind {}; only models of several levels can be simulated",
            target.model.display(),
            file.model.name()
        ))
        .hint("`granule eval` tests it, `granule predict` uses it")
        .into());
    };
    let mut table = Table::new();
    table.insert("dt".into(), model.dt.into());
    table.insert("duration".into(), (steps as f64 * model.dt).into());
    table.insert("composite".into(), Value::try_from(model)?);
    let mut layer = Layer::new(Origin::File(target.model));
    layer.table = table;
    let name = path.file_stem().unwrap_or_default();
    Ok(Base {
        layer,
        title: name.to_string_lossy().into_owned(),
        weights: Some(file.state),
    })
}

/// The model in a configuration of `granule train`, as a simulation.
fn of_training(table: &Table) -> Option<Table> {
    let mut model = table.get("model")?.as_table()?.clone();
    let kind = model.remove("kind")?;
    if kind.as_str() != Some(ModelConfig::MULTI_GRANULARITY) {
        return None;
    }
    let default = MultiGranularityConfig::default().dt;
    let dt = model.get("dt").cloned().unwrap_or(default.into());
    let composite = Value::Table(model);
    Some(Table::from_iter([
        ("dt".to_owned(), dt),
        ("composite".to_owned(), composite),
    ]))
}

/// A name that is no preset.
pub fn unknown(name: &str) -> Usage {
    let usage = Usage::new(format!("`{name}` is neither a preset nor a .toml file"));
    let all = "`granule presets` lists them";
    match nearest(name, PRESETS.iter().map(|preset| preset.name)) {
        Some(near) => usage.hint(format!("did you mean `{near}`? {all}")),
        None => usage.hint(all),
    }
}

/// Every setting that the chosen model has, with its default.
fn defaults(merged: &Table) -> Table {
    let mut skeleton = Table::new();
    for model in MODELS {
        if let (Some(Value::Table(_)), false) = (merged.get(model), model == "composite") {
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
    use super::*;

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
