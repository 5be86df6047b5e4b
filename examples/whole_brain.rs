//! A brain of 90 areas with delays between them: its noisy rest as BOLD, how functional follows structural connectivity,
//! and the strength of the coupling found again from activity by gradient (Deco et al. 2013,
//! <https://doi.org/10.1523/JNEUROSCI.1091-13.2013>). The connectome is synthetic.
//!
//! `cargo run --release -p granule-dynamics --example whole_brain`

use std::ops::ControlFlow;
use std::time::Instant;

use burn::optim::AdamConfig;
use burn::tensor::Tensor;
use granule_device::DeviceSpec;
use granule_dynamics::gradient::{Memory, Run, gradient};
use granule_dynamics::solver::{Heun, StochasticHeun};
use granule_dynamics::system::{
    BalloonWindkesselConfig, Delays, NetworkConfig, ReducedWongWangConfig, WithBold,
};
use granule_dynamics::{
    Dynamics, DynamicsError, Grid, Model, NoInput, NormalNoise, Place, host, record, simulate,
};

const AREAS: usize = 90;
/// A little below what leaves only the state of high activity.
const STRENGTH: f64 = 0.75;

/// Weights that fall with distance, with a sum of 1 to each area, and the distances (mm).
fn connectome() -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let draws = NormalNoise::new(1, 0).values(0, 3 * AREAS);
    let position = |area: usize| [0, 1, 2].map(|axis| 30.0 * draws[3 * area + axis]);
    let distance = |i: usize, j: usize| {
        let (a, b) = (position(i), position(j));
        let square: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
        square.sqrt().max(12.0)
    };
    let matrix = |f: &dyn Fn(usize, usize) -> f64| -> Vec<Vec<f64>> {
        let row = |i: usize| {
            (0..AREAS)
                .map(|j| if i == j { 0.0 } else { f(i, j) })
                .collect()
        };
        (0..AREAS).map(row).collect()
    };
    let raw = matrix(&|i, j| (-distance(i, j) / 6.0).exp());
    let sum = |i: usize| raw[i].iter().sum::<f64>();
    (matrix(&|i, j| raw[i][j] / sum(i)), matrix(&distance))
}

fn network(strength: f64, lengths: &[Vec<f64>], weights: &[Vec<f64>]) -> NetworkConfig {
    NetworkConfig {
        weights: weights.to_vec(),
        delays: Delays::Distances {
            lengths: lengths.to_vec(),
            speed: 10.0,
        },
        strength,
        dt: 1.0,
        trainable: vec!["strength".into()],
        ..Default::default()
    }
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let product = |x: &[f64], mx: f64, y: &[f64], my: f64| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum()
    };
    product(a, ma, b, mb) / (product(a, ma, a, ma) * product(b, mb, b, mb)).sqrt()
}

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
    let (weights, lengths) = connectome();
    rest(&Place::f32(&device), &weights, &lengths)?;
    fit(&Place::f32(&device.autodiff()), &weights, &lengths)?;
    Ok(())
}

/// A minute of rest after ten seconds that are left out.
fn rest(place: &Place, weights: &[Vec<f64>], lengths: &[Vec<f64>]) -> Result<(), DynamicsError> {
    let areas = ReducedWongWangConfig {
        nodes: AREAS,
        noise: 0.001.into(),
        ..Default::default()
    };
    let solver = StochasticHeun {
        noise: NormalNoise::new(2, 0),
    };
    let brain = network(STRENGTH, lengths, weights).init(areas.init(place)?, solver, place)?;
    let response = BalloonWindkesselConfig {
        nodes: AREAS,
        ..Default::default()
    };
    let brain = WithBold::new(brain, response.init(place)?, Heun)?;
    let dynamics = brain.dynamics()?;
    println!(
        "{AREAS} areas, {} tensors of state",
        dynamics.variables().len()
    );

    let grid = Grid::over(70_000.0, 1.0)?;
    let mut seen = Vec::new();
    let began = Instant::now();
    simulate(
        &dynamics,
        brain.initial_state(1)?,
        &NoInput,
        &grid,
        |step, _, state| {
            if step >= 10_000 && step.is_multiple_of(100) {
                seen.push((state[0].clone(), dynamics.observe(state)));
            }
            ControlFlow::Continue(())
        },
    )?;
    let each = began.elapsed().as_secs_f64() / grid.steps() as f64;
    println!(
        "{:.0} µs a step, {:.1} times real time",
        1e6 * each,
        1e-3 / each
    );
    let (activity, bold): (Vec<_>, Vec<_>) = seen.into_iter().unzip();
    for (name, seen) in [("activity", activity), ("BOLD", bold)] {
        // [areas, times]
        let series = host(Tensor::cat(seen, 0).transpose())?;
        let series: Vec<&[f64]> = series.chunks(series.len() / AREAS).collect();
        let pairs = (0..AREAS).flat_map(|i| (0..i).map(move |j| (i, j)));
        let pairs = pairs.map(|(i, j)| {
            (
                weights[i][j] + weights[j][i],
                correlation(series[i], series[j]),
            )
        });
        let (structure, function): (Vec<f64>, Vec<f64>) = pairs.unzip();
        let r = correlation(&structure, &function);
        println!("functional connectivity of {name} against structural: r = {r:.2}");
    }
    Ok(())
}

/// 100 ms of activity without noise, from a random start, tell how strong the coupling was.
fn fit(place: &Place, weights: &[Vec<f64>], lengths: &[Vec<f64>]) -> Result<(), DynamicsError> {
    let start = NormalNoise::new(3, 0).values(0, AREAS);
    let start: Vec<f64> = start.iter().map(|x| 0.2 + 0.05 * x.tanh()).collect();
    let areas = ReducedWongWangConfig {
        nodes: AREAS,
        initial: vec![start.into()],
        ..Default::default()
    };
    let make = |strength: f64| {
        let areas = areas.init(place)?;
        network(strength, lengths, weights).init(areas, Heun, place)
    };
    let grid = Grid::over(100.0, 1.0)?;
    let source = make(STRENGTH)?;
    let initial = source.initial_state(1)?;
    let (target, _) = record(&source.dynamics()?, initial, &NoInput, &grid)?;
    let target: Tensor<3> = target.detach();

    let mut brain = make(0.3)?;
    let mut optimizer = AdamConfig::new().init();
    let run = Run {
        initial: None,
        batch: 1,
        input: &NoInput,
        grid: &grid,
        every: 1,
        memory: &Memory::Segments(10),
    };
    for step in 0..=60 {
        let loss = |seen: Tensor<3>| (seen - target.clone()).square().mean();
        let result = gradient(&brain, &run, loss)?;
        if step % 20 == 0 {
            let strength = brain.strength.values()?[0];
            println!(
                "step {step:2}: loss {:.2e}, strength {strength:.3} of {STRENGTH}",
                result.loss
            );
        }
        brain = optimizer.step(0.05, brain, result.parameters);
    }
    Ok(())
}
