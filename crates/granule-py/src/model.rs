//! A trained model.

use std::path::PathBuf;

use granule::device::{DeviceSpec, OpenDevice};
use granule::interchange::state_dict;
use granule::io::budget;
use granule::models::{
    Classifier, InputShape, ModelError, ModelFile, Predictor, Sample, Task, folder::ModelPlace,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::error::{Failure, Kind, Signals, work};
use crate::packed::{Packed, pack, unpack};

/// So many samples are computed between two looks at whether somebody pressed Ctrl-C.
const TOGETHER: usize = 1024;

/// A model on a device.
enum Engine {
    Classes(Classifier),
    Values(Predictor),
}

/// A model and the file that it is from.
#[pyclass(frozen, module = "granule._granule")]
pub struct NativeModel {
    file: ModelFile,
    engine: Engine,
    device: OpenDevice,
}

/// Numbers of samples, one after the other, in one of the three types that are taken.
enum Numbers {
    Pixels(Vec<u8>),
    Values(Vec<f32>),
    Doubles(Vec<f64>),
}

impl Numbers {
    fn of(array: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Some(values) = unpack(array) {
            values.map(Self::Pixels)
        } else if let Some(values) = unpack(array) {
            values.map(Self::Values)
        } else if let Some(values) = unpack(array) {
            values.map(Self::Doubles)
        } else {
            let message =
                "samples are arrays of uint8, float32 or float64 of the machine's byte order";
            Err(Failure::new(Kind::Type, message).into_py(array.py()))
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Pixels(values) => values.len(),
            Self::Values(values) => values.len(),
            Self::Doubles(values) => values.len(),
        }
    }

    /// Samples of a length each.
    fn samples(&self, length: usize) -> Vec<Sample<'_>> {
        match self {
            Self::Pixels(values) => values.chunks_exact(length).map(Sample::Pixels).collect(),
            Self::Values(values) => values.chunks_exact(length).map(Sample::Values).collect(),
            Self::Doubles(values) => values.chunks_exact(length).map(Sample::Doubles).collect(),
        }
    }
}

impl NativeModel {
    fn new(file: ModelFile, device: &str) -> Result<Self, Failure> {
        let device = device.parse::<DeviceSpec>()?.open()?;
        let engine = device.guard(|| match file.task {
            Task::Classification { .. } => {
                Classifier::from_file(&file, device.burn()).map(Engine::Classes)
            }
            _ => Predictor::from_file(&file, device.burn()).map(Engine::Values),
        })??;
        Ok(Self {
            file,
            engine,
            device,
        })
    }

    fn predictor(&self) -> &Predictor {
        match &self.engine {
            Engine::Classes(classifier) => classifier.predictor(),
            Engine::Values(predictor) => predictor,
        }
    }

    /// Runs `compute` on samples whose arrangement was checked.
    fn on(
        &self,
        numbers: &Numbers,
        count: usize,
        compute: impl Fn(&[Sample<'_>], &mut [f32]) -> Result<(), ModelError>,
    ) -> Result<Vec<f32>, Failure> {
        let length = self.file.input.shape.len();
        if count.checked_mul(length) != Some(numbers.len()) {
            let expected = format!("{count} times {length} values, {}", self.file.input.shape);
            let found = numbers.len();
            return Err(ModelError::InputLength { expected, found }.into());
        }
        let width = self.file.task.outputs();
        let given = count.saturating_mul(width);
        budget::ask_for::<f32>(format_args!("the outputs for {count} samples"), given)?;
        budget::ask_for::<Sample<'_>>(format_args!("a list of {count} samples"), count)?;
        let samples = match length {
            0 => vec![Sample::Values(&[]); count],
            length => numbers.samples(length),
        };
        let mut outputs = vec![0.0; given];
        let mut signals = Signals::default();
        let done = self.device.guard(|| {
            let parts = samples.chunks(TOGETHER);
            for (samples, out) in parts.zip(outputs.chunks_mut(TOGETHER * width.max(1))) {
                if signals.stop() {
                    break;
                }
                compute(samples, out)?;
            }
            Ok::<_, ModelError>(())
        });
        let done = match done {
            Ok(Err(ModelError::Device { reason })) => Err(self.device.failure(&reason).into()),
            Ok(done) => done.map_err(Failure::from),
            Err(error) => Err(error.into()),
        };
        signals.end(done.map(|()| outputs))
    }
}

#[pymethods]
impl NativeModel {
    /// Loads a model file, a checkpoint or the model of a run folder.
    #[staticmethod]
    fn from_path(py: Python<'_>, path: PathBuf, device: &str) -> PyResult<Self> {
        work(py, || {
            let place = ModelPlace::find(&path)?;
            Self::new(ModelFile::load(place.file)?, device)
        })
    }

    /// Loads the content of a model file.
    #[staticmethod]
    fn from_bytes(py: Python<'_>, content: &[u8], device: &str) -> PyResult<Self> {
        work(py, || Self::new(ModelFile::from_bytes(content)?, device))
    }

    /// The content of its model file.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = work(py, || Ok(self.file.to_bytes()?))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Writes a model file.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        work(py, || Ok(self.file.save(path)?))
    }

    /// The device it computes on, as a word.
    #[getter]
    fn device(&self) -> String {
        self.device.spec().to_string()
    }

    /// `image`, `vector` or `sequence`, and the extents of a sample.
    #[getter]
    fn input(&self) -> (&'static str, Vec<usize>) {
        let shape = &self.file.input.shape;
        let kind = match shape {
            InputShape::Image { .. } => "image",
            InputShape::Vector { .. } => "vector",
            InputShape::Sequence { .. } => "sequence",
        };
        (kind, shape.dims())
    }

    /// The numbers of black and white in arrays of images, where the model was trained on others than usual.
    #[getter]
    fn range(&self) -> Option<[f64; 2]> {
        self.file.input.range
    }

    /// The names of the classes; none where the outputs are no classes.
    #[getter]
    fn classes(&self) -> Option<Vec<String>> {
        match &self.file.task {
            Task::Classification { classes } => Some(classes.clone()),
            _ => None,
        }
    }

    /// The extents of the outputs for one sample.
    #[getter]
    fn output(&self) -> Vec<usize> {
        let all = self.file.task.outputs();
        match self.file.task {
            Task::Trials { steps, .. } => vec![steps, all / steps.max(1)],
            Task::Recording { samples, .. } => vec![samples, all / samples.max(1)],
            _ => vec![all],
        }
    }

    /// What it is, as JSON.
    fn description(&self, py: Python<'_>) -> PyResult<String> {
        work(py, || {
            let parameters: usize = self.file.state.0.values().map(|t| t.data.len()).sum();
            let described = serde_json::json!({
                "model": self.file.model,
                "input": self.file.input,
                "task": self.file.task,
                "provenance": self.file.provenance,
                "parameters": parameters,
            });
            Ok(described.to_string())
        })
    }

    /// The outputs for samples, `[samples, outputs]`.
    fn outputs<'py>(
        &self,
        py: Python<'py>,
        array: &Bound<'py, PyAny>,
        count: usize,
    ) -> PyResult<Packed<'py>> {
        self.answers(py, array, count, |samples, out| {
            self.predictor().outputs_batch_into(samples, out)
        })
    }

    /// The probabilities of the classes for samples, `[samples, classes]`.
    fn probabilities<'py>(
        &self,
        py: Python<'py>,
        array: &Bound<'py, PyAny>,
        count: usize,
    ) -> PyResult<Packed<'py>> {
        self.answers(py, array, count, |samples, out| match &self.engine {
            Engine::Classes(classifier) => classifier.predict_batch_into(samples, out),
            Engine::Values(predictor) => Err(ModelError::NotAClassifier {
                outputs: predictor.task().outputs(),
            }),
        })
    }

    /// The weights with PyTorch's names and layouts.
    fn state_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let state = work(py, || {
            Ok(state_dict(&self.file, DeviceSpec::Cpu.open()?.burn())?)
        })?;
        let all = PyDict::new(py);
        for (name, tensor) in state.0 {
            all.set_item(name, pack(py, &tensor.data, tensor.shape)?)?;
        }
        Ok(all)
    }
}

impl NativeModel {
    fn answers<'py>(
        &self,
        py: Python<'py>,
        array: &Bound<'py, PyAny>,
        count: usize,
        compute: impl Fn(&[Sample<'_>], &mut [f32]) -> Result<(), ModelError> + Send,
    ) -> PyResult<Packed<'py>> {
        let numbers = Numbers::of(array)?;
        let outputs = work(py, || self.on(&numbers, count, compute))?;
        let shape = [vec![count], self.output()].concat();
        pack(py, &outputs, shape)
    }
}
