//! A GPU that fails, on the software adapter. What is lost stays lost for the process: everything is in one test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::Tensor;
use granule_device::{DeviceError, DeviceSpec, OpenDevice, answers_for, fault};
use support::open_or_skip;

/// The sum of a matrix of ones, as a user of the device would read it.
fn sum(device: &OpenDevice, side: usize) -> Result<f32, DeviceError> {
    let work = || {
        let ones = Tensor::<2>::ones([side, side], device.burn());
        ones.sum().try_into_scalar::<f32>()
    };
    device
        .guard(work)?
        .map_err(|error| device.failure(&error.to_string()))
}

#[test]
fn memory_kernels_and_the_device_itself_fail_as_errors() {
    let Some(device) = open_or_skip("wgpu:software") else {
        return;
    };
    assert_eq!(sum(&device, 8).unwrap(), 64.0);

    // 4 GiB, more than any adapter lets one buffer have.
    let error = sum(&device, 1 << 15).unwrap_err();
    assert!(
        matches!(&error, DeviceError::OutOfMemory { buffer: Some(bytes), .. } if *bytes == 1 << 32),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .contains("wgpu:software` is out of memory")
            && error.to_string().contains("4096 MiB"),
        "{error}"
    );
    assert_eq!(sum(&device, 8).unwrap(), 64.0, "the device goes on");

    // The hook stands for that of a program that reports a panic as a bug of its own.
    let heard = Arc::new(AtomicUsize::new(0));
    let hook = std::panic::take_hook();
    let count = heard.clone();
    std::panic::set_hook(Box::new(move |panic| {
        count.fetch_add(usize::from(!answers_for(panic)), Ordering::Relaxed);
    }));
    let error = device.guard(|| fault::refuse_kernel(&device)).unwrap_err();
    // A fault of the program on the device stays one, with its message.
    let fault = catch_unwind(AssertUnwindSafe(|| {
        device.guard(|| panic!("a label of no class"))
    }));
    std::panic::set_hook(hook);
    let payload = fault.unwrap_err();
    assert_eq!(
        payload.downcast_ref::<&str>().unwrap(),
        &"a label of no class"
    );
    assert!(
        matches!(&error, DeviceError::Failed { reason, .. } if reason.contains("parsing error")),
        "{error:?}"
    );
    assert_eq!(heard.load(Ordering::Relaxed), 1, "of the program alone");
    assert_eq!(sum(&device, 8).unwrap(), 64.0, "the device goes on");

    assert!(fault::lose(&device));
    for _ in 0..2 {
        let error = sum(&device, 8).unwrap_err();
        assert!(matches!(error, DeviceError::Lost { .. }), "{error:?}");
        let error = device.sync().unwrap_err();
        assert!(matches!(error, DeviceError::Lost { .. }), "{error:?}");
        assert!(error.to_string().contains("start the program again"));
    }
    let host = DeviceSpec::Cpu.open().unwrap();
    assert_eq!(sum(&host, 8).unwrap(), 64.0);
    assert!(!fault::lose(&host));
}
