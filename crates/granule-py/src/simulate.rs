//! Simulations.

use std::ops::ControlFlow;

use granule::FilesFrom;
use granule::device::DeviceSpec;
use granule::dynamics::{DynamicsError, Place};
use granule::io::table::{address, merge, rename, take_back};
use granule::simulate::{ExperimentConfig, Outcome, Trace};
use granule::train::config::as_simulation;
use granule::train::schema::Schema;
use pyo3::prelude::*;
use toml::{Table, Value};

use crate::error::{Failure, Signals, work};
use crate::packed::{Packed, pack};
use crate::settings::{Described, overrides};

/// A recorded quantity: its name, its unit, what its columns are called, and `[times, columns]`.
type Recorded<'py> = (String, String, Vec<String>, Packed<'py>);

/// What became of a simulation.
#[pyclass(frozen, module = "granule._granule")]
pub struct NativeResult {
    config: ExperimentConfig,
    outcome: Outcome,
    title: String,
    notes: Vec<String>,
}

fn described(what: Option<&str>, settings: &str) -> Result<(ExperimentConfig, String), Failure> {
    let Described {
        mut table,
        title,
        folder,
        preset,
    } = match what {
        Some(what) => Described::simulation(what)?,
        None => Described::text("", "simulation")?,
    };
    let mut settings = overrides(settings)?;
    if let Some(model) = as_simulation(&table) {
        table = model;
        // The file says `model`.
        if let Some(model) = settings.table.remove("model") {
            let own = Table::from_iter([("composite".to_owned(), model)]);
            merge(&mut settings.table, &own);
        }
    }
    rename(&mut table);
    rename(&mut settings.table);
    let of_settings = granule::io::table::lookup(&settings.table, "stimulus.file").is_some();
    address(&table, &mut settings.table)
        .map_err(|error| Failure::value(format!("{error}; {}", error.has)))?;
    merge(&mut table, &settings.table);
    for path in &settings.cleared {
        let fault = Schema::of_experiments().unknown(&table, path);
        let fault = fault.map_err(|error| Failure::value(format!("{error}; {}", error.has)))?;
        if let Some(fault) = fault {
            return Err(Failure::value(fault.to_string()));
        }
        take_back(&mut table, path, &preset);
    }
    let mut config = Value::Table(table.clone())
        .try_into::<ExperimentConfig>()
        .map_err(|error| match Schema::of_experiments().fault(&table) {
            Some(fault) => Failure::value(fault.to_string()),
            None => Failure::value(error.to_string().trim_end()),
        })?;
    config.read(&FilesFrom {
        folder: if of_settings {
            Default::default()
        } else {
            folder
        },
    })?;
    config.validate()?;
    Ok((config, title))
}

fn simulated(
    what: Option<&str>,
    settings: &str,
    device: &str,
    single: bool,
) -> Result<NativeResult, Failure> {
    let (config, title) = described(what, settings)?;
    let device = device.parse::<DeviceSpec>()?.open()?;
    let place = if single || !device.is_host() {
        Place::f32(device.burn())
    } else {
        Place::f64(device.burn())
    };
    let mut signals = Signals::default();
    let done = device.guard(|| {
        let experiment = config.init(&place)?;
        let mut notes = experiment.notes();
        notes.extend(experiment.warnings().iter().cloned());
        let outcome = experiment.run(|_, _| {
            if signals.stop() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        Ok::<_, DynamicsError>((outcome, notes))
    });
    let done = match done {
        Ok(Err(DynamicsError::Device { reason })) => Err(device.failure(&reason).into()),
        Ok(done) => done.map_err(Failure::from),
        Err(error) => Err(error.into()),
    };
    let (outcome, mut notes) = signals.end(done)?;
    notes.extend(outcome.warnings.iter().cloned());
    Ok(NativeResult {
        config,
        outcome,
        title,
        notes,
    })
}

/// Runs a simulation as `granule simulate` does.
#[pyfunction]
pub fn simulate_run(
    py: Python<'_>,
    what: Option<&str>,
    settings: &str,
    device: &str,
    single: bool,
) -> PyResult<NativeResult> {
    work(py, || simulated(what, settings, device, single))
}

/// The names of the ready-made simulations, each with a line on it.
#[pyfunction]
pub fn simulation_presets() -> Vec<(&'static str, &'static str)> {
    let presets = granule::simulate::presets::PRESETS.iter();
    presets
        .map(|preset| (preset.name, preset.summary))
        .collect()
}

impl NativeResult {
    fn recorded<'py>(&self, py: Python<'py>, traces: &[Trace]) -> PyResult<Vec<Recorded<'py>>> {
        let times = self.outcome.times.len();
        let all = traces.iter().map(|trace| {
            let values = pack(py, &trace.values, vec![times, trace.width])?;
            Ok((
                trace.name.clone(),
                trace.unit.clone(),
                trace.labels.clone(),
                values,
            ))
        });
        all.collect()
    }
}

#[pymethods]
impl NativeResult {
    #[getter]
    fn title(&self) -> &str {
        &self.title
    }

    /// The instants of the traces, ms.
    #[getter]
    fn times<'py>(&self, py: Python<'py>) -> PyResult<Packed<'py>> {
        pack(py, &self.outcome.times, vec![self.outcome.times.len()])
    }

    #[getter]
    fn traces<'py>(&self, py: Python<'py>) -> PyResult<Vec<Recorded<'py>>> {
        self.recorded(py, &self.outcome.traces)
    }

    #[getter]
    fn stimulus<'py>(&self, py: Python<'py>) -> PyResult<Vec<Recorded<'py>>> {
        self.recorded(py, &self.outcome.stimulus)
    }

    /// The times of the spikes of each cell, ms.
    #[getter]
    fn spikes<'py>(&self, py: Python<'py>) -> PyResult<Vec<Packed<'py>>> {
        let cells = self.outcome.spikes.iter();
        cells
            .map(|cell| pack(py, &cell.times, vec![cell.times.len()]))
            .collect()
    }

    /// The mean rate of each cell over the run, Hz.
    #[getter]
    fn rates(&self) -> Vec<f64> {
        let reached = self.outcome.reached;
        let cells = self.outcome.spikes.iter();
        cells.map(|cell| cell.mean_rate_hz(0.0, reached)).collect()
    }

    /// Groups of cells: name, first, end, and mean rate, Hz.
    #[getter]
    fn groups(&self) -> Vec<(String, usize, usize, f64)> {
        let groups = self.outcome.groups.iter();
        let of = groups.map(|group| {
            let rate = self.outcome.mean_rate_hz(group);
            (group.name.clone(), group.cells.start, group.cells.end, rate)
        });
        of.collect()
    }

    #[getter]
    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    #[getter]
    fn solver(&self) -> &str {
        &self.outcome.solver
    }

    /// The configuration that gives the same result again, as JSON.
    fn config(&self, py: Python<'_>) -> PyResult<String> {
        work(py, || Ok(serde_json::to_string(&self.config)?))
    }

    /// The picture that the command draws.
    fn svg(&self, py: Python<'_>, width: u32, height: u32) -> PyResult<String> {
        work(py, || {
            let figure = self.outcome.figure(&self.config, &self.title);
            Ok(figure.to_svg(width, height)?)
        })
    }
}
