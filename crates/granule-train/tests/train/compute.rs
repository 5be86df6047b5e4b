//! Training from products in bfloat16.

use granule_models::{CnnConfig, GruConfig, ModelConfig, ModelFile, StateDict};
use granule_train::{Compute, RunConfig, StopFlag, TrainError, plan, resume_as};

use crate::common::*;

fn with_bf16(mut config: RunConfig) -> RunConfig {
    config.train.compute = Compute::Bf16;
    config
}

fn cnn() -> ModelConfig {
    ModelConfig::new(CnnConfig {
        channels: vec![4],
        hidden: 16,
        ..Default::default()
    })
}

fn weights(dir: &std::path::Path) -> StateDict {
    ModelFile::load(dir.join("model.granule")).unwrap().state
}

/// The weights of a run that differ, and the most that they do.
fn difference(one: &StateDict, other: &StateDict) -> f32 {
    let pairs = one.0.iter().zip(&other.0);
    let differences = pairs.flat_map(|((_, one), (_, other))| {
        let values = one.data.iter().zip(&other.data);
        values.map(|(one, other)| (one - other).abs())
    });
    differences.fold(0.0, f32::max)
}

#[test]
fn a_run_is_the_same_on_both_backends_and_says_what_computed_it() {
    let mut first = None;
    on_each(&HOSTS, |spec, device| {
        for (model, data) in [
            (cnn(), images(8, 48, 12)),
            (mlp(&[12], 0.2), points(60, 12)),
        ] {
            let mut plain = config(spec, model, 4, 8);
            plain.optimizer = adam(0.01);
            let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
            let (in_full, _) = run(&plain, &data, dirs[0].path()).unwrap();
            let (in_bf16, witness) = run(&with_bf16(plain), &data, dirs[1].path()).unwrap();
            let warned = witness.warnings.iter().filter(|it| it.contains("emulated"));
            let emulated = granule_ops::Bf16Arithmetic::of_this_processor()
                == granule_ops::Bf16Arithmetic::Emulated;
            assert_eq!(warned.count(), usize::from(emulated));
            assert_eq!(in_full.device, device.name());
            let named = format!("{}, bf16 (", device.name());
            assert!(in_bf16.device.starts_with(&named), "{}", in_bf16.device);
            let arithmetic = granule_ops::Bf16Arithmetic::of_this_processor().name();
            assert!(in_bf16.device.contains(arithmetic), "{}", in_bf16.device);
            let file = ModelFile::load(dirs[1].path().join("model.granule")).unwrap();
            assert_eq!(file.provenance.device, in_bf16.device);
            let [in_full, in_bf16] = dirs.each_ref().map(|dir| weights(dir.path()));
            let found = difference(&in_full, &in_bf16);
            assert!(found > 1e-6 && found < 0.1, "{spec}: {found}");
            let place = first.get_or_insert_with(Vec::new);
            place.push(in_bf16);
        }
    });
    let all = first.unwrap();
    assert!(all[0] == all[2] && all[1] == all[3], "flex and ndarray");
}

#[test]
fn what_has_no_bf16_is_refused_by_the_key() {
    let refused = |config: &RunConfig| match plan(config, &mut granule_train::Quiet) {
        Err(TrainError::Config(error)) => {
            assert_eq!(error.field, "train.compute");
            error.to_string()
        }
        other => panic!("{other:?}"),
    };
    on_each(&HOSTS, |spec, _| {
        let recurrent = serde_json::json!({"kind": "sequential", "layer": [
            {"kind": "lstm", "units": 4},
            {"kind": "dense", "units": 4},
        ]});
        for model in [
            ModelConfig::new(GruConfig::default()),
            ModelConfig::from_name("rate").unwrap(),
            serde_json::from_value(recurrent).unwrap(),
        ] {
            let name = model.name();
            let said = refused(&with_bf16(config(spec, model, 1, 8)));
            assert!(said.contains(name) && said.contains("f32"), "{said}");
        }
    });
    on_each(&["wgpu:software"], |spec, _| {
        let mut config = with_bf16(config(spec, mlp(&[4], 0.0), 1, 8));
        // The device is refused before the data set is asked for.
        config.data.dataset = "folder:nowhere".parse().unwrap();
        let said = refused(&config);
        assert!(said.contains("flex") && said.contains("wgpu"), "{said}");
    });
}

#[test]
fn a_run_goes_on_with_what_it_began_with() {
    let spec = granule_device::DeviceSpec::Flex;
    let data = points(40, 12);
    for (began, goes_on) in [(Compute::F32, Compute::Bf16), (Compute::Bf16, Compute::F32)] {
        let mut config = config(&spec, mlp(&[8], 0.0), 2, 8);
        config.train.compute = began;
        let dir = tempfile::tempdir().unwrap();
        let flag = StopFlag::new();
        let mut witness = Witness {
            stop_after: Some((3, flag.clone())),
            ..Default::default()
        };
        granule_train::train_with(&config, &data, Some(dir.path()), &mut witness, &flag).unwrap();
        let mut other = RunConfig::of_run(dir.path()).unwrap();
        assert_eq!(other.train.compute, began);
        other.train.compute = goes_on;
        let error = resume_as(dir.path(), &other, &mut witness, &StopFlag::new()).unwrap_err();
        assert!(error.to_string().contains("train.compute"), "{error}");
    }
}
