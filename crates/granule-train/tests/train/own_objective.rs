//! Data and a loss that are no part of granule.

use std::collections::BTreeMap;
use std::error::Error;

use burn::tensor::{Device, Tensor, TensorData};
use granule_data::task::Part;
use granule_models::{InputShape, InputSpec, Predictor, Sample, Task};
use granule_train::{
    ConfigError, Event, Objective, Observer, Quiet, Scores, StopFlag, TrainError, evaluate_on,
    resume, resume_on, train_on,
};

use crate::common::*;

type Failure = Box<dyn Error + Send + Sync>;

/// y = 2x₀ − x₁, with absolute instead of squared errors.
struct Line {
    inputs: [usize; 2],
    loss: usize,
    len: usize,
    breaks: bool,
}

impl Line {
    const GOOD: Self = Self {
        inputs: [1, 2],
        loss: 1,
        len: 64,
        breaks: false,
    };

    fn x(part: Part, sample: usize) -> [f32; 2] {
        let mut noise = Noise::new(sample as u64 * 3 + part as u64 + 1);
        [noise.next() - 0.5, noise.next() - 0.5]
    }
}

impl Objective for Line {
    fn name(&self) -> String {
        "line".to_owned()
    }

    fn fingerprint(&self) -> String {
        format!("{}", self.len)
    }

    fn input(&self) -> InputSpec {
        InputSpec::new(InputShape::Vector { len: 2 })
    }

    fn task(&self) -> Task {
        Task::regression(1)
    }

    fn len(&self, part: Part) -> usize {
        match part {
            Part::Train => self.len,
            _ => 16,
        }
    }

    fn inputs(&self, part: Part, samples: &[usize], device: &Device) -> Result<Tensor<2>, Failure> {
        let [rows, columns] = self.inputs;
        let values = samples.iter().flat_map(|&sample| Self::x(part, sample));
        let values: Vec<f32> = values.take(rows * samples.len() * columns).collect();
        let shape = [rows * samples.len(), columns];
        Ok(Tensor::from_data(TensorData::new(values, shape), device))
    }

    fn loss(
        &self,
        part: Part,
        samples: &[usize],
        outputs: Tensor<2>,
    ) -> Result<Tensor<1>, Failure> {
        if self.breaks {
            return Err("the disk is on fire".into());
        }
        let y = samples.iter().map(|&sample| {
            let [a, b] = Self::x(part, sample);
            2.0 * a - b
        });
        let y = TensorData::new(y.collect::<Vec<f32>>(), [samples.len(), 1]);
        let error = (outputs.clone() - Tensor::from_data(y, &outputs.device())).abs();
        Ok(match self.loss {
            1 => error.mean(),
            _ => error.reshape([samples.len()]),
        })
    }

    fn scores(&self, outputs: &[f32]) -> BTreeMap<String, f64> {
        let worst = outputs.iter().enumerate().map(|(sample, y)| {
            let [a, b] = Self::x(Part::Test, sample);
            f64::from((y - (2.0 * a - b)).abs())
        });
        BTreeMap::from([("worst".to_owned(), worst.fold(0.0, f64::max))])
    }
}

#[derive(Default)]
struct Listener {
    told: Option<(usize, usize, usize)>,
}

impl Observer for Listener {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::Objective {
            name: "line",
            train,
            validation,
            test,
            ..
        } = event
        {
            self.told = Some((*train, *validation, *test));
        }
    }
}

#[test]
fn an_objective_of_the_programs_own_is_learnt_resumed_and_scored() {
    on_each(&BACKENDS, |spec, device| {
        let mut config = config(spec, mlp(&[], 0.0), 30, 16);
        config.optimizer = adam(0.05);
        config.train.accumulate = 2;
        let dir = tempfile::tempdir().unwrap();
        let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
        let mut listener = Listener::default();
        let outcome = train_on(
            &config,
            &Line::GOOD,
            Some(&whole),
            &mut listener,
            &StopFlag::new(),
        )
        .unwrap();
        assert_eq!(listener.told, Some((64, 16, 16)));
        let evaluation = outcome.evaluation.clone().unwrap();
        assert!(evaluation.loss < 0.05, "{}: {evaluation:?}", spec);
        let Scores::Named(scores) = &evaluation.scores else {
            panic!("{evaluation:?}");
        };
        assert!(scores["worst"] < 0.2, "{scores:?}");

        let file = model(&outcome);
        assert_eq!(file.provenance.scores["test_worst"], scores["worst"]);
        let again = evaluate_on(&file, &Line::GOOD, device, 5, &mut Quiet).unwrap();
        assert!((again.loss - evaluation.loss).abs() < 1e-6);
        let predictor = Predictor::from_file(&file, device.burn()).unwrap();
        let y = predictor.outputs(Sample::Values(&[0.25, -0.25])).unwrap();
        assert!((y[0] - 0.75).abs() < 0.1, "{y:?}");

        let stop = StopFlag::new();
        let mut first = Witness {
            stop_after: Some((17, stop.clone())),
            ..Default::default()
        };
        let half = train_on(&config, &Line::GOOD, Some(&parts), &mut first, &stop).unwrap();
        assert!(half.interrupted);
        let alone = resume(&parts, &mut Quiet, &StopFlag::new()).unwrap_err();
        assert!(alone.to_string().contains("made in a program"), "{alone}");
        let other = Line {
            len: 65,
            ..Line::GOOD
        };
        let other = resume_on(&parts, &other, &mut Quiet, &StopFlag::new()).unwrap_err();
        assert!(matches!(other, TrainError::OtherData { .. }), "{other:?}");
        let resumed = resume_on(&parts, &Line::GOOD, &mut Quiet, &StopFlag::new()).unwrap();
        if spec.to_string() != "wgpu:software" {
            assert_eq!(model(&resumed).state, file.state);
        }
    });
}

#[test]
fn what_an_objective_gives_wrongly_is_said() {
    let config = config(&"flex".parse().unwrap(), mlp(&[], 0.0), 2, 16);
    let dir = tempfile::tempdir().unwrap();
    let failure = |config: &granule_train::RunConfig, line: &Line, run: &str| {
        let run = dir.path().join(run);
        train_on(config, line, Some(&run), &mut Quiet, &StopFlag::new()).unwrap_err()
    };
    let says = |line: Line, run: &str, words: &str| {
        let error = failure(&config, &line, run).to_string();
        assert!(
            error.starts_with("the objective line") && error.contains(words),
            "{error}"
        );
    };
    says(
        Line {
            inputs: [1, 1],
            ..Line::GOOD
        },
        "a",
        "its inputs are [16, 1], not [16, 2]",
    );
    says(
        Line {
            inputs: [0, 2],
            ..Line::GOOD
        },
        "b",
        "its inputs are [0, 2], not [16, 2]",
    );
    says(
        Line {
            loss: 16,
            ..Line::GOOD
        },
        "c",
        "its loss is [16], not one number",
    );
    says(
        Line {
            len: 0,
            ..Line::GOOD
        },
        "d",
        "no training samples",
    );
    says(
        Line {
            breaks: true,
            ..Line::GOOD
        },
        "e",
        "the disk is on fire",
    );
    let mut limited = config.clone();
    limited.data.limit_train = Some(3);
    let error = failure(&limited, &Line::GOOD, "f");
    assert!(
        matches!(&error, TrainError::Config(ConfigError { field, .. }) if field == "data.limit_train"),
        "{error:?}"
    );
}
