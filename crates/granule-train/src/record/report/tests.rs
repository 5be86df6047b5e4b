use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;

use super::*;

fn epoch(epoch: u64, train_loss: f64, validation: Option<f64>) -> EpochRow {
    EpochRow {
        epoch,
        step: epoch * 100,
        train_loss,
        train_accuracy: Some(1.0 - train_loss / 3.0),
        validation_loss: validation,
        validation_accuracy: validation.map(|loss| 1.0 - loss / 3.0),
        learning_rate: 0.001,
        images_per_second: 5000.0,
        seconds: 2.0,
    }
}

fn step(step: u64, loss: f64) -> StepRow {
    StepRow {
        step,
        epoch: step.div_ceil(100),
        loss,
        accuracy: Some(0.5),
        learning_rate: 0.001,
    }
}

fn picture(side: usize) -> Picture {
    let mut state = 1u32;
    let noise: Vec<u8> = (0..3 * side * side)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    Picture::from_pixels(3, side, side, &noise).unwrap()
}

/// A classification in which every pair of classes was confused.
fn classification(names: &[String], mistakes: Vec<MistakeCard>) -> TestResult {
    let mut confusion = ConfusionMatrix::new(names.len());
    for truth in 0..names.len() {
        for predicted in 0..names.len() {
            let count = if truth == predicted {
                40
            } else {
                1 + (truth + predicted) % 3
            };
            for _ in 0..count {
                confusion.add(truth, predicted).unwrap();
            }
        }
    }
    let report = ClassificationReport::new(&confusion, names).unwrap();
    TestResult::Classification {
        loss: 0.25,
        report,
        confusion,
        mistakes,
        baselines: Vec::new(),
        permutation: None,
    }
}

fn mistake(index: usize, truth: usize, predicted: usize) -> MistakeCard {
    MistakeCard {
        index,
        truth,
        predicted,
        probability: 0.9871,
        picture: Some(picture(32)),
    }
}

fn run(test: Option<TestResult>) -> ReportData {
    ReportData {
        model: "lenet".into(),
        parameters: 61_706,
        dataset: "mnist".into(),
        train_samples: 54_000,
        validation_samples: 6000,
        test_samples: 10_000,
        device: "flex (CPU, 2 threads)".into(),
        seed: 42,
        version: "0.1.0".into(),
        created: "2026-02-11T14:03:27Z".into(),
        seconds: 83.4,
        images_per_second: 8123.0,
        interrupted: false,
        best_epoch: Some(2),
        epochs: vec![
            epoch(1, 0.5, Some(0.4)),
            epoch(2, 0.3, Some(0.25)),
            epoch(3, 0.2, Some(0.26)),
        ],
        steps: (1..=300).map(|at| step(at, 2.3 / at as f64)).collect(),
        test,
        filters: vec![picture(5)],
        config_toml: "seed = 42\n\n[model]\nkind = \"lenet\"\n".into(),
        provenance: vec![Fact {
            name: "data".into(),
            value: "sha256:00ff".into(),
        }],
        notes: vec!["Pixels are taken for 0 to 255.".into()],
        warnings: Vec::new(),
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("class-{index}")).collect()
}

fn occurrences(page: &str, text: &str) -> usize {
    page.matches(text).count()
}

#[test]
fn shows_the_run() {
    let mistakes = (0..40).map(|index| mistake(index, 3, 7)).collect();
    let page = render(&run(Some(classification(&names(10), mistakes)))).unwrap();
    for text in [
        "<title>lenet on mnist · granule</title>",
        "Test accuracy",
        "Macro F1",
        "61\u{202f}706 parameters",
        "54\u{202f}000 train, 6\u{202f}000 validation, 10\u{202f}000 test",
        "flex (CPU, 2 threads)",
        "1\u{202f}min 23\u{202f}s",
        "best: epoch 2",
        "epoch 2 (best)\ntraining 0.3\nvalidation 0.25\nlearning rate 0.001",
        "true: class-0\npredicted: class-0\n40 of 58 (69.0\u{202f}%)",
        "macro average",
        "<b>[model]</b>",
        "sha256:00ff",
        "Pixels are taken for 0 to 255.",
    ] {
        assert!(page.contains(text), "{text:?} is missing");
    }
    assert_eq!(occurrences(&page, "class=\"cell\""), 100);
    assert_eq!(occurrences(&page, "test sample "), 2 * 32);
    assert_eq!(occurrences(&page, "<svg"), 3);
    assert!(!page.contains("{{") && !page.contains("{%"));
}

#[test]
fn asks_nothing_of_the_network() {
    let page = render(&run(Some(classification(
        &names(10),
        vec![mistake(1, 0, 1)],
    ))))
    .unwrap();
    assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("//cdn"));
    assert!(!page.contains("@import") && !page.contains("fetch("));
    for attribute in ["src=\"", "href=\"", "url("] {
        for (at, _) in page.match_indices(attribute) {
            let target = &page[at + attribute.len()..];
            assert!(
                target.starts_with("data:") || target.starts_with("#clip-"),
                "{}",
                &target[..40]
            );
        }
    }
}

#[test]
fn hostile_text_stays_text() {
    let hostile =
        r#"</title></script><script>alert(1)</script>"'><img src=x onerror=alert(2)>"#.to_owned();
    for classes in [10, 40] {
        let mut all = names(classes);
        all[3].clone_from(&hostile);
        let mut data = run(Some(classification(
            &all,
            vec![mistake(0, 3, 1), mistake(1, 1, 3), mistake(2, 999, 3)],
        )));
        for field in [
            &mut data.model,
            &mut data.dataset,
            &mut data.device,
            &mut data.version,
            &mut data.created,
        ] {
            field.clone_from(&hostile);
        }
        data.config_toml = format!("[{hostile}]\n{hostile} = {hostile}\n{hostile}");
        data.provenance = vec![Fact {
            name: hostile.clone(),
            value: hostile.clone(),
        }];
        data.warnings = vec![hostile.clone()];
        data.notes = vec![hostile.clone()];
        data.filters[0].png.clone_from(&hostile);
        let page = render(&data).unwrap();
        let plain = render(&run(Some(classification(
            &names(classes),
            vec![mistake(0, 3, 1)],
        ))))
        .unwrap();
        for tag in ["<script", "</script", "</title", "<img src=x"] {
            let expected = occurrences(&plain, tag)
                + if tag == "</title" {
                    occurrences(&page, "<title") - occurrences(&plain, "<title")
                } else {
                    0
                };
            assert_eq!(
                occurrences(&page, tag),
                expected,
                "{tag} with {classes} classes"
            );
        }
        assert!(page.contains("&lt;script&gt;alert(1)"));
    }
}

#[test]
fn large_matrices_stay_small() {
    let mut data = run(Some(classification(
        &names(100),
        (0..40).map(|i| mistake(i, i, i + 1)).collect(),
    )));
    data.filters = vec![picture(11); 64];
    data.epochs = (1..=5000)
        .map(|at| epoch(at, 1.0 / at as f64, Some(0.1)))
        .collect();
    data.steps = (1..=100_000).map(|at| step(at, 0.5)).collect();
    let page = render(&data).unwrap();
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    assert_eq!(occurrences(&page, "class=\"cell\""), 0);
    assert!(page.contains(r#"id="confusion">{"classes": ["class-0", "class-1","#));
    assert!(occurrences(&page, "class=\"strip\"") <= 2 * 402);

    let huge = render(&run(Some(classification(&names(400), Vec::new())))).unwrap();
    assert!(
        !huge.contains("Confusion matrix")
            && huge.contains("Most confused")
            && huge.len() < 2_000_000
    );
}

#[test]
fn regression_shows_scores_and_scatter() {
    let truth: Vec<f32> = (0..200).map(|at| at as f32).collect();
    let predicted: Vec<f32> = truth.iter().map(|value| value * 0.9).collect();
    let mut scores = crate::metrics::RegressionScores::new(&truth, &predicted, 2).unwrap();
    scores.baselines.push(crate::metrics::Baseline {
        name: "ridge, current bin".to_owned(),
        penalty: Some(100.0),
        scores: crate::metrics::ValueScores {
            outputs: scores.outputs.clone(),
            mean: scores.mean,
            bits_per_spike: None,
        },
    });
    let mut data = run(Some(TestResult::Regression {
        loss: 4.0,
        scores,
        scatters: Scatter::sample(&truth, &predicted, 2),
    }));
    for row in &mut data.epochs {
        (row.train_accuracy, row.validation_accuracy) = (None, None);
    }
    let page = render(&data).unwrap();
    assert!(page.contains("Test R²") && page.contains("Output 2") && page.contains("RMSE"));
    assert!(page.contains("Baselines") && page.contains("ridge, current bin"));
    assert!(page.contains("<b>Learning rate</b>") && !page.contains("<b>Accuracy</b>"));
    assert!(!page.contains("Macro F1") && !page.contains("Confusion"));
    assert_eq!(occurrences(&page, "class=\"points\""), 2);
}

#[test]
fn a_decoder_of_classes_is_shown_beside_chance() {
    let mut data = run(Some(classification(&names(3), Vec::new())));
    assert!(!render(&data).unwrap().contains("Permutation test"));
    if let Some(TestResult::Classification {
        report,
        baselines,
        permutation,
        ..
    }) = &mut data.test
    {
        baselines.push(crate::metrics::Baseline {
            name: "most frequent class".to_owned(),
            penalty: None,
            scores: report.shares(),
        });
        let truth: Vec<usize> = (0..90).map(|at| at % 3).collect();
        *permutation = crate::metrics::PermutationTest::new(&truth, &truth, true, 89, |round| {
            let mut truth = truth.clone();
            truth.rotate_left(round + 1);
            truth
        });
    }
    let page = render(&data).unwrap();
    assert!(page.contains("Baselines") && page.contains("balanced accuracy"));
    // One shift in three keeps all answers right: 29 of them and the model, of 90.
    assert!(
        page.contains("Permutation test") && page.contains("p = 0.3333"),
        "{page}"
    );
    let label = format!("model {}", super::format::percent(1.0, 1));
    assert!(page.contains(&label) && page.contains("89 circular shifts"));
    let stored = serde_json::to_string(&data.test).unwrap();
    let read: Option<TestResult> = serde_json::from_str(&stored).unwrap();
    assert_eq!(read, data.test);
}

#[test]
fn little_or_broken_data_makes_a_page() {
    let mut data = run(None);
    data.interrupted = true;
    assert!(render(&data).unwrap().contains(">not finished<"));
    data.epochs.truncate(1);
    assert!(render(&data).unwrap().contains("training, by step"));
    data.epochs[0].train_loss = f64::NAN;
    data.seconds = f64::INFINITY;
    data.images_per_second = f64::NAN;
    data.best_epoch = Some(99);
    assert!(render(&data).unwrap().contains("unknown"));
    data.epochs.clear();
    data.steps.clear();
    assert!(!render(&data).unwrap().contains("Learning curves"));
    let one_class = classification(&names(1), vec![mistake(0, 7, 9)]);
    let page = render(&run(Some(one_class))).unwrap();
    assert!(page.contains("class 9") && !page.contains("Confusion matrix"));
    let mut data = run(Some(classification(&names(3), vec![mistake(0, 0, 1)])));
    if let Some(TestResult::Classification { mistakes, .. }) = &mut data.test {
        mistakes[0].picture = Some(Picture {
            width: 0,
            height: 7,
            png: String::new(),
        });
    }
    assert!(render(&data).is_ok());
}

#[test]
fn the_page_can_be_made_again_from_the_stored_data() {
    let dir = tempfile::tempdir().unwrap();
    let data = run(Some(classification(&names(4), vec![mistake(5, 1, 2)])));
    write_report(dir.path(), &data).unwrap();
    let page = fs::read_to_string(dir.path().join(REPORT_HTML)).unwrap();
    assert_eq!(page, render(&data).unwrap());
    let read = ReportData::load(dir.path()).unwrap();
    assert!(page == render(&read).unwrap());
    assert_eq!(
        (read.filters, read.config_toml),
        (data.filters, data.config_toml)
    );
    let files: BTreeSet<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(files, [REPORT_HTML, REPORT_JSON].map(Into::into).into());
}

#[test]
fn stored_data_that_cannot_be_used_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = ReportData::load(dir.path()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("is not a run folder: config.toml is missing"),
        "{error}"
    );
    fs::write(dir.path().join(CONFIG_FILE), "").unwrap();
    let error = ReportData::load(dir.path()).unwrap_err();
    assert!(error.to_string().contains("--resume"), "{error}");
    let path = dir.path().join(REPORT_JSON);
    for damaged in ["", "{}", "[1,2", "{\"model\":1}", "\u{0}"] {
        fs::write(&path, damaged).unwrap();
        let error = ReportData::load(dir.path()).unwrap_err();
        assert!(matches!(error, RecordError::Damaged { .. }), "{error}");
    }
}

#[test]
fn a_run_cut_short_is_reported_from_its_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let options = crate::record::RecordOptions { step_interval: 1 };
    let mut recorder = crate::record::RunRecorder::create(dir.path(), "", options).unwrap();
    let begun = ReportData {
        epochs: Vec::new(),
        steps: Vec::new(),
        seconds: 0.0,
        images_per_second: 0.0,
        interrupted: true,
        ..run(None)
    };
    write_data(dir.path(), &begun).unwrap();
    recorder.step(&step(1, 2.0)).unwrap();
    recorder.epoch(&epoch(1, 0.5, None)).unwrap();
    recorder.step(&step(101, 1.0)).unwrap();
    drop(recorder);
    let torn = fs::File::options()
        .append(true)
        .open(dir.path().join(crate::record::METRICS_JSONL));
    std::io::Write::write_all(&mut torn.unwrap(), b"{\"event\":\"step\",\"st").unwrap();

    let read = ReportData::load(dir.path()).unwrap();
    let steps: Vec<_> = read.steps.iter().map(|row| row.step).collect();
    assert_eq!((read.epochs.len(), steps), (1, vec![1, 101]));
    assert_eq!((read.seconds, read.images_per_second), (2.0, 5000.0));
    assert!(render(&read).unwrap().contains("Learning curves"));
}

#[test]
fn step_rows_are_averaged_in_groups() {
    let rows: Vec<_> = (1..=10).map(|at| step(at, at as f64)).collect();
    let thin = curves::thin_steps(&rows, 3);
    assert_eq!(
        thin.iter().map(|row| row.loss).collect::<Vec<_>>(),
        [2.5, 6.5, 9.5]
    );
    assert_eq!(
        thin.iter().map(|row| row.step).collect::<Vec<_>>(),
        [3, 7, 10]
    );
    assert_eq!(curves::thin_steps(&rows, 10), rows);
    assert_eq!(curves::thin_steps(&[], 10), []);
}

#[test]
fn curves_break_at_values_that_are_not_finite() {
    let rows: Vec<_> = [1.0, 0.5, f64::NAN, 0.4, 0.3]
        .into_iter()
        .zip(1..)
        .map(|(loss, at)| epoch(at, loss, None))
        .collect();
    let charts = curves::charts(&rows, &[], Some(5));
    let path = &charts[0].lines[0].path;
    assert_eq!((occurrences(path, "M"), occurrences(path, "L")), (2, 2));
    assert_eq!(charts[0].best.as_ref().unwrap().anchor, "end");
    assert_eq!(charts[0].strips.len(), 5);
}

#[test]
fn one_epoch_is_a_point_and_small_labels_fit() {
    let one = [EpochRow {
        train_accuracy: None,
        validation_accuracy: None,
        ..epoch(1, 0.6, Some(0.5))
    }];
    let rows = [StepRow {
        accuracy: None,
        ..step(40, 1.1)
    }];
    for chart in curves::charts(&one, &rows, None) {
        assert!(chart.lines.iter().all(|line| line.class != "steps"));
        for line in &chart.lines {
            assert_eq!(line.dots.len(), 1, "{} {}", chart.id, line.name);
        }
        let labels: Vec<&str> = chart
            .frame
            .x_ticks
            .iter()
            .map(|tick| tick.label.as_str())
            .collect();
        assert_eq!(labels, ["1"], "{}", chart.id);
    }
    // A cosine ends close to 0.
    let course: Vec<EpochRow> = (1..=12)
        .map(|n| EpochRow {
            learning_rate: 3e-3 / 1.5f64.powi(2 * n as i32),
            train_accuracy: None,
            ..epoch(n, 0.6, None)
        })
        .collect();
    let charts = curves::charts(&course, &[], None);
    let rates = charts
        .iter()
        .find(|chart| chart.id == "learning-rate")
        .unwrap();
    assert!(rates.frame.y_ticks.len() > 2);
    for tick in &rates.frame.y_ticks {
        assert!(tick.label.len() <= 7, "{}", tick.label);
    }
}

#[test]
fn a_loss_over_several_decades_gets_a_logarithmic_axis() {
    let note = |losses: [f64; 3]| {
        let rows: Vec<_> = losses
            .into_iter()
            .zip(1..)
            .map(|(loss, at)| epoch(at, loss, None))
            .collect();
        curves::charts(&rows, &[], None)[0].note.clone()
    };
    assert_eq!(note([2.0, 0.1, 0.001]), "logarithmic axis");
    assert_eq!(note([2.0, 1.0, 0.5]), "");
    assert_eq!(note([2.0, 1.0, 0.0]), "");
}

#[test]
fn the_worst_pairs_come_first() {
    let mut confusion = ConfusionMatrix::new(3);
    for (truth, predicted, count) in [(0, 0, 9), (0, 1, 1), (1, 2, 5), (2, 0, 2), (1, 1, 15)] {
        for _ in 0..count {
            confusion.add(truth, predicted).unwrap();
        }
    }
    let report = ClassificationReport::new(&confusion, &names(3)).unwrap();
    let pairs = heatmap::most_confused(&confusion, &report.classes);
    let found: Vec<_> = pairs
        .iter()
        .map(|pair| {
            (
                pair.truth.as_str(),
                pair.predicted.as_str(),
                pair.count.as_str(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("class-1", "class-2", "5"),
            ("class-2", "class-0", "2"),
            ("class-0", "class-1", "1")
        ]
    );
    assert_eq!(
        (pairs[0].bar.as_str(), pairs[0].share.as_str()),
        ("1.000", "25.0\u{202f}%")
    );
}

#[test]
fn the_interval_is_that_of_wilson() {
    // proportion_confint(9805, 10000, method="wilson") of statsmodels
    assert_eq!(
        view::interval(9805, 10_000),
        "95 % interval 97.76 to 98.30 %"
    );
    assert_eq!(view::interval(0, 10), "95 % interval 0.00 to 27.75 %");
    assert_eq!(view::interval(0, 0), "");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_rows_make_a_page(
        losses in prop::collection::vec(any::<f64>(), 0..12),
        numbers in prop::collection::vec(any::<u64>(), 0..12),
        best in any::<Option<u64>>(),
        name in any::<String>(),
    ) {
        let mut data = run(Some(classification(&[name.clone(), name], vec![mistake(0, 0, 1)])));
        data.epochs = losses.iter().zip(&numbers).map(|(&loss, &at)| EpochRow { epoch: at, ..epoch(1, loss, Some(-loss)) }).collect();
        data.steps = losses.iter().zip(&numbers).map(|(&loss, &at)| StepRow { step: at, ..step(1, loss) }).collect();
        data.best_epoch = best;
        prop_assert!(render(&data).is_ok());
    }
}
