//! The configuration of a simulation: a preset or a TOML file, the flags and `--set`, one over the other.

use std::path::Path;

use granule::dynamics::DynamicsError;
use granule::dynamics::experiment::{ExperimentConfig, Preset, presets::PRESETS};
use serde::Deserialize;
use toml::{Table, Value};

use super::explain::{self, explain, nearest};
use super::layers::{Layer, Origin, clear, lookup, merge, read_set};
use crate::args;
use crate::failure::Usage;

/// Tables whose keys depend on a name in them.
const KINDS: [(&str, &str); 3] = [("unit", "model"), ("system", "kind"), ("stimulus", "kind")];

/// Tables of which a configuration has one.
const MODELS: [&str; 5] = ["unit", "population", "system", "network", "composite"];

/// A configuration, where its settings were written, and what it is called.
pub struct Described {
    pub config: ExperimentConfig,
    pub title: String,
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
    let (base, title) = base(&args.what)?;
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
        layers,
    };
    match described.config.validate() {
        Ok(()) => Ok(described),
        Err(error) => Err(described.explain(error)),
    }
}

fn base(what: &str) -> anyhow::Result<(Layer, String)> {
    if let Some(preset) = Preset::find(what) {
        let mut layer = Layer::new(Origin::Preset(preset.name));
        layer.table = preset.toml.parse()?;
        return Ok((layer, preset.name.to_string()));
    }
    let path = Path::new(what);
    if what.ends_with(".toml") || path.is_file() {
        let layer = super::file(path)?;
        let stem = path.file_stem().unwrap_or_default();
        return Ok((layer, stem.to_string_lossy().into_owned()));
    }
    Err(unknown(what).into())
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
