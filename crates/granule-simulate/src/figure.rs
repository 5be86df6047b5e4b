//! What an outcome looks like.

mod bins;
mod cells;

use cells::{Cells, swept};

use super::config::{ExperimentConfig, FigureKind};
use super::outcome::{Group, Outcome, Trace};
use granule_chart::{Figure, Mark, Panel};

/// Lines in a panel.
const LINES: usize = 7;

/// From here on times are in seconds, ms.
const LONG: f64 = 10_000.0;

/// What the time axis is called, and how many ms one of it has.
struct Axis {
    label: &'static str,
    unit: f64,
}

impl Axis {
    fn until(reached: f64) -> Self {
        if reached >= LONG {
            Self {
                label: "time (s)",
                unit: 1000.0,
            }
        } else {
            Self {
                label: "time (ms)",
                unit: 1.0,
            }
        }
    }
}

impl Outcome {
    /// The figure that the configuration asks for, or the one that suits the model: a raster for networks, traces
    /// for everything else.
    pub fn figure(&self, config: &ExperimentConfig, title: &str) -> Figure {
        let default = if config.network.is_some() || !config.populations().is_empty() {
            FigureKind::Raster
        } else {
            FigureKind::Traces
        };
        match config.figure.unwrap_or(default) {
            FigureKind::FiCurve if config.unit.is_some() => self.fi_curve(config, title),
            FigureKind::Raster if !self.spikes.is_empty() => self.raster(config, title),
            FigureKind::PhasePlane if self.traces.len() > 1 => self.phase_plane(config, title),
            _ => self.traces(config, title),
        }
    }

    fn axis(&self) -> Axis {
        Axis::until(self.reached)
    }

    fn over_time(&self, title: &str) -> Figure {
        let axis = self.axis();
        Figure::new(title, axis.label).x_range(self.from / axis.unit, self.reached / axis.unit)
    }

    fn line(&self, config: &ExperimentConfig, name: &str, trace: &Trace, column: usize) -> Mark {
        let spiking = Cells::of_potential(self, config, trace)
            .and_then(|cells| Some((cells.peak(config, trace, column)?, cells)));
        let mut points: Vec<(f64, f64)> = match spiking {
            Some((peak, cells)) => cells.course(self, trace, (column, peak)),
            None => self
                .times
                .iter()
                .copied()
                .zip(trace.column(column))
                .collect(),
        };
        let unit = self.axis().unit;
        points.iter_mut().for_each(|(time, _)| *time /= unit);
        Mark::line(name, points)
    }

    fn traces(&self, config: &ExperimentConfig, title: &str) -> Figure {
        let mut figure = self.over_time(title);
        let drawn: Vec<&Trace> = if config.composite.is_some() {
            first_of_each_level(&self.traces)
        } else {
            self.traces.iter().filter(|trace| is_drawn(trace)).collect()
        };
        let mut rest = drawn.as_slice();
        while let Some(first) = rest.first() {
            // Single columns of one unit fit into one panel; of many cells, the voltage alone is clear.
            let same = |other: &&Trace| other.unit == first.unit && other.width == 1;
            let count = match first.width {
                1 => rest.iter().take_while(|trace| same(trace)).count(),
                _ => 1,
            };
            let (panel, after) = rest.split_at(count);
            rest = if first.width > 1 && config.unit.is_some() {
                &[]
            } else {
                after
            };
            figure = figure.with(self.panel(config, panel));
        }
        let single = self.stimulus.iter().all(|trace| {
            trace.width == 1 && self.stimulus.first().map(|first| &first.unit) == Some(&trace.unit)
        });
        if let (Some(first), true, 2..) = (self.stimulus.first(), single, self.stimulus.len()) {
            let panel = Panel::new(label("input", &first.unit)).share(0.45);
            return figure.with(self.stimulus.iter().fold(panel, |panel, trace| {
                panel.with(self.line(config, &trace.name, trace, 0))
            }));
        }
        for trace in &self.stimulus {
            let text = label(&trace.name, &trace.unit);
            let (text, columns) = if all_same(trace) {
                (text, vec![0])
            } else {
                let columns = spread(trace.width, LINES);
                (counted(text, columns.len(), trace.width), columns)
            };
            let panel = Panel::new(text).share(0.45);
            figure = figure.with(self.columns(config, panel, trace, &columns));
        }
        figure
    }

    fn panel(&self, config: &ExperimentConfig, traces: &[&Trace]) -> Panel {
        let names: Vec<&str> = traces.iter().map(|trace| trace.name.as_str()).collect();
        let unit = traces.first().map_or("1", |trace| trace.unit.as_str());
        let share = if names.first() == Some(&"v") {
            1.6
        } else {
            1.0
        };
        let text = label(&names.join(", "), unit);
        match traces {
            [one] => {
                let columns = spread(one.width, LINES);
                let panel = Panel::new(counted(text, columns.len(), one.width)).share(share);
                self.columns(config, panel, one, &columns)
            }
            many => many
                .iter()
                .fold(Panel::new(text).share(share), |panel, trace| {
                    panel.with(self.line(config, &trace.name, trace, 0))
                }),
        }
    }

    /// Columns of a trace, with what tells them apart where there are several.
    fn columns(
        &self,
        config: &ExperimentConfig,
        panel: Panel,
        trace: &Trace,
        columns: &[usize],
    ) -> Panel {
        columns.iter().fold(panel, |panel, &column| {
            let name = column_name(config, trace, column, columns.len());
            panel.with(self.line(config, &name, trace, column))
        })
    }

    fn phase_plane(&self, config: &ExperimentConfig, title: &str) -> Figure {
        let (Some(x), Some(y)) = (self.traces.first(), self.traces.get(1)) else {
            return Figure::new(title, "");
        };
        let whole = x.width.min(y.width);
        let columns = spread(whole, LINES);
        let drawn = columns.len();
        let panel = Panel::new(counted(label(&y.name, &y.unit), drawn, whole));
        let panel = columns.into_iter().fold(panel, |panel, column| {
            let points: Vec<_> = x.column(column).zip(y.column(column)).collect();
            panel.with(Mark::line(column_name(config, x, column, drawn), points))
        });
        let figure = Figure::new(title, label(&x.name, &x.unit)).with(panel);
        let low = x.values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = x.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if high > low {
            figure.x_range(low - 0.05 * (high - low), high + 0.05 * (high - low))
        } else {
            figure
        }
    }

    fn fi_curve(&self, config: &ExperimentConfig, title: &str) -> Figure {
        let Some(unit) = &config.unit else {
            return Figure::new(title, "");
        };
        let currents = unit.current().as_slice();
        let rates = self.spikes.iter().map(|cell| cell.rate_hz(self.reached));
        let mut points: Vec<(f64, f64)> = currents.iter().copied().cycle().zip(rates).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let panel = Panel::new("firing rate (Hz)");
        let panel = panel.with(Mark::line("", points.clone()));
        Figure::new(title, label("current", unit.current_unit()))
            .with(panel.with(Mark::points("", points)))
    }

    fn raster(&self, config: &ExperimentConfig, title: &str) -> Figure {
        let unit = self.axis().unit;
        let share = (0.25 * self.spikes.len() as f64).clamp(0.5, 2.0);
        let cells = self
            .groups
            .iter()
            .fold(Panel::new("cell").share(share), |panel, group| {
                let own = self.spikes.get(group.cells.clone()).unwrap_or_default();
                let rows = own
                    .iter()
                    .map(|cell| cell.times.iter().map(|time| time / unit).collect());
                panel.with(Mark::raster(&group.name, group.cells.start, rows.collect()))
            });
        let bin = config.rate_bin.unwrap_or_else(|| {
            let all = self.spikes.iter().flat_map(|cell| &cell.times);
            bins::width(&all.copied().collect::<Vec<_>>(), self.recorded())
        });
        let text = format!("in bins of {bin} ms");
        let rates = self.groups.iter().fold(
            Panel::new("rate (Hz)").note(text).share(0.8),
            |panel, group| {
                let points = self.rate(group, bin).into_iter();
                panel.with(Mark::line(
                    &group.name,
                    points.map(|(time, rate)| (time / unit, rate)).collect(),
                ))
            },
        );
        let figure = self.over_time(title).with(cells).with(rates);
        let voltage = |trace: &&Trace| trace.name == "v" || trace.name.ends_with(".v");
        match self.traces.iter().find(voltage) {
            Some(trace) => {
                let columns = spread(trace.width, 2);
                let text = counted(label(&trace.name, &trace.unit), columns.len(), trace.width);
                figure.with(self.columns(config, Panel::new(text).share(0.8), trace, &columns))
            }
            None => figure,
        }
    }

    /// The rate of a group of cells in bins; the last one may be shorter.
    fn rate(&self, group: &Group, bin: f64) -> Vec<(f64, f64)> {
        let bins = (self.recorded() / bin * (1.0 - 1e-9)).ceil().max(1.0) as usize;
        let mut counts = vec![0usize; bins];
        let spikes = self.spikes.get(group.cells.clone()).unwrap_or_default();
        for time in spikes.iter().flat_map(|cell| &cell.times) {
            counts[(((time - self.from) / bin) as usize).min(bins - 1)] += 1;
        }
        let points = counts.into_iter().enumerate();
        points
            .map(|(index, count)| {
                let from = self.from + index as f64 * bin;
                let width = bin.min(self.reached - from);
                let per = 1000.0 / (width * group.cells.len().max(1) as f64);
                (from + 0.5 * width, count as f64 * per)
            })
            .collect()
    }
}

/// Spikes show in the voltage.
fn is_drawn(trace: &Trace) -> bool {
    trace.name != "spike"
}

fn first_of_each_level(traces: &[Trace]) -> Vec<&Trace> {
    let level = |trace: &Trace| trace.name.split('.').next().map(str::to_owned);
    let mut seen = Vec::new();
    let mut first = Vec::new();
    for trace in traces {
        let level = level(trace);
        if !seen.contains(&level) {
            seen.push(level);
            first.push(trace);
        }
    }
    first
}

/// What is swept, or `[0]`, `[1]`, …; nothing for a single one.
fn column_name(config: &ExperimentConfig, trace: &Trace, column: usize, drawn: usize) -> String {
    match drawn {
        0 | 1 => String::new(),
        _ if column < trace.labels.len() => trace.labels[column].clone(),
        _ => swept(config, trace, column).unwrap_or_else(|| format!("[{column}]")),
    }
}

/// At most `most` of `width` columns, from the first to the last at the same distances.
fn spread(width: usize, most: usize) -> Vec<usize> {
    let count = width.min(most);
    let last = count.saturating_sub(1).max(1);
    let place = |n: usize| (n * width.saturating_sub(1) + last / 2) / last;
    (0..count).map(place).collect()
}

fn all_same(trace: &Trace) -> bool {
    let mut rows = trace.values.chunks_exact(trace.width.max(1));
    rows.all(|row| row.iter().all(|x| Some(x) == row.first()))
}

/// Says how many columns are drawn, where that is not all of them.
fn counted(label: String, drawn: usize, all: usize) -> String {
    if drawn < all {
        format!("{label} ({drawn} of {all})")
    } else {
        label
    }
}

pub(crate) fn label(name: &str, unit: &str) -> String {
    match unit {
        "1" => name.into(),
        unit => format!("{name} ({unit})"),
    }
}
