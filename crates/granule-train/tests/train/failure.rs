use granule_data::{Features, Shape, Split};
use granule_train::config::{ConstantConfig, SgdConfig};
use granule_train::record::ReportData;
use granule_train::{Loss, OptimizerConfig, Quiet, ScheduleConfig, TrainError, evaluate};

use crate::checkpoints::{model_in, step_checkpoint};
use crate::common::*;

#[test]
fn a_diverging_loss_stops_the_run_and_keeps_the_last_good_checkpoint() {
    let data = plane(64, 8);
    on_each(&BACKENDS, |spec, _| {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(spec, mlp(&[16], 0.0), 100, 16);
        config.train.loss = Loss::Mse;
        config.optimizer = OptimizerConfig::Sgd(SgdConfig {
            lr: 60.0,
            momentum: 0.9,
            ..Default::default()
        });
        // The four steps of the first epoch do no harm, those near the full rate do.
        config.schedule = ScheduleConfig::Constant(ConstantConfig { warmup_steps: 400 });
        let error = run(&config, &data, dir.path()).map(|_| ()).unwrap_err();
        let text = error.to_string();
        let (step, kept_at, checkpoint) = match &error {
            TrainError::NonFinite {
                step,
                learning_rate,
                gradient_norm,
                checkpoint,
                loss,
            } => {
                let expected = 60.0 * ((step + 1) as f64 / 400.0).min(1.0);
                assert!((learning_rate - expected).abs() < 1e-9, "{learning_rate}");
                assert!(!loss.is_finite() && !gradient_norm.is_finite());
                (*step, step - step % 4, checkpoint.clone())
            }
            TrainError::NonFiniteWeights {
                step, checkpoint, ..
            } => (*step, step - 4, checkpoint.clone()),
            other => panic!("{spec}: {other}"),
        };
        assert!(text.contains(&format!("step {step}")), "{text}");
        assert!(kept_at >= 4, "{spec}: diverged in the first epoch: {text}");
        let path = step_checkpoint(dir.path(), kept_at);
        assert_eq!(checkpoint.as_ref(), Some(&path), "{spec}: {text}");
        model_in(&path).check_finite().unwrap();
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
    let mut real = config(&spec, mlp(&[4], 0.0), 1, 4);
    real.train.loss = Loss::CrossEntropy;
    let error = run(&real, &values, &dir).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("train.loss"), "{error}");
    let mut squared = real;
    squared.train.loss = Loss::Mse;
    let error = run(&squared, &points(12, 3), &dir).map(|_| ()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("train.loss") && text.contains("cross-entropy"),
        "{text}"
    );

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

/// Finite inputs and weights whose product is not.
#[test]
fn a_sample_without_a_finite_output_is_named() {
    on_each(&BACKENDS, |spec, device| {
        let mut data = points(24, 9);
        let Features::Floats(mut values) = data.test.features().clone() else {
            panic!("pixels");
        };
        values[2 * 7..][..2].fill(1e30);
        let dir = tempfile::tempdir().unwrap();
        let (outcome, _) = run(&config(spec, mlp(&[16], 0.0), 1, 8), &data, dir.path()).unwrap();
        let mut file = model(&outcome);
        for value in file.state.0.values_mut() {
            value.data.iter_mut().for_each(|x| *x *= 1e6);
        }
        evaluate(&file, &data, device, 4, &mut Quiet).unwrap();
        let targets = data.test.targets().clone();
        data.test =
            Split::new(Shape::Vector { len: 2 }, Features::Floats(values), targets).unwrap();
        let error = evaluate(&file, &data, device, 4, &mut Quiet).unwrap_err();
        match &error {
            TrainError::NonFiniteOutput { part, sample, .. } => {
                assert_eq!((*part, *sample), ("test", 7), "{spec}: {error}");
            }
            other => panic!("{spec}: {other}"),
        }
    });
}
