//! Projections whose connections are edges of a SONATA file: `sonata = { edges = "edges.h5", types = "edge_types.csv" }` stands for a list
//! with its weights and delays.

use std::path::Path;

use granule::data::sonata::{EdgeRequest, read_edges};
use granule::dynamics::circuit::SonataConfig;
use granule::io::budget;
use granule::io::path::expand;
use granule::io::words::counted;
use toml::{Table, Value};

use super::{Inlined, Unreadable};
use crate::config::layers::Layer;
use crate::failure::unreadable;

const KEY: &str = "sonata";

/// Takes relative paths in the circuit of a layer for those from its folder.
pub(super) fn from_folder(layer: &mut Layer, folder: &Path) {
    for (_, projection) in projections(&mut layer.table) {
        let Some(own) = projection.get_mut(KEY).and_then(Value::as_table_mut) else {
            continue;
        };
        for key in ["edges", "types"] {
            if let Some(Value::String(path)) = own.get_mut(key)
                && !path.trim().is_empty()
            {
                *path = folder
                    .join(expand(Path::new(path)))
                    .to_string_lossy()
                    .into_owned();
            }
        }
    }
}

/// Puts the edges in the place of every `sonata` of the circuit's projections, once all layers are together.
///
/// # Errors
/// What cannot be read, by the setting.
pub fn inline(merged: &mut Table) -> anyhow::Result<Vec<Inlined>> {
    let mut files = Vec::new();
    for (name, projection) in projections(merged) {
        // What has another form is told with all others.
        let Some(Ok(own)) = projection.get(KEY).cloned().map(Value::try_into) else {
            continue;
        };
        let place = format!("circuit.projection.{name}");
        let read = read(&place, projection, &own);
        files.extend(read.map_err(|Unreadable { text, damaged }| unreadable(text, damaged))?);
    }
    Ok(files)
}

/// The projections of a circuit, by number, or by what `--set` calls them.
fn projections(table: &mut Table) -> Vec<(String, &mut Table)> {
    let circuit = table.get_mut("circuit");
    let all: Vec<(String, &mut Value)> =
        match circuit.and_then(|circuit| circuit.get_mut("projection")) {
            Some(Value::Array(list)) => {
                let numbered = list.iter_mut().enumerate();
                numbered
                    .map(|(index, own)| (index.to_string(), own))
                    .collect()
            }
            Some(Value::Table(table)) => table
                .iter_mut()
                .map(|(name, own)| (name.clone(), own))
                .collect(),
            _ => Vec::new(),
        };
    let tables = all.into_iter();
    tables
        .filter_map(|(name, own)| Some((name, own.as_table_mut()?)))
        .collect()
}

fn read(
    place: &str,
    projection: &mut Table,
    own: &SonataConfig,
) -> Result<Vec<Inlined>, Unreadable> {
    let failed = |reason: String, damaged| Unreadable {
        text: format!("`{place}.{KEY}`: {reason}"),
        damaged,
    };
    if projection.contains_key("rule") {
        let reason =
            "the projection has a rule as well; the edges of a file are connections without one";
        return Err(failed(reason.into(), false));
    }
    for (name, path) in [("edges", Some(&own.edges)), ("types", own.types.as_ref())] {
        if path.is_some_and(|path| path.as_os_str().is_empty()) {
            return Err(failed(
                format!("its `{name}` is empty; give the name of a file"),
                false,
            ));
        }
    }
    let (edges, types) = (&own.edges, own.types.as_deref());
    let request = EdgeRequest {
        edges,
        types,
        population: own.population.as_deref(),
        sources: own.sources,
        targets: own.targets,
    };
    let read =
        read_edges(&request).map_err(|error| failed(error.to_string(), error.is_of_file()))?;
    let count = read.pre.len();
    // As values of the configuration, and as what is made of them.
    budget::ask_for::<[Value; 8]>(edges.display(), count)
        .map_err(|error| failed(error.to_string(), true))?;
    let list = |values: Vec<f64>| Value::Array(values.into_iter().map(Value::Float).collect());
    let rule = Table::from_iter([
        ("kind".to_owned(), "list".into()),
        ("pre".to_owned(), list(read.pre)),
        ("post".to_owned(), list(read.post)),
    ]);
    projection.remove(KEY);
    let mut keys = vec!["rule"];
    projection.insert("rule".into(), rule.into());
    // What the projection says itself counts.
    for (key, values) in [("weight", read.weights), ("delay", read.delays)] {
        if let Some(values) = values
            && !projection.contains_key(key)
        {
            projection.insert(key.into(), list(values));
            keys.push(key);
        }
    }
    let found = format!("{}, of {}", edges.display(), counted(count, "edge"));
    let inlined = |key| Inlined {
        path: format!("{place}.{key}"),
        found: found.clone(),
    };
    Ok(keys.into_iter().map(inlined).collect())
}
