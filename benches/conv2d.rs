//! Convolution, forward and backward, against Burn's own on the same device.
//!
//! `cargo bench -p granule-cli -p granule-ops --bench conv2d [-- NAME…]`: medians in milliseconds, the two alternating.

use std::time::Instant;

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Tensor};
use granule_ops::{Conv2dOptions, conv2d};

/// Name, then `[batch, in_channels, size, out_channels, kernel, padding]`.
const SHAPES: [(&str, [usize; 6]); 6] = [
    ("lenet conv1", [64, 1, 28, 6, 5, 2]),
    ("lenet conv2", [64, 6, 14, 16, 5, 0]),
    ("cnn conv1", [64, 3, 32, 64, 3, 1]),
    ("cnn conv2", [64, 64, 16, 128, 3, 1]),
    ("resnet 256×8×8", [64, 256, 8, 256, 3, 1]),
    ("resnet 512×4×4", [64, 512, 4, 512, 3, 1]),
];

fn milliseconds(shape: [usize; 6], device: &Device, ours: bool) -> f64 {
    let [n, c, size, o, k, p] = shape;
    let x = Tensor::<4>::random([n, c, size, size], Distribution::Default, device).require_grad();
    let w = Tensor::<4>::random([o, c, k, k], Distribution::Default, device).require_grad();
    let b = Tensor::<1>::random([o], Distribution::Default, device).require_grad();
    let start = Instant::now();
    let y = if ours {
        let options = Conv2dOptions {
            stride: [1, 1],
            padding: [p, p],
        };
        conv2d(x, w, Some(b), options)
    } else {
        burn::tensor::module::conv2d(x, w, Some(b), ConvOptions::new([1, 1], [p, p], [1, 1], 1))
    };
    let grads = y.sum().backward();
    let elapsed = start.elapsed().as_secs_f64() * 1e3;
    drop(grads);
    elapsed
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    #[allow(deprecated)]
    let devices = [("flex", Device::flex()), ("ndarray", Device::ndarray())];
    println!(
        "{:<16} {:<8} {:>9} {:>9} {:>7}",
        "shape", "device", "granule", "burn", "ratio"
    );
    for (name, shape) in SHAPES {
        if !wanted.is_empty() && !wanted.iter().any(|w| name.contains(w.as_str())) {
            continue;
        }
        for (backend, device) in &devices {
            let device = device.clone().autodiff();
            let rounds = if *backend == "ndarray" { 3 } else { 9 };
            let (mut granule, mut burn) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                granule.push(milliseconds(shape, &device, true));
                burn.push(milliseconds(shape, &device, false));
            }
            let (granule, burn) = (median(granule), median(burn));
            println!(
                "{name:<16} {backend:<8} {granule:>9.2} {burn:>9.2} {:>7.2}",
                burn / granule
            );
        }
    }
}
