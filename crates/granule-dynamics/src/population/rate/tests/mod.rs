mod constraints;
mod dynamics;
mod gradients;
mod settings;
mod spectra;

use burn::tensor::Tensor;

use super::super::Activation;
use super::*;
use crate::random::NormalNoise;
use crate::state::host;

fn config(units: usize) -> RateNetworkConfig {
    RateNetworkConfig {
        units,
        ..RateNetworkConfig::default()
    }
}

/// W, `[pre, post]`.
fn recurrent(network: &RateNetwork) -> Vec<f64> {
    host(network.recurrent.value()).unwrap()
}

fn random<const D: usize>(seed: u64, shape: [usize; D], place: &Place) -> Tensor<D> {
    let count = shape.iter().product();
    place.tensor(NormalNoise::new(seed, 77).values(0, count), shape)
}

/// Each way to constrain recurrent weights, by name.
fn constrained() -> Vec<(&'static str, RateNetworkConfig)> {
    let dale = |rectifier| RateNetworkConfig {
        dale_ratio: Some(0.8),
        rectifier,
        autapses: false,
        excitatory_output: true,
        ..config(10)
    };
    let blocks = RateNetworkConfig {
        recurrence: Recurrence::Blocks {
            sizes: vec![6, 4],
            densities: vec![vec![1.0, 0.5], vec![0.0, 1.0]],
        },
        dale_ratio: Some(0.5),
        autapses: false,
        ..config(10)
    };
    let mask = (0..10)
        .map(|pre| {
            (0..10)
                .map(|post| u8::from((pre + post) % 3 != 1))
                .collect()
        })
        .collect();
    let with = |recurrence| RateNetworkConfig {
        recurrence,
        ..config(10)
    };
    vec![
        ("abs", dale(Rectifier::Abs)),
        ("relu", dale(Rectifier::Relu)),
        ("softplus", dale(Rectifier::Softplus)),
        ("blocks", blocks),
        ("sparse", with(Recurrence::Sparse { density: 0.3 })),
        ("mask", with(Recurrence::Mask(mask))),
        (
            "low rank",
            with(Recurrence::LowRank {
                rank: 2,
                background: 0.0,
            }),
        ),
        ("full", config(10)),
    ]
}
