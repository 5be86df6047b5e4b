//! Rules of optimisers on GPUs: a unit for each weight.

use burn::backend::TensorMetadata;
use burn::tensor::Tensor;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::UpdateRule;
use crate::gpu::{
    as_primitive, as_tensor, most_elements, one_for_each, row_major, serves, unwritten,
};

/// The most buffers that a kernel here is given, and those that CubeCL adds.
const BINDINGS: u32 = 10;

/// The gradient with what of the weight is added to it. `scale` is what the gradient is multiplied by first, where there is such a
/// factor.
#[cube]
fn whole_gradient(weight: f32, gradient: f32, scale: &[f32], scaled: u32, decay: f32) -> f32 {
    let mut g = gradient;
    if scaled == 1 {
        g *= scale[0];
    }
    g + decay * weight
}

#[cube(launch, address_type = "dynamic")]
fn momentum(
    weight: &[f32],
    gradient: &[f32],
    scale: &[f32],
    buffer: &[f32],
    next: &mut [f32],
    next_buffer: &mut [f32],
    scaled: u32,
    keep: f32,
    decay: f32,
    rate: f32,
    mu: f32,
    nesterov: u32,
) {
    let own = ABSOLUTE_POS;
    if own < weight.len() {
        let w = weight[own];
        let g = whole_gradient(w, gradient[own], scale, scaled, decay);
        let b = mu * buffer[own] + g;
        next_buffer[own] = b;
        next[own] = w * keep - rate * select(nesterov == 1, g + mu * b, b);
    }
}

#[cube(launch, address_type = "dynamic")]
fn plain(
    weight: &[f32],
    gradient: &[f32],
    scale: &[f32],
    next: &mut [f32],
    scaled: u32,
    keep: f32,
    decay: f32,
    rate: f32,
) {
    let own = ABSOLUTE_POS;
    if own < weight.len() {
        let w = weight[own];
        let g = whole_gradient(w, gradient[own], scale, scaled, decay);
        next[own] = w * keep - rate * g;
    }
}

#[cube(launch, address_type = "dynamic")]
fn adam(
    weight: &[f32],
    gradient: &[f32],
    scale: &[f32],
    mean: &[f32],
    square: &[f32],
    next: &mut [f32],
    next_mean: &mut [f32],
    next_square: &mut [f32],
    scaled: u32,
    keep: f32,
    decay: f32,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    step: f32,
    root: f32,
    epsilon: f32,
) {
    let own = ABSOLUTE_POS;
    if own < weight.len() {
        let w = weight[own];
        let g = whole_gradient(w, gradient[own], scale, scaled, decay);
        let m = beta1 * mean[own] + rest1 * g;
        let v = beta2 * square[own] + rest2 * g * g;
        next_mean[own] = m;
        next_square[own] = v;
        next[own] = w * keep - step * m / (v.sqrt() * root + epsilon);
    }
}

/// The weights and the state after an update; `None` where no kernel serves these tensors.
pub(super) fn update(
    weight: &Tensor<1>,
    gradient: &Tensor<1>,
    scale: Option<&Tensor<1>>,
    state: &[Tensor<1>],
    rule: UpdateRule,
) -> Option<(Tensor<1>, Vec<Tensor<1>>)> {
    let len = weight.dims()[0];
    let mut all = state.iter().chain([weight, gradient]);
    let fits = all.all(|x| x.dims() == [len] && serves(x))
        && scale.is_none_or(|scale| scale.dims() == [1] && serves(scale))
        && state.len() == rule.slots()
        && len <= most_elements(weight)
        && crate::gpu::bindings(weight) >= BINDINGS;
    if !fits {
        return None;
    }
    if len == 0 {
        return Some((weight.clone(), state.to_vec()));
    }
    let primitive = |x: &Tensor<1>| as_primitive(x.clone()).map(row_major);
    let (weight, gradient) = (primitive(weight)?, primitive(gradient)?);
    let scaled = u32::from(scale.is_some());
    let scale = match scale {
        Some(scale) => primitive(scale)?,
        None => gradient.clone(),
    };
    let before: Vec<CubeTensor> = state.iter().map(primitive).collect::<Option<_>>()?;
    let like = || unwritten(&weight, weight.shape());
    let after: Vec<CubeTensor> = before.iter().map(|_| like()).collect();
    let next = like();
    let (count, dim) = one_for_each(&next.client, len);
    let address = next.required_address_type();
    let client = next.client.clone();
    let own = weight.clone().into_buffer_arg();
    let (gradient, scale) = (gradient.into_buffer_arg(), scale.into_buffer_arg());
    let to = next.clone().into_buffer_arg();
    let arg = |x: &CubeTensor| x.clone().into_buffer_arg();
    match (rule, &before[..], &after[..]) {
        (UpdateRule::Plain { keep, decay, rate }, _, _) => plain::launch(
            &client, count, dim, address, own, gradient, scale, to, scaled, keep, decay, rate,
        ),
        (
            UpdateRule::Momentum {
                keep,
                decay,
                rate,
                momentum: mu,
                nesterov,
            },
            [buffer],
            [next_buffer],
        ) => momentum::launch(
            &client,
            count,
            dim,
            address,
            own,
            gradient,
            scale,
            arg(buffer),
            to,
            arg(next_buffer),
            scaled,
            keep,
            decay,
            rate,
            mu,
            u32::from(nesterov),
        ),
        (
            UpdateRule::Adam {
                keep,
                decay,
                beta: [beta1, beta2],
                rest: [rest1, rest2],
                step,
                root,
                epsilon,
            },
            [mean, square],
            [next_mean, next_square],
        ) => adam::launch(
            &client,
            count,
            dim,
            address,
            own,
            gradient,
            scale,
            arg(mean),
            arg(square),
            to,
            arg(next_mean),
            arg(next_square),
            scaled,
            keep,
            decay,
            beta1,
            rest1,
            beta2,
            rest2,
            step,
            root,
            epsilon,
        ),
        _ => return None,
    }
    let after = after.into_iter().map(as_tensor).collect();
    Some((as_tensor(next), after))
}
