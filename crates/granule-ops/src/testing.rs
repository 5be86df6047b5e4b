//! What the tests of several operations have in common.

use burn::tensor::{Device, Tensor, TensorData};
use granule_device::DeviceSpec;

/// The devices that have the kernels.
#[allow(deprecated)]
pub fn devices() -> [Device; 2] {
    [Device::flex(), Device::ndarray()]
}

/// A device that composes; without one, the test is skipped.
pub fn gpu() -> Option<Device> {
    let found = ["gpu", "wgpu:software"].iter().find_map(|name| {
        let spec: DeviceSpec = name.parse().unwrap();
        spec.open().ok()
    });
    if found.is_none() {
        assert!(
            std::env::var_os("GRANULE_REQUIRE_WGPU").is_none(),
            "GRANULE_REQUIRE_WGPU is set and there is no wgpu adapter"
        );
        eprintln!("skipped on wgpu: no adapter");
    }
    Some(found?.burn().clone())
}

/// Random numbers between −1 and 1.
pub fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

/// Numbers between −1 and 1 in no order, few of them near each other.
pub fn scattered(count: usize, seed: usize) -> Vec<f64> {
    (0..count)
        .map(|i| ((i * 7919 + seed * 104729 + 17) % 1009) as f64 / 504.5 - 1.0)
        .collect()
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// The same matrix, lying transposed in memory.
pub fn column_major(matrix: Tensor<2>) -> Tensor<2> {
    matrix.transpose().mul_scalar(1.0).transpose()
}

/// A loss in which every element counts differently.
pub fn loss(out: Tensor<3>) -> Tensor<1> {
    let dims = out.dims();
    let targets = TensorData::new(numbers(dims.iter().product(), 9), dims);
    let (device, dtype) = (out.device().without_autodiff(), out.dtype());
    let targets = Tensor::from_data(targets.convert_dtype(dtype), (&device, dtype));
    (out - targets).square().sum() * 0.5
}

#[track_caller]
pub fn assert_close(ours: &[f64], theirs: &[f64], tolerance: f64, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let scale = theirs.iter().fold(1.0f64, |m, v| m.max(v.abs()));
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!(
            (a - b).abs() <= tolerance * scale,
            "{what}, element {i}: {a} against {b}"
        );
    }
}

/// Checks that the number of threads changes no bit of a result.
#[track_caller]
pub fn assert_one_result<T: PartialEq + Send>(run: impl Fn() -> T + Sync) {
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(&run)
    };
    let one = with(1);
    for threads in [2, 3, 7] {
        assert!(with(threads) == one, "with {threads} threads");
    }
}

/// Checks that a NaN in trial 0 of step 1 is in all of that trial from step `from` on, and in no other one.
#[track_caller]
pub fn assert_nan_in_its_trial(out: Tensor<3>, from: usize, what: &str) {
    let [_, batch, units] = out.dims();
    for (i, x) in values(out).into_iter().enumerate() {
        let (step, trial) = (i / (batch * units), i / units % batch);
        if step == 0 || trial > 0 {
            assert!(x.is_finite(), "{what}: {x} at step {step}, trial {trial}");
        } else if step >= from {
            assert!(x.is_nan(), "{what}: {x} at step {step}, trial {trial}");
        }
    }
}
