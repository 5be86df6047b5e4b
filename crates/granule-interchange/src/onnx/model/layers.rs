//! Layers that several models have. Weights are those of PyTorch, by the path of their layer.

use granule_models::Activation;

use super::super::graph::{Attribute, Graph, Value};

/// That of batch and layer norm.
const EPSILON: f32 = 1e-5;

/// Of a convolution: the side of its window, how far that moves, the zeros around the image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
}

impl Graph {
    /// `[batch, inputs]` → `[batch, outputs]`
    pub(super) fn dense(&mut self, x: &str, path: &str) -> Value {
        let [weight, bias] = ["weight", "bias"].map(|part| format!("{path}.{part}"));
        self.node(
            "Gemm",
            &[x, &weight, &bias],
            &[("transB", Attribute::Int(1))],
        )
    }

    /// The same along the last of any number of axes.
    pub(super) fn dense_along(&mut self, x: &str, path: &str) -> Value {
        let [weight, bias] = ["weight", "bias"].map(|part| format!("{path}.{part}"));
        let weight = self.transpose(&weight, &[1, 0]);
        let x = self.matmul(x, &weight);
        self.add(&x, &bias)
    }

    pub(super) fn conv(&mut self, x: &str, path: &str, window: Window, bias: bool) -> Value {
        let [weight, shift] = ["weight", "bias"].map(|part| format!("{path}.{part}"));
        let all = [x, &weight, &shift];
        let inputs = if bias { &all[..] } else { &all[..2] };
        let [kernel, stride, padding] =
            [window.kernel, window.stride, window.padding].map(|n| n as i64);
        self.node(
            "Conv",
            inputs,
            &[
                ("kernel_shape", Attribute::Ints(&[kernel; 2])),
                ("strides", Attribute::Ints(&[stride; 2])),
                ("pads", Attribute::Ints(&[padding; 4])),
            ],
        )
    }

    pub(super) fn batch_norm(&mut self, x: &str, path: &str) -> Value {
        let parts = ["weight", "bias", "running_mean", "running_var"];
        let [scale, shift, mean, variance] = parts.map(|part| format!("{path}.{part}"));
        self.node(
            "BatchNormalization",
            &[x, &scale, &shift, &mean, &variance],
            &[("epsilon", Attribute::Float(EPSILON))],
        )
    }

    /// Over all values of a sample, which keep their extents.
    pub(super) fn layer_norm(&mut self, x: &str, path: &str) -> Value {
        let [scale, shift] = ["weight", "bias"].map(|part| format!("{path}.{part}"));
        let shape = self.node("Shape", &[x], &[]);
        let flat = self.flatten(x);
        let flat = self.node(
            "LayerNormalization",
            &[&flat, &scale, &shift],
            &[
                ("axis", Attribute::Int(1)),
                ("epsilon", Attribute::Float(EPSILON)),
            ],
        );
        self.node("Reshape", &[&flat, &shape], &[])
    }

    pub(super) fn relu(&mut self, x: &str) -> Value {
        self.node("Relu", &[x], &[])
    }

    pub(super) fn sigmoid(&mut self, x: &str) -> Value {
        self.node("Sigmoid", &[x], &[])
    }

    pub(super) fn activation(&mut self, x: &str, activation: Activation) -> Value {
        match activation {
            Activation::Relu => self.relu(x),
            Activation::Tanh => self.node("Tanh", &[x], &[]),
            Activation::Sigmoid => self.sigmoid(x),
            Activation::Gelu => {
                // Gelu is an operator since opset 20.
                let root = self.float(std::f32::consts::FRAC_1_SQRT_2);
                let scaled = self.mul(x, &root);
                let erf = self.node("Erf", &[&scaled], &[]);
                let one = self.float(1.0);
                let twice = self.add(&erf, &one);
                let half = self.float(0.5);
                let share = self.mul(&twice, &half);
                self.mul(x, &share)
            }
        }
    }

    /// Of the windows of an image, or of the steps of a sequence whose channels come first.
    pub(super) fn pool(&mut self, operator: &str, x: &str, size: &[i64], stride: &[i64]) -> Value {
        self.node(
            operator,
            &[x],
            &[
                ("kernel_shape", Attribute::Ints(size)),
                ("strides", Attribute::Ints(stride)),
            ],
        )
    }

    /// The largest of each window of 2×2.
    pub(super) fn halved(&mut self, x: &str) -> Value {
        self.pool("MaxPool", x, &[2; 2], &[2; 2])
    }
}
