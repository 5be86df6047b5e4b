use burn::tensor::{Tensor, TensorData};
use granule_models::{Classifier, Model as _, Predictor, Sample};
use granule_train::receptive::Answer;
use granule_train::{Quiet, TrainError, evaluate, receptive_fields};

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

/// The mean over samples of the mean over outputs of λ − y ln λ, with rates that are multiples of the mean counts.
fn poisson(outputs: &[f32], counts: &[Vec<f64>], means: &[f64]) -> f64 {
    let rows = outputs.chunks(means.len()).zip(counts);
    let losses = rows.flat_map(|(row, counts)| {
        let each = row.iter().zip(counts).zip(means);
        each.map(|((output, count), mean)| {
            let rate = mean * f64::from(*output).exp();
            rate - count * rate.ln()
        })
    });
    losses.sum::<f64>() / outputs.len() as f64
}

#[test]
fn what_is_learnt_beside_is_neither_answered_nor_scored() {
    let data = spikes(30, 20);
    let counts_of = |split: &granule_data::Split, beside: bool| -> Vec<Vec<f64>> {
        let row = |sample: usize| {
            let own = split.target_values(sample).unwrap();
            let shown = &split.values(sample).unwrap()[4..8];
            let all = own.iter().chain(shown.iter().filter(|_| beside));
            all.copied().map(f64::from).collect()
        };
        (0..split.len()).map(row).collect()
    };
    let learnt = counts_of(&data.train, true);
    let mean = |at: usize| learnt.iter().map(|row| row[at]).sum::<f64>() / 30.0;
    let means: Vec<f64> = (0..6).map(mean).collect();
    let layers = serde_json::json!({"kind": "sequential", "layer": [{"kind": "flatten"}]});
    let layers: granule_models::ModelConfig = serde_json::from_value(layers).unwrap();
    on_each(&BACKENDS, |spec, device| {
        let mut config = config(spec, layers.clone(), 1, 30);
        config.optimizer = adam(1e-12);
        let dir = tempfile::tempdir().unwrap();
        let (outcome, witness) = run(&config, &data, dir.path()).unwrap();
        let file = model(&outcome);
        assert_eq!((file.task.outputs(), file.task.learnt_outputs()), (2, 6));

        let network = config
            .model
            .init(&file.input.shape, 6, config.seed, device.burn())
            .unwrap();
        let all = |split: &granule_data::Split| {
            let indices: Vec<usize> = (0..split.len()).collect();
            let mut inputs = Vec::new();
            split
                .gather(&indices, &data.normalization, None, &mut inputs)
                .unwrap();
            let inputs = TensorData::new(inputs, [split.len(), 12]);
            let outputs = network.forward(Tensor::from_data(inputs, device.burn()));
            outputs.unwrap().try_into_vec_as::<f32>().unwrap()
        };
        let expected = poisson(&all(&data.train), &learnt, &means);
        let found = witness.steps[0].loss;
        assert!(
            (found - expected).abs() < 1e-5,
            "{spec}: {found} {expected}"
        );

        // Of the test part the first two outputs.
        let answers = all(&data.test);
        let answers: Vec<f32> = answers
            .chunks(6)
            .flat_map(|row| &row[..2])
            .copied()
            .collect();
        let tested = counts_of(&data.test, false);
        let expected = poisson(&answers, &tested, &means[..2]);
        let evaluation = outcome.evaluation.unwrap();
        let again = evaluate(&file, &data, device, 7, &mut Quiet).unwrap();
        for found in [evaluation.loss, again.loss] {
            assert!(
                (found - expected).abs() < 1e-5,
                "{spec}: {found} {expected}"
            );
        }
        assert_eq!(again.regression().unwrap().outputs.len(), 2);
        let predictor = Predictor::from_file(&file, device.burn()).unwrap();
        let sample = Sample::Values(data.test.values(3).unwrap());
        let rates = predictor.outputs(sample).unwrap();
        assert_eq!(rates.len(), 2);
        for (at, rate) in rates.iter().enumerate() {
            let expected = means[at] * f64::from(answers[2 * 3 + at]).exp();
            assert!(
                (f64::from(*rate) - expected).abs() < 1e-4 * expected,
                "{spec}"
            );
        }
    });
}

#[test]
fn receptive_fields_are_the_mean_of_finite_differences() {
    const H: f32 = 1e-3;
    let data = plane(40, 12);
    let spec = "flex".parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (outcome, _) = run(&config(&spec, mlp(&[6], 0.0), 3, 8), &data, dir.path()).unwrap();
    let file = model(&outcome);
    let scale = granule_data::Normalization {
        mean: file.input.mean.clone(),
        std: file.input.std.clone(),
    };
    let (all, mut inputs): (Vec<usize>, _) = ((0..12).collect(), Vec::new());
    data.test.gather(&all, &scale, None, &mut inputs).unwrap();
    on_each(&BACKENDS, |spec, device| {
        let network = file.network(device.burn()).unwrap();
        let shifted = |channel: usize, by: f32| {
            let mut inputs = inputs.clone();
            inputs
                .iter_mut()
                .skip(channel)
                .step_by(3)
                .for_each(|x| *x += by);
            let inputs = Tensor::<2>::from_data(TensorData::new(inputs, [12, 3]), device.burn());
            network
                .forward(inputs)
                .unwrap()
                .into_data()
                .try_into_vec::<f32>()
                .unwrap()
        };
        for batch in [5, 12] {
            let found = receptive_fields(&file, &data, None, (device, batch), &mut Quiet);
            let found = found.unwrap().unwrap();
            assert_eq!((found.answer, found.samples), (Answer::Value, 12));
            assert_eq!((found.fields.len(), found.lags.len()), (2, 1));
            for channel in 0..3 {
                let (above, below) = (shifted(channel, H), shifted(channel, -H));
                for (output, field) in found.fields.iter().enumerate() {
                    let rise = above.iter().zip(&below).skip(output).step_by(2);
                    let rise: f32 = rise.map(|(above, below)| above - below).sum();
                    let expected = f64::from(rise / (12.0 * 2.0 * H));
                    let slope = field.model[channel];
                    assert!(
                        (slope - expected).abs() < 2e-3,
                        "{spec}: {slope}, {expected}"
                    );
                }
            }
            assert!(found.fields[0].strength() > 0.1, "{spec}");
        }
    });
    let images = images(8, 6, 3);
    let (outcome, _) = run(
        &config(&spec, mlp(&[4], 0.0), 1, 8),
        &images,
        &dir.path().join("i"),
    )
    .unwrap();
    let device = spec.open().unwrap();
    let found = receptive_fields(&model(&outcome), &images, None, (&device, 4), &mut Quiet);
    assert!(matches!(found, Err(TrainError::Config(_))), "{found:?}");
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
