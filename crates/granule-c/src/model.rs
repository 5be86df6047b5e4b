//! A model behind the handle.

use std::ffi::CString;
use std::path::Path;

use granule::device::DeviceSpec;
use granule::models::{Classifier, ModelError, ModelFile, Predictor, Sample, Stepper, Task};

use crate::failure::{Failure, Status};

/// A loaded model. It does not change: any number of threads may use it at once.
#[derive(Debug)]
pub struct Model {
    answers: Answers,
    stepper: Result<Stepper, ModelError>,
    classes: Vec<CString>,
    description: CString,
}

#[derive(Debug)]
enum Answers {
    Classes(Classifier),
    Values(Predictor),
}

impl Model {
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        Self::new(&ModelFile::load(path).map_err(|error| Failure::loading(&error))?)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, Failure> {
        Self::new(&ModelFile::from_bytes(bytes).map_err(|error| Failure::loading(&error))?)
    }

    fn new(file: &ModelFile) -> Result<Self, Failure> {
        let device = DeviceSpec::Cpu
            .open()
            .map_err(|error| Failure::new(Status::GranuleCompute, error.to_string()))?;
        let loading = |error: ModelError| Failure::loading(&error);
        let answers = match &file.task {
            Task::Classification { .. } => {
                Answers::Classes(Classifier::from_file(file, device.burn()).map_err(loading)?)
            }
            _ => Answers::Values(Predictor::from_file(file, device.burn()).map_err(loading)?),
        };
        let names = match &answers {
            Answers::Classes(classifier) => classifier.classes(),
            Answers::Values(_) => &[],
        };
        let text = |text: &str| {
            CString::new(text).map_err(|_| {
                Failure::new(Status::GranuleFile, format!("{text:?} has a zero inside"))
            })
        };
        let classes = names
            .iter()
            .map(|name| text(name))
            .collect::<Result<_, _>>()?;
        let predictor = answers.predictor();
        let stepper = predictor.stepper();
        let step = stepper.as_ref().ok().map(|stepper| {
            serde_json::json!({
                "inputs": stepper.inputs(),
                "outputs": stepper.outputs(),
                "state": stepper.initial().len(),
                "dt_ms": file.model.time_step(),
            })
        });
        let description = serde_json::json!({
            "model": file.model.name(),
            "input": file.input.shape,
            "values": file.input.shape.len(),
            "outputs": file.task.outputs(),
            "classes": match &answers {
                Answers::Classes(classifier) => Some(classifier.classes()),
                Answers::Values(_) => None,
            },
            "step": step,
        });
        Ok(Self {
            description: text(&description.to_string())?,
            answers,
            stepper,
            classes,
        })
    }

    fn predictor(&self) -> &Predictor {
        self.answers.predictor()
    }

    pub(crate) fn description(&self) -> &CString {
        &self.description
    }

    pub(crate) fn classes(&self) -> &[CString] {
        &self.classes
    }

    pub(crate) fn dims(&self) -> Vec<usize> {
        self.predictor().input().shape.dims()
    }

    pub(crate) fn inputs(&self) -> usize {
        self.predictor().input().shape.len()
    }

    pub(crate) fn outputs(&self) -> usize {
        self.predictor().task().outputs()
    }

    pub(crate) fn stepper(&self) -> Result<&Stepper, Failure> {
        self.stepper
            .as_ref()
            .map_err(|error| Failure::new(Status::GranuleModel, error.to_string()))
    }

    /// Answers samples that lie one after the other in `values`.
    pub(crate) fn predict<'a, T>(
        &self,
        values: &'a [T],
        samples: usize,
        out: &mut [f32],
        sample: impl Fn(&'a [T]) -> Sample<'a>,
    ) -> Result<(), Failure> {
        let (inputs, outputs) = (self.inputs(), self.outputs());
        if samples == 0 {
            return Err(Failure::new(Status::GranuleLength, "there are no samples"));
        }
        check_len(
            "the samples have",
            values.len(),
            inputs.checked_mul(samples),
        )?;
        check_len(
            "the answers have room for",
            out.len(),
            outputs.checked_mul(samples),
        )?;
        if samples == 1 {
            match &self.answers {
                Answers::Classes(classifier) => classifier.predict_into(sample(values), out)?,
                Answers::Values(predictor) => predictor.outputs_into(sample(values), out)?,
            }
            return Ok(());
        }
        let all: Vec<Sample<'_>> = match inputs {
            0 => (0..samples).map(|_| sample(&[])).collect(),
            _ => values.chunks_exact(inputs).map(sample).collect(),
        };
        match &self.answers {
            Answers::Classes(classifier) => classifier.predict_batch_into(&all, out)?,
            Answers::Values(predictor) => predictor.outputs_batch_into(&all, out)?,
        }
        Ok(())
    }
}

impl Answers {
    fn predictor(&self) -> &Predictor {
        match self {
            Self::Classes(classifier) => classifier.predictor(),
            Self::Values(predictor) => predictor,
        }
    }
}

pub(crate) fn check_len(what: &str, found: usize, expected: Option<usize>) -> Result<(), Failure> {
    if Some(found) == expected {
        return Ok(());
    }
    let expected = expected.map_or("fewer".to_owned(), |expected| expected.to_string());
    Err(Failure::new(
        Status::GranuleLength,
        format!("{what} {found} values, {expected} are needed"),
    ))
}
