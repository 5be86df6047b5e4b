use granule_train::config::SgdConfig;
use granule_train::record::ReportData;
use granule_train::{Loss, OptimizerConfig, TrainError};

use crate::common::*;

#[test]
fn a_diverging_loss_stops_the_run_and_keeps_the_last_good_checkpoint() {
    let data = plane(64, 8);
    on_each(&BACKENDS, |spec, _| {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(spec, mlp(&[16], 0.0), 200, 16);
        config.train.loss = Loss::Mse;
        config.optimizer = OptimizerConfig::Sgd(SgdConfig {
            lr: 60.0,
            momentum: 0.9,
            ..Default::default()
        });
        let error = run(&config, &data, dir.path()).map(|_| ()).unwrap_err();
        let text = error.to_string();
        let (step, checkpoint) = match &error {
            TrainError::NonFinite {
                step,
                learning_rate,
                gradient_norm,
                checkpoint,
                loss,
            } => {
                assert_eq!(*learning_rate, 60.0);
                assert!(!loss.is_finite() && !gradient_norm.is_finite());
                (*step, checkpoint.clone())
            }
            TrainError::NonFiniteWeights {
                step, checkpoint, ..
            } => (*step, checkpoint.clone()),
            other => panic!("{spec}: {other}"),
        };
        assert!(text.contains(&format!("step {step}")), "{text}");
        if step >= 4 {
            let bytes = std::fs::read(checkpoint.unwrap()).unwrap();
            let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            for (name, view) in file.tensors() {
                if name.starts_with("model/") {
                    let finite = view
                        .data()
                        .chunks_exact(4)
                        .all(|b| f32::from_le_bytes(b.try_into().unwrap()).is_finite());
                    assert!(finite, "{name}");
                }
            }
        }
        assert!(!dir.path().join("model.granule").exists());

        let report = ReportData::load(dir.path()).unwrap();
        assert!(report.interrupted && report.test.is_none());
        assert!(
            report
                .warnings
                .iter()
                .any(|warning| warning.contains(&text))
        );
        assert_eq!(report.epochs.len() as u64, step / 4);
        let page = std::fs::read_to_string(dir.path().join("report.html")).unwrap();
        assert!(page.contains("not finished"), "{page}");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_name_need_not_be_utf_8() {
    use std::os::unix::ffi::OsStrExt;

    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join(std::ffi::OsStr::from_bytes(b"run-\xff"));
    let spec = "flex".parse().unwrap();
    let data = points(12, 3);
    let (outcome, _) = run(&config(&spec, mlp(&[4], 0.0), 1, 4), &data, &dir).unwrap();
    assert_eq!(outcome.run_dir, dir);
    let again = granule_train::resume(
        &dir,
        &mut granule_train::Quiet,
        &granule_train::StopFlag::new(),
    );
    assert_eq!(again.unwrap().model_path, outcome.model_path);
}

#[test]
fn settings_that_the_data_rule_out_are_refused_before_a_folder_is_made() {
    let spec = "flex".parse().unwrap();
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("run");
    let values = plane(16, 4);
    let real = config(&spec, mlp(&[4], 0.0), 1, 4);
    let error = run(&real, &values, &dir).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("train.loss"), "{error}");

    let lenet = config(
        &spec,
        granule_models::ModelConfig::from_name("lenet").unwrap(),
        1,
        4,
    );
    let error = run(&lenet, &points(12, 3), &dir).map(|_| ()).unwrap_err();
    assert!(matches!(error, TrainError::Model(_)), "{error}");

    let mut none = config(&spec, mlp(&[4], 0.0), 0, 4);
    let error = run(&none, &points(12, 3), &dir).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("train.epochs = 0"), "{error}");
    none.train.epochs = 1;
    none.data.validation = 0.01;
    let error = run(&none, &points(12, 3), &dir).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("data.validation"), "{error}");

    none.data.validation = 0.0;
    none.data.augmentation.shift = 1;
    let error = run(&none, &points(12, 3), &dir).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("data.augmentation"), "{error}");
    assert!(!dir.exists());
}
