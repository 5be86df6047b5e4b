use super::stream::in_order;
use granule_dynamics::DynamicsError;
use granule_dynamics::unit::{SiteDistances, SpikeStatistics, Spikes};

/// A recorded quantity.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// The variable's name.
    pub name: String,
    /// Its unit; `1` where there is none.
    pub unit: String,
    /// The number of columns: cells, units or nodes.
    pub width: usize,
    /// `[times, width]`, row-major.
    pub values: Vec<f64>,
    /// What the columns are called, as `soma(0.5)`; empty where they have numbers only.
    pub labels: Vec<String>,
}

impl Trace {
    /// One column over time.
    pub fn column(&self, column: usize) -> impl Iterator<Item = f64> {
        let values = self.values.iter().skip(column);
        values.step_by(self.width.max(1)).copied()
    }
}

/// What is known of a recorded quantity where its samples are not kept, over all columns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TraceStatistics {
    sum: f64,
    count: usize,
    /// The least value; ∞ of none.
    pub lowest: f64,
    /// The largest value; −∞ of none.
    pub highest: f64,
}

impl Default for TraceStatistics {
    fn default() -> Self {
        Self {
            sum: 0.0,
            count: 0,
            lowest: f64::INFINITY,
            highest: f64::NEG_INFINITY,
        }
    }
}

impl TraceStatistics {
    pub(crate) fn add(&mut self, values: &[f64]) {
        self.count += values.len();
        for value in values {
            self.sum += value;
            self.lowest = self.lowest.min(*value);
            self.highest = self.highest.max(*value);
        }
    }

    /// The mean; 0 of none.
    pub fn mean(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }
}

/// What is known of a run whether or not it kept its record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Of each recorded variable.
    pub traces: Vec<TraceStatistics>,
    /// Of each cell; empty for models without spikes.
    pub spikes: Vec<SpikeStatistics>,
}

/// Cells that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What they are called.
    pub name: String,
    /// Their place in the order of the cells.
    pub cells: std::ops::Range<usize>,
}

/// What became of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The time from which on it was recorded, ms.
    pub from: f64,
    /// How far it came, ms.
    pub reached: f64,
    /// Whether it came to its end.
    pub complete: bool,
    /// The instants of the traces, ms; none of a run whose record was [handed on](crate::Experiment::run_into).
    pub times: Vec<f64>,
    /// The recorded variables, as many samples as there are instants.
    pub traces: Vec<Trace>,
    /// The channels of the input; each sample is what the step after it gets.
    pub stimulus: Vec<Trace>,
    /// The spikes of each cell; empty for models without, and where they were handed on.
    pub spikes: Vec<Spikes>,
    /// What is known of traces and spikes in any case.
    pub statistics: Statistics,
    /// The last state: every variable with all its columns.
    pub last: Vec<Trace>,
    /// Groups of cells.
    pub groups: Vec<Group>,
    /// How far each site of a cell that is recorded at several is from all of them; else empty.
    pub distances: Vec<SiteDistances>,
    /// The method, or `exact`, or `by level`.
    pub solver: String,
    /// Where many steps were taken in a call, of how many operations each is made.
    pub operations: Option<usize>,
    /// What may be wrong with it, one sentence each.
    pub warnings: Vec<String>,
}

/// What was recorded from a time on.
pub(crate) struct Later {
    pub(crate) times: Vec<f64>,
    pub(crate) traces: Vec<Trace>,
}

impl Later {
    /// The variable of this name.
    pub(crate) fn trace(&self, name: &str) -> Result<&Trace, DynamicsError> {
        let found = self.traces.iter().find(|trace| trace.name == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = self
                .traces
                .iter()
                .map(|trace| trace.name.as_str())
                .collect();
            DynamicsError::config("variable", name, names.join(", "))
        })
    }
}

/// The share of a run that is left out at its beginning, where nothing else is asked for.
const TRANSIENT: f64 = 0.2;

impl Outcome {
    /// The time from which on a run is looked at: `from`; else where its record begins, or after a fifth of it.
    pub(crate) fn transient(&self, from: Option<f64>) -> Result<f64, DynamicsError> {
        match from {
            None if self.from > 0.0 => Ok(self.from),
            None => Ok(TRANSIENT * self.reached),
            Some(from) if from >= self.from && from < self.reached => Ok(from),
            Some(from) => {
                let allowed = format!("{} to less than {} ms", self.from, self.reached);
                Err(DynamicsError::config("from", from, allowed))
            }
        }
    }

    /// What was recorded from then on.
    pub(crate) fn later(&self, from: Option<f64>) -> Result<Later, DynamicsError> {
        let from = self.transient(from)?;
        let first = self.times.partition_point(|time| *time < from);
        let traces = self.traces.iter().map(|trace| Trace {
            values: trace.values[first * trace.width..].to_vec(),
            ..trace.clone()
        });
        Ok(Later {
            times: self.times[first..].to_vec(),
            traces: traces.collect(),
        })
    }

    /// Every column of every trace, one after the other.
    pub(crate) fn all_columns(&self) -> Vec<Vec<f64>> {
        let traces = self.traces.iter();
        traces
            .flat_map(|trace| (0..trace.width).map(|column| trace.column(column).collect()))
            .collect()
    }

    /// How long it was recorded, ms.
    pub fn recorded(&self) -> f64 {
        (self.reached - self.from).max(0.0)
    }

    /// Times, ms, and cells of all spikes that were kept, in the order of time, those of one time by cell.
    pub fn spikes_in_order(&self) -> Vec<(f64, usize)> {
        let cells = self.spikes.iter().enumerate();
        let mut all: Vec<(f64, usize)> = cells
            .flat_map(|(cell, spikes)| spikes.times.iter().map(move |time| (*time, cell)))
            .collect();
        in_order(&mut all);
        all
    }

    /// The mean rate of a group of cells over what was recorded, Hz.
    pub fn mean_rate_hz(&self, group: &Group) -> f64 {
        let spikes = self.statistics.spikes.get(group.cells.clone());
        let spikes = spikes.unwrap_or_default().iter();
        let count: usize = spikes.map(SpikeStatistics::count).sum();
        let time = self.recorded() * group.cells.len() as f64;
        if time > 0.0 {
            1000.0 * count as f64 / time
        } else {
            0.0
        }
    }

    /// How fast the first spike goes from one site of a cell to another, m/s, and which they are: of those that spike by
    /// themselves the two that are farthest apart along one way from where the currents enter. None where no two are: between
    /// two branches of a fork the times of a spike that ran into both say nothing of its speed.
    pub fn conduction_velocity(&self) -> Option<(f64, [usize; 2])> {
        let at = |site: usize| Some(self.statistics.spikes.get(site)?.ends()?[0]);
        let spikes = |site: &usize| self.distances[*site].spikes && at(*site).is_some();
        let sites: Vec<usize> = (0..self.distances.len()).filter(spikes).collect();
        let mut farthest: Option<(f64, [usize; 2])> = None;
        for (place, &first) in sites.iter().enumerate() {
            let own = &self.distances[first];
            for &last in &sites[place + 1..] {
                let apart = own.to[last];
                if own.in_line[last] && farthest.is_none_or(|(most, _)| apart > most) {
                    farthest = Some((apart, [first, last]));
                }
            }
        }
        let (distance, [first, last]) = farthest?;
        let time = at(last)? - at(first)?;
        let ends = if time > 0.0 {
            [first, last]
        } else {
            [last, first]
        };
        (distance > 0.0 && time != 0.0).then_some((1e-3 * distance / time.abs(), ends))
    }

    /// The mean coefficient of variation of the intervals between spikes, over the cells with at least three spikes; 0
    /// is clockwork, 1 is Poisson.
    pub fn interval_variation(&self) -> Option<f64> {
        let cells = self.statistics.spikes.iter();
        let variations: Vec<f64> = cells
            .filter_map(SpikeStatistics::interval_variation)
            .collect();
        let count = variations.len() as f64;
        (!variations.is_empty()).then(|| variations.iter().sum::<f64>() / count)
    }
}
