//! A rate network learns to hold three bits, and its fixed points show how it does: one attractor for every memory, and
//! saddles between them (Sussillo and Barak 2013, <https://doi.org/10.1162/NECO_a_00409>).
//!
//! `cargo run --release -p granule-simulate --example rate_fixed_points`

use burn::grad_clipping::GradientClippingConfig;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::Tensor;
use granule_device::DeviceSpec;
use granule_dynamics::population::{Initialization, RateNetwork, RateNetworkConfig, SequenceModel};
use granule_dynamics::random::NormalNoise;
use granule_dynamics::{DynamicsError, Field, Place, State, host};
use granule_simulate::analysis::{
    FixedPoint, FixedPointSearch, Pca, Stability, fixed_points, scattered_starts,
};

const BITS: usize = 3;
const BATCH: usize = 64;
const STEPS: usize = 60;
const TRAINING_STEPS: usize = 1000;

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
    let place = Place::f32(&device.autodiff());
    let config = RateNetworkConfig {
        units: 64,
        time_constant: 20.0.into(),
        dt: 10.0,
        initialization: Initialization::SpectralRadius(1.0),
        private_noise: 0.05,
        ..RateNetworkConfig::default()
    };
    let mut network = config.init(BITS, BITS, 1, &place)?;

    let clipping = GradientClippingConfig::Norm(1.0);
    let mut adam = AdamConfig::new().with_grad_clipping(Some(clipping)).init();
    for step in 0..TRAINING_STEPS {
        let (inputs, targets) = flip_flops(step as u64, &place);
        let noise = NormalNoise::new(7, step as u64);
        let outputs = network.forward(inputs, Some(noise))?.outputs;
        let loss = (outputs - targets).powi_scalar(2).mean();
        if step % 100 == 0 {
            println!(
                "step {step:4}: mean squared error {:.4}",
                host(loss.clone())?[0]
            );
        }
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        let rate = 0.01 * 0.1_f64.powf(step as f64 / TRAINING_STEPS as f64);
        network = adam.step(rate, network, gradients);
    }

    let (inputs, targets) = flip_flops(u64::MAX, &place);
    let states = network.states(inputs.clone(), None)?;
    let error = (network.forward(inputs, None)?.outputs - targets)
        .powi_scalar(2)
        .mean();
    println!("on new trials: mean squared error {:.4}", host(error)?[0]);
    let pca = Pca::of_states(&states, BITS)?;
    let explained: f64 = pca.explained().iter().sum();
    println!(
        "three principal components hold {:.1} % of the variance",
        100.0 * explained
    );

    let points = search(&network, states)?;
    for stability in [Stability::Attractor, Stability::Saddle, Stability::Repeller] {
        let kind: Vec<&FixedPoint> = points
            .iter()
            .filter(|p| p.stability() == stability)
            .collect();
        println!("\n{stability:?}: {}", kind.len());
        for point in kind {
            print(&network, point)?;
        }
    }
    Ok(())
}

/// Every channel sends a pulse, +1 or −1, at the beginning and now and then; its target is the last one.
fn flip_flops(trial: u64, place: &Place) -> (Tensor<3>, Tensor<3>) {
    let shape = [BATCH, STEPS, BITS];
    let drawn = NormalNoise::new(3, trial).values(0, shape.iter().product());
    let mut inputs = vec![0.0; drawn.len()];
    let mut targets = inputs.clone();
    for (at, draw) in drawn.iter().enumerate() {
        let first = (at / BITS).is_multiple_of(STEPS);
        // |ξ| > 1.78 in 7.5 % of all steps.
        if first || draw.abs() > 1.78 {
            inputs[at] = draw.signum();
            targets[at] = draw.signum();
        } else {
            targets[at] = targets[at - BITS];
        }
    }
    (place.tensor(inputs, shape), place.tensor(targets, shape))
}

/// The fixed points without input, from starts around states that the network passed through.
fn search(network: &RateNetwork, states: Tensor<3>) -> Result<Vec<FixedPoint>, DynamicsError> {
    let states: Vec<Vec<f64>> = host(states)?
        .chunks_exact(network.units())
        .map(<[f64]>::to_vec)
        .collect();
    let starts = scattered_starts(&states, 600, 0.5, 5)?;
    let field = network.on_host(&[0.0; BITS])?;
    fixed_points(&field, &starts, &FixedPointSearch::default())
}

fn print(network: &RateNetwork, point: &FixedPoint) -> Result<(), DynamicsError> {
    let state = Place::of(&network.bias.value()).tensor(point.state.clone(), [1, network.units()]);
    let outputs = host(network.field().observe(&State::new(vec![state])))?;
    let outputs: Vec<String> = outputs.iter().map(|out| format!("{out:5.2}")).collect();
    println!(
        "  outputs [{}], unstable directions: {}, leading eigenvalue {:+.4} per ms, q = {:.0e}",
        outputs.join(", "),
        point.unstable(),
        point.eigenvalues.first().map_or(0.0, |z| z.re),
        point.speed,
    );
    Ok(())
}
