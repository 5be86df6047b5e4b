//! `granule bench`.

/// A row of these names, whose `begin` is a closure that captures nothing; with `host` one of CPUs alone.
macro_rules! row {
    ($name:literal, $begin:expr, $unit:ident, $what:literal) => {
        row!(@ false, $name, $begin, $unit, $what)
    };
    (host, $name:literal, $begin:expr, $unit:ident, $what:literal) => {
        row!(@ true, $name, $begin, $unit, $what)
    };
    (@ $of_hosts:literal, $name:literal, $begin:expr, $unit:ident, $what:literal) => {
        $crate::commands::bench::Row {
            name: $name,
            what: $what,
            of_hosts: $of_hosts,
            unit: $crate::commands::bench::Unit::$unit,
            begin: {
                const BEGIN: $crate::commands::bench::Begin = $begin;
                BEGIN
            },
        }
    };
}

mod against;
mod ceiling;
mod inference;
mod simulation;
mod training;

use std::process::ExitCode;
use std::time::Instant;

use granule::device::{DeviceSpec, OpenDevice};
use serde_json::json;

use super::target::{on, open};
use crate::args;
use crate::failure::Usage;
use crate::output;
use ceiling::Ceilings;

/// The fewest rounds of a row that are measured, after one that is not, unless they take more than [`PATIENCE`].
const LEAST_ROUNDS: usize = 3;
/// The most.
const MOST_ROUNDS: usize = 1_000_000;
/// How many times as long as asked a row may take, for its least rounds.
const PATIENCE: f64 = 4.0;
/// The first rounds, so many, are written as JSON.
const SHOWN: usize = 100;

/// Something that is measured.
struct Row {
    name: &'static str,
    /// One line on what a round does.
    what: &'static str,
    /// Whether it is for CPUs alone.
    of_hosts: bool,
    unit: Unit,
    begin: Begin,
}

/// Prepares a row, and hands on what runs one round of it.
type Begin = for<'a> fn(&'a Bench<'a>) -> anyhow::Result<Prepared<'a>>;

/// What a row reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// Images each second.
    Images,
    /// Updates of one cell each second, in millions.
    CellSteps,
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
    /// Of something else.
    Share,
}

/// A row that is ready to run.
struct Prepared<'a> {
    /// How many images, cell steps or calls a round has.
    count: f64,
    /// Floating-point operations of a round, where they are known.
    operations: Option<f64>,
    /// Runs a round and says how long it took, s.
    round: Box<dyn FnMut() -> anyhow::Result<Took> + 'a>,
}

/// How long a round took, s.
struct Took {
    seconds: f64,
    /// The part of the round that was run in that time.
    share: f64,
}

impl From<f64> for Took {
    fn from(seconds: f64) -> Self {
        Self {
            seconds,
            share: 1.0,
        }
    }
}

/// Where rows run, and for how long.
struct Bench<'a> {
    device: &'a OpenDevice,
    /// About how long all rounds of a row may take, s.
    seconds: f64,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Images => "images/s",
            Self::CellSteps => "million cell-steps/s",
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "µs",
            Self::Nanoseconds => "ns",
            Self::Share => "×",
        }
    }

    /// From the seconds of a round.
    fn of(self, seconds: f64, count: f64) -> f64 {
        match self {
            Self::Images => count / seconds,
            Self::CellSteps => count / seconds / 1e6,
            Self::Seconds => seconds / count,
            Self::Milliseconds => seconds / count * 1e3,
            Self::Microseconds => seconds / count * 1e6,
            Self::Nanoseconds => seconds / count * 1e9,
            Self::Share => seconds / count,
        }
    }

    fn text(self, value: f64) -> String {
        let digits = if value >= 1000.0 {
            return output::grouped(value.round() as usize);
        } else if value >= 100.0 {
            0
        } else if value >= 10.0 {
            1
        } else if value >= 0.1 {
            2
        } else {
            4
        };
        format!("{value:.digits$}")
    }
}

/// All rows.
fn rows() -> Vec<&'static Row> {
    let parts = [training::ROWS, inference::ROWS, simulation::ROWS];
    parts.into_iter().flatten().collect()
}

/// Those that are asked for: by their names, or by what their names begin with.
fn chosen(names: &[String]) -> Result<Vec<&'static Row>, Usage> {
    if names.is_empty() {
        return Ok(rows());
    }
    let mut chosen: Vec<&Row> = Vec::new();
    for name in names {
        let begins = |row: &&Row| !name.is_empty() && row.name.starts_with(name.as_str());
        let mut own: Vec<_> = rows().into_iter().filter(|row| row.name == name).collect();
        if own.is_empty() {
            own = rows().into_iter().filter(begins).collect();
        }
        if own.is_empty() {
            let known: Vec<&str> = rows().iter().map(|row| row.name).collect();
            let text = format!(
                "nothing to measure is called `{}`",
                granule::io::words::shortened(name)
            );
            return Err(Usage::new(text).hint(format!("there are {}", known.join(", "))));
        }
        for row in own {
            if chosen.iter().all(|other| other.name != row.name) {
                chosen.push(row);
            }
        }
    }
    Ok(chosen)
}

pub fn run(args: &args::Bench) -> anyhow::Result<ExitCode> {
    let mut chosen = chosen(&args.rows)?;
    if args.list {
        return list(&chosen, args.json);
    }
    let plot = against::plot(args)?;
    let device = open(args.device.as_ref(), DeviceSpec::Cpu)?;
    // One that is for CPUs alone is left out on others, unless it is named.
    let named = |row: &Row| args.rows.iter().any(|name| name == row.name);
    chosen.retain(|row| !row.of_hosts || device.is_host() || named(row));
    on(&device, || {
        let bench = Bench {
            device: &device,
            seconds: args.seconds,
        };
        match &args.against {
            Some(name) => against::run(name, args.json, plot, &bench),
            None => measure(args, &chosen, &bench),
        }
    })
}

fn list(chosen: &[&Row], json: bool) -> anyhow::Result<ExitCode> {
    if json {
        chosen.iter().try_for_each(|row| {
            output::json(&json!({"row": row.name, "unit": row.unit.name(), "what": row.what}))
        })?;
        against::all()
            .try_for_each(|(name, what)| output::json(&json!({"against": name, "what": what})))?;
    } else {
        let table: Vec<Vec<String>> = chosen
            .iter()
            .map(|row| vec![row.name.into(), row.unit.name().into(), row.what.into()])
            .collect();
        output::line(&output::columns(&table))?;
        output::line("")?;
        let series: Vec<Vec<String>> = against::all()
            .map(|(name, what)| vec![format!("--against {name}"), what.into()])
            .collect();
        output::line(&output::columns(&series))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(
    args: &args::Bench,
    chosen: &[&'static Row],
    bench: &Bench<'_>,
) -> anyhow::Result<ExitCode> {
    let device = bench.device;
    let ceilings = (!args.no_ceilings).then(|| Ceilings::measure(bench));
    let ceilings = ceilings.transpose()?;
    let load = busy();
    if args.json {
        output::event(
            "machine",
            json!({
                "cores": std::thread::available_parallelism().map_or(1, usize::from),
                "processor": processor(),
                "device": device.spec().to_string(),
                "name": device.name(),
                "load": load,
                "matrix_gflops": ceilings.as_ref().map(|most| most.operations / 1e9),
                "memory_gb_per_second": ceilings.as_ref().map(|most| most.bytes / 1e9),
                "version": env!("CARGO_PKG_VERSION"),
            }),
        )?;
    } else {
        output::line(&format!("{}, {}", device.spec(), device.name()))?;
        if let Some(ceilings) = &ceilings {
            output::line(&ceilings.text())?;
        }
        if load.is_some_and(|load| load > 0.5) {
            output::warn(&format!(
                "others keep {:.1} processors busy; these numbers are too low",
                load.unwrap_or_default()
            ));
        }
        output::line("")?;
    }
    let width = chosen.iter().map(|row| row.name.len()).max().unwrap_or(0);
    for row in chosen {
        let found = bench.row(row)?;
        if args.json {
            output::event("row", found.json(row, ceilings.as_ref()))?;
        } else {
            output::line(&found.text(row, width, ceilings.as_ref()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What was measured of a row.
struct Measured {
    /// Of each round, in the unit of the row.
    rounds: Vec<f64>,
    median: f64,
    /// Floating-point operations each second.
    operations: Option<f64>,
    /// Whether rounds were too long to be run to their end, and their times follow from what was run.
    cut: bool,
}

impl Bench<'_> {
    fn row(&self, row: &Row) -> anyhow::Result<Measured> {
        self.measure((row.begin)(self)?, row.unit)
    }

    fn measure(&self, mut prepared: Prepared<'_>, unit: Unit) -> anyhow::Result<Measured> {
        let began = Instant::now();
        let mut seconds = Vec::new();
        let mut cut = false;
        // The first one is not counted, unless it is so long that another one is too much.
        for round in 0..=MOST_ROUNDS {
            let took = (prepared.round)()?;
            let spent = began.elapsed().as_secs_f64();
            let long = spent > PATIENCE * self.seconds;
            if round > 0 || long {
                cut |= took.share < 1.0;
                seconds.push(took.seconds / took.share);
            }
            let enough = seconds.len() >= LEAST_ROUNDS && spent > self.seconds;
            if enough || (long && !seconds.is_empty()) {
                break;
            }
        }
        let rounds: Vec<f64> = seconds
            .iter()
            .map(|seconds| unit.of(*seconds, prepared.count))
            .collect();
        seconds.sort_by(f64::total_cmp);
        let median = seconds[seconds.len() / 2];
        Ok(Measured {
            rounds,
            median: unit.of(median, prepared.count),
            operations: prepared.operations.map(|operations| operations / median),
            cut,
        })
    }
}

impl Measured {
    /// The part of the arithmetic that the device can do.
    fn share(&self, ceilings: Option<&Ceilings>) -> Option<f64> {
        Some(self.operations? / ceilings?.operations)
    }

    /// The least and the most of all rounds.
    fn range(&self) -> (f64, f64) {
        let begin = (f64::INFINITY, 0.0_f64);
        let widen = |(least, most): (f64, f64), x: &f64| (least.min(*x), most.max(*x));
        self.rounds.iter().fold(begin, widen)
    }

    fn json(&self, row: &Row, ceilings: Option<&Ceilings>) -> serde_json::Value {
        let shown = &self.rounds[..self.rounds.len().min(SHOWN)];
        let (least, most) = self.range();
        json!({
            "row": row.name,
            "unit": row.unit.name(),
            "median": self.median,
            "least": least,
            "most": most,
            "count": self.rounds.len(),
            "rounds": shown,
            "gflops": self.operations.map(|each| each / 1e9),
            "share": self.share(ceilings),
            "cut": self.cut,
        })
    }

    fn text(&self, row: &Row, width: usize, ceilings: Option<&Ceilings>) -> String {
        let (least, most) = self.range();
        let text = |value| row.unit.text(value);
        let rounds = output::counted(self.rounds.len(), "round");
        let spread = if self.rounds.len() > 1 {
            format!("{} to {}, {rounds}", text(least), text(most))
        } else {
            rounds
        };
        let mut line = format!(
            "{:<width$}  {:>9} {} ({spread})",
            row.name,
            text(self.median),
            row.unit.name(),
        );
        if let (Some(operations), Some(share)) = (self.operations, self.share(ceilings)) {
            line += &format!(
                ", {:.0} GFLOP/s, {:.0} % of the matrix product's",
                operations / 1e9,
                100.0 * share
            );
        }
        if self.cut {
            line += ", from a part of a round";
        }
        line
    }
}

/// How many processors others keep busy, over a fifth of a second, where the system tells.
fn busy() -> Option<f64> {
    let ticks = || {
        let text = std::fs::read_to_string("/proc/stat").ok()?;
        let fields: Vec<f64> = text
            .lines()
            .next()?
            .split_whitespace()
            .skip(1)
            .map(|field| field.parse().unwrap_or(0.0))
            .collect();
        let idle = fields.get(3)? + fields.get(4)?;
        let numbered = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
        let cores = text.lines().filter(numbered).count() as f64;
        Some((idle, fields.iter().take(8).sum::<f64>(), cores))
    };
    let (idle, all, cores) = ticks()?;
    std::thread::sleep(std::time::Duration::from_millis(200));
    let (idle_then, all_then, _) = ticks()?;
    (all_then > all).then(|| cores * (1.0 - (idle_then - idle) / (all_then - all)))
}

/// The name of the processor, where the system tells.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_name_or_by_how_it_begins() {
        let names = |asked: &[&str]| -> Vec<&str> {
            let asked: Vec<String> = asked.iter().map(|name| name.to_string()).collect();
            chosen(&asked).unwrap().iter().map(|row| row.name).collect()
        };
        assert_eq!(names(&["train-lenet"]), ["train-lenet"]);
        assert_eq!(names(&["predict-mlp"]), ["predict-mlp"]);
        assert_eq!(names(&["simulate-bal"]).len(), 4);
        assert!(chosen(&[String::new()]).is_err());
        assert_eq!(names(&["train-lenet", "train"]).len(), training::ROWS.len());
        assert_eq!(names(&["train-lenet", "train"])[0], "train-lenet");
        assert_eq!(names(&[]).len(), rows().len());
        let wrong = chosen(&["trail".to_string()]).err().unwrap();
        assert!(format!("{wrong:?}").contains("train-mlp"), "{wrong:?}");
        let mut all = names(&[]);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), rows().len());
    }

    #[test]
    fn units_are_what_they_say() {
        assert_eq!(Unit::Images.of(0.5, 100.0), 200.0);
        assert_eq!(Unit::CellSteps.of(2.0, 4e6), 2.0);
        assert_eq!(Unit::Milliseconds.of(0.5, 10.0), 50.0);
        assert_eq!(Unit::Microseconds.of(0.5, 10.0), 5e4);
        let texts = [12_345.6, 345.6, 34.56, 3.456, 0.03456].map(|x| Unit::Images.text(x));
        assert_eq!(texts, ["12,346", "346", "34.6", "3.46", "0.0346"]);
    }
}
