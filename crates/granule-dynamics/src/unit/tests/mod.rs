//! Cells against the numbers of `REFERENCE.md`, sections 1 and 2, and independent solutions.

#[cfg(feature = "autodiff")]
mod channels;
mod configuration;
#[cfg(feature = "autodiff")]
mod fused;
#[cfg(feature = "autodiff")]
mod gradients;
mod hodgkin_huxley;
mod others;
mod precision;
mod published;

use std::ops::ControlFlow;
use std::sync::Arc;

use super::*;
use crate::solver::Solver;
use crate::{DynamicsError, Grid, Input, Model, NoInput, Place, host, simulate};

/// A population of cells at the given currents, one each.
fn population<K: CellKind>(currents: &[f64]) -> CellConfig<K> {
    CellConfig {
        cells: currents.len(),
        current: currents.to_vec().into(),
        ..CellConfig::default()
    }
}

/// The voltages after every step and at the beginning, `[steps + 1][cells]`, with their times.
fn trace(
    cells: &Cells,
    input: &dyn Input,
    dt: f64,
    steps: usize,
) -> Result<(Vec<f64>, Vec<Vec<f64>>), DynamicsError> {
    let grid = Grid::Uniform {
        start: 0.0,
        dt,
        steps,
    };
    let (mut times, mut voltages) = (Vec::new(), Vec::new());
    let start = cells.initial_state(1)?;
    simulate(&cells.dynamics()?, start, input, &grid, |_, time, state| {
        times.push(time);
        voltages.push(state[0].clone());
        ControlFlow::Continue(())
    })?;
    let width = cells.len();
    let all = host(burn::tensor::Tensor::cat(voltages, 0))?;
    Ok((times, all.chunks(width).map(<[f64]>::to_vec).collect()))
}

/// The voltages at the end of a run.
fn last<K: CellKind>(
    config: &CellConfig<K>,
    solver: impl Solver + 'static,
    place: &Place,
    dt: f64,
    duration: f64,
) -> Vec<f64> {
    let cells = config.init(Arc::new(solver), place).unwrap();
    let steps = (duration / dt).round() as usize;
    let (_, voltages) = trace(&cells, &NoInput, dt, steps).unwrap();
    voltages.last().unwrap().clone()
}

/// The spikes of each cell.
fn fire<K: CellKind>(
    config: &CellConfig<K>,
    solver: impl Solver + 'static,
    place: &Place,
    dt: f64,
    duration: f64,
) -> Vec<Spikes> {
    let cells = config.init(Arc::new(solver), place).unwrap();
    let mut detector = SpikeDetector::new(config.spike_threshold);
    let grid = Grid::over(duration, dt).unwrap();
    let (dynamics, start) = (cells.dynamics().unwrap(), cells.initial_state(1).unwrap());
    simulate(&dynamics, start, &NoInput, &grid, |_, time, state| {
        detector.push(time, &state[0]);
        ControlFlow::Continue(())
    })
    .unwrap();
    detector.finish().unwrap()
}
