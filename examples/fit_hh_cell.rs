//! The three conductances of a Hodgkin–Huxley cell from its voltage traces: a hidden cell answers four currents, and the
//! gradient through the simulation leads a cell with other conductances to give the same answers.
//!
//! `cargo run --release -p granule-dynamics --example fit_hh_cell`

use std::sync::Arc;

use burn::optim::AdamConfig;
use burn::tensor::Tensor;
use granule_device::DeviceSpec;
use granule_dynamics::gradient::{Memory, RecordedSteps, Run, gradient_again};
use granule_dynamics::random::NormalNoise;
use granule_dynamics::solver::ExponentialEuler;
use granule_dynamics::unit::{Cells, HodgkinHuxleyConfig};
use granule_dynamics::{ConstantInput, DynamicsError, Grid, Model, Place, record};

const NAMES: [&str; 3] = ["g_na", "g_k", "g_l"];
const HIDDEN: [f64; 3] = [105.0, 42.0, 0.4];
const START: [f64; 3] = [140.0, 30.0, 0.2];
/// µA/cm²: one below rest, one below threshold, two above it.
const CURRENTS: [f64; 4] = [-5.0, 2.0, 10.0, 25.0];
/// Of the recording electrode, mV.
const NOISE: f64 = 0.5;
const ITERATIONS: usize = 120;

fn main() -> std::process::ExitCode {
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let device = DeviceSpec::Flex.open()?.burn().clone();
    let place = Place::f64(&device.autodiff());
    let currents = ConstantInput(place.tensor(CURRENTS.to_vec(), [CURRENTS.len(), 1]));
    let grid = Grid::over(12.0, 0.1)?;

    let hidden = cell(HIDDEN, &place)?;
    let start = hidden.initial_state(CURRENTS.len())?;
    let (trace, _) = record(&hidden.dynamics()?, start, &currents, &grid)?;
    let trace = trace.without_autodiff();
    let noise = NormalNoise::new(1, 0).values(0, trace.shape().num_elements());
    let measured = trace.clone() + Place::of(&trace).tensor(noise, trace.dims()) * NOISE;

    let mut fitted = cell(START, &place)?;
    let mut adam = AdamConfig::new().init();
    let mut steps = RecordedSteps::default();
    for iteration in 0..ITERATIONS {
        let measured = measured.clone().autodiff();
        // Far from a spike's time its height says nothing about the direction: large errors count linearly.
        let loss = |seen: Tensor<3>| {
            let error = seen - measured;
            ((error.powi_scalar(2) + 1.0).sqrt() - 1.0).mean()
        };
        let run = Run {
            initial: None,
            batch: CURRENTS.len(),
            input: &currents,
            grid: &grid,
            every: 1,
            memory: &Memory::Full,
        };
        let step = gradient_again(&fitted, &run, loss, &mut steps)?;
        if iteration % 20 == 0 {
            let [na, k, l] = conductances(&fitted)?;
            println!(
                "{iteration:4}: error {:7.3} mV, g_na {na:7.2}, g_k {k:6.2}, g_l {l:6.3}",
                step.loss
            );
        }
        let rate = 0.05 * 0.05_f64.powf(iteration as f64 / ITERATIONS as f64);
        fitted = adam.step(rate, fitted, step.parameters);
    }

    println!("\n        hidden   start  fitted   error (conductances in mS/cm²)");
    for (((name, hidden), start), fitted) in NAMES
        .iter()
        .zip(HIDDEN)
        .zip(START)
        .zip(conductances(&fitted)?)
    {
        let error = 100.0 * (fitted / hidden - 1.0);
        println!("{name:<6} {hidden:7.2} {start:7.2} {fitted:7.2} {error:+6.2} %");
    }
    Ok(())
}

/// A cell whose conductances can be trained.
fn cell(conductances: [f64; 3], place: &Place) -> Result<Cells, DynamicsError> {
    let mut config = HodgkinHuxleyConfig::default();
    for (name, value) in NAMES.into_iter().zip(conductances) {
        config.parameters.set(name, value)?;
    }
    config.trainable = NAMES.map(String::from).to_vec();
    config.init(Arc::new(ExponentialEuler), place)
}

fn conductances(cell: &Cells) -> Result<[f64; 3], DynamicsError> {
    let mut found = [0.0; 3];
    for (found, name) in found.iter_mut().zip(NAMES) {
        if let Some(parameter) = cell.parameter(name) {
            *found = parameter.values()?[0];
        }
    }
    Ok(found)
}
