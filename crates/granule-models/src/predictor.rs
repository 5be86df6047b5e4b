//! Inference for every kind of model: samples in, outputs out.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use granule_io::budget;
use granule_io::image::{self as files, Background, Channels, Fit, Picture, Resize};
use granule_io::words::counted;
use granule_ops::Plan;
use image::DynamicImage;

use crate::{
    InputShape, InputSpec, Model as _, ModelError, ModelFile, Network, Outline, Provenance,
    Stepper, Task,
};

/// The number of samples computed together.
const BATCH: usize = 64;

/// Of samples that are small, as many as have so many values.
const VALUES: usize = 1 << 20;

/// One sample, in any of the forms an application has it in.
///
/// Images are read as in training: turned upright, laid over [`InputSpec::background`] where they are transparent,
/// resized by [`InputSpec::resize`] if the model was trained so, and converted to the greyscale or RGB that it takes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Sample<'a> {
    /// Pixels from 0 to 255, channel, row, column.
    Pixels(&'a [u8]),
    /// Values before normalisation: features of a vector, or intensities of an image (channel, row, column) from 0 to 1, or
    /// in the range that the model was trained on ([`InputSpec::range`]).
    Values(&'a [f32]),
    /// The same in double precision, for features far from zero.
    Doubles(&'a [f64]),
    /// The bytes of an image file: PNG, JPEG, WebP, BMP or GIF.
    Encoded(&'a [u8]),
    /// A decoded, upright image.
    Image(&'a DynamicImage),
    /// An image file.
    File(&'a Path),
}

/// The pixels of an image in the form that a model takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// From 0 to 255, channel, row, column: what [`Sample::Pixels`] takes.
    pub values: Vec<u8>,
    /// Whether the image has transparent pixels, behind which [`InputSpec::background`] shows.
    pub transparent: bool,
}

/// A loaded model that gives its raw outputs: real values, or the logits of a classifier.
///
/// It is `Send + Sync`; a shared reference serves any number of threads.
#[derive(Debug)]
pub struct Predictor {
    engine: Engine,
    input: InputSpec,
    task: Task,
    provenance: Provenance,
    resize: Option<Resize>,
    inverting: bool,
    /// What each pixel value of each channel becomes; empty where there is no such table.
    pixels: Vec<[f32; 256]>,
    /// Room for samples that are made ready, of calls that are over.
    idle: Mutex<Vec<Vec<f32>>>,
}

/// What computes.
#[derive(Debug)]
enum Engine {
    /// On the CPU, layers that it knows. The network stands beside where it can be taken step by step as well.
    Plan(Plan, Option<Network>),
    /// Any other model, and any other device.
    Network(Network, Device),
}

impl Engine {
    fn of(file: &ModelFile, device: &Device) -> Result<Self, ModelError> {
        let network = file.network(device)?.valid();
        let values: usize = file.state.0.values().map(|tensor| tensor.data.len()).sum();
        // The weights stand beside those of the network for a while.
        let room = budget::ask_for::<f32>(format_args!("the weights of a plan"), values).is_ok();
        let (shape, outputs) = (&file.input.shape, file.task.outputs());
        let plan = room.then(|| Outline::plan(&network, &file.state, shape, outputs));
        let plan = plan.flatten();
        Ok(match plan {
            Some(plan) => {
                let steps = !matches!(network.step(), Ok(None));
                Self::Plan(plan, steps.then_some(network))
            }
            None => Self::Network(network, device.clone()),
        })
    }

    /// The outputs of some samples, `[samples, outputs]`, into `out`, which has room for them.
    fn run(&self, values: &[f32], samples: usize, out: &mut [f32]) -> Result<(), ModelError> {
        match self {
            Self::Plan(plan, _) => plan.run(values, out),
            Self::Network(network, device) => {
                let shape = [samples, values.len() / samples.max(1)];
                let data = TensorData::new(values.to_vec(), shape);
                let result = network.forward(Tensor::from_data(data, device))?;
                let result = result
                    .try_into_vec_as::<f32>()
                    .map_err(ModelError::device)?;
                if result.len() != out.len() {
                    return Err(ModelError::device("another number of outputs"));
                }
                out.copy_from_slice(&result);
            }
        }
        if out.iter().all(|value| value.is_finite()) {
            Ok(())
        } else {
            Err(ModelError::NonFiniteOutput)
        }
    }
}

impl Predictor {
    /// Loads a model file, a checkpoint, or the model of a run folder.
    ///
    /// # Errors
    ///
    /// Those of [`ModelFile::load`] and [`ModelFile::network`].
    pub fn from_path(path: impl AsRef<Path>, device: &Device) -> Result<Self, ModelError> {
        let path = path.as_ref();
        Self::from_file(&ModelFile::load(path)?, device).map_err(|error| error.in_file(path))
    }

    /// Loads the content of a model file.
    ///
    /// # Errors
    ///
    /// Those of [`ModelFile::from_bytes`] and [`ModelFile::network`].
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self, ModelError> {
        Self::from_file(&ModelFile::from_bytes(bytes)?, device)
    }

    /// Takes a model file that is in memory already.
    ///
    /// # Errors
    ///
    /// Those of [`ModelFile::network`].
    pub fn from_file(file: &ModelFile, device: &Device) -> Result<Self, ModelError> {
        let device = device.clone().without_autodiff();
        Ok(Self {
            engine: Engine::of(file, &device)?,
            input: file.input.clone(),
            task: file.task.clone(),
            provenance: file.provenance.clone(),
            resize: file.input.resize,
            inverting: false,
            pixels: pixel_table(&file.input),
            idle: Mutex::default(),
        })
    }

    /// Whether images of another size are resized, as in training or else stretched, rather than refused. At first
    /// they are resized as in training, if they were.
    #[must_use]
    pub fn resizing(self, resizing: bool) -> Self {
        let resize = self.input.resize;
        self.resizing_by(resizing.then(|| resize.unwrap_or_default()))
    }

    /// How images of another size are resized; None refuses them.
    #[must_use]
    pub fn resizing_by(mut self, resize: Option<Resize>) -> Self {
        self.resize = resize;
        self
    }

    /// Whether the brightness of images, in any form, is inverted: for dark strokes on light paper. Off at first.
    #[must_use]
    pub fn inverting(mut self, inverting: bool) -> Self {
        self.inverting = inverting;
        self
    }

    /// What the transparent pixels of image files are laid over, instead of what training laid them over.
    #[must_use]
    pub fn laying_over(mut self, background: Background) -> Self {
        self.input.background = background;
        self
    }

    /// The numbers of black and white in images that come as values, instead of those the model was trained on.
    ///
    /// # Errors
    ///
    /// [`ModelError::Config`] when they are not two finite numbers, that of black first.
    pub fn ranging(mut self, range: Option<[f64; 2]>) -> Result<Self, ModelError> {
        if range.is_some() {
            self.input.range = range;
        }
        self.input.validate()?;
        Ok(self)
    }

    /// What the model takes.
    pub fn input(&self) -> &InputSpec {
        &self.input
    }

    /// What the outputs mean.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// Where the model comes from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The outputs for one sample.
    ///
    /// # Errors
    ///
    /// [`ModelError::InputLength`], [`ModelError::ImageSize`], [`ModelError::NotAnImageModel`], [`ModelError::Intensity`],
    /// [`ModelError::NonFiniteInput`] or [`ModelError::Image`] for a sample the model cannot take;
    /// [`ModelError::NonFiniteOutput`] and [`ModelError::Device`] when computing fails.
    pub fn outputs(&self, sample: Sample<'_>) -> Result<Vec<f32>, ModelError> {
        let mut outputs = vec![0.0; self.task.outputs()];
        self.outputs_into(sample, &mut outputs)?;
        Ok(outputs)
    }

    /// The outputs for one sample, into `out`. For a sample of pixels or values, after the first call and on the CPU, a model of
    /// layers that an [`Outline`] knows asks for no memory; where one sample is work for several threads, their queue may.
    ///
    /// # Errors
    ///
    /// Those of [`outputs`](Self::outputs); [`ModelError::Config`] where `out` has another length.
    pub fn outputs_into(&self, sample: Sample<'_>, out: &mut [f32]) -> Result<(), ModelError> {
        self.check_out(1, out.len())?;
        self.with_room(|values| {
            self.prepare(sample, values)?;
            self.engine.run(values, 1, out)?;
            self.task.scale_back(out)
        })
    }

    /// The outputs for many samples, in their order.
    ///
    /// # Errors
    ///
    /// Those of [`outputs`](Self::outputs), for the first sample that fails.
    pub fn outputs_batch(&self, samples: &[Sample<'_>]) -> Result<Vec<Vec<f32>>, ModelError> {
        let mut outputs = Vec::with_capacity(samples.len());
        self.each_outputs(samples, |row| outputs.push(row.to_vec()))?;
        Ok(outputs)
    }

    /// The outputs for many samples into `out`, `[samples, outputs]`.
    ///
    /// # Errors
    ///
    /// Those of [`outputs`](Self::outputs), for the first sample that fails; [`ModelError::Config`] where `out` has another
    /// length.
    pub fn outputs_batch_into(
        &self,
        samples: &[Sample<'_>],
        out: &mut [f32],
    ) -> Result<(), ModelError> {
        self.check_out(samples.len(), out.len())?;
        let mut rows = out.chunks_mut(self.task.outputs().max(1));
        self.each_outputs(samples, |outputs| {
            if let Some(row) = rows.next() {
                row.copy_from_slice(outputs);
            }
        })
    }

    /// What the network is given for these samples, checked and normalised, `[samples, values]`.
    ///
    /// # Errors
    ///
    /// Those of [`outputs`](Self::outputs), for the first sample that fails; [`ModelError::Memory`].
    pub fn inputs(&self, samples: &[Sample<'_>]) -> Result<Vec<f32>, ModelError> {
        let len = samples.len().saturating_mul(self.input.shape.len());
        budget::ask_for::<f32>(format_args!("the samples"), len)?;
        let mut values = Vec::with_capacity(len);
        for sample in samples {
            self.prepare(*sample, &mut values)?;
        }
        Ok(values)
    }

    /// What takes the model step by step.
    ///
    /// # Errors
    ///
    /// [`ModelError::NotRecurrent`] for a model without a state that goes from step to step; those of [`Stepper::new`].
    pub fn stepper(&self) -> Result<Stepper, ModelError> {
        match &self.engine {
            Engine::Plan(_, None) => Err(ModelError::NotRecurrent),
            Engine::Plan(_, Some(network)) | Engine::Network(network, _) => {
                let stepper = Stepper::new(network, &self.input, &self.task)?;
                Ok(stepper.inverting(self.inverting))
            }
        }
    }

    fn check_out(&self, samples: usize, found: usize) -> Result<(), ModelError> {
        let outputs = self.task.outputs();
        if samples.checked_mul(outputs) == Some(found) {
            return Ok(());
        }
        let allowed = match samples {
            1 => format!("{}, as the model gives", counted(outputs, "value")),
            _ => format!(
                "{} for each of {samples} samples",
                counted(outputs, "value")
            ),
        };
        Err(ModelError::config("out", counted(found, "value"), allowed))
    }

    /// Hands over the outputs of each sample, as [`outputs_batch`](Self::outputs_batch) gives them.
    pub(crate) fn each_outputs(
        &self,
        samples: &[Sample<'_>],
        mut take: impl FnMut(&mut [f32]),
    ) -> Result<(), ModelError> {
        let together = match self.engine {
            Engine::Plan(..) => BATCH.max(VALUES / self.input.shape.len().max(1)),
            Engine::Network(..) => BATCH,
        };
        let width = self.task.outputs();
        let mut given = vec![0.0; width * together.min(samples.len())];
        self.with_room(|values| {
            for batch in samples.chunks(together) {
                values.clear();
                for sample in batch {
                    self.prepare(*sample, values)?;
                }
                let given = &mut given[..batch.len() * width];
                self.engine.run(values, batch.len(), given)?;
                for row in given.chunks_mut(width.max(1)) {
                    self.task.scale_back(row)?;
                    take(row);
                }
            }
            Ok(())
        })
    }

    /// Runs `body` with an empty vector whose memory is kept for the calls to come; nothing is locked while it runs.
    fn with_room(
        &self,
        body: impl FnOnce(&mut Vec<f32>) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut values = idle().pop().unwrap_or_default();
        values.clear();
        let result = body(&mut values);
        if values.capacity() <= 2 * VALUES {
            idle().push(values);
        }
        result
    }

    /// Appends one sample, normalised.
    fn prepare(&self, sample: Sample<'_>, out: &mut Vec<f32>) -> Result<(), ModelError> {
        match sample {
            Sample::Pixels(pixels) => self.prepare_pixels(pixels, out),
            Sample::Values(values) => self.input.prepare(values, self.inverting, out),
            Sample::Doubles(values) => self.input.prepare_doubles(values, self.inverting, out),
            sample => {
                let pixels = self.pixels(sample)?;
                self.prepare_pixels(&pixels.values, out)
            }
        }
    }

    /// The pixels of an image in the form that the model takes, before they are inverted.
    ///
    /// # Errors
    ///
    /// As [`outputs`](Self::outputs); [`ModelError::Config`] for samples that are values.
    pub fn pixels(&self, sample: Sample<'_>) -> Result<Pixels, ModelError> {
        let background = self.input.background;
        match sample {
            Sample::Pixels(pixels) => Ok(Pixels {
                values: pixels.to_vec(),
                transparent: false,
            }),
            Sample::Values(_) | Sample::Doubles(_) => Err(ModelError::config(
                "sample",
                "values",
                "an image, or pixels",
            )),
            Sample::Encoded(bytes) => self.fit(Picture::decode(bytes, background)?),
            Sample::Image(image) => self.fit(Picture::from_image(image, background)?),
            Sample::File(path) => files::read(path)
                .map_err(ModelError::from)
                .and_then(|bytes| self.pixels(Sample::Encoded(&bytes)))
                .map_err(|error| error.in_file(path)),
        }
    }

    fn fit(&self, picture: Picture) -> Result<Pixels, ModelError> {
        let not_an_image = || ModelError::NotAnImageModel {
            expected: self.input.shape.to_string(),
        };
        let InputShape::Image {
            channels,
            height,
            width,
        } = self.input.shape
        else {
            return Err(not_an_image());
        };
        let fit = Fit {
            channels: Channels::of_count(channels).ok_or_else(not_an_image)?,
            height,
            width,
            resize: self.resize,
            background: self.input.background,
        };
        Ok(Pixels {
            transparent: picture.is_transparent(),
            values: picture.fit(&fit)?,
        })
    }

    /// Appends pixels as they are normalised.
    fn prepare_pixels(&self, pixels: &[u8], out: &mut Vec<f32>) -> Result<(), ModelError> {
        self.input.check_len(pixels.len())?;
        let flip = if self.inverting { 255 } else { 0 };
        if let Some(plane) = pixels.len().checked_div(self.pixels.len()) {
            for (pixels, table) in pixels.chunks(plane.max(1)).zip(&self.pixels) {
                out.extend(pixels.iter().map(|pixel| table[usize::from(*pixel ^ flip)]));
            }
            return Ok(());
        }
        let scaled = pixels.iter().map(|pixel| f32::from(*pixel ^ flip) / 255.0);
        self.input.normalize(scaled, out);
        Ok(())
    }
}

/// What each pixel value becomes in an image of few channels.
fn pixel_table(input: &InputSpec) -> Vec<[f32; 256]> {
    let InputShape::Image {
        channels: channels @ 1..=4,
        height,
        width,
    } = input.shape
    else {
        return Vec::new();
    };
    // Images of a few pixels are computed as fast.
    if height.saturating_mul(width) < 256 {
        return Vec::new();
    }
    let mut table = vec![[0.0; 256]; channels];
    let one = InputSpec {
        shape: InputShape::Image {
            channels,
            height: 1,
            width: 1,
        },
        ..input.clone()
    };
    let mut values = Vec::with_capacity(channels);
    for pixel in 0..=u8::MAX {
        values.clear();
        let scaled = f32::from(pixel) / 255.0;
        one.normalize(std::iter::repeat_n(scaled, channels), &mut values);
        for (table, value) in table.iter_mut().zip(&values) {
            table[usize::from(pixel)] = *value;
        }
    }
    table
}
