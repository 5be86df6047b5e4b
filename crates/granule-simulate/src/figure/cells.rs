//! What a configuration says of the cells in a figure.

use std::borrow::Cow;
use std::ops::Range;

use crate::config::ExperimentConfig;
use crate::outcome::{Outcome, Trace};
use granule_dynamics::unit::UnitConfig;

/// The cells whose potential a trace is: their places among all cells, and their settings, of a network none.
pub(super) struct Cells<'a> {
    places: Range<usize>,
    unit: Option<Cow<'a, UnitConfig>>,
}

impl<'a> Cells<'a> {
    /// Of the trace `v`, or `level.v`.
    pub(super) fn of_potential(
        outcome: &Outcome,
        config: &'a ExperimentConfig,
        trace: &Trace,
    ) -> Option<Self> {
        let level = match trace.name.as_str() {
            "v" => None,
            name => Some(name.strip_suffix(".v")?),
        };
        let unit = unit(config, level);
        if unit.is_none() && config.network.is_none() {
            return None;
        }
        let named = |name: &str| {
            let mut groups = outcome.groups.iter();
            Some(groups.find(|group| group.name == name)?.cells.clone())
        };
        let places = match level {
            Some(level) => named(level)?,
            None => 0..outcome.spikes.len(),
        };
        Some(Self { places, unit })
    }

    /// How high the spikes of cells that are reset are drawn, of each cell: to the potential at which a spike is cut; where
    /// the equations have none, as far above the threshold as the reset is below it, or, of cells that go to infinity, half as
    /// far again as what they do between spikes.
    pub(super) fn peak(
        &self,
        config: &ExperimentConfig,
        trace: &Trace,
        column: usize,
    ) -> Option<f64> {
        let parameter = |unit: &UnitConfig, name: &str| {
            let all = unit.parameters();
            let (_, values) = all.into_iter().find(|(info, _)| info.name == name)?;
            let values = values.as_slice();
            values.get(column).or(values.first()).copied()
        };
        let mirrored = |threshold: f64, reset: f64| threshold + (threshold - reset);
        match (self.unit.as_deref(), &config.network) {
            (Some(UnitConfig::Adex(cell)), _) => Some(cell.peak),
            (Some(UnitConfig::Izhikevich(cell)), _) => Some(cell.peak),
            (Some(unit @ UnitConfig::Lif(_)), _) => Some(mirrored(
                parameter(unit, "threshold")?,
                parameter(unit, "reset")?,
            )),
            (Some(UnitConfig::Qif(_)), _) => between_spikes(trace, column).map(|(_, high)| high),
            (None, Some(network)) => Some(mirrored(network.threshold, network.reset)),
            _ => None,
        }
    }

    /// The potential of one cell over time, with its spikes. What goes to infinity and comes back is left out beyond the peak
    /// and its opposite.
    pub(super) fn course(
        &self,
        outcome: &Outcome,
        trace: &Trace,
        (column, peak): (usize, f64),
    ) -> Vec<(f64, f64)> {
        let low = match self.unit.as_deref() {
            Some(UnitConfig::Qif(_)) => between_spikes(trace, column).map(|(low, _)| low),
            _ => None,
        };
        let low = low.unwrap_or(f64::NEG_INFINITY);
        let cell = outcome.spikes.get(self.places.start + column);
        let mut spikes = cell.into_iter().flat_map(|cell| &cell.times).peekable();
        let mut points = Vec::new();
        for (time, value) in outcome.times.iter().zip(trace.column(column)) {
            while let Some(spike) = spikes.next_if(|spike| *spike <= time) {
                points.push((*spike, peak));
                if low.is_finite() {
                    points.push((*spike, low));
                }
            }
            if value >= low && (value <= peak || low.is_infinite()) {
                points.push((*time, value.min(peak)));
            }
        }
        points
    }
}

/// The central nine tenths of what a column does, and half as much on either side.
fn between_spikes(trace: &Trace, column: usize) -> Option<(f64, f64)> {
    let mut values: Vec<f64> = trace.column(column).filter(|x| x.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        values
            .get((share * values.len().checked_sub(1)? as f64) as usize)
            .copied()
    };
    let (low, high) = (at(0.05)?, at(0.95)?);
    let room = 0.5 * (high - low);
    (room > 0.0).then_some((low - room, high + room))
}

fn unit<'a>(config: &'a ExperimentConfig, level: Option<&str>) -> Option<Cow<'a, UnitConfig>> {
    match (level, &config.composite) {
        (None, _) => config.unit.as_ref().map(Cow::Borrowed),
        (Some(name), Some(composite)) => {
            let mut levels = composite.levels.iter();
            let unit = levels.find(|level| level.name == name)?.unit.as_ref();
            unit.map(Cow::Borrowed)
        }
        (Some(name), None) => {
            let mut all = config.populations().iter();
            let own = all.find(|population| population.name == name)?;
            own.neuron(config.seed).map(Cow::Owned)
        }
    }
}

/// What tells one cell of a trace from the next: the first setting of which each has its own, with its unit. Names of
/// parameters are said, that of the current is not.
pub(super) fn swept(config: &ExperimentConfig, trace: &Trace, column: usize) -> Option<String> {
    let level = trace.name.split_once('.').map(|(level, _)| level);
    let unit = unit(config, level)?;
    let own = |values: &[f64]| match values {
        [first, rest @ ..] if rest.iter().any(|x| x != first) => values.get(column).copied(),
        _ => None,
    };
    let with_unit = |value: f64, unit: &str| match unit {
        "1" => number(value),
        unit => format!("{} {unit}", number(value)),
    };
    if let Some(current) = own(unit.current().as_slice()) {
        return Some(with_unit(current, unit.current_unit()));
    }
    let parameters = unit.parameters();
    parameters.into_iter().find_map(|(info, values)| {
        let value = own(values.as_slice())?;
        Some(format!("{} {}", info.name, with_unit(value, info.unit)))
    })
}

/// Without the noise of binary fractions.
fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}
