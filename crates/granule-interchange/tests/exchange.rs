//! What is written is read again, and what is wrong with a file is said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use granule_data::arrays::{NpzArray, write_npz};
use granule_device::DeviceSpec;
use granule_interchange::{FORMATS, Format, InterchangeError, Template, export, import};
use granule_models::state::state_dict;
use granule_models::{
    GruConfig, InputShape, InputSpec, LeNetConfig, ModelConfig, ModelFile, Provenance, Readout,
    Task, TensorView, write_tensors,
};
use tempfile::TempDir;

const IMAGE: InputShape = InputShape::Image {
    channels: 1,
    height: 28,
    width: 28,
};

/// The models that a name alone describes.
const MODELS: [&str; 8] = [
    "mlp",
    "lenet",
    "cnn",
    "resnet",
    "rate",
    "gru",
    "lstm",
    "wilson-cowan",
];

struct Bench {
    device: Device,
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            device: DeviceSpec::Cpu.open().unwrap().burn().clone(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn model(&self, name: &str) -> ModelFile {
        let model = ModelConfig::from_name(name).unwrap();
        let network = model.init(&IMAGE, 10, 3, &self.device).unwrap();
        ModelFile {
            model,
            input: InputSpec {
                mean: vec![0.13],
                std: vec![0.3],
                ..InputSpec::new(IMAGE)
            },
            task: Task::Classification {
                classes: (0..10).map(|class| class.to_string()).collect(),
            },
            provenance: Provenance::now(),
            state: state_dict(&network).unwrap(),
        }
    }

    fn written(&self, file: &ModelFile, path: &Path) {
        let mut out = File::create(path).unwrap();
        export(file, Format::of_path(path).unwrap(), &self.device, &mut out).unwrap();
    }

    fn read(&self, path: &Path, file: &ModelFile) -> Result<ModelFile, InterchangeError> {
        let template = Template {
            model: file.model.clone(),
            input: file.input.clone(),
            task: Some(file.task.clone()),
        };
        Ok(import(path, None, &template, &self.device)?.file)
    }
}

#[test]
fn every_model_comes_back_from_every_format_that_is_written() {
    let bench = Bench::new();
    for name in MODELS {
        let file = bench.model(name);
        for format in FORMATS.iter().filter(|format| format.is_written()) {
            let path = bench.at(&format!("{name}.{}", format.extensions()[0]));
            bench.written(&file, &path);
            let again = bench.read(&path, &file).unwrap();
            assert_eq!(again.state, file.state, "{name} {}", format.name());
            assert_eq!(again.input, file.input);
            let from = again.provenance.imported_from.unwrap();
            assert!(from.contains(format.summary()), "{from}");
        }
    }
}

#[test]
fn classes_are_counted_where_nobody_names_them() {
    let bench = Bench::new();
    for name in MODELS {
        let file = bench.model(name);
        let path = bench.at(&format!("{name}.npz"));
        bench.written(&file, &path);
        let template = Template {
            model: file.model.clone(),
            input: file.input.clone(),
            task: None,
        };
        let again = import(&path, None, &template, &bench.device).unwrap();
        assert_eq!(again.file.task, file.task, "{name}");
        assert!(again.notes[0].contains("10 classes"), "{:?}", again.notes);
    }
}

#[test]
fn models_read_at_every_step_give_values_and_those_read_once_classes() {
    let bench = Bench::new();
    let shape = InputShape::Sequence {
        steps: 5,
        channels: 3,
    };
    let auto = ["gru", "lstm", "rate"].map(|name| ModelConfig::from_name(name).unwrap());
    let once = ModelConfig::new(GruConfig {
        readout: Readout::Last,
        ..Default::default()
    });
    let mut cases: Vec<(ModelConfig, usize, Task)> = Vec::new();
    for model in auto {
        for width in [1, 2] {
            cases.push((model.clone(), 5 * width, Task::regression(5 * width)));
        }
    }
    let classes = ["0", "1", "2", "3"].map(str::to_owned).to_vec();
    cases.push((once, 4, Task::Classification { classes }));
    for (model, outputs, task) in cases {
        let network = model.init(&shape, outputs, 3, &bench.device).unwrap();
        let file = ModelFile {
            model: model.clone(),
            input: InputSpec::new(shape),
            task,
            provenance: Provenance::now(),
            state: state_dict(&network).unwrap(),
        };
        let path = bench.at("w.npz");
        bench.written(&file, &path);
        let template = Template {
            model,
            input: file.input.clone(),
            task: None,
        };
        let again = import(&path, None, &template, &bench.device).unwrap();
        assert_eq!(again.file.task, file.task, "{:?}", file.model);
        assert_eq!(again.file.state, file.state, "{:?}", file.model);
        let said = again.notes[0].contains("at each of 5 steps");
        assert_eq!(said, outputs != 4, "{:?}", again.notes);
    }
}

#[test]
fn what_is_no_array_in_an_archive_is_an_error_where_it_is_needed() {
    let bench = Bench::new();
    let arrays = [
        NpzArray::singles("layers.0.weight", vec![2, 2], vec![1.0, 2.0, 3.0, 4.0]),
        NpzArray::singles("layers.0.bias", vec![2], vec![0.5, -0.5]),
        NpzArray::singles("readme", vec![1], vec![0.0]),
    ];
    let mut whole = Vec::new();
    write_npz(&mut whole, &arrays).unwrap();
    let template = Template {
        model: ModelConfig::new(granule_models::MlpConfig {
            widths: Vec::new(),
            ..Default::default()
        }),
        input: InputSpec::new(InputShape::Vector { len: 2 }),
        task: None,
    };
    let path = bench.at("w.npz");
    // The content of a member no longer begins as an array.
    let without = |names: &[&str]| {
        let mut bytes = whole.clone();
        let find = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).position(|x| x == part);
        for name in names {
            let at = find(&bytes, format!("{name}.npy").as_bytes()).unwrap();
            let content = at + find(&bytes[at..], b"\x93NUMPY").unwrap();
            bytes[content..content + 6].copy_from_slice(b"Read m");
        }
        std::fs::write(&path, bytes).unwrap();
        import(&path, None, &template, &bench.device)
    };
    let imported = without(&["readme"]).unwrap();
    assert_eq!(imported.file.state.0["layers.0.bias"].data, [0.5, -0.5]);
    assert!(
        imported.notes.concat().contains("left out: readme"),
        "{:?}",
        imported.notes
    );
    let error = without(&["readme", "layers.0.bias"])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("layers.0.bias.npy") && error.contains("not an npy array"),
        "{error}"
    );
}

/// Tensors by name, some of them changed.
fn safetensors(
    file: &ModelFile,
    bench: &Bench,
    path: &Path,
    change: impl Fn(&mut Vec<(String, Vec<usize>, Vec<f32>)>),
) {
    let plain = bench.at("plain.safetensors");
    bench.written(file, &plain);
    let bytes = std::fs::read(&plain).unwrap();
    let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<_> = read
        .iter()
        .map(|(name, view)| {
            let numbers = view.data().chunks_exact(4);
            let numbers = numbers.map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            (name.to_owned(), view.shape().to_vec(), numbers.collect())
        })
        .collect();
    change(&mut tensors);
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let views = tensors.iter().map(|(name, shape, data)| {
        let view = TensorView {
            shape,
            data: data.into(),
        };
        (name, view)
    });
    let views: Vec<_> = views.collect();
    write_tensors(&mut File::create(path).unwrap(), HashMap::new(), &views).unwrap();
}

#[test]
fn missing_superfluous_and_misshapen_tensors_are_named_with_their_shapes() {
    let bench = Bench::new();
    let file = bench.model("lenet");
    let path = bench.at("w.safetensors");
    safetensors(&file, &bench, &path, |tensors| {
        tensors.retain(|(name, ..)| name != "fc2.bias");
        tensors.push(("fc9.bias".into(), vec![3], vec![0.0; 3]));
        for (name, shape, _) in tensors.iter_mut() {
            if name == "fc1.weight" {
                shape.reverse();
            }
        }
    });
    let error = bench.read(&path, &file).unwrap_err();
    let InterchangeError::Mismatched { tensors, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(tensors.len(), 3);
    let text = error.to_string();
    for part in [
        "w.safetensors",
        "fc2.bias [84] is missing",
        "fc9.bias [3] is not of this model",
        "fc1.weight has shape [400, 120], not [120, 400]",
    ] {
        assert!(text.contains(part), "{text}");
    }
    // Those of another model, of which not all are named.
    bench.written(&bench.model("resnet"), &path);
    let text = bench.read(&path, &file).unwrap_err().to_string();
    assert!(text.contains("and 8") || text.contains("more"), "{text}");
    assert!(text.len() < 1000, "{text}");
}

#[test]
fn prefixes_and_counters_of_pytorch_are_left_out() {
    let bench = Bench::new();
    let file = bench.model("resnet");
    let path = bench.at("w.safetensors");
    safetensors(&file, &bench, &path, |tensors| {
        for (name, ..) in tensors.iter_mut() {
            *name = format!("module.{name}");
        }
        let counter = "module.stem.norm.num_batches_tracked".to_owned();
        tensors.push((counter, vec![1], vec![7.0]));
    });
    assert_eq!(bench.read(&path, &file).unwrap().state, file.state);
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    let bench = Bench::new();
    let file = bench.model("lenet");
    let path = bench.at("w.safetensors");
    safetensors(&file, &bench, &path, |tensors| {
        for (name, _, data) in tensors.iter_mut() {
            if name == "fc3.bias" {
                data[4] = f32::NAN;
            }
        }
    });
    let text = bench.read(&path, &file).unwrap_err().to_string();
    assert!(
        text.contains("w.safetensors") && text.contains("fc3.bias"),
        "{text}"
    );
}

/// A safetensors file of one tensor `w`, of a linear model of two features.
fn of_type(dtype: &str, bytes: &[u8]) -> Vec<u8> {
    let end = bytes.len() * 2 / 3;
    let header = format!(
        "{{\"layers.0.weight\":{{\"dtype\":\"{dtype}\",\"shape\":[1,2],\"data_offsets\":[0,{end}]}},\
         \"layers.0.bias\":{{\"dtype\":\"{dtype}\",\"shape\":[1],\"data_offsets\":[{end},{}]}}}}",
        bytes.len()
    );
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(bytes);
    file
}

#[test]
fn other_floats_are_converted_and_whole_numbers_refused() {
    let bench = Bench::new();
    let template = Template {
        model: ModelConfig::new(granule_models::MlpConfig {
            widths: Vec::new(),
            ..Default::default()
        }),
        input: InputSpec::new(InputShape::Vector { len: 2 }),
        task: Some(Task::regression(1)),
    };
    let path = bench.at("w.safetensors");
    let half = |x: f32| half::f16::from_f32(x).to_le_bytes();
    let brain = |x: f32| half::bf16::from_f32(x).to_le_bytes();
    let values = [1.5_f32, -2.0, 0.25];
    let cases = [
        ("F16", values.map(half).concat(), "float16"),
        ("BF16", values.map(brain).concat(), "bfloat16"),
        (
            "F64",
            values.map(|x| f64::from(x).to_le_bytes()).concat(),
            "float64",
        ),
    ];
    for (dtype, bytes, name) in cases {
        std::fs::write(&path, of_type(dtype, &bytes)).unwrap();
        let imported = import(&path, None, &template, &bench.device).unwrap();
        let state = &imported.file.state.0;
        assert_eq!(state["layers.0.weight"].data, [1.5, -2.0]);
        assert_eq!(state["layers.0.bias"].data, [0.25]);
        let note = imported.notes.concat();
        assert!(
            note.contains(&format!("2 tensors of {name} were")),
            "{note}"
        );
    }
    std::fs::write(&path, of_type("I32", &[0; 12])).unwrap();
    let error = import(&path, None, &template, &bench.device).unwrap_err();
    assert!(
        matches!(error, InterchangeError::ElementType { .. }),
        "{error}"
    );
}

#[test]
fn whatever_is_cut_off_or_of_another_kind_is_an_error_with_the_file() {
    let bench = Bench::new();
    let mut file = bench.model("lenet");
    file.model = ModelConfig::new(LeNetConfig::default());
    for format in FORMATS.iter().filter(|format| format.is_written()) {
        let path = bench.at(&format!("w.{}", format.extensions()[0]));
        bench.written(&file, &path);
        let whole = std::fs::read(&path).unwrap();
        let ends = [0, 1, 7, 8, 9, 100, whole.len() / 2, whole.len() - 1];
        for end in ends {
            std::fs::write(&path, &whole[..end]).unwrap();
            let error = bench.read(&path, &file).unwrap_err().to_string();
            assert!(error.contains("w."), "{error}");
        }
        for other in [&b"PK\x03\x04"[..], b"<!doctype html>", &[0xff; 4000]] {
            std::fs::write(&path, other).unwrap();
            let error = bench.read(&path, &file).unwrap_err().to_string();
            assert!(error.contains("w."), "{error}");
        }
        // A sparse file of 2 GiB.
        File::create(&path).unwrap().set_len(2 << 30).unwrap();
        bench.read(&path, &file).unwrap_err();
        std::fs::remove_file(&path).unwrap();
    }
    let own = bench.at("model.safetensors");
    file.save(&own).unwrap();
    let error = bench.read(&own, &file).unwrap_err().to_string();
    assert!(error.contains("a model file of granule"), "{error}");
}

#[test]
fn formats_are_known_by_their_names() {
    assert!(Format::from_name("npz").is_ok());
    let error = Format::from_name("keras").unwrap_err().to_string();
    assert!(error.contains("safetensors"), "{error}");
    let error = Format::of_path(Path::new("weights.h5")).unwrap_err();
    assert!(error.to_string().contains(".pt"), "{error}");
    assert_eq!(
        Format::of_path(Path::new("A.PTH")).unwrap().name(),
        "pytorch"
    );
}
