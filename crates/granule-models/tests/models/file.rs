//! The model file: round trip and damage.

use std::collections::HashMap;

use granule_models::{
    CheckpointFile, InputShape, ModelConfig, ModelError, ModelFile, Parent, Predictor, Profile,
    Provenance, Sample,
};
use proptest::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use crate::support::{classifier_file, flex, noise, small_models};

fn tiny() -> ModelFile {
    let (model, input) = small_models().remove(0);
    classifier_file(model, input)
}

/// The same tensors under another document, with the checksum that belongs to both.
fn with_document(bytes: &[u8], change: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
    let json = &header.metadata().as_ref().unwrap()["granule"];
    let mut document: serde_json::Value = serde_json::from_str(json).unwrap();
    change(&mut document);
    document.as_object_mut().unwrap().remove("crc32");
    let json = document.to_string();
    let json = format!("{},\"crc32\":", json.strip_suffix('}').unwrap());
    let mut parts = tensors.tensors();
    parts.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut covered = json.clone().into_bytes();
    for (name, tensor) in &parts {
        covered.extend(name.bytes());
        for dim in tensor.shape() {
            covered.extend((*dim as u64).to_le_bytes());
        }
        covered.extend(tensor.data());
    }
    let json = format!("{json}{}}}", crc32fast::hash(&covered));
    let metadata = HashMap::from([("granule".to_owned(), json)]);
    safetensors::serialize(parts, Some(metadata)).unwrap()
}

fn load(bytes: &[u8]) -> Result<Predictor, ModelError> {
    Predictor::from_bytes(bytes, &flex())
}

#[test]
fn every_model_survives_its_file() {
    let folder = tempfile::tempdir().unwrap();
    for (model, input) in small_models() {
        let file = classifier_file(model, input);
        let path = folder.path().join("model.granule");
        file.save(&path).unwrap();
        assert_eq!(ModelFile::load(&path).unwrap(), file);
        assert_eq!(file.to_bytes().unwrap(), std::fs::read(&path).unwrap());

        // Intensities of an image lie between 0 and 1.
        let sample: Vec<f32> = noise(input.len(), 3)
            .iter()
            .map(|x| x.abs().min(1.0))
            .collect();
        let outputs = |p: Predictor| p.outputs(Sample::Values(&sample)).unwrap();
        let memory = outputs(Predictor::from_file(&file, &flex()).unwrap());
        assert_eq!(
            outputs(Predictor::from_path(&path, &flex()).unwrap()),
            memory
        );
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "a temporary file was left behind: {left:?}");
}

#[test]
fn the_tensors_are_plain_safetensors() {
    let file = tiny();
    let bytes = file.to_bytes().unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.len(), file.state.0.len());
    let weight = tensors.tensor("layers.0.weight").unwrap();
    assert_eq!(weight.shape(), [5, 128]);
    let first = file.state.0["layers.0.weight"].data[0];
    assert_eq!(weight.data()[..4], first.to_le_bytes());
    assert_eq!(
        ModelFile::from_bytes(&with_document(&bytes, |_| {})).unwrap(),
        file
    );
}

#[test]
fn what_is_no_model_file_is_refused_with_a_reason() {
    let bytes = tiny().to_bytes().unwrap();
    let format = |bytes: &[u8]| match load(bytes) {
        Err(ModelError::Format { reason }) => reason,
        other => panic!("{other:?}"),
    };
    for junk in [
        &b""[..],
        b"PK\x03\x04",
        b"\x89PNG\r\n\x1a\n0123456789",
        &[0xff; 64],
    ] {
        assert!(!format(junk).is_empty());
    }
    for len in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        format(&bytes[..len]);
    }
    let longer = [&bytes[..], b"more"].concat();
    format(&longer);

    let other: HashMap<String, TensorView<'_>> = HashMap::new();
    let plain = safetensors::serialize(other, None).unwrap();
    assert!(format(&plain).contains("not one written by granule"));
    let text = format(&with_document(&bytes, |d| {
        d["model"]["kind"] = "vgg".into()
    }));
    assert!(
        text.contains("\"vgg\"") && text.contains("granule::models::register"),
        "{text}"
    );
    format(&with_document(&bytes, |d| d["surplus"] = 1.into()));
    format(&with_document(&bytes, |d| d["format"] = "one".into()));
}

#[test]
fn a_description_of_the_wrong_form_is_named_by_its_path() {
    let bytes = tiny().to_bytes().unwrap();
    let told = |pointer: &str, value: serde_json::Value| {
        let forged = with_document(&bytes, |document| {
            *document.pointer_mut(pointer).unwrap() = value.clone();
        });
        load(&forged).unwrap_err().to_string()
    };
    for (pointer, value, parts) in [
        (
            "/input/mean",
            serde_json::json!(["a"]),
            "`input.mean.0` is the text \"a\", not a number",
        ),
        ("/input/mean", 3.into(), "`input.mean` is 3, not a list"),
        (
            "/provenance/scores",
            serde_json::json!({"test_accuracy": true}),
            "`provenance.scores.test_accuracy` is true, not a number",
        ),
        (
            "/provenance/seed",
            (-1).into(),
            "`provenance.seed` is -1, not a whole number of 0 or more",
        ),
        (
            "/task/kind",
            "clustering".into(),
            "`task.kind` has no choice \"clustering\"; the choices are classification,",
        ),
        (
            "/provenance",
            serde_json::json!({"profile": {"intensities": [1, 2]}}),
            "provenance.profile.intensities = 2 counts is not allowed: 16 counts",
        ),
        ("/task", 1.into(), "`task` is 1, not a table"),
        ("/task/kind", 7.into(), "`task.kind` is 7, not a name"),
        (
            "/input/shape",
            3.into(),
            "`input.shape` is 3, not a name, or a table of one",
        ),
        (
            "/input/shape",
            "vector".into(),
            "`input.shape` is a name alone, not a table",
        ),
        (
            "/input/shape",
            serde_json::json!({"vector": 3}),
            "`input.shape.vector` is 3, not a table",
        ),
        (
            "/input/shape",
            serde_json::json!({"cube": {}}),
            "`input.shape` has no choice \"cube\"; the choices are image, vector, sequence",
        ),
        (
            "/task/classes",
            serde_json::json!(["cat", "do\ng"]),
            "task.classes = \"do\\ng\" is not allowed: names that differ",
        ),
        (
            "/task/classes",
            serde_json::json!(["cat", "cat"]),
            "task.classes = \"cat\" is not allowed: names that differ",
        ),
        (
            "/task/classes",
            serde_json::json!(["cat", "\u{1b}[2J"]),
            "without control characters",
        ),
        (
            "/model/widths",
            serde_json::json!([1, "a"]),
            "`model.widths.1` is the text \"a\", not a whole number",
        ),
    ] {
        let text = told(pointer, value);
        assert!(text.contains(parts), "{parts}: {text}");
    }
    let text = load(&with_document(&bytes, |document| {
        document["input"].as_object_mut().unwrap().remove("shape");
    }));
    let text = text.unwrap_err().to_string();
    assert!(text.contains("`input` lacks \"shape\""), "{text}");
}

#[test]
fn other_classes_than_the_weights_have_are_counted() {
    let file = tiny();
    let outputs = file.task.outputs();
    for change in [-1_i8, 1] {
        let bytes = with_document(&file.to_bytes().unwrap(), |document| {
            let classes = document["task"]["classes"].as_array_mut().unwrap();
            if change > 0 {
                classes.push("more".into());
            } else {
                classes.pop();
            }
        });
        let error = load(&bytes).unwrap_err();
        let named = outputs.wrapping_add_signed(change.into());
        assert!(
            matches!(&error, ModelError::Outputs { named: n, weights, .. } if (*n, *weights) == (named, outputs)),
            "{error}"
        );
    }
}

#[test]
fn a_flipped_bit_among_weights_and_settings_is_found() {
    let good = tiny().to_bytes().unwrap();
    let checksum = |bytes: &[u8]| assert!(matches!(load(bytes), Err(ModelError::Checksum { .. })));
    let mut bytes = good.clone();
    *bytes.last_mut().unwrap() ^= 1;
    checksum(&bytes);
    for (text, at) in [
        ("0.125", 4),
        ("\\\"dog\\\"", 3),
        ("18446744073709551615", 19),
    ] {
        let found = good.windows(text.len()).position(|w| w == text.as_bytes());
        let mut bytes = good.clone();
        bytes[found.unwrap() + at] ^= 1;
        checksum(&bytes);
    }
}

#[test]
fn no_flipped_bit_of_the_header_goes_unnoticed() {
    let file = classifier_file(ModelConfig::default(), InputShape::Vector { len: 1 });
    let mut bytes = file.to_bytes().unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for bit in 0..8 * header {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let loaded = ModelFile::from_bytes(&bytes);
        assert!(loaded.is_err(), "bit {} of byte {}", bit % 8, bit / 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn a_later_version_and_invalid_settings_are_refused() {
    let bytes = tiny().to_bytes().unwrap();
    let later = with_document(&bytes, |d| d["format"] = 2.into());
    assert!(matches!(
        load(&later),
        Err(ModelError::Version {
            found: 2,
            supported: 1
        })
    ));
    let huge = with_document(&bytes, |d| d["format"] = u64::MAX.into());
    assert!(matches!(load(&huge), Err(ModelError::Version { .. })));

    for (pointer, value) in [
        ("/model/widths/0", serde_json::json!(0)),
        ("/input/std/0", serde_json::json!(0.0)),
        ("/input/mean", serde_json::json!([1.0, 2.0])),
        ("/input/shape/vector/len", serde_json::json!(0)),
        ("/task/classes", serde_json::json!([])),
    ] {
        let invalid = with_document(&bytes, |d| *d.pointer_mut(pointer).unwrap() = value.clone());
        assert!(
            matches!(load(&invalid), Err(ModelError::Config(_))),
            "{pointer}"
        );
    }
}

#[test]
fn weights_of_another_model_are_refused_before_anything_is_allocated() {
    let bytes = tiny().to_bytes().unwrap();
    let wide = with_document(&bytes, |d| {
        d["model"]["widths"] = serde_json::json!([65536, 65536])
    });
    assert!(matches!(load(&wide), Err(ModelError::TensorShape { .. })));
    let deep = with_document(&bytes, |d| {
        d["model"]["widths"] = serde_json::json!([128, 3])
    });
    assert!(load(&deep).is_err());
    let classes = with_document(&bytes, |d| d["task"]["classes"] = serde_json::json!(["a"]));
    assert!(matches!(load(&classes), Err(ModelError::Outputs { .. })));

    let mut file = tiny();
    let value = file.state.0.remove("layers.0.bias").unwrap();
    let missing = file.to_bytes().unwrap();
    assert!(matches!(
        load(&missing),
        Err(ModelError::MissingTensor { .. })
    ));
    file.state
        .0
        .insert("layers.0.bias".to_owned(), value.clone());
    file.state.0.insert("layers.7.bias".to_owned(), value);
    let extra = file.to_bytes().unwrap();
    assert!(matches!(
        load(&extra),
        Err(ModelError::UnexpectedTensor { .. })
    ));
}

#[test]
fn weights_that_are_not_finite_are_neither_written_nor_read() {
    let mut file = tiny();
    let good = file.to_bytes().unwrap();
    file.state.0.get_mut("layers.0.bias").unwrap().data[3] = f32::NAN;
    assert!(matches!(
        file.to_bytes(),
        Err(ModelError::NonFiniteTensor { name, index: 3 }) if name == "layers.0.bias"
    ));

    let data = good.len() - 4;
    let mut bad = good.clone();
    bad[data..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    let bad = with_document(&bad, |_| {});
    assert!(matches!(
        load(&bad),
        Err(ModelError::NonFiniteTensor { .. })
    ));
}

/// The checksum is right, so that only the rules of the settings stand between a number and the memory it asks for.
#[test]
fn any_number_of_a_document_is_taken_or_refused() {
    const VALUES: [f64; 8] = [
        -1.0,
        0.0,
        0.5,
        3.0,
        1e8,
        4.611686018427388e18,
        9.223372036854776e18,
        1e300,
    ];
    fn numbers(value: &serde_json::Value, at: &str, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Number(_) => found.push(at.to_owned()),
            // Of a long list, such as a matrix of weights, the ends.
            serde_json::Value::Array(all) => {
                let last = all.len().saturating_sub(1);
                let ends = all
                    .iter()
                    .enumerate()
                    .filter(|(i, _)| *i == 0 || *i == last);
                ends.for_each(|(i, value)| numbers(value, &format!("{at}/{i}"), found));
            }
            serde_json::Value::Object(all) => all
                .iter()
                .for_each(|(key, value)| numbers(value, &format!("{at}/{key}"), found)),
            _ => {}
        }
    }
    let (mut tried, mut refused) = (0, 0);
    for (model, input) in small_models() {
        let bytes = classifier_file(model, input).to_bytes().unwrap();
        let mut places = Vec::new();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let document = serde_json::from_str(&header.metadata().as_ref().unwrap()["granule"]);
        numbers(&document.unwrap(), "", &mut places);
        for place in places.iter().filter(|place| *place != "/crc32") {
            for value in VALUES {
                let changed = with_document(&bytes, |document| {
                    let whole = value.fract() == 0.0 && value.abs() < 1e19;
                    *document.pointer_mut(place).unwrap() = if whole && value < 0.0 {
                        (value as i64).into()
                    } else if whole {
                        (value as u64).into()
                    } else {
                        value.into()
                    };
                });
                tried += 1;
                if let Err(error) = load(&changed) {
                    refused += 1;
                    assert!(!error.to_string().is_empty());
                }
            }
        }
    }
    println!("{refused} of {tried} refused");
    assert!(tried > 1000 && 2 * refused > tried);
}

#[test]
fn an_error_names_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent.granule");
    let error = ModelFile::load(&path).unwrap_err();
    assert!(error.to_string().contains("absent.granule"), "{error}");
    let error = tiny()
        .save(folder.path().join("no/such/folder.granule"))
        .unwrap_err();
    assert!(error.to_string().contains("cannot write"), "{error}");
}

#[test]
fn saving_replaces_a_file_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.granule");
    std::fs::write(&path, b"older and much longer than nothing").unwrap();
    let file = tiny();
    file.save(&path).unwrap();
    assert_eq!(ModelFile::load(&path).unwrap(), file);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_ne!(mode & 0o044, 0, "{mode:o}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn mutated_bytes_never_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        header_only: bool,
    ) {
        let file = classifier_file(ModelConfig::default(), InputShape::Vector { len: 2 });
        let mut bytes = file.to_bytes().unwrap();
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let range = if header_only { header } else { bytes.len() };
        for (index, byte) in edits {
            bytes[index.index(range)] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = load(&bytes);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256), len in 0_u64..300) {
        prop_assert!(load(&bytes).is_err());
        let framed = [&len.to_le_bytes()[..], &bytes].concat();
        prop_assert!(load(&framed).is_err());
    }
}

#[test]
fn a_checkpoint_and_a_run_folder_are_models() {
    let folder = tempfile::tempdir().unwrap();
    let file = tiny();
    let checkpoint = CheckpointFile {
        progress: format!("{{\"format\":{},\"epoch\":3}}", CheckpointFile::FORMAT),
        model: file.clone(),
        optimizer: file.state.clone(),
    };
    let to_bytes = |file: &CheckpointFile| {
        let mut bytes = Vec::new();
        file.write_to(&mut bytes).unwrap();
        bytes
    };
    let bytes = to_bytes(&checkpoint);
    assert_eq!(CheckpointFile::from_bytes(&bytes).unwrap(), checkpoint);
    assert_eq!(ModelFile::from_bytes(&bytes).unwrap(), file);
    let path = folder.path().join("best.ckpt");
    std::fs::write(&path, &bytes).unwrap();
    file.save(folder.path().join("model.granule")).unwrap();
    for path in [path.as_path(), folder.path()] {
        assert_eq!(ModelFile::load(path).unwrap(), file);
        Predictor::from_path(path, &flex()).unwrap();
    }
    for place in (0..bytes.len()).step_by(17) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x11;
        // Padding of the header carries nothing.
        if let Ok(read) = ModelFile::from_bytes(&damaged) {
            assert_eq!(read, file, "byte {place}");
        }
    }
    let mut later = checkpoint.clone();
    later.progress = "{\"format\":99}".to_owned();
    let error = ModelFile::from_bytes(&to_bytes(&later)).unwrap_err();
    assert!(
        matches!(error, ModelError::Version { found: 99, .. }),
        "{error}"
    );
}

#[test]
fn a_file_keeps_the_nearest_models_that_it_comes_from() {
    let mut provenance = Provenance::now();
    for epochs in 0..100 {
        provenance = Provenance {
            epochs,
            profile: Some(Profile::default()),
            parent: Some(Box::new(Parent::of(provenance))),
            ..Provenance::now()
        };
    }
    let mut line = Vec::new();
    let mut at = &provenance;
    while let Some(parent) = &at.parent {
        at = &parent.provenance;
        assert_eq!(at.profile, None);
        line.push(at.epochs);
    }
    assert_eq!(line, (83..99).rev().collect::<Vec<_>>());
}
