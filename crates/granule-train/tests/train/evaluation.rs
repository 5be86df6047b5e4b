use granule_models::Classifier;
use granule_train::{Quiet, TrainError, evaluate};

use crate::common::*;

#[test]
fn a_model_file_scores_alike_on_every_backend_and_batch_size() {
    let data = images(8, 60, 30);
    let spec = "flex".parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&spec, mlp(&[6], 0.0), 1, 16);
    config.data.limit_train = Some(24);
    config.data.limit_test = Some(30);
    let (outcome, _) = run(&config, &data, dir.path()).unwrap();
    let expected = outcome.evaluation.clone().unwrap();
    let file = model(&outcome);
    assert_eq!(
        file.provenance.scores["test_accuracy"],
        expected.accuracy().unwrap()
    );
    on_each(&BACKENDS, |spec, device| {
        for batch in [1, 7, 64] {
            let found = evaluate(&file, &data, device, batch, &mut Quiet).unwrap();
            assert!(
                (found.loss - expected.loss).abs() < 1e-5 * expected.loss,
                "{spec}"
            );
            assert_eq!(found.accuracy(), expected.accuracy(), "{spec}");
        }
    });

    let scores = expected.classification().unwrap();
    let wrong = scores.confusion.total() - scores.confusion.correct();
    assert_eq!(scores.mistakes.len() as u64, wrong.min(64));
    let ranked = |pair: &[granule_train::Mistake]| pair[0].probability >= pair[1].probability;
    assert!(scores.mistakes.windows(2).all(ranked));
    let classifier =
        Classifier::from_path(outcome.model_path.unwrap(), spec.open().unwrap().burn()).unwrap();
    for mistake in &scores.mistakes {
        assert_ne!(mistake.truth, mistake.predicted);
        assert_eq!(data.test.class(mistake.index), Some(mistake.truth as u16));
        let prediction = classifier
            .predict_pixels(data.test.pixels(mistake.index).unwrap())
            .unwrap();
        let (name, probability) = &prediction.classes[0];
        assert_eq!(*name, data.classes[mistake.predicted]);
        assert!((f64::from(*probability) - mistake.probability).abs() < 1e-5);
    }
}

#[test]
fn a_data_set_of_another_kind_is_refused() {
    let spec: granule_device::DeviceSpec = "flex".parse().unwrap();
    let device = spec.open().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (outcome, _) = run(
        &config(&spec, mlp(&[4], 0.0), 1, 8),
        &points(24, 6),
        dir.path(),
    )
    .unwrap();
    let file = model(&outcome);
    let mut renamed = points(24, 6);
    renamed.classes[0] = "west".into();
    for other in [images(8, 6, 3), plane(12, 3), renamed] {
        let error = evaluate(&file, &other, &device, 8, &mut Quiet).unwrap_err();
        assert!(matches!(error, TrainError::Mismatch { .. }), "{error}");
    }
}

#[test]
fn what_was_taken_for_granted_is_told_and_kept() {
    let mut data = images(8, 12, 6);
    data.notes = vec!["Pixels are taken for 0 to 255.".to_owned()];
    let dir = tempfile::tempdir().unwrap();
    let config = config(&"flex".parse().unwrap(), mlp(&[4], 0.0), 1, 6);
    let (_, witness) = run(&config, &data, dir.path()).unwrap();
    assert_eq!(witness.notes, data.notes);
    let report = granule_train::record::ReportData::load(dir.path()).unwrap();
    assert_eq!(report.notes, data.notes);
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
}
