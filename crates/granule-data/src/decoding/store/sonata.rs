//! Edges of circuits in SONATA files (Dai et al. 2020): `edges/POPULATION` in HDF5, with `source_node_id`, `target_node_id`,
//! `edge_type_id` and groups of attributes, and a table of edge types, whose columns are separated by spaces.

use std::collections::HashMap;
use std::path::Path;

use granule_io::budget;
use granule_io::words::counted;

use super::hdf5::Hdf5;
use crate::{DataError, reading};

/// Bytes of a table of edge types at most: its cells are texts, which take some fifty times as much.
const MOST_TYPES: u64 = 1 << 22;
/// Nodes are numbered below this: doubles have every whole number up to it.
const MOST_NODES: f64 = 9_007_199_254_740_992.0;

/// Which edges are read.
#[derive(Clone, Copy, Debug)]
pub struct EdgeRequest<'a> {
    /// The HDF5 file.
    pub edges: &'a Path,
    /// The table of edge types, for what the edges themselves do not say.
    pub types: Option<&'a Path>,
    /// The population of edges; none where the file has one.
    pub population: Option<&'a str>,
    /// Edges from the nodes from the first of these on and before the second, which are counted from the first; all by default.
    pub sources: Option<[u64; 2]>,
    /// The same of the nodes that edges lead to.
    pub targets: Option<[u64; 2]>,
}

/// Edges with what they carry, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edges {
    /// Where each begins.
    pub pre: Vec<f64>,
    /// Where each ends.
    pub post: Vec<f64>,
    /// `syn_weight`, times `nsyns` where there is one; none where neither edges nor their types have it.
    pub weights: Option<Vec<f64>>,
    /// `delay`, ms.
    pub delays: Option<Vec<f64>>,
}

/// Reads the edges of a SONATA file.
///
/// # Errors
/// A [`DataError`] that names the file and the data set, the column or the edge at fault.
pub fn read_edges(request: &EdgeRequest<'_>) -> Result<Edges, DataError> {
    for (name, range) in [("sources", request.sources), ("targets", request.targets)] {
        if let Some([first, end]) = range.filter(|[first, end]| first >= end) {
            let reason =
                format!("{name} = [{first}, {end}]: the first node, and the one after the last");
            return Err(DataError::asked(request.edges, reason));
        }
    }
    let hdf5 = Hdf5::open(request.edges)?;
    let population = population(&hdf5, request.population)?;
    let column = |name: &str| -> Result<Vec<f64>, DataError> {
        let path = format!("edges/{population}/{name}");
        if !hdf5.has(&path) {
            let reason = format!("a population of edges has a data set {name}");
            return Err(DataError::format(&hdf5.place(&path), reason));
        }
        let values = of_one_dimension(&hdf5, &path)?;
        let whole = |x: &f64| (0.0..MOST_NODES).contains(x) && x.fract() == 0.0;
        match values.iter().position(|x| !whole(x)) {
            None => Ok(values),
            Some(at) => {
                let reason = format!(
                    "edge {at} has {}, which is no whole number from 0 on",
                    values[at]
                );
                Err(DataError::format(&hdf5.place(&path), reason))
            }
        }
    };
    let of_all = |name: &str, values: Vec<f64>, count: usize| {
        if values.len() == count {
            return Ok(values);
        }
        let reason = format!(
            "it has {}, source_node_id {count}",
            counted(values.len(), "value")
        );
        let place = hdf5.place(&format!("edges/{population}/{name}"));
        Err(DataError::format(&place, reason))
    };
    let source = column("source_node_id")?;
    let count = source.len();
    let target = of_all("target_node_id", column("target_node_id")?, count)?;
    let optional = |name: &str| -> Result<Option<Vec<f64>>, DataError> {
        if hdf5.has(&format!("edges/{population}/{name}")) {
            of_all(name, column(name)?, count).map(Some)
        } else {
            Ok(None)
        }
    };
    let types = match request.types {
        None => None,
        Some(path) => {
            let ids = of_all("edge_type_id", column("edge_type_id")?, count)?;
            Some((Types::read(path)?, ids))
        }
    };
    let carried = Carried {
        hdf5: &hdf5,
        population: &population,
        groups: optional("edge_group_id")?,
        places: optional("edge_group_index")?,
        types,
    };
    let kept = |ids: &[f64], range: Option<[u64; 2]>, at: usize| {
        range.is_none_or(|[first, end]| (first as f64..end as f64).contains(&ids[at]))
    };
    let is_kept =
        |at: &usize| kept(&source, request.sources, *at) && kept(&target, request.targets, *at);
    let chosen = budget::collect((0..count).filter(is_kept), count, "the edges")?;
    let of_chosen = |values: &[f64], range: Option<[u64; 2]>| {
        let first = range.map_or(0.0, |[first, _]| first as f64);
        let own = chosen.iter().map(|at| values[*at] - first);
        budget::collect(own, chosen.len(), "the edges")
    };
    let mut weights = carried.values("syn_weight", &chosen)?;
    if let (Some(weights), Some(several)) = (&mut weights, carried.values("nsyns", &chosen)?) {
        if let Some(n) = several.iter().find(|n| n.fract() != 0.0 || **n < 1.0) {
            let reason =
                format!("an edge of {population} has nsyns = {n}, which is no number of synapses");
            return Err(DataError::format(request.edges, reason));
        }
        weights.iter_mut().zip(several).for_each(|(w, n)| *w *= n);
    }
    Ok(Edges {
        pre: of_chosen(&source, request.sources)?,
        post: of_chosen(&target, request.targets)?,
        weights,
        delays: carried.values("delay", &chosen)?,
    })
}

/// The numbers of a data set that is a list.
fn of_one_dimension(hdf5: &Hdf5<'_>, path: &str) -> Result<Vec<f64>, DataError> {
    let shape = hdf5.shape(&hdf5.dataset(path)?)?;
    if shape.len() == 1 {
        return hdf5.doubles(path);
    }
    let reason = format!("it has the shape {shape:?}, and a value for each edge is a list");
    Err(DataError::format(&hdf5.place(path), reason))
}

/// The population that is asked for, or the only one.
fn population(hdf5: &Hdf5<'_>, asked: Option<&str>) -> Result<String, DataError> {
    let groups = hdf5.groups.iter();
    let mut all = groups.filter_map(|group| {
        let name = group.strip_prefix("edges/")?.strip_suffix('/')?;
        (!name.is_empty() && !name.contains('/')).then_some(name)
    });
    let known: Vec<&str> = all.by_ref().collect();
    match (asked, known.as_slice()) {
        (Some(asked), known) if known.contains(&asked) => Ok(asked.to_owned()),
        (None, [one]) => Ok((*one).to_owned()),
        (_, []) => {
            let reason = "it has no group edges/POPULATION, as SONATA files of edges have";
            Err(DataError::asked(hdf5.path, reason))
        }
        (Some(asked), known) => {
            let reason = format!(
                "it has no population of edges {asked:?}; there are {}",
                known.join(", ")
            );
            Err(DataError::asked(hdf5.path, reason))
        }
        (None, known) => {
            let reason = format!(
                "`population` says which edges are meant: {}",
                known.join(", ")
            );
            Err(DataError::asked(hdf5.path, reason))
        }
    }
}

/// Where attributes of edges are.
struct Carried<'a> {
    hdf5: &'a Hdf5<'a>,
    population: &'a str,
    /// The group of each edge, and its place in it; of one group, 0, by default in the order of the edges.
    groups: Option<Vec<f64>>,
    places: Option<Vec<f64>>,
    /// The types, and that of each edge.
    types: Option<(Types, Vec<f64>)>,
}

impl Carried<'_> {
    /// An attribute of the edges `chosen`; none where no edge has it.
    fn values(&self, name: &str, chosen: &[usize]) -> Result<Option<Vec<f64>>, DataError> {
        let mut groups: HashMap<u64, Option<Vec<f64>>> = HashMap::new();
        let types = self.types.as_ref();
        let column = types.and_then(|(types, _)| types.names.iter().position(|own| own == name));
        let mut found = budget::with_capacity(chosen.len(), name)?;
        let mut lacking = None;
        for at in chosen {
            let group = self.groups.as_ref().map_or(0, |groups| groups[*at] as u64);
            let own = match groups.get(&group) {
                Some(own) => own,
                None => {
                    let path = format!("edges/{}/{group}/{name}", self.population);
                    let there = self.hdf5.has(&path);
                    let there = there.then(|| of_one_dimension(self.hdf5, &path));
                    groups.entry(group).or_insert(there.transpose()?)
                }
            };
            let value = match (own, types.zip(column)) {
                (Some(own), _) => {
                    let place = self
                        .places
                        .as_ref()
                        .map_or(*at, |places| places[*at] as usize);
                    let Some(value) = own.get(place) else {
                        let reason = format!(
                            "edge {at} is at {place}, and it has {}",
                            counted(own.len(), "value")
                        );
                        let path = format!("edges/{}/{group}/{name}", self.population);
                        return Err(DataError::format(&self.hdf5.place(&path), reason));
                    };
                    Some(*value)
                }
                (None, Some(((types, ids), column))) => types.of(ids[*at] as u64, column)?,
                (None, None) => None,
            };
            match value {
                Some(value) if value.is_finite() => found.push(value),
                Some(value) => {
                    let reason = format!("the {name} of edge {at} is {value}");
                    return Err(DataError::format(self.hdf5.path, reason));
                }
                None => lacking = lacking.or(Some(*at)),
            }
        }
        match lacking {
            Some(_) if found.is_empty() => Ok(None),
            Some(at) => {
                let reason = format!(
                    "edge {at} of {} has no {name}, and others have",
                    self.population
                );
                Err(DataError::format(self.hdf5.path, reason))
            }
            None => Ok((!chosen.is_empty()).then_some(found)),
        }
    }
}

/// A table of edge types.
struct Types {
    path: std::path::PathBuf,
    names: Vec<String>,
    rows: HashMap<u64, Vec<String>>,
}

impl Types {
    fn read(path: &Path) -> Result<Self, DataError> {
        let (file, len) = reading::open(path)?;
        if len > MOST_TYPES {
            let reason = format!("a table of edge types has {MOST_TYPES} bytes at most");
            return Err(DataError::format(path, reason));
        }
        let bad = |reason: String| DataError::format(path, reason);
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(b' ')
            .trim(csv::Trim::All)
            .from_reader(file);
        let unread = |error: csv::Error| {
            bad(format!(
                "it is no table with columns between spaces: {error}"
            ))
        };
        let names: Vec<String> = reader
            .headers()
            .map_err(unread)?
            .iter()
            .map(str::to_owned)
            .collect();
        let Some(id) = names.iter().position(|name| name == "edge_type_id") else {
            return Err(bad(
                "it has no column edge_type_id; the columns are separated by one space".into(),
            ));
        };
        let mut rows = HashMap::new();
        for (row, record) in reader.records().enumerate() {
            let record = record.map_err(unread)?;
            let own = record.get(id).and_then(|own| own.parse::<u64>().ok());
            let Some(own) = own else {
                return Err(bad(format!(
                    "row {row} has no edge_type_id that is a whole number"
                )));
            };
            if rows
                .insert(own, record.iter().map(str::to_owned).collect())
                .is_some()
            {
                return Err(bad(format!("the edge type {own} is there twice")));
            }
        }
        Ok(Self {
            path: path.to_path_buf(),
            names,
            rows,
        })
    }

    /// What a type has in a column; none for NULL.
    fn of(&self, id: u64, column: usize) -> Result<Option<f64>, DataError> {
        let bad = |reason: String| DataError::format(&self.path, reason);
        let Some(row) = self.rows.get(&id) else {
            return Err(bad(format!(
                "it has no edge type {id}, of which there are edges"
            )));
        };
        let text = row.get(column).map_or("", String::as_str);
        if text.is_empty() || text == "NULL" {
            return Ok(None);
        }
        let name = &self.names[column];
        text.parse().map(Some).map_err(|_| {
            bad(format!(
                "the {name} of edge type {id} is {text:?}, which is no number"
            ))
        })
    }
}
