//! `granule analyze`.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use granule::data::arrays::{NpzArray, write_npz};
use granule::device::DeviceSpec;
use granule::dynamics::{DynamicsError, Place};
use granule::simulate::analysis::{Analysis, Cell, Findings, Request, Table};
use serde_json::{Map, Value, json};

use super::result::to_the_right;
use super::simulate::RunProgress;
use super::target::{on, open};
use crate::args;
use crate::config::experiment::{Described, resolve};
use crate::config::layers::{Layer, Origin, read_set};
use crate::failure::{INTERRUPTED, Usage};
use crate::interrupt::Interrupt;
use crate::output::{self, note};
use crate::plot::{Plot, extension, unknown};
use crate::progress::Style;
use crate::written::OutFile;

/// Parts of an analysis that its progress counts.
const PARTS: usize = 1000;
/// Rows of a table that are printed.
const PRINTED: usize = 60;

pub fn run(args: &args::Analyze) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::install()?;
    let own = &args.simulate;
    let analysis = Analysis::find(&args.analysis)
        .ok_or_else(|| Usage::new(format!("there is no analysis {}", args.analysis)))?;
    if own.from_state.is_some() || own.save_state.is_some() {
        let hint = "set unit.initial or record.from; `granule simulate` goes on from a state";
        return Err(Usage::new("an analysis takes and leaves no state of a run")
            .hint(hint)
            .into());
    }
    let out = own.out.as_deref().map(Out::new).transpose()?;
    let plot = own.plot.as_deref();
    let plot = plot.map(|path| Plot::new(path, own.size.unwrap_or_default(), own.dpi));
    let plot = plot.transpose()?;
    let mut settings = Layer::new(Origin::With);
    for text in &args.with {
        read_set(&mut settings, text)?;
    }
    let described = resolve(own)?;
    if described.weights.is_some() {
        let hint = "granule simulate RUN runs it; the equations of one of its levels can be analysed as a file of their own";
        return Err(
            Usage::new("a trained model of several levels has no equations to analyse")
                .hint(hint)
                .into(),
        );
    }
    for text in &described.notes {
        if !own.quiet {
            note(&format!("note: {}", output::printable(text)));
        }
    }
    if let Some(args::Precision::F32) = own.precision {
        return Err(Usage::new("--precision f32: analyses are in double precision").into());
    }
    let device = open(own.device.as_ref(), DeviceSpec::Cpu)?;
    if !device.is_host() {
        return Err(Usage::new(format!(
            "{} computes in single precision only",
            device.spec()
        ))
        .hint("analyses are in double precision: take --device cpu")
        .into());
    }
    for file in out.iter().map(|out| &out.file) {
        file.check_unread()?;
    }
    if let Some(plot) = &plot {
        plot.check_unread()?;
    }
    on(&device, || {
        let place = Place::f64(device.burn());
        analyse(
            args,
            analysis,
            &described,
            (&settings, &place),
            (out, plot),
            &interrupt,
        )
    })
}

fn analyse(
    args: &args::Analyze,
    analysis: &Analysis,
    described: &Described,
    (settings, place): (&Layer, &Place),
    (out, plot): (Option<Out>, Option<Plot>),
    interrupt: &Interrupt,
) -> anyhow::Result<ExitCode> {
    let own = &args.simulate;
    let style = Style::choose(own.json, own.quiet);
    let progress = RefCell::new(RunProgress::new(analysis.name, style, PARTS));
    interrupt.be_gentle();
    let result = analysis.run(&Request {
        config: &described.config,
        place,
        settings: &settings.table,
        title: &described.title,
        progress: &|share| {
            progress.borrow_mut().step((share * PARTS as f64) as usize);
            if interrupt.is_asked() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    });
    progress.borrow_mut().clear();
    let findings = match result {
        Ok(findings) => findings,
        Err(DynamicsError::Stopped) => {
            note("interrupted; an analysis that is not whole says nothing");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        Err(DynamicsError::Config(error)) if is_own(&error.field, analysis) => {
            let error = format!("--with {error}");
            return Err(Usage::new(error)
                .hint(format!(
                    "`granule help analyze` has the settings of {}",
                    analysis.name
                ))
                .into());
        }
        Err(other) => return Err(described.explain(other)),
    };
    let mut failed = None;
    let mut written = Vec::new();
    if let Some(out) = &out {
        match out.file.write(|file| out.table(file, &findings)) {
            Ok(()) => written.push(out.file.path().to_path_buf()),
            Err(error) => failed = Some(error),
        }
    }
    match (plot, &findings.figure) {
        (Some(plot), Some(figure)) => match plot.write(figure) {
            Ok(files) => written.extend(files),
            Err(error) => failed = failed.or(Some(error)),
        },
        (Some(_), None) => note(&format!("note: {} has no picture", analysis.name)),
        (None, _) => {}
    }
    if own.json {
        output::json(&whole(analysis, &findings, described))?;
    } else {
        show(&findings)?;
        for text in findings.notes.iter().filter(|_| !own.quiet) {
            output::line(text)?;
        }
    }
    for path in written.iter().filter(|_| !own.quiet) {
        note(&format!("wrote {}", output::quoted(path)));
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Whether a field is a setting of the analysis and not of the experiment.
fn is_own(field: &str, analysis: &Analysis) -> bool {
    let known = [
        "settings",
        "parameter",
        "from",
        "to",
        "at",
        "variable",
        "window",
        "transient",
    ];
    let defaults = (analysis.defaults)().unwrap_or_default();
    known.contains(&field) || (defaults.contains_key(field) && field != "seed")
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

/// Tables as lists of objects, arrays with their shapes.
fn whole(analysis: &Analysis, findings: &Findings, described: &Described) -> Value {
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
    let array = |array: &granule::simulate::analysis::Array| {
        let own = json!({ "shape": array.shape, "values": array.values });
        (array.name.clone(), own)
    };
    json!({
        "analysis": analysis.name,
        "experiment": described.title,
        "tables": findings.tables.iter().map(table).collect::<Map<_, _>>(),
        "arrays": findings.arrays.iter().map(array).collect::<Map<_, _>>(),
        "notes": findings.notes,
        "config": described.config,
        "version": env!("CARGO_PKG_VERSION"),
    })
}
