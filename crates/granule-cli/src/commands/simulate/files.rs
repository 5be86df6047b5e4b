//! The files that a simulation writes.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use granule::data::arrays::{NpzArray, write_npz};
use granule::io::open_regular;
use granule::simulate::{ExperimentConfig, Outcome, Trace};

use super::result::Made;
use crate::failure::Usage;
use crate::plot::{extension, unknown};
use crate::written::OutFile;

/// Where the recorded numbers go.
pub struct Table {
    file: OutFile,
    /// Beside a table, whose rows are instants, the spikes.
    spikes: Option<OutFile>,
}

/// The first line of a table of spikes.
const SPIKES_HEADER: &str = "time (ms),cell,group";

impl Table {
    pub fn new(path: &Path) -> Result<Self, Usage> {
        let spikes = match extension(path).as_str() {
            "npz" => None,
            "csv" => Some(path.with_extension("spikes.csv")),
            _ => return Err(unknown(path, "--out", ".npz or .csv")),
        };
        let file = OutFile::new(path, "--out")?;
        if let Some(spikes) = &spikes
            && !is_free(spikes)
        {
            return Err(Usage::new(format!(
                "--out {}: the spikes go to {}, which is there and no table of spikes",
                path.display(),
                spikes.display()
            ))
            .hint("move it away, or give the result another name"));
        }
        let spikes = spikes.map(|spikes| OutFile::new(&spikes, "--out"));
        Ok(Self {
            file,
            spikes: spikes.transpose()?,
        })
    }

    /// Refuses files that the run is made from.
    pub fn check_unread(&self) -> Result<(), Usage> {
        let mut files = [Some(&self.file), self.spikes.as_ref()]
            .into_iter()
            .flatten();
        files.try_for_each(OutFile::check_unread)
    }

    /// Writes what was recorded and returns the files.
    pub fn write(
        &self,
        outcome: &Outcome,
        config: &ExperimentConfig,
        made: Made<'_>,
    ) -> anyhow::Result<Vec<PathBuf>> {
        let mut written = vec![self.file.path().to_path_buf()];
        let Some(spikes) = &self.spikes else {
            self.file.write(|file| npz(file, outcome, config, made))?;
            return Ok(written);
        };
        self.file.write(|file| csv(file, outcome))?;
        if !outcome.spikes.is_empty() {
            spikes.write(|file| spikes_csv(file, outcome))?;
            written.push(spikes.path().to_path_buf());
        } else if is_spikes(spikes.path()) {
            // Those of an earlier run would seem to be of this one.
            fs::remove_file(spikes.path())
                .with_context(|| format!("cannot remove {}", spikes.path().display()))?;
        }
        Ok(written)
    }
}

/// Whether a file that the user did not name may be replaced: one that is not there, or the spikes of an earlier run.
fn is_free(path: &Path) -> bool {
    match begins_as_spikes(path) {
        Ok(own) => own,
        Err(error) => error.kind() == io::ErrorKind::NotFound && !path.is_symlink(),
    }
}

/// Whether there is a table of spikes.
fn is_spikes(path: &Path) -> bool {
    begins_as_spikes(path).unwrap_or(false)
}

/// Whether a file begins as a table of spikes; what is no file, such as a pipe, is not waited for.
fn begins_as_spikes(path: &Path) -> io::Result<bool> {
    let mut first = [0; SPIKES_HEADER.len()];
    let (mut file, _) = open_regular(path)?;
    match file.read_exact(&mut first) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| first == *SPIKES_HEADER.as_bytes()),
    }
}

/// `time`, every variable as `[time, cells]`, the stimulus likewise, the spikes as two lists, times and their cells, the names
/// of the sites of a cell, one a line, and what the run is made again from: version, seed, configuration and precision.
fn npz(
    file: &mut File,
    outcome: &Outcome,
    config: &ExperimentConfig,
    made: Made<'_>,
) -> io::Result<()> {
    let mut file = BufWriter::new(file);
    let samples = outcome.times.len();
    let mut arrays = vec![NpzArray::new("time", vec![samples], &outcome.times)];
    for trace in &outcome.traces {
        let shape = vec![samples, trace.width];
        arrays.push(NpzArray::new(&trace.name, shape, &trace.values));
    }
    for trace in &outcome.stimulus {
        let name = format!("stimulus.{}", trace.name);
        let shape = vec![samples, trace.width];
        arrays.push(NpzArray::new(&name, shape, &trace.values));
    }
    if !outcome.spikes.is_empty() {
        let all = outcome.spikes_in_order();
        let times: Vec<f64> = all.iter().map(|(time, _)| *time).collect();
        let cells: Vec<f64> = all.iter().map(|(_, cell)| *cell as f64).collect();
        arrays.push(NpzArray::new("spike_times", vec![all.len()], times));
        arrays.push(NpzArray::new("spike_cells", vec![all.len()], cells));
    }
    if let Some(trace) = outcome
        .last
        .first()
        .filter(|trace| !trace.labels.is_empty())
    {
        arrays.push(NpzArray::text("sites", trace.labels.join("\n")));
    }
    arrays.extend([
        NpzArray::text("granule_version", env!("CARGO_PKG_VERSION")),
        NpzArray::text("seed", config.seed.to_string()),
        NpzArray::text("config", serde_json::to_string(config)?),
        NpzArray::text("precision", made.precision),
    ]);
    if !made.learnt_without_setting.is_empty() {
        let learnt = made.learnt_without_setting.join("\n");
        arrays.push(NpzArray::text("learnt_without_setting", learnt));
    }
    write_npz(&mut file, &arrays)?;
    file.flush()
}

/// A header, then a row for each spike: when, the cell in the order of all cells, and what the cells are called, or the site.
fn spikes_csv(file: &mut File, outcome: &Outcome) -> io::Result<()> {
    let mut file = BufWriter::new(file);
    writeln!(file, "{SPIKES_HEADER}")?;
    let sites = outcome.last.first().map_or(&[][..], |trace| &trace.labels);
    for (time, cell) in outcome.spikes_in_order() {
        let group = outcome
            .groups
            .iter()
            .find(|group| group.cells.contains(&cell));
        let name = group.map_or("", |group| group.name.as_str());
        let name = sites.get(cell).map_or(name, String::as_str);
        writeln!(file, "{time},{cell},{name}")?;
    }
    file.flush()
}

/// A header with units, then a row for each sample.
fn csv(file: &mut File, outcome: &Outcome) -> io::Result<()> {
    let mut file = BufWriter::new(file);
    let traces: Vec<&Trace> = outcome.traces.iter().chain(&outcome.stimulus).collect();
    let mut header = vec!["time (ms)".to_string()];
    for trace in &traces {
        for column in 0..trace.width {
            let index = match trace.width {
                _ if column < trace.labels.len() => format!("[{}]", trace.labels[column]),
                1 => String::new(),
                _ => format!("[{column}]"),
            };
            header.push(match trace.unit.as_str() {
                "1" => format!("{}{index}", trace.name),
                unit => format!("{}{index} ({unit})", trace.name),
            });
        }
    }
    writeln!(file, "{}", header.join(","))?;
    for (row, time) in outcome.times.iter().enumerate() {
        write!(file, "{time}")?;
        for trace in &traces {
            for value in trace
                .values
                .iter()
                .skip(row * trace.width)
                .take(trace.width)
            {
                write!(file, ",{value}")?;
            }
        }
        writeln!(file)?;
    }
    file.flush()
}
