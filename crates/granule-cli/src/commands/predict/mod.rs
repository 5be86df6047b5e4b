//! `granule predict`.

mod inputs;
mod recording;
mod show;
pub mod stream;

use std::path::Path;

use anyhow::{Context, bail};
use granule::data::arrays::{ArrayOptions, Items};
use granule::data::{Shape, arrays};
use granule::device::{DeviceSpec, OpenDevice};
use granule::io::image::Resize;
use granule::io::intensity::{Intensity, likely};
use granule::models::{
    Brightness, Classifier, InputShape, InputSpec, ModelError, ModelFile, Pixels, Predictor,
    Sample, Task,
};
use serde_json::json;

use super::target::{Target, on, open};
use crate::args;
use crate::config::of_evaluation;
use crate::failure::{self, Hinted, Usage};
use crate::output::{self, Paint, Stream, paint};
use crate::verbose;
use inputs::{Input, InputSource};
use show::{Form, Item};

/// The number of images answered together.
const BATCH: usize = 64;

/// What one item gave.
enum Answer {
    Classes(Vec<(String, f32)>),
    Values(Vec<f32>),
}

enum Model {
    Classes(Classifier),
    Values(Predictor),
}

impl Model {
    fn of(file: &ModelFile, device: &OpenDevice) -> Result<Self, ModelError> {
        Ok(match file.task {
            Task::Classification { .. } => {
                Self::Classes(Classifier::from_file(file, device.burn())?)
            }
            _ => Self::Values(Predictor::from_file(file, device.burn())?),
        })
    }

    fn predictor(&self) -> &Predictor {
        match self {
            Self::Classes(model) => model.predictor(),
            Self::Values(model) => model,
        }
    }

    fn answer(&self, samples: &[Sample<'_>], top: usize) -> Result<Vec<Answer>, ModelError> {
        Ok(match self {
            Self::Classes(model) => {
                let predictions = model.predict_batch(samples)?;
                predictions
                    .iter()
                    .map(|prediction| Answer::Classes(prediction.top(top).to_vec()))
                    .collect()
            }
            Self::Values(model) => model
                .outputs_batch(samples)?
                .into_iter()
                .map(Answer::Values)
                .collect(),
        })
    }
}

pub fn run(args: &args::Predict) -> anyhow::Result<()> {
    let target = Target::find(&args.model)?;
    let file = ModelFile::load(&target.model)?;
    verbose::phase("model read");
    let device = open(args.device.as_ref(), DeviceSpec::Cpu)?;
    on(&device, || predict(args, &target, &file, &device))
}

fn predict(
    args: &args::Predict,
    target: &Target,
    file: &ModelFile,
    device: &OpenDevice,
) -> anyhow::Result<()> {
    let in_file = |error: ModelError| error.in_file(&target.model);
    let background = args.background.unwrap_or(file.input.background);
    let model = match &file.task {
        Task::Classification { .. } => {
            let model = Classifier::from_file(file, device.burn()).map_err(in_file)?;
            let resize = resizing(&file.input, args.resize);
            let model = model.resizing_by(resize).laying_over(background);
            Model::Classes(model.inverting(args.invert).ranging(args.range)?)
        }
        Task::Trials { task, .. } => {
            return Err(Hinted::new(
                format!("the model does {task}, whose inputs are made by the task"),
                "`granule eval` tests it on new trials, `granule probe` looks into it",
            )
            .into());
        }
        Task::Recording { .. } => {
            return Err(Hinted::new(
                "the model follows a recording, it has no answer to an image or array",
                "`granule eval` scores it on its recording",
            )
            .into());
        }
        Task::Regression { .. } => {
            let model = Predictor::from_file(file, device.burn()).map_err(in_file)?;
            let resize = resizing(&file.input, args.resize);
            let model = model.resizing_by(resize).laying_over(background);
            Model::Values(model.inverting(args.invert).ranging(args.range)?)
        }
    };
    let recordings = args
        .inputs
        .iter()
        .filter(|input| recording::path(input).is_some());
    let of_sequences = matches!(file.input.shape, InputShape::Sequence { .. });
    let config = if of_sequences { target.config() } else { None };
    let data_seed = config
        .as_ref()
        .map_or(file.provenance.data_seed, |config| config.data.seed);
    let decoding = of_evaluation(config.as_ref(), &args.set)?.decoding;
    let recordings = recordings.count();
    if let (0, Some(text)) = (recordings, args.set.first()) {
        return Err(Usage::new(format!(
            "--set {text} says how recording:PATH is read, and no input is one"
        ))
        .into());
    }
    if recordings > 0 {
        let [only] = args.inputs.as_slice() else {
            return Err(Usage::new("a recording is answered alone")
                .hint("name one input")
                .into());
        };
        let form = Form::of(args, 0);
        let mut begun = false;
        let name = only.display().to_string();
        let path = recording::path(only).unwrap_or(only);
        return recording::answers(
            &model,
            path,
            (decoding.as_ref(), data_seed),
            args.top,
            |place, answer| {
                if !begun {
                    form.begin(&answer, Some(place))?;
                    begun = true;
                }
                form.show(&name, Item::Place(place), &answer)
            },
        );
    }
    let inputs = inputs::find(&args.inputs);
    let width = inputs.iter().map(|input| input.name.chars().count()).max();
    let mut answering = Answering {
        model,
        args,
        form: Form::of(args, width.unwrap_or(0)),
        decodes: decoding.is_some(),
        begun: false,
        alone: inputs.len() == 1,
        waiting: Vec::new(),
        failed: 0,
        seen: Seen::default(),
    };
    let count = inputs.len();
    for input in inputs {
        answering.take(input)?;
    }
    answering.end(count)
}

/// The inputs one after the other: one that fails is reported, and the others are answered still.
struct Answering<'a> {
    model: Model,
    args: &'a args::Predict,
    form: Form,
    /// Whether the model decodes recordings.
    decodes: bool,
    begun: bool,
    /// Whether there is one input only, whose failure is that of the command.
    alone: bool,
    /// Images that are answered together: names and pixels.
    waiting: Vec<(String, Vec<u8>)>,
    failed: usize,
    seen: Seen,
}

impl Answering<'_> {
    fn take(&mut self, input: Input) -> anyhow::Result<()> {
        let Input { name, source } = input;
        let pixels = |sample: Sample<'_>| {
            let pixels = self.model.predictor().pixels(sample);
            pixels.map_err(|error| explained(error, &name))
        };
        let image = match source {
            Err(error) => Err(error),
            Ok(InputSource::Array(path)) => {
                let answers = answers(&self.model, &mut self.seen, &path, None, self.args);
                return self.take_array(&name, answers);
            }
            Ok(InputSource::Image(path)) => pixels(Sample::File(&path)),
            Ok(InputSource::Stdin) => match inputs::stdin() {
                Ok(bytes) if inputs::is_of_arrays(&bytes) => {
                    let path = Path::new(&name);
                    let answers =
                        answers(&self.model, &mut self.seen, path, Some(&bytes), self.args);
                    return self.take_array(&name, answers);
                }
                Ok(bytes) if inputs::is_text(&bytes) => Err(Hinted::new(
                    "standard input is text; images and arrays (.npy, .npz) are read there",
                    "numpy.save writes an array: x = numpy.loadtxt(FILE, delimiter=\",\")",
                )
                .into()),
                bytes => bytes
                    .with_context(|| "cannot use standard input")
                    .and_then(|bytes| pixels(Sample::Encoded(&bytes))),
            },
        };
        match image {
            Ok(pixels) => {
                self.seen
                    .add(self.model.predictor().input(), &pixels, self.args.invert);
                self.waiting.push((name, pixels.values));
                if self.waiting.len() < BATCH {
                    Ok(())
                } else {
                    self.flush()
                }
            }
            Err(error) => {
                self.flush()?;
                self.fail(&name, error)
            }
        }
    }

    /// Shows the answers to an array, after those that wait.
    fn take_array(
        &mut self,
        name: &str,
        answers: anyhow::Result<Vec<Answer>>,
    ) -> anyhow::Result<()> {
        self.seen.arrays += 1;
        self.flush()?;
        match answers {
            Ok(answers) => self.show(name, &answers),
            Err(error) => self.fail(name, error),
        }
    }

    /// Answers the images that wait.
    fn flush(&mut self) -> anyhow::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let samples: Vec<_> = waiting
            .iter()
            .map(|(_, pixels)| Sample::Pixels(pixels))
            .collect();
        if let Ok(answers) = self.model.answer(&samples, self.args.top) {
            return waiting
                .iter()
                .zip(answers)
                .try_for_each(|((name, _), answer)| self.show(name, &[answer]));
        }
        // One of them failed: which one shows by itself.
        for ((name, _), sample) in waiting.iter().zip(&samples) {
            match self.model.answer(&[*sample], self.args.top) {
                Ok(answers) => self.show(name, &answers)?,
                Err(error) => self.fail(name, explained(error, name))?,
            }
        }
        Ok(())
    }

    fn show(&mut self, name: &str, answers: &[Answer]) -> anyhow::Result<()> {
        let several = answers.len() > 1;
        for (index, answer) in answers.iter().enumerate() {
            if !self.begun {
                self.form.begin(answer, None)?;
                self.begun = true;
            }
            let item = if several {
                Item::Index(index)
            } else {
                Item::Alone
            };
            self.form.show(name, item, answer)?;
        }
        Ok(())
    }

    fn fail(&mut self, name: &str, error: anyhow::Error) -> anyhow::Result<()> {
        let error = if self.decodes && !error.is::<Hinted>() {
            Hinted::new(
                format!("{error:#}"),
                "`granule predict RUN recording:PATH` answers every bin of a recording",
            )
            .into()
        } else {
            error
        };
        if self.alone {
            return Err(error);
        }
        self.failed += 1;
        if let Form::Json = self.form {
            let message = format!("{error:#}");
            output::event("error", json!({"input": name, "message": message}))?;
        }
        failure::report(&error);
        Ok(())
    }

    fn end(mut self, count: usize) -> anyhow::Result<()> {
        self.flush()?;
        let input = self.model.predictor().input();
        if self.seen.arrays > 0 && input.transpose && self.args.transpose.is_none() {
            output::note(
                "arrays are taken to be stored by columns, as in training; --transpose=false takes them as they are",
            );
        }
        self.seen.tell(input, self.args.invert);
        match self.failed {
            0 => Ok(()),
            failed => bail!(
                "{failed} of {} were not answered",
                output::counted(count, "input")
            ),
        }
    }
}

/// What strikes about the images.
#[derive(Default)]
struct Seen {
    arrays: usize,
    images: usize,
    transparent: usize,
    /// Transparent ones of which nothing but one colour is left.
    blank: usize,
    /// Far brighter and far darker ones.
    bright: usize,
    dark: usize,
    /// The brightness of all of them, and of those of training.
    sum: f64,
    trained: f64,
}

impl Seen {
    fn add(&mut self, input: &InputSpec, pixels: &Pixels, inverted: bool) {
        let values = &pixels.values;
        if pixels.transparent {
            self.transparent += 1;
            self.blank += usize::from(values.iter().all(|value| Some(value) == values.first()));
        }
        self.compare(input.brightness(values), inverted);
    }

    fn compare(&mut self, brightness: Option<Brightness>, inverted: bool) {
        let Some(mut brightness) = brightness else {
            return;
        };
        if inverted {
            brightness.found = 1.0 - brightness.found;
        }
        self.images += 1;
        self.sum += brightness.found;
        self.trained = brightness.trained;
        if brightness.is_far() {
            if brightness.found > brightness.trained {
                self.bright += 1
            } else {
                self.dark += 1
            }
        }
    }

    fn tell(&self, input: &InputSpec, inverted: bool) {
        if self.transparent > 0 {
            let lost = match self.blank {
                0 => String::new(),
                blank => {
                    format!(", of which {blank} became one colour: choose another --background")
                }
            };
            output::note(&format!(
                "{} with transparent pixels, laid over {}{lost}",
                output::counted(self.transparent, "image"),
                input.background
            ));
        }
        self.tell_brightness(inverted);
    }

    /// A hint where most images are unlike those of training.
    fn tell_brightness(&self, inverted: bool) {
        let (far, how) = if self.bright > self.dark {
            (self.bright, "brighter")
        } else {
            (self.dark, "darker")
        };
        if 2 * far <= self.images {
            return;
        }
        let images = match self.images {
            1 => "the image is".to_string(),
            images => format!("{far} of {images} images are"),
        };
        let advice = if inverted {
            "leave --invert away"
        } else {
            "if strokes are dark on light paper where those of training were light on dark, or the other way round, \
                      --invert turns them"
        };
        output::note(&format!(
            "{} {images} far {how} than those the model was trained on (mean {:.2}, there {:.2}): {advice}",
            paint(Paint::Good, "hint:", Stream::Stderr),
            self.sum / self.images.max(1) as f64,
            self.trained,
        ));
    }
}

/// How images of another size are resized: as a flag says, else as in training.
pub fn resizing(input: &InputSpec, flag: Option<Option<Resize>>) -> Option<Resize> {
    flag.map_or(input.resize, |how| {
        how.or(input.resize).or(Some(Resize::default()))
    })
}

/// The answers to the arrays of a file, or of its bytes.
fn answers(
    model: &Model,
    seen: &mut Seen,
    path: &Path,
    bytes: Option<&[u8]>,
    args: &args::Predict,
) -> anyhow::Result<Vec<Answer>> {
    let input = model.predictor().input();
    let len = input.shape.len();
    let options = ArrayOptions {
        range: input.range,
        layout: None,
        transpose: args.transpose.unwrap_or(input.transpose),
        targets: None,
    };
    let shape = shape(&input.shape);
    let items = match bytes {
        Some(bytes) => arrays::decode_items(bytes, path, &shape, &options)?,
        None => arrays::read_items(path, &shape, &options)?,
    };
    if args.range.is_none()
        && let Some(hint) = other_numbers(input, &items)
    {
        output::note(&format!(
            "{} {}: {hint}",
            paint(Paint::Good, "hint:", Stream::Stderr),
            output::quoted(path)
        ));
    }
    let samples: Vec<_> = match &items {
        Items::Pixels(pixels) => {
            let all = pixels.chunks(len);
            all.clone()
                .for_each(|pixels| seen.compare(input.brightness(pixels), args.invert));
            all.map(Sample::Pixels).collect()
        }
        Items::Values(values) => {
            let all = values.chunks(len);
            all.clone()
                .for_each(|values| seen.compare(input.brightness_of(values), args.invert));
            all.map(Sample::Doubles).collect()
        }
    };
    in_array(model.answer(&samples, args.top), path)
}

/// Features this many standard deviations from those of training, in the mean, are on another scale.
const FAR: f64 = 10.0;

/// What there is to say of the numbers of an array that are of another range than those of training seem to have been:
/// images whose darkest number is the middle of their range, or that fill next to nothing of it, and features on another
/// scale.
fn other_numbers(input: &InputSpec, items: &Items) -> Option<String> {
    match input.shape {
        InputShape::Image { .. } => {
            let (lowest, highest, intensity) = match items {
                Items::Pixels(pixels) => {
                    let (lowest, highest) = (*pixels.iter().min()?, *pixels.iter().max()?);
                    (lowest.into(), highest.into(), Intensity::Pixels)
                }
                Items::Values(values) => {
                    let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
                    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    (lowest, highest, Intensity::of(false, input.range).ok()?)
                }
            };
            let [black, white] = intensity.bounds();
            let halved = black < 0.0 && lowest >= 0.0;
            let filled = (highest - lowest) / (white - black);
            let narrow = filled > 0.0 && filled < arrays::LITTLE;
            (halved || narrow).then(|| {
                let [black_here, white_here] = likely(lowest, highest);
                format!(
                    "its numbers go from {lowest} to {highest}, and are taken for intensities from {black} (black) to {white} \
                     (white), as in training; if that is another scale, --range={black_here},{white_here} says so"
                )
            })
        }
        InputShape::Vector { len } if input.mean.len() == len && input.std.len() == len => {
            let Items::Values(values) = items else {
                return None;
            };
            let statistics = input.mean.iter().zip(&input.std);
            let far = values
                .iter()
                .zip(statistics.cycle())
                .map(|(x, (mean, std))| ((x - mean) / f64::from(*std)).abs());
            let mean = far.sum::<f64>() / values.len().max(1) as f64;
            (mean > FAR).then(|| {
                format!(
                    "its features are {mean:.0} standard deviations from the mean of those of training; if they are in \
                     another unit, bring them to that one"
                )
            })
        }
        _ => None,
    }
}

fn shape(input: &InputShape) -> Shape {
    match *input {
        InputShape::Image {
            channels,
            height,
            width,
        } => Shape::Image {
            channels,
            height,
            width,
        },
        InputShape::Vector { len } => Shape::Vector { len },
        InputShape::Sequence { steps, channels } => Shape::Sequence { steps, channels },
    }
}

fn in_array(answers: Result<Vec<Answer>, ModelError>, path: &Path) -> anyhow::Result<Vec<Answer>> {
    answers.with_context(|| format!("cannot use {}", path.display()))
}

/// A size that does not fit can be helped by a flag of this command.
fn explained(error: ModelError, name: &str) -> anyhow::Error {
    let error = match error {
        ModelError::InFile { source, .. } => *source,
        error => error,
    };
    match error {
        ModelError::ImageSize {
            expected_width,
            expected_height,
            width,
            height,
        } => Hinted::new(
            format!(
                "{name} has {width}×{height} pixels, the model takes {expected_width}×{expected_height}"
            ),
            "crop it, or scale it with --resize",
        )
        .into(),
        error => anyhow::Error::from(error).context(format!("cannot use {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_another_range_than_in_training_are_told() {
        let images = |range| InputSpec {
            range,
            ..InputSpec::new(InputShape::Image {
                channels: 1,
                height: 1,
                width: 2,
            })
        };
        let hint = |range, values: [f64; 2]| {
            other_numbers(&images(range), &Items::Values(values.to_vec()))
        };
        let both = Some([-1.0, 1.0]);
        assert!(hint(both, [0.0, 1.0]).unwrap().contains("--range=0,1"));
        assert_eq!(hint(both, [-0.5, 1.0]), None);
        assert!(hint(None, [0.0, 0.004]).is_some());
        assert_eq!(hint(None, [0.0, 0.5]), None);
        let masks = Items::Pixels(vec![0, 1]);
        let text = other_numbers(&images(None), &masks).unwrap();
        assert!(
            text.contains("from 0 to 1,") && text.contains("--range=0,1"),
            "{text}"
        );
        let features = InputSpec {
            mean: vec![1.0, 2.0],
            std: vec![1.0, 1.0],
            ..InputSpec::new(InputShape::Vector { len: 2 })
        };
        let scaled = |by: f64| other_numbers(&features, &Items::Values(vec![by, 2.0 * by]));
        assert_eq!(scaled(1.5), None);
        assert!(scaled(100.0).unwrap().contains("standard deviations"));
    }
}
