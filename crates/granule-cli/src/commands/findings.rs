//! What was found, printed, written and drawn.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use granule::data::arrays::{NpzArray, write_npz};
use granule::simulate::analysis::{Array, Cell, Findings, Table};
use serde_json::{Map, Value, json};

use super::result::to_the_right;
use super::simulate::RunProgress;
use crate::args::Drawing;
use crate::failure::Usage;
use crate::interrupt::Interrupt;
use crate::output::{self, note};
use crate::plot::{Plot, extension, unknown};
use crate::progress::Style;
use crate::written::OutFile;

/// Parts of the work that its progress counts.
const PARTS: usize = 1000;
/// Numbers of an array that are printed as JSON; a larger one has null there, and is written by --out.
const MOST_PRINTED: usize = 1 << 20;
/// Rows of a table that are printed.
const PRINTED: usize = 60;

/// How far work that finds something has come, told by its share, until somebody asks it to end.
pub struct Heard<'a> {
    progress: RefCell<RunProgress>,
    interrupt: &'a Interrupt,
}

impl<'a> Heard<'a> {
    pub fn new(name: &'static str, style: Style, interrupt: &'a Interrupt) -> Self {
        interrupt.be_gentle();
        Self {
            progress: RefCell::new(RunProgress::new(name, style, PARTS)),
            interrupt,
        }
    }

    /// Hears of the share that is done.
    pub fn share(&self, share: f64) -> ControlFlow<()> {
        let mut progress = self.progress.borrow_mut();
        progress.step((share * PARTS as f64) as usize);
        if self.interrupt.is_asked() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Takes what is shown of it away.
    pub fn clear(self) {
        self.progress.into_inner().clear();
    }
}

/// Where findings go besides the terminal.
pub struct Sinks {
    out: Option<Out>,
    plot: Option<Plot>,
}

impl Sinks {
    /// # Errors
    /// [`Usage`] for names of files that end otherwise.
    pub fn new(out: Option<&Path>, drawing: &Drawing) -> Result<Self, Usage> {
        Ok(Self {
            out: out.map(Out::new).transpose()?,
            plot: Plot::of(drawing)?,
        })
    }

    /// Checks that nothing that is read would be written over.
    pub fn check_unread(&self) -> anyhow::Result<()> {
        if let Some(out) = &self.out {
            out.file.check_unread()?;
        }
        if let Some(plot) = &self.plot {
            plot.check_unread()?;
        }
        Ok(())
    }

    /// Writes, draws and prints what `name` has found; `about` is what of JSON stands before it.
    pub fn finish(
        self,
        name: &str,
        findings: &Findings,
        about: Value,
        as_json: bool,
        quiet: bool,
    ) -> anyhow::Result<ExitCode> {
        let mut failed = None;
        let mut written = Vec::new();
        if let Some(out) = &self.out {
            match out.file.write(|file| out.table(file, findings)) {
                Ok(()) => written.push(out.file.path().to_path_buf()),
                Err(error) => failed = Some(error),
            }
        }
        match (self.plot, &findings.figure) {
            (Some(plot), Some(figure)) => match plot.write(figure) {
                Ok(files) => written.extend(files),
                Err(error) => failed = failed.or(Some(error)),
            },
            (Some(_), None) => note(&format!("note: {name} has no picture here")),
            (None, _) => {}
        }
        if as_json {
            output::json(&whole(findings, about))?;
        } else {
            show(findings)?;
            for text in findings.notes.iter().filter(|_| !quiet) {
                output::line(text)?;
            }
        }
        for path in written.iter().filter(|_| !quiet) {
            note(&format!("wrote {}", output::quoted(path)));
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(ExitCode::SUCCESS),
        }
    }
}

/// Where the numbers go.
struct Out {
    file: OutFile,
    csv: bool,
}

impl Out {
    fn new(path: &Path) -> Result<Self, Usage> {
        let csv = match extension(path).as_str() {
            "npz" => false,
            "csv" => true,
            _ => return Err(unknown(path, "--out", ".npz or .csv")),
        };
        Ok(Self {
            file: OutFile::new(path, "--out")?,
            csv,
        })
    }

    /// The first table with rows, or all arrays and the columns of all tables that are numbers.
    fn table(&self, file: &mut File, findings: &Findings) -> io::Result<()> {
        let mut file = BufWriter::new(file);
        if self.csv {
            let table = findings.tables.iter().find(|table| !table.rows.is_empty());
            let Some(table) = table.or(findings.tables.first()) else {
                return Ok(());
            };
            let mut writer = csv::Writer::from_writer(file);
            writer.write_record(table.columns.iter().map(|own| headed(&own.name, &own.unit)))?;
            for row in &table.rows {
                writer.write_record(row.iter().map(|cell| match cell {
                    Cell::Number(value) if value.is_finite() => value.to_string(),
                    Cell::Number(_) => String::new(),
                    Cell::Word(word) => word.clone(),
                }))?;
            }
            return writer.flush();
        }
        let columns = findings.tables.iter().flat_map(|table| {
            table.columns.iter().filter_map(|column| {
                let numbers = table.numbers(&column.name)?;
                let values: Option<Vec<f64>> = numbers.into_iter().collect();
                Some((format!("{}: {}", table.name, column.name), values?))
            })
        });
        let columns: Vec<(String, Vec<f64>)> = columns.collect();
        let tables = columns
            .iter()
            .map(|(name, values)| NpzArray::new(name, vec![values.len()], values));
        let arrays = findings.arrays.iter();
        let arrays = arrays.map(|own| NpzArray::new(&own.name, own.shape.clone(), &own.values));
        write_npz(&mut file, &tables.chain(arrays).collect::<Vec<_>>())
    }
}

fn headed(name: &str, unit: &str) -> String {
    match unit {
        "1" => name.to_owned(),
        _ => format!("{name} ({unit})"),
    }
}

fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Number(value) if !value.is_finite() => "-".into(),
        Cell::Number(value) if value.fract() == 0.0 && value.abs() < 1e6 => format!("{value}"),
        Cell::Number(value) if value.abs() >= 1e6 || value.abs() < 1e-4 => format!("{value:.3e}"),
        Cell::Number(value) => {
            let before = value.abs().log10().floor().max(0.0) as usize;
            format!("{value:.*}", 5_usize.saturating_sub(before))
        }
        Cell::Word(word) => word.clone(),
    }
}

fn show(findings: &Findings) -> anyhow::Result<()> {
    for (index, table) in findings.tables.iter().enumerate() {
        if index > 0 {
            output::line("")?;
        }
        show_table(table)?;
    }
    Ok(())
}

fn show_table(table: &Table) -> anyhow::Result<()> {
    if table.rows.is_empty() {
        return output::line(&format!("no {}", table.name));
    }
    let head = table
        .columns
        .iter()
        .map(|own| headed(&own.name, &own.unit))
        .collect();
    let rows = table
        .rows
        .iter()
        .take(PRINTED)
        .map(|row| row.iter().map(shown).collect());
    let rows: Vec<Vec<String>> = [head].into_iter().chain(rows).collect();
    output::line(to_the_right(&rows, 0, 0).trim_end())?;
    if table.rows.len() > PRINTED {
        output::line(&format!(
            "… {} more: --out has all",
            table.rows.len() - PRINTED
        ))?;
    }
    Ok(())
}

/// Tables as lists of objects, arrays with their shapes, after what they are about.
fn whole(findings: &Findings, about: Value) -> Value {
    let cell = |cell: &Cell| match cell {
        Cell::Number(value) => json!(value),
        Cell::Word(word) => json!(word),
    };
    let table = |table: &Table| {
        let rows = table.rows.iter().map(|row| {
            let pairs = table.columns.iter().zip(row);
            Value::Object(
                pairs
                    .map(|(own, value)| (headed(&own.name, &own.unit), cell(value)))
                    .collect(),
            )
        });
        (table.name.to_owned(), Value::Array(rows.collect()))
    };
    let array = |array: &Array| {
        let printed = array.values.len() <= MOST_PRINTED;
        let values = printed.then_some(&array.values);
        let own = json!({ "shape": array.shape, "values": values });
        (array.name.clone(), own)
    };
    let mut all = match about {
        Value::Object(all) => all,
        _ => Map::new(),
    };
    let own = json!({
        "tables": findings.tables.iter().map(table).collect::<Map<_, _>>(),
        "arrays": findings.arrays.iter().map(array).collect::<Map<_, _>>(),
        "notes": findings.notes,
        "version": env!("CARGO_PKG_VERSION"),
    });
    if let Value::Object(own) = own {
        all.extend(own);
    }
    Value::Object(all)
}
