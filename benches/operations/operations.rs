//! Operations of `granule-ops` and the same in Burn's, forward and backward, on as many threads as `RAYON_NUM_THREADS` says.
//!
//! `cargo bench --manifest-path benches/operations/Cargo.toml [-- NAME]`. Devices are `flex` and `ndarray`; others are named in
//! `GRANULE_BENCH_DEVICES`, as in `flex,wgpu:software` with `--features wgpu`. `--save-baseline NAME` and `--baseline NAME` compare two builds.

use std::hint::black_box;
use std::time::Duration;

use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Distribution, Tensor, activation, module};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use granule_device::DeviceSpec;
use granule_ops::random::{normal_numbers, poisson_numbers};
use granule_ops::{
    Connections, Conv2dOptions, Drive, Factors, GatedUnit, GatedWeights, RateSequenceOptions,
    Transfer, Tree, conv2d, conv2d_relu_max_pool2d, conv2d_with, firing_rate, gated_sequence,
    is_on_host, linear, linear_with, rate_sequence, sparse_product, tree_solve,
};

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

fn devices() -> Vec<(String, Device)> {
    let named = std::env::var("GRANULE_BENCH_DEVICES");
    let named = named.unwrap_or_else(|_| "flex,ndarray".into());
    let open = |name: &str| {
        let device = name.parse::<DeviceSpec>().map(|spec| spec.open());
        match device {
            Ok(Ok(device)) => (name.to_owned(), device.burn().clone().autodiff()),
            Ok(Err(error)) => panic!("{name}: {error}"),
            Err(error) => panic!("{name}: {error}"),
        }
    };
    named.split(',').map(open).collect()
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> Group<'a> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20);
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));
    group
}

/// Normal numbers that a gradient is asked for.
fn normal<const D: usize>(shape: [usize; D], scale: f64, device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, scale), device).require_grad()
}

/// Measures a function of tensors with the gradient of its sum.
fn both_ways<const D: usize>(
    group: &mut Group<'_>,
    form: &str,
    at: &str,
    f: impl Fn() -> Tensor<D>,
) {
    group.bench_function(BenchmarkId::new(form, at), |bencher| {
        bencher.iter(|| {
            let y = f();
            let gradients = y.clone().sum().backward();
            // A number of it is read, which waits for a device that works by itself.
            black_box(y.inner().flatten::<1>(0, D - 1).narrow(0, 0, 1).into_data());
            gradients
        });
    });
}

/// Name, then `[batch, channels, size, filters, kernel, padding]`.
const CONVOLUTIONS: [(&str, [usize; 6]); 6] = [
    ("lenet 1", [64, 1, 28, 6, 5, 2]),
    ("lenet 2", [64, 6, 14, 16, 5, 0]),
    ("cnn 1", [64, 3, 32, 64, 3, 1]),
    ("cnn 2", [64, 64, 16, 128, 3, 1]),
    ("resnet 256×8×8", [64, 256, 8, 256, 3, 1]),
    ("resnet 512×4×4", [64, 512, 4, 512, 3, 1]),
];

fn convolutions(criterion: &mut Criterion) {
    for (device_name, device) in devices() {
        for (name, [n, c, size, o, k, p]) in CONVOLUTIONS {
            let x = normal([n, c, size, size], 1.0, &device);
            let w = normal([o, c, k, k], 0.1, &device);
            let b = normal([o], 0.1, &device);
            let given = || (x.clone(), w.clone(), Some(b.clone()));
            let options = Conv2dOptions {
                stride: [1, 1],
                padding: [p, p],
            };
            let burns = || {
                let (x, w, b) = given();
                let options = ConvOptions::new([1, 1], [p, p], [1, 1], 1);
                module::conv2d(x, w, b, options)
            };
            let at = format!("{name} {device_name}");
            let mut group = group(criterion, "conv2d");
            both_ways(&mut group, "granule", &at, || {
                let (x, w, b) = given();
                conv2d(x, w, b, options)
            });
            if is_on_host(&x) {
                both_ways(&mut group, "granule bf16", &at, || {
                    let (x, w, b) = given();
                    conv2d_with(x, w, b, options, Factors::Bf16)
                });
            }
            both_ways(&mut group, "burn", &at, burns);
            group.finish();
            let mut group = self::group(criterion, "conv2d_relu_max_pool2d");
            both_ways(&mut group, "granule", &at, || {
                let (x, w, b) = given();
                conv2d_relu_max_pool2d(x, w, b, options, 2)
            });
            both_ways(&mut group, "burn", &at, || {
                let pool = MaxPoolOptions::new([2, 2]);
                activation::relu(module::max_pool2d(burns(), pool))
            });
            group.finish();
        }
    }
}

fn dense(criterion: &mut Criterion) {
    let mut group = group(criterion, "linear");
    for (device_name, device) in devices() {
        for [batch, inputs, outputs] in [[64, 784, 128], [64, 8192, 1024], [6400, 128, 2]] {
            let x = normal([batch, inputs], 1.0, &device);
            let w = normal([inputs, outputs], 0.05, &device);
            let b = normal([outputs], 0.1, &device);
            let at = format!("{batch}×{inputs}×{outputs} {device_name}");
            both_ways(&mut group, "granule", &at, || {
                linear(x.clone(), w.clone(), Some(b.clone()))
            });
            if is_on_host(&x) {
                both_ways(&mut group, "granule bf16", &at, || {
                    linear_with(x.clone(), w.clone(), Some(b.clone()), Factors::Bf16)
                });
            }
            both_ways(&mut group, "burn", &at, || {
                module::linear(x.clone(), w.clone(), Some(b.clone()))
            });
        }
    }
    group.finish();
}

fn firing_rates(criterion: &mut Criterion) {
    let mut group = group(criterion, "firing_rate");
    let transfers = [
        ("tanh", Transfer::Tanh),
        ("sigmoid", Transfer::Sigmoid),
        ("softplus", Transfer::Softplus),
    ];
    for (device_name, device) in devices() {
        let x = normal([64, 4096], 1.0, &device);
        group.throughput(Throughput::Elements(64 * 4096));
        for (name, transfer) in transfers {
            let at = format!("{name} {device_name}");
            both_ways(&mut group, "granule", &at, || {
                firing_rate(x.clone(), transfer)
            });
            both_ways(&mut group, "burn", &at, || match transfer {
                Transfer::Tanh => activation::tanh(x.clone()),
                Transfer::Sigmoid => activation::sigmoid(x.clone()),
                _ => activation::softplus(x.clone(), 1.0),
            });
        }
    }
    group.finish();
}

/// 100 steps of 64 trials with 3 inputs.
const SEQUENCE: [usize; 3] = [100, 64, 3];

fn sequences(criterion: &mut Criterion) {
    const ALPHA: f32 = 0.1;
    let [steps, batch, channels] = SEQUENCE;
    for (device_name, device) in devices() {
        for units in [64, 128, 256, 512] {
            let input = normal(SEQUENCE, 1.0, &device);
            let x0 = normal([batch, units], 0.1, &device);
            let into = normal([channels, units], 1.0, &device);
            let w = normal([units, units], 1.0 / (units as f64).sqrt(), &device);
            let at = format!("{units} {device_name}");
            let mut group = group(criterion, "rate_sequence");
            both_ways(&mut group, "granule", &at, || {
                let alpha = Tensor::full([units], ALPHA, &device.clone().without_autodiff());
                let drive = Drive::input(input.clone(), into.clone());
                let options = RateSequenceOptions::rates(Transfer::Tanh);
                rate_sequence(x0.clone(), drive, w.clone(), alpha, options)
            });
            both_ways(&mut group, "burn", &at, || {
                let mut x = x0.clone();
                let mut all = Vec::with_capacity(steps);
                for step in 0..steps {
                    let u = input.clone().narrow(0, step, 1).reshape([batch, channels]);
                    let given = x.clone().tanh().matmul(w.clone()) + u.matmul(into.clone());
                    x = x * (1.0 - ALPHA) + given * ALPHA;
                    all.push(x.clone().tanh());
                }
                Tensor::cat(all, 0)
            });
            group.finish();
        }
        for (name, unit) in [("gru", GatedUnit::Gru), ("lstm", GatedUnit::Lstm)] {
            let (units, width) = (128, 128 * unit.gates());
            let input = normal(SEQUENCE, 1.0, &device);
            let weights = GatedWeights {
                input: normal([channels, width], 0.5, &device),
                input_bias: normal([width], 0.1, &device),
                recurrent: normal([units, width], 0.08, &device),
                recurrent_bias: normal([width], 0.1, &device),
            };
            let mut group = group(criterion, "gated_sequence");
            both_ways(&mut group, name, &device_name, || {
                gated_sequence(input.clone(), weights.clone(), unit)
            });
            group.finish();
        }
    }
}

fn sparse(criterion: &mut Criterion) {
    for (device_name, device) in devices() {
        let mut group = group(criterion, "sparse_product");
        for cells in [1000, 4000] {
            let rows =
                (0..cells).map(|row| (0..cells).filter(move |column| (row + column) % 10 == 0));
            let Some(connections) = Connections::new(cells, rows) else {
                continue;
            };
            group.throughput(Throughput::Elements(connections.len() as u64));
            let x = normal([1, cells], 1.0, &device);
            let values = normal([1, connections.len()], 0.1, &device);
            both_ways(
                &mut group,
                "lists",
                &format!("{cells} {device_name}"),
                || sparse_product(x.clone(), values.clone(), &connections),
            );
        }
        group.finish();
        let mut group = self::group(criterion, "tree_solve");
        for nodes in [100, 10_000] {
            let parents: Vec<_> = (0..nodes).map(|node: usize| node.checked_sub(1)).collect();
            let Some(tree) = Tree::new(&parents) else {
                continue;
            };
            group.throughput(Throughput::Elements(nodes as u64));
            let diagonal = normal([1, nodes], 0.1, &device) + 3.0;
            let (edges, rhs) = (
                normal([2, nodes], 0.3, &device),
                normal([1, nodes], 1.0, &device),
            );
            both_ways(
                &mut group,
                "chain",
                &format!("{nodes} {device_name}"),
                || tree_solve(diagonal.clone(), edges.clone(), rhs.clone(), &tree),
            );
        }
        group.finish();
    }
}

fn random(criterion: &mut Criterion) {
    let mut group = group(criterion, "random");
    let mut numbers = vec![0.0; 10_000];
    group.throughput(Throughput::Elements(numbers.len() as u64));
    for mean in [0.2, 5.0, 100.0] {
        group.bench_function(BenchmarkId::new("poisson", mean), |bencher| {
            bencher.iter(|| poisson_numbers([1, 2], 3, mean, black_box(&mut numbers)));
        });
    }
    group.bench_function("normal", |bencher| {
        bencher.iter(|| normal_numbers([1, 2], 3, black_box(&mut numbers)));
    });
    group.finish();
}

criterion_group!(
    operations,
    convolutions,
    dense,
    firing_rates,
    sequences,
    sparse,
    random
);
criterion_main!(operations);
