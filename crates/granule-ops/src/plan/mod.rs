//! A feed-forward network at inference, on slices: weights packed once, work space that is kept, layers joined where that
//! saves a pass over the values.
//!
//! Each output is computed by one order of operations whatever it is computed with: a sample alone gives the same bits as in
//! a batch, on any number of threads. Batch normalisation goes into the weights before it, rectification and the pool after
//! a convolution into the convolution.

mod build;
mod convolution;
mod field;
mod map;
pub(crate) mod packed;
#[cfg(test)]
mod tests;
mod tile;
pub(crate) mod vector;
mod winograd;

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use convolution::{Convolution, LargestOfWindows};
use field::Field;
use packed::Packed;
use tile::Rows;
use vector::tiled;
use winograd::Winograd;

use crate::Conv2dOptions;

/// Multiply-adds of a step that several threads share.
const SHARED: usize = 1 << 20;

/// The most samples that a thread takes through the layers together.
const TOGETHER: usize = 128;

/// Values of a layer's samples that should stay in a cache.
const CACHED: usize = 1 << 20;

/// What one sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanInput {
    /// An image, channel, row, column: `[channels, height, width]`.
    Image([usize; 3]),
    /// So many values.
    Vector(usize),
}

/// One layer of a [`Plan`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PlanLayer<'a> {
    /// A dense layer, of vectors.
    Dense {
        /// `[inputs, outputs]`
        weight: Cow<'a, [f32]>,
        /// `[outputs]`
        bias: Option<Cow<'a, [f32]>>,
        /// The number of outputs.
        outputs: usize,
    },
    /// A convolution as [`conv2d`](crate::conv2d()), of images.
    Convolution {
        /// `[filters, channels, height, width]`
        weight: Cow<'a, [f32]>,
        /// `[filters]`
        bias: Option<Cow<'a, [f32]>>,
        /// The number of filters.
        filters: usize,
        /// Height and width of the window.
        kernel: [usize; 2],
        /// How it moves, and the zeros around the image.
        options: Conv2dOptions,
    },
    /// `x · scale + shift`, with numbers for each channel of an image or each value of a vector: batch normalisation.
    Scale {
        /// The factors.
        scale: Vec<f32>,
        /// What is added.
        shift: Vec<f32>,
    },
    /// A nonlinearity.
    Activation(PlanActivation),
    /// The largest value of each window of an image; rows and columns that fill no window are left out.
    MaxPool {
        /// Height and width of the window.
        size: [usize; 2],
        /// How far it moves.
        stride: [usize; 2],
    },
    /// Makes a vector of an image, channel, row, column.
    Flatten,
}

/// A nonlinearity, element by element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanActivation {
    /// max(0, x)
    Relu,
    /// x·Φ(x), with the normal distribution function Φ
    Gelu,
    /// tanh x
    Tanh,
    /// 1/(1 + exp(−x))
    Sigmoid,
}

/// A feed-forward network in f32 that is ready to run.
///
/// It is `Send + Sync`: calls at once have work space of their own, which is kept for the calls to come, and hold no lock
/// while they compute.
#[derive(Debug)]
pub struct Plan {
    inputs: usize,
    outputs: usize,
    /// What is done to each image.
    images: Option<Images>,
    /// What is done to vectors, many at a time.
    vectors: Vec<VectorStep>,
    /// From one row of vectors to the next between layers.
    widest: usize,
    /// Multiply-adds for one sample.
    work: usize,
    idle: Mutex<Vec<Workspace>>,
}

/// The layers of images.
#[derive(Debug)]
struct Images {
    fields: Vec<Field>,
    steps: Vec<ImageStep>,
    /// Values of all fields.
    len: usize,
    /// Values of the last, which the vectors begin with, channels last.
    features: usize,
}

/// A step from the field of the same index to the next, or on a field in its place.
#[derive(Debug)]
enum ImageStep {
    Convolution(Convolution),
    Winograd(Winograd),
    MaxPool {
        size: [usize; 2],
        stride: [usize; 2],
    },
    Activation(PlanActivation),
    Scale {
        scale: Vec<f32>,
        shift: Vec<f32>,
    },
}

impl ImageStep {
    fn is_in_place(&self) -> bool {
        matches!(self, Self::Activation(_) | Self::Scale { .. })
    }
}

#[derive(Debug)]
enum VectorStep {
    Dense { weights: Packed, rectify: bool },
    Activation(PlanActivation),
    Scale { scale: Vec<f32>, shift: Vec<f32> },
}

/// What one call computes in. The borders of fields stay zero.
#[derive(Debug, Default)]
struct Workspace {
    fields: Vec<f32>,
    features: Vec<f32>,
    /// Values before and after a layer.
    before: Vec<f32>,
    after: Vec<f32>,
}

fn grow(values: &mut Vec<f32>, len: usize) {
    if values.len() < len {
        values.resize(len, 0.0);
    }
}

impl Plan {
    /// A plan of these layers, which gives `outputs` values, the first of those of the last layer. None where the layers do
    /// not fit together, one sample would take more than 256 MiB between layers, or the processor has neither AVX2 with FMA nor
    /// NEON.
    pub fn new(input: PlanInput, layers: Vec<PlanLayer<'_>>, outputs: usize) -> Option<Self> {
        build::plan(input, layers, outputs)
    }

    /// The values of a sample.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The values that it gives for a sample.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Writes the outputs of samples that lie one after the other into `out`, `[samples, outputs]`.
    ///
    /// After the first call a single sample takes no memory, but what Rayon asks for where one sample is work for several
    /// threads.
    ///
    /// # Panics
    ///
    /// When `x` and `out` are not of one number of samples.
    pub fn run(&self, x: &[f32], out: &mut [f32]) {
        let rows = x.len() / self.inputs;
        assert!(
            x.len() == rows * self.inputs && out.len() == rows * self.outputs,
            "plan: values and outputs of one number of samples"
        );
        let most = (CACHED / self.features().max(self.widest)).clamp(1, TOGETHER);
        if rows <= 1 || rows.saturating_mul(self.work) < 2 * SHARED {
            let chunks = x.chunks(most * self.inputs);
            for (x, out) in chunks.zip(out.chunks_mut(most * self.outputs)) {
                self.run_rows(x, out, rows == 1 && self.work >= 2 * SHARED);
            }
            return;
        }
        // As many parts for each thread.
        let threads = rayon::current_num_threads();
        let parts = threads * rows.div_ceil(threads * most);
        let part = rows.div_ceil(parts);
        x.par_chunks(part * self.inputs)
            .zip(out.par_chunks_mut(part * self.outputs))
            .for_each(|(x, out)| self.run_rows(x, out, false));
    }

    /// The values that the layers of vectors begin with.
    fn features(&self) -> usize {
        match &self.images {
            Some(images) => images.features,
            None => self.inputs,
        }
    }

    fn run_rows(&self, x: &[f32], out: &mut [f32], share: bool) {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut space = idle().pop().unwrap_or_default();
        self.run_in(&mut space, x, out, share);
        idle().push(space);
    }

    fn run_in(&self, space: &mut Workspace, x: &[f32], out: &mut [f32], share: bool) {
        let rows = x.len() / self.inputs;
        let Workspace {
            fields,
            features,
            before,
            after,
        } = space;
        let x = match &self.images {
            None => x,
            Some(images) => {
                grow(fields, images.len);
                grow(features, rows * images.features);
                let each = x.chunks_exact(self.inputs);
                for (x, features) in each.zip(features.chunks_exact_mut(images.features)) {
                    images.run(x, fields, features, share);
                }
                &features[..rows * images.features]
            }
        };
        grow(before, rows * self.widest);
        grow(after, rows * self.widest);
        let mut width = self.features();
        for (from, to) in x
            .chunks_exact(width)
            .zip(before.chunks_exact_mut(self.widest))
        {
            // The first layer, if it is dense, takes its input where it lies.
            if !matches!(self.vectors.first(), Some(VectorStep::Dense { .. })) {
                to[..width].copy_from_slice(from);
            }
        }
        let mut first = true;
        for step in &self.vectors {
            match step {
                VectorStep::Dense { weights, rectify } => {
                    let (x, stride) = if first {
                        (x, width)
                    } else {
                        (&before[..], self.widest)
                    };
                    dense(
                        weights,
                        *rectify,
                        rows,
                        (x, stride),
                        after,
                        self.widest,
                        share,
                    );
                    core::mem::swap(before, after);
                    width = weights.columns;
                }
                VectorStep::Activation(activation) => {
                    for row in before.chunks_exact_mut(self.widest).take(rows) {
                        map::activate(*activation, &mut row[..width]);
                    }
                }
                VectorStep::Scale { scale, shift } => {
                    for row in before.chunks_exact_mut(self.widest).take(rows) {
                        map::scale(&mut row[..width], scale, shift);
                    }
                }
            }
            first = false;
        }
        let given = before.chunks_exact(self.widest);
        for (out, given) in out.chunks_exact_mut(self.outputs).zip(given) {
            out.copy_from_slice(&given[..self.outputs]);
        }
    }
}

/// `out = x · w + b`, rectified where asked for; `x` comes with what lies from one row to the next.
fn dense(
    weights: &Packed,
    rectify: bool,
    rows: usize,
    (x, stride): (&[f32], usize),
    out: &mut [f32],
    out_stride: usize,
    share: bool,
) {
    let panel = |index: usize, out: &mut [f32]| {
        Rows {
            rows,
            x,
            stride,
            depth: weights.depth,
            panel: weights.panel(index),
            rectify,
            out,
            out_stride,
        }
        .run();
    };
    if share && rows == 1 && weights.len() >= SHARED {
        let each = weights.panels().div_ceil(rayon::current_num_threads());
        out[..weights.padded()]
            .par_chunks_mut(weights.panel_width())
            .with_min_len(each)
            .enumerate()
            .for_each(|(index, out)| panel(index, out));
        return;
    }
    for index in 0..weights.panels() {
        let first = index * weights.panel_width();
        panel(index, &mut out[first..]);
    }
}

impl Images {
    fn run(&self, x: &[f32], fields: &mut [f32], features: &mut [f32], share: bool) {
        let mut at = 0;
        if let Some(first) = self.fields.first() {
            first.take(x, fields);
        }
        for step in &self.steps {
            let Some(from) = self.fields.get(at) else {
                return;
            };
            if step.is_in_place() {
                let field = &mut fields[from.start..];
                match step {
                    ImageStep::Activation(activation) => from.activate(*activation, field),
                    ImageStep::Scale { scale, shift } => from.scale(scale, shift, field),
                    _ => {}
                }
                continue;
            }
            at += 1;
            let Some(to) = self.fields.get(at) else {
                return;
            };
            let (x, out) = fields.split_at_mut(to.start);
            let (x, out) = (&x[from.start..], to.rows_mut(out));
            match step {
                ImageStep::Convolution(convolution) => {
                    let share = share && convolution.work() >= SHARED;
                    in_parts(out, to.row(), 1, share, |first, out| {
                        convolution.rows(from, x, to, first, out);
                    });
                }
                ImageStep::Winograd(convolution) => {
                    let share = share && convolution.work() >= SHARED;
                    in_parts(
                        out,
                        to.row(),
                        convolution.rows_of_a_tile(),
                        share,
                        |first, out| {
                            convolution.rows(from, x, to, first, out);
                        },
                    );
                }
                ImageStep::MaxPool { size, stride } => {
                    for (y, row) in out.chunks_exact_mut(to.row()).enumerate() {
                        tiled(LargestOfWindows {
                            x: &x[y * stride[0] * from.row()..],
                            row: from.row(),
                            pixel: from.pixel,
                            size: *size,
                            stride: stride[1],
                            out: &mut row[to.within()],
                        });
                    }
                }
                ImageStep::Activation(_) | ImageStep::Scale { .. } => {}
            }
        }
        if let Some(last) = self.fields.get(at) {
            last.give(&fields[last.start..], features);
        }
    }
}

/// Runs `body(first row, rows)` on all rows of `row` values, in parts of a multiple of `least` rows where threads share them.
fn in_parts(
    rows: &mut [f32],
    row: usize,
    least: usize,
    share: bool,
    body: impl Fn(usize, &mut [f32]) + Sync,
) {
    if !share {
        return body(0, rows);
    }
    let count = rows.len() / row;
    let part = count
        .div_ceil(rayon::current_num_threads())
        .next_multiple_of(least);
    rows.par_chunks_mut(part * row)
        .enumerate()
        .for_each(|(index, rows)| body(index * part, rows));
}
