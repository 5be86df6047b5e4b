//! Numbers of a configuration that are in files: `current = { file = "currents.npy" }` and the like stand for what is in the
//! file.

pub mod sonata;

use std::path::{Path, PathBuf};

use granule::data::numbers::{Numbers, read_numbers};
use granule::dynamics::DynamicsError;
use granule::dynamics::unit::Morphology;
use granule::io::budget;
use granule::io::path::expand;
use granule::io::words::counted;
use toml::{Table, Value};

use super::layers::{Layer, Origin, lookup};
use crate::failure::unreadable;

/// Settings of which a row in a file stays a row.
const MATRICES: [&str; 6] = ["weights", "matrix", "lengths", "a", "b", "c"];

/// A file whose numbers stand in a layer.
#[derive(Clone, Debug)]
pub struct Inlined {
    /// The setting.
    pub path: String,
    /// The file and the shape of what is in it.
    pub found: String,
}

/// A file that could not be read. That matters only where a file may stand, which shows once all layers are together.
#[derive(Clone, Debug)]
pub struct Unread {
    /// The setting.
    path: String,
    /// What names the file, as it stands in the layer.
    named: Value,
    reason: Unreadable,
}

/// Why a file cannot be read.
#[derive(Clone, Debug)]
struct Unreadable {
    text: String,
    /// Whether it is there, and damaged, refused by the system or too large.
    damaged: bool,
}

impl Unread {
    /// The error, where this is still what all layers together have: wrong usage where there is no such file.
    pub fn error(&self, merged: &Table) -> Option<anyhow::Error> {
        let Unreadable { text, damaged } = &self.reason;
        let stands = lookup(merged, &self.path) == Some(&self.named);
        stands.then(|| unreadable(text, *damaged))
    }
}

/// The folder from which a layer names files: that of the TOML file, or the current one.
pub fn folder(origin: &Origin) -> PathBuf {
    let parent = match origin {
        Origin::File(path) => path.parent(),
        _ => None,
    };
    parent.unwrap_or(Path::new("")).to_path_buf()
}

/// Takes relative paths in a file for those from its folder.
pub fn from_folder(layer: &mut Layer) {
    let folder = folder(&layer.origin);
    granule::train::config::from_folder(&mut layer.table, &folder);
}

/// Puts the numbers of files in the place of the tables that name them, `{ file = …, array = … }`, in the tables of `roots`.
/// The tables of files that cannot be read stay.
pub fn inline(layer: &mut Layer, roots: &[&str]) {
    let folder = folder(&layer.origin);
    sonata::from_folder(layer, &folder);
    let tables = layer.table.iter_mut();
    let tables = tables.filter(|(key, _)| roots.contains(&key.as_str()));
    let mut take = |path: &str, value: &mut Value| match read(path, value, &folder) {
        Ok(None) => false,
        Ok(Some((numbers, found))) => {
            let path = path.to_owned();
            layer.files.push(Inlined { path, found });
            *value = numbers;
            true
        }
        Err(reason) => {
            layer.unread.push(Unread {
                path: path.to_owned(),
                named: value.clone(),
                reason,
            });
            true
        }
    };
    // A whole table is never in a file; `stimulus` has a `file` of its own.
    for (root, table) in tables.filter_map(|(key, value)| Some((key, value.as_table_mut()?))) {
        for (key, value) in table {
            inside(&format!("{root}.{key}"), value, &mut take);
        }
    }
}

/// Goes through all values; `take` says whether it took one.
fn inside(path: &str, value: &mut Value, take: &mut impl FnMut(&str, &mut Value) -> bool) {
    if take(path, value) {
        return;
    }
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                inside(&format!("{path}.{key}"), value, take);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter_mut().enumerate() {
                inside(&format!("{path}.{index}"), value, take);
            }
        }
        _ => {}
    }
}

/// What is in the file that a value names, if it names one, and what that is in words.
fn read(path: &str, value: &Value, folder: &Path) -> Result<Option<(Value, String)>, Unreadable> {
    let failed = |reason: String, damaged| Unreadable {
        text: format!("`{path}`: {reason}"),
        damaged,
    };
    match value {
        Value::Table(table) => {
            let Some((file, array)) = source(table) else {
                return Ok(None);
            };
            if file.trim().is_empty() {
                return Err(failed(
                    "its `file` is empty; give the name of one".into(),
                    false,
                ));
            }
            let file = folder.join(expand(Path::new(file)));
            let numbers = read_numbers(&file, array)
                .map_err(|error| failed(error.to_string(), error.is_of_file()))?;
            // As a value of the configuration, and as what is made of that.
            budget::ask_for::<[Value; 2]>(file.display(), numbers.values.len())
                .map_err(|error| failed(error.to_string(), true))?;
            let key = path.rsplit('.').next().unwrap_or_default();
            let found = format!("{}, of the shape {:?}", file.display(), numbers.shape);
            Ok(Some((written(&numbers, MATRICES.contains(&key)), found)))
        }
        Value::String(file) if is_morphology(path) && file.trim().is_empty() => Err(failed(
            "is empty; give the name of an SWC file".into(),
            false,
        )),
        Value::String(file) if is_morphology(path) => {
            let file = folder.join(expand(Path::new(file)));
            let read = Morphology::read(&file).map_err(|error| match error {
                // The setting by its place in this file.
                DynamicsError::Config(error) => Unreadable {
                    text: error.named(path).to_string(),
                    damaged: true,
                },
                DynamicsError::File { source, .. } => {
                    failed(source.to_string(), !source.is_absent())
                }
                error => failed(error.to_string(), matches!(error, DynamicsError::Memory(_))),
            })?;
            let points = match &read {
                Morphology::Read(read) => read.points.len(),
                Morphology::File(_) => 0,
            };
            let value = Value::try_from(read).map_err(|error| failed(error.to_string(), false))?;
            let found = format!("{}, of {}", file.display(), counted(points, "point"));
            Ok(Some((value, found)))
        }
        _ => Ok(None),
    }
}

/// Whether a key is the morphology of a cell, wherever the cell is.
fn is_morphology(path: &str) -> bool {
    let before = path.strip_suffix("unit.morphology");
    before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// The file and the array in it that a table stands for, where it has nothing else.
pub fn source(table: &Table) -> Option<(&str, Option<&str>)> {
    let file = table.get("file")?.as_str()?;
    let array = match table.get("array") {
        None => None,
        Some(name) => Some(name.as_str()?),
    };
    (table.len() == 1 + usize::from(array.is_some())).then_some((file, array))
}

/// A number, a list, or a list of lists; a matrix of one row or column is a list unless it is to be a matrix.
fn written(numbers: &Numbers, matrix: bool) -> Value {
    fn nested(shape: &[usize], values: &[f64]) -> Value {
        match (shape, values) {
            ([], [value, ..]) => Value::Float(*value),
            ([], []) => Value::Array(Vec::new()),
            ([_, rest @ ..], values) => {
                let size = rest.iter().product::<usize>().max(1);
                let parts = values.chunks(size).map(|part| nested(rest, part));
                Value::Array(parts.collect())
            }
        }
    }
    let shape: Vec<usize> = match numbers.shape.as_slice() {
        [1, count] | [count, 1] if !matrix => vec![*count],
        shape => shape.to_vec(),
    };
    nested(&shape, &numbers.values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_a_file_are_those_from_its_folder() {
        let mut layer = Layer::new(Origin::File("sub/my.toml".into()));
        let text = "[data]\ndataset = 'arrays:x.npy,/y.npy'\ndata_dir = '/d'\n[data.recording]\nfile = 'r.npz'\n\
                    [start]\nweights = '../m.granule'\n";
        layer.table = text.parse().unwrap();
        from_folder(&mut layer);
        let expected = "[data]\ndataset = 'arrays:sub/x.npy,/y.npy'\ndata_dir = '/d'\n\
                        [data.recording]\nfile = 'sub/r.npz'\n[start]\nweights = 'sub/../m.granule'\n";
        assert_eq!(layer.table, expected.parse::<Table>().unwrap());
        for origin in [Origin::File("my.toml".into()), Origin::Flags, Origin::Set] {
            let mut layer = Layer::new(origin);
            layer.table = text.parse().unwrap();
            from_folder(&mut layer);
            assert_eq!(layer.table, text.parse::<Table>().unwrap());
        }
    }

    #[test]
    fn files_stand_for_their_numbers() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("v.csv"), "1\n2\n").unwrap();
        std::fs::write(dir.path().join("w.csv"), "a,b\n1,2\n3,4\n").unwrap();
        let text = "[unit]\ncurrent = { file = 'v.csv' }\n[unit.parameters]\ng = { file = 'w.csv', array = 'b' }\n\
                    [connectivity]\nweights = { file = 'w.csv' }\nlist = [{ lengths = { file = 'v.csv' } }]\n\
                    [stimulus]\nkind = 'file'\nfile = 'v.csv'\n[other]\nx = { file = 'v.csv' }\n";
        let mut layer = Layer::new(Origin::File(dir.path().join("a.toml")));
        layer.table = text.parse().unwrap();
        inline(&mut layer, &["unit", "connectivity", "stimulus"]);
        let expected = "[unit]\ncurrent = [1.0, 2.0]\n[unit.parameters]\ng = [2.0, 4.0]\n\
                    [connectivity]\nweights = [[1.0, 2.0], [3.0, 4.0]]\nlist = [{ lengths = [[1.0], [2.0]] }]\n\
                    [stimulus]\nkind = 'file'\nfile = 'v.csv'\n[other]\nx = { file = 'v.csv' }\n";
        assert_eq!(layer.table, expected.parse::<Table>().unwrap());
        assert_eq!(layer.files.len(), 4);
        assert!(layer.files.iter().any(|file| file.path == "unit.current"
            && file.found.ends_with("v.csv, of the shape [2, 1]")));
        std::fs::write(dir.path().join("c.swc"), "1 1 0 0 0 5 -1\n").unwrap();
        layer.files.clear();
        layer.table = "[unit]\nmorphology = 'c.swc'\n[stimulus]\nmorphology = 'c.swc'\n\
                       [composite]\nlevel = [{ unit = { morphology = 'c.swc' }, morphology = 'c.swc' }]"
            .parse()
            .unwrap();
        inline(&mut layer, &["unit", "stimulus", "composite"]);
        let found: Vec<&str> = layer.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.contains(&"unit.morphology"));
        assert!(found.contains(&"composite.level.0.unit.morphology"));
        assert!(layer.files[0].found.ends_with("c.swc, of 1 point"));
        assert_eq!(
            layer.table["stimulus"]["morphology"].as_str(),
            Some("c.swc")
        );
        layer.table = "[unit]\ncurrent = { file = 'x.npy' }".parse().unwrap();
        inline(&mut layer, &["unit"]);
        let error = |merged: &Table| layer.unread[0].error(merged);
        assert!(error(&Table::new()).is_none());
        let error = error(&layer.table).unwrap().to_string();
        assert!(
            error.contains("`unit.current`") && error.contains("x.npy"),
            "{error}"
        );
    }
}
