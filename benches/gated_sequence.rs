//! A training step of a network of gated cells: 100 steps of 64 trials, 71 inputs, 128 units, 2 linear read-outs at every
//! step, mean squared error, Adam.
//!
//! `cargo bench -p granule-cli -p granule-dynamics --bench gated_sequence [-- ROUNDS [gru|lstm]]`: the median in milliseconds
//! over the rounds; `benches/gated_sequence.sh` compares with PyTorch.

use std::time::Instant;

use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Distribution, Tensor};
use granule_device::DeviceSpec;
use granule_dynamics::Place;
use granule_dynamics::population::{GatedCell, GatedNetworkConfig, SequenceModel};

type Failure = Box<dyn std::error::Error>;

const STEPS: usize = 100;
const BATCH: usize = 64;
const CHANNELS: usize = 71;
const OUTPUTS: usize = 2;

/// The median time of a step in milliseconds.
fn run(cell: GatedCell, rounds: usize) -> Result<f64, Failure> {
    let device = "flex".parse::<DeviceSpec>()?.open()?.burn().clone();
    let config = GatedNetworkConfig { cell, units: 128 };
    let place = Place::f32(&device.clone().autodiff());
    let mut network = config.init(CHANNELS, OUTPUTS, 1, &place)?;
    let mut optimizer = AdamConfig::new().init();
    let normal = Distribution::Normal(0.0, 1.0);
    let input = Tensor::<3>::random([BATCH, STEPS, CHANNELS], normal, &device);
    let target = Tensor::<3>::random([BATCH, STEPS, OUTPUTS], normal, &device);
    let (input, target) = (Tensor::from_inner(input), Tensor::from_inner(target));
    let mut times = Vec::with_capacity(rounds);
    for round in 0..rounds + 3 {
        let start = Instant::now();
        let outputs = network.forward(input.clone(), None)?.outputs;
        let loss = (outputs - target.clone()).square().mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = optimizer.step(1e-3, network, gradients);
        if round >= 3 {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let rounds = arguments.first().and_then(|a| a.parse().ok()).unwrap_or(15);
    let cells = [("gru", GatedCell::Gru), ("lstm", GatedCell::Lstm)];
    if let Some(cell) = arguments.get(1) {
        let found = cells.iter().find(|(name, _)| name == cell);
        let (_, cell) = found.ok_or("gru or lstm")?;
        println!("{:.3}", run(*cell, rounds)?);
        return Ok(());
    }
    for (name, cell) in cells {
        println!("{name:<5} {:>9.2} ms", run(cell, rounds)?);
    }
    Ok(())
}
