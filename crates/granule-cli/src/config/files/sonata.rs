//! Projections whose connections are edges of a SONATA file: `sonata = { edges = "edges.h5", types = "edge_types.csv" }` stands for a list
//! with its weights and delays.

use std::path::Path;

use granule::data::sonata::{EdgeRequest, read_edges};
use granule::dynamics::circuit::SonataConfig;
use granule::io::budget;
use granule::io::path::expand;
use granule::io::words::counted;
use toml::{Table, Value};

use super::{Inlined, Unread, Unreadable};
use crate::config::layers::Layer;

const KEY: &str = "sonata";

/// Puts the edges in the place of every `sonata` of the circuit's projections. Those that cannot be read stay.
pub(super) fn inline(layer: &mut Layer, folder: &Path) {
    let circuit = layer.table.get_mut("circuit");
    let projections = circuit.and_then(|circuit| circuit.get_mut("projection"));
    let all: Vec<(String, &mut Value)> = match projections {
        Some(Value::Array(list)) => list
            .iter_mut()
            .enumerate()
            .map(|(index, own)| (index.to_string(), own))
            .collect(),
        // As `--set circuit.projection.0.sonata.edges=…` has it.
        Some(Value::Table(table)) => table
            .iter_mut()
            .map(|(name, own)| (name.clone(), own))
            .collect(),
        _ => return,
    };
    for (name, projection) in all {
        let Some(table) = projection
            .as_table_mut()
            .filter(|own| own.contains_key(KEY))
        else {
            continue;
        };
        let place = format!("circuit.projection.{name}");
        match read(&place, table, folder) {
            Ok(files) => layer.files.extend(files),
            Err(reason) => layer.unread.push(Unread {
                path: format!("{place}.{KEY}"),
                named: table[KEY].clone(),
                reason,
            }),
        }
    }
}

fn read(place: &str, projection: &mut Table, folder: &Path) -> Result<Vec<Inlined>, Unreadable> {
    let failed = |reason: String, damaged| Unreadable {
        text: format!("`{place}.{KEY}`: {reason}"),
        damaged,
    };
    if projection.contains_key("rule") {
        let reason =
            "the projection has a rule as well; the edges of a file are connections without one";
        return Err(failed(reason.into(), false));
    }
    let own: SonataConfig = projection[KEY]
        .clone()
        .try_into()
        .map_err(|error: toml::de::Error| failed(error.message().to_owned(), false))?;
    for (name, path) in [("edges", Some(&own.edges)), ("types", own.types.as_ref())] {
        if path.is_some_and(|path| path.as_os_str().is_empty()) {
            return Err(failed(
                format!("its `{name}` is empty; give the name of a file"),
                false,
            ));
        }
    }
    let whole = |path: &Path| folder.join(expand(path));
    let (edges, types) = (whole(&own.edges), own.types.as_deref().map(whole));
    let request = EdgeRequest {
        edges: &edges,
        types: types.as_deref(),
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
