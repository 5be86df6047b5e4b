//! Settings as Python hands them over: JSON, and paths that go back to their defaults.

use granule::io::table::{merge, remove};
use granule::io::{Bound, read_text};
use granule::models::ModelConfig;
use granule::simulate::{Preset, presets::PRESETS};
use granule::train::{Overrides, RUN_PRESETS, RunPreset};
use serde_json::Value as Json;
use std::path::Path;
use toml::{Table, Value};

use crate::error::Failure;

/// What is said over a file or a preset; a null goes back to the default.
///
/// # Errors
/// A value that settings cannot have.
pub fn overrides(json: &str) -> Result<Overrides, Failure> {
    let mut settings = Overrides::default();
    if let Json::Object(all) = serde_json::from_str(json)? {
        for (key, value) in all {
            put(&mut settings, &key, &value)?;
        }
    }
    Ok(settings)
}

/// Writes a value at a dotted path over what is there.
fn put(settings: &mut Overrides, path: &str, value: &Json) -> Result<(), Failure> {
    let names: Vec<&str> = path.split('.').collect();
    if names.iter().any(|name| name.trim().is_empty()) {
        return Err(Failure::value(format!(
            "`{path}` is not of the form key.path, as optimizer.lr is"
        )));
    }
    match (value, as_toml(path, value)?) {
        (Json::Object(inner), None) => {
            for (key, value) in inner {
                put(settings, &format!("{path}.{key}"), value)?;
            }
        }
        (_, None) => {
            remove(&mut settings.table, path);
            settings.cleared.push(path.to_owned());
        }
        (_, Some(value)) => {
            settings.cleared.retain(|cleared| cleared != path);
            let nested = names.iter().rev().fold(value, |inner, name| {
                Value::Table(Table::from_iter([((*name).to_owned(), inner)]))
            });
            if let Value::Table(nested) = nested {
                merge(&mut settings.table, &nested);
            }
        }
    }
    Ok(())
}

/// A value of TOML; none for a null, and for a table that has one or a key that is a path.
fn as_toml(path: &str, value: &Json) -> Result<Option<Value>, Failure> {
    Ok(Some(match value {
        Json::Null => return Ok(None),
        Json::Bool(value) => (*value).into(),
        Json::String(value) => value.clone().into(),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(float)) if number.is_f64() => float.into(),
            _ => {
                return Err(Failure::value(format!(
                    "`{path}` is {number}; whole numbers go from {} to {}",
                    i64::MIN,
                    i64::MAX
                )));
            }
        },
        Json::Array(list) => {
            let mut values = Vec::with_capacity(list.len());
            for value in list {
                let value = as_toml(path, value)?;
                let none = || Failure::value(format!("`{path}` has a None in a list"));
                values.push(value.ok_or_else(none)?);
            }
            Value::Array(values)
        }
        Json::Object(all) => {
            let mut table = Table::new();
            for (key, value) in all {
                if key.contains('.') {
                    return Ok(None);
                }
                match as_toml(&format!("{path}.{key}"), value)? {
                    Some(value) => table.insert(key.clone(), value),
                    None => return Ok(None),
                };
            }
            Value::Table(table)
        }
    }))
}

/// What a word stands for.
pub struct Described {
    /// The settings.
    pub table: Table,
    /// What it is called.
    pub title: String,
    /// The folder from which files are named.
    pub folder: std::path::PathBuf,
    /// The defaults that a preset is; a file is none.
    pub preset: Table,
}

impl Described {
    fn new(table: Table, title: &str) -> Self {
        Self {
            table,
            title: title.to_owned(),
            folder: Default::default(),
            preset: Table::new(),
        }
    }

    /// A text of TOML.
    ///
    /// # Errors
    /// A text that is none.
    pub fn text(text: &str, title: &str) -> Result<Self, Failure> {
        let table = text.parse::<Table>().map_err(|error| {
            Failure::value(format!(
                "{title} is not valid TOML\n{}",
                error.to_string().trim_end()
            ))
        })?;
        Ok(Self::new(table, title))
    }

    fn file(path: &Path) -> Result<Self, Failure> {
        let text = read_text(path, Bound::CONFIGURATION)?;
        let described = Self::text(&text, &path.display().to_string())?;
        let stem = path.file_stem().unwrap_or_default();
        Ok(Self {
            title: stem.to_string_lossy().into_owned(),
            folder: path.parent().unwrap_or(Path::new("")).to_owned(),
            ..described
        })
    }

    /// A model, a preset or a `.toml` file of a training.
    ///
    /// # Errors
    /// What is none of them.
    pub fn training(what: &str) -> Result<Self, Failure> {
        if ModelConfig::names().contains(&what) {
            let kind = Table::from_iter([("kind".to_owned(), what.into())]);
            let model = Table::from_iter([("model".to_owned(), kind.into())]);
            return Ok(Self::new(model, what));
        }
        if let Some(preset) = RunPreset::find(what) {
            return Self::text(preset.toml, preset.name);
        }
        if what.ends_with(".toml") || Path::new(what).exists() {
            return Self::file(Path::new(what));
        }
        let presets = RUN_PRESETS.iter().map(|preset| preset.name);
        let names: Vec<&str> = ModelConfig::names().into_iter().chain(presets).collect();
        Err(Failure::value(format!(
            "`{what}` is neither a model, a preset nor a .toml file; the choices are {}",
            names.join(", ")
        )))
    }

    /// A preset, a `.toml` file or a text of TOML of a simulation.
    ///
    /// # Errors
    /// What is none of them.
    pub fn simulation(what: &str) -> Result<Self, Failure> {
        if let Some(preset) = Preset::find(what) {
            let described = Self::text(preset.toml, preset.name)?;
            return Ok(Self {
                preset: described.table.clone(),
                ..described
            });
        }
        // No name of a file has them both.
        if what.contains('=') && what.contains('\n') || what.trim().is_empty() {
            return Self::text(what, "the text");
        }
        if what.ends_with(".toml") || Path::new(what).exists() {
            return Self::file(Path::new(what));
        }
        if what.contains('=') {
            return Self::text(what, "the text");
        }
        let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        Err(Failure::value(format!(
            "`{what}` is neither a preset nor a .toml file; the presets are {}",
            names.join(", ")
        )))
    }
}
