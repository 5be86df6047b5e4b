//! Tables of settings, one over the other.

use std::fmt;
use std::path::PathBuf;

use toml::{Table, Value};

use crate::failure::Usage;

/// Where a setting was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    File(PathBuf),
    Preset(&'static str),
    Flags,
    Set,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Preset(name) => write!(f, "in the preset {name}"),
            Self::Flags => f.write_str("from the flags"),
            Self::Set => f.write_str("in --set"),
        }
    }
}

/// Settings of one origin.
#[derive(Clone, Debug)]
pub struct Layer {
    pub origin: Origin,
    pub table: Table,
    /// Paths that go back to their default.
    pub cleared: Vec<String>,
}

impl Layer {
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            table: Table::new(),
            cleared: Vec::new(),
        }
    }

    /// Sets the value at a dotted path, making the tables on the way.
    pub fn set(&mut self, path: &str, value: impl Into<Value>) -> Result<(), Usage> {
        let mut table = &mut self.table;
        let (parents, key) = path
            .rsplit_once('.')
            .map_or((None, path), |(parents, key)| (Some(parents), key));
        for name in parents.into_iter().flat_map(|parents| parents.split('.')) {
            let entry = table
                .entry(name)
                .or_insert_with(|| Value::Table(Table::new()));
            table = entry.as_table_mut().ok_or_else(|| {
                Usage::new(format!(
                    "`{path}`: `{name}` is a value, not a table ({})",
                    self.origin
                ))
            })?;
        }
        table.insert(key.to_string(), value.into());
        Ok(())
    }

    /// The kind this layer names for a table, as in `optimizer.kind`.
    pub fn kind(&self, table: &str) -> Option<&str> {
        lookup(&self.table, table)?.get("kind")?.as_str()
    }
}

/// Reads one `KEY.PATH=VALUE` into a layer: the value as TOML, a bare word as a string, nothing as
/// "back to the default".
pub fn read_set(layer: &mut Layer, text: &str) -> Result<(), Usage> {
    let form = || {
        Usage::new(format!("`--set {text}` is not of the form KEY.PATH=VALUE"))
            .hint("for example --set optimizer.lr=0.01 or --set model.widths=[256,128]")
    };
    let (path, value) = text.split_once('=').ok_or_else(form)?;
    let (path, value) = (path.trim(), value.trim());
    if path.split('.').any(|key| key.trim().is_empty()) {
        return Err(form());
    }
    if value.is_empty() {
        layer.cleared.push(path.to_string());
        return Ok(());
    }
    let parsed = format!("value = {value}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"));
    match parsed {
        Some(Value::Datetime(_)) | None if value.starts_with(['[', '{', '"', '\'']) => Err(
            Usage::new(format!("the value of `--set {text}` is not valid TOML"))
                .hint("quote it for the shell, as in --set 'model.widths=[256, 128]'"),
        ),
        Some(Value::Datetime(_)) | None => layer.set(path, value),
        Some(parsed) => layer.set(path, parsed),
    }
}

/// Settings that are a choice with values of its own, `{ choice = … }`: another choice replaces the whole.
const CHOICES: [&str; 3] = ["activation", "initialization", "recurrence"];

/// Writes the settings of `upper` over `lower`, table by table.
pub fn merge(lower: &mut Table, upper: &Table) {
    for (key, value) in upper {
        match (lower.get_mut(key), value) {
            (Some(Value::Table(lower)), Value::Table(upper))
                if !CHOICES.contains(&key.as_str()) || lower.keys().eq(upper.keys()) =>
            {
                merge(lower, upper)
            }
            _ => {
                lower.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The value at a dotted path.
pub fn lookup<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let mut keys = path.split('.');
    let first = table.get(keys.next()?)?;
    keys.try_fold(first, |value, key| value.get(key))
}

/// Writes the value at a dotted path whose parents are there.
pub fn put(table: &mut Table, path: &str, value: Value) {
    if let Some((parent, key)) = parent(table, path) {
        parent.insert(key.to_string(), value);
    }
}

/// Takes the value at a dotted path away.
pub fn remove(table: &mut Table, path: &str) {
    if let Some((parent, key)) = parent(table, path) {
        parent.remove(key);
    }
}

/// The table that holds the last key of a dotted path, and that key.
fn parent<'t, 'p>(table: &'t mut Table, path: &'p str) -> Option<(&'t mut Table, &'p str)> {
    let (parents, key) = path
        .rsplit_once('.')
        .map_or((None, path), |(parents, key)| (Some(parents), key));
    let parent = parents
        .into_iter()
        .flat_map(|parents| parents.split('.'))
        .try_fold(table, |table, name| {
            table.get_mut(name).and_then(Value::as_table_mut)
        });
    Some((parent?, key))
}

/// Puts the default back at a dotted path, or removes what has none.
pub fn clear(table: &mut Table, path: &str, defaults: &Table) {
    let Some((parent, key)) = parent(table, path) else {
        return;
    };
    match lookup(defaults, path) {
        Some(value) => parent.insert(key.to_string(), value.clone()),
        None => parent.remove(key),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(texts: &[&str]) -> Layer {
        let mut layer = Layer::new(Origin::Set);
        for text in texts {
            read_set(&mut layer, text).unwrap();
        }
        layer
    }

    #[test]
    fn values_are_toml_and_bare_words_are_strings() {
        let layer = set(&[
            "a.b=1",
            "a.c=1e-3",
            "a.d=true",
            "a.e=[1, 2]",
            "a.f=cifar-10",
            "device=cuda:0",
            "a.g=\"1\"",
            "a.h=2024-01-01",
            "x=a=b",
        ]);
        let get = |path| lookup(&layer.table, path).cloned().unwrap();
        assert_eq!(get("a.b"), Value::Integer(1));
        assert_eq!(get("a.c"), Value::Float(1e-3));
        assert_eq!(get("a.d"), Value::Boolean(true));
        assert_eq!(get("a.e"), Value::Array(vec![1.into(), 2.into()]));
        assert_eq!(get("a.f"), "cifar-10".into());
        assert_eq!(get("device"), "cuda:0".into());
        assert_eq!(get("a.g"), "1".into());
        assert_eq!(get("a.h"), "2024-01-01".into());
        assert_eq!(get("x"), "a=b".into());
    }

    #[test]
    fn what_is_not_a_setting_is_wrong_usage() {
        for text in ["a", "=1", "a..b=1", ".a=1", "a=[1", "a=\"x"] {
            assert!(
                read_set(&mut Layer::new(Origin::Set), text).is_err(),
                "{text}"
            );
        }
        let mut layer = set(&["a=1"]);
        assert!(read_set(&mut layer, "a.b=1").is_err());
    }

    #[test]
    fn upper_settings_win_and_neighbours_stay() {
        let mut lower: Table = "seed = 1\n[train]\nepochs = 1\nbatch_size = 2"
            .parse()
            .unwrap();
        merge(
            &mut lower,
            &set(&["train.epochs=9", "model.kind=mlp"]).table,
        );
        let expected: Table =
            "seed = 1\n[train]\nepochs = 9\nbatch_size = 2\n[model]\nkind = 'mlp'"
                .parse()
                .unwrap();
        assert_eq!(lower, expected);
    }

    #[test]
    fn clearing_takes_the_default_back() {
        let defaults: Table = "[train]\nepochs = 1".parse().unwrap();
        let mut table: Table = "[train]\nepochs = 5\nclip_norm = 1.0".parse().unwrap();
        clear(&mut table, "train.epochs", &defaults);
        clear(&mut table, "train.clip_norm", &defaults);
        clear(&mut table, "train.nothing.here", &defaults);
        assert_eq!(table, defaults);
    }
}
