//! Hodgkin–Huxley cells by exponential Euler, and an axon of such membranes, in single precision: forward alone, and with
//! its gradient.
//!
//! `cargo bench -p granule-cli -p granule-dynamics --bench cells [-- flex|ndarray|wgpu…]`: the median of five runs of 10⁴
//! cells for 200 steps; then, of 10³ cells or 10³ compartments for 100 steps, a run without a tape, a call of `gradient` by
//! four parameters with all steps on the tape, and one with ten segments, the least of rounds in turns. The ratios are those
//! of the calls of `gradient`, which run the model forward as well, to the run.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Tensor;
use granule_device::DeviceSpec;
use granule_dynamics::gradient::{Memory, Run, gradient};
use granule_dynamics::solver::ExponentialEuler;
use granule_dynamics::unit::{CableCell, CableCellConfig, Cells, HodgkinHuxleyConfig};
use granule_dynamics::{Grid, Model, NoInput, Place, host, simulate};

type Failure = Box<dyn std::error::Error>;

const DT: f64 = 0.025;
const REPEATS: usize = 5;
const ROUNDS: usize = 30;

fn population(cells: usize, trainable: &[&str], place: &Place) -> Result<Cells, Failure> {
    let currents: Vec<f64> = (0..cells).map(|i| 20.0 * i as f64 / cells as f64).collect();
    let config = HodgkinHuxleyConfig {
        cells,
        current: currents.into(),
        trainable: trainable.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    };
    Ok(config.init(Arc::new(ExponentialEuler), place)?)
}

/// Rallpack 3's axon, 1 mm long and 1 µm thick.
fn axon(compartments: usize, trainable: &[&str], place: &Place) -> Result<CableCell, Failure> {
    let text = format!(
        "axial_resistivity = 100.0\nleak = {{ conductance = 0.025, reversal = -65.0 }}\ncurrent = 0.1\n\
         trainable = {trainable:?}\nstimulus_sites = \"axon(0)\"\nrecord_sites = \"axon(1)\"\n\
         [[channel]]\nlibrary = \"hodgkin-huxley/na\"\n[[channel]]\nlibrary = \"hodgkin-huxley/k\"\n\
         [[section]]\nname = \"axon\"\nlength = 1000.0\ndiameter = 1.0\ncompartments = {compartments}\n"
    );
    let config: CableCellConfig = toml::from_str(&text)?;
    Ok(config.init(place)?)
}

/// Seconds of a forward run.
fn forward<M: Model>(cells: &M, steps: usize) -> Result<f64, Failure> {
    let (dynamics, start) = (cells.dynamics()?, cells.initial_state(1)?);
    let grid = Grid::over(DT * steps as f64, DT)?;
    host(start[0].clone())?;
    let clock = Instant::now();
    let end = simulate(&dynamics, start, &NoInput, &grid, |_, _, _| {
        ControlFlow::Continue(())
    })?;
    host(end[0].clone())?;
    Ok(clock.elapsed().as_secs_f64())
}

/// Seconds of a run with its gradient.
fn backward<M: Model>(cells: &M, steps: usize, memory: &Memory) -> Result<f64, Failure> {
    let grid = Grid::over(DT * steps as f64, DT)?;
    let run = Run {
        initial: None,
        batch: 1,
        input: &NoInput,
        grid: &grid,
        every: steps,
        memory,
    };
    let clock = Instant::now();
    let result = gradient(cells, &run, |seen: Tensor<3>| seen.mean())?;
    host(result.initial[0].clone())?;
    Ok(clock.elapsed().as_secs_f64())
}

fn median(run: impl Fn() -> Result<f64, Failure>) -> Result<f64, Failure> {
    run()?;
    let mut seconds = (0..REPEATS).map(|_| run()).collect::<Result<Vec<_>, _>>()?;
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[REPEATS / 2])
}

/// Prints how long a run takes, and how much longer its gradient does.
fn compare<M: Model>(what: &str, [plain, taped]: [&M; 2]) -> Result<(), Failure> {
    const STEPS: usize = 100;
    let mut least = [f64::INFINITY; 3];
    for _ in 0..ROUNDS {
        let seconds = [
            forward(plain, STEPS)?,
            backward(taped, STEPS, &Memory::Full)?,
            backward(taped, STEPS, &Memory::Segments(10))?,
        ];
        for (least, seconds) in least.iter_mut().zip(seconds) {
            *least = least.min(seconds);
        }
    }
    let [alone, full, segments] = least;
    println!(
        "{what}: the run takes {:.2} ms, with its gradient {:.2} ms, {:.2} times as long; in ten segments {:.2} ms, {:.2} times",
        alone * 1e3,
        full * 1e3,
        full / alone,
        segments * 1e3,
        segments / alone
    );
    Ok(())
}

fn main() -> Result<(), Failure> {
    let mut devices: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    if devices.is_empty() {
        devices = vec!["flex".into(), "ndarray".into()];
    }
    for name in devices {
        let device = name.parse::<DeviceSpec>()?.open()?.burn().clone();
        let place = Place::f32(&device);
        let cells = population(10_000, &[], &place)?;
        let seconds = median(|| forward(&cells, 200))?;
        println!(
            "{name}: {:.1} million cell-steps/s forward",
            10_000.0 * 200.0 / seconds / 1e6
        );
        let trainable = ["g_na", "g_k", "g_l", "e_l"];
        let tape = Place::f32(&device.clone().autodiff());
        let plain = population(1_000, &trainable, &place)?;
        let taped = population(1_000, &trainable, &tape)?;
        compare(&format!("{name}, cells"), [&plain, &taped])?;
        let plain = axon(1_000, &trainable, &place)?;
        let taped = axon(1_000, &trainable, &tape)?;
        compare(&format!("{name}, axon"), [&plain, &taped])?;
    }
    Ok(())
}
