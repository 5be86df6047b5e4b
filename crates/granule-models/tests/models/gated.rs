//! Gated recurrent networks as models.

use burn::tensor::Tensor;
use granule_models::{
    GruConfig, InputShape, LstmConfig, Model as _, ModelConfig, ModelError, Readout,
};

use crate::support::{flex, image, samples, values};

fn trial(steps: usize, channels: usize) -> InputShape {
    InputShape::Sequence { steps, channels }
}

fn gru(units: usize, readout: Readout) -> ModelConfig {
    GruConfig {
        units,
        readout,
        ..GruConfig::default()
    }
    .into()
}

/// The counts of PyTorch's GRU and LSTM, each with two biases, and of a linear readout.
#[test]
fn all_gates_have_their_weights() {
    let input = trial(5, 3);
    let count = |config: ModelConfig| {
        let network = config.init(&input, 10, 1, &flex()).unwrap();
        network.parameter_count()
    };
    let readout = 7 * 2 + 2;
    assert_eq!(count(gru(7, Readout::Auto)), 3 * 7 * (3 + 7 + 2) + readout);
    let lstm = LstmConfig {
        units: 7,
        ..LstmConfig::default()
    };
    assert_eq!(count(lstm.into()), 4 * 7 * (3 + 7 + 2) + readout);
}

/// The first steps' outputs do not depend on what comes later, and the last step's are those that are read out.
#[test]
fn outputs_follow_the_steps() {
    let (steps, width) = (4, 2);
    let run = |readout, outputs, last: f64| {
        let input = trial(steps, 3);
        let network = gru(6, readout).init(&input, outputs, 2, &flex()).unwrap();
        let x = samples(1, 12, &flex());
        let end = x.clone().narrow(1, 9, 3).mul_scalar(last);
        values(
            network
                .forward(Tensor::cat(vec![x.narrow(1, 0, 9), end], 1))
                .unwrap(),
        )
    };
    let all = run(Readout::Auto, steps * width, 1.0);
    assert_eq!(run(Readout::Last, width, 1.0), all[6..]);
    let other = run(Readout::Auto, steps * width, -2.0);
    assert_eq!(other[..6], all[..6]);
    assert_ne!(other[6..], all[6..]);
}

#[test]
fn what_cannot_be_built_is_named() {
    let refused = |config: ModelConfig, input: InputShape, outputs, expected: &str| {
        let error = config
            .init(&input, outputs, 0, &flex())
            .map(drop)
            .unwrap_err();
        match &error {
            ModelError::Config(error) => assert_eq!(error.field, expected),
            _ => panic!("{error}"),
        }
    };
    refused(gru(0, Readout::Auto), trial(3, 2), 3, "units");
    refused(gru(65537, Readout::Auto), trial(3, 2), 3, "units");
    refused(gru(6, Readout::Auto), trial(3, 2), 4, "readout");
    refused(gru(6, Readout::Auto), trial(3, 0), 3, "input");
    refused(
        gru(6, Readout::Auto),
        InputShape::Vector { len: 4 },
        3,
        "input",
    );
    refused(gru(6, Readout::Sequence), image(1, 3), 4, "readout");
    for dt in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let config = LstmConfig {
            dt,
            ..LstmConfig::default()
        };
        refused(config.into(), trial(3, 2), 3, "dt");
    }
    let network = gru(6, Readout::Auto)
        .init(&trial(3, 2), 3, 0, &flex())
        .unwrap();
    let none = Tensor::zeros([0, 6], &flex());
    assert!(matches!(
        network.forward(none),
        Err(ModelError::Dynamics(_))
    ));
}
