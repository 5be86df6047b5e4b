//! `granule predict`.

use std::path::Path;

use anyhow::{Context, bail};
use granule::data::{Features, Shape, arrays};
use granule::device::DeviceSpec;
use granule::io::image::Resize;
use granule::models::{
    Classifier, InputShape, InputSpec, ModelError, ModelFile, Predictor, Sample, Task,
};
use serde_json::json;

use super::target::{Target, open};
use crate::args;
use crate::failure::Hinted;
use crate::output::{self, Paint, Stream, paint, printable};

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
    fn shape(&self) -> &InputShape {
        match self {
            Self::Classes(model) => &model.input().shape,
            Self::Values(model) => &model.input().shape,
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
    let device = open(args.device.as_ref(), DeviceSpec::Cpu)?;
    let model = match &file.task {
        Task::Classification { .. } => {
            let model = Classifier::from_file(&file, device.burn())?;
            let resize = resizing(&file.input, args.resize);
            Model::Classes(model.resizing_by(resize).inverting(args.invert))
        }
        Task::Trials { task, .. } => {
            return Err(Hinted::new(
                format!("the model does {task}, whose inputs are made by the task"),
                "`granule eval` tests it on new trials",
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
            let model = Predictor::from_file(&file, device.burn())?;
            let resize = resizing(&file.input, args.resize);
            Model::Values(model.resizing_by(resize).inverting(args.invert))
        }
    };
    let width = args
        .inputs
        .iter()
        .map(|path| path.display().to_string().chars().count())
        .max()
        .unwrap_or(0);
    for path in &args.inputs {
        let answers = answers(&model, path, args)?;
        let batch = answers.len() > 1;
        for (index, answer) in answers.iter().enumerate() {
            match args.json {
                true => show_json(path, index, answer)?,
                false => show(path, batch.then_some(index), answer, width)?,
            }
        }
    }
    Ok(())
}

/// How images of another size are resized: as a flag says, else as in training.
pub fn resizing(input: &InputSpec, flag: Option<Option<Resize>>) -> Option<Resize> {
    flag.map_or(input.resize, |how| {
        how.or(input.resize).or(Some(Resize::default()))
    })
}

fn answers(model: &Model, path: &Path, args: &args::Predict) -> anyhow::Result<Vec<Answer>> {
    let len = model.shape().len();
    let extension = path
        .extension()
        .map(|extension| extension.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("npy") => match arrays::read_items(path, &shape(model.shape()))? {
            Features::Bytes(pixels) => {
                let samples: Vec<_> = pixels.chunks(len).map(Sample::Pixels).collect();
                in_array(model.answer(&samples, args.top), path)
            }
            Features::Floats(_) if args.invert => bail!(
                "--invert is for pixels; {} holds real values",
                path.display()
            ),
            Features::Floats(values) => {
                let samples: Vec<_> = values.chunks(len).map(Sample::Values).collect();
                in_array(model.answer(&samples, args.top), path)
            }
        },
        Some("npz") => bail!(
            "{} is an archive of arrays; save the one to predict as .npy",
            path.display()
        ),
        _ => image_answer(model.answer(&[Sample::File(path)], args.top), path),
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
        InputShape::Sequence { steps, channels } => Shape::Vector {
            len: steps * channels,
        },
    }
}

fn in_array(answers: Result<Vec<Answer>, ModelError>, path: &Path) -> anyhow::Result<Vec<Answer>> {
    answers.with_context(|| format!("cannot use {}", path.display()))
}

/// A size that does not fit can be helped by a flag of this command.
fn image_answer(
    answers: Result<Vec<Answer>, ModelError>,
    path: &Path,
) -> anyhow::Result<Vec<Answer>> {
    let error = match answers {
        Ok(answers) => return Ok(answers),
        Err(ModelError::InFile { source, .. }) => *source,
        Err(error) => error,
    };
    match error {
        ModelError::ImageSize { expected_width, expected_height, width, height } => Err(Hinted::new(
            format!(
                "{} has {width}×{height} pixels, the model takes {expected_width}×{expected_height}",
                path.display()
            ),
            "crop it, or scale it with --resize",
        )
        .into()),
        error => Err(error).with_context(|| format!("cannot use {}", path.display())),
    }
}

fn show_json(path: &Path, index: usize, answer: &Answer) -> anyhow::Result<()> {
    let path = path.display().to_string();
    let fields = match answer {
        Answer::Classes(classes) => {
            let best = classes.first();
            let top: Vec<_> = classes
                .iter()
                .map(|(name, probability)| json!({"class": name, "probability": probability}))
                .collect();
            json!({
                "input": path,
                "index": index,
                "class": best.map(|(name, _)| name),
                "probability": best.map(|(_, probability)| probability),
                "top": top,
            })
        }
        Answer::Values(values) => {
            json!({"input": path, "index": index, "values": values})
        }
    };
    output::event("prediction", fields)
}

fn show(path: &Path, index: Option<usize>, answer: &Answer, width: usize) -> anyhow::Result<()> {
    let place = match index {
        Some(index) => format!("{} [{index}]", path.display()),
        None => format!("{:<width$}", path.display().to_string()),
    };
    let text = match answer {
        Answer::Classes(classes) => {
            let each = classes.iter().enumerate().map(|(i, (name, probability))| {
                let text = format!("{} {:>5.1} %", printable(name), probability * 100.0);
                if i == 0 {
                    paint(Paint::Strong, &text, Stream::Stdout)
                } else {
                    text
                }
            });
            each.collect::<Vec<_>>().join("   ")
        }
        Answer::Values(values) => values
            .iter()
            .map(f32::to_string)
            .collect::<Vec<_>>()
            .join("   "),
    };
    output::line(&format!("{place}  {text}"))
}
