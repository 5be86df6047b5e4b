use granule_data::{Features, Shape, Split};
use granule_train::config::{ConstantConfig, SgdConfig, StepConfig};
use granule_train::record::ReportData;
use granule_train::{
    Event, Loss, Observer, OptimizerConfig, Quiet, ScheduleConfig, StopFlag, TrainError, evaluate,
    train_with,
};

use crate::checkpoints::{model_in, step_checkpoint};
use crate::common::*;

/// The rate of a step, and whether the loss gets out of the range of numbers at once.
type Course = (ScheduleConfig, fn(u64) -> f64, bool);

#[test]
fn a_diverging_loss_stops_the_run_and_keeps_the_last_good_checkpoint() {
    // The four steps of the first epoch do no harm, those near the full rate do, and those after a leap.
    let rise = ScheduleConfig::Constant(ConstantConfig { warmup_steps: 400 });
    let leap = ScheduleConfig::Step(StepConfig {
        every_epochs: 1,
        gamma: 1e30,
        ..Default::default()
    });
    let courses: [Course; 2] = [
        (
            rise,
            |step| 60.0 * ((step + 1) as f64 / 400.0).min(1.0),
            false,
        ),
        (leap, |_| 60.0 * 1e30, true),
    ];
    for course in courses {
        diverges(course);
    }
}

fn diverges((schedule, rate, at_once): Course) {
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
        if at_once {
            // Small enough for an epoch.
            config.train.clip_norm = Some(1e-3);
        }
        config.schedule = schedule;
        let error = run(&config, &data, dir.path()).map(|_| ()).unwrap_err();
        let text = error.to_string();
        let (step, checkpoint) = match &error {
            TrainError::NonFinite {
                step,
                learning_rate,
                gradient_norm,
                checkpoint,
                loss,
                ..
            } => {
                let expected = rate(step - 1);
                assert!(
                    (learning_rate / expected - 1.0).abs() < 1e-9,
                    "{learning_rate}"
                );
                assert!(at_once && !loss.is_finite() && !gradient_norm.is_finite());
                (*step, checkpoint.clone())
            }
            TrainError::Diverged {
                step,
                learning_rate,
                checkpoint,
                loss,
                first,
                ..
            } => {
                let expected = rate(step - 1);
                assert!(
                    (learning_rate / expected - 1.0).abs() < 1e-9,
                    "{learning_rate}"
                );
                assert!(!at_once && *loss > 1e8 * first, "{text}");
                (*step, checkpoint.clone())
            }
            other => panic!("{spec}: {other}"),
        };
        let done = step - 1;
        let kept_at = done - done % 4;
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
        assert_eq!(report.epochs.len() as u64, done / 4);
        let page = std::fs::read_to_string(dir.path().join("report.html")).unwrap();
        assert!(page.contains("not finished"), "{page}");
    });
}

#[test]
fn a_divergence_that_stays_finite_does_not_end_well() {
    let data = points(120, 12);
    on_each(&BACKENDS, |spec, _| {
        let mut config = config(spec, mlp(&[16], 0.0), 3, 16);
        config.optimizer = adam(1e12);
        let dir = tempfile::tempdir().unwrap();
        let error = run(&config, &data, dir.path()).map(|_| ()).unwrap_err();
        match &error {
            TrainError::Diverged {
                step, loss, first, ..
            } => {
                assert_eq!(*step, 2, "{spec}");
                assert!(loss.is_finite() && *loss > 1e12 && *first < 10.0, "{spec}");
            }
            other => panic!("{spec}: {other}"),
        }
        let text = error.to_string();
        assert!(text.contains("optimizer.lr"), "{text}");
        assert!(!dir.path().join("model.granule").exists());

        // Less absurd, but no training either.
        config.optimizer = adam(30.0);
        let dir = tempfile::tempdir().unwrap();
        let (_, witness) = run(&config, &data, dir.path()).unwrap();
        let said = witness.warnings.concat();
        assert!(
            said.contains("diverges") && said.contains("optimizer.lr"),
            "{spec}: {said}"
        );
        assert_eq!(witness.warnings.len(), 1);
    });
}

/// Puts a file where the checkpoints are to go.
struct Blocker<'a>(&'a std::path::Path);

impl Observer for Blocker<'_> {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::Start(_) = event {
            std::fs::write(self.0.join("checkpoints"), "").unwrap();
        }
    }
}

#[test]
fn a_folder_that_cannot_be_written_to_names_the_next_command() {
    let spec = "flex".parse().unwrap();
    let data = points(24, 6);
    let root = tempfile::tempdir().unwrap();
    let config = config(&spec, mlp(&[4], 0.0), 1, 4);
    let file = root.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = run(&config, &data, &file.join("run"))
        .map(|_| ())
        .unwrap_err();
    assert!(error.to_string().contains("--run-dir"), "{error}");

    let dir = root.path().join("run");
    let (mut blocker, stop) = (Blocker(&dir), StopFlag::new());
    let error = train_with(&config, &data, Some(&dir), &mut blocker, &stop).unwrap_err();
    assert!(matches!(error, TrainError::Stopped { .. }), "{error}");
    let advice = format!("granule train --resume {}", dir.display());
    assert!(error.to_string().contains(&advice), "{error}");
    std::fs::remove_file(dir.join("checkpoints")).unwrap();
    let outcome = granule_train::resume_with(&dir, &data, &mut Quiet, &stop).unwrap();
    assert_eq!(outcome.steps, 6);
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

/// What is far beyond the usual is named, not the learning rate.
#[test]
fn a_divergence_names_the_setting_that_it_comes_from() {
    let data = points(60, 12);
    let diverges = |change: &dyn Fn(&mut granule_train::RunConfig)| {
        let mut config = config(&"flex".parse().unwrap(), mlp(&[8], 0.0), 60, 8);
        config.optimizer = OptimizerConfig::Sgd(SgdConfig {
            lr: 0.1,
            ..Default::default()
        });
        change(&mut config);
        let dir = tempfile::tempdir().unwrap();
        run(&config, &data, dir.path())
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    let heavy = diverges(&|config| {
        config.train.class_weights = Some(granule_train::ClassWeights::Each(vec![1e30, 1.0, 1e30]));
        config.train.accumulate = 1;
        if let OptimizerConfig::Sgd(sgd) = &mut config.optimizer {
            sgd.lr = 1e8;
        }
    });
    assert!(heavy.contains("train.class_weights"), "{heavy}");
    let decayed = diverges(&|config| {
        if let OptimizerConfig::Sgd(sgd) = &mut config.optimizer {
            sgd.weight_decay = 1e6;
        }
    });
    assert!(
        decayed.contains("lower optimizer.weight_decay"),
        "{decayed}"
    );
    let fast = diverges(&|config| {
        if let OptimizerConfig::Sgd(sgd) = &mut config.optimizer {
            sgd.lr = 1e12;
        }
    });
    assert!(
        fast.contains("lower optimizer.lr or set train.clip_norm"),
        "{fast}"
    );
}

#[test]
fn settings_by_which_nothing_is_learnt_are_warned_of() {
    let mut config = config(&"flex".parse().unwrap(), mlp(&[8], 0.0), 1, 8);
    config.train.clip_norm = Some(1e-300);
    config.schedule = granule_train::ScheduleConfig::Constant(ConstantConfig { warmup_steps: 500 });
    let dir = tempfile::tempdir().unwrap();
    let (_, witness) = run(&config, &points(60, 12), dir.path()).unwrap();
    let [warmup, norm] = &witness.warnings[..] else {
        panic!("{:?}", witness.warnings)
    };
    assert!(
        warmup.contains("warmup_steps = 500") && warmup.contains("8 steps"),
        "{warmup}"
    );
    assert!(norm.contains("train.clip_norm = 1e-300"), "{norm}");
}

/// Does something to a file of the run folder after every step, and keeps what is said.
struct Thief(std::path::PathBuf, fn(&std::path::Path), Vec<String>);

impl granule_train::Observer for Thief {
    fn event(&mut self, event: &granule_train::Event<'_>) {
        match event {
            granule_train::Event::Step(_) => self.1(&self.0),
            granule_train::Event::Warning { text } => self.2.push((*text).to_owned()),
            _ => {}
        }
    }
}

#[test]
fn a_file_of_the_run_that_is_lost_is_noticed_and_the_weights_are_saved() {
    let config = config(&"flex".parse().unwrap(), mlp(&[8], 0.0), 3, 8);
    let delete = |path: &std::path::Path| {
        let _ = std::fs::remove_file(path);
    };
    // As an editor saves: another file of the same content and name.
    let replace = |path: &std::path::Path| {
        let other = path.with_extension("other");
        std::fs::copy(path, &other).unwrap();
        std::fs::rename(&other, path).unwrap();
    };
    let cut = |path: &std::path::Path| {
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(0).unwrap();
    };
    let block = |path: &std::path::Path| {
        if std::fs::remove_file(path).is_ok() {
            std::fs::create_dir(path).unwrap();
        }
    };
    type Case<'a> = (&'a str, fn(&std::path::Path), &'a str);
    let cases: [Case<'_>; 5] = [
        ("config.toml", delete, "deleted"),
        ("metrics.jsonl", delete, "deleted"),
        ("metrics.jsonl", replace, "replaced"),
        (
            "metrics.jsonl",
            block,
            "once what lies there now is removed",
        ),
        ("metrics.jsonl", cut, "cut"),
    ];
    for (name, harm, word) in cases {
        if cfg!(not(unix)) && !matches!(word, "deleted" | "cut") {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let mut thief = Thief(dir.path().join(name), harm, Vec::new());
        let stop = granule_train::StopFlag::new();
        let data = points(60, 12);
        let error = granule_train::train_with(&config, &data, Some(dir.path()), &mut thief, &stop)
            .map(|_| ())
            .unwrap_err();
        let TrainError::FileLost { path, saved, .. } = &error else {
            panic!("{error}")
        };
        assert!(path.ends_with(name) && saved.is_file(), "{error}");
        assert!(error.to_string().contains(word), "{error}");
        if name == "metrics.jsonl" {
            // Nobody puts them back: what is promised is that the run goes on.
            let _ = std::fs::remove_dir(path);
            let mut witness = Witness::default();
            granule_train::resume_with(dir.path(), &data, &mut witness, &stop).unwrap();
        }
    }
}

/// The configuration may be edited while a run trains, which is said once.
#[test]
fn an_edited_configuration_is_told_of() {
    let config = config(&"flex".parse().unwrap(), mlp(&[8], 0.0), 3, 8);
    let cut = |path: &std::path::Path| {
        const CUT: &str = "[model";
        if std::fs::read_to_string(path).unwrap() != CUT {
            std::fs::write(path, CUT).unwrap();
        }
    };
    let dir = tempfile::tempdir().unwrap();
    let mut thief = Thief(dir.path().join("config.toml"), cut, Vec::new());
    let stop = granule_train::StopFlag::new();
    let data = points(60, 12);
    granule_train::train_with(&config, &data, Some(dir.path()), &mut thief, &stop).unwrap();
    let told =
        |text: &&String| text.contains("config.toml was changed") && text.contains("mend it");
    assert_eq!(thief.2.iter().filter(told).count(), 1, "{:?}", thief.2);
}

#[test]
fn settings_of_other_data_are_refused_by_name() {
    let refused = |dataset: &str, set: &dyn Fn(&mut granule_train::DataConfig)| {
        let mut config = granule_train::RunConfig::default();
        config.data.dataset = dataset.parse().unwrap();
        set(&mut config.data);
        config.validate().map_err(|error| error.to_string())
    };
    for dataset in ["mnist", "cifar-10", "synthetic-digits", "folder:x"] {
        let error = refused(dataset, &|data| data.transpose = true).unwrap_err();
        assert!(
            error.contains("data.transpose = true") && error.contains("arrays:"),
            "{error}"
        );
        assert!(refused(dataset, &|data| data.range = Some([0.0, 1.0])).is_err());
        let error = refused(dataset, &|data| {
            data.targets = Some(granule_data::arrays::TargetKind::Values)
        });
        assert!(error.unwrap_err().contains("data.targets = \"values\""));
    }
    for dataset in ["arrays:a.npz", "idx:dir", "in-memory:points"] {
        refused(dataset, &|data| {
            (data.transpose, data.range) = (true, Some([0.0, 1.0]))
        })
        .unwrap();
    }
    let error = refused("arrays:a.npz", &|data| {
        data.size = Some(granule_io::image::Size {
            height: 8,
            width: 8,
        })
    });
    assert!(error.unwrap_err().contains("folder:DIR"));
}
