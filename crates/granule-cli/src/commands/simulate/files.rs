//! The files that a simulation writes.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use granule::chart::{Figure, MOST_PIXELS, fine};
use granule::data::arrays::{NpzArray, write_npz};
use granule::io::open_regular;
use granule::simulate::{ExperimentConfig, Outcome, Trace};

use super::result::Made;
use crate::args::{FigureSize, PIXELS};
use crate::failure::Usage;
use crate::written::OutFile;

fn extension(path: &Path) -> String {
    let extension = path.extension().unwrap_or_default();
    extension.to_string_lossy().to_lowercase()
}

fn unknown(path: &Path, flag: &str, known: &str) -> Usage {
    Usage::new(format!(
        "{flag} {}: the name does not end in {known}",
        path.display()
    ))
}

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

/// Times and cells of all spikes, in the order of time.
fn spikes(outcome: &Outcome) -> Vec<(f64, usize)> {
    let cells = outcome.spikes.iter().enumerate();
    let mut all: Vec<(f64, usize)> = cells
        .flat_map(|(cell, spikes)| spikes.times.iter().map(move |time| (*time, cell)))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all
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
        let all = spikes(outcome);
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
    for (time, cell) in spikes(outcome) {
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

/// Where the figure goes, and how large it is.
pub struct Plot {
    file: OutFile,
    png: bool,
    size: FigureSize,
    dpi: f64,
}

impl Plot {
    pub fn new(path: &Path, size: FigureSize, dpi: Option<f64>) -> Result<Self, Usage> {
        let png = match extension(path).as_str() {
            "png" => true,
            "svg" => false,
            _ => return Err(unknown(path, "--plot", ".svg or .png")),
        };
        if !png && dpi.is_some() {
            return Err(Usage::new(
                "--dpi: an .svg file has no pixels; --size says how large it is",
            ));
        }
        let dpi = dpi.unwrap_or(PIXELS);
        let [wide, high] = [size.width, size.height].map(|length| fine(length, dpi / PIXELS));
        if png && u64::from(wide) * u64::from(high) > MOST_PIXELS {
            return Err(Usage::new(format!(
                "--plot {}: {wide} × {high} pixels are too many; take a lower --dpi or a smaller --size",
                path.display()
            )));
        }
        Ok(Self {
            file: OutFile::new(path, "--plot")?,
            png,
            size,
            dpi,
        })
    }

    /// Refuses a file that the run is made from.
    pub fn check_unread(&self) -> Result<(), Usage> {
        self.file.check_unread()
    }

    pub fn write(&self, figure: &Figure) -> anyhow::Result<Vec<PathBuf>> {
        let FigureSize { width, height } = self.size;
        let bytes = if self.png {
            let scale = self.dpi / PIXELS;
            let pixels = figure.to_rgb_fine(width, height, scale)?;
            let mut bytes = io::Cursor::new(Vec::new());
            let [width, height] = [width, height].map(|length| fine(length, scale));
            let image = image::RgbImage::from_raw(width, height, pixels)
                .context("the figure has another size than its pixels")?;
            image.write_to(&mut bytes, image::ImageFormat::Png)?;
            with_resolution(bytes.into_inner(), self.dpi)
        } else {
            figure.to_svg(width, height)?.into_bytes()
        };
        self.file.write(|file| file.write_all(&bytes))?;
        Ok(vec![self.file.path().to_path_buf()])
    }
}

/// A PNG file that says how many of its pixels make an inch, so that it is printed as large as it was asked for: the chunk
/// `pHYs` after the first one, which is of a fixed length.
fn with_resolution(png: Vec<u8>, dpi: f64) -> Vec<u8> {
    /// Signature, and the chunk IHDR: length, name, 13 bytes and checksum.
    const HEADER: usize = 8 + 4 + 4 + 13 + 4;
    let a_metre = (dpi / 0.0254).round() as u32;
    let mut chunk = b"pHYs".to_vec();
    chunk.extend(a_metre.to_be_bytes());
    chunk.extend(a_metre.to_be_bytes());
    chunk.push(1);
    let checksum = crc32(&chunk);
    let (header, rest) = png.split_at(HEADER.min(png.len()));
    let length = (chunk.len() as u32 - 4).to_be_bytes();
    [header, &length, &chunk, &checksum.to_be_bytes(), rest].concat()
}

/// The checksum of PNG's chunks.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_lengths() {
        let pixels = |text: &str| {
            let size: FigureSize = text.parse().unwrap();
            (size.width, size.height)
        };
        assert_eq!(pixels("960x640"), (960, 640));
        assert_eq!(pixels("7x5in"), (672, 480));
        assert_eq!(pixels("180x120mm"), (680, 454));
        assert_eq!(pixels("18×12cm"), (680, 454));
        for wrong in ["180", "axb", "0x10", "1e9x1mm", "180x120km"] {
            assert!(wrong.parse::<FigureSize>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_png_says_its_resolution() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let image = image::RgbImage::new(3, 2);
        let mut bytes = io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        let png = with_resolution(bytes.into_inner(), 300.0);
        assert_eq!(&png[33..41], b"\0\0\0\x09pHYs");
        assert_eq!(png[41..45], 11811_u32.to_be_bytes());
        let again = image::load_from_memory(&png).unwrap();
        assert_eq!((again.width(), again.height()), (3, 2));
    }
}
