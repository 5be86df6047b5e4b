//! Figures: panels one above another.

/// A figure that could not be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChartError {
    /// A figure without a finite point.
    #[error(
        "there is nothing to plot in \"{panel}\": it has no finite value, or on a logarithmic axis none above 0"
    )]
    Empty {
        /// The panel's label.
        panel: String,
    },
    /// A size that leaves no room for the axes.
    #[error(
        "a figure of {width} × {height} pixels is too small for its axes; take at least {least_width} × {least_height}"
    )]
    Size {
        /// As asked for.
        width: u32,
        /// As asked for.
        height: u32,
        /// The least that is drawn.
        least_width: u32,
        /// The least that is drawn.
        least_height: u32,
    },
    /// A resolution that needs too much memory.
    #[error(
        "{width} × {height} pixels are more than {most}, the most that are drawn; take a lower resolution"
    )]
    Pixels {
        /// As asked for.
        width: u32,
        /// As asked for.
        height: u32,
        /// The most that are drawn.
        most: u64,
    },
    /// It needs more memory than there is.
    #[error(transparent)]
    Memory(#[from] granule_io::MemoryError),
    /// The drawing library refused.
    #[error("the figure could not be drawn: {reason}")]
    Draw {
        /// What it said.
        reason: String,
    },
}

/// Panels one above another with one x axis.
#[derive(Clone, Debug)]
pub struct Figure {
    pub(crate) title: String,
    pub(crate) x: String,
    pub(crate) x_range: Option<(f64, f64)>,
    pub(crate) logarithmic: bool,
    pub(crate) panels: Vec<Panel>,
}

impl Figure {
    /// A figure without panels.
    pub fn new(title: impl Into<String>, x: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            x: x.into(),
            x_range: None,
            logarithmic: false,
            panels: Vec::new(),
        }
    }

    /// Adds a panel below the others.
    #[must_use]
    pub fn with(mut self, panel: Panel) -> Self {
        self.panels.push(panel);
        self
    }

    /// Makes the x axis logarithmic: only points above 0 are shown.
    #[must_use]
    pub fn logarithmic(mut self) -> Self {
        self.logarithmic = true;
        self
    }

    /// Fixes the extent of the x axis, otherwise that of the data.
    #[must_use]
    pub fn x_range(mut self, low: f64, high: f64) -> Self {
        self.x_range = Some((low, high));
        self
    }
}

/// One coordinate system.
#[derive(Clone, Debug)]
pub struct Panel {
    pub(crate) y: String,
    pub(crate) note: String,
    pub(crate) y_range: Option<(f64, f64)>,
    pub(crate) logarithmic: bool,
    pub(crate) share: f64,
    pub(crate) marks: Vec<Mark>,
}

impl Panel {
    /// An empty panel with the label of its y axis.
    pub fn new(y: impl Into<String>) -> Self {
        Self {
            y: y.into(),
            note: String::new(),
            y_range: None,
            logarithmic: false,
            share: 1.0,
            marks: Vec::new(),
        }
    }

    /// Adds what is drawn; later marks cover earlier ones.
    #[must_use]
    pub fn with(mut self, mark: Mark) -> Self {
        self.marks.push(mark);
        self
    }

    /// Says something above the panel, at its left; the first panel has the title there.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.note = text.into();
        self
    }

    /// Makes the y axis logarithmic: only points above 0 are shown.
    #[must_use]
    pub fn logarithmic(mut self) -> Self {
        self.logarithmic = true;
        self
    }

    /// Fixes the extent of the y axis, otherwise that of the data.
    #[must_use]
    pub fn y_range(mut self, low: f64, high: f64) -> Self {
        self.y_range = Some((low, high));
        self
    }

    /// Whether its marks reach from one end of the y axis to the other.
    pub(crate) fn is_filled(&self) -> bool {
        self.is_raster()
            || self
                .marks
                .iter()
                .any(|mark| matches!(mark, Mark::Map { .. }))
    }

    pub(crate) fn is_raster(&self) -> bool {
        self.rasters() > 0
    }

    pub(crate) fn rasters(&self) -> usize {
        let marks = self.marks.iter();
        marks
            .filter(|mark| matches!(mark, Mark::Raster { .. }))
            .count()
    }

    /// The panel's height relative to the others'. Default 1.
    #[must_use]
    pub fn share(mut self, share: f64) -> Self {
        self.share = share.clamp(0.05, 20.0);
        self
    }
}

/// What a panel shows. Points that are not finite leave a gap.
#[derive(Clone, Debug)]
pub enum Mark {
    /// Points joined by a line. Lines with a name are explained in a legend.
    Line {
        /// For the legend; empty for none.
        name: String,
        /// x and y.
        points: Vec<(f64, f64)>,
    },
    /// Points by themselves.
    Points {
        /// For the legend; empty for none.
        name: String,
        /// x and y.
        points: Vec<(f64, f64)>,
    },
    /// A tick for each spike, one row for each cell, the first at the bottom. Several in a panel have a colour each.
    Raster {
        /// For the legend; empty for none.
        name: String,
        /// The row of the first cell, counted from the bottom.
        first: usize,
        /// The spike times of each cell.
        cells: Vec<Vec<f64>>,
    },
    /// A rectangle for each pair of two coordinates, in the colour of its value, from the least to the largest; none where
    /// the value is not finite.
    Map {
        /// What the values are, for the legend.
        name: String,
        /// Where columns of rectangles begin and end, rising.
        x: Vec<f64>,
        /// Where rows begin and end, rising.
        y: Vec<f64>,
        /// Column by column, each from the bottom.
        values: Vec<f64>,
    },
    /// A thin line across the panel, for a threshold or a resting value.
    Level {
        /// The height.
        y: f64,
    },
}

impl Mark {
    /// Points joined by a line.
    pub fn line(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self::Line {
            name: name.into(),
            points,
        }
    }

    /// Points by themselves.
    pub fn points(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self::Points {
            name: name.into(),
            points,
        }
    }

    /// The spikes of cells from the row `first` on.
    pub fn raster(name: impl Into<String>, first: usize, cells: Vec<Vec<f64>>) -> Self {
        Self::Raster {
            name: name.into(),
            first,
            cells,
        }
    }

    /// A map of `values` at every pair of an `x` and a `y`, which vary in this order, the latter fastest. Rectangles meet in the middle
    /// between two places.
    pub fn map(name: impl Into<String>, x: &[f64], y: &[f64], values: &[f64]) -> Self {
        let order = |places: &[f64]| {
            let mut order: Vec<usize> = (0..places.len()).collect();
            order.sort_by(|a, b| places[*a].total_cmp(&places[*b]));
            order
        };
        let (columns, rows) = (order(x), order(y));
        let at = |column: usize, row: usize| values.get(column * y.len() + row).copied();
        let inside = columns
            .iter()
            .flat_map(|column| rows.iter().map(move |row| (*column, *row)));
        Self::Map {
            name: name.into(),
            values: inside
                .map(|(column, row)| at(column, row).unwrap_or(f64::NAN))
                .collect(),
            x: edges(columns.iter().map(|place| x[*place]).collect()),
            y: edges(rows.iter().map(|place| y[*place]).collect()),
        }
    }

    /// Every finite point that must be seen.
    pub(crate) fn extent(&self) -> Box<dyn Iterator<Item = (f64, f64)> + '_> {
        match self {
            Self::Line { points, .. } | Self::Points { points, .. } => Box::new(
                points
                    .iter()
                    .copied()
                    .filter(|(x, y)| x.is_finite() && y.is_finite()),
            ),
            Self::Raster { first, cells, .. } => {
                Box::new(cells.iter().enumerate().flat_map(move |(row, times)| {
                    let row = first + row;
                    let at = move |time: f64| (time, row as f64);
                    let ends = [(f64::NAN, row as f64 - 0.5), (f64::NAN, row as f64 + 0.5)];
                    times
                        .iter()
                        .copied()
                        .filter(|t| t.is_finite())
                        .map(at)
                        .chain(ends)
                }))
            }
            Self::Map { x, y, .. } => {
                let ends = |all: &[f64]| [all.first(), all.last()].map(|end| end.copied());
                let [[left, right], [low, high]] = [ends(x), ends(y)];
                let corners = left.zip(low).into_iter().chain(right.zip(high));
                Box::new(corners)
            }
            Self::Level { y } => Box::new(std::iter::once((f64::NAN, *y))),
        }
    }
}

/// From where to where each of some rising places reaches: to the middle between two, and as far on the other side of the first and the
/// last.
fn edges(places: Vec<f64>) -> Vec<f64> {
    let middle = |pair: &[f64]| 0.5 * (pair[0] + pair[1]);
    let mut edges: Vec<f64> = places.windows(2).map(middle).collect();
    let (Some(first), Some(last)) = (places.first(), places.last()) else {
        return edges;
    };
    let half = |edge: Option<&f64>, place: f64| edge.map_or(0.5, |edge| (edge - place).abs());
    let (before, after) = (half(edges.first(), *first), half(edges.last(), *last));
    edges.insert(0, first - before);
    edges.push(last + after);
    edges
}
