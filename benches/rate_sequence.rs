//! A training step of a recurrent rate network: the fused sequence against the same network in Burn's operations.
//!
//! `cargo bench -p granule-cli -p granule-ops --bench rate_sequence [-- ROUNDS [fused|composed [UNITS]]]`: medians in
//! milliseconds over the rounds, the two alternating. 100 steps of 64 trials, 3 inputs, tanh units with a trained initial
//! state, 3 linear read-outs, mean squared error at every step, Adam.

use std::time::Instant;

use burn::module::{Module, Param};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Distribution, Tensor};
use granule_ops::{Drive, RateSequenceOptions, Transfer, rate_sequence};

const STEPS: usize = 100;
const BATCH: usize = 64;
const CHANNELS: usize = 3;
const ALPHA: f32 = 0.1;

#[derive(Module, Debug)]
struct Network {
    x0: Param<Tensor<2>>,
    weight_in: Param<Tensor<2>>,
    bias: Param<Tensor<2>>,
    weight: Param<Tensor<2>>,
    weight_out: Param<Tensor<2>>,
}

impl Network {
    fn new(units: usize, device: &Device) -> Self {
        let normal = |rows: usize, std: f64| {
            let distribution = Distribution::Normal(0.0, std);
            Param::from_tensor(Tensor::random([rows, units], distribution, device))
        };
        let spread = 1.0 / (units as f64).sqrt();
        Self {
            x0: normal(1, 0.1),
            weight_in: normal(CHANNELS, 1.0),
            bias: normal(1, 0.1),
            weight: normal(units, spread),
            weight_out: normal(CHANNELS, spread),
        }
    }

    fn fused(&self, input: Tensor<3>) -> Tensor<2> {
        let [_, units] = self.weight.dims();
        let place = (&input.device().without_autodiff(), input.dtype());
        let drive =
            Drive::input(input, self.weight_in.val()).with_bias(self.bias.val().flatten(0, 1));
        let rates = rate_sequence(
            self.x0.val().expand([BATCH, units]),
            drive,
            self.weight.val(),
            Tensor::full([units], ALPHA, place),
            RateSequenceOptions::rates(Transfer::Tanh),
        );
        self.read_out(rates.reshape([STEPS * BATCH, units]))
    }

    fn composed(&self, input: Tensor<3>) -> Tensor<2> {
        let [_, units] = self.weight.dims();
        let mut x = self.x0.val().expand([BATCH, units]);
        let mut rates = x.clone().tanh();
        let mut all = Vec::with_capacity(STEPS);
        for step in 0..STEPS {
            let input = input.clone().narrow(0, step, 1).reshape([BATCH, CHANNELS]);
            let drive = input.matmul(self.weight_in.val()) + self.bias.val();
            x = x * (1.0 - ALPHA) + (rates.matmul(self.weight.val()) + drive) * ALPHA;
            rates = x.clone().tanh();
            all.push(rates.clone());
        }
        self.read_out(Tensor::cat(all, 0))
    }

    fn read_out(&self, rates: Tensor<2>) -> Tensor<2> {
        rates.matmul(self.weight_out.val().transpose())
    }
}

/// Milliseconds of each round of each form.
fn run(units: usize, device: &Device, rounds: usize, forms: &[&str]) -> Vec<Vec<f64>> {
    let mut network = Network::new(units, device);
    let mut optimizer = AdamConfig::new().init();
    let uniform = Distribution::Uniform(-1.0, 1.0);
    let plain = device.clone().without_autodiff();
    let input = Tensor::<3>::random([STEPS, BATCH, CHANNELS], uniform, &plain);
    let target = Tensor::<2>::random([STEPS * BATCH, CHANNELS], uniform, &plain);
    let (input, target) = (Tensor::from_inner(input), Tensor::from_inner(target));
    let mut times = vec![Vec::new(); forms.len()];
    for round in 0..rounds + 3 {
        for (form, times) in forms.iter().zip(&mut times) {
            let start = Instant::now();
            let output = match *form {
                "fused" => network.fused(input.clone()),
                _ => network.composed(input.clone()),
            };
            let loss = (output - target.clone()).square().mean();
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            network = optimizer.step(1e-3, network, gradients);
            if round >= 3 {
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    times
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let rounds = arguments.first().and_then(|a| a.parse().ok()).unwrap_or(11);
    let device = Device::flex().autodiff();
    if let Some(form) = arguments.get(1) {
        let units = arguments.get(2).and_then(|a| a.parse().ok()).unwrap_or(256);
        let times = run(units, &device, rounds, &[form]);
        println!("{:.3}", median(times.concat()));
        return;
    }
    println!(
        "{:<6} {:>9} {:>9} {:>7}",
        "units", "fused", "composed", "ratio"
    );
    for units in [128, 256, 512] {
        let mut times = run(units, &device, rounds, &["fused", "composed"])
            .into_iter()
            .map(median);
        let (fused, composed) = (times.next().unwrap_or(0.0), times.next().unwrap_or(0.0));
        println!(
            "{units:<6} {fused:>9.2} {composed:>9.2} {:>7.2}",
            composed / fused
        );
    }
}
