//! A plan of layers: what can be joined is joined, shapes are followed, weights are packed.

use std::borrow::Cow;
use std::sync::Mutex;

use super::convolution::Convolution;
use super::field::Field;
use super::packed::Packed;
use super::vector;
use super::winograd::Winograd;
use super::{ImageStep, Images, Plan, PlanActivation, PlanInput, PlanLayer, VectorStep};

/// The most values between the layers of one sample.
const MOST: usize = 1 << 26;

pub(super) fn plan(input: PlanInput, layers: Vec<PlanLayer<'_>>, outputs: usize) -> Option<Plan> {
    if !vector::is_there() {
        return None;
    }
    let mut layers = folded(layers)?;
    let inputs = match input {
        PlanInput::Image([channels, height, width]) => {
            channels.checked_mul(height)?.checked_mul(width)?
        }
        PlanInput::Vector(len) => len,
    };
    if !(1..=MOST).contains(&inputs) || outputs == 0 {
        return None;
    }
    let last = layers.iter().rev().find_map(|layer| match layer {
        PlanLayer::Dense { outputs, .. } => Some(*outputs),
        _ => None,
    });
    let flat = layers
        .iter()
        .position(|layer| matches!(layer, PlanLayer::Flatten));
    let (images, order) = match input {
        PlanInput::Image(shape) => {
            let vectors = layers.split_off(flat?);
            let image_layers = core::mem::replace(&mut layers, vectors);
            if image_layers.is_empty() {
                (None, None)
            } else {
                let (images, last) = images(shape, image_layers)?;
                (
                    Some(images),
                    Some([last.channels, last.size[0], last.size[1]]),
                )
            }
        }
        PlanInput::Vector(_) => (None, None),
    };
    let features = match &images {
        Some(images) => images.features,
        None => inputs,
    };
    let vectors = vectors(features, order, layers)?;
    let dense = vectors.iter().filter_map(|step| match step {
        VectorStep::Dense { weights, .. } => Some(weights),
        _ => None,
    });
    let widest = dense.clone().map(Packed::padded).max()?;
    let widest = match vectors.first() {
        Some(VectorStep::Dense { .. }) => widest,
        _ => widest.max(features),
    };
    if widest > MOST || outputs > last? {
        return None;
    }
    let of_images = images.iter().flat_map(|images| &images.steps);
    let work: usize = of_images
        .map(|step| match step {
            ImageStep::Convolution(convolution) => convolution.work(),
            ImageStep::Winograd(convolution) => convolution.work(),
            _ => 0,
        })
        .chain(dense.map(Packed::len))
        .fold(0, usize::saturating_add);
    Some(Plan {
        inputs,
        outputs,
        images,
        vectors,
        widest,
        work,
        idle: Mutex::default(),
    })
}

/// The layers with every scale in the weights before it, where there are some.
fn folded(layers: Vec<PlanLayer<'_>>) -> Option<Vec<PlanLayer<'_>>> {
    let mut out: Vec<PlanLayer<'_>> = Vec::with_capacity(layers.len());
    for layer in layers {
        let PlanLayer::Scale { scale, shift } = &layer else {
            out.push(layer);
            continue;
        };
        let (weight, bias, count, by_rows) = match out.last_mut() {
            Some(PlanLayer::Dense {
                weight,
                bias,
                outputs,
            }) => (weight, bias, *outputs, false),
            Some(PlanLayer::Convolution {
                weight,
                bias,
                filters,
                ..
            }) => (weight, bias, *filters, true),
            _ => {
                out.push(layer);
                continue;
            }
        };
        let had = bias.as_ref().map_or(count, |bias| bias.len());
        if count == 0 || [scale.len(), shift.len(), had] != [count; 3] {
            return None;
        }
        let each = (weight.len() / count).max(1);
        for (i, weight) in weight.to_mut().iter_mut().enumerate() {
            let place = if by_rows { i / each } else { i % count };
            *weight *= scale[place];
        }
        let had = bias.take().unwrap_or_else(|| vec![0.0; count].into());
        let values = had.iter().zip(scale).zip(shift);
        *bias = Some(
            values
                .map(|((bias, scale), shift)| bias * scale + shift)
                .collect(),
        );
    }
    Some(out)
}

/// A layer of images whose weights wait for the form of what it takes.
enum Sketch<'a> {
    Convolution {
        weight: Cow<'a, [f32]>,
        bias: Option<Cow<'a, [f32]>>,
        filters: usize,
        kernel: [usize; 2],
        stride: [usize; 2],
        winograd: bool,
        size: [usize; 2],
        rectify: bool,
        pool: usize,
    },
    Step(ImageStep),
}

/// The layers of images, and the last image.
fn images(
    [channels, height, width]: [usize; 3],
    layers: Vec<PlanLayer<'_>>,
) -> Option<(Images, Field)> {
    let mut fields = vec![Field::new(channels, [height, width], channels)];
    let mut sketches: Vec<Sketch<'_>> = Vec::new();
    for layer in layers {
        let from = fields.last_mut()?;
        let (channels, side, pixel) = (from.channels, from.size, from.pixel);
        match layer {
            PlanLayer::Convolution {
                weight,
                bias,
                filters,
                kernel,
                options,
            } => {
                let (stride, padding) = (options.stride, options.padding);
                let size = windows(side, kernel, stride, padding)?;
                let expected = [filters, channels, kernel[0], kernel[1]];
                let expected = expected.into_iter().try_fold(1, usize::checked_mul)?;
                let biases = bias.as_ref().map_or(filters, |bias| bias.len());
                if filters == 0 || weight.len() != expected || biases != filters {
                    return None;
                }
                let winograd = Winograd::serves(kernel, stride, channels, filters);
                from.border = padding;
                from.full = [0, 1].map(|axis| {
                    let padded = side[axis] + 2 * padding[axis];
                    let read = if winograd {
                        Winograd::reads(size)[axis]
                    } else {
                        0
                    };
                    padded.max(read)
                });
                fields.push(Field::new(filters, size, Packed::padded_columns(filters)));
                sketches.push(Sketch::Convolution {
                    weight,
                    bias,
                    filters,
                    kernel,
                    stride,
                    winograd,
                    size,
                    rectify: false,
                    pool: 1,
                });
            }
            PlanLayer::Activation(PlanActivation::Relu) if rectified(&mut sketches) => {}
            PlanLayer::MaxPool { size, stride } => {
                let given = windows(side, size, stride, [0, 0])?;
                if pooled(&mut sketches, size, stride) {
                    from.size = given;
                    from.full = given;
                } else {
                    fields.push(Field::new(channels, given, pixel));
                    sketches.push(Sketch::Step(ImageStep::MaxPool { size, stride }));
                }
            }
            PlanLayer::Activation(activation) => {
                sketches.push(Sketch::Step(ImageStep::Activation(activation)));
            }
            PlanLayer::Scale { scale, shift } => {
                if [scale.len(), shift.len()] != [channels; 2] {
                    return None;
                }
                sketches.push(Sketch::Step(ImageStep::Scale { scale, shift }));
            }
            PlanLayer::Dense { .. } | PlanLayer::Flatten => return None,
        }
    }
    let mut len = 0_usize;
    for field in &mut fields {
        field.start = len;
        len = len.checked_add(field.len()?)?;
    }
    let last = *fields.last()?;
    let features = last
        .channels
        .checked_mul(last.size[0])?
        .checked_mul(last.size[1])?;
    if len > MOST || features == 0 {
        return None;
    }
    let mut at = 0;
    let mut steps = Vec::with_capacity(sketches.len());
    for sketch in sketches {
        let step = sketch.step(fields.get(at)?);
        at += usize::from(!step.is_in_place());
        steps.push(step);
    }
    let images = Images {
        fields,
        steps,
        len,
        features,
    };
    Some((images, last))
}

/// How many positions windows have in an image.
fn windows(
    side: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
) -> Option<[usize; 2]> {
    let along = |axis: usize| {
        let padded = side[axis].checked_add(padding[axis].checked_mul(2)?)?;
        let room = padded.checked_sub(kernel[axis])?;
        (kernel[axis] > 0).then_some(room.checked_div(stride[axis])? + 1)
    };
    Some([along(0)?, along(1)?])
}

/// Whether the convolution before rectifies what it gives.
fn rectified(sketches: &mut [Sketch<'_>]) -> bool {
    match sketches.last_mut() {
        Some(Sketch::Convolution { rectify, .. }) => {
            *rectify = true;
            true
        }
        _ => false,
    }
}

/// Whether the convolution before takes the largest of what it gives.
fn pooled(sketches: &mut [Sketch<'_>], window: [usize; 2], moved: [usize; 2]) -> bool {
    match sketches.last_mut() {
        Some(Sketch::Convolution { pool, winograd, .. })
            if *pool == 1
                && window == moved
                && window[0] == window[1]
                && (!*winograd || window[0] == 2) =>
        {
            *pool = window[0];
            true
        }
        _ => false,
    }
}

impl Sketch<'_> {
    fn step(self, from: &Field) -> ImageStep {
        match self {
            Self::Step(step) => step,
            Self::Convolution {
                weight,
                bias,
                filters,
                kernel,
                stride,
                winograd,
                size,
                rectify,
                pool,
            } => {
                let bias = bias.as_deref();
                if winograd {
                    let sizes = [from.channels, filters];
                    let mut convolution = Winograd::new(&weight, bias, sizes, size);
                    convolution.rectify = rectify;
                    convolution.pool = pool == 2;
                    ImageStep::Winograd(convolution)
                } else {
                    let window = [filters, kernel[0], kernel[1]];
                    let mut convolution =
                        Convolution::new(&weight, bias, window, stride, size, from);
                    convolution.rectify = rectify;
                    convolution.pool = pool;
                    ImageStep::Convolution(convolution)
                }
            }
        }
    }
}

/// The layers of vectors. Where `order` is the shape of an image, they begin with one whose channels come last.
fn vectors(
    mut width: usize,
    mut order: Option<[usize; 3]>,
    layers: Vec<PlanLayer<'_>>,
) -> Option<Vec<VectorStep>> {
    let mut steps = Vec::with_capacity(layers.len());
    for layer in layers {
        // The place of a value in an image whose channels come first.
        let place = |k: usize| match order {
            Some([channels, height, width]) => k % channels * height * width + k / channels,
            None => k,
        };
        match layer {
            PlanLayer::Dense {
                weight,
                bias,
                outputs,
            } => {
                let biases = bias.as_ref().map_or(outputs, |bias| bias.len());
                let fits = Some(weight.len()) == width.checked_mul(outputs) && biases == outputs;
                if outputs == 0 || !fits {
                    return None;
                }
                let row = |k| place(k) * outputs;
                let weights = Packed::new([width, outputs], bias.as_deref(), &weight, row, 1);
                steps.push(VectorStep::Dense {
                    weights,
                    rectify: false,
                });
                (width, order) = (outputs, None);
            }
            PlanLayer::Activation(activation) => match steps.last_mut() {
                Some(VectorStep::Dense { rectify, .. }) if activation == PlanActivation::Relu => {
                    *rectify = true;
                }
                _ => steps.push(VectorStep::Activation(activation)),
            },
            PlanLayer::Scale { scale, shift } => {
                if [scale.len(), shift.len()] != [width; 2] {
                    return None;
                }
                let ordered = |values: &[f32]| (0..width).map(|k| values[place(k)]).collect();
                steps.push(VectorStep::Scale {
                    scale: ordered(&scale),
                    shift: ordered(&shift),
                });
            }
            PlanLayer::Flatten => {}
            PlanLayer::Convolution { .. } | PlanLayer::MaxPool { .. } => return None,
        }
    }
    // Values in the order of an image whose channels come last are no answer.
    order.is_none().then_some(steps)
}
