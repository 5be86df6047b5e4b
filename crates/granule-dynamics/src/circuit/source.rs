//! Populations that are no neurons: units of a rate, and spikes from outside.

use std::sync::Arc;

use burn::tensor::Tensor;
use granule_io::words::counted;
use serde::{Deserialize, Serialize};

use super::draw::{Draw, stream};
use super::population::PopulationConfig;
use crate::delay::ROUNDING;
use crate::population::Activation;
use crate::setting::Range;
use crate::whole::numbers_of_step;
use crate::{DynamicsError, Place, PoissonNoise, QuantityKind, Values, Variable};

/// Their names in a configuration.
pub(super) const SOURCES: &[&str] = &["poisson", "spikes", "rate"];

/// Spikes of a list: what was recorded, or a pattern.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SpikeTrain {
    /// When each spike is, ms. One at the end of a step leaves then, others at the end of the step that they are in.
    pub times: Vec<f64>,
    /// Of which cell each is, from 0.
    pub cells: Vec<f64>,
    /// After so long they come again, ms. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
    pub period: Option<f64>,
}

/// What a population that is no neurons does.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// Independent Poisson processes: runs of cells of one rate, per ms, as where the run ends, and from when to when, ms.
    Poisson(Arc<[(usize, f64)]>, [f64; 2]),
    /// Cells and times of spikes, in the order of time, and the period.
    Spikes(Arc<[(f64, usize)]>, Option<f64>),
    Rate {
        time_constant: Values,
        current: Values,
        initial: Values,
        transfer: Activation,
    },
}

impl Source {
    pub(super) fn new(
        of: &PopulationConfig,
        drawn: impl Fn(&str, &str, &Draw) -> Values,
    ) -> Result<Self, DynamicsError> {
        let parameter = |name: &str, default: f64, range: Range| {
            let draw = of.parameters.get(name);
            let values = draw.map_or(default.into(), |draw| drawn("parameters", name, draw));
            checked(of, &format!("parameters.{name}"), values, range)
        };
        let initial =
            |known: Option<&str>| match of.initial.keys().find(|name| Some(name.as_str()) != known)
            {
                Some(name) => {
                    let allowed = known.map_or("none".to_owned(), |name| format!("{name} alone"));
                    Err(DynamicsError::config(of.field("initial"), name, allowed))
                }
                None => Ok(()),
            };
        let unset = |names: &[(&str, bool)]| match names.iter().find(|(_, given)| *given) {
            Some((name, _)) => {
                let allowed = format!("unset, for {} has none", of.cell);
                Err(DynamicsError::config(of.field(name), "this", allowed))
            }
            None => Ok(()),
        };
        let solver = ("solver", of.solver.is_some());
        let current = ("current", of.current.is_some());
        let external = ("external", of.external);
        match of.cell.as_str() {
            "poisson" => {
                of.check_parameters(&["rate", "onset", "end"])?;
                unset(&[solver, current, external])?;
                initial(None)?;
                if !of.parameters.contains_key("rate") {
                    return Err(DynamicsError::missing(of.field("parameters.rate")));
                }
                let rates = parameter("rate", 0.0, Range::NonNegative)?;
                let mut runs: Vec<(usize, f64)> = Vec::new();
                for cell in 0..of.size {
                    let all = rates.as_slice();
                    let rate = 1e-3 * all[cell.min(all.len() - 1)];
                    match runs.last_mut() {
                        Some((end, last)) if *last == rate => *end = cell + 1,
                        _ => runs.push((cell + 1, rate)),
                    }
                }
                let time = |name: &str| match of.parameters.get(name) {
                    None => Ok(None),
                    Some(Draw::One(time)) => {
                        Range::NonNegative.check(of.field(&format!("parameters.{name}")), *time)?;
                        Ok(Some(*time))
                    }
                    Some(_) => {
                        let place = of.field(&format!("parameters.{name}"));
                        let allowed = "one number for all cells";
                        Err(DynamicsError::config(place, "several", allowed))
                    }
                };
                let window = [
                    time("onset")?.unwrap_or(0.0),
                    time("end")?.unwrap_or(f64::INFINITY),
                ];
                Ok(Self::Poisson(runs.into(), window))
            }
            "spikes" => {
                of.check_parameters(&[])?;
                unset(&[solver, current, external])?;
                initial(None)?;
                let Some(train) = &of.train else {
                    return Err(DynamicsError::missing(of.field("train")));
                };
                train.check(of)?;
                let cells = train.cells.iter().map(|cell| *cell as usize);
                let mut all: Vec<(f64, usize)> = train.times.iter().copied().zip(cells).collect();
                all.sort_by(|a, b| a.0.total_cmp(&b.0));
                Ok(Self::Spikes(all.into(), train.period))
            }
            _ => {
                of.check_parameters(&["time_constant"])?;
                unset(&[solver])?;
                initial(Some("x"))?;
                let transfer = of.transfer.unwrap_or_default();
                let named = |error: DynamicsError| error.under(&format!("population.{}", of.name));
                transfer.validate().map_err(named)?;
                let own = |table: &str, name: &str, draw: Option<&Draw>| {
                    let values = draw.map_or(0.0.into(), |draw| drawn(table, name, draw));
                    let field = format!("{table}.{name}");
                    checked(of, field.trim_end_matches('.'), values, Range::Any)
                };
                Ok(Self::Rate {
                    time_constant: parameter("time_constant", 10.0, Range::Positive)?,
                    current: own("current", "", of.current.as_ref())?,
                    initial: own("initial", "x", of.initial.get("x"))?,
                    transfer,
                })
            }
        }
    }

    pub(super) fn variables(&self, cells: usize) -> Vec<Variable> {
        match self {
            Self::Poisson(..) | Self::Spikes(..) => {
                let spikes = Variable::new("spike", "1", cells);
                vec![spikes.of_kind(QuantityKind::Spikes)]
            }
            Self::Rate { .. } => {
                let rate = Variable::new("rate", "1", cells).of_kind(QuantityKind::Rate);
                vec![Variable::new("x", "1", cells), rate]
            }
        }
    }

    /// The numbers of spikes in the step `step` of `dt` ms.
    pub(super) fn spikes(
        &self,
        (step, dt): (usize, f64),
        shape: [usize; 2],
        place: &Place,
        (seed, name): (u64, &str),
    ) -> Option<Tensor<2>> {
        match self {
            Self::Rate { .. } => None,
            Self::Poisson(runs, [onset, end]) => {
                let (onset, end) = (*onset, *end);
                let (runs, stream) = (Arc::clone(runs), stream(&format!("population.{name}")));
                let fill = move |step: usize, all: &mut [f64]| {
                    let middle = (step as f64 + 0.5) * dt;
                    if !(onset..end).contains(&middle) {
                        return all.fill(0.0);
                    }
                    let width = runs.last().map_or(1, |(end, _)| *end);
                    for (row, all) in all.chunks_mut(width).enumerate() {
                        let mut first = 0;
                        for (run, (end, rate)) in runs.iter().enumerate() {
                            // A row does not depend on those after it.
                            let own = stream.wrapping_add((row * runs.len() + run) as u64);
                            PoissonNoise::new(seed, own).fill(
                                step,
                                rate * dt,
                                &mut all[first..*end],
                            );
                            first = *end;
                        }
                    }
                };
                Some(numbers_of_step(step, shape, place, fill))
            }
            Self::Spikes(all, period) => {
                let (own, period) = (Arc::clone(all), *period);
                let width = shape[1];
                let fill = move |step: usize, out: &mut [f64]| {
                    out.fill(0.0);
                    for (from, to) in windows(step, dt, period) {
                        let first = own.partition_point(|(time, _)| *time <= from);
                        let found = own[first..].iter().take_while(|(time, _)| *time <= to);
                        for (_, cell) in found {
                            out.chunks_mut(width).for_each(|row| row[*cell] += 1.0);
                        }
                    }
                };
                Some(numbers_of_step(step, shape, place, fill))
            }
        }
    }
}

/// Between which times of a pattern, the later one included, spikes are in a step, in turns of the period. They are in the step
/// that ends with them or after them, those at 0 in the first; a time within [`ROUNDING`] of the end of a step is there.
fn windows(step: usize, dt: f64, period: Option<f64>) -> Vec<(f64, f64)> {
    let end = |steps: usize| match steps {
        0 => f64::NEG_INFINITY,
        steps => (steps as f64 + ROUNDING) * dt,
    };
    let (from, to) = (end(step), end(step + 1));
    let Some(period) = period else {
        return vec![(from, to)];
    };
    let mut all = Vec::new();
    // A quotient may be rounded up.
    let mut turn = ((from / period).floor() - 1.0).max(0.0);
    while turn * period <= to {
        all.push((from - turn * period, to - turn * period));
        turn += 1.0;
    }
    all
}

fn checked(
    of: &PopulationConfig,
    name: &str,
    values: Values,
    range: Range,
) -> Result<Values, DynamicsError> {
    let field = of.field(name);
    let all = values.as_slice();
    if ![1, of.size].contains(&all.len()) {
        let found = format!("[{}]", counted(all.len(), "value"));
        let allowed = format!("one value, or {}: one for each cell", of.size);
        return Err(DynamicsError::config(field, found, allowed));
    }
    for value in all {
        range.check(field.as_str(), *value)?;
    }
    Ok(values)
}

impl SpikeTrain {
    fn check(&self, of: &PopulationConfig) -> Result<(), DynamicsError> {
        let field = |name: &str| of.field(&format!("train.{name}"));
        if self.times.len() != self.cells.len() {
            let found = format!("[{}]", counted(self.cells.len(), "cell"));
            let allowed = format!("as many as `times` has, {}", self.times.len());
            return Err(DynamicsError::config(field("cells"), found, allowed));
        }
        if let Some(period) = self.period {
            Range::Positive.check(field("period"), period)?;
        }
        let end = self.period.unwrap_or(f64::INFINITY);
        let late = |time: &f64| !(time.is_finite() && (0.0..end).contains(time));
        if let Some(at) = self.times.iter().position(late) {
            let allowed = match self.period {
                Some(period) => format!("0 to below period = {period} ms"),
                None => "a finite number of at least 0, ms".to_owned(),
            };
            let name = field(&format!("times.{at}"));
            return Err(DynamicsError::config(name, self.times[at], allowed));
        }
        let is_cell = |cell: &f64| (0.0..of.size as f64).contains(cell) && cell.fract() == 0.0;
        if let Some(at) = self.cells.iter().position(|cell| !is_cell(cell)) {
            let allowed = format!("a whole number from 0 to {}, a cell", of.size - 1);
            let name = field(&format!("cells.{at}"));
            return Err(DynamicsError::config(name, self.cells[at], allowed));
        }
        Ok(())
    }
}
