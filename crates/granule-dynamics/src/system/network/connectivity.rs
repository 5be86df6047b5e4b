use burn::tensor::{Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::setting::Range;
use crate::system::linear::check_matrix;
use crate::{DynamicsError, Place};
use granule_io::words::Number;

/// How long a network's links take, in ms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Delays {
    /// No time.
    #[default]
    None,
    /// The same time everywhere.
    Uniform(f64),
    /// One for each link, in the layout of the weights.
    Matrix(Vec<Vec<f64>>),
    /// Length/speed.
    Distances {
        /// The links' lengths (mm), in the layout of the weights.
        lengths: Vec<Vec<f64>>,
        /// The speed of conduction (mm/ms, that is, m/s).
        #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
        speed: f64,
    },
}

impl Delays {
    /// The delay of the link from node j to node i.
    fn of(&self, i: usize, j: usize) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Uniform(delay) => *delay,
            Self::Matrix(delays) => delays[i][j],
            Self::Distances { lengths, speed } => lengths[i][j] / speed,
        }
    }

    /// The setting that the delay of the link from node j to node i is from, its value, and the delay as
    /// a subject.
    fn written(&self, i: usize, j: usize) -> (String, f64, String) {
        let link = format!("from node {j} to node {i}");
        let delay = self.of(i, j);
        match self {
            Self::None | Self::Uniform(_) => ("delays.uniform".to_owned(), delay, "it".to_owned()),
            Self::Matrix(_) => {
                let field = format!("delays.matrix[{i}][{j}]");
                (field, delay, format!("the delay {link}"))
            }
            Self::Distances { lengths, speed } => {
                let length = lengths[i][j];
                let field = format!("delays.distances.lengths[{i}][{j}]");
                let delay = format!(
                    "the delay {link}, {length} mm / {speed} mm/ms = {} ms,",
                    Number(delay)
                );
                (field, length, delay)
            }
        }
    }

    fn validate(&self, nodes: usize) -> Result<(), DynamicsError> {
        let (name, matrix) = match self {
            Self::None => return Ok(()),
            Self::Uniform(delay) => {
                return if delay.is_finite() && *delay >= 0.0 {
                    Ok(())
                } else {
                    Err(DynamicsError::config("delays.uniform", delay, "at least 0"))
                };
            }
            Self::Matrix(delays) => ("delays.matrix", delays),
            Self::Distances { lengths, speed } => {
                Range::Positive.check("delays.distances.speed", *speed)?;
                ("delays.distances.lengths", lengths)
            }
        };
        check_matrix(name, matrix, nodes, Some(nodes))?;
        for (i, row) in matrix.iter().enumerate() {
            if let Some(j) = row.iter().position(|value| *value < 0.0) {
                return Err(DynamicsError::config(
                    format!("{name}[{i}][{j}]"),
                    row[j],
                    "at least 0",
                ));
            }
        }
        Ok(())
    }
}

/// How far a delay may be from a multiple of dt to count as one, in steps.
const SNAP: f64 = 1e-9;

/// The longest delay in steps: each holds a tensor.
const LONGEST: f64 = 1e5;

/// The links of a network, row by row.
#[derive(Clone, Debug)]
pub(super) struct Links {
    pub nodes: usize,
    /// The weights that are not 0.
    pub weights: Vec<f64>,
    /// How many steps back the activity is needed.
    pub history: usize,
    /// Their places in the matrix, i·nodes + j.
    places: Vec<usize>,
    /// Their delays in steps.
    lags: Vec<f64>,
}

impl Links {
    pub fn new(weights: &[Vec<f64>], delays: &Delays, dt: f64) -> Result<Self, DynamicsError> {
        let nodes = weights.len();
        check_matrix("weights", weights, nodes, Some(nodes))?;
        delays.validate(nodes)?;
        let flat = weights.concat().into_iter().enumerate();
        let (places, weights): (Vec<usize>, Vec<f64>) =
            flat.filter(|(_, weight)| *weight != 0.0).unzip();
        if places.is_empty() {
            return Err(DynamicsError::config(
                "weights",
                "0 everywhere",
                "at least one link",
            ));
        }
        let mut lags = Vec::with_capacity(places.len());
        for place in &places {
            let (i, j) = (place / nodes, place % nodes);
            let delay = delays.of(i, j);
            let lag = delay / dt;
            let lag = if (lag - lag.round()).abs() < SNAP * lag.max(1.0) {
                lag.round()
            } else {
                lag
            };
            if lag != 0.0 && lag < 1.0 {
                let (field, value, delay) = delays.written(i, j);
                let allowed = format!("{delay} must be 0 or at least dt = {dt} ms");
                return Err(DynamicsError::config(field, value, allowed));
            }
            lags.push(lag);
        }
        let all = places.iter().zip(&lags);
        let longest = all.max_by(|(_, one), (_, other)| one.total_cmp(other));
        let (place, history) = longest.map_or((0, 0.0), |(place, lag)| (*place, lag.ceil()));
        if history > LONGEST {
            let (field, value, delay) = delays.written(place / nodes, place % nodes);
            let most = Number(LONGEST * dt);
            let allowed = format!("{delay} must be at most {most} ms, {LONGEST} steps of dt");
            return Err(DynamicsError::config(field, value, allowed));
        }
        Ok(Self {
            nodes,
            weights,
            history: history as usize,
            places,
            lags,
        })
    }

    /// The values of the links, `[1, links]`, as a matrix `[nodes, nodes]`.
    pub fn dense(&self, values: Tensor<2>) -> Tensor<2> {
        let place = Place::of(&values);
        let mut index = vec![0_i64; self.nodes * self.nodes];
        let mut linked = vec![0.0; self.nodes * self.nodes];
        for (link, at) in self.places.iter().enumerate() {
            index[*at] = link as i64;
            linked[*at] = 1.0;
        }
        let size = [index.len()];
        let index: Tensor<1, Int> = Tensor::from_data(TensorData::new(index, size), &place.device);
        let linked = place.tensor(linked, [1, size[0]]);
        (values.select(1, index) * linked).reshape([self.nodes, self.nodes])
    }

    /// 1 for the links without delay, `[nodes, nodes]` as the weights; `None` where there is no such link.
    pub fn instant(&self) -> Option<Vec<f64>> {
        let mut mask = vec![0.0; self.nodes * self.nodes];
        let links = self.places.iter().zip(&self.lags);
        let mut instant = links
            .filter(|(_, lag)| **lag == 0.0)
            .map(|(at, _)| mask[*at] = 1.0);
        instant.next()?;
        instant.for_each(drop);
        Some(mask)
    }

    /// The steps back at which some delayed link needs the activity at the beginning or the end of a step, rising; and, for
    /// each of them, how much it counts: `[slots, from, 2, to]`, first for the beginning, then for the end.
    pub fn delayed(&self) -> (Vec<usize>, Vec<f64>) {
        let mut terms = Vec::new();
        for (at, lag) in self
            .places
            .iter()
            .zip(&self.lags)
            .filter(|(_, lag)| **lag > 0.0)
        {
            for (end, lag) in [(0, *lag), (1, lag - 1.0)] {
                let (whole, part) = (lag.floor() as usize, lag.fract());
                terms.push((*at, end, whole, 1.0 - part));
                if part > 0.0 {
                    terms.push((*at, end, whole + 1, part));
                }
            }
        }
        let mut slots: Vec<usize> = terms.iter().map(|(_, _, slot, _)| *slot).collect();
        slots.sort_unstable();
        slots.dedup();
        let n = self.nodes;
        let mut shares = vec![0.0; slots.len() * n * 2 * n];
        for (at, end, slot, share) in terms {
            let (i, j) = (at / n, at % n);
            let row = slots.partition_point(|other| *other < slot);
            shares[((row * n + j) * 2 + end) * n + i] += share;
        }
        (slots, shares)
    }
}
