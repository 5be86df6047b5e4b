//! Which operation is a kernel of this crate on which kind of device.

/// An operation and the kinds of devices that have a kernel for it in this build; on others it is composed of Burn's operations,
/// or taken step by step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fused {
    /// Its name; that of its function, where there is one.
    pub operation: &'static str,
    /// On the CPU backends, in f32 and f64.
    pub cpu: bool,
    /// On GPUs, in f32.
    pub gpu: bool,
}

const CPU: bool = cfg!(any(feature = "flex", feature = "ndarray"));
const GPU: bool = cfg!(gpu);

const fn everywhere(operation: &'static str) -> Fused {
    Fused {
        operation,
        cpu: CPU,
        gpu: GPU,
    }
}

const fn on_cpus(operation: &'static str) -> Fused {
    Fused {
        operation,
        cpu: CPU,
        gpu: false,
    }
}

const fn on_gpus(operation: &'static str) -> Fused {
    Fused {
        operation,
        cpu: false,
        gpu: GPU,
    }
}

/// Every operation of this crate.
pub const FUSED: [Fused; 15] = [
    everywhere("firing_rate"),
    everywhere("rate_sequence"),
    everywhere("simulation steps of independent elements"),
    everywhere("conductance_step"),
    everywhere("tree_solve"),
    everywhere("update"),
    on_gpus("linear_relu"),
    on_gpus("cross_entropy"),
    on_cpus("simulation steps of other models"),
    on_cpus("sparse_product"),
    on_cpus("gated_sequence"),
    on_cpus("conv2d"),
    on_cpus("relu_max_pool2d"),
    on_cpus("linear"),
    on_cpus("inference plans"),
];
