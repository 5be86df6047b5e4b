//! The files that a simulation writes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use granule::data::arrays::{NpzArray, write_npz};
use granule::dynamics::experiment::{Outcome, Trace};
use granule::dynamics::plot::Figure;
use granule::io::{write_atomic, write_atomic_with};

use crate::failure::Usage;

/// Size of a figure in pixels.
const WIDTH: u32 = 960;
const HEIGHT: u32 = 640;

fn extension(path: &Path) -> String {
    let extension = path.extension().unwrap_or_default();
    extension.to_string_lossy().to_lowercase()
}

/// The name of a file in whose folder one can write.
///
/// # Errors
/// [`Usage`] for a folder in its place, or a folder that is a file or cannot be made.
fn writable(path: &Path, flag: &str) -> Result<(), Usage> {
    if path.is_dir() {
        return Err(Usage::new(format!(
            "{flag} {}: this is a folder",
            path.display()
        )));
    }
    match path.parent() {
        Some(parent) if parent.is_file() => Err(Usage::new(format!(
            "{flag} {}: {} is a file, not a folder",
            path.display(),
            parent.display()
        ))),
        Some(parent) if !parent.as_os_str().is_empty() => {
            std::fs::create_dir_all(parent).map_err(|error| {
                Usage::new(format!(
                    "{flag} {}: cannot create {}: {error}",
                    path.display(),
                    parent.display()
                ))
            })
        }
        _ => Ok(()),
    }
}

fn unknown(path: &Path, flag: &str, known: &str) -> Usage {
    Usage::new(format!(
        "{flag} {}: the name does not end in {known}",
        path.display()
    ))
}

/// Where the recorded numbers go.
pub struct Table<'a> {
    path: &'a Path,
    npz: bool,
}

impl<'a> Table<'a> {
    pub fn new(path: &'a Path) -> Result<Self, Usage> {
        let npz = match extension(path).as_str() {
            "npz" => true,
            "csv" => false,
            _ => return Err(unknown(path, "--out", ".npz or .csv")),
        };
        writable(path, "--out")?;
        Ok(Self { path, npz })
    }

    pub fn write(&self, outcome: &Outcome) -> anyhow::Result<()> {
        write_atomic_with(self.path, |file| match self.npz {
            true => npz(file, outcome),
            false => csv(file, outcome),
        })?;
        Ok(())
    }
}

/// `time`, every variable as `[time, cells]`, the stimulus likewise, and the spikes as two lists: times and their cells.
fn npz(file: &mut File, outcome: &Outcome) -> io::Result<()> {
    let mut file = BufWriter::new(file);
    let samples = outcome.times.len();
    let mut arrays = vec![NpzArray::new("time", vec![samples], outcome.times.clone())];
    for trace in &outcome.traces {
        let shape = vec![samples, trace.width];
        arrays.push(NpzArray::new(&trace.name, shape, trace.values.clone()));
    }
    for trace in &outcome.stimulus {
        let name = format!("stimulus.{}", trace.name);
        let shape = vec![samples, trace.width];
        arrays.push(NpzArray::new(&name, shape, trace.values.clone()));
    }
    if !outcome.spikes.is_empty() {
        let spikes = outcome.spikes.iter().enumerate();
        let mut all: Vec<(f64, usize)> = spikes
            .flat_map(|(cell, spikes)| spikes.times.iter().map(move |time| (*time, cell)))
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let times = all.iter().map(|(time, _)| *time).collect();
        let cells = all.iter().map(|(_, cell)| *cell as f64).collect();
        arrays.push(NpzArray::new("spike_times", vec![all.len()], times));
        arrays.push(NpzArray::new("spike_cells", vec![all.len()], cells));
    }
    write_npz(&mut file, &arrays)?;
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

/// Where the figure goes.
pub struct Plot<'a> {
    path: &'a Path,
    png: bool,
}

impl<'a> Plot<'a> {
    pub fn new(path: &'a Path) -> Result<Self, Usage> {
        let png = match extension(path).as_str() {
            "png" => true,
            "svg" => false,
            _ => return Err(unknown(path, "--plot", ".svg or .png")),
        };
        writable(path, "--plot")?;
        Ok(Self { path, png })
    }

    pub fn write(&self, figure: &Figure) -> anyhow::Result<()> {
        let bytes = match self.png {
            true => {
                let pixels = figure.to_rgb(WIDTH, HEIGHT)?;
                let mut bytes = io::Cursor::new(Vec::new());
                let image = image::RgbImage::from_raw(WIDTH, HEIGHT, pixels)
                    .context("the figure has another size than its pixels")?;
                image.write_to(&mut bytes, image::ImageFormat::Png)?;
                bytes.into_inner()
            }
            false => figure.to_svg(WIDTH, HEIGHT)?.into_bytes(),
        };
        write_atomic(self.path, &bytes)?;
        Ok(())
    }
}
